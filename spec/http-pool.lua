-- socket.http: connections that are kept, when they are used again, and when not.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

-- A server in another process that serves one connection after the other. `answers` is a list of lists: what is sent for
-- each request on each connection; after the last one the connection is closed. "wait" as an answer closes without one.
-- It prints its port, then for each request the number of the connection and the request line.
local SERVER = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  local answers = %s
  for number, texts in ipairs(answers) do
    local client = server:accept()
    client:settimeout(5)
    for _, text in ipairs(texts) do
      local line = client:receive()
      if not line then break end
      print(number .. " " .. line)
      local length = 0
      repeat
        local field = client:receive() or ""
        length = tonumber(field:match("^Content%%-Length: (%%d+)")) or length
      until field == ""
      if length > 0 then client:receive(length) end
      if text ~= "wait" then client:send(text) end
    end
    client:close()
  end
]]

local function quoted(value)
  if type(value) == "string" then return string.format("%q", value) end
  local list = {}
  for i, item in ipairs(value) do list[i] = quoted(item) end
  return "{" .. table.concat(list, ",") .. "}"
end

local function serve(answers)
  local child = t.spawn(SERVER:format(quoted(answers)))
  return "http://127.0.0.1:" .. child:read() .. "/", child
end

local OK = t.lines("HTTP/1.1 200 OK", "Content-Length: 5", "") .. "hello"

local function newpool(options)
  return t.closing(http.pool:new(options))
end

local function get(url, pool, fields)
  local target = {}
  local reqt = { url = url, pool = pool, sink = (ltn12.sink.table(target)), timeout = t.seconds }
  for name, value in pairs(fields or {}) do reqt[name] = value end
  local ok, code, headers = http.request(reqt)
  if not ok then return nil, code end
  return table.concat(target), code, headers
end

t.fix_both("a connection is used again", function()
  local url, child = serve { { OK, OK, OK } }
  local pool = newpool()
  for _ = 1, 3 do t.equal(get(url, pool), "hello") end
  for _ = 1, 3 do t.equal(child:read(), "1 GET / HTTP/1.1") end
  local statistics = pool:statistics()
  t.equal(statistics.opened, 1)
  t.equal(statistics.reused, 2)
  t.equal(statistics.idle, 1)
  pool:close()
  t.equal(pool:statistics().idle, 0)
end)

t.fix_both("chunked and bodiless responses leave it usable", function()
  local chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"
  local url = serve { { chunked, "HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", OK } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.equal(select(2, get(url, pool)), 204)
  t.equal(get(url, pool, { method = "HEAD" }), "")
  t.equal(get(url, pool), "hello")
  t.equal(pool:statistics().opened, 1)
end)

t.fix_both("the default is a connection for each request", function()
  local url, child = serve { { OK }, { OK } }
  t.equal(http.request(url), "hello")
  t.equal(http.request(url), "hello")
  t.equal(child:read(), "1 GET / HTTP/1.1")
  t.equal(child:read(), "2 GET / HTTP/1.1")
  t.equal(http.pool:statistics().idle, 0)
end)

t.fix_both("CONNECTION changes the default, the field wins", function()
  local url = serve { { OK, OK }, { OK } }
  t.finally(function() http.CONNECTION = "close" http.pool:close() end)
  http.CONNECTION = "keep-alive"
  t.equal(http.request(url), "hello")
  t.equal(http.request(url), "hello")
  t.equal(http.pool:statistics().idle, 1)
  http.pool:close()
  t.equal(http.request { url = url, connection = "close" }, 1)
  t.equal(http.pool:statistics().idle, 0)
end)

t.fix_both("not used again: what the response or its framing forbids", function()
  local closing = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
  local old = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
  local both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
  local surplus = OK .. OK
  local url = serve { { closing }, { old }, { both }, { surplus, OK }, { OK } }
  local pool = newpool()
  for _ = 1, 5 do t.equal(get(url, pool), "hello") end
  t.equal(pool:statistics().opened, 5)
  t.equal(pool:statistics().reused, 0)
end)

t.fix_both("HTTP/1.0 may keep it expressly", function()
  local old = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello"
  local url = serve { { old, old } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.equal(get(url, pool), "hello")
  t.equal(pool:statistics().reused, 1)
end)

t.fix_both("not used again: a body that was not read", function()
  local url = serve { { OK }, { OK } }
  local pool = newpool()
  get(url, pool, { sink = function() return nil, "enough" end })
  t.equal(get(url, pool), "hello")
  t.equal(pool:statistics().opened, 2)
end)

t.fix_both("one that the server has closed is noticed", function()
  local url, child = serve { { OK }, { OK } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.equal(child:read(), "1 GET / HTTP/1.1")
  socket.sleep(0.05)
  t.equal(get(url, pool), "hello")
  t.equal(pool:statistics().opened, 2)
  t.equal(pool:statistics().retried, 0)
end)

t.fix_both("one that closes under the request: asked once more", function()
  local url, child = serve { { OK, "wait" }, { OK } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.equal(get(url, pool), "hello")
  t.equal(child:read(), "1 GET / HTTP/1.1")
  t.equal(child:read(), "1 GET / HTTP/1.1")
  t.equal(child:read(), "2 GET / HTTP/1.1")
  t.equal(pool:statistics().retried, 1)
end)

t.fix_both("only once, and only there", function()
  local url = serve { { "wait" }, { OK, "wait" }, { "wait" }, { OK } }
  local pool = newpool()
  t.returns({ n = 2, nil, "closed" }, get(url, pool))
  t.equal(get(url, pool), "hello")
  t.returns({ n = 2, nil, "closed" }, get(url, pool))
end)

t.fix_both("never when something was answered, or twice might do harm", function()
  local url = serve { { OK, "HTTP/1" }, { OK, "wait" }, { OK, "wait" }, { OK } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.returns({ n = 2, nil, "closed" }, get(url, pool))
  t.equal(get(url, pool), "hello")
  t.returns({ n = 2, nil, "closed" }, get(url, pool, { method = "POST", body = "x" }))
  t.equal(get(url, pool), "hello")
  t.equal(get(url, pool, { method = "POST", body = "x", idempotent = true }), "hello")
  t.equal(pool:statistics().retried, 1)
end)

t.fix_both("a source that cannot be rewound is not sent twice", function()
  local url = serve { { OK, "wait" }, { OK } }
  local pool = newpool()
  t.equal(get(url, pool), "hello")
  t.returns({ n = 2, nil, "closed" }, get(url, pool, {
    method = "PUT", source = ltn12.source.string("x"), headers = { ["content-length"] = 1 },
  }))
end)

t.fix_both("limits", function()
  local answers = {}
  for i = 1, 4 do answers[i] = { OK } end
  local one, two = serve(answers), serve(answers)
  local pool = newpool { maxidle = 1 }
  t.equal(get(one, pool), "hello")
  t.equal(get(two, pool), "hello")
  t.equal(pool:statistics().idle, 1)
  t.equal(pool:statistics().places, 1)
  local none = newpool { maxidleperhost = 0 }
  t.equal(get(one, none), "hello")
  t.equal(none:statistics().idle, 0)
  local short = newpool { idletime = -1 }
  t.equal(get(one, short), "hello")
  t.equal(get(one, short), "hello")
  t.equal(short:statistics().opened, 2)
end)

t.fix_both("places: constructor and scheme keep apart", function()
  local url = serve { { OK }, { OK }, { OK } }
  local pool = newpool()
  local function mine() return socket.tcp() end
  t.equal(get(url, pool), "hello")
  pool:close()
  t.equal(get(url, pool, { create = mine, connection = "keep-alive" }), "hello")
  t.equal(pool:statistics().places, 1)
  pool:close()
  t.equal(get(url, pool, { create = function() return socket.tcp() end, connection = "keep-alive" }), "hello")
  t.equal(pool:statistics().opened, 3)
end)

t.fix_both("a redirect uses the connection again", function()
  local url, child = serve { { "HTTP/1.1 302 F\r\nLocation: /n\r\nContent-Length: 3\r\n\r\nold", OK } }
  t.equal(get(url, newpool()), "hello")
  t.equal(child:read(), "1 GET / HTTP/1.1")
  t.equal(child:read(), "1 GET /n HTTP/1.1")
end)

t.fix_both("time limits of one request do not outlive it", function()
  local url = serve { { OK, OK } }
  local pool = newpool()
  t.equal(get(url, pool, { timeout = 0.5 }), "hello")
  socket.sleep(0.6)
  t.equal(get(url, pool), "hello")
  t.equal(pool:statistics().reused, 1)
end)

-- A server that sends back what it was sent, over one connection.
local ECHO = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  local client = server:accept()
  client:settimeout(5)
  while true do
    local head = client:receive("*h")
    if not head then break end
    client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #head .. "\r\n\r\n" .. head)
  end
]]

t.fix("what is sent is the same, however little was asked for", function()
  local url = "http://127.0.0.1:" .. t.spawn(ECHO):read() .. "/a;b?c=d"
  local pool = newpool()
  local canonic, agent = require("socket.headers").canonic, http.USERAGENT
  t.finally(function() canonic.te, http.USERAGENT = "TE", agent end)
  local function same()
    t.seconds = 5
    local full = t.ok(get(url, pool))
    t.seconds = nil
    for _ = 1, 2 do t.equal(get(url, pool), full) end
    t.equal(get(url, pool, { method = "GET", connection = "keep-alive" }), full)
    return full
  end
  t.match(same(), "^GET /a;b%?c=d HTTP/1.1\r\nHost: 127.0.0.1:%d+\r\nUser%-Agent: [^\r]+\r\nConnection: keep%-alive, TE\r\n")
  canonic.te, http.USERAGENT = "Te", nil
  t.match(same(), "^GET [^\r]+\r\nHost: [^\r]+\r\nConnection: [^\r]+\r\nTe: trailers\r\n\r\n$")
  t.equal(pool:statistics().opened, 1)
end)

t.fix("a bare request is told where it led", function()
  local url = serve { { t.lines("HTTP/1.1 302 F", "Location: /n", "Content-Length: 0", ""), OK, OK } }
  local pool = newpool()
  local body, code, headers = get(url, pool)
  t.same({ body, code }, { "hello", 200 })
  t.same({ http.location(headers) }, { url .. "n", 1 })
  body, code, headers = get(url, pool)
  t.same({ http.location(headers) }, { url, 0 })
end)

t.done()

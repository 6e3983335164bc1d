-- socket.http over the library's own sockets, which find the end of a head themselves: responses in pieces and cut short,
-- garbage, floods. The played peers of the other files know nothing of that.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

-- A peer in another process. `GET /PLAN` gets response number NUMBER of the list `texts` by the plan "NUMBER MODE N":
--     cut N     its first N bytes, then the end
--     drip N    pieces of N bytes, each a packet of its own
--     whole     all of it, and the connection is kept
local PEER = [[
  local socket = require "socket"
  local texts = { %s }
  local server = assert(socket.bind("127.0.0.1", 0, 128))
  print((select(2, server:getsockname())))
  while true do
    local client = server:accept()
    client:setoption("tcp-nodelay", true)
    client:settimeout(5)
    while true do
      local line = client:receive()
      if not line then break end
      repeat until (client:receive() or "") == ""
      local number, mode, n = line:match("^GET /(%%d+)/(%%a+)/(%%d+)")
      local text = texts[tonumber(number)]
      if mode == "cut" then
        client:send(text, 1, tonumber(n))
        break
      elseif mode == "drip" then
        for i = 1, #text, tonumber(n) do
          if not client:send(text, i, math.min(i + n - 1, #text)) then break end
          if i %% 7 == 0 then socket.sleep(0.0005) end
        end
        break
      else
        client:send(text)
      end
    end
    client:close()
  end
]]

local function peer(...)
  local texts = { ... }
  for i, text in ipairs(texts) do texts[i] = string.format("%q", text):gsub("\r", "\\r"):gsub("\\\n", "\\n") end
  return "http://127.0.0.1:" .. t.spawn(PEER:format(table.concat(texts, ","))):read() .. "/"
end

local function get(url, fields)
  local target = {}
  local reqt = { url = url, sink = (ltn12.sink.table(target)), timeout = t.seconds }
  for name, value in pairs(fields or {}) do reqt[name] = value end
  local ok, code, headers = http.request(reqt)
  return ok and table.concat(target), code, headers, table.concat(target)
end

local BY_LENGTH = "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 11\r\n\r\nhello world"
local CHUNKED = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: t\r\n\r\n"

t.fix_both("every cut of a response", function()
  local base = peer(BY_LENGTH, CHUNKED)
  for number, text in ipairs { BY_LENGTH, CHUNKED } do
    for n = 0, #text - 1 do
      local body, err, _, got = get(base .. number .. "/cut/" .. n)
      if body or not err then t.fail("response " .. number .. " cut at " .. n .. " passes") end
      t.equal(got, ("hello world"):sub(1, #got))
    end
    t.equal(get(base .. number .. "/cut/" .. #text), "hello world")
  end
end)

t.fix_both("every cut of a response on a kept connection", function()
  local base = peer(BY_LENGTH)
  local pool = t.closing(http.pool:new())
  for n = 0, #BY_LENGTH - 1, 3 do
    t.equal(get(base .. "1/whole/0", { pool = pool }), "hello world")
    local body = get(base .. "1/cut/" .. n, { pool = pool })
    if body then t.fail("cut at " .. n .. " passes") end
  end
  t.equal(pool:statistics().retried, 1)
end)

t.fix_both("a response in pieces", function()
  local base = peer(BY_LENGTH, CHUNKED)
  for n = 1, 12 do
    t.equal(get(base .. "1/drip/" .. n), "hello world")
    local body, _, headers = get(base .. "2/drip/" .. n)
    t.equal(body, "hello world")
    t.equal(headers.t, "t")
  end
end)

-- Bodies of 400000 bytes, by length and in chunks of 100000, over kept connections.
local LARGE = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  local chunk = ("0123456789"):rep(10000)
  while true do
    local client = server:accept()
    while true do
      local line = client:receive()
      if not line then break end
      repeat until (client:receive() or "") == ""
      if line:find "length" then
        client:send("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" .. chunk:rep(4))
      else
        client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ = 1, 4 do client:send("186a0\r\n" .. chunk .. "\r\n") end
        client:send("0\r\nT: t\r\n\r\n")
      end
    end
    client:close()
  end
]]

t.fix_both("a text as a whole, pieces, and nothing, over one connection", function()
  local base = "http://127.0.0.1:" .. t.spawn(LARGE):read() .. "/"
  local text = string.rep("0123456789", 40000)
  local session = http.session { timeout = 5 }
  t.closing(session.pool)
  for _, way in ipairs { "length", "chunks", "length" } do
    t.ok(session:get(base .. way) == text)
    local longest, pieces = 0, {}
    local function sink(piece)
      if piece then
        longest = math.max(longest, #piece)
        pieces[#pieces + 1] = piece
      end
      return 1
    end
    t.equal(select(2, session:request { url = base .. way, sink = sink }), 200)
    t.ok(table.concat(pieces) == text)
    t.ok(longest <= 65536, longest)
    for _, forget in pairs { ltn12.sink.null(), false } do
      local ok, code, headers = session:request { url = base .. way, sink = forget or nil }
      t.equal(ok and code, 200)
      t.equal(headers.t, way == "chunks" and "t" or nil)
    end
  end
  t.equal(session.pool:statistics().opened, 1)
end)

local function fails(message, text)
  local body, err = get(peer(text) .. "1/cut/" .. #text)
  t.equal(body, nil)
  t.equal(err, message)
end

t.fix_both("heads that are none", function()
  fails("closed", "")
  fails("closed", "HT")
  fails("invalid status line: 'SSH-2'", "SSH-2.0-x\r\n")
  fails("HTTP/x 200", "HTTP/x 200\r\n")
  fails("HTTP/1.1 2x0 OK", "HTTP/1.1 2x0 OK\r\nA: b\r\n\r\n")
  fails("malformed response headers", "HTTP/1.1 200 OK\r\nnocolon\r\n\r\n")
  fails("malformed response headers", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n")
  fails("malformed response headers", "HTTP/1.1 200 OK\r\nnocolon\r\nA: b\r\n")
  fails("line too long", "HTTP/1.1 200 OK\r\nA: " .. string.rep("x", 70000) .. "\r\n\r\n")
  fails("too many header fields", "HTTP/1.1 200 OK\r\n" .. string.rep("A: b\r\n", 1001) .. "\r\n")
  fails("header too long", "HTTP/1.1 200 OK\r\nA: " .. string.rep("x", 1100000))
  fails("too many interim responses", string.rep("HTTP/1.1 100 Continue\r\n\r\n", 100))
end)

t.fix_both("heads that are odd", function()
  local function headers(text)
    text = text .. "Content-Length: 0\r\n\r\n"
    local _, code, fields = get(peer(text) .. "1/cut/" .. #text)
    t.equal(code, 200)
    return fields
  end
  t.same(headers "HTTP/1.1 200 OK\r\n", { ["content-length"] = "0" })
  t.same(headers "HTTP/1.1 200 OK\nA:b\nB: \t c \t\n", { a = "b", b = "c", ["content-length"] = "0" })
  t.same(headers "HTTP/1.1 200 OK\r\nA: b\rc\r\nA: d\r\n e\r\n", { a = "bc, d e", ["content-length"] = "0" })
  local long = string.rep("n", 300)
  t.same(headers("HTTP/1.1 200\r\n" .. long .. ": 1\r\n: x\r\n"), { [long] = "1", [""] = "x", ["content-length"] = "0" })
  t.same(http.fields(headers "HTTP/1.1 200 OK\r\nX-A: b\r\n c \r\nx-a: d\r\n"),
    { { "X-A", "b c" }, { "x-a", "d" }, { "Content-Length", "0" } })
end)

t.fix_both("receive up to an empty line", function()
  local a, b = t.pair()
  a:settimeout(0)
  b:send("A: b\r\nC: d\r")
  t.readable(a)
  t.returns({ n = 3, nil, "timeout", "A: b\r\nC: d\r" }, a:receive("*h"))
  b:send("A: b\r\n\r\nrest\n\nmore")
  t.readable(a)
  t.returns({ n = 3, "first A: b\r\n\r\n", nil, nil }, a:receive("*h", "first "))
  t.returns({ n = 3, nil, "line too long", "" }, a:receive("*h", nil, { most = 5 }))
  t.returns({ n = 3, "rest\n\n", nil, nil }, a:receive("*h", nil, { most = 6 }))
  b:send("\r\n\r\n")
  b:close()
  t.readable(a)
  t.returns({ n = 3, "more\r\n\r\n", nil, nil }, a:receive("*h"))
  t.returns({ n = 3, nil, "closed", "" }, a:receive("*h"))
end)

t.equal(type(socket.tcp), "function")
t.done()

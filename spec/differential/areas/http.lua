-- socket.http against a server that answers with whatever the case says. The server is a connection object of the case's own
-- (the field `create`), which plays a script and records what it was sent.

local http = require "socket.http"
local ltn12 = require "ltn12"

http.USERAGENT = "differential"

local STATUS = {
  "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 500", "HTTP/1.1 204 No Content",
  "HTTP/1.1 304 Not Modified", "HTTP/1.1 206 Partial", "HTTP/1.1 999 x", "HTTP/2.0 200 OK", "HTTP/1.1 302 Found", "HTTP/1.1 401 no",
  "HTTP/1.1 205 Reset", "HTTP/1.1 301", "HTTP/1.1 101 Switching",
}
local HEADERS = {
  "X-A: 1", "X-A: 2", "x-b:  two  words", "Content-Type: text/plain", "Set-Cookie: a=1", "Set-Cookie: b=2; path=/", "X-Empty:", "Fold: one\r\n two",
  "Fold: one\r\n\tthree", "X-Colon: a:b:c", "Server: s", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "WWW-Authenticate: Basic", "Connection: close",
}
local EOL = { "\r\n", "\r\n", "\r\n", "\n" }
local METHODS = { n = 7, nil, nil, nil, "HEAD", "POST", "PUT", "DELETE" }

return function(g)
  -- A connection that plays `response`; `log` gets what it is sent. Lines and counts are served as a socket does.
  local function connection(response, log)
    local object, at = {}, 1
    function object:settimeout() return 1 end
    function object:connect(host, port)
      log[#log + 1] = ("connect %s %s\n"):format(host, port)
      return 1
    end
    function object:send(data, i, j)
      i, j = i or 1, j or -1
      local text = data:sub(i, j)
      log[#log + 1] = text
      return i - 1 + #text
    end
    function object:receive(pattern, prefix)
      prefix = prefix or ""
      local rest = response:sub(at)
      if type(pattern) == "number" then
        local wanted = pattern - #prefix
        local text = rest:sub(1, wanted)
        at = at + #text
        if #text < wanted then return nil, "closed", prefix .. text end
        return prefix .. text
      end
      if pattern == "*a" then
        at = #response + 1
        if rest == "" then return nil, "closed", prefix end
        return prefix .. rest
      end
      local line, last = rest:match("^([^\n]*)\n()")
      if not line then
        at = #response + 1
        return nil, "closed", prefix .. rest:gsub("\r", "")
      end
      at = at + last - 1
      return prefix .. line:gsub("\r", "")
    end
    function object:close()
      -- How often does not matter.
      log[#log + 1] = not object.closed and "close\n" or nil
      object.closed = true
      return 1
    end
    function object:getfd() return -1 end
    function object:dirty() return false end
    return object
  end

  local function chunked(body)
    local parts = {}
    while body ~= "" do
      local n = g.int(1, 7)
      local piece = body:sub(1, n)
      body = body:sub(n + 1)
      parts[#parts + 1] = ("%" .. g.pick { "x", "X" }):format(#piece) .. g.pick { "", "", ";ext=1", " " } .. "\r\n" .. piece .. "\r\n"
    end
    return table.concat(parts) .. "0\r\n\r\n"
  end

  -- A cut body loses its last block in the C library; so none is cut but where all is lost.
  local function response(head_only)
    local eol = g.pick(EOL)
    local parts = {}
    if g.chance(10) then parts[#parts + 1] = "HTTP/1.1 100 Continue\r\n\r\n" end
    parts[#parts + 1] = g.pick(STATUS) .. eol
    local used = {}
    for _ = 1, g.int(0, 4) do
      local header = g.pick(HEADERS)
      parts[#parts + 1] = header .. eol
    end
    local body = g.text({ "hello ", "world", "\r\n", "\0", "x" }, 6)
    local kind = g.choose { close = 2, length = 4, chunked = 3, none = 1 }
    if kind == "length" then
      parts[#parts + 1] = "Content-Length: " .. #body .. eol
    elseif kind == "chunked" then
      parts[#parts + 1] = "Transfer-Encoding: chunked" .. eol
      body = chunked(body)
    elseif kind == "none" then
      parts[#parts + 1] = "Content-Length: 0" .. eol
      body = ""
    end
    parts[#parts + 1] = eol
    if not head_only then parts[#parts + 1] = body end
    return table.concat(parts)
  end

  -- The order of header lines is not defined, and we keep the user's spelling of their names.
  local function sent(log)
    local text = table.concat(log)
    return (text:gsub("(HTTP/1%.1\r\n)(.-)\r\n\r\n", function(line, block)
      local lines = {}
      for header in (block .. "\r\n"):gmatch("(.-)\r\n") do lines[#lines + 1] = header:gsub("^[^:]+", string.lower) end
      table.sort(lines)
      return line .. table.concat(lines, "\r\n") .. "\r\n\r\n"
    end))
  end

  local URLS = {
    "http://h.test/", "http://h.test", "http://h.test:8080/a/b?c=d", "http://u:p@h.test/x", "http://h.test/a;p?q", "http://H.Test/%20x", "http://h.test:80/",
  }
  local ODD_URLS = { n = 9, "", "h.test", "nosuch://h.test/", "http://", "http:///x", nil, 12, "http:x", "/x" }

  local function request()
    local log, out = {}, {}
    local method = g.pick(METHODS)
    local reqt = { url = g.pick(URLS), method = method, sink = ltn12.sink.table(out), redirect = false }
    if g.chance(30) then reqt.headers = { ["X-Mine"] = "1", ["user-agent"] = g.pick { n = 2, nil, "mine" }, Host = g.pick { n = 2, nil, "other.test" } } end
    -- Without a source we tell that nothing comes.
    if method and method ~= "HEAD" and method ~= "DELETE" then
      local body = g.text({ "a=1", "&", "b" }, 4)
      reqt.source = ltn12.source.string(body)
      if g.chance(60) then
        reqt.headers = reqt.headers or {}
        reqt.headers["content-length"] = #body
      end
    end
    if g.chance(10) then reqt.uri = "/given" end
    if g.chance(10) then 
      -- To a proxy we name neither user nor default port.
      reqt.proxy, reqt.url = "http://proxy.test:3128/", g.pick { "http://h.test:8080/a", "http://h.test:81/" }
    end
    if g.chance(10) then reqt.port = g.pick { 81, "82" } end
    if not reqt.proxy and g.chance(10) then reqt.user, reqt.password = "me", "secret" end
    local answer = response(method == "HEAD")
    reqt.create = function() return connection(answer, log) end
    g.log("answer", answer)
    g.call("request", http.request, reqt)
    g.log("body", table.concat(out))
    g.log("sent", sent(log))
  end

  local function redirected()
    local log, n = {}, 0
    local answers = {}
    for i = 1, g.int(1, 3) do
      local location = g.pick { "/next", "http://h.test/other", "?q", "//other.test/x", "a/b" }
      answers[i] = ("HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"):format(g.pick { 301, 302, 303, 307 }, location)
    end
    answers[#answers + 1] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    local function create()
      n = n + 1
      return connection(answers[n] or answers[#answers], log)
    end
    -- The C library forgets a constructor at the first redirect; as the scheme's own it remains.
    local before = http.SCHEMES or http.schemes
    local kept = before.http.create
    before.http.create = function() return create end
    g.log("answers", answers)
    local out = {}
    g.call("redirected", http.request, {
      url = "http://h.test/a/b?c", sink = ltn12.sink.table(out), maxredirects = g.pick { n = 4, nil, 0, 1, false }, method = g.pick { n = 2, nil, "GET" },
    })
    before.http.create = kept
    g.log("body", table.concat(out))
    g.log("sent", sent(log))
  end

  local function simple()
    local log = {}
    local answer = response()
    local schemes = http.SCHEMES or http.schemes
    local kept = schemes.http.create
    schemes.http.create = function() return function() return connection(answer, log) end end
    g.log("answer", answer)
    g.call("simple", http.request, g.chance(70) and g.pick(URLS) or g.pick(ODD_URLS), g.pick { n = 4, nil, nil, "body=1", "" })
    schemes.http.create = kept
    g.log("sent", sent(log))
  end

  -- Not among them: an answer without a status line, which is HTTP/0.9 to the C library.
  local function broken()
    local log = {}
    local answer = g.pick {
      "", "abc", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX-A: 1\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/2 200\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    }
    local out = {}
    g.call("broken", http.request, {
      url = "http://h.test/", sink = ltn12.sink.table(out), create = function() return connection(answer, log) end,
    })
    g.log("answer", answer, table.concat(out))
  end

  local function failing()
    local log = {}
    local answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    local reqt = { url = "http://h.test/", create = function() return connection(answer, log) end }
    local kind = g.pick { "sink", "source", "create", "connect" }
    if kind == "sink" then reqt.sink = ltn12.sink.error("full") end
    if kind == "source" then reqt.method, reqt.source, reqt.headers = "POST", ltn12.source.error("empty"), { ["content-length"] = 3 } end
    if kind == "create" then reqt.create = function() return nil, "no socket" end end
    if kind == "connect" then
      reqt.create = function()
        local object = connection(answer, log)
        object.connect = function() return nil, "unreachable" end
        return object
      end
    end
    g.call(kind, http.request, reqt)
    g.log("sent", sent(log))
  end

  local DO = { request = request, redirected = redirected, simple = simple, broken = broken, failing = failing }
  for _ = 1, 3 do DO[g.choose { request = 6, redirected = 2, simple = 3, broken = 2, failing = 1 }]() end
end

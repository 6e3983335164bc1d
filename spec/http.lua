-- socket.http as LuaSocket has it: surface, requests as they are written, responses as they are read.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

local URL = "http://h.test/x?y"

local function response(...)
  return t.lines(...)
end

local OK = response("HTTP/1.1 200 OK", "Content-Length: 5", "") .. "hello"

-- The simple form, but with a player below.
local function get(answer, fields)
  local create, log = t.play(answer)
  local target = {}
  local reqt = { url = URL, create = create, sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields or {}) do reqt[name] = value end
  local ok, code, headers, line = http.request(reqt)
  return ok and table.concat(target), code, headers, line, log
end

local function request_head(fields)
  local _, _, _, _, log = get(OK, fields)
  return t.head(log[1].sent), log
end

t.test("surface", function()
  t.equal(socket.http, http)
  t.equal(http.TIMEOUT, 60)
  t.equal(http.USERAGENT, socket._VERSION)
  t.equal(http.PROXY, nil)
  t.equal(http._VERSION, nil)
  t.equal(http.schemes.http.port, 80)
  t.equal(http.schemes.https.port, 443)
  t.equal(http.schemes.http.create({}), socket.tcp)
  t.equal(type(http.open), "function")
  for _, name in ipairs { "socket.url", "socket.headers", "mime", "ltn12" } do t.ok(package.loaded[name], name) end
  t.ok(socket.sourcet["http-chunked"])
  t.ok(socket.sinkt["http-chunked"])
end)

t.test("generic form of a GET", function()
  local reqt = http.genericform("http://h.test/")
  t.equal(reqt.url, "http://h.test/")
  t.equal(reqt.method, nil)
  t.equal(reqt.source, nil)
  t.ok(reqt.sink("x"))
  t.same(reqt.target, { "x" })
end)

t.test("generic form of a POST", function()
  local reqt = http.genericform("http://h.test/", "a=1")
  t.equal(reqt.method, "POST")
  t.equal(reqt.source(), "a=1")
  t.equal(tostring(reqt.headers["content-length"]), "3")
  t.equal(reqt.headers["content-type"], "application/x-www-form-urlencoded")
end)

t.test("request of a GET", function()
  local head, log = request_head()
  t.equal(head.line, "GET /x?y HTTP/1.1")
  t.equal(head.host, "h.test")
  t.equal(head["user-agent"], http.USERAGENT)
  t.equal(head.connection, "close, TE")
  t.equal(head.te, "trailers")
  t.equal(#log, 1)
  t.equal(log[1].host, "h.test")
  t.equal(tonumber(log[1].port), 80)
  t.equal(log[1].timeout, 60)
  t.ok(log[1].closed > 0)
  t.match(log[1].sent, "\r\n\r\n$")
end)

t.test("header names are spelled by socket.headers", function()
  local _, log = request_head { headers = { ["CONTENT-md5"] = "x", dnt = 5 } }
  t.match(log[1].sent, "\r\nContent%-MD5: x\r\n")
  t.match(log[1].sent, "\r\n[Dd][Nn][Tt]: 5\r\n")
end)

t.test("headers of the caller replace the automatic ones", function()
  local head = request_head { headers = { Host = "other.test", ["User-Agent"] = "me", TE = "" } }
  t.equal(head.host, "other.test")
  t.equal(head["user-agent"], "me")
  t.equal(head.te, "")
end)

t.test("a missing USERAGENT sends no field", function()
  local before = http.USERAGENT
  t.finally(function() http.USERAGENT = before end)
  http.USERAGENT = nil
  t.equal(request_head()["user-agent"], nil)
end)

t.test("TIMEOUT is read when the connection is opened", function()
  t.finally(function() http.TIMEOUT = 60 end)
  http.TIMEOUT = 7
  local _, log = request_head()
  t.equal(log[1].timeout, 7)
end)

t.test("host and port", function()
  t.equal(request_head({ url = "http://h.test:81/" }).host, "h.test:81")
  t.equal(request_head({ url = "http://h.test:80/" }).host, "h.test")
  local head, log = request_head { url = "http://h.test:/" }
  t.equal(head.host, "h.test")
  t.equal(tonumber(log[1].port), 80)
  head, log = request_head { url = "http://h.test/", port = 99 }
  t.equal(head.host, "h.test:99")
  t.equal(tonumber(log[1].port), 99)
end)

t.test("fields override parts of the url", function()
  local head, log = request_head { url = "http://a.test/a?b", host = "b.test", path = "/c", query = "d" }
  t.equal(head.line, "GET /c?d HTTP/1.1")
  t.equal(log[1].host, "b.test")
end)

t.test("parts without url", function()
  local create, log = t.play(OK)
  t.returns({ 1, 200 }, (function(a, b) return a, b end)(
    http.request { scheme = "http", host = "h.test", path = "/p", create = create }))
  t.equal(t.head(log[1].sent).line, "GET /p HTTP/1.1")
  t.returns({ n = 2, nil, "invalid path 'nil'" }, http.request { scheme = "http", host = "h.test", create = create })
end)

t.test("uri and params", function()
  t.equal(request_head({ uri = "*", method = "OPTIONS" }).line, "OPTIONS * HTTP/1.1")
  t.equal(request_head({ url = "http://h.test/a;b?c" }).line, "GET /a;b?c HTTP/1.1")
end)

t.test("method is sent as written", function()
  t.equal(request_head({ method = "pATCH" }).line, "pATCH /x?y HTTP/1.1")
  t.equal(request_head({ method = "" }).line, "GET /x?y HTTP/1.1")
end)

t.test("credentials", function()
  t.equal(request_head({ url = "http://user:pw@h.test/" }).authorization, "Basic dXNlcjpwdw==")
  t.equal(request_head({ url = "http://user:p%40w@h.test/" }).authorization, "Basic dXNlcjpwQHc=")
  t.equal(request_head({ url = "http://user:@h.test/" }).authorization, "Basic dXNlcjo=")
  t.equal(request_head({ user = "u", password = "p" }).authorization, "Basic dTpw")
  t.equal(request_head().authorization, nil)
end)

t.test("invalid host", function()
  t.returns({ n = 2, nil, "invalid host 'nil'" }, http.request "http:///x")
  t.returns({ n = 2, nil, "invalid host ''" }, http.request { url = "http://h.test/", host = "" })
end)

t.test("the request table is left alone", function()
  local create = t.play(OK)
  local reqt = { url = URL, create = create, headers = { A = "1" } }
  t.ok(http.request(reqt))
  t.same(reqt, { url = URL, create = create, headers = { A = "1" } })
end)

-- Bodies that are sent ---------------------------------------------------------------------------------------------

t.test("a body of known length is sent raw", function()
  local _, log = request_head {
    method = "POST", source = ltn12.source.string("a=1"), headers = { ["Content-Length"] = 3 },
  }
  t.match(log[1].sent, "\r\n\r\na=1$")
  t.equal(t.head(log[1].sent)["transfer-encoding"], nil)
end)

t.test("a body of unknown length is sent in chunks", function()
  local parts = { "hello", string.rep("x", 30) }
  local _, log = request_head { method = "POST", source = ltn12.source.table(parts) }
  t.equal(t.head(log[1].sent)["transfer-encoding"], "chunked")
  t.match(log[1].sent, "\r\n\r\n5\r\nhello\r\n1E\r\n" .. parts[2] .. "\r\n0\r\n\r\n$")
end)

t.test("a source alone does not make it a POST", function()
  t.equal(request_head({ source = ltn12.source.string("x") }).line, "GET /x?y HTTP/1.1")
end)

t.test("a failing source fails the request", function()
  local create, log = t.play(OK)
  t.returns({ n = 2, nil, "no data" }, http.request {
    url = URL, method = "POST", create = create, source = ltn12.source.error("no data"),
  })
  t.ok(log[1].closed > 0)
end)

t.test("the step serves both directions", function()
  local steps = 0
  local function step(...)
    steps = steps + 1
    return ltn12.pump.step(...)
  end
  get(OK, { method = "POST", source = ltn12.source.string("x"), step = step })
  t.equal(steps, 4)
end)

-- Responses ------------------------------------------------------------------------------------------------------------

local function plain(status, ...)
  return response(status, ...) .. "\r\n"
end

local HEAD = "HTTP/1.1 200 OK"

local function chunked(text, ...)
  return plain(HEAD, "Transfer-Encoding: chunked", ...) .. text
end

local good = {
  ["by length"] = { plain(HEAD, "Content-Length: 5") .. "hello", "hello", 200 },
  ["surplus"] = { plain(HEAD, "Content-Length: 5") .. "helloEXTRA", "hello", 200 },
  ["length zero"] = { plain(HEAD, "Content-Length: 0") .. "x", "", 200 },
  ["trailing blanks of a length"] = { plain(HEAD, "Content-Length: 3  ") .. "hello", "hel", 200 },
  ["until close"] = { plain(HEAD) .. "body", "body", 200 },
  ["chunked"] = { chunked "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n", "hello world", 200 },
  ["chunked in upper case"] = { chunked "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 200 },
  ["chunked, blanks around the size"] = { chunked " 5 \r\nhello\r\n0\r\n\r\n", "hello", 200 },
  ["chunked with a trailer"] = { chunked "5\r\nhello\r\n0\r\nX-T: t\r\n\r\n", "hello", 200 },
  ["chunked and a length"] = { chunked("5\r\nhello\r\n0\r\n\r\n", "Content-Length: 99"), "hello", 200 },
  ["identity"] = { plain(HEAD, "Transfer-Encoding: identity", "Content-Length: 2") .. "abc", "ab", 200 },
  ["bare line feeds"] = { "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", "ab", 200 },
  ["version 1.0"] = { "HTTP/1.0 200 OK\r\n\r\nbody", "body", 200 },
  ["no reason"] = { plain("HTTP/1.1 200") .. "a", "a", 200 },
  ["version 2.0"] = { plain("HTTP/2.0 200 OK") .. "a", "a", 200 },
  ["100 before"] = { plain "HTTP/1.1 100 Continue" .. plain("HTTP/1.1 100 C", "A: b") .. OK, "hello", 200 },
  ["101"] = { plain "HTTP/1.1 101 Switching", "", 101 },
  ["204"] = { plain "HTTP/1.1 204 No" .. "abc", "", 204 },
  ["304"] = { plain("HTTP/1.1 304 Not", "Content-Length: 10"), "", 304 },
  ["205"] = { plain "HTTP/1.1 205 X" .. "abc", "abc", 205 },
  ["404"] = { plain("HTTP/1.1 404 Not Found", "Content-Length: 4") .. "gone", "gone", 404 },
  ["500"] = { plain "HTTP/1.1 500 X" .. "abc", "abc", 500 },
  ["999"] = { plain "HTTP/1.1 999 X" .. "abc", "abc", 999 },
  ["000"] = { plain "HTTP/1.1 000 X" .. "abc", "abc", 0 },
  ["gzip is left alone"] = { plain(HEAD, "Content-Encoding: gzip") .. "abc", "abc", 200 },
}

for name, case in pairs(good) do
  t.test("response: " .. name, function()
    local body, code, headers, line, log = get(case[1])
    t.equal(body, case[2])
    t.equal(code, case[3])
    t.equal(type(headers), "table")
    t.equal(line, case[1]:match("(HTTP/[%d.]+ " .. string.format("%03d", case[3]) .. "[^\r\n]*)"))
    t.ok(log[1].closed > 0)
  end)
end

local bad = {
  ["length missed"] = { plain(HEAD, "Content-Length: 50") .. "hello", "closed" },
  ["bad chunk size"] = { chunked "zz\r\nhello\r\n0\r\n\r\n", "invalid chunk size" },
  ["empty chunk size"] = { chunked "\r\nhello\r\n0\r\n\r\n", "invalid chunk size" },
  ["cut in a chunk"] = { chunked "5\r\nhel", "closed" },
  ["cut before the last chunk"] = { chunked "5\r\nhello\r\n", "closed" },
  ["cut before the last line"] = { chunked "5\r\nhello\r\n0\r\n", "closed" },
  ["nothing"] = { "", "closed" },
  ["three bytes"] = { "abc", "closed" },
  ["version without a dot"] = { plain "HTTP/2 200", "HTTP/2 200" },
  ["cut in the status line"] = { "HTTP/1.1 20", "closed" },
  ["cut in the headers"] = { "HTTP/1.1 200 OK\r\nA: b\r\n", "closed" },
  ["silence"] = { { "HTTP/1.1 200 OK\r\n", stay = true }, "timeout" },
  ["silence in the body"] = { { plain(HEAD, "Content-Length: 5") .. "he", stay = true }, "timeout" },
  ["connection refused"] = { { "", refuse = "connection refused" }, "connection refused" },
}

for name, case in pairs(bad) do
  t.test("failure: " .. name, function()
    local create, log = t.play(case[1])
    t.returns({ n = 2, nil, case[2] }, http.request { url = URL, create = create })
    t.ok(log[1].closed > 0)
  end)
end

t.test("a line without colon", function()
  local _, message = get(plain(HEAD, "nocolon"))
  t.match(message, "^malformed re%a* headers$")
end)

t.test("HEAD has no body", function()
  local _, code, headers = get(plain(HEAD, "Content-Length: 500"), { method = "HEAD" })
  t.equal(code, 200)
  t.equal(headers["content-length"], "500")
end)

t.test("header fields", function()
  local _, _, headers = get(plain(HEAD,
    "X-One: v", "x-one: w", "X-Two:   x", "X-Fold: one", " two", "\tthree", ": n", "Content-Length: 0",
    "Set-Cookie: a=1; path=/", "Set-Cookie: b=2", "X-Empty:", "X-Colon: a:b"))
  t.same(headers, {
    ["x-one"] = "v, w", ["x-two"] = "x", ["x-fold"] = "one two\tthree", [""] = "n", ["content-length"] = "0",
    ["set-cookie"] = "a=1; path=/, b=2", ["x-empty"] = "", ["x-colon"] = "a:b",
  })
end)

t.test("results of the two forms", function()
  local create = t.play(OK)
  t.equal(select("#", http.request { url = URL, create = create }), 4)
  t.equal((http.request { url = URL, create = create }), 1)
end)

t.test("a sink that fails", function()
  local create, log = t.play(OK)
  t.returns({ n = 2, nil, "disk full" }, http.request { url = URL, create = create, sink = ltn12.sink.error("disk full") })
  t.ok(log[1].closed > 0)
end)

t.test("create that fails", function()
  t.returns({ n = 2, nil, "no more" }, http.request { url = URL, create = function() return nil, "no more" end })
end)

-- Redirects ------------------------------------------------------------------------------------------------------------

local function moved(code, location, ...)
  return plain("HTTP/1.1 " .. code .. " Moved", "Location: " .. location, "Content-Length: 3", ...) .. "old"
end

-- Connections are made by `http.schemes`, because only that outlives a redirect in all versions.
local function through(fields, ...)
  local create, log = t.play(...)
  local entry = http.schemes.http
  local before = entry.create
  t.finally(function() entry.create = before end)
  entry.create = function() return create end
  local target = {}
  local reqt = { url = "http://h.test/a/b?c", sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields) do reqt[name] = value end
  local ok, code, headers = http.request(reqt)
  return ok and table.concat(target), code, headers, log
end

for _, code in ipairs { 301, 302, 303, 307 } do
  t.test("redirect: " .. code, function()
    local body, final, headers, log = through({}, moved(code, "/new"), OK)
    t.equal(body, "hello")
    t.equal(final, 200)
    t.equal(headers.location, "/new")
    t.equal(#log, 2)
    t.ok(log[1].closed > 0)
    t.equal(t.head(log[2].sent).line, "GET /new HTTP/1.1")
    t.equal(t.head(log[2].sent).host, "h.test")
  end)
end

t.test("redirect: relative and absolute locations", function()
  local function second(location)
    local _, _, _, log = through({}, moved(302, location), OK)
    return t.head(log[2].sent).line, log[2].host
  end
  t.equal(second("d"), "GET /a/d HTTP/1.1")
  t.equal(second("../d?e"), "GET /d?e HTTP/1.1")
  t.equal(select(2, second("http://o.test/z")), "o.test")
  t.equal(select(2, second("//o.test/z")), "o.test")
end)

t.test("redirect: not followed", function()
  local function stays(fields, answer)
    local body, code, headers, log = through(fields, answer, OK)
    t.equal(#log, 1)
    t.equal(body, "old")
    return code, headers
  end
  t.equal(stays({ redirect = false }, moved(302, "/new")), 302)
  t.equal(stays({ maxredirects = 0 }, moved(302, "/new")), 302)
  t.equal(stays({ nredirects = 5 }, moved(302, "/new")), 302)
  t.equal(stays({ method = "POST", source = ltn12.source.string("x"), headers = { ["content-length"] = 1 } },
    moved(302, "/new")), 302)
  t.equal(stays({}, moved(300, "/new")), 300)
  t.equal(stays({}, moved(302, "")), 302)
  t.equal(stays({}, moved(302, "gopher://h.test/")), 302)
end)

t.test("redirect: too many", function()
  local _, code, _, log = through({}, moved(302, "/new"))
  t.equal(code, 302)
  t.equal(#log, 6)
  _, code, _, log = through({ maxredirects = 2 }, moved(302, "/new"))
  t.equal(code, 302)
  t.equal(#log, 3)
end)

t.test("redirect: headers go along", function()
  local _, _, _, log = through({ headers = { ["X-A"] = "b" } }, moved(302, "/new"), OK)
  t.equal(t.head(log[2].sent)["x-a"], "b")
end)

t.test("redirect: bad maxredirects raises", function()
  t.raises({ match = "." }, http.request, { url = "http://h.test/", maxredirects = {}, create = (t.play(moved(302, "/"))) })
end)

-- Proxies --------------------------------------------------------------------------------------------------------------

t.test("a proxy gets the absolute form", function()
  local head, log = request_head { proxy = "http://u:p@proxy.test:3129", url = "http://h.test:81/x?q" }
  t.equal(head.line, "GET http://h.test:81/x?q HTTP/1.1")
  t.equal(head.host, "h.test:81")
  t.equal(head["proxy-authorization"], "Basic dTpw")
  t.equal(log[1].host, "proxy.test")
  t.equal(tonumber(log[1].port), 3129)
  head, log = request_head { proxy = "http://proxy.test", url = "http://h.test/x" }
  t.equal(head["proxy-authorization"], nil)
  t.equal(tonumber(log[1].port), 3128)
end)

t.test("PROXY is the default proxy", function()
  t.finally(function() http.PROXY = nil end)
  http.PROXY = "http://proxy.test:1"
  local _, log = request_head()
  t.equal(log[1].host, "proxy.test")
end)

-- The low level --------------------------------------------------------------------------------------------------------

local function opened(answer)
  local create, log = t.play(answer)
  return http.open("h.test", 80, create), log
end

t.test("open: a whole conversation", function()
  local h, log = opened(chunked("3\r\nabc\r\n0\r\n\r\n", "A: b"))
  t.ok(h.c)
  h:sendrequestline("PUT", "/p")
  t.equal(log[1].sent, "PUT /p HTTP/1.1\r\n")
  t.returns({ 1 }, h:sendheaders { ["Content-Length"] = 2, ["x-y"] = "z" })
  t.match(log[1].sent, "^PUT /p HTTP/1.1\r\n[^\r]*\r\n[^\r]*\r\n\r\n$")
  t.match(log[1].sent, "x%-y: z\r\n")
  t.returns({ 1 }, h:sendbody({ ["content-length"] = 2 }, ltn12.source.string("ab")))
  t.match(log[1].sent, "\r\n\r\nab$")
  t.returns({ 200, HEAD }, h:receivestatusline())
  local headers = h:receiveheaders()
  t.same(headers, { a = "b", ["transfer-encoding"] = "chunked" })
  local target = {}
  t.returns({ 1 }, h:receivebody(headers, (ltn12.sink.table(target))))
  t.equal(table.concat(target), "abc")
  t.equal(h:close(), 1)
  t.ok(log[1].closed > 0)
end)

t.test("open: defaults", function()
  local h, log = opened(OK)
  h:sendrequestline(nil, "/")
  t.equal(log[1].sent, "GET / HTTP/1.1\r\n")
  h:sendheaders {}
  h:sendbody({}, nil)
  t.match(log[1].sent, "\r\n\r\n0\r\n\r\n$")
  t.equal(h:receivestatusline(), 200)
  t.equal(h:receivebody(h:receiveheaders()), 1)
  h:close()
end)

t.test("open: HTTP/0.9", function()
  local h = opened("<html>body")
  t.returns({ n = 2, nil, "<html" }, h:receivestatusline())
  local target = {}
  t.returns({ 1 }, h:receive09body("<html", (ltn12.sink.table(target))))
  t.equal(table.concat(target), "<html>body")
end)

t.test("open: failures are exceptions, after a close", function()
  local h, log = opened("HTTP/1.1 200 OK\r\nno colon\r\n")
  h:receivestatusline()
  local _, message = t.returns(2, socket.protect(function() h:receiveheaders() end)())
  t.match(message, "^malformed")
  t.ok(log[1].closed > 0)
  t.returns({ n = 2, nil, "refused" }, socket.protect(http.open)("h", 1, (t.play { "", refuse = "refused" })))
end)

t.test("a replaced open serves requests", function()
  local open, calls = http.open, {}
  t.finally(function() http.open = open end)
  http.open = function(host, port, create)
    calls[#calls + 1] = host .. ":" .. port
    return open(host, port, create)
  end
  t.equal(get(OK), "hello")
  t.same(calls, { "h.test:80" })
end)

-- Chunked streams ------------------------------------------------------------------------------------------------------

local function stream(text)
  local create = t.play(text)
  return create()
end

t.test("http-chunked source", function()
  local headers = { a = "1" }
  local source = socket.source("http-chunked", stream "3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\nB: 2\r\n\r\n", headers)
  t.equal(source(), "abc")
  t.equal(source(), "0123456789")
  t.equal((source()), nil)
  t.same(headers, { a = "1", b = "2" })
end)

t.test("http-chunked source: errors", function()
  local function ends(text)
    local source = socket.source("http-chunked", stream(text))
    local chunk, err
    repeat chunk, err = source() until not chunk
    return err
  end
  t.equal(ends "x\r\n", "invalid chunk size")
  t.equal(ends "3\r\nab", "closed")
  t.equal(ends "", "closed")
  t.equal(ends "0\r\n", "closed")
end)

t.test("http-chunked sink", function()
  local create, log = t.play("")
  local sink = socket.sink("http-chunked", create())
  t.ok(sink("abc"))
  t.ok(sink(string.rep("x", 26)))
  t.ok(sink(nil))
  t.equal(log[1].sent, "3\r\nabc\r\n1A\r\n" .. string.rep("x", 26) .. "\r\n0\r\n\r\n")
  t.equal(log[1].closed, 0)
end)

t.test("streams can be selected", function()
  local a = t.pair()
  local source, sink = socket.source("http-chunked", a), socket.sink("http-chunked", a)
  t.equal(source.getfd(), a:getfd())
  t.equal(source.dirty(), false)
  t.equal(sink.getfd(), a:getfd())
end)

t.test("a real server", function()
  local child = t.spawn [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    print((select(2, server:getsockname())))
    for _ = 1, 3 do
      local client = server:accept()
      local length = 0
      local method = client:receive():match("^%S+")
      repeat
        local line = client:receive()
        length = tonumber(line:match("^[Cc]ontent%-[Ll]ength: (%d+)")) or length
      until line == ""
      local body = method .. " " .. (length > 0 and client:receive(length) or "")
      client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
      client:close()
    end
  ]]
  local base = "http://127.0.0.1:" .. child:read() .. "/"
  local body, code, headers, line = t.returns(4, http.request(base))
  t.equal(body, "GET ")
  t.equal(code, 200)
  t.equal(headers["content-length"], "4")
  t.equal(line, "HTTP/1.1 200 OK")
  t.equal(http.request(base, "a=b"), "POST a=b")
  t.equal(http.request(base, ""), "POST ")
  child:finish()
  t.returns({ n = 2, nil, "connection refused" }, http.request("http://127.0.0.1:" .. t.unused_port() .. "/"))
end)

t.done()

-- socket.http where it does better than LuaSocket: bad input, bad responses, limits, callbacks, bodies.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

local URL = "http://h.test/x"
local HEAD = "HTTP/1.1 200 OK"

local function response(...)
  return t.lines(...) .. "\r\n"
end

local OK = response(HEAD, "Content-Length: 5") .. "hello"

local function get(answer, fields)
  local create, log = t.play(answer)
  local target = {}
  local reqt = { url = URL, create = create, sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields or {}) do reqt[name] = value end
  local ok, code, headers, line = http.request(reqt)
  return ok and table.concat(target), code, headers, log, target, line
end

local function fails(message, answer, fields)
  local body, err, _, log, target = get(answer, fields)
  t.equal(body, nil)
  t.equal(err, message)
  if log[1] then t.ok(log[1].closed > 0, "closed") end
  return table.concat(target), log
end

-- What the caller asks -------------------------------------------------------------------------------------------------

t.fix("input that is no request", function()
  t.returns({ n = 2, nil, "invalid url" }, http.request "")
  t.returns({ n = 2, nil, "invalid url" }, http.request {})
  t.returns({ n = 2, nil, "unsupported scheme 'gopher'" }, http.request "gopher://h.test/")
  t.returns({ n = 2, nil, "unsupported scheme 'localhost'" }, http.request "localhost:8080/x")
  t.raises({ match = "bad argument #1 to 'request' %(string or table expected, got nil%)" }, http.request, nil)
  t.raises({ match = "bad argument #1 to 'request' %(string or table expected, got boolean%)" }, http.request, true)
  t.raises({ match = "bad maxredirects" }, http.request, { url = URL, maxredirects = "5" })
  t.raises({ match = "header 'a' is a boolean" }, get, OK, { headers = { A = true } })
end)

t.fix("a scheme in upper case", function()
  t.equal(get(OK, { url = "HTTP://h.test/" }), "hello")
end)

t.fix("nothing can be smuggled into a request", function()
  local evil = "a\r\nX-Evil: 1"
  fails("invalid value of header 'x-a'", OK, { headers = { ["X-A"] = evil } })
  fails("invalid value of header 'x-a'", OK, { headers = { ["X-A"] = "a\0b" } })
  fails("invalid value of header 'x-a'", OK, { headers = { ["X-A"] = "a\nb" } })
  fails("invalid header name", OK, { headers = { ["X-A: b\r\nX-Evil"] = "1" } })
  fails("invalid header name", OK, { headers = { ["X A"] = "1" } })
  fails("invalid header name", OK, { headers = { [""] = "1" } })
  fails("invalid method", OK, { method = "GET / HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET" })
  fails("invalid method", OK, { method = "G ET" })
  fails("invalid target", OK, { url = "http://h.test/a\r\nX-Evil: 1" })
  fails("invalid target", OK, { uri = "/a\0" })
  local _, log = fails("invalid target", OK, { url = "http://h\r\nX-Evil: 1/", proxy = "http://p.test" })
  t.equal(log[1] and log[1].sent or "", "")
end)

t.fix("blanks in the target are escaped", function()
  local _, _, _, log = get(OK, { url = "http://h.test/a b\tc?d e" })
  t.equal(t.head(log[1].sent).line, "GET /a%20b%09c?d%20e HTTP/1.1")
end)

t.fix("neither fragment nor credentials in the target", function()
  local _, _, _, log = get(OK, { url = "http://u:p@h.test/a?b#c" })
  t.equal(t.head(log[1].sent).line, "GET /a?b HTTP/1.1")
  _, _, _, log = get(OK, { url = "http://u:p@h.test:80/a?b#c", proxy = "http://x:y@p.test" })
  t.equal(t.head(log[1].sent).line, "GET http://h.test/a?b HTTP/1.1")
end)

t.fix("the host of an IPv6 address is bracketed", function()
  local _, _, _, log = get(OK, { url = "http://[::1]:99/" })
  t.equal(t.head(log[1].sent).host, "[::1]:99")
  t.equal(log[1].host, "::1")
end)

t.fix("credentials of a url are unescaped, those of fields are not", function()
  local function authorization(fields)
    local _, _, _, log = get(OK, fields)
    return t.head(log[1].sent).authorization
  end
  t.equal(authorization { url = "http://a%40b:c%3Ad@h.test/" }, "Basic YUBiOmM6ZA==")
  t.equal(authorization { user = "a%40", password = "b%41" }, "Basic YSU0MDpiJTQx")
  t.equal(authorization { url = "http://user@h.test/" }, "Basic dXNlcjo=")
end)

t.fix("false removes an automatic field, a list sends several", function()
  local _, _, _, log = get(OK, { headers = { TE = false, ["X-List"] = { "a", "b" } } })
  local head = t.head(log[1].sent)
  t.equal(head.te, nil)
  t.equal(head["x-list"], "a, b")
  t.match(log[1].sent, "\r\nX%-List: a\r\nX%-List: b\r\n")
end)

t.fix("Host comes first, and a head is one piece", function()
  local _, _, _, log = get(OK, { headers = { Accept = "*/*", ["A-B"] = "c" } })
  t.match(log[1].sent, "^GET /x HTTP/1.1\r\nHost: h.test\r\n")
  t.equal(#log[1].sends, 1)
  _, _, _, log = get(OK, { body = "a=1" })
  t.equal(#log[1].sends, 1)
  t.match(log[1].sent, "^POST .*\r\nContent%-Length: 3\r\n.*\r\na=1$")
end)

-- Bodies that are sent -------------------------------------------------------------------------------------------------

t.fix("an empty chunk does not end the body", function()
  local _, _, _, log = get(OK, { method = "POST", source = ltn12.source.table { "ab", "", "c" } })
  t.match(log[1].sent, "\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n$")
end)

t.fix("a failing source never looks complete", function()
  local sent = false
  local _, log = fails("no data", OK, {
    method = "POST",
    source = function()
      if sent then return nil, "no data" end
      sent = true
      return "abc"
    end,
  })
  t.match(log[1].sent, "\r\n\r\n3\r\nabc\r\n$")
end)

t.fix("a declared length is kept", function()
  local function post(text, length)
    return { method = "POST", source = ltn12.source.string(text), headers = { ["content-length"] = length } }
  end
  fails("source ends before content-length", OK, post("abc", 4))
  local _, log = fails("source exceeds content-length", OK, post("abcde", 4))
  t.match(log[1].sent, "\r\n\r\n$")
  fails("invalid content-length", OK, post("abc", "three"))
  fails("invalid content-length", OK, post("abc", -3))
end)

t.fix("a length leaves no room for chunks", function()
  local _, _, _, log = get(OK, {
    method = "POST", source = ltn12.source.string("abc"),
    headers = { ["content-length"] = 3, ["transfer-encoding"] = "chunked" },
  })
  t.equal(t.head(log[1].sent)["transfer-encoding"], nil)
  t.match(log[1].sent, "\r\n\r\nabc$")
end)

t.fix("a body as text or as a function", function()
  local _, _, _, log = get(OK, { body = 12.5, method = "PUT" })
  t.match(log[1].sent, "^PUT .*\r\nContent%-Length: 4\r\n.*\r\n12.5$")
  _, _, _, log = get(OK, { body = function() return ltn12.source.string("abc") end })
  t.match(log[1].sent, "^POST .*\r\n\r\n3\r\nabc\r\n0\r\n\r\n$")
  t.raises({ match = "bad body" }, get, OK, { body = {} })
  _, _, _, log = get(OK, { method = "POST" })
  t.equal(t.head(log[1].sent)["content-length"], "0")
end)

t.fix("a large body is sent whole", function()
  local text = string.rep("0123456789", 10000)
  local _, _, _, log = get(OK, { body = text })
  t.equal(log[1].sent:sub(-#text), text)
  t.match(log[1].sent, "\r\nContent%-Length: 100000\r\n")
end)

t.fix("an answer that comes before all is sent is an answer", function()
  local refused = response("HTTP/1.1 413 Too Large", "Content-Length: 2") .. "no"
  local create = t.play { refused, break_send = 3 }
  local target = {}
  local ok, code = http.request {
    url = URL, method = "POST", create = create, sink = (ltn12.sink.table(target)),
    source = ltn12.source.table { "a", "b", "c", "d" },
  }
  t.equal(ok, 1)
  t.equal(code, 413)
  t.equal(table.concat(target), "no")
  create = t.play { "", break_send = 3 }
  t.returns({ n = 2, nil, "closed" }, http.request {
    url = URL, method = "POST", create = create, source = ltn12.source.table { "a", "b", "c", "d" },
  })
end)

-- Responses ------------------------------------------------------------------------------------------------------------

t.fix("interim responses are passed over", function()
  local early = response("HTTP/1.1 103 Early Hints", "Link: </a>") .. response "HTTP/1.1 102 Processing"
  local body, code, headers = get(early .. OK)
  t.equal(body, "hello")
  t.equal(code, 200)
  t.equal(headers.link, nil)
  fails("too many interim responses", string.rep(response "HTTP/1.1 100 Continue", 1000))
end)

t.fix("garbage is an error", function()
  fails("invalid status line: 'SSH-2'", "SSH-2.0-OpenSSH\r\n")
  fails("invalid status line: '?\"3DU'", "\17\"3DUfw")
  fails("invalid status line: '<html'", "<html>hello")
  t.equal(get("<html>hello", { http09 = true }), "<html>hello")
  fails("HTTP/x.y 200 OK", response "HTTP/x.y 200 OK")
end)

t.fix("header fields that lie about their name", function()
  fails("malformed response headers", response(HEAD, "Transfer-Encoding : chunked", "Content-Length: 1"))
  fails("malformed response headers", response(HEAD, "nocolon"))
end)

t.fix("blanks at the end of a value are dropped", function()
  local _, _, headers = get(response(HEAD, "A: b \t ", "B: c", " d  ", "E: \t ", "Content-Length: 0"))
  t.same(headers, { a = "b", b = "c d", e = "", ["content-length"] = "0" })
end)

t.fix("content-length is a number", function()
  for _, value in ipairs { "abc", "-3", "0x3", "3, 4", "1e3", "3.0", "", ",", "99999999999999999999", "+3" } do
    fails("invalid content-length", response(HEAD, "Content-Length: " .. value) .. "hello")
  end
  t.equal(get(response(HEAD, "Content-Length: 3", "Content-Length: 3") .. "hello"), "hel")
  t.equal(get(response(HEAD, "Content-Length: 03, 3") .. "hello"), "hel")
end)

t.fix("transfer codings are a list", function()
  local chunks = "3\r\nabc\r\n0\r\n\r\n"
  t.equal(get(response(HEAD, "Transfer-Encoding: gzip, chunked") .. chunks), "abc")
  t.equal(get(response(HEAD, "Transfer-Encoding: gzip", "Transfer-Encoding: Chunked") .. chunks), "abc")
  t.equal(get(response(HEAD, "Transfer-Encoding: gzip", "Content-Length: 1") .. "abc"), "abc")
  t.equal(get(response(HEAD, "Transfer-Encoding: Identity", "Content-Length: 1") .. "abc"), "a")
end)

local function chunked(text)
  return response(HEAD, "Transfer-Encoding: chunked") .. text
end

t.fix("chunks are what they say", function()
  for _, size in ipairs { "-5", "0x5", "5 5", "+5", "zz", "", ";", "5,", "1000000000000000" } do
    fails("invalid chunk size", chunked(size .. "\r\nhello\r\n0\r\n\r\n"))
  end
  t.equal(fails("malformed chunk", chunked "5\r\nhelloXX\r\n0\r\n\r\n"), "hello")
  t.equal(get(chunked "0005\r\nhello\r\n00\r\n\r\n"), "hello")
end)

t.fix("trailer fields join the headers, framing does not", function()
  local body, code, headers = get(chunked "1\r\na\r\n0\r\nX-T: t\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\n\r\n")
  t.equal(body, "a")
  t.equal(code, 200)
  t.same(headers, { ["transfer-encoding"] = "chunked", ["x-t"] = "t" })
  body, code, headers = get(response(HEAD, "Transfer-Encoding: chunked", "Content-Length: 5")
    .. "1\r\na\r\n0\r\nX-T: t\r\n\r\n")
  t.equal(body, "a")
  t.equal(code, 200)
  t.equal(headers["x-t"], "t")
end)

t.fix("a large chunk is given out in bounded pieces", function()
  local largest = 0
  local text = string.rep("x", 300000)
  local _, code = get(chunked(string.format("%x\r\n%s\r\n0\r\n\r\n", #text, text)), {
    sink = function(chunk)
      if chunk then largest = math.max(largest, #chunk) end
      return 1
    end,
  })
  t.equal(code, 200)
  t.between(largest, 1, 65536)
end)

t.fix("what came before a failure is delivered", function()
  t.equal(fails("closed", response(HEAD, "Content-Length: 50") .. "hello"), "hello")
  t.equal(fails("closed", chunked "5\r\nhel"), "hel")
  t.equal(fails("timeout", { response(HEAD, "Content-Length: 50") .. "hello", stay = true }), "hello")
  t.equal(fails("timeout", { response(HEAD) .. "hello", stay = true }), "hello")
end)

-- No cut of a framed response may pass for the whole.
local function every_cut(text, whole)
  for cut = 0, #text - 1 do
    local body, err, _, log, target = get(text:sub(1, cut))
    if body ~= nil or err == nil then t.fail("cut at " .. cut .. " passes") end
    local got = table.concat(target)
    t.equal(got, whole:sub(1, #got), "cut at " .. cut)
    t.ok(log[1].closed > 0, "closed")
  end
  t.equal(get(text), whole)
end

t.fix("every cut of a response by length", function()
  every_cut(response("HTTP/1.1 100 Continue") .. response(HEAD, "A: b", " c", "Content-Length: 11") .. "hello world",
    "hello world")
end)

t.fix("every cut of a chunked response", function()
  every_cut(chunked "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: t\r\n\r\n", "hello world")
end)

-- Limits ---------------------------------------------------------------------------------------------------------------

t.fix("limits on lines and fields", function()
  fails("line too long", HEAD .. string.rep("x", 70000) .. "\r\n\r\n")
  fails("line too long", response(HEAD, "A: " .. string.rep("x", 70000)))
  fails("too many header fields", t.lines(HEAD) .. string.rep("A: b\r\n", 1001) .. "\r\n")
  fails("header too long", t.lines(HEAD) .. string.rep("A: " .. string.rep("x", 60000) .. "\r\n", 20) .. "\r\n")
  fails("line too long", chunked("5;" .. string.rep("x", 9000) .. "\r\nhello\r\n0\r\n\r\n"))
  fails("too many header fields", chunked("0\r\n" .. string.rep("A: b\r\n", 1001) .. "\r\n"))
end)

t.fix("maxbody", function()
  t.equal(fails("body too large", OK, { maxbody = 4 }), "")
  t.equal(get(OK, { maxbody = 5 }), "hello")
  fails("body too large", chunked "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", { maxbody = 5 })
end)

-- Extras ---------------------------------------------------------------------------------------------------------------

t.fix("fields in order, cookies unfolded", function()
  local _, _, headers = get(response(HEAD, "Set-Cookie: a=1; expires=Mon, 01 Jan 2035", "B: c", "Set-Cookie: d=2",
    "Content-Length: 0"))
  t.same(http.fields(headers), {
    { "Set-Cookie", "a=1; expires=Mon, 01 Jan 2035" }, { "B", "c" }, { "Set-Cookie", "d=2" }, { "Content-Length", "0" },
  })
  t.same(http.fields {}, {})
  local count = 0
  for _ in pairs(headers) do count = count + 1 end
  t.equal(count, 3)
end)

t.fix("headers before the body", function()
  local seen, other = nil, {}
  local body = get(OK, {
    on_headers = function(code, headers, line, url)
      seen = { code, headers["content-length"], line, url }
      return (ltn12.sink.table(other))
    end,
  })
  t.equal(body, "")
  t.same(other, { "hello" })
  t.same(seen, { 200, "5", HEAD, URL })
  fails("not wanted", OK, { on_headers = function() return false, "not wanted" end })
  fails("refused", OK, { on_headers = function() return false end })
  t.equal(get(OK, { on_headers = function() end }), "hello")
end)

t.fix("an error of a callback closes the connection", function()
  local create, log = t.play(OK)
  local reqt = { url = URL, create = create, sink = function() error("mine", 0) end }
  t.raises({ exact = "mine" }, http.request, reqt)
  t.equal(log[1].closed, 1)
  -- In a coroutine, which may yield in every callback.
  function reqt.sink()
    t.equal(coroutine.yield("sink"), "go")
    error("mine", 0)
  end
  local co = coroutine.create(http.request)
  t.returns({ true, "sink" }, coroutine.resume(co, reqt))
  t.equal(log[2].closed, 0)
  t.returns({ false, "mine" }, coroutine.resume(co, "go"))
  t.equal(log[2].closed, 1)
end)

t.fix("where a response came from", function()
  local _, _, headers = get(OK, { url = "http://u:p@h.test:80/a?b#c" })
  t.returns({ "http://h.test/a?b#c", 0 }, http.location(headers))
end)

-- Decompression --------------------------------------------------------------------------------------------------------

local function compressed(coding, text)
  local mime = require "mime"
  if not mime.encodet[coding] then t.skip("no " .. coding) end
  local source = ltn12.source.chain(ltn12.source.string(text), mime.encode(coding))
  local sink, parts = ltn12.sink.table()
  ltn12.pump.all(source, sink)
  return table.concat(parts)
end

local function coded(coding, content)
  return response(HEAD, "Content-Encoding: " .. coding, "Content-Length: " .. #content) .. content
end

t.fix("bodies are decompressed when asked", function()
  local text = string.rep("hello ", 1000)
  for _, coding in ipairs { "gzip", "deflate" } do
    local content = compressed(coding, text)
    local body, code, headers, log = get(coded(coding, content), { decompress = true })
    t.equal(body, text)
    t.equal(code, 200)
    t.same(headers, {})
    t.equal(t.head(log[1].sent)["accept-encoding"], "gzip, deflate")
    t.equal(#http.fields(headers), 2)
    t.equal(get(coded(coding:upper(), content), { decompress = true }), text)
    body, code, headers, log = get(coded(coding, content))
    t.equal(code, 200)
    t.equal(body, content)
    t.equal(headers["content-encoding"], coding)
    t.equal(t.head(log[1].sent)["accept-encoding"], nil)
    local chunk = string.format("%x\r\n", #content) .. content .. "\r\n0\r\n\r\n"
    t.equal(get(response(HEAD, "Content-Encoding: " .. coding, "Transfer-Encoding: chunked") .. chunk, { decompress = true }), text)
    t.equal(get(response(HEAD, "Content-Encoding: " .. coding) .. content, { decompress = true }), text)
  end
  t.equal(get(coded("br", "xxx"), { decompress = true }), "xxx")
  t.equal(get(coded("gzip", ""), { decompress = true, method = "HEAD" }), "")
end)

t.fix("what cannot be decompressed is an error", function()
  local content = compressed("gzip", string.rep("hello ", 1000))
  local body, err = get(coded("gzip", content:sub(1, -10)), { decompress = true })
  t.equal(body, nil)
  t.ok(err)
  body, err = get(coded("gzip", "garbage"), { decompress = true })
  t.equal(body, nil)
  t.ok(err)
end)

t.fix("a bomb does not go off", function()
  local content = compressed("gzip", string.rep("\0", 3000000))
  local body, err = get(coded("gzip", content), { decompress = true, maxbody = 1000000 })
  t.equal(body, nil)
  t.ok(err)
end)

-- Expect: 100-continue -------------------------------------------------------------------------------------------------

-- A peer that answers once it has read the head, and then maybe the body.
local PEER = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  local client = server:accept()
  client:settimeout(5)
  repeat local line = client:receive() until line == ""
  %s
  print "done"
]]

t.fix("leave to send is waited for", function()
  local child = t.spawn(PEER:format [[
    local early = socket.select({ client }, nil, 0.2)[1]
    client:send("HTTP/1.1 100 Continue\r\n\r\n")
    local body = client:receive(5)
    client:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" .. (early and "early" or body))
    client:close()
  ]])
  local target = {}
  local ok, code = http.request {
    url = "http://127.0.0.1:" .. child:read() .. "/", body = "hello", headers = { Expect = "100-continue" },
    sink = (ltn12.sink.table(target)),
  }
  t.equal(ok, 1)
  t.equal(code, 200)
  t.equal(table.concat(target), "hello")
end)

t.fix("a refusal saves the body", function()
  local child = t.spawn(PEER:format [[
    client:send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
    print(client:receive(1))
    client:close()
  ]])
  local ok, code = http.request {
    url = "http://127.0.0.1:" .. child:read() .. "/", body = "hello", headers = { Expect = "100-continue" },
  }
  t.equal(ok, 1)
  t.equal(code, 417)
  t.equal(child:read(), "nil\tclosed\t")
end)

t.fix("silence is leave after a while", function()
  local child = t.spawn(PEER:format [[
    local body = client:receive(5)
    client:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" .. body)
    client:close()
  ]])
  local ok, code = http.request {
    url = "http://127.0.0.1:" .. child:read() .. "/", body = "hello", headers = { expect = "100-Continue" },
  }
  t.equal(ok, 1)
  t.equal(code, 200)
end)

-- Time -----------------------------------------------------------------------------------------------------------------

local DRIP = PEER:format [[
  client:send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
  for _ = 1, 100 do
    if not client:send("x") then break end
    socket.sleep(0.05)
  end
  client:close()
]]

t.fix("timeout covers the whole request", function()
  local child = t.spawn(DRIP)
  local url = "http://127.0.0.1:" .. child:read() .. "/"
  local ok, err
  local time = t.elapsed(function() ok, err = http.request { url = url, timeout = 0.3 } end)
  t.equal(ok, nil)
  t.equal(err, "timeout")
  t.between(time, 0.25, 1)
end)

t.fix("a deadline does too", function()
  local child = t.spawn(DRIP)
  local url = "http://127.0.0.1:" .. child:read() .. "/"
  local ok, err
  local time = t.elapsed(function() ok, err = http.request { url = url, deadline = socket.gettime() + 0.3 } end)
  t.equal(ok, nil)
  t.equal(err, "timeout")
  t.between(time, 0.25, 1)
  t.returns({ n = 2, nil, "timeout" }, http.request { url = url, deadline = socket.gettime() - 1 })
end)

-- https ----------------------------------------------------------------------------------------------------------------

t.fix("https without its module", function()
  local loaded, preload = package.loaded["ssl.https"], package.preload["ssl.https"]
  t.finally(function() package.loaded["ssl.https"], package.preload["ssl.https"] = loaded, preload end)
  package.loaded["ssl.https"] = nil
  package.preload["ssl.https"] = function() error("none here", 0) end
  local _, message = t.returns(2, http.request "https://h.test/")
  t.match(message, "^https needs the module 'ssl.https'")
  package.preload["ssl.https"] = function() return {} end
  t.returns({ n = 2, nil, "https needs a function 'tcp' in 'ssl.https'" }, http.request "https://h.test/")
end)

t.fix("https is made by ssl.https.tcp with the request's fields", function()
  local loaded, asked = package.loaded["ssl.https"], nil
  t.finally(function() package.loaded["ssl.https"] = loaded end)
  local create = t.play(OK)
  package.loaded["ssl.https"] = {
    tcp = function(params)
      asked = params
      return create
    end,
  }
  t.equal(http.request { url = "https://h.test/", cafile = "a.pem" }, 1)
  t.equal(asked.cafile, "a.pem")
  t.equal(asked.host, "h.test")
end)

t.done()

-- socket.http: cookies and sessions.

local t = require "support"

if t.reference then
  t.fix("cookies and sessions", function() end)
  return t.done()
end

local http = require "socket.http"

local function played(...)
  local create, log = t.play(...)
  return create, log
end

local function response(...)
  return t.lines("HTTP/1.1 200 OK", "Content-Length: 2", ...) .. "\r\nok"
end

-- Cookies --------------------------------------------------------------------------------------------------------------

local function jar(where, ...)
  local cookies = http.cookies()
  for _, text in ipairs { ... } do cookies:set(where, text) end
  return cookies
end

t.fix("a cookie goes back to its host only", function()
  local c = jar("http://www.h.test/a/b", "a=1")
  t.equal(c:header "http://www.h.test/a/", "a=1")
  t.equal(c:header "http://WWW.H.TEST/a/x/y", "a=1")
  t.equal(c:header "http://h.test/a/", nil)
  t.equal(c:header "http://x.www.h.test/a/", nil)
end)

t.fix("domains", function()
  local c = jar("http://www.h.test/", "a=1; Domain=.h.test", "b=2; domain=H.TEST", "c=3; domain=other.test",
    "d=4; domain=test", "e=5; domain=x.www.h.test", "f=6; domain=", "g=7; domain=ww.h.test")
  t.equal(c:header "http://h.test/", "a=1; b=2")
  t.equal(c:header "http://x.h.test/", "a=1; b=2")
  t.equal(c:header "http://www.h.test/", "a=1; b=2; f=6")
  t.equal(c:header "http://xh.test/", nil)
  t.equal(jar("http://127.0.0.1/", "a=1; domain=0.0.1"):header "http://127.0.0.1/", nil)
  t.equal(jar("http://127.0.0.1/", "a=1; domain=127.0.0.1"):header "http://127.0.0.1/", "a=1")
  t.equal(jar("http://localhost/", "a=1; domain=localhost"):header "http://localhost/", "a=1")
end)

t.fix("paths", function()
  local c = jar("http://h.test/a/b/c", "a=1", "b=2; path=/", "c=3; path=/a/", "d=4; path=/a/b/c", "e=5; path=x")
  t.equal(c:header "http://h.test/a/b/c", "d=4; a=1; e=5; c=3; b=2")
  t.equal(c:header "http://h.test/a/bc", "c=3; b=2")
  t.equal(c:header "http://h.test/a", "b=2")
  t.equal(c:header "http://h.test", "b=2")
end)

t.fix("secure, and names that promise it", function()
  local c = jar("https://h.test/", "a=1; Secure", "__Secure-b=2; secure", "__Host-c=3; secure; path=/", "__Secure-d=4",
    "__Host-e=5; secure; domain=h.test; path=/")
  t.equal(c:header "https://h.test/", "a=1; __Secure-b=2; __Host-c=3")
  t.equal(c:header "http://h.test/", nil)
  t.equal(jar("http://h.test/", "a=1; secure"):header "https://h.test/", nil)
end)

t.fix("expiry", function()
  local c = jar("http://h.test/", "a=1; max-age=100", "b=2; max-age=0", "c=3; expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "d=4; expires=Fri, 01-Jan-2100 00:00:00 GMT", "e=5; expires=rubbish", "f=6; max-age=-1; expires=Fri, 01 Jan 2100 00:00:00 GMT")
  t.equal(c:header "http://h.test/", "a=1; d=4; e=5")
  c:set("http://h.test/", "a=; max-age=0")
  t.equal(c:header "http://h.test/", "d=4; e=5")
end)

t.fix("values", function()
  local c = jar("http://h.test/", "a=b=c", " d = e ", 'f="g"', "h=", "=i", "novalue", "j=k\1l", "m=" .. string.rep("x", 5000))
  t.equal(c:header "http://h.test/", 'a=b=c; d=e; f="g"; h=')
end)

t.fix("a later one replaces, and keeps its place", function()
  local c = jar("http://h.test/", "a=1", "b=2", "a=3")
  t.equal(c:header "http://h.test/", "a=3; b=2")
  t.equal(#c:all(), 2)
  c:clear "other.test"
  t.equal(#c:all(), 2)
  c:clear "h.test"
  t.equal(#c:all(), 0)
  t.equal(c:header "http://h.test/", nil)
end)

t.fix("the jar is bounded", function()
  local c = http.cookies()
  for i = 1, 500 do c:set("http://h.test/", "n" .. i .. "=1") end
  t.between(#c:all(), 50, 200)
  t.match(c:header "http://h.test/", "n500=1")
end)

t.fix("dates", function()
  local date = require("socket.http.cookies").date
  t.equal(date "Sun, 06 Nov 1994 08:49:37 GMT", 784111777)
  t.equal(date "Sunday, 06-Nov-94 08:49:37 GMT", 784111777)
  t.equal(date "Sun Nov  6 08:49:37 1994", 784111777)
  t.equal(date "Thu, 01 Jan 1970 00:00:00 GMT", 0)
  t.equal(date "29 Feb 2000 23:59:59", 951868799)
  for _, text in ipairs { "", "today", "Sun, 06 Nov 1994", "32 Jan 2000 00:00:00", "1 Jan 2000 24:00:00", "1 Foo 2000 1:1:1" } do
    t.equal(date(text), nil, text)
  end
end)

t.fix("a jar in requests, redirects included", function()
  local create, log = played(
    t.lines("HTTP/1.1 302 F", "Location: /n", "Set-Cookie: a=1; expires=Fri, 01 Jan 2100 00:00:00 GMT", "Set-Cookie: b=2", ""),
    t.lines("HTTP/1.1 302 F", "Location: http://o.test/", "Set-Cookie: c=3", ""), response())
  local cookies = http.cookies()
  t.equal(http.request { url = "http://h.test/", create = create, cookies = cookies }, 1)
  t.equal(t.head(log[1].sent).cookie, nil)
  t.equal(t.head(log[2].sent).cookie, "a=1; b=2")
  t.equal(t.head(log[3].sent).cookie, nil)
  t.equal(cookies:header "http://h.test/", "a=1; b=2; c=3")
  t.equal(http.request { url = "http://h.test/", create = create, cookies = cookies, headers = { Cookie = "x=y" } }, 1)
  t.equal(t.head(log[4].sent).cookie, "x=y; a=1; b=2; c=3")
end)

-- Sessions -------------------------------------------------------------------------------------------------------------

t.fix("base, headers, fields", function()
  local create, log = played(response())
  local s = http.session {
    base = "http://h.test/api/", create = create, headers = { Accept = "x/y", ["X-A"] = "1" }, connection = "close",
  }
  t.returns({ "ok", 200 }, (function(a, b) return a, b end)(s:get "items?n=1"))
  local head = t.head(log[1].sent)
  t.equal(head.line, "GET /api/items?n=1 HTTP/1.1")
  t.equal(head.accept, "x/y")
  s:get("/other", { accept = "z", ["x-a"] = false })
  head = t.head(log[2].sent)
  t.equal(head.line, "GET /other HTTP/1.1")
  t.equal(head.accept, "z")
  t.equal(head["x-a"], nil)
end)

t.fix("methods", function()
  local create, log = played(response())
  local s = http.session { base = "http://h.test/", create = create }
  s:get "a" s:head "a" s:options "a" s:delete "a" s:post("a", "x") s:put("a", "y") s:patch("a", "z")
  s:request "a" s:request("a", "q=1") s:request { url = "a", method = "FOO" }
  local list = {}
  for i, entry in ipairs(log) do list[i] = t.head(entry.sent).line:match("^%S+") end
  t.equal(table.concat(list, " "), "GET HEAD OPTIONS DELETE POST PUT PATCH GET POST FOO")
  t.equal(t.head(log[9].sent)["content-type"], "application/x-www-form-urlencoded")
  t.raises({ match = "bad argument #1 to 'request'" }, s.request, s, nil)
end)

t.fix("cookies are kept, and off when false", function()
  local create, log = played(response "Set-Cookie: a=1", response())
  local s = http.session { base = "http://h.test/", create = create }
  s:get "" s:get ""
  t.equal(t.head(log[2].sent).cookie, "a=1")
  t.equal(#s.cookies:all(), 1)
  create, log = played(response "Set-Cookie: a=1", response())
  s = http.session { base = "http://h.test/", create = create, cookies = false }
  s:get "" s:get ""
  t.equal(t.head(log[2].sent).cookie, nil)
end)

t.fix("secrets of the session go to its base only", function()
  local create, log = played(response())
  local s = http.session {
    base = "http://h.test/", create = create, headers = { Authorization = "secret" }, user = "u", password = "p",
  }
  s:get "/"
  s:get "http://o.test/"
  t.equal(t.head(log[1].sent).authorization, "secret")
  t.equal(t.head(log[2].sent).authorization, nil)
end)

t.fix("a session follows redirects of forms", function()
  local create, log = played(t.lines("HTTP/1.1 303 S", "Location: /done", ""), response())
  local s = http.session { base = "http://h.test/", create = create }
  t.equal(s:post("form", "a=1"), "ok")
  t.equal(t.head(log[2].sent).line, "GET /done HTTP/1.1")
end)

t.fix("failures", function()
  local create = played { "", refuse = "connection refused" }
  local s = http.session { base = "http://h.test/", create = create }
  t.returns({ n = 2, nil, "connection refused" }, s:get "/")
  t.returns({ n = 2, nil, "connection refused" }, s:request { url = "/" })
end)

t.done()

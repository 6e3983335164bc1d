-- socket.url: parse, build, absolute, escape, unescape, parse_path, build_path.

local t = require "support"
local socket = require "socket"
local url = require "socket.url"

-- Compares the parts of each row's URL, taken with its defaults, with those it lists.
local function check_parse(rows)
  for _, row in ipairs(rows) do t.same(url.parse(row[1], row[3]), row[2], row[1]) end
end

-- Calls `f` with the first of each row and compares the result, a single one, with the second.
local function check(f, rows)
  for _, row in ipairs(rows) do
    local results = t.pack(f(row[1]))
    t.equal(results.n, 1)
    t.same(results[1], row[2], t.show(row[1]))
  end
end

-- Resolves the second of each row against the first and compares the result with the third.
local function check_absolute(rows)
  for _, row in ipairs(rows) do
    local results = t.pack(url.absolute(row[1], row[2]))
    t.equal(results.n, 1)
    t.equal(results[1], row[3], t.show(row[1]) .. " + " .. row[2])
  end
end

t.test("the module is also socket.url", function()
  t.equal(socket.url, url)
  t.equal(url._VERSION, "URL 1.0.3")
end)

------------------------------------------------------------------------------------------------------------------- parse

t.test("parse", function()
  check_parse {
    { "http://www.demo.test", { scheme = "http", authority = "www.demo.test", host = "www.demo.test" } },
    { "http://www.demo.test/", { scheme = "http", authority = "www.demo.test", host = "www.demo.test", path = "/" } },
    { "http://www.demo.test:8080/a/b.html", { scheme = "http", authority = "www.demo.test:8080", host = "www.demo.test", port = "8080", path = "/a/b.html" } },
    { "HTTP://Www.Demo.TEST/A", { scheme = "HTTP", authority = "Www.Demo.TEST", host = "Www.Demo.TEST", path = "/A" } },
    { "http://ana@h.test/x", { scheme = "http", authority = "ana@h.test", userinfo = "ana", user = "ana", host = "h.test", path = "/x" } },
    { "http://ana:s3cret@h.test/x", { scheme = "http", authority = "ana:s3cret@h.test", userinfo = "ana:s3cret", user = "ana", password = "s3cret", host = "h.test", path = "/x" } },
    { "http://ana:@h.test/x", { scheme = "http", authority = "ana:@h.test", userinfo = "ana:", user = "ana", password = "", host = "h.test", path = "/x" } },
    { "http://:pw@h.test/x", { scheme = "http", authority = ":pw@h.test", userinfo = ":pw", user = "", password = "pw", host = "h.test", path = "/x" } },
    { "http://@h.test/x", { scheme = "http", authority = "@h.test", userinfo = "", user = "", host = "h.test", path = "/x" } },
    { "http://u%40v:p%3Aw@h.test/", { scheme = "http", authority = "u%40v:p%3Aw@h.test", userinfo = "u%40v:p%3Aw", user = "u%40v", password = "p%3Aw", host = "h.test", path = "/" } },
    { "http://h.test:/x", { scheme = "http", authority = "h.test:", host = "h.test", port = "", path = "/x" } },
    { "http://h.test:http/x", { scheme = "http", authority = "h.test:http", host = "h.test", port = "http", path = "/x" } },
    { "http://h.test:80:90/x", { scheme = "http", authority = "h.test:80:90", host = "h.test:80", port = "90", path = "/x" } },
    { "http://:80/x", { scheme = "http", authority = ":80", port = "80", path = "/x" } },
    { "http:///x", { scheme = "http", authority = "", path = "/x" } },
    { "http://", { scheme = "http", authority = "" } },
    { "//", { authority = "" } },
    { "//h.test", { authority = "h.test", host = "h.test" } },
    { "gopher:", { scheme = "gopher" } },
    { "/", { path = "/" } },
    { "?", { query = "" } },
    { "#", { fragment = "" } },
    { ";", { params = "" } },
    { "?q", { query = "q" } },
    { "#f", { fragment = "f" } },
    { ";p", { params = "p" } },
    { ";?#", { params = "", query = "", fragment = "" } },
    { "a;b?c#d", { path = "a", params = "b", query = "c", fragment = "d" } },
    { "a?b#c?d", { path = "a", query = "b", fragment = "c?d" } },
    { "a#b?c;d", { path = "a", fragment = "b?c;d" } },
    { "a?b;c", { path = "a", query = "b;c" } },
    { "a;b;c", { path = "a", params = "b;c" } },
    { "/p1;x/p2;y?z", { path = "/p1", params = "x/p2;y", query = "z" } },
    { "/a?b?c", { path = "/a", query = "b?c" } },
    { "/a#b#c", { path = "/a", fragment = "b#c" } },
    { "/a?b/c;d#e/f?g", { path = "/a", query = "b/c;d", fragment = "e/f?g" } },
    { "1a:b", { scheme = "1a", path = "b" } },
    { "-a:b", { path = "-a:b" } },
    { "a_b:c", { path = "a_b:c" } },
    { "a+b-c.d:e", { scheme = "a+b-c.d", path = "e" } },
    { "localhost:8080/p", { scheme = "localhost", path = "8080/p" } },
    { "192.0.2.7:80", { scheme = "192.0.2.7", path = "80" } },
    { "h.test/p", { path = "h.test/p" } },
    { "http://h.test;p", { scheme = "http", authority = "h.test;p", host = "h.test;p" } },
    { "http://[::1]", { scheme = "http", authority = "[::1]", host = "::1" } },
    { "http://[::1]:8080/x", { scheme = "http", authority = "[::1]:8080", host = "::1", port = "8080", path = "/x" } },
    { "http://u:p@[fe80::1%25eth0]:81/", { scheme = "http", authority = "u:p@[fe80::1%25eth0]:81", userinfo = "u:p", user = "u", password = "p", host = "fe80::1%25eth0", port = "81", path = "/" } },
    { "http://[::1", { scheme = "http", authority = "[::1", host = "[:", port = "1" } },
    { "http://::1/", { scheme = "http", authority = "::1", host = ":", port = "1", path = "/" } },
    { "http://[]/", { scheme = "http", authority = "[]", host = "[]", path = "/" } },
    { "http://[::1]x/", { scheme = "http", authority = "[::1]x", host = "[::1]x", path = "/" } },
    { "http://[v1.a:b]/", { scheme = "http", authority = "[v1.a:b]", host = "v1.a:b", path = "/" } },
    { "mailto:joe@h.test?subject=x", { scheme = "mailto", path = "joe@h.test", query = "subject=x" } },
    { "urn:isbn:123", { scheme = "urn", path = "isbn:123" } },
    { "data:text/plain;base64,AAA", { scheme = "data", path = "text/plain", params = "base64,AAA" } },
    { "file:///etc/x", { scheme = "file", authority = "", path = "/etc/x" } },
    { "file://C:/x", { scheme = "file", authority = "C:", host = "C", port = "", path = "/x" } },
    { "C:\\dir\\f", { scheme = "C", path = "\\dir\\f" } },
    { "http:a/b", { scheme = "http", path = "a/b" } },
    { "http:/a/b", { scheme = "http", path = "/a/b" } },
    { "://h.test", { path = "://h.test" } },
    { " http://h.test/", { path = " http://h.test/" } },
    { "http://h.test/ sp ace", { scheme = "http", authority = "h.test", host = "h.test", path = "/ sp ace" } },
    { "http://h.test/%2e%2e/x", { scheme = "http", authority = "h.test", host = "h.test", path = "/%2e%2e/x" } },
    { "http://h.test/a%20b;p=%3B?q=%3F#%23", { scheme = "http", authority = "h.test", host = "h.test", path = "/a%20b", params = "p=%3B", query = "q=%3F", fragment = "%23" } },
    { "http://h.test/?", { scheme = "http", authority = "h.test", host = "h.test", path = "/", query = "" } },
    { "http://h.test/#", { scheme = "http", authority = "h.test", host = "h.test", path = "/", fragment = "" } },
    { "ftp://f.test/dir/file;type=i", { scheme = "ftp", authority = "f.test", host = "f.test", path = "/dir/file", params = "type=i" } },
    { "http://ana:s?c#t@h.test:81/x", { scheme = "http", authority = "ana:s?c#t@h.test:81", userinfo = "ana:s?c#t", user = "ana", password = "s?c#t", host = "h.test", port = "81", path = "/x" } },
    { "/only", { scheme = "http", host = "d.test", port = "99", path = "/only" }, { scheme = "http", host = "d.test", port = "99" } },
    { "http://h.test", { scheme = "http", authority = "h.test", host = "h.test", path = "/" }, { path = "/", scheme = "x" } },
    { "http://h.test/x", { scheme = "http", authority = "h.test", userinfo = "a:b", user = "a", password = "b", host = "h.test", path = "/x" }, { userinfo = "a:b" } },
    { "/x", { authority = "u:p@z.test:5", userinfo = "u:p", user = "u", password = "p", host = "z.test", port = "5", path = "/x" }, { authority = "u:p@z.test:5" } },
    { "http://", { scheme = "http", authority = "", host = "dh" }, { host = "dh" } },
    { "http://h.test:/", { scheme = "http", authority = "h.test:", host = "h.test", port = "", path = "/" }, { port = "7" } },
    { "x", { path = "x", foo = 1 }, { foo = 1 } },
  }
end)

t.test("parse refuses what is empty", function()
  t.returns({ n = 2, nil, "invalid url" }, url.parse(""))
  t.returns({ n = 2, nil, "invalid url" }, url.parse(nil))
  t.returns({ n = 2, nil, "invalid url" }, url.parse(false))
  t.returns({ n = 2, nil, "invalid url" }, url.parse("", { path = "/" }))
end)

t.test("parse leaves the defaults alone", function()
  local defaults = { scheme = "http", host = "d.test" }
  url.parse("ftp://f.test/", defaults)
  t.same(defaults, { scheme = "http", host = "d.test" })
  t.equal(url.parse("12").path, "12")
end)

t.test("default userinfo counts only with an authority", function()
  t.same(url.parse("/x", { userinfo = "a:b" }), { path = "/x", userinfo = "a:b" })
end)

t.fix("the authority ends at the first slash, question mark or hash", function()
  check_parse {
    { "//h.test?q=1", { authority = "h.test", host = "h.test", query = "q=1" } },
    { "http://h.test?q=1", { scheme = "http", authority = "h.test", host = "h.test", query = "q=1" } },
    { "http://h.test#f", { scheme = "http", authority = "h.test", host = "h.test", fragment = "f" } },
    { "http://h.test:81?q", { scheme = "http", authority = "h.test:81", host = "h.test", port = "81", query = "q" } },
    { "http://h.test?u=a@b", { scheme = "http", authority = "h.test", host = "h.test", query = "u=a@b" } },
    { "http://h.test#a@b/c", { scheme = "http", authority = "h.test", host = "h.test", fragment = "a@b/c" } },
    { "http://h.test:81?x@o.test/", { scheme = "http", authority = "h.test:81", host = "h.test", port = "81", query = "x@o.test/" } },
    { "http://[::1]?x@o.test/", { scheme = "http", authority = "[::1]", host = "::1", query = "x@o.test/" } },
    { "http://good.test?x@other.test/", { scheme = "http", authority = "good.test", host = "good.test", query = "x@other.test/" } },
  }
  local parts = url.parse("http://u:p@good.test?x@other.test/")
  t.equal(parts.host, "good.test")
  t.equal(parts.password, "p")
end)

t.fix("userinfo ends at the last @, the user at the first colon", function()
  check_parse {
    {
      "http://a:b:c@h.test/",
      { scheme = "http", authority = "a:b:c@h.test", userinfo = "a:b:c", user = "a", password = "b:c", host = "h.test", path = "/" },
    },
    {
      "http://u@v@h.test/",
      { scheme = "http", authority = "u@v@h.test", userinfo = "u@v", user = "u@v", host = "h.test", path = "/" },
    },
  }
end)

t.fix("strict parsing", function()
  for _, good in ipairs { "http://h.test", "http://u:p@[::1]:8/x y", "//h.test:/", "/x", "mailto:a b@c" } do
    t.same(url.parse(good, nil, "strict"), url.parse(good))
  end
  for _, bad in ipairs {
    "http://h:80:90/", "http://[::1", "http://::1/", "http://[]/", "http://[::1]x/", "http://h:http/", "http://h:65536/",
    "http://u@v@h/", "http://h h/", "http://h\n/", "http://h\127/", "//h]/",
  } do
    t.returns({ n = 2, nil, "invalid url" }, url.parse(bad, nil, "strict"))
  end
end)

------------------------------------------------------------------------------------------------------------------- build

t.test("build", function()
  check(url.build, {
    { {}, "" },
    { { path = "/a" }, "/a" },
    { { scheme = "http" }, "http:" },
    { { scheme = "mailto", path = "a@b.test" }, "mailto:a@b.test" },
    { { host = "h.test" }, "//h.test" },
    { { scheme = "http", host = "h.test", path = "/a" }, "http://h.test/a" },
    { { host = "h.test", port = 80 }, "//h.test:80" },
    { { host = "h.test", port = "" }, "//h.test:" },
    { { authority = "h.test:1", port = "2" }, "//h.test:1" },
    { { authority = "x:1", host = "y.test" }, "//y.test" },
    { { authority = "h.test", user = "u" }, "//h.test" },
    { { host = "h.test", user = "u" }, "//u@h.test" },
    { { host = "h.test", user = "u", password = "p" }, "//u:p@h.test" },
    { { host = "h.test", user = "", password = "" }, "//:@h.test" },
    { { host = "h.test", password = "p" }, "//h.test" },
    { { host = "h.test", userinfo = "a:b" }, "//a:b@h.test" },
    { { host = "h.test", userinfo = "a:b", user = "c" }, "//c@h.test" },
    { { host = "h.test", userinfo = "a:b", password = "z" }, "//a:b@h.test" },
    { { user = "u", password = "p", path = "/x" }, "/x" },
    { { host = "::1" }, "//[::1]" },
    { { host = "::1", port = 8 }, "//[::1]:8" },
    { { host = "", path = "/x" }, "///x" },
    { { scheme = "file", authority = "", path = "/x" }, "file:///x" },
    { { path = "/a b" }, "/a b" },
    { { path = "/a?b", query = "c#d", params = "e", fragment = "f g" }, "/a?b;e?c#d#f g" },
    { { query = "", fragment = "", params = "" }, ";?#" },
    { { path = "/", query = 5 }, "/?5" },
    { { host = "h.test", url = "ignored" }, "//h.test" },
    { { scheme = "s", host = "h.test", path = "/", params = "p", query = "q", fragment = "f" }, "s://h.test/;p?q#f" },
  })
end)

t.fix("build keeps host and path apart", function()
  check(url.build, {
    { { host = "h.test", path = "a" }, "//h.test/a" },
    { { host = "h.test", params = "p" }, "//h.test/;p" },
    { { authority = "u:p", query = "x@h.test/" }, "//u:p/?x@h.test/" },
    { { host = "[::1]", port = 8 }, "//[::1]:8" },
    { { path = 5 }, "5" },
  })
end)

t.fix("build refuses line ends and NUL", function()
  for _, bad in ipairs { "\r", "\n", "\0" } do
    t.returns({ n = 2, nil, "invalid url" }, url.build { path = "/a" .. bad .. "b" })
    t.returns({ n = 2, nil, "invalid url" }, url.build { host = "a" .. bad })
  end
end)

t.test("build leaves its argument alone and raises on nonsense", function()
  local parts = { host = "h.test", path = "/a" }
  url.build(parts)
  t.same(parts, { host = "h.test", path = "/a" })
  t.raises({ match = "." }, url.build)
  t.raises({ match = "." }, url.build, { path = {}, query = "q" })
  t.raises({ match = "." }, url.build, { scheme = true })
end)

t.test("build looks at inherited parts", function()
  local parts = setmetatable({ path = "/a" }, { __index = { host = "h.test" } })
  t.equal(url.build(parts), "//h.test/a")
end)

---------------------------------------------------------------------------------------------------------------- absolute

local BASE = "http://srv.test/x/y/z.html;v=1?k=2#top"

t.test("absolute", function()
  check(function(reference) return url.absolute(BASE, reference) end, {
    { "w", "http://srv.test/x/y/w" },
    { "w.html?q", "http://srv.test/x/y/w.html?q" },
    { "w#s", "http://srv.test/x/y/w#s" },
    { "w;v=3?x=4#y", "http://srv.test/x/y/w;v=3?x=4#y" },
    { "./w", "http://srv.test/x/y/w" },
    { "../w", "http://srv.test/x/w" },
    { "../../w", "http://srv.test/w" },
    { "../../../w", "http://srv.test/w" },
    { "../../../../w", "http://srv.test/w" },
    { ".", "http://srv.test/x/y/" },
    { "./", "http://srv.test/x/y/" },
    { "..", "http://srv.test/x/" },
    { "../", "http://srv.test/x/" },
    { "../..", "http://srv.test/" },
    { "../../..", "http://srv.test/" },
    { "/", "http://srv.test/" },
    { "/w/", "http://srv.test/w/" },
    { "/../w", "http://srv.test/w" },
    { "/./w", "http://srv.test/w" },
    { "/../../w/./v/..", "http://srv.test/w/" },
    { "/a/../..", "http://srv.test/" },
    { "//other.test", "http://other.test" },
    { "//other.test/p", "http://other.test/p" },
    { "?z=9", "http://srv.test/x/y/z.html;v=1?z=9" },
    { "?", "http://srv.test/x/y/z.html;v=1?" },
    { "#", "http://srv.test/x/y/z.html;v=1?k=2#" },
    { "#n", "http://srv.test/x/y/z.html;v=1?k=2#n" },
    { ";v=2", "http://srv.test/x/y/z.html;v=2" },
    { ";", "http://srv.test/x/y/z.html;" },
    { "", "http://srv.test/x/y/z.html;v=1?k=2#top" },
    { "a//b", "http://srv.test/x/y/a//b" },
    { "a///b", "http://srv.test/x/y/a///b" },
    { "a/../../b", "http://srv.test/x/b" },
    { "a/b/../../../c", "http://srv.test/x/c" },
    { "./../././w", "http://srv.test/x/w" },
    { "w/..", "http://srv.test/x/y/" },
    { "w/../", "http://srv.test/x/y/" },
    { "w/.", "http://srv.test/x/y/w/" },
    { "w/./..", "http://srv.test/x/y/" },
    { "w/../..", "http://srv.test/x/" },
    { "...", "http://srv.test/x/y/..." },
    { "..w", "http://srv.test/x/y/..w" },
    { "w..", "http://srv.test/x/y/w.." },
    { ".w", "http://srv.test/x/y/.w" },
    { "../.../w", "http://srv.test/x/.../w" },
    { "a/b/c/../../d/../e", "http://srv.test/x/y/a/e" },
    { "w w", "http://srv.test/x/y/w w" },
    { "%2e%2e/w", "http://srv.test/x/y/%2e%2e/w" },
    { "..%2fw", "http://srv.test/x/y/..%2fw" },
    { "ftp:w", "ftp:w" },
    { "http:w", "http:w" },
    { "mailto:j@x.test", "mailto:j@x.test" },
    { "https://o.test/a/./b/../c", "https://o.test/a/c" },
    { "https://o.test/a/..", "https://o.test/" },
    { "https://o.test//a", "https://o.test//a" },
    { "https://o.test/a//b/../c", "https://o.test/a//c" },
    { "w?u=/./b", "http://srv.test/x/y/w?u=/b" },
    { "w?a=../b", "http://srv.test/x/y/w?a=../b" },
  })
end)

t.fix("dot segments never reach the authority", function()
  check(function(reference) return url.absolute(BASE, reference) end, {
    { "//other.test/../p", "http://other.test/p" },
    { "https://o.test/../b", "https://o.test/b" },
    { "https://o.test/..", "https://o.test/" },
    { "https://o.test/a/b/../../../c", "https://o.test/c" },
    { "https://u:p@o.test:8/../x", "https://u:p@o.test:8/x" },
    { "https://good.test/../evil.test/p", "https://good.test/evil.test/p" },
    { "mailto:a/../b", "mailto:b" },
    { "http:/..", "http:/" },
    { "file:///a/../../b", "file:///b" },
  })
end)

t.fix("behind the path only dots between slashes go", function()
  check(function(reference) return url.absolute(BASE, reference) end, {
    { "w?u=/a/../b", "http://srv.test/x/y/w?u=/a/../b" },
    { "w?u=a/../b", "http://srv.test/x/y/w?u=a/../b" },
    { "w#/a/../b", "http://srv.test/x/y/w#/a/../b" },
    { "?a=/m/../n", "http://srv.test/x/y/z.html;v=1?a=/m/../n" },
    { "w?u=/./././b#/./", "http://srv.test/x/y/w?u=/b#/" },
  })
  check(function(reference) return url.absolute(BASE, reference, "rfc3986") end, {
    { "w?u=/./b", "http://srv.test/x/y/w?u=/./b" },
    { "../w#/./b", "http://srv.test/x/w#/./b" },
    { "https://o.test/a/..?q", "https://o.test/?q" },
  })
end)

t.test("absolute, other bases", function()
  check_absolute {
    { "http://srv.test", "w", "http://srv.test/w" },
    { "http://srv.test", "/w", "http://srv.test/w" },
    { "http://srv.test", "?q", "http://srv.test?q" },
    { "http://srv.test", "#f", "http://srv.test#f" },
    { "http://srv.test", "../w", "http://srv.test/w" },
    { "http://srv.test/a", "w", "http://srv.test/w" },
    { "http://srv.test/a/", "w", "http://srv.test/a/w" },
    { "http://srv.test/a/b/", "w", "http://srv.test/a/b/w" },
    { "http://srv.test/a/b/", "?q", "http://srv.test/a/b/?q" },
    { "http://u:p@srv.test:81/a/b", "c", "http://u:p@srv.test:81/a/c" },
    { "http://u:p@srv.test:81/a/b", "//z.test/c", "http://z.test/c" },
    { "http://[::1]:81/a/b", "c", "http://[::1]:81/a/c" },
    { "http://srv.test/a;p/b", "x", "http://srv.test/x" },
    { "http://srv.test/a/b?x/y", "z", "http://srv.test/a/z" },
    { "http://srv.test/a/b/..", "c", "http://srv.test/a/b/c" },
    { "http://srv.test/a/b/../", "c", "http://srv.test/a/c" },
    { "http://srv.test/a//b/c", "../d", "http://srv.test/a//d" },
    { "http://srv.test/a//b/c", "../../d", "http://srv.test/a/d" },
    { "http://srv.test/a/b", ":h", "http://srv.test/a/:h" },
    { "http://srv.test/a/b", "./g:h", "http://srv.test/a/g:h" },
    { "//srv.test/m/n", "o", "//srv.test/m/o" },
    { "/m/n", "o", "/m/o" },
    { "m/n", "o", "m/o" },
    { "", "o", "o" },
    { "mailto:x@y.test", "z", "mailto:/z" },
    { "http:m/n", "o", "http:m/o" },
    { "file:///a/b", "c", "file:///a/c" },
    { "file:///a/b", "//c", "file://c" },
    { "http://srv.test/a/../b", "", "http://srv.test/b" },
    { { scheme = "http", authority = "t.test", path = "/a/b" }, "c", "http://t.test/a/c" },
    { { scheme = "http", authority = "t.test", path = "/a" }, "#z", "http://t.test/a#z" },
    { { scheme = "http", authority = "t.test", path = "/a/../b", query = "q" }, "", "http://t.test/b?q" },
  }
end)

t.fix("absolute, other bases, better", function()
  check_absolute {
    { "m", "o", "o" },
    { "http://srv.test?q=1", "w", "http://srv.test/w" },
    { { scheme = "http", host = "t.test", path = "/a/b" }, "c", "http://t.test/a/c" },
    { { scheme = "http", host = "t.test", port = 81, user = "u", path = "/a/b" }, "?c", "http://u@t.test:81/a/b?c" },
    { "http://srv.test", ";p", "http://srv.test/;p" },
    { "http://srv.test:x", "?y@evil.test/", "http://srv.test:x/?y@evil.test/" },
  }
end)

t.test("absolute without a base or a reference", function()
  t.equal(url.absolute(nil, "a/../b"), "b")
  t.equal(url.absolute(false, "a"), "a")
  t.equal(url.absolute("http://h.test/a", nil), "http://h.test/a")
  t.raises({ match = "." }, url.absolute, nil, nil)
  t.raises({ match = "." }, url.absolute, "", nil)
  t.raises({ match = "." }, url.absolute, "http://h.test/a", {})
end)

t.test("absolute leaves the base's parts alone", function()
  local base = { scheme = "http", authority = "t.test", path = "/a/b" }
  url.absolute(base, "c?d")
  t.same(base, { scheme = "http", authority = "t.test", path = "/a/b" })
end)

t.fix("absolute keeps every byte", function()
  t.equal(url.absolute("http://h.test/a", "b\1c\0d"), "http://h.test/b\1c\0d")
end)

--------------------------------------------------------------------------------------------------------- escape, unescape

t.test("escape", function()
  check(url.escape, {
    { "a b+c", "a%20b%2bc" },
    { "/?;&=", "%2f%3f%3b%26%3d" },
    { "\195\169~-_.!*'()", "%c3%a9%7e%2d_%2e%21%2a%27%28%29" },
    { "\0\255", "%00%ff" },
    { "%41", "%2541" },
    { "", "" },
    { 12, "12" },
  })
  t.raises({ match = "string expected, got nil" }, url.escape, nil)
end)

t.test("unescape", function()
  check(url.unescape, {
    { "a%20b+c%2F%2f%41", "a b+c//A" },
    { "%zz%4%", "%zz%4%" },
    { "%%41", "%A" },
    { "%25%32%35", "%25" },
    { "", "" },
    { 12, "12" },
  })
  t.raises({ match = "string expected, got table" }, url.unescape, {})
end)

t.test("unescape undoes escape", function()
  local all = {}
  for i = 0, 255 do all[i + 1] = string.char(i) end
  all = table.concat(all)
  t.equal(url.unescape(url.escape(all)), all)
end)

------------------------------------------------------------------------------------------------------------------- paths

t.test("parse_path", function()
  check(url.parse_path, {
    { "", {} },
    { "//", { is_absolute = 1, is_directory = 1 } },
    { "k", { "k" } },
    { "/k", { "k", is_absolute = 1 } },
    { "k/", { "k", is_directory = 1 } },
    { "/k/", { "k", is_absolute = 1, is_directory = 1 } },
    { "k//m", { "k", "m" } },
    { "///k///m///", { "k", "m", is_absolute = 1, is_directory = 1 } },
    { "/k%20m/%2F/c%2fd", { "k m", "/", "c/d", is_absolute = 1 } },
    { "/./../k", { ".", "..", "k", is_absolute = 1 } },
    { "k;v/m;w", { "k;v", "m;w" } },
    { "/%zz/%4", { "%zz", "%4", is_absolute = 1 } },
    { " / ", { " ", " " } },
    { 12, { "12" } },
  })
  t.same(url.parse_path(nil), {})
  t.raises({ match = "string expected, got table" }, url.parse_path, {})
end)

t.test("build_path", function()
  check(url.build_path, {
    { {}, "" },
    { { is_absolute = 1 }, "/" },
    { { is_directory = 1 }, "" },
    { { is_absolute = 1, is_directory = 1 }, "/" },
    { { "k" }, "k" },
    { { "k", "m", is_absolute = 1 }, "/k/m" },
    { { "k", "m", is_directory = 1 }, "k/m/" },
    { { "k m", "c/d" }, "k%20m/c%2Fd" },
    { { ";", "?", "#", "%" }, "%3B/%3F/%23/%25" },
    { { "$&+,-.:=@_~!*'()" }, "$&+,-.:=@_~!*'()" },
    { { "\171\n" }, "%AB%0A" },
    { { "", "" }, "/" },
    { { "k", "" }, "k/" },
    { { "..", "." }, "../." },
    { { 1, "a" }, "1/a" },
  })
  t.equal(url.build_path({ "k m", "c/d" }, true), "k m/c/d")
  t.equal(url.build_path({ "k m", "c/d" }, false), "k%20m/c%2Fd")
  t.equal(url.build_path({ "k m" }, 0), "k m")
  t.raises({ match = "." }, url.build_path, nil)
  t.raises({ match = "." }, url.build_path, { {} })
  t.raises({ match = "." }, url.build_path, { true }, true)
end)

t.test("build_path undoes parse_path", function()
  for _, path in ipairs { "/a/b%20c/", "a/%2F", "/", "x" } do t.equal(url.build_path(url.parse_path(path)), path) end
end)

t.test("build_path reads the list as Lua does", function()
  local asked = setmetatable({}, {
    __index = function(_, key)
      if type(key) == "number" then return url.build_path { "x", tostring(key) } end
    end,
    __len = function() return 2 end,
  })
  if #asked ~= 2 then t.skip("this Lua asks no table for its length") end
  t.equal(url.build_path(asked, true), "x/1/x/2")
end)

-------------------------------------------------------------------------------------------------------------- properties

local seed = 7
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

local TOKENS = { "a", "b.test", ":", "/", "//", "?", "#", ";", "@", "[", "]", "..", ".", "/../", "/./", "http:", "80", "%41", " " }

local function anything()
  local parts = {}
  for i = 1, random(10) do parts[i] = TOKENS[random(#TOKENS) + 1] end
  return table.concat(parts)
end

t.test("what was parsed can be built again", function()
  for _ = 1, 3000 do
    local text = anything()
    local parts = url.parse(text)
    if parts then
      parts.host = nil
      t.equal(url.build(parts), text)
    end
  end
end)

t.fix("building and parsing is stable", function()
  for _ = 1, 3000 do
    local parts = url.parse(anything())
    if parts then
      local once = url.build(parts)
      t.equal(url.build(url.parse(once) or {}), once)
    end
  end
end)

t.fix("no reference can change an authority but by naming one", function()
  for _ = 1, 3000 do
    local reference = anything()
    local parts = url.parse(reference) or {}
    if not parts.scheme then
      local result = url.parse(url.absolute("http://u:p@good.test:8/a/b?c#d", reference))
      t.equal(result.scheme, "http", reference)
      t.equal(result.authority, parts.authority or "u:p@good.test:8", reference)
    end
  end
end)

t.fix("long input takes time in proportion", function()
  for _, part in ipairs { "../", "a/", "./", "a/../", "%", "%41", ":", "@", "?", "#", ";", "[", "//" } do
    local long = part:rep(200000)
    local before = os.clock()
    url.parse(long)
    url.parse("http://" .. long)
    url.parse("http://u:x?" .. long)
    url.absolute("http://h.test/" .. long, long)
    url.absolute(long, "?" .. long)
    url.unescape(long)
    url.parse_path(long)
    t.between(os.clock() - before, 0, 2, part)
  end
end, 60)

t.done()

-- ltn12, mime, socket.url and socket.headers while memory runs out: each call succeeds as always or raises the memory
-- error, and leaves nothing behind that spoils the next one.
--
-- Only our own runner can make Lua's memory run out; elsewhere the file is skipped.

local t = require "support"

t.needs_failing_allocator "every entry without memory"
local exhaust = t.exhaust

local ltn12 = require "ltn12"
local mime = require "mime"
local url = require "socket.url"

t.test("loading the modules", function()
  for _, name in ipairs { "ltn12", "mime.core", "mime", "socket.url", "socket.headers" } do
    local before = {}
    for key, module in pairs(package.loaded) do before[key] = module end
    t.finally(function()
      for key, module in pairs(before) do package.loaded[key] = module end
    end)
    exhaust(function()
      package.loaded[name] = nil
      return require(name)
    end)
  end
end)

t.test("the functions of mime", function()
  local data = ("caf\195\169 = \r\n.x \n"):rep(1000)
  for name, call in pairs {
    b64 = function() return mime.b64("a", data) end,
    unb64 = function() return mime.unb64("YW", "JjYWJjYW==\r\n") end,
    qp = function() return mime.qp(" ", data, "=0D=0A") end,
    unqp = function() return mime.unqp("=", data) end,
    wrp = function() return mime.wrp(5, data, 20) end,
    qpwrp = function() return mime.qpwrp(5, data) end,
    eol = function() return mime.eol(0, data) end,
    dot = function() return mime.dot(2, data) end,
    undot = function() return mime.undot(2, data) end,
    last = function() return mime.b64("a") end,
  } do
    local wanted = t.pack(call())
    t.same(t.pack(exhaust(call)), wanted, name)
    t.same(t.pack(call()), wanted, name)
  end
end)

t.test("filters", function()
  local data = ("some text\r\n"):rep(500)
  local function through(...)
    local snk, parts = ltn12.sink.table()
    local ok, err = ltn12.pump.all(ltn12.source.chain(ltn12.source.string(data), ...), snk)
    return ok and table.concat(parts), err
  end
  for name, call in pairs {
    base64 = function() return through(mime.encode("base64"), mime.wrap("base64")) end,
    qp = function() return through(mime.normalize(), mime.encode("quoted-printable"), mime.wrap("quoted-printable")) end,
    gzip = function() return through(mime.encode("gzip"), mime.decode("gzip")) end,
    damaged = function() return through(mime.decode("deflate")) end,
  } do
    local wanted = t.pack(call())
    t.same(t.pack(exhaust(call)), wanted, name)
  end
end)

t.test("the functions of socket.url", function()
  local list = { "k m", "c/d", is_absolute = 1 }
  for name, call in pairs {
    parse = function() return url.parse("http://u:p@h.test:8/a;b?c#d", { path = "/", x = 1 }) end,
    build = function() return url.build { scheme = "http", host = "::1", port = 80, path = "x" } end,
    absolute = function() return url.absolute("http://h.test/a/b", "../c/./d?" .. ("e"):rep(5000)) end,
    table = function() return url.absolute({ scheme = "http", host = "h.test", port = 8 }, "c") end,
    escape = function() return url.escape("\0\1\2\3a b") end,
    unescape = function() return url.unescape("%00%01a+b") end,
    parse_path = function() return url.parse_path("/a%20b/c/%2f/") end,
    build_path = function() return url.build_path(list) end,
  } do
    local wanted = t.pack(call())
    t.same(t.pack(exhaust(call)), wanted, name)
    t.same(t.pack(call()), wanted, name)
  end
end)

t.done()

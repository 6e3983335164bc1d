-- The filters of mime: encode, decode, wrap, normalize, stuff.

local t = require "support"
local ltn12 = require "ltn12"
local mime = require "mime"

local END = {}

-- Feeds the filter each of `input`, END for nil, and compares its answers with `output`.
local function check(filter, input, output)
  for i, chunk in ipairs(input) do
    local results = t.pack(filter(chunk ~= END and chunk or nil))
    t.equal(results.n, 1, "answer " .. i)
    local wanted = output[i]
    if wanted == END then wanted = nil end
    t.equal(results[1], wanted, "answer " .. i)
  end
end

-- All that a pump gets out of the filters for `input`.
local function through(input, ...)
  local sink, parts = ltn12.sink.table()
  t.equal(ltn12.pump.all(ltn12.source.chain(ltn12.source.string(input), ...), sink), 1)
  return table.concat(parts)
end

t.test("base64", function()
  check(mime.encode("base64"), { "ab", "c", "de", END, END }, { "", "YWJj", "", "ZGU=", END })
  check(mime.encode("base64"), { END, END }, { END, END })
  check(mime.decode("base64"), { "YW", "Jj", "\r\nZA", "==", END, END }, { "", "abc", "", "d", END, END })
end)

t.fix("decoding base64 keeps a tail without padding", function()
  check(mime.decode("base64"), { "YWJ", END, END }, { "", "ab", END })
end)

t.test("quoted-printable", function()
  check(mime.encode("quoted-printable"), { "a b \r\n", "c", END, END }, { "a b=20\r\n", "c", END, END })
  check(mime.encode("quoted-printable"), { "end ", END, END }, { "end", "=20=\r\n", END })
  check(mime.encode("quoted-printable", "binary"), { "a \r\nb\r\n", END }, { "a=20=0D=0Ab=0D=0A", END })
  check(mime.encode("quoted-printable", "anything"), { "a\r\n", END }, { "a\r\n", END })
  check(mime.decode("quoted-printable"), { "a=", "4", "1=\r", "\nb", END, END }, { "a", "", "A", "b", END, END })
  check(mime.decode("quoted-printable"), { "a=4", END }, { "a", END })
end)

t.test("wrap", function()
  check(mime.wrap("text", 5), { "abcdefg", "h", END, END }, { "abcde\r\nfg", "h", "\r\n", END })
  check(mime.wrap(5), { "abcde", END, END }, { "abcde", "\r\n", END })
  check(mime.wrap("base64", 5), { "abcdefg", END, END }, { "abcde\r\nfg", "\r\n", END })
  check(mime.wrap(5), { "ab\r\n", END }, { "ab\r\n", END })
  local line = ("x"):rep(76)
  check(mime.wrap(), { line .. "y" }, { line .. "\r\ny" })
  check(mime.wrap(nil, 10), { line .. "y" }, { line .. "\r\ny" })
  check(mime.wrap("default"), { line .. "y" }, { line .. "\r\ny" })
  check(mime.wrap("quoted-printable"), { line, END, END }, { line:sub(2) .. "=\r\nx", "=\r\n", END })
end)

t.fix("wrap('quoted-printable') takes a length", function()
  check(mime.wrap("quoted-printable", 5), { "abcdef", END }, { "abcd=\r\nef", "=\r\n" })
  t.raises({ match = "at least 4" }, function() return mime.wrap("quoted-printable", 3) end)
end)

t.test("normalize and stuff", function()
  check(mime.normalize(), { "a\r", "\nb\n", "\nc", END }, { "a\r\n", "b\r\n", "\r\nc", END })
  check(mime.normalize("\n"), { "a\r", "\nb\r", "c", END }, { "a\n", "b\n", "c", END })
  check(mime.stuff(), { ".a\r", "\n", ".", "\r\n..", END }, { "..a\r", "\n", "..", "\r\n...", END })
end)

t.fix("stuffing with bare line ends, and back", function()
  t.equal(through("a\n.\nb\r.c", mime.stuff("lines")), "a\r\n..\r\nb\r\n..c")
  check(mime.unstuff(), { "..a\r", "\n.", ".b\r\n.", ".", END, ".." }, { ".a\r", "\n", ".b\r\n", ".", END, "." })
end)

t.test("normalize, stuff and wrap can be used again", function()
  local normalize, stuff, wrap = mime.normalize(), mime.stuff(), mime.wrap(5)
  for _ = 1, 2 do
    check(normalize, { "a\r", END }, { "a\r\n", END })
    check(stuff, { ".a", END }, { "..a", END })
    check(wrap, { "abc", END, END }, { "abc", "\r\n", END })
  end
end)

t.fix("encode and decode can be used again", function()
  local encode, decode = mime.encode("base64"), mime.decode("base64")
  for _ = 1, 2 do
    check(encode, { "a", END, END }, { "", "YQ==", END })
    check(decode, { "YQ", "==", END }, { "", "a", END })
  end
end)

t.fix("a strict decoder fails", function()
  local decode = mime.decode("base64", "strict")
  t.returns({ "a" }, decode("YQ=="))
  t.returns({ "" }, decode("\r\n"))
  t.returns({ n = 2, nil, "invalid base64" }, decode("*"))
  t.returns({ n = 2, nil, "invalid base64" }, decode("YQ=="))
  local source = ltn12.source.chain(ltn12.source.string("YQ"), mime.decode("base64", "strict"))
  t.returns({ n = 2, nil, "invalid base64" }, ltn12.pump.all(source, ltn12.sink.null()))
end)

t.test("unknown names", function()
  local function inner(f, ...) return (f(...)) end
  local function unknown(name, ...)
    local arguments = t.pack(...)
    t.raises("unknown key (" .. name .. ")", function() return (inner(t.unpack(arguments))) end)
  end
  unknown("nope", mime.encode, "nope")
  unknown("BASE64", mime.decode, "BASE64")
  unknown("10", mime.wrap, "10")
  unknown("default", mime.encode)
  unknown("default", mime.decode, 1)
end)

t.test("programs may add filters", function()
  t.finally(function() mime.encodet.twice, mime.wrapt.default = nil, mime.wrapt.text end)
  mime.encodet.twice = function(x, y) return x, y end
  t.returns({ 1, 2 }, mime.encode("twice", 1, 2, 3))
  mime.wrapt.default = function(x, y) return x, y end
  t.returns({ 5, "z" }, mime.wrap(5, "z"))
  t.returns({ n = 2, nil, 5 }, mime.wrap(nil, 5))
end)

t.test("recipes", function()
  local function base64() return mime.encode("base64"), mime.wrap("base64") end
  local function qp() return mime.normalize(), mime.encode("quoted-printable"), mime.wrap("quoted-printable") end
  local line = ("x"):rep(57)
  t.equal(through(line, base64()), (mime.b64(line)) .. "\r\n")
  t.equal(through(line .. "yz", base64()), (mime.b64(line)) .. "\r\neXo=\r\n")
  t.equal(through("", base64()), "")
  t.equal(through("h\195\169llo \nend", qp()), "h=C3=A9llo=20\r\nend=\r\n")
  t.equal(through("abc", qp()), "abc=\r\n")
  t.equal(through("abc ", qp()), "abc=20=\r\n")
  t.equal(through("abc\n", qp()), "abc\r\n")
end)

t.test("through every filter and back", function()
  local data = {}
  for i = 1, 20000 do data[i] = string.char((i * i + 7 * i) % 256) end
  data = table.concat(data)
  t.equal(through(data, mime.encode("base64"), mime.wrap("base64"), mime.decode("base64")), data)
  t.equal(through(data, mime.encode("quoted-printable", "binary"), mime.wrap("quoted-printable"), mime.decode("quoted-printable")), data)
end)

t.done()

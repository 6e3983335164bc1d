-- The functions of mime.core: transfer encodings and line filters, piece by piece.

local t = require "support"
local mime = require "mime"

local LONG = ("x"):rep(76)

-- Calls `f` with the arguments of each row, its first list, and compares the results with its second.
local function check(f, rows)
  for i, row in ipairs(rows) do
    local arguments, wanted = row[1], row[2]
    local results = t.pack(f(t.unpack(arguments)))
    local what = "row " .. i .. ", " .. t.show(arguments)
    t.equal(results.n, 2, what)
    t.equal(results[1], wanted[1], what)
    t.equal(results[2], wanted[2], what)
  end
end

-- A list that may hold nil.
local function a(...)
  return t.pack(...)
end

----------------------------------------------------------------------------------------------------------------- module

t.test("mime and mime.core are the same table", function()
  t.equal(require "mime.core", mime)
  t.equal(mime._VERSION, "MIME 1.0.3")
  for _, name in ipairs { "b64", "unb64", "qp", "unqp", "wrp", "qpwrp", "eol", "dot", "encode", "decode", "wrap", "normalize", "stuff" } do
    t.equal(type(mime[name]), "function", name)
  end
  for _, name in ipairs { "encodet", "decodet", "wrapt" } do t.equal(type(mime[name]), "table", name) end
end)

----------------------------------------------------------------------------------------------------------------- base64

t.test("b64", function()
  check(mime.b64, {
    { a("", ""), a("", "") },
    { a(""), a(nil, nil) },
    { a("", nil), a(nil, nil) },
    { a(nil, "x"), a(nil, nil) },
    { a(), a(nil, nil) },
    { a("a"), a("YQ==", nil) },
    { a("ab"), a("YWI=", nil) },
    { a("abc"), a("YWJj", nil) },
    { a("a", "b"), a("", "ab") },
    { a("a", "bc"), a("YWJj", "") },
    { a("ab", "cd"), a("YWJj", "d") },
    { a("abcd", "efg"), a("YWJjZGVm", "g") },
    { a("ab", ""), a("", "ab") },
    { a("\0"), a("AA==", nil) },
    { a("\0\0"), a("AAA=", nil) },
    { a("\255\255\255"), a("////", nil) },
    { a(12), a("MTI=", nil) },
    { a("", 12), a("", "12") },
  })
end)

t.test("unb64", function()
  check(mime.unb64, {
    { a("", ""), a("", "") },
    { a(""), a(nil, nil) },
    { a(nil, "x"), a(nil, nil) },
    { a("YQ=="), a("a", nil) },
    { a("YWI="), a("ab", nil) },
    { a("YWJj"), a("abc", nil) },
    { a("YW", "Jj"), a("abc", "") },
    { a("YQ", ""), a("", "YQ") },
    { a("YWJjZ"), a("abc", nil) },
    { a("YWJj", "Z"), a("abc", "Z") },
    { a("YQ=", "="), a("a", "") },
    { a(" Y W\r\nJ*j"), a("abc", nil) },
    { a("\255YQ==\0"), a("a", nil) },
    { a("-_-_"), a(nil, nil) },
    { a("*", ""), a("", "") },
    { a("Y*", "*"), a("", "Y") },
    { a("YQ==YQ=="), a("aa", nil) },
    { a("===="), a("\0", nil) },
    { a("A==="), a("\0", nil) },
    { a("=WJj"), a("\1bc", nil) },
    { a("YW=j"), a("a", nil) },
    { a("YR=="), a("a", nil) },
    { a("AAAA"), a("\0\0\0", nil) },
  })
end)

t.fix("unb64 decodes a tail without padding", function()
  check(mime.unb64, {
    { a("YQ"), a("a", nil) },
    { a("YQ="), a("a", nil) },
    { a("YWI"), a("ab", nil) },
    { a("YWJjZGU"), a("abcde", nil) },
    { a("Y"), a(nil, nil) },
    { a("=="), a(nil, nil) },
    { a("YWJj=="), a("abc", nil) },
  })
end)

t.fix("the URL-safe alphabet", function()
  check(mime.b64, { { a("\251\255\191\255", nil, "url"), a("-_-__w", nil) }, { a("", "a", "url"), a("", "a") } })
  check(mime.unb64, {
    { a("-_-__w", nil, "url"), a("\251\255\191\255", nil) },
    { a("", "-_+/", "url"), a("\251\255\191", "") },
  })
end)

t.fix("strict decoding", function()
  check(mime.unb64, {
    { a(" YW\r\nI=\t\n", nil, "strict"), a("ab", nil) },
    { a("", "YQ==", "strict"), a("a", "=") },
    { a("=", "\r\n", "strict"), a("", "=") },
    { a("=", nil, "strict"), a(nil, nil) },
    { a("=", "YQ==", "strict"), a(nil, "invalid base64") },
    { a("YQ", nil, "strict"), a(nil, "invalid base64") },
    { a("YQ", "", "strict"), a("", "YQ") },
    { a("Y*Q=", "", "strict"), a(nil, "invalid base64") },
    { a("YQ=a", "", "strict"), a(nil, "invalid base64") },
    { a("Y===", "", "strict"), a(nil, "invalid base64") },
  })
end)

------------------------------------------------------------------------------------------------------- quoted-printable

t.test("qp", function()
  check(mime.qp, {
    { a("", ""), a("", "") },
    { a(""), a(nil, nil) },
    { a(nil, "x"), a(nil, nil) },
    { a("a"), a("a", nil) },
    { a("a", ""), a("a", "") },
    { a("a=b", ""), a("a=3Db", "") },
    { a("\127\0\255", ""), a("=7F=00=FF", "") },
    { a("\195\169"), a("=C3=A9", nil) },
    { a('!"#$@[]^{}~', ""), a('!"#$@[]^{}~', "") },
    { a("\n", ""), a("=0A", "") },
    { a("\r", ""), a("", "\r") },
    { a("\r"), a("=0D=\r\n", nil) },
    { a("\r\n", ""), a("\r\n", "") },
    { a("\r\r\n", ""), a("=0D\r\n", "") },
    { a("a\r", "\nb"), a("a\r\nb", "") },
    { a("a b", ""), a("a", " b") },
    { a("a b"), a("a=20b=\r\n", nil) },
    { a("a ", ""), a("a", " ") },
    { a("a "), a("a=20=\r\n", nil) },
    { a("a \r\n", ""), a("a=20\r\n", "") },
    { a("a\t\r\n", ""), a("a=09\r\n", "") },
    { a("a  \r\n", ""), a("a =20\r\n", "") },
    { a(" \r", "\nb"), a("=20\r\nb", "") },
    { a(" \r", ""), a("", " \r") },
    { a(" \r"), a("=20=0D=\r\n", nil) },
    { a(" \n", ""), a("", " \n") },
    { a(" \r\r\n", ""), a(" =0D\r\n", "") },
    { a("  "), a("=20=20=\r\n", nil) },
    { a("a \r\n "), a("a=20\r\n=20=\r\n", nil) },
    { a(".\r\n.", ""), a(".\r\n.", "") },
    { a("a\r\nb \r\n", "", "=0D=0A"), a("a=0D=0Ab=20=0D=0A", "") },
    { a("a\r\nb", "", "\n"), a("a\nb", "") },
    { a("a\r\nb", "", ""), a("ab", "") },
  })
end)

t.fix("qp takes a marker with a NUL whole", function()
  check(mime.qp, { { a("a\r\nb", "", "x\0y"), a("ax\0yb", "") } })
end)

t.test("unqp", function()
  check(mime.unqp, {
    { a("", ""), a("", "") },
    { a(""), a(nil, nil) },
    { a(nil, "x"), a(nil, nil) },
    { a("abc"), a("abc", nil) },
    { a("=41"), a("A", nil) },
    { a("=4", "1"), a("A", "") },
    { a("=4", ""), a("", "=4") },
    { a("=4"), a(nil, nil) },
    { a("=e9=E9", ""), a("\233\233", "") },
    { a("a=eG=Zz", ""), a("a=eG=Zz", "") },
    { a("==41", ""), a("==41", "") },
    { a("a=\r\nb", ""), a("ab", "") },
    { a("=\r", "\nb"), a("b", "") },
    { a("\r\n", ""), a("\r\n", "") },
    { a("\r", "\n"), a("\r\n", "") },
    { a("\r", ""), a("", "\r") },
    { a("x\r"), a("x", nil) },
    { a("=00=0A=0D", ""), a("\0\n\r", "") },
    { a("\0\1\127a\tb", ""), a("a\tb", "") },
  })
end)

t.fix("unqp loses no data", function()
  check(mime.unqp, {
    { a("\195\169=C3=A9", ""), a("\195\169\195\169", "") },
    { a("a\nb", ""), a("a\nb", "") },
    { a("\rab", ""), a("ab", "") },
    { a("\r\r\n", ""), a("\r\n", "") },
    { a("a="), a("a=", nil) },
    { a("=00"), a("\0", nil) },
    { a("=00a"), a("\0a", nil) },
  })
end)

t.fix("unqp takes blanks at the end of a line for padding", function()
  check(mime.unqp, {
    { a("a=\nb", ""), a("ab", "") },
    { a("a = \t\r\nb", ""), a("a b", "") },
    { a("a \t\r\nb \nc", ""), a("a\r\nb\nc", "") },
    { a("a=20\r\n", ""), a("a \r\n", "") },
    { a("a ", ""), a("a", " ") },
    { a(" ", "\r\nb"), a("\r\nb", "") },
    { a("= ", "\r\nb"), a("b", "") },
    { a("a "), a("a ", nil) },
    { a("= b", ""), a("= b", "") },
  })
  local carry = ""
  for _ = 1, 1000 do
    carry = select(2, mime.unqp(carry, "          "))
    t.between(#carry, 1, 80)
  end
end)

-------------------------------------------------------------------------------------------------------------------- lines

t.test("wrp", function()
  check(mime.wrp, {
    { a(5, "abcdefgh", 5), a("abcde\r\nfgh", 2) },
    { a(2, "abcde", 5), a("ab\r\ncde", 2) },
    { a(0, "a", 5), a("\r\na", 4) },
    { a(5, "abcde\r\n", 5), a("abcde\r\n", 5) },
    { a(5, "abcdef\n", 5), a("abcde\r\nf\r\n", 5) },
    { a(5, "a\rb", 5), a("ab", 3) },
    { a(5, "\n\n", 5), a("\r\n\r\n", 5) },
    { a(0, "\r\n", 5), a("\r\n", 5) },
    { a(5, "ab cd ef", 5), a("ab cd\r\n ef", 2) },
    { a(5, "", 5), a("", 5) },
    { a(-3, "ab", 5), a("\r\nab", 3) },
    { a(76, "x"), a("x", 75) },
    { a(5, nil, 5), a(nil, 5) },
    { a(3, nil, 5), a("\r\n", 5) },
    { a(0, nil, 5), a("\r\n", 5) },
    { a(1, "abc", 0), a("a\r\nb\r\nc", -1) },
    { a("5", "abcdef", "5"), a("abcde\r\nf", 4) },
    { a(5.9, "", 5), a("", 5) },
    { a(76, LONG .. "\r\n"), a(LONG .. "\r\n", 76) },
    { a(76, LONG .. "y"), a(LONG .. "\r\ny", 75) },
  })
end)

t.test("qpwrp", function()
  check(mime.qpwrp, {
    { a(5, "abcdefgh", 5), a("abcd=\r\nefgh", 1) },
    { a(5, "abcd", 5), a("abcd", 1) },
    { a(5, "abcde", 5), a("abcd=\r\ne", 4) },
    { a(5, "abcd\r\n", 5), a("abcd\r\n", 5) },
    { a(5, "abcde\r\n", 5), a("abcd=\r\ne\r\n", 5) },
    { a(8, "abcd=41=42", 8), a("abcd=41=\r\n=42", 5) },
    { a(8, "abcde=41", 8), a("abcde=\r\n=41", 5) },
    { a(4, "=41", 8), a("=41", 1) },
    { a(3, "=41", 8), a("=\r\n=41", 5) },
    { a(8, "abcdefg=41", 8), a("abcdefg=\r\n=41", 5) },
    { a(5, "=\r\nab", 5), a("=\r\nab", 3) },
    { a(8, "a\nb\n", 8), a("a\r\nb\r\n", 8) },
    { a(8, "a\rb", 8), a("ab", 6) },
    { a(1, "a", 5), a("=\r\na", 4) },
    { a(2, "ab", 5), a("a=\r\nb", 4) },
    { a(3, "=41=42", 3), a("=\r\n=4=\r\n1=\r\n=4=\r\n2", 2) },
    { a(5, nil, 5), a(nil, 5) },
    { a(3, nil, 5), a("=\r\n", 5) },
    { a(76, LONG:sub(2) .. "\r\n"), a(LONG:sub(2) .. "\r\n", 76) },
    { a(76, LONG .. "\r\n"), a(LONG:sub(2) .. "=\r\nx\r\n", 76) },
    { a(76, LONG:sub(5) .. "=41"), a(LONG:sub(5) .. "=41", 1) },
    { a(76, LONG:sub(4) .. "=41"), a(LONG:sub(4) .. "=\r\n=41", 73) },
  })
end)

t.test("eol", function()
  check(mime.eol, {
    { a(0, "a\nb"), a("a\r\nb", 0) },
    { a(0, "a\rb"), a("a\r\nb", 0) },
    { a(0, "a\r\nb"), a("a\r\nb", 0) },
    { a(0, "a\n\rb"), a("a\r\nb", 0) },
    { a(0, "\n\n"), a("\r\n\r\n", 0) },
    { a(0, "\r\r"), a("\r\n\r\n", 0) },
    { a(0, "\r\n\r\n"), a("\r\n\r\n", 0) },
    { a(0, "\n\n\r\r"), a("\r\n\r\n\r\n\r\n", 0) },
    { a(0, "\r\n\n"), a("\r\n\r\n", 10) },
    { a(0, "\r\r\n"), a("\r\n\r\n\r\n", 10) },
    { a(0, "\n\r\n"), a("\r\n\r\n", 10) },
    { a(0, "a\r"), a("a\r\n", 13) },
    { a(13, "\nx"), a("x", 0) },
    { a(13, "\rx"), a("\r\nx", 0) },
    { a(10, "\rx"), a("x", 0) },
    { a(10, "\nx"), a("\r\nx", 0) },
    { a(13, "x"), a("x", 0) },
    { a(13, ""), a("", 13) },
    { a(0, ""), a("", 0) },
    { a(0, "a\r\nb", "\n"), a("a\nb", 0) },
    { a(0, "a\nb", ""), a("ab", 0) },
    { a(99, "\n"), a("\r\n", 10) },
    { a(269, "\n"), a("\r\n", 10) },
    { a(13, nil), a(nil, 0) },
  })
end)

t.fix("eol takes a marker with a NUL whole", function()
  check(mime.eol, { { a(0, "a\nb", "\0"), a("a\0b", 0) } })
end)

t.test("dot", function()
  check(mime.dot, {
    { a(2, "."), a("..", 0) },
    { a(0, "."), a(".", 0) },
    { a(1, "."), a(".", 0) },
    { a(2, ".."), a("...", 0) },
    { a(2, "a."), a("a.", 0) },
    { a(2, "\r\n."), a("\r\n..", 0) },
    { a(2, "\r\n.\r\n.x\r\n..y"), a("\r\n..\r\n..x\r\n...y", 0) },
    { a(0, "\n."), a("\n.", 0) },
    { a(1, "\n."), a("\n..", 0) },
    { a(1, "\n.\n."), a("\n..\n.", 0) },
    { a(0, "\r."), a("\r.", 0) },
    { a(0, "\r\r\n."), a("\r\r\n..", 0) },
    { a(0, "a\r"), a("a\r", 1) },
    { a(0, "a\r\n"), a("a\r\n", 2) },
    { a(0, "a\n"), a("a\n", 0) },
    { a(2, ""), a("", 2) },
    { a(2, "\r"), a("\r", 1) },
    { a(2, "\n"), a("\n", 0) },
    { a(0, nil), a(nil, 2) },
  })
end)

t.fix("undot", function()
  check(mime.undot, {
    { a(2, ".."), a(".", 0) },
    { a(2, "."), a("", 0) },
    { a(0, ".."), a("..", 0) },
    { a(2, "..a\r\n..\r\n."), a(".a\r\n.\r\n", 0) },
    { a(1, "\n.."), a("\n.", 0) },
    { a(2, "a\r\n"), a("a\r\n", 2) },
    { a(2, ""), a("", 2) },
    { a(0, nil), a(nil, 2) },
  })
end)

--------------------------------------------------------------------------------------------------------------- arguments

t.test("arguments of the wrong type", function()
  local function named(name, expected, ...)
    -- Called as a field, so that its name is known on every Lua.
    local arguments = t.pack(...)
    t.raises(expected, function() return (mime[name](t.unpack(arguments))) end)
  end
  for _, name in ipairs { "b64", "unb64", "qp", "unqp" } do
    named(name, { match = "bad argument #1 to .*string expected, got table" }, {})
    named(name, { match = "bad argument #2 to .*string expected, got boolean" }, "", false)
  end
  for _, name in ipairs { "wrp", "qpwrp", "eol", "dot" } do
    named(name, { match = "bad argument #1 to .*number expected, got no value" })
    named(name, { match = "bad argument #1 to .*number expected, got nil" }, nil, "x")
    named(name, { match = "bad argument #2 to .*string expected, got table" }, 2, {})
  end
  named("wrp", { match = "bad argument #3 to .*number expected, got string" }, 5, "x", "long")
  named("qp", { match = "bad argument #3 to .*string expected, got table" }, "", "x", {})
  named("eol", { match = "bad argument #3 to .*string expected, got table" }, 0, "x", {})
end)

t.test("b64 of nil looks at nothing else", function()
  t.returns({ n = 2 }, mime.b64(nil, {}))
end)

t.fix("numbers are integers", function()
  for _, n in ipairs { select(2, mime.wrp(76, "abc")), select(2, mime.eol(0, "\n")), select(2, mime.dot(2, "a")) } do
    t.match(tostring(n), "^%d+$")
  end
end)

------------------------------------------------------------------------------------------------------------------- pieces

-- What `f` makes of `input` cut into two at `cut`, with the results of both calls and of the end put together.
local function carried(f, input, cut, extra)
  local first, carry = f("", input:sub(1, cut), extra)
  local second, rest = f(carry, input:sub(cut + 1), extra)
  return first .. second .. (f(rest, nil, extra) or "")
end

local function counted(f, context, input, cut, extra)
  local first, next = f(context, input:sub(1, cut), extra)
  local second, last = f(next, input:sub(cut + 1), extra)
  return first .. second .. (f(last, nil, extra) or "")
end

t.test("cuts never show", function()
  local text = "Some text. \r\n..with = and \t\r\nCRs \r\r\n and caf\195\169 \n=3D=\r\n.\r\n \r \r\nYWJj ZA==\r\n" .. LONG
  for _, name in ipairs { "b64", "unb64", "qp", "unqp" } do
    local whole = carried(mime[name], text, 0)
    for cut = 1, #text do t.equal(carried(mime[name], text, cut), whole, name .. " cut at " .. cut) end
  end
  for name, context in pairs { wrp = 20, qpwrp = 20, eol = 0, dot = 2 } do
    local extra = context == 20 and 20 or nil
    local whole = counted(mime[name], context, text, 0, extra)
    for cut = 1, #text do t.equal(counted(mime[name], context, text, cut, extra), whole, name .. " cut at " .. cut) end
  end
end)

t.test("there and back", function()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i, (i * 7) % 256) end
  local data = table.concat(bytes)
  for length = 1, #data do
    local part = data:sub(1, length)
    t.equal((mime.unb64((mime.b64(part)))), part)
  end
  data = "x" .. data
  t.equal((mime.unqp((mime.qp(data)))), data)
end)

t.test("long input", function()
  local long = ("0123456789"):rep(300000)
  t.equal((mime.unb64((mime.b64(long)))), long)
  t.equal(#mime.wrp(76, (mime.b64(long)), 76), 4000000 + 2 * math.floor((4000000 - 1) / 76))
  t.equal((mime.b64("abc")), "YWJj")
end)

t.fix("a finalizer may call while a result is made", function()
  local calls = 0
  local function finalized()
    local function finalizer()
      calls = calls + 1
      for _ = 1, 3 do (mime.b64(("z"):rep(3000))):lower() end
    end
    if _VERSION == "Lua 5.1" and newproxy then
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = finalizer
    else
      setmetatable({}, { __gc = finalizer })
    end
  end
  local data = ("a"):rep(3000)
  local wanted = (mime.b64(data))
  for _ = 1, 3000 do
    finalized()
    t.equal((mime.b64(data)), wanted)
  end
  collectgarbage()
  t.between(calls, 1, 3000)
end)

t.done()

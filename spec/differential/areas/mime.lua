-- mime: the low-level functions in every shape of arguments, the filters in every cut of the input.

local mime = require "mime"
local ltn12 = require "ltn12"

local WORDS = {
  "a", "b", "Zz", "0", "=", "==", "=41", "=e", "=\r\n", " ", "  ", "\t", "\r", "\n", "\r\n", "\n\r", ".", ".\r\n", "\r\n.", "YW", "YWJj",
  "YQ==", "+/", "-_", "\195\169", "\255", "~", "!", "word", "=3D", "From ",
}
local ODD = { n = 8, nil, true, false, 12, 1.5, {}, print, "7" }
local MARKERS = { n = 6, nil, "\r\n", "\n", "", "=0D=0A", "<BR>" }
local NAMES = { n = 9, "base64", "quoted-printable", "text", "default", "Base64", "", "10", nil, 5 }

return function(g)
  local function text()
    return g.text(WORDS, 10)
  end

  -- Text without what we decode better on purpose: 8-bit bytes, bare line ends, blanks before a line end and odd escapes.
  local function quoted()
    return g.text({ "a", "B", " x", "=41", "=e9", "=C3", "=\r\n", "\r\n", "word", "\tx", "=20\r\n" }, 8) .. "."
  end

  local function maybe(value)
    return g.chance(80) and value or g.pick(ODD)
  end

  local function carry(name, make)
    return function()
      local shape = g.int(1, 4)
      if shape == 1 then return g.call(name, mime[name], make()) end
      if shape == 2 then return g.call(name, mime[name], make(), g.chance(80) and make() or nil) end
      if shape == 3 then return g.call(name, mime[name], maybe(make()), maybe(make())) end
      return g.call(name, mime[name], make(), make(), g.pick(MARKERS))
    end
  end

  local function counter(name, contexts)
    return function()
      local context = g.pick(contexts)
      local extra = (name == "eol") and g.pick(MARKERS) or g.pick { 76, 5, 1, 0, -1, 2.5, "7", 4, 10 }
      local shape = g.int(1, 4)
      if shape == 1 then return g.call(name, mime[name], context, text()) end
      if shape == 2 then return g.call(name, mime[name], context, g.chance(60) and text() or nil, extra) end
      if shape == 3 then return g.call(name, mime[name], maybe(context), maybe(text()), maybe(extra)) end
      return g.call(name, mime[name], context)
    end
  end

  local function run(filter, chunks)
    for _ = 1, chunks do g.call("filter", filter, text()) end
    g.call("filter", filter, nil)
    g.call("filter", filter, nil)
  end

  local function high(name)
    return function()
      local kind = g.pick(NAMES)
      -- For quoted-printable the C library takes no length.
      local filter = g.call(name, mime[name], kind, g.pick { n = 4, nil, "binary", kind ~= "quoted-printable" and 5 or nil, nil })
      if type(filter) == "function" and name ~= "decode" then run(filter, g.int(0, 4)) end
    end
  end

  -- Without a tail of two or three characters, which we decode.
  local function whole_base64()
    return g.text({ "YWJj", "YQ==", "ZGU=", "\r\n", " ", "-", "\255", "+/+/", "====" }, 8)
  end

  local DO = {
    b64 = carry("b64", text), unb64 = carry("unb64", whole_base64),
    unb64_cut = function() g.call("unb64", mime.unb64, text(), text()) end, qp = carry("qp", text), unqp = carry("unqp", quoted),
    wrp = counter("wrp", { 76, 5, 1, 0, -3, 2.5, "4" }), qpwrp = counter("qpwrp", { 76, 5, 1, 0, -3, 2.5, "4" }),
    eol = counter("eol", { 0, 10, 13, 99, -1, "13" }), dot = counter("dot", { 0, 1, 2, 3, "2" }),
    encode = high "encode", decode = high "decode", wrap = high "wrap",
    normalize = function() run(mime.normalize(g.pick(MARKERS)), g.int(1, 5)) end,
    stuff = function() run(mime.stuff(), g.int(1, 5)) end,
    chain = function()
      local filter = ltn12.filter.chain(mime.normalize(), mime.encode(g.pick { "base64", "quoted-printable" }),
        mime.wrap(g.pick { "base64", "quoted-printable" }))
      local sink, out = ltn12.sink.table()
      local rest = text() .. text() .. text()
      local source = ltn12.source.string(rest)
      g.call("pump", ltn12.pump.all, ltn12.source.chain(source, filter), sink)
      g.log("chain", rest, table.concat(out))
    end,
    decoded = function()
      local name = g.pick { "base64", "quoted-printable" }
      local filter = mime.decode(name)
      local whole = name == "base64" and mime.b64(text() .. "x") or quoted()
      -- We hold blanks back until we know what follows, so only the whole is the same.
      local parts, rest = {}, whole
      while rest ~= "" do
        local n = g.int(1, 7)
        parts[#parts + 1] = filter(rest:sub(1, n))
        rest = rest:sub(n + 1)
      end
      parts[#parts + 1] = filter(nil)
      g.log("decode " .. name, whole, table.concat(parts))
    end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = 1 end
  for _ = 1, 8 do DO[g.choose(WEIGHTS)]() end
end

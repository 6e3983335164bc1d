-- Compression as filters.

local t = require "support"
local ltn12 = require "ltn12"
local mime = require "mime"

if t.reference then
  t.test("gzip", function() t.skip("the C library has none") end)
  t.done()
end

local FORMATS = { "gzip", "deflate" }
local TEXT = ("a line of text, "):rep(3000) .. "\0\255\r\n"

local function pump(input, ...)
  local sink, parts = ltn12.sink.table()
  local ok, err = ltn12.pump.all(ltn12.source.chain(ltn12.source.string(input), ...), sink)
  return ok and table.concat(parts), err
end

t.test("there and back", function()
  for _, format in ipairs(FORMATS) do
    for _, text in ipairs { "a", TEXT, ("x"):rep(100000) } do
      local packed = t.ok(pump(text, mime.encode(format)))
      t.equal(t.ok(pump(packed, mime.decode(format))), text)
    end
  end
end)

t.test("levels", function()
  t.ok(#pump(TEXT, mime.encode("gzip", 0)) > #TEXT)
  t.ok(#pump(TEXT, mime.encode("gzip", 9)) < #TEXT / 50)
  t.raises({ match = "level from 0 to 9" }, mime.encode, "gzip", 10)
  t.raises({ match = "number expected" }, mime.encode, "gzip", "fast")
end)

t.test("what others have packed", function()
  local gzip = mime.unb64("H4sIAAAAAAAAA8tIzcnJVyjPL8pJ4QIALTsIrwwAAAA=")
  t.equal(pump(gzip, mime.decode("gzip")), "hello world\n")
  t.equal(pump(gzip .. gzip, mime.decode("gzip")), "hello world\nhello world\n")
  t.equal(pump(gzip .. ("\0"):rep(512), mime.decode("gzip")), "hello world\n")
  local zlib = mime.unb64("eNrLSM3JyVcozy/KSeECAB5yBGc=")
  t.equal(pump(zlib, mime.decode("deflate")), "hello world\n")
  t.equal(pump(zlib:sub(3, -5), mime.decode("deflate")), "hello world\n")
end)

t.test("as LTN12 wants it", function()
  for _, format in ipairs(FORMATS) do
    local encode = mime.encode(format)
    local packed = {}
    for i = 1, #TEXT, 1000 do
      packed[#packed + 1] = encode(TEXT:sub(i, i + 999))
      t.equal(encode(""), "")
    end
    packed[#packed + 1] = encode(nil)
    t.equal(encode(nil), nil)
    packed = table.concat(packed)
    local decode = mime.decode(format)
    local parts = {}
    for i = 1, #packed do
      local piece = decode(packed:sub(i, i))
      while piece ~= "" do
        t.between(#piece, 1, 16384)
        parts[#parts + 1] = piece
        piece = decode("")
      end
    end
    t.equal(decode(nil), nil)
    t.equal(table.concat(parts), TEXT)
  end
end)

t.test("used again after the end", function()
  local encode, decode = mime.encode("gzip"), mime.decode("gzip")
  for _, text in ipairs { "one", "two" } do
    local packed = encode(text) .. encode(nil)
    t.equal(encode(nil), nil)
    t.equal(decode(packed), text)
    t.equal(decode(""), "")
    t.equal(decode(nil), nil)
  end
end)

t.test("no data at all", function()
  t.equal(pump("", mime.decode("gzip")), "")
  local packed = t.ok(pump("", mime.encode("gzip")))
  t.equal(pump(packed, mime.decode("gzip")), "")
end)

t.test("bad data", function()
  for _, format in ipairs(FORMATS) do
    local packed = pump(TEXT, mime.encode(format))
    t.returns({ n = 2, nil, "compressed data ends too early" }, pump(packed:sub(1, -2), mime.decode(format)))
    t.returns({ n = 2, nil, "compressed data ends too early" }, pump(packed:sub(1, 1), mime.decode(format)))
    local damaged = packed:sub(1, -2) .. string.char((packed:byte(-1) + 1) % 256)
    t.returns({ n = 2, nil, "invalid compressed data" }, pump(damaged, mime.decode(format)))
    t.returns({ n = 2, nil, "invalid compressed data" }, pump("\255\255\255\255", mime.decode(format)))
    local decode = mime.decode(format)
    t.returns({ n = 2, nil, "invalid compressed data" }, decode("\255\255\255\255"))
    t.returns({ n = 2, nil, "invalid compressed data" }, decode(packed))
    t.returns({ n = 2, nil, "invalid compressed data" }, decode(nil))
  end
end)

t.test("a failure behind other filters and in a sink", function()
  t.returns({ n = 2, nil, "invalid compressed data" }, pump("Z2FyYmFnZQ==", mime.decode("base64"), mime.decode("gzip"), mime.normalize()))
  local ended
  local function sink(chunk, err)
    if not chunk then ended = err end
    return 1
  end
  local source = ltn12.source.string("garbage")
  t.returns({ n = 2, nil, "invalid compressed data" }, ltn12.pump.all(source, ltn12.sink.chain(mime.decode("gzip"), sink)))
  t.equal(ended, "invalid compressed data")
end)

t.test("data that expands too far", function()
  local bomb = pump(("\0"):rep(8000000), mime.encode("gzip"))
  t.returns({ n = 2, nil, "compressed data expands too far" }, pump(bomb, mime.decode("gzip")))
  t.equal(#t.ok(pump(bomb, mime.decode("gzip", 2000))), 8000000)
  t.equal(#t.ok(pump(bomb, mime.decode("gzip", math.huge))), 8000000)
  t.returns({ n = 2, nil, "compressed data expands too far" }, pump(bomb, mime.decode("gzip", math.huge, 7999999)))
  t.equal(#t.ok(pump(bomb, mime.decode("gzip", math.huge, 8000000))), 8000000)
end)

t.done()

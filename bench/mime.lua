--- Transfer encodings and line filters: one call on 8 KB, short calls, and filters fed with 2 KB chunks.
local ltn12 = require "ltn12"
local mime = require "mime"
local sample = require "bench.lib.sample"

local SIZE, CHUNK, MEGABYTE = 8192, 2048, 1000 * 1000

local BINARY = sample.binary(SIZE)
local BASE64, BASE64_LINES = sample.base64(SIZE), sample.base64_lines(SIZE)
local CRLF, LF = sample.text(SIZE, "\r\n"), sample.text(SIZE, "\n")
local QUOTED = mime.qp("", CRLF)

-- A call that carries strings over; `speed` is what the C library reaches, in megabytes per second.
local function carrying(name, f, data, speed, target)
  return {
    name = name,
    count = math.floor(0.3 * speed * MEGABYTE / #data),
    bytes = #data,
    target = target,
    op = function(_, n)
      for _ = 1, n do f("", data) end
    end,
  }
end

-- A call that goes on from a number.
local function counting(name, f, context, data, speed, target)
  return {
    name = name,
    count = math.floor(0.3 * speed * MEGABYTE / #data),
    bytes = #data,
    target = target,
    op = function(_, n)
      for _ = 1, n do f(context, data) end
    end,
  }
end

-- Chunks pumped through a filter and forgotten.
local function pumping(name, make, data, speed, target)
  return {
    name = "filter, 2 KB chunks: " .. name,
    count = math.floor(0.3 * speed * MEGABYTE / CHUNK),
    bytes = CHUNK,
    target = target,
    setup = function() return data:sub(1, CHUNK) end,
    op = function(chunk, n)
      local left = n
      local function source()
        if left > 0 then
          left = left - 1
          return chunk
        end
      end
      ltn12.pump.all(ltn12.source.chain(source, make()), ltn12.sink.null())
    end,
  }
end

local function base64_lines()
  return ltn12.filter.chain(mime.encode("base64"), mime.wrap("base64"))
end

return {
  carrying("b64", mime.b64, BINARY, 200, 35),
  carrying("unb64, lines", mime.unb64, BASE64_LINES, 330, 9),
  carrying("unb64", mime.unb64, BASE64, 370, 27),
  carrying("qp", mime.qp, CRLF, 120, 4.4),
  carrying("qp, binary data", mime.qp, BINARY, 120, 4.4),
  carrying("unqp", mime.unqp, QUOTED, 225, 2.8),
  counting("wrp, base64", mime.wrp, 76, BASE64, 690, 7.5),
  counting("wrp, text", mime.wrp, 76, CRLF, 690, 7.5),
  counting("qpwrp", mime.qpwrp, 76, QUOTED, 490, 1.4),
  counting("eol, LF", mime.eol, 0, LF, 710, 6),
  counting("eol, CR LF", mime.eol, 0, CRLF, 710, 6),
  counting("dot", mime.dot, 2, CRLF, 795, 5.8),
  carrying("b64, 57 bytes", mime.b64, BINARY:sub(1, 57), 176, 3.5),
  pumping("b64", function() return mime.encode("base64") end, BINARY, 190, 12),
  pumping("b64 and wrap", base64_lines, BINARY, 130, 8),
  pumping("unb64", function() return mime.decode("base64") end, BASE64_LINES, 330, 5.5),
  pumping("qp", function() return mime.encode("quoted-printable") end, CRLF, 145, 4),
  pumping("unqp", function() return mime.decode("quoted-printable") end, QUOTED, 295, 2.2),
  pumping("eol", mime.normalize, LF, 500, 3.6),
  pumping("dot", mime.stuff, CRLF, 620, 4),
}

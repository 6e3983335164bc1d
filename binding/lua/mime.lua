--- Transfer encodings, line wrapping, line ends and dot stuffing, as LTN12 filters.
--
-- The functions that touch every byte are in `mime.core`, which is the same table.

local ltn12 = require "ltn12"
local M = require "mime.core"

local error, tonumber, type = error, tonumber, type
local cycle, chain = ltn12.filter.cycle, ltn12.filter.chain
local b64, unb64, qp, unqp, wrp, qpwrp = M.b64, M.unb64, M.qp, M.unqp, M.wrp, M.qpwrp
local eol, dot, undot, compress, decompress = M.eol, M.dot, M.undot, M.compress, M.decompress

local LINE_START = 2
local LINE_LENGTH = 76
local SHORTEST_LINE = 4

--- Factories of filters, by name: `factory(option, option)`. Programs may add to them.
local encodet, decodet, wrapt = {}, {}, {}
M.encodet, M.decodet, M.wrapt = encodet, decodet, wrapt

-- A function that calls the factory with the given name, or the one named "default" if the first argument is no string.
local function choose(factories)
  return function(name, a, b)
    if type(name) ~= "string" then
      name, a, b = "default", name, a
    end
    local factory = factories[name]
    if not factory then error("unknown key (" .. name .. ")", 3) end
    return factory(a, b)
  end
end

-- A filter around a function that carries bytes over. It can be used again after the end.
local function carry(low, extra)
  local held = ""
  return function(chunk)
    local out
    out, held = low(held or "", chunk, extra)
    return out
  end
end

-- The same for a function that may fail: then it answers a message instead of the bytes to carry over.
local function carry_strictly(low, extra)
  local held, problem = "", nil
  return function(chunk)
    if problem then return nil, problem end
    local out, rest = low(held, chunk, extra)
    if not out and rest then
      problem = rest
      return nil, problem
    end
    held = rest or ""
    return out
  end
end

function encodet.base64(mode)
  return carry(b64, mode)
end

encodet["quoted-printable"] = function(mode)
  return carry(qp, mode == "binary" and "=0D=0A" or "\r\n")
end

function encodet.gzip(level)
  return compress("gzip", level)
end

function encodet.deflate(level)
  return compress("deflate", level)
end

function decodet.base64(mode)
  if mode == "strict" then return carry_strictly(unb64, mode) end
  return carry(unb64, mode)
end

decodet["quoted-printable"] = function()
  return carry(unqp)
end

function decodet.gzip(ratio, total)
  return decompress("gzip", ratio, total)
end

function decodet.deflate(ratio, total)
  return decompress("deflate", ratio, total)
end

function wrapt.text(length)
  length = length or LINE_LENGTH
  return cycle(wrp, length, length)
end

wrapt.base64 = wrapt.text
wrapt.default = wrapt.text

wrapt["quoted-printable"] = function(length)
  length = tonumber(length) or LINE_LENGTH
  if length < SHORTEST_LINE then error("a line of quoted-printable takes at least 4 characters", 2) end
  return cycle(qpwrp, length, length)
end

M.encode = choose(encodet)
M.decode = choose(decodet)
M.wrap = choose(wrapt)

--- A filter that writes `marker`, or CR LF, for each line end of any kind.
function M.normalize(marker)
  return cycle(eol, 0, marker)
end

--- A filter that puts a dot before each dot at the start of a line. With "lines", a bare CR or LF ends a line too, and is
-- written as CR LF: no mail server can then see an end of data that is none.
function M.stuff(mode)
  local stuff = cycle(dot, LINE_START)
  return mode == "lines" and chain(M.normalize(), stuff) or stuff
end

--- The filter that undoes `stuff`.
function M.unstuff()
  return cycle(undot, LINE_START)
end

return M

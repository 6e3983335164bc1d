--- Bytes that nobody guesses and nobody has had before.
--
-- Private to `socket.smtp`.

local socket = require "socket"

local io, os, string, table, tostring = io, os, string, table, tostring

local M = {}

local count = 0

-- Where the system gives none: the clock, the layout of memory and a counter, which at least never repeat.
local function poor(n)
  count = count + 1
  local seed = string.format("%.6f %s %s %d", socket.gettime(), os.clock(), tostring({}), count)
  local state, bytes = 2166136261, {}
  for i = 1, n do
    for byte in string.gmatch(seed .. i, ".") do state = (state * 31 + string.byte(byte)) % 4294967296 end
    bytes[i] = string.char(state % 251)
  end
  return table.concat(bytes)
end

function M.bytes(n)
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(n)
  if file then file:close() end
  if bytes and #bytes == n then return bytes end
  return poor(n)
end

function M.hex(n)
  return (string.gsub(M.bytes(n), ".", function(byte) return string.format("%02x", string.byte(byte)) end))
end

return M

--- Data to convert, the same at each run.
local M = {}

local seed = 42
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

--- Bytes of all kinds.
function M.binary(size)
  local bytes = {}
  for i = 1, size do bytes[i] = string.char(random(256)) end
  return table.concat(bytes)
end

local WORDS = { "the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "caf\195\169", "na\195\175ve", "a=b", "lorem", "ipsum" }

--- Lines of words, some of them with accents, that end in `line_end`.
function M.text(size, line_end)
  local parts, length, column = {}, 0, 0
  while length < size do
    local part = WORDS[1 + random(#WORDS)] .. " "
    if column + #part > 70 then
      part, column = line_end, 0
    end
    parts[#parts + 1] = part
    length, column = length + #part, column + #part
  end
  return table.concat(parts):sub(1, size)
end

--- Base64 without line ends.
function M.base64(size)
  local digits = {}
  for i = 1, size do
    local at = 1 + random(64)
    digits[i] = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):sub(at, at)
  end
  return table.concat(digits)
end

--- Base64 in lines of 76 characters.
function M.base64_lines(size)
  return (M.base64(size):gsub(("."):rep(76), "%0\r\n"):sub(1, size))
end

return M

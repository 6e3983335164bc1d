-- The checks. Each raises, at its caller's line, when it does not hold.
--
--     ok(value [, what])                  value is true in Lua's sense; returns it
--     equal(actual, expected [, what])    ==
--     same(actual, expected [, what])     equal, or tables with the same keys and the same values
--     between(number, low, high [, what]) low <= number <= high
--     match(text, pattern [, what])       a Lua pattern is found; returns the captures
--     returns(n, ...)                     exactly n results; returns them
--     returns({n = N, a, b, ...}, ...)    exactly these results (n may be left out when there is no nil at the end)
--     raises(expected, fn, ...)           fn(...) raises; returns the raised value. expected is
--         "text"              a string is raised: a position ("file:line: ") and then exactly this text
--         {exact = "text"}    a string is raised: this and no position before it
--         {match = "pattern"} a string is raised in which the pattern is found
--         {value = anything}  this very value is raised
--     fail(text)                          raises
--     pack(...), unpack(list), show(value)

local error, pairs, pcall, rawequal, select = error, pairs, pcall, rawequal, select
local string, table, tostring, type = string, table, tostring, type
local unpack = table.unpack or unpack

local M = {}

function M.pack(...)
  return { n = select("#", ...), ... }
end

function M.unpack(list)
  return unpack(list, 1, list.n or #list)
end

local function show_table(value, depth)
  local parts = {}
  for key, item in pairs(value) do
    if #parts == 12 then
      parts[13] = "..."
      break
    end
    parts[#parts + 1] = "[" .. M.show(key, depth) .. "]=" .. M.show(item, depth)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

function M.show(value, depth)
  depth = depth or 3
  if type(value) == "string" then
    if #value <= 200 then return string.format("%q", value) end
    return string.format("%q... (%d bytes)", value:sub(1, 160), #value)
  end
  if type(value) == "table" and depth > 0 then return show_table(value, depth - 1) end
  return tostring(value)
end

local function complain(what, text)
  error((what and what .. ": " or "") .. text, 3)
end

function M.fail(text)
  error(text, 2)
end

function M.ok(value, what)
  if not value then complain(what, "expected something true, got " .. M.show(value)) end
  return value
end

function M.equal(actual, expected, what)
  if actual ~= expected then complain(what, "expected " .. M.show(expected) .. ", got " .. M.show(actual)) end
end

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

function M.same(actual, expected, what)
  if not same(actual, expected) then complain(what, "expected " .. M.show(expected) .. ", got " .. M.show(actual)) end
end

function M.between(number, low, high, what)
  if type(number) ~= "number" or not (low <= number and number <= high) then
    complain(what, string.format("expected a number from %g to %g, got %s", low, high, M.show(number)))
  end
  return number
end

function M.match(text, pattern, what)
  if type(text) ~= "string" or not text:find(pattern) then
    complain(what, "expected a match of " .. M.show(pattern) .. ", got " .. M.show(text))
  end
  return text:match(pattern)
end

local function show_list(list)
  local parts = {}
  for i = 1, list.n do parts[i] = M.show(list[i]) end
  return list.n .. " (" .. table.concat(parts, ", ") .. ")"
end

-- What `#` need not tell of a list with holes.
local function last_index(list)
  local last = 0
  for index in pairs(list) do last = index > last and index or last end
  return last
end

function M.returns(expected, ...)
  local actual = M.pack(...)
  if type(expected) == "number" then
    if actual.n ~= expected then complain(nil, "expected " .. expected .. " results, got " .. show_list(actual)) end
    return ...
  end
  local wanted = { n = expected.n or last_index(expected) }
  for i = 1, wanted.n do wanted[i] = expected[i] end
  local equal = actual.n == wanted.n
  for i = 1, wanted.n do equal = equal and same(actual[i], wanted[i]) end
  if not equal then complain(nil, "expected results " .. show_list(wanted) .. ", got " .. show_list(actual)) end
  return ...
end

local function without_position(text)
  return (text:gsub("^[^\n]-:%d+: ", "", 1))
end

local function is_raised(expected, raised)
  if type(expected) == "table" and expected.match == nil and expected.exact == nil then
    return rawequal(raised, expected.value)
  end
  if type(raised) ~= "string" then return false end
  if type(expected) == "string" then return raised ~= expected and without_position(raised) == expected end
  if expected.exact then return raised == expected.exact end
  return raised:find(expected.match) ~= nil
end

function M.raises(expected, fn, ...)
  local result = M.pack(pcall(fn, ...))
  if result[1] then
    result[1] = "no error"
    complain(nil, "expected an error " .. M.show(expected) .. ", got results " .. show_list(result))
  end
  if not is_raised(expected, result[2]) then
    complain(nil, "expected an error " .. M.show(expected) .. ", got the error " .. M.show(result[2]))
  end
  return result[2]
end

return M

-- One random case: what chooses, and what writes the trace.
--
--     case(area, seed, skipped)  a new case; `skipped` is a set of the numbers of steps that are not done
--
-- chooses, the same on every Lua:
--     g.int(low, high)     an integer
--     g.chance(percent)    true now and then
--     g.pick(list)         an element (nil too, if list.n counts it)
--     g.text(words, n)     up to n of the words (or of the bytes of a string) in a row
--     g.choose(weights)    a key of a table {key = weight}
--
-- writes, one line for each step:
--     g.call(label, f, ...)                f(...), protected; returns what it returned (nothing if it raised)
--     g.method(name, object, method, ...)  the same for a method; `name` stands for the object
--     g.log(label, ...)                    values
--     g.mark(value, name)                  how a value that differs from run to run is written
--
-- Addresses, positions and ephemeral ports are not written; numbers are written alike whether integers or floats.

local math, pairs, pcall, select, string, table = math, pairs, pcall, select, string, table
local io, next, tonumber, tostring, type = io, next, tonumber, tostring, type
local unpack = table.unpack or unpack

local MODULUS = 2147483647
local LONG = 400

local function generator(area, seed)
  local state = seed
  for i = 1, #area do state = (state * 31 + area:byte(i)) % MODULUS end
  state = state % (MODULUS - 1) + 1
  local function draw()
    state = state * 16807 % MODULUS
    return state
  end
  for _ = 1, 5 do draw() end
  return draw
end

local function quoted(text)
  local length = #text
  if length > LONG then
    local sum = 0
    for i = 1, length do sum = (sum * 31 + text:byte(i)) % 1000003 end
    text = text:sub(1, LONG)
    return quoted(text) .. "...(" .. length .. " bytes, " .. sum .. ")"
  end
  return '"' .. text:gsub('[%c"\\\127-\255]', function(c) return string.format("\\%03d", c:byte()) end) .. '"'
end

-- Ports that the system chose.
local function is_ephemeral(number)
  return number >= 32768 and number <= 60999
end

local function is_port(text)
  return text:find("^%d%d%d%d%d$") and is_ephemeral(tonumber(text))
end

local function numeral(number)
  if number ~= number then return "nan" end
  if number % 1 ~= 0 or math.abs(number) >= 2 ^ 53 then return string.format("%.14g", number) end
  if is_ephemeral(number) then return "<port>" end
  return string.format("%.0f", number)
end

local function case(area, seed, skipped)
  local draw = generator(area, seed)
  local marks, step = {}, 0
  local g = {}

  function g.int(low, high)
    return low + draw() % (high - low + 1)
  end

  function g.chance(percent)
    return draw() % 100 < percent
  end

  function g.pick(list)
    return list[g.int(1, list.n or #list)]
  end

  function g.text(words, n)
    local parts = {}
    for i = 1, g.int(0, n) do
      if type(words) == "string" then
        local at = g.int(1, #words)
        parts[i] = words:sub(at, at)
      else
        parts[i] = g.pick(words)
      end
    end
    return table.concat(parts)
  end

  function g.choose(weights)
    local keys, total = {}, 0
    for key in pairs(weights) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in pairs(keys) do total = total + weights[key] end
    local rest = g.int(1, total)
    for _, key in pairs(keys) do
      rest = rest - weights[key]
      if rest <= 0 then return key end
    end
  end

  -- A number is marked as text, too: in 3.1.0 a port may be either.
  function g.mark(value, name)
    local number = tonumber(value)
    if value ~= nil and number ~= 0 then marks[value] = "<" .. name .. ">" end
    if number and number ~= 0 then
      marks[number] = "<" .. name .. ">"
      marks[string.format("%.0f", number)] = "<" .. name .. ">"
    end
    return value
  end

  local show

  local function show_table(value, depth)
    local parts = {}
    for key, item in pairs(value) do
      if not (type(key) == "number" and value[key] and key >= 1 and key <= #value) then
        parts[#parts + 1] = "[" .. show(key, depth) .. "]=" .. show(item, depth)
      end
    end
    table.sort(parts)
    local list = {}
    for i = 1, #value do list[i] = show(value[i], depth) end
    if next(parts) then list[#list + 1] = table.concat(parts, ", ") end
    return "{" .. table.concat(list, ", ") .. "}"
  end

  function show(value, depth)
    local kind = type(value)
    if value ~= nil and value == value and marks[value] then return marks[value] end
    if kind == "string" then
      for marked, name in pairs(marks) do
        if type(marked) == "string" and #marked > 3 then
          local at, last = value:find(marked, 1, true)
          if at then value = value:sub(1, at - 1) .. name .. value:sub(last + 1) end
        end
      end
      return is_port(value) and "<port>" or quoted(value)
    end
    if kind == "number" then return numeral(value) end
    if kind == "table" and depth > 0 then return show_table(value, depth - 1) end
    if kind == "userdata" then return "<" .. tostring(value):gsub(":? ?%(?0x%x+%)?", "") .. ">" end
    if kind == "nil" or kind == "boolean" then return tostring(value) end
    return kind
  end

  local function show_all(first, ...)
    local parts = {}
    for i = first, select("#", ...) do parts[#parts + 1] = show(select(i, ...), 3) end
    return table.concat(parts, ", ")
  end

  -- On 5.2 and later a function that a module holds is named with the module's name, and one held by two with either.
  local function message(problem)
    if type(problem) ~= "string" then return show(problem, 3) end
    local position, text = problem:match("^([^\n]-:%d+: )(.*)$")
    text = (text or problem):gsub("to 'socket%.core%.", "to 'socket."):gsub("to 'mime%.core%.", "to 'mime.")
    return (position and "@ " or "") .. show(text, 0)
  end

  local function write(label, args, outcome)
    io.write(step, " ", label, args, " -> ", outcome, "\n")
  end

  local function finish(label, args, ok, ...)
    if not ok then
      write(label, args, "raises " .. message((...)))
      return
    end
    write(label, args, show_all(1, ...))
    return ...
  end

  function g.call(label, f, ...)
    step = step + 1
    if skipped[step] then return end
    return finish(label, "(" .. show_all(1, ...) .. ")", pcall(f, ...))
  end

  function g.method(name, object, method, ...)
    step = step + 1
    if skipped[step] or object == nil then return end
    local args = { n = select("#", ...), ... }
    return finish(name .. ":" .. method, "(" .. show_all(1, ...) .. ")", pcall(function()
      return object[method](object, unpack(args, 1, args.n))
    end))
  end

  function g.log(label, ...)
    step = step + 1
    write(label, "", show_all(1, ...))
  end

  return g
end

return case

-- The C library and ours, side by side, on random programs.
--
-- An area (spec/differential/areas/NAME.lua) makes random calls and writes what came of each. The same seeds are played over
-- both libraries, by the same interpreter, and the traces are compared; spec/differential/known.lua lists the differences
-- that are meant. A difference is reported with its seed and with no more steps than are needed to see it.
--
--     DIFFERENTIAL=5000 cargo xtask test --only stock --lua 5.4 differential url    5000 seeds of the area `url`
--     DIFFERENTIAL=17-17 ...                                                        seed 17 alone
--
-- Without the variable a few seeds are played, always the same.

local t = require "support"

local folder = arg[0]:match("^(.-)%.lua$") .. "/"
local known = dofile(folder .. "known.lua")

-- Area, and how many seeds are played in an ordinary run. In an area whose steps do not depend on one another each is
-- compared for itself; in the others a case ends at the first difference. In a `subset` we may have more.
local AREAS = {
  { "fields", 1, independent = true, subset = true },
  { "arguments", 1, independent = true },
  { "url", 300, independent = true },
  { "mime", 300 },
  { "ltn12", 300 },
  { "mbox", 200, independent = true },
  { "except", 200 },
  { "http", 100 },
  { "smtp", 100 },
  { "ftp", 100 },
  { "tcp", 30 },
  { "udp", 30 },
  { "unix", 30 },
  { "dns", 60, independent = true },
}

local REFERENCE = "env -u LUA_INIT -u LUA_CPATH -u LUA_PATH -u LUA_CPATH_5_2 -u LUA_PATH_5_2 -u LUA_CPATH_5_3 -u LUA_PATH_5_3 " ..
  "-u LUA_CPATH_5_4 -u LUA_PATH_5_4 "
local LIMIT = 100 -- seconds, for each of the two

local function command(prefix, area, first, last, skipped)
  return ("%stimeout %d %s %sprogram.lua %s %d %d %s"):format(prefix, LIMIT, t.interpreter(), folder, area, first, last,
    t.quote(table.concat(skipped, ",")))
end

local function start(...)
  return assert(io.popen(command(...) .. " 2>&1", "r"))
end

-- The cases of a trace: seed -> list of lines.
local function read(pipe)
  local cases, lines = {}, {}
  for line in pipe:lines() do
    local seed = line:match("^= (%d+)$")
    if seed then
      lines = {}
      cases[tonumber(seed)] = lines
    else
      lines[#lines + 1] = line
    end
  end
  pipe:close()
  return cases
end

local function split(line)
  local step, outcome = line:match("^(%d+ .-) %-> (.*)$")
  return step or line, outcome or ""
end

local function entry(area, theirs, ours)
  local step, left = split(theirs)
  local same, right = split(ours)
  if step:gsub("%(%)$", "") ~= same:gsub("%(%)$", "") then return nil end
  for _, one in ipairs(known) do
    if area:find(one.area) and step:find(one.step) and left:find(one.theirs) and right:find(one.ours) then return one end
  end
end

-- The number of the first line that differs without being known, or nil.
local function difference(area, theirs, ours)
  for i = 1, math.max(#theirs, #ours) do
    if theirs[i] ~= ours[i] then
      local one = entry(area, theirs[i] or "", ours[i] or "")
      if not one then return i end
      if one.ends then return nil end
    end
  end
end

local function play(area, first, last, skipped)
  local left, right = start(REFERENCE, area, first, last, skipped), start("", area, first, last, skipped)
  return read(left), read(right)
end

local function again(area, seed, skipped)
  local left, right = play(area, seed, seed, skipped)
  local theirs, ours = left[seed] or {}, right[seed] or {}
  return difference(area, theirs, ours), theirs, ours
end

-- Leaves out steps as long as the traces differ.
local function shrink(area, seed, at, theirs)
  local skipped = {}
  for i = at - 1, 1, -1 do
    local number = theirs[i] and theirs[i]:match("^%d+")
    if number then
      skipped[#skipped + 1] = number
      local still, shorter = again(area, seed, skipped)
      if not still or tonumber((shorter[still] or "0"):match("^%d+")) ~= tonumber((theirs[at] or "x"):match("^%d+")) then
        skipped[#skipped] = nil
      end
    end
  end
  return skipped
end

local function describe(area, seed, at, theirs, ours, note)
  return ("%s, seed %d%s\n    theirs %s\n    ours   %s"):format(area, seed, note or "", tostring(theirs[at]), tostring(ours[at]))
end

-- A case played again: a machine under load may be late once, but not twice.
local function report(area, seed)
  local at, theirs, ours = again(area, seed, {})
  if not at then return nil end
  local skipped = shrink(area, seed, at, theirs)
  at, theirs, ours = again(area, seed, skipped)
  if not at then return nil end
  local text = { describe(area, seed, at, theirs, ours, ", after") }
  for i = 1, at - 1 do text[#text + 1] = "          " .. theirs[i] end
  return table.concat(text, "\n")
end

local function seeds(count)
  local wish = os.getenv("DIFFERENTIAL")
  if not wish or wish == "" or count == 1 then return 1, count end
  local first, last = wish:match("^(%d+)%-(%d+)$")
  return tonumber(first) or 1, tonumber(last) or tonumber(wish)
end

-- Each step for itself; of steps with the same name the first few.
local function report_each(area, seed, theirs, ours, told)
  local reports = {}
  for i = 1, math.max(#theirs, #ours) do
    local name = (theirs[i] or ""):match("^%d+ ([^%( ]*)") or ""
    if theirs[i] ~= ours[i] and not entry(area, theirs[i] or "", ours[i] or "") and (told[name] or 0) < 3 then
      told[name] = (told[name] or 0) + 1
      reports[#reports + 1] = describe(area, seed, i, theirs, ours)
    end
  end
  return reports[1] and table.concat(reports, "\n")
end

local function add_missing(theirs, ours)
  local has, seen = {}, {}
  for _, line in ipairs(ours) do has[line:gsub("^%d+ ", "", 1)] = true end
  for i, line in ipairs(theirs) do seen[i] = has[line:gsub("^%d+ ", "")] and line or "(not there)" end
  return seen
end

local REPORTS = tonumber(os.getenv("DIFFERENTIAL_REPORTS") or 8)

local function compare(area, count, how)
  local first, last = seeds(count)
  local left, right = play(area, first, last, {})
  local reports, told = {}, {}
  for seed = first, last do
    local theirs, ours = left[seed], right[seed]
    t.ok(theirs and ours, ("%s, seed %d: no trace"):format(area, seed))
    if #reports == REPORTS then break end
    if how.subset then ours = add_missing(theirs, ours) end
    if how.independent then
      reports[#reports + 1] = report_each(area, seed, theirs, ours, told)
    elseif difference(area, theirs, ours) then
      reports[#reports + 1] = report(area, seed)
    end
  end
  if #reports > 0 then t.fail(table.concat(reports, "\n")) end
end

-- Only this library has tasks.
local HAS_C_LIBRARY = "assert(require('socket')._VERSION:find('LuaSocket') and not pcall(require, 'socket.task'))"

local reason
if t.reference then
  reason = "the C library need not be compared with itself"
elseif select(2, t.shell(REFERENCE .. t.interpreter() .. " -e " .. t.quote(HAS_C_LIBRARY))) ~= 0 then
  reason = "this interpreter has no C library"
end

for _, area in ipairs(AREAS) do
  t.test(area[1], function()
    if reason then t.skip(reason) end
    compare(area[1], area[2], area)
  end, 2 * LIMIT)
end

t.done()

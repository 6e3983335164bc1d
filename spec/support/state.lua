-- What a test must leave as it found it: open descriptors, globals, and the patience of whoever waits for it.

local collectgarbage, io, os, package, pairs, pcall = collectgarbage, io, os, package, pairs, pcall
local string, table, tostring, type = string, table, tostring, type
local G = _G

local M = {}

local duties = {}

-- `object` is closed when the running test ends, however it ends; returns the object.
function M.closing(object)
  duties[#duties + 1] = function() object:close() end
  return object
end

-- `fn` is called when the running test ends, however it ends.
function M.finally(fn)
  duties[#duties + 1] = fn
end

-- Does the duties, last one first.
function M.release()
  for i = #duties, 1, -1 do
    local duty = duties[i]
    duties[i] = nil
    pcall(duty)
  end
end

-- /proc/self/fdinfo/N can be opened exactly when N is open. Descriptors are given out from the lowest number up, so a
-- long run of closed ones ends the search. Where there is no /proc, nothing is found and nothing is compared.
local LONG_RUN = 48

local function descriptors()
  local open, last, n = {}, 0, 0
  while n - last <= LONG_RUN do
    local file = io.open("/proc/self/fdinfo/" .. string.format("%d", n))
    if file then
      file:close()
      open[n], last = true, n
    end
    n = n + 1
  end
  return open
end

local function globals()
  local copy = {}
  for name, value in pairs(G) do copy[name] = value end
  return copy
end

-- Wall clock with fractions as soon as the library is loaded, else whole seconds.
local function now()
  local core = package.loaded["socket.core"] or package.loaded["socket"]
  return type(core) == "table" and core.gettime or os.time
end

-- The loop of tasks opens a descriptor when it is first needed, and keeps it.
local function open_loop()
  local task = package.loaded["socket.task"]
  if task then task.getfd() end
end

function M.record()
  open_loop()
  collectgarbage()
  collectgarbage()
  local clock = now()
  return { descriptors = descriptors(), globals = globals(), clock = clock, start = clock() }
end

local function collected_descriptors()
  collectgarbage()
  collectgarbage()
  return descriptors()
end

-- What is in one set and not in the other.
local function extra(set, other)
  for n in pairs(set) do
    if not other[n] then return n end
  end
end

local function change_of_descriptors(before)
  local after = collected_descriptors()
  local more = extra(after, before)
  if more and jit then
    jit.flush() -- compiled code keeps the functions that it calls
    after = collected_descriptors()
    more = extra(after, before)
  end
  if more then return "leaves descriptor " .. more .. " open" end
  local less = extra(before, after)
  if less then return "closes descriptor " .. less .. ", which it did not open" end
end

local function change_of_globals(before)
  local after = globals()
  for name, value in pairs(after) do
    if before[name] ~= value then return "sets the global " .. tostring(name) end
  end
  for name in pairs(before) do
    if after[name] == nil then return "removes the global " .. tostring(name) end
  end
end

-- A sentence about the first thing that differs from the record `before`, or nil.
function M.compare(before, seconds)
  local took = before.clock() - before.start
  if took > seconds then return string.format("takes %.1f seconds, more than %g", took, seconds) end
  return change_of_globals(before.globals) or change_of_descriptors(before.descriptors)
end

return M

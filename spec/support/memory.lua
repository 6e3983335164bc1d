-- Calls while memory runs out ever later: at the first request for some, at the second, and so on until the call has all
-- it asks for. Only our own runner can refuse memory.
--
--     needs_failing_allocator(name)   skips the whole file elsewhere, as one test of that name
--     exhaust(fn [, make])            calls fn(make()); returns the results of the call that was refused nothing. All
--                                     others raise the memory error, or succeed
--     exhaust_once(fn [, make])       the same; without `make`, also of a call that did without
--     exhaust_told(fn [, make])       the same as `exhaust`, where lack of memory may also be told as nil and a message

local error, pcall, require, select, tostring = error, pcall, require, select, tostring

local support = ...
local M = {}

local alloc -- not loaded before it is needed, as the end of a process depends on that

function M.needs_failing_allocator(name)
  local found
  found, alloc = pcall(require, "luasocket.alloc")
  if found then return end
  support.test(name, function() support.skip("this interpreter has no allocator that fails") end)
  support.done()
end

local function raises_memory_error(n, result)
  if not result[1] and result[2] ~= "not enough memory" then
    error("at request " .. n .. " raises " .. support.show(result[2]), 3)
  end
end

local function tells_memory_error(n, result)
  local problem = result[1] and not result[2] and result[3] or not result[1] and result[2]
  if problem and not tostring(problem):find "not enough memory" then
    error("at request " .. n .. ": " .. support.show(problem), 3)
  end
end

local function results_of(result)
  return support.unpack({ n = result.n - 1, select(2, support.unpack(result)) })
end

local function exhaust(most, check, once, fn, make)
  for n = 0, most do
    local arguments = make and support.pack(make()) or { n = 0 }
    local result = support.pack(alloc.failing(n, fn, support.unpack(arguments)))
    if not alloc.failed() then
      if not result[1] then error("raises without need: " .. support.show(result[2]), 2) end
      return results_of(result)
    end
    check(n, result)
    if once and result[1] and not make then return results_of(result) end
  end
  error("asks for memory without end", 2)
end

function M.exhaust(fn, make) return exhaust(3000, raises_memory_error, false, fn, make) end
function M.exhaust_once(fn, make) return exhaust(3000, raises_memory_error, true, fn, make) end
function M.exhaust_told(fn, make) return exhaust(5000, tells_memory_error, false, fn, make) end

return M

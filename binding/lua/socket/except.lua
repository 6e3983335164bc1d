--- `newtry` and `protect`: exceptions for code that returns `nil, message`.
-- Written in Lua so that a coroutine can yield through a protected function.
local primitives = ...

local error, pcall, rawget, type = error, pcall, rawget, type
local create, resume, running = coroutine.create, coroutine.resume, coroutine.running
local status, yield = coroutine.status, coroutine.yield
local new, is = primitives.new, primitives.is

local M = {}

local jit = rawget(_G, "jit")
local version = type(jit) == "table" and jit.version
local off = type(version) == "string" and version:find "beta" and jit.off

--- Has LuaJIT not compile `f`, which calls others before it reads its `...`: compiled by the betas of LuaJIT 2.1, which
-- Debian has, it takes another value for it now and then, after a function of C was called.
function M.uncompiled(f)
  if off then off(f) end
end

-- In a task, cancellation ends a protected function by an error that no `try` has thrown.
-- So that its finalizers run all the same, the task notes them as long as it is in one.
local running_task, is_cancellation

--- Tells how to find the running task (a table), and what ends its waits.
function M.attach(find, recognise)
  running_task, is_cancellation = find, recognise
end

-- How many finalizers are noted when a protected function begins; false outside of tasks.
local function mark_begin()
  local task = running_task()
  if not task then return false end
  task.finalizers = task.finalizers or {}
  return #task.finalizers
end

-- Forgets the finalizers noted since; runs them, last first, after a cancellation.
local function forget(mark, ok, thrown)
  local task = running_task()
  local noted = task and task.finalizers
  if not noted then return end
  local run = not ok and is_cancellation(thrown)
  for i = #noted, mark + 1, -1 do
    local finalizer = noted[i]
    noted[i] = nil
    if run then pcall(finalizer) end
  end
  if mark == 0 then task.finalizers = nil end
end

--- Makes a `try`: it returns its arguments if the first is true; otherwise it calls
-- `finalizer` (if any) without arguments and throws the second as an exception.
function M.newtry(finalizer)
  local task = running_task and running_task()
  local noted = task and task.finalizers
  if noted and finalizer ~= nil then noted[#noted + 1] = finalizer end
  return function(...)
    local ok, payload = ...
    if ok then return ... end
    if finalizer ~= nil then finalizer() end
    error(new(payload), 0)
  end
end

-- What a protected call comes to, from what `pcall` says of it. `mark` tells which
-- finalizers were there before.
local function outcome(mark, ok, ...)
  if mark then forget(mark, ok, ...) end
  if ok then return ... end
  local thrown = ...
  if is(thrown) then return nil, thrown[1] end
  error(thrown, 0)
end
M.uncompiled(outcome)

-- Where a coroutine can yield through `pcall`: everywhere but in PUC Lua 5.1.
local function protect(f)
  return function(...)
    return outcome(running_task and mark_begin(), pcall(f, ...))
  end
end

-- Elsewhere the function runs in a coroutine of its own, and whatever it yields is
-- passed on.
local function pass(co, mark, ok, ...)
  if ok and status(co) == "suspended" then
    return pass(co, mark, resume(co, yield(...)))
  end
  return outcome(mark, ok, ...)
end

local function protect_by_coroutine(f)
  return function(...)
    local mark = running_task and mark_begin()
    -- Tasks can wait anywhere.
    if mark or not running() then return outcome(mark, pcall(f, ...)) end
    local co = create(function(...) return f(...) end)
    return pass(co, mark, resume(co, ...))
  end
end

local probe = create(function() pcall(yield) end)
resume(probe)

--- Makes a function that calls `f` and turns exceptions of any `try` into `nil` and what
-- was thrown. Other errors pass.
M.protect = status(probe) == "suspended" and protect or protect_by_coroutine

return M

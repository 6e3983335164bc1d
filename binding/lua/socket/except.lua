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
-- So that its finalizers run all the same, the task notes them as long as it is in one:
-- `noted` is how many there are, nil outside.
local running_task, is_cancellation

--- Tells how to find the running task (a table), and what ends its waits.
function M.attach(find, recognise)
  running_task, is_cancellation = find, recognise
end

-- Forgets the finalizers noted since there were `before`; runs them, last first, after a
-- cancellation.
local function forget(task, before, ok, thrown)
  local run = not ok and is_cancellation(thrown)
  for i = task.noted, (before or 0) + 1, -1 do
    local finalizer = task.finalizers[i]
    task.finalizers[i], task.noted = nil, i - 1
    if run then pcall(finalizer) end
  end
  task.noted = before
end

local function note(task, finalizer)
  local number, list = task.noted + 1, task.finalizers or {}
  list[number] = finalizer
  task.noted, task.finalizers = number, list
end

--- Makes a `try`: it returns its arguments if the first is true; otherwise it calls
-- `finalizer` (if any) without arguments and throws the second as an exception.
function M.newtry(finalizer)
  local task = running_task and running_task()
  if task and task.noted and finalizer ~= nil then note(task, finalizer) end
  return function(...)
    local ok, payload = ...
    if ok then return ... end
    if finalizer ~= nil then finalizer() end
    error(new(payload), 0)
  end
end

-- What a protected call comes to, from what `pcall` says of it.
local function outcome(ok, ...)
  if ok then return ... end
  local thrown = ...
  if is(thrown) then return nil, thrown[1] end
  error(thrown, 0)
end
M.uncompiled(outcome)

-- The same in a task, which had noted `before` finalizers.
local function outcome_in(task, before, ok, ...)
  if task.noted then forget(task, before, ok, ...) end
  if ok then return ... end
  return outcome(ok, ...)
end
M.uncompiled(outcome_in)

local function run_in(task, f, ...)
  local before = task.noted
  task.noted = before or 0
  return outcome_in(task, before, pcall(f, ...))
end

-- Where a coroutine can yield through `pcall`: everywhere but in PUC Lua 5.1.
local function protect(f)
  return function(...)
    local task = running_task and running_task()
    if task then return run_in(task, f, ...) end
    return outcome(pcall(f, ...))
  end
end

-- Elsewhere the function runs in a coroutine of its own, and whatever it yields is
-- passed on.
local function pass(co, ok, ...)
  if ok and status(co) == "suspended" then
    return pass(co, resume(co, yield(...)))
  end
  return outcome(ok, ...)
end

local function protect_by_coroutine(f)
  return function(...)
    local task = running_task and running_task()
    -- Tasks can wait anywhere.
    if task then return run_in(task, f, ...) end
    if not running() then return outcome(pcall(f, ...)) end
    local co = create(function(...) return f(...) end)
    return pass(co, resume(co, ...))
  end
end

local probe = create(function() pcall(yield) end)
resume(probe)

--- Makes a function that calls `f` and turns exceptions of any `try` into `nil` and what
-- was thrown. Other errors pass.
M.protect = status(probe) == "suspended" and protect or protect_by_coroutine

return M

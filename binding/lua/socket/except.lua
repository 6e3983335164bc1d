--- `newtry` and `protect`: exceptions for code that returns `nil, message`.
-- Written in Lua so that a coroutine can yield through a protected function.
local primitives = ...

local error, pcall = error, pcall
local create, resume, running = coroutine.create, coroutine.resume, coroutine.running
local status, yield = coroutine.status, coroutine.yield
local new, is = primitives.new, primitives.is

local M = {}

--- Makes a `try`: it returns its arguments if the first is true; otherwise it calls
-- `finalizer` (if any) without arguments and throws the second as an exception.
function M.newtry(finalizer)
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

-- Where a coroutine can yield through `pcall`: everywhere but in PUC Lua 5.1.
local function protect(f)
  return function(...)
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

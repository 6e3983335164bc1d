-- newtry, protect, try.

local t = require "support"
local socket = require "socket"

local newtry, protect = socket.newtry, socket.protect
local unpack = table.unpack or unpack

-- The exception that `try` throws for the payload.
local function exception(payload)
  local ok, raised = pcall(socket.try, nil, payload)
  t.equal(ok, false)
  return raised
end

--------------------------------------------------------------------------------------------------------------- newtry

t.test("try returns its arguments if the first is true", function()
  local try = newtry()
  t.returns({ 1, 2, 3 }, try(1, 2, 3))
  t.returns({ n = 4, true, nil, false, nil }, try(true, nil, false, nil))
  t.returns({ 0 }, try(0))
  t.returns({ "" }, try(""))
  t.returns({ n = 3, "x", nil, nil }, socket.try("x", nil, nil))
end)

t.test("try throws its second argument if the first is nil, false or absent", function()
  local payload = {}
  t.returns({ nil, "problem" }, protect(function() socket.try(nil, "problem") end)())
  t.returns({ nil, "problem" }, protect(function() socket.try(false, "problem", "dropped") end)())
  t.returns({ n = 2, nil, nil }, protect(function() socket.try() end)())
  t.returns({ n = 2, nil, nil }, protect(function() socket.try(nil) end)())
  t.returns({ nil, false }, protect(function() socket.try(nil, false) end)())
  t.returns({ nil, 12 }, protect(function() socket.try(nil, 12) end)())
  t.ok(rawequal(select(2, protect(function() socket.try(nil, payload) end)()), payload))
end)

t.test("try takes many arguments", function()
  local many = {}
  for i = 1, 200 do many[i] = i end
  t.returns(200, socket.try(t.unpack(many)))
  t.returns({ nil, "problem" }, protect(function() socket.try(nil, "problem", t.unpack(many)) end)())
end)

t.test("the exception is a table with the payload at 1", function()
  local raised = exception("problem")
  t.equal(type(raised), "table")
  t.equal(raised[1], "problem")
  t.equal(next(raised), 1)
  t.equal(next(raised, 1), nil)
  t.equal(next(exception(nil)), nil)
end)

t.test("its metatable is protected", function()
  local raised = exception("problem")
  t.equal(getmetatable(raised), false)
  t.raises({ match = "cannot change a protected metatable" }, setmetatable, raised, nil)
  t.raises({ match = "cannot change a protected metatable" }, setmetatable, raised, {})
end)

t.fix("its text is the payload's text", function()
  t.equal(tostring(exception("problem")), "problem")
  t.equal(tostring(exception(12)), "12")
  t.equal(tostring(exception(nil)), "nil")
  local text, status = t.run("require('socket').try(nil, 'the problem')")
  t.equal(status, 1)
  if t.lua.number >= 502 or t.lua.jit then t.match(text, "the problem") end
end)

t.test("every try is a function of its own", function()
  t.ok(newtry() ~= newtry())
  t.equal(type(newtry()), "function")
  t.equal(type(socket.try), "function")
  t.returns(1, newtry(nil))
  t.returns(1, newtry(nil, "surplus"))
end)

------------------------------------------------------------------------------------------------------------- finalizer

t.test("the finalizer is called without arguments before the exception is thrown", function()
  local calls = {}
  local try = newtry(function(...)
    calls[#calls + 1] = select("#", ...)
    return "dropped"
  end)
  t.returns({ 1 }, try(1))
  t.equal(#calls, 0)
  t.returns({ nil, "problem" }, protect(function() try(nil, "problem") end)())
  t.same(calls, { 0 })
  t.returns({ nil, "problem" }, protect(function() try(false, "problem") end)())
  t.same(calls, { 0, 0 })
end)

t.test("only its own try calls it", function()
  local called = false
  local try = newtry(function() called = true end)
  t.returns({ nil, "x" }, protect(function()
    try(1)
    socket.try(nil, "x")
  end)())
  t.raises({ exact = "y" }, protect(function()
    try(1)
    error("y", 0)
  end))
  t.equal(called, false)
end)

t.test("callable objects may finalize", function()
  local called
  local try = newtry(setmetatable({}, { __call = function(...) called = select("#", ...) end }))
  t.returns({ nil, "x" }, protect(function() try(nil, "x") end)())
  t.equal(called, 1)
end)

t.test("an error in the finalizer takes the place of the exception", function()
  local try = newtry(function() error("worse", 0) end)
  t.raises({ exact = "worse" }, protect(function() try(nil, "problem") end))
  local value = {}
  try = newtry(function() error(value) end)
  t.raises({ value = value }, protect(function() try(nil, "problem") end))
end)

t.test("an exception in the finalizer takes the place of the first", function()
  local try = newtry(function() socket.try(nil, "inner") end)
  t.returns({ nil, "inner" }, protect(function() try(nil, "outer") end)())
end)

t.test("other finalizers are accepted and fail when needed", function()
  for _, value in ipairs { 5, "x", true, {} } do
    local try = newtry(value)
    t.returns({ 1 }, try(1))
    t.raises({ match = "attempt to call .*a " .. type(value) .. " value" }, protect(function() try(nil, "problem") end))
  end
  local try = newtry(false)
  t.returns({ 1 }, try(1))
  t.raises({ match = "attempt to call .*a boolean value" }, protect(function() try(nil, "problem") end))
end)

t.test("the idiom: close on failure", function()
  local client = t.pair()
  local try = newtry(function() client:close() end)
  local talk = protect(function()
    try(client:send("hello"))
    client:settimeout(0)
    return try(client:receive())
  end)
  t.returns({ nil, "timeout" }, talk())
  t.equal(client:getfd(), -1)
end)

--------------------------------------------------------------------------------------------------------------- protect

t.test("arguments and results pass unchanged", function()
  local given
  local f = protect(function(...)
    given = t.pack(...)
    return ...
  end)
  t.returns({ n = 4, nil, 1, nil, nil }, f(nil, 1, nil, nil))
  t.same(given, { n = 4, nil, 1, nil, nil })
  t.returns(0, f())
  t.equal(given.n, 0)
  t.returns({ false, "not an exception" }, f(false, "not an exception"))
end)

t.test("many arguments and results", function()
  local many = {}
  for i = 1, 240 do many[i] = i end
  t.returns(240, protect(function(...) return ... end)(t.unpack(many)))
end)

t.test("other errors are raised again, the very same values", function()
  local values = { "text", 12, {}, { "like an exception" }, setmetatable({ "x" }, {}), print, true, false, coroutine.create(function() end) }
  for _, value in pairs(values) do t.raises({ value = value }, protect(function() error(value, 0) end)) end
  local no_value = select(2, pcall(error)) -- nil, or a text in its place from 5.5 on
  t.raises({ value = no_value }, protect(function() error(nil) end))
  t.raises({ value = no_value }, protect(function() error() end))
end)

t.test("no position is added", function()
  t.raises({ exact = "text" }, protect(function() error("text", 0) end))
  local raised = t.raises("text", protect(function() error("text") end))
  t.match(raised, "^[^:]*except.lua:%d+: text$")
  t.raises({ match = "^[^:]*except.lua:%d+: attempt to index" }, protect(function() local x; return x.y end))
  t.raises("assertion failed!", protect(function() error("assertion failed!") end))
  t.raises("why", protect(function() assert(nil, "why") end))
end)

t.test("a table that only looks like an exception is none", function()
  t.raises({ match = "" }, protect(function() error("x") end))
  local forged = setmetatable({ "x" }, { __metatable = false })
  t.raises({ value = forged }, protect(function() error(forged) end))
end)

t.test("exceptions can be caught, kept and thrown again", function()
  local raised = exception("problem")
  t.returns({ nil, "problem" }, protect(function() error(raised) end)())
  t.returns({ nil, "problem" }, protect(error)(raised))
  t.ok(rawequal(select(2, protect(function() socket.try(nil, raised) end)()), raised))
  t.returns({ nil, "problem" }, protect(function()
    local ok, e = pcall(socket.try, nil, "problem")
    t.equal(ok, false)
    error(e, 0)
  end)())
end)

t.test("the innermost protect catches", function()
  local inner = protect(function() socket.try(nil, "inner") end)
  local outer = protect(function()
    local result, problem = inner()
    t.equal(result, nil)
    return "outer has " .. problem
  end)
  t.returns({ "outer has inner" }, outer())
  t.returns({ nil, "again" }, protect(function()
    inner()
    socket.try(nil, "again")
  end)())
  t.raises({ exact = "error" }, protect(protect(function() error("error", 0) end)))
end)

t.test("deep nesting", function()
  local f = function() socket.try(nil, "deep") end
  for _ = 1, 60 do
    local g = f
    f = protect(function() return g() end)
  end
  t.returns({ nil, "deep" }, f())
end)

t.test("what protect protects is not looked at before the call", function()
  t.equal(type(protect(nil)), "function")
  t.raises({ match = "attempt to call a nil value" }, protect(nil))
  t.raises({ match = "attempt to call a number value" }, protect(5))
  t.returns({ n = 3, "called", 1, 2 }, protect(setmetatable({}, {
    __call = function(_, ...) return "called", ... end,
  }), "surplus")(1, 2))
end)

t.test("every protect is a function of its own", function()
  t.ok(protect(print) ~= protect(print))
  t.equal(type(protect(print)), "function")
end)

t.test("protect of functions in C", function()
  t.returns({ "1" }, protect(tostring)(1))
  t.equal(pcall(protect(error), "x"), false)
  t.returns({ nil, "x" }, protect(socket.try)(nil, "x"))
  t.returns({ "x", "y" }, protect(socket.try)("x", "y"))
end)

t.test("xpcall's handler sees the value", function()
  local value, seen = {}, nil
  xpcall(protect(function() error(value) end), function(raised) seen = raised end)
  t.ok(rawequal(seen, value))
end)

t.test("modules of a program that loads the library anew", function()
  -- Two states of one process cannot be had in plain Lua; a new namespace in one state can.
  local again = {}
  for name, value in pairs(socket) do again[name] = value end
  t.returns({ nil, "x" }, again.protect(function() socket.try(nil, "x") end)())
end)

--------------------------------------------------------------------------------------------------------------- yielding

-- Where the C library cannot, yielding through protect is ours alone.
local yielding = (t.lua.number >= 502 and not t.lua.jit) and t.test or t.fix

local function resumed(thread, ...)
  local result = t.pack(coroutine.resume(thread, ...))
  t.ok(result[1], result[2])
  return unpack(result, 2, result.n)
end

-- A coroutine whose body is a Lua function, as PUC 5.1 wants it.
local function thread_of(f)
  return coroutine.create(function(...) return f(...) end)
end

yielding("a protected function may yield and returns later", function()
  local thread = thread_of(protect(function(a, b)
    local c, d = coroutine.yield(a + b)
    local e = coroutine.yield(c .. d)
    return "end", e, nil
  end))
  t.returns({ 3 }, resumed(thread, 1, 2))
  t.returns({ "xy" }, resumed(thread, "x", "y"))
  t.returns({ n = 3, "end", "z", nil }, resumed(thread, "z"))
  t.equal(coroutine.status(thread), "dead")
end)

yielding("an exception after a yield", function()
  local thread = thread_of(protect(function()
    socket.try(nil, coroutine.yield("yielded"))
  end))
  t.returns({ "yielded" }, resumed(thread))
  t.returns({ nil, "problem" }, resumed(thread, "problem"))
end)

yielding("another error after a yield", function()
  local value = {}
  local thread = thread_of(protect(function()
    coroutine.yield("yielded")
    error(value)
  end))
  t.returns({ "yielded" }, resumed(thread))
  t.returns({ false, value }, coroutine.resume(thread))
  t.equal(coroutine.status(thread), "dead")
end)

yielding("yields through several protects, and to an outer one", function()
  local thread = thread_of(protect(function()
    local inner = protect(function()
      coroutine.yield("one")
      socket.try(nil, "inner")
    end)
    local _, problem = inner()
    coroutine.yield(problem)
    socket.try(nil, "outer")
  end))
  t.returns({ "one" }, resumed(thread))
  t.returns({ "inner" }, resumed(thread))
  t.returns({ nil, "outer" }, resumed(thread))
end)

yielding("a protected function calls the finalizer after a yield", function()
  local called
  local try = newtry(function() called = true end)
  local thread = thread_of(protect(function() try(nil, coroutine.yield()) end))
  t.returns(0, resumed(thread))
  t.returns({ nil, "x" }, resumed(thread, "x"))
  t.equal(called, true)
end)

yielding("many yields", function()
  local thread = thread_of(protect(function()
    for i = 1, 1000 do coroutine.yield(i) end
    return "end"
  end))
  for i = 1, 1000 do t.returns({ i }, resumed(thread)) end
  t.returns({ "end" }, resumed(thread))
end)

yielding("yields with many values", function()
  local many = {}
  for i = 1, 150 do many[i] = i end
  local thread = thread_of(protect(function(...)
    return coroutine.yield(...)
  end))
  t.returns(150, resumed(thread, t.unpack(many)))
  t.returns(150, resumed(thread, t.unpack(many)))
end)

yielding("a generator inside a protected function yields to it, not beyond", function()
  local thread = thread_of(protect(function()
    local sum = 0
    for value in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do
      sum = sum + value
      coroutine.yield("outside " .. sum)
    end
    return sum
  end))
  t.returns({ "outside 1" }, resumed(thread))
  t.returns({ "outside 3" }, resumed(thread))
  t.returns({ "outside 6" }, resumed(thread))
  t.returns({ 6 }, resumed(thread))
end)

yielding("an error in a generator inside a protected function", function()
  local thread = thread_of(protect(function()
    coroutine.yield(1)
    local generate = coroutine.wrap(function() socket.try(nil, "in the generator") end)
    generate()
  end))
  t.returns({ 1 }, resumed(thread))
  t.returns({ nil, "in the generator" }, resumed(thread))
end)

yielding("coroutine.running is the same inside as outside", function()
  local thread
  thread = thread_of(function()
    local outside = coroutine.running()
    local inside = protect(function()
      coroutine.yield()
      return coroutine.running()
    end)()
    return outside, inside
  end)
  t.returns(0, resumed(thread))
  local outside, inside = resumed(thread)
  t.equal(outside, thread)
  if t.lua.yieldable then t.equal(inside, thread) end
end)

yielding("an abandoned coroutine is collected", function()
  local weak = setmetatable({}, { __mode = "v" })
  for i = 1, 100 do
    local thread = thread_of(protect(function() coroutine.yield() end))
    coroutine.resume(thread)
    weak[i] = thread
  end
  collectgarbage()
  collectgarbage()
  t.equal(next(weak), nil)
end)

t.test("protect outside a coroutine, and in one that does not yield", function()
  local f = protect(function(x) return x end)
  t.returns({ 1 }, f(1))
  t.returns({ 2 }, resumed(thread_of(f), 2))
  t.returns({ nil, "x" }, resumed(thread_of(protect(socket.try)), nil, "x"))
end)

t.test("a yield outside any coroutine is an error that passes", function()
  t.raises({ match = "yield" }, protect(function() coroutine.yield() end))
end)

t.test("a protected function can be the body of a coroutine where Lua allows it", function()
  if t.lua.number < 502 and not t.lua.jit and t.reference then t.skip("PUC 5.1 takes only Lua functions") end
  local generate = coroutine.wrap(protect(function(a) return a end))
  t.returns({ 1 }, generate(1))
end)

t.done()

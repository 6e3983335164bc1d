-- Tasks: run, spawn, join, cancel, status; what becomes of errors.

local t = require "support"

if t.reference then
  t.test("tasks", function() t.skip("the C library has none") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

--------------------------------------------------------------------------------------------------------------- running

t.test("run passes arguments and results on", function()
  t.returns({ n = 3, 1, nil, "x" }, task.run(function(...) return ... end, 1, nil, "x"))
  t.returns(0, task.run(function() end))
  t.returns({ n = 2, nil, nil }, task.run(function() return nil, nil end))
end)

t.test("run takes C functions and what can be called", function()
  t.returns(0, task.run(socket.sleep, 0.001))
  t.returns({ 3 }, task.run(math.max, 1, 3))
  local callable = setmetatable({}, { __call = function(_, a) return a end })
  t.returns({ 7 }, task.run(callable, 7))
end)

t.test("run returns when all tasks have ended", function()
  local order = {}
  t.returns({ "main" }, task.run(function()
    for i = 1, 3 do
      task.spawn(function()
        task.sleep(0.01 * i)
        order[#order + 1] = i
        task.spawn(function()
          task.yield()
          order[#order + 1] = -i
        end)
      end)
    end
    return "main"
  end))
  table.sort(order)
  t.same(order, { -3, -2, -1, 1, 2, 3 })
end)

t.test("one run after the other, and after an error", function()
  for i = 1, 3 do t.returns({ i }, task.run(function() task.sleep(0.001) return i end)) end
  t.raises({ match = "out of luck" }, task.run, function() error "out of luck" end)
  t.returns({ "fine" }, task.run(function() return "fine" end))
end)

t.test("run inside of run is refused", function()
  t.raises({ match = "task.run inside of a task" }, function() task.run(task.run, function() end) end)
  task.run(function() t.raises("task.run inside of a task", function() task.run(print) end) end)
  task.run(function() t.raises("task.step inside of a task", function() task.step(0) end) end)
end)

t.test("bad arguments", function()
  for _, value in ipairs { 1, "x", {} } do
    local words = "bad argument #1 to 'spawn' (function expected, got " .. type(value) .. ")"
    t.raises(words, function() task.spawn(value) end)
  end
  t.raises("bad argument #1 to 'spawn' (function expected, got nil)", function() task.spawn() end)
  t.equal(task.stats().tasks, 0)
end)

t.test("what is spawned outside runs with the next run", function()
  local ran = {}
  local handle = task.spawn(function(a) ran[1] = a end, "early")
  t.equal(handle:status(), "ready")
  t.equal(ran[1], nil)
  task.run(function() end)
  t.equal(ran[1], "early")
  t.equal(handle:status(), "done")
end)

t.test("outside of run nothing is a task", function()
  t.equal(task.current(), nil)
  t.returns(0, task.yield())
  t.between(t.elapsed(task.sleep, 0.02), 0.02, 5)
  t.between(t.elapsed(socket.sleep, 0.02), 0.02, 5)
  for _, call in ipairs {
    function() task.timeout(1, print) end,
    function() task.group(print) end,
    function() task.channel():send(1) end,
    function() task.channel():receive() end,
    function() task.semaphore(0):acquire() end,
    function() task.event():wait() end,
    function() task.spawn(function() end):join() end,
  } do
    t.raises({ match = "is for tasks: call it inside task.run" }, call)
  end
  task.run(function() end)
end)

t.test("outside of run calls block as always", function()
  local client, accepted = t.pair()
  client:settimeout(0.02)
  t.between(t.elapsed(function() t.returns({ n = 3, nil, "timeout", "" }, client:receive()) end), 0.02, 5)
  task.run(function()
    accepted:send("one\n")
    t.equal(client:receive(), "one")
  end)
  t.between(t.elapsed(function() t.returns({ n = 3, nil, "timeout", "" }, client:receive()) end), 0.02, 5)
  accepted:send("two\n")
  t.equal(client:receive(), "two")
end)

---------------------------------------------------------------------------------------------------------------- order

t.in_task("a spawned task begins when the running one waits", function()
  local ran = false
  local handle = task.spawn(function() ran = true end)
  t.equal(ran, false)
  t.equal(handle:status(), "ready")
  task.yield()
  t.equal(ran, true)
end)

t.in_task("tasks take turns", function()
  local order = {}
  local function count(name)
    for i = 1, 3 do
      order[#order + 1] = name .. i
      task.yield()
    end
  end
  local handles = { task.spawn(count, "a"), task.spawn(count, "b"), task.spawn(count, "c") }
  for _, handle in ipairs(handles) do handle:join() end
  t.same(order, { "a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3" })
end)

t.in_task("those who sleep wake in the order of their times", function()
  local order, start, spread
  repeat -- once, unless the machine stalls before the last one sleeps
    order, start = {}, task.now()
    local handles = {}
    for _, n in ipairs { 5, 1, 4, 2, 3 } do
      handles[n] = task.spawn(function()
        task.sleep(n * 0.01)
        order[#order + 1] = n
      end)
    end
    task.yield()
    spread = task.now() - start
    for _, handle in pairs(handles) do handle:join() end
  until spread < 0.005
  t.same(order, { 1, 2, 3, 4, 5 })
end)

t.in_task("sleeping takes as long as it says, at least", function()
  for _, seconds in ipairs { 0.001, 0.0105, 0.03 } do
    local start = task.now()
    t.returns(0, task.sleep(seconds))
    t.between(task.now() - start, seconds, seconds + 5)
  end
  for _, seconds in ipairs { 0, -1, -1e300, 0 / 0 } do t.between(t.elapsed(task.sleep, seconds), 0, 5) end
  t.raises({ match = "number expected" }, task.sleep)
  t.raises({ match = "number expected" }, task.sleep, "x")
end)

t.in_task("to sleep for no time lets others run", function()
  local ran = 0
  task.spawn(function() ran = ran + 1 end)
  socket.sleep(0)
  t.equal(ran, 1)
  task.spawn(function() ran = ran + 1 end)
  task.sleep(-1)
  t.equal(ran, 2)
end)

t.in_task("a yield of the program's own lets others run", function()
  local order = {}
  local handle = task.spawn(function()
    for i = 1, 3 do
      t.returns(0, coroutine.yield("ignored", i))
      order[#order + 1] = i
    end
    return "end"
  end)
  task.spawn(function() order[#order + 1] = "other" end)
  t.returns({ true, "end" }, handle:join())
  t.same(order, { "other", 1, 2, 3 })
end)

--------------------------------------------------------------------------------------------------------------- handles

t.in_task("join returns what the function has returned", function()
  t.returns({ n = 4, true, 1, nil, "x" }, task.spawn(function(...) return ... end, 1, nil, "x"):join())
  t.returns({ true }, task.spawn(function() end):join())
  t.returns({ n = 3, true, nil, nil }, task.spawn(function() return nil, nil end):join())
  t.returns({ true, 1 }, task.spawn(function() task.sleep(0.01) return 1 end):join())
end)

t.in_task("join again, by several, and long after the end", function()
  local handle = task.spawn(function() task.sleep(0.01) return "result" end)
  local got = {}
  local others = {}
  for i = 1, 5 do others[i] = task.spawn(function() got[i] = t.pack(handle:join()) end) end
  t.returns({ true, "result" }, handle:join())
  for i = 1, 5 do
    others[i]:join()
    t.same(got[i], { n = 2, true, "result" })
  end
  collectgarbage()
  t.returns({ true, "result" }, handle:join())
  t.returns({ true, "result" }, handle:join(0))
end)

t.in_task("join with a timeout", function()
  local handle = t.sleeper()
  for _, seconds in ipairs { 0, -1, 0.01 } do
    t.returns({ n = 2, nil, "timeout" }, handle:join(seconds))
  end
  t.between(t.elapsed(handle.join, handle, 0.03), 0.03, 5)
  t.equal(handle:status(), "waiting")
  handle:cancel()
  handle:join()
end)

t.in_task("join of an ended task outside of its run", function()
  local handle = task.spawn(function() return 1 end)
  handle:join()
  t.finally(function() t.returns({ true, 1 }, handle:join()) end)
end)

t.in_task("a task cannot join itself", function()
  t.raises("a task cannot join itself", function() task.current():join() end)
end)

t.in_task("status", function()
  local channel = task.channel()
  local seen
  local handle = task.spawn(function()
    seen = task.current():status()
    channel:receive()
    return 1
  end)
  t.equal(handle:status(), "ready")
  task.yield()
  t.equal(seen, "running")
  t.equal(handle:status(), "waiting")
  channel:send(1)
  t.equal(handle:status(), "ready")
  handle:join()
  t.equal(handle:status(), "done")

  local yielding = task.spawn(function() task.yield() end)
  task.yield()
  t.equal(yielding:status(), "ready")
  t.equal(task.current():status(), "running")

  local failing = task.spawn(error, "x", 0)
  failing:join()
  t.equal(failing:status(), "failed")
  local sleeper = t.sleeper()
  task.yield()
  t.equal(sleeper:status(), "waiting")
  sleeper:cancel()
  t.equal(sleeper:status(), "ready")
  sleeper:join()
  t.equal(sleeper:status(), "cancelled")
end)

t.in_task("names", function()
  t.equal(task.current().name, "main")
  local handle = task.spawn(function() return task.current() end)
  t.match(handle.name, "^task %d+$")
  t.equal(tostring(handle), "task: " .. handle.name)
  handle.name = "worker"
  t.equal(tostring(handle), "task: worker")
  t.returns({ true, handle }, handle:join())
end)

t.in_task("current is the same in coroutines of the task", function()
  local handle = task.current()
  t.equal(coroutine.wrap(function() return task.current() end)(), handle)
  t.equal(coroutine.wrap(function() task.yield() return task.current() end)(), handle)
  local other = task.spawn(function() return coroutine.wrap(function() return task.current() end)() end)
  t.returns({ true, other }, other:join())
end)

t.in_task("handles and threads of ended tasks are collected", function()
  local weak = setmetatable({}, { __mode = "k" })
  for _ = 1, 100 do
    local handle = task.spawn(function() task.yield() return {} end)
    weak[handle] = true
    handle:join()
  end
  collectgarbage()
  collectgarbage()
  local left = 0
  for _ in pairs(weak) do left = left + 1 end
  t.between(left, 0, 2)
end)

--------------------------------------------------------------------------------------------------------- cancellation

t.in_task("cancel ends a task where it waits", function()
  local reached = {}
  local handle = task.spawn(function()
    reached[1] = true
    task.sleep(3600)
    reached[2] = true
  end)
  t.waiting(handle)
  t.returns({ 1 }, handle:cancel())
  local ok, err = t.returns(2, handle:join())
  t.equal(ok, false)
  t.equal(tostring(err), "cancelled")
  t.same(reached, { true })
  t.returns({ 1 }, handle:cancel())
  t.equal(handle:status(), "cancelled")
end)

t.in_task("a task that has not begun runs to its first wait", function()
  local reached = {}
  local handle = task.spawn(function()
    reached[1] = true
    task.yield()
    reached[2] = true
  end)
  handle:cancel()
  t.equal((handle:join()), false)
  t.same(reached, { true })
end)

t.in_task("a cancelled task that waits no more ends as it likes", function()
  local handle = task.spawn(function() return "done" end)
  handle:cancel()
  t.returns({ true, "done" }, handle:join())
  t.equal(handle:status(), "done")
end)

t.in_task("a task may cancel itself", function()
  local handle = task.spawn(function()
    task.current():cancel()
    task.sleep(3600)
  end)
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
end)

t.in_task("a cancelled task cannot wait any more", function()
  local errors = {}
  local channel, sleeper = task.channel(), t.sleeper()
  local handle = task.spawn(function()
    for _, wait in ipairs {
      function() task.sleep(3600) end,
      function() channel:receive() end,
      function() task.yield() end,
      function() socket.select({}, {}, 10) end,
      function() sleeper:join() end,
      function() task.group(function(g) g:spawn(task.sleep, 3600) end) end,
      function() task.timeout(10, task.sleep, 3600) end,
    } do
      errors[#errors + 1] = tostring(select(2, pcall(wait)))
    end
    return "ends"
  end)
  t.waiting(handle)
  handle:cancel()
  t.returns({ true, "ends" }, handle:join())
  t.same(errors, { "cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "cancelled" })
  sleeper:cancel()
end)

t.test("a cancelled first task", function()
  t.returns({ n = 2, nil, "cancelled" }, task.run(function()
    task.current():cancel()
    task.sleep(3600)
  end))
end)

t.in_task("what a task has got before it was cancelled, it keeps", function()
  local channel, semaphore, event = task.channel(), task.semaphore(0), task.event()
  local gate = task.event()
  local ended = t.waiting(task.spawn(function() gate:wait() return "result" end))
  for name, case in pairs {
    channel = { function() return channel:receive() end, function() channel:send("value") end, "value" },
    semaphore = { function() return semaphore:acquire() end, function() semaphore:release() end, true },
    event = { function() return event:wait() end, function() event:set() end, true },
    join = { function() return select(2, ended:join()) end, function()
      gate:set()
      repeat task.yield() until ended:status() == "done"
    end, "result" },
  } do
    local got, slept
    local handle = t.waiting(task.spawn(function()
      got = case[1]()
      slept = pcall(task.sleep, 0.001)
    end))
    case[2]()
    handle:cancel()
    handle:join()
    t.equal(got, case[3], name)
    t.equal(slept, false, name)
  end
end)

---------------------------------------------------------------------------------------------------------------- errors

t.in_task("join tells the error of a task", function()
  local value = {}
  t.returns({ false, "text" }, task.spawn(error, "text", 0):join())
  t.returns({ false, value }, task.spawn(error, value):join())
  t.returns({ n = 2, false, 42 }, task.spawn(function() task.sleep(0.001) error(42, 0) end):join())
  if t.lua.number < 505 then t.returns({ n = 2, false, nil }, task.spawn(error, nil):join()) end
  local ok, err = task.spawn(function() error "with position" end):join()
  t.equal(ok, false)
  t.match(err, "task.lua:%d+: with position$")
end)

t.test("an error that nobody waits for ends all and is raised by run", function()
  local ended = {}
  local text = t.raises({ match = "task.lua:%d+: boom" }, task.run, function()
    for i = 1, 3 do
      task.spawn(function()
        local ok, err = pcall(task.sleep, 3600)
        ended[i] = ok == false and tostring(err)
      end)
    end
    local handle = task.spawn(function()
      task.sleep(0.01)
      local function inner() error "boom" end
      inner()
    end)
    handle.name = "the culprit"
    task.sleep(3600)
  end)
  t.match(text, "^task 'the culprit': [^\n]*boom\nstack traceback:")
  t.match(text, "task.lua:%d+: in")
  t.same(ended, { "cancelled", "cancelled", "cancelled" })
  t.equal(task.stats().tasks, 0)
end)

t.test("the first error is the one that is raised", function()
  local text = t.raises({ match = "first" }, task.run, function()
    for _, word in ipairs { "first", "second", "third" } do task.spawn(error, word, 0) end
    pcall(task.sleep, 3600)
    error "fourth"
  end)
  t.match(text, "^task 'task %d+': first")
end)

t.test("errors that are no text are raised as they are", function()
  local value = {}
  t.raises({ value = value }, task.run, error, value)
  t.raises({ value = true }, task.run, error, true)
  local readable = setmetatable({}, { __tostring = function() return "readable" end })
  t.match(t.raises({ match = "readable" }, task.run, error, readable), "^task 'main': readable\n")
end)

t.test("an error in a task that is joined is no other's", function()
  t.returns({ "alive" }, task.run(function()
    local handle = task.spawn(function() task.sleep(0.01) error "boom" end)
    t.equal((handle:join()), false)
    return "alive"
  end))
end)

t.test("the tasks that an error cancels may clean up", function()
  local cleaned = 0
  t.raises({ match = "boom" }, task.run, function()
    for _ = 1, 3 do
      task.spawn(function()
        pcall(task.sleep, 3600)
        cleaned = cleaned + 1
        task.spawn(function()
          pcall(task.sleep, 3600) -- what is spawned now is cancelled as well
          cleaned = cleaned + 10
        end)
      end)
    end
    task.yield()
    error "boom"
  end)
  t.equal(cleaned, 33)
end)

t.test("tasks that wait for each other are told apart from those who wait for events", function()
  local text = t.raises({ match = "every task waits for another one" }, task.run, function()
    local lock = task.lock()
    lock:acquire()
    local handle = task.spawn(lock.acquire, lock)
    handle.name = "second"
    lock:acquire()
  end)
  t.match(text, "main")
  t.match(text, "second")
  t.equal(task.stats().tasks, 0)
  t.raises({ match = "every task waits for another one: main" }, task.run, function() task.channel():receive() end)
  t.returns({ n = 2, nil, "timeout" }, task.run(function() return task.channel():receive(0.01) end))
  t.returns({ 1 }, task.run(function()
    local channel = task.channel()
    task.spawn(function() task.sleep(0.01) channel:send(1) end)
    return channel:receive()
  end))
end)

t.test("an error in a finalizer of the collector does not end the loop", function()
  local setgc = t.lua.number >= 502 and setmetatable or function(_, metatable)
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = metatable.__gc
    return proxy
  end
  local ran = 0
  -- Up to 5.3 the error is raised where the collector runs; then `run` may raise it.
  local ok, err = pcall(task.run, function()
    for _ = 1, 10 do
      setgc({}, { __gc = function() ran = ran + 1 error "in gc" end })
      pcall(collectgarbage)
      task.yield()
    end
  end)
  if not ok then t.match(err, "in gc") end
  t.returns({ "fine" }, task.run(function() task.sleep(0.001) return "fine" end))
  t.between(ran, 1, 10)
end)

t.test("a finalizer of the collector may spawn", function()
  local setgc = t.lua.number >= 502 and setmetatable or function(_, metatable)
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = metatable.__gc
    return proxy
  end
  local ran = 0
  task.run(function()
    for _ = 1, 200 do
      setgc({}, { __gc = function() task.spawn(function() ran = ran + 1 end) end })
      task.spawn(function() return {}, {}, {} end)
      task.yield()
    end
    collectgarbage()
    collectgarbage()
  end)
  t.between(ran, 190, 200)
end)

t.test("loading it opens no descriptor", function()
  local output, status = t.run [[
    local function lowest()
      local other = require "socket".tcp4()
      local fd = other:getfd()
      other:close()
      return fd
    end
    local before = lowest()
    local task = require "socket.task"
    print(before >= 0 and lowest() == before, task.getfd() == before)
  ]]
  t.equal(status, 0)
  t.match(output, "true\ttrue")
end)

t.in_task("closing wakes who has begun to wait in the same turn", function()
  local a = t.closing(assert(socket.bind("127.0.0.1", 0)))
  local waiter = task.spawn(function() return a:accept() end)
  task.yield()
  a:close()
  t.returns({ true, nil, "closed" }, waiter:join(5))
end)

t.test("native stacks are given back, but for a few", function()
  local most
  for _ = 1, 3 do
    task.run(function()
      local event = task.event()
      local function wait_below_c() table.sort({ 1, 2 }, function() event:wait() return false end) end
      for _ = 1, 100 do task.spawn(wait_below_c) end
      task.yield()
      most = task.stats().stacks
      event:set()
      while task.stats().tasks > 1 do task.sleep(0.001) end
      for _ = 1, 100 do task.sleep(0.0001) end
      t.between(task.stats().stacks, 1, 10)
      event:clear()
      for _ = 1, 30 do task.spawn(wait_below_c) end
      task.yield()
      event:set()
    end)
    t.between(most, 100, 110)
    t.between(task.stats().stacks, 1, 10)
  end
end)

t.done()

-- Errors, thrown in every kind of place and of every kind; ends in mid-flight; memory that runs out in the loop.

local t = require "support"

if t.reference then
  t.test("errors in tasks", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

local pack = t.pack
local load_text = loadstring or load

-- Things to throw.
local values = {
  ["a table"] = {},
  ["a number"] = 42,
  ["false"] = false,
  ["true"] = true,
  ["a text"] = "text",
  ["a function"] = print,
  ["a coroutine"] = coroutine.create(function() end),
  ["what equals everything"] = setmetatable({}, { __eq = function() return true end }),
  ["what cannot be read"] = setmetatable({}, { __tostring = function() error "no text" end }),
  ["what cannot be indexed"] = setmetatable({}, { __index = function() error "no fields" end }),
  ["what hides its metatable"] = setmetatable({}, { __metatable = false }),
  ["what looks like a token"] = { reason = "cancelled", mark = {} },
}
-- Lua 5.5 makes a text of it.
if t.lua.number < 505 then values["nil"] = nil end

-- Places to throw from. Each calls `throw` in it; what arrives outside must be the same value.
local places = {}

function places.body(throw) throw() end
function places.group(throw) task.group(function() throw() end) end
function places.child(throw) task.group(function(group) group:spawn(throw) end) end

places["child while its parent waits"] = function(throw)
  task.group(function(group)
    group:spawn(throw)
    task.sleep(3600)
  end)
end

places["grandchild"] = function(throw)
  task.group(function(outer)
    outer:spawn(task.group, function(inner) inner:spawn(throw) end)
    outer:spawn(task.sleep, 3600)
  end)
end

places["group in a group"] = function(throw)
  task.group(function(outer)
    outer:spawn(task.sleep, 3600)
    task.group(function(inner)
      inner:spawn(task.sleep, 3600)
      throw()
    end)
  end)
end

function places.timeout(throw) task.timeout(3600, throw) end
places["timeout in timeout"] = function(throw) task.timeout(3600, task.timeout, 10, throw) end
function places.with(throw) task.semaphore(1):with(throw) end

places["with in timeout in group"] = function(throw)
  task.group(function(group)
    group:spawn(task.timeout, 3600, function() task.lock():with(throw) end)
  end)
end

places["after a channel"] = function(throw)
  local channel = task.channel()
  task.group(function(group)
    group:spawn(function() channel:receive() throw() end)
    group:spawn(channel.send, channel, 1)
    group:spawn(channel.receive, channel)
  end)
end

function places.coroutine(throw)
  local ok, err = coroutine.resume(coroutine.create(throw))
  if not ok then error(err, 0) end
end

function places.sort(throw) table.sort({ 1, 2, 3 }, throw) end
function places.iterator(throw) for _ in throw do end end

function places.join(throw)
  local ok, err = task.spawn(throw):join()
  if not ok then error(err, 0) end
end

places["protect"] = function(throw)
  socket.protect(function()
    local try = socket.newtry(function() task.sleep(0) end)
    try(true)
    throw()
  end)()
end

local function each(set, fn)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do fn(name, set[name]) end
end

each(places, function(place_name, place)
  t.in_task("an error in " .. place_name, function()
    each(values, function(value_name, value)
      for _, waits in ipairs { false, true } do
        local handle = task.spawn(place, function()
          if waits then task.sleep(0) end
          error(value, 0)
        end)
        local result = pack(handle:join())
        t.equal(result[1], false, value_name)
        t.equal(rawequal(result[2], value), true, value_name)
        t.equal(handle:status(), "failed", value_name)
      end
    end)
  end)
end)

t.test("every value is raised by run", function()
  each(values, function(name, value)
    local result = pack(pcall(task.run, function()
      task.spawn(task.sleep, 3600)
      task.yield()
      error(value, 0)
    end))
    t.equal(result[1], false, name)
    if name == "a text" then
      t.match(result[2], "^task 'main': text\n")
    else
      t.equal(rawequal(result[2], value), true, name)
    end
    t.equal(task.stats().tasks, 0)
    t.returns({ "fine" }, task.run(function() task.sleep(0) return "fine" end))
  end)
end)

----------------------------------------------------------------------------------------------- finalizers and collectors

t.in_task("a finalizer of newtry that fails, or waits", function()
  local function request(finalizer, wait)
    return socket.protect(function()
      local try = socket.newtry(finalizer)
      if wait then task.sleep(0.001) end
      return try(nil, "refused")
    end)
  end
  t.returns({ n = 2, nil, "refused" }, request(function() task.sleep(0.001) end)())
  for _, waits in ipairs { false, true } do
    t.raises({ exact = "lost" }, request(function()
      if waits then task.sleep(0.001) end
      error("lost", 0)
    end, waits))
  end
end)

t.in_task("a finalizer that waits while its task is cancelled", function()
  local reached = {}
  local handle = t.waiting(task.spawn(socket.protect(function()
    local try = socket.newtry(function()
      reached[1] = true
      reached[2] = tostring(select(2, pcall(task.sleep, 3600)))
    end)
    task.sleep(3600)
    try(true)
  end)))
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
  t.same(reached, { true, "cancelled" })
end)

local setgc = t.lua.number >= 502 and setmetatable or function(_, metatable)
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = metatable.__gc
  return proxy
end

t.test("what the collector calls may wait, fail, close, spawn and cancel", function()
  local ran = 0
  local acts = {
    function() task.sleep(0.0005) end,
    function() socket.sleep(0.0005) end,
    function() task.yield() end,
    function() socket.select({}, {}, 0.0005) end,
    function() task.spawn(task.yield) end,
    function() local handle = task.spawn(task.sleep, 3600) handle:cancel() end,
    function() socket.tcp():close() end,
    function() coroutine.wrap(function() task.sleep(0.0005) end)() end,
    function() pcall(task.timeout, 0.0005, task.sleep, 1) end,
    function() pcall(task.group, function(group) group:spawn(task.yield) end) end,
    function() pcall(task.run, print) end,
    function() pcall(task.step, 0) end,
  }
  for i, act in ipairs(acts) do
    local seen = false
    task.run(function()
      for _ = 1, 3 do
        setgc({}, { __gc = function() seen = true ran = ran + 1 pcall(act) end })
        task.yield()
        collectgarbage()
        task.sleep(0.0005)
      end
      collectgarbage()
      collectgarbage()
    end)
    t.ok(seen, "act " .. i)
    t.equal(task.stats().tasks, 0)
  end
  t.between(ran, #acts, 3 * #acts)
end)

if t.lua.close then
  local close = load_text [[
    local body, closed = ...
    local x <close> = setmetatable({}, { __close = closed })
    return body()
  ]]

  t.in_task("variables that are closed may wait, and may fail", function()
    local told
    local function waits(_, err)
      task.sleep(0.001)
      told = err
    end
    t.returns({ true, "end" }, task.spawn(close, function() task.sleep(0.001) return "end" end, waits):join())
    t.returns({ false, "error" }, task.spawn(close, function() error("error", 0) end, waits):join())
    t.equal(told, "error")
    t.returns({ false, "late" }, task.spawn(close, function() task.sleep(0.001) error("late", 0) end, waits):join())
    t.equal(told, "late")
    local second = task.spawn(close, function() error("first", 0) end, function() error("second", 0) end)
    t.returns({ false, "second" }, second:join())
    -- Several, and one that waits in a group.
    local order = {}
    t.returns({ false, "error" }, task.spawn(close, function()
      close(function() error("error", 0) end, function()
        task.group(function(group) group:spawn(task.sleep, 0.001) end)
        order[#order + 1] = "inner"
      end)
    end, function() task.yield() order[#order + 1] = "outer" end):join())
    t.same(order, { "inner", "outer" })
  end)

  -- The task has not ended before its variables are closed.
  t.test("the variables of the last task wait", function()
    local closed = 0
    local function waits()
      task.sleep(0.002)
      task.spawn(task.sleep, 0.001):join()
      local channel = task.channel()
      task.spawn(function() task.yield() channel:send(1) end)
      closed = closed + channel:receive()
    end
    t.raises({ match = "^task 'main': error\n" }, task.run, close, function() error("error", 0) end, waits)
    t.equal(closed, 1)
    t.raises({ match = "^task 'task %d+': error\n" }, task.run, function()
      task.spawn(close, function() error("error", 0) end, waits)
    end)
    t.equal(closed, 2)
    t.raises({ match = "every task waits for another one: main" }, task.run, close, function() error "error" end, function()
      task.channel():receive()
    end)
    t.equal(task.stats().tasks, 0)
  end)

  t.in_task("a variable that is closed by a cancellation", function()
    local told, slept
    local handle = t.waiting(task.spawn(close, function() task.sleep(3600) end, function(_, err)
      told = tostring(err)
      slept = pcall(task.sleep, 3600)
    end))
    handle:cancel()
    t.equal((handle:join()), false)
    t.equal(handle:status(), "cancelled")
    t.same({ told, slept }, { "cancelled", false })
  end)
end

-------------------------------------------------------------------------------------------------- other people's threads

-- A program may keep the coroutine of a task, and resume it: that is no way to end a wait. (On PUC Lua 5.1 and LuaJIT nothing
-- of ours runs then.)
if t.lua.number >= 502 then
  local function resumes(threads)
    for _ = 1, 100 do t.returns({ true }, coroutine.resume(threads[1], "wrong")) end
    collectgarbage()
  end

  t.in_task("the coroutine of a task that waits, resumed by another", function()
    local client, accepted = t.pair()
    local channel, threads = task.channel(), {}
    local function wait(call, ends, expected)
      local handle = t.waiting(task.spawn(function()
        threads[1] = coroutine.running()
        return call()
      end))
      resumes(threads)
      t.equal(handle:status(), "waiting")
      ends(handle)
      t.returns(expected, handle:join())
    end
    local function send() accepted:send "line\n" end
    wait(function() return (client:receive()) end, send, { true, "line" })
    wait(function() return (socket.select({ client }))[1] end, send, { true, client })
    client:receive()
    wait(function() return channel:receive() end, function() channel:send "value" end, { true, "value" })
    wait(function() task.sleep(0.003) return "slept" end, function() end, { true, "slept" })
    wait(function() return select("#", pcall(task.sleep, 3600)) end, function(handle) handle:cancel() end, { true, 2 })
  end)

  t.test("the coroutine of a task that waits, resumed outside of all tasks", function()
    local client, accepted = t.pair()
    local threads = {}
    local handle = task.spawn(function()
      threads[1] = coroutine.running()
      return (client:receive())
    end)
    task.step(0)
    task.step(0)
    resumes(threads)
    accepted:send "line\n"
    task.run(function() t.returns({ true, "line" }, handle:join()) end)
  end)
end

----------------------------------------------------------------------------------------------------- ends in mid-flight

-- A process full of tasks that wait in every way ends as it is told to, with what it has printed.
local CROWD = [=[
  local socket, task = require "socket", require "socket.task"
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local function crowd()
    local function dial() return socket.connect("127.0.0.1", port) end
    local channel, lock, event = task.channel(), task.lock(), task.event()
    lock:acquire()
    local waits = {
      function() task.sleep(3600) end,
      function() dial():receive() end,
      function() dial():send(("x"):rep(2 ^ 24)) end,
      function() local client = dial() client:settimeout(3600) client:receive "*a" end,
      function() socket.select({ dial() }, nil, 3600) end,
      function() coroutine.wrap(function() dial():receive() end)() end,
      function() table.sort({ 1, 2 }, function() task.sleep(3600) end) end,
      function() pcall(function() string.gsub("x", "x", function() dial():receive() end) end) end,
      function() channel:receive() end,
      function() lock:acquire() end,
      function() event:wait() end,
      function() task.group(function(group) group:spawn(task.sleep, 3600) end) end,
      function() task.timeout(3600, task.sleep, 3600) end,
      function() socket.protect(function() socket.newtry(function() end)(true) task.sleep(3600) end)() end,
      function() task.serve(listener, function(client) client:receive() end) end,
      function() while true do task.yield() end end,
    }
    for _, wait in ipairs(waits) do task.spawn(wait) end
    for _ = 1, 10 do task.sleep(0.001) end
  end
]=]

local function ends(name, text, expected, expected_status)
  t.test(name, function()
    local output, status = t.run(CROWD .. text)
    t.match(output, expected)
    t.equal(status, expected_status or 0)
  end)
end

ends("os.exit in a task", 'task.run(function() crowd() print "out" os.exit(3) end)', "^out\n$", 3)
ends("os.exit in a coroutine of a task",
  'task.run(function() crowd() coroutine.wrap(function() print "out" os.exit(3) end)() end)', "^out\n$", 3)
ends("os.exit below a C function of a task",
  'task.run(function() crowd() table.sort({ 1, 2 }, function() task.sleep(0.001) print "out" os.exit(3) end) end)',
  "^out\n$", 3)
ends("an error that ends all", 'print(pcall(task.run, function() crowd() error("boom", 0) end))',
  "^false\ttask 'main': boom\n")
ends("the end of the program between steps",
  'task.spawn(crowd) for _ = 1, 20 do task.step(0.001) end print(task.stats().tasks > 10) ', "^true\n$")
ends("the end of the program with tasks that never ran", 'for _ = 1, 10 do task.spawn(crowd) end print "out"', "^out\n$")
if t.lua.number >= 502 or t.lua.jit then
  ends("os.exit that closes the state, in a task", 'task.run(function() crowd() print "out" os.exit(3, true) end)',
    "^out\n$", 3)
  ends("os.exit that closes the state, in a coroutine of a task", [[task.run(function()
    crowd()
    coroutine.wrap(function() task.sleep(0.001) print "out" os.exit(3, true) end)()
  end)]], "^out\n$", 3)
end

--------------------------------------------------------------------------------------- coroutines that are not left alone

local close = coroutine.close

-- A pair of connected sockets, of which `keep` keeps only the second.
local function connected()
  local server = assert(socket.bind("127.0.0.1", 0))
  local one = assert(socket.connect("127.0.0.1", (select(2, server:getsockname()))))
  local other = assert(server:accept())
  server:close()
  one:setoption("tcp-nodelay", true)
  return one, other
end

local function litter()
  for _ = 1, 4 do collectgarbage() end
  local rubbish = {}
  for i = 1, 2000 do rubbish[i] = ("rubbish"):rep(i % 50) .. i end
  collectgarbage()
end

-- What a task can wait in: called with a place for its coroutine, and what makes its wait end.
local waits = {}

function waits.receive(place)
  local mine, other = connected()
  place.lead_on = function() other:send("now\n") other:close() end
  mine:settimeout(5)
  place.thread = coroutine.running()
  return mine:receive("*a")
end

function waits.send(place)
  local mine, other = connected()
  place.object = mine -- lives on, but what it is to send does not
  place.lead_on = function()
    other:settimeout(0)
    repeat
      local _, err = other:receive(2 ^ 16)
      task.yield()
    until err
  end
  place.thread = coroutine.running()
  return mine:send(("x"):rep(2 ^ 24))
end

function waits.select(place)
  local mine, other = connected()
  place.lead_on = function() other:send("now") end
  place.thread = coroutine.running()
  return socket.select({ mine }, nil, 5)
end

function waits.sleep(place)
  place.lead_on = function() end
  place.thread = coroutine.running()
  return task.sleep(0.02)
end

function waits.channel(place)
  local channel = task.channel()
  place.lead_on = function() channel:send("now", 0) end
  place.thread = coroutine.running()
  return channel:receive()
end

function waits.yield(place)
  place.lead_on = function() end
  place.thread = coroutine.running()
  for _ = 1, 5 do task.yield() end
end

-- Runs `wait` in a task, does `disturb` to its coroutine, and lets it be led on, if `leads_on`: what comes of it all.
local function disturbed(wait, disturb, leads_on)
  local results
  local ran, err = pcall(task.run, task.group, function(group)
    local place = {}
    group:spawn(function() results = pack(wait(place)) end)
    repeat task.yield() until place.thread
    task.yield()
    disturb(place.thread)
    place.thread = nil
    litter()
    if leads_on then place.lead_on() end
    litter()
  end)
  return ran, ran and results or err
end

-- What becomes of a wait whose coroutine is closed (resumed, where that takes its call away).
local taken = close or t.lua.number < 502 and coroutine.resume

for name, wait in pairs(waits) do
  for _, leads_on in ipairs { true, false } do
    t.test((leads_on and "taken away and led on: " or "taken away: ") .. name, function()
      if not taken then t.skip "nothing takes a coroutine away" end
      if name == "yield" and not close then t.skip "the loop goes round" end
      local ran, err = disturbed(wait, taken, leads_on)
      t.equal(ran, false)
      t.match(err, "the coroutine of a waiting task was closed or resumed")
      t.returns({ "fine" }, task.run(function() task.sleep(0) return "fine" end))
    end, 20)
  end
end

t.test("a coroutine resumed by others waits on", function()
  if t.lua.number < 502 then t.skip "there it goes on" end
  for _ = 1, 3 do
    local ran, results = disturbed(waits.receive, function(thread)
      for i = 1, 100 do t.returns({ true }, coroutine.resume(thread, i, "and more")) end
    end, true)
    t.equal(ran, true, results)
    t.equal(results[1], "now\n")
  end
end)

t.test("what a closed coroutine has occupied is free again", function()
  if not close then t.skip "there is no coroutine.close" end
  task.run(function()
    local mine, other = connected()
    local thread
    local waiting = task.spawn(function() thread = coroutine.running() mine:receive() end)
    task.yield()
    close(thread)
    other:send("line\n")
    t.returns({ false, "the coroutine of a waiting task was closed or resumed" }, waiting:join(5))
    t.equal((mine:receive()), "line")
    other:send("next\n")
    t.equal((mine:receive()), "next")
  end)
end)

t.test("a closed coroutine that nobody joins ends all", function()
  if not close then t.skip "there is no coroutine.close" end
  local ran, err = pcall(task.run, function()
    local thread
    task.spawn(function() thread = coroutine.running() task.sleep(3600) end)
    task.yield()
    close(thread)
    task.sleep(3600)
  end)
  t.equal(ran, false)
  t.match(err, "^task 'task %d+': the coroutine of a waiting task was closed")
end, 20)

t.test("a group whose coroutine was closed while it waits for its tasks", function()
  if not close then t.skip "there is no coroutine.close" end
  for _, how in ipairs { "well", "badly" } do
    local ended = 0
    local ran, err = pcall(task.run, function()
      local thread
      local parent = task.spawn(task.group, function(group)
        thread = coroutine.running()
        for _ = 1, 2 do
          group:spawn(function()
            task.sleep(0.01)
            ended = ended + 1
            if how == "badly" then error("boom", 0) end
          end)
        end
      end)
      repeat task.yield() until thread
      task.yield()
      close(thread)
      parent:join(5)
    end)
    t.equal(ended, how == "well" and 2 or 1) -- an error cancels the other
    t.equal(task.stats().tasks, 0)
    if not ran then t.match(err, "the coroutine of a waiting task was closed") end
    t.returns({ "fine" }, task.run(function() task.sleep(0) return "fine" end))
  end
end, 20)

t.test("a place in line is passed on when its coroutine was closed", function()
  if not close then t.skip "there is no coroutine.close" end
  task.run(function()
    local lock, threads, order = task.lock(), {}, {}
    lock:acquire()
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = task.spawn(function()
        threads[i] = coroutine.running()
        lock:acquire()
        order[#order + 1] = i
        lock:release()
      end)
    end
    task.yield()
    close(threads[1])
    lock:release()
    t.equal((tasks[2]:join(1)), true)
    t.equal((tasks[3]:join(1)), true)
    t.equal((tasks[1]:join(5)), false)
    t.equal(table.concat(order), "23")
  end)
end, 20)

--------------------------------------------------------------------------------------------------- memory that runs out

local found, alloc = pcall(require, "luasocket.alloc")

-- Calls `work` in `run` while memory runs out ever later. Either the run succeeds, or an error tells; in either case no task
-- is left, and the next run is as if nothing had been.
local function exhaust(work)
  if not found then t.skip "this interpreter has no allocator that fails" end
  local failures = 0
  for n = 0, 3000 do
    local result = pack(alloc.failing(n, task.run, work))
    if not result[1] then
      failures = failures + 1
      t.match(tostring(result[2]), "memory", "request " .. n)
    else
      t.equal(task.stats().tasks, 0, "request " .. n)
    end
    -- What could not be ended for want of memory ends now, and what could not be told is not told any more.
    t.returns({ true, "fine" }, pcall(task.run, function() task.sleep(0) return "fine" end))
    t.equal(task.stats().tasks, 0, "request " .. n)
    if result[1] and not alloc.failed() then return failures end
  end
  t.fail "asks for memory without end"
end

local function out_of_memory(name, work)
  t.test("memory runs out: " .. name, function() t.between(exhaust(work), 1, 3000) end, 60)
end

out_of_memory("spawn and join", function()
  for _ = 1, 3 do task.spawn(function() task.yield() return 1 end):join() end
end)

out_of_memory("sleep and timeout", function()
  task.timeout(0.0001, task.sleep, 3600)
  task.sleep(0)
end)

out_of_memory("channels", function()
  local channel = task.channel()
  task.spawn(function() channel:send(1) channel:close() end)
  repeat until not channel:receive()
end)

out_of_memory("groups", function()
  task.group(function(group)
    for _ = 1, 3 do group:spawn(task.yield) end
  end)
end)

out_of_memory("native stacks", function()
  coroutine.wrap(function() task.sleep(0.0001) end)()
  table.sort({ 1, 2 }, function() task.yield() return false end)
end)

out_of_memory("sockets", function()
  local a, b = socket.udp4(), socket.udp4()
  a:setsockname("127.0.0.1", 0)
  b:setsockname("127.0.0.1", 0)
  local reader = task.spawn(function() return a:receive() end)
  task.yield()
  b:sendto("x", a:getsockname())
  socket.select({ a }, nil, 0.0001)
  reader:join(1)
  a:close()
  b:close()
end)

t.done()

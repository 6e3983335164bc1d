-- `task.timeout`: a deadline for everything that a function waits for.

local t = require "support"

if t.reference then
  t.test("timeouts of tasks", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

local function sleep_for_ever() task.sleep(3600) end

t.in_task("what is in time returns its results", function()
  t.returns({ n = 3, 1, nil, "x" }, task.timeout(5, function(...) return ... end, 1, nil, "x"))
  t.returns(0, task.timeout(5, task.sleep, 0.001))
  t.returns({ "late" }, task.timeout(5, function() task.sleep(0.005) return "late" end))
end)

t.in_task("what is not in time returns nil and timeout", function()
  local start = task.now()
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.03, sleep_for_ever))
  t.between(task.now() - start, 0.03, 5)
end)

t.in_task("errors pass", function()
  local value = {}
  t.raises({ value = value }, task.timeout, 5, error, value)
  t.raises({ match = "task%-timeout.lua:%d+: text" }, task.timeout, 5, function()
    task.sleep(0.001)
    error "text"
  end)
end)

t.in_task("strange times", function()
  for _, seconds in ipairs { 0, -1, -1e300, -math.huge } do
    t.returns({ n = 2, nil, "timeout" }, task.timeout(seconds, sleep_for_ever))
    t.returns({ "no wait" }, task.timeout(seconds, function() return "no wait" end))
  end
  for _, seconds in ipairs { 1e9, 1e300, math.huge, 0 / 0 } do
    t.returns({ "in time" }, task.timeout(seconds, function() task.sleep(0.001) return "in time" end))
  end
  t.raises({ match = "bad argument #1 to 'timeout' %(number expected, got nil%)" }, task.timeout, nil, print)
end)

t.in_task("a deadline that is past ends the next wait, and every further one", function()
  local waits = 0
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0, function()
    for _ = 1, 5 do
      local ok, err = pcall(task.sleep, 1)
      t.equal(ok, false)
      t.equal(tostring(err), "timeout")
      waits = waits + 1
    end
    task.yield()
  end))
  t.equal(waits, 5)
  t.between(t.elapsed(task.sleep, 0.005), 0.005, 5)
end)

t.in_task("of nested ones the nearest counts", function()
  local start = task.now()
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.02, task.timeout, 3600, sleep_for_ever))
  t.between(task.now() - start, 0.02, 5)
  t.returns({ n = 2, "inner", "timeout" }, task.timeout(3600, function()
    local _, err = task.timeout(0.005, sleep_for_ever)
    return "inner", err
  end))
end)

t.in_task("the outer deadline holds on after the inner one", function()
  local events, tries = {}, 0
  repeat -- once, unless the machine stalls and the outer one comes first
    t.returns({ n = 2, nil, "timeout" }, task.timeout(0.03, function()
      for i = 1, 100 do
        events[i] = select(2, task.timeout(0.008, sleep_for_ever))
      end
    end))
    tries = tries + 1
  until #events > 0 or tries == 20
  t.between(#events, 1, 4)
  for _, err in ipairs(events) do t.equal(err, "timeout") end
end)

t.in_task("both deadlines at once", function()
  local inner
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, function()
    inner = t.pack(task.timeout(0.01, sleep_for_ever))
    sleep_for_ever()
  end))
  if inner then t.same(inner, { n = 2, nil, "timeout" }) end
end)

-- 64 MB, more than a connection takes that nobody reads. Made by doubling: `rep` goes byte by byte on Lua 5.1, which took
-- seconds on a busy machine.
local function large()
  local text = "x"
  for _ = 1, 26 do text = text .. text end
  return text
end

t.in_task("a deadline covers whatever is waited for", function()
  local client = t.pair()
  local server = t.server()
  server:settimeout(nil)
  local channel, semaphore, event = task.channel(), task.semaphore(0), task.event()
  local sleeper = t.sleeper()
  local text = large()
  for name, wait in pairs {
    sleep = sleep_for_ever,
    receive = function() return client:receive() end,
    ["receive with a timeout"] = function()
      client:settimeout(3600)
      return client:receive()
    end,
    accept = function() return server:accept() end,
    send = function() return client:send(text) end,
    select = function() return socket.select({ server }, nil) end,
    ["channel receive"] = function() return channel:receive() end,
    ["channel send"] = function() return channel:send(1) end,
    ["channel send with a timeout"] = function() return channel:send(1, 3600) end,
    semaphore = function() return semaphore:acquire() end,
    event = function() return event:wait() end,
    join = function() return sleeper:join() end,
    group = function() return task.group(function(group) group:spawn(sleep_for_ever) end) end,
    wait = function() return task.wait(server, "r") end,
    pcall = function()
      local ok, err = pcall(sleep_for_ever)
      error(err, 0)
    end,
  } do
    local took = t.elapsed(function()
      local result, err = task.timeout(0.01, wait)
      t.equal(result, nil, name)
      t.equal(err, "timeout", name)
    end)
    t.between(took, 0.01, 5, name)
  end
  sleeper:cancel()
end)

t.in_task("a deadline ends what never waits in the kernel", function()
  local client, accepted = t.pair()
  client:settimeout(0)
  local tries, times = 0, 0
  repeat -- once, unless the machine stalls
    t.returns({ n = 2, nil, "timeout" }, task.timeout(0.02, function()
      while true do
        client:receive()
        tries = tries + 1
      end
    end))
    times = times + 1
  until tries > 100 or times == 50
  t.ok(tries > 100)
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.02, function()
    while true do accepted:send("x") client:receive(1) end
  end))
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.02, function()
    while true do task.yield() end
  end))
end)

t.in_task("what was received when time was over is not lost", function()
  local client, accepted = t.pair()
  local got = {}
  local sent = 0
  local sender = task.spawn(function()
    for i = 1, 300 do
      accepted:send(("%04d"):format(i))
      sent = i
      if i % 7 == 0 then task.sleep(0.0005) end
    end
    accepted:close()
  end)
  while true do
    local data, err = task.timeout(0.0007, function()
      while true do
        local data, err, partial = client:receive(4)
        if not data then
          t.equal(partial, "")
          return nil, err
        end
        got[#got + 1] = data
      end
    end)
    t.equal(data, nil)
    if err == "closed" then break end
    t.equal(err, "timeout")
  end
  sender:join()
  t.equal(#got, 300)
  for i = 1, 300 do t.equal(got[i], ("%04d"):format(i)) end
end)

t.in_task("timeouts and groups meet", function()
  -- A child fails while the function of the group is inside of a timeout: that is no timeout.
  t.raises({ exact = "child" }, task.group, function(group)
    group:spawn(function()
      task.sleep(0.005)
      error("child", 0)
    end)
    local result, err = task.timeout(3600, sleep_for_ever)
    error("the timeout has ended with " .. tostring(result) .. ", " .. tostring(err))
  end)
  -- Time runs out while a group waits for its tasks.
  local handle
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, task.group, function(group)
    handle = group:spawn(sleep_for_ever)
  end))
  t.equal(handle:status(), "cancelled")
  -- A child has a deadline of its own.
  t.returns({ n = 2, nil, "timeout" }, task.group(function(group)
    return select(2, group:spawn(task.timeout, 0.01, sleep_for_ever):join())
  end))
end)

t.in_task("a task that is cancelled inside of a timeout", function()
  local after
  local handle = t.waiting(task.spawn(function()
    after = t.pack(task.timeout(3600, sleep_for_ever))
  end))
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
  t.equal(after, nil)
end)

t.in_task("a task that is cancelled after its time is over", function()
  local handle = task.spawn(function()
    return task.timeout(0.005, function()
      while true do
        local ok, err = pcall(task.sleep, 1)
        if tostring(err) == "cancelled" then error(err, 0) end
      end
    end)
  end)
  task.sleep(0.02)
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
end)

t.in_task("other tasks have deadlines of their own", function()
  local order, start, spread
  repeat -- once, unless the machine stalls before the last one waits
    order, start = {}, task.now()
    local handles = {}
    for i = 1, 5 do
      handles[i] = task.spawn(function()
        task.timeout(0.004 * i, sleep_for_ever)
        order[#order + 1] = i
      end)
    end
    task.yield()
    spread = task.now() - start
    for i = 5, 1, -1 do handles[i]:join() end
  until spread < 0.004
  t.same(order, { 1, 2, 3, 4, 5 })
end)

t.in_task("the finalizers of newtry run when time is over", function()
  local ran = {}
  local function request(name)
    return socket.protect(function()
      local try = socket.newtry(function() ran[#ran + 1] = name end)
      sleep_for_ever()
      return try(1)
    end)
  end
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.005, request "one"))
  t.same(ran, { "one" })
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.005, socket.protect(request "two")))
  t.same(ran, { "one", "two" })
end)

t.in_task("a look-up does not outlast a deadline", function()
  -- Whether there is a name server or not: an answer or the deadline.
  local start = task.now()
  task.timeout(0.05, socket.dns.toip, "name.that.does.not.exist.invalid")
  t.between(task.now() - start, 0, 2)
  -- Who asks holds a descriptor until there is an answer: as long as the same question takes once more.
  task.timeout(20, socket.dns.toip, "name.that.does.not.exist.invalid")
  task.sleep(0.05)
end, 30)

t.in_task("a connect does not outlast a deadline", function()
  -- A full queue of a listener swallows what comes after.
  local listener = t.closing(assert(socket.bind("127.0.0.1", 0, 0)))
  local host, port = listener:getsockname()
  local open = {}
  local result, err
  for i = 1, 10 do
    result, err = task.timeout(0.05, socket.connect, host, port)
    if not result then break end
    open[i] = t.closing(result)
  end
  t.equal(result, nil)
  t.equal(err, "timeout")
end)

t.in_task("many timeouts one after the other leave nothing", function()
  task.yield()
  local before = task.stats().deadlines -- the watch's
  for _ = 1, 10000 do task.timeout(3600, task.current) end
  t.equal(task.stats().deadlines, before)
  local semaphore = task.semaphore(0)
  for _ = 1, 200 do task.timeout(0.0001, semaphore.acquire, semaphore) end
  t.equal(task.stats().deadlines, before)
end)

t.done()

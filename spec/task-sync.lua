-- What tasks wait for each other with: channels, semaphores, locks, events. Each in every state of waiting: who waits in
-- which place is served in order, whoever gives up in between, and nothing is lost or given twice.

local t = require "support"

if t.reference then
  t.test("channels and locks", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

-- Kinds of waiting in line. `wait(i, timeout)` waits, `give(i)` serves the first in line; both return which number it was
-- about, as far as they know. `free` makes room before the line is tried for emptiness.
local kinds = {}

kinds["receive"] = function()
  local channel = task.channel()
  return {
    wait = function(_, timeout) return channel:receive(timeout) end,
    give = function(i) return channel:send(i, 0) and i end,
  }
end

kinds["receive with room"] = function()
  local channel = task.channel(3)
  return {
    wait = function(_, timeout) return channel:receive(timeout) end,
    give = function(i) return channel:send(i, 0) and i end,
  }
end

for _, capacity in ipairs { 0, 1, 5 } do
  kinds["send to a channel of " .. capacity] = function()
    local channel = task.channel(capacity)
    for i = 1, capacity do channel:send(-i) end
    local taken = 0
    return {
      wait = function(i, timeout)
        local ok, err = channel:send(i, timeout)
        return ok and i, err
      end,
      -- What was there before comes first.
      give = function()
        local value = channel:receive(0)
        while value and value < 0 do
          taken = taken + 1
          t.equal(value, -taken)
          value = channel:receive(0)
        end
        return value
      end,
      sends = true,
      room = capacity > 0,
    }
  end
end

kinds["acquire"] = function()
  local semaphore = task.semaphore(0)
  return {
    wait = function(i, timeout)
      local ok, err = semaphore:acquire(timeout)
      return ok and i, err
    end,
    give = function(i) return semaphore:release() and i end,
  }
end

kinds["a lock"] = function()
  local lock = task.lock()
  lock:acquire()
  return {
    wait = function(i, timeout)
      local ok, err = lock:acquire(timeout)
      return ok and i, err
    end,
    -- Where all have run out of time, nobody holds it.
    give = function(i) return pcall(lock.release, lock) and i end,
  }
end

local names = {}
for name in pairs(kinds) do names[#names + 1] = name end
table.sort(names)

local N = 5

-- Lets others run until that task waits, or has waited: where the machine stalls, a short time is over at once.
local function begun(handle)
  repeat task.yield() until handle:status() ~= "ready"
  return handle
end

-- N tasks that wait in line; what they have got, in order.
local function stand(kind, timeouts)
  local got, handles = {}, {}
  for i = 1, N do
    local handle = task.spawn(function()
      local value, err = kind.wait(i, timeouts and timeouts[i])
      got[#got + 1] = value and i or err
      return value, err
    end)
    handles[i] = timeouts and timeouts[i] and begun(handle) or t.waiting(handle)
  end
  return handles, got
end

local function settle()
  for _ = 1, 4 do task.yield() end
end

-- Serves as many as there are; only those in `expected` get something, in that order.
local function serve(kind, got, expected)
  for at = #got, 1, -1 do got[at] = nil end
  for n, i in ipairs(expected) do
    local given = kind.give(i)
    t.equal(given, i, "given " .. n)
    settle()
  end
  t.same(got, expected)
end

-- Nobody is in line any more, and nothing is left over.
local function is_empty(kind)
  if kind.sends then
    t.equal(kind.give(99), nil)
  else
    t.returns({ n = 2, nil, "timeout" }, (function()
      local value, err = kind.wait(99, 0)
      return value or nil, err
    end)())
  end
end

local function all_but(k)
  local list = {}
  for i = 1, N do
    if i ~= k then list[#list + 1] = i end
  end
  return list
end

for _, name in ipairs(names) do
  local make = kinds[name]

  t.in_task(name .. ": first come, first served", function()
    local kind = make()
    local handles, got = stand(kind)
    serve(kind, got, all_but(0))
    for i = 1, N do handles[i]:join() end
    is_empty(kind)
  end)

  t.in_task(name .. ": several at once, before they run", function()
    local kind = make()
    local handles, got = stand(kind)
    for i = 1, N do t.equal(kind.give(i), i) end
    t.same(got, {})
    for i = 1, N do handles[i]:join() end
    t.same(got, all_but(0))
    is_empty(kind)
  end)

  t.in_task(name .. ": one is cancelled, at each place", function()
    for k = 1, N do
      local kind = make()
      local handles, got = stand(kind)
      handles[k]:cancel()
      t.equal((handles[k]:join()), false)
      serve(kind, got, all_but(k))
      is_empty(kind)
    end
  end)

  t.in_task(name .. ": one is cancelled, and the line moves before it runs", function()
    for k = 1, N do
      local kind = make()
      local handles, got = stand(kind)
      handles[k]:cancel()
      serve(kind, got, all_but(k))
      t.equal(handles[k]:status(), "cancelled")
      is_empty(kind)
    end
  end)

  t.in_task(name .. ": one runs out of time, at each place", function()
    for k = 1, N do
      local kind = make()
      local handles, got = stand(kind, { [k] = 0.001 })
      t.equal(select(3, handles[k]:join()), "timeout")
      t.same(got, { "timeout" })
      serve(kind, got, all_but(k))
      is_empty(kind)
    end
  end)

  t.in_task(name .. ": a deadline around it, at each place", function()
    for k = 1, N do
      local kind = make()
      local got, handles = {}, {}
      for i = 1, N do
        handles[i] = (i == k and begun or t.waiting)(task.spawn(function()
          local value = task.timeout(i == k and 0.001 or 3600, kind.wait, i)
          got[#got + 1] = value and i or "late"
        end))
      end
      handles[k]:join()
      t.same(got, { "late" })
      serve(kind, got, all_but(k))
      is_empty(kind)
    end
  end)

  t.in_task(name .. ": in a coroutine, where the task keeps its stack", function()
    local kind = make()
    local got, handles = {}, {}
    for i = 1, N do
      handles[i] = t.waiting(task.spawn(function()
        coroutine.wrap(function()
          if kind.wait(i) then got[#got + 1] = i end
        end)()
      end))
    end
    handles[2]:cancel()
    serve(kind, got, all_but(2))
    is_empty(kind)
  end)

  -- Who is served in the moment in which its time is over, is served or has run out of time; never both, never neither.
  t.in_task(name .. ": served and out of time at once", function()
    local served, late = 0, 0
    for _ = 1, 30 do
      local kind = make()
      local handles, got = stand(kind, { 0.001, 0.001, 0.001, 0.001, 0.001 })
      local start = task.now()
      while task.now() < start + 0.0011 do end
      local gives = 0
      for i = 1, N do
        if kind.give(i) and kind.sends then gives = gives + 1 end
      end
      for i = 1, N do handles[i]:join() end
      local n = 0
      for i = 1, N do
        if got[i] ~= "timeout" then n = n + 1 end
      end
      if kind.sends then t.equal(n, gives) end
      served, late = served + n, late + N - n
    end
    t.equal(served + late, 30 * N)
  end)

  t.in_task(name .. ": served, then cancelled: it keeps what it got", function()
    local kind = make()
    if kind.room then return end -- the second one moves up with the first
    local handles, got = stand(kind)
    t.equal(kind.give(1), 1)
    handles[1]:cancel()
    handles[2]:cancel()
    t.equal(kind.give(3), 3)
    settle()
    t.same(got, { 1, 3 })
    serve(kind, got, { 4, 5 })
    is_empty(kind)
  end)

  t.in_task(name .. ": a timeout of nothing does not wait", function()
    local kind = make()
    for _, seconds in ipairs { 0, -1 } do
      local ran = false
      task.spawn(function() ran = true end)
      local value, err = kind.wait(1, seconds)
      t.ok(not value)
      t.equal(err, "timeout")
      t.equal(ran, false)
      task.yield()
    end
  end)
end

-------------------------------------------------------------------------------------------------------------- channels

t.in_task("a channel holds as many as it says", function()
  for _, capacity in ipairs { 0, 1, 2, 10, 1.5 } do
    local channel = task.channel(capacity)
    local n = 0
    while channel:send(n, 0) do n = n + 1 end
    t.equal(n, math.ceil(capacity))
    for i = 0, n - 1 do t.equal(channel:receive(0), i) end
    t.returns({ n = 2, nil, "timeout" }, channel:receive(0))
  end
end)

t.in_task("any value goes through a channel", function()
  local value = {}
  for _, capacity in ipairs { 0, 1 } do
    local channel = task.channel(capacity)
    for _, sent in ipairs { value, false, true, 0, "", print } do
      local sender = task.spawn(channel.send, channel, sent)
      t.returns({ n = 1, sent }, channel:receive())
      t.returns({ true, true }, sender:join())
      local receiver = t.waiting(task.spawn(channel.receive, channel))
      channel:send(sent)
      t.returns({ n = 2, true, sent }, receiver:join())
    end
    local sender = task.spawn(channel.send, channel, nil)
    t.equal(channel:receive(), nil)
    t.returns({ true, true }, sender:join())
    local receiver = t.waiting(task.spawn(channel.receive, channel))
    channel:send(nil)
    t.equal(select(2, receiver:join()), nil)
  end
end)

t.in_task("a sender that waits moves up when there is room", function()
  local channel = task.channel(1)
  channel:send(1)
  local second = t.waiting(task.spawn(channel.send, channel, 2))
  local third = t.waiting(task.spawn(channel.send, channel, 3))
  t.equal(channel:receive(), 1)
  t.returns({ true, true }, second:join())
  t.equal(third:status(), "waiting")
  t.equal(channel:receive(), 2)
  t.equal(channel:receive(), 3)
  t.returns({ true, true }, third:join())
end)

t.in_task("closing a channel tells all who wait", function()
  for _, capacity in ipairs { 0, 2 } do
    local channel = task.channel(capacity)
    local receivers = {}
    for i = 1, 3 do receivers[i] = t.waiting(task.spawn(channel.receive, channel)) end
    t.returns({ 1 }, channel:close())
    for i = 1, 3 do t.returns({ n = 3, true, nil, "closed" }, receivers[i]:join()) end
    t.returns({ n = 2, nil, "closed" }, channel:send(1))
    t.returns({ n = 2, nil, "closed" }, channel:receive())
    t.returns({ n = 2, nil, "closed" }, channel:receive(0))
    t.returns({ 1 }, channel:close())

    channel = task.channel(capacity)
    for i = 1, capacity do channel:send(i) end
    local senders = {}
    for i = 1, 3 do senders[i] = t.waiting(task.spawn(channel.send, channel, -i)) end
    channel:close()
    for i = 1, 3 do t.returns({ n = 3, true, nil, "closed" }, senders[i]:join()) end
    for i = 1, capacity do t.equal(channel:receive(), i) end
    t.returns({ n = 2, nil, "closed" }, channel:receive())
  end
end)

t.in_task("closing and cancelling at once", function()
  local channel = task.channel()
  local handle = t.waiting(task.spawn(channel.receive, channel))
  channel:close()
  handle:cancel()
  t.returns({ n = 3, true, nil, "closed" }, handle:join())
  channel = task.channel()
  handle = t.waiting(task.spawn(channel.receive, channel))
  handle:cancel()
  channel:close()
  t.equal((handle:join()), false)
end)

t.in_task("many through one channel", function()
  for _, capacity in ipairs { 0, 1, 7 } do
    local channel, sum, n = task.channel(capacity), 0, 0
    task.group(function(group)
      local senders = {}
      for i = 1, 10 do
        senders[i] = group:spawn(function()
          for k = 1, 100 do channel:send((i - 1) * 100 + k) end
        end)
      end
      for _ = 1, 7 do
        group:spawn(function()
          for value in function() return channel:receive() end do
            sum, n = sum + value, n + 1
          end
        end)
      end
      for i = 1, 10 do senders[i]:join() end
      channel:close()
    end)
    t.same({ n, sum }, { 1000, 500500 })
  end
end)

t.in_task("a channel that was used much is as small as before", function()
  local channel = task.channel(10)
  for i = 1, 20000 do
    channel:send(i)
    channel:send(i)
    channel:receive()
    t.equal(channel:receive(), i)
  end
  local slots = 0
  for key in pairs(channel) do
    if type(key) == "number" then slots = slots + 1 end
  end
  t.equal(slots, 0)
end)

t.test("outside of tasks a channel with room works, and waiting is an error", function()
  local channel = task.channel(1)
  t.returns({ true }, channel:send(1))
  t.raises({ match = "send is for tasks" }, channel.send, channel, 2)
  t.returns({ n = 2, nil, "timeout" }, channel:send(2, 0))
  t.returns({ 1 }, channel:receive())
  t.raises({ match = "receive is for tasks" }, channel.receive, channel)
  task.run(function()
    task.spawn(function() task.sleep(0.001) channel:send(3) end)
    t.equal(channel:receive(), 3)
  end)
end)

-- A generator in a coroutine, as programs write them.
t.in_task("a channel in an iterator in a coroutine", function()
  local channel = task.channel()
  task.spawn(function()
    for i = 1, 5 do
      task.sleep(0.0005)
      channel:send(i)
    end
    channel:close()
  end)
  local squares = coroutine.wrap(function()
    for value in function() return channel:receive() end do coroutine.yield(value * value) end
  end)
  local list = {}
  for square in squares do list[#list + 1] = square end
  t.same(list, { 1, 4, 9, 16, 25 })
end)

-------------------------------------------------------------------------------------------------- semaphores and locks

t.in_task("a semaphore lets as many in as it says", function()
  local semaphore, inside, most = task.semaphore(3), 0, 0
  task.group(function(group)
    for i = 1, 20 do
      group:spawn(function()
        semaphore:with(function()
          inside = inside + 1
          most = math.max(most, inside)
          if i % 3 == 0 then task.sleep(0.001) else task.yield() end
          inside = inside - 1
        end)
      end)
    end
  end)
  t.equal(most, 3)
  for _ = 1, 3 do t.returns({ true }, semaphore:acquire(0)) end
  t.returns({ n = 2, nil, "timeout" }, semaphore:acquire(0))
end)

t.in_task("with returns and raises what its function does, and gives the place back", function()
  local lock, value = task.lock(), {}
  t.returns({ n = 3, 1, nil, 3 }, lock:with(function(...) return ... end, 1, nil, 3))
  t.raises({ value = value }, lock.with, lock, error, value)
  t.raises({ match = "task%-sync.lua:%d+: text" }, lock.with, lock, function() error "text" end)
  t.raises({ exact = "late" }, lock.with, lock, function() task.sleep(0.001) error("late", 0) end)
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.001, lock.with, lock, task.sleep, 3600))
  local handle = t.waiting(task.spawn(lock.with, lock, task.sleep, 3600))
  handle:cancel()
  t.equal((handle:join()), false)
  t.returns({ true }, lock:acquire(0))
  t.returns({ n = 2, nil, "timeout" }, lock:acquire(0))
  -- Who did not get in, gives nothing back.
  handle = t.waiting(task.spawn(lock.with, lock, print))
  handle:cancel()
  t.equal((handle:join()), false)
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.001, lock.with, lock, print))
  t.returns({ n = 2, nil, "timeout" }, lock:acquire(0))
  lock:release()
  t.returns({ "in" }, lock:with(function() return "in" end))
end)

t.in_task("a place goes to who waits, not to who comes", function()
  local lock, order = task.lock(), {}
  lock:acquire()
  local waiting = t.waiting(task.spawn(function()
    lock:acquire()
    order[#order + 1] = "waiting"
    lock:release()
  end))
  lock:release()
  t.returns({ n = 2, nil, "timeout" }, lock:acquire(0))
  lock:acquire()
  order[#order + 1] = "comes"
  waiting:join()
  t.same(order, { "waiting", "comes" })
end)

---------------------------------------------------------------------------------------------------------------- events

t.in_task("an event wakes all who wait, in order, and all who come", function()
  local event, order, handles = task.event(), {}, {}
  for i = 1, 5 do
    handles[i] = t.waiting(task.spawn(function()
      t.returns({ true }, event:wait())
      order[#order + 1] = i
    end))
  end
  handles[3]:cancel()
  t.returns({ 1 }, event:set())
  t.returns({ true }, event:wait())
  for i = 1, 5 do handles[i]:join() end
  t.same(order, { 1, 2, 4, 5 })
  t.returns({ true }, event:wait(0))
  t.returns({ 1 }, event:clear())
  t.returns({ n = 2, nil, "timeout" }, event:wait(0))
  t.returns({ n = 2, nil, "timeout" }, event:wait(0.001))
end)

t.in_task("an event that is set and cleared at once wakes who waited", function()
  local event, woken = task.event(), 0
  local handles = {}
  for i = 1, 3 do
    handles[i] = t.waiting(task.spawn(function()
      event:wait()
      woken = woken + 1
      event:wait()
      woken = woken + 10
    end))
  end
  event:set()
  event:clear()
  settle()
  t.equal(woken, 3)
  event:set()
  for i = 1, 3 do handles[i]:join() end
  t.equal(woken, 33)
end)

t.in_task("an event ends at each place of its line", function()
  for k = 1, 4 do
    for _, way in ipairs { "cancel", "time", "deadline" } do
      local event, handles = task.event(), {}
      for i = 1, 4 do
        local function wait() return event:wait(way == "time" and i == k and 0.001 or nil) end
        handles[i] = (i == k and begun or t.waiting)(task.spawn(function()
          return task.timeout(way == "deadline" and i == k and 0.001 or 3600, wait)
        end))
      end
      if way == "cancel" then handles[k]:cancel() end
      local ok, result, err = handles[k]:join()
      t.same({ ok, result, err }, way == "cancel" and { false, result } or { true, nil, "timeout" })
      event:set()
      for i = 1, 4 do
        if i ~= k then t.returns({ true, true }, handles[i]:join()) end
      end
    end
  end
end)

------------------------------------------------------------------------------------------------------------------ join

t.in_task("who joins may give up at each place", function()
  for k = 1, 4 do
    local gate = task.event()
    local joined = t.waiting(task.spawn(function() gate:wait() return "end" end))
    local handles = {}
    for i = 1, 4 do handles[i] = t.waiting(task.spawn(joined.join, joined)) end
    handles[k]:cancel()
    t.equal((handles[k]:join()), false)
    gate:set()
    for i = 1, 4 do
      if i ~= k then t.returns({ true, true, "end" }, handles[i]:join()) end
    end
  end
end)

-- An error is a joiner's only while it joins.
t.test("a joiner that gave up does not hide an error", function()
  t.raises({ match = "boom" }, task.run, function()
    local gate = task.event()
    local handle = t.waiting(task.spawn(function() gate:wait() error "boom" end))
    t.returns({ n = 2, nil, "timeout" }, handle:join(0.001))
    gate:set()
    task.sleep(3600)
  end)
  t.raises({ match = "boom" }, task.run, function()
    local gate = task.event()
    local handle = t.waiting(task.spawn(function() gate:wait() error "boom" end))
    local joiner = t.waiting(task.spawn(handle.join, handle))
    gate:set()
    joiner:cancel()
    task.sleep(3600)
  end)
end)

-- A wait for the kernel and a line do not get into each other's way.
t.in_task("a task that waited for the kernel is no longer in a line, and the reverse", function()
  local client, accepted = t.pair()
  local channel = task.channel()
  local handle = t.waiting(task.spawn(function()
    channel:receive(0.001)
    return (client:receive())
  end))
  task.sleep(0.005)
  t.equal(handle:status(), "waiting")
  t.returns({ n = 2, nil, "timeout" }, channel:send("to nobody", 0))
  accepted:send "line\n"
  t.returns({ true, "line" }, handle:join())
  handle = t.waiting(task.spawn(function()
    client:settimeout(0.001)
    client:receive()
    return channel:receive()
  end))
  task.sleep(0.005)
  accepted:send "late\n"
  socket.sleep(0.001)
  t.equal(handle:status(), "waiting")
  channel:send "value"
  t.returns({ true, "value" }, handle:join())
end)

t.test("a lock that is not held cannot be given back", function()
  local lock = task.lock()
  t.raises({ match = "the lock is not held" }, lock.release, lock)
  t.equal(lock:acquire(0), true)
  t.equal(lock:release(), 1)
  t.raises({ match = "the lock is not held" }, lock.release, lock)
  t.equal(lock:acquire(0), true)
  t.returns({ n = 2, nil, "timeout" }, lock:acquire(0))
end)

t.test("a place of a semaphore can be added", function()
  local semaphore = task.semaphore(0)
  t.returns({ n = 2, nil, "timeout" }, semaphore:acquire(0))
  t.equal(semaphore:release(), 1)
  t.equal(semaphore:acquire(0), true)
  t.returns({ n = 2, nil, "timeout" }, semaphore:acquire(0))
end)

t.done()

-- Order and fairness: nobody is kept waiting by who never waits, by storms of tasks, or by many descriptors. Volumes. The
-- loop inside of another loop.
--
--     SPEC_VOLUME   by how much to multiply the volumes (1; 10 is 100 000 sleepers, 1 000 000 spawned, 10 000 connections)

local t = require "support"

if t.reference then
  t.test("fairness", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

local HOST = "127.0.0.1"
local VOLUME = tonumber(os.getenv "SPEC_VOLUME") or 1

-- How many turns another task, which is always ready, gets while fn runs.
local function turns_beside(fn)
  local turns, over = 0, false
  local other = task.spawn(function()
    while not over do
      turns = turns + 1
      task.yield()
    end
  end)
  fn()
  over = true
  other:join()
  return turns
end

-------------------------------------------------------------------------------------------------------------- fairness

-- What tasks do with each other without ever having to wait.
local function pairs_of_calls()
  local queue, lock, semaphore, event = task.channel(10), task.lock(), task.semaphore(3), task.event()
  event:set()
  return {
    ["a channel that has room"] = function() queue:send(1) queue:receive() end,
    ["a channel that is asked without waiting"] = function() task.channel():receive(0) end,
    ["a lock that is free"] = function() lock:acquire() lock:release() end,
    ["a lock held for a function"] = function() lock:with(function() end) end,
    ["a semaphore with places"] = function() semaphore:acquire() semaphore:release() end,
    ["an event that is set"] = function() event:wait() end,
  }
end

for name in pairs(pairs_of_calls()) do
  t.in_task("who never waits takes turns: " .. name, function()
    local call = pairs_of_calls()[name]
    t.between(turns_beside(function()
      for _ = 1, 2000 do call() end
    end), 3, 400)
  end)

  t.in_task("who never waits can be ended: " .. name, function()
    local call = pairs_of_calls()[name]
    local function body() while true do call() end end
    t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, body))
    local handle = task.spawn(body)
    task.sleep(0.001)
    handle:cancel()
    handle:join()
    t.equal(handle:status(), "cancelled")
  end)
end

t.in_task("two who pass values on and on", function()
  local there, back = task.channel(5), task.channel(5)
  local function pass(from, to)
    for value in function() return from:receive() end do to:send(value) end
  end
  local others = { task.spawn(pass, there, back), task.spawn(pass, back, there) }
  there:send(1)
  t.between(t.elapsed(task.sleep, 0.01), 0.009, 0.5)
  for _, other in ipairs(others) do other:cancel() end
end)

t.in_task("who is cancelled before a call has taken nothing", function()
  local queue, taken, n = task.channel(1e6), 0, 5000
  for i = 1, n do queue:send(i) end
  local reader = task.spawn(function()
    while true do taken = queue:receive() end
  end)
  task.yield()
  reader:cancel()
  reader:join()
  if taken < n then t.equal(queue:receive(0), taken + 1) end
end)

t.test("outside of tasks nothing takes turns", function()
  local turns = 0
  task.spawn(function() turns = turns + 1 end)
  for _, call in pairs(pairs_of_calls()) do
    for _ = 1, 1000 do call() end
  end
  t.equal(turns, 0)
  task.step(0)
  t.equal(turns, 1)
end)

-- Calls that are always over at once. A thousand of them are several shares, but not a thousand turns.
t.in_task("who never waits in the kernel takes turns", function()
  local client, accepted = t.pair()
  local a, b = t.datagrams()
  local server = t.server()
  accepted:send(("x\n"):rep(20000))
  t.readable(client)
  client:receive()
  server:settimeout(0)
  b:settimeout(0)
  for name, call in pairs {
    ["receive what is buffered"] = function() client:receive() end,
    ["receive nothing"] = function() b:receive() end,
    ["accept nobody"] = function() server:accept() end,
    ["send and receive"] = function() a:send "x" b:receive() end,
    ["in a coroutine"] = function() coroutine.wrap(function() client:receive() end)() end,
    ["below pcall"] = function() pcall(client.receive, client) end,
  } do
    local turns = turns_beside(function()
      for _ = 1, 2000 do call() end
    end)
    t.between(turns, 3, 1000, name)
  end
end)

t.in_task("who sleeps for no time, or yields, lets the others run each time", function()
  for _, rest in ipairs { task.yield, function() task.sleep(0) end, function() socket.sleep(0) end } do
    local turns = turns_beside(function()
      for _ = 1, 100 do rest() end
    end)
    t.between(turns, 99, 102)
  end
end)

-- A crowd that is always ready: each of its tasks makes its successor.
local function storm(n)
  local over, ran = false, 0
  local function one()
    ran = ran + 1
    if not over then task.spawn(one) end
  end
  for _ = 1, n do task.spawn(one) end
  return function()
    over = true
    return ran
  end
end

t.in_task("a storm of new tasks keeps nobody from the kernel", function()
  local client, accepted = t.pair()
  local echo = task.spawn(function()
    for line in function() return (accepted:receive()) end do accepted:send(line .. "\n") end
  end)
  local stop = storm(1000)
  for i = 1, 20 do
    client:send(i .. "\n")
    t.equal(client:receive(), tostring(i))
  end
  t.between(stop(), 100, 20 * 10000)
  client:close()
  echo:join()
end)

t.in_task("a storm of new tasks keeps no deadline from coming", function()
  local client = t.pair()
  local stop = storm(1000)
  local start = task.now()
  task.sleep(0.01)
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, task.sleep, 3600))
  client:settimeout(0.01)
  t.returns({ n = 3, nil, "timeout", "" }, client:receive())
  t.returns({ n = 2, nil, "timeout" }, task.channel():receive(0.01))
  t.between(task.now() - start, 0.04, 8)
  stop()
end)

t.in_task("many busy sockets keep no other task from running", function()
  local over, rounds, handles = false, 0, {}
  for i = 1, 50 do
    local client, accepted = t.pair()
    handles[2 * i] = task.spawn(function()
      while not over do
        client:send "x"
        client:receive(1)
        rounds = rounds + 1
      end
      client:close()
    end)
    handles[2 * i - 1] = task.spawn(function()
      while accepted:receive(1) do accepted:send "x" end
    end)
  end
  for _ = 1, 100 do task.yield() end
  local before = rounds
  local turns = turns_beside(function()
    for _ = 1, 10 do task.sleep(0.001) end
    while rounds - before < 1000 do task.sleep(0.001) end
  end)
  t.between(turns, 10, 1e9)
  over = true
  for i = 1, 100 do handles[i]:join() end
end)

t.in_task("each of many gets its share", function()
  local shares, handles, over = {}, {}, false
  local a, b = t.datagrams()
  b:settimeout(0)
  for i = 1, 10 do
    shares[i] = 0
    handles[i] = task.spawn(function()
      while not over do
        if i % 2 == 0 then b:receive() else task.yield() end
        shares[i] = shares[i] + 1
      end
    end)
  end
  while shares[1] < 100 do task.yield() end
  over = true
  for i = 1, 10 do
    handles[i]:join()
    if i % 2 == 1 then t.between(shares[i], 95, 105) end
    if i % 2 == 0 then t.ok(shares[i] > 100) end
  end
  t.ok(a)
end)

----------------------------------------------------------------------------------------------------------------- order

t.in_task("those that are ready run in the order in which they became so", function()
  local order, handles = {}, {}
  local gates = {}
  for i = 1, 50 do
    gates[i] = task.event()
    handles[i] = t.waiting(task.spawn(function()
      gates[i]:wait()
      order[#order + 1] = i
    end))
  end
  local expected = {}
  for i = 1, 50 do
    local at = i * 7 % 51 -- 51 and 7 have no common divisor
    gates[at]:set()
    expected[i] = at
  end
  for i = 1, 50 do handles[i]:join() end
  t.same(order, expected)
end)

t.in_task("sleepers wake in the order of their times, not before them, and none too many", function()
  local woken, handles, begun, last, runs = 0, {}, {}, 0, 0
  for i = 1, 300 do
    local seconds = (1 + i * 37 % 300) / 10000 -- never 0, which does not wait for the clock
    handles[i] = task.spawn(function()
      begun[i] = task.now()
      runs = runs + 1
      local before = runs
      task.sleep(seconds)
      -- Where the machine stalls, the time may be over before the sleep begins: then it does not wait for its turn.
      local waited = runs ~= before
      runs = runs + 1
      local now = task.now()
      t.ok(now >= begun[i] + seconds, "too early")
      -- It began to sleep before the next one ran. Those that come due in one turn may be a little out of order.
      t.ok((begun[i + 1] or now) + seconds >= last - 0.002, "out of order")
      if waited then last = math.max(last, begun[i] + seconds) end
      woken = woken + 1
    end)
  end
  for i = 1, 300 do handles[i]:join() end
  t.equal(woken, 300)
end)

--------------------------------------------------------------------------------------------------------------- volumes

t.in_task("very many sleepers", function()
  local n, woken = 10000 * VOLUME, 0
  task.group(function(group)
    for _ = 1, n do group:spawn(task.sleep, 3600) end
    task.yield()
    t.ok(task.stats().deadlines >= n)
    group:cancel()
  end)
  task.group(function(group)
    for i = 1, n do
      group:spawn(function()
        task.sleep(0.1 * VOLUME + i % 97 / 1000)
        woken = woken + 1
      end)
    end
  end)
  t.equal(woken, n)
end, 10 + 10 * VOLUME)

t.in_task("very many that are spawned and joined", function()
  local n, sum = 100000 * VOLUME, 0
  for i = 1, n do
    local _, value = task.spawn(function() return i end):join()
    sum = sum + value
  end
  t.equal(sum, n * (n + 1) / 2)
end, 10 + 10 * VOLUME)

t.in_task("very many that wait in one line", function()
  local n, got, channel = 10000 * VOLUME, 0, task.channel()
  task.group(function(group)
    local handles = {}
    for i = 1, n do
      handles[i] = group:spawn(function()
        if channel:receive() then got = got + 1 end
      end)
    end
    task.yield()
    for i = 1, n, 2 do handles[i]:cancel() end
    for _ = 1, n / 2 do channel:send(true) end
  end)
  t.equal(got, n / 2)
end, 10 + 10 * VOLUME)

-- The clients are another process, so that both have descriptors enough.
local CLIENTS = [=[
  local socket, task = require "socket", require "socket.task"
  local port, n = tonumber((...)), tonumber((select(2, ...)))
  local answered = 0
  local places = task.semaphore(500) -- that are connecting
  local all = task.event()
  task.run(function()
    task.group(function(group)
      for i = 1, n do
        group:spawn(function()
          local client = places:with(function()
            local client = assert(socket.connect("127.0.0.1", port))
            client:send(i .. "\n")
            assert(client:receive() == "first " .. i)
            return client
          end)
          answered = answered + 1
          if answered == n then all:set() end
          all:wait()
          client:send(i .. "\n")
          assert(client:receive() == "second " .. i)
          client:setoption("linger", { on = true, timeout = 0 })
          client:close()
        end)
      end
    end)
  end)
  print("answered " .. answered)
]=]

t.in_task("very many connections", function()
  local n = 1000 * VOLUME
  local limit = tonumber((t.shell "ulimit -n":match "%d+")) or math.huge
  if limit < n + 100 then t.skip("no more than " .. limit .. " descriptors are allowed") end
  local listener = t.closing(assert(socket.bind(HOST, 0, 1000)))
  local _, port = listener:getsockname()
  local child = t.spawn(CLIENTS, ("%d"):format(port), ("%d"):format(n))
  local inside, most = 0, 0
  local server = task.spawn(task.serve, listener, function(client)
    inside = inside + 1
    most = math.max(most, inside)
    for _, word in ipairs { "first ", "second " } do client:send(word .. client:receive() .. "\n") end
    client:receive()
    inside = inside - 1
    if inside == 0 and most == n then listener:close() end
  end)
  t.returns({ n = 2, true, 1 }, server:join())
  t.equal(most, n)
  t.returns({ "answered " .. ("%d"):format(n) .. "\n", 0 }, child:finish())
end, 15 + 5 * VOLUME)

------------------------------------------------------------------------------------------------------ in another loop

-- A loop of the program's own around select. Returns how often it went round.
local function foreign_loop(on_turn)
  local loop, rounds = { getfd = task.getfd }, 0
  while true do
    if on_turn then on_turn() end
    local left, patience = task.step(0)
    if left == 0 then return rounds end
    if patience ~= 0 then socket.select({ loop }, nil, patience or on_turn and 0.005 or 5) end
    rounds = rounds + 1
  end
end

t.test("the loop inside of another loop", function()
  local client, accepted = t.pair()
  local order = {}
  task.spawn(function()
    task.sleep(0.02)
    order[#order + 1] = "slept"
    accepted:send "line\n"
  end)
  task.spawn(function()
    local line = client:receive()
    order[#order + 1] = line
  end)
  task.spawn(function()
    socket.dns.toip "localhost"
    task.sleep(0.001)
    order[#order + 1] = "looked up"
  end)
  local start = task.now()
  local rounds = foreign_loop()
  t.equal(#order, 3)
  t.match(table.concat(order, " "), "slept.* line")
  t.between(task.now() - start, 0.02, 5)
  t.between(rounds, 1, 100)
end)

t.test("what the other loop does wakes tasks", function()
  local client, accepted = t.pair()
  local channel, got = task.channel(), {}
  task.spawn(function()
    got[1] = client:receive()
    got[2] = channel:receive()
    got[3] = client:receive()
  end)
  accepted:send "one\n"
  foreign_loop(function()
    if got[1] and not got[2] then channel:send "two" end
    if got[2] then accepted:close() end
  end)
  t.same(got, { "one", "two" })
end)

t.test("steps that find nothing to do", function()
  t.returns({ n = 2, 0, nil }, task.step(0))
  t.returns({ n = 2, 0, nil }, task.step(0.001))
  local handle = task.spawn(task.sleep, 1000)
  local left, patience = task.step(0)
  t.equal(left, 1)
  t.between(patience, 900, 1000)
  t.between(t.elapsed(task.step, 0.005), 0.004, 5)
  t.equal(handle:status(), "waiting")
  handle:cancel()
  handle = task.spawn(task.sleep, 0.02)
  while task.step() > 0 do end
  t.equal(handle:status(), "done")
end)

t.test("what is spawned between steps runs with the next one", function()
  local ran = 0
  for i = 1, 3 do
    task.spawn(function() ran = ran + 1 end)
    t.equal(ran, i - 1)
    local left, patience = task.step(0)
    t.equal(left, 0)
    t.equal(patience, nil)
    t.equal(ran, i)
  end
end)

t.test("a step does not go on for ever", function()
  local stop = storm(10)
  local left, patience = task.step(0)
  t.equal(left, 10)
  t.equal(patience, 0)
  t.between(stop(), 10, 30)
  while task.step(0) > 0 do end
end)

t.test("an error in a step is raised, and the others are cancelled", function()
  local sleeper = task.spawn(task.sleep, 3600)
  task.step(0)
  task.spawn(function() error("boom", 0) end)
  t.raises({ match = "^task 'task %d+': boom" }, function()
    for _ = 1, 10 do task.step(0) end
  end)
  for _ = 1, 10 do
    if task.step(0) == 0 then break end
  end
  t.equal(sleeper:status(), "cancelled")
  t.equal(task.stats().tasks, 0)
end)

t.done()

-- Thousands of tasks at random, against peers that misbehave: in the end every task has ended, every byte that had to
-- arrive has arrived, and no descriptor, deadline or task is left.
--
--     SOAK_SECONDS   how long (3)
--     SOAK_SEED      a number, the same for the same choices; printed when it was chosen by the clock
--
-- Nothing here waits longer than it must: a wake-up that gets lost is a hang, which the watch of the harness finds.

local t = require "support"

if t.reference then
  t.test("a soak", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

local unpack = t.unpack

local SECONDS = tonumber(os.getenv "SOAK_SECONDS") or 3
local SEED = tonumber(os.getenv "SOAK_SEED")
local PATIENCE = 60 -- what a run may take beyond its time

-- What both processes need: numbers at random, and the peers. Loaded with the modules and a seed.
local PEERS = [=[
local socket, task, seed = ...
local M = {}

-- The numbers of Lua differ from version to version; these do not.
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n + 1
end
M.random = random

function M.one_in(n) return random(n) == 1 end

function M.pause() task.sleep(random(20) / 4000) end

-- Whatever is there, at least a byte.
local function receive_some(client)
  local first, err = client:receive(1)
  if not first then return nil, err end
  client:settimeout(0)
  local more, _, part = client:receive(random(8192))
  client:settimeout(nil)
  return first .. (more or part)
end

-- The honest one gives back what it gets.
function M.echo(client)
  client:settimeout(nil)
  while true do
    local data = receive_some(client)
    if not data then return end
    if random(50) == 1 then M.pause() end
    if not client:send(data) then return end
  end
end

-- The others, by number. None takes longer than a while.
local function reset(client)
  client:setoption("linger", { on = true, timeout = 0 })
  client:close()
end

local function drink(client)
  repeat until not client:receive(4096)
end

M.rude = {
  reset,
  function(client) client:close() end,
  function(client)
    client:receive()
    reset(client)
  end,
  function(client)
    client:shutdown("send")
    drink(client)
  end,
  function(client)
    client:send("half a line")
    client:shutdown("both")
    M.pause()
  end,
  function() task.sleep(random(100) / 1000) end,
  function(client)
    for byte in ("a line, byte by byte\nand another\n"):gmatch(".") do
      if not client:send(byte) then return end
      if random(3) == 1 then M.pause() else task.yield() end
    end
    drink(client)
  end,
  drink,
  function(client)
    local block = ("flood\n"):rep(5000)
    for _ = 1, 20 do
      if not client:send(block) then return end
    end
  end,
  function(client)
    client:send(("x"):rep(random(100000)))
    reset(client)
  end,
  function() error("a rude handler", 0) end,
}

function M.misbehave(client)
  client:settimeout(random(200) / 1000)
  return M.rude[random(#M.rude)](client)
end

function M.serve(listener, handler)
  return task.spawn(task.serve, listener, handler, { on_error = function() end, max = 200 })
end

return M
]=]

-- The other process: an honest and a rude listener, until its input ends: a connection of ours that is closed.
local PROCESS = [=[
local socket, task = require "socket", require "socket.task"
local PEERS, seed = ...
local peers = (loadstring or load)(PEERS)(socket, task, tonumber(seed))
local control = assert(socket.bind("127.0.0.1", 0))
local honest, rude = assert(socket.bind("127.0.0.1", 0, 128)), assert(socket.bind("127.0.0.1", 0, 128))
local function port(listener) return select(2, listener:getsockname()) end
print(("%d %d %d"):format(port(control), port(honest), port(rude)))
task.run(function()
  local servers = { peers.serve(honest, peers.echo), peers.serve(rude, peers.misbehave) }
  assert(control:accept()):receive "*a"
  honest:close()
  rude:close()
  for _, server in ipairs(servers) do assert(server:join()) end
end)
local stats = task.stats()
print(("left: %d %d %d"):format(stats.tasks, stats.ready, stats.deadlines))
]=]

---------------------------------------------------------------------------------------------------------- the honest part

-- What a stream carries can be checked at any place of it.
local function text_of(n)
  local parts = {}
  for i = 1, math.ceil(n / 8) do parts[i] = ("%07d "):format(i) end
  return table.concat(parts):sub(1, n)
end

-- Ways to make a call that waits: `call(f, ...)` returns what f returns, or nothing if it was ended in between.
local function ways_of(random)
  local function joined(ok, ...)
    if ok then return ... end
    if tostring((...)) ~= "cancelled" then error((...), 0) end
  end
  local function passed(ok, ...)
    if ok then return ... end
    error((...), 0)
  end
  return {
    function(f, ...) return f(...) end,
    function(f, ...) return task.timeout(random(30) / 10000, f, ...) end,
    function(f, ...) return task.timeout(0, f, ...) end,
    function(f, ...)
      local handle = task.spawn(f, ...)
      for _ = 1, random(4) do task.yield() end
      if random(2) == 1 then task.sleep(random(10) / 5000) end
      handle:cancel()
      return joined(handle:join())
    end,
    function(f, ...) return passed(pcall(f, ...)) end,
    function(f, ...)
      local arguments = t.pack(...)
      return coroutine.wrap(function() return f(unpack(arguments)) end)()
    end,
    function(f, ...)
      local arguments, results = t.pack(...), nil
      table.sort({ 1, 2 }, function()
        results = results or t.pack(f(unpack(arguments)))
        return false
      end)
      return unpack(results)
    end,
    function(f, ...)
      return task.group(function(group, ...)
        group:spawn(task.sleep, random(10) / 5000)
        return f(...)
      end, ...)
    end,
  }
end

-- How far a stream has come tells the object: a send that was ended in between has sent what it has.
local function write_all(peers, ways, client, text)
  local random = peers.random
  while true do
    local _, sent = client:getstats()
    if sent >= #text then return end
    if random(8) == 1 then client:settimeout(random(3) == 1 and 0 or random(10) / 1000) end
    local last = sent + random(random(3) == 1 and 60000 or 2000)
    local _, err = ways[random(#ways)](client.send, client, text, sent + 1, math.min(last, #text))
    client:settimeout(nil)
    if err ~= nil and err ~= "timeout" then error("a faithful connection ends with " .. tostring(err)) end
  end
end

local function take(received, data)
  if data and data ~= "" then received[#received + 1] = data end
  return data and #data or 0
end

local function read_all(peers, ways, client, length)
  local random, received, n = peers.random, {}, 0
  while n < length do
    if random(8) == 1 then client:settimeout(random(3) == 1 and 0 or random(10) / 1000) end
    if random(20) == 1 then socket.select({ client }, nil, random(10) / 1000) end
    local wanted = math.min(random(random(3) == 1 and 60000 or 1000), length - n)
    local data, err, part = ways[random(#ways)](client.receive, client, wanted)
    client:settimeout(nil)
    n = n + take(received, data) + take(received, part)
    if err ~= nil and err ~= "timeout" then error("a faithful connection ends with " .. tostring(err)) end
  end
  return table.concat(received)
end

-- Writes and reads at once, as roughly as is allowed; not a byte may be lost.
local function faithful(peers, connect)
  local ways = ways_of(peers.random)
  local client = assert(connect())
  local text = text_of(peers.random(peers.one_in(5) and 300000 or 20000))
  local received
  task.group(function(group)
    group:spawn(write_all, peers, ways, client, text)
    received = read_all(peers, ways, client, #text)
  end)
  client:close()
  if received ~= text then error("what comes back differs from what was sent") end
end

-- Values pass from hand to hand: none is lost or doubled, whoever gives up in between.
local function hand_over(peers)
  local random = peers.random
  local channel, lock, free = task.channel(random(4) - 1), task.lock(), true
  local sent, got = 0, 0
  local function holding(f, ...)
    if not lock:acquire(random(20) / 1000) then return end
    if not free then error "two hold a lock" end
    free = false
    task.yield()
    free = true
    lock:release()
    return f(...)
  end
  task.group(function(group)
    local givers = {}
    for i = 1, 3 do
      givers[i] = group:spawn(function()
        for _ = 1, 20 do
          if channel:send(1, random(30) / 1000) then sent = sent + 1 end
          holding(peers.pause)
        end
      end)
    end
    for _ = 1, 3 do
      group:spawn(function()
        while true do
          local value, err = channel:receive(random(30) / 1000)
          if value then got = got + value end
          if err == "closed" then return end
          local impatient = group:spawn(function()
            if channel:receive() then got = got + 1 end
          end)
          holding(task.yield)
          impatient:cancel()
        end
      end)
    end
    for i = 1, 3 do givers[i]:join() end
    channel:close()
  end)
  if sent ~= got then error(("%d values were sent, %d were received"):format(sent, got)) end
end

------------------------------------------------------------------------------------------------------------ the wild part

-- One call of whatever there is, none of which takes longer than a while.
local function acts_of(peers, open)
  local random = peers.random
  local line = ("x"):rep(200) .. "\n"
  local channel, event = task.channel(2), task.event()
  return {
    function(client) return client:receive() end,
    function(client) return client:receive(random(5000)) end,
    function(client) return client:receive "*a" end,
    function(client) return client:send(line) end,
    function(client) return client:send(line:rep(random(2000))) end,
    function(client) return client:shutdown(({ "send", "receive", "both" })[random(3)]) end,
    function(client) return client:settimeout(random(20) / 1000, "t") end,
    function(client) return client:settimeout(0) end,
    function(client) return socket.select({ client, open[random(#open)] }, { client }, random(20) / 1000) end,
    function(client) return task.wait(client, "rw", random(20) / 1000) end,
    function(client) return client:close() end,
    function() return open[random(#open)]:close() end,
    function() return open[random(#open)]:receive() end,
    function() return channel:send(1, random(10) / 1000) end,
    function() return channel:receive(random(10) / 1000) end,
    function() return event:wait(random(10) / 1000) end,
    function() return event:set() end,
    function() return event:clear() end,
    function() return socket.dns.toip "localhost" end,
    function(client) return coroutine.wrap(function() return client:receive() end)() end,
    function(client) return table.sort({ 1, 2, 3 }, function() client:receive(3) return false end) end,
    function(client) return select(2, pcall(client.receive, client, 100)) end,
    peers.pause,
    task.yield,
    function() if random(20) == 1 then collectgarbage() end end,
  }
end

local function wild(peers, ports, open, acts)
  local random = peers.random
  local client = socket.tcp()
  open[random(#open)] = client
  client:settimeout(random(100) / 1000)
  client:connect(random(3) == 1 and "localhost" or "127.0.0.1", ports[random(#ports)])
  for _ = 1, random(12) do
    local act = acts[random(#acts)]
    if random(4) == 1 then
      task.timeout(random(20) / 1000, act, client)
    elseif random(6) == 1 then
      task.spawn(pcall, act, client)
    else
      act(client)
    end
  end
  -- Whoever does not close it leaves that to the collector.
  if random(2) == 1 then client:close() end
end

------------------------------------------------------------------------------------------------------------- the whole

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

-- Keeps `n` tasks of `f` alive until the time is over; returns how many there were. `alive` is the set of those there are.
local function keep(n, alive, over, f, ...)
  local room, made = task.semaphore(n), 0
  while not over() do
    room:acquire()
    made = made + 1
    local handle
    handle = task.spawn(function(...)
      local ok, err = pcall(f, ...)
      alive[handle] = nil
      room:release()
      if not ok then error(err, 0) end
    end, ...)
    alive[handle] = true
    if made % 10 == 0 then task.yield() end
  end
  return made
end

local function run_all(peers, honest, rude)
  local stop = task.now() + SECONDS
  local function over() return task.now() > stop end
  local random = peers.random

  -- Peers in this process, too: then both ends are tasks of one loop. Nobody accepts from the deaf one.
  local inside, roughly = t.server(), t.server()
  local deaf = t.closing(assert(socket.bind("127.0.0.1", 0, 1)))
  local function port(listener) return select(2, listener:getsockname()) end
  local ports = { rude, rude, rude, port(roughly), port(roughly), port(deaf), t.unused_port(), honest }
  local servers = { peers.serve(inside, peers.echo), peers.serve(roughly, peers.misbehave) }

  local open = {}
  for i = 1, 30 do open[i] = t.closing(socket.tcp()) end
  local acts = acts_of(peers, open)
  local faithfuls, wilds, made = {}, {}, { 0, 0, 0 }
  local function connect()
    return socket.connect("127.0.0.1", random(2) == 1 and honest or port(inside))
  end
  task.group(function(group)
    group:spawn(function() made[1] = keep(15, faithfuls, over, faithful, peers, connect) end)
    group:spawn(function() made[2] = keep(5, {}, over, hand_over, peers) end)
    group:spawn(function()
      made[3] = keep(100, wilds, over, function() pcall(wild, peers, ports, open, acts) end)
    end)
    group:spawn(function()
      while not over() do
        for handle in pairs(wilds) do
          if random(10) == 1 then handle:cancel() end
        end
        task.sleep(0.002)
      end
    end)
  end)
  for handle in pairs(wilds) do handle:cancel() end
  while count(faithfuls) + count(wilds) > 0 do task.sleep(0.01) end
  for i = 1, #open do open[i]:close() end
  inside:close()
  roughly:close()
  for _, server in ipairs(servers) do t.returns({ n = 2, true, 1 }, server:join()) end
  return made
end

local seed = SEED or os.time() % 1000000 + 1

local made
t.in_task("tasks at random", function()
  local child = t.spawn(PROCESS, PEERS, seed + 1)
  local control, honest, rude = child:read():match "(%d+) (%d+) (%d+)"
  local control_client = t.closing(assert(socket.connect("127.0.0.1", tonumber(control))))
  local peers = (loadstring or load)(PEERS)(socket, task, seed)
  local others = task.stats().tasks
  made = run_all(peers, tonumber(honest), tonumber(rude))
  control_client:close()
  -- The honest peer waits for whoever is still connected: what the wild ones have left to tasks of their own, which end
  -- by themselves, and what they have left to the collector.
  while task.stats().tasks > others do task.sleep(0.01) end
  collectgarbage()
  collectgarbage()
  local output, status = child:finish()
  t.equal(output, "left: 0 0 0\n")
  t.equal(status, 0)
end, SECONDS + PATIENCE)

if SECONDS > 3 or not made then
  print(("seed %d: %s faithful, %s handing over, %s wild"):format(seed, unpack(made or { "?", "?", "?" })))
end

t.done()

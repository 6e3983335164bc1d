--- Tasks: what they cost, and what they do to calls that do not need them.
local memory = require "bench.lib.memory"
local peer = require "bench.lib.peer"
local socket = require "socket"
local task = require "socket.task"

local MEGABYTES = 10

local LINE = ("x"):rep(64)

local function nothing() end

-- The bytes that each of `count` tasks holds which run `body(object())` and wait in it.
local function memory_of_tasks(count, body, object)
  local bytes
  task.run(task.group, function(group)
    local before
    for i = 1, count do
      if i == 2 then before = memory.resident() end -- what there is once does not count
      group:spawn(body, object and object())
      if i % 100 == 1 then task.yield() end
    end
    task.yield()
    collectgarbage()
    bytes = (memory.resident() - before) / (count - 1)
    group:cancel()
  end)
  return bytes
end

local function receive_blocks(client, n)
  for _ = 1, n do assert(client:receive(MEGABYTES * 1000000)) end
end

-- Two tasks that answer each other, `n` times, with a timeout for each wait or without.
local function answers(timeout)
  return function(_, n)
    task.run(function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local one = assert(socket.connect("127.0.0.1", (select(2, server:getsockname()))))
      local other = assert(server:accept())
      local function body(object)
        for _ = 1, n / 2 do
          if timeout then object:settimeout(timeout) end
          object:send("x")
          object:receive(1)
        end
      end
      for _, object in pairs { one, other } do
        object:setoption("tcp-nodelay", true)
        object:settimeout(nil)
        task.spawn(body, object)
      end
    end)
  end
end

-- Requests to a process that echoes.
local function ask(client, n)
  for _ = 1, n do
    client:send(LINE)
    client:receive(#LINE)
  end
end

local function echo(timeout)
  return function()
    local client = peer.connect(peer.echo())
    client:settimeout(timeout)
    return client
  end
end

local function source() return peer.connect(peer.source(("x"):rep(1000))) end

return {
  {
    name = "spawn and join",
    count = 300000,
    only = "ours",
    limit = 3e-6,
    op = function(_, n)
      task.run(function()
        for _ = 1, n do task.spawn(nothing):join() end
      end)
    end,
  },
  {
    name = "spawn, all before they run",
    count = 100000,
    only = "ours",
    limit = 3e-6,
    op = function(_, n)
      task.run(function()
        for _ = 1, n do task.spawn(nothing) end
      end)
    end,
  },
  {
    name = "yield to another task",
    count = 500000,
    only = "ours",
    limit = 1e-6,
    op = function(_, n)
      local function body()
        for _ = 1, n / 2 do task.yield() end
      end
      task.run(function()
        task.spawn(body)
        body()
      end)
    end,
  },
  {
    name = "value through a channel",
    count = 500000,
    only = "ours",
    limit = 1e-6,
    op = function(_, n)
      task.run(function()
        local channel = task.channel()
        task.spawn(function()
          for i = 1, n do channel:send(i) end
        end)
        for _ = 1, n do channel:receive() end
      end)
    end,
  },
  {
    name = "lock taken and given back",
    count = 2000000,
    only = "ours",
    limit = 2e-7,
    op = function(_, n)
      task.run(function()
        local lock = task.lock()
        for _ = 1, n do
          lock:acquire()
          lock:release()
        end
      end)
    end,
  },
  {
    name = "100 000 tasks that sleep",
    count = 100000,
    only = "ours",
    limit = 5e-6,
    op = function(_, n)
      task.run(function()
        for i = 1, n do task.spawn(task.sleep, 0.1 + i * 1e-6) end
      end)
    end,
  },
  {
    name = "receive(10 MB), blocking",
    count = 40,
    only = "ours",
    bytes = MEGABYTES * 1e6,
    setup = source,
    op = receive_blocks,
  },
  {
    name = "receive(10 MB) in a task",
    count = 40,
    bytes = MEGABYTES * 1e6,
    versus = "receive(10 MB), blocking",
    target = 0.95,
    setup = source,
    op = function(client, n) task.run(receive_blocks, client, n) end,
  },
  {
    name = "wait without a timeout",
    count = 100000,
    only = "ours",
    op = answers(nil),
  },
  {
    name = "wait with a timeout set for it",
    count = 100000,
    versus = "wait without a timeout",
    target = 0.9,
    op = answers(30),
  },
  {
    name = "round trip, blocking, with a timeout",
    count = 30000,
    only = "ours",
    setup = echo(30),
    op = ask,
  },
  {
    name = "round trip in a task, with a timeout",
    count = 30000,
    versus = "round trip, blocking, with a timeout",
    target = 0.9,
    setup = echo(30),
    op = function(client, n) task.run(ask, client, n) end,
  },
  {
    name = "memory of a sleeping task",
    only = "ours",
    rounds = 3,
    limit = 2000,
    measure = function()
      return memory_of_tasks(100000, function() task.sleep(100) end)
    end,
  },
  {
    name = "memory of a connection with its task",
    only = "ours",
    rounds = 3,
    limit = 4096,
    measure = function()
      local server = assert(socket.bind("127.0.0.1", 0, 4096))
      peer.load(select(2, server:getsockname()), 8000, 0, 0)
      return memory_of_tasks(8000, function(client) client:receive(64) end,
        function() return assert(server:accept()) end)
    end,
  },
}

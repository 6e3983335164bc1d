-- Tasks in the background, and the end of all tasks on request.

local t = require "support"

if t.reference then
  t.test("tasks", function() t.skip("the C library has none") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

---------------------------------------------------------------------------------------------------------- background

t.test("run does not wait for what is in the background, and cancels it", function()
  local turns, cleaned = 0, nil
  t.returns({ "main" }, task.run(function()
    local enough = task.event()
    task.background(function()
      local _, why = pcall(function()
        while true do
          task.sleep(0.001)
          turns = turns + 1
          if turns == 5 then enough:set() end
        end
      end)
      cleaned = tostring(why)
    end)
    enough:wait()
    return "main"
  end))
  t.between(turns, 5, 20)
  t.equal(cleaned, "cancelled")
  t.equal(task.stats().tasks, 0)
end)

t.test("what is in the background may never wait", function()
  t.returns({ 1 }, task.run(function()
    task.background(function() while true do task.yield() end end)
    task.yield()
    return 1
  end))
end)

t.test("what is in the background may wait for others, and end, and be joined", function()
  task.run(function()
    local event = task.event()
    local background = task.background(function()
      event:wait()
      return "done"
    end)
    event:set()
    t.returns({ true, "done" }, background:join())
  end)
end)

t.test("tasks that wait for each other are told, those in the background as well", function()
  t.raises({ match = "every task waits for another one: main$" }, task.run, function()
    task.background(function() task.event():wait() end).name = "lazy"
    task.event():wait()
  end)
  t.equal(task.stats().tasks, 0)
end)

t.test("what is in the background may be what others wait for", function()
  t.returns({ "news" }, task.run(function()
    local channel = task.channel()
    task.background(function()
      task.sleep(0.01)
      channel:send "news"
      channel:receive()
    end)
    return channel:receive()
  end))
end)

t.test("an error in the background ends all", function()
  t.raises({ match = "task 'b': .*: out of luck" }, task.run, function()
    task.background(function()
      task.current().name = "b"
      task.yield()
      error "out of luck"
    end)
    task.sleep(10)
  end)
end)

t.test("an error while it is cancelled is raised", function()
  t.raises({ match = "late" }, task.run, function()
    task.background(function()
      pcall(task.sleep, 10)
      error "late"
    end)
    task.yield()
  end)
end)

t.test("what it leaves behind is over with the run", function()
  for i = 1, 3 do
    t.returns({ i }, task.run(function()
      task.background(task.sleep, 100)
      return i
    end))
  end
  t.same(task.stats(), { tasks = 0, ready = 0, deadlines = 0, stacks = task.stats().stacks })
end)

------------------------------------------------------------------------------------------------------------ stopping

t.test("stop closes the listeners of serve; who is served goes on", function()
  local server, port = t.server()
  task.run(function()
    task.spawn(function()
      local client = t.closing(assert(socket.connect("127.0.0.1", port)))
      client:send "one\n"
      t.equal(client:receive(), "one")
      t.equal(task.stopping(), false)
      t.equal(task.stop(30), 1)
      t.equal(task.stop(0), 1) -- does nothing any more
      t.equal(task.stopping(), true)
      t.returns({ nil, "connection refused" }, socket.connect("127.0.0.1", port))
      client:send "two\n"
      t.equal(client:receive(), "two")
      client:close()
    end)
    t.equal(task.serve(server, function(client)
      for line in function() return client:receive() end do client:send(line .. "\n") end
    end), 1)
    -- What comes too late does not begin.
    local late = t.server()
    t.equal(task.serve(late, error), 1)
    t.ok(late:getfd() < 0)
  end)
  t.equal(task.stopping(), false)
end)

t.test("after a while stop cancels what is left, and what is new", function()
  local log = {}
  local start = task.now()
  t.returns({ nil, "cancelled" }, task.run(function()
    task.stop(0.1)
    pcall(task.sleep, 30)
    log[1] = "main"
    task.spawn(function()
      log[2] = pcall(task.sleep, 30)
    end)
    task.sleep(30)
  end))
  local time = task.now() - start
  t.ok(time > 0.09 and time < 5, time)
  t.same(log, { "main", false })
end)

t.test("stop at once", function()
  t.returns({ nil, "cancelled" }, task.run(function()
    task.stop()
    task.sleep(30)
  end))
  t.returns({ "fine" }, task.run(function()
    task.sleep(0.001)
    return "fine"
  end))
end)

t.test("stop does not wait", function()
  t.returns({ 1 }, task.run(function() return task.stop(30) end))
end)

t.test("waiting to be asked to stop", function()
  t.returns({ "bye" }, task.run(function()
    local start = task.now()
    t.equal(task.stopping(0.01), false)
    t.ok(task.now() - start > 0.009)
    t.equal(task.stopping(0), false)
    task.spawn(function() task.stop(30) end)
    t.equal(task.stopping(math.huge), true)
    t.equal(task.stopping(10), true)
    return "bye"
  end))
  t.returns({ nil, "timeout" }, task.run(task.timeout, 0.01, task.stopping, 30))
  t.raises({ match = "stopping is for tasks" }, task.stopping, 1)
end)

t.test("stop does not wait for tasks that wait for each other", function()
  local start = task.now()
  t.returns({ nil, "cancelled" }, task.run(function()
    task.stop(30)
    task.channel():receive()
  end))
  t.ok(task.now() - start < 5)
end)

t.test("stop without tasks does nothing", function()
  task.stop(0)
  t.returns({ false }, task.run(function()
    task.sleep(0.001)
    return task.stopping()
  end))
end)

t.test("stop is not for the tasks of a later time", function()
  local later
  task.spawn(function() task.stop(0.02) end)
  repeat until task.step(0) == 0
  task.spawn(function()
    task.sleep(0.05)
    later = true
  end)
  repeat until task.step() == 0
  t.equal(later, true)
end)

t.test("stop when a descriptor is readable", function()
  local ours, theirs = t.pair()
  t.returns({ nil, "cancelled" }, task.run(function()
    task.stop_on(ours)
    task.spawn(function()
      task.yield()
      theirs:send "x"
    end)
    task.sleep(30)
  end))
  -- It neither keeps the tasks going nor makes them seem to have something to wait for.
  t.returns({ 1 }, task.run(function()
    task.stop_on((t.pair()))
    return 1
  end))
  t.raises({ match = "every task waits for another one: main$" }, task.run, function()
    task.stop_on((t.pair()))
    task.event():wait()
  end)
end)

t.test("a task that another makes while all are cancelled ends as well", function()
  local ended = false
  task.run(function()
    task.background(function()
      pcall(task.sleep, 30)
      task.background(function()
        pcall(task.sleep, 30)
        ended = true
      end)
    end)
    task.yield()
  end)
  t.equal(ended, true)
  t.equal(task.stats().tasks, 0)
end)

t.test("serving is for tasks", function()
  local server = t.server()
  t.raises({ match = "task%-stop.lua:%d+: serve is for tasks: call it inside task.run" }, function()
    task.serve(server, error)
    return 1
  end)
  t.ok(server:getfd() >= 0)
end)

-- In a process of its own, as the loop is to be a new one.
t.test("a listener that is closed before the loop looks at the kernel for the first time", function()
  local text = t.run [[
    local socket, task = require "socket", require "socket.task"
    local server = assert(socket.bind("127.0.0.1", 0))
    print(task.run(function()
      task.spawn(function() server:close() end)
      return server:accept()
    end))
  ]]
  t.equal(text, "nil\tclosed\n")
end)

t.test("a service that has ended is not closed again", function()
  local server, port = t.server()
  task.run(function()
    local service = task.spawn(task.serve, server, function() end)
    task.yield()
    service:cancel()
    service:join()
    task.stop(10)
  end)
  t.ok(server:getfd() >= 0)
  t.closing(t.returns(1, socket.connect("127.0.0.1", port)))
end)

t.done()

-- Forks: parent and child can both go on, whatever was under way.
--
-- Each test is a script that runs as a process of its own, with
--
--     fork(fn)        calls fn in a child, which then ends; what tells whether that went well, which waits for the child

local t = require "support"

if t.reference then
  t.test("forks", function() t.skip("the C library has nothing of this") end)
  t.done()
end

-- What Lua lacks, built once: the types are those of every Lua on a machine of 64 bits.
local SOURCE = [=[
  #include <stdlib.h>
  #include <sys/wait.h>
  #include <unistd.h>
  typedef struct lua_State lua_State;
  void lua_pushinteger(lua_State *, long);
  long luaL_checkinteger(lua_State *, int);
  int forks_fork(lua_State *L) { lua_pushinteger(L, fork()); return 1; }
  int forks_exit(lua_State *L) { _exit((int)luaL_checkinteger(L, 1)); }
  int forks_wait(lua_State *L) {
    int status = -1;
    waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
    lua_pushinteger(L, status);
    return 1;
  }
]=]

local library

local function build()
  if library then return library end
  if select(2, t.shell("command -v cc")) ~= 0 then t.skip("there is no C compiler") end
  local path = os.tmpname()
  t.write(path .. ".c", SOURCE)
  local text, status = t.shell("cc -shared -fPIC -w -o " .. path .. " " .. path .. ".c")
  os.remove(path .. ".c")
  if status ~= 0 then
    os.remove(path)
    t.fail(text)
  end
  library = path
  return path
end

local PROLOGUE = [=[
  local socket = require "socket"
  local function c_function(name) return assert(package.loadlib(%q, "forks_" .. name)) end
  local c_fork, c_wait, c_exit = c_function "fork", c_function "wait", c_function "exit"

  local function fork(fn)
    local child = c_fork()
    assert(child >= 0)
    if child == 0 then
      local ok, problem = xpcall(fn, debug.traceback)
      if not ok then io.stderr:write("child: ", tostring(problem), "\n") end
      c_exit(ok and 0 or 1)
    end
    return function() assert(c_wait(child) == 0, "the child has failed") end
  end

  local function pair()
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local a = assert(socket.connect(host, port))
    local b = assert(server:accept())
    server:close()
    a:settimeout(5)
    b:settimeout(5)
    return a, b
  end

  -- Says something and hears it, there and back.
  local function talk(a, b)
    for _, text in ipairs { "one", "two", "three" } do
      assert(a:send(text .. "\n"))
      assert(assert(b:receive()) == text)
      assert(b:send(text .. "\n"))
      assert(assert(a:receive()) == text)
    end
  end
]=]

local function fork_test(name, script)
  t.test(name, function()
    local text, status = t.run(PROLOGUE:format(build()) .. script)
    t.equal(text, "")
    t.equal(status, 0)
  end, 15)
end

-- begin_busy(): tasks that do something all the time; a function that lets them end and waits for it, and one that
-- cancels them, in a child that has them too: of sockets that both have, only one can be the reader.
local BUSY = [=[
  local task = require "socket.task"

  local function begin_busy()
    local over = false
    local a, b = pair()
    local answering = task.spawn(function()
      for line in function() return b:receive() end do b:send(line .. "\n") end
    end)
    local talking = task.spawn(function()
      while not over do
        assert(a:send("hello\n"))
        assert(a:receive() == "hello")
      end
      a:close()
    end)
    local sleeping = task.spawn(function()
      while not over do task.sleep(0.001) end
    end)
    local channel = task.channel()
    local receiving = task.spawn(function()
      for i = 1, math.huge do
        local n = channel:receive()
        if not n then return end
        assert(n == i)
      end
    end)
    local sending = task.spawn(function()
      local n = 0
      while not over do
        n = n + 1
        channel:send(n)
        task.yield()
      end
      channel:close()
    end)
    local handles = { answering, talking, sleeping, receiving, sending }
    local function calm()
      over = true
      for _, handle in ipairs(handles) do assert(handle:join()) end
    end
    local function cancel()
      for _, handle in ipairs(handles) do handle:cancel() end
    end
    return calm, cancel
  end
]=]

fork_test("a loop that ran before: child and parent run theirs", BUSY .. [=[
  local function busy_for_a_while()
    task.run(function()
      local calm = begin_busy()
      task.sleep(0.05)
      calm()
    end)
  end
  busy_for_a_while()
  local join = fork(busy_for_a_while)
  busy_for_a_while()
  join()
  busy_for_a_while()
]=])

fork_test("in a task, while others wait: the parent goes on, and the child has a loop of its own", BUSY .. [=[
  task.run(function()
    local calm, cancel = begin_busy()
    task.sleep(0.02)
    local mine, childs = pair()
    local join = fork(function()
      cancel()
      mine:close()
      local a, b = pair()
      for _ = 1, 20 do
        talk(a, b)
        task.sleep(0.002)
      end
      local name = assert(socket.dns.toip("localhost"))
      childs:send("done " .. name .. "\n")
    end)
    childs:close()
    local line = mine:receive()
    assert(line and line:match "^done 127", tostring(line))
    local a, b = pair()
    talk(a, b)
    calm()
    join()
  end)
]=])

fork_test("the tasks that waited go on waiting in the child", [=[
  local task = require "socket.task"
  task.run(function()
    local a, b = pair()
    local mark = {}
    local reading = task.spawn(function() return a:receive() end)
    local sleeping = task.spawn(function() task.sleep(0.05) return mark end)
    local asking = task.spawn(function() return socket.select({ b }, nil, 5) end)
    local event = task.event()
    local listening = task.spawn(function() event:wait() return mark end)
    task.sleep(0.01)
    local join = fork(function()
      event:set()
      assert(select(2, listening:join()) == mark)
      assert(select(2, sleeping:join()) == mark)
      assert(reading:status() == "waiting" and asking:status() == "waiting")
      reading:cancel()
      assert(not reading:join())
      -- To close what is shared wakes those who wait here, and here only.
      b:close()
      assert(asking:join())
      assert(task.timeout(0.01, task.sleep, 5) == nil)
    end)
    join()
    assert(reading:status() == "waiting" and asking:status() == "waiting")
    assert(a:send("x\n"))
    local _, ready = asking:join()
    assert(ready[1] == b)
    assert(b:receive() == "x" and b:send("y\n"))
    assert(select(2, reading:join()) == "y")
    event:set()
  end)
]=])

-- The kernel's set keeps an open file as long as somebody has it: its events come under a number that is another's now.
fork_test("what a child still has open does not disturb the parent", [=[
  local task = require "socket.task"
  task.run(function()
    local mine, childs = pair()
    local olds = {}
    for i = 1, 20 do
      local a, b = pair()
      olds[i] = { a, b }
      task.spawn(function() a:receive() end)
      task.spawn(function() b:receive() end)
    end
    task.yield()
    local numbers = {}
    local join = fork(function()
      mine:close()
      childs:receive() -- ends when the parent closes
      -- Now things happen at those that the parent has closed.
      for _, ends in ipairs(olds) do
        ends[1]:send("noise\n")
        ends[1]:shutdown("send")
      end
      childs:send("noise was made\n")
      childs:receive()
    end)
    childs:close()
    for _, ends in ipairs(olds) do
      numbers[ends[1]:getfd()], numbers[ends[2]:getfd()] = true, true
      ends[1]:close()
      ends[2]:close()
    end
    task.yield()
    local news, taken = {}, 0
    for i = 1, 20 do
      local a, b = pair()
      news[i] = { a, b, task.spawn(function() return b:receive() end) }
      taken = taken + (numbers[b:getfd()] and 1 or 0)
    end
    assert(taken > 0, "no number is used again")
    mine:send("\n")
    assert(mine:receive() == "noise was made")
    local before = os.clock()
    task.sleep(0.2)
    assert(os.clock() - before < 0.1, "the loop is busy with nothing")
    for _, ends in ipairs(news) do
      assert(ends[3]:status() == "waiting")
      ends[1]:send("hello\n")
      local _, line = ends[3]:join()
      assert(line == "hello")
      talk(ends[1], ends[2])
    end
    mine:close()
    join()
  end)
]=])

fork_test("a server whose workers were forked off, each with its loop", [=[
  local task = require "socket.task"
  local server = assert(socket.bind("127.0.0.1", 0, 64))
  local joins = {}
  local _, port = server:getsockname()
  task.run(task.yield) -- there is a loop already
  for i = 1, 3 do
    joins[i] = fork(function()
      task.run(function()
        task.serve(server, function(client)
          for line in function() return client:receive() end do
            if line == "end" then return task.stop() end
            client:send(i .. line .. "\n")
          end
        end)
      end)
    end)
  end
  server:close()
  task.run(function()
    task.group(function(group)
      for i = 1, 30 do
        group:spawn(function()
          local client = assert(socket.connect("127.0.0.1", port))
          for n = 1, 10 do
            assert(client:send(n .. "\n"))
            local line = assert(client:receive())
            assert(line:match "^[123](%d+)$" == tostring(n), line)
          end
          client:close()
        end)
      end
    end)
    for _ = 1, 3 do
      local client = assert(socket.connect("127.0.0.1", port))
      assert(client:send("end\n"))
      assert(not client:receive())
      client:close()
    end
  end)
  for _, join in ipairs(joins) do join() end
]=])

fork_test("select with a long list", [=[
  local list, ends = {}, {}
  for i = 1, 300 do
    list[i] = assert(socket.udp4())
    list[i]:setsockname("127.0.0.1", 0)
  end
  local speaker = socket.udp4()
  local function check()
    for i = 1, 300, 50 do
      speaker:sendto("x", list[i]:getsockname())
      local ready = socket.select(list, nil, 5)
      assert(#ready == 1 and ready[1] == list[i])
      assert(list[i]:receive() == "x")
      assert(select(3, socket.select(list, nil, 0.001)) == "timeout")
    end
  end
  check()
  local join = fork(function()
    check()
    -- The child closes some, which stay in the parent's set, and takes their numbers.
    for i = 1, 300, 50 do
      list[i]:close()
      list[i] = socket.udp4()
      list[i]:setsockname("127.0.0.1", 0)
    end
    check()
  end)
  join()
  check()
  -- The parent closes some that a child still has.
  local mine, childs = pair()
  join = fork(function()
    mine:close()
    childs:receive()
  end)
  childs:close()
  for i = 1, 300, 50 do
    speaker:sendto("noise", list[i]:getsockname())
    list[i]:close()
    list[i] = socket.udp4()
    list[i]:setsockname("127.0.0.1", 0)
  end
  check()
  mine:close()
  join()
]=])

fork_test("a look-up under way is answered in both", [=[
  local task = require "socket.task"
  local name = socket.dns.gethostname()
  local function ask() return { socket.dns.getaddrinfo(name) } end
  task.run(function()
    local known = ask()
    for _ = 1, 10 do
      local asking = task.spawn(ask)
      task.yield() -- it has begun
      local function answered()
        local _, answer = asking:join()
        assert((answer[1] == nil) == (known[1] == nil) and answer[2] == known[2])
      end
      local join = fork(answered)
      answered()
      join()
    end
  end)
]=])

fork_test("what a child collects of TLS says nothing to the peer", [=[
  local folder = "]=] .. t.certificates() .. [=["
  local ssl = require "ssl"
  local task = require "socket.task"
  local a, b = pair()
  task.run(function()
    local params = { mode = "server", protocol = "any", key = folder .. "/server.key", certificate = folder .. "/server.pem" }
    b = assert(ssl.wrap(b, params))
    b:settimeout(5)
    local shaking = task.spawn(function() assert(b:dohandshake()) end)
    a = assert(ssl.wrap(a, { mode = "client", protocol = "any", verify = "none" }))
    a:settimeout(5)
    assert(a:dohandshake())
    assert(shaking:join())
  end)
  talk(a, b)
  fork(function()
    a, b = nil, nil
    collectgarbage()
    collectgarbage()
  end)()
  talk(a, b)
]=])

fork_test("kept connections of http are the parent's", [=[
  local http = require "socket.http"
  local task = require "socket.task"
  task.run(function()
    local server, accepted = assert(socket.bind("127.0.0.1", 0, 16)), 0
    local _, port = server:getsockname()
    task.spawn(task.serve, server, function(client)
      accepted = accepted + 1
      local number = tostring(accepted)
      for line in function() return client:receive() end do
        if line == "" then client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #number .. "\r\n\r\n" .. number) end
      end
    end)
    local pool = http.pool:new {}
    local function number()
      local list, ltn12 = {}, require "ltn12"
      assert(http.request { url = "http://127.0.0.1:" .. port, pool = pool, sink = ltn12.sink.table(list) })
      return table.concat(list)
    end
    assert(number() == "1" and number() == "1")
    local mine, childs = pair()
    local join = fork(function()
      mine:close()
      server:close() -- the parent serves
      assert(pool:statistics().idle == 0)
      assert(number() == "2" and number() == "2")
      pool:close()
      childs:send("done\n")
    end)
    childs:close()
    assert(mine:receive() == "done")
    join()
    assert(number() == "1")
    pool:close()
    server:close()
  end)
]=])

if library then os.remove(library) end
t.done()

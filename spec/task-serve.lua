-- `task.serve`: bounds, errors in handlers, descriptors that run out, and how it ends.

local t = require "support"

if t.reference then
  t.test("serving", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"

local HOST = "127.0.0.1"

-- A server in a task; returns its handle, and what connects to it.
local function serving(handler, options)
  local listener, port = t.server()
  listener:settimeout(nil)
  local server = t.waiting(task.spawn(task.serve, listener, handler, options))
  local function connect()
    local client = t.closing(assert(socket.connect(HOST, port)))
    client:settimeout(5)
    return client
  end
  return server, listener, connect
end

local function echo(client)
  for line in function() return (client:receive()) end do client:send(line .. "\n") end
end

local function ask(client, line)
  client:send(line .. "\n")
  t.equal(client:receive(), line)
end

t.in_task("many clients at once, one task each", function()
  local server, listener, connect = serving(echo)
  local clients = {}
  for i = 1, 50 do clients[i] = connect() end
  for i = 50, 1, -1 do ask(clients[i], "number " .. i) end
  for i = 1, 50 do clients[i]:close() end
  listener:close()
  t.returns({ n = 2, true, 1 }, server:join())
end)

t.in_task("the client is closed when its handler has ended", function()
  local seen
  local _, listener, connect = serving(function(client)
    seen = client
    if client:receive() == "close" then client:close() end
  end)
  for _, word in ipairs { "end", "close" } do
    local client = connect()
    client:send(word .. "\n")
    t.returns({ n = 3, nil, "closed", "" }, client:receive())
    t.equal(seen:getfd(), -1)
  end
  listener:close()
end)

t.in_task("no more are served at once than is allowed", function()
  for _, max in ipairs { 1, 3 } do
    local inside, most, served = 0, 0, 0
    local server, listener, connect = serving(function(client)
      inside = inside + 1
      most = math.max(most, inside)
      client:receive()
      inside, served = inside - 1, served + 1
      if served % 4 == 0 then error("a handler that fails gives its place back", 0) end
    end, { max = max, on_error = function() end })
    local clients = {}
    for i = 1, 12 do clients[i] = connect() end
    while inside < max do task.sleep(0.001) end
    task.sleep(0.01)
    t.equal(inside, max)
    for i = 1, 12 do
      clients[i]:send "x\n"
      t.returns({ n = 3, nil, "closed", "" }, clients[i]:receive())
    end
    t.same({ most, served }, { max, 12 })
    listener:close()
    t.returns({ n = 2, true, 1 }, server:join())
  end
end)

t.in_task("a listener with a timeout serves on", function()
  for _, seconds in ipairs { 0, 0.001 } do
    local listener, port = t.server()
    listener:settimeout(seconds)
    local server = task.spawn(task.serve, listener, echo)
    for _ = 1, 3 do
      task.sleep(0.005)
      local client = t.closing(assert(socket.connect(HOST, port)))
      ask(client, "line")
      client:close()
    end
    listener:close()
    t.returns({ n = 2, true, 1 }, server:join())
  end
end)

--------------------------------------------------------------------------------------------------------------- errors

t.in_task("errors in handlers are told, and end nothing", function()
  local value = setmetatable({}, { __tostring = function() error "not even a text" end })
  local errors, traces = {}, {}
  local function on_error(err, trace)
    errors[#errors + 1], traces[#traces + 1] = err, trace
    if err == "wait" then task.sleep(0.001) end
  end
  local server, listener, connect = serving(function(client)
    local word = client:receive()
    if word == "text" then error "text" end
    if word == "value" then error(value) end
    if word == "wait" then task.sleep(0.001) error("wait", 0) end
    if word == "group" then
      task.group(function(group) group:spawn(error, "in a group", 0) task.sleep(3600) end)
    end
    if word == "cancel" then task.current():cancel() end
    echo(client)
  end, { on_error = on_error })
  for _, word in ipairs { "text", "value", "wait", "group", "cancel" } do
    local client = connect()
    client:send(word .. "\n")
    t.returns({ n = 3, nil, "closed", "" }, client:receive())
  end
  local client = connect()
  client:send "fine\n"
  ask(client, "line")
  client:close()
  listener:close()
  t.returns({ n = 2, true, 1 }, server:join())
  t.equal(#errors, 4) -- to be cancelled is no error
  t.match(errors[1], "task%-serve.lua:%d+: text$")
  t.match(traces[1], "task%-serve.lua:%d+: in ")
  t.equal(rawequal(errors[2], value), true)
  t.equal(errors[3], "wait")
  t.equal(errors[4], "in a group")
end)

t.in_task("an error of on_error ends the server and is raised", function()
  local server, _, connect = serving(function() error("first", 0) end, {
    on_error = function(err) error("on_error: " .. err, 0) end,
  })
  local other = connect()
  t.returns({ n = 2, false, "on_error: first" }, server:join(5))
  t.returns({ n = 3, nil, "closed", "" }, other:receive())
end)

t.test("without on_error, errors are written to the standard error", function()
  local output, status = t.run [[
    local socket, task = require "socket", require "socket.task"
    local listener = socket.bind("127.0.0.1", 0)
    local _, port = listener:getsockname()
    task.run(function()
      local server = task.spawn(task.serve, listener, function() error "out of luck" end)
      socket.connect("127.0.0.1", port):receive()
      listener:close()
      print(server:join())
    end)
  ]]
  t.equal(status, 0)
  t.match(output, "a handler failed: [^\n]*out of luck\n")
  t.match(output, "stack traceback")
  t.match(output, "true\t1\n$")
end)

-- A listener that says what it is told to.
local function teller(...)
  local answers = { ... }
  return {
    accept = function()
      local answer = table.remove(answers, 1)
      if type(answer) == "string" then return nil, answer end
      return answer
    end,
    getfd = function() return 0 end,
    left = function() return #answers end,
  }
end

t.in_task("an error of accept that will not pass ends the server", function()
  t.returns({ n = 2, nil, "no more" }, task.serve(teller "no more", echo))
  t.returns({ n = 2, nil, "no more" }, task.serve(teller "no more", echo, { max = 1 }))
  t.returns({ 1 }, task.serve(teller "closed", echo))
end)

t.in_task("an error of accept that passes does not", function()
  local served = 0
  local client = { close = function() end }
  local listener = teller("Too many open files", client, "No buffer space available", client, "closed")
  t.returns({ 1 }, task.serve(listener, function() served = served + 1 end, { max = 1 }))
  t.equal(served, 2)
  t.equal(listener.left(), 0)
end)

t.test("a server survives that descriptors run out", function()
  local script = t.script [[
    local socket, task = require "socket", require "socket.task"
    local listener = assert(socket.bind("127.0.0.1", 0, 200))
    print((select(2, listener:getsockname())))
    local served, refused = 0, false
    local accept = listener.accept
    local told = setmetatable({
      accept = function()
        local client, err = accept(listener)
        refused = refused or err == "Too many open files"
        return client, err
      end,
    }, { __index = function(_, name) return function(_, ...) return listener[name](listener, ...) end end })
    task.run(task.serve, told, function(client)
      local line = client:receive()
      client:send(line .. "\n")
      client:receive()
      served = served + 1
      if served == 60 then listener:close() end
    end)
    print(served, refused)
  ]]
  local pipe = assert(io.popen("ulimit -n 40; exec " .. t.interpreter() .. " " .. script .. " 2>&1", "r"))
  t.finally(function() pipe:close() end)
  local port = tonumber(pipe:read "*l")
  local clients = {}
  for i = 1, 60 do
    clients[i] = t.closing(assert(socket.connect(HOST, port)))
    clients[i]:settimeout(5)
    clients[i]:send("number " .. i .. "\n")
  end
  for i = 1, 60 do
    t.equal(clients[i]:receive(), "number " .. i)
    clients[i]:close()
  end
  t.equal(pipe:read "*l", "60\ttrue")
end)

--------------------------------------------------------------------------------------------------------------- the end

t.in_task("a closed listener lets the handlers end", function()
  local server, listener, connect = serving(echo)
  local client = connect()
  ask(client, "before")
  listener:close()
  task.sleep(0.002)
  t.equal(server:status(), "waiting")
  ask(client, "after")
  client:close()
  t.returns({ n = 2, true, 1 }, server:join())
end)

t.in_task("a listener is closed while all places are taken", function()
  local server, listener, connect = serving(echo, { max = 1 })
  local client = connect()
  ask(client, "line")
  local second = connect()
  listener:close()
  task.sleep(0.002)
  client:close()
  t.returns({ n = 2, true, 1 }, server:join())
  t.returns({ n = 3, nil, "closed", "" }, second:receive())
end)

t.in_task("a handler may close the listener", function()
  local server, listener, connect
  server, listener, connect = serving(function(client)
    client:receive()
    listener:close()
    client:send "bye\n"
  end)
  local client = connect()
  client:send "x\n"
  t.equal(client:receive(), "bye")
  t.returns({ n = 2, true, 1 }, server:join())
end)

t.in_task("a cancelled server cancels its handlers and closes their clients", function()
  local cleaned = 0
  local server, listener, connect = serving(function(client)
    local ok, err = pcall(echo, client)
    t.equal(ok, false)
    t.equal(client:getfd() >= 0, true)
    cleaned = cleaned + 1
    error(err, 0)
  end, { max = 10 })
  local clients = {}
  for i = 1, 3 do
    clients[i] = connect()
    ask(clients[i], "line")
  end
  server:cancel()
  t.equal((server:join()), false)
  t.equal(server:status(), "cancelled")
  t.equal(cleaned, 3)
  for i = 1, 3 do t.returns({ n = 3, nil, "closed", "" }, clients[i]:receive()) end
  t.ok(listener:getfd() >= 0) -- is the program's
end)

t.in_task("a server within a time limit", function()
  local tries, answer = 0, nil
  repeat -- once, unless the machine stalls until there is no time left
    local listener, port = t.server()
    local handle = task.spawn(function()
      local client = t.closing(assert(socket.connect(HOST, port)))
      client:send "line\n"
      answer = client:receive()
      return (client:receive())
    end)
    t.returns({ n = 2, nil, "timeout" }, task.timeout(0.05, task.serve, listener, echo))
    listener:close()
    t.returns({ n = 2, true, nil }, handle:join())
    tries = tries + 1
  until answer or tries == 20
  t.equal(answer, "line")
end)

t.in_task("two servers on one listener share it", function()
  local listener, port = t.server()
  listener:settimeout(0)
  local served = { 0, 0 }
  local servers = {}
  for i = 1, 2 do
    servers[i] = task.spawn(task.serve, listener, function(client)
      served[i] = served[i] + 1
      echo(client)
    end)
  end
  for i = 1, 20 do
    local client = t.closing(assert(socket.connect(HOST, port)))
    client:settimeout(5)
    ask(client, "line " .. i)
    client:close()
  end
  listener:close()
  for i = 1, 2 do t.returns({ n = 2, true, 1 }, servers[i]:join()) end
  t.equal(served[1] + served[2], 20)
end)

t.in_task("very many, one after the other, leave nothing", function()
  local server, listener, connect = serving(function(client) client:send(client:receive() .. "\n") end, { max = 4 })
  for i = 1, 500 do
    local client = connect()
    ask(client, "line " .. i)
    client:close()
  end
  listener:close()
  t.returns({ n = 2, true, 1 }, server:join())
  t.equal(task.stats().tasks, 2) -- this one and the watch
end)

t.done()

-- The runner's `--task` and `--workers`: scripts that run as tasks, in one thread or in several, and how they end.

local t = require "support"
local socket = require "socket"

local assert, io, ipairs, os, package, string = assert, io, ipairs, os, package, string
local math, pairs, table, tonumber = math, pairs, table, tonumber
local ours = package.preload["luasocket.alloc"] ~= nil

if not ours then
  t.test("tasks in the runner", function() t.skip("this is not the runner") end)
  t.done()
end

-- The command that runs `script` with the options of the runner in `options`, and arguments.
local function command(options, script, ...)
  local words = { t.interpreter(), options, t.quote(t.script(script)) }
  for _, word in ipairs { ... } do words[#words + 1] = t.quote(word) end
  return table.concat(words, " ")
end

local function run(options, script, ...) return t.shell(command(options, script, ...)) end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  table.sort(list)
  return list
end

t.test("a script is the first task", function()
  local text, status = run("--task", [[
    local task = require "socket.task"
    print(task.current().name, arg.worker, arg.workers, arg[1], ...)
    task.spawn(function() print "spawned" end)
  ]], "a", "b")
  t.equal(text, "main\t1\t1\ta\ta\tb\nspawned\n")
  t.equal(status, 0)
end)

t.test("options before the script, and standard input", function()
  local text = t.shell("echo 'print(x, require \"socket.task\".current() ~= nil, ...)' | (" .. t.interpreter()
    .. " --task -e 'x = 5' - word)")
  t.equal(text, "5\ttrue\tword\n")
  text = run("--grace 1 -e 'x = 5' --task", "print(x)")
  t.equal(text, "5\n")
end)

t.test("an error ends the program, with the task's name and a traceback", function()
  local text, status = run("--task", "require 'socket.task'\nlocal function f() error 'no' end f()")
  t.match(text, "task 'main': [^\n]+:2: no\nstack traceback:\n")
  t.equal(status, 1)
  text, status = run("--task", [[
    local task = require "socket.task"
    task.spawn(function() task.current().name = "wanderer" task.sleep(0.01) error "lost" end)
    task.sleep(10)
  ]])
  t.match(text, "task 'wanderer': [^\n]+: lost\n")
  t.equal(status, 1)
  text, status = run("--task", "error(setmetatable({}, { __tostring = function() return 'an object' end }))")
  t.match(text, "an object")
  t.equal(status, 1)
  text, status = run("--task", "error {}")
  t.match(text, "%(error object is a table value%)")
  t.equal(status, 1)
  text, status = run("--task", "x = = 1")
  t.match(text, "unexpected symbol")
  t.equal(status, 1)
end)

t.test("os.exit inside a task", function()
  local _, status = run("--task", "os.exit(7)")
  t.equal(status, 7)
  _, status = run("--workers 3", "require 'socket'.sleep(0.01 * arg.worker) os.exit(7)")
  t.equal(status, 7)
end)

t.test("what makes no sense is refused", function()
  for words, complaint in pairs {
    ["--task"] = "'%-%-task' needs a script to run",
    ["--task -e 'x=1'"] = "'%-%-task' needs a script to run",
    ["--task -i x.lua"] = "'%-%-task' does not go with '%-i'",
    ["-i --workers 2"] = "'%-%-workers' does not go with '%-i'",
    ["--workers 2"] = "'%-%-workers' needs a script to run",
    ["--grace 2 --task -l socket"] = "'%-%-grace' needs a script to run",
    ["--workers"] = "'%-%-workers' needs argument",
    ["--workers many x.lua"] = "'%-%-workers' needs a number",
    ["--workers -1 x.lua"] = "'%-%-workers' needs a number",
    ["--workers 100000 x.lua"] = "'%-%-workers' needs a number",
    ["--workers 2 -"] = "'%-%-workers' needs a script in a file",
    ["--grace soon x.lua"] = "'%-%-grace' needs a number",
    ["--tasks x.lua"] = "unrecognized option '%-%-tasks'",
  } do
    local text, status = t.shell(t.interpreter() .. " " .. words)
    t.match(text, complaint)
    t.match(text, "usage: ")
    t.equal(status, 1, words)
  end
end)

t.test("workers have a Lua state each, and know their number", function()
  local text, status = run("--workers 4", [[
    x = (x or 0) + arg.worker
    io.write(table.concat({ x, arg.worker, arg.workers, ... }, "\t") .. "\n")
  ]], "word")
  t.same(lines(text), { "1\t1\t4\tword", "2\t2\t4\tword", "3\t3\t4\tword", "4\t4\t4\tword" })
  t.equal(status, 0)
end)

t.test("0 workers is one for each core", function()
  local text = run("--workers 0", "io.write(arg.worker .. '\\t' .. arg.workers .. '\\n')")
  local list = lines(text)
  t.equal(tonumber(list[1]:match "\t(%d+)"), #list)
end)

t.test("an error in one worker ends all, and is the program's", function()
  local text, status = run("--workers 3 --grace 0", [[
    if arg.worker == 2 then error "no" end
    print(pcall(require "socket".sleep, 20))
  ]])
  t.match(text, ": worker 2: task 'main': [^\n]+: no\n")
  t.equal(select(2, text:gsub("worker", "")), 1)
  t.equal(status, 1)
  -- What stands before the script, and the script itself, are read by each worker.
  text, status = run("--workers 2 -e 'error(1)'", "")
  t.match(text, ": worker [12]: ")
  t.equal(select(2, text:gsub(": worker %d: ", "")), 2)
  t.equal(status, 1)
  text, status = run("--workers 1", "x = = 1")
  t.ok(not text:find "worker")
  t.equal(status, 1)
end)

t.test("after an error in one worker the others end well if they can, within the time given", function()
  local script = [[
    local socket, task = require "socket", require "socket.task"
    if arg.worker == 1 then -- fails when the other is busy
      while not io.open(%q) do socket.sleep(0.01) end
      error "no"
    end
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    task.spawn(function()
      local client = assert(socket.connect("127.0.0.1", port))
      client:send("hello\n")
      io.write(tostring(client:receive()), " ", tostring(socket.connect("127.0.0.1", port)), "\n")
    end)
    task.serve(server, function(client)
      client:receive()
      io.open(%q, "w"):close()
      repeat socket.sleep(0.01) until task.stopping()
      socket.sleep(%s)
      client:send("served\n")
    end)
  ]]
  local function ended(words, seconds)
    local busy = os.tmpname()
    os.remove(busy)
    t.finally(function() os.remove(busy) end)
    local start = socket.gettime()
    local text, status = run(words, script:format(busy, busy, seconds))
    t.match(text, ": worker 1: task 'main': [^\n]+: no\n")
    t.equal(status, 1)
    return text, socket.gettime() - start
  end
  t.match((ended("--workers 2 --grace 20", 0.1)), "served nil\n")
  local text, took = ended("--workers 2 --grace 0.1", 20)
  t.ok(not text:find "served", text)
  t.between(took, 0.1, 15)
end)

t.test("a worker that has nothing more to do ends; the others go on", function()
  local text, status = run("--workers 3", [[
    require "socket".sleep(0.05 * (arg.worker - 1))
    io.write(arg.worker .. "\n")
  ]])
  t.same(lines(text), { "1", "2", "3" })
  t.equal(status, 0)
end)

t.test("what a program has written is not lost, however it ends", function()
  local long = "io.stdout:setvbuf('full') io.write(('x'):rep(1000)) "
  for what, expected in pairs { ["os.exit(3)"] = 3, ["error 'no'"] = 1, [""] = 0, ["require 'socket.task'.stop()"] = 0 } do
    local text, status = run("--task", long .. what)
    t.equal(select(2, text:gsub("x", "")) >= 1000, true, what)
    t.equal(status, expected, what)
  end
end)

t.test("arg is as without tasks", function()
  local show = "for i = -5, 3 do io.write(i, ' ', tostring(arg[i]), '\\n') end"
  local name = t.script(show)
  local text, status = t.shell(t.interpreter() .. " --task --grace 1 " .. name .. " one -two")
  local interpreter = t.interpreter():sub(2, -2)
  t.equal(text, table.concat({ "-5 nil", "-4 " .. interpreter, "-3 --task", "-2 --grace", "-1 1", "0 " .. name, "1 one", "2 -two",
    "3 nil", "" }, "\n"))
  t.equal(status, 0)
end)

t.test("a script that knows nothing of tasks", function()
  local port = string.format("%d", t.unused_port())
  local child = t.launch(command("--workers 2 --grace 0.1", [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", arg[1], { reuseport = true }))
    io.write "ready\n"
    while true do
      local client = server:accept()
      local line = client:receive()
      client:send("you said " .. line .. "\n")
      client:close()
    end
  ]], port))
  t.equal(child:read(), "ready")
  t.equal(child:read(), "ready")
  for i = 1, 10 do
    local client = t.closing(assert(socket.connect("127.0.0.1", port)))
    client:send(i .. "\n")
    t.equal(client:receive(), "you said " .. i)
    client:close()
  end
  child:signal()
  local text, status = child:finish()
  t.equal(text, "")
  t.equal(status, 0)
end)

t.test("programs that it starts have no descriptor of ours, and the signals as they were", function()
  if select(2, t.shell "test -e /proc/self/fd") ~= 0 then t.skip "this system does not tell" end
  local text = run("--workers 2", [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    socket.sleep(0.01)
    if arg.worker == 1 then os.execute "ls /proc/self/fd | wc -l; grep -E 'Sig(Cgt|Ign|Blk)' /proc/self/status" end
    socket.sleep(0.05)
  ]])
  local count, blocked, ignored, caught = text:match "^%s*(%d+)\nSigBlk:%s+(%x+)\nSigIgn:%s+(%x+)\nSigCgt:%s+(%x+)\n$"
  t.equal(count, t.shell "ls /proc/self/fd | wc -l":match "%d+")
  for _, set in ipairs { blocked, ignored, caught } do
    -- Bits 1 and 14: SIGINT and SIGTERM.
    t.equal(tonumber(set:sub(-1), 16) % 4 < 2, true, set)
    t.equal(tonumber(set:sub(-4, -4), 16) % 8 < 4, true, set)
  end
end)

t.test("a server leaves no descriptor behind", function()
  if select(2, t.shell "test -e /proc/self/fdinfo") ~= 0 then t.skip "this system does not tell" end
  local child = t.launch(command("--task", [[
    local socket, task = require "socket", require "socket.task"
    local function count()
      collectgarbage()
      collectgarbage()
      local n = 0
      for fd = 0, 300 do
        local file = io.open("/proc/self/fdinfo/" .. fd)
        if file then n = n + 1 file:close() end
      end
      return n
    end
    task.sleep(0.001)
    local before = count()
    local server = assert(socket.bind("127.0.0.1", 0))
    print((select(2, server:getsockname())))
    task.serve(server, function(client) client:send(client:receive() .. "\n") end)
    print(count() - before)
  ]]))
  local port = child:read()
  for i = 1, 50 do
    local client = t.closing(assert(socket.connect("127.0.0.1", port)))
    client:send(i .. "\n")
    t.equal(client:receive(), tostring(i))
    client:close()
  end
  child:signal()
  local text, status = child:finish()
  t.equal(text, "0\n")
  t.equal(status, 0)
end)

------------------------------------------------------------------------------------------------------------- draining

-- A server that tells when it is ready, serves lines, and tells when it is over.
local SERVER = [[
  local socket, task = require "socket", require "socket.task"
  local port, mode = tonumber(arg[1]), arg[2]
  local server = assert(socket.bind("127.0.0.1", port, { reuseport = true, backlog = 512 }))
  local served = 0
  io.write "ready\n" -- print would write in pieces, which those of other workers could come between
  local function handle(client)
    for line in function() return client:receive() end do
      served = served + 1
      client:send(arg.worker .. " " .. line .. "\n")
      if mode == "polite" and task.stopping() then return end
    end
  end
  if mode == "cleanup" then
    local ok = pcall(task.serve, server, function(client) print("handler", pcall(handle, client)) end)
    print("over", ok)
  else
    task.serve(server, handle)
    io.write("over\t" .. served .. "\n")
  end
]]

local function serve(options, ...)
  local port = string.format("%d", t.unused_port())
  local child = t.launch(command(options, SERVER, port, ...))
  for _ = 1, tonumber(options:match "%-%-workers (%d+)") or 1 do t.equal(child:read(), "ready") end
  return child, port
end

local function connect(port)
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  client:settimeout(20)
  return client
end

-- Whether nobody can connect any more, which may take a moment.
local function refuses(port)
  local deadline = socket.gettime() + 20
  repeat
    local client, problem = socket.connect("127.0.0.1", port)
    if client then client:close() end -- or it was reset with the listener
    if problem == "connection refused" then return true end
    socket.sleep(0.01)
  until socket.gettime() > deadline
  return false
end

for _, signal in ipairs { "TERM", "INT" } do
  t.test(signal .. " lets those who are served finish, and nobody new in", function()
    local child, port = serve("--task --grace 30")
    local client = connect(port)
    client:send "one\n"
    t.equal(client:receive(), "1 one")
    child:signal(signal)
    t.ok(refuses(port))
    client:send "two\n"
    t.equal(client:receive(), "1 two")
    client:close()
    local text, status = child:finish()
    t.equal(text, "over\t2\n")
    t.equal(status, 0)
  end)
end

t.test("a handler may ask whether it is time to end", function()
  local child, port = serve("--task --grace 30", "polite")
  local client = connect(port)
  client:send "one\n"
  t.equal(client:receive(), "1 one")
  child:signal()
  t.ok(refuses(port))
  client:send "two\n"
  t.equal(client:receive(), "1 two")
  t.returns({ nil, "closed", "" }, client:receive())
  local text, status = child:finish()
  t.equal(text, "over\t2\n")
  t.equal(status, 0)
end)

t.test("after the time given tasks are cancelled, and may clean up", function()
  local child, port = serve("--task --grace 0.2", "cleanup")
  local client = connect(port)
  client:send "one\n"
  t.equal(client:receive(), "1 one")
  local start = socket.gettime()
  child:signal()
  t.returns({ nil, "closed", "" }, client:receive())
  local text, status = child:finish()
  t.ok(socket.gettime() - start > 0.15)
  t.match(text, "handler\tfalse\tcancelled\n")
  t.match(text, "over\tfalse\n")
  t.equal(status, 0)
end)

t.test("a second signal ends at once", function()
  for _, signals in ipairs { { "TERM", "TERM", 143 }, { "TERM", "INT", 130 }, { "INT", "INT", 130 } } do
    local child, port = serve("--task --grace 30")
    local client = connect(port)
    client:send "one\n"
    t.equal(client:receive(), "1 one")
    child:signal(signals[1])
    t.ok(refuses(port))
    child:signal(signals[2])
    local text, status = child:finish()
    t.equal(text, "")
    t.equal(status, signals[3])
  end
end)

t.test("code that neither waits nor returns is ended by the second signal", function()
  local child = t.launch(command("--task --grace 0", "print 'busy' while true do end"))
  t.equal(child:read(), "busy")
  -- Two that come while it stalls are one.
  os.execute(("(while kill -TERM %d; do sleep 0.1; done) >/dev/null 2>&1 &"):format(child.pid))
  local _, status = child:finish()
  t.equal(status, 143)
end)

t.test("Ctrl-C at a terminal drains, a second one ends", function()
  if select(2, t.shell "script --version") ~= 0 then t.skip "there is no program `script`" end
  local name = t.script [[
    print "ready"
    local ok, err = pcall(require "socket".sleep, 20)
    print(ok, tostring(err))
    if arg[1] then
      print "busy"
      while true do end
    end
  ]]
  local line = t.interpreter() .. " --task --grace 0 " .. name
  -- Presses the key at each of these words; the last one is waited for.
  local function press(command, ...)
    local path = t.script ""
    local keys = {}
    for i, word in ipairs { ... } do
      keys[i] = "n=0; until grep -q '" .. word .. "' " .. path .. " || [ $n = 150 ]; do sleep 0.05; n=$((n + 1)); done"
    end
    local text = "(" .. table.concat(keys, "; printf '\\003'; ") .. ")"
    return (t.shell(text .. " | SHELL=/bin/sh script -q -e -f -c " .. t.quote(command) .. " " .. path):gsub("\r", ""))
  end
  -- The shell gets the signal too: it has to outlive it.
  local text = press("trap : INT; " .. line .. "; echo status $?", "ready", "status [0-9]")
  t.match(text, "false\tcancelled\n")
  t.match(text, "status 0\n")
  text = press("trap : INT; " .. line .. " more; echo status $?", "ready", "busy", "status [0-9]")
  t.match(text, "false\tcancelled\nbusy\n")
  t.match(text, "status 130\n")
end, 60)

t.test("a signal before the script waits is heard", function()
  local child = t.launch(command("--task --grace 0", [[
    print "busy"
    local start = os.clock()
    while os.clock() - start < 0.3 do end
    print(pcall(require "socket".sleep, 20))
  ]]))
  t.equal(child:read(), "busy")
  child:signal()
  local text, status = child:finish()
  t.equal(text, "false\tcancelled\n")
  t.equal(status, 0)
end)

t.test("all workers hear of one signal", function()
  local child, port = serve("--workers 3 --grace 30")
  local client = connect(port)
  client:send "one\n"
  t.match(client:receive(), "^%d one$")
  child:signal()
  t.ok(refuses(port))
  client:close()
  local text, status = child:finish()
  t.same(lines(text), { "over\t0", "over\t0", "over\t1" })
  t.equal(status, 0)
end)

t.test("signals that the parent ignores are ignored", function()
  local text, status = t.shell("trap '' TERM INT; " .. command("--task", [[
    os.execute "kill -TERM $PPID; kill -INT $PPID; kill -TERM $PPID"
    require "socket".sleep(0.1)
    print "still here"
  ]]))
  t.equal(text, "still here\n")
  t.equal(status, 0)
end)

---------------------------------------------------------------------------------------------------------- connections

-- Opens many connections, each in a task, and speaks over all of them twice.
local CLIENTS = [[
  local socket, task = require "socket", require "socket.task"
  local port, count = tonumber(arg[1]), tonumber(arg[2])
  local workers, right = {}, 0
  local places, all_there = task.semaphore(200), task.event()
  local there = 0
  task.group(function(group)
    for i = 1, count do
      places:acquire()
      group:spawn(function()
        local client = assert(socket.connect("127.0.0.1", port, { timeout = 30 }))
        client:settimeout(60)
        local worker
        for round = 1, 2 do
          client:send(i .. "." .. round .. "\n")
          local answer = assert(client:receive())
          local number, text = answer:match "^(%d) (.*)$"
          if text == i .. "." .. round and number == (worker or number) then right = right + 1 end
          worker = number
          if round == 1 then
            workers[worker] = (workers[worker] or 0) + 1
            places:release()
            there = there + 1
            if there == count then all_there:set() end
            all_there:wait()
          end
        end
        client:close()
      end)
    end
  end)
  print(there, right, workers["1"] > count / 4, workers["2"] > count / 4, workers["1"] + workers["2"])
]]

t.test("10 000 connections, two workers", function()
  local most = tonumber((t.shell "ulimit -Hn"):match "%d+") or 10200
  local count = math.min(10000, most - 200)
  local limit = "ulimit -n " .. most .. "; exec "
  local port = string.format("%d", t.unused_port())
  local child = t.launch("/bin/sh -c " .. t.quote(limit .. command("--workers 2", SERVER, port)))
  t.equal(child:read(), "ready")
  t.equal(child:read(), "ready")
  local text, status = t.shell(limit .. command("--task", CLIENTS, port, string.format("%d", count)))
  t.equal(text, ("%d\t%d\ttrue\ttrue\t%d\n"):format(count, 2 * count, count))
  t.equal(status, 0)
  child:signal()
  text, status = child:finish()
  local a, b = t.ok(text:match "^over\t%d+\nover\t%d+\n$", text):match "^over\t(%d+)\nover\t(%d+)\n$"
  t.equal(a + b, 2 * count)
  t.equal(status, 0)
end, 60)

t.done()

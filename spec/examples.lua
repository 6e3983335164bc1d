-- The example programs, run as a user runs them.

local t = require "support"
local socket = require "socket"

local folder = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$") .. "../examples/"

local function example(name, ...)
  local words = { t.interpreter(), t.quote(folder .. name .. ".lua") }
  for _, word in ipairs { ... } do words[#words + 1] = t.quote(word) end
  return table.concat(words, " ")
end

-- The server of the examples with a folder of files.
local function serve()
  local root, port = t.fresh_folder(), string.format("%d", t.unused_port())
  local output = t.start(example("serve", port, root))
  t.connect(socket.tcp, "127.0.0.1", port):close()
  return "http://127.0.0.1:" .. port .. "/", root, output
end

local CONTENT = t.bytes(100000)

t.fix("serve and get", function()
  local base, root = serve()
  t.write(root .. "/a file", CONTENT)
  local target = t.fresh_folder() .. "/copy"
  local text, status = t.shell(example("get", base .. "a%20file", target) .. " 2>/dev/null")
  t.equal(status, 0)
  t.equal(text, target .. "\t100000\n")
  t.ok(io.open(target, "rb"):read "*a" == CONTENT)
  -- The rest of a file that is there in part.
  os.remove(target)
  t.write(target .. ".part", CONTENT:sub(1, 60000))
  text, status = t.shell(example("get", base .. "a%20file", target) .. " 2>/dev/null")
  t.equal(status, 0, text)
  t.ok(io.open(target, "rb"):read "*a" == CONTENT)
  text, status = t.shell(example("get", base .. "missing", target))
  t.equal(status, 1)
  t.match(text, "404")
end)

t.fix("serve: echo, ranges, heads", function()
  local base, root = serve()
  t.write(root .. "/f.txt", "0123456789")
  local http = require "socket.http"
  t.equal(http.request(base .. "x", "echo"), "echo")
  local s = http.session { base = base }
  for range, expected in pairs { ["bytes=2-4"] = "234", ["bytes=7-"] = "789", ["bytes=-2"] = "89", ["bytes=0-99"] = "0123456789" } do
    local body, code = s:get("f.txt", { range = range })
    t.equal(body, expected)
    t.equal(code, 206)
  end
  t.equal(select(2, s:get("f.txt", { range = "bytes=10-" })), 416)
  t.equal(s:put("x", string.rep("y", 50000)), string.rep("y", 50000))
  local _, code, headers = s:head "f.txt"
  t.equal(code, 200)
  t.equal(headers["content-length"], "10")
  t.equal(headers["content-type"], "text/plain")
  t.equal(select(2, s:get "../passwd"), 404)
  t.equal(select(2, s:get "%2e%2e/passwd"), 404)
  t.equal(s.pool:statistics().opened, 1)
  s:close()
end)

t.fix("check-links", function()
  local base, root = serve()
  t.write(root .. "/index.html", [[<a href="good.html#x"> <a href='good.html'> <img src="/missing.png"> <a href="mailto:a@b">
    <A HREF="/good.html?a=1&amp;b=2">]])
  t.write(root .. "/good.html", "x")
  local text, status = t.shell(example("check-links", base))
  t.equal(status, 1)
  t.match(text, "ok\t" .. base:gsub("%p", "%%%0") .. "good.html\n")
  t.match(text, "ok\t" .. base:gsub("%p", "%%%0") .. "good.html%?a=1&b=2\n")
  t.match(text, "status 404\t[^\n]*/missing.png\n")
  t.match(text, "3 links, 1 broken\n$")
end)

t.fix("fetch", function()
  local base, root = serve()
  t.write(root .. "/page", CONTENT)
  local text, status = t.shell(example("fetch", "-n", "100", base .. "page") .. " 2>/dev/null")
  t.equal(text, "100 pages, 0 failed, 10000000 bytes, 20 connections\n")
  t.equal(status, 0)
  text, status = t.shell(example("fetch", base .. "page", base .. "missing") .. " 2>/dev/null")
  t.match(text, "missing\t404\n2 pages, 1 failed, 100013 bytes, [12] connections\n")
  t.equal(status, 1)
end)

-- A mail server that says yes to everything and prints what it hears.
local MAIL_SERVER = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  local client = server:accept()
  client:send("220 hello\r\n")
  for line in function() return client:receive() end do
    print(line)
    if line == "DATA" then
      client:send("354 go\r\n")
      repeat
        local text = client:receive()
        print(text)
      until text == "."
      client:send("250 ok\r\n")
    else
      client:send(line == "QUIT" and "221 bye\r\n" or "250 ok\r\n")
    end
  end
]]

t.fix("mail", function()
  local child = t.spawn(MAIL_SERVER)
  local port = child:read()
  local file = t.write(t.fresh_folder() .. "/data.bin", CONTENT:sub(1, 300))
  local text, status = t.shell("printf 'caf\\303\\251\\n.\\n' | MAIL_SERVER=127.0.0.1 MAIL_PORT=" .. port .. " "
    .. example("mail", "a@x.test", "b@y.test", "gr\195\188n", file))
  t.equal(text, "sent\n")
  t.equal(status, 0)
  local heard = child:finish()
  t.match(heard, "MAIL FROM:<a@x.test>\nRCPT TO:<b@y.test>\nDATA\n")
  t.match(heard, "Subject: =%?utf%-8%?B%?Z3LDvG4=%?=\n")
  t.match(heard, "\ncaf=C3=A9\n%.%.\n")
  t.match(heard, 'filename="data.bin"')
  t.match(heard, "\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g")
end)

local FTP_SERVER = [[
import logging, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
logging.basicConfig(level=logging.CRITICAL)
users = DummyAuthorizer()
users.add_user("joe", "s@cret", sys.argv[2], perm="elr")
FTPHandler.authorizer = users
FTPServer(("127.0.0.1", int(sys.argv[1])), FTPHandler).serve_forever()
]]

t.fix("mirror-ftp", function()
  local _, status = t.shell("python3 -c 'import pyftpdlib.servers'")
  if status ~= 0 then t.skip "python3 has no pyftpdlib" end
  local root, port = t.fresh_folder(), string.format("%d", t.unused_port())
  t.shell("mkdir -p " .. root .. "/top/below/deep " .. root .. "/top/empty")
  t.write(root .. "/top/large", CONTENT)
  t.write(root .. "/top/below/a b", "x")
  t.write(root .. "/top/below/deep/c", "yz")
  t.start("python3 " .. t.write(t.fresh_path(), FTP_SERVER) .. " " .. port .. " " .. root)
  t.connect(socket.tcp, "127.0.0.1", port):close()
  local target = t.fresh_folder() .. "/copy"
  local from = "ftp://joe:s%40cret@127.0.0.1:" .. port .. "/top"
  local text, code = t.shell(example("mirror-ftp", from, target))
  t.equal(code, 0, text)
  t.match(text, "3 copied, 0 kept, 0 failed\n$")
  t.equal(select(2, t.shell("diff -r " .. root .. "/top " .. target)), 0)
  t.write(target .. "/large", CONTENT:sub(1, 1000))
  text, code = t.shell(example("mirror-ftp", from, target))
  t.match(text, "1 copied, 2 kept, 0 failed\n$")
  t.equal(code, 0)
  t.equal(select(2, t.shell("diff -r " .. root .. "/top " .. target)), 0)
end, 15)

-------------------------------------------------------------------------------------------------------------- tasks

-- The ways to run an example of tasks: by itself, and as the runner's first task.
local WAYS = package.preload["luasocket.alloc"] and { "", "--task --grace 20" } or { "" }

-- Calls `try(launch, drains)` for each way. `launch(name, ...)` starts an example that serves, on a free port; returns the child,
-- its port, and a function that connects.
local function in_all_ways(name, try)
  for _, options in ipairs(WAYS) do
    t.fix(name .. " " .. options, function()
      local child = t.launch((example(name, "0", try.host, try.port and try.port())
        :gsub("^%S+", function(word) return word .. " " .. options end)))
      local port = child:read():match "^listening at 127%.0%.0%.1, port (%d+)$"
      local function connect()
        local client = t.closing(assert(socket.connect("127.0.0.1", port)))
        client:settimeout(5)
        return client
      end
      try.run(connect, child, options ~= "")
    end)
  end
end

-- Ends a server by a signal; it lets those whom it serves finish if it runs as a task.
local function drain(child, drains)
  child:signal()
  local text, status = child:finish()
  t.equal(status, drains and 0 or 143)
  t.equal(text, "")
end

in_all_ways("echo-server", {
  run = function(connect, child, drains)
    local one, other = connect(), connect()
    one:send "one"
    other:send "other"
    t.equal(one:receive(3), "one")
    t.equal(other:receive(5), "other")
    other:send(CONTENT:rep(10))
    t.ok(other:receive(1000000) == CONTENT:rep(10))
    if drains then
      child:signal()
      one:send "still"
      t.equal(one:receive(5), "still")
      one:close()
      other:close()
      local text, status = child:finish()
      t.equal(text, "")
      t.equal(status, 0)
    else
      drain(child, drains)
    end
  end,
})

in_all_ways("chat-room", {
  run = function(connect, child, drains)
    local ann, bob, eve = connect(), connect(), connect()
    for _, client in ipairs { ann, bob, eve } do t.equal(client:receive(), "Who are you?") end
    ann:send "ann\n"
    t.equal(ann:receive(), "* ann is here")
    eve:send "ann\n"
    t.equal(eve:receive(), "Sorry.")
    t.returns({ nil, "closed", "" }, eve:receive())
    bob:send "bob\n"
    t.equal(ann:receive(), "* bob is here")
    t.equal(bob:receive(), "* bob is here")
    ann:send "hello\nbob\n"
    for _, client in ipairs { ann, bob } do
      t.equal(client:receive(), "ann: hello")
      t.equal(client:receive(), "ann: bob")
    end
    local cid = connect()
    cid:send "cid\n"
    t.equal(cid:receive(), "Who are you?")
    t.equal(bob:receive(), "* cid is here")
    cid:close()
    t.equal(bob:receive(), "* cid has left")
    if drains then
      child:signal()
      t.equal(bob:receive(), "* the room closes")
      t.returns({ nil, "closed", "" }, bob:receive())
      local text, status = child:finish()
      t.equal(text, "")
      t.equal(status, 0)
    else
      drain(child, drains)
    end
  end,
})

in_all_ways("tcp-proxy", {
  host = "127.0.0.1",
  port = function()
    local target = t.spawn [[
      local socket, task = require "socket", require "socket.task"
      local server = assert(socket.bind("127.0.0.1", 0))
      print((select(2, server:getsockname())))
      task.run(task.serve, server, function(client) client:send("all: " .. client:receive("*a")) end)
    ]]
    return target:read()
  end,
  run = function(connect, child, drains)
    local one, other = connect(), connect()
    one:send "one"
    other:send(CONTENT)
    one:shutdown "send"
    other:shutdown "send"
    t.ok(other:receive "*a" == "all: " .. CONTENT)
    t.equal(one:receive "*a", "all: one")
    drain(child, drains)
  end,
})

t.fix("tcp-proxy: nobody behind it", function()
  local unused = string.format("%d", t.unused_port())
  local child = t.launch(example("tcp-proxy", "0", "127.0.0.1", unused))
  local port = child:read():match "%d+$"
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  t.equal(child:read(), "no connection to 127.0.0.1: connection refused")
  t.returns({ nil, "closed", "" }, client:receive())
end)

-- The example's command in each way.
local function each_way(name, ...)
  local commands = {}
  for i, options in ipairs(WAYS) do
    commands[i] = example(name, ...):gsub("^%S+", function(word) return word .. " " .. options end)
  end
  return ipairs(commands)
end

t.fix("port-scanner", function()
  local _, known = t.server()
  t.match(t.shell(example("port-scanner", "localhost", known, known)), ("\n?%d\topen\t"):format(known))
  -- On an address of its own: a listener of another test must not be found.
  local host = "127.0.0.99"
  local _, port = t.server(host)
  for _, command in each_way("port-scanner", host, port - 1, port + 1) do
    local text, status = t.shell(command)
    t.match(text, ("\n?%d\topen\t"):format(port))
    t.match(text, "\n%d open, %d refused, 0 silent, 0 failed\n$")
    t.equal(status, 0)
  end
  -- A thousand.
  local first = math.min(port, 65535 - 999)
  local text = t.shell(example("port-scanner", host, first, first + 999))
  t.match(text, ("%d\topen\t"):format(port))
  local open, refused = text:match "\n(%d+) open, (%d+) refused, 0 silent, 0 failed\n$"
  t.equal(open + refused, 1000)
end)

t.fix("parallel-lookups", function()
  for _, command in each_way("parallel-lookups", "127.0.0.1", "no-such-name.invalid", "::1") do
    local text, status = t.shell(command)
    t.match(text, "^127%.0%.0%.1\t127%.0%.0%.1\nno%-such%-name%.invalid\tno address: [^\n]+\n::1\t::1\n$")
    t.equal(status, 1)
  end
  local list = {}
  for i = 1, 200 do list[i] = "127.0.0." .. i end
  local text, status = t.shell("printf '" .. table.concat(list, "\\n") .. "\\n' | " .. example("parallel-lookups"))
  t.equal(select(2, text:gsub("(127%.0%.0%.%d+)\t%1\n", "")), 200)
  t.equal(status, 0)
end)

t.fix("line-server", function()
  for _, command in each_way "line-server" do
    local text, status = t.shell(command)
    t.equal(text, "HELLO\tnil\tnil\n> ADD 3 4\tOK 7\n> ADD 3\tERR two numbers, please\n> JUMP\tERR unknown command\n> QUIT\tBYE see you\n")
    t.equal(status, 0)
  end
end)

t.fix("line-server: draining, and long lines", function()
  if not WAYS[2] then t.skip "this is not the runner" end
  local port = string.format("%d", t.unused_port())
  local child = t.launch((example("line-server", port):gsub("^%S+", "%0 --workers 2 --grace 20")))
  local one, other = t.connect(socket.tcp, "127.0.0.1", port), t.connect(socket.tcp, "127.0.0.1", port)
  for _, client in ipairs { one, other } do
    client:settimeout(5)
    t.equal(client:receive(), "HELLO")
  end
  other:send(("x"):rep(1001))
  t.equal(other:receive(), "BYE line too long")
  child:signal()
  local problem
  repeat
    local late
    late, problem = socket.connect("127.0.0.1", port)
    if late then late:close() end
  until problem == "connection refused"
  one:send "ADD 1 2\n"
  t.equal(one:receive(), "OK 3")
  t.equal(one:receive(), "BYE closing")
  local text, status = child:finish()
  t.equal(text, "")
  t.equal(status, 0)
end)

t.done()

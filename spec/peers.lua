-- Conversations with programs that are not ours: nc, redis-server, python3. Those that are not installed are skipped. Those
-- that speak HTTP: peers-http.lua.

local t = require "support"
local socket = require "socket"
local unix = require "socket.unix"

local PATIENCE = 5

local function accept(server)
  local object = t.closing(assert(server:accept()))
  object:settimeout(PATIENCE)
  return object
end

-- nc

t.test("nc talks to our server", function()
  t.needs "nc"
  local server, port = t.server()
  local nc = t.start("sh -c 'printf \"one\\r\\ntwo\\nthree\" | exec nc -N 127.0.0.1 " .. port .. "'")
  local client = accept(server)
  t.equal(client:receive(), "one")
  t.equal(client:receive(), "two")
  t.returns({ n = 3, nil, "closed", "three" }, client:receive())
  client:send("answer\n")
  client:close()
  t.equal(nc:read("*a"), "answer\n")
end)

t.test("we talk to nc", function()
  t.needs "nc"
  local port = t.unused_port()
  local nc = t.start("sh -c 'printf \"hello\\n\" | exec nc -l -N 127.0.0.1 " .. port .. "'")
  local client = t.connect(socket.tcp, "127.0.0.1", port)
  t.equal(client:receive(), "hello")
  t.returns({ n = 3, nil, "closed", "" }, client:receive())
  client:send("answer\n")
  client:close()
  t.equal(nc:read("*a"), "answer\n")
end)

t.test("nc sends megabytes", function()
  t.needs "nc"
  local body = t.bytes(2000000)
  local path = t.write(t.fresh_path(), body)
  local server, port = t.server()
  t.start("nc -N 127.0.0.1 " .. port .. " < " .. path)
  t.ok(accept(server):receive("*a") == body)
end)

t.test("nc and datagrams", function()
  t.needs "nc"
  local one = t.closing(t.member())
  one:settimeout(PATIENCE)
  local _, port = one:getsockname()
  local nc = t.start("sh -c 'printf hello | exec nc -u -w 1 127.0.0.1 " .. string.format("%d", port) .. "'")
  local data, address, from = one:receivefrom()
  t.equal(data, "hello")
  one:sendto("answer", address, from)
  t.equal(nc:read("*a"), "answer")
end)

t.test("nc and Unix-domain sockets", function()
  t.needs "nc"
  local path = t.fresh_path()
  local nc = t.start("sh -c 'printf \"hello\\n\" | exec nc -l -N -U " .. path .. "'")
  local client = t.connect(unix, path)
  t.equal(client:receive(), "hello")
  client:send("answer\n")
  client:close()
  t.equal(nc:read("*a"), "answer\n")
end)

t.test("nc and Unix-domain datagrams", function()
  t.needs "nc"
  local path = t.fresh_path()
  local one = t.closing(unix.dgram())
  assert(one:bind(path))
  one:settimeout(PATIENCE)
  t.start("sh -c 'printf hello | exec nc -u -U -w 1 " .. path .. "'")
  local data, from = one:receivefrom()
  t.equal(data, "hello")
  t.match(from, "/")
  t.finally(function() os.remove(from) end)
end)

-- redis-server

local function redis()
  t.needs "redis-server"
  local folder = t.fresh_folder()
  local path = folder .. "/socket"
  t.start("redis-server --port 0 --unixsocket " .. path .. " --save '' --appendonly no --dir " .. folder .. " >/dev/null")
  return t.connect(unix, path), path
end

local function command(...)
  local words = { ... }
  for i, word in ipairs(words) do words[i] = "$" .. #word .. "\r\n" .. word .. "\r\n" end
  return "*" .. #words .. "\r\n" .. table.concat(words)
end

-- Reads one answer: text, number, list or nil.
local function answer(client)
  local line = assert(client:receive())
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == ":" then return tonumber(rest) end
  if kind == "-" then return nil, rest end
  local n = tonumber(rest)
  if n < 0 then return nil end
  if kind == "$" then return (assert(client:receive(n + 2)):sub(1, n)) end
  local list = {}
  for i = 1, n do list[i] = answer(client) end
  return list
end

t.test("redis answers through a Unix-domain socket", function()
  local client = redis()
  client:send(command("PING"))
  t.equal(answer(client), "PONG")
  local value = t.bytes(100000)
  client:send(command("SET", "key", value))
  t.equal(answer(client), "OK")
  client:send(command("GET", "key"))
  t.ok(answer(client) == value)
  client:send(command("GET", "nothing"))
  t.equal(answer(client), nil)
  client:send("PING inline\r\n")
  t.equal(answer(client), "inline")
end)

t.test("redis answers a thousand commands that were sent at once", function()
  local client = redis()
  local commands = {}
  for i = 1, 1000 do commands[i] = command("INCR", "counter") end
  client:send(table.concat(commands))
  for i = 1, 1000 do t.equal(answer(client), i) end
  t.equal(client:dirty(), false)
end)

t.test("redis tells subscribers, and select hears it", function()
  local subscriber, path = redis()
  local publisher = t.connect(unix, path)
  subscriber:send(command("SUBSCRIBE", "news"))
  t.same(answer(subscriber), { "subscribe", "news", 1 })
  t.quiet(subscriber, 0)
  for i = 1, 10 do
    publisher:send(command("PUBLISH", "news", "item " .. i))
    t.equal(answer(publisher), 1)
    t.readable(subscriber)
    t.same(answer(subscriber), { "message", "news", "item " .. i })
  end
end)

t.test("a blocked redis client times out and goes on", function()
  local waiting, path = redis()
  local other = t.connect(unix, path)
  waiting:send(command("BLPOP", "list", "0"))
  waiting:settimeout(0.1)
  t.returns({ n = 3, nil, "timeout", "" }, waiting:receive())
  other:send(command("RPUSH", "list", "item"))
  t.equal(answer(other), 1)
  waiting:settimeout(PATIENCE)
  t.same(answer(waiting), { "list", "item" })
end)

-- python3

-- Starts a Python program that prints a port first.
local function python(program)
  t.needs "python3"
  local pipe = t.start("python3 -u " .. t.write(t.fresh_path(), program))
  return tonumber((assert(pipe:read("*l"), "no port"))), pipe
end

t.test("lines from Python in small pieces", function()
  local port = python [[
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
client, _ = server.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
text = b"".join(b"line %d\r\n" % i for i in range(500)) + b"rest"
step = 1
while text:
    client.sendall(text[:step])
    text = text[step:]
    step = step % 13 + 1
client.close()
]]
  local client = t.connect(socket.tcp, "127.0.0.1", port)
  for i = 0, 499 do t.returns({ "line " .. i, n = 3 }, client:receive()) end
  t.returns({ n = 3, nil, "closed", "rest" }, client:receive())
end)

t.test("Python resets the connection", function()
  local port = python [[
import socket, struct
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
client, _ = server.accept()
client.sendall(b"some")
client.recv(1)
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
]]
  local client = t.connect(socket.tcp, "127.0.0.1", port)
  t.equal(client:receive(4), "some")
  client:send("x")
  t.returns({ n = 3, nil, "closed", "" }, client:receive("*a"))
  t.equal(select(2, client:send("x")), "closed")
end)

t.test("an echo through Python's selectors", function()
  local port = python [[
import socket, selectors
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1])
ready = selectors.DefaultSelector()
ready.register(server, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if key.fileobj is server:
            client, _ = server.accept()
            ready.register(client, selectors.EVENT_READ)
        else:
            data = key.fileobj.recv(65536)
            if data: key.fileobj.sendall(data)
            else:
                ready.unregister(key.fileobj)
                key.fileobj.close()
]]
  local clients = {}
  for i = 1, 10 do clients[i] = t.connect(socket.tcp, "127.0.0.1", port) end
  for round = 1, 20 do
    for i, client in ipairs(clients) do client:send(i .. " says " .. round .. "\n") end
    for i, client in ipairs(clients) do t.equal(client:receive(), i .. " says " .. round) end
  end
end)

t.test("datagrams to and from Python", function()
  local port = python [[
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", 0))
print(one.getsockname()[1])
while True:
    data, sender = one.recvfrom(65536)
    one.sendto(data[::-1], sender)
]]
  local one = t.closing(t.member())
  one:settimeout(PATIENCE)
  for _, text in ipairs { "abc", "", t.bytes(65507) } do
    t.equal(one:sendto(text, "127.0.0.1", port), #text)
    t.ok(one:receive(65536) == text:reverse())
  end
end)

t.done()

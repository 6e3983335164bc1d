-- Every call of a socket that can wait, blocking and in tasks: the same results. And what only tasks can do to a socket:
-- use it at the same time, close it under another's hands, leave it to the collector.

local t = require "support"

if t.reference then
  t.test("sockets in tasks", function() t.skip("the C library has no tasks") end)
  t.done()
end

local socket = require "socket"
local task = require "socket.task"
local unix = require "socket.unix"

local HOST = "127.0.0.1"

-- The other end: a process that does what it is told in the first line, with `client`, `socket`, `sleep` and `send` at
-- hand, and closes.
local PEER = [=[
local socket, task = require "socket", require "socket.task"
local listener = assert(socket.bind("127.0.0.1", 0))
print((select(2, listener:getsockname())))
local function serve(client)
  client:setoption("tcp-nodelay", true)
  local line = client:receive()
  if line == "end" then return listener:close() end
  local run = assert((loadstring or load)("local client, socket, sleep, send = ... " .. line))
  run(client, socket, socket.sleep, function(data) return assert(client:send(data)) end)
end
task.run(task.serve, listener, serve, { on_error = function() end })
]=]

local peer, peer_port

-- A connection to the peer, which does this.
local function dial(program, ...)
  local client = t.closing(assert(socket.connect(HOST, peer_port)))
  assert(client:send(program:format(...):gsub("\n%s*", " ") .. "\n"))
  client:settimeout(5)
  return client
end

-- What receive and send return where nothing is wrong.
local function got(value, ...)
  t.returns({ n = 3, value, nil, nil }, ...)
end

-- How many turns another task, which sleeps a little in between, gets while fn runs.
local function turns_beside(fn)
  local turns, over = 0, false
  local other = task.spawn(function()
    while not over do
      task.sleep(0.001)
      turns = turns + 1
    end
  end)
  fn()
  over = true
  other:join()
  return turns
end

-- In a task another one must get to run while the call waits. Where the machine stalls the call may find at once what it
-- is to wait for, so that it is made again.
local function beside(fn, waits)
  local turns
  for _ = 1, 20 do
    turns = turns_beside(fn)
    if turns >= 2 or not waits then return end
  end
  t.fail("turns of the other task: " .. turns)
end

-- The test blocking, in a task, and where a task must keep its native stack.
local function everywhere(name, fn, waits)
  t.test(name .. ": blocking", fn)
  t.in_task(name .. ": in a task", function() beside(fn, waits) end)
  t.in_task(name .. ": in a coroutine of a task", function()
    beside(function() coroutine.wrap(fn)() end, waits)
  end)
end

local WAITS = true

do
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(("io.stdout:setvbuf 'no' package.path, package.cpath = %q, %q "):format(package.path, package.cpath), PEER)
  file:close()
  peer = assert(io.popen(t.interpreter() .. " " .. path, "r"))
  peer_port = tonumber(peer:read "*l")
  os.remove(path)
end

--------------------------------------------------------------------------------------------------------------- receive

everywhere("receive a line that comes in pieces", function()
  local client = dial "sleep(0.01) send 'one ' sleep(0.01) send 'line\\r' sleep(0.005) send '\\nrest'"
  got("one line", client:receive())
  t.returns({ n = 3, nil, "closed", "rest" }, client:receive "*l")
  t.returns({ n = 3, nil, "closed", "" }, client:receive())
end, WAITS)

everywhere("receive a number of bytes that come in pieces", function()
  local client = dial "for i = 1, 5 do sleep(0.005) send(('x'):rep(i)) end"
  got(("x"):rep(10), client:receive(10))
  got("xx", client:receive(2))
  got("", client:receive(0))
  t.returns({ n = 3, nil, "closed", "xxx" }, client:receive(10))
  t.returns({ n = 3, nil, "closed", "" }, client:receive(1))
end, WAITS)

everywhere("receive all", function()
  local client = dial "for i = 1, 3 do sleep(0.005) send 'block ' end"
  got("block block block ", client:receive "*a")
  t.returns({ n = 3, nil, "closed", "" }, client:receive "*a")
  client = dial "sleep(0.005)"
  t.returns({ n = 3, nil, "closed", "" }, client:receive "*a")
end, WAITS)

everywhere("receive with a prefix", function()
  local client = dial "sleep(0.005) send 'one\\n' sleep(0.005) send '345' sleep(0.005) send '6789'"
  got("prefix one", client:receive("*l", "prefix "))
  got("12345", client:receive(5, "12"))
  got("123", client:receive(3, "123"))
  got("+6789", client:receive("*a", "+"))
  t.returns({ n = 3, nil, "closed", "prefix" }, client:receive("*l", "prefix"))
end, WAITS)

everywhere("receive a great deal", function()
  local client = dial "local block = ('0123456789'):rep(100000) for i = 1, 5 do send(block) sleep(0.002) end"
  local data = client:receive(5000000)
  t.equal(#data, 5000000)
  t.equal(data, ("0123456789"):rep(500000))
  t.returns({ n = 3, nil, "closed", "" }, client:receive(1))
end, WAITS)

everywhere("receive within a limit", function()
  local client = dial "for i = 1, 6 do sleep(0.01) send 'x' end client:receive()"
  client:settimeout(0.2)
  local part = ""
  repeat -- once, unless the other end stalls
    local data, err
    local took = t.elapsed(function() data, err, part = client:receive(10, part) end)
    t.equal(data, nil)
    t.equal(err, "timeout")
    t.between(took, 0.2, 4)
  until #part >= 6
  t.equal(part, "xxxxxx")
end, WAITS)

everywhere("receive within a limit of the whole call", function()
  local client = dial "while client:send 'x' do sleep(0.01) end"
  t.readable(client)
  client:settimeout(0.1, "t")
  local took = t.elapsed(function()
    local data, err, part = client:receive(1000) -- which take 10 seconds
    t.equal(data, nil)
    t.equal(err, "timeout")
    t.between(#part, 1, 500)
  end)
  t.between(took, 0.1, 5)
end, WAITS)

everywhere("receive with no time", function()
  local client = dial "send 'part' client:receive() send 'ial\\n'"
  t.readable(client)
  client:settimeout(0)
  t.returns({ n = 3, nil, "timeout", "part" }, client:receive())
  t.returns({ n = 3, nil, "timeout", "" }, client:receive())
  client:send "\n"
  t.readable(client)
  got("ial", client:receive())
end)

everywhere("receive from who resets", function()
  local client = dial [[send 'part' client:receive() sleep(0.01)
    client:setoption('linger', { on = true, timeout = 0 })]]
  got("part", client:receive(4))
  client:send "\n"
  local data, err, part = client:receive(10)
  t.same({ data, err, part }, { nil, "closed", "" })
end, WAITS)

everywhere("receive what is buffered does not wait", function()
  local client = dial "send 'one\\ntwo\\nthree\\n'"
  got("one", client:receive())
  t.equal(client:dirty(), true)
  got("two", client:receive())
  got("three", client:receive())
  t.returns({ n = 3, nil, "closed", "" }, client:receive())
end)

------------------------------------------------------------------------------------------------------------------ send

-- More than fits on the way, made before somebody waits for it.
local BIG = ("x"):rep(2 ^ 23)

everywhere("send a great deal to who reads late", function()
  local client = dial [[local n = 0 sleep(0.03) client:settimeout(5)
    repeat local data, err, part = client:receive(65536) n = n + #(data or part) until n == 2 ^ 23 - 65536 or err
    n = n + #client:receive(65534)
    send(n .. '\n')]]
  got(#BIG - 1, client:send(BIG, 2, #BIG - 1))
  t.match(client:receive(), "^8388606")
end, WAITS)

everywhere("send to who does not read", function()
  local client = dial "sleep(2)"
  client:settimeout(0.03)
  local result, err, last = client:send(BIG)
  t.equal(result, nil)
  t.equal(err, "timeout")
  t.between(last, 1, #BIG - 1)
  local _, sent = client:getstats()
  t.equal(sent % 2 ^ 20, (last + #"sleep(2)\n") % 2 ^ 20)
end, WAITS)

everywhere("send to who closes meanwhile", function()
  local client = dial "sleep(0.02) client:setoption('linger', { on = true, timeout = 0 })"
  local result, err, last = client:send(BIG)
  t.equal(result, nil)
  t.equal(err, "closed")
  t.between(last, 0, #BIG - 1)
end, WAITS)

everywhere("send parts, and nothing", function()
  local client = dial "sleep(0.01) send(client:receive())"
  got(3, client:send("12345", 2, 3))
  got(0, client:send "")
  got(5, client:send("12345", -2))
  got(1, client:send "\n")
  got("2345", client:receive "*a")
end, WAITS)

everywhere("shutdown, then receive what the other end still says", function()
  local client = dial "local all = client:receive('*a') sleep(0.01) send(#all .. '\\n')"
  client:send "123456"
  t.returns({ 1 }, client:shutdown "send")
  got("6", client:receive())
  t.returns({ n = 3, nil, "closed", 0 }, client:send "x")
  t.returns({ 1 }, client:close())
  t.returns({ n = 3, nil, "closed", "" }, client:receive())
  t.returns({ n = 3, nil, "closed", 0 }, client:send "x")
end, WAITS)

everywhere("statistics count what passes", function()
  local program = "sleep(0.01) send '12345' client:receive()"
  local client = dial(program)
  got("12345", client:receive(5))
  client:send "6789\n"
  local received, sent, age = client:getstats()
  t.equal(received, 5)
  t.equal(sent, #program + 1 + 5)
  t.between(age, 0, 5)
end, WAITS)

-------------------------------------------------------------------------------------------------------- accept, connect

everywhere("accept who comes late", function()
  local server, port = t.server()
  dial("sleep(0.02) local other = socket.connect('127.0.0.1', %d) other:send 'here\\n'", port)
  local client = t.closing(assert(server:accept()))
  t.equal(client.class, "tcp{client}")
  got("here", client:receive())
end, WAITS)

everywhere("accept who does not come", function()
  local server = t.server()
  server:settimeout(0.03)
  local took = t.elapsed(function() t.returns({ n = 2, nil, "timeout" }, server:accept()) end)
  t.between(took, 0.03, 5)
  server:settimeout(0)
  t.returns({ n = 2, nil, "timeout" }, server:accept())
  server:close()
  t.returns({ n = 2, nil, "closed" }, server:accept())
end, WAITS)

everywhere("connect to an address and to a name", function()
  local server, port = t.server()
  for _, host in ipairs { HOST, "localhost" } do
    local client = t.closing(socket.tcp())
    client:settimeout(5)
    t.returns({ 1 }, client:connect(host, port))
    t.equal(client.class, "tcp{client}")
    t.closing(assert(server:accept()))
    t.returns({ n = 2, nil, "already connected" }, client:connect(host, port))
  end
  t.closing(assert(socket.connect("localhost", port)))
end)

everywhere("connect where nobody listens", function()
  local port = t.unused_port()
  t.returns({ n = 2, nil, "connection refused" }, socket.connect(HOST, port))
  local client = t.closing(socket.tcp())
  client:settimeout(1)
  t.returns({ n = 2, nil, "connection refused" }, client:connect("localhost", port))
end)

-- A listener whose queue is full: what comes after is swallowed.
local function deaf()
  local server = t.closing(assert(socket.bind(HOST, 0, 0)))
  local _, port = server:getsockname()
  for _ = 1, 10 do
    local client = t.closing(socket.tcp())
    client:settimeout(0.05)
    if not client:connect(HOST, port) then return port end
  end
  t.fail "the queue of a listener does not fill"
end

everywhere("connect where nobody answers", function()
  local client = t.closing(socket.tcp())
  local port = deaf()
  client:settimeout(0.03)
  local took = t.elapsed(function() t.returns({ n = 2, nil, "timeout" }, client:connect(HOST, port)) end)
  t.between(took, 0.03, 5)
end, WAITS)

everywhere("connect with no time, and select", function()
  local server, port = t.server()
  for _, host in ipairs { HOST, "localhost" } do
    local client = t.closing(socket.tcp())
    client:settimeout(0)
    local ok, err = client:connect(host, port)
    if not ok then
      t.equal(err, "timeout")
      t.writable(client)
      t.returns({ 1 }, client:connect(host, port))
    end
    t.closing(assert(server:accept()))
  end
  local client = t.closing(socket.tcp())
  client:settimeout(0)
  local closed = t.unused_port()
  local ok, err = client:connect("localhost", closed)
  t.equal(ok, nil)
  if err == "timeout" then
    t.writable(client)
    t.returns({ n = 2, nil, "connection refused" }, client:connect("localhost", closed))
  end
end)

-- The kernel calls such a connection ready, and goes on connecting.
everywhere("a connect that is shut down", function()
  local port = deaf()
  local client = t.closing(socket.tcp())
  client:settimeout(0)
  t.returns({ n = 2, nil, "timeout" }, client:connect(HOST, port))
  client:shutdown()
  client:shutdown()
  t.selected({ client }, { client }, { client }, { client })
  t.returns({ n = 2, nil, "closed" }, client:connect(HOST, port))
end)

everywhere("Unix sockets", function()
  local path = os.tmpname()
  os.remove(path)
  t.finally(function() os.remove(path) end)
  t.returns({ n = 2, nil, "No such file or directory" }, t.closing(unix.stream()):connect(path))
  local server = t.closing(unix.stream())
  assert(server:bind(path))
  assert(server:listen())
  server:settimeout(0.02)
  t.returns({ n = 2, nil, "timeout" }, server:accept())
  local client = t.closing(unix.stream())
  t.returns({ 1 }, client:connect(path))
  local accepted = t.closing(assert(server:accept()))
  client:send "one\n"
  got("one", accepted:receive())
  accepted:settimeout(0.02)
  t.returns({ n = 3, nil, "timeout", "" }, accepted:receive())
  client:close()
  t.returns({ n = 3, nil, "closed", "" }, accepted:receive())
end, WAITS)

------------------------------------------------------------------------------------------------------------- datagrams

everywhere("datagrams that come late", function()
  local object = t.closing(assert(socket.udp4()))
  assert(object:setsockname(HOST, 0))
  object:settimeout(5)
  local _, port = object:getsockname()
  dial([[local u = socket.udp() for i = 1, 3 do
    sleep(0.01) u:sendto('datagram ' .. i, '127.0.0.1', %d) end]], port)
  local data, ip, from = object:receivefrom()
  t.equal(data, "datagram 1")
  t.equal(ip, HOST)
  t.between(from, 1, 65535)
  t.returns({ "data" }, object:receive(4))
  t.returns({ "datagram 3" }, object:receive())
  object:settimeout(0.02)
  t.returns({ n = 2, nil, "timeout" }, object:receive())
  t.returns({ n = 2, nil, "timeout" }, object:receivefrom())
  object:settimeout(0)
  t.returns({ n = 2, nil, "timeout" }, object:receivefrom())
end, WAITS)

everywhere("datagrams between two", function()
  local a, b = t.datagrams()
  for _, text in ipairs { "", "x", ("x"):rep(1000) } do
    t.returns({ #text }, a:send(text))
    t.returns({ text }, b:receive())
  end
  b:close()
  a:send "x"
  a:settimeout(1)
  t.returns({ n = 2, nil, "connection refused" }, a:receive())
end)

---------------------------------------------------------------------------------------------------------------- select

everywhere("select waits for what is readable", function()
  local one, other = dial "sleep(0.02) send 'x' client:receive()", dial "client:receive()"
  local readable, writable, err = socket.select({ one, other }, nil, 5)
  t.same(readable, { one, [one] = 1 })
  t.same(writable, {})
  t.equal(err, nil)
  one:send "\n"
  other:send "\n"
end, WAITS)

everywhere("select in many forms", function()
  local client, accepted = t.pair()
  local idle = t.pair()
  local foreign = { getfd = function() return client:getfd() end }
  local function none(...) t.returns({ {}, {}, "timeout" }, socket.select(...)) end
  none({ client }, nil, 0)
  none({ client, idle }, {}, 0.005)
  none(nil, nil, 0.005)
  none({}, {}, 0.005)
  none({ client, foreign }, {}, 0.005)
  none({ "text", {}, 7, client }, {}, 0.005)
  t.selected({}, { client }, { client }, { client })
  t.returns({ {}, { foreign, [foreign] = 1 } }, socket.select({ client }, { foreign }, 5))
  accepted:send "one\ntwo\n"
  t.selected({ client }, {}, { client, idle })
  t.returns({ { foreign, [foreign] = 1 }, {} }, socket.select({ foreign, idle }, nil))
  got("one", client:receive())
  t.selected({ client }, {}, { idle, client }) -- by what is buffered
  t.selected({ client }, { idle }, { client }, { idle })
  client:close()
  none({ client }, nil, 0.005)
  accepted:close()
end)

everywhere("select over many sockets", function()
  local list = t.members(100)
  t.nothing_selected(list, nil, 0.02)
  t.nothing_selected(list, nil, 0)
  t.poke(list[7])
  t.poke(list[77])
  t.selected({ list[7], list[77] }, {}, list)
  list[7]:receive()
  list[77]:receive()
  t.nothing_selected(list, nil, 0.02)
end, WAITS)

-- Where the loop pushes the results it must leave nothing on its stack, which overflows at 65 500.
t.in_task("select very often", function()
  local client = t.pair()
  for _ = 1, 33000 do socket.select({ client }, nil, 1e-9) end
  t.returns({ {}, {}, "timeout" }, socket.select({ client }, nil, 1e-6))
end)

everywhere("select waits for its time", function()
  local client = t.pair()
  for _, list in ipairs { {}, { client } } do
    t.between(t.elapsed(socket.select, list, nil, 0.03), 0.03, 5)
  end
  t.between(t.elapsed(socket.sleep, 0.03), 0.03, 5)
end, WAITS)

-------------------------------------------------------------------------------------------------------------- look-ups

local LOOKUPS = {
  { "toip", "localhost" }, { "toip", HOST }, { "toip", "" }, { "toip", "no such name!" }, { "tohostname", HOST },
  { "tohostname", "localhost" }, { "getaddrinfo", "localhost" }, { "getaddrinfo", HOST }, { "getnameinfo", HOST },
  { "getaddrinfo", "no such name!" },
}

local answers = {}

everywhere("look-ups", function()
  for i, lookup in ipairs(LOOKUPS) do
    local answer = t.pack(socket.dns[lookup[1]](lookup[2]))
    answers[i] = answers[i] or answer
    t.same(answer, answers[i])
  end
  t.equal(answers[1][1], HOST)
  t.equal(answers[4][1], nil)
end)

---------------------------------------------------------------------------------------------------- two at one socket

-- A socket with a task that waits in `call`, which a second one then tries.
local function is_busy(expected, object, call, ...)
  local first = t.waiting(task.spawn(call, ...))
  t.returns(expected, call(...))
  if object.settimeout then
    object:settimeout(0) -- is for later calls
    t.returns(expected, call(...))
    object:settimeout(nil)
  end
  t.equal(first:status(), "waiting")
  first:cancel()
  first:join()
end

t.in_task("the second in one direction is told so", function()
  local client, accepted = t.pair()
  is_busy({ n = 3, nil, "busy", "" }, client, client.receive, client)
  t.fill(client)
  client:settimeout(nil)
  is_busy({ n = 3, nil, "busy", 0 }, client, client.send, client, "x")
  local server = t.server()
  server:settimeout(nil)
  is_busy({ n = 2, nil, "busy" }, server, server.accept, server)
  local a = t.datagrams()
  is_busy({ n = 2, nil, "busy" }, a, a.receive, a)
  local free = t.closing(t.member())
  free:settimeout(nil)
  is_busy({ n = 2, nil, "busy" }, free, free.receivefrom, free)
  local connecting = t.closing(socket.tcp())
  connecting:settimeout(nil)
  is_busy({ n = 2, nil, "busy" }, connecting, connecting.connect, connecting, HOST, deaf())
  t.ok(accepted)
end)

t.in_task("the first is not disturbed by the second", function()
  local client, accepted = t.pair()
  local first = t.waiting(task.spawn(client.receive, client, 6))
  accepted:send "123"
  task.sleep(0.002)
  t.returns({ n = 3, nil, "busy", "" }, client:receive(1))
  t.returns({ n = 3, nil, "busy", "prefix" }, client:receive(10, "prefix"))
  accepted:send "456789"
  t.returns({ n = 4, true, "123456", nil, nil }, first:join())
  got("789", client:receive(3))
end)

t.in_task("one reads while another writes", function()
  local client, accepted = t.pair()
  local echo = task.spawn(function()
    local data
    repeat
      data = accepted:receive(65536)
      if data then accepted:send(data) end
    until not data
  end)
  local text = ("0123456789abcdef"):rep(2 ^ 17)
  local reader = t.waiting(task.spawn(client.receive, client, #text))
  got(#text, client:send(text))
  local ok, data = reader:join()
  t.equal(ok, true)
  t.ok(data == text)
  client:close()
  t.returns({ true }, echo:join())
end)

t.in_task("what was interrupted leaves its direction free", function()
  local client, accepted = t.pair()
  for _ = 1, 20 do
    local reader = t.waiting(task.spawn(client.receive, client))
    reader:cancel()
    reader:join()
    t.returns({ n = 2, nil, "timeout" }, task.timeout(0.001, client.receive, client))
  end
  accepted:send "line\n"
  got("line", client:receive())
end)

t.in_task("several select the same socket", function()
  local client, accepted = t.pair()
  local handles = {}
  for i = 1, 5 do handles[i] = t.waiting(task.spawn(socket.select, { client }, nil)) end
  local reader = t.waiting(task.spawn(client.receive, client))
  accepted:send "x"
  for i = 1, 5 do
    local ok, readable = handles[i]:join()
    t.equal(ok, true)
    t.equal(readable[1] or client, client)
  end
  accepted:send "\n"
  t.returns({ n = 4, true, "x", nil, nil }, reader:join())
end)

--------------------------------------------------------------------------------------------------------------- closing

-- Closing `object` ends `call(...)`, which waits.
local function ends_with(expected, object, call, ...)
  local handle = t.waiting(task.spawn(call, ...))
  task.yield()
  object:close()
  local result = t.pack(handle:join(5))
  t.same(result, { n = #expected.results + 1, true, t.unpack(expected.results) }, expected.name)
end

-- nil cannot stand in a list that is to be compared.
local function told(call)
  return function(...)
    local result, err = call(...)
    return tostring(result), err
  end
end

t.in_task("closing ends what waits for it", function()
  local function closed(name) return { name = name, results = { "nil", "closed" } } end
  local client = t.pair()
  ends_with(closed "receive", client, told(client.receive), client)
  client = t.pair()
  ends_with(closed "receive all", client, told(client.receive), client, "*a")
  client = t.pair()
  client:settimeout(3600)
  ends_with(closed "receive with a timeout", client, told(client.receive), client, 5)
  client = t.pair()
  t.fill(client)
  client:settimeout(nil)
  ends_with(closed "send", client, told(client.send), client, "x")
  local server = t.server()
  ends_with(closed "accept", server, told(server.accept), server)
  local a = t.datagrams()
  ends_with(closed "datagram", a, told(a.receive), a)
  a = t.closing(t.member())
  a:settimeout(nil)
  ends_with(closed "receivefrom", a, told(a.receivefrom), a)
  local connecting = t.closing(socket.tcp())
  ends_with(closed "connect", connecting, told(connecting.connect), connecting, HOST, deaf())
  local path = os.tmpname()
  os.remove(path)
  t.finally(function() os.remove(path) end)
  local listener = t.closing(unix.stream())
  assert(listener:bind(path))
  assert(listener:listen())
  ends_with(closed "unix accept", listener, told(listener.accept), listener)
end)

t.in_task("what is closed while select waits is ready", function()
  local function select_of(...)
    local readable, writable = socket.select(...)
    return readable[1] or writable[1]
  end
  local client, idle = t.pair()
  ends_with({ name = "a reader", results = { client } }, client, select_of, { idle, client })
  client = t.pair()
  t.fill(client)
  ends_with({ name = "a writer", results = { client } }, client, select_of, nil, { client })
  local object = t.datagrams()
  ends_with({ name = "alone", results = { object } }, object, select_of, { object }, nil, 5)
  local connecting = t.closing(socket.tcp())
  connecting:settimeout(0)
  connecting:connect(HOST, deaf())
  ends_with({ name = "connecting", results = { connecting } }, connecting, select_of, nil, { connecting }, 5)
end)

-- The places of those that are connecting must stay what they are.
t.in_task("others that select waits for are closed", function()
  local port = deaf()
  local connecting = t.closing(socket.tcp())
  connecting:settimeout(0)
  connecting:connect(HOST, port)
  local client, accepted = t.pair()
  local second = t.pair()
  local handle = t.waiting(task.spawn(socket.select, { client, second, connecting }, { connecting }, 5))
  client:close()
  local _, readable = handle:join()
  t.equal(readable[1], client)
  handle = t.waiting(task.spawn(socket.select, { client, second, connecting }, { connecting }, 0.01))
  t.returns({ n = 4, true, {}, {}, "timeout" }, handle:join())
  t.ok(accepted)
end)

t.in_task("a number that is closed and taken again is another socket's", function()
  collectgarbage()
  collectgarbage()
  for i = 1, 20 do
    local client = t.pair()
    local number = client:getfd()
    local reader = i % 2 == 0 and t.waiting(task.spawn(client.receive, client))
    client:close()
    -- Lower numbers may have become free meanwhile.
    local object
    repeat object = t.closing(assert(socket.udp4())) until object:getfd() >= number
    t.equal(object:getfd(), number)
    assert(object:setsockname(HOST, 0))
    -- That the number was closed is not told to who waits for it now.
    t.nothing_selected({ object }, nil, 0.002)
    object:settimeout(0.002)
    t.returns({ n = 2, nil, "timeout" }, object:receive())
    if reader then t.returns({ n = 4, true, nil, "closed", "" }, reader:join()) end
  end
end)

t.in_task("closing twice, and by the one that was just woken", function()
  local client, accepted = t.pair()
  local reader = t.waiting(task.spawn(function()
    local line = client:receive()
    client:close()
    return line
  end))
  accepted:send "line\n"
  client:close()
  client:close()
  local ok, line = reader:join()
  t.equal(ok, true)
  t.ok(line == nil or line == "line")
end)

---------------------------------------------------------------------------------------------------- no time, no patience

t.in_task("a deadline in the past ends a wait at once, and takes nothing away", function()
  local client, accepted = t.pair()
  for _, seconds in ipairs { 0, -1, -1e9 } do
    t.between(t.elapsed(function()
      t.returns({ n = 2, nil, "timeout" }, task.timeout(seconds, client.receive, client))
    end), 0, 5)
    accepted:send "line\n"
    t.readable(client)
    got("line", task.timeout(seconds, client.receive, client))
  end
end)

t.in_task("waiting for descriptors", function()
  local client, accepted = t.pair()
  t.returns({ true }, task.wait(client, "w"))
  t.returns({ true }, task.wait(client, "rw"))
  t.returns({ true }, task.wait(client:getfd(), "w", 1))
  t.returns({ n = 2, nil, "timeout" }, task.wait(client, "r", 0.005))
  t.returns({ n = 2, nil, "timeout" }, task.wait(client:getfd(), "r", 0))
  local handle = t.waiting(task.spawn(task.wait, client, "r"))
  accepted:send "one\ntwo\n"
  t.returns({ true, true }, handle:join())
  client:receive()
  t.returns({ true }, task.wait(client, "r"))
  client:receive()
  t.returns({ n = 2, nil, "timeout" }, task.wait(client, "r", 0.005))
  client:close()
  t.returns({ n = 2, nil, "closed" }, task.wait(client, "r"))
  t.raises({ match = "bad argument" }, task.wait, accepted, "x")
end)

------------------------------------------------------------------------------------------------------------ collecting

t.in_task("what a task waits for is not collected", function()
  local list = setmetatable({}, { __mode = "k" })
  local handles = {}
  local function waits(fn)
    handles[#handles + 1] = t.waiting(task.spawn(fn))
    collectgarbage()
  end
  local client, accepted = t.pair()
  local port = select(2, client:getpeername())
  local server = t.server()
  local _, other_port = server:getsockname()
  -- Nothing but the stack of the task holds these.
  waits(function()
    local object = socket.connect(HOST, other_port)
    list[object] = true
    return object:receive()
  end)
  waits(function()
    local object = socket.connect(HOST, other_port)
    list[object] = true
    return (socket.select({ object, server == nil }, nil))[1]:receive()
  end)
  waits(function() return coroutine.wrap(function() return (socket.connect(HOST, other_port)):receive() end)() end)
  collectgarbage()
  collectgarbage()
  for i = 1, 3 do
    local peer_of = t.closing(assert(server:accept()))
    peer_of:send("line " .. i .. "\n")
  end
  local seen = {}
  for i = 1, 3 do
    local ok, line = handles[i]:join()
    t.equal(ok, true, tostring(line))
    seen[line] = true
  end
  t.same(seen, { ["line 1"] = true, ["line 2"] = true, ["line 3"] = true })
  t.ok(accepted and port)
end)

t.in_task("what nobody waits for any more is collected", function()
  local server = t.server()
  local _, port = server:getsockname()
  local list = setmetatable({}, { __mode = "k" })
  local function waits(fn)
    local handle = t.waiting(task.spawn(function()
      local client = socket.connect(HOST, port)
      list[client] = true
      return fn(client)
    end))
    handle:cancel()
    handle:join()
  end
  for _ = 1, 5 do
    waits(function(client) return client:receive() end)
    waits(function(client) return socket.select({ client }) end)
    waits(function(client) return coroutine.wrap(function() return client:receive() end)() end)
    waits(function(client) return task.wait(client, "r") end)
  end
  task.yield()
  for _ = 1, 4 do collectgarbage() end -- threads, then what they hold, then keys
  local left = 0
  for _ in pairs(list) do left = left + 1 end
  -- A thread or a stack that is used again may still hold its last one.
  t.between(left, 0, 2)
end)

------------------------------------------------------------------------------------- a scheduler of the program's own

-- As Copas does it: coroutines, sockets that never wait, and a loop around select.
local function scheduler()
  local readers, writers, threads = {}, {}, {}
  local function resume(co, ...)
    local ok, direction, object = coroutine.resume(co, ...)
    if not ok then error(direction, 0) end
    if coroutine.status(co) == "dead" then
      threads[co] = nil
    else
      local list = direction == "r" and readers or writers
      list[#list + 1] = object
      threads[object] = threads[object] or {}
      threads[object][direction] = co
    end
  end
  local M = {}
  function M.spawn(fn, ...) resume(coroutine.create(fn), ...) end
  function M.receive(object, pattern)
    local data, err, part
    repeat
      data, err, part = object:receive(pattern, part)
      if err == "timeout" then coroutine.yield("r", object) end
    until err ~= "timeout"
    return data, err
  end
  function M.send(object, text)
    local last, err, part = 0, nil, 0
    repeat
      last, err, part = object:send(text, part + 1)
      if err == "timeout" then coroutine.yield("w", object) end
    until err ~= "timeout"
    return last, err
  end
  function M.accept(object)
    while true do
      local client, err = object:accept()
      if err ~= "timeout" then return client, err end
      coroutine.yield("r", object)
    end
  end
  function M.loop()
    while #readers + #writers > 0 do
      local readable, writable = socket.select(readers, writers, 5)
      t.ok(readable[1] or writable[1], "select finds something")
      for direction, ready in pairs { r = readable, w = writable } do
        local list = direction == "r" and readers or writers
        for i = #list, 1, -1 do
          if ready[list[i]] then
            local object = table.remove(list, i)
            local co = threads[object][direction]
            threads[object][direction] = nil
            resume(co)
          end
        end
      end
    end
  end
  return M
end

local function serve_and_ask(n)
  local own = scheduler()
  local server, port = t.server()
  server:settimeout(0)
  local answers = {}
  own.spawn(function()
    for _ = 1, n do
      local client = t.closing(assert(own.accept(server)))
      client:settimeout(0)
      own.spawn(function()
        local line = own.receive(client)
        own.send(client, (line .. " "):rep(10000) .. "\n")
        client:close()
      end)
    end
  end)
  for i = 1, n do
    own.spawn(function()
      local client = t.closing(assert(socket.connect(HOST, port)))
      client:settimeout(0)
      own.send(client, "number " .. i .. "\n")
      answers[i] = own.receive(client)
      client:close()
    end)
  end
  own.loop()
  for i = 1, n do t.equal(answers[i], ("number " .. i .. " "):rep(10000)) end
end

everywhere("a scheduler of the program's own", function() serve_and_ask(20) end)

t.in_task("schedulers of the program's own in several tasks", function()
  task.group(function(group)
    for _ = 1, 5 do group:spawn(serve_and_ask, 5) end
  end)
end)

dial("end"):close()
peer:close()

t.done()

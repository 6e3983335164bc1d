-- Bad networks: hosts that are dead, absent or cannot be reached, packets that are lost, links that go down. The file runs in
-- a network of its own: this process, a router and a far host, which is all there is.
--
--     10.77.0.1 near -- 10.77.0.2 router 10.78.0.2 -- 10.78.0.1 far
--
-- The same with fd77:: and fd78::. What the router gets for 10.79.0.0/24 and fd79::/64 (dead) is lost without a word; for
-- 10.80.0.0/24 and fd80::/64 (nowhere) it answers that the host cannot be reached. Other addresses have no route.

local t = require "support"
local socket = require "socket"

t.isolate {
  ["/etc/hosts"] = [[
127.0.0.1 localhost
10.78.0.1 far
fd78::1 far6
fd79::1 dead6-then-far
10.78.0.1 dead6-then-far
10.79.0.1 dead-then-far
10.78.0.1 dead-then-far
10.80.0.1 nowhere-then-far
10.78.0.1 nowhere-then-far
10.66.0.1 unreachable-then-far
10.78.0.1 unreachable-then-far
10.79.0.1 mostly-dead
10.79.0.2 mostly-dead
fd79::1 mostly-dead
10.80.0.1 mostly-dead
10.78.0.1 mostly-dead
10.79.0.1 all-dead
10.79.0.2 all-dead
fd79::1 all-dead
10.80.0.1 all-nowhere
10.80.0.2 all-nowhere
fd80::1 all-nowhere
]],
  ["/etc/nsswitch.conf"] = "hosts: files\nservices: files\n",
}

local FAR, DEAD, NOWHERE = "10.78.0.1", "10.79.0.1", "10.80.0.1"
local PORT = 4000 -- of the echo server on the far host; nothing else is there

local router, far = t.hosts(2)

local function sh(command, host)
  if host then command = "nsenter -t " .. host .. " -n /bin/sh -c " .. t.quote(command) end
  local output, status = t.shell(command)
  if status ~= 0 then error(command .. ": " .. output, 0) end
end

local function near_routes()
  sh [[ip route replace 10.78.0.0/24 via 10.77.0.2; ip route replace 10.79.0.0/24 via 10.77.0.2
    ip route replace 10.80.0.0/24 via 10.77.0.2
    ip route replace unreachable 10.66.0.0/24; ip route replace prohibit 10.67.0.0/24
    ip -6 route replace fd78::/64 via fd77::2; ip -6 route replace fd79::/64 via fd77::2
    ip -6 route replace fd80::/64 via fd77::2]]
end

local function forward(on)
  local value = on and 1 or 0
  sh("echo " .. value .. " > /proc/sys/net/ipv4/ip_forward; echo " .. value ..
    " > /proc/sys/net/ipv6/conf/all/forwarding", router)
end

local function build()
  sh("ip link add near type veth peer name west netns " .. router)
  sh("ip link add east type veth peer name far netns " .. far, router)
  sh [[ip addr add 10.77.0.1/24 dev near; ip addr add fd77::1/64 dev near nodad; ip link set near up]]
  sh([[ip link set lo up; ip addr add 10.77.0.2/24 dev west; ip addr add fd77::2/64 dev west nodad; ip link set west up
    ip addr add 10.78.0.2/24 dev east; ip addr add fd78::2/64 dev east nodad; ip link set east up
    ip route add blackhole 10.79.0.0/24; ip route add unreachable 10.80.0.0/24
    ip -6 route add blackhole fd79::/64; ip -6 route add unreachable fd80::/64
    echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit]], router)
  sh([[ip link set lo up; ip addr add 10.78.0.1/24 dev far; ip addr add fd78::1/64 dev far nodad; ip link set far up
    ip route add default via 10.78.0.2; ip -6 route add default via fd78::2]], far)
  near_routes()
  forward(true)
end

-- Echoes what it gets, TCP and UDP, both families.
local ECHO = [[
  local socket = require "socket"
  local list = {}
  local port = tonumber((...))
  for i, host in ipairs { "0.0.0.0", "::" } do
    list[i] = assert(socket.bind(host, port))
    list[i + 2] = i == 1 and socket.udp4() or socket.udp6()
    assert(list[i + 2]:setsockname("*", port))
  end
  print "ready"
  while true do
    for _, object in ipairs((socket.select(list))) do
      if object.accept and object.class == "tcp{server}" then
        local client = object:accept()
        client:settimeout(0)
        list[#list + 1] = client
      elseif object.class == "udp{unconnected}" then
        local data, host, from = object:receivefrom(65536)
        if data then object:sendto(data, host, from) end
      else
        local data, problem, part = object:receive(65536)
        data = data or part
        object:settimeout(-1)
        object:send(data)
        object:settimeout(0)
        if problem == "closed" then
          object:close()
          for i, other in ipairs(list) do
            if other == object then table.remove(list, i) break end
          end
        end
      end
    end
  end
]]

build()

-- A test with an echo server on the far host.
local function with_echo(test)
  return function(name, fn, seconds)
    test(name, function()
      local pipe = t.start("nsenter -t " .. far .. " -n " .. t.interpreter() .. " " .. t.quote(t.script(ECHO)) .. " " .. PORT)
      t.equal(pipe:read("*l"), "ready")
      t.finally(function() forward(true) end)
      fn()
    end, seconds)
  end
end

local echo_test, echo_fix = with_echo(t.test), with_echo(t.fix)

local function tcp(timeout, mode)
  local object = t.closing(socket.tcp())
  object:settimeout(timeout, mode)
  return object
end

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function connected(host)
  local client = tcp(5)
  t.returns({ 1 }, client:connect(host or FAR, PORT))
  return client
end

-- Connects without waiting: select, then connect again, until there is an answer.
local function connect_patiently(client, host, port)
  client:settimeout(0)
  local deadline = socket.gettime() + 8
  repeat
    local start = socket.gettime()
    local ok, problem = client:connect(host, port)
    t.between(socket.gettime() - start, 0, 0.2, "a try")
    if ok or problem ~= "timeout" and problem ~= "Operation already in progress" then return ok, problem end
    socket.select(nil, { client }, 1)
  until socket.gettime() > deadline
  t.fail("no answer")
end

-- Addresses that cannot be reached

t.test("no route: at once", function()
  for _, host in ipairs { "203.0.113.1", "2001:db8::1" } do
    for _, timeout in ipairs { -1, 5, 0 } do
      t.between(t.elapsed(function() fails("Network is unreachable", tcp(timeout):connect(host, 80)) end), 0, 1)
    end
    fails("Network is unreachable", socket.connect(host, 80))
    local object = t.closing(socket.udp())
    fails("Network is unreachable", object:setpeername(host, 80))
    fails("Network is unreachable", t.closing(socket.udp()):sendto("x", host, 80))
  end
end)

t.test("a route that refuses: at once", function()
  fails("No route to host", tcp(5):connect("10.66.0.1", 80))
  fails("No route to host", tcp(0):connect("10.66.0.1", 80))
  fails("permission denied", tcp(5):connect("10.67.0.1", 80))
  fails("No route to host", t.closing(socket.udp()):sendto("x", "10.66.0.1", 80))
  fails("permission denied", t.closing(socket.udp()):sendto("x", "10.67.0.1", 80))
end)

t.test("an object is usable after a host that cannot be reached", function()
  local _, port = t.server()
  local object = tcp(5)
  fails("Network is unreachable", object:connect("203.0.113.1", 80))
  t.equal(object.class, "tcp{client}")
  t.returns({ 1 }, object:connect("127.0.0.1", port))
end)

-- Since Linux 6.8 such an answer to a connect is a pending error, which makes the descriptor ready, while the system goes on
-- trying. The C library takes that for "Resource temporarily unavailable".
t.fix("a router that answers: the host cannot be reached", function()
  t.between(t.elapsed(function() fails("No route to host", tcp(5):connect(NOWHERE, 80)) end), 0, 2)
  fails("No route to host", socket.connect(NOWHERE, 80))
  fails("Network is unreachable", tcp(5):connect("fd80::1", 80)) -- the IPv6 router's words
end)

t.fix("the same, without waiting", function()
  fails("No route to host", connect_patiently(tcp(0), NOWHERE, 80))
  local object = tcp(0)
  fails("timeout", object:connect(NOWHERE, 80))
  t.selected({ object }, { object }, { object }, { object })
  t.equal(object:getoption("error"), "No route to host")
  t.equal(object:getoption("error"), nil)
  fails("closed", object:connect(NOWHERE, 80))
end)

t.test("datagram objects do not hear that a host cannot be reached", function()
  local object = t.closing(socket.udp())
  object:settimeout(0.1)
  t.returns({ 1 }, object:setpeername(NOWHERE, 80))
  t.returns({ 1 }, object:send("x"))
  fails("timeout", object:receive())
  t.returns({ 1 }, object:send("x"))
end)

t.test("a port of a far host where nothing listens", function()
  fails("connection refused", tcp(5):connect(FAR, 9))
  fails("connection refused", tcp(5):connect("fd78::1", 9))
  fails("connection refused", connect_patiently(tcp(0), FAR, 9))
  local object = t.closing(socket.udp())
  object:settimeout(5)
  object:setpeername(FAR, 9)
  object:send("x")
  fails("connection refused", object:receive())
end)

-- Dead hosts

t.test("a dead host: the timeout, and not much longer", function()
  for _, host in ipairs { DEAD, "fd79::1" } do
    for _, mode in ipairs { "b", "t" } do
      local object = tcp(0.3, mode)
      t.between(t.elapsed(function() fails("timeout", object:connect(host, 80)) end), 0.29, 1)
      t.equal(object.class, "tcp{client}")
      t.ok(object:getfd() >= 0)
    end
  end
end)

t.test("both limits: the shorter one", function()
  local object = tcp(0.2)
  object:settimeout(5, "t")
  t.between(t.elapsed(function() fails("timeout", object:connect(DEAD, 80)) end), 0.19, 1)
  object = tcp(5)
  object:settimeout(0.2, "t")
  t.between(t.elapsed(function() fails("timeout", object:connect(DEAD, 80)) end), 0.19, 1)
end)

t.test("a dead host, without waiting", function()
  local object = tcp(0)
  t.between(t.elapsed(function() fails("timeout", object:connect(DEAD, 80)) end), 0, 0.2)
  t.nothing_selected({ object }, { object }, 0.1)
  fails("Operation already in progress", object:connect(DEAD, 80))
  t.nothing_selected({ object }, { object })
  t.equal(object:getoption("error"), nil)
  t.returns({ 1 }, object:close())
end)

echo_test("after a dead host the object is usable", function()
  local object = tcp(0.1)
  fails("timeout", object:connect(DEAD, 80))
  object:settimeout(5)
  t.returns({ 1 }, object:connect(FAR, PORT))
  object:send("hello\n")
  t.equal(object:receive(), "hello")
end)

t.test("datagrams to a dead host are sent and lost", function()
  local object = t.closing(socket.udp())
  object:settimeout(0.1)
  t.returns({ 1 }, object:sendto("x", DEAD, 80))
  fails("timeout", object:receive())
  t.returns({ 1 }, object:setpeername(DEAD, 80))
  t.returns({ 1 }, object:send("x"))
  fails("timeout", object:receive())
end)

echo_test("a host that comes to life while a connect waits", function()
  forward(false)
  local child = t.start("sh -c 'sleep 0.4; nsenter -t " .. router .. " -n sh -c \"echo 1 > /proc/sys/net/ipv4/ip_forward\"'")
  local client = tcp(8)
  t.between(t.elapsed(function() t.returns({ 1 }, client:connect(FAR, PORT)) end), 0.4, 8)
  client:send("alive\n")
  t.equal(client:receive(), "alive")
  child:read("*a")
end, 15)

t.fix("the timeout in the table of socket.connect", function()
  t.between(t.elapsed(function() fails("timeout", socket.connect(DEAD, 80, { timeout = 0.3 })) end), 0.29, 1)
end)

-- Lost packets

echo_test("lost packets stop a receive, and nothing is lost", function()
  local client = connected()
  client:send("one\ntw")
  t.equal(client:receive(), "one")
  t.equal(client:receive(2), "tw")
  forward(false)
  client:send("o\nthree\n")
  client:settimeout(0.2)
  t.between(t.elapsed(function() t.returns({ n = 3, nil, "timeout", "" }, client:receive()) end), 0.19, 1)
  forward(true)
  client:settimeout(8)
  t.equal(client:receive(), "o")
  t.equal(client:receive(), "three")
end, 15)

echo_test("lost packets stop a send, which goes on where it stopped", function()
  local client = connected()
  local text = t.bytes(20000000)
  forward(false)
  client:settimeout(0.3)
  local last, problem, sent = client:send(text)
  t.equal(last, nil)
  t.equal(problem, "timeout")
  t.between(sent, 1, #text - 1)
  t.nothing_selected(nil, { client }, 0.05)
  forward(true)
  local parts, count = {}, 0
  client:settimeout(0)
  local deadline = socket.gettime() + 20
  while count < #text and socket.gettime() < deadline do
    local readable, writable = socket.select({ client }, sent < #text and { client } or nil, 5)
    if writable[1] then
      local part
      last, problem, part = client:send(text, sent + 1)
      t.ok(last or problem == "timeout", problem)
      sent = last or part
    end
    if readable[1] then
      local data, why, part = client:receive(1000000)
      t.ok(data or why == "timeout", why)
      parts[#parts + 1] = data or part
      count = count + #(data or part)
    end
  end
  t.ok(table.concat(parts) == text)
end, 30)

echo_test("a peer that vanished is told by keepalive", function()
  local client = connected()
  client:setoption("keepalive", true)
  client:setoption("tcp-keepidle", 1)
  client:setoption("tcp-keepintvl", 1)
  client:setoption("tcp-keepcnt", 1)
  client:settimeout()
  forward(false)
  t.between(t.elapsed(function() t.returns({ n = 3, nil, "timeout", "" }, client:receive()) end), 1, 8)
  t.returns({ n = 3, nil, "closed", 0 }, client:send("x"))
end, 15)

echo_test("a link that goes down and up again", function()
  local client = connected()
  client:send("before\n")
  t.equal(client:receive(), "before")
  sh "ip link set near down"
  t.finally(function()
    sh "ip link set near up; ip -6 addr replace fd77::1/64 dev near nodad"
    near_routes()
  end)
  fails("Network is unreachable", tcp(1):connect(FAR, PORT))
  client:settimeout(0.2)
  t.equal(client:send("during\n"), 7)
  t.returns({ n = 3, nil, "timeout", "" }, client:receive())
  sh "ip link set near up; ip -6 addr replace fd77::1/64 dev near nodad"
  near_routes()
  client:settimeout(8)
  t.equal(client:receive(), "during")
end, 20)

echo_test("a slow network that loses every tenth packet", function()
  if select(2, t.shell "tc qdisc add dev near root netem delay 10ms loss 10%") ~= 0 then
    t.skip("the kernel cannot lose packets at random")
  end
  t.finally(function() sh "tc qdisc del dev near root" end)
  local client = connected()
  local text = t.bytes(200000)
  t.equal(client:send(text), #text)
  t.ok(client:receive(#text) == text)
end, 30)

echo_test("datagrams over the router, and into a network that loses them", function()
  local object = t.closing(socket.udp())
  object:settimeout(5)
  local text = t.bytes(20000) -- in fragments
  t.returns({ #text }, object:sendto(text, FAR, PORT))
  t.returns({ text, FAR, PORT }, object:receivefrom(65536))
  forward(false)
  object:settimeout(0.1)
  t.returns({ 3 }, object:sendto("abc", FAR, PORT))
  fails("timeout", object:receive())
end)

echo_test("the wait of select survives lost packets", function()
  local client = connected()
  forward(false)
  client:send("late\n")
  t.nothing_selected({ client }, nil, 0.2)
  forward(true)
  t.readable(client, 8)
  t.equal(client:receive(), "late")
end, 15)

-- Names with several addresses. Those that are dead must not keep the others from being reached.

local MIXED = { "dead6-then-far", "dead-then-far", "nowhere-then-far", "unreachable-then-far", "mostly-dead" }

echo_fix("an address that answers is found among dead ones", function()
  for _, name in ipairs(MIXED) do
    local client = tcp(5)
    t.between(t.elapsed(function() t.equal(client:connect(name, PORT), 1, name) end), 0, 2, name)
    t.equal(client:getpeername(), FAR)
    client:settimeout(5)
    client:send(name .. "\n")
    t.equal(client:receive(), name)
    client:close()
  end
end, 20)

echo_fix("... without any timeout", function()
  for _, name in ipairs(MIXED) do
    t.between(t.elapsed(function()
      local client = t.closing(t.returns(1, socket.connect(name, PORT)))
      t.equal(client:getpeername(), FAR)
    end), 0, 2, name)
  end
end, 20)

echo_fix("... without waiting", function()
  for _, name in ipairs(MIXED) do
    local client = tcp(0)
    t.between(t.elapsed(function() t.equal(connect_patiently(client, name, PORT), 1) end), 0, 3, name)
    t.equal(client:getpeername(), FAR)
    fails("already connected", client:connect(name, PORT))
    t.writable(client)
    client:settimeout(5)
    client:send(name .. "\n")
    t.equal(client:receive(), name)
  end
end, 20)

echo_fix("... while select waits for an object that nobody asks to connect", function()
  local client = tcp(0)
  fails("timeout", client:connect("mostly-dead", PORT))
  t.returns({ {}, { client, [client] = 1 } }, socket.select({ client }, { client }, 5))
  t.equal(connect_patiently(client, "mostly-dead", PORT), 1)
  t.equal(client:getpeername(), FAR)
end)

t.fix("the total limit covers all addresses", function()
  local object = tcp(0.4, "t")
  t.between(t.elapsed(function() fails("timeout", object:connect("all-dead", 80)) end), 0.39, 1)
  object = tcp(0.4)
  object:settimeout(0.4, "t")
  t.between(t.elapsed(function() fails("timeout", object:connect("all-dead", 80)) end), 0.39, 1)
end)

t.fix("waiting for dead addresses uses no processor time", function()
  for _, bound in ipairs { false, true } do
    local object = tcp(0.8)
    if bound then t.returns({ 1 }, object:bind("10.77.0.1", 0)) end
    local before = os.clock()
    fails("timeout", object:connect("all-dead", 80))
    t.between(os.clock() - before, 0, 0.2)
  end
end)

t.fix("no address can be reached: the error", function()
  fails("No route to host", tcp(5):connect("all-nowhere", 80))
  fails("No route to host", socket.connect("all-nowhere", 80))
  fails("No route to host", connect_patiently(tcp(0), "all-nowhere", 80))
end)

echo_fix("the family that is asked for, and no other", function()
  local client = t.closing(t.returns(1, socket.connect4("dead6-then-far", PORT)))
  t.equal(client:getpeername(), FAR)
  client = t.closing(t.returns(1, socket.connect6("far6", PORT)))
  t.equal(client:getpeername(), "fd78::1")
  t.equal(t.closing(socket.connect4("far", PORT)):getpeername(), FAR)
  local nothing, problem = socket.connect6("far", PORT)
  t.equal(nothing, nil)
  t.ok(problem == "host or service not provided, or not known" or problem == "No address associated with hostname", problem)
end)

t.fix("objects that are closed while they connect leave nothing behind", function()
  for _ = 1, 5 do
    local object = tcp(0)
    fails("timeout", object:connect("all-dead", 80))
    socket.select(nil, { object }, 0.3)
    t.returns({ 1 }, object:close())
    t.returns({ -1 }, object:getfd())
  end
  local object = socket.tcp()
  object:settimeout(0)
  object:connect("all-dead", 80)
  socket.sleep(0.1) -- the look-up of the last one ends by itself
end)

t.done()

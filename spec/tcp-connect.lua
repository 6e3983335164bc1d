-- connect: blocking and non-blocking, its failures, hosts and ports. Names with several addresses: names.lua.

local t = require "support"
local socket = require "socket"

local UNKNOWN = "host or service not provided, or not known"
local NO_SERVICE = "service not supported for socket type"
local NO_FAMILY = "Address family for hostname not supported"

local function object(make)
  return t.closing((make or socket.tcp)())
end

-- A listener that answers no more: its queue is full.
local function full_server()
  local server = t.closing(socket.tcp4())
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(0))
  local _, port = server:getsockname()
  for _ = 1, 8 do
    local client = object()
    client:settimeout(0.05)
    if not client:connect("127.0.0.1", port) then return server, port end
  end
  t.skip("the queue of a listener never fills here")
end

-------------------------------------------------------------------------------------------------------------- blocking

t.test("connect returns 1", function()
  local server, port = t.server()
  for _, make in ipairs { socket.tcp, socket.tcp4 } do
    local client = object(make)
    t.returns({ 1 }, client:connect("127.0.0.1", port))
    t.equal(client:getfamily(), "inet4")
    t.returns({ "127.0.0.1", port, "inet" }, client:getpeername())
    t.ok(client:getfd() >= 0)
    local accepted = t.closing(assert(server:accept()))
    t.equal(select(2, accepted:getpeername()), tonumber((select(2, client:getsockname()))))
  end
  t.returns({ 1 }, object():connect("localhost", tostring(port), "surplus"))
end)

t.test("connect over IPv6", function()
  local _, port = t.server("::1")
  for _, make in ipairs { socket.tcp, socket.tcp6 } do
    local client = object(make)
    t.returns({ 1 }, client:connect("::1", port))
    t.equal(client:getfamily(), "inet6")
    t.returns({ "::1", port, "inet6" }, client:getpeername())
  end
end)

t.test("a family that is decided restricts the addresses", function()
  local _, port4 = t.server()
  local _, port6 = t.server("::1")
  t.returns({ nil, NO_FAMILY }, object(socket.tcp4):connect("::1", port6))
  t.returns({ nil, NO_FAMILY }, object(socket.tcp6):connect("127.0.0.1", port4))
  local bound = object()
  assert(bound:bind("127.0.0.1", 0))
  t.returns({ nil, NO_FAMILY }, bound:connect("::1", port6))
  t.returns({ 1 }, bound:connect("127.0.0.1", port4))
end)

t.test("a bound object keeps its local address", function()
  local _, port = t.server()
  local client = object()
  assert(client:bind("127.0.0.2", 0))
  local host, lport = client:getsockname()
  t.returns({ 1 }, client:connect("127.0.0.1", port))
  local now_host, now_port = client:getsockname()
  t.equal(now_host .. ":" .. now_port, host .. ":" .. lport)
end)

t.test("a refused connection, and another try", function()
  local _, port = t.server()
  local client = object()
  t.returns({ nil, "connection refused" }, client:connect("127.0.0.1", t.unused_port()))
  t.equal(client.class, "tcp{client}")
  t.ok(client:getfd() >= 0)
  t.returns({ nil, "closed", "" }, client:receive())
  t.returns({ 1 }, client:connect("127.0.0.1", port))
  t.equal(client:send("x"), 1)
end)

t.test("a refused connection leaves an undecided family undecided", function()
  local _, port = t.server("::1")
  local client = object()
  t.returns({ nil, "connection refused" }, client:connect("127.0.0.1", t.unused_port()))
  t.returns({ 1 }, client:connect("::1", port))
  t.equal(client:getfamily(), "inet6")
end)

t.fix("a decided object can try again", function()
  local _, port = t.server()
  local client = object(socket.tcp4)
  t.returns({ nil, "connection refused" }, client:connect("127.0.0.1", t.unused_port()))
  t.returns({ 1 }, client:connect("127.0.0.1", port))
end)

t.test("a bound object and a network that its address cannot reach", function()
  local client = object(socket.tcp4)
  assert(client:bind("127.0.0.1", 0))
  local result, problem = client:connect("192.0.2.1", 9)
  t.equal(result, nil)
  t.ok(problem == "Invalid argument" or problem == "Network is unreachable" or problem == "No route to host", problem)
end)

t.test("a network that cannot be reached", function()
  local text, status = t.shell("exec unshare -rn " .. t.interpreter() .. " " .. t.quote(t.script [[
    local socket = require "socket"
    print(socket.tcp():connect("192.0.2.1", 80))
    print(socket.connect("192.0.2.1", 80))
  ]]))
  if status ~= 0 then t.skip("the system allows no network of one's own") end
  t.equal(text, string.rep("nil\tNetwork is unreachable\n", 2))
end)

t.test("connect again after close, with the family kept", function()
  local server, port = t.server()
  local _, port6 = t.server("::1")
  local client = object()
  t.returns({ 1 }, client:connect("127.0.0.1", port))
  client:close()
  t.returns({ nil, NO_FAMILY }, client:connect("::1", port6))
  t.returns({ 1 }, client:connect("127.0.0.1", port))
  t.closing(assert(server:accept()))
  local accepted = t.closing(assert(server:accept()))
  client:send("x")
  t.equal(accepted:receive(1), "x")
end)

t.fix("unread input of the last connection is gone after close and connect", function()
  local server, port = t.server()
  local client, accepted = t.pair(server)
  accepted:send("one\nold\n")
  t.equal(client:receive(), "one")
  client:close()
  t.equal(client:dirty(), false)
  t.returns({ 1 }, client:connect("127.0.0.1", port))
  t.equal(client:dirty(), false)
  t.closing(assert(server:accept())):send("new\n")
  t.equal(client:receive(), "new")
end)

t.test("an accepted object is already connected", function()
  local _, accepted = t.pair()
  t.returns({ nil, "already connected" }, accepted:connect("127.0.0.1", t.unused_port()))
  t.equal(accepted:send("x"), 1)
end)

t.fix("a connected object is already connected, at once and always", function()
  local server, port = t.server()
  local client = t.pair(server)
  t.returns({ nil, "already connected" }, client:connect("127.0.0.1", port))
  t.returns({ nil, "already connected" }, client:connect("127.0.0.1", t.unused_port()))
  t.returns({ nil, "already connected" }, client:connect("127.0.0.1", port))
  t.equal(client:send("x"), 1)
end)

---------------------------------------------------------------------------------------------------------- non-blocking

t.test("timeout 0: 'timeout', then select, then 1, then 'already connected'", function()
  local server, port = t.server()
  local client = object()
  client:settimeout(0)
  local result, problem = client:connect("127.0.0.1", port)
  if not result then
    t.equal(problem, "timeout")
    t.writable(client)
    t.returns({ 1 }, client:connect("127.0.0.1", port))
  end
  t.equal(client.class, "tcp{client}")
  t.equal(client:getfamily(), "inet4")
  t.returns({ nil, "already connected" }, client:connect("127.0.0.1", port))
  t.returns({ nil, "already connected" }, client:connect("127.0.0.1", port))
  local accepted = t.closing(assert(server:accept()))
  client:send("x")
  t.equal(accepted:receive(1), "x")
end)

t.test("timeout 0: a refused connection is ready in both lists and tells why", function()
  local port = t.unused_port()
  local client = object()
  client:settimeout(0)
  t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port))
  local readable, writable = socket.select({ client }, { client }, 5)
  t.ok(readable[client])
  t.ok(writable[client])
  t.returns({ nil, "connection refused" }, client:connect("127.0.0.1", port))
end)

t.test("timeout 0: getoption('error') takes the reason of a refused connection", function()
  local port = t.unused_port()
  local client = object()
  client:settimeout(0)
  t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port))
  t.writable(client)
  t.returns({ "connection refused" }, client:getoption("error"))
  t.returns({ n = 1, nil }, client:getoption("error"))
  t.returns({ nil, "closed" }, client:connect("127.0.0.1", port))
end)

t.test("timeout 0: connecting again while it is pending", function()
  local _, port = full_server()
  local client = object()
  client:settimeout(0)
  t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port))
  t.ok(client:getfd() >= 0)
  t.returns({ nil, "Operation already in progress" }, client:connect("127.0.0.1", port))
  t.returns({ nil, "Operation already in progress" }, client:connect("127.0.0.1", port))
  local _, writable = socket.select(nil, { client }, 0)
  t.equal(writable[client], nil)
end)

t.test("a pending connection completes when there is room", function()
  local server, port = full_server()
  local client = object()
  client:settimeout(0)
  t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port))
  server:settimeout(0)
  local deadline = socket.gettime() + 8
  local accepted
  repeat
    accepted = server:accept()
    if accepted then accepted:close() end
    local _, writable = socket.select({ server }, { client }, 0.5)
  until writable[client] or socket.gettime() > deadline
  t.returns({ 1 }, client:connect("127.0.0.1", port))
end)

t.test("a timeout is an upper bound of the wait", function()
  local _, port = full_server()
  local client = object()
  client:settimeout(0.2)
  local took = t.elapsed(function() t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port)) end)
  t.between(took, 0.199, 2)
  t.equal(client.class, "tcp{client}")
  t.ok(client:getfd() >= 0)
  client:settimeout(-1)
  client:settimeout(0.2, "t")
  took = t.elapsed(client.connect, client, "127.0.0.1", port)
  t.between(took, 0.199, 2)
end)

t.test("after a positive timeout the family is still undecided", function()
  local _, port = full_server()
  local _, port6 = t.server("::1")
  local client = object()
  client:settimeout(0.05)
  t.returns({ nil, "timeout" }, client:connect("127.0.0.1", port))
  t.returns({ 1 }, client:connect("::1", port6))
end)

t.test("closing a pending connection", function()
  local _, port = full_server()
  local client = object()
  client:settimeout(0)
  client:connect("127.0.0.1", port)
  t.returns({ 1 }, client:close())
  t.equal(client:getfd(), -1)
  local _, good = t.server()
  client:settimeout(5)
  t.returns({ 1 }, client:connect("127.0.0.1", good))
end)

t.test("send and receive while the connection is pending", function()
  local _, port = full_server()
  local client = object()
  client:settimeout(0)
  t.equal((client:connect("127.0.0.1", port)), nil)
  t.returns({ nil, "timeout", "" }, client:receive())
  t.returns({ nil, "timeout", 0 }, client:send("x"))
end)

------------------------------------------------------------------------------------------------------- hosts and ports

t.test("hosts that are none", function()
  local client = object()
  for _, host in ipairs { "", "[::1]", "http", "1.2.3.4.5", "::1::2", "a b", "127.0.0.1 " } do
    local result, problem = t.returns(2, client:connect(host, 1))
    t.equal(result, nil)
    t.ok(problem == UNKNOWN or problem == "temporary failure in name resolution", host .. ": " .. problem)
  end
end)

t.fix("a NUL in a host is no host", function()
  local _, port = t.server()
  local result, problem = t.returns(2, object():connect("127.0.0.1\0.example", port))
  t.equal(result, nil)
  t.equal(problem, UNKNOWN)
  t.equal((object():connect("127.0.0.1", port .. "\0x")), nil)
  t.equal((object():connect("\0", port)), nil)
end)

t.test("short forms of IPv4 addresses", function()
  local _, port = t.server()
  t.returns({ 1 }, object():connect("127.1", port))
  t.returns({ 1 }, object():connect("2130706433", port))
end)

t.test("services that are none", function()
  for _, port in ipairs { "no such service", "80 ", "0x50", -1, "-1", "1e3", "8o" } do
    local result, problem = t.returns(2, object():connect("127.0.0.1", port))
    t.equal(result, nil)
    t.equal(problem, NO_SERVICE, "port " .. port)
  end
end)

t.test("named services", function()
  local file = io.open("/etc/services")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  if not text:find("\nhttp%s+80/tcp") then t.skip("there is no list of services") end
  local problem = select(2, object():connect("127.0.0.1", "http"))
  t.ok(problem == nil or problem == "connection refused", problem)
end)

t.fix("ports beyond 65535 are none", function()
  local _, port = t.server()
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", port + 65536))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", 65536))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", -65535))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", "4294967376"))
end)

t.fix("a port may be a float with a whole value", function()
  local _, port = t.server()
  t.returns({ 1 }, object():connect("127.0.0.1", port + 0.0))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", port + 0.5))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", 0 / 0))
  t.returns({ nil, NO_SERVICE }, object():connect("127.0.0.1", math.huge))
end)

t.test("connect checks its arguments", function()
  local client = object()
  t.raises("bad argument #1 to 'connect' (string expected, got no value)", function() client:connect() end)
  t.raises("bad argument #1 to 'connect' (string expected, got nil)", function() client:connect(nil, 1) end)
  t.raises("bad argument #2 to 'connect' (string expected, got no value)", function() client:connect("x") end)
  t.raises("bad argument #2 to 'connect' (string expected, got table)", function() client:connect("x", {}) end)
  t.raises("bad argument #1 to 'setpeername' (string expected, got no value)", function() client:setpeername() end)
  t.raises("bad argument #3 to 'connect' (string expected, got nil)", function() client.connect(client, "x", nil) end)
end)

t.done()

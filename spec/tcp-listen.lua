-- bind, listen, accept, and the names of the two ends.

local t = require "support"
local socket = require "socket"

local NO_FAMILY = "Address family for hostname not supported"

local function object(make)
  return t.closing((make or socket.tcp)())
end

-- An object bound to a free port of `host`, and that port.
local function bound(host, make)
  local master = object(make)
  t.returns({ 1 }, master:bind(host, 0))
  return master, (select(2, master:getsockname()))
end

-- The flags of the object's descriptor, as the system has them.
local function flags_of(each)
  local file = io.open("/proc/self/fdinfo/" .. string.format("%d", each:getfd()))
  if not file then t.skip("there is no /proc") end
  local flags = file:read("*a"):match("flags:%s*(%d+)")
  file:close()
  return tonumber(flags, 8)
end

------------------------------------------------------------------------------------------------------------------ bind

t.test("bind gives the object a name", function()
  local master = object()
  t.equal(master:getfd(), -1)
  t.returns({ 1 }, master:bind("127.0.0.1", 0))
  t.ok(master:getfd() >= 0)
  t.equal(master:getfamily(), "inet4")
  local host, port, family = t.returns(3, master:getsockname())
  t.equal(host, "127.0.0.1")
  t.between(tonumber(port), 1, 65535)
  t.equal(family, "inet")
  t.returns({ 1 }, object():bind("localhost", "0"))
end)

t.fix("the port of getsockname is a number", function()
  local master = bound("127.0.0.1")
  t.equal(type((select(2, master:getsockname()))), "number")
end)

t.test("'*' is the wildcard of the family", function()
  local master = bound("*")
  t.equal((master:getsockname()), "0.0.0.0")
  master = bound("*", socket.tcp4)
  t.equal((master:getsockname()), "0.0.0.0")
  master = bound("*", socket.tcp6)
  t.equal((master:getsockname()), "::")
  t.equal(master:getfamily(), "inet6")
end)

t.test("bind decides the family", function()
  local master = bound("::1")
  t.equal(master:getfamily(), "inet6")
  t.returns({ nil, NO_FAMILY }, object(socket.tcp4):bind("::1", 0))
  t.returns({ nil, NO_FAMILY }, object(socket.tcp6):bind("127.0.0.1", 0))
end)

t.test("binding twice", function()
  local master = bound("127.0.0.1")
  local before = t.pack(master:getsockname())
  t.returns({ nil, "Invalid argument" }, master:bind("127.0.0.1", 0))
  t.returns({ nil, NO_FAMILY }, master:bind("::1", 0))
  t.returns(before, master:getsockname())
end)

t.test("bind fails and the object stays usable", function()
  local _, port = t.server()
  local master = object()
  t.returns({ nil, "address already in use" }, master:bind("127.0.0.1", port))
  t.returns({ nil, "Cannot assign requested address" }, master:bind("192.0.2.1", 0))
  t.returns({ nil, "host or service not provided, or not known" }, master:bind("", 0))
  t.returns({ nil, "service not supported for socket type" }, master:bind("127.0.0.1", "no such service"))
  t.returns({ nil, "service not supported for socket type" }, master:bind("127.0.0.1", -1))
  t.equal(master.class, "tcp{master}")
  t.returns({ 1 }, master:bind("127.0.0.1", 0))
  t.returns({ 1 }, master:listen())
end)

t.test("a failed bind keeps an existing descriptor", function()
  local _, port = t.server()
  local master = object(socket.tcp4)
  local fd = master:getfd()
  t.returns({ nil, "address already in use" }, master:bind("127.0.0.1", port))
  t.equal(master:getfd(), fd)
  t.returns({ 1 }, master:bind("127.0.0.1", 0))
  t.equal(master:getfd(), fd)
end)

t.test("a port that needs a privilege", function()
  local dropped = "exec setpriv --bounding-set -net_bind_service --inh-caps -net_bind_service "
  if select(2, t.shell(dropped .. "true")) ~= 0 then dropped = "exec " end
  local text, status = t.shell(dropped .. t.interpreter() .. " " .. t.quote(t.script [[
    local socket = require "socket"
    print(socket.tcp():bind("127.0.0.1", 1))
    print(socket.bind("127.0.0.1", 1))
  ]]))
  t.equal(status, 0, text)
  if text:find("tcp{server}", 1, true) then t.skip("the privilege cannot be dropped") end
  t.equal(text, "nil\tpermission denied\nnil\tpermission denied\n")
end)

t.test("an empty port is any port", function()
  t.returns({ 1 }, object():bind("127.0.0.1", ""))
end)

t.fix("ports beyond 65535, and floats", function()
  t.returns({ nil, "service not supported for socket type" }, object():bind("127.0.0.1", 65536))
  t.returns({ nil, "service not supported for socket type" }, object():bind("127.0.0.1", -65536))
  t.returns({ 1 }, object():bind("127.0.0.1", t.unused_port() + 0.0))
  t.returns({ nil, "service not supported for socket type" }, object():bind("127.0.0.1", 0.5))
end)

t.fix("a NUL in a host is no host", function()
  t.equal((object():bind("127.0.0.1\0", 0)), nil)
  t.equal((object():bind("*\0", 0)), nil)
end)

t.test("bind checks its arguments", function()
  local master = object()
  t.raises("bad argument #1 to 'bind' (string expected, got no value)", function() master:bind() end)
  t.raises("bad argument #2 to 'bind' (string expected, got no value)", function() master:bind("*") end)
  t.raises("bad argument #2 to 'bind' (string expected, got boolean)", function() master:bind("*", true) end)
  t.raises("bad argument #1 to 'setsockname' (string expected, got table)", function() master:setsockname({}, 0) end)
end)

---------------------------------------------------------------------------------------------------------------- listen

t.test("listen takes a backlog of any size", function()
  for _, backlog in ipairs { 0, 1, 5.9, -1, "7", 1000000 } do
    t.returns({ 1 }, bound("127.0.0.1"):listen(backlog))
  end
  t.returns({ 1 }, bound("127.0.0.1"):listen())
  t.returns({ 1 }, bound("127.0.0.1"):listen(nil))
end)

t.test("listen checks its argument", function()
  local master = bound("127.0.0.1")
  t.raises("bad argument #1 to 'listen' (number expected, got string)", function() master:listen("x") end)
  t.raises("bad argument #1 to 'listen' (number expected, got table)", function() master:listen({}) end)
  t.equal(master.class, "tcp{master}")
end)

t.test("listen without a descriptor", function()
  t.returns({ nil, "Bad file descriptor" }, object():listen())
  local master = object(socket.tcp4)
  master:close()
  t.returns({ nil, "Bad file descriptor" }, master:listen())
  t.equal(master.class, "tcp{master}")
end)

t.test("listen on an address that another server has", function()
  local server, port = t.server()
  local master = object(socket.tcp4)
  assert(master:setoption("reuseaddr", true))
  local ok, problem = master:bind("127.0.0.1", port)
  if ok then ok, problem = master:listen() end
  t.returns({ nil, "address already in use" }, ok, problem)
  t.ok(server)
end)

---------------------------------------------------------------------------------------------------------------- accept

t.test("accept gives a client with fresh settings", function()
  local server, port = t.server()
  server:settimeout(3)
  server:settimeout(4, "t")
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  local accepted = t.closing(t.returns(1, server:accept()))
  t.equal(accepted.class, "tcp{client}")
  t.equal(accepted:getfamily(), "inet4")
  t.returns({ -1, -1 }, accepted:gettimeout())
  t.returns({ 0, 0 }, (accepted:getstats()), (select(2, accepted:getstats())))
  t.equal(select(2, accepted:getsockname()), select(2, server:getsockname()))
  t.equal(select(2, accepted:getpeername()), tonumber((select(2, client:getsockname()))))
  t.equal(server.class, "tcp{server}")
end)

t.test("accept of an IPv6 listener", function()
  local server, port = t.server("::1")
  t.closing(assert(socket.connect("::1", port)))
  local accepted = t.closing(t.returns(1, server:accept()))
  t.equal(accepted:getfamily(), "inet6")
  t.equal((accepted:getpeername()), "::1")
end)

t.test("accept times out", function()
  local server = t.server()
  server:settimeout(0)
  t.returns({ nil, "timeout" }, server:accept())
  server:settimeout(0.1)
  t.between(t.elapsed(server.accept, server), 0.099, 2)
  server:settimeout(nil)
  server:settimeout(0.1, "t")
  t.between(t.elapsed(server.accept, server), 0.099, 2)
end)

t.test("accept on a closed server", function()
  local server = t.server()
  server:close()
  t.returns({ nil, "closed" }, server:accept())
  t.equal(server.class, "tcp{server}")
end)

t.test("select reports a waiting connection for reading", function()
  local server, port = t.server()
  t.quiet(server, 0)
  t.closing(assert(socket.connect("127.0.0.1", port)))
  t.readable(server)
  t.equal(server:dirty(), false)
end)

t.test("connections wait in the order of their arrival", function()
  local server, port = t.server()
  local ports = {}
  for i = 1, 5 do
    local client = t.closing(assert(socket.connect("127.0.0.1", port)))
    ports[i] = tonumber((select(2, client:getsockname())))
  end
  for i = 1, 5 do
    local accepted = t.closing(assert(server:accept()))
    t.equal(select(2, accepted:getpeername()), ports[i])
  end
end)

t.test("accept without a free descriptor", function()
  local text, status = t.shell("ulimit -n 16; exec " .. t.interpreter() .. " " .. t.quote(t.script [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local list, client, problem = {}, nil, nil
    local waiting = assert(socket.connect(host, port))
    repeat
      client, problem = socket.tcp4()
      list[#list + 1] = client
    until not client
    io.write(problem, ", ")
    server:settimeout(1)
    io.write(tostring(select(2, server:accept())), ", ", select(2, socket.connect(host, port)), ", ")
    list[1]:close()
    io.write(tostring(server:accept()):sub(1, 11))
  ]]))
  t.equal(text, "Too many open files, Too many open files, Too many open files, tcp{client}")
  t.equal(status, 0)
end)

t.test("descriptors do not block", function()
  local client, accepted = t.pair()
  for _, each in ipairs { client, accepted, t.server(), t.closing(socket.tcp4()) } do
    t.equal(math.floor(flags_of(each) / tonumber("4000", 8)) % 2, 1, "non-blocking")
  end
end)

t.fix("descriptors are not inherited by other programs", function()
  local client, accepted = t.pair()
  local udp = t.closing(socket.udp4())
  local server = t.server()
  for _, each in ipairs { client, accepted, udp, server } do
    t.equal(math.floor(flags_of(each) / tonumber("2000000", 8)) % 2, 1, "close-on-exec")
  end
end)

----------------------------------------------------------------------------------------------------------------- names

t.test("the names of both ends", function()
  local server = t.server()
  local client, accepted = t.pair(server)
  local own = t.pack(t.returns(3, client:getsockname()))
  local peer = t.pack(t.returns(3, accepted:getpeername()))
  t.equal(own[1], peer[1])
  t.equal(tonumber(own[2]), peer[2])
  t.equal(own[3], "inet")
  t.equal(peer[3], "inet")
  t.equal(type(peer[2]), "number")
end)

t.test("names of what has none", function()
  local undecided = object()
  t.returns({ nil, "Bad file descriptor" }, undecided:getsockname())
  t.returns({ nil, "Bad file descriptor" }, undecided:getpeername())
  local unbound = object(socket.tcp4)
  local host, port, family = t.returns(3, unbound:getsockname())
  t.equal(host .. " " .. port .. " " .. family, "0.0.0.0 0 inet")
  t.returns({ nil, "Transport endpoint is not connected" }, unbound:getpeername())
  t.returns({ nil, "Transport endpoint is not connected" }, t.server():getpeername())
end)

t.test("the peer's name outlives an orderly close of the peer", function()
  local client, accepted = t.pair()
  accepted:close()
  t.readable(client)
  t.equal((client:getpeername()), "127.0.0.1")
  t.returns({ nil, "closed", "" }, client:receive())
  t.equal((client:getpeername()), "127.0.0.1")
end)

------------------------------------------------------------------------------------------------------------ dual stack

t.test("IPv6 sockets take IPv4 only when told to", function()
  local only6, port = t.server("::")
  t.returns({ nil, "connection refused" }, socket.connect("127.0.0.1", port))
  only6:close()
  local server = object(socket.tcp6)
  t.returns({ 1 }, server:setoption("ipv6-v6only", false))
  t.returns({ 1 }, server:bind("*", 0))
  t.returns({ 1 }, server:listen())
  port = select(2, server:getsockname())
  t.closing(assert(socket.connect("127.0.0.1", port)))
  t.closing(assert(socket.connect("::1", port)))
  server:settimeout(5)
  local accepted = t.closing(assert(server:accept()))
  local host, _, family = accepted:getpeername()
  t.equal(host, "::ffff:127.0.0.1")
  t.equal(family, "inet6")
  t.equal(accepted:getfamily(), "inet6")
  t.equal((t.closing(assert(server:accept())):getpeername()), "::1")
end)

t.done()

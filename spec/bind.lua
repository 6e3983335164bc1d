-- The shortcuts: bind, connect, connect4, connect6, and how functions of the namespace find each other.

local t = require "support"
local socket = require "socket"

local UNKNOWN = "host or service not provided, or not known"

-- Puts `fn` in the place of list[name] until the test ends.
local function replace(list, name, fn)
  local original = list[name]
  list[name] = fn
  t.finally(function() list[name] = original end)
  return original
end

------------------------------------------------------------------------------------------------------------------ bind

t.test("bind gives a listening server that reuses its address", function()
  local server = t.closing(t.returns(1, socket.bind("127.0.0.1", 0)))
  t.equal(server.class, "tcp{server}")
  t.equal(server:getoption("reuseaddr"), true)
  t.returns({ -1, -1 }, server:gettimeout())
  local host, port, family = server:getsockname()
  t.equal(host, "127.0.0.1")
  t.between(tonumber(port), 1, 65535)
  t.equal(family, "inet")
  t.closing(assert(socket.connect(host, port)))
  t.closing(assert(server:accept()))
end)

t.test("bind to '*' listens on every IPv4 address", function()
  local server = t.server("*")
  local host, port, family = server:getsockname()
  t.equal(host, "0.0.0.0")
  t.equal(family, "inet")
  t.equal(server:getfamily(), "inet4")
  t.closing(assert(socket.connect("127.0.0.1", port)))
end)

t.test("bind to '::' listens on IPv6 only", function()
  local server, port = t.server("::")
  t.equal(server:getfamily(), "inet6")
  t.returns({ "::", 3 }, (server:getsockname()), select("#", server:getsockname()))
  t.closing(assert(socket.connect("::1", port)))
  t.returns({ nil, "connection refused" }, socket.connect("127.0.0.1", port))
end)

t.test("bind takes names, ports as strings and a backlog", function()
  local server = t.closing(assert(socket.bind("localhost", "0", 5)))
  t.ok(server:getsockname())
  t.closing(assert(socket.bind("127.0.0.1", "0", "7")))
  t.closing(assert(socket.bind("127.0.0.1", 0, nil)))
end)

t.test("a port in use", function()
  local _, port = t.server()
  t.returns({ nil, "address already in use" }, socket.bind("127.0.0.1", port))
end)

t.test("an address of another machine", function()
  t.returns({ nil, "Cannot assign requested address" }, socket.bind("192.0.2.1", 0))
end)

t.test("a host that does not exist", function()
  t.returns({ nil, UNKNOWN }, socket.bind("", 0))
  t.returns({ nil, "service not supported for socket type" }, socket.bind("127.0.0.1", "no such service"))
end)

t.test("bind raises for missing and wrong arguments", function()
  t.raises("bad argument #1 to 'getaddrinfo' (string expected, got nil)", function() socket.bind() end)
  t.raises("bad argument #2 to 'bind' (string expected, got nil)", function() socket.bind("127.0.0.1") end)
  t.raises("bad argument #1 to 'listen' (number expected, got string)", function() socket.bind("127.0.0.1", 0, "x") end)
end)

t.test("bind looks up getaddrinfo, tcp4 and tcp6 at every call", function()
  local made = {}
  replace(socket.dns, "getaddrinfo", function(host)
    t.equal(host, "a name")
    return { { addr = "::1", family = "inet6" }, { addr = "127.0.0.1", family = "inet" } }
  end)
  local tcp4 = replace(socket, "tcp4", function() made[#made + 1] = 4 return made.tcp4() end)
  local tcp6 = replace(socket, "tcp6", function() made[#made + 1] = 6 return made.tcp6() end)
  made.tcp4, made.tcp6 = tcp4, tcp6
  local server = t.closing(assert(socket.bind("a name", 0)))
  t.equal(server:getfamily(), "inet6")
  t.same({ made[1], made[2] }, { 6 })
end)

t.test("the first address that works wins, the last error is told", function()
  local list
  replace(socket.dns, "getaddrinfo", function() return list end)
  list = { { addr = "192.0.2.1", family = "inet" }, { addr = "127.0.0.1", family = "inet" } }
  local server = t.closing(assert(socket.bind("a name", 0)))
  t.equal((server:getsockname()), "127.0.0.1")
  local _, port = server:getsockname()
  list = { { addr = "127.0.0.1", family = "inet" }, { addr = "192.0.2.1", family = "inet" } }
  t.returns({ nil, "Cannot assign requested address" }, socket.bind("a name", port))
  list = { { addr = "192.0.2.1", family = "inet" }, { addr = "127.0.0.1", family = "inet" } }
  t.returns({ nil, "address already in use" }, socket.bind("a name", port))
end)

t.test("no address at all, and a failing look-up", function()
  replace(socket.dns, "getaddrinfo", function() return {} end)
  t.returns({ nil, "no info on address" }, socket.bind("a name", 0))
  socket.dns.getaddrinfo = function() return nil, "the reason" end
  t.returns({ nil, "the reason" }, socket.bind("a name", 0))
end)

t.test("an object that cannot be made ends bind at once", function()
  local calls = 0
  replace(socket, "tcp4", function() calls = calls + 1 return nil, "the reason" end)
  replace(socket.dns, "getaddrinfo", function()
    return { { addr = "127.0.0.1", family = "inet" }, { addr = "127.0.0.2", family = "inet" } }
  end)
  t.returns({ nil, "the reason" }, socket.bind("a name", 0))
  t.equal(calls, 1)
end)

--------------------------------------------------------------------------------------------------------------- connect

t.test("connect gives a client", function()
  local _, port = t.server()
  local client = t.closing(t.returns(1, socket.connect("127.0.0.1", port)))
  t.equal(client.class, "tcp{client}")
  t.returns({ -1, -1 }, client:gettimeout())
  t.equal((client:getpeername()), "127.0.0.1")
  t.closing(t.returns(1, socket.connect("127.0.0.1", tostring(port))))
  t.closing(t.returns(1, socket.connect("localhost", port, nil, nil, "inet")))
end)

t.test("connect with a local address", function()
  local _, port = t.server()
  local client = t.closing(assert(socket.connect("127.0.0.1", port, "127.0.0.2")))
  t.equal((client:getsockname()), "127.0.0.2")
  client = t.closing(assert(socket.connect("127.0.0.1", port, "*")))
  t.equal((client:getsockname()), "127.0.0.1")
  local lport = t.unused_port()
  client = t.closing(assert(socket.connect("127.0.0.1", port, "127.0.0.1", lport)))
  t.equal(tonumber((select(2, client:getsockname()))), lport)
end)

t.test("a local port without a local address is ignored", function()
  local server, port = t.server()
  local client = t.closing(assert(socket.connect("127.0.0.1", port, nil, port)))
  t.ok(tonumber((select(2, client:getsockname()))) ~= port)
  t.ok(server)
end)

t.test("failures of connect leave nothing open", function()
  t.returns({ nil, "connection refused" }, socket.connect("127.0.0.1", t.unused_port()))
  t.returns({ nil, UNKNOWN }, socket.connect("", 80))
  t.returns({ nil, "service not supported for socket type" }, socket.connect("127.0.0.1", "no such service"))
end)

t.test("failures of connect with a local address", function()
  local _, port = t.server()
  t.returns({ nil, "Address family for hostname not supported" }, socket.connect("::1", port, "127.0.0.1"))
end)

t.fix("a local address that cannot be had leaves nothing open", function()
  local _, port = t.server()
  t.returns({ nil, "Cannot assign requested address" }, socket.connect("127.0.0.1", port, "192.0.2.1"))
end)

t.test("connect checks its arguments", function()
  t.raises("bad argument #1 to 'connect' (string expected, got no value)", function() socket.connect() end)
  t.raises("bad argument #1 to 'connect' (string expected, got table)", function() socket.connect({}, 1) end)
  t.raises("bad argument #2 to 'connect' (string expected, got no value)", function() socket.connect("127.0.0.1") end)
  t.raises("bad argument #2 to 'connect' (string expected, got boolean)", function() socket.connect("x", true) end)
  t.raises("bad argument #3 to 'connect' (string expected, got boolean)", function() socket.connect("x", 1, true) end)
  t.raises("bad argument #4 to 'connect' (string expected, got table)", function() socket.connect("x", 1, nil, {}) end)
  if not t.lua.jit then -- which takes a word of the wrong type for the default one
    t.raises("bad argument #5 to 'connect' (string expected, got table)", function()
      socket.connect("x", 1, nil, nil, {})
    end)
  end
  t.raises("bad argument #5 to 'connect' (invalid option 'inet4')", function()
    socket.connect("x", 1, nil, nil, "inet4")
  end)
end)

------------------------------------------------------------------------------------------------------ connect4, connect6

t.test("connect4 and connect6 pass their arguments and a family to connect", function()
  local given
  replace(socket, "connect", function(...)
    given = t.pack(...)
    return "result", "more"
  end)
  t.returns({ "result", "more" }, socket.connect4("host", 1, "laddr", 2))
  t.same(given, { n = 5, "host", 1, "laddr", 2, "inet" })
  t.returns({ "result", "more" }, socket.connect6("host", 1))
  t.same(given, { n = 5, "host", 1, nil, nil, "inet6" })
end)

t.test("connect4 and connect6 reach addresses of their family", function()
  local _, port4 = t.server()
  local _, port6 = t.server("::1")
  local client = t.closing(t.returns(1, socket.connect4("127.0.0.1", port4)))
  t.equal(client:getfamily(), "inet4")
  client = t.closing(t.returns(1, socket.connect6("::1", port6)))
  t.equal(client:getfamily(), "inet6")
  client = t.closing(t.returns(1, socket.connect4("127.0.0.1", port4, "127.0.0.1", 0)))
  t.equal((client:getsockname()), "127.0.0.1")
end)

t.fix("connect4 and connect6 try no address of the other family", function()
  local _, port4 = t.server()
  local _, port6 = t.server("::1")
  local NO_FAMILY = "Address family for hostname not supported"
  t.returns({ nil, NO_FAMILY }, socket.connect4("::1", port6))
  t.returns({ nil, NO_FAMILY }, socket.connect6("127.0.0.1", port4))
  t.returns({ nil, NO_FAMILY }, socket.connect("127.0.0.1", port4, nil, nil, "inet6"))
end)

-------------------------------------------------------------------------------------------------- connect with a table

t.fix("connect takes its options in a table", function()
  local _, port = t.server()
  local client = t.closing(t.returns(1, socket.connect("127.0.0.1", port, {
    timeout = 5, laddr = "127.0.0.1", lport = 0, family = "inet", ["tcp-nodelay"] = true, keepalive = true,
  })))
  t.equal(client.class, "tcp{client}")
  t.equal((client:getsockname()), "127.0.0.1")
  t.equal(client:getoption("tcp-nodelay"), true)
  t.equal(client:getoption("keepalive"), true)
  t.equal((client:gettimeout()), 5)
end)

t.fix("an empty table of options changes nothing", function()
  local _, port = t.server()
  local client = t.closing(t.returns(1, socket.connect("127.0.0.1", port, {})))
  t.equal(client:getoption("tcp-nodelay"), false)
  t.returns({ -1, -1 }, client:gettimeout())
end)

t.fix("the family in the table restricts the addresses", function()
  local _, port = t.server()
  t.returns({ nil, "Address family for hostname not supported" }, socket.connect("127.0.0.1", port, { family = "inet6" }))
end)

t.fix("the timeout in the table covers the connect", function()
  -- A listener whose queue is full answers no further connection attempt.
  local server = t.closing(socket.tcp4())
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(0))
  local host, port = server:getsockname()
  local result, problem
  local took = t.elapsed(function()
    for _ = 1, 8 do
      result, problem = socket.connect(host, port, { timeout = 0.3 })
      if not result then return end
      t.closing(result)
    end
  end)
  t.returns({ nil, "timeout" }, result, problem)
  t.between(took, 0.29, 5)
end)

t.fix("unknown options and wrong values in the table raise", function()
  t.raises({ match = "unsupported option `no%-such'" }, function() socket.connect("127.0.0.1", 1, { ["no-such"] = true }) end)
  t.raises({ match = "number expected, got boolean" }, function() socket.connect("127.0.0.1", 1, { timeout = true }) end)
  t.raises({ match = "invalid option 'inet4'" }, function() socket.connect("127.0.0.1", 1, { family = "inet4" }) end)
end)

t.fix("options in place of the backlog", function()
  local server = t.closing(assert(socket.bind("127.0.0.1", 0, { backlog = 5 })))
  local _, port = server:getsockname()
  t.returns({ nil, "address already in use" }, socket.bind("127.0.0.1", port, {}))
  server = t.closing(assert(socket.bind("127.0.0.1", 0, { reuseport = true })))
  _, port = server:getsockname()
  t.equal(server:getoption "reuseport", true)
  t.closing(assert(socket.bind("127.0.0.1", port, { reuseport = true, backlog = 5 })))
  t.returns({ nil, "address already in use" }, socket.bind("127.0.0.1", port))
  t.raises("bad argument #1 to 'listen' (number expected, got string)", function()
    socket.bind("127.0.0.1", 0, { backlog = "x" })
  end)
end)

t.done()

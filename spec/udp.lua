-- UDP objects: kinds, classes, names and peers. Data: udp-datagrams.lua; options: udp-options.lua.

local t = require "support"
local socket = require "socket"

local METHODS = {
  "close", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname", "gettimeout", "receive",
  "receivefrom", "send", "sendto", "setfd", "setoption", "setpeername", "setsockname", "settimeout",
}

local NONAME = "host or service not provided, or not known"
local SERVICE = "service not supported for socket type"
local FAMILY = "Address family for hostname not supported"

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function udp()
  return t.closing(socket.udp())
end

local function bound(address)
  local object = udp()
  t.returns({ 1 }, object:setsockname(address or "127.0.0.1", 0))
  local _, port = object:getsockname()
  return object, tonumber(port)
end

local function connected()
  local _, port = bound()
  local object = udp()
  t.returns({ 1 }, object:setpeername("127.0.0.1", port))
  return object, port
end

local function needs_ipv6()
  local object = socket.udp6()
  local usable = object and object:setsockname("::1", 0)
  if object then object:close() end
  if not usable then t.skip("this machine has no IPv6") end
end

-- Constructors

t.test("udp makes one object without a descriptor", function()
  local object = t.closing(t.returns(1, socket.udp()))
  t.equal(object.class, "udp{unconnected}")
  t.returns({ -1 }, object:getfd())
  t.returns({ "inet4" }, object:getfamily())
  t.returns({ -1, -1 }, object:gettimeout())
  fails("Bad file descriptor", object:getsockname())
end)

t.test("udp4 makes an object with a descriptor", function()
  local object = t.closing(t.returns(1, socket.udp4()))
  t.equal(object.class, "udp{unconnected}")
  t.ok(object:getfd() >= 0)
  t.returns({ "inet4" }, object:getfamily())
  t.returns({ -1, -1 }, object:gettimeout())
  local address, _, family = t.returns(3, object:getsockname())
  t.equal(address, "0.0.0.0")
  t.equal(family, "inet")
end)

t.test("udp6 makes an object with a descriptor for IPv6 only", function()
  needs_ipv6()
  local object = t.closing(t.returns(1, socket.udp6()))
  t.equal(object.class, "udp{unconnected}")
  t.ok(object:getfd() >= 0)
  t.returns({ "inet6" }, object:getfamily())
  t.returns({ true }, object:getoption("ipv6-v6only"))
  local address, _, family = t.returns(3, object:getsockname())
  t.equal(address, "::")
  t.equal(family, "inet6")
end)

t.test("constructors ignore arguments", function()
  t.equal(t.closing(socket.udp(1, "x", {})).class, "udp{unconnected}")
  t.equal(t.closing(socket.udp4(false)).class, "udp{unconnected}")
end)

t.fix("numbers that are integral are integers", function()
  if not t.lua.integers then t.skip("this Lua has no integers") end
  local object, port = bound()
  t.equal(math.type(object:getfd()), "integer")
  t.equal(math.type(select(2, object:getsockname())), "integer")
  t.equal(math.type(object:settimeout(5)), "integer")
  t.equal(math.type(object:sendto("abc", "127.0.0.1", port)), "integer")
  t.equal(math.type(object:getoption("recv-buffer-size")), "integer")
end)

-- Metadata

t.test("both classes have every method and no other of a stream", function()
  for _, object in ipairs { (bound()), (connected()) } do
    for _, name in ipairs(METHODS) do t.equal(type(object[name]), "function", name) end
    for _, name in ipairs { "bind", "connect", "getstats", "setstats", "shutdown", "accept", "listen" } do
      t.equal(object[name], nil, name)
    end
  end
end)

t.test("metatables have the layout that programs look into", function()
  local one, two = bound(), connected()
  for object, class in pairs { [one] = "udp{unconnected}", [two] = "udp{connected}" } do
    local meta = getmetatable(object)
    t.equal(type(object), "userdata")
    t.equal(object.class, class)
    t.equal(meta.__index.class, class)
    t.equal(type(meta.__index), "table")
    t.equal(type(meta.__gc), "function")
    t.match(tostring(object), "^" .. class:gsub("[{}]", "%%%0") .. ": ")
    if t.lua.number >= 503 then t.equal(meta.__name, class) end
  end
  t.ok(getmetatable(one).__index ~= getmetatable(two).__index)
end)

t.test("objects share their metatable, and a patched method is seen by all", function()
  local one, two = bound(), bound()
  local methods = getmetatable(one).__index
  t.equal(getmetatable(two), getmetatable(one))
  local original = methods.dirty
  t.finally(function() methods.dirty = original end)
  methods.dirty = function() return "patched" end
  t.equal(two:dirty(), "patched")
end)

t.test("unknown fields are nil and fields cannot be set", function()
  local object = udp()
  t.equal(object.nothing, nil)
  t.raises({ match = "attempt to index" }, function() object.field = 1 end)
end)

t.test("a class change keeps the object", function()
  local object, port = bound()
  local names, text = { [object] = "kept" }, tostring(object)
  object:setpeername("127.0.0.1", port)
  t.equal(names[object], "kept")
  t.equal(tostring(object), (text:gsub("unconnected", "connected")))
end)

t.test("a collected object is closed", function()
  -- The harness counts the descriptors after a full collection.
  for _ = 1, 20 do socket.udp4():setsockname("127.0.0.1", 0) end
end)

-- Which class may call what

t.test("methods of the other class raise", function()
  local one, two = bound(), connected()
  t.raises("calling 'send' on bad self (udp{connected} expected)", function() one:send("x") end)
  t.raises("calling 'getpeername' on bad self (udp{connected} expected)", function() one:getpeername() end)
  t.raises("calling 'sendto' on bad self (udp{unconnected} expected)", function() two:sendto("x", "127.0.0.1", 9) end)
  t.raises("calling 'receivefrom' on bad self (udp{unconnected} expected)", function() two:receivefrom() end)
  t.raises("calling 'setsockname' on bad self (udp{unconnected} expected)", function() two:setsockname("*", 0) end)
end)

t.test("methods raise for anything but a UDP object", function()
  local object, stream = udp(), t.closing(socket.tcp())
  for _, name in ipairs { "close", "dirty", "getfamily", "getfd", "getoption", "getsockname", "gettimeout", "receive",
    "setfd", "setoption", "setpeername", "settimeout" } do
    local method = object[name]
    t.raises({ match = "bad argument #1 to '.*' %(udp{any} expected%)$" }, method, stream)
    t.raises({ match = "bad argument #1 to '.*' %(udp{any} expected%)$" }, method, {})
    t.raises({ match = "bad argument #1 to '.*' %(udp{any} expected%)$" }, method)
  end
end)

t.test("both classes may call the rest", function()
  for _, object in ipairs { (bound()), (connected()) } do
    object:settimeout(0)
    fails("timeout", object:receive())
    t.returns({ false }, object:dirty())
    t.returns({ "inet4" }, object:getfamily())
    t.returns({ nil, n = 1 }, object:getoption("error"))
    t.returns({ 1 }, object:setoption("broadcast", true))
    t.returns(3, object:getsockname())
    t.returns({ 0, -1 }, object:gettimeout())
  end
end)

-- setsockname

t.test("setsockname binds and getsockname gives address, port and family", function()
  local object = udp()
  t.returns({ 1 }, object:setsockname("127.0.0.1", 0))
  local address, port, family = t.returns(3, object:getsockname())
  t.equal(address, "127.0.0.1")
  t.between(tonumber(port), 1, 65535)
  t.equal(family, "inet")
  t.equal(object.class, "udp{unconnected}")
end)

t.fix("getsockname gives the port as a number", function()
  t.equal(type(select(2, bound():getsockname())), "number")
end)

t.test("setsockname takes ports as strings", function()
  local first, port = bound()
  first:close()
  local object = udp()
  t.returns({ 1 }, object:setsockname("127.0.0.1", tostring(port)))
  t.equal(tonumber((select(2, object:getsockname()))), port)
end)

t.test("setsockname resolves names", function()
  local object = udp()
  t.returns({ 1 }, object:setsockname("localhost", 0))
  t.match((object:getsockname()), "^[%d.:]+$")
end)

t.test("the star is the wildcard of the family", function()
  local object = udp()
  t.returns({ 1 }, object:setsockname("*", 0))
  t.equal(object:getsockname(), "0.0.0.0")
  needs_ipv6()
  local six = t.closing(socket.udp6())
  t.returns({ 1 }, six:setsockname("*", 0))
  t.equal(six:getsockname(), "::")
end)

t.test("setsockname tells why it failed", function()
  local object, port = bound()
  fails("Invalid argument", object:setsockname("127.0.0.1", 0))
  fails("address already in use", udp():setsockname("127.0.0.1", port))
  fails("Cannot assign requested address", udp():setsockname("192.0.2.1", 0))
  fails(NONAME, udp():setsockname("", 0))
  fails(SERVICE, udp():setsockname("127.0.0.1", "no-such-service"))
  fails(SERVICE, udp():setsockname("127.0.0.1", -1))
end)

t.test("setsockname does not leave the family of the object", function()
  fails(FAMILY, t.closing(socket.udp4()):setsockname("::1", 0))
  needs_ipv6()
  fails(FAMILY, t.closing(socket.udp6()):setsockname("127.0.0.1", 0))
end)

t.test("after a failed setsockname the object is usable", function()
  local object = udp()
  fails("Cannot assign requested address", object:setsockname("192.0.2.1", 0))
  t.returns({ 1 }, object:setsockname("127.0.0.1", 0))
end)

t.test("setsockname sets no reuseaddr", function()
  t.returns({ false }, bound():getoption("reuseaddr"))
end)

t.test("setsockname raises for missing arguments", function()
  local object = udp()
  t.raises("bad argument #1 to 'setsockname' (string expected, got no value)", function() object:setsockname() end)
  t.raises("bad argument #2 to 'setsockname' (string expected, got no value)", function() object:setsockname("*") end)
  t.raises("bad argument #2 to 'setsockname' (string expected, got table)", function() object:setsockname("*", {}) end)
  t.raises("bad argument #1 to 'setsockname' (string expected, got boolean)", function() object:setsockname(true, 1) end)
end)

t.fix("ports are numbers from 0 to 65535, integral floats included", function()
  fails(SERVICE, udp():setsockname("127.0.0.1", 65536))
  fails(SERVICE, udp():setpeername("127.0.0.1", 70000))
  local first, port = bound()
  first:close()
  local object = udp()
  t.returns({ 1 }, object:setsockname("127.0.0.1", port + 0.0))
  t.returns({ 1 }, udp():setpeername("127.0.0.1", port + 0.0))
end)

t.fix("a NUL in a host is no end of it", function()
  t.returns({ n = 2, nil, NONAME }, udp():setsockname("127.0.0.1\0x", 0))
  t.returns({ n = 2, nil, NONAME }, udp():setpeername("127.0.0.1\0x", 9))
  t.equal(udp():sendto("x", "127.0.0.1\0x", 9), nil)
end)

-- setpeername

t.test("setpeername connects and getpeername gives address, port and family", function()
  local _, port = bound()
  local object = udp()
  t.returns({ 1 }, object:setpeername("127.0.0.1", port))
  t.equal(object.class, "udp{connected}")
  t.returns({ "127.0.0.1", port, "inet" }, object:getpeername())
  t.equal(type(select(2, object:getpeername())), "number")
  t.equal(object:getsockname(), "127.0.0.1")
end)

t.test("setpeername resolves names and services", function()
  local object = udp()
  t.returns({ 1 }, object:setpeername("localhost", "domain"))
  t.equal(select(2, object:getpeername()), 53)
end)

t.test("setpeername again changes the peer", function()
  local object, first = connected()
  local _, second = bound()
  t.returns({ "127.0.0.1", first, "inet" }, object:getpeername())
  t.returns({ 1 }, object:setpeername("127.0.0.1", second))
  t.equal(object.class, "udp{connected}")
  t.returns({ "127.0.0.1", second, "inet" }, object:getpeername())
end)

t.test("a failed setpeername changes no class", function()
  local object = udp()
  fails(NONAME, object:setpeername("", 9))
  t.equal(object.class, "udp{unconnected}")
  fails(SERVICE, object:setpeername("127.0.0.1", "no-such-service"))
  t.equal(object.class, "udp{unconnected}")
  local other, port = connected()
  fails(NONAME, other:setpeername("", 9))
  t.equal(other.class, "udp{connected}")
  t.returns({ "127.0.0.1", port, "inet" }, other:getpeername())
end)

t.test("setpeername with a star disconnects", function()
  local object = connected()
  t.returns({ 1 }, object:setpeername("*"))
  t.equal(object.class, "udp{unconnected}")
  t.raises("calling 'getpeername' on bad self (udp{connected} expected)", function() object:getpeername() end)
  t.returns({ 1 }, object:setpeername("*", 5))
  t.returns({ 1 }, object:setpeername("*", {}))
  t.equal(object.class, "udp{unconnected}")
end)

t.test("a port that the system chose is given up by disconnecting", function()
  local object = connected()
  t.ok(tonumber((select(2, object:getsockname()))) > 0)
  object:setpeername("*")
  local address, port = object:getsockname()
  t.equal(address, "0.0.0.0")
  t.equal(tonumber(port), 0)
end)

t.test("a port that was asked for survives disconnecting", function()
  local first, port = bound()
  first:close()
  local object = udp()
  object:setsockname("127.0.0.1", port)
  object:setpeername("127.0.0.1", port)
  object:setpeername("*")
  t.equal(tonumber((select(2, object:getsockname()))), port)
end)

t.test("disconnecting an undecided, unconnected or closed object gives 1", function()
  local undecided = udp()
  t.returns({ 1 }, undecided:setpeername("*"))
  t.equal(undecided.class, "udp{unconnected}")
  t.returns({ 1 }, bound():setpeername("*"))
  local closed = connected()
  closed:close()
  t.equal(closed.class, "udp{connected}")
  t.returns({ 1 }, closed:setpeername("*"))
  t.equal(closed.class, "udp{unconnected}")
end)

t.test("setpeername raises for missing arguments", function()
  local object = udp()
  t.raises("bad argument #1 to 'setpeername' (string expected, got no value)", function() object:setpeername() end)
  t.raises("bad argument #2 to 'setpeername' (string expected, got no value)",
    function() object:setpeername("127.0.0.1") end)
  t.equal(object.class, "udp{unconnected}")
end)

t.test("an undecided object takes the family of its first address", function()
  needs_ipv6()
  local six = udp()
  t.returns({ 1 }, six:setsockname("::1", 0))
  t.returns({ "inet6" }, six:getfamily())
  t.returns({ true }, six:getoption("ipv6-v6only"))
  local _, port = six:getsockname()
  local peer = udp()
  t.returns({ 1 }, peer:setpeername("::1", port))
  t.returns({ "inet6" }, peer:getfamily())
  t.returns({ "::1", tonumber(port), "inet6" }, peer:getpeername())
  local sender = udp()
  t.returns({ 1 }, sender:sendto("x", "::1", port))
  t.returns({ "inet6" }, sender:getfamily())
  t.returns({ true }, sender:getoption("ipv6-v6only"))
end)

t.test("an object bound to one family gets no peer of the other", function()
  fails(FAMILY, bound():setpeername("::1", 9))
  needs_ipv6()
  fails(FAMILY, bound("::1"):setpeername("127.0.0.1", 9))
end)

-- Descriptors

t.test("setfd gives no result and moves the descriptor", function()
  local one, port = bound()
  local two = udp()
  two:setfd(one:getfd())
  t.returns(0, one:setfd(socket._SOCKETINVALID))
  t.returns({ -1 }, one:getfd())
  t.equal(tonumber((select(2, two:getsockname()))), port)
  t.raises("bad argument #1 to 'setfd' (number expected, got no value)", function() one:setfd() end)
end)

t.test("settimeout takes both limits and gettimeout gives both", function()
  local object = udp()
  t.returns({ 1 }, object:settimeout(2))
  t.returns({ 1 }, object:settimeout(3, "t"))
  t.returns({ 2, 3 }, object:gettimeout())
  t.returns({ 1 }, object:settimeout())
  t.returns({ -1, 3 }, object:gettimeout())
  t.raises("bad argument #2 to 'settimeout' (invalid timeout mode)", function() object:settimeout(1, "x") end)
end)

-- Closing

t.test("close gives 1, again and again, and keeps the class", function()
  for _, object in ipairs { udp(), (bound()), (connected()) } do
    local class = object.class
    t.returns({ 1 }, object:close())
    t.returns({ 1 }, object:close())
    t.equal(object.class, class)
    t.returns({ -1 }, object:getfd())
    t.returns({ false }, object:dirty())
    t.returns({ "inet4" }, object:getfamily())
    t.returns({ 1 }, object:settimeout(0))
    fails("Bad file descriptor", object:getsockname())
    fails("getsockopt failed", object:getoption("reuseaddr"))
    t.match(tostring(object), "^udp{")
  end
end)

t.test("a closed object refuses to send", function()
  local one = bound()
  one:close()
  fails("refused", one:sendto("x", "127.0.0.1", 9))
  local two = connected()
  two:close()
  fails("refused", two:send("x"))
  fails("Bad file descriptor", two:getpeername())
end)

t.fix("a closed or fresh object has nothing to receive", function()
  fails("closed", udp():receive())
  fails("closed", udp():receivefrom())
  local one, two = bound(), connected()
  one:close()
  two:close()
  fails("closed", one:receive())
  fails("closed", one:receivefrom())
  fails("closed", two:receive())
end)

t.fix("options set before the descriptor exists are remembered", function()
  local object = udp()
  t.returns({ 1 }, object:setoption("reuseaddr", true))
  t.returns({ 1 }, object:setoption("broadcast", true))
  fails("getsockopt failed", object:getoption("broadcast"))
  object:setsockname("127.0.0.1", 0)
  t.returns({ true }, object:getoption("reuseaddr"))
  t.returns({ true }, object:getoption("broadcast"))
end)

t.done()

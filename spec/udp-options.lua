-- Options of UDP objects, multicast included. The groups live on the loopback interface.

local t = require "support"
local socket = require "socket"

local GROUP, GROUP6 = "239.255.70.71", "ff12::7071"
local LOOPBACK = 1 -- the index of the loopback interface on Linux

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function refuses_set(object, name, value)
  fails("setsockopt failed", object:setoption(name, value))
end

local function udp4()
  return t.closing(assert(socket.udp4()))
end

local function udp6()
  local object = socket.udp6()
  local usable = object and object:setsockname("::1", 0)
  if object then object:close() end
  if not usable then t.skip("this machine has no IPv6") end
  return t.closing(socket.udp6())
end

-- A boolean option can be set and read back, starting with `default`.
local function check_boolean(object, name, default)
  t.returns({ default }, object:getoption(name))
  for _, value in ipairs { true, false, true } do
    t.returns({ 1 }, object:setoption(name, value))
    t.returns({ value }, object:getoption(name))
  end
end

local function check_rejects(object, name)
  t.raises("bad argument #2 to 'setoption' (boolean expected, got no value)", function() object:setoption(name) end)
  t.raises("bad argument #2 to 'setoption' (boolean expected, got nil)", function() object:setoption(name, nil) end)
  t.raises("bad argument #2 to 'setoption' (boolean expected, got number)", function() object:setoption(name, 1) end)
  t.raises("bad argument #2 to 'setoption' (boolean expected, got string)",
    function() object:setoption(name, "true") end)
end

-- Booleans

for name, default in pairs { dontroute = false, broadcast = false, reuseaddr = false, reuseport = false } do
  t.test("option " .. name, function()
    check_boolean(udp4(), name, default)
    check_boolean(udp6(), name, default)
    check_rejects(udp4(), name)
  end)
end

t.test("option ip-multicast-loop", function()
  check_boolean(udp4(), "ip-multicast-loop", true)
  check_rejects(udp4(), "ip-multicast-loop")
end)

t.test("option ipv6-multicast-loop", function()
  check_boolean(udp6(), "ipv6-multicast-loop", true)
  check_rejects(udp6(), "ipv6-multicast-loop")
end)

t.test("option ipv6-v6only", function()
  check_boolean(udp6(), "ipv6-v6only", true)
  check_rejects(udp6(), "ipv6-v6only")
  local bound = udp6()
  bound:setsockname("::1", 0)
  refuses_set(bound, "ipv6-v6only", false)
end)

t.test("without ipv6-v6only an object takes both families", function()
  local object = udp6()
  object:setoption("ipv6-v6only", false)
  t.returns({ 1 }, object:setsockname("*", 0))
  local _, port = object:getsockname()
  object:settimeout(5)
  local sender = udp4()
  sender:setsockname("127.0.0.1", 0)
  local _, from = sender:getsockname()
  sender:sendto("four", "127.0.0.1", port)
  t.returns({ "four", "::ffff:127.0.0.1", tonumber(from) }, object:receivefrom())
end)

t.test("two objects share a port with reuseaddr", function()
  local one, two = udp4(), udp4()
  one:setoption("reuseaddr", true)
  two:setoption("reuseaddr", true)
  one:setsockname("127.0.0.1", 0)
  local _, port = one:getsockname()
  t.returns({ 1 }, two:setsockname("127.0.0.1", port))
end)

-- Numbers

t.test("buffer sizes", function()
  for _, name in ipairs { "recv-buffer-size", "send-buffer-size" } do
    local object = udp4()
    t.ok(object:getoption(name) > 0)
    t.returns({ 1 }, object:setoption(name, 20000))
    t.between(t.returns(1, object:getoption(name)), 20000, 40000)
    t.returns({ 1 }, object:setoption(name, "30000"))
    t.between(object:getoption(name), 30000, 60000)
  end
end)

t.test("option ip-multicast-ttl", function()
  local object = udp4()
  t.returns({ 1 }, object:setoption("ip-multicast-ttl", 1))
  t.returns({ 1 }, object:setoption("ip-multicast-ttl", 255))
  refuses_set(object, "ip-multicast-ttl", 256)
end)

t.fix("option ip-multicast-ttl can be read", function()
  local object = udp4()
  t.returns({ 1 }, object:getoption("ip-multicast-ttl"))
  object:setoption("ip-multicast-ttl", 7)
  t.returns({ 7 }, object:getoption("ip-multicast-ttl"))
end)

t.test("option ipv6-unicast-hops", function()
  local object = udp6()
  t.ok(t.returns(1, object:getoption("ipv6-unicast-hops")) > 0)
  t.returns({ 1 }, object:setoption("ipv6-unicast-hops", 7))
  t.returns({ 7 }, object:getoption("ipv6-unicast-hops"))
  refuses_set(object, "ipv6-unicast-hops", 300)
  t.returns({ 7 }, object:getoption("ipv6-unicast-hops"))
end)

t.test("option ipv6-multicast-hops", function()
  local object = udp6()
  t.returns({ 1 }, object:setoption("ipv6-multicast-hops", 9))
  t.returns({ 9 }, object:getoption("ipv6-multicast-hops"))
  refuses_set(object, "ipv6-multicast-hops", 300)
end)

t.fix("option ipv6-multicast-hops is another than ipv6-unicast-hops", function()
  local object = udp6()
  t.returns({ 1 }, object:getoption("ipv6-multicast-hops"))
  object:setoption("ipv6-unicast-hops", 7)
  object:setoption("ipv6-multicast-hops", 9)
  t.returns({ 7 }, object:getoption("ipv6-unicast-hops"))
  t.returns({ 9 }, object:getoption("ipv6-multicast-hops"))
end)

t.fix("numeric options take numbers only", function()
  for _, name in ipairs { "recv-buffer-size", "send-buffer-size", "ip-multicast-ttl" } do
    local object = udp4()
    t.raises("bad argument #2 to 'setoption' (number expected, got no value)", function() object:setoption(name) end)
    t.raises("bad argument #2 to 'setoption' (number expected, got boolean)",
      function() object:setoption(name, true) end)
    t.raises("bad argument #2 to 'setoption' (number expected, got string)",
      function() object:setoption(name, "many") end)
  end
  local object = udp6()
  for _, name in ipairs { "ipv6-unicast-hops", "ipv6-multicast-hops" } do
    t.raises("bad argument #2 to 'setoption' (number expected, got nil)", function() object:setoption(name, nil) end)
  end
end)

-- ip-multicast-if

t.test("option ip-multicast-if", function()
  local object = udp4()
  t.returns({ "0.0.0.0" }, object:getoption("ip-multicast-if"))
  t.returns({ 1 }, object:setoption("ip-multicast-if", "127.0.0.1"))
  t.returns({ "127.0.0.1" }, object:getoption("ip-multicast-if"))
  t.returns({ 1 }, object:setoption("ip-multicast-if", "*"))
  t.returns({ "0.0.0.0" }, object:getoption("ip-multicast-if"))
  refuses_set(object, "ip-multicast-if", "192.0.2.77")
  t.raises("bad argument #2 to 'setoption' (ip expected)", function() object:setoption("ip-multicast-if", "lo") end)
  t.raises("bad argument #2 to 'setoption' (ip expected)", function() object:setoption("ip-multicast-if", "::1") end)
  t.raises("bad argument #2 to 'setoption' (string expected, got no value)",
    function() object:setoption("ip-multicast-if") end)
end)

-- IPv4 groups

t.test("joining and leaving a group", function()
  local object = udp4()
  for _, interface in ipairs { "127.0.0.1", "*" } do
    local membership = { multiaddr = GROUP, interface = interface }
    local joined = object:setoption("ip-add-membership", membership)
    if interface == "*" and not joined then t.skip("this machine has no route to groups") end
    t.equal(joined, 1)
    refuses_set(object, "ip-add-membership", membership)
    t.returns({ 1 }, object:setoption("ip-drop-membership", membership))
    refuses_set(object, "ip-drop-membership", membership)
  end
end)

t.test("an address that is no group cannot be joined", function()
  refuses_set(udp4(), "ip-add-membership", { multiaddr = "10.1.2.3", interface = "127.0.0.1" })
  refuses_set(udp4(), "ip-add-membership", { multiaddr = GROUP, interface = "192.0.2.77" })
end)

t.test("a datagram to a group reaches its members", function()
  local member, sender = udp4(), udp4()
  t.returns({ 1 }, member:setsockname("*", 0))
  local _, port = member:getsockname()
  t.returns({ 1 }, member:setoption("ip-add-membership", { multiaddr = GROUP, interface = "127.0.0.1" }))
  t.returns({ 1 }, sender:setoption("ip-multicast-if", "127.0.0.1"))
  t.returns({ 5 }, sender:sendto("group", GROUP, port))
  member:settimeout(5)
  local data, from = member:receivefrom()
  t.equal(data, "group")
  t.equal(from, "127.0.0.1")
  t.returns({ 1 }, member:setoption("ip-drop-membership", { multiaddr = GROUP, interface = "127.0.0.1" }))
end)

-- What is wrong with an IPv4 membership, in the order of the checks: text of the error, membership.
local WRONG = {
  { "table expected, got nil", nil },
  { "table expected, got string", GROUP },
  { "string 'multiaddr' field expected", {} },
  { "string 'multiaddr' field expected", { interface = "*" } },
  { "string 'multiaddr' field expected", { multiaddr = {}, interface = "nonsense" } },
  { "string 'multiaddr' field expected", { multiaddr = true, interface = "*" } },
  { "invalid 'multiaddr' ip address", { multiaddr = "nonsense" } },
  { "invalid 'multiaddr' ip address", { multiaddr = "nonsense", interface = "nonsense" } },
  { "invalid 'multiaddr' ip address", { multiaddr = "ff02::1", interface = "*" } },
  { "string 'interface' field expected", { multiaddr = GROUP } },
  { "string 'interface' field expected", { multiaddr = GROUP, interface = {} } },
  { "string 'interface' field expected", { multiaddr = GROUP, interface = false } },
  { "invalid 'interface' ip address", { multiaddr = GROUP, interface = "nonsense" } },
  { "invalid 'interface' ip address", { multiaddr = GROUP, interface = "" } },
}

t.test("wrong IPv4 memberships raise", function()
  local object = udp4()
  for _, name in ipairs { "ip-add-membership", "ip-drop-membership" } do
    for _, case in ipairs(WRONG) do
      t.raises("bad argument #2 to 'setoption' (" .. case[1] .. ")", function() object:setoption(name, case[2]) end)
      t.raises({ match = "^bad argument #3 to '.*' %(" .. case[1] .. "%)$" }, object.setoption, object, name, case[2])
    end
    t.raises("bad argument #2 to 'setoption' (table expected, got no value)", function() object:setoption(name) end)
  end
end)

-- IPv6 groups

t.test("joining and leaving an IPv6 group", function()
  local object = udp6()
  for _, interface in ipairs { LOOPBACK, tostring(LOOPBACK) } do
    local membership = { multiaddr = GROUP6, interface = interface }
    t.returns({ 1 }, object:setoption("ipv6-add-membership", membership))
    refuses_set(object, "ipv6-add-membership", membership)
    t.returns({ 1 }, object:setoption("ipv6-drop-membership", membership))
    refuses_set(object, "ipv6-drop-membership", membership)
  end
  refuses_set(object, "ipv6-add-membership", { multiaddr = GROUP6, interface = 999999 })
  refuses_set(object, "ipv6-add-membership", { multiaddr = "fd00::1", interface = LOOPBACK })
end)

t.test("an IPv6 group needs no interface", function()
  local object = udp6()
  if not object:setoption("ipv6-add-membership", { multiaddr = GROUP6 }) then
    t.skip("this machine has no route to IPv6 groups")
  end
  t.returns({ 1 }, object:setoption("ipv6-drop-membership", { multiaddr = GROUP6 }))
end)

t.fix("an IPv6 membership may name its interface", function()
  local object = udp6()
  t.returns({ 1 }, object:setoption("ipv6-add-membership", { multiaddr = GROUP6, interface = "lo" }))
  refuses_set(object, "ipv6-add-membership", { multiaddr = GROUP6, interface = LOOPBACK })
  t.returns({ 1 }, object:setoption("ipv6-drop-membership", { multiaddr = GROUP6, interface = "lo" }))
end)

local WRONG6 = {
  { "table expected, got nil", nil },
  { "table expected, got number", 6 },
  { "string 'multiaddr' field expected", {} },
  { "string 'multiaddr' field expected", { multiaddr = {} } },
  { "string 'multiaddr' field expected", { multiaddr = {}, interface = {} } },
  { "invalid 'multiaddr' ip address", { multiaddr = "nonsense" } },
  { "invalid 'multiaddr' ip address", { multiaddr = "nonsense", interface = {} } },
  { "invalid 'multiaddr' ip address", { multiaddr = GROUP } },
}

t.test("wrong IPv6 memberships raise", function()
  local object = udp6()
  for _, name in ipairs { "ipv6-add-membership", "ipv6-drop-membership" } do
    for _, case in ipairs(WRONG6) do
      t.raises("bad argument #2 to 'setoption' (" .. case[1] .. ")", function() object:setoption(name, case[2]) end)
    end
    t.raises({ match = "%(number 'interface' field expected%)$" },
      function() object:setoption(name, { multiaddr = GROUP6, interface = {} }) end)
  end
end)

t.fix("a wrong IPv6 interface is blamed on the value", function()
  local object = udp6()
  t.raises("bad argument #2 to 'setoption' (number 'interface' field expected)",
    function() object:setoption("ipv6-add-membership", { multiaddr = GROUP6, interface = {} }) end)
  t.raises({ match = "^bad argument #3 to '.*' %(number 'interface' field expected%)$" }, object.setoption, object,
    "ipv6-drop-membership", { multiaddr = GROUP6, interface = true })
end)

-- Families and names

t.test("IPv6 options need an IPv6 object", function()
  local object = udp4()
  for _, name in ipairs { "ipv6-v6only", "ipv6-multicast-loop" } do
    refuses_set(object, name, true)
    fails("getsockopt failed", object:getoption(name))
  end
  for _, name in ipairs { "ipv6-unicast-hops", "ipv6-multicast-hops" } do
    refuses_set(object, name, 5)
    fails("getsockopt failed", object:getoption(name))
  end
  refuses_set(object, "ipv6-add-membership", { multiaddr = GROUP6, interface = LOOPBACK })
  refuses_set(object, "ipv6-drop-membership", { multiaddr = GROUP6, interface = LOOPBACK })
end)

t.test("without a descriptor nothing can be read", function()
  local object = t.closing(socket.udp())
  for _, name in ipairs { "broadcast", "ip-multicast-if", "recv-buffer-size", "error" } do
    fails("getsockopt failed", object:getoption(name))
  end
end)

t.test("option error is nil when there is none", function()
  t.returns({ n = 1, nil }, udp4():getoption("error"))
end)

t.test("unknown options raise", function()
  local object = udp4()
  t.raises("bad argument #1 to 'getoption' (unsupported option `nothing')", function() object:getoption("nothing") end)
  t.raises("bad argument #1 to 'setoption' (unsupported option `nothing')",
    function() object:setoption("nothing", true) end)
  t.raises("bad argument #1 to 'setoption' (unsupported option `error')", function() object:setoption("error", 1) end)
  t.raises("bad argument #1 to 'setoption' (unsupported option `')", function() object:setoption("", 1) end)
  t.raises("bad argument #1 to 'getoption' (unsupported option `" .. ("x"):rep(35) .. "')",
    function() object:getoption(("x"):rep(50)) end)
  for _, name in ipairs { "ip-add-membership", "ip-drop-membership", "ipv6-add-membership", "ipv6-drop-membership",
    "keepalive", "linger", "tcp-nodelay" } do
    t.raises("bad argument #1 to 'getoption' (unsupported option `" .. name .. "')",
      function() object:getoption(name) end)
  end
  for _, name in ipairs { "keepalive", "linger", "tcp-nodelay", "bindtodevice" } do
    t.raises("bad argument #1 to 'setoption' (unsupported option `" .. name .. "')",
      function() object:setoption(name, true) end)
  end
end)

t.test("a missing option name raises", function()
  local object = udp4()
  t.raises("bad argument #1 to 'getoption' (string expected, got no value)", function() object:getoption() end)
  t.raises("bad argument #1 to 'setoption' (string expected, got no value)", function() object:setoption() end)
  t.raises("bad argument #1 to 'setoption' (string expected, got table)", function() object:setoption({}, true) end)
end)

t.done()

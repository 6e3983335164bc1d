-- Groups over a network of two hosts, which is the file's own: this process and a child on the other end of a cable.

local t = require "support"
local socket = require "socket"

t.isolate {}

local GROUP, GROUP6 = "239.255.70.71", "ff12::7071"
local far = t.hosts(1)

local function sh(command)
  local output, status = t.shell(command)
  if status ~= 0 then error(command .. ": " .. output, 0) end
  return output
end

sh("ip link add near type veth peer name far netns " .. far)
sh [[ip addr add 10.77.0.1/24 dev near; ip addr add fd77::1/64 dev near nodad; ip link set near up
  ip route add 224.0.0.0/4 dev near]]
sh("nsenter -t " .. far .. " -n sh -c 'ip link set lo up; ip addr add 10.77.0.2/24 dev far; " ..
  "ip addr add fd77::2/64 dev far nodad; ip link set far up; ip route add 224.0.0.0/4 dev far'")
local NEAR = tonumber(sh("ip -o link show near"):match("^(%d+):"))

-- A member of a group on the far host, which tells what it hears and from where, and answers.
local MEMBER = [[
  local socket = require "socket"
  local make, option, group, interface = ...
  local object = socket[make]()
  assert(object:setsockname("*", 0))
  assert(object:setoption(option, { multiaddr = group, interface = interface ~= "none" and interface or nil }))
  print((select(2, object:getsockname())))
  while true do
    local data, host, port = object:receivefrom()
    print(data, host)
    object:sendto(data:upper(), host, port)
  end
]]

local function member(...)
  local words = { "nsenter", "-t", far, "-n", t.interpreter(), t.quote(t.script(MEMBER)), ... }
  local pipe = t.start(table.concat(words, " "))
  return pipe, tonumber((assert(pipe:read("*l"), "the member does not start")))
end

local function sender(make)
  local object = t.closing(socket[make]())
  object:settimeout(2)
  return object
end

t.test("a group reaches another host", function()
  local pipe, port = member("udp4", "ip-add-membership", GROUP, "10.77.0.2")
  local object = sender("udp4")
  t.returns({ 1 }, object:setoption("ip-multicast-if", "10.77.0.1"))
  t.returns({ 5 }, object:sendto("hello", GROUP, port))
  t.equal(pipe:read("*l"), "hello\t10.77.0.1")
  local data, host = object:receivefrom()
  t.equal(data, "HELLO")
  t.equal(host, "10.77.0.2")
end)

t.test("a group that was joined on the default interface", function()
  local pipe, port = member("udp4", "ip-add-membership", GROUP, "'*'")
  local object = sender("udp4")
  object:sendto("hello", GROUP, port)
  t.equal(pipe:read("*l"), "hello\t10.77.0.1")
end)

t.test("a connected object sends to a group", function()
  local pipe, port = member("udp4", "ip-add-membership", GROUP, "10.77.0.2")
  local object = sender("udp4")
  t.returns({ 1 }, object:setpeername(GROUP, port))
  t.returns({ 5 }, object:send("hello"))
  t.equal(pipe:read("*l"), "hello\t10.77.0.1")
end)

t.test("a group of IPv6 reaches another host", function()
  local pipe, port = member("udp6", "ipv6-add-membership", GROUP6, "none")
  local object = sender("udp6")
  t.returns({ 5 }, object:sendto("hello", GROUP6 .. "%near", port))
  t.match(pipe:read("*l"), "^hello\tf")
  local data, host = object:receivefrom()
  t.equal(data, "HELLO")
  t.match(host, "^f")
end)

-- Members on this host

local function local_member(make, option, membership)
  local object = t.closing(socket[make]())
  object:settimeout(2)
  assert(object:setsockname("*", 0))
  t.returns({ 1 }, object:setoption(option, membership))
  local _, port = object:getsockname()
  return object, tonumber(port)
end

local function silent(object)
  object:settimeout(0.1)
  t.returns({ n = 2, nil, "timeout" }, object:receivefrom())
  object:settimeout(2)
end

t.test("ip-multicast-loop decides whether this host hears", function()
  local one, port = local_member("udp4", "ip-add-membership", { multiaddr = GROUP, interface = "10.77.0.1" })
  local object = sender("udp4")
  object:setoption("ip-multicast-if", "10.77.0.1")
  object:sendto("heard", GROUP, port)
  t.equal(one:receive(), "heard")
  t.returns({ 1 }, object:setoption("ip-multicast-loop", false))
  object:sendto("silence", GROUP, port)
  silent(one)
end)

t.test("ipv6-multicast-loop decides whether this host hears", function()
  local one, port = local_member("udp6", "ipv6-add-membership", { multiaddr = GROUP6, interface = NEAR })
  local object = sender("udp6")
  object:sendto("heard", GROUP6 .. "%near", port)
  t.equal(one:receive(), "heard")
  t.returns({ 1 }, object:setoption("ipv6-multicast-loop", false))
  object:sendto("silence", GROUP6 .. "%near", port)
  silent(one)
end)

t.test("a group that was left is silent", function()
  local membership = { multiaddr = GROUP, interface = "10.77.0.1" }
  local one, port = local_member("udp4", "ip-add-membership", membership)
  local object = sender("udp4")
  object:setoption("ip-multicast-if", "10.77.0.1")
  t.returns({ 1 }, one:setoption("ip-drop-membership", membership))
  object:sendto("silence", GROUP, port)
  silent(one)
  local six, port6 = local_member("udp6", "ipv6-add-membership", { multiaddr = GROUP6, interface = NEAR })
  object = sender("udp6")
  t.returns({ 1 }, six:setoption("ipv6-drop-membership", { multiaddr = GROUP6, interface = NEAR }))
  object:sendto("silence", GROUP6 .. "%near", port6)
  silent(six)
end)

t.fix("an IPv6 group is joined on an interface by its name", function()
  local one, port = local_member("udp6", "ipv6-add-membership", { multiaddr = GROUP6, interface = "near" })
  sender("udp6"):sendto("heard", GROUP6 .. "%near", port)
  t.equal(one:receive(), "heard")
end)

-- Linux looks at the limit of hops only when this host is a member, too.

t.test("with ip-multicast-ttl 0 nothing leaves this host", function()
  local_member("udp4", "ip-add-membership", { multiaddr = GROUP, interface = "10.77.0.1" })
  local pipe, port = member("udp4", "ip-add-membership", GROUP, "10.77.0.2")
  local object = sender("udp4")
  object:setoption("ip-multicast-if", "10.77.0.1")
  t.returns({ 1 }, object:setoption("ip-multicast-ttl", 0))
  object:sendto("silence", GROUP, port)
  t.returns({ 1 }, object:setoption("ip-multicast-ttl", 1))
  object:sendto("heard", GROUP, port)
  t.equal(pipe:read("*l"), "heard\t10.77.0.1")
end)

t.fix("with ipv6-multicast-hops 0 nothing leaves this host, whatever ipv6-unicast-hops says", function()
  local_member("udp6", "ipv6-add-membership", { multiaddr = GROUP6, interface = NEAR })
  local pipe, port = member("udp6", "ipv6-add-membership", GROUP6, "none")
  local object = sender("udp6")
  t.returns({ 1 }, object:setoption("ipv6-multicast-hops", 0))
  t.returns({ 1 }, object:setoption("ipv6-unicast-hops", 9))
  object:sendto("silence", GROUP6 .. "%near", port)
  t.returns({ 1 }, object:setoption("ipv6-multicast-hops", 1))
  t.returns({ 9 }, object:getoption("ipv6-unicast-hops"))
  object:sendto("heard", GROUP6 .. "%near", port)
  t.match(pipe:read("*l"), "^heard\t")
end)

t.test("a broadcast reaches another host", function()
  local object = sender("udp4")
  local pipe, port = member("udp4", "ip-add-membership", GROUP, "10.77.0.2")
  t.returns({ n = 2, nil, "permission denied" }, object:sendto("hello", "10.77.0.255", port))
  t.returns({ 1 }, object:setoption("broadcast", true))
  t.returns({ 5 }, object:sendto("hello", "10.77.0.255", port))
  t.equal(pipe:read("*l"), "hello\t10.77.0.1")
end)

t.done()

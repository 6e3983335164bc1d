-- UDP objects: what is sent and what is received. Kinds and names: udp.lua.

local t = require "support"
local socket = require "socket"

local NONAME = "Name or service not known" -- the resolver's raw text, not the library's
local LARGEST = 65507

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function udp()
  return t.closing(socket.udp())
end

-- An object bound to a free port, with a timeout so that a lost datagram fails the test.
local function bound(address)
  local object = udp()
  t.returns({ 1 }, object:setsockname(address or "127.0.0.1", 0))
  object:settimeout(5)
  local _, port = object:getsockname()
  return object, tonumber(port)
end

-- An object whose peer's port is closed.
local function refused()
  local object = udp()
  object:settimeout(5)
  local peer, port = bound()
  assert(object:setpeername("127.0.0.1", port))
  peer:close()
  return object
end

-- The datagram that refused a sender is delivered by the time select tells of it.
local function provoke(object)
  t.returns({ 1 }, object:send("x"))
  t.readable(object)
end

-- sendto and receivefrom

t.test("sendto gives the length, receivefrom the datagram, address and port", function()
  local one, from = bound()
  local two, to = bound()
  t.returns({ 5 }, one:sendto("hello", "127.0.0.1", to))
  t.returns({ "hello", "127.0.0.1", from }, two:receivefrom())
  t.returns({ 5 }, one:sendto("again", "127.0.0.1", tostring(to)))
  t.returns({ "again" }, two:receive())
end)

t.test("receivefrom gives the port as an integer", function()
  local one, port = bound()
  one:sendto("x", "127.0.0.1", port)
  local _, _, from = one:receivefrom()
  t.equal(from, port)
  if t.lua.integers then t.equal(math.type(from), "integer") end
end)

t.test("all bytes pass, and numbers are sent as text", function()
  local one, port = bound()
  local all = t.bytes(256)
  t.returns({ 256 }, one:sendto(all, "127.0.0.1", port))
  t.returns({ all }, one:receive())
  t.returns({ 2 }, one:sendto(42, "127.0.0.1", port))
  t.returns({ "42" }, one:receive())
end)

t.test("datagrams keep their bounds and their order", function()
  local one, port = bound()
  for _, text in ipairs { "one", "", "three", "\n", "five" } do one:sendto(text, "127.0.0.1", port) end
  for _, text in ipairs { "one", "", "three", "\n", "five" } do t.returns({ text }, one:receive()) end
  one:settimeout(0)
  fails("timeout", one:receive())
end)

t.test("an empty datagram is a datagram", function()
  local one, port = bound()
  t.returns({ 0 }, one:sendto("", "127.0.0.1", port))
  t.returns({ "", "127.0.0.1", port }, one:receivefrom())
  local a, b = t.datagrams()
  b:settimeout(5)
  t.returns({ 0 }, a:send(""))
  t.returns({ "" }, b:receive())
end)

t.test("the first sendto decides the family and binds", function()
  local _, port = bound()
  local sender = udp()
  t.returns({ -1 }, sender:getfd())
  t.returns({ 1 }, sender:sendto("x", "127.0.0.1", port))
  t.ok(sender:getfd() >= 0)
  t.ok(tonumber((select(2, sender:getsockname()))) > 0)
  fails("Invalid argument", sender:setsockname("127.0.0.1", 0))
end)

t.test("datagrams over IPv6", function()
  local one = socket.udp6()
  local usable = one and one:setsockname("::1", 0)
  if one then one:close() end
  if not usable then t.skip("this machine has no IPv6") end
  local receiver, port = bound("::1")
  local sender, from = bound("::1")
  t.returns({ 3 }, sender:sendto("six", "::1", port))
  t.returns({ "six", "::1", from }, receiver:receivefrom())
end)

-- sendto: where to

t.test("sendto resolves nothing", function()
  local object = udp()
  fails(NONAME, object:sendto("x", "localhost", 9))
  fails(NONAME, object:sendto("x", "", 9))
  fails(NONAME, object:sendto("x", "127.0.0.1", "echo"))
  fails("Servname not supported for ai_socktype", object:sendto("x", "127.0.0.1", -1))
  t.equal(object.class, "udp{unconnected}")
end)

t.test("sendto does not leave the family of the object", function()
  fails("Address family for hostname not supported", t.closing(socket.udp4()):sendto("x", "::1", 9))
  local six = socket.udp6()
  if not six then t.skip("this machine has no IPv6") end
  fails("Address family for hostname not supported", t.closing(six):sendto("x", "127.0.0.1", 9))
end)

t.test("port 0 is no destination", function()
  fails("Invalid argument", udp():sendto("x", "127.0.0.1", 0))
end)

t.fix("ports of sendto are numbers from 0 to 65535, integral floats included", function()
  local one, port = bound()
  t.equal(one:sendto("x", "127.0.0.1", 65536 + port), nil)
  t.returns({ 1 }, one:sendto("x", "127.0.0.1", port + 0.0))
  t.returns({ "x" }, one:receive())
  one:settimeout(0)
  fails("timeout", one:receive())
end)

t.test("a broadcast needs the option", function()
  local object = udp()
  fails("permission denied", object:sendto("x", "255.255.255.255", 9))
end)

t.test("sendto raises for missing and wrong arguments", function()
  local object = udp()
  t.raises("bad argument #1 to 'sendto' (string expected, got no value)", function() object:sendto() end)
  t.raises("bad argument #2 to 'sendto' (string expected, got no value)", function() object:sendto("x") end)
  t.raises("bad argument #3 to 'sendto' (string expected, got no value)",
    function() object:sendto("x", "127.0.0.1") end)
  t.raises("bad argument #1 to 'sendto' (string expected, got table)", function() object:sendto({}, "127.0.0.1", 9) end)
  t.raises("bad argument #2 to 'sendto' (string expected, got nil)", function() object:sendto("x", nil, 9) end)
  t.raises("bad argument #3 to 'sendto' (string expected, got boolean)",
    function() object:sendto("x", "127.0.0.1", true) end)
  t.returns({ -1 }, object:getfd())
end)

-- send

t.test("send gives the length", function()
  local a, b = t.datagrams()
  b:settimeout(5)
  t.returns({ 4 }, a:send("ping"))
  t.returns({ "ping" }, b:receive())
  t.returns({ 1 }, b:send(5))
  a:settimeout(5)
  t.returns({ "5" }, a:receive())
  t.raises("bad argument #1 to 'send' (string expected, got no value)", function() a:send() end)
end)

t.test("a connected object hears only its peer", function()
  local a, b = t.datagrams()
  local _, port = a:getsockname()
  local stranger = bound()
  t.returns({ 1 }, stranger:sendto("s", "127.0.0.1", port))
  t.returns({ 1 }, b:send("p"))
  a:settimeout(5)
  t.returns({ "p" }, a:receive())
  a:settimeout(0)
  fails("timeout", a:receive())
end)

t.test("after disconnecting it hears everyone", function()
  local a = t.datagrams()
  a:setpeername("*")
  a:setsockname("127.0.0.1", 0)
  local _, port = a:getsockname()
  local stranger, from = bound()
  stranger:sendto("s", "127.0.0.1", port)
  a:settimeout(5)
  t.returns({ "s", "127.0.0.1", from }, a:receivefrom())
end)

-- Sizes

t.test("the largest datagram passes, one byte more does not", function()
  local one, port = bound()
  local text = t.bytes(LARGEST)
  t.returns({ LARGEST }, one:sendto(text, "127.0.0.1", port))
  t.returns({ text }, one:receive(65536))
  fails("Message too long", one:sendto(text .. "x", "127.0.0.1", port))
  local a = t.datagrams()
  fails("Message too long", a:send(text .. "x"))
end)

t.test("a datagram of 8192 bytes is received whole without asking", function()
  local one, port = bound()
  local text = t.bytes(socket._DATAGRAMSIZE)
  t.equal(#text, 8192)
  one:sendto(text, "127.0.0.1", port)
  t.returns({ text }, one:receive())
  one:sendto(text, "127.0.0.1", port)
  t.returns({ text, "127.0.0.1", port }, one:receivefrom())
end)

t.fix("a datagram of any size is received whole without asking", function()
  local one, port = bound()
  local text = t.bytes(LARGEST)
  one:sendto(text, "127.0.0.1", port)
  t.returns({ text }, one:receive())
  one:sendto(text, "127.0.0.1", port)
  t.returns({ text, "127.0.0.1", port }, one:receivefrom())
end)

t.test("what does not fit is cut off and lost", function()
  local one, port = bound()
  for _ = 1, 4 do one:sendto("abcdef", "127.0.0.1", port) end
  t.returns({ "abc" }, one:receive(3))
  t.returns({ "abcd", "127.0.0.1", port }, one:receivefrom(4))
  t.returns({ "abcdef" }, one:receive(6))
  t.returns({ "abcdef" }, one:receive(100))
  one:settimeout(0)
  fails("timeout", one:receive())
end)

t.test("sizes are numbers, fractions dropped, or text of numbers", function()
  local one, port = bound()
  for _ = 1, 3 do one:sendto("abcdef", "127.0.0.1", port) end
  t.returns({ "ab" }, one:receive(2.9))
  t.returns({ "abc" }, one:receive("3"))
  t.returns({ "a", "127.0.0.1", port }, one:receivefrom(1.5))
  t.raises("bad argument #1 to 'receive' (number expected, got string)", function() one:receive("*l") end)
  t.raises("bad argument #1 to 'receive' (number expected, got table)", function() one:receive({}) end)
  t.raises("bad argument #1 to 'receivefrom' (number expected, got string)", function() one:receivefrom("*a") end)
end)

t.test("receive(nil) is receive()", function()
  local one, port = bound()
  one:sendto("abc", "127.0.0.1", port)
  t.returns({ "abc" }, one:receive(nil))
end)

t.test("receive(0) takes one datagram away", function()
  local one, port = bound()
  one:sendto("first", "127.0.0.1", port)
  one:sendto("second", "127.0.0.1", port)
  one:sendto("third", "127.0.0.1", port)
  t.returns({ "" }, one:receive(0))
  t.returns({ "", "127.0.0.1", port }, one:receivefrom(0))
  t.returns({ "third" }, one:receive())
  one:settimeout(0)
  fails("timeout", one:receive(0))
end)

t.test("sizes that cannot be had are out of memory", function()
  local one = bound()
  fails("out of memory", one:receive(-1))
  fails("out of memory", one:receivefrom(-1))
  fails("out of memory", one:receive(2 ^ 50))
  fails("out of memory", one:receivefrom(2 ^ 50))
end)

-- Timeouts

t.test("receive and receivefrom time out with two results", function()
  local one = bound()
  for _, timeout in ipairs { 0, 0.05 } do
    one:settimeout(timeout)
    fails("timeout", one:receive())
    fails("timeout", one:receive(10))
    fails("timeout", one:receivefrom())
  end
  one:settimeout()
  one:settimeout(0.05, "t")
  fails("timeout", one:receive())
end)

t.test("a timeout is waited for, and not much longer", function()
  local one = bound()
  one:settimeout(0.2)
  t.between(t.elapsed(function() fails("timeout", one:receive()) end), 0.19, 1.5)
  t.between(t.elapsed(function() fails("timeout", one:receivefrom()) end), 0.19, 1.5)
end)

t.test("a datagram that is there is received with timeout 0", function()
  local one, port = bound()
  one:settimeout(0)
  one:sendto("x", "127.0.0.1", port)
  t.returns({ "x" }, one:receive())
end)

t.test("a waiting receive is woken by a datagram", function()
  local one, port = bound()
  local child = t.spawn([[
    local socket = require "socket"
    socket.sleep(0.2)
    assert(socket.udp():sendto("late", "127.0.0.1", ...))
  ]], port)
  t.returns({ "late" }, one:receive())
  t.equal(select(2, child:finish()), 0)
end)

-- Refusals

t.test("a refused datagram is told once by receive", function()
  local object = refused()
  provoke(object)
  fails("connection refused", object:receive())
  object:settimeout(0)
  fails("timeout", object:receive())
end)

t.test("a refused datagram is told once by send", function()
  local object = refused()
  provoke(object)
  fails("connection refused", object:send("y"))
  t.returns({ n = 1, nil }, object:getoption("error"))
  provoke(object)
end)

t.test("a refused datagram is told once by the error option", function()
  local object = refused()
  provoke(object)
  t.returns({ "connection refused" }, object:getoption("error"))
  t.returns({ n = 1, nil }, object:getoption("error"))
  object:settimeout(0)
  fails("timeout", object:receive())
end)

t.test("after a refusal the object is usable", function()
  local object = refused()
  provoke(object)
  fails("connection refused", object:receive())
  local peer, port = bound()
  t.returns({ 1 }, object:setpeername("127.0.0.1", port))
  t.returns({ 4 }, object:send("well"))
  t.returns({ "well" }, peer:receive())
end)

t.test("an unconnected object hears of no refusal", function()
  local object = bound()
  t.returns({ 1 }, object:sendto("x", "127.0.0.1", t.unused_port()))
  t.quiet(object, 0.05)
  object:settimeout(0)
  fails("timeout", object:receive())
end)

-- select

t.test("a queued datagram makes an object readable until it is taken", function()
  local one, port = bound()
  t.quiet(one, 0)
  one:sendto("", "127.0.0.1", port)
  t.readable(one)
  t.readable(one)
  t.returns({ "" }, one:receive())
  t.quiet(one, 0)
  t.writable(one)
end)

t.test("a receiver that is slow loses datagrams, not their bounds", function()
  local one, port = bound()
  local sender = udp()
  local text = t.bytes(1000)
  for i = 1, 2000 do t.returns({ 1004 }, sender:sendto(string.format("%04d", i) .. text, "127.0.0.1", port)) end
  one:settimeout(0)
  local last, count = 0, 0
  for data in function() return (one:receive()) end do
    local number = tonumber(data:sub(1, 4))
    t.ok(number > last)
    t.equal(data:sub(5), text)
    last, count = number, count + 1
  end
  t.ok(count > 10)
end)

t.done()

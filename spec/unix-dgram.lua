-- Unix-domain datagram objects. The module and streams: unix-stream.lua.

local t = require "support"
local socket = require "socket"
local unix = require "socket.unix"

local METHODS = {
  "bind", "close", "connect", "dirty", "getfd", "getsockname", "gettimeout", "receive", "receivefrom", "send", "sendto",
  "setfd", "setoption", "setpeername", "setsockname", "settimeout",
}

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function dgram()
  return t.closing(unix.dgram())
end

local function bound()
  local object, path = dgram(), t.fresh_path()
  t.returns({ 1 }, object:bind(path))
  object:settimeout(5)
  return object, path
end

local function connected()
  local receiver, path = bound()
  local object = dgram()
  t.returns({ 1 }, object:connect(path))
  object:settimeout(5)
  return object, receiver, path
end

-- Sends until the receiver's queue is full; returns the number of datagrams.
local function fill(send)
  for count = 0, 100000 do
    local sent, problem = send()
    if not sent then
      t.equal(problem, "timeout")
      return count
    end
  end
  t.fail("the queue has no end")
end

-- Kinds

t.test("dgram makes one object with a descriptor", function()
  local object = t.closing(t.returns(1, unix.dgram()))
  t.equal(object.class, "unixdgram{unconnected}")
  t.ok(object:getfd() >= 0)
  t.returns({ "" }, object:getsockname())
  t.returns({ -1, -1 }, object:gettimeout())
  t.returns({ false }, object:dirty())
  t.equal(t.closing(unix.dgram(1, {})).class, "unixdgram{unconnected}")
  t.equal(t.closing(unix.udp()).class, "unixdgram{unconnected}")
end)

t.test("both classes have every method", function()
  for class, object in pairs { unconnected = dgram(), connected = (connected()) } do
    for _, name in ipairs(METHODS) do t.equal(type(object[name]), "function", name) end
    for _, name in ipairs { "accept", "listen", "shutdown", "getstats" } do t.equal(object[name], nil, name) end
    local meta = getmetatable(object)
    t.equal(object.class, "unixdgram{" .. class .. "}")
    t.equal(meta.__index.class, object.class)
    t.equal(type(meta.__gc), "function")
    t.match(tostring(object), "^unixdgram{" .. class .. "}: ")
    if t.lua.number >= 503 then t.equal(meta.__name, object.class) end
  end
end)

t.test("a collected object is closed", function()
  for _ = 1, 20 do unix.dgram() end
end)

t.test("methods of the other class raise", function()
  local one, two = dgram(), (connected())
  t.raises("calling 'send' on bad self (unixdgram{connected} expected)", function() one:send("x") end)
  t.raises("calling 'sendto' on bad self (unixdgram{unconnected} expected)", function() two:sendto("x", "/x") end)
  t.raises("calling 'receivefrom' on bad self (unixdgram{unconnected} expected)", function() two:receivefrom() end)
  t.raises("calling 'bind' on bad self (unixdgram{unconnected} expected)", function() two:bind("/x") end)
  t.raises("calling 'setsockname' on bad self (unixdgram{unconnected} expected)", function() two:setsockname("/x") end)
end)

t.test("methods raise for anything but a Unix datagram object", function()
  local object, other = dgram(), t.closing(unix.stream())
  for _, name in ipairs { "close", "connect", "dirty", "getfd", "getsockname", "gettimeout", "receive", "setfd",
    "setoption", "setpeername", "settimeout" } do
    t.raises({ match = "%(unixdgram{any} expected%)$" }, object[name], other)
    t.raises({ match = "%(unixdgram{any} expected%)$" }, object[name], "x")
  end
end)

-- Names

t.test("bind gives a path, which getsockname tells", function()
  local object, path = bound()
  t.returns({ path }, object:getsockname())
  t.equal(object.class, "unixdgram{unconnected}")
  local other, another = dgram(), t.fresh_path()
  t.returns({ 1 }, other:setsockname(another))
  t.returns({ another }, other:getsockname())
end)

t.test("bind tells why it failed, and closes", function()
  local _, path = bound()
  local object = dgram()
  fails("address already in use", object:bind(path))
  t.returns({ -1 }, object:getfd())
  t.equal(object.class, "unixdgram{unconnected}")
  fails("Bad file descriptor", object:bind(t.fresh_path()))
  fails("No such file or directory", dgram():bind("/tmp/no such directory/socket"))
  fails("Invalid argument", bound():bind(t.fresh_path()))
  object = dgram()
  fails("path too long", object:bind(("x"):rep(108)))
  t.ok(object:getfd() >= 0)
end)

t.test("connect tells why it failed, and closes", function()
  local object = dgram()
  fails("No such file or directory", object:connect(t.fresh_path()))
  t.returns({ -1 }, object:getfd())
  t.equal(object.class, "unixdgram{unconnected}")
  fails("closed", object:connect(t.fresh_path()))
  local stale, path = bound()
  stale:close()
  object = dgram()
  fails("connection refused", object:connect(path))
  t.returns({ -1 }, object:getfd())
  object = dgram()
  fails("path too long", object:connect(("x"):rep(108)))
  t.ok(object:getfd() >= 0)
end)

t.test("a connected object may change its peer, and keeps its class when it fails", function()
  local object, first = connected()
  local second, path = bound()
  object:send("first")
  t.returns({ 1 }, object:setpeername(path))
  object:send("second")
  t.returns({ "first" }, first:receive())
  t.returns({ "second" }, second:receive())
  fails("No such file or directory", object:connect(t.fresh_path()))
  t.equal(object.class, "unixdgram{connected}")
  t.returns({ -1 }, object:getfd())
  fails("closed", object:connect(path))
end)

t.test("a star is a path like any other", function()
  local object = connected()
  fails("No such file or directory", object:connect("*"))
  t.equal(object.class, "unixdgram{connected}")
end)

t.test("names and data raise for wrong types", function()
  local object = dgram()
  t.raises("bad argument #1 to 'bind' (string expected, got no value)", function() object:bind() end)
  t.raises("bad argument #1 to 'connect' (string expected, got table)", function() object:connect({}) end)
  t.raises("bad argument #1 to 'sendto' (string expected, got no value)", function() object:sendto() end)
  t.raises("bad argument #2 to 'sendto' (string expected, got no value)", function() object:sendto("x") end)
  t.raises("bad argument #1 to 'receive' (number expected, got string)", function() object:receive("*l") end)
  t.raises("bad argument #1 to 'receivefrom' (number expected, got string)", function() object:receivefrom("*l") end)
  local other = connected()
  t.raises("bad argument #1 to 'send' (string expected, got no value)", function() other:send() end)
end)

-- Data

t.test("sendto gives the length, receivefrom the datagram and the sender's path", function()
  local one, from = bound()
  local two, to = bound()
  t.returns({ 5 }, one:sendto("hello", to))
  t.returns({ "hello", from }, two:receivefrom())
  t.returns({ 3 }, one:sendto("all\0", to) and one:sendto("you", to))
  t.returns({ "all\0" }, two:receive())
  t.returns({ "you" }, two:receive())
end)

t.test("a sender without a name has an empty one", function()
  local receiver, path = bound()
  dgram():sendto("x", path)
  t.returns({ "x", "" }, receiver:receivefrom())
end)

t.test("a connected object sends and receives", function()
  local object, receiver, path = connected()
  t.returns({ 4 }, object:send("ping"))
  t.returns({ "ping", "" }, receiver:receivefrom())
  local own = t.fresh_path()
  local named = dgram()
  named:bind(own)
  t.returns({ 1 }, named:connect(path))
  t.returns({ own }, named:getsockname())
  named:settimeout(5)
  named:send("from")
  t.returns({ "from", own }, receiver:receivefrom())
  t.returns({ 4 }, receiver:sendto("pong", own))
  t.returns({ "pong" }, named:receive())
end)

t.test("empty datagrams pass", function()
  local object, receiver, path = connected()
  t.returns({ 0 }, object:send(""))
  t.returns({ "", "" }, receiver:receivefrom())
  t.returns({ 0 }, dgram():sendto("", path))
  t.returns({ "" }, receiver:receive())
end)

t.test("what does not fit is cut off and lost", function()
  local object, receiver = connected()
  for _ = 1, 4 do object:send("abcdef") end
  t.returns({ "abc" }, receiver:receive(3))
  t.returns({ "ab", "" }, receiver:receivefrom("2"))
  t.returns({ "" }, receiver:receive(0))
  t.returns({ "abcdef" }, receiver:receive(100))
  fails("out of memory", receiver:receive(-1))
  fails("out of memory", receiver:receive(2 ^ 50))
  fails("out of memory", receiver:receivefrom(-1))
end)

t.test("a large datagram passes", function()
  local object, receiver = connected()
  local text = ("0123456789"):rep(6000)
  t.returns({ #text }, object:send(text))
  t.returns({ text }, receiver:receive(#text))
  object:send(text:sub(1, 8192))
  t.equal(#t.returns(1, receiver:receive()), 8192)
end)

t.test("sendto tells why it failed", function()
  local stale, path = bound()
  local object = dgram()
  fails("Message too long", object:sendto(("x"):rep(2 ^ 22), path))
  fails("No such file or directory", object:sendto("x", t.fresh_path()))
  fails("path too long", object:sendto("x", ("x"):rep(108)))
  stale:close()
  fails("connection refused", object:sendto("x", path))
  t.ok(object:getfd() >= 0)
end)

t.test("send tells when the peer went away", function()
  local object, receiver = connected()
  receiver:close()
  fails("connection refused", object:send("x"))
  fails("Transport endpoint is not connected", object:send("x"))
end)

-- Timeouts

t.test("receive times out with two results", function()
  local object = bound()
  for _, timeout in ipairs { 0, 0.05 } do
    object:settimeout(timeout)
    t.returns({ timeout, -1 }, object:gettimeout())
    fails("timeout", object:receive())
    fails("timeout", object:receivefrom())
  end
  object:settimeout()
  object:settimeout(0.05, "t")
  fails("timeout", object:receive())
end)

t.test("a full queue makes send time out, and room lets it go on", function()
  local object, receiver, path = connected()
  object:settimeout(0)
  t.ok(fill(function() return object:send("x") end) > 0)
  object:settimeout(0.1)
  t.between(t.elapsed(function() fails("timeout", object:send("x")) end), 0.09, 1.5)
  local other = dgram()
  other:settimeout(0)
  fails("timeout", other:sendto("x", path))
  t.returns({ "x" }, receiver:receive())
  t.returns({ 1 }, object:send("x"))
end)

-- The system calls an unconnected object writable whatever the receiver's queue says; the C library then tries for ever.
t.fix("a full queue makes sendto wait until the deadline", function()
  local _, path = bound()
  local object = dgram()
  object:settimeout(0)
  t.ok(fill(function() return object:sendto("x", path) end) > 0)
  object:settimeout(0.2)
  t.between(t.elapsed(function() fails("timeout", object:sendto("x", path)) end), 0.19, 1.5)
end)

t.fix("a waiting sendto is woken by room", function()
  local receiver, path = bound()
  local object = dgram()
  object:settimeout(0)
  local count = fill(function() return object:sendto("x", path) end)
  local child = t.spawn([[
    local object = require "socket.unix".dgram()
    object:settimeout(5)
    print "sending"
    print(object:sendto("late", ...))
  ]], path)
  t.equal(child:read(), "sending")
  socket.sleep(0.1)
  for _ = 1, count do t.returns({ "x" }, receiver:receive()) end
  t.returns({ "late" }, receiver:receive())
  t.equal((child:finish()), "4\n")
end)

t.test("a waiting send is woken by room", function()
  local object, receiver, path = connected()
  object:settimeout(0)
  local count = fill(function() return object:send("x") end)
  local child = t.spawn([[
    local object = require "socket.unix".dgram()
    assert(object:connect((...)))
    object:settimeout(5)
    print "sending"
    print(object:send("late"))
  ]], path)
  t.equal(child:read(), "sending")
  socket.sleep(0.1)
  for _ = 1, count do t.returns({ "x" }, receiver:receive()) end
  t.returns({ "late" }, receiver:receive())
  t.match(child:finish(), "^4[.0]*\n$")
end)

t.test("select reports a datagram", function()
  local object, receiver = connected()
  t.quiet(receiver, 0)
  t.writable(object)
  object:send("")
  t.readable(receiver)
  t.returns({ "" }, receiver:receive())
  t.quiet(receiver, 0)
end)

-- Options, descriptors, closing

t.test("the only option is reuseaddr", function()
  local object = dgram()
  t.returns({ 1 }, object:setoption("reuseaddr", true))
  t.raises("bad argument #2 to 'setoption' (boolean expected, got string)",
    function() object:setoption("reuseaddr", "yes") end)
  t.raises("bad argument #1 to 'setoption' (unsupported option `broadcast')",
    function() object:setoption("broadcast", true) end)
  object:close()
  fails("setsockopt failed", object:setoption("reuseaddr", true))
end)

t.fix("getoption reads what setoption takes, getpeername the peer", function()
  local object, _, path = connected()
  t.returns({ false }, object:getoption("reuseaddr"))
  t.returns({ 1 }, object:setoption("reuseaddr", true))
  t.returns({ true }, object:getoption("reuseaddr"))
  t.returns({ path }, object:getpeername())
end)

t.test("setfd gives no result", function()
  local object = dgram()
  local fd = object:getfd()
  t.returns(0, object:setfd(-1))
  t.returns({ -1 }, object:getfd())
  object:setfd(fd)
end)

t.test("close gives 1, again and again, and a closed object refuses", function()
  local one, path = bound()
  local two = connected()
  for _, object in ipairs { one, two } do
    local class = object.class
    t.returns({ 1 }, object:close())
    t.returns({ 1 }, object:close())
    t.equal(object.class, class)
    t.returns({ -1 }, object:getfd())
    t.returns({ false }, object:dirty())
    t.returns({ 1 }, object:settimeout(1))
    fails("Bad file descriptor", object:getsockname())
  end
  fails("refused", one:sendto("x", path))
  fails("refused", two:send("x"))
end)

t.fix("a closed object has nothing to receive", function()
  local one, two = bound(), (connected())
  one:close()
  two:close()
  fails("closed", one:receive())
  fails("closed", one:receivefrom())
  fails("closed", two:receive())
end)

t.fix("a datagram of any size is received whole without asking", function()
  local object, receiver = connected()
  local text = ("0123456789"):rep(6000)
  object:send(text)
  t.returns({ text }, receiver:receive())
end)

t.fix("abstract names are names", function()
  local name = "\0lua-" .. tostring({}):gsub("%W", "")
  local receiver, sender = dgram(), dgram()
  t.returns({ 1 }, receiver:bind(name))
  t.returns({ name }, receiver:getsockname())
  receiver:settimeout(5)
  t.returns({ 1 }, sender:bind(name .. "\0sender"))
  t.returns({ 2 }, sender:sendto("hi", name))
  t.returns({ "hi", name .. "\0sender" }, receiver:receivefrom())
  t.returns({ 1 }, sender:connect(name))
  t.returns({ 2 }, sender:send("ho"))
  t.returns({ "ho" }, receiver:receive())
  fails("connection refused", dgram():sendto("x", name .. "x"))
end)

t.fix("a NUL elsewhere in a path is an error", function()
  local _, path = bound()
  fails("Invalid argument", dgram():sendto("x", path .. "\0x"))
  fails("Invalid argument", dgram():connect(path .. "\0x"))
  fails("Invalid argument", dgram():bind(t.fresh_path() .. "\0x"))
end)

t.done()

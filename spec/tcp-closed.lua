-- What remains of a closed object; setfd, getfd and dirty as a bridge to other libraries.

local t = require "support"
local socket = require "socket"

local function closed_objects()
  local server = t.server()
  local client = t.pair(server)
  local master = socket.tcp4()
  for _, object in ipairs { server, client, master } do t.returns({ 1 }, object:close()) end
  return { server = server, client = client, master = master }
end

t.test("close returns 1, again and again", function()
  for _, object in pairs(closed_objects()) do
    t.returns({ 1 }, object:close())
    t.returns({ 1 }, object:close())
  end
  t.returns({ 1 }, socket.tcp():close())
end)

t.test("close gives the descriptor back at once", function()
  local object = socket.tcp4()
  local fd = object:getfd()
  object:close()
  local other = t.closing(socket.tcp4())
  t.equal(other:getfd(), fd)
  t.returns({ 1 }, object:close())
  t.ok(other:getsockname())
end)

t.test("what still works on a closed object", function()
  for name, object in pairs(closed_objects()) do
    t.returns({ -1 }, object:getfd())
    t.returns({ false }, object:dirty())
    t.returns({ "inet4" }, object:getfamily())
    t.returns({ 1 }, object:settimeout(3))
    t.equal((t.returns(2, object:gettimeout())), 3)
    t.equal(object.class, "tcp{" .. name .. "}")
    t.equal(tostring(object):find("tcp{" .. name .. "}", 1, true), 1)
  end
end)

t.test("names and options of a closed object", function()
  for _, object in pairs(closed_objects()) do
    t.returns({ nil, "Bad file descriptor" }, object:getsockname())
    t.returns({ nil, "Bad file descriptor" }, object:getpeername())
    t.returns({ nil, "getsockopt failed" }, object:getoption("keepalive"))
    t.returns({ nil, "setsockopt failed" }, object:setoption("keepalive", true))
  end
end)

t.test("a closed client", function()
  local client = closed_objects().client
  t.returns({ nil, "closed", "" }, client:receive())
  t.returns({ nil, "closed", "p" }, client:receive("*a", "p"))
  t.returns({ nil, "closed", "p" }, client:receive(5, "p"))
  t.returns({ n = 3, "prefix", nil, nil }, client:receive(5, "prefix"))
  t.returns({ nil, "closed", 1 }, client:send("abc", 2))
  t.returns({ n = 3, 0, nil, nil }, client:send(""))
  t.returns({ 1 }, client:shutdown())
  t.returns(3, client:getstats())
  t.returns({ 1 }, client:setstats())
end)

t.fix("a closed client hands out no more buffered input", function()
  local client, accepted = t.pair()
  accepted:send("one\ntwo\n")
  t.equal(client:receive(), "one")
  t.equal(client:dirty(), true)
  client:close()
  t.equal(client:dirty(), false)
  t.returns({ nil, "closed", "" }, client:receive())
  t.returns({ nil, "closed", "" }, client:receive(0))
end)

t.test("a closed server", function()
  t.returns({ nil, "closed" }, closed_objects().server:accept())
end)

t.test("a closed master can begin anew", function()
  local object = t.closing(closed_objects().master)
  t.returns({ nil, "Bad file descriptor" }, object:listen())
  t.returns({ 1 }, object:bind("127.0.0.1", 0))
  t.returns({ 1 }, object:listen())
  t.equal(object.class, "tcp{server}")
end)

t.test("any closed object can connect", function()
  local _, port = t.server()
  for _, object in pairs(closed_objects()) do
    t.closing(object)
    t.returns({ 1 }, object:connect("127.0.0.1", port))
    t.equal(object.class, "tcp{client}")
    t.ok(object:getfd() >= 0)
  end
end)

t.test("select ignores closed objects", function()
  local objects = closed_objects()
  local list = { objects.client, objects.server, objects.master, socket.tcp() }
  t.returns({ {}, {}, "timeout" }, socket.select(list, list, 0))
  local _, accepted = t.pair()
  list[5] = accepted
  local _, writable = socket.select(list, list, 0)
  t.equal(#writable, 1)
  t.equal(writable[accepted], 1)
end)

t.test("data in flight arrive after close", function()
  local client, accepted = t.pair()
  local text = string.rep("x", 100000)
  t.equal(client:send(text), 100000)
  client:close()
  t.equal(accepted:receive("*a"), text)
end)

------------------------------------------------------------------------------------------------------------ descriptors

t.test("getfd tells the descriptor", function()
  t.returns({ -1 }, socket.tcp():getfd())
  local object = t.closing(socket.tcp4())
  t.between(t.returns(1, object:getfd()), 3, 100000)
  t.equal(object:getfd(), object:getfd())
  t.equal(socket._SOCKETINVALID, -1)
end)

t.test("setfd moves a descriptor from one object to another", function()
  local client, accepted = t.pair()
  local other = t.closing(socket.tcp())
  t.returns(0, other:setfd(client:getfd()))
  t.returns(0, client:setfd(socket._SOCKETINVALID))
  t.equal(client:getfd(), -1)
  t.equal(client:close(), 1)
  t.equal((other:getpeername()), "127.0.0.1")
  t.equal(other.class, "tcp{master}")
  t.equal(other:getoption("keepalive"), false)
  other:close()
  t.returns({ nil, "closed", "" }, accepted:receive())
end)

t.test("an undecided object that adopts a descriptor names its family unspecified", function()
  local client = t.pair()
  local other = socket.tcp()
  other:setfd(client:getfd())
  t.returns({ "127.0.0.1", "unspec" }, (other:getsockname()), (select(3, other:getsockname())))
  t.returns({ "127.0.0.1", "unspec" }, (other:getpeername()), (select(3, other:getpeername())))
  other:setfd(-1)
end)

t.test("setfd leaves the buffer, the timeouts and the class", function()
  local client, accepted = t.pair()
  accepted:send("one\ntwo\n")
  t.equal(client:receive(), "one")
  client:settimeout(5)
  local fd = client:getfd()
  client:setfd(-1)
  t.equal(client:dirty(), true)
  t.equal((client:gettimeout()), 5)
  t.equal(client.class, "tcp{client}")
  client:setfd(fd)
  t.equal(client:receive(), "two")
end)

t.test("setfd takes numbers", function()
  local client = t.pair()
  local fd = client:getfd()
  client:setfd(fd + 0.5)
  t.equal(client:getfd(), fd)
  client:setfd(tostring(fd))
  t.equal(client:getfd(), fd)
  t.raises("bad argument #1 to 'setfd' (number expected, got no value)", function() client:setfd() end)
  t.raises("bad argument #1 to 'setfd' (number expected, got table)", function() client:setfd({}) end)
  t.raises("bad argument #1 to 'setfd' (number expected, got string)", function() client:setfd("x") end)
  t.equal(client:getfd(), fd)
end)

t.fix("setfd with numbers that are no descriptors", function()
  local client = t.pair()
  local fd = client:getfd()
  for _, number in ipairs { -5, 0 / 0, math.huge, -math.huge, 2 ^ 31, 2 ^ 32 + 1, 1e300 } do
    t.returns(0, client:setfd(number))
    t.equal(client:getfd(), -1)
  end
  client:setfd(fd)
end)

t.test("an adopted descriptor is used as it is", function()
  local client, accepted = t.pair()
  local fd = client:getfd()
  local other = t.closing(assert(socket.connect("127.0.0.1", (select(2, t.server())))))
  local lost = other:getfd()
  other:setfd(fd)
  accepted:send("for the other")
  t.equal(other:receive(13), "for the other")
  t.equal(other:send("back"), 4)
  t.equal(accepted:receive(4), "back")
  other:setfd(lost)
end)

t.done()

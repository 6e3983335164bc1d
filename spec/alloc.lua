-- Every entry of the library while memory runs out: at the first request of the call, at the second, and so on until
-- the call has all it asks for. Each call either succeeds as always or raises the memory error; nothing crashes, no
-- descriptor stays open, no byte and no connection is lost.
--
-- Only our own runner can make Lua's memory run out; elsewhere the file is skipped.

local t = require "support"

t.needs_failing_allocator "every entry without memory"
local exhaust = t.exhaust_once

local socket = require "socket"

--------------------------------------------------------------------------------------------------------------- loading

t.test("loading the modules", function()
  for _, name in ipairs { "socket", "socket.core", "socket.unix", "socket.serial" } do
    local before = {}
    for key, module in pairs(package.loaded) do before[key] = module end
    t.finally(function() for key, module in pairs(before) do package.loaded[key] = module end end)
    exhaust(require, function()
      package.loaded[name] = nil
      return name
    end)
  end
end)

------------------------------------------------------------------------------------------------------------- namespace

t.test("constructors", function()
  for _, name in ipairs { "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6" } do
    local object = t.closing(exhaust(socket[name]))
    t.match(tostring(object), "^" .. name:sub(1, 3) .. "{")
  end
end)

t.test("small functions", function()
  t.equal(type(exhaust(socket.gettime)), "number")
  t.returns(0, exhaust(function() return socket.sleep(0) end))
  t.returns({ "b" }, exhaust(function() return socket.skip(1, "a", "b") end))
  t.returns(0, exhaust(socket.__unload))
end)

t.test("bind", function()
  local server = t.closing(exhaust(function() return socket.bind("127.0.0.1", 0) end))
  t.equal(server.class, "tcp{server}")
end)

t.test("connect", function()
  local server, port = t.server()
  for _, call in ipairs {
    function() return socket.connect("127.0.0.1", port) end,
    function() return socket.connect("localhost", port) end,
    function() return socket.connect4("127.0.0.1", port, "127.0.0.1", 0) end,
    function() return socket.connect("127.0.0.1", port, { timeout = 5, keepalive = true, laddr = "127.0.0.1" }) end,
  } do
    t.equal(t.closing(exhaust(call)).class, "tcp{client}")
  end
  local refused = t.unused_port()
  t.returns({ nil, "connection refused" }, exhaust(function() return socket.connect("127.0.0.1", refused) end))
  t.equal((exhaust(function() return socket.connect("", 1) end)), nil)
  t.ok(server)
end)

t.test("select", function()
  local server = t.server()
  local client, accepted = t.pair(server)
  accepted:send("one\ntwo\n")
  client:receive()
  local list = { client, accepted, server, {} }
  for i = 1, 30 do list[4 + i] = t.closing(socket.udp4()) end
  local readable, writable = exhaust(function() return socket.select(list, list, 0) end)
  t.equal(readable[client], 1)
  t.ok(writable[accepted])
  local _, _, problem = exhaust(function() return socket.select({ accepted }, nil, 0) end)
  t.equal(problem, "timeout")
  readable = exhaust(function() return socket.select({ { getfd = function() return client:getfd() end } }, {}, 0) end)
  t.ok(readable)
end)

t.test("look-ups", function()
  local dns = socket.dns
  t.equal((exhaust(function() return dns.toip("127.0.0.1") end)), "127.0.0.1")
  t.equal((exhaust(function() return dns.toip("localhost") end)), "127.0.0.1")
  t.equal(type(exhaust(dns.gethostname)), "string")
  t.equal(exhaust(function() return dns.getaddrinfo("127.0.0.1") end)[1].addr, "127.0.0.1")
  t.ok(exhaust(function() return dns.getaddrinfo("localhost") end)[1])
  exhaust(function() return dns.getnameinfo("127.0.0.1") end)
  exhaust(function() return dns.tohostname("127.0.0.1") end)
  t.equal((exhaust(function() return dns.toip("") end)), nil)
end)

t.test("newtry, protect and try", function()
  t.equal(type(exhaust(function() return socket.newtry(print) end)), "function")
  t.equal(type(exhaust(function() return socket.protect(print) end)), "function")
  t.returns({ 1, 2 }, exhaust(function() return socket.try(1, 2) end))
  local protected = socket.protect(function(...) return socket.try(...) end)
  t.returns({ nil, "problem" }, exhaust(function() return protected(nil, "problem") end))
  t.returns({ "result" }, exhaust(function() return protected("result") end))
  local thread
  exhaust(function()
    -- LuaJIT crashes when it resumes a dead coroutine and has no memory for the message.
    local ok, problem = coroutine.resume(thread, "a")
    if not ok then error(problem, 0) end
    return coroutine.resume(thread, "b")
  end, function()
    thread = coroutine.create(function(...) return socket.protect(function(x) return coroutine.yield(x) end)(...) end)
  end)
end)

t.test("sinks and sources", function()
  local client, accepted = t.pair()
  t.equal(exhaust(function() return socket.sink("keep-open", client) end)("abc"), 3)
  t.equal(exhaust(function() return socket.source("by-length", accepted, 3) end)(), "abc")
  local sink = socket.sink("keep-open", client)
  t.equal((exhaust(function() return sink("abc") end)), 3)
  t.equal(accepted:receive(3), "abc")
  local source = socket.source("by-length", accepted, 5)
  client:send("12345")
  t.readable(accepted)
  t.equal(exhaust(function() return source() end), "12345")
end)

------------------------------------------------------------------------------------------------------------------- TCP

t.test("an object's questions and settings", function()
  local client = t.pair()
  for _, call in ipairs {
    function() return tostring(client) end,
    function() return client.class end,
    function() return client:getfd() end,
    function() return client:dirty() end,
    function() return client:getfamily() end,
    function() return client:getsockname() end,
    function() return client:getpeername() end,
    function() return client:getstats() end,
    function() return client:setstats(1, 2, 3) end,
    function() return client:gettimeout() end,
    function() return client:settimeout(1, "t") end,
    function() return client:setoption("keepalive", true) end,
    function() return client:getoption("keepalive") end,
    function() return client:setoption("linger", { on = false, timeout = 0 }) end,
    function() return client:getoption("linger") end,
    function() return client:getoption("error") end,
    function() return client:getoption("recv-buffer-size") end,
    function() return client:shutdown("receive") end,
  } do
    exhaust(call)
  end
end)

t.test("argument errors", function()
  local client = t.pair()
  for _, call in ipairs {
    function() client:getoption("none") end,
    function() client:receive("none") end,
    function() client:send({}) end,
    function() client:accept() end,
    function() client.close(1) end,
    function() client:shutdown("none") end,
    function() socket.sleep({}) end,
    function() socket.select(1) end,
  } do
    local ok, problem = exhaust(function() return pcall(call) end, function() end)
    t.equal(ok, false)
    t.match(problem, "^[^\n]*alloc.lua:%d+: ")
  end
end)

t.test("bind, listen, connect", function()
  local _, port = t.server()
  local object
  local function fresh()
    if object then object:close() end
    object = socket.tcp()
  end
  t.equal(exhaust(function() return object:bind("127.0.0.1", 0) end, fresh), 1)
  t.equal(exhaust(function() return object:listen() end, function()
    fresh()
    object:bind("127.0.0.1", 0)
  end), 1)
  t.equal(exhaust(function() return object:connect("127.0.0.1", port) end, fresh), 1)
  t.equal(exhaust(function() return object:connect("localhost", port) end, fresh), 1)
  t.returns({ nil, "address already in use" }, exhaust(function() return object:bind("127.0.0.1", port) end, fresh))
  t.equal(exhaust(function() return object:setoption("linger", { on = true, timeout = 1 }) end, fresh), 1)
  exhaust(function() return object:connect("127.0.0.1", port) end, function()
    fresh()
    object:settimeout(0)
  end)
  object:close()
end)

t.test("accept loses no connection", function()
  local server, port = t.server()
  server:settimeout(0)
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  t.readable(server)
  local accepted = t.closing(exhaust(function() return server:accept() end))
  client:send("x")
  t.equal(accepted:receive(1), "x")
  t.returns({ nil, "timeout" }, exhaust(function() return server:accept() end))
end)

t.test("close", function()
  for _ = 1, 2 do
    local client, accepted = t.pair()
    t.equal(exhaust(function() return client:close() end), 1)
    t.equal(accepted:receive(), nil)
  end
end)

t.test("receive loses no byte", function()
  local sizes = { 0, 1, 30, 100, 1000, 8191, 8192, 8193, 100000 }
  for _, size in ipairs(sizes) do
    local text = string.rep("x", size)
    local client, accepted = t.pair()
    client:settimeout(1)
    t.equal(accepted:send(text .. "\r\nprefix" .. text .. "end"), 2 * size + 11)
    t.equal(exhaust(function() return client:receive("*l") end), text)
    t.equal(exhaust(function() return client:receive(size + 7, "p") end), "pprefix" .. text)
    accepted:close()
    t.equal(exhaust(function() return client:receive("*a", "P") end), "Pend")
    t.returns({ nil, "closed", "Q" }, exhaust(function() return client:receive("*l", "Q") end))
  end
end)

t.test("partial results lose no byte", function()
  local client, accepted = t.pair()
  client:settimeout(0)
  local text = string.rep("y", 5000)
  for _, pattern in ipairs { "*l", "*a", 100000, "*L" } do
    accepted:send(text)
    t.readable(client)
    t.returns({ nil, "timeout", text }, exhaust(function() return client:receive(pattern) end))
    accepted:send(text)
    t.readable(client)
    t.returns({ nil, "timeout", "prefix" .. text }, exhaust(function() return client:receive(pattern, "prefix") end))
  end
  accepted:send(text)
  t.readable(client)
  local got = ""
  repeat got = got .. (exhaust(function() return client:receive("*r") end)) until #got >= #text
  t.equal(got, text)
  accepted:send(text)
  t.readable(client)
  got = ""
  repeat got = got .. (exhaust(function() return client:receiveany(1000) end)) until #got >= #text
  t.equal(got, text)
end)

t.test("send sends once", function()
  local client, accepted = t.pair()
  t.equal(exhaust(function() return client:send("once\n") end), 5)
  t.equal(exhaust(function() return client:send("and again\n", 5) end), 10)
  client:close()
  t.equal(accepted:receive("*a"), "once\nagain\n")
end)

------------------------------------------------------------------------------------------------------------- datagrams

t.test("UDP", function()
  local a, b = t.datagrams()
  a:settimeout(1)
  b:settimeout(1)
  t.equal(exhaust(function() return a:send("one") end), 3)
  t.equal(exhaust(function() return b:receive() end), "one")
  local any = t.closing(socket.udp4())
  any:settimeout(1)
  assert(any:setsockname("127.0.0.1", 0))
  local _, any_port = any:getsockname()
  local from = t.closing(socket.udp4())
  t.equal(exhaust(function() return from:sendto("two", "127.0.0.1", any_port) end), 3)
  local text, host, port = exhaust(function() return any:receivefrom() end)
  t.equal(text, "two")
  t.equal(host, "127.0.0.1")
  t.equal(port, select(2, from:getsockname()))
  b:settimeout(0)
  t.returns({ nil, "timeout" }, exhaust(function() return b:receive() end))
  local object
  local function fresh()
    if object then object:close() end
    object = socket.udp()
  end
  t.equal(exhaust(function() return object:setsockname("127.0.0.1", 0) end, fresh), 1)
  t.equal(exhaust(function() return object:setpeername("127.0.0.1", 9) end, fresh), 1)
  t.equal(exhaust(function() return object:sendto("x", "127.0.0.1", 9) end, fresh), 1)
  object:close()
  for _, call in ipairs {
    function() return tostring(a) end,
    function() return a:getsockname() end,
    function() return a:getpeername() end,
    function() return a:getoption("broadcast") end,
    function() return a:setoption("broadcast", true) end,
    function() return a:getoption("ip-multicast-ttl") end,
    function() return a:gettimeout() end,
    function() return a:setpeername("*") end,
    function() return a:close() end,
  } do
    exhaust(call)
  end
end)

------------------------------------------------------------------------------------------------------------------ Unix

t.test("Unix-domain sockets", function()
  local unix = require "socket.unix"
  local path = os.tmpname()
  os.remove(path)
  t.finally(function() os.remove(path) end)
  local server = t.closing(exhaust(unix.stream))
  t.equal(exhaust(function() return server:bind(path) end), 1)
  t.equal(exhaust(function() return server:listen() end), 1)
  local client = t.closing(exhaust(function() return unix() end))
  t.equal(exhaust(function() return client:connect(path) end), 1)
  server:settimeout(0)
  local accepted = t.closing(exhaust(function() return server:accept() end))
  t.equal(exhaust(function() return client:send("line\nrest") end), 9)
  t.equal(exhaust(function() return accepted:receive() end), "line")
  t.equal((exhaust(function() return server:getsockname() end)), path)
  os.remove(path)
  local a, b = t.closing(exhaust(unix.dgram)), t.closing(unix.dgram())
  t.equal(exhaust(function() return a:bind(path) end), 1)
  t.equal(exhaust(function() return b:sendto("text", path) end), 4)
  a:settimeout(1)
  t.equal((exhaust(function() return a:receivefrom() end)), "text")
end)

t.done()

-- settimeout and gettimeout, and how the two limits bound every operation that waits.

local t = require "support"
local socket = require "socket"

local function objects()
  local server = t.server()
  local client = t.pair(server)
  local closed = socket.tcp()
  closed:close()
  return { socket.tcp(), client, server, closed, t.closing(socket.udp()) }
end

-- A client whose peer, another process, sends `text` byte by byte, one every `interval` seconds.
local function dripping(text, interval)
  local server, port = t.server()
  t.spawn([[
    local port, text, interval = ...
    local socket = require "socket"
    local client = assert(socket.connect("127.0.0.1", port))
    for byte in text:gmatch(".") do
      socket.sleep(interval)
      client:send(byte)
    end
    client:receive("*a")
  ]], port, text, interval)
  return t.closing(assert(server:accept()))
end

----------------------------------------------------------------------------------------------------------------- state

t.test("there is no limit at first", function()
  for _, object in ipairs { socket.tcp(), t.pair(), t.closing(socket.udp()) } do
    t.returns({ -1, -1 }, object:gettimeout())
  end
end)

t.test("settimeout sets one limit and leaves the other", function()
  for _, object in ipairs(objects()) do
    object:settimeout(nil)
    t.returns({ 1 }, object:settimeout(1.5))
    t.returns({ 1.5, -1 }, object:gettimeout())
    t.returns({ 1 }, object:settimeout(2, "t"))
    t.returns({ 1.5, 2 }, object:gettimeout())
    t.returns({ 1 }, object:settimeout(3, "r"))
    t.returns({ 1.5, 3 }, object:gettimeout())
    t.returns({ 1 }, object:settimeout(nil))
    t.returns({ -1, 3 }, object:gettimeout())
    t.returns({ 1 }, object:settimeout(4, "b"))
    t.returns({ 1 }, object:settimeout(nil, "t"))
    t.returns({ 4, -1 }, object:gettimeout())
    t.returns({ 1 }, object:settimeout())
    t.returns({ -1, -1 }, object:gettimeout())
  end
end)

t.test("values are numbers, numeric strings or nil", function()
  local object = socket.tcp()
  t.returns({ 1 }, object:settimeout("1.5"))
  t.returns({ 1.5, -1 }, object:gettimeout())
  t.returns({ 1 }, object:settimeout(0))
  t.returns({ 0, -1 }, object:gettimeout())
  t.returns({ 1 }, object:settimeout(-5))
  t.returns({ -5, -1 }, object:gettimeout())
  t.returns({ 1 }, object:settimeout(-0.25, "t"))
  t.returns({ -5, -0.25 }, object:gettimeout())
  t.returns({ 1 }, object:settimeout(1, nil, "surplus"))
end)

t.test("one letter of the mode counts", function()
  local object = socket.tcp()
  object:settimeout(1, "block")
  object:settimeout(2, "total")
  t.returns({ 1, 2 }, object:gettimeout())
  object:settimeout(3, "rest")
  object:settimeout(4, "b\0")
  t.returns({ 4, 3 }, object:gettimeout())
end)

t.test("other modes raise and change nothing", function()
  for _, object in ipairs(objects()) do
    object:settimeout(5)
    for _, mode in ipairs { "", "x", "B", "T", " b", 1, "\0" } do
      t.raises("bad argument #2 to 'settimeout' (invalid timeout mode)", function() object:settimeout(1, mode) end)
    end
    t.raises("bad argument #3 to 'settimeout' (invalid timeout mode)", function() object.settimeout(object, 1, "x") end)
    t.raises({ exact = "bad argument #3 to '?' (invalid timeout mode)" }, object.settimeout, object, 1, "x")
    t.returns({ 5, -1 }, object:gettimeout())
  end
end)

t.test("arguments of the wrong type raise", function()
  local object = socket.tcp()
  t.raises("bad argument #1 to 'settimeout' (number expected, got table)", function() object:settimeout({}) end)
  t.raises("bad argument #1 to 'settimeout' (number expected, got string)", function() object:settimeout("x") end)
  t.raises("bad argument #1 to 'settimeout' (number expected, got boolean)", function() object:settimeout(true) end)
  t.raises("bad argument #2 to 'settimeout' (string expected, got table)", function() object:settimeout(1, {}) end)
  t.raises("bad argument #1 to 'settimeout' (number expected, got table)", function() object:settimeout({}, "x") end)
  t.returns({ -1, -1 }, object:gettimeout())
end)

t.test("limits belong to one object", function()
  local server, port = t.server()
  server:settimeout(7)
  server:settimeout(8, "t")
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  client:settimeout(9)
  local accepted = t.closing(assert(server:accept()))
  t.returns({ -1, -1 }, accepted:gettimeout())
  t.returns({ 9, -1 }, client:gettimeout())
end)

t.test("the class may change, the limits stay", function()
  local object = t.closing(socket.tcp())
  object:settimeout(1)
  object:settimeout(2, "t")
  assert(object:bind("127.0.0.1", 0))
  assert(object:listen())
  t.returns({ 1, 2 }, object:gettimeout())
  object:close()
  t.returns({ 1, 2 }, object:gettimeout())
end)

------------------------------------------------------------------------------------------------- what waits, how long

-- Each operation, waiting for what does not come, by name: makes an object and the call.
local WAITING = {
  ["receive '*l'"] = function()
    local client = t.pair()
    return client, function() return client:receive("*l") end, { nil, "timeout", "" }
  end,
  ["receive '*a'"] = function()
    local client = t.pair()
    return client, function() return client:receive("*a", "p") end, { nil, "timeout", "p" }
  end,
  ["receive count"] = function()
    local client = t.pair()
    return client, function() return client:receive(5) end, { nil, "timeout", "" }
  end,
  ["send"] = function()
    local client = t.pair()
    t.fill(client)
    return client, function() return client:send("abc", 2) end, { nil, "timeout", 1 }
  end,
  ["accept"] = function()
    local server = t.server()
    return server, function() return server:accept() end, { nil, "timeout" }
  end,
  ["receive of a datagram"] = function()
    local a = t.datagrams()
    return a, function() return a:receive() end, { nil, "timeout" }
  end,
}

local function each_waiting(fn)
  for name, make in pairs(WAITING) do
    local object, call, expected = make()
    object:settimeout(nil)
    object:settimeout(nil, "t")
    fn(name, object, call, expected)
  end
end

t.test("limit 0 never waits", function()
  each_waiting(function(_, object, call, expected)
    for _, mode in ipairs { "b", "t" } do
      object:settimeout(0, mode)
      t.between(t.elapsed(function() t.returns(expected, call()) end), 0, 0.2)
      object:settimeout(nil, mode)
    end
  end)
end)

t.test("a block limit is how long the call waits", function()
  each_waiting(function(name, object, call, expected)
    object:settimeout(0.1)
    t.between(t.elapsed(function() t.returns(expected, call()) end), 0.099, 1, name)
  end)
end)

t.test("a total limit is how long the call waits", function()
  each_waiting(function(name, object, call, expected)
    object:settimeout(0.1, "t")
    t.between(t.elapsed(function() t.returns(expected, call()) end), 0.099, 1, name)
  end)
end)

t.test("of two limits the smaller one ends the wait", function()
  each_waiting(function(name, object, call, expected)
    object:settimeout(0.05)
    object:settimeout(30, "t")
    t.between(t.elapsed(function() t.returns(expected, call()) end), 0.049, 1, name)
    object:settimeout(30)
    object:settimeout(0.05, "t")
    t.between(t.elapsed(function() t.returns(expected, call()) end), 0.049, 1, name)
  end)
end)

t.test("the clock starts anew with every call", function()
  local client = t.pair()
  client:settimeout(0.1)
  client:settimeout(0.1, "t")
  for _ = 1, 3 do t.between(t.elapsed(client.receive, client), 0.099, 1) end
end)

t.test("what is there is taken whatever the limit, in one call", function()
  local client, accepted = t.pair()
  accepted:send("one\n" .. string.rep("x", 10000))
  t.readable(client)
  client:settimeout(0)
  t.equal(client:receive(), "one")
  client:settimeout(0, "t")
  t.equal(client:receive(4000), string.rep("x", 4000))
  client:settimeout(0.0000001)
  t.equal(client:receive(1), "x")
end)

t.test("a block limit alone covers the whole call", function()
  local client = dripping("0123456789", 0.1)
  client:settimeout(0.25)
  local part
  local took = t.elapsed(function() part = t.pack(t.returns(3, client:receive(10)))[3] end)
  t.between(took, 0.249, 0.6)
  t.between(#part, 1, 5)
end)

t.test("a total limit alone covers the whole call", function()
  local client = dripping("0123456789", 0.1)
  client:settimeout(0.25, "t")
  local part
  local took = t.elapsed(function() part = t.pack(t.returns(3, client:receive(10)))[3] end)
  t.between(took, 0.249, 0.6)
  t.between(#part, 1, 5)
end)

t.test("with both, the block limit is for each wait and the total one for the call", function()
  local client = dripping("0123456789", 0.1)
  client:settimeout(0.5)
  client:settimeout(10, "t")
  t.equal(client:receive(8), "01234567")
  client = dripping("0123456789", 0.1)
  client:settimeout(0.5)
  client:settimeout(0.35, "t")
  t.between(t.elapsed(client.receive, client, 10), 0.349, 0.8)
end)

t.test("an operation goes on after a timeout, nothing is lost", function()
  local client = dripping("0123456789", 0.03)
  client:settimeout(0.05)
  local got, problem, part, rounds = nil, nil, nil, 0
  repeat
    got, problem, part = client:receive(10, part)
    rounds = rounds + 1
  until problem ~= "timeout"
  t.equal(got, "0123456789")
  t.ok(rounds > 1)
end)

t.test("data that come in time end the wait", function()
  local client = dripping("x", 0.1)
  client:settimeout(8)
  local took = t.elapsed(function() t.equal(client:receive(1), "x") end)
  t.between(took, 0, 5)
end)

t.test("a negative limit waits", function()
  local client = dripping("x", 0.1)
  client:settimeout(-3)
  client:settimeout(-0.5, "t")
  t.equal(client:receive(1), "x")
end)

t.fix("immense limits and NaN wait without end", function()
  for _, limit in ipairs { math.huge, 0 / 0, 1e300, 2 ^ 31, 2200000, 2 ^ 63 } do
    for _, mode in ipairs { "b", "t" } do
      local client = dripping("x", 0.02)
      t.returns({ 1 }, client:settimeout(limit, mode))
      t.equal(client:receive(1), "x", limit .. mode)
    end
  end
end)

t.fix("minus infinity is no limit", function()
  local client = dripping("x", 0.02)
  client:settimeout(-math.huge)
  t.equal(client:receive(1), "x")
end)

t.fix("a wait is never shorter than its limit", function()
  local client = t.pair()
  for _, limit in ipairs { 0.0005, 0.0015, 0.0025, 0.0101 } do
    client:settimeout(limit)
    local start = socket.gettime()
    client:receive()
    t.between(socket.gettime() - start, limit - 0.0001, 1)
  end
end)

t.test("the process may be stopped and continued while it waits", function()
  local child = t.spawn [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local client = assert(socket.connect(host, port))
    server:settimeout(0.3)
    client:settimeout(0.3)
    assert(server:accept())
    print("waiting")
    local start = socket.gettime()
    local _, problem = client:receive()
    print(problem, socket.gettime() - start >= 0.299)
    _, problem = server:accept()
    print(problem)
  ]]
  t.equal(child:read(), "waiting")
  child:signal("STOP")
  child:signal("CONT")
  t.equal(child:read(), "timeout\ttrue")
  t.equal(child:read(), "timeout")
end)

t.test("select has its own limit", function()
  local client = t.pair()
  client:settimeout(10)
  t.between(t.elapsed(socket.select, { client }, nil, 0.1), 0.099, 1)
  client:settimeout(0)
  t.between(t.elapsed(socket.select, { client }, nil, 0.1), 0.099, 1)
end)

t.test("a server that times out stays usable", function()
  local server, port = t.server()
  server:settimeout(0)
  t.returns({ nil, "timeout" }, server:accept())
  t.closing(assert(socket.connect("127.0.0.1", port)))
  t.readable(server)
  t.closing(t.returns(1, server:accept()))
end)

t.test("socket.connect does not time out by itself, nor does its object", function()
  local _, port = t.server()
  local client = t.closing(assert(socket.connect("127.0.0.1", port)))
  t.returns({ -1, -1 }, client:gettimeout())
end)

t.done()

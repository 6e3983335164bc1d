-- socket.select: arguments, results, readiness, edge cases. Foreign objects: select-foreign.lua; the same list again and
-- again, and large ones: select-sets.lua.

local t = require "support"
local socket = require "socket"

local select_ = socket.select

-- Arguments are the results of a call, not the lists: here it matters how select is called.
local function timeout(...)
  t.returns({ {}, {}, "timeout" }, ...)
end

-- Exactly two results, which hold exactly these objects in any order, each with its index.
local function check(readable, writable, ...)
  local results = { t.returns(2, ...) }
  for i, expected in ipairs { readable, writable } do
    local actual, keys = results[i], 0
    t.equal(#actual, #expected, "number of objects in result " .. i)
    for _, object in ipairs(expected) do t.equal(actual[actual[object]], object) end
    for _ in pairs(actual) do keys = keys + 1 end
    t.equal(keys, 2 * #expected)
  end
  t.ok(results[1] ~= results[2])
end

local function udp()
  return t.closing(t.member())
end

local poke = t.poke

-- A stream with input in its buffer.
local function dirty()
  local client, accepted = t.pair()
  client:send("one\ntwo\n")
  t.returns({ "one", n = 3 }, accepted:receive())
  t.returns({ true }, accepted:dirty())
  return accepted, client
end

-- Arguments

t.test("lists are tables or nil", function()
  timeout(select_(nil, nil, 0))
  timeout(select_({}, nil, 0))
  timeout(select_(nil, {}, 0))
  timeout(select_({}, {}, 0))
  timeout(select_({}, {}, 0, "more", {}))
  t.raises("bad argument #1 to 'select' (table expected, got number)", function() socket.select(1, nil, 0) end)
  t.raises("bad argument #2 to 'select' (table expected, got string)", function() socket.select(nil, "x", 0) end)
  t.raises("bad argument #1 to 'select' (table expected, got boolean)", function() socket.select(false, {}, 0) end)
  t.raises({ match = "bad argument #1 to 'select' %(table expected, got .+%)$" },
    function() socket.select(udp(), {}, 0) end)
end)

t.test("the timeout is a number, or text of one", function()
  timeout(select_({}, {}, "0"))
  timeout(select_({}, {}, "0.01"))
  t.raises("bad argument #3 to 'select' (number expected, got string)", function() socket.select({}, {}, "soon") end)
  t.raises("bad argument #3 to 'select' (number expected, got table)", function() socket.select({}, {}, {}) end)
  t.raises("bad argument #3 to 'select' (number expected, got boolean)", function() socket.select({}, {}, true) end)
end)

t.test("the timeout is checked first, then the first list", function()
  t.raises("bad argument #3 to 'select' (number expected, got string)", function() socket.select(1, 2, "x") end)
  t.raises("bad argument #1 to 'select' (table expected, got number)", function() socket.select(1, 2, 0) end)
end)

t.test("lists are read from 1 to the first nil", function()
  local one, two = udp(), udp()
  poke(one)
  poke(two)
  timeout(select_({ nil, one }, nil, 0))
  timeout(select_({ [0] = one, [2] = two, x = one, [1.5] = two }, nil, 0))
  check({ one }, {}, select_({ one, nil, two }, nil, 0))
  check({ one }, {}, select_({ one, n = 2, [two] = two }, nil, 0))
end)

t.test("lists are read through __index", function()
  local one, two = udp(), udp()
  poke(one)
  poke(two)
  check({ one, two }, {}, select_(setmetatable({}, { __index = { one, two } }), nil, 0))
  local list = setmetatable({ one }, { __index = function(_, i) return i == 2 and two or nil end })
  check({ one, two }, { one, two }, select_(list, list, 0))
end)

-- Results

t.test("two results when something is ready", function()
  local one, two = udp(), udp()
  poke(one)
  check({ one }, {}, select_({ one, two }, nil, 5))
  check({ one }, {}, select_({ one, two }, {}, 5))
  check({}, { two }, select_({}, { two }, 5))
  check({ one }, { one, two }, select_({ one, two }, { one, two }, 5))
  check({ one }, { two }, select_({ one }, { two }))
end)

t.test("results are fresh tables", function()
  local one = udp()
  poke(one)
  local list = { one }
  local r1, w1 = select_(list, list, 0)
  local r2, w2 = select_(list, list, 0)
  for _, other in ipairs { w1, r2, w2, list } do t.ok(r1 ~= other) end
  t.same(list, { one })
  t.equal(r1[one], 1)
  t.equal(w1[one], 1)
end)

t.test("objects that are not ready are not in the results", function()
  local one, two = udp(), udp()
  poke(two)
  local readable = select_({ one, two }, nil, 0)
  t.equal(readable[one], nil)
  t.equal(readable[two], 1)
  t.equal(readable[1], two)
end)

t.test("a timeout has three results", function()
  local one = udp()
  local readable, writable = t.returns(3, select_({ one }, nil, 0))
  t.ok(readable ~= writable)
  timeout(select_({ one }, nil, 0.02))
  timeout(select_({ one }, {}, 0.02))
end)

t.test("a timeout is waited for, and not much longer", function()
  local one = udp()
  t.between(t.elapsed(select_, { one }, nil, 0.2), 0.19, 1.5)
  t.between(t.elapsed(select_, nil, nil, 0.2), 0.19, 1.5)
  t.between(t.elapsed(select_, { one }, nil, 0), 0, 0.5)
end)

t.test("no timeout and a negative one wait until something happens", function()
  for _, forever in ipairs { false, -1, -0.5, "-1" } do
    local one = udp()
    local child = t.spawn([[
      local socket = require "socket"
      socket.sleep(0.15)
      assert(socket.udp():sendto("x", ...))
    ]], one:getsockname())
    check({ one }, {}, select_({ one }, nil, forever or nil))
    child:finish()
  end
end)

t.fix("huge timeouts wait", function()
  for _, forever in ipairs { 2 ^ 31, 2 ^ 53, 1e300, math.huge } do
    local one = udp()
    local child = t.spawn([[
      local socket = require "socket"
      socket.sleep(0.1)
      assert(socket.udp():sendto("x", ...))
    ]], one:getsockname())
    check({ one }, {}, select_({ one }, nil, forever))
    child:finish()
  end
end)

-- Readiness: reading

t.test("input makes a stream readable until it is taken", function()
  local client, accepted = t.pair()
  timeout(select_({ accepted }, nil, 0))
  client:send("abc")
  for _ = 1, 3 do check({ accepted }, {}, select_({ accepted }, nil, 5)) end
  t.equal(accepted:receive(3), "abc")
  timeout(select_({ accepted }, nil, 0))
end)

t.test("the end of a stream makes it readable, for ever", function()
  local client, accepted = t.pair()
  client:close()
  for _ = 1, 3 do check({ accepted }, {}, select_({ accepted }, nil, 5)) end
  t.equal(select(2, accepted:receive()), "closed")
  check({ accepted }, {}, select_({ accepted }, nil, 5))
end)

t.test("a half closed stream is readable at its other end", function()
  local client, accepted = t.pair()
  client:shutdown("send")
  check({ accepted }, {}, select_({ accepted }, nil, 5))
  timeout(select_({ client }, nil, 0))
  accepted:send("still\n")
  check({ client }, {}, select_({ client }, nil, 5))
end)

t.test("a reset makes a stream readable and writable", function()
  local client, accepted = t.pair()
  t.reset(client)
  check({ accepted }, {}, select_({ accepted }, nil, 5))
  check({ accepted }, { accepted }, select_({ accepted }, { accepted }, 5))
end)

t.test("a connection makes a listener readable until it is accepted", function()
  local server, port = t.server()
  timeout(select_({ server }, nil, 0))
  local client = t.closing(socket.connect("127.0.0.1", port))
  for _ = 1, 2 do check({ server }, {}, select_({ server }, nil, 5)) end
  t.closing(server:accept())
  timeout(select_({ server }, nil, 0))
  client:close()
end)

t.test("a datagram makes an object readable until it is taken", function()
  local one = udp()
  poke(one)
  poke(one)
  one:receive()
  check({ one }, {}, select_({ one }, nil, 0))
  one:receive()
  timeout(select_({ one }, nil, 0))
end)

t.test("a refused datagram makes an object readable", function()
  local one = t.closing(socket.udp())
  one:setpeername("127.0.0.1", t.unused_port())
  one:send("x")
  check({ one }, {}, select_({ one }, nil, 5))
  t.equal(one:getoption("error"), "connection refused")
  timeout(select_({ one }, nil, 0))
end)

-- Readiness: writing

t.test("room makes a stream writable", function()
  local client, accepted = t.pair()
  check({}, { client }, select_(nil, { client }, 5))
  t.fill(client)
  timeout(select_(nil, { client }, 0.05))
  accepted:settimeout(0)
  local taken = 0
  repeat
    local data, _, part = accepted:receive(2 ^ 20)
    taken = taken + #(data or part)
    local _, writable = select_(nil, { client }, 0.02)
  until writable[client]
  t.ok(taken > 0)
  t.ok(client:send("x"))
end)

t.test("unread input does not make an object writable, nor room readable", function()
  local client, accepted = t.pair()
  accepted:send("unread")
  t.readable(client)
  t.fill(client)
  timeout(select_(nil, { client }, 0.05))
  check({ client }, {}, select_({ client }, { client }, 0))
  timeout(select_({ udp() }, nil, 0))
end)

t.test("a connect that succeeds makes an object writable", function()
  local _, port = t.server()
  local object = t.closing(socket.tcp4())
  object:settimeout(0)
  object:connect("127.0.0.1", port)
  check({}, { object }, select_({ object }, { object }, 5))
end)

t.test("a connect that is refused makes an object readable and writable", function()
  local object = t.closing(socket.tcp4())
  object:settimeout(0)
  local connected, problem = object:connect("127.0.0.1", t.unused_port())
  t.equal(connected, nil)
  if problem ~= "timeout" then t.skip("the refusal came at once") end
  check({ object }, { object }, select_({ object }, { object }, 5))
  t.equal(object:getoption("error"), "connection refused")
  t.equal(object:getoption("error"), nil)
end)

t.test("an object that never was connected is ready for everything", function()
  local object = t.closing(socket.tcp4())
  check({ object }, { object }, select_({ object }, { object }, 0))
end)

-- Buffered input

t.test("buffered input makes an object readable at once", function()
  local one = dirty()
  check({ one }, {}, select_({ one }, nil))
  check({ one }, {}, select_({ one }, nil, 5))
  t.equal(one:receive(), "two")
  t.equal(one:dirty(), false)
  timeout(select_({ one }, nil, 0))
end)

t.test("buffered input keeps select from waiting, others are reported as well", function()
  local one, two, three = dirty(), udp(), udp()
  poke(three)
  t.between(t.elapsed(function()
    check({ one, three }, { two }, select_({ two, one, three }, { two }, 5))
    check({ one }, {}, select_({ two, one }, nil, 5))
  end), 0, 1)
end)

t.test("objects with buffered input come first, in the order of the list", function()
  local low, two, one, high = udp(), dirty(), dirty(), udp()
  poke(low)
  poke(high)
  local readable = select_({ high, one, low, two }, nil, 0)
  t.equal(#readable, 4)
  t.equal(readable[1], one)
  t.equal(readable[2], two)
end)

t.test("an object with buffered input may be in both lists", function()
  local one = dirty()
  check({ one }, { one }, select_({ one }, { one }, 0))
  t.fill(one)
  check({ one }, {}, select_({ one }, { one }, 0))
  timeout(select_(nil, { one }, 0))
end)

t.test("a partial line is not buffered input", function()
  local client, accepted = t.pair()
  client:send("part")
  t.readable(accepted)
  accepted:settimeout(0)
  t.returns({ n = 3, nil, "timeout", "part" }, accepted:receive())
  t.equal(accepted:dirty(), false)
  timeout(select_({ accepted }, nil, 0))
end)

-- Edge cases

t.test("nothing to wait for is a sleep", function()
  local closed, fresh = udp(), t.closing(socket.tcp())
  closed:close()
  t.equal(fresh:getfd(), -1)
  t.between(t.elapsed(function()
    timeout(select_(nil, nil, 0.1))
    timeout(select_({}, {}, 0.1))
    timeout(select_({ closed, fresh }, { closed, fresh }, 0.1))
  end), 0.29, 2)
end)

t.test("closed and fresh objects are ignored", function()
  local one, closed, fresh = udp(), udp(), t.closing(socket.udp())
  closed:close()
  poke(one)
  check({ one }, { one }, select_({ closed, one, fresh }, { fresh, closed, one }, 0))
end)

t.test("strings, tables and files are ignored", function()
  local one = udp()
  poke(one)
  check({ one }, {}, select_({ "text", {}, io.stdout, one }, { "text", {}, io.stdout }, 0))
  timeout(select_({ "text", {}, io.stdout }, nil, 0))
end)

t.fix("anything that is no object is ignored", function()
  local one = udp()
  poke(one)
  local junk = { 1, 0.5, true, false, print, function() end, coroutine.create(function() end), {}, "text", io.stdout, one }
  check({ one }, { one }, select_(junk, junk, 0))
  timeout(select_({ 1, true, print }, nil, 0))
end)

t.test("an object twice in a list is reported once", function()
  local one = udp()
  poke(one)
  check({ one }, {}, select_({ one, one }, nil, 0))
  check({ one }, { one }, select_({ one, one, one }, { one, one }, 0))
end)

t.fix("an object with buffered input twice in a list is reported once", function()
  local one = dirty()
  check({ one }, {}, select_({ one, one }, nil, 0))
end)

t.fix("two objects with one descriptor are reported each in its list", function()
  local one, two = udp(), t.closing(socket.udp())
  two:setfd(one:getfd())
  t.finally(function() two:setfd(-1) end)
  timeout(select_({ one, two }, nil, 0))
  check({}, { two }, select_({ one }, { two }, 0))
  check({}, { one, two }, select_({ one, two }, { one, two }, 0))
  poke(one)
  check({ one, two }, {}, select_({ one, two }, nil, 0))
  check({ one }, { two }, select_({ one }, { two }, 0))
  check({ two }, { one }, select_({ two }, { one }, 0))
end)

t.test("a descriptor that is none raises", function()
  local one = socket.udp4()
  local fd = one:getfd()
  one:close()
  local foreign = { getfd = function() return fd end }
  t.raises("select failed", function() socket.select({ foreign }, nil, 0) end)
  t.raises("select failed", function() socket.select(nil, { foreign }, 0) end)
  t.raises({ match = "^[^:]*select%.lua:%d+: select failed$" }, function() socket.select({ foreign }, {}, 0) end)
  t.raises({ exact = "select failed" }, select_, { foreign }, nil, 0)
end)

t.test("select may be used through a coroutine", function()
  local one = udp()
  poke(one)
  local readable = coroutine.wrap(function() return (select_({ one }, nil, 0)) end)()
  t.equal(readable[1], one)
end)

t.test("the limit is still told", function()
  t.equal(socket._SETSIZE, 1024)
end)

t.test("signals do not end the wait", function()
  local child = t.spawn([[
    local socket = require "socket"
    local one = socket.udp4()
    one:setsockname("127.0.0.1", 0)
    print "waiting"
    local start = socket.gettime()
    local _, _, problem = socket.select({ one }, nil, 0.6)
    print(problem, socket.gettime() - start >= 0.59 and socket.gettime() - start < 2)
  ]])
  t.equal(child:read(), "waiting")
  for _ = 1, 5 do
    socket.sleep(0.05)
    child:signal("STOP")
    child:signal("CONT")
  end
  t.equal((child:finish()), "timeout\ttrue\n")
end)

t.test("waiting uses no processor time", function()
  local one, two = udp(), udp()
  poke(two)
  local before = os.clock()
  timeout(select_({ one }, nil, 0.3))
  t.between(os.clock() - before, 0, 0.1)
end)

t.done()

-- socket.select again and again over lists that change, small ones and large ones. What a call answers must depend on nothing
-- but its lists and the state of the descriptors at that moment, whatever earlier calls saw. Members that are closed, and
-- descriptors that are used again: select-stale.lua.

local t = require "support"
local socket = require "socket"
local serial = require "socket.serial"

local select_ = socket.select
local check, timeout, poke = t.selected, t.nothing_selected, t.poke

-- A library may keep a descriptor of its own for large lists from now on; the harness counts the descriptors of each test.
do
  local list = {}
  for i = 1, 300 do list[i] = t.member() end
  for _ = 1, 3 do timeout(list) end
  for _, object in ipairs(list) do object:close() end
  timeout(list)
end

-- A test for every size; `fn` gets a list of so many idle objects.
local function each(name, fn)
  for _, size in ipairs { 3, 40, 300 } do
    t.test(name .. " (" .. size .. " members)", function() fn(t.members(size), size) end)
  end
end

local function copy(list)
  local new = {}
  for i, object in ipairs(list) do new[i] = object end
  return new
end

-- The same list

each("each member in turn is reported alone", function(list, size)
  for i = 1, size, math.ceil(size / 50) do
    poke(list[i])
    check({ list[i] }, {}, list)
    list[i]:receive()
    timeout(list)
  end
  poke(list[size])
  check({ list[size] }, {}, list)
end)

each("all members at once", function(list)
  for _, object in ipairs(list) do poke(object) end
  for _ = 1, 3 do check(list, list, list, list) end
  for _, object in ipairs(list) do object:receive() end
  timeout(list)
  check({}, list, list, list)
end)

each("what is not read is reported again", function(list)
  local one, two = list[1], list[#list]
  poke(one)
  for _ = 1, 5 do check({ one }, {}, list) end
  poke(two)
  for _ = 1, 5 do check({ one, two }, {}, list) end
  one:receive()
  for _ = 1, 5 do check({ two }, {}, list) end
end)

each("what is read in part is reported again", function(list)
  local one = list[2]
  for _ = 1, 3 do poke(one) end
  for _ = 1, 3 do
    check({ one }, {}, list)
    check({ one }, {}, list)
    one:receive()
  end
  timeout(list)
end)

each("the wait is as long as asked and sleeps", function(list)
  timeout(list)
  local clock = os.clock()
  t.between(t.elapsed(select_, list, nil, 0.2), 0.19, 1.5)
  t.between(t.elapsed(select_, list, {}, 0.1), 0.09, 1.5)
  t.between(os.clock() - clock, 0, 0.1)
end)

each("a wait is ended by any member", function(list)
  for _ = 1, 3 do timeout(list) end
  local last = list[#list]
  local _, port = last:getsockname()
  local child = t.spawn([[
    local socket = require "socket"
    socket.sleep(0.15)
    assert(socket.udp():sendto("x", "127.0.0.1", ...))
  ]], port)
  t.returns({ { last, [last] = 1 }, {} }, select_(list, nil, 5))
  child:finish()
end)

-- Members come and go

each("a member that is left out is not reported and does not end the wait", function(list)
  for _ = 1, 3 do timeout(list) end
  local shorter = copy(list)
  local gone = table.remove(shorter, 2)
  poke(gone)
  local clock = os.clock()
  t.returns({ {}, {}, "timeout" }, select_(shorter, nil, 0.15))
  t.between(os.clock() - clock, 0, 0.1)
  check({ gone }, {}, list)
  timeout(shorter)
  poke(list[1])
  check({ list[1] }, {}, shorter)
  check({ list[1], gone }, {}, list)
end)

each("a new member is reported", function(list, size)
  timeout(list)
  for _ = 1, 5 do
    local new = t.closing(t.member())
    list[#list + 1] = new
    timeout(list)
    poke(new)
    check({ new }, {}, list)
    new:receive()
  end
  t.equal(#list, size + 5)
  local ready = t.closing(t.member())
  poke(ready)
  list[#list + 1] = ready
  check({ ready }, {}, list)
end)

each("the order of members does not matter", function(list, size)
  timeout(list)
  local one = list[2]
  poke(one)
  for step = 1, 3 do
    local turned = {}
    for i = 1, size do turned[(i + step) % size + 1] = list[i] end
    check({ one }, {}, turned)
  end
  local reversed = {}
  for i = 1, size do reversed[i] = list[size + 1 - i] end
  check({ one }, {}, reversed)
end)

each("growing and shrinking lists", function(list, size)
  poke(list[1])
  poke(list[size])
  local part = {}
  for i = 1, size do
    part[i] = list[i]
    if i % 7 == 0 or i == size then check(i == size and { list[1], list[size] } or { list[1] }, {}, part) end
  end
  for i = size, 2, -1 do
    part[i] = nil
    if i % 7 == 0 or i == 2 then check({ list[1] }, {}, part) end
  end
  part[1] = nil
  timeout(part)
  check({ list[1], list[size] }, {}, list)
end)

each("two lists by turns", function(list, size)
  local other = t.members(size)
  other[#other + 1] = list[1]
  for _ = 1, 3 do
    poke(list[2])
    poke(other[2])
    check({ list[2] }, {}, list)
    check({ other[2] }, {}, other)
    list[2]:receive()
    timeout(list)
    check({ other[2] }, {}, other)
    other[2]:receive()
    timeout(other)
    poke(list[1])
    check({ list[1] }, {}, list)
    check({ list[1] }, {}, other)
    list[1]:receive()
  end
end)

each("short lists between long ones", function(list)
  local one = list[1]
  for _ = 1, 3 do
    timeout(list)
    poke(one)
    check({ one }, {}, { one })
    timeout({ list[2] })
    check({ one }, {}, list)
    one:receive()
    timeout({ one })
    timeout({})
  end
end)

each("a member twice in the list", function(list)
  local one = list[1]
  list[#list + 1] = one
  timeout(list)
  poke(one)
  for _ = 1, 3 do check({ one }, {}, list) end
  list[#list] = nil
  check({ one }, {}, list)
  one:receive()
  timeout(list)
end)

-- Reading in one call, writing in another

each("a member to be read, then to be written, then both", function(list)
  local one = list[1]
  for _ = 1, 3 do
    timeout(list)
    timeout(list, {})
    check({}, { one }, list, { one })
    check({}, list, {}, list)
    timeout(list)
    poke(one)
    check({}, { list[2] }, {}, { list[2] })
    check({ one }, {}, list)
    check({ one }, { one }, list, { one })
    one:receive()
  end
end)

each("unread input of a member to be written does not end the wait", function(list)
  local client, accepted = t.pair()
  accepted:send("unread")
  t.readable(client)
  t.fill(client)
  for _ = 1, 2 do
    local both = copy(list)
    both[#both + 1] = client
    check({ client }, {}, both, { client })
    t.returns({ {}, {}, "timeout" }, select_(list, { client }, 0.1))
    check({ client }, {}, both)
  end
end)

each("room comes and goes", function(list)
  local client, accepted = t.pair()
  accepted:settimeout(0)
  local both = copy(list)
  both[#both + 1] = accepted
  for _ = 1, 2 do
    check({}, { client }, list, { client })
    t.fill(client)
    check({ accepted }, {}, both, { client })
    repeat
      t.readable(accepted)
      accepted:receive(2 ^ 20)
      local _, writable = select_(list, { client }, 0.02)
    until writable[1]
  end
end)

-- Other kinds of members

each("buffered input among many", function(list, size)
  local client, accepted = t.pair()
  list[size + 1] = accepted
  timeout(list)
  client:send("one\ntwo\nthree\n")
  for _ = 1, 2 do check({ accepted }, {}, list) end
  accepted:receive()
  poke(list[1])
  for _ = 1, 2 do check({ list[1], accepted }, {}, list) end
  t.equal((select_(list, nil, 0))[1], accepted)
  accepted:receive()
  accepted:receive()
  check({ list[1] }, {}, list)
  list[1]:receive()
  timeout(list)
  client:send("four\n")
  check({ accepted }, {}, list)
end)

each("files and devices that are always ready among many", function(list, size)
  local null, file = t.closing(serial("/dev/null")), t.closing(serial(t.write(t.fresh_path(), "")))
  list[size + 1] = null
  for _ = 1, 3 do check({ null }, {}, list) end
  list[size + 2] = file
  for _ = 1, 3 do check({ null, file }, { file }, list, { file }) end
  poke(list[1])
  check({ list[1], null, file }, {}, list)
  list[1]:receive()
  null:close()
  check({ file }, {}, list)
  list[size + 2] = nil
  timeout(list)
end)

each("listeners and connections in progress among many", function(list, size)
  local server, port = t.server()
  list[size + 1] = server
  timeout(list)
  local client = t.closing(socket.tcp4())
  client:settimeout(0)
  client:connect("127.0.0.1", port)
  check({ server }, { client }, list, { client })
  local accepted = t.closing(server:accept())
  timeout(list)
  list[size + 2] = accepted
  timeout(list)
  client:send("x")
  check({ accepted }, {}, list)
  local refused = t.closing(socket.tcp4())
  refused:settimeout(0)
  refused:connect("127.0.0.1", t.unused_port())
  accepted:receive(1)
  list[size + 3] = refused
  check({ refused }, { refused }, list, { refused })
end)

each("an object that connects anew", function(list, size)
  local server, port = t.server()
  local client = t.closing(socket.tcp())
  list[size + 1] = client
  for _ = 1, 3 do
    timeout(list)
    client:settimeout(5)
    t.equal(client:connect("127.0.0.1", port), 1)
    local accepted = t.closing(server:accept())
    timeout(list)
    accepted:send("x")
    check({ client }, { client }, list, { client })
    client:close()
    accepted:close()
  end
end)

each("a method that raises leaves nothing behind", function(list)
  timeout(list)
  local wrong = { getfd = function() error("wrong", 0) end }
  local broken = copy(list)
  table.insert(broken, 2, wrong)
  for _ = 1, 3 do
    t.raises({ exact = "wrong" }, select_, broken, nil, 0)
    t.raises({ exact = "wrong" }, select_, list, broken, 0)
    timeout(list)
    poke(list[3])
    check({ list[3] }, {}, list)
    list[3]:receive()
  end
end)

each("a method that uses select itself", function(list, size)
  timeout(list)
  local nested = { getfd = function()
    timeout({ list[1], list[2] })
    return -1
  end }
  local outer = copy(list)
  table.insert(outer, 2, nested)
  timeout(outer)
  nested.getfd = function()
    check({ list[size] }, {}, list)
    return -1
  end
  poke(list[size])
  check({ list[size] }, {}, outer)
  check({ list[size] }, { list[1] }, outer, { list[1], nested })
end)

each("calls from several coroutines", function(list, size)
  local function watcher(own)
    return coroutine.wrap(function()
      while true do coroutine.yield(select_(own, nil, 0)) end
    end)
  end
  local other = t.members(size)
  local first, second = watcher(list), watcher(other)
  for _ = 1, 3 do
    poke(other[1])
    t.returns({ {}, {}, "timeout" }, first())
    t.equal(second()[1], other[1])
    other[1]:receive()
    poke(list[2])
    t.equal(first()[1], list[2])
    t.returns({ {}, {}, "timeout" }, second())
    list[2]:receive()
  end
end)

t.done()

-- socket.select after members were closed, by their owner or behind its back, and after their descriptors' numbers were used
-- again or went to other objects. Lists that merely change: select-sets.lua.

local t = require "support"
local socket = require "socket"

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

-- Closing

each("a closed member is ignored", function(list, size)
  timeout(list)
  list[1]:close()
  timeout(list)
  poke(list[size])
  check({ list[size] }, {}, list)
  list[size]:close()
  timeout(list)
  check({}, { list[2] }, list, { list[1], list[2], list[size] })
end)

each("a member that is closed while it is readable is ignored", function(list)
  local one, two = list[1], list[2]
  poke(one)
  poke(two)
  check({ one, two }, {}, list)
  one:close()
  check({ two }, {}, list)
  two:close()
  timeout(list)
end)

each("all members closed", function(list)
  timeout(list)
  for _, object in ipairs(list) do object:close() end
  timeout(list)
  t.between(t.elapsed(select_, list, list, 0.1), 0.09, 1.5)
end)

each("a member that is collected", function(list, size)
  timeout(list)
  for round = 1, 5 do
    local last = t.member()
    list[size + 1] = last
    poke(last)
    check({ last }, {}, list)
    last, list[size + 1] = nil, nil
    collectgarbage()
    collectgarbage()
    timeout(list)
    t.equal(#list, size, round)
  end
end)

each("a peer that closes, resets, shuts down", function(list, size)
  local server = t.server()
  for _, ending in ipairs { "close", "reset", "shutdown" } do
    local client, accepted = t.pair(server)
    list[size + 1] = accepted
    timeout(list)
    if ending == "reset" then t.reset(client) else client[ending](client, ending == "shutdown" and "send" or nil) end
    for _ = 1, 3 do check({ accepted }, {}, list) end
    accepted:close()
    timeout(list)
    client:close()
    list[size + 1] = nil
  end
end)

-- Descriptor numbers that are used again

each("a new object with the number of a closed one", function(list)
  timeout(list)
  for _ = 1, 3 do
    local old = list[2]
    local number = old:getfd()
    poke(old)
    check({ old }, {}, list)
    old:close()
    local new = t.closing(t.member())
    t.equal(new:getfd(), number)
    timeout(list)
    list[2] = new
    timeout(list)
    poke(new)
    check({ new }, {}, list)
    new:receive()
    timeout(list)
  end
end)

each("a new object with a closed one's number that is in no list", function(list)
  timeout(list)
  local old = list[2]
  local number = old:getfd()
  old:close()
  local new = t.closing(t.member())
  t.equal(new:getfd(), number)
  poke(new)
  timeout(list)
  table.remove(list, 2)
  timeout(list)
  check({ new }, {}, { new, list[1] })
end)

each("a closed object and its number's new owner in one list", function(list)
  timeout(list)
  local old = list[2]
  old:close()
  local new = t.closing(t.member())
  list[#list + 1] = new
  poke(new)
  check({ new }, {}, list)
  check({ new }, { new }, list, { old, new })
end)

each("numbers that change owners all at once", function(list, size)
  timeout(list)
  for _, object in ipairs(list) do object:close() end
  local new = t.members(size)
  timeout(new)
  timeout(list)
  poke(new[1])
  poke(new[size])
  check({ new[1], new[size] }, {}, new)
  timeout(list)
  for i = size, 1, -1 do new[i]:close() end
  local newer = t.members(size)
  timeout(newer)
  poke(newer[2])
  check({ newer[2] }, {}, newer)
end)

each("a number that goes from reading to a writer", function(list)
  local client, accepted = t.pair()
  list[#list + 1] = accepted
  timeout(list)
  local number = accepted:getfd()
  client:close()
  accepted:close()
  client, accepted = t.pair()
  t.ok(client:getfd() == number or accepted:getfd() == number)
  list[#list] = nil
  t.fill(client)
  t.returns({ {}, {}, "timeout" }, select_(list, { client }, 0.1))
  check({ accepted }, { accepted }, { list[1], accepted }, { accepted, client })
end)

-- Descriptors that move between objects

each("setfd moves a descriptor to another object", function(list)
  timeout(list)
  local one, two = list[1], t.closing(socket.udp())
  poke(one)
  check({ one }, {}, list)
  two:setfd(one:getfd())
  one:setfd(-1)
  timeout(list)
  list[1] = two
  check({ two }, {}, list)
  check({ two }, {}, list)
  two:close()
  timeout(list)
end)

each("two members that change descriptors", function(list)
  local one, two = list[1], list[2]
  poke(one)
  check({ one }, {}, list)
  local first, second = one:getfd(), two:getfd()
  for _ = 1, 3 do
    one:setfd(second)
    two:setfd(first)
    check({ two }, {}, list)
    one:setfd(first)
    two:setfd(second)
    check({ one }, {}, list)
  end
end)

each("a descriptor that is closed behind an object's back raises", function(list)
  timeout(list)
  local victim, other = t.closing(t.member()), socket.udp()
  list[#list + 1] = victim
  timeout(list)
  other:setfd(victim:getfd())
  other:close()
  for _ = 1, 2 do t.raises("select failed", function() socket.select(list, nil, 0) end) end
  victim:setfd(-1)
  timeout(list)
end)

each("a descriptor that is replaced behind an object's back", function(list)
  timeout(list)
  local victim, thief = t.closing(t.member()), socket.udp()
  list[#list + 1] = victim
  timeout(list)
  local number = victim:getfd()
  thief:setfd(number)
  thief:close()
  local heir = t.closing(t.member())
  t.equal(heir:getfd(), number)
  poke(heir)
  check({ victim }, {}, list)
  heir:receive()
  timeout(list)
  victim:setfd(-1)
end)

each("a foreign member whose descriptor changes", function(list, size)
  local one, two = t.closing(t.member()), t.closing(t.member())
  local current = one
  list[size + 1] = { getfd = function() return current and current:getfd() or -1 end }
  timeout(list)
  poke(two)
  timeout(list)
  current = two
  check({ list[size + 1] }, {}, list)
  current = nil
  timeout(list)
  current = one
  timeout(list)
  poke(one)
  check({ list[size + 1] }, {}, list)
end)

t.fix("two objects with one descriptor among many", function()
  for _, size in ipairs { 3, 40, 300 } do
    local list = t.members(size)
    local one, twin, both = list[1], socket.udp(), copy(list)
    twin:setfd(one:getfd())
    both[size + 1] = twin
    timeout(both)
    poke(one)
    for _ = 1, 2 do check({ one, twin }, {}, both) end
    check({ one }, { twin }, list, { twin })
    check({ one }, {}, list)
    one:receive()
    twin:setfd(-1)
    timeout(both)
  end
end)

-- Children share descriptors, and what the system watches stays watched until the last of them is closed.

each("children between calls", function(list)
  timeout(list)
  os.execute("true")
  poke(list[1])
  check({ list[1] }, {}, list)
  local child = io.popen("echo $$; exec sleep 20", "r")
  local pid = child:read("*l")
  t.finally(function()
    os.execute("kill " .. pid)
    child:close()
  end)
  check({ list[1] }, {}, list)
  list[1]:close()
  timeout(list)
  list[1] = t.closing(t.member())
  timeout(list)
  poke(list[1])
  check({ list[1] }, {}, list)
  list[1]:receive()
  timeout(list)
end)

-- A pipe that is opened by `io.open` is inherited by children. Its descriptor's number is the lowest free one.
each("a number whose former descriptor lives on in a child", function(list)
  timeout(list)
  local path = t.fresh_path()
  if select(2, t.shell("mkfifo " .. t.quote(path))) ~= 0 then t.skip("no pipe can be made") end
  local probe = t.member()
  local number = probe:getfd()
  probe:close()
  local pipe = assert(io.open(path, "r+"))
  local object = socket.udp()
  object:setfd(number)
  list[#list + 1] = object
  timeout(list)
  check({}, { object }, list, { object })
  local child = io.popen("echo $$; exec sleep 20", "r")
  local pid = child:read("*l")
  t.finally(function()
    os.execute("kill " .. pid)
    child:close()
  end)
  pipe:write("x")
  pipe:flush()
  check({ object }, {}, list)
  pipe:close()
  object:setfd(-1)
  local new = t.closing(t.member())
  t.equal(new:getfd(), number)
  timeout(list)
  list[#list] = new
  local clock = os.clock()
  t.returns({ {}, {}, "timeout" }, select_(list, nil, 0.15))
  t.between(os.clock() - clock, 0, 0.1)
  poke(new)
  check({ new }, {}, list)
  new:receive()
  timeout(list)
end)

t.done()

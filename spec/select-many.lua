-- socket.select over many members: whatever happens in whatever order, and more descriptors than 1024. Single changes, one
-- by one: select-sets.lua, select-stale.lua.

local t = require "support"
local socket = require "socket"

local check, timeout, poke = t.selected, t.nothing_selected, t.poke

-- A library may keep a descriptor of its own for large lists from now on; the harness counts the descriptors of each test.
do
  local list = {}
  for i = 1, 300 do list[i] = t.member() end
  for _ = 1, 3 do timeout(list) end
  for _, object in ipairs(list) do object:close() end
  timeout(list)
end

-- A generator of our own, so that every Lua tries the same.
local function random_numbers(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return math.floor(seed / 65536) % n + 1
  end
end

-- One step of a run: something happens to the member at a random place.
local actions = {
  function(world, i)
    poke(world[i].object)
    world[i].queued = world[i].queued + 1
  end,
  function(world, i)
    if world[i].queued == 0 then return end
    world[i].object:receive()
    world[i].queued = world[i].queued - 1
  end,
  function(world, i)
    world[i].object:close()
    world[i] = { object = t.member(), queued = 0, reads = true, writes = false }
  end,
  function(world, i)
    world[i].object:close()
    local j = (i * 7) % #world + 1
    if j ~= i then world[j].object:close() end
    world[j] = { object = t.member(), queued = 0, reads = true, writes = true }
    world[i] = { object = t.member(), queued = 0, reads = false, writes = false }
  end,
  function(world, i)
    local j = (i * 5) % #world + 1
    local one, two = world[i], world[j]
    local first, second = one.object:getfd(), two.object:getfd()
    one.object:setfd(second)
    two.object:setfd(first)
    one.queued, two.queued = two.queued, one.queued
  end,
  function(world, i)
    local heir = socket.udp()
    heir:settimeout(0)
    heir:setfd(world[i].object:getfd())
    world[i].object:setfd(-1)
    world[i].object = heir
  end,
  function(world, i)
    local thief = socket.udp()
    thief:setfd(world[i].object:getfd())
    thief:close() -- behind the back of the member, whose number is then used again
    local heir = t.member()
    world[i].object:setfd(-1)
    world[i] = { object = heir, queued = 0, reads = true, writes = false }
  end,
  function(world, i)
    local j = (i * 3) % #world + 1
    world[i], world[j] = world[j], world[i]
  end,
  function(world, i) world[i].reads = not world[i].reads end,
  function(world, i) world[i].writes = not world[i].writes end,
}

local function expect(world)
  local lists = { {}, {}, {}, {} }
  for _, member in ipairs(world) do
    if member.reads then table.insert(lists[1], member.object) end
    if member.writes then table.insert(lists[2], member.object) end
    if member.reads and member.queued > 0 then table.insert(lists[3], member.object) end
    if member.writes then table.insert(lists[4], member.object) end
  end
  return lists[1], lists[2], lists[3], lists[4]
end

for _, size in ipairs({ 3, 40, 300 }) do
  t.test("whatever happens in whatever order (" .. size .. " members)", function()
    local random, world = random_numbers(size), {}
    t.finally(function()
      for _, member in ipairs(world) do member.object:close() end
    end)
    for i = 1, size do world[i] = { object = t.member(), queued = 0, reads = i % 4 ~= 0, writes = i % 9 == 0 } end
    for _ = 1, 300 do
      for _ = 1, random(6) do actions[random(#actions)](world, random(size)) end
      local list, writers, readable, writable = expect(world)
      if #readable + #writable == 0 then
        timeout(list, writers)
      else
        check(readable, writable, list, writers)
      end
    end
  end, 30)
end

-- More than 1024

t.fix("descriptors have no limit", function()
  local list = {}
  t.finally(function()
    for _, object in ipairs(list) do object:close() end
  end)
  for i = 1, 1500 do
    local object, problem = socket.udp4()
    if not object then t.skip(problem) end
    object:setsockname("127.0.0.1", 0)
    list[i] = object
  end
  t.ok(list[1500]:getfd() > 1024)
  timeout(list)
  timeout({ list[1500] })
  for _, i in ipairs { 1, 1023, 1024, 1025, 1500 } do
    poke(list[i])
    check({ list[i] }, {}, list)
    check({ list[i] }, { list[i] }, { list[i] }, { list[i] })
    list[i]:receive()
  end
  check({}, list, list, list)
  for i = 1, 1500, 2 do list[i]:close() end
  timeout(list)
  poke(list[1400])
  check({ list[1400] }, {}, list)
end)

t.done()

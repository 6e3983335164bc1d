-- What socket.select asks its objects: `getfd` and `dirty` of any value, own methods that were replaced included.

local t = require "support"
local socket = require "socket"

local check, timeout, poke = t.selected, t.nothing_selected, t.poke

local function udp()
  return t.closing(t.member())
end

-- A library may keep a descriptor of its own for large lists from now on; the harness counts the descriptors of each test.
do
  local list = {}
  for i = 1, 300 do list[i] = t.member() end
  for _ = 1, 3 do timeout(list) end
  for _, object in ipairs(list) do object:close() end
  timeout(list)
end

-- An object made of `socket_`'s descriptor; `dirty` is what its method answers, none if nil.
local function foreign(socket_, dirty)
  local object = { asked = 0 }
  function object:getfd()
    t.equal(self, object)
    self.asked = self.asked + 1
    return socket_:getfd()
  end
  if dirty ~= nil then
    function object:dirty()
      t.equal(self, object)
      return dirty
    end
  end
  return object
end

t.test("a table with getfd is an object", function()
  local one = udp()
  local object = foreign(one)
  timeout({ object })
  check({}, { object }, { object }, { object })
  poke(one)
  check({ object }, { object }, { object }, { object })
  t.ok(object.asked > 0)
end)

t.test("methods are found through metatables", function()
  local one = udp()
  poke(one)
  local class = { __index = { getfd = function() return one:getfd() end, dirty = function() return false end } }
  local object = setmetatable({}, class)
  check({ object }, { object }, { object }, { object })
  local lookup = setmetatable({}, { __index = function(_, name)
    if name == "getfd" then return function() return one:getfd() end end
  end })
  check({ lookup }, {}, { lookup })
end)

t.test("methods may be callable values", function()
  local one = udp()
  poke(one)
  local callable = setmetatable({}, { __call = function() return one:getfd() end })
  local object = { getfd = callable }
  check({ object }, {}, { object })
end)

t.test("own objects and foreign ones in one list", function()
  local one, two, three = udp(), udp(), udp()
  poke(one)
  poke(two)
  local object = foreign(two)
  check({ one, object }, { three }, { one, object, three }, { three })
end)

t.test("what getfd answers may be text of a number or a fraction", function()
  local one = udp()
  poke(one)
  for _, answer in ipairs { tostring(one:getfd()), one:getfd() + 0.7, one:getfd() + 0.0 } do
    local object = { getfd = function() return answer end }
    check({ object }, {}, { object })
  end
end)

t.test("answers that are no descriptor mean: ignore me", function()
  local none = { n = 7, -1, "x", false, true, {}, print, nil }
  for i = 1, none.n do
    local object = { getfd = function() return none[i] end }
    timeout({ object }, { object })
  end
  local silent = { getfd = function() end }
  timeout({ silent })
end)

t.test("answers of getfd beyond the first do not count", function()
  local one = udp()
  poke(one)
  local object = { getfd = function() return one:getfd(), -1, "x" end }
  check({ object }, {}, { object })
end)

t.test("a dirty object is readable at once", function()
  local one, two = udp(), udp()
  for _, yes in ipairs { true, 1, "yes", 0 } do
    local object = foreign(one, yes)
    check({ object }, {}, { object, two })
    check({ object }, {}, { two, object })
  end
end)

t.test("an object that is not dirty is waited for", function()
  local one = udp()
  local object = foreign(one, false)
  timeout({ object })
  poke(one)
  check({ object }, {}, { object })
end)

t.test("dirty is not asked of objects to be written", function()
  local one = udp()
  local object = { getfd = function() return one:getfd() end, dirty = function() error "asked" end }
  check({}, { object }, nil, { object })
end)

t.test("a dirty object without a descriptor is ignored", function()
  local object = { getfd = function() return -1 end, dirty = function() return true end }
  timeout({ object })
end)

t.test("a dirty object's descriptor is not waited for", function()
  local one = socket.udp4()
  local fd = one:getfd()
  one:close()
  local object = { getfd = function() return fd end, dirty = function() return true end }
  check({ object }, {}, { object })
end)

t.test("errors of the methods pass, and do no harm", function()
  local one = udp()
  local wrong = { getfd = function() error("my words", 0) end }
  local value = {}
  local worse = { getfd = function() return one:getfd() end, dirty = function() error(value) end }
  for _ = 1, 3 do
    t.raises({ exact = "my words" }, socket.select, { one, wrong }, { one }, 0)
    t.raises({ exact = "my words" }, socket.select, nil, { one, wrong }, 0)
    t.raises({ value = value }, socket.select, { one, worse }, { one }, 0)
    t.raises({ match = "attempt to call" }, socket.select, { { getfd = 1 } }, nil, 0)
    check({}, { one }, { one }, { one })
  end
end)

t.test("select may be used by the methods it calls", function()
  local one, two = udp(), udp()
  poke(one)
  poke(two)
  local inner = 0
  local object = {}
  function object.getfd()
    check({ two }, { two }, { two }, { two })
    timeout({}, {})
    inner = inner + 1
    return two:getfd()
  end
  function object.dirty()
    check({ one }, {}, { one })
    inner = inner + 1
    return false
  end
  check({ one, object }, { one }, { one, object }, { one })
  t.ok(inner >= 2)
end)

t.test("methods may change the lists", function()
  local one, two = udp(), udp()
  poke(one)
  poke(two)
  local list = {}
  local object = { getfd = function() list[3] = two return one:getfd() end }
  list[1], list[2] = object, one
  local readable = socket.select(list, nil, 0)
  t.equal(readable[readable[two]], two)
  local closing = { getfd = function() one:close() return -1 end }
  check({ two }, {}, { closing, one, two })
end)

-- Own objects whose class was changed

local function patch(object, name, fn)
  local methods = getmetatable(object).__index
  local original = methods[name]
  t.finally(function() methods[name] = original end)
  methods[name] = fn
  return original
end

t.test("a replaced dirty is asked", function()
  local client, accepted = t.pair()
  local answer = true
  patch(client, "dirty", function() return answer end)
  local readable = socket.select({ client, accepted }, nil, 0)
  t.equal(#readable, 2)
  answer = false
  timeout({ client, accepted })
end)

t.test("a replaced getfd is asked", function()
  local one, two = udp(), udp()
  local original
  original = patch(one, "getfd", function(object)
    return original(object == one and two or object)
  end)
  timeout({ one, two })
  local _, port = two:getsockname()
  two:sendto("x", "127.0.0.1", port)
  check({ one }, {}, { one })
  two:receive()
  timeout({ one })
end)

t.test("a replaced getfd may hide an object", function()
  local one = udp()
  poke(one)
  check({ one }, {}, { one })
  patch(one, "getfd", function() return -1 end)
  timeout({ one }, { one })
end)

t.test("removed methods are missed", function()
  local client, accepted = t.pair()
  accepted:send("one\ntwo\n")
  client:receive()
  t.equal(client:dirty(), true)
  patch(client, "dirty", nil)
  timeout({ client })
  patch(client, "getfd", nil)
  timeout({ client }, { client })
end)

t.test("a replaced __index is asked", function()
  local one = udp()
  local meta = getmetatable(one)
  local original = meta.__index
  t.finally(function() meta.__index = original end)
  poke(one)
  meta.__index = function(_, name)
    if name ~= "getfd" then return original[name] end
    return function() return -1 end
  end
  timeout({ one }, { one })
  meta.__index = original
  check({ one }, { one }, { one }, { one })
end)

t.test("in a large list, too, methods are asked at every call", function()
  local list = t.members(300)
  local one, dirty, hidden = list[2], false, false
  for _ = 1, 3 do timeout(list) end
  local original
  patch(one, "dirty", function(object) return object == one and dirty end)
  original = patch(one, "getfd", function(object) return hidden and object == one and -1 or original(object) end)
  for _ = 1, 2 do
    timeout(list)
    dirty = true
    check({ one }, {}, list)
    hidden = true
    timeout(list)
    dirty = false
    poke(list[1])
    check({ list[1] }, { list[3] }, list, { one, list[3] })
    hidden = false
    list[1]:receive()
  end
end)

-- Sources and sinks

t.test("sources and sinks of the library are objects", function()
  local client, accepted = t.pair()
  local source, sink = socket.source("until-closed", accepted), socket.sink("keep-open", client)
  timeout({ source })
  check({}, { sink }, nil, { sink })
  sink("one\ntwo\n")
  check({ source }, { sink }, { source }, { sink })
  t.equal(accepted:receive(), "one")
  check({ source }, {}, { source })
end)

t.test("modules of the library mix in one list", function()
  local unix, serial = require "socket.unix", require "socket.serial"
  local stream, null = t.closing(unix.dgram()), t.closing(serial("/dev/null"))
  local one, server = udp(), (t.server())
  poke(one)
  check({ one, null }, { stream, null, one }, { one, null, stream, server }, { stream, null, one })
end)

t.done()

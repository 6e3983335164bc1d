--- `select` over sockets of which one is readable.
local peer = require "bench.lib.peer"
local socket = require "socket"

--- `count` connections without news, of which the last has a byte to read.
local function one_active(count)
  local port, list = peer.hold(), {}
  for i = 1, count - 1 do list[i] = peer.connect(port) end
  list[count] = peer.connect(peer.hold("x"))
  assert(#socket.select({ list[count] }, nil, 5) == 1)
  return list
end

local function over(sockets, count, target)
  return {
    name = ("select, 1 of %d active"):format(sockets),
    count = count,
    target = target,
    setup = function() return one_active(sockets) end,
    op = function(list, n)
      local select = socket.select
      for _ = 1, n do select(list, nil, 0) end
    end,
  }
end

local many = over(10000, 1000)
many.only, many.limit = "ours", 220e-6

return {
  over(10, 30000, 1.5),
  over(100, 8000, 6.5),
  over(1000, 800, 21),
  many,
  {
    name = "select({}, {}, 0)",
    count = 300000,
    target = 6.5,
    op = function(_, n)
      local select = socket.select
      for _ = 1, n do select({}, {}, 0) end
    end,
    bare = function(_, n)
      local two = rawequal
      for _ = 1, n do two({}, {}) end
    end,
  },
  {
    name = "select({idle}, nil, 0)",
    count = 200000,
    target = 2.8,
    setup = function() return { peer.connect(peer.hold()) } end,
    op = function(list, n)
      local select = socket.select
      for _ = 1, n do select(list, nil, 0) end
    end,
  },
}

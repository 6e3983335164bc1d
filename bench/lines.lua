--- Lines that arrive as fast as they are read.
local peer = require "bench.lib.peer"

local function lines(size, count, target)
  return {
    name = ('receive("*l"), %d bytes'):format(size),
    count = count,
    target = target,
    setup = function()
      return peer.connect(peer.source(("x"):rep(size) .. "\n"))
    end,
    op = function(client, n)
      for _ = 1, n do client:receive("*l") end
    end,
  }
end

return {
  lines(16, 1000000, 1.5),
  lines(100, 600000, 2.1),
  lines(1000, 100000, 3.4),
}

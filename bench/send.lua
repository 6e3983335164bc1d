--- Data that is taken as fast as it is sent.
local peer = require "bench.lib.peer"

local function sends(what, size, count, target)
  return {
    name = "send, " .. what,
    count = count,
    bytes = size >= 65536 and size or nil,
    target = target,
    setup = function()
      return { client = peer.connect(peer.sink()), data = ("x"):rep(size) }
    end,
    op = function(state, n)
      local client, data = state.client, state.data
      for _ = 1, n do client:send(data) end
    end,
  }
end

return {
  sends("1 MB", 1024 * 1024, 600, 1.5),
  sends("64 KB", 65536, 10000, 1.0),
  sends("16 bytes", 16, 200000, 1.05),
}

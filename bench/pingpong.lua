--- One byte there and one byte back, both ends on one core.
local peer = require "bench.lib.peer"
local socket = require "socket"

local function setup()
  local client = peer.connect(peer.echo())
  assert(client:setoption("tcp-nodelay", true))
  return client
end

return {
  {
    name = "ping-pong",
    count = 30000,
    cores = 1,
    target = 1.1,
    setup = setup,
    op = function(client, n)
      for _ = 1, n do
        client:send("x")
        client:receive(1)
      end
    end,
  },
  {
    name = "ping-pong with select",
    count = 25000,
    cores = 1,
    target = 1.2,
    setup = setup,
    op = function(client, n)
      local select, list = socket.select, { client }
      for _ = 1, n do
        client:send("x")
        select(list)
        client:receive(1)
      end
    end,
  },
}

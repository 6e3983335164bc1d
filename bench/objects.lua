--- Objects: making and closing them, and the memory they hold.
local memory = require "bench.lib.memory"
local peer = require "bench.lib.peer"
local socket = require "socket"

return {
  {
    name = "tcp() and close()",
    count = 500000,
    target = 3.3,
    op = function(_, n)
      local tcp = socket.tcp
      for _ = 1, n do tcp():close() end
    end,
  },
  {
    name = "memory of an idle object",
    count = 1,
    target = 30,
    rounds = 3,
    measure = function()
      return memory.each(20000, function() return socket.tcp() end)
    end,
  },
  {
    name = "memory of a connection",
    count = 1,
    target = 30,
    rounds = 3,
    measure = function()
      local port = peer.hold("hello\n")
      return memory.each(8000, function()
        local client = peer.connect(port)
        assert(client:receive() == "hello")
        return client
      end)
    end,
  },
}

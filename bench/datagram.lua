--- Datagrams of 64 bytes between two objects of this process.
local socket = require "socket"

local BATCH = 100
local DATA = ("x"):rep(64)

local function setup()
  local receiver, sender = assert(socket.udp()), assert(socket.udp())
  assert(receiver:setsockname("127.0.0.1", 0))
  receiver:settimeout(0)
  local _, port = receiver:getsockname()
  return { receiver = receiver, sender = sender, port = port }
end

local function drain(state)
  while state.receiver:receive() do end
end

local function fill(state)
  drain(state)
  for _ = 1, BATCH do assert(state.sender:sendto(DATA, "127.0.0.1", state.port)) end
end

return {
  {
    name = "sendto, 64 bytes",
    count = 100000,
    batch = BATCH,
    target = 1.1,
    setup = setup,
    refill = drain,
    op = function(state, n)
      local sender, port = state.sender, state.port
      for _ = 1, n do sender:sendto(DATA, "127.0.0.1", port) end
    end,
  },
  {
    name = "receivefrom, 64 bytes",
    count = 100000,
    batch = BATCH,
    target = 1.2,
    setup = setup,
    refill = fill,
    op = function(state, n)
      local receiver = state.receiver
      for _ = 1, n do receiver:receivefrom() end
    end,
  },
}

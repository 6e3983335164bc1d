--- Methods whose work is small: what is left is the way into the library.
local peer = require "bench.lib.peer"

--- A client with a byte in its buffer.
local function setup()
  local client = peer.connect(peer.hold(("x"):rep(4096)))
  client:receive(1)
  return client
end

--- `op` as a workload; written out, so that the loop holds nothing but the call.
local function method(name, count, target, op)
  return { name = name, count = count, target = target, setup = setup, op = op }
end

local from_buffer = method("receive(1) from the buffer", 2000000, 1.7, function(client, n)
  for _ = 1, n do client:receive(1) end
end)
from_buffer.setup = function() return peer.connect(peer.source(("x"):rep(1024))) end

return {
  from_buffer,
  method('send("")', 2000000, 1.7, function(client, n)
    for _ = 1, n do client:send("") end
  end),
  method("settimeout(1)", 3000000, 1.3, function(client, n)
    for _ = 1, n do client:settimeout(1) end
  end),
  method("getfd", 5000000, 1.25, function(client, n)
    for _ = 1, n do client:getfd() end
  end),
  method("dirty", 5000000, 1.3, function(client, n)
    for _ = 1, n do client:dirty() end
  end),
  method("getsockname", 400000, 1.3, function(client, n)
    for _ = 1, n do client:getsockname() end
  end),
  method("getpeername", 400000, 1.4, function(client, n)
    for _ = 1, n do client:getpeername() end
  end),
}

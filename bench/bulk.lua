--- Bulk data, read in blocks and to the end of the stream.
local memory = require "bench.lib.memory"
local peer = require "bench.lib.peer"
local socket = require "socket"

local BATCH = 256 * 1024
local DATA = ("x"):rep(BATCH)
local TEXT = ("0123456789abcdef"):rep(64)
local WHOLE = 200 * 1000 * 1000

--- A pair of connected objects with room for a batch between them. Both ends
--- are here, so that a batch is there before it is read: how long a reader waits
--- for a writer depends on the machine more than on the library.
local function pair()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local writer = assert(socket.tcp())
  writer:connect("127.0.0.1", port)
  writer:settimeout(1)
  local reader = assert(server:accept())
  server:close()
  assert(writer:setoption("send-buffer-size", 2 * BATCH))
  assert(reader:setoption("recv-buffer-size", 2 * BATCH))
  return { reader = reader, writer = writer }
end

local function op(size)
  return function(reader, n)
    for _ = 1, n do reader:receive(size) end
  end
end

--- Blocks that lie ready in the kernel.
local function ready(size, target)
  local receive = op(size)
  return {
    name = ("receive(%d)"):format(size),
    count = math.floor(300e6 / size),
    batch = math.floor(BATCH / size),
    bytes = size,
    target = target,
    setup = pair,
    refill = function(state) assert(state.writer:send(DATA) == BATCH) end,
    op = function(state, n) receive(state.reader, n) end,
  }
end

--- Blocks from a peer that writes as fast as it can: what a call finds, and how
--- often it must wait, changes from run to run.
local function streaming(size)
  return {
    name = ("receive(%d) from a peer"):format(size),
    count = math.floor(300e6 / size),
    bytes = size,
    rounds = 9,
    setup = function() return peer.connect(peer.source(TEXT)) end,
    op = op(size),
  }
end

--- A port where each connection gets all of the 200 MB.
local function setup_whole()
  return peer.source(TEXT, WHOLE)
end

local function receive_whole(port)
  local client = peer.connect(port)
  local data = assert(client:receive("*a"))
  client:close()
  assert(#data == WHOLE)
  return data
end

local whole = {
  name = 'receive("*a"), 200 MB',
  count = 1,
  warm = 0,
  bytes = WHOLE,
  target = 1.5,
  setup = setup_whole,
  op = function(port, n)
    for _ = 1, n do receive_whole(port) end
  end,
}

local peak = {
  name = 'receive("*a"), peak memory',
  count = 1,
  unit = "bytes/byte",
  limit = 2,
  rounds = 3,
  measure = function()
    local port = setup_whole()
    memory.reset_peak()
    local before = memory.resident()
    local data = receive_whole(port)
    return (memory.peak() - before) / #data
  end,
}

return {
  ready(65536, 2.2),
  ready(8192, 2.5),
  ready(1024, 1.4),
  streaming(65536),
  streaming(8192),
  streaming(1024),
  whole,
  peak,
}

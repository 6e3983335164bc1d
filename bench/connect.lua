--- Connections made and taken, both ends in this process.
local socket = require "socket"

local BATCH = 25

local function setup()
  local server = assert(socket.bind("127.0.0.1", 0, 128))
  local _, port = server:getsockname()
  return { server = server, port = port, clients = {}, accepted = {} }
end

local function close_all(list)
  for i = #list, 1, -1 do
    list[i]:close()
    list[i] = nil
  end
end

--- Takes and closes the connections of the last batch.
local function accept_all(state)
  for _ = 1, #state.clients do assert(state.server:accept()):close() end
  close_all(state.clients)
end

--- Closes the last batch and makes as many connections for the next.
local function connect_all(state)
  close_all(state.accepted)
  close_all(state.clients)
  for i = 1, BATCH do
    state.clients[i] = assert(socket.connect("127.0.0.1", state.port))
  end
end

local function connect(what, host, count, target)
  return {
    name = "connect to " .. what,
    count = count,
    batch = BATCH,
    target = target,
    setup = setup,
    refill = accept_all,
    op = function(state, n)
      local clients, port = state.clients, state.port
      for i = 1, n do clients[i] = socket.connect(host, port) end
    end,
  }
end

return {
  connect("an address", "127.0.0.1", 5000, 1.2),
  connect("a name", "localhost", 5000, 1.2),
  {
    name = "accept",
    count = 5000,
    batch = BATCH,
    target = 1.1,
    setup = setup,
    refill = connect_all,
    op = function(state, n)
      local server, accepted = state.server, state.accepted
      for i = 1, n do accepted[i] = server:accept() end
    end,
  },
}

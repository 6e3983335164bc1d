-- A server with a line protocol and deadlines, and a client that tries it. Self-contained.
--
--     luasocket examples/line-server.lua [PORT]
--
-- Commands: ADD a b, TIME, QUIT. A client that is silent for 30 seconds, or takes more than a minute in all, is sent away;
-- at most 100 are served at once. Without a port it serves its own client only, and ends.

local socket = require "socket"
local task = require "socket.task"

local SILENCE, SESSION, MOST = 30, 60, 100

local commands = {}

function commands.ADD(arguments)
  local a, b = arguments:match("^(%S+) (%S+)$")
  a, b = tonumber(a), tonumber(b)
  if not a or not b then return "ERR two numbers, please" end
  return "OK " .. a + b
end

function commands.TIME() return "OK " .. os.date("!%Y-%m-%dT%H:%M:%SZ") end

local function converse(client)
  client:settimeout(SILENCE)
  client:send("HELLO\n")
  while true do
    local line, err = client:receive()
    if not line then
      if err == "timeout" then client:send("BYE too quiet\n") end
      return
    end
    local word, arguments = line:match("^(%S+) ?(.*)$")
    if word == "QUIT" then return client:send("BYE\n") end
    local command = commands[word]
    client:send((command and command(arguments) or "ERR unknown command") .. "\n")
  end
end

local function handle(client)
  local _, late = task.timeout(SESSION, converse, client)
  if late == "timeout" then client:send("BYE too long\n") end
end

local function try(server)
  local _, port = server:getsockname()
  local client = assert(socket.connect("127.0.0.1", port))
  print(client:receive())
  for _, line in ipairs { "ADD 3 4", "ADD 3", "JUMP", "QUIT" } do
    client:send(line .. "\n")
    print("> " .. line, (client:receive()))
  end
  client:close()
end

task.run(function(port)
  local server = assert(socket.bind("127.0.0.1", port or 0))
  if not port then
    task.spawn(function()
      try(server)
      server:close()
    end)
  end
  assert(task.serve(server, handle, { max = MOST }))
end, tonumber((arg or {})[1]))

-- A server with a line protocol and deadlines, and a client that tries it. Self-contained.
--
--     luasocket --task examples/line-server.lua [PORT]
--     luasocket --workers 0 examples/line-server.lua PORT     on all cores
--
-- Commands: ADD a b, TIME, QUIT. A client that is silent for 30 seconds, or takes more than a minute in all, is sent away;
-- at most 1000 are served at once. SIGTERM and Ctrl-C close the port and send clients away when they have got the answer
-- to their next command, or after some seconds. Without a port it serves its own client only, and ends.

local socket = require "socket"
local task = require "socket.task"

local SILENCE, SESSION, MOST, LONGEST = 30, 60, 1000, 1000

local commands = {}

function commands.ADD(arguments)
  local a, b = arguments:match("^(%S+) (%S+)$")
  a, b = tonumber(a), tonumber(b)
  if not a or not b then return "ERR two numbers, please" end
  return "OK " .. a + b
end

function commands.TIME() return "OK " .. os.date("!%Y-%m-%dT%H:%M:%SZ") end

local function answer(line)
  local word, arguments = line:match("^(%S+) ?(.*)$")
  local command = commands[word]
  return command and command(arguments) or "ERR unknown command"
end

-- How it ends, in a word for the client; nil if that has gone.
local function converse(client)
  client:settimeout(SILENCE)
  client:send("HELLO\n")
  while true do
    local line, problem = client:receive("*l", nil, { most = LONGEST })
    if problem == "timeout" then return "too quiet" end
    if problem == "line too long" then return problem end
    if not line then return nil end
    if line == "QUIT" then return "see you" end
    if not client:send(answer(line) .. "\n") then return nil end
    if task.stopping() then return "closing" end
  end
end

local function handle(client)
  local word, problem = task.timeout(SESSION, converse, client)
  if problem == "timeout" then word = "too late" end
  if word then client:send("BYE " .. word .. "\n") end
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
  server:close() -- ends task.serve
end

local function main(port)
  local server = assert(socket.bind("127.0.0.1", port or 0, { backlog = 1024, reuseport = arg.workers ~= nil }))
  if not port then task.spawn(try, server) end
  assert(task.serve(server, handle, { max = MOST }))
end

if task.current() then main(...) else task.run(main, ...) end

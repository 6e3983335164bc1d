-- An echo server: whatever a client sends, it gets back.
--
--     luasocket --task examples/echo-server.lua [PORT [HOST]]
--     luasocket --workers 0 examples/echo-server.lua PORT [HOST]     on all cores
--
-- SIGTERM and Ctrl-C close the port, and let those who are served go on for some seconds (`--grace`). A client that is
-- silent for a minute, or does not take what it gets, is sent away. A stock interpreter runs it too.

local socket = require "socket"
local task = require "socket.task"

local SILENCE, MOST = 60, 10000

local function echo(client)
  client:settimeout(SILENCE)
  repeat
    local bytes = client:receiveany(16384)
  until not bytes or not client:send(bytes)
end

local function main(port, host)
  local server = assert(socket.bind(host or "127.0.0.1", port or 7007, {
    backlog = 1024,
    reuseport = arg.workers ~= nil,
  }))
  print(("listening at %s, port %d"):format(server:getsockname()))
  io.stdout:flush()
  assert(task.serve(server, echo, { max = MOST }))
end

-- The runner's `--task` and `--workers` have made us a task.
if task.current() then main(...) else task.run(main, ...) end

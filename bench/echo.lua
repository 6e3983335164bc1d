--- Echo of 64 bytes in tasks, beside a bare loop over epoll in C (bench/lib/echo.c), which makes the same system
-- calls. The clients are a process of their own; each sends its next request when it has the answer.
local io = require "io"
local os = require "os"
local peer = require "bench.lib.peer"
local socket = require "socket"
local task = require "socket.task"

local clock = os.clock

local function listen()
  local server = assert(socket.tcp4())
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(4096))
  return server, select(2, server:getsockname())
end

-- Serves until `warm + count` requests are done; the CPU time of the last `count` of them.
local function serve(clients, active, count, warm)
  local server, port = listen()
  local last = warm + count
  local done, start, time = 0, clock(), nil
  peer.load(port, clients, active, last)
  task.run(function()
    local main = task.current()
    local function echo(client)
      while true do
        local data = client:receive(64)
        if not data then break end
        client:send(data)
        done = done + 1
        if done == warm then start = clock() end
        if done == last then
          time = clock() - start
          main:cancel()
        end
      end
    end
    task.serve(server, echo)
  end)
  return time
end

-- `most` is how many times the CPU time of the bare loop a request may take.
local function echo(clients, active, most)
  local name = ("echo, %d clients"):format(clients)
  if active < clients then name = ("%s, %d active"):format(name, active) end
  return {
    name = name,
    count = clients == 1 and 20000 or 60000,
    warm = math.max(2000, clients * 2),
    rival = ("echo %d %d"):format(clients, active),
    target = math.floor(100 / most + 0.5) / 100,
    serve = function(count, warm) return serve(clients, active, count, warm) end,
  }
end

return {
  echo(1, 1, 1.1),
  echo(10, 10, 1.15),
  echo(100, 100, 1.15),
  echo(900, 900, 1.15),
  echo(900, 10, 1.15),
  echo(5000, 5000, 1.2),
  echo(10000, 10000, 1.2),
}

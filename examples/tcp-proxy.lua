-- A TCP proxy: connects whoever comes with another server, and hands on what either has to say.
--
--     luasocket --task examples/tcp-proxy.lua PORT TARGET-HOST TARGET-PORT
--     luasocket --workers 0 examples/tcp-proxy.lua PORT TARGET-HOST TARGET-PORT     on all cores
--
-- Each connection has two tasks, one for each direction. The end of one direction is handed on while the other goes on. A
-- connection on which both are silent for five minutes is closed. On SIGTERM and Ctrl-C those that are there go on for
-- some seconds (`--grace`).

local socket = require "socket"
local task = require "socket.task"

local CONNECT, SILENCE, MOST = 10, 300, 1000

-- Hands on what comes from `from`, until its end. `line.heard` is when either side was last heard.
local function copy(from, to, line)
  while true do
    local bytes, problem = from:receiveany(65536)
    if bytes then
      line.heard = task.now()
      if not to:send(bytes) then return from:close() end
    elseif problem ~= "timeout" or task.now() - line.heard >= SILENCE then
      return to:shutdown "send"
    end
  end
end

local function handle(client, host, port)
  local target, problem = socket.connect(host, port, { timeout = CONNECT })
  if not target then return io.stderr:write("no connection to ", host, ": ", problem, "\n") end
  client:settimeout(SILENCE)
  target:settimeout(SILENCE)
  local line = { heard = task.now() }
  local ok, err = pcall(task.group, function(group)
    group:spawn(copy, client, target, line)
    copy(target, client, line)
  end)
  target:close() -- whatever happens; the client is closed by `serve`
  if not ok then error(err, 0) end
end

local function main(port, host, target_port)
  assert(target_port, "usage: tcp-proxy.lua PORT TARGET-HOST TARGET-PORT")
  local server = assert(socket.bind("127.0.0.1", port, { backlog = 1024, reuseport = arg.workers ~= nil }))
  print(("listening at %s, port %d"):format(server:getsockname()))
  io.stdout:flush()
  assert(task.serve(server, function(client) handle(client, host, target_port) end, { max = MOST }))
end

if task.current() then main(...) else task.run(main, ...) end

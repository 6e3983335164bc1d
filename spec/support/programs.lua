-- Programs that are not ours, as peers of a test.
--
--     needs(program)          skips the test if the program is not installed
--     start(command)          starts a command of the shell; returns a file with its output (not its complaints). The
--                             program is stopped when the test ends
--     connect(make, ...)      calls `connect(...)` on objects from make() until the peer is there; returns the object, with
--                             a timeout

local assert, io, os, require, tostring = assert, io, os, require, tostring

local support = ...
local PATIENCE = 30 -- only what hangs uses it up
local M = {}

function M.needs(program)
  local _, status = support.shell("command -v " .. program)
  if status ~= 0 then support.skip(program .. " is not installed") end
end

function M.start(command)
  local pipe = assert(io.popen("echo $$; exec 2>/dev/null; exec " .. command, "r"))
  local pid = pipe:read("*l")
  support.finally(function()
    os.execute("kill " .. pid .. " 2>/dev/null")
    pipe:close()
  end)
  return pipe
end

function M.connect(make, ...)
  local socket = require "socket"
  local deadline, problem = socket.gettime() + PATIENCE, nil
  repeat
    local object = support.closing(make())
    object:settimeout(PATIENCE)
    local connected
    connected, problem = object:connect(...)
    if connected then return object end
    object:close()
    socket.sleep(0.02)
  until socket.gettime() > deadline
  support.fail("the peer does not come up: " .. tostring(problem))
end

return M

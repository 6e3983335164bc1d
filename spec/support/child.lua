-- Other processes, run by the interpreter that runs the tests, with the same library.
--
--     spawn(script, ...)  starts `script` (Lua source) with the arguments; returns the child
--     launch(command)     starts a program, named and given its arguments in shell text, in the same way
--     run(script, ...)    the same to its end; returns all it printed and its exit status
--     script(script)      the path of a file with the script, for commands of one's own
--     shell(command)      runs a shell command to its end; returns the same two
--     interpreter()       the words that start the interpreter, quoted for the shell
--     quote(text)         one word for the shell
--
-- A child has
--
--     child.pid
--     child:read([format])   reads from its output (standard error included), as file:read; the way to wait for it
--     child:signal([name])   sends a signal, "TERM" unless said otherwise
--     child:finish()         waits for its end; returns the rest of its output and its exit status (128 + signal)
--
-- A child that is still running when the test ends is killed.

local assert, io, os, package, setmetatable = assert, io, os, package, setmetatable
local string, table, tonumber, tostring = string, table, tonumber, tostring
local arg = arg

local support = ...
local M = {}

local Child = {}
Child.__index = Child
Child.__name = "child"

-- The child's first lines: its output arrives at once and its modules are ours.
local PROLOGUE = "io.stdout:setvbuf('no') package.path, package.cpath = %q, %q "

function M.quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

function M.interpreter()
  local lowest = 0
  while arg[lowest - 1] do lowest = lowest - 1 end
  assert(lowest < 0, "the interpreter is not named in arg")
  return M.quote(arg[lowest])
end

-- Writes `script` to a file that is removed when the test ends; returns its path.
function M.script(script)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(PROLOGUE:format(package.path, package.cpath), script)
  file:close()
  support.finally(function() os.remove(path) end)
  return path
end

-- The output ends with a line that tells the status; an empty line may go before it. What the shell itself has to say
-- (about signals) is dropped.
local COMMAND = "exec 2>/dev/null </dev/null; (exec 2>&1; %s); status=$?; echo; echo exit $status"

local function start(command)
  return assert(io.popen(COMMAND:format(command), "r"))
end

local function finish(pipe)
  local text = pipe:read("*a")
  pipe:close()
  local rest, status = text:match("^(.*)\nexit (%d+)\n$")
  return rest, tonumber(status)
end

function M.spawn(script, ...)
  local words = { M.interpreter(), M.quote(M.script(script)), ... }
  for i = 3, #words do words[i] = M.quote(words[i]) end
  return M.launch(table.concat(words, " "))
end

-- A shell has what it starts in the background ignore SIGINT, tests included. What they start shall not.
local heeding = os.execute("env --default-signal=INT,TERM true 2>/dev/null")
heeding = (heeding == true or heeding == 0) and "env --default-signal=INT,TERM " or ""

function M.launch(command)
  -- The shell that popen starts runs a second one, which tells its number and becomes the program.
  local pipe = start("/bin/sh -c " .. M.quote("echo $$; exec " .. heeding .. command))
  local child = setmetatable({ pipe = pipe, pid = tonumber(pipe:read("*l")) }, Child)
  support.finally(function() child:stop() end)
  return child
end

function Child:read(format)
  return self.pipe:read(format or "*l")
end

function Child:signal(name)
  os.execute("kill -" .. (name or "TERM") .. " " .. string.format("%d", self.pid) .. " 2>/dev/null")
end

function Child:finish()
  if not self.pipe then return self.rest, self.status end
  self.rest, self.status = finish(self.pipe)
  self.pipe = nil
  return self.rest, self.status
end

function Child:stop()
  if not self.pipe then return end
  self:signal("KILL")
  self:finish()
end

function M.run(script, ...)
  return M.spawn(script, ...):finish()
end

function M.shell(command)
  return finish(start(command))
end

return M

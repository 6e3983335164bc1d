-- Runs a script as the first task. `fd` becomes readable when it is time to end; then tasks have `grace` seconds.
-- Returns whether all went well; if not, also the error in words.
local fd, grace, script = ...
local task = require "socket.task"

local function main(...)
  task.stop_on(fd, grace)
  return script(...)
end

local function explain(err)
  local metatable = type(err) ~= "string" and getmetatable(err)
  if type(err) == "string" or type(metatable) == "table" and metatable.__tostring then return tostring(err) end
  return "(error object is a " .. type(err) .. " value)"
end

local ran, err = pcall(task.run, main, select(4, ...))
if ran then return true end
return false, explain(err)

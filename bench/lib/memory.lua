--- Memory of this process, as the kernel counts it (Linux).
local io = require "io"

local M = {}

local function field(file, name)
  local f = assert(io.open(file))
  local text = f:read("*a")
  f:close()
  return tonumber(text:match(name .. ":%s*(%d+) kB")) * 1024
end

--- Bytes resident now, counted page by page.
function M.resident()
  return field("/proc/self/smaps_rollup", "Rss")
end

--- Most bytes that were ever resident since `reset_peak`.
function M.peak()
  return field("/proc/self/status", "VmHWM")
end

--- Lets `peak` start again from what is resident now.
function M.reset_peak()
  local f = assert(io.open("/proc/self/clear_refs", "w"))
  f:write("5")
  f:close()
end

--- Bytes per element that stay with `count` calls of `create(i)`.
function M.each(count, create)
  local kept = {}
  for i = 1, count do kept[i] = false end
  collectgarbage()
  local before = M.resident()
  for i = 1, count do kept[i] = create(i) end
  collectgarbage()
  return (M.resident() - before) / count
end

return M

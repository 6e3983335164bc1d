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

--- As `resident`, without pages of the program and its libraries.
local function allocated()
  return field("/proc/self/smaps_rollup", "Anonymous")
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

--- Bytes per element that stay with `count` calls of `create(i)`, after a first one
--- for what there is once only.
function M.each(count, create)
  local kept = {}
  for i = 0, count do kept[i] = false end
  kept[0] = create(0)
  collectgarbage()
  local before = allocated()
  for i = 1, count do kept[i] = create(i) end
  collectgarbage()
  return (allocated() - before) / count
end

return M

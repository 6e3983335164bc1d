-- Files and folders of a test, removed when it ends, and what to fill them with.
--
--     fresh_path()         a path at which nothing is
--     fresh_folder()       a new folder
--     write(path, text)    makes a file of it; returns the path
--     bytes(n)             a text of n bytes, all values by turns

local assert, io, math, os, string, table = assert, io, math, os, string, table

local support = ...
local M = {}

function M.fresh_path()
  local path = os.tmpname()
  os.remove(path)
  support.finally(function() os.remove(path) end)
  return path
end

function M.fresh_folder()
  local path = M.fresh_path()
  local output, status = support.shell("mkdir -m 755 " .. support.quote(path))
  support.equal(status, 0, output)
  support.finally(function() support.shell("rm -r " .. support.quote(path)) end)
  return path
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local ALL = {}
for i = 0, 255 do ALL[i + 1] = string.char(i) end
ALL = table.concat(ALL)

function M.bytes(n)
  return ALL:rep(math.floor(n / 256) + 1):sub(1, n)
end

return M

-- A machine of its own for a test file: nothing of it remains, whatever happens.
--
--     isolate(files)   runs the file once more, as root of a fresh network with nothing but a loopback interface, and with
--                      other files in place of the system's; does not return in the outer run. `files` maps paths to texts.
--                      Where the system does not allow that, the file counts as one skipped test
--     hosts(n)         n holders of further networks; each is a number for `nsenter -t NUMBER -n`. They end with this process

local assert, io, ipairs, os, pairs = assert, io, ipairs, os, pairs
local select, table, tonumber = select, table, tonumber
local arg = arg

local support = ...
local M = {}

local function give_up(reason)
  support.test(arg[0], function() support.skip(reason) end)
  support.done()
end

local function runs(command)
  return select(2, support.shell(command)) == 0
end

local function check(files)
  if not runs "command -v ip" then give_up "ip is not installed" end
  if not runs "unshare -rmn ip link set lo up" then give_up "the system allows no namespace" end
  for path in pairs(files) do
    if not runs("unshare -rm mount --bind " .. path .. " " .. path) then give_up(path .. " cannot be replaced") end
  end
end

local function write(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

function M.isolate(files)
  if os.getenv "SPEC_INSIDE" then return end
  check(files)
  local words, written = { "ip link set lo up" }, {}
  for path, text in pairs(files) do
    written[#written + 1] = write(text)
    words[#words + 1] = "mount --bind " .. written[#written] .. " " .. path
  end
  words[#words + 1] = "exec " .. support.interpreter() .. " " .. support.quote(arg[0]) .. " " ..
    support.quote(arg[1] or "")
  local script = table.concat(words, " && ")
  local passed = os.execute("SPEC_INSIDE=1 exec unshare -rmn /bin/sh -c " .. support.quote(script))
  for _, path in ipairs(written) do os.remove(path) end
  os.exit((passed == true or passed == 0) and 0 or 1) -- a boolean, or on Lua 5.1 a status
end

-- The pipes end the holders when this process ends.
local pipes = {}

function M.hosts(n)
  local numbers = {}
  for i = 1, n do
    local path = write("")
    pipes[#pipes + 1] = assert(io.popen("exec unshare -n sh -c 'echo $$ > " .. path .. "; exec cat'", "w"))
    repeat
      os.execute("sleep 0.02")
      local file = assert(io.open(path))
      numbers[i] = tonumber(file:read("*l") or "")
      file:close()
    until numbers[i]
    os.remove(path)
  end
  return support.unpack(numbers)
end

return M

-- Results of many megabytes: whole, in order, and not twice in memory where that can be helped.

local t = require "support"
local serial = require "socket.serial"

local PIECE = string.rep("0123456789abcdefghijklmnopqrstuvwxyz\r\n\0\255", 1000)

-- A file of `n` pieces and `tail`, open for receiving.
local function file(n, tail)
  local path = t.fresh_path()
  local out = assert(io.open(path, "wb"))
  for _ = 1, n do out:write(PIECE) end
  out:write(tail)
  out:close()
  return t.closing(serial(path)), n * #PIECE + #tail
end

-- The first test, because a peak cannot be forgotten.
t.fix("a large result is there once", function()
  local function peak()
    local status = io.open("/proc/self/status")
    if not status then t.skip("this system does not tell how much memory a process has had") end
    local text = status:read("*a")
    status:close()
    return tonumber(text:match("VmHWM:%s*(%d+)")) * 1024
  end
  if _VERSION ~= "Lua 5.3" and _VERSION ~= "Lua 5.4" and _VERSION ~= "Lua 5.5" then
    t.skip("before Lua 5.3, a string can only be made from one that is there")
  end
  local device, size = file(2000, "")
  collectgarbage()
  local before = peak()
  local data = device:receive("*a")
  t.equal(#data, size)
  t.between(peak() - before, 0, 1.5 * size)
end)

t.test("all of a large stream", function()
  local device, size = file(600, "the end")
  local data, err, partial = device:receive("*a")
  t.returns({ n = 2 }, err, partial)
  t.equal(#data, size)
  t.ok(data == PIECE:rep(600) .. "the end")
  t.returns({ n = 3, nil, "closed", "" }, device:receive("*a"))
end)

t.test("a large count, and what follows it", function()
  local device, size = file(500, "the end")
  local data = device:receive(size - 3)
  t.ok(data == PIECE:rep(500) .. "the ")
  t.returns({ n = 3, "end", nil, nil }, device:receive(3))
end)

t.test("a large count with a prefix", function()
  local device, size = file(400, "")
  t.ok(device:receive(size + 1, ">") == ">" .. PIECE:rep(400))
end)

t.done()

-- Facts about the Lua that runs the tests.
--
--     name      "Lua 5.4", "LuaJIT"
--     number    501, 502, ... as the C headers count; LuaJIT counts as 501
--     jit       true on LuaJIT
--     integers  true where numbers have an integer subtype (5.3 and later)
--     close     true where variables can be closed (5.4 and later)
--     yieldable true where a coroutine may yield through pcall (all but PUC 5.1)

local _VERSION, math, tonumber = _VERSION, math, tonumber

local jit = rawget(_G, "jit") ~= nil
local major, minor = _VERSION:match("(%d+)%.(%d+)")
local number = tonumber(major) * 100 + tonumber(minor)

return {
  name = jit and "LuaJIT" or _VERSION,
  number = number,
  jit = jit,
  integers = math.type ~= nil,
  close = number >= 504,
  yieldable = jit or number >= 502,
}

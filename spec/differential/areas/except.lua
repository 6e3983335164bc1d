-- newtry, protect, try, skip: exceptions thrown, passed and caught in nests of calls, with coroutines where the Lua allows it.

local socket = require "socket"

local PAYLOADS = { n = 7, "broken", nil, 12, false, true, { "t" }, print }
local yieldable = rawget(_G, "jit") or _VERSION ~= "Lua 5.1"
local unpack = table.unpack or unpack

return function(g)
  local log = {}

  local function finalizer()
    return g.pick {
      n = 8, nil, nil, nil, false, 12,
      function(...) log[#log + 1] = { select("#", ...), "finalized" } end,
      function() error("in the finalizer", 0) end,
      function() socket.try(nil, "from the finalizer") end,
    }
  end

  local function values()
    local n = g.int(0, 4)
    local list = { n = n }
    for i = 1, n do list[i] = g.pick(PAYLOADS) end
    return list
  end

  local body
  local BODIES = {
    returns = function()
      local list = values()
      return function() return unpack(list, 1, list.n) end
    end,
    throws = function()
      local try, list = g.chance(50) and socket.try or socket.newtry(finalizer()), values()
      return function() return "passed", try(unpack(list, 1, list.n)) end
    end,
    fails = function()
      local try, payload = g.chance(50) and socket.try or socket.newtry(finalizer()), g.pick(PAYLOADS)
      return function() try(nil, payload) end
    end,
    raises = function()
      local payload, level = g.pick(PAYLOADS), g.pick { 0, 0, 1 }
      return function() error(payload, level) end
    end,
    runtime = function() return function() local nothing; return nothing.x end end,
    protects = function(depth)
      local inner = body(depth - 1)
      return function(...) return "inner", socket.protect(inner)(...) end
    end,
    pcalls = function(depth)
      local inner = body(depth - 1)
      return function(...)
        local ok, problem = pcall(inner, ...)
        if not ok and type(problem) == "table" then return "caught", problem[1], getmetatable(problem) end
        return ok, problem
      end
    end,
    rethrows = function(depth)
      local inner = body(depth - 1)
      return function(...)
        local ok, problem = pcall(inner, ...)
        if not ok then error(problem, 0) end
        return "no error"
      end
    end,
    echoes = function() return function(...) return ... end end,
    yields = function()
      return function(...)
        if not yieldable or not coroutine.running() then return ... end
        return "resumed with", coroutine.yield("yields", ...)
      end
    end,
    odd = function() return g.pick { n = 4, nil, 12, {}, setmetatable({}, { __call = function(_, ...) return "called", ... end }) } end,
  }
  local ALL = { returns = 2, throws = 3, fails = 4, raises = 2, runtime = 1, protects = 4, pcalls = 2, rethrows = 2, echoes = 1, odd = 1 }
  local LEAVES = { returns = 2, throws = 3, fails = 4, raises = 2, runtime = 1, echoes = 1, odd = 1 }

  function body(depth, yields)
    ALL.yields, LEAVES.yields = yields and 3 or 0, yields and 3 or 0
    return BODIES[g.choose(depth > 0 and ALL or LEAVES)](depth)
  end

  local function plain()
    local list = values()
    g.call("protected", socket.protect(body(3)), unpack(list, 1, list.n))
  end

  -- The C library's protect lets no coroutine yield on LuaJIT, so no yielding there.
  local function coroutines()
    if not yieldable or rawget(_G, "jit") then return plain() end
    local f = body(3, true)
    local thread = coroutine.create(function(...) return socket.protect(f)(...) end)
    for i = 1, 4 do
      g.call("resume", coroutine.resume, thread, i, g.pick(PAYLOADS))
      if coroutine.status(thread) == "dead" then break end
    end
  end

  local function skips()
    local list = values()
    g.call("skip", socket.skip, g.pick { 0, 1, 2, 3, 10, "1", 2.0 }, unpack(list, 1, list.n))
  end

  local function tries()
    local list = values()
    g.call("try", g.chance(50) and socket.try or socket.newtry(finalizer()), unpack(list, 1, list.n))
  end

  local DO = { plain = plain, coroutines = coroutines, skips = skips, tries = tries }
  for _ = 1, 6 do DO[g.choose { plain = 4, coroutines = 3, skips = 1, tries = 1 }]() end
  g.log("finalizers", log)
end

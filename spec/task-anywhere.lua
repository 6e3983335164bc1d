-- A task may wait anywhere: below pcall, in a coroutine of its own, in a callback of C code, in a metamethod. Each place
-- is tried with a call that waits and succeeds, one that is cancelled, one that runs out of time, and one that fails.

local t = require "support"

if t.reference then
  t.test("waiting anywhere", function() t.skip("the C library has no tasks") end)
  t.done()
end

local ltn12 = require "ltn12"
local socket = require "socket"
local task = require "socket.task"

local pack, unpack = t.pack, t.unpack
local load_text = loadstring or load

-- Each calls `wait` somewhere and returns what it returns (at least the first value), or passes its error on.
local places = {}

function places.plain(wait) return wait() end

places["a tail call"] = function(wait)
  local function down(n)
    if n == 0 then return wait() end
    return down(n - 1)
  end
  return down(10)
end

places["deep recursion"] = function(wait)
  local function down(n)
    if n == 0 then return wait() end
    return (down(n - 1))
  end
  return down(150)
end

local function pass(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

function places.pcall(wait) return pass(pcall(wait)) end

places["pcall in pcall"] = function(wait) return pass(select(2, pcall(pcall, wait))) end

function places.xpcall(wait)
  return pass(xpcall(wait, function(err) return err end))
end

places["a message handler"] = function(wait)
  local result
  xpcall(error, function() result = pack(pcall(wait)) end)
  return pass(unpack(result))
end

function places.protect(wait)
  return pass(socket.protect(function() return pcall(wait) end)())
end

places["protect with a finalizer"] = function(wait)
  local try = socket.newtry(function() end)
  return socket.protect(function() return try(wait()) end)()
end

places["coroutine.wrap"] = function(wait)
  local results
  local generator = coroutine.wrap(function()
    coroutine.yield("first")
    results = pack(pcall(wait))
    coroutine.yield("second")
  end)
  t.equal(generator(), "first")
  t.equal(generator(), "second")
  return pass(unpack(results))
end

places["coroutine.resume"] = function(wait)
  local co = coroutine.create(function() return wait() end)
  local results = pack(coroutine.resume(co))
  t.equal(coroutine.status(co), "dead")
  return pass(unpack(results))
end

places["three coroutines deep"] = function(wait)
  local function inside(n)
    if n == 0 then return wait() end
    return coroutine.wrap(function() return inside(n - 1) end)()
  end
  return inside(3)
end

places["a coroutine that is collected meanwhile"] = function(wait)
  return coroutine.wrap(function()
    collectgarbage()
    local results = pack(pcall(wait))
    collectgarbage()
    return pass(unpack(results))
  end)()
end

places["table.sort"] = function(wait)
  local result
  table.sort({ 3, 1, 2 }, function(a, b)
    if not result then result = pack(wait()) end
    return a < b
  end)
  return unpack(result)
end

places["string.gsub"] = function(wait)
  local result
  string.gsub("x", "x", function() result = pack(wait()) end)
  return unpack(result)
end

places["gsub in sort in pcall in a coroutine"] = function(wait)
  return places["coroutine.wrap"](function()
    return places.pcall(function()
      return places["table.sort"](function() return places["string.gsub"](wait) end)
    end)
  end)
end

places["an iterator"] = function(wait)
  for value in function() return { wait() } end do return unpack(value) end
end

places["a reader of load"] = function(wait)
  local result
  -- An error of the reader becomes a result of load.
  local chunk = load(function()
    if result then return nil end
    result = pack(pcall(wait))
    return "return 1"
  end)
  t.equal(chunk(), 1)
  return pass(unpack(result))
end

places["a loaded chunk"] = function(wait) return load_text("return (...)()")(wait) end

local modules = 0

places["a module that is required"] = function(wait)
  local result
  modules = modules + 1
  local name = "spec.waits" .. modules
  package.preload[name] = function() result = pack(pcall(wait)) return true end
  require(name)
  package.preload[name], package.loaded[name] = nil, nil
  return pass(unpack(result))
end

places["an ltn12 source"] = function(wait)
  local result
  ltn12.pump.all(function()
    if result then return nil end
    result = pack(pcall(wait))
    return "chunk"
  end, ltn12.sink.null())
  return pass(unpack(result))
end

places["an ltn12 filter and sink"] = function(wait)
  local result
  local filter = ltn12.filter.chain(function(chunk) return chunk end, function(chunk)
    result = result or pack(pcall(wait))
    return chunk
  end)
  ltn12.pump.all(ltn12.source.string("text"), ltn12.sink.chain(filter, (ltn12.sink.table())))
  return pass(unpack(result))
end

-- Metamethods. An operator gives one value, so that is all that comes back.
local function operator(use)
  return function(wait)
    local metatable, raised = {}, nil
    local function method(...)
      local result = pack(pcall(wait))
      if not result[1] then raised = result end
      metatable.result = result
      return true
    end
    for _, name in ipairs { "__index", "__add", "__concat", "__eq", "__lt", "__le", "__call", "__unm", "__newindex" } do
      metatable[name] = method
    end
    metatable.__len, metatable.__pairs = method, nil
    use(setmetatable({}, metatable), setmetatable({}, metatable), metatable, method)
    return pass(unpack(metatable.result))
  end
end

local operators = {
  ["__index"] = function(a) return a.x end,
  ["__newindex"] = function(a) a.x = 1 end,
  ["__add"] = function(a, b) return a + b end,
  ["__concat"] = function(a) return a .. "x" end,
  ["__eq"] = function(a, b) return a == b end,
  ["__lt"] = function(a, b) return a < b end,
  ["__le"] = function(a, b) return a <= b end,
  ["__call"] = function(a) return a() end,
  ["__unm"] = function(a) return -a end,
  ["__tostring"] = function(a, _, metatable, method)
    metatable.__tostring = function() method() return "text" end
    return tostring(a)
  end,
}
if t.lua.number >= 502 then
  operators["__len"] = function(a) return #a end
  operators["__pairs"] = function(a, _, metatable, method)
    metatable.__pairs = function() method() return next, {} end
    for _ in pairs(a) do end
  end
end
for name, use in pairs(operators) do places["the metamethod " .. name] = operator(use) end

if t.lua.close then
  places["a variable that is closed"] = function(wait)
    return load_text [[
      local wait, pack = ...
      local result
      do
        local x <close> = setmetatable({}, { __close = function() result = pack(pcall(wait)) end })
      end
      if not result[1] then error(result[2], 0) end
      return table.unpack(result, 2, result.n)
    ]](wait, pack)
  end
end

if not t.lua.jit then
  places["a hook"] = function(wait)
    local result
    debug.sethook(function()
      debug.sethook()
      result = pack(pcall(wait))
    end, "", 1)
    local _ = 1
    _ = _ + 1
    debug.sethook()
    return pass(unpack(result))
  end
end

local names = {}
for name in pairs(places) do names[#names + 1] = name end
table.sort(names)

-- While it waits there, others run: the answer comes after a while.
local function goes_on(place)
  local client, accepted = t.pair()
  local answer = task.spawn(function()
    for _ = 1, 5 do
      task.sleep(0.001)
      task.yield()
    end
    accepted:send("answer\n")
  end)
  local handle = task.spawn(function() return place(function() return client:receive() end) end)
  local ok, line = handle:join()
  t.equal(ok, true, tostring(line))
  t.equal(line, "answer")
  answer:join()
end

local function is_cancelled(place)
  local client = t.pair()
  local handle = t.waiting(task.spawn(place, function() return client:receive() end))
  handle:cancel()
  local ok, err = handle:join()
  t.equal(ok, false)
  t.equal(tostring(err), "cancelled")
  t.equal(handle:status(), "cancelled")
end

local function times_out(place)
  local client = t.pair()
  local handle = task.spawn(function()
    return task.timeout(0.01, place, function() return client:receive() end)
  end)
  t.returns({ n = 3, true, nil, "timeout" }, handle:join())
  -- And goes on as if nothing had been.
  local again = task.spawn(function()
    local result = pack(task.timeout(0.01, place, function() return client:receive() end))
    task.sleep(0.001)
    return unpack(result)
  end)
  t.returns({ n = 3, true, nil, "timeout" }, again:join())
end

local function fails(place)
  local value = {}
  local handle = task.spawn(place, function()
    task.sleep(0.001)
    error(value, 0)
  end)
  local ok, err = handle:join()
  t.equal(ok, false)
  t.equal(err, value)
end

-- Several at once, that go on in another order than they began to wait in.
local function interleaves(place)
  local order, handles, begin, finish = {}, {}, {}, {}
  for _, n in ipairs { 3, 1, 4, 2 } do
    begin[n], finish[n] = task.event(), task.event()
    handles[n] = t.waiting(task.spawn(function()
      return place(function()
        begin[n]:wait()
        order[#order + 1] = n
        task.sleep(0.001)
        finish[n]:wait()
        order[#order + 1] = -n
        return n
      end)
    end))
  end
  for n = 1, 4 do
    begin[n]:set()
    while #order < n do task.yield() end
  end
  for n = 4, 1, -1 do
    t.waiting(handles[n])
    finish[n]:set()
    t.returns({ true, n }, handles[n]:join())
  end
  t.same(order, { 1, 2, 3, 4, -4, -3, -2, -1 })
end

for _, name in ipairs(names) do
  t.in_task(name .. ": others run meanwhile", function() goes_on(places[name]) end)
  t.in_task(name .. ": cancelled", function() is_cancelled(places[name]) end)
  t.in_task(name .. ": out of time", function() times_out(places[name]) end)
  t.in_task(name .. ": an error", function() fails(places[name]) end)
  t.in_task(name .. ": several at once", function() interleaves(places[name]) end)
end

t.in_task("C functions called by C functions", function()
  local client, accepted = t.pair()
  task.spawn(function()
    for i = 1, 4 do
      task.sleep(0.005)
      accepted:send("line " .. i .. "\n")
    end
  end)
  t.returns({ n = 3, true, "line 1", nil, nil, n = 4 }, pcall(client.receive, client))
  t.returns({ n = 5, true, true, "line 2", nil, nil }, pcall(pcall, client.receive, client))
  t.returns({ n = 4, true, "line 3", nil, nil }, task.spawn(client.receive, client):join())
  t.returns({ n = 4, true, "line 4", nil, nil }, xpcall(function() return client:receive() end, print))
end)

t.in_task("C functions as tasks are cancelled and time out", function()
  local client = t.pair()
  local handle = t.waiting(task.spawn(client.receive, client))
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, client.receive, client))
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.01, socket.sleep, 10))
  local ok, err = task.timeout(0.01, pcall, socket.sleep, 10) -- that one was caught
  t.equal(ok, false)
  t.equal(tostring(err), "timeout")
  -- Nobody's code runs into what was meant for these.
  local n = 0
  for i = 1, 10000 do n = n + i end
  t.equal(n, 50005000)
end)

t.in_task("an error is caught by the nearest pcall, and by no other", function()
  for _, wait in ipairs { socket.sleep, function(n) socket.sleep(n) end, function(n) return socket.sleep(n) end } do
    local inner, outer
    local handle = t.waiting(task.spawn(function()
      outer = pack(pcall(function()
        inner = pack(pcall(wait, 10))
        return "after"
      end))
    end))
    handle:cancel()
    handle:join()
    t.equal(inner[1], false)
    t.equal(tostring(inner[2]), "cancelled")
    t.same(outer, { n = 2, true, "after" })
  end
end)

-- On LuaJIT such loops are compiled, and what they call returns to compiled code.
t.in_task("a loop that has run many times is ended like others", function()
  local client, accepted = t.pair()
  local n, seen = 0, nil
  local loops = {
    function() while true do task.sleep(0) end end,
    function() while true do n = n + 1 socket.sleep(0) end end,
    function() while true do task.yield() n = n + 1 end end,
    function() while true do seen = accepted:send("x") seen = client:receive(1) end end,
    function() for i = 1, 1e9 do task.sleep(0) n = n + i end end,
    function()
      client:settimeout(0)
      while true do client:receive(1) end
    end,
    function()
      client:settimeout(0)
      while true do
        local data, err = client:receive(1)
        if err == "timeout" then n = n + 1 end
        seen = data or seen
      end
    end,
  }
  for i, loop in ipairs(loops) do
    for _ = 1, 3 do
      local handle = task.spawn(loop)
      for _ = 1, 500 do task.yield() end
      handle:cancel()
      t.equal((handle:join()), false, i)
      t.equal(handle:status(), "cancelled", i)
      t.returns({ n = 2, nil, "timeout" }, task.timeout(0.003, loop))
    end
  end
  t.ok(seen)
end, 60)

t.in_task("a loop that ends when it is cancelled runs on in nothing else", function()
  local after = 0
  local handle = task.spawn(function()
    while true do
      task.sleep(0.0001)
      after = after + 1
    end
  end)
  task.sleep(0.1)
  t.waiting(handle)
  local before = after
  handle:cancel()
  handle:join()
  t.equal(after, before)
end)

t.in_task("a hook of the program outlives a cancellation", function()
  local count, calls = t.counter()
  local handle = task.spawn(function()
    debug.sethook(count, "", 1)
    for _ = 1, 3 do
      task.timeout(0.005, function()
        while true do task.sleep(1) end
      end)
    end
    local before = calls()
    for _ = 1, 100 do end
    local hooked = debug.gethook()
    debug.sethook()
    t.equal(hooked, count)
    t.between(calls() - before, 5, 1000)
  end)
  t.returns({ true }, handle:join())
end)

t.in_task("the natural limits of nested calls are errors there as everywhere", function()
  local function nest(n)
    if n == 0 then
      task.sleep(0.001)
      return "deep"
    end
    return (string.gsub("x", "x", function() return nest(n - 1) end))
  end
  t.equal(nest(60), "deep")
  if not t.lua.jit then t.equal((pcall(nest, 100000)), false) end -- which has no such limit
  t.equal(nest(60), "deep")
  local function forever() return 1 + forever() end
  t.equal((pcall(forever)), false)
end)

t.in_task("many wait natively at once", function()
  local handles = {}
  for i = 1, 500 do
    handles[i] = task.spawn(function()
      local result
      table.sort({ 1, 2 }, function(a, b)
        if not result then
          task.sleep(0.001 * (i % 7))
          result = i
        end
        return a < b
      end)
      return result
    end)
  end
  for i = 1, 500 do t.returns({ true, i }, handles[i]:join()) end
  t.between(task.stats().stacks, 1, 600)
end)

-- LuaJIT's compiled code, when it is left, goes on in the thread that ran last as far as LuaJIT knows.
t.in_task("compiled code after an error of a wait that was caught", function()
  local function sum()
    local n = 0
    for i = 1, 100 do n = n + i end
    return n
  end
  for _ = 1, 100 do sum() end
  local function catch(message)
    local ok, err = pcall(task.sleep, 10)
    t.equal(ok, false)
    t.equal(tostring(err), message)
    t.equal(sum(), 5050)
  end
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.005, function()
    for _ = 1, 50 do catch("timeout") end
    task.yield()
  end))
  local caught
  local handle = t.waiting(task.spawn(function()
    catch("cancelled")
    caught = sum()
  end))
  handle:cancel()
  handle:join()
  t.equal(caught, 5050)
  coroutine.wrap(function() task.timeout(0, catch, "timeout") end)()
  t.equal(sum(), 5050)
end)

-- LuaJIT cannot change coroutines in finalizers and hooks: there a call blocks, as it does outside of tasks.
t.in_task("a finalizer of the collector that waits", function()
  local finished
  local function finalize()
    task.sleep(0.001)
    finished = true
  end
  if t.lua.number >= 502 then
    setmetatable({}, { __gc = finalize })
  else
    getmetatable(newproxy(true)).__gc = finalize
  end
  local other = task.spawn(function()
    for _ = 1, 20 do task.sleep(0.001) end
  end)
  task.yield()
  collectgarbage()
  collectgarbage()
  other:join()
  t.equal(finished, true)
  t.equal(task.timeout(5, function() task.sleep(0.001) return "alive" end), "alive")
end)

t.in_task("a hook that waits", function()
  local slept
  local other = task.spawn(function()
    for _ = 1, 20 do task.sleep(0.001) end
  end)
  task.yield()
  debug.sethook(function()
    debug.sethook()
    task.sleep(0.003)
    slept = true
  end, "", 1)
  local n = 0
  for i = 1, 10 do n = n + i end
  debug.sethook()
  t.equal(slept, true)
  other:join()
end)

t.done()

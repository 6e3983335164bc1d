-- Filters, sources, sinks and pumps.

local t = require "support"
local ltn12 = require "ltn12"

local filter, source, sink, pump = ltn12.filter, ltn12.source, ltn12.sink, ltn12.pump
local END = {}

-- A source of the given chunks; END is nil, {err} is nil and err. Afterwards it has ended.
local function from(list)
  local at = 0
  return function()
    at = at + 1
    local chunk = list[at]
    if chunk == nil or chunk == END then return nil end
    if type(chunk) == "table" then return nil, chunk[1] end
    return chunk
  end
end

-- A filter that answers from a list and records what it gets.
local function scripted(answers, log)
  local at = 0
  return function(chunk)
    at = at + 1
    log[#log + 1] = chunk == nil and "nil" or chunk
    local answer = answers[at]
    if answer == END then return nil end
    return answer
  end
end

-- A filter that takes everything in and gives it out in pieces of `size` bytes.
local function slicer(size)
  local held = ""
  return function(chunk)
    held = held .. (chunk or "")
    local piece = held:sub(1, size)
    held = held:sub(size + 1)
    if piece == "" and chunk == nil then return nil end
    return piece
  end
end

-- A filter that gives everything out at the end, at once.
local function hoarder()
  local held = ""
  return function(chunk)
    if chunk then
      held = held .. chunk
      return ""
    end
    local all = held
    held = ""
    if all ~= "" then return all end
    return nil
  end
end

local function identity(chunk)
  return chunk
end

local function upper(chunk)
  return chunk and chunk:upper()
end

-- A sink that records its arguments and answers 1.
local function recorder(log)
  return function(...)
    log[#log + 1] = t.pack(...)
    return 1
  end
end

local function callable(fn)
  return setmetatable({}, { __call = function(_, ...) return fn(...) end })
end

----------------------------------------------------------------------------------------------------------------- module

t.test("the module", function()
  t.equal(ltn12._VERSION, "LTN12 1.0.3")
  t.equal(ltn12.BLOCKSIZE, 2048)
  local function names(list)
    local all = {}
    for name in pairs(list) do all[#all + 1] = name end
    table.sort(all)
    return table.concat(all, " ")
  end
  t.equal(names(filter), "chain cycle")
  t.equal(names(source), "cat chain empty error file rewind simplify string table")
  t.equal(names(sink), "chain error file null simplify table")
  t.equal(names(pump), "all step")
end)

----------------------------------------------------------------------------------------------------------------- filters

t.test("cycle", function()
  local log = {}
  local f = filter.cycle(function(ctx, chunk, extra)
    log[#log + 1] = t.pack(ctx, chunk, extra)
    return chunk and chunk .. ctx, chunk, "dropped"
  end, "0", "x")
  t.returns({ "a0" }, f("a"))
  t.returns({ "ba" }, f("b"))
  t.returns({ n = 1 }, f(nil))
  t.same(log, { { n = 3, "0", "a", "x" }, { n = 3, "a", "b", "x" }, { n = 3, "b", nil, "x" } })
  f = filter.cycle(function(ctx) return tostring(ctx), nil end, 1)
  t.equal(f("a"), "1")
  t.equal(f("a"), "nil")
end)

t.test("a chain of one is the filter itself", function()
  local log = {}
  local f = filter.chain(scripted({ "A", "", "B", END, "C" }, log))
  t.returns({ "A" }, f("a"))
  t.returns({ "" }, f(""))
  t.returns({ "B" }, f("b"))
  t.returns({ n = 1 }, f(nil))
  t.same(log, { "a", "", "b", "nil" })
end)

t.test("a chain of two that answer in pieces", function()
  local f = filter.chain(slicer(2), slicer(1))
  t.equal(f("abc"), "a")
  t.equal(f(""), "b")
  t.equal(f(""), "c")
  t.equal(f(""), "")
  t.returns({ n = 1 }, f(nil))
end)

t.test("a chain of stages that keep all until the end", function()
  local f = filter.chain(hoarder(), hoarder(), identity)
  t.equal(f("abc"), "")
  t.equal(f(nil), "abc")
  t.returns({ n = 1 }, f(nil))
end)

t.test("who is called with what in a chain", function()
  local first, last = {}, {}
  local f = filter.chain(scripted({ "ab", "", END }, first), scripted({ "a", "b", "", "rest", END }, last))
  t.equal(f("x"), "a")
  t.equal(f(""), "b")
  t.equal(f(""), "")
  t.equal(f(nil), "rest")
  t.returns({ n = 1 }, f(nil))
  t.same(first, { "x", "", "nil" })
  t.same(last, { "ab", "", "", "nil", "nil" })
end)

t.test("a chain's first stage may end early", function()
  local log = {}
  local f = filter.chain(scripted({ END }, {}), scripted({ "flushed" }, log))
  t.equal(f("x"), "flushed")
  t.same(log, { "nil" })
end)

t.test("a later stage that answers nil too early", function()
  local f = filter.chain(identity, scripted({ END }, {}))
  t.raises({ match = "filter returned inappropriate nil" }, f, "x")
end)

t.fix("a chain can be used again", function()
  local f = filter.chain(hoarder(), upper, hoarder())
  for _ = 1, 3 do
    t.equal(f("abc"), "")
    t.equal(f("de"), "")
    t.equal(f(nil), "ABCDE")
    t.returns({ n = 1 }, f(nil))
    t.returns({ n = 1 }, f(nil))
  end
end)

t.fix("a filter may fail", function()
  local function failing(chunk)
    if chunk == "bad" then return nil, "spoiled" end
    return chunk
  end
  t.returns({ n = 2, nil, "spoiled" }, filter.chain(failing)("bad"))
  t.returns({ n = 2, nil, "spoiled" }, filter.chain(failing, identity)("bad"))
  t.returns({ n = 2, nil, "spoiled" }, filter.chain(identity, failing)("bad"))
  local chained = source.chain(from { "good", "bad" }, failing)
  t.returns({ "good" }, chained())
  t.returns({ n = 2, nil, "spoiled" }, chained())
  local log = {}
  local snk = sink.chain(failing, recorder(log))
  t.returns({ 1 }, snk("good"))
  t.returns({ n = 2, nil, "spoiled" }, snk("bad"))
  t.same(log[#log], { n = 2, nil, "spoiled" })
  t.returns({ n = 2, nil, "spoiled" }, pump.all(from { "good", "bad" }, sink.chain(failing, sink.null())))
end)

----------------------------------------------------------------------------------------------------------------- sources

t.test("empty and error", function()
  t.equal(source.empty(), source.empty())
  t.equal(source.empty()(), nil)
  local failing = source.error("e")
  for _ = 1, 2 do t.returns({ n = 2, nil, "e" }, failing()) end
end)

t.test("string", function()
  t.finally(function() ltn12.BLOCKSIZE = 2048 end)
  local data = ("0123456789"):rep(500)
  local src = source.string(data)
  t.equal(src(), data:sub(1, 2048))
  ltn12.BLOCKSIZE = 10
  t.equal(src(), data:sub(2049, 2058))
  ltn12.BLOCKSIZE = 10000
  t.equal(src(), data:sub(2059))
  for _ = 1, 2 do t.equal(src(), nil) end
  t.equal(source.string("")(), nil)
  t.equal(source.string(nil), source.empty())
  t.equal(source.string(false), source.empty())
  t.equal(source.string(123)(), "123")
  t.raises({ match = "string expected, got table" }, function() source.string({})() end)
end)

t.test("table", function()
  local list = { "a", "", "b" }
  local src = source.table(list)
  t.returns({ "a" }, src())
  list[3] = "c"
  t.returns({ "" }, src())
  t.returns({ "c" }, src())
  t.returns({ n = 1 }, src())
  list[5] = "late"
  t.returns({ "late" }, src())
  t.returns({ n = 1 }, src())
end)

t.test("file", function()
  local log = {}
  local chunks = { "a", "b" }
  local handle = {
    read = function(self, n)
      log[#log + 1] = n
      return table.remove(chunks, 1)
    end,
    close = function() log[#log + 1] = "close" end,
  }
  local src = source.file(handle)
  t.returns({ "a" }, src())
  t.returns({ "b" }, src())
  t.returns({ n = 1 }, src())
  t.same(log, { 2048, 2048, 2048, "close" })
  t.returns({ n = 2, nil, "unable to open file" }, source.file(nil)())
  t.returns({ n = 2, nil, "no such file" }, source.file(nil, "no such file")())
end)

t.test("file, from a real one", function()
  local name = os.tmpname()
  t.finally(function() os.remove(name) end)
  local data = ("line\r\n"):rep(2000)
  t.equal(pump.all(source.string(data), sink.file(io.open(name, "wb"))), 1)
  local snk, parts = sink.table()
  t.equal(pump.all(source.file(io.open(name, "rb")), snk), 1)
  t.equal(table.concat(parts), data)
  t.match(select(2, source.file(io.open(name .. "/none"))()), name)
end)

t.fix("a file that cannot be read, and one that has ended", function()
  local src = source.file { read = function() return nil, "broken" end, close = function() end }
  for _ = 1, 2 do t.returns({ n = 2, nil, "broken" }, src()) end
  local closed = 0
  src = source.file { read = function() end, close = function() closed = closed + 1 end }
  for _ = 1, 3 do t.returns({ n = 1 }, src()) end
  t.equal(closed, 1)
end)

t.test("simplify", function()
  local second = from { "c" }
  local at = 0
  local src = source.simplify(function()
    at = at + 1
    if at == 1 then return "a" end
    return "b", second
  end)
  t.returns({ "a" }, src())
  t.returns({ "b" }, src())
  t.returns({ "c" }, src())
  t.equal(src(), nil)
  t.returns({ n = 2, nil, "e" }, source.simplify(source.error("e"))())
  local function other() return "x" end
  local moved = source.simplify(function() return nil, other end)
  t.returns({ n = 2, nil, other }, moved())
  t.returns({ "x" }, moved())
end)

t.fix("a simple source that failed repeats the error", function()
  local src = source.simplify(source.error("e"))
  for _ = 1, 3 do t.returns({ n = 2, nil, "e" }, src()) end
end)

t.test("rewind", function()
  local src = source.rewind(from { "a", "b", { "e" } })
  t.returns({ "a" }, src())
  t.returns(0, src("x"))
  t.returns(0, src(""))
  t.returns({ "" }, src())
  t.returns({ "x" }, src(nil))
  t.returns({ "b" }, src(false))
  t.returns({ n = 2, nil, "e" }, src())
  src("again")
  t.returns({ "again" }, src())
end)

t.test("cat", function()
  local src = source.cat(from { "a", "b" }, from {}, from { "", "c" })
  for _, chunk in ipairs { "a", "b", "", "c" } do t.returns({ chunk }, src()) end
  t.equal(src(), nil)
  t.equal(source.cat()(), nil)
  t.equal(source.cat(from {}, nil, from { "x" })(), nil)
  local failing = source.cat(source.error("e"), from { "x" })
  for _ = 1, 2 do t.returns({ n = 2, nil, "e" }, failing()) end
end)

t.test("chain with one filter", function()
  local log = {}
  local src = source.chain(from { "ab", "c" }, scripted({ "ab", "", "c", "", END }, log))
  t.returns({ "ab" }, src())
  t.returns({ "c" }, src())
  t.returns({ n = 1 }, src())
  t.same(log, { "ab", "", "c", "", "nil" })
end)

t.test("chain asks for more before it asks the source", function()
  local src = source.chain(from { "abc", "d" }, slicer(2))
  t.same({ src(), src(), src(), (src()) }, { "ab", "c", "d" })
end)

t.test("chain with filters that give all at the end", function()
  local src = source.chain(from { "ab", "", "c" }, hoarder(), upper)
  t.returns({ "ABC" }, src())
  t.returns({ n = 1 }, src())
end)

t.test("chain passes errors of the source on, and may go on", function()
  local src = source.chain(from { "a", { "e" }, "b" }, identity)
  t.returns({ "a" }, src())
  t.returns({ n = 2, nil, "e" }, src())
  t.returns({ "b" }, src())
  t.equal(src(), nil)
end)

t.test("chain notices filters that break the contract", function()
  local src = source.chain(from { "a" }, scripted({ END }, {}))
  t.raises({ match = "filter returned inappropriate nil" }, src)
  src = source.chain(from { "a" }, scripted({ "x", END }, {}))
  src()
  t.raises({ match = "filter returned inappropriate nil" }, src)
  src = source.chain(from {}, scripted({ "x", "" }, {}))
  src()
  t.raises({ match = 'filter returned ""' }, src)
end)

t.fix("chain stays at its end", function()
  local src = source.chain(from { "a" }, identity)
  t.equal(src(), "a")
  for _ = 1, 3 do t.returns({ n = 1 }, src()) end
  src = source.chain(from {}, scripted({ "" }, {}))
  t.raises({ match = 'filter returned ""' }, src)
end)

------------------------------------------------------------------------------------------------------------------- sinks

t.test("table", function()
  local list = {}
  local snk, same = sink.table(list)
  t.equal(same, list)
  t.returns({ 1 }, snk("a"))
  t.returns({ 1 }, snk(""))
  t.returns({ 1 }, snk(nil))
  t.returns({ 1 }, snk(nil, "e"))
  t.same(list, { "a", "" })
  local _, new = sink.table()
  t.same(new, {})
end)

t.test("null and error", function()
  t.equal(sink.null(), sink.null())
  t.returns({ 1 }, sink.null()("a"))
  t.returns({ 1 }, sink.null()(nil, "e"))
  local failing = sink.error("e")
  t.returns({ n = 2, nil, "e" }, failing("a"))
  t.returns({ n = 2, nil, "e" }, failing(nil))
end)

t.test("file", function()
  local log = {}
  local handle = {
    write = function(self, data)
      log[#log + 1] = data
      return "written", "by", "handle"
    end,
    close = function()
      log[#log + 1] = "close"
      return true
    end,
  }
  local snk = sink.file(handle)
  t.returns({ "written", "by", "handle" }, snk("a"))
  t.returns({ 1 }, snk(nil))
  t.same(log, { "a", "close" })
  t.returns({ n = 2, nil, "unable to open file" }, sink.file(nil)("a"))
  t.returns({ n = 2, nil, "why" }, sink.file(nil, "why")(nil))
end)

t.fix("a file that cannot be closed", function()
  local snk = sink.file { close = function() return nil, "no space left on device" end }
  t.returns({ n = 2, nil, "no space left on device" }, snk(nil))
end)

t.test("simplify", function()
  local log = {}
  local snk = sink.simplify(function(chunk, err)
    if not chunk then return nil, err end
    return 1, recorder(log)
  end)
  t.returns({ 1 }, snk("a"))
  t.returns({ 1 }, snk("b"))
  t.same(log, { { n = 2, "b", nil } })
  t.returns({ n = 2, nil, "e" }, sink.simplify(sink.error("e"))("a"))
end)

-- The recorded calls that carried something.
local function told(log)
  local calls = {}
  for _, call in ipairs(log) do
    if call[1] ~= "" then calls[#calls + 1] = { call[1] or "nil", call[2] } end
  end
  return calls
end

t.test("chain", function()
  local log = {}
  local snk = sink.chain(slicer(2), upper, recorder(log))
  t.returns({ 1 }, snk("abc"))
  t.returns({ 1 }, snk(""))
  t.returns({ 1 }, snk("d"))
  t.returns({ 1 }, snk(nil))
  t.same(told(log), { { "AB" }, { "C" }, { "D" }, { "nil" } })
end)

t.test("chain flushes its filter when the source failed", function()
  local log = {}
  local snk = sink.chain(hoarder(), recorder(log))
  snk("ab")
  t.returns({ 1 }, snk(nil, "e"))
  t.same(told(log), { { "ab", "e" }, { "nil", "e" } })
end)

t.test("chain passes a refusal on", function()
  local snk = sink.chain(upper, sink.error("full"))
  t.returns({ n = 2, nil, "full" }, snk("a"))
end)

t.fix("chain gives its sink no empty chunks and notices broken filters", function()
  local log = {}
  local snk = sink.chain(slicer(2), recorder(log))
  snk("abc")
  snk(nil)
  for _, call in ipairs(log) do t.ok(call[1] ~= "") end
  t.raises({ match = "filter returned inappropriate nil" }, sink.chain(scripted({ END }, {}), sink.null()), "a")
  t.raises({ match = 'filter returned ""' }, sink.chain(scripted({ "" }, {}), sink.null()), nil)
end)

------------------------------------------------------------------------------------------------------------------- pumps

t.test("step", function()
  local log = {}
  t.returns({ 1 }, pump.step(from { "a" }, recorder(log)))
  t.equal((pump.step(from {}, recorder(log))), nil)
  t.returns({ n = 2, nil, "e" }, pump.step(from { { "e" } }, recorder(log)))
  t.same(log, { { n = 2, "a" }, { n = 2 }, { n = 2, nil, "e" } })
  t.returns({ n = 2, nil, "full" }, pump.step(from { "a" }, sink.error("full")))
  t.returns({ n = 2, nil, "full" }, pump.step(from {}, sink.error("full")))
  t.returns({ n = 2, nil, "e" }, pump.step(from { { "e" } }, sink.error("full")))
end)

t.test("all", function()
  local log = {}
  t.returns({ 1 }, pump.all(from { "a", "", "b" }, recorder(log)))
  t.same(log, { { n = 2, "a" }, { n = 2, "" }, { n = 2, "b" }, { n = 2 } })
  log = {}
  t.returns({ n = 2, nil, "e" }, pump.all(from { "a", { "e" } }, recorder(log)))
  t.same(log, { { n = 2, "a" }, { n = 2, nil, "e" } })
  t.returns({ n = 2, nil, "full" }, pump.all(from { "a" }, sink.error("full")))
  t.returns({ n = 2, nil, "full" }, pump.all(from {}, sink.error("full")))
  t.returns({ n = 2, nil, "e" }, pump.all(from { { "e" } }, sink.error("full")))
end)

t.test("all with another step", function()
  local left = 3
  local function step(src, snk)
    left = left - 1
    if left == 0 then return nil end
    return pump.step(src, snk)
  end
  local log = {}
  t.returns({ 1 }, pump.all(from { "a", "b", "c" }, recorder(log), step))
  t.equal(#log, 2)
  t.returns({ n = 2, nil, "stop" }, pump.all(from { "a" }, sink.null(), function() return nil, "stop" end))
end)

t.test("all looks up the built-in step when it is called", function()
  local built_in = pump.step
  t.finally(function() pump.step = built_in end)
  local called = 0
  pump.step = function(...)
    called = called + 1
    return built_in(...)
  end
  t.returns({ 1 }, pump.all(from { "a" }, sink.null()))
  t.equal(called, 2)
end)

t.fix("a sink that refuses without a word is no success", function()
  local function refuse() return nil end
  t.returns({ n = 2, nil, "sink closed" }, pump.all(from { "a" }, refuse))
  t.returns({ 1 }, pump.all(from {}, refuse))
end)

--------------------------------------------------------------------------------------------------------------- arguments

t.test("callable tables are functions", function()
  local src = source.chain(callable(from { "ab" }), callable(slicer(1)))
  local snk, parts = sink.table()
  t.returns({ 1 }, pump.all(callable(src), callable(snk)))
  t.same(parts, { "a", "b" })
  t.equal(source.cat(callable(from { "x" }))(), "x")
  t.equal(source.rewind(callable(from { "x" }))(), "x")
  t.equal(source.simplify(callable(from { "x" }))(), "x")
  t.equal(filter.cycle(callable(function(_, chunk) return chunk end))("x"), "x")
  t.equal(sink.chain(callable(identity), callable(sink.null()))("x"), 1)
  t.equal(sink.simplify(callable(sink.null()))("x"), 1)
end)

t.test("missing arguments raise", function()
  for _, case in ipairs {
    { filter.cycle }, { source.simplify }, { source.rewind }, { source.table }, { source.table, "x" }, { source.chain },
    { source.chain, identity }, { sink.simplify }, { sink.chain }, { sink.chain, identity }, { pump.all }, { pump.all, identity },
  } do
    t.raises({ match = "." }, t.unpack(case))
  end
end)

t.fix("bad arguments are named when they are given", function()
  local function named(text, fn, ...)
    local arguments = t.pack(...)
    t.raises(text, function() return (fn(t.unpack(arguments))) end)
  end
  named("bad argument #1 to 'cycle' (function expected, got nil)", filter.cycle)
  named("bad argument #1 to 'chain' (function expected, got nil)", filter.chain)
  named("bad argument #2 to 'chain' (function expected, got number)", filter.chain, identity, 1)
  named("bad argument #1 to 'string' (string expected, got table)", source.string, {})
  named("bad argument #1 to 'table' (table expected, got string)", source.table, "x")
  named("bad argument #1 to 'file' (file expected, got string)", source.file, "name")
  named("bad argument #2 to 'cat' (function expected, got table)", source.cat, identity, {})
  named("bad argument #1 to 'chain' (function expected, got nil)", source.chain)
  named("bad argument #2 to 'chain' (function expected, got nil)", source.chain, identity)
  named("bad argument #3 to 'chain' (function expected, got string)", source.chain, identity, identity, "x")
  named("bad argument #1 to 'chain' (function expected, got nil)", sink.chain)
  named("bad argument #2 to 'chain' (function expected, got boolean)", sink.chain, identity, true)
  named("bad argument #1 to 'table' (table expected, got string)", sink.table, "x")
  named("bad argument #2 to 'all' (function expected, got nil)", pump.all, identity)
  named("bad argument #3 to 'all' (function expected, got string)", pump.all, identity, identity, "x")
end)

--------------------------------------------------------------------------------------------------------------- coroutines

t.test("everything may yield", function()
  local yield = coroutine.yield
  local function slow(fn)
    return function(...)
      yield()
      return fn(...)
    end
  end
  local result
  local co = coroutine.wrap(function()
    local snk, parts = sink.table()
    local src = source.cat(source.simplify(slow(from { "a" })), source.rewind(slow(from { "b" })))
    local all = source.chain(src, slow(identity), filter.cycle(slow(function(_, chunk) return chunk end)))
    local ok = pump.all(all, sink.chain(slow(upper), sink.simplify(slow(snk))), slow(pump.step))
    result = ok == 1 and table.concat(parts)
    return "done"
  end)
  local yields = 0
  while co() ~= "done" do yields = yields + 1 end
  t.equal(result, "AB")
  t.ok(yields > 10)
end)

--------------------------------------------------------------------------------------------------------------- properties

t.test("any filters in any order give the same as one after the other", function()
  local seed = 1
  local function random(n)
    seed = seed * 16807 % 2147483647
    return seed % n
  end
  local makers = {
    function() return slicer(1) end,
    function() return slicer(3) end,
    hoarder,
    function() return identity end,
    function() return upper end,
  }
  for _ = 1, 300 do
    local filters = {}
    for i = 1, 1 + random(4) do filters[i] = makers[1 + random(#makers)]() end
    local chunks, all = {}, {}
    for i = 1, random(6) do
      chunks[i] = ("abcdefgh"):sub(1, random(9))
      all[i] = chunks[i]
    end
    local shouts = false
    for _, f in ipairs(filters) do shouts = shouts or f == upper end
    local wanted = table.concat(all)
    if shouts then wanted = wanted:upper() end
    local snk, parts = sink.table()
    local src = from(chunks)
    if random(2) == 0 then
      src = source.chain(src, t.unpack(filters))
    else
      filters[#filters + 1] = snk
      snk = sink.chain(t.unpack(filters))
    end
    t.equal(pump.all(src, snk), 1)
    t.equal(table.concat(parts), wanted)
  end
end)

t.done()

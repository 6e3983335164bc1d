-- The harness itself: what it must notice, it notices.

local t = require "support"

local HEAD = "local t = require 'support' "

local function outcome(script)
  local text, status = t.run(HEAD .. script .. " t.done()")
  local last = text:match("([^\n]*)\n*$")
  return last, status, text
end

t.test("counts what passed and exits with 0", function()
  local last, status = outcome "t.test('a', function() end) t.test('b', function() end)"
  t.equal(last, "2 passed, 0 failed, 0 skipped")
  t.equal(status, 0)
end)

t.test("shows a failure with its traceback and exits with 1", function()
  local last, status, text = outcome "t.test('a', function() t.equal(1, 2, 'sum') end)"
  t.equal(last, "0 passed, 1 failed, 0 skipped")
  t.equal(status, 1)
  t.match(text, "sum: expected 2, got 1")
  t.match(text, "stack traceback")
end)

t.test("skips with a reason, and fixes on the reference", function()
  local last, status, text = outcome "t.test('a', function() t.skip('there is no b') end) t.fix('c', function() end)"
  t.equal(last, t.reference and "0 passed, 0 failed, 2 skipped" or "1 passed, 0 failed, 1 skipped")
  t.equal(status, 0)
  t.match(text, "a: skipped, because there is no b")
end)

t.test("fails a test that leaves a descriptor", function()
  local _, status, text = outcome "local f t.test('a', function() f = io.open('/dev/null') end)"
  t.equal(status, 1)
  t.match(text, "leaves descriptor %d+ open")
end)

t.test("does not mind a descriptor that the collector closes", function()
  local _, status = outcome "t.test('a', function() io.open('/dev/null') end)"
  t.equal(status, 0)
end)

t.test("fails a test that sets or removes a global", function()
  local _, status, text = outcome "t.test('a', function() x = 1 end)"
  t.equal(status, 1)
  t.match(text, "sets the global x")
  t.match(select(3, outcome "t.test('a', function() next = nil end)"), "removes the global next")
end)

t.test("fails a test that overruns its time", function()
  local _, status, text = outcome "local s = require 'socket' t.test('a', function() s.sleep(0.2) end, 0.1)"
  t.equal(status, 1)
  t.match(text, "takes 0.2 seconds, more than 0.1")
end)

t.test("closes what a failed test left to it", function()
  local last = outcome "t.test('a', function() t.pair() error('no') end) t.test('b', function() end)"
  t.equal(last, "1 passed, 1 failed, 0 skipped")
end)

t.test("checks counts, values and nils of results", function()
  t.returns(0)
  t.returns(2, nil, nil)
  t.returns({ n = 3, 1, nil, "x" }, 1, nil, "x")
  t.raises({ match = "expected 1 results, got 2 %(nil, nil%)" }, t.returns, 1, nil, nil)
  t.raises({ match = "expected results 1 %(1%), got 2 %(1, nil%)" }, t.returns, { 1 }, 1, nil)
end)

t.test("checks what is raised, and its position", function()
  local value = {}
  t.raises("word", function() error("word") end)
  t.raises({ exact = "word" }, error, "word", 0)
  t.raises({ match = "^[^:]+harness.lua:%d+: word$" }, function() error("word") end)
  t.raises({ value = value }, error, value)
  if t.lua.number < 505 then t.raises({ value = nil }, error, nil) end -- later it is replaced by a text
  t.raises({ match = "expected an error" }, t.raises, "word", error, "word", 0)
  t.raises({ match = "expected an error" }, t.raises, { exact = "word" }, function() error("word") end)
  t.raises({ match = "expected an error" }, t.raises, "word", function() end)
end)

t.test("compares deep and shows what differs", function()
  t.same({ 1, { 2, x = "y" } }, { 1, { 2, x = "y" } })
  t.raises({ match = "expected {%[1%]=2}, got {%[1%]=1}" }, t.same, { 1 }, { 2 })
  t.raises({ match = "expected" }, t.same, {}, { 2 })
  t.raises({ match = "expected" }, t.same, { 2 }, {})
end)

t.test("children have a number, output, a status and an end", function()
  local child = t.spawn("print(...) io.stdin:read() while true do end", "one", "two words", "it's")
  t.ok(child.pid)
  t.equal(child:read(), "one\ttwo words\tit's")
  child:signal("KILL")
  local rest, status = child:finish()
  t.equal(rest, "")
  t.equal(status, 137)
  t.returns({ "out\n", 3 }, t.run "print('out') os.exit(3)")
  t.returns({ "hello", 0 }, t.shell "printf hello")
end)

t.done()

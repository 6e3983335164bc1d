-- choose, and the LTN12 sinks and sources over sockets.

local t = require "support"
local socket = require "socket"

---------------------------------------------------------------------------------------------------------------- choose

local function picker()
  return socket.choose {
    default = function(...) return "default", ... end,
    word = function(...) return "word", ... end,
  }
end

t.test("choose calls the entry by name", function()
  t.returns({ "word", 1, 2 }, picker()("word", 1, 2))
  t.returns({ "default", 1, 2 }, picker()("default", 1, 2))
end)

t.test("what is no string selects the default and counts as argument", function()
  local object = {}
  t.returns({ "default", object, 2 }, picker()(object, 2))
  t.returns({ "default", 1, 2 }, picker()(1, 2))
  t.returns({ n = 3, "default", nil, 1 }, picker()(nil, 1))
end)

t.test("at most two arguments are passed on", function()
  t.returns({ "word", 1, 2 }, picker()("word", 1, 2, 3))
  t.returns({ "default", 1, 2 }, picker()(1, 2, 3))
end)

t.test("an unknown name is blamed on the caller of the picker's caller", function()
  local pick = picker()
  local function inner() pick("other") end
  local function outer()
    inner()
  end
  local line = debug.getinfo(outer, "S").linedefined + 1
  local raised = t.raises("unknown key (other)", outer)
  t.match(raised, "sinks.lua:" .. string.format("%d", line) .. ": ")
end)

t.test("names are looked up when the picker is called", function()
  local list = {}
  local pick = socket.choose(list)
  list.late = function(a) return a end
  t.equal(pick("late", "x"), "x")
end)

t.test("sink and source choose from sinkt and sourcet", function()
  t.finally(function() socket.sinkt.mine, socket.sourcet.mine = nil, nil end)
  socket.sinkt.mine = function(a, b) return "sink", a, b end
  socket.sourcet.mine = function(a, b) return "source", a, b end
  t.returns({ "sink", 1, 2 }, socket.sink("mine", 1, 2))
  t.returns({ "source", 1, 2 }, socket.source("mine", 1, 2))
  t.raises({ match = "unknown key %(none%)" }, socket.sink, "none", 1)
  t.raises({ match = "unknown key %(none%)" }, socket.source, "none", 1)
end)

t.test("the modes", function()
  local function names(list)
    local found = {}
    for name in pairs(list) do if name ~= "http-chunked" then found[#found + 1] = name end end
    table.sort(found)
    return table.concat(found, " ")
  end
  t.equal(names(socket.sinkt), "close-when-done default keep-open")
  t.equal(names(socket.sourcet), "by-length default until-closed")
  t.equal(socket.sinkt.default, socket.sinkt["keep-open"])
  t.equal(socket.sourcet.default, socket.sourcet["until-closed"])
end)

----------------------------------------------------------------------------------------------------------------- sinks

t.test("sinks and sources are callable tables that select accepts", function()
  local client, accepted = t.pair()
  for _, object in ipairs {
    socket.sink("keep-open", client), socket.sink("close-when-done", client), socket.sink(client),
    socket.source("by-length", client, 3), socket.source("until-closed", client), socket.source(client),
  } do
    t.equal(type(object), "table")
    t.equal(object.getfd(), client:getfd())
    t.equal(object:getfd(), client:getfd())
    t.equal(object.dirty(), false)
    t.equal(object:dirty(), false)
    local _, writable = socket.select(nil, { object }, 0)
    t.equal(writable[1], object)
  end
  accepted:send("two\nlines\n")
  client:receive()
  t.equal(socket.source(client).dirty(), true)
  local readable = socket.select({ socket.source(client) }, nil, 0)
  t.equal(#readable, 1)
end)

t.test("a sink returns what send returns", function()
  local client, accepted = t.pair()
  local sink = socket.sink("keep-open", client)
  t.returns({ n = 3, 3, nil, nil }, sink("abc"))
  t.returns({ n = 3, 0, nil, nil }, sink(""))
  t.equal(accepted:receive(3), "abc")
  client:close()
  t.returns({ nil, "closed", 0 }, sink("abc"))
end)

t.test("keep-open leaves the socket open at the end", function()
  local client = t.pair()
  for _, sink in ipairs { socket.sink("keep-open", client), socket.sink(client), socket.sink("default", client) } do
    t.returns({ 1 }, sink(nil))
    t.returns({ 1 }, sink(false, "some error"))
    t.ok(client:getfd() >= 0)
  end
end)

t.test("close-when-done closes the socket at the end", function()
  local client, accepted = t.pair()
  local sink = socket.sink("close-when-done", client)
  t.returns({ n = 3, 4, nil, nil }, sink("data", "ignored"))
  t.returns({ 1 }, sink(nil, "ignored"))
  t.equal(client:getfd(), -1)
  t.equal(accepted:receive("*a"), "data")
  t.returns({ nil, "closed", 0 }, sink("more"))
  t.returns({ 1 }, sink(nil))
end)

t.test("a sink calls the methods that the object has at the time", function()
  local calls = {}
  local object = {
    send = function(_, chunk) calls[#calls + 1] = chunk return "sent", "as", "is" end,
    close = function() calls[#calls + 1] = "close" end,
    getfd = function() return 7 end,
    dirty = function() return "dirty" end,
  }
  local sink = socket.sink("close-when-done", object)
  t.returns({ "sent", "as", "is" }, sink("one"))
  t.returns({ 1 }, sink())
  t.same(calls, { "one", "close" })
  t.equal(sink.getfd(), 7)
  t.equal(sink.dirty(), "dirty")
end)

--------------------------------------------------------------------------------------------------------------- sources

t.test("by-length ends after the length", function()
  local client, accepted = t.pair()
  accepted:send("0123456789rest")
  local source = socket.source("by-length", client, 10)
  t.returns({ n = 1, "0123456789" }, source())
  t.returns({ n = 1, nil }, source())
  t.returns({ n = 1, nil }, source())
  t.equal(client:receive(4), "rest")
end)

t.test("by-length of nothing reads nothing", function()
  local client = t.pair()
  t.returns({ n = 1, nil }, socket.source("by-length", client, 0)())
  t.returns({ n = 1, nil }, socket.source("by-length", client, -5)())
end)

t.test("by-length reads blocks of BLOCKSIZE, looked up at every call", function()
  local client, accepted = t.pair()
  local original = socket.BLOCKSIZE
  t.finally(function() socket.BLOCKSIZE = original end)
  accepted:send(string.rep("x", 5000))
  local source = socket.source("by-length", client, 5000)
  t.equal(#source(), 2048)
  socket.BLOCKSIZE = 100
  t.equal(#source(), 100)
  socket.BLOCKSIZE = 100000
  t.equal(#source(), 5000 - 2148)
  t.returns({ n = 1, nil }, source())
end)

t.test("by-length without a length raises at the first call", function()
  local client = t.pair()
  local source = socket.source("by-length", client)
  t.raises({ match = "compare" }, source)
end)

t.test("by-length tells of an early end, again and again", function()
  local client, accepted = t.pair()
  accepted:close()
  local source = socket.source("by-length", client, 10)
  t.returns({ nil, "closed" }, source())
  t.returns({ nil, "closed" }, source())
  t.ok(client:getfd() >= 0)
end)

t.fix("by-length delivers what came before an error", function()
  local client, accepted = t.pair()
  accepted:send("part")
  accepted:close()
  local source = socket.source("by-length", client, 10)
  t.returns({ n = 1, "part" }, source())
  t.returns({ nil, "closed" }, source())
  t.returns({ nil, "closed" }, source())
end)

t.fix("by-length goes on after a timeout", function()
  local client, accepted = t.pair()
  client:settimeout(0)
  local source = socket.source("by-length", client, 10)
  t.returns({ nil, "timeout" }, source())
  accepted:send("12345")
  t.readable(client)
  t.equal(source(), "12345")
  t.returns({ nil, "timeout" }, source())
  accepted:send("67890more")
  t.readable(client)
  t.equal(source(), "67890")
  t.returns({ n = 1, nil }, source())
end)

t.test("until-closed gives blocks, the rest, and then nothing for ever", function()
  for _, mode in ipairs { "until-closed", "default" } do
    local client, accepted = t.pair()
    accepted:send(string.rep("x", 3000))
    accepted:close()
    local source = socket.source(mode, client)
    t.returns({ n = 1, string.rep("x", 2048) }, source())
    t.equal(client:getfd() >= 0, true)
    t.returns({ n = 1, string.rep("x", 952) }, source())
    t.equal(client:getfd(), -1)
    t.returns({ n = 1, nil }, source())
    t.returns({ n = 1, nil }, source())
  end
end)

t.test("until-closed ends with an empty chunk after a full block", function()
  local client, accepted = t.pair()
  accepted:send(string.rep("x", 2048))
  accepted:close()
  local source = socket.source(client)
  t.equal(#source(), 2048)
  t.returns({ n = 1, "" }, source())
  t.returns({ n = 1, nil }, source())
end)

t.test("until-closed tells of a timeout", function()
  local client = t.pair()
  client:settimeout(0)
  t.returns({ nil, "timeout" }, socket.source(client)())
end)

t.fix("until-closed delivers what came before an error, and goes on after it", function()
  local client, accepted = t.pair()
  client:settimeout(0)
  accepted:send("part")
  t.readable(client)
  local source = socket.source(client)
  t.equal(source(), "part")
  t.returns({ nil, "timeout" }, source())
  accepted:send("rest")
  accepted:close()
  t.readable(client)
  local got = source()
  while true do
    local chunk, problem = source()
    if not chunk and problem ~= "timeout" then break end
    got = got .. (chunk or "")
  end
  t.equal(got, "rest")
  t.equal(client:getfd(), -1)
end)

t.test("a source calls the methods that the object has at the time", function()
  local sizes = {}
  local object = {
    receive = function(_, size)
      sizes[#sizes + 1] = size
      if #sizes == 1 then return string.rep("x", size) end
      return nil, "closed", "rest"
    end,
    close = function() sizes[#sizes + 1] = "close" end,
  }
  local source = socket.source("until-closed", object)
  t.equal(#source(), 2048)
  t.equal(source(), "rest")
  t.same(sizes, { 2048, 2048, "close" })
end)

t.done()

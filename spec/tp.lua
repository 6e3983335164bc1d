-- socket.tp: commands and replies.

local t = require "support"
local ltn12 = require "ltn12"
local socket = require "socket"
local tp = require "socket.tp"

local function control(text)
  local create, log = t.play(text)
  return assert(tp.connect("h.test", 21, 5, create)), log[1]
end

t.test("surface", function()
  t.equal(socket.tp, tp)
  t.equal(tp.TIMEOUT, 60)
end)

t.test("connect", function()
  local create, log = t.play ""
  local c = tp.connect("h.test", 21, nil, create)
  t.ok(c.c)
  t.equal(log[1].host, "h.test")
  t.equal(log[1].port, 21)
  t.equal(log[1].timeout, 60)
  t.equal(c:close(), 1)
  t.returns({ n = 2, nil, "refused" }, tp.connect("h", 1, 1, (t.play { "", refuse = "refused" })))
  t.returns({ n = 2, nil, "none" }, tp.connect("h", 1, 1, function() return nil, "none" end))
end)

t.test("commands", function()
  local c, log = control ""
  t.ok(c:command("user", "joe"))
  t.ok(c:command("Quit"))
  t.ok(c:command("a", ""))
  t.ok(c:command("b", 5))
  t.ok(c:command("c", false))
  t.equal(log.sent, "USER joe\r\nQUIT\r\nA \r\nB 5\r\nC\r\n")
  t.raises({ match = "." }, c.command, c, nil)
end)

t.test("replies", function()
  for text, expected in pairs {
    ["200 hi\r\n"] = { 200, "200 hi" },
    ["200\r\n"] = { 200, "200" },
    ["200 lf\n"] = { 200, "200 lf" },
    ["220hi\r\n"] = { 220, "220hi" },
    ["2000 x\r\n"] = { 200, "2000 x" },
    ["200-a\r\n200 b\r\n"] = { 200, "200-a\n200 b" },
    ["200-a\r\n201 b\r\n200 c\r\n"] = { 200, "200-a\n201 b\n200 c" },
    ["200-a\r\n200-b\r\nx\r\n200 c\r\n"] = { 200, "200-a\n200-b\nx\n200 c" },
    ["550 no\r\n"] = { n = 2, nil, "550 no" },
    ["20 x\r\n"] = { n = 2, nil, "invalid server reply" },
    ["\r\n"] = { n = 2, nil, "invalid server reply" },
    [" 200 x\r\n"] = { n = 2, nil, "invalid server reply" },
    [""] = { n = 2, nil, "closed" },
    ["200-a\r\nb\r\n"] = { n = 2, nil, "closed" },
  } do
    t.returns(expected, control(text):check("2.."))
  end
end)

t.test("checks", function()
  t.returns({ 250, "250 x" }, control("250 x\r\n"):check(250))
  t.returns({ n = 2, nil, "250 x" }, control("250 x\r\n"):check(251))
  t.returns({ 331, "331 x" }, control("331 x\r\n"):check { "2..", 331 })
  t.returns({ n = 2, nil, "331 x" }, control("331 x\r\n"):check {})
  t.returns({ "a", 331, "331 x" }, control("331 x\r\n"):check(function(code, reply) return "a", code, reply end))
  t.returns({ n = 2, nil, "closed" }, control(""):check(function() t.fail "called" end))
end)

t.test("raw traffic", function()
  local c, log = control "line\r\n12345"
  t.ok(c:send("x"))
  t.equal(c:receive(), "line")
  t.equal(c:receive(2), "12")
  local target = {}
  t.ok(c:sink((ltn12.sink.table(target)), 3))
  t.same(target, { "345" })
  t.equal(c:source(ltn12.source.table { "a", "b" }), 1)
  t.equal(log.sent, "xab")
  t.equal(c:getcontrol(), c.c)
end)

t.test("can be selected", function()
  local server, port = t.server()
  local c = t.closing(assert(tp.connect("127.0.0.1", port)))
  t.closing(server:accept())
  t.equal(c:getfd(), c.c:getfd())
  t.equal(c:dirty(), false)
  t.equal((c:getpeername()), "127.0.0.1")
  t.equal(tonumber((select(2, c:getpeername()))), port)
end)

t.fix("getsockname is the local name", function()
  local server, port = t.server()
  local c = t.closing(assert(tp.connect("127.0.0.1", port)))
  local peer = t.closing(server:accept())
  t.equal(tonumber((select(2, c:getsockname()))), tonumber((select(2, peer:getpeername()))))
end)

t.fix("checks are anchored; ranges", function()
  t.returns({ n = 2, nil, "120 x" }, control("120 x\r\n"):check("2"))
  t.returns({ 120, "120 x" }, control("120 x\r\n"):check { from = 100, to = 199 })
  t.returns({ n = 2, nil, "200 x" }, control("200 x\r\n"):check { { from = 100, to = 199 }, "3" })
end)

t.fix("a bare code ends a reply", function()
  t.returns({ 200, "200-a\n200" }, control("200-a\r\n200\r\n"):check("2.."))
end)

t.fix("no second command in an argument", function()
  local c, log = control ""
  for _, bad in ipairs { "a\r\nQUIT", "a\nb", "a\rb", "a\0b" } do
    t.returns({ n = 2, nil, "invalid argument" }, c:command("user", bad))
    t.returns({ n = 2, nil, "invalid argument" }, c:command(bad))
  end
  t.equal(log.sent, "")
end)

t.fix("limits", function()
  t.returns({ n = 2, nil, "line too long" }, control("200 " .. string.rep("x", 9000) .. "\r\n"):check("2"))
  t.returns({ n = 2, nil, "reply too long" }, control("200-a\r\n" .. string.rep("x\r\n", 3000)):check("2"))
end)

t.fix("a reply has one time limit", function()
  local child = t.spawn [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    print((select(2, server:getsockname())))
    local client = server:accept()
    for _ = 1, 100 do
      if not client:send("200-x\r\n") then break end
      socket.sleep(0.05)
    end
  ]]
  local c = t.closing(assert(tp.connect("127.0.0.1", child:read(), 0.3)))
  local time = t.elapsed(function() t.returns({ n = 2, nil, "timeout" }, c:check("2")) end)
  t.between(time, 0.2, 1)
end)

t.done()

-- send: ranges, results, partial sends, broken connections; shutdown; the statistics.

local t = require "support"
local socket = require "socket"

local function sent(last)
  return { n = 3, last, nil, nil }
end

-- Sends, closes, and gives what came out of the other end, nil if nothing did.
local function arrives(client, accepted, arguments, last)
  t.returns(sent(last), client:send(t.unpack(arguments)))
  client:shutdown("send")
  return accepted:receive("*a")
end

---------------------------------------------------------------------------------------------------------------- ranges

-- Each: arguments, the index that is returned, what arrives.
local RANGES = {
  { { "abc" }, 3, "abc" },
  { { "abc", 1 }, 3, "abc" },
  { { "abc", 2 }, 3, "bc" },
  { { "abc", 3 }, 3, "c" },
  { { "abc", 1, 1 }, 1, "a" },
  { { "abc", 2, 2 }, 2, "b" },
  { { "abc", 1, 2 }, 2, "ab" },
  { { "abc", -1 }, 3, "c" },
  { { "abc", -2, -2 }, 2, "b" },
  { { "abc", -3, -2 }, 2, "ab" },
  { { "abc", -10 }, 3, "abc" },
  { { "abc", -10, -3 }, 1, "a" },
  { { "abc", 0 }, 3, "abc" },
  { { "abc", 0, 100 }, 3, "abc" },
  { { "abc", 2, 100 }, 3, "bc" },
  { { "abc", 2.9, 3.9 }, 3, "bc" },
  { { "abc", "2", "3" }, 3, "bc" },
  { { "abc", nil, 2 }, 2, "ab" },
  { { "abc", 2, nil }, 3, "bc" },
  { { 125 }, 3, "125" },
  { { 1.5 }, 3, "1.5" },
  { { "a\0b\r\n" }, 5, "a\0b\r\n" },
  -- nothing to send
  { { "" }, 0, nil },
  { { "", 1, 1 }, 0, nil },
  { { "abc", 4 }, 3, nil },
  { { "abc", 10 }, 9, nil },
  { { "abc", 3, 1 }, 2, nil },
  { { "abc", 2, 1 }, 1, nil },
  { { "abc", 1, 0 }, 0, nil },
  { { "abc", 2, -10 }, 1, nil },
  { { "abc", -10, -30 }, 0, nil },
}

t.test("a range of the string is sent, the last index returned", function()
  local server = t.server()
  for _, case in ipairs(RANGES) do
    local client, accepted = t.pair(server)
    local arrived = arrives(client, accepted, { n = 3, case[1][1], case[1][2], case[1][3] }, case[2])
    t.equal(arrived, case[3])
    client:close()
    accepted:close()
  end
end)

t.fix("infinite indices stand for the ends of the string", function()
  local client, accepted = t.pair()
  t.returns(sent(3), client:send("abc", -math.huge))
  t.returns(sent(3), client:send("abc", 1, math.huge))
  t.returns(sent(0), client:send("abc", 1, -math.huge))
  t.returns(3, client:send("abc", math.huge))
  t.returns(3, client:send("abc", 2 ^ 63))
  client:close()
  t.equal(accepted:receive("*a"), "abcabc")
end)

t.test("NaN as an index raises no storm", function()
  local client = t.pair()
  t.returns(3, client:send("abc", 0 / 0))
  t.returns(3, client:send("abc", 1, 0 / 0))
end)

t.test("an empty range succeeds on a closed or broken object, without waiting", function()
  local client, accepted = t.pair()
  t.fill(client)
  t.returns(sent(0), client:send(""))
  t.returns(sent(9), client:send("abc", 10))
  client:close()
  t.returns(sent(0), client:send(""))
  t.returns(sent(2), client:send("abc", 3, 1))
  t.reset(accepted)
  t.returns(sent(0), accepted:send(""))
end)

t.test("arguments of the wrong type raise", function()
  local client = t.pair()
  t.raises("bad argument #1 to 'send' (string expected, got no value)", function() client:send() end)
  t.raises("bad argument #1 to 'send' (string expected, got nil)", function() client:send(nil) end)
  t.raises("bad argument #1 to 'send' (string expected, got table)", function() client:send({}) end)
  t.raises("bad argument #1 to 'send' (string expected, got boolean)", function() client:send(true) end)
  t.raises("bad argument #2 to 'send' (number expected, got table)", function() client:send("x", {}) end)
  t.raises("bad argument #2 to 'send' (number expected, got string)", function() client:send("x", "y") end)
  t.raises("bad argument #3 to 'send' (number expected, got boolean)", function() client:send("x", 1, false) end)
  t.raises("bad argument #2 to 'send' (string expected, got table)", function() client.send(client, {}) end)
  t.raises({ exact = "bad argument #2 to '?' (string expected, got nil)" }, client.send, client, nil)
end)

------------------------------------------------------------------------------------------------------------ large sends

t.test("large strings arrive whole", function()
  local server, port = t.server()
  local child = t.spawn([[
    local socket = require "socket"
    local client = assert(socket.connect("127.0.0.1", ...))
    local text = client:receive("*a")
    print(#text, text == string.rep("0123456789abcdef", #text / 16))
  ]], port)
  local accepted = t.closing(assert(server:accept()))
  t.returns(sent(4194304), accepted:send(string.rep("0123456789abcdef", 262144)))
  accepted:close()
  t.equal(child:read(), "4194304\ttrue")
  child:finish()
end)

t.test("a send that must wait times out with the last index sent, and can be resumed", function()
  local client, accepted = t.pair()
  local text = string.rep("0123456789", 1000000)
  client:settimeout(0)
  accepted:settimeout(0)
  local last, problem, partial = t.returns(3, client:send(text))
  t.equal(last, nil)
  t.equal(problem, "timeout")
  t.between(partial, 1, #text - 1)
  local got, part = {}, nil
  while #got < 100000 do
    last, problem, partial = client:send(text, partial + 1)
    partial = last or partial
    if problem then t.equal(problem, "timeout") end
    _, problem, part = accepted:receive("*a")
    got[#got + 1] = part
    if last then break end
  end
  client:close()
  accepted:settimeout(5)
  got[#got + 1] = accepted:receive("*a") or ""
  t.equal(#table.concat(got), #text)
  t.ok(table.concat(got) == text)
end)

t.test("the index counts from the start of the string, also when the range does not", function()
  local client = t.pair()
  t.fill(client)
  t.returns({ nil, "timeout", 0 }, client:send("abc"))
  t.returns({ nil, "timeout", 1 }, client:send("abc", 2))
  t.returns({ nil, "timeout", 2 }, client:send("abc", -1))
end)

t.test("a timeout takes as long as it says", function()
  local client = t.pair()
  t.fill(client)
  client:settimeout(0.1)
  t.between(t.elapsed(client.send, client, "x"), 0.099, 2)
end)

------------------------------------------------------------------------------------------------------- broken streams

t.test("a locally closed object", function()
  local client = t.pair()
  client:close()
  t.returns({ nil, "closed", 0 }, client:send("abc"))
  t.returns({ nil, "closed", 1 }, client:send("abc", 2))
end)

t.test("a peer that reset", function()
  local client, accepted = t.pair()
  t.reset(accepted)
  t.readable(client)
  t.returns({ nil, "closed", 0 }, client:send("abc"))
  t.returns({ nil, "closed", 2 }, client:send("abc", 3))
end)

t.test("a peer that closed is noticed in the end", function()
  local client, accepted = t.pair()
  accepted:close()
  local last, problem
  repeat last, problem = client:send("x") until not last
  t.equal(problem, "closed")
end)

t.test("a client that never connected", function()
  local client = t.closing(socket.tcp())
  t.equal((client:connect("127.0.0.1", t.unused_port())), nil)
  t.returns({ nil, "closed", 0 }, client:send("x"))
end)

t.test("a side that was shut down", function()
  local client = t.pair()
  client:shutdown("send")
  t.returns({ nil, "closed", 0 }, client:send("x"))
end)

-------------------------------------------------------------------------------------------------------------- shutdown

t.test("shutdown ends one direction or both, and always returns 1", function()
  for _, mode in ipairs { "send", "receive", "both", "default" } do
    local client, accepted = t.pair()
    if mode == "default" then t.returns({ 1 }, client:shutdown()) else t.returns({ 1 }, client:shutdown(mode)) end
    t.returns({ 1 }, client:shutdown(nil))
    if mode ~= "receive" then t.returns({ nil, "closed", "" }, accepted:receive("*a")) end
    client:close()
    t.returns({ 1 }, client:shutdown())
    t.returns({ 1 }, client:shutdown("send"))
  end
  local client = t.closing(socket.tcp())
  client:connect("127.0.0.1", t.unused_port())
  t.returns({ 1 }, client:shutdown())
end)

t.test("shutdown knows three words", function()
  local client, accepted = t.pair()
  t.raises("bad argument #1 to 'shutdown' (invalid option 'x')", function() client:shutdown("x") end)
  t.raises("bad argument #1 to 'shutdown' (invalid option '')", function() client:shutdown("") end)
  t.raises("bad argument #1 to 'shutdown' (invalid option '1')", function() client:shutdown(1) end)
  if not t.lua.jit then -- which takes a word of the wrong type for the default one
    t.raises("bad argument #1 to 'shutdown' (string expected, got table)", function() client:shutdown({}) end)
  end
  t.equal(client:send("x"), 1)
  t.equal(accepted:receive(1), "x")
end)

------------------------------------------------------------------------------------------------------------ statistics

t.test("getstats counts what was received, what was sent, and the age", function()
  local client, accepted = t.pair()
  local received, wrote, age = t.returns(3, client:getstats())
  t.equal(received, 0)
  t.equal(wrote, 0)
  t.between(age, 0, 5)
  client:send("12345", 2)
  t.equal(select(2, client:getstats()), 4)
  accepted:send("line\r\nmore")
  client:receive("*l")
  t.equal((client:getstats()), 6)
  client:receive(3, "ab")
  t.equal((client:getstats()), 7)
  client:settimeout(0)
  client:receive("*a")
  t.equal((client:getstats()), 10)
  t.equal((accepted:getstats()), 0)
  t.equal(select(2, accepted:getstats()), 10)
end)

t.test("statistics outlive the descriptor", function()
  local client = t.pair()
  client:send("123")
  client:close()
  t.equal(select(2, client:getstats()), 3)
  t.returns({ 1 }, client:setstats(1, 2, 3))
  local received, wrote, age = client:getstats()
  t.equal(received, 1)
  t.equal(wrote, 2)
  t.between(age, 3, 4)
end)

t.test("setstats sets what it is given and keeps the rest", function()
  local client = t.pair()
  t.returns({ 1 }, client:setstats(100, 200, 300))
  local received, wrote, age = client:getstats()
  t.equal(received, 100)
  t.equal(wrote, 200)
  t.between(age, 300, 305)
  t.returns({ 1 }, client:setstats(nil, 5))
  t.returns({ 1 }, client:setstats("7.9"))
  t.returns({ 1 }, client:setstats())
  received, wrote, age = client:getstats()
  t.equal(received, 7)
  t.equal(wrote, 5)
  t.between(age, 300, 305)
  client:send("x")
  t.equal(select(2, client:getstats()), 6)
end)

t.test("an age that is no number is ignored", function()
  local client = t.pair()
  t.returns({ 1 }, client:setstats(nil, nil, {}))
  t.returns({ 1 }, client:setstats(nil, nil, "x"))
  t.returns({ 1 }, client:setstats(nil, nil, true))
  t.between(select(3, client:getstats()), 0, 5)
  t.returns({ 1 }, client:setstats(nil, nil, "100"))
  t.between(select(3, client:getstats()), 100, 105)
end)

t.test("counts that are no numbers raise", function()
  local client = t.pair()
  t.raises("bad argument #1 to 'setstats' (number expected, got table)", function() client:setstats({}) end)
  t.raises("bad argument #2 to 'setstats' (number expected, got string)", function() client:setstats(1, "x") end)
  t.raises("bad argument #1 to 'setstats' (number expected, got boolean)", function() client:setstats(false) end)
end)

t.fix("negative counts do not become huge", function()
  local client = t.pair()
  client:setstats(-5, -1)
  local received, wrote = client:getstats()
  t.between(received, -5, 0)
  t.between(wrote, -1, 0)
  client:setstats(0 / 0, math.huge)
  t.returns(3, client:getstats())
end)

t.done()

-- receive: patterns, prefixes, partial results, the buffer.

local t = require "support"

-- A pair; what is written to the second end comes out of the first, whose timeout is 0.
local function pair()
  local client, accepted = t.pair()
  client:settimeout(0)
  return client, accepted
end

-- A client to which `text` has been sent, all of which has arrived, by a peer that has closed.
local function filled(text)
  local client, accepted = t.pair()
  assert(accepted:send(text))
  accepted:close()
  return client
end

-- What receive returns: exactly three values.
local function received(...)
  return { n = 3, ... }
end

----------------------------------------------------------------------------------------------------------------- lines

t.test("a line ends at LF, which is consumed and not returned", function()
  local client = filled "one\ntwo\n\nthree"
  t.returns(received("one"), client:receive("*l"))
  t.returns(received("two"), client:receive())
  t.returns(received(""), client:receive(nil))
  t.returns(received(nil, "closed", "three"), client:receive("*l"))
  t.returns(received(nil, "closed", ""), client:receive("*l"))
end)

t.test("every CR in a line is dropped, whole and partial", function()
  local client = filled "a\rb\r\r\n\r\n\rx\r"
  t.returns(received("ab"), client:receive("*l"))
  t.returns(received(""), client:receive("*l"))
  t.returns(received(nil, "closed", "x"), client:receive("*l"))
end)

t.test("lines are binary otherwise", function()
  local bytes = {}
  for i = 0, 255 do
    if i ~= 10 and i ~= 13 then bytes[#bytes + 1] = string.char(i) end
  end
  local line = table.concat(bytes)
  t.returns(received(line), filled(line .. "\n"):receive("*l"))
end)

t.test("a prefix goes before the line, unfiltered", function()
  local client = filled "one\r\ntwo\n"
  t.returns(received("a\r\nb\0one"), client:receive("*l", "a\r\nb\0"))
  t.returns(received("12two"), client:receive("*l", 12))
  t.returns(received(nil, "closed", "p\r"), client:receive("*l", "p\r"))
end)

t.test("an unfinished line is taken as partial result", function()
  local client, accepted = pair()
  t.returns(received(nil, "timeout", ""), client:receive("*l"))
  accepted:send("one\r")
  t.readable(client)
  t.returns(received(nil, "timeout", "one"), client:receive("*l"))
  t.equal(client:dirty(), false)
  accepted:send("\nrest")
  t.readable(client)
  t.returns(received("one"), client:receive("*l", "one"))
  t.returns(received(nil, "timeout", "rest"), client:receive("*l"))
end)

t.test("long lines, longer than any buffer", function()
  for _, size in ipairs { 8191, 8192, 8193, 16384, 100000, 1000000 } do
    local client, accepted = t.pair()
    local line = string.rep("x", size)
    accepted:settimeout(0)
    local last, got, problem, part = 0, nil, nil, nil
    client:settimeout(0)
    repeat
      if last < size + 1 then
        local ok, _, partial = accepted:send(line .. "\n", last + 1)
        last = ok or partial
      end
      got, problem, part = client:receive("*l", part)
    until problem ~= "timeout"
    t.equal(got, line)
    client:close()
    accepted:close()
  end
end)

t.test("reading a long line is not quadratic", function()
  local size = 4 * 1024 * 1024
  local server, port = t.server()
  local child = t.spawn([[
    local socket = require "socket"
    local client = assert(socket.connect("127.0.0.1", ...))
    local block = string.rep("x", 65536)
    for _ = 1, 64 do assert(client:send(block)) end
    client:send("\n")
  ]], port)
  local client = t.closing(assert(server:accept()))
  t.equal(#client:receive("*l"), size)
  child:finish()
end, 5)

------------------------------------------------------------------------------------------------------------------- all

t.test("'*a' reads to the end", function()
  local text = "a\r\nb\0\r" .. string.rep("xyz", 10000)
  local client = filled(text)
  t.returns(received(text), client:receive("*a"))
end)

t.test("'*a' with nothing left tells that it is closed", function()
  t.returns(received(nil, "closed", ""), filled(""):receive("*a"))
  t.returns(received(nil, "closed", "prefix"), filled(""):receive("*a", "prefix"))
  local client = filled "text"
  t.returns(received("prefixtext"), client:receive("*a", "prefix"))
  t.returns(received(nil, "closed", ""), client:receive("*a"))
end)

t.test("'*a' gives a partial result and goes on", function()
  local client, accepted = pair()
  accepted:send("one")
  t.readable(client)
  t.returns(received(nil, "timeout", "one"), client:receive("*a"))
  t.returns(received(nil, "timeout", "one"), client:receive("*a", "one"))
  accepted:send("two")
  t.readable(client)
  t.returns(received(nil, "timeout", "onetwo"), client:receive("*a", "one"))
  accepted:close()
  t.readable(client)
  t.returns(received(nil, "closed", "onetwo"), client:receive("*a", "onetwo"))
end)

t.test("a reset after some data is no success", function()
  local client, accepted = pair()
  accepted:send("data")
  t.readable(client)
  t.equal(client:receive(1), "d")
  t.reset(accepted)
  client:settimeout(5)
  local all, problem, partial = t.returns(3, client:receive("*a"))
  t.equal(all, nil)
  t.equal(problem, "closed")
  t.equal(partial, "ata")
end)

---------------------------------------------------------------------------------------------------------------- counts

t.test("a count reads that many bytes", function()
  local client = filled "0123456789"
  t.returns(received("0"), client:receive(1))
  t.returns(received("123"), client:receive(3))
  t.returns(received(nil, "closed", "456789"), client:receive(7))
  t.returns(received(nil, "closed", ""), client:receive(7))
end)

t.test("a count may be a string and have a fraction", function()
  local client = filled "0123456789abcdefghij"
  t.returns(received("0"), client:receive("1"))
  t.returns(received("12"), client:receive("0x2"))
  t.returns(received("345"), client:receive(" 3 "))
  t.returns(received("6"), client:receive(1.9))
  t.returns(received("789abcdefg"), client:receive("1e1"))
end)

t.test("the prefix counts", function()
  local client = filled "0123456789"
  t.returns(received("ab01"), client:receive(4, "ab"))
  t.returns(received("abcd"), client:receive(4, "abcd"))
  t.returns(received("abcde"), client:receive(4, "abcde"))
  t.returns(received("abcde"), client:receive(0, "abcde"))
  t.returns(received("232"), client:receive(3, 23))
  t.returns(received(nil, "closed", "x3456789"), client:receive(100, "x"))
  t.returns(received("ab"), client:receive(2, "ab"))
end)

t.test("a sufficient prefix is returned even when closed", function()
  local client = filled ""
  t.returns(received("ab"), client:receive(2, "ab"))
  client:close()
  t.returns(received("ab"), client:receive(2, "ab"))
  t.returns(received("abc"), client:receive(2, "abc"))
  t.returns(received(nil, "closed", "a"), client:receive(2, "a"))
end)

t.test("a count continues after a timeout", function()
  local client, accepted = pair()
  t.returns(received(nil, "timeout", ""), client:receive(6))
  accepted:send("abc")
  t.readable(client)
  t.returns(received(nil, "timeout", "abc"), client:receive(6))
  accepted:send("defgh")
  t.readable(client)
  t.returns(received("abcdef"), client:receive(6, "abc"))
  t.returns(received("gh"), client:receive(2))
end)

t.test("counts larger than any buffer", function()
  for _, size in ipairs { 8191, 8192, 8193, 16384, 16385, 200000 } do
    local text = string.rep("0123456789", math.ceil(size / 10) + 2)
    local client = filled(text)
    t.returns(received(text:sub(1, size)), client:receive(size))
    t.returns(received(text:sub(size + 1)), client:receive("*a"))
    client:close()
  end
end)

t.test("zero bytes from the buffer", function()
  local client = filled "ab\ncd"
  t.equal(client:receive("*l"), "ab")
  t.equal(client:dirty(), true)
  t.returns(received(""), client:receive(0))
  t.equal(client:receive(2), "cd")
end)

t.test("zero bytes of a closed stream", function()
  local client = filled ""
  t.returns(received(nil, "closed", ""), client:receive(0))
  client:close()
  t.returns(received(nil, "closed", ""), client:receive(0))
end)

t.test("zero bytes are not taken away", function()
  local client = filled "text"
  t.returns(received(""), client:receive(0))
  t.equal(client:receive("*a"), "text")
end)

t.fix("zero bytes never wait", function()
  local client, accepted = t.pair()
  t.returns(received(""), client:receive(0))
  client:settimeout(0)
  t.returns(received(""), client:receive(0))
  accepted:close()
  t.readable(client)
  t.returns(received(nil, "closed", ""), client:receive(0))
  local reset_client, reset_peer = t.pair()
  t.reset(reset_peer)
  t.readable(reset_client)
  t.returns(received(nil, "closed", ""), reset_client:receive(0))
end)

t.fix("an immense count reads to the end and tells of it", function()
  t.returns(received(nil, "closed", "text"), filled("text"):receive(math.huge))
  t.returns(received(nil, "closed", "text"), filled("text"):receive(2 ^ 63))
  t.returns(received(nil, "closed", "text"), filled("text"):receive(2 ^ 53))
  t.returns(received(nil, "closed", "xtext"), filled("text"):receive(1e300, "x"))
  t.returns(received(nil, "closed", "text"), filled("text"):receive("1e999"))
end)

t.test("a large count costs no memory by itself", function()
  t.returns(received(nil, "closed", "text"), filled("text"):receive(1e15))
end)

----------------------------------------------------------------------------------------------------------- bad patterns

local INVALID = "bad argument #1 to 'receive' (invalid receive pattern)"

t.test("what is no pattern raises", function()
  local client = filled "text"
  for _, pattern in ipairs { "*", "", "x", "*n", "*x", "n", "-1", " ", "1x", "*\0", "\0" } do
    t.raises(INVALID, function() client:receive(pattern) end)
  end
  t.raises(INVALID, function() client:receive(-1) end)
  t.raises(INVALID, function() client:receive(-math.huge) end)
  t.raises(INVALID, function() client:receive(0 / 0) end)
  t.raises("bad argument #2 to 'receive' (invalid receive pattern)", function() client.receive(client, "x") end)
  t.raises({ exact = "bad argument #2 to '?' (invalid receive pattern)" }, client.receive, client, "x")
  t.equal(client:receive("*a"), "text")
end)

t.test("values of the wrong type raise", function()
  local client = filled "text"
  for _, value in ipairs { true, {}, print } do
    t.raises("bad argument #1 to 'receive' (string expected, got " .. type(value) .. ")", function()
      client:receive(value)
    end)
    t.raises("bad argument #2 to 'receive' (string expected, got " .. type(value) .. ")", function()
      client:receive("*l", value)
    end)
    t.raises("bad argument #2 to 'receive' (string expected, got " .. type(value) .. ")", function()
      client:receive(1, value)
    end)
  end
  local kind = t.lua.number >= 503 and "tcp{client}" or "userdata"
  t.raises("bad argument #1 to 'receive' (string expected, got " .. kind .. ")", function() client:receive(client) end)
  t.equal(client:receive("*a", nil, "surplus", {}), "text")
end)

t.test("only two characters of a pattern matter", function()
  local client = filled "one\ntwo\nrest\n"
  t.equal(client:receive("*line"), "one")
  t.equal(client:receive("*l\0"), "two")
  t.equal(client:receive("*all"), "rest\n")
end)

---------------------------------------------------------------------------------------------------------------- extras

t.fix("'*L' keeps the end of the line and all that is in it", function()
  local client = filled "one\r\na\rb\n\n\r\nrest\r"
  t.returns(received("one\r\n"), client:receive("*L"))
  t.returns(received("a\rb\n"), client:receive("*L"))
  t.returns(received("\n"), client:receive("*L"))
  t.returns(received("prefix\r\n"), client:receive("*L", "prefix"))
  t.returns(received(nil, "closed", "rest\r"), client:receive("*L"))
  t.returns(received(nil, "closed", ""), client:receive("*L"))
end)

t.fix("'*L' continues after a timeout", function()
  local client, accepted = pair()
  accepted:send("one\r")
  t.readable(client)
  t.returns(received(nil, "timeout", "one\r"), client:receive("*L"))
  accepted:send("\ntwo")
  t.readable(client)
  t.returns(received("one\r\n"), client:receive("*L", "one\r"))
  t.returns(received(nil, "timeout", "two"), client:receive("*L"))
end)

t.fix("patterns without the star", function()
  local client = filled "1\r\n2\r\n3\r\n4\n567"
  t.returns(received("1"), client:receive("l"))
  t.returns(received("2\r\n"), client:receive("L"))
  t.returns(received("3"), client:receive("line"))
  t.returns(received("4"), client:receive("l", ""))
  local some = client:receive("r")
  t.match(some, "^5")
  local all, _, part = client:receive("a", some)
  t.equal(all or part, "567")
end)

t.fix("'all' is '*a'", function()
  t.returns(received("one\r\ntwo"), filled("one\r\ntwo"):receive("all"))
end)

t.fix("'*r' gives what is there, at least one byte", function()
  local client, accepted = pair()
  t.returns(received(nil, "timeout", ""), client:receive("*r"))
  t.returns(received(nil, "timeout", "prefix"), client:receive("*r", "prefix"))
  accepted:send("some\r\n\0bytes")
  t.readable(client)
  t.returns(received("some\r\n\0bytes"), client:receive("*r"))
  accepted:send("more")
  t.readable(client)
  t.returns(received("prefixmore"), client:receive("*r", "prefix"))
  accepted:close()
  t.readable(client)
  t.returns(received(nil, "closed", ""), client:receive("*r"))
  t.returns(received(nil, "closed", "prefix"), client:receive("*r", "prefix"))
  client:close()
  t.returns(received(nil, "closed", "prefix"), client:receive("*r", "prefix"))
end)

t.fix("'*r' gives what the buffer holds without waiting", function()
  local client, accepted = t.pair()
  accepted:send("line\nrest")
  t.equal(client:receive("*l"), "line")
  t.equal(client:dirty(), true)
  t.returns(received("rest"), client:receive("*r"))
  t.equal(client:dirty(), false)
end)

t.fix("'*r' waits for the first byte as long as the timeout says", function()
  local client = t.pair()
  client:settimeout(0.1)
  t.between(t.elapsed(client.receive, client, "*r"), 0.099, 2)
end)

t.fix("reading with '*r' to the end gives every byte once", function()
  local text = string.rep("0123456789abcdef", 20000)
  local client, accepted = pair()
  accepted:settimeout(0)
  local got, sent, problem = {}, 0, nil
  repeat
    if sent < #text then
      local last, _, partial = accepted:send(text, sent + 1)
      sent = last or partial
      if sent == #text then accepted:close() end
    end
    local some
    some, problem = client:receive("*r")
    if some then t.ok(#some >= 1) end
    got[#got + 1] = some
  until problem == "closed"
  t.equal(table.concat(got), text)
end)

---------------------------------------------------------------------------------------------------------------- buffer

t.test("unread input makes the object dirty", function()
  local client, accepted = pair()
  t.equal(client:dirty(), false)
  accepted:send("one\ntwo\n")
  t.readable(client)
  t.equal(client:dirty(), false)
  t.equal(client:receive(), "one")
  t.returns({ true }, client:dirty())
  t.equal(client:receive(), "two")
  t.returns({ false }, client:dirty())
end)

t.test("the buffer is served first, whatever the timeout, and patterns mix", function()
  local client, accepted = pair()
  accepted:send("one\n234five\n")
  t.readable(client)
  t.equal(client:receive("*l"), "one")
  t.equal(client:receive(3), "234")
  t.equal(client:receive("*l"), "five")
  t.returns(received(nil, "timeout", ""), client:receive(1))
end)

t.test("timeout 0 returns data that is there", function()
  local client, accepted = pair()
  accepted:send(string.rep("x", 20000))
  accepted:close()
  local got, problem = "", nil
  repeat
    t.readable(client)
    problem, got = select(2, client:receive(30000, got))
  until problem == "closed"
  t.equal(#got, 20000)
end)

t.test("after the end of the stream every call tells of it", function()
  local client = filled ""
  for _ = 1, 3 do
    t.returns(received(nil, "closed", ""), client:receive(1))
    t.returns(received(nil, "closed", ""), client:receive("*l"))
    t.returns(received(nil, "closed", "p"), client:receive("*a", "p"))
  end
  t.ok(client:getfd() >= 0)
end)

t.test("a reset is 'closed'", function()
  local client, accepted = t.pair()
  t.reset(accepted)
  t.returns(received(nil, "closed", ""), client:receive())
  t.returns(received(nil, "closed", "p"), client:receive("*a", "p"))
end)

t.test("a half-closed peer still gets what is sent", function()
  local client, accepted = t.pair()
  client:shutdown("send")
  t.returns(received(nil, "closed", ""), accepted:receive("*a"))
  t.equal(accepted:send("answer"), 6)
  t.equal(client:receive(6), "answer")
end)

t.test("receive after the own side was shut down for reading", function()
  local client = t.pair()
  client:shutdown("receive")
  t.returns(received(nil, "closed", ""), client:receive("*l"))
end)

t.test("receive on a client that never connected", function()
  local client = t.closing(require("socket").tcp())
  t.equal((client:connect("127.0.0.1", t.unused_port())), nil)
  t.returns(received(nil, "closed", ""), client:receive())
  t.returns(received(nil, "closed", "p"), client:receive(5, "p"))
end)

t.done()

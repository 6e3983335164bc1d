-- What `receive` takes within a bound: lines that may not be longer, and whatever is there.

local t = require "support"
local socket = require "socket"

t.fix("a line within the bound", function()
  local a, b = t.pair()
  b:send("hello\r\nworld\n")
  t.returns({ n = 3, "hello", nil, nil }, a:receive("*l", nil, { most = 6 }))
  t.returns({ n = 3, "> world", nil, nil }, a:receive("*l", "> ", { most = 5 }))
end)

t.fix("a line beyond the bound is an error and stays", function()
  local a, b = t.pair()
  b:send(string.rep("x", 100))
  t.readable(a)
  t.returns({ n = 3, nil, "line too long", "" }, a:receive("*l", nil, { most = 99 }))
  t.returns({ n = 3, nil, "line too long", "" }, a:receive("*L", nil, { most = 10 }))
  b:send("\n")
  t.equal(a:receive("*l", nil, { most = 100 }), string.rep("x", 100))
end)

t.fix("an endless line takes bounded memory", function()
  local a, b = t.pair()
  t.fill(b)
  t.returns({ n = 3, nil, "line too long", "" }, a:receive("*l", nil, { most = 65536 }))
end)

t.test("a surplus argument is ignored", function()
  local a, b = t.pair()
  for _, surplus in ipairs { "x", 1, "1", true, {}, { most = "1" } } do
    b:send("hello\n")
    t.equal(a:receive("*l", nil, surplus), "hello")
  end
  b:send("hello\n")
  t.equal(a:receive("*l", "", 3, { most = 1 }), "hello")
end)

t.fix("receiveany", function()
  local a, b = t.pair()
  a:settimeout(0)
  t.returns({ n = 3, nil, "timeout", "" }, a:receiveany())
  b:send("hello")
  t.readable(a)
  t.returns({ n = 3, "he", nil, nil }, a:receiveany(2))
  t.equal(a:dirty(), true)
  t.returns({ n = 3, "llo", nil, nil }, a:receiveany())
  b:send("x")
  t.readable(a)
  t.equal(a:receiveany(0), "x")
  b:close()
  t.readable(a)
  t.returns({ n = 3, nil, "closed", "" }, a:receiveany(5))
end)

t.fix("skipany", function()
  local a, b = t.pair()
  a:settimeout(0)
  t.returns({ n = 2, nil, "timeout" }, a:skipany(10))
  b:send("hello\nworld")
  t.readable(a)
  t.equal(a:skipany(2), 2)
  t.equal(a:receive(), "llo")
  t.equal(a:skipany(2), 2)
  t.equal(a:skipany(), 3)
  b:send(string.rep("x", 1000))
  t.readable(a)
  t.equal(a:skipany(), 1000)
  t.equal((a:getstats()), 1011)
  b:send("y")
  t.readable(a)
  t.equal(a:skipany(0), 1)
  b:close()
  t.readable(a)
  t.returns({ n = 2, nil, "closed" }, a:skipany(5))
  a:close()
  t.returns({ n = 2, nil, "closed" }, a:skipany(5))
end)

t.fix("isquiet", function()
  local a, b = t.pair()
  a:settimeout(5)
  t.returns({ n = 1, true }, a:isquiet())
  b:send("hello\nworld")
  t.readable(a)
  t.equal(a:isquiet(), false)
  t.equal(a:receive(), "hello")
  t.equal(a:isquiet(), false)
  t.equal(a:receive(5), "world")
  t.equal(a:isquiet(), true)
  b:close()
  t.readable(a)
  t.equal(a:isquiet(), false)
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
  a:close()
  t.equal(a:isquiet(), false)
end)

t.fix("a stream in full flow comes whole, and its last bytes at once", function()
  local text = string.rep("0123456789abcdef", 40000)
  local server = t.spawn([[
    local socket = require "socket"
    local server = socket.bind("127.0.0.1", 0)
    print((select(2, server:getsockname())))
    local client = server:accept()
    local text = ("0123456789abcdef"):rep(40000)
    for i = 1, 5 do
      client:send(text)
      client:receive()
    end
    client:send(text)
  ]])
  local client = t.closing(assert(socket.connect("127.0.0.1", server:read())))
  client:settimeout(5)
  for i = 1, 2 do
    t.equal(client:receive(#text), text)
    client:send("\n")
  end
  local count = 0
  while count < #text do count = count + assert(client:skipany(#text - count)) end
  client:send("\n")
  local pieces = {}
  count = 0
  while count < #text do
    pieces[#pieces + 1] = assert(client:receiveany(65536))
    count = count + #pieces[#pieces]
  end
  t.equal(table.concat(pieces), text)
  client:send("\n")
  while true do
    local line = assert(client:receive(1000))
    count = count + #line
    if count == 2 * #text then break end
  end
  client:send("\n")
  t.equal(client:receive("*a"), text)
end)

t.done()

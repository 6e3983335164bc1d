-- setoption and getoption of TCP objects.

local t = require "support"
local socket = require "socket"

local BOOLEANS = { "keepalive", "reuseaddr", "reuseport", "tcp-nodelay" }
local NUMBERS = { "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl" }
local ALL = {
  "bindtodevice", "ipv6-v6only", "keepalive", "linger", "recv-buffer-size", "reuseaddr", "reuseport",
  "send-buffer-size", "tcp-defer-accept", "tcp-fastopen", "tcp-fastopen-connect", "tcp-keepcnt", "tcp-keepidle",
  "tcp-keepintvl", "tcp-nodelay",
}
-- A value that each of them takes.
local VALUES = { bindtodevice = "", linger = { on = false, timeout = 0 }, ["ipv6-v6only"] = true }
for _, name in ipairs(BOOLEANS) do VALUES[name] = true end

local function value_for(name)
  local value = VALUES[name]
  if value == nil then return 1 end
  return value
end

local function objects()
  local server = t.server()
  local client = t.pair(server)
  return { t.closing(socket.tcp4()), client, server }
end

--------------------------------------------------------------------------------------------------------------- values

t.test("options that are on or off", function()
  for _, object in ipairs(objects()) do
    for _, name in ipairs(BOOLEANS) do
      t.returns({ 1 }, object:setoption(name, true))
      t.returns({ true }, object:getoption(name))
      t.returns({ 1 }, object:setoption(name, false))
      t.returns({ false }, object:getoption(name))
    end
  end
end)

t.test("only booleans are booleans", function()
  local client = t.pair()
  for _, name in ipairs(BOOLEANS) do
    for _, value in ipairs { 0, 1, "true", {} } do
      t.raises("bad argument #2 to 'setoption' (boolean expected, got " .. type(value) .. ")", function()
        client:setoption(name, value)
      end)
    end
    t.raises("bad argument #2 to 'setoption' (boolean expected, got no value)", function() client:setoption(name) end)
    t.raises("bad argument #2 to 'setoption' (boolean expected, got nil)", function() client:setoption(name, nil) end)
    t.raises("bad argument #3 to 'setoption' (boolean expected, got nil)", function()
      client.setoption(client, name, nil)
    end)
  end
end)

t.test("keepalive's numbers", function()
  local client = t.pair()
  for i, name in ipairs(NUMBERS) do
    t.ok(t.returns(1, client:getoption(name)) > 0)
    t.returns({ 1 }, client:setoption(name, 10 + i))
    t.returns({ 10 + i }, client:getoption(name))
    t.returns({ 1 }, client:setoption(name, "20"))
    t.returns({ 20 }, client:getoption(name))
    t.returns({ 1 }, client:setoption(name, 30.9))
    t.returns({ 30 }, client:getoption(name))
    t.returns({ nil, "setsockopt failed" }, client:setoption(name, 0))
    t.returns({ nil, "setsockopt failed" }, client:setoption(name, 1000000000))
  end
end)

t.test("buffer sizes", function()
  for _, name in ipairs { "recv-buffer-size", "send-buffer-size" } do
    local client = t.pair()
    t.returns({ 1 }, client:setoption(name, 20000))
    t.between(t.returns(1, client:getoption(name)), 20000, 80000)
  end
end)

t.test("tcp-defer-accept, tcp-fastopen, tcp-fastopen-connect can be set", function()
  local object = t.closing(socket.tcp4())
  assert(object:bind("127.0.0.1", 0))
  t.returns({ 1 }, object:setoption("tcp-defer-accept", 1))
  t.returns({ 1 }, object:setoption("tcp-fastopen", 5))
  object = t.closing(socket.tcp4())
  t.returns({ 1 }, object:setoption("tcp-fastopen-connect", 1))
  t.returns({ 1 }, object:setoption("tcp-fastopen-connect", 0))
end)

t.fix("tcp-fastopen-connect is a number or a boolean", function()
  local object = t.closing(socket.tcp4())
  t.returns({ 1 }, object:setoption("tcp-fastopen-connect", true))
  t.equal(object:getoption("tcp-fastopen-connect"), 1)
  t.returns({ 1 }, object:setoption("tcp-fastopen-connect", false))
  t.equal(object:getoption("tcp-fastopen-connect"), 0)
end)

t.fix("numbers are numbers", function()
  local client = t.pair()
  for _, name in ipairs {
    "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl", "recv-buffer-size", "send-buffer-size", "tcp-defer-accept",
    "tcp-fastopen",
  } do
    t.raises("bad argument #2 to 'setoption' (number expected, got no value)", function() client:setoption(name) end)
    t.raises("bad argument #2 to 'setoption' (number expected, got nil)", function() client:setoption(name, nil) end)
    t.raises("bad argument #2 to 'setoption' (number expected, got boolean)", function() client:setoption(name, true) end)
    t.raises("bad argument #2 to 'setoption' (number expected, got string)", function() client:setoption(name, "x") end)
  end
  t.raises("bad argument #2 to 'setoption' (number expected, got table)", function()
    client:setoption("tcp-fastopen-connect", {})
  end)
end)

t.test("ipv6-v6only belongs to IPv6", function()
  local object = t.closing(socket.tcp6())
  t.returns({ 1 }, object:setoption("ipv6-v6only", false))
  t.returns({ 1 }, object:setoption("ipv6-v6only", true))
  t.returns({ nil, "setsockopt failed" }, t.closing(socket.tcp4()):setoption("ipv6-v6only", true))
  t.raises("bad argument #2 to 'setoption' (boolean expected, got number)", function()
    object:setoption("ipv6-v6only", 0)
  end)
end)

t.fix("a socket of IPv6 has ipv6-v6only on", function()
  t.returns({ true }, t.closing(socket.tcp6()):getoption("ipv6-v6only"))
  t.returns({ true }, t.server("::"):getoption("ipv6-v6only"))
  t.returns({ nil, "getsockopt failed" }, t.closing(socket.tcp4()):getoption("ipv6-v6only"))
end)

t.fix("bindtodevice", function()
  local object = t.closing(socket.tcp4())
  t.returns({ "" }, object:getoption("bindtodevice"))
  t.returns({ nil, "setsockopt failed" }, object:setoption("bindtodevice", "no-such-device"))
  t.returns({ nil, "setsockopt failed" }, object:setoption("bindtodevice", string.rep("x", 1000)))
  t.raises("bad argument #2 to 'setoption' (string expected, got no value)", function() object:setoption("bindtodevice") end)
  t.raises("bad argument #2 to 'setoption' (string expected, got table)", function()
    object:setoption("bindtodevice", {})
  end)
  if not object:setoption("bindtodevice", "lo") then t.skip("binding to a device is not allowed") end
  t.returns({ "lo" }, object:getoption("bindtodevice"))
  t.returns({ 1 }, object:setoption("bindtodevice", ""))
  t.returns({ "" }, object:getoption("bindtodevice"))
end)

---------------------------------------------------------------------------------------------------------------- linger

t.test("linger is a table, there and back", function()
  local client = t.pair()
  t.returns({ { on = false, timeout = 0 } }, client:getoption("linger"))
  t.returns({ 1 }, client:setoption("linger", { on = true, timeout = 7 }))
  local first = t.returns(1, client:getoption("linger"))
  t.same(first, { on = true, timeout = 7 })
  t.ok(first ~= client:getoption("linger"))
  t.returns({ 1 }, client:setoption("linger", { on = true, timeout = "8.9" }))
  t.same(client:getoption("linger"), { on = true, timeout = 8 })
  t.returns({ 1 }, client:setoption("linger", { on = false, timeout = 0, other = "ignored" }))
  t.equal(client:getoption("linger").on, false)
end)

t.test("linger checks its table", function()
  local client = t.pair()
  local function raises(detail, ...)
    local value = t.pack(...)
    t.raises("bad argument #2 to 'setoption' (" .. detail .. ")", function()
      client:setoption("linger", t.unpack(value))
    end)
  end
  raises("table expected, got no value")
  raises("table expected, got nil", nil)
  raises("table expected, got number", 5)
  raises("boolean 'on' field expected", {})
  raises("boolean 'on' field expected", { on = 1, timeout = 1 })
  raises("number 'timeout' field expected", { on = true })
  raises("number 'timeout' field expected", { on = true, timeout = "x" })
  t.raises("bad argument #3 to 'setoption' (boolean 'on' field expected)", function()
    client.setoption(client, "linger", {})
  end)
end)

t.fix("linger times are cut to what the system takes", function()
  local client = t.pair()
  local function stored(seconds)
    t.returns({ 1 }, client:setoption("linger", { on = true, timeout = seconds }))
    return client:getoption("linger").timeout
  end
  t.equal(stored(-1), 0)
  t.between(stored(70000), 65535, 70000)
  t.between(stored(1e18), 65535, 2 ^ 31)
  t.between(stored(math.huge), 65535, 2 ^ 31)
  t.equal(stored(-math.huge), 0)
  t.equal(stored(0 / 0), 0)
  client:setoption("linger", { on = false, timeout = 0 })
end)

t.test("linger 0 makes close send a reset", function()
  local client, accepted = t.pair()
  accepted:send("lost?")
  t.reset(client)
  t.readable(accepted)
  t.returns({ nil, "closed", 0 }, accepted:send("x"))
end)

----------------------------------------------------------------------------------------------------------------- error

t.test("'error' is nil when there is none, and cannot be set", function()
  for _, object in ipairs(objects()) do t.returns({ n = 1, nil }, object:getoption("error")) end
  local client = t.pair()
  t.raises("bad argument #1 to 'setoption' (unsupported option `error')", function() client:setoption("error", 1) end)
end)

t.test("'error' tells of a reset, once", function()
  local client, accepted = t.pair()
  t.reset(accepted)
  t.readable(client)
  t.returns({ "closed" }, client:getoption("error"))
  t.returns({ n = 1, nil }, client:getoption("error"))
end)

--------------------------------------------------------------------------------------------------------- names, states

t.test("unknown names raise", function()
  local client = t.pair()
  local long = string.rep("x", 100)
  for _, method in ipairs { "setoption", "getoption" } do
    local function raises(detail, ...)
      local arguments = t.pack(...)
      t.raises("bad argument #2 to '" .. method .. "' (" .. detail .. ")",
        assert((loadstring or load)("local object, t, a = ... object." .. method .. "(object, t.unpack(a))")),
        client, t, arguments)
    end
    raises("unsupported option `none'", "none", true)
    raises("unsupported option `'", "", true)
    raises("unsupported option `12'", 12)
    raises("unsupported option `KeepAlive'", "KeepAlive", true)
    raises("unsupported option `broadcast'", "broadcast", true)
    raises("unsupported option `" .. long:sub(1, 35) .. "'", long)
    raises("string expected, got no value")
    raises("string expected, got nil", nil)
    raises("string expected, got table", {})
  end
  t.raises("bad argument #1 to 'setoption' (unsupported option `none')", function() client:setoption("none") end)
  t.raises("bad argument #1 to 'getoption' (unsupported option `none')", function() client:getoption("none") end)
end)

t.test("a closed object has no options", function()
  local client = t.pair()
  client:close()
  for _, name in ipairs(BOOLEANS) do
    t.returns({ nil, "setsockopt failed" }, client:setoption(name, true))
    t.returns({ nil, "getsockopt failed" }, client:getoption(name))
  end
  t.returns({ nil, "setsockopt failed" }, client:setoption("linger", { on = true, timeout = 0 }))
  t.returns({ nil, "getsockopt failed" }, client:getoption("linger"))
  t.returns({ nil, "getsockopt failed" }, client:getoption("tcp-keepidle"))
  t.returns({ nil, "getsockopt failed" }, client:getoption("error"))
  t.raises("bad argument #2 to 'setoption' (boolean expected, got number)", function()
    client:setoption("keepalive", 1)
  end)
end)

t.test("no option can be read before there is a descriptor", function()
  local object = socket.tcp()
  t.returns({ nil, "getsockopt failed" }, object:getoption("keepalive"))
  t.returns({ nil, "getsockopt failed" }, object:getoption("linger"))
end)

t.fix("what can be set can be read", function()
  local object = t.closing(socket.tcp6())
  assert(object:bind("::1", 0))
  for _, name in ipairs(ALL) do t.ok(t.returns(1, object:getoption(name)) ~= nil, name) end
  t.returns({ 1 }, object:setoption("tcp-fastopen", 7))
  t.returns({ 7 }, object:getoption("tcp-fastopen"))
  t.returns({ 1 }, object:setoption("tcp-defer-accept", 3))
  t.between(object:getoption("tcp-defer-accept"), 1, 10)
end)

t.fix("names with a NUL are unknown", function()
  local client = t.pair()
  t.equal(pcall(client.getoption, client, "keepalive\0"), false)
  t.equal(pcall(client.setoption, client, "keepalive\0", true), false)
end)

---------------------------------------------------------------------------------------------- before the descriptor

t.fix("options set before the descriptor exists are applied when it does", function()
  local object = t.closing(socket.tcp())
  t.returns({ 1 }, object:setoption("reuseaddr", true))
  t.returns({ 1 }, object:setoption("keepalive", true))
  t.returns({ 1 }, object:setoption("tcp-keepidle", 77))
  t.returns({ 1 }, object:setoption("linger", { on = true, timeout = 0 }))
  t.equal(object:getfd(), -1)
  assert(object:bind("127.0.0.1", 0))
  t.returns({ true }, object:getoption("reuseaddr"))
  t.returns({ true }, object:getoption("keepalive"))
  t.returns({ 77 }, object:getoption("tcp-keepidle"))
  t.returns({ { on = true, timeout = 0 } }, object:getoption("linger"))
end)

t.fix("options set before connect", function()
  local _, port = t.server()
  local object = t.closing(socket.tcp())
  t.returns({ 1 }, object:setoption("tcp-nodelay", true))
  t.returns({ 1 }, object:setoption("tcp-nodelay", false))
  t.returns({ 1 }, object:setoption("tcp-nodelay", true))
  assert(object:connect("127.0.0.1", port))
  t.returns({ true }, object:getoption("tcp-nodelay"))
end)

t.fix("a port in use can be bound again with reuseaddr set beforehand", function()
  local server, port = t.server()
  local client, accepted = t.pair(server)
  accepted:close() -- the side that closes first keeps the port busy for a while
  client:close()
  server:close()
  local plain = t.closing(socket.tcp())
  local bound, problem = plain:bind("127.0.0.1", port)
  if bound then t.skip "the system keeps so many ports busy that it lets go of others early" end
  t.equal(problem, "address already in use")
  local object = t.closing(socket.tcp())
  t.returns({ 1 }, object:setoption("reuseaddr", true))
  t.returns({ 1 }, object:bind("127.0.0.1", port))
  t.returns({ 1 }, object:listen())
end)

t.fix("a dual-stack listener without a descriptor at first", function()
  local object = t.closing(socket.tcp())
  t.returns({ 1 }, object:setoption("ipv6-v6only", false))
  assert(object:bind("::", 0))
  t.returns({ false }, object:getoption("ipv6-v6only"))
  assert(object:listen())
  local _, port = object:getsockname()
  t.closing(assert(socket.connect("127.0.0.1", port)))
end)

t.fix("what cannot be set is told at once, also without a descriptor", function()
  local object = socket.tcp()
  t.raises("bad argument #2 to 'setoption' (boolean expected, got number)", function() object:setoption("keepalive", 1) end)
  t.raises("bad argument #1 to 'setoption' (unsupported option `none')", function() object:setoption("none", 1) end)
  for _, name in ipairs(ALL) do t.returns({ 1 }, object:setoption(name, value_for(name))) end
end)

t.done()

--- TLS. LuaSec on OpenSSL is the other side. Bytes have both ends in one process, requests and the server's handshakes a
--- peer of another kind.
local https = require "ssl.https"
local memory = require "bench.lib.memory"
local os = require "os"
local peer = require "bench.lib.peer"
local socket = require "socket"
local ssl = require "ssl"

local BATCH = 256 * 1024
local DATA = ("x"):rep(BATCH)
local LINES = ("x"):rep(99) .. "\n"

--- A key and a certificate, made once in a process.
local made
local function identity()
  if made then return made end
  local base = os.tmpname()
  local key, certificate = base .. ".key", base .. ".pem"
  assert(os.execute(("openssl ecparam -name prime256v1 -genkey -noout -out %s 2>/dev/null && "
    .. "openssl req -x509 -new -key %s -subj /CN=localhost -days 2 -addext subjectAltName=IP:127.0.0.1 -out %s 2>/dev/null"):format(key, key, certificate)))
  made = { key = key, certificate = certificate }
  return made
end

local function context(mode, protocol, more)
  local params = { mode = mode, protocol = protocol or "tlsv1_3", verify = "none" }
  if mode == "server" then params.key, params.certificate = identity().key, identity().certificate end
  for name, value in pairs(more or {}) do params[name] = value end
  return assert(ssl.newcontext(params))
end

local function shake(a, b)
  a:settimeout(0)
  b:settimeout(0)
  local first, second
  repeat
    first = first or a:dohandshake()
    second = second or b:dohandshake()
  until first and second
  a:settimeout(5)
  b:settimeout(5)
end

local function listener()
  local server = assert(socket.bind("127.0.0.1", 0, 128))
  local _, port = server:getsockname()
  return server, port
end

local function join(server, port, client, context_of_server)
  local plain = assert(socket.tcp())
  assert(plain:connect("127.0.0.1", port))
  local accepted = assert(server:accept())
  plain:setoption("tcp-nodelay", true)
  accepted:setoption("tcp-nodelay", true)
  local a, b = assert(ssl.wrap(plain, client)), assert(ssl.wrap(accepted, context_of_server))
  shake(a, b)
  return a, b, plain
end

--- A pair of connections with room for a batch between them.
local function pair(protocol, ciphersuites)
  return function()
    local server, port = listener()
    local plain = assert(socket.tcp())
    assert(plain:connect("127.0.0.1", port))
    local accepted = assert(server:accept())
    assert(plain:setoption("send-buffer-size", 3 * BATCH))
    assert(accepted:setoption("recv-buffer-size", 3 * BATCH))
    local more = { ciphersuites = ciphersuites }
    local writer = assert(ssl.wrap(plain, context("client", protocol, more)))
    local reader = assert(ssl.wrap(accepted, context("server", protocol, more)))
    shake(writer, reader)
    server:close()
    return { writer = writer, reader = reader }
  end
end

local function receiving(size, protocol, target)
  return {
    name = ("receive(%d), %s"):format(size, protocol),
    count = math.floor(100e6 / size),
    batch = math.floor(BATCH / size),
    bytes = size,
    target = target,
    setup = pair(protocol),
    refill = function(state) assert(state.writer:send(DATA) == BATCH) end,
    op = function(state, n)
      local reader = state.reader
      for _ = 1, n do reader:receive(size) end
    end,
  }
end

local function sending(size, protocol, target)
  local text = ("x"):rep(size)
  return {
    name = ("send(%d), %s"):format(size, protocol),
    count = math.floor(100e6 / size),
    batch = math.floor(BATCH / size),
    bytes = size,
    target = target,
    setup = function()
      local state = pair(protocol)()
      state.due = 0
      return state
    end,
    refill = function(state)
      if state.due > 0 then assert(state.reader:receive(state.due)) end
      state.due = 0
    end,
    op = function(state, n)
      local writer = state.writer
      for _ = 1, n do writer:send(text) end
      state.due = state.due + n * size
    end,
  }
end

local lines = {
  name = "lines of 100 bytes",
  count = 300000,
  batch = math.floor(BATCH / #LINES),
  bytes = #LINES,
  target = 1,
  setup = pair "tlsv1_3",
  refill = function(state) state.writer:send(LINES:rep(math.floor(BATCH / #LINES))) end,
  op = function(state, n)
    local reader = state.reader
    for _ = 1, n do reader:receive() end
  end,
}

local pingpong = {
  name = "ping-pong of one byte",
  count = 20000,
  target = 1,
  setup = function()
    local server, port = listener()
    local a, b = join(server, port, context "client", context "server")
    return { a, b }
  end,
  op = function(state, n)
    local a, b = state[1], state[2]
    for _ = 1, n do
      a:send "x"
      b:receive(1)
      b:send "y"
      a:receive(1)
    end
  end,
}

local function handshakes(name, protocol, more, target)
  return {
    name = name,
    count = 300,
    target = target,
    setup = function()
      local server, port = listener()
      return { server = server, port = port, client = context("client", protocol, more),
        context = context("server", protocol, more) }
    end,
    op = function(state, n)
      for _ = 1, n do
        local a, b, plain = join(state.server, state.port, state.client, state.context)
        b:send "x"
        a:receive(1)
        a:close()
        b:close()
        plain:close()
      end
    end,
  }
end

-- LuaSec makes a context and shakes hands in full for each request, and writes into the table that it is given.
local function requests(name, target, more)
  return {
    name = name,
    count = 150,
    target = target,
    setup = function()
      local port = peer.https(identity().certificate, identity().key)
      local reqt = { url = ("https://127.0.0.1:%d/"):format(port), protocol = "any" }
      for field, value in pairs(more) do reqt[field] = value end
      if reqt.verify == "peer" then reqt.cafile = identity().certificate end
      return reqt
    end,
    op = function(reqt, n)
      for _ = 1, n do
        local copy = {}
        for field, value in pairs(reqt) do copy[field] = value end
        assert(https.request(copy))
      end
    end,
  }
end

local function serving(name, version, protocol, target)
  return {
    name = name,
    count = 500,
    target = target,
    setup = function()
      local server, port = listener()
      peer.handshakes(port, version)
      return { server = server, context = context("server", protocol, { options = "no_ticket" }) }
    end,
    op = function(state, n)
      local server, ctx = state.server, state.context
      for _ = 1, n do
        local accepted = server:accept()
        local conn = ssl.wrap(accepted, ctx)
        conn:settimeout(60)
        assert(conn:dohandshake())
        conn:close()
      end
    end,
  }
end

local idle = {
  name = "memory of an idle connection, both ends",
  count = 1,
  unit = "bytes",
  target = 2,
  rounds = 3,
  measure = function()
    local server, port = listener()
    local client, context_of_server = context "client", context "server"
    local held = {}
    local function fill(n)
      for _ = 1, n do
        local a, b = join(server, port, client, context_of_server)
        b:send "x"
        a:receive(1)
        held[#held + 1] = { a, b }
      end
      collectgarbage()
      collectgarbage()
    end
    fill(50)
    local before = memory.resident()
    fill(400)
    return (memory.resident() - before) / 400
  end,
}

return {
  receiving(65536, "tlsv1_3", 1),
  receiving(8192, "tlsv1_3", 1),
  receiving(65536, "tlsv1_2", 1),
  sending(65536, "tlsv1_3", 1),
  sending(1024, "tlsv1_3", 1),
  lines,
  pingpong,
  handshakes("full handshake, TLS 1.3, both ends", "tlsv1_3", { options = "no_ticket" }, 1),
  handshakes("full handshake, TLS 1.2, both ends", "tlsv1_2", { options = "no_ticket" }, 1),
  handshakes("handshake again, TLS 1.3, both ends", "tlsv1_3", nil, 1.5),
  serving("handshake as a server, TLS 1.3", "-tls1_3", "tlsv1_3", 1),
  serving("handshake as a server, TLS 1.2", "-tls1_2", "tlsv1_2", 1),
  requests("https request, full handshake", 1, { verify = "peer", options = "no_ticket" }),
  requests("https request, full handshake, TLS 1.2", 1, { verify = "peer", options = "no_ticket", protocol = "tlsv1_2" }),
  requests("https request, nothing verified", 1, { verify = "none", options = "no_ticket" }),
  requests("https request, resumed", 1.5, { verify = "peer" }),
  requests("https request, resumed, TLS 1.2", 1.5, { verify = "peer", protocol = "tlsv1_2" }),
  requests("https request over a kept connection", 5, { verify = "peer", connection = "keep-alive" }),
  idle,
}

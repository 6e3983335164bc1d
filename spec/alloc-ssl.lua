-- ssl and ssl.https while memory runs out: each call succeeds as always or raises the memory error, closes what it has
-- opened, and leaves nothing behind that spoils the next one.
--
-- Only our own runner can make Lua's memory run out; elsewhere the file is skipped.

local t = require "support"

t.needs_failing_allocator "ssl without memory"
local exhaust = t.exhaust_told

local https = require "ssl.https"
local socket = require "socket"
local ssl = require "ssl"

local folder = t.certificates()

-- LuaJIT 2.1 crashes when its own `string.sub` or `string.char` is refused memory inside of pcall, with no frame of ours on
-- the stack.
local function needs_string_functions()
  if t.lua.jit then t.skip "LuaJIT's string functions do not survive it" end
end

local CA = folder .. "/ca.pem"
local client = ssl.newcontext { mode = "client", protocol = "any", cafile = CA, alpn = "x" }
local params = t.identity "chained"
params.mode, params.protocol, params.alpn = "server", "any", { "x" }
params.verify, params.cafile = "peer", CA
local server = ssl.newcontext(params)

local function wrapped()
  local a, b = t.pair()
  a, b = t.closing(ssl.wrap(a, client)), t.closing(ssl.wrap(b, server))
  a:settimeout(0)
  b:settimeout(0)
  a:sni "localhost"
  return a, b
end

local function secured()
  local a, b = wrapped()
  t.same({ t.shake(a, b) }, { { true }, { true } })
  a:settimeout(5)
  b:settimeout(5)
  return a, b
end

t.test("contexts", function()
  needs_string_functions()
  local function password() return "secret" end
  for _, more in ipairs {
    { mode = "client", cafile = CA, verify = { "peer" }, options = { "all", "no_ticket" }, ciphers = "HIGH", depth = 3 },
    { mode = "client", curveslist = "X25519:P-256", ciphersuites = "TLS_AES_128_GCM_SHA256", alpn = { "a", "b" } },
    { mode = "server", key = folder .. "/locked.key", password = password, certificate = folder .. "/server.pem" },
    { mode = "server", key = folder .. "/legacy.key", password = "secret", certificate = folder .. "/server.pem" },
    { mode = "server", certificates = { t.identity "server", t.identity "rsa" }, alpn = function() end },
    { mode = "client", cafile = folder .. "/ca-crl.pem", verifyext = "crl_check", capath = folder .. "/hashed" },
  } do
    more.protocol = "any"
    t.ok(exhaust(function() return ssl.newcontext(more) end))
  end
  for expected, more in pairs {
    ["invalid protocol (x)"] = { mode = "client", protocol = "x" },
    ["invalid option (x)"] = { mode = "client", protocol = "any", options = "x" },
    ["error loading certificate (No such file or directory)"] = { mode = "client", protocol = "any", certificate = "/x" },
  } do
    -- What is refused is told in a message, which needs memory too.
    local function refuse()
      local ctx, err = ssl.newcontext(more)
      return ctx == nil and err
    end
    t.equal(exhaust(refuse), expected)
  end
end)

t.test("wrapping", function()
  local a, b = exhaust(function(plain, peer)
    return t.closing(ssl.wrap(plain, client)), peer
  end, t.pair)
  t.match(tostring(a), "^SSL connection")
  t.ok(b)
end)

t.test("the handshake", function()
  exhaust(function(a, b)
    local first, second
    for _ = 1, 20 do
      first = first or a:dohandshake()
      second = second or b:dohandshake()
    end
    if not (first and second) then error("the handshake does not end", 0) end
    return true
  end, wrapped)
end, 60)

t.test("names and functions of the program", function()
  needs_string_functions()
  local map = { localhost = server }
  local chosen = { mode = "server", protocol = "any", certificate = params.certificate, key = params.key,
    alpn = function(offered) return { offered[1] } end }
  local choosing = ssl.newcontext(chosen)
  local function shake(a, b)
    b:sni(map, true)
    local first, second
    for _ = 1, 20 do
      first = first or a:dohandshake()
      second = second or b:dohandshake()
    end
    if not (first and second) then error("the handshake does not end", 0) end
    return a:getalpn()
  end
  t.equal(exhaust(shake, wrapped), "x")
  t.equal(exhaust(function(a, b)
    local first, second
    for _ = 1, 20 do
      first = first or a:dohandshake()
      second = second or b:dohandshake()
    end
    if not (first and second) then error("the handshake does not end", 0) end
    return a:getalpn()
  end, function()
    local a, b = t.pair()
    a, b = t.closing(ssl.wrap(a, client)), t.closing(ssl.wrap(b, choosing))
    a:settimeout(0)
    b:settimeout(0)
    a:sni "localhost"
    return a, b
  end), "x")
end, 60)

t.test("bytes", function()
  local a, b = secured()
  local text = string.rep("x", 50000)
  local sent = 0
  -- What was sent before memory ran out has arrived.
  t.equal(exhaust(function()
    local last = a:send "hello\n"
    sent = sent + 1
    return last
  end), 6)
  for _ = 1, sent do t.equal(b:receive(), "hello") end
  a:send(text)
  t.equal(exhaust(function() return b:receive(50000) end), text)
  a:send "one\r\ntwo\n"
  t.equal(exhaust(function() return b:receive() end), "one")
  t.equal(exhaust(function() return b:receive("*l", "prefix ") end), "prefix two")
  a:send "rest"
  a:close()
  t.equal(exhaust(function() return b:receive "*a" end), "rest")
  t.equal(select(2, exhaust(function() return false, select(2, b:receive()) end)), "closed")
end)

t.test("what a connection tells", function()
  local a, b = secured()
  for _, name in ipairs {
    "dirty", "dohandshake", "getalpn", "getfd", "getlocalcertificate", "getlocalchain", "getpeercertificate", "getpeerchain",
    "getpeername", "getpeerverification", "getsniname", "getsockname", "getstats", "info", "want",
  } do
    for _, object in ipairs { a, b } do exhaust(function() return object[name](object) end) end
  end
  t.equal(exhaust(function() return a:info "verify" end), "peer+name")
  t.equal(#exhaust(function() return a:exportkeyingmaterial("EXPORTER-x", 16) end), 16)
  t.match(exhaust(tostring, function() return a end), "^SSL connection")
  local c, d = t.wrapped({ cafile = folder .. "/ca2.pem", verify = "peer", verifyext = "lsec_continue" }, t.identity "server")
  t.same({ t.shake(c, d) }, { { true }, { true } })
  local _, notes = exhaust(function() return true, select(2, c:getpeerverification()) end)
  t.equal(type(notes), "table")
end)

t.test("certificates", function()
  local pem = t.contents(folder .. "/names.pem")
  local certificate = exhaust(function() return ssl.loadcertificate(pem) end)
  local authority = ssl.loadcertificate(t.contents(CA))
  for _, name in ipairs {
    "digest", "extensions", "getsignaturename", "issuer", "notafter", "notbefore", "pem", "pubkey", "serial", "subject",
  } do
    exhaust(function() return certificate[name](certificate) end)
  end
  t.equal(exhaust(function() return authority:issued(certificate) end), true)
  t.equal(exhaust(function() return certificate:setencode "utf8" end), true)
  t.match(exhaust(tostring, function() return certificate end), "^X509 certificate")
end)

t.test("https.request", function()
  needs_string_functions()
  local child = t.spawn([[
    local folder = ...
    local socket, ssl = require "socket", require "ssl"
    local server = assert(socket.bind("127.0.0.1", 0))
    print((select(2, server:getsockname())))
    local ctx = ssl.newcontext { mode = "server", protocol = "any", key = folder .. "/server.key",
      certificate = folder .. "/server.pem" }
    while true do
      local conn = ssl.wrap(server:accept(), ctx)
      conn:settimeout(5)
      if conn:dohandshake() then
        repeat
          local line = conn:receive()
          if line == "" then conn:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" end
        until not line
      end
      conn:close()
    end
  ]], folder)
  local url = ("https://127.0.0.1:%d/"):format(tonumber(child:read()))
  t.equal(exhaust(function()
    collectgarbage()
    return https.request { url = url, cafile = CA, sink = require("ltn12").sink.null() }
  end), 1)
  t.ok(socket)
end, 90)

-- Last, because methods belong to the class: those of a module that is loaded again know no older connections.
t.test("loading the modules", function()
  for _, name in ipairs { "ssl", "ssl.native", "ssl.config", "ssl.context", "ssl.core", "ssl.x509", "ssl.https" } do
    local before = {}
    for key, module in pairs(package.loaded) do before[key] = module end
    t.finally(function()
      for key, module in pairs(before) do package.loaded[key] = module end
    end)
    exhaust(function()
      package.loaded[name] = nil
      return require(name)
    end)
  end
end)

t.done()

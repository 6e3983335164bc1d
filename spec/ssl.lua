-- ssl: contexts, connections, bytes.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local function new(params)
  local all = { mode = "client", protocol = "any" }
  for name, value in pairs(params or {}) do all[name] = value end
  return ssl.newcontext(all)
end

local function refuses(expected, params)
  t.returns({ n = 2, nil, expected }, new(params))
end

local function accepts(params)
  t.ok(new(params), "a context")
end

-- Contexts ------------------------------------------------------------------------------------------------------------

t.test("the module", function()
  t.match(ssl._VERSION, "^1%.%d+%.%d+$")
  t.equal(type(ssl._COPYRIGHT), "string")
  t.equal(ssl.config, require "ssl.config")
  t.equal(ssl.loadcertificate, require("ssl.x509").load)
  t.equal(ssl.context, nil)
  t.equal(require("ssl.core").SOCKET_INVALID, -1)
end)

t.test("what can be asked for", function()
  local config = ssl.config
  for _, name in ipairs { "cipher_server_preference", "no_ticket", "no_compression", "single_dh_use", "single_ecdh_use",
    "no_renegotiation", "all", "no_tlsv1_2", "no_tlsv1_3" } do
    t.equal(config.options[name], true, name)
  end
  t.equal(config.algorithms.ec, true)
  t.equal(config.capabilities.alpn, true)
  t.equal(config.capabilities.curves_list, true)
  for _, name in ipairs { "X25519", "P-256", "P-384", "prime256v1", "secp384r1" } do t.equal(config.curves[name], true, name) end
  t.equal(config.protocols.tlsv1_2, true)
  t.equal(config.protocols.tlsv1_3, true)
end)

t.test("protocols", function()
  for _, name in ipairs { "any", "sslv23", "tlsv1_2", "tlsv1_3" } do accepts { protocol = name } end
  for _, name in ipairs { "sslv3", "sslv2", "TLSv1_2", "tlsv1.2", "" } do
    refuses("invalid protocol (" .. name .. ")", { protocol = name })
  end
  t.raises({ match = "string expected, got n" }, ssl.newcontext, setmetatable({ mode = "client" }, { __index = function() end }))
end)

t.fix("versions that nobody should speak", function()
  refuses("invalid protocol (tlsv1): only tlsv1_2 and tlsv1_3 are supported", { protocol = "tlsv1" })
end)

t.fix("a wrong mode", function()
  refuses("invalid mode (both)", { mode = "both" })
end)

t.test("parameters are only read, unknown ones ignored", function()
  local params = setmetatable({ mode = "client", protocol = "any", nonsense = 1, verify = { "none" } }, { __newindex = error })
  t.ok(ssl.newcontext(params))
  t.match(tostring(ssl.newcontext(params)), "^SSL context: 0x%x+$")
end)

t.test("flags as a text or a list", function()
  accepts { verify = "none" }
  accepts { verify = {} }
  accepts { verify = { "peer", "fail_if_no_peer_cert", "client_once" } }
  refuses("invalid verify option (x)", { verify = "x" })
  refuses("invalid verify option (x)", { verify = { "peer", "x" } })
  t.raises({ match = "string expected, got boolean" }, new, { verify = true })
  accepts { verifyext = { "lsec_continue", "lsec_ignore_purpose", "crl_check", "crl_check_chain" } }
  refuses("invalid verify option (x)", { verifyext = "x" })
  accepts { options = "all" }
  accepts { options = { "all", "no_sslv2", "no_sslv3" } }
  accepts { options = { no_tlsv1_3 = true } }
  refuses("invalid option (x)", { options = { "all", "x" } })
end)

t.fix("no version is left", function()
  refuses("no protocols available", { protocol = "tlsv1_3", options = "no_tlsv1_3" })
  refuses("no protocols available", { options = { "no_tlsv1_2", "no_tlsv1_3" } })
end)

t.test("ciphers", function()
  accepts { ciphers = "HIGH+kEECDH:HIGH+kEDH:HIGH:!PSK:!SRP:!3DES:!aNULL" }
  accepts { ciphers = "ECDHE-RSA-AES128-GCM-SHA256:nonsense" }
  accepts { ciphersuites = "TLS_AES_128_GCM_SHA256" }
  accepts { ciphersuites = "" }
  refuses("error setting cipher list (no cipher match)", { ciphers = "nonsense" })
  refuses("error setting cipher list (no cipher match)", { ciphersuites = "nonsense" })
end)

t.test("curves", function()
  accepts { curve = "P-256" }
  accepts { curve = "prime256v1" }
  accepts { curveslist = "X25519:P-384:P-256:P-521" }
  refuses("elliptic curve 'nonsense' not supported", { curve = "nonsense" })
  refuses("unknown elliptic curve in \"X25519:nonsense\"", { curveslist = "X25519:nonsense" })
  refuses("unknown elliptic curve in \"\"", { curveslist = "" })
end)

t.test("depth, parameters of DH", function()
  accepts { depth = 9 }
  accepts { depth = "9" }
  accepts { dhparam = function() end }
  refuses("invalid DH parameter type", { dhparam = "x" })
end)

t.test("protocols of the application", function()
  accepts { alpn = "h2" }
  accepts { alpn = { "h2", "http/1.1" } }
  accepts { mode = "server", alpn = { "h2" } }
  accepts { mode = "server", alpn = function() end }
  refuses("invalid ALPN parameter", { mode = "server", alpn = "h2" })
  refuses("invalid ALPN parameter", { alpn = function() end })
  refuses("invalid ALPN parameter", { alpn = 1 })
  refuses("invalid ALPN list (empty)", { alpn = {} })
  refuses("invalid ALPN name (empty string)", { alpn = "" })
  refuses("invalid ALPN name (length > 255)", { alpn = string.rep("x", 256) })
end)

t.fix("what there is not", function()
  refuses("PSK is not supported", { psk = function() end })
  refuses("DANE is not supported", { dane = true })
  t.equal(ssl.config.capabilities.dane, nil)
end)

t.fix("keys and certificates", function()
  local folder = t.certificates()
  accepts { key = folder .. "/server.key", certificate = folder .. "/server.pem" }
  accepts { mode = "server" }
  accepts { certificates = {} }
  accepts { certificates = { t.identity "server", t.identity "rsa" }, key = "ignored" }
  accepts { key = folder .. "/locked.key", password = "secret" }
  accepts { key = folder .. "/locked.key", password = function() return "secret" end }
  refuses("private key does not match public key", { key = folder .. "/rsa.key", certificate = folder .. "/server.pem" })
  refuses("invalid password type", { key = folder .. "/locked.key", password = 1 })
  accepts { key = folder .. "/server.key", password = function() error "is not asked" end }
  t.raises({ exact = "no" }, new, { key = folder .. "/locked.key", password = function() error("no", 0) end })
end)

for name, owner in pairs {
  locked = "server", lockedscrypt = "server", lockeddes3 = "server", legacy = "server", legacyaes = "rsa", legacydes3 = "rsa",
} do
  t.test("a key under a password, " .. name, function()
    local folder = t.certificates()
    local key, certificate = folder .. "/" .. name .. ".key", folder .. "/" .. owner .. ".pem"
    accepts { key = key, certificate = certificate, password = "secret" }
    local ctx, err = new { key = key, certificate = certificate, password = "wrong" }
    t.equal(ctx, nil)
    t.match(err, t.reference and "^error loading private key %(" or "^error loading private key %(bad decrypt%)$")
  end)
end

t.test("certificates of authorities", function()
  local folder = t.certificates()
  accepts { cafile = folder .. "/ca.pem" }
  accepts { capath = folder .. "/hashed" }
  accepts { capath = folder .. "/there is no such folder" }
end)

t.fix("reasons", function()
  local folder = t.certificates()
  refuses("error loading private key (No such file or directory)", { key = folder .. "/none" })
  refuses("error loading private key (no start line)", { key = folder .. "/server.pem" })
  refuses("error loading private key (password required)", { key = folder .. "/locked.key" })
  refuses("error loading private key (password required)", { key = folder .. "/legacy.key" })
  refuses("error loading certificate (No such file or directory)", { certificate = folder .. "/none" })
  refuses("error loading certificate (no start line)", { certificate = folder .. "/server.key" })
  refuses("error loading CA locations (No such file or directory)", { cafile = folder .. "/none" })
  refuses("error loading CA locations (no certificate or crl found)", { cafile = folder .. "/server.key" })
end)

t.fix("from memory", function()
  local folder = t.certificates()
  local server = { key = t.contents(folder .. "/server.key"), certificate = t.contents(folder .. "/server.pem") }
  local a = t.secured({ cafile = t.contents(folder .. "/ca.pem") }, server)
  t.equal(a:getpeercertificate():digest(), ssl.loadcertificate(server.certificate):digest())
  t.secured({ cafile = folder .. "/ca.pem" }, { key = server.key, certificate = t.contents(folder .. "/server.der") })
end)

t.fix("contexts change step by step", function()
  local context = require "ssl.context"
  local ctx = context.create "any"
  t.equal(context.setmode(ctx, "client"), true)
  t.equal(context.setmode(ctx, "x"), "invalid mode (x)")
  t.equal(context.setcipher(ctx, "HIGH"), true)
  t.returns({ n = 2, false, "error setting cipher list (no cipher match)" }, context.setcipher(ctx, "x"))
  t.equal(context.setverify(ctx, "peer"), true)
  t.returns({ n = 2, false, "invalid verify option (x)" }, context.setverify(ctx, "x"))
  t.equal(context.setoptions(ctx, "all", "no_sslv3"), true)
  t.returns({ n = 2, false, "invalid option (x)" }, context.setoptions(ctx, "x"))
  t.equal(context.setdepth(ctx, 3), true)
  t.equal(ctx:setverifyext "lsec_continue", true)
  t.returns({ n = 2, false, "invalid verify option (x)" }, ctx:setverifyext "x")
  t.equal(context.setalpn(ctx, "\2h2"), true)
  t.equal(context.checkkey(ctx), false)
  t.returns({ n = 2, nil, "invalid protocol (x)" }, context.create "x")
end)

-- Wrapping ------------------------------------------------------------------------------------------------------------

t.test("a husk is left", function()
  local a = t.pair()
  local fd = a:getfd()
  a:settimeout(0.01)
  local conn = t.closing(ssl.wrap(a, { mode = "client", protocol = "any", verify = "none" }))
  t.equal(conn:getfd(), fd)
  t.equal(a:getfd(), -1)
  t.returns({ n = 3, nil, "closed", 0 }, a:send "x")
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
  t.equal(a:close(), 1)
  t.match(tostring(conn), "^SSL connection: 0x%x+$")
  t.returns({ n = 3, nil, "closed", 0 }, conn:send "x")
  t.returns({ n = 3, nil, "closed", "p" }, conn:receive("*l", "p"))
  t.returns({ n = 2, nil, "closed" }, conn:info())
  t.returns({ n = 2, false, "closed" }, conn:getpeerverification())
  t.equal(conn:want(), "nothing")
  t.equal(conn:dirty(), false)
end)

t.test("a wrong context", function()
  local a = t.pair()
  t.raises({ match = "invalid context" }, ssl.wrap, a, "x")
  t.returns({ n = 2, nil, "invalid protocol (x)" }, ssl.wrap(a, { mode = "client", protocol = "x" }))
  t.ok(a:getfd() > 0)
end)

t.fix("whatever has getfd and setfd", function()
  local a, b = t.pair()
  local fd = a:getfd()
  local other = { getfd = function() return fd end, setfd = function(_, number) fd = number a:setfd(-1) end }
  local conn = t.closing(ssl.wrap(other, { mode = "client", protocol = "any", cafile = t.certificates() .. "/ca.pem" }))
  t.equal(fd, -1)
  local peer = t.closing(ssl.wrap(b, { mode = "server", protocol = "any", key = t.identity("server").key,
    certificate = t.identity("server").certificate }))
  conn:settimeout(0)
  peer:settimeout(0)
  conn:sni "localhost"
  t.same({ t.shake(conn, peer) }, { { true }, { true } })
end)

t.test("missing methods are nil", function()
  local a = t.wrapped({ verify = "none" }, t.identity "server")
  for _, name in ipairs { "accept", "bind", "connect", "listen", "shutdown", "setfd" } do t.equal(a[name], nil, name) end
  t.equal(type(getmetatable(a).__index), "table")
  t.equal(getmetatable(a).__index.send, a.send)
end)

t.test("wrong selves", function()
  local a = t.wrapped({ verify = "none" }, t.identity "server")
  t.raises({ match = "SSL:Connection expected, got table" }, a.want, {})
end)

-- The handshake -------------------------------------------------------------------------------------------------------

local VERSIONS = { tlsv1_2 = "TLSv1.2", tlsv1_3 = "TLSv1.3" }

for version, name in pairs(VERSIONS) do
  t.test("handshake and bytes, " .. name, function()
    local server = t.identity "rsa"
    server.protocol = version
    local a, b = t.secured({ verify = "none" }, server)
    t.equal(a:dohandshake(), true)
    t.equal(a:info "protocol", name)
    t.equal(b:info("cipher"), a:info().cipher)
    t.equal(a:info "nothing", nil)
    t.returns({ n = 3, 12, nil, nil }, a:send "hello\r\nworld")
    t.returns({ n = 3, "hello", nil, nil }, b:receive())
    t.equal(b:dirty(), true)
    t.returns({ n = 3, "xworl", nil, nil }, b:receive(5, "x"))
    t.returns({ n = 3, "d", nil, nil }, b:receive(1))
    t.equal(b:dirty(), false)
    t.returns({ n = 3, 3, nil, nil }, b:send("abcdef", 2, 3))
    t.returns({ n = 3, "bc", nil, nil }, a:receive(2))
    t.returns({ n = 3, 4, nil, nil }, b:send("abc", 5))
    b:settimeout(0)
    t.returns({ n = 3, nil, "wantread", "" }, b:receive())
    t.equal(b:want(), "read")
    b:settimeout(0.05)
    t.returns({ n = 3, nil, "wantread", "" }, b:receive())
    a:send "part"
    t.returns({ n = 3, nil, "wantread", "part" }, b:receive())
    t.equal(b:getstats(), 16)
    t.returns(0, a:close())
    b:settimeout(5)
    t.returns({ n = 3, nil, "closed", "" }, b:receive())
    t.match(tostring(a), "closed%)$")
  end)
end

t.test("the cipher", function()
  local params = t.identity "rsa"
  params.protocol, params.ciphers = "tlsv1_2", "ECDHE-RSA-AES128-GCM-SHA256"
  local a = t.secured({ verify = "none" }, params)
  local info = a:info()
  t.equal(info.cipher, "ECDHE-RSA-AES128-GCM-SHA256")
  t.equal(info.key, "ECDH")
  t.equal(info.authentication, "RSA")
  t.equal(info.encryption, "AESGCM(128)")
  t.equal(info.mac, "AEAD")
  t.equal(info.bits, 128)
  t.equal(info.algbits, 128)
  t.equal(info.export, false)
  t.equal(info.compression, nil)
end)

t.test("no common version", function()
  local params = t.identity "server"
  params.protocol = "tlsv1_2"
  local first, second = t.shake(t.wrapped({ verify = "none", protocol = "tlsv1_3" }, params))
  t.same(first, { false, "tlsv1 alert protocol version" })
  t.equal(second[1], false)
end)

t.test("a certificate whose curve the client knows", function()
  local function cipher(groups)
    local server = { certificates = { t.identity "server", t.identity "rsa" } }
    return t.secured({ verify = "none", protocol = "tlsv1_2", curveslist = groups }, server):info "cipher"
  end
  t.match(cipher "P-384:P-256", "^ECDHE%-ECDSA%-")
  t.match(cipher "P-384", "^ECDHE%-RSA%-")
end)

t.fix("no certificate", function()
  local first, second = t.shake(t.wrapped({ verify = "none" }, {}))
  t.same(second, { false, "no shared cipher" })
  t.same(first, { false, "sslv3 alert handshake failure" })
end)

t.test("not TLS at all", function()
  local a, b = t.pair()
  local conn = t.closing(ssl.wrap(a, { mode = "client", protocol = "any", verify = "none" }))
  conn:settimeout(5)
  b:send "220 mail.test ready, says something that is not TLS\r\n"
  t.returns({ n = 2, false, "wrong version number" }, conn:dohandshake())
  a, b = t.pair()
  conn = t.closing(ssl.wrap(a, { mode = "server", protocol = "any", key = t.identity("server").key,
    certificate = t.identity("server").certificate }))
  conn:settimeout(5)
  b:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
  t.returns({ n = 2, false, "http request" }, conn:dohandshake())
end)

t.test("a handshake that takes too long", function()
  local a = t.pair()
  local conn = t.closing(ssl.wrap(a, { mode = "client", protocol = "any", verify = "none" }))
  conn:settimeout(0.1)
  local start = socket.gettime()
  t.returns({ n = 2, false, "wantread" }, conn:dohandshake())
  t.between(socket.gettime() - start, 0.09, 1)
end)

-- Ends ----------------------------------------------------------------------------------------------------------------

t.test("all until the end", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  b:send "something"
  b:close()
  t.returns({ n = 3, "something", nil, nil }, a:receive "*a")
  t.returns({ n = 3, nil, "closed", "" }, a:receive "*a")
end)

t.fix("an end without a word", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  b:send "something"
  local husk = socket.tcp()
  husk:setfd(b:getfd())
  husk:close()
  t.returns({ n = 3, nil, "unexpected eof while reading", "something" }, a:receive "*a")
  t.equal(select(2, a:receive "*a") ~= nil, true)
  require("ssl.core")
end)

t.fix("an end without a word that may be", function()
  local a, b = t.secured({ verify = "none", options = "ignore_unexpected_eof" }, t.identity "server")
  b:send "something"
  local husk = socket.tcp()
  husk:setfd(b:getfd())
  husk:close()
  t.returns({ n = 3, "something", nil, nil }, a:receive "*a")
end)

t.fix("closed objects answer", function()
  local a = t.secured({ verify = "none" }, t.identity "server")
  a:close()
  a:close()
  t.returns({ n = 2, false, "closed" }, a:dohandshake())
  t.equal(a:getalpn(), nil)
  t.equal(a:getsniname(), nil)
  t.returns(0, a:sni "x")
  t.returns({ n = 2, nil, "closed" }, a:info())
  t.returns({ n = 2, nil, "closed" }, a:getpeercertificate())
  t.returns({ n = 2, nil, "closed" }, a:getpeerchain())
  t.returns({ n = 2, false, "closed" }, a:getpeerverification())
  t.returns({ n = 2, nil, "closed" }, a:exportkeyingmaterial("x", 1))
  t.returns({ n = 3, nil, "closed", 0 }, a:send "x")
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
  t.equal(a:getfd(), -1)
  t.equal(a:dirty(), false)
  t.equal(a:want(), "nothing")
  t.equal(a:settimeout(1), 1)
end)

t.test("the collector closes with a word", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  local fd = b:getfd()
  local lost = setmetatable({ b }, { __mode = "v" })
  t.ok(fd > 0 and lost[1])
  b:close()
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
end)

-- Many bytes ----------------------------------------------------------------------------------------------------------

t.test("20 MB to a slow reader, without waiting", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  local piece = string.rep("0123456789abcdef", 64)
  local data = string.rep(piece, 20 * 1024)
  a:settimeout(0)
  b:settimeout(0)
  local sent, got, parts, blocked = 0, 0, {}, 0
  while got < #data do
    if sent < #data then
      local last, err, partial = a:send(data, sent + 1)
      if not last then
        t.equal(err, "wantwrite")
        blocked = blocked + 1
      end
      local reached = last or partial
      t.ok(reached >= sent, "indices do not go back")
      sent = reached
    end
    repeat
      local chunk, err, partial = b:receive(300000)
      chunk = chunk or partial
      if #chunk > 0 then parts[#parts + 1] = chunk end
      got = got + #chunk
      t.ok(not err or err == "wantread", err)
    until err
    t.ok(got >= sent, "what is sent has been given to the system")
  end
  t.ok(blocked > 0)
  t.ok(table.concat(parts) == data, "the content")
end, 30)

t.test("who receives waits for bytes, also after a send that waits for room", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  a:settimeout(0)
  local data = string.rep("x", 4000000)
  local sent, err
  repeat
    sent, err = a:send(data)
  until not sent
  t.equal(err, "wantwrite")
  t.equal(b:send "half", 4)
  a:settimeout(0.05)
  t.returns({ n = 3, nil, "wantread", "half" }, a:receive(8))
  t.equal(a:want(), "read")
end)

t.test("select knows what is decrypted", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  a:send "one\ntwo\n"
  t.equal(b:receive(), "one")
  local start = socket.gettime()
  local ready = socket.select({ b }, nil, 2)
  t.equal(ready[1], b)
  t.ok(socket.gettime() - start < 1)
  t.equal(b:receive(), "two")
  t.same({ socket.select({ b }, nil, 0) }, { {}, {}, "timeout" })
end)

t.fix("an end that was read with the data is told to those who ask first", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  a:send "x"
  a:close()
  socket.sleep(0.05)
  t.equal(b:receive(1), "x")
  t.equal(socket.select({ b }, nil, 2)[1], b)
  t.returns({ n = 3, nil, "closed", "" }, b:receive(1))
  t.equal(b:dirty(), false)
end)

-- Names and protocols -------------------------------------------------------------------------------------------------

t.test("names", function()
  local folder = t.certificates()
  local function context(name)
    local params = t.identity(name)
    params.mode, params.protocol = "server", "any"
    return ssl.newcontext(params)
  end
  local map = { ["localhost"] = context "rsa" }
  local function certificate(name, strict)
    local a, b = t.wrapped({ verify = "none" }, t.identity "server")
    if name then a:sni(name) end
    b:sni(map, strict)
    local first, second = t.shake(a, b)
    if not first[1] then return first, second end
    return a:getpeercertificate():pem(), b:getsniname()
  end
  local function pem(name) return ssl.loadcertificate(t.contents(folder .. "/" .. name .. ".pem")):pem() end
  t.returns({ n = 2, pem "rsa", "localhost" }, certificate("localhost"))
  t.returns({ n = 2, pem "server", "other.test" }, certificate("other.test"))
  local first, second = certificate("other.test", true)
  t.same(second, { false, "callback failed" })
  t.same(first, { false, "tlsv1 unrecognized name" })
  map["late.test"] = map.localhost
  t.equal(certificate("late.test", true), pem "rsa")
  local _, b = t.wrapped({ verify = "none" }, t.identity "server")
  t.equal(pcall(b.sni, b, { x = 1 }), false)
  t.equal(pcall(b.sni, b, "x"), false)
end)

t.test("what a map makes up counts if it is a context", function()
  local a, b = t.wrapped({ verify = "none" }, t.identity "server")
  a:sni "made-up.test"
  local asked = {}
  b:sni(setmetatable({}, { __index = function(_, name)
    asked[#asked + 1] = name
    return 5
  end }))
  t.same({ t.shake(a, b) }, { { true }, { true } })
  t.same(asked, { "made-up.test" })
end)

t.fix("the host is the name", function()
  local folder = t.certificates()
  local server = t.closing(socket.bind("127.0.0.1", 0))
  local client = t.closing(socket.tcp())
  client:settimeout(5)
  t.equal(client:connect("localhost", select(2, server:getsockname())), 1)
  local peer = t.closing(server:accept())
  local a = t.closing(ssl.wrap(client, { mode = "client", protocol = "any", cafile = folder .. "/ca.pem" }))
  local params = t.identity "server"
  params.mode, params.protocol = "server", "any"
  local b = t.closing(ssl.wrap(peer, params))
  a:settimeout(0)
  b:settimeout(0)
  t.same({ t.shake(a, b) }, { { true }, { true } })
  t.equal(b:getsniname(), "localhost")
  t.equal(a:getsniname(), "localhost")
end)

t.test("protocols are agreed upon", function()
  local function agree(offer, server)
    local params = t.identity "server"
    params.alpn = server
    local a, b = t.secured({ verify = "none", alpn = offer }, params)
    t.equal(a:getalpn(), b:getalpn())
    return a:getalpn()
  end
  t.equal(agree({ "a", "b" }, { "b", "a" }), "b")
  t.equal(agree("a", { "b" }), nil)
  t.equal(agree(nil, { "b" }), nil)
  local asked
  t.equal(agree({ "a", "b" }, function(offered) asked = offered return { "x", "b" } end), "b")
  t.same(asked, { "a", "b" })
  t.equal(agree("a", function() return "a" end), "a")
  t.equal(agree("a", function() return 7 end), nil)
  asked = nil
  t.equal(agree(nil, function() asked = true end), nil)
  t.equal(asked, nil)
end)

t.test("an error in a program's function", function()
  local params = t.identity "server"
  params.alpn = function() error("mine", 0) end
  local a, b = t.wrapped({ verify = "none", alpn = "x" }, params)
  a:dohandshake()
  socket.sleep(0.02)
  t.raises({ exact = "mine" }, b.dohandshake, b)
end)

t.test("keying material", function()
  local a, b = t.secured({ verify = "none" }, t.identity "server")
  local key = a:exportkeyingmaterial("EXPORTER-Channel-Binding", 32, "")
  t.equal(#key, 32)
  t.equal(b:exportkeyingmaterial("EXPORTER-Channel-Binding", 32, ""), key)
  t.equal(a:exportkeyingmaterial("EXPORTER-x", 0), "")
end)

t.fix("TLS in TLS", function()
  local folder = t.certificates()
  local a, b = t.secured({ cafile = folder .. "/ca.pem" }, t.identity "server")
  local outer = a
  local server = t.identity "rsa"
  server.mode, server.protocol = "server", "any"
  a = t.closing(ssl.wrap(a, { mode = "client", protocol = "any", cafile = folder .. "/ca.pem" }))
  b = t.closing(ssl.wrap(b, server))
  t.equal(outer:getfd(), -1)
  a:settimeout(0)
  b:settimeout(0)
  t.same({ t.shake(a, b) }, { { true }, { true } })
  a:send(string.rep("x", 100000))
  b:settimeout(5)
  t.equal(#b:receive(100000), 100000)
end)

t.fix("sessions are resumed", function()
  for version in pairs(VERSIONS) do
    local params = t.identity "server"
    params.mode, params.protocol = "server", version
    local server = ssl.newcontext(params)
    local client = ssl.newcontext { mode = "client", protocol = "any", verify = "none" }
    local seen = {}
    for i = 1, 2 do
      local a, b = t.secured(client, server)
      b:send "x"
      a:receive(1)
      seen[i] = a:info "resumed"
      a:close()
      b:close()
    end
    t.same(seen, { false, true }, version)
  end
end)

t.done()

-- The methods of connections, contexts and certificates one by one: what they give before the handshake, after it, behind
-- the peer's end and once closed; and what they think of odd arguments.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local folder = t.certificates()

local function wrapped() return t.wrapped({ verify = "none" }, t.identity "server") end

local function secured(version)
  local params = t.identity "server"
  params.protocol = version
  return t.secured({ verify = "none" }, params)
end

-- Before the handshake ------------------------------------------------------------------------------------------------

t.test("nothing can be had before the handshake", function()
  local a = wrapped()
  t.returns({ n = 3, nil, "closed", 0 }, a:send "x")
  t.returns({ n = 3, nil, "closed", 1 }, a:send("abc", 2))
  t.equal(a:send "", 0)
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
  t.returns({ n = 3, nil, "closed", "" }, a:receive(0))
  t.returns({ "pre", nil, nil, n = 3 }, a:receive(2, "pre"))
  t.returns({ n = 2, nil, "closed" }, a:info())
  t.returns({ n = 2, nil, "closed" }, a:getpeercertificate())
  t.returns({ n = 2, nil, "closed" }, a:getpeerchain())
  t.returns({ n = 2, false, "closed" }, a:getpeerverification())
  t.returns({ n = 2, nil, "closed" }, a:getfinished())
  t.equal(a:getalpn(), nil)
  t.equal(a:dirty(), false)
  t.equal(a:want(), "nothing")
  t.equal(a:getstats(), 0)
  local core = require "ssl.core"
  t.equal((core.info(a)), nil)
  t.returns({ n = 2, nil, "closed" }, core.compression(a))
end)

t.test("names that are set", function()
  local a, b = wrapped()
  t.returns(0, a:sni "name.test")
  t.equal(a:getsniname(), "name.test")
  a:sni "127.0.0.1"
  t.equal(a:getsniname(), "127.0.0.1")
  -- What is none, or too long for one, unsets it.
  a:sni ""
  t.equal(a:getsniname(), nil)
  a:sni(string.rep("x", 255))
  t.equal(#a:getsniname(), 255)
  a:sni(string.rep("x", 256))
  t.equal(a:getsniname(), nil)
  a:sni(12)
  t.equal(a:getsniname(), "12")
  for _, odd in ipairs { {}, false, print } do t.equal(pcall(a.sni, a, odd), false) end
  t.equal(pcall(a.sni, a), false)
  for _, odd in ipairs { "x", { x = 1 }, { 1 } } do t.equal(pcall(b.sni, b, odd), false) end
  t.returns(0, b:sni {})
  t.equal(b:getsniname(), nil)
end)

t.test("closed before the handshake", function()
  local a, b = wrapped()
  t.returns(0, a:close())
  t.returns(0, a:close())
  t.match(tostring(a), "closed%)$")
  b:settimeout(2)
  local ok, err = b:dohandshake()
  t.equal(ok, false)
  t.match(err, "^unexpected eof while reading$")
  t.returns({ n = 3, nil, "closed", "" }, b:receive())
  t.returns({ n = 3, nil, "closed", 0 }, b:send "x")
end)

t.test("no descriptor, no connection", function()
  local conn = t.closing(ssl.wrap(socket.tcp(), { mode = "client", protocol = "any", verify = "none" }))
  conn:settimeout(1)
  t.equal((conn:dohandshake()), false)
  local closed = socket.tcp()
  closed:close()
  conn = t.closing(ssl.wrap(closed, { mode = "client", protocol = "any", verify = "none" }))
  t.equal(conn:getfd(), -1)
  t.equal((conn:dohandshake()), false)
end)

-- Behind the handshake ------------------------------------------------------------------------------------------------

for _, version in ipairs { "tlsv1_2", "tlsv1_3" } do
  t.test("patterns and prefixes, " .. version, function()
    local a, b = secured(version)
    b:send "abc"
    -- The server's tickets come first, and what is small waits until they are acknowledged.
    socket.sleep(0.1)
    t.equal(a:dirty(), false)
    t.equal(a:receive(0), "")
    t.equal(a:dirty(), true)
    t.equal(a:receive(0), "")
    t.equal(a:receive(0, "xy"), "xy")
    t.equal(a:receive(1, "xy"), "xy")
    t.raises({ match = "invalid receive pattern" }, a.receive, a, -1)
    t.equal(a:receive(1.5), "a")
    t.equal(a:receive "1", "b")
    a:settimeout(0)
    t.returns({ n = 3, nil, "wantread", "c" }, a:receive(5))
    t.equal(a:want(), "read")
    for _, odd in ipairs { "x", "*x", true } do t.equal(pcall(a.receive, a, odd), false) end
    t.equal(pcall(a.receive, a, "*l", true), false)
    t.returns({ n = 3, nil, "wantread", "12" }, a:receive("*l", 12))
    a:settimeout(5)
    b:send "abc\r\nd\re\n"
    t.returns({ n = 3, "abc", nil, nil }, a:receive())
    t.returns({ n = 3, "de", nil, nil }, a:receive "*line")
  end)

  t.test("indices of send, " .. version, function()
    local a, b = secured(version)
    for _, row in ipairs {
      { 0, "", "" }, { 2, "12", 12 }, { 6, "", "abc", 7 }, { 3, "bc", "abc", -2 }, { 2, "", "abc", 3, 1 }, { 0, "", "abc", 0, 0 },
      { 3, "abc", "abc", -100, 100 }, { 3, "abc", "abc", 1 }, { 2, "b", "abc", 2, 2 }, { 2, "ab", "abc", 1, -2 },
    } do
      t.returns({ n = 3, row[1], nil, nil }, a:send((table.unpack or unpack)(row, 3, 5)))
      if row[2] ~= "" then t.equal(b:receive(#row[2]), row[2]) end
    end
    t.equal(pcall(a.send, a), false)
    t.equal(pcall(a.send, a, {}), false)
    t.equal(pcall(a.send, a, "x", true), false)
  end)

  t.test("what is told of the peer, " .. version, function()
    local a, b = secured(version)
    t.returns({ n = 1, true }, a:dohandshake())
    t.returns(0, a:sni "late")
    t.returns(0, b:sni {})
    t.equal(b:getsniname(), nil)
    t.match(tostring(a:getpeercertificate()), "^X509 certificate: 0x%x+$")
    t.equal(a:getpeercertificate(2), nil)
    t.returns({ n = 2, nil, "invalid certificate index" }, a:getpeercertificate(-1))
    t.equal(pcall(a.getpeercertificate, a, "x"), false)
    t.ok(a:getpeercertificate "1")
    t.equal(b:getpeercertificate(), nil)
    t.equal(#a:getpeerchain(), 1)
    t.returns({ n = 1, true }, b:getpeerverification())
    t.equal(a:info(1), nil)
    t.equal(type(a:info(nil)), "table")
    t.equal(#a:exportkeyingmaterial("EXPORTER-x", 10), 10)
    t.equal(pcall(a.exportkeyingmaterial, a, "x", -1), false)
    t.equal(pcall(a.exportkeyingmaterial, a), false)
    local text, bits, algbits, protocol = require("ssl.core").info(a)
    t.equal(text, string.format("%-30s %-7s Kx=%-8s Au=%-5s Enc=%-22s Mac=%-4s\n", a:info "cipher", protocol, a:info "key",
      a:info "authentication", a:info "encryption", "AEAD"))
    t.equal(bits, 256)
    t.equal(algbits, 256)
    t.equal(protocol, a:info "protocol")
  end)

  t.test("behind the peer's end, " .. version, function()
    local a, b = secured(version)
    b:send "rest"
    t.returns(0, b:close())
    t.returns(0, b:close())
    t.readable(a)
    t.returns({ n = 3, nil, "closed", "rest" }, a:receive(100))
    t.equal(a:dirty(), false)
    t.returns({ n = 3, nil, "closed", "" }, a:receive(100))
    t.returns({ n = 3, nil, "closed", "" }, a:receive "*a")
    t.returns({ n = 3, nil, "closed", "" }, a:receive())
    t.returns({ n = 3, nil, "closed", "" }, a:receive(0))
    t.equal(type(a:info()), "table")
    t.returns({ n = 1, true }, a:dohandshake())
  end)
end

t.test("statistics and timeouts", function()
  local a, b = secured()
  a:send "hello\r\n"
  t.equal(b:receive(), "hello")
  local received, sent, age = b:getstats()
  t.equal(received, 7)
  t.equal(sent, 0)
  t.between(age, 0, 5)
  t.equal(b:setstats(1, 2, 3), 1)
  received, sent, age = b:getstats()
  t.equal(received, 1)
  t.equal(sent, 2)
  t.between(age, 3, 8)
  t.equal(pcall(b.setstats, b, "x"), false)
  for _, mode in ipairs { "b", "t", "r" } do t.equal(a:settimeout(1, mode), 1) end
  t.equal(a:settimeout(), 1)
  t.equal(a:settimeout(-1), 1)
  t.equal(a:settimeout "1", 1)
  t.raises({ match = "invalid timeout mode" }, a.settimeout, a, 1, "x")
  for _, odd in ipairs { "x", {} } do t.equal(pcall(a.settimeout, a, odd), false) end
end)

t.fix("a host that is known by its address is no name", function()
  local a = secured()
  t.equal(a:getsniname(), nil)
end)

t.fix("zero bytes never wait", function()
  local a, b = secured()
  t.returns({ n = 3, "", nil, nil }, a:receive(0))
  t.equal(a:want(), "read")
  a:settimeout(0)
  t.returns({ n = 3, "", nil, nil }, a:receive(0))
  b:close()
  t.readable(a)
  t.returns({ n = 3, nil, "closed", "" }, a:receive(0))
end)

-- Closed ----------------------------------------------------------------------------------------------------------------

t.test("objects of another kind", function()
  local a = secured()
  for _, name in ipairs { "getfd", "receive", "send", "close", "dohandshake", "sni", "want" } do
    for _, odd in ipairs { {}, 1 } do
      local ok, err = pcall(a[name], odd)
      t.equal(ok, false)
      t.match(err, "bad argument #1 to '.*' %(SSL:Connection expected, got " .. type(odd) .. "%)", name)
    end
  end
end)

t.test("the last messages of the handshake", function()
  local a, b = t.secured({ verify = "none", protocol = "tlsv1_2" }, t.identity "server")
  t.equal(#a:getfinished(), 12)
  t.equal(#b:getfinished(), 12)
  t.equal(a:getfinished(), b:getpeerfinished())
  t.equal(b:getfinished(), a:getpeerfinished())
  t.ok(a:getfinished() ~= b:getfinished())
end)

t.fix("what nobody can tell", function()
  local a = t.secured({ verify = "none", protocol = "tlsv1_3" }, t.identity "server")
  t.returns({ n = 2, nil, "finished messages are not available" }, a:getfinished())
  t.returns({ n = 2, nil, "finished messages are not available" }, a:getpeerfinished())
end)

t.test("closed", function()
  local a = secured()
  a:close()
  t.returns({ n = 3, nil, "closed", 0 }, a:send "x")
  t.equal(a:send "", 0)
  t.returns({ n = 3, nil, "closed", "" }, a:receive())
  t.returns({ n = 3, nil, "closed", "pre" }, a:receive("*l", "pre"))
  t.returns({ n = 3, nil, "closed", "" }, a:receive "*a")
  t.equal(a:receive(2, "pre"), "pre")
  t.returns({ n = 2, nil, "closed" }, a:info())
  t.returns({ n = 2, nil, "closed" }, a:getpeercertificate())
  t.returns({ n = 2, nil, "closed" }, a:getpeerchain())
  t.returns({ n = 2, false, "closed" }, a:getpeerverification())
  t.returns({ n = 2, nil, "closed" }, a:getfinished())
  t.equal(a:dirty(), false)
  t.equal(a:want(), "nothing")
  t.equal(a:getfd(), -1)
  t.equal(a:settimeout(1), 1)
  t.equal(a:setstats(1), 1)
  t.equal(a:getstats(), 1)
end)

-- Contexts, and the steps they are made in ------------------------------------------------------------------------------

t.test("contexts step by step", function()
  local context = require "ssl.context"
  local ctx = context.create "any"
  t.returns({ n = 2, nil, "invalid mode" }, require("ssl.core").create(ctx))
  t.returns({ n = 2, nil, "invalid protocol (x)" }, context.create "x")
  t.equal(context.setmode(ctx, "server"), true)
  t.equal(context.locations(ctx, folder .. "/ca.pem"), true)
  t.equal((context.locations(ctx, "/none")), false)
  t.equal((context.loadcert(ctx, "/none")), false)
  t.equal(context.loadcert(ctx, folder .. "/server.pem"), true)
  t.equal(context.loadkey(ctx, folder .. "/server.key", nil), true)
  t.equal(context.checkkey(ctx), true)
  t.equal(context.setdepth(ctx, 1), true)
  t.equal(context.setverify(ctx), true)
  t.equal(context.setverify(ctx, "peer", "client_once"), true)
  t.returns({ n = 2, false, "invalid verify option (x)" }, context.setverify(ctx, "peer", "x"))
  t.returns({ n = 2, false, "invalid option (x)" }, context.setoptions(ctx, "x"))
  t.equal(context.setoptions(ctx, "all", "no_sslv3"), true)
  t.equal(context.setcipher(ctx, "HIGH"), true)
  t.equal((context.setcipher(ctx, "xx")), false)
  t.equal(context.setciphersuites(ctx, "TLS_AES_128_GCM_SHA256"), true)
  t.equal(context.setcurve(ctx, "prime256v1"), true)
  t.returns({ n = 2, false, "elliptic curve 'x' not supported" }, context.setcurve(ctx, "x"))
  t.equal(context.setcurveslist(ctx, "X25519:P-256"), true)
  t.equal((context.setcurveslist(ctx, "x")), false)
  t.equal(context.setalpn(ctx, "\2h2"), true)
  t.equal(context.setalpncb(ctx, function() end), true)
  t.equal(ctx:setverifyext(), true)
  t.equal(ctx:setverifyext("lsec_continue", "crl_check"), true)
  t.returns({ n = 2, false, "invalid verify option (x)" }, ctx:setverifyext "x")
  t.returns({ n = 2, false, "invalid verify option (1)" }, ctx:setverifyext(1))
  for _, odd in ipairs { {}, false, print } do
    t.equal(pcall(ctx.setverifyext, ctx, odd), false)
    t.equal(pcall(context.setmode, odd, "client"), false)
    t.equal(pcall(context.setdepth, ctx, odd), false)
    t.equal(pcall(context.setcipher, ctx, odd), false)
    t.equal(pcall(context.setverify, odd, "peer"), false)
    t.equal(pcall(context.setoptions, odd, "all"), false)
    t.equal(pcall(context.setalpncb, odd, print), false)
    t.equal(pcall(ctx.setverifyext, odd), false)
  end
end)

t.test("parameters of odd types", function()
  local function new(key, value)
    local params = { mode = "client", protocol = "any" }
    params[key] = value
    return ssl.newcontext(params)
  end
  for _, key in ipairs { "protocol", "mode", "key", "certificate", "cafile", "capath", "ciphers", "ciphersuites", "curve", "curveslist",
    "depth" } do
    for _, odd in ipairs { true, {}, print } do t.equal(pcall(new, key, odd), false, key) end
  end
  for _, key in ipairs { "verify", "verifyext", "options" } do
    for _, odd in ipairs { true, print } do t.equal(pcall(new, key, odd), false, key) end
    t.ok(new(key, {}), key)
    t.match(select(2, new(key, 1)), "^invalid .*option %(1%)$")
    t.match(select(2, new(key, { 1 })), "^invalid .*option %(1%)$")
    t.match(select(2, new(key, "x")), "^invalid .*option %(x%)$")
  end
  t.returns({ n = 2, nil, "invalid ALPN parameter" }, new("alpn", true))
  t.returns({ n = 2, nil, "invalid DH parameter type" }, new("dhparam", {}))
  t.ok(new("unknown", print))
end)

-- Certificates ------------------------------------------------------------------------------------------------------------

t.test("certificates and odd arguments", function()
  for _, text in ipairs { "", "x", 12 } do t.equal(ssl.loadcertificate(text), nil) end
  for _, odd in ipairs { {}, false, print } do t.equal(pcall(ssl.loadcertificate, odd), false) end
  t.equal(pcall(ssl.loadcertificate), false)
  local own = ssl.loadcertificate(t.contents(folder .. "/server.pem"))
  local authority = ssl.loadcertificate(t.contents(folder .. "/ca.pem"))
  local other = ssl.loadcertificate(t.contents(folder .. "/ca2.pem"))
  t.equal(own:setencode "ai5", true)
  t.equal(own:setencode "utf8", true)
  t.equal(own:setencode "x", false)
  t.equal(pcall(own.setencode, own), false)
  t.equal(#own:digest(), 40)
  t.equal(own:digest(nil), own:digest "sha1")
  t.equal(own:digest "x", nil)
  t.equal(own:validat(os.time()), true)
  t.equal(own:validat(0), false)
  t.equal(pcall(own.validat, own), false)
  t.equal(authority:issued(own), true)
  t.equal(authority:issued(authority), true)
  t.returns({ n = 2, nil, "unable to get local issuer certificate" }, other:issued(own))
  t.returns({ n = 2, nil, "unable to get local issuer certificate" }, own:issued(own))
  t.equal(pcall(authority.issued, authority), false)
  t.equal(pcall(authority.issued, authority, {}), false)
  t.equal(pcall(own.pem, {}), false)
  t.ok(own ~= ssl.loadcertificate(own:pem()))
  t.equal(ssl.loadcertificate(own:pem()):pem(), own:pem())
end)

t.done()

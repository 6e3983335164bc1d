-- ssl: whom we trust, and what is said about the others.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local folder = t.certificates()

local function path(name) return folder .. "/" .. name end

-- The client's outcome with a server that has the certificate `name`: "ok" or the error, and the connection.
local function meet(name, params)
  local client = { cafile = path "ca.pem" }
  for key, value in pairs(params or {}) do client[key] = value end
  if params and params.cafile == false then client.cafile = nil end
  local a, b = t.wrapped(client, t.identity(name))
  a:sni(params and params.name or "localhost")
  local first, second = t.shake(a, b)
  return first[1] and "ok" or first[2], a, second[1] or second[2], b
end

local REFUSED = "certificate verify failed"

-- By chain alone: what LuaSec does ----------------------------------------------------------------------------------------

local JUDGED = {
  -- name, extra parameters, and what is wrong, if something is
  { "server" }, { "rsa" }, { "chained" }, { "nosan" }, { "serveronly" }, { "other" }, { "wildcard" }, { "old" },
  { "oldbelow" }, { "called" },
  { "selfca", { cafile = path "selfca.pem" } },
  { "self", { cafile = path "self.pem" } },
  { "self", {}, "self-signed certificate" },
  { "selfca", {}, "self-signed certificate" },
  { "expired", {}, "certificate has expired" },
  { "future", {}, "certificate is not yet valid" },
  { "client", {}, "unsuitable certificate purpose" },
  { "server", { cafile = path "ca2.pem" }, "unable to get local issuer certificate" },
  { "server", { cafile = false }, "unable to get local issuer certificate" },
  { "forged", {}, "certificate signature failure" },
  { "revoked" },
  { "revoked", { cafile = path "ca-crl.pem", verifyext = "crl_check" }, "certificate revoked" },
  { "server", { cafile = path "ca-crl.pem", verifyext = "crl_check" } },
  { "server", { verifyext = "crl_check" }, "unable to get certificate CRL" },
  { "chained", { depth = 1 } },
  { "outside", {}, "permitted subtree violation" },
  { "deep", {}, "path length constraint exceeded" },
  { "oldout", {}, "path length constraint exceeded" },
  { "oldbelow", { cafile = path "ca2.pem" }, "unable to get local issuer certificate" },
  { "called", { cafile = path "ca2.pem" }, "unable to get local issuer certificate" },
  { "server", { cafile = false, capath = path "hashed" } },
}

local function with(params, more)
  local all = {}
  for _, list in ipairs { params or {}, more } do
    for key, value in pairs(list) do all[key] = value end
  end
  return all
end

local function extend(params, flag)
  local flags = { flag }
  if params and params.verifyext then flags[2] = params.verifyext end
  return flags
end

-- Without authorities LuaSec asks nobody, and we ask the system's.
local function is_reference_only(params)
  return params and params.cafile == false and not params.capath
end

for i, row in ipairs(JUDGED) do
  local name, params, wrong = row[1], row[2], row[3]
  local title = i .. ": " .. name .. (wrong and ", " .. wrong or "")

  t.test("none, " .. title, function()
    local outcome, a = meet(name, with(params, { verify = "none" }))
    t.equal(outcome, "ok")
    if wrong then
      t.returns({ n = 2, false, wrong }, a:getpeerverification())
    else
      t.returns({ n = 1, true }, a:getpeerverification())
    end
  end)

  -- OpenSSL tells a signature that is none in another way.
  local test = name == "forged" and t.fix or t.test
  test("peer, " .. title, function()
    local outcome, a, told = meet(name, with(params, { verify = "peer" }))
    if wrong then
      t.equal(outcome, REFUSED)
      t.ok(told == true or string.find(told, "alert"), told)
    else
      t.equal(outcome, "ok")
      t.returns({ n = 1, true }, a:getpeerverification())
    end
  end)

  t.test("continue, " .. title, function()
    local outcome, a = meet(name, with(params, { verify = "peer", verifyext = extend(params, "lsec_continue") }))
    t.equal(outcome, "ok")
    if not wrong then return t.returns({ n = 1, true }, a:getpeerverification()) end
    local ok, notes = a:getpeerverification()
    t.equal(ok, false)
    t.equal(type(notes), "table")
    local found = false
    for _, list in pairs(notes) do
      for _, note in ipairs(list) do found = found or note == wrong end
    end
    if not is_reference_only(params) then t.ok(found, t.show(notes)) end
  end)
end

t.test("a chain that is too long", function()
  t.equal(meet("chained", { verify = "peer", depth = 0 }), REFUSED)
  t.equal(meet("server", { verify = "peer", depth = 0 }), "ok")
end)

t.test("alerts tell the peer", function()
  local function told(name, params)
    local _, _, alert = meet(name, with(params, { verify = "peer" }))
    return alert
  end
  t.equal(told("server", { cafile = path "ca2.pem" }), "tlsv1 alert unknown ca")
  t.equal(told("expired"), "sslv3 alert certificate expired")
end)

t.fix("weak keys and digests are not trusted", function()
  for _, name in ipairs { "weak", "sha1" } do
    local params = t.identity(name)
    local ok, err = ssl.newcontext { mode = "server", protocol = "any", key = params.key, certificate = params.certificate }
    if ok then
      t.equal(meet(name, { verify = "peer" }), REFUSED, name)
    else
      t.match(err, "^error loading private key %(unsupported")
    end
  end
end)

-- Names: what we do when nothing is said ------------------------------------------------------------------------------------

local NAMED = {
  { "server", "localhost" }, { "server", "LOCALHOST" }, { "server", "localhost." }, { "server", "127.0.0.1" },
  { "server", "::1" }, { "chained", "localhost" }, { "wildcard", "a.example.test" },
  { "server", "other.test", true }, { "server", "127.0.0.2", true }, { "other", "localhost", true },
  { "wildcard", "a.b.example.test", true }, { "wildcard", "example.test", true }, { "wide", "a.test", true },
  { "nosan", "localhost", true }, { "old", "localhost", true }, { "self", "localhost", true },
  { "expired", "localhost", true }, { "client", "a-client", true }, { "outside", "localhost", true },
  { "future", "localhost", true }, { "forged", "localhost", true }, { "deep", "localhost", true }, { "sha1", "localhost", true },
  { "selfca", "localhost", true }, { "revoked", "localhost", true, { cafile = path "ca-crl.pem", verifyext = "crl_check" } },
  { "server", "localhost", true, { cafile = path "ca2.pem" } },
}

for _, row in ipairs(NAMED) do
  local name, asked, wrong, more = row[1], row[2], row[3], row[4]
  t.fix("by default, " .. name .. " as " .. asked .. (more and ", with " .. more.cafile:match "[^/]*$" or ""), function()
    local outcome, a = meet(name, with(more, { name = asked }))
    t.equal(outcome, wrong and REFUSED or "ok")
    if wrong then
      local ok, why = a:getpeerverification()
      t.equal(ok, false)
      t.ok(why ~= "closed" and type(why) == "string", why)
    else
      t.equal(a:info "verify", "peer+name")
    end
  end)
end

t.fix("without authorities the system's are asked, which do not know ours", function()
  t.equal(meet("server", { cafile = false }), REFUSED)
  t.equal(meet("server", { cafile = false, verify = "peer" }), REFUSED)
end)

t.fix("why, after the handshake", function()
  local function why(name, params)
    local outcome, a = meet(name, params)
    t.equal(outcome, REFUSED)
    return select(2, a:getpeerverification())
  end
  t.equal(why("self", {}), "self-signed certificate")
  t.equal(why("server", { name = "other.test" }), "hostname mismatch")
  t.equal(why("server", { name = "127.0.0.2" }), "IP address mismatch")
  t.equal(why("server", { cafile = path "ca2.pem" }), "unable to get local issuer certificate")
  t.equal(why("chained", { verify = "peer", depth = 0 }), "certificate chain too long")
end)

t.fix("no name is known", function()
  local function outcome(params)
    local a, b = t.pair()
    local husk = { getfd = function() return a:getfd() end, setfd = function(_, fd) a:setfd(fd) end }
    local conn = t.closing(ssl.wrap(husk, with(params, { mode = "client", protocol = "any", cafile = path "ca.pem" })))
    local peer = t.closing(ssl.wrap(b, with(t.identity "server", { mode = "server", protocol = "any" })))
    conn:settimeout(0)
    peer:settimeout(0)
    return t.shake(conn, peer)
  end
  t.same(outcome {}, { true })
  t.same(outcome { verify_host = true }, { false, REFUSED })
end)

t.fix("verify_host says it expressly", function()
  t.equal(meet("server", { verify = "peer", name = "other.test" }), "ok")
  t.equal(meet("server", { verify = "peer", verify_host = true, name = "other.test" }), REFUSED)
  t.equal(meet("server", { verify = "peer", verify_host = true }), "ok")
  t.equal(meet("server", { verify_host = false, name = "other.test" }), "ok")
end)

t.fix("one switch restores what LuaSec does", function()
  t.finally(function() ssl.default_verify = "peer" end)
  ssl.default_verify = "none"
  local outcome, a = meet("self", {})
  t.equal(outcome, "ok")
  t.equal(a:info "verify", "none")
  t.returns({ n = 2, false, "self-signed certificate" }, a:getpeerverification())
end)

-- As OpenSSL does it.
t.test("what stands between may lie among those whom we trust", function()
  local leaf = t.write(t.fresh_path(), ssl.loadcertificate(t.contents(path "chained.pem")):pem())
  local function outcome(cafile)
    local server = { certificate = leaf, key = path "chained.key", cafile = cafile }
    return t.shake(t.wrapped({ verify = "peer", cafile = path "ca.pem" }, server))
  end
  t.same(outcome(path "inter.pem"), { true })
  t.same(outcome(), { false, REFUSED })
end)

-- Clients -------------------------------------------------------------------------------------------------------------------

local function visit(client, server)
  local a, b = t.wrapped(with(client, { verify = "none" }), with(t.identity "server", server))
  local first, second = t.shake(a, b)
  return second[1] or second[2], a, b, first
end

t.test("servers ask for certificates only if told to", function()
  local outcome, _, b = visit(t.identity "client", { cafile = path "ca.pem" })
  t.equal(outcome, true)
  t.equal(b:getpeercertificate(), nil)
  t.returns({ n = 1, true }, b:getpeerverification())
  t.equal(visit({}, { verify = "fail_if_no_peer_cert" }), true)
end)

for _, protocol in ipairs { "tlsv1_2", "tlsv1_3" } do
  t.test("mutual, " .. protocol, function()
    local ask = { verify = { "peer", "fail_if_no_peer_cert" }, cafile = path "ca.pem", protocol = protocol }
    for _, name in ipairs { "client", "clientrsa", "server" } do
      local outcome, _, b = visit(t.identity(name), ask)
      t.equal(outcome, true, name)
      t.equal(b:getpeercertificate():digest(), ssl.loadcertificate(t.contents(path(name .. ".pem"))):digest())
      t.returns({ n = 1, true }, b:getpeerverification())
    end
    t.equal(visit({}, ask), "peer did not return a certificate")
    t.equal(visit(t.identity "expired", ask), REFUSED)
    t.equal(visit(t.identity "self", ask), REFUSED)
    t.equal(visit(t.identity "serveronly", ask), REFUSED)
    ask.verify = "peer"
    t.equal(visit({}, ask), true)
    t.equal(visit(t.identity "self", ask), REFUSED)
  end)
end

t.test("clients judged as servers", function()
  local ask = { verify = { "peer" }, cafile = path "ca.pem", verifyext = { "lsec_ignore_purpose" } }
  t.equal(visit(t.identity "serveronly", ask), true)
  t.equal(visit(t.identity "client", ask), REFUSED)
end)

t.test("servers that go on", function()
  local outcome, _, b = visit(t.identity "self", { verify = "peer", verifyext = "lsec_continue" })
  t.equal(outcome, true)
  local ok, notes = b:getpeerverification()
  t.equal(ok, false)
  t.same(notes, { { "self-signed certificate" } })
  t.equal(#b:getpeerchain(), 1)
end)

t.test("a client without certificate learns of it when it receives", function()
  local ask = { verify = { "peer", "fail_if_no_peer_cert" }, cafile = path "ca.pem", protocol = "tlsv1_3" }
  local _, a, _, first = visit({}, ask)
  t.same(first, { true })
  a:settimeout(5)
  t.returns({ n = 3, nil, "tlsv13 alert certificate required", "" }, a:receive())
end)

t.test("chains", function()
  local _, a, _, b = meet("chained", { verify = "none" })
  local chain = a:getpeerchain()
  t.equal(#chain, 2)
  t.equal(chain[1]:pem(), a:getpeercertificate():pem())
  t.equal(chain[2]:pem(), a:getpeercertificate(2):pem())
  t.equal(a:getpeercertificate(3), nil)
  t.returns({ n = 2, nil, "invalid certificate index" }, a:getpeercertificate(0))
  t.ok(b)
end)

t.fix("chains of our own", function()
  local _, a, _, b = meet("chained", { verify = "none" })
  t.equal(#b:getlocalchain(), 2)
  t.equal(b:getlocalcertificate():pem(), a:getpeercertificate():pem())
  t.same(b:getpeerchain(), {})
  t.equal(a:getlocalcertificate(), nil)
  t.ok(socket)
end)

t.fix("the certificate that suits the client", function()
  local both = { certificates = { t.identity "server", t.identity "rsa" } }
  local function kind(ciphers)
    local a = t.secured({ verify = "none", protocol = "tlsv1_2", ciphers = ciphers }, both)
    return select(2, a:getpeercertificate():pubkey())
  end
  t.equal(kind "aRSA", "RSA")
  t.equal(kind "aECDSA", "EC")
end)

t.done()

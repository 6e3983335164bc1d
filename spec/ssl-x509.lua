-- ssl.x509: what is written in certificates.

local t = require "support"
local ssl = require "ssl"

local folder = t.certificates()

local function text(name) return t.contents(folder .. "/" .. name .. ".pem") end
local function load(name) return ssl.loadcertificate(text(name)) end
local function openssl(words)
  return (t.shell("openssl x509 -in " .. folder .. "/" .. words)):gsub("%s+$", "")
end

t.test("loading", function()
  local server = load "server"
  t.match(tostring(server), "^X509 certificate: 0x%x+$")
  t.equal(ssl.loadcertificate("text before\n" .. text "server" .. "text behind"):pem(), server:pem())
  t.equal(ssl.loadcertificate(t.contents(folder .. "/server.key") .. text "server"):pem(), server:pem())
  t.equal(ssl.loadcertificate((text("server"):gsub("\n", "\r\n"))):pem(), server:pem())
  for _, bad in ipairs { "", "x", "-----BEGIN CERTIFICATE-----\n", t.contents(folder .. "/server.key"),
    t.contents(folder .. "/server.der"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" } do
    t.returns({ n = 1, nil }, ssl.loadcertificate(bad))
  end
  t.raises({ match = "string expected" }, ssl.loadcertificate, {})
  t.ok(load "server" ~= load "server")
end)

t.test("the same again as PEM", function()
  t.equal(load("server"):pem() .. "", openssl "server.pem" .. "\n")
end)

t.test("names", function()
  t.same(load("server"):subject(), { { oid = "2.5.4.3", name = "commonName", value = "localhost" } })
  t.same(load("server"):issuer(), { { oid = "2.5.4.3", name = "commonName", value = "Test CA" } })
end)

t.test("other names", function()
  local names = load "names"
  t.equal(names:setencode "utf8", true)
  t.equal(names:setencode "latin1", false)
  t.same(names:extensions(), {
    ["2.5.29.17"] = {
      name = "X509v3 Subject Alternative Name",
      dNSName = { "a.test", "*.b.test" },
      rfc822Name = { "m@a.test" },
      uniformResourceIdentifier = { "xmpp:a.test" },
      iPAddress = { "127.0.0.1", "::1" },
      ["1.3.6.1.5.5.7.8.5"] = { name = names:extensions()["2.5.29.17"]["1.3.6.1.5.5.7.8.5"].name, "juergen@a.test" },
      ["1.3.6.1.5.5.7.8.7"] = { name = names:extensions()["2.5.29.17"]["1.3.6.1.5.5.7.8.7"].name, "_xmpp-client.a.test" },
    },
  })
  t.same(load("nosan"):extensions(), {})
end)

t.test("dates", function()
  local server = load "expired"
  t.equal(server:notbefore(), "Jan  1 00:00:00 2020 GMT")
  t.equal(server:notafter(), "Jan  1 00:00:00 2021 GMT")
  local first, last = 1577836800, 1609459200
  t.equal(server:validat(first - 1), false)
  t.equal(server:validat(first + 1), true)
  t.equal(server:validat(last - 1), true)
  t.equal(server:validat(last + 1), false)
end)

t.test("numbers", function()
  t.equal(load("old"):serial(), openssl("old.pem -noout -serial"):match "=(.*)")
  t.equal(load("server"):serial(), openssl("server.pem -noout -serial"):match "=(.*)")
end)

t.test("digests", function()
  local server = load "server"
  local function digest(name)
    return (openssl("server.pem -noout -fingerprint -" .. name):match("=(.*)"):gsub(":", "")):lower()
  end
  t.equal(server:digest(), digest "sha1")
  for _, name in ipairs { "sha1", "sha256", "sha512" } do t.equal(server:digest(name), digest(name)) end
  t.returns({ n = 2, nil, "digest algorithm not supported (SHA1)" }, server:digest "SHA1")
end)

t.test("keys", function()
  local pem, kind, bits = load("server"):pubkey()
  t.equal(pem, openssl "server.pem -noout -pubkey" .. "\n")
  t.equal(kind, "EC")
  t.equal(bits, 256)
  pem, kind, bits = load("rsa"):pubkey()
  t.equal(pem, openssl "rsa.pem -noout -pubkey" .. "\n")
  t.equal(kind, "RSA")
  t.equal(bits, 2048)
end)

t.test("signatures", function()
  t.equal(load("server"):getsignaturename(), "ecdsa-with-SHA256")
  t.equal(load("sha1"):getsignaturename(), "ecdsa-with-SHA1")
end)

t.test("who issued whom", function()
  local ca, inter = load "ca", load "inter"
  t.returns({ n = 1, true }, ca:issued(load "server"))
  t.returns({ n = 1, true }, ca:issued(load "client"))
  t.returns({ n = 1, true }, ca:issued(load "chained", inter))
  t.returns({ n = 2, nil, "unable to get local issuer certificate" }, ca:issued(load "chained"))
  t.returns({ n = 2, nil, "certificate has expired" }, ca:issued(load "expired"))
  t.returns({ n = 1, true }, ca:issued(load "old"))
  t.returns({ n = 1, true }, ca:issued(load "oldbelow", inter))
  t.returns({ n = 1, true }, ca:issued(inter))
  t.returns({ n = 1, true }, ca:issued(ca))
  t.returns({ n = 2, nil, "unable to get local issuer certificate" }, load("ca2"):issued(inter))
  -- Who is not the last would have to be issued as well.
  t.returns({ n = 2, nil, "unable to get issuer certificate" }, inter:issued(load "chained"))
  t.returns({ n = 2, nil, "unable to get local issuer certificate" }, inter:issued(inter))
  t.raises({ match = "SSL:Certificate expected" }, ca.issued, ca, {})
end)

t.test("how texts are asked for", function()
  local names = load "names"
  for _, how in ipairs { "ai5", "utf8", "ai5 or so", "utf8!" } do t.equal(names:setencode(how), true, how) end
  for _, how in ipairs { "", "a", "ai", "utf", "UTF8", "x" } do t.equal(names:setencode(how), false, how) end
end)

t.done()

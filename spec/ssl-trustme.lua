-- Certificates of trustme, and Python's ssl at the other end: in both roles, both versions, with certificates of clients.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

-- Makes the certificates, tells where, then serves and asks as it is told in lines: `serve VERSION ask|free` (then tells the
-- port), `ask PORT VERSION own|none`. What came of it is one line.
local PEER = [[
import datetime, os, socket, ssl, sys, threading
import trustme
folder = sys.argv[1]
ca, other = trustme.CA(), trustme.CA()
child = ca.create_child_ca()
def write(name, cert):
    cert.private_key_and_cert_chain_pem.write_to_path(os.path.join(folder, name + ".pem"))
past = datetime.datetime(2020, 1, 1)
write("server", ca.issue_cert("localhost", "127.0.0.1", "::1"))
write("rsa", ca.issue_cert("localhost", key_type=trustme.KeyType.RSA))
write("chained", child.issue_cert("localhost"))
write("international", ca.issue_cert("xn--nxasmq6b.test", "*.example.test"))
write("expired", ca.issue_cert("localhost", not_before=past, not_after=past + datetime.timedelta(days=1)))
write("future", ca.issue_cert("localhost", not_before=datetime.datetime(2048, 1, 1), not_after=datetime.datetime(2049, 1, 1)))
write("foreign", other.issue_cert("localhost"))
write("client", ca.issue_cert("someone@example.test"))
ca.cert_pem.write_to_path(os.path.join(folder, "ca.pem"))
print("made", flush=True)
path = lambda name: os.path.join(folder, name + ".pem")
VERSIONS = {"tlsv1_2": ssl.TLSVersion.TLSv1_2, "tlsv1_3": ssl.TLSVersion.TLSv1_3}

def limit(context, version):
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context

def serve(version, name, ask):
    context = limit(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=path("ca")), version)
    context.load_cert_chain(path(name))
    if ask == "ask":
        context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    print(listener.getsockname()[1], flush=True)
    plain = listener.accept()[0]
    plain.settimeout(20)
    try:
        with context.wrap_socket(plain, server_side=True) as conn:
            data = conn.recv(100)
            names = dict(conn.getpeercert() or {}).get("subjectAltName")
            conn.sendall(data[::-1] + (" %s" % (names,)).encode() + b"\n")
            conn.unwrap()
        print("fine", flush=True)
    except (ssl.SSLError, OSError) as error:
        print(type(error).__name__, flush=True)

def ask(port, version, own, name):
    context = limit(ssl.create_default_context(cafile=path("ca")), version)
    if own != "none":
        context.load_cert_chain(path(own))
    try:
        with socket.create_connection(("127.0.0.1", int(port)), 20) as plain:
            with context.wrap_socket(plain, server_hostname=name) as conn:
                conn.sendall(b"hello\n")
                print(conn.version(), conn.recv(100).decode().strip(), flush=True)
    except ssl.SSLCertVerificationError as error:
        print("refused:", error.verify_message, flush=True)
    except (ssl.SSLError, OSError) as error:
        print(type(error).__name__, flush=True)

for line in open(sys.argv[2]):
    words = line.split()
    (serve if words[0] == "serve" else ask)(*words[1:])
]]

local folder, said, told

-- Starts the peer; what is told to it goes through a pipe with a name.
local function start()
  if select(2, t.shell "python3 -c 'import trustme'") ~= 0 then t.skip "python3 has no trustme" end
  folder = t.fresh_folder()
  local pipe = folder .. "/pipe"
  t.shell("mkfifo " .. pipe)
  said = t.start("python3 " .. t.write(t.fresh_path(), PEER) .. " " .. folder .. " " .. pipe)
  t.equal(said:read "*l", "made")
  told = assert(io.open(pipe, "w"))
  told:setvbuf "no"
  t.finally(function() told:close() end)
end

local function tell(...)
  told:write(table.concat({ ... }, " "), "\n")
end

local function pem(name) return folder .. "/" .. name .. ".pem" end

-- As a client of the peer, which has the certificate `name`: its answer, or the error.
local function visit(version, name, params, asks)
  tell("serve", version, name, asks and "ask" or "free")
  local sock = t.connect(socket.tcp, "127.0.0.1", said:read "*l")
  local all = { mode = "client", protocol = "any", cafile = pem "ca" }
  for key, value in pairs(params or {}) do all[key] = value end
  local conn = t.closing(ssl.wrap(sock, all))
  conn:settimeout(20)
  conn:sni(params and params.name or "localhost")
  local line, err = conn:dohandshake()
  if line then
    conn:send "hello"
    line, err = conn:receive()
  end
  conn:close()
  return line or err, said:read "*l"
end

-- As its server: what it says of us, and what our handshake says.
local function host(version, name, own, asked, params)
  local server, port = t.server()
  tell("ask", string.format("%d", port), version, own or "none", asked or "localhost")
  local all = { mode = "server", protocol = "any", key = pem(name), certificate = pem(name), cafile = pem "ca" }
  for key, value in pairs(params or {}) do all[key] = value end
  local conn = t.closing(ssl.wrap(server:accept(), all))
  conn:settimeout(20)
  local ok, err = conn:dohandshake()
  if ok then
    local line = conn:receive()
    if line then conn:send(line .. " " .. tostring(conn:getsniname()) .. "\n") end
  end
  conn:close()
  server:close()
  return said:read "*l", ok or err
end

local REFUSED = "certificate verify failed"

t.fix("both ways, both versions", function()
  start()
  for version, name in pairs { tlsv1_2 = "TLSv1.2", tlsv1_3 = "TLSv1.3" } do
    for _, certificate in ipairs { "server", "rsa", "chained" } do
      t.equal(visit(version, certificate), "olleh None", certificate)
      t.equal(host(version, certificate), name .. " hello localhost", certificate)
    end
    -- Addresses, names that stand for many, names in other scripts.
    for _, row in ipairs { { "server", "127.0.0.1" }, { "server", "::1" }, { "international", "a.example.test" },
      { "international", "xn--nxasmq6b.test" } } do
      t.equal(visit(version, row[1], { name = row[2] }), "olleh None", row[2])
      t.match(host(version, row[1], nil, row[2]), "^" .. name .. " hello ", row[2])
    end
    -- Certificates of clients.
    t.match(visit(version, "server", { key = pem "client", certificate = pem "client" }, true), "^olleh .*someone@example.test")
    t.ok(visit(version, "server", {}, true):find "alert")
    local must = { verify = { "peer", "fail_if_no_peer_cert" } }
    t.match(host(version, "server", "client", "localhost", must), "^" .. name .. " hello")
    t.equal(select(2, host(version, "server", "foreign", "localhost", must)), REFUSED)
    t.equal(select(2, host(version, "server", nil, "localhost", must)), "peer did not return a certificate")
  end
end, 40)

t.fix("what either refuses", function()
  start()
  for name, words in pairs {
    expired = "certificate has expired", future = "certificate is not yet valid", foreign = "unable to get local issuer certificate",
    international = "Hostname mismatch",
  } do
    t.equal(visit("tlsv1_3", name), REFUSED, name)
    t.match(host("tlsv1_3", name), "^refused: " .. words, name)
  end
  t.equal(visit("tlsv1_3", "server", { name = "127.0.0.2" }), REFUSED)
  t.match(host("tlsv1_3", "server", nil, "127.0.0.2"), "^refused: IP address mismatch")
end, 40)

t.done()

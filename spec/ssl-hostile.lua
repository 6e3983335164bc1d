-- TLS peers that know the keys and break the rules: floods behind the handshake, renegotiation, records that must not be.
--
-- The peer is tlslite-ng, a TLS in Python that says what it is told to say.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local folder = t.certificates()

-- It is told in a line before TLS begins what to do: which role is ours, the version, its deed. It shakes hands, does that,
-- then echoes one line, if it is still heard.
local PEER = [[
import socket, sys
from tlslite.api import TLSConnection, X509CertChain, X509, parsePEMKey, HandshakeSettings
from tlslite.constants import AlertDescription, AlertLevel, ContentType
from tlslite.messages import Alert, Message
import threading
chain = X509CertChain()
chain.parsePemList(open(sys.argv[1] + "/rsa.pem").read())
key = parsePEMKey(open(sys.argv[1] + "/rsa.key").read(), private=True)

def serve(plain):
    plain.settimeout(10)
    told = b""
    while not told.endswith(b"\n"):
        told += plain.recv(1)
    role, version, deed = told.decode().strip().split(" ", 2)
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 3) if version == "tlsv1_2" else (3, 4)
    settings.record_size_limit = None
    conn = TLSConnection(plain)
    if role == "server":
        conn.handshakeClientCert(settings=settings)
    else:
        conn.handshakeServer(certChain=chain, privateKey=key, settings=settings)

    def send(message):
        for _ in conn._sendMsg(message, False):
            pass

    def warn(description):
        alert = Alert()
        alert.create(description, AlertLevel.warning)
        return alert

    def record(kind, data=b""):
        return Message(kind, bytearray(data))

    def clear(data):
        conn.sock.flush()
        conn.sock.socket.sendall(data)

    def handshake(kind, data=b""):
        return record(ContentType.handshake, bytes([kind]) + len(data).to_bytes(3, "big") + data)

    def times(n, make):
        for _ in range(n):
            send(make())

    def hello():
        return handshake(1, b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0")

    def keys(n, asked):
        for _ in range(n):
            for _ in conn.send_keyupdate_request(asked):
                pass

    deeds = {
        "nothing": lambda: None,
        "empty": lambda: times(10, lambda: record(ContentType.application_data)),
        "many empty": lambda: times(200, lambda: record(ContentType.application_data)),
        "warnings": lambda: times(1000, lambda: warn(AlertDescription.user_canceled)),
        "fatal": lambda: send(Alert().create(AlertDescription.internal_error, AlertLevel.fatal)),
        "no handshake": lambda: times(100, lambda: record(ContentType.handshake)),
        "no alert": lambda: send(record(ContentType.alert)),
        "half an alert": lambda: send(record(ContentType.alert, b"\1")),
        "unknown": lambda: send(record(99, b"x")),
        "a key": lambda: keys(1, 0),
        "a key asked": lambda: keys(1, 1),
        "keys": lambda: keys(200, 0),
        "keys asked": lambda: keys(200, 1),
        "keys not meant": lambda: times(1000, lambda: handshake(24, b"\1")),
        "hello request": lambda: times(1, lambda: handshake(0)),
        "hello requests": lambda: times(1000, lambda: handshake(0)),
        "client hello": lambda: send(hello()),
        "client hellos": lambda: times(100, hello),
        "server hello": lambda: send(handshake(2, b"\3\3" + bytes(32) + b"\0\x13\1\0")),
        "finished": lambda: send(handshake(20, bytes(32))),
        "certificate request": lambda: send(handshake(13, b"\0\0\0")),
        "tickets": lambda: times(300, lambda: handshake(4, bytes(8) + b"\x08" + bytes(8) + b"\x04\0" + bytes(1024) + b"\0\0")),
        "endless": lambda: times(100, lambda: record(ContentType.handshake, b"\4\xff\xff\xff" + bytes(8000))),
        "garbage": lambda: clear(b"\x17\3\3\0\x20" + bytes(32)),
        "long": lambda: clear(b"\x17\3\3\xff\xff" + bytes(65535)),
        "text": lambda: clear(b"500 sorry\r\n" * 10),
        "behind the end": lambda: (send(warn(AlertDescription.close_notify)), times(20, lambda: record(23, b"more\n"))),
        "cut": lambda: (conn.sock.flush(), plain.shutdown(socket.SHUT_WR)),
    }
    try:
        deeds[deed]()
        conn.sock.flush()
        line = b""
        while not line.endswith(b"\n"):
            line += bytes(conn.read(max=100, min=1)) or b"\n"
        conn.write(line)
        while conn.read(max=100, min=1):
            pass
    except Exception:
        pass

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(9)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
]]

local function peer()
  if select(2, t.shell "python3 -c 'import tlslite'") ~= 0 then t.skip "python3 has no tlslite" end
  return t.start("python3 " .. t.write(t.fresh_path(), PEER) .. " " .. folder):read "*l"
end

-- What comes of it: "fine" if a line can go there and back, or the error of the handshake or of `receive`.
local function outcome(port, role, version, deed)
  local sock = t.connect(socket.tcp, "localhost", port)
  sock:send(role .. " " .. version .. " " .. deed .. "\n")
  local params = role == "client" and { cafile = folder .. "/ca.pem" } or t.identity "server"
  params.mode, params.protocol = role, version
  local conn = t.closing(ssl.wrap(sock, params))
  conn:settimeout(8)
  local start = socket.gettime()
  local line, err = conn:dohandshake()
  if line then
    conn:send "hello\n"
    line, err = conn:receive()
  end
  t.ok(socket.gettime() - start < 8, "in time")
  if err and err ~= "closed" then
    t.returns({ n = 3, nil, "closed", "" }, conn:receive())
    t.returns({ n = 3, nil, "closed", 0 }, conn:send "x")
  end
  t.ok(t.elapsed(conn.close, conn) < 1)
  return line == "hello" and "fine" or err
end

local UNEXPECTED, MAC = "unexpected message", "decryption failed or bad record mac"

-- What the peer does, and what comes of it: for all, or by version, or by version and role. What begins with ^ is a pattern.
local DEEDS = {
  { "nothing", "fine" },
  { "empty", "fine" },
  { "many empty", "too many empty fragments" },
  { "warnings", "too many warn alerts" },
  { "fatal", "tlsv1 alert internal error" },
  { "no handshake", "too many empty fragments" },
  { "no alert", "^received corrupt message" },
  { "half an alert", "^received corrupt message" },
  { "unknown", "wrong version number" },
  { "a key", { tlsv1_3 = "fine" } },
  { "a key asked", { tlsv1_3 = "fine" } },
  { "keys", { tlsv1_3 = "too many key updates" } },
  { "keys asked", { tlsv1_3 = "too many key updates" } },
  { "keys not meant", { tlsv1_2 = UNEXPECTED, tlsv1_3 = MAC } },
  -- Renegotiation is declined once, and then a reason to go.
  { "hello request", { tlsv1_2 = { client = "fine", server = UNEXPECTED }, tlsv1_3 = UNEXPECTED } },
  { "hello requests", { tlsv1_2 = { client = "too many renegotiation requests", server = UNEXPECTED }, tlsv1_3 = UNEXPECTED } },
  { "client hello", { tlsv1_2 = { client = UNEXPECTED, server = "fine" }, tlsv1_3 = UNEXPECTED } },
  { "client hellos", { tlsv1_2 = { client = UNEXPECTED, server = "too many renegotiation requests" }, tlsv1_3 = UNEXPECTED } },
  { "server hello", UNEXPECTED },
  { "finished", UNEXPECTED },
  { "certificate request", { tlsv1_2 = "^received corrupt message", tlsv1_3 = UNEXPECTED } },
  { "tickets", { tlsv1_3 = { client = "fine", server = UNEXPECTED } } },
  { "endless", "excessive message size" },
  { "garbage", MAC },
  { "long", "packet length too long" },
  { "text", "wrong version number" },
  { "behind the end", "closed" },
  { "cut", "unexpected eof while reading" },
}

local function at(expected, key)
  if type(expected) ~= "table" then return expected end
  return expected[key]
end

for _, version in ipairs { "tlsv1_2", "tlsv1_3" } do
  for _, role in ipairs { "client", "server" } do
    t.fix("a " .. role .. " with such peers, " .. version, function()
      local port = peer()
      for _, row in ipairs(DEEDS) do
        local deed, expected = row[1], at(at(row[2], version), role)
        local told = expected and outcome(port, role, version, deed)
        if expected and expected:sub(1, 1) == "^" then
          t.match(told, expected, deed)
        else
          t.equal(told, expected, deed)
        end
      end
    end, 60)
  end
end

t.done()

-- socket.smtp with servers that are not ours: aiosmtpd and exim; and Python's readers of what we write.

local t = require "support"
local ltn12 = require "ltn12"
local mime = require "mime"
local smtp = require "socket.smtp"
local socket = require "socket"

local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
end

local AIOSMTPD = [[
import asyncio, json, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "options": envelope.mail_options,
            "user": session.auth_data and session.auth_data.login.decode(),
            "data": envelope.content.decode("utf-8", "replace")}), flush=True)
        return "250 taken"

def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"joe" and data.password == b"secret"
    return AuthResult(success=good, handled=good, auth_data=data)

class Server(Controller):
    def factory(self):
        return SMTP(self.handler, enable_SMTPUTF8=True, data_size_limit=100000, authenticator=authenticate,
            auth_require_tls=False)

controller = Server(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]))
controller.start()
print("up", flush=True)
asyncio.new_event_loop().run_forever()
]]

local function message(subject)
  return smtp.message {
    headers = { from = "Joe <joe@x.test>", to = "Ann <ann@y.test>", subject = subject },
    body = {
      { headers = { ["content-type"] = 'text/plain; charset="utf-8"' }, body = "first\r\n.\r\n..second\r\n" },
      {
        headers = { ["content-type"] = "application/octet-stream", ["content-transfer-encoding"] = "base64" },
        body = ltn12.source.chain(ltn12.source.string(t.bytes(1000)), ltn12.filter.chain(mime.encode "base64", mime.wrap "base64")),
      },
    },
  }
end

local function send(port, fields)
  local mailt = {
    server = "127.0.0.1", port = port, from = "<joe@x.test>", rcpt = { "<ann@y.test>", "<bob@y.test>" },
    source = message "greetings",
  }
  for name, value in pairs(fields or {}) do mailt[name] = value end
  return smtp.send(mailt)
end

t.test("aiosmtpd", function()
  local _, status = t.shell("python3 -c 'import aiosmtpd'")
  if status ~= 0 then t.skip "python3 has no aiosmtpd" end
  local port = string.format("%d", t.unused_port())
  local output = t.start("python3 " .. t.write(t.fresh_path(), AIOSMTPD) .. " " .. port)
  t.equal(output:read "*l", "up")
  t.equal(send(port), 1)
  local mail = output:read "*l"
  t.match(mail, '"from": "joe@x.test"')
  t.match(mail, '"to": %["ann@y.test", "bob@y.test"%]')
  t.match(mail, 'first\\r\\n%.\\r\\n%.%.second\\r\\n')
  t.match(mail, 'Subject: greetings\\r\\n')
  t.equal(send(port, { user = "joe", password = "secret" }), 1)
  t.match(output:read "*l", '"user": "joe"')
  local ok, err = send(port, { user = "joe", password = "wrong" })
  t.equal(ok, nil)
  t.match(err, "^535")
  ok, err = send(port, { rcpt = { "<ann@y.test>", "<nobody@y.test>" } })
  t.equal(ok, nil)
  t.match(err, "^550")
  if t.reference then return end
  local refused = {}
  t.equal(send(port, { rcpt = { "<ann@y.test>", "<nobody@y.test>" }, refused = refused }), 1)
  t.match(output:read "*l", '"to": %["ann@y.test"%]')
  t.match(refused["<nobody@y.test>"], "^550")
  ok, err = send(port, { size = 200000 })
  t.equal(ok, nil)
  t.equal(err, "message too large for server")
  t.equal(send(port, { rcpt = "<\195\169@y.test>", size = 2000 }), 1)
  t.match(output:read "*l", '"options": %["SIZE=2000", "BODY=8BITMIME", "SMTPUTF8"%]')
end, 15)

-- Python takes our messages apart.
local READER = [[
import email, email.policy, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
print(m["subject"])
print(m.get_content_type(), len(list(m.iter_parts())), m.defects)
parts = list(m.iter_parts())
print(repr(parts[0].get_content()))
print(parts[1].get_content() == bytes(i % 256 for i in range(1000)))
print(m["date"].datetime.year >= 2024)
print(str(m["from"].addresses[0].display_name), m["from"].addresses[0].addr_spec)
]]

t.test("Python reads our messages", function()
  t.needs "python3"
  local path = t.fresh_path()
  t.equal(ltn12.pump.all(message "s", ltn12.sink.file(io.open(path, "wb"))), 1)
  local text = t.shell("python3 " .. t.write(t.fresh_path(), READER) .. " < " .. path)
  t.equal(text, "s\nmultipart/mixed 2 []\n'first\\n.\\n..second\\n'\nTrue\nTrue\nJoe joe@x.test\n")
end)

t.fix("Python reads our encoded headers", function()
  t.needs "python3"
  local subject = string.rep("Gr\195\188\195\159e an alle Leser ", 8) .. "\226\130\172"
  local source = smtp.message {
    headers = { from = '"J\195\182rg \195\133." <joe@x.test>', subject = subject }, body = "x\r\n", encode = true,
  }
  local path = t.fresh_path()
  ltn12.pump.all(source, ltn12.sink.file(io.open(path, "wb")))
  local script = t.write(t.fresh_path(), [[
import email, email.policy, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
sys.stdout.buffer.write((str(m["subject"]) + "\n" + m["from"].addresses[0].display_name + "\n").encode())
]])
  t.equal(t.shell("python3 " .. script .. " < " .. path), subject .. "\nJ\195\182rg \195\133.\n")
end)

-- A real MTA, without a queue runner: what it takes lies in its spool.
local EXIM = [[
primary_hostname = h.test
spool_directory = %s
log_file_path = %s/log-%%s
exim_user = root
exim_group = root
never_users =
local_interfaces = 127.0.0.1
daemon_smtp_ports = %s
pid_file_path = %s/pid
pipelining_advertise_hosts = *
chunking_advertise_hosts =
host_lookup =
rfc1413_hosts =
queue_only = true
acl_smtp_rcpt = check
begin acl
check:
  deny local_parts = nobody
       message = no such user
  accept
begin routers
begin transports
]]

t.test("exim", function()
  t.needs "exim4"
  if not t.shell("id -u"):find "^0\n" then t.skip "exim wants root" end
  local folder, port = t.fresh_folder(), string.format("%d", t.unused_port())
  local config = t.write(folder .. "/conf", EXIM:format(folder, folder, port, folder))
  t.start("exim4 -C " .. config .. " -bdf")
  up(port)
  t.equal(send(port), 1)
  local ok, err = send(port, { rcpt = "<nobody@y.test>" })
  t.equal(ok, nil)
  t.match(err, "^550")
  local spool = t.shell("cat " .. folder .. "/input/*-H " .. folder .. "/input/*-D")
  t.match(spool, "\nann@y.test\n")
  t.match(spool, "\nbob@y.test\n")
  t.match(spool, "Subject: greetings\n")
  t.match(spool, "\nfirst\n%.\n%.%.second\n")
  if t.reference then return end
  local refused = {}
  t.equal(send(port, { rcpt = { "ann@y.test", "nobody@y.test" }, refused = refused, size = 4000 }), 1)
  t.match(refused["nobody@y.test"], "^550")
end, 15)

t.done()

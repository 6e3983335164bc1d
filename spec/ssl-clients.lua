-- Mail and files over TLS, with servers that are not ours: aiosmtpd, pyftpdlib, vsftpd.

local t = require "support"
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local smtp = require "socket.smtp"
local socket = require "socket"

local certificates = t.certificates()
local CONTENT = t.bytes(700001)

local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
end

local function python(module)
  local _, status = t.shell("python3 -c 'import " .. module .. "'")
  if status ~= 0 then t.skip("python3 has no " .. module) end
end

-- Mail ----------------------------------------------------------------------------------------------------------------------

local AIOSMTPD = [[
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(envelope.mail_from, session.ssl is not None, envelope.content.decode().count("\r\n"), flush=True)
        return "250 taken"

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
name = sys.argv[2] + "/" + sys.argv[4]
context.load_cert_chain(name + ".pem", name + ".key")
implicit = sys.argv[3] == "implicit"

class Server(Controller):
    def factory(self):
        if implicit:
            return SMTP(self.handler)
        return SMTP(self.handler, tls_context=context, require_starttls=True)

controller = Server(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]), ssl_context=context if implicit else None)
controller.start()
print("up", flush=True)
asyncio.new_event_loop().run_forever()
]]

local function mail(port, tls, host)
  return smtp.send {
    from = "<joe@x.test>", rcpt = "<ann@y.test>", server = host or "localhost", port = port, tls = tls, domain = "d.test",
    source = smtp.message { headers = { subject = "secret" }, body = string.rep("line\r\n", 5000) },
  }
end

for _, how in ipairs { "starttls", "implicit" } do
  t.fix("aiosmtpd, " .. how, function()
    python "aiosmtpd"
    local script = t.write(t.fresh_path(), AIOSMTPD)
    local function start(name)
      local port = string.format("%d", t.unused_port())
      local output = t.start(table.concat({ "python3", script, port, certificates, how, name }, " "))
      t.equal(output:read "*l", "up")
      return port, output
    end
    local port, output = start "server"
    local function options(more)
      more.implicit = how == "implicit" or nil
      return more
    end
    t.equal(mail(port, options { cafile = certificates .. "/ca.pem" }), 1)
    t.match(output:read "*l", how == "implicit" and "^joe@x.test %a+ %d+$" or "^joe@x.test True %d+$")
    t.equal(mail(port, options { cafile = certificates .. "/ca.pem" }, "127.0.0.1"), 1)
    t.equal(mail(port, options { verify = "none" }), 1)
    t.returns({ n = 2, nil, "certificate verify failed" }, mail(port, options {}))
    t.returns({ n = 2, nil, "certificate verify failed" }, mail(port, options { cafile = certificates .. "/ca2.pem" }))
    -- The name counts, whatever verify says.
    port = start "other"
    local function peer(host)
      return options { cafile = certificates .. "/ca.pem", verify = "peer", verify_host = host }
    end
    t.returns({ n = 2, nil, "certificate verify failed" }, mail(port, peer()))
    t.equal(mail(port, peer(false)), 1)
  end, 20)
end

-- Files ---------------------------------------------------------------------------------------------------------------------

local function get(fields)
  local target = {}
  fields.sink = ltn12.sink.table(target)
  local ok, err = ftp.get(fields)
  return ok and table.concat(target), err
end

local PYFTPDLIB = [[
import logging, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer
logging.basicConfig(level=logging.CRITICAL)
users = DummyAuthorizer()
users.add_user("joe", "secret", sys.argv[2], perm="elradfmwMT")
class Handler(TLS_FTPHandler):
    certfile = sys.argv[3] + "/server.pem"
    keyfile = sys.argv[3] + "/server.key"
    authorizer = users
    tls_control_required = True
    tls_data_required = True
FTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
]]

t.fix("pyftpdlib", function()
  python "pyftpdlib.servers"
  python "OpenSSL"
  local folder, port = t.fresh_folder(), string.format("%d", t.unused_port())
  t.write(folder .. "/small", "hello\n")
  t.write(folder .. "/large", CONTENT)
  t.start("python3 " .. t.write(t.fresh_path(), PYFTPDLIB) .. " " .. port .. " " .. folder .. " " .. certificates)
  up(port)
  local function files(more)
    local all = { host = "127.0.0.1", port = port, user = "joe", password = "secret", type = "i",
      tls = { cafile = certificates .. "/ca.pem" } }
    for name, value in pairs(more) do all[name] = value end
    return all
  end
  t.equal(get(files { path = "/small" }), "hello\n")
  for _, active in ipairs { false, true } do
    local found, err = get(files { path = "/large", active = active })
    t.equal(found and #found, #CONTENT, tostring(err))
    t.ok(found == CONTENT)
  end
  t.equal(ftp.put(files { path = "/new", source = ltn12.source.string(CONTENT) }), #CONTENT)
  t.ok(get(files { path = "/new" }) == CONTENT)
  t.match(select(2, get(files { path = "/small", tls = true })), "^certificate verify failed$")
  t.match(select(2, get(files { path = "/small", tls = false })), "^5")
end, 20)

local VSFTPD = [[
listen=YES
listen_address=127.0.0.1
listen_port=%s
background=NO
anonymous_enable=YES
local_enable=NO
anon_root=%s
write_enable=NO
port_enable=YES
connect_from_port_20=NO
seccomp_sandbox=NO
secure_chroot_dir=%s
xferlog_enable=NO
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
rsa_cert_file=%s/rsa.pem
rsa_private_key_file=%s/rsa.key
]]

-- It demands that data connections resume the session of the control connection.
t.fix("vsftpd", function()
  t.needs "vsftpd"
  if not t.shell("id -u"):find "^0\n" then t.skip "vsftpd wants root" end
  local folder, port = t.fresh_folder(), string.format("%d", t.unused_port())
  t.shell("mkdir " .. folder .. "/root " .. folder .. "/empty")
  t.write(folder .. "/root/small", "hello\n")
  t.write(folder .. "/root/large", CONTENT)
  t.start("vsftpd " .. t.write(folder .. "/conf", VSFTPD:format(port, folder .. "/root", folder .. "/empty", certificates,
    certificates)))
  up(port)
  for _, path in ipairs { "/small", "/large" } do
    local found, err = get { host = "127.0.0.1", port = port, path = path, type = "i", tls = { cafile = certificates .. "/ca.pem" } }
    t.equal(found and #found, path == "/small" and 6 or #CONTENT, tostring(err))
  end
end, 20)

t.done()

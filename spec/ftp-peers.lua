-- socket.ftp with servers that are not ours: vsftpd and pyftpdlib.

local t = require "support"
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local socket = require "socket"

local CONTENT = t.bytes(700001)

local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
end

local function get(fields)
  local target = {}
  fields.sink = ltn12.sink.table(target)
  local ok, err = ftp.get(fields)
  return ok and table.concat(target), err
end

-- The same conversation with each server. `login` is the beginning of its URLs.
local function converse(login, host, port)
  local small, large = login .. "/small", login .. "/large;type=i"
  t.equal(ftp.get(small .. ";type=i"), "hello\n")
  t.ok(ftp.get(large) == CONTENT)
  t.equal(ftp.put(login .. "/new;type=i", CONTENT), #CONTENT)
  t.ok(ftp.get(login .. "/new;type=i") == CONTENT)
  local missing, err = ftp.get(login .. "/missing")
  t.equal(missing, nil)
  t.match(err, "^550")
  if t.reference then return end
  t.match(select(2, ftp.command { url = login, command = "pwd", check = 257 }), '^257 "/')
  t.equal(ftp.command { url = login, command = { "mkd", "cwd", "rmd" }, argument = { "folder", "folder", "../folder" },
    check = { "257", 250, 250 } }, 1)
  t.equal(get { url = login, path = "/small", type = "i", offset = 2 }, "llo\n")
  t.ok(get { url = login, path = "/large", type = "i", active = true } == CONTENT)
  t.equal(ftp.put { url = login, path = "/active", type = "i", active = true, source = ltn12.source.string "abc" }, 3)
  t.equal(ftp.put { url = login, path = "/active", type = "i", command = "appe", source = ltn12.source.string "def" }, 3)
  t.equal(get { url = login, path = "/active", type = "i" }, "abcdef")
  local found = {}
  for _, item in ipairs(ftp.list(login .. "/")) do found[item.name] = item end
  t.ok(found.small and found.large and found.new)
  t.equal(ftp.command { url = login, command = "dele", argument = "new" }, 1)
  socket.protect(function()
    local f = ftp.open(host, port)
    f:greet()
    f:login("joe", "secret")
    f:type "i"
    t.equal(f:size "large", #CONTENT)
    f:quit()
    f:close()
  end)()
end

local PYFTPDLIB = [[
import logging, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
logging.basicConfig(level=logging.CRITICAL)
users = DummyAuthorizer()
users.add_user("joe", "secret", sys.argv[2], perm="elradfmwMT")
FTPHandler.authorizer = users
FTPServer(("127.0.0.1", int(sys.argv[1])), FTPHandler).serve_forever()
]]

t.test("pyftpdlib", function()
  local _, status = t.shell("python3 -c 'import pyftpdlib.servers'")
  if status ~= 0 then t.skip "python3 has no pyftpdlib" end
  local folder, port = t.fresh_folder(), string.format("%d", t.unused_port())
  t.write(folder .. "/small", "hello\n")
  t.write(folder .. "/large", CONTENT)
  t.start("python3 " .. t.write(t.fresh_path(), PYFTPDLIB) .. " " .. port .. " " .. folder)
  up(port)
  converse("ftp://joe:secret@127.0.0.1:" .. port, "127.0.0.1", port)
  local nobody, err = ftp.get("ftp://joe:wrong@127.0.0.1:" .. port .. "/small")
  t.equal(nobody, nil)
  t.match(err, "^530")
end, 15)

local VSFTPD = [[
listen=YES
listen_address=127.0.0.1
listen_port=%s
background=NO
anonymous_enable=YES
local_enable=NO
anon_root=%s
no_anon_password=NO
write_enable=NO
pasv_enable=YES
port_enable=YES
connect_from_port_20=NO
seccomp_sandbox=NO
secure_chroot_dir=%s
xferlog_enable=NO
]]

-- It takes root to run it, and it serves anonymous users only, who may read.
t.test("vsftpd", function()
  t.needs "vsftpd"
  if not t.shell("id -u"):find "^0\n" then t.skip "vsftpd wants root" end
  local folder, port = t.fresh_folder(), string.format("%d", t.unused_port())
  t.shell("mkdir " .. folder .. "/root " .. folder .. "/empty")
  t.write(folder .. "/root/small", "hello\n")
  t.write(folder .. "/root/large", CONTENT)
  t.start("vsftpd " .. t.write(folder .. "/conf", VSFTPD:format(port, folder .. "/root", folder .. "/empty")))
  up(port)
  local base = "ftp://127.0.0.1:" .. port
  t.equal(ftp.get(base .. "/small;type=i"), "hello\n")
  t.ok(ftp.get(base .. "/large;type=i") == CONTENT)
  local missing, err = ftp.get(base .. "/missing")
  t.equal(missing, nil)
  t.match(err, "^550")
  local put, why = ftp.put(base .. "/new", "x")
  t.equal(put, nil)
  t.match(why, "^550")
  if t.reference then return end
  t.ok(get { url = base, path = "/large", type = "i", active = true } == CONTENT)
  t.equal(get { url = base, path = "/small", type = "i", offset = 2 }, "llo\n")
  local names = {}
  for _, item in ipairs(ftp.list(base .. "/")) do names[#names + 1] = item.name end
  table.sort(names)
  t.same(names, { "large", "small" })
end)

t.done()

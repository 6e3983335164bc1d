-- The examples of the manual's pages on the protocol clients, with servers behind the addresses they use. See docs.lua for
-- what is compared.

local t = require "support"
local socket = require "socket"

local load = loadstring or load
local folder = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")

-- The blocks of a page, one chunk each, since they build on each other's servers but not on each other.
local function blocks(page)
  local file = assert(io.open(folder .. "../docs/" .. page .. ".md"))
  local text, list, at = file:read("*a"), {}, 1
  file:close()
  while true do
    local from, to, block = text:find("\n```lua\n(.-)\n```", at)
    if not from then return list end
    local _, line = text:sub(1, from):gsub("\n", "")
    list[#list + 1] = { text = block, line = line + 1 }
    at = to
  end
end

local function run(page, block, ports)
  local text = block.text
  for port, real in pairs(ports) do text = text:gsub("%f[%d]" .. port .. "%f[%D]", (string.format("%d", real))) end
  local printed, wanted = {}, {}
  for line in text:gmatch("%-%-> ?([^\n]*)") do wanted[#wanted + 1] = line end
  local function print(...)
    local words = t.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    printed[#printed + 1] = table.concat(words, "\t")
  end
  local chunk = t.ok(load(("\n"):rep(block.line - 1) .. "local print = ... " .. text, "@" .. page .. ".md"))
  chunk(print)
  for i = 1, math.max(#printed, #wanted) do
    t.equal(printed[i], wanted[i], page .. ".md, the block at line " .. block.line .. ", printed line " .. i)
  end
end

local function page(name, ports)
  local list = blocks(name)
  t.ok(#list > 0)
  for _, block in ipairs(list) do run(name, block, ports) end
end

local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
  return port
end

t.fix("socket.http", function()
  local root, port = t.fresh_folder(), t.unused_port()
  t.write(root .. "/hello.txt", "hello")
  t.start(("%s %s %d %s"):format(t.interpreter(), t.quote(folder .. "../examples/serve.lua"), port, root))
  page("socket.http", { ["8080"] = up(port) })
end, 15)

-- Says yes to everything, one connection after the other.
local MAIL_SERVER = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  while true do
    local client = server:accept()
    client:send("220 hello\r\n")
    for line in function() return client:receive() end do
      if line == "DATA" then
        client:send("354 go\r\n")
        repeat local text = client:receive() until text == "." or not text
        client:send("250 ok\r\n")
      else
        client:send(line == "QUIT" and "221 bye\r\n" or "250 ok\r\n")
      end
    end
    client:close()
  end
]]

t.fix("socket.smtp and socket.tp", function()
  local port = t.spawn(MAIL_SERVER):read()
  page("socket.smtp", { ["2525"] = port })
  page("socket.tp", { ["2525"] = port })
end)

local FTP_SERVER = [[
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

t.fix("socket.ftp", function()
  local _, status = t.shell("python3 -c 'import pyftpdlib.servers'")
  if status ~= 0 then t.skip "python3 has no pyftpdlib" end
  local port = t.unused_port()
  t.start(("python3 %s %d %s"):format(t.write(t.fresh_path(), FTP_SERVER), port, t.fresh_folder()))
  page("socket.ftp", { ["2121"] = up(port) })
end, 15)

t.fix("mbox", function() page("mbox", {}) end)

-- TLS: the folder of certificates by its name in the pages, and a server with them.
local TLS_SERVER = [[
local folder, speak = ...
local socket, ssl = require "socket", require "ssl"
local server = socket.bind("127.0.0.1", 0)
print((select(2, server:getsockname())))
local ctx = ssl.newcontext { mode = "server", protocol = "any", key = folder .. "/server.key",
  certificate = folder .. "/server.pem" }
while true do
  local conn = ssl.wrap(server:accept(), ctx)
  conn:settimeout(5)
  if conn:dohandshake() then
    local line = conn:receive()
    if speak == "http" then
      repeat line = conn:receive() until not line or line == ""
      conn:send "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    elseif line then
      conn:send(line .. "\n")
    end
  end
  conn:close()
end
]]

local function secure(name, speak)
  local certificates = t.certificates()
  local port = t.spawn(TLS_SERVER, certificates, speak):read():gsub("%.0$", "")
  local list = blocks(name)
  for _, block in ipairs(list) do
    block.text = block.text:gsub("cert/", (certificates:gsub("%%", "%%%%")) .. "/")
    run(name, block, { ["8443"] = tonumber(port) })
  end
end

t.fix("ssl", function() secure("ssl", "echo") end, 15)

t.fix("ssl.https", function() secure("ssl.https", "http") end, 15)

t.fix("moving-from-luasec", function() secure("moving-from-luasec", "echo") end, 15)

t.done()

-- ssl against programs that are not ours: openssl, curl, nginx, Python, LuaSec.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local folder = t.certificates()

local function freeport()
  local server = socket.bind("127.0.0.1", 0)
  local _, port = server:getsockname()
  server:close()
  return string.format("%d", port)
end

-- A client of ours, connected to the program at `port`, which may need a while to come up.
local function connect(port, params)
  local sock = t.connect(socket.tcp, "localhost", port)
  local all = { mode = "client", protocol = "any", cafile = folder .. "/ca.pem" }
  for name, value in pairs(params or {}) do all[name] = value end
  local conn = t.closing(assert(ssl.wrap(sock, all)))
  conn:settimeout(5)
  return conn
end

local function openssl(words)
  local port = freeport()
  local input = os.tmpname()
  os.remove(input)
  os.execute("mkfifo " .. input)
  t.finally(function() os.remove(input) end)
  local command = "openssl s_server -accept " .. port .. " -cert " .. folder .. "/server.pem -key " .. folder .. "/server.key "
    .. words .. " <>" .. input
  return port, t.start(command), input
end

local function say(input, text)
  local file = assert(io.open(input, "a"))
  file:write(text)
  file:close()
end

-- openssl s_server ----------------------------------------------------------------------------------------------------

for _, version in ipairs { "1_2", "1_3" } do
  t.fix("openssl s_server -tls" .. version, function()
    t.needs "openssl"
    local port = openssl("-quiet -rev -tls" .. version)
    local conn = connect(port)
    t.equal(conn:dohandshake(), true)
    t.equal(conn:info "protocol", "TLSv" .. version:gsub("_", "."))
    conn:send "hello\n"
    t.equal(conn:receive(), "olleh")
    conn:send(string.rep("x", 15000) .. "\n")
    t.equal(conn:receive(), string.rep("x", 15000))
    conn:close()
    -- The session is taken up again.
    local ctx = ssl.newcontext { mode = "client", protocol = "any", cafile = folder .. "/ca.pem" }
    local seen = {}
    for i = 1, 2 do
      local sock = t.connect(socket.tcp, "localhost", port)
      conn = t.closing(ssl.wrap(sock, ctx))
      conn:settimeout(5)
      t.equal(conn:dohandshake(), true)
      conn:send "a\n"
      t.equal(conn:receive(), "a")
      seen[i] = conn:info "resumed"
      conn:close()
    end
    t.same(seen, { false, true })
  end)

  t.fix("openssl s_server -tls" .. version .. " asks for a certificate", function()
    t.needs "openssl"
    local port = openssl("-quiet -rev -Verify 3 -verify_return_error -CAfile " .. folder .. "/ca.pem -tls" .. version)
    local conn = connect(port, t.identity "client")
    t.equal(conn:dohandshake(), true)
    conn:send "abc\n"
    t.equal(conn:receive(), "cba")
    conn:close()
    conn = connect(port)
    local ok, err = conn:dohandshake()
    if ok then ok, err = conn:receive() end
    t.ok(not ok)
    t.match(err, "alert")
  end)
end

t.fix("openssl s_server: names and protocols", function()
  t.needs "openssl"
  local port = openssl("-quiet -rev -alpn h2,http/1.1 -servername other.test -cert2 " .. folder .. "/other.pem -key2 " .. folder
    .. "/other.key")
  local conn = connect(port, { alpn = { "http/1.1" } })
  t.equal(conn:dohandshake(), true)
  t.equal(conn:getalpn(), "http/1.1")
  conn:close()
  conn = connect(port)
  conn:sni "other.test"
  t.equal(conn:dohandshake(), true)
  t.equal(conn:getpeercertificate():subject()[1].value, "other.test")
end)

t.fix("openssl s_server changes its keys", function()
  t.needs "openssl"
  local port, _, input = openssl "-tls1_3"
  local conn = connect(port)
  t.equal(conn:dohandshake(), true)
  say(input, "K\n")
  socket.sleep(0.2)
  say(input, "said after it\n")
  t.equal(conn:receive(), "said after it")
  t.ok(conn:send "and back\n")
end)

t.fix("openssl s_server would negotiate again", function()
  t.needs "openssl"
  local port, _, input = openssl "-tls1_2"
  local conn = connect(port)
  t.equal(conn:dohandshake(), true)
  say(input, "r\n")
  conn:settimeout(0.5)
  local _, err = conn:receive()
  t.ok(err ~= nil)
  conn:settimeout(5)
end)

-- Our server ----------------------------------------------------------------------------------------------------------

local SERVER = [[
local folder, name, verify, protocol = ...
local socket, ssl = require "socket", require "ssl"
local server = socket.bind("127.0.0.1", 0)
print((select(2, server:getsockname())))
local ctx = assert(ssl.newcontext { mode = "server", protocol = protocol, key = folder .. "/" .. name .. ".key",
  certificate = folder .. "/" .. name .. ".pem", cafile = folder .. "/ca.pem", alpn = { "http/1.1" },
  verify = verify == "yes" and { "peer", "fail_if_no_peer_cert" } or nil })
while true do
  local conn = ssl.wrap(server:accept(), ctx)
  conn:settimeout(5)
  if conn:dohandshake() then
    repeat local line = conn:receive() until not line or line == ""
    local text = conn:info "protocol" .. " " .. tostring(conn:getsniname()) .. " " .. tostring(conn:getpeercertificate() ~= nil)
    conn:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text)
  end
  conn:close()
end
]]

local function serve(verify, protocol)
  local child = t.spawn(SERVER, folder, "chained", verify or "no", protocol or "any")
  return (tostring(child:read()):gsub("%.0$", ""))
end

t.fix("curl", function()
  t.needs "curl"
  local function curl(port, words)
    return t.shell("curl -sS --max-time 5 --cacert " .. folder .. "/ca.pem " .. (words or "") .. " https://localhost:" .. port .. "/")
  end
  t.equal(curl(serve()), "TLSv1.3 localhost false")
  t.equal(curl(serve("no", "tlsv1_2")), "TLSv1.2 localhost false")
  t.match(curl(serve(), "--tls-max 1.2"), "^TLSv1.2 ")
  local port = serve "yes"
  t.equal(curl(port, "--cert " .. folder .. "/client.pem --key " .. folder .. "/client.key"), "TLSv1.3 localhost true")
  t.match(curl(port), "alert")
end)

t.fix("openssl s_client", function()
  t.needs "openssl"
  for _, version in ipairs { "1_2", "1_3" } do
    local text = t.shell("printf 'GET / HTTP/1.0\\n\\n' | timeout 5 openssl s_client -connect localhost:" .. serve() .. " -CAfile "
      .. folder .. "/ca.pem -verify_return_error -verify_hostname localhost -ign_eof -servername localhost -alpn http/1.1 -tls" .. version)
    t.match(text, "Verify return code: 0")
    t.match(text, "TLSv" .. version:gsub("_", ".") .. " localhost false")
    t.match(text, "ALPN protocol: http/1.1")
  end
end)

t.fix("openssl s_client changes its keys", function()
  t.needs "openssl"
  local text = t.shell("(sleep 0.3; echo K; sleep 0.3; printf 'GET / HTTP/1.0\\n\\n'; sleep 0.5) | timeout 5 openssl s_client "
    .. "-connect localhost:" .. serve() .. " -servername localhost -tls1_3")
  t.match(text, "KEYUPDATE")
  t.match(text, "TLSv1.3 localhost false")
end)

t.fix("openssl s_client resumes", function()
  t.needs "openssl"
  for _, version in ipairs { "1_2", "1_3" } do
    local port, session = serve(), t.fresh_path()
    local function visit(how)
      return t.shell("printf 'GET / HTTP/1.0\\n\\n' | timeout 5 openssl s_client -connect localhost:" .. port
        .. " -servername localhost -ign_eof -tls" .. version .. " " .. how .. " " .. session)
    end
    t.match(visit "-sess_out", "New, TLSv1")
    t.match(visit "-sess_in", "Reused, TLSv1")
  end
end)

t.fix("openssl s_client would negotiate again", function()
  t.needs "openssl"
  local port = serve()
  local text = t.shell("(sleep 0.3; echo R; sleep 2) | timeout 5 openssl s_client -connect localhost:" .. port
    .. " -servername localhost -tls1_2")
  t.match(text, "RENEGOTIATING")
  t.match(text, "no renegotiation")
  -- It has done no harm.
  text = t.shell("printf 'GET / HTTP/1.0\\n\\n' | timeout 5 openssl s_client -connect localhost:" .. port
    .. " -servername localhost -ign_eof -tls1_2")
  t.match(text, "TLSv1.2 localhost false")
end)

t.fix("openssl s_server with a key or a digest that is too weak", function()
  t.needs "openssl"
  for _, name in ipairs { "weak", "sha1" } do
    local port = t.unused_port()
    t.start(("openssl s_server -quiet -accept %d -cert %s/%s.pem -key %s/%s.key -cipher DEFAULT@SECLEVEL=0"):format(port, folder,
      name, folder, name))
    local conn = connect(string.format("%d", port))
    t.returns({ n = 2, false, "certificate verify failed" }, conn:dohandshake())
    local ok, why = conn:getpeerverification()
    t.equal(ok, false)
    t.equal(type(why), "string")
  end
end)

t.fix("Python", function()
  t.needs "python3"
  local script = os.tmpname()
  t.finally(function() os.remove(script) end)
  local file = assert(io.open(script, "w"))
  file:write([[
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as conn:
        conn.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while True:
            piece = conn.recv(4096)
            if not piece: break
            data += piece
        print(conn.version(), data.decode().split("\r\n\r\n")[1])
]])
  file:close()
  t.equal(t.shell("python3 " .. script .. " " .. serve() .. " " .. folder .. "/ca.pem"), "TLSv1.3 TLSv1.3 localhost false\n")
end)

-- The first message of the two that end the handshake names the session, in TLS 1.2.
t.test("tls-unique, as Python has it", function()
  t.needs "python3"
  local script = t.write(t.fresh_path(), [[
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.maximum_version = ssl.TLSVersion.TLSv1_2
session = None
for i in range(3):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as plain:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as conn:
            conn.recv(1)
            session = conn.session
            print(conn.session_reused, conn.get_channel_binding("tls-unique").hex(), flush=True)
]])
  local params = t.identity "server"
  params.mode, params.protocol = "server", "any"
  local ctx = assert(ssl.newcontext(params))
  local server = t.closing(socket.bind("127.0.0.1", 0))
  server:settimeout(10)
  local output = t.start(("python3 %s %d %s/ca.pem"):format(script, select(2, server:getsockname()), folder))
  for _ = 1, 3 do
    local conn = t.closing(assert(ssl.wrap(assert(server:accept()), ctx)))
    conn:settimeout(10)
    t.equal(conn:dohandshake(), true)
    conn:send "x"
    local resumed, unique = output:read("*l"):match "^(%a+) (%x+)$"
    local first = resumed == "True" and conn:getfinished() or conn:getpeerfinished()
    t.equal(first:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end), unique, resumed)
    conn:close()
  end
end, 30)

t.fix("nginx", function()
  t.needs "nginx"
  local port = freeport()
  local place = os.tmpname()
  os.remove(place)
  os.execute("mkdir " .. place)
  t.finally(function() os.execute("rm -rf " .. place) end)
  local file = assert(io.open(place .. "/conf", "w"))
  file:write([[
daemon off; master_process off; pid PLACE/pid; error_log PLACE/error;
events {}
http {
  access_log off; client_body_temp_path PLACE/b; proxy_temp_path PLACE/p; fastcgi_temp_path PLACE/f;
  uwsgi_temp_path PLACE/u; scgi_temp_path PLACE/s;
  server {
    listen 127.0.0.1:PORT ssl; server_name localhost;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate FOLDER/chained.pem; ssl_certificate_key FOLDER/chained.key;
    location / { return 200 "$ssl_protocol $ssl_session_reused $ssl_server_name"; }
    location /big { root PLACE; }
  }
}]])
  file:close()
  os.execute("sed -i 's|PLACE|" .. place .. "|g; s|PORT|" .. port .. "|g; s|FOLDER|" .. folder .. "|g' " .. place .. "/conf")
  os.execute("head -c 3000000 /dev/zero > " .. place .. "/big")
  t.start("nginx -c " .. place .. "/conf -e " .. place .. "/error")
  t.connect(socket.tcp, "localhost", port):close()
  local https, ltn12 = require "ssl.https", require "ltn12"
  local function get(path)
    local parts = {}
    local ok, err = https.request { url = "https://localhost:" .. port .. path, cafile = folder .. "/ca.pem",
      sink = ltn12.sink.table(parts), timeout = 5 }
    t.equal(ok, 1, err)
    return table.concat(parts)
  end
  t.equal(get "/", "TLSv1.3 . localhost")
  t.equal(#get "/big", 3000000)
end)

-- LuaSec, at either end -------------------------------------------------------------------------------------------------

local LUASEC = [[
local cpath, path, folder, mode, port, protocol = ...
package.path, package.cpath = path, cpath
local socket, ssl = require "socket", require "ssl"
assert(ssl._VERSION ~= "1.3.2" and socket._VERSION:find "^LuaSocket")
local server, sock
if mode == "server" then
  server = assert(socket.bind("127.0.0.1", 0))
  print((select(2, server:getsockname())))
  sock = assert(server:accept())
else
  sock = assert(socket.connect("127.0.0.1", port))
end
local conn = assert(ssl.wrap(sock, { mode = mode, protocol = protocol, verify = mode == "client" and "peer" or "none",
  cafile = folder .. "/ca.pem", key = folder .. "/rsa.key", certificate = folder .. "/rsa.pem" }))
conn:settimeout(5)
print(conn:dohandshake())
for _ = 1, 3 do
  local line = conn:receive()
  conn:send(line:reverse() .. "\n")
end
print(#(conn:receive "*a"))
]]

local function luasec(mode, port, protocol)
  local probe = "io.write(tostring(pcall(require, 'ssl.core') and require('ssl')._VERSION), '\\n', package.path, '\\n', package.cpath)"
  local text = t.shell("env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 " .. t.interpreter() .. " -e " .. t.quote(probe))
  local version, path, cpath = tostring(text):match "^(%S+)\n(.-)\n(.*)$"
  if not version or not version:find "^[01]%." or version == ssl._VERSION then t.skip "LuaSec is not installed" end
  return t.spawn(LUASEC, cpath, path, folder, mode, port or "0", protocol)
end

for _, protocol in ipairs { "tlsv1_2", "tlsv1_3" } do
  for _, mode in ipairs { "server", "client" } do
    t.fix("LuaSec as " .. mode .. ", " .. protocol, function()
      local conn, child
      if mode == "server" then
        child = luasec(mode, nil, protocol)
        conn = connect((child:read():gsub("%.0$", "")))
      else
        local server = t.closing(socket.bind("127.0.0.1", 0))
        server:settimeout(5)
        child = luasec(mode, string.format("%d", select(2, server:getsockname())), protocol)
        local params = t.identity "chained"
        params.mode, params.protocol = "server", "any"
        conn = t.closing(ssl.wrap(assert(server:accept()), params))
        conn:settimeout(5)
      end
      t.equal(conn:dohandshake(), true)
      t.equal(conn:info "protocol", protocol == "tlsv1_2" and "TLSv1.2" or "TLSv1.3")
      for i = 1, 3 do
        conn:send("line" .. i .. "\n")
        t.equal(conn:receive(), i .. "enil")
      end
      conn:send(string.rep("x", 300000))
      conn:close()
      t.equal(child:read(), "true")
      t.match(child:read(), "^300000")
    end)
  end
end

t.done()

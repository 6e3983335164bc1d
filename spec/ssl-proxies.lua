-- https through proxies that are not ours: tinyproxy, squid; plain to the proxy, or TLS to it and in that once more.

local t = require "support"
local http = require "socket.http"
local https = require "ssl.https"
local ltn12 = require "ltn12"
local socket = require "socket"

local folder = t.certificates()
local CA = folder .. "/ca.pem"

-- An origin that answers with the heads of the requests that it has got, on connections that it keeps.
local ORIGIN = [[
local folder = ...
local socket, ssl = require "socket", require "ssl"
local server = socket.bind("127.0.0.1", 0)
print((select(2, server:getsockname())))
local ctx = ssl.newcontext { mode = "server", protocol = "any", key = folder .. "/server.key",
  certificate = folder .. "/server.pem" }
local number = 0
while true do
  local conn = ssl.wrap(server:accept(), ctx)
  conn:settimeout(5)
  number = number + 1
  if conn:dohandshake() then
    local head = ""
    repeat
      local line = conn:receive()
      head = head .. (line or "") .. "\n"
      if line == "" then
        local text = "connection " .. number .. " for " .. tostring(conn:getsniname()) .. "\n" .. head
        conn:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text)
        head = ""
      end
    until not line
  end
  conn:close()
end
]]

local function origin()
  return "https://localhost:" .. string.format("%d", tonumber(t.spawn(ORIGIN, folder):read())) .. "/"
end

local function get(module, reqt)
  local parts = {}
  reqt.sink, reqt.timeout = ltn12.sink.table(parts), 20
  if reqt.cafile == nil then reqt.cafile = CA end
  local ok, code = module.request(reqt)
  if not ok then return nil, code end
  return table.concat(parts), code
end

local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
end

local TINYPROXY = "Port %d\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nBasicAuth user pass\nLogLevel Critical\n"

t.fix("tinyproxy", function()
  t.needs "tinyproxy"
  local port, url = t.unused_port(), origin()
  t.start("tinyproxy -d -c " .. t.write(t.fresh_path(), TINYPROXY:format(port)))
  up(port)
  local proxy = ("http://user:p%%61ss@127.0.0.1:%d"):format(port)
  for _, module in ipairs { http, https } do
    local text = get(module, { url = url, proxy = proxy })
    t.match(text, "^connection %d+ for localhost\nGET / HTTP/1.1\n")
    -- What the proxy is told stays with it.
    t.ok(not text:lower():find "proxy", text)
    t.returns({ n = 2, nil, "certificate verify failed" }, get(module, { url = url, proxy = proxy, cafile = false }))
    t.returns({ n = 2, nil, "certificate verify failed" }, get(module, { url = url, proxy = proxy, cafile = folder .. "/ca2.pem" }))
    t.returns({ n = 2, nil, "certificate verify failed" }, get(module, { url = url, proxy = proxy, servername = "other.test" }))
    local _, err = get(module, { url = url, proxy = ("http://user:wrong@127.0.0.1:%d"):format(port) })
    t.match(err, "^proxy refuses tunnel: 'HTTP/1.%d 40[17] ")
    _, err = get(module, { url = ("https://127.0.0.1:%d/"):format(t.unused_port()), proxy = proxy })
    t.match(err, "^proxy refuses tunnel: 'HTTP/1.%d 50%d ")
  end
end, 30)

local SQUID = [[
http_port 127.0.0.1:%d
%s
pid_filename none
cache deny all
access_log none
cache_log /dev/null
acl all_ports port 1-65535
http_access allow all
shutdown_lifetime 0 seconds
coredump_dir /tmp
]]

local function squid(more)
  t.needs "squid"
  local port = t.unused_port()
  t.start(("squid -N -n spec%d -f "):format(port) .. t.write(t.fresh_path(), SQUID:format(port, more or "")))
  up(port)
  return port
end

t.fix("squid, and a connection that is kept", function()
  local url, port = origin(), squid()
  local proxy = ("http://127.0.0.1:%d"):format(port)
  local pool = t.closing(http.pool:new())
  local first = get(http, { url = url, proxy = proxy, pool = pool }):match "^connection %d+"
  for _ = 1, 3 do t.equal(get(http, { url = url, proxy = proxy, pool = pool }):match "^connection %d+", first) end
  t.equal(pool:statistics().opened, 1)
  -- The way is part of what a connection is.
  t.ok(get(http, { url = url, pool = pool }):match "^connection %d+" ~= first)
  t.returns({ n = 2, nil, "certificate verify failed" }, get(http, { url = url, proxy = proxy, pool = pool, cafile = false }))
end, 30)

-- A proxy that serves only whom it knows, and answers with their names.
local KNOWING = [[
local folder = ...
local socket, ssl = require "socket", require "ssl"
local server = socket.bind("127.0.0.1", 0)
print((select(2, server:getsockname())))
local ctx = ssl.newcontext { mode = "server", protocol = "any", key = folder .. "/server.key",
  certificate = folder .. "/server.pem", cafile = folder .. "/ca.pem", verify = { "peer", "fail_if_no_peer_cert" } }
while true do
  local conn = ssl.wrap(server:accept(), ctx)
  conn:settimeout(5)
  if conn:dohandshake() then
    local line = conn:receive()
    local text = line .. " by " .. conn:getpeercertificate():subject()[1].value
    while line and line ~= "" do line = conn:receive() end
    conn:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text)
  end
  conn:close()
end
]]

t.fix("whom to trust as a proxy, and who asks it", function()
  local port = string.format("%d", tonumber(t.spawn(KNOWING, folder):read()))
  local known = { cafile = CA, certificate = folder .. "/client.pem", key = folder .. "/client.key" }
  local function ask(how, pool)
    return get(http, { url = "http://any.test/", proxy = "https://user:pass@localhost:" .. port, proxy_ssl = how, pool = pool })
  end
  t.match(ask(known), "^GET http://any.test/ HTTP/1.1 by %S")
  t.equal(ask { cafile = CA }, nil)
  t.returns({ n = 2, nil, "certificate verify failed" }, ask())
  t.returns({ n = 2, nil, "certificate verify failed" }, ask { cafile = folder .. "/ca2.pem" })
  local other = { servername = "other.test" }
  for name, value in pairs(known) do other[name] = value end
  t.returns({ n = 2, nil, "certificate verify failed" }, ask(other))
  t.equal(pcall(ask, CA), false)
  -- A connection is only for those who say the same.
  local pool = t.closing(http.pool:new())
  t.ok(ask(known, pool))
  t.equal(ask(nil, pool), nil)
end, 30)

t.fix("TLS to a proxy of a known authority, and TLS in that", function()
  local url, tls = origin(), t.unused_port()
  squid(("https_port 127.0.0.1:%d tls-cert=%s/rsa.pem tls-key=%s/rsa.key"):format(tls, folder, folder))
  up(tls)
  local proxy = ("https://localhost:%d"):format(tls)
  for _, module in ipairs { http, https } do
    t.match(get(module, { url = url, proxy = proxy, proxy_ssl = { cafile = CA } }), "^connection %d+ for localhost\nGET / HTTP/1.1\n")
    t.returns({ n = 2, nil, "certificate verify failed" }, get(module, { url = url, proxy = proxy }))
  end
end, 30)

-- The proxy must prove its name to the system's authorities. Those of a child are ours to set.
local CLIENT = [[
local url, proxy, ca = ...
local https, ltn12 = require "ssl.https", require "ltn12"
local parts = {}
local ok, code = https.request { url = url, proxy = proxy, cafile = ca, sink = ltn12.sink.table(parts), timeout = 8 }
print(ok, code)
print((table.concat(parts):gsub("\n", "|")))
]]

t.fix("TLS to the proxy, and TLS in that", function()
  local url, tls = origin(), t.unused_port()
  squid(("https_port 127.0.0.1:%d tls-cert=%s/rsa.pem tls-key=%s/rsa.key"):format(tls, folder, folder))
  up(tls)
  local script = t.script(CLIENT)
  local function fetch(environment, host)
    return t.shell(environment .. " " .. t.interpreter() .. " " .. script .. " " .. url .. " https://" .. host .. ":"
      .. string.format("%d", tls) .. " " .. CA)
  end
  local known = "env SSL_CERT_FILE=" .. CA
  t.match(fetch(known, "localhost"), "^1\t200\nconnection %d+ for localhost|GET / HTTP/1.1|")
  t.match(fetch(known, "127.0.0.1"), "^1\t200\n")
  t.match(fetch("env SSL_CERT_FILE=" .. folder .. "/ca2.pem", "localhost"), "^nil\tcertificate verify failed\n")
end, 30)

t.done()

-- ssl.https, and https in socket.http.

local t = require "support"
local socket = require "socket"
local http = require "socket.http"
local https = require "ssl.https"
local ltn12 = require "ltn12"
local ssl = require "ssl"

local folder = t.certificates()
local CA = folder .. "/ca.pem"

-- A server in another process: answers each connection of a certificate `name` with what `script` makes of it.
local SERVER = [[
local folder, name, how = ...
local socket, ssl = require "socket", require "ssl"
local server = socket.bind("127.0.0.1", 0)
print((select(2, server:getsockname())))
local ctx = ssl.newcontext { mode = "server", protocol = "any", key = folder .. "/" .. name .. ".key",
  certificate = folder .. "/" .. name .. ".pem" }
while true do
  local conn = ssl.wrap(server:accept(), ctx)
  conn:settimeout(5)
  if conn:dohandshake() then
    while true do
      local line = conn:receive()
      if not line then break end
      local length = 0
      repeat
        local field = conn:receive()
        length = field and tonumber(field:lower():match "^content%-length: (%d+)") or length
      until not field or field == ""
      local body = conn:receive(length)
      if line:find " /moved" then
        conn:send "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
      elseif line:find " /away" then
        conn:send "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
      elseif line:find " /slow" then
        socket.sleep(3)
      elseif line:find " /cut" then
        conn:send "HTTP/1.1 200 OK\r\n\r\npart"
        local husk = socket.tcp()
        husk:setfd(conn:getfd())
        husk:close()
        break
      elseif line:find " /end" then
        conn:send "HTTP/1.1 200 OK\r\n\r\nwhole"
        break
      else
        local text = line .. "|" .. tostring(conn:getsniname()) .. "|" .. tostring(conn:info "resumed") .. "|" .. body
        conn:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text)
      end
    end
  end
  conn:close()
end
]]

local function serve(name)
  local child = t.spawn(SERVER, folder, name or "server")
  return tonumber(child:read())
end

local function fetch(module, reqt)
  local parts = {}
  reqt.sink = ltn12.sink.table(parts)
  if reqt.cafile == nil then reqt.cafile = CA end
  local ok, code, headers, line = module.request(reqt)
  if not ok then return nil, code end
  return table.concat(parts), code, headers, line
end

t.fix("the module", function()
  t.equal(https.PORT, 443)
  t.equal(https.TIMEOUT, 60)
  t.match(https._VERSION, "^1%.%d+%.%d+$")
  t.equal(type(https.tcp), "function")
end)

for title, module in pairs { ["socket.http"] = http, ["ssl.https"] = https } do
  t.fix("verified by default, " .. title, function()
    local port = serve()
    local url = "https://localhost:" .. port .. "/x"
    local text, code, _, line = fetch(module, { url = url })
    t.match(text, "^GET /x HTTP/1.1|localhost|")
    t.equal(code, 200)
    t.equal(line, "HTTP/1.1 200 OK")
    t.returns({ n = 2, nil, "certificate verify failed" }, fetch(module, { url = url, cafile = false }))
    t.returns({ n = 2, nil, "certificate verify failed" }, fetch(module, { url = url, cafile = folder .. "/ca2.pem" }))
    for _, verify in ipairs { "none", { "none" }, {} } do
      t.equal(select(2, fetch(module, { url = url, cafile = false, verify = verify })), 200)
    end
    t.returns({ n = 2, nil, "invalid verify option (x)" }, fetch(module, { url = url, verify = "x" }))
    t.equal(select(2, fetch(module, { url = "https://127.0.0.1:" .. port .. "/" })), 200)
  end)

  t.fix("the name counts, whatever verify says, " .. title, function()
    local url = "https://localhost:" .. serve "other" .. "/"
    for _, verify in ipairs { "default", "peer", { "peer" }, { "none", "peer" }, "fail_if_no_peer_cert" } do
      local given = verify ~= "default" and verify or nil
      t.returns({ n = 2, nil, "certificate verify failed" }, fetch(module, { url = url, verify = given }))
    end
    t.equal(select(2, fetch(module, { url = url, verify = "peer", verify_host = false })), 200)
    t.match(fetch(module, { url = url, servername = "other.test" }), "|other.test|")
  end)

  t.fix("redirections, " .. title, function()
    local base = "https://localhost:" .. serve()
    t.match(fetch(module, { url = base .. "/moved" }), "^GET /there ")
    t.equal(select(2, fetch(module, { url = base .. "/away" })), 302)
    t.equal(select(2, fetch(module, { url = base .. "/moved", redirect = false })), 302)
  end)

  t.fix("ends, " .. title, function()
    local base = "https://localhost:" .. serve()
    t.equal(fetch(module, { url = base .. "/end" }), "whole")
    t.returns({ n = 2, nil, "unexpected eof while reading" }, fetch(module, { url = base .. "/cut" }))
  end)

  t.fix("a time limit, " .. title, function()
    local base = "https://localhost:" .. serve()
    local start = socket.gettime()
    t.returns({ n = 2, nil, "timeout" }, fetch(module, { url = base .. "/slow", timeout = 0.3 }))
    t.between(socket.gettime() - start, 0.2, 1.5)
  end)
end

t.fix("sessions are resumed, connections are kept", function()
  local port = serve()
  local url = "https://localhost:" .. port .. "/"
  t.match(fetch(https, { url = url, cafile = CA, depth = 5 }), "|false|")
  t.match(fetch(https, { url = url, cafile = CA, depth = 5 }), "|true|")
  local pool = t.closing(http.pool:new())
  for _ = 1, 2 do t.match(fetch(http, { url = url, pool = pool, depth = 6 }), "|false|") end
  t.returns({ n = 2, nil, "certificate verify failed" }, fetch(http, { url = url, pool = pool, cafile = false }))
end)

t.fix("the simple form, and posting", function()
  local port = serve()
  t.finally(function() ssl.default_verify = "peer" end)
  t.returns({ n = 2, nil, "certificate verify failed" }, https.request("https://localhost:" .. port .. "/"))
  ssl.default_verify = "none"
  local text, code = https.request("http://localhost:" .. port .. "/y", "a=1")
  t.equal(code, 200)
  t.match(text, "^POST /y HTTP/1.1|localhost|%a+|a=1$")
end)

t.fix("what is refused", function()
  t.returns({ n = 2, nil, "create function not permitted" }, https.request { url = "https://h.test/", create = socket.tcp })
  t.equal(pcall(https.request), false)
  t.returns({ n = 2, nil, "invalid url" }, https.request {})
  t.match(select(2, https.request { url = "https://127.0.0.1:1/", timeout = 2 }), "refused")
  local server = t.closing(socket.bind("127.0.0.1", 0))
  local url = "https://127.0.0.1:" .. string.format("%d", select(2, server:getsockname())) .. "/"
  t.returns({ n = 2, nil, "timeout" }, https.request { url = url, timeout = 0.2 })
  t.match(select(2, https.request { url = url, protocol = "x", timeout = 2 }), "^invalid protocol %(x%)")
end)

t.fix("the caller's table stays as it is", function()
  local reqt = { url = "https://localhost:" .. serve() .. "/", cafile = CA }
  t.equal(https.request(reqt), 1)
  t.same(reqt, { url = reqt.url, cafile = CA })
  t.equal(https.request(reqt), 1)
end)

t.fix("a connection by hand", function()
  local c = https.tcp { cafile = CA } ()
  t.finally(function() c:close() end)
  c:settimeout(5)
  t.equal(c:connect("localhost", serve()), 1)
  t.equal(c:send "GET /z HTTP/1.0\r\n\r\n", 19)
  t.equal(c:receive(), "HTTP/1.1 200 OK")
  t.equal(c:info "verify", "peer+name")
  -- A request does not wait until the end of the handshake is acknowledged.
  t.equal(c:getoption "tcp-nodelay", true)
  t.equal(c:getfd(), c.sock:getfd())
end)

t.done()

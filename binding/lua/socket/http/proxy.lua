--- Which proxy a request goes through, and the tunnel through it for https.
--
-- Private to `socket.http`.

local deadline = require "socket.http.deadline"
local message = require "socket.http.message"
local mime = require "mime"
local url = require "socket.url"

local os, pairs, setmetatable, string, tonumber, type = os, pairs, setmetatable, string, tonumber, type

local M = {}

local PORT = 3128

-- Environment variables are read at each request. Their names are known in both cases, but for HTTP_PROXY where a server
-- runs us: there it is a header that the client has sent.
local function env(name)
  local value = os.getenv(name)
  if (value == nil or value == "") and not (name == "http_proxy" and os.getenv("REQUEST_METHOD")) then
    value = os.getenv(string.upper(name))
  end
  if value ~= "" then return value end
end

local function fromenv(scheme)
  return env(scheme .. "_proxy") or env("all_proxy")
end

local function address(text)
  local a, b, c, d = string.match(text, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if a then return ((a * 256 + b) * 256 + c) * 256 + d end
end

local function innetwork(host, entry)
  local base, bits = string.match(entry, "^([%d.]+)/(%d+)$")
  local network, number = base and address(base), address(host)
  if not network or not number or tonumber(bits) > 32 then return false end
  local size = 2 ^ (32 - bits)
  return network - network % size == number - number % size
end

local function covers(entry, host, port)
  if entry == "*" then return true end
  local name, only = string.match(entry, "^%[?([^%[%]]*)%]?:(%d+)$")
  if name and string.find(name, ":", 1, true) and string.sub(entry, 1, 1) ~= "[" then name = nil end
  if name then
    if tonumber(only) ~= tonumber(port) then return false end
    entry = name
  end
  entry = string.gsub(string.gsub(string.gsub(entry, "^%[(.*)%]$", "%1"), "^%*", ""), "^%.", "")
  if entry == "" then return false end
  return host == entry or string.sub(host, -#entry - 1) == "." .. entry or innetwork(host, entry)
end

-- Is the host exempted by `list`: names (with all names below them), addresses, IPv4 networks, `*`; a port may follow.
function M.exempt(list, host, port)
  host = string.lower(host)
  for entry in string.gmatch(string.lower(list or ""), "[^,%s]+") do
    if covers(entry, host, port) then return true end
  end
  return false
end

local function parse(text)
  if not string.find(text, "://", 1, true) then text = "http://" .. text end
  local parts = url.parse(text)
  if not parts or not parts.host then return nil, "invalid proxy" end
  parts.scheme = string.lower(parts.scheme)
  parts.user = parts.user and url.unescape(parts.user)
  parts.password = parts.user and url.unescape(parts.password or "")
  if parts.port == nil or parts.port == "" then parts.port = PORT end
  return parts
end

-- The parts of the proxy's URL; nil for none; nil and a message. `choice` is a URL, "env" or nothing.
function M.choose(choice, noproxy, scheme, host, port)
  if not choice or choice == "" then return nil end
  if choice == "env" then
    choice, noproxy = fromenv(scheme), noproxy or env("no_proxy")
    if not choice then return nil end
  end
  if type(choice) ~= "string" then return nil, "invalid proxy" end
  if M.exempt(noproxy, host, port) then return nil end
  return parse(choice)
end

function M.authorization(proxy)
  if proxy.user then return "Basic " .. (mime.b64(proxy.user .. ":" .. proxy.password)) end
end

-- A tunnel stands in for the TCP socket below TLS: its `connect` goes to the proxy and asks for the way on. What speaks
-- TLS above it asks it for `getfd` and `setfd`, as `ssl.wrap` does, or takes `transport()`, the connected object itself.

local Tunnel = { __name = "http.tunnel" }
local methods = {}
Tunnel.__index = methods

function methods:connect(host, port)
  local sock = self.instant and deadline.timed(self.sock, self.instant) or self.sock
  local ok, err = sock:connect(self.proxy.host, self.proxy.port)
  if not ok then return nil, err end
  local target = (string.find(host, ":", 1, true) and "[" .. host .. "]" or host) .. ":" .. port
  local line, block
  line, err = message.requestline("CONNECT", target)
  if not line then return nil, err end
  block, err = message.block({
    host = target, ["user-agent"] = self.useragent, ["proxy-authorization"] = M.authorization(self.proxy),
  })
  if not block then return nil, err end
  ok, err = sock:send(line .. block)
  if not ok then return nil, err end
  return self:receive(sock)
end

function methods:receive(sock)
  local line, headers, err
  repeat
    line, err = message.line(sock, message.LINE)
    if not line then return nil, err end
    local code = message.status(line)
    if not code then return nil, "invalid status line from proxy: " .. message.excerpt(line) end
    headers, err = message.receiveheaders(sock)
    if not headers then return nil, err end
    if code >= 200 and code < 300 then return 1 end
  until code >= 200
  return nil, "proxy refuses tunnel: " .. message.excerpt(line)
end

function methods:transport()
  return self.sock
end

for _, name in pairs { "settimeout", "getfd", "setfd", "dirty", "close", "getpeername", "getsockname", "setoption" } do
  methods[name] = function(self, ...) return self.sock[name](self.sock, ...) end
end

-- `create` with a tunnel below. What it makes must hold its TCP socket in the field `sock`, as `ssl.https.tcp` does.
function M.through(create, r)
  return function()
    local conn, err = create()
    if not conn then return nil, err end
    if type(conn) ~= "table" or not conn.sock then
      conn:close()
      return nil, "no tunnel through a proxy for this kind of connection"
    end
    local sock = conn.sock
    if r.proxycreate then
      sock:close()
      sock, err = r.proxycreate()
      if not sock then return nil, err end
    end
    conn.sock = setmetatable({ sock = sock, proxy = r.proxy, useragent = r.useragent, instant = r.instant }, Tunnel)
    return conn
  end
end

return M

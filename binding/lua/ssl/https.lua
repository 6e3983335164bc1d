--- `ssl.https`: HTTP over TLS. `socket.http` does the same for https URLs, with what is here.

local http = require "socket.http"
local socket = require "socket"
local ssl = require "ssl"
local url = require "socket.url"

local error, ipairs, pairs, rawget, rawset, setmetatable = error, ipairs, pairs, rawget, rawset, setmetatable
local tostring, type = tostring, type
local table = table

local DEFAULT = 60

local M = {
  _VERSION = ssl._VERSION,
  _COPYRIGHT = ssl._COPYRIGHT,
  PORT = 443,
  TIMEOUT = DEFAULT,
}

-- Contexts are kept, so that sessions can be resumed and authorities are read once. Those that depend on files are made
-- anew after a while.
local KEPT, SECONDS = 32, 30
local contexts, count = {}, 0

-- `verify` is not here: what it comes to is.
local PARAMETERS = {
  "protocol", "options", "cafile", "capath", "key", "certificate", "certificates", "password", "ciphers", "ciphersuites",
  "curve", "curveslist", "alpn", "depth", "verifyext", "keylog",
}

-- A text for a value, or nil if it cannot be told from others by one.
local function text(value)
  local kind = type(value)
  if kind == "string" then return #value .. ":" .. value end
  if kind ~= "table" then return kind ~= "function" and kind ~= "userdata" and tostring(value) or nil end
  local items = {}
  for name, item in pairs(value) do
    local one = text(item)
    if not one then return nil end
    items[#items + 1] = tostring(name) .. "=" .. one
  end
  table.sort(items)
  return "{" .. table.concat(items, ",") .. "}"
end

-- Beside other flags "none" says nothing.
local function none(verify)
  if type(verify) ~= "table" then return verify == "none" end
  for _, flag in ipairs(verify) do
    if flag ~= "none" then return false end
  end
  return true
end

-- A certificate that is asked for must bear the host's name, unless the caller says otherwise.
local function parameters(given)
  local params = { mode = "client", protocol = "any" }
  for _, name in pairs(PARAMETERS) do
    if given[name] ~= nil then params[name] = given[name] end
  end
  local verify = given.verify
  if verify == nil and ssl.default_verify == "none" or verify ~= nil and none(verify) then
    params.verify = "none"
  else
    params.verify = verify == nil and "peer" or verify
    params.verify_host = given.verify_host ~= false
  end
  return params
end

local function keep(key, ctx, params)
  if count >= KEPT then contexts, count = {}, 0 end
  local files = params.cafile or params.capath or params.key or params.certificate or params.certificates
  contexts[key] = { ctx = ctx, expires = files and socket.gettime() + SECONDS }
  count = count + 1
end

local function context(given)
  local params = parameters(given)
  local key = text(params)
  local known = key and contexts[key]
  if known and (not known.expires or known.expires > socket.gettime()) then return known.ctx end
  local ctx, err = ssl.newcontext(params)
  if not ctx then return nil, err end
  if key then keep(key, ctx, params) end
  return ctx
end

-- A connection: `sock` is a TCP object, and once connected that of TLS.
local Connection = { __name = "https.connection" }
local methods = {}

-- What is not here is a method of the object within.
function Connection.__index(self, name)
  local method = methods[name]
  if method ~= nil then return method end
  local sock = rawget(self, "sock")
  local inner = sock and sock[name]
  if type(inner) ~= "function" then return inner end
  local function forward(_, ...)
    local within = self.sock
    return within[name](within, ...)
  end
  rawset(self, name, forward)
  return forward
end

-- One clock for all: this module's, if the program has set it, else what the caller says.
local function timeout(seconds)
  if M.TIMEOUT ~= DEFAULT then return M.TIMEOUT end
  return seconds
end

function methods:settimeout(seconds, mode)
  if mode == nil then
    seconds = timeout(seconds)
    self.seconds = seconds
  end
  return self.sock:settimeout(seconds, mode)
end

function methods:connect(host, port)
  local try = socket.newtry(function() self.sock:close() end)
  self.sock:settimeout(self.seconds)
  try(self.sock:connect(host, port))
  local ctx = try(context(self.params))
  local conn = try(ssl.wrap(self.sock, ctx))
  self.sock = conn
  ssl.plaintimeouts(conn)
  -- The request follows the last words of the handshake, and would wait until these are acknowledged.
  conn:setoption("tcp-nodelay", true)
  conn:sni(self.params.servername or host)
  conn:settimeout(self.seconds)
  try(conn:dohandshake())
  return 1
end

-- What TLS above this one runs over: a tunnel through a proxy that is spoken to over TLS.
function methods:transport()
  return self.sock
end

--- A constructor of connections, as `create` of `socket.http`.
function M.tcp(params)
  params = params or {}
  return function()
    local sock, err = socket.tcp()
    if not sock then return nil, err end
    return setmetatable({ sock = sock, params = params, seconds = M.TIMEOUT }, Connection)
  end
end

-- The request as one for `socket.http`. The scheme that a URL names does not matter: it is fetched over TLS.
local function secure(reqt)
  local copy = {}
  for name, value in pairs(reqt) do copy[name] = value end
  if copy.url ~= nil then
    local parts = url.parse(copy.url, { port = M.PORT, scheme = "https" })
    if parts then
      if parts.port == "80" and parts.scheme == "http" then parts.port = M.PORT end
      parts.scheme = "https"
      parts.authority = nil
      copy.url = url.build(parts)
    end
  else
    copy.scheme = "https"
  end
  return copy
end

local function refused(reqt)
  if reqt.create ~= nil then return "create function not permitted" end
end

--- As `socket.http.request`. A table may also have the parameters of a context.
function M.request(reqt, body)
  local kind = type(reqt)
  if kind == "string" then
    local parts = secure { url = reqt }
    return http.request(parts.url, body)
  end
  if kind ~= "table" then
    error("bad argument #1 to 'request' (string or table expected, got " .. kind .. ")", 2)
  end
  local why = refused(reqt)
  if why then return nil, why end
  return http.request(secure(reqt))
end

return M

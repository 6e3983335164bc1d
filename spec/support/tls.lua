-- TLS connections between two ends in this process.
--
--     wrapped(client, server)    both ends of a new connection, wrapped with these parameters (`mode` and `protocol` are
--                                filled in), at timeout 0
--     shake(a, b)                both handshakes, by turns; what each returned last, as { first, second }
--     secured(client, server)    wrapped and shaken, which must succeed, with a timeout of 5 seconds
--     identity(name)             `certificate` and `key` of that name, in a table

local assert, pairs, require, type = assert, pairs, require, type

local support = ...
local M = {}

local function complete(params, mode)
  if type(params) ~= "table" then return params end
  local copy = { mode = mode, protocol = "any" }
  for name, value in pairs(params) do copy[name] = value end
  return copy
end

function M.identity(name)
  local folder = support.certificates()
  return { certificate = folder .. "/" .. name .. ".pem", key = folder .. "/" .. name .. ".key" }
end

function M.wrapped(client, server)
  local ssl = require "ssl"
  local a, b = support.pair()
  a = support.closing(assert(ssl.wrap(a, complete(client, "client"))))
  b = support.closing(assert(ssl.wrap(b, complete(server, "server"))))
  a:settimeout(0)
  b:settimeout(0)
  return a, b
end

local function waits(result)
  return result[2] == "wantread" or result[2] == "wantwrite"
end

function M.shake(a, b)
  local socket = require "socket"
  local first, second = { false, "wantread" }, { false, "wantread" }
  local deadline = socket.gettime() + 5
  while (waits(first) or waits(second)) and socket.gettime() < deadline do
    if waits(first) then first = { a:dohandshake() } end
    if waits(second) then second = { b:dohandshake() } end
  end
  return first, second
end

function M.secured(client, server)
  local a, b = M.wrapped(client, server)
  local first, second = M.shake(a, b)
  support.same({ first, second }, { { true }, { true } })
  a:settimeout(5)
  b:settimeout(5)
  return a, b
end

return M

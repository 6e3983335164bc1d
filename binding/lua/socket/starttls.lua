--- TLS put upon a connection that has spoken in clear: STARTTLS of SMTP, AUTH TLS of FTP.
--
-- Private to the protocol modules.

local require, pcall = require, pcall
local pairs, tostring, type = pairs, tostring, type
local string = string

local M = {}

local function parameters(options)
  local params = { mode = "client", protocol = "any" }
  if type(options) == "table" then
    for name, value in pairs(options) do params[name] = value end
  end
  return params
end

local function module()
  local found, ssl = pcall(require, "ssl")
  if found then return ssl end
  return nil, "TLS needs the module 'ssl': " .. string.match(tostring(ssl), "[^\n]*")
end

-- Where nothing is said about `verify`, the certificate counts, whatever the program's default; and wherever it counts, the
-- name does.
local function complete(options)
  local params = parameters(options)
  if params.verify == nil then params.verify = "peer" end
  params.verify_host = params.verify_host ~= false
  return params
end

-- Options that stand for one context, so that further connections resume the session of the first: servers of FTP demand
-- it, as the proof that it is the same client. Or nil and a message.
function M.shared(options)
  if type(options) == "function" or not options then return options end
  local ssl, err = module()
  if not ssl then return nil, err end
  if not ssl.newcontext then return options end
  local ctx
  ctx, err = ssl.newcontext(complete(options))
  if not ctx then return nil, err end
  return { context = ctx }
end

local function handshake(ssl, sock, host, options, timeout)
  local shared = type(options) == "table" and options.context
  local conn, err = ssl.wrap(sock, shared or complete(options))
  if not conn then return nil, err end
  conn:sni(host)
  if ssl.plaintimeouts then ssl.plaintimeouts(conn) end
  conn:settimeout(timeout)
  local ok
  ok, err = conn:dohandshake()
  if ok then return conn end
  conn:close()
  return nil, err
end

-- The connection to use from now on, or nil and a message. `options` is true, a table of parameters for `ssl.wrap`, or a
-- function that does it all: options(sock, host, timeout). What has arrived already was not protected, and somebody on
-- the way may have put it there: then there is no going on.
function M.upgrade(sock, host, options, timeout)
  if sock.dirty and sock:dirty() then return nil, "unexpected data before TLS" end
  if type(options) == "function" then return options(sock, host, timeout) end
  local ssl, err = module()
  if not ssl then return nil, err end
  return handshake(ssl, sock, host, options, timeout)
end

local function native(conn)
  local found, all = pcall(require, "ssl.native")
  return found and all.connection.is(conn) and all.connection or nil
end

-- Tells the peer that all was sent, while the connection stays open: what the peer sends of its own accord meanwhile, and
-- nobody reads, would make a close look like a failure, and cost the end of what was sent.
function M.finish(conn)
  local tls = native(conn)
  if tls then tls.finish(conn) end
end

-- Closing it will not look like a good end.
function M.abandon(conn)
  local tls = native(conn)
  if tls then tls.abandon(conn) end
end

return M

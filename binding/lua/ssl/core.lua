--- `ssl.core`: connections, step by step; and the methods of connections that call functions of the program.

local context = require "ssl.context"
local native = require "ssl.native"

local connection = native.connection
local error, pairs, setmetatable, type = error, pairs, setmetatable, type
local ipairs, tostring = ipairs, tostring
local string, table = string, table

local M = { SOCKET_INVALID = -1, setmethod = connection.setmethod, setfd = connection.setfd }

-- Of servers whose handshake is not over: { context, map of names, strict }.
local waiting = setmetatable({}, { __mode = "k" })

function M.create(ctx)
  if not native.context.is(ctx) then error("bad argument #1 to 'create' (invalid context)", 2) end
  local conn, err = connection.create(ctx)
  if not conn then return nil, err end
  if native.context.mode(ctx) == "server" then
    waiting[conn] = { context = ctx }
    if context.chooser(ctx) then connection.ask(conn) end
  end
  return conn
end

-- As OpenSSL describes a cipher.
local DESCRIPTION = "%-30s %-7s Kx=%-8s Au=%-5s Enc=%-22s Mac=%-4s\n"

--- A description of the connection's cipher, its bits and its version, or nothing.
function M.info(conn)
  local info = connection.info(conn)
  if not info then return end
  local text = string.format(DESCRIPTION, info.cipher, info.protocol, info.key, info.authentication, info.encryption, info.mac)
  return text, info.bits, info.algbits, info.protocol
end

function M.compression(conn)
  if connection.info(conn) then return nil end
  return nil, "closed"
end

function M.copyright()
  return "luasocket-rs; TLS by rustls"
end

--- Private: names, each behind a byte with its length; or nil and the reason.
function M.wire(names)
  if #names == 0 then return nil, "invalid ALPN list (empty)" end
  local parts = {}
  for i, name in ipairs(names) do
    if type(name) ~= "string" then return nil end
    if #name == 0 then return nil, "invalid ALPN name (empty string)" end
    if #name > 255 then return nil, "invalid ALPN name (length > 255)" end
    parts[i] = string.char(#name) .. name
  end
  return table.concat(parts)
end

-- The answer of a program's function, of which nothing is an error.
local function chosen(answer)
  if type(answer) == "string" then answer = { answer } end
  return type(answer) == "table" and M.wire(answer) or ""
end

-- The client has spoken first: with which context, and which protocol, do we go on?
local function answer(conn)
  local state = waiting[conn]
  local name, offered = connection.hello(conn)
  local ctx = state.context
  if state.map and name then
    local other = state.map[name]
    if native.context.is(other) then
      ctx = other
    elseif state.strict then
      return connection.refuse(conn)
    end
  end
  local choose, wire = context.chooser(ctx), nil
  if choose and #offered > 0 then wire = chosen(choose(offered)) end
  connection.answer(conn, ctx ~= state.context and ctx, wire)
end

-- Methods know their object, and say so as those of the other methods do.
local function check(conn)
  if not connection.is(conn) then error("bad argument #1 to '?' (SSL:Connection expected, got " .. type(conn) .. ")", 3) end
end

local function dohandshake(conn)
  check(conn)
  local done, err = connection.handshake(conn)
  while done == nil do
    answer(conn)
    done, err = connection.handshake(conn)
  end
  if not done then return false, err end
  waiting[conn] = nil
  return true
end

local function bad(name, expected, value, level)
  error("bad argument #1 to '" .. name .. "' (" .. expected .. " expected, got " .. type(value) .. ")", level + 1)
end

local function setmap(conn, map, strict)
  if type(map) ~= "table" then bad("sni", "table", map, 3) end
  for name, ctx in pairs(map) do
    if type(name) ~= "string" or not native.context.is(ctx) then
      error("bad argument #1 to 'sni' (invalid entry '" .. tostring(name) .. "')", 3)
    end
  end
  local state = waiting[conn]
  if state then
    state.map, state.strict = map, strict and true or false
    connection.ask(conn)
  end
end

local function sni(conn, name, strict)
  check(conn)
  local client = connection.isclient(conn)
  if client == nil then return end
  if not client then return setmap(conn, name, strict) end
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" then bad("sni", "string", name, 2) end
  connection.setname(conn, #name > 0 and #name <= 255 and name or nil)
end

M.setmethod("dohandshake", dohandshake)
M.setmethod("sni", sni)

return M

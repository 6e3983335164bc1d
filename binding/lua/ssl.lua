--- `ssl`: TLS, in the words of LuaSec.

local config = require "ssl.config"
local context = require "ssl.context"
local core = require "ssl.core"
local native = require "ssl.native"
local x509 = require "ssl.x509"

local error, ipairs, tostring, type = error, ipairs, tostring, type
local unpack = table.unpack or unpack

local M = {
  _VERSION = "1.3.2",
  _COPYRIGHT = core.copyright(),
  config = config,
  loadcertificate = x509.load,
  -- What a client does that does not say `verify`: "peer" compares certificate and name; "none" restores what LuaSec does.
  default_verify = "peer",
}

-- A function with several arguments behind the context, given as one value or a list.
local function apply(fn, ctx, value)
  if value == nil then return true end
  if type(value) == "table" then return fn(ctx, unpack(value)) end
  return fn(ctx, value)
end

local function loadpair(ctx, params)
  if params.key then
    local kind = type(params.password)
    if kind ~= "nil" and kind ~= "string" and kind ~= "function" then return nil, "invalid password type" end
    local ok, err = context.loadkey(ctx, params.key, params.password)
    if not ok then return nil, err end
  end
  if params.certificate then
    local ok, err = context.loadcert(ctx, params.certificate)
    if not ok then return nil, err end
  end
  return true
end

local function loadpairs(ctx, params)
  if not params.certificates then return loadpair(ctx, params) end
  for _, pair in ipairs(params.certificates) do
    local ok, err = loadpair(ctx, pair)
    if not ok then return nil, err end
  end
  return true
end

local function settrust(ctx, params)
  if params.cafile or params.capath then return context.locations(ctx, params.cafile, params.capath) end
  return true
end

local function setverify(ctx, params)
  if params.verify ~= nil then
    local ok, err = apply(context.setverify, ctx, params.verify)
    if not ok then return nil, err end
  elseif params.mode == "client" and M.default_verify ~= "none" then
    native.context.setusual(ctx)
  end
  if params.verify_host ~= nil then native.context.setnames(ctx, params.verify_host) end
  return true
end

local function setparameters(ctx, params)
  if params.ciphers then
    local ok, err = context.setcipher(ctx, params.ciphers)
    if not ok then return nil, err end
  end
  if params.ciphersuites then
    local ok, err = context.setciphersuites(ctx, params.ciphersuites)
    if not ok then return nil, err end
  end
  local ok, err = setverify(ctx, params)
  if not ok then return nil, err end
  ok, err = apply(context.setoptions, ctx, params.options)
  if not ok then return nil, err end
  if params.keylog then native.context.setoption(ctx, "keylog") end
  if params.depth then
    ok, err = context.setdepth(ctx, params.depth)
    if not ok then return nil, err end
  end
  if params.dhparam and type(params.dhparam) ~= "function" then return nil, "invalid DH parameter type" end
  return true
end

local function setcurves(ctx, params)
  if params.curveslist then return context.setcurveslist(ctx, params.curveslist) end
  if params.curve then return context.setcurve(ctx, params.curve) end
  return true
end

local function setalpn(ctx, params)
  local alpn = params.alpn
  if alpn == nil or alpn == false then return true end
  if params.mode == "server" and type(alpn) == "function" then return context.setalpncb(ctx, alpn) end
  if params.mode == "client" and type(alpn) == "string" then alpn = { alpn } end
  if type(alpn) ~= "table" then return nil, "invalid ALPN parameter" end
  local wire, err = core.wire(alpn)
  if not wire then return nil, err end
  return context.setalpn(ctx, wire)
end

local STEPS = {
  loadpairs, settrust, setparameters, setcurves,
  function(ctx, params) return apply(context.setverifyext, ctx, params.verifyext) end,
  setalpn,
}

function context.setverifyext(ctx, ...)
  return native.context.setverifyext(ctx, ...)
end

--- A context from parameters, which are only read; or nil and a message.
function M.newcontext(params)
  if type(params) ~= "table" then error("bad argument #1 to 'newcontext' (table expected, got " .. type(params) .. ")", 2) end
  local ctx, err = context.create(params.protocol)
  if not ctx then return nil, err end
  local mode = context.setmode(ctx, params.mode)
  if mode ~= true then return nil, mode end
  for _, step in ipairs(STEPS) do
    local ok
    ok, err = step(ctx, params)
    if not ok then return nil, err end
  end
  if params.psk then return nil, "PSK is not supported" end
  if params.dane then return nil, "DANE is not supported" end
  return ctx
end

-- A tunnel gives out the object that it runs through.
local function transport(sock)
  while type(sock) == "table" and type(sock.transport) == "function" do sock = sock:transport() end
  return sock
end

--- Lets a connection say "timeout" where LuaSec says what it would have had to wait for.
function M.plaintimeouts(conn)
  native.connection.settimeouts(conn)
end

--- A connection over `sock`, whose place it takes; or nil and a message. `ctx` is a context, or parameters for one.
function M.wrap(sock, ctx)
  local err
  if type(ctx) == "table" then
    ctx, err = M.newcontext(ctx)
    if not ctx then return nil, err end
  elseif not native.context.is(ctx) then
    error("bad argument #1 to 'create' (invalid context)", 2)
  end
  local conn
  conn, err = core.create(ctx)
  if not conn then return nil, err end
  sock = transport(sock)
  if not native.connection.take(conn, sock) then
    if not sock.setfd then error("bad argument #1 to 'wrap' (" .. tostring(sock) .. " has no 'setfd')", 2) end
    core.setfd(conn, sock:getfd())
    sock:setfd(-1)
  end
  return conn
end

return M

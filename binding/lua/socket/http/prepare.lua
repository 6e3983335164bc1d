--- From what the caller asks to what is sent: the request table of one hop.
--
-- Private to `socket.http`. The caller's table is read, never written.

local canonical = require "socket.headers"
local core = require "socket.http.core"
local deadline = require "socket.http.deadline"
local message = require "socket.http.message"
local mime = require "mime"
local proxies = require "socket.http.proxy"
local socket = require "socket"
local url = require "socket.url"

local error, ipairs, pairs, setmetatable, table, tonumber, tostring, type =
  error, ipairs, pairs, setmetatable, table, tonumber, tostring, type
local string = string

local M = {}

local DEFAULT = { scheme = "http", path = "/" }
local NEEDS_LENGTH = { POST = true, PUT = true, PATCH = true }

local function fail(text)
  return socket.try(nil, text)
end

local PARTS = {}
for _, name in ipairs(core.parts) do PARTS[name] = true end

-- The parts of the URL, overridden one by one by the fields of the table.
local function overlay(reqt)
  local address, parts = reqt.url, nil
  if address == nil then
    parts = {}
  else
    if type(address) ~= "string" then error("bad url (string expected, got " .. type(address) .. ")", 0) end
    parts = url.parse(address, DEFAULT) or fail("invalid url")
  end
  for name, value in pairs(reqt) do
    if PARTS[name] then parts[name] = value end
  end
  return parts
end

-- The same, for whoever needs them beyond what the request itself does.
function M.parts(r)
  if not r.parts then r.parts = overlay(r.reqt) end
  return r.parts
end

-- What a scheme's `create` is given: the parts, and all else that the caller has said.
local function everything(r)
  local all = {}
  for name, value in pairs(r.reqt) do all[name] = value end
  for name, value in pairs(M.parts(r)) do all[name] = value end
  all.scheme = r.scheme
  return all
end

local function setscheme(r, http, scheme)
  local entry = http.schemes[scheme]
  if not entry then
    scheme = string.lower(scheme)
    entry = http.schemes[scheme]
  end
  if not entry then fail("unsupported scheme '" .. scheme .. "'") end
  r.scheme, r.entry = scheme, entry
end

-- The request target; nil without a path.
local function target(parts)
  if parts.uri then return parts.uri end
  local text = parts.path
  if text and parts.params then text = text .. ";" .. parts.params end
  if text and parts.query then text = text .. "?" .. parts.query end
  return text
end

-- What a URL says is escaped, what a field says is meant literally.
local function setcredentials(r, reqt, parts)
  local user, password = parts.user, parts.password
  if reqt.user == nil then user = url.unescape(user) end
  if reqt.password == nil and password then password = url.unescape(password) end
  r.user, r.password = user, password or ""
end

local function setplace(r, http, reqt, parts)
  setscheme(r, http, parts.scheme or "http")
  local host, port = parts.host, parts.port
  if host == nil or host == "" then fail("invalid host '" .. tostring(host) .. "'") end
  if port == nil or port == "" then port = r.entry.port end
  r.parts, r.host, r.port, r.target = parts, host, port, target(parts)
  if parts.user then setcredentials(r, reqt, parts) end
end

-- The host as it is written before a port; a zone is nobody's business but ours.
local function hostname(host)
  if string.find(host, ":", 1, true) then return "[" .. string.gsub(host, "%%.*", "") .. "]" end
  return host
end

local function authority(r)
  local host = hostname(r.host)
  if r.port == r.entry.port or tonumber(r.port) == r.entry.port then return host end
  return host .. ":" .. r.port
end

local function setproxy(r, http, reqt, choice)
  local err
  r.proxy, err = proxies.choose(choice, reqt.no_proxy, r.scheme, r.host, r.port)
  if err then fail(err) end
  if not r.proxy then return end
  if not http.schemes[r.proxy.scheme] then fail("unsupported scheme '" .. r.proxy.scheme .. "' of proxy") end
  local tls = reqt.proxy_ssl
  if tls ~= nil and type(tls) ~= "table" then error("bad proxy_ssl (table expected, got " .. type(tls) .. ")", 0) end
  r.tunnel = r.scheme == "https"
  r.path = r.target
  if not r.tunnel and not reqt.uri then r.target = r.scheme .. "://" .. r.authority .. r.target end
end

-- The headers beyond those that every request has, of which they may be some: then they take their place, or, by false,
-- leave it empty.
local function headersof(r)
  local headers = r.headers
  if not headers then
    headers = {}
    r.headers = headers
  end
  return headers
end

local function setheaders(r, own)
  r.spelled = {}
  local headers = message.lower(own, headersof(r), r.spelled)
  if r.keep and message.has(headers.connection or "", "close") then r.keep = false end
end

local function setcookies(r, reqt)
  local line = reqt.cookies:header(r)
  if not line then return end
  local headers = headersof(r)
  headers.cookie = headers.cookie and headers.cookie .. "; " .. line or line
end

-- A body is a text, a function that gives a source each time, or a source, which is used up unless it can be rewound.
local function setbody(r, reqt)
  local body, headers = reqt.body, headersof(r)
  local kind = type(body)
  if reqt.source then
    r.source = reqt.source
  elseif kind == "string" or kind == "number" then
    r.body = tostring(body)
    headers["content-length"] = headers["content-length"] or #r.body
  elseif kind == "function" then
    r.fresh = body
  elseif body ~= nil then
    error("bad body (string or function expected, got " .. kind .. ")", 0)
  elseif NEEDS_LENGTH[r.method] and not headers["content-length"] and not headers["transfer-encoding"] then
    headers["content-length"] = 0
  end
  if r.source == nil and r.body == nil and r.fresh == nil then return end
  r.hasbody = true
  if headers["content-length"] then
    headers["transfer-encoding"] = nil
  else
    headers["transfer-encoding"] = headers["transfer-encoding"] or "chunked"
  end
  r.expect = headers.expect and message.has(tostring(headers.expect), "100-continue")
end

-- Fields by which a TLS session differs from another: not to be shared by requests that ask for different ones.
local TLS = {
  "protocol", "verify", "verifyext", "options", "cafile", "capath", "key", "certificate", "certificates", "password",
  "ciphers", "ciphersuites", "curve", "curveslist", "alpn", "depth", "dane", "servername", "sni", "verify_host",
  "proxy_ssl",
}

local function identity(value)
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for key, item in pairs(value) do items[#items + 1] = tostring(key) .. "=" .. identity(item) end
  table.sort(items)
  return "{" .. table.concat(items, ",") .. "}"
end

local function tlsidentity(reqt)
  local items = {}
  for _, name in ipairs(TLS) do
    local value = reqt[name]
    if name == "password" and not reqt.key and not reqt.certificates then value = nil end
    if value ~= nil then items[#items + 1] = name .. "=" .. identity(value) end
  end
  return table.concat(items, ";")
end

-- Constructors are told apart by number; one that is collected never gives its number to another.
local numbers, count = setmetatable({}, { __mode = "k" }), 0
local function number(create)
  if not create then return "" end
  if not numbers[create] then
    count = count + 1
    numbers[create] = count
  end
  return numbers[create]
end

-- Who may share a connection.
local function key(r, reqt)
  local proxy = r.proxy
  if not proxy and r.scheme == "http" and not reqt.create then return r.authority end
  local way = proxy and table.concat({ proxy.scheme, proxy.host, proxy.port, proxy.user or "", proxy.password or "" }, "\n")
  local tls = (r.scheme == "https" or proxy and proxy.scheme == "https") and tlsidentity(reqt) or ""
  local place = proxy and not r.tunnel and "" or string.lower(r.host) .. "\n" .. r.port
  return table.concat({ r.scheme, place, way or "", tls, number(reqt.create) }, "\n")
end

local function setpool(r, http, reqt)
  local pool, keep = reqt.pool, reqt.connection
  if not keep then keep = pool and "keep-alive" or http.CONNECTION end
  if keep ~= "keep-alive" or pool == false then return end
  r.keep = true
  r.pool = type(pool) == "table" and pool or http.pool
end

-- The `create` of plain connections. It does not look at what it is given.
function M.tcp()
  return socket.tcp
end

-- The constructor is asked for late: a connection from the pool needs none.
local function timed(create, instant)
  return function()
    local sock, err = create()
    if not sock then return nil, err end
    return deadline.timed(sock, instant)
  end
end

-- For the connection to the proxy. What the request says of TLS is for the origin, and a password in the proxy's URL for
-- the proxy's door, not for a key.
local function toproxy(r)
  local all = {}
  for name, value in pairs(r.reqt.proxy_ssl or {}) do all[name] = value end
  all.scheme, all.host, all.port = r.proxy.scheme, r.proxy.host, r.proxy.port
  return all
end

function M.constructor(r, http)
  local create, err = r.reqt.create, nil
  if r.tunnel then
    if r.proxy.scheme ~= "http" then
      r.proxycreate = socket.try(http.schemes[r.proxy.scheme].create(toproxy(r)))
    end
    create = create or socket.try(r.entry.create(everything(r)))
    create = proxies.through(create, r)
  elseif not create then
    local entry = r.proxy and http.schemes[r.proxy.scheme] or r.entry
    if entry.create == M.tcp then
      create = socket.tcp
    else
      create, err = entry.create(r.proxy and r.proxy.scheme == "https" and toproxy(r) or everything(r))
    end
    if not create then socket.try(nil, err) end
  end
  return r.instant and timed(create, r.instant) or create
end

-- The URL of a hop, without credentials.
function M.url(r)
  if r.url then return r.url end
  local parts, place = M.parts(r), r.scheme .. "://" .. r.authority
  return place .. url.build { path = parts.path or "", params = parts.params, query = parts.query, fragment = parts.fragment }
end

-- Method and place. Most URLs are plain, and most requests name no parts beside.
local function begin(http, reqt)
  local method = reqt.method
  if method == nil or method == "" then method = reqt.body ~= nil and "POST" or "GET" end
  local scheme, host, target, whole, port, number = core.place(reqt)
  local entry = scheme and http.schemes[scheme]
  if entry and (not port or number ~= entry.port and port ~= entry.port) then
    return {
      reqt = reqt, method = method, scheme = scheme, entry = entry, host = host, port = port or entry.port, target = target,
      authority = whole, useragent = http.USERAGENT, url = reqt.url,
    }
  end
  local r = { reqt = reqt, method = method, useragent = http.USERAGENT }
  setplace(r, http, reqt, overlay(reqt))
  r.authority = authority(r)
  if not r.target then fail("invalid path 'nil'") end
  return r
end

-- Where many requests go to one place, most of them ask for nothing but a plain URL over a connection that is kept. Such a
-- one is its `text`, and where it goes; the other fields are found out when no connection is there (`complete`).
local function bare(http, reqt)
  local entry = http.schemes.http
  if http.PROXY or not entry or entry.port ~= 80 then return nil end
  local text, place, pool = core.plain(reqt, http.CONNECTION, canonical.canonic, http.USERAGENT)
  if not text then return nil end
  return {
    reqt = reqt, method = "GET", text = text, url = reqt.url, keep = true, key = place, pool = pool or http.pool, own = true,
  }
end

-- What is missing in a request that is nothing but its text.
function M.complete(http, r)
  if r.scheme then return end
  for name, value in pairs(begin(http, r.reqt)) do r[name] = value end
end

-- Everything about one hop. `instant` is when it must be over.
function M.request(http, reqt, instant)
  if reqt.connection == "keep-alive" or reqt.pool or http.CONNECTION == "keep-alive" then
    local r = bare(http, reqt)
    if r then return r end
  end
  local r, proxy = begin(http, reqt), reqt.proxy
  if instant then r.instant = instant end
  if proxy == nil then proxy = http.PROXY end
  if proxy then setproxy(r, http, reqt, proxy) end
  setpool(r, http, reqt)
  if r.user then headersof(r).authorization = "Basic " .. mime.b64(r.user .. ":" .. r.password) end
  if r.proxy and not r.tunnel then headersof(r)["proxy-authorization"] = proxies.authorization(r.proxy) end
  if reqt.decompress then
    r.decompress = mime.decodet.gzip and true or fail("decompress: no gzip decoder in mime")
    headersof(r)["accept-encoding"] = "gzip, deflate"
  end
  if reqt.headers then setheaders(r, reqt.headers) end
  if reqt.cookies then setcookies(r, reqt) end
  if reqt.body ~= nil or reqt.source or NEEDS_LENGTH[r.method] then setbody(r, reqt) end
  if r.keep then r.key = key(r, reqt) end
  return r
end

return M

--- What several requests have in common: a base URL, headers, cookies, connections, limits.
--
--     local s = http.session{ base = "http://localhost:8080/api/", headers = { accept = "application/json" } }
--     local body, code = s:get("items")
--
-- Any field of a request may be given; a request's own fields win.

local cookies = require "socket.http.cookies"
local ltn12 = require "ltn12"
local pool = require "socket.http.pool"
local url = require "socket.url"

local error, pairs, setmetatable, string, table, type = error, pairs, setmetatable, string, table, type

local Session = { __name = "http.session" }
local methods = {}
Session.__index = methods

local M = {}

-- Fields of a session that are no fields of a request.
local OWN = { base = true, headers = true }

function M.new(http, options)
  options = options or {}
  local defaults = {}
  for name, value in pairs(options) do
    if not OWN[name] then defaults[name] = value end
  end
  if defaults.redirect == nil then defaults.redirect = true end
  if defaults.cookies == nil or defaults.cookies == true then defaults.cookies = cookies.new() end
  if defaults.pool == nil or defaults.pool == true then defaults.pool = pool.new() end
  local s = { http = http, defaults = defaults, base = options.base, headers = options.headers }
  s.cookies, s.pool = defaults.cookies or nil, defaults.pool or nil
  return setmetatable(s, Session)
end

-- Credentials meant for the base's host go to no other.
local function sameplace(a, b)
  local x, y = url.parse(a) or {}, url.parse(b) or {}
  return x.scheme == y.scheme and x.host == y.host and x.port == y.port
end

local SECRET = { authorization = true, cookie = true }

local function headers(session, own, away)
  local all, names = {}, {}
  for name, value in pairs(session.headers or {}) do
    local key = string.lower(name)
    if not (away and SECRET[key]) then all[name], names[key] = value, name end
  end
  for name, value in pairs(own or {}) do
    local before = names[string.lower(name)]
    if before then all[before] = nil end
    all[name] = value
  end
  return all
end

local function merge(session, reqt)
  local all = {}
  for name, value in pairs(session.defaults) do all[name] = value end
  for name, value in pairs(reqt) do all[name] = value end
  local away = false
  if session.base and type(all.url) == "string" then
    all.url = url.absolute(session.base, all.url)
    away = not sameplace(session.base, all.url)
    if away and reqt.user == nil then all.user, all.password = nil, nil end
  end
  all.headers = headers(session, reqt.headers, away)
  return all
end

local function simple(session, reqt)
  local target = {}
  reqt.sink, reqt.simple = ltn12.sink.table(target), true
  local ok, code, fields, line = session.http.request(merge(session, reqt))
  if not ok then return nil, code end
  return table.concat(target), code, fields, line
end

-- As `http.request`, in both forms.
function methods:request(reqt, content)
  if type(reqt) == "table" then return self.http.request(merge(self, reqt)) end
  if type(reqt) ~= "string" then
    error("bad argument #1 to 'request' (string or table expected, got " .. type(reqt) .. ")", 2)
  end
  if content == nil then return simple(self, { url = reqt }) end
  local form = { ["content-type"] = "application/x-www-form-urlencoded" }
  return simple(self, { url = reqt, method = "POST", body = content, headers = form })
end

-- One method for each of these: s:get(url [, headers]), s:put(url, body [, headers]), ... Results as the simple form's.
for _, verb in pairs { "get", "head", "options", "delete" } do
  methods[verb] = function(self, address, fields)
    return simple(self, { url = address, method = string.upper(verb), headers = fields })
  end
end

for _, verb in pairs { "post", "put", "patch" } do
  methods[verb] = function(self, address, content, fields)
    return simple(self, { url = address, method = string.upper(verb), body = content, headers = fields })
  end
end

-- Closes the idle connections. The session can be used on.
function methods:close()
  if self.pool then self.pool:close() end
end

return M

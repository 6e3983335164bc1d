--- Where a redirection leads, and what of the request goes along (RFC 9110, 15.4).
--
-- Private to `socket.http`.

local exchange = require "socket.http.exchange"
local prepare = require "socket.http.prepare"
local url = require "socket.url"

local pairs, string, tonumber = pairs, string, tonumber

local M = {}

local CODES = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local LIMIT = 5

-- Never sent to a new place; and what describes a body, dropped with it.
local HERE = { host = true }
local SECRET = { host = true, authorization = true, cookie = true, ["proxy-authorization"] = true }
local BODY = {
  ["content-length"] = true, ["content-type"] = true, ["content-encoding"] = true, ["content-language"] = true,
  ["content-location"] = true, ["transfer-encoding"] = true, expect = true,
}

-- Fields of the request that name the old place, in whole or in part.
local PLACE = {
  "scheme", "host", "port", "path", "params", "query", "fragment", "user", "password", "userinfo", "authority", "uri",
}

local function base(r)
  local parts = prepare.parts(r)
  return url.build {
    scheme = r.scheme, host = r.host, port = parts.port, path = parts.path, params = parts.params, query = parts.query,
  }
end

-- The method for the next request; nil if it cannot be made.
local function method(r, code)
  local now = r.method
  if code == 303 and now ~= "GET" and now ~= "HEAD" then return "GET", false end
  if (code == 301 or code == 302) and now == "POST" then return "GET", false end
  return now, r.hasbody
end

-- Programs that send a body want to see the answer, as they always did, unless they ask.
local function allowed(r)
  local reqt = r.reqt
  if reqt.redirect == false then return false end
  if reqt.maxredirects ~= false and (reqt.nredirects or 0) >= (reqt.maxredirects or LIMIT) then return false end
  return reqt.redirect == true or not r.hasbody and (r.method == "GET" or r.method == "HEAD")
end

local function copyheaders(headers, drop, dropmore)
  local copy = {}
  for name, value in pairs(headers or {}) do
    local key = string.lower(name)
    if not drop[key] and not (dropmore and dropmore[key]) then copy[name] = value end
  end
  return copy
end

local function sameplace(r, http, parts, scheme)
  local port = tonumber(parts.port) or http.schemes[scheme].port
  return scheme == r.scheme and string.lower(parts.host or "") == string.lower(r.host) and port == tonumber(r.port)
end

-- The request that follows, or nil if the response is to be returned as it is.
function M.follow(http, r, code, headers)
  if not CODES[code] or not allowed(r) then return nil end
  prepare.complete(http, r)
  local location = string.match(headers.location or "", "^%s*(.-)%s*$")
  if location == "" then return nil end
  local target = url.absolute(base(r), location)
  local parts = url.parse(target)
  local scheme = parts and parts.scheme and string.lower(parts.scheme)
  if not scheme or not http.schemes[scheme] or r.scheme == "https" and scheme ~= "https" then return nil end
  local verb, body = method(r, code)
  if body and not exchange.rewind(r) then return nil end
  return M.next(http, r, verb, body, target, parts, scheme)
end

function M.next(http, r, verb, body, target, parts, scheme)
  local reqt, same = {}, sameplace(r, http, parts, scheme)
  for name, value in pairs(r.reqt) do reqt[name] = value end
  for _, name in pairs(PLACE) do reqt[name] = nil end
  reqt.url, reqt.method, reqt.nredirects = target, verb, (r.reqt.nredirects or 0) + 1
  reqt.headers = copyheaders(reqt.headers, same and HERE or SECRET, not body and BODY)
  reqt.fragment = parts.fragment or prepare.parts(r).fragment
  if not body then reqt.source, reqt.body = nil, nil end
  if same and not parts.user and r.user then reqt.user, reqt.password = r.user, r.password end
  if scheme ~= r.scheme then reqt.create = nil end
  return reqt
end

return M

--- A cookie jar (RFC 6265).
--
--     local jar = http.cookies()
--     http.request{ url = "http://localhost/", cookies = jar }
--
-- There is no list of public suffixes here: a cookie for a domain without an inner dot is taken for its own host only.

local message = require "socket.http.message"
local socket = require "socket"
local url = require "socket.url"

local ipairs, math, pairs, setmetatable, string, table, tonumber, type =
  ipairs, math, pairs, setmetatable, string, table, tonumber, type
local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local Jar = { __name = "http.cookies" }
local methods = {}
Jar.__index = methods

local M = {}

-- So much of what servers send is remembered.
local MAXSIZE = 4096
local MAXPERDOMAIN = 180
local MAXCOOKIES = 3000

function M.new()
  return setmetatable({ list = {}, count = 0, serial = 0 }, Jar)
end

-- Dates ----------------------------------------------------------------------------------------------------------------

local MONTHS = {}
for number, name in ipairs { "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec" } do
  MONTHS[name] = number
end

-- Days from 1970-01-01 in the calendar without end; a year begins in March here.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

-- Section 5.1.1: tokens in any order, each taken for the first thing it can be. nil for what is no date.
function M.date(text)
  local hour, minute, second, day, month, year
  for token in string.gmatch(text, "[^\9\32-\47\59-\64\91-\96\123-\126]+") do
    local h, m, s = match(token, "^(%d%d?):(%d%d?):(%d%d?)%f[%D]")
    if h and not hour then
      hour, minute, second = tonumber(h), tonumber(m), tonumber(s)
    elseif not day and match(token, "^%d%d?%f[%D]") then
      day = tonumber(match(token, "^%d+"))
    elseif not month and MONTHS[lower(sub(token, 1, 3))] then
      month = MONTHS[lower(sub(token, 1, 3))]
    elseif not year and match(token, "^%d%d%d?%d?%f[%D]") then
      year = tonumber(match(token, "^%d+"))
    end
  end
  if not (hour and day and month and year) then return nil end
  if year < 70 then year = year + 2000 elseif year < 100 then year = year + 1900 end
  if day < 1 or day > 31 or year < 1601 or hour > 23 or minute > 59 or second > 59 then return nil end
  return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
end

-- Places ---------------------------------------------------------------------------------------------------------------

local function isaddress(host)
  return find(host, ":", 1, true) ~= nil or find(host, "^[%d.]+$") ~= nil
end

local function indomain(host, domain)
  if host == domain then return true end
  return not isaddress(host) and sub(host, -#domain - 1) == "." .. domain
end

local function inpath(path, prefix)
  if sub(path, 1, #prefix) ~= prefix then return false end
  return #path == #prefix or sub(prefix, -1) == "/" or sub(path, #prefix + 1, #prefix + 1) == "/"
end

-- A place is a URL or a request on its way: scheme, host and path.
local function place(where)
  if type(where) == "table" then return where.scheme, lower(where.host), match(where.path or where.target, "^/[^?;]*") or "/" end
  local parts = url.parse(where, { path = "/" }) or {}
  return lower(parts.scheme or "http"), lower(parts.host or ""), parts.path
end

local function defaultpath(path)
  local folder = match(path, "^(/.*)/[^/]*$")
  return folder or "/"
end

-- Receive --------------------------------------------------------------------------------------------------------------

local function attributes(text)
  local list = {}
  for item in string.gmatch(text, "[^;]+") do
    local name, value = match(item, "^%s*([^=]-)%s*=%s*(.-)%s*$")
    if not name then name, value = match(item, "^%s*(.-)%s*$"), "" end
    list[lower(name)] = value
  end
  return list
end

local function expiry(list, now)
  local age = list["max-age"]
  if age and find(age, "^%-?%d+$") then
    age = tonumber(age)
    return age > 0 and now + age or 0
  end
  return list.expires and M.date(list.expires)
end

local function setdomain(cookie, list, host)
  local domain = list.domain and lower(match(list.domain, "^%.?(.*)$"))
  if not domain or domain == "" or domain == host then
    cookie.domain, cookie.hostonly = host, not domain or domain == ""
    return true
  end
  if not indomain(host, domain) or not find(domain, ".%..") then return false end
  cookie.domain, cookie.hostonly = domain, false
  return true
end

-- Names that promise something.
local function keepspromise(cookie, secure)
  if find(cookie.name, "^__[Ss]ecure%-") then return cookie.secure and secure end
  if find(cookie.name, "^__[Hh]ost%-") then
    return cookie.secure and secure and cookie.hostonly and cookie.path == "/"
  end
  return true
end

local function parse(text, scheme, host, path, now)
  if #text > MAXSIZE or find(text, "[%c]") then return nil end
  local pair, rest = match(text, "^([^;]*)(.*)$")
  local name, value = match(pair, "^%s*([^=]-)%s*=%s*(.-)%s*$")
  if not name or name == "" then return nil end
  local list = attributes(rest)
  local secure = scheme == "https"
  local cookie = { name = name, value = value, expires = expiry(list, now) }
  cookie.secure, cookie.httponly = list.secure ~= nil, list.httponly ~= nil
  cookie.path = list.path and sub(list.path, 1, 1) == "/" and list.path or defaultpath(path)
  if not setdomain(cookie, list, host) then return nil end
  if cookie.secure and not secure or not keepspromise(cookie, secure) then return nil end
  return cookie
end

local function key(cookie)
  return cookie.domain .. "\n" .. cookie.path .. "\n" .. cookie.name
end

local function remove(jar, id)
  if jar.list[id] then
    jar.list[id] = nil
    jar.count = jar.count - 1
  end
end

-- Expired ones go first, then the oldest of the domain, then the oldest of all.
local function makeroom(jar, domain, now)
  local ofdomain, oldest, oldestofdomain = 0, nil, nil
  for id, cookie in pairs(jar.list) do
    if cookie.expires and cookie.expires <= now then
      remove(jar, id)
    else
      if not oldest or cookie.serial < jar.list[oldest].serial then oldest = id end
      if cookie.domain == domain then
        ofdomain = ofdomain + 1
        if not oldestofdomain or cookie.serial < jar.list[oldestofdomain].serial then oldestofdomain = id end
      end
    end
  end
  if ofdomain >= MAXPERDOMAIN then remove(jar, oldestofdomain) end
  if jar.count >= MAXCOOKIES then remove(jar, oldest) end
end

-- Takes the text of one Set-Cookie field from `where`. Returns the cookie, or nil if it was refused.
function methods:set(where, text)
  local scheme, host, path = place(where)
  local now = socket.gettime()
  local cookie = parse(text, scheme, host, path, now)
  if not cookie then return nil end
  local id = key(cookie)
  local before = self.list[id]
  self.serial = self.serial + 1
  cookie.serial = before and before.serial or self.serial
  remove(self, id)
  if cookie.expires and cookie.expires <= now then return cookie end
  makeroom(self, cookie.domain, now)
  self.list[id] = cookie
  self.count = self.count + 1
  return cookie
end

function methods:receive(where, headers)
  if not headers["set-cookie"] then return end
  for _, field in ipairs(message.fields(headers)) do
    if lower(field[1]) == "set-cookie" then self:set(where, field[2]) end
  end
end

-- Send -----------------------------------------------------------------------------------------------------------------

local function fits(cookie, scheme, host, path, now)
  if cookie.expires and cookie.expires <= now then return false end
  if cookie.secure and scheme ~= "https" then return false end
  if cookie.hostonly and cookie.domain ~= host then return false end
  return indomain(host, cookie.domain) and inpath(path, cookie.path)
end

local function before(a, b)
  if #a.path ~= #b.path then return #a.path > #b.path end
  return a.serial < b.serial
end

-- The cookies for `where`, longest path first.
function methods:matching(where)
  local scheme, host, path = place(where)
  local list, now = {}, socket.gettime()
  for _, cookie in pairs(self.list) do
    if fits(cookie, scheme, host, path, now) then list[#list + 1] = cookie end
  end
  table.sort(list, before)
  return list
end

-- The value of the field Cookie for `where`, or nil.
function methods:header(where)
  if self.count == 0 then return nil end
  local list = self:matching(where)
  for i, cookie in ipairs(list) do list[i] = cookie.name .. "=" .. cookie.value end
  return list[1] and table.concat(list, "; ")
end

-- Forgets the cookies of a domain and those below it, or all.
function methods:clear(domain)
  for id, cookie in pairs(self.list) do
    if not domain or indomain(cookie.domain, domain) then remove(self, id) end
  end
end

-- All cookies, as a list of tables: name, value, domain, path, expires, secure, httponly, hostonly.
function methods:all()
  local list = {}
  for _, cookie in pairs(self.list) do list[#list + 1] = cookie end
  table.sort(list, before)
  return list
end

return M

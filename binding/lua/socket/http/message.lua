--- Heads of HTTP messages: written with nothing in them that does not belong, read within limits.
--
-- Private to `socket.http`. Functions that can fail return nil and a message; only a value of a wrong type raises.

local canonical = require "socket.headers"

local error, ipairs, next, pairs, setmetatable, tonumber, tostring, type =
  error, ipairs, next, pairs, setmetatable, tonumber, tostring, type
local getmetatable = getmetatable
local string, table = string, table
local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

local M = {}

-- What a peer may send before it is given up. `receive` of our own sockets takes the longest line as its third
-- argument and stops there; other objects ignore the argument, and the line is measured once it has arrived.
M.MAXLINE = 65536
M.MAXFIELDS = 1000
M.MAXHEAD = 1048576

-- Lua 5.1 ends a pattern at NUL and knows it as %z.
local NUL = find("\0", "%z") and "%z" or "\0"
local BREAK = "[\r\n" .. NUL .. "]"

-- Sent first and in this order; the rest follows sorted by name.
local ORDER = {
  "host", "user-agent", "accept", "accept-encoding", "connection", "te", "authorization", "proxy-authorization",
  "cookie", "expect", "content-type", "content-length", "transfer-encoding",
}
local PLACED, NONE = {}, {}
for _, name in ipairs(ORDER) do PLACED[name] = true end

-- The usual spellings of names, lower-cased once.
local lowered = {}
for name, spelling in pairs(canonical.canonic) do lowered[spelling] = name end

-- No line break and no NUL: what may be written into a head.
function M.clean(text)
  return not find(text, BREAK)
end

local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true, CONNECT = true, OPTIONS = true }

function M.requestline(method, target)
  if not METHODS[method] and not find(method, "^[^%s%c]+$") then return nil, "invalid method" end
  if find(target, "[%c ]") then
    if find(target, BREAK) then return nil, "invalid target" end
    target = string.gsub(target, "[ \t]", { [" "] = "%20", ["\t"] = "%09" })
  end
  return method .. " " .. target .. " HTTP/1.1\r\n"
end

-- Our own values need no look.
local known = { ["close, TE"] = true, ["keep-alive, TE"] = true, trailers = true }

local function check(name, value)
  local kind = type(value)
  if kind == "number" then return tostring(value) end
  if kind ~= "string" then error("header '" .. name .. "' is a " .. kind, 0) end
  if not known[value] and find(value, BREAK) then return nil, "invalid value of header '" .. name .. "'" end
  return value
end

local function add(lines, n, name, spelled, value)
  local label = (canonical.canonic[name] or spelled[name] or name) .. ": "
  if type(value) ~= "table" then value = { value } end
  for _, item in ipairs(value) do
    local text, err = check(name, item)
    if not text then return nil, err end
    n = n + 1
    lines[n] = label .. text
  end
  return n
end

local function add_others(lines, n, headers, spelled)
  local names
  for name in pairs(headers) do
    if not PLACED[name] then
      names = names or {}
      names[#names + 1] = name
    end
  end
  if not names then return n end
  table.sort(names)
  for _, name in ipairs(names) do
    if not find(name, "^[^%c%s:]+$") then return nil, "invalid header name" end
    if headers[name] then
      local err
      n, err = add(lines, n, name, spelled, headers[name])
      if not n then return nil, err end
    end
  end
  return n
end

-- The header block, empty line included. A value may be a list, one line each; false stands for nothing. `spelled` maps
-- a lower-case name to what the user wrote, for names that `socket.headers` does not know.
function M.block(headers, spelled)
  local lines, n, canonic, err = {}, 0, canonical.canonic, nil
  spelled = spelled or NONE
  for i = 1, #ORDER do
    local name = ORDER[i]
    local value = headers[name]
    if type(value) == "string" then
      value, err = check(name, value)
      if not value then return nil, err end
      n = n + 1
      lines[n] = (canonic[name] or name) .. ": " .. value
    elseif value then
      n, err = add(lines, n, name, spelled, value)
      if not n then return nil, err end
    end
  end
  n, err = add_others(lines, n, headers, spelled)
  if not n then return nil, err end
  lines[n + 1] = "\r\n"
  return table.concat(lines, "\r\n")
end

-- Lower-case names and their values, and the names as they were spelled.
function M.lower(headers, into, spelled)
  for name, value in pairs(headers) do
    local key = lower(name)
    into[key] = value
    spelled[key] = name
  end
  return into, spelled
end

-- The code and the two parts of the version in a status line.
function M.status(line)
  local major, minor, code = match(line, "^HTTP/(%d*)%.(%d*) (%d%d%d)")
  if code then return tonumber(code), tonumber(major), tonumber(minor) end
end

-- An excerpt that is fit for a message.
function M.excerpt(text)
  return "'" .. sub(text, 1, 60):gsub("[%c\127-\255]", "?") .. (#text > 60 and "...'" or "'")
end

function M.line(sock, limit)
  local line, err = sock:receive("*l", nil, limit)
  if not line then return nil, err end
  if #line > limit then return nil, "line too long" end
  return line
end

local function join(headers, name, value)
  local last = byte(value, -1)
  if last == 32 or last == 9 then value = match(value, "^(.-)[ \t]+$") end
  name = lowered[name] or lower(name)
  local before = headers[name]
  headers[name] = before and before .. ", " .. value or value
end

-- A line that is not simply `name: value`: a name with blanks in it, an empty one, or none at all.
local function oddity(line)
  local name, value = match(line, "^([^:]*):[ \t]*(.*)")
  if not name or find(name, "[ \t]$") then return nil, "malformed response headers" end
  return name, value
end

-- A line that begins with a blank continues the one before. Folding is rare: then all is read again from the lines.
local function unfold(lines, headers)
  local whole, n = {}, 0
  for _, line in ipairs(lines) do
    if n > 0 and find(line, "^[ \t]") then
      whole[n] = whole[n] .. line
    else
      n = n + 1
      whole[n] = line
    end
  end
  for name in pairs(headers) do headers[name] = nil end
  for i = 1, n do join(headers, oddity(whole[i])) end
  return whole
end

-- Reads up to the empty line: lower-case name → value, repeats joined. The lines hang at the metatable of the table of
-- headers, where they disturb no one.
function M.receiveheaders(sock)
  local headers, lines, n, total, maxline, folded = {}, {}, 0, 0, M.MAXLINE, false
  while true do
    local line, err = sock:receive("*l", nil, maxline)
    if line == "" then break end
    if not line then return nil, err end
    total = total + #line
    if #line > maxline then return nil, "line too long" end
    if total > M.MAXHEAD then return nil, "header too long" end
    local name, value = match(line, "^([^%s:]+):[ \t]*(.*)")
    if not name and n > 0 and find(line, "^[ \t]") then
      folded = true
    else
      if not name then
        name, value = oddity(line)
        if not name then return nil, value end
      end
      join(headers, name, value)
    end
    n = n + 1
    if n > M.MAXFIELDS then return nil, "too many header fields" end
    lines[n] = line
  end
  if folded then lines = unfold(lines, headers) end
  return setmetatable(headers, { lines = lines, url = nil, redirects = nil })
end

-- The fields of a response in the order and with the names in which they came: a list of { name, value }.
function M.fields(headers)
  local meta, list = getmetatable(headers), {}
  for i, line in ipairs(meta and meta.lines or NONE) do
    local name, value = oddity(line)
    list[i] = { name, match(value, "^(.-)[ \t]*$") }
  end
  return list
end

-- Fields that a trailer must not bring: framing, routing, authentication.
local NO_TRAILER = {}
for _, name in ipairs {
  "transfer-encoding", "content-length", "content-encoding", "content-type", "content-range", "trailer", "host",
  "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "set-cookie", "connection",
  "location", "te", "upgrade", "keep-alive", "age", "cache-control", "expires", "date", "vary",
} do NO_TRAILER[name] = true end

function M.receivetrailer(sock, headers)
  local trailer, err = M.receiveheaders(sock)
  if not trailer then return nil, err end
  if next(trailer) == nil then return headers end
  local meta = getmetatable(headers)
  local lines = meta and meta.lines
  for _, field in ipairs(M.fields(trailer)) do
    if not NO_TRAILER[lower(field[1])] then
      join(headers, field[1], field[2])
      if lines then lines[#lines + 1] = field[1] .. ": " .. field[2] end
    end
  end
  return headers
end

-- Is `token` in the comma-separated `list`? Both in any case.
function M.has(list, token)
  if not list then return false end
  for item in string.gmatch(lower(list), "[^,]+") do
    if match(item, "^%s*(.-)%s*$") == token then return true end
  end
  return false
end

return M

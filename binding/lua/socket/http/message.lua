--- Heads of HTTP messages: written with nothing in them that does not belong, read within limits.
--
-- Private to `socket.http`. Functions that can fail return nil and a message; only a value of a wrong type raises.

local canonical = require "socket.headers"
local core = require "socket.http.core"
local socket = require "socket"

local error, getmetatable, ipairs, next, pairs, tostring, type = error, getmetatable, ipairs, next, pairs, tostring, type
local string, table = string, table
local request, response = core.request, core.response
local byte, find, lower, match, sub = string.byte, string.find, string.lower, string.match, string.sub

local M = {}

-- What a peer may send before it is given up. `receive` of our own sockets takes the longest line in its third
-- argument and stops there; other objects ignore the argument, and the line is measured once it has arrived.
M.MAXLINE = 65536
M.MAXFIELDS = 1000
M.MAXHEAD = 1048576
M.LINE, M.HEAD = { most = M.MAXLINE }, { most = M.MAXHEAD }

-- What a request says of how long the connection stays.
local KEPT, CLOSED = core.kept, "close, TE"

-- The order of fields; what is not named in it comes last, by name.
local RANK, NONE = {}, {}
for rank, name in ipairs(core.order) do RANK[name] = rank end

local function before(a, b)
  local x, y = RANK[a] or 100, RANK[b] or 100
  if x ~= y then return x < y end
  return a < b
end

-- No line break and no NUL: what may be written into a head. Three plain searches are faster than one for a set.
local function clean(text)
  return not (find(text, "\n", 1, true) or find(text, "\r", 1, true) or find(text, "\0", 1, true))
end

local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true, CONNECT = true, OPTIONS = true }

function M.requestline(method, target)
  if not METHODS[method] and not find(method, "^[^%s%c]+$") then return nil, "invalid method" end
  if find(target, "[%c ]") then
    if not clean(target) then return nil, "invalid target" end
    target = string.gsub(target, "[ \t]", { [" "] = "%20", ["\t"] = "%09" })
  end
  return method .. " " .. target .. " HTTP/1.1\r\n"
end

local function line(name, spelled, value)
  local kind = type(value)
  if kind == "number" then
    value = tostring(value)
  elseif kind ~= "string" then
    error("header '" .. name .. "' is a " .. kind, 0)
  elseif not clean(value) then
    return nil, "invalid value of header '" .. name .. "'"
  end
  return (canonical.canonic[name] or spelled[name] or name) .. ": " .. value .. "\r\n"
end

-- The lines of one field: a value may be a list, one line each; false stands for nothing.
local function lines(name, spelled, value)
  if not value then return "" end
  if type(value) ~= "table" then return line(name, spelled, value) end
  local text = ""
  for _, item in ipairs(value) do
    local one, err = line(name, spelled, item)
    if not one then return nil, err end
    text = text .. one
  end
  return text
end

-- The header block, empty line included. `spelled` maps a lower-case name to what the user wrote, for names that
-- `socket.headers` does not know.
function M.block(headers, spelled)
  local names, text = {}, ""
  for name in pairs(headers) do names[#names + 1] = name end
  table.sort(names, before)
  for _, name in ipairs(names) do
    if not RANK[name] and not find(name, "^[^%c%s:]+$") then return nil, "invalid header name" end
    local more, err = lines(name, spelled or NONE, headers[name])
    if not more then return nil, err end
    text = text .. more
  end
  return text .. "\r\n"
end

-- All headers of a request, for whoever writes them one by one.
function M.headers(r)
  local all = { host = r.authority, ["user-agent"] = r.useragent, connection = r.keep and KEPT or CLOSED, te = core.trailers }
  for name, value in pairs(r.headers or NONE) do all[name] = value end
  return all
end

-- A request as it goes out, with a short body. What is usual needs nothing of the above.
function M.request(r, body)
  local stays, own = r.keep and KEPT or CLOSED, r.headers
  local text = request(r.method, r.target, canonical.canonic, r.authority, r.useragent, stays, own, own and r.spelled, body)
  if text then return text end
  local first, block, err
  first, err = M.requestline(r.method, r.target)
  if not first then return nil, err end
  block, err = M.block(M.headers(r), r.spelled)
  if not block then return nil, err end
  return first .. block .. (body or "")
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

-- An excerpt that is fit for a message.
function M.excerpt(text)
  return "'" .. sub(text, 1, 60):gsub("[%c\127-\255]", "?") .. (#text > 60 and "...'" or "'")
end

function M.line(sock, bound)
  local text, err = sock:receive("*l", nil, bound)
  if not text then return nil, err end
  if #text > bound.most then return nil, "line too long" end
  return text
end

-- A whole head, of which `first` was received, from a socket that knows when it ends. Returns code, line, whether the
-- connection stays open unless the headers say otherwise, the headers, and the length of the body where it is certain; or
-- nil, a message and what came of it.
function M.receivehead(sock, first)
  local head, err, partial = sock:receive("*h", first, M.HEAD)
  if not head then
    if err == "line too long" then return nil, "header too long", partial end
    -- A line that is wrong is worse news than that there are no more.
    local lines = match(partial, "^(.*\n)")
    if lines then
      local code, problem = response(lines)
      if not code then return nil, problem, partial end
    end
    return nil, err, partial
  end
  local code, line, persistent, headers, length = response(head)
  if not code then return nil, line, head end
  return code, line, persistent, headers, length
end

-- The code in a status line, and whether the connection stays open unless the headers say otherwise.
function M.status(text)
  local code, _, persistent = response(text)
  return code, persistent
end

-- Reads the fields line by line up to the empty one: a table of lower-case name → value, repeats joined.
function M.receiveheaders(sock)
  local list, n, total = {}, 0, 0
  while true do
    local text, err = sock:receive("*l", nil, M.LINE)
    if text == "" then break end
    if not text then return nil, err end
    n, total = n + 1, total + #text
    if #text > M.MAXLINE then return nil, "line too long" end
    if total > M.MAXHEAD then return nil, "header too long" end
    if n > M.MAXFIELDS then return nil, "too many header fields" end
    if not find(text, ":", 1, true) and (n == 1 or byte(text) > 32) then return nil, "malformed response headers" end
    list[n] = text
  end
  local head = table.concat(list, "\n") .. "\n"
  return core.headers(head)
end

-- The fields of a response in the order and with the names in which they came: a list of { name, value }.
function M.fields(headers)
  local meta, list = getmetatable(headers), {}
  local head = string.gsub(meta and meta.head or "", "^HTTP/[^\n]*\n", "")
  for text in string.gmatch(string.gsub(head, "\r", ""), "[^\n]+") do
    if list[1] and find(text, "^[ \t]") then
      list[#list][2] = list[#list][2] .. text
    else
      local name, value = match(text, "^([^:]*):[ \t]*(.*)$")
      list[#list + 1] = { name, value }
    end
  end
  for _, field in ipairs(list) do field[2] = match(field[2], "^(.-)[ \t]*$") end
  return list
end

local function join(headers, name, value)
  name = lower(name)
  local already = headers[name]
  headers[name] = already and already .. ", " .. value or value
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
  for _, field in ipairs(M.fields(trailer)) do
    if not NO_TRAILER[lower(field[1])] then
      join(headers, field[1], field[2])
      if meta then meta.head = meta.head .. field[1] .. ": " .. field[2] .. "\n" end
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

--- Mail messages as sources: headers, bodies, parts within parts.
--
-- Private to `socket.smtp`. A source made here raises for nothing: what cannot be sent is nil and a message.

local canonical = require "socket.headers"
local mime = require "mime"
local random = require "socket.smtp.random"

local getmetatable, ipairs, pairs, tostring, type =
  getmetatable, ipairs, pairs, tostring, type
local math, os, string, table = math, os, string, table

local M = {}

-- Headers --------------------------------------------------------------------------------------------------------------

local ORDER = {
  "return-path", "received", "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to",
  "references", "subject", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
}
local RANK = {}
for rank, name in ipairs(ORDER) do RANK[name] = rank end

-- Lower-case names, and how they were spelled.
local function lowered(headers)
  local all, spelled = {}, {}
  for name, value in pairs(headers or {}) do
    local key = string.lower(name)
    all[key], spelled[key] = value, name
  end
  return all, spelled
end

local function sorted(headers)
  local names = {}
  for name in pairs(headers) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    local x, y = RANK[a] or 100, RANK[b] or 100
    if x ~= y then return x < y end
    return a < b
  end)
  return names
end

-- A line may go on behind a line end and a blank; nothing else may follow a line end, and NUL is nowhere.
local NUL = string.find("\0", "%z") and "%z" or "\0"
local function clean(value)
  if string.find(value, NUL) then return false end
  local rest = string.gsub(value, "\r?\n[ \t]+[^%s]", "")
  return not string.find(rest, "[\r\n]")
end

local function line(name, spelled, value, encode)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then return nil, "header '" .. name .. "' is a " .. kind end
  if not string.find(name, "^[^%c%s:]+$") then return nil, "invalid header name" end
  value = tostring(value)
  if not clean(value) then return nil, "invalid value of header '" .. name .. "'" end
  local label = canonical.canonic[name] or spelled[name] or name
  if encode then value = M.fold(M.encode(value), #label + 2) end
  return label .. ": " .. value .. "\r\n"
end

local function block(headers, spelled, encode)
  local lines = {}
  for _, name in ipairs(sorted(headers)) do
    local values = headers[name]
    if values then
      if type(values) ~= "table" then values = { values } end
      for _, value in ipairs(values) do
        local text, err = line(name, spelled, value, encode)
        if not text then return nil, err end
        lines[#lines + 1] = text
      end
    end
  end
  lines[#lines + 1] = "\r\n"
  return table.concat(lines)
end

-- Words beyond ASCII (RFC 2047): as many whole characters as fit into 75 bytes of base64.
local function encodedwords(text)
  local words, piece = {}, ""
  for character in string.gmatch(text, "[%z\1-\127\192-\255][\128-\191]*") do
    if #piece + #character > 45 then
      words[#words + 1], piece = piece, ""
    end
    piece = piece .. character
  end
  words[#words + 1] = piece
  for i, word in ipairs(words) do words[i] = "=?utf-8?B?" .. mime.b64(word) .. "?=" end
  return table.concat(words, " ")
end

-- Runs of words with a byte beyond ASCII are encoded, with the blanks between them; a quoted phrase loses its quotes.
function M.encode(value)
  if not string.find(value, "[\128-\255]") then return value end
  value = string.gsub(value, '"([^"]*)"', function(phrase)
    if string.find(phrase, "[\128-\255]") then return encodedwords((string.gsub(phrase, "\\(.)", "%1"))) end
  end)
  local parts, run = {}, nil
  for blanks, word in string.gmatch(value, "(%s*)(%S+)") do
    if string.find(word, "[\128-\255]") then
      run = run and run .. blanks .. word or word
      if #parts == 0 or not parts[#parts].run then
        parts[#parts + 1] = { run = run, blanks = blanks }
      else
        parts[#parts].run = run
      end
    else
      run = nil
      parts[#parts + 1] = { text = word, blanks = blanks }
    end
  end
  for i, part in ipairs(parts) do parts[i] = part.blanks .. (part.text or encodedwords(part.run)) end
  return table.concat(parts)
end

-- Lines of at most 78 bytes where there are blanks to break at.
function M.fold(value, column)
  if column + #value <= 78 or string.find(value, "\n", 1, true) then return value end
  local lines, text = {}, ""
  for blanks, word in string.gmatch(value, "([ \t]*)([^ \t]+)") do
    if text ~= "" and column + #text + #blanks + #word > 78 then
      lines[#lines + 1] = text
      text, column = blanks .. word, 0
    else
      text = text .. blanks .. word
    end
  end
  lines[#lines + 1] = text
  return table.concat(lines, "\r\n")
end

-- Dates ----------------------------------------------------------------------------------------------------------------

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }

-- The time in `zone` (+hhmm or -hhmm; anything else counts as UTC), in English whatever the locale.
function M.date(zone, time)
  local sign, hours, minutes = string.match(zone, "^([+-])(%d%d)(%d%d)$")
  time = time or os.time()
  if sign then time = time + (sign .. "1") * (hours * 3600 + minutes * 60) end
  local d = os.date("!*t", math.floor(time))
  return string.format("%s, %02d %s %d %02d:%02d:%02d %s", DAYS[d.wday], d.day, MONTHS[d.month], d.year, d.hour, d.min,
    d.sec, zone)
end

-- Parts ----------------------------------------------------------------------------------------------------------------

local function callable(value)
  if type(value) == "function" then return true end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and meta.__call ~= nil
end

local function boundary()
  return "=_" .. random.hex(16)
end

-- The boundary that the content type names, or a new one that it then names.
local function setboundary(headers)
  local kind = headers["content-type"] or "multipart/mixed"
  if type(kind) ~= "string" then return boundary() end
  local given = string.match(kind, '[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]%s*=%s*"([^"]*)"')
    or string.match(kind, "[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]%s*=%s*([^%s;]+)")
  if given and given ~= "" then return given end
  given = boundary()
  headers["content-type"] = kind .. '; boundary="' .. given .. '"'
  return given
end

-- What is to be produced lies on a stack, the next thing on top: a text, a source, or a part that is not opened yet.

local function push(stack, ...)
  local items = { ... }
  for i = #items, 1, -1 do stack[#stack + 1] = items[i] end
end

local function openmultipart(stack, body, mark)
  local items = {}
  local function add(...)
    for _, item in ipairs { ... } do items[#items + 1] = item end
  end
  if body.preamble then add(body.preamble, "\r\n") end
  for _, part in ipairs(body) do add("\r\n--" .. mark .. "\r\n", { part = part }) end
  add("\r\n--" .. mark .. "--\r\n\r\n")
  if body.epilogue then add(body.epilogue, "\r\n") end
  for i = #items, 1, -1 do stack[#stack + 1] = items[i] end
end

local function open(stack, part, encode)
  if type(part) ~= "table" then return nil, "part of a message is a " .. type(part) end
  local headers, spelled = lowered(part.headers)
  local body, mark = part.body, nil
  if type(body) == "table" and not callable(body) then
    mark = setboundary(headers)
  elseif headers["content-type"] == nil then
    headers["content-type"] = 'text/plain; charset="utf-8"'
  end
  local head, err = block(headers, spelled, encode)
  if not head then return nil, err end
  if mark then
    openmultipart(stack, body, mark)
  elseif callable(body) then
    push(stack, body)
  else
    push(stack, body == nil and "" or body)
  end
  push(stack, head)
  return true
end

-- The next chunk. A source that fails stays where it is, and is asked again.
local function produce(stack, encode)
  while stack[1] ~= nil do
    local item = stack[#stack]
    if callable(item) then
      local chunk, err = item()
      if chunk or err then return chunk, err end
      stack[#stack] = nil
    else
      stack[#stack] = nil
      if type(item) ~= "table" then return item end
      local ok, err = open(stack, item.part, encode)
      if not ok then
        for i = #stack, 1, -1 do stack[i] = nil end
        return nil, err
      end
    end
  end
  return nil
end

-- The table of a message with the headers that every message has.
local function complete(mesgt, defaults)
  local headers, spelled = lowered(mesgt.headers)
  local function default(name, value)
    if headers[name] == nil then headers[name] = value() end
  end
  default("date", function() return M.date(mesgt.zone or defaults.zone) end)
  default("x-mailer", function() return defaults.mailer end)
  default("message-id", function() return "<" .. random.hex(16) .. "@" .. defaults.domain .. ">" end)
  headers["mime-version"] = "1.0"
  if mesgt.bcc == false then headers.bcc = nil end
  local named = {}
  for name, value in pairs(headers) do named[spelled[name] or name] = value end
  return { headers = named, body = mesgt.body }
end

function M.source(mesgt, defaults)
  local stack = { { part = complete(mesgt, defaults) } }
  return function() return produce(stack, mesgt.encode) end
end

return M

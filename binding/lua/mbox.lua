--- `mbox`: mailboxes and messages taken apart. Every function takes a string and raises if it is none.

local error, ipairs, type = error, ipairs, type
local string = string
local find, gsub, lower, match, sub = string.find, string.gsub, string.lower, string.match, string.sub

local M = {}

local function check(text, name)
  if type(text) == "number" then return text .. "" end
  if type(text) ~= "string" then
    error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(text) .. ")", 3)
  end
  return text
end

local function lineends(text)
  return (gsub(text, "\r\n", "\n"))
end

local function unfold(text)
  return (gsub(lineends(text), "\n[ \t]+", " "))
end

-- The headers, and the body behind the first empty line.
function M.split_message(text)
  text = lineends(check(text, "split_message"))
  local last, first = find(text, "\n\n", 1, true)
  if last then return sub(text, 1, last), sub(text, first + 1) end
  if sub(text, 1, 1) == "\n" then return "", sub(text, 2) end
  return text, ""
end

function M.split_headers(text)
  local lines = {}
  for line in string.gmatch(unfold(check(text, "split_headers")), "[^\n]+") do lines[#lines + 1] = line end
  return lines
end

-- Name and value of one header, or nothing.
function M.parse_header(text)
  text = gsub(unfold(check(text, "parse_header")), "[\r\n]+", "")
  if find(text, "^From ") then return nil, nil end
  local name, value = match(text, "^([^%s:]*)%s*:%s*(.*)$")
  return name, value
end

function M.parse_headers(text)
  local headers = {}
  for _, line in ipairs(M.split_headers(check(text, "parse_headers"))) do
    local name, value = M.parse_header(line)
    if name then
      name = lower(name)
      headers[name] = headers[name] and headers[name] .. ", " .. value or value
    end
  end
  return headers
end

-- Display name and address of `Name <address>`, `address (Name)` or `address`.
function M.parse_from(text)
  text = check(text, "parse_from")
  local name, address = match(text, "^%s*(.-)%s*<(.-)>")
  if not name then
    address, name = match(text, "^%s*([^%s()]+)%s*%((.*)%)%s*$")
  end
  if not address then
    address = match(text, "^%s*(.*)$")
    if address == "" and text ~= "" then address = " " end
    name = address
  end
  if name == "" then name = address end
  return (gsub(name, '"', "")), address
end

-- Begins a message: a line `From `, at the start or behind an empty line.
local function separators(text)
  local list, at = {}, 1
  if sub(text, 1, 5) == "From " then list[1] = { from = 1, to = find(text, "\n", 1, true) or #text } end
  while true do
    local from, to = find(text, "\n\nFrom [^\n]*\n?", at)
    if not from then return list end
    list[#list + 1] = { from = from, to = to }
    -- The line end of one separator may be the empty line before the next.
    at = sub(text, to, to) == "\n" and to or to + 1
  end
end

local function envelope(text, separator)
  return (gsub(match(sub(text, separator.from, separator.to), "From [^\n]*"), "\n", ""))
end

local function unquote(message)
  return (gsub(gsub(message, "^>(>*From )", "%1"), "\n>(>*From )", "\n%1"))
end

-- The messages as texts, without the lines between them, and those lines as a second list (false where a message has
-- none). Lines that were quoted as `>From ` are as they were.
function M.split_mbox(text)
  text = lineends(check(text, "split_mbox"))
  local messages, envelopes, at = {}, {}, 1
  local list = separators(text)
  local first = list[1]
  if not first or first.from > 1 or sub(text, 1, 1) == "\n" then envelopes[1] = false end
  for _, separator in ipairs(list) do
    if separator.from > 1 or envelopes[1] == false then
      messages[#messages + 1] = unquote(sub(text, at, separator.from - 1))
    end
    envelopes[#envelopes + 1] = envelope(text, separator)
    at = separator.to + 1
  end
  messages[#messages + 1] = unquote(sub(text, at))
  return messages, envelopes
end

function M.parse_message(text)
  local headers, body = M.split_message(check(text, "parse_message"))
  return { headers = M.parse_headers(headers), body = body }
end

-- The messages, each as { headers =, body =, envelope = the line before it }.
function M.parse(text)
  local messages, envelopes = M.split_mbox(check(text, "parse"))
  for i, message in ipairs(messages) do
    messages[i] = M.parse_message(message)
    messages[i].envelope = envelopes[i] or nil
  end
  return messages
end

return M

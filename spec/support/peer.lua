-- A peer that plays a part: no process and no descriptor, only what it says and what was said to it.
--
--     play(answer, ...)   a constructor for `create`, and the log of the connections it made. The first connection is
--                         answered by the first text, ...; the last one answers all that follow
--
-- An answer is a text, after which the peer closes, or a table
--
--     { text, stay = true }     falls silent instead of closing: the next receive ends in "timeout"
--     { text, refuse = "..." }  connect fails with this message
--     { text, break_send = n }  the n-th send and all after it fail with "closed"
--     { { text, ... } }         one text for each request (a send that ends a head makes the next one available)
--
-- The log has for each connection host, port, sent (all that was written), sends (a list), closed (how often), timeout.

local assert, ipairs, setmetatable, table, type = assert, ipairs, setmetatable, table, type
local string = string

local M = {}

local Player = {}
Player.__index = Player
Player.__name = "player"

local function next_text(player)
  local texts = player.answer[1]
  if type(texts) == "table" then
    player.turn = player.turn + 1
    player.text = player.text .. (texts[player.turn] or "")
  end
end

function Player:settimeout(timeout)
  self.log.timeout = timeout
  return 1
end

function Player:connect(host, port)
  self.log.host, self.log.port = host, port
  if self.answer.refuse then return nil, self.answer.refuse end
  return 1
end

function Player:send(text)
  local log = self.log
  if log.closed > 0 then return nil, "closed", 0 end
  log.sends[#log.sends + 1] = text
  if self.answer.break_send and #log.sends >= self.answer.break_send then return nil, "closed", 0 end
  log.sent = log.sent .. text
  if log.sent:sub(-4) == "\r\n\r\n" or text:find("\r\n\r\n", 1, true) then next_text(self) end
  return #text
end

local function over(player, partial)
  if player.answer.stay then return nil, "timeout", partial end
  return nil, "closed", partial
end

local function receive_count(player, count, prefix)
  local wanted = count - #prefix
  local part = player.text:sub(1, wanted)
  player.text = player.text:sub(#part + 1)
  if #part < wanted then return over(player, prefix .. part) end
  return prefix .. part
end

local function receive_line(player, prefix)
  local line, rest = player.text:match("^([^\n]*)\n(.*)$")
  if not line then
    line, player.text = player.text, ""
    return over(player, prefix .. line:gsub("\r", ""))
  end
  player.text = rest
  return prefix .. line:gsub("\r", "")
end

function Player:receive(pattern, prefix)
  prefix = prefix or ""
  if self.log.closed > 0 then return nil, "closed", prefix end
  if type(pattern) == "number" then return receive_count(self, pattern, prefix) end
  assert(pattern == nil or pattern == "*l", "the player knows no such pattern")
  return receive_line(self, prefix)
end

function Player:close()
  self.log.closed = self.log.closed + 1
  return 1
end

function M.play(...)
  local answers, log = { ... }, {}
  local function create()
    local answer = answers[#log + 1] or answers[#answers]
    if type(answer) ~= "table" then answer = { answer } end
    local entry = { sent = "", sends = {}, closed = 0 }
    log[#log + 1] = entry
    local text = type(answer[1]) == "string" and answer[1] or ""
    return setmetatable({ answer = answer, text = text, turn = 0, log = entry }, Player)
  end
  return create, log
end

-- The head of a request as a table: line, and the lower-case names with their values.
function M.head(sent)
  local line, block = sent:match("^(.-)\r\n(.-)\r\n\r\n")
  local head = { line = line }
  for key, value in string.gmatch(block .. "\r\n", "([^:\r\n]*):[ \t]*([^\r\n]*)\r\n") do
    local name = key:lower()
    head[name] = head[name] and head[name] .. ", " .. value or value
  end
  return head
end

-- Lines with CRLF, as most protocols want them.
function M.lines(...)
  local list = { ... }
  for i, line in ipairs(list) do list[i] = line .. "\r\n" end
  return table.concat(list)
end

return M

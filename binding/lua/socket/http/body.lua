--- Bodies of HTTP messages: sources and sinks for the three ways in which a body can end.
--
-- Private to `socket.http`. Over any object with `receive` and `send`.

local message = require "socket.http.message"
local socket = require "socket"

local getmetatable, setmetatable, tonumber = getmetatable, setmetatable, tonumber
local string, type = string, type

local M = {}

-- A bound, so that no peer decides how much memory is used. A chunk up to this size comes in one piece.
local BLOCK = 65536
local SIZELINE = { most = 8192 }

-- Wherever a receive fails with some data, the data is given out and the next call meets the failure again.

-- A socket that can say what is there is asked for no more and no less: a slow peer's bytes come at once, a quick one's
-- in large pieces. Others are asked for a block, and have to wait for all of it.
local function receiveblock(sock, left)
  if sock.receiveany then return sock:receiveany(left < BLOCK and left or BLOCK) end
  local block = socket.BLOCKSIZE
  return sock:receive(left < block and left or block)
end

local function receivesize(sock)
  local line, err = message.line(sock, SIZELINE)
  if not line then return nil, err end
  local digits = string.match(line, "^%s*(%x+)%s*$") or string.match(line, "^%s*(%x+)%s*;")
  digits = digits and string.gsub(digits, "^0+(%x)", "%1")
  if not digits or #digits > 13 then return nil, "invalid chunk size" end
  return tonumber(digits, 16)
end

local function receiveend(sock)
  local line, err = message.line(sock, SIZELINE)
  if not line then return nil, err end
  if line ~= "" then return nil, "malformed chunk" end
  return true
end

-- A source for who looks at no chunk: bytes are passed over, and "" stands for them. How many that were is the third
-- result.
local function skip(sock, left)
  local n, err = sock:skipany(left)
  if not n then return nil, err, 0 end
  return "", nil, n
end

-- `ended` is called after the trailer was read. Trailer fields go into `headers`. Where a body is `unseen`, only its end
-- matters.
function M.chunked(sock, headers, ended, unseen)
  local left, inside, over = 0, false, false
  return function()
    if over then return nil end
    local ok, err
    if left == 0 then
      if inside then
        ok, err = receiveend(sock)
        if not ok then return nil, err end
        inside = false
      end
      left, err = receivesize(sock)
      if not left then
        left = 0
        return nil, err
      end
      if left == 0 then
        ok, err = message.receivetrailer(sock, headers or {})
        if not ok then return nil, err end
        over = true
        if ended then ended() end
        return nil
      end
      inside = true
    end
    local data, problem, partial
    if unseen then
      data, problem, partial = skip(sock, left)
      left = left - partial
      return data, problem
    elseif left > BLOCK and sock.receiveany then
      data, problem, partial = sock:receiveany(BLOCK)
    else
      data, problem, partial = sock:receive(left < BLOCK and left or BLOCK)
    end
    data = data or partial
    if not data or data == "" then return nil, problem end
    left = left - #data
    return data
  end
end

-- With `whole` all that is left is asked for at once: for who wants one text of it anyway.
function M.bylength(sock, length, ended, whole, unseen)
  local left = length
  return function()
    if left <= 0 then
      if ended then ended() end
      return nil
    end
    local data, err, partial
    if unseen then
      data, err, partial = skip(sock, left)
      left = left - partial
      return data, err
    elseif whole then
      data, err, partial = sock:receive(left)
    else
      data, err, partial = receiveblock(sock, left)
    end
    data = data or partial
    if not data or data == "" then return nil, err end
    left = left - #data
    return data
  end
end

function M.untilclosed(sock)
  local over = false
  return function()
    if over then return nil end
    local data, err, partial = receiveblock(sock, BLOCK)
    if data then return data end
    if err == "closed" then over = true end
    if partial and partial ~= "" then return partial end
    if over then return nil end
    return nil, err
  end
end

-- Sources and sinks of `socket.source` and `socket.sink` are tables that can be called and given to `select`.
local function selectable(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, { __call = function(_, ...) return call(...) end })
end

function M.chunkedsource(sock, headers)
  return selectable(sock, M.chunked(sock, type(headers) == "table" and headers or nil))
end

-- An empty chunk would end the body, and a failing source must not look like a complete one.
function M.chunkedsink(sock)
  return selectable(sock, function(chunk, err)
    if chunk == "" then return 1 end
    if chunk then return sock:send(string.format("%X\r\n", #chunk) .. chunk .. "\r\n") end
    if err then return nil, err end
    return sock:send("0\r\n\r\n")
  end)
end

-- Exactly `length` bytes, or an error. Small pieces only: nothing is kept back.
function M.lengthsink(sock, length)
  local left = length
  return function(chunk, err)
    if not chunk then
      if err then return nil, err end
      if left > 0 then return nil, "source ends before content-length" end
      return 1
    end
    if #chunk > left then return nil, "source exceeds content-length" end
    left = left - #chunk
    if chunk == "" then return 1 end
    return sock:send(chunk)
  end
end

-- Passes on at most `limit` bytes.
function M.limited(sink, limit)
  local left = limit
  return function(chunk, err)
    if chunk then
      left = left - #chunk
      if left < 0 then return nil, "body too large" end
    end
    return sink(chunk, err)
  end
end

-- How the body of a response ends: "chunked", "length" and the number, "close", or nil and a message. Whether both ways
-- of framing are named at once, which is how one response is smuggled into another, is the third result.
function M.framing(headers)
  local coding, length = headers["transfer-encoding"], headers["content-length"]
  if coding and string.lower(coding) ~= "identity" then
    local last = string.lower(string.match(coding, "([^,%s]*)%s*$"))
    if last ~= "chunked" then return "close" end
    return "chunked", nil, length ~= nil
  end
  if not length then return "close" end
  local first
  for text in string.gmatch(length, "[^,]*") do
    local item = string.match(text, "^%s*(%d+)%s*$") or (string.find(text, "%S") and "x" or first)
    if item and (item == "x" or #item > 15 or first and tonumber(first) ~= tonumber(item)) then
      return nil, "invalid content-length"
    end
    first = item
  end
  if not first then return nil, "invalid content-length" end
  return "length", tonumber(first)
end

return M

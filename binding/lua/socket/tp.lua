--- `socket.tp`: commands and replies, as FTP and SMTP have them in common.
--
-- Nothing here raises for what a server does: failures are nil and a message.

local ltn12 = require "ltn12"
local socket = require "socket"
local starttls = require "socket.starttls"

local ipairs, setmetatable, tonumber, tostring, type = ipairs, setmetatable, tonumber, tostring, type
local string, table = string, table

local M = {}
socket.tp = M

M.TIMEOUT = 60

-- A reply longer than this is given up.
local MAXLINE = 8192
local LINE = { most = MAXLINE }
local MAXLINES = 2000

local Control = { __name = "tp" }
local methods = {}
Control.__index = methods

-- Lua 5.1 ends a pattern at NUL and knows it as %z.
local BREAK = string.find("\0", "%z") and "[\r\n%z]" or "[\r\n\0]"

function M.connect(host, port, timeout, create)
  local sock, err = (create or socket.tcp)()
  if not sock then return nil, err end
  timeout = timeout or M.TIMEOUT
  sock:settimeout(timeout)
  local ok
  ok, err = sock:connect(host, port)
  if not ok then
    sock:close()
    return nil, err
  end
  return setmetatable({ c = sock, timeout = timeout }, Control)
end

-- Writes `CMD` or `CMD arg`. Neither can hold another command.
function methods:command(cmd, arg)
  local line = string.upper(cmd)
  if arg then line = line .. " " .. arg end
  if string.find(line, BREAK) then return nil, "invalid argument" end
  return self.c:send(line .. "\r\n")
end

-- The lines of one reply count against one time limit.
local function nextline(self, start, timed)
  if timed then
    local left = self.timeout - (socket.gettime() - start)
    if left <= 0 then return nil, "timeout" end
    self.c:settimeout(left)
  end
  local line, err = self.c:receive("*l", nil, LINE)
  if not line then return nil, err end
  if #line > MAXLINE then return nil, "line too long" end
  return line
end

local function receivemore(self, code, first)
  local lines, start, line, err = { first }, socket.gettime(), nil, nil
  local timed = self.timeout and self.timeout >= 0
  repeat
    line, err = nextline(self, start, timed)
    if line and #lines >= MAXLINES then line, err = nil, "reply too long" end
    lines[#lines + 1] = line
  until not line or line == code or string.sub(line, 1, 4) == code .. " "
  if timed then self.c:settimeout(self.timeout) end
  if not line then return nil, err end
  return table.concat(lines, "\n")
end

-- One reply: its code as text, and all its lines.
local function receivereply(self)
  local line, err = nextline(self)
  if not line then return nil, err end
  local code, separator = string.match(line, "^(%d%d%d)(.?)")
  if not code then return nil, "invalid server reply" end
  if separator ~= "-" then return code, line end
  line, err = receivemore(self, code, line)
  if not line then return nil, err end
  return code, line
end

local function fits(code, ok)
  if type(ok) == "table" then
    if ok.from then return tonumber(code) >= ok.from and tonumber(code) <= ok.to end
    for _, item in ipairs(ok) do
      if fits(code, item) then return true end
    end
    return false
  end
  return string.find(code, "^" .. tostring(ok)) ~= nil
end

-- Reads a reply and tests it: `ok` is a pattern for the beginning of the code, a number, a range { from =, to = }, a list
-- of these, or a function of code and reply that gives the results.
function methods:check(ok)
  local code, reply = receivereply(self)
  if not code then return nil, reply end
  if type(ok) == "function" then return ok(tonumber(code), reply) end
  if type(ok) == "number" then ok = string.format("%d", ok) end
  if fits(code, ok) then return tonumber(code), reply end
  return nil, reply
end

function methods:send(text)
  return self.c:send(text)
end

function methods:receive(pattern)
  return self.c:receive(pattern)
end

-- One `receive`, given to the sink.
function methods:sink(snk, pattern)
  local chunk, err = self.c:receive(pattern)
  return snk(chunk, err)
end

function methods:source(source, step)
  local ok, err = ltn12.pump.all(source, socket.sink("keep-open", self.c), step or ltn12.pump.step)
  return ok, err
end

-- TLS from here on. See `socket.starttls`.
function methods:starttls(host, options)
  local conn, err = starttls.upgrade(self.c, host, options, self.timeout)
  if not conn then return nil, err end
  self.c, self.secure = conn, true
  return 1
end

function methods:getpeername()
  return self.c:getpeername()
end

function methods:getsockname()
  return self.c:getsockname()
end

function methods:getfd()
  return self.c:getfd()
end

function methods:dirty()
  return self.c:dirty()
end

function methods:getcontrol()
  return self.c
end

function methods:close()
  self.c:close()
  return 1
end

return M

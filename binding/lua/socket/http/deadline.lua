--- A socket all of whose operations end by one instant.
--
-- Private to `socket.http`.

local now = require("socket.http.core").now
local socket = require "socket"

local rawget, setmetatable = rawget, setmetatable

local Timed = { __name = "http.timed" }
local methods = {}
local M = {}

-- The instant `timeout` seconds from now, or that of `deadline` on the clock of `socket.gettime`, whichever is first.
function M.instant(timeout, deadline)
  local left = timeout
  if deadline then
    local rest = deadline - socket.gettime()
    if not left or rest < left then left = rest end
  end
  return left and now() + left
end

function M.left(instant)
  return instant - now()
end

-- What the methods below do not know is asked of the socket within, of which it is a method.
function Timed.__index(self, name)
  local method = methods[name]
  if method then return method end
  local sock = rawget(self, "within")
  local value = sock[name]
  if value == nil then return nil end
  return function(_, ...) return sock[name](sock, ...) end
end

-- The instant is checked before each wait.
local function armed(self)
  local left = self.instant - now()
  if left <= 0 then return false end
  self.within:settimeout(left)
  return true
end

-- Not all sockets have this.
local function receiveany(self, most)
  if not armed(self) then return nil, "timeout", "" end
  return self.within:receiveany(most)
end

local function skipany(self, most)
  if not armed(self) then return nil, "timeout" end
  return self.within:skipany(most)
end

function M.timed(sock, instant)
  local timed = { within = sock, instant = instant }
  timed.receiveany, timed.skipany = sock.receiveany and receiveany, sock.skipany and skipany
  return setmetatable(timed, Timed)
end

function M.untimed(sock)
  return rawget(sock, "within")
end

function methods.settimeout()
  return 1
end

function methods:connect(host, port)
  if not armed(self) then return nil, "timeout" end
  return self.within:connect(host, port)
end

function methods:send(...)
  if not armed(self) then return nil, "timeout", 0 end
  return self.within:send(...)
end

function methods:receive(...)
  if not armed(self) then return nil, "timeout", "" end
  return self.within:receive(...)
end

return M

--- Idle connections, kept for the next request to the same place.
--
--     local pool = http.pool:new{ maxidle = 64, maxidleperhost = 8, idletime = 15 }

local core = require "socket.http.core"
local socket = require "socket"

local process = core.process
local next, pairs, setmetatable, table = next, pairs, setmetatable, table

local Pool = { __name = "http.pool" }
local methods = {}
Pool.__index = methods

local M = {}

-- At most so many idle connections in all and to one place, and how long one may wait for its next use (many servers
-- close after a minute, some after five seconds; a close by the server is noticed before use).
methods.maxidle = 256
methods.maxidleperhost = 128
methods.idletime = 30

function M.new(options)
  local pool = setmetatable({
    places = {}, idle = 0, process = process(), counts = { opened = 0, reused = 0, retried = 0, closed = 0 },
  }, Pool)
  for name, value in pairs(options or {}) do pool[name] = value end
  return pool
end

function methods.new(_, options)
  return M.new(options)
end

-- Each place has a stack: the last one put is the first one taken, so that those not needed grow old.

local function drop(pool, place, index)
  local stack = pool.places[place]
  local connection
  if index == #stack then
    connection, stack[index] = stack[index], nil
  else
    connection = table.remove(stack, index)
  end
  if not stack[1] then pool.places[place] = nil end
  pool.idle = pool.idle - 1
  return connection
end

local function discard(pool, place, index)
  local connection = drop(pool, place, index)
  pool.counts.closed = pool.counts.closed + 1
  connection:close()
end

local function expire(pool, place, now)
  local stack = pool.places[place]
  while stack and stack[1] and not (now - stack[1].since <= pool.idletime) do
    discard(pool, place, 1)
    stack = pool.places[place]
  end
end

-- A connection on which something has arrived since is closed by the server, or out of step. Our own sockets are asked for
-- it, which costs less than a select, and lets TLS read what is not for us.
local function quiet(connection)
  local sock = connection.c
  if sock.receiveany then
    sock:settimeout(0)
    local data, err = sock:receiveany(1)
    return not data and (err == "timeout" or err == "wantread")
  end
  if not sock.getfd then return false end
  local ready = socket.select({ sock }, nil, 0)
  return not ready[1]
end

-- What a forked child has inherited is its parent's: it is forgotten, and nothing is said there.
local function own(pool)
  if pool.process == process() then return end
  pool.places, pool.idle, pool.process = {}, 0, process()
end

function methods:take(place)
  own(self)
  expire(self, place, socket.gettime())
  local stack = self.places[place]
  while stack and stack[1] do
    local connection = drop(self, place, #stack)
    if quiet(connection) then
      self.counts.reused = self.counts.reused + 1
      return connection
    end
    self.counts.closed = self.counts.closed + 1
    connection:close()
    stack = self.places[place]
  end
end

local function oldest(pool)
  local place, since
  for key, stack in pairs(pool.places) do
    if not since or stack[1].since < since then place, since = key, stack[1].since end
  end
  return place
end

local function expireall(pool, now)
  local places = {}
  for place in pairs(pool.places) do places[#places + 1] = place end
  for i = 1, #places do expire(pool, places[i], now) end
end

function methods:put(place, connection)
  own(self)
  local now = socket.gettime()
  local stack = self.places[place]
  if self.idle >= self.maxidle then expireall(self, now) end
  if not stack then
    -- A new place is the moment to look at the others, of which perhaps nobody asks any more.
    expireall(self, now)
    stack = {}
  end
  self.places[place] = stack
  connection.since = now
  stack[#stack + 1] = connection
  self.idle = self.idle + 1
  if #stack > self.maxidleperhost then discard(self, place, 1) end
  if self.idle > self.maxidle then discard(self, oldest(self), 1) end
end

-- Closes what is idle; what is in use is closed when its request ends only if it may not be kept.
function methods:close()
  own(self)
  local place = next(self.places)
  while place do
    discard(self, place, #self.places[place])
    place = next(self.places)
  end
end

function methods:statistics()
  own(self)
  local result = { idle = self.idle, places = 0 }
  for name, value in pairs(self.counts) do result[name] = value end
  for _ in pairs(self.places) do result.places = result.places + 1 end
  return result
end

return M

--- Idle connections, kept for the next request to the same place.
--
--     local pool = http.pool:new{ maxidle = 64, maxidleperhost = 8, idletime = 15 }

local core = require "socket.http.core"
local socket = require "socket"

local now, process = core.now, core.process
local pairs, setmetatable, table = pairs, setmetatable, table

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

-- Each place has a stack: the last one put is the first one taken, so that those not needed grow old. `n` of them are in it.
-- An empty one stays until the others are looked at.

local function discard(pool, stack, index)
  local connection = table.remove(stack, index)
  stack.n = stack.n - 1
  pool.idle = pool.idle - 1
  pool.counts.closed = pool.counts.closed + 1
  connection:close()
end

local function expire(pool, stack, instant)
  while stack.n > 0 and not (instant - stack[1].since <= pool.idletime) do discard(pool, stack, 1) end
end

-- A connection on which something has arrived since is closed by the server, or out of step. Our own sockets know, and have
-- TLS read what is not for us.
local function isquiet(sock)
  if not sock.getfd then return false end
  local ready = socket.select({ sock }, nil, 0)
  return not ready[1]
end

-- What a forked child has inherited is its parent's: it is forgotten, and nothing is said there.
local function own(pool)
  pool.places, pool.idle, pool.process = {}, 0, process()
end

function methods:take(place)
  if self.process ~= process() then own(self) end
  local stack = self.places[place]
  if not stack or stack.n == 0 then return nil end
  local instant = now()
  if not (instant - stack[1].since <= self.idletime) then expire(self, stack, instant) end
  local n = stack.n
  while n > 0 do
    local connection, counts = stack[n], self.counts
    stack[n], stack.n = nil, n - 1
    self.idle = self.idle - 1
    local sock = connection.c
    if (sock.isquiet or isquiet)(sock) then
      counts.reused = counts.reused + 1
      return connection
    end
    counts.closed = counts.closed + 1
    connection:close()
    n = stack.n
  end
end

local function oldest(pool)
  local found
  for _, stack in pairs(pool.places) do
    if stack.n > 0 and (not found or stack[1].since < found[1].since) then found = stack end
  end
  return found
end

local function expireall(pool, instant)
  local stacks = {}
  for place, stack in pairs(pool.places) do stacks[place] = stack end
  for place, stack in pairs(stacks) do
    expire(pool, stack, instant)
    if stack.n == 0 then pool.places[place] = nil end
  end
end

function methods:put(place, connection)
  if self.process ~= process() then own(self) end
  local instant = now()
  local stack = self.places[place]
  -- A new place is the moment to look at the others, of which perhaps nobody asks any more.
  if not stack or self.idle >= self.maxidle then
    expireall(self, instant)
    stack = stack or { n = 0 }
    self.places[place] = stack
  end
  local n = stack.n + 1
  connection.since = instant
  stack[n] = connection -- may raise for lack of memory
  stack.n = n
  self.idle = self.idle + 1
  if n > self.maxidleperhost then discard(self, stack, 1) end
  if self.idle > self.maxidle then discard(self, oldest(self), 1) end
end

-- Closes what is idle; what is in use is closed when its request ends only if it may not be kept.
function methods:close()
  if self.process ~= process() then own(self) end
  local places = self.places
  self.places = {}
  for _, stack in pairs(places) do
    while stack.n > 0 do discard(self, stack, stack.n) end
  end
end

function methods:statistics()
  if self.process ~= process() then own(self) end
  local result = { idle = self.idle, places = 0 }
  for name, value in pairs(self.counts) do result[name] = value end
  for _, stack in pairs(self.places) do
    if stack.n > 0 then result.places = result.places + 1 end
  end
  return result
end

return M

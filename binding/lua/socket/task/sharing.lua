--- What tasks share: channels, semaphores, locks, events. Part of `socket.task`, which hands over how tasks stand in line.
local primitives, tasks = ...

local error, setmetatable = error, setmetatable
local current, yield = primitives.current, primitives.yield
local guarded, line, needs_task, pass_on = tasks.guarded, tasks.line, tasks.needs_task, tasks.pass_on
local stand_in, take, uncompiled = tasks.stand_in, tasks.take, tasks.uncompiled

local M = {}

-- Whoever goes on and on with what need not wait, lets others run now and then, and is reached by cancellation and
-- deadlines: before it takes effect, so that nothing is lost.

local SHARE = 200
local operations = 0

local function rest()
  operations = 0
  yield()
end

-- Channels.

local Channel = { __name = "task channel" }
Channel.__index = Channel

local NIL = {} -- stands for nil in a channel

--- A channel that holds up to `capacity` values (default 0: sender and receiver meet).
function M.channel(capacity)
  return setmetatable({
    capacity = capacity or 0, size = 0, first = 1,
    senders = line(), receivers = line(),
  }, Channel)
end

local function put(channel, value)
  if value == nil then value = NIL end
  channel[channel.first + channel.size] = value
  channel.size = channel.size + 1
end

local function get(channel)
  local first = channel.first
  local value = channel[first]
  channel[first] = nil
  channel.first, channel.size = first + 1, channel.size - 1
  if value ~= NIL then return value end
end

--- Sends a value: `true`, `nil, "timeout"`, or `nil, "closed"`.
function Channel:send(value, timeout)
  operations = operations + 1
  if operations >= SHARE then rest() end
  if self.closed then return nil, "closed" end
  local receiver = take(self.receivers)
  if receiver then
    receiver.value = value
    return true
  end
  if self.size < self.capacity then
    put(self, value)
    return true
  end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local record, err = stand_in(self.senders, needs_task("send"), timeout, { value = value })
  if not record then return nil, err end
  if record.closed then return nil, "closed" end
  return true
end

--- Receives a value; or `nil, "timeout"`, or `nil, "closed"` when the channel was closed
-- and is empty.
function Channel:receive(timeout)
  operations = operations + 1
  if operations >= SHARE then rest() end
  if self.size > 0 then
    local value = get(self)
    local sender = take(self.senders)
    if sender then put(self, sender.value) end
    return value
  end
  local sender = take(self.senders)
  if sender then return sender.value end
  if self.closed then return nil, "closed" end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local record, err = stand_in(self.receivers, needs_task("receive"), timeout, {})
  if not record then return nil, err end
  if record.closed then return nil, "closed" end
  return record.value
end

local function close(ends)
  local record = take(ends)
  while record do
    record.closed = true
    record = take(ends)
  end
end

--- Closes the channel: what it holds can still be received; whoever waits is told.
function Channel:close()
  self.closed = true
  close(self.senders)
  close(self.receivers)
  return 1
end

-- Semaphores, locks, events.

local Semaphore = { __name = "task semaphore" }
Semaphore.__index = Semaphore

--- A semaphore with `n` places (default 1): so many tasks can hold it at once.
function M.semaphore(n)
  return setmetatable({ free = n or 1, waiting = line() }, Semaphore)
end

--- A semaphore for one task.
function M.lock()
  local lock = M.semaphore(1)
  lock.is_lock = true
  return lock
end

--- Takes a place: `true`, or `nil, "timeout"`. First come, first served.
function Semaphore:acquire(timeout)
  operations = operations + 1
  if operations >= SHARE then rest() end
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local record, err = stand_in(self.waiting, needs_task("acquire"), timeout, {})
  if not record then return nil, err end
  return true
end

--- Gives a place back; one that was not taken is added, unless it is that of a lock.
function Semaphore:release()
  if self.is_lock and self.free > 0 then error("the lock is not held", 2) end
  if not take(self.waiting) then self.free = self.free + 1 end
  return 1
end

local function release(semaphore, ok, ...)
  semaphore:release()
  if ok then return ... end
  pass_on(current() or {}, (...))
end
uncompiled(release)

--- Calls `f(...)` while holding a place, whatever happens.
function Semaphore:with(f, ...)
  self:acquire()
  return release(self, guarded(f, ...))
end

local Event = { __name = "task event" }
Event.__index = Event

--- An event that tasks can wait for.
function M.event() return setmetatable({ waiting = line() }, Event) end

--- Lets all who wait go on, and all who come later, until `clear`.
function Event:set()
  self.is_set = true
  while take(self.waiting) do end
  return 1
end

--- Makes those who come wait again.
function Event:clear()
  self.is_set = false
  return 1
end

--- Waits until it is set: `true`, or `nil, "timeout"`.
function Event:wait(timeout)
  operations = operations + 1
  if operations >= SHARE then rest() end
  if self.is_set then return true end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local record, err = stand_in(self.waiting, needs_task("wait"), timeout, {})
  if not record then return nil, err end
  return true
end

return M

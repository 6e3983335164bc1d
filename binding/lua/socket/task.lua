--- `socket.task`: tasks in which the calls of LuaSocket let others run while they wait.
-- Here is what tasks are to each other; how they run is written in Rust (`primitives`).
local primitives, except = ...

local error, getmetatable, pcall, select = error, getmetatable, pcall, select
local pairs, setmetatable, tostring, type = pairs, setmetatable, tostring, type
local concat, stderr = table.concat, io.stderr
local pack = table.pack or function(...) return { n = select("#", ...), ... } end
local unpack = table.unpack or unpack
local current, now, start, wait = primitives.current, primitives.now, primitives.start, primitives.wait
local interrupt, wake = primitives.interrupt, primitives.wake

local M = {}

-- Tasks that have not ended, and the error that ends all of them.
local alive = {}
local fatal
local count = 0

local Task = { __name = "task" }
Task.__index = Task

-- What cancellation raises. Only this module knows it.
local Cancelled = { __name = "cancelled", __metatable = false }
function Cancelled.__tostring(token) return token.reason end
local cancelled = setmetatable({ reason = "cancelled" }, Cancelled)

except.attach(current, function(thrown) return thrown == cancelled end)

local function needs_task(what)
  local task = current()
  if not task then error(what .. " is for tasks: call it inside task.run", 3) end
  return task
end

-- Waiting for each other.

local Queue = {}
Queue.__index = Queue

local function queue() return setmetatable({ first = 1, last = 0 }, Queue) end

-- Waits in line; what whoever woke us has left in the record, or `nil` and why not.
function Queue:wait(task, timeout, record)
  record.task = task
  self.last = self.last + 1
  self[self.last] = record
  task.waiting = record
  local ok, err = wait(timeout)
  task.waiting = nil
  if ok then return record end
  record.gone = true
  self:trim()
  return nil, err
end

-- Takes records away that nobody waits with any more, where that is easy.
function Queue:trim()
  while self.last >= self.first and self[self.last].gone do
    self[self.last] = nil
    self.last = self.last - 1
  end
end

-- The first record in line that somebody still waits with, out of the line.
function Queue:take()
  while self.first <= self.last do
    local record = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    if record.task.waiting == record and not record.gone and wake(record.task.id) then
      record.task.waiting = nil
      return record
    end
  end
  self.first, self.last = 1, 0
end

-- Tasks.

-- Every task ends here, told by the loop.
function primitives.ended(task, ok, ...)
  task.results = pack(ok, ...)
  task.state = ok and "done" or (...) == cancelled and "cancelled" or "failed"
  task.thread, task.waiting, task.raise = nil, nil, nil
  alive[task] = nil
  local joined = false
  while task.joiners and task.joiners:take() do joined = true end
  if task.group then
    task.group:child_ended(task)
  elseif task.state == "failed" and not joined then
    M.fail(task)
  end
end

-- An error that nobody waits for ends all tasks.
function M.fail(task)
  if fatal then return end
  fatal = task
  for other in pairs(alive) do other:cancel() end
end

local function spawn(group, f, ...)
  if type(f) ~= "function" and not (getmetatable(f) or {}).__call then
    error("bad argument #1 to 'spawn' (function expected, got " .. type(f) .. ")", 3)
  end
  count = count + 1
  local task = setmetatable({ name = "task " .. count, state = "ready", group = group }, Task)
  alive[task] = true
  task.id = start(task, f, ...)
  return task
end

--- A new task that calls `f(...)` when the running one waits. An error in it that nobody
-- is joining by then ends all tasks and is raised by `run`.
function M.spawn(f, ...) return spawn(nil, f, ...) end

--- Waits until the task has ended: `true` and the results of its function, `false` and its
-- error, or `nil, "timeout"` after `timeout` seconds.
function Task:join(timeout)
  if not self.results then
    local task = needs_task("join")
    if task == self then error("a task cannot join itself", 2) end
    self.joiners = self.joiners or queue()
    local record, err = self.joiners:wait(task, timeout, {})
    if not record then return nil, err end
  end
  local results = self.results
  if results[1] then return unpack(results, 1, results.n) end
  return false, results[2]
end

--- Ends the task: what it waits for, now or next, raises an error there that is no
-- program's to catch. Returns 1; does nothing to a task that has ended.
function Task:cancel()
  if self.results then return 1 end
  self.cancelling = true
  self.raise = cancelled
  interrupt(self.id, true)
  return 1
end

--- `"ready"`, `"running"`, `"waiting"`, `"done"`, `"failed"` or `"cancelled"`.
function Task:status()
  if self.results then return self.state end
  if current() == self then return "running" end
  return primitives.waits(self.id) and "waiting" or "ready"
end

function Task:__tostring() return "task: " .. self.name end

--- The running task, or nil.
M.current = current

-- Running.

-- What is raised for the error of a task.
local function report(task)
  local err, traceback = task.results[2], task.results[3]
  if type(err) ~= "string" and not (getmetatable(err) or {}).__tostring then return err end
  local head = "task '" .. task.name .. "': " .. tostring(err)
  return traceback and head .. "\n" .. traceback or head
end

local function raise_fatal()
  if fatal then
    local task = fatal
    fatal = nil
    error(report(task), 0)
  end
end

-- Cancels whatever is left and lets it end.
local function finish()
  for task in pairs(alive) do task:cancel() end
  primitives.run()
end

local function names()
  local list = {}
  for task in pairs(alive) do list[#list + 1] = task.name end
  return concat(list, ", ")
end

--- Runs `f(...)` as the first task, and whatever it spawns; returns its results when all
-- tasks have ended. Raises the error of a task that nobody joins, with its name and a
-- traceback, after all others were cancelled.
function M.run(f, ...)
  if current() then error("task.run inside of a task", 2) end
  local main = spawn(nil, f, ...)
  main.name = "main"
  main.main = true
  local ran, left = pcall(primitives.run)
  if not ran then
    finish()
    fatal = nil
    error(left, 0)
  end
  if left > 0 then
    local waiting = names()
    finish()
    fatal = nil
    error("every task waits for another one: " .. waiting, 2)
  end
  raise_fatal()
  if main.state == "cancelled" then return nil, "cancelled" end
  return unpack(main.results, 2, main.results.n)
end

--- One turn of the loop, for programs with a loop of their own: runs what is ready, waits
-- at most `timeout` seconds (default: as long as it takes) for more, and runs that. Returns
-- the number of tasks left.
function M.step(timeout)
  if current() then error("task.step inside of a task", 2) end
  local left = primitives.turn(timeout)
  raise_fatal()
  return left
end

--- A descriptor that is readable when `step` would find something ready.
M.getfd = primitives.getfd

--- Counts: `tasks`, `ready`, `deadlines`, `stacks`.
function M.stats()
  local tasks, ready, deadlines, stacks = primitives.counts()
  return { tasks = tasks, ready = ready, deadlines = deadlines, stacks = stacks }
end

-- Time.

--- Seconds of a clock that only goes forward.
M.now = now

--- Lets other tasks run.
M.yield = primitives.yield

--- Waits `seconds`, as `socket.sleep`, which does the same in a task.
M.sleep = primitives.sleep

local function within(task, token, former, raise, ok, ...)
  primitives.deadline(former)
  task.deadline = former
  if task.raise == token then task.raise = raise end
  if ok then return ... end
  if (...) == token then return nil, "timeout" end
  error((...), 0)
end

--- Calls `f(...)` and returns its results; or `nil, "timeout"` if it is not over after
-- `seconds`: whatever it waits for then, ends. Of nested ones the nearest counts.
function M.timeout(seconds, f, ...)
  local task = needs_task("timeout")
  local at = now() + seconds
  local former = task.deadline
  if former and former <= at then return f(...) end
  local token = setmetatable({ reason = "timeout" }, Cancelled)
  local raise = task.raise
  primitives.deadline(at)
  task.deadline = at
  if raise ~= cancelled then task.raise = token end
  return within(task, token, former, raise, pcall(f, ...))
end

--- Waits until `object` (a descriptor, or anything with `getfd`) is ready for `mode`:
-- `"r"`, `"w"` or `"rw"`. `true`, or `nil, "timeout"`.
function M.wait(object, mode, timeout)
  local fd = object
  if type(object) ~= "number" then
    if mode ~= "w" and object.dirty and object:dirty() then return true end
    fd = object:getfd()
  end
  if fd < 0 then return nil, "closed" end
  return primitives.ready(fd, mode or "r", timeout)
end

-- Groups.

local Group = { __name = "task group" }
Group.__index = Group

--- A new task of the group.
function Group:spawn(f, ...)
  if self.left then error("the group is left", 2) end
  local task = spawn(self, f, ...)
  self.children[task] = true
  self.size = self.size + 1
  if self.failed then task:cancel() end
  return task
end

--- Cancels all tasks of the group.
function Group:cancel()
  for task in pairs(self.children) do task:cancel() end
end

function Group:child_ended(task)
  self.children[task] = nil
  self.size = self.size - 1
  if task.state == "failed" then self:fail(task.results[2]) end
  if self.size == 0 and self.parent_waits then
    self.parent_waits = false
    wake(self.parent.id)
  end
end

-- The first error cancels everything in the group, its own function included.
function Group:fail(err)
  if self.failed then return end
  self.failed, self.error = true, err
  self:cancel()
  if self.inside and not self.parent.cancelling then
    self.parent.raise = self.token
    interrupt(self.parent.id)
  end
end

local function leave(group, raise, ok, ...)
  group.inside = false
  local parent = group.parent
  if parent.raise == group.token then parent.raise = raise end
  primitives.calm(parent.id, parent.raise ~= nil and parent.cancelling or false)
  if not ok and (...) ~= group.token then group:fail((...)) end
  while group.size > 0 do
    group.parent_waits = true
    wait(nil, true)
  end
  group.left = true
  if group.failed then error(group.error, 0) end
  return ...
end

--- Calls `f(group, ...)` and returns its results when it and all tasks that it has made
-- with `group:spawn` have ended. The first error, in any of them, cancels the others and
-- is raised.
function M.group(f, ...)
  local parent = needs_task("group")
  local token = setmetatable({ reason = "cancelled" }, Cancelled)
  local group = setmetatable(
    { children = {}, size = 0, parent = parent, token = token, inside = true }, Group)
  return leave(group, parent.raise, pcall(f, group, ...))
end

-- Channels.

local Channel = { __name = "task channel" }
Channel.__index = Channel

--- A channel that holds up to `capacity` values (default 0: sender and receiver meet).
function M.channel(capacity)
  return setmetatable({
    capacity = capacity or 0, size = 0, first = 1,
    senders = queue(), receivers = queue(),
  }, Channel)
end

--- Sends a value: `true`, `nil, "timeout"`, or `nil, "closed"`.
function Channel:send(value, timeout)
  if self.closed then return nil, "closed" end
  local receiver = self.receivers:take()
  if receiver then
    receiver.value = value
    return true
  end
  if self.size < self.capacity then
    self[self.first + self.size] = { value }
    self.size = self.size + 1
    return true
  end
  if timeout == 0 then return nil, "timeout" end
  local record, err = self.senders:wait(needs_task("send"), timeout, { value = value })
  if not record then return nil, err end
  if record.closed then return nil, "closed" end
  return true
end

--- Receives a value; or `nil, "timeout"`, or `nil, "closed"` when the channel was closed
-- and is empty.
function Channel:receive(timeout)
  if self.size > 0 then
    local value = self[self.first][1]
    self[self.first] = nil
    self.first, self.size = self.first + 1, self.size - 1
    local sender = self.senders:take()
    if sender then
      self[self.first + self.size] = { sender.value }
      self.size = self.size + 1
    end
    return value
  end
  local sender = self.senders:take()
  if sender then return sender.value end
  if self.closed then return nil, "closed" end
  if timeout == 0 then return nil, "timeout" end
  local record, err = self.receivers:wait(needs_task("receive"), timeout, {})
  if not record then return nil, err end
  if record.closed then return nil, "closed" end
  return record.value
end

--- Closes the channel: what it holds can still be received; whoever waits is told.
function Channel:close()
  self.closed = true
  for _, line in pairs { self.senders, self.receivers } do
    local record = line:take()
    while record do
      record.closed = true
      record = line:take()
    end
  end
  return 1
end

-- Semaphores, locks, events.

local Semaphore = { __name = "task semaphore" }
Semaphore.__index = Semaphore

--- A semaphore that `n` tasks can hold at once.
function M.semaphore(n)
  return setmetatable({ free = n or 1, line = queue() }, Semaphore)
end

--- A semaphore for one task.
function M.lock() return M.semaphore(1) end

--- Takes a place: `true`, or `nil, "timeout"`. First come, first served.
function Semaphore:acquire(timeout)
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  if timeout == 0 then return nil, "timeout" end
  local record, err = self.line:wait(needs_task("acquire"), timeout, {})
  if not record then return nil, err end
  return true
end

--- Gives a place back.
function Semaphore:release()
  if not self.line:take() then self.free = self.free + 1 end
  return 1
end

local function release(semaphore, ok, ...)
  semaphore:release()
  if ok then return ... end
  error((...), 0)
end

--- Calls `f(...)` while holding a place, whatever happens.
function Semaphore:with(f, ...)
  self:acquire()
  return release(self, pcall(f, ...))
end

local Event = { __name = "task event" }
Event.__index = Event

--- An event that tasks can wait for.
function M.event() return setmetatable({ line = queue() }, Event) end

--- Lets all who wait go on, and all who come later, until `clear`.
function Event:set()
  self.is_set = true
  while self.line:take() do end
  return 1
end

--- Makes those who come wait again.
function Event:clear()
  self.is_set = false
  return 1
end

--- Waits until it is set: `true`, or `nil, "timeout"`.
function Event:wait(timeout)
  if self.is_set then return true end
  if timeout == 0 then return nil, "timeout" end
  local record, err = self.line:wait(needs_task("wait"), timeout, {})
  if not record then return nil, err end
  return true
end

-- Serving.

-- Errors of accept after which it makes sense to go on, after a while.
local transient = {
  ["Too many open files"] = true,
  ["Too many open files in system"] = true,
  ["No buffer space available"] = true,
  ["Cannot allocate memory"] = true,
}

local function complain(err)
  stderr:write("socket.task: a handler failed: ", tostring(err), "\n")
end

--- Accepts connections on `listener` and calls `handler(client)` for each, in a task of its
-- own, at most `options.max` at once; closes the client afterwards. `options.on_error(err)`
-- is told of errors in handlers (default: written to stderr). Ends when the listener is
-- closed, after all handlers have ended; returns 1, or `nil` and the error of `accept`.
function M.serve(listener, handler, options)
  options = options or {}
  local on_error = options.on_error or complain
  local places = options.max and M.semaphore(options.max)
  return M.group(function(group)
    local function handle(client)
      local ok, err = pcall(handler, client)
      client:close()
      if places then places:release() end
      if ok then return end
      if err == cancelled then error(err, 0) end
      on_error(err)
    end
    while true do
      if places then places:acquire() end
      local client, err = listener:accept()
      if client then
        group:spawn(handle, client)
      else
        if places then places:release() end
        if err == "closed" then return 1 end
        if err ~= "timeout" then
          if not transient[err] then return nil, err end
          M.sleep(0.05)
        end
      end
    end
  end)
end

return M

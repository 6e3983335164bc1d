--- `socket.task`: tasks in which the calls of LuaSocket let others run while they wait.
-- Here is what tasks are to each other; how they run is written in Rust (`primitives`), and what they share is in
-- `socket/task/sharing.lua`.
local primitives, except = ...

local error, getmetatable, next, pairs, pcall = error, getmetatable, next, pairs, pcall
local rawequal, rawget, select, setmetatable = rawequal, rawget, select, setmetatable
local tonumber, tostring, type, xpcall = tonumber, tostring, type, xpcall
local concat, stderr, traceback = table.concat, io.stderr, debug.traceback
local pack = table.pack or function(...) return { n = select("#", ...), ... } end
local unpack = table.unpack or unpack
local current, now, start, wait = primitives.current, primitives.now, primitives.start, primitives.wait
local calm, interrupt, wake = primitives.calm, primitives.interrupt, primitives.wake

local M = {}

-- Tasks that have not ended; the task whose error ends all of them; whether all are to end;
-- the request to stop, if there was one.
local alive = {}
local fatal, stopping
local ending = false
local count = 0

local Task = { __name = "task" }
Task.__index = Task

-- What ends waits is raised as a token that only this module knows: `cancelled`, or the scope
-- that is over.
local Token = { __name = "cancelled", __metatable = false }
function Token.__tostring(token) return token.reason end

local function new_token(reason, outer)
  return setmetatable({ mark = Token, reason = reason, outer = outer }, Token)
end

local function is_token(thrown) return type(thrown) == "table" and rawget(thrown, "mark") == Token end

local cancelled = new_token("cancelled")

except.attach(current, is_token)
local uncompiled = except.uncompiled

local function needs_task(what)
  local task = current()
  if not task then error(what .. " is for tasks: call it inside task.run", 3) end
  return task
end

-- Scopes: parts of a task that can end early, each inside of another. A scope that is over ends
-- every wait in it, by raising itself; of several that are over, the outermost. A deadline,
-- if there is one, is that of the innermost scope with one.

local function update(task)
  local raise, over = nil, task.cancelling
  local scope = task.scope
  while scope do
    if scope.over then
      raise, over = scope, true
    elseif scope.deadline and not raise then
      raise = scope
    end
    scope = scope.outer
  end
  if task.cancelling then raise = cancelled end
  task.raise, task.interrupted = raise, over
  if not task.id then return end -- it has ended before its children
  if over then interrupt(task.id) else calm(task.id) end
end

local function enter(task, reason)
  local scope = new_token(reason, task.scope)
  task.scope = scope
  return scope
end

local function leave(task, scope)
  task.scope = scope.outer
  if task.interrupted then update(task) end
end

-- Where an error comes from is noted where a scope ends it: beyond, its traceback would be that
-- of the scope.
local function is_passed_on(task, err)
  local passes = task.passes and rawequal(task.origin.err, err)
  task.passes = nil
  return passes
end

local function note(err)
  local task = current()
  if task and not is_token(err) and not is_passed_on(task, err) then
    task.origin = { err = err, name = task.name, traceback = traceback("", 2):sub(2) }
  end
  return err
end

local function pass_on(task, err)
  task.passes = task.origin ~= nil
  error(err, 0)
end

local guarded = function(f, ...) return xpcall(f, note, ...) end
if not xpcall(function(...) return select("#", ...) == 1 or error() end, note, 1) then
  guarded = function(f, ...)
    local arguments = pack(...)
    return xpcall(function() return f(unpack(arguments, 1, arguments.n)) end, note)
  end
end

-- Waiting for each other: lines of records, each of a task that waits.

local function line()
  local ends = {}
  ends.next, ends.previous = ends, ends
  return ends
end

local function remove(record)
  record.previous.next, record.next.previous = record.next, record.previous
  record.next, record.previous = nil, nil
end

-- Waits in line; what whoever woke us has left in the record, or `nil` and why not.
local function stand_in(ends, task, timeout, record)
  local last = ends.previous
  record.task, record.next, record.previous = task, ends, last
  last.next, ends.previous = record, record
  local ok, err = wait(timeout)
  if ok then return record end
  if record.next then remove(record) end
  if err == "interrupted" then error(task.raise, 0) end
  return nil, err
end

-- The first record in line that somebody still waits with, out of the line.
local function take(ends)
  local record = ends.next
  while record ~= ends do
    remove(record)
    local id = record.task.id -- none if it was lost in line
    if id and wake(id) then return record end
    record = ends.next
  end
end

-- Tasks.

-- An error that nobody waits for ends all tasks.
local function fail(task)
  if fatal then return end
  fatal, ending = task, true
  for other in pairs(alive) do other:cancel() end
end

-- Every task ends here, told by the loop; once more if memory was lacking.
function primitives.ended(task, ...)
  local results = task.results or pack(...)
  task.results = results
  local ok, err = results[1], results[2]
  task.state = ok and "done" or rawequal(err, cancelled) and "cancelled" or "failed"
  if task.state == "failed" and not is_passed_on(task, err) then
    task.origin = { err = err, name = task.name, traceback = select(3, ...) }
  end
  local known = alive[task]
  task.id, task.raise, task.scope, task.finalizers, task.noted = false, nil, nil, nil, nil
  local joined = false
  while task.joiners and take(task.joiners) do joined = true end
  if task.at_end then task.at_end(task) end
  if task.group then
    task.group:child_ended(task)
  elseif task.state == "failed" and not joined and known then
    fail(task)
  end
  alive[task] = nil
end

local function spawn(group, f, ...)
  if type(f) ~= "function" and not (getmetatable(f) or {}).__call then
    error("bad argument #1 to 'spawn' (function expected, got " .. type(f) .. ")", 3)
  end
  count = count + 1
  local task = setmetatable({ name = "task " .. count, state = "ready", id = false, group = group }, Task)
  -- What may lack memory comes first: who has started must be known.
  alive[task] = true
  if group then group.children[task] = true end
  task.id = start(task, f, ...)
  if group then group.size = group.size + 1 end
  if ending then task:cancel() end
  return task
end

--- A new task that calls `f(...)` when the running one waits. An error in it that nobody
-- is joining by then ends all tasks and is raised by `run`.
function M.spawn(f, ...)
  local task = spawn(nil, f, ...)
  return task
end

local function spawn_behind(standing, f, ...)
  local task = spawn(nil, f, ...)
  task.standing = standing
  if not ending then primitives.standing(task.id, standing) end
  return task
end

--- A new task, as by `spawn`, which `run` does not wait for: when all others have ended it is
-- cancelled.
function M.background(f, ...)
  local task = spawn_behind("background", f, ...)
  return task
end

--- Waits until the task has ended: `true` and the results of its function, `false` and its
-- error, or `nil, "timeout"` after `timeout` seconds.
function Task:join(timeout)
  if not self.results then
    local task = needs_task("join")
    if task == self then error("a task cannot join itself", 2) end
    if timeout and timeout <= 0 then return nil, "timeout" end
    self.joiners = self.joiners or line()
    local record, err = stand_in(self.joiners, task, timeout, {})
    if not record then return nil, err end
  end
  local results = self.results
  if results[1] then return unpack(results, 1, results.n) end
  return false, results[2]
end

--- Ends the task: from now on whatever it waits for raises an error there that is no
-- program's to catch. Returns 1; does nothing to a task that has ended.
function Task:cancel()
  if self.results or not self.id then return 1 end
  self.cancelling = true
  update(self)
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
  local err, origin = task.results[2], task.origin
  local metatable = getmetatable(err)
  local readable = type(metatable) == "table" and rawget(metatable, "__tostring")
  local ok, text = type(err) == "string", err
  if readable and not ok then ok, text = pcall(tostring, err) end
  if not ok then return err end
  local head = "task '" .. origin.name .. "': " .. text
  return origin.traceback and head .. "\n" .. origin.traceback or head
end

local function raise_fatal()
  if fatal then
    local task = fatal
    fatal, ending = nil, false
    error(report(task), 0)
  end
end

-- In the runner, Ctrl-C interrupts twice: what waits, and whatever Lua code comes next.
local function run_all()
  local ran, left = pcall(primitives.run)
  if not ran then error(left, 0) end
  return left
end

-- For how long an interrupted program waits for tasks that were cancelled.
local PATIENCE = 1

-- Cancels whatever is left, which is nothing but what runs in the background if all went
-- well, and lets it end, for at most `patience` seconds if given.
local function finish(patience)
  ending = true
  for task in pairs(alive) do
    if task.id then
      primitives.standing(task.id, "awaited")
      task:cancel()
    else
      alive[task] = nil -- there was no memory to start it
    end
  end
  if not patience then return pcall(primitives.run) end
  local over = now() + patience
  repeat
    local ran, left = pcall(primitives.turn, over - now())
  until not ran or left == 0 or now() >= over
end

-- Whether a run was not brought to its end, and the tasks that it has left are not to matter to
-- the next one.
local unfinished = false

local function forget_last_run()
  fatal, ending, stopping = nil, false, nil
  for task in pairs(alive) do
    alive[task] = nil
    if task.id then
      primitives.standing(task.id, "awaited")
      task:cancel()
    end
  end
end

local function names()
  local list = {}
  for task in pairs(alive) do
    if not task.standing then list[#list + 1] = task.name end
  end
  return concat(list, ", ")
end

--- Runs `f(...)` as the first task, and whatever it spawns; returns its results when all
-- tasks have ended. Raises the error of a task that nobody joins, with its name and a
-- traceback, after all others were cancelled.
function M.run(f, ...)
  if current() then error("task.run inside of a task", 2) end
  if primitives.runs() then error("task.run while tasks are running", 2) end
  if unfinished then forget_last_run() end
  unfinished = true
  local main = spawn(nil, f, ...)
  main.name = "main"
  local ran, left = pcall(run_all)
  local waiting = ran and left > 0 and not stopping and names()
  if next(alive) then finish(left == "interrupted!" and PATIENCE) end
  ending, stopping = false, nil
  unfinished = not ran and next(alive) ~= nil
  if waiting or not ran then
    fatal = nil
    if not ran then error(left, 0) end
    error("every task waits for another one: " .. waiting, 2)
  end
  raise_fatal()
  if main.state == "cancelled" then return nil, "cancelled" end
  return unpack(main.results, 2, main.results.n)
end

--- One turn of the loop, for programs with a loop of their own: runs what is ready, waits
-- at most `timeout` seconds (default: as long as it takes) for more, and runs that. Returns
-- the number of tasks left, and the number of seconds after which it wants to be called again
-- even if `getfd` has not become readable (nil: none).
function M.step(timeout)
  if current() then error("task.step inside of a task", 2) end
  local left = primitives.turn(timeout)
  if left == 0 then ending, stopping = false, nil end
  raise_fatal()
  return left, primitives.patience()
end

--- A descriptor that is readable when an event waits for `step`.
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

local function within(task, scope, former, raise, ok, ...)
  primitives.deadline(former)
  task.deadline, task.raise = former, raise
  leave(task, scope)
  if ok then return ... end
  if rawequal((...), scope) then return nil, "timeout" end
  pass_on(task, (...))
end
uncompiled(within)

--- Calls `f(...)` and returns its results; or `nil, "timeout"` if it is not over after
-- `seconds`: whatever it waits for then, ends. Of nested ones the nearest counts.
function M.timeout(seconds, f, ...)
  local task = needs_task("timeout")
  if not tonumber(seconds) then
    error("bad argument #1 to 'timeout' (number expected, got " .. type(seconds) .. ")", 2)
  end
  local at = now() + seconds
  local former = task.deadline
  if former and former <= at then return f(...) end
  local scope = enter(task, "timeout")
  scope.deadline = true
  local raise = task.raise
  if not task.interrupted then task.raise = scope end
  primitives.deadline(at)
  task.deadline = at
  return within(task, scope, former, raise, guarded(f, ...))
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
  if self.failed then task:cancel() end
  return task
end

--- Cancels all tasks of the group.
function Group:cancel()
  for task in pairs(self.children) do task:cancel() end
end

function Group:child_ended(task)
  if self.children[task] then
    self.children[task] = nil
    self.size = self.size - 1
  end
  if task.state == "failed" and not task.at_end then
    if not self.failed then self.parent.origin = task.origin end
    self:fail(task.results[2])
  end
  local parent = self.parent
  if self.size == 0 and self.parent_waits and parent.id then wake(parent.id) end
end

-- The first error cancels everything in the group, its own function included.
function Group:fail(err)
  if self.failed then return end
  self.failed, self.error = true, err
  self:cancel()
  self.scope.over = true
  update(self.parent)
end

local function leave_group(group, ok, ...)
  local parent = group.parent
  if not ok and not rawequal((...), group.scope) then group:fail((...)) end
  while group.size > 0 do
    group.parent_waits = true
    local _, why = wait(nil, group.failed)
    group.parent_waits = false
    if why == "interrupted" then group:fail(parent.raise) end
  end
  group.left = true
  leave(parent, group.scope)
  if group.failed then pass_on(parent, group.error) end
  return ...
end
uncompiled(leave_group)

--- Calls `f(group, ...)` and returns its results when it and all tasks that it has made
-- with `group:spawn` have ended. The first error, in any of them, cancels the others and
-- is raised.
function M.group(f, ...)
  local parent = needs_task("group")
  local scope = enter(parent, "cancelled")
  local group = setmetatable({ children = {}, size = 0, parent = parent, scope = scope }, Group)
  return leave_group(group, guarded(f, group, ...))
end

-- Channels, semaphores, locks, events.

for name, make in pairs(primitives.sharing(primitives, {
  guarded = guarded, line = line, needs_task = needs_task, pass_on = pass_on, stand_in = stand_in, take = take,
  uncompiled = uncompiled,
})) do M[name] = make end

-- Serving.

-- Errors of accept after which it makes sense to go on, after a while.
local transient = {
  ["Too many open files"] = true,
  ["Too many open files in system"] = true,
  ["No buffer space available"] = true,
  ["Cannot allocate memory"] = true,
}
local A_WHILE = 0.05

-- The services under way.
local services = {}

local function complain(err, trace)
  stderr:write("socket.task: a handler failed: ", tostring(err), trace and "\n" .. trace or "", "\n")
end

-- What comes after a handler, whichever way it has ended.
local function after(task)
  local service = task.service
  task.client:close()
  if service.places then service.places:release() end
  if task.state == "failed" then
    service.group:spawn(service.on_error, task.results[2], task.origin.traceback)
  end
end

-- No error in a handler's end may get lost, nor end the loop.
local function at_end(task)
  local ok, err = pcall(after, task)
  if not ok then task.service.group:fail(err) end
end

local function accept_all(group, listener, handler, service)
  service.group = group
  local places = service.places
  while true do
    if places then places:acquire() end
    local client, err = listener:accept()
    if client then
      local task = group:spawn(handler, client)
      task.client, task.service, task.at_end = client, service, at_end
    else
      if places then places:release() end
      if err == "closed" then return 1 end
      if err == "timeout" then
        M.wait(listener)
      elseif transient[err] then
        M.sleep(A_WHILE)
      else
        return nil, err
      end
    end
  end
end

local function end_service(service, ok, ...)
  services[service] = nil
  if ok then return ... end
  error((...), 0)
end

--- Accepts connections on `listener` and calls `handler(client)` for each, in a task of its
-- own, at most `options.max` at once; closes the client afterwards. `options.on_error(err,
-- traceback)` is told of errors in handlers (default: written to stderr). Ends when the
-- listener is closed, after all handlers have ended; returns 1, or `nil` and the error of
-- `accept`.
function M.serve(listener, handler, options)
  options = options or {}
  needs_task("serve")
  local service = {
    listener = listener,
    on_error = options.on_error or complain,
    places = options.max and M.semaphore(options.max),
  }
  services[service] = true
  if stopping then listener:close() end
  return end_service(service, pcall(M.group, accept_all, listener, handler, service))
end

-- Stopping. Who waits to hear of it stands in line.

local listening = line()

local function cancel_all(request, grace)
  M.sleep(grace)
  if stopping ~= request then return end
  ending = true
  for task in pairs(alive) do
    if not task.standing then task:cancel() end
  end
end

--- Has all tasks come to an end: closes the listeners of `serve`, so that nobody new is
-- served, and cancels the tasks that are left after `grace` seconds (default 0), or when
-- all of them wait for each other. Does not wait for that. A second call does nothing.
function M.stop(grace)
  if stopping or not next(alive) then return 1 end
  stopping = {}
  for service in pairs(services) do service.listener:close() end
  while take(listening) do end
  spawn_behind("aside", cancel_all, stopping, grace or 0)
  return 1
end

local function stop_when_readable(object, grace)
  if M.wait(object, "r") then M.stop(grace) end
end

--- Has `stop(grace)` called when `object` (a descriptor, or anything with `getfd`) becomes
-- readable.
function M.stop_on(object, grace)
  spawn_behind("aside", stop_when_readable, object, grace)
  return 1
end

--- Whether `stop` was called: time to end what could go on for ever. Waits for it at most
-- `timeout` seconds (default 0).
function M.stopping(timeout)
  if not stopping and timeout and timeout > 0 then
    stand_in(listening, needs_task("stopping"), timeout, {})
  end
  return stopping ~= nil
end

return M

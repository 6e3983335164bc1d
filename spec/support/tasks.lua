-- Tests that run as tasks.
--
--     in_task(name, fn [, seconds])   one test; fn runs as the first task. It fails if it hangs (10 seconds unless said
--                                     otherwise), or leaves a task or a deadline. Not over the C library
--     sleeper()                       a task that sleeps for an hour
--     waiting(handle)                 lets others run until that task waits; returns it
--     still_waiting(fn, ...)          fn(...) runs as a task, which must still wait after a while; returns its handle
--     counter()                       a function that counts its calls, and one that tells how often it was called

local error, pairs, require = error, pairs, require

local support = ...
local M = {}

-- One that hangs is ended by an error, which names what it waits with.
local function watch(task, seconds)
  return task.spawn(function()
    task.current().name = "watch"
    task.sleep(seconds)
    error("hangs")
  end)
end

function M.in_task(name, fn, seconds)
  support.fix(name, function()
    local task = require "socket.task"
    task.run(function()
      local watcher = watch(task, seconds or 10)
      fn(task)
      watcher:cancel()
    end)
    local stats = task.stats()
    for _, key in pairs { "tasks", "ready", "deadlines" } do
      if stats[key] ~= 0 then error("leaves " .. stats[key] .. " " .. key) end
    end
  end, (seconds or 10) + 1)
end

function M.sleeper()
  local task = require "socket.task"
  return task.spawn(task.sleep, 3600)
end

function M.waiting(handle)
  local task = require "socket.task"
  for _ = 1, 1000 do
    if handle:status() == "waiting" then return handle end
    task.yield()
  end
  error("the task does not wait: it is " .. handle:status(), 2)
end

function M.still_waiting(fn, ...)
  local task = require "socket.task"
  local handle = task.spawn(fn, ...)
  task.sleep(0.02)
  if handle:status() ~= "waiting" then error("the task does not wait: it is " .. handle:status(), 2) end
  return handle
end

function M.counter()
  local n = 0
  return function() n = n + 1 end, function() return n end
end

return M

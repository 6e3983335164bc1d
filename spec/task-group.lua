-- Groups: left only when all their tasks have ended; the first error cancels the others.

local t = require "support"

if t.reference then
  t.test("groups", function() t.skip("the C library has no tasks") end)
  t.done()
end

local task = require "socket.task"

local function sleep_for_ever() task.sleep(3600) end

t.in_task("a group returns what its function returns", function()
  t.returns({ n = 3, 1, nil, "x" }, task.group(function(_, ...) return ... end, 1, nil, "x"))
  t.returns(0, task.group(function() end))
end)

t.in_task("a group is left when all its tasks have ended", function()
  local ended = 0
  t.returns({ "result" }, task.group(function(group)
    for i = 1, 5 do
      group:spawn(function()
        task.sleep(i * 0.003)
        ended = ended + 1
      end)
    end
    return "result"
  end))
  t.equal(ended, 5)
end)

t.in_task("tasks of a group may spawn into it", function()
  local ended = 0
  task.group(function(group)
    local function work(n)
      task.yield()
      if n > 0 then
        group:spawn(work, n - 1)
        group:spawn(work, n - 1)
      end
      ended = ended + 1
    end
    group:spawn(work, 4)
  end)
  t.equal(ended, 31)
end)

t.in_task("a task of a group is a handle like any other", function()
  task.group(function(group)
    local handle = group:spawn(function(...) return ... end, 1, 2)
    t.returns({ true, 1, 2 }, handle:join())
    t.equal(handle:status(), "done")
  end)
end)

t.in_task("a group that is left takes no more tasks", function()
  local left
  task.group(function(group) left = group end)
  t.raises("the group is left", function() left:spawn(print) end)
  t.raises({ match = "bad argument #1 to 'spawn' %(function expected, got nil%)" }, function()
    task.group(function(group) group:spawn() end)
  end)
end)

t.in_task("the first error of a task cancels the others and is raised", function()
  local cancelled = 0
  local value = { "an error" }
  t.raises({ value = value }, task.group, function(group)
    for _ = 1, 3 do
      group:spawn(function()
        local ok, err = pcall(sleep_for_ever)
        if not ok and tostring(err) == "cancelled" then cancelled = cancelled + 1 end
        error(err, 0)
      end)
    end
    group:spawn(function()
      task.sleep(0.005)
      error(value)
    end)
  end)
  t.equal(cancelled, 3)
end)

t.in_task("an error of a task ends the function of the group", function()
  local seen
  t.raises({ exact = "boom" }, task.group, function(group)
    group:spawn(function()
      task.sleep(0.005)
      error("boom", 0)
    end)
    local ok, err = pcall(sleep_for_ever)
    seen = not ok and tostring(err)
    sleep_for_ever() -- and goes on ending it
  end)
  t.equal(seen, "cancelled")
end)

t.in_task("an error of the function cancels the tasks", function()
  local handle
  t.raises({ match = "task%-group.lua:%d+: mine" }, task.group, function(group)
    handle = group:spawn(sleep_for_ever)
    task.yield()
    error "mine"
  end)
  t.equal(handle:status(), "cancelled")
end)

t.in_task("errors after the first are dropped", function()
  t.raises({ exact = "first" }, task.group, function(group)
    group:spawn(function()
      pcall(sleep_for_ever)
      error("second", 0)
    end)
    group:spawn(error, "first", 0)
    local ok = pcall(sleep_for_ever)
    t.equal(ok, false)
    error "third"
  end)
end)

t.in_task("an error of a task that ends at once", function()
  t.raises({ exact = "at once" }, task.group, function(group) group:spawn(error, "at once", 0) end)
  t.raises({ exact = "at once" }, task.group, function(group)
    group:spawn(error, "at once", 0)
    task.yield()
    task.yield()
  end)
end)

t.in_task("after an error everything is as before", function()
  t.raises({ exact = "boom" }, task.group, function(group)
    group:spawn(error, "boom", 0)
    sleep_for_ever()
  end)
  t.between(t.elapsed(task.sleep, 0.01), 0.01, 5)
  t.returns({ n = 2, nil, "timeout" }, task.timeout(0.005, sleep_for_ever))
  t.returns({ "fine" }, task.group(function() return "fine" end))
end)

t.test("an error that leaves a group tells where it comes from", function()
  local text = t.raises({ match = "boom" }, task.run, function()
    task.group(function(group)
      task.group(function(inner)
        local handle = inner:spawn(function()
          local function culprit() error "boom" end
          culprit()
        end)
        handle.name = "the culprit"
        sleep_for_ever()
      end)
      group:spawn(sleep_for_ever)
    end)
  end)
  t.match(text, "^task 'the culprit': [^\n]*task%-group.lua:%d+: boom\nstack traceback:")
  local line = text:match("task%-group.lua:(%d+): boom")
  t.match(text, "task%-group.lua:" .. line .. ": in ")
end)

t.test("an error in the function of a group has the traceback of its place", function()
  local text = t.raises({ match = "boom" }, task.run, function()
    task.group(function()
      local function culprit() error "boom" end
      task.timeout(1, culprit)
    end)
  end)
  t.match(text, "^task 'main': [^\n]*boom\nstack traceback:")
  local line = text:match("task%-group.lua:(%d+): boom")
  t.match(text, "task%-group.lua:" .. line .. ": in ")
end)

----------------------------------------------------------------------------------------------------------- cancelling

t.in_task("cancel of a group", function()
  local handles = {}
  t.returns({ "result" }, task.group(function(group)
    for i = 1, 3 do handles[i] = group:spawn(sleep_for_ever) end
    task.yield()
    group:cancel()
    return "result"
  end))
  for i = 1, 3 do t.equal(handles[i]:status(), "cancelled") end
end)

t.in_task("one task of a group may be cancelled without harm to the others", function()
  local done
  task.group(function(group)
    local handle = group:spawn(sleep_for_ever)
    group:spawn(function()
      task.sleep(0.005)
      handle:cancel()
      task.sleep(0.005)
      done = true
    end)
  end)
  t.equal(done, true)
end)

local function is_cancelled_with(fn)
  local inner = {}
  local handle = t.waiting(task.spawn(task.group, function(group)
    for i = 1, 3 do inner[i] = group:spawn(sleep_for_ever) end
    return fn(group)
  end))
  task.sleep(0.005)
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(handle:status(), "cancelled")
  for i = 1, 3 do t.equal(inner[i]:status(), "cancelled") end
end

t.in_task("who is cancelled in the function of a group cancels its tasks", function()
  is_cancelled_with(sleep_for_ever)
end)

t.in_task("who is cancelled while it waits for the tasks of a group cancels them", function()
  is_cancelled_with(function() end)
end)

t.in_task("who is cancelled in a group within a group", function()
  local innermost
  is_cancelled_with(function()
    task.group(function(group) innermost = group:spawn(sleep_for_ever) end)
  end)
  t.equal(innermost:status(), "cancelled")
end)

t.in_task("a cancelled group waits for tasks that clean up", function()
  local cleaned
  local handle = t.waiting(task.spawn(task.group, function(group)
    group:spawn(function()
      pcall(sleep_for_ever)
      for _ = 1, 10 do pcall(task.yield) end
      cleaned = true
    end)
  end))
  task.yield()
  handle:cancel()
  t.equal((handle:join()), false)
  t.equal(cleaned, true)
end)

-- What an error of an outer group begins, an inner one must not undo.
t.in_task("an inner group is left while the outer one fails", function()
  local went_on
  t.raises({ exact = "outer" }, task.group, function(outer)
    local gate = task.event()
    outer:spawn(function()
      gate:wait()
      error("outer", 0)
    end)
    task.group(function(inner)
      inner:spawn(function() gate:set() end)
    end)
    -- The error may come only now.
    sleep_for_ever()
    went_on = true
  end)
  t.equal(went_on, nil)
end)

t.in_task("both an inner and an outer group fail", function()
  t.raises({ match = "^[io]" }, task.group, function(outer)
    outer:spawn(function()
      task.yield()
      error("outer", 0)
    end)
    task.group(function(inner)
      inner:spawn(function()
        task.yield()
        error("inner", 0)
      end)
      sleep_for_ever()
    end)
  end)
end)

t.in_task("the program may catch the error of an inner group while the outer one is fine", function()
  t.returns({ "fine" }, task.group(function(outer)
    local handle = outer:spawn(sleep_for_ever)
    for _ = 1, 3 do
      t.raises({ exact = "inner" }, task.group, function(inner)
        inner:spawn(error, "inner", 0)
        sleep_for_ever()
      end)
    end
    t.equal(handle:status(), "waiting")
    handle:cancel()
    return "fine"
  end))
end)

t.in_task("groups in tasks of groups", function()
  local ended = 0
  local function tree(depth)
    task.group(function(group)
      if depth > 0 then
        for _ = 1, 3 do group:spawn(tree, depth - 1) end
      end
      task.yield()
      ended = ended + 1
    end)
  end
  tree(4)
  t.equal(ended, 1 + 3 + 9 + 27 + 81)
end)

t.in_task("an error deep in groups of groups ends all of them", function()
  local ended = 0
  local function tree(depth)
    local ok, err = pcall(task.group, function(group)
      if depth > 0 then
        for _ = 1, 3 do group:spawn(tree, depth - 1) end
        sleep_for_ever()
      end
      task.yield()
      if depth == 0 then error("leaf", 0) end
    end)
    ended = ended + 1
    if not ok then error(err, 0) end
  end
  t.raises({ exact = "leaf" }, tree, 3)
  t.between(ended, 1 + 3 + 9 + 1, 1 + 3 + 9 + 27)
end)

t.done()

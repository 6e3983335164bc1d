-- Look-ups that take long: they count against the time limits of the operation that needs them. Each test runs in a
-- network of its own, whose only name server is the test itself.

local t = require "support"

local function prepare()
  local ready = "ip link set lo up && mount --bind /etc/resolv.conf /etc/resolv.conf"
  if select(2, t.shell("unshare -rnm /bin/sh -c " .. t.quote(ready))) ~= 0 then
    t.skip("the system allows no network of one's own")
  end
end

-- Runs `script` with a name server at 127.0.0.1, whose socket is `nameserver` in the script.
local function run(script)
  prepare()
  local resolver = os.tmpname()
  t.finally(function() os.remove(resolver) end)
  t.write(resolver, "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
  local path = t.script([[
    local socket = require "socket"
    local nameserver = assert(socket.udp4())
    assert(nameserver:setsockname("127.0.0.1", 53))
    nameserver:settimeout(5)

    -- Takes one question for an IPv4 address and gives 127.0.0.1; other questions get no answer section.
    local function answer()
      local query, host, port = nameserver:receivefrom()
      if not query then return nil, host end
      local question = query:sub(13):match("^(.-%z....)")
      local kind = question:byte(-3)
      local count = kind == 1 and "\0\1" or "\0\0"
      local record = kind == 1 and "\192\12\0\1\0\1\0\0\0\60\0\4\127\0\0\1" or ""
      local header = query:sub(1, 2) .. "\129\128\0\1" .. count .. "\0\0\0\0"
      return nameserver:sendto(header .. question .. record, host, port)
    end

    local function elapsed(fn, ...)
      local start = socket.gettime()
      local ok, problem = fn(...)
      return socket.gettime() - start, ok, problem
    end
  ]] .. script)
  local inside = "ip link set lo up && mount --bind " .. resolver .. " /etc/resolv.conf && exec "
    .. t.interpreter() .. " " .. t.quote(path)
  local start = os.time()
  local text, status = t.shell("exec unshare -rnm /bin/sh -c " .. t.quote(inside))
  t.equal(status, 0, text)
  return text, os.time() - start
end

t.test("an address is no question for a name server", function()
  t.equal(run [[
    local object = socket.tcp()
    object:settimeout(2)
    print(object:connect("127.0.0.1", 80))
    print(socket.dns.toip("127.0.0.1") == "127.0.0.1")
    nameserver:settimeout(0)
    print(nameserver:receivefrom())
  ]], "nil\tconnection refused\ntrue\nnil\ttimeout\n")
end)

t.fix("a look-up without an answer ends with the block limit", function()
  local text = run [[
    local object = socket.tcp()
    object:settimeout(0.3)
    print(elapsed(object.connect, object, "late.example", 80))
    io.flush()
    os.exit(0)
  ]]
  local took, rest = text:match("^(%S+)%s(.*)$")
  t.between(tonumber(took), 0.299, 1)
  t.equal(rest, "nil\ttimeout\n")
end)

t.fix("... with the total limit", function()
  local text = run [[
    local object = socket.tcp()
    object:settimeout(0.3, "t")
    print(elapsed(object.connect, object, "late.example", 80))
    io.flush()
    os.exit(0)
  ]]
  local took, rest = text:match("^(%S+)%s(.*)$")
  t.between(tonumber(took), 0.299, 1)
  t.equal(rest, "nil\ttimeout\n")
end)

t.fix("... with the limit in the table of socket.connect", function()
  local text = run [[
    print(elapsed(socket.connect, "late.example", 80, { timeout = 0.3 }))
    io.flush()
    os.exit(0)
  ]]
  local took, rest = text:match("^(%S+)%s(.*)$")
  t.between(tonumber(took), 0.299, 1)
  t.equal(rest, "nil\ttimeout\n")
end)

t.fix("timeout 0 does not wait for a look-up, which goes on", function()
  t.equal(run [[
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local object = socket.tcp()
    object:settimeout(0)
    local took, ok, problem = elapsed(object.connect, object, "late.example", port)
    print(took < 0.2, ok, problem)
    took, ok, problem = elapsed(object.connect, object, "late.example", port)
    print(took < 0.2, ok, problem == "timeout" or problem == "Operation already in progress")
    assert(answer())
    nameserver:settimeout(0.05)
    local deadline = socket.gettime() + 5
    repeat
      answer()
      ok, problem = object:connect("late.example", port)
    until ok or (problem ~= "timeout" and problem ~= "Operation already in progress") or socket.gettime() > deadline
    print(ok, problem, (object:getpeername()))
    io.flush()
    os.exit(0)
  ]], "true\tnil\ttimeout\ntrue\tnil\ttrue\n1\tnil\t127.0.0.1\n")
end)

t.fix("a process can end while a look-up is under way", function()
  local text, took = run [[
    for _ = 1, 3 do
      local object = socket.tcp()
      object:settimeout(0.05)
      object:connect("late.example", 80)
      object:close()
    end
    io.write "end"
  ]]
  t.equal(text, "end")
  t.between(took, 0, 2)
end)

t.fix("abandoned look-ups leave nothing behind", function()
  t.equal(run [[
    local before = socket.tcp4()
    local fd = before:getfd()
    before:close()
    for _ = 1, 20 do
      local object = socket.tcp()
      object:settimeout(0)
      object:connect("late.example", 80)
      object:close()
    end
    nameserver:settimeout(3)
    local deadline = socket.gettime() + 8
    local again
    repeat -- until the resolver has given up
      nameserver:settimeout(0)
      while nameserver:receivefrom() do end
      socket.sleep(0.1)
      local object = socket.tcp4()
      again = object:getfd()
      object:close()
    until again <= fd or socket.gettime() > deadline
    -- The threads that wait for the system keep at most a descriptor or two.
    print(again - fd <= 2)
  ]], "true\n")
end, 20)

t.fix("datagrams are sent to names within the limit, too", function()
  local text = run [[
    local object = socket.udp()
    object:settimeout(0.3)
    print(elapsed(object.setpeername, object, "late.example", 80))
    io.flush()
    os.exit(0)
  ]]
  local took, rest = text:match("^(%S+)%s(.*)$")
  t.between(tonumber(took), 0.299, 1)
  t.equal(rest, "nil\ttimeout\n")
end)

-- In a task, with nothing collected: what `fn` begins and something ends leaves no descriptor. `fn` is given the library,
-- a name that is not known yet, and a port.
local function leaves_none(name, fn)
  t.fix("in a task, no descriptor is left of " .. name, function()
    local text = run([[
      local task = require "socket.task"

      local function count() -- of open descriptors, without the one that tells
        local n = 0
        for fd = 0, 255 do
          local file = io.open("/proc/self/fdinfo/" .. string.format("%d", fd))
          if file then
            file:close()
            n = n + 1
          end
        end
        return n
      end

      local function fn(name, port) ]] .. fn .. [[ end

      task.run(function()
        local server = assert(socket.bind("127.0.0.1", 0, 1))
        local _, port = server:getsockname()
        local answering, filling = task.background(function() while true do answer() end end), {}
        nameserver:settimeout(0.1)
        for i = 1, 4 do -- who comes later has to wait
          filling[i] = socket.tcp4()
          filling[i]:settimeout(0)
          filling[i]:connect("127.0.0.1", port)
        end
        task.sleep(0.05)
        collectgarbage()
        collectgarbage("stop")
        local before = count()
        for i = 1, 5 do fn("early.example", port) end
        answering:cancel()
        answering:join()
        for i = 1, 5 do fn("late.example", port) end
        -- The threads that wait for the system keep theirs until it gives up.
        local deadline, after = task.now() + 10, nil
        repeat
          task.sleep(0.05)
          after = count()
        until after <= before or task.now() > deadline
        print(before - after)
        io.flush()
        os.exit(0)
      end)
    ]])
    t.equal(text, "0\n")
  end, 20)
end

if not t.reference then
  leaves_none("a look-up that has ended", 'assert(name ~= "early.example" or socket.dns.toip(name))')
  leaves_none("a look-up past a deadline", "task.timeout(0.01, socket.dns.getaddrinfo, name)")
  leaves_none("a look-up that was cancelled",
    "local child = task.spawn(socket.dns.tohostname, name) task.sleep(0.01) child:cancel() child:join()")
  leaves_none("a connection to a name, past a deadline", "task.timeout(0.01, socket.connect, name, port)")
  leaves_none("a connection under way, past a deadline", 'task.timeout(0.01, socket.connect, "127.0.0.1", port)')
  leaves_none("a peer's name, past a deadline",
    "local object = socket.udp4() task.timeout(0.01, object.setpeername, object, name, port) object:close()")
end

t.done()

-- Many connections in one process: opened, selected, served, closed.

local t = require "support"

-- Runs `script` in a process that may have `count` descriptors; skips the test where that is not allowed.
local function run_with_descriptors(count, script, ...)
  local words = { t.interpreter(), t.quote(t.script(script)), ... }
  for i = 3, #words do words[i] = t.quote(words[i]) end
  local command = "ulimit -n " .. count .. " 2>/dev/null || exit 99; exec " .. table.concat(words, " ")
  local text, status = t.shell(command)
  if status == 99 then t.skip("the limit of descriptors cannot be " .. count) end
  t.equal(status, 0, text)
  return text
end

-- The subject: accepts 10000 connections from another process, whom it tells on the first of them what to do.
local SERVER = [[
  local interpreter, client, count = arg[1], arg[2], tonumber(arg[3])
  local socket = require "socket"
  local listener = assert(socket.bind("127.0.0.1", 0, 1024))
  local _, port = listener:getsockname()
  local before = listener:getfd()
  local pipe = assert(io.popen(interpreter .. " " .. client .. " " .. string.format("%d %d", port, count)))

  local servers, number = {}, {}
  for i = 1, count do
    servers[i] = assert(listener:accept())
    number[servers[i] ] = assert(servers[i]:receive())
    servers[i]:settimeout(5)
  end
  print("opened", servers[count]:getfd() > 1024)

  local readable, writable, problem = socket.select(servers, nil, 0)
  print("idle", #readable, #writable, problem)
  readable, writable, problem = socket.select(nil, servers, 0)
  print("writable", #readable, #writable, problem)

  local function serve(wanted)
    local served, right, rounds = 0, 0, 0
    while served < wanted do
      readable = socket.select(servers, nil, 10)
      if #readable == 0 then break end
      for i, object in ipairs(readable) do
        if object:receive() == "from " .. number[object] and readable[object] == i then right = right + 1 end
        object:send("echo " .. number[object] .. "\n")
        served = served + 1
      end
      rounds = rounds + 1
    end
    return served, right
  end

  servers[1]:send("some\n")
  print("some", serve(count / 100))
  servers[1]:send("all\n")
  print("all", serve(count))
  servers[1]:send("close\n")

  local closed, right = 0, 0
  while #servers > 0 do
    readable = socket.select(servers, nil, 10)
    if #readable == 0 then break end
    for _, object in ipairs(readable) do
      if select(2, object:receive()) == "closed" then right = right + 1 end
      object:close()
      closed = closed + 1
    end
    local rest = {}
    for _, object in ipairs(servers) do if not readable[object] then rest[#rest + 1] = object end end
    servers = rest
  end
  print("closed", closed, right)
  print("client", pipe:read("*a"))
  pipe:close()
  listener:close()
  local object = socket.tcp4()
  print("descriptors left", object:getfd() == before)
  object:close()
]]

local CLIENT = [[
  local port, count = tonumber(arg[1]), tonumber(arg[2])
  local socket = require "socket"
  local clients = {}
  for i = 1, count do
    clients[i] = assert(socket.connect("127.0.0.1", port))
    clients[i]:send(i .. "\n")
  end
  local function speak(first, step)
    for i = first, count, step do clients[i]:send("from " .. i .. "\n") end
    local right = 0
    for i = first, count, step do
      if clients[i]:receive() == "echo " .. i then right = right + 1 end
    end
    return right
  end
  assert(clients[1]:receive() == "some")
  local some = speak(100, 100)
  assert(clients[1]:receive() == "all")
  local all = speak(1, 1)
  assert(clients[1]:receive() == "close")
  for i = 1, count do clients[i]:close() end
  io.write(some, " ", all)
]]

local function serve_many(count)
  local text = run_with_descriptors(count + 50, SERVER, t.interpreter(), t.quote(t.script(CLIENT)), count)
  local n, some = string.format("%d", count), string.format("%d", count / 100)
  t.equal(text, table.concat({
    "opened\t" .. tostring(count > 1024),
    "idle\t0\t0\ttimeout",
    "writable\t0\t" .. n .. "\tnil",
    "some\t" .. some .. "\t" .. some,
    "all\t" .. n .. "\t" .. n,
    "closed\t" .. n .. "\t" .. n,
    "client\t" .. some .. " " .. n,
    "descriptors left\ttrue",
    "",
  }, "\n"))
end

t.test("900 connections are opened, selected, served and closed", function()
  serve_many(900)
end, 30)

t.fix("10000 connections are opened, selected, served and closed", function()
  serve_many(10000)
end, 60)

-- What the scripts below begin with.
local OPEN = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0, 1024))
  local host, port = server:getsockname()

  local function lowest()
    local object = assert(socket.tcp4())
    local fd = object:getfd()
    object:close()
    return fd
  end

  -- Both ends of one connection.
  local function open()
    local client = assert(socket.connect(host, port))
    return client, assert(server:accept())
  end
]]

t.test("connections that nobody closes are closed by the collector", function()
  local text = run_with_descriptors(1000, OPEN .. [[
    local before = lowest()
    for _ = 1, 5 do
      local list = {}
      for i = 1, 400 do list[i] = { open() } end
      list = nil
      collectgarbage()
      collectgarbage()
    end
    io.write(tostring(lowest() == before))
  ]])
  t.equal(text, "true")
end, 30)

t.test("opening and closing one after the other leaves nothing", function()
  local text = run_with_descriptors(64, OPEN .. [[
    local before = lowest()
    for i = 1, 3000 do
      local client, accepted = open()
      client:send("x")
      accepted:receive(1)
      accepted:close()
      client:close()
    end
    io.write(tostring(lowest() == before))
  ]])
  t.equal(text, "true")
end, 30)

t.done()

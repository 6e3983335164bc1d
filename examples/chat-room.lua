-- A chat room: who connects says a name, and then hears what the others write, line by line.
--
--     luasocket --task examples/chat-room.lua [PORT [HOST]]
--     nc 127.0.0.1 7008
--
-- Each member has two tasks: one reads what the member writes, the other sends what waits in the member's queue. Nobody
-- waits for a slow member: whose queue is full must leave. SIGTERM and Ctrl-C close the room.

local socket = require "socket"
local task = require "socket.task"

local PATIENCE, SILENCE = 30, 3600 -- seconds: for a name, and for taking what is sent; for the next line
local QUEUE, LONGEST = 100, 1000

local members = {} -- by name

local function tell(text)
  for _, member in pairs(members) do
    local _, problem = member.queue:send(text, 0)
    if problem == "timeout" then member.task:cancel() end -- the queue is full
  end
end

local function write(client, queue)
  for text in function() return queue:receive() end do
    if not client:send(text .. "\n") then break end
  end
  client:close() -- ends the reading as well
end

local function read(client, name)
  for line in function() return client:receive("*l", nil, { most = LONGEST }) end do tell(name .. ": " .. line) end
end

local function ask_name(client)
  client:send("Who are you?\n")
  local name = client:receive("*l", nil, { most = LONGEST })
  if name and name:find "^%w+$" and not members[name] then return name end
  client:send("Sorry.\n")
end

local function take_part(client)
  client:settimeout(PATIENCE)
  local name = ask_name(client)
  if not name then return end
  client:settimeout(SILENCE)
  local member = { queue = task.channel(QUEUE), task = task.current() }
  members[name] = member
  tell("* " .. name .. " is here")
  local ok, problem = pcall(task.group, function(group)
    group:spawn(write, client, member.queue)
    read(client, name)
    member.queue:close()
  end)
  members[name] = nil
  tell("* " .. name .. " has left")
  if not ok then error(problem, 0) end
end

-- When it is time to end, nobody would leave by himself.
local function close_room()
  task.stopping(math.huge)
  tell "* the room closes"
  for _, member in pairs(members) do member.queue:close() end
end

local function main(port, host)
  local server = assert(socket.bind(host or "127.0.0.1", port or 7008))
  print(("listening at %s, port %d"):format(server:getsockname()))
  io.stdout:flush()
  task.background(close_room)
  assert(task.serve(server, take_part, { max = 500 }))
end

if task.current() then main(...) else task.run(main, ...) end

#!/usr/bin/env luasocket
-- A tour of the library: it opens real sockets on the loopback network, lets them talk, and tells what happens.
-- Self-contained: needs nothing but the library, and ends by itself.
--
--     cargo run --release -- examples/tour.lua
--
-- But for the last stop, tasks, it uses only what LuaSocket has, too, so it runs there as well: `lua5.1 examples/tour.lua`.

local socket = require "socket"

local assert, coroutine, ipairs, pcall, print = assert, coroutine, ipairs, pcall, print
local require, string, table, tostring = require, string, table, tostring

local function heading(text) print("\n" .. text) end
local function say(...) print("    " .. string.format(...)) end

-- A server on some free port, and a client that is connected to it.
local function pair()
  local server = assert(socket.bind("127.0.0.1", 0))
  local host, port = server:getsockname()
  return server, assert(socket.connect(host, port))
end

-- Waits until `object` can be read, as a program with other things to do would not.
local function await(object)
  return assert(socket.select({ object }, nil, 5)[1], "nothing came in 5 seconds")
end

--------------------------------------------------------------------------------------------------------------------
local function look_up()
  heading "Names"
  local address, details = assert(socket.dns.toip "localhost")
  say("localhost is %s (%d address%s)", address, #details.ip, #details.ip == 1 and "" or "es")
  for i, entry in ipairs(assert(socket.dns.getaddrinfo "127.0.0.1")) do
    say("127.0.0.1 is of the family %s (answer %d)", entry.family, i)
  end
  local none, problem = socket.dns.toip "no-such-name.invalid"
  assert(none == nil)
  say("no-such-name.invalid: %s", problem)
  say("this machine calls itself %s", socket.dns.gethostname())
end

--------------------------------------------------------------------------------------------------------------------
-- One turn of an echo server: it accepts, reads and answers whatever is ready, and never waits for one of its clients.
local function echo_turn(server, clients)
  local watched = { server }
  for _, client in ipairs(clients) do watched[#watched + 1] = client end
  local ready = socket.select(watched, nil, 5)
  if ready[server] then
    local client = assert(server:accept())
    client:settimeout(0)
    clients[#clients + 1] = client
  end
  for i = #clients, 1, -1 do
    local client = clients[i]
    if ready[client] then
      local line, problem = client:receive "*l"
      if line then
        assert(client:send(line .. "\n"))
      elseif problem == "closed" then
        client:close()
        table.remove(clients, i)
      end
    end
  end
end

local function tcp_echo()
  heading "TCP: an echo server and its clients"
  local server = assert(socket.bind("127.0.0.1", 0))
  local host, port = server:getsockname()
  say("the server listens at %s, port %d", host, port)

  local accepted, talkers = {}, {}
  for i, name in ipairs { "ann", "bob", "eve" } do
    talkers[i] = { name = name, socket = assert(socket.connect(host, port)) }
    echo_turn(server, accepted)
  end
  say("%d clients are connected, all served by one select", #accepted)

  for _, talker in ipairs(talkers) do assert(talker.socket:send("I am " .. talker.name .. "\r\n")) end
  for _ = 1, 10 do
    local heard = socket.select({ talkers[1].socket, talkers[2].socket, talkers[3].socket }, nil, 0)
    if #heard == #talkers then break end
    echo_turn(server, accepted)
  end
  for _, talker in ipairs(talkers) do say("%s hears: %s", talker.name, assert(talker.socket:receive())) end

  for _, talker in ipairs(talkers) do talker.socket:close() end
  while #accepted > 0 do echo_turn(server, accepted) end
  say "all of them hung up, and the server noticed"
  server:close()
end

--------------------------------------------------------------------------------------------------------------------
local function udp_exchange()
  heading "UDP: two datagrams"
  local station = assert(socket.udp())
  assert(station:setsockname("127.0.0.1", 0))
  local host, port = station:getsockname()
  local caller = assert(socket.udp())
  assert(caller:setpeername(host, port))

  assert(caller:send "what time is it?")
  await(station)
  local question, from, from_port = assert(station:receivefrom())
  say("port %d asks: %s", from_port, question)
  assert(station:sendto("time for tea", from, from_port))
  say("the answer is: %s", assert(caller:receive()))

  assert(caller:send "")
  await(station)
  say("an empty datagram is a datagram, too: %d bytes", #assert(station:receive()))
  station:close()
  caller:close()
end

--------------------------------------------------------------------------------------------------------------------
local function timeout()
  heading "A timeout"
  local server, client = pair()
  local peer = assert(server:accept())
  assert(peer:send "half a li")
  client:settimeout(0.2)
  local start = socket.gettime()
  local line, problem, partial = client:receive "*l"
  assert(line == nil and problem == "timeout")
  say("after %.1f seconds: %s, with %q so far", socket.gettime() - start, problem, partial)
  assert(peer:send "ne\n")
  say("what was there is kept: %q", assert(client:receive("*l", partial)))
  for _, object in ipairs { peer, client, server } do object:close() end
end

--------------------------------------------------------------------------------------------------------------------
-- A protocol of lines: PUT NAME VALUE, GET NAME, QUIT. The server is a coroutine that yields when it would wait.
local function store(client)
  local values = {}
  client:settimeout(0)
  local partial = ""
  while true do
    local line, problem, rest = client:receive("*l", partial)
    partial = line and "" or rest
    if line then
      local verb, name, value = line:match "^(%u+) ?(%S*) ?(.*)$"
      if verb == "PUT" then
        values[name] = value
        client:send "OK\n"
      elseif verb == "GET" then
        client:send((values[name] and "VALUE " .. values[name] or "NONE") .. "\n")
      elseif verb == "QUIT" then
        client:send "BYE\n"
        return client:close()
      else
        client:send "WHAT\n"
      end
    elseif problem == "closed" then
      return client:close()
    else
      coroutine.yield()
    end
  end
end

local function line_protocol()
  heading "A protocol of lines"
  local server, client = pair()
  assert(client:setoption("tcp-nodelay", true))
  local peer = assert(server:accept())
  local serve = coroutine.wrap(store)
  serve(peer)
  for _, pieces in ipairs { { "PUT tea green" }, { "GET tea" }, { "GET cof", "fee" }, { "MAKE coffee" }, { "QUIT" } } do
    for i, piece in ipairs(pieces) do
      assert(client:send(piece .. (i == #pieces and "\n" or "")))
      await(peer)
      serve()
    end
    say("%-14s -> %s", table.concat(pieces), assert(client:receive()))
  end
  local line, problem = client:receive()
  assert(line == nil)
  say("and then: %s", problem)
  client:close()
  server:close()
end

--------------------------------------------------------------------------------------------------------------------
-- Each client has a task of its own, which waits for it in plain words; the others go on meanwhile.
local function slow_echo(task, client)
  for line in function() return client:receive() end do
    task.sleep(0.1)
    client:send(line .. "\n")
  end
end

local function ask_all(task, host, port)
  task.group(function(group)
    for _, name in ipairs { "ann", "bob", "eve" } do
      group:spawn(function()
        local client = assert(socket.connect(host, port))
        assert(client:send(name .. "\n"))
        say("%s hears: %s", name, assert(client:receive()))
        client:close()
      end)
    end
  end)
end

local function tasks()
  local there, task = pcall(require, "socket.task")
  if not there then return end -- this is another LuaSocket
  heading "Tasks: the same calls, but nobody waits for another"
  task.run(function()
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local service = task.spawn(task.serve, server, function(client) slow_echo(task, client) end)
    local start = task.now()
    ask_all(task, host, port)
    say("each answer took 0.1 seconds, all three %.1f", task.now() - start)

    local client = assert(socket.connect(host, port))
    local line, problem = task.timeout(0.2, client.receive, client)
    assert(line == nil)
    say("a deadline covers whatever is done in it: %s", problem)
    client:close()
    server:close()
    say("the server has ended, and with it all its tasks: %s", tostring((service:join())))
  end)
end

--------------------------------------------------------------------------------------------------------------------
print(socket._VERSION)
look_up()
tcp_echo()
udp_exchange()
timeout()
line_protocol()
tasks()

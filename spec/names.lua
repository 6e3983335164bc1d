-- Connecting to names with several addresses. The names exist only here: the file runs itself once more in a mount
-- namespace with a hosts file of its own, where the system allows that.

local t = require "support"
local socket = require "socket"

local HOSTS = [[
127.0.0.1 localhost
127.0.0.1 two
127.0.0.2 two
::1 mixed
127.0.0.1 mixed
127.0.0.1 three
127.0.0.2 three
127.0.0.3 three
]]

if not os.getenv("SPEC_INSIDE") then
  if select(2, t.shell("unshare -rm mount --bind /etc/hosts /etc/hosts")) ~= 0 then
    t.test("names with several addresses", function() t.skip("the system allows no namespace") end)
    t.done()
  end
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(HOSTS)
  file:close()
  local again = "mount --bind " .. path .. " /etc/hosts && exec " .. t.interpreter() .. " " .. t.quote(arg[0])
  if arg[1] then again = again .. " " .. t.quote(arg[1]) end
  local text, status = t.shell("SPEC_INSIDE=1 exec unshare -rm /bin/sh -c " .. t.quote(again))
  os.remove(path)
  io.write(text)
  os.exit(status)
end

local function object(make)
  return t.closing((make or socket.tcp)())
end

-- A listener at `host` and `port` that answers no more.
local function full_server(host, port)
  local server = object(socket.tcp4)
  assert(server:bind(host, port))
  assert(server:listen(0))
  port = select(2, server:getsockname())
  for _ = 1, 8 do
    local client = object(socket.tcp4)
    client:settimeout(0.05)
    if not client:connect(host, port) then return server, port end
  end
  t.skip("the queue of a listener never fills here")
end

-- A listener at `host` that answers no more and one at `other` with the same port that does; and the port. Ports are
-- tried until one is free at both.
local function full_and_ready(host, other)
  for _ = 1, 20 do
    local full, port = full_server(host, 0)
    local ready = object(socket.tcp4)
    if ready:bind(other, port) then
      assert(ready:listen())
      return port
    end
    full:close()
  end
  t.skip("no port is free at two addresses")
end

-- Connects without waiting: select for writing, connect again, until there is an answer.
local function connect_patiently(client, host, port)
  client:settimeout(0)
  local deadline = socket.gettime() + 8
  while socket.gettime() < deadline do
    local ok, problem = client:connect(host, port)
    if ok then return ok end
    if problem ~= "timeout" and problem ~= "Operation already in progress" then return nil, problem end
    socket.select(nil, { client }, 0.5)
  end
  return nil, "no answer"
end

t.test("the names are there", function()
  local list = {}
  for _, entry in ipairs(assert(socket.dns.getaddrinfo("two"))) do list[#list + 1] = entry.addr end
  table.sort(list)
  t.equal(table.concat(list, " "), "127.0.0.1 127.0.0.2")
end)

t.test("the next address of another family", function()
  local _, port = t.server("127.0.0.1")
  local client = object()
  t.returns({ 1 }, client:connect("mixed", port))
  t.equal((client:getpeername()), "127.0.0.1")
  t.equal(client:getfamily(), "inet4")
  local _, port6 = t.server("::1")
  client = object()
  t.returns({ 1 }, client:connect("mixed", port6))
  t.equal(client:getfamily(), "inet6")
  t.closing(t.returns(1, socket.connect("mixed", port)))
end)

t.fix("every address of one family is tried", function()
  for _, host in ipairs { "127.0.0.1", "127.0.0.2", "127.0.0.3" } do
    local _, port = t.server(host)
    for _, make in ipairs { socket.tcp, socket.tcp4 } do
      local client = object(make)
      t.returns({ 1 }, client:connect("three", port))
      t.equal((client:getpeername()), host)
      t.equal(client.class, "tcp{client}")
    end
    local client = t.closing(t.returns(1, socket.connect("three", port)))
    t.equal((client:getpeername()), host)
  end
end)

t.fix("every address is tried without waiting, too", function()
  for _, host in ipairs { "127.0.0.1", "127.0.0.2", "127.0.0.3" } do
    local server, port = t.server(host)
    local client = object()
    t.returns({ 1 }, connect_patiently(client, "three", port))
    t.equal((client:getpeername()), host)
    t.returns({ nil, "already connected" }, client:connect("three", port))
    local accepted = t.closing(assert(server:accept()))
    client:send("x")
    t.equal(accepted:receive(1), "x")
  end
  local _, port = t.server("127.0.0.1")
  local client = object()
  t.returns({ 1 }, connect_patiently(client, "mixed", port))
  t.equal((client:getpeername()), "127.0.0.1")
end)

t.fix("no address answers: the error, with and without waiting", function()
  local port = t.unused_port()
  t.returns({ nil, "connection refused" }, object():connect("three", port))
  t.returns({ nil, "connection refused" }, object(socket.tcp4):connect("three", port))
  t.returns({ nil, "connection refused" }, object():connect("mixed", port))
  t.returns({ nil, "connection refused" }, socket.connect("three", port))
  t.returns({ nil, "connection refused" }, connect_patiently(object(), "three", port))
end)

t.fix("an address that does not answer does not hold up the others", function()
  for _, good in ipairs { "127.0.0.1", "127.0.0.2" } do
    local bad = good == "127.0.0.1" and "127.0.0.2" or "127.0.0.1"
    local port = full_and_ready(bad, good)
    local client = object()
    client:settimeout(5)
    local took = t.elapsed(function() t.returns({ 1 }, client:connect("two", port)) end)
    t.equal((client:getpeername()), good)
    t.between(took, 0, 1)
    client = object()
    took = t.elapsed(function() t.returns({ 1 }, connect_patiently(client, "two", port)) end)
    t.equal((client:getpeername()), good)
    t.between(took, 0, 2)
  end
end)

t.fix("the total limit covers all addresses, and so does the other", function()
  local _, port = full_server("127.0.0.1", 0)
  full_server("127.0.0.2", port)
  local client = object()
  client:settimeout(0.4, "t")
  t.between(t.elapsed(function() t.returns({ nil, "timeout" }, client:connect("two", port)) end), 0.399, 0.7)
  client = object()
  client:settimeout(0.3)
  t.between(t.elapsed(function() t.returns({ nil, "timeout" }, client:connect("two", port)) end), 0.299, 1)
end)

t.fix("a bound object keeps its address at every attempt", function()
  for _, host in ipairs { "127.0.0.1", "127.0.0.2" } do
    local _, port = t.server(host)
    local client = object()
    assert(client:bind("127.0.0.9", 0))
    t.returns({ 1 }, client:connect("two", port))
    t.equal((client:getsockname()), "127.0.0.9")
    t.equal((client:getpeername()), host)
  end
end)

t.fix("options hold at every attempt", function()
  for _, host in ipairs { "127.0.0.1", "127.0.0.2" } do
    local _, port = t.server(host)
    for _, make in ipairs { socket.tcp, socket.tcp4 } do
      local client = object(make)
      assert(client:setoption("tcp-nodelay", true))
      assert(client:setoption("keepalive", true))
      assert(client:setoption("linger", { on = true, timeout = 3 }))
      t.returns({ 1 }, client:connect("two", port))
      t.equal(client:getoption("tcp-nodelay"), true)
      t.equal(client:getoption("keepalive"), true)
      t.same(client:getoption("linger"), { on = true, timeout = 3 })
    end
  end
end)

t.fix("connect4 and connect6 pick their addresses", function()
  local server4, port = t.server("127.0.0.1")
  local server6 = object(socket.tcp6)
  assert(server6:bind("::1", port))
  assert(server6:listen())
  local client = t.closing(t.returns(1, socket.connect4("mixed", port)))
  t.equal((client:getpeername()), "127.0.0.1")
  client = t.closing(t.returns(1, socket.connect6("mixed", port)))
  t.equal((client:getpeername()), "::1")
  server4:close()
  t.returns({ nil, "connection refused" }, socket.connect4("mixed", port))
  client = t.closing(t.returns(1, socket.connect("mixed", port, { family = "inet6" })))
  t.equal(client:getfamily(), "inet6")
  t.equal((socket.connect6("two", port)), nil)
end)

t.test("bind takes the first address that works", function()
  local server = t.closing(assert(socket.bind("mixed", 0)))
  t.equal((server:getsockname()), "::1")
  local master = object(socket.tcp4)
  t.returns({ 1 }, master:bind("mixed", 0))
  t.equal((master:getsockname()), "127.0.0.1")
  local _, port = t.server("127.0.0.1")
  master = object(socket.tcp4)
  t.returns({ 1 }, master:bind("two", port))
  t.equal((master:getsockname()), "127.0.0.2")
end)

t.test("a new try after a failure goes through all addresses again", function()
  local port = t.unused_port()
  local client = object()
  t.returns({ nil, "connection refused" }, client:connect("mixed", port))
  local _, good = t.server("127.0.0.1")
  t.returns({ 1 }, client:connect("mixed", good))
end)

t.fix("attempts that lost leave no descriptor", function()
  local port = full_and_ready("127.0.0.1", "127.0.0.2")
  for _ = 1, 3 do
    local client = object()
    client:settimeout(5)
    t.returns({ 1 }, client:connect("two", port))
    client:close()
  end
  -- Given up while the attempts run: by close, and by the collector.
  local client = object()
  client:settimeout(0)
  client:connect("two", port)
  socket.sleep(0.1) -- the look-up is over
  client:connect("two", port)
  client:close()
  client = socket.tcp()
  client:settimeout(0)
  client:connect("two", port)
  socket.sleep(0.1)
  client:connect("two", port)
end)

t.done()

-- Look-ups against a name server of our own, quick, slow and silent: what they answer, and that no operation waits for them
-- longer than its timeouts allow. The file runs in a network of its own. Look-ups that are abandoned: lookups.lua.

local t = require "support"
local socket = require "socket"

t.isolate {
  ["/etc/hosts"] = "127.0.0.1 localhost\n127.0.0.9 nine nine-alias other-alias\n127.0.0.10 nine\n",
  ["/etc/resolv.conf"] = "nameserver 127.0.0.1\noptions timeout:3 attempts:2\n",
  ["/etc/nsswitch.conf"] = "hosts: files dns\nservices: files\nprotocols: files\n",
}

local dns = socket.dns
local NONAME = "host or service not provided, or not known"

local SERVER = [[
  local socket = require "socket"
  local A, PTR, CNAME, AAAA = 1, 12, 5, 28
  local server = socket.udp4()
  assert(server:setsockname("127.0.0.1", 53))

  -- Names, the records they have, and what happens to questions for them.
  local zone = {
    ["quick.test"] = { { A, "127.0.0.1" } },
    ["several.test"] = { { A, "127.0.0.3" }, { A, "127.0.0.4" }, { A, "127.0.0.5" } },
    ["slow.test"] = { delay = 0.8, { A, "127.0.0.1" } },
    ["slow-nothing.test"] = { delay = 0.8, code = 3 },
    ["never.test"] = { delay = math.huge },
    ["six.test"] = { { AAAA, "::1" } },
    ["both.test"] = { { AAAA, "::1" }, { A, "127.0.0.1" } },
    ["alias.test"] = { { CNAME, "quick.test" }, { A, "127.0.0.1", "quick.test" } },
    ["empty.test"] = {},
    ["fails.test"] = { code = 2 },
    ["7.2.0.192.in-addr.arpa"] = { { PTR, "seven.test" } },
  }

  local function name_bytes(name)
    return name:gsub("([^.]+)%.?", function(label) return string.char(#label) .. label end) .. "\0"
  end

  local function data_bytes(kind, text)
    if kind == A then return (text:gsub("(%d+)%.?", function(n) return string.char(tonumber(n)) end)) end
    if kind == AAAA then return ("\0"):rep(15) .. "\1" end
    return name_bytes(text)
  end

  local function short(n) return string.char(math.floor(n / 256), n % 256) end

  local function read_question(query)
    local labels, i = {}, 13
    while query:byte(i) > 0 do
      labels[#labels + 1] = query:sub(i + 1, i + query:byte(i))
      i = i + 1 + query:byte(i)
    end
    return table.concat(labels, "."):lower(), query:byte(i + 1) * 256 + query:byte(i + 2), query:sub(13, i + 4)
  end

  local function answer(query)
    local name, kind, question = read_question(query)
    local entry = zone[name] or { code = 3 }
    local records = {}
    for _, record in ipairs(entry) do
      if record[1] == kind or record[1] == CNAME then
        local data = data_bytes(record[1], record[2])
        records[#records + 1] = name_bytes(record[3] or name) .. short(record[1]) .. short(1) .. short(0) .. short(60) ..
          short(#data) .. data
      end
    end
    return entry.delay or 0, query:sub(1, 2) .. "\129" .. string.char(128 + (entry.code or 0)) .. short(1) ..
      short(#records) .. short(0) .. short(0) .. question .. table.concat(records)
  end

  print "ready"
  local waiting = {}
  while true do
    server:settimeout(0.02)
    local query, host, port = server:receivefrom()
    local now = socket.gettime()
    if query then
      local delay, reply = answer(query)
      waiting[#waiting + 1] = { now + delay, reply, host, port }
    end
    for i = #waiting, 1, -1 do
      if waiting[i][1] <= now then
        local due = table.remove(waiting, i)
        server:sendto(due[2], due[3], due[4])
      end
    end
  end
]]

local function name_server()
  local child = t.spawn(SERVER)
  t.equal(child:read(), "ready")
  return child
end

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function names_test(name, fn, seconds)
  t.test(name, function()
    name_server()
    fn()
  end, seconds)
end

local function names_fix(name, fn, seconds)
  t.fix(name, function()
    name_server()
    fn()
  end, seconds)
end

local function tcp()
  return t.closing(socket.tcp())
end

-- A library may keep descriptors for look-ups from now on; the harness counts the descriptors of each test.
do
  local client = socket.tcp()
  client:connect("localhost", t.unused_port())
  client:close()
  dns.toip("localhost")
end

-- What is answered

names_test("names of the hosts file have all their addresses and aliases", function()
  local ip, resolved = t.returns(2, dns.toip("nine"))
  t.equal(ip, "127.0.0.9")
  t.equal(resolved.name, "nine")
  t.same(resolved.ip, { "127.0.0.9", "127.0.0.10" })
  t.same(resolved.alias, { "nine-alias", "other-alias" })
  local name, same = t.returns(2, dns.tohostname("nine-alias"))
  t.equal(name, "nine")
  t.same(same.alias, { "nine-alias", "other-alias" })
  t.equal(dns.tohostname("127.0.0.10"), "nine")
  t.equal(#dns.getaddrinfo("nine"), 2)
  t.same(dns.getnameinfo("nine"), { "nine", "nine" })
end)

names_test("toip answers what the name server knows", function()
  local ip, resolved = t.returns(2, dns.toip("quick.test"))
  t.equal(ip, "127.0.0.1")
  t.same(resolved, { name = "quick.test", alias = {}, ip = { "127.0.0.1" } })
  ip, resolved = dns.toip("several.test")
  t.equal(resolved.ip[1], ip)
  table.sort(resolved.ip)
  t.same(resolved.ip, { "127.0.0.3", "127.0.0.4", "127.0.0.5" })
  ip, resolved = dns.toip("alias.test")
  t.equal(ip, "127.0.0.1")
  t.same(resolved, { name = "quick.test", alias = { "alias.test" }, ip = { "127.0.0.1" } })
end)

names_test("toip says why it failed", function()
  fails("host not found", dns.toip("nothing.test"))
  fails("No address associated with name", dns.toip("empty.test"))
  fails("No address associated with name", dns.toip("six.test"))
  fails("Host name lookup failure", dns.toip("fails.test"))
end)

names_test("tohostname answers what the name server knows", function()
  local name, resolved = t.returns(2, dns.tohostname("192.0.2.7"))
  t.equal(name, "seven.test")
  t.same(resolved, { name = "seven.test", alias = {}, ip = { "192.0.2.7" } })
  t.equal(dns.tohostname("alias.test"), "quick.test")
  fails("host not found", dns.tohostname("192.0.2.8"))
  fails("host not found", dns.tohostname("nothing.test"))
  fails("Host name lookup failure", dns.tohostname("fails.test"))
end)

names_test("getaddrinfo answers both families", function()
  t.same(dns.getaddrinfo("quick.test"), { { family = "inet", addr = "127.0.0.1" } })
  t.same(dns.getaddrinfo("six.test"), { { family = "inet6", addr = "::1" } })
  t.equal(#dns.getaddrinfo("both.test"), 2)
  t.equal(#dns.getaddrinfo("several.test"), 3)
end)

names_test("getaddrinfo says why it failed", function()
  fails(NONAME, dns.getaddrinfo("nothing.test"))
  fails("No address associated with hostname", dns.getaddrinfo("empty.test"))
  fails("temporary failure in name resolution", dns.getaddrinfo("fails.test"))
end)

names_test("getnameinfo answers names, and addresses that have none", function()
  t.same(t.returns(1, dns.getnameinfo("192.0.2.7")), { "seven.test" })
  t.same(t.returns(1, dns.getnameinfo("192.0.2.8")), { "192.0.2.8" })
  fails(NONAME, dns.getnameinfo("nothing.test"))
  fails("temporary failure in name resolution", dns.getnameinfo("fails.test"))
end)

names_fix("toip of an address gives the name of the reverse look-up, if any", function()
  local ip, resolved = t.returns(2, dns.toip("192.0.2.7"))
  t.equal(ip, "192.0.2.7")
  t.ok(resolved.name == "seven.test" or resolved.name == "192.0.2.7", resolved.name)
end)

names_test("connect, bind and setpeername look names up", function()
  local _, port = t.server()
  local client = tcp()
  t.returns({ 1 }, client:connect("quick.test", port))
  t.equal(client:getpeername(), "127.0.0.1")
  t.closing(t.returns(1, socket.connect("alias.test", port)))
  local server = t.closing(t.returns(1, socket.bind("quick.test", 0)))
  t.equal(server:getsockname(), "127.0.0.1")
  local datagrams = t.closing(socket.udp())
  t.returns({ 1 }, datagrams:setpeername("quick.test", 9))
  t.equal(datagrams:getpeername(), "127.0.0.1")
  fails("temporary failure in name resolution", tcp():connect("fails.test", port))
  fails(NONAME, socket.connect("nothing.test", port))
  fails("No address associated with hostname", socket.connect("empty.test", port))
end)

names_test("an object of one family asks for that family only", function()
  local _, port = t.server()
  local four = t.closing(socket.tcp4())
  t.returns({ 1 }, four:connect("both.test", port))
  t.equal(four:getpeername(), "127.0.0.1")
  fails("No address associated with hostname", t.closing(socket.tcp4()):connect("six.test", port))
  fails("No address associated with hostname", t.closing(socket.tcp6()):connect("quick.test", port))
end)

names_test("sendto asks no name server", function()
  t.between(t.elapsed(function()
    fails("Name or service not known", t.closing(socket.udp()):sendto("x", "slow.test", 9))
  end), 0, 0.5)
end)

-- How long it takes

names_test("dns functions wait for a slow name server", function()
  t.between(t.elapsed(function() t.equal(dns.toip("slow.test"), "127.0.0.1") end), 0.7, 2.5)
  t.between(t.elapsed(function() fails("host not found", dns.toip("slow-nothing.test")) end), 0.7, 2.5)
  t.same(dns.getaddrinfo("slow.test"), { { family = "inet", addr = "127.0.0.1" } })
end)

names_test("without a timeout connect waits for a slow name server", function()
  local _, port = t.server()
  t.returns({ 1 }, tcp():connect("slow.test", port))
  t.closing(t.returns(1, socket.connect("slow.test", port)))
end)

-- Look-ups that are abandoned keep their descriptors until the system gives up, so they are made by other processes. `wait` of
-- a script prints what a call returned and whether it took between so many seconds.
local function in_child(script, expected)
  local output, status = t.run([[
    local socket = require "socket"
    local function wait(low, high, fn, ...)
      local start = socket.gettime()
      local ok, problem = fn(...)
      local took = socket.gettime() - start
      print(ok, problem, low <= took and took <= high or took)
    end
  ]] .. script)
  t.equal(output, expected)
  t.equal(status, 0)
end

names_fix("a look-up counts against the timeout of connect", function()
  in_child([[
    for _, mode in ipairs { "b", "t" } do
      for _, name in ipairs { "slow.test", "never.test", "slow-nothing.test" } do
        local client = socket.tcp()
        client:settimeout(0.2, mode)
        wait(0.19, 0.75, client.connect, client, name, 80)
        assert(client.class == "tcp{client}")
      end
    end
  ]], ("nil\ttimeout\ttrue\n"):rep(6))
end)

names_fix("a timeout that is long enough lets a slow look-up finish", function()
  local _, port = t.server()
  local client = tcp()
  client:settimeout(3)
  t.returns({ 1 }, client:connect("slow.test", port))
  t.equal(client:getpeername(), "127.0.0.1")
  client = tcp()
  client:settimeout(3)
  fails(NONAME, client:connect("slow-nothing.test", port))
end)

-- Connects without waiting, again and again; returns the answer and the number of tries.
local function connect_patiently(client, host, port)
  client:settimeout(0)
  local deadline, tries = socket.gettime() + 5, 0
  repeat
    tries = tries + 1
    local start = socket.gettime()
    local ok, problem = client:connect(host, port)
    t.between(socket.gettime() - start, 0, 0.3, "a try")
    if ok or problem ~= "timeout" and problem ~= "Operation already in progress" then return ok, problem, tries end
    if client:getfd() >= 0 then socket.select(nil, { client }, 0.1) else socket.sleep(0.05) end
  until socket.gettime() > deadline
  t.fail("no answer")
end

names_fix("with timeout 0 connect does not wait for the name server", function()
  local server, port = t.server()
  local client = tcp()
  local ok, problem, tries = connect_patiently(client, "slow.test", port)
  t.equal(ok, 1, problem)
  t.ok(tries > 1)
  t.equal(client:getpeername(), "127.0.0.1")
  local accepted = t.closing(server:accept())
  client:settimeout(2)
  client:send("hello\n")
  accepted:settimeout(2)
  t.equal(accepted:receive(), "hello")
  fails("already connected", client:connect("slow.test", port))
  client = tcp()
  ok, problem = connect_patiently(client, "slow-nothing.test", port)
  t.equal(ok, nil)
  t.equal(problem, NONAME)
end)

names_fix("select tells when a look-up that connect left behind goes on", function()
  local _, port = t.server()
  local client = tcp()
  client:settimeout(0)
  fails("timeout", client:connect("slow.test", port))
  if client:getfd() < 0 then t.skip("the object has no descriptor before its name is known") end
  local deadline = socket.gettime() + 4
  local ok, problem
  repeat
    local _, writable = socket.select(nil, { client }, 3)
    t.equal(writable[1], client)
    ok, problem = client:connect("slow.test", port)
  until ok or problem ~= "timeout" and problem ~= "Operation already in progress" or socket.gettime() > deadline
  t.equal(ok, 1, problem)
end)

names_fix("a look-up counts against the timeout of setpeername", function()
  in_child([[
    local object = socket.udp()
    object:settimeout(0.2)
    wait(0.19, 0.75, object.setpeername, object, "never.test", 9)
    print(object.class)
    object:settimeout(3)
    print(object:setpeername("slow.test", 9))
  ]], "nil\ttimeout\ttrue\nudp{unconnected}\n1\n")
end)

names_fix("objects whose look-up ran out of time are usable", function()
  local _, port = t.server()
  in_child("local port = " .. port .. [[
    local client = socket.tcp()
    client:settimeout(0.1)
    print(client:connect("never.test", port))
    client:settimeout(2)
    print(client:connect("quick.test", port))
    client = socket.tcp()
    client:settimeout(0.1)
    print(client:connect("never.test", port))
    print(client:close(), client:getfd())
  ]], "nil\ttimeout\n1\nnil\ttimeout\n1\t-1\n")
end)

names_fix("look-ups that hang do not hold up others", function()
  local _, port = t.server()
  in_child("local port = " .. port .. [[
    for _ = 1, 12 do
      local client = socket.tcp()
      client:settimeout(0.02)
      print(client:connect("never.test", port))
    end
    local client = socket.tcp()
    client:settimeout(2)
    wait(0, 1, client.connect, client, "quick.test", port)
    wait(0, 1, function() return (socket.dns.toip("quick.test")) end)
    client = socket.tcp()
    client:settimeout(0)
    wait(0, 0.2, function() client:connect("127.0.0.1", port) return "numeric" end)
  ]], ("nil\ttimeout\n"):rep(12) .. "1\tnil\ttrue\n127.0.0.1\tnil\ttrue\nnumeric\tnil\ttrue\n")
end)

t.fix("a name server that is not there counts against the timeout, too", function()
  in_child([[
    local client = socket.tcp()
    client:settimeout(0.3)
    wait(0, 0.8, function()
      local ok, problem = client:connect("quick.test", 80)
      return ok, problem == "timeout" or problem == "temporary failure in name resolution"
    end)
  ]], "nil\ttrue\ttrue\n")
end)

t.done()

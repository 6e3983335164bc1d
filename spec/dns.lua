-- socket.dns. Names that exist nowhere end in ".invalid"; which failure the machine's resolver reports for them, depends on
-- whether it has a name server. More about look-ups, with a name server of our own: network.lua.

local t = require "support"
local socket = require "socket"

local dns = socket.dns

local NONAME = "host or service not provided, or not known"
local SERVICE = "service not supported for socket type"
local ABSENT = "no-such-host.invalid"

-- What the two families of functions say about a name that cannot be resolved.
local UNRESOLVED = {
  toip = { ["host not found"] = true, ["Host name lookup failure"] = true, ["No address associated with name"] = true },
  getaddrinfo = {
    [NONAME] = true, ["temporary failure in name resolution"] = true, ["No address associated with hostname"] = true,
  },
}

local function fails(message, ...)
  t.returns({ n = 2, nil, message }, ...)
end

local function fails_unresolved(messages, ...)
  local result, problem = t.returns(2, ...)
  t.equal(result, nil)
  t.ok(messages[problem], problem)
end

local function check_resolved(resolved)
  t.equal(type(resolved), "table")
  t.equal(type(resolved.name), "string")
  t.equal(type(resolved.alias), "table")
  t.equal(type(resolved.ip), "table")
  for _, ip in ipairs(resolved.ip) do t.match(ip, "^%d+%.%d+%.%d+%.%d+$") end
  for _, alias in ipairs(resolved.alias) do t.equal(type(alias), "string") end
  for key in pairs(resolved) do t.ok(key == "name" or key == "alias" or key == "ip", key) end
end

t.test("there are five functions", function()
  local count = 0
  for name, fn in pairs(dns) do
    t.equal(type(fn), "function", name)
    count = count + 1
  end
  t.equal(count, 5)
  for _, name in ipairs { "toip", "tohostname", "getaddrinfo", "getnameinfo", "gethostname" } do
    t.equal(type(dns[name]), "function", name)
  end
end)

-- toip

t.test("toip of a name gives the first address and all that is known", function()
  local ip, resolved = t.returns(2, dns.toip("localhost"))
  t.equal(ip, "127.0.0.1")
  check_resolved(resolved)
  t.equal(resolved.name, "localhost")
  t.equal(resolved.ip[1], ip)
end)

t.test("toip of an address gives the address", function()
  local ip, resolved = t.returns(2, dns.toip("127.0.0.1"))
  t.equal(ip, "127.0.0.1")
  check_resolved(resolved)
  t.same(resolved.ip, { "127.0.0.1" })
end)

t.test("toip takes short and numeric forms", function()
  for _, form in ipairs { "127.1", "0x7f.1", "0177.0.0.1", 2130706433, "2130706433" } do
    t.equal(t.returns(2, dns.toip(form)), "127.0.0.1", tostring(form))
  end
end)

t.fix("toip of an address never fails", function()
  for _, address in ipairs { "192.0.2.7", "198.51.100.200", "0.0.0.0", "255.255.255.255" } do
    local ip, resolved = t.returns(2, dns.toip(address))
    t.equal(ip, address)
    check_resolved(resolved)
    t.same(resolved.alias, {})
    t.same(resolved.ip, { address })
  end
  t.equal(select(2, dns.toip("192.0.2.7")).name, "192.0.2.7")
end)

t.test("toip of an IPv6 address fails", function()
  fails("host not found", dns.toip("::1"))
  fails("host not found", dns.toip("2001:db8::1"))
end)

t.test("toip of an unknown name fails", function()
  fails_unresolved(UNRESOLVED.toip, dns.toip(ABSENT))
end)

t.test("toip of nothing fails", function()
  fails("Unknown server error", dns.toip(""))
end)

t.test("each call makes its own tables", function()
  local _, one = dns.toip("localhost")
  local _, two = dns.toip("localhost")
  t.ok(one ~= two and one.ip ~= two.ip and one.alias ~= two.alias)
  t.same(one, two)
end)

-- tohostname

t.test("tohostname of an address gives the name and all that is known", function()
  local name, resolved = t.returns(2, dns.tohostname("127.0.0.1"))
  t.equal(type(name), "string")
  check_resolved(resolved)
  t.equal(resolved.name, name)
  t.same(resolved.ip, { "127.0.0.1" })
end)

t.test("tohostname of a name gives the official name", function()
  local name, resolved = t.returns(2, dns.tohostname("localhost"))
  t.equal(name, "localhost")
  check_resolved(resolved)
  t.equal(resolved.ip[1], "127.0.0.1")
end)

t.test("tohostname of an address without a name fails", function()
  fails_unresolved(UNRESOLVED.toip, dns.tohostname("192.0.2.7"))
end)

t.test("tohostname of an unknown name fails", function()
  fails_unresolved(UNRESOLVED.toip, dns.tohostname(ABSENT))
end)

-- getaddrinfo

t.test("getaddrinfo gives a list of families and addresses", function()
  local list = t.returns(1, dns.getaddrinfo("localhost"))
  t.ok(#list >= 1)
  for _, item in ipairs(list) do
    t.ok(item.family == "inet" and item.addr == "127.0.0.1" or item.family == "inet6" and item.addr == "::1", item.addr)
    for key in pairs(item) do t.ok(key == "family" or key == "addr", key) end
  end
  for key in pairs(list) do t.equal(type(key), "number") end
end)

t.test("getaddrinfo gives no address twice", function()
  local seen = {}
  for _, item in ipairs(dns.getaddrinfo("localhost")) do
    if item.family == "inet6" then
      t.equal(seen[item.addr], nil)
      seen[item.addr] = true
    end
  end
end)

t.test("getaddrinfo of addresses", function()
  local cases = {
    ["127.0.0.1"] = "inet", ["192.0.2.7"] = "inet", ["::1"] = "inet6", ["2001:db8::7"] = "inet6",
    ["::ffff:192.0.2.7"] = "inet6", ["::"] = "inet6", ["0.0.0.0"] = "inet",
  }
  for address, family in pairs(cases) do
    local list = t.returns(1, dns.getaddrinfo(address))
    t.same(list, { { family = family, addr = address } })
  end
  t.same(dns.getaddrinfo("2001:DB8:0:0::7"), { { family = "inet6", addr = "2001:db8::7" } })
  t.same(dns.getaddrinfo("127.1"), { { family = "inet", addr = "127.0.0.1" } })
  t.same(dns.getaddrinfo(2130706433), { { family = "inet", addr = "127.0.0.1" } })
end)

t.test("getaddrinfo keeps the interface of an address", function()
  t.same(dns.getaddrinfo("fe80::1%lo"), { { family = "inet6", addr = "fe80::1%lo" } })
end)

t.test("getaddrinfo fails with the library's words", function()
  fails(NONAME, dns.getaddrinfo(""))
  fails(NONAME, dns.getaddrinfo("*"))
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getaddrinfo(ABSENT))
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getaddrinfo("fe80::1%no-such-interface"))
end)

t.test("getaddrinfo looks at one argument", function()
  t.same(dns.getaddrinfo("127.0.0.1", "http", {}), { { family = "inet", addr = "127.0.0.1" } })
end)

-- getnameinfo

t.test("getnameinfo of a host gives a list of names", function()
  local names = t.returns(1, dns.getnameinfo("127.0.0.1"))
  t.equal(#names, 1)
  t.equal(names[1], (dns.tohostname("127.0.0.1")))
end)

t.test("getnameinfo of a host without a name gives the address", function()
  t.same(t.returns(1, dns.getnameinfo("192.0.2.7")), { "192.0.2.7" })
  t.same(t.returns(1, dns.getnameinfo("2001:db8::7")), { "2001:db8::7" })
end)

t.test("getnameinfo of a name gives one name for every address", function()
  t.equal(#t.returns(1, dns.getnameinfo("localhost")), #dns.getaddrinfo("localhost"))
end)

t.test("getnameinfo of a service gives an empty list and the service", function()
  t.returns({ {}, "http" }, dns.getnameinfo(nil, 80))
  t.returns({ {}, "http" }, dns.getnameinfo(nil, "80"))
  t.returns({ {}, "http" }, dns.getnameinfo(nil, "http"))
  t.returns({ {}, "65535" }, dns.getnameinfo(nil, 65535))
end)

t.test("getnameinfo of both gives both", function()
  local names, service = t.returns(2, dns.getnameinfo("192.0.2.7", 80))
  t.same(names, { "192.0.2.7" })
  t.equal(service, "http")
end)

t.test("getnameinfo fails with the library's words", function()
  fails(SERVICE, dns.getnameinfo(nil, "no-such-service"))
  fails(SERVICE, dns.getnameinfo("127.0.0.1", "no-such-service"))
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getnameinfo(ABSENT))
end)

t.test("getnameinfo of nothing raises", function()
  t.raises({ match = ":%d+: host and serv cannot be both nil$" }, function() dns.getnameinfo() end)
  t.raises({ match = ":%d+: host and serv cannot be both nil$" }, function() dns.getnameinfo(nil, nil) end)
end)

-- gethostname

t.test("gethostname gives the name of the system", function()
  local output, status = t.shell("uname -n")
  local name = t.returns(1, dns.gethostname())
  t.equal(type(name), "string")
  if status == 0 then t.equal(name, output:match("%S+")) end
  t.returns({ name }, dns.gethostname(1, {}))
end)

-- Arguments

t.test("wrong arguments raise", function()
  for _, name in ipairs { "toip", "tohostname", "getaddrinfo" } do
    t.raises({ match = "^bad argument #1 to '.*' %(string expected, got no value%)$" }, dns[name])
    t.raises({ match = "^bad argument #1 to '.*' %(string expected, got nil%)$" }, dns[name], nil)
    t.raises({ match = "^bad argument #1 to '.*' %(string expected, got table%)$" }, dns[name], {})
  end
  t.raises("bad argument #1 to 'toip' (string expected, got no value)", function() dns.toip() end)
  t.raises("bad argument #1 to 'tohostname' (string expected, got boolean)", function() dns.tohostname(true) end)
  t.raises("bad argument #1 to 'getaddrinfo' (string expected, got no value)", function() dns.getaddrinfo() end)
  t.raises("bad argument #1 to 'getnameinfo' (string expected, got table)", function() dns.getnameinfo({}) end)
  t.raises("bad argument #2 to 'getnameinfo' (string expected, got table)", function() dns.getnameinfo(nil, {}) end)
end)

t.fix("a NUL in a name is no end of it", function()
  fails("host not found", dns.toip("localhost\0x"))
  fails("host not found", dns.toip("127.0.0.1\0x"))
  fails("host not found", dns.tohostname("127.0.0.1\0x"))
  fails(NONAME, dns.getaddrinfo("localhost\0x"))
  fails(NONAME, dns.getnameinfo("localhost\0x"))
  fails(SERVICE, dns.getnameinfo(nil, "http\0x"))
end)

t.test("names that no resolver can take fail", function()
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getaddrinfo(("x"):rep(70) .. ".invalid"))
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getaddrinfo(("long."):rep(200) .. "invalid"))
  t.equal(dns.toip(("long."):rep(200) .. "invalid"), nil)
  fails_unresolved(UNRESOLVED.getaddrinfo, dns.getaddrinfo("two words.invalid"))
end)

-- Other calls resolve with these functions' rules

t.test("connect and bind say the same about names that cannot be resolved", function()
  local object = t.closing(socket.tcp())
  fails_unresolved(UNRESOLVED.getaddrinfo, object:connect(ABSENT, 80))
  fails_unresolved(UNRESOLVED.getaddrinfo, socket.connect(ABSENT, 80))
  fails_unresolved(UNRESOLVED.getaddrinfo, socket.bind(ABSENT, 0))
  fails_unresolved(UNRESOLVED.getaddrinfo, t.closing(socket.tcp()):bind(ABSENT, 0))
  fails_unresolved(UNRESOLVED.getaddrinfo, t.closing(socket.udp()):setpeername(ABSENT, 80))
  fails_unresolved(UNRESOLVED.getaddrinfo, t.closing(socket.udp()):setsockname(ABSENT, 0))
end)

t.test("bind looks up getaddrinfo at call time", function()
  local original = dns.getaddrinfo
  t.finally(function() dns.getaddrinfo = original end)
  dns.getaddrinfo = function() return { { family = "inet", addr = "127.0.0.1" } } end
  local server = t.closing(t.returns(1, socket.bind("anything", 0)))
  t.equal(server:getsockname(), "127.0.0.1")
  dns.getaddrinfo = function() return nil, "my words" end
  fails("my words", socket.bind("anything", 0))
  dns.getaddrinfo = function() return {} end
  fails("no info on address", socket.bind("anything", 0))
end)

t.done()

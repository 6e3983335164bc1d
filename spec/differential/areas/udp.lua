-- UDP objects: two that know each other and some loose ones, and any of their methods in any order.

local socket = require "socket"

local SHORT = 0.01
local BOOLEANS = { "broadcast", "dontroute", "reuseaddr", "reuseport", "ip-multicast-loop", "ipv6-multicast-loop", "ipv6-v6only" }
local NUMBERS = { "ip-multicast-ttl", "ipv6-unicast-hops", "recv-buffer-size", "send-buffer-size" }
local OTHERS = { "ip-multicast-if", "ip-add-membership", "ip-drop-membership", "ipv6-add-membership", "ipv6-drop-membership", "error", "nonsense", "keepalive" }
local TABLES = {
  n = 10, {}, { multiaddr = "224.0.0.9", interface = "*" }, { multiaddr = "224.0.0.9", interface = "127.0.0.1" }, { multiaddr = "x" },
  { multiaddr = "ff02::9" }, { multiaddr = "127.0.0.1", interface = "*" }, nil, "127.0.0.1", "*", "x",
}

return function(g)
  local objects, names, ports = {}, {}, {}

  local function note(object)
    local _, port = object:getsockname()
    if port then g.mark(port, "port") end
  end

  local function add(name, object)
    if type(object) ~= "userdata" then return end
    if not objects[name] then names[#names + 1] = name end
    objects[name] = object
    object:settimeout(SHORT)
    note(object)
  end

  local function bound(name)
    local object = assert(socket.udp4())
    assert(object:setsockname("127.0.0.1", 0))
    add(name, object)
    local _, port = object:getsockname()
    ports[#ports + 1] = port
  end
  bound "a"
  bound "b"
  add("c", socket.udp())
  add("d", socket.udp4())
  objects.d:setpeername("127.0.0.1", ports[1])
  note(objects.d)

  local function who()
    return g.pick(names)
  end

  -- A closed object answers with empty datagrams for ever in the C library.
  local function method(name, ...)
    local one = who()
    if name:find "receive" and objects[one]:getfd() < 0 then return end
    return g.method(one, objects[one], name, ...)
  end

  -- We remember the options of an object that has no descriptor yet.
  local function with_descriptor(name, ...)
    local one = who()
    if objects[one]:getfd() >= 0 then g.method(one, objects[one], name, ...) end
  end

  local function data()
    return g.text({ "a", "bcd", "\0", "text ", "\n" }, 5)
  end

  local HOSTS = { "127.0.0.1", "127.0.0.1", "127.0.0.1", "localhost", "::1", "*", "", "127.2" }

  -- Not every host and not every port is the same to all; ports that nobody listens to are answered with a refusal.
  local function destination()
    return g.pick(HOSTS), g.pick { ports[1], ports[2], ports[2], 0, -1, "http", "x" }
  end

  local DO = {
    sendto = function()
      local one = who()
      g.method(one, objects[one], "sendto", data(), "127.0.0.1", g.pick(ports))
      note(objects[one])
    end,
    sendto_odd = function()
      local one = who()
      g.method(one, objects[one], "sendto", g.pick { n = 4, "x", 12, nil, {} }, destination())
      note(objects[one])
    end,
    send = function() method("send", data()) end,
    send_odd = function() method("send", g.pick { n = 4, nil, {}, 12, ("x"):rep(70000) }) end,
    receive = function() method("receive", g.pick { n = 9, nil, nil, 1, 3, 2.5, "4", 0, "*l", {} }) end,
    receivefrom = function() method("receivefrom", g.pick { n = 8, nil, nil, 1, 3, 2.5, "4", 0, "*a" }) end,
    receive_pair = function()
      local one = g.pick { "a", "b" }
      if objects[one]:getfd() >= 0 then g.method(one, objects[one], "receivefrom") end
    end,
    setpeername = function()
      local one = who()
      g.method(one, objects[one], "setpeername", destination())
      note(objects[one])
    end,
    disconnect = function()
      local one = who()
      g.method(one, objects[one], "setpeername", "*")
      note(objects[one])
    end,
    setsockname = function()
      local one = who()
      g.method(one, objects[one], "setsockname", g.pick { "127.0.0.1", "*", "localhost", "::1", "1.2.3.4", "" }, g.pick { n = 6, 0, 0, "0", -1, "x", nil })
      note(objects[one])
    end,
    names = function() method(g.pick { "getsockname", "getpeername", "getfamily", "dirty", "gettimeout" }) end,
    close = function() method("close") end,
    settimeout = function() method("settimeout", g.pick { 0, SHORT, "0.01", "x" }, g.pick { n = 4, nil, "b", "t", "x" }) end,
    restore = function()
      local one = who()
      objects[one]:settimeout(SHORT)
      objects[one]:settimeout(nil, "t")
    end,
    getoption = function() method("getoption", g.pick { g.pick(BOOLEANS), g.pick(NUMBERS), g.pick(OTHERS) }) end,
    boolean = function() with_descriptor("setoption", g.pick(BOOLEANS), g.pick { n = 5, true, false, nil, 1, "x" }) end,
    number = function() with_descriptor("setoption", g.pick(NUMBERS), g.pick { 1, 2, 255, 4096, "3", 2.7 }) end,
    other = function() with_descriptor("setoption", g.pick(OTHERS), g.pick(TABLES)) end,
    new = function() add("e", g.call("new", socket[g.pick { "udp", "udp4", "udp6" }])) end,
    setfd = function() method("setfd", g.pick { "x", {} }) end,
    absent = function() method(g.pick { "bind", "connect", "shutdown", "listen", "accept", "getstats" }) end,
    class = function()
      local one = who()
      g.call("class " .. one, function() return objects[one].class, (tostring(objects[one]):gsub("0x%x+", "ADDRESS")) end)
    end,
    select = function()
      local one, other = who(), who()
      if one == other then return end
      local a, b = objects[one], objects[other]
      g.call("select " .. one .. " " .. other, function()
        local r, w, problem = socket.select({ a, b }, g.chance(50) and { b } or nil, 0)
        return r[a] and r[r[a]] == a, r[b] and r[r[b]] == b, w[b], #r, #w, problem
      end)
    end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = 3 end
  WEIGHTS.sendto, WEIGHTS.receive_pair, WEIGHTS.receive, WEIGHTS.receivefrom, WEIGHTS.close = 12, 8, 8, 6, 1
  for _ = 1, 25 do DO[g.choose(WEIGHTS)]() end
  for _, name in ipairs(names) do objects[name]:close() end
end

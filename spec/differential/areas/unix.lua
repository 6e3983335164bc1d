-- Unix-domain sockets, streams and datagrams, in any order.

local socket = require "socket"
local unix = require "socket.unix"

local SHORT = 0.01

return function(g)
  local objects, names, paths = {}, {}, {}

  local function path(name)
    local one = os.tmpname()
    os.remove(one)
    paths[#paths + 1] = one
    return g.mark(one, name)
  end

  local function add(name, object)
    if type(object) ~= "userdata" then return end
    if not objects[name] then names[#names + 1] = name end
    objects[name] = object
    object:settimeout(SHORT)
  end

  local here, there, dhere, dthere = path "here", path "there", path "dhere", path "dthere"
  local server = assert(unix.stream())
  assert(server:bind(here))
  assert(server:listen())
  add("server", server)
  local client = assert(unix.stream())
  assert(client:connect(here))
  add("client", client)
  add("peer", assert(server:accept()))
  add("master", assert(unix()))
  local one, two = assert(unix.dgram()), assert(unix.dgram())
  assert(one:bind(dhere))
  assert(two:bind(dthere))
  add("one", one)
  add("two", two)
  add("loose", assert(unix.dgram()))

  local function data()
    return g.text({ "a", "line\n", "\r\n", "\0", "bc" }, 6)
  end

  local function method(name, ...)
    local who = g.pick(names)
    if name:find "receive" and objects[who]:getfd() < 0 and objects[who].class:find "dgram" then return end
    return g.method(who, objects[who], name, ...)
  end

  local function pair(name, ...)
    local who = g.pick { "client", "peer" }
    return g.method(who, objects[who], name, ...)
  end

  local function dgram(name, ...)
    local who = g.pick { "one", "two", "loose" }
    if name:find "receive" and objects[who]:getfd() < 0 then return end
    return g.method(who, objects[who], name, ...)
  end

  local PATHS = { n = 9, here, there, dhere, dthere, "/nowhere/x", "", ("x"):rep(200), nil, "/" }

  -- The C library never returns from a `sendto` to a stream.
  local DGRAM_PATHS = { n = 7, dhere, dthere, "/nowhere/x", "", ("x"):rep(200), nil, "/" }

  local DO = {
    send = function() pair("send", data(), g.pick { n = 4, nil, 1, 2, -2 }, g.pick { n = 4, nil, -1, 3, "x" }) end,
    receive = function() pair("receive", g.pick { n = 7, nil, "*l", "*a", 1, 5, "3", "x" }, g.pick { n = 3, nil, "", "pre" }) end,
    sendto = function() dgram("sendto", data(), g.pick { dhere, dthere }) end,
    sendto_odd = function() dgram("sendto", g.pick { n = 3, "x", nil, {} }, g.pick(DGRAM_PATHS)) end,
    dsend = function() dgram("send", data()) end,
    dreceive = function() dgram(g.pick { "receive", "receivefrom" }, g.pick { n = 5, nil, nil, 2, "3", "x" }) end,
    connect = function() method(g.pick { "connect", "setpeername" }, g.pick(PATHS)) end,
    dconnect = function() dgram("connect", g.pick { dhere, dthere }) end,
    bind = function() method(g.pick { "bind", "setsockname" }, g.pick(PATHS)) end,
    listen = function() method("listen", g.pick { n = 4, nil, 1, 2.5, "x" }) end,
    accept = function() add("accepted", method("accept")) end,
    shutdown = function() pair("shutdown", g.pick { n = 5, nil, "both", "send", "receive", "x" }) end,
    close = function()
      local who = g.pick(names)
      if objects[who]:dirty() then objects[who]:receive(8192) end
      g.method(who, objects[who], "close")
    end,
    names = function() method(g.pick { "getsockname", "dirty" }) end,
    settimeout = function() method("settimeout", g.pick { 0, SHORT, "0.01", "x" }, g.pick { n = 4, nil, "b", "t", "x" }) end,
    restore = function()
      local who = g.pick(names)
      objects[who]:settimeout(SHORT)
      objects[who]:settimeout(nil, "t")
    end,
    stats = function()
      local who = g.pick(names)
      g.call("getstats " .. who, function()
        local received, sent, age = objects[who]:getstats()
        return received, sent, type(age)
      end)
      method("setstats", g.pick { n = 4, nil, 1, 2.5, "x" })
    end,
    setoption = function()
      method("setoption", g.pick { "keepalive", "reuseaddr", "linger", "tcp-nodelay", "x" }, g.pick { n = 5, true, false, nil, { on = true, timeout = 1 }, 1 })
    end,
    new = function() add("fresh", g.call("new", unix[g.pick { "stream", "dgram", "tcp", "udp" }])) end,
    class = function()
      local who = g.pick(names)
      g.call("class " .. who, function() return objects[who].class, (tostring(objects[who]):gsub("0x%x+", "ADDRESS")) end)
    end,
    select = function()
      local who, other = g.pick(names), g.pick(names)
      if who == other then return end
      local a, b = objects[who], objects[other]
      g.call("select " .. who .. " " .. other, function()
        local r, w, problem = socket.select({ a, b }, { b }, 0)
        return r[a] and r[r[a]] == a, r[b] and r[r[b]] == b, w[b], #r, #w, problem
      end)
    end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = 3 end
  WEIGHTS.send, WEIGHTS.receive, WEIGHTS.sendto, WEIGHTS.dreceive, WEIGHTS.close = 10, 12, 8, 8, 1
  for _ = 1, 25 do DO[g.choose(WEIGHTS)]() end
  for _, name in ipairs(names) do objects[name]:close() end
  for _, name in ipairs(paths) do os.remove(name) end
end

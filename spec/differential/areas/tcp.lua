-- TCP objects: a listener, a connected pair and some loose objects, and any of their methods in any order.

local socket = require "socket"

local SHORT = 0.01
local OPTIONS = {
  "keepalive", "reuseaddr", "reuseport", "tcp-nodelay", "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl", "linger", "error",
  "recv-buffer-size", "ipv6-v6only", "tcp-defer-accept", "nonsense", "broadcast", "",
}
local VALUES = { n = 9, true, false, nil, 1, "true", { on = true, timeout = 5 }, { on = false, timeout = 0 }, { on = 1 }, {} }
-- A number is wanted, and the C library takes anything for one.
local NUMERIC = { ["tcp-keepidle"] = true, ["tcp-keepcnt"] = true, ["tcp-keepintvl"] = true, ["recv-buffer-size"] = true, ["tcp-defer-accept"] = true }

return function(g)
  local objects, names = {}, {}

  local function add(name, object)
    if type(object) ~= "userdata" then return end
    if not objects[name] then names[#names + 1] = name end
    objects[name] = object
    object:settimeout(SHORT)
    -- Every other port in a trace is the system's choice, too.
    local _, port = object:getsockname()
    if port then g.mark(port, "port") end
  end

  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  g.mark(port, "port")
  add("server", server)
  local client = assert(socket.connect("127.0.0.1", port))
  add("client", client)
  local peer = assert(server:accept())
  add("peer", peer)
  add("master", socket.tcp())
  -- What is sent must be there when the next step asks for it.
  client:setoption("tcp-nodelay", true)
  peer:setoption("tcp-nodelay", true)

  local function data()
    return g.text({ "a", "line\n", "\r\n", "\r", "\n", "\0", "bc", "text " }, 8)
  end

  local function method(name, ...)
    local who = g.pick(names)
    return g.method(who, objects[who], name, ...)
  end

  local function pair(name, ...)
    local who = g.pick { "client", "peer" }
    return g.method(who, objects[who], name, ...)
  end

  local PATTERNS = { n = 23, nil, "*l", "*a", 0, 1, 3, 10, 5.7, "*line", "*all", "5", "0x3", " 2 ", "1e1", "*n", "", "*", -1, "-1", true, {}, 100000, "*x" }
  local PREFIXES = { n = 8, nil, nil, nil, "", "pre", "longer prefix", 12, {} }
  local INDEXES = { n = 14, nil, nil, 1, 2, 3, -1, -2, 0, -100, 100, 1.5, "2", 2.9, true }

  local DO = {
    send = function() pair("send", g.chance(90) and data() or g.pick { 12, 1.5, "", true, {} }, g.pick(INDEXES), g.pick(INDEXES)) end,
    send_plain = function() pair("send", data()) end,
    receive = function()
      local pattern, prefix = g.pick(PATTERNS), g.pick(PREFIXES)
      -- Without a prefix this one may block in the C library.
      if (pattern == 0) and (prefix == nil or prefix == "") then pattern = 1 end
      pair("receive", pattern, prefix)
    end,
    receive_line = function() pair("receive") end,
    receive_count = function() pair("receive", g.int(1, 6)) end,
    anyone = function() method(g.pick { "send", "receive", "shutdown", "accept", "listen", "setstats" }, g.pick { n = 6, nil, 1, "*n", "both", "x", {} }) end,
    shutdown = function() pair("shutdown", g.pick { n = 7, nil, "both", "send", "receive", "send", "none", 1 }) end,
    close = function()
      local who = g.pick(names)
      -- What was not read yet the C library hands out even after this.
      if objects[who]:dirty() then objects[who]:receive(8192) end
      g.method(who, objects[who], "close")
    end,
    settimeout = function() method("settimeout", g.pick { n = 8, 0, SHORT, SHORT, 0.01, "0.01", "x", true, {} }, g.pick { n = 8, nil, "b", "t", "r", "total", "x", "", 1 }) end,
    gettimeout = function() method("gettimeout") end,
    restore = function()
      local who = g.pick(names)
      objects[who]:settimeout(SHORT)
      objects[who]:settimeout(nil, "t")
    end,
    dirty = function() method("dirty") end,
    getfamily = function() method("getfamily") end,
    getfd = function()
      local who = g.pick(names)
      g.call(who .. ":getfd", function() return objects[who]:getfd() >= 0 end)
    end,
    getsockname = function() method("getsockname") end,
    getpeername = function() method("getpeername") end,
    getstats = function()
      local who = g.pick(names)
      g.call(who .. ":getstats", function()
        local received, sent, age = objects[who]:getstats()
        return received, sent, type(age)
      end)
    end,
    setstats = function()
      -- Of wrong arguments the C library takes those before the wrong one.
      local first = g.pick { n = 5, nil, 5, 2.5, "7", {} }
      method("setstats", first, first and 5 or g.pick { n = 4, nil, 5, "x", 0 }, g.pick { n = 3, nil, 1, "x" })
    end,
    getoption = function() method("getoption", g.pick(OPTIONS)) end,
    setoption = function()
      local name = g.pick(OPTIONS)
      -- What only this library remembers until there is a descriptor.
      local who = g.pick(names)
      if objects[who]:getfd() < 0 and who ~= "client" or name == "tcp-nodelay" then return end
      g.method(who, objects[who], "setoption", name, NUMERIC[name] and g.pick { 1, 4096, 30, "20" } or g.pick(VALUES))
    end,
    bind = function()
      local who = g.pick(names)
      g.method(who, objects[who], g.pick { "bind", "setsockname" }, g.pick { "127.0.0.1", "*", "::1", "localhost", "", "0.0.0.0" },
        g.pick { 0, 0, "0", "x", -1, "" })
    end,
    listen = function() method("listen", g.pick { n = 5, nil, 1, 5.5, "3", "x" }) end,
    accept = function() add("accepted", method("accept")) end,
    connect = function()
      local who = g.pick { "master", "loose", "accepted", "server" }
      local object = objects[who]
      -- Once connected, the C library may answer 1 once more.
      if not object or tostring(object):find "client" or object:getfd() >= 0 then return end
      g.method(who, object, g.pick { "connect", "setpeername" }, g.pick { "127.0.0.1", "localhost", "127.0.0.1", "" }, g.pick { port, port, 1, "x" })
      local _, mine = object:getsockname()
      if mine then g.mark(mine, "port") end
    end,
    new = function() add("loose", g.call("new", socket[g.pick { "tcp", "tcp4", "tcp6" }])) end,
    socket_connect = function()
      if not server:getsockname() or not tostring(server):find "server" then return end
      add("second", g.call("connect", socket.connect, "127.0.0.1", g.pick { port, 1 }, g.pick { n = 4, nil, "127.0.0.1", "*", "::1" },
        g.pick { n = 3, nil, 0, "0" }))
    end,
    socket_bind = function()
      add("bound", g.call("bind", socket.bind, g.pick { "127.0.0.1", "*", "localhost", "::1", "1.2.3.4" }, g.pick { 0, 0, "0", "nosuch" },
        g.pick { n = 3, nil, 1, 2.5 }))
    end,
    select = function()
      local who, other = g.pick(names), g.pick(names)
      -- The C library reports an object with input twice if it is there twice.
      if who == other then return end
      local a, b = objects[who], objects[other]
      g.call("select " .. who .. " " .. other, function()
        local r, w, problem = socket.select(g.chance(80) and { a, b } or nil, g.chance(50) and { b } or nil, 0)
        -- The order of the results is nobody's promise.
        return r[a] and r[r[a]] == a, r[b] and r[r[b]] == b, w[b], #r, #w, problem
      end)
    end,
    tostring = function()
      local who = g.pick(names)
      g.call("tostring " .. who, function() return (tostring(objects[who]):gsub("0x%x+", "ADDRESS")), objects[who].class end)
    end,
    field = function()
      local who = g.pick(names)
      g.call("field " .. who, function() return objects[who].nothing, type(objects[who].send) end)
      g.call("assign " .. who, function() objects[who].field = 1 end)
    end,
    setfd = function() g.method("loose", objects.loose, "setfd", g.pick { -1, "x", {} }) end,
    source = function()
      local who = g.pick { "client", "peer" }
      local source = g.call("source", socket.source, g.pick { "until-closed", "default", "by-length", "nonsense" }, objects[who], g.int(0, 5))
      -- What came before a timeout the C library loses.
      if type(source) == "table" and objects[who]:dirty() then g.call("pull", function() return (source()) end) end
    end,
    sink = function()
      local who = g.pick { "client", "peer" }
      local sink = g.call("sink", socket.sink, g.pick { "close-when-done", "keep-open", "default", "nonsense" }, objects[who])
      if objects[who]:dirty() then objects[who]:receive(8192) end
      if type(sink) == "table" then g.call("push", sink, g.pick { n = 3, nil, "chunk", "" }, g.pick { n = 2, nil, "error" }) end
    end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = 3 end
  WEIGHTS.send_plain, WEIGHTS.receive, WEIGHTS.receive_line, WEIGHTS.receive_count, WEIGHTS.send = 12, 15, 8, 8, 8
  WEIGHTS.close, WEIGHTS.shutdown = 2, 2
  for _ = 1, 25 do DO[g.choose(WEIGHTS)]() end
  for _, name in ipairs(names) do objects[name]:close() end
end

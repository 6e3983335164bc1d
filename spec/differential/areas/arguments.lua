-- Every function and every method with every wrong type in every position, in the three forms of a call.
-- This area is not random; a case is one set of objects.

local socket = require "socket"
local mime = require "mime"
local unix = require "socket.unix"
local serial = require "socket.serial"

local unpack = table.unpack or unpack
local loadstring = loadstring or load
-- The number is a loopback address, too, should it be taken for one.
local WRONG = { n = 9, nil, true, 127.5, "x", {}, print, io.stdout, coroutine.create(function() end), "none" }

return function(g)
  local function pack(...)
    return { n = select("#", ...), ... }
  end

  -- What is called, in a form that leaves the name visible to the error.
  local function direct(path)
    return loadstring("local module = ... return function(...) local r = {module" .. path .. "(...)} return r end")
  end

  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  g.mark(port, "port")

  local function try(label, f, args)
    server:settimeout(0)
    repeat local accepted = server:accept() until not accepted or not accepted:close()
    server:settimeout(5)
    local results = pack(pcall(f, unpack(args, 1, args.n)))
    if results[1] and type(results[2]) == "table" then
      g.log(label, "returns")
      -- What a call has made is not left to the collector.
      for _, made in ipairs(results[2]) do
        if type(made) == "userdata" and made ~= args[1] then pcall(function() made:close() end) end
      end
    elseif results[1] then
      g.log(label, "returns")
    else
      g.call(label, function() error(results[2], 0) end)
    end
  end

  local function each_wrong(good, visit)
    for position = 1, math.max(good.n or #good, 1) + 1 do
      for i = 1, WRONG.n do
        local args = { n = good.n or #good, unpack(good, 1, good.n or #good) }
        local what = WRONG[i]
        if what == "none" then
          args.n = position - 1
        else
          args[position], args.n = what, math.max(args.n, position)
        end
        visit(position .. " " .. (what == "none" and "none" or type(what)), args)
      end
    end
  end

  local function functions(name, module, list)
    for _, entry in ipairs(list) do
      local path, good = entry[1], entry[2]
      local call = direct("." .. path)(module)
      local f = module
      for key in path:gmatch("[^.]+") do f = f[key] end
      each_wrong(good, function(label, args)
        -- Without a timeout `select` waits for ever.
        if path == "select" and (args.n < 3 or args[3] == nil or args[3] == WRONG[3]) then return end
        if path == "sleep" and args[1] == WRONG[3] then return end
        try(name .. "." .. path .. " " .. label, call, args)
        try("pcall " .. name .. "." .. path .. " " .. label, f, args)
      end)
    end
  end

  local function methods(name, make, list)
    for _, entry in ipairs(list) do
      local method, good = entry[1], entry[2]
      local colon = loadstring("return function(object, ...) local r = {object:" .. method .. "(...)} return r end")()
      local dot = loadstring("return function(object, ...) local r = {object." .. method .. "(...)} return r end")()
      each_wrong(good, function(label, args)
        local title = name .. ":" .. method .. " " .. label
        local object = make()
        try(title, colon, { n = args.n + 1, object, unpack(args, 1, args.n) })
        object:close()
        object = make()
        try("pcall " .. title, object[method], { n = args.n + 1, object, unpack(args, 1, args.n) })
        object:close()
      end)
      for i = 1, WRONG.n - 1 do
        local object = make()
        local title = name .. "." .. method .. " of " .. type(WRONG[i])
        try(title, dot, { n = 2 + #good, object, WRONG[i], unpack(good) })
        try("pcall " .. title, object[method], { n = 1 + #good, WRONG[i], unpack(good) })
        object:close()
      end
      local object = make()
      try("pcall " .. name .. "." .. method .. " of nothing", object[method], { n = 0 })
      object:close()
    end
  end

  local STREAM = {
    { "settimeout", { 0, "b" } }, { "gettimeout", {} }, { "getfd", {} }, { "dirty", {} }, { "getfamily", {} }, { "getsockname", {} },
    { "getpeername", {} }, { "getoption", { "keepalive" } }, { "setoption", { "keepalive", true } }, { "close", {} }, { "setfd", { -1 } },
  }
  local CLIENT = {
    { "send", { "abc", 1, 2 } }, { "receive", { 0, "" } }, { "shutdown", { "both" } }, { "getstats", {} }, { "setstats", { 1, 2, 3 } },
  }
  local MASTER = { { "bind", { "127.0.0.1", 0 } }, { "listen", { 3 } }, { "connect", { "127.0.0.1", 1 } } }
  local DATAGRAM = {
    { "settimeout", { 0, "b" } }, { "gettimeout", {} }, { "getfd", {} }, { "dirty", {} }, { "getfamily", {} }, { "getsockname", {} },
    { "getoption", { "broadcast" } }, { "setoption", { "broadcast", true } }, { "close", {} }, { "setfd", { -1 } }, { "receive", { 10 } },
    { "setpeername", { "127.0.0.1", 9 } },
  }
  local function join(...)
    local all = {}
    for _, list in ipairs { ... } do
      for _, entry in ipairs(list) do all[#all + 1] = entry end
    end
    return all
  end
  local function setoptions(names, values)
    local list = {}
    for _, name in ipairs(names) do
      for _, value in ipairs(values) do list[#list + 1] = { "setoption", { name, value } } end
    end
    return list
  end

  local MAKERS = {
    master = function() local o = socket.tcp4() o:settimeout(0) return o end,
    client = function()
      local o = assert(socket.connect("127.0.0.1", port))
      assert(server:accept()):close()
      o:settimeout(0)
      return o
    end,
    server = function()
      local o = assert(socket.bind("127.0.0.1", 0))
      o:settimeout(0)
      return o
    end,
    unconnected = function() local o = socket.udp4() o:setsockname("127.0.0.1", 0) o:settimeout(0) return o end,
    connected = function() local o = socket.udp4() o:setpeername("127.0.0.1", 9) o:settimeout(0) return o end,
  }
  local paths = {}
  local function path()
    local name = os.tmpname()
    os.remove(name)
    paths[#paths + 1] = name
    return name
  end
  local listening = path()
  local unix_server = unix.stream()
  assert(unix_server:bind(listening))
  assert(unix_server:listen())
  MAKERS.unix_master = function() local o = unix.stream() o:settimeout(0) return o end
  MAKERS.unix_client = function()
    local o = unix.stream()
    assert(o:connect(listening))
    assert(unix_server:accept()):close()
    o:settimeout(0)
    return o
  end
  MAKERS.unix_server = function()
    local o = unix.stream()
    o:bind(path())
    o:listen()
    o:settimeout(0)
    return o
  end
  MAKERS.unix_unconnected = function() local o = unix.dgram() o:settimeout(0) return o end
  MAKERS.serial = function() local o = assert(serial("/dev/null")) o:settimeout(0) return o end

  functions("socket", socket, {
    { "tcp", {} }, { "tcp4", {} }, { "tcp6", {} }, { "udp", {} }, { "udp4", {} }, { "udp6", {} },
    { "connect", { "127.0.0.1", port, "127.0.0.1", 0, "inet" } }, { "connect4", { "127.0.0.1", port } },
    { "bind", { "127.0.0.1", 0, 5 } }, { "select", { {}, {}, 0 } }, { "sleep", { 0 } }, { "gettime", {} },
    { "skip", { 1, 2 } }, { "newtry", { print } }, { "protect", { print } }, { "try", { 1, 2 } }, { "choose", { {} } },
    { "sink", { "keep-open", {} } }, { "source", { "by-length", {}, 3 } }, { "__unload", {} },
    { "dns.toip", { "localhost" } }, { "dns.tohostname", { "127.0.0.1" } }, { "dns.getaddrinfo", { "127.0.0.1" } },
    { "dns.getnameinfo", { "127.0.0.1", "80" } }, { "dns.gethostname", {} },
  })
  functions("mime", mime, {
    { "b64", { "a", "b" } }, { "unb64", { "a", "b" } }, { "qp", { "a", "b", "c" } }, { "unqp", { "a", "b" } },
    { "wrp", { 1, "b", 3 } }, { "qpwrp", { 1, "b", 3 } }, { "eol", { 0, "b", "c" } }, { "dot", { 0, "b" } },
    { "encode", { "base64" } }, { "decode", { "base64" } }, { "wrap", { "text", 5 } }, { "normalize", { "\n" } }, { "stuff", {} },
  })
  functions("unix", unix, { { "stream", {} }, { "dgram", {} }, { "tcp", {} }, { "udp", {} } })
  try("serial", function(...) return { serial(...) } end, { n = 1, {} })
  try("pcall serial", serial, { n = 0 })

  methods("master", MAKERS.master, join(MASTER, STREAM, CLIENT, { { "accept", {} } }))
  methods("client", MAKERS.client, join(CLIENT, STREAM, { { "bind", { "*", 0 } }, { "listen", { 1 } }, { "accept", {} } },
    setoptions({ "keepalive", "reuseaddr", "reuseport", "tcp-nodelay", "ipv6-v6only", "linger" }, { true }),
    setoptions({ "linger" }, { { on = true, timeout = 1 }, { on = 1, timeout = 1 }, { on = true }, { on = true, timeout = "x" }, {} })))
  methods("server", MAKERS.server, join({ { "accept", {} } }, CLIENT, STREAM, { { "bind", { "*", 0 } }, { "listen", { 1 } } }))
  methods("unconnected", MAKERS.unconnected, join(DATAGRAM, {
    { "sendto", { "x", "127.0.0.1", 9 } }, { "receivefrom", { 10 } }, { "setsockname", { "127.0.0.1", 0 } }, { "send", { "x" } },
    { "getpeername", {} },
  }, setoptions({ "dontroute", "broadcast", "reuseaddr", "reuseport", "ip-multicast-loop", "ipv6-v6only" }, { true }),
    setoptions({ "ip-multicast-if" }, { "127.0.0.1", "*", "x" }),
    setoptions({ "ip-add-membership", "ip-drop-membership" }, {
      {}, { multiaddr = 1 }, { multiaddr = "x" }, { multiaddr = "224.0.0.7" }, { multiaddr = "224.0.0.7", interface = "x" },
      { multiaddr = "224.0.0.7", interface = {} }, { multiaddr = "224.0.0.7", interface = "*" },
    }),
    setoptions({ "ipv6-add-membership" }, { {}, { multiaddr = 1 }, { multiaddr = "x" }, { multiaddr = "ff02::7" } })))
  methods("connected", MAKERS.connected, join(DATAGRAM, {
    { "send", { "x" } }, { "getpeername", {} }, { "sendto", { "x", "127.0.0.1", 9 } }, { "receivefrom", { 10 } },
    { "setsockname", { "127.0.0.1", 0 } },
  }))
  local UNIX = { { "settimeout", { 0, "b" } }, { "getfd", {} }, { "dirty", {} }, { "getsockname", {} }, { "close", {} }, { "setfd", { -1 } } }
  methods("unix_master", MAKERS.unix_master, join(UNIX, CLIENT, {
    { "bind", { "/nowhere/x" } }, { "listen", { 1 } }, { "connect", { "/nowhere/x" } }, { "accept", {} }, { "setoption", { "keepalive", true } },
  }))
  methods("unix_client", MAKERS.unix_client, join(UNIX, CLIENT, { { "bind", { "x" } }, { "listen", { 1 } }, { "connect", { "x" } } }))
  methods("unix_server", MAKERS.unix_server, join(UNIX, CLIENT, { { "accept", {} } }))
  methods("unix_unconnected", MAKERS.unix_unconnected, join(UNIX, {
    { "sendto", { "x", "/nowhere/x" } }, { "receivefrom", { 10 } }, { "receive", { 10 } }, { "bind", { "/nowhere/x" } },
    { "connect", { "/nowhere/x" } }, { "send", { "x" } }, { "setoption", { "reuseaddr", true } },
  }))
  methods("serial", MAKERS.serial, {
    { "settimeout", { 0, "b" } }, { "getfd", {} }, { "dirty", {} }, { "close", {} }, { "setfd", { -1 } }, { "send", { "abc", 1, 2 } },
    { "receive", { 0, "" } }, { "getstats", {} }, { "setstats", { 1, 2, 3 } },
  })
  server:close()
  unix_server:close()
  for _, name in ipairs(paths) do os.remove(name) end
end

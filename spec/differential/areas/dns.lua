-- socket.dns: literals, names of this machine, odd values. And select on odd lists, and the small functions.

local socket = require "socket"

-- None of them is asked of the network.
local HOSTS = {
  "127.0.0.1", "localhost", "::1", "127.1", "0x7f.1", "127.0.0.1 ", "127.0.0.1 x", "", "*", "::ffff:127.0.0.1", "0", "0.0.0.0",
  "::", "1:2", "LOCALHOST", "127.0.0.01", "2130706433",
}
local SERVICES = { n = 7, nil, "80", "http", "nosuch", "", 80, 443 }
local ODD = { n = 6, nil, true, {}, {}, print, 2130706433 }

return function(g)
  local function host()
    return g.chance(85) and g.pick(HOSTS) or g.pick(ODD)
  end

  local function foreign(fd, dirty)
    return { getfd = function() return fd end, dirty = dirty ~= nil and function() return dirty end or nil }
  end

  local function list()
    local one, other = foreign(-1), foreign(-1, true)
    return g.pick { n = 9, nil, {}, { one }, { one, other }, { {} }, { "x" }, { n = 1 }, { nil, one }, g.pick(ODD) }
  end

  local DO = {
    getaddrinfo = function() g.call("getaddrinfo", socket.dns.getaddrinfo, host()) end,
    tohostname = function() g.call("tohostname", socket.dns.tohostname, host()) end,
    toip = function() 
      local name = host()
      -- A number without a name fails in the C library.
      if name ~= "0" and name ~= "0.0.0.0" then g.call("toip", socket.dns.toip, name) end
     end,
    getnameinfo = function() g.call("getnameinfo", socket.dns.getnameinfo, g.chance(70) and host() or nil, g.pick(SERVICES)) end,
    gethostname = function() g.call("gethostname", socket.dns.gethostname) end,
    select = function() g.call("select", socket.select, list(), list(), g.pick { 0, 0.01, "0", "x" }) end,
    sleep = function() g.call("sleep", socket.sleep, g.pick { 0, -1, 0.001, "0", "x" }) end,
    connect = function() g.call("connect", socket.connect, g.pick { "127.0.0.1", "localhost", "", "::1" }, g.pick { 1, "1", "x", -1, 0 }) end,
    bind = function()
      local object = g.call("bind", socket.bind, g.pick { "127.0.0.1", "*", "::1", "localhost", "" }, g.pick { 0, "0", "x", -1 })
      if object then object:close() end
    end,
    choose = function() g.call("choose", socket.choose { default = function(...) return "d", ... end, a = function(...) return "a", ... end },
      g.pick { n = 5, nil, "a", "b", 1, {} }, g.pick(ODD), 3, 4) end,
    newtry = function() g.call("skip", socket.skip, g.pick { 0, 1, 2, "x" }, 1, nil, 3) end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = 2 end
  WEIGHTS.getaddrinfo, WEIGHTS.toip, WEIGHTS.tohostname, WEIGHTS.getnameinfo = 6, 6, 6, 6
  for _ = 1, 10 do DO[g.choose(WEIGHTS)]() end
end

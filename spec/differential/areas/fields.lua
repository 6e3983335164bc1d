-- What the modules and the objects hold: every key of every module, method table and metatable. Only what the C library has
-- counts: there may be more.

local MODULES = {
  "socket", "socket.core", "mime", "mime.core", "ltn12", "socket.url", "socket.headers", "socket.tp", "socket.http", "socket.ftp",
  "socket.smtp", "socket.unix", "socket.serial", "socket.mbox",
}

-- The names whose values are not the same for every run or every installation.
local VARY = { _VERSION = true, USERAGENT = true }

return function(g)
  local function describe(value)
    if type(value) ~= "table" then return (type(value) == "function" or type(value) == "userdata") and type(value) or value end
    return "table"
  end

  local each
  function each(label, value, depth)
    if type(value) ~= "table" then return g.log(label, type(value)) end
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = tostring(key) end
    table.sort(keys)
    for _, key in ipairs(keys) do
      g.log(label .. "." .. key, VARY[key] and type(value[key]) or describe(value[key]))
      if depth > 0 and type(value[key]) == "table" and value[key] ~= value then each(label .. "." .. key, value[key], depth - 1) end
    end
  end

  for _, name in ipairs(MODULES) do
    local found, module = pcall(require, name)
    if found then each(name, module, 2) else g.log(name, "no such module") end
  end
  local socket = require "socket"
  local unix = require "socket.unix"
  local function object(label, value)
    local meta = getmetatable(value)
    g.log(label, tostring(value):match("^[^:]*: "), value.class)
    for key, item in pairs(meta) do g.mark(key, type(key) == "string" and key or "key") end
    each(label .. " metatable", meta, 0)
    each(label .. " methods", meta.__index, 1)
    value:close()
  end
  local server = socket.bind("127.0.0.1", 0)
  local client = socket.connect(server:getsockname())
  local peer = socket.udp()
  peer:setpeername("127.0.0.1", 9)
  object("master", socket.tcp())
  object("client", client)
  object("server", server)
  object("unconnected", socket.udp())
  object("connected", peer)
  local path = os.tmpname()
  os.remove(path)
  local master = unix.stream()
  master:bind(path)
  local listener = unix.stream()
  os.remove(path)
  listener:bind(path)
  listener:listen()
  local stream = unix.stream()
  stream:connect(path)
  object("unix master", master)
  object("unix client", stream)
  object("unix server", listener)
  os.remove(path)
  local here = unix.dgram()
  here:bind(path)
  local there = unix.dgram()
  there:connect(path)
  object("unix unconnected", here)
  object("unix connected", there)
  os.remove(path)
  object("serial", require "socket.serial" "/dev/null")
end

-- The namespace: how it loads, what is in it, and its small functions.

local t = require "support"
local socket = require "socket"

local function sorted_keys(list)
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, " ")
end

local function sorted(text)
  local names = {}
  for name in text:gmatch("%S+") do names[name] = true end
  return sorted_keys(names)
end

local CORE = [[
  _VERSION _DATAGRAMSIZE _SETSIZE _SOCKETINVALID
  tcp tcp4 tcp6 connect udp udp4 udp6 dns select newtry protect skip sleep gettime __unload
]]
local ADDED = "BLOCKSIZE bind connect4 connect6 try choose sink source sinkt sourcet"

--------------------------------------------------------------------------------------------------------------- loading

-- Runs Lua in a new process, where nothing is loaded, and gives the lines that it prints.
local function fresh(script)
  local text, status = t.run(script)
  t.equal(status, 0, text)
  return text
end

t.test("require 'socket' gives the table of 'socket.core'", function()
  t.ok(rawequal(socket, require "socket.core"))
  t.equal(fresh [[
    local core = require "socket.core"
    io.write(tostring(core == require "socket"))
  ]], "true")
end)

t.test("package.loaded holds both names", function()
  t.equal(fresh [[
    local socket = require "socket"
    local loaded = package.loaded
    io.write(tostring(loaded["socket"] == socket and loaded["socket.core"] == socket))
  ]], "true")
end)

t.test("loading sets no global", function()
  t.equal(fresh [[
    local before = {}
    for name in pairs(_G) do before[name] = true end
    require "socket"
    require "socket.core"
    require "socket.unix"
    require "socket.serial"
    for name in pairs(_G) do if not before[name] then io.write(name, " ") end end
  ]], "")
end)

t.test("socket.core alone lacks what 'socket' adds", function()
  t.equal(fresh [[
    local names = {}
    for name in pairs(require "socket.core") do names[#names + 1] = name end
    table.sort(names)
    io.write(table.concat(names, " "))
  ]], sorted(CORE))
end)

t.test("socket.unix and socket.serial are modules of their own", function()
  t.equal(fresh [[
    local socket = require "socket"
    local unix, serial = require "socket.unix", require "socket.serial"
    io.write(tostring(unix and serial and true), " ", tostring(socket.unix), " ", tostring(socket.serial))
  ]], "true nil nil")
end)

t.test("there is no chunked source or sink before the HTTP module", function()
  t.equal(fresh [[
    local socket = require "socket"
    io.write(tostring(socket.sinkt["http-chunked"]), " ", tostring(socket.sourcet["http-chunked"]))
  ]], "nil nil")
end)

t.test("a write to a broken connection never kills the process", function()
  t.equal(fresh [[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local client = assert(socket.connect(host, port))
    assert(server:accept()):close()
    local last, problem
    repeat last, problem = client:send("x") until not last
    io.write(problem)
  ]], "closed")
end)

t.fix("the process's disposition of SIGPIPE is left alone", function()
  t.equal(fresh [[
    require "socket"
    local status = io.open("/proc/self/status"):read("*a")
    local mask = tonumber(status:match("SigIgn:%s*(%x+)"):sub(-8), 16)
    local SIGPIPE = 13
    io.write(tostring(math.floor(mask / 2 ^ (SIGPIPE - 1)) % 2))
  ]]:gsub("%.0$", ""), "0")
end)

-------------------------------------------------------------------------------------------------------------- contents

t.test("the namespace holds these 29 names and no other", function()
  t.equal(fresh [[
    local names = {}
    for name in pairs(require "socket") do if name ~= "_DEBUG" then names[#names + 1] = name end end
    table.sort(names)
    io.write(table.concat(names, " "))
  ]], sorted(CORE .. ADDED))
end)

t.test("names stand for functions, tables and constants", function()
  for name, value in pairs(socket) do
    local expected = "function"
    if name == "_VERSION" then expected = "string" end
    if name == "_DEBUG" then expected = "boolean" end
    if name:find("^_?%u+$") and name ~= "_VERSION" and name ~= "_DEBUG" then expected = "number" end
    if name == "dns" or name == "sinkt" or name == "sourcet" then expected = "table" end
    t.equal(type(value), expected, name)
  end
  t.equal(sorted_keys(socket.dns), "getaddrinfo gethostname getnameinfo tohostname toip")
end)

t.test("_VERSION has the shape LuaSocket MAJOR.MINOR.PATCH", function()
  t.match(socket._VERSION, "^LuaSocket %d+%.%d+%.%d+$")
end)

t.fix("_VERSION names the version whose behaviour this is", function()
  t.equal(socket._VERSION, "LuaSocket 3.1.0")
end)

t.test("_DEBUG is absent or true", function()
  t.ok(socket._DEBUG == nil or socket._DEBUG == true)
end)

t.test("constants", function()
  t.equal(socket._DATAGRAMSIZE, 8192)
  t.equal(socket._SETSIZE, 1024)
  t.equal(socket._SOCKETINVALID, -1)
  t.equal(socket.BLOCKSIZE, 2048)
  t.equal(tostring(socket._SETSIZE), "1024")
  t.equal(tostring(socket._DATAGRAMSIZE), "8192")
  t.equal(tostring(socket._SOCKETINVALID), "-1")
end)

------------------------------------------------------------------------------------------------------- small functions

t.test("gettime is the wall clock, with fractions", function()
  local now, whole = t.returns(1, socket.gettime()), os.time()
  t.between(now, whole - 2, whole + 2)
  local fractions = 0
  for _ = 1, 20 do
    if socket.gettime() % 1 ~= 0 then fractions = fractions + 1 end
  end
  t.ok(fractions > 10)
end)

t.test("gettime ignores arguments", function()
  t.returns(1, socket.gettime(1, {}, "x"))
end)

t.test("sleep takes the time asked for and returns nothing", function()
  t.returns(0, socket.sleep(0))
  t.between(t.elapsed(socket.sleep, 0.05), 0.049, 1)
  t.between(t.elapsed(socket.sleep, "0.02"), 0.019, 1)
end)

t.test("a negative sleep returns at once", function()
  t.returns(0, socket.sleep(-1))
  t.between(t.elapsed(socket.sleep, -1000), 0, 0.5)
  t.between(t.elapsed(socket.sleep, -math.huge), 0, 0.5)
end)

t.fix("sleeping for NaN seconds returns at once", function()
  t.between(t.elapsed(socket.sleep, 0 / 0), 0, 0.5)
end)

t.test("sleep checks its argument", function()
  t.raises("bad argument #1 to 'sleep' (number expected, got no value)", function() socket.sleep() end)
  t.raises("bad argument #1 to 'sleep' (number expected, got nil)", function() socket.sleep(nil) end)
  t.raises("bad argument #1 to 'sleep' (number expected, got table)", function() socket.sleep({}) end)
  t.raises("bad argument #1 to 'sleep' (number expected, got string)", function() socket.sleep("x") end)
end)

t.test("a signal does not shorten a sleep", function()
  local child = t.spawn [[
    local socket = require "socket"
    local start = socket.gettime()
    print("asleep")
    socket.sleep(0.3)
    print(socket.gettime() - start)
  ]]
  t.equal(child:read(), "asleep")
  child:signal("STOP")
  child:signal("CONT")
  t.between(tonumber(child:read()), 0.299, 5)
end)

t.test("skip drops the first arguments", function()
  t.returns({ 3 }, socket.skip(2, 1, 2, 3))
  t.returns({ n = 3, 1, nil, nil }, socket.skip(0, 1, nil, nil))
  t.returns({ n = 1, nil }, socket.skip(1, 1, nil))
  t.returns(0, socket.skip(0))
  t.returns(0, socket.skip(3, 1, 2, 3))
  t.returns(0, socket.skip(1000, 1, 2, 3))
  t.returns({ "b" }, socket.skip("1", "a", "b"))
end)

t.test("skip takes whole numbers only where Lua knows them", function()
  if t.lua.integers then
    t.raises("bad argument #1 to 'skip' (number has no integer representation)", function() socket.skip(1.5, 1, 2) end)
  else
    t.returns({ 2 }, socket.skip(1.5, 1, 2))
  end
end)

t.test("skip checks its argument", function()
  t.raises("bad argument #1 to 'skip' (number expected, got no value)", function() socket.skip() end)
  t.raises("bad argument #1 to 'skip' (number expected, got boolean)", function() socket.skip(true) end)
end)

t.fix("skip takes a negative number for 0", function()
  t.returns({ "a", "b" }, socket.skip(-1, "a", "b"))
  t.returns({ "a" }, socket.skip(-1000, "a"))
  t.returns(0, socket.skip(-2))
end)

t.test("__unload can be called", function()
  t.equal(fresh [[io.write(select("#", require("socket").__unload()))]]:gsub("%.0$", ""), "0")
end)

--------------------------------------------------------------------------------------------------------------- numbers

t.fix("whole numbers print without a fraction", function()
  local client, accepted = t.pair()
  t.equal(tostring(client:send("abc")), "3")
  t.equal(tostring(client:settimeout(5)), "1")
  t.match(tostring(client:getfd()), "^%d+$")
  t.equal(accepted:receive(3), "abc")
  local received, sent = accepted:getstats()
  t.equal(received .. " " .. sent, "3 0")
  t.match(tostring(client:getoption("recv-buffer-size")), "^%d+$")
  local _, writable = socket.select(nil, { client }, 0)
  t.equal(tostring(writable[client]), "1")
end)

t.test("ports and linger times are whole numbers", function()
  local server, port = t.server()
  local client = t.pair(server)
  t.match(tostring(port), "^%d+$")
  t.equal(tostring(select(2, client:getpeername())), tostring(port))
  client:setoption("linger", { on = true, timeout = 7 })
  t.equal(tostring(client:getoption("linger").timeout), "7")
end)

t.done()

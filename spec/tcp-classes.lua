-- TCP objects: their classes and metatables, which class may call what, and how an object changes its class.

local t = require "support"
local socket = require "socket"

local METHODS = {
  "accept", "bind", "close", "connect", "dirty", "getfamily", "getfd", "getoption", "getpeername", "getsockname",
  "getstats", "gettimeout", "listen", "receive", "send", "setfd", "setoption", "setpeername", "setsockname", "setstats",
  "settimeout", "shutdown",
}

-- What we have besides.
local EXTRA = t.reference and {} or { "isquiet", "receiveany", "skipany" }

-- One object of each class, by name.
local function objects()
  local server = t.server()
  local client = t.pair(server)
  local master = t.closing(socket.tcp4())
  return { ["tcp{master}"] = master, ["tcp{client}"] = client, ["tcp{server}"] = server }
end

-------------------------------------------------------------------------------------------------------------- metadata

t.test("objects are userdata that know their class", function()
  for class, object in pairs(objects()) do
    t.equal(type(object), "userdata")
    t.equal(object.class, class)
    t.equal(object.unknown, nil)
    t.equal(object[1], nil)
  end
end)

t.test("tostring begins with the class", function()
  for class, object in pairs(objects()) do
    local text = tostring(object)
    t.equal(text:sub(1, #class + 2), class .. ": ")
    t.match(text:sub(#class + 3), "^0?x?%x+$")
    t.equal(tostring(object), text)
  end
end)

t.test("assigning a field raises", function()
  for _, object in pairs(objects()) do
    t.raises({ match = "attempt to index" }, function() object.field = 1 end)
  end
end)

t.test("all classes have the same methods, in tables of their own", function()
  local tables = {}
  for class, object in pairs(objects()) do
    local index = getmetatable(object).__index
    t.equal(type(index), "table")
    t.equal(tables[index], nil)
    tables[index] = class
    for _, name in ipairs(METHODS) do t.equal(type(index[name]), "function", class .. "." .. name) end
    t.equal(index.class, class)
    local known = { class = true }
    for _, name in ipairs(METHODS) do known[name] = true end
    for _, name in ipairs(EXTRA) do known[name] = true end
    for name in pairs(index) do t.ok(known[name], class .. " has " .. tostring(name)) end
  end
end)

t.test("the metatable is open and names the group", function()
  for class, object in pairs(objects()) do
    local meta = getmetatable(object)
    t.equal(type(meta), "table")
    t.equal(meta["tcp{any}"], true)
    t.equal(type(meta.__gc), "function")
    t.equal(type(meta.__tostring), "function")
    if t.lua.number >= 503 then t.equal(meta.__name, class) end
  end
end)

t.test("a replaced method serves every object of its class, and only those", function()
  local all = objects()
  local index = getmetatable(all["tcp{client}"]).__index
  local original = index.getfd
  t.finally(function() index.getfd = original end)
  index.getfd = function() return "mine" end
  t.equal(all["tcp{client}"]:getfd(), "mine")
  t.equal(t.pair():getfd(), "mine")
  t.ok(all["tcp{server}"]:getfd() ~= "mine")
  t.ok(all["tcp{master}"]:getfd() ~= "mine")
end)

t.test("methods can be fetched and called as functions", function()
  local client, accepted = t.pair()
  local index = getmetatable(client).__index
  t.equal(index.send(client, "abc"), 3)
  t.equal(index.receive(accepted, 3), "abc")
  t.equal(pcall(index.receive, accepted, "no pattern"), false)
end)

t.test("setpeername is connect, setsockname is bind", function()
  local _, port = t.server()
  local object = t.closing(socket.tcp4())
  t.returns({ 1 }, object:setsockname("127.0.0.1", 0))
  t.returns({ 1 }, object:setpeername("127.0.0.1", port))
end)

t.test("a collected object is closed", function()
  local client, accepted = t.pair()
  socket.tcp():setfd(accepted:getfd())
  accepted:setfd(-1)
  collectgarbage()
  collectgarbage()
  t.equal(select(2, client:receive()), "closed")
end)

t.test("an object that was finalized by hand is a closed object", function()
  local server = t.server()
  local client, accepted = t.pair(server)
  for _, object in ipairs { client, server, t.closing(socket.tcp4()) } do
    local gc = getmetatable(object).__gc
    gc(object)
    gc(object)
    t.equal(object:getfd(), -1)
    t.returns({ 1 }, object:close())
    t.equal(object:dirty(), false)
  end
  t.returns({ nil, "closed", "" }, client:receive())
  t.returns({ nil, "closed", "" }, accepted:receive())
end)

-- On LuaJIT the C library crashes.
local at_the_end = t.lua.jit and t.fix or t.test

at_the_end("finalizers may use objects at the end of the program, in any order", function()
  local text, status = t.run [[
    local socket = require "socket"
    local client, server, master
    local function finalizer(word)
      local function use()
        pcall(client.receive, client)
        pcall(client.send, client, "x")
        pcall(server.accept, server)
        pcall(master.bind, master, "127.0.0.1", 0)
        pcall(tostring, client)
        client:close()
        server:getfd()
        master:close()
        io.write(word, " ")
      end
      if newproxy then
        local proxy = newproxy(true)
        getmetatable(proxy).__gc = use
        return proxy
      end
      return setmetatable({}, { __gc = use })
    end
    local first = finalizer "first"
    server = assert(socket.bind("127.0.0.1", 0))
    server:settimeout(0)
    local host, port = server:getsockname()
    client = assert(socket.connect(host, port))
    client:settimeout(0)
    master = socket.tcp()
    local last = finalizer "last"
    _G.kept = { first, last }
  ]]
  t.equal(status, 0, text)
  t.equal(text, "last first ")
end)

t.fix("an object is closed at the end of its scope", function()
  if not t.lua.close then t.skip("no variable can be closed here") end
  local client, accepted = t.pair()
  local scope = assert(load "local object <close> = ... return object:getfd() >= 0")
  t.equal(scope(accepted), true)
  t.equal(accepted:getfd(), -1)
  t.equal(select(2, client:receive()), "closed")
  for class, object in pairs(objects()) do
    getmetatable(object).__close(object)
    t.equal(object:getfd(), -1, class)
    getmetatable(object).__close(object, "an error")
  end
end)

---------------------------------------------------------------------------------------------------- who may call what

local ONLY = {
  ["tcp{master}"] = { "bind", "setsockname", "listen" },
  ["tcp{server}"] = { "accept" },
  ["tcp{client}"] = { "send", "receive", "shutdown" },
}

local ANY = {
  "connect", "setpeername", "close", "dirty", "getfamily", "getfd", "setfd", "getoption", "setoption", "getpeername",
  "getsockname", "settimeout", "gettimeout",
}

-- A function that calls the method `name` as a program would write it.
local function caller(form, name)
  return assert((loadstring or load)("local object, other = ... " .. form:gsub("NAME", name)))
end

t.test("a method of another class raises", function()
  local all = objects()
  for owner, names in pairs(ONLY) do
    for _, name in ipairs(names) do
      for class, object in pairs(all) do
        if class ~= owner then
          t.raises("calling '" .. name .. "' on bad self (" .. owner .. " expected)", caller("object:NAME()", name), object)
          t.raises("bad argument #1 to '" .. name .. "' (" .. owner .. " expected)",
            caller("object.NAME(object)", name), object)
          t.raises({ exact = "bad argument #1 to '?' (" .. owner .. " expected)" }, object[name], object)
        end
      end
    end
  end
end)

t.test("foreign values raise", function()
  local object = objects()["tcp{master}"]
  for _, other in ipairs { 1, "x", true, {}, print, io.stdout, coroutine.create(function() end), t.closing(socket.udp()) } do
    for _, name in ipairs(ANY) do
      t.raises("bad argument #1 to '" .. name .. "' (tcp{any} expected)", caller("object.NAME(other)", name), object, other)
    end
    t.raises("bad argument #1 to 'bind' (tcp{master} expected)", caller("object.NAME(other)", "bind"), object, other)
    t.raises("bad argument #1 to 'accept' (tcp{server} expected)", caller("object.NAME(other)", "accept"), object, other)
    t.raises("bad argument #1 to 'send' (tcp{client} expected)", caller("object.NAME(other)", "send"), object, other)
  end
  for _, name in ipairs(ANY) do
    t.raises({ exact = "bad argument #1 to '?' (tcp{any} expected)" }, object[name])
    t.raises("bad argument #1 to '" .. name .. "' (tcp{any} expected)", caller("object.NAME()", name), object)
  end
end)

t.test("a table with our metatable is no object", function()
  local object = objects()["tcp{client}"]
  local meta = getmetatable(object)
  local gc = meta.__gc
  t.finally(function() meta.__gc = gc end)
  meta.__gc = nil
  local forged = setmetatable({}, meta)
  t.raises("calling 'getfd' on bad self (tcp{any} expected)", function() forged:getfd() end)
  t.raises("calling 'receive' on bad self (tcp{client} expected)", function() forged:receive() end)
end)

t.test("the metamethods do not trust their argument", function()
  local meta = getmetatable(objects()["tcp{client}"])
  for _, other in ipairs { 1, "x", {}, io.stdout } do
    t.equal(pcall(meta.__tostring, other), false)
    pcall(meta.__gc, other)
  end
end)

t.test("every class has what all may call", function()
  for _, object in pairs(objects()) do
    t.returns(1, object:getfd())
    t.returns(1, object:getfamily())
    t.returns(1, object:dirty())
    t.returns(2, object:gettimeout())
    t.returns({ 1 }, object:settimeout(1))
    t.returns({ 1 }, object:setoption("keepalive", true))
    t.returns({ true }, object:getoption("keepalive"))
    t.returns(3, object:getsockname())
    t.returns({ 1 }, object:close())
  end
end)

t.test("getstats and setstats belong to clients", function()
  local client = objects()["tcp{client}"]
  t.returns(3, client:getstats())
  t.returns({ 1 }, client:setstats())
end)

t.fix("getstats and setstats raise in no class or name the class they want", function()
  for _, object in pairs(objects()) do
    local ok, problem = pcall(function() object:getstats() end)
    if not ok then t.match(problem, "calling 'getstats' on bad self %(tcp{client} expected%)$") end
    ok, problem = pcall(function() object:setstats(1, 2, 3) end)
    if not ok then t.match(problem, "calling 'setstats' on bad self %(tcp{client} expected%)$") end
  end
end)

----------------------------------------------------------------------------------------------------------- transitions

t.test("constructors", function()
  for _, name in ipairs { "tcp", "tcp4", "tcp6" } do
    local object = t.closing(t.returns(1, socket[name]()))
    t.equal(object.class, "tcp{master}")
    t.returns({ -1, -1 }, object:gettimeout())
    t.equal(object:dirty(), false)
    t.equal(object:getfamily(), name == "tcp6" and "inet6" or "inet4")
    t.equal(object:getfd() == -1, name == "tcp")
    t.closing(t.returns(1, socket[name]("surplus", {})))
  end
end)

t.test("bind leaves a master a master", function()
  local object = t.closing(socket.tcp())
  t.returns({ nil, "Cannot assign requested address" }, object:bind("192.0.2.1", 0))
  t.equal(object.class, "tcp{master}")
  t.returns({ 1 }, object:bind("127.0.0.1", 0))
  t.equal(object.class, "tcp{master}")
end)

t.test("listen makes a server, unless it fails", function()
  local object = t.closing(socket.tcp())
  t.returns({ nil, "Bad file descriptor" }, object:listen())
  t.equal(object.class, "tcp{master}")
  assert(object:bind("127.0.0.1", 0))
  t.returns({ 1 }, object:listen())
  t.equal(object.class, "tcp{server}")
  t.raises("calling 'listen' on bad self (tcp{master} expected)", function() object:listen() end)
end)

t.test("listen without bind takes any port", function()
  local object = t.closing(socket.tcp4())
  t.returns({ 1 }, object:listen())
  local host, port = object:getsockname()
  t.equal(host, "0.0.0.0")
  t.between(tonumber(port), 1, 65535)
end)

t.test("connect makes a client, even if it fails", function()
  local object = t.closing(socket.tcp())
  t.returns({ nil, "connection refused" }, object:connect("127.0.0.1", t.unused_port()))
  t.equal(object.class, "tcp{client}")
  t.raises("calling 'bind' on bad self (tcp{master} expected)", function() object:bind("127.0.0.1", 0) end)
  object = t.closing(socket.tcp())
  t.equal(object:connect("", 1), nil)
  t.equal(object.class, "tcp{client}")
end)

t.test("connect with wrong arguments changes no class", function()
  local object = t.closing(socket.tcp())
  t.equal(pcall(object.connect, object), false)
  t.equal(pcall(object.connect, object, {}, 1), false)
  t.equal(pcall(object.connect, object, "127.0.0.1"), false)
  t.equal(object.class, "tcp{master}")
end)

t.test("a listening server cannot connect", function()
  local server, port = t.server()
  t.equal((server:connect("127.0.0.1", port)), nil)
end)

t.test("close and accept change no class", function()
  local server = t.server()
  local client, accepted = t.pair(server)
  t.equal(accepted.class, "tcp{client}")
  t.equal(server.class, "tcp{server}")
  server:close()
  client:close()
  local master = socket.tcp4()
  master:close()
  t.equal(server.class .. client.class .. master.class, "tcp{server}tcp{client}tcp{master}")
end)

t.test("an object keeps its identity through its classes", function()
  local object = t.closing(socket.tcp())
  local names = { [object] = "mine" }
  assert(object:bind("127.0.0.1", 0))
  assert(object:listen())
  t.equal(names[object], "mine")
end)

t.done()

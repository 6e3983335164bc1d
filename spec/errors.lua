-- What bad arguments raise: the texts, the numbers, the positions. What belongs to one method stands with that method;
-- here is what they have in common.

local t = require "support"
local socket = require "socket"

local loadstring = loadstring or load

-- One object of each class.
local function objects()
  local server = t.server()
  return {
    master = t.closing(socket.tcp4()),
    client = t.pair(server),
    server = server,
    closed = socket.tcp(),
  }
end

-- The function (object, ...) that makes the call written in `text`; `a` stands for the first of the further arguments.
local function written(text)
  return assert(loadstring("local object, socket, a = ... " .. text))
end

----------------------------------------------------------------------------------------------------------- call forms

t.test("a function of a table", function()
  t.raises("bad argument #1 to 'sleep' (number expected, got no value)", written "socket.sleep()", nil, socket)
  t.raises("bad argument #1 to 'sleep' (number expected, got no value)", function()
    local sleep = socket.sleep
    sleep()
  end)
  t.raises("bad argument #3 to 'select' (number expected, got string)", written "socket.select(nil, nil, 'x')", nil, socket)
end)

t.test("a method: self is not counted", function()
  local client = objects().client
  t.raises("bad argument #1 to 'settimeout' (number expected, got table)", function() client:settimeout({}) end)
  t.raises("bad argument #2 to 'send' (number expected, got table)", function() client:send("x", {}) end)
end)

t.test("a method of the wrong class: bad self", function()
  local all = objects()
  t.raises("calling 'receive' on bad self (tcp{client} expected)", function() all.server:receive() end)
  t.raises("calling 'accept' on bad self (tcp{server} expected)", function() all.closed:accept() end)
  t.raises("calling 'listen' on bad self (tcp{master} expected)", function() all.client:listen() end)
end)

t.test("a method called as function of a table: self is the first argument", function()
  local all = objects()
  t.raises("bad argument #2 to 'settimeout' (number expected, got table)", function()
    all.client.settimeout(all.client, {})
  end)
  t.raises("bad argument #1 to 'receive' (tcp{client} expected)", function() all.server.receive(all.server) end)
  t.raises("bad argument #1 to 'close' (tcp{any} expected)", function() all.server.close() end)
end)

t.test("without a calling line there is neither name nor position", function()
  local all = objects()
  t.raises({ exact = "bad argument #2 to '?' (number expected, got table)" }, all.client.settimeout, all.client, {})
  t.raises({ exact = "bad argument #1 to '?' (tcp{client} expected)" }, all.server.receive, all.server)
  t.raises({ exact = "bad argument #1 to '?' (tcp{any} expected)" }, all.server.close)
end)

t.test("functions of a loaded module are named where Lua knows modules", function()
  local names = { ["?"] = t.lua.number < 503 }
  if t.lua.number >= 502 then names["socket.sleep"], names["socket.core.sleep"] = true, true end
  local raised = t.raises({ match = "^bad argument #1 to '[^']+' %(number expected, got no value%)$" }, socket.sleep)
  t.ok(names[raised:match("'(.-)'")], raised)
end)

t.test("the position is the caller's", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local raised = t.raises({ match = "errors.lua" }, function() socket.sleep({}) end)
  t.match(raised, "errors.lua:" .. string.format("%d", line) .. ": bad argument")
end)

----------------------------------------------------------------------------------------------------------------- words

t.test("the word for what was given", function()
  local client = objects().client
  local words = {
    ["nil"] = { nil }, boolean = { true }, table = { {} }, ["function"] = { print }, string = { "x" },
    thread = { coroutine.create(function() end) },
  }
  t.raises("bad argument #1 to 'sleep' (number expected, got no value)", written "socket.sleep()", nil, socket)
  for word, value in pairs(words) do
    t.raises("bad argument #1 to 'sleep' (number expected, got " .. word .. ")",
      written "socket.sleep(a)", nil, socket, value[1])
    t.raises("bad argument #1 to 'setfd' (number expected, got " .. word .. ")",
      written "object:setfd(a)", client, socket, value[1])
    if word ~= "string" then
      t.raises("bad argument #1 to 'send' (string expected, got " .. word .. ")",
        written "object:send(a)", client, socket, value[1])
    end
  end
end)

t.test("userdata and tables with a name bear it where Lua knows names", function()
  local client = objects().client
  local file, object = "userdata", "userdata"
  if t.lua.number >= 503 then file, object = "FILE*", "tcp{client}" end
  t.raises("bad argument #1 to 'sleep' (number expected, got " .. file .. ")",
    written "socket.sleep(a)", nil, socket, io.stdout)
  t.raises("bad argument #1 to 'send' (string expected, got " .. object .. ")",
    written "object:send(a)", client, socket, client)
end)

t.test("numbers pass for strings, numeric strings for numbers", function()
  local client, accepted = t.pair()
  t.equal(client:send(12), 2)
  t.equal(accepted:receive("2"), "12")
  t.equal(client:settimeout("0x10"), 1)
  t.equal((client:gettimeout()), 16)
  t.equal(client:settimeout(" 5 "), 1)
  t.equal((client:gettimeout()), 5)
end)

t.test("surplus arguments are ignored", function()
  local client, accepted = t.pair()
  local surplus = {}
  t.equal(client:send("ab\n", 1, -1, surplus), 3)
  t.equal(accepted:receive("*l", "", surplus), "ab")
  t.equal(client:getfd(surplus), client:getfd())
  t.equal(client:dirty(surplus), false)
  t.equal(client:setoption("keepalive", true, surplus), 1)
  t.equal(client:getoption("keepalive", surplus), true)
  t.equal(client:settimeout(1, "b", surplus), 1)
  t.equal((client:getsockname(surplus)), "127.0.0.1")
  t.equal((client:getpeername(surplus)), "127.0.0.1")
  t.equal(client:getfamily(surplus), "inet4")
  t.equal(client:shutdown("both", surplus), 1)
  t.equal(client:close(surplus), 1)
  t.ok(t.closing(socket.tcp4(surplus)))
end)

------------------------------------------------------------------------------------------------------ every argument

-- Per method and class: how many arguments it checks, each with a fitting value and the type that it wants.
local STRING, NUMBER = "string", "number"
local ARGUMENTS = {
  { "master", "bind", { "127.0.0.1", STRING }, { 0, STRING } },
  { "master", "setsockname", { "127.0.0.1", STRING }, { 0, STRING } },
  { "master", "connect", { "127.0.0.1", STRING }, { 1, STRING } },
  { "client", "connect", { "127.0.0.1", STRING }, { 1, STRING } },
  { "server", "setpeername", { "127.0.0.1", STRING }, { 1, STRING } },
  { "closed", "connect", { "127.0.0.1", STRING }, { 1, STRING } },
  { "client", "getoption", { "keepalive", STRING } },
  { "server", "getoption", { "keepalive", STRING } },
  { "closed", "getoption", { "keepalive", STRING } },
  { "client", "setoption", { "keepalive", STRING }, { true, "boolean" } },
  { "closed", "setoption", { "keepalive", STRING }, { true, "boolean" } },
  { "client", "send", { "x", STRING } },
  { "client", "setfd", { -1, NUMBER } },
  { "closed", "setfd", { -1, NUMBER } },
}
-- The same for arguments that may be left out.
local OPTIONAL = {
  { "master", "listen", { 1, NUMBER } },
  { "client", "receive", { "*l", STRING }, { "", STRING } },
  { "client", "send", { "x" }, { 1, NUMBER }, { 1, NUMBER } },
  { "client", "setstats", { 1, NUMBER }, { 1, NUMBER } },
  { "master", "settimeout", { 1, NUMBER }, { "b", STRING } },
  { "client", "settimeout", { 1, NUMBER }, { "b", STRING } },
  { "server", "settimeout", { 1, NUMBER }, { "b", STRING } },
  { "closed", "settimeout", { 1, NUMBER }, { "b", STRING } },
}

-- Raises for the value `bad` in place of the last of the first `count` arguments.
local function check(object, entry, count, bad, got)
  local name, list, places = entry[2], { n = count }, {}
  for i = 1, count do
    list[i] = entry[2 + i][1]
    places[i] = "a[" .. i .. "]"
  end
  list[count] = bad
  if got == "no value" then places[count] = nil end
  local wanted = entry[2 + count][2]
  local detail = "(" .. wanted .. " expected, got " .. got .. ")"
  local arguments = table.concat(places, ", ")
  t.raises("bad argument #" .. count .. " to '" .. name .. "' " .. detail,
    written("object:" .. name .. "(" .. arguments .. ")"), object, socket, list)
  t.raises("bad argument #" .. (count + 1) .. " to '" .. name .. "' " .. detail,
    written("object." .. name .. "(object" .. (arguments ~= "" and ", " or "") .. arguments .. ")"), object, socket, list)
end

local function check_all(entries, more)
  local all = objects()
  for _, entry in ipairs(entries) do
    for count = 1, #entry - 2 do
      local wanted = entry[2 + count][2]
      if wanted then
        check(all[entry[1]], entry, count, {}, "table")
        check(all[entry[1]], entry, count, print, "function")
        if wanted ~= "boolean" then check(all[entry[1]], entry, count, false, "boolean") end
        if wanted == NUMBER then check(all[entry[1]], entry, count, "x", "string") end
        more(all[entry[1]], entry, count)
      end
    end
  end
  t.equal(all.master.class .. all.client.class .. all.server.class, "tcp{master}tcp{client}tcp{server}")
end

t.test("every argument that must be given", function()
  check_all(ARGUMENTS, function(object, entry, count)
    check(object, entry, count, nil, "nil")
    check(object, entry, count, nil, "no value")
  end)
end)

t.test("every argument that may be left out", function()
  check_all(OPTIONAL, function() end)
end)

--------------------------------------------------------------------------------------------------------------- results

t.test("a failure is nil, not false, and a word", function()
  local all = objects()
  all.client:settimeout(0)
  all.server:settimeout(0)
  local function fails(n, ...)
    local result, problem = t.returns(n, ...)
    t.ok(rawequal(result, nil))
    t.equal(type(problem), "string")
  end
  fails(3, all.client:receive())
  fails(2, all.server:accept())
  fails(2, all.closed:getsockname())
  fails(2, all.closed:getpeername())
  fails(2, all.closed:listen())
  fails(2, all.master:bind("192.0.2.1", 0))
  fails(2, all.closed:connect("127.0.0.1", t.unused_port()))
  fails(3, all.closed:send("x"))
end)

t.test("errors leave no descriptor", function()
  for _ = 1, 50 do
    pcall(socket.connect, "127.0.0.1", {})
    pcall(socket.connect, "127.0.0.1", 1, nil, nil, "none")
    pcall(socket.connect, "127.0.0.1", "no such service")
    pcall(socket.bind, "127.0.0.1", 0, {})
    pcall(socket.bind, "192.0.2.1", 0)
  end
  collectgarbage()
end)

t.fix("NUL in a host or a port, everywhere", function()
  local _, port = t.server()
  for _, host in ipairs { "127.0.0.1\0", "\0", "127.0.0.1\0.com", "local\0host" } do
    t.equal((t.closing(socket.tcp()):connect(host, port)), nil)
    t.equal((t.closing(socket.tcp()):bind(host, 0)), nil)
    t.equal((socket.connect(host, port)), nil)
    t.equal((socket.bind(host, 0)), nil)
    t.equal((socket.connect("127.0.0.1", port, host)), nil)
  end
  t.equal((socket.connect("127.0.0.1", port .. "\0")), nil)
  t.equal((socket.connect("127.0.0.1", port, "127.0.0.1", "0\0")), nil)
  t.equal((socket.bind("127.0.0.1", "0\0")), nil)
end)

t.test("very long hosts and ports", function()
  local long = string.rep("x", 100000)
  local result, problem = t.returns(2, t.closing(socket.tcp()):connect(long, 1))
  t.equal(result, nil)
  t.equal(type(problem), "string")
  t.returns({ nil, "service not supported for socket type" }, t.closing(socket.tcp()):connect("127.0.0.1", long))
  t.equal((t.closing(socket.tcp()):bind(long, 0)), nil)
end)

t.done()

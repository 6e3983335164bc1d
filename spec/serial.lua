-- Character devices, pipes and files as stream objects.

local t = require "support"
local socket = require "socket"
local serial = require "socket.serial"

local METHODS = { "close", "dirty", "getfd", "getstats", "receive", "send", "setfd", "setstats", "settimeout" }

local function fails(message, partial, ...)
  t.returns({ n = 3, nil, message, partial }, ...)
end

local function open(path)
  local object = t.closing(t.returns(1, serial(path)))
  object:settimeout(5)
  return object
end

local function fifo()
  local path = t.fresh_path()
  local output, status = t.shell("mkfifo " .. t.quote(path))
  if status ~= 0 then t.skip("no pipe can be made: " .. output) end
  return path
end

-- A pseudo terminal in raw mode whose other side is a child that sends back every line in capitals.
local TERMINAL = [[
import os, pty, sys, termios, tty
side, other = pty.openpty()
tty.setraw(other)
print(os.ttyname(other), flush=True)
line = b""
while True:
    byte = os.read(side, 1)
    line += byte
    if byte == b"\n":
        if line == b"end\n": break
        os.write(side, line.upper())
        line = b""
]]

local function terminal()
  local _, status = t.shell("command -v python3")
  if status ~= 0 then t.skip("python3 is not installed") end
  local script = t.write(t.fresh_path(), TERMINAL)
  local pipe = assert(io.popen("exec python3 " .. t.quote(script) .. " 2>/dev/null", "r"))
  local path = pipe:read("*l")
  t.finally(function() pipe:close() end)
  local object = open(assert(path, "no terminal"))
  t.finally(function() object:send("end\n") end)
  return object
end

-- The module

t.test("the module is a function that is stored nowhere", function()
  t.equal(type(serial), "function")
  t.equal(socket.serial, nil)
  t.equal(rawget(_G, "serial"), nil)
  t.equal(package.loaded["socket.serial"], serial)
end)

t.test("it opens a path", function()
  local object = open("/dev/null")
  t.equal(object.class, "serial{client}")
  t.ok(object:getfd() >= 0)
  t.match(tostring(object), "^serial{client}: ")
end)

t.test("a failure has three results, the last one the system's number", function()
  t.returns({ n = 3, nil, "No such file or directory", 2 }, serial("/no such file"))
  t.returns({ n = 3, nil, "Is a directory", 21 }, serial("/tmp"))
  t.returns({ n = 3, nil, "No such file or directory", 2 }, serial(""))
end)

t.test("the path is a string", function()
  t.raises("bad argument #1 to 'serial' (string expected, got no value)", function() serial() end)
  t.raises("bad argument #1 to 'serial' (string expected, got nil)", function() serial(nil) end)
  t.raises("bad argument #1 to 'serial' (string expected, got table)", function() serial({}) end)
end)

t.fix("a NUL in a path is an error", function()
  t.returns({ n = 3, nil, "Invalid argument", 22 }, serial("/dev/null\0x"))
end)

-- Objects

t.test("objects have these methods and no other of a stream", function()
  local object = open("/dev/null")
  for _, name in ipairs(METHODS) do t.equal(type(object[name]), "function", name) end
  for _, name in ipairs { "accept", "bind", "connect", "getpeername", "shutdown", "setoption", "getoption" } do
    t.equal(object[name], nil, name)
  end
  local meta = getmetatable(object)
  t.equal(meta.__index.class, "serial{client}")
  t.equal(type(meta.__gc), "function")
  if t.lua.number >= 503 then t.equal(meta.__name, "serial{client}") end
end)

t.test("methods raise for anything else", function()
  local object, other = open("/dev/null"), t.closing(socket.tcp())
  for _, name in ipairs { "send", "receive", "getstats", "setstats" } do
    t.raises({ match = "%(serial{client} expected%)$" }, object[name], other)
  end
  for _, name in ipairs { "close", "dirty", "getfd", "setfd", "settimeout" } do
    t.raises({ match = "%(serial{any} expected%)$" }, object[name], other)
    t.raises({ match = "%(serial{any} expected%)$" }, object[name])
  end
end)

t.test("a collected object is closed", function()
  for _ = 1, 10 do serial("/dev/null") end
end)

t.test("settimeout and setfd are those of a stream", function()
  local object = open("/dev/null")
  t.returns({ 1 }, object:settimeout(1))
  t.returns({ 1 }, object:settimeout(1, "t"))
  t.raises("bad argument #2 to 'settimeout' (invalid timeout mode)", function() object:settimeout(1, "x") end)
  local fd = object:getfd()
  t.returns(0, object:setfd(-1))
  t.returns({ -1 }, object:getfd())
  object:setfd(fd)
end)

t.fix("gettimeout tells both limits", function()
  local object = open("/dev/null")
  t.returns({ 5, -1 }, object:gettimeout())
end)

t.test("close gives 1, again and again", function()
  local object = open("/dev/null")
  t.returns({ 1 }, object:close())
  t.returns({ 1 }, object:close())
  t.returns({ -1 }, object:getfd())
  t.returns({ false }, object:dirty())
  fails("closed", 0, object:send("x"))
  fails("closed", "p", object:receive("*l", "p"))
  t.returns({ 0, n = 3 }, object:send(""))
  t.returns(3, object:getstats())
  t.equal(object.class, "serial{client}")
end)

-- The null device

t.test("the null device takes everything and has nothing", function()
  local object = open("/dev/null")
  t.returns({ 3, n = 3 }, object:send("abc"))
  t.returns({ 2, n = 3 }, object:send("abc", 2, 2))
  t.returns({ 100000, n = 3 }, object:send(("x"):rep(100000)))
  fails("closed", "", object:receive())
  fails("closed", "", object:receive("*a"))
  fails("closed", "p", object:receive(5, "p"))
  local received, sent = t.returns(3, object:getstats())
  t.equal(received, 0)
  t.equal(sent, 100004)
  t.returns({ 1 }, object:setstats(1, 2, 3))
  received, sent = object:getstats()
  t.equal(received, 1)
  t.equal(sent, 2)
end)

-- Regular files

t.test("a regular file is read with every pattern", function()
  local object = open(t.write(t.fresh_path(), "one\ntwo\r\nthree four five"))
  t.returns({ "one", n = 3 }, object:receive())
  t.returns({ true }, object:dirty())
  t.returns({ "two", n = 3 }, object:receive("*l"))
  t.returns({ "three", n = 3 }, object:receive(5))
  t.returns({ "and four", n = 3 }, object:receive(8, "and"))
  t.returns({ " five", n = 3 }, object:receive("*a"))
  fails("closed", "", object:receive("*a"))
  fails("closed", "", object:receive())
  t.raises("bad argument #1 to 'receive' (invalid receive pattern)", function() object:receive("*n") end)
end)

t.test("the end of a file closes a line and a count", function()
  local object = open(t.write(t.fresh_path(), "no end"))
  fails("closed", "no end", object:receive())
  object = open(t.write(t.fresh_path(), "short"))
  fails("closed", "short", object:receive(10))
end)

t.test("a regular file is written where it was read last", function()
  local path = t.write(t.fresh_path(), "")
  local object = open(path)
  t.returns({ 6, n = 3 }, object:send("hello\n"))
  t.returns({ 5, n = 3 }, object:send("world"))
  object:close()
  local file = assert(io.open(path))
  t.equal(file:read("*a"), "hello\nworld")
  file:close()
end)

t.test("select reports files and the null device at once", function()
  local file, null = open(t.write(t.fresh_path(), "x")), open("/dev/null")
  local readable, writable = t.returns(2, socket.select({ file, null }, { null, file }, 0))
  for _, ready in ipairs { readable, writable } do
    t.ok(ready[file] and ready[null])
    t.equal(#ready, 2)
  end
end)

-- Pipes

t.test("a pipe gives what was put in", function()
  local object = open(fifo())
  object:settimeout(0)
  fails("timeout", "", object:receive())
  t.quiet(object, 0)
  t.writable(object)
  t.returns({ 8, n = 3 }, object:send("line\nmor"))
  t.readable(object)
  t.returns({ "line", n = 3 }, object:receive())
  fails("timeout", "mor", object:receive())
  object:settimeout(0.05)
  fails("timeout", "p", object:receive(3, "p"))
end)

t.test("a full pipe makes send time out", function()
  local object = open(fifo())
  local size = t.fill(object)
  t.ok(size >= 4096)
  fails("timeout", 0, object:send("x"))
  object:settimeout(0.05)
  fails("timeout", 0, object:send("x"))
  local _, writable = socket.select(nil, { object }, 0)
  t.equal(#writable, 0)
  t.equal(#object:receive(size), size)
  t.returns({ 1, n = 3 }, object:send("x"))
end)

t.test("two processes talk through a pipe", function()
  local path = fifo()
  local object = open(path)
  local child = t.spawn([[
    local socket = require "socket"
    local pipe = require "socket.serial"((...))
    socket.sleep(0.1)
    assert(pipe:send("from the child\n"))
  ]], path)
  t.returns({ "from the child", n = 3 }, object:receive())
  t.equal(select(2, child:finish()), 0)
end)

-- A writing end of a pipe, adopted by an object; then the reading end is closed. The number of a descriptor that was just
-- closed is the next to be given out.
local BROKEN = [[
  local path, core = ...
  if core == "core" then require "socket" end
  local serial = require "socket.serial"
  local reader, object = serial(path), serial("/dev/null")
  local number = object:getfd()
  object:close()
  local writer = assert(io.open(path, "w"))
  object:setfd(number)
  reader:close()
  print(object:send("x"))
  print(object:send("x"))
  object:setfd(-1)
  writer:close()
]]

local function check_broken(core)
  local output, status = t.run(BROKEN, fifo(), core)
  t.equal(status, 0, output)
  t.match(output, "^nil\tclosed\t0[.0]*\nnil\tclosed\t0[.0]*\n$")
end

t.test("a broken pipe is closed and kills nobody", function()
  check_broken("core")
end)

t.fix("without the core, too, a broken pipe kills nobody", function()
  check_broken("alone")
end)

-- Terminals

t.test("a terminal is talked to", function()
  local object = terminal()
  t.returns({ 6, n = 3 }, object:send("hello\n"))
  t.returns({ "HELLO", n = 3 }, object:receive())
  object:send("one\ntwo\n")
  t.returns({ "ONE\nT", n = 3 }, object:receive(5))
  t.returns({ "WO", n = 3 }, object:receive())
  object:settimeout(0)
  fails("timeout", "", object:receive())
  t.quiet(object, 0.05)
end)

t.test("a terminal that hangs up fails", function()
  local object = terminal()
  object:send("end\n")
  t.readable(object)
  local data, problem = t.returns(3, object:receive())
  t.equal(data, nil)
  t.ok(problem == "Input/output error" or problem == "closed", problem)
end)

t.done()

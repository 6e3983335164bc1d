-- Sockets on the loopback interface, and events instead of sleeping. What `server`, `pair` and `datagrams` make is closed
-- when the test ends.
--
--     server([host])             a listener on port 0; returns it and its port (a number)
--     pair([server])             a connected client and the end that was accepted
--     datagrams()                two UDP objects, each connected to the other
--     readable(object [, time])  waits until select reports the object for reading (5 seconds); raises if it does not
--     writable(object [, time])  the same for writing
--     quiet(object, time)        waits that long; raises if the object becomes readable
--     fill(object)               writes until the system takes no more for a while; returns the number of bytes. The
--                                object's timeout is 0 afterwards
--     reset(object)              closes so that the peer sees a reset
--     unused_port()              a port of 127.0.0.1 on which nothing listens
--     elapsed(fn, ...)           the seconds that fn(...) takes

local assert, error, math, require, string, tonumber = assert, error, math, require, string, tonumber

local support = ...
local PATIENCE = 5
local M = {}

local function socket()
  return require "socket"
end

function M.server(host)
  local server = support.closing(assert(socket().bind(host or "127.0.0.1", 0)))
  server:settimeout(PATIENCE)
  local _, port = server:getsockname()
  return server, tonumber(port)
end

function M.pair(server)
  server = server or M.server()
  local host, port = server:getsockname()
  local client = support.closing(assert(socket().connect(host, port)))
  local accepted = support.closing(assert(server:accept()))
  return client, accepted
end

function M.datagrams()
  local a, b = support.closing(socket().udp4()), support.closing(socket().udp4())
  assert(a:setsockname("127.0.0.1", 0))
  assert(b:setsockname("127.0.0.1", 0))
  assert(a:setpeername(b:getsockname()))
  assert(b:setpeername(a:getsockname()))
  return a, b
end

function M.readable(object, time)
  local ready = socket().select({ object }, nil, time or PATIENCE)
  if not ready[object] then error("nothing to read from " .. support.show(object), 2) end
end

function M.writable(object, time)
  local _, ready = socket().select(nil, { object }, time or PATIENCE)
  if not ready[object] then error("no room to write to " .. support.show(object), 2) end
end

function M.quiet(object, time)
  local ready = socket().select({ object }, nil, time)
  if ready[object] then error("something to read from " .. support.show(object), 2) end
end

function M.fill(object)
  local core, block, sent = socket(), string.rep("x", 65536), 0
  local function write()
    local last, problem, partial = object:send(block)
    assert(last or problem == "timeout", problem)
    sent = sent + (last or partial)
    return (last or partial) > 0
  end
  object:settimeout(0)
  -- What is on its way to the other end makes room here; so does what the system sends to ask, after 0.2 seconds, whether
  -- there is room at the other end.
  local begun, some, last = nil, nil, core.gettime()
  repeat
    begun, some = core.gettime(), write()
    if some then
      last = core.gettime()
    else
      core.sleep(0.01)
    end
  until not some and begun - last > 0.3
  return sent
end

function M.reset(object)
  assert(object:setoption("linger", { on = true, timeout = 0 }))
  object:close()
end

-- Below the ports that systems give to whoever asks for any: or other tests, which run at the same time, would now and
-- then get it before the program that it is for.
function M.unused_port()
  local first, count = 20000, 12000
  local from = math.floor(socket().gettime() * 1000000) % count
  for i = 0, count - 1 do
    local port = first + (from + i) % count
    local server = socket().bind("127.0.0.1", port)
    if server then
      server:close()
      return port
    end
  end
  error("no port is unused")
end

function M.elapsed(fn, ...)
  local gettime = socket().gettime
  local start = gettime()
  fn(...)
  return gettime() - start
end

return M

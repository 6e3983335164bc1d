-- The protocol clients over sockets that yield: the same code serves whoever blocks and whoever schedules.

local t = require "support"
local ltn12 = require "ltn12"
local socket = require "socket"

-- A played peer whose every operation yields before it is done.
local function yielding(...)
  local create, log = t.play(...)
  return function()
    local sock = create()
    return setmetatable({}, {
      __index = function(_, name)
        if name ~= "connect" and name ~= "send" and name ~= "receive" then
          return sock[name] and function(_, ...) return sock[name](sock, ...) end
        end
        return function(_, ...)
          coroutine.yield(name)
          return sock[name](sock, ...)
        end
      end,
    })
  end, log
end

-- Runs fn in a coroutine; returns its results and how often it yielded.
local function run(fn)
  local co, count = coroutine.create(fn), 0
  while true do
    local results = t.pack(coroutine.resume(co))
    if not results[1] then t.fail(tostring(results[2])) end
    if coroutine.status(co) == "dead" then return count, select(2, t.unpack(results)) end
    count = count + 1
  end
end

t.fix("http", function()
  local http = require "socket.http"
  local create = yielding(
    t.lines("HTTP/1.1 302 F", "Location: /n", "Content-Length: 0", ""),
    t.lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "") .. "3\r\nabc\r\n0\r\n\r\n")
  local target = {}
  local count, ok, code = run(function()
    return http.request {
      url = "http://h.test/", create = create, timeout = 10, method = "PUT", redirect = true,
      body = function() return ltn12.source.table { "x", "y" } end,
      sink = function(chunk)
        coroutine.yield()
        target[#target + 1] = chunk
        return 1
      end,
    }
  end)
  t.equal(ok, 1)
  t.equal(code, 200)
  t.same(target, { "abc" })
  t.ok(count > 10)
end)

t.fix("an http request that fails", function()
  local http = require "socket.http"
  local create, log = yielding(t.lines("HTTP/1.1 200 OK", "Content-Length: 9", "") .. "abc")
  local _, ok, err = run(function() return http.request { url = "http://h.test/", create = create } end)
  t.equal(ok, nil)
  t.equal(err, "closed")
  t.ok(log[1].closed > 0)
end)

t.fix("smtp", function()
  local smtp = require "socket.smtp"
  local create = yielding(t.lines("220 h", "250-h", "250 AUTH PLAIN", "235 in", "250 s", "250 r", "354 g", "250 t", "221 b"))
  local count, ok, err = run(function()
    return smtp.send {
      from = "a@x.test", rcpt = "b@y.test", user = "u", password = "p", create = create,
      source = smtp.message {
        headers = { subject = "s" },
        body = { { body = function() coroutine.yield() end }, { body = "x" } },
      },
    }
  end)
  t.equal(ok, 1, err)
  t.ok(count > 10)
end)

t.fix("ftp", function()
  local ftp = require "socket.ftp"
  local control = t.lines("220 h", "331 p", "230 in", "229 ok (|||5|)", "150 coming", "226 done", "221 bye")
  local create = yielding(control, "contents")
  local target = {}
  local count, ok, err = run(function()
    return ftp.get {
      host = "h.test", path = "f", sink = (ltn12.sink.table(target)),
      create = function()
        local sock = create()
        return setmetatable({ getpeername = function() return "10.0.0.1", 21 end }, {
          __index = function(_, name) return sock[name] end,
        })
      end,
    }
  end)
  t.equal(ok, 1, err)
  t.equal(table.concat(target), "contents")
  t.ok(count > 10)
end)

t.equal(type(socket.protect), "function")
t.done()

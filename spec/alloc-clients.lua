-- The protocol clients while memory runs out: each call succeeds as always or raises the memory error, closes what it has
-- opened, and leaves nothing behind that spoils the next one.
--
-- Only our own runner can make Lua's memory run out; elsewhere the file is skipped.

local t = require "support"

t.needs_failing_allocator "clients without memory"
local exhaust = t.exhaust_told

local ftp = require "socket.ftp"
local http = require "socket.http"
local ltn12 = require "ltn12"
local smtp = require "socket.smtp"

t.test("heads and digests", function()
  local core, digest = require "socket.http.core", require "socket.digest"
  local head = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nA: d\r\n" .. ("n"):rep(5000) .. ": v\r\n\r\n"
  local code, line, persistent, fields = exhaust(function() return core.response(head) end)
  t.same({ code, line, persistent }, { 200, "HTTP/1.1 200 OK", true })
  t.same(fields, { a = "b c, d", [("n"):rep(5000)] = "v" })
  t.same(exhaust(function() return core.headers("A: b\n") end), { a = "b" })
  t.equal(exhaust(function() return core.place { url = "http://h.test:81/x" } end), "http")
  for _, name in ipairs { "md5", "sha256", "hmac_md5" } do
    t.match(exhaust(function() return digest[name]("a", "b") end), "^%x+$")
  end
end)

-- Players are made before memory runs out, one for each try.
local function played(...)
  -- LuaJIT 2.1 crashes when its own `string.sub` is refused memory inside of pcall, with no frame of ours on the stack.
  if t.lua.jit then t.skip "LuaJIT's string functions do not survive it" end
  local answers = { ... }
  local create
  return function(fn)
    return exhaust(function()
      create = t.play((table.unpack or unpack)(answers))
      return fn(create)
    end)
  end
end

t.test("http.request", function()
  local try = played(t.lines("HTTP/1.1 302 F", "Location: /n", "Content-Length: 0", ""),
    t.lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "") .. "3\r\nabc\r\n0\r\n\r\n")
  local ok, code = try(function(create)
    return http.request { url = "http://u:p@h.test/", create = create, headers = { ["X-A"] = "b" }, cookies = http.cookies() }
  end)
  t.equal(ok, 1)
  t.equal(code, 200)
end, 60)

t.test("smtp.send", function()
  local try = played(t.lines("220 h", "250 h", "250 s", "250 r", "354 g", "250 t", "221 b"))
  t.equal(try(function(create)
    return smtp.send {
      from = "a@x.test", rcpt = "b@y.test", create = create,
      source = smtp.message { headers = { subject = "s", date = "d", ["message-id"] = "i" }, body = "x" },
    }
  end), 1)
end, 60)

t.test("ftp.command", function()
  local try = played(t.lines("220 h", "331 p", "230 in", "200 noop", "221 b"))
  t.equal(try(function(create)
    return ftp.command { host = "h.test", command = "noop", create = create }
  end), 1)
end, 60)

t.test("a kept connection", function()
  local child = t.spawn([[
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    print((select(2, server:getsockname())))
    while true do
      local client = server:accept()
      while true do
        local line = client:receive()
        if not line then break end
        if line == "" then client:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") end
      end
      client:close()
    end
  ]])
  local url = "http://127.0.0.1:" .. child:read() .. "/"
  local pool = t.closing(http.pool:new())
  t.equal(exhaust(function()
    collectgarbage()
    return http.request { url = url, pool = pool, sink = ltn12.sink.null() }
  end), 1)
end, 60)

t.done()

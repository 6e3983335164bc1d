-- socket.ftp, against a small server in another process.

local t = require "support"
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local socket = require "socket"

-- The server: one control connection after the other, files in memory. It prints its port and then each command. `replies`
-- maps commands to replies that are given instead of what it would do; a reply of false closes the connection.
local SERVER = [[
  local socket = require "socket"
  local replies = %s
  local server = assert(socket.bind(%q, 0))
  print((select(2, server:getsockname())))
  local files = { file = ("0123456789"):rep(1000), empty = "" }

  local function session(c)
    local listener, active, offset = nil, nil, 0
    local function say(text) c:send(text .. "\r\n") end
    local function data()
      if active then return assert(socket.connect(active[1], active[2])) end
      listener:settimeout(5)
      return (listener:accept())
    end
    local function listen()
      local host = c:getsockname()
      listener, active = assert(socket.bind(host, 0)), nil
      listener:settimeout(5)
      return tonumber((select(2, listener:getsockname())))
    end
    local function transfer(work)
      say "150 coming"
      local d = data()
      work(d)
      d:close()
      say(replies.done or "226 done")
    end
    local does = {
      USER = function() say "331 password" end,
      PASS = function() say "230 in" end,
      TYPE = function() say "200 type" end,
      CWD = function() say "250 there" end,
      NOOP = function() say "200 noop" end,
      REST = function(arg) offset = tonumber(arg) say "350 from there" end,
      SIZE = function(arg) say("213 " .. #files[arg]) end,
      FEAT = function() say "211-list\r\n MLST type*;size*;\r\n211 end" end,
      EPSV = function() say(("229 ok (|||%%d|)"):format(listen())) end,
      PASV = function()
        local port = listen()
        say(("227 ok (%%s,%%d,%%d)"):format((replies.address or c:getsockname()):gsub("%%.", ","), math.floor(port / 256), port %% 256))
      end,
      PORT = function(arg)
        local a, b, c1, d, high, low = arg:match("(%%d+),(%%d+),(%%d+),(%%d+),(%%d+),(%%d+)")
        active = { a .. "." .. b .. "." .. c1 .. "." .. d, math.floor(high * 256 + low) }
        say "200 port"
      end,
      EPRT = function(arg)
        local address, port = arg:match("^|%%d|([^|]*)|(%%d+)|$")
        active = { address, port }
        say "200 eprt"
      end,
      RETR = function(arg)
        if not files[arg] then return say "550 no such file" end
        transfer(function(d) d:send(files[arg], offset + 1) end)
      end,
      NLST = function() transfer(function(d) d:send "a\r\nb\r\n" end) end,
      MLSD = function()
        transfer(function(d)
          d:send "type=cdir;modify=1; .\r\ntype=file;size=5; a b\r\nType=dir; c;d\r\n"
        end)
      end,
      STOR = function(arg) transfer(function(d) files[arg or ""] = d:receive "*a" or "" end) end,
      QUIT = function() say "221 bye" return true end,
    }
    say(replies.greeting or "220-hello\r\n220 there")
    while true do
      local line = c:receive()
      if not line then return end
      print(line)
      local cmd, arg = line:match("^(%%S+) ?(.*)$")
      if arg == "" then arg = nil end
      if replies[cmd] == false then return end
      if replies[cmd] then say(replies[cmd]) elseif does[cmd](arg) then return end
    end
  end

  while true do
    local c = server:accept()
    session(c)
    c:close()
    print "--"
  end
]]

local function serve(replies, host)
  local list = {}
  for key, value in pairs(replies or {}) do list[#list + 1] = ("%s=%s"):format(key, value and ("%q"):format(value) or "false") end
  local child = t.spawn(SERVER:format("{" .. table.concat(list, ",") .. "}", host or "127.0.0.1"))
  return child:read(), child
end

local function commands(child)
  local list = {}
  for line in function() return child:read() end do
    if line == "--" then return list end
    list[#list + 1] = line
  end
end

local CONTENT = string.rep("0123456789", 1000)

t.test("surface", function()
  t.equal(socket.ftp, ftp)
  t.equal(ftp.TIMEOUT, 60)
  t.equal(ftp.USER, "ftp")
  t.equal(ftp.PASSWORD, "anonymous@anonymous.org")
  for _, name in ipairs { "get", "put", "command", "open", "genericform" } do t.equal(type(ftp[name]), "function") end
end)

t.test("genericform", function()
  local form = ftp.genericform "ftp://u:p@h.test:99/a/b;type=i"
  t.equal(form.host, "h.test")
  t.equal(form.port, "99")
  t.equal(form.user, "u")
  t.equal(form.path, "/a/b")
  t.equal(form.type, "i")
  t.equal(ftp.genericform("//h.test/f").scheme, "ftp")
end)

t.test("urls that are none", function()
  t.returns({ n = 2, nil, "invalid url" }, ftp.get "")
  t.returns({ n = 2, nil, "wrong scheme 'http'" }, ftp.get "http://h.test/")
  t.returns({ n = 2, nil, "missing hostname" }, ftp.get "ftp:///x")
  t.returns({ n = 2, nil, "invalid type 'x'" }, ftp.get "ftp://h.test/f;type=x")
  t.returns({ n = 2, nil, "missing hostname" }, ftp.get { sink = ltn12.sink.null() })
  t.returns({ n = 2, nil, "missing command" }, ftp.command { host = "127.0.0.1", port = t.unused_port() })
end)

t.test("get by url", function()
  local port, child = serve()
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file;type=i"), CONTENT)
  t.same(commands(child), {
    "USER ftp", "PASS anonymous@anonymous.org", "TYPE i", "EPSV", "RETR file", "QUIT",
  })
  t.equal(ftp.get("ftp://joe:secret@127.0.0.1:" .. port .. "/empty"), "")
  t.same(commands(child), { "USER joe", "PASS secret", "EPSV", "RETR empty", "QUIT" })
  t.returns({ n = 2, nil, "550 no such file" }, ftp.get("ftp://127.0.0.1:" .. port .. "/a%20b%23"))
  t.equal(commands(child)[4], "RETR a b#")
  t.returns({ n = 2, nil, "550 no such file" }, ftp.get("ftp://127.0.0.1:" .. port .. "//abs/f"))
  t.equal(commands(child)[4], "RETR /abs/f")
end)

t.test("get into a sink", function()
  local port, child = serve()
  local target = {}
  t.returns({ 1 }, ftp.get { host = "127.0.0.1", port = port, argument = "file", sink = (ltn12.sink.table(target)) })
  t.equal(table.concat(target), CONTENT)
  commands(child)
  t.returns({ 1 }, ftp.get { host = "127.0.0.1", port = port, command = "nlst", sink = (ltn12.sink.table(target)) })
  t.same(commands(child), { "USER ftp", "PASS anonymous@anonymous.org", "EPSV", "NLST", "QUIT" })
end)

t.test("put", function()
  local port, child = serve()
  local base = "ftp://127.0.0.1:" .. port .. "/new"
  t.returns({ 3 }, ftp.put(base, "abc"))
  t.same(commands(child), { "USER ftp", "PASS anonymous@anonymous.org", "EPSV", "STOR new", "QUIT" })
  t.equal(ftp.get(base), "abc")
  commands(child)
  t.returns({ 4 }, ftp.put { host = "127.0.0.1", port = port, path = "/new", type = "a", source = ltn12.source.string "wxyz" })
  t.equal(commands(child)[3], "TYPE a")
  t.equal(ftp.put(base, nil), 0)
  commands(child)
  t.equal(ftp.get(base), "")
end)

t.test("refusals", function()
  local function refused(replies)
    local port = serve(replies)
    local _, err = t.returns(2, ftp.get("ftp://127.0.0.1:" .. port .. "/file"))
    return err
  end
  t.equal(refused { greeting = "421 busy" }, "421 busy")
  t.equal(refused { USER = "530 no" }, "530 no")
  t.equal(refused { PASS = "530 no" }, "530 no")
  t.equal(refused { RETR = "450 busy" }, "450 busy")
  t.equal(refused { done = "426 broken" }, "426 broken")
  t.equal(refused { USER = "hello" }, "invalid server reply")
  t.equal(refused { PASS = false }, "closed")
  t.returns({ n = 2, nil, "connection refused" }, ftp.get("ftp://127.0.0.1:" .. t.unused_port() .. "/x"))
end)

t.test("a login without password, a greeting that waits", function()
  local port, child = serve { USER = "230 welcome", greeting = "120 wait\r\n220 now" }
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file"), CONTENT)
  t.same(commands(child), { "USER ftp", "EPSV", "RETR file", "QUIT" })
end)

t.test("a reply instead of data", function()
  local port = serve { RETR = "250 nothing to send" }
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file"), "250 nothing to send")
end)

t.test("command", function()
  local port, child = serve()
  t.equal((ftp.command { host = "127.0.0.1", port = port, command = "noop", check = 200 }), 1)
  t.same(commands(child), { "USER ftp", "PASS anonymous@anonymous.org", "NOOP", "QUIT" })
  t.equal((ftp.command {
    url = "ftp://u:p@127.0.0.1:" .. port, command = { "cwd", "noop" }, argument = { "a b" }, check = { 250, "2.." },
  }), 1)
  t.same(commands(child), { "USER u", "PASS p", "CWD a b", "NOOP", "QUIT" })
  t.returns({ n = 2, nil, "200 noop" }, ftp.command { host = "127.0.0.1", port = port, command = "noop", check = 250 })
end)

t.test("sources and sinks that fail", function()
  local port = serve()
  t.returns({ n = 2, nil, "full" }, ftp.get { host = "127.0.0.1", port = port, path = "file", sink = ltn12.sink.error "full" })
  port = serve()
  t.returns({ n = 2, nil, "bad" }, ftp.put { host = "127.0.0.1", port = port, path = "file", source = ltn12.source.error "bad" })
end)

t.test("the low level", function()
  local port, child = serve()
  socket.protect(function()
    local f = ftp.open("127.0.0.1", port)
    t.ok(f.tp)
    t.returns({ 1 }, f:greet())
    t.returns({ 1 }, f:login("u", "p"))
    t.returns({ 1 }, f:type "i")
    t.returns({ 1 }, f:cwd "x")
    local address, dataport = t.returns(2, f:pasv())
    t.equal(address, "127.0.0.1")
    t.ok(tonumber(dataport))
    address, dataport = t.returns(2, f:epsv())
    t.equal(address, "127.0.0.1")
    local target = {}
    t.returns({ 1 }, f:receive { path = "/file", sink = (ltn12.sink.table(target)) })
    t.equal(table.concat(target), CONTENT)
    f:epsv()
    t.returns({ 2 }, f:send { argument = "n", source = ltn12.source.string "ab" })
    t.returns({ 1 }, f:quit())
    t.returns({ 1 }, f:close())
  end)()
  t.same(commands(child), { "USER u", "PASS p", "TYPE i", "CWD x", "PASV", "EPSV", "RETR file", "EPSV", "STOR n", "QUIT" })
  local create = t.play(t.lines "220 hi")
  t.returns({ n = 2, nil, "need port or pasv first" }, socket.protect(function()
    ftp.open("h", 1, create):receive { sink = ltn12.sink.null() }
  end)())
end)

-- Better than LuaSocket ------------------------------------------------------------------------------------------------

t.fix("input that is no request", function()
  t.returns({ n = 2, nil, "missing sink" }, ftp.get { host = "127.0.0.1" })
  t.returns({ n = 2, nil, "missing source" }, ftp.put { host = "127.0.0.1" })
  t.returns({ n = 2, nil, "invalid url" }, ftp.get(nil))
  t.returns({ n = 2, nil, "invalid type ''" }, ftp.get "ftp://h.test/f;type=")
  t.returns({ n = 2, nil, "invalid type 'foo'" }, ftp.get "ftp://h.test/f;foo")
  t.equal(ftp.genericform("FTP://h.test/f;type=A").type, "a")
end)

t.fix("no command hides in an argument", function()
  for _, url in ipairs { "ftp://127.0.0.1:%s/a%%0d%%0aDELE%%20x", "ftp://a%%0aQUIT:p@127.0.0.1:%s/f", "ftp://u:p%%00@127.0.0.1:%s/f" } do
    local port, child = serve()
    t.returns({ n = 2, nil, "invalid argument" }, ftp.get(url:format(port)))
    for _, line in ipairs(commands(child)) do t.ok(not line:find("DELE", 1, true) and line ~= "QUIT") end
  end
end)

t.fix("credentials of a url are unescaped, those of fields are not", function()
  local port, child = serve()
  ftp.get("ftp://a%40b:c%3Ad@127.0.0.1:" .. port .. "/empty")
  local list = commands(child)
  t.equal(list[1], "USER a@b")
  t.equal(list[2], "PASS c:d")
  ftp.get { host = "127.0.0.1", port = port, user = "a%40", password = "b%41", path = "empty", sink = ltn12.sink.null() }
  list = commands(child)
  t.equal(list[1], "USER a%40")
  t.equal(list[2], "PASS b%41")
end)

t.fix("PASV where EPSV is unknown", function()
  local port, child = serve { EPSV = "500 what" }
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file"), CONTENT)
  t.same(commands(child), { "USER ftp", "PASS anonymous@anonymous.org", "EPSV", "PASV", "RETR file", "QUIT" })
  port = serve { EPSV = "229 (||x|)" }
  t.returns({ n = 2, nil, "invalid epsv response" }, ftp.get("ftp://127.0.0.1:" .. port .. "/file"))
end)

t.fix("data goes to the server we speak to", function()
  local port = serve { EPSV = "500 what", address = "10.1.2.3" }
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file"), CONTENT)
end)

t.fix("the server may connect to us", function()
  local port, child = serve()
  local target = {}
  t.equal(ftp.get { host = "127.0.0.1", port = port, path = "file", active = true, sink = (ltn12.sink.table(target)) }, 1)
  t.equal(table.concat(target), CONTENT)
  t.match(commands(child)[3], "^PORT 127,0,0,1,%d+,%d+$")
  t.equal(ftp.put { host = "127.0.0.1", port = port, path = "n", active = true, source = ltn12.source.string "ab" }, 2)
end)

t.fix("IPv6, both ways", function()
  local probe = socket.bind("::1", 0)
  if not probe then t.skip "no IPv6" end
  probe:close()
  local port, child = serve({}, "::1")
  t.equal(ftp.get("ftp://[::1]:" .. port .. "/file"), CONTENT)
  commands(child)
  t.equal(ftp.get { host = "::1", port = port, path = "file", active = true, sink = ltn12.sink.null() }, 1)
  t.match(commands(child)[3], "^EPRT |2|::1|%d+|$")
end)

t.fix("resuming", function()
  local port, child = serve()
  local target = {}
  t.equal(ftp.get { host = "127.0.0.1", port = port, path = "file", offset = 9995, sink = (ltn12.sink.table(target)) }, 1)
  t.equal(table.concat(target), "56789")
  t.equal(commands(child)[4], "REST 9995")
  socket.protect(function()
    local f = ftp.open("127.0.0.1", port)
    f:greet()
    f:login()
    t.equal(f:size "file", 10000)
    f:close()
  end)()
end)

t.fix("a file that has arrived has arrived", function()
  local port = serve { QUIT = "500 what" }
  t.equal(ftp.get("ftp://127.0.0.1:" .. port .. "/file"), CONTENT)
  port = serve { QUIT = false }
  t.equal(ftp.put("ftp://127.0.0.1:" .. port .. "/n", "ab"), 2)
end)

t.fix("replies are read in order, the last one is returned", function()
  local port = serve()
  t.returns({ 1, "200 noop" }, ftp.command { host = "127.0.0.1", port = port, command = "noop" })
  port = serve { NOOP = "550 no" }
  t.returns({ n = 2, nil, "550 no" }, ftp.command { host = "127.0.0.1", port = port, command = { "cwd", "noop" } })
end)

t.fix("lists", function()
  local port, child = serve()
  t.same(ftp.list("ftp://127.0.0.1:" .. port .. "/x"), {
    { name = "a b", type = "file", size = 5 }, { name = "c;d", type = "dir" },
  })
  t.equal(commands(child)[5], "MLSD x")
  port, child = serve { FEAT = "500 what" }
  t.same(ftp.list { host = "127.0.0.1", port = port }, { { name = "a" }, { name = "b" } })
  t.equal(commands(child)[5], "NLST")
end)

t.fix("a server that has enough is heard", function()
  local port = serve { STOR = "552 full" }
  t.returns({ n = 2, nil, "552 full" }, ftp.put("ftp://127.0.0.1:" .. port .. "/n", "ab"))
end)

t.fix("data connections are made by create too", function()
  local port = serve()
  local count = 0
  t.equal(ftp.get {
    host = "127.0.0.1", port = port, path = "file", sink = ltn12.sink.null(),
    create = function()
      count = count + 1
      return socket.tcp()
    end,
  }, 1)
  t.equal(count, 2)
end)

t.fix("AUTH TLS protects both connections", function()
  local port, child = serve { AUTH = "234 go", PBSZ = "200 ok", PROT = "200 private" }
  local upgraded = {}
  t.equal(ftp.get {
    host = "127.0.0.1", port = port, path = "file", sink = ltn12.sink.null(),
    tls = function(sock, host)
      upgraded[#upgraded + 1] = host
      return sock
    end,
  }, 1)
  t.same(upgraded, { "127.0.0.1", "127.0.0.1" })
  t.same(commands(child), {
    "AUTH TLS", "PBSZ 0", "PROT P", "USER ftp", "PASS anonymous@anonymous.org", "EPSV", "RETR file", "QUIT",
  })
  port = serve { AUTH = "500 what" }
  t.returns({ n = 2, nil, "500 what" }, ftp.get { host = "127.0.0.1", port = port, tls = true, sink = ltn12.sink.null() })
end)

t.done()

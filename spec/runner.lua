-- The runner as an interpreter: the command line, error reports and exit statuses of the stock `lua`, against which
-- this file runs too; then what only the runner has.

local t = require "support"

local io, ipairs, os, package, pairs, pcall, type = io, ipairs, os, package, pairs, pcall, type
local G = _G
local ours = package.preload["luasocket.alloc"] ~= nil
local since = t.lua.number

local lua = t.interpreter()

-- Runs the interpreter with `words` (shell text) and `input`; returns what it writes where `outputs` leaves it, and the
-- exit status.
local function start(words, input, outputs)
  local name = os.tmpname()
  t.finally(function() os.remove(name) end)
  local file = t.ok(io.open(name, "wb"))
  file:write(input or "")
  file:close()
  return t.shell(lua .. " " .. words .. " <" .. name .. " " .. outputs)
end

local function run(words, input)
  return start(words, input, "2>/dev/null")
end

-- Returns what stands on standard error, without the program's name, instead of the output.
local function complaint(words, input)
  local text, status = start(words, input, "2>&1 >/dev/null")
  return text:gsub("^" .. lua:sub(2, -2):gsub("%p", "%%%0") .. ": ", "", 1), status
end

local function script(text)
  local name = os.tmpname()
  t.finally(function() os.remove(name) end)
  local file = t.ok(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

local function only_ours()
  if not ours then t.skip("this is not the runner") end
end

t.test("a script gets its arguments in arg and in ...", function()
  local name = script "print(arg[0], arg[1], arg[2], arg[3], #arg, ...) print(arg[-1] ~= nil, arg[-2])"
  t.equal(run(name .. " a '' 'b c'"), name .. "\ta\t\tb c\t3\ta\t\tb c\ntrue\tnil\n")
end)

t.test("options before the script have negative indices", function()
  local name = script "print(arg[-1], arg[-2], arg[-3] ~= nil, arg[-4])"
  t.equal(run("-e 'x = 1' " .. name), "x = 1\t-e\ttrue\tnil\n")
end)

t.test("-e runs statements in order, and no script then", function()
  t.equal(run("-e 'x = 1' -e'print(x)'", "print 'input'"), "1\n")
  t.equal(run("-e 'x = 2' -", "print(x, ...)"), "2\n")
end)

t.test("- runs standard input as a script, with arguments", function()
  t.equal(run("- a b", "print(arg[0], arg[-1] ~= nil, ...)"), "-\ttrue\ta\tb\n")
end)

t.test("without a word standard input is run whole, not line by line", function()
  t.equal(run("", "local a = 1\nprint(a)\n"), "1\n")
end)

t.test("-- ends the options", function()
  local name = script "print(...)"
  t.equal(run("-- " .. name .. " -v"), "-v\n")
  local _, status = run "-- -"
  t.equal(status, 1)
end)

t.test("-l loads a library", function()
  t.equal(run "-l string -e 'print(string.len(\"abc\"))'", "3\n")
  local text, status = complaint "-l nosuch"
  t.match(text, "module 'nosuch' not found")
  t.equal(status, 1)
end)

t.test("-l sets a global, whose name may be given", function()
  if since < 502 then t.skip("5.2 on") end
  t.equal(run "-e 'package.loaded.m = 7' -l m -e 'print(m)'", "7\n")
  -- The rest came with a later 5.4.
  if since < 504 or not ours then return end
  t.equal(run "-e 'package.loaded.m = 7' -l g=m -e 'print(g, m)'", "7\tnil\n")
  t.equal(run "-e 'package.loaded[\"m-v2\"] = 7' -l m-v2 -e 'print(m)'", "7\n")
end)

t.test("-v and -i name the version", function()
  for _, option in ipairs { "-v", "-i" } do
    t.match(t.shell(lua .. " " .. option .. " 2>&1 </dev/null"), t.lua.jit and "LuaJIT 2" or t.lua.name)
  end
end)

t.test("-W turns warnings on", function()
  if since < 504 then t.skip("5.4 on") end
  if not ours then t.skip("an early 5.4 has them on") end
  t.equal(complaint "-e 'warn \"a\"'", "")
  t.equal(complaint "-W -e 'warn \"a\"'", "Lua warning: a\n")
end)

t.test("LUA_INIT is a chunk or a file, and -E looks away", function()
  local name = script "x = 3"
  local print_x = " -e 'print(x)' 2>&1 </dev/null"
  t.equal(t.shell("LUA_INIT='x = 2' " .. lua .. print_x), "2\n")
  t.equal(t.shell("LUA_INIT=@" .. name .. " " .. lua .. print_x), "3\n")
  local text, status = t.shell("LUA_INIT='error \"no\"' " .. lua .. print_x)
  t.match(text, "LUA_INIT:1: no")
  t.equal(status, 1)
  if since < 502 then return end
  local suffix = t.lua.name:match("%d.%d"):gsub("%.", "_")
  t.equal(t.shell("LUA_INIT='x = 2' LUA_INIT_" .. suffix .. "='x = 4' " .. lua .. print_x), "4\n")
  t.equal(t.shell("LUA_INIT='x = 2' " .. lua .. " -E" .. print_x), "nil\n")
  t.equal(t.shell("LUA_PATH='here/?.lua' " .. lua .. " -E -e 'print(package.path:find(\"here\"))'"), "nil\n")
end)

t.test("LUA_PATH and LUA_CPATH, with ;; for the default", function()
  local text = t.shell("LUA_PATH='a/?.lua;;' LUA_CPATH='b/?.so' " .. lua .. " -e 'print(package.path, package.cpath)'")
  t.match(text, "^a/%?%.lua;.+/lua.*\tb/%?%.so\n$")
end)

t.test("the exit status tells", function()
  local function status(words, input)
    local _, number = run(words, input)
    return number
  end
  t.equal(status "-e 'os.exit(7)'", 7)
  t.equal(status "-e 'os.exit()'", 0)
  t.equal(status "-e 'error(\"x\")'", 1)
  t.equal(status "-e 'x ='", 1)
  t.equal(status "/no/such/script.lua", 1)
  t.equal(status("-", "return 5"), 0)
  t.equal(status("-", "error()"), 1)
  if since < 502 then return end
  t.equal(status "-e 'os.exit(true, true)'", 0)
  t.equal(status "-e 'os.exit(false, true)'", 1)
end)

t.test("the state is closed at the end", function()
  local gc = "local function on(f) if newproxy then getmetatable(newproxy(true)).__gc = f "
    .. "else setmetatable({}, {__gc = f}) end end on(function() print 'closed' end) "
  t.equal(run("-", gc), "closed\n")
  t.equal(run("-", gc .. "os.exit(0)"), "")
  if since >= 502 then t.equal(run("-", gc .. "os.exit(true, true)"), "closed\n") end
end)

t.test("an error has a traceback, on standard error", function()
  local name = script "local function f() error 'no' end\nlocal function g() f() end\ng()"
  local text, status = complaint(name)
  t.match(text, "^[^\n]*:1: no\nstack traceback:\n")
  t.match(text, ":2: in ")
  t.match(text, ":3: in main chunk")
  t.equal(status, 1)
end)

t.test("an error object says what it is", function()
  local speaks = "error(setmetatable({}, {__tostring = function() return 'an object' end}))"
  if since < 503 and not ours then t.skip("5.3 on") end
  t.equal(complaint("-", speaks), "an object\n")
  t.match(complaint("-", "error {}"), "^%(error object is a table value%)")
  t.match(complaint("-", "error(nil)"), "nil")
end)

t.test("a script that does not load says why, without a traceback", function()
  t.match(complaint("-", "x = = 1"), "^stdin:1: unexpected symbol near '='\n$")
  t.match(complaint "/no/such/script.lua", "^cannot open /no/such/script.lua")
end)

t.test("a first line with # is not Lua", function()
  local name = script "#!/usr/bin/env lua\nprint(debug.getinfo(1, 'l').currentline)"
  t.equal(run(name), "2\n")
end)

t.test("options that are not understood", function()
  for _, word in ipairs { "-x", "--version", "-vx", "-e" } do
    local text, status = complaint(word)
    t.equal(status, 1)
    t.match(text, "usage: ")
  end
end)

t.test("the environment's signals are as they were", function()
  local signals = "for line in io.lines('/proc/self/status') do if line:find '^Sig[IB]' then print(line) end end"
  t.equal(run("-", signals), (t.shell "grep '^Sig[IB]' /proc/self/status"))
end)

t.test("-i converses: values are printed, texts go on, errors do not end it", function()
  only_ours()
  local talk = "1 + 1, 'a'\nx = 5\n=x\nfor i = 1, 2 do\nprint(i)\nend\nnil\nx = = 1\nerror 'no'\nio.read()\nthis line\n"
  local text, status = t.shell("printf %s " .. t.quote(talk) .. " | " .. lua .. " -i 2>/dev/null")
  t.equal(status, 0)
  t.equal(text:match("\n(.*)"),
    "> 2\ta\n> > 5\n> >> >> 1\n2\n> nil\n> > > this line\n> \n")
end)

t.test("-i has prompts that a program may change", function()
  only_ours()
  local text = t.shell("printf 'do\\nend\\n' | " .. lua .. " -i -e '_PROMPT, _PROMPT2 = \"a \", 7'")
  t.equal(text:match("\n(.*)"), "a 7a \n")
end)

t.test("-i says when print fails", function()
  only_ours()
  local text = t.shell("printf '1\\n2\\n' | " .. lua .. " -i -e 'print = nil' 2>&1")
  t.match(text, "error calling 'print'")
end)

t.test("our modules are there, whatever the path", function()
  only_ours()
  t.equal(t.shell("LUA_PATH= LUA_CPATH= " .. lua .. " -e 'print(type(require \"socket\"))'"), "table\n")
end)

-- Each waits, or is busy, for longer than the test may take.
local WAITS = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  local host, port = server:getsockname()
  local client = assert(socket.connect(host, port))
  local station = socket.udp()
  station:setsockname("127.0.0.1", 0)
  local does = {
    accept = function() server:accept() server:accept() end,
    coroutine = function() print(coroutine.wrap(function() return client:receive() end)()) end,
    loop = function() while true do end end,
    pcall = function() print(pcall(client.receive, client)) while true do end end,
    receive = function() client:receive() end,
    receivefrom = function() station:receivefrom() end,
    select = function() socket.select({ client }) end,
    send = function() while true do assert(client:send(("x"):rep(1000000))) end end,
    sleep = function() socket.sleep(20) end,
  }
  if jit then jit.off() end
  print "ready"
  does[...]()
]]

for _, what in ipairs { "accept", "coroutine", "loop", "pcall", "receive", "receivefrom", "select", "send", "sleep" } do
  t.test("Ctrl-C ends " .. what, function()
    only_ours()
    local child = t.spawn(WAITS, what)
    t.equal(child:read(), "ready")
    require "socket".sleep(0.1)
    child:signal "INT"
    local text, status = child:finish()
    t.match(text, "interrupted!")
    t.match(text, "stack traceback")
    t.equal(status, 1)
  end, 5)
end

local TASKS = [[
  local task = require "socket.task"
  if jit then jit.off() end
  local function sleep() task.sleep(60) end
  local does = {
    busy = function() while true do task.yield() end end,
    sleeping = function()
      task.spawn(function()
        local ok, err = pcall(sleep)
        print("cancelled", ok, err)
        error(err, 0)
      end)
      sleep()
    end,
    stubborn = function()
      while true do pcall(sleep) end
    end,
  }
  print "ready"
  task.run(does[...])
]]

for _, what in ipairs { "busy", "sleeping", "stubborn" } do
  t.test("Ctrl-C ends tasks: " .. what, function()
    only_ours()
    local child = t.spawn(TASKS, what)
    t.equal(child:read(), "ready")
    require "socket".sleep(0.1)
    child:signal "INT"
    local text, status = child:finish()
    t.match(text, "interrupted!")
    if what == "sleeping" then t.match(text, "cancelled\tfalse\tcancelled") end
    t.equal(status, 1)
  end, 5)
end

t.test("Ctrl-C that the parent ignores is ignored", function()
  only_ours()
  local text, status = t.shell("trap '' INT; " .. lua .. " -e 'os.execute \"kill -INT $PPID\"' -e 'print(1)'")
  t.equal(text, "1\n")
  t.equal(status, 0)
end)

-- Functions that a C module may need, with the versions that have them as functions: from, or from and to.
local API = {
  [{ 501 }] = [[lua_atpanic lua_checkstack lua_close lua_concat lua_createtable lua_dump lua_error lua_gc lua_getallocf
    lua_getfield lua_gethook lua_getinfo lua_getlocal lua_getmetatable lua_getstack lua_gettable lua_gettop
    lua_getupvalue lua_iscfunction lua_isnumber lua_isstring lua_isuserdata lua_load lua_newstate lua_newthread
    lua_next lua_pushboolean lua_pushcclosure lua_pushfstring lua_pushinteger lua_pushlightuserdata lua_pushlstring
    lua_pushnil lua_pushnumber lua_pushstring lua_pushthread lua_pushvalue lua_pushvfstring lua_rawequal lua_rawget
    lua_rawgeti lua_rawset lua_rawseti lua_resume lua_setallocf lua_setfield lua_sethook lua_setlocal
    lua_setmetatable lua_settable lua_settop lua_setupvalue lua_status lua_toboolean lua_tocfunction lua_tolstring
    lua_topointer lua_tothread lua_touserdata lua_type lua_typename lua_xmove luaL_addlstring luaL_addstring
    luaL_addvalue luaL_argerror luaL_buffinit luaL_callmeta luaL_checkany luaL_checkinteger luaL_checklstring
    luaL_checknumber luaL_checkoption luaL_checkstack luaL_checktype luaL_checkudata luaL_error luaL_getmetafield
    luaL_gsub luaL_loadstring luaL_newmetatable luaL_newstate luaL_optinteger luaL_optlstring luaL_optnumber
    luaL_pushresult luaL_ref luaL_unref luaL_where luaopen_base luaopen_package luaopen_table luaopen_io]],
  [{ 501, 501 }] = [[lua_call lua_cpcall lua_equal lua_getfenv lua_insert lua_lessthan lua_newuserdata lua_objlen lua_pcall
    lua_remove lua_replace lua_setfenv lua_tointeger lua_tonumber lua_yield luaL_findtable luaL_loadbuffer
    luaL_loadfile luaL_openlib luaL_prepbuffer luaL_register]],
  [{ 501, 504 }] = "luaL_openlibs",
  [{ 502 }] = [[lua_absindex lua_arith lua_callk lua_compare lua_copy lua_getglobal lua_len lua_pcallk lua_rawgetp
    lua_rawlen lua_rawsetp lua_setglobal lua_tointegerx lua_tonumberx lua_upvalueid lua_upvaluejoin lua_version
    lua_yieldk luaL_buffinitsize luaL_checkversion_ luaL_execresult luaL_fileresult luaL_getsubtable luaL_len
    luaL_loadbufferx luaL_loadfilex luaL_prepbuffsize luaL_pushresultsize luaL_requiref luaL_setfuncs
    luaL_setmetatable luaL_testudata luaL_tolstring luaL_traceback]],
  [{ 503 }] = "lua_geti lua_isinteger lua_isyieldable lua_rotate lua_seti lua_stringtonumber",
  [{ 504 }] = [[lua_closeslot lua_getiuservalue lua_newuserdatauv lua_setiuservalue lua_setwarnf lua_toclose lua_warning
    luaL_addgsub luaL_typeerror]],
  [{ 505 }] = "lua_closethread lua_numbertocstring lua_pushexternalstring luaL_openselectedlibs",
}

t.test("the C API is exported, for C modules", function()
  only_ours()
  -- An empty name stands for the program itself. The symbols are looked up here, not called.
  for versions, names in pairs(API) do
    if versions[1] <= since and since <= (versions[2] or since) then
      for name in names:gmatch("%S+") do t.equal(type(package.loadlib("", name)), "function", name) end
    end
  end
end)

-- Loads a C module that Debian's packages have, if it is there.
local function c_module(name, symbol)
  only_ours()
  local folder = "/usr/lib/x86_64-linux-gnu/lua/" .. t.lua.name:gsub("LuaJIT", "5.1"):match("%d.%d") .. "/"
  local open, problem = package.loadlib(folder .. name .. ".so", symbol)
  if not open then t.skip(problem) end
  return open
end

t.test("a C module loads: cjson", function()
  local cjson = c_module("cjson", "luaopen_cjson")()
  t.same(cjson.decode '{"a":[1,2,{"b":null}]}', { a = { 1, 2, { b = cjson.null } } })
  t.raises({ match = "Expected value" }, cjson.decode, "[")
end)

t.test("a C module loads: lpeg", function()
  local lpeg = c_module("lpeg", "luaopen_lpeg")("lpeg")
  G.lpeg = nil -- it sets one on 5.1
  local list = lpeg.Ct((lpeg.C(lpeg.R "az" ^ 1) * lpeg.P "," ^ -1) ^ 0)
  t.same(list:match "ab,c,d", { "ab", "c", "d" })
end)

t.test("a C module loads: posix", function()
  local unistd = c_module("posix", "luaopen_posix_unistd")("posix.unistd")
  G.posix = nil
  t.equal(type(unistd.getpid()), "number")
end)

t.test("a C module loads: the C library", function()
  local core = c_module("socket/core", "luaopen_socket_core")("socket.core")
  t.match(core._VERSION, "^LuaSocket")
end)

t.test("allocations fail when told to", function()
  only_ours()
  local alloc = require "luasocket.alloc"
  local function build(size) return ("x"):rep(size), {} end
  local ok, problem = alloc.failing(0, build, 1000)
  t.equal(ok, false)
  t.equal(problem, "not enough memory")
  t.equal(alloc.failed(), true)
  local n = 0
  repeat
    n = n + 1
    t.ok(n < 100, "it succeeds in the end")
    ok, problem = alloc.failing(n, build, 1000 + n)
  until ok
  t.equal(alloc.failed(), false)
  t.equal(#problem, 1000 + n)
end)

t.test("a function may get over a failing allocation", function()
  only_ours()
  local alloc = require "luasocket.alloc"
  local function build() return {} end
  local function get_over() return (pcall(build)) end
  for n = 0, 20 do
    local ok, built = alloc.failing(n, get_over)
    if ok and not built then return t.equal(alloc.failed(), true) end
  end
  t.fail("no allocation fails inside")
end)

t.test("errors, results and arguments pass failing as they pass pcall", function()
  only_ours()
  local alloc = require "luasocket.alloc"
  t.returns({ n = 5, true, 1, nil, 3, nil }, alloc.failing(1000, function(...) return ... end, 1, nil, 3, nil))
  local object = {}
  t.returns({ false, object }, alloc.failing(1000, function() error(object) end))
  t.raises({ match = "number expected" }, alloc.failing)
  t.raises({ match = "function expected" }, alloc.failing, 1, 2)
end)

t.done()

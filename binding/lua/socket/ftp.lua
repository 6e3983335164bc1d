--- `socket.ftp`: files by FTP.

local ltn12 = require "ltn12"
local socket = require "socket"
local starttls = require "socket.starttls"
local tp = require "socket.tp"
local url = require "socket.url"

local ipairs, math, pairs, select, setmetatable, tonumber, type =
  ipairs, math, pairs, select, setmetatable, tonumber, type
local string, table = string, table

local M = {}
socket.ftp = M

-- Read at each use.
M.TIMEOUT = 60
M.USER = "ftp"
M.PASSWORD = "anonymous@anonymous.org"

local PORT = 21

-- Connections ----------------------------------------------------------------------------------------------------------

-- All methods raise through `try`, which closes everything, and return 1 unless something else is said.
local Connection = { __name = "ftp" }
local methods = {}
Connection.__index = methods

function M.open(host, port, create)
  local control = socket.try(tp.connect(host, port or PORT, M.TIMEOUT, create))
  local f = setmetatable({ tp = control, host = host, create = create }, Connection)
  f.try = socket.newtry(function() f:close() end)
  return f
end

local function ask(f, expected, cmd, arg)
  f.try(f.tp:command(cmd, arg))
  return f.try(f.tp:check(expected))
end

function methods:greet()
  local code = self.try(self.tp:check { "1..", "2.." })
  if string.find(code, "^1") then self.try(self.tp:check("2..")) end
  return 1
end

-- Control and data connections are protected from here on. `options` as in `socket.starttls`.
function methods:starttls(options)
  options = self.try(starttls.shared(options))
  ask(self, "234", "AUTH", "TLS")
  self.try(self.tp:starttls(self.host, options))
  ask(self, "2..", "PBSZ", "0")
  ask(self, "2..", "PROT", "P")
  self.tls = options
  return 1
end

function methods:login(user, password)
  local code = ask(self, { "2..", 331 }, "USER", user or M.USER)
  if code == 331 then ask(self, "2..", "PASS", password or M.PASSWORD) end
  return 1
end

function methods:type(kind)
  ask(self, 200, "TYPE", kind)
  return 1
end

function methods:cwd(folder)
  ask(self, 250, "CWD", folder)
  return 1
end

-- The next transfer begins at that byte.
function methods:rest(offset)
  ask(self, 350, "REST", string.format("%.0f", offset))
  return 1
end

function methods:size(path)
  local _, reply = ask(self, 213, "SIZE", path)
  return self.try(tonumber(string.match(reply, "^213%s+(%d+)")), "invalid size response")
end

-- Where data goes ------------------------------------------------------------------------------------------------------

local function forget(f)
  if f.server then f.server:close() end
  f.server, f.pasvt = nil, nil
end

local function peer(f)
  return (f.try(f.tp:getpeername()))
end

-- A data connection leads to the server that we speak to, wherever its answer points; `anyaddress` allows others.
function methods:pasv()
  local _, reply = ask(self, "2..", "PASV")
  local a, b, c, d, high, low = string.match(reply, "(%d+)%D(%d+)%D(%d+)%D(%d+)%D(%d+)%D(%d+)")
  self.try(low, reply)
  forget(self)
  local address = a .. "." .. b .. "." .. c .. "." .. d
  if not self.anyaddress then address = peer(self) end
  self.pasvt = { address = address, port = high * 256 + low }
  if math.tointeger then self.pasvt.port = math.tointeger(self.pasvt.port) or self.pasvt.port end
  return self.pasvt.address, self.pasvt.port
end

-- The reply names a port between three and one of any mark: (|||port|).
local function extended(f, reply)
  local _, port = string.match(reply, "%((.)%d*%1[^%s]-%1(%d+)%1%)")
  f.try(port, "invalid epsv response")
  forget(f)
  f.pasvt = { address = peer(f), port = port }
  return f.pasvt.address, f.pasvt.port
end

function methods:epsv()
  return extended(self, select(2, ask(self, 229, "EPSV")))
end

local function listen(f)
  local address = f.try(f.tp:getsockname())
  forget(f)
  f.server = f.try(socket.bind(address, 0))
  f.server:settimeout(M.TIMEOUT)
  local host, port = f.try(f.server:getsockname())
  return host, tonumber(port)
end

function methods:port(address, port)
  if not address then address, port = listen(self) end
  local high = math.floor(port / 256)
  local arg = string.gsub(string.format("%s,%d,%d", address, high, port - high * 256), "%.", ",")
  ask(self, "2..", "PORT", arg)
  return 1
end

-- `family` is 1 for IPv4, 2 for IPv6.
function methods:eprt(family, address, port)
  if not address then
    address, port = listen(self)
    family = string.find(address, ":", 1, true) and 2 or 1
  end
  ask(self, "2..", "EPRT", string.format("|%s|%s|%s|", family, address, port))
  return 1
end

local function protected(f, sock)
  if not f.tls then return sock end
  return f.try(starttls.upgrade(sock, f.host, f.tls, M.TIMEOUT))
end

function methods:pasvconnect()
  self.data = self.try((self.create or socket.tcp)())
  self.try(self.data:settimeout(M.TIMEOUT))
  self.try(self.data:connect(self.pasvt.address, self.pasvt.port))
  return 1
end

-- Whoever else connects is sent away.
function methods:portconnect()
  local expected = self.anyaddress or peer(self)
  self.server:settimeout(M.TIMEOUT)
  repeat
    self.data = self.try(self.server:accept())
    local from = self.data:getpeername()
    local welcome = expected == true or from == expected
    if not welcome then self.data:close() end
  until welcome
  self.data:settimeout(M.TIMEOUT)
  return 1
end

-- Transfers ------------------------------------------------------------------------------------------------------------

-- What the transfer is about: the argument, or the path without its first slash.
local function argument(t)
  local arg = t.argument
  if not arg and t.path then arg = url.unescape((string.gsub(t.path, "^[/\\]", ""))) end
  if arg == "" then arg = nil end
  return arg
end

-- Sends the command. Returns the code and text of the preliminary reply; the data connection is open then.
local function begin(f, t, command)
  f.try(f.pasvt or f.server, "need port or pasv first")
  if f.pasvt then f:pasvconnect() end
  local code, reply = ask(f, { "1..", "2.." }, t.command or command, argument(t))
  if code < 200 and f.server then f:portconnect() end
  return code, reply
end

local function closedata(f)
  if f.data then f.data:close() end
  f.data = nil
end

-- Gives up a transfer: closing the connection in peace would make half a file look like a whole one.
local function abort(f, err)
  if f.data.setoption then f.data:setoption("linger", { on = true, timeout = 0 }) end
  if f.tls then starttls.abandon(f.data) end
  closedata(f)
  f.tp:command("ABOR")
  f.try(nil, err)
end

function methods:receive(t)
  local code, reply = begin(self, t, "retr")
  if code >= 200 then
    self.try(t.sink(reply))
    return 1
  end
  self.data = protected(self, self.data)
  local source = socket.source("until-closed", self.data)
  local ok, err = ltn12.pump.all(source, t.sink, t.step or ltn12.pump.step)
  if not ok then abort(self, err) end
  closedata(self)
  self.try(self.tp:check("2.."))
  return 1
end

-- A server that has enough says so while we are still sending.
local function refusal(f)
  local ready = socket.select({ f.tp }, nil, 0)
  if not ready[1] then return nil end
  local code, reply = f.tp:check { "1..", "2..", "3..", "4..", "5.." }
  if code and code < 400 then return nil end
  return reply
end

-- Looking costs a system call, so not before each chunk.
local LOOK = 16

local function counted(f, count)
  return function(chunk, err)
    if not chunk then
      if err then return nil, err end
      return 1
    end
    count.chunks, count.bytes = count.chunks + 1, count.bytes + #chunk
    if count.chunks % LOOK == 0 then
      local reply = refusal(f)
      if reply then return nil, reply end
    end
    local sent, problem = f.data:send(chunk)
    if sent then return sent end
    return nil, problem == "closed" and refusal(f) or problem
  end
end

-- Returns the number of bytes.
function methods:send(t)
  local code = begin(self, t, "stor")
  local count = { chunks = 0, bytes = 0 }
  if code >= 200 and not self.data then self:portconnect() end
  self.data = protected(self, self.data)
  local ok, err = ltn12.pump.all(t.source, counted(self, count), t.step or ltn12.pump.step)
  if not ok then abort(self, err) end
  if self.tls then starttls.finish(self.data) else closedata(self) end
  if code < 200 then self.try(self.tp:check("2..")) end
  closedata(self)
  return count.bytes
end

function methods:quit()
  ask(self, "2..", "QUIT")
  return 1
end

function methods:close()
  closedata(self)
  if self.server then self.server:close() end
  self.server = nil
  return self.tp:close()
end

-- Requests -------------------------------------------------------------------------------------------------------------

-- The caller's table, with the parts of its URL below.
local function overlay(reqt)
  local t = {}
  if reqt.url then
    local parts = url.parse(reqt.url)
    if not parts then socket.try(nil, "invalid url") end
    for name, value in pairs(parts) do t[name] = value end
    if t.user then t.user = url.unescape(t.user) end
    if t.password then t.password = url.unescape(t.password) end
  end
  for name, value in pairs(reqt) do t[name] = value end
  if not t.host or t.host == "" then socket.try(nil, "missing hostname") end
  if t.port == "" then t.port = nil end
  return t
end

local function login(t)
  local f = M.open(t.host, t.port, t.create)
  f.anyaddress = t.anyaddress
  f:greet()
  if t.tls then f:starttls(t.tls) end
  f:login(t.user, t.password)
  return f
end

-- Passive as a rule, by the old command where the new one is unknown; `active` lets the server connect to us.
local function prepare(f, t)
  if t.type then f:type(t.type) end
  if t.active then
    local address = peer(f)
    if string.find(address, ":", 1, true) then f:eprt() else f:port() end
    return
  end
  f.try(f.tp:command("EPSV"))
  local code, reply = f.try(f.tp:check(function(code, reply) return code, reply end))
  if code >= 500 then
    f:pasv()
    return
  end
  f.try(code == 229, reply)
  extended(f, reply)
end

-- The work is done, and a farewell that fails does not undo it.
local function finish(f)
  if f.tp:command("QUIT") then f.tp:check("2..") end
  f:close()
end

local function tget(reqt)
  if not reqt.sink then socket.try(nil, "missing sink") end
  local t = overlay(reqt)
  local f = login(t)
  prepare(f, t)
  if t.offset and t.offset > 0 then f:rest(t.offset) end
  f:receive(t)
  finish(f)
  return 1
end

local function tput(reqt)
  if not reqt.source then socket.try(nil, "missing source") end
  local t = overlay(reqt)
  local f = login(t)
  prepare(f, t)
  if t.offset and t.offset > 0 then f:rest(t.offset) end
  local sent = f:send(t)
  finish(f)
  return sent
end

local DEFAULT = { path = "/", scheme = "ftp" }

function M.genericform(address)
  local t = socket.try(url.parse(address, DEFAULT))
  if string.lower(t.scheme) ~= "ftp" then socket.try(nil, "wrong scheme '" .. t.scheme .. "'") end
  if not t.host then socket.try(nil, "missing hostname") end
  if t.params then
    local kind = string.match(t.params, "^type=(.*)$")
    if not kind or not string.find(kind, "^[aidAID]$") then
      socket.try(nil, "invalid type '" .. (kind or t.params) .. "'")
    end
    t.type = string.lower(kind)
  end
  if t.user then t.user = url.unescape(t.user) end
  if t.password then t.password = url.unescape(t.password) end
  if t.port == "" then t.port = nil end
  return t
end

local function form(address)
  local t = M.genericform(address)
  -- `;type=d` asks for a list of names.
  if t.type == "d" then t.type, t.command = nil, "nlst" end
  return t
end

local function get(reqt)
  if type(reqt) == "table" then return tget(reqt) end
  local t, target = form(reqt), {}
  t.sink = ltn12.sink.table(target)
  tget(t)
  return table.concat(target)
end

local function put(reqt, content)
  if type(reqt) == "table" then return tput(reqt) end
  local t = form(reqt)
  t.source = ltn12.source.string(content)
  return tput(t)
end

-- One command, or several in a list with arguments and checks in lists of their own. Returns 1 and the last reply.
local function command(reqt)
  local t = overlay(reqt)
  if not t.command then socket.try(nil, "missing command") end
  local f = login(t)
  local list = type(t.command) == "table"
  local reply
  for i, cmd in ipairs(list and t.command or { t.command }) do
    local arg, check
    if list then
      arg, check = t.argument and t.argument[i], t.check and t.check[i]
    else
      arg, check = t.argument, t.check
    end
    f.try(f.tp:command(cmd, arg))
    local ok, text = f.try(f.tp:check(check or { "2..", "3.." }))
    reply = text or ok
  end
  finish(f)
  return 1, reply
end

-- Lists ----------------------------------------------------------------------------------------------------------------

-- One line of MLSD: facts, a blank, the name (RFC 3659).
local function entry(line)
  local facts, name = string.match(line, "^(%S*;) (.+)$")
  if not facts then return nil end
  local item = { name = name }
  for key, value in string.gmatch(facts, "([^;=]+)=([^;]*);") do item[string.lower(key)] = value end
  item.size = tonumber(item.size)
  if item.type then item.type = string.lower(item.type) end
  return item
end

local function lines(f, t, cmd)
  local target = {}
  f:receive { command = cmd, argument = t.argument, path = t.path, sink = ltn12.sink.table(target) }
  local list = {}
  for line in string.gmatch(table.concat(target), "[^\r\n]+") do list[#list + 1] = line end
  return list
end

-- MLSD is announced as MLST, of which it is the half for folders.
local function machinelists(f)
  f.try(f.tp:command("FEAT"))
  local code, reply = f.try(f.tp:check(function(code, reply) return code, reply end))
  return code < 300 and string.find(string.upper(reply), "\n%s*MLS[DT]") ~= nil
end

-- What lies in a folder, as a list of tables: name, and where the server tells them type ("file", "dir", ...), size,
-- modify (a time as digits) and other facts. Without MLSD only names.
local function list(reqt)
  local t = type(reqt) == "table" and overlay(reqt) or form(reqt)
  local f = login(t)
  local machine = machinelists(f)
  prepare(f, t)
  local entries = {}
  for _, line in ipairs(lines(f, t, machine and "mlsd" or "nlst")) do
    local item
    if machine then item = entry(line) else item = { name = line } end
    if item and item.type ~= "cdir" and item.type ~= "pdir" then entries[#entries + 1] = item end
  end
  finish(f)
  return entries
end

-- `socket.protect` is looked up at each call: schedulers replace it.
local function public(fn)
  local protect, protected
  return function(...)
    if protect ~= socket.protect then
      protected = socket.protect(fn)
      protect = socket.protect
    end
    return protected(...)
  end
end

M.get = public(get)
M.put = public(put)
M.command = public(command)
M.list = public(list)

return M

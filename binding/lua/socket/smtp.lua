--- `socket.smtp`: sending mail.

local auth = require "socket.smtp.auth"
local ltn12 = require "ltn12"
local messages = require "socket.smtp.message"
local mime = require "mime"
local socket = require "socket"
local tp = require "socket.tp"

local error, ipairs, os, select, setmetatable, tonumber, type =
  error, ipairs, os, select, setmetatable, tonumber, type
local string, table = string, table

local M = {}
socket.smtp = M

-- Read at each use.
M.TIMEOUT = 60
M.SERVER = "localhost"
M.PORT = 25
M.DOMAIN = os.getenv("SERVER_NAME") or "localhost"
M.ZONE = "-0000"

-- Connections ----------------------------------------------------------------------------------------------------------

-- All methods raise through `try`, which closes.
local Connection = { __name = "smtp" }
local methods = {}
Connection.__index = methods

function M.open(server, port, create)
  local control = socket.try(tp.connect(server or M.SERVER, port or M.PORT, M.TIMEOUT, create))
  local s = setmetatable({ tp = control, server = server or M.SERVER }, Connection)
  s.try = socket.newtry(function() s:close() end)
  return s
end

local function hello(s, domain)
  s.try(s.tp:command("EHLO", domain))
  local code, reply = s.try(s.tp:check(function(code, reply) return code, reply end))
  if code >= 500 then
    s.try(s.tp:command("HELO", domain))
    return select(2, s.try(s.tp:check("2..")))
  end
  s.try(code >= 200 and code < 300, reply)
  return reply
end

-- The text of the reply to EHLO, which lists the extensions. A server that knows only HELO has none.
function methods:greet(domain)
  self.try(self.tp:check("2.."))
  return hello(self, domain or M.DOMAIN)
end

-- TLS, and a new greeting, for nothing said before may count.
function methods:starttls(options, domain)
  self.try(self.tp:command("STARTTLS"))
  self.try(self.tp:check("2.."))
  self.try(self.tp:starttls(self.server, options))
  return hello(self, domain or M.DOMAIN)
end

function methods:mail(from)
  self.try(self.tp:command("MAIL", "FROM:" .. from))
  return self.try(self.tp:check("2.."))
end

function methods:rcpt(to)
  self.try(self.tp:command("RCPT", "TO:" .. to))
  return self.try(self.tp:check("2.."))
end

-- Sends what the source gives, as it is, and the line with the dot.
function methods:data(source, step)
  self.try(self.tp:command("DATA"))
  self.try(self.tp:check("3.."))
  local last = "\r\n"
  local function watched()
    local chunk, err = source()
    if chunk and chunk ~= "" then last = string.sub(#chunk > 1 and chunk or last .. chunk, -2) end
    return chunk, err
  end
  self.try(self.tp:source(watched, step))
  self.try(self.tp:send(last == "\r\n" and ".\r\n" or "\r\n.\r\n"))
  return self.try(self.tp:check("2.."))
end

function methods:login(user, password)
  return auth.login(self, user, password)
end

function methods:plain(user, password)
  return auth.plain(self, user, password)
end

-- By the best mechanism that the server offers in the reply to EHLO, or by the one that is named.
function methods:auth(user, password, extensions, mechanism)
  if not user or not password then return 1 end
  return auth.choose(self, user, password, extensions or "", mechanism)
end

function methods:quit()
  self.try(self.tp:command("QUIT"))
  return self.try(self.tp:check("2.."))
end

function methods:close()
  return self.tp:close()
end

-- Mails ----------------------------------------------------------------------------------------------------------------

-- What the server says after a word in its list of extensions: "" if nothing; nil if the word is not there.
local function offers(extensions, word)
  for line in string.gmatch(string.upper(extensions or ""), "[^\n]+") do
    local name, rest = string.match(line, "^%d%d%d[ -]([^%s=]+)[ =]?(.*)$")
    if name == word then return rest end
  end
  return nil
end

M.offers = offers

-- `<address>`, or that and parameters behind it. Quoted parts may hold anything but a line end.
local function path(address, what)
  if type(address) ~= "string" then return nil, "missing " .. what end
  if not string.find(address, "<", 1, true) then address = "<" .. address .. ">" end
  local bare = string.gsub(address, '"[^"%c]*"', "q")
  if not string.find(bare, "^<[^<>%c%s]*>[^<>%c]*$") then return nil, "invalid address in " .. what end
  return address
end

local function parameters(s, mailt, paths)
  local text, extensions = "", mailt.extensions
  local limit, size = tonumber(offers(extensions, "SIZE")), tonumber(mailt.size)
  if size and limit and limit > 0 and size > limit then s.try(nil, "message too large for server") end
  if size and offers(extensions, "SIZE") then text = text .. string.format(" SIZE=%d", size) end
  local beyond = string.find(paths, "[\128-\255]")
  if beyond and not offers(extensions, "SMTPUTF8") then s.try(nil, "server takes only addresses in ASCII") end
  if (mailt.eightbit or beyond) and offers(extensions, "8BITMIME") then text = text .. " BODY=8BITMIME" end
  if beyond then text = text .. " SMTPUTF8" end
  return text
end

-- With the table `refused` in the mail, those recipients whom the server refuses are noted there, and the others served.
local function judge(s, mailt, to, accepted, reply)
  if accepted then return 1 end
  if not mailt.refused then s.try(nil, reply) end
  mailt.refused[to] = reply
  return 0
end

-- Sender and recipients in one piece, then the replies: a round trip for all instead of one for each.
local function pipeline(s, mailt, from, rcpt)
  local lines = { "MAIL FROM:" .. from }
  for i, to in ipairs(rcpt) do lines[i + 1] = "RCPT TO:" .. to.path end
  s.try(s.tp:send(table.concat(lines, "\r\n") .. "\r\n"))
  s.try(s.tp:check("2.."))
  local count, first = 0, nil
  for _, to in ipairs(rcpt) do
    local accepted, reply = s.tp:check("2..")
    if not accepted and not string.find(reply, "^%d%d%d") then s.try(nil, reply) end
    first = first or not accepted and reply
    if mailt.refused then
      count = count + judge(s, mailt, to.given, accepted, reply)
    elseif accepted then
      count = count + 1
    end
  end
  if first and (not mailt.refused or count == 0) then s.try(nil, first) end
end

local function onebyone(s, mailt, from, rcpt)
  s:mail(from)
  local count, first = 0, nil
  for _, to in ipairs(rcpt) do
    s.try(s.tp:command("RCPT", "TO:" .. to.path))
    local accepted, reply = s.tp:check("2..")
    if not accepted and not string.find(reply, "^%d%d%d") then s.try(nil, reply) end
    first = first or not accepted and reply
    count = count + judge(s, mailt, to.given, accepted, reply)
  end
  if count == 0 then s.try(nil, first) end
end

local function envelope(s, mailt)
  local from = s.try(path(mailt.from, "from"))
  local given = type(mailt.rcpt) == "table" and mailt.rcpt or { mailt.rcpt }
  local rcpt, all = {}, from
  for i, to in ipairs(given) do
    rcpt[i] = { given = to, path = s.try(path(to, "rcpt")) }
    all = all .. rcpt[i].path
  end
  if not rcpt[1] then s.try(nil, "no recipients") end
  return from .. parameters(s, mailt, all), rcpt
end

-- Sender, recipients, and the message: line ends are made CRLF, dots doubled.
function methods:send(mailt)
  if not mailt.source then self.try(nil, "missing source") end
  local from, rcpt = envelope(self, mailt)
  local way = offers(mailt.extensions, "PIPELINING") and pipeline or onebyone
  way(self, mailt, from, rcpt)
  self:data(ltn12.source.chain(mailt.source, ltn12.filter.chain(mime.normalize(), mime.stuff())), mailt.step)
end

local function checkmail(mailt)
  if type(mailt) ~= "table" then
    error("bad argument #1 to 'send' (table expected, got " .. type(mailt) .. ")", 0)
  end
  socket.try(path(mailt.from, "from"))
  if mailt.rcpt == nil then socket.try(nil, "missing rcpt") end
  if not mailt.source then socket.try(nil, "missing source") end
end

-- `tls`: true, a table of parameters for `ssl.wrap`, or a function; see `socket.starttls`. With `implicit` in the table
-- TLS comes before the first word, else by STARTTLS; without TLS there is no going on.
local function secure(s, mailt)
  local tls = mailt.tls
  local implicit = type(tls) == "table" and tls.implicit
  if implicit then s.try(s.tp:starttls(s.server, tls)) end
  local extensions = s:greet(mailt.domain)
  if not tls or implicit then return extensions end
  if not offers(extensions, "STARTTLS") then s.try(nil, "server does not offer STARTTLS") end
  return s:starttls(tls, mailt.domain)
end

local function send(mailt)
  checkmail(mailt)
  local s = M.open(mailt.server, mailt.port, mailt.create)
  local extensions = secure(s, mailt)
  s:auth(mailt.user, mailt.token or mailt.password, extensions, mailt.auth or mailt.token and "XOAUTH2")
  s:send(setmetatable({ extensions = extensions }, { __index = mailt }))
  -- The mail is the server's now, whatever it says to the farewell.
  if s.tp:command("QUIT") then s.tp:check("2..") end
  s:close()
  return 1
end

local protect, protected

function M.send(mailt)
  if protect ~= socket.protect then
    protected = socket.protect(send)
    protect = socket.protect
  end
  return protected(mailt)
end

-- The source of a message from { headers =, body =, zone =, bcc =, encode = }.
function M.message(mesgt)
  if type(mesgt) ~= "table" then
    error("bad argument #1 to 'message' (table expected, got " .. type(mesgt) .. ")", 2)
  end
  return messages.source(mesgt, { zone = M.ZONE, mailer = socket._VERSION, domain = M.DOMAIN })
end

return M

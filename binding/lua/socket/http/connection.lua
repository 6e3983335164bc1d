--- One connection to a server: the object of `http.open`.
--
-- Private to `socket.http`, but its methods are public. All raise exceptions through `try`, which closes first.

local body = require "socket.http.body"
local ltn12 = require "ltn12"
local message = require "socket.http.message"
local socket = require "socket"

local setmetatable, tonumber = setmetatable, tonumber
local string = string

local Connection = { __name = "http.connection" }
local methods = {}
Connection.__index = methods

local M = { Connection = Connection }

function M.open(host, port, create, timeout)
  local c, err = create()
  if not c then socket.try(nil, err) end
  local h = setmetatable({
    c = c, try = nil, whole = nil, headers = nil, persistent = nil, length = nil, complete = nil, closed = nil,
  }, Connection)
  local try = socket.newtry(function() h:close() end)
  h.try = try
  try(c:settimeout(timeout))
  try(c:connect(host, port))
  return h
end

function methods:sendrequestline(method, uri)
  return self.try(self.c:send(self.try(message.requestline(method or "GET", uri))))
end

function methods:sendheaders(headers, spelled)
  self.try(self.c:send(self.try(message.block(headers, spelled))))
  return 1
end

local function lengthof(headers)
  local length = headers["content-length"]
  if length == nil or length == false then return nil end
  if string.find(length, "^%s*%d+%s*$") then return tonumber(length) end
  return nil, "invalid content-length"
end

function methods:sendbody(headers, source, step)
  local length, err = lengthof(headers)
  if err then self.try(nil, err) end
  local sink = length and body.lengthsink(self.c, length) or socket.sink("http-chunked", self.c)
  return self.try(ltn12.pump.all(source or ltn12.source.empty(), sink, step or ltn12.pump.step))
end

-- The first bytes tell a response from anything else before a line end is waited for. Returns code and line; or, when it
-- is none, nil and what was read. A request reads the whole head at once where the socket can (`whole`); its headers are
-- the result of the next `receiveheaders`.
function methods:receivestatusline()
  local code, line = self.code, self.line
  if code then
    self.code, self.line = nil, nil
    return code, line
  end
  local first, err = self.first, nil
  if not first then
    first, err = self.c:receive(5)
    if not first then self.try(nil, err) end
  end
  self.first, self.untried = nil, nil
  if first ~= "HTTP/" then return nil, first end
  if self.whole then
    code, line, self.persistent, self.headers, self.length = message.receivehead(self.c, first)
    if not code then self.try(nil, line) end
    return code, line
  end
  line = self.try(self.c:receive("*l", first, message.LINE))
  self.try(#line <= message.MAXLINE, "line too long")
  code, self.persistent = message.status(line)
  self.try(code, line)
  return code, line
end

function methods:receiveheaders()
  local headers = self.headers
  self.headers = nil
  return headers or self.try(message.receiveheaders(self.c))
end

-- How the body came to its end is left in `complete`: true once a framed body was read whole.
function methods:bodysource(headers)
  local how, length, both = body.framing(headers)
  self.try(how, length)
  local function ended() self.complete = not both end
  if how == "chunked" then return body.chunked(self.c, headers, ended, self.unseen) end
  if how == "length" then return body.bylength(self.c, length, ended, self.collected, self.unseen) end
  return body.untilclosed(self.c)
end

function methods:receivebody(headers, sink, step)
  sink, step = sink or ltn12.sink.null(), step or ltn12.pump.step
  return self.try(ltn12.pump.all(self:bodysource(headers), sink, step))
end

function methods:receive09body(first, sink, step)
  local source = ltn12.source.rewind(body.untilclosed(self.c))
  source(first)
  return self.try(ltn12.pump.all(source, sink or ltn12.sink.null(), step or ltn12.pump.step))
end

function methods:close()
  self.closed = true
  return self.c:close()
end

return M

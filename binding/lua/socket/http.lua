--- `socket.http`: the HTTP client.

local body = require "socket.http.body"
local connection = require "socket.http.connection"
local cookies = require "socket.http.cookies"
local deadline = require "socket.http.deadline"
local exchange = require "socket.http.exchange"
local ltn12 = require "ltn12"
local message = require "socket.http.message"
local pool = require "socket.http.pool"
local prepare = require "socket.http.prepare"
local redirect = require "socket.http.redirect"
local session = require "socket.http.session"
local socket = require "socket"

local coroutine, error, getmetatable, pcall, require, table, tostring, type =
  coroutine, error, getmetatable, pcall, require, table, tostring, type
local package, select = package, select

local M = {}
socket.http = M

-- Read at each use. A connection is closed after each request, as programs expect that count on it, unless CONNECTION
-- or the request's own field `connection` says "keep-alive".
M.TIMEOUT = 60
M.USERAGENT = socket._VERSION
M.PROXY = nil
M.CONNECTION = "close"

M.pool = pool.new()
M.cookies = cookies.new

socket.sourcet["http-chunked"] = body.chunkedsource
socket.sinkt["http-chunked"] = body.chunkedsink

-- Schemes: what port, and who makes connections. `create` gets the request's table and returns a constructor, or nil and
-- a message. That of https is the TLS module's.
M.schemes = {
  http = {
    port = 80,
    create = prepare.tcp,
  },
  https = {
    port = 443,
    create = function(parts)
      local found, https = pcall(require, "ssl.https")
      if not found then
        -- Lua 5.1 leaves a mark of the failure that hides its reason the next time.
        package.loaded["ssl.https"] = nil
        return nil, "https needs the module 'ssl.https': " .. tostring(https):match("[^\n]*")
      end
      if type(https) ~= "table" or not https.tcp then return nil, "https needs a function 'tcp' in 'ssl.https'" end
      return https.tcp(parts)
    end,
  },
}

function M.open(host, port, create)
  return connection.open(host, port, create, M.TIMEOUT)
end

-- The fields of a response in order and unfolded, as a list of { name, value }.
M.fields = message.fields

local function describe(headers, r, location)
  local meta = getmetatable(headers)
  if type(meta) == "table" then meta.url, meta.redirects = prepare.url(r), r.reqt.nredirects or 0 end
  if location and not headers.location then headers.location = location end
end

-- The response's last URL and how many redirections led there.
function M.location(headers)
  local meta = getmetatable(headers)
  if type(meta) == "table" then return meta.url, meta.redirects end
end

-- `on_headers` may name another sink, or refuse.
local function chooses(r, h, code, headers, line)
  local answer, err = r.reqt.on_headers(code, headers, line, prepare.url(r))
  if answer == false then
    h:close()
    socket.try(nil, err or "refused")
  end
  if answer == nil or answer == true then return r.reqt.sink end
  return answer
end

-- Hop by hop to the response that is returned.
local function perform(reqt, state)
  local instant, location
  if reqt.timeout or reqt.deadline then instant = deadline.instant(reqt.timeout, reqt.deadline) end
  while true do
    local r = prepare.request(M, reqt, instant)
    local h, code, line, headers = exchange.begin(M, r, state)
    if not code then
      h:receive09body(line, reqt.sink, reqt.step)
      h:close()
      return 1, 200, location and { location = location }
    end
    local bare = r.text
    if not bare and reqt.cookies then reqt.cookies:receive(r, headers) end
    local following = code >= 300 and redirect.follow(M, r, code, headers)
    if not following then
      describe(headers, r, location)
      local sink = reqt.sink
      if not bare and reqt.on_headers then sink = chooses(r, h, code, headers, line) end
      exchange.finish(r, h, code, headers, sink)
      return 1, code, headers, line
    end
    location = headers.location
    exchange.discard(r, h, code, headers)
    reqt = following
  end
end

-- An error that is no exception leaves the connection open unless it is caught.
local YIELDABLE = coroutine.wrap(function()
  return select(2, pcall(coroutine.yield, "yielded"))
end)() == "yielded"

local function settle(state, ok, ...)
  if ok then return ... end
  local thrown = ...
  if state.h and not state.h.closed then state.h:close() end
  error(thrown, 0)
end

-- Whether whoever waits within can do so through a pcall: always in tasks.
local function waits_through_pcall()
  if not coroutine.running() then return true end
  local task = package.loaded["socket.task"]
  return task and task.current() ~= nil
end

-- Passes on what a coroutine within ours yields.
local function pass(state, co, ok, ...)
  if ok and coroutine.status(co) == "suspended" then
    return pass(state, co, coroutine.resume(co, coroutine.yield(...)))
  end
  return settle(state, ok, ...)
end

local function guarded(reqt)
  local state = { h = nil }
  if YIELDABLE or waits_through_pcall() then return settle(state, pcall(perform, reqt, state)) end
  local co = coroutine.create(perform)
  return pass(state, co, coroutine.resume(co, reqt, state))
end

local function check(reqt)
  local limit = reqt.maxredirects
  if limit and type(limit) ~= "number" then
    error("bad maxredirects (number or false expected, got " .. type(limit) .. ")", 0)
  end
  if reqt.url == nil and reqt.host == nil and reqt.path == nil then socket.try(nil, "invalid url") end
end

-- The request of the simple form.
function M.genericform(address, content)
  local target = {}
  local reqt = { url = address, sink = (ltn12.sink.table(target)), target = target }
  if content ~= nil then
    reqt.source = ltn12.source.string(content)
    reqt.headers = {
      ["content-length"] = #tostring(content),
      ["content-type"] = "application/x-www-form-urlencoded",
    }
    reqt.method = "POST"
  end
  return reqt
end

local genericform = M.genericform

-- The same, with the body as a text, which can be sent again.
local function simpleform(address, content)
  if M.genericform ~= genericform then return M.genericform(address, content) end
  local reqt = genericform(address, content)
  reqt.simple = true
  if content ~= nil then reqt.source, reqt.body = nil, tostring(content) end
  return reqt
end

local function request(reqt, content)
  if type(reqt) == "table" then
    check(reqt)
    return guarded(reqt)
  end
  local simple = simpleform(reqt, content)
  local _, code, headers, line = guarded(simple)
  local target = simple.target
  return target[2] and table.concat(target) or target[1] or "", code, headers, line
end

-- `socket.protect` is looked up at each call: schedulers replace it.
local protect, protected

function M.request(reqt, content)
  local kind = type(reqt)
  if kind ~= "table" and kind ~= "string" then
    error("bad argument #1 to 'request' (string or table expected, got " .. kind .. ")", 2)
  end
  if protect ~= socket.protect then
    protected = socket.protect(request)
    protect = socket.protect
  end
  return protected(reqt, content)
end

function M.session(options)
  return session.new(M, options)
end

return M

--- One request, one response: connect, send, receive, close or keep.
--
-- Private to `socket.http`. Raises exceptions, as the methods of connections do.

local Connection = require("socket.http.connection").Connection
local body = require "socket.http.body"
local deadline = require "socket.http.deadline"
local ltn12 = require "ltn12"
local message = require "socket.http.message"
local mime = require "mime"
local prepare = require "socket.http.prepare"
local socket = require "socket"

local getmetatable = getmetatable
local math, string, tonumber, tostring, type = math, string, tonumber, tostring, type

local M = {}

-- A body up to this size goes out in one piece with the head.
local SMALL = 16384
-- So much of an unwanted body is read to be able to use the connection again.
local DRAIN = 65536
-- Decompressed bodies are bounded even where nobody set `maxbody`.
local MAXDECOMPRESSED = 268435456
-- The sink that does not look at what it is given.
local NULL, STEP = ltn12.sink.null(), ltn12.pump.step
-- How long "100 Continue" is waited for.
local CONTINUE = 1
-- So many interim responses before the final one.
local MAXINTERIM = 64

-- Connect --------------------------------------------------------------------------------------------------------------

local function proxyplace(r)
  if r.proxy and not r.tunnel then return r.proxy.host, r.proxy.port end
  return r.host, r.port
end

local function open(http, r)
  prepare.complete(http, r)
  local create = prepare.constructor(r, http)
  local host, port = proxyplace(r)
  local h = http.open(host, port, create)
  -- A program may have put something else in the place of `http.open`.
  r.own = getmetatable(h) == Connection
  if r.keep then r.pool.counts.opened = r.pool.counts.opened + 1 end
  return h
end

local function reuse(http, r)
  local h = r.pool:take(r.key)
  if not h then return nil end
  r.own, h.complete = true, nil
  if r.instant then
    h.c = deadline.timed(h.c, r.instant)
    return h
  end
  local ok, err = h.c:settimeout(http.TIMEOUT)
  if not ok then h.try(nil, err) end
  return h
end

-- Send -----------------------------------------------------------------------------------------------------------------

local function source(r)
  if r.body then return ltn12.source.string(r.body) end
  if r.fresh then return r.fresh() end
  return r.source
end

-- Can the body be sent again? A source that has been read is rewound.
function M.rewind(r)
  if not r.source then return true end
  local rewind = type(r.source) == "table" and r.source.rewind
  return rewind and rewind(r.source) and true or false
end

-- Is the answer there before all is sent? The peer may refuse what it has not read, and close.
local function sendstream(r, h, step)
  local headers, broken = r.headers, false
  local length = tostring(headers["content-length"] or "")
  if length ~= "" and not string.find(length, "^%s*%d+%s*$") then h.try(nil, "invalid content-length") end
  local sink = length ~= "" and body.lengthsink(h.c, length + 0) or socket.sink("http-chunked", h.c)
  local ok, err = ltn12.pump.all(source(r), function(chunk, problem)
    local sent, failure = sink(chunk, problem)
    broken = not sent and not problem
    return sent, failure
  end, step or ltn12.pump.step)
  if ok then return end
  if broken and err == "closed" then
    local first = h.c:receive(5)
    if first == "HTTP/" then
      h.first, h.spoiled = first, true
      return
    end
  end
  h.try(nil, err)
end

-- Receives status lines. Interim responses are passed over, but for 101, which ends the conversation in HTTP, and for the
-- one that is waited for.
local function receivestatus(h, waited)
  for _ = 1, MAXINTERIM do
    local code, line = h:receivestatusline()
    if not code or code < 100 or code > 199 or code == 101 then return code, line end
    h:receiveheaders()
    if code == waited then return code end
  end
  h.try(nil, "too many interim responses")
end

-- Waits for leave to send. Returns code and line of an answer that is final before the body was sent.
local function await(r, h)
  if not h.c.getfd then return nil end
  local time = CONTINUE
  if r.instant then time = math.min(time, deadline.left(r.instant)) end
  local ready = socket.select({ h.c }, nil, time)
  if not ready[1] then return nil end
  local code, line = receivestatus(h, 100)
  if code == 100 then return nil end
  h.spoiled = true
  return code, line
end

-- The request, as far as it goes out in one piece, and whether that is all of it.
local function compose(r, h)
  if h.whole == nil then h.whole = h.c.receiveany ~= nil end
  if r.text then return r.text, true end
  local body = r.body
  if body then
    local inone = #body <= SMALL and tonumber(r.headers["content-length"]) == #body and not r.expect and not r.reqt.step
    if not inone then body = nil end
  end
  local text, err = message.request(r, body)
  if not text then h.try(nil, err) end
  return text, body ~= nil or not r.hasbody
end

-- With what a program has put in the place of `http.open`: only the public methods.
local function sendforeign(r, h)
  local headers = message.headers(r)
  h:sendrequestline(r.method, r.target)
  h:sendheaders(headers, r.spelled)
  if r.hasbody then h:sendbody(headers, source(r), r.reqt.step) end
end

local function send(r, h)
  if not r.own then return sendforeign(r, h) end
  local text, all = compose(r, h)
  h.try(h.c:send(text))
  if all then return end
  if r.expect then
    local code, line = await(r, h)
    if code or line then return code, line end
  end
  sendstream(r, h, r.reqt.step)
end

-- Receive --------------------------------------------------------------------------------------------------------------

local function receive(r, h, code, line)
  if not code and not line then code, line = receivestatus(h) end
  if not code then
    if not r.reqt.http09 then h.try(nil, "invalid status line: " .. message.excerpt(tostring(line))) end
    return nil, line
  end
  return code, line, h:receiveheaders()
end

local IDEMPOTENT = { GET = true, HEAD = true, OPTIONS = true, TRACE = true, PUT = true, DELETE = true }

-- A connection from the pool may have been closed by the peer while our request was under way. One more try on a new
-- connection, if nothing was answered, and if it does no harm to ask twice.
local function mayask(r)
  return (IDEMPOTENT[r.method] or r.reqt.idempotent) and M.rewind(r)
end

-- The request in one piece, and the answer's head: code, line and headers. Or true when more than that has to be read, of
-- which the beginning lies in the connection then. Or nil, a message and what was answered. A peer that has spoken HTTP
-- before is not asked what it speaks.
local function askatonce(h, text)
  local sock = h.c
  local ok, err = sock:send(text)
  if not ok then return nil, err end
  if not h.whole then
    local partial
    h.first, err, partial = sock:receive(5)
    return h.first and true, err, partial
  end
  local code, line, persistent, headers, length = message.receivehead(sock)
  if not code then return nil, line, persistent end
  h.persistent, h.length = persistent, length
  if code >= 200 or code < 100 then return code, line, headers end
  h.code, h.line, h.headers = code, line, headers
  return true
end

-- The same for a body that has to be pumped, with the first bytes read by `receive`.
local function askslowly(r, h, text)
  local code, line
  h.untried = true
  local ok, err = socket.protect(function()
    h.try(h.c:send(text))
    if r.expect then code, line = await(r, h) end
    if not code and not line then
      sendstream(r, h, r.reqt.step)
      h.first = h.first or h.try(h.c:receive(5))
    end
    return true
  end)()
  return ok, err, code, line
end

-- Asks over a connection from the pool. Returns nil if there is none, or none that lives.
local function askagain(http, r, state)
  local h = reuse(http, r)
  if not h then return nil end
  state.h = h
  local text, all = r.text, true
  if not text then text, all = compose(r, h) end
  local ok, err, code, line, answer
  if all then
    code, line, answer = askatonce(h, text)
    if code and answer then return h, code, line, answer end
    ok, err, code, line = code, line, nil, nil
  else
    ok, err, code, line = askslowly(r, h, text)
    answer = not h.untried
  end
  if ok then return h, receive(r, h, code, line) end
  if answer == "" then answer = nil end
  if err == "timeout" or answer or not mayask(r) then h.try(nil, err) end
  if not h.closed then h:close() end
  r.pool.counts.retried = r.pool.counts.retried + 1
  return nil
end

-- Sends the request and receives the head of the response. Returns the connection, code, status line and headers; for
-- HTTP/0.9 the connection, nil and the first bytes.
function M.begin(http, r, state)
  if r.keep then
    local h, code, line, headers = askagain(http, r, state)
    if h then return h, code, line, headers end
  end
  local h = open(http, r)
  state.h = h
  return h, receive(r, h, send(r, h))
end

local function hasbody(method, code)
  return (code >= 200 or code < 100) and method ~= "HEAD" and code ~= 204 and code ~= 304
end

-- The content coding, if it is one that we decode.
local function coding(headers)
  local name = headers["content-encoding"]
  name = name and string.lower(name)
  if name == "x-gzip" then name = "gzip" end
  return mime.decodet[name] and (name == "gzip" or name == "deflate") and name
end

-- The sink for the body: with its limit, behind the decoder. What the decoder takes away from the headers is the last
-- result: the length by which the body still ends.
local function sinkof(r, h, headers, sink)
  sink = sink or NULL
  local limit = r.reqt.maxbody
  if limit and (tonumber(headers["content-length"]) or 0) > limit then h.try(nil, "body too large") end
  local name = r.decompress and coding(headers)
  if not name then return limit and body.limited(sink, limit) or sink end
  limit = limit or MAXDECOMPRESSED
  local length = headers["content-length"]
  headers["content-encoding"], headers["content-length"] = nil, nil
  return ltn12.sink.chain(mime.decode(name, nil, limit + 1), body.limited(sink, limit)), length
end

local function staysopen(h, connection)
  if connection == nil then return h.persistent end
  return not message.has(connection, "close") and (h.persistent or message.has(connection, "keep-alive"))
end

-- Back to the pool, or closed.
local function release(r, h, headers, complete)
  local keep = r.keep and complete and r.own and not h.spoiled
  local connection = headers.connection
  if keep and connection ~= "keep-alive" then keep = staysopen(h, connection) end
  if keep then
    if r.instant then h.c = deadline.untimed(h.c) end
    r.pool:put(r.key, h)
  else
    h:close()
    if r.keep then r.pool.counts.closed = r.pool.counts.closed + 1 end
  end
end

-- A short body of certain length, read at once. False for others.
local function receivesmall(h, sink)
  local length = h.length
  if not length or length > socket.BLOCKSIZE then return false end
  if length > 0 then
    local data, err, partial = h.c:receive(length)
    local piece = data or partial
    if sink ~= NULL and piece and piece ~= "" then
      local ok, problem = sink(piece)
      if not ok and not problem then return true end
      if not ok then h.try(nil, problem) end
    end
    if not data then
      sink(nil, err)
      h.try(nil, err)
    end
  end
  if sink ~= NULL then h.try(sink(nil)) end
  h.complete = true
  return true
end

-- The body of a response, whatever is to be done with it.
local function receivebody(r, h, headers, sink)
  local step = r.reqt.step
  local chain, length = sinkof(r, h, headers, sink)
  if length then headers = { ["content-length"] = length, ["transfer-encoding"] = headers["transfer-encoding"] } end
  if r.own then
    -- The simple form makes one text of the body anyway.
    h.collected = r.reqt.simple and not r.decompress and h.whole
    h.unseen = chain == NULL and not step and ltn12.pump.step == STEP and h.c.skipany ~= nil
  end
  h:receivebody(headers, chain, step)
end

function M.finish(r, h, code, headers, sink)
  local complete = true
  if hasbody(r.method, code) then
    local reqt = r.reqt
    local special = not r.own or not r.text and (r.decompress or reqt.maxbody or reqt.step)
    if special or not receivesmall(h, sink or NULL) then receivebody(r, h, headers, sink) end
    complete = h.complete
  end
  release(r, h, headers, complete and code ~= 101)
end

-- The same for a body nobody wants, without waiting for much of it.
function M.discard(r, h, code, headers)
  local complete = not hasbody(r.method, code)
  if not complete and r.keep then
    local how, length = body.framing(headers)
    if how == "length" and length <= DRAIN then
      local source = h.bodysource and h:bodysource(headers)
      complete = source and ltn12.pump.all(source, ltn12.sink.null()) and h.complete
    end
  end
  release(r, h, headers, complete)
end

return M

-- TLS on the wire: records cut anywhere, streams that end anywhere, floods, and peers that do not speak TLS.
--
-- Both ends are here. What they say to each other passes through the test's hands, or the other end is a plain socket.

local t = require "support"
local socket = require "socket"
local ssl = require "ssl"

local VERSIONS = { "tlsv1_2", "tlsv1_3" }
local TRUNCATED = "unexpected eof while reading"

local listener = socket.bind("127.0.0.1", 0)
local clients, servers = {}, {}

for _, version in ipairs(VERSIONS) do
  local params = t.identity "server"
  params.mode, params.protocol = "server", version
  servers[version] = assert(ssl.newcontext(params))
  clients[version] = assert(ssl.newcontext { mode = "client", protocol = version, verify = "none", options = "no_ticket" })
end

-- Both ends, and between them two sockets from which the test carries bytes on: `near` is beside the client.
local function wire(version)
  local a, near = t.pair(listener)
  local b, far = t.pair(listener)
  local w = { near = near, far = far }
  for _, object in pairs { a, b, near, far } do object:setoption("tcp-nodelay", true) end
  w.a, w.b = t.closing(ssl.wrap(a, clients[version])), t.closing(ssl.wrap(b, servers[version]))
  for _, object in pairs(w) do object:settimeout(0) end
  return w
end

local function hang_up(w)
  for _, object in pairs(w) do object:close() end
end

-- All that has come, and whether that was the last.
local function taken(sock)
  local parts, data, err, part = {}
  repeat
    data, err, part = sock:receive(65536)
    parts[#parts + 1] = data or part
  until err
  return table.concat(parts), err ~= "timeout"
end

local WAITS = { wantread = true, wantwrite = true }

-- Shakes hands. `down(bytes)` brings the server's bytes to the client, `up` the client's to the server.
local function shake(w, down, up)
  for _ = 1, 50 do
    local client, server = w.a:dohandshake(), w.b:dohandshake()
    up(taken(w.near))
    down(taken(w.far))
    if client and server then return end
  end
  t.fail "the handshake does not end"
end

-- Then the server says `text` and closes; returns what the client has got: text or nil, and the error.
local function converse(w, text, down, up)
  shake(w, down, up)
  if w.a:info "protocol" == "TLSv1.2" then t.equal(w.a:getfinished(), w.b:getpeerfinished()) end
  w.b:send(text)
  w.b:close()
  down(taken(w.far))
  return w.a:receive "*a"
end

-- What comes close behind ---------------------------------------------------------------------------------------------

-- Whoever ends the handshake says something in the same breath. The other one has to find it by the descriptor alone,
-- which is all that other event loops look at.
for _, version in ipairs(VERSIONS) do
  t.test(version .. ": what follows the handshake is left to the kernel", function()
    local w = wire(version)
    local last, first = w.b, w.a
    if version == "tlsv1_3" then last, first = w.a, w.b end
    local spoken
    local function shaken(object)
      local done = object:dohandshake()
      if done and object == last and not spoken then spoken = object:send "first words" end
      return done
    end
    for _ = 1, 50 do
      local client = shaken(w.a)
      w.far:send((taken(w.near)))
      local server = shaken(w.b)
      if client and server then break end
      w.near:send((taken(w.far)))
    end
    w.near:send((taken(w.far)))
    t.equal(first:dohandshake(), true)
    local plain = { getfd = function() return first:getfd() end }
    t.equal(socket.select({ plain }, nil, 1)[1], plain)
    t.equal(first:receive(11), "first words")
    hang_up(w)
  end)
end

-- Cuts ----------------------------------------------------------------------------------------------------------------

-- Every byte alone, with a look at what it brings.
local function dribble(object, step)
  return function(bytes)
    for i = 1, #bytes do
      object:send(bytes:sub(i, i))
      step()
    end
  end
end

for _, version in ipairs(VERSIONS) do
  t.fix("byte by byte, " .. version, function()
    local w = wire(version)
    local text = string.rep("0123456789", 50)
    local down = dribble(w.near, function() w.a:dohandshake() end)
    local up = dribble(w.far, function() w.b:dohandshake() end)
    t.equal(converse(w, text, down, up), text)
    hang_up(w)
  end, 30)

  -- In two pieces, at every place of either direction.
  t.fix("cut once, anywhere, " .. version, function()
    local function cut_at(place, direction)
      local w, passed, was_cut = wire(version), 0, false
      local function cutting(object, end_of_it)
        return function(bytes)
          local first = place - passed
          if first > 0 and first < #bytes then
            was_cut = true
            object:send(bytes:sub(1, first))
            w[end_of_it]:dohandshake()
            object:send(bytes:sub(first + 1))
          elseif #bytes > 0 then
            object:send(bytes)
          end
          passed = passed + #bytes
        end
      end
      local function whole(object)
        return function(bytes) object:send(bytes) end
      end
      local text, err
      if direction == "down" then
        text, err = converse(w, "hello", cutting(w.near, "a"), whole(w.far))
      else
        text, err = converse(w, "hello", whole(w.near), cutting(w.far, "b"))
      end
      hang_up(w)
      t.equal(text, "hello", direction .. " " .. place .. ": " .. tostring(err))
      return was_cut or place < passed
    end
    for _, direction in ipairs { "up", "down" } do
      local place = 1
      while cut_at(place, direction) do place = place + 1 end
      t.ok(place > 100, place)
    end
  end, 60)
end

-- Ends ----------------------------------------------------------------------------------------------------------------

-- The server's bytes stop after `place`, by an end of the stream or a reset. Returns what the client has, the error, and
-- whether everything has passed.
local function stop_at(version, place, reset)
  local w, left, gone, over = wire(version), place, false, false
  local function down(bytes, last)
    local part = bytes:sub(1, left)
    left = left - #part
    if #part > 0 then w.near:send(part) end
    if (#part < #bytes or last) and not gone then
      gone, over = true, #part == #bytes
      taken(w.near)
      if reset then t.reset(w.near) else w.near:close() end
    end
  end
  local function up(bytes)
    if #bytes > 0 then w.far:send(bytes) end
  end
  local text, err, part
  for _ = 1, 50 do
    local done, why = w.a:dohandshake()
    if not done and not WAITS[why] then
      err = why
      break
    end
    if w.b:dohandshake() and not w.said then
      w.said = w.b:send "hello\n"
      w.b:close()
    end
    if done then
      text, err, part = w.a:receive "*a"
      if text or not WAITS[err] then break end
    end
    if not gone then up(taken(w.near)) end
    down(taken(w.far))
  end
  hang_up { w.a, w.b, w.far, not gone and w.near or nil }
  return text, err, part, over
end

for _, version in ipairs(VERSIONS) do
  t.fix("an end anywhere is no good one, " .. version, function()
    local place, kinds = 0, {}
    repeat
      local text, err, part, over = stop_at(version, place)
      if not over then
        t.equal(text, nil, "after " .. place .. " bytes")
        t.ok(err == TRUNCATED or err == "closed" and part == nil, "after " .. place .. " bytes: " .. tostring(err))
        t.ok(part == nil or part == "" or part == "hello\n")
        kinds[err .. tostring(part)] = true
      else
        t.equal(text, "hello\n", tostring(err) .. t.show(part))
      end
      place = place + 1
    until over
    t.ok(place > 100, place)
    t.ok(kinds["closednil"], "in the handshake")
    t.ok(kinds[TRUNCATED .. "hello\n"], "between the text and the end")
  end, 60)
end

t.fix("a reset is told as closed", function()
  for place = 0, 1000, 37 do
    local text, err = stop_at("tlsv1_3", place, true)
    t.equal(text, nil)
    t.equal(err, "closed", "after " .. place .. " bytes")
  end
end)

-- Floods --------------------------------------------------------------------------------------------------------------

local function hex(text)
  return (text:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end):gsub(" ", ""))
end

local ALERT = hex "15 03 03 00 02 01 5a"
local RECORDS = {
  ["warnings"] = ALERT,
  ["empty handshake records"] = hex "16 03 03 00 00",
  ["empty records of data"] = hex "17 03 03 00 00",
  ["empty alerts"] = hex "15 03 03 00 00",
  ["changes of the cipher"] = hex "14 03 03 00 01 01",
  ["heartbeats"] = hex "18 03 03 00 03 01 00 00",
  ["records of no kind"] = hex "63 03 03 00 01 00",
  ["a message that never ends"] = hex "16 03 03 40 00" .. "\2\255\255\255" .. string.rep("\0", 16380),
  ["a hello that never ends"] = hex "16 03 01 40 00" .. "\1\255\255\255" .. string.rep("\0", 16380),
  ["records that are too long"] = hex "17 03 03 ff ff" .. string.rep("\0", 65535),
  ["zeros"] = string.rep("\0", 1000),
  ["text"] = string.rep("220 hello\r\n", 100),
  ["a version that is none"] = hex "16 7f 7f 00 05 01 00 00 01 00",
}

local function resident()
  local file = io.open "/proc/self/statm"
  if not file then return 0 end
  local pages = tonumber(file:read("*a"):match "^%d+ (%d+)")
  file:close()
  return pages * 4096
end

local SIXTEEN = 16 * 1024 * 1024

-- One end of ours, at which a plain socket throws `record` until 16 MB are through or it has had enough.
local function flood(context, record)
  local a, b = t.pair(listener)
  local conn = t.closing(ssl.wrap(a, context))
  conn:settimeout(0)
  b:settimeout(0)
  local block = string.rep(record, math.ceil(65536 / #record))
  local before, start, sent = resident(), socket.gettime(), 0
  local ok, err
  repeat
    local last, _, part = b:send(block)
    sent = sent + (last or part)
    ok, err = conn:dohandshake()
  until not WAITS[err] or sent > SIXTEEN
  t.equal(ok, false)
  t.ok(not WAITS[err], "it has had enough, after " .. sent .. " bytes")
  t.equal(type(err), "string")
  t.ok(socket.gettime() - start < 5, "in time")
  t.ok(resident() - before < 4 * 1024 * 1024, "in little memory")
  t.returns({ n = 2, false, err }, conn:dohandshake())
  t.returns({ n = 3, nil, "closed", "" }, conn:receive())
  t.returns({ n = 3, nil, "closed", 0 }, conn:send "x")
  local closing = t.elapsed(conn.close, conn)
  t.ok(closing < 1, "closes at once")
  b:close()
  return err, sent
end

for name, record in pairs(RECORDS) do
  for side, context in pairs { client = clients.tlsv1_3, server = servers.tlsv1_3, ["old client"] = clients.tlsv1_2 } do
    t.fix("a " .. side .. " in a flood of " .. name, function()
      local err, sent = flood(context, record)
      t.ok(sent <= 1024 * 1024, err .. " after " .. sent .. " bytes")
    end, 20)
  end
end

-- The same behind a handshake that was in order. TLS says nothing in the clear then.
local function flood_behind(version, end_of_it, record)
  local w = wire(version)
  local conn, thrower = w[end_of_it], end_of_it == "a" and w.near or w.far
  shake(w, function(bytes) w.near:send(bytes) end, function(bytes) w.far:send(bytes) end)
  local block, sent, err = string.rep(record, math.ceil(65536 / #record)), 0, nil
  local before, start = resident(), socket.gettime()
  repeat
    local last, _, part = thrower:send(block)
    sent = sent + (last or part)
    _, err = conn:receive()
  until not WAITS[err] or sent > SIXTEEN
  t.ok(not WAITS[err] and err ~= "closed", tostring(err) .. " after " .. sent .. " bytes")
  t.ok(sent <= 1024 * 1024, err .. " after " .. sent .. " bytes")
  t.ok(socket.gettime() - start < 5, "in time")
  t.ok(resident() - before < 4 * 1024 * 1024, "in little memory")
  t.returns({ n = 3, nil, "closed", "" }, conn:receive())
  t.ok(t.elapsed(conn.close, conn) < 1, "closes at once")
  hang_up(w)
end

for name, record in pairs(RECORDS) do
  t.fix("after the handshake, a flood of " .. name, function()
    for _, version in ipairs(VERSIONS) do
      for _, end_of_it in ipairs { "a", "b" } do
        flood_behind(version, end_of_it, record)
      end
    end
  end, 20)
end

t.fix("what is wrong is told to the peer at once", function()
  for _, version in ipairs(VERSIONS) do
    local w = wire(version)
    shake(w, function(bytes) w.near:send(bytes) end, function(bytes) w.far:send(bytes) end)
    taken(w.near)
    w.near:send(RECORDS.warnings)
    t.equal(select(2, w.a:receive()), "decryption failed or bad record mac")
    local alert = taken(w.near)
    t.ok(#alert > 7, "an alert, which is encrypted")
    t.equal(alert:byte(1), version == "tlsv1_2" and 21 or 23)
    hang_up(w)
  end
end)

-- Closing ---------------------------------------------------------------------------------------------------------------

t.fix("nobody reads, and neither closing nor collecting waits", function()
  local block = string.rep("x", 65536)
  for _, how in ipairs { "close", "collect" } do
    local a, b = t.secured({ verify = "none" }, t.identity "server")
    a:settimeout(0)
    local sent, err
    for _ = 1, 1000 do
      sent, err = a:send(block)
      if not sent then break end
    end
    t.equal(err, "wantwrite")
    local fd = a:getfd()
    t.ok(t.elapsed(function()
      if how == "close" then return a:close() end
      a = nil
      collectgarbage()
      collectgarbage()
    end) < 1, how)
    t.ok(fd > 0 and b:getfd() > 0)
    b:close()
  end
end)

-- Other languages ---------------------------------------------------------------------------------------------------------

t.fix("TLS spoken to a plain server", function()
  local a, b = t.pair(listener)
  local conn = t.closing(ssl.wrap(a, clients.tlsv1_3))
  conn:settimeout(0.2)
  t.returns({ n = 2, false, "wantread" }, conn:dohandshake())
  b:settimeout(1)
  t.match(b:receive(3), "^\22\3\1")
  -- It takes that for a line, and complains.
  b:send "500 what?\r\n"
  conn:settimeout(2)
  t.returns({ n = 2, false, "wrong version number" }, conn:dohandshake())
  -- It hangs up.
  a, b = t.pair(listener)
  conn = t.closing(ssl.wrap(a, clients.tlsv1_3))
  conn:settimeout(2)
  b:close()
  t.returns({ n = 2, false, "closed" }, conn:dohandshake())
end)

t.fix("plain text spoken to a TLS server", function()
  for text, expected in pairs {
    ["EHLO a.test\r\n"] = "wrong version number", ["GET / HTTP/1.0\r\n\r\n"] = "http request",
    ["POST /x HTTP/1.1\r\n"] = "http request", ["\0\0\0\0\0"] = "wrong version number",
    ["SSH-2.0-x\r\n"] = "wrong version number", ["HEAD / HTTP/1.0\r\n"] = "http request",
  } do
    local a, b = t.pair(listener)
    local conn = t.closing(ssl.wrap(a, servers.tlsv1_3))
    conn:settimeout(2)
    b:send(text)
    t.returns({ n = 2, false, expected }, conn:dohandshake())
    conn:close()
    b:settimeout(1)
    -- An alert, no silence.
    t.equal((b:receive "*a"):byte(1), 21, text)
  end
end)

-- As OpenSSL says it in the versions before TLS 1.2, which had no need of most extensions.
t.fix("older versions of TLS spoken to a server", function()
  for version = 0, 2 do
    local body = "\3" .. string.char(version) .. string.rep("r", 32) .. "\0" .. "\0\4\192\19\0\47" .. "\1\0"
    local hello = "\22\3\1\0" .. string.char(#body + 4) .. "\1\0\0" .. string.char(#body) .. body
    for _, cut in ipairs { #hello, 5, 10 } do
      local a, b = t.pair(listener)
      b:setoption("tcp-nodelay", true)
      local conn = t.closing(ssl.wrap(a, servers.tlsv1_3))
      conn:settimeout(0.05)
      b:send(hello:sub(1, cut))
      if cut < #hello then t.returns({ n = 2, false, "wantread" }, conn:dohandshake()) end
      b:send(hello:sub(cut + 1))
      conn:settimeout(2)
      t.returns({ n = 2, false, "unsupported protocol" }, conn:dohandshake())
      conn:close()
      b:settimeout(1)
      t.equal(b:receive "*a", "\21\3\3\0\2\2\70")
    end
  end
end)

listener:close()
t.done()

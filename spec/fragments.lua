-- Random streams: a peer that sends in random pieces and ends at random, a client that receives with random patterns,
-- prefixes and timeouts. Nothing that was received is ever lost, doubled or out of order.
--
-- A failure names the seed of its case; with SPEC_SEED=that the case is the first one to run again.

local t = require "support"
local socket = require "socket"

local CASES = tonumber(os.getenv("SPEC_CASES") or 2500)
local FIRST_SEED = tonumber(os.getenv("SPEC_SEED") or os.time() % 1000000 * 1000)

-- Park and Miller's generator: the same numbers on every Lua.
local function generator(seed)
  local state = seed % 2147483646 + 1
  return function(low, high)
    state = state * 16807 % 2147483647
    return low + state % (high - low + 1)
  end
end

--------------------------------------------------------------------------------------------------------------- streams

local ALPHABET = { "a", "b", "\r", "\n", "\r\n", "\0", "\255", "word", "\n\n", "\r\r" }

local function random_text(random, size)
  local parts, length = {}, 0
  local kind = random(1, 4)
  while length < size do
    local part
    if kind == 1 then -- bulk with few line ends
      part = string.rep("x", random(1, 3000)) .. (random(1, 5) == 1 and "\r\n" or "")
    elseif kind == 2 then -- ordinary lines
      part = string.rep("y", random(0, 100)) .. "\r\n"
    else
      part = ALPHABET[random(1, #ALPHABET)]
    end
    parts[#parts + 1] = part
    length = length + #part
  end
  return table.concat(parts):sub(1, size)
end

local function random_size(random)
  local kind = random(1, 10)
  if kind <= 5 then return random(0, 40) end
  if kind <= 8 then return random(0, 3000) end
  if kind == 9 then return random(8185, 8200) end
  return random(0, 40000)
end

------------------------------------------------------------------------------------------------------------------ peer

-- Sends `text` in pieces, then closes or resets.
local Peer = {}
Peer.__index = Peer

local function new_peer(object, text, random)
  object:settimeout(0)
  return setmetatable({ object = object, text = text, sent = 0, random = random, ending = random(1, 3) }, Peer)
end

function Peer:step()
  if self.over then return end
  if self.sent == #self.text or self.random(1, 60) == 1 then return self:finish() end
  local last, problem, partial = self.object:send(self.text, self.sent + 1, self.sent + 1 + random_size(self.random))
  if problem then t.equal(problem, "timeout") end
  self.sent = last or partial
end

function Peer:finish()
  self.over = self.ending == 1 and "reset" or "closed"
  if self.over == "reset" then t.reset(self.object) else self.object:close() end
end

---------------------------------------------------------------------------------------------------------------- client

local Client = {}
Client.__index = Client

local function new_client(object, peer, random)
  return setmetatable({ object = object, peer = peer, random = random, taken = 0, log = {} }, Client)
end

local PATTERNS = { "*l", "*l", "*a", "count", "count", "count", "zero" }
if not t.reference then
  for _, more in ipairs { "*L", "*r", "l", "L" } do PATTERNS[#PATTERNS + 1] = more end
end

function Client:choose_pattern()
  local name = PATTERNS[self.random(1, #PATTERNS)]
  if name == "zero" then return 0 end
  if name == "count" then return random_size(self.random) end
  return name
end

function Client:choose_prefix()
  local kind = self.random(1, 4)
  if kind == 1 then return nil end
  if kind == 2 then return "" end
  if kind == 3 then return random_text(self.random, self.random(0, 20)) end
  return self.partial
end

function Client:choose_timeout()
  local kind = self.random(1, 20)
  local timeout = kind == 1 and 0.001 or 0
  self.object:settimeout(timeout, self.random(1, 2) == 1 and "b" or "t")
end

-- What `bytes` become in the result of a pattern.
local function shown(pattern, bytes)
  if pattern == "*l" or pattern == "l" then return (bytes:gsub("[\r\n]", "")) end
  return bytes
end

local is_line = { ["*l"] = true, l = true, ["*L"] = true, L = true }

-- The bytes that the call consumed, by the object's own count; they continue the stream.
function Client:consumed()
  local received = self.object:getstats()
  local bytes = self.peer.text:sub(self.taken + 1, received)
  t.equal(#bytes, received - self.taken, "bytes that were never sent are counted")
  t.ok(received <= self.peer.sent, "more bytes than were sent")
  self.taken = received
  return bytes
end

function Client:check_success(pattern, prefix, result, bytes)
  t.equal(result, prefix .. shown(pattern, bytes), "the result")
  if is_line[pattern] then
    t.equal(bytes:find("\n", 1, true), #bytes, "the first line feed ends the line")
  elseif type(pattern) == "number" then
    t.equal(#result, math.max(pattern, #prefix), "the length")
  else
    t.ok(#bytes > 0, "success with nothing")
    if pattern == "*a" then t.ok(self.peer.over == "closed", "'*a' without an end") end
  end
end

function Client:check_failure(pattern, prefix, problem, partial, bytes)
  t.equal(partial, prefix .. shown(pattern, bytes), "the partial result")
  t.equal(self.object:dirty(), false, "dirty after a failure")
  if is_line[pattern] then t.equal(bytes:find("\n", 1, true), nil, "a line end in a partial line") end
  if type(pattern) == "number" and pattern > 0 then t.ok(#partial < pattern, "failure with enough") end
  if pattern == "*r" then t.equal(bytes, "", "what was there") end
  if problem == "closed" then
    t.ok(self.peer.over, "'closed' without an end")
    if self.peer.over == "closed" then
      t.equal(self.taken, self.peer.sent, "bytes that were sent and not received")
      if pattern == "*a" then t.equal(bytes, "", "'*a' that fails with data at an orderly end") end
    end
  else
    t.equal(problem, "timeout")
  end
end

function Client:receive(pattern, prefix)
  local result, problem, partial = t.returns(3, self.object:receive(pattern, prefix))
  self.log[#self.log + 1] = t.show(pattern) .. " " .. #(prefix or "") .. " -> " .. (problem or "ok") .. " "
    .. #(result or partial)
  prefix = prefix or ""
  local bytes = self:consumed()
  if result then
    t.equal(problem, nil)
    t.equal(partial, nil)
    self:check_success(pattern, prefix, result, bytes)
  else
    self:check_failure(pattern, prefix, problem, partial, bytes)
  end
  self.partial = partial
  return problem
end

function Client:step()
  self:choose_timeout()
  local dirty = self.object:dirty()
  if dirty then t.ok(socket.select({ self.object }, nil, 0)[self.object], "dirty and not ready") end
  return self:receive(self:choose_pattern(), self:choose_prefix())
end

-- The rest of the stream, and the end again and again.
function Client:drain()
  self.object:settimeout(5)
  self.object:settimeout(nil, "t")
  for _ = 1, 3 do self:receive("*a") end
  t.equal(self:receive("*l"), "closed")
  t.equal(self:receive(1), "closed")
  if self.peer.over == "closed" then t.equal(self.taken, self.peer.sent, "the whole stream") end
end

------------------------------------------------------------------------------------------------------------------ tests

local server = assert(socket.bind("127.0.0.1", 0))
local host, port = server:getsockname()
server:settimeout(5)

local function connected()
  local a = assert(socket.connect(host, port))
  return a, assert(server:accept())
end

local function run_case(seed, client, peer, random)
  local ok, problem = xpcall(function()
    repeat
      for _ = 1, random(0, 3) do peer:step() end
      for _ = 1, random(1, 3) do client:step() end
    until peer.over
    client:drain()
  end, debug.traceback)
  client.object:close()
  peer.object:close()
  if not ok then
    error("SPEC_SEED=" .. string.format("%d", seed) .. ": " .. problem .. "\nafter " .. table.concat(client.log, "; "), 0)
  end
end

t.test("random receives of random fragments lose and double nothing", function()
  for seed = FIRST_SEED, FIRST_SEED + CASES - 1 do
    local random = generator(seed)
    for _ = 1, 5 do random(0, 1) end
    local a, b = connected()
    local peer = new_peer(b, random_text(random, random(1, 8) == 1 and random(0, 60000) or random(0, 1500)), random)
    run_case(seed, new_client(a, peer, random), peer, random)
  end
end, 60)

t.test("random sends of random ranges arrive as they were sent", function()
  for seed = FIRST_SEED, FIRST_SEED + CASES / 10 do
    local random = generator(seed)
    local a, b = connected()
    local text = random_text(random, random(0, 100000))
    local expected, got = {}, {}
    a:settimeout(0)
    b:settimeout(0)
    local ok, problem = xpcall(function()
      for _ = 1, random(1, 40) do
        local i = random(-10, 20) == 0 and -random(1, 100) or random(1, #text + 10)
        local j = random(1, 3) == 1 and random(-100, #text + 10) or nil
        local first = i < 0 and math.max(#text + i + 1, 1) or i
        local last, why, partial = t.returns(3, a:send(text, i, j))
        if why then t.equal(why, "timeout") end
        expected[#expected + 1] = text:sub(first, last or partial)
        if random(1, 3) == 1 then got[#got + 1] = select(3, b:receive("*a")) end
      end
      a:close()
      b:settimeout(5)
      got[#got + 1] = b:receive("*a")
      t.ok(table.concat(got) == table.concat(expected), "what arrived")
    end, debug.traceback)
    a:close()
    b:close()
    if not ok then error("SPEC_SEED=" .. string.format("%d", seed) .. ": " .. problem, 0) end
  end
end, 60)

server:close()
t.done()

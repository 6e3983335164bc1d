--- The `socket` namespace: what is built from the core.
local socket = require "socket.core"

local error, setmetatable, type = error, setmetatable, type
local min = math.min

socket.try = socket.newtry()

--- Connects with IPv4 addresses only; arguments as `connect`.
function socket.connect4(host, port, laddr, lport)
  return socket.connect(host, port, laddr, lport, "inet")
end

--- Connects with IPv6 addresses only; arguments as `connect`.
function socket.connect6(host, port, laddr, lport)
  return socket.connect(host, port, laddr, lport, "inet6")
end

-- A listening socket on one address; `nil` and the error if that fails.
local function listen(address, port, options)
  local server, err
  if address.family == "inet" then
    server, err = socket.tcp4()
  else
    server, err = socket.tcp6()
  end
  if not server then return nil, err, true end
  server:setoption("reuseaddr", true)
  local ok = true
  if options.reuseport then
    ok, err = server:setoption("reuseport", true)
  end
  if ok then
    ok, err = server:bind(address.addr, port)
  end
  if ok then
    ok, err = server:listen(options.backlog)
  end
  if ok then return server end
  server:close()
  return nil, err
end

--- A listening TCP server on the first address of `host` that works. `*` is the IPv4
-- wildcard; `backlog` is 32 if absent. In its place may stand a table of options: `backlog`,
-- and `reuseport` if others shall be able to listen at the same port.
function socket.bind(host, port, backlog)
  local options = type(backlog) == "table" and backlog or { backlog = backlog }
  if host == "*" then host = "0.0.0.0" end
  local addresses, err = socket.dns.getaddrinfo(host)
  if not addresses then return nil, err end
  err = "no info on address"
  for i = 1, #addresses do
    local server, final
    server, err, final = listen(addresses[i], port, options)
    if server then return server end
    if final then break end
  end
  return nil, err
end

--- Makes a function that picks a factory from `factories` by name and calls it with two
-- more arguments. Without a name it picks `default`.
function socket.choose(factories)
  return function(name, a, b)
    if type(name) ~= "string" then
      name, a, b = "default", name, a
    end
    local factory = factories[name or "nil"]
    if not factory then error("unknown key (" .. name .. ")", 3) end
    return factory(a, b)
  end
end

-- A callable table that `select` takes in place of `sock`.
local function stream(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, { __call = call })
end

socket.sinkt = {}

socket.sinkt["close-when-done"] = function(sock)
  return stream(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    sock:close()
    return 1
  end)
end

socket.sinkt["keep-open"] = function(sock)
  return stream(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    return 1
  end)
end

socket.sinkt["default"] = socket.sinkt["keep-open"]

socket.sourcet = {}

socket.BLOCKSIZE = 2048

-- What was received before `err`, to be delivered first: the next call finds the error
-- again by itself.
local function partial_or_error(partial, err)
  if partial and #partial > 0 then return partial end
  return nil, err
end

socket.sourcet["by-length"] = function(sock, length)
  return stream(sock, function()
    if length <= 0 then return nil end
    local size = min(socket.BLOCKSIZE, length)
    local chunk, err, partial = sock:receive(size)
    if err then
      chunk, err = partial_or_error(partial, err)
      if not chunk then return nil, err end
    end
    length = length - #chunk
    return chunk
  end)
end

socket.sourcet["until-closed"] = function(sock)
  local done
  return stream(sock, function()
    if done then return nil end
    local chunk, err, partial = sock:receive(socket.BLOCKSIZE)
    if not err then return chunk end
    if err == "closed" then
      sock:close()
      done = 1
      return partial
    end
    return partial_or_error(partial, err)
  end)
end

socket.sourcet["default"] = socket.sourcet["until-closed"]

socket.sink = socket.choose(socket.sinkt)
socket.source = socket.choose(socket.sourcet)

return socket

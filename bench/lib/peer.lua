--- The other end of a workload: a process of its own, started on request.
--
-- The request goes to whoever started us (`cargo xtask bench`) as a line on
-- standard output; the answer, a port on 127.0.0.1, comes on standard input.
local io = require "io"
local socket = require "socket"

local M = {}

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function start(...)
  io.stdout:write("peer ", table.concat({ ... }, " "), "\n")
  io.stdout:flush()
  return assert(tonumber(io.stdin:read("*l")), "no peer: start me with `cargo xtask bench`")
end

--- A port where each connection gets `text` over and over; `total` bytes, if given.
function M.source(text, total)
  return start("source", hex(text), total)
end

--- A port where everything is read and forgotten.
function M.sink()
  return start("sink")
end

--- A port that sends back what it gets.
function M.echo()
  return start("echo")
end

--- A port where HTTP is spoken: /length/N, /chunked/N and /gzip/N answer so many bytes, other paths a few.
function M.http()
  return start("http")
end

--- A port where nginx speaks HTTP over TLS; the paths are those of its certificate and key.
function M.https(certificate, key)
  return start("nginx", certificate, key)
end

--- A client that connects to `port` and shakes hands, over and over: openssl's `s_time`, with an option for the version.
function M.handshakes(port, version)
  start("s_time", ("%d"):format(port), version)
end

--- A port where each connection gets `greeting` once, and is kept open.
function M.hold(greeting)
  return start("hold", hex(greeting or ""))
end

--- Clients of an echo server of ours at `port` (load.c): connects `clients` times, of which the first `active` send
-- `total` requests in all.
function M.load(port, clients, active, total)
  start("load", ("%d"):format(port), clients, active, ("%d"):format(total))
end

--- A client connected to `port`.
function M.connect(port)
  return assert(socket.connect("127.0.0.1", port))
end

return M

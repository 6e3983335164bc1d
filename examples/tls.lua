-- TLS on one machine: an authority of our own, an echo server with a certificate that it has issued, a client that
-- verifies it, one that must not trust it, and one that proves who it is (mutual TLS). Server and clients are tasks of
-- this program.
-- Self-contained: needs the library and the openssl command, which makes the certificates, and ends by itself.
--
--     luasocket examples/tls.lua

local socket = require "socket"
local ssl = require "ssl"
local task = require "socket.task"

local function say(...) print(string.format(...)) end

-- Certificates -----------------------------------------------------------------------------------------------------------

local folder = os.tmpname()
os.remove(folder)

local MAKE = [[
exec 2>/dev/null </dev/null
command -v openssl >/dev/null && mkdir FOLDER && cd FOLDER || exit 1
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
issue() {
  key $1
  openssl req -new -key $1.key -subj "/CN=$1" -out $1.csr
  printf 'subjectAltName=%s' "$2" > $1.ext
  openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
}
key ca
openssl req -x509 -new -key ca.key -subj "/CN=Our own authority" -days 2 -out ca.pem
issue server DNS:localhost
issue alice DNS:alice
test -s alice.pem
]]

local status = os.execute((MAKE:gsub("FOLDER", folder)))
if status ~= true and status ~= 0 then
  say "The openssl command, which would make the certificates, is not here."
  return
end

local function file(name) return folder .. "/" .. name end

-- The server -------------------------------------------------------------------------------------------------------------

-- The handshake is as much the client's matter as the rest: it belongs into the task of that client, with a time limit.
local function echo(sock, context)
  local conn = assert(ssl.wrap(sock, context))
  conn:settimeout(5)
  local ok, problem = conn:dohandshake()
  local certificate = ok and conn:getpeercertificate()
  local who = certificate and certificate:subject()[1].value or "somebody"
  while ok do
    local line = conn:receive()
    if not line then break end
    conn:send(who .. " says " .. line .. "\n")
  end
  conn:close()
  if not ok then say("    the server: %s", problem) end
end

local function serve(params)
  params.mode, params.protocol = "server", "any"
  params.key, params.certificate = file "server.key", file "server.pem"
  local context = assert(ssl.newcontext(params))
  local server = assert(socket.bind("localhost", 0))
  task.spawn(function()
    while true do
      local sock = server:accept()
      if not sock then return end
      task.spawn(echo, sock, context)
    end
  end)
  return server, (select(2, server:getsockname()))
end

-- The clients ------------------------------------------------------------------------------------------------------------

local function ask(port, params)
  params.mode, params.protocol = "client", "any"
  local sock = assert(socket.connect("localhost", port))
  local conn = assert(ssl.wrap(sock, params))
  conn:settimeout(5)
  local ok, problem = conn:dohandshake()
  local line
  if ok then
    conn:send "hello\n"
    line, problem = conn:receive()
  end
  local info = conn:info()
  conn:close()
  if not line then return say("    the client: %s", problem) end
  say("    %s (%s, %s, verified: %s)", line, info.protocol, info.cipher, info.verify)
end

local function main()
  local server, port = serve {}
  say "A client that trusts our authority:"
  ask(port, { cafile = file "ca.pem" })
  say "A client that trusts the authorities of the system, which do not know ours:"
  ask(port, {})
  server:close()

  server, port = serve { cafile = file "ca.pem", verify = { "peer", "fail_if_no_peer_cert" } }
  say "A client that proves to be alice:"
  ask(port, { cafile = file "ca.pem", key = file "alice.key", certificate = file "alice.pem" })
  say "A client that proves nothing, where that is required:"
  ask(port, { cafile = file "ca.pem" })
  server:close()
end

task.run(main)
os.execute("rm -rf " .. folder)

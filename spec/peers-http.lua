-- Conversations with programs that speak HTTP: curl, nginx, Python's server. Requests and answers are written by hand. More
-- peers: peers.lua.

local t = require "support"
local socket = require "socket"
local unix = require "socket.unix"

local PATIENCE = 5

-- HTTP by hand

-- Reads lines up to an empty one; returns the first and a table of headers.
local function read_head(object)
  local first, headers = assert(object:receive()), {}
  for line in function() return assert(object:receive()) end do
    if line == "" then return first, headers end
    local name, value = line:match("^([^:]+):%s*(.*)$")
    headers[name:lower()] = value
  end
end

local function respond(object, body, more)
  assert(object:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body .. "\r\n" .. (more or "") .. "\r\n" .. body))
end

local function accept(server)
  local object = t.closing(assert(server:accept()))
  object:settimeout(PATIENCE)
  return object
end

local CURL = 'curl --silent --noproxy "*" --max-time 10 '

t.test("curl gets a page from our server", function()
  t.needs "curl"
  local server, port = t.server()
  local curl = t.start(CURL .. "http://127.0.0.1:" .. port .. "/some/page")
  local client = accept(server)
  local first, headers = read_head(client)
  t.equal(first, "GET /some/page HTTP/1.1")
  t.equal(headers.host, "127.0.0.1:" .. port)
  respond(client, "a page\n")
  client:close()
  t.equal(curl:read("*a"), "a page\n")
end)

t.test("curl gets a large page whose end is the end of the stream", function()
  t.needs "curl"
  local server, port = t.server()
  local body = t.bytes(3000000)
  local curl = t.start(CURL .. "http://127.0.0.1:" .. port .. "/ | cksum")
  local client = accept(server)
  read_head(client)
  assert(client:send("HTTP/1.0 200 OK\r\n\r\n"))
  t.equal(client:send(body), #body)
  client:close()
  t.equal(curl:read("*a"), (t.shell("cksum < " .. t.write(t.fresh_path(), body))))
end)

t.test("curl sends two requests over one connection", function()
  t.needs "curl"
  local server, port = t.server()
  local url = "http://127.0.0.1:" .. port
  local curl = t.start(CURL .. url .. "/one " .. url .. "/two")
  local client = accept(server)
  t.equal(read_head(client), "GET /one HTTP/1.1")
  respond(client, "first ")
  t.equal(read_head(client), "GET /two HTTP/1.1")
  respond(client, "second", "Connection: close\r\n")
  t.equal(curl:read("*a"), "first second")
  t.equal(select(2, client:receive()), "closed")
end)

t.test("curl posts a body to our server", function()
  t.needs "curl"
  local server, port = t.server()
  local body = t.bytes(500000)
  local path = t.write(t.fresh_path(), body)
  local curl = t.start(CURL .. "--data-binary @" .. path .. " -H Expect: http://127.0.0.1:" .. port .. "/form")
  local client = accept(server)
  local first, headers = read_head(client)
  t.equal(first, "POST /form HTTP/1.1")
  t.equal(tonumber(headers["content-length"]), #body)
  t.ok(client:receive(#body) == body)
  respond(client, "thanks")
  t.equal(curl:read("*a"), "thanks")
end)

t.test("curl waits for 100 before it sends a body", function()
  t.needs "curl"
  local server, port = t.server()
  local curl = t.start(CURL .. "--data hello -H 'Expect: 100-continue' http://127.0.0.1:" .. port .. "/")
  local client = accept(server)
  local _, headers = read_head(client)
  t.equal(headers.expect, "100-continue")
  client:settimeout(0)
  t.returns({ n = 3, nil, "timeout", "" }, client:receive(5))
  client:send("HTTP/1.1 100 Continue\r\n\r\n")
  client:settimeout(PATIENCE)
  t.equal(client:receive(5), "hello")
  respond(client, "ok")
  t.equal(curl:read("*a"), "ok")
end)

t.test("curl talks through a Unix-domain socket", function()
  t.needs "curl"
  local path = t.fresh_path()
  local server = t.closing(unix.stream())
  assert(server:bind(path))
  assert(server:listen())
  server:settimeout(PATIENCE)
  local curl = t.start(CURL .. "--unix-socket " .. path .. " http://host/page")
  local client = accept(server)
  t.equal(read_head(client), "GET /page HTTP/1.1")
  respond(client, "local")
  t.equal(curl:read("*a"), "local")
end)

t.test("curl talks over IPv6", function()
  t.needs "curl"
  local server = socket.bind("::1", 0)
  if not server then t.skip("this machine has no IPv6") end
  t.closing(server)
  server:settimeout(PATIENCE)
  local _, port = server:getsockname()
  local curl = t.start(CURL .. "'http://[::1]:" .. string.format("%d", port) .. "/'")
  local client = accept(server)
  t.equal(client:getpeername(), "::1")
  read_head(client)
  respond(client, "six")
  t.equal(curl:read("*a"), "six")
end)

t.test("curl is told when our server hangs up", function()
  t.needs "curl"
  local server, port = t.server()
  local curl = t.start("sh -c '" .. CURL .. "http://127.0.0.1:" .. port .. "/; echo $?'")
  local client = accept(server)
  read_head(client)
  t.reset(client)
  t.equal(curl:read("*a"), "56\n") -- "failure in receiving network data"
end)

-- A server with select in a child process, for as many requests as it is told.
local SERVER = [[
  local socket = require "socket"
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  print(port)
  local left, list, heads = tonumber((...)), { server }, {}
  local function remove(object)
    for i, other in ipairs(list) do
      if other == object then return table.remove(list, i):close() end
    end
  end
  while left > 0 or #list > 1 do
    for _, object in ipairs((assert(socket.select(list, nil, 10)))) do
      if object == server then
        local client = server:accept()
        client:settimeout(0)
        heads[client] = ""
        list[#list + 1] = client
      else
        local line, problem, part = object:receive("*l", heads[object])
        heads[object] = part or ""
        if problem == "closed" then
          remove(object)
        elseif line == "" then
          object:settimeout(10)
          assert(object:send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"))
          object:settimeout(0)
          left = left - 1
        end
      end
    end
  end
  server:close()
]]

t.test("many curls at once against a server with select", function()
  t.needs "curl"
  local child = t.spawn(SERVER, 60)
  local port = assert(child:read())
  local urls = ("http://127.0.0.1:" .. port .. "/[1-20] "):gsub("%.0/", "/")
  local command = CURL .. "--parallel " .. urls .. "2>/dev/null "
  local output = t.shell(command .. "& " .. command .. "& " .. command .. "& wait")
  t.equal(output, ("hello\n"):rep(60))
  t.equal(select(2, child:finish()), 0)
end, 20)

-- nginx

local NGINX = [[
daemon off; master_process off; worker_processes 1;
pid %s/pid; error_log %s/error crit;
events { worker_connections 64; }
http {
  access_log off; default_type text/plain;
  client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
  uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
  server { listen 127.0.0.1:%d; listen unix:%s/socket; root %s/root; }
}
]]

-- Starts nginx; returns its port, its folder and a fresh connection.
local function nginx()
  t.needs "nginx"
  local folder, port = t.fresh_folder(), t.unused_port()
  t.shell("mkdir -m 755 " .. folder .. "/root")
  t.write(folder .. "/root/page", "a page\n")
  t.write(folder .. "/root/large", t.bytes(3000000))
  local f = folder
  t.write(folder .. "/conf", NGINX:format(f, f, f, f, f, f, f, port, f, f))
  t.start("nginx -e " .. folder .. "/error -p " .. folder .. " -c " .. folder .. "/conf")
  return port, folder, t.connect(socket.tcp, "127.0.0.1", port)
end

local function request(path, version)
  return "GET " .. path .. " HTTP/" .. version .. "\r\nHost: test\r\n\r\n"
end

t.test("a page from nginx up to the end of the stream", function()
  local _, _, client = nginx()
  client:send(request("/page", "1.0"))
  local text = client:receive("*a")
  t.match(text, "^HTTP/1%.1 200 OK\r\n")
  t.match(text, "\r\n\r\na page\n$")
  t.returns({ n = 3, nil, "closed", "" }, client:receive("*a"))
end)

t.test("pages from nginx over one connection", function()
  local _, _, client = nginx()
  for _ = 1, 3 do
    client:send(request("/page", "1.1"))
    local first, headers = read_head(client)
    t.equal(first, "HTTP/1.1 200 OK")
    t.equal(client:receive(tonumber(headers["content-length"])), "a page\n")
  end
  client:send(request("/nothing", "1.1"))
  t.equal(read_head(client), "HTTP/1.1 404 Not Found")
end)

t.test("requests to nginx that do not wait for answers", function()
  local _, _, client = nginx()
  client:send(request("/page", "1.1"):rep(20))
  for _ = 1, 20 do
    local _, headers = read_head(client)
    t.equal(client:receive(tonumber(headers["content-length"])), "a page\n")
  end
  t.equal(client:dirty(), false)
end)

t.test("a large page from nginx", function()
  local _, _, client = nginx()
  client:send(request("/large", "1.1"))
  local _, headers = read_head(client)
  t.ok(client:receive(tonumber(headers["content-length"])) == t.bytes(3000000))
  client:send(request("/large", "1.0"))
  read_head(client)
  t.ok(client:receive("*a") == t.bytes(3000000))
end)

t.test("a page from nginx through a Unix-domain socket", function()
  local _, folder = nginx()
  local client = t.connect(unix, folder .. "/socket")
  client:send(request("/page", "1.0"))
  t.match(client:receive("*a"), "\r\n\r\na page\n$")
end)

t.test("a page from Python's HTTP server", function()
  t.needs "python3"
  local folder, port = t.fresh_folder(), t.unused_port()
  t.write(folder .. "/page", "from Python\n")
  t.start("python3 -m http.server --bind 127.0.0.1 --directory " .. folder .. " " .. port .. " >/dev/null")
  local client = t.connect(socket.tcp, "127.0.0.1", port)
  client:send(request("/page", "1.0"))
  t.match(client:receive("*a"), "^HTTP/1%.0 200 OK\r\n.*\r\n\r\nfrom Python\n$")
end)

t.done()

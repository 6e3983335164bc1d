-- socket.http with programs that are not ours: nginx, httpbin, tinyproxy, squid.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

-- Waits until something listens there.
local function up(port)
  t.connect(socket.tcp, "127.0.0.1", port):close()
end

local function get(url, fields)
  local target = {}
  local reqt = { url = url, sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields or {}) do reqt[name] = value end
  local ok, code, headers = http.request(reqt)
  if not ok then return nil, code end
  return table.concat(target), code, headers
end

-- nginx ----------------------------------------------------------------------------------------------------------------

local NGINX = [[
daemon off; master_process off; pid %(folder)/pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path %(folder)/body; proxy_temp_path %(folder)/proxy;
  fastcgi_temp_path %(folder)/f; uwsgi_temp_path %(folder)/u; scgi_temp_path %(folder)/s;
  server {
    listen 127.0.0.1:%(port);
    root %(folder);
    keepalive_timeout 1s;
    location /zipped/ { alias %(folder)/; gzip on; gzip_types *; gzip_min_length 1; }
    location /slow/ { alias %(folder)/; limit_rate 100k; }
    location /one/ { alias %(folder)/; keepalive_timeout 0; }
    location /moved/ { rewrite ^/moved/(\d+)/ /small last; return 308 /small; }
    location /301 { return 301 /small; }
    location /302 { return 302 small; }
    location /303 { return 303 http://localhost:%(port)/small; }
    location /307 { return 307 /small; }
    location /308 { return 308 /small; }
    location /through/ { proxy_pass http://127.0.0.1:%(port)/; }
    location /empty { return 204; }
    location /header { add_header X-A 1; add_header X-A 2; add_header Set-Cookie "a=1; expires=Mon, 01 Jan 2035 00:00:00 GMT"; add_header Set-Cookie b=2; return 200 "x"; }
    location /put/ { alias %(folder)/; dav_methods PUT DELETE; client_max_body_size 8m; }
    location /limited/ { alias %(folder)/; dav_methods PUT; client_max_body_size 1k; }
  }
}
]]

local LARGE = t.bytes(1000003)

local function nginx()
  t.needs "nginx"
  local folder, port = t.fresh_folder(), t.unused_port()
  t.write(folder .. "/small", "hello\n")
  t.write(folder .. "/large", LARGE)
  local config = t.write(folder .. "/conf", (NGINX:gsub("%%%((%w+)%)", { folder = folder, port = string.format("%d", port) })))
  t.start("nginx -p " .. folder .. " -e stderr -c " .. config)
  up(port)
  return "http://127.0.0.1:" .. string.format("%d", port), folder
end

t.test("nginx: pages", function()
  local base = nginx()
  t.equal(get(base .. "/small"), "hello\n")
  t.ok(get(base .. "/large") == LARGE)
  t.ok(get(base .. "/through/large") == LARGE)
  t.equal(select(2, get(base .. "/missing")), 404)
  t.equal(select(2, get(base .. "/empty")), 204)
  local body, code, headers = get(base .. "/large", { method = "HEAD" })
  t.equal(body, "")
  t.equal(code, 200)
  t.equal(headers["content-length"], "1000003")
  body, code, headers = get(base .. "/large", { headers = { range = "bytes=5-9" } })
  t.equal(body, "\5\6\7\8\9")
  t.equal(code, 206)
  t.equal(headers["content-range"], "bytes 5-9/1000003")
  local zipped, _, fields = get(base .. "/zipped/large", { headers = { ["accept-encoding"] = "gzip" } })
  t.equal(fields["content-encoding"], "gzip")
  t.equal(fields["transfer-encoding"], "chunked")
  t.equal(zipped:sub(1, 2), "\31\139")
  for _, status in ipairs { 301, 302, 303, 307 } do t.equal(get(base .. "/" .. status), "hello\n", status) end
end)

t.fix("nginx: what goes beyond", function()
  local base, folder = nginx()
  t.equal(get(base .. "/308"), "hello\n")
  local _, _, headers = get(base .. "/header")
  t.equal(headers["x-a"], "1, 2")
  local cookies = {}
  for _, field in ipairs(http.fields(headers)) do
    if field[1] == "Set-Cookie" then cookies[#cookies + 1] = field[2] end
  end
  t.same(cookies, { "a=1; expires=Mon, 01 Jan 2035 00:00:00 GMT", "b=2" })
  if require("mime").decodet.gzip then
    t.ok(get(base .. "/zipped/large", { decompress = true }) == LARGE)
  end
  t.equal(select(2, get(base .. "/slow/large", { timeout = 0.3 })), "timeout")
  t.equal(select(2, get(base .. "/large", { maxbody = 1000 })), "body too large")
  -- Bodies that are sent: of known length, in chunks, after a question.
  t.equal(select(2, get(base .. "/put/a", { method = "PUT", body = LARGE })), 201)
  t.ok(get(base .. "/put/a") == LARGE)
  t.equal(select(2, get(base .. "/put/b", { method = "PUT", source = ltn12.source.string(LARGE) })), 201)
  t.ok(get(base .. "/put/b") == LARGE)
  t.equal(select(2, get(base .. "/put/c", { method = "PUT", body = LARGE, headers = { expect = "100-continue" } })), 201)
  t.ok(get(base .. "/put/c") == LARGE)
  t.equal(select(2, get(base .. "/limited/d", { method = "PUT", body = LARGE, headers = { expect = "100-continue" } })), 413)
  t.equal(select(2, get(base .. "/limited/d", { method = "PUT", body = LARGE })), 413)
  t.equal(select(2, get(base .. "/put/a", { method = "DELETE" })), 204)
  t.equal(io.open(folder .. "/a"), nil)
end)

t.fix("nginx: kept connections", function()
  local base = nginx()
  local pool = t.closing(http.pool:new())
  for i = 1, 50 do
    t.equal(get(base .. "/small", { pool = pool }), "hello\n")
    if i % 10 == 0 then
      t.ok(get(base .. "/large", { pool = pool }) == LARGE)
      t.ok(#get(base .. "/zipped/large", { pool = pool, headers = { ["accept-encoding"] = "gzip" } }) > 0)
      t.equal(get(base .. "/302", { pool = pool }), "hello\n")
      t.equal(select(2, get(base .. "/missing", { pool = pool })), 404)
      t.equal(get(base .. "/small", { pool = pool, method = "HEAD" }), "")
    end
  end
  t.equal(pool:statistics().opened, 1)
  -- The server closes what is idle for a second.
  socket.sleep(1.3)
  t.equal(get(base .. "/small", { pool = pool }), "hello\n")
  t.equal(pool:statistics().opened, 2)
  t.equal(get(base .. "/one/small", { pool = pool }), "hello\n")
  t.equal(get(base .. "/one/small", { pool = pool }), "hello\n")
  t.equal(pool:statistics().opened, 3)
end)

-- httpbin --------------------------------------------------------------------------------------------------------------

t.fix("httpbin", function()
  local _, status = t.shell("python3 -c 'import httpbin'")
  if status ~= 0 then t.skip "python3 has no httpbin" end
  local port = t.unused_port()
  t.start(("python3 -m httpbin.core --host 127.0.0.1 --port %d"):format(port))
  up(port)
  local base = "http://127.0.0.1:" .. port
  t.match(get(base .. "/get?a=b%20c"), '"a": "b c"')
  t.match(http.request(base .. "/post", "x=1&y=2"), '"x": "1"')
  t.match(get(base .. "/put", { method = "PUT", body = "text", headers = { ["content-type"] = "text/plain" } }), '"data": "text"')
  t.match(get(base .. "/redirect/4"), '"url": "[^"]*/get"')
  t.equal(select(2, get(base .. "/redirect/6")), 302)
  t.match(get(base .. "/absolute-redirect/2"), '"url": "[^"]*/get"')
  t.match(get(("http://user:pass@127.0.0.1:%d/basic-auth/user/pass"):format(port)), '"authenticated": true')
  t.equal(select(2, get(base .. "/basic-auth/user/pass")), 401)
  t.equal(select(2, get(base .. "/status/418")), 418)
  local lines = select(2, get(base .. "/stream/7"):gsub("\n", "\n"))
  t.equal(lines, 7)
  t.equal(select(2, get(base .. "/delay/3", { timeout = 0.3 })), "timeout")
  if require("mime").decodet.gzip then
    t.match(get(base .. "/gzip", { decompress = true }), '"gzipped": true')
    t.match(get(base .. "/deflate", { decompress = true }), '"deflated": true')
  end
  local s = http.session { base = base }
  t.match(s:get "/cookies/set?a=1&b=2", '"a": "1"')
  t.match(s:get "/cookies", '"b": "2"')
  t.match(s:post("/redirect-to?status_code=307&url=/post", "x=7", { ["content-type"] = "application/x-www-form-urlencoded" }), '"x": "7"')
  s:close()
end, 20)

-- Proxies --------------------------------------------------------------------------------------------------------------

local TINYPROXY = "Port %d\nListen 127.0.0.1\nTimeout 5\nAllow 127.0.0.1\nBasicAuth user pass\nLogLevel Critical\n"

local SQUID = [[
http_port 127.0.0.1:%d
pid_filename none
cache deny all
access_log none
cache_log /dev/null
http_access allow all
shutdown_lifetime 0 seconds
coredump_dir /tmp
]]

-- TLS is spoken through the tunnel by whatever module is there.
local function secure(base, proxy)
  if not pcall(require, "ssl.https") then return end
  local port = base:match(":(%d+)$")
  local answer, err = http.request { url = "https://127.0.0.1:" .. port .. "/", proxy = proxy, verify = "none", timeout = 3 }
  -- The peer speaks no TLS: what matters is that the tunnel led there.
  t.equal(answer, nil)
  t.ok(err and not err:find("proxy", 1, true), err)
end

t.fix("tinyproxy", function()
  t.needs "tinyproxy"
  local base = nginx()
  local port = t.unused_port()
  t.start("tinyproxy -d -c " .. t.write(t.fresh_path(), TINYPROXY:format(port)))
  up(port)
  local proxy = ("http://user:p%%61ss@127.0.0.1:%d"):format(port)
  t.equal(get(base .. "/small", { proxy = proxy }), "hello\n")
  t.ok(get(base .. "/large", { proxy = proxy }) == LARGE)
  t.equal(get(base .. "/302", { proxy = proxy }), "hello\n")
  t.equal(select(2, get(base .. "/small", { proxy = ("http://127.0.0.1:%d"):format(port) })), 407)
  t.equal(get(base .. "/small", { proxy = proxy, no_proxy = "127.0.0.1" }), "hello\n")
end)

t.fix("squid", function()
  t.needs "squid"
  local base = nginx()
  local port = t.unused_port()
  t.start("squid -N -n spec" .. string.format("%d", port) .. " -f " .. t.write(t.fresh_path(), SQUID:format(port)))
  up(port)
  local proxy = ("http://127.0.0.1:%d"):format(port)
  t.equal(get(base .. "/small", { proxy = proxy }), "hello\n")
  t.ok(get(base .. "/large", { proxy = proxy }) == LARGE)
  local pool = t.closing(http.pool:new())
  for _ = 1, 5 do t.equal(get(base .. "/small", { proxy = proxy, pool = pool }), "hello\n") end
  t.equal(pool:statistics().opened, 1)
  secure(base, proxy)
end, 15)

t.done()

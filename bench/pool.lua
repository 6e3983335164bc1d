--- Many requests at once over kept connections to nginx, beside wrk with as many connections to the same server.
local http = require "socket.http"
local io = require "io"
local os = require "os"
local socket = require "socket"
local task = require "socket.task"

local TASKS, REQUESTS = 100, 20000

local function has(program)
  local pipe = io.popen("command -v " .. program)
  local found = pipe:read "*l"
  pipe:close()
  return found
end

-- Without these there is nothing to measure.
for _, program in ipairs { "nginx", "taskset", "wrk" } do
  if not has(program) then return {} end
end

local CONFIG = [[
pid %s/pid;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %s/body;
  proxy_temp_path %s/proxy;
  fastcgi_temp_path %s/fastcgi;
  uwsgi_temp_path %s/uwsgi;
  scgi_temp_path %s/scgi;
  keepalive_requests 10000000;
  server { listen 127.0.0.1:%d; location / { return 200 "ok"; } }
}
]]

local function unused_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return math.floor(port)
end

-- Starts the server on the first core; we are on the last one.
local function start()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local port = unused_port()
  local file = assert(io.open(folder .. "/conf", "w"))
  file:write(CONFIG:gsub("%%s", folder):gsub("%%d", port), "")
  file:close()
  local command = "nginx -c %s/conf -e %s/error"
  assert(os.execute("taskset -c 0 " .. command:gsub("%%s", folder)))
  local function stop()
    os.execute((command .. " -s stop; sleep 0.2; rm -r %s"):gsub("%%s", folder))
  end
  return "http://127.0.0.1:" .. port .. "/", stop
end

-- Requests per second.
local function ours(url, count)
  local left, begun = count, socket.gettime()
  task.run(task.group, function(group)
    for _ = 1, TASKS do
      group:spawn(function()
        while left > 0 do
          left = left - 1
          local body, code = http.request { url = url, connection = "keep-alive" }
          assert(body and code == 200, code)
        end
      end)
    end
  end)
  return count / (socket.gettime() - begun)
end

local function theirs(url)
  local pipe = io.popen(("wrk -t1 -c%d -d1s %s"):format(TASKS, url))
  local text = pipe:read "*a"
  pipe:close()
  return assert(tonumber(text:match "Requests/sec:%s*([%d.]+)"), text)
end

return {
  {
    name = "GET in 100 tasks, beside wrk",
    unit = "times slower",
    limit = 2,
    only = "ours",
    rounds = 3,
    measure = function()
      local url, stop = start()
      ours(url, REQUESTS / 10)
      local rate = ours(url, REQUESTS)
      local rival = theirs(url)
      stop()
      if os.getenv "VERBOSE" then io.stderr:write(("%.0f of %.0f\n"):format(rate, rival)) end
      return rival / rate
    end,
  },
}

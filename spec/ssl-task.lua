-- TLS in tasks: the handshake and everything behind it yields.

local t = require "support"

if t.reference then
  t.test("tasks", function() t.skip("the C library has none") end)
  t.done()
end

local socket = require "socket"
local ssl = require "ssl"
local task = require "socket.task"

local folder = t.certificates()

local function context(mode, more)
  local params = { mode = mode, protocol = "any", cafile = folder .. "/ca.pem" }
  if mode == "server" then params.key, params.certificate = folder .. "/server.key", folder .. "/server.pem" end
  for name, value in pairs(more or {}) do params[name] = value end
  return assert(ssl.newcontext(params))
end

local function echo(server, params)
  local ctx = context("server", params)
  task.spawn(function()
    while true do
      local sock = server:accept()
      if not sock then return end
      task.spawn(function()
        local conn = assert(ssl.wrap(sock, ctx))
        conn:settimeout(5)
        if conn:dohandshake() then
          while true do
            local line = conn:receive()
            if not line then break end
            conn:send(line .. "\n")
          end
        end
        conn:close()
      end)
    end
  end)
end

local function dial(port, ctx)
  local sock = assert(socket.connect("localhost", port))
  local conn = t.closing(assert(ssl.wrap(sock, ctx)))
  conn:settimeout(5)
  return conn
end

t.fix("many clients at once", function()
  local done, most = 0, 0
  task.run(function()
    local server = t.closing(socket.bind("localhost", 0))
    local _, port = server:getsockname()
    echo(server)
    local ctx, running, tasks = context "client", 0, {}
    for i = 1, 40 do
      tasks[i] = task.spawn(function()
        running = running + 1
        most = math.max(most, running)
        local conn = dial(port, ctx)
        t.returns({ n = 1, true }, conn:dohandshake())
        for size = 1, 40001, 8000 do
          local text = string.rep("x", size + i)
          conn:send(text .. "\n")
          t.ok(conn:receive() == text)
        end
        conn:close()
        running, done = running - 1, done + 1
      end)
    end
    for _, one in ipairs(tasks) do one:join() end
    server:close()
  end)
  t.equal(done, 40)
  t.ok(most > 20, most)
end, 30)

t.fix("functions of the program are called in the task", function()
  task.run(function()
    local server = t.closing(socket.bind("localhost", 0))
    local asked
    echo(server, { alpn = function(offered)
      asked = offered
      return "b"
    end })
    local conn = dial((select(2, server:getsockname())), context("client", { alpn = { "a", "b" } }))
    t.equal(conn:dohandshake(), true)
    t.equal(conn:getalpn(), "b")
    t.same(asked, { "a", "b" })
    conn:close()
    server:close()
  end)
end)

t.fix("time limits", function()
  task.run(function()
    local server = t.closing(socket.bind("localhost", 0))
    local conn = dial((select(2, server:getsockname())), context "client")
    conn:settimeout(0.1)
    local start = socket.gettime()
    t.returns({ n = 2, false, "wantread" }, conn:dohandshake())
    t.between(socket.gettime() - start, 0.09, 1)
    conn:close()
  end)
end)

t.fix("an end that comes with the data, on a connection that stays open", function()
  task.run(function()
    local server = t.closing(socket.bind("localhost", 0))
    local _, port = server:getsockname()
    task.spawn(function()
      local sock = server:accept()
      local conn = assert(ssl.wrap(sock, context "server"))
      conn:settimeout(5)
      conn:dohandshake()
      -- The descriptor outlives the connection.
      local other = socket.tcp()
      other:setfd(conn:getfd())
      conn:send "all of it"
      conn:close()
    end)
    local conn = dial(port, context "client")
    t.equal(conn:dohandshake(), true)
    t.returns({ n = 3, "all of it", nil, nil }, conn:receive "*a")
    conn:close()
  end)
end)

t.fix("https", function()
  local https = require "ssl.https"
  task.run(function()
    local server = t.closing(socket.bind("localhost", 0))
    local _, port = server:getsockname()
    local ctx = context "server"
    task.spawn(function()
      for _ = 1, 2 do
        local conn = ssl.wrap(server:accept(), ctx)
        conn:settimeout(5)
        task.spawn(function()
          conn:dohandshake()
          repeat local line = conn:receive() until line == ""
          task.sleep(0.2)
          conn:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
          conn:close()
        end)
      end
    end)
    local start, tasks = socket.gettime(), {}
    for i = 1, 2 do
      tasks[i] = task.spawn(function()
        local ok, code = https.request { url = "https://localhost:" .. string.format("%d", port) .. "/", cafile = folder .. "/ca.pem",
          timeout = 5 }
        t.same({ ok, code }, { 1, 200 })
      end)
    end
    for _, one in ipairs(tasks) do one:join() end
    t.ok(socket.gettime() - start < 0.39)
  end)
end)

t.done()

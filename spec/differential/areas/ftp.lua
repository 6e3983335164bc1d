-- socket.ftp against a server that answers from a script, on the control connection and on the data connection.

local socket = require "socket"
local ftp = require "socket.ftp"
local ltn12 = require "ltn12"

local BAD = { "550 no", "421 later", "xyz", "", "530-a\r\n530 b" }

return function(g)
  local function connection(text, log, name)
    local object, at, sent = {}, 1, 0
    function object:settimeout() return 1 end
    function object:connect(host, port)
      log[#log + 1] = ("%s connect %s %s\n"):format(name, host, port)
      return 1
    end
    function object:send(data, i, j)
      i, j = i or 1, j or -1
      local part = data:sub(i, j)
      sent = sent + #part
      log[#log + 1] = name .. " " .. part .. "\n"
      return i - 1 + #part
    end
    function object:receive(pattern)
      if type(pattern) == "number" then
        local part = text:sub(at, at + pattern - 1)
        at = at + #part
        if #part < pattern then return nil, "closed", part end
        return part
      end
      local line, last = text:match("^([^\n]*)\n()", at)
      if not line then return nil, "closed", "" end
      at = last
      return (line:gsub("\r", ""))
    end
    function object:getstats() return at - 1, sent, 0 end
    function object:close() return 1 end
    function object:getpeername() return "127.0.0.1", 21 end
    function object:getsockname() return "127.0.0.1", 5021 end
    function object:getfd() return -1 end
    function object:dirty() return false end
    return object
  end

  -- Runs f with `socket.tcp` making the control connection first and then data connections.
  local function with(control, data, log, f)
    local kept, n = socket.tcp, 0
    socket.tcp = function()
      n = n + 1
      return connection(n == 1 and control or data, log, n == 1 and "control" or "data")
    end
    local results = { pcall(f) }
    socket.tcp = kept
    if not results[1] then error(results[2], 0) end
    return (table.unpack or unpack)(results, 2, 5)
  end

  -- What is answered to QUIT means nothing to us; a refused EPSV makes us try PASV.
  local function replies(list)
    for i, reply in ipairs(list) do
      if i < #list and not reply:find "^229" and g.chance(6) then reply = g.pick(BAD) end
      list[i] = reply .. "\r\n"
    end
    return table.concat(list)
  end

  local data = g.text({ "hello ", "world\r\n", "\0", ("long "):rep(100) }, 5)
  local kind = g.pick { "get", "get_table", "put", "put_table" }
  local typed = g.chance(40)
  local script = { g.pick { "220 hi", "220-a\r\n220 b" }, g.pick { "331 pass", "230 in" } }
  if script[2] == "331 pass" then script[3] = "230 in" end
  if typed then script[#script + 1] = "200 type" end
  script[#script + 1] = "229 Entering (|||4021|)"
  script[#script + 1] = g.pick { "150 here", "125 open" }
  script[#script + 1] = "226 done"
  script[#script + 1] = "221 bye"
  local control = replies(script)
  local url = "ftp://" .. g.pick { "", "u:p@", "u@" } .. "h.test" .. g.pick { "", ":2121" } .. g.pick { "/f", "/d/f", "//abs/f", "/a%20b" } ..
    (typed and g.pick { ";type=i", ";type=a" } or "")
  g.log("script", control, url)

  local log = {}
  g.call(kind, function()
    return with(control, kind:find "get" and data or "", log, function()
      if kind == "get" then return ftp.get(url) end
      if kind == "put" then return ftp.put(url, data) end
      local out = {}
      local request = { host = "h.test", path = "/d/f", type = typed and "i" or nil, user = g.pick { n = 2, nil, "me" }, password = "secret" }
      if kind == "get_table" then
        request.sink = ltn12.sink.table(out)
        local ok, problem = ftp.get(request)
        return ok, problem, table.concat(out)
      end
      request.source = ltn12.source.string(data)
      request.command = g.pick { n = 2, nil, "appe" }
      return ftp.put(request)
    end)
  end)
  g.log("sent", table.concat(log))
end

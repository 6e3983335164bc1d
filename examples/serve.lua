-- A small HTTP server, good enough to try clients on: the files of a folder, with ranges and lists, and an echo.
--
--     luasocket --task examples/serve.lua [PORT [FOLDER]]
--
-- It prints its address, and each request. POST and PUT to any path answer what was sent. Each connection has a task of
-- its own, and serves as many requests as the client likes; after ten seconds of silence it is closed.

local socket = require "socket"
local task = require "socket.task"
local url = require "socket.url"

local port, folder = tonumber(arg[1]) or 8080, arg[2] or "."

-- Requests -----------------------------------------------------------------------------------------------------------------

local function read_headers(client)
  local headers = {}
  for line in function() return client:receive() end do
    if line == "" then return headers end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value end
  end
end

local function read_chunks(client)
  local parts = {}
  while true do
    local size = tonumber((client:receive() or ""):match("^%x+") or "", 16)
    if not size then return nil end
    if size == 0 then return read_headers(client) and table.concat(parts) end
    parts[#parts + 1] = client:receive(size)
    client:receive()
  end
end

local function read_request(client)
  local method, target = (client:receive() or ""):match("^(%u+) (%S+) HTTP/1%.%d$")
  if not method then return nil end
  local headers = read_headers(client)
  if not headers then return nil end
  if headers.expect then client:send("HTTP/1.1 100 Continue\r\n\r\n") end
  local body = ""
  if headers["transfer-encoding"] then
    body = read_chunks(client)
  elseif headers["content-length"] then
    body = client:receive(tonumber(headers["content-length"]) or 0)
  end
  return body and { method = method, target = target, headers = headers, body = body }
end

-- Answers ------------------------------------------------------------------------------------------------------------------

local REASONS = { [200] = "OK", [206] = "Partial Content", [404] = "Not Found", [416] = "Range Not Satisfiable" }
local TYPES = { html = "text/html", txt = "text/plain", lua = "text/plain", md = "text/plain" }

local function answer(code, body, kind, more)
  return { code = code, body = body, kind = kind or "text/plain", more = more or "" }
end

-- A piece of a file by `bytes=FROM-TO`, `bytes=FROM-` or `bytes=-LAST`.
local function piece(text, range, kind)
  local from, to = range:match("^bytes=(%d*)%-(%d*)$")
  from, to = tonumber(from), tonumber(to)
  if not from and to then from, to = math.max(#text - to, 0), nil end
  if not from then return answer(200, text, kind) end
  if from >= #text then return answer(416, "", kind, "Content-Range: bytes */" .. #text .. "\r\n") end
  to = math.min(to or #text - 1, #text - 1)
  return answer(206, text:sub(from + 1, to + 1), kind, ("Content-Range: bytes %d-%d/%d\r\n"):format(from, to, #text))
end

local function file(path, range)
  local handle = io.open(folder .. path, "rb")
  local text = handle and handle:read("*a")
  if handle then handle:close() end
  if not text then return nil end
  local kind = TYPES[path:match("%.(%w+)$")] or "application/octet-stream"
  return range and piece(text, range, kind) or answer(200, text, kind, "Accept-Ranges: bytes\r\n")
end

local function respond(request)
  if request.method == "POST" or request.method == "PUT" then return answer(200, request.body) end
  local path = url.unescape((request.target:match("^[^?#]*")))
  if path:find("..", 1, true) or path:find("%z") then return answer(404, "no such page\n") end
  if path:sub(-1) == "/" then path = path .. "index.html" end
  return file(path, request.headers.range) or answer(404, "no such page\n")
end

local function send(client, request, result, last)
  local head = ("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: %s\r\n\r\n"):format(
    result.code, REASONS[result.code], result.kind, #result.body, result.more, last and "close" or "keep-alive")
  return client:send(request.method == "HEAD" and head or head .. result.body)
end

-- Connections --------------------------------------------------------------------------------------------------------------

local function converse(client)
  client:settimeout(10)
  client:setoption("tcp-nodelay", true)
  repeat
    local request = read_request(client)
    if not request then return end
    local result = respond(request)
    local last = (request.headers.connection or ""):lower():find("close", 1, true) ~= nil
    print(result.code, request.method, request.target)
    io.stdout:flush()
    local sent = send(client, request, result, last)
  until last or not sent or task.stopping()
end

local function main()
  local server = assert(socket.bind("127.0.0.1", port))
  print(("http://%s:%d/"):format(server:getsockname()))
  io.stdout:flush()
  assert(task.serve(server, converse))
end

if task.current() then main() else task.run(main) end

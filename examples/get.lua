-- Downloads a file, shows how far it has come, and goes on where an earlier download ended.
--
--     luasocket examples/get.lua URL [FILE]
--
-- What has come so far lies in FILE.part, and becomes FILE when it is whole.

local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"
local url = require "socket.url"

local address = assert(arg[1], "usage: get.lua URL [FILE]")

local function name(of)
  local path = url.parse(of).path or ""
  return url.unescape((path:match("([^/]*)$"))):gsub("[%c/\\]", "_")
end

local target = arg[2] or name(address)
if target == "" then target = "index.html" end
local partial = target .. ".part"

local function size(path)
  local file = io.open(path, "rb")
  if not file then return 0 end
  local bytes = file:seek("end")
  file:close()
  return bytes
end

-- The bar ------------------------------------------------------------------------------------------------------------------

local function amount(bytes)
  for _, unit in ipairs { "B", "kB", "MB" } do
    if bytes < 1000 then return ("%.4g %s"):format(bytes, unit) end
    bytes = bytes / 1000
  end
  return ("%.4g GB"):format(bytes)
end

local WIDTH = 40

local function draw(done, total, rate)
  local text = total and ("[%s] %3d%%"):format(
    ("="):rep(math.floor(WIDTH * done / total)) .. (" "):rep(WIDTH - math.floor(WIDTH * done / total)),
    math.floor(100 * done / total)) or amount(done)
  io.stderr:write("\r", text, "  ", amount(rate), "/s    ")
end

-- Passes everything on, and draws ten times a second.
local function watched(sink, done, total)
  local start, drawn, before = socket.gettime(), 0, done
  return function(chunk, err)
    if chunk then done = done + #chunk end
    local now = socket.gettime()
    if now - drawn > 0.1 or not chunk then
      draw(done, total, (done - before) / math.max(now - start, 0.001))
      drawn = now
    end
    if not chunk then io.stderr:write("\n") end
    return sink(chunk, err)
  end
end

-- The download -------------------------------------------------------------------------------------------------------------

local offset = size(partial)

-- The file is opened once the server has said what comes: the rest (206) or all of it (200).
local function choose(code, headers)
  if code ~= 200 and code ~= 206 then return true end
  local from = code == 206 and tonumber((headers["content-range"] or ""):match("^bytes (%d+)%-"))
  if code == 206 and from ~= offset then return false, "the server sends another part" end
  local total = tonumber(headers["content-length"])
  if code == 200 then offset = 0 end
  local file, err = io.open(partial, code == 206 and "ab" or "wb")
  if not file then return false, err end
  return watched(ltn12.sink.file(file), offset, total and total + offset)
end

local ok, code = http.request {
  url = address,
  headers = offset > 0 and { range = ("bytes=%d-"):format(offset) } or nil,
  on_headers = choose,
}

if ok and code == 416 and offset > 0 then code = 206 end -- nothing was left to get
if not ok or code ~= 200 and code ~= 206 then
  io.stderr:write(address, ": ", tostring(code), "\n")
  os.exit(1)
end
assert(os.rename(partial, target))
print(target, size(target))

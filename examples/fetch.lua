-- Fetches many pages at once, in tasks, over kept connections.
--
--     luasocket examples/fetch.lua URL...            each URL once
--     luasocket examples/fetch.lua -n 100 URL        one URL a hundred times
--
-- Each task calls `http.request` as any program would; while one waits, the others go on.

local http = require "socket.http"
local socket = require "socket"
local task = require "socket.task"

local AT_ONCE = 20

local function addresses()
  if arg[1] ~= "-n" then return arg end
  local list = {}
  for i = 1, assert(tonumber(arg[2]), "a number behind -n") do list[i] = arg[3] end
  return list
end

local list = addresses()
assert(list[1], "usage: fetch.lua [-n COUNT] URL...")
local start, failed, bytes, after = socket.gettime(), 0, 0, 0

local function fetch(url)
  local ok, code = http.request {
    url = url,
    connection = "keep-alive",
    timeout = 30,
    sink = function(chunk)
      bytes = bytes + #(chunk or "")
      return 1
    end,
  }
  if not ok or code ~= 200 then
    failed = failed + 1
    print(url, code)
  end
end

-- Each worker takes the next address until there is none.
local function worker()
  while after < #list do
    after = after + 1
    fetch(list[after])
  end
end

task.run(function()
  for _ = 1, math.min(AT_ONCE, #list) do task.spawn(worker) end
end)

local statistics = http.pool:statistics()
http.pool:close()
print(("%d pages, %d failed, %d bytes, %d connections"):format(#list, failed, bytes, statistics.opened))
io.stderr:write(("%.0f pages a second\n"):format(#list / (socket.gettime() - start)))
os.exit(failed == 0 and 0 or 1)

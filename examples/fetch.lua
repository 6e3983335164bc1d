-- Fetches many pages at once, in tasks, over kept connections.
--
--     luasocket examples/fetch.lua URL...            each URL once
--     luasocket examples/fetch.lua -n 100 URL        one URL a hundred times
--
-- Each task calls `http.request` as any program would; while one waits, the others go on. Twenty pages are fetched at a
-- time, each within half a minute. The status is 1 if one failed.

local http = require "socket.http"
local socket = require "socket"
local task = require "socket.task"

local AT_ONCE, PATIENCE = 20, 30

local function addresses(...)
  if ... ~= "-n" then return { ... } end
  local _, count, url = ...
  local list = {}
  for i = 1, assert(tonumber(count), "a number behind -n") do list[i] = url end
  return list
end

local function fetch(url, counts)
  local ok, code = http.request {
    url = url,
    connection = "keep-alive",
    timeout = PATIENCE,
    sink = function(chunk)
      counts.bytes = counts.bytes + #(chunk or "")
      return 1
    end,
  }
  if not ok or code ~= 200 then
    counts.failed = counts.failed + 1
    print(url, code)
  end
end

local function main(...)
  local list = addresses(...)
  assert(list[1], "usage: fetch.lua [-n COUNT] URL...")
  local start, after, counts = socket.gettime(), 0, { failed = 0, bytes = 0 }
  -- Each of the tasks takes the next address until there is none.
  local function work()
    while after < #list do
      after = after + 1
      fetch(list[after], counts)
    end
  end
  task.group(function(group)
    for _ = 1, math.min(AT_ONCE, #list) do group:spawn(work) end
  end)
  local opened = http.pool:statistics().opened
  http.pool:close()
  print(("%d pages, %d failed, %d bytes, %d connections"):format(#list, counts.failed, counts.bytes, opened))
  io.stderr:write(("%.0f pages a second\n"):format(#list / (socket.gettime() - start)))
  if counts.failed > 0 then os.exit(1) end
end

if task.current() then main(...) else task.run(main, ...) end

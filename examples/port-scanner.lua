-- Which TCP ports of a host are open? Scan your own machines only.
--
--     luasocket examples/port-scanner.lua HOST [FIRST [LAST]]     ports 1 to 1024 unless said otherwise
--
-- 200 ports are tried at a time, each for at most a second, all of them for at most two minutes.

local socket = require "socket"
local task = require "socket.task"

local AT_ONCE, PATIENCE, TOTAL = 200, 1, 120

local function try(address, port, found)
  local client, problem = socket.connect(address, port, { timeout = PATIENCE })
  if client then
    client:close()
    found.open[#found.open + 1] = port
  elseif problem == "timeout" then
    found.silent = found.silent + 1
  elseif problem == "connection refused" then
    found.refused = found.refused + 1
  else
    found.failed = found.failed + 1
    found.problem = problem
  end
end

-- Each of the tasks takes the next port until there is none.
local function scan(address, first, last, found)
  local port = first
  local function work()
    while port <= last do
      port = port + 1
      try(address, port - 1, found)
    end
  end
  task.group(function(group)
    for _ = 1, math.min(AT_ONCE, last - first + 1) do group:spawn(work) end
  end)
  return true
end

local function main(host, first, last)
  assert(host, "usage: port-scanner.lua HOST [FIRST [LAST]]")
  local answers = assert(socket.dns.getaddrinfo(host))
  first, last = tonumber(first) or 1, tonumber(last) or tonumber(first) or 1024
  assert(first >= 1 and first <= last and last <= 65535, "ports are numbers from 1 to 65535")
  local found = { open = {}, refused = 0, silent = 0, failed = 0 }
  local complete = task.timeout(TOTAL, scan, answers[1].addr, first, last, found)
  table.sort(found.open)
  for _, port in ipairs(found.open) do
    local _, service = socket.dns.getnameinfo(nil, port)
    print(("%d\topen\t%s"):format(port, service or ""))
  end
  print(("%d open, %d refused, %d silent, %d failed%s"):format(#found.open, found.refused, found.silent, found.failed,
    found.problem and " (" .. found.problem .. ")" or ""))
  assert(complete, "not complete: it took too long")
end

if task.current() then main(...) else task.run(main, ...) end

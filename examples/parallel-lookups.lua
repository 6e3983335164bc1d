-- Looks many names up at once, and prints the addresses in the order of the names.
--
--     luasocket examples/parallel-lookups.lua NAME...
--     luasocket examples/parallel-lookups.lua < NAMES     one on each line
--
-- At most 50 are asked for at a time; an answer that takes more than five seconds is not waited for. The status is 1 if a
-- name has no address.

local socket = require "socket"
local task = require "socket.task"

local AT_ONCE, PATIENCE = 50, 5

local function look_up(name)
  local answers, problem = task.timeout(PATIENCE, socket.dns.getaddrinfo, name)
  if not answers then return nil, problem end
  local addresses = {}
  for i, answer in ipairs(answers) do addresses[i] = answer.addr end
  return table.concat(addresses, " ")
end

local function main(...)
  local names, lines = { ... }, {}
  if not names[1] then
    for name in io.lines() do names[#names + 1] = name end
  end
  local places, failed = task.semaphore(AT_ONCE), 0
  task.group(function(group)
    for i, name in ipairs(names) do
      group:spawn(places.with, places, function()
        local addresses, problem = look_up(name)
        if not addresses then failed = failed + 1 end
        lines[i] = name .. "\t" .. (addresses or "no address: " .. problem)
      end)
    end
  end)
  for _, line in ipairs(lines) do print(line) end
  if failed > 0 then os.exit(1) end
end

if task.current() then main(...) else task.run(main, ...) end

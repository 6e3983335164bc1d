--- Runs one workload of bench/ in this process and prints what it cost.
--
--   lua bench/lib/run.lua list FILE...
--   lua bench/lib/run.lua FILE NAME COUNT WARM
--
-- `cargo xtask bench` starts it, once for each measurement, and answers its
-- requests for a peer (see peer.lua). A workload is a table:
--
--   name     what is done once per operation, as the reader shall see it
--   count    operations per measurement (about 0.3 s of the slower library)
--   warm     operations before the clock starts; default a tenth of `count`
--   setup    function() -> state
--   op       function(state, count): does it `count` times
--   bare     function(state, count): the same loop without the work; default an
--            empty loop. Its time is subtracted.
--   refill   function(state), with `batch`: called before every `batch`
--            operations; its time is not counted
--   bytes    bytes per operation; the cost is then shown per megabyte
--   measure  function() -> number: instead of `op`, a figure that is not a time
--   unit     of that figure; default "bytes"
--   serve    function(count, warm) -> seconds: instead of `op`, where `warm` and
--            `count` operations cannot be asked for one after the other; the CPU
--            time of the latter
--   versus   the workload of this file, on this library, to compare with instead
--            of the C library
--   rival    the program to compare with instead, and its arguments: a C file of
--            bench/lib that prints what this file would
--   target   how many times better than the C library it must be
--   limit    the most it may cost: seconds per operation, or `measure`'s unit
--   only     "ours": beyond what the C library can do
--   rounds   how often it is measured, if not as often as the others
--   cores    1: the peer runs on the same core
local root = assert(arg[0]:match("^(.*)bench/lib/run%.lua$"), "start me by my path")
package.path = root .. "?.lua;" .. package.path

local clock = os.clock

local FIELDS = { "name", "count", "warm", "bytes", "unit", "target", "limit", "only", "rounds", "cores", "versus", "rival" }

local function load_workloads(file)
  return assert(loadfile(file))()
end

local function list(files)
  for _, file in ipairs(files) do
    for _, workload in ipairs(load_workloads(file)) do
      local line = { "file=" .. file }
      if workload.serve then line[#line + 1] = "serve=1" end
      if workload.measure then workload.unit = workload.unit or "bytes" end
      for _, field in ipairs(FIELDS) do
        if workload[field] then line[#line + 1] = field .. "=" .. tostring(workload[field]) end
      end
      print(table.concat(line, "\t"))
    end
  end
end

local function find(file, name)
  for _, workload in ipairs(load_workloads(file)) do
    if workload.name == name then return workload end
  end
  error("no workload '" .. name .. "' in " .. file)
end

local function empty_loop(_, count)
  for _ = 1, count do end
end

--- CPU time of `count` runs of `work`, in batches when the workload has them.
local function time(workload, work, state, count, refill)
  local batch, total = workload.batch or count, 0
  local left = count
  while left > 0 do
    local n = left < batch and left or batch
    if refill then refill(state) end
    local start = clock()
    work(state, n)
    total = total + (clock() - start)
    left = left - n
  end
  return total
end

local function run(file, name, count, warm)
  local workload = find(file, name)
  if workload.measure then
    print("value", workload.measure())
    return
  end
  if workload.serve then
    print("value", workload.serve(count, warm), 0)
    return
  end
  local state = workload.setup and workload.setup()
  time(workload, workload.op, state, warm, workload.refill)
  local bare = time(workload, workload.bare or empty_loop, state, count)
  collectgarbage()
  print("value", time(workload, workload.op, state, count, workload.refill), bare)
end

if arg[1] == "list" then
  list({ (table.unpack or unpack)(arg, 2) })
else
  run(arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]))
end

-- Runs cases of an area over whatever LuaSocket the interpreter loads, and prints their traces.
--
--     lua program.lua AREA FIRST LAST [STEP,STEP,...]   the seeds FIRST to LAST, without the steps named

local arg, assert, dofile, io, string, tonumber = arg, assert, dofile, io, string, tonumber
local pcall, tostring = pcall, tostring

-- Of a program that hangs the last line tells where.
io.stdout:setvbuf "line"

local folder = arg[0]:match("^(.-)[^/]*$")
local area, first, last = arg[1], tonumber(arg[2]), tonumber(arg[3])
local skipped = {}
for step in (arg[4] or ""):gmatch("%d+") do skipped[tonumber(step)] = true end

local case = dofile(folder .. "case.lua")
local play = assert(dofile(folder .. "areas/" .. area .. ".lua"))

for seed = first, last do
  io.write("= ", string.format("%d", seed), "\n")
  local g = case(area, seed, skipped)
  local ok, problem = pcall(play, g)
  if not ok then io.write("0 the area itself -> raises ", tostring(problem), "\n") end
end

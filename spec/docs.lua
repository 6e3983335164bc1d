-- The examples of the manual. Each Lua block of a page is run; what it prints must be what stands behind the `-->` of the
-- block, line by line.

local t = require "support"

-- The loop of tasks keeps its descriptor once it is loaded.
if not t.reference then require "socket.task" end

local PAGES = {
  "ltn12", "mime", "socket", "socket.dns", "socket.headers", "socket.serial", "socket.task", "socket.tcp", "socket.udp", "socket.unix",
  "socket.url",
}

local load = loadstring or load
local folder = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")

local function read(page)
  local file = assert(io.open(folder .. "../docs/" .. page .. ".md"))
  local text = file:read("*a")
  file:close()
  return text
end

-- Runs a block whose first line is line `line` of the page, and compares what it prints.
local function run(page, block, line)
  local name = page .. ".md"
  local printed, wanted = {}, {}
  for text in block:gmatch("%-%-> ?([^\n]*)") do wanted[#wanted + 1] = text end
  local function print(...)
    local words = t.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    printed[#printed + 1] = table.concat(words, "\t")
  end
  local chunk = t.ok(load(("\n"):rep(line - 1) .. "local print = ... " .. block, "@" .. name))
  chunk(print)
  for i = 1, math.max(#printed, #wanted) do
    t.equal(printed[i], wanted[i], name .. ", the block at line " .. line .. ", printed line " .. i)
  end
end

for _, page in ipairs(PAGES) do
  t.fix("the examples of " .. page, function()
    local text, at, count = read(page), 1, 0
    while true do
      local _, start, block, stop = text:find("\n```lua\n(.-)\n```()", at)
      if not start then break end
      local _, line = text:sub(1, start - #block):gsub("\n", "")
      run(page, block, line - 1)
      at, count = stop, count + 1
    end
    t.ok(count > 0)
  end)
end

t.done()

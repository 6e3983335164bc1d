-- Every module loads by its name alone, into a state in which nothing else was loaded.

local t = require "support"

local io, ipairs, require = io, ipairs, require

if t.reference then
  t.test("loading", function() t.skip "the modules listed are ours" end)
  t.done()
end

-- The list in the source is what `require` finds.
local function modules()
  local file = t.ok(io.open("binding/src/modules.rs"))
  local text = file:read "*a"
  file:close()
  local names = {}
  for name in text:match("pub const MODULES.*"):gmatch('c"([%w._]+)"') do names[#names + 1] = name end
  return names
end

local SCRIPT = [[
  local before = {}
  for name in pairs(_G) do before[name] = true end
  local result = require(...)
  for name in pairs(_G) do
    if not before[name] then print("sets the global " .. name) end
  end
  assert(package.loaded[...] == result)
  print(type(result))
]]

for _, name in ipairs(modules()) do
  t.test(name, function()
    local text, status = t.run(SCRIPT, name)
    local kind = text:match "^(%a+)\n$"
    t.ok(kind == "table" or kind == "function", text)
    t.equal(status, 0)
  end)
end

t.test("socket.core is socket", function()
  t.equal(require "socket", require "socket.core")
end)

t.done()

-- Every module loads by its name alone, into a state in which nothing else was loaded.

local t = require "support"

local io, ipairs, package, require = io, ipairs, package, require

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

-- Where the folder that the library lies in comes first in LUA_PATH, nothing else of the same names is found, and no
-- LUA_CPATH is needed.
local FROM_FOLDER = [[
  local folder, name = ...
  package.path, package.cpath = folder .. "/?.lua;" .. package.path, ""
  local core = require "socket.core"
  local result = require(name)
  assert(package.loaded[name] == result)
  print(type(result), core == require "socket")
]]

local folder = package.cpath:match "^([^;]*)/%?%.so$"

t.test("from its folder", function()
  if not folder then t.skip "the library is inside" end
  for _, name in ipairs(modules()) do
    local text, status = t.run(FROM_FOLDER, folder, name)
    t.ok(text == "table\ttrue\n" or text == "function\ttrue\n", name .. ": " .. text)
    t.equal(status, 0)
  end
end)

t.test("the libraries that others have, too, lie at the same places", function()
  if not folder then t.skip "the library is inside" end
  for _, name in ipairs { "mime/core", "socket/core", "socket/serial", "socket/unix" } do
    t.ok(io.open(folder .. "/" .. name .. ".so")):close()
  end
end)

t.test("socket.core is socket", function()
  t.equal(require "socket", require "socket.core")
end)

t.done()

-- Looks at a page and at everything it links to, and tells which links are broken.
--
--     luasocket examples/check-links.lua URL
--
-- Connections are kept, so that a page with a hundred links to one server costs one connection.

local http = require "socket.http"
local url = require "socket.url"

local start = assert(arg[1], "usage: check-links.lua URL")
local session = http.session { timeout = 20, maxbody = 10000000, headers = { ["user-agent"] = "check-links" } }

-- The addresses in a page, without fragments, each once.
local function links(page, base)
  local list, seen = {}, {}
  local function add(reference)
    local target = url.absolute(base, (reference:gsub("&amp;", "&"))):gsub("#.*$", "")
    if target:find("^https?://") and not seen[target] then
      seen[target] = true
      list[#list + 1] = target
    end
  end
  for _, attribute in ipairs { "[Hh][Rr][Ee][Ff]", "[Ss][Rr][Cc]" } do
    for _, value in page:gmatch("%s" .. attribute .. "%s*=%s*([\"'])(.-)%1") do add(value) end
  end
  return list
end

-- What is wrong with an address, or nil. Some servers do not know HEAD.
local function flaw(target)
  local body, code = session:head(target)
  if body and (code == 405 or code == 501) then body, code = session:get(target) end
  if not body then return code end
  if code >= 400 then return "status " .. code end
end

local page, code, headers = session:get(start)
if not page or code ~= 200 then
  io.stderr:write(start, ": ", tostring(code), "\n")
  os.exit(1)
end

local broken = 0
local list = links(page, (http.location(headers)))
for _, target in ipairs(list) do
  local problem = flaw(target)
  if problem then broken = broken + 1 end
  print(problem or "ok", target)
end
session:close()
print(("%d links, %d broken"):format(#list, broken))
os.exit(broken == 0 and 0 or 1)

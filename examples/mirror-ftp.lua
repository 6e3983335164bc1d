-- Copies a folder of an FTP server, with all below it, into a local one. Files that are there with the same size are left
-- alone; those that are there in part are completed.
--
--     luasocket examples/mirror-ftp.lua ftp://[USER:PASSWORD@]HOST/FOLDER LOCAL

local ftp = require "socket.ftp"
local ltn12 = require "ltn12"
local url = require "socket.url"

local address, target = arg[1], arg[2]
assert(target, "usage: mirror-ftp.lua ftp://[USER:PASSWORD@]HOST/FOLDER LOCAL")
local place = assert(url.parse(address))
if place.user then
  place.user, place.password = url.unescape(place.user), url.unescape(place.password or "")
end

-- A request for `path`, taken literally.
local function request(path, fields)
  fields.host, fields.port, fields.user, fields.password = place.host, place.port, place.user, place.password
  fields.argument = path
  return fields
end

local function size(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:seek("end")
  file:close()
  return bytes
end

local count = { copied = 0, kept = 0, failed = 0 }

local function copy(path, item, to)
  local have = size(to)
  if have and have == item.size then
    count.kept = count.kept + 1
    return
  end
  local offset = have and item.size and have < item.size and have or 0
  local file = assert(io.open(to, offset > 0 and "ab" or "wb"))
  local ok, err = ftp.get(request(path, { type = "i", offset = offset, sink = ltn12.sink.file(file) }))
  count[ok and "copied" or "failed"] = count[ok and "copied" or "failed"] + 1
  print(ok and "copied" or err, path)
end

-- A server must not choose where on our disk its files go.
local function harmless(name)
  return name ~= "" and name ~= "." and name ~= ".." and not name:find("[/\\%c]")
end

local function mirror(path, to)
  os.execute("mkdir -p '" .. to:gsub("'", "'\\''") .. "'")
  local items, err = ftp.list(request(path, {}))
  if not items then
    count.failed = count.failed + 1
    print(err, path)
    return
  end
  for _, item in ipairs(items) do
    local below = (path == "" and "" or path:gsub("/$", "") .. "/") .. item.name
    if not harmless(item.name) then
      print("skipped", below)
    elseif item.type == "dir" then
      mirror(below, to .. "/" .. item.name)
    else
      copy(below, item, to .. "/" .. item.name)
    end
  end
end

mirror(url.unescape(((place.path or ""):gsub("^/", ""))), target)
print(("%d copied, %d kept, %d failed"):format(count.copied, count.kept, count.failed))
os.exit(count.failed == 0 and 0 or 1)

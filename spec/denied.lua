-- What objects say when the system refuses: no free descriptor, no right. Each test is another process, with less.

local t = require "support"

-- Runs `script` with at most 16 descriptors; `fill` of the script takes all that are left.
local function run_poor(script)
  local path = t.script([[
    local socket = require "socket"
    local unix, serial = require "socket.unix", require "socket.serial"
    local taken = {}
    local function fill()
      repeat
        local file = io.open("/dev/null")
        taken[#taken + 1] = file
      until not file
    end
  ]] .. script)
  local output, status = t.shell("ulimit -n 16; exec " .. t.interpreter() .. " " .. t.quote(path))
  t.equal(status, 0, output)
  return output
end

t.test("constructors without a free descriptor", function()
  t.equal(run_poor [[
    fill()
    print(socket.udp4())
    print(socket.udp6())
    print(socket.tcp4())
    print(socket.tcp6())
    print(unix.stream())
    print(unix.dgram())
    print((select(2, serial("/dev/null"))))
    print(socket.udp():sendto("x", "127.0.0.1", 9))
    print(socket.udp():setsockname("127.0.0.1", 0))
    print(socket.udp():setpeername("127.0.0.1", 9))
    print(socket.tcp():connect("127.0.0.1", 9))
  ]], ("nil\tToo many open files\n"):rep(6) .. "Too many open files\n" .. ("nil\tToo many open files\n"):rep(4))
end)

t.test("accept on a Unix-domain socket without a free descriptor", function()
  local path = t.fresh_path()
  t.equal(run_poor("local path = " .. string.format("%q", path) .. [[
    local server, client = unix(), unix()
    assert(server:bind(path) and server:listen() and client:connect(path))
    fill()
    server:settimeout(1)
    print(server:accept())
    taken[1]:close()
    print(server:accept().class)
  ]]), "nil\tToo many open files\nunixstream{client}\n")
end)

t.test("objects work again when descriptors are free", function()
  t.equal(run_poor [[
    local object = socket.udp()
    fill()
    print(object:setsockname("127.0.0.1", 0))
    taken[1]:close()
    print(object:setsockname("127.0.0.1", 0) == 1)
  ]], "nil\tToo many open files\ntrue\n")
end)

t.test("select needs no descriptor, and no more than there are objects", function()
  t.equal(run_poor [[
    local list, many = {}, {}
    for i = 1, 5 do
      list[i] = socket.udp4()
      list[i]:setsockname("127.0.0.1", 0)
    end
    for i = 1, 300 do many[i] = list[i % 5 + 1] end
    fill()
    for _ = 1, 3 do
      print(select("#", socket.select(list, nil, 0)), select("#", socket.select(many, nil, 0)))
      local readable, writable = socket.select(many, many, 0)
      print(#readable, #writable)
    end
    list[3]:sendto("x", list[3]:getsockname())
    local readable, writable = socket.select(many, list)
    print(#readable, readable[1] == list[3], #writable)
    list[3]:close()
    print(#socket.select(many, nil, 0), #select(2, socket.select(nil, many, 0)))
  ]], ("3\t3\n0\t5\n"):rep(3) .. "1\ttrue\t5\n0\t4\n")
end)

t.test("no right to a path", function()
  local folder = t.fresh_folder()
  local device = t.write(t.fresh_path(), "")
  t.finally(function() t.shell("chmod 755 " .. folder) end)
  t.shell("chmod 000 " .. folder .. " " .. device)
  local script = t.script("local folder, device = " .. string.format("%q, %q", folder, device) .. [[
    local unix, serial = require "socket.unix", require "socket.serial"
    print(unix.stream():bind(folder .. "/socket"))
    print(unix.stream():connect(folder .. "/socket"))
    print(unix.dgram():bind(folder .. "/socket"))
    print(unix.dgram():connect(folder .. "/socket"))
    print(unix.dgram():sendto("x", folder .. "/socket"))
    print((select(2, serial(device))), (select(3, serial(device))) == 13)
  ]])
  -- Root has all rights, unless it drops them.
  local less = "exec setpriv --bounding-set -dac_override,-dac_read_search "
  if select(2, t.shell(less .. "true")) ~= 0 then less = "exec " end
  local output, status = t.shell(less .. t.interpreter() .. " " .. t.quote(script))
  t.equal(status, 0, output)
  if output:find("No such file", 1, true) then t.skip("the right cannot be dropped") end
  t.equal(output, ("nil\tpermission denied\n"):rep(5) .. "permission denied\ttrue\n")
end)

t.done()

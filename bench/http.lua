--- Requests over HTTP, each library by its own `socket.http`.
local http = require "socket.http"
local ltn12 = require "ltn12"
local memory = require "bench.lib.memory"
local peer = require "bench.lib.peer"

local MEGABYTES = 20
local SIZE = MEGABYTES * 1000000

local function server()
  return "http://127.0.0.1:" .. peer.http() .. "/"
end

--- What C LuaSocket cannot do is left out there: it makes a connection for each request.
local function kept(url)
  return { url = url, connection = "keep-alive" }
end

local function large(name, path, target)
  return {
    name = name .. " into a null sink",
    count = 5,
    bytes = SIZE,
    target = target,
    setup = server,
    op = function(url, n)
      local reqt = { url = url .. path .. SIZE }
      for _ = 1, n do assert(http.request(reqt)) end
    end,
  }
end

-- What streaming 100 MB adds to the memory of the process at most: some blocks, and those that wait for the collector.
local STREAM = 100 * 1000 * 1000

local function peak(name, request)
  return {
    name = "peak memory, 100 MB " .. name,
    only = "ours",
    limit = 4e6,
    rounds = 3,
    measure = function()
      local perform = request()
      collectgarbage()
      memory.reset_peak()
      local before = memory.resident()
      assert(perform())
      return memory.peak() - before
    end,
  }
end

-- A sink that sees what it forgets.
local function counting(count)
  return function(chunk)
    count = count - #(chunk or "")
    if chunk or count == 0 then return 1 end
    return nil, "not all has come"
  end
end

local function down(path)
  return function()
    local url = server() .. path .. STREAM
    return function() return http.request { url = url, decompress = true, sink = counting(STREAM) } end
  end
end

local function up()
  local url, block = server(), ("x"):rep(10000)
  return function()
    local left = STREAM / #block
    return http.request {
      url = url,
      method = "PUT",
      headers = { ["content-length"] = STREAM },
      source = function()
        left = left - 1
        return left >= 0 and block or nil
      end,
    }
  end
end

return {
  {
    name = "GET",
    cores = 1,
    count = 3000,
    target = 1.15,
    setup = server,
    op = function(url, n)
      for _ = 1, n do assert(http.request(url)) end
    end,
  },
  {
    name = "GET over a kept connection",
    cores = 1,
    count = 5000,
    target = 3,
    setup = function() return kept(server()) end,
    op = function(reqt, n)
      for _ = 1, n do assert(http.request(reqt)) end
    end,
  },
  {
    name = "POST",
    cores = 1,
    count = 3000,
    target = 1.15,
    setup = server,
    op = function(url, n)
      for _ = 1, n do assert(http.request(url, "name=value")) end
    end,
  },
  large("GET by length", "length/", 3),
  large("GET by chunks", "chunked/", 1.5),
  {
    name = "GET by length into a string",
    count = 5,
    bytes = SIZE,
    target = 1.5,
    setup = server,
    op = function(url, n)
      for _ = 1, n do
        local body = assert(http.request(url .. "length/" .. SIZE))
        assert(#body == SIZE)
      end
    end,
  },
  {
    name = "PUT from a source",
    count = 5,
    bytes = SIZE,
    setup = server,
    op = function(url, n)
      local block, blocks = ("x"):rep(10000), SIZE / 10000
      for _ = 1, n do
        local left = blocks
        assert(http.request {
          url = url,
          method = "PUT",
          headers = { ["content-length"] = SIZE },
          sink = ltn12.sink.null(),
          source = function()
            left = left - 1
            return left >= 0 and block or nil
          end,
        })
      end
    end,
  },
  peak("by length", down "length/"),
  peak("by chunks", down "chunked/"),
  peak("decompressed", down "gzip/"),
  peak("up", up),
}

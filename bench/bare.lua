--- What Lua itself costs, the same on both sides: their ratio shows how far the
--- machine can be trusted, their time what no library can go below.
return {
  {
    name = "bare: call of a C function",
    count = 5000000,
    op = function(state, n)
      local call = rawequal
      for _ = 1, n do call(state, state) end
    end,
  },
  {
    name = "bare: method of a userdata",
    count = 2000000,
    setup = function() return io.tmpfile() end,
    op = function(file, n)
      for _ = 1, n do file:setvbuf("full") end
    end,
  },
  {
    name = "bare: string of 1000 bytes",
    count = 3000000,
    setup = function() return ("x"):rep(1001) end,
    op = function(data, n)
      local sub = data.sub
      for _ = 1, n do sub(data, 2) end
    end,
  },
}

-- ltn12: networks of sources, filters and sinks, pumped; wrong arguments.

local ltn12 = require "ltn12"
local source, sink, filter, pump = ltn12.source, ltn12.sink, ltn12.filter, ltn12.pump

local WORDS = { "a", "bc", "\n", "", "defgh", " ", "\0", "xyz" }
local ODD = { n = 6, nil, false, 12, "s", true, {} }

return function(g)
  local function chunks(n)
    local list = {}
    for i = 1, g.int(0, n) do list[i] = g.text(WORDS, 4) end
    return list
  end

  local function upper(chunk)
    return chunk and chunk:upper()
  end

  -- Answers two bytes at a time.
  local function slow()
    local rest = ""
    return function(chunk)
      rest = rest .. (chunk or "")
      local head = rest:sub(1, 2)
      rest = rest:sub(3)
      if chunk == nil and head == "" then return nil end
      return head
    end
  end

  -- Answers all at the end.
  local function late()
    local parts, done = {}, false
    return function(chunk)
      if chunk then
        parts[#parts + 1] = chunk
        return ""
      end
      local all = table.concat(parts)
      parts = {}
      if done or all == "" then return nil end
      done = true
      return all
    end
  end

  local function cycle()
    return filter.cycle(function(context, chunk, extra)
      if chunk == nil then return nil, 0 end
      return chunk .. (chunk == "" and "" or context .. extra), context + 1
    end, 0, "!")
  end

  local FILTERS = { function() return upper end, slow, late, cycle }

  local function a_filter(depth)
    if depth > 0 and g.chance(30) then
      local list = {}
      for i = 1, g.int(1, 3) do list[i] = a_filter(depth - 1) end
      return filter.chain((table.unpack or unpack)(list))
    end
    return g.pick(FILTERS)()
  end

  local a_source
  local SOURCES = {
    empty = function() return source.empty() end,
    error = function() return source.error(g.pick { "broken", 12, "closed" }) end,
    string = function() return source.string(g.pick { g.text(WORDS, 9), ("long "):rep(g.int(0, 1500)), 1234, false }) end,
    table = function() return source.table(chunks(4)) end,
    failing = function()
      local list, i = chunks(3), 0
      return function()
        i = i + 1
        if list[i] then return list[i] end
        return nil, "failed"
      end
    end,
    file = function()
      local file = io.tmpfile()
      file:write(g.text(WORDS, 20))
      file:seek("set")
      return source.file(file)
    end,
    no_file = function() return source.file(nil, g.pick { n = 2, nil, "no such file" }) end,
    cat = function(depth)
      local list = {}
      for i = 1, g.int(0, 3) do list[i] = a_source(depth - 1) end
      return source.cat((table.unpack or unpack)(list))
    end,
    chain = function(depth) return source.chain(a_source(depth - 1), a_filter(1)) end,
    rewind = function(depth)
      local s = source.rewind(a_source(depth - 1))
      s(g.text(WORDS, 2))
      s("second")
      return s
    end,
    simplify = function(depth)
      local following = a_source(depth - 1)
      local done
      return source.simplify(function()
        if done then return nil end
        done = true
        return "first", following
      end)
    end,
  }
  local LEAVES = { empty = 1, error = 1, string = 3, table = 5, failing = 1, file = 1, no_file = 1 }
  local ALL = { empty = 1, error = 1, string = 2, table = 3, failing = 1, file = 1, no_file = 1, cat = 4, chain = 5, rewind = 2, simplify = 2 }

  function a_source(depth)
    return SOURCES[g.choose(depth > 0 and ALL or LEAVES)](depth)
  end

  -- The C library's `sink.chain` hands the filter's "" on to its sink, ours does not: no sink below one may tell.
  local function a_sink(depth, below)
    local fussy = below and 0 or 1
    local kind = g.choose {
      table = 5, null = 1, file = 1, simplify = fussy, quiet = 1, error = fussy, no_file = fussy, refuse = fussy, chain = depth > 0 and 4 or 0,
    }
    local out = {}
    if kind == "table" then return (sink.table(out)), out end
    if kind == "null" then return sink.null(), out end
    if kind == "error" then return sink.error("full"), out end
    if kind == "file" then return sink.file(io.tmpfile()), out end
    if kind == "no_file" then return sink.file(nil, g.pick { n = 2, nil, "cannot" }), out end
    if kind == "refuse" then
      local left = g.int(0, 3)
      return function(chunk, problem)
        out[#out + 1] = { chunk == nil and "end" or chunk, problem }
        left = left - 1
        if left < 0 then return nil, "refused" end
        return 1
      end, out
    end
    if kind == "chain" then
      local inner, list = a_sink(depth - 1, true)
      return sink.chain(a_filter(1), inner), list
    end
    if kind == "simplify" then
      return sink.simplify(function(chunk)
        out[#out + 1] = chunk
        return 1, (sink.table(out))
      end), out
    end
    return function(chunk)
      if chunk and chunk ~= "" then out[#out + 1] = chunk end
      return true
    end, out
  end

  local function without_empty(list)
    local kept = {}
    for _, chunk in ipairs(list) do kept[#kept + 1] = chunk ~= "" and chunk or nil end
    return kept
  end

  local function pumped()
    local src = a_source(3)
    local snk, out = a_sink(2)
    g.call("all", pump.all, src, snk, g.pick { n = 2, nil, pump.step })
    g.log("out", without_empty(out))
  end

  local function pulled()
    local src = a_source(3)
    for _ = 1, g.int(1, 6) do
      local chunk, problem = g.call("source", src)
      if chunk == nil then return g.log("end", problem) end
    end
  end

  local function fed()
    local f = a_filter(2)
    for _ = 1, g.int(1, 4) do
      local answer = g.call("filter", f, g.text({ "a", "bc", "def" }, 3))
      local tries = 0
      while answer ~= "" and answer ~= nil and tries < 20 do
        answer = g.call("filter", f, "")
        tries = tries + 1
      end
    end
    local tries = 0
    while g.call("filter", f, nil) ~= nil and tries < 20 do tries = tries + 1 end
  end

  local function pushed()
    local snk, out = a_sink(2)
    for _ = 1, g.int(1, 4) do
      if not g.call("sink", snk, g.text(WORDS, 3)) then break end
    end
    g.call("sink", snk, nil, g.pick { n = 2, nil, "broken" })
    g.log("out", without_empty(out))
  end

  local function stepped()
    local src = a_source(2)
    local snk, out = a_sink(1)
    for _ = 1, g.int(1, 4) do
      if not g.call("step", pump.step, src, snk) then break end
    end
    g.log("out", without_empty(out))
  end

  local GROUPS = {
    { "source", source, { "cat", "chain", "empty", "error", "file", "rewind", "simplify", "string", "table" } },
    { "sink", sink, { "chain", "error", "file", "null", "simplify", "table" } },
    { "filter", filter, { "chain", "cycle" } },
    { "pump", pump, { "all", "step" } },
  }

  -- The C library finds some wrong arguments only when what was made is called: what counts is that both find them.
  local function wrong()
    local group = g.pick(GROUPS)
    local name = g.pick(group[3])
    local first, second, third = g.pick(ODD), g.pick(ODD), g.pick(ODD)
    g.call("wrong " .. group[1] .. "." .. name, function()
      local made = group[2][name](first, second)
      return type(made) == "function" and made(third)
    end)
  end

  local DO = { pumped = pumped, pulled = pulled, fed = fed, pushed = pushed, stepped = stepped, wrong = wrong }
  for _ = 1, 4 do DO[g.choose { pumped = 4, pulled = 2, fed = 2, pushed = 2, stepped = 1, wrong = 3 }]() end
end

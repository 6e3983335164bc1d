--- Chunks pumped from a source to a sink, as they are and through filters that do nothing.
local ltn12 = require "ltn12"

-- A source of `n` chunks.
local function repeated(n)
  return function()
    if n > 0 then
      n = n - 1
      return "chunk"
    end
  end
end

local function identity(chunk)
  return chunk
end

return {
  {
    name = "pump, pass-through",
    count = 5000000,
    target = 1,
    op = function(_, n) ltn12.pump.all(repeated(n), ltn12.sink.null()) end,
  },
  {
    name = "pump, a source behind one filter",
    count = 1500000,
    target = 1,
    op = function(_, n) ltn12.pump.all(ltn12.source.chain(repeated(n), identity), ltn12.sink.null()) end,
  },
  {
    name = "pump, a source behind a chain of two",
    count = 700000,
    target = 1,
    op = function(_, n)
      ltn12.pump.all(ltn12.source.chain(repeated(n), identity, identity), ltn12.sink.null())
    end,
  },
  {
    name = "pump, a sink behind a chain of two",
    count = 700000,
    target = 1,
    op = function(_, n)
      ltn12.pump.all(repeated(n), ltn12.sink.chain(identity, identity, ltn12.sink.null()))
    end,
  },
  {
    name = "pump, a filter made by cycle",
    count = 1500000,
    target = 1,
    op = function(_, n)
      local filter = ltn12.filter.cycle(function(ctx, chunk) return chunk, ctx end)
      ltn12.pump.all(ltn12.source.chain(repeated(n), filter), ltn12.sink.null())
    end,
  },
}

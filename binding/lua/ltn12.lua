--- Filters, sources, sinks and pumps: streams as functions.
--
-- A source answers a chunk, or nil at the end, or nil and a message. A sink takes a chunk, or nil and perhaps a message, and
-- answers true, or nil and a message. A filter takes a chunk, "" when asked for more output, or nil at the end; it answers a
-- chunk, "" when it wants more input, or nil when it has ended. Beyond LuaSocket, a filter may fail: nil and a message.
--
-- Everything here is Lua, and may yield wherever it calls a source, a filter, a sink or a file.

local error, getmetatable, select, type = error, getmetatable, select, type
local sub = string.sub

local filter, source, sink, pump = {}, {}, {}, {}

local M = {
  _VERSION = "LTN12 1.0.3",
  BLOCKSIZE = 2048,
  filter = filter,
  source = source,
  sink = sink,
  pump = pump,
}

local EARLY_NIL = "filter returned inappropriate nil"
local LATE_EMPTY = 'filter returned ""'

local function is_callable(value)
  if type(value) == "function" then return true end
  local meta = getmetatable(value)
  return meta ~= nil and (type(meta) ~= "table" or meta.__call ~= nil)
end

-- Raises for argument `position` of the function `name`. Blames the caller of that function, which calls this one directly
-- unless `level` says otherwise.
local function bad(position, name, wanted, value, level)
  local message = "bad argument #%d to '%s' (%s expected, got %s)"
  error(message:format(position, name, wanted, type(value)), level or 3)
end

local function check(value, position, name)
  if not is_callable(value) then bad(position, name, "function", value, 4) end
end

local function check_filters(filters, count, position, name)
  if count < 1 then bad(position, name, "function", nil, 4) end
  for i = 1, count do
    if not is_callable(filters[i]) then bad(position + i - 1, name, "function", filters[i], 4) end
  end
end

local function check_handle(handle)
  local kind = type(handle)
  if kind ~= "userdata" and kind ~= "table" then bad(1, "file", "file", handle, 4) end
end

-- Filters ------------------------------------------------------------------------------------------------------------

--- A filter around `low(ctx, chunk, extra)`, which answers a chunk and the next context.
function filter.cycle(low, ctx, extra)
  check(low, 1, "cycle")
  return function(chunk)
    local out
    out, ctx = low(ctx, chunk, extra)
    return out
  end
end

-- One filter of `count` stages.
--
-- `first` is the earliest stage that has not ended, `at` the one to call next, `feed` what a stage gets when those behind it
-- want more: "" until the end has come, then nil. When all have ended it begins anew.
local function combine(stages, count)
  local first, at, feed = 1, 1, ""
  return function(chunk)
    if chunk == nil then feed = nil end
    while true do
      if at == first then
        local out, problem = stages[at](chunk)
        if out == "" or (out and at == count) then return out end
        if out then
          at = at + 1
        elseif problem then
          return nil, problem
        elseif at == count then
          if feed == nil then first, at, feed = 1, 1, "" end
          return nil
        else
          first = first + 1
          at = first
          out = nil
        end
        chunk = out
      else
        local out, problem = stages[at](chunk or "")
        if out == "" then
          at = at - 1
          chunk = feed
        elseif not out then
          if problem then return nil, problem end
          error(EARLY_NIL)
        elseif at == count then
          return out
        else
          at = at + 1
          chunk = out
        end
      end
    end
  end
end

--- One filter of several.
function filter.chain(...)
  local filters, count = { ... }, select("#", ...)
  check_filters(filters, count, 1, "chain")
  return combine(filters, count)
end

-- Sources ------------------------------------------------------------------------------------------------------------

local function nothing()
  return nil
end

--- The source that has ended.
function source.empty()
  return nothing
end

--- A source that fails.
function source.error(err)
  return function()
    return nil, err
  end
end

--- The contents of an open file, which is closed at the end. Takes the results of `io.open`.
function source.file(handle, io_err)
  if not handle then return source.error(io_err or "unable to open file") end
  check_handle(handle)
  local problem
  return function()
    if handle then
      local chunk
      chunk, problem = handle:read(M.BLOCKSIZE)
      if chunk then return chunk end
      handle:close()
      handle = nil
    end
    if problem then return nil, problem end
    return nil
  end
end

--- The bytes of a string.
function source.string(s)
  if not s then return nothing end
  if type(s) ~= "string" and type(s) ~= "number" then bad(1, "string", "string", s) end
  local at = 1
  return function()
    local chunk = sub(s, at, at + M.BLOCKSIZE - 1)
    at = at + M.BLOCKSIZE
    if chunk ~= "" then return chunk end
    return nil
  end
end

--- The elements of a table, as they are when their turn comes.
function source.table(t)
  if type(t) ~= "table" then bad(1, "table", "table", t) end
  local at = 0
  return function()
    at = at + 1
    return t[at]
  end
end

--- A simple source of a fancy one, which may answer its successor together with a chunk.
function source.simplify(src)
  check(src, 1, "simplify")
  local problem
  return function()
    if problem then return nil, problem end
    local chunk, other = src()
    if chunk or is_callable(other) then
      src = other or src
    else
      problem = other
    end
    if not chunk then return nil, other end
    return chunk
  end
end

--- A source that takes chunks back: `src(chunk)`. The last comes first.
function source.rewind(src)
  check(src, 1, "rewind")
  local stack, top = {}, 0
  return function(chunk)
    if chunk then
      top = top + 1
      stack[top] = chunk
      return
    end
    if top == 0 then return src() end
    chunk = stack[top]
    stack[top] = nil
    top = top - 1
    return chunk
  end
end

--- One source after the other. The list ends at the first nil.
function source.cat(...)
  local sources, count = { ... }, 0
  while sources[count + 1] ~= nil do
    count = count + 1
    check(sources[count], count, "cat")
  end
  local at = 1
  return function()
    while at <= count do
      local chunk, err = sources[at]()
      if chunk then return chunk end
      if err then return nil, err end
      at = at + 1
    end
  end
end

--- What a source gives, through one or more filters.
--
-- While `draining`, the filter is asked for more with `token`: "" in the midst, nil at the end.
function source.chain(src, ...)
  check(src, 1, "chain")
  local filters, count = { ... }, select("#", ...)
  check_filters(filters, count, 2, "chain")
  local f = count == 1 and filters[1] or combine(filters, count)
  local draining, token, ended = false, "", false
  return function()
    while not ended do
      local chunk, err = token, nil
      if not draining then
        chunk, err = src()
        if err then return nil, err end
        chunk = chunk or nil
      end
      local out, problem = f(chunk)
      if not out then
        if problem then return nil, problem end
        if chunk then error(EARLY_NIL, 2) end
        ended = true
      elseif out ~= "" then
        if not chunk then token = nil end
        draining = true
        return out
      elseif chunk then
        draining = false
      else
        error(LATE_EMPTY, 2)
      end
    end
    return nil
  end
end

-- Sinks --------------------------------------------------------------------------------------------------------------

local function accept()
  return 1
end

--- The sink that forgets.
function sink.null()
  return accept
end

--- A sink that fails.
function sink.error(err)
  return function()
    return nil, err
  end
end

--- A sink that collects chunks in a table, which is the second result.
function sink.table(t)
  if t == nil then t = {} end
  if type(t) ~= "table" then bad(1, "table", "table", t) end
  return function(chunk)
    if chunk then t[#t + 1] = chunk end
    return 1
  end, t
end

--- A sink that writes to an open file and closes it at the end. Takes the results of `io.open`.
function sink.file(handle, io_err)
  if not handle then return sink.error(io_err or "unable to open file") end
  check_handle(handle)
  return function(chunk)
    if chunk then return handle:write(chunk) end
    local ok, err = handle:close()
    if not ok and err then return nil, err end
    return 1
  end
end

--- A simple sink of a fancy one, which may answer its successor.
function sink.simplify(snk)
  check(snk, 1, "simplify")
  return function(chunk, err)
    local ok, other = snk(chunk, err)
    if not ok then return nil, other end
    snk = other or snk
    return 1
  end
end

--- A sink behind one or more filters; the sink is the last argument.
--
-- At the end, each of the last pieces comes with `err`, then nil with `err`.
function sink.chain(...)
  local filters, count = { ... }, select("#", ...) - 1
  check_filters(filters, count, 1, "chain")
  local snk = filters[count + 1]
  check(snk, count + 1, "chain")
  local f = count == 1 and filters[1] or combine(filters, count)
  return function(chunk, err)
    if chunk == "" then return 1 end
    chunk = chunk or nil
    local token = chunk and ""
    while true do
      local out, problem = f(chunk)
      if out == "" then
        if token then return 1 end
        error(LATE_EMPTY, 2)
      end
      if not out then
        if problem then
          snk(nil, err or problem)
          return nil, problem
        end
        if token then error(EARLY_NIL, 2) end
      end
      local ok, refusal = snk(out, err)
      if not ok then return nil, refusal end
      if not out then return 1 end
      chunk = token
    end
  end
end

-- Pumps --------------------------------------------------------------------------------------------------------------

--- Moves one chunk from source to sink. Answers 1, or nil at the end, or nil and a message.
function pump.step(src, snk)
  local chunk, source_err = src()
  local ok, sink_err = snk(chunk, source_err)
  if chunk and ok then return 1 end
  return nil, source_err or sink_err
end

local built_in_step = pump.step

-- What repeating the built-in step does; a sink that refuses without a message is no success.
local function move(src, snk)
  while true do
    local chunk, source_err = src()
    local ok, sink_err = snk(chunk, source_err)
    if not (chunk and ok) then
      local err = source_err or sink_err or chunk and "sink closed"
      if err then return nil, err end
      return 1
    end
  end
end

--- Moves everything from source to sink. Answers 1, or nil and a message.
function pump.all(src, snk, step)
  check(src, 1, "all")
  check(snk, 2, "all")
  step = step or pump.step
  if step == built_in_step then return move(src, snk) end
  check(step, 3, "all")
  while true do
    local ok, err = step(src, snk)
    if not ok then
      if err then return nil, err end
      return 1
    end
  end
end

return M

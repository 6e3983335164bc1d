--- `ssl.context`: contexts, step by step. All functions but `create`, `setmode` and those for functions of the program
-- return true, or false and a message.

local config = require "ssl.config"
local native = require("ssl.native").context

local error, ipairs, select, setmetatable, type = error, ipairs, select, setmetatable, type
local string = string

local M = {
  checkkey = native.checkkey,
  create = native.create,
  loadcert = native.loadcert,
  setcipher = native.setcipher,
  setciphersuites = native.setciphersuites,
  setcurve = native.setcurve,
  setcurveslist = native.setcurveslist,
  setdepth = native.setdepth,
  setmode = native.setmode,
  setverify = native.setverify,
}

function M.locations(ctx, cafile, capath)
  return native.locations(ctx, cafile, capath)
end

local function check(name, ctx)
  if not native.is(ctx) then error("bad argument #1 to '" .. name .. "' (SSL:Context expected, got " .. type(ctx) .. ")", 3) end
end

local LOCKED = "error loading private key (password required)"

-- A function is asked only if there is something to unlock.
function M.loadkey(ctx, path, password)
  local kind = type(password)
  if kind ~= "function" then
    if password ~= nil and kind ~= "string" then error("invalid callback value", 2) end
    return native.loadkey(ctx, path, password)
  end
  local ok, err = native.loadkey(ctx, path)
  if ok or err ~= LOCKED then return ok, err end
  local answer = password()
  if type(answer) ~= "string" then return false, "error loading private key (bad password read)" end
  return native.loadkey(ctx, path, string.sub(answer, 1, 1023))
end

function M.setoptions(ctx, ...)
  check("setoptions", ctx)
  for i = 1, select("#", ...) do
    local name = select(i, ...)
    if type(name) ~= "string" and type(name) ~= "number" then
      error("bad argument #" .. (i + 1) .. " to 'setoptions' (string expected, got " .. type(name) .. ")", 2)
    end
    if not config.options[name] then return false, "invalid option (" .. name .. ")" end
  end
  for _, name in ipairs { ... } do
    local ok, err = native.setoption(ctx, name)
    if not ok then return false, err end
  end
  return true
end

-- There are no suites that would ask for parameters.
function M.setdhparam(ctx)
  check("setdhparam", ctx)
end

-- What functions choose among the protocols that a client offers, by context.
local choosers = setmetatable({}, { __mode = "k" })

function M.setalpn(ctx, wire)
  return native.setalpn(ctx, wire)
end

function M.setalpncb(ctx, choose)
  check("setalpncb", ctx)
  choosers[ctx] = choose
  return true
end

--- Private: what `setalpncb` has set.
function M.chooser(ctx)
  return choosers[ctx]
end

return M

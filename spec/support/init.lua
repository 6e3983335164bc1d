-- The harness of the behaviour tests.
--
--     LUA_PATH="spec/?/init.lua;;" lua5.4 spec/tcp.lua [PART OF A TEST'S NAME]
--
-- A test file begins with `local t = require "support"` and ends with `t.done()`. Between the two stand calls of
--
--     t.test(name, fn [, seconds])    one test; it is run at once
--     t.fix(name, fn [, seconds])     the same for behaviour in which we differ, on purpose, from the C library
--     t.skip(reason)                  inside a test: give up, it counts as skipped
--
-- A test fails when it raises, leaves a descriptor open (after a full collection), sets a global or takes longer than its
-- time (10 seconds unless said otherwise). With LUASOCKET_REFERENCE=1 the library under test is the C library; then
-- `t.reference` is true and every `t.fix` is skipped. With SPEC_VERBOSE=1 each test is announced.
--
-- The checks are described in check.lua, sockets and events in net.lua, lists for select in sets.lua, other processes in
-- child.lua and programs.lua, files in files.lua, played peers in peer.lua, the ways of a request in requests.lua,
-- networks in namespace.lua, certificates and TLS in certificates.lua and tls.lua.

local debug, io, os, package, print, string = debug, io, os, package, print, string
local assert, error, getmetatable, ipairs, loadfile, pairs = assert, error, getmetatable, ipairs, loadfile, pairs
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local G = _G

-- The tests of a module bear its name: `require "socket"` must not find spec/socket.lua.
package.path = (";" .. package.path .. ";"):gsub(";%.?/?spec/%?%.lua;", ";"):gsub("^;+", ""):gsub(";+$", "")

-- What is printed before a file overruns its time is not lost.
io.stdout:setvbuf "line"

local folder = debug.getinfo(1, "S").source:match("^@(.-)[^/]*$")

local M = {
  reference = os.getenv("LUASOCKET_REFERENCE") == "1",
}

local function part(name)
  return assert(loadfile(folder .. name))(M)
end

local function include(name)
  for key, value in pairs(part(name)) do M[key] = value end
end

local state = part "state.lua"
M.lua = part "version.lua"
M.closing, M.finally = state.closing, state.finally
include "check.lua"
include "net.lua"
include "sets.lua"
include "child.lua"
include "programs.lua"
include "files.lua"
include "peer.lua"
include "requests.lua"
include "namespace.lua"
include "memory.lua"
include "tasks.lua"
include "certificates.lua"
include "tls.lua"

local count = { passed = 0, failed = 0, skipped = 0 }
local failures = {}
local filter = G.arg and G.arg[1]
local verbose = os.getenv("SPEC_VERBOSE") == "1"
local DEFAULT_SECONDS = 10

local Skip = { __name = "skip", __tostring = function(self) return "skipped, because " .. self.reason end }

function M.skip(reason)
  error(setmetatable({ reason = reason }, Skip), 0)
end

local function is_skip(problem)
  return type(problem) == "table" and getmetatable(problem) == Skip
end

local function explain(problem)
  if is_skip(problem) then return problem end
  local text = type(problem) == "string" and problem or "raised " .. M.show(problem)
  return debug.traceback(text, 2)
end

local function matches(name)
  return not filter or string.find(name, filter, 1, true) ~= nil
end

local function skipped(name, problem)
  count.skipped = count.skipped + 1
  print(name .. ": " .. tostring(problem))
end

local function failed(name, problem)
  count.failed = count.failed + 1
  failures[#failures + 1] = "FAILED " .. name .. "\n" .. tostring(problem)
  print("FAILED " .. name)
end

function M.test(name, fn, seconds)
  if not matches(name) then return end
  if verbose then print(name) end
  local before = state.record()
  local ok, problem = xpcall(fn, explain)
  state.release()
  local change = state.compare(before, seconds or DEFAULT_SECONDS)
  if not ok and is_skip(problem) then
    skipped(name, problem)
  elseif not ok then
    failed(name, problem)
  elseif change then
    failed(name, change)
  else
    count.passed = count.passed + 1
  end
end

function M.fix(name, fn, seconds)
  if not M.reference then return M.test(name, fn, seconds) end
  if not matches(name) then return end
  count.skipped = count.skipped + 1
  if verbose then print(name .. ": skipped, because the C library differs") end
end

-- Prints the failures and the closing line, and ends the process: 0 if nothing failed, else 1.
function M.done()
  for _, failure in ipairs(failures) do print("\n" .. failure) end
  if #failures > 0 then print() end
  print(string.format("%d passed, %d failed, %d skipped", count.passed, count.failed, count.skipped))
  io.stdout:flush()
  -- LuaJIT takes a closure whose making ran out of memory for a smaller one when it frees it. No harm is done, but its
  -- assertions count when the state is closed.
  local miscounted = M.lua.jit and package.loaded["luasocket.alloc"]
  os.exit(count.failed == 0 and 0 or 1, not miscounted)
end

return M

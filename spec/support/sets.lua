-- Lists for select, and what it must answer. The members are UDP objects that are bound to the loopback interface, with
-- timeout 0; each is one descriptor, and each can be made readable.
--
--     member()                                      one object
--     members(n)                                    a list of n objects, which are closed when the test ends
--     poke(object [, text])                         sends the object a datagram, which arrives at once
--     selected(readable, writable, list [, writers [, time]])
--                                                   select answers exactly these objects, in any order (5 seconds)
--     nothing_selected(list [, writers [, time]])   select answers nothing, after that time (0)

local assert, ipairs, pairs, require = assert, ipairs, pairs, require

local support = ...
local PATIENCE = 5
local M = {}

function M.member()
  local object = assert(require "socket".udp4())
  assert(object:setsockname("127.0.0.1", 0))
  object:settimeout(0)
  return object
end

function M.members(n)
  local list = {}
  for i = 1, n do list[i] = support.closing(M.member()) end
  return list
end

function M.poke(object, text)
  local _, port = object:getsockname()
  assert(object:sendto(text or "x", "127.0.0.1", port))
end

local function check_result(expected, actual, what)
  support.equal(#actual, #expected, what)
  local keys = 0
  for _, object in ipairs(expected) do support.equal(actual[actual[object]], object, what) end
  for _ in pairs(actual) do keys = keys + 1 end
  support.equal(keys, 2 * #expected, what .. ", keys")
end

function M.selected(readable, writable, list, writers, time)
  local r, w = support.returns(2, require "socket".select(list, writers, time or PATIENCE))
  check_result(readable, r, "readable objects")
  check_result(writable, w, "writable objects")
end

function M.nothing_selected(list, writers, time)
  support.returns({ {}, {}, "timeout" }, require "socket".select(list, writers, time or 0))
end

return M

-- The two ways of a request: one that asks for no more than a URL goes another than one with a timeout.
--
--     fix_both(name, fn)  as `fix`, once for each; the requests of `fn` have `seconds` as their timeout
--     seconds             that of the test that runs, or nil

local ipairs = ipairs

local support = ...
local M = {}

function M.fix_both(name, fn)
  for _, given in ipairs { 5, false } do
    support.fix(name .. (given and "" or ", bare"), function()
      support.seconds = given or nil
      fn()
    end)
  end
end

return M

--- The `socket` namespace.
local M = {}
return M

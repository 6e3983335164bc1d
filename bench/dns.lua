--- Names that need no look-up.
local socket = require "socket"

return {
  {
    name = "dns.toip of a literal",
    count = 30000,
    target = 150,
    op = function(_, n)
      local toip = socket.dns.toip
      for _ = 1, n do toip("127.0.0.1") end
    end,
  },
}

-- socket.mbox: parts of mailboxes in any order.

local mbox = require "socket.mbox"

-- Whole lines, as mailboxes have them. The C library folds only after blanks, takes any colon for a header's, and keeps the
-- envelope line of the first message; there we differ on purpose.
local LINES = { "a: 1\n", "A-b:2\n", "Subject: x\n", "a: 3\n folded\n", "\n", "\r\n", "body\n", "\195\169 \0\n", "h: u: v\n", "e:\n" }
local ADDRESSES = { "joe@x.test", "Joe <joe@x.test>", '"Joe D" <joe@x.test>', "<joe@x.test>", " Joe", "Joe <>", "a <b> c <d>", "", " a " }
local NAMES = { "parse_message", "split_message", "split_headers", "parse_headers" }

return function(g)
  for _ = 1, 10 do
    local name = g.pick(NAMES)
    local text = g.text(LINES, 9)
    if g.chance(5) then text = g.pick { n = 4, nil, 12, true, {} } end
    g.call(name, mbox[name], text)
    g.call("parse_from", mbox.parse_from, g.pick(ADDRESSES))
    g.call("parse_header", mbox.parse_header, g.pick(LINES))
    g.call("parse", function(text)
      local messages = mbox.parse(text)
      -- We keep the line, too.
      for _, message in ipairs(messages) do message.envelope = nil end
      return messages
    end, "h: 1\n\n" .. g.text(LINES, 3) .. "\nFrom b\n" .. g.text(LINES, 3))
  end
end

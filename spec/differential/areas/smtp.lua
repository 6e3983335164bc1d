-- socket.smtp and socket.tp against a server that answers from a script; messages of every shape.

local smtp = require "socket.smtp"
local tp = require "socket.tp"
local ltn12 = require "ltn12"

smtp.DOMAIN = "me.test"

local GOOD = { "250 ok", "250 ok", "250-first\r\n250 last", "251 fine" }
local BAD = { "550 no", "450-a\r\n450 later", "xyz", "25", "", "250-open", "354 odd", "250x", "250-a\r\n251 b\r\n250 c" }
local WORDS = { "line\r\n", ".", "..\r\n", "\r\n", "text", "\r\n.\r\n", "a.b" }

return function(g)
  local function connection(replies, log)
    local object, at = {}, 1
    local text = table.concat(replies)
    function object:settimeout() return 1 end
    function object:connect(host, port)
      log[#log + 1] = ("connect %s %s\n"):format(host, port)
      return 1
    end
    function object:send(data, i, j)
      i, j = i or 1, j or -1
      local part = data:sub(i, j)
      log[#log + 1] = part
      return i - 1 + #part
    end
    function object:receive(pattern)
      if pattern ~= nil and pattern ~= "*l" then error("receive " .. tostring(pattern)) end
      local line, last = text:match("^([^\n]*)\n()", at)
      if not line then return nil, "closed", "" end
      at = last
      return (line:gsub("\r", ""))
    end
    function object:close()
      log[#log + 1] = not object.closed and "close\n" or nil
      object.closed = true
      return 1
    end
    function object:getpeername() return "1.2.3.4", 25 end
    function object:getfd() return -1 end
    function object:dirty() return false end
    return object
  end

  -- To a refused EHLO we say HELO, and what is answered to QUIT means nothing to us.
  local function replies(list, percent)
    local all = {}
    for i, reply in ipairs(list) do
      local spoilt = percent > 0 and i ~= 2 and i ~= #list and g.chance(percent)
      all[i] = (spoilt and g.pick(BAD) or reply) .. "\r\n"
    end
    return all
  end

  local function message_body()
    return g.text(WORDS, 6)
  end

  local function sends()
    local log = {}
    local rcpt = g.pick { "<a@x.test>", { "<a@x.test>" }, { "<a@x.test>", "<b@x.test>" } }
    local n = type(rcpt) == "table" and #rcpt or 1
    local auth = g.pick { n = 3, nil, "AUTH LOGIN", "AUTH PLAIN" }
    local list = { "220 hello", auth and "250-me\r\n250 " .. auth or g.pick { "250 me", "250-me\r\n250 HELP" } }
    if auth == "AUTH LOGIN" then
      list[#list + 1], list[#list + 2], list[#list + 3] = "334 user", "334 pass", "235 ok"
    elseif auth then
      list[#list + 1] = "235 ok"
    end
    list[#list + 1] = g.pick(GOOD)
    for _ = 1, n do list[#list + 1] = g.pick(GOOD) end
    list[#list + 1], list[#list + 2], list[#list + 3] = "354 go", g.pick(GOOD), "221 bye"
    local script = replies(list, 4)
    g.log("replies", script)
    g.call("send", smtp.send, {
      from = "<me@x.test>", rcpt = rcpt, user = auth and "user", password = auth and "secret", server = "mail.test", port = g.pick { n = 2, nil, 2525 },
      -- The C library ends a line that has ended once more.
      source = ltn12.source.string(message_body() .. "end"), domain = g.pick { n = 2, nil, "you.test" },
      create = function() return connection(script, log) end,
    })
    g.log("sent", table.concat(log))
  end

  local function head(block)
    local lines = {}
    for line in (block .. "\r\n"):gmatch("(.-)\r\n") do
      local name = line:match("^[^:]*"):lower()
      if name ~= "date" and name ~= "x-mailer" and name ~= "message-id" then lines[#lines + 1] = name .. line:sub(#name + 1) end
    end
    table.sort(lines)
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
  end

  -- The order of the lines of a head is not defined; dates and boundaries differ; we add an id.
  local function normal(text)
    local n = 0
    for boundary in text:gmatch('boundary="([^"]+)"') do
      n = n + 1
      text = text:gsub(boundary:gsub("%p", "%%%0"), "B" .. n)
    end
    text = text:gsub("^(.-)\r\n\r\n", head)
    return (text:gsub("(\r\n%-%-B%d+\r\n)(.-)\r\n\r\n", function(before, block) return before .. head(block) end))
  end

  local function part(depth)
    local headers = g.pick { n = 4, nil, {}, { subject = "s" }, { ["X-Mine"] = "v", ["content-type"] = "text/html" } }
    local body
    if depth > 0 and g.chance(40) then
      body = { preamble = g.pick { n = 2, nil, "PRE" }, epilogue = g.pick { n = 2, nil, "EPI" } }
      for i = 1, g.int(0, 2) do body[i] = part(depth - 1) end
    elseif g.chance(30) then
      body = ltn12.source.table { "x", "y" }
    else
      body = message_body()
    end
    -- Without a content type the C library says iso-8859-1.
    headers = headers or {}
    if type(body) ~= "table" then headers["content-type"] = headers["content-type"] or "text/plain" end
    return { headers = headers, body = body }
  end

  local function composed()
    local made, out = part(2), {}
    g.call("composed", function()
      local source = smtp.message(made)
      local ok, problem = ltn12.pump.all(source, (ltn12.sink.table(out)))
      return ok, problem, normal(table.concat(out))
    end)
  end

  local function talks()
    local log, list = {}, {}
    for i = 1, g.int(1, 4) do list[i] = g.pick { g.pick(GOOD), g.pick(BAD), "200 x", "120 y" } end
    local script = replies(list, 0)
    g.log("replies", script)
    local control
    g.call("connect", function()
      control = tp.connect("h.test", 21, g.pick { n = 2, nil, 5 }, function() return connection(script, log) end)
      return type(control)
    end)
    if not control then return end
    for _ = 1, g.int(1, 5) do
      local what = g.int(1, 4)
      if what == 1 then
        g.call("command", function(...) return control:command(...) end, g.pick { "noop", "USER", "x y" }, g.pick { n = 4, nil, "arg", 12, false })
      elseif what == 4 then
        g.call("source", function() return control:source(ltn12.source.string "data") end)
      else
        g.call("check", function(...) return control:check(...) end, g.pick { "2..", "25.", "250", 250, { "1..", "2.." }, {}, "5..", function(...) return "f", ... end })
      end
    end
    g.call("close", function() return control:close() end)
    g.log("sent", table.concat(log))
  end

  local DO = { sends = sends, composed = composed, talks = talks }
  for _ = 1, 3 do DO[g.choose { sends = 3, composed = 2, talks = 3 }]() end
end

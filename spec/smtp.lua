-- socket.smtp: the dialogue, authentication, messages.

local t = require "support"
local ltn12 = require "ltn12"
local smtp = require "socket.smtp"
local socket = require "socket"

-- The server's lines in a session that goes well, with extensions in the reply to EHLO.
local function session(extensions, ...)
  local lines = { "220 h.test ready" }
  local list = { "h.test" }
  for _, word in ipairs(extensions) do list[#list + 1] = word end
  for i, word in ipairs(list) do lines[#lines + 1] = "250" .. (i < #list and "-" or " ") .. word end
  for _, line in ipairs { ... } do lines[#lines + 1] = line end
  return t.lines(t.unpack(lines))
end

local DIALOGUE = { "250 sender", "250 recipient", "354 go on", "250 taken", "221 bye" }

local function send(answer, fields)
  local create, log = t.play(answer)
  local mailt = { from = "<a@x.test>", rcpt = "<b@y.test>", source = ltn12.source.string("S: t\r\n\r\nbody\r\n"), create = create }
  for name, value in pairs(fields or {}) do mailt[name] = value or nil end
  local ok, err = smtp.send(mailt)
  return ok, err, log[1]
end

local function sent(fields, ...)
  local ok, err, log = send(session({}, t.unpack(select("#", ...) > 0 and { ... } or DIALOGUE)), fields)
  t.equal(ok, 1, err)
  return log.sent
end

t.test("surface", function()
  t.equal(socket.smtp, smtp)
  t.equal(smtp.TIMEOUT, 60)
  t.equal(smtp.SERVER, "localhost")
  t.equal(smtp.PORT, 25)
  t.equal(smtp.ZONE, "-0000")
  t.equal(type(smtp.DOMAIN), "string")
end)

t.test("the dialogue", function()
  t.match(sent { domain = "me.test" }, "^EHLO me.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
    .. "S: t\r\n\r\nbody\r\n\r?\n?%.\r\nQUIT\r\n$")
end)

t.test("defaults", function()
  t.finally(function() smtp.SERVER, smtp.PORT, smtp.DOMAIN, smtp.TIMEOUT = "localhost", 25, smtp.DOMAIN, 60 end)
  local domain = smtp.DOMAIN
  t.finally(function() smtp.DOMAIN = domain end)
  smtp.SERVER, smtp.PORT, smtp.DOMAIN, smtp.TIMEOUT = "mail.test", 2525, "d.test", 7
  local _, _, log = send(session({}, t.unpack(DIALOGUE)))
  t.equal(log.host, "mail.test")
  t.equal(log.port, 2525)
  t.equal(log.timeout, 7)
  t.match(log.sent, "^EHLO d.test\r\n")
  _, _, log = send(session({}, t.unpack(DIALOGUE)), { server = "s.test", port = 26 })
  t.equal(log.host, "s.test")
  t.equal(log.port, 26)
end)

t.test("several recipients", function()
  t.match(sent({ rcpt = { "<b@y.test>", "<c@z.test>" } }, "250 s", "250 r", "251 r", "354 g", "250 t", "221 b"),
    "RCPT TO:<b@y.test>\r\nRCPT TO:<c@z.test>\r\nDATA\r\n")
end)

t.test("dots are doubled", function()
  t.match(sent { source = ltn12.source.table { "a\r\n", ".b\r\n..", "\r\n", ".\r\nc" } },
    "DATA\r\na\r\n%.%.b\r\n%.%.%.\r\n%.%.\r\nc\r\n%.\r\nQUIT")
end)

t.test("an empty message", function()
  t.match(sent { source = ltn12.source.empty() }, "DATA\r\n\r?\n?%.\r\nQUIT")
end)

t.test("refusals", function()
  local function refused(answer)
    local ok, err, log = send(answer)
    t.equal(ok, nil)
    t.ok(log.closed > 0)
    return err, log
  end
  t.equal(refused(t.lines "554 go away"), "554 go away")
  t.equal(refused(session({}, "550 no sender")), "550 no sender")
  t.equal(refused(session({}, "250 s", "550 no recipient")), "550 no recipient")
  t.equal(refused(session({}, "250 s", "250 r", "450 not now")), "450 not now")
  t.equal(refused(session({}, "250 s", "250 r", "354 g", "552-too\r\n552 much")), "552-too\n552 much")
  t.equal(refused(t.lines "hello"), "invalid server reply")
  t.equal(refused(t.lines "220 hi"), "closed")
  t.equal(refused { t.lines "220 hi", stay = true }, "timeout")
end)

t.test("a failing source ends without the last dot", function()
  local answered = false
  local ok, err, log = send(session({}, t.unpack(DIALOGUE)), {
    source = function()
      if answered then return nil, "no more" end
      answered = true
      return "S: t\r\n"
    end,
  })
  t.equal(ok, nil)
  t.equal(err, "no more")
  t.match(log.sent, "DATA\r\nS: t\r\n$")
end)

t.test("connections that fail", function()
  t.returns({ n = 2, nil, "refused" }, (function(a, b) return a, b end)(send { "", refuse = "refused" }))
end)

-- Authentication -------------------------------------------------------------------------------------------------------

local function authenticated(extensions, replies, fields)
  fields.user, fields.password = fields.user or "u", fields.password or "p"
  local lines = {}
  for _, line in ipairs(replies) do lines[#lines + 1] = line end
  for _, line in ipairs(DIALOGUE) do lines[#lines + 1] = line end
  local ok, err, log = send(session(extensions, t.unpack(lines)), fields)
  return ok and log.sent:match("^EHLO [^\r]*\r\n(.-)MAIL"), err
end

t.test("LOGIN and PLAIN", function()
  t.equal(authenticated({ "AUTH LOGIN" }, { "334 u", "334 p", "235 ok" }, {}), "AUTH LOGIN\r\ndQ==\r\ncA==\r\n")
  t.equal(authenticated({ "AUTH PLAIN" }, { "235 ok" }, {}), "AUTH PLAIN AHUAcA==\r\n")
  t.equal(authenticated({ "AUTH=LOGIN" }, { "334 u", "334 p", "235 ok" }, {}), "AUTH LOGIN\r\ndQ==\r\ncA==\r\n")
end)

t.test("no mechanism, wrong password", function()
  t.equal(select(2, authenticated({ "SIZE" }, {}, {})), "authentication not supported")
  t.equal(select(2, authenticated({ "AUTH PLAIN" }, { "535 no" }, {})), "535 no")
  t.equal(select(2, authenticated({ "AUTH LOGIN" }, { "334 u", "334 p", "535 no" }, {})), "535 no")
end)

t.test("only with both", function()
  local ok, err = send(session({ "AUTH PLAIN" }, t.unpack(DIALOGUE)), { user = "u" })
  t.equal(ok, 1, err)
end)

-- The low level --------------------------------------------------------------------------------------------------------

t.test("open", function()
  local create, log = t.play(session({ "AUTH PLAIN" }, "235 a", "250 s", "250 r", "354 g", "250 t", "221 b"))
  local s = smtp.open("h.test", 25, create)
  t.ok(s.tp)
  t.ok(s.try)
  local extensions = s:greet("d.test")
  t.equal(extensions, "250-h.test\n250 AUTH PLAIN")
  t.equal(s:auth("u", "p", extensions), 235)
  t.equal(s:auth(nil, nil, extensions), 1)
  t.returns({ 250, "250 s" }, s:mail "<a@x.test>")
  t.returns({ 250, "250 r" }, s:rcpt "<b@y.test>")
  t.returns({ 250, "250 t" }, s:data(ltn12.source.string "..a"))
  t.returns({ 221, "221 b" }, s:quit())
  t.equal(s:close(), 1)
  t.match(log[1].sent, "DATA\r\n%.%.a\r\n%.\r\n")
  t.returns({ n = 2, nil, "refused" }, socket.protect(smtp.open)("h", 1, (t.play { "", refuse = "refused" })))
end)

-- Messages -------------------------------------------------------------------------------------------------------------

local function chunks(mesgt)
  local list, source = {}, smtp.message(mesgt)
  while true do
    local chunk, err = source()
    if err then return list, err end
    if chunk == nil then return list end
    list[#list + 1] = chunk
  end
end

local function whole(mesgt)
  return table.concat((chunks(mesgt)))
end

t.test("message: a text", function()
  local list = chunks { headers = { Subject = "s", ["X-Other"] = 5, Date = "today" }, body = "text" }
  t.equal(#list, 2)
  t.match(list[1], "Subject: s\r\n")
  t.match(list[1], "[Xx]%-[Oo]ther: 5\r\n")
  t.match(list[1], "MIME%-Version: 1.0\r\n")
  t.match(list[1], "X%-Mailer: LuaSocket [%d.]+\r\n")
  t.match(list[1], "Date: today\r\n")
  t.match(list[1], "Content%-Type: text/plain; charset=\"[%w-]+\"\r\n")
  t.match(list[1], "\r\n\r\n$")
  t.equal(list[2], "text")
end)

t.test("message: a date", function()
  t.match(whole { headers = {}, body = "" }, "Date: %u%l%l, %d%d %u%l%l %d%d%d%d %d%d:%d%d:%d%d %-0000\r\n")
end)

t.test("message: a source", function()
  local list = chunks { body = ltn12.source.table { "x", "y" } }
  t.same({ list[2], list[3], #list }, { "x", "y", 3 })
  local _, err = chunks { body = ltn12.source.error "broken" }
  t.equal(err, "broken")
end)

t.test("message: parts", function()
  local list = chunks {
    headers = { subject = "s" },
    body = {
      preamble = "PRE", epilogue = "EPI",
      { body = "p1" },
      { headers = { ["content-type"] = "image/png" }, body = ltn12.source.table { "x", "y" } },
    },
  }
  local mark = list[1]:match("Content%-Type: multipart/mixed; boundary=\"([^\"]+)\"\r\n")
  t.ok(mark)
  t.equal(list[2], "PRE")
  t.equal(list[3], "\r\n")
  t.equal(list[4], "\r\n--" .. mark .. "\r\n")
  t.match(list[5], "^Content%-Type: text/plain; charset=\"[%w-]+\"\r\n\r\n$")
  t.equal(list[6], "p1")
  t.equal(list[7], "\r\n--" .. mark .. "\r\n")
  t.equal(list[8], "Content-Type: image/png\r\n\r\n")
  t.same({ list[9], list[10] }, { "x", "y" })
  t.equal(list[11], "\r\n--" .. mark .. "--\r\n\r\n")
  t.same({ list[12], list[13], #list }, { "EPI", "\r\n", 13 })
end)

t.test("message: parts within parts", function()
  local text = whole { body = { { body = { { body = "deep" } } }, { body = "flat" } } }
  local outer, inner
  for mark in text:gmatch("boundary=\"([^\"]+)\"") do
    if outer then inner = mark else outer = mark end
  end
  t.ok(inner and inner ~= outer)
  local deep = text:find("deep", 1, true)
  local close = text:find("--" .. inner .. "--", deep, true)
  t.ok(close)
  t.ok(text:find("--" .. outer .. "\r\n", close, true))
end)

t.test("message: an empty list of parts", function()
  local list = chunks { body = {} }
  t.equal(#list, 2)
  t.match(list[2], "^\r\n%-%-.*%-%-\r\n\r\n$")
end)

t.test("message: what cannot be sent", function()
  local _, err = chunks { headers = { a = function() end }, body = "" }
  t.ok(err)
  _, err = chunks { body = { 5 } }
  t.ok(err)
end)

t.test("message: nothing happens before it is pulled", function()
  local called = false
  local source = smtp.message { body = function() called = true end }
  t.equal(called, false)
  source()
  t.equal(called, false)
  t.equal((source()), nil)
  t.equal(called, true)
end)

t.fix("message: the caller's table is left alone, the end is the end", function()
  local mesgt = { headers = { Subject = "s" }, body = "x" }
  local source = smtp.message(mesgt)
  t.same(mesgt, { headers = { Subject = "s" }, body = "x" })
  t.ok(source() and source())
  t.returns({ n = 1, nil }, source())
  t.returns({ n = 1, nil }, source())
  t.raises({ match = "bad argument #1 to 'message'" }, smtp.message, nil)
end)

t.fix("message: headers in order, spelled as given", function()
  local text = whole { headers = { ["X-MyOwn"] = "1", subject = "s", to = "t", from = "f", date = "d", ["message-id"] = "<i>" }, body = "" }
  t.match(text, "^Date: d\r\nFrom: f\r\nTo: t\r\nMessage%-ID: <i>\r\nSubject: s\r\nMIME%-Version: 1.0\r\n"
    .. "Content%-Type: text/plain; charset=\"utf%-8\"\r\nX%-Mailer: [^\r]*\r\nX%-MyOwn: 1\r\n\r\n$")
  t.match(whole { body = "" }, "Message%-ID: <%x+@[%w.-]+>\r\n")
  t.match(whole { headers = { Received = { "a", "b" } }, body = "" }, "Received: a\r\nReceived: b\r\n")
end)

t.fix("message: zones", function()
  local date = require("socket.smtp.message").date
  t.equal(date("-0000", 784111777), "Sun, 06 Nov 1994 08:49:37 -0000")
  t.equal(date("+0230", 784111777), "Sun, 06 Nov 1994 11:19:37 +0230")
  t.equal(date("-0900", 784111777), "Sat, 05 Nov 1994 23:49:37 -0900")
end)

t.fix("message: no header hides in a header", function()
  local function fails(headers)
    return select(2, chunks { headers = headers, body = "" })
  end
  t.equal(fails { subject = "a\r\nBcc: b" }, "invalid value of header 'subject'")
  t.equal(fails { subject = "a\nb" }, "invalid value of header 'subject'")
  t.equal(fails { subject = "a\r\n \r\nb" }, "invalid value of header 'subject'")
  t.equal(fails { subject = "a\0" }, "invalid value of header 'subject'")
  t.equal(fails { subject = "a\r\n" }, "invalid value of header 'subject'")
  t.equal(fails { ["a: b\r\nc"] = "d" }, "invalid header name")
  t.match(whole { headers = { subject = "a\r\n folded" }, body = "" }, "Subject: a\r\n folded\r\n")
end)

t.fix("message: a body of nil is empty, a callable is a source", function()
  local text = whole { body = { {}, { body = "x" } } }
  t.match(text, "x\r\n%-%-[^\r]*%-%-\r\n\r\n$")
  local called = 0
  local source = setmetatable({}, { __call = function() called = called + 1 return called == 1 and "data" or nil end })
  t.equal(chunks({ body = source })[2], "data")
end)

t.fix("message: a given boundary is used", function()
  t.match(whole { headers = { ["content-type"] = 'multipart/alternative; boundary="mine"' }, body = { { body = "x" } } },
    'Content%-Type: multipart/alternative; boundary="mine"\r\n.*\r\n%-%-mine\r\n.*\r\n%-%-mine%-%-\r\n')
  t.match(whole { headers = { ["content-type"] = "multipart/related" }, body = {} }, 'multipart/related; boundary="[%w=_]+"\r\n')
end)

t.fix("message: Bcc is dropped when asked", function()
  t.match(whole { headers = { bcc = "x" }, body = "" }, "Bcc: x\r\n")
  t.equal(whole({ headers = { Bcc = "x" }, body = "", bcc = false }):find("Bcc"), nil)
end)

t.fix("message: 8-bit headers and long ones are encoded when asked", function()
  local function subject(value)
    return whole({ headers = { subject = value }, body = "", encode = true }):match("Subject: (.-)\r\n[^ ]")
  end
  t.equal(subject "plain", "plain")
  t.equal(subject "caf\195\169 now", "=?utf-8?B?Y2Fmw6k=?= now")
  t.equal(subject "\195\169 \195\169 x", "=?utf-8?B?w6kgw6k=?= x")
  t.equal(subject '"J\195\182rg X" <j@x.test>', "=?utf-8?B?SsO2cmcgWA==?= <j@x.test>")
  local long = string.rep("word ", 30) .. "end"
  local folded = subject(long)
  for line in (folded .. "\r\n"):gmatch("(.-)\r\n") do t.between(#line, 1, 78) end
  t.equal((folded:gsub("\r\n", "")), long)
  local words = subject(string.rep("\195\169", 100))
  for line in (words .. "\r\n"):gmatch("(.-)\r\n") do t.between(#line, 1, 78) end
end)

-- Better than LuaSocket ------------------------------------------------------------------------------------------------

t.fix("input that is no mail", function()
  local function fails(fields)
    local ok, err, log = send(session({}, t.unpack(DIALOGUE)), fields)
    t.equal(ok, nil)
    return err, log
  end
  t.equal(fails { from = false }, "missing from")
  t.equal(fails { rcpt = false }, "missing rcpt")
  t.equal(fails { source = false }, "missing source")
  t.equal(fails { rcpt = {} }, "no recipients")
  t.raises({ match = "bad argument #1 to 'send'" }, smtp.send, nil)
end)

t.fix("addresses: brackets are added, no command hides", function()
  t.match(sent { from = "a@x.test", rcpt = "b@y.test" }, "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n")
  t.match(sent { from = "<>" }, "MAIL FROM:<>\r\n")
  t.match(sent { from = '<"a b>"@x.test> BODY=8BITMIME' }, 'MAIL FROM:<"a b>"@x.test> BODY=8BITMIME\r\n')
  for _, bad in ipairs {
    "<a@x.test>\r\nRCPT TO:<evil@x.test>", "a\nb", "<a b@x.test>", "<a@x.test", "a@x.test>", "<a@x.test> <b@x.test>", "Joe <a@x>",
  } do
    local ok, err = send(session({}, t.unpack(DIALOGUE)), { from = bad })
    t.equal(ok, nil, bad)
    t.equal(err, "invalid address in from", bad)
    ok, err = send(session({}, t.unpack(DIALOGUE)), { rcpt = { "<c@z.test>", bad } })
    t.equal(ok, nil, bad)
    t.equal(err, "invalid address in rcpt", bad)
  end
  local ok, err = send(session({}, t.unpack(DIALOGUE)), { domain = "x\r\nQUIT" })
  t.equal(ok, nil)
  t.equal(err, "invalid argument")
end)

t.fix("line ends become CRLF, and no line is added", function()
  t.match(sent { source = ltn12.source.string "S: t\n\n.body\n.\nend\n" }, "DATA\r\nS: t\r\n\r\n%.%.body\r\n%.%.\r\nend\r\n%.\r\nQUIT")
  t.match(sent { source = ltn12.source.string "x" }, "DATA\r\nx\r\n%.\r\nQUIT")
  t.match(sent { source = ltn12.source.table { "x\r", "\n" } }, "DATA\r\nx\r\n%.\r\nQUIT")
end)

t.fix("a mail that was taken is sent, whatever comes after", function()
  local list = { "250 s", "250 r", "354 g", "250 t" }
  t.equal((send(session({}, t.unpack(list)))), 1)
  list[5] = "500 what"
  t.equal((send(session({}, t.unpack(list)))), 1)
end)

t.fix("HELO where EHLO is unknown", function()
  local ok, err, log = send(t.lines("220 hi", "502 what", "250 h.test", t.unpack(DIALOGUE)), { domain = "d.test" })
  t.equal(ok, 1, err)
  t.match(log.sent, "^EHLO d.test\r\nHELO d.test\r\nMAIL")
end)

t.fix("PIPELINING saves round trips", function()
  local replies = { "250 s", "250 r", "250 r", "354 g", "250 t", "221 b" }
  local ok, err, log = send(session({ "PIPELINING" }, t.unpack(replies)), { rcpt = { "<b@y.test>", "<c@y.test>" } })
  t.equal(ok, 1, err)
  local found = false
  for _, text in ipairs(log.sends) do
    found = found or text == "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<c@y.test>\r\n"
  end
  t.ok(found)
  replies[3] = "550 no"
  ok, err = send(session({ "PIPELINING" }, t.unpack(replies)), { rcpt = { "<b@y.test>", "<c@y.test>" } })
  t.equal(ok, nil)
  t.equal(err, "550 no")
end)

t.fix("some recipients may be refused", function()
  for _, extensions in ipairs { {}, { "PIPELINING" } } do
    local refused = {}
    local ok, err = send(session(extensions, "250 s", "550 no", "250 r", "354 g", "250 t", "221 b"),
      { rcpt = { "<b@y.test>", "<c@y.test>" }, refused = refused })
    t.equal(ok, 1, err)
    t.same(refused, { ["<b@y.test>"] = "550 no" })
    ok, err = send(session(extensions, "250 s", "550 no", "551 no", "221 b"),
      { rcpt = { "<b@y.test>", "<c@y.test>" }, refused = {} })
    t.equal(ok, nil)
    t.equal(err, "550 no")
  end
end)

t.fix("SIZE, 8BITMIME, SMTPUTF8", function()
  local function mail(extensions, fields)
    local ok, err, log = send(session(extensions, t.unpack(DIALOGUE)), fields)
    return ok and log.sent:match("MAIL FROM:[^\r]*") or err
  end
  t.equal(mail({ "SIZE 100" }, { size = 50 }), "MAIL FROM:<a@x.test> SIZE=50")
  t.equal(mail({ "SIZE" }, { size = 50 }), "MAIL FROM:<a@x.test> SIZE=50")
  t.equal(mail({ "SIZE 100" }, { size = 101 }), "message too large for server")
  t.equal(mail({}, { size = 101 }), "MAIL FROM:<a@x.test>")
  t.equal(mail({ "8BITMIME" }, { eightbit = true }), "MAIL FROM:<a@x.test> BODY=8BITMIME")
  t.equal(mail({ "8BITMIME" }, {}), "MAIL FROM:<a@x.test>")
  t.equal(mail({ "SMTPUTF8", "8BITMIME" }, { from = "\195\169@x.test" }), "MAIL FROM:<\195\169@x.test> BODY=8BITMIME SMTPUTF8")
  t.equal(mail({}, { rcpt = "\195\169@x.test" }), "server takes only addresses in ASCII")
end)

t.fix("mechanisms: whole words in any case, the best one", function()
  t.equal(authenticated({ "auth plain" }, { "235 ok" }, {}), "AUTH PLAIN AHUAcA==\r\n")
  t.equal(select(2, authenticated({ "AUTH XLOGIN PLAINTEXT" }, {}, {})), "authentication not supported")
  t.equal(authenticated({ "AUTH LOGIN PLAIN" }, { "235 ok" }, {}), "AUTH PLAIN AHUAcA==\r\n")
  t.equal(authenticated({ "AUTH LOGIN PLAIN" }, { "334 u", "334 p", "235 ok" }, { auth = "login" }),
    "AUTH LOGIN\r\ndQ==\r\ncA==\r\n")
  t.equal(select(2, authenticated({ "AUTH PLAIN" }, {}, { auth = "CRAM-MD5" })), "authentication not supported")
  t.equal(authenticated({ "AUTH LOGIN" }, { "334 u", "334 p", "235 ok" }, { user = "", password = "" }),
    "AUTH LOGIN\r\n\r\n\r\n")
end)

t.fix("CRAM-MD5", function()
  if not pcall(require, "socket.digest") then t.skip "no digests" end
  t.equal(authenticated({ "AUTH PLAIN CRAM-MD5" },
    { "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", "235 ok" },
    { user = "tim", password = "tanstaaftanstaaf" }),
    "AUTH CRAM-MD5\r\ndGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n")
end)

t.fix("XOAUTH2", function()
  t.equal(authenticated({ "AUTH XOAUTH2 PLAIN" }, { "235 ok" }, { token = "tok", password = false }),
    "AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHRvawEB\r\n")
  local _, err = authenticated({ "AUTH XOAUTH2" }, { "334 eyJzdGF0dXMiOiI0MDAifQ==", "535 no" }, { token = "tok" })
  t.equal(err, '535 no {"status":"400"}')
end)

t.fix("STARTTLS: TLS or nothing", function()
  local function upgrade(create)
    return function(sock, host, timeout)
      t.equal(host, "mail.test")
      t.equal(timeout, 60)
      sock.log.upgraded = sock.log.sent
      sock.log.sent = ""
      return create and create() or sock
    end
  end
  local function with(extensions, replies, tls)
    return send(session(extensions, t.unpack(replies)), { server = "mail.test", tls = tls, domain = "d.test" })
  end
  local replies = { "220 go", "250-h.test", "250 AUTH PLAIN" }
  for _, line in ipairs(DIALOGUE) do replies[#replies + 1] = line end
  local ok, err, log = with({ "STARTTLS" }, replies, upgrade())
  t.equal(ok, 1, err)
  t.equal(log.upgraded, "EHLO d.test\r\nSTARTTLS\r\n")
  t.match(log.sent, "^EHLO d.test\r\nMAIL")
  ok, err = with({}, replies, upgrade())
  t.equal(ok, nil)
  t.equal(err, "server does not offer STARTTLS")
  ok, err = with({ "STARTTLS" }, { "454 not now" }, upgrade())
  t.equal(ok, nil)
  t.equal(err, "454 not now")
  ok, err = with({ "STARTTLS" }, replies, function() return nil, "bad certificate" end)
  t.equal(ok, nil)
  t.equal(err, "bad certificate")
end)

t.fix("STARTTLS: nothing may have come before TLS", function()
  local server, port = t.server()
  local child = t.spawn([[
    local socket = require "socket"
    local client = socket.connect("127.0.0.1", ]] .. port .. [[)
    client:receive()
    client:send("250 STARTTLS\r\n")
    client:receive()
    client:send("220 go\r\n250 injected\r\n")
    client:receive()
  ]])
  local peer = t.closing(server:accept())
  local create = function()
    return setmetatable({}, { __index = function(_, name)
      if name == "connect" then return function() peer:send("") return 1 end end
      return function(_, ...) return peer[name](peer, ...) end
    end })
  end
  -- The greeting is ours to give, for the peer is a client.
  local s = smtp.open("h.test", 1, create)
  s.tp:command("EHLO", "x")
  s.tp:check("2..")
  t.returns({ n = 2, nil, "unexpected data before TLS" }, socket.protect(function() return s:starttls(true) end)())
  child:stop()
end)

t.done()

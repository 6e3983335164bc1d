-- socket.headers: the spelling of header fields.

local t = require "support"
local socket = require "socket"
local headers = require "socket.headers"

local NAMES = [[
  Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Action Age Allow Alternate-Recipient Arrival-Date
  Authorization Bcc Cache-Control Cc Comments Connection Content-Description Content-Disposition Content-Encoding Content-ID
  Content-Language Content-Length Content-Location Content-MD5 Content-Range Content-Transfer-Encoding Content-Type Cookie Date
  Diagnostic-Code DSN-Gateway ETag Expect Expires Final-Log-ID Final-Recipient From Host If-Match If-Modified-Since
  If-None-Match If-Range If-Unmodified-Since In-Reply-To Keywords Last-Attempt-Date Last-Modified Location Max-Forwards
  Message-ID MIME-Version Original-Envelope-ID Original-Recipient Pragma Proxy-Authenticate Proxy-Authorization Range Received
  Received-From-MTA References Referer Remote-MTA Reply-To Reporting-MTA Resent-Bcc Resent-Cc Resent-Date Resent-From
  Resent-Message-ID Resent-Reply-To Resent-Sender Resent-To Retry-After Return-Path Sender Server SMTP-Remote-Recipient Status
  Subject TE To Trailer Transfer-Encoding Upgrade User-Agent Vary Via Warning Will-Retry-Until WWW-Authenticate X-Mailer
]]

t.test("the module is also socket.headers", function()
  t.equal(socket.headers, headers)
  t.equal(type(headers.canonic), "table")
end)

t.test("every name of LuaSocket", function()
  local count = 0
  for name in NAMES:gmatch("%S+") do
    count = count + 1
    t.equal(headers.canonic[name:lower()], name)
  end
  t.equal(count, 91)
end)

t.test("keys are the values in lower case", function()
  for key, name in pairs(headers.canonic) do t.equal(key, name:lower()) end
end)

t.fix("names that have become common", function()
  for _, name in ipairs { "Set-Cookie", "Origin", "DKIM-Signature", "Strict-Transport-Security", "X-Forwarded-For" } do
    t.equal(headers.canonic[name:lower()], name)
  end
end)

t.done()

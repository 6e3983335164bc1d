--- The usual spelling of header fields, by their lower-case names. Programs may add to it.

local socket = require "socket"

local gmatch, lower = string.gmatch, string.lower

local canonic = {}
local M = { canonic = canonic }
socket.headers = M

local NAMES = [[
  Accept Accept-Charset Accept-Encoding Accept-Language Accept-Patch Accept-Ranges Access-Control-Request-Headers
  Access-Control-Request-Method Action Age Allow Alternate-Recipient Arrival-Date Authorization Bcc Cache-Control Cc Comments
  Connection Content-Description Content-Disposition Content-Encoding Content-ID Content-Language Content-Length
  Content-Location Content-MD5 Content-Range Content-Security-Policy Content-Transfer-Encoding Content-Type Cookie Date
  Diagnostic-Code Disposition-Notification-To DKIM-Signature DNT DSN-Gateway ETag Expect Expires Final-Log-ID Final-Recipient
  Forwarded From Host HTTP2-Settings If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since In-Reply-To
  Keep-Alive Keywords Last-Attempt-Date Last-Modified Link List-ID List-Post List-Unsubscribe Location Max-Forwards Message-ID
  MIME-Version Origin Original-Envelope-ID Original-Recipient Pragma Priority Proxy-Authenticate Proxy-Authorization
  Proxy-Connection Range Received Received-From-MTA References Referer Remote-MTA Reply-To Reporting-MTA Resent-Bcc Resent-Cc
  Resent-Date Resent-From Resent-Message-ID Resent-Reply-To Resent-Sender Resent-To Retry-After Return-Path Sender Server
  Set-Cookie SMTP-Remote-Recipient Status Strict-Transport-Security Subject TE To Trailer Transfer-Encoding Upgrade User-Agent
  Vary Via Warning Will-Retry-Until WWW-Authenticate X-Forwarded-For X-Forwarded-Proto X-Mailer X-Requested-With
]]

for name in gmatch(NAMES, "%S+") do
  canonic[lower(name)] = name
end

return M

--- Who sends: the mechanisms of SMTP AUTH (RFC 4954).
--
-- Private to `socket.smtp`. `s` is its connection.

local mime = require "mime"

local ipairs, pcall, require, string = ipairs, pcall, require, string

local M = {}

local function base64(text)
  return (mime.b64(text)) or ""
end

-- Sends one line of the dialogue: an empty one stands for an empty text.
local function answer(s, text, expected)
  s.try(s.tp:send(base64(text) .. "\r\n"))
  return s.try(s.tp:check(expected))
end

function M.login(s, user, password)
  s.try(s.tp:command("AUTH", "LOGIN"))
  s.try(s.tp:check("3.."))
  answer(s, user, "3..")
  return answer(s, password, "2..")
end

function M.plain(s, user, password)
  s.try(s.tp:command("AUTH", "PLAIN " .. base64("\0" .. user .. "\0" .. password)))
  return s.try(s.tp:check("2.."))
end

function M.crammd5(s, user, password)
  local digest = require "socket.digest"
  s.try(s.tp:command("AUTH", "CRAM-MD5"))
  local _, reply = s.try(s.tp:check("334"))
  local challenge = mime.unb64(string.sub(reply, 5)) or ""
  return answer(s, user .. " " .. digest.hmac_md5(password, challenge), "2..")
end

-- `token` is an access token that the mail provider gave out. On failure the server explains itself in a challenge
-- that wants an empty answer before it says so in a reply.
function M.xoauth2(s, user, token)
  local text = "user=" .. user .. "\1auth=Bearer " .. token .. "\1\1"
  s.try(s.tp:command("AUTH", "XOAUTH2 " .. base64(text)))
  return s.try(s.tp:check(function(code, reply)
    if code == 334 then
      local explanation = mime.unb64(string.sub(reply, 5)) or ""
      s.try(s.tp:send("\r\n"))
      local _, final = s.tp:check("2..")
      return nil, final .. " " .. explanation
    end
    if code >= 200 and code < 300 then return code, reply end
    return nil, reply
  end))
end

local MECHANISMS = { ["CRAM-MD5"] = M.crammd5, LOGIN = M.login, PLAIN = M.plain, XOAUTH2 = M.xoauth2 }

-- Where nobody listens the password itself is as good as a proof that it is known, and servers need not keep it in clear.
local SECURE, CLEAR = { "PLAIN", "LOGIN", "CRAM-MD5" }, { "CRAM-MD5", "PLAIN", "LOGIN" }

local function offered(extensions)
  local words = {}
  for line in string.gmatch(string.upper(extensions), "[^\n]+") do
    local list = string.match(line, "^%d%d%d[ -]AUTH[ =](.*)$") or string.match(line, "^AUTH[ =](.*)$")
    for word in string.gmatch(list or "", "%S+") do words[word] = true end
  end
  return words
end

local function usable(name)
  return name ~= "CRAM-MD5" or pcall(require, "socket.digest")
end

function M.choose(s, user, password, extensions, mechanism)
  local words = offered(extensions)
  if mechanism then
    mechanism = string.upper(mechanism)
    if MECHANISMS[mechanism] and words[mechanism] then return MECHANISMS[mechanism](s, user, password) end
    return s.try(nil, "authentication not supported")
  end
  for _, name in ipairs(s.tp.secure and SECURE or CLEAR) do
    if words[name] and usable(name) then return MECHANISMS[name](s, user, password) end
  end
  return s.try(nil, "authentication not supported")
end

return M

-- Sends a mail with attachments.
--
--     luasocket examples/mail.lua FROM TO SUBJECT [FILE]... < TEXT
--
-- The server is named by the environment: MAIL_SERVER (localhost), MAIL_PORT (25), MAIL_USER, MAIL_PASSWORD, and
-- MAIL_TLS: "starttls" or "implicit".

local ltn12 = require "ltn12"
local mime = require "mime"
local smtp = require "socket.smtp"

local from, to, subject = arg[1], arg[2], arg[3]
assert(subject, "usage: mail.lua FROM TO SUBJECT [FILE]... < TEXT")

-- Text in quoted-printable, so that it survives any server; files in base64, read while they are sent.
local function text(content)
  return {
    headers = { ["content-type"] = 'text/plain; charset="utf-8"', ["content-transfer-encoding"] = "quoted-printable" },
    body = ltn12.source.chain(ltn12.source.string(content),
      ltn12.filter.chain(mime.normalize(), mime.encode("quoted-printable"), mime.wrap("quoted-printable"))),
  }
end

local function attachment(path)
  local name = path:match("([^/\\]*)$"):gsub('[%c"]', "_")
  return {
    headers = {
      ["content-type"] = 'application/octet-stream; name="' .. name .. '"',
      ["content-disposition"] = 'attachment; filename="' .. name .. '"',
      ["content-transfer-encoding"] = "base64",
    },
    body = ltn12.source.chain(ltn12.source.file(assert(io.open(path, "rb"))),
      ltn12.filter.chain(mime.encode("base64"), mime.wrap("base64"))),
  }
end

local parts = { text(io.read("*a")) }
for i = 4, #arg do parts[#parts + 1] = attachment(arg[i]) end

local TLS = { starttls = true, implicit = { implicit = true } }

local ok, err = smtp.send {
  from = from,
  rcpt = to,
  server = os.getenv("MAIL_SERVER") or "localhost",
  port = os.getenv("MAIL_PORT") or 25,
  user = os.getenv("MAIL_USER"),
  password = os.getenv("MAIL_PASSWORD"),
  tls = TLS[os.getenv("MAIL_TLS") or ""],
  source = smtp.message {
    headers = { from = from, to = to, subject = subject },
    body = parts,
    encode = true,
  },
}

if not ok then
  io.stderr:write(err, "\n")
  os.exit(1)
end
print("sent")

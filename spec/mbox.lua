-- mbox: mailboxes and messages taken apart.

local t = require "support"
local mbox = require "socket.mbox"

t.test("split_message", function()
  for text, expected in pairs {
    ["a: 1\n\nbody"] = { "a: 1\n", "body" },
    ["a: 1\r\n\r\nb\r\nx"] = { "a: 1\n", "b\nx" },
    ["a: 1\n\n\nbody"] = { "a: 1\n", "\nbody" },
    ["a: 1\n\n"] = { "a: 1\n", "" },
    ["a: 1\n"] = { "a: 1\n", "" },
    ["a: 1"] = { "a: 1", "" },
    ["\nbody"] = { "", "body" },
    ["\n\nbody"] = { "\n", "body" },
    [""] = { "", "" },
    ["\n"] = { "", "" },
  } do
    t.returns(expected, mbox.split_message(text))
  end
end)

t.test("split_headers", function()
  t.same(mbox.split_headers "a: 1\n folded\nb: 2", { "a: 1 folded", "b: 2" })
  t.same(mbox.split_headers "a: 1\r\n   folded\r\n\r\nb: 2\r\n", { "a: 1 folded", "b: 2" })
  t.same(mbox.split_headers "", {})
end)

t.test("parse_header", function()
  for text, expected in pairs {
    ["A-b:1"] = { "A-b", "1" },
    ["a: b: c"] = { "a", "b: c" },
    ["a:"] = { "a", "" },
    [": v"] = { "", "v" },
    ["a: 1\n  folded"] = { "a", "1 folded" },
    ["nocolon"] = { n = 2, nil, nil },
    [""] = { n = 2, nil, nil },
  } do
    local name, value = mbox.parse_header(text)
    t.equal(name, expected[1], text)
    t.equal(value, expected[2], text)
  end
end)

t.test("parse_headers", function()
  t.same(mbox.parse_headers "Subject: a\n b\nTo: x\nnothing\nto: y\n", { subject = "a b", to = "x, y" })
end)

t.test("parse_from", function()
  for text, expected in pairs {
    ["Joe <joe@x.test>"] = { "Joe", "joe@x.test" },
    ['"Joe D" <joe@x.test>'] = { "Joe D", "joe@x.test" },
    ["<joe@x.test>"] = { "joe@x.test", "joe@x.test" },
    ["joe@x.test"] = { "joe@x.test", "joe@x.test" },
    ["  joe@x.test"] = { "joe@x.test", "joe@x.test" },
    ["Joe <>"] = { "Joe", "" },
    ["a <b> c <d>"] = { "a", "b" },
    [""] = { "", "" },
  } do
    t.returns(expected, mbox.parse_from(text))
  end
end)

t.test("split_mbox", function()
  for text, expected in pairs {
    ["h: 1\n\nb1\n\nFrom b\nh: 2\n\nb2"] = { "h: 1\n\nb1", "h: 2\n\nb2" },
    ["\n\nFrom x\nh: 1\n\nb"] = { "", "h: 1\n\nb" },
    ["a\nFrom x\nb"] = { "a\nFrom x\nb" },
    ["a\n\nFromage\nb"] = { "a\n\nFromage\nb" },
    ["a\r\n\r\nFrom x\r\nb"] = { "a", "b" },
    [""] = { "" },
  } do
    t.same((mbox.split_mbox(text)), expected, text)
  end
end)

t.test("parse", function()
  local list = mbox.parse "A: 1\n\nbody1\n\nFrom x\nB: 2\nb: 3\n\nbody2\n"
  t.equal(#list, 2)
  t.same(list[1].headers, { a = "1" })
  t.equal(list[1].body, "body1")
  t.same(list[2].headers, { b = "2, 3" })
  t.equal(list[2].body, "body2\n")
  t.same(mbox.parse_message "A: 1\n\nx", { headers = { a = "1" }, body = "x" })
end)

t.test("what is no string raises", function()
  for _, name in ipairs {
    "parse", "parse_message", "split_mbox", "split_message", "split_headers", "parse_headers", "parse_header", "parse_from",
  } do
    t.raises({ match = "." }, mbox[name], nil)
  end
end)

t.fix("tabs fold too", function()
  t.same(mbox.split_headers "a: 1\n\tfold", { "a: 1 fold" })
end)

t.fix("names of headers", function()
  t.returns({ "a", "1" }, mbox.parse_header "a : 1")
  t.equal((mbox.parse_header "x a: 1"), nil)
  t.equal((mbox.parse_header "From joe Mon 10:20:30"), nil)
end)

t.fix("comments in addresses", function()
  t.returns({ "Joe", "joe@x.test" }, mbox.parse_from "joe@x.test (Joe)")
  t.returns({ "joe@x.test", "joe@x.test" }, mbox.parse_from "joe@x.test ()")
end)

t.fix("envelope lines go to the caller", function()
  local text = "From a Mon\nh: 1\n\nb1\n\nFrom b Tue\nh: 2\n\nb2\n"
  local messages, envelopes = mbox.split_mbox(text)
  t.same(messages, { "h: 1\n\nb1", "h: 2\n\nb2\n" })
  t.same(envelopes, { "From a Mon", "From b Tue" })
  t.equal(mbox.parse(text)[2].envelope, "From b Tue")
  messages, envelopes = mbox.split_mbox "x\n\nFrom b"
  t.same(messages, { "x", "" })
  t.same(envelopes, { false, "From b" })
  t.same((mbox.split_mbox "From one\n\nFrom two\nz"), { "", "z" })
  t.same((mbox.split_mbox "a\n\nFrom one\n\nFrom two\nz"), { "a", "", "z" })
end)

t.fix("quoted lines are unquoted", function()
  t.same((mbox.split_mbox "h: 1\n\n>From me\n>>From you\n> From"), { "h: 1\n\nFrom me\n>From you\n> From" })
end)

t.fix("no global is set", function()
  t.equal(rawget(_G, "mbox"), nil)
  t.equal(require "socket".mbox, nil)
  t.equal(require "mbox", mbox)
end)

-- A mailbox that Python writes.
t.fix("a mailbox of Python's", function()
  local text, status = t.shell [[python3 -c '
import mailbox, os, sys, tempfile
from email.message import EmailMessage
name = tempfile.mktemp()
box = mailbox.mbox(name)
for n in (1, 2, 3):
    m = EmailMessage()
    m["Subject"] = "number %d" % n
    m["To"] = "a@x.test"
    m.set_content("line\n\nFrom here on %d\n" % n)
    box.add(m)
box.close()
sys.stdout.write(open(name).read())
os.remove(name)
']]
  if status ~= 0 then t.skip "no python3" end
  local list = mbox.parse(text)
  t.equal(#list, 3)
  t.equal(list[2].headers.subject, "number 2")
  t.equal(list[2].body, "line\n\nFrom here on 2")
end)

t.done()

--- URLs taken apart, resolved and escaped.
local url = require "socket.url"

local LONG = "http://user:secret@www.example.test:8080/a/path/to/page.html;v=1?key=value&other=thing#section"
local BASE = "http://www.example.test/a/b/c/d.html?x=y"
local VALUE = "some value & another, with caf\195\169"
local ESCAPED = "some%20value%20%26%20another%2c%20with%20caf%c3%a9"
local PATH = "/a/path%20to/some/page.html"
local PARTS = url.parse(LONG)
local SEGMENTS = url.parse_path(PATH)

local function call(name, f, argument, second, count, target)
  return {
    name = name,
    count = count,
    target = target,
    op = function(_, n)
      for _ = 1, n do f(argument, second) end
    end,
  }
end

return {
  call("parse", url.parse, LONG, nil, 100000, 2),
  call("parse, short", url.parse, "http://www.example.test/", nil, 200000, 2),
  call("parse, with defaults", url.parse, "//h.test/x", { scheme = "http", port = "80" }, 100000, 2),
  call("absolute", url.absolute, BASE, "../e/./f.html?q", 40000, 3),
  call("absolute, table", url.absolute, PARTS, "../e/./f.html?q", 40000),
  call("escape", url.escape, VALUE, nil, 100000, 3),
  call("unescape", url.unescape, ESCAPED, nil, 150000, 2),
  call("parse_path", url.parse_path, PATH, nil, 80000, 2),
  call("build", url.build, PARTS, nil, 200000),
  call("build_path", url.build_path, SEGMENTS, nil, 100000),
}

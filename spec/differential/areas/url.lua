-- socket.url: odd URLs, tables of parts, paths.

local url = require "socket.url"

local PIECES = {
  "http", "ftp", "a", "B", "1", ":", ":", "//", "/", "/", "/", "..", ".", "./", "../", "?", "#", ";", "@", "&", "=", "+", "%",
  "%41", "%2f", "%zz", "[", "]", "[::1]", "h.test", "user", "pw", "80", " ", "-", "_", "~", "!", "\195\169", "\0", "\n", "x", "yz",
}
local TAME = { "a", "b", "c.d", "/", "/", "/", "..", ".", "/../", "/./", "x", "1", "?", "#", ";", "q=1" }
local HOSTS = { "h.test", "h.test:80", "u@h.test", "u:p@h.test:8", "[::1]", "[::1]:9", "h.test:", "", "127.0.0.1" }
local KEYS = { "scheme", "authority", "userinfo", "user", "password", "host", "port", "path", "params", "query", "fragment", "url", "x" }
local ODD = { n = 7, nil, true, false, 12, 1.5, {}, print }

return function(g)
  -- A query or a fragment that follows the authority at once is parsed as in versions after 3.1.0.
  local function tamed(text)
    return text:find "//[^/]*[?#]" and "//h.test/" .. text:gsub("//", "") or text
  end

  local function odd_url()
    if g.chance(50) then
      return tamed(g.text(PIECES, 9))
    end
    local text = g.pick { "http:", "ftp:", "", "x1+:", "HTTP:" }
    if g.chance(70) then text = text .. "//" .. g.pick(HOSTS) end
    if text:find "//" or g.chance(85) then text = text .. "/" .. g.text(TAME, 7) end
    if g.chance(20) then text = text .. ";" .. g.text(TAME, 2) end
    if g.chance(30) then text = text .. "?" .. g.text(PIECES, 2) end
    if g.chance(20) then text = text .. "#" .. g.text(PIECES, 2) end
    return tamed(text)
  end

  -- References and bases whose dots reach neither the authority nor the query: there we do as RFC 3986 says.
  local function base()
    return g.pick { "http://h.test", "ftp://u@h.test:1", "//h.test", "http://[::1]:8" } .. g.pick { "/a/b/c/d/e/f", "/a/b/c/d/e/", "/a/b/c//d/e", "/p/q/r/s/t;x", "/a/b/c/d?q=1" }
      .. g.pick { "", "", "#frag", "?k=v" }
  end

  local function reference()
    return g.text({ "..", ".", "/", "/", "x", "y.z", "...", "./", "../", "a/" }, 5):gsub("%.%./?", "../", 2):gsub("^//+", "/")
      .. g.pick { "", "", "?q", "#f", ";p", "?q#f" }
  end

  local function parts()
    local table = {}
    for _ = 1, g.int(0, 6) do table[g.pick(KEYS)] = g.text(PIECES, 2):gsub("%c", "") end
    for _, key in ipairs { "query", "fragment", "params", "scheme" } do
      if g.chance(5) then table[key] = g.pick(ODD) end
    end
    -- Between an authority and a path without a slash we put one, we bracket no host twice and refuse line ends in it.
    if table.path or table.params then table.path = "/" .. (table.path or "") end
    -- A password begins after the first colon.
    if table.userinfo then table.userinfo = g.pick { "u", "u:p", "", ":" } end
    for _, key in ipairs { "host", "authority" } do
      if table[key] then table[key] = g.pick { "h.test", "1.2.3.4", "h" } end
    end
    return table
  end

  local function segments()
    local list = {}
    for i = 1, g.int(0, 5) do list[i] = g.chance(97) and g.text(PIECES, 3) or g.pick { 1, 2.5, {}, true } end
    if g.chance(40) then list.is_absolute = g.pick { 1, true, false, 0 } end
    if g.chance(40) then list.is_directory = g.pick { 1, true, false, 0 } end
    return list
  end

  local function odd()
    return g.pick(ODD)
  end

  local DO = {
    parse = function() g.call("parse", url.parse, odd_url()) end,
    parse_default = function() g.call("parse", url.parse, odd_url(), parts()) end,
    parse_odd = function() g.call("parse", url.parse, odd(), odd()) end,
    build = function() g.call("build", url.build, parts()) end,
    build_parsed = function() g.call("build", url.build, (url.parse((odd_url():gsub("%c", ""))))) end,
    build_odd = function() g.call("build", url.build, odd()) end,
    absolute = function() g.call("absolute", url.absolute, base(), (reference())) end,
    absolute_table = function()
      g.call("absolute", url.absolute, { scheme = "http", authority = "h.test", path = "/a/b/c/d", query = g.pick { n = 2, nil, "q" } }, (reference()))
    end,
    absolute_odd = function() g.call("absolute", url.absolute, g.pick { n = 5, nil, "", {}, true, base() }, g.pick { n = 4, nil, "", {}, true }) end,
    escape = function() g.call("escape", url.escape, g.text(PIECES, 8)) end,
    unescape = function() g.call("unescape", url.unescape, g.text(PIECES, 8)) end,
    escape_odd = function() g.call("escape", url.escape, odd()) end,
    unescape_odd = function() g.call("unescape", url.unescape, odd()) end,
    parse_path = function() g.call("parse_path", url.parse_path, g.text(PIECES, 8)) end,
    parse_path_odd = function() g.call("parse_path", url.parse_path, odd()) end,
    build_path = function() g.call("build_path", url.build_path, segments(), g.pick { true, false, 0 }) end,
    build_path_safe = function() g.call("build_path", url.build_path, segments()) end,
    build_path_odd = function() g.call("build_path", url.build_path, odd(), odd()) end,
  }
  local WEIGHTS = {}
  for name in pairs(DO) do WEIGHTS[name] = name:find("odd$") and 1 or 4 end
  WEIGHTS.absolute = 10
  for _ = 1, 10 do DO[g.choose(WEIGHTS)]() end
end

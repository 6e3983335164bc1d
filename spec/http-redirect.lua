-- socket.http: redirections by RFC 9110, and what may go along with them.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"

local function moved(code, location, ...)
  return t.lines("HTTP/1.1 " .. code .. " Moved", "Location: " .. location, "Content-Length: 3", ...) .. "\r\nold"
end

local OK = t.lines("HTTP/1.1 200 OK", "Content-Length: 5", "") .. "hello"

-- Connections of both schemes are played; the log says of which scheme each was.
local function through(fields, ...)
  local answers, log = { ... }, {}
  local schemes = http.schemes
  local plain, secure = schemes.http.create, schemes.https.create
  t.finally(function() schemes.http.create, schemes.https.create = plain, secure end)
  local function creator(scheme)
    return function()
      return function()
        local create, entries = t.play(answers[#log + 1] or answers[#answers])
        local sock = create()
        log[#log + 1] = entries[1]
        entries[1].scheme = scheme
        return sock
      end
    end
  end
  schemes.http.create, schemes.https.create = creator "http", creator "https"
  local target = {}
  local reqt = { url = "http://h.test/a/b?c", sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields) do reqt[name] = value or nil end
  local ok, code, headers = http.request(reqt)
  return ok and table.concat(target), code, headers, log
end

local function lines(fields, ...)
  local _, code, headers, log = through(fields, ...)
  local list = {}
  for i, entry in ipairs(log) do list[i] = t.head(entry.sent).line:match("^(.*) HTTP") end
  return list, code, log, headers
end

t.fix("308 is followed", function()
  t.same(lines({}, moved(308, "/n"), OK), { "GET /a/b?c", "GET /n" })
end)

t.fix("HEAD stays HEAD", function()
  for _, code in ipairs { 301, 302, 303, 307, 308 } do
    t.same(lines({ method = "HEAD" }, moved(code, "/n"), OK), { "HEAD /a/b?c", "HEAD /n" })
  end
end)

t.fix("with a body only if asked, as before", function()
  t.same(lines({ method = "POST", body = "x" }, moved(302, "/n"), OK), { "POST /a/b?c" })
  t.same(lines({ method = "POST", body = "x" }, moved(308, "/n"), OK), { "POST /a/b?c" })
  t.same(lines({ method = "DELETE" }, moved(302, "/n"), OK), { "DELETE /a/b?c" })
end)

t.fix("methods", function()
  local function second(method, code)
    return lines({ method = method, body = "x", redirect = true }, moved(code, "/n"), OK)[2]
  end
  t.equal(second("POST", 301), "GET /n")
  t.equal(second("POST", 302), "GET /n")
  t.equal(second("POST", 303), "GET /n")
  t.equal(second("POST", 307), "POST /n")
  t.equal(second("POST", 308), "POST /n")
  t.equal(second("PUT", 301), "PUT /n")
  t.equal(second("PUT", 302), "PUT /n")
  t.equal(second("PUT", 303), "GET /n")
  t.equal(second("DELETE", 307), "DELETE /n")
end)

t.fix("a body is sent again, or dropped with what describes it", function()
  local fields = { body = "text", method = "POST", redirect = true, headers = { ["Content-Type"] = "text/plain" } }
  local _, _, log = lines(fields, moved(307, "/n"), OK)
  t.equal(t.head(log[2].sent)["content-type"], "text/plain")
  t.match(log[2].sent, "\r\ntext$")
  _, _, log = lines(fields, moved(303, "/n"), OK)
  local head = t.head(log[2].sent)
  t.equal(head["content-type"], nil)
  t.equal(head["content-length"], nil)
  t.match(log[2].sent, "\r\n\r\n$")
end)

t.fix("a source is sent again if it can be rewound", function()
  local function post(source)
    return lines({ source = source, method = "POST", redirect = true }, moved(307, "/n"), OK)
  end
  local list, code = post(ltn12.source.string("x"))
  t.same(list, { "POST /a/b?c" })
  t.equal(code, 307)
  local again = setmetatable({ rewind = function(self) self.over = false return true end }, {
    __call = function(self)
      if self.over then return nil end
      self.over = true
      return "x"
    end,
  })
  local _, _, log = post(again)
  t.equal(#log, 2)
  t.match(log[2].sent, "\r\n\r\n1\r\nx\r\n0\r\n\r\n$")
  _, _, log = lines({ body = function() return ltn12.source.string("y") end, redirect = true }, moved(307, "/n"), OK)
  t.match(log[2].sent, "\r\n\r\n1\r\ny\r\n0\r\n\r\n$")
end)

t.fix("secrets stay at home", function()
  local secrets = { Authorization = "secret", Cookie = "a=b", ["Proxy-Authorization"] = "p", ["X-A"] = "x" }
  local function second(location)
    local _, _, log = lines({ headers = secrets }, moved(302, location), OK)
    return t.head(log[2].sent), log[2]
  end
  local head = second "/n"
  t.equal(head.authorization, "secret")
  t.equal(head.cookie, "a=b")
  for _, away in ipairs { "http://o.test/", "http://h.test:81/", "https://h.test/", "//o.test/n" } do
    head = second(away)
    t.equal(head.authorization, nil, away)
    t.equal(head.cookie, nil, away)
    t.equal(head["proxy-authorization"], nil, away)
    t.equal(head["x-a"], "x", away)
  end
  t.equal(second("http://H.TEST:80/n").authorization, "secret")
end)

t.fix("the field Host never goes along", function()
  local _, code, log = lines({ headers = { Host = "virtual.test" } }, moved(302, "http://o.test/"), OK)
  t.equal(code, 200)
  t.equal(t.head(log[1].sent).host, "virtual.test")
  t.equal(t.head(log[2].sent).host, "o.test")
end)

t.fix("credentials of the url", function()
  local function second(location, fields)
    fields = fields or { url = "http://u:p%40@h.test/" }
    local _, _, log = lines(fields, moved(302, location), OK)
    return t.head(log[2].sent).authorization
  end
  t.equal(second "/n", "Basic dTpwQA==")
  t.equal(second "http://h.test/n", "Basic dTpwQA==")
  t.equal(second "http://o.test/n", nil)
  t.equal(second "http://v:w@o.test/n", "Basic djp3")
  t.equal(second("/n", { user = "u", password = "p%40" }), "Basic dTpwJTQw")
  t.equal(second("http://o.test/n", { user = "u", password = "p%40" }), nil)
end)

t.fix("never from https to http", function()
  local list, code, log = lines({ url = "https://h.test/" }, moved(302, "http://h.test/n"), OK)
  t.same(list, { "GET /" })
  t.equal(code, 302)
  t.equal(log[1].scheme, "https")
  list, code, log = lines({ url = "https://h.test/" }, moved(302, "/n"), OK)
  t.equal(code, 200)
  t.same(list, { "GET /", "GET /n" })
  t.equal(log[2].scheme, "https")
  list, code, log = lines({}, moved(302, "HTTPS://h.test/n"), OK)
  t.equal(#list, 2)
  t.equal(code, 200)
  t.equal(log[2].scheme, "https")
end)

t.fix("the caller's constructor serves while the scheme stays", function()
  local create, log = t.play(moved(302, "/1"), moved(302, "http://o.test/2"), OK)
  local reqt = { url = "http://h.test/", create = create }
  t.equal(select(2, http.request(reqt)), 200)
  t.equal(#log, 3)
  t.equal(reqt.create, create)
end)

t.fix("parts instead of a url", function()
  local parts = { url = false, scheme = "http", host = "h.test", port = "81", path = "/a/b" }
  local list, code, log = lines(parts, moved(302, "c"), OK)
  t.same(list, { "GET /a/b", "GET /a/c" })
  t.equal(code, 200)
  t.equal(tonumber(log[2].port), 81)
  list, code, log = lines({ url = "http://x.test/y", host = "h.test" }, moved(302, "c"), OK)
  t.same(list, { "GET /y", "GET /c" })
  t.equal(code, 200)
  t.equal(log[2].host, "h.test")
end)

t.fix("fragments: not sent, inherited", function()
  local function last(location)
    local list, _, _, headers = lines({ url = "http://h.test/a#f" }, moved(302, location), OK)
    t.same(list, { "GET /a", "GET /n" })
    return http.location(headers)
  end
  t.returns({ "http://h.test/n#f", 1 }, last "/n")
  t.equal(last "/n#g", "http://h.test/n#g")
end)

t.fix("blanks around a location", function()
  t.same(lines({}, moved(302, "  /n  "), OK), { "GET /a/b?c", "GET /n" })
end)

t.fix("callbacks and step go along", function()
  local steps, urls = 0, {}
  through({
    step = function(...)
      steps = steps + 1
      return ltn12.pump.step(...)
    end,
    on_headers = function(_, _, _, url) urls[#urls + 1] = url end,
  }, moved(302, "/n"), OK)
  t.ok(steps > 0)
  t.same(urls, { "http://h.test/n" })
end)

t.fix("a time limit covers all hops", function()
  local before = http.schemes.http.create
  t.finally(function() http.schemes.http.create = before end)
  local count = 0
  local socket = require "socket"
  http.schemes.http.create = function()
    return function()
      count = count + 1
      local create = t.play(moved(302, "/" .. count))
      local sock = create()
      local connect = sock.connect
      function sock.connect(...)
        socket.sleep(0.05)
        return connect(...)
      end
      return sock
    end
  end
  t.returns({ n = 2, nil, "timeout" }, http.request { url = "http://h.test/", timeout = 0.2, maxredirects = false })
  t.between(count, 2, 6)
end)

t.done()

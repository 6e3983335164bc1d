-- socket.http: proxies, tunnels, the environment.

local t = require "support"
local http = require "socket.http"
local ltn12 = require "ltn12"

local OK = t.lines("HTTP/1.1 200 OK", "Content-Length: 5", "") .. "hello"
local TUNNEL = t.lines("HTTP/1.1 200 Connection established", "")

local function ask(fields, ...)
  local create, log = t.play(...)
  local target = {}
  local reqt = { create = create, sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields) do reqt[name] = value end
  local ok, code = http.request(reqt)
  return ok and table.concat(target), code, log
end

t.fix("a proxy without scheme", function()
  local body, code, log = ask({ url = "http://h.test/", proxy = "proxy.test:81" }, OK)
  t.equal(body, "hello")
  t.equal(code, 200)
  t.equal(log[1].host, "proxy.test")
  t.equal(tonumber(log[1].port), 81)
end)

t.fix("proxies that are none", function()
  t.returns({ n = 2, nil, "invalid proxy" }, http.request { url = "http://h.test/", proxy = "http://" })
  t.returns({ n = 2, nil, "invalid proxy" }, http.request { url = "http://h.test/", proxy = 5 })
  t.returns({ n = 2, nil, "unsupported scheme 'socks5' of proxy" },
    http.request { url = "http://h.test/", proxy = "socks5://p.test" })
end)

t.fix("false overrides PROXY, no_proxy exempts", function()
  t.finally(function() http.PROXY = nil end)
  http.PROXY = "http://proxy.test:1"
  local function host(fields)
    fields.url = fields.url or "http://www.h.test:81/"
    local _, code, log = ask(fields, OK)
    t.equal(code, 200)
    return log[1].host
  end
  t.equal(host {}, "proxy.test")
  t.equal(host { proxy = false }, "www.h.test")
  for _, list in ipairs {
    "*", "h.test", ".h.test", "*.h.test", "www.h.test", "WWW.H.TEST", "x, h.test", "x h.test", "h.test:81", "[h.test]",
  } do
    t.equal(host { no_proxy = list }, "www.h.test", list)
  end
  for _, list in ipairs { "", ",", "ww.h.test", "test.h", "h.tes", "h.test:82", "10.0.0.0/8", "." } do
    t.equal(host { no_proxy = list }, "proxy.test", list)
  end
  t.equal(host { url = "http://10.1.2.3/", no_proxy = "10.0.0.0/8" }, "10.1.2.3")
  t.equal(host { url = "http://11.1.2.3/", no_proxy = "10.0.0.0/8" }, "proxy.test")
  t.equal(host { url = "http://[::1]/", no_proxy = "::1" }, "::1")
  t.equal(host { url = "http://[::1]:99/", no_proxy = "[::1]:99" }, "::1")
  t.equal(host { url = "http://[::1]:98/", no_proxy = "[::1]:99" }, "proxy.test")
end)

-- The environment of a child is ours to set; ours is not.
local function fromenvironment(environment, url)
  local script = os.tmpname()
  t.finally(function() os.remove(script) end)
  local file = assert(io.open(script, "w"))
  file:write(("package.path, package.cpath = %q, %q "):format(package.path, package.cpath), ([[
    local http = require "socket.http"
    local ok, err = http.request { url = %q, proxy = "env", create = function()
      return {
        settimeout = function() return 1 end, close = function() end,
        connect = function(_, host, port) return nil, host .. ":" .. port end,
      }
    end }
    print(err)
  ]]):format(url))
  file:close()
  return (t.shell(("env -i %s %s %s"):format(environment, t.interpreter(), script)):match("^[^\n]*"))
end

t.fix("the environment, when asked for", function()
  local url = "http://h.test/"
  t.equal(fromenvironment("", url), "h.test:80")
  t.equal(fromenvironment("http_proxy=http://p.test:8", url), "p.test:8")
  t.equal(fromenvironment("HTTP_PROXY=http://p.test:8", url), "p.test:8")
  t.equal(fromenvironment("HTTP_PROXY=http://p.test:8 REQUEST_METHOD=GET", url), "h.test:80")
  t.equal(fromenvironment("all_proxy=p.test:8", url), "p.test:8")
  t.equal(fromenvironment("https_proxy=p.test:8", url), "h.test:80")
  t.equal(fromenvironment("http_proxy=p.test:8 no_proxy=h.test", url), "h.test:80")
  t.equal(fromenvironment("http_proxy=p.test:8 NO_PROXY=h.test", url), "h.test:80")
  t.equal(fromenvironment("http_proxy= HTTP_PROXY=", url), "h.test:80")
end)

t.fix("credentials of a proxy are unescaped and stay with it", function()
  local body, _, log = ask({ url = "http://h.test/", proxy = "http://u%40:p%3A@proxy.test" }, OK)
  t.equal(body, "hello")
  t.equal(t.head(log[1].sent)["proxy-authorization"], "Basic dUA6cDo=")
end)

-- What ssl.https.tcp makes: an object with a TCP socket in `sock`, which it connects before it shakes hands.
local function secure(log, ...)
  local create, entries = t.play(...)
  return {
    tcp = function()
      return function()
        local conn = { sock = create() }
        local entry = entries[#entries]
        log[#log + 1] = entry
        function conn.settimeout() return 1 end
        function conn:connect(host, port)
          local ok, err = self.sock:connect(host, port)
          if not ok then return nil, err end
          entry.below, entry.sent, entry.name = entry.sent, "", host
          return 1
        end
        for _, name in ipairs { "send", "receive", "close" } do
          conn[name] = function(self, ...)
            local sock = self.sock.transport and self.sock:transport() or self.sock
            return sock[name](sock, ...)
          end
        end
        return conn
      end
    end,
  }
end

local function asksecure(fields, ...)
  local loaded, log = package.loaded["ssl.https"], {}
  t.finally(function() package.loaded["ssl.https"] = loaded end)
  package.loaded["ssl.https"] = secure(log, ...)
  local target = {}
  local reqt = { url = "https://h.test/x", proxy = "http://u:p@proxy.test:81", sink = (ltn12.sink.table(target)) }
  for name, value in pairs(fields) do reqt[name] = value end
  local ok, code = http.request(reqt)
  return ok and table.concat(target), code, log
end

t.fix("https goes through a tunnel", function()
  local body, code, log = asksecure({}, TUNNEL .. OK)
  t.equal(body, "hello")
  t.equal(code, 200)
  t.equal(log[1].host, "proxy.test")
  t.equal(tonumber(log[1].port), 81)
  t.equal(log[1].name, "h.test")
  local connect = t.head(log[1].below)
  t.equal(connect.line, "CONNECT h.test:443 HTTP/1.1")
  t.equal(connect.host, "h.test:443")
  t.equal(connect["proxy-authorization"], "Basic dTpw")
  local inside = t.head(log[1].sent)
  t.equal(inside.line, "GET /x HTTP/1.1")
  t.equal(inside.host, "h.test")
  t.equal(inside["proxy-authorization"], nil)
end)

t.fix("a tunnel to an IPv6 address, with interim responses, under a time limit", function()
  local body, _, log = asksecure({ url = "https://[::1]:8443/", timeout = 5 }, t.lines("HTTP/1.1 103 E", "") .. TUNNEL .. OK)
  t.equal(body, "hello")
  t.equal(t.head(log[1].below).line, "CONNECT [::1]:8443 HTTP/1.1")
end)

t.fix("a proxy that refuses", function()
  local function refused(...)
    local body, err, log = asksecure({}, ...)
    t.equal(body, nil)
    t.ok(log[1].closed > 0)
    return err
  end
  t.equal(refused(t.lines("HTTP/1.1 407 Proxy Authentication Required", "")),
    "proxy refuses tunnel: 'HTTP/1.1 407 Proxy Authentication Required'")
  t.equal(refused "SSH-2.0-x\r\n", "invalid status line from proxy: 'SSH-2.0-x'")
  t.equal(refused "", "closed")
  t.equal(refused { "", stay = true }, "timeout")
  t.equal(refused { "", refuse = "connection refused" }, "connection refused")
end)

t.fix("no tunnel below what does not say where its socket is", function()
  local body, err = ask({ url = "https://h.test/", proxy = "http://proxy.test" }, OK)
  t.equal(body, nil)
  t.equal(err, "no tunnel through a proxy for this kind of connection")
end)

t.done()

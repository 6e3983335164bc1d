-- Certificates for tests, made with the openssl command, once a day for all of them.
--
--     certificates()     the folder with the files below; skips the test without openssl. Each name stands for NAME.pem
--                        and NAME.key:
--         ca, ca2                     two authorities; everything is issued by the first
--         server, rsa                 localhost, 127.0.0.1 and ::1; with a key of either kind
--         client, clientrsa           for clients only
--         inter, chained              an authority below ca; a server's certificate below that (with inter.pem behind it)
--         expired, future, nosan, serveronly, wildcard (*.example.test), wide (*.test), other (other.test)
--         self, selfca                self-signed: a leaf; an authority that is its own server
--         old, oldbelow               X.509 version 1; the second issued by inter (with inter.pem behind it)
--         called                      an authority, issued by ca, that is its own server
--         revoked                     listed in ca-crl.pem (a list with ca.pem before it); ca-empty-crl.pem lists nothing
--         constrained, outside        an authority for example.test only; what it issued for localhost
--         short, below, deep          an authority for leaves only, an authority it issued, a leaf of that one
--         oldout                      as deep, of version 1
--         weak, sha1                  1024 bits; SHA-1
--         forged                      server, with a signature that is not right
--         names                       every kind of other name
--     and keys under the password "secret": of server locked.key, lockedscrypt.key, lockeddes3.key (PKCS#8), legacy.key
--     (DEK-Info); of rsa legacyaes.key, legacydes3.key.

local io, os, string, table = io, os, string, table
local assert, tostring = assert, tostring

local support = ...
local M = {}

local SCRIPT = [=[
set -e
umask 077
mkdir "$1.new"
cd "$1.new"
cat > conf <<'END'
[req]
distinguished_name = dn
prompt = no
[dn]
CN = x
[ca]
default_ca = main
[main]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
default_crl_days = 30
crl_extensions = list
unique_subject = no
[any]
commonName = supplied
[list]
authorityKeyIdentifier = keyid:always
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign, cRLSign
subjectKeyIdentifier = hash
[limited]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = keyCertSign
[fenced]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign
nameConstraints = critical, permitted;DNS:example.test
[both]
basicConstraints = critical, CA:TRUE
subjectAltName = DNS:localhost
[usual]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:0:0:0:0:0:0:0:1
[foreign]
subjectAltName = DNS:other.test
[wildcard]
subjectAltName = DNS:*.example.test
[wide]
subjectAltName = DNS:*.test
[nosan]
basicConstraints = CA:FALSE
[client]
extendedKeyUsage = clientAuth
subjectAltName = DNS:a-client
[serveronly]
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
[names]
subjectAltName = DNS:a.test, DNS:*.b.test, email:m@a.test, URI:xmpp:a.test, IP:127.0.0.1, IP:0:0:0:0:0:0:0:1, otherName:1.3.6.1.5.5.7.8.5;UTF8:juergen@a.test, otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.a.test, RID:1.2.3
END
: > index
echo 10 > serial
key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
request() { openssl req -new -config conf -key $1.key -subj "/CN=$2" -out $1.csr; }
# sign NAME CN SECTION ISSUER [more]
sign() {
  n=$1 s=$3 i=$4 cn=$2; shift 4
  test -f $n.key || key $n
  request $n "$cn"
  openssl x509 -req -in $n.csr -CA $i.pem -CAkey $i.key -set_serial 0x$(openssl rand -hex 8) -days 90 -extfile conf -extensions $s -out $n.pem "$@"
}
root() { key $1; openssl req -x509 -config conf -new -key $1.key -subj "/CN=$2" -days 90 -extensions $3 -out $1.pem; }
root ca "Test CA" authority
root ca2 "Other CA" authority
sign server localhost usual ca
openssl genrsa -out rsa.key 2048
sign rsa localhost usual ca
sign client "a client" client ca
openssl genrsa -out clientrsa.key 2048
sign clientrsa "a client" client ca
sign inter "Test Intermediate" authority ca
sign chained localhost usual inter
cat inter.pem >> chained.pem
key expired; request expired localhost
openssl ca -batch -config conf -extensions usual -cert ca.pem -keyfile ca.key -in expired.csr -out expired.pem -notext -startdate 20200101000000Z -enddate 20210101000000Z
key future; request future localhost
openssl ca -batch -config conf -extensions usual -cert ca.pem -keyfile ca.key -in future.csr -out future.pem -notext -startdate 20480101000000Z -enddate 20490101000000Z
sign nosan localhost nosan ca
sign serveronly localhost serveronly ca
sign wildcard "wild" wildcard ca
sign wide "wide" wide ca
sign other other.test foreign ca
root self localhost usual
root selfca localhost both
key old; request old localhost
openssl x509 -req -in old.csr -CA ca.pem -CAkey ca.key -set_serial 77 -days 90 -out old.pem
key oldbelow; request oldbelow localhost
openssl x509 -req -in oldbelow.csr -CA inter.pem -CAkey inter.key -set_serial 78 -days 90 -out oldbelow.pem
cat inter.pem >> oldbelow.pem
sign called localhost both ca
openssl ca -config conf -cert ca.pem -keyfile ca.key -gencrl -out empty.crl
key revoked; request revoked localhost
openssl ca -batch -config conf -extensions usual -cert ca.pem -keyfile ca.key -in revoked.csr -out revoked.pem -notext -days 90
openssl ca -config conf -cert ca.pem -keyfile ca.key -revoke revoked.pem
openssl ca -config conf -cert ca.pem -keyfile ca.key -gencrl -out ca.crl
cat ca.pem ca.crl > ca-crl.pem
cat ca.pem empty.crl > ca-empty-crl.pem
sign constrained "Fenced CA" fenced ca
sign outside localhost usual constrained
cat constrained.pem >> outside.pem
sign short "Short CA" limited ca
sign below "CA below" authority short
sign deep localhost usual below
cat below.pem short.pem >> deep.pem
key oldout; request oldout localhost
openssl x509 -req -in oldout.csr -CA below.pem -CAkey below.key -set_serial 79 -days 90 -out oldout.pem
cat below.pem short.pem >> oldout.pem
openssl genrsa -out weak.key 1024
sign weak localhost usual ca
sign sha1 localhost usual ca -sha1
sign names "names" names ca
openssl x509 -in server.pem -outform DER -out server.der
size=$(wc -c < server.der)
{ head -c $((size - 8)) server.der; printf '\001\002\003\004\005\006\007\010'; } > forged.der
openssl x509 -inform DER -in forged.der -out forged.pem
cp server.key forged.key
openssl pkcs8 -topk8 -in server.key -out locked.key -passout pass:secret
openssl pkcs8 -topk8 -scrypt -in server.key -out lockedscrypt.key -passout pass:secret
openssl pkcs8 -topk8 -v2 des3 -in server.key -out lockeddes3.key -passout pass:secret
openssl ec -in server.key -aes128 -out legacy.key -passout pass:secret
openssl rsa -in rsa.key -aes256 -traditional -out legacyaes.key -passout pass:secret
openssl rsa -in rsa.key -des3 -traditional -out legacydes3.key -passout pass:secret
mkdir hashed
cp ca.pem hashed/$(openssl x509 -in ca.pem -noout -hash).0
cat ca.pem ca2.pem > both.pem
mv "$1.new" "$1" 2>/dev/null || rm -rf "$1.new"
]=]

local folder

local function there(path)
  local file = io.open(path .. "/both.pem")
  if file then file:close() end
  return file ~= nil
end

local function make()
  local user = support.shell("id -u"):match("%d+")
  -- The length of the script tells one version of it from another.
  local path = (os.getenv("TMPDIR") or "/tmp") .. "/luasocket-spec-certificates-" .. user .. "-" .. os.date("!%Y%m%d") .. "-"
    .. #SCRIPT
  if there(path) then return path end
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write((SCRIPT:gsub("%$1%.new", path .. ".$$")))
  file:close()
  local said = support.shell("/bin/sh " .. name .. " " .. path)
  os.remove(name)
  if not there(path) then support.skip("certificates cannot be made: " .. tostring(said):sub(-300)) end
  return path
end

function M.certificates()
  support.needs "openssl"
  folder = folder or make()
  return folder
end

function M.contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

return M

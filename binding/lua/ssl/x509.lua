--- `ssl.x509`: certificates.
local native = require "ssl.native"

return { load = native.certificate.load }

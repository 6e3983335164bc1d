--- `socket.mbox`: another name of `mbox`.
return require "mbox"

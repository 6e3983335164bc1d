print(require "socket")

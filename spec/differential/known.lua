-- The differences that are meant. A pair of lines is let pass when an entry matches it:
--
--     area    the area (a pattern)
--     step    the call as the trace writes it (a pattern)
--     theirs  what the C library answers (a pattern)
--     ours    what we answer (a pattern)
--     why     the reason
--     ends    true when what follows in the case may differ, too

return {
  {
    area = ".", step = ".", theirs = "^raises.-assertion failed!", ours = "^raises",
    why = "we name the argument",
  },
  {
    area = ".", step = ".", theirs = "^raises.-\"attempt to ", ours = "^raises",
    why = "the texts of errors inside Lua functions depend on the names of their variables",
  },
  {
    area = ".", step = ".", theirs = "attempt to call", ours = "attempt to call",
    why = "the same, as a value",
  },
  {
    area = ".", step = ".", theirs = "^raises @ \"bad argument #%d to '[a-z]+'", ours = "^raises \"bad argument #%d to",
    why = "wrong arguments are found at the entry, not by a function of Lua deep inside",
  },
  {
    area = "ltn12", step = "^%d+ wrong", theirs = ".", ours = "^raises.*bad argument",
    why = "wrong arguments are found, and at the entry",
  },
  {
    area = ".", step = "getoption", theirs = "unsupported option", ours = "^[^r]",
    why = "every option can be read",
  },
  {
    area = "tcp", step = "pull%(", theirs = "^nil", ours = '^"', ends = true,
    why = "a source hands out what came before a timeout",
  },
  {
    area = ".", step = "getsockname", theirs = '"0"', ours = ", 0",
    why = "the port is a number, as in versions after 3.1.0",
  },
  {
    area = "http", step = ".", theirs = 'nil, "malformed reponse headers"', ours = 'nil, "malformed response headers"',
    why = "the word is spelt as in versions after 3.1.0",
  },
  {
    area = "http", step = ".", theirs = "^raises", ours = '^nil, "',
    why = "what is wrong with a request is told, not raised",
  },
  {
    area = "url", step = ".", theirs = "^raises @", ours = "^raises",
    why = "wrong arguments are found at the entry and named",
  },
  {
    area = "arguments", step = "socket%.[bc][io]n%a+4? 3 table", theirs = ".", ours = "returns",
    why = "a table there holds options",
  },
  {
    area = ".", step = "shutdown", theirs = "[1s]", ours = "^raises.*string expected", ends = true,
    why = "on LuaJIT the C library takes a word of the wrong type for none",
  },
  {
    area = "arguments", step = "socket%.connect 5", theirs = "returns", ours = "^raises.*string expected",
    why = "the same",
  },
  {
    area = "tcp", step = "getsockname", theirs = "127%.0%.0%.1.*unspec", ours = "0%.0%.0%.0.*unspec",
    why = "what is left of a refused connection",
  },
  {
    area = "unix", step = "getsockname", theirs = '^""$', ours = '^"\\000',
    why = "abstract names are told, as in versions after 3.1.0",
  },
  {
    area = "mime", step = "unb64%(12", theirs = "^nil", ours = '^"',
    why = "a tail without padding is decoded",
  },
}

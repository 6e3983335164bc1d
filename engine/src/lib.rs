//! Sockets, deadlines, names and operations; knows no Lua.

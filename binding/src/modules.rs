//! The modules a Lua program can `require`, and the function that opens each.

use std::ffi::CStr;

use mlua_sys::lua_CFunction;

use crate::embed::lua_module;

pub use crate::namespace::open as socket_core;
pub use crate::serial::open_module as socket_serial;
pub use crate::unix::open_module as socket_unix;

lua_module!(
    /// `socket`: the namespace, completed by what is written in Lua.
    socket, "socket.lua"
);

/// Name for `require`, and opener, of every module.
pub const MODULES: &[(&CStr, lua_CFunction)] = &[
    (c"socket", socket),
    (c"socket.core", socket_core),
    (c"socket.serial", socket_serial),
    (c"socket.unix", socket_unix),
];

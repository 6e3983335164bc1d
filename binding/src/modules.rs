//! The modules a Lua program can `require`, and the function that opens each.

use std::ffi::CStr;

use mlua_sys::lua_CFunction;

use crate::embed::lua_module;

lua_module!(
    /// `socket`: the namespace, completed by what is written in Lua.
    socket, "socket.lua"
);

/// Name for `require`, and opener, of every module.
pub const MODULES: &[(&CStr, lua_CFunction)] = &[
    (c"socket", socket),
];

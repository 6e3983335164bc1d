//! `socket.core`: the part of the namespace that is written in Rust.

use std::ffi::{CStr, c_int};

use luasocket_engine::sys;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::{dns, except, select, stack, task, tcp, udp};

// Every function below is an entry (see `boundary.rs`).

/// `gettime()`: seconds since 1970, UTC.
unsafe extern "C-unwind" fn gettime(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushnumber(l, sys::gettime()) };
    1
}

/// `skip(d, ...)`: what follows the first `d` of the other arguments.
unsafe extern "C-unwind" fn skip(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let skipped = lua::luaL_checkinteger(l, 1).max(0);
        let rest = i64::from(lua::lua_gettop(l)) - 1 - (skipped as i64);
        rest.max(0) as c_int
    }
}

/// `__unload()`: nothing to do on Unix.
unsafe extern "C-unwind" fn unload(_: *mut lua_State) -> c_int {
    0
}

/// `require "socket.core"`: the namespace, as far as it is written in Rust.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        tcp::register(l);
        udp::register(l);
        lua::lua_createtable(l, 0, 32);
        set_constants(l);
        for functions in [FUNCTIONS, tcp::FUNCTIONS, udp::FUNCTIONS] {
            stack::set_functions(l, functions);
        }
        select::push(l);
        lua::lua_setfield(l, -2, c"select".as_ptr());
        lua::lua_createtable(l, 0, dns::FUNCTIONS.len() as c_int);
        stack::set_functions(l, dns::FUNCTIONS);
        lua::lua_setfield(l, -2, c"dns".as_ptr());
        set_except(l);
    }
    1
}

unsafe fn set_constants(l: *mut lua_State) {
    // SAFETY: called by an entry.
    unsafe {
        stack::set_bytes(l, c"_VERSION", b"LuaSocket 3.1.0");
        #[cfg(feature = "debug")]
        {
            lua::lua_pushboolean(l, 1);
            lua::lua_setfield(l, -2, c"_DEBUG".as_ptr());
        }
        for (name, value) in CONSTANTS {
            lua::lua_pushinteger(l, *value);
            lua::lua_setfield(l, -2, name.as_ptr());
        }
    }
}

/// Takes `newtry` and `protect` from the Lua file that makes them.
unsafe fn set_except(l: *mut lua_State) {
    // SAFETY: called by an entry.
    unsafe {
        except::push_module(l);
        for name in [c"newtry", c"protect"] {
            lua::lua_getfield(l, -1, name.as_ptr());
            lua::lua_setfield(l, -3, name.as_ptr());
        }
        lua::lua_pop(l, 1);
    }
}

const CONSTANTS: &[(&CStr, lua::lua_Integer)] = &[
    (c"_DATAGRAMSIZE", 8192),
    (c"_SETSIZE", select::SETSIZE as lua::lua_Integer),
    (c"_SOCKETINVALID", -1),
];

const FUNCTIONS: &[(&CStr, lua_CFunction)] = &[
    (c"__unload", unload),
    (c"gettime", gettime),
    (c"skip", skip),
    (c"sleep", task::sleep::sleep),
];

//! TLS: what the modules `ssl.*` are made of. The modules themselves are written in Lua,
//! over the private module `ssl.native`.

mod certificate;
mod chains;
mod connection;
mod context;
mod steps;

use std::ffi::c_int;

use luasocket_engine::tls::groups;
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::park;
use crate::stack;

pub use connection::Connection;

/// `require "ssl.native"`.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open_module(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        context::register(l);
        connection::register(l, chains::METHODS);
        certificate::register(l);
        lua::lua_createtable(l, 0, 3);
        lua::lua_createtable(l, 0, context::FUNCTIONS.len() as c_int);
        stack::set_functions(l, context::FUNCTIONS);
        lua::lua_setfield(l, -2, c"context".as_ptr());
        lua::lua_createtable(l, 0, steps::FUNCTIONS.len() as c_int);
        stack::set_functions(l, steps::FUNCTIONS);
        lua::lua_setfield(l, -2, c"connection".as_ptr());
        lua::lua_createtable(l, 0, certificate::FUNCTIONS.len() as c_int);
        stack::set_functions(l, certificate::FUNCTIONS);
        lua::lua_setfield(l, -2, c"certificate".as_ptr());
        lua::lua_createtable(l, 0, groups::NAMES.len() as c_int);
        for name in groups::NAMES {
            stack::push_bytes(l, name.as_bytes());
            lua::lua_pushboolean(l, 1);
            lua::lua_rawset(l, -3);
        }
        lua::lua_setfield(l, -2, c"curves".as_ptr());
    }
    1
}

/// Does the work of an entry; pushes true, or false and the words of the failure.
///
/// # Safety
///
/// `l` is an entry's state; `work` does not use it.
unsafe fn attempt(l: *mut lua_State, work: impl FnOnce() -> Result<(), String>) -> c_int {
    // SAFETY: as the contract says; what is parked stays on the stack.
    unsafe {
        match &*park(l, work) {
            Ok(()) => {
                lua::lua_pushboolean(l, 1);
                1
            }
            Err(words) => {
                lua::lua_pushboolean(l, 0);
                stack::push_bytes(l, words.as_bytes());
                2
            }
        }
    }
}

/// The text of `bytes`, or what is nearest to it.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

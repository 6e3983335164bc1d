//! LuaSocket for Lua 5.1 to 5.5 and LuaJIT.
//!
//! A program that embeds Lua calls [`preload`], after which `require "socket"`
//! and the other modules work in that state; [`open`] does that and also loads
//! `socket`. The shared library for a stock Lua exports the functions of
//! [`MODULES`] as `luaopen_*`.
#![deny(unsafe_op_in_unsafe_fn)]

mod boundary;
mod clock;
mod datagram;
mod deflate;
mod digest;
mod dns;
mod drive;
mod embed;
mod except;
mod hand_over;
mod http;
mod mime;
#[cfg(feature = "mlua")]
pub mod mlua;
pub mod modules;
mod namespace;
mod object;
mod scratch;
mod select;
mod serial;
mod socket;
mod spot;
mod stack;
mod stream;
mod subject;
mod task;
mod tcp;
mod tls;
mod udp;
mod unix;
mod url;

use std::ffi::c_int;

use mlua_sys::{LUA_REGISTRYINDEX, LUA_TTABLE, luaL_error, luaL_getsubtable};
use mlua_sys::{lua_State, lua_getfield, lua_pop, lua_pushcfunction, lua_setfield, lua_type};

pub use luasocket_engine::interrupt;
pub use modules::MODULES;

/// Makes every module of [`MODULES`] loadable with `require` in `l`.
///
/// Uses 4 stack slots. May raise a Lua error: for lack of memory, or because the
/// `package` library is not open.
///
/// # Safety
///
/// `l` must be a valid Lua state of the version this crate was built for.
pub unsafe fn preload(l: *mut lua_State) {
    // SAFETY: the caller vouches for `l`; slots are counted above.
    unsafe {
        // `package.preload`; the registry names it `_PRELOAD`, but not on 5.1.
        luaL_getsubtable(l, LUA_REGISTRYINDEX, c"_LOADED".as_ptr());
        lua_getfield(l, -1, c"package".as_ptr());
        if lua_type(l, -1) != LUA_TTABLE {
            luaL_error(l, c"luasocket needs the package library".as_ptr());
        }
        luaL_getsubtable(l, -1, c"preload".as_ptr());
        for &(name, open) in MODULES {
            lua_pushcfunction(l, open);
            lua_setfield(l, -2, name.as_ptr());
        }
        lua_pop(l, 3);
    }
}

/// [`preload`]s all modules and leaves the result of `require "socket"` on the
/// stack: the namespace table.
///
/// # Safety
///
/// As [`preload`]; in addition the caller must allow Lua errors (call it in
/// protected mode).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: the caller vouches for `l`.
    unsafe {
        preload(l);
        mlua_sys::lua_getglobal(l, c"require".as_ptr());
        mlua_sys::lua_pushstring(l, c"socket".as_ptr());
        mlua_sys::lua_call(l, 1, 1);
    }
    1
}

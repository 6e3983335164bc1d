//! `socket.digest`: digests as lower-case hexadecimal text.

use std::ffi::{CStr, c_int};

use luasocket_codec::digest;
use mlua_sys as lua;
use mlua_sys::{lua_CFunction, lua_State};

use crate::boundary::guard;
use crate::stack;

/// Opens the module.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int);
        stack::set_functions(l, FUNCTIONS);
    }
    1
}

// Every function below is an entry (see `boundary.rs`).

/// `md5(text)`.
unsafe extern "C-unwind" fn md5(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let text = stack::check_bytes(l, 1);
        let digest = guard(l, || digest::md5(text.get()));
        stack::push_bytes(l, &digest);
    }
    1
}

/// `sha256(text)`.
unsafe extern "C-unwind" fn sha256(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the string stays argument 1.
    unsafe {
        let text = stack::check_bytes(l, 1);
        let digest = guard(l, || digest::sha256(text.get()));
        stack::push_bytes(l, &digest);
    }
    1
}

/// `hmac_md5(key, text)`.
unsafe extern "C-unwind" fn hmac_md5(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the strings stay arguments 1 and 2.
    unsafe {
        let (key, text) = (stack::check_bytes(l, 1), stack::check_bytes(l, 2));
        let digest = guard(l, || digest::hmac_md5(key.get(), text.get()));
        stack::push_bytes(l, &digest);
    }
    1
}

const FUNCTIONS: &[(&CStr, lua_CFunction)] =
    &[(c"hmac_md5", hmac_md5), (c"md5", md5), (c"sha256", sha256)];

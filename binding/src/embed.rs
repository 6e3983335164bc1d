//! The Lua sources that the library carries inside.

use std::ffi::{CStr, c_int};

use mlua_sys::{LUA_OK, lua_State, lua_call, lua_error, lua_gettop, lua_insert, luaL_loadbuffer};

/// Loads the embedded source `text` under the chunk name `name` (`@` and a
/// readable path) and calls it with the arguments of the running function, as
/// `require` calls a loader. Returns its single result.
///
/// # Safety
///
/// An entry's `l` (see `boundary.rs`).
pub unsafe fn run(l: *mut lua_State, name: &'static CStr, text: &'static str) -> c_int {
    // SAFETY: `l` is an entry's state; `text` outlives the call.
    unsafe {
        if luaL_loadbuffer(l, text.as_ptr().cast(), text.len(), name.as_ptr()) != LUA_OK {
            lua_error(l);
        }
        lua_insert(l, 1);
        lua_call(l, lua_gettop(l) - 1, 1);
    }
    1
}

/// Defines an opener that runs an embedded Lua file of `binding/lua`.
macro_rules! lua_module {
    ($(#[$doc:meta])* $open:ident, $path:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// To be called by Lua (see `boundary.rs`).
        pub unsafe extern "C-unwind" fn $open(l: *mut mlua_sys::lua_State) -> std::ffi::c_int {
            const NAME: &std::ffi::CStr =
                match std::ffi::CStr::from_bytes_with_nul(concat!("@", $path, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                };
            // SAFETY: called by Lua.
            unsafe { crate::embed::run(l, NAME, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lua/", $path))) }
        }
    };
}
pub(crate) use lua_module;

//! The shared library: `luaopen_*` for each module, nothing else.

use std::ffi::c_int;

use luasocket::modules;
use mlua_sys::lua_State;

/// Exports an opener of `luasocket` under the name that Lua's loader looks for.
macro_rules! export {
    ($($symbol:ident = $open:ident),* $(,)?) => {$(
        /// Called by Lua's loader.
        ///
        /// # Safety
        ///
        /// To be called by Lua, with its running state.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(l: *mut lua_State) -> c_int {
            // SAFETY: as our own contract.
            unsafe { modules::$open(l) }
        }
    )*};
}

export! {
    luaopen_socket = socket,
    luaopen_socket_core = socket_core,
    luaopen_socket_serial = socket_serial,
    luaopen_socket_unix = socket_unix,
}

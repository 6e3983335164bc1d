//! `luasocket`: a Lua interpreter with the library inside.

use std::ffi::CString;

use mlua_sys as lua;

fn main() {
    let script = std::env::args().nth(1).expect("usage: luasocket SCRIPT");
    let path = CString::new(script).expect("path without NUL");
    // SAFETY: a fresh state, used by this thread only.
    unsafe {
        let l = lua::luaL_newstate();
        lua::luaL_openlibs(l);
        luasocket::preload(l);
        if lua::luaL_loadfile(l, path.as_ptr()) != 0 || lua::lua_pcall(l, 0, 0, 0) != 0 {
            let message = std::ffi::CStr::from_ptr(lua::lua_tostring(l, -1));
            eprintln!("luasocket: {}", message.to_string_lossy());
            std::process::exit(1);
        }
        lua::lua_close(l);
    }
}

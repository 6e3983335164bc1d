//! Who we are, and which Lua is inside.

use std::ffi::CStr;

use mlua_sys as lua;
use mlua_sys::lua_State;

/// Prints one line: our version, then Lua's own.
///
/// # Safety
///
/// `l` is running in protected mode, with the standard libraries open.
pub unsafe fn print(l: *mut lua_State) {
    // SAFETY: as our own contract; the text is on the stack while it is used.
    unsafe {
        push_lua(l);
        let text = CStr::from_ptr(lua::lua_tostring(l, -1)).to_string_lossy();
        println!("{}", banner(&text));
        lua::lua_pop(l, 1);
    }
}

/// `ident` is Lua's own text, or holds it between `: ` and ` $`.
fn banner(ident: &str) -> String {
    let text = ident.split_once(": ").map_or(ident, |(_, text)| text);
    let text = text.split_once(" $").map_or(text, |(text, _)| text);
    format!("luasocket {}, {text}", env!("CARGO_PKG_VERSION"))
}

/// Pushes a text with Lua's name, release and copyright.
#[cfg(not(feature = "luajit"))]
unsafe fn push_lua(l: *mut lua_State) {
    unsafe extern "C" {
        /// `$LuaVersion: Lua 5.4.9  Copyright (C) ... $`, and more of the kind.
        static lua_ident: std::ffi::c_char;
    }
    // SAFETY: an array of characters that ends with NUL, in every PUC Lua.
    unsafe { lua::lua_pushstring(l, &raw const lua_ident) };
}

#[cfg(feature = "luajit")]
unsafe fn push_lua(l: *mut lua_State) {
    // SAFETY: the library `jit` is open.
    unsafe {
        lua::lua_getglobal(l, c"jit".as_ptr());
        lua::lua_getfield(l, -1, c"version".as_ptr());
        lua::lua_remove(l, -2);
    }
}

#[cfg(test)]
mod tests {
    use super::banner;

    #[test]
    fn the_banner_names_us_and_lua() {
        let ours = concat!("luasocket ", env!("CARGO_PKG_VERSION"), ", ");
        let ident = "$LuaVersion: Lua 5.4.9  Copyright (C) X $$LuaAuthors: Y $";
        assert_eq!(banner(ident), format!("{ours}Lua 5.4.9  Copyright (C) X"));
        assert_eq!(banner("LuaJIT 2.1.7"), format!("{ours}LuaJIT 2.1.7"));
    }
}

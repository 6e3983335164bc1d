//! What `newtry` and `protect` need and Lua cannot do: to know an exception for sure.
//!
//! An exception is a table with a metatable that a program can neither read nor set.

use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::embed::lua_module;
use crate::stack;

lua_module!(
    /// `newtry` and `protect`, over the primitives below.
    open, "socket/except.lua"
);

/// Pushes the table of `newtry`, `protect` and `attach`: the same at every call.
///
/// # Safety
///
/// `l` is an entry's state. Uses 5 slots, leaves 1.
pub unsafe fn push_module(l: *mut lua_State) {
    static KEY: u8 = 0;
    let key = (&raw const KEY).cast();
    // SAFETY: as the contract says.
    unsafe {
        if lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, key) != lua::LUA_TNIL {
            return;
        }
        lua::lua_pop(l, 1);
        lua::lua_pushcfunction(l, open);
        push_primitives(l);
        lua::lua_call(l, 1, 1);
        lua::lua_pushvalue(l, -1);
        lua::lua_rawsetp(l, lua::LUA_REGISTRYINDEX, key);
    }
}

/// Pushes a table of the functions `new` and `is`.
unsafe fn push_primitives(l: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe {
        lua::lua_createtable(l, 0, 2);
        lua::lua_createtable(l, 0, 3);
        lua::lua_pushboolean(l, 0);
        lua::lua_setfield(l, -2, c"__metatable".as_ptr());
        stack::set_bytes(l, c"__name", b"socket exception");
        stack::set_functions(l, &[(c"__tostring", tostring)]);
        lua::lua_pushvalue(l, -1);
        lua::lua_pushcclosure(l, is, 1);
        lua::lua_setfield(l, -3, c"is".as_ptr());
        lua::lua_pushcclosure(l, new, 1);
        lua::lua_setfield(l, -2, c"new".as_ptr());
    }
}

/// `new(payload)`: an exception. (Entry; upvalue 1 is the metatable.)
unsafe extern "C-unwind" fn new(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_settop(l, 1);
        lua::lua_createtable(l, 1, 0);
        lua::lua_pushvalue(l, 1);
        lua::lua_rawseti(l, -2, 1);
        lua::lua_pushvalue(l, lua::lua_upvalueindex(1));
        lua::lua_setmetatable(l, -2);
    }
    1
}

/// `is(value)`: whether it is an exception. (Entry; upvalue 1 is the metatable.)
unsafe extern "C-unwind" fn is(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let same = lua::lua_istable(l, 1) != 0
            && lua::lua_getmetatable(l, 1) != 0
            && lua::lua_rawequal(l, -1, lua::lua_upvalueindex(1)) != 0;
        lua::lua_pushboolean(l, same.into());
    }
    1
}

/// The payload as text, for the case that nobody catches it. (Entry.)
unsafe extern "C-unwind" fn tostring(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_rawgeti(l, 1, 1);
        lua::luaL_tolstring(l, -1, std::ptr::null_mut());
    }
    1
}

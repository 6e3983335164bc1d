//! The boundary between Lua and Rust: what every entry function shares.
//!
//! Contract of every entry (`unsafe extern "C-unwind" fn(*mut lua_State) -> c_int`):
//! Lua calls it with its running state and at least `LUA_MINSTACK` free slots.
//! An entry reads its arguments (may raise), works (never calls Lua, see
//! [`guard`]), pushes its results (may raise), and raises or yields last.
//! No value with a destructor is alive where Lua may raise. A result that owns
//! memory is handed to Lua before the first push, see [`park`].

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::stack;

/// Does the work of an entry. A panic ends here and becomes a Lua error.
///
/// # Safety
///
/// `l` is an entry's state; `work` does not use it.
#[inline]
pub unsafe fn guard<T: Copy>(l: *mut lua_State, work: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        Err(panic) => {
            // What a destructor of the payload may do is not worth a second panic.
            std::mem::forget(panic);
            // SAFETY: nothing with a destructor is alive here.
            unsafe { lua::luaL_error(l, c"internal error in the socket library".as_ptr()) };
            unreachable!("luaL_error does not return")
        }
    }
}

/// Hands `value`, made by `work`, to Lua: pushes a userdata that owns it and returns
/// where it lies. It is dropped when Lua collects the userdata.
///
/// # Safety
///
/// `l` is an entry's state; `work` does not use it. Uses 3 slots, leaves 1.
pub unsafe fn park<T: Any>(l: *mut lua_State, work: impl FnOnce() -> T) -> *mut T {
    type Place = Option<Box<dyn Any>>;

    unsafe extern "C-unwind" fn gc(l: *mut lua_State) -> c_int {
        // SAFETY: only `park` sets this metatable, on a valid place, which nobody else
        // uses any more.
        let place = unsafe { &mut *lua::lua_touserdata(l, 1).cast::<Place>() };
        // A panic in a destructor is of no use to anyone.
        let _ = catch_unwind(AssertUnwindSafe(|| *place = None));
        0
    }

    // SAFETY: the place is valid before its metatable can see it.
    unsafe {
        let place = stack::new_userdata::<Place>(l);
        place.write(None);
        static KEY: u8 = 0;
        let key = (&raw const KEY).cast::<c_void>();
        if lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, key) == lua::LUA_TNIL {
            lua::lua_pop(l, 1);
            lua::lua_createtable(l, 0, 1);
            lua::lua_pushcfunction(l, gc);
            lua::lua_setfield(l, -2, c"__gc".as_ptr());
            lua::lua_pushvalue(l, -1);
            lua::lua_rawsetp(l, lua::LUA_REGISTRYINDEX, key);
        }
        lua::lua_setmetatable(l, -2);
        guard(l, || {
            let value = Box::new(work());
            let at = &raw const *value;
            *place = Some(value);
            at.cast_mut()
        })
    }
}

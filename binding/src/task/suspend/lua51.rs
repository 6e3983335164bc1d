//! PUC Lua 5.1.

use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::{Continuation, hook, structure};

pub use hook::after_raise;

/// See [`super`].
pub const CONTINUES: bool = false;

/// See [`super`].
pub const CAN_BE_LOST: bool = true;

/// See [`super`]. Not where no Lua code has called the entry: that is where an error is raised.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn can_yield(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { structure::can_yield(l) && hook::is_called_by_lua(l) }
}

/// It always can.
///
/// # Safety
///
/// None is needed.
pub unsafe fn can_stay(_: *mut lua_State) -> bool {
    true
}

/// Nothing: what runs is what Lua was called with.
///
/// # Safety
///
/// None is needed.
pub unsafe fn after_others(_: *mut lua_State) {}

/// See [`super`]. What is yielded marks the stack; it is ignored when the thread is resumed.
///
/// # Safety
///
/// `l` is an entry's state, and can yield. Uses 1 slot.
pub unsafe fn yield_<K: Continuation>(l: *mut lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        lua::lua_pushlightuserdata(l, hook::mark().cast_mut());
        lua::lua_yield(l, 1)
    }
}

/// See [`super`]. A program that resumes the thread takes all values from its stack.
///
/// # Safety
///
/// `thread` is alive.
pub unsafe fn is_left(thread: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe {
        lua::lua_status(thread) == lua::LUA_YIELD
            && lua::lua_gettop(thread) > 0
            && lua::lua_touserdata(thread, -1).cast_const() == hook::mark()
    }
}

/// See [`super`].
///
/// # Safety
///
/// `thread` is suspended, and about to be resumed.
pub unsafe fn prepare_raise<K: Continuation>(_: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe { hook::prepare_raise::<K>(thread) }
}

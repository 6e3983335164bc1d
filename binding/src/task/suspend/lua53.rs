//! Lua 5.3 and later.

use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::Continuation;

/// See [`super`].
pub const CONTINUES: bool = true;

/// See [`super`]: 5.4 and later have `coroutine.close`.
pub const CAN_BE_LOST: bool = cfg!(not(feature = "lua53"));

/// See [`super`].
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn can_yield(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { lua::lua_isyieldable(l) != 0 }
}

/// See [`super`].
///
/// # Safety
///
/// `l` is an entry's state, and can yield.
pub unsafe fn yield_<K: Continuation>(l: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn go_on<K: Continuation>(
        l: *mut lua_State,
        _: c_int,
        _: isize,
    ) -> c_int {
        // SAFETY: called by Lua in a task that the scheduler resumed.
        unsafe { K::go_on(l) }
    }
    // SAFETY: as the contract says.
    unsafe { lua::lua_yieldk(l, 0, 0, Some(go_on::<K>)) }
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

/// Nothing: the continuation raises.
///
/// # Safety
///
/// None is needed.
pub unsafe fn prepare_raise<K: Continuation>(_: *mut lua_State, _: *mut lua_State) {}

/// Nothing.
///
/// # Safety
///
/// None is needed.
pub unsafe fn after_raise(_: *mut lua_State) {}

/// See [`super`]. A thread that was closed is not suspended any more; one that was resumed goes
/// on waiting.
///
/// # Safety
///
/// `thread` is alive.
pub unsafe fn is_left(thread: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { lua::lua_status(thread) == lua::LUA_YIELD }
}

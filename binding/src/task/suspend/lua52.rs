//! Lua 5.2.

use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::Continuation;

pub use super::structure::can_yield;

/// See [`super`].
pub const CONTINUES: bool = true;

/// See [`super`]: the entry goes on waiting, and there is no `coroutine.close`.
pub const CAN_BE_LOST: bool = false;

/// See [`super`].
///
/// # Safety
///
/// `l` is an entry's state, and can yield.
pub unsafe fn yield_<K: Continuation>(l: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn go_on<K: Continuation>(l: *mut lua_State) -> c_int {
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

/// It is.
///
/// # Safety
///
/// None is needed.
pub unsafe fn is_left(_: *mut lua_State) -> bool {
    true
}

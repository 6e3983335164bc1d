//! PUC Lua 5.1.

use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::{Continuation, hook, structure};

pub use hook::after_raise;

/// See [`super`].
pub const CONTINUES: bool = false;

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

/// See [`super`].
///
/// # Safety
///
/// `l` is an entry's state, and can yield.
pub unsafe fn yield_<K: Continuation>(l: *mut lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe { lua::lua_yield(l, 0) }
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

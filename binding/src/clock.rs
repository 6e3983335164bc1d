//! The clock that only goes forward, as Lua reads it.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::time::Instant;

use mlua_sys as lua;
use mlua_sys::lua_State;

/// The origin of [`now`]: when this was first asked for.
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// `now()`: seconds of a clock that only goes forward.
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn now(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_pushnumber(l, epoch().elapsed().as_secs_f64()) };
    1
}

//! A native stack to run the loop on, with a Lua thread to call from.

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::fibers::FiberId;
use super::scheduler::Scheduler;

/// An idle fiber, or a new one. May raise.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn fiber_for(l: *mut lua_State, scheduler: *mut Scheduler) -> std::io::Result<FiberId> {
    // SAFETY: as the contract says; the service thread is anchored before it is used.
    unsafe {
        if let Some(idle) = (*scheduler).fibers.take_idle() {
            return Ok(idle);
        }
        lua::luaL_checkstack(l, 4, std::ptr::null());
        lua::lua_rawgeti(l, lua::LUA_REGISTRYINDEX, (*scheduler).handles.into());
        let service = lua::lua_newthread(l);
        let run = (*scheduler).run;
        // Here, where it may raise: in some Luas a function needs memory.
        lua::lua_pushcfunction(l, run.entry);
        lua::lua_xmove(l, service, 1);
        lua::lua_rawseti(
            l,
            -2,
            -1 - (*scheduler).fibers.next_id() as lua::lua_Integer,
        );
        lua::lua_pop(l, 1);
        (*scheduler)
            .fibers
            .create(move |id| (run.bottom)(scheduler, service, id))
    }
}

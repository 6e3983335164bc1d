//! LuaJIT.

use std::cell::Cell;
use std::ffi::c_int;

use mlua_sys as lua;
use mlua_sys::lua_State;

use super::hook::{self, Hook};
use super::{Continuation, structure};

pub use hook::after_raise;

/// See [`super`].
pub const CONTINUES: bool = false;

/// See [`super`].
pub const CAN_BE_LOST: bool = true;

unsafe extern "C-unwind" {
    fn lua_isyieldable(l: *mut lua_State) -> c_int;
    fn luaJIT_setmode(l: *mut lua_State, index: c_int, mode: c_int) -> c_int;
}

/// `LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH`.
const FLUSH: c_int = 0x200;

/// See [`super`]. Not below a C function, although `pcall` can be yielded through: an error
/// is raised in the Lua function that called the entry, and must not pass by a `pcall`
/// between the two.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn can_yield(l: *mut lua_State) -> bool {
    // SAFETY: as the contract says.
    unsafe { lua_isyieldable(l) != 0 && hook::is_called_by_lua(l) }
}

/// See [`super`]. Not in a hook or a finalizer, which are a state of all threads, in which none
/// can yield. LuaJIT does not tell; but in that state no other hook is called.
///
/// # Safety
///
/// `l` is an entry's state. May raise. Uses 1 slot.
pub unsafe fn can_stay(l: *mut lua_State) -> bool {
    thread_local! {
        static CALLED: Cell<bool> = const { Cell::new(false) };
    }

    unsafe extern "C-unwind" fn called(_: *mut lua_State, _: *mut lua::lua_Debug) {
        CALLED.set(true);
    }

    // SAFETY: as the contract says. The code is new each time, so it is never compiled;
    // compiled code calls no hooks.
    unsafe {
        if lua::luaL_loadbuffer(l, c"".as_ptr(), 0, c"=hook".as_ptr()) != lua::LUA_OK {
            lua::lua_error(l); // for memory
        }
        let programs = Hook::of(l);
        CALLED.set(false);
        lua::lua_sethook(l, Some(called), lua::LUA_MASKCOUNT, 1);
        let ran = lua::lua_pcall(l, 0, 0, 0);
        programs.set(l);
        if ran != lua::LUA_OK {
            lua::lua_error(l); // for memory
        }
    }
    CALLED.get()
}

/// See [`super`]. LuaJIT notes which thread runs when it calls or returns, and compiled code that
/// is left trusts that. But up to 2023 it did not note it when an error was caught, so an entry that
/// raises after others ran would leave one of theirs there. A call corrects that.
///
/// # Safety
///
/// `l` is an entry's state.
pub unsafe fn after_others(l: *mut lua_State) {
    unsafe extern "C-unwind" fn nothing(_: *mut lua_State) -> c_int {
        0
    }

    // SAFETY: as the contract says. It raises nothing, and notes the thread before it can fail;
    // without memory it leaves an error.
    unsafe {
        let top = lua::lua_gettop(l);
        lua::lua_cpcall(l, nothing, std::ptr::null_mut());
        lua::lua_settop(l, top);
    }
}

/// See [`super`]. Everything on the entry's stack goes along, because LuaJIT forgets what does
/// not, and a mark; it is ignored when the thread is resumed.
///
/// # Safety
///
/// `l` is an entry's state, and can yield. Uses 1 slot.
pub unsafe fn yield_<K: Continuation>(l: *mut lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        lua::lua_pushlightuserdata(l, hook::mark().cast_mut());
        lua::lua_yield(l, lua::lua_gettop(l))
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

/// See [`super`]. A call in a compiled loop may go back to compiled code, where no hook is
/// called: in that case all such code is given up.
///
/// # Safety
///
/// `thread` is suspended, and about to be resumed by `l`.
pub unsafe fn prepare_raise<K: Continuation>(l: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: as the contract says.
    unsafe {
        if structure::goes_on_otherwise(l, thread) {
            luaJIT_setmode(l, 0, FLUSH);
        }
        hook::prepare_raise::<K>(thread);
    }
}

//! `luasocket.alloc`: a Lua whose memory runs out when a test says so.
//!
//! ```lua
//! local alloc = require "luasocket.alloc"
//! local n = 0
//! repeat
//!   local ok, problem = alloc.failing(n, f, ...)
//!   n = n + 1
//! until ok and not alloc.failed()
//! ```

use std::ffi::{c_int, c_void};

use mlua_sys as lua;
use mlua_sys::{lua_Alloc, lua_State};

/// Makes the module loadable with `require`.
///
/// # Safety
///
/// `l` is running in protected mode, with the standard libraries open.
pub unsafe fn preload(l: *mut lua_State) {
    // SAFETY: as our own contract; three slots are used.
    unsafe {
        lua::lua_getglobal(l, c"package".as_ptr());
        lua::lua_getfield(l, -1, c"preload".as_ptr());
        lua::lua_pushcfunction(l, open);
        lua::lua_setfield(l, -2, c"luasocket.alloc".as_ptr());
        lua::lua_pop(l, 2);
    }
}

unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; four slots are used.
    unsafe {
        // Never freed: on 5.5 a long string remembers the allocator it was made with.
        let limited = Box::into_raw(Box::new(Limited::around(l)));
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int);
        for &(name, function) in FUNCTIONS {
            lua::lua_pushvalue(l, -1); // for `failed` and `failing`: the module
            lua::lua_pushlightuserdata(l, limited.cast());
            lua::lua_pushcclosure(l, function, 2);
            lua::lua_setfield(l, -2, name.as_ptr());
        }
    }
    1
}

/// `alloc.failing(n, f, ...)`: calls `f(...)` as `pcall` does and returns what `pcall`
/// returns. During the call the first `n` requests for memory are met and all
/// later ones refused; no garbage is collected, unless for want of memory.
unsafe extern "C-unwind" fn failing(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The second upvalue is the allocator that `open` made.
    unsafe {
        let left = lua::luaL_checkinteger(l, 1);
        lua::luaL_checktype(l, 2, lua::LUA_TFUNCTION);
        lua::lua_remove(l, 1);
        let limited = lua::lua_touserdata(l, lua::lua_upvalueindex(2)).cast::<Limited>();
        lua::lua_gc(l, lua::LUA_GCSTOP, 0);
        (*limited).left = left.max(0) as usize;
        (*limited).refused = false;
        Limited::install(limited, l);
        let status = lua::lua_pcall(l, lua::lua_gettop(l) - 1, lua::LUA_MULTRET, 0);
        (*limited).remove(l);
        lua::lua_gc(l, lua::LUA_GCRESTART, 0);
        lua::lua_pushboolean(l, (status == lua::LUA_OK) as c_int);
        lua::lua_insert(l, 1);
        lua::lua_pushboolean(l, (*limited).refused as c_int);
        lua::lua_setfield(l, lua::lua_upvalueindex(1), c"refused".as_ptr());
        lua::lua_gettop(l)
    }
}

/// `alloc.failed()`: whether the last call of `failing` had a request refused. `f` may
/// have dealt with it and returned.
unsafe extern "C-unwind" fn failed(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { lua::lua_getfield(l, lua::lua_upvalueindex(1), c"refused".as_ptr()) };
    1
}

/// An allocator around another one, which refuses after a number of requests.
struct Limited {
    inner: lua_Alloc,
    inner_data: *mut c_void,
    left: usize,
    refused: bool,
}

impl Limited {
    unsafe fn around(l: *mut lua_State) -> Limited {
        let mut inner_data = std::ptr::null_mut();
        // SAFETY: the caller's state.
        let inner = unsafe { lua::lua_getallocf(l, &mut inner_data) };
        Limited {
            inner,
            inner_data,
            left: 0,
            refused: false,
        }
    }

    unsafe fn install(limited: *mut Limited, l: *mut lua_State) {
        // SAFETY: it lives as long as the process.
        unsafe { lua::lua_setallocf(l, allocate, limited.cast()) }
    }

    unsafe fn remove(&self, l: *mut lua_State) {
        // SAFETY: what the state had before.
        unsafe { lua::lua_setallocf(l, self.inner, self.inner_data) }
    }
}

/// Lua's allocator function. What frees or shrinks must not fail and is not counted.
unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: `data` is what `install` gave.
    let limited = unsafe { &mut *data.cast::<Limited>() };
    // For a new block `old` is the kind of object, not a size.
    if new > 0 && (block.is_null() || new > old) {
        if limited.left == 0 {
            limited.refused = true;
            return std::ptr::null_mut();
        }
        limited.left -= 1;
    }
    // SAFETY: as Lua called us.
    unsafe { (limited.inner)(limited.inner_data, block, old, new) }
}

const FUNCTIONS: &[(&std::ffi::CStr, lua::lua_CFunction)] =
    &[(c"failed", failed), (c"failing", failing)];

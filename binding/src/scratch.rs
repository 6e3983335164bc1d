//! Buffers in which results are put together, kept between calls.
//!
//! A function that uses one has it as its first upvalue. While Lua makes a string
//! of the result it may collect garbage, and a finalizer may call the same
//! function again: the inner call then finds the buffers taken, and makes itself
//! new ones.

use std::ffi::{CStr, c_int};

use luasocket_codec::Output;
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::{boundary, stack};

/// What a function needs to put its result together.
pub struct Scratch {
    /// The result.
    pub out: Output,
    /// For something on the way to it.
    pub spare: Output,
    taken: bool,
}

impl Scratch {
    const fn new() -> Self {
        Self {
            out: Output::new(),
            spare: Output::new(),
            taken: false,
        }
    }
}

// Every function below: `l` is an entry's state (see `boundary.rs`).

/// Pushes buffers that nobody uses, and returns where they lie. They are the
/// caller's until the next call into Lua.
///
/// A pointer, since another call may look at it while this one pushes.
#[inline]
pub unsafe fn open(l: *mut lua_State) -> *mut Scratch {
    // SAFETY: the first upvalue is a `Scratch`, as `set_functions` made it.
    unsafe {
        let mut scratch = lua::lua_touserdata(l, lua::lua_upvalueindex(1)).cast::<Scratch>();
        if (*scratch).taken {
            scratch = replace(l);
        }
        lua::lua_pushvalue(l, lua::lua_upvalueindex(1));
        (*scratch).out.clear();
        (*scratch).spare.clear();
        scratch
    }
}

/// Like [`open`]; and the buffers stay the caller's until [`push_out`], whatever Lua
/// does meanwhile. If it raises, nobody uses these buffers again.
pub unsafe fn take(l: *mut lua_State) -> *mut Scratch {
    // SAFETY: as the caller's.
    unsafe {
        let scratch = open(l);
        (*scratch).taken = true;
        scratch
    }
}

/// Pushes the result as a string, and lets go of the buffers.
#[inline]
pub unsafe fn push_out(l: *mut lua_State, scratch: *mut Scratch) {
    // SAFETY: the bytes lie in a userdata on the stack, and nobody changes them
    // while it is taken.
    unsafe {
        (*scratch).taken = true;
        let out = &(*scratch).out;
        stack::push_bytes(l, out.as_slice());
        (*scratch).taken = false;
        (*scratch).out.reset(KEPT);
        (*scratch).spare.reset(KEPT);
    }
}

/// Lets go of buffers that were taken, without a result.
pub unsafe fn release(scratch: *mut Scratch) {
    // SAFETY: the scratch is on the caller's stack.
    unsafe {
        (*scratch).taken = false;
        (*scratch).out.reset(KEPT);
        (*scratch).spare.reset(KEPT);
    }
}

/// Sets functions that use one scratch in the table on top.
pub unsafe fn set_functions(l: *mut lua_State, functions: &[(&CStr, lua::lua_CFunction)]) {
    // SAFETY: the metatable is the one that `push` expects.
    unsafe {
        lua::lua_createtable(l, 0, 1);
        lua::lua_pushcfunction(l, gc);
        lua::lua_setfield(l, -2, c"__gc".as_ptr());
        push(l);
        lua::lua_replace(l, -2);
        for &(name, function) in functions {
            lua::lua_pushvalue(l, -1);
            lua::lua_pushcclosure(l, function, 1);
            lua::lua_setfield(l, -3, name.as_ptr());
        }
        lua::lua_pop(l, 1);
    }
}

/// Puts new buffers in the place of the taken ones, which belong to another call.
#[cold]
unsafe fn replace(l: *mut lua_State) -> *mut Scratch {
    // SAFETY: every scratch has the metatable that `push` expects.
    unsafe {
        lua::lua_getmetatable(l, lua::lua_upvalueindex(1));
        let scratch = push(l);
        lua::lua_replace(l, lua::lua_upvalueindex(1));
        lua::lua_pop(l, 1);
        scratch
    }
}

/// Pushes a new scratch. Its metatable is on top, and stays below.
unsafe fn push(l: *mut lua_State) -> *mut Scratch {
    // SAFETY: the scratch is valid before its metatable can see it.
    unsafe {
        let scratch = stack::new_userdata::<Scratch>(l);
        scratch.write(Scratch::new());
        lua::lua_pushvalue(l, -2);
        lua::lua_setmetatable(l, -2);
        scratch
    }
}

/// Leaves an empty scratch behind: when Lua closes, functions may outlive it.
unsafe extern "C-unwind" fn gc(l: *mut lua_State) -> c_int {
    // SAFETY: only `push` sets this metatable, on a valid scratch.
    unsafe {
        let scratch = lua::lua_touserdata(l, 1).cast::<Scratch>();
        boundary::guard(l, || *scratch = Scratch::new());
    }
    0
}

/// Larger buffers are given back after the call.
const KEPT: usize = 256 * 1024;

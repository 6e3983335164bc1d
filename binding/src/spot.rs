//! Where an object lies until an operation on it ends.

use std::ffi::{c_int, c_void};

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::stack;
use crate::task::wait;

/// Where an object lies until an operation on it ends.
#[derive(Clone, Copy)]
pub enum Spot {
    /// On the stack of the entry, which ends with the operation.
    Stack(c_int),
    /// Out of reach, on the stack of a task, but [anchored](anchor_as) by its body.
    Anchored,
}

impl Spot {
    /// The spot of the object on top, of which `body` is the body.
    ///
    /// # Safety
    ///
    /// `l` is an entry's state. Uses 3 slots.
    pub unsafe fn of_top<B>(l: *mut lua_State, body: *const B) -> Spot {
        // SAFETY: as the contract says.
        unsafe {
            if wait::current(l).is_none() {
                return Spot::Stack(lua::lua_gettop(l));
            }
            anchor_as(l, body.cast());
        }
        Spot::Anchored
    }

    /// Pushes the object of `body`.
    ///
    /// # Safety
    ///
    /// `l` is the entry's state, or that on which its results are pushed. Uses 2 slots,
    /// leaves 1.
    pub unsafe fn push<B>(self, l: *mut lua_State, body: *const B) {
        // SAFETY: as the contract says.
        unsafe {
            match self {
                Spot::Stack(index) => lua::lua_pushvalue(l, index),
                Spot::Anchored => push_anchored(l, body),
            }
        }
    }
}

static ANCHORS: u8 = 0;

/// Makes the value on top findable by `key_of_value`, as long as something else keeps it:
/// for results that are pushed when the stack it lies on cannot be reached.
///
/// # Safety
///
/// `l` is an entry's state. Uses 3 slots.
pub unsafe fn anchor_as(l: *mut lua_State, key_of_value: *const c_void) {
    // SAFETY: as the contract says.
    unsafe {
        let key = (&raw const ANCHORS).cast::<c_void>();
        if lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, key) == lua::LUA_TNIL {
            lua::lua_pop(l, 1);
            lua::lua_createtable(l, 0, 0);
            lua::lua_createtable(l, 0, 1);
            stack::set_bytes(l, c"__mode", b"v");
            lua::lua_setmetatable(l, -2);
            lua::lua_pushvalue(l, -1);
            lua::lua_rawsetp(l, lua::LUA_REGISTRYINDEX, key);
        }
        lua::lua_pushvalue(l, -2);
        lua::lua_rawsetp(l, -2, key_of_value);
        lua::lua_pop(l, 1);
    }
}

/// Pushes the value that was [anchored](anchor_as) by the address of `body`.
///
/// # Safety
///
/// `l` is an entry's state. Uses 2 slots, leaves 1.
pub unsafe fn push_anchored<B>(l: *mut lua_State, body: *const B) {
    // SAFETY: as the contract says.
    unsafe {
        let key = (&raw const ANCHORS).cast::<c_void>();
        lua::lua_rawgetp(l, lua::LUA_REGISTRYINDEX, key);
        lua::lua_rawgetp(l, -1, body.cast());
        lua::lua_remove(l, -2);
    }
}

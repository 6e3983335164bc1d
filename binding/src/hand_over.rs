//! Large results without a copy: where Lua takes foreign memory for a string (5.5 and
//! later), it gets the block that the bytes were read into.

use luasocket_engine::stream::{Received, Stream};
use mlua_sys::lua_State;

/// Pushes the bytes received as a string in their own memory and takes them from the
/// stream. False, and nothing done, where that cannot be or does not pay.
///
/// # Safety
///
/// An entry's `l`; `stream` lies in an object on its stack.
#[cfg(not(feature = "lua55"))]
#[inline]
pub unsafe fn hand_over(_: *mut lua_State, _: *mut Stream, _: Received) -> bool {
    false
}

#[cfg(feature = "lua55")]
pub use external::hand_over;

#[cfg(feature = "lua55")]
mod external {
    use std::ffi::c_void;
    use std::ptr::null_mut;

    use mlua_sys as lua;

    use super::*;
    use crate::boundary::guard;

    /// From this size on a copy costs more than what is done here instead.
    const LARGE: usize = 32 * 1024;

    /// What Lua keeps beside a block of ours.
    struct Parcel {
        capacity: usize,
        /// Where the bytes go back to if Lua does not take them; null once it has.
        sender: *mut Stream,
        received: Received,
    }

    pub unsafe fn hand_over(l: *mut lua_State, stream: *mut Stream, received: Received) -> bool {
        if received.len < LARGE {
            return false;
        }
        // SAFETY: as our own contract. Lua calls `free` when it has no memory for the
        // string, before it raises, else when the string is collected.
        unsafe {
            let Some((mut bytes, parcel)) = guard_take(l, stream, received) else {
                return false;
            };
            let (text, len) = (bytes.as_mut_ptr().cast(), bytes.len() - 1);
            std::mem::forget(bytes);
            lua::lua_pushexternalstring(l, text, len, Some(free), parcel.cast());
            (*parcel).sender = null_mut();
        }
        true
    }

    unsafe fn guard_take(
        l: *mut lua_State,
        stream: *mut Stream,
        received: Received,
    ) -> Option<(Vec<u8>, *mut Parcel)> {
        let mut taken = None;
        // SAFETY: as in `hand_over`; nothing in the closure uses Lua.
        unsafe {
            guard(l, || {
                taken = (*stream).take_whole(received).map(|bytes| {
                    let parcel = Parcel {
                        capacity: bytes.capacity(),
                        sender: stream,
                        received,
                    };
                    (bytes, Box::into_raw(Box::new(parcel)))
                });
            })
        };
        taken
    }

    /// Lua's way to free the block: it asks for a size of 0.
    unsafe extern "C" fn free(
        parcel: *mut c_void,
        bytes: *mut c_void,
        size: usize,
        _: usize,
    ) -> *mut c_void {
        // SAFETY: the parts of what `hand_over` gave; Lua gives them back once. A sender
        // is there only while `hand_over` runs.
        unsafe {
            let parcel = Box::from_raw(parcel.cast::<Parcel>());
            let bytes = Vec::from_raw_parts(bytes.cast::<u8>(), size, parcel.capacity);
            if let Some(stream) = parcel.sender.as_mut() {
                stream.give_back(bytes, parcel.received);
            }
        }
        null_mut()
    }
}

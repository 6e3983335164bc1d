//! Large results without having them in memory twice.
//!
//! Where Lua takes foreign memory for a string (5.5), it gets the block that the bytes were
//! read into. Where it loads a long constant of a precompiled chunk straight into the string
//! (5.3 and 5.4), a chunk that is nothing but this constant is loaded, piece by piece, and
//! the memory of each piece is given back when the next one is asked for.

use luasocket_engine::stream::{Received, Stream};
use mlua_sys::lua_State;

/// Pushes the bytes received as a string in their own memory and takes them from the
/// stream. False, and nothing done, where that cannot be or does not pay.
///
/// # Safety
///
/// An entry's `l`; `stream` lies in an object on its stack.
#[cfg(not(any(feature = "lua53", feature = "lua54", feature = "lua55")))]
#[inline]
pub unsafe fn hand_over(_: *mut lua_State, _: *mut Stream, _: Received) -> bool {
    false
}

#[cfg(feature = "lua55")]
pub use external::hand_over;

#[cfg(any(feature = "lua53", feature = "lua54"))]
pub use constant::hand_over;

#[cfg(any(feature = "lua53", feature = "lua54"))]
mod constant {
    use std::ffi::{c_char, c_void};
    use std::sync::OnceLock;

    use mlua_sys as lua;

    use super::*;
    use crate::boundary::guard;

    /// Below this size, twice as much memory for a moment does not matter.
    const LARGE: usize = 8 * 1024 * 1024;

    /// How much is copied before its memory is given back.
    const PIECE: usize = 1024 * 1024;

    pub unsafe fn hand_over(l: *mut lua_State, stream: *mut Stream, received: Received) -> bool {
        if received.len < LARGE {
            return false;
        }
        // SAFETY: as our own contract; nothing here owns memory while Lua may raise.
        unsafe {
            let Some(chunk) = Chunk::get(l) else {
                return false;
            };
            let mut reader = Reader::new(chunk, stream, received);
            let data = (&raw mut reader).cast();
            let name = c"=received".as_ptr();
            if lua::lua_load(l, read, data, name, c"b".as_ptr()) != lua::LUA_OK {
                if reader.given == 0 {
                    // No memory for the string, and nothing has happened yet.
                    lua::lua_pop(l, 1);
                    return false;
                }
                lua::lua_error(l);
            }
            lua::lua_call(l, 0, 1);
            guard(l, || (*stream).take(received));
        }
        true
    }

    /// A precompiled chunk that returns a constant, without the constant and its length.
    struct Chunk {
        head: Vec<u8>,
        tail: Vec<u8>,
    }

    impl Chunk {
        /// The chunk of this Lua; `None` if its format is not what we know.
        unsafe fn get(l: *mut lua_State) -> Option<&'static Chunk> {
            static CHUNK: OnceLock<Option<Chunk>> = OnceLock::new();
            if CHUNK.get().is_none() {
                // SAFETY: as `hand_over`'s contract. The dump lies on Lua's stack as a string.
                unsafe {
                    let top = lua::lua_gettop(l);
                    lua::luaL_loadbuffer(l, TEXT.as_ptr().cast(), TEXT.len(), c"=text".as_ptr());
                    lua::lua_getglobal(l, c"string".as_ptr());
                    if lua::lua_istable(l, -1) == 0
                        || lua::lua_getfield(l, -1, c"dump".as_ptr()) != lua::LUA_TFUNCTION
                    {
                        lua::lua_settop(l, top);
                        return None;
                    }
                    lua::lua_pushvalue(l, top + 1);
                    lua::lua_pushboolean(l, 1);
                    lua::lua_call(l, 2, 1);
                    let mut len = 0;
                    let dump = lua::lua_tolstring(l, -1, &mut len).cast::<u8>();
                    guard(l, || {
                        let dump = std::slice::from_raw_parts(dump, len);
                        let _ = CHUNK.set(Chunk::cut(dump));
                    });
                    lua::lua_settop(l, top);
                }
            }
            CHUNK.get()?.as_ref()
        }

        /// Cuts the marker and its length out of a dumped chunk.
        fn cut(dump: &[u8]) -> Option<Chunk> {
            let at = dump.windows(MARK.len()).position(|window| window == MARK)?;
            let head = dump[..at].strip_suffix(&*length(MARK.len()))?;
            let tail = &dump[at + MARK.len()..];
            Some(Chunk {
                head: head.to_vec(),
                tail: tail.to_vec(),
            })
        }
    }

    const MARK: &[u8] = b"a text that is too long for Lua to keep it among the short ones";
    const TEXT: &str = "return 'a text that is too long for Lua to keep it among the short ones'";

    /// The length of a string, as a chunk has it: it counts the final NUL, which is not there.
    #[cfg(feature = "lua53")]
    fn length(len: usize) -> Vec<u8> {
        match u8::try_from(len + 1) {
            Ok(short) if short < 0xFF => vec![short],
            _ => [&[0xFF][..], &(len + 1).to_ne_bytes()].concat(),
        }
    }

    /// As above: seven bits a byte, the highest first, and the last byte marked.
    #[cfg(feature = "lua54")]
    fn length(len: usize) -> Vec<u8> {
        let mut rest = len + 1;
        let mut digits = vec![rest as u8 & 0x7F | 0x80];
        while rest > 0x7F {
            rest >>= 7;
            digits.push(rest as u8 & 0x7F);
        }
        digits.reverse();
        digits
    }

    /// What gives a chunk to Lua: head, length, the bytes received, tail.
    struct Reader {
        chunk: &'static Chunk,
        stream: *mut Stream,
        received: Received,
        /// Which part comes next.
        part: Part,
        length: [u8; 16],
        /// How many of the bytes received Lua was given.
        given: usize,
    }

    enum Part {
        Head,
        Length,
        Bytes,
        End,
    }

    impl Reader {
        fn new(chunk: &'static Chunk, stream: *mut Stream, received: Received) -> Reader {
            Reader {
                chunk,
                stream,
                received,
                part: Part::Head,
                length: [0; 16],
                given: 0,
            }
        }

        fn next(&mut self) -> &[u8] {
            // SAFETY: Lua owns the stream, and nobody uses it during the load.
            let stream = unsafe { &mut *self.stream };
            match self.part {
                Part::Head => {
                    self.part = Part::Length;
                    &self.chunk.head
                }
                Part::Length => {
                    self.part = Part::Bytes;
                    let length = length(self.received.len);
                    self.length[..length.len()].copy_from_slice(&length);
                    &self.length[..length.len()]
                }
                Part::Bytes if self.given < self.received.len => {
                    let start = self.given;
                    stream.release(start.saturating_sub(PIECE)..start);
                    self.given = (start + PIECE).min(self.received.len);
                    &stream.received(self.received)[start..self.given]
                }
                Part::Bytes => {
                    self.part = Part::End;
                    &self.chunk.tail
                }
                Part::End => &[],
            }
        }
    }

    unsafe extern "C-unwind" fn read(
        _: *mut lua_State,
        reader: *mut c_void,
        size: *mut usize,
    ) -> *const c_char {
        // SAFETY: Lua passes what `hand_over` gave it.
        unsafe {
            let part = (*reader.cast::<Reader>()).next();
            *size = part.len();
            part.as_ptr().cast()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lengths_are_written_as_lua_does() {
            #[cfg(feature = "lua54")]
            assert_eq!((length(63), length(300)), (vec![0xC0], vec![0x02, 0xAD]));
            #[cfg(feature = "lua53")]
            assert_eq!(length(63), vec![64]);
        }
    }
}

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

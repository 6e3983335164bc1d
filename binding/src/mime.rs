//! `mime.core`: transfer encodings and line filters.
//!
//! Two styles. `b64`, `unb64`, `qp` and `unqp` take the bytes carried over from
//! the previous call and the new ones, and return output and what is to be carried
//! over. `wrp`, `qpwrp`, `eol`, `dot` and `undot` take a number that stands for
//! what they have seen, and return the next one.

use std::ffi::{CStr, c_int};

use luasocket_codec::base64::{self, Alphabet};
use luasocket_codec::dot::{Stuffer, Unstuffer};
use luasocket_codec::line_end::Normalizer;
use luasocket_codec::quoted_printable as qp;
use luasocket_codec::wrap::{SoftWrapper, Wrapper};
use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::boundary::guard;
use crate::scratch::{self, Scratch};
use crate::stack::{self, Bytes};

/// `require "mime.core"`
///
/// # Safety
///
/// To be called by Lua (see `boundary.rs`).
pub unsafe extern "C-unwind" fn open(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        lua::lua_createtable(l, 0, FUNCTIONS.len() as c_int + 8);
        scratch::set_functions(l, FUNCTIONS);
        crate::deflate::set_functions(l);
        stack::set_bytes(l, c"_VERSION", b"MIME 1.0.3");
    }
    1
}

/// `b64(C [, D [, mode]])`; mode `"url"` is the URL-safe alphabet without padding.
unsafe extern "C-unwind" fn b64(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let Some(pieces) = read_pieces(l) else {
            return nothing(l);
        };
        let (alphabet, _) = read_mode(l);
        let scratch = scratch::open(l);
        let mut encoder = base64::Encoder::new(alphabet);
        guard(l, || {
            encoder.feed(pieces.carry.get(), &mut (*scratch).out);
            match pieces.input {
                Some(input) => encoder.feed(input.get(), &mut (*scratch).out),
                None => encoder.finish(&mut (*scratch).out),
            }
        });
        pieces.push(l, scratch, encoder.carry())
    }
}

/// `unb64(C [, D [, mode]])`; mode `"url"` takes both alphabets, `"strict"` fails
/// where the others skip.
unsafe extern "C-unwind" fn unb64(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let Some(pieces) = read_pieces(l) else {
            return nothing(l);
        };
        let (alphabet, strict) = read_mode(l);
        let scratch = scratch::open(l);
        let mut decoder = base64::Decoder::new(alphabet, strict);
        let result = guard(l, || {
            decoder.resume(pieces.carry.get(), &mut (*scratch).out)?;
            match pieces.input {
                Some(input) => decoder.feed(input.get(), &mut (*scratch).out),
                None => decoder.finish(&mut (*scratch).out),
            }
        });
        if result.is_err() {
            lua::lua_pushnil(l);
            stack::push_bytes(l, b"invalid base64");
            return 2;
        }
        pieces.push(l, scratch, decoder.carry())
    }
}

/// `qp(C [, D [, marker]])`
unsafe extern "C-unwind" fn qp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let Some(pieces) = read_pieces(l) else {
            return nothing(l);
        };
        let marker = read_marker(l);
        let scratch = scratch::open(l);
        let mut encoder = qp::Encoder::new(marker);
        guard(l, || {
            encoder.feed(pieces.carry.get(), &mut (*scratch).out);
            match pieces.input {
                Some(input) => encoder.feed(input.get(), &mut (*scratch).out),
                None => encoder.finish(&mut (*scratch).out),
            }
        });
        pieces.push(l, scratch, encoder.carry())
    }
}

/// `unqp(C [, D])`
unsafe extern "C-unwind" fn unqp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let Some(pieces) = read_pieces(l) else {
            return nothing(l);
        };
        let scratch = scratch::open(l);
        let mut decoder = qp::Decoder::new();
        guard(l, || {
            decoder.feed(pieces.carry.get(), &mut (*scratch).out);
            match pieces.input {
                Some(input) => decoder.feed(input.get(), &mut (*scratch).out),
                None => decoder.finish(&mut (*scratch).out),
            }
        });
        pieces.push(l, scratch, decoder.carry())
    }
}

/// `wrp(left, B [, length])`
unsafe extern "C-unwind" fn wrp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let left = check_count(l, 1);
        let input = stack::opt_bytes(l, 2);
        let length = opt_length(l);
        let scratch = scratch::open(l);
        let mut wrapper = Wrapper { left, length };
        let some = guard(l, || match input.is_absent() {
            false => {
                wrapper.feed(input.get(), &mut (*scratch).out);
                true
            }
            true => wrapper.finish(&mut (*scratch).out),
        });
        push_counted(l, scratch, some, wrapper.left as _)
    }
}

/// `qpwrp(left, B [, length])`
unsafe extern "C-unwind" fn qpwrp(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let left = check_count(l, 1);
        let input = stack::opt_bytes(l, 2);
        let length = opt_length(l);
        let scratch = scratch::open(l);
        let mut wrapper = SoftWrapper { left, length };
        let some = guard(l, || match input.is_absent() {
            false => {
                wrapper.feed(input.get(), &mut (*scratch).out);
                true
            }
            true => wrapper.finish(&mut (*scratch).out),
        });
        push_counted(l, scratch, some, wrapper.left as _)
    }
}

/// `eol(candidate, B [, marker])`
unsafe extern "C-unwind" fn eol(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let context = lua::luaL_checkinteger(l, 1);
        let input = stack::opt_bytes(l, 2);
        let marker = read_marker(l);
        let scratch = scratch::open(l);
        if input.is_absent() {
            return push_counted(l, scratch, false, 0);
        }
        let mut normalizer = Normalizer::new(u8::try_from(context).unwrap_or(0), marker);
        guard(l, || normalizer.feed(input.get(), &mut (*scratch).out));
        let next = if input.len() == 0 {
            context
        } else {
            lua::lua_Integer::from(normalizer.candidate())
        };
        push_counted(l, scratch, true, next)
    }
}

/// `dot(seen, B)`
unsafe extern "C-unwind" fn dot(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let mut stuffer = Stuffer::new(check_count(l, 1));
        let input = stack::opt_bytes(l, 2);
        let scratch = scratch::open(l);
        if input.is_absent() {
            return push_counted(l, scratch, false, LINE_START);
        }
        guard(l, || stuffer.feed(input.get(), &mut (*scratch).out));
        push_counted(l, scratch, true, stuffer.seen() as _)
    }
}

/// `undot(seen, B)`
unsafe extern "C-unwind" fn undot(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The arguments stay on the stack.
    unsafe {
        let mut unstuffer = Unstuffer::new(check_count(l, 1));
        let input = stack::opt_bytes(l, 2);
        let scratch = scratch::open(l);
        if input.is_absent() {
            return push_counted(l, scratch, false, LINE_START);
        }
        guard(l, || unstuffer.feed(input.get(), &mut (*scratch).out));
        push_counted(l, scratch, true, unstuffer.seen() as _)
    }
}

/// The first two arguments of `b64`, `unb64`, `qp` and `unqp`.
#[derive(Clone, Copy)]
struct Pieces {
    carry: Bytes,
    /// Nothing at the end of the data.
    input: Option<Bytes>,
}

/// Reads them; nothing if the first is nil.
#[inline]
unsafe fn read_pieces(l: *mut lua_State) -> Option<Pieces> {
    // SAFETY: as the caller's.
    unsafe {
        let carry = stack::opt_bytes(l, 1);
        if carry.is_absent() {
            return None;
        }
        let input = stack::opt_bytes(l, 2);
        let input = (!input.is_absent()).then_some(input);
        Some(Pieces { carry, input })
    }
}

impl Pieces {
    /// Pushes output and carry; at the end of the data, output if there is any,
    /// and nil.
    #[inline]
    unsafe fn push(self, l: *mut lua_State, scratch: *mut Scratch, carry: &[u8]) -> c_int {
        // SAFETY: as the caller's.
        unsafe {
            if self.input.is_none() {
                return push_end(l, scratch);
            }
            scratch::push_out(l, scratch);
            match carry {
                // Mostly the very string that came in.
                [] if self.carry.len() == 0 => lua::lua_pushvalue(l, 1),
                _ => stack::push_bytes(l, carry),
            }
        }
        2
    }
}

unsafe fn push_end(l: *mut lua_State, scratch: *mut Scratch) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        let out = &(*scratch).out;
        match out.is_empty() {
            true => lua::lua_pushnil(l),
            false => scratch::push_out(l, scratch),
        }
        lua::lua_pushnil(l);
    }
    2
}

/// Pushes the output, or nil, and the next context.
#[inline]
unsafe fn push_counted(
    l: *mut lua_State,
    scratch: *mut Scratch,
    some: bool,
    next: lua::lua_Integer,
) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        match some {
            true => scratch::push_out(l, scratch),
            false => lua::lua_pushnil(l),
        }
        lua::lua_pushinteger(l, next);
    }
    2
}

unsafe fn nothing(l: *mut lua_State) -> c_int {
    // SAFETY: as the caller's.
    unsafe {
        lua::lua_pushnil(l);
        lua::lua_pushnil(l);
    }
    2
}

/// The third argument of `b64` and `unb64`. Anything else is ignored, like all
/// surplus arguments.
#[inline]
unsafe fn read_mode(l: *mut lua_State) -> (Alphabet, bool) {
    // SAFETY: as the caller's. The argument stays on the stack.
    unsafe {
        if lua::lua_type(l, 3) != lua::LUA_TSTRING {
            return (Alphabet::Standard, false);
        }
        match stack::check_bytes(l, 3).get() {
            b"url" => (Alphabet::UrlSafe, false),
            b"strict" => (Alphabet::Standard, true),
            _ => (Alphabet::Standard, false),
        }
    }
}

/// What is written for a line end: the third argument, else CR LF.
#[inline]
unsafe fn read_marker<'a>(l: *mut lua_State) -> &'a [u8] {
    // SAFETY: as the caller's. The argument stays on the stack.
    unsafe {
        let marker = stack::opt_bytes(l, 3);
        if marker.is_absent() {
            b"\r\n"
        } else {
            marker.get()
        }
    }
}

/// A number with its fraction dropped.
#[inline]
unsafe fn check_count(l: *mut lua_State, arg: c_int) -> i64 {
    // SAFETY: as the caller's. The conversion saturates, and NaN becomes 0.
    unsafe { lua::luaL_checknumber(l, arg) as i64 }
}

#[inline]
unsafe fn opt_length(l: *mut lua_State) -> i64 {
    // SAFETY: as the caller's.
    unsafe {
        match lua::lua_isnoneornil(l, 3) {
            0 => check_count(l, 3),
            _ => LINE_LENGTH,
        }
    }
}

/// The longest line that MIME allows.
const LINE_LENGTH: i64 = 76;

/// What `dot` has seen at the start of the data: CR LF.
const LINE_START: lua::lua_Integer = 2;

const FUNCTIONS: &[(&CStr, lua::lua_CFunction)] = &[
    (c"b64", b64),
    (c"dot", dot),
    (c"eol", eol),
    (c"qp", qp),
    (c"qpwrp", qpwrp),
    (c"undot", undot),
    (c"unb64", unb64),
    (c"unqp", unqp),
    (c"wrp", wrp),
];

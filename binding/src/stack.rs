//! Reading arguments and pushing results.
//!
//! All functions here may raise. Whatever differs between Lua versions is at the
//! end of this file.

use std::ffi::{CStr, c_int};

use luasocket_engine::Error;
use mlua_sys as lua;
use mlua_sys::lua_State;

/// Bytes that Lua owns; valid as long as the argument stays where it is.
#[derive(Clone, Copy)]
pub struct Bytes {
    ptr: *const u8,
    len: usize,
}

impl Bytes {
    /// No bytes.
    pub const EMPTY: Bytes = Bytes {
        ptr: std::ptr::null(),
        len: 0,
    };

    /// How many.
    #[inline]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether the argument was absent or nil.
    pub fn is_absent(self) -> bool {
        self.ptr.is_null()
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// The Lua string must still be on the stack (or otherwise alive) as long as
    /// the result is used.
    #[inline]
    pub unsafe fn get<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: pointer and length come from `lua_tolstring`.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

// Every function below: `l` is an entry's state (see `boundary.rs`).

/// A required string; numbers are converted, as Lua does.
#[inline]
pub unsafe fn check_bytes(l: *mut lua_State, arg: c_int) -> Bytes {
    let mut len = 0;
    // SAFETY: see above.
    let ptr = unsafe { lua::luaL_checklstring(l, arg, &mut len) }.cast();
    Bytes { ptr, len }
}

/// An optional string; absent and nil are empty.
#[inline]
pub unsafe fn opt_bytes(l: *mut lua_State, arg: c_int) -> Bytes {
    // SAFETY: see above.
    unsafe {
        if lua::lua_isnoneornil(l, arg) != 0 {
            Bytes::EMPTY
        } else {
            check_bytes(l, arg)
        }
    }
}

/// A host, service or port: the bytes of a string, or the digits of a number.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: Bytes,
    digits: [u8; Name::ROOM],
    len: usize,
}

impl Name {
    /// A sign and the digits of what `check_name` takes for an integer.
    const ROOM: usize = 16;

    /// The bytes.
    ///
    /// # Safety
    ///
    /// As for [`Bytes::get`].
    #[inline]
    pub unsafe fn get(&self) -> &[u8] {
        if self.len > 0 {
            return &self.digits[Name::ROOM - self.len..];
        }
        // SAFETY: as the contract says.
        unsafe { self.bytes.get() }
    }

    /// Whether the argument was absent or nil.
    pub fn is_absent(&self) -> bool {
        self.len == 0 && self.bytes.is_absent()
    }

    const fn string(bytes: Bytes) -> Name {
        Name {
            bytes,
            digits: [0; Name::ROOM],
            len: 0,
        }
    }

    /// Lua would write it just so, but with `printf` and as a string of its own.
    fn number(number: i64) -> Name {
        let mut name = Name::string(Bytes::EMPTY);
        let mut put = |byte| {
            name.len += 1;
            name.digits[Name::ROOM - name.len] = byte;
        };
        let mut rest = number.unsigned_abs();
        loop {
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            put(b'-');
        }
        name
    }
}

/// A required host, service or port: a string, or a number, of which an integral
/// one is written without fraction (`80.0` is `80`).
pub unsafe fn check_name(l: *mut lua_State, arg: c_int) -> Name {
    // SAFETY: see above.
    unsafe {
        if lua::lua_type(l, arg) == lua::LUA_TNUMBER {
            let number = lua::lua_tonumber(l, arg);
            if number.fract() == 0.0 && number.abs() < 1e15 {
                return Name::number(number as i64);
            }
        }
        Name::string(check_bytes(l, arg))
    }
}

/// An optional host, service or port; absent and nil are empty.
pub unsafe fn opt_name(l: *mut lua_State, arg: c_int) -> Name {
    // SAFETY: see above.
    unsafe {
        match lua::lua_isnoneornil(l, arg) {
            0 => check_name(l, arg),
            _ => Name::string(Bytes::EMPTY),
        }
    }
}

/// A required number with its fraction dropped, limited to the range of `i32`.
pub unsafe fn check_int(l: *mut lua_State, arg: c_int) -> i32 {
    // SAFETY: see above. The conversion saturates, and NaN becomes 0.
    unsafe { lua::luaL_checknumber(l, arg) as i32 }
}

/// Raises `bad argument #arg … (message)`.
pub unsafe fn arg_error(l: *mut lua_State, arg: c_int, message: &CStr) -> ! {
    // SAFETY: see above.
    unsafe { lua::luaL_argerror(l, arg, message.as_ptr()) };
    unreachable!("luaL_argerror does not return")
}

/// Raises `bad argument #arg … (WANTED expected, got TYPE)`.
pub unsafe fn type_error(l: *mut lua_State, arg: c_int, wanted: &CStr) -> ! {
    // SAFETY: see above.
    unsafe {
        let got = lua::luaL_typename(l, arg);
        let message =
            lua::lua_pushfstring(l, c"%s expected, got %s".as_ptr(), wanted.as_ptr(), got);
        lua::luaL_argerror(l, arg, message);
    }
    unreachable!("luaL_argerror does not return")
}

/// Pushes bytes as a string.
#[inline]
pub unsafe fn push_bytes(l: *mut lua_State, bytes: &[u8]) {
    // SAFETY: see above.
    unsafe { version::push_lstring(l, bytes.as_ptr().cast(), bytes.len()) }
}

/// Pushes the words for `error`.
pub unsafe fn push_error(l: *mut lua_State, error: Error) {
    // SAFETY: see above. `Text` owns no memory.
    unsafe {
        if error == Error::Interrupted {
            lua::luaL_error(l, c"interrupted!".as_ptr());
        }
        push_bytes(l, error.text().bytes());
    }
}

/// Pushes `nil` and the words for `error`.
pub unsafe fn fail(l: *mut lua_State, error: Error) -> c_int {
    // SAFETY: see above.
    unsafe {
        lua::lua_pushnil(l);
        push_error(l, error);
    }
    2
}

/// Pushes 1, LuaSocket's "it worked".
#[inline]
pub unsafe fn succeed(l: *mut lua_State) -> c_int {
    // SAFETY: see above.
    unsafe { lua::lua_pushinteger(l, 1) };
    1
}

/// Pushes 1, or `nil` and the words for the error.
#[inline]
pub unsafe fn push_outcome(l: *mut lua_State, outcome: Result<(), Error>) -> c_int {
    // SAFETY: see above.
    unsafe {
        match outcome {
            Ok(()) => succeed(l),
            Err(error) => fail(l, error),
        }
    }
}

/// Sets `table[name] = bytes` in the table on top.
pub unsafe fn set_bytes(l: *mut lua_State, name: &CStr, bytes: &[u8]) {
    // SAFETY: see above.
    unsafe {
        push_bytes(l, bytes);
        lua::lua_setfield(l, -2, name.as_ptr());
    }
}

/// Sets functions in the table on top.
pub unsafe fn set_functions(l: *mut lua_State, functions: &[(&CStr, lua::lua_CFunction)]) {
    // SAFETY: see above.
    unsafe {
        for &(name, function) in functions {
            lua::lua_pushcfunction(l, function);
            lua::lua_setfield(l, -2, name.as_ptr());
        }
    }
}

/// Pushes a new userdata for a `T`, uninitialised.
pub unsafe fn new_userdata<T>(l: *mut lua_State) -> *mut T {
    const {
        assert!(
            align_of::<T>() <= 8,
            "Lua aligns userdata to 8 bytes at least"
        )
    };
    // SAFETY: see above.
    unsafe { version::new_userdata(l, size_of::<T>()) }.cast()
}

/// What differs between Lua versions.
mod version {
    use super::*;
    use std::ffi::{c_char, c_void};

    /// No user values, which would cost memory.
    #[cfg(any(feature = "lua54", feature = "lua55"))]
    pub unsafe fn new_userdata(l: *mut lua_State, size: usize) -> *mut c_void {
        // SAFETY: as the caller's.
        unsafe { lua::lua_newuserdatauv(l, size, 0) }
    }

    #[cfg(not(any(feature = "lua54", feature = "lua55")))]
    pub unsafe fn new_userdata(l: *mut lua_State, size: usize) -> *mut c_void {
        // SAFETY: as the caller's.
        unsafe { lua::lua_newuserdata(l, size) }
    }

    /// Without the look back that the compatible form takes on 5.1.
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    #[inline]
    pub unsafe fn push_lstring(l: *mut lua_State, ptr: *const c_char, len: usize) {
        // SAFETY: as the caller's.
        unsafe { lua::lua_pushlstring_(l, ptr, len) }
    }

    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    #[inline]
    pub unsafe fn push_lstring(l: *mut lua_State, ptr: *const c_char, len: usize) {
        // SAFETY: as the caller's.
        unsafe { lua::lua_pushlstring(l, ptr, len) };
    }
}

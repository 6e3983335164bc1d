//! Unix: Linux, macOS and the BSDs, through libc.
#![allow(unsafe_code)]

mod address;
mod birth;
mod bytes;
mod descriptor;
mod memory;
mod names;
mod option;
mod signals;
mod wait;

use std::ffi::{CStr, c_char, c_int};

pub use address::*;
pub use birth::*;
pub use bytes::*;
pub use descriptor::*;
pub use memory::*;
pub use names::*;
pub use option::*;
pub use signals::without_signals;
pub use wait::*;

pub use libc::{
    AF_INET, AF_INET6, AF_UNIX, EACCES, EADDRINUSE, EAGAIN, EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL,
    EAI_FAMILY, EAI_MEMORY, EAI_NONAME, EAI_OVERFLOW, EAI_SERVICE, EAI_SOCKTYPE, EALREADY, EBADF,
    ECONNABORTED, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EINPROGRESS, EINTR, EINVAL, EISCONN,
    EMFILE, ENETUNREACH, ENOENT, ENOMEM, ENOTCONN, EPIPE, ETIMEDOUT, POLLERR, POLLHUP, POLLIN,
    POLLNVAL, POLLOUT, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM,
};

use crate::error::Text;

/// A descriptor.
pub type Fd = c_int;

/// The value of a descriptor that does not exist.
pub const INVALID: Fd = -1;

/// A failed system call is its `errno`.
pub type Result<T> = std::result::Result<T, c_int>;

/// glibc's code for an address of another family than asked for.
#[cfg(target_os = "linux")]
pub const EAI_ADDRFAMILY: c_int = -9;
/// Elsewhere the nearest that exists.
#[cfg(not(target_os = "linux"))]
pub const EAI_ADDRFAMILY: c_int = libc::EAI_NONAME;

/// `h_errno`: no such host.
pub const HOST_NOT_FOUND: c_int = 1;

/// Turns -1 into the error it stands for.
macro_rules! syscall {
    ($call:ident($($arg:expr),* $(,)?)) => {{
        // SAFETY: the arguments are valid for this call: descriptors are plain
        // numbers, pointers come with the length of what they point at.
        let result = unsafe { libc::$call($($arg),*) };
        if result == -1 { Err($crate::sys::errno()) } else { Ok(result) }
    }};
}
pub(in crate::sys) use syscall;

/// The error of the last failed call of this thread.
pub fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// `strerror_r(3)`.
pub fn strerror(errno: c_int) -> Text {
    let mut text = [0 as c_char; 128];
    // SAFETY: the buffer is as long as told; the result ends with NUL.
    unsafe {
        libc::strerror_r(errno, text.as_mut_ptr(), text.len());
        Text::new(CStr::from_ptr(text.as_ptr()).to_bytes())
    }
}

/// `gai_strerror(3)`.
pub fn gai_strerror(code: c_int) -> Text {
    // SAFETY: returns a static string for every code.
    Text::new(unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_bytes())
}

/// `hstrerror(3)`: the words for an `h_errno`.
pub fn hstrerror(code: c_int) -> Text {
    unsafe extern "C" {
        fn hstrerror(code: c_int) -> *const c_char;
    }
    // SAFETY: returns a static string for every code.
    Text::new(unsafe { CStr::from_ptr(hstrerror(code)) }.to_bytes())
}

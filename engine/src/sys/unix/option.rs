//! Socket options. Their names are in `opt.rs`.

use std::ffi::c_void;
use std::mem::{MaybeUninit, size_of};

use super::{Fd, Result, c_int, syscall};

/// `setsockopt(2)` with a value of plain data.
pub fn setsockopt<T: Copy>(fd: Fd, level: c_int, name: c_int, value: &T) -> Result<()> {
    let value = std::ptr::from_ref(value).cast::<c_void>();
    syscall!(setsockopt(fd, level, name, value, size_of::<T>() as _)).map(drop)
}

/// `setsockopt(2)` with a string.
pub fn setsockopt_bytes(fd: Fd, level: c_int, name: c_int, value: &[u8]) -> Result<()> {
    let (value, len) = (value.as_ptr().cast(), value.len() as libc::socklen_t);
    syscall!(setsockopt(fd, level, name, value, len)).map(drop)
}

/// `getsockopt(2)` of a value of plain data, for which all-zero must be valid.
pub fn getsockopt<T: Copy>(fd: Fd, level: c_int, name: c_int) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    syscall!(getsockopt(
        fd,
        level,
        name,
        value.as_mut_ptr().cast(),
        &mut len
    ))?;
    // SAFETY: zeroed, then written by the kernel; the contract says zero is valid.
    Ok(unsafe { value.assume_init() })
}

/// `getsockopt(2)` of a string: fills `value`, returns the length.
pub fn getsockopt_bytes(fd: Fd, level: c_int, name: c_int, value: &mut [u8]) -> Result<usize> {
    let mut len = value.len() as libc::socklen_t;
    syscall!(getsockopt(
        fd,
        level,
        name,
        value.as_mut_ptr().cast(),
        &mut len
    ))?;
    Ok(len as usize)
}

/// The pending error of `fd` (`SO_ERROR`), which is cleared.
pub fn pending_error(fd: Fd) -> Result<()> {
    match getsockopt::<c_int>(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(errno),
    }
}

/// Makes the send buffer of `fd` as small as the system allows.
pub fn shrink_send_buffer(fd: Fd) {
    // A buffer that stays large only takes a few more bytes to fill.
    let _ = setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &(1 as c_int));
}

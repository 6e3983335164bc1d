//! Bytes and datagrams.

use std::io::IoSlice;
use std::mem::zeroed;

use super::address::SockAddr;
use super::signals::Sigpipe;
use super::{EPIPE, Fd, Result, c_int, syscall};

#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: c_int = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: c_int = 0;

/// `recv(2)` into the spare capacity of `into`, which must not be none.
pub fn recv(fd: Fd, into: &mut Vec<u8>) -> Result<usize> {
    let room = into.spare_capacity_mut();
    let n = syscall!(recv(fd, room.as_mut_ptr().cast(), room.len(), 0))? as usize;
    // SAFETY: the kernel has written `n` bytes of the spare capacity.
    unsafe { into.set_len(into.len() + n) };
    Ok(n)
}

/// `recv(2)` of up to `most` bytes that nobody wants to see, where the kernel need not copy them. `None` where it must.
pub fn skip(fd: Fd, most: usize) -> Option<Result<usize>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Of TCP alone; others would write to where there is no room.
        match syscall!(recv(fd, std::ptr::null_mut(), most, libc::MSG_TRUNC)) {
            Err(libc::EFAULT | libc::EINVAL | libc::EOPNOTSUPP) => None,
            n => Some(n.map(|n| n as usize)),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (fd, most);
        None
    }
}

/// `read(2)` into the spare capacity of `into`, which must not be none.
pub fn read(fd: Fd, into: &mut Vec<u8>) -> Result<usize> {
    let room = into.spare_capacity_mut();
    let n = syscall!(read(fd, room.as_mut_ptr().cast(), room.len()))? as usize;
    // SAFETY: the kernel has written `n` bytes of the spare capacity.
    unsafe { into.set_len(into.len() + n) };
    Ok(n)
}

/// Whether a `recv` would find the end of the stream or an error; never waits and
/// takes nothing. `Ok(0)` is the end.
pub fn peek(fd: Fd) -> Result<usize> {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    syscall!(recv(fd, (&raw mut byte).cast(), 1, flags)).map(|n| n as usize)
}

/// `send(2)`.
pub fn send(fd: Fd, data: &[u8]) -> Result<usize> {
    syscall!(send(fd, data.as_ptr().cast(), data.len(), SEND_FLAGS)).map(|n| n as usize)
}

/// `sendmsg(2)` of bytes that lie in several places.
pub fn send_vectored(fd: Fd, data: &[IoSlice<'_>]) -> Result<usize> {
    // SAFETY: all zeros is a valid `msghdr` without anything in it.
    let mut message: libc::msghdr = unsafe { zeroed() };
    // An `IoSlice` is an `iovec` in memory; the kernel only reads it.
    message.msg_iov = data.as_ptr().cast_mut().cast();
    message.msg_iovlen = data.len().min(IOV_MAX) as _;
    syscall!(sendmsg(fd, &message, SEND_FLAGS)).map(|n| n as usize)
}

/// As many pieces a system must take at once.
const IOV_MAX: usize = 16;

/// `write(2)` to what is not a socket. A broken pipe is only an error: the signal
/// it brings is held back and taken away.
pub fn write(fd: Fd, data: &[u8]) -> Result<usize> {
    let blocked = Sigpipe::block();
    let written = syscall!(write(fd, data.as_ptr().cast(), data.len())).map(|n| n as usize);
    blocked.restore(written == Err(EPIPE));
    written
}

/// `recvfrom(2)` of one datagram into the spare capacity of `into`, and its sender
/// into `from`.
pub fn recvfrom(fd: Fd, into: &mut Vec<u8>, from: &mut SockAddr) -> Result<()> {
    let room = into.spare_capacity_mut();
    let (ptr, room) = (room.as_mut_ptr().cast(), room.len());
    from.len = SockAddr::ROOM;
    let n = syscall!(recvfrom(fd, ptr, room, 0, from.as_mut_ptr(), &mut from.len))? as usize;
    // SAFETY: the kernel has written `n` bytes of the spare capacity.
    unsafe { into.set_len(into.len() + n) };
    Ok(())
}

/// `sendto(2)`.
pub fn sendto(fd: Fd, data: &[u8], to: &SockAddr) -> Result<usize> {
    let (ptr, len) = (data.as_ptr().cast(), data.len());
    syscall!(sendto(fd, ptr, len, SEND_FLAGS, to.as_ptr(), to.len)).map(|n| n as usize)
}

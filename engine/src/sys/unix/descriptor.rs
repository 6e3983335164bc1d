//! Descriptors: making, marking and closing them.

use std::ffi::CStr;

use super::{AF_UNIX, Fd, INVALID, Result, SOCK_STREAM, c_int, syscall};

/// `close(2)`. Its error, if any, comes too late to matter: the descriptor is
/// gone in any case on Linux, so it must not be tried again after `EINTR`.
pub fn close(fd: Fd) {
    // SAFETY: closing a number.
    unsafe { libc::close(fd) };
}

/// Another number for the open file of `fd`.
pub fn dup(fd: Fd) -> Result<Fd> {
    syscall!(fcntl(fd, libc::F_DUPFD_CLOEXEC, 0))
}

/// Makes calls on `fd` answer instead of waiting.
pub fn set_nonblocking(fd: Fd) -> Result<()> {
    let flags = syscall!(fcntl(fd, libc::F_GETFL))?;
    syscall!(fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
}

/// Makes `to` another name of the open file `from`, closing what it was, and
/// closes the name `from`.
pub fn move_fd(from: Fd, to: Fd) -> Result<()> {
    #[cfg(target_os = "linux")]
    let moved = syscall!(dup3(from, to, libc::O_CLOEXEC)).map(drop);
    #[cfg(not(target_os = "linux"))]
    let moved = syscall!(dup2(from, to))
        .and_then(|_| syscall!(fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC)))
        .map(drop);
    close(from);
    moved
}

/// `open(2)` for reading and writing, not as the controlling terminal.
///
/// Non-blocking from the start, so that a modem line without carrier cannot hang
/// us. On a FIFO, `O_RDWR` never blocks.
pub fn open(path: &CStr) -> Result<Fd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    syscall!(open(path.as_ptr(), flags))
}

/// `socket(2)`.
pub fn socket(family: c_int, kind: c_int) -> Result<Fd> {
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    return syscall!(socket(
        family,
        kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        0
    ));
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    return syscall!(socket(family, kind, 0)).and_then(adopt);
}

/// A pair of connected Unix-domain stream sockets.
pub fn socketpair() -> Result<(Fd, Fd)> {
    let mut pair = [INVALID; 2];
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let kind = SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let kind = SOCK_STREAM;
    syscall!(socketpair(AF_UNIX, kind, 0, pair.as_mut_ptr()))?;
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    for fd in pair {
        adopt(fd)?;
    }
    Ok((pair[0], pair[1]))
}

/// Where the kernel cannot do it at creation. Also switches SIGPIPE off where
/// that is an option of the socket.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn adopt(fd: Fd) -> Result<Fd> {
    let set = || -> Result<()> {
        syscall!(fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC))?;
        syscall!(fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK))?;
        #[cfg(target_vendor = "apple")]
        setsockopt(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, &1 as &c_int)?;
        Ok(())
    };
    set().inspect_err(|_| close(fd)).map(|()| fd)
}

/// `accept(2)`.
pub fn accept(fd: Fd) -> Result<Fd> {
    let null = std::ptr::null_mut();
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    return syscall!(accept4(
        fd,
        null,
        null.cast(),
        libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC
    ));
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    return syscall!(accept(fd, null, null.cast())).and_then(adopt);
}

/// `listen(2)`.
pub fn listen(fd: Fd, backlog: c_int) -> Result<()> {
    syscall!(listen(fd, backlog)).map(drop)
}

/// `shutdown(2)`.
pub fn shutdown(fd: Fd, how: c_int) -> Result<()> {
    syscall!(shutdown(fd, how)).map(drop)
}

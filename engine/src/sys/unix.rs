//! Unix: Linux, macOS and the BSDs, through libc.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

pub use libc::{
    AF_INET, AF_INET6, AF_UNIX, EACCES, EADDRINUSE, EAGAIN, EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL,
    EAI_FAMILY, EAI_MEMORY, EAI_NONAME, EAI_OVERFLOW, EAI_SERVICE, EAI_SOCKTYPE, EALREADY, EBADF,
    ECONNABORTED, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EINPROGRESS, EINTR, EINVAL, EISCONN,
    EMFILE, ENETUNREACH, ENOENT, ENOTCONN, EPIPE, ETIMEDOUT, POLLERR, POLLHUP, POLLIN, POLLNVAL,
    POLLOUT, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM,
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
        if result == -1 { Err(errno()) } else { Ok(result) }
    }};
}
pub(super) use syscall;

/// The error of the last failed call of this thread.
pub fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

// Waiting.

/// A descriptor for [`poll`], with what is asked and what was found.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// Asks about `events` of `fd`.
    pub fn new(fd: Fd, events: i16) -> PollFd {
        PollFd(libc::pollfd {
            fd,
            events,
            revents: 0,
        })
    }

    /// The descriptor.
    pub fn fd(&self) -> Fd {
        self.0.fd
    }

    /// What was asked.
    pub fn events(&self) -> i16 {
        self.0.events
    }

    /// What the last [`poll`] found.
    pub fn revents(&self) -> i16 {
        self.0.revents
    }
}

/// `poll(2)`; the number of ready descriptors, 0 at the timeout. `None` waits for
/// ever.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    let fds_ptr = fds.as_mut_ptr().cast::<libc::pollfd>();
    match poll_for(fds_ptr, fds.len(), timeout) {
        Err(EINVAL) => poll_merged(fds, timeout),
        ready => ready.map(|ready| ready as usize),
    }
}

/// [`poll`] for more entries than the process may have descriptors, which the kernel
/// rejects: most are then there twice, to be read and to be written.
fn poll_merged(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    let mut merged: Vec<PollFd> = fds.iter().filter(|each| each.fd() >= 0).copied().collect();
    merged.sort_unstable_by_key(PollFd::fd);
    merged.dedup_by(|next, kept| {
        let same = next.fd() == kept.fd();
        if same {
            kept.0.events |= next.events();
        }
        same
    });
    let merged_ptr = merged.as_mut_ptr().cast::<libc::pollfd>();
    poll_for(merged_ptr, merged.len(), timeout)?;
    let mut ready = 0;
    for each in fds {
        let found = merged.binary_search_by_key(&each.fd(), PollFd::fd);
        let asked = each.events() | POLLERR | POLLHUP | POLLNVAL;
        each.0.revents = found.map_or(0, |at| merged[at].revents() & asked);
        ready += usize::from(each.revents() != 0);
    }
    Ok(ready)
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn poll_for(fds: *mut libc::pollfd, len: usize, timeout: Option<Duration>) -> Result<c_int> {
    // Less to copy in and out than with `ppoll`.
    match timeout {
        None => return syscall!(poll(fds, len as _, -1)),
        Some(Duration::ZERO) => return syscall!(poll(fds, len as _, 0)),
        Some(_) => {}
    }
    let spec = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    let spec = spec
        .as_ref()
        .map_or(std::ptr::null(), |spec| spec as *const _);
    syscall!(ppoll(fds, len as _, spec, std::ptr::null()))
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn poll_for(fds: *mut libc::pollfd, len: usize, timeout: Option<Duration>) -> Result<c_int> {
    let up = |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
    let ms = timeout.map_or(-1, |timeout| up(timeout) as c_int);
    syscall!(poll(fds, len as _, ms))
}

// Memory.

/// Gives the pages that lie wholly within `memory` back to the system: they read as zeros
/// from then on. Does nothing where that is not so.
pub fn release(memory: &mut [u8]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = memory.as_mut_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_ptr().addr() + memory.len()) / PAGE * PAGE;
        if start < end {
            let at = memory.as_mut_ptr().with_addr(start).cast();
            // SAFETY: pages within `memory`, which is ours alone; a refusal (of larger
            // pages, say) changes nothing.
            unsafe { libc::madvise(at, end - start, libc::MADV_DONTNEED) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

// Descriptors.

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

// Bytes.

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

/// `write(2)` to what is not a socket. A broken pipe is only an error: the signal
/// it brings is held back and taken away.
pub fn write(fd: Fd, data: &[u8]) -> Result<usize> {
    let blocked = Sigpipe::block();
    let written = syscall!(write(fd, data.as_ptr().cast(), data.len())).map(|n| n as usize);
    blocked.restore(written == Err(EPIPE));
    written
}

/// SIGPIPE held back in this thread.
struct Sigpipe {
    old: libc::sigset_t,
    /// Whether one was waiting before us; it is not ours to take.
    pending: bool,
}

impl Sigpipe {
    fn block() -> Sigpipe {
        // SAFETY: all sets are initialised before they are read.
        unsafe {
            let (mut set, mut old, mut pending) = (zeroed(), zeroed(), zeroed());
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            libc::sigpending(&mut pending);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut old);
            Sigpipe {
                old,
                pending: libc::sigismember(&pending, libc::SIGPIPE) == 1,
            }
        }
    }

    fn restore(self, raised: bool) {
        // SAFETY: as in `block`.
        unsafe {
            if raised && !self.pending {
                let (mut set, mut signal) = (zeroed(), 0);
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGPIPE);
                let mut now = zeroed();
                libc::sigpending(&mut now);
                if libc::sigismember(&now, libc::SIGPIPE) == 1 {
                    libc::sigwait(&set, &mut signal);
                }
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.old, std::ptr::null_mut());
        }
    }
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

// Addresses.

/// A socket address as the kernel has it.
#[derive(Clone, Copy)]
pub struct SockAddr {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

/// An address in words.
pub enum Name<'a> {
    /// An internet address.
    Inet(SocketAddr),
    /// A Unix-domain path; abstract names begin with a NUL; unnamed is empty.
    Unix(&'a [u8]),
    /// Something else, or nothing.
    Unknown,
}

impl SockAddr {
    /// No address at all.
    pub const EMPTY: SockAddr = SockAddr {
        // SAFETY: all-zero is a valid `sockaddr_storage`.
        storage: unsafe { zeroed() },
        len: 0,
    };
    const ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as _;

    /// No address, family unspecified: what `connect` takes to remove a peer.
    pub fn unspecified() -> SockAddr {
        SockAddr {
            len: size_of::<libc::sockaddr>() as _,
            ..SockAddr::EMPTY
        }
    }

    /// A Unix-domain path; one that begins with a NUL is an abstract name.
    /// `None` if it does not fit.
    pub fn unix(path: &[u8]) -> Option<SockAddr> {
        let mut address = SockAddr::EMPTY;
        // SAFETY: `sockaddr_un` fits into `sockaddr_storage` and has its alignment.
        let un = unsafe { &mut *(&raw mut address.storage).cast::<libc::sockaddr_un>() };
        if path.len() >= un.sun_path.len() {
            return None;
        }
        un.sun_family = AF_UNIX as _;
        for (to, from) in un.sun_path.iter_mut().zip(path) {
            *to = *from as c_char;
        }
        let head = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        // A path is sent with its NUL; an abstract name is all that the length says.
        let tail = usize::from(path.first().is_some_and(|first| *first != 0));
        address.len = (head + path.len() + tail) as _;
        Some(address)
    }

    /// In words.
    pub fn name(&self) -> Name<'_> {
        let at = &raw const self.storage;
        // SAFETY: the family tells which structure the kernel has written; all
        // of them fit into `sockaddr_storage`.
        unsafe {
            match c_int::from(self.storage.ss_family) {
                AF_INET if self.len > 0 => Name::Inet(from_v4(&*at.cast()).into()),
                AF_INET6 if self.len > 0 => Name::Inet(from_v6(&*at.cast()).into()),
                AF_UNIX if self.len > 0 => Name::Unix(self.unix_path()),
                _ => Name::Unknown,
            }
        }
    }

    fn unix_path(&self) -> &[u8] {
        let head = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        let len = (self.len as usize).saturating_sub(head);
        // SAFETY: the kernel has written `self.len` bytes of the storage.
        let path = unsafe {
            let start = (&raw const self.storage).cast::<u8>().add(head);
            std::slice::from_raw_parts(start, len.min(size_of::<libc::sockaddr_storage>() - head))
        };
        match path.first() {
            Some(0) => path,
            _ => {
                &path[..path
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(path.len())]
            }
        }
    }

    fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }
}

impl From<&SocketAddr> for SockAddr {
    fn from(from: &SocketAddr) -> SockAddr {
        let mut address = SockAddr::EMPTY;
        let at = &raw mut address.storage;
        // SAFETY: both structures fit into `sockaddr_storage`.
        unsafe {
            match from {
                SocketAddr::V4(v4) => {
                    let sin = &mut *at.cast::<libc::sockaddr_in>();
                    sin.sin_family = AF_INET as _;
                    sin.sin_port = v4.port().to_be();
                    sin.sin_addr = in_addr(v4.ip());
                    address.len = size_of::<libc::sockaddr_in>() as _;
                }
                SocketAddr::V6(v6) => {
                    let sin6 = &mut *at.cast::<libc::sockaddr_in6>();
                    sin6.sin6_family = AF_INET6 as _;
                    sin6.sin6_port = v6.port().to_be();
                    sin6.sin6_addr = in6_addr(v6.ip());
                    sin6.sin6_flowinfo = v6.flowinfo();
                    sin6.sin6_scope_id = v6.scope_id();
                    address.len = size_of::<libc::sockaddr_in6>() as _;
                }
            }
        }
        address
    }
}

fn from_v4(sin: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr)),
        u16::from_be(sin.sin_port),
    )
}

fn from_v6(sin6: &libc::sockaddr_in6) -> SocketAddrV6 {
    let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
    let port = u16::from_be(sin6.sin6_port);
    SocketAddrV6::new(ip, port, sin6.sin6_flowinfo, sin6.sin6_scope_id)
}

/// The kernel's form of an IPv4 address.
pub fn in_addr(ip: &Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(*ip).to_be(),
    }
}

/// The kernel's form of an IPv6 address.
pub fn in6_addr(ip: &Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: ip.octets(),
    }
}

/// `bind(2)`.
pub fn bind(fd: Fd, to: &SockAddr) -> Result<()> {
    syscall!(bind(fd, to.as_ptr(), to.len)).map(drop)
}

/// `connect(2)`; `EINPROGRESS` when it goes on.
pub fn connect(fd: Fd, to: &SockAddr) -> Result<()> {
    match syscall!(connect(fd, to.as_ptr(), to.len)) {
        Err(EINTR) => Err(EINPROGRESS),
        result => result.map(drop),
    }
}

/// `getsockname(2)`.
pub fn getsockname(fd: Fd) -> Result<SockAddr> {
    let (mut name, mut len) = (SockAddr::EMPTY, SockAddr::ROOM);
    syscall!(getsockname(fd, name.as_mut_ptr(), &mut len))?;
    name.len = len;
    Ok(name)
}

/// `getpeername(2)`.
pub fn getpeername(fd: Fd) -> Result<SockAddr> {
    let (mut name, mut len) = (SockAddr::EMPTY, SockAddr::ROOM);
    syscall!(getpeername(fd, name.as_mut_ptr(), &mut len))?;
    name.len = len;
    Ok(name)
}

// Options.

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

// Texts.

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

// Names.

/// What `getaddrinfo` is asked for.
#[derive(Clone, Copy)]
pub struct Hints {
    /// `AF_*`; 0 for any.
    pub family: c_int,
    /// `SOCK_*`.
    pub kind: c_int,
    /// `AI_PASSIVE`: for binding.
    pub passive: bool,
    /// `AI_NUMERICHOST`: no look-up.
    pub numeric: bool,
}

/// `getaddrinfo(3)`; may block for as long as the system resolver needs. The error
/// is the `EAI_*` code, or `errno` where that is `EAI_SYSTEM`.
pub fn getaddrinfo(
    host: Option<&CStr>,
    service: Option<&CStr>,
    hints: Hints,
) -> std::result::Result<Vec<SocketAddr>, crate::Error> {
    // SAFETY: zero is a valid `addrinfo` for hints; strings end with NUL; the list
    // is freed once, after its last use.
    unsafe {
        let mut ask: libc::addrinfo = zeroed();
        ask.ai_family = hints.family;
        ask.ai_socktype = hints.kind;
        ask.ai_flags = if hints.passive { libc::AI_PASSIVE } else { 0 }
            | if hints.numeric {
                libc::AI_NUMERICHOST
            } else {
                0
            };
        let mut list = std::ptr::null_mut();
        let ptr = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        match libc::getaddrinfo(ptr(host), ptr(service), &ask, &mut list) {
            0 => {}
            libc::EAI_SYSTEM => return Err(crate::Error::Os(errno())),
            code => return Err(crate::Error::Resolve(code)),
        }
        let mut addresses = Vec::new();
        let mut at = list;
        while let Some(info) = at.as_ref() {
            match info.ai_family {
                AF_INET => addresses.push(from_v4(&*info.ai_addr.cast()).into()),
                AF_INET6 => addresses.push(from_v6(&*info.ai_addr.cast()).into()),
                _ => {}
            }
            at = info.ai_next;
        }
        libc::freeaddrinfo(list);
        Ok(addresses)
    }
}

/// `getnameinfo(3)`: the name of the host and of the service of `address`, each
/// only if asked for. `numeric` asks for the numeric host, without a look-up.
/// `datagram` asks for the service of datagram sockets.
pub fn getnameinfo(
    address: &SocketAddr,
    host: bool,
    service: bool,
    numeric: bool,
) -> std::result::Result<(CString, CString), crate::Error> {
    let address = SockAddr::from(address);
    let (mut host_text, mut service_text) = ([0 as c_char; 1025], [0 as c_char; 64]);
    let flags = if numeric { libc::NI_NUMERICHOST } else { 0 };
    let host_len = if host { host_text.len() } else { 0 };
    let service_len = if service { service_text.len() } else { 0 };
    // SAFETY: buffers are as long as told, and the results end with NUL.
    unsafe {
        match libc::getnameinfo(
            address.as_ptr(),
            address.len,
            host_text.as_mut_ptr(),
            host_len as _,
            service_text.as_mut_ptr(),
            service_len as _,
            flags,
        ) {
            0 => {}
            libc::EAI_SYSTEM => return Err(crate::Error::Os(errno())),
            code => return Err(crate::Error::Resolve(code)),
        }
        let own = |text: &[c_char]| CStr::from_ptr(text.as_ptr()).to_owned();
        Ok((own(&host_text), own(&service_text)))
    }
}

/// What `gethostbyname` and `gethostbyaddr` tell of a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The official name.
    pub name: CString,
    /// Other names.
    pub aliases: Vec<CString>,
    /// Its IPv4 addresses, in the resolver's order.
    pub addresses: Vec<Ipv4Addr>,
}

/// `gethostbyname_r(3)`, IPv4; may block.
#[cfg(target_os = "linux")]
pub fn gethostbyname(name: &CStr) -> std::result::Result<HostEntry, crate::Error> {
    host_entry(|entry, buffer, len, result, code| {
        // SAFETY: `host_entry` passes valid places.
        unsafe { glibc::gethostbyname_r(name.as_ptr(), entry, buffer, len, result, code) }
    })
}

/// `gethostbyaddr_r(3)`, IPv4; may block.
#[cfg(target_os = "linux")]
pub fn gethostbyaddr(ip: Ipv4Addr) -> std::result::Result<HostEntry, crate::Error> {
    let addr = in_addr(&ip);
    let at = (&raw const addr).cast::<c_void>();
    host_entry(|entry, buffer, len, result, code| {
        // SAFETY: as above; `at` points at 4 bytes.
        unsafe { glibc::gethostbyaddr_r(at, 4, AF_INET, entry, buffer, len, result, code) }
    })
}

#[cfg(target_os = "linux")]
mod glibc {
    use super::*;

    unsafe extern "C" {
        pub fn gethostbyname_r(
            name: *const c_char,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            len: usize,
            result: *mut *mut libc::hostent,
            code: *mut c_int,
        ) -> c_int;
        pub fn gethostbyaddr_r(
            address: *const c_void,
            address_len: libc::socklen_t,
            family: c_int,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            len: usize,
            result: *mut *mut libc::hostent,
            code: *mut c_int,
        ) -> c_int;
    }
}

/// Calls one of the `_r` functions with a buffer that grows until it suffices.
#[cfg(target_os = "linux")]
fn host_entry(
    call: impl Fn(*mut libc::hostent, *mut c_char, usize, *mut *mut libc::hostent, *mut c_int) -> c_int,
) -> std::result::Result<HostEntry, crate::Error> {
    // `h_errno` for "see errno".
    const NETDB_INTERNAL: c_int = -1;
    let mut buffer = vec![0 as c_char; 1024];
    loop {
        // SAFETY: zero is a valid `hostent` to be overwritten.
        let mut entry: libc::hostent = unsafe { zeroed() };
        let (mut result, mut code) = (std::ptr::null_mut(), 0);
        let failed = call(
            &mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut result,
            &mut code,
        );
        if failed == libc::ERANGE && buffer.len() < 1 << 20 {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if result.is_null() {
            return Err(match code {
                NETDB_INTERNAL => crate::Error::Os(if failed > 0 { failed } else { errno() }),
                0 => crate::Error::Host(HOST_NOT_FOUND),
                code => crate::Error::Host(code),
            });
        }
        // SAFETY: the entry and its lists lie in `buffer`, which is still there.
        return Ok(unsafe { read_host_entry(&entry) });
    }
}

/// Copies an entry out of the buffer it lies in.
///
/// # Safety
///
/// `entry` must have been filled by the resolver.
#[cfg(target_os = "linux")]
unsafe fn read_host_entry(entry: &libc::hostent) -> HostEntry {
    let mut host = HostEntry::default();
    // SAFETY: lists end with a null pointer, names with NUL, addresses of
    // `AF_INET` have 4 bytes.
    unsafe {
        if !entry.h_name.is_null() {
            host.name = CStr::from_ptr(entry.h_name).to_owned();
        }
        let mut at = entry.h_aliases;
        while !at.is_null() && !(*at).is_null() {
            host.aliases.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
        let mut at = entry.h_addr_list;
        while entry.h_addrtype == AF_INET && !at.is_null() && !(*at).is_null() {
            host.addresses
                .push(Ipv4Addr::from(*(*at).cast::<[u8; 4]>()));
            at = at.add(1);
        }
    }
    host
}

/// `gethostname(2)`.
pub fn gethostname() -> Result<CString> {
    let mut name = [0 as c_char; 257];
    syscall!(gethostname(name.as_mut_ptr(), name.len() - 1))?;
    // SAFETY: the last byte is left NUL.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_owned())
}

/// `if_nametoindex(3)`; 0 if there is no such interface.
pub fn if_nametoindex(name: &CStr) -> u32 {
    // SAFETY: the name ends with NUL.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// `clock_gettime(CLOCK_REALTIME)`: seconds since 1970, UTC.
pub fn gettime() -> f64 {
    // SAFETY: the kernel fills the structure.
    let now = unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        now
    };
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Makes the send buffer of `fd` as small as the system allows.
pub fn shrink_send_buffer(fd: Fd) {
    // A buffer that stays large only takes a few more bytes to fill.
    let _ = setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &(1 as c_int));
}

/// Calls `f` with all signals held back, which a thread started in it inherits:
/// signals are for the threads of the program.
pub fn without_signals<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised before they are read.
    let old = unsafe {
        let (mut all, mut old) = (zeroed(), zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    let result = f();
    // SAFETY: `old` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut()) };
    result
}

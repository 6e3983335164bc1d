//! Socket addresses, and the calls that take or give one.

use std::ffi::c_char;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{AF_INET, AF_INET6, AF_UNIX, EINPROGRESS, EINTR, Fd, Result, c_int, syscall};

/// A socket address as the kernel has it.
#[derive(Clone, Copy)]
pub struct SockAddr {
    storage: libc::sockaddr_storage,
    pub(super) len: libc::socklen_t,
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
    pub(super) const ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as _;

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

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
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

pub(super) fn from_v4(sin: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(sin.sin_addr.s_addr)),
        u16::from_be(sin.sin_port),
    )
}

pub(super) fn from_v6(sin6: &libc::sockaddr_in6) -> SocketAddrV6 {
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

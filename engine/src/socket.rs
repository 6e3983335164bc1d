//! A descriptor and what belongs to it, whatever its type.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::Family;
use crate::closings;
use crate::deadline::{Limit, Timeouts};
use crate::error::{Error, Result};
use crate::kept;
use crate::operation::{self, Direction};
use crate::options::Remembered;
use crate::resolve::{self, Resolved};
use crate::sys::{self, Fd, PollFd, SockAddr};

/// What an event loop and the reads of a descriptor tell each other, so that a read is not
/// tried when it is known to find nothing.
///
/// Where readiness is told by edges, a read that brings less than there was room for has
/// emptied the descriptor, and there will be an edge when more comes: until then, reading is
/// in vain (epoll(7)). After the end of the stream there is no further edge.
#[derive(Clone, Copy, Default)]
pub struct Edge {
    /// Whether a loop is told of the descriptor's edges.
    pub watched: bool,
    /// Whether the end of the stream was told.
    pub hangup: bool,
    /// Whether the descriptor is empty, as far as is known.
    pub drained: bool,
}

/// A descriptor, or the place for one.
pub struct Socket {
    fd: Fd,
    /// What look-ups are restricted to.
    pub family: Family,
    /// Family of the descriptor; it can be known before `family` is decided.
    actual: Family,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    kind: u8,
    /// Whether `close` was called since the last descriptor.
    closed: bool,
    /// Whether the descriptor is not the object's socket but stands for a look-up
    /// that must come first.
    placeholder: bool,
    /// Whether a local address was bound by the program.
    pub bound: bool,
    /// The two timeouts of the object.
    pub timeouts: Timeouts,
    /// Options to be set on every descriptor of this object.
    pub remembered: Remembered,
    /// What is known of its readiness.
    pub edge: Edge,
    /// In which directions an operation is parked in an event loop (see [`Socket::park`]).
    parked: u8,
    /// Names the descriptor: no two descriptors of a process, in the course of
    /// time, share it. 0 is none.
    serial: u64,
}

impl Socket {
    /// A place for a descriptor of `kind` (`SOCK_*`).
    pub const fn new(kind: i32) -> Socket {
        Socket {
            fd: sys::INVALID,
            family: Family::Unspec,
            actual: Family::Unspec,
            kind: kind as u8,
            closed: false,
            placeholder: false,
            bound: false,
            timeouts: Timeouts::NONE,
            remembered: Remembered::new(),
            edge: Edge {
                watched: false,
                hangup: false,
                drained: false,
            },
            parked: 0,
            serial: 0,
        }
    }

    /// The descriptor, [`sys::INVALID`] if there is none.
    #[inline]
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// The descriptor's name in time (see the field).
    #[inline]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether an operation is parked in `direction`, so that no other may begin.
    #[inline]
    pub fn is_parked(&self, direction: Direction) -> bool {
        self.parked & (1 << direction as u8) != 0
    }

    /// Notes that an operation in `direction` is parked, or is not any more.
    pub fn park(&mut self, direction: Direction, parked: bool) {
        let bit = 1 << direction as u8;
        self.parked = if parked {
            self.parked | bit
        } else {
            self.parked & !bit
        };
    }

    /// `SOCK_*`.
    pub fn kind(&self) -> i32 {
        i32::from(self.kind)
    }

    /// Whether there never was a descriptor, so that options can be remembered.
    pub fn is_fresh(&self) -> bool {
        (self.fd == sys::INVALID && !self.closed) || self.placeholder
    }

    /// Whether there is no descriptor because `close` was called.
    pub fn is_closed(&self) -> bool {
        self.fd == sys::INVALID && self.closed
    }

    /// Takes `fd`, without closing what was there: LuaSocket's `setfd`.
    pub fn set_fd(&mut self, fd: Fd) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.fd = fd;
        self.closed = fd == sys::INVALID;
        self.placeholder = false;
        self.edge = Edge::default();
        self.serial = if self.closed {
            0
        } else {
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
    }

    /// Takes a fresh descriptor of `family`.
    pub(crate) fn adopt(&mut self, fd: Fd, family: Family) {
        self.set_fd(fd);
        self.actual = family;
        self.bound = false;
    }

    /// Takes `fd` to stand for a look-up under way.
    pub(crate) fn adopt_placeholder(&mut self, fd: Fd) {
        self.adopt(fd, Family::Unspec);
        self.placeholder = true;
    }

    /// Puts `fd`, a fresh descriptor of `family`, in the place of the one there is.
    /// The number stays the same, for those who watch it.
    pub(crate) fn replace(&mut self, fd: Fd, family: Family) -> Result<()> {
        let number = match self.fd {
            sys::INVALID => fd,
            number => {
                closing(number);
                sys::move_fd(fd, number).map_err(Error::Os)?;
                number
            }
        };
        self.adopt(number, family);
        Ok(())
    }

    /// The family of the descriptor there is.
    pub(crate) fn actual(&self) -> Family {
        self.actual
    }

    /// Makes a descriptor of `family`, with the options that every IPv6 socket of
    /// LuaSocket has, and those remembered.
    pub(crate) fn make(&self, family: Family) -> Result<Fd> {
        let fd = sys::socket(family.code(), self.kind()).map_err(Error::Os)?;
        if family == Family::Inet6 {
            // Where it cannot be set, binding `::` takes IPv4 as well.
            let _ = crate::options::set_v6only(fd, true);
        }
        self.remembered.apply(fd);
        Ok(fd)
    }

    /// Makes the descriptor now, of a decided family: `tcp4`, `udp6`, ….
    pub fn open(&mut self, family: Family) -> Result<()> {
        let fd = self.make(family)?;
        self.adopt(fd, family);
        self.family = family;
        Ok(())
    }

    /// Closes the descriptor; does nothing if there is none.
    pub fn close(&mut self) {
        if self.fd != sys::INVALID {
            closing(self.fd);
            sys::close(self.fd);
        }
        self.fd = sys::INVALID;
        self.serial = 0;
        self.closed = true;
        self.placeholder = false;
        self.bound = false;
    }

    /// Binds to an address of `host` (`*` is the wildcard) and `service`.
    ///
    /// Tries every address that the names stand for; the error is that of the
    /// last. Looks names up without a limit, as LuaSocket does.
    pub fn bind(&mut self, host: &[u8], service: &[u8]) -> Result<()> {
        let host = (host != b"*").then_some(host);
        let addresses = match resolve::resolve(host, service, self.family, self.kind(), true) {
            Resolved::Now(answer) => answer?,
            Resolved::Later(query) => query.blocking()?,
        };
        let mut last = Error::Resolve(sys::EAI_NONAME);
        for address in &addresses {
            match self.bind_to(address) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_to(&mut self, address: &SocketAddr) -> Result<()> {
        let family = Family::of(address);
        self.require(family)?;
        sys::bind(self.fd, &SockAddr::from(address)).map_err(Error::Os)?;
        self.family = family;
        self.bound = true;
        Ok(())
    }

    /// Closes the descriptor in order to make another one: the object is not closed.
    pub(crate) fn release(&mut self) {
        self.close();
        self.closed = false;
    }

    /// Makes sure that there is a descriptor of `family`.
    pub(crate) fn require(&mut self, family: Family) -> Result<()> {
        if self.fd == sys::INVALID || self.actual != family {
            let fd = self.make(family)?;
            self.replace(fd, family)?;
        }
        Ok(())
    }

    /// The limit of a call that starts now.
    #[inline]
    pub fn limit(&self) -> Limit {
        self.timeouts.begin()
    }

    /// `getsockname`.
    pub fn name(&self) -> Result<SockAddr> {
        sys::getsockname(self.fd).map_err(Error::Os)
    }

    /// `getpeername`.
    pub fn peer(&self) -> Result<SockAddr> {
        sys::getpeername(self.fd).map_err(Error::Os)
    }
}

/// Tells those who keep something about descriptors that the open file of `fd` goes away.
#[inline]
fn closing(fd: Fd) {
    kept::forget(fd);
    closings::note(fd);
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until `fd` is ready for one of `events`, or the limit is over.
pub fn wait(fd: Fd, events: i16, limit: Limit) -> Result<()> {
    operation::poll(&mut [PollFd::new(fd, events)], None, limit).map(drop)
}

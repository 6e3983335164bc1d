//! Datagrams: UDP and Unix-domain.

use std::net::SocketAddr;

use crate::address::{self, Family, Service};
use crate::buffer::Buffer;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::operation::{Direction, Interest, Operation, Pause, Step, drive};
use crate::resolve::{self, Lookup, Query, Resolved};
use crate::socket::Socket;
use crate::sys::{self, Name, SockAddr};

/// The longest datagram that `receive` takes unless told otherwise: the largest
/// that UDP can carry.
pub const LARGEST: usize = 65_536;

/// A datagram object.
pub struct Datagram {
    /// The descriptor, its timeouts and options.
    pub socket: Socket,
    /// The datagram that the last receive found, until it is taken.
    found: Buffer,
    /// Its sender; none if there is no datagram.
    from: Option<SockAddr>,
}

impl Datagram {
    /// An object without descriptor.
    pub const fn new() -> Datagram {
        Datagram {
            socket: Socket::new(sys::SOCK_DGRAM),
            found: Buffer::new(),
            from: None,
        }
    }

    /// Sends one datagram to the peer; its length.
    pub fn send(&mut self, data: &[u8]) -> Result<usize> {
        self.transmit(data, None)
    }

    /// Sends one datagram to a numeric `host` and `port`; its length. Names are not
    /// looked up. Makes the descriptor if the family is not decided yet.
    pub fn sendto(&mut self, data: &[u8], host: &[u8], port: &[u8]) -> Result<usize> {
        let to = numeric(host, port, self.socket.family)?;
        if self.socket.is_closed() && self.socket.family != Family::Unspec {
            return Err(Error::Refused);
        }
        if self.socket.fd() == sys::INVALID {
            self.socket.open(Family::of(&to))?;
        }
        self.transmit(data, Some(&SockAddr::from(&to)))
    }

    /// Sends one datagram to an address of any family.
    pub fn transmit(&mut self, data: &[u8], to: Option<&SockAddr>) -> Result<usize> {
        if self.socket.fd() == sys::INVALID {
            return Err(Error::Refused);
        }
        let limit = self.socket.limit();
        drive(
            &mut Send {
                data,
                to,
                pause: Pause::FIRST,
            },
            self,
            limit,
        )
    }

    /// Receives one datagram, cut to `size` bytes, and its sender. The bytes are
    /// [`Datagram::found`]; the next call finds the same ones unless
    /// [`Datagram::take`] was called, so that none is lost if they cannot be handed
    /// over.
    pub fn receive(&mut self, size: usize) -> Result<SockAddr> {
        if self.socket.fd() == sys::INVALID {
            return Err(Error::Closed);
        }
        if self.from.is_none() {
            let limit = self.socket.limit();
            self.from = Some(drive(&mut Receive { size }, self, limit)?);
        }
        self.found.truncate(size);
        self.from.ok_or(Error::Closed)
    }

    /// The bytes of the last datagram.
    #[inline]
    pub fn found(&self) -> &[u8] {
        self.found.unread()
    }

    /// Takes the last datagram away, and gives its memory back.
    #[inline]
    pub fn take(&mut self) {
        self.from = None;
        self.found.clear();
    }

    /// Sets the peer. Tries every address that the names stand for.
    ///
    /// A name is looked up within the limit of the object. With `settimeout(0)`
    /// there is no later call that could continue, so the look-up takes the time it
    /// takes, as in LuaSocket.
    pub fn connect(&mut self, host: &[u8], service: &[u8]) -> Result<()> {
        let (family, kind) = (self.socket.family, self.socket.kind());
        let found = match resolve::resolve(Some(host), service, family, kind, false) {
            Resolved::Now(answer) => answer?,
            Resolved::Later(query) => self.look_up(query)?,
        };
        let mut last = Error::Resolve(sys::EAI_NONAME);
        for address in &found {
            match self.connect_to(address) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn look_up(&mut self, query: Query) -> Result<Vec<SocketAddr>> {
        match self.socket.limit() {
            Limit::None | Limit::Now => query.blocking(),
            limit => drive(&mut LookUp(query.start()?), self, limit),
        }
    }

    fn connect_to(&mut self, address: &SocketAddr) -> Result<()> {
        self.socket.require(Family::of(address))?;
        sys::connect(self.socket.fd(), &SockAddr::from(address)).map_err(Error::from_errno)?;
        self.socket.family = Family::of(address);
        Ok(())
    }

    /// Removes the peer. Never fails in a way that matters.
    pub fn disconnect(&mut self) {
        if self.socket.fd() != sys::INVALID {
            let _ = sys::connect(self.socket.fd(), &SockAddr::unspecified());
        }
    }

    /// Closes.
    pub fn close(&mut self) {
        self.take();
        self.socket.close();
        self.socket.remembered.clear();
    }
}

impl Default for Datagram {
    fn default() -> Datagram {
        Datagram::new()
    }
}

/// The address that `host` and `port` spell in numbers. Errors are in the system's
/// own words (`udp.md` §3).
fn numeric(host: &[u8], port: &[u8], family: Family) -> Result<SocketAddr> {
    let raw = |error| match error {
        Error::Resolve(code) => Error::ResolveRaw(code),
        other => other,
    };
    let unknown = Error::ResolveRaw(sys::EAI_NONAME);
    if port.is_empty() {
        return Err(unknown);
    }
    if address::service(port).map_err(raw)? == Service::Name {
        // The resolver reads a negative number, and finds no such service.
        let negative = port.first() == Some(&b'-') && port.len() > 1;
        let digits = port.iter().skip(1).all(u8::is_ascii_digit);
        return Err(if negative && digits {
            Error::ResolveRaw(sys::EAI_SERVICE)
        } else {
            unknown
        });
    }
    if !resolve::may_be_numeric(host) {
        return Err(unknown);
    }
    match resolve::resolve(Some(host), port, family, sys::SOCK_DGRAM, false) {
        Resolved::Now(answer) => answer.map_err(raw)?.first().copied().ok_or(unknown),
        Resolved::Later(_) => Err(unknown),
    }
}

struct Send<'a> {
    data: &'a [u8],
    to: Option<&'a SockAddr>,
    pause: Pause,
}

impl Operation<Datagram> for Send<'_> {
    type Output = Result<usize>;

    fn step(&mut self, datagram: &mut Datagram) -> Step<Result<usize>> {
        let fd = datagram.socket.fd();
        loop {
            let sent = match self.to {
                Some(to) => sys::sendto(fd, self.data, to),
                None => sys::send(fd, self.data),
            };
            match sent {
                Err(sys::EINTR) => {}
                Err(sys::EAGAIN) => return Step::Wait,
                sent => return Step::Done(sent.map_err(Error::for_datagram)),
            }
        }
    }

    fn interest<'a>(&'a mut self, datagram: &'a mut Datagram) -> Interest<'a> {
        match self.to.map(SockAddr::name) {
            // The descriptor has room; the queue of the receiver has not.
            Some(Name::Unix(_)) => self.pause.interest(),
            _ => Interest::One(datagram.socket.fd(), Direction::Write),
        }
    }

    fn give_up(&mut self, _: &mut Datagram, why: Error) -> Result<usize> {
        Err(why)
    }
}

struct Receive {
    size: usize,
}

impl Operation<Datagram> for Receive {
    type Output = Result<SockAddr>;

    fn step(&mut self, datagram: &mut Datagram) -> Step<Result<SockAddr>> {
        let fd = datagram.socket.fd();
        loop {
            let read = datagram
                .found
                .fill_whole(self.size, |block| sys::recvfrom(fd, block));
            match read {
                Some(Err(sys::EINTR)) => {}
                Some(Err(sys::EAGAIN)) => return Step::Wait,
                Some(received) => return Step::Done(received.map_err(Error::for_datagram)),
                None => return Step::Done(Err(Error::NoMemory)),
            }
        }
    }

    fn interest<'a>(&'a mut self, datagram: &'a mut Datagram) -> Interest<'a> {
        Interest::One(datagram.socket.fd(), Direction::Read)
    }

    fn give_up(&mut self, datagram: &mut Datagram, why: Error) -> Result<SockAddr> {
        datagram.found.clear();
        Err(why)
    }
}

/// A look-up for an object that has nothing else to do meanwhile.
struct LookUp(Lookup<Vec<SocketAddr>>);

impl Operation<Datagram> for LookUp {
    type Output = Result<Vec<SocketAddr>>;

    fn step(&mut self, _: &mut Datagram) -> Step<Self::Output> {
        self.0.take().map_or(Step::Wait, Step::Done)
    }

    fn interest<'a>(&'a mut self, _: &'a mut Datagram) -> Interest<'a> {
        Interest::One(self.0.fd(), Direction::Read)
    }

    fn give_up(&mut self, _: &mut Datagram, why: Error) -> Self::Output {
        Err(why)
    }
}

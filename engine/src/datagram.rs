//! Datagrams: UDP and Unix-domain.

use std::net::SocketAddr;

use crate::address::{self, Family, Service};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::operation::{Direction, Interest, Operation, Pause, Step};
use crate::resolve::{self, Lookup, Resolved};
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
    /// Its sender.
    from: SockAddr,
    /// Whether there is such a datagram.
    has: bool,
    /// The look-up of a peer.
    lookup: Option<Box<Lookup<Vec<SocketAddr>>>>,
}

impl Datagram {
    /// An object without descriptor.
    pub const fn new() -> Datagram {
        Datagram {
            socket: Socket::new(sys::SOCK_DGRAM),
            found: Buffer::new(),
            from: SockAddr::EMPTY,
            has: false,
            lookup: None,
        }
    }

    /// Begins to send one datagram to the peer.
    pub fn send<'a>(&self, data: &'a [u8]) -> Result<Send<'a>> {
        self.send_to(data, None)
    }

    /// Begins to send one datagram to a numeric `host` and `port`. Names are not looked
    /// up. Makes the descriptor if the family is not decided yet.
    pub fn sendto<'a>(&mut self, data: &'a [u8], host: &[u8], port: &[u8]) -> Result<Send<'a>> {
        let to = numeric(host, port, self.socket.family)?;
        if self.socket.is_closed() && self.socket.family != Family::Unspec {
            return Err(Error::Refused);
        }
        if self.socket.fd() == sys::INVALID {
            self.socket.open(Family::of(&to))?;
        }
        self.send_to(data, Some(SockAddr::from(&to)))
    }

    /// Begins to send one datagram to an address of any family; none is the peer.
    pub fn send_to<'a>(&self, data: &'a [u8], to: Option<SockAddr>) -> Result<Send<'a>> {
        if self.socket.fd() == sys::INVALID {
            return Err(Error::Refused);
        }
        Ok(Send {
            data,
            to,
            pause: Pause::FIRST,
        })
    }

    /// The bytes of the last datagram.
    #[inline]
    pub fn found(&self) -> &[u8] {
        self.found.unread()
    }

    /// The sender of the last datagram.
    #[inline]
    pub fn sender(&self) -> &SockAddr {
        &self.from
    }

    /// Takes the last datagram away, and gives its memory back.
    #[inline]
    pub fn take(&mut self) {
        self.has = false;
        self.found.clear();
    }

    /// Begins to set the peer. `may_block` allows to look a name up right here.
    pub fn begin_connect(
        &mut self,
        host: &[u8],
        service: &[u8],
        may_block: bool,
    ) -> Result<Connect> {
        let (family, kind) = (self.socket.family, self.socket.kind());
        let lookup = match resolve::resolve(Some(host), service, family, kind, false) {
            Resolved::Now(answer) => Lookup::known(answer),
            Resolved::Later(query) if may_block => Lookup::known(query.blocking()),
            Resolved::Later(query) => query.start()?,
        };
        self.lookup = Some(Box::new(lookup));
        Ok(Connect)
    }

    /// Sets the peer to the first of `found` that works.
    fn connect_any(&mut self, found: &[SocketAddr]) -> Result<()> {
        let mut last = Error::Resolve(sys::EAI_NONAME);
        for address in found {
            match self.connect_to(address) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
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
        self.lookup = None;
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
    let Service::Port(number) = address::service(port).map_err(raw)? else {
        // The resolver reads a negative number, and finds no such service.
        let negative = port.first() == Some(&b'-') && port.len() > 1;
        let digits = port.iter().skip(1).all(u8::is_ascii_digit);
        return Err(if negative && digits {
            Error::ResolveRaw(sys::EAI_SERVICE)
        } else {
            unknown
        });
    };
    if let Some(ip) = address::literal(host) {
        let address = SocketAddr::new(ip, number);
        return match family.admits(Family::of(&address)) {
            true => Ok(address),
            false => Err(Error::ResolveRaw(sys::EAI_ADDRFAMILY)),
        };
    }
    if !resolve::may_be_numeric(host) {
        return Err(unknown);
    }
    match resolve::resolve(Some(host), port, family, sys::SOCK_DGRAM, false) {
        Resolved::Now(answer) => answer.map_err(raw)?.first().copied().ok_or(unknown),
        Resolved::Later(_) => Err(unknown),
    }
}

/// A datagram on its way out.
#[derive(Clone, Copy)]
pub struct Send<'a> {
    data: &'a [u8],
    to: Option<SockAddr>,
    pause: Pause,
}

impl Operation<Datagram> for Send<'_> {
    type Output = Result<usize>;

    fn step(&mut self, datagram: &mut Datagram) -> Step<Result<usize>> {
        let fd = datagram.socket.fd();
        if fd == sys::INVALID {
            return Step::Done(Err(Error::Refused));
        }
        loop {
            let sent = match &self.to {
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
        match self.to.as_ref().map(SockAddr::name) {
            // The descriptor has room; the queue of the receiver has not.
            Some(Name::Unix(_)) => self.pause.interest(),
            _ => Interest::One(datagram.socket.fd(), Direction::Write),
        }
    }

    fn give_up(&mut self, _: &mut Datagram, why: Error) -> Result<usize> {
        Err(why)
    }
}

/// A datagram on its way in, cut to `size` bytes. It is [`Datagram::found`], from
/// [`Datagram::sender`], and stays there for the next `receive` unless
/// [`Datagram::take`] is called, so that none is lost if it cannot be handed over.
#[derive(Clone, Copy)]
pub struct Receive {
    /// The longest datagram wanted.
    pub size: usize,
}

impl Operation<Datagram> for Receive {
    type Output = Result<()>;

    fn step(&mut self, datagram: &mut Datagram) -> Step<Result<()>> {
        let fd = datagram.socket.fd();
        if fd == sys::INVALID {
            return Step::Done(Err(Error::Closed));
        }
        while !datagram.has {
            let from = &mut datagram.from;
            let read = datagram
                .found
                .fill_whole(self.size, |block| sys::recvfrom(fd, block, from));
            match read {
                Some(Ok(())) => datagram.has = true,
                Some(Err(sys::EINTR)) => {}
                Some(Err(sys::EAGAIN)) => return Step::Wait,
                Some(Err(errno)) => return Step::Done(Err(Error::for_datagram(errno))),
                None => return Step::Done(Err(Error::NoMemory)),
            }
        }
        datagram.found.truncate(self.size);
        Step::Done(Ok(()))
    }

    fn interest<'a>(&'a mut self, datagram: &'a mut Datagram) -> Interest<'a> {
        Interest::One(datagram.socket.fd(), Direction::Read)
    }

    fn give_up(&mut self, datagram: &mut Datagram, why: Error) -> Result<()> {
        datagram.found.clear();
        Err(why)
    }

    fn refuse(&mut self, _: &mut Datagram, why: Error) -> Result<()> {
        Err(why)
    }
}

/// Setting the peer: waits for its addresses, and takes the first that works.
#[derive(Clone, Copy)]
pub struct Connect;

impl Operation<Datagram> for Connect {
    type Output = Result<()>;

    fn step(&mut self, datagram: &mut Datagram) -> Step<Result<()>> {
        let Some(lookup) = datagram.lookup.as_mut() else {
            return Step::Done(Err(Error::Closed));
        };
        let Some(found) = lookup.take() else {
            return Step::Wait;
        };
        datagram.lookup = None;
        Step::Done(found.and_then(|found| datagram.connect_any(&found)))
    }

    fn interest<'a>(&'a mut self, datagram: &'a mut Datagram) -> Interest<'a> {
        match &datagram.lookup {
            Some(lookup) => Interest::One(lookup.fd(), Direction::Read),
            None => Interest::Many(&mut [], None),
        }
    }

    fn give_up(&mut self, datagram: &mut Datagram, why: Error) -> Result<()> {
        datagram.lookup = None;
        Err(why)
    }

    fn abandon(&mut self, datagram: &mut Datagram) {
        datagram.lookup = None;
    }
}

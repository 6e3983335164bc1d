//! Connecting: one operation over all addresses of a host.
//!
//! After RFC 8305: families alternate, the next attempt starts when the last one
//! failed or after 250 ms, the first that succeeds wins. Every attempt has a
//! descriptor of its own. The object's descriptor number always belongs to an
//! attempt that is still open, and to the winner in the end, so that a program
//! may wait for that number.
//!
//! The operation lives in the object between calls, so that with `settimeout(0)`
//! the next `connect` continues it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::Family;
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::operation::{Interest, Step};
use crate::resolve::{self, Lookup, Resolved};
use crate::socket::Socket;
use crate::sys::{self, Fd, PollFd, SockAddr};

/// How long an attempt runs before the next one joins it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How far connecting has come, while no attempt is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not begun, or begun anew.
    None,
    /// Connected, but no `connect` has said so yet.
    Established,
    /// Connected.
    Connected,
    /// Failed, but no call has said so yet.
    Failed(Error),
    /// Failed, and the error was read with `getoption("error")`.
    ErrorRead,
    /// Failed, and said so; the descriptor is of no more use.
    Spent,
}

/// A connect under way.
pub struct Connect {
    host: Box<[u8]>,
    service: Box<[u8]>,
    stage: Stage,
    /// Whether the object's descriptor, if it has one, may be tried.
    unused: bool,
    /// What the last step waits for.
    waiting: Vec<PollFd>,
}

enum Stage {
    Lookup(Lookup<Vec<SocketAddr>>),
    Race(Race),
}

/// Attempts on several addresses.
struct Race {
    left: VecDeque<SocketAddr>,
    running: Vec<Attempt>,
    /// When the next attempt may join.
    next: Option<Instant>,
    /// The error of the last attempt that failed.
    last: Error,
    /// Whether the object's descriptor, if it has one, has not been tried.
    unused: bool,
    /// The local address that every attempt must have. Two sockets cannot, so
    /// attempts follow one another.
    local: Option<SocketAddr>,
    /// Whether the caller is ready to wait, so that it pays to look again at once.
    eager: bool,
}

struct Attempt {
    fd: Fd,
    to: SocketAddr,
    /// Whether it is the object's descriptor, which closes it.
    shared: bool,
}

impl Attempt {
    /// Where it stands; `EINPROGRESS` while it goes on.
    fn look(&self) -> sys::Result<()> {
        match sys::connect(self.fd, &SockAddr::from(&self.to)) {
            Err(sys::EISCONN) => Ok(()),
            // A router's "unreachable" is an error that makes the descriptor ready, but
            // Linux 6.8 and later go on trying.
            Err(sys::EALREADY) => Err(match sys::pending_error(self.fd) {
                Err(errno) => errno,
                // Shut down meanwhile: nothing would wait for what comes of it.
                Ok(()) if self.is_hung_up() => sys::ECONNABORTED,
                Ok(()) => sys::EINPROGRESS,
            }),
            // Not Linux: the attempt has failed, and this tells no more than that.
            Err(sys::EINVAL) => Err(sys::pending_error(self.fd).err().unwrap_or(sys::EINVAL)),
            result => result,
        }
    }

    /// Whether it was shut down, as opposed to having failed.
    fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(self.fd, sys::POLLOUT)];
        let polled = sys::poll(&mut fds, Some(Duration::ZERO));
        polled.is_ok() && fds[0].revents() & (sys::POLLHUP | sys::POLLERR) == sys::POLLHUP
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.shared {
            sys::close(self.fd);
        }
    }
}

impl Connect {
    /// One whose host has these addresses.
    #[cfg(test)]
    pub(crate) fn to(socket: &Socket, found: Vec<SocketAddr>) -> Connect {
        Connect {
            host: Box::default(),
            service: Box::default(),
            stage: Stage::Race(Race::new(socket, found, true, true)),
            unused: true,
            waiting: Vec::new(),
        }
    }

    /// Begins: looks the host up, or makes ready for its addresses. `may_block` allows to do
    /// the former right here if there is no limit; `unused` says that the socket's descriptor,
    /// if it has one, was not tried yet.
    pub(crate) fn begin(
        socket: &mut Socket,
        host: &[u8],
        service: &[u8],
        limit: Limit,
        may_block: bool,
        unused: bool,
    ) -> Result<Connect> {
        let (family, kind) = (socket.family, socket.kind());
        let stage = match resolve::resolve(Some(host), service, family, kind, false) {
            Resolved::Now(answer) => {
                Stage::Race(Race::new(socket, answer?, !limit.is_now(), unused))
            }
            Resolved::Later(query) if may_block && limit == Limit::None => {
                Stage::Race(Race::new(socket, query.blocking()?, true, unused))
            }
            Resolved::Later(query) => Stage::Lookup(query.start()?),
        };
        if let (Stage::Lookup(lookup), sys::INVALID) = (&stage, socket.fd()) {
            let placeholder = sys::dup(lookup.fd()).map_err(Error::Os)?;
            socket.adopt_placeholder(placeholder);
        }
        Ok(Connect {
            host: host.into(),
            service: service.into(),
            stage,
            unused,
            waiting: Vec::new(),
        })
    }

    /// Whether it is to this host and service.
    pub(crate) fn is_to(&self, host: &[u8], service: &[u8]) -> bool {
        *self.host == *host && *self.service == *service
    }

    /// When to step although no descriptor is ready.
    fn wake(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Race(race) if !race.left.is_empty() && race.local.is_none() => race.next,
            _ => None,
        }
    }

    /// Notes what the last step waits for.
    fn refresh(&mut self) {
        self.waiting.clear();
        match &self.stage {
            Stage::Lookup(lookup) => self.waiting.push(PollFd::new(lookup.fd(), sys::POLLIN)),
            Stage::Race(race) => {
                let running = race.running.iter();
                self.waiting
                    .extend(running.map(|at| PollFd::new(at.fd, sys::POLLOUT)));
            }
        }
    }

    /// Goes as far as it can without waiting.
    pub(crate) fn step(&mut self, socket: &mut Socket) -> Step<Result<()>> {
        if let Stage::Lookup(lookup) = &mut self.stage {
            match lookup.take() {
                None => return Step::Wait,
                Some(Err(error)) => return Step::Done(Err(error)),
                Some(Ok(found)) => {
                    self.stage = Stage::Race(Race::new(socket, found, false, self.unused))
                }
            }
        }
        match &mut self.stage {
            Stage::Race(race) => race.step(socket),
            Stage::Lookup(_) => Step::Wait,
        }
    }

    /// What the last step waits for.
    pub(crate) fn interest(&mut self) -> Interest<'_> {
        let wake = self.waits_for().1;
        Interest::Many(&mut self.waiting, wake)
    }

    /// As [`Connect::interest`], to be waited for together with other things.
    pub(crate) fn waits_for(&mut self) -> (&[PollFd], Option<Instant>) {
        self.refresh();
        (&self.waiting, self.wake())
    }
}

impl Race {
    fn new(socket: &Socket, found: Vec<SocketAddr>, eager: bool, unused: bool) -> Race {
        let local = socket.bound.then(|| match socket.name() {
            Ok(name) => match name.name() {
                sys::Name::Inet(local) => Some(local),
                _ => None,
            },
            Err(_) => None,
        });
        Race {
            left: alternate(found),
            running: Vec::new(),
            next: None,
            last: Error::Resolve(sys::EAI_NONAME),
            unused,
            local: local.flatten(),
            eager,
        }
    }

    fn step(&mut self, socket: &mut Socket) -> Step<Result<()>> {
        if self.settle(socket) {
            return Step::Done(Ok(()));
        }
        while self.may_start() {
            if self.start(socket) {
                return Step::Done(Ok(()));
            }
        }
        if self.running.is_empty() {
            Step::Done(Err(self.last))
        } else {
            Step::Wait
        }
    }

    /// Looks which attempts have come to an end; whether one has won.
    ///
    /// To `connect` once more tells both, whether an attempt has ended and how, in
    /// one system call.
    fn settle(&mut self, socket: &mut Socket) -> bool {
        for at in (0..self.running.len()).rev() {
            match self.running[at].look() {
                Ok(()) => {
                    self.win(at, socket);
                    return true;
                }
                Err(sys::EINPROGRESS) => {}
                Err(errno) => self.lose(at, errno, socket),
            }
        }
        false
    }

    fn win(&mut self, at: usize, socket: &mut Socket) {
        let mut winner = self.running.swap_remove(at);
        if !winner.shared {
            let family = Family::of_socket(winner.fd);
            winner.shared = true;
            // Cannot fail: both are open, and the number is ours.
            let _ = socket.replace(winner.fd, family);
        }
        socket.family = socket.actual();
        self.running.clear();
        self.left.clear();
    }

    fn lose(&mut self, at: usize, errno: i32, socket: &mut Socket) {
        let loser = self.running.swap_remove(at);
        self.last = Error::from_errno(errno);
        self.next = Some(Instant::now());
        if loser.shared && matches!(errno, sys::EHOSTUNREACH | sys::ENETUNREACH) {
            // So that the kernel does not connect behind our back (see `Attempt::look`).
            let _ = sys::connect(loser.fd, &SockAddr::unspecified());
            let _ = sys::pending_error(loser.fd); // that of breaking off
        }
        // The object's number must stay with an attempt that is still open.
        if let (true, Some(heir)) = (loser.shared, self.running.first_mut()) {
            let family = Family::of_socket(heir.fd);
            heir.shared = true;
            // Cannot fail: both are open, and the number is ours.
            let _ = socket.replace(heir.fd, family);
            heir.fd = socket.fd();
        }
    }

    fn may_start(&self) -> bool {
        let due = self.local.is_none() && self.next.is_some_and(|next| next <= Instant::now());
        !self.left.is_empty() && (self.running.is_empty() || due)
    }

    /// Starts an attempt on the next address; whether it has won at once.
    fn start(&mut self, socket: &mut Socket) -> bool {
        let Some(address) = self.left.pop_front() else {
            return false;
        };
        let attempt = match self.descriptor(socket, &address) {
            Ok(attempt) => attempt,
            Err(error) => {
                self.last = error;
                return false;
            }
        };
        let connecting = sys::connect(attempt.fd, &SockAddr::from(&address));
        self.running.push(attempt);
        let at = self.running.len() - 1;
        match connecting {
            Ok(()) => {
                self.win(at, socket);
                return true;
            }
            Err(sys::EINPROGRESS) => {
                self.next = Some(Instant::now() + ATTEMPT_DELAY);
                // The loopback network has answered by now.
                return self.eager && address.ip().is_loopback() && self.settle(socket);
            }
            Err(sys::EISCONN) => {
                // A listening socket: no other address can help.
                self.left.clear();
                self.lose(at, sys::EISCONN, socket);
            }
            Err(errno) => self.lose(at, errno, socket),
        }
        false
    }

    /// A descriptor for an attempt on `address`: the object's own if it is unused,
    /// else a fresh one, which takes the object's place if no attempt has it.
    fn descriptor(&mut self, socket: &mut Socket, address: &SocketAddr) -> Result<Attempt> {
        let family = Family::of(address);
        let vacant = !self.running.iter().any(|attempt| attempt.shared);
        let unused = std::mem::replace(&mut self.unused, false);
        if unused && socket.fd() != sys::INVALID && !socket.is_fresh() && socket.actual() == family
        {
            return Ok(Attempt {
                fd: socket.fd(),
                to: *address,
                shared: true,
            });
        }
        if vacant && self.local.is_some() {
            // Its local address must be free for the next.
            socket.release();
        }
        let mut attempt = Attempt {
            fd: socket.make(family)?,
            to: *address,
            shared: false,
        };
        if let Some(local) = &self.local {
            sys::bind(attempt.fd, &SockAddr::from(local)).map_err(Error::Os)?;
        }
        if vacant {
            attempt.shared = true;
            socket.replace(attempt.fd, family)?;
            socket.bound = self.local.is_some();
            attempt.fd = socket.fd();
        }
        Ok(attempt)
    }
}

/// The addresses in the order of trying: families take turns, beginning with the
/// resolver's first (RFC 8305 §4).
fn alternate(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first = found.first().map(Family::of);
    let (mut same, mut other): (VecDeque<_>, VecDeque<_>) = found
        .into_iter()
        .partition(|address| Some(Family::of(address)) == first);
    let mut order = VecDeque::with_capacity(same.len() + other.len());
    while !same.is_empty() || !other.is_empty() {
        order.extend(same.pop_front());
        order.extend(other.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate() {
        let found = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1", "[::3]:1"]);
        let order = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternate(found), order);
    }
}

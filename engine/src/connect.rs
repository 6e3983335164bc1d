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
use crate::operation::{Interest, Operation, Step, drive};
use crate::resolve::{self, Lookup, Resolved};
use crate::stream::Stream;
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
    /// Whether an attempt was made, so that the object's descriptor is used up.
    tried: bool,
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
            Err(sys::EALREADY) => Err(sys::pending_error(self.fd)
                .err()
                .unwrap_or(sys::EINPROGRESS)),
            // Not Linux: the attempt has failed, and this tells no more than that.
            Err(sys::EINVAL) => Err(sys::pending_error(self.fd).err().unwrap_or(sys::EINVAL)),
            result => result,
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.shared {
            sys::close(self.fd);
        }
    }
}

/// What beginning to connect came to.
#[derive(Clone, Copy)]
pub enum Begun {
    /// All is said.
    Known(Result<()>),
    /// It goes on: to be driven.
    Going(Connecting),
}

/// `connect` under way. Its state lies in the stream, so that a later call can continue.
#[derive(Clone, Copy)]
pub struct Connecting {
    /// What to say when time runs out.
    late: Error,
}

impl Stream {
    /// Connects to `host` and `service`, or continues to, within the timeouts.
    pub fn connect(&mut self, host: &[u8], service: &[u8]) -> Result<()> {
        match self.begin_connect(host, service, true) {
            Begun::Known(result) => result,
            Begun::Going(mut op) => {
                let limit = self.socket.limit();
                drive(&mut op, self, limit)
            }
        }
    }

    /// Begins to connect, or to continue. `may_block` allows to look a name up right
    /// here if there is no limit.
    pub fn begin_connect(&mut self, host: &[u8], service: &[u8], may_block: bool) -> Begun {
        if let Some(known) = self.connect_known() {
            return Begun::Known(known);
        }
        let limit = self.socket.limit();
        let continued = self
            .connect
            .as_ref()
            .is_some_and(|connect| connect.is_to(host, service));
        if !continued {
            self.host = Some(host.into());
            if self.connect.take().is_some() {
                // Its descriptor is on the way to somewhere else.
                self.progress = Progress::Spent;
            }
            match Connect::begin(self, host, service, limit, may_block) {
                Ok(connect) => self.connect = Some(Box::new(connect)),
                Err(error) => return Begun::Known(Err(error)),
            }
        }
        let asked_again = continued && limit.is_now();
        let late = if asked_again {
            Error::Os(sys::EALREADY)
        } else {
            Error::Timeout
        };
        Begun::Going(Connecting { late })
    }

    /// What can be said without doing anything.
    fn connect_known(&mut self) -> Option<Result<()>> {
        let (next, result) = match self.progress {
            Progress::None | Progress::Spent => return None,
            Progress::Established => (Progress::Connected, Ok(())),
            Progress::Connected => (Progress::Connected, Err(Error::Os(sys::EISCONN))),
            Progress::Failed(error) => (Progress::Spent, Err(error)),
            Progress::ErrorRead => (Progress::Spent, Err(Error::Closed)),
        };
        self.progress = next;
        Some(result)
    }

    /// Before bytes can flow: goes on with a connect under way. Its error is told here,
    /// so `connect` will not tell it again.
    pub(crate) fn finish_connect(&mut self) -> Step<Result<()>> {
        self.step_connect(Progress::Established, |_| Progress::Spent)
    }

    /// Goes on with a connect under way, without waiting; whether none is under way any
    /// more. For `select`.
    pub fn advance_connect(&mut self) -> bool {
        self.connect.is_none()
            || matches!(
                self.step_connect(Progress::Established, Progress::Failed),
                Step::Done(_)
            )
    }

    /// The error of a connect that has failed, which is then known to have been
    /// read: `getoption("error")`. The outer `None` if there was no connect to
    /// ask, so that the descriptor must be.
    pub fn connect_error(&mut self) -> Option<Option<Error>> {
        let had = self.connect.is_some();
        self.advance_connect();
        if let Progress::Failed(error) = self.progress {
            self.progress = Progress::ErrorRead;
            return Some(Some(error));
        }
        had.then_some(None)
    }

    /// Puts what a connect under way waits for into `fds`; when to look again.
    pub(crate) fn connect_interest(&mut self, fds: &mut Vec<PollFd>) -> Option<Instant> {
        let connect = self.connect.as_mut()?;
        connect.refresh();
        fds.extend_from_slice(&connect.waiting);
        connect.wake()
    }

    /// Steps the connect under way; notes the outcome.
    fn step_connect(
        &mut self,
        connected: Progress,
        failed: impl FnOnce(Error) -> Progress,
    ) -> Step<Result<()>> {
        let Some(mut connect) = self.connect.take() else {
            return Step::Done(Ok(()));
        };
        match connect.step(self) {
            Step::Done(result) => {
                self.progress = result.err().map_or(connected, failed);
                Step::Done(result)
            }
            wait => {
                self.connect = Some(connect);
                wait
            }
        }
    }
}

impl Operation<Stream> for Connecting {
    type Output = Result<()>;

    fn step(&mut self, stream: &mut Stream) -> Step<Result<()>> {
        if stream.connect.is_none() {
            // Closed meanwhile, or finished by another call.
            return Step::Done(stream.connect_known().unwrap_or(Err(Error::Closed)));
        }
        stream.step_connect(Progress::Connected, |_| Progress::Spent)
    }

    fn interest<'a>(&'a mut self, stream: &'a mut Stream) -> Interest<'a> {
        match stream.connect.as_mut() {
            Some(connect) => connect.interest(),
            None => Interest::Many(&mut [], None),
        }
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Result<()> {
        Err(if why == Error::Timeout {
            self.late
        } else {
            why
        })
    }
}

impl Connect {
    /// Begins: looks the host up, or makes ready for its addresses.
    fn begin(
        stream: &mut Stream,
        host: &[u8],
        service: &[u8],
        limit: Limit,
        may_block: bool,
    ) -> Result<Connect> {
        let (family, kind) = (stream.socket.family, stream.socket.kind());
        let stage = match resolve::resolve(Some(host), service, family, kind, false) {
            Resolved::Now(answer) => Stage::Race(Race::new(stream, answer?, !limit.is_now())),
            Resolved::Later(query) if may_block && limit == Limit::None => {
                Stage::Race(Race::new(stream, query.blocking()?, true))
            }
            Resolved::Later(query) => Stage::Lookup(query.start()?),
        };
        if let (Stage::Lookup(lookup), sys::INVALID) = (&stage, stream.socket.fd()) {
            let placeholder = sys::dup(lookup.fd()).map_err(Error::Os)?;
            stream.socket.adopt_placeholder(placeholder);
        }
        Ok(Connect {
            host: host.into(),
            service: service.into(),
            stage,
            waiting: Vec::new(),
        })
    }

    fn is_to(&self, host: &[u8], service: &[u8]) -> bool {
        *self.host == *host && *self.service == *service
    }

    /// When to step although no descriptor is ready.
    fn wake(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Race(race) if !race.left.is_empty() && race.local.is_none() => race.next,
            _ => None,
        }
    }

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
}

impl Connect {
    fn step(&mut self, stream: &mut Stream) -> Step<Result<()>> {
        if let Stage::Lookup(lookup) = &mut self.stage {
            match lookup.take() {
                None => return Step::Wait,
                Some(Err(error)) => return Step::Done(Err(error)),
                Some(Ok(found)) => self.stage = Stage::Race(Race::new(stream, found, false)),
            }
        }
        match &mut self.stage {
            Stage::Race(race) => race.step(stream),
            Stage::Lookup(_) => Step::Wait,
        }
    }

    /// What the last step waits for.
    pub(crate) fn interest(&mut self) -> Interest<'_> {
        self.refresh();
        let wake = self.wake();
        Interest::Many(&mut self.waiting, wake)
    }
}

impl Race {
    fn new(stream: &Stream, found: Vec<SocketAddr>, eager: bool) -> Race {
        let local = stream.socket.bound.then(|| match stream.socket.name() {
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
            tried: false,
            local: local.flatten(),
            eager,
        }
    }

    fn step(&mut self, stream: &mut Stream) -> Step<Result<()>> {
        if self.settle(stream) {
            return Step::Done(Ok(()));
        }
        while self.may_start() {
            if self.start(stream) {
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
    fn settle(&mut self, stream: &mut Stream) -> bool {
        for at in (0..self.running.len()).rev() {
            match self.running[at].look() {
                Ok(()) => {
                    self.win(at, stream);
                    return true;
                }
                Err(sys::EINPROGRESS) => {}
                Err(errno) => self.lose(at, errno, stream),
            }
        }
        false
    }

    fn win(&mut self, at: usize, stream: &mut Stream) {
        let mut winner = self.running.swap_remove(at);
        if !winner.shared {
            let family = Family::of_socket(winner.fd);
            winner.shared = true;
            // Cannot fail: both are open, and the number is ours.
            let _ = stream.socket.replace(winner.fd, family);
        }
        stream.socket.family = stream.socket.actual();
        self.running.clear();
        self.left.clear();
    }

    fn lose(&mut self, at: usize, errno: i32, stream: &mut Stream) {
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
            let _ = stream.socket.replace(heir.fd, family);
            heir.fd = stream.socket.fd();
        }
    }

    fn may_start(&self) -> bool {
        let due = self.local.is_none() && self.next.is_some_and(|next| next <= Instant::now());
        !self.left.is_empty() && (self.running.is_empty() || due)
    }

    /// Starts an attempt on the next address; whether it has won at once.
    fn start(&mut self, stream: &mut Stream) -> bool {
        let Some(address) = self.left.pop_front() else {
            return false;
        };
        let attempt = match self.descriptor(stream, &address) {
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
                self.win(at, stream);
                return true;
            }
            Err(sys::EINPROGRESS) => {
                self.next = Some(Instant::now() + ATTEMPT_DELAY);
                // The loopback network has answered by now.
                return self.eager && address.ip().is_loopback() && self.settle(stream);
            }
            Err(sys::EISCONN) => {
                // A listening socket: no other address can help.
                self.left.clear();
                self.lose(at, sys::EISCONN, stream);
            }
            Err(errno) => self.lose(at, errno, stream),
        }
        false
    }

    /// A descriptor for an attempt on `address`: the object's own if it is unused,
    /// else a fresh one, which takes the object's place if no attempt has it.
    fn descriptor(&mut self, stream: &mut Stream, address: &SocketAddr) -> Result<Attempt> {
        let family = Family::of(address);
        let vacant = !self.running.iter().any(|attempt| attempt.shared);
        let unused = !self.tried && stream.progress == Progress::None;
        self.tried = true;
        let socket = &mut stream.socket;
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
            stream.buffer.clear();
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

    fn listener() -> (Stream, String) {
        let mut stream = Stream::new();
        stream.socket.bind(b"127.0.0.1", b"0").unwrap();
        stream.listen(8).unwrap();
        let name = stream.socket.name().unwrap();
        let sys::Name::Inet(local) = name.name() else {
            panic!("inet")
        };
        (stream, local.port().to_string())
    }

    #[test]
    fn families_alternate() {
        let found = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1", "[::3]:1"]);
        let order = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternate(found), order);
    }

    #[test]
    fn connects_once_and_says_so() {
        let (_listener, port) = listener();
        let mut stream = Stream::new();
        assert_eq!(stream.connect(b"127.0.0.1", port.as_bytes()), Ok(()));
        let again = stream.connect(b"127.0.0.1", port.as_bytes());
        assert_eq!(again, Err(Error::Os(sys::EISCONN)));
    }

    #[test]
    fn a_refused_address_leads_to_the_next() {
        let (_listener, port) = listener();
        let mut stream = Stream::new();
        let port: u16 = port.parse().unwrap();
        let found = vec![
            SocketAddr::from(([127, 0, 0, 2], port)),
            ([127, 0, 0, 1], port).into(),
        ];
        let stage = Stage::Race(Race::new(&stream, found, true));
        let (host, service) = (Box::default(), Box::default());
        stream.connect = Some(Box::new(Connect {
            host,
            service,
            stage,
            waiting: Vec::new(),
        }));
        let mut op = Connecting {
            late: Error::Timeout,
        };
        assert_eq!(drive(&mut op, &mut stream, Limit::after(5.0)), Ok(()));
        assert!(stream.socket.peer().is_ok());
    }

    #[test]
    fn a_refusal_is_told_and_leaves_a_descriptor() {
        let (listener, port) = listener();
        drop(listener);
        let mut stream = Stream::new();
        let refused = Err(Error::Os(sys::ECONNREFUSED));
        assert_eq!(stream.connect(b"127.0.0.1", port.as_bytes()), refused);
        assert_ne!(stream.socket.fd(), sys::INVALID);
        assert_eq!(stream.socket.family, Family::Unspec);
        assert_eq!(stream.send(b"x").error, Some(Error::Closed));
    }
}

//! Streams of bytes: `receive` for patterns, `send` for strings, `accept`.

use std::time::Instant;

use memchr::memchr;

use crate::address::Family;
use crate::buffer::{BLOCK, Buffer};
use crate::connect::{Connect, Progress};
use crate::deadline::Limit;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::operation::{Direction, Interest, Operation, Step, drive};
use crate::socket::Socket;
use crate::sys::{self, Fd};
use crate::transport::Transport;

/// A stream object: not yet connected, connected, or listening. What every call needs lies
/// together.
#[repr(C)]
pub struct Stream {
    /// The descriptor, its timeouts and options.
    pub socket: Socket,
    /// Bytes received and not yet taken.
    pub buffer: Buffer,
    /// What carries the bytes.
    pub transport: Transport,
    /// A connect under way.
    pub connect: Option<Box<Connect>>,
    /// Whether bytes come without a pause.
    flow: Flow,
    /// What `getstats` tells.
    pub stats: Stats,
    /// How far connecting has come, when none is under way.
    pub progress: Progress,
    /// The name that `connect` was asked for, or the address.
    pub host: Option<Box<[u8]>>,
    /// A descriptor that `accept` took and nobody has fetched yet.
    accepted: Fd,
}

/// Counts of a stream.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Stats {
    /// Bytes taken by `receive`.
    pub received: u64,
    /// Bytes given to the system by `send`.
    pub sent: u64,
    /// When the object came into being, moved by `setstats`.
    pub born: Instant,
    /// Seconds to add to the time since.
    pub older: f64,
}

impl Stats {
    fn new() -> Stats {
        Stats {
            received: 0,
            sent: 0,
            born: Instant::now(),
            older: 0.0,
        }
    }

    /// Age in seconds.
    pub fn age(&self) -> f64 {
        self.born.elapsed().as_secs_f64() + self.older
    }

    /// Pretends an age of `seconds`.
    pub fn set_age(&mut self, seconds: f64) {
        self.born = Instant::now();
        self.older = seconds;
    }
}

/// How much `receive` shall take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Up to the next LF, which is taken but not returned, without any CR.
    Line,
    /// Up to and with the next LF, as it came.
    RawLine,
    /// Everything until the stream ends.
    All,
    /// What is there, at least one byte.
    Available,
    /// Up to and with the next line that is empty: the head of a message.
    Head,
    /// That many bytes.
    Count(usize),
}

/// What `receive` found. The bytes are the first `len` of the stream's buffer; they
/// stay there until [`Stream::take`], so that nothing is lost if they cannot be
/// handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Received {
    /// Length of the result, whole or partial.
    pub len: usize,
    /// Bytes behind it that belong to it but are not returned: a line end.
    skip: usize,
    /// Why it is only partial, if it is.
    pub error: Option<Error>,
}

impl Received {
    /// Nothing.
    pub const EMPTY: Received = Received {
        len: 0,
        skip: 0,
        error: None,
    };

    /// A line beyond the bound.
    const TOO_LONG: Received = Received {
        error: Some(Error::LineTooLong),
        ..Received::EMPTY
    };
}

/// A result that lies in the buffer, and nothing to say about it.
#[derive(Clone, Copy)]
pub struct Found {
    /// Its length.
    pub len: usize,
    /// As [`Received::skip`].
    skip: usize,
}

impl From<Found> for Received {
    #[inline]
    fn from(Found { len, skip }: Found) -> Received {
        Received {
            len,
            skip,
            error: None,
        }
    }
}

/// What `send` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Sent {
    /// Bytes that the system took.
    pub count: usize,
    /// Why it did not take all, if so.
    pub error: Option<Error>,
}

impl Stream {
    /// An object without descriptor.
    pub fn new() -> Stream {
        Stream {
            socket: Socket::new(sys::SOCK_STREAM),
            buffer: Buffer::new(),
            transport: Transport::Socket,
            stats: Stats::new(),
            connect: None,
            progress: Progress::None,
            host: None,
            flow: Flow::default(),
            accepted: sys::INVALID,
        }
    }

    /// Receives what `pattern` asks for, as long as the timeouts allow.
    pub fn receive(&mut self, pattern: Pattern) -> Received {
        self.receive_bounded(pattern, usize::MAX)
    }

    /// As [`Stream::receive`], within the bound of [`Receive::bounded`].
    pub fn receive_bounded(&mut self, pattern: Pattern, most: usize) -> Received {
        let limit = self.socket.limit();
        drive(&mut Receive::bounded(pattern, most), self, limit)
    }

    /// What `op` would find without any work: in the buffer, with nothing in the way.
    #[inline]
    pub fn at_hand(&self, op: &mut Receive) -> Option<Found> {
        let free = self.socket.fd() != sys::INVALID
            && self.connect.is_none()
            && !self.socket.is_parked(Direction::Read);
        if free { op.found(self) } else { None }
    }

    /// Takes away what [`Stream::receive`] found.
    #[inline]
    pub fn take(&mut self, received: Received) {
        let taken = received.len + received.skip;
        if taken > 0 {
            self.stats.received += taken as u64;
            self.buffer.consume(taken);
        }
    }

    /// The bytes that [`Stream::receive`] found.
    #[inline]
    pub fn received(&self, received: Received) -> &[u8] {
        &self.buffer.unread()[..received.len]
    }

    /// Gives the memory of some of the bytes received back to the system, as far as it can
    /// be done in parts. Their content is lost; [`Stream::take`] must follow.
    pub fn release(&mut self, range: std::ops::Range<usize>) {
        sys::release(&mut self.buffer.unread_mut()[range]);
    }

    /// As [`Stream::take`], but hands over the memory that the bytes lie in, with a
    /// NUL behind them; unless other bytes are there too, or memory is lacking.
    pub fn take_whole(&mut self, received: Received) -> Option<Vec<u8>> {
        let taken = received.len + received.skip;
        let mut bytes = self.buffer.take_if_only(taken)?;
        bytes.truncate(received.len);
        bytes.push(0);
        self.stats.received += taken as u64;
        Some(bytes)
    }

    /// Takes back what [`Stream::take_whole`] handed over, as if it had not.
    pub fn give_back(&mut self, mut bytes: Vec<u8>, received: Received) {
        bytes.truncate(received.len);
        // Nothing is skipped but a line end. There was room for it.
        bytes.extend_from_slice(&b"\r\n"[2 - received.skip..]);
        self.stats.received -= bytes.len() as u64;
        self.buffer.put_back(bytes);
    }

    /// Sends `data`, waiting as long as the timeouts allow whenever the system
    /// takes no more.
    pub fn send(&mut self, data: &[u8]) -> Sent {
        let limit = self.socket.limit();
        drive(&mut Send::new(data), self, limit)
    }

    /// Waits for a connection to the listening socket. It is fetched with
    /// [`Stream::fetch`]; one that was not is still there at the next call.
    pub fn accept(&mut self) -> Result<()> {
        let limit = self.socket.limit();
        drive(&mut Accept, self, limit)
    }

    /// The stream of the connection that [`Stream::accept`] took.
    pub fn fetch(&mut self, into: &mut Stream) {
        let fd = std::mem::replace(&mut self.accepted, sys::INVALID);
        into.socket.adopt(fd, self.socket.actual());
        into.socket.family = self.socket.family;
        into.progress = Progress::Connected;
    }

    /// Makes the socket listen. `backlog` is the length of the queue.
    pub fn listen(&mut self, backlog: i32) -> Result<()> {
        sys::listen(self.socket.fd(), backlog).map_err(Error::Os)
    }

    /// Closes, and forgets received bytes and a connect under way.
    pub fn close(&mut self) {
        self.connect = None;
        self.progress = Progress::None;
        self.buffer.clear();
        if self.socket.fd() != sys::INVALID {
            self.transport.finish(self.socket.fd());
        }
        self.transport.forget();
        self.host = None;
        self.socket.close();
        self.socket.remembered.clear();
        if self.accepted != sys::INVALID {
            sys::close(std::mem::replace(&mut self.accepted, sys::INVALID));
        }
    }

    /// Closes what nobody wants any more. Where a forked child has inherited a session, that is its
    /// parent's, and nothing is said in it.
    pub fn discard(&mut self) {
        if self.transport.is_of_parent() {
            self.transport.forget();
        }
        self.close();
    }

    /// Replaces the descriptor; see [`Socket::set_fd`].
    pub fn set_fd(&mut self, fd: Fd) {
        self.connect = None;
        self.progress = Progress::None;
        self.socket.set_fd(fd);
    }

    /// Makes the descriptor of an object whose family is decided from the start.
    pub fn open(&mut self, family: Family) -> Result<()> {
        self.socket.open(family)
    }

    /// Whether there are received bytes that nobody has taken.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        !self.buffer.is_empty() || self.transport.is_dirty()
    }

    /// Whether the stream is open, and nothing has come that was not asked for: neither bytes
    /// nor an end. Does not wait, and takes nothing but what a session keeps to itself.
    pub fn is_quiet(&mut self) -> bool {
        let fd = self.socket.fd();
        if fd == sys::INVALID || !self.buffer.is_empty() || self.socket.is_parked(Direction::Read) {
            return false;
        }
        if self.connect.is_none() && matches!(self.transport, Transport::Socket) {
            // Asked beside `fill`, so that what is known of the descriptor stays known.
            return matches!(sys::peek(fd), Err(sys::EAGAIN));
        }
        let found = drive(&mut Receive::new(Pattern::Available), self, Limit::Now);
        let wants = self.transport.wants(Direction::Read);
        found.error == Some(Error::Timeout) && wants == Direction::Read
    }

    /// What must come before bytes can flow: a connect under way. `Done` with the reason
    /// if they never will: closed here, or the connect failed.
    #[inline]
    pub(crate) fn usable(&mut self) -> Step<Result<()>> {
        if self.socket.fd() == sys::INVALID {
            return Step::Done(Err(Error::Closed));
        }
        if self.connect.is_some() {
            self.finish_connect()
        } else {
            Step::Done(Ok(()))
        }
    }

    /// What to wait for in `direction`, or until it can be waited for.
    pub(crate) fn waits_for(&mut self, direction: Direction) -> Interest<'_> {
        let (fd, wants) = (self.socket.fd(), self.transport.wants(direction));
        match self.connect.as_mut() {
            Some(connect) => connect.interest(),
            None => Interest::One(fd, wants),
        }
    }
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.discard();
    }
}

/// `receive` under way. What has come lies in the stream's buffer.
#[derive(Clone, Copy)]
pub struct Receive {
    pattern: Pattern,
    /// Bytes of the longest line, and of the most that is taken of what is available.
    most: usize,
    /// Bytes of the buffer known to hold no LF.
    scanned: usize,
}

impl Receive {
    /// Begins to receive what `pattern` asks for.
    pub fn new(pattern: Pattern) -> Receive {
        Receive::bounded(pattern, usize::MAX)
    }

    /// Begins the same within a bound: a line of more than `most` bytes is an error, after
    /// which nothing is taken, and of what is available no more is given out.
    pub fn bounded(pattern: Pattern, most: usize) -> Receive {
        Receive {
            pattern,
            most,
            scanned: 0,
        }
    }

    /// The result, if what is in the buffer suffices.
    #[inline]
    #[allow(clippy::wrong_self_convention)] // it is no constructor
    fn from_buffer(&mut self, stream: &mut Stream) -> Option<Received> {
        match (self.found(stream), self.pattern) {
            (Some(found), _) => Some(found.into()),
            (None, Pattern::Line | Pattern::RawLine) => self.odd_line(stream),
            (None, Pattern::Head) => self.head(stream),
            (None, Pattern::Count(0)) => Some(zero_bytes(stream)),
            _ => None,
        }
    }

    /// As `from_buffer`, where it comes to no more than two numbers: the way that most
    /// calls go.
    #[inline]
    fn found(&mut self, stream: &Stream) -> Option<Found> {
        let there = stream.buffer.len();
        let whole = |len| Some(Found { len, skip: 0 });
        match self.pattern {
            Pattern::Line | Pattern::RawLine => self.line(stream.buffer.unread()),
            Pattern::Count(n) if n > 0 && there >= n => whole(n),
            Pattern::Available if there > 0 => whole(there.min(self.most)),
            _ => None,
        }
    }

    /// A line that is not too long, and without any CR but at its end.
    #[inline]
    fn line(&mut self, unread: &[u8]) -> Option<Found> {
        let Some(at) = memchr(b'\n', &unread[self.scanned..]) else {
            self.scanned = unread.len();
            return None;
        };
        let end = self.scanned + at;
        if end > self.most {
            return None;
        }
        if self.pattern == Pattern::RawLine {
            return Some(Found {
                len: end + 1,
                skip: 0,
            });
        }
        match memchr(b'\r', &unread[..end]) {
            None => Some(Found { len: end, skip: 1 }),
            Some(cr) if cr + 1 == end => Some(Found { len: cr, skip: 2 }),
            Some(_) => None,
        }
    }

    /// A line that is not one for `line`, if there is one.
    fn odd_line(&mut self, stream: &mut Stream) -> Option<Received> {
        let unread = stream.buffer.unread();
        let end = memchr(b'\n', &unread[self.scanned..]).map(|at| self.scanned + at);
        if end.unwrap_or(self.scanned) > self.most {
            return Some(Received::TOO_LONG);
        }
        end.map(|end| Received {
            len: stream.drop_returns(end),
            skip: 1,
            error: None,
        })
    }

    /// Reads until what is there suffices.
    fn read_on(&mut self, stream: &mut Stream) -> Step<Received> {
        if stream.socket.edge.drained {
            return Step::Wait;
        }
        loop {
            let short = match stream.fill(self.missing(stream)) {
                Ok(Filled::Some) => false,
                Ok(Filled::Short) => true,
                Ok(Filled::End) => return Step::Done(self.at_end(stream)),
                Ok(Filled::WouldBlock) => return Step::Wait,
                Err(error) => return Step::Done(self.partial(stream, Some(error))),
            };
            match self.from_buffer(stream) {
                Some(received) => return Step::Done(received),
                None if short => return Step::Drained,
                None => {}
            }
        }
    }

    /// A line end, and another behind it or behind a CR.
    fn head(&mut self, stream: &mut Stream) -> Option<Received> {
        let unread = stream.buffer.unread();
        while let Some(at) = memchr(b'\n', &unread[self.scanned..]) {
            let line = self.scanned + at + 1;
            let end = match &unread[line..] {
                [b'\n', ..] => line + 1,
                [b'\r', b'\n', ..] => line + 2,
                // Not yet to be told.
                [] | [b'\r'] => break,
                _ => {
                    self.scanned = line;
                    continue;
                }
            };
            if end > self.most {
                return Some(Received::TOO_LONG);
            }
            return Some(Received {
                len: end,
                ..Received::EMPTY
            });
        }
        (unread.len() > self.most).then_some(Received::TOO_LONG)
    }

    /// How many bytes more are wanted; `usize::MAX` if unknown.
    fn missing(&self, stream: &Stream) -> usize {
        match self.pattern {
            Pattern::Count(n) => n - stream.buffer.len(),
            _ => usize::MAX,
        }
    }

    /// The partial result: all there is.
    fn partial(&self, stream: &mut Stream, error: Option<Error>) -> Received {
        let len = match self.pattern {
            Pattern::Line => stream.drop_returns(stream.buffer.len()),
            _ => stream.buffer.len(),
        };
        Received {
            len,
            skip: 0,
            error,
        }
    }

    fn at_end(&self, stream: &mut Stream) -> Received {
        let whole = self.pattern == Pattern::All && !stream.buffer.is_empty();
        self.partial(stream, (!whole).then_some(Error::Closed))
    }
}

impl Operation<Stream> for Receive {
    type Output = Received;

    #[inline]
    fn step(&mut self, stream: &mut Stream) -> Step<Received> {
        match stream.usable() {
            Step::Done(Ok(())) => {}
            Step::Done(Err(error)) => return Step::Done(self.refuse(stream, error)),
            _ => return Step::Wait,
        }
        match self.from_buffer(stream) {
            Some(received) => Step::Done(received),
            None => self.read_on(stream),
        }
    }

    fn interest<'a>(&'a mut self, stream: &'a mut Stream) -> Interest<'a> {
        stream.waits_for(Direction::Read)
    }

    fn linger(&mut self, stream: &mut Stream, limit: Limit) -> Result<bool> {
        let wanted = match self.pattern {
            Pattern::Available => self.most,
            _ => self.missing(stream),
        };
        stream.gather(wanted, limit)
    }

    fn give_up(&mut self, stream: &mut Stream, why: Error) -> Received {
        if let (Some(session), Error::Timeout) = (stream.session_mut(), why) {
            session.note_wait();
        }
        self.partial(stream, Some(why))
    }

    fn refuse(&mut self, _: &mut Stream, why: Error) -> Received {
        Received {
            error: Some(why),
            ..Received::EMPTY
        }
    }
}

/// What a read brought.
enum Filled {
    /// Something; there may be more.
    Some,
    /// Less than there was room for: most likely all there is.
    Short,
    /// The end of the stream.
    End,
    /// Nothing yet.
    WouldBlock,
}

impl Stream {
    /// Reads once into the buffer; `want` as for [`Buffer::fill`].
    fn fill(&mut self, want: usize) -> Result<Filled> {
        // Among many streams, large blocks for each would be too much.
        let alone = matches!(self.transport, Transport::Socket) && !self.socket.edge.watched;
        let ahead = if alone { self.flow.ahead() } else { BLOCK };
        let (fd, transport) = (self.socket.fd(), &mut self.transport);
        let read = self.buffer.fill_ahead(want, ahead, |block| {
            let room = block.capacity() - block.len();
            loop {
                match transport.recv(fd, block) {
                    Err(sys::EINTR) => {}
                    read => return read.map(|n| (n, transport.is_drained(n, room))),
                }
            }
        });
        let edge = &mut self.socket.edge;
        let plain = matches!(self.transport, Transport::Socket);
        edge.drained =
            plain && edge.watched && !edge.hangup && matches!(read, Some(Ok((1.., true))));
        if let Some(Ok((n, _))) = read {
            self.flow.note(n);
        }
        match read.ok_or(Error::NoMemory)? {
            Ok((0, _)) => Ok(Filled::End),
            Ok((_, true)) => Ok(Filled::Short),
            Ok((_, false)) => Ok(Filled::Some),
            Err(sys::EAGAIN) => Ok(Filled::WouldBlock),
            // What is left of an attempt that failed is no better than a closed stream.
            Err(sys::ENOTCONN) if self.progress == Progress::Spent => Err(Error::Closed),
            Err(errno) => Err(self.transport.error(errno)),
        }
    }

    /// Waits for a large piece of the `wanted` bytes, if the stream is in flow. Whether it
    /// is.
    fn gather(&mut self, wanted: usize, limit: Limit) -> Result<bool> {
        if self.connect.is_some() || !matches!(self.transport, Transport::Socket) {
            return Ok(false);
        }
        self.flow.gather(self.socket.fd(), wanted, limit)
    }

    /// Takes the CR bytes out of the first `end` bytes of the buffer: moves the
    /// rest of them up against what follows, and counts the CRs as taken. Returns
    /// how many are left.
    #[cold]
    fn drop_returns(&mut self, end: usize) -> usize {
        let line = &mut self.buffer.unread_mut()[..end];
        let mut to = end;
        for from in (0..end).rev() {
            if line[from] != b'\r' {
                to -= 1;
                line[to] = line[from];
            }
        }
        self.buffer.consume(to);
        self.stats.received += to as u64;
        end - to
    }
}

/// Passes over what is there, at least one byte and at most `most`.
#[derive(Clone, Copy)]
pub struct Skip {
    most: usize,
}

impl Skip {
    /// Begins to pass over up to `most` bytes, which is not 0.
    pub fn new(most: usize) -> Skip {
        Skip { most }
    }

    /// Reads into the buffer and takes it from there.
    fn by_hand(self, stream: &mut Stream) -> Step<Sent> {
        let mut op = Receive::bounded(Pattern::Available, self.most);
        match op.step(stream) {
            Step::Done(received) => {
                stream.take(received);
                let (count, error) = (received.len, received.error);
                Step::Done(Sent { count, error })
            }
            Step::Drained => Step::Drained,
            Step::Wait => Step::Wait,
        }
    }
}

impl Operation<Stream> for Skip {
    type Output = Sent;

    fn step(&mut self, stream: &mut Stream) -> Step<Sent> {
        let done = |count, error| Step::Done(Sent { count, error });
        let plain = stream.connect.is_none() && matches!(stream.transport, Transport::Socket);
        let fd = stream.socket.fd();
        if !plain || fd == sys::INVALID || !stream.buffer.is_empty() {
            return self.by_hand(stream);
        }
        if stream.socket.edge.drained {
            return Step::Wait;
        }
        let read = loop {
            match sys::skip(fd, self.most) {
                Some(Err(sys::EINTR)) => {}
                Some(read) => break read,
                None => return self.by_hand(stream),
            }
        };
        let edge = &mut stream.socket.edge;
        edge.drained =
            edge.watched && !edge.hangup && matches!(read, Ok(n) if n > 0 && n < self.most);
        match read {
            Ok(0) => done(0, Some(Error::Closed)),
            Ok(n) => {
                stream.flow.note(n);
                stream.stats.received += n as u64;
                done(n, None)
            }
            Err(sys::EAGAIN) => Step::Wait,
            Err(_) => self.by_hand(stream),
        }
    }

    fn interest<'a>(&'a mut self, stream: &'a mut Stream) -> Interest<'a> {
        stream.waits_for(Direction::Read)
    }

    fn linger(&mut self, stream: &mut Stream, limit: Limit) -> Result<bool> {
        stream.gather(self.most, limit)
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Sent {
        Sent {
            count: 0,
            error: Some(why),
        }
    }
}

/// `receive(0)`: never waits, but tells an end that is known. TLS has to read to know.
fn zero_bytes(stream: &mut Stream) -> Received {
    let is_empty = stream.buffer.is_empty();
    let error = match stream.transport {
        Transport::Tls(_) if is_empty => match stream.fill(1) {
            Ok(Filled::End) => Some(Error::Closed),
            Ok(_) => None,
            Err(error) => Some(error),
        },
        _ => (is_empty && stream.transport.at_end(stream.socket.fd())).then_some(Error::Closed),
    };
    Received {
        error,
        ..Received::EMPTY
    }
}

/// `send` under way.
#[derive(Clone, Copy)]
pub struct Send<'a> {
    data: &'a [u8],
    count: usize,
}

impl<'a> Send<'a> {
    /// Begins to send `data`.
    pub fn new(data: &'a [u8]) -> Send<'a> {
        Send { data, count: 0 }
    }
}

impl Operation<Stream> for Send<'_> {
    type Output = Sent;

    #[inline]
    fn step(&mut self, stream: &mut Stream) -> Step<Sent> {
        let done = |count, error| Step::Done(Sent { count, error });
        match stream.usable() {
            Step::Done(Ok(())) => {}
            Step::Done(Err(error)) => return done(0, Some(error)),
            _ => return Step::Wait,
        }
        while self.count < self.data.len() {
            match stream
                .transport
                .send(stream.socket.fd(), &self.data[self.count..])
            {
                Ok(n) => {
                    self.count += n;
                    stream.stats.sent += n as u64;
                }
                Err(sys::EINTR) => {}
                Err(sys::EAGAIN) => return Step::Wait,
                Err(errno) => return done(self.count, Some(stream.transport.error(errno))),
            }
        }
        done(self.count, None)
    }

    fn interest<'a>(&'a mut self, stream: &'a mut Stream) -> Interest<'a> {
        stream.waits_for(Direction::Write)
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Sent {
        Sent {
            count: self.count,
            error: Some(why),
        }
    }
}

/// `accept` under way.
#[derive(Clone, Copy)]
pub struct Accept;

impl Operation<Stream> for Accept {
    type Output = Result<()>;

    fn step(&mut self, listener: &mut Stream) -> Step<Result<()>> {
        if listener.accepted != sys::INVALID {
            return Step::Done(Ok(()));
        }
        if listener.socket.fd() == sys::INVALID {
            return Step::Done(Err(Error::Closed));
        }
        loop {
            match sys::accept(listener.socket.fd()) {
                Ok(fd) => {
                    listener.accepted = fd;
                    return Step::Done(Ok(()));
                }
                // The peer has gone again before we came.
                Err(sys::EINTR | sys::ECONNABORTED) => {}
                Err(sys::EAGAIN) => return Step::Wait,
                Err(errno) => return Step::Done(Err(Error::from_errno(errno))),
            }
        }
    }

    fn interest<'a>(&'a mut self, listener: &'a mut Stream) -> Interest<'a> {
        Interest::One(listener.socket.fd(), Direction::Read)
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Result<()> {
        Err(why)
    }
}

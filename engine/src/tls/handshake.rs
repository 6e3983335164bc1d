//! The handshake of a stream, as an operation.

use super::session::{Session, Shaken};
use crate::error::{Error, Result};
use crate::operation::{Direction, Interest, Operation, Step, drive};
use crate::stream::Stream;
use crate::sys;
use crate::transport::Transport;

/// A handshake under way. What it has reached lies in the session.
#[derive(Clone, Copy)]
pub struct Handshake;

impl Stream {
    /// The session, if there is one.
    pub fn session(&self) -> Option<&Session> {
        match &self.transport {
            Transport::Tls(session) => Some(session),
            _ => None,
        }
    }

    /// As [`Stream::session`], to be changed.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.transport {
            Transport::Tls(session) => Some(session),
            _ => None,
        }
    }

    /// Goes on with the handshake, as long as the timeouts allow, until it is done or
    /// the client's first message is there for those who want to see it.
    pub fn handshake(&mut self) -> Result<Shaken> {
        let limit = self.socket.limit();
        drive(&mut Handshake, self, limit)
    }

    /// Takes the place of `other`: its descriptor, the connect it may be about, the name
    /// it was told to connect to, and what carries its bytes. `other` is closed then, but
    /// keeps what it has received.
    pub fn take_over(&mut self, other: &mut Stream) {
        self.socket.family = other.socket.family;
        self.socket.set_fd(other.socket.fd());
        self.connect = other.connect.take();
        self.progress = other.progress;
        self.host = other.host.take();
        let lower = std::mem::take(&mut other.transport);
        other.set_fd(sys::INVALID);
        let host = self.host.clone();
        if let Some(session) = self.session_mut() {
            session.put_on(lower);
            session.set_host(host.as_deref());
        }
    }
}

impl Operation<Stream> for Handshake {
    type Output = Result<Shaken>;

    fn step(&mut self, stream: &mut Stream) -> Step<Result<Shaken>> {
        let fd = stream.socket.fd();
        if fd == sys::INVALID && stream.session().is_some() {
            return Step::Done(Err(Error::Os(sys::EBADF)));
        }
        match stream.usable() {
            Step::Done(Ok(())) => {}
            Step::Done(Err(error)) => return Step::Done(Err(error)),
            Step::Wait => return Step::Wait,
            Step::Drained => return Step::Drained,
        }
        let Transport::Tls(session) = &mut stream.transport else {
            return Step::Done(Err(Error::Closed));
        };
        loop {
            let shaken = stream.buffer.fill(1, |block| session.handshake(fd, block));
            match shaken {
                None => return Step::Done(Err(Error::NoMemory)),
                Some(Ok(shaken)) => return Step::Done(Ok(shaken)),
                Some(Err(sys::EINTR)) => {}
                Some(Err(sys::EAGAIN)) => return Step::Wait,
                Some(Err(errno)) => return Step::Done(Err(session.error(errno))),
            }
        }
    }

    fn interest<'a>(&'a mut self, stream: &'a mut Stream) -> Interest<'a> {
        stream.waits_for(Direction::Read)
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Result<Shaken> {
        Err(why)
    }
}

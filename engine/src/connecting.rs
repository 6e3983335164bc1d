//! `connect` of a stream: what it says, and what a connect under way means for other calls.
//! How connecting goes is told in `connect.rs`.

use std::time::Instant;

use crate::connect::{Connect, Progress};
use crate::error::{Error, Result};
use crate::operation::{Interest, Operation, Step, drive};
use crate::stream::Stream;
use crate::sys::{self, PollFd};

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
    /// Whether nobody will have the stream if it is abandoned.
    alone: bool,
}

impl Connecting {
    /// For a stream that nobody has until it is connected: it is closed if that is abandoned.
    pub fn alone(self) -> Connecting {
        let alone = true;
        Connecting { alone, ..self }
    }
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
            // What an earlier connection has left is not for the next one.
            self.buffer.clear();
            let unused = self.progress == Progress::None;
            match Connect::begin(&mut self.socket, host, service, limit, may_block, unused) {
                Ok(connect) => self.connect = Some(Box::new(connect)),
                Err(error) => return Begun::Known(Err(error)),
            }
        }
        let asked_again = continued && limit.is_over();
        let late = if asked_again {
            Error::Os(sys::EALREADY)
        } else {
            Error::Timeout
        };
        let alone = false;
        Begun::Going(Connecting { late, alone })
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
        let (waiting, wake) = connect.waits_for();
        fds.extend_from_slice(waiting);
        wake
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
        match connect.step(&mut self.socket) {
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

    fn abandon(&mut self, stream: &mut Stream) {
        if self.alone {
            stream.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::address::Family;
    use crate::deadline::Limit;

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
        stream.connect = Some(Box::new(Connect::to(&stream.socket, found)));
        let mut op = Connecting {
            late: Error::Timeout,
            alone: false,
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

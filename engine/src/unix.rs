//! Unix-domain sockets: paths in place of hosts and ports.

use crate::address::Family;
use crate::connect::Progress;
use crate::datagram::Datagram;
use crate::error::{Error, Result};
use crate::operation::{Interest, Operation, Pause, Step};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::sys::{self, SockAddr};

/// Makes the descriptor of a Unix-domain object.
pub fn open(socket: &mut Socket) -> Result<()> {
    let fd = sys::socket(sys::AF_UNIX, socket.kind()).map_err(Error::Os)?;
    socket.adopt(fd, Family::Unspec);
    Ok(())
}

/// The address of `path`. A leading NUL makes it an abstract name (Linux), which may
/// hold any bytes; a NUL elsewhere would cut the path, so it is an error.
pub fn address(path: &[u8]) -> Result<SockAddr> {
    if path.first().is_some_and(|first| *first != 0) && path.contains(&0) {
        return Err(Error::Os(sys::EINVAL));
    }
    SockAddr::unix(path).ok_or(Error::PathTooLong)
}

/// Binds to a path.
pub fn bind(socket: &mut Socket, path: &SockAddr) -> Result<()> {
    sys::bind(socket.fd(), path).map_err(Error::Os)?;
    socket.bound = true;
    Ok(())
}

/// Begins to connect to the listener at `path`.
pub fn begin_connect(stream: &Stream, path: &[u8]) -> Result<Connect> {
    let to = address(path)?;
    if stream.socket.fd() == sys::INVALID {
        return Err(Error::Closed);
    }
    Ok(Connect {
        to,
        pause: Pause::FIRST,
    })
}

/// Sets the peer of a datagram object. A failure other than a bad path closes it.
pub fn connect_datagram(datagram: &mut Datagram, path: &[u8]) -> Result<()> {
    let to = address(path)?;
    if datagram.socket.fd() == sys::INVALID {
        return Err(Error::Closed);
    }
    let connected = sys::connect(datagram.socket.fd(), &to).map_err(Error::for_datagram);
    connected.inspect_err(|_| datagram.close())
}

/// A connect under way. The system tells a full queue by `EAGAIN` and has no event for
/// room in it. A failure of the system closes the object; one that only ran out of time
/// may try again.
#[derive(Clone, Copy)]
pub struct Connect {
    to: SockAddr,
    pause: Pause,
}

impl Operation<Stream> for Connect {
    type Output = Result<()>;

    fn step(&mut self, stream: &mut Stream) -> Step<Result<()>> {
        if stream.socket.fd() == sys::INVALID {
            return Step::Done(Err(Error::Closed));
        }
        match sys::connect(stream.socket.fd(), &self.to) {
            Ok(()) => {
                stream.progress = Progress::Connected;
                Step::Done(Ok(()))
            }
            Err(sys::EAGAIN) => Step::Wait,
            Err(errno) => {
                stream.close();
                Step::Done(Err(Error::from_errno(errno)))
            }
        }
    }

    fn interest<'a>(&'a mut self, _: &'a mut Stream) -> Interest<'a> {
        self.pause.interest()
    }

    fn give_up(&mut self, _: &mut Stream, why: Error) -> Result<()> {
        Err(why)
    }
}

//! What carries a stream's bytes: the seam between patterns and descriptors.
//!
//! Everything above asks for bytes with [`Transport::recv`], gives bytes with
//! [`Transport::send`], and learns from [`Transport::wants`] what to wait for when
//! either would block. It does not know what lies below.

use std::io::IoSlice;

use crate::error::Error;
use crate::operation::Direction;
use crate::sys::{self, Fd};
use crate::tls::Session;

/// What lies below a stream.
#[derive(Debug, Default)]
pub enum Transport {
    /// A stream socket.
    #[default]
    Socket,
    /// A character device, or anything else with `read` and `write`.
    File,
    /// A TLS session over another transport.
    Tls(Box<Session>),
}

impl Transport {
    /// Appends to `into`, which has spare capacity, what has come. `Ok(0)` is the
    /// end of the stream; `Err(EAGAIN)` means to wait.
    #[inline]
    pub fn recv(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<usize> {
        match self {
            Transport::Socket => sys::recv(fd, into),
            Transport::File => sys::read(fd, into),
            Transport::Tls(session) => session.recv(fd, into),
        }
    }

    /// Gives bytes down; how many were taken. `Err(EAGAIN)` means to wait.
    #[inline]
    pub fn send(&mut self, fd: Fd, data: &[u8]) -> sys::Result<usize> {
        match self {
            Transport::Socket => sys::send(fd, data),
            Transport::File => sys::write(fd, data),
            Transport::Tls(session) => session.send(fd, data),
        }
    }

    /// As [`Transport::send`], for bytes that lie in several places.
    pub fn send_vectored(&mut self, fd: Fd, data: &[IoSlice<'_>]) -> sys::Result<usize> {
        match self {
            Transport::Socket => sys::send_vectored(fd, data),
            _ => match data.iter().find(|part| !part.is_empty()) {
                Some(part) => self.send(fd, part),
                None => Ok(0),
            },
        }
    }

    /// Whether a [`Transport::recv`] that brought `n` bytes, with room for `room`, has
    /// taken all that the kernel had, most likely.
    #[inline]
    pub fn is_drained(&self, n: usize, room: usize) -> bool {
        match self {
            Transport::Tls(session) => session.is_drained(),
            _ => n < room,
        }
    }

    /// Whether `recv` has something to tell that the kernel does not know of.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        match self {
            Transport::Tls(session) => session.is_dirty(),
            _ => false,
        }
    }

    /// What `errno` from a call here means.
    pub fn error(&self, errno: i32) -> Error {
        match self {
            Transport::Tls(session) => session.error(errno),
            _ => Error::from_errno(errno),
        }
    }

    /// Says that no more will be sent, where there is a way to, without waiting.
    pub fn finish(&mut self, fd: Fd) {
        if let Transport::Tls(session) = self {
            session.finish(fd);
        }
    }

    /// Whether to say something here may disturb another process.
    pub(crate) fn is_of_parent(&self) -> bool {
        match self {
            Transport::Tls(session) => session.is_of_parent(),
            _ => false,
        }
    }

    /// Whether the stream has ended, as far as is known without waiting.
    pub fn at_end(&mut self, fd: Fd) -> bool {
        match self {
            Transport::Socket => !matches!(sys::peek(fd), Ok(1..) | Err(sys::EAGAIN)),
            // A device cannot be looked into.
            Transport::File => false,
            Transport::Tls(session) => session.at_end(),
        }
    }

    /// Drops a session; a device stays one.
    pub(crate) fn forget(&mut self) {
        if let Transport::Tls(_) = self {
            *self = Transport::Socket;
        }
    }

    /// What to wait for after `EAGAIN` from a call in `direction`.
    pub fn wants(&self, direction: Direction) -> Direction {
        match self {
            Transport::Tls(session) => session.wants(),
            _ => direction,
        }
    }
}

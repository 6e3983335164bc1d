//! What carries a stream's bytes: the seam between patterns and descriptors.
//!
//! Everything above asks for bytes with [`Transport::recv`], gives bytes with
//! [`Transport::send`], and learns from [`Transport::wants`] what to wait for when
//! either would block. It does not know what lies below.

use crate::operation::Direction;
use crate::sys::{self, Fd};

/// What lies below a stream.
#[derive(Debug, Default)]
pub enum Transport {
    /// A stream socket.
    #[default]
    Socket,
    /// A character device, or anything else with `read` and `write`.
    File,
}

impl Transport {
    /// Appends to `into`, which has spare capacity, what has come. `Ok(0)` is the
    /// end of the stream; `Err(EAGAIN)` means to wait.
    #[inline]
    pub fn recv(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<usize> {
        match self {
            Transport::Socket => sys::recv(fd, into),
            Transport::File => sys::read(fd, into),
        }
    }

    /// Gives bytes down; how many were taken. `Err(EAGAIN)` means to wait.
    #[inline]
    pub fn send(&mut self, fd: Fd, data: &[u8]) -> sys::Result<usize> {
        match self {
            Transport::Socket => sys::send(fd, data),
            Transport::File => sys::write(fd, data),
        }
    }

    /// Whether the stream has ended, as far as is known without waiting.
    pub fn at_end(&mut self, fd: Fd) -> bool {
        match self {
            Transport::Socket => !matches!(sys::peek(fd), Ok(1..) | Err(sys::EAGAIN)),
            // A device cannot be looked into.
            Transport::File => false,
        }
    }

    /// What to wait for after `EAGAIN` from a call in `direction`.
    pub fn wants(&self, direction: Direction) -> Direction {
        direction
    }
}

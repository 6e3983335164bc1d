//! Streams in full flow: who reads faster than the peer writes waits for much at once.
//!
//! Such a reader would wait after every packet, and the waits cost more than the copying. So once much has come without
//! a pause, it waits a moment until a large piece is there. How long that moment may be is a matter of whether the bytes
//! are known to come: what is wanted may be the last that the peer has to say.

use std::time::{Duration, Instant};

use crate::buffer::BLOCK;
use crate::deadline::Limit;
use crate::error::Result;
use crate::operation::{self, Direction};
use crate::sys::{self, Fd, PollFd, opt};

/// How many bytes have come since the last pause.
#[derive(Default)]
pub struct Flow(usize);

impl Flow {
    /// A read brought `n` bytes.
    #[inline]
    pub fn note(&mut self, n: usize) {
        self.0 = if n < PACKET {
            0
        } else {
            self.0.saturating_add(n)
        };
    }

    /// How much is worth being read at once.
    #[inline]
    pub fn ahead(&self) -> usize {
        if self.0 >= CERTAIN {
            LARGE_PIECE
        } else {
            BLOCK
        }
    }

    /// Waits until a large piece of the `wanted` bytes is there, but no longer than a moment, if the stream is in flow.
    /// Whether it is.
    pub fn gather(&mut self, fd: Fd, wanted: usize, limit: Limit) -> Result<bool> {
        let (much, moment) = match self.0 {
            CERTAIN.. if wanted >= BLOCK => (wanted.min(LARGE_PIECE), LONG),
            LIKELY.. => (PIECE, SHORT),
            _ => return Ok(false),
        };
        if sys::setsockopt(fd, opt::SO_RCVLOWAT.0, opt::SO_RCVLOWAT.1, &(much as i32)).is_err() {
            return Ok(false);
        }
        let mut fds = [PollFd::new(fd, Direction::Read.events())];
        let ready = operation::poll(&mut fds, Some(Instant::now() + moment), limit);
        // What others wait for is the next byte.
        let _ = sys::setsockopt(fd, opt::SO_RCVLOWAT.0, opt::SO_RCVLOWAT.1, &1);
        if !matches!(ready, Ok(1..)) {
            self.0 = 0;
        }
        ready.map(|_| true)
    }
}

/// Reads below this size are a pause.
const PACKET: usize = 4 * 1024;
/// After so many bytes, wanted ones are waited for.
const CERTAIN: usize = 64 * 1024;
/// After so many, even those that nobody has announced.
const LIKELY: usize = 1024 * 1024;

/// What is waited for.
const PIECE: usize = 128 * 1024;
const LARGE_PIECE: usize = 256 * 1024;

const LONG: Duration = Duration::from_millis(5);
const SHORT: Duration = Duration::from_micros(500);

//! `epoll(7)`: a set of descriptors that the kernel keeps between calls.
#![allow(unsafe_code)]

use std::time::Duration;

use super::unix::syscall;
use super::{Birth, Fd, Result, close};

pub use libc::{EEXIST, EPERM, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT};

/// What became ready.
pub type Event = libc::epoll_event;

/// An epoll instance.
pub struct Epoll {
    fd: Fd,
    /// A forked child shares the set with its parent and must not touch it.
    birth: Birth,
}

impl Epoll {
    /// `epoll_create1(2)`.
    pub fn new() -> Result<Epoll> {
        let fd = syscall!(epoll_create1(libc::EPOLL_CLOEXEC))?;
        let birth = Birth::new();
        Ok(Epoll { fd, birth })
    }

    /// Whether this process made the set, and not one it was forked from.
    pub fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }

    /// `EPOLL_CTL_ADD`.
    pub fn add(&self, fd: Fd, events: u32, token: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, token)
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, fd: Fd, events: u32, token: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    /// `EPOLL_CTL_DEL`.
    pub fn delete(&self, fd: Fd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, op: i32, fd: Fd, events: u32, token: u64) -> Result<()> {
        let mut event = Event { events, u64: token };
        syscall!(epoll_ctl(self.fd, op, fd, &mut event)).map(drop)
    }

    /// `epoll_wait(2)`, into the spare capacity of `events`; `None` waits for ever.
    /// Rounds up to milliseconds.
    pub fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<usize> {
        let up = |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000);
        let ms = timeout.map_or(-1, |timeout| up(timeout).min(i32::MAX as u128) as i32);
        events.clear();
        let room = events.spare_capacity_mut();
        let (ptr, len) = (
            room.as_mut_ptr().cast(),
            room.len().min(i32::MAX as usize) as i32,
        );
        let n = syscall!(epoll_wait(self.fd, ptr, len, ms))? as usize;
        // SAFETY: the kernel has written `n` events of the spare capacity.
        unsafe { events.set_len(n) };
        Ok(n)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        close(self.fd);
    }
}

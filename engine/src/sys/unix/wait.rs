//! Waiting, and the clock on the wall.

use std::mem::zeroed;
use std::time::Duration;

use super::{EINVAL, Fd, POLLERR, POLLHUP, POLLNVAL, Result, c_int, syscall};

/// A descriptor for [`poll`], with what is asked and what was found.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// Asks about `events` of `fd`.
    pub fn new(fd: Fd, events: i16) -> PollFd {
        PollFd(libc::pollfd {
            fd,
            events,
            revents: 0,
        })
    }

    /// The descriptor.
    pub fn fd(&self) -> Fd {
        self.0.fd
    }

    /// What was asked.
    pub fn events(&self) -> i16 {
        self.0.events
    }

    /// What the last [`poll`] found.
    pub fn revents(&self) -> i16 {
        self.0.revents
    }
}

/// `poll(2)`; the number of ready descriptors, 0 at the timeout. `None` waits for
/// ever.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    let fds_ptr = fds.as_mut_ptr().cast::<libc::pollfd>();
    match poll_for(fds_ptr, fds.len(), timeout) {
        Err(EINVAL) => poll_merged(fds, timeout),
        ready => ready.map(|ready| ready as usize),
    }
}

/// [`poll`] for more entries than the process may have descriptors, which the kernel
/// rejects: most are then there twice, to be read and to be written.
fn poll_merged(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    let mut merged: Vec<PollFd> = fds.iter().filter(|each| each.fd() >= 0).copied().collect();
    merged.sort_unstable_by_key(PollFd::fd);
    merged.dedup_by(|next, kept| {
        let same = next.fd() == kept.fd();
        if same {
            kept.0.events |= next.events();
        }
        same
    });
    let merged_ptr = merged.as_mut_ptr().cast::<libc::pollfd>();
    poll_for(merged_ptr, merged.len(), timeout)?;
    let mut ready = 0;
    for each in fds {
        let found = merged.binary_search_by_key(&each.fd(), PollFd::fd);
        let asked = each.events() | POLLERR | POLLHUP | POLLNVAL;
        each.0.revents = found.map_or(0, |at| merged[at].revents() & asked);
        ready += usize::from(each.revents() != 0);
    }
    Ok(ready)
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn poll_for(fds: *mut libc::pollfd, len: usize, timeout: Option<Duration>) -> Result<c_int> {
    // Less to copy in and out than with `ppoll`.
    match timeout {
        None => return syscall!(poll(fds, len as _, -1)),
        Some(Duration::ZERO) => return syscall!(poll(fds, len as _, 0)),
        Some(_) => {}
    }
    let spec = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: timeout.subsec_nanos() as _,
    });
    let spec = spec
        .as_ref()
        .map_or(std::ptr::null(), |spec| spec as *const _);
    syscall!(ppoll(fds, len as _, spec, std::ptr::null()))
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn poll_for(fds: *mut libc::pollfd, len: usize, timeout: Option<Duration>) -> Result<c_int> {
    let up = |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
    let ms = timeout.map_or(-1, |timeout| up(timeout) as c_int);
    syscall!(poll(fds, len as _, ms))
}

/// `clock_gettime(CLOCK_REALTIME)`: seconds since 1970, UTC.
pub fn gettime() -> f64 {
    // SAFETY: the kernel fills the structure.
    let now = unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
        now
    };
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

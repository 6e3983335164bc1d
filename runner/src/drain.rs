//! SIGTERM and SIGINT for scripts that run as tasks: the first asks all workers to come to
//! an end, the second ends the process.
//!
//! A signal reaches any one thread, but all workers must hear of it. So the handler writes a
//! byte into a pipe that every worker's loop watches and none reads: each is told once, also
//! one that begins to watch later.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// The end of the pipe to write to.
static WRITE: AtomicI32 = AtomicI32::new(-1);
/// Whether a signal has come.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Takes both signals over, unless the parent process had them ignored. The descriptor
/// becomes readable when it is time to end. `None` if the system refuses a pipe.
pub fn prepare() -> Option<c_int> {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors; then descriptors of our own.
    unsafe {
        if libc::pipe(ends.as_mut_ptr()) != 0 {
            return None;
        }
        for end in ends {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
            libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
        }
    }
    WRITE.store(ends[1], Ordering::Release);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: as `take_over` says.
        unsafe { take_over(signal) };
    }
    Some(ends[0])
}

/// Asks all workers to come to an end. May be called by a signal handler.
pub fn ask() {
    let byte = [0u8];
    // SAFETY: one byte; a full pipe does as well.
    unsafe { libc::write(WRITE.load(Ordering::Acquire), byte.as_ptr().cast(), 1) };
}

unsafe fn take_over(signal: c_int) {
    // SAFETY: all zeroes is a value of `sigaction`, with an empty mask.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action);
        if action.sa_sigaction == libc::SIG_IGN {
            return;
        }
        action = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        // What waits in the kernel need not be disturbed: the loops are told by the pipe.
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &action, null_mut());
    }
}

extern "C" fn on_signal(signal: c_int) {
    if !SIGNALLED.swap(true, Ordering::Relaxed) {
        return ask();
    }
    // SAFETY: both may be called here. The signal ends the process when we return.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

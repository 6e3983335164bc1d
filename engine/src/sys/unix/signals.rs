//! Signals, held back where they would hurt.

use std::mem::zeroed;

/// SIGPIPE held back in this thread.
pub(super) struct Sigpipe {
    old: libc::sigset_t,
    /// Whether one was waiting before us; it is not ours to take.
    pending: bool,
}

impl Sigpipe {
    pub(super) fn block() -> Sigpipe {
        // SAFETY: all sets are initialised before they are read.
        unsafe {
            let (mut set, mut old, mut pending) = (zeroed(), zeroed(), zeroed());
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            libc::sigpending(&mut pending);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut old);
            Sigpipe {
                old,
                pending: libc::sigismember(&pending, libc::SIGPIPE) == 1,
            }
        }
    }

    pub(super) fn restore(self, raised: bool) {
        // SAFETY: as in `block`.
        unsafe {
            if raised && !self.pending {
                let (mut set, mut signal) = (zeroed(), 0);
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGPIPE);
                let mut now = zeroed();
                libc::sigpending(&mut now);
                if libc::sigismember(&now, libc::SIGPIPE) == 1 {
                    libc::sigwait(&set, &mut signal);
                }
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.old, std::ptr::null_mut());
        }
    }
}

/// Calls `f` with all signals held back, which a thread started in it inherits:
/// signals are for the threads of the program.
pub fn without_signals<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised before they are read.
    let old = unsafe {
        let (mut all, mut old) = (zeroed(), zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    let result = f();
    // SAFETY: `old` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut()) };
    result
}

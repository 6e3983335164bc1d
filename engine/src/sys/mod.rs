//! The kernel: the only place that makes system calls, and the only one with
//! conditions on the platform.
//!
//! A platform is one file with:
//!
//! * `Fd`, the descriptor type, and `INVALID`, the value of none;
//! * `PollFd` and the `POLL*` events;
//! * the error numbers and resolver codes that the layers above distinguish,
//!   under their own names, and the texts of all of them;
//! * one function for each system call, named as the call, that returns
//!   `Result<_, errno>` and neither waits nor retries, `EINTR` from calls that
//!   cannot block excepted;
//! * every descriptor it makes is non-blocking and close-on-exec from the start;
//! * no call raises SIGPIPE, and no signal disposition is changed;
//! * `Birth`, which knows in which process it was made, and `PerProcess`, which every process
//!   makes for itself.
//!
//! Waiting is `poll`, which rounds times up, never down.

pub mod cache;
#[cfg(unix)]
#[allow(missing_docs)] // the names are C's
pub mod opt;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::*;

#[cfg(target_os = "linux")]
pub mod epoll;

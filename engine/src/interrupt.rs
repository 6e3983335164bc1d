//! A way for a program with a terminal to end our waits.
//!
//! LuaSocket's waits go on after a signal. A program that owns the process (the
//! runner, with its Ctrl-C) may hand over a flag instead: a wait that a signal
//! interrupts looks at it and, where it is set, ends with
//! [`Error::Interrupted`](crate::Error::Interrupted).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static FLAG: OnceLock<&'static AtomicBool> = OnceLock::new();

/// Watches `flag` from now on, for the whole process. Whoever sets it must make
/// sure that a signal without `SA_RESTART` reaches the waiting thread; whoever
/// handles the error clears it. Only the first call has an effect.
pub fn watch(flag: &'static AtomicBool) {
    let _ = FLAG.set(flag);
}

/// Whether the flag is set.
pub(crate) fn requested() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

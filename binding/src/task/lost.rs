//! What was left behind by tasks whose coroutine the program has closed or resumed.
//!
//! Such a task waits no more, and what it has waited for may be gone: Lua keeps it only for the
//! stack of the coroutine. So nobody can tell the socket that it is free again; this is noted
//! here instead, for whoever finds it busy.

use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use luasocket_engine::operation::Direction;

type Occupied = (*mut c_void, Direction);

/// How many are noted in all threads: hardly ever any.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LOST: RefCell<Vec<Occupied>> = const { RefCell::new(Vec::new()) };
}

/// Notes that nobody waits for `subject` any more, if there still is one.
#[cold]
pub fn add(subject: *mut c_void, direction: Direction) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    LOST.with_borrow_mut(|lost| lost.push((subject, direction)));
}

/// Whether that was noted; now it is not.
#[inline]
pub fn remove(subject: *mut c_void, direction: Direction) -> bool {
    COUNT.load(Ordering::Relaxed) > 0 && find(subject, direction)
}

#[cold]
fn find(subject: *mut c_void, direction: Direction) -> bool {
    let found = LOST.with_borrow_mut(|lost| {
        let found = lost.iter().position(|&one| one == (subject, direction));
        found.map(|at| lost.swap_remove(at)).is_some()
    });
    if found {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
    found
}

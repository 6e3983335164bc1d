//! Which descriptors were closed lately, for event loops, which must wake whoever waits for
//! them.
//!
//! Each thread has a log of the descriptors that it closed. A loop remembers how far it has
//! read. The log is kept from when a loop first reads it, and stays short, because of each
//! descriptor number only the last closing counts.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::Fd;

struct Log {
    /// Names the thread: no two threads of a process, in the course of time, share it. 0 as
    /// long as nobody listens.
    thread: u64,
    next: u64,
    /// Number and descriptor of closings, in order.
    closings: Vec<(u64, Fd)>,
    /// At which length it is made shorter.
    room: usize,
}

thread_local! {
    static LISTENED: Cell<bool> = const { Cell::new(false) };
    static LOG: RefCell<Log> = const {
        RefCell::new(Log { thread: 0, next: 0, closings: Vec::new(), room: LEAST_ROOM })
    };
}

const LEAST_ROOM: usize = 256;

/// How many there were in all threads: as long as it stays the same, there is nothing to hear.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Notes that the open file of `fd` is being closed, if there is a loop in this thread.
#[inline]
pub(crate) fn note(fd: Fd) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    if LISTENED.get() {
        let _ = LOG.try_with(|log| log.borrow_mut().note(fd));
    }
}

/// How far a loop has read, and of which thread's log.
#[derive(Default)]
pub(crate) struct Heard {
    thread: u64,
    next: u64,
    /// What [`COUNT`] was.
    count: u64,
}

impl Heard {
    /// Calls `hear` with every descriptor closed since the last time. False if others may have been
    /// closed as well, because the loop was in another thread.
    #[inline]
    pub(crate) fn listen(&mut self, hear: impl FnMut(Fd)) -> bool {
        // Those of this thread, and of a thread that the loop comes from, are counted by now.
        let count = COUNT.load(Ordering::Relaxed);
        if self.thread != 0 && count == self.count {
            return true;
        }
        self.count = count;
        self.read_log(hear)
    }

    fn read_log(&mut self, mut hear: impl FnMut(Fd)) -> bool {
        let heard = LOG.try_with(|log| {
            let log = &mut *log.borrow_mut();
            log.begin();
            if log.thread == self.thread && log.next == self.next {
                return true;
            }
            let stayed = log.thread == self.thread;
            if stayed {
                let first = log
                    .closings
                    .partition_point(|(number, _)| *number < self.next);
                for (_, fd) in &log.closings[first..] {
                    hear(*fd);
                }
            }
            let began = self.thread == 0;
            (self.thread, self.next) = (log.thread, log.next);
            stayed || began
        });
        heard.unwrap_or(true)
    }
}

impl Log {
    fn begin(&mut self) {
        static THREADS: AtomicU64 = AtomicU64::new(1);
        if self.thread == 0 {
            self.thread = THREADS.fetch_add(1, Ordering::Relaxed);
            LISTENED.set(true);
        }
    }

    fn note(&mut self, fd: Fd) {
        self.closings.push((self.next, fd));
        self.next += 1;
        if self.closings.len() >= self.room {
            self.shorten();
        }
    }

    /// Keeps the last closing of each descriptor.
    fn shorten(&mut self) {
        self.closings
            .sort_unstable_by_key(|&(number, fd)| (fd, std::cmp::Reverse(number)));
        self.closings.dedup_by_key(|&mut (_, fd)| fd);
        self.closings.sort_unstable();
        self.room = LEAST_ROOM.max(2 * self.closings.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(by: &mut Heard) -> Vec<Fd> {
        let mut list = Vec::new();
        assert!(by.listen(|fd| list.push(fd)));
        list
    }

    #[test]
    fn every_loop_hears_everything_once() {
        let (mut one, mut other) = (Heard::default(), Heard::default());
        note(1);
        assert_eq!(heard(&mut one), []);
        note(2);
        note(3);
        assert_eq!(heard(&mut one), [2, 3]);
        assert_eq!(heard(&mut one), []);
        assert_eq!(heard(&mut other), []);
        note(4);
        assert_eq!(heard(&mut one), [4]);
        assert_eq!(heard(&mut other), [4]);
    }

    #[test]
    fn the_log_stays_short_and_loses_nothing() {
        let mut late = Heard::default();
        heard(&mut late);
        for n in 0..100_000 {
            note(n % 300);
            LOG.with_borrow(|log| assert!(log.closings.len() <= 600));
        }
        let mut list = heard(&mut late);
        list.sort_unstable();
        list.dedup();
        assert_eq!(list, (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn a_loop_that_comes_from_another_thread_cannot_know() {
        let mut moved = std::thread::spawn(|| {
            let mut heard = Heard::default();
            assert!(heard.listen(|_| {}));
            heard
        })
        .join()
        .unwrap();
        note(6);
        assert!(!moved.listen(|_| panic!("nothing to hear")));
        note(7);
        assert_eq!(heard(&mut moved), [7]);
    }
}

//! Whether a process is the one that made something, or was forked from it.

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use super::c_int;

/// Remembers in which process it was made.
pub struct Birth {
    /// A page that a forked child finds zeroed, so that looking costs no system call; none
    /// where the system has no such pages.
    page: Option<NonNull<u8>>,
    process: c_int,
}

// SAFETY: the page is only reached through its owner, and never written to again.
unsafe impl Send for Birth {}

const PAGE: usize = 4096;

impl Birth {
    /// In this process.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Birth {
        Birth {
            page: map(),
            process: pid(),
        }
    }

    /// Whether this process is the one.
    #[inline]
    pub fn is_ours(&self) -> bool {
        match self.page {
            // SAFETY: it is mapped as long as we live.
            Some(page) => unsafe { page.as_ptr().read_volatile() == 1 },
            None => self.process == pid(),
        }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        if let Some(page) = self.page {
            // SAFETY: mapped in `map`, unmapped here only.
            unsafe { libc::munmap(page.as_ptr().cast(), PAGE) };
        }
    }
}

/// The number of this process. Where the system has pages that a forked child finds zeroed, it
/// is asked for once.
pub fn pid() -> c_int {
    static KNOWN: AtomicPtr<AtomicI32> = AtomicPtr::new(null_mut());
    // SAFETY: what is put there stays mapped.
    match unsafe { KNOWN.load(Ordering::Acquire).as_ref() } {
        Some(known) => match known.load(Ordering::Relaxed) {
            0 => ask(known),
            number => number,
        },
        None => ask_first(&KNOWN),
    }
}

#[cold]
fn ask(known: &AtomicI32) -> c_int {
    // SAFETY: it cannot fail.
    let number = unsafe { libc::getpid() };
    known.store(number, Ordering::Relaxed);
    number
}

/// Makes the page. Of several threads that do so at once, each but one does it for nothing.
#[cold]
fn ask_first(known: &'static AtomicPtr<AtomicI32>) -> c_int {
    let Some(page) = map() else {
        return ask(&AtomicI32::new(0));
    };
    let fresh = page.as_ptr().cast::<AtomicI32>();
    // SAFETY: it is mapped, and nobody else knows it yet.
    let number = ask(unsafe { &*fresh });
    let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
    let put = known.compare_exchange(null_mut(), fresh, success, failure);
    if put.is_err() {
        // SAFETY: it stays unknown.
        unsafe { libc::munmap(fresh.cast(), PAGE) };
    }
    number
}

/// A value that every process makes for itself. In a forked child, where a lock of the parent's
/// may be held for ever by a thread that is not there, it is another one.
pub struct PerProcess<T>(AtomicPtr<Made<T>>);

struct Made<T> {
    process: c_int,
    value: T,
}

impl<T: Default + Send + Sync> PerProcess<T> {
    /// Nothing is made yet.
    #[expect(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(null_mut()))
    }

    /// That of this process.
    pub fn get(&'static self) -> &'static T {
        let (known, process) = (self.0.load(Ordering::Acquire), pid());
        // SAFETY: what was put here is never taken away.
        match unsafe { known.as_ref() } {
            Some(made) if made.process == process => &made.value,
            _ => self.make(known, process),
        }
    }

    #[cold]
    fn make(&'static self, known: *mut Made<T>, process: c_int) -> &'static T {
        let value = T::default();
        let fresh = Box::into_raw(Box::new(Made { process, value }));
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        // SAFETY: as above; `fresh` is ours as long as nobody else can see it.
        unsafe {
            match self.0.compare_exchange(known, fresh, success, failure) {
                Ok(_) => &(*fresh).value,
                Err(other) => {
                    drop(Box::from_raw(fresh));
                    &(*other).value
                }
            }
        }
    }
}

/// A page that says 1 in this process.
#[cfg(target_os = "linux")]
fn map() -> Option<NonNull<u8>> {
    let (read_write, private) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a fresh mapping, of which the first byte is then written.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), PAGE, read_write, private, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        if libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(page, PAGE);
            return None;
        }
        page.cast::<u8>().write(1);
        NonNull::new(page.cast())
    }
}

#[cfg(not(target_os = "linux"))]
fn map() -> Option<NonNull<u8>> {
    None
}

/// What `work` returns in a forked child.
#[cfg(test)]
pub fn in_a_child(work: impl FnOnce() -> c_int) -> c_int {
    let mut status = 0;
    // SAFETY: the child is this thread alone, and ends before anything else of it does.
    unsafe {
        match libc::fork() {
            0 => {
                let work = std::panic::AssertUnwindSafe(work);
                libc::_exit(std::panic::catch_unwind(work).unwrap_or(101));
            }
            child => {
                libc::waitpid(child, &mut status, 0);
                libc::WEXITSTATUS(status)
            }
        }
    }
}

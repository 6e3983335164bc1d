//! A script in several threads at once, each with a Lua state of its own.

use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, ScopedJoinHandle};

use crate::options::Options;
use crate::session::{self, Worker};
use crate::{chunk, drain};

/// Runs the script in as many threads as the options say, of which this is one; returns the
/// exit status. What goes wrong in one ends all.
pub fn run(program: &'static CStr, words: &[&'static CStr], options: &Options) -> c_int {
    let Some(drain) = drain::prepare() else {
        chunk::complain(Some(program), b"cannot create a pipe");
        return 1;
    };
    let count = match options.workers {
        Some(0) => thread::available_parallelism().map_or(1, |cores| cores.get()),
        workers => workers.unwrap_or(1),
    };
    let work = |number| {
        let worker = Worker {
            number,
            count,
            drain,
        };
        let name = name(worker, program);
        let status = run_one(|| session::run(&name, words, options.clone(), Some(worker)));
        if status != 0 {
            drain::ask();
        }
        status
    };
    thread::scope(|scope| {
        let mut others = Vec::new();
        for number in 2..=count {
            let thread = thread::Builder::new()
                .name(format!("worker {number}"))
                .stack_size(STACK);
            match thread.spawn_scoped(scope, move || work(number)) {
                Ok(other) => others.push(other),
                Err(error) => {
                    let text = format!("cannot start worker {number}: {error}");
                    chunk::complain(Some(program), text.as_bytes());
                    drain::ask();
                    break;
                }
            }
        }
        let all_began = others.len() + 1 == count;
        let own = work(1);
        let failed = |other: ScopedJoinHandle<c_int>| !matches!(other.join(), Ok(0));
        let others_failed = others
            .into_iter()
            .fold(false, |any, other| failed(other) | any);
        c_int::from(own != 0 || others_failed || !all_began)
    })
}

/// The exit status of a worker. A panic, which says on standard error where it was, is one's
/// failure like any other, so that the others are told to end.
fn run_one(work: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(1)
}

/// What stands before the messages of a worker.
fn name(worker: Worker, program: &CStr) -> CString {
    if worker.count == 1 {
        return program.to_owned();
    }
    let number = format!(": worker {}", worker.number);
    CString::new([program.to_bytes(), number.as_bytes()].concat()).unwrap_or_default()
}

/// What the first thread has on most systems.
const STACK: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        assert_eq!(run_one(|| 0), 0);
        assert_eq!(run_one(|| panic!("as the test wants")), 1);
    }
}

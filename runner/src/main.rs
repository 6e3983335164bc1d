//! `luasocket`: a Lua interpreter with the library inside.
//!
//! It takes the command line of the stock `lua`, so it can stand wherever that
//! stands; the shared library is not needed, and neither is an installed Lua.
//! Other C modules of the same Lua version load into it.
//!
//! In reading order: [`options`] (the command line), [`session`] (what is done
//! with it), [`chunk`] (calling Lua and reporting its errors), [`interactive`]
//! (the prompt), [`interrupt`] (Ctrl-C), [`workers`] and [`drain`] (scripts as tasks),
//! [`alloc`] (failing allocations, for tests).
#![cfg_attr(not(test), no_main)]

mod alloc;
mod chunk;
mod drain;
mod interactive;
mod interrupt;
mod options;
mod session;
mod terminal;
mod version;
mod workers;

use std::ffi::{CStr, c_char, c_int};

/// The program starts here and not in Rust's own `main`, whose runtime would change
/// the dispositions of signals, which a Lua program finds as its parent left them.
///
/// # Safety
///
/// To be called by the C runtime.
#[cfg_attr(not(test), unsafe(export_name = "main"))]
pub unsafe extern "C" fn start(argc: c_int, argv: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or(0);
    // SAFETY: the C runtime hands over `argc` strings that live as long as the process.
    let words: Vec<&'static CStr> =
        unsafe { (0..argc).map(|i| CStr::from_ptr(*argv.add(i))).collect() };
    let program = words.first().copied().unwrap_or(c"luasocket");
    match options::Options::parse(&words) {
        Ok(options) if options.task.is_some() => workers::run(program, &words, &options),
        Ok(options) => session::run(program, &words, options, None),
        Err(misuse) => {
            let name = program.to_string_lossy();
            eprintln!("{name}: {misuse}\n{}", options::usage(&name));
            1
        }
    }
}

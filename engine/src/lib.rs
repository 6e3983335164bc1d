//! Sockets for programs that may wait, without Lua.
//!
//! Reading order:
//!
//! 1. [`error`]: what can go wrong, and the words LuaSocket has for it.
//! 2. [`deadline`]: from two timeouts to one limit for a call.
//! 3. [`operation`]: the shape of everything that can wait, and what drives it.
//! 4. [`buffer`], [`transport`], `flow`, [`stream`]: a byte on its way up, and down.
//! 5. [`datagram`], [`unix`], [`connect`], [`connecting`], [`resolve`], [`select`], [`kept`], [`options`]: the rest
//!    of the operations.
//! 6. [`event_loop`] and [`timers`]: many operations at once.
//! 7. [`tls`]: a session between a stream and its descriptor, and what it is told to trust.
//! 8. [`sys`]: the kernel, and nothing else, with all its differences.
//!
//! Nothing here knows Lua, and nothing above [`sys`] makes a system call.
#![deny(unsafe_code)]

pub mod address;
pub mod buffer;
mod clock;
mod closings;
pub mod connect;
pub mod connecting;
pub mod datagram;
pub mod deadline;
pub mod dns;
pub mod error;
pub mod event_loop;
mod flow;
pub mod interrupt;
pub mod kept;
pub mod operation;
pub mod options;
pub mod resolve;
pub mod select;
pub mod socket;
pub mod stream;
pub mod sys;
pub mod timers;
pub mod tls;
pub mod transport;
pub mod unix;

pub use error::{Error, Result};

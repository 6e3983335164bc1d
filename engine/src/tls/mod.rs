//! TLS, by rustls: what a session is made of, and the session itself.
//!
//! Reading order:
//!
//! 1. [`session`]: a transport over a transport, bytes in and bytes out, and
//!    [`handshake`], the operation that sets it up.
//! 2. [`context`]: what sessions are made from, and [`identity`], [`trust`],
//!    [`ciphers`], [`groups`]: its parts; [`credentials`] is how certificates and keys are read.
//! 3. [`verdict`], `climb` and `verifier`: what a peer's certificates are worth.
//! 4. [`certificate`]: what is written in one, and [`issued`]: whether it has issued another.
//! 5. `finished`: what names a session of TLS 1.2, which rustls does not tell.
//!
//! No part of it holds a descriptor or reads the monotonic clock.

pub mod certificate;
pub mod ciphers;
mod climb;
pub mod context;
pub mod credentials;
pub mod fault;
mod finished;
pub mod groups;
pub mod handshake;
pub mod identity;
pub mod issued;
mod names;
pub mod pem;
pub mod session;
pub mod trust;
mod unlock;
pub mod verdict;
mod verifier;

pub use context::Context;
pub use session::Session;

use std::sync::OnceLock;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The algorithms there are.
fn provider() -> &'static CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(aws_lc_rs::default_provider)
}

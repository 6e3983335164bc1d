//! Transfer encodings, line filters and URLs: bytes in, bytes out.
//!
//! A codec is a value. It is fed piece by piece, appends what is certain to an
//! [`Output`], and remembers the rest: how the input is cut into pieces never
//! shows in what comes out. Nothing here knows Lua, reads or writes.
//!
//! | | |
//! |---|---|
//! | [`base64`], [`quoted_printable`] | the encodings of mail |
//! | [`wrap`], [`line_end`], [`dot`] | lines: their length, their ends, their first dots |
//! | [`deflate`] | gzip and zlib |
//! | [`digest`] | MD5, SHA-256, HMAC |
//! | [`http`], [`head`] | heads of messages, read and written |
//! | [`url`], [`dot_segments`], [`percent`] | URLs: parts, paths, escapes |
//!
//! ```
//! use luasocket_codec::{Output, quoted_printable::Encoder};
//!
//! let mut out = Output::new();
//! let mut encoder = Encoder::new(b"\r\n");
//! encoder.feed("caf\u{e9} \r".as_bytes(), &mut out);
//! assert_eq!(out.as_slice(), b"caf=C3=A9");
//! assert_eq!(encoder.carry(), b" \r");
//! encoder.feed(b"\n", &mut out);
//! assert_eq!(out.as_slice(), b"caf=C3=A9=20\r\n");
//! ```
#![forbid(unsafe_code)]

pub mod base64;
mod block;
mod carry;
pub mod deflate;
pub mod digest;
pub mod dot;
pub mod dot_segments;
pub mod head;
pub mod http;
pub mod line_end;
#[cfg(any(test, feature = "fuzz"))]
mod naive;
mod output;
pub mod percent;
pub mod quoted_printable;
pub mod url;
pub mod wrap;

pub use output::Output;

//! What can go wrong, grouped by whose fault it is, and LuaSocket's words for it.

use crate::sys;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure. It owns nothing, so it can cross the boundary to Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    // The peer.
    /// The stream has ended, was reset, or the object was closed here.
    Closed,
    /// A datagram object has no working descriptor, or its peer has gone.
    Refused,
    /// A TLS session has failed; these are OpenSSL's words where it has some.
    Tls(&'static str),
    /// A line goes on beyond the bound that the caller has set.
    LineTooLong,

    // The time.
    /// The limit of the call elapsed, or the system gave a connection up.
    Timeout,

    /// A TLS object would have to wait for something to read: LuaSec's "timeout".
    WantRead,
    /// A TLS object would have to wait for room to write.
    WantWrite,

    // The system.
    /// A system call failed with this `errno`.
    Os(i32),
    /// `getaddrinfo` or `getnameinfo` failed with this `EAI_*` code.
    Resolve(i32),
    /// As [`Error::Resolve`], but shown in the system's own words.
    ResolveRaw(i32),
    /// `gethostbyname` or `gethostbyaddr` failed with this `h_errno`.
    Host(i32),
    /// `setsockopt` refused, for whatever reason.
    SetOption,
    /// `getsockopt` refused, for whatever reason.
    GetOption,
    /// A buffer of the size asked for cannot be had.
    NoMemory,

    // The caller.
    /// A Unix-domain path does not fit into the system's address field.
    PathTooLong,

    /// Another task waits for the same object in the same direction.
    Busy,

    // The process.
    /// The program that embeds us asked all waits to end (see `interrupt`).
    Interrupted,
}

impl Error {
    /// The error for `errno`, with the conditions LuaSocket has a status for.
    pub fn from_errno(errno: i32) -> Error {
        match errno {
            sys::EPIPE | sys::ECONNRESET | sys::ECONNABORTED => Error::Closed,
            sys::ETIMEDOUT => Error::Timeout,
            _ => Error::Os(errno),
        }
    }

    /// Whether a datagram call should say "refused" where a stream says "closed"
    /// for a broken pipe (`tcp.md` §7.2).
    pub(crate) fn for_datagram(errno: i32) -> Error {
        match errno {
            sys::EPIPE => Error::Refused,
            _ => Error::from_errno(errno),
        }
    }

    /// The words a Lua program sees (`tcp.md` §7). They are API.
    pub fn text(self) -> Text {
        let fixed = match self {
            Error::Closed => "closed",
            Error::Refused => "refused",
            Error::Tls(words) => words,
            Error::WantRead => "wantread",
            Error::WantWrite => "wantwrite",
            Error::LineTooLong => "line too long",
            Error::Timeout => "timeout",
            Error::Os(errno) => return os_text(errno),
            Error::Resolve(code) => return resolve_text(code),
            Error::ResolveRaw(code) => return sys::gai_strerror(code),
            Error::Host(code) => return host_text(code),
            Error::SetOption => "setsockopt failed",
            Error::GetOption => "getsockopt failed",
            Error::NoMemory => "out of memory",
            Error::PathTooLong => "path too long",
            Error::Busy => "busy",
            Error::Interrupted => "interrupted!",
        };
        Text::new(fixed.as_bytes())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.text().bytes()))
    }
}

impl std::error::Error for Error {}

/// A short message in a buffer of its own, so that it owns no heap memory.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Text::MAX],
    len: usize,
}

impl Text {
    const MAX: usize = 160;

    /// The first `Text::MAX` bytes of `bytes`.
    pub fn new(bytes: &[u8]) -> Text {
        let len = bytes.len().min(Text::MAX);
        let mut text = Text {
            bytes: [0; Text::MAX],
            len,
        };
        text.bytes[..len].copy_from_slice(&bytes[..len]);
        text
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn os_text(errno: i32) -> Text {
    let fixed = match errno {
        sys::EADDRINUSE => "address already in use",
        sys::EISCONN => "already connected",
        sys::EACCES => "permission denied",
        sys::ECONNREFUSED => "connection refused",
        _ => return sys::strerror(errno),
    };
    Text::new(fixed.as_bytes())
}

fn resolve_text(code: i32) -> Text {
    let fixed = match code {
        sys::EAI_AGAIN => "temporary failure in name resolution",
        sys::EAI_BADFLAGS => "invalid value for ai_flags",
        sys::EAI_FAIL => "non-recoverable failure in name resolution",
        sys::EAI_FAMILY => "ai_family not supported",
        sys::EAI_MEMORY => "memory allocation failure",
        sys::EAI_NONAME => "host or service not provided, or not known",
        sys::EAI_OVERFLOW => "argument buffer overflow",
        sys::EAI_SERVICE => "service not supported for socket type",
        sys::EAI_SOCKTYPE => "ai_socktype not supported",
        _ => return sys::gai_strerror(code),
    };
    Text::new(fixed.as_bytes())
}

fn host_text(code: i32) -> Text {
    match code {
        sys::HOST_NOT_FOUND => Text::new(b"host not found"),
        _ => sys::hstrerror(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(error: Error) -> String {
        error.to_string()
    }

    #[test]
    fn statuses_have_their_fixed_words() {
        assert_eq!(says(Error::from_errno(sys::ECONNRESET)), "closed");
        assert_eq!(says(Error::from_errno(sys::ETIMEDOUT)), "timeout");
        assert_eq!(
            says(Error::from_errno(sys::EADDRINUSE)),
            "address already in use"
        );
        assert_eq!(says(Error::for_datagram(sys::EPIPE)), "refused");
    }

    #[test]
    fn a_long_text_is_cut_not_refused() {
        assert_eq!(Text::new(&[b'x'; 1000]).bytes().len(), Text::MAX);
    }
}

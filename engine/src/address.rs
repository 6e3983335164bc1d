//! Internet addresses and ports as text.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{Error, Result};
use crate::sys;

/// A family of internet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Family {
    /// Not decided yet.
    #[default]
    Unspec,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// `AF_*`.
    pub fn code(self) -> i32 {
        match self {
            Family::Unspec => 0,
            Family::Inet => sys::AF_INET,
            Family::Inet6 => sys::AF_INET6,
        }
    }

    /// The family of an address.
    pub fn of(address: &SocketAddr) -> Family {
        if address.is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        }
    }

    /// The family of a descriptor.
    pub(crate) fn of_socket(fd: sys::Fd) -> Family {
        match sys::getsockname(fd).as_ref().map(sys::SockAddr::name) {
            Ok(sys::Name::Inet(address)) => Family::of(&address),
            _ => Family::Unspec,
        }
    }

    /// As `getsockname` and `getaddrinfo` call it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Unspec => "unspec",
            Family::Inet => "inet",
            Family::Inet6 => "inet6",
        }
    }

    /// Whether an address of `other` may be used with this family.
    pub fn admits(self, other: Family) -> bool {
        self == Family::Unspec || self == other
    }
}

/// The address that `host` spells in the usual notation, which needs no resolver:
/// dotted IPv4 with four decimal parts, or IPv6 without a scope. The classic
/// variants (`127.1`, `0x7f.1`, `fe80::1%eth0`) are left to the system.
pub fn literal(host: &[u8]) -> Option<IpAddr> {
    if !host.first()?.is_ascii_hexdigit() && host[0] != b':' {
        return None;
    }
    let text = std::str::from_utf8(host).ok()?;
    match text.parse::<Ipv4Addr>() {
        Ok(ip) => Some(ip.into()),
        Err(_) => text.parse::<Ipv6Addr>().ok().map(Into::into),
    }
}

/// A port, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A number.
    Port(u16),
    /// Not a number: the name of a service, perhaps.
    Name,
}

/// Reads a port. Numbers beyond 65535 are an error, the empty text is 0.
pub fn service(text: &[u8]) -> Result<Service> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Ok(Service::Name);
    }
    let digits = text.iter().map(|digit| u32::from(digit - b'0'));
    let number = digits.fold(0u32, |number, digit| {
        number.saturating_mul(10).saturating_add(digit)
    });
    match u16::try_from(number) {
        Ok(port) => Ok(Service::Port(port)),
        Err(_) => Err(Error::Resolve(sys::EAI_SERVICE)),
    }
}

/// A host address as text, in a buffer of its own.
#[derive(Clone, Copy)]
pub struct HostText {
    bytes: [u8; HostText::MAX],
    len: usize,
}

impl HostText {
    /// The longest: an IPv6 address, `%` and an interface name.
    const MAX: usize = 64;

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The numeric host of `address`, as `inet_ntop` writes it, with the interface
/// of a scoped address.
pub fn host_text(address: &SocketAddr) -> HostText {
    let mut text = HostText {
        bytes: [0; HostText::MAX],
        len: 0,
    };
    match address {
        SocketAddr::V4(v4) => write_v4(&mut text, v4.ip()),
        SocketAddr::V6(_) => match sys::getnameinfo(address, true, false, true) {
            Ok((host, _)) => text.put(host.to_bytes()),
            Err(_) => text.put(b"::"),
        },
    }
    text
}

impl HostText {
    fn put(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(HostText::MAX - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.len += len;
    }
}

/// Writing the four numbers by hand is several times faster than the formatting
/// machinery, and every `getpeername` and `receivefrom` does it.
#[inline]
fn write_v4(text: &mut HostText, ip: &Ipv4Addr) {
    let mut len = 0;
    let mut put = |byte| {
        text.bytes[len] = byte;
        len += 1;
    };
    for (i, octet) in ip.octets().into_iter().enumerate() {
        if i > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    text.len = len;
}

impl std::fmt::Debug for HostText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

/// A port as the text that the resolver takes.
pub fn port_text(port: u16) -> std::ffi::CString {
    let mut text = Vec::with_capacity(6);
    // Writing to a vector cannot fail, and digits hold no NUL.
    let _ = write!(text, "{port}");
    std::ffi::CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_notation_is_a_literal() {
        for yes in [
            "127.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "::ffff:1.2.3.4",
        ] {
            assert!(literal(yes.as_bytes()).is_some(), "{yes}");
        }
        for no in [
            "",
            "127.1",
            "01.2.3.4",
            "0x7f.1",
            "fe80::1%lo",
            "localhost",
            "1.2.3.4 ",
            "*",
        ] {
            assert!(literal(no.as_bytes()).is_none(), "{no}");
        }
    }

    #[test]
    fn ports_are_digits_up_to_65535() {
        assert_eq!(service(b"80"), Ok(Service::Port(80)));
        assert_eq!(service(b""), Ok(Service::Port(0)));
        assert_eq!(service(b"65535"), Ok(Service::Port(65535)));
        for bad in ["65536", "99999999999999999999"] {
            assert_eq!(
                service(bad.as_bytes()),
                Err(Error::Resolve(sys::EAI_SERVICE))
            );
        }
        for name in ["http", "-1", "80 ", "0x50", "80.0"] {
            assert_eq!(service(name.as_bytes()), Ok(Service::Name));
        }
    }

    #[test]
    fn v4_text_is_what_the_standard_library_writes() {
        for ip in [
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [1, 20, 255, 100],
            [10, 99, 9, 255],
        ] {
            let ip = Ipv4Addr::from(ip);
            let text = host_text(&SocketAddr::new(ip.into(), 1));
            assert_eq!(text.bytes(), ip.to_string().as_bytes());
        }
    }
}

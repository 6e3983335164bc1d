//! What `socket.dns` tells of names and addresses; all of it may block.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::address::{self, Family};
use crate::error::{Error, Result};
use crate::resolve::{self, Resolved};
use crate::sys::{self, Hints, HostEntry, PerProcess};

/// The host of that name, IPv4. A numeric address is its own host, whatever a reverse
/// look-up would say.
pub fn toip(name: &[u8]) -> Result<HostEntry> {
    match numeric_v4(name) {
        Some(ip) => Ok(HostEntry {
            name: match ip {
                Ipv4Addr::LOCALHOST => name_of_loopback(),
                _ => name_of_v4(ip),
            },
            aliases: Vec::new(),
            addresses: vec![ip],
        }),
        None => by_name(name),
    }
}

fn name_of_v4(ip: Ipv4Addr) -> CString {
    sys::gethostbyaddr(ip).map_or_else(|_| text_of(ip), |entry| entry.name)
}

/// The name of 127.0.0.1. The system reads files for it; so it is remembered for a moment.
fn name_of_loopback() -> CString {
    const MOMENT: Duration = Duration::from_secs(1);
    static KNOWN: PerProcess<Mutex<Option<(Instant, CString)>>> = PerProcess::new();
    let mut known = KNOWN.get().lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((since, name)) if since.elapsed() < MOMENT => name.clone(),
        _ => {
            let name = name_of_v4(Ipv4Addr::LOCALHOST);
            *known = Some((Instant::now(), name.clone()));
            name
        }
    }
}

/// Whether what a name stands for is known on this machine: nothing to wait for.
pub fn is_at_hand(name: &[u8]) -> bool {
    address::literal(name).is_some() || resolve::is_localhost(name)
}

/// The host of that name or numeric IPv4 address, by its official name.
pub fn tohostname(name: &[u8]) -> Result<HostEntry> {
    match numeric_v4(name) {
        Some(ip) => sys::gethostbyaddr(ip),
        None => by_name(name),
    }
}

fn by_name(name: &[u8]) -> Result<HostEntry> {
    let name = CString::new(name).map_err(|_| Error::Host(sys::HOST_NOT_FOUND))?;
    sys::gethostbyname(&name)
}

/// The IPv4 address that `name` spells in any of the classic notations. As for the
/// system's `inet_aton`, a blank ends it.
pub fn numeric_v4(name: &[u8]) -> Option<Ipv4Addr> {
    let name = name.split(u8::is_ascii_whitespace).next()?;
    if let Some(ip) = address::literal(name) {
        return match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        };
    }
    let digit = |byte: &u8| byte.is_ascii_hexdigit() || b".xX".contains(byte);
    if name.first().is_none_or(|byte| !byte.is_ascii_digit()) || !name.iter().all(digit) {
        return None;
    }
    let host = CString::new(name).ok()?;
    let hints = Hints {
        family: sys::AF_INET,
        kind: sys::SOCK_STREAM,
        passive: false,
        numeric: true,
    };
    match sys::getaddrinfo(Some(&host), None, hints)
        .ok()?
        .first()?
        .ip()
    {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

fn text_of(ip: Ipv4Addr) -> CString {
    CString::new(ip.to_string()).unwrap_or_default()
}

/// All addresses of a name, for stream sockets, in the resolver's order.
pub fn getaddrinfo(name: &[u8]) -> Result<Vec<SocketAddr>> {
    if name == b"*" {
        return Err(Error::Resolve(sys::EAI_NONAME));
    }
    match resolve::resolve(Some(name), b"", Family::Unspec, sys::SOCK_STREAM, false) {
        Resolved::Now(answer) => answer,
        Resolved::Later(query) => query.blocking(),
    }
}

/// The names of a host's addresses, and the name of a service, each if asked for.
/// An address without a name is given in numbers.
pub fn getnameinfo(
    host: Option<&[u8]>,
    service: Option<&[u8]>,
) -> Result<(Vec<CString>, Option<CString>)> {
    // As glibc has it, which takes `*` for a host only together with a service.
    if host == Some(b"*") && service.is_none() {
        return Err(Error::Resolve(sys::EAI_NONAME));
    }
    let port = service.unwrap_or(b"0");
    let found = match resolve::resolve(host, port, Family::Unspec, sys::SOCK_STREAM, false) {
        Resolved::Now(answer) => answer?,
        Resolved::Later(query) => query.blocking()?,
    };
    let names = match host {
        Some(_) => found.iter().map(name_of).collect(),
        None => Vec::new(),
    };
    let service = match (service, found.first()) {
        (Some(_), Some(first)) => Some(sys::getnameinfo(first, false, true, true)?.1),
        _ => None,
    };
    Ok((names, service))
}

fn name_of(address: &SocketAddr) -> CString {
    let named = sys::getnameinfo(address, true, false, false);
    match named.or_else(|_| sys::getnameinfo(address, true, false, true)) {
        Ok((name, _)) => name,
        Err(_) => CString::new(address::host_text(address).bytes()).unwrap_or_default(),
    }
}

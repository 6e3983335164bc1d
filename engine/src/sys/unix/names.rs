//! Names of hosts and services, from the system's resolver.

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddr};

use super::address::{SockAddr, from_v4, from_v6, in_addr};
use super::{AF_INET, AF_INET6, HOST_NOT_FOUND, Result, c_int, errno, syscall};

/// What `getaddrinfo` is asked for.
#[derive(Clone, Copy)]
pub struct Hints {
    /// `AF_*`; 0 for any.
    pub family: c_int,
    /// `SOCK_*`.
    pub kind: c_int,
    /// `AI_PASSIVE`: for binding.
    pub passive: bool,
    /// `AI_NUMERICHOST`: no look-up.
    pub numeric: bool,
}

/// `getaddrinfo(3)`; may block for as long as the system resolver needs. The error
/// is the `EAI_*` code, or `errno` where that is `EAI_SYSTEM`.
pub fn getaddrinfo(
    host: Option<&CStr>,
    service: Option<&CStr>,
    hints: Hints,
) -> std::result::Result<Vec<SocketAddr>, crate::Error> {
    // SAFETY: zero is a valid `addrinfo` for hints; strings end with NUL; the list
    // is freed once, after its last use.
    unsafe {
        let mut ask: libc::addrinfo = zeroed();
        ask.ai_family = hints.family;
        ask.ai_socktype = hints.kind;
        ask.ai_flags = if hints.passive { libc::AI_PASSIVE } else { 0 }
            | if hints.numeric {
                libc::AI_NUMERICHOST
            } else {
                0
            };
        let mut list = std::ptr::null_mut();
        let ptr = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        match libc::getaddrinfo(ptr(host), ptr(service), &ask, &mut list) {
            0 => {}
            libc::EAI_SYSTEM => return Err(crate::Error::Os(errno())),
            code => return Err(crate::Error::Resolve(code)),
        }
        let mut addresses = Vec::new();
        let mut at = list;
        while let Some(info) = at.as_ref() {
            match info.ai_family {
                AF_INET => addresses.push(from_v4(&*info.ai_addr.cast()).into()),
                AF_INET6 => addresses.push(from_v6(&*info.ai_addr.cast()).into()),
                _ => {}
            }
            at = info.ai_next;
        }
        libc::freeaddrinfo(list);
        Ok(addresses)
    }
}

/// `getnameinfo(3)`: the name of the host and of the service of `address`, each
/// only if asked for. `numeric` asks for the numeric host, without a look-up.
/// `datagram` asks for the service of datagram sockets.
pub fn getnameinfo(
    address: &SocketAddr,
    host: bool,
    service: bool,
    numeric: bool,
) -> std::result::Result<(CString, CString), crate::Error> {
    let address = SockAddr::from(address);
    let (mut host_text, mut service_text) = ([0 as c_char; 1025], [0 as c_char; 64]);
    let flags = if numeric { libc::NI_NUMERICHOST } else { 0 };
    let host_len = if host { host_text.len() } else { 0 };
    let service_len = if service { service_text.len() } else { 0 };
    // SAFETY: buffers are as long as told, and the results end with NUL.
    unsafe {
        match libc::getnameinfo(
            address.as_ptr(),
            address.len,
            host_text.as_mut_ptr(),
            host_len as _,
            service_text.as_mut_ptr(),
            service_len as _,
            flags,
        ) {
            0 => {}
            libc::EAI_SYSTEM => return Err(crate::Error::Os(errno())),
            code => return Err(crate::Error::Resolve(code)),
        }
        let own = |text: &[c_char]| CStr::from_ptr(text.as_ptr()).to_owned();
        Ok((own(&host_text), own(&service_text)))
    }
}

/// What `gethostbyname` and `gethostbyaddr` tell of a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The official name.
    pub name: CString,
    /// Other names.
    pub aliases: Vec<CString>,
    /// Its IPv4 addresses, in the resolver's order.
    pub addresses: Vec<Ipv4Addr>,
}

/// `gethostbyname_r(3)`, IPv4; may block.
#[cfg(target_os = "linux")]
pub fn gethostbyname(name: &CStr) -> std::result::Result<HostEntry, crate::Error> {
    host_entry(|entry, buffer, len, result, code| {
        // SAFETY: `host_entry` passes valid places.
        unsafe { glibc::gethostbyname_r(name.as_ptr(), entry, buffer, len, result, code) }
    })
}

/// `gethostbyaddr_r(3)`, IPv4; may block.
#[cfg(target_os = "linux")]
pub fn gethostbyaddr(ip: Ipv4Addr) -> std::result::Result<HostEntry, crate::Error> {
    let addr = in_addr(&ip);
    let at = (&raw const addr).cast::<c_void>();
    host_entry(|entry, buffer, len, result, code| {
        // SAFETY: as above; `at` points at 4 bytes.
        unsafe { glibc::gethostbyaddr_r(at, 4, AF_INET, entry, buffer, len, result, code) }
    })
}

#[cfg(target_os = "linux")]
mod glibc {
    use super::*;

    unsafe extern "C" {
        pub fn gethostbyname_r(
            name: *const c_char,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            len: usize,
            result: *mut *mut libc::hostent,
            code: *mut c_int,
        ) -> c_int;
        pub fn gethostbyaddr_r(
            address: *const c_void,
            address_len: libc::socklen_t,
            family: c_int,
            entry: *mut libc::hostent,
            buffer: *mut c_char,
            len: usize,
            result: *mut *mut libc::hostent,
            code: *mut c_int,
        ) -> c_int;
    }
}

/// Calls one of the `_r` functions with a buffer that grows until it suffices.
#[cfg(target_os = "linux")]
fn host_entry(
    call: impl Fn(*mut libc::hostent, *mut c_char, usize, *mut *mut libc::hostent, *mut c_int) -> c_int,
) -> std::result::Result<HostEntry, crate::Error> {
    // `h_errno` for "see errno".
    const NETDB_INTERNAL: c_int = -1;
    let mut buffer = vec![0 as c_char; 1024];
    loop {
        // SAFETY: zero is a valid `hostent` to be overwritten.
        let mut entry: libc::hostent = unsafe { zeroed() };
        let (mut result, mut code) = (std::ptr::null_mut(), 0);
        let failed = call(
            &mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut result,
            &mut code,
        );
        if failed == libc::ERANGE && buffer.len() < 1 << 20 {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if result.is_null() {
            return Err(match code {
                NETDB_INTERNAL => crate::Error::Os(if failed > 0 { failed } else { errno() }),
                0 => crate::Error::Host(HOST_NOT_FOUND),
                code => crate::Error::Host(code),
            });
        }
        // SAFETY: the entry and its lists lie in `buffer`, which is still there.
        return Ok(unsafe { read_host_entry(&entry) });
    }
}

/// Copies an entry out of the buffer it lies in.
///
/// # Safety
///
/// `entry` must have been filled by the resolver.
#[cfg(target_os = "linux")]
unsafe fn read_host_entry(entry: &libc::hostent) -> HostEntry {
    let mut host = HostEntry::default();
    // SAFETY: lists end with a null pointer, names with NUL, addresses of
    // `AF_INET` have 4 bytes.
    unsafe {
        if !entry.h_name.is_null() {
            host.name = CStr::from_ptr(entry.h_name).to_owned();
        }
        let mut at = entry.h_aliases;
        while !at.is_null() && !(*at).is_null() {
            host.aliases.push(CStr::from_ptr(*at).to_owned());
            at = at.add(1);
        }
        let mut at = entry.h_addr_list;
        while entry.h_addrtype == AF_INET && !at.is_null() && !(*at).is_null() {
            host.addresses
                .push(Ipv4Addr::from(*(*at).cast::<[u8; 4]>()));
            at = at.add(1);
        }
    }
    host
}

/// `gethostname(2)`.
pub fn gethostname() -> Result<CString> {
    let mut name = [0 as c_char; 257];
    syscall!(gethostname(name.as_mut_ptr(), name.len() - 1))?;
    // SAFETY: the last byte is left NUL.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_owned())
}

/// `if_nametoindex(3)`; 0 if there is no such interface.
pub fn if_nametoindex(name: &CStr) -> u32 {
    // SAFETY: the name ends with NUL.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

//! Names of socket options, as (level, option), and the structures some take.
//! Sorted by their name in C.

use std::net::{Ipv4Addr, Ipv6Addr};

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};

type Name = (i32, i32);

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use self::linux::*;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::*;

    pub const IPV6_ADD_MEMBERSHIP: Name = (IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP);
    pub const IPV6_DROP_MEMBERSHIP: Name = (IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP);
    pub const SO_BINDTODEVICE: Name = (SOL_SOCKET, libc::SO_BINDTODEVICE);
    pub const TCP_DEFER_ACCEPT: Name = (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
    pub const TCP_FASTOPEN: Name = (IPPROTO_TCP, libc::TCP_FASTOPEN);
    pub const TCP_FASTOPEN_CONNECT: Name = (IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT);
    pub const TCP_KEEPIDLE: Name = (IPPROTO_TCP, libc::TCP_KEEPIDLE);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use self::bsd::*;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod bsd {
    use super::*;

    pub const IPV6_ADD_MEMBERSHIP: Name = (IPPROTO_IPV6, libc::IPV6_JOIN_GROUP);
    pub const IPV6_DROP_MEMBERSHIP: Name = (IPPROTO_IPV6, libc::IPV6_LEAVE_GROUP);
    #[cfg(target_vendor = "apple")]
    pub const TCP_KEEPIDLE: Name = (IPPROTO_TCP, libc::TCP_KEEPALIVE);
    #[cfg(not(target_vendor = "apple"))]
    pub const TCP_KEEPIDLE: Name = (IPPROTO_TCP, libc::TCP_KEEPIDLE);
}

pub const IPV6_MULTICAST_HOPS: Name = (IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS);
pub const IPV6_MULTICAST_LOOP: Name = (IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP);
pub const IPV6_UNICAST_HOPS: Name = (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
pub const IPV6_V6ONLY: Name = (IPPROTO_IPV6, libc::IPV6_V6ONLY);
pub const IP_ADD_MEMBERSHIP: Name = (IPPROTO_IP, libc::IP_ADD_MEMBERSHIP);
pub const IP_DROP_MEMBERSHIP: Name = (IPPROTO_IP, libc::IP_DROP_MEMBERSHIP);
pub const IP_MULTICAST_IF: Name = (IPPROTO_IP, libc::IP_MULTICAST_IF);
pub const IP_MULTICAST_LOOP: Name = (IPPROTO_IP, libc::IP_MULTICAST_LOOP);
pub const IP_MULTICAST_TTL: Name = (IPPROTO_IP, libc::IP_MULTICAST_TTL);
pub const SO_BROADCAST: Name = (SOL_SOCKET, libc::SO_BROADCAST);
pub const SO_DONTROUTE: Name = (SOL_SOCKET, libc::SO_DONTROUTE);
pub const SO_ERROR: Name = (SOL_SOCKET, libc::SO_ERROR);
pub const SO_KEEPALIVE: Name = (SOL_SOCKET, libc::SO_KEEPALIVE);
pub const SO_LINGER: Name = (SOL_SOCKET, libc::SO_LINGER);
pub const SO_RCVBUF: Name = (SOL_SOCKET, libc::SO_RCVBUF);
pub const SO_RCVLOWAT: Name = (SOL_SOCKET, libc::SO_RCVLOWAT);
pub const SO_REUSEADDR: Name = (SOL_SOCKET, libc::SO_REUSEADDR);
pub const SO_REUSEPORT: Name = (SOL_SOCKET, libc::SO_REUSEPORT);
pub const SO_SNDBUF: Name = (SOL_SOCKET, libc::SO_SNDBUF);
pub const TCP_KEEPCNT: Name = (IPPROTO_TCP, libc::TCP_KEEPCNT);
pub const TCP_KEEPINTVL: Name = (IPPROTO_TCP, libc::TCP_KEEPINTVL);
pub const TCP_NODELAY: Name = (IPPROTO_TCP, libc::TCP_NODELAY);

/// `struct linger`.
pub fn linger(on: bool, seconds: i32) -> libc::linger {
    libc::linger {
        l_onoff: on.into(),
        l_linger: seconds,
    }
}

/// A `struct linger` in words.
pub fn from_linger(linger: libc::linger) -> (bool, i32) {
    (linger.l_onoff != 0, linger.l_linger)
}

/// A `struct in_addr` in words.
pub fn from_in_addr(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be(address.s_addr))
}

/// `struct ip_mreq`.
pub fn ip_mreq(group: &Ipv4Addr, interface: &Ipv4Addr) -> libc::ip_mreq {
    libc::ip_mreq {
        imr_multiaddr: super::in_addr(group),
        imr_interface: super::in_addr(interface),
    }
}

/// `struct ipv6_mreq`.
pub fn ipv6_mreq(group: &Ipv6Addr, interface: u32) -> libc::ipv6_mreq {
    libc::ipv6_mreq {
        ipv6mr_multiaddr: super::in6_addr(group),
        ipv6mr_interface: interface as _,
    }
}

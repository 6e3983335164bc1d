//! Socket options: their names in Lua, their names in C, and their values.
//!
//! One table, [`OPTIONS`], says for each option which objects have it and how its
//! value is made. Checking a Lua value against a [`Kind`] is the binding's task.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Result};
use crate::sys::{self, Fd, opt};

/// An option.
pub struct SocketOption {
    /// Its name in Lua.
    pub name: &'static str,
    level: i32,
    code: i32,
    /// How its value looks.
    pub kind: Kind,
    /// Which objects can set it: a set of [`TCP`], [`UDP`], ….
    pub set: u8,
    /// Which objects can get it.
    pub get: u8,
}

/// TCP objects, in [`SocketOption::set`] and [`SocketOption::get`].
pub const TCP: u8 = 1;
/// UDP objects.
pub const UDP: u8 = 2;
/// Unix-domain stream objects.
pub const UNIX_STREAM: u8 = 4;
/// Unix-domain datagram objects.
pub const UNIX_DGRAM: u8 = 8;

/// How the value of an option looks in Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A number; booleans are taken for 0 and 1.
    Switch,
    /// `{on = boolean, timeout = seconds}`.
    Linger,
    /// The name of an interface, at most [`Device::MAX`] bytes.
    Device,
    /// An IPv4 address, or `*` for the default.
    Address,
    /// `{multiaddr = ip, interface = ip or "*"}`.
    Membership,
    /// `{multiaddr = ip6, interface = index}`.
    Membership6,
    /// The pending error; can only be read.
    Pending,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// For [`Kind::Boolean`].
    Boolean(bool),
    /// For [`Kind::Number`] and [`Kind::Switch`].
    Number(i32),
    /// For [`Kind::Linger`].
    Linger {
        /// Whether `close` lingers.
        on: bool,
        /// For how many seconds.
        timeout: i32,
    },
    /// For [`Kind::Device`].
    Device(Device),
    /// For [`Kind::Address`].
    Address(Ipv4Addr),
    /// For [`Kind::Membership`].
    Membership {
        /// The group.
        group: Ipv4Addr,
        /// Address of the interface, or unspecified.
        interface: Ipv4Addr,
    },
    /// For [`Kind::Membership6`].
    Membership6 {
        /// The group.
        group: Ipv6Addr,
        /// Index of the interface, or 0.
        interface: u32,
    },
    /// For [`Kind::Pending`].
    Pending(Option<Error>),
}

/// The name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    bytes: [u8; Device::MAX],
    len: u8,
}

impl Device {
    /// `IFNAMSIZ`, less the final NUL.
    pub const MAX: usize = 15;

    /// `name`; if it is too long or contains a NUL, as no interface's does, another
    /// that no interface has, for the system to refuse.
    pub fn new(name: &[u8]) -> Device {
        if name.len() > Device::MAX || name.contains(&0) {
            return Device::new(b"/");
        }
        let mut device = Device {
            bytes: [0; Device::MAX],
            len: name.len() as u8,
        };
        device.bytes[..name.len()].copy_from_slice(name);
        device
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

const fn option(
    name: &'static str,
    (level, code): (i32, i32),
    kind: Kind,
    set: u8,
    get: u8,
) -> SocketOption {
    SocketOption {
        name,
        level,
        code,
        kind,
        set,
        get,
    }
}

const INET: u8 = TCP | UDP;

/// All options, sorted by their name in C.
pub const OPTIONS: &[SocketOption] = &[
    option(
        "ipv6-add-membership",
        opt::IPV6_ADD_MEMBERSHIP,
        Kind::Membership6,
        UDP,
        0,
    ),
    option(
        "ipv6-drop-membership",
        opt::IPV6_DROP_MEMBERSHIP,
        Kind::Membership6,
        UDP,
        0,
    ),
    option(
        "ipv6-multicast-hops",
        opt::IPV6_MULTICAST_HOPS,
        Kind::Number,
        UDP,
        UDP,
    ),
    option(
        "ipv6-multicast-loop",
        opt::IPV6_MULTICAST_LOOP,
        Kind::Boolean,
        UDP,
        UDP,
    ),
    option(
        "ipv6-unicast-hops",
        opt::IPV6_UNICAST_HOPS,
        Kind::Number,
        UDP,
        UDP,
    ),
    option("ipv6-v6only", opt::IPV6_V6ONLY, Kind::Boolean, INET, INET),
    option(
        "ip-add-membership",
        opt::IP_ADD_MEMBERSHIP,
        Kind::Membership,
        UDP,
        0,
    ),
    option(
        "ip-drop-membership",
        opt::IP_DROP_MEMBERSHIP,
        Kind::Membership,
        UDP,
        0,
    ),
    option(
        "ip-multicast-if",
        opt::IP_MULTICAST_IF,
        Kind::Address,
        UDP,
        UDP,
    ),
    option(
        "ip-multicast-loop",
        opt::IP_MULTICAST_LOOP,
        Kind::Boolean,
        UDP,
        UDP,
    ),
    option(
        "ip-multicast-ttl",
        opt::IP_MULTICAST_TTL,
        Kind::Number,
        UDP,
        UDP,
    ),
    #[cfg(target_os = "linux")]
    option("bindtodevice", opt::SO_BINDTODEVICE, Kind::Device, TCP, TCP),
    option("broadcast", opt::SO_BROADCAST, Kind::Boolean, UDP, UDP),
    option("dontroute", opt::SO_DONTROUTE, Kind::Boolean, UDP, UDP),
    option(
        "error",
        opt::SO_ERROR,
        Kind::Pending,
        0,
        INET | UNIX_STREAM | UNIX_DGRAM,
    ),
    option(
        "keepalive",
        opt::SO_KEEPALIVE,
        Kind::Boolean,
        TCP | UNIX_STREAM,
        TCP | UNIX_STREAM,
    ),
    option(
        "linger",
        opt::SO_LINGER,
        Kind::Linger,
        TCP | UNIX_STREAM,
        TCP | UNIX_STREAM,
    ),
    option("recv-buffer-size", opt::SO_RCVBUF, Kind::Number, INET, INET),
    option("reuseaddr", opt::SO_REUSEADDR, Kind::Boolean, EVERY, EVERY),
    option("reuseport", opt::SO_REUSEPORT, Kind::Boolean, INET, INET),
    option("send-buffer-size", opt::SO_SNDBUF, Kind::Number, INET, INET),
    #[cfg(target_os = "linux")]
    option(
        "tcp-defer-accept",
        opt::TCP_DEFER_ACCEPT,
        Kind::Number,
        TCP,
        TCP,
    ),
    #[cfg(target_os = "linux")]
    option("tcp-fastopen", opt::TCP_FASTOPEN, Kind::Number, TCP, TCP),
    #[cfg(target_os = "linux")]
    option(
        "tcp-fastopen-connect",
        opt::TCP_FASTOPEN_CONNECT,
        Kind::Switch,
        TCP,
        TCP,
    ),
    option("tcp-keepcnt", opt::TCP_KEEPCNT, Kind::Number, TCP, TCP),
    option("tcp-keepidle", opt::TCP_KEEPIDLE, Kind::Number, TCP, TCP),
    option("tcp-keepintvl", opt::TCP_KEEPINTVL, Kind::Number, TCP, TCP),
    option("tcp-nodelay", opt::TCP_NODELAY, Kind::Boolean, TCP, TCP),
];

const EVERY: u8 = TCP | UDP | UNIX_STREAM | UNIX_DGRAM;

/// The option of that name, if objects of the class in `class` ([`TCP`], …) can
/// set it.
pub fn settable(name: &[u8], class: u8) -> Option<&'static SocketOption> {
    OPTIONS
        .iter()
        .find(|option| option.name.as_bytes() == name && option.set & class != 0)
}

/// The option of that name, if objects of the class in `class` can get it.
pub fn gettable(name: &[u8], class: u8) -> Option<&'static SocketOption> {
    OPTIONS
        .iter()
        .find(|option| option.name.as_bytes() == name && option.get & class != 0)
}

impl SocketOption {
    /// Sets it on `fd`. Every refusal of the system is [`Error::SetOption`].
    pub fn set(&self, fd: Fd, value: Value) -> Result<()> {
        let (level, code) = (self.level, self.code);
        match value {
            Value::Boolean(on) => sys::setsockopt(fd, level, code, &i32::from(on)),
            Value::Number(number) => sys::setsockopt(fd, level, code, &number),
            Value::Linger { on, timeout } => {
                sys::setsockopt(fd, level, code, &opt::linger(on, timeout))
            }
            Value::Device(device) => sys::setsockopt_bytes(fd, level, code, device.name()),
            Value::Address(ip) => sys::setsockopt(fd, level, code, &sys::in_addr(&ip)),
            Value::Membership { group, interface } => {
                sys::setsockopt(fd, level, code, &opt::ip_mreq(&group, &interface))
            }
            Value::Membership6 { group, interface } => {
                sys::setsockopt(fd, level, code, &opt::ipv6_mreq(&group, interface))
            }
            Value::Pending(_) => Err(sys::EINVAL),
        }
        .map_err(|_| Error::SetOption)
    }

    /// Gets it from `fd`. Every refusal of the system is [`Error::GetOption`].
    pub fn get(&self, fd: Fd) -> Result<Value> {
        let (level, code) = (self.level, self.code);
        let number = || sys::getsockopt::<i32>(fd, level, code);
        let value = match self.kind {
            Kind::Boolean => number().map(|number| Value::Boolean(number != 0)),
            Kind::Number | Kind::Switch => number().map(Value::Number),
            Kind::Linger => sys::getsockopt(fd, level, code).map(|linger| {
                let (on, timeout) = opt::from_linger(linger);
                Value::Linger { on, timeout }
            }),
            Kind::Device => device(fd, level, code).map(Value::Device),
            Kind::Address => sys::getsockopt(fd, level, code)
                .map(|address| Value::Address(opt::from_in_addr(address))),
            Kind::Pending => {
                number().map(|errno| Value::Pending((errno != 0).then(|| Error::from_errno(errno))))
            }
            Kind::Membership | Kind::Membership6 => Err(sys::EINVAL),
        };
        value.map_err(|_| Error::GetOption)
    }
}

fn device(fd: Fd, level: i32, code: i32) -> sys::Result<Device> {
    let mut name = [0; Device::MAX + 1];
    let len = sys::getsockopt_bytes(fd, level, code, &mut name)?;
    let name = &name[..len.min(name.len())];
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    Ok(Device::new(&name[..end]))
}

/// Sets `ipv6-v6only`.
pub(crate) fn set_v6only(fd: Fd, on: bool) -> sys::Result<()> {
    let (level, code) = opt::IPV6_V6ONLY;
    sys::setsockopt(fd, level, code, &i32::from(on))
}

/// Options that were set on an object, to be set again on each new descriptor of
/// it: before the first one exists, and when a connect tries further addresses.
#[derive(Default)]
#[allow(clippy::box_collection)] // one word in each of thousands of idle objects
pub struct Remembered(Option<Box<Vec<(&'static SocketOption, Value)>>>);

impl Remembered {
    /// Nothing, without memory.
    pub const fn new() -> Remembered {
        Remembered(None)
    }

    /// Keeps `value` for `option`, in place of an earlier one. Memberships add up.
    pub fn keep(&mut self, option: &'static SocketOption, value: Value) {
        let kept = self.0.get_or_insert_default();
        if !matches!(option.kind, Kind::Membership | Kind::Membership6) {
            kept.retain(|(other, _)| !std::ptr::eq(*other, option));
        }
        kept.push((option, value));
    }

    /// Sets all of them on `fd`. One that the system refuses is left out: an
    /// option of one family does not fit the other.
    pub fn apply(&self, fd: Fd) {
        for (option, value) in self.0.iter().flat_map(|kept| kept.iter()) {
            let _ = option.set(fd, *value);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_belongs_to_classes() {
        assert!(settable(b"tcp-nodelay", TCP).is_some());
        assert!(settable(b"tcp-nodelay", UDP).is_none());
        assert!(settable(b"error", TCP).is_none());
        assert!(gettable(b"error", TCP).is_some());
        assert!(settable(b"nonsense", TCP).is_none());
    }

    #[test]
    fn what_is_set_can_be_read_back() {
        let fd = sys::socket(sys::AF_INET, sys::SOCK_STREAM).unwrap();
        for (name, value) in [
            ("keepalive", Value::Boolean(true)),
            ("tcp-nodelay", Value::Boolean(true)),
            (
                "linger",
                Value::Linger {
                    on: true,
                    timeout: 7,
                },
            ),
            ("tcp-keepidle", Value::Number(42)),
        ] {
            settable(name.as_bytes(), TCP)
                .unwrap()
                .set(fd, value)
                .unwrap();
            assert_eq!(
                gettable(name.as_bytes(), TCP).unwrap().get(fd),
                Ok(value),
                "{name}"
            );
        }
        sys::close(fd);
    }

    #[test]
    fn a_refusal_is_one_error() {
        let option = settable(b"keepalive", TCP).unwrap();
        assert_eq!(
            option.set(sys::INVALID, Value::Boolean(true)),
            Err(Error::SetOption)
        );
        assert_eq!(option.get(sys::INVALID), Err(Error::GetOption));
    }
}

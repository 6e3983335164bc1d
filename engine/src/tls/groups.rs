//! Groups for the key exchange, by OpenSSL's names.

use rustls::NamedGroup;
use rustls::crypto::{SupportedKxGroup, aws_lc_rs::kx_group};

/// Names of groups there are.
pub static NAMES: &[&str] = &[
    "P-256",
    "P-384",
    "X25519",
    "X25519MLKEM768",
    "prime256v1",
    "secp256r1",
    "secp384r1",
];

/// Some that OpenSSL has and we have not.
static MISSING: &[&str] = &[
    "P-521",
    "secp521r1",
    "X448",
    "P-224",
    "secp224r1",
    "secp256k1",
    "P-192",
    "prime192v1",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
    "brainpoolP256t1",
    "brainpoolP384t1",
    "brainpoolP512t1",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "ffdhe8192",
    "sect571r1",
    "sect571k1",
    "sect409r1",
    "sect409k1",
    "sect283r1",
    "sect283k1",
];

/// What a name stands for.
pub enum Found {
    /// A group that there is.
    Group(&'static dyn SupportedKxGroup),
    /// A group that exists, but not here.
    Missing,
    /// Nothing.
    Unknown,
}

/// Finds a group.
pub fn find(name: &str) -> Found {
    Found::Group(match name {
        "P-256" | "prime256v1" | "secp256r1" => kx_group::SECP256R1,
        "P-384" | "secp384r1" => kx_group::SECP384R1,
        "X25519" => kx_group::X25519,
        "X25519MLKEM768" => kx_group::X25519MLKEM768,
        name if MISSING.contains(&name) => return Found::Missing,
        _ => return Found::Unknown,
    })
}

/// The groups in a list with colons. An error quotes the whole list.
pub fn list(names: &str) -> Result<Vec<&'static dyn SupportedKxGroup>, String> {
    let unknown = || format!("unknown elliptic curve in \"{names}\"");
    let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in names.split(':') {
        match find(name) {
            Found::Group(group) if has(&groups, group.name()) => {}
            Found::Group(group) => groups.push(group),
            Found::Missing => {}
            Found::Unknown => return Err(unknown()),
        }
    }
    match groups.is_empty() {
        true => Err(format!("elliptic curve '{names}' not supported")),
        false => Ok(groups),
    }
}

fn has(groups: &[&'static dyn SupportedKxGroup], name: NamedGroup) -> bool {
    groups.iter().any(|group| group.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_order_and_skip_what_is_missing() {
        let groups = list("P-384:X448:X25519:secp384r1").unwrap();
        let names: Vec<_> = groups.iter().map(|group| group.name()).collect();
        assert_eq!(names, [NamedGroup::secp384r1, NamedGroup::X25519]);
        assert!(list("X448").is_err());
        assert!(list("").is_err());
        assert!(list("auto").unwrap_err().contains("unknown elliptic curve"));
    }

    #[test]
    fn all_names_exist() {
        for name in NAMES {
            assert!(matches!(find(name), Found::Group(_)), "{name}");
        }
    }
}

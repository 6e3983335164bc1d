//! OpenSSL's language for lists of cipher suites, over the suites there are.

use rustls::{CipherSuite, SupportedCipherSuite};

/// A suite of TLS 1.2, as OpenSSL sees it.
struct Suite {
    name: &'static str,
    suite: CipherSuite,
    ecdsa: bool,
    bits: u32,
    chacha: bool,
}

const fn suite(
    name: &'static str,
    suite: CipherSuite,
    ecdsa: bool,
    bits: u32,
    chacha: bool,
) -> Suite {
    Suite {
        name,
        suite,
        ecdsa,
        bits,
        chacha,
    }
}

/// The suites of TLS 1.2, in OpenSSL's order.
static TLS12: [Suite; 6] = [
    suite(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        true,
        256,
        false,
    ),
    suite(
        "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        false,
        256,
        false,
    ),
    suite(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        true,
        256,
        true,
    ),
    suite(
        "ECDHE-RSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        false,
        256,
        true,
    ),
    suite(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        true,
        128,
        false,
    ),
    suite(
        "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        false,
        128,
        false,
    ),
];

/// The suites of TLS 1.3, in OpenSSL's order.
static TLS13: [(&str, CipherSuite); 3] = [
    (
        "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ),
];

/// What a suite is, in OpenSSL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The suite.
    pub name: &'static str,
    /// The key exchange.
    pub key: &'static str,
    /// Whose signature proves the server's identity.
    pub authentication: &'static str,
    /// The cipher, with its bits.
    pub encryption: &'static str,
    /// Its bits.
    pub bits: u32,
}

/// Describes `suite`.
pub fn describe(suite: CipherSuite) -> Option<Description> {
    if let Some(known) = TLS12.iter().find(|known| known.suite == suite) {
        return Some(Description {
            name: known.name,
            key: "ECDH",
            authentication: if known.ecdsa { "ECDSA" } else { "RSA" },
            encryption: encryption(known.chacha, known.bits),
            bits: known.bits,
        });
    }
    let (name, _) = TLS13.iter().find(|known| known.1 == suite)?;
    let bits = if name.contains("AES_128") { 128 } else { 256 };
    Some(Description {
        name,
        key: "any",
        authentication: "any",
        encryption: encryption(name.contains("CHACHA"), bits),
        bits,
    })
}

fn encryption(chacha: bool, bits: u32) -> &'static str {
    match (chacha, bits) {
        (true, _) => "CHACHA20/POLY1305(256)",
        (false, 128) => "AESGCM(128)",
        (false, _) => "AESGCM(256)",
    }
}

/// The suites of TLS 1.2 that `list` picks, in its order; `None` if it picks none.
pub fn tls12(list: &str) -> Option<Vec<CipherSuite>> {
    let mut picked: Vec<&'static Suite> = Vec::new();
    let mut banned: Vec<CipherSuite> = Vec::new();
    for word in list
        .split([':', ',', ';', ' '])
        .filter(|word| !word.is_empty())
    {
        if let Some(command) = word.strip_prefix('@') {
            if command == "STRENGTH" {
                picked.sort_by_key(|suite| std::cmp::Reverse(suite.bits));
            }
        } else if let Some(word) = word.strip_prefix('!') {
            banned.extend(matching(word).map(|suite| suite.suite));
            picked.retain(|suite| !banned.contains(&suite.suite));
        } else if let Some(word) = word.strip_prefix('-') {
            picked.retain(|suite| !matches(word, suite));
        } else if let Some(word) = word.strip_prefix('+') {
            picked.sort_by_key(|suite| matches(word, suite));
        } else {
            for suite in matching(word) {
                let known = picked.iter().any(|has| has.suite == suite.suite);
                if !known && !banned.contains(&suite.suite) {
                    picked.push(suite);
                }
            }
        }
    }
    (!picked.is_empty()).then(|| picked.iter().map(|suite| suite.suite).collect())
}

fn matching(word: &str) -> impl Iterator<Item = &'static Suite> {
    TLS12.iter().filter(move |suite| matches(word, suite))
}

fn matches(word: &str, suite: &Suite) -> bool {
    word.split('+').all(|part| match part {
        "ALL" | "DEFAULT" | "HIGH" | "kEECDH" | "kECDHE" | "EECDH" | "ECDHE" | "ECDH"
        | "TLSv1.2" => true,
        "aRSA" => !suite.ecdsa,
        "aECDSA" | "ECDSA" => suite.ecdsa,
        "AESGCM" | "AES" | "FIPS" => !suite.chacha,
        "AES128" => suite.bits == 128,
        "AES256" => suite.bits == 256 && !suite.chacha,
        "CHACHA20" => suite.chacha,
        "SUITEB128" => suite.ecdsa && !suite.chacha,
        "SUITEB192" => suite.ecdsa && !suite.chacha && suite.bits == 256,
        name => name == suite.name,
    })
}

/// The suites of TLS 1.3 that `list` names, in its order; `None` if it names something,
/// but none that there is.
pub fn tls13(list: &str) -> Option<Vec<CipherSuite>> {
    let mut words = list.split(':').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Some(Vec::new());
    }
    let known = |word: &str| {
        TLS13
            .iter()
            .find(|suite| suite.0 == word)
            .map(|suite| suite.1)
    };
    let found: Vec<CipherSuite> = words.filter_map(known).collect();
    (!found.is_empty()).then_some(found)
}

/// What is used when nobody says anything: OpenSSL's order.
pub fn default_order() -> (Vec<CipherSuite>, Vec<CipherSuite>) {
    (
        TLS12.iter().map(|suite| suite.suite).collect(),
        TLS13.iter().map(|suite| suite.1).collect(),
    )
}

/// The implementations of `suites`, in that order.
pub fn supported(suites: &[CipherSuite]) -> Vec<SupportedCipherSuite> {
    let all = &super::provider().cipher_suites;
    let find = |suite: &CipherSuite| all.iter().find(|has| has.suite() == *suite).copied();
    suites.iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let picked = tls12(list).unwrap_or_default();
        picked
            .into_iter()
            .map(|suite| describe(suite).unwrap().name)
            .collect()
    }

    #[test]
    fn words_pick_and_order() {
        assert_eq!(names("HIGH").len(), 6);
        assert_eq!(
            names("HIGH+aRSA:!CHACHA20"),
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            names("ECDHE+AES128:ALL:!aECDSA")[0],
            "ECDHE-RSA-AES128-GCM-SHA256"
        );
        assert_eq!(
            names("AES:+AES256").last(),
            Some(&"ECDHE-RSA-AES256-GCM-SHA384")
        );
        assert_eq!(
            names("AES128:AES256:@STRENGTH")[0],
            "ECDHE-ECDSA-AES256-GCM-SHA384"
        );
        assert_eq!(
            names("HIGH+kEECDH:HIGH+kEDH:HIGH:!PSK:!SRP:!3DES:!aNULL").len(),
            6
        );
    }

    #[test]
    fn nothing_is_nothing() {
        for list in [
            "",
            "RC4",
            "EDH+AESGCM",
            "AES128-SHA",
            "ALL:!ALL",
            "TLS_AES_128_GCM_SHA256",
        ] {
            assert!(tls12(list).is_none(), "{list}");
        }
    }

    #[test]
    fn every_suite_of_the_provider_has_a_name() {
        for suite in &crate::tls::provider().cipher_suites {
            assert!(describe(suite.suite()).is_some(), "{suite:?}");
        }
    }

    #[test]
    fn tls13_names() {
        assert_eq!(tls13(""), Some(Vec::new()));
        assert_eq!(tls13("x:TLS_AES_128_GCM_SHA256").unwrap().len(), 1);
        assert_eq!(tls13("x"), None);
    }
}

//! Who we are: certificates and their keys.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CipherSuite, Error, InconsistentKeys, NamedGroup, SignatureAlgorithm, SignatureScheme,
    SupportedCipherSuite,
};

use super::climb::{is_signed, parse};
use super::trust::Store;

/// A certificate with its key, as soon as both are there.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// The certificate and those that lead to its root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: Option<Arc<dyn SigningKey>>,
}

impl Pair {
    /// Whether it can be used.
    pub fn is_whole(&self) -> bool {
        !self.chain.is_empty() && self.key.is_some()
    }

    /// Whether the key belongs to the certificate; yes as long as one is missing.
    pub fn matches(&self) -> bool {
        match self.certified() {
            None => true,
            Some(certified) => !matches!(
                certified.keys_match(),
                Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))
            ),
        }
    }

    /// With what stands between its certificate and a root, if that was not said but lies in
    /// `stores`: so does OpenSSL.
    fn completed(&self, stores: &[Arc<Store>]) -> Pair {
        let mut pair = self.clone();
        if let [leaf] = &self.chain[..] {
            pair.chain.extend(above(leaf, stores));
        }
        pair
    }

    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        let key = self.key.clone()?;
        (!self.chain.is_empty()).then(|| Arc::new(CertifiedKey::new(self.chain.clone(), key)))
    }
}

/// Those that lead up from `leaf`, without the root.
fn above(leaf: &CertificateDer<'_>, stores: &[Arc<Store>]) -> Vec<CertificateDer<'static>> {
    const MOST: usize = 10;

    let known: Vec<_> = stores
        .iter()
        .flat_map(|store| &store.certificates)
        .filter_map(|certificate| Some((certificate, parse(certificate)?)))
        .filter(|(_, parsed)| parsed.subject != parsed.issuer)
        .collect();
    let mut chain = Vec::new();
    let mut last = parse(leaf);
    while let Some(lower) = last.take()
        && chain.len() < MOST
    {
        let issuer = known
            .iter()
            .find(|(_, upper)| upper.subject == lower.issuer && is_signed(&lower, upper));
        if let Some((certificate, parsed)) = issuer {
            chain.push((*certificate).clone());
            last = Some(parsed.clone());
        }
    }
    chain
}

/// All our certificates.
#[derive(Debug, Default)]
pub struct Identities(Vec<Arc<CertifiedKey>>);

impl Identities {
    /// Those of the pairs that are whole; what leads up from them may lie in `stores`.
    pub fn new(pairs: &[Pair], stores: &[Arc<Store>]) -> Identities {
        let certified = |pair: &Pair| pair.completed(stores).certified();
        Identities(pairs.iter().filter_map(certified).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first one.
    pub fn first(&self) -> Option<&Arc<CertifiedKey>> {
        self.0.first()
    }

    /// The first one that can sign in one of the ways and suits one of the older suites
    /// that a client offers, if it offers some: it may offer RSA signatures, but only
    /// suites with ECDSA, or these, but not the curve of our key. Else the first one that
    /// can sign.
    pub fn choose(
        &self,
        hello: &ClientHello<'_>,
        provider: &CryptoProvider,
    ) -> Option<&Arc<CertifiedKey>> {
        let (schemes, suites) = (hello.signature_schemes(), hello.cipher_suites());
        let signs = |own: &&Arc<CertifiedKey>| own.key.choose_scheme(schemes).is_some();
        let suited = |own: &&Arc<CertifiedKey>| {
            suits(own.key.algorithm(), suites, provider)
                && has_curve(&*own.key, hello.named_groups())
        };
        let mut able = self.0.iter().filter(signs);
        able.clone().find(suited).or_else(|| able.next())
    }
}

/// Whether the curve of `key`, if it has one, is among the groups that a client knows. By
/// TLS 1.3 these are for other things; then another key that suits is as good.
fn has_curve(key: &dyn SigningKey, groups: Option<&[NamedGroup]>) -> bool {
    const CURVES: [(SignatureScheme, NamedGroup); 3] = [
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            NamedGroup::secp256r1,
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            NamedGroup::secp384r1,
        ),
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            NamedGroup::secp521r1,
        ),
    ];
    let curve = CURVES
        .iter()
        .find(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some());
    match (curve, groups) {
        (Some((_, curve)), Some(groups)) => groups.contains(curve),
        _ => true,
    }
}

fn suits(kind: SignatureAlgorithm, suites: &[CipherSuite], provider: &CryptoProvider) -> bool {
    provider.cipher_suites.iter().any(|own| match own {
        SupportedCipherSuite::Tls13(_) => false,
        SupportedCipherSuite::Tls12(own) => {
            suites.contains(&own.common.suite)
                && own.sign.iter().any(|scheme| scheme.algorithm() == kind)
        }
    })
}

trait Algorithm {
    fn algorithm(&self) -> SignatureAlgorithm;
}

impl Algorithm for SignatureScheme {
    /// Which kind of key makes such a signature.
    fn algorithm(&self) -> SignatureAlgorithm {
        match self {
            SignatureScheme::ED25519 => SignatureAlgorithm::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512
            | SignatureScheme::ECDSA_SHA1_Legacy => SignatureAlgorithm::ECDSA,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

/// Picks a certificate for a client, from some that are there.
#[derive(Debug)]
pub struct Resolver {
    /// What there is.
    pub identities: Arc<Identities>,
    /// The suites that may be used.
    pub provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.identities.choose(&hello, &self.provider).cloned()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fitting =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        self.identities.0.iter().find(fitting).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.identities.is_empty()
    }
}

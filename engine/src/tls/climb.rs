//! Chains of certificates that webpki does not take as a peer's own: those of version 1,
//! which small authorities at home still make, and those of authorities.
//!
//! The rules of RFC 5280 that matter there, from the bottom to the top. What is not
//! understood here refuses the chain.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{Error, KeyUsage, RequiredEkuNotFoundContext};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS as BASIC_CONSTRAINTS, OID_X509_EXT_CERTIFICATE_POLICIES,
    OID_X509_EXT_EXTENDED_KEY_USAGE as EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE as KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME as SUBJECT_ALT_NAME,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::trust::Store;

/// A way up from a peer's certificate to one that is trusted.
pub struct Climb<'a> {
    /// Whom we trust.
    pub store: &'a Store,
    /// What may stand between.
    pub between: &'a [CertificateDer<'a>],
    /// How many of these at most.
    pub depth: usize,
    /// What the peer is judged as.
    pub client: bool,
    /// When.
    pub now: UnixTime,
    /// How many signatures may still be looked at.
    pub tries: usize,
}

/// What a peer can make us look at.
pub const TRIES: usize = 64;

impl Climb<'_> {
    /// Whether there is a way up from `leaf`.
    pub fn from(&mut self, leaf: &X509Certificate<'_>) -> Result<(), Error> {
        self.suits(leaf)?;
        self.up(leaf, 0)
    }

    /// From `certificate`, below which there are `below` others of authorities.
    fn up(&mut self, certificate: &X509Certificate<'_>, below: usize) -> Result<(), Error> {
        for anchor in &self.store.certificates {
            if let Some(anchor) = parse(anchor)
                && self.is_issuer(&anchor, certificate)
            {
                limits(&anchor, below)?;
                in_date(&anchor, self.now)?;
                return in_date(certificate, self.now);
            }
        }
        let mut wrong = Error::UnknownIssuer;
        for next in self.between {
            if let Some(next) = parse(next)
                && self.is_issuer(&next, certificate)
            {
                match self.over(&next, below) {
                    Ok(()) => return in_date(certificate, self.now),
                    Err(error) => wrong = error,
                }
            }
        }
        Err(wrong)
    }

    /// By way of `next`, which is no authority because we say so.
    fn over(&mut self, next: &X509Certificate<'_>, below: usize) -> Result<(), Error> {
        if below >= self.depth {
            return Err(Error::MaximumPathDepthExceeded);
        }
        let constraints = next.basic_constraints().map_err(|_| Error::BadDer)?;
        let usage = next.key_usage().map_err(|_| Error::BadDer)?;
        if !constraints.is_some_and(|found| found.value.ca)
            || usage.is_some_and(|found| !found.value.key_cert_sign())
        {
            return Err(Error::EndEntityUsedAsCa);
        }
        limits(next, below)?;
        self.suits(next)?;
        self.up(next, below + 1)
    }

    /// Whether `issuer` has signed `certificate`, and is not that itself.
    fn is_issuer(
        &mut self,
        issuer: &X509Certificate<'_>,
        certificate: &X509Certificate<'_>,
    ) -> bool {
        if issuer.subject != certificate.issuer
            || issuer.tbs_certificate.as_ref() == certificate.tbs_certificate.as_ref()
            || self.tries == 0
        {
            return false;
        }
        self.tries -= 1;
        is_signed(certificate, issuer)
    }

    /// Whether all that `certificate` says of itself is understood, and allows its purpose.
    fn suits(&self, certificate: &X509Certificate<'_>) -> Result<(), Error> {
        let odd = |extension: &&x509_parser::extensions::X509Extension<'_>| {
            extension.critical && !KNOWN.contains(&extension.oid)
        };
        if certificate
            .extensions()
            .iter()
            .any(|extension| odd(&extension))
        {
            return Err(Error::UnsupportedCriticalExtension);
        }
        let usage = certificate
            .extended_key_usage()
            .map_err(|_| Error::BadDer)?;
        let allows = |found: &x509_parser::extensions::ExtendedKeyUsage<'_>| match self.client {
            true => found.any || found.client_auth,
            false => found.any || found.server_auth,
        };
        match usage.is_none_or(|found| allows(found.value)) {
            true => Ok(()),
            false => Err(Error::RequiredEkuNotFoundContext(
                RequiredEkuNotFoundContext {
                    required: match self.client {
                        true => KeyUsage::client_auth(),
                        false => KeyUsage::server_auth(),
                    },
                    present: Vec::new(),
                },
            )),
        }
    }
}

const KNOWN: &[x509_parser::der_parser::oid::Oid<'static>] = &[
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    OID_X509_EXT_CERTIFICATE_POLICIES,
];

/// What an authority says about those below it. Names are not compared here.
fn limits(issuer: &X509Certificate<'_>, below: usize) -> Result<(), Error> {
    let names = issuer.name_constraints().map_err(|_| Error::BadDer)?;
    if names.is_some() {
        return Err(Error::NameConstraintViolation);
    }
    let constraints = issuer.basic_constraints().map_err(|_| Error::BadDer)?;
    match constraints.and_then(|found| found.value.path_len_constraint) {
        Some(most) if below > most as usize => Err(Error::PathLenConstraintViolated),
        _ => Ok(()),
    }
}

/// Whether `issuer` has signed `certificate`.
pub fn is_signed(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let spki = rustls::pki_types::SubjectPublicKeyInfoDer::from(issuer.public_key().raw);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else {
        return false;
    };
    let Some(algorithm) = algorithm_value(certificate) else {
        return false;
    };
    let message = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    super::provider()
        .signature_verification_algorithms
        .all
        .iter()
        .filter(|known| known.signature_alg_id().as_ref() == algorithm)
        .any(|known| key.verify_signature(*known, message, signature).is_ok())
}

/// The content of the signature's `AlgorithmIdentifier`, without its header.
fn algorithm_value<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    use x509_parser::asn1_rs::Any;
    let raw: &'a [u8] = certificate.tbs_certificate.as_ref();
    // The sequence holds a version, if it is not 1; a number; and what we look for.
    let (_, outer) = Any::from_der(raw).ok()?;
    let mut rest = outer.data;
    loop {
        let (behind, item) = Any::from_der(rest).ok()?;
        if item.tag().0 == 16 {
            return Some(item.data);
        }
        rest = behind;
    }
}

/// The parts of a certificate.
pub fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate.as_ref())
        .ok()
        .map(|(_, parsed)| parsed)
}

/// Whether `certificate` is valid at the time `now`.
pub fn in_date(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = certificate.validity();
    let at = |time: i64| UnixTime::since_unix_epoch(Duration::from_secs(time.max(0) as u64));
    let (before, after) = (
        at(validity.not_before.timestamp()),
        at(validity.not_after.timestamp()),
    );
    match now {
        now if now < before => Err(Error::CertNotValidYet {
            time: now,
            not_before: before,
        }),
        now if now > after => Err(Error::CertExpired {
            time: now,
            not_after: after,
        }),
        _ => Ok(()),
    }
}

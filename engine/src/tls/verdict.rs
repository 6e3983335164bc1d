//! What a peer's certificates are worth.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::prelude::X509Certificate;

use super::climb::{Climb, TRIES, in_date, parse};
use super::trust::Store;

/// What is asked of a peer.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Whom we trust.
    pub store: Arc<Store>,
    /// Whether the peer is a client, and judged as such.
    pub client: bool,
    /// How many certificates may stand between the peer's and a trusted one.
    pub depth: usize,
    /// Whether the peer's certificate must be known not to be revoked.
    pub revocation: Revocation,
    /// Whether it must bear the name of the peer.
    pub named: bool,
    /// Whether a peer whose name is not known may be judged by its chain alone.
    pub nameless: bool,
}

/// Which certificates must be known not to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// None.
    Off,
    /// The peer's.
    Leaf,
    /// All in its chain.
    Chain,
}

/// Why a peer is refused.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// For the alert.
    pub error: CertificateError,
    /// Words, each with the number in the chain that it belongs to, the peer's own
    /// certificate being 1.
    pub notes: Vec<(usize, &'static str)>,
}

impl Verdict {
    fn new(error: CertificateError, notes: &[(usize, &'static str)]) -> Verdict {
        Verdict {
            error,
            notes: notes.to_vec(),
        }
    }
}

/// The address that stands for "no name". rustls sends no address as a name.
pub fn nameless() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Whether `name` is a name.
pub fn is_named(name: &ServerName<'_>) -> bool {
    !matches!(name, ServerName::IpAddress(ip) if IpAddr::from(*ip) == IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

impl Demand {
    /// Judges `chain`, the peer's own certificate first, at the time `now`.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Verdict> {
        let Some((leaf, between)) = chain.split_first() else {
            return Ok(());
        };
        self.judge_chain(leaf, between, now)
            .map_err(|error| explain(error, chain, now))?;
        match name.filter(|name| is_named(name)) {
            _ if !self.named => Ok(()),
            Some(name) => judge_name(leaf, name),
            None if self.nameless => Ok(()),
            None => Err(Verdict::new(
                CertificateError::ApplicationVerificationFailure,
                &[(1, "hostname mismatch")],
            )),
        }
    }

    /// As [`Demand::judge`], but whatever the purpose, and without a name.
    pub fn judge_any(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Verdict> {
        let (server, client) = (
            self.clone(),
            Demand {
                client: true,
                ..self.clone()
            },
        );
        match server.judge(chain, None, now) {
            Err(Verdict {
                error: CertificateError::InvalidPurpose,
                ..
            }) => client.judge(chain, None, now),
            judged => judged,
        }
    }

    fn judge_chain(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = match EndEntityCert::try_from(leaf) {
            Ok(certificate) => certificate,
            Err(Error::UnsupportedCertVersion) => return self.judge_old(leaf, between, now),
            Err(error) => return Err(error),
        };
        let lists: Vec<&CertRevocationList<'_>> =
            self.store.revoked.iter().map(|list| &**list).collect();
        let usage = match self.client {
            true => KeyUsage::client_auth(),
            false => KeyUsage::server_auth(),
        };
        let shallow =
            |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() > self.depth {
                true => Err(Error::MaximumPathDepthExceeded),
                false => Ok(()),
            };
        let judged = certificate.verify_for_usage(
            super::provider().signature_verification_algorithms.all,
            &self.store.anchors,
            between,
            now,
            usage,
            self.revocation_options(&lists)?,
            Some(&shallow),
        );
        match judged {
            Ok(_) => Ok(()),
            // `openssl req -x509` makes certificates that are both: an authority, and its own server.
            Err(error @ (Error::CaUsedAsEndEntity | Error::UnknownIssuer)) => {
                self.judge_authority(leaf, between, error, now)
            }
            Err(error) => Err(error),
        }
    }

    fn revocation_options<'a>(
        &self,
        lists: &'a [&'a CertRevocationList<'a>],
    ) -> Result<Option<RevocationOptions<'a>>, Error> {
        let depth = match self.revocation {
            Revocation::Off => return Ok(None),
            Revocation::Leaf => RevocationCheckDepth::EndEntity,
            Revocation::Chain => RevocationCheckDepth::Chain,
        };
        let options =
            RevocationOptionsBuilder::new(lists).map_err(|_| Error::UnknownRevocationStatus)?;
        let options = options
            .with_depth(depth)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce);
        Ok(Some(options.build()))
    }

    /// What is wrong with `leaf` does not matter if it is self-signed and itself trusted, or
    /// the certificate of another authority.
    fn judge_authority(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        wrong: Error,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = parse(leaf).ok_or(Error::BadDer)?;
        match (parsed.issuer == parsed.subject, &wrong) {
            (true, _) if self.store.certificates.contains(leaf) => in_date(&parsed, now),
            (true, _) => Err(Error::UnknownIssuer),
            (false, Error::CaUsedAsEndEntity) if self.revocation == Revocation::Off => {
                self.climb(&parsed, between, now)
            }
            (false, _) => Err(wrong),
        }
    }

    /// A certificate of version 1.
    fn judge_old(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.revocation != Revocation::Off {
            return Err(Error::UnsupportedCertVersion);
        }
        let parsed = parse(leaf).ok_or(Error::BadDer)?;
        if self.store.certificates.contains(leaf) && parsed.issuer == parsed.subject {
            return in_date(&parsed, now);
        }
        self.climb(&parsed, between, now)
    }

    fn climb(
        &self,
        leaf: &X509Certificate<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (store, depth, client) = (&self.store, self.depth, self.client);
        let mut climb = Climb {
            store,
            between,
            depth,
            client,
            now,
            tries: TRIES,
        };
        climb.from(leaf)
    }
}

fn judge_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Verdict> {
    let named = EndEntityCert::try_from(leaf)
        .and_then(|certificate| certificate.verify_is_valid_for_subject_name(name));
    let words = match name {
        ServerName::IpAddress(_) => "IP address mismatch",
        _ => "hostname mismatch",
    };
    named.map_err(|_| Verdict::new(CertificateError::NotValidForName, &[(1, words)]))
}

/// The present time, by the clock on the wall.
pub fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::since_unix_epoch(since)
}

fn explain(error: Error, chain: &[CertificateDer<'_>], now: UnixTime) -> Verdict {
    use CertificateError as Alert;

    let dated = || {
        let late = |certificate: &CertificateDer<'_>| {
            parse(certificate).is_some_and(|parsed| in_date(&parsed, now).is_err())
        };
        chain.iter().position(late).map_or(1, |at| at + 1)
    };
    match error {
        Error::CertExpired { .. } => {
            Verdict::new(Alert::Expired, &[(dated(), "certificate has expired")])
        }
        Error::CertNotValidYet { .. } => Verdict::new(
            Alert::NotValidYet,
            &[(dated(), "certificate is not yet valid")],
        ),
        Error::UnknownIssuer => Verdict {
            error: Alert::UnknownIssuer,
            notes: unknown_issuer(chain),
        },
        Error::RequiredEkuNotFoundContext(_) => Verdict::new(
            Alert::InvalidPurpose,
            &[(1, "unsuitable certificate purpose")],
        ),
        Error::InvalidSignatureForPublicKey => {
            Verdict::new(Alert::BadSignature, &[(1, "certificate signature failure")])
        }
        Error::CertRevoked => Verdict::new(Alert::Revoked, &[(1, "certificate revoked")]),
        Error::UnknownRevocationStatus => Verdict::new(
            Alert::UnknownRevocationStatus,
            &[(1, "unable to get certificate CRL")],
        ),
        Error::CrlExpired { .. } => {
            Verdict::new(Alert::ExpiredRevocationList, &[(1, "CRL has expired")])
        }
        Error::UnsupportedCriticalExtension => Verdict::new(
            Alert::UnhandledCriticalExtension,
            &[(1, "unhandled critical extension")],
        ),
        Error::NameConstraintViolation => Verdict::new(
            Alert::NotValidForName,
            &[(1, "permitted subtree violation")],
        ),
        Error::PathLenConstraintViolated => Verdict::new(
            Alert::UnknownIssuer,
            &[(1, "path length constraint exceeded")],
        ),
        Error::MaximumPathDepthExceeded => Verdict::new(
            Alert::UnknownIssuer,
            &[
                (1, "certificate chain too long"),
                (1, "unable to get local issuer certificate"),
            ],
        ),
        Error::EndEntityUsedAsCa => {
            Verdict::new(Alert::UnknownIssuer, &[(1, "invalid CA certificate")])
        }
        Error::BadDer | Error::BadDerTime => Verdict::new(Alert::BadEncoding, &[(1, UNSPECIFIED)]),
        _ => Verdict::new(Alert::ApplicationVerificationFailure, &[(1, UNSPECIFIED)]),
    }
}

/// What cannot be said more precisely.
pub const UNSPECIFIED: &str = "unspecified certificate verification error";

fn unknown_issuer(chain: &[CertificateDer<'_>]) -> Vec<(usize, &'static str)> {
    let is_own = |certificate: &CertificateDer<'_>| {
        parse(certificate).is_some_and(|parsed| parsed.issuer == parsed.subject)
    };
    if chain.first().is_some_and(is_own) {
        return vec![(1, "self-signed certificate")];
    }
    if chain.last().is_some_and(is_own) {
        return vec![(chain.len(), "self-signed certificate in certificate chain")];
    }
    vec![
        (1, "unable to get local issuer certificate"),
        (1, "unable to verify the first certificate"),
    ]
}

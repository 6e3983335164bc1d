//! Our judgement of peers, as rustls asks for it.
//!
//! rustls' own verifiers cannot be used: LuaSec's `verify="peer"` compares no name,
//! what was found must be told afterwards, and old certificates must work.

use std::cell::Cell;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::verdict::{Demand, Verdict};

/// Judges, and lets pass or not.
#[derive(Debug)]
pub struct Verifier {
    /// What is asked.
    pub demand: Arc<Demand>,
    /// Whether a bad certificate ends the handshake.
    pub strict: bool,
    /// Whether there must be a certificate.
    pub mandatory: bool,
}

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if !self.strict {
            return Ok(());
        }
        let mut chain = Vec::with_capacity(1 + between.len());
        chain.push(leaf.clone());
        chain.extend(between.iter().cloned());
        self.demand
            .judge(&chain, name, now)
            .map_err(|Verdict { error, notes }| {
                REFUSAL.set(notes.first().map(|note| note.1));
                Error::InvalidCertificate(error)
            })
    }
}

thread_local! {
    /// rustls has no place for words: they are fetched where its error comes out.
    static REFUSAL: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Why this thread has refused a certificate last, once.
pub fn refusal() -> Option<&'static str> {
    REFUSAL.take()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, between, Some(name), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, between, None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

fn schemes() -> Vec<SignatureScheme> {
    super::provider()
        .signature_verification_algorithms
        .supported_schemes()
}

/// TLS 1.3 allows no PKCS#1 and no SHA-1, and each scheme stands for one algorithm.
fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = public_key(certificate)?;
    rustls::crypto::verify_tls13_signature_with_raw_key(
        message,
        &spki,
        signed,
        &super::provider().signature_verification_algorithms,
    )
}

/// With the key alone, because webpki reads no certificate of version 1.
fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = public_key(certificate)?;
    let key = webpki::RawPublicKeyEntity::try_from(&spki)
        .map_err(|_| bad(CertificateError::BadEncoding))?;
    let mapping = super::provider().signature_verification_algorithms.mapping;
    let known = mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let (_, algorithms) = known.ok_or(bad(CertificateError::BadSignature))?;
    let fits = |algorithm: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
        key.verify_signature(**algorithm, message, signed.signature())
            .is_ok()
    };
    match algorithms.iter().find(fits) {
        Some(_) => Ok(HandshakeSignatureValid::assertion()),
        None => Err(bad(CertificateError::BadSignature)),
    }
}

fn public_key<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref())
        .map_err(|_| bad(CertificateError::BadEncoding))?;
    Ok(SubjectPublicKeyInfoDer::from(
        parsed.tbs_certificate.subject_pki.raw,
    ))
}

fn bad(error: CertificateError) -> Error {
    Error::InvalidCertificate(error)
}

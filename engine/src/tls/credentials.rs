//! Certificates and keys, as files and texts hold them.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use super::pem;
use super::unlock;

/// Why a key or a certificate cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is encrypted and no password was given.
    Locked,
    /// The reason, in words.
    Because(String),
}

impl Unusable {
    fn because(words: &str) -> Unusable {
        Unusable::Because(words.to_owned())
    }

    /// The words.
    pub fn words(&self) -> &str {
        match self {
            Unusable::Locked => "password required",
            Unusable::Because(words) => words,
        }
    }
}

/// What stands in the file `source` names, or `source` itself if it is no name but
/// the text of a PEM file or a DER structure.
pub fn read(source: &[u8]) -> Result<Vec<u8>, Unusable> {
    let is_der = source.len() > 8 && source[0] == 0x30 && source[1] & 0x80 != 0;
    if is_der || memchr::memmem::find(source, b"-----BEGIN ").is_some() {
        return Ok(source.to_vec());
    }
    let path = String::from_utf8_lossy(source);
    std::fs::read(&*path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Unusable::because("No such file or directory"),
        std::io::ErrorKind::PermissionDenied => Unusable::because("Permission denied"),
        _ => {
            let text = error.to_string();
            Unusable::because(text.split(" (os error").next().unwrap_or_default())
        }
    })
}

/// The certificates in `text`: PEM, or one in DER.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found: Vec<_> = pem::sections(text)
        .into_iter()
        .filter(|section| is_certificate(section.label))
        .map(|section| CertificateDer::from(section.der))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    match super::certificate::Certificate::from_der(text) {
        Some(_) => Ok(vec![CertificateDer::from(text.to_vec())]),
        None => Err(Unusable::because("no start line")),
    }
}

/// Whether a PEM section of this name holds a certificate.
pub fn is_certificate(label: &str) -> bool {
    matches!(
        label,
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
    )
}

/// The private key in `text`: PEM or DER, PKCS#8, PKCS#1 or SEC1.
pub fn key(text: &[u8], password: Option<&[u8]>) -> Result<Arc<dyn SigningKey>, Unusable> {
    let der = key_der(text, password)?;
    super::provider()
        .key_provider
        .load_private_key(der)
        .map_err(|_| Unusable::because("unsupported key"))
}

fn key_der(text: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Unusable> {
    for section in pem::sections(text) {
        match section.label {
            "PRIVATE KEY" => return Ok(PrivatePkcs8KeyDer::from(section.der).into()),
            "ENCRYPTED PRIVATE KEY" => return unlocked(&section.der, password),
            "RSA PRIVATE KEY" => {
                return Ok(PrivateKeyDer::Pkcs1(clear(section, password)?.into()));
            }
            "EC PRIVATE KEY" => return Ok(PrivateKeyDer::Sec1(clear(section, password)?.into())),
            _ => {}
        }
    }
    if let Ok(der) = PrivateKeyDer::try_from(text.to_vec()) {
        return Ok(der);
    }
    match unlock::is_locked(text) {
        true => unlocked(text, password),
        false => Err(Unusable::because("no start line")),
    }
}

/// The content of a section that may be encrypted in the old way.
fn clear(section: pem::Section<'_>, password: Option<&[u8]>) -> Result<Vec<u8>, Unusable> {
    let Some(how) = section.encrypted else {
        return Ok(section.der);
    };
    let password = password.ok_or(Unusable::Locked)?;
    unlock::unlock_section(&how, &section.der, password).map_err(Unusable::because)
}

fn unlocked(der: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, Unusable> {
    let password = password.ok_or(Unusable::Locked)?;
    let clear = unlock::unlock(der, password).map_err(Unusable::because)?;
    Ok(PrivatePkcs8KeyDer::from(clear).into())
}

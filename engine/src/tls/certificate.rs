//! What is written in a certificate (X.509).

use std::net::IpAddr;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer, Tag};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::names;
use super::pem;

/// A certificate.
#[derive(Clone, Debug)]
pub struct Certificate(CertificateDer<'static>);

/// A text in a certificate.
pub struct Text {
    /// As it lies there.
    pub raw: Vec<u8>,
    /// In UTF-8, if that is possible.
    pub utf8: Option<Vec<u8>>,
}

/// One attribute of a name.
pub struct Attribute {
    /// Its type.
    pub oid: String,
    /// Its type in words, or the same again.
    pub name: String,
    /// Its value.
    pub value: Text,
}

/// Another name of the subject.
pub enum Alternative {
    /// `dNSName`.
    Dns(Text),
    /// `rfc822Name`.
    Mail(Text),
    /// `uniformResourceIdentifier`.
    Uri(Text),
    /// `iPAddress`; `None` if it has an odd length.
    Ip(Option<String>),
    /// One of a type of its own.
    Other {
        /// The type.
        oid: String,
        /// The type in words.
        name: String,
        /// The value.
        value: Text,
    },
}

/// A public key.
pub struct Key {
    /// As PEM.
    pub pem: String,
    /// `RSA`, `DSA`, `EC` or `Unknown`.
    pub kind: &'static str,
    /// Its size.
    pub bits: usize,
}

impl Certificate {
    /// From what a session has.
    pub fn new(der: CertificateDer<'static>) -> Certificate {
        Certificate(der)
    }

    /// From DER, if it is a certificate.
    pub fn from_der(der: &[u8]) -> Option<Certificate> {
        let (rest, _) = X509Certificate::from_der(der).ok()?;
        let length = der.len() - rest.len();
        Some(Certificate(CertificateDer::from(der[..length].to_vec())))
    }

    /// The first one in a PEM text.
    pub fn from_pem(text: &[u8]) -> Option<Certificate> {
        let sections = pem::sections(text);
        let first = sections
            .iter()
            .find(|section| matches!(section.label, "CERTIFICATE" | "X509 CERTIFICATE"))?;
        Certificate::from_der(&first.der)
    }

    /// Its encoding.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        pem::write("CERTIFICATE", &self.0)
    }

    fn parsed(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.0)
            .ok()
            .map(|(_, parsed)| parsed)
    }

    /// Whom it is about.
    pub fn subject(&self) -> Vec<Attribute> {
        self.parsed()
            .map(|parsed| attributes(parsed.subject()))
            .unwrap_or_default()
    }

    /// Who made it.
    pub fn issuer(&self) -> Vec<Attribute> {
        self.parsed()
            .map(|parsed| attributes(parsed.issuer()))
            .unwrap_or_default()
    }

    /// Whether nobody stands above it.
    pub fn is_root(&self) -> bool {
        self.parsed()
            .is_some_and(|parsed| parsed.issuer() == parsed.subject())
    }

    /// The other names of its subject; `None` if it does not speak of them.
    pub fn alternatives(&self) -> Option<Vec<Alternative>> {
        let parsed = self.parsed()?;
        parsed
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    Some(names.general_names.iter().filter_map(alternative).collect())
                }
                _ => None,
            })
    }

    /// The second from which on it is valid.
    pub fn not_before(&self) -> i64 {
        self.parsed()
            .map_or(0, |parsed| parsed.validity().not_before.timestamp())
    }

    /// The last second in which it is valid.
    pub fn not_after(&self) -> i64 {
        self.parsed()
            .map_or(0, |parsed| parsed.validity().not_after.timestamp())
    }

    /// Its number: upper-case hexadecimal digits, an even count.
    pub fn serial(&self) -> String {
        self.parsed()
            .map(|parsed| serial(parsed.raw_serial()))
            .unwrap_or_default()
    }

    /// Lower-case hexadecimal digits of its digest; `None` for an unknown algorithm.
    pub fn digest(&self, algorithm: &str) -> Option<String> {
        let algorithm = match algorithm {
            "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &digest::SHA256,
            "sha512" => &digest::SHA512,
            _ => return None,
        };
        let digest = digest::digest(algorithm, &self.0);
        Some(
            digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// Its key.
    pub fn key(&self) -> Option<Key> {
        let parsed = self.parsed()?;
        let spki = parsed.public_key();
        let (kind, bits) = match spki.parsed() {
            Ok(PublicKey::RSA(key)) => ("RSA", key.key_size()),
            Ok(PublicKey::EC(point)) => ("EC", curve_bits(spki).unwrap_or(point.key_size())),
            Ok(PublicKey::DSA(_)) => ("DSA", prime_bits(spki).unwrap_or_default()),
            _ => ("Unknown", spki.subject_public_key.data.len() * 8),
        };
        Some(Key {
            pem: pem::write("PUBLIC KEY", spki.raw),
            kind,
            bits,
        })
    }

    /// How it is signed, in OpenSSL's short words.
    pub fn signature_name(&self) -> String {
        let Some(parsed) = self.parsed() else {
            return String::new();
        };
        let oid = parsed.signature_algorithm.oid().to_id_string();
        names::signature(&oid).map(str::to_owned).unwrap_or(oid)
    }
}

fn attributes(name: &X509Name<'_>) -> Vec<Attribute> {
    let attribute = |has: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let oid = has.attr_type().to_id_string();
        Attribute {
            name: names::attribute(&oid).map_or_else(|| oid.clone(), str::to_owned),
            value: text(has.attr_value()),
            oid,
        }
    };
    name.iter_attributes().map(attribute).collect()
}

fn text(value: &Any<'_>) -> Text {
    let raw = value.data.to_vec();
    let utf8 = match value.tag() {
        Tag::BmpString => utf16(&raw),
        Tag::UniversalString => utf32(&raw),
        Tag::T61String => Some(raw.iter().map(|byte| char::from(*byte)).collect()),
        _ => String::from_utf8(raw.clone()).ok(),
    };
    Text {
        raw,
        utf8: utf8.map(String::into_bytes),
    }
}

fn utf16(raw: &[u8]) -> Option<String> {
    let units = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    (raw.len().is_multiple_of(2))
        .then(|| {
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .ok()
        })
        .flatten()
}

fn utf32(raw: &[u8]) -> Option<String> {
    let chars = raw
        .chunks_exact(4)
        .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])));
    raw.len()
        .is_multiple_of(4)
        .then(|| chars.collect())
        .flatten()
}

fn plain(text: &str) -> Text {
    Text {
        raw: text.as_bytes().to_vec(),
        utf8: Some(text.as_bytes().to_vec()),
    }
}

fn alternative(name: &GeneralName<'_>) -> Option<Alternative> {
    Some(match name {
        GeneralName::DNSName(name) => Alternative::Dns(plain(name)),
        GeneralName::RFC822Name(name) => Alternative::Mail(plain(name)),
        GeneralName::URI(name) => Alternative::Uri(plain(name)),
        GeneralName::IPAddress(bytes) => Alternative::Ip(address(bytes)),
        GeneralName::OtherName(oid, value) => {
            let oid = oid.to_id_string();
            Alternative::Other {
                name: names::other(&oid).map_or_else(|| oid.clone(), str::to_owned),
                value: other_value(value)?,
                oid,
            }
        }
        _ => return None,
    })
}

/// The value may stand in its explicit tag, or be given without it.
fn other_value(bytes: &[u8]) -> Option<Text> {
    let (_, any) = Any::from_der(bytes).ok()?;
    match any.class() {
        x509_parser::asn1_rs::Class::ContextSpecific => {
            let (_, inner) = Any::from_der(any.data).ok()?;
            Some(text(&inner))
        }
        _ => Some(text(&any)),
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_string())
}

fn serial(raw: &[u8]) -> String {
    let negative = raw.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = raw.to_vec();
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            let (value, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (value, over);
        }
    }
    let digits: String = bytes
        .iter()
        .skip_while(|byte| **byte == 0)
        .map(|byte| format!("{byte:02X}"))
        .collect();
    match digits.is_empty() {
        true => "0".to_owned(),
        false => format!("{}{digits}", if negative { "-" } else { "" }),
    }
}

fn curve_bits(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Option<usize> {
    let oid = spki
        .algorithm
        .parameters
        .as_ref()?
        .as_oid()
        .ok()?
        .to_id_string();
    match oid.as_str() {
        "1.2.840.10045.3.1.7" | "1.3.132.0.10" => Some(256),
        "1.3.132.0.34" => Some(384),
        "1.3.132.0.35" => Some(521),
        _ => None,
    }
}

/// The size of the first of the numbers in its parameters.
fn prime_bits(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Option<usize> {
    let (_, prime) = Any::from_der(spki.algorithm.parameters.as_ref()?.data).ok()?;
    let digits = &prime.data[prime.data.iter().position(|&byte| byte != 0)?..];
    Some(digits.len() * 8 - digits[0].leading_zeros() as usize)
}

/// `timestamp` as OpenSSL prints it: `Nov 22 05:38:39 2026 GMT`.
pub fn date(timestamp: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(timestamp) else {
        return String::new();
    };
    let time = time.to_datetime();
    let month = &time.month().to_string()[..3];
    format!(
        "{month} {:2} {:02}:{:02}:{:02} {} GMT",
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_like_those_of_openssl() {
        assert_eq!(date(0), "Jan  1 00:00:00 1970 GMT");
        assert_eq!(date(1_795_325_919), "Nov 22 05:38:39 2026 GMT");
    }

    #[test]
    fn serial_numbers() {
        assert_eq!(serial(&[0]), "0");
        assert_eq!(serial(&[5]), "05");
        assert_eq!(serial(&[0, 0xff]), "FF");
        assert_eq!(serial(&[0xff]), "-01");
        assert_eq!(serial(&[1, 0]), "0100");
    }

    #[test]
    fn texts_of_all_kinds() {
        assert_eq!(utf16(&[0, 0x61, 0x20, 0xac]).unwrap(), "a€");
        assert_eq!(utf16(&[0]), None);
        assert_eq!(utf32(&[0, 1, 0xf6, 0]).unwrap(), "\u{1f600}");
        assert_eq!(address(&[127, 0, 0, 1]).unwrap(), "127.0.0.1");
        assert_eq!(address(&[127, 0, 0]), None);
    }
}

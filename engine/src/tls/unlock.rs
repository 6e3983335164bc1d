//! Private keys under a password: PKCS#8 with PBES2 (RFC 8018).

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;
use x509_parser::asn1_rs::{Any, FromDer, Oid, Sequence};

/// What goes wrong, in words.
type Result<T> = std::result::Result<T, &'static str>;

const WRONG: &str = "bad decrypt";
const UNSUPPORTED: &str = "unsupported encryption";

/// Whether `der` looks like an encrypted key.
pub fn is_locked(der: &[u8]) -> bool {
    parse(der).is_some()
}

/// The clear key.
pub fn unlock(der: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let locked = parse(der).ok_or(UNSUPPORTED)?;
    if locked.algorithm != PBES2 {
        return Err(UNSUPPORTED);
    }
    let (derivation, cipher) = pbes2(locked.parameters).ok_or(UNSUPPORTED)?;
    let cipher_kind = match cipher.algorithm.as_str() {
        AES128_CBC => (&AES_128, 16),
        AES192_CBC => (&AES_192, 24),
        AES256_CBC => (&AES_256, 32),
        _ => return Err(UNSUPPORTED),
    };
    let mut key = vec![0; cipher_kind.1];
    derive(&derivation, password, &mut key)?;
    let (_, iv) = Any::from_der(cipher.parameters).map_err(|_| UNSUPPORTED)?;
    let context = match iv.data.len() {
        16 => DecryptionContext::Iv128(FixedLength::try_from(iv.data).map_err(|_| WRONG)?),
        _ => return Err(UNSUPPORTED),
    };
    let key = UnboundCipherKey::new(cipher_kind.0, &key).map_err(|_| WRONG)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| UNSUPPORTED)?;
    let mut bytes = locked.content.to_vec();
    let clear = key.decrypt(&mut bytes, context).map_err(|_| WRONG)?;
    // A wrong password can give a valid padding by chance, but hardly a sequence too.
    match clear.first() {
        Some(0x30) => Ok(clear.to_vec()),
        _ => Err(WRONG),
    }
}

fn derive(how: &Named<'_>, password: &[u8], key: &mut [u8]) -> Result<()> {
    if how.algorithm != PBKDF2 {
        return Err("key derivation not supported, use PBKDF2");
    }
    let (_, parameters) = Sequence::from_der(how.parameters).map_err(|_| UNSUPPORTED)?;
    let mut items = items(&parameters.content);
    let salt = items.next().ok_or(UNSUPPORTED)?;
    let rounds = items
        .next()
        .and_then(|any| any.u32().ok())
        .ok_or(UNSUPPORTED)?;
    let rounds = NonZeroU32::new(rounds).ok_or(UNSUPPORTED)?;
    // The key length may stand between.
    let function = items.find_map(|any| named(&any).map(|named| named.algorithm));
    let algorithm = match function.as_deref() {
        None | Some(HMAC_SHA1) => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(HMAC_SHA256) => pbkdf2::PBKDF2_HMAC_SHA256,
        Some(HMAC_SHA384) => pbkdf2::PBKDF2_HMAC_SHA384,
        Some(HMAC_SHA512) => pbkdf2::PBKDF2_HMAC_SHA512,
        Some(_) => return Err(UNSUPPORTED),
    };
    pbkdf2::derive(algorithm, rounds, salt.data, password, key);
    Ok(())
}

/// An algorithm with its parameters.
struct Named<'a> {
    algorithm: String,
    parameters: &'a [u8],
}

struct Locked<'a> {
    algorithm: String,
    parameters: &'a [u8],
    content: &'a [u8],
}

/// `EncryptedPrivateKeyInfo`.
fn parse(der: &[u8]) -> Option<Locked<'_>> {
    let (_, outer) = Any::from_der(der).ok()?;
    let mut items = items(outer.data);
    let algorithm = named(&items.next()?)?;
    let content = items.next()?;
    (content.tag().0 == 4).then_some(Locked {
        algorithm: algorithm.algorithm,
        parameters: algorithm.parameters,
        content: content.data,
    })
}

fn pbes2(der: &[u8]) -> Option<(Named<'_>, Named<'_>)> {
    let (_, outer) = Any::from_der(der).ok()?;
    let mut items = items(outer.data);
    Some((named(&items.next()?)?, named(&items.next()?)?))
}

/// A sequence of an object identifier and something.
fn named<'a>(any: &Any<'a>) -> Option<Named<'a>> {
    if any.tag().0 != 16 {
        return None;
    }
    let (parameters, oid) = Oid::from_der(any.data).ok()?;
    Some(Named {
        algorithm: oid.to_id_string(),
        parameters,
    })
}

fn items(mut rest: &[u8]) -> impl Iterator<Item = Any<'_>> {
    std::iter::from_fn(move || {
        let (behind, any) = Any::from_der(rest).ok()?;
        rest = behind;
        Some(any)
    })
}

const PBES2: &str = "1.2.840.113549.1.5.13";
const PBKDF2: &str = "1.2.840.113549.1.5.12";
const HMAC_SHA1: &str = "1.2.840.113549.2.7";
const HMAC_SHA256: &str = "1.2.840.113549.2.9";
const HMAC_SHA384: &str = "1.2.840.113549.2.10";
const HMAC_SHA512: &str = "1.2.840.113549.2.11";
const AES128_CBC: &str = "2.16.840.1.101.3.4.1.2";
const AES192_CBC: &str = "2.16.840.1.101.3.4.1.22";
const AES256_CBC: &str = "2.16.840.1.101.3.4.1.42";

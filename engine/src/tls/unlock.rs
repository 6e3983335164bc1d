//! Private keys under a password: PKCS#8 with PBES2 (RFC 8018), and the older way of
//! OpenSSL, headers in a PEM section (RFC 1421).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use des::TdesEde3;
use des::cipher::{BlockDecrypt, KeyInit};
use md5::{Digest, Md5};
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
    let (derivation, encryption) = pbes2(locked.parameters).ok_or(UNSUPPORTED)?;
    let cipher = Cipher::of_oid(&encryption.algorithm).ok_or(UNSUPPORTED)?;
    let (_, iv) = Any::from_der(encryption.parameters).map_err(|_| UNSUPPORTED)?;
    let mut key = vec![0; cipher.key_length()];
    derive(&derivation, password, &mut key)?;
    cipher.decrypt(&key, iv.data, locked.content)
}

/// The clear content of a PEM section of which `DEK-Info` says `how`: a cipher and the
/// digits of an initialization vector, of which the first eight bytes are salt too.
pub fn unlock_section(how: &str, content: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let (name, digits) = how.split_once(',').ok_or(UNSUPPORTED)?;
    let cipher = Cipher::of_name(name.trim()).ok_or(UNSUPPORTED)?;
    let iv = unhex(digits.trim()).ok_or(UNSUPPORTED)?;
    let salt = iv.get(..8).ok_or(UNSUPPORTED)?;
    let mut key = Vec::new();
    while key.len() < cipher.key_length() {
        let last = &key[key.len().saturating_sub(16)..];
        let next = Md5::new_with_prefix(last).chain_update(password);
        let next = next.chain_update(salt).finalize();
        key.extend_from_slice(&next);
    }
    key.truncate(cipher.key_length());
    cipher.decrypt(&key, &iv, content)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A cipher, with blocks chained.
#[derive(Clone, Copy)]
enum Cipher {
    Aes(&'static Algorithm, usize),
    TripleDes,
}

impl Cipher {
    fn of_oid(oid: &str) -> Option<Cipher> {
        match oid {
            "2.16.840.1.101.3.4.1.2" => Cipher::of_name("AES-128-CBC"),
            "2.16.840.1.101.3.4.1.22" => Cipher::of_name("AES-192-CBC"),
            "2.16.840.1.101.3.4.1.42" => Cipher::of_name("AES-256-CBC"),
            "1.2.840.113549.3.7" => Cipher::of_name("DES-EDE3-CBC"),
            _ => None,
        }
    }

    fn of_name(name: &str) -> Option<Cipher> {
        Some(match name {
            "AES-128-CBC" => Cipher::Aes(&AES_128, 16),
            "AES-192-CBC" => Cipher::Aes(&AES_192, 24),
            "AES-256-CBC" => Cipher::Aes(&AES_256, 32),
            "DES-EDE3-CBC" => Cipher::TripleDes,
            _ => return None,
        })
    }

    fn key_length(self) -> usize {
        match self {
            Cipher::Aes(_, length) => length,
            Cipher::TripleDes => 24,
        }
    }

    fn decrypt(self, key: &[u8], iv: &[u8], content: &[u8]) -> Result<Vec<u8>> {
        let clear = match self {
            Cipher::Aes(algorithm, _) => decrypt_aes(algorithm, key, iv, content)?,
            Cipher::TripleDes => decrypt_triple_des(key, iv, content).ok_or(WRONG)?,
        };
        // A wrong password can give a valid padding by chance, but hardly a sequence too.
        match clear.first() {
            Some(0x30) => Ok(clear),
            _ => Err(WRONG),
        }
    }
}

fn decrypt_aes(
    algorithm: &'static Algorithm,
    key: &[u8],
    iv: &[u8],
    content: &[u8],
) -> Result<Vec<u8>> {
    let iv = FixedLength::try_from(iv).map_err(|_| UNSUPPORTED)?;
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| WRONG)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| UNSUPPORTED)?;
    let mut bytes = content.to_vec();
    let clear = key.decrypt(&mut bytes, DecryptionContext::Iv128(iv));
    Ok(clear.map_err(|_| WRONG)?.to_vec())
}

fn decrypt_triple_des(key: &[u8], iv: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let cipher = TdesEde3::new_from_slice(key).ok()?;
    if iv.len() != 8 || !content.len().is_multiple_of(8) {
        return None;
    }
    let (mut clear, mut last) = (Vec::with_capacity(content.len()), iv);
    for block in content.chunks_exact(8) {
        let mut bytes = [0; 8];
        cipher.decrypt_block_b2b(block.into(), (&mut bytes).into());
        clear.extend(bytes.iter().zip(last).map(|(byte, mask)| byte ^ mask));
        last = block;
    }
    let padding = usize::from(*clear.last()?);
    let end = clear.len().checked_sub(padding)?;
    let is_padded = (1..=8).contains(&padding)
        && clear[end..]
            .iter()
            .all(|byte| usize::from(*byte) == padding);
    clear.truncate(end);
    is_padded.then_some(clear)
}

fn derive(how: &Named<'_>, password: &[u8], key: &mut [u8]) -> Result<()> {
    let (_, parameters) = Sequence::from_der(how.parameters).map_err(|_| UNSUPPORTED)?;
    let items = items(&parameters.content);
    match how.algorithm.as_str() {
        PBKDF2 => derive_pbkdf2(items, password, key),
        SCRYPT => derive_scrypt(items, password, key).ok_or(UNSUPPORTED),
        _ => Err(UNSUPPORTED),
    }
}

/// The parameters are a salt and a number of rounds, perhaps the key's length, and what the
/// hash is if it is not SHA-1.
fn derive_pbkdf2<'a>(
    mut items: impl Iterator<Item = Any<'a>>,
    password: &[u8],
    key: &mut [u8],
) -> Result<()> {
    let salt = items.next().ok_or(UNSUPPORTED)?;
    let rounds = items.next().and_then(|any| any.u32().ok());
    let rounds = rounds.and_then(NonZeroU32::new).ok_or(UNSUPPORTED)?;
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

/// The parameters are a salt, the cost, the size of blocks and the parallelism (RFC 7914).
/// What would take more memory than `MOST` is refused.
fn derive_scrypt<'a>(
    mut items: impl Iterator<Item = Any<'a>>,
    password: &[u8],
    key: &mut [u8],
) -> Option<()> {
    const MOST: u64 = 256 << 20;

    let salt = items.next()?;
    let [cost, block, parallel] = [(); 3].map(|()| items.next().and_then(|any| any.u32().ok()));
    let (cost, block, parallel) = (cost?, block?, parallel?);
    let memory = u64::from(cost)
        .checked_mul(u64::from(block))?
        .checked_mul(128)?;
    if !cost.is_power_of_two() || memory > MOST || parallel > 64 {
        return None;
    }
    let log = u8::try_from(cost.trailing_zeros()).ok()?;
    let parameters = scrypt::Params::new(log, block, parallel, key.len()).ok()?;
    scrypt::scrypt(password, salt.data, &parameters, key).ok()
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
const SCRYPT: &str = "1.3.6.1.4.1.11591.4.11";
const HMAC_SHA1: &str = "1.2.840.113549.2.7";
const HMAC_SHA256: &str = "1.2.840.113549.2.9";
const HMAC_SHA384: &str = "1.2.840.113549.2.10";
const HMAC_SHA512: &str = "1.2.840.113549.2.11";

//! Digests for the authentications of mail and HTTP, as lower-case hexadecimal text.
//!
//! MD5 is broken as a seal; here it only speaks old protocols.

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;

/// MD5, in 32 digits.
pub fn md5(bytes: &[u8]) -> [u8; 32] {
    hex(&Md5::digest(bytes))
}

/// SHA-256, in 64 digits.
pub fn sha256(bytes: &[u8]) -> [u8; 64] {
    hex(&Sha256::digest(bytes))
}

/// HMAC with MD5 (RFC 2104), in 32 digits.
pub fn hmac_md5(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    hex(&mac.finalize().into_bytes())
}

fn hex<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [0; N];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        assert_eq!(&md5(b""), b"d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(&md5(b"abc"), b"900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            &sha256(b"abc"),
            b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // RFC 2104 and the example of RFC 2195.
        assert_eq!(
            &hmac_md5(b"Jefe", b"what do ya want for nothing?"),
            b"750c783e6ab0b503eaa86e310a5db738"
        );
        assert_eq!(
            &hmac_md5(
                b"tanstaaftanstaaf",
                b"<1896.697170952@postoffice.reston.mci.net>"
            ),
            b"b913a602c7eda7a495b4e6e7334d3890"
        );
    }
}

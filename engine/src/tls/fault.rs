//! The words for what ends a session: OpenSSL's, because programs know them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

/// The peer's certificate is not worth our trust.
pub const UNTRUSTED: &str = "certificate verify failed";
/// The stream ended without the peer having said so.
pub const TRUNCATED: &str = "unexpected eof while reading";
/// The peer speaks only other versions.
pub const UNSUPPORTED: &str = "unsupported protocol";
/// The name of no context, where there had to be one.
pub const CALLBACK: &str = "callback failed";
/// What should be the peer's name cannot be one.
pub const BAD_NAME: &str = "invalid server name";
/// The caller has said HTTP to a TLS port.
pub const HTTP_REQUEST: &str = "http request";

/// The words for `error`.
pub fn words(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::InvalidCertificate(_) => UNTRUSTED,
        Error::NoCertificatesPresented => "peer did not return a certificate",
        Error::PeerIncompatible(how) => incompatible_words(how),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "unexpected message"
        }
        Error::InvalidMessage(how) => invalid_words(how),
        Error::PeerMisbehaved(how) => misbehaved_words(how),
        Error::NoApplicationProtocol => "no application protocol",
        Error::DecryptError => "decryption failed or bad record mac",
        Error::PeerSentOversizedRecord => "packet length too long",
        other => intern(other.to_string()),
    }
}

fn invalid_words(how: &InvalidMessage) -> &'static str {
    match how {
        InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => {
            "wrong version number"
        }
        InvalidMessage::MessageTooLarge => "packet length too long",
        InvalidMessage::HandshakePayloadTooLarge => "excessive message size",
        InvalidMessage::InvalidEmptyPayload | InvalidMessage::MessageTooShort => "record too small",
        other => intern(Error::InvalidMessage(*other).to_string()),
    }
}

/// What a peer does again and again has a bound.
fn misbehaved_words(how: &PeerMisbehaved) -> &'static str {
    match how {
        PeerMisbehaved::TooManyEmptyFragments => "too many empty fragments",
        PeerMisbehaved::TooManyKeyUpdateRequests => "too many key updates",
        PeerMisbehaved::TooManyRenegotiationRequests => "too many renegotiation requests",
        PeerMisbehaved::TooManyWarningAlertsReceived => "too many warn alerts",
        other => intern(Error::PeerMisbehaved(other.clone()).to_string()),
    }
}

fn incompatible_words(how: &PeerIncompatible) -> &'static str {
    match how {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoEcPointFormatsInCommon => "no shared cipher",
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::KeyShareExtensionRequired => {
            "no suitable key share"
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => UNSUPPORTED,
        other => intern(Error::PeerIncompatible(other.clone()).to_string()),
    }
}

/// The words for an alert that the peer sent.
pub fn alert_words(alert: AlertDescription) -> &'static str {
    match u8::from(alert) {
        10 => "sslv3 alert unexpected message",
        20 => "sslv3 alert bad record mac",
        22 => "tlsv1 alert record overflow",
        40 => "sslv3 alert handshake failure",
        42 => "sslv3 alert bad certificate",
        43 => "sslv3 alert unsupported certificate",
        44 => "sslv3 alert certificate revoked",
        45 => "sslv3 alert certificate expired",
        46 => "sslv3 alert certificate unknown",
        47 => "sslv3 alert illegal parameter",
        48 => "tlsv1 alert unknown ca",
        49 => "tlsv1 alert access denied",
        50 => "tlsv1 alert decode error",
        51 => "tlsv1 alert decrypt error",
        70 => "tlsv1 alert protocol version",
        71 => "tlsv1 alert insufficient security",
        80 => "tlsv1 alert internal error",
        86 => "tlsv1 alert inappropriate fallback",
        90 => "tlsv1 alert user cancelled",
        100 => "tlsv1 alert no renegotiation",
        109 => "tlsv13 alert missing extension",
        110 => "tlsv1 unsupported extension",
        112 => "tlsv1 unrecognized name",
        113 => "tlsv1 bad certificate status response",
        115 => "tlsv1 alert unknown psk identity",
        116 => "tlsv13 alert certificate required",
        120 => "tlsv1 alert no application protocol",
        _ => intern(Error::AlertReceived(alert).to_string()),
    }
}

/// Keeps a message for good. There are few: rustls' errors that reach this hold no
/// bytes of the peer; should that change, `MOST` bounds what a peer can make us keep.
fn intern(message: String) -> &'static str {
    const MOST: usize = 200;
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

    let mut kept = KEPT.lock().unwrap_or_else(|poison| poison.into_inner());
    if let Some(known) = kept.get(message.as_str()) {
        return known;
    }
    if kept.len() >= MOST {
        return "TLS error";
    }
    let message: &'static str = Box::leak(message.into_boxed_str());
    kept.insert(message);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_words_of_openssl() {
        let received = |alert| words(&Error::AlertReceived(alert));
        assert_eq!(
            received(AlertDescription::UnknownCA),
            "tlsv1 alert unknown ca"
        );
        assert_eq!(
            received(AlertDescription::HandshakeFailure),
            "sslv3 alert handshake failure"
        );
    }

    #[test]
    fn a_message_is_kept_once() {
        let first = intern("a message of a test".into());
        assert!(std::ptr::eq(first, intern("a message of a test".into())));
    }
}

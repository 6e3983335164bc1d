//! The Finished messages of TLS 1.2, which name a session: `tls-unique` (RFC 5929).
//!
//! rustls gives them to nobody. But all that they are made from passes by: the messages before
//! them in clear, and the secret where tools get it that look into the traffic.

use std::cell::Cell;

use rustls::{Connection, KeyLog, KeyLogFile, SupportedCipherSuite};

/// What both sides have said last in the handshake.
pub struct Finished {
    /// By us.
    pub ours: [u8; LENGTH],
    /// By the peer.
    pub theirs: [u8; LENGTH],
}

/// A handshake, as it passes by.
#[derive(Default)]
pub struct Transcript {
    messages: Vec<u8>,
    ours: Records,
    theirs: Records,
    /// Who changed to the new keys, and how many bytes of messages had passed before that.
    changes: Vec<(bool, usize)>,
    secret: Option<Secret>,
}

/// How far the records of one side are known.
#[derive(Default)]
struct Records {
    head: [u8; 5],
    /// How much of the head is there.
    known: usize,
    /// How much of the body is not.
    left: usize,
    /// Whether what comes is encrypted.
    changed: bool,
}

type Secret = [u8; 48];

const LENGTH: usize = 12;

/// A handshake of more bytes is not followed.
const MOST: usize = 256 * 1024;

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;

impl Transcript {
    /// Takes note of records, which may begin and end anywhere: `ours`, or the peer's.
    pub fn see(&mut self, ours: bool, mut bytes: &[u8]) {
        let records = match ours {
            true => &mut self.ours,
            false => &mut self.theirs,
        };
        while !bytes.is_empty() && !records.changed && self.messages.len() < MOST {
            if records.left == 0 {
                bytes = records.begin(bytes);
                if records.left > 0 && records.head[0] == CHANGE_CIPHER_SPEC {
                    records.changed = true;
                    self.changes.push((ours, self.messages.len()));
                }
                continue;
            }
            let (body, behind) = bytes.split_at(records.left.min(bytes.len()));
            if records.head[0] == HANDSHAKE {
                self.messages.extend_from_slice(body);
            }
            records.left -= body.len();
            bytes = behind;
        }
    }

    /// Takes note of the secret, if rustls has just told it.
    pub fn learn(&mut self) {
        if let Some(secret) = SECRET.take() {
            self.secret = Some(secret);
        }
    }

    /// What comes of it, at the end of the handshake; nothing in TLS 1.3.
    pub fn finish(mut self, connection: &Connection) -> Option<Box<Finished>> {
        let Some(SupportedCipherSuite::Tls12(suite)) = connection.negotiated_cipher_suite() else {
            return None;
        };
        let mut secret = self.secret.take()?;
        let is_client = matches!(connection, Connection::Client(_));
        let said = |ours: bool, messages: &[u8]| {
            let label: &[u8] = match ours == is_client {
                true => b"client finished",
                false => b"server finished",
            };
            let mut data = [0; LENGTH];
            let hash = suite.common.hash_provider.hash(messages);
            suite
                .prf_provider
                .for_secret(&mut data, &secret, label, hash.as_ref());
            data
        };
        let &[(first, before), (second, both)] = &self.changes[..] else {
            return None;
        };
        let opening = said(first, &self.messages[..before]);
        // The answer is about the other's as well.
        let between = self.messages[before..both].to_vec();
        self.messages.truncate(before);
        self.messages.extend_from_slice(&[20, 0, 0, LENGTH as u8]);
        self.messages.extend_from_slice(&opening);
        self.messages.extend_from_slice(&between);
        let answer = said(second, &self.messages);
        secret.fill(0);
        let (ours, theirs) = match first {
            true => (opening, answer),
            false => (answer, opening),
        };
        (first != second).then(|| Box::new(Finished { ours, theirs }))
    }
}

impl Records {
    /// Takes what belongs to the head of a record; what is left.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (part, behind) = bytes.split_at(bytes.len().min(self.head.len() - self.known));
        self.head[self.known..][..part.len()].copy_from_slice(part);
        self.known += part.len();
        if self.known == self.head.len() {
            self.known = 0;
            self.left = usize::from(u16::from_be_bytes([self.head[3], self.head[4]]));
        }
        behind
    }
}

thread_local! {
    /// rustls tells a secret in the middle of its work; [`Transcript::learn`] fetches it then.
    static SECRET: Cell<Option<Secret>> = const { Cell::new(None) };
}

/// Where rustls tells its secrets.
#[derive(Debug)]
pub struct Secrets {
    /// The file for tools, if one is wanted.
    pub file: Option<KeyLogFile>,
}

/// The word for the secret of TLS 1.2.
const MASTER: &str = "CLIENT_RANDOM";

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == MASTER {
            SECRET.set(secret.try_into().ok());
        }
        if let Some(file) = &self.file {
            file.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == MASTER || self.file.as_ref().is_some_and(|file| file.will_log(label))
    }
}

//! How a session is set up: the handshake.

use rustls::pki_types::ServerName;
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConnection, Connection};

use super::{FAULT, Session, Stage};
use crate::buffer::stock;
use crate::operation::Direction;
use crate::sys::{self, Fd};
use crate::tls::context::{ServerSide, Side};
use crate::tls::{fault, verdict};

/// What a step of the handshake came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shaken {
    /// It is done.
    Done,
    /// [`Session::hello`] is there to be looked at, then [`Session::answer`] to be called.
    Hello,
}

/// What a client has said first.
#[derive(Debug, Default)]
pub struct Hello {
    /// The name it asks for.
    pub name: Option<String>,
    /// The protocols it offers.
    pub protocols: Vec<Vec<u8>>,
}

impl Session {
    /// Goes on with the handshake. What the peer has sent behind it goes to `into`.
    pub fn handshake(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<Shaken> {
        self.waits = false;
        loop {
            if self.fault.is_some() && !self.is_open() {
                self.despair(fd);
                return Err(FAULT);
            }
            match &mut self.stage {
                Stage::New => self.begin(),
                Stage::Listening(_) => self.listen(fd)?,
                Stage::Asked(_) if self.asks => return Ok(Shaken::Hello),
                Stage::Asked(_) => self.answer(None, None),
                Stage::Shaking(_) => self.shake(fd, into)?,
                Stage::Open(_) => return Ok(Shaken::Done),
                Stage::Failed => self.fail("handshake failed"),
            }
        }
    }

    /// Sends the alert for the fault, if the kernel takes it, once.
    fn despair(&mut self, fd: Fd) {
        let _ = self.flush(fd);
        let alert = std::mem::take(&mut self.last_words);
        if !alert.is_empty() {
            let _ = self.lower.send(fd, &alert);
        }
    }

    fn begin(&mut self) {
        self.transcript = Some(Box::default());
        let side = match &self.side {
            Side::Server(_) => {
                self.stage = Stage::Listening(Acceptor::default());
                return;
            }
            Side::Client(side) => side.clone(),
        };
        let Some(name) = self.server_name() else {
            return self.fail(fault::BAD_NAME);
        };
        self.own = side.common.identities.first().cloned();
        let config = match verdict::is_named(&name) {
            true => side.config.clone(),
            false => side.nameless.clone(),
        };
        match ClientConnection::new(config, name) {
            Ok(connection) => self.shake_with(Connection::Client(connection)),
            Err(error) => self.fail(fault::words(&error)),
        }
    }

    fn shake_with(&mut self, mut connection: Connection) {
        connection.set_buffer_limit(None);
        if let Some(transcript) = &mut self.transcript {
            transcript.learn();
        }
        self.stage = Stage::Shaking(connection);
        // What a client sends behind its first message before it has an answer cannot
        // be the program's: there is no early data here.
        let early = std::mem::take(&mut self.early);
        self.absorb(&early, &mut Vec::new());
    }

    /// The name as rustls wants it; `None` if it cannot be one.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        let Some(name) = self.name.as_deref().or(self.host.as_deref()) else {
            return Some(verdict::nameless());
        };
        let name = std::str::from_utf8(name).ok()?;
        let name = name.strip_suffix('.').unwrap_or(name);
        // An address of a link has a zone, which is ours and not the peer's.
        let name = match name.split_once('%') {
            Some((address, _)) if address.contains(':') => address,
            _ => name,
        };
        ServerName::try_from(name.to_owned()).ok()
    }

    fn listen(&mut self, fd: Fd) -> sys::Result<()> {
        let mut block = stock::take().ok_or(sys::ENOMEM)?;
        let room = block.capacity();
        let read = self.lower.recv(fd, &mut block);
        match read {
            Ok(0) => self.fail(fault::TRUNCATED),
            Ok(n) => {
                self.drained = self.lower.is_drained(n, room);
                if let Some(transcript) = &mut self.transcript {
                    transcript.see(false, &block);
                }
                self.hear(&block);
            }
            Err(_) => {}
        }
        stock::give(block);
        match read {
            Err(errno) => self.wait(errno, Direction::Read),
            Ok(_) => Ok(()),
        }
    }

    /// Takes bytes of the client's first message, and keeps those behind it.
    fn hear(&mut self, bytes: &[u8]) {
        let Stage::Listening(acceptor) = &mut self.stage else {
            return;
        };
        let head = HELLO_HEAD.saturating_sub(self.early.len());
        self.early
            .extend_from_slice(&bytes[..head.min(bytes.len())]);
        self.framing.pass(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            if !matches!(acceptor.read_tls(&mut rest), Ok(1..)) {
                return self.fail("packet length too long");
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted
                        .client_hello()
                        .server_name()
                        .map(|name| name.as_bytes().into());
                    self.name = name;
                    self.early = rest.to_vec();
                    self.stage = Stage::Asked(accepted);
                    return;
                }
                Err((error, alert)) => {
                    self.stage = Stage::Failed;
                    if speaks_http(bytes) {
                        self.fail(fault::HTTP_REQUEST);
                    }
                    if speaks_old_tls(&self.early) {
                        self.fail(fault::UNSUPPORTED);
                        self.last_words = alert_record(PROTOCOL_VERSION);
                        return;
                    }
                    return self.refuse(&error, alert);
                }
            }
        }
    }

    /// What the client has said, between [`Shaken::Hello`] and [`Session::answer`].
    pub fn hello(&self) -> Hello {
        let Stage::Asked(accepted) = &self.stage else {
            return Hello::default();
        };
        let hello = accepted.client_hello();
        Hello {
            name: hello.server_name().map(str::to_owned),
            protocols: offered(&hello),
        }
    }

    /// Goes on after the client's first message: with another side, if there is one for
    /// the name it asks for, and with one of these protocols, if somebody chose.
    pub fn answer(&mut self, other: Option<&Side>, protocols: Option<&[Vec<u8>]>) {
        let first = match (&self.side, other) {
            (Side::Server(first), Some(Side::Server(other))) => other.in_place_of(first),
            (Side::Server(first), _) => first.clone(),
            (Side::Client(_), _) => return,
        };
        let Stage::Asked(accepted) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return;
        };
        self.answer_with(&first, accepted, protocols);
        self.side = Side::Server(first);
    }

    fn answer_with(
        &mut self,
        side: &ServerSide,
        accepted: Accepted,
        protocols: Option<&[Vec<u8>]>,
    ) {
        let hello = accepted.client_hello();
        let offers = offered(&hello);
        self.own = side
            .common
            .identities
            .choose(&hello, &side.provider)
            .cloned();
        let protocol = match protocols {
            None => side.choose_protocol(&offers),
            Some(ours) => ours.iter().find(|name| offers.contains(name)).cloned(),
        };
        let config = side.config_for(protocol.as_deref());
        match accepted.into_connection(config) {
            Ok(connection) => self.shake_with(Connection::Server(connection)),
            Err((error, alert)) => self.refuse(&error, alert),
        }
    }

    fn refuse(&mut self, error: &rustls::Error, mut alert: rustls::server::AcceptedAlert) {
        // No certificate that suits the client is, for OpenSSL, no suite that does; rustls
        // would deny access.
        if let rustls::Error::General(words) = error
            && words.contains("no server certificate chain")
        {
            self.fail("no shared cipher");
            self.last_words = alert_record(HANDSHAKE_FAILURE);
            return;
        }
        self.fail(fault::words(error));
        let mut bytes = Vec::new();
        let _ = alert.write_all(&mut bytes);
        self.last_words = bytes;
    }

    /// Refuses the name that the client asks for.
    pub fn refuse_name(&mut self) {
        if let Stage::Asked(_) = self.stage {
            self.stage = Stage::Failed;
            self.last_words = alert_record(UNRECOGNIZED_NAME);
            self.fail(fault::CALLBACK);
        }
    }

    fn shake(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<()> {
        self.flush(fd)?;
        let Stage::Shaking(connection) = &mut self.stage else {
            return Ok(());
        };
        if !connection.is_handshaking() {
            if let Stage::Shaking(connection) = std::mem::replace(&mut self.stage, Stage::Failed) {
                let transcript = self.transcript.take();
                self.finished = transcript.and_then(|seen| seen.finish(&connection));
                self.stage = Stage::Open(connection);
            }
            return Ok(());
        }
        match self.read(fd, into) {
            Err(errno) => self.wait(errno, Direction::Read),
            Ok(()) => Ok(()),
        }
    }
}

/// A fatal alert, before anything is encrypted.
fn alert_record(alert: u8) -> Vec<u8> {
    vec![0x15, 3, 3, 0, 2, 2, alert]
}

const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const UNRECOGNIZED_NAME: u8 = 112;

fn offered(hello: &rustls::server::ClientHello<'_>) -> Vec<Vec<u8>> {
    hello
        .alpn()
        .map(|names| names.map(<[u8]>::to_vec).collect())
        .unwrap_or_default()
}

/// How far into the client's first message its version stands.
const HELLO_HEAD: usize = 11;

/// Whether a first message is that of an older version: rustls would miss what that does not
/// have.
fn speaks_old_tls(head: &[u8]) -> bool {
    matches!(head, [22, 3, _, _, _, 1, _, _, _, 3, 0..=2])
}

fn speaks_http(bytes: &[u8]) -> bool {
    ["GET ", "POST ", "HEAD ", "PUT "]
        .iter()
        .any(|method| bytes.starts_with(method.as_bytes()))
}

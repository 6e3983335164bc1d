//! A TLS session: a transport over a transport.
//!
//! It takes bytes from the transport below, gives bytes to it, and never waits. What
//! has been received in whole records is decrypted at once: nothing that could be
//! delivered stays in here, so that waiting for the descriptor is never wrong.
//!
//! Here are its bytes; [`setup`] has its handshake.

mod framing;
mod setup;

use std::io::{self, BufRead, IoSlice, Write};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::Connection;
use rustls::pki_types::CertificateDer;
use rustls::server::{Accepted, Acceptor};
use rustls::sign::CertifiedKey;

use super::context::{Common, Side};
use super::finished::{Finished, Transcript};
use super::{fault, verdict, verifier};
use crate::buffer::stock;
use crate::error::Error;
use crate::operation::Direction;
use crate::sys::{self, Fd};
use crate::transport::Transport;

use framing::Framing;
pub use setup::{Hello, Shaken};

/// The newer of the two versions.
pub const TLS13: rustls::ProtocolVersion = rustls::ProtocolVersion::TLSv1_3;

/// In place of an `errno`: [`Session::error`] has the words.
const FAULT: i32 = i32::MIN;

/// Bytes that are encrypted before they are given down: four records.
const CHUNK: usize = 64 * 1024;

/// One end of a TLS connection.
pub struct Session {
    /// What carries our records.
    lower: Transport,
    side: Side,
    stage: Stage,
    /// The name of the server: what a client asks for, what a server was asked for.
    name: Option<Box<[u8]>>,
    /// What to use as a name if none is given: the host that was connected to.
    host: Option<Box<[u8]>>,
    /// Whether whoever drives the handshake wants to see the client's first message.
    asks: bool,
    /// What the last call waits for.
    wants: Direction,
    /// Whether the last call had to wait.
    waits: bool,
    /// Bytes of the program that are encrypted, but not all of them given down.
    pending: usize,
    /// Whether the last read took all that the kernel had.
    drained: bool,
    fault: Option<&'static str>,
    /// Whether the peer has said, or is taken to have said, that it will send no more.
    ended: bool,
    /// Whether the end, or the fault, was told.
    told: bool,
    /// Whether timeouts are told as such, and not as what would have been waited for.
    pub plain_timeouts: bool,
    /// Why the peer's certificate was refused.
    refused: Option<&'static str>,
    /// Our own certificate, as far as it is decided.
    own: Option<Arc<CertifiedKey>>,
    /// What came behind the client's first message; before that is there, how it begins.
    early: Vec<u8>,
    /// Where in the peer's records its bytes are, until the handshake is done.
    framing: Framing,
    /// An alert that there is no connection to send with.
    last_words: Vec<u8>,
    /// The handshake, as long as it lasts.
    transcript: Option<Box<Transcript>>,
    /// How it ended, in TLS 1.2.
    finished: Option<Box<Finished>>,
    /// In which process it was begun.
    process: i32,
}

/// How far it has come. The large variants are boxed with the session.
enum Stage {
    /// Nothing was done yet.
    New,
    /// A server that waits for the client's first message.
    Listening(Acceptor),
    /// A server that has it.
    Asked(Accepted),
    /// Both have begun to speak.
    Shaking(Connection),
    /// Bytes can flow.
    Open(Connection),
    /// It ended before that.
    Failed,
}

impl Session {
    /// A session over `lower`, of which nothing is sent yet.
    pub fn new(side: Side, lower: Transport) -> Session {
        Session {
            lower,
            side,
            stage: Stage::New,
            name: None,
            host: None,
            asks: false,
            wants: Direction::Read,
            waits: false,
            pending: 0,
            drained: true,
            fault: None,
            ended: false,
            told: false,
            plain_timeouts: false,
            refused: None,
            own: None,
            early: Vec::new(),
            framing: Framing::default(),
            last_words: Vec::new(),
            transcript: None,
            finished: None,
            process: sys::pid(),
        }
    }

    /// Puts the session on top of `lower`.
    pub fn put_on(&mut self, lower: Transport) {
        self.lower = lower;
    }

    /// Whether it is a client's.
    pub fn is_client(&self) -> bool {
        matches!(self.side, Side::Client(_))
    }

    /// Whether the handshake has begun.
    pub fn has_begun(&self) -> bool {
        !matches!(self.stage, Stage::New)
    }

    /// Whether bytes can flow.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// What it was made from.
    pub fn common(&self) -> &Common {
        self.side.common()
    }

    /// Sets the name that a client asks for.
    pub fn set_name(&mut self, name: Option<&[u8]>) {
        self.name = name.map(Into::into);
    }

    /// Sets what stands in for a name.
    pub fn set_host(&mut self, host: Option<&[u8]>) {
        self.host = host.map(Into::into);
    }

    /// The name that was asked for. A host that is known by its address alone is not.
    pub fn name(&self) -> Option<&[u8]> {
        let host = self.host.as_deref().filter(|_| self.is_client());
        let host = host.filter(|host| !is_address(host));
        self.name.as_deref().or(host)
    }

    /// Makes [`Session::handshake`] stop at the client's first message.
    pub fn ask(&mut self) {
        self.asks = true;
    }

    /// The rustls connection, once there is one.
    pub fn connection(&self) -> Option<&Connection> {
        match &self.stage {
            Stage::Open(connection) => Some(connection),
            _ => None,
        }
    }

    /// As [`Session::connection`], to be changed.
    pub fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.stage {
            Stage::Open(connection) => Some(connection),
            _ => None,
        }
    }

    /// Our own certificates, the one that is about us first.
    pub fn own_chain(&self) -> &[CertificateDer<'static>] {
        self.own.as_ref().map_or(&[], |own| &own.cert)
    }

    /// Whether it goes on from an earlier one, without certificates.
    pub fn is_resumed(&self) -> bool {
        let kind = self.connection().and_then(|open| open.handshake_kind());
        kind == Some(rustls::HandshakeKind::Resumed)
    }

    /// The last message of the handshake, ours or the peer's, where it can be told.
    pub fn finished(&self, ours: bool) -> Option<&[u8]> {
        let finished = self.finished.as_ref()?;
        Some(match ours {
            true => &finished.ours,
            false => &finished.theirs,
        })
    }

    /// Why the peer's certificate was refused, if it was.
    pub fn refusal(&self) -> Option<&'static str> {
        self.refused
    }

    /// What to wait for.
    pub fn wants(&self) -> Direction {
        self.wants
    }

    /// What the last call waits for, if it does.
    pub fn waits_for(&self) -> Option<Direction> {
        self.waits.then_some(self.wants)
    }

    /// Notes that somebody has waited for bytes in vain, without having asked here again.
    pub fn note_wait(&mut self) {
        self.waits = true;
    }

    /// Whether it is in vain to ask again before more comes: the last read took all
    /// that the kernel had, and there is no end to tell.
    pub fn is_drained(&self) -> bool {
        self.drained && !self.ended && self.fault.is_none()
    }

    /// Whether `recv` has an end or a fault to tell.
    pub fn is_dirty(&self) -> bool {
        (self.ended || self.fault.is_some()) && !self.told && self.is_open()
            || self.lower.is_dirty()
    }

    /// Whether it is known that nothing more comes.
    pub fn at_end(&self) -> bool {
        self.ended || self.fault.is_some() || !self.is_open()
    }

    /// What `errno` means.
    pub fn error(&self, errno: i32) -> Error {
        match self.fault {
            Some(words) if errno == FAULT => Error::Tls(words),
            None if errno == FAULT => self.lower.error(errno),
            _ => Error::from_errno(errno),
        }
    }

    /// Appends to `into` what has come; see [`Transport::recv`].
    pub fn recv(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<usize> {
        self.waits = false;
        if !self.is_open() {
            return Err(sys::EPIPE);
        }
        let before = into.len();
        loop {
            if self.fault.is_some() || self.ended {
                return self.over();
            }
            let read = self.read(fd, into);
            self.reply(fd);
            // Whoever gets less than it needs waits for more, whatever an earlier call, or
            // the reply, would have had to wait for.
            self.wants = Direction::Read;
            let brought = into.len() - before;
            match read {
                _ if brought > 0 => return Ok(brought),
                Ok(()) => {}
                Err(errno) => return self.wait(errno, Direction::Read),
            }
        }
    }

    /// Gives down what rustls itself answers to what was read, if that can be done without
    /// waiting: an alert, new keys. A peer that asks to negotiate again would else wait for
    /// the answer, while we wait for bytes.
    fn reply(&mut self, fd: Fd) {
        if let Stage::Open(connection) = &self.stage
            && connection.wants_write()
            && self.pending == 0
        {
            let _ = self.flush(fd);
            self.waits = false;
        }
    }

    /// Tells the end: once with its reason, then as any other.
    fn over(&mut self) -> sys::Result<usize> {
        let told = std::mem::replace(&mut self.told, true);
        match self.fault {
            Some(_) if told => Err(sys::EPIPE),
            Some(_) => Err(FAULT),
            None => Ok(0),
        }
    }

    fn wait<T>(&mut self, errno: i32, direction: Direction) -> sys::Result<T> {
        if errno == sys::EAGAIN {
            self.waits = true;
            self.wants = match &self.lower {
                Transport::Tls(session) => session.wants(),
                _ => direction,
            };
        }
        Err(errno)
    }

    /// Takes bytes from below once, and puts what they mean into `into`.
    fn read(&mut self, fd: Fd, into: &mut Vec<u8>) -> sys::Result<()> {
        let mut block = match self.room() {
            Some(room) => exactly(room),
            None => stock::take(),
        }
        .ok_or(sys::ENOMEM)?;
        let room = block.capacity() - block.len();
        let read = self.lower.recv(fd, &mut block);
        match read {
            Ok(0) => self.eof(),
            Ok(n) => {
                self.drained = self.lower.is_drained(n, room);
                if let Some(transcript) = &mut self.transcript {
                    transcript.see(false, &block);
                }
                if !self.is_open() {
                    self.framing.pass(&block);
                }
                self.absorb(&block, into);
            }
            Err(_) => {}
        }
        stock::give(block);
        read.map(drop)
    }

    /// How much may be taken at once, where that matters. The peer's last message of the
    /// handshake may be followed by the first bytes for the program, at once. They have to
    /// stay with the kernel, as with OpenSSL: a program that waits for the descriptor by
    /// means of its own, after `dohandshake`, would wait for ever. Nothing comes that close
    /// behind the first that a client hears.
    fn room(&self) -> Option<usize> {
        let late = !self.is_client() || self.framing.has_begun();
        (late && !self.is_open()).then(|| self.framing.room())
    }

    fn eof(&mut self) {
        self.drained = false;
        match self.common().ignore_eof {
            _ if !self.is_open() && self.is_client() => self.fail("closed"),
            true if self.is_open() => self.ended = true,
            _ => self.fail(fault::TRUNCATED),
        }
    }

    fn fail(&mut self, words: &'static str) {
        self.fault.get_or_insert(words);
    }

    /// Decrypts `records`, which may begin and end anywhere.
    fn absorb(&mut self, mut records: &[u8], into: &mut Vec<u8>) {
        let (Stage::Open(connection) | Stage::Shaking(connection)) = &mut self.stage else {
            return;
        };
        while !records.is_empty() {
            // It refuses only what comes behind the peer's last word.
            if !matches!(connection.read_tls(&mut records), Ok(1..)) {
                break;
            }
            let processed = connection.process_new_packets();
            if let Some(transcript) = &mut self.transcript {
                transcript.learn();
            }
            drain(connection, into);
            match processed {
                Ok(state) => self.ended |= state.peer_has_closed(),
                Err(error) => {
                    if let rustls::Error::InvalidCertificate(_) = &error {
                        let words = verifier::refusal().unwrap_or(verdict::UNSPECIFIED);
                        self.refused = Some(words);
                    }
                    self.fault.get_or_insert(fault::words(&error));
                    break;
                }
            }
        }
    }

    /// Gives bytes down; see [`Transport::send`]. They count as sent once all of their
    /// ciphertext has been given down: what waits in here, a program would not know of.
    pub fn send(&mut self, fd: Fd, data: &[u8]) -> sys::Result<usize> {
        self.waits = false;
        if !self.is_open() || self.fault.is_some() {
            return Err(sys::EPIPE);
        }
        self.flush(fd)?;
        if self.pending == 0 && !data.is_empty() {
            let chunk = &data[..data.len().min(CHUNK)];
            let Stage::Open(connection) = &mut self.stage else {
                return Err(sys::EPIPE);
            };
            self.pending = connection.writer().write(chunk).map_err(|_| sys::EPIPE)?;
            self.flush(fd)?;
        }
        Ok(std::mem::take(&mut self.pending).min(data.len()))
    }

    /// Gives down what is encrypted.
    fn flush(&mut self, fd: Fd) -> sys::Result<()> {
        let (Stage::Open(connection) | Stage::Shaking(connection)) = &mut self.stage else {
            return Ok(());
        };
        let mut below = Below {
            lower: &mut self.lower,
            fd,
            transcript: self.transcript.as_deref_mut(),
        };
        while connection.wants_write() {
            if let Err(error) = connection.write_tls(&mut below) {
                let errno = error.raw_os_error().unwrap_or(sys::EPIPE);
                return self.wait(errno, Direction::Write);
            }
        }
        Ok(())
    }

    /// Says that we will send no more, but goes on receiving; false if that cannot be said
    /// without waiting.
    pub fn finish_sending(&mut self, fd: Fd) -> bool {
        let Stage::Open(connection) = &mut self.stage else {
            return false;
        };
        if self.fault.is_some() {
            return false;
        }
        connection.send_close_notify();
        self.flush(fd).is_ok()
    }

    /// Lets the end be sudden: the peer is not to take it for a good one.
    pub fn abandon(&mut self) {
        self.fail("closed");
        self.told = true;
    }

    /// Says that we will send no more, as far as that can be done without waiting.
    pub fn finish(&mut self, fd: Fd) {
        if let Stage::Open(connection) = &mut self.stage
            && self.fault.is_none()
        {
            connection.send_close_notify();
            let _ = self.flush(fd);
        }
        if self.has_begun() && !(self.is_open() && self.fault.is_some()) {
            self.discard(fd);
        }
        self.lower.finish(fd);
    }

    /// Whether it may go on in another process, of which this one is a forked child.
    pub fn is_of_parent(&self) -> bool {
        self.process != sys::pid()
    }

    /// Throws away what has come, up to a bound. A descriptor that is closed with bytes
    /// in it resets the connection, and the peer may lose what it has not read yet: after
    /// an upload there are always some, the tickets that servers send of their own accord;
    /// and a client whose certificate is refused has said more behind it.
    fn discard(&mut self, fd: Fd) {
        let Some(mut block) = stock::take() else {
            return;
        };
        for _ in 0..16 {
            block.clear();
            if !matches!(self.lower.recv(fd, &mut block), Ok(1..)) {
                break;
            }
        }
        stock::give(block);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

fn is_address(host: &[u8]) -> bool {
    let host = std::str::from_utf8(host).unwrap_or_default();
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<IpAddr>().is_ok()
}

fn exactly(room: usize) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(room).ok()?;
    Some(block)
}

fn drain(connection: &mut Connection, into: &mut Vec<u8>) {
    let mut reader = connection.reader();
    while let Ok(bytes) = reader.fill_buf() {
        let n = bytes.len();
        if n == 0 {
            break;
        }
        into.extend_from_slice(bytes);
        reader.consume(n);
    }
}

/// What rustls writes to: the transport below.
struct Below<'a> {
    lower: &'a mut Transport,
    fd: Fd,
    /// Who wants to see it.
    transcript: Option<&'a mut Transcript>,
}

impl Below<'_> {
    fn retry(
        &mut self,
        mut call: impl FnMut(&mut Transport, Fd) -> sys::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match call(self.lower, self.fd) {
                Err(sys::EINTR) => {}
                Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
                Ok(n) => return Ok(n),
            }
        }
    }
}

impl Write for Below<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = self.retry(|lower, fd| lower.send_vectored(fd, data))?;
        if let Some(transcript) = &mut self.transcript {
            let mut left = sent;
            for part in data {
                let seen = left.min(part.len());
                transcript.see(true, &part[..seen]);
                left -= seen;
            }
        }
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

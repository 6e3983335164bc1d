//! Sessions: both ends in one process, over pairs of sockets, without waiting.

use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

use luasocket_engine::Error;
use luasocket_engine::stream::{Pattern, Stream};
use luasocket_engine::tls::context::Role;
use luasocket_engine::tls::credentials;
use luasocket_engine::tls::session::Shaken;
use luasocket_engine::tls::trust::Store;
use luasocket_engine::tls::{Context, Session};
use luasocket_engine::transport::Transport;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        Authority::called("an authority")
    }

    fn called(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// PEM of a certificate for `name` and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn server_context(protocol: &str, authority: &Authority) -> Context {
    let (certificate, key) = authority.issue("localhost");
    let mut context = Context::new(protocol).unwrap();
    let settings = context.change();
    settings.role = Some(Role::Server);
    settings.pair(|pair| pair.key.is_some()).key =
        Some(credentials::key(key.as_bytes(), None).unwrap());
    settings.pair(|pair| !pair.chain.is_empty()).chain =
        credentials::certificates(certificate.as_bytes()).unwrap();
    context
}

fn client_context(protocol: &str, authority: &Authority) -> Context {
    let mut context = Context::new(protocol).unwrap();
    let settings = context.change();
    settings.role = Some(Role::Client);
    settings.verify.usual = true;
    settings
        .stores
        .push(Store::file(authority.issuer.pem().as_bytes()).unwrap());
    context
}

fn stream(context: &mut Context, socket: UnixStream) -> Stream {
    socket.set_nonblocking(true).unwrap();
    let mut stream = Stream::new();
    stream.set_fd(socket.into_raw_fd());
    stream.socket.timeouts.block = 0.0;
    let side = context.side().unwrap();
    stream.transport = Transport::Tls(Box::new(Session::new(side, Transport::Socket)));
    stream
}

fn pair(client: &mut Context, server: &mut Context) -> (Stream, Stream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut client, server) = (stream(client, ours), stream(server, theirs));
    client.session_mut().unwrap().set_name(Some(b"localhost"));
    (client, server)
}

fn shake(
    client: &mut Stream,
    server: &mut Stream,
) -> (Result<Shaken, Error>, Result<Shaken, Error>) {
    for _ in 0..20 {
        let (ours, theirs) = (client.handshake(), server.handshake());
        let waits = |shaken: &Result<Shaken, Error>| *shaken == Err(Error::Timeout);
        if !waits(&ours) && !waits(&theirs) {
            return (ours, theirs);
        }
    }
    panic!("the handshake does not come to an end");
}

fn receive(stream: &mut Stream, pattern: Pattern) -> Result<Vec<u8>, Error> {
    let received = stream.receive(pattern);
    let bytes = stream.received(received).to_vec();
    stream.take(received);
    match received.error {
        None => Ok(bytes),
        Some(error) => Err(error),
    }
}

const VERSIONS: [&str; 2] = ["tlsv1_2", "tlsv1_3"];

#[test]
fn both_versions_carry_bytes_both_ways_and_end() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (mut client, mut server) = pair(
            &mut client_context(version, &authority),
            &mut server_context(version, &authority),
        );
        assert_eq!(
            shake(&mut client, &mut server),
            (Ok(Shaken::Done), Ok(Shaken::Done))
        );
        assert_eq!(client.send(b"hello\r\nrest").error, None);
        assert_eq!(receive(&mut server, Pattern::Line).unwrap(), b"hello");
        assert!(server.is_dirty());
        assert_eq!(receive(&mut server, Pattern::Available).unwrap(), b"rest");
        assert_eq!(
            receive(&mut server, Pattern::Available),
            Err(Error::Timeout)
        );
        assert_eq!(server.send(b"there").error, None);
        server.close();
        assert_eq!(receive(&mut client, Pattern::All).unwrap(), b"there");
        assert_eq!(receive(&mut client, Pattern::All), Err(Error::Closed));
        assert!(!client.is_dirty());
    }
}

#[test]
fn an_end_without_a_word_is_a_truncation() {
    let authority = Authority::new();
    let (mut client, mut server) = pair(
        &mut client_context("any", &authority),
        &mut server_context("any", &authority),
    );
    let _ = shake(&mut client, &mut server);
    let _ = server.send(b"abc");
    server.transport = Transport::Socket;
    server.close();
    let received = client.receive(Pattern::All);
    assert_eq!(client.received(received), b"abc");
    assert_eq!(
        received.error,
        Some(Error::Tls("unexpected eof while reading"))
    );
    client.take(received);
    assert_eq!(receive(&mut client, Pattern::All), Err(Error::Closed));
}

#[test]
fn the_name_must_match() {
    let authority = Authority::new();
    for name in [
        Some(&b"localhost."[..]),
        Some(b"other.example"),
        Some(b"127.0.0.1"),
        None,
    ] {
        let (mut client, mut server) = pair(
            &mut client_context("any", &authority),
            &mut server_context("any", &authority),
        );
        client.session_mut().unwrap().set_name(name);
        let (ours, theirs) = shake(&mut client, &mut server);
        if name.is_none() || name == Some(b"localhost.") {
            assert_eq!((ours, theirs), (Ok(Shaken::Done), Ok(Shaken::Done)));
        } else {
            assert_eq!(ours, Err(Error::Tls("certificate verify failed")));
            assert_eq!(
                theirs,
                Err(Error::Tls("sslv3 alert bad certificate")),
                "{name:?}"
            );
            assert_eq!(client.handshake(), ours);
            assert_eq!(receive(&mut client, Pattern::Line), Err(Error::Closed));
        }
    }
}

#[test]
fn an_unknown_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::called("another"));
    let (mut client, mut server) = pair(
        &mut client_context("any", &ours),
        &mut server_context("any", &theirs),
    );
    let (mine, other) = shake(&mut client, &mut server);
    assert_eq!(mine, Err(Error::Tls("certificate verify failed")));
    assert_eq!(other, Err(Error::Tls("tlsv1 alert unknown ca")));
}

/// Records that arrive byte by byte lose nothing.
#[test]
fn records_may_be_cut_anywhere() {
    let authority = Authority::new();
    for version in VERSIONS {
        let (left, mut wire_left) = UnixStream::pair().unwrap();
        let (right, mut wire_right) = UnixStream::pair().unwrap();
        wire_left.set_nonblocking(true).unwrap();
        wire_right.set_nonblocking(true).unwrap();
        let mut client = stream(&mut client_context(version, &authority), left);
        let mut server = stream(&mut server_context(version, &authority), right);
        client.session_mut().unwrap().set_name(Some(b"localhost"));
        let (mut text, mut sent) = (Vec::new(), false);
        for turn in 0..200_000 {
            let mut byte = [0];
            if wire_left.read(&mut byte).is_ok_and(|n| n == 1) {
                wire_right.write_all(&byte).unwrap();
            }
            if wire_right.read(&mut byte).is_ok_and(|n| n == 1) {
                wire_left.write_all(&byte).unwrap();
            }
            let (ours, theirs) = (client.handshake(), server.handshake());
            let done = ours == Ok(Shaken::Done) && theirs == Ok(Shaken::Done);
            if done && !std::mem::replace(&mut sent, true) {
                let _ = client.send(&[b'x'; 1000]);
                let _ = client.send(&[b'y'; 1000]);
            }
            if let Ok(bytes) = receive(&mut server, Pattern::Available) {
                text.extend(bytes);
            }
            // Tickets come to those who look.
            let _ = receive(&mut client, Pattern::Available);
            if text.len() == 2000 {
                break;
            }
            assert!(turn < 199_999, "it does not come to an end");
        }
        assert_eq!(text, [[b'x'; 1000], [b'y'; 1000]].concat());
    }
}

#[test]
fn what_is_no_tls_is_told() {
    let authority = Authority::new();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut server = stream(&mut server_context("any", &authority), ours);
    theirs.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(server.handshake(), Err(Error::Tls("http request")));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut client = stream(&mut client_context("any", &authority), ours);
    theirs.write_all(b"220 mail.example ready\r\n").unwrap();
    assert_eq!(client.handshake(), Err(Error::Tls("wrong version number")));
}

/// 8 MB to a reader that starts late: nothing counts as sent that is not.
#[test]
fn indices_of_a_send_without_waiting_are_true() {
    let authority = Authority::new();
    let (mut client, mut server) = pair(
        &mut client_context("any", &authority),
        &mut server_context("any", &authority),
    );
    let _ = shake(&mut client, &mut server);
    let data: Vec<u8> = (0..8_000_000u32).map(|i| (i / 7) as u8).collect();
    let (mut from, mut got, mut waited) = (0, Vec::new(), 0);
    while got.len() < data.len() {
        let sent = client.send(&data[from..]);
        from += sent.count;
        waited += u32::from(sent.error == Some(Error::Timeout));
        while let Ok(bytes) = receive(&mut server, Pattern::Available) {
            got.extend(bytes);
        }
        assert!(got.len() >= from);
    }
    assert!(got == data && waited > 1);
}

#[test]
fn tls_in_tls() {
    let authority = Authority::new();
    let (mut client, mut server) = pair(
        &mut client_context("any", &authority),
        &mut server_context("any", &authority),
    );
    let _ = shake(&mut client, &mut server);
    for stream in [&mut client, &mut server] {
        let side = match stream.session().unwrap().is_client() {
            true => client_context("any", &authority).side(),
            false => server_context("any", &authority).side(),
        };
        let lower = std::mem::take(&mut stream.transport);
        stream.transport = Transport::Tls(Box::new(Session::new(side.unwrap(), lower)));
    }
    client.session_mut().unwrap().set_name(Some(b"localhost"));
    // Two authorities: each side made its own certificate above, by the same one.
    assert_eq!(
        shake(&mut client, &mut server),
        (Ok(Shaken::Done), Ok(Shaken::Done))
    );
    let _ = client.send(&[b'z'; 100_000]);
    let mut got = Vec::new();
    while let Ok(bytes) = receive(&mut server, Pattern::Available) {
        got.extend(bytes);
    }
    assert_eq!(got.len(), 100_000);
    client.close();
    assert_eq!(receive(&mut server, Pattern::Line), Err(Error::Closed));
}

#[test]
fn sessions_are_resumed() {
    let authority = Authority::new();
    for version in VERSIONS {
        let mut ours = client_context(version, &authority);
        let mut theirs = server_context(version, &authority);
        for time in 0..2 {
            let (mut client, mut server) = pair(&mut ours, &mut theirs);
            let _ = shake(&mut client, &mut server);
            let _ = server.send(b"x");
            receive(&mut client, Pattern::Count(1)).unwrap();
            let kind = client
                .session()
                .unwrap()
                .connection()
                .unwrap()
                .handshake_kind();
            assert_eq!(
                kind == Some(rustls::HandshakeKind::Resumed),
                time == 1,
                "{version}"
            );
        }
    }
}

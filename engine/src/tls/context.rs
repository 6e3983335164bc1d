//! What sessions are made from.
//!
//! A context is a set of [`Settings`]. What rustls needs is built from them when the
//! first session is made, and anew after a change; sessions keep what they began with.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    CipherSuite, ClientConfig, KeyLogFile, ServerConfig, SupportedProtocolVersion, version,
};

use super::ciphers;
use super::finished::Secrets;
use super::identity::{Identities, Pair, Resolver};
use super::trust::Store;
use super::verdict::{Demand, Revocation, Verdict};
use super::verifier::Verifier;

/// A side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who connects.
    Client,
    /// Who is connected to.
    Server,
}

/// What a program has said, in LuaSec's terms.
#[derive(Clone)]
pub struct Settings {
    /// Which side, if that was said.
    pub role: Option<Role>,
    /// Whether TLS 1.2 may be spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 may be spoken.
    pub tls13: bool,
    /// Our certificates.
    pub pairs: Vec<Pair>,
    /// Whom we trust.
    pub stores: Vec<Arc<Store>>,
    /// Whom we ask for a certificate, and what happens without a good one.
    pub verify: Verify,
    /// Whether names are compared, if somebody has said so.
    pub names: Option<bool>,
    /// Whether a bad certificate is only noted.
    pub continued: bool,
    /// Whether clients are judged as if they were servers.
    pub ignore_purpose: bool,
    /// Which certificates must be known not to be revoked.
    pub revocation: Revocation,
    /// How many certificates may stand between the peer's and a trusted one.
    pub depth: usize,
    /// Suites of TLS 1.2, in order.
    pub suites12: Vec<CipherSuite>,
    /// Suites of TLS 1.3, in order.
    pub suites13: Vec<CipherSuite>,
    /// Groups, in order; empty means the usual ones.
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// Application protocols, in order.
    pub alpn: Vec<Vec<u8>>,
    /// Whether the server's order of suites counts.
    pub server_preference: bool,
    /// Whether sessions are not to be resumed by tickets.
    pub no_ticket: bool,
    /// Whether an end of the stream is as good as the peer's word for it.
    pub ignore_eof: bool,
    /// Whether keys are written to the file that `SSLKEYLOGFILE` names.
    pub key_log: bool,
}

/// What is asked of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verify {
    /// `peer`.
    pub peer: bool,
    /// `fail_if_no_peer_cert`.
    pub mandatory: bool,
    /// Another flag, which counts for clients.
    pub other: bool,
    /// Whether the system's authorities are trusted when no others are named, and names
    /// are compared: what clients do that were told nothing.
    pub usual: bool,
}

impl Verify {
    /// Nothing.
    pub const NONE: Verify = Verify {
        peer: false,
        mandatory: false,
        other: false,
        usual: false,
    };
}

impl Settings {
    /// The beginning, for a protocol by LuaSec's name.
    pub fn new(protocol: &str) -> Option<Settings> {
        let (tls12, tls13) = match protocol {
            "any" | "sslv23" => (true, true),
            "tlsv1_2" => (true, false),
            "tlsv1_3" => (false, true),
            _ => return None,
        };
        let (suites12, suites13) = ciphers::default_order();
        Some(Settings {
            role: None,
            tls12,
            tls13,
            pairs: Vec::new(),
            stores: Vec::new(),
            verify: Verify::NONE,
            names: None,
            continued: false,
            ignore_purpose: false,
            revocation: Revocation::Off,
            depth: 100,
            suites12,
            suites13,
            groups: Vec::new(),
            alpn: Vec::new(),
            server_preference: false,
            no_ticket: false,
            ignore_eof: false,
            key_log: false,
        })
    }

    /// The pair that the next key or certificate belongs to. `taken` tells whether a
    /// pair has that part already.
    pub fn pair(&mut self, taken: impl Fn(&Pair) -> bool) -> &mut Pair {
        if self.pairs.last().is_none_or(taken) {
            self.pairs.push(Pair::default());
        }
        self.pairs.last_mut().expect("there is one now")
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Vec::new();
        if self.tls13 && !self.suites13.is_empty() {
            versions.push(&version::TLS13);
        }
        if self.tls12 && !self.suites12.is_empty() {
            versions.push(&version::TLS12);
        }
        versions
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = super::provider().clone();
        provider.cipher_suites.clear();
        if self.tls13 {
            provider.cipher_suites = ciphers::supported(&self.suites13);
        }
        if self.tls12 {
            let suites = ciphers::supported(&self.suites12);
            provider.cipher_suites.extend(suites);
        }
        if !self.groups.is_empty() {
            provider.kx_groups = self.groups.clone();
        }
        Arc::new(provider)
    }

    /// Whether it is for this side.
    pub fn is(&self, role: Role) -> bool {
        self.role == Some(role)
    }

    fn demand(&self) -> Demand {
        // `peer` without authorities would refuse everyone: LuaSec does. With the
        // system's it must compare names, because these vouch for everyone.
        let usual = self.is(Role::Client)
            && (self.verify.usual || (self.verify.peer && self.stores.is_empty()));
        let store = match self.stores.is_empty() {
            true if usual => Store::system(),
            _ => Store::join(&self.stores),
        };
        Demand {
            store,
            client: self.is(Role::Server) && !self.ignore_purpose,
            depth: self.depth,
            revocation: self.revocation,
            named: self.is(Role::Client) && self.names.unwrap_or(usual && !self.continued),
            nameless: !self.stores.is_empty() && self.names.is_none(),
        }
    }

    fn verifier(&self, demand: &Arc<Demand>) -> Arc<Verifier> {
        let verify = self.verify;
        let asked = match self.is(Role::Server) {
            false => verify.peer || verify.mandatory || verify.other || verify.usual,
            true => verify.peer,
        };
        Arc::new(Verifier {
            demand: demand.clone(),
            strict: asked && !self.continued,
            mandatory: verify.mandatory,
        })
    }

    /// What a session needs.
    pub fn build(&self) -> Result<Side, String> {
        let role = self.role.ok_or("invalid mode")?;
        let provider = self.provider();
        let versions = self.versions();
        if versions.is_empty() {
            return Err("no protocols available".into());
        }
        let identities = Arc::new(Identities::new(&self.pairs, &self.stores));
        let demand = Arc::new(self.demand());
        let verifier = self.verifier(&demand);
        let common = Common {
            strict: verifier.strict,
            continued: self.continued,
            demand,
            identities: identities.clone(),
            ignore_eof: self.ignore_eof,
        };
        let resolver = Arc::new(Resolver {
            identities,
            provider: provider.clone(),
        });
        match role {
            Role::Client => self.build_client(provider, &versions, verifier, resolver, common),
            Role::Server => self.build_server(provider, &versions, verifier, resolver, common),
        }
        .map_err(|error| error.to_string())
    }

    fn secrets(&self) -> Arc<Secrets> {
        let file = self.key_log.then(KeyLogFile::new);
        Arc::new(Secrets { file })
    }

    fn build_client(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Arc<Verifier>,
        resolver: Arc<Resolver>,
        common: Common,
    ) -> Result<Side, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(resolver);
        config.alpn_protocols = self.alpn.clone();
        if self.no_ticket {
            config.resumption = Resumption::disabled();
        }
        config.key_log = self.secrets();
        let mut nameless = config.clone();
        nameless.resumption = Resumption::disabled();
        Ok(Side::Client(Arc::new(ClientSide {
            config: Arc::new(config),
            nameless: Arc::new(nameless),
            common,
        })))
    }

    fn build_server(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Arc<Verifier>,
        resolver: Arc<Resolver>,
        common: Common,
    ) -> Result<Side, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let builder = match self.verify.peer {
            true => builder.with_client_cert_verifier(verifier),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.ignore_client_order = self.server_preference;
        if self.no_ticket {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = aws_lc_rs::Ticketer::new()?;
        }
        config.key_log = self.secrets();
        Ok(Side::Server(Arc::new(ServerSide {
            config: Arc::new(config),
            provider,
            settings: self.clone(),
            common,
        })))
    }
}

/// What both sides need beside rustls' configuration.
pub struct Common {
    /// What is asked of the peer.
    pub demand: Arc<Demand>,
    /// Whether a bad certificate ended the handshake.
    pub strict: bool,
    /// Whether bad certificates are noted one by one.
    pub continued: bool,
    /// Our certificates.
    pub identities: Arc<Identities>,
    /// Whether a bare end of the stream is a clean one.
    pub ignore_eof: bool,
}

impl Common {
    /// Judges a peer after the handshake.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&rustls::pki_types::ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Verdict> {
        self.demand.judge(chain, name, now)
    }
}

/// Everything for a client's sessions.
pub struct ClientSide {
    pub(super) config: Arc<ClientConfig>,
    /// For peers without a name, whose sessions could not be told apart.
    pub(super) nameless: Arc<ClientConfig>,
    /// The rest.
    pub common: Common,
}

/// Everything for a server's sessions.
pub struct ServerSide {
    pub(super) config: Arc<ServerConfig>,
    pub(super) provider: Arc<CryptoProvider>,
    settings: Settings,
    /// The rest.
    pub common: Common,
}

impl ServerSide {
    /// The configuration for a session that speaks `protocol`.
    pub(super) fn config_for(&self, protocol: Option<&[u8]>) -> Arc<ServerConfig> {
        match protocol {
            None => self.config.clone(),
            Some(protocol) => {
                let mut config = ServerConfig::clone(&self.config);
                config.alpn_protocols = vec![protocol.to_vec()];
                Arc::new(config)
            }
        }
    }

    /// The first of our protocols that the client has offered. That there is none is no
    /// reason to refuse it, says LuaSec.
    pub(super) fn choose_protocol(&self, offered: &[Vec<u8>]) -> Option<Vec<u8>> {
        self.settings
            .alpn
            .iter()
            .find(|name| offered.contains(name))
            .cloned()
    }

    /// Takes the place of `first`, which the client was going to speak with: what that
    /// demands of the client must hold.
    pub fn in_place_of(self: &Arc<Self>, first: &ServerSide) -> Arc<ServerSide> {
        let (ours, theirs) = (self.settings.verify, first.settings.verify);
        let verify = Verify {
            peer: ours.peer || theirs.peer,
            mandatory: ours.mandatory || theirs.mandatory,
            ..ours
        };
        if verify == ours {
            return self.clone();
        }
        let settings = Settings {
            verify,
            role: Some(Role::Server),
            ..self.settings.clone()
        };
        match settings.build() {
            Ok(Side::Server(side)) => side,
            _ => self.clone(),
        }
    }
}

/// Everything for sessions of one role.
#[derive(Clone)]
pub enum Side {
    /// A client's.
    Client(Arc<ClientSide>),
    /// A server's.
    Server(Arc<ServerSide>),
}

impl Side {
    /// What both have.
    pub fn common(&self) -> &Common {
        match self {
            Side::Client(side) => &side.common,
            Side::Server(side) => &side.common,
        }
    }
}

/// Settings, and what was built from them.
pub struct Context {
    settings: Settings,
    built: Option<Side>,
}

impl Context {
    /// A context for a protocol by LuaSec's name.
    pub fn new(protocol: &str) -> Option<Context> {
        Settings::new(protocol).map(|settings| Context {
            settings,
            built: None,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, to be changed.
    pub fn change(&mut self) -> &mut Settings {
        self.built = None;
        &mut self.settings
    }

    /// What a session needs.
    pub fn side(&mut self) -> Result<Side, String> {
        if let Some(built) = &self.built {
            return Ok(built.clone());
        }
        let built = self.settings.build()?;
        self.built = Some(built.clone());
        Ok(built)
    }
}

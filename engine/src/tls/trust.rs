//! Whom we trust: certificates of authorities, and lists of revoked ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::credentials::{self, Unusable};
use super::pem;

/// Trusted certificates.
#[derive(Default)]
pub struct Store {
    /// The certificates as they came; `None` beside what the system gave.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What chains end at.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// What is revoked.
    pub revoked: Vec<Arc<CertRevocationList<'static>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store of {}", self.certificates.len())
    }
}

impl Store {
    /// The system's, read once in a process.
    pub fn system() -> Arc<Store> {
        static SYSTEM: OnceLock<Arc<Store>> = OnceLock::new();
        let read = || {
            let mut store = Store::default();
            for certificate in rustls_native_certs::load_native_certs().certs {
                store.add(certificate.into_owned());
            }
            Arc::new(store)
        };
        SYSTEM.get_or_init(read).clone()
    }

    /// Those in a PEM file, in the text of one, or one in DER. A file that has not
    /// changed is not read again as long as someone uses it.
    pub fn file(source: &[u8]) -> Result<Arc<Store>, Unusable> {
        let key = Stamp::of(source);
        if let Some(known) = key.as_ref().and_then(Stamp::known) {
            return Ok(known);
        }
        let text = credentials::read(source)?;
        let mut store = Store::default();
        store.add_text(&text);
        if store.is_empty() {
            return Err(Unusable::Because("no certificate or crl found".into()));
        }
        let store = Arc::new(store);
        if let Some(key) = key {
            key.keep(&store);
        }
        Ok(store)
    }

    /// Those of a directory in OpenSSL's layout: files `hhhhhhhh.N`, and `hhhhhhhh.rN`
    /// for lists of revoked ones. A directory that is not there holds none.
    pub fn directory(path: &Path) -> Store {
        let mut store = Store::default();
        let mut paths: Vec<PathBuf> = match std::fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => return store,
        };
        paths.retain(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_hashed)
        });
        paths.sort();
        for path in paths {
            if let Ok(text) = std::fs::read(path) {
                store.add_text(&text);
            }
        }
        store
    }

    /// Both together.
    pub fn join(parts: &[Arc<Store>]) -> Arc<Store> {
        if let [only] = parts {
            return only.clone();
        }
        let mut store = Store::default();
        for part in parts {
            for certificate in &part.certificates {
                store.add(certificate.clone());
            }
            store.revoked.extend(part.revoked.iter().cloned());
        }
        Arc::new(store)
    }

    /// Trusts one more.
    pub fn trust(&mut self, certificate: CertificateDer<'static>) {
        self.add(certificate);
    }

    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.revoked.is_empty()
    }

    fn add_text(&mut self, text: &[u8]) {
        let sections = pem::sections(text);
        for section in &sections {
            if credentials::is_certificate(section.label) {
                self.add(CertificateDer::from(section.der.clone()));
            } else if section.label == "X509 CRL" {
                self.add_revoked(&section.der);
            }
        }
        if sections.is_empty() && super::certificate::Certificate::from_der(text).is_some() {
            self.add(CertificateDer::from(text.to_vec()));
        }
    }

    fn add(&mut self, certificate: CertificateDer<'static>) {
        if self.certificates.contains(&certificate) {
            return;
        }
        if let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) {
            self.anchors.push(anchor.to_owned());
            self.certificates.push(certificate);
        }
    }

    fn add_revoked(&mut self, der: &[u8]) {
        let der = CertificateRevocationListDer::from(der);
        if let Ok(list) = OwnedCertRevocationList::from_der(&der) {
            self.revoked.push(Arc::new(list.into()));
        }
    }
}

/// `hhhhhhhh.N` or `hhhhhhhh.rN`.
fn is_hashed(name: &str) -> bool {
    let Some((hash, number)) = name.split_once('.') else {
        return false;
    };
    let number = number.strip_prefix('r').unwrap_or(number);
    hash.len() == 8
        && hash
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file at a time.
#[derive(PartialEq, Eq, Hash)]
struct Stamp {
    path: PathBuf,
    changed: SystemTime,
    size: u64,
}

impl Stamp {
    fn of(source: &[u8]) -> Option<Stamp> {
        let path = PathBuf::from(
            std::str::from_utf8(source)
                .ok()
                .filter(|path| path.len() < 4096)?,
        );
        let found = std::fs::metadata(&path).ok()?;
        Some(Stamp {
            path,
            changed: found.modified().ok()?,
            size: found.len(),
        })
    }

    fn known(&self) -> Option<Arc<Store>> {
        Stamp::stores().lock().ok()?.get(self)?.upgrade()
    }

    fn keep(self, store: &Arc<Store>) {
        if let Ok(mut stores) = Stamp::stores().lock() {
            stores.retain(|_, store| store.strong_count() > 0);
            stores.insert(self, Arc::downgrade(store));
        }
    }

    fn stores() -> &'static Mutex<HashMap<Stamp, Weak<Store>>> {
        static STORES: OnceLock<Mutex<HashMap<Stamp, Weak<Store>>>> = OnceLock::new();
        STORES.get_or_init(Mutex::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hashed_files() {
        assert!(is_hashed("0a1b2c3d.0"));
        assert!(is_hashed("0a1b2c3d.r12"));
        for name in [
            "0a1b2c3d",
            "0A1B2C3D.0",
            "0a1b2c3.0",
            "0a1b2c3d.x",
            "0a1b2c3d.",
            "root.pem",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}

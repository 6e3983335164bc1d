//! Whether one certificate has issued another.

use std::sync::Arc;

use super::certificate::Certificate;
use super::trust::Store;
use super::verdict::{Demand, Revocation, now};

/// Whether `other` leads to `issuer` by way of those `between`, if `issuer` is the only one
/// we trust; else why not. Nobody leads to an issuer that is issued by others: it would have
/// to lead on.
pub fn check(
    issuer: &Certificate,
    other: &Certificate,
    between: &[Certificate],
) -> Result<(), &'static str> {
    let mut store = Store::default();
    store.trust(issuer.der().clone());
    let demand = Demand {
        store: Arc::new(store),
        client: false,
        depth: 100,
        revocation: Revocation::Off,
        named: false,
        nameless: true,
    };
    let mut chain = vec![other.der().clone()];
    chain.extend(between.iter().map(|certificate| certificate.der().clone()));
    demand.judge_any(&chain, now()).map_err(|verdict| {
        verdict
            .notes
            .first()
            .map_or("application verification failure", |note| note.1)
    })?;
    match issuer.is_root() {
        true => Ok(()),
        false => Err("unable to get issuer certificate"),
    }
}

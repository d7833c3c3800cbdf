//! Which keys may have signed a token.

use std::sync::Arc;

use super::issuer::IssuerAnchor;
use crate::anchor::Anchor;
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::bundle::Bundle;
use crate::credential::jose::jwk::{Jwk, KeySet};
use crate::credential::jose::jws::Header;
use crate::reason::Reason;
use crate::vouch::Vouch;

/// How many keys of one issuer are tried for a token that does not name its key. Issuers that
/// rotate publish two or three at a time.
const NAMELESS_KEYS_TRIED: usize = 4;

/// A key of an anchor that may have signed the token, or why no key of it can have.
pub(super) struct AnchorKey<'a> {
    pub(super) anchor: &'a Arc<Anchor>,
    pub(super) owner: Owner<'a>,
    pub(super) key: Result<&'a Jwk, Reason>,
}

/// Whose key it is.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    Issuer(&'a IssuerAnchor),
    TrustDomain(&'a Bundle),
}

impl Owner<'_> {
    pub(super) fn name(self) -> String {
        match self {
            Self::Issuer(issuer) => issuer.issuer().to_owned(),
            Self::TrustDomain(bundle) => format!("spiffe://{}", bundle.trust_domain),
        }
    }
}

impl AnchorKey<'_> {
    /// Whether this key made the vouch.
    pub(super) fn made(&self, vouch: &Vouch) -> bool {
        let is_key = |key: &&Jwk| key.name() == vouch.key();
        self.owner.name() == vouch.by() && self.key.as_ref().is_ok_and(is_key)
    }

    /// How an attempt calls it.
    pub(super) fn name(&self) -> String {
        match &self.key {
            Ok(key) => format!("key {} of {}", key.name(), self.anchor.name),
            Err(_) => self.anchor.name.clone(),
        }
    }
}

/// The keys of a set that may have signed the token, or the one reason why none can have.
pub(super) fn select<'a>(
    set: &'a KeySet,
    header: &Header,
    owner: &str,
) -> Vec<Result<&'a Jwk, Reason>> {
    if let Some(id) = &header.key_id {
        let named = set.keys().iter().find(|key| key.id() == Some(id));
        let set_aside = || set.set_aside().iter().find(|key| key.id() == Some(id));
        let key = named.ok_or_else(|| match set_aside() {
            Some(key) => key.reason().clone(),
            None => Reason::KeyUnknown {
                key: id.clone(),
                issuer: owner.to_owned(),
                known: set.names(),
            },
        });
        return vec![key];
    }
    let fitting: Vec<&Jwk> = set
        .keys()
        .iter()
        .filter(|key| key.admits(header.algorithm).is_ok())
        .collect();
    match fitting.len() {
        0 => vec![Err(none_fits(set, header.algorithm, owner))],
        1..=NAMELESS_KEYS_TRIED => fitting.into_iter().map(Ok).collect(),
        count => vec![Err(Reason::KeyAmbiguous {
            issuer: owner.to_owned(),
            count,
        })],
    }
}

/// Why none of the keys fits a token that names none.
fn none_fits(set: &KeySet, algorithm: Algorithm, owner: &str) -> Reason {
    let mismatch = set
        .keys()
        .iter()
        .find_map(|key| key.admits(algorithm).err());
    let set_aside = || set.set_aside().first().map(|key| key.reason().clone());
    mismatch.or_else(set_aside).unwrap_or(Reason::KeyUnknown {
        key: "(none named)".to_owned(),
        issuer: owner.to_owned(),
        known: set.names(),
    })
}

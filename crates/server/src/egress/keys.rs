//! The keys of one API: the one that is good now, and the one that comes next. They are kept under
//! the seal of the tenant and shown to nobody.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use avouch_core::id::Digest;
use avouch_store::keyring::{Sealed, SecretOf};
use avouch_store::{EgressId, EgressRecord};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::tenant::Tenant;

/// What an API is shown.
pub(super) struct Keys {
    current: Zeroizing<String>,
    next: Option<Zeroizing<String>>,
    /// What the API signs its webhooks with.
    webhook: Vec<Zeroizing<String>>,
    /// Whether the API has refused the current one last and a next one is there, on this server.
    is_over: AtomicBool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Clone for Keys {
    fn clone(&self) -> Self {
        Self {
            current: self.current.clone(),
            next: self.next.clone(),
            webhook: self.webhook.clone(),
            is_over: AtomicBool::new(self.is_over.load(Ordering::Relaxed)),
        }
    }
}

impl Keys {
    pub(super) fn of(current: Zeroizing<String>) -> Self {
        Self {
            current,
            next: None,
            webhook: Vec::new(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether one waits to be the only one.
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Whether these are the same keys.
    pub(super) fn are(&self, other: &Self) -> bool {
        self.current == other.current && self.next == other.next && self.webhook == other.webhook
    }

    /// The one that is used now, with one that comes next.
    pub(super) fn followed_by(&self, next: Zeroizing<String>) -> Self {
        Self {
            next: Some(next),
            webhook: self.webhook.clone(),
            ..Self::of(Zeroizing::new(self.first().to_owned()))
        }
    }

    /// The one that comes next, alone.
    pub(super) fn promoted(&self) -> Option<Self> {
        let alone = Self::of(self.next.clone()?);
        Some(alone.checking_with(self.webhook.clone()))
    }

    /// The same with these secrets of webhooks.
    pub(super) fn checking_with(self, webhook: Vec<Zeroizing<String>>) -> Self {
        Self { webhook, ..self }
    }

    /// What the API signs its webhooks with.
    pub(super) fn webhook(&self) -> &[Zeroizing<String>] {
        &self.webhook
    }

    /// The one to be shown first.
    pub(super) fn first(&self) -> &str {
        match &self.next {
            Some(next) if self.is_over.load(Ordering::Relaxed) => next,
            Some(_) | None => &self.current,
        }
    }

    /// The other one, to be shown where one was refused; from now on it is the first. An API may refuse
    /// for a reason of its own, so what was the first once can become it again.
    pub(super) fn after_refusal(&self, refused: &str) -> Option<&str> {
        let next = self.next.as_ref()?;
        let is_over = refused == self.current.as_str();
        self.is_over.store(is_over, Ordering::Relaxed);
        Some(if is_over { next } else { &self.current })
    }

    /// Whether bytes hold one of them.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        let holds = |key: &str| bytes.windows(key.len()).any(|part| part == key.as_bytes());
        let mut all = std::iter::once(&self.current)
            .chain(&self.next)
            .chain(&self.webhook);
        all.any(|key| holds(key))
    }

    /// Their digests, the one that is used now first.
    pub(super) fn digests(&self, tenant: &Tenant) -> Vec<String> {
        let keys = std::iter::once(&self.current).chain(&self.next);
        let mut digests: Vec<String> = keys.map(|key| digest(tenant, key)).collect();
        if self.is_over.load(Ordering::Relaxed) {
            digests.reverse();
        }
        digests
    }

    pub(super) fn open(tenant: &Tenant, record: &EgressRecord) -> Result<Self, Fault> {
        let owner = SecretOf::Egress(&record.id);
        let text = tenant.keys.sealing().open(owner, &record.secret)?;
        let keys: Value = serde_json::from_slice(&text)
            .map_err(|_| Fault::Stored("the keys of an egress cannot be read".to_owned()))?;
        let key = |name: &str| {
            keys.get(name)?
                .as_str()
                .map(|key| Zeroizing::new(key.to_owned()))
        };
        let current = key("current");
        let current = current.ok_or_else(|| Fault::Stored("an egress has no key".to_owned()))?;
        let webhook = keys.get("webhook").and_then(Value::as_array);
        let webhook = webhook.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            next: key("next"),
            webhook: webhook
                .map(|secret| Zeroizing::new(secret.to_owned()))
                .collect(),
            ..Self::of(current)
        })
    }

    pub(super) fn sealed(&self, tenant: &Tenant, id: &EgressId) -> Result<Sealed, Fault> {
        let next = self.next.as_ref().map(|next| next.as_str());
        let webhook: Vec<&str> = self.webhook.iter().map(|secret| secret.as_str()).collect();
        let text = json!({"current": self.current.as_str(), "next": next, "webhook": webhook});
        let text = text.to_string();
        let text = Zeroizing::new(text);
        let sealing = tenant.keys.sealing();
        Ok(sealing.seal(SecretOf::Egress(id), text.as_bytes())?)
    }
}

/// By what a person tells keys apart: nobody learns the key from it, and nobody can try whether it is one
/// that they guess.
pub(super) fn digest(tenant: &Tenant, key: &str) -> String {
    let tag = tenant.keys.sealing().tag("egress key", key.as_bytes());
    Digest::of(&tag).short()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn what_was_refused_makes_room_for_what_comes_next() {
        let keys = Keys::of(key("first")).followed_by(key("second"));
        assert_eq!(keys.first(), "first");
        assert_eq!(keys.after_refusal("first"), Some("second"));
        // Refused for a reason of the API's own, it makes room again.
        assert_eq!(keys.first(), "second");
        assert_eq!(keys.after_refusal("second"), Some("first"));
        assert_eq!(keys.first(), "first");
        assert_eq!(keys.after_refusal("first"), Some("second"));
        let keys = keys.followed_by(key("third"));
        assert_eq!(keys.first(), "second");
        assert_eq!(keys.after_refusal("second"), Some("third"));
        assert_eq!(keys.promoted().unwrap().first(), "third");
    }

    #[test]
    fn a_key_is_found_wherever_it_stands_and_shown_nowhere() {
        let keys = Keys::of(key("first-key")).followed_by(key("second-key"));
        assert!(keys.are_in(b"{\"header\": \"Bearer second-key\"}"));
        assert!(!keys.are_in(b"first"));
        assert!(!format!("{keys:?}").contains("-key"));
    }
}

//! What was about to be signed, written down before it was.

use avouch_core::exchange::statement::Ancestor;
use avouch_core::id::{Digest, SpiffeId};
use avouch_core::time::Time;
use serde_json::{Value, json};

use crate::names::{AuthorityId, EntryId, IntentId};

/// What an authority is about to sign. There is nothing secret in it: a token cannot be made from
/// the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRow {
    /// Its name, unique within the tenant for ever.
    pub id: IntentId,
    /// What is to be signed.
    pub kind: CredentialKind,
    /// By which authority.
    pub authority: AuthorityId,
    /// For which registration entry, if for one.
    pub entry: Option<EntryId>,
    /// Through which node, if a node asked for it.
    pub node: Option<SpiffeId>,
    /// For whom.
    pub subject: SpiffeId,
    /// The SHA-256 digest of exactly the bytes to be signed.
    pub content: Digest,
    /// From when on the credential is valid.
    pub not_before: Time,
    /// Until when the credential is valid.
    pub not_after: Time,
    /// When the intent was made.
    pub recorded: Time,
    /// What it descends from, the first ancestor first, if it is given in exchange.
    pub lineage: Vec<Ancestor>,
    /// What was decided besides, in JSON: who asked, under which rule, or what became of an authority.
    pub decision: Option<String>,
}

impl IntentRow {
    /// The lineage as it is stored: nothing for none.
    pub(crate) fn lineage_text(&self) -> Option<String> {
        // The same text as that of the value, which is a copy of it all.
        let text = || serde_json::to_string(&self.lineage);
        let as_value = || json!(self.lineage).to_string();
        (!self.lineage.is_empty()).then(|| text().unwrap_or_else(|_| as_value()))
    }

    /// Reads a lineage as it is stored.
    pub(crate) fn read_lineage(text: Option<&str>) -> Option<Vec<Ancestor>> {
        let Some(text) = text else {
            return Some(Vec::new());
        };
        let stored: Vec<Value> = serde_json::from_str(text).ok()?;
        stored.iter().map(Ancestor::of_claim).collect()
    }
}

/// What is to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// An X509-SVID.
    X509,
    /// A JWT-SVID.
    Jwt,
    /// A WIT-SVID.
    Wit,
    /// The certificate of an authority.
    Authority,
    /// A certificate that is no X509-SVID.
    Certificate,
    /// A list of revoked certificates.
    RevocationList,
    /// A security event.
    Event,
    /// A status list of tokens.
    StatusList,
    /// An answer about certificates (OCSP).
    StatusResponse,
    /// Nothing: a certificate was taken back.
    Revocation,
    /// Nothing: an authority came into another part of its life.
    LifeCycle,
}

impl CredentialKind {
    const ALL: [Self; 11] = [
        Self::X509,
        Self::Jwt,
        Self::Wit,
        Self::Authority,
        Self::Certificate,
        Self::RevocationList,
        Self::Event,
        Self::StatusList,
        Self::StatusResponse,
        Self::Revocation,
        Self::LifeCycle,
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Jwt => "jwt",
            Self::Wit => "wit",
            Self::Authority => "authority",
            Self::Certificate => "certificate",
            Self::RevocationList => "revocation_list",
            Self::Event => "event",
            Self::StatusList => "status_list",
            Self::StatusResponse => "status_response",
            Self::Revocation => "revocation",
            Self::LifeCycle => "life_cycle",
        }
    }
}

#[cfg(test)]
mod tests {
    use avouch_core::ended::{Birth, Mark};

    use super::*;

    #[test]
    fn a_lineage_is_stored_as_tokens_tell_it_and_read_back() {
        let ancestor = Ancestor {
            of: None,
            of_domain: None,
            anchor: "ci".to_owned(),
            issuer: "https://issuer.example.com".to_owned(),
            key: "key \"1\"".to_owned(),
            thumbprint: None,
            digest: Digest::of(b"token"),
            birth: Birth {
                at: Some(Time::from_unix(5)),
                marks: vec![Mark::subject("a", "b"), Mark::session("a", "c")],
            },
            scopes: None,
            audiences: None,
        };
        let scoped = Ancestor {
            scopes: Some(vec!["read".to_owned(), "write".to_owned()]),
            thumbprint: Some(Digest::of(b"key")),
            audiences: Some(vec!["https://a.test".to_owned()]),
            ..ancestor.clone()
        };
        let elsewhere = Ancestor {
            of: Some("https://b.test/t/two".to_owned()),
            of_domain: Some("two.test".to_owned()),
            ..ancestor.clone()
        };
        let lineage = vec![ancestor.clone(), scoped.clone(), elsewhere.clone()];
        let row = IntentRow {
            id: IntentId::parse("name").unwrap(),
            kind: CredentialKind::Jwt,
            authority: AuthorityId::parse("authority").unwrap(),
            entry: None,
            node: None,
            subject: SpiffeId::parse("spiffe://a.test/b").unwrap(),
            content: Digest::of(b"content"),
            not_before: Time::from_unix(0),
            not_after: Time::from_unix(0),
            recorded: Time::from_unix(0),
            lineage: lineage.clone(),
            decision: None,
        };
        let text = row.lineage_text().unwrap();
        let claims = json!([ancestor.to_claim(), scoped.to_claim(), elsewhere.to_claim()]);
        assert_eq!(text, claims.to_string());
        assert_eq!(IntentRow::read_lineage(Some(&text)), Some(lineage));
        let alone = IntentRow {
            lineage: Vec::new(),
            ..row
        };
        assert_eq!(alone.lineage_text(), None);
    }

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for kind in CredentialKind::ALL {
            assert_eq!(CredentialKind::parse(kind.name()), Some(kind));
        }
    }
}

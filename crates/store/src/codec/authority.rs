//! Authorities as rows, with what they revoked.

use avouch_core::id::TrustDomain;
use avouch_core::time::Time;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::keyring::Sealed;
use crate::names::AuthorityId;
use crate::record::{
    AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse,
    RevocationListRecord, RevokedCertificate,
};

#[derive(Serialize, Deserialize)]
pub(super) struct StoredAuthority {
    trust_domain: String,
    kind: String,
    role: String,
    state: String,
    since: i64,
    not_before: i64,
    not_after: i64,
    public_key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_address: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    key_is_brought: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_for: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<StoredRevocation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation_list: Option<StoredRevocationList>,
}

/// A public key as it stands in a body.
pub(crate) fn key_text(public_key: &[u8]) -> String {
    Base64::encode_string(public_key)
}

#[derive(Serialize, Deserialize)]
struct StoredRevocation {
    serial: String,
    at: i64,
    reason: u8,
    not_after: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredRevocationList {
    number: u64,
    this_update: i64,
    next_update: i64,
    der: String,
}

impl StoredAuthority {
    pub(super) fn of(record: &AuthorityRecord) -> Self {
        let certificates = record.certificates.iter();
        Self {
            trust_domain: record.trust_domain.to_string(),
            kind: record.kind.name().to_owned(),
            role: record.role.name().to_owned(),
            state: record.state.name().to_owned(),
            since: record.since.unix(),
            not_before: record.not_before.unix(),
            not_after: record.not_after.unix(),
            public_key: key_text(&record.public_key),
            certificates: certificates.map(|der| Base64::encode_string(der)).collect(),
            key_address: record.key_address.clone(),
            key_is_brought: record.key_is_brought,
            used_for: (record.used_for != AuthorityUse::Services)
                .then(|| record.used_for.name().to_owned()),
            revoked: record.revoked.iter().map(StoredRevocation::of).collect(),
            revocation_list: record
                .revocation_list
                .as_deref()
                .map(StoredRevocationList::of),
        }
    }

    pub(super) fn read(
        body: &str,
        id: AuthorityId,
        secret: Option<Vec<u8>>,
    ) -> Option<AuthorityRecord> {
        let stored: Self = serde_json::from_str(body).ok()?;
        let certificates = stored.certificates.iter();
        Some(AuthorityRecord {
            id,
            trust_domain: TrustDomain::parse(&stored.trust_domain).ok()?,
            kind: AuthorityKind::parse(&stored.kind)?,
            role: AuthorityRole::parse(&stored.role)?,
            state: AuthorityState::parse(&stored.state)?,
            since: Time::from_unix(stored.since),
            not_before: Time::from_unix(stored.not_before),
            not_after: Time::from_unix(stored.not_after),
            public_key: Base64::decode_vec(&stored.public_key).ok()?,
            certificates: certificates
                .map(|text| Base64::decode_vec(text).ok())
                .collect::<Option<_>>()?,
            private_key: secret.map(Sealed::from_stored),
            key_address: stored.key_address,
            key_is_brought: stored.key_is_brought,
            used_for: match stored.used_for {
                Some(used_for) => AuthorityUse::parse(&used_for)?,
                None => AuthorityUse::Services,
            },
            revoked: stored
                .revoked
                .into_iter()
                .map(StoredRevocation::read)
                .collect(),
            revocation_list: match stored.revocation_list {
                Some(list) => Some(Box::new(list.read()?)),
                None => None,
            },
        })
    }
}

impl StoredRevocation {
    fn of(revoked: &RevokedCertificate) -> Self {
        Self {
            serial: revoked.serial.clone(),
            at: revoked.at.unix(),
            reason: revoked.reason,
            not_after: revoked.not_after.unix(),
        }
    }

    fn read(self) -> RevokedCertificate {
        RevokedCertificate {
            serial: self.serial,
            at: Time::from_unix(self.at),
            reason: self.reason,
            not_after: Time::from_unix(self.not_after),
        }
    }
}

impl StoredRevocationList {
    fn of(list: &RevocationListRecord) -> Self {
        Self {
            number: list.number,
            this_update: list.this_update.unix(),
            next_update: list.next_update.unix(),
            der: Base64::encode_string(&list.der),
        }
    }

    fn read(self) -> Option<RevocationListRecord> {
        Some(RevocationListRecord {
            number: self.number,
            this_update: Time::from_unix(self.this_update),
            next_update: Time::from_unix(self.next_update),
            der: Base64::decode_vec(&self.der).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, Object};
    use crate::codec::Row;

    #[test]
    fn an_authority_keeps_its_private_key_out_of_its_body() {
        let record = AuthorityRecord {
            id: AuthorityId::parse("k").unwrap(),
            trust_domain: TrustDomain::parse("a.test").unwrap(),
            kind: AuthorityKind::Jwt,
            role: AuthorityRole::Root,
            state: AuthorityState::Prepared,
            since: Time::from_unix(1),
            not_before: Time::from_unix(2),
            not_after: Time::from_unix(3),
            public_key: vec![1, 2, 3],
            certificates: vec![vec![4], vec![5, 6]],
            private_key: Some(Sealed::from_stored(vec![7; 40])),
            key_address: None,
            key_is_brought: false,
            used_for: AuthorityUse::Services,
            revoked: Vec::new(),
            revocation_list: None,
        };
        let change = Change::Put(Object::Authority(record));
        let row = Row::of(&change).unwrap();
        assert_eq!(
            row.body.as_deref(),
            Some(
                r#"{"trust_domain":"a.test","kind":"jwt","role":"root","state":"prepared","since":1,"not_before":2,"not_after":3,"public_key":"AQID","certificates":["BA==","BQY="]}"#
            )
        );
        assert_eq!(row.secret, Some(vec![7; 40]));
        assert_eq!(row.into_change(), Ok(change));
    }
}

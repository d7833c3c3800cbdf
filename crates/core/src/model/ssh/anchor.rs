//! What a tenant trusts of SSH: authorities for users or hosts, or keys that are listed.

use serde_json::Value;

use crate::credential::members::{Members, trust_document};
use crate::credential::ssh::{NoKey, SshKey, SshKind};
use crate::reason::Reason;

/// The most keys of one anchor.
const MOST_KEYS: usize = 64;

/// The facts of whoever is believed by SSH.
pub(crate) const FACTS: &[&str] = &[
    "ssh.ca",
    "ssh.fingerprint",
    "ssh.key_id",
    "ssh.kind",
    "ssh.principal",
    "ssh.serial",
];

/// An anchor of SSH.
#[derive(Clone, Debug)]
pub struct SshAnchor {
    keys: Vec<SshKey>,
    trust: Trust,
}

/// What its keys are trusted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// They certify users or hosts.
    Certifying {
        kind: SshKind,
        /// The names that are taken; all if there is none.
        principals: Vec<String>,
    },
    /// Whoever holds one is this subject.
    Listed { subject: String },
}

impl SshAnchor {
    /// Whether its keys are trusted with what those of another are.
    pub(crate) fn has_terms_of(&self, other: &Self) -> bool {
        self.trust == other.trust
    }

    /// Reads `{"authorities": […], "certify": "users" | "hosts", "principals": […]}` or
    /// `{"keys": […], "subject": "…"}`. Keys are written as in a file `.pub`.
    ///
    /// # Errors
    ///
    /// `input.trust_document_malformed`, `input.unsafe_text`.
    pub fn read_at(place: &str, value: &Value) -> Result<Self, Reason> {
        const CERTIFYING: [&str; 3] = ["authorities", "certify", "principals"];
        const LISTED: [&str; 2] = ["keys", "subject"];
        let object = value
            .as_object()
            .ok_or_else(|| trust_document(format!("`{place}` must be an object")))?;
        if object.contains_key("keys") {
            let members = Members::of(object, place, &LISTED)?;
            let subject = members.required_text("subject")?.to_owned();
            return Ok(Self {
                keys: keys(&members, "keys")?,
                trust: Trust::Listed { subject },
            });
        }
        let members = Members::of(object, place, &CERTIFYING)?;
        let kind = match members.required_text("certify")? {
            "users" => SshKind::User,
            "hosts" => SshKind::Host,
            other => {
                return Err(trust_document(format!(
                    "`{place}.certify` must be `users` or `hosts`, but is `{other}`"
                )));
            }
        };
        let principals = members.texts("principals")?;
        if let Some(pattern) = principals.iter().find(|one| one.contains(['*', '?'])) {
            return Err(trust_document(format!(
                "`{place}.principals` has `{pattern}`; names are compared exactly"
            )));
        }
        Ok(Self {
            keys: keys(&members, "authorities")?,
            trust: Trust::Certifying { kind, principals },
        })
    }

    /// The fingerprints of its keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(SshKey::fingerprint).collect()
    }

    /// The one subject of its keys, if they are listed.
    pub fn subject(&self) -> Option<&str> {
        match &self.trust {
            Trust::Certifying { .. } => None,
            Trust::Listed { subject } => Some(subject),
        }
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(super) fn has(&self, key: &SshKey) -> bool {
        self.keys.contains(key)
    }
}

/// What stands after a key is for people and is not shown, so it may be any text, such as the end of the
/// line of a file.
fn keys(members: &Members<'_>, name: &str) -> Result<Vec<SshKey>, Reason> {
    let place = members.place(name);
    let refuse = |detail: &str| trust_document(format!("`{place}` {detail}"));
    let texts = match members.get(name) {
        Some(Value::Array(texts)) if !texts.is_empty() => texts,
        Some(_) | None => return Err(refuse("must be a list of keys that is not empty")),
    };
    if texts.len() > MOST_KEYS {
        return Err(refuse("has more than 64 keys"));
    }
    let keys = texts.iter().map(|text| {
        let key = SshKey::parse(text.as_str().unwrap_or_default());
        key.map_err(|no| match no {
            NoKey::Unread => refuse("must have keys as in a file `.pub`: Ed25519, ECDSA or RSA"),
            NoKey::Weak(why) => refuse(&format!("has a key that is weak: {why}")),
        })
    });
    keys.collect()
}

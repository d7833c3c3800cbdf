//! What was issued, for as long as it stays on record: one credential by its serial number, or those of
//! an identity, an entry or a node.

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_store::{CredentialKind, EntryId, IntentId, IntentRow};

use crate::fault::{Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many are read from the store at a time.
const PAGE: u32 = 1_000;

/// How many are looked at for one answer: who looks for a few among many goes on with the next.
const MOST_LOOKED_AT: usize = 50_000;

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) subject: Option<SpiffeId>,
    pub(crate) entry: Option<EntryId>,
    /// Through which node.
    pub(crate) node: Option<SpiffeId>,
    /// Not before this.
    pub(crate) since: Option<Time>,
    /// After the place up to which was told before.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
    /// Everything, also what is nobody's credential.
    pub(crate) all: bool,
}

/// Where something stands among all that was issued.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    recorded: Time,
    id: IntentId,
}

impl Place {
    fn of(intent: &IntentRow) -> Self {
        Self {
            recorded: intent.recorded,
            id: intent.id.clone(),
        }
    }

    /// Reads what `to_string` writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (recorded, id) = text.split_once('.')?;
        Some(Self {
            recorded: Time::from_unix(recorded.parse().ok()?),
            id: IntentId::parse(id)?,
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.recorded.unix(), self.id)
    }
}

impl Asked {
    fn means(&self, intent: &IntentRow) -> bool {
        // A list of revoked certificates and an event are nobody's credential.
        let is_credential = match intent.kind {
            CredentialKind::X509
            | CredentialKind::Jwt
            | CredentialKind::Wit
            | CredentialKind::Authority
            | CredentialKind::Certificate => true,
            CredentialKind::RevocationList
            | CredentialKind::Event
            | CredentialKind::StatusList
            | CredentialKind::StatusResponse
            | CredentialKind::Revocation
            | CredentialKind::LifeCycle => self.all,
        };
        let is = |subject: &SpiffeId| intent.subject == *subject;
        is_credential
            && self.subject.as_ref().is_none_or(is)
            && (self.entry.is_none() || self.entry == intent.entry)
            && (self.node.is_none() || self.node == intent.node)
    }
}

/// A serial number as it is stored, of one that other programs have shown (`0x41A2`, `41:a2`).
pub(crate) fn plain_serial(shown: &str) -> String {
    let plain = shown.replace(':', "").to_ascii_lowercase();
    match plain.strip_prefix("0x") {
        Some(digits) => digits.to_owned(),
        None => plain,
    }
}

impl Plane {
    /// What has this serial number, in hexadecimal with colons or without; or this `jti`, of a token.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn issued_as(&self, tenant: &Tenant, serial: &str) -> Result<IntentRow, Refused> {
        let plain = plain_serial(serial);
        for name in [serial, plain.as_str()] {
            let Some(id) = IntentId::parse(name) else {
                continue;
            };
            if let Some(found) = self.store.intent(tenant.id(), &id)? {
                return Ok(found);
            }
        }
        Err(unknown("credential on record, with the serial number", serial).into())
    }

    /// What was issued, the first first, and the place from which there is more.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn issued_since(
        &self,
        tenant: &Tenant,
        asked: &Asked,
    ) -> Result<(Vec<IntentRow>, Option<Place>), Refused> {
        let mut seen = asked.after.clone();
        let begin = seen.as_ref().map(|place| place.recorded).max(asked.since);
        let mut from = begin.unwrap_or(Time::from_unix(0));
        let (mut limit, mut looked_at, mut found) = (PAGE, 0, Vec::new());
        loop {
            let page = self.store.intents(tenant.id(), from, limit)?;
            let is_last = page.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let reached = page.last().map_or(from, |last| last.recorded);
            for intent in page {
                let place = Place::of(&intent);
                if seen.as_ref().is_some_and(|seen| place <= *seen) {
                    continue;
                }
                if looked_at == MOST_LOOKED_AT {
                    return Ok((found, seen));
                }
                looked_at += 1;
                if asked.means(&intent) {
                    if found.len() == asked.limit {
                        return Ok((found, seen));
                    }
                    found.push(intent);
                }
                seen = Some(place);
            }
            if is_last {
                return Ok((found, None));
            }
            // More than a page of one second is asked for again as a whole.
            if reached == from {
                limit = limit.saturating_mul(2);
            }
            from = reached;
        }
    }
}

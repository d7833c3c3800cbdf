//! The log of issuance and revocation: what was decided, by whom and under which rule.
//!
//! An intent is such a decision, on record before anything is signed. What takes something back is
//! written beside it in the very commit that takes it back, and so is every step in the life of an
//! authority. Read from its beginning, the log comes to the same [`State`] as what the server holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use avouch_core::id::{Digest, SpiffeId};
use avouch_core::time::Time;
use avouch_store::{
    AuthorityRecord, AuthorityState, Change, CredentialKind, Fault as StoreFault, IntentId,
    IntentRow, Key, Object, RevokedCertificate, Sequence, Store, Within,
};
use serde_json::{Value, json};

use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How long ago the time is at which a state is told, in seconds: until then all is on record.
const SETTLED: i64 = 2;

/// How the part of its life is called in which an authority is no more.
const REMOVED: &str = "removed";

thread_local! {
    /// Who asked for what this thread does. Like a span it goes with the call, through everything that
    /// comes to be stored, and no function on the way can forget to pass it on.
    static ASKED_BY: RefCell<Option<SpiffeId>> = const { RefCell::new(None) };
}

/// Does something that somebody asked for.
pub(crate) fn asked_by<T>(who: Option<SpiffeId>, work: impl FnOnce() -> T) -> T {
    let before = ASKED_BY.replace(who);
    let done = work();
    ASKED_BY.set(before);
    done
}

/// A decision that says who asked, if somebody did.
pub(crate) fn asked() -> Option<String> {
    ASKED_BY.with_borrow(|who| {
        let who = who.as_ref()?;
        Some(json!({ "by": who.as_str() }).to_string())
    })
}

/// A decision under an exchange rule.
pub(crate) fn under_rule(rule: &str) -> Option<String> {
    (!rule.is_empty()).then(|| json!({ "rule": rule }).to_string())
}

/// A decision, with who asked.
fn decision(mut members: Value) -> Option<String> {
    ASKED_BY.with_borrow(|who| {
        if let (Some(who), Some(members)) = (who, members.as_object_mut()) {
            members.insert("by".to_owned(), who.as_str().into());
        }
    });
    Some(members.to_string())
}

/// Stores changes with the decisions that they are, in one commit, keeping to bounds.
pub(crate) fn store(
    store: &dyn Store,
    tenant: &Tenant,
    at: Sequence,
    changes: &[Change],
    decisions: &[IntentRow],
    within: &[Within],
) -> Result<Sequence, StoreFault> {
    if decisions.is_empty() && within.is_empty() {
        return store.apply_at(tenant.id(), at, changes);
    }
    let stored = store.apply_within(tenant.id(), &[], decisions, at, changes, within);
    stored.map(|(_, number)| number)
}

/// What changes decide about certificates and authorities.
pub(crate) fn decisions(
    tenant: &Tenant,
    changes: &[Change],
    now: Time,
) -> Result<Vec<IntentRow>, Fault> {
    let concerned = |change: &&Change| {
        matches!(
            change,
            Change::Put(Object::Authority(_)) | Change::Remove(Key::Authority(_))
        )
    };
    let mut decisions = Vec::new();
    for change in changes.iter().filter(concerned) {
        tenant.read(|snapshot| match change {
            Change::Put(Object::Authority(record)) => {
                let before = snapshot.authorities.get(&record.id);
                if before.is_none_or(|before| before.state != record.state) {
                    let at = moment(record.since, now);
                    decisions.push(step(record, record.state.name(), at, snapshot.sequence));
                }
                let known: BTreeSet<&str> = before
                    .iter()
                    .flat_map(|before| &before.revoked)
                    .map(|one| one.serial.as_str())
                    .collect();
                let new = record.revoked.iter();
                let new = new.filter(|one| !known.contains(one.serial.as_str()));
                decisions.extend(new.map(|one| revocation(record, one, moment(one.at, now))));
            }
            Change::Remove(Key::Authority(id)) => {
                let before = snapshot.authorities.get(id);
                let removed = |record| step(record, REMOVED, now, snapshot.sequence);
                decisions.extend(before.map(removed));
            }
            _ => {}
        });
    }
    let decisions: Option<Vec<IntentRow>> = decisions.into_iter().collect();
    decisions.ok_or_else(|| Fault::Bug("a decision cannot be named".to_owned()))
}

/// When it was decided, as what is stored tells it: a second may have gone by between. A log and a state
/// of different seconds would seem to have been changed.
fn moment(told: Time, now: Time) -> Time {
    let is_of_now = (0..=SETTLED).contains(&now.since(told));
    if is_of_now { told } else { now }
}

/// That an authority has come into a part of its life, after the change of the number `after`: it may come
/// into the same one again, also within a second.
fn step(record: &AuthorityRecord, state: &str, now: Time, after: Sequence) -> Option<IntentRow> {
    let head: String = record.id.as_str().chars().take(64).collect();
    Some(IntentRow {
        // In the order of its life, also within a second.
        id: IntentId::parse(&format!(
            "{head}.{}-{state}-{}-{}",
            rank(state),
            now.unix(),
            after.number()
        ))?,
        kind: CredentialKind::LifeCycle,
        content: Digest::of(&record.public_key),
        not_before: record.not_before,
        not_after: record.not_after,
        decision: decision(json!({ "state": state })),
        ..nothing(record, now)?
    })
}

fn rank(state: &str) -> u8 {
    match AuthorityState::parse(state) {
        Some(AuthorityState::Requested) => 0,
        Some(AuthorityState::Prepared) => 1,
        Some(AuthorityState::Active) => 2,
        Some(AuthorityState::Retired) => 3,
        Some(AuthorityState::Tainted) => 4,
        Some(AuthorityState::Revoked) => 5,
        None => 6,
    }
}

/// That a certificate was taken back.
fn revocation(record: &AuthorityRecord, one: &RevokedCertificate, now: Time) -> Option<IntentRow> {
    Some(IntentRow {
        id: IntentId::parse(&format!("revoked-{}", one.serial))?,
        kind: CredentialKind::Revocation,
        content: Digest::of(one.serial.as_bytes()),
        not_before: one.at,
        not_after: one.not_after,
        decision: decision(json!({ "serial": one.serial, "reason": one.reason })),
        ..nothing(record, now)?
    })
}

fn nothing(record: &AuthorityRecord, now: Time) -> Option<IntentRow> {
    Some(IntentRow {
        id: IntentId::parse("nothing")?,
        kind: CredentialKind::LifeCycle,
        authority: record.id.clone(),
        entry: None,
        node: None,
        subject: SpiffeId::parse(&format!("spiffe://{}", record.trust_domain)).ok()?,
        content: Digest::of(&[]),
        not_before: record.not_before,
        not_after: record.not_after,
        recorded: now,
        lineage: Vec::new(),
        decision: None,
    })
}

/// What lives, and what has become of who signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    authorities: BTreeMap<String, Authority>,
    revoked: BTreeSet<String>,
    credentials: BTreeMap<String, Credential>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    state: String,
    not_after: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Credential {
    authority: String,
    spiffe_id: String,
    not_after: Time,
}

impl State {
    /// Follows one entry of the log, as it is told, if it was made by `at`.
    ///
    /// # Errors
    ///
    /// What is missing in it.
    pub fn follow(&mut self, entry: &Value, at: Time) -> Result<(), String> {
        let text = |name: &str| {
            let text = entry.get(name).and_then(Value::as_str);
            text.ok_or_else(|| format!("`{name}` is missing"))
        };
        let time = |name: &str| {
            let time = avouch_api::text::time(text(name)?);
            time.ok_or_else(|| format!("`{name}` is no time"))
        };
        let decided = |name: &str| {
            let text = entry.pointer(&format!("/decision/{name}"));
            let text = text.and_then(Value::as_str);
            text.ok_or_else(|| format!("`decision.{name}` is missing"))
        };
        if time("at")? > at {
            return Ok(());
        }
        let authority = text("authority")?.to_owned();
        let not_after = time("not_after")?;
        match text("what")? {
            "authority" => {
                let state = decided("state")?.to_owned();
                let stands = Authority { state, not_after };
                self.authorities.insert(authority, stands);
            }
            "revoked" => {
                self.revoked.insert(decided("serial")?.to_owned());
            }
            "issued" => {
                let credential = Credential {
                    authority,
                    spiffe_id: text("spiffe_id")?.to_owned(),
                    not_after,
                };
                self.credentials.insert(text("id")?.to_owned(), credential);
            }
            _ => {}
        }
        Ok(())
    }

    /// What lives at a time, by name.
    fn living(&self, at: Time) -> impl Iterator<Item = (&String, &Credential)> {
        self.credentials.iter().filter(move |(name, credential)| {
            let signer = self.authorities.get(&credential.authority);
            let is_believed = signer.is_some_and(|signer| {
                ![REMOVED, AuthorityState::Revoked.name()].contains(&signer.state.as_str())
            });
            is_believed && credential.not_after >= at && !self.revoked.contains(*name)
        })
    }

    /// How many credentials live at a time.
    pub fn count(&self, at: Time) -> usize {
        self.living(at).count()
    }

    /// How many authorities have not ended at a time.
    pub fn authorities(&self, at: Time) -> usize {
        self.standing(at).count()
    }

    fn standing(&self, at: Time) -> impl Iterator<Item = (&String, &Authority)> {
        let all = self.authorities.iter();
        all.filter(move |(_, one)| one.not_after >= at && one.state != REMOVED)
    }

    /// The digest of all that lives at a time, and of the authorities.
    pub fn digest(&self, at: Time) -> Digest {
        let mut lines: Vec<String> = vec![format!("at {}", at.unix())];
        lines.extend(
            self.standing(at).map(|(name, one)| {
                format!("authority {name} {} {}", one.state, one.not_after.unix())
            }),
        );
        lines.extend(self.living(at).map(|(name, one)| {
            let Credential {
                authority,
                spiffe_id,
                not_after,
            } = one;
            format!(
                "credential {name} {authority} {spiffe_id} {}",
                not_after.unix()
            )
        }));
        Digest::of_list(lines.iter().map(String::as_bytes))
    }
}

impl Plane {
    /// What the server holds to live, and since when that stands: not from the log, but from the records
    /// of the authorities and the intents of what has not ended.
    pub(crate) fn issuance_state(
        &self,
        tenant: &Tenant,
        asked: Option<Time>,
    ) -> Result<(Time, State), Refused> {
        let mut state = State::default();
        let mut at = asked.unwrap_or(self.now().plus(-SETTLED));
        tenant.read(|snapshot| {
            for record in snapshot.authorities.values() {
                // What is known of an authority is how it stands now.
                at = at.max(record.since);
                let stands = Authority {
                    state: record.state.name().to_owned(),
                    not_after: record.not_after,
                };
                state.authorities.insert(record.id.to_string(), stands);
                for revoked in &record.revoked {
                    at = at.max(revoked.at);
                    state.revoked.insert(revoked.serial.clone());
                }
            }
        });
        let live = self.live_at(tenant, at, |intent| {
            what_is(intent.kind) == "issued" && intent.recorded <= at
        });
        state.credentials = live?
            .into_iter()
            .map(|intent| {
                let credential = Credential {
                    authority: intent.authority.to_string(),
                    spiffe_id: intent.subject.to_string(),
                    not_after: intent.not_after,
                };
                (intent.id.to_string(), credential)
            })
            .collect();
        Ok((at, state))
    }
}

/// What an entry of the log is, in a word.
pub(crate) fn what_is(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::X509
        | CredentialKind::Jwt
        | CredentialKind::Wit
        | CredentialKind::Certificate => "issued",
        CredentialKind::Authority | CredentialKind::LifeCycle => "authority",
        CredentialKind::RevocationList | CredentialKind::StatusList => "list",
        CredentialKind::StatusResponse => "status",
        CredentialKind::Event => "event",
        CredentialKind::Revocation => "revoked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_told_with_the_time_of_what_is_stored_unless_that_is_of_another_day() {
        let now = Time::from_unix(1_000);
        for (told, at) in [
            (1_000, 1_000),
            (999, 999),
            (998, 998),
            (997, 1_000),
            (1_001, 1_000),
        ] {
            assert_eq!(
                moment(Time::from_unix(told), now),
                Time::from_unix(at),
                "{told}"
            );
        }
    }
}

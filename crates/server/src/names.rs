//! Names that are held to ids since a rule first admitted who had them, and what has drifted since.
//!
//! Both are objects of the tenant: in the memory of every server, so that an exchange looks them up and
//! writes only what it sees for the first time. Of several servers that see a name first at the same
//! time one holds it: a write rests on the state that was looked at, and whoever comes second looks
//! again.

use std::sync::Arc;

use avouch_core::exchange::drift::{Drift, DriftKind, Name};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_store::{Change, Key, NameId, NameRecord, Object};
use serde_json::{Value, json};

use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How often something is held anew because something else has changed meanwhile.
const MOST_TRIES: usize = 16;

/// The most that is told to have drifted in one tenant: whoever can have tokens of an issuer made shall
/// not fill the store with them.
const MOST_DRIFT: usize = 1_024;

/// How the names of what is stored begin: what a name is held to, what an id is called, what drifted.
const NAME: &str = "name-";
const ID: &str = "id-";
const DRIFT: &str = "drift-";

impl Plane {
    /// Refuses someone whose name a rule holds to another id, and tells of it.
    pub(crate) fn check_names(
        &self,
        tenant: &Arc<Tenant>,
        rule: &str,
        names: &[Name],
        decision: &str,
    ) -> Result<(), Refused> {
        for name in names {
            let Some(held) = document(tenant, &held_as(rule, name)) else {
                continue;
            };
            let id = member(&held, "id");
            if id == name.id {
                continue;
            }
            let drift = Drift {
                kind: DriftKind::Resurrected,
                rule: rule.to_owned(),
                fact: name.fact.to_owned(),
                was: name.name.clone(),
                is: name.id.clone(),
                id_fact: name.id_fact,
                id: id.clone(),
            };
            self.tell_drift(tenant, &drift, decision)?;
            return Err(Reason::IssueNameResurrected {
                name: format!("{} {}", name.fact, name.name),
                rule: rule.to_owned(),
                held: id,
                seen: name.id.clone(),
            }
            .into());
        }
        Ok(())
    }

    /// Holds names to their ids that are not yet. What is held already costs nothing.
    pub(crate) fn hold_names(
        &self,
        tenant: &Arc<Tenant>,
        rule: &str,
        names: &[Name],
        decision: &str,
    ) -> Result<(), Refused> {
        for _ in 0..MOST_TRIES {
            let at = tenant.read(|snapshot| snapshot.sequence);
            self.check_names(tenant, rule, names, decision)?;
            let mut changes = Vec::new();
            let mut renamed = Vec::new();
            for name in names {
                if document(tenant, &held_as(rule, name)).is_some() {
                    continue;
                }
                let since = self.now().to_string();
                let stored = json!({
                    "rule": rule, "fact": name.fact, "name": name.name, "id_fact": name.id_fact,
                    "id": name.id, "since": since, "decision": decision,
                });
                let called = called_as(rule, name.id_fact, &name.id);
                if let Some(was) = document(tenant, &called) {
                    renamed.push(Drift {
                        kind: DriftKind::Renamed,
                        rule: rule.to_owned(),
                        fact: name.fact.to_owned(),
                        was: member(&was, "name"),
                        is: name.name.clone(),
                        id_fact: name.id_fact,
                        id: name.id.clone(),
                    });
                }
                changes.push(put(held_as(rule, name), &stored));
                changes.push(put(called, &stored));
            }
            if changes.is_empty() {
                return Ok(());
            }
            match self.apply_at(tenant, at, &changes) {
                Ok(_) => {
                    for drift in &renamed {
                        self.tell_drift(tenant, drift, decision)?;
                    }
                    return Ok(());
                }
                Err(Refused::Reason(reason)) if matches!(*reason, Reason::IssueConflict { .. }) => {
                }
                Err(other) => return Err(other),
            }
        }
        Err(Fault::Stored(format!("the tenant {} changes too fast", tenant.id())).into())
    }

    /// What a rule knows an id by.
    pub(crate) fn was_called(
        &self,
        tenant: &Tenant,
        rule: &str,
        id_fact: &str,
        id: &str,
    ) -> Option<String> {
        let known = document(tenant, &called_as(rule, id_fact, id))?;
        Some(member(&known, "name"))
    }

    /// Tells once that something has drifted: keeps it until someone has done something about it.
    pub(crate) fn tell_drift(
        &self,
        tenant: &Arc<Tenant>,
        drift: &Drift,
        decision: &str,
    ) -> Result<(), Refused> {
        let id = stored_as(
            DRIFT,
            &[
                drift.kind.name(),
                &drift.rule,
                &drift.fact,
                &drift.was,
                &drift.is,
            ],
        );
        let (is_told, count) = tenant.read(|snapshot| {
            let all = snapshot.names.keys();
            let told = all.filter(|id| id.as_str().starts_with(DRIFT)).count();
            (snapshot.names.contains_key(&id), told)
        });
        if is_told {
            return Ok(());
        }
        self.counters.drifted(drift.kind.name());
        tracing::warn!(
            decision, tenant = %tenant.id(), rule = drift.rule, kind = drift.kind.name(),
            "{drift}; {}", drift.change()
        );
        if count >= MOST_DRIFT {
            return Ok(());
        }
        let stored = json!({
            "kind": drift.kind.name(), "rule": drift.rule, "fact": drift.fact, "was": drift.was,
            "is": drift.is, "id_fact": drift.id_fact, "id": drift.id,
            "first_seen": self.now().to_string(), "decision": decision,
            "tells": drift.to_string(), "change": drift.change(),
        });
        self.apply(tenant, &[put(id, &stored)])?;
        Ok(())
    }

    /// Forgets a name of a rule, so that its next use holds it anew, and what was told about it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown` when the rule holds no such name; what failed on our side.
    pub(crate) fn forget_name(
        &self,
        tenant: &Arc<Tenant>,
        rule: &str,
        name: &str,
    ) -> Result<(), Refused> {
        let keys = matching(tenant, |stored| {
            let is_named = |which: &str| member(stored, which) == name;
            member(stored, "rule") == rule
                && (is_named("name") || is_named("was") || is_named("is"))
        });
        if keys.is_empty() {
            return Err(Reason::IssueObjectUnknown {
                object: "name",
                name: name.chars().take(256).collect(),
            }
            .into());
        }
        self.apply(tenant, &keys)?;
        Ok(())
    }
}

/// The removals of all that belongs to a rule.
pub(crate) fn of_rule(tenant: &Tenant, rule: &str) -> Vec<Change> {
    matching(tenant, |stored| member(stored, "rule") == rule)
}

/// Names that are held, and what has drifted.
pub(crate) fn all(tenant: &Tenant) -> (Vec<Value>, Vec<Value>) {
    let read = |kind: &str| {
        tenant.read(|snapshot| {
            let records = snapshot.names.values();
            let records = records.filter(|record| record.id.as_str().starts_with(kind));
            records
                .filter_map(|record| serde_json::from_str(&record.document).ok())
                .collect()
        })
    };
    (read(NAME), read(DRIFT))
}

fn matching(tenant: &Tenant, wanted: impl Fn(&Value) -> bool) -> Vec<Change> {
    tenant.read(|snapshot| {
        let records = snapshot.names.values().filter(|record| {
            let stored: Result<Value, _> = serde_json::from_str(&record.document);
            stored.is_ok_and(|stored| wanted(&stored))
        });
        records
            .map(|record| Change::Remove(Key::Name(record.id.clone())))
            .collect()
    })
}

fn held_as(rule: &str, name: &Name) -> NameId {
    stored_as(NAME, &[rule, name.fact, &name.name])
}

fn called_as(rule: &str, id_fact: &str, id: &str) -> NameId {
    stored_as(ID, &[rule, id_fact, id])
}

/// Under which name something is stored: a digest, since names of others may have any letters.
fn stored_as(kind: &'static str, parts: &[&str]) -> NameId {
    let digest = Digest::of_list(parts.iter().map(|part| part.as_bytes()));
    NameId::of_digest(kind, &digest)
}

fn put(id: NameId, stored: &Value) -> Change {
    let document = stored.to_string();
    Change::Put(Object::Name(NameRecord { id, document }))
}

fn document(tenant: &Tenant, id: &NameId) -> Option<Value> {
    let text = tenant.read(|snapshot| {
        let record = snapshot.names.get(id);
        record.map(|record| record.document.clone())
    });
    serde_json::from_str(&text?).ok()
}

fn member(document: &Value, name: &str) -> String {
    let text = document.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

//! Names that are held to ids since a rule first admitted who had them, and what has drifted since.
//!
//! Both are objects of the tenant: in the memory of every server, so that an exchange looks them up and
//! writes only what it sees for the first time. A name is held by the same change of the store that uses
//! the credential up and records what is given for it, so nothing that was used before holds a name. Of
//! several servers that see a name first at the same time one holds it: a write rests on the state that
//! was looked at, and whoever comes second looks again.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::exchange::drift::{Drift, DriftKind, Name};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{Change, IntentRow, Key, NameId, NameRecord, Object, SingleUse, Snapshot, Used};
use serde_json::{Value, json};

use crate::fault::{Refused, unknown};
use crate::plane::Plane;
use crate::tenant::{Held, Tenant};

/// The most that is told to have drifted in one tenant: whoever can have tokens of an issuer made shall
/// not fill the store with them.
const MOST_DRIFT: usize = 1_024;

/// The most names that are held in one tenant, for one rule, and for one id under one rule. Beyond
/// that, a name that was not seen before is not admitted. None is let go for another: whoever has many
/// names made could have the one forgotten that they want to take over. Whom a rule admits can fill
/// what is that rule's, and whoever renames what is theirs only what is theirs.
const MOST_NAMES: usize = 100_000;
const MOST_OF_RULE: usize = 10_000;
const MOST_OF_ID: usize = 32;

/// How the names of what is stored begin: what a name is held to, what an id is called, what drifted.
const NAME: &str = "name-";
const ID: &str = "id-";
const DRIFT: &str = "drift-";

impl Plane {
    /// Refuses someone whose name a rule holds to another id, and tells of it. Whether all names are
    /// held already.
    pub(crate) fn check_names(
        &self,
        tenant: &Arc<Tenant>,
        rule: &str,
        names: &[Name],
        decision: &str,
    ) -> Result<bool, Refused> {
        let mut are_held = true;
        for name in names {
            let Some(held) = held_by(tenant, rule, name) else {
                are_held = false;
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
                is_admitted: false,
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
        Ok(are_held)
    }

    /// Whether all of the names are held to these very ids, so that nothing is to be stored or told.
    pub(crate) fn holds_names(&self, tenant: &Tenant, rule: &str, names: &[Name]) -> bool {
        let mut held = names.iter().map(|name| {
            let held = held_by(tenant, rule, name);
            held.is_some_and(|held| member(&held, "id") == name.id)
        });
        held.all(|is_held| is_held)
    }

    /// Refuses whoever brings more names than may be held.
    pub(crate) fn check_room_for_names(
        &self,
        tenant: &Tenant,
        naming: &Naming,
    ) -> Result<(), Reason> {
        naming.to_hold(&tenant.held(), self.now()).map(drop)
    }

    /// Uses and records, and holds names to their ids that are not yet: all of it, or nothing. It
    /// blocks.
    pub(crate) fn use_record_and_hold(
        &self,
        tenant: &Arc<Tenant>,
        uses: &[SingleUse],
        intents: &[IntentRow],
        naming: &Naming,
    ) -> Result<Vec<Used>, Refused> {
        let settled = self.settle_all(tenant, uses, intents, || {
            let holding = naming.to_hold(&tenant.held(), self.now())?;
            let holding = holding.ok_or_else(|| Reason::IssueConflict {
                detail: "someone else has come to have one of the names".to_owned(),
            })?;
            Ok((holding.renamed, holding.changes))
        });
        let (renamed, told) = match settled {
            // Who has a name by now is why, and is told of, which is a change of its own.
            Err(refused) if refused.is_conflict() => {
                self.check_names(tenant, &naming.rule, &naming.names, &naming.decision)?;
                return Err(refused);
            }
            settled => settled?,
        };
        let is_first = told.iter().all(|used| *used == Used::First);
        for drift in renamed.iter().filter(|_| is_first) {
            self.tell_drift(tenant, drift, &naming.decision)?;
        }
        Ok(told)
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
        let (is_told, count) = {
            let held = tenant.held();
            (held.snapshot.names.contains_key(&id), held.names.drifted)
        };
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
            "tells": drift.to_string(), "change": drift.change(), "admitted": drift.is_admitted,
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
            // It may be written in large letters or small where it was seen.
            let is_named = |which: &str| member(stored, which).eq_ignore_ascii_case(name);
            member(stored, "rule") == rule
                && (is_named("name") || is_named("was") || is_named("is"))
        });
        if keys.is_empty() {
            return Err(unknown("name", name).into());
        }
        self.apply(tenant, &keys)?;
        Ok(())
    }
}

/// Names that a rule is to hold to their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    /// The rule.
    pub(crate) rule: String,
    pub(crate) names: Vec<Name>,
    /// With which decision.
    pub(crate) decision: String,
    /// Whether all of them are held already, so that nothing is left to do.
    pub(crate) are_held: bool,
}

/// What is stored to hold names, and whose other names these are.
struct Holding {
    changes: Vec<Change>,
    renamed: Vec<Drift>,
}

impl Naming {
    /// What is to be stored, of names that are not held yet; nothing if someone else has one.
    fn to_hold(&self, held: &Held, now: Time) -> Result<Option<Holding>, Reason> {
        let mut holding = Holding {
            changes: Vec::new(),
            renamed: Vec::new(),
        };
        let known = |id: &NameId| read(held.snapshot.names.get(id)?);
        for name in &self.names {
            let held_as = [held_as(&self.rule, name), spelt_as(&self.rule, name)];
            if let Some(known) = held_as.iter().find_map(known) {
                if member(&known, "id") != name.id {
                    return Ok(None);
                }
                continue;
            }
            let called = called_as(&self.rule, name.id_fact, &name.id);
            match held
                .names
                .admit(&self.rule, name, &called, holding.changes.len())
            {
                Ok(()) => {}
                // Whoever else comes under this name is not admitted anyway.
                Err(_) if name.is_by_id => continue,
                Err(reason) => return Err(reason),
            }
            if let Some(was) = known(&called) {
                holding.renamed.push(Drift {
                    kind: DriftKind::Renamed,
                    rule: self.rule.clone(),
                    fact: name.fact.to_owned(),
                    was: member(&was, "name"),
                    is: name.name.clone(),
                    id_fact: name.id_fact,
                    id: name.id.clone(),
                    // Names are held of those whom the rule has admitted.
                    is_admitted: true,
                });
            }
            let stored = json!({
                "rule": self.rule, "fact": name.fact, "name": name.name, "id_fact": name.id_fact,
                "id": name.id, "since": now.to_string(), "decision": self.decision,
            });
            let [held_as, _] = held_as;
            holding.changes.push(put(held_as, &stored));
            holding.changes.push(put(called, &stored));
        }
        Ok(Some(holding))
    }
}

/// How many names are held, and how much has drifted.
#[derive(Debug, Default)]
pub(crate) struct Count {
    names: usize,
    by_rule: BTreeMap<String, usize>,
    by_id: BTreeMap<NameId, usize>,
    drifted: usize,
}

impl Count {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut count = Self::default();
        for record in snapshot.names.values() {
            count.follow(None, Some(record));
        }
        count
    }

    /// Follows that something is stored, is stored otherwise, or is forgotten.
    pub(crate) fn follow(&mut self, before: Option<&NameRecord>, after: Option<&NameRecord>) {
        if let Some(before) = before {
            self.add(before, |count| *count = count.saturating_sub(1));
        }
        if let Some(after) = after {
            self.add(after, |count| *count += 1);
        }
    }

    fn add(&mut self, record: &NameRecord, add: impl Fn(&mut usize)) {
        if record.id.as_str().starts_with(DRIFT) {
            add(&mut self.drifted);
        }
        if !record.id.as_str().starts_with(NAME) {
            return;
        }
        add(&mut self.names);
        let Some(stored) = read(record) else {
            return;
        };
        let rule = member(&stored, "rule");
        let id = called_as(&rule, &member(&stored, "id_fact"), &member(&stored, "id"));
        let of_rule = self.by_rule.entry(rule).or_default();
        add(of_rule);
        let of_id = self.by_id.entry(id.clone()).or_default();
        add(of_id);
        if *of_id == 0 {
            self.by_id.remove(&id);
        }
    }

    /// Whether one more name may be held, besides as many changes as are about to be made.
    fn admit(&self, rule: &str, name: &Name, id: &NameId, besides: usize) -> Result<(), Reason> {
        // Each name is two changes: by itself, and by its id.
        let besides = besides / 2;
        let of_rule = self.by_rule.get(rule).copied().unwrap_or(0);
        let of_id = self.by_id.get(id).copied().unwrap_or(0);
        let bounds = [
            (self.names + besides, MOST_NAMES, "the tenant".to_owned()),
            (of_rule + besides, MOST_OF_RULE, format!("the rule {rule}")),
            (
                of_id,
                MOST_OF_ID,
                format!("{} {} under the rule {rule}", name.id_fact, name.id),
            ),
        ];
        let exceeded = bounds.into_iter().find(|(held, most, _)| held >= most);
        match exceeded {
            None => Ok(()),
            Some((_, most, what)) => Err(Reason::IssueNamesExcess {
                what,
                most: u32::try_from(most).unwrap_or(u32::MAX),
            }),
        }
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

/// What a name is held to, if it is.
fn held_by(tenant: &Tenant, rule: &str, name: &Name) -> Option<Value> {
    let held = document(tenant, &held_as(rule, name));
    held.or_else(|| document(tenant, &spelt_as(rule, name)))
}

fn held_as(rule: &str, name: &Name) -> NameId {
    held_under(rule, name, &name.as_compared())
}

fn held_under(rule: &str, name: &Name, spelling: &str) -> NameId {
    let mut parts = vec![rule, name.fact, spelling];
    parts.extend(name.below.as_deref());
    stored_as(NAME, &parts)
}

/// As it was held before names were compared as their issuers do.
fn spelt_as(rule: &str, name: &Name) -> NameId {
    held_under(rule, name, &name.name)
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
    tenant.read(|snapshot| read(snapshot.names.get(id)?))
}

fn read(record: &NameRecord) -> Option<Value> {
    serde_json::from_str(&record.document).ok()
}

fn member(document: &Value, name: &str) -> String {
    let text = document.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

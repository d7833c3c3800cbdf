//! What a node is told of a tenant: everything, or what has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_api::grpc::node::{Bundle, Distrust, Ended, Entry, Update};
use avouch_core::id::Digest;
use avouch_core::template::Whose;
use avouch_store::{Key, Sequence, SignalKey, SignalKind};

use super::parts::{fit_one_message, in_parts};
use crate::fault::Fault;
use crate::grants::{self, kinds};
use crate::nodes::Admitted;
use crate::plane::Plane;
use crate::quotas::Workloads;
use crate::signals::mark_of;
use crate::tenant::{Changed, Held, Tenant};

/// How many endings one message carries, so that none is longer than readers take.
const ENDED_PER_MESSAGE: usize = 10_000;

/// How far a node has been told of a tenant.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// None before the first message.
    number: Option<u64>,
    /// How many anchors had ended then.
    ended_anchors: usize,
    /// For which workloads entries could be then, if that is known: there is one of these for each node
    /// and tenant, so it is not kept in words.
    workloads: Option<Digest>,
}

impl Position {
    /// What a node says it holds from before.
    pub(super) fn claimed(number: u64) -> Self {
        Self {
            number: Some(number),
            // What had ended when that was told is not known, so it is told again if anything has.
            ended_anchors: 0,
            workloads: None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number.unwrap_or_default()
    }
}

/// What a node is to be told now; moves its position on, unless that fails.
pub(super) fn updates(
    plane: &Plane,
    node: &Admitted,
    tenant: &Arc<Tenant>,
    position: &mut Position,
) -> Result<Vec<Update>, Fault> {
    let held = tenant.held();
    let sequence = held.snapshot.sequence;
    // What ends by itself is no change of the tenant. Who has nothing to do is here again soon enough
    // to see it.
    let ended_anchors = held.ended_anchors(plane.now());
    let has_ended = position.ended_anchors != ended_anchors;
    // Tenants above say so, too, and what they change is no change of this one.
    let workloads = plane.workloads_under(tenant, held.snapshot.quota.as_ref());
    let name = workloads.digest();
    let are_others = match position.workloads {
        Some(known) => known != name,
        // What held when it was told before is not known.
        None => position.number.is_some() && !workloads.are_all(),
    };
    if position.number == Some(sequence.number()) && !has_ended && !are_others {
        return Ok(Vec::new());
    }
    let telling = Telling {
        plane,
        node,
        node_facts: grants::node_facts(node),
        tenant,
        held: &held,
        workloads: &workloads,
    };
    let changed = position
        .number
        .filter(|_| !are_others)
        .and_then(|number| held.changed_after(Sequence::of(number)))
        .map(Iterator::collect::<Vec<_>>)
        // What was attested of it may have changed, or which workloads entries may be for, which
        // selects other entries.
        .filter(|changed| {
            !changed
                .iter()
                .any(|changed| telling.is_itself(&changed.key) || changed.key == Key::Quota)
        });
    let updates = match changed {
        Some(changed) => telling.changes(changed, has_ended)?,
        None => telling.everything()?,
    };
    *position = Position {
        number: Some(sequence.number()),
        ended_anchors,
        workloads: Some(name),
    };
    Ok(updates)
}

struct Telling<'a> {
    plane: &'a Plane,
    node: &'a Admitted,
    /// What was told of the node when it was attested.
    node_facts: Vec<String>,
    tenant: &'a Arc<Tenant>,
    held: &'a Held,
    workloads: &'a Workloads,
}

impl Telling<'_> {
    fn everything(&self) -> Result<Vec<Update>, Fault> {
        let ids = self.held.by_node.of(self.node.id());
        let entries = ids.filter_map(|id| self.held.snapshot.entries.get(id));
        let entries: Vec<Entry> = entries.filter_map(|entry| self.told(entry)).collect();
        let first = Update {
            anew: true,
            distrust: Some(self.distrust()),
            ..self.empty()
        };
        let mut updates = in_parts(first, &self.empty(), self.bundles()?, entries);
        // What ended comes with the first message, and in more after the last if it is much.
        let records = self.held.snapshot.signals_of(SignalKind::Ended);
        let ended = self.ended(records.map(|record| &record.key));
        let mut parts = ended.chunks(ENDED_PER_MESSAGE);
        if let (Some(first), Some(part)) = (updates.first_mut(), parts.next()) {
            first.ended = part.to_vec();
        }
        let is_more = parts.len() > 0;
        if let (true, Some(last)) = (is_more, updates.last_mut()) {
            last.more = true;
        }
        let count = parts.len();
        for (number, part) in (1..).zip(parts) {
            updates.push(Update {
                ended: part.to_vec(),
                more: number < count,
                ..self.empty()
            });
        }
        Ok(updates)
    }

    fn is_itself(&self, key: &Key) -> bool {
        let Key::Node(id) = key else {
            return false;
        };
        let record = self.held.snapshot.nodes.get(id);
        record.is_some_and(|record| record.spiffe_id == *self.node.id())
    }

    /// What has changed, and all bundles if one of them has ended.
    fn changes(&self, changed: Vec<&Changed>, has_ended: bool) -> Result<Vec<Update>, Fault> {
        // Whether the node may hold each, as it was before any of the changes.
        let mut keys: BTreeMap<&Key, bool> = BTreeMap::new();
        for changed in changed {
            let may_hold = keys.entry(&changed.key).or_default();
            *may_hold |= changed.was_for.includes(self.node.id());
        }
        let mut entries = Vec::new();
        let mut removed = Vec::new();
        let mut ended = Vec::new();
        let mut bundles = has_ended;
        for (key, may_hold) in keys {
            match key {
                Key::Entry(id) => {
                    let entry = self.held.snapshot.entries.get(id);
                    match entry.and_then(|entry| self.told(entry)) {
                        Some(told) => entries.push(told),
                        None if may_hold => removed.push(id.to_string()),
                        None => {}
                    }
                }
                Key::Anchor(_) | Key::Authority(_) | Key::TrustDomain(_) => bundles = true,
                Key::Admin(_)
                | Key::Attestor(_)
                | Key::Egress(_)
                | Key::Federation(_)
                | Key::JoinToken(_)
                | Key::Name(_)
                | Key::Tally(_)
                | Key::Node(_)
                | Key::Quota
                | Key::Rule(_)
                | Key::Issuer(_)
                | Key::IssuerKeys(_)
                | Key::IssuerPins(_)
                | Key::Service(_) => {}
                Key::Signal(signal) if signal.kind == SignalKind::Ended => ended.push(signal),
                Key::Signal(_) => {}
            }
        }
        let ended = self.ended(ended.into_iter());
        if entries.is_empty() && removed.is_empty() && !bundles && ended.is_empty() {
            return Ok(Vec::new());
        }
        let mut first = Update {
            removed,
            ended,
            ..self.empty()
        };
        let mut known = Vec::new();
        if bundles {
            known = self.bundles()?;
            // What comes in parts takes its place as a whole only where all is told anew.
            if !fit_one_message(&known) {
                return self.everything();
            }
            first.distrust = Some(self.distrust());
        }
        Ok(in_parts(first, &self.empty(), known, entries))
    }

    /// An entry as the node is told of it: with the facts of the node filled in. None if it is for
    /// another node, or if this one lacks a fact that it names.
    fn told(&self, entry: &avouch_store::Entry) -> Option<Entry> {
        if !self.node.serves(entry) || !self.workloads.admit(&entry.selectors) {
            return None;
        }
        if entry.spiffe_id.fixed().is_some() {
            return Some(told(entry, entry.spiffe_id.as_str()));
        }
        let identity = entry.spiffe_id.fill(Whose::Node, &self.node_facts).ok()?;
        Some(told(entry, identity.as_str()))
    }

    fn empty(&self) -> Update {
        Update {
            tenant: self.tenant.id().to_string(),
            sequence: self.held.snapshot.sequence.number(),
            ..Update::default()
        }
    }

    fn bundles(&self) -> Result<Vec<Bundle>, Fault> {
        self.plane.bundles_known(self.held)
    }

    /// What ended, or ends nothing any more.
    fn ended<'b>(&self, keys: impl Iterator<Item = &'b SignalKey>) -> Vec<Ended> {
        let endings = &self.held.endings;
        let marks = keys.filter_map(mark_of);
        let told = marks.map(|mark| match endings.of(mark) {
            Some(ending) => Ended {
                mark: mark.digest().as_bytes().to_vec(),
                before: ending.before.unix(),
                closed: ending.is_closed(),
                standing: ending.stands_since().unix(),
                event: ending.event.clone(),
                by: ending.by.clone(),
                gone: false,
            },
            None => Ended {
                mark: mark.digest().as_bytes().to_vec(),
                gone: true,
                ..Ended::default()
            },
        });
        told.collect()
    }

    fn distrust(&self) -> Distrust {
        Distrust {
            authorities: self.held.distrusted(),
        }
    }
}

fn told(entry: &avouch_store::Entry, identity: &str) -> Entry {
    let extras = &entry.extras;
    Entry {
        id: entry.id.to_string(),
        spiffe_id: identity.to_owned(),
        selectors: entry.selectors.iter().map(ToString::to_string).collect(),
        federates_with: extras
            .federates_with
            .iter()
            .map(ToString::to_string)
            .collect(),
        hint: extras.hint.clone(),
        created: entry.created.unix(),
        revision: revision(entry, identity),
        kinds: kinds(entry),
    }
}

/// The head of a digest of what goes into SVIDs.
fn revision(entry: &avouch_store::Entry, identity: &str) -> u64 {
    let ttls = [entry.extras.x509_ttl, entry.extras.jwt_ttl].map(|ttl| format!("{ttl:?}"));
    // What was issued lives no longer than its entry, so another end gives others.
    let end = entry.extras.expires.map(|end| end.to_string());
    let parts = std::iter::once(identity)
        .chain(ttls.iter().map(String::as_str))
        .chain(end.as_deref())
        .chain(entry.extras.dns_names.iter().map(String::as_str));
    let digest = Digest::of_list(parts.map(str::as_bytes));
    let head = digest.as_bytes().iter().take(8);
    head.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

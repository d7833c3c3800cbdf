//! Certificate policies (RFC 5280 6.1.2 to 6.1.5) over the policy graph of RFC 9618.
//!
//! The tree of RFC 5280 grows exponentially with its mappings. The graph has one node for each
//! policy of each certificate, whatever the mappings, so a hostile path costs no more than it
//! carries.
//!
//! Anchors are certificates here, and RFC 5280 6.1.1 (d) looks at nothing in them but name and
//! key. We hold an anchor to the constraints that it states about the paths below it, as if it
//! were the certificate before the first (RFC 5937 3.2), since whoever made it meant them. The
//! policies it lists bind nobody: roots list what they are operated under, not what may be used.

use std::collections::{BTreeMap, BTreeSet};

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ANY_POLICY;

use crate::budget::Budget;
use crate::credential::x509::Certificate;
use crate::question::InitialPolicies;
use crate::reason::Reason;
use crate::stop::Stop;

/// The policies, as the anchor names them, under which the whole path holds: the
/// user-constrained policy set of RFC 9618 5.6, in which `anyPolicy` stands for all. `path` goes
/// from the certificate below the anchor to the end entity. Refused when a certificate or the
/// question requires a policy and none is left.
pub(super) fn check(
    path: &[&Certificate],
    anchor: Option<&Certificate>,
    initial: &InitialPolicies,
    budget: &mut Budget,
) -> Result<Vec<ObjectIdentifier>, Stop> {
    let mut state = State::new(path.len(), initial);
    if let Some(anchor) = anchor {
        state.constrain(anchor);
    }
    for (index, certificate) in path.iter().enumerate() {
        let is_last = index + 1 == path.len();
        state.take(certificate, is_last, budget)?;
        if !is_last {
            state.map(certificate, budget)?;
            state.count_down(certificate);
            state.constrain(certificate);
        }
    }
    state.conclude(path.last().copied(), initial)
}

struct State {
    graph: Graph,
    /// Certificates until a policy is required (RFC 5280 6.1.2 (d)).
    explicit: u32,
    /// Whoever brought `explicit` to where it is.
    explicit_by: Option<String>,
    /// Certificates until `anyPolicy` no longer counts (RFC 5280 6.1.2 (e)).
    any: u32,
    /// Certificates until mappings no longer count (RFC 5280 6.1.2 (f)).
    mapping: u32,
}

impl State {
    fn new(length: usize, initial: &InitialPolicies) -> Self {
        let never = u32::try_from(length).unwrap_or(u32::MAX).saturating_add(1);
        let unless = |now: bool| if now { 0 } else { never };
        Self {
            graph: Graph::new(),
            explicit: unless(initial.require_explicit),
            explicit_by: initial.require_explicit.then(|| "The question".to_owned()),
            any: unless(initial.inhibit_any),
            mapping: unless(initial.inhibit_mapping),
        }
    }

    /// RFC 5280 6.1.3 (d) to (f), as RFC 9618 5.2 and 5.3 have them.
    fn take(
        &mut self,
        certificate: &Certificate,
        is_last: bool,
        budget: &mut Budget,
    ) -> Result<(), Stop> {
        match &certificate.extensions().certificate_policies {
            Some(policies) => {
                let any_counts = self.any > 0 || (!is_last && certificate.is_self_issued());
                self.graph.grow(&policies.value, any_counts, budget)?;
            }
            None => self.graph.clear(),
        }
        if self.explicit == 0 && self.graph.is_empty() {
            return Err(self.none_left(certificate));
        }
        Ok(())
    }

    /// RFC 5280 6.1.4 (a), (b), as RFC 9618 5.4 has them.
    fn map(&mut self, certificate: &Certificate, budget: &mut Budget) -> Result<(), Stop> {
        let Some(mappings) = &certificate.extensions().policy_mappings else {
            return Ok(());
        };
        budget.policy_nodes(mappings.value.len())?;
        let mut targets: BTreeMap<ObjectIdentifier, BTreeSet<ObjectIdentifier>> = BTreeMap::new();
        for (from, to) in &mappings.value {
            if [*from, *to].contains(&ANY_POLICY) {
                let subject = certificate.title().to_string();
                return Err(Reason::PolicyMappingOfAny { subject }.into());
            }
            targets.entry(*from).or_default().insert(*to);
        }
        if self.mapping > 0 {
            for (policy, to) in targets {
                self.graph.map(policy, to);
            }
        } else {
            self.graph.remove(targets.keys());
        }
        Ok(())
    }

    /// RFC 5280 6.1.4 (h).
    fn count_down(&mut self, certificate: &Certificate) {
        if certificate.is_self_issued() {
            return;
        }
        for counter in [&mut self.explicit, &mut self.any, &mut self.mapping] {
            *counter = counter.saturating_sub(1);
        }
    }

    /// RFC 5280 6.1.4 (i), (j).
    fn constrain(&mut self, certificate: &Certificate) {
        let extensions = certificate.extensions();
        if let Some(constraints) = &extensions.policy_constraints {
            if let Some(skip) = constraints.value.require_explicit {
                self.require(skip, certificate);
            }
            if let Some(skip) = constraints.value.inhibit_mapping {
                self.mapping = self.mapping.min(skip);
            }
        }
        if let Some(skip) = &extensions.inhibit_any_policy {
            self.any = self.any.min(skip.value);
        }
    }

    fn require(&mut self, skip: u32, certificate: &Certificate) {
        if skip < self.explicit {
            self.explicit = skip;
            self.explicit_by = Some(certificate.title().to_string());
        }
    }

    /// RFC 5280 6.1.5 (a), (b), (g), as RFC 9618 5.6 has them.
    fn conclude(
        mut self,
        end_entity: Option<&Certificate>,
        initial: &InitialPolicies,
    ) -> Result<Vec<ObjectIdentifier>, Stop> {
        let Some(end_entity) = end_entity else {
            return Ok(Vec::new());
        };
        self.explicit = self.explicit.saturating_sub(1);
        let constraints = end_entity.extensions().policy_constraints.as_ref();
        if constraints.and_then(|constraints| constraints.value.require_explicit) == Some(0) {
            self.require(0, end_entity);
        }
        let held = self.graph.policies_of_the_anchor();
        if self.explicit == 0 && held.is_empty() {
            return Err(self.none_left(end_entity));
        }
        let accepted = accepted(&held, initial);
        if self.explicit == 0 && accepted.is_empty() {
            let names = |policies: &mut dyn Iterator<Item = &ObjectIdentifier>| {
                policies.map(ToString::to_string).collect()
            };
            return Err(Reason::PolicyNotAccepted {
                subject: end_entity.title().to_string(),
                policies: names(&mut held.iter()),
                accepted: names(&mut initial.accepted.iter()),
            }
            .into());
        }
        Ok(accepted)
    }

    fn none_left(&self, at: &Certificate) -> Stop {
        Reason::PolicyNotPermitted {
            subject: at.title().to_string(),
            required_by: self.explicit_by.clone().unwrap_or_default(),
        }
        .into()
    }
}

/// The policies that hold and are accepted; where any is accepted, all that hold.
fn accepted(held: &BTreeSet<ObjectIdentifier>, initial: &InitialPolicies) -> Vec<ObjectIdentifier> {
    if initial.accepted.is_empty() || initial.accepted.contains(&ANY_POLICY) {
        return held.iter().copied().collect();
    }
    initial
        .accepted
        .iter()
        .filter(|&policy| held.contains(policy) || held.contains(&ANY_POLICY))
        .copied()
        .collect()
}

/// The `valid_policy_graph` (RFC 9618 5.1): one level for the anchor, where any policy holds, and
/// one for each certificate since. Empty, it stands for NULL.
struct Graph {
    levels: Vec<Level>,
}

type Level = BTreeMap<ObjectIdentifier, Node>;

struct Node {
    /// `expected_policy_set`: what the policy is called in the certificate below.
    expected: BTreeSet<ObjectIdentifier>,
    /// The policies of the level above from which it follows.
    parents: BTreeSet<ObjectIdentifier>,
}

impl Graph {
    fn new() -> Self {
        let root = Node {
            expected: BTreeSet::from([ANY_POLICY]),
            parents: BTreeSet::new(),
        };
        Self {
            levels: vec![BTreeMap::from([(ANY_POLICY, root)])],
        }
    }

    fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    fn clear(&mut self) {
        self.levels.clear();
    }

    /// One more certificate with these policies (RFC 9618 5.2 (d)).
    fn grow(
        &mut self,
        policies: &[ObjectIdentifier],
        any_counts: bool,
        budget: &mut Budget,
    ) -> Result<(), Stop> {
        let Some(above) = self.levels.last() else {
            return Ok(());
        };
        let mut parents_by_expected: BTreeMap<ObjectIdentifier, BTreeSet<ObjectIdentifier>> =
            BTreeMap::new();
        for (policy, node) in above {
            for expected in &node.expected {
                parents_by_expected
                    .entry(*expected)
                    .or_default()
                    .insert(*policy);
            }
        }
        budget.policy_nodes(policies.len() + parents_by_expected.len())?;
        let mut level = Level::new();
        for policy in policies.iter().filter(|policy| **policy != ANY_POLICY) {
            let parents = match parents_by_expected.get(policy) {
                Some(parents) => parents.clone(),
                None if above.contains_key(&ANY_POLICY) => BTreeSet::from([ANY_POLICY]),
                None => continue,
            };
            level.insert(*policy, Node::new(*policy, parents));
        }
        if any_counts && policies.contains(&ANY_POLICY) {
            for (policy, parents) in parents_by_expected {
                level
                    .entry(policy)
                    .or_insert_with(|| Node::new(policy, parents));
            }
        }
        self.levels.push(level);
        self.prune();
        Ok(())
    }

    /// What the last certificate calls `policy` is called `to` below it (RFC 9618 5.4 (b) (1)).
    fn map(&mut self, policy: ObjectIdentifier, to: BTreeSet<ObjectIdentifier>) {
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        if let Some(node) = level.get_mut(&policy) {
            node.expected = to;
        } else if level.contains_key(&ANY_POLICY) {
            // It follows from `anyPolicy` above, which is there because it is here.
            let node = Node {
                expected: to,
                parents: BTreeSet::from([ANY_POLICY]),
            };
            level.insert(policy, node);
        }
    }

    /// The last certificate maps these policies although mappings no longer count (RFC 9618 5.4
    /// (b) (2)).
    fn remove<'p>(&mut self, policies: impl Iterator<Item = &'p ObjectIdentifier>) {
        if let Some(level) = self.levels.last_mut() {
            for policy in policies {
                level.remove(policy);
            }
        }
        self.prune();
    }

    /// Removes what nothing follows from, upwards (RFC 9618 5.2 (d) (3)).
    fn prune(&mut self) {
        let mut needed: Option<BTreeSet<ObjectIdentifier>> = None;
        for level in self.levels.iter_mut().rev() {
            if let Some(needed) = &needed {
                level.retain(|policy, _| needed.contains(policy));
            }
            needed = Some(
                level
                    .values()
                    .flat_map(|node| node.parents.iter().copied())
                    .collect(),
            );
        }
        if self.levels.last().is_none_or(BTreeMap::is_empty) {
            self.levels.clear();
        }
    }

    /// The policies that hold for the whole path, as the anchor's domain names them: those that
    /// follow from `anyPolicy` (RFC 9618 5.6 (g)).
    fn policies_of_the_anchor(&self) -> BTreeSet<ObjectIdentifier> {
        let from_any = |(policy, node): (&ObjectIdentifier, &Node)| {
            (*policy != ANY_POLICY && node.parents.contains(&ANY_POLICY)).then_some(*policy)
        };
        let mut held: BTreeSet<ObjectIdentifier> = self
            .levels
            .iter()
            .flat_map(|level| level.iter().filter_map(from_any))
            .collect();
        if self
            .levels
            .last()
            .is_some_and(|level| level.contains_key(&ANY_POLICY))
        {
            held.insert(ANY_POLICY);
        }
        held
    }
}

impl Node {
    fn new(policy: ObjectIdentifier, parents: BTreeSet<ObjectIdentifier>) -> Self {
        Self {
            expected: BTreeSet::from([policy]),
            parents,
        }
    }
}

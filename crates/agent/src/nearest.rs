//! Which registration entry a workload without an identity came closest to.

use std::fmt;

use avouch_core::id::SpiffeId;
use avouch_core::template::{IdTemplate, Unfilled};

use crate::identities::NotIssued;
use crate::selector::Selector;

/// A registration entry that does not select a workload, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    entry: String,
    identity: String,
    matched: usize,
    missing: Vec<Missing>,
    /// The place of its identity that stays open.
    unfilled: Option<Unfilled>,
}

/// A fact that an entry asks for and the workload does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What the entry asks for.
    pub wanted: Selector,
    /// What the workload has of the same kind.
    pub found: Vec<Selector>,
}

impl NearMiss {
    /// What a workload with the facts `held` lacks for the entry named `entry`; `None` if nothing,
    /// so that the entry selects it. An entry that asks for nothing selects no one.
    pub fn between(
        entry: &str,
        spiffe_id: &SpiffeId,
        wanted: &[Selector],
        held: &[Selector],
    ) -> Option<Self> {
        let identity = IdTemplate::from(spiffe_id.clone());
        Self::between_with_places(entry, &identity, wanted, held, None)
    }

    /// As [`NearMiss::between`], for an entry whose identity may have places; `unfilled` is the one
    /// that stays open. A place is a condition, too.
    pub(crate) fn between_with_places(
        entry: &str,
        identity: &IdTemplate,
        wanted: &[Selector],
        held: &[Selector],
        unfilled: Option<Unfilled>,
    ) -> Option<Self> {
        let missing: Vec<Missing> = wanted
            .iter()
            .filter(|selector| !held.contains(selector))
            .map(|selector| Missing::among(selector, held))
            .collect();
        let has_places = identity.places().next().is_some();
        let is_conditional = has_places || !wanted.is_empty();
        if missing.is_empty() && unfilled.is_none() && is_conditional {
            return None;
        }
        Some(Self {
            entry: entry.to_owned(),
            identity: identity.to_string(),
            matched: wanted.len() - missing.len(),
            missing,
            unfilled,
        })
    }

    /// The name of the entry.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The identity it would have given, with its places if it has any.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What the workload lacks.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

impl NotIssued {
    /// How many entries are named: as many as a person reads in a line of a log.
    pub const MOST_NEAR: usize = 5;

    /// No entry selects the workload; of all that do not, the closest are kept: those that lack
    /// least, and of these those that matched most.
    pub fn nearest(misses: impl IntoIterator<Item = NearMiss>) -> Self {
        let mut near: Vec<NearMiss> = Vec::new();
        let distance = |miss: &NearMiss| {
            let lacks = miss.missing.len() + usize::from(miss.unfilled.is_some());
            (lacks, usize::MAX - miss.matched)
        };
        for miss in misses {
            let place = near.partition_point(|other| distance(other) <= distance(&miss));
            if place < Self::MOST_NEAR {
                near.insert(place, miss);
                near.truncate(Self::MOST_NEAR);
            }
        }
        Self::NoEntry { near }
    }
}

impl Missing {
    fn among(wanted: &Selector, held: &[Selector]) -> Self {
        let found = held.iter().filter(|held| held.kind() == wanted.kind());
        Self {
            wanted: wanted.clone(),
            found: found.cloned().collect(),
        }
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} ({})", self.entry, self.identity)?;
        let missing = self.missing.iter().map(Missing::to_string);
        let unfilled = self.unfilled.iter();
        let unfilled = unfilled.map(|place| format!("cannot be filled in: {place}"));
        let lacks: Vec<String> = missing.chain(unfilled).collect();
        if lacks.is_empty() {
            return f.write_str(" has no selectors, so it selects no one");
        }
        write!(f, " {}", lacks.join(" and "))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asks for {}", self.wanted)?;
        if self.found.is_empty() {
            return f.write_str(", which is not known of the workload");
        }
        let found: Vec<String> = self.found.iter().map(Selector::to_string).collect();
        write!(f, " where the workload has {}", found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectors(texts: &[&str]) -> Vec<Selector> {
        texts
            .iter()
            .map(|text| Selector::parse(text).unwrap())
            .collect()
    }

    fn miss(entry: &str, wanted: &[&str], held: &[&str]) -> Option<NearMiss> {
        let id = SpiffeId::parse(&format!("spiffe://demo.avouch.test/{entry}")).unwrap();
        NearMiss::between(entry, &id, &selectors(wanted), &selectors(held))
    }

    #[test]
    fn an_entry_selects_a_workload_that_has_all_it_asks_for() {
        let held = ["unix:uid:1000", "unix:gid:1000", "unix:user:alice"];
        assert_eq!(miss("web", &["unix:uid:1000"], &held), None);
        assert_eq!(
            miss("web", &["unix:user:alice", "unix:gid:1000"], &held),
            None
        );
        assert!(miss("web", &["unix:uid:1000", "unix:gid:0"], &held).is_some());
    }

    #[test]
    fn an_entry_without_selectors_selects_no_one() {
        let miss = miss("web", &[], &["unix:uid:1000"]).unwrap();
        assert_eq!(
            miss.to_string(),
            "entry web (spiffe://demo.avouch.test/web) has no selectors, so it selects no one"
        );
    }

    #[test]
    fn a_miss_says_what_was_asked_for_and_what_there_was() {
        let miss = miss(
            "web",
            &["unix:uid:1001", "unix:gid:1000", "unix:path:/usr/bin/web"],
            &["unix:uid:1000", "unix:gid:1000"],
        )
        .unwrap();
        assert_eq!(
            miss.to_string(),
            "entry web (spiffe://demo.avouch.test/web) asks for unix:uid:1001 where the workload \
             has unix:uid:1000 and asks for unix:path:/usr/bin/web, which is not known of the \
             workload"
        );
    }

    #[test]
    fn a_miss_names_the_unit_and_the_container_that_there_were() {
        let [wanted, found] = ["a", "b"].map(|digit| format!("container:id:{}", digit.repeat(64)));
        let miss = miss(
            "web",
            &[
                &wanted,
                "systemd:unit:nginx.service",
                "k8s:pod-uid:11111111-2222-3333-4444-555555555555",
            ],
            &[
                &found,
                "systemd:unit:evil.service",
                "systemd:user-unit:1000/nginx.service",
            ],
        )
        .unwrap();
        assert_eq!(
            miss.to_string(),
            format!(
                "entry web (spiffe://demo.avouch.test/web) asks for {wanted} where the workload \
                 has {found} and asks for systemd:unit:nginx.service where the workload has \
                 systemd:unit:evil.service and asks for \
                 k8s:pod-uid:11111111-2222-3333-4444-555555555555, which is not known of the \
                 workload"
            )
        );
    }

    #[test]
    fn the_closest_five_are_kept_and_the_closest_comes_first() {
        let held = ["unix:uid:1000", "unix:gid:1000"];
        let misses = [
            miss("two-missing", &["unix:uid:1", "unix:gid:1"], &held),
            miss("one-of-one", &["unix:uid:2"], &held),
            miss("one-of-two", &["unix:uid:3", "unix:gid:1000"], &held),
            miss("far-1", &["unix:uid:4", "unix:gid:4", "unix:user:a"], &held),
            miss("far-2", &["unix:uid:5", "unix:gid:5", "unix:user:a"], &held),
            miss("far-3", &["unix:uid:6", "unix:gid:6", "unix:user:a"], &held),
        ];
        let NotIssued::NoEntry { near } = NotIssued::nearest(misses.into_iter().flatten()) else {
            panic!("it is about entries");
        };
        let names: Vec<&str> = near.iter().map(NearMiss::entry).collect();
        assert_eq!(
            names,
            ["one-of-two", "one-of-one", "two-missing", "far-1", "far-2"]
        );
    }
}

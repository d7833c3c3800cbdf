//! What is known of a workload beside its name: what its registration entries say and ask for.

use avouch_core::exchange::Rules;
use avouch_core::id::SpiffeId;
use avouch_core::policy::facts::{Facts, SUBJECT};
use avouch_core::reason::Reason;
use avouch_store::Selector;

use crate::tenant::Tenant;

/// The facts that rules may speak of, beside the subject.
pub(super) const NAMES: &[&str] = &[
    "entry.id",
    "entry.owner",
    "entry.purpose",
    "spiffe.path",
    "spiffe.trust_domain",
];

/// What is known of one workload.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) facts: Facts,
    /// What was attested of it, by whichever entry it has its identity.
    pub(super) attested: Vec<Selector>,
}

impl Known {
    /// Several entries may give one identity, and an exchange rule may: what is not true of all of
    /// them is not known of whoever has it.
    pub(super) fn of(tenant: &Tenant, rules: &Rules, id: &SpiffeId) -> Result<Self, Reason> {
        let mut facts = Facts::default();
        facts.insert(SUBJECT.to_owned(), id.to_string())?;
        facts.insert("spiffe.path".to_owned(), id.path().to_owned())?;
        facts.insert(
            "spiffe.trust_domain".to_owned(),
            id.trust_domain().to_string(),
        )?;
        let mut known = Self {
            facts,
            attested: Vec::new(),
        };
        if rules.usable.iter().any(|rule| rule.could_give(id)) {
            return Ok(known);
        }
        let entries = tenant.read(|snapshot| {
            let entries = snapshot.entries.values();
            let gives = entries.filter(|entry| entry.spiffe_id.admits(id));
            gives.cloned().collect::<Vec<_>>()
        });
        let Some(first) = entries.first() else {
            return Ok(known);
        };
        let same = |of: &dyn Fn(usize) -> Option<String>| {
            let one = of(0)?;
            (1..entries.len())
                .all(|index| of(index).as_ref() == Some(&one))
                .then_some(one)
        };
        let said = |which: fn(&avouch_store::Entry) -> Option<String>| {
            same(&|index| entries.get(index).and_then(|entry| which(entry)))
        };
        for (name, value) in [
            ("entry.id", said(|entry| Some(entry.id.to_string()))),
            ("entry.owner", said(|entry| entry.extras.owner.clone())),
            ("entry.purpose", said(|entry| entry.extras.purpose.clone())),
        ] {
            if let Some(value) = value {
                known.facts.insert(name.to_owned(), value)?;
            }
        }
        let by_all = |one: &&Selector| entries.iter().all(|entry| entry.selectors.contains(one));
        known.attested = first.selectors.iter().filter(by_all).cloned().collect();
        Ok(known)
    }
}

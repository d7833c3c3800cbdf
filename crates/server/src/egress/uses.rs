//! Which workloads have used which API, by day: counted with what else is counted ([`Tallies`]), and
//! kept as long.
//!
//! [`Tallies`]: crate::tallies::Tallies

use std::collections::BTreeMap;

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use serde_json::{Value, json};

use crate::tenant::Tenant;

/// Under which kind uses are counted.
pub(crate) const KIND: &str = "egress";

/// The most rows that are told of one API.
const MOST_TOLD: usize = 1_000;

/// How a use ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The API did what was asked.
    Done,
    /// The API refused it (a status from 400 on).
    Refused,
    /// The API gave no answer, or none that may be passed on.
    Failed,
    /// It was refused here, and the API heard nothing.
    Denied,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Failed, Self::Denied];

    pub(super) fn of_status(status: u16) -> Self {
        match status {
            400.. => Self::Refused,
            _ => Self::Done,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Counts a use. Neither names of APIs nor SPIFFE IDs have spaces.
pub(super) fn count(tenant: &Tenant, api: &str, id: &SpiffeId, outcome: Outcome) {
    tenant
        .tallies
        .count_named(KIND, format!("{api} {} {id}", outcome.name()));
}

/// When an API was used last, if in the days that are kept.
pub(crate) fn last_day(tenant: &Tenant, api: &str, now: Time) -> Option<String> {
    let days = tenant.tallies.days(tenant, KIND, now);
    let used = |names: &BTreeMap<String, u64>| {
        let mut names = names.keys();
        names.any(|name| {
            name.split_once(' ')
                .is_some_and(|(of, rest)| of == api && !rest.starts_with(Outcome::Denied.name()))
        })
    };
    days.into_iter()
        .rev()
        .find(|(_, names)| used(names))
        .map(|(day, _)| day)
}

/// Who has used an API, the last day first.
pub(crate) fn of(tenant: &Tenant, api: &str, now: Time) -> Vec<Value> {
    let mut rows = Vec::new();
    for (day, names) in tenant.tallies.days(tenant, KIND, now).into_iter().rev() {
        let mut workloads: BTreeMap<&str, BTreeMap<Outcome, u64>> = BTreeMap::new();
        for (name, count) in &names {
            let mut parts = name.splitn(3, ' ');
            let (of, outcome, workload) = (parts.next(), parts.next(), parts.next());
            let outcome = outcome.and_then(Outcome::parse);
            if let (true, Some(outcome), Some(workload)) = (of == Some(api), outcome, workload) {
                *workloads
                    .entry(workload)
                    .or_default()
                    .entry(outcome)
                    .or_default() += count;
            }
        }
        for (workload, counts) in workloads {
            if rows.len() == MOST_TOLD {
                return rows;
            }
            let count = |outcome| counts.get(&outcome).copied().unwrap_or_default();
            rows.push(json!({
                "day": day,
                "workload": workload,
                "done": count(Outcome::Done),
                "refused": count(Outcome::Refused),
                "failed": count(Outcome::Failed),
                "denied": count(Outcome::Denied),
            }));
        }
    }
    rows
}

//! Which workloads have used which API, by day: counted with what else is counted ([`Tallies`]), and
//! kept as long.
//!
//! [`Tallies`]: crate::tallies::Tallies

use std::collections::{BTreeMap, BTreeSet};

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

/// How often each workload had which outcome.
type Counts = BTreeMap<String, BTreeMap<Outcome, u64>>;

/// Who has used the APIs of a tenant, by API and day.
pub(crate) struct Uses(BTreeMap<String, BTreeMap<String, Counts>>);

impl Uses {
    /// What is counted of all of them, looked at once.
    pub(crate) fn of(tenant: &Tenant, now: Time) -> Self {
        Self::read(tenant.tallies.days(tenant, KIND, now))
    }

    fn read(days: BTreeMap<String, BTreeMap<String, u64>>) -> Self {
        let mut all: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
        for (day, names) in days {
            for (name, count) in names {
                let mut parts = name.splitn(3, ' ');
                let (api, outcome, workload) = (parts.next(), parts.next(), parts.next());
                let outcome = outcome.and_then(Outcome::parse);
                let (Some(api), Some(outcome), Some(workload)) = (api, outcome, workload) else {
                    continue;
                };
                let of_api = all.entry(api.to_owned()).or_default();
                let of_day = of_api.entry(day.clone()).or_default();
                let of_workload = of_day.entry(workload.to_owned()).or_default();
                *of_workload.entry(outcome).or_default() += count;
            }
        }
        Self(all)
    }

    /// When an API was used last, if in the days that are kept.
    pub(crate) fn last_day(&self, api: &str) -> Option<&str> {
        let days = self.0.get(api)?.iter().rev();
        let mut used = days.filter(|(_, counts)| counts.values().any(is_used));
        used.next().map(|(day, _)| day.as_str())
    }

    /// The workloads that have used an API: who was denied here has not.
    pub(crate) fn workloads(&self, api: &str) -> BTreeSet<&str> {
        let days = self.0.get(api).into_iter().flatten();
        let counts = days.flat_map(|(_, counts)| counts);
        let used = counts.filter(|(_, outcomes)| is_used(outcomes));
        used.map(|(workload, _)| workload.as_str()).collect()
    }

    /// Who has used an API, the last day first.
    pub(crate) fn rows(&self, api: &str) -> Vec<Value> {
        let days = self.0.get(api).into_iter().flatten().rev();
        let counts = days.flat_map(|(day, counts)| counts.iter().map(move |one| (day, one)));
        let rows = counts.map(|(day, (workload, counts))| {
            let count = |outcome| counts.get(&outcome).copied().unwrap_or_default();
            json!({
                "day": day,
                "workload": workload,
                "done": count(Outcome::Done),
                "refused": count(Outcome::Refused),
                "failed": count(Outcome::Failed),
                "denied": count(Outcome::Denied),
            })
        });
        rows.take(MOST_TOLD).collect()
    }
}

fn is_used(outcomes: &BTreeMap<Outcome, u64>) -> bool {
    outcomes.keys().any(|outcome| *outcome != Outcome::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_only_denied_has_not_used_an_api() {
        let counts = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 2)).collect();
        let uses = Uses::read(BTreeMap::from([
            (
                "2026-11-01".to_owned(),
                counts(&["pay done spiffe://a.test/x", "other done spiffe://a.test/y"]),
            ),
            (
                "2026-11-02".to_owned(),
                counts(&[
                    "pay denied spiffe://a.test/x",
                    "pay denied spiffe://a.test/z",
                    "pay",
                ]),
            ),
        ]));
        assert_eq!(uses.workloads("pay"), BTreeSet::from(["spiffe://a.test/x"]));
        assert_eq!(uses.last_day("pay"), Some("2026-11-01"));
        assert_eq!(uses.last_day("none"), None);
        let rows = uses.rows("pay");
        let told = |row: &Value| {
            (
                row["day"].clone(),
                row["done"].clone(),
                row["denied"].clone(),
            )
        };
        let told: Vec<_> = rows.iter().map(told).collect();
        let (first, last) = (json!("2026-11-01"), json!("2026-11-02"));
        assert_eq!(
            told,
            [
                (last.clone(), json!(0), json!(2)),
                (last, json!(0), json!(2)),
                (first, json!(2), json!(0)),
            ]
        );
    }
}

//! What is to be done so that a server has what files want.

use std::collections::{BTreeMap, BTreeSet};

use avouch_core::reason::Reason;
use serde_json::{Map, Value, json};

use super::super::client::Client;
use super::super::entries::Unheard;
use super::documents::{Name, Place, Problem, Wanted};
use super::kind::Kind;
use super::there::{self, is_unknown};
use crate::fault::Fault;

/// The kinds of objects that may say who answers for them. Pins are not among them: a monitor adds
/// some, in the name of the owner of what they continue.
const OWNED: [Kind; 8] = [
    Kind::Anchor,
    Kind::Federation,
    Kind::Issuer,
    Kind::Service,
    Kind::Signal,
    Kind::Receiver,
    Kind::Rule,
    Kind::Entry,
];

/// One object, and what is to be done with it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: Name,
    pub(super) action: Action,
    /// What is sent.
    pub(super) spec: Map<String, Value>,
    /// None for what no file names.
    pub(super) place: Option<Place>,
    pub(super) outcome: Outcome,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Change(Vec<Difference>),
    Leave,
    Remove,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Nothing was tried.
    Pending,
    Done,
    Refused(Problem),
    /// It was asked for and not to be done, and would be.
    WouldBeDone,
    /// The server can tell only when something else is there, or has changed.
    NotKnown {
        until: Name,
        /// What it says now.
        now: Option<Problem>,
    },
    /// It was asked for, and no answer came.
    Unsure,
}

/// A member that is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) member: String,
    pub(super) from: Option<Value>,
    pub(super) to: Option<Value>,
}

impl Difference {
    pub(super) fn to_json(&self) -> Value {
        json!({ "member": self.member, "from": self.from, "to": self.to })
    }
}

/// Compares what is wanted with what a server has. `prune` names an owner: what is theirs in the
/// tenants of the files, and in no file, is to be removed.
pub(super) fn plan(
    client: &Client,
    wanted: Vec<Wanted>,
    prune: Option<&str>,
) -> Result<Result<Vec<Step>, Vec<Problem>>, Fault> {
    let wanted = match in_order(wanted) {
        Ok(wanted) => wanted,
        Err(problems) => return Ok(Err(problems)),
    };
    let mut planning = Planning {
        client,
        held: BTreeMap::new(),
        new_tenants: BTreeSet::new(),
        problems: Vec::new(),
    };
    planning.look(&wanted)?;
    let mut steps = Vec::new();
    for one in &wanted {
        steps.extend(planning.step(one));
    }
    if let Some(owner) = prune {
        steps.extend(planning.superfluous(&wanted, owner)?);
    }
    Unheard::of(steps.iter().flat_map(new_selectors)).warn();
    Ok(match planning.problems.is_empty() {
        true => Ok(steps),
        false => Err(planning.problems),
    })
}

/// The selectors of an entry that is to be made or changed.
fn new_selectors(step: &Step) -> impl Iterator<Item = &str> {
    let is_put = matches!(step.action, Action::Create | Action::Change(_));
    let is_meant = is_put && step.name.kind == Kind::Entry;
    let spec = is_meant.then_some(&step.spec);
    let selectors = spec.and_then(|spec| spec.get("selectors")?.as_array());
    selectors.into_iter().flatten().filter_map(Value::as_str)
}

/// Each after what it may need: by kind, and tenants after those above them.
fn in_order(mut wanted: Vec<Wanted>) -> Result<Vec<Wanted>, Vec<Problem>> {
    wanted.sort_by_key(|one| one.name.kind);
    let is_tenant = |one: &Wanted| one.name.kind == Kind::Tenant;
    let (mut tenants, rest): (Vec<Wanted>, Vec<Wanted>) = wanted.into_iter().partition(is_tenant);
    let mut ordered = Vec::new();
    while !tenants.is_empty() {
        let waiting: BTreeSet<String> = tenants.iter().map(|one| one.name.name.clone()).collect();
        let is_ready = |one: &Wanted| parent(one).is_none_or(|above| !waiting.contains(above));
        let (ready, left): (Vec<Wanted>, Vec<Wanted>) = tenants.into_iter().partition(is_ready);
        if ready.is_empty() {
            let problems = left.iter().map(|one| {
                let detail = "the tenants above it lead back to it".to_owned();
                Problem::of(
                    &one.place,
                    Some(&one.name),
                    &Reason::IssueConflict { detail },
                )
            });
            return Err(problems.collect());
        }
        ordered.extend(ready);
        tenants = left;
    }
    ordered.extend(rest);
    Ok(ordered)
}

fn parent(tenant: &Wanted) -> Option<&str> {
    tenant.spec.get("parent").and_then(Value::as_str)
}

struct Planning<'a> {
    client: &'a Client,
    /// What the server has, by kind and tenant.
    held: BTreeMap<(Kind, String), BTreeMap<String, Map<String, Value>>>,
    new_tenants: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Planning<'_> {
    /// Asks for all that is there of the kinds and tenants that are wanted.
    fn look(&mut self, wanted: &[Wanted]) -> Result<(), Fault> {
        let mut groups: BTreeMap<(Kind, &str), Vec<&Wanted>> = BTreeMap::new();
        for one in wanted {
            let group = (one.name.kind, one.name.tenant.as_str());
            groups.entry(group).or_default().push(one);
        }
        for ((kind, tenant), group) in groups {
            let Some(first) = group.first() else { continue };
            let names: Vec<&Name> = group.iter().map(|one| &one.name).collect();
            let found = match self.new_tenants.contains(tenant) {
                true => BTreeMap::new(),
                false => match there::named(self.client, kind, tenant, &names) {
                    Ok(found) => found,
                    Err(fault) if kind == Kind::Tenant && is_unknown(&fault) => {
                        self.new_tenants.insert(tenant.to_owned());
                        BTreeMap::new()
                    }
                    Err(fault) => {
                        self.refused(first, fault)?;
                        BTreeMap::new()
                    }
                },
            };
            self.held.insert((kind, tenant.to_owned()), found);
        }
        Ok(())
    }

    /// Keeps a refusal; what failed ends the planning.
    fn refused(&mut self, asked: &Wanted, fault: Fault) -> Result<(), Fault> {
        let Fault::Refused(why) = fault else {
            return Err(fault);
        };
        let about = Some(&asked.name);
        let problem = Problem::told(&asked.place, about, &why.code, &why.sentence, &why.hint);
        self.problems.push(problem);
        Ok(())
    }

    fn step(&mut self, wanted: &Wanted) -> Option<Step> {
        let name = &wanted.name;
        let held = self.held.get(&(name.kind, name.tenant.clone()));
        let there = held.and_then(|held| held.get(&name.name));
        let action = match there {
            None => Action::Create,
            Some(there) => match differences(name.kind, there, &wanted.spec) {
                differences if differences.is_empty() => Action::Leave,
                differences => Action::Change(differences),
            },
        };
        if let (Kind::Tenant, Action::Change(differences)) = (name.kind, &action) {
            let members = differences.iter().map(|one| format!("`{}`", one.member));
            let members: Vec<String> = members.collect();
            let detail = format!(
                "the tenant is there with another {}, and a tenant stays what and where it is",
                members.join(" and ")
            );
            let reason = Reason::IssueConflict { detail };
            self.problems
                .push(Problem::of(&wanted.place, Some(name), &reason));
            return None;
        }
        Some(Step {
            name: name.clone(),
            action,
            spec: wanted.spec.clone(),
            place: Some(wanted.place.clone()),
            outcome: Outcome::Pending,
        })
    }

    /// What has this owner and stands in no file. What may need others goes before them.
    fn superfluous(&self, wanted: &[Wanted], owner: &str) -> Result<Vec<Step>, Fault> {
        let named: BTreeSet<&Name> = wanted.iter().map(|one| &one.name).collect();
        let tenants: BTreeSet<&str> = named.iter().map(|name| name.tenant.as_str()).collect();
        let mut steps = Vec::new();
        for kind in OWNED.into_iter().rev() {
            for tenant in &tenants {
                if self.new_tenants.contains(*tenant) {
                    continue;
                }
                for (object, spec) in there::all(self.client, kind, tenant)? {
                    let name = Name {
                        kind,
                        tenant: (*tenant).to_owned(),
                        name: object,
                    };
                    let is_theirs = spec.get("owner").and_then(Value::as_str) == Some(owner);
                    if is_theirs && !named.contains(&name) {
                        steps.push(Step {
                            name,
                            action: Action::Remove,
                            spec: Map::new(),
                            place: None,
                            outcome: Outcome::Pending,
                        });
                    }
                }
            }
        }
        Ok(steps)
    }
}

/// What would have to change. Of a tenant only what is said counts: the rest is chosen for it, as is
/// the place of a pin.
fn differences(
    kind: Kind,
    there: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Vec<Difference> {
    let mut there = kind.comparable(there);
    let wanted = kind.comparable(wanted);
    match kind {
        Kind::Tenant => there.retain(|name, _| wanted.contains_key(name)),
        Kind::Pin if !wanted.contains_key("place") => drop(there.remove("place")),
        _ => {}
    }
    let mut all = Vec::new();
    compare("", &there, &wanted, &mut all);
    all
}

fn compare(
    path: &str,
    there: &Map<String, Value>,
    wanted: &Map<String, Value>,
    all: &mut Vec<Difference>,
) {
    let names: BTreeSet<&String> = there.keys().chain(wanted.keys()).collect();
    for name in names {
        let member = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        match (there.get(name), wanted.get(name)) {
            (from, to) if from == to => {}
            (Some(Value::Object(from)), Some(Value::Object(to))) => compare(&member, from, to, all),
            (from, to) => all.push(Difference {
                member,
                from: from.cloned(),
                to: to.cloned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_means_the_same_is_no_difference() {
        let there = object(json!({
            "spiffe_id": "spiffe://a.test/web",
            "selectors": ["unix:uid:1", "unix:gid:2"],
            "expires": "2030-01-31T00:00:00Z",
        }));
        let wanted = object(json!({
            "spiffe_id": "spiffe://a.test/web",
            "selectors": ["unix:gid:2", "unix:uid:1"],
            "expires": "2030-01-31",
            "hint": "",
            "dns_names": [],
        }));
        assert_eq!(differences(Kind::Entry, &there, &wanted), []);
    }

    #[test]
    fn a_difference_names_its_member_however_deep() {
        let there = object(json!({"facts": {"id": "74", "ref": "main"}, "owner": "me"}));
        let wanted = object(json!({"facts": {"id": "75", "ref": "main"}, "reason": "x"}));
        let members = differences(Kind::Rule, &there, &wanted);
        let members: Vec<&str> = members.iter().map(|one| one.member.as_str()).collect();
        assert_eq!(members, ["facts.id", "owner", "reason"]);
    }
}

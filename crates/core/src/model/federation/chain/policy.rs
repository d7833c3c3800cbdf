//! Metadata policies of OpenID Federation (1.0, section 6.1): what superiors make of what an entity
//! says it is. Policies that contradict one another refuse the path; nothing is guessed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::budget::Budget;
use crate::credential::jose::entity::EntityStatement;
use crate::reason::{Reason, printable};
use crate::stop::Stop;

/// The policies of a path, merged from the anchor down.
#[derive(Debug, Default)]
pub(super) struct Policy {
    by_type: BTreeMap<String, BTreeMap<String, Operators>>,
}

/// What is done to one parameter, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operators {
    value: Option<Value>,
    add: Option<Vec<Value>>,
    default: Option<Value>,
    one_of: Option<Vec<Value>>,
    subset_of: Option<Vec<Value>>,
    superset_of: Option<Vec<Value>>,
    essential: Option<bool>,
}

impl Policy {
    /// The policies of these statements, the one of the highest superior first.
    pub(super) fn of<'a>(
        statements: impl Iterator<Item = &'a EntityStatement<'a>>,
        budget: &mut Budget,
    ) -> Result<Self, Stop> {
        let mut merged = Self::default();
        for statement in statements {
            merged.add(Self::read(statement, budget)?, budget)?;
        }
        Ok(merged)
    }

    fn read(statement: &EntityStatement<'_>, budget: &mut Budget) -> Result<Self, Stop> {
        let mut by_type = BTreeMap::new();
        for (entity_type, parameters) in &statement.metadata_policy {
            let Value::Object(parameters) = parameters else {
                return Err(conflict(entity_type, "", "it is no object").into());
            };
            let mut read = BTreeMap::new();
            for (parameter, operators) in parameters {
                let place = Place {
                    entity_type,
                    parameter,
                };
                let operators = place.read(operators)?;
                operators.pay(0, budget)?;
                place.check(&operators)?;
                read.insert(parameter.clone(), operators);
            }
            by_type.insert(entity_type.clone(), read);
        }
        Ok(Self { by_type })
    }

    /// Takes the policy of a subordinate in (section 6.1.3.1): it can only tighten.
    fn add(&mut self, lower: Self, budget: &mut Budget) -> Result<(), Stop> {
        for (entity_type, parameters) in lower.by_type {
            let known = self.by_type.entry(entity_type.clone()).or_default();
            for (parameter, operators) in parameters {
                let place = Place {
                    entity_type: &entity_type,
                    parameter: &parameter,
                };
                let merged = match known.remove(&parameter) {
                    None => operators,
                    Some(upper) => {
                        operators.pay(upper.values(), budget)?;
                        place.merge(upper, operators)?
                    }
                };
                place.check(&merged)?;
                known.insert(parameter, merged);
            }
        }
        Ok(())
    }

    /// What it makes of the metadata of an entity (section 6.1.4).
    pub(super) fn apply(
        &self,
        metadata: &mut Map<String, Value>,
        budget: &mut Budget,
    ) -> Result<(), Stop> {
        for (entity_type, parameters) in &self.by_type {
            let Some(Value::Object(members)) = metadata.get_mut(entity_type) else {
                continue;
            };
            for (parameter, operators) in parameters {
                let place = Place {
                    entity_type,
                    parameter,
                };
                let known = members.get(parameter);
                operators.pay(known.map_or(0, |known| place.list_of(known).len()), budget)?;
                place.apply(operators, members)?;
            }
        }
        Ok(())
    }
}

impl Operators {
    /// How many values it names.
    fn values(&self) -> usize {
        let lists = [&self.add, &self.one_of, &self.subset_of, &self.superset_of];
        let lists = lists.into_iter().flatten().map(Vec::len);
        let single = [&self.value, &self.default].into_iter().flatten();
        let single = single.map(|value| value.as_array().map_or(1, Vec::len));
        lists.chain(single).sum()
    }

    /// Pays for comparing these values with each other and with so many others.
    fn pay(&self, others: usize, budget: &mut Budget) -> Result<(), Stop> {
        let all = self.values().saturating_add(others);
        budget.value_comparisons(all.saturating_mul(all))
    }
}

/// The most values in one operator. What is done with lists grows with their product, on every path
/// that is tried; lists in use name algorithms, scopes and grants, some dozens.
const LONGEST_LIST: usize = 64;

/// Which parameter of which type of entity.
struct Place<'a> {
    entity_type: &'a str,
    parameter: &'a str,
}

impl Place<'_> {
    fn conflict(&self, detail: &str) -> Reason {
        conflict(self.entity_type, self.parameter, detail)
    }

    fn violated(&self, detail: impl Into<String>) -> Reason {
        Reason::MetadataPolicyViolated {
            entity_type: printable(self.entity_type),
            parameter: printable(self.parameter),
            detail: detail.into(),
        }
    }

    fn read(&self, operators: &Value) -> Result<Operators, Reason> {
        let Value::Object(members) = operators else {
            return Err(self.conflict("it is no object of operators"));
        };
        let mut read = Operators::default();
        for (name, value) in members {
            let list = || match value {
                Value::Array(list) if list.len() > LONGEST_LIST => {
                    Err(self.conflict(&format!("`{name}` lists more than {LONGEST_LIST} values")))
                }
                Value::Array(list) if !list.is_empty() => Ok(Some(list.clone())),
                _ => Err(self.conflict(&format!("`{name}` is no list"))),
            };
            match name.as_str() {
                "value" => read.value = Some(value.clone()),
                "add" => read.add = list()?,
                "default" if !value.is_null() => read.default = Some(value.clone()),
                "one_of" => read.one_of = list()?,
                "subset_of" => read.subset_of = list()?,
                "superset_of" => read.superset_of = list()?,
                "essential" => {
                    let flag = value.as_bool();
                    let refused = || self.conflict("`essential` is neither true nor false");
                    read.essential = Some(flag.ok_or_else(refused)?);
                }
                "default" => return Err(self.conflict("`default` is null")),
                // Section 6.1.3.2: what is not critical may be passed over, and a statement in which
                // anything else is critical was refused when it was read.
                _ => {}
            }
        }
        Ok(read)
    }

    fn merge(&self, upper: Operators, lower: Operators) -> Result<Operators, Reason> {
        let same = |name: &str, upper: Option<Value>, lower: Option<Value>| match (upper, lower) {
            (Some(upper), Some(lower)) if !same_value(&upper, &lower) => {
                Err(self.conflict(&format!("two statements ask for another `{name}`")))
            }
            (upper, lower) => Ok(upper.or(lower)),
        };
        let one_of = both(upper.one_of, lower.one_of, intersection);
        if one_of.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.conflict("what the one statement allows (`one_of`) the other forbids"));
        }
        Ok(Operators {
            value: same("value", upper.value, lower.value)?,
            add: both(upper.add, lower.add, union),
            default: same("default", upper.default, lower.default)?,
            one_of,
            subset_of: both(upper.subset_of, lower.subset_of, intersection),
            superset_of: both(upper.superset_of, lower.superset_of, union),
            essential: match (upper.essential, lower.essential) {
                (None, None) => None,
                (upper, lower) => Some(upper == Some(true) || lower == Some(true)),
            },
        })
    }

    /// Whether the operators can stand beside each other (section 6.1.3.1).
    fn check(&self, operators: &Operators) -> Result<(), Reason> {
        let Operators {
            value,
            add,
            default,
            one_of,
            subset_of,
            superset_of,
            essential,
        } = operators;
        let refuse = |one: &str, other: &str| {
            Err(self.conflict(&format!("`{one}` does not go with `{other}`")))
        };
        if let Some(value) = value {
            let values = self.list_of(value);
            let is_null = value.is_null();
            if add.as_ref().is_some_and(|add| !is_subset(add, &values)) {
                return refuse("value", "add");
            }
            if is_null && default.is_some() {
                return refuse("value", "default");
            }
            if is_null && *essential == Some(true) {
                return refuse("value", "essential");
            }
            if one_of.as_ref().is_some_and(|all| !contains(all, value)) {
                return refuse("value", "one_of");
            }
            if subset_of
                .as_ref()
                .is_some_and(|all| !is_subset(&values, all))
            {
                return refuse("value", "subset_of");
            }
            if superset_of
                .as_ref()
                .is_some_and(|all| !is_subset(all, &values))
            {
                return refuse("value", "superset_of");
            }
        }
        if one_of.is_some() {
            for (name, is_there) in [
                ("add", add.is_some()),
                ("subset_of", subset_of.is_some()),
                ("superset_of", superset_of.is_some()),
            ] {
                if is_there {
                    return refuse("one_of", name);
                }
            }
        }
        if let Some(all) = subset_of {
            if add.as_ref().is_some_and(|add| !is_subset(add, all)) {
                return refuse("add", "subset_of");
            }
            if superset_of
                .as_ref()
                .is_some_and(|least| !is_subset(least, all))
            {
                return refuse("superset_of", "subset_of");
            }
        }
        Ok(())
    }

    fn apply(&self, operators: &Operators, members: &mut Map<String, Value>) -> Result<(), Reason> {
        match &operators.value {
            Some(Value::Null) => drop(members.remove(self.parameter)),
            Some(value) => drop(members.insert(self.parameter.to_owned(), value.clone())),
            None => {}
        }
        if let Some(add) = &operators.add {
            let known = members.get(self.parameter);
            let known = known.map(|value| self.list_of(value)).unwrap_or_default();
            self.put(members, union(known, add.clone()));
        }
        if let Some(default) = &operators.default {
            members
                .entry(self.parameter.to_owned())
                .or_insert_with(|| default.clone());
        }
        if let Some(found) = members.get(self.parameter).cloned() {
            if let Some(all) = &operators.one_of
                && !contains(all, &found)
            {
                return Err(self.violated("it is none of what a superior allows (`one_of`)"));
            }
            let values = self.list_of(&found);
            if let Some(all) = &operators.subset_of {
                let kept = intersection(values.clone(), all.clone());
                if kept.is_empty() {
                    members.remove(self.parameter);
                } else if kept.len() != values.len() {
                    self.put(members, kept);
                }
            }
            if let Some(least) = &operators.superset_of
                && !is_subset(least, &values)
            {
                return Err(self.violated("it lacks what a superior asks for (`superset_of`)"));
            }
        }
        if operators.essential == Some(true) && !members.contains_key(self.parameter) {
            return Err(self.violated("a superior says it is essential, and it is not there"));
        }
        Ok(())
    }

    /// A list as it is, a single value as a list of it; `scope` is a list in one text (RFC 8414 2).
    fn list_of(&self, value: &Value) -> Vec<Value> {
        match value {
            Value::Array(list) => list.clone(),
            Value::String(text) if self.parameter == "scope" => text
                .split(' ')
                .filter(|one| !one.is_empty())
                .map(Value::from)
                .collect(),
            Value::Null => Vec::new(),
            other => vec![other.clone()],
        }
    }

    fn put(&self, members: &mut Map<String, Value>, values: Vec<Value>) {
        let value = if self.parameter == "scope" {
            let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            Value::from(texts.join(" "))
        } else {
            Value::Array(values)
        };
        members.insert(self.parameter.to_owned(), value);
    }
}

fn conflict(entity_type: &str, parameter: &str, detail: &str) -> Reason {
    Reason::MetadataPolicyConflict {
        entity_type: printable(entity_type),
        parameter: printable(parameter),
        detail: detail.to_owned(),
    }
}

fn both(
    upper: Option<Vec<Value>>,
    lower: Option<Vec<Value>>,
    join: fn(Vec<Value>, Vec<Value>) -> Vec<Value>,
) -> Option<Vec<Value>> {
    match (upper, lower) {
        (Some(upper), Some(lower)) => Some(join(upper, lower)),
        (upper, lower) => upper.or(lower),
    }
}

fn union(mut one: Vec<Value>, other: Vec<Value>) -> Vec<Value> {
    for value in other {
        if !contains(&one, &value) {
            one.push(value);
        }
    }
    one
}

fn intersection(mut one: Vec<Value>, other: Vec<Value>) -> Vec<Value> {
    one.retain(|value| contains(&other, value));
    one
}

fn is_subset(small: &[Value], large: &[Value]) -> bool {
    small.iter().all(|value| contains(large, value))
}

fn contains(list: &[Value], value: &Value) -> bool {
    list.contains(value)
}

/// The same value, in whatever order a list has it.
fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && is_subset(one, other) && is_subset(other, one)
        }
        (one, other) => one == other,
    }
}

/// The key sets that a policy sets for whoever is below, as metadata that says them.
pub(super) fn key_sets(statement: &EntityStatement<'_>) -> Map<String, Value> {
    let of_types = statement.metadata_policy.iter();
    let set = of_types.filter_map(|(entity_type, parameters)| {
        let keys = parameters.get("jwks")?.get("value")?;
        Some((entity_type.clone(), json!({ "jwks": keys })))
    });
    set.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operators(policy: &Value) -> Result<Operators, Reason> {
        let place = place();
        let read = place.read(policy)?;
        place.check(&read)?;
        Ok(read)
    }

    fn place() -> Place<'static> {
        Place {
            entity_type: "t",
            parameter: "p",
        }
    }

    fn merged(upper: &Value, lower: &Value) -> Result<Operators, Reason> {
        let place = place();
        let merged = place.merge(operators(upper)?, operators(lower)?)?;
        place.check(&merged)?;
        Ok(merged)
    }

    fn applied(policy: &Value, value: &Value) -> Result<Value, Reason> {
        let mut members = Map::new();
        if !value.is_null() {
            members.insert("p".to_owned(), value.clone());
        }
        place().apply(&operators(policy)?, &mut members)?;
        Ok(members.remove("p").unwrap_or_default())
    }

    #[test]
    fn hostile_56_policies_that_contradict_each_other_are_a_conflict() {
        for (upper, lower) in [
            (json!({"value": "a"}), json!({"value": "b"})),
            (json!({"default": "a"}), json!({"default": "b"})),
            (json!({"one_of": ["a"]}), json!({"one_of": ["b"]})),
            (json!({"subset_of": ["a"]}), json!({"add": ["b"]})),
            (json!({"subset_of": ["a"]}), json!({"superset_of": ["b"]})),
            (json!({"one_of": ["a", "b"]}), json!({"value": "c"})),
            (json!({"value": ["a"]}), json!({"add": ["b"]})),
            (json!({"one_of": ["a"]}), json!({"add": ["a"]})),
            (json!({"value": null}), json!({"essential": true})),
            (json!({"value": null}), json!({"default": "a"})),
        ] {
            let refused = merged(&upper, &lower).map_err(|reason| reason.code());
            assert_eq!(
                refused.unwrap_err(),
                "federation.metadata_policy_conflict",
                "{upper} {lower}"
            );
        }
    }

    #[test]
    fn a_subordinate_can_only_tighten() {
        for (upper, lower, expected) in [
            (
                json!({"subset_of": ["a", "b"]}),
                json!({"subset_of": ["b", "c"]}),
                json!({"subset_of": ["b"]}),
            ),
            (
                json!({"superset_of": ["a"]}),
                json!({"superset_of": ["b"]}),
                json!({"superset_of": ["a", "b"]}),
            ),
            (
                json!({"one_of": ["a", "b"]}),
                json!({"one_of": ["b"]}),
                json!({"one_of": ["b"]}),
            ),
            (
                json!({"add": ["a"]}),
                json!({"add": ["b"]}),
                json!({"add": ["a", "b"]}),
            ),
            (
                json!({"essential": true}),
                json!({"essential": false}),
                json!({"essential": true}),
            ),
            (
                json!({"value": ["a", "b"]}),
                json!({"value": ["b", "a"]}),
                json!({"value": ["a", "b"]}),
            ),
        ] {
            let expected = operators(&expected).unwrap();
            assert_eq!(merged(&upper, &lower), Ok(expected), "{upper} {lower}");
        }
    }

    #[test]
    fn a_policy_makes_of_metadata_what_it_says() {
        for (policy, given, expected) in [
            (json!({"value": "a"}), json!("b"), json!("a")),
            (json!({"value": null}), json!("b"), json!(null)),
            (json!({"add": ["a"]}), json!(["b"]), json!(["b", "a"])),
            (json!({"add": ["a"]}), json!(null), json!(["a"])),
            (json!({"default": "a"}), json!(null), json!("a")),
            (json!({"default": "a"}), json!("b"), json!("b")),
            (json!({"one_of": ["a", "b"]}), json!("b"), json!("b")),
            (
                json!({"subset_of": ["a", "b"]}),
                json!(["b", "c"]),
                json!(["b"]),
            ),
            (json!({"subset_of": ["a"]}), json!(["c"]), json!(null)),
            (
                json!({"superset_of": ["a"]}),
                json!(["b", "a"]),
                json!(["b", "a"]),
            ),
        ] {
            assert_eq!(applied(&policy, &given), Ok(expected), "{policy} {given}");
        }
        for (policy, given) in [
            (json!({"one_of": ["a", "b"]}), json!("c")),
            (json!({"superset_of": ["a"]}), json!(["b"])),
            (json!({"essential": true}), json!(null)),
            (json!({"subset_of": ["a"], "essential": true}), json!(["b"])),
        ] {
            let refused = applied(&policy, &given).map_err(|reason| reason.code());
            assert_eq!(
                refused,
                Err("federation.metadata_policy_violated"),
                "{policy} {given}"
            );
        }
    }
}

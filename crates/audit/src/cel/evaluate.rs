//! Evaluating expressions against a budget of steps. Nothing here waits, recurses deeper than the
//! tree that was read, or makes a value larger than the steps that it paid for.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::ast::operators;
use regex::Regex;

use super::budget::Budget;
use super::functions;
use super::value::{Failure, Scope, Value};
use super::{Expression, Fold};

/// The state of one evaluation.
pub(super) struct Run<'a> {
    scope: &'a Scope,
    /// Names of loops, the innermost last; what one holds may have failed.
    local: Vec<(String, Result<Value, Failure>)>,
    budget: &'a mut Budget,
}

impl Expression {
    /// Its value, and how many steps that took.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub fn evaluate(&self, scope: &Scope, fuel: u64) -> (Result<Value, Failure>, u64) {
        let mut budget = Budget::of(fuel);
        let before = budget.left();
        let value = self.evaluate_within(scope, &mut budget);
        (value, before - budget.left())
    }

    /// Its value, paid for from a budget that others share.
    pub(crate) fn evaluate_within(
        &self,
        scope: &Scope,
        budget: &mut Budget,
    ) -> Result<Value, Failure> {
        let local = Vec::new();
        let mut run = Run {
            scope,
            local,
            budget,
        };
        run.value(self)
    }
}

impl Run<'_> {
    /// Pays for steps.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Failure> {
        self.budget.spend(steps)
    }

    /// A regular expression.
    pub(super) fn regex(&mut self, pattern: &Arc<str>) -> Result<Regex, Failure> {
        self.budget.regex(pattern)
    }

    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value, Failure> {
        self.spend(1)?;
        match expression {
            Expression::And(one, other) => self.joined(one, other, false),
            Expression::Or(one, other) => self.joined(one, other, true),
            Expression::Not(of) => Ok(Value::Bool(!self.flag(of)?)),
            Expression::Conditional(condition, one, other) => {
                if self.flag(condition)? {
                    self.value(one)
                } else {
                    self.value(other)
                }
            }
            Expression::Value(value) => Ok(value.clone()),
            Expression::Name(name) => self.name(name),
            Expression::Member(of, member) => member_of(&self.value(of)?, member),
            Expression::Has(of, member) => match self.value(of)? {
                Value::Map(members) => Ok(Value::Bool(members.contains_key(member))),
                other => Err(wrong("has()", &other)),
            },
            Expression::List(elements) => {
                let values = elements.iter().map(|element| self.value(element));
                Ok(Value::List(values.collect::<Result<_, _>>()?))
            }
            Expression::Map(entries) => {
                let mut members = BTreeMap::new();
                for (key, value) in entries {
                    let Value::Text(key) = self.value(key)? else {
                        return Err(Failure::Other("a key is no text".to_owned()));
                    };
                    members.insert(key.to_string(), self.value(value)?);
                }
                Ok(Value::Map(Arc::new(members)))
            }
            Expression::Fold(fold) => self.fold(fold),
            Expression::Call {
                name,
                target,
                arguments,
            } => self.call(name, target.as_deref(), arguments),
        }
    }

    /// `&&` and `||` take what decides, on whichever side it stands, whatever fails on the other.
    fn joined(
        &mut self,
        one: &Expression,
        other: &Expression,
        decisive: bool,
    ) -> Result<Value, Failure> {
        let first = self.flag(one);
        if first == Ok(decisive) || first == Err(Failure::OutOfFuel) {
            return first.map(Value::Bool);
        }
        let second = self.flag(other);
        if second == Ok(decisive) || second == Err(Failure::OutOfFuel) {
            return second.map(Value::Bool);
        }
        first.and(second).map(Value::Bool)
    }

    fn flag(&mut self, expression: &Expression) -> Result<bool, Failure> {
        match self.value(expression)? {
            Value::Bool(flag) => Ok(flag),
            other => Err(wrong("a condition", &other)),
        }
    }

    fn name(&self, name: &str) -> Result<Value, Failure> {
        let local = self.local.iter().rev().find(|(known, _)| known == name);
        if let Some((_, value)) = local {
            return value.clone();
        }
        let value = self.scope.value(name);
        value
            .cloned()
            .ok_or_else(|| Failure::Other(format!("the name `{name}` stands for nothing")))
    }

    fn fold(&mut self, fold: &Fold) -> Result<Value, Failure> {
        let over = self.value(&fold.over)?;
        let elements: Vec<(Value, Option<Value>)> = match &over {
            Value::List(elements) if fold.second.is_some() => (0_i64..)
                .map(Value::Int)
                .zip(elements.iter().cloned().map(Some))
                .collect(),
            Value::List(elements) => elements.iter().map(|one| (one.clone(), None)).collect(),
            Value::Map(members) => members
                .iter()
                .map(|(key, value)| (Value::Text(key.as_str().into()), Some(value.clone())))
                .collect(),
            other => return Err(wrong("a loop", other)),
        };
        self.spend(over.weight())?;
        let height = self.local.len();
        let mut result = self.value(&fold.initial);
        for (first, second) in elements {
            self.spend(1)?;
            self.local.truncate(height);
            self.local.push((fold.result.clone(), result));
            self.local.push((fold.element.clone(), Ok(first)));
            if let (Some(name), Some(second)) = (&fold.second, second) {
                self.local.push((name.clone(), Ok(second)));
            }
            let goes_on = self.value(&fold.condition);
            if goes_on != Ok(Value::Bool(true)) {
                result = self.result_of(height);
                break;
            }
            result = self.value(&fold.step);
            if result == Err(Failure::OutOfFuel) {
                break;
            }
        }
        self.local.truncate(height);
        self.local.push((fold.result.clone(), result));
        let end = self.value(&fold.end);
        self.local.truncate(height);
        end
    }

    fn result_of(&self, height: usize) -> Result<Value, Failure> {
        match self.local.get(height) {
            Some((_, result)) => result.clone(),
            None => Err(Failure::Other("a loop has no result".to_owned())),
        }
    }

    fn call(
        &mut self,
        name: &str,
        target: Option<&Expression>,
        arguments: &[Expression],
    ) -> Result<Value, Failure> {
        // What failed may still come out well, so the loop that asks goes on.
        if name == operators::NOT_STRICTLY_FALSE
            && let [of] = arguments
        {
            return match self.value(of) {
                Err(Failure::OutOfFuel) => Err(Failure::OutOfFuel),
                value => Ok(Value::Bool(value != Ok(Value::Bool(false)))),
            };
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        if let Some(target) = target {
            values.push(self.value(target)?);
        }
        for argument in arguments {
            values.push(self.value(argument)?);
        }
        for value in &values {
            self.spend(value.weight())?;
        }
        functions::call(self, name, &values)
    }
}

/// A member of a map. What is not there has no value, and no expression takes it for empty.
pub(super) fn member_of(of: &Value, member: &str) -> Result<Value, Failure> {
    match of {
        Value::Map(members) => members
            .get(member)
            .cloned()
            .ok_or_else(|| Failure::MissingKey(member.to_owned())),
        other => Err(wrong("a member", other)),
    }
}

pub(super) fn wrong(what: &str, value: &Value) -> Failure {
    Failure::Other(format!("{what} is asked of a {}", value.kind()))
}

//! Whether parts of a condition contradict each other, so that no claims meet all of them. Said only
//! where it is certain.

use avouch_core::reason::printable;
use serde_json::{Map, Value as Json};

use super::inspect::Paths;
use super::{Budget, Expression, Scope, Value};
use crate::language::{Common, Language, common};
use crate::wish::{Want, Wish};

/// The most parts that are looked at.
const MOST_PARTS: usize = 64;

/// The most steps that are taken: what is dear is not proved.
const MOST_STEPS: u64 = 10_000;

/// The names of a condition when one claim has this value and nothing else is known.
type ScopeOf<'a> = &'a dyn Fn(&[String], &Json) -> Scope;

/// Why these parts never hold together, if that is certain.
pub(crate) fn contradiction(
    parts: &[&Expression],
    paths: Paths<'_>,
    scope: ScopeOf<'_>,
) -> Option<String> {
    let parts = parts.get(..parts.len().min(MOST_PARTS))?;
    let mut budget = Budget::of(MOST_STEPS);
    for part in parts.iter().filter(|part| part.names().is_empty()) {
        let is_true = part.is_true(&Scope::default(), &mut budget);
        if !is_true && budget.left() > 0 {
            return Some(format!("`{}` never holds", printable(&part.to_string())));
        }
    }
    let demands: Vec<Wish> = parts.iter().filter_map(|part| part.demand(paths)).collect();
    demands.iter().find_map(|demand| {
        let is_possible = match values(demand) {
            Some(values) => values.iter().any(|value| {
                let scope = scope(&demand.path, value);
                parts.iter().all(|part| {
                    !part.reads_only(&demand.path, paths) || part.is_true(&scope, &mut budget)
                })
            }),
            None => may_meet(demand, &demands),
        };
        // Without steps left nothing holds, which proves nothing.
        (!is_possible && budget.left() > 0).then(|| {
            let claim = printable(&demand.path.join("."));
            format!("no value of `{claim}` meets every part of it that is about this claim")
        })
    })
}

/// The values that a claim must be one of, if they are few and each is known.
fn values(demand: &Wish) -> Option<Vec<Json>> {
    let values = demand.any.iter().map(|want| match want {
        Want::Glob(glob) if glob.is_literal() => Some(Json::String(glob.text())),
        Want::Value(value) => Some(value.clone()),
        Want::Glob(_) | Want::ListWith(_) | Want::Present => None,
    });
    values.collect()
}

/// Whether some text may meet all demands on a claim that ask for texts.
fn may_meet(demand: &Wish, demands: &[Wish]) -> bool {
    let same = demands.iter().filter(|one| one.path == demand.path);
    let languages = same.filter_map(|one| {
        let globs: Option<Vec<_>> = one
            .any
            .iter()
            .map(|want| match want {
                Want::Glob(glob) => Some(glob.clone()),
                Want::ListWith(_) | Want::Present | Want::Value(_) => None,
            })
            .collect();
        globs.map(|any| Language {
            any,
            is_negated: false,
            folds_case: false,
        })
    });
    common(&languages.collect::<Vec<_>>(), &[]) != Common::None
}

/// Claims of which only this one is known.
pub(crate) fn nested(path: &[String], value: &Json) -> Json {
    path.iter().rev().fold(value.clone(), |inner, member| {
        Json::Object(Map::from_iter([(member.clone(), inner)]))
    })
}

impl Expression {
    fn is_true(&self, scope: &Scope, budget: &mut Budget) -> bool {
        matches!(self.evaluate_within(scope, budget), Ok(Value::Bool(true)))
    }

    /// Whether it reads this claim and no other.
    fn reads_only(&self, claim: &[String], paths: Paths<'_>) -> bool {
        match self.path() {
            Some(path) => paths(&path).is_some_and(|read| read == claim),
            // Whether a member is there is asked of another object than of the claim.
            None if matches!(self, Self::Has(..) | Self::Fold(_)) => false,
            None => self
                .parts()
                .into_iter()
                .all(|part| part.reads_only(claim, paths)),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Name(name) => vec![name],
            other => other.parts().into_iter().flat_map(Self::names).collect(),
        }
    }
}

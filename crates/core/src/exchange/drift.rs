//! Drift: names that have come to mean something else than when they were first used.
//!
//! A rule may speak of names, and whoever has a name can give it up to another. So the names of whoever
//! is admitted are held to the ids that they had the first time; what is seen later that differs is
//! either someone else under the same name, who is refused, or the same one under another name, which
//! is told with the change that a rule needs.

use std::borrow::Cow;
use std::fmt;

use super::Believed;
use super::rule::{Admission, ExchangeRule, Rules, Source};
use crate::policy::facts::SUBJECT;
use crate::policy::matcher::Matcher;
use crate::policy::rules::Rule;
use crate::policy::subject::without_github_ids;
use crate::reason::printable;
use crate::time::Time;
use crate::verdict::Identity;

/// A name, and what its holder is known by for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The fact that is the name.
    pub fact: &'static str,
    /// The name.
    pub name: String,
    /// The fact that is the id.
    pub id_fact: &'static str,
    /// The id.
    pub id: String,
    /// The id of whom it is a name of, where others may have the same name.
    pub below: Option<String>,
    /// Whether the rule itself asks for exactly this id, so that whoever else has the name is not
    /// admitted anyway.
    pub is_by_id: bool,
}

impl Name {
    /// The name as its issuer compares it: to GitHub and to GitLab `Octo-Org/Shop` is `octo-org/shop`, so
    /// that whoever takes the one over has the other.
    pub fn as_compared(&self) -> Cow<'_, str> {
        match FOLDING.iter().any(|kind| self.fact.starts_with(kind)) {
            true => Cow::Owned(self.name.to_lowercase()),
            false => Cow::Borrowed(&self.name),
        }
    }
}

/// How the facts begin of issuers whose names may be written in large letters or small.
const FOLDING: [&str; 2] = ["github.", "gitlab."];

/// What has drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// The same one has another name, by renaming or by transfer.
    Renamed,
    /// Someone else has the name, or it was made anew.
    Resurrected,
    /// The subject is written in another form.
    SubjectForm,
}

impl DriftKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Renamed, Self::Resurrected, Self::SubjectForm];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::Resurrected => "resurrected",
            Self::SubjectForm => "subject_form",
        }
    }
}

/// Something that a rule does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What.
    pub kind: DriftKind,
    /// Of which rule.
    pub rule: String,
    /// Which fact.
    pub fact: String,
    /// What it was.
    pub was: String,
    /// What it is.
    pub is: String,
    /// The fact that stays the same, and what it is.
    pub id_fact: &'static str,
    /// The id.
    pub id: String,
    /// Whether the rule admits it all the same, so that nothing has to change.
    pub is_admitted: bool,
}

impl Drift {
    /// What to change, exactly.
    pub fn change(&self) -> String {
        let Self {
            rule,
            fact,
            was,
            is,
            id_fact,
            id,
            ..
        } = self;
        let (rule, was, is, id) = (
            printable(rule),
            printable(was),
            printable(is),
            printable(id),
        );
        let for_good =
            format!("or ask for `{id_fact}: \"{id}\"` in its place, which never changes");
        match self.kind {
            _ if self.is_admitted => format!(
                "nothing in the rule {rule}, which admits it under either name; `avouch rule forget {rule} {was}` \
                 takes this off the list"
            ),
            DriftKind::Renamed => format!(
                "in `from.facts` of the rule {rule}, where it asks for `{fact}: {was}`, write `{fact}: \
                 {is}`, {for_good}"
            ),
            DriftKind::Resurrected => format!(
                "find out who has {was} now; if it is who you mean, `avouch rule forget {rule} {was}` lets \
                 the name be held to {id_fact} {is} from the next use on"
            ),
            DriftKind::SubjectForm => format!(
                "in `from.facts` of the rule {rule}, write `subject: [\"{was}\", \"{is}\"]`, {for_good}"
            ),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (was, is) = (printable(&self.was), printable(&self.is));
        match self.kind {
            DriftKind::Renamed => {
                write!(
                    f,
                    "{} {} is called {is} now, and was {was}",
                    self.id_fact, self.id
                )
            }
            DriftKind::Resurrected => write!(
                f,
                "{was} was {} {}, and is {is} now",
                self.id_fact,
                printable(&self.id)
            ),
            DriftKind::SubjectForm => write!(f, "the subject {was} is written {is} now"),
        }
    }
}

/// The names of an identity that a rule holds to their ids.
pub fn names(rule: &ExchangeRule, identity: &Identity) -> Vec<Name> {
    let Some(preset) = rule.admits.preset else {
        return Vec::new();
    };
    let facts = identity.facts();
    let bound = preset.bound_names().iter();
    let asks_for = |fact: &str| {
        let asked = rule.admits.facts.as_ref();
        let asked = asked.and_then(|asked| asked.conditions().get(fact));
        matches!(asked, Some(Matcher::AnyOf(_)))
    };
    bound
        .filter_map(|bound| {
            Some(Name {
                fact: bound.name,
                name: facts.get(bound.name)?.clone(),
                id_fact: bound.id,
                id: facts.get(bound.id)?.clone(),
                below: match bound.below {
                    None => None,
                    Some(below) => Some(facts.get(below)?.clone()),
                },
                is_by_id: asks_for(bound.id),
            })
        })
        .collect()
}

/// Why rules do not admit someone any more whom they would have admitted under another name. Asks
/// `was_called` what a rule knows an id by.
pub fn unadmitted(
    rules: &Rules,
    subject: &Believed,
    now: Time,
    was_called: &dyn Fn(&str, &str, &str) -> Option<String>,
) -> Vec<Drift> {
    let live = rules.usable.iter().filter(|rule| !rule.has_ended(now));
    live.filter_map(|rule| {
        let facts = missed(&rule.admits, subject)?;
        let drifted = |fact: &String| drift_of(rule, fact, subject, was_called);
        let all: Option<Vec<Drift>> = facts.iter().map(drifted).collect();
        // What is explained only in part is someone else.
        all
    })
    .flatten()
    .collect()
}

/// The facts in which someone from the right place differs, if they differ in any.
fn missed(admission: &Admission, subject: &Believed) -> Option<Vec<String>> {
    if !admission.is_from_source(&subject.identity)
        || matches!(admission.source, Source::Client { .. })
    {
        return None;
    }
    let rule = admission.facts.as_ref()?;
    let facts = subject.identity.all_facts();
    let missed: Vec<String> = rule
        .differences(facts)
        .into_iter()
        .map(|difference| difference.fact)
        .collect();
    (!missed.is_empty()).then_some(missed)
}

fn drift_of(
    rule: &ExchangeRule,
    fact: &str,
    subject: &Believed,
    was_called: &dyn Fn(&str, &str, &str) -> Option<String>,
) -> Option<Drift> {
    let asked = rule.admits.facts.as_ref()?;
    let drift = |kind, was: String, is: &str, name: &Name| Drift {
        kind,
        rule: rule.name().to_owned(),
        fact: fact.to_owned(),
        was,
        is: is.to_owned(),
        id_fact: name.id_fact,
        id: name.id.clone(),
        is_admitted: false,
    };
    let names = names(rule, &subject.identity);
    let is = subject.identity.facts().get(fact)?;
    if fact == SUBJECT {
        let old = without_github_ids(is)?;
        let admitted = matches(asked, fact, &old);
        return admitted
            .then(|| {
                names
                    .first()
                    .map(|name| drift(DriftKind::SubjectForm, old, is, name))
            })
            .flatten();
    }
    let name = names.iter().find(|name| name.fact == fact)?;
    let was = was_called(rule.name(), name.id_fact, &name.id)?;
    let admitted = matches(asked, fact, &was);
    admitted.then(|| drift(DriftKind::Renamed, was, is, name))
}

fn matches(rule: &Rule, fact: &str, text: &str) -> bool {
    let matcher = rule.conditions().get(fact);
    matcher.is_some_and(|matcher| matcher.matches(text))
}

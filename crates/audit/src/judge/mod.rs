//! Judging a configuration by what it does: claims are made that it admits, one thing is changed,
//! and it is asked again. What is reported was admitted, so nothing is reported that is not so.

mod names;
mod probes;
mod start;
mod strangers;
mod subjects;

use std::cell::RefCell;

use avouch_core::reason::printable;
use serde_json::{Map, Value};

use crate::cel::{Budget, FUEL};
use crate::configuration::{Admission, Configuration, System};
use crate::finding::{Code, Finding, Severity};
use crate::sample::{Sample, is_always_text, shape};
use crate::wish::Want;
use names::Names;
use start::Start;

/// From how many steps on an expression is reported; conditions over claims take some hundred.
const DEAR: u64 = 100_000;

/// The most steps that judging a configuration takes, whatever is tried: seconds at most.
const MOST_STEPS: u64 = 20 * FUEL;

/// How many elements a list of claims may have that costs are tried with: group lists of large
/// directories are this long.
pub(crate) const MANY: usize = 1_000;

/// All that is found, the gravest first.
pub fn judge(configuration: &Configuration) -> Vec<Finding> {
    let mut found = configuration.found.clone();
    let budget = RefCell::new(Budget::of(MOST_STEPS));
    for admission in &configuration.admissions {
        let mut judge = Judge::of(configuration.system, admission, &budget);
        judge.run();
        found.extend(judge.found);
    }
    found.sort_by(|one, other| {
        let key = |finding: &Finding| (finding.severity, finding.code.name());
        key(other).0.cmp(&key(one).0).then_with(|| {
            (key(one).1, one.place.as_str()).cmp(&(key(other).1, other.place.as_str()))
        })
    });
    found.dedup_by(|one, other| one.code == other.code && one.place == other.place);
    found
}

struct Judge<'a> {
    system: System,
    admission: &'a Admission,
    names: Names,
    found: Vec<Finding>,
    budget: &'a RefCell<Budget>,
}

impl<'a> Judge<'a> {
    fn of(system: System, admission: &'a Admission, budget: &'a RefCell<Budget>) -> Self {
        Self {
            system,
            admission,
            names: Names::of(admission),
            found: Vec::new(),
            budget,
        }
    }

    fn run(&mut self) {
        let gate = &self.admission.gate;
        if let Some(why) = gate.contradiction(false) {
            return self.nobody(&why);
        }
        if let Some(claim) = self.asked_for_no_text() {
            return self.never_a_text(&claim);
        }
        let start = start::admitted(self.admission, &mut self.budget.borrow_mut());
        let Some(start) = start else {
            return match gate.contradiction(true) {
                Some(why) => self.nobody(&why),
                None => self.not_known(),
            };
        };
        let Start {
            sample: start,
            lacks_a_claim,
        } = start;
        let is_open = lacks_a_claim || self.strangers(&start);
        if !is_open {
            self.siblings(&start);
            self.names_that_pass(&start);
            self.contexts(&start);
            self.old_format(&start);
        }
        self.vacuous(&start);
        self.audience(&start);
        self.case(&start);
        self.wildcards(&start);
        self.reserved(&start);
        self.expressions(Some(&start));
    }

    /// Reports that it admits nobody, which is proved.
    fn nobody(&mut self, why: &str) {
        let (what, fix) = match self.asks_for_a_literal_wildcard() {
            true => (
                "It admits nobody: it asks for a text with `*` or `?` in it, which stand for themselves there, \
                 and no name has one."
                    .to_owned(),
                "Write the whole name; only `StringLike` knows patterns, and they admit more than is meant.",
            ),
            false => (
                format!("It admits nobody: {why}."),
                "Take the condition out that is not meant, or the whole of it.",
            ),
        };
        let place = &self.admission.place;
        self.found
            .push(Finding::new(Code::NothingAdmitted, place, what, fix));
        self.expressions(None);
    }

    /// A claim that is a text in every token of the issuer, and must be something else here.
    fn asked_for_no_text(&self) -> Option<String> {
        if self.system == System::Aws {
            // There everything is compared as a text.
            return None;
        }
        let preset = self.admission.preset;
        let is_no_text = |want: &Want| matches!(want, Want::Value(value) if !value.is_string());
        let mut asked = self.admission.asks.said.iter();
        let asked = asked
            .find(|one| is_always_text(preset, &one.path) && one.any.iter().all(is_no_text))?;
        Some(asked.path.join("."))
    }

    fn never_a_text(&mut self, claim: &str) {
        let claim = printable(claim);
        let finding = Finding::new(
            Code::NothingAdmitted,
            &self.admission.place,
            format!(
                "It admits nobody: `{claim}` is a text in every token of this issuer, and is compared with what \
                 is none."
            ),
            format!("Write what `{claim}` is compared with in quotes."),
        );
        self.found.push(finding);
        self.expressions(None);
    }

    /// Reports that nobody was found whom it admits, which proves nothing.
    fn not_known(&mut self) {
        self.found.push(Finding::new(
            Code::PopulationNotKnown,
            &self.admission.place,
            "Whom it admits is not known: its conditions are too intricate to meet by trying, and that they \
             contradict each other is not proved. Take it that it admits everyone.",
            "Ask for one whole subject or for one id, or see with --claims what becomes of a token.",
        ));
        self.expressions(None);
    }

    fn asks_for_a_literal_wildcard(&self) -> bool {
        let mut wants = self.admission.wishes.iter().flat_map(|wish| &wish.any);
        wants.any(|want| match want {
            Want::Glob(glob) => glob.is_literal() && glob.text().contains(['*', '?']),
            Want::Value(Value::String(text)) => text.contains(['*', '?']),
            Want::ListWith(_) | Want::Present | Want::Value(_) => false,
        })
    }

    fn admits(&self, sample: &Sample) -> bool {
        self.admits_claims(&sample.claims())
    }

    /// Whether it admits a token that its issuer could sign.
    fn admits_signed(&self, sample: &Sample) -> bool {
        !sample.contradicts_itself() && self.admits(sample)
    }

    fn admits_claims(&self, claims: &Map<String, Value>) -> bool {
        self.admission.admits(claims, &mut self.budget.borrow_mut())
    }

    fn report(&mut self, finding: Finding, witness: &Sample) {
        let claims = self.relevant(&witness.claims());
        self.found.push(finding.proved_by(claims));
    }

    /// The claims that matter, if they are admitted as all are.
    fn relevant(&self, claims: &Map<String, Value>) -> Map<String, Value> {
        let shape = shape(self.admission.preset);
        let mut kept: Vec<&str> = vec!["iss", "sub", "aud", "event_name", "ref", "environment"];
        for named in shape.tenant.iter().chain([&shape.object]) {
            kept.push(named.name);
            kept.extend(named.id);
        }
        let wishes = self.admission.wishes.iter();
        let wished = wishes.filter_map(|wish| wish.path.first().map(String::as_str));
        let unguarded = self.admission.expressions.iter();
        let unguarded = unguarded
            .flat_map(|(_, inspection)| &inspection.unguarded)
            .filter_map(|path| path.first().map(String::as_str));
        kept.extend(wished.chain(unguarded));
        kept.push("kubernetes.io");
        let reserving = self.admission.gate.reserving_claims();
        kept.extend(reserving.iter().map(String::as_str));
        let few: Map<String, Value> = claims
            .iter()
            .filter(|(claim, _)| kept.contains(&claim.as_str()))
            .map(|(claim, value)| (claim.clone(), value.clone()))
            .collect();
        if self.admits_claims(&few) == self.admits_claims(claims) {
            few
        } else {
            claims.clone()
        }
    }

    /// What is wrong with expressions whatever they admit, and what else they match.
    fn expressions(&mut self, start: Option<&Sample>) {
        for (place, inspection) in &self.admission.expressions {
            for regex in &inspection.unanchored {
                let witness = start.and_then(|start| self.matched_elsewhere(start, regex));
                let side = match (regex.at_start, regex.at_end) {
                    (true, true) => "begin and end anywhere",
                    (true, false) => "begin anywhere",
                    (false, _) => "end anywhere",
                };
                let finding = Finding::new(
                    Code::UnanchoredRegex,
                    place,
                    format!("`{}` may {side} in the text.", regex.call),
                    "Compare with `==`, or write the expression as `^(…)$`.",
                );
                match witness {
                    Some(witness) => {
                        let claims = self.relevant(&witness.claims());
                        self.found.push(finding.proved_by(claims));
                    }
                    None => self.found.push(finding.as_grave_as(Severity::Low)),
                }
            }
            self.unguarded(place, inspection);
        }
        self.cost(start);
    }

    fn matched_elsewhere(&self, start: &Sample, regex: &crate::cel::Unanchored) -> Option<Sample> {
        let claim = regex.claim.as_deref()?;
        let [name] = claim else { return None };
        let claims = start.claims();
        let value = claims.get(name).and_then(Value::as_str)?.to_owned();
        let mut texts = Vec::new();
        if regex.at_start && regex.at_end {
            texts.push(format!("x{value}-evil"));
        }
        if regex.at_start {
            texts.push(format!("x{value}"));
        }
        if regex.at_end {
            texts.push(format!("{value}-evil"));
        }
        texts.into_iter().find_map(|text| {
            let mut sample = start.clone();
            if name == "sub" {
                sample.set_raw_subject(text);
            } else {
                sample.set(claim, &Value::String(text));
            }
            self.admits(&sample).then_some(sample)
        })
    }

    fn unguarded(&mut self, place: &str, inspection: &crate::cel::Inspection) {
        let usual = Sample::of(self.admission.preset, &self.admission.issuer, "x").claims();
        let mut rare: Vec<String> = inspection
            .unguarded
            .iter()
            .filter(|path| !inspection.guarded.contains(path))
            .filter(|path| path.first().is_some_and(|first| !usual.contains_key(first)))
            .map(|path| path.join("."))
            .collect();
        rare.sort();
        rare.dedup();
        if rare.is_empty() {
            return;
        }
        self.found.push(Finding::new(
            Code::MissingClaimFails,
            place,
            format!(
                "A token without {} is refused, because the expression fails.",
                rare.join(", ")
            ),
            "Nothing, if that is meant; else ask with `has(…)` first, and say what holds without.",
        ));
    }

    fn cost(&mut self, start: Option<&Sample>) {
        let preset = self.admission.preset;
        let mut sample = start
            .cloned()
            .unwrap_or_else(|| Sample::of(preset, &self.admission.issuer, "x"));
        let elements: Vec<Value> = (0..MANY)
            .map(|n| Value::String(format!("element-{n}")))
            .collect();
        for (_, inspection) in &self.admission.expressions {
            for path in &inspection.looped {
                sample.set(path, &Value::Array(elements.clone()));
            }
        }
        let expressions = self.admission.expressions.iter();
        let worst = expressions.map(|(_, inspection)| inspection.worst).max();
        let cost = self.admission.gate.cost(&sample.claims());
        let cost = cost.max(worst.unwrap_or_default());
        let is_spent = self.budget.borrow().is_spent();
        if cost < DEAR && !is_spent {
            return;
        }
        let steps = if cost >= FUEL {
            format!("over {FUEL}")
        } else {
            cost.to_string()
        };
        let place = self.admission.expressions.first();
        self.found.push(Finding::new(
            Code::CelCost,
            place.map_or(self.admission.place.as_str(), |(place, _)| place),
            if is_spent {
                format!(
                    "Evaluating it took {MOST_STEPS} steps, and not everything was tried: it may admit \
                     others than are named here."
                )
            } else {
                format!("Evaluating it may take {steps} steps, with {MANY} elements in each list.")
            },
            "Do not go through a list within a list; compare with `in`.",
        ));
    }
}

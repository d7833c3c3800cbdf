//! What is known of one decision, written down when somebody reads it or when it is stored: whoever was
//! decided on does not wait for that.

use std::time::Duration;

use avouch_api::{Answer, Outcome, Sought};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Identity;
use avouch_store::{DecisionId, DecisionRow, Sequence};
use serde_json::{Map, Value, json};

use super::shown::Shown;

/// The longest record, in bytes. What a credential says beyond that is left out, and told so.
const LONGEST: usize = 16 << 10;

/// What is left out of a record that is too long, in this order, until it is not.
const LEFT_OUT: [&str; 5] = [
    "/credential/certificates",
    "/credential/claims",
    "/asked",
    "/verdict/unusable",
    "/verdict/attempts",
];

/// What came of a request as far as a credential was decided on in it.
#[derive(Default)]
pub(crate) struct Course {
    /// What was shown last.
    pub(crate) shown: Option<Shown>,
    /// What came of that.
    pub(crate) said: Option<Said>,
}

/// What the core has said.
pub(crate) enum Said {
    /// The verdict as it is written.
    Verdict(String),
    /// Whom it believed, by which view.
    Believed(Box<Identity>, Digest),
}

/// What was given.
pub(crate) struct Gave {
    pub(crate) rule: String,
    pub(crate) spiffe_id: String,
}

/// Where, when and for how long something was decided.
pub(crate) struct Place {
    /// What the decision is called.
    pub(crate) id: String,
    pub(crate) at: Time,
    /// The last segment of the address at which it was asked for.
    pub(crate) request: &'static str,
    pub(crate) took: Duration,
}

/// One decision.
pub(crate) struct Record {
    pub(super) id: String,
    /// The number of the last change of the tenant that was known.
    pub(super) held: Sequence,
    at: Time,
    request: &'static str,
    took: Duration,
    verdict: &'static str,
    /// What was asked beside what was shown, in JSON.
    asked: Option<String>,
    course: Course,
    /// Why nothing was given.
    refused: Option<Reason>,
    gave: Option<Gave>,
}

impl Record {
    /// What the core has said of a credential, and nothing else was asked for.
    pub(crate) fn of(place: Place, verdict: &'static str, course: Course) -> Self {
        Self {
            id: place.id,
            held: Sequence::START,
            at: place.at,
            request: place.request,
            took: place.took,
            verdict,
            asked: None,
            course,
            refused: None,
            gave: None,
        }
    }

    pub(crate) fn with_reason(self, reason: Option<&Reason>) -> Self {
        let refused = reason.cloned();
        Self { refused, ..self }
    }

    pub(crate) fn with_asked(self, asked: &Value) -> Self {
        Self {
            asked: Some(asked.to_string()),
            ..self
        }
    }

    /// Something was given for it.
    pub(crate) fn given(place: Place, course: Course, gave: Gave) -> Self {
        Self {
            gave: Some(gave),
            ..Self::of(place, "accept", course)
        }
    }

    /// Nothing was given for it.
    pub(crate) fn refused(place: Place, course: Course, reason: &Reason) -> Self {
        let is_open = matches!(
            reason,
            Reason::IssueUndecided { .. } | Reason::IssueKeyAwaited { .. }
        );
        let verdict = if is_open { "undetermined" } else { "reject" };
        Self::of(place, verdict, course).with_reason(Some(reason))
    }

    pub(super) fn at(self, held: Sequence) -> Self {
        Self { held, ..self }
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.verdict == "accept"
    }

    pub(super) fn verdict(&self) -> &'static str {
        self.verdict
    }

    pub(super) fn code(&self) -> Option<&'static str> {
        self.refused.as_ref().map(Reason::code)
    }

    /// About how many bytes it takes in memory.
    pub(super) fn size(&self) -> usize {
        let shown = self.course.shown.as_ref().map_or(0, Shown::size);
        let said = match &self.course.said {
            // What is told as the reason is in it once more.
            Some(Said::Verdict(text)) => 2 * text.len(),
            // What is believed of someone was shown, and what was checked is about as much for all.
            Some(Said::Believed(..)) => shown + 2_048,
            None => 0,
        };
        1_024 + shown + said + self.asked.as_ref().map_or(0, String::len)
    }

    /// As it is stored.
    pub(super) fn to_row(&self) -> Option<DecisionRow> {
        Some(DecisionRow {
            id: DecisionId::parse(&self.id)?,
            at: self.at,
            verdict: self.verdict.to_owned(),
            code: self.code().map(str::to_owned),
            document: self.to_json().to_string(),
        })
    }

    /// As it is told.
    pub(super) fn to_json(&self) -> Value {
        let mut record = json!({
            "decision": self.id,
            "at": self.at.to_string(),
            "request": self.request,
            "microseconds": u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            "credential": self.course.shown.as_ref().map(Shown::to_json),
            "asked": self.asked.as_deref().map(read),
            "given": self.gave.as_ref().map(|gave| json!({
                "rule": gave.rule, "spiffe_id": gave.spiffe_id,
            })),
            // It may say less than the verdict, which is of the credential alone.
            "refused": self.refused.as_ref().map(|reason| json!({
                "code": reason.code(), "sentence": reason.sentence(), "hint": reason.hint(),
            })),
            "verdict": self.document(),
        });
        shorten(&mut record);
        record
    }

    fn document(&self) -> Value {
        match &self.course.said {
            Some(Said::Verdict(text)) => read(text),
            Some(Said::Believed(identity, epoch)) => {
                let sought = Sought {
                    decision: &self.id,
                    identity,
                    at: self.at,
                    epoch: *epoch,
                    refused: self.refused.as_ref(),
                };
                serde_json::to_value(sought).unwrap_or_default()
            }
            None => {
                let reason = self.refused.as_ref();
                let unread = reason.map(|reason| Answer {
                    id: None,
                    decision: &self.id,
                    outcome: Outcome::Unreadable {
                        place: "the request",
                        reason,
                    },
                });
                serde_json::to_value(unread).unwrap_or_default()
            }
        }
    }

    #[cfg(test)]
    pub(super) fn example(id: &str, held: u64, size: usize) -> std::sync::Arc<Self> {
        let place = Place {
            id: id.to_owned(),
            at: Time::from_unix(0),
            request: "decide",
            took: Duration::ZERO,
        };
        let course = Course {
            shown: None,
            said: Some(Said::Verdict(" ".repeat(size))),
        };
        std::sync::Arc::new(Self::of(place, "reject", course).at(Sequence::of(held)))
    }
}

/// What was written here.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Leaves out of a record what makes it too long.
fn shorten(record: &mut Value) {
    let mut left_out = Vec::new();
    for pointer in LEFT_OUT {
        if record.to_string().len() <= LONGEST {
            break;
        }
        if let Some(part) = record.pointer_mut(pointer) {
            *part = match part.take() {
                // The nearest of the paths that were tried says why.
                Value::Array(mut paths) if pointer.ends_with("attempts") => {
                    paths.truncate(1);
                    paths.into()
                }
                _ => Value::Null,
            };
            left_out.push(pointer.trim_start_matches('/').replace('/', "."));
        }
    }
    if record.to_string().len() > LONGEST
        && let Some(verdict) = record.get_mut("verdict")
    {
        let code = verdict.pointer("/reason/code").cloned();
        let kept = ["decision", "verdict", "model", "at", "epoch"];
        let kept = kept.map(|name| (name.to_owned(), verdict.get(name).cloned()));
        let kept = kept
            .into_iter()
            .filter_map(|(name, said)| Some((name, said?)));
        let mut short: Map<String, Value> = kept.collect();
        short.insert("reason".to_owned(), json!({ "code": code }));
        *verdict = short.into();
        left_out.push("verdict".to_owned());
    }
    if !left_out.is_empty()
        && let Some(members) = record.as_object_mut()
    {
        members.insert("left_out".to_owned(), left_out.into());
    }
}

/// What a list tells of a record: what it is called, and what came of it.
pub(super) fn summary(record: &Value) -> Value {
    let said = |pointer: &str| record.pointer(pointer).filter(|said| !said.is_null());
    let subject =
        said("/verdict/identity/name").or_else(|| said("/verdict/attempts/0/path/0/vouches_for"));
    let code = said("/refused/code").or_else(|| said("/verdict/reason/code"));
    json!({
        "decision": said("/decision"),
        "at": said("/at"),
        "request": said("/request"),
        "verdict": said("/verdict/verdict"),
        "code": code,
        "credential": said("/credential/kind"),
        "subject": subject,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_too_long_says_what_is_left_out_of_it() {
        let long = "x".repeat(LONGEST);
        let reason = json!({"code": "input.x", "sentence": "no"});
        let verdict = |sentence: &str| {
            let attempt = json!({"reason": {"code": "input.x", "sentence": sentence}});
            json!({"verdict": "reject", "reason": reason, "attempts": [attempt, {"path": long}]})
        };
        let credential = json!({"digest": "d", "certificates": [long], "claims": {"sub": "me"}});
        let mut record = json!({"credential": credential, "verdict": verdict("no")});
        shorten(&mut record);
        assert_eq!(record["credential"]["digest"], "d");
        assert_eq!(record["verdict"]["reason"], reason);
        assert_eq!(record["verdict"]["attempts"].as_array().unwrap().len(), 1);
        let left_out = [
            "credential.certificates",
            "credential.claims",
            "verdict.attempts",
        ];
        assert_eq!(record["left_out"], json!(left_out));

        let mut record = json!({"credential": credential, "verdict": verdict(&long)});
        shorten(&mut record);
        assert_eq!(record["verdict"]["reason"], json!({"code": "input.x"}));
        assert!(record.to_string().len() < 1_024);
        let mut short = json!({"credential": {"claims": 1}});
        shorten(&mut short);
        assert_eq!(short, json!({"credential": {"claims": 1}}));
    }
}

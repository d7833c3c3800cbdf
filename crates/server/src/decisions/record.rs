//! What is known of one decision, written down when somebody reads it or when it is stored: whoever was
//! decided on does not wait for that.

use std::time::Duration;

use avouch_api::{Answer, Outcome, Sought};
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Identity;
use avouch_store::{DecisionId, DecisionRow, Sequence};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::secrets::without_signatures;
use super::shown::Shown;

/// The longest record, in bytes. What a credential says beyond that is left out, and told so.
const LONGEST: usize = 16 << 10;

/// What is left out of a record that is too long, in this order, until it is not.
const LEFT_OUT: [&str; 7] = [
    "/credential/certificates",
    "/credential/claims",
    "/credential/header",
    "/credential/key",
    "/asked",
    "/verdict/unusable",
    "/verdict/attempts",
];

/// What stays of the rest where that was not enough: what has one length for all.
const SHORTEST: [(&str, &[&str]); 4] = [
    ("verdict", &["decision", "verdict", "model", "at", "epoch"]),
    ("credential", &["kind", "digest"]),
    ("refused", &["code"]),
    ("given", &["rule", "spiffe_id"]),
];

/// About how many bytes an element of a list or of a map takes beside its text.
const SIZE_OF_ONE: usize = 100;

/// The longest member of these: a SPIFFE ID has 2,048 bytes at most.
const LONGEST_MEMBER: usize = 3 << 10;

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

impl Place {
    #[cfg(test)]
    fn example(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            at: Time::from_unix(0),
            request: "decide",
            took: Duration::ZERO,
        }
    }
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
        // The word by which it is found is the one that its document says.
        let verdict = match &course.said {
            Some(Said::Verdict(text)) if is_undetermined(text) => "undetermined",
            _ => "reject",
        };
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
            // Its path was shown, and what was checked is about as much for all.
            Some(Said::Believed(identity, _)) => {
                let claims = self.course.shown.as_ref().map_or(0, Shown::claims_size);
                2_048 + shown + claims + size_of_facts(identity)
            }
            // Whoever was refused unread may have chosen the words.
            None => {
                let reason = self.refused.as_ref();
                reason.map_or(0, |reason| format!("{reason:?}").len())
            }
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
        // What is said of a credential may repeat what stands in it.
        for part in ["asked", "refused", "verdict"] {
            if let Some(part) = record.get_mut(part) {
                without_signatures(part);
            }
        }
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
        let place = Place::example(id);
        let course = Course {
            shown: None,
            said: Some(Said::Verdict(" ".repeat(size))),
        };
        std::sync::Arc::new(Self::of(place, "reject", course).at(Sequence::of(held)))
    }
}

/// About how many bytes the facts on someone take.
fn size_of_facts(identity: &Identity) -> usize {
    let texts = identity.facts().iter();
    let texts = texts.map(|(name, fact)| name.len() + fact.len() + SIZE_OF_ONE);
    let lists = identity.lists().map(|(name, list)| {
        let of_list = list.iter().map(|fact| fact.len() + SIZE_OF_ONE);
        name.len() + SIZE_OF_ONE + of_list.sum::<usize>()
    });
    texts.sum::<usize>() + lists.sum::<usize>()
}

/// Whether a verdict that was written here is none yet.
fn is_undetermined(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Written<'a> {
        verdict: &'a str,
    }
    serde_json::from_str(text).is_ok_and(|read: Written<'_>| read.verdict == "undetermined")
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
        if let Some(part) = record.pointer_mut(pointer).filter(|part| !part.is_null()) {
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
    for (place, members) in SHORTEST {
        if record.to_string().len() <= LONGEST {
            break;
        }
        if let Some(part) = record.get_mut(place).filter(|part| !part.is_null()) {
            *part = shortest(part, members);
            left_out.push(place.to_owned());
        }
    }
    if !left_out.is_empty()
        && let Some(members) = record.as_object_mut()
    {
        members.insert("left_out".to_owned(), left_out.into());
    }
}

/// The named members of a part, and of why it refuses the code.
fn shortest(part: &Value, members: &[&str]) -> Value {
    let said = members
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), part.get(name)?)))
        .filter(|(_, said)| said.to_string().len() <= LONGEST_MEMBER);
    let mut short: Map<String, Value> = said.map(|(name, said)| (name, said.clone())).collect();
    let code = part.pointer("/reason/code");
    if let Some(code) = code.filter(|code| code.to_string().len() <= LONGEST_MEMBER) {
        short.insert("reason".to_owned(), json!({ "code": code }));
    }
    short.into()
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
    use avouch_api::{Asked, TrustDocument};
    use avouch_core::credential::Credential;
    use avouch_core::crypto::AwsLc;
    use avouch_core::id::TenantId;
    use avouch_core::verdict::Verdict;
    use avouch_testkit::key::Key;
    use avouch_testkit::token::{TokenForge, jwk, jwks};
    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    const UUID: &str = "01a225e9-bfaf-73ee-b850-aeffa3662b86";

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
        assert_eq!(record["credential"]["digest"], "d");
        let mut short = json!({"credential": {"claims": 1}});
        shorten(&mut short);
        assert_eq!(short, json!({"credential": {"claims": 1}}));
    }

    /// All places of a value at which there is no object.
    fn places(value: &Value, at: &str) -> Vec<String> {
        let Value::Object(members) = value else {
            return vec![at.to_owned()];
        };
        let below = members.iter();
        below
            .flat_map(|(name, value)| places(value, &format!("{at}/{name}")))
            .chain([at.to_owned()])
            .filter(|place| !place.is_empty())
            .collect()
    }

    #[test]
    fn no_record_is_too_long_whatever_in_it_is() {
        let record = json!({
            "decision": "d", "at": "t", "request": "decide", "microseconds": 1,
            "credential": {
                "kind": "jwt", "digest": "d", "certificates": ["c"], "header": {"x": "h"},
                "claims": {"sub": "me"}, "key": "k",
            },
            "asked": {"audience": ["a"]},
            "given": {"rule": "r", "spiffe_id": "s"},
            "refused": {"code": "input.x", "sentence": "no", "hint": "so"},
            "verdict": {
                "id": "i", "decision": "d", "verdict": "reject", "model": "pki",
                "identity": {"name": "n"}, "path": [], "anchor": {"name": "a"},
                "reason": {"code": "input.x", "sentence": "no", "evidence": {"name": "x"}},
                "attempts": [{"reason": {"code": "input.x"}}], "checks": [], "legs": [],
                "needs": [], "unusable": [], "revocation": [], "at": "t", "epoch": "e",
            },
        });
        // Those we make ourselves.
        let own = ["/decision", "/at", "/request", "/microseconds"];
        for long in ["x".repeat(2 * LONGEST).into(), json!(vec!["x"; LONGEST])] {
            let long: Value = long;
            for place in places(&record, "") {
                if own.contains(&place.as_str()) {
                    continue;
                }
                let mut record = record.clone();
                *record.pointer_mut(&place).unwrap() = long.clone();
                shorten(&mut record);
                let length = record.to_string().len();
                assert!(length <= LONGEST, "{place}: {length}");
                assert!(record["left_out"].is_array(), "{place}");
            }
            let mut all = record.clone();
            for place in places(&record, "") {
                if let Some(part) = all.pointer_mut(&place).filter(|part| !part.is_object())
                    && !own.contains(&place.as_str())
                {
                    *part = long.clone();
                }
            }
            shorten(&mut all);
            assert!(all.to_string().len() <= LONGEST);
        }
    }

    #[test]
    fn what_strangers_send_is_stored_within_the_room_of_one() {
        let header = json!({"alg": "ES256", "x": "x".repeat(700 << 10)}).to_string();
        let header = Base64UrlUnpadded::encode_string(header.as_bytes());
        for credential in [
            Credential::Jwt(format!("{header}.e30.AAAA")),
            Credential::Ssh {
                key: format!("ssh-ed25519 AAAA{}", "A".repeat(1 << 20)),
                proof: None,
            },
            Credential::Unsupported("x".repeat(1 << 20)),
        ] {
            let shown = Some(Shown::of(&credential));
            let course = Course { shown, said: None };
            let record = Record::of(Place::example(UUID), "reject", course);
            assert!(record.size() < LONGEST, "{}", record.size());
            let row = record.to_row().unwrap();
            assert!(row.document.len() <= LONGEST, "{}", row.document.len());
        }
    }

    #[test]
    fn what_refuses_someone_unread_takes_the_room_that_it_needs() {
        let size = |detail: &str| {
            let reason = Reason::IssueUpstreamMalformed {
                detail: detail.to_owned(),
            };
            let course = Course::default();
            Record::refused(Place::example(UUID), course, &reason).size()
        };
        assert!(size(&"x".repeat(LONGEST)) >= size("no") + LONGEST - 2);
    }

    #[test]
    fn a_record_is_found_by_the_word_that_it_says() {
        let open = Reason::IssueUndecided {
            need: "a status list".to_owned(),
        };
        let closed = Reason::IssueUpstreamMalformed {
            detail: "no".to_owned(),
        };
        let written = |word: &str| Said::Verdict(json!({"id": null, "verdict": word}).to_string());
        let all = [
            (None, "reject"),
            (Some("reject"), "reject"),
            (Some("undetermined"), "undetermined"),
        ];
        for reason in [&open, &closed] {
            for (said, word) in all {
                let said = said.map(written);
                let course = Course { shown: None, said };
                let record = Record::refused(Place::example(UUID), course, reason);
                let row = record.to_row().unwrap();
                assert_eq!(read(&row.document)["verdict"]["verdict"], word);
                assert_eq!(row.verdict, word);
            }
        }
    }

    #[test]
    fn what_is_known_of_whoever_is_believed_takes_the_room_that_it_needs() {
        let tenant = TenantId::parse("one").unwrap();
        let key = Key::p256("jobs");
        let trust = json!({"anchors": [{
            "issuer": "https://by-hand.test", "jwks": jwks(&[jwk(&key, "k")]),
            "rules": [{"name": "jobs", "facts": {"subject": ["job"]}}],
        }]});
        let trust = TrustDocument::read_json(&trust.to_string(), &tenant, "here").unwrap();
        let view = TrustDocument::view(tenant.clone(), vec![trust]);
        let size = |more: Value| {
            let mut claims = json!({
                "iss": "https://by-hand.test", "sub": "job", "iat": 1_000, "exp": 1_300,
                "aud": "here",
            });
            for (name, value) in more.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let token = TokenForge::saying(claims).sign(&key, "k");
            let length = token.len();
            let asked = json!({"credential": {"jwt": token}, "audience": ["here"]});
            let asked = asked.to_string();
            let asked = Asked::read(&asked).unwrap();
            let budget = asked.budget();
            let question = asked.into_question(tenant.clone(), Time::from_unix(1_100));
            let verdict = avouch_core::decide(&question, &view, &AwsLc, &mut budget.clone());
            let Verdict::Accept(sealed) = verdict else {
                panic!("{verdict:?}");
            };
            let identity = Box::new(sealed.preview().clone());
            let course = Course {
                shown: Some(Shown::of(&question.credential)),
                said: Some(Said::Believed(identity, view.epoch())),
            };
            let place = Place::example(UUID);
            (Record::of(place, "accept", course).size(), length)
        };
        let (short, length) = size(json!({}));
        let many: Map<String, Value> = (0..1_000)
            .map(|number| (format!("c{number}"), number.into()))
            .collect();
        let (long, longer) = size(many.into());
        assert!(long - short >= 10 * (longer - length), "{short} {long}");
        assert!(long > 100_000, "{long}");
    }
}

//! One question, one verdict.

use std::sync::Arc;
use std::time::Duration;

use avouch_api::{Answer as Told, Asked, Outcome};
use avouch_core::budget::Budget;
use avouch_core::crypto::AwsLc;
use avouch_core::exchange::dpop::Proved;
use avouch_core::explain;
use avouch_core::question::Question;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{IdentityKind, Need, Verdict};
use avouch_core::view::View;
use axum::http::header::RETRY_AFTER;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, Stop};
use super::oauth::SOON;
use crate::access::{Noun, Verb};
use crate::back_off::seconds_until;
use crate::decisions::{Course, Record, Said, Shown};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::traces;
use crate::views;
use crate::xml_signatures;

/// How long is waited to be as current as the store.
pub(super) const LONGEST_LOOK: Duration = Duration::from_millis(250);

/// How often something is fetched for one decision: keys, and the status list that a token names.
pub(super) const MOST_FETCHES: usize = 2;

/// What a refusal calls the proof that came with a token.
const PROOF: &str = "the DPoP proof";

/// Decides. Who may read the anchors of the tenant sees the whole verdict, and may add what else is
/// to be trusted; everyone else learns a code.
pub(super) fn answer(call: &Call) -> Result<Answer, Stop> {
    // Who names none that is there waits for nothing.
    let tenant = call.any_tenant()?;
    // While the store does not answer, what is in memory counts.
    call.plane().be_current(&tenant, LONGEST_LOOK);
    // It may be gone since, and another have its name.
    let tenant = call.any_tenant()?;
    let mut within = Within::of(call, &tenant)?;
    let sees_all = within.sees_all;
    let text = call.text("question")?;
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err(unreadable) => {
            let id = unreadable.id.as_deref();
            return Ok(refused(within, id, "the question", &unreadable.reason));
        }
    };
    let id = asked.id().map(str::to_owned);
    let brings_trust = asked.trust().is_some() && sees_all;
    within.brings_trust = brings_trust;
    let view = match view_for(call, &tenant, asked.trust().filter(|_| sees_all))? {
        Ok(view) => view,
        Err(reason) => {
            let place = "the trust document";
            return Ok(refused(within, id.as_deref(), place, &reason));
        }
    };
    let budget = asked.budget();
    let shown = asked.dpop().cloned();
    let mut question = asked.into_question(tenant.id().clone(), call.plane().now());
    let proved = shown.map(|shown| shown.prove(&mut question, &AwsLc, &mut budget.clone()));
    let proved = match proved.transpose() {
        Ok(proved) => proved,
        Err(reason) => {
            return Ok(refused(within, id.as_deref(), PROOF, &reason));
        }
    };
    let deciding = traces::part("decide");
    let decided = deciding.in_scope(|| decide(call, &tenant, &mut question, &view, &budget))?;
    let (verdict, view) = match brings_trust {
        // What the question brings itself is not fetched for.
        true => (decided, view),
        false => {
            let asking = Asking {
                call,
                tenant: &tenant,
                sees_all,
                budget: &budget,
            };
            asking.fetching(&mut question, view, decided)?
        }
    };
    deciding.record("avouch.verdict", word(&verdict));
    let plane = call.plane();
    if let Some(reason) = used_before(plane, &tenant, &verdict, proved.as_ref())? {
        return Ok(refused(within, id.as_deref(), PROOF, &reason));
    }
    // What is decided by what the question brings itself is seen of nobody.
    if !brings_trust {
        plane.note_issuer_use(&tenant, &verdict);
        plane.note_services(&tenant, &view, &question, &verdict);
        tenant.tallies.count(&verdict);
    }
    let outcome = Outcome::Decided {
        question: &question,
        view: &view,
        verdict: &verdict,
    };
    let answer = told(within, id.as_deref(), outcome);
    Ok(match again(&verdict, question.now) {
        Some(seconds) => answer.with(RETRY_AFTER, &seconds.to_string()),
        None => answer,
    })
}

/// What is trusted where it is asked, with what the question brings; or why that cannot be read.
fn view_for(
    call: &Call,
    tenant: &Arc<Tenant>,
    brought: Option<&str>,
) -> Result<Result<Arc<View>, Reason>, Refused> {
    let Some(trust) = brought else {
        return Ok(Ok(call.view(tenant)?));
    };
    let document = match views::read_brought(trust, tenant, "the question") {
        Ok(document) => document,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut documents = call.plane().trust_of(tenant)?;
    documents.push(document);
    let kept = call.plane().status_lists.all(tenant.id());
    let view = views::view(tenant, documents).with_status_lists(&kept);
    Ok(Ok(Arc::new(view)))
}

/// Uses the proof up that came with a token, if that is believed; why not, if it was used before.
fn used_before(
    plane: &Plane,
    tenant: &Tenant,
    verdict: &Verdict,
    proved: Option<&Proved>,
) -> Result<Option<Box<Reason>>, Refused> {
    let (Verdict::Accept(_), Some(proved)) = (verdict, proved) else {
        return Ok(None);
    };
    match plane.use_proof(tenant, proved) {
        Ok(()) => Ok(None),
        Err(Refused::Reason(reason)) => Ok(Some(reason)),
        Err(fault @ Refused::Fault(_)) => Err(fault),
    }
}

/// What comes of a question with what is known. What cannot be read of the tenant is a fact that is
/// missing.
fn decide(
    call: &Call,
    tenant: &Tenant,
    question: &mut Question,
    view: &View,
    budget: &Budget,
) -> Result<Verdict, Refused> {
    match call.plane().fit(tenant) {
        Ok(()) => Ok(xml_signatures::decide(question, view, &AwsLc, budget)?),
        Err(_) => Ok(Verdict::Undetermined(vec![Need::State])),
    }
}

/// In how many seconds it makes sense to ask again, if that is known.
fn again(verdict: &Verdict, now: Time) -> Option<u32> {
    let Verdict::Undetermined(needs) = verdict else {
        return None;
    };
    let seconds = needs.iter().filter_map(|need| match need {
        Need::Key(awaited) => Some(seconds_until(awaited.from, now)),
        // Whoever vouches has failed, and may not do so for long.
        Need::Introspection { why: Some(_), .. }
        | Need::KeySet { why: Some(_), .. }
        | Need::StatusList { why: Some(_), .. } => Some(SOON),
        // These someone has to give, however long is waited.
        Need::Audience
        | Need::Challenge
        | Need::Introspection { .. }
        | Need::KeySet { .. }
        | Need::Recipient
        | Need::State
        | Need::StatusList { .. }
        | Need::XmlSignature(_) => None,
    });
    seconds.max()
}

/// Who asks, and within what bounds.
struct Asking<'a> {
    call: &'a Call,
    tenant: &'a Arc<Tenant>,
    sees_all: bool,
    budget: &'a Budget,
}

impl Asking<'_> {
    /// Fetches what a verdict lacks, and decides again: keys, status lists, chains of federations, and
    /// what issuers say of tokens.
    fn fetching(
        &self,
        question: &mut Question,
        known: Arc<View>,
        decided: Verdict,
    ) -> Result<(Verdict, Arc<View>), Stop> {
        let plane = self.call.plane();
        let brings_chain = !question.context.trust_chain.is_empty();
        let (mut known, mut view, mut verdict) = (Arc::clone(&known), known, decided);
        let mut answers = Vec::new();
        for _ in 0..=MOST_FETCHES {
            // Issuers are asked about tokens only for those whom the tenant knows.
            let told = match self.sees_all {
                true => plane.introspected(self.tenant, &verdict, &question.credential)?,
                false => Vec::new(),
            };
            let chain = match brings_chain {
                true => None,
                false => plane.missing_chain(self.tenant, &known, question, &verdict),
            };
            if !told.is_empty() {
                answers = told;
            } else if let Some(chain) = chain {
                question.context.trust_chain = chain;
            } else {
                let looked = plane.fetch_missing(self.tenant, &verdict);
                let awaited = looked.awaited_keys();
                if looked.has_changed {
                    known = self.call.view(self.tenant)?;
                } else if awaited.is_empty() {
                    break;
                }
                question.context.awaited_keys = awaited;
            }
            view = match answers.is_empty() {
                true => Arc::clone(&known),
                false => Arc::new(View::clone(&known).with_introspected(&answers)),
            };
            verdict = xml_signatures::decide(question, &view, &AwsLc, self.budget)?;
        }
        let verdict = plane
            .saying_why(self.tenant, &question.credential, &verdict)
            .into_owned();
        Ok((verdict, view))
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accept(_) => "accept",
        Verdict::Reject(_) => "reject",
        Verdict::Undetermined(_) => "undetermined",
    }
}

/// In which call something is decided for which tenant.
#[derive(Clone, Copy)]
struct Within<'a> {
    call: &'a Call,
    tenant: &'a Arc<Tenant>,
    /// Whether the asker is told all.
    sees_all: bool,
    /// Whether more is trusted than what the tenant trusts.
    brings_trust: bool,
}

impl<'a> Within<'a> {
    fn of(call: &'a Call, tenant: &'a Arc<Tenant>) -> Result<Self, Stop> {
        let sees_all = match call.caller_if_any()? {
            Some(caller) => call
                .plane()
                .permit(&caller, tenant.id().as_str(), Verb::Read, Noun::Anchor)
                .is_ok(),
            None => false,
        };
        Ok(Self {
            call,
            tenant,
            sees_all,
            brings_trust: false,
        })
    }
}

fn refused(within: Within<'_>, id: Option<&str>, place: &str, reason: &Reason) -> Answer {
    told(within, id, Outcome::Unreadable { place, reason })
}

fn told(within: Within<'_>, id: Option<&str>, outcome: Outcome<'_>) -> Answer {
    let call = within.call;
    let answer = Told {
        id,
        decision: &call.id,
        outcome,
    };
    if let Some(reason) = answer.reason() {
        call.plane().counters.refused(reason.code());
    }
    let line = answer.to_line();
    let told = match within.sees_all {
        true => Answer::text("application/json", line.clone()),
        false => Answer::json(&for_peer(&answer)),
    };
    // What would be decided if more were trusted, the tenant has not decided.
    if !within.brings_trust {
        call.plane()
            .keep_decision(within.tenant, record(call, &answer, line));
    }
    told
}

fn record(call: &Call, answer: &Told<'_>, line: String) -> Record {
    let place = call.decided("decide");
    let mut course = Course {
        shown: None,
        said: Some(Said::Verdict(line)),
    };
    let Outcome::Decided { question, .. } = answer.outcome else {
        return Record::of(place, answer.word(), course).with_reason(answer.reason());
    };
    course.shown = Some(Shown::of(&question.credential));
    Record::of(place, answer.word(), course)
        .with_reason(answer.reason())
        .with_asked(&avouch_api::context_to_json(question))
}

/// Whether whose a credential is, and until when, stands in the credential. A key of SSH is public, and whose
/// it is and until when that counts only the tenant says; so it is of an API key.
fn stands_in_it(kind: IdentityKind) -> bool {
    match kind {
        IdentityKind::Certificate | IdentityKind::Spiffe | IdentityKind::Token => true,
        IdentityKind::ApiKey | IdentityKind::Ssh => false,
    }
}

/// What the question itself lacks, which is no matter of the tenant: what else is missing stays here.
fn missing_of_question(outcome: &Outcome<'_>) -> Vec<Value> {
    let Outcome::Decided {
        verdict: Verdict::Undetermined(needs),
        ..
    } = outcome
    else {
        return Vec::new();
    };
    let asked = |need: &&Need| matches!(need, Need::Audience | Need::Recipient);
    let told = |need: &Need| json!({ "kind": need.name(), "sentence": need.sentence() });
    needs.iter().filter(asked).map(told).collect()
}

/// What whoever asks is told that may not see all.
fn for_peer(answer: &Told<'_>) -> Value {
    let reason = match &answer.outcome {
        // How a question is asked is no matter of the tenant, and nobody repeats what stands in it.
        Outcome::Unreadable { reason, .. } => Some(json!({
            "code": reason.code(),
            "sentence": reason.sentence(),
            "hint": reason.hint(),
        })),
        Outcome::Decided { .. } => answer.reason().map(|reason| {
            let told = explain::of_reason_for_peer(reason);
            json!({ "code": told.code, "sentence": told.sentence })
        }),
    };
    let mut told = Map::from_iter([
        ("id".to_owned(), answer.id.into()),
        ("decision".to_owned(), answer.decision.into()),
        ("verdict".to_owned(), answer.word().into()),
        ("reason".to_owned(), reason.into()),
    ]);
    let missing = missing_of_question(&answer.outcome);
    if !missing.is_empty() {
        told.insert("needs".to_owned(), missing.into());
    }
    // Whoever asks has the credential, and is to act on whose it is; by what it is believed stays here.
    if let Outcome::Decided {
        verdict: Verdict::Accept(sealed),
        ..
    } = &answer.outcome
        && stands_in_it(sealed.preview().kind())
    {
        let believed = sealed.preview();
        let identity = json!({
            "name": believed.name(),
            "kind": believed.kind().name(),
            "tenant": believed.tenant().as_str(),
        });
        told.insert("identity".to_owned(), identity);
        let until = believed.valid_until().to_string();
        told.insert("valid_until".to_owned(), until.into());
    }
    Value::Object(told)
}

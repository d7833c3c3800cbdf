//! The token endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::exchange::Given;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use axum::http::header::PRAGMA;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::Answer;
use super::call::{Call, Rest, Stop};
use super::decide::{LONGEST_LOOK, MOST_FETCHES};
use super::manage::refusal;
use super::oauth;
use super::route::Beginner;
use crate::access::{Noun, Verb};
use crate::decisions::{Course, Place as Decided, Record};
use crate::exchange::request::{Grant, TokenRequest};
use crate::exchange::{Exchange, Pending, Shown};
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views::Known;

/// Everything is settled at first; the use and the record are waited for without a thread.
pub(super) const BEGINNER: Beginner = Beginner { at_once, begin };

/// Exchanges what memory and little work settle. It refuses nothing: what is not settled so is begun
/// once more, and may wait then.
fn at_once(call: &Call) -> Option<Rest> {
    if call.has_authorization() {
        return None;
    }
    let tenant = call.open_tenant()?;
    let request = read(call).ok().filter(TokenRequest::is_plain)?;
    let known = call.http.views.if_known(call.plane(), &tenant)?;
    let exchange = exchange_of(call, &tenant, &known).at_once();
    let pending = exchange.exchange(&request, shown(call)).ok()?;
    Some(rest(Place::of(call, &tenant), &request, pending))
}

fn begin(call: &Call) -> Result<Rest, Stop> {
    let tenant = call.any_tenant()?;
    if call.shows_basic() {
        return Err(Stop::OAuth(Box::new(oauth::Refusal::of_basic())));
    }
    // A header that says who calls must be in order. Whose the certificate of a connection is, is
    // asked only where there is something to tell.
    if call.has_authorization() {
        call.caller_if_any()?;
    }
    let place = Place::of(call, &tenant);
    let told = |reason: Reason, course: Course, is_grant: bool| {
        place.note_refusal(&reason, course);
        match sees_all(call, &tenant) {
            Ok(sees_all) => Stop::OAuth(Box::new(oauth::Refusal {
                is_grant,
                sees_all,
                ..oauth::Refusal::of(reason)
            })),
            Err(stop) => stop,
        }
    };
    let request = read(call).map_err(|reason| told(reason, Course::default(), false))?;
    let pending = match exchanged(call, &tenant, &request)? {
        (Ok(pending), _) => pending,
        (Err(Refused::Reason(reason)), course) => {
            return Err(told(*reason, course, is_grant(&request)));
        }
        (Err(Refused::Fault(fault)), _) => return Err(fault.into()),
    };
    Ok(rest(place, &request, pending))
}

fn is_grant(request: &TokenRequest) -> bool {
    matches!(request.grant, Grant::Assertion(_))
}

/// Has what is settled used, recorded and signed, and tells what came of it.
fn rest(place: Place, request: &TokenRequest, pending: Pending) -> Rest {
    let is_grant = is_grant(request);
    let Pending {
        issued,
        course,
        gives,
    } = pending;
    Rest::of(async move {
        match issued.await {
            Ok(issued) => {
                let Place {
                    decision, tenant, ..
                } = &place;
                tracing::info!(decision, tenant = %tenant.id(), "{}", issued.note);
                place.keep(Record::given(place.decided(), course, gives));
                // RFC 6749 5.1 asks for it, whoever still reads it.
                let answer = Answer::written(&issued.answer)?.with(PRAGMA, "no-cache");
                Ok(match issued.nonce {
                    Some(nonce) => answer.with(oauth::DPOP_NONCE, &nonce),
                    None => answer,
                })
            }
            // It was used before, and of that everyone is told the same.
            Err(Refused::Reason(reason)) => {
                place.note_refusal(&reason, course);
                Err(Stop::OAuth(Box::new(oauth::Refusal {
                    is_grant,
                    ..oauth::Refusal::of(*reason)
                })))
            }
            Err(Refused::Fault(fault)) => Err(fault.into()),
        }
    })
}

/// Where something is asked for, as the log and the record of it name it.
struct Place {
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    decision: String,
    at: Time,
    began: Instant,
}

impl Place {
    fn of(call: &Call, tenant: &Arc<Tenant>) -> Self {
        Self {
            plane: Arc::clone(call.plane()),
            tenant: Arc::clone(tenant),
            decision: call.id.clone(),
            at: call.plane().now(),
            began: call.began,
        }
    }

    fn decided(&self) -> Decided {
        Decided {
            id: self.decision.clone(),
            at: self.at,
            request: "token",
            took: self.began.elapsed(),
        }
    }

    fn keep(&self, record: Record) {
        self.plane.keep_decision(&self.tenant, record);
    }

    /// The presenter learns a code; whoever administers the tenant finds the rest here, and in the record.
    fn note_refusal(&self, reason: &Reason, course: Course) {
        tracing::info!(
            decision = self.decision, tenant = %self.tenant.id(), code = reason.code(),
            "nothing was exchanged: {}", reason.sentence()
        );
        self.keep(Record::refused(self.decided(), course, reason));
    }
}

/// Exchanges; once more where keys or a status list had to be fetched first. What was refused has
/// used nothing.
fn exchanged(
    call: &Call,
    tenant: &Arc<Tenant>,
    request: &TokenRequest,
) -> Result<(Result<Pending, Refused>, Course), Stop> {
    let mut is_current = false;
    for _ in 0..MOST_FETCHES {
        let known = call.known(tenant)?;
        let exchange = exchange_of(call, tenant, &known);
        let tried = exchange.exchange(request, shown(call));
        if !exchange.has_news() {
            // Whoever vouched may have a key by now that another server has stored.
            if is_of_others(&tried) && call.plane().is_one_of_several() && !is_current {
                is_current = true;
                call.plane().be_current(tenant, LONGEST_LOOK);
                continue;
            }
            return Ok((tried, exchange.course()));
        }
        if tried.is_ok() {
            return Ok((tried, exchange.course()));
        }
    }
    let known = call.known(tenant)?;
    let exchange = exchange_of(call, tenant, &known);
    let tried = exchange.exchange(request, shown(call));
    Ok((tried, exchange.course()))
}

/// Whether it is refused for what may be trusted of late.
fn is_of_others(tried: &Result<Pending, Refused>) -> bool {
    let Err(Refused::Reason(reason)) = tried else {
        return false;
    };
    matches!(**reason, Reason::IssueLineage { .. })
}

fn exchange_of<'a>(call: &'a Call, tenant: &'a Arc<Tenant>, known: &'a Arc<Known>) -> Exchange<'a> {
    Exchange::at(call.plane(), tenant, (known, &call.http.views), &call.id)
}

fn shown(call: &Call) -> Shown<'_> {
    Shown {
        proofs: &call.dpop,
        certificates: call.certificates(),
    }
}

fn read(call: &Call) -> Result<TokenRequest, Reason> {
    TokenRequest::read(call.form("token request")?)
}

/// Whether whoever asks may read the rules of the tenant. A client that shows who it is in the
/// header does it in a way that is not taken here.
fn sees_all(call: &Call, tenant: &Arc<Tenant>) -> Result<bool, Stop> {
    let Some(caller) = call.caller_if_any()? else {
        return Ok(false);
    };
    let name = tenant.id().as_str();
    let permitted = call.plane().permit(&caller, name, Verb::Read, Noun::Rule);
    Ok(permitted.is_ok())
}

/// Tells what a token would be exchanged for, or why not. Nothing is used and nothing issued.
pub(super) fn trial(call: &Call, tenant: &Arc<Tenant>) -> Result<Answer, Stop> {
    let mut members = call.members("trial")?;
    let token = members.required_text("subject_token")?;
    let form = members.text("subject_token_type")?;
    let issuer = members.text("subject_issuer")?;
    let kind = members.text("requested_token_type")?;
    let audiences = members.texts("audience")?;
    let scope = members.text("scope")?;
    members.finish()?;
    let (form, kind, scope) = (form.as_deref(), kind.as_deref(), scope.as_deref());
    let request = TokenRequest::trial(token, form, issuer, kind, audiences, scope)?;
    let known = call.known(tenant)?;
    match exchange_of(call, tenant, &known).consider(&request, Shown::default()) {
        Ok(considered) => {
            let mut told = in_words(&considered.given);
            if let Some(members) = told.as_object_mut() {
                let identity = &considered.subject.identity;
                members.insert("facts".to_owned(), json!(identity.facts()));
                let lists: BTreeMap<_, _> = identity.lists().collect();
                if !lists.is_empty() {
                    members.insert("lists".to_owned(), json!(lists));
                }
            }
            Ok(Answer::json(&told))
        }
        Err(Refused::Reason(reason)) => Ok(Answer::json(&refusal(&reason))),
        Err(Refused::Fault(fault)) => Err(fault.into()),
    }
}

fn in_words(given: &Given<'_>) -> Value {
    json!({
        "rule": given.rule.name(),
        "spiffe_id": given.id.as_str(),
        "kind": given.kind.name(),
        "audiences": given.audiences,
        "scopes": given.scopes,
        "lifetime": given.lifetime,
    })
}

//! Asking issuers about tokens that only they can read, or whether they stand by those that anyone
//! can (RFC 7662); and clusters of Kubernetes about theirs, by TokenReview.
//!
//! An issuer is asked because someone has presented a token, so what strangers can cause is bounded:
//! each token is asked about once in a while, and each issuer so many times a second, of which others
//! of the tenant keep their part. One that fails is left alone for a moment, and longer each time.

use std::sync::Arc;
use std::time::Duration;

use avouch_api::members::Members;
use avouch_core::credential::Credential;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::{
    ANSWER_AGE_USUAL, ANSWER_BYTES, Introspected, REVIEW_AGE_USUAL,
};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use avouch_store::IssuerId;
use avouch_store::keyring::{Sealed, SecretOf};
use axum::http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::back_off::{BackOff, Waits};
use crate::failing::{self, Failing};
use crate::fault::{Fault, Refused};
use crate::fetch::{Fetched, Flights, Limits, Request, Target, Trust, escaped};
use crate::plane::Plane;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;
use crate::token_review::{self, Cluster};

/// How many wait for one answer; the next is decided without.
const MOST_WAITING: usize = 16;

/// How long a decision waits for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How many answers are kept of one tenant.
const ANSWERS: Room = Room {
    entries: 4_096,
    bytes: 8 << 20,
};

/// Of how many issuers of one tenant is remembered that they have failed.
const FAILED: Room = Room {
    entries: 1_024,
    bytes: usize::MAX,
};

/// How long an issuer is not asked about a token after it has not answered about that one, in seconds.
const PAUSE: i64 = 5;

/// How long it is not asked at all after it has failed.
const SILENCE: Waits = Waits {
    first: 1,
    longest: 30,
};

/// How long it may ask to be left alone at most, in seconds.
const LONGEST_REST: i64 = 60;

/// For how long it is remembered that it has failed: who fails again within that waits longer.
const FAILURES_KEPT: i64 = 300;

/// For how long it is told that it has not answered, in seconds, while nobody asks again.
const FAILING_TOLD: i64 = 86_400;

/// Where an issuer is asked, and as whom.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// As a client of it (RFC 7662).
    Introspection {
        url: String,
        client_id: String,
        /// Sealed, as text.
        client_secret: Option<String>,
    },
    /// A cluster, by TokenReview.
    Review {
        cluster: Cluster,
        /// What shows that we may ask, sealed, as text.
        token: String,
        /// Whether the token is for one of these is asked, too.
        audiences: Vec<String>,
    },
}

/// Under which names what issuers are shown is stored, sealed.
pub(crate) const CLIENT_SECRET: &str = "client_secret_sealed";
pub(crate) const REVIEWER_TOKEN: &str = "token_sealed";

impl Endpoint {
    /// Reads `introspection` of an issuer; what is left becomes of the anchor.
    pub(crate) fn introspection(mut part: Members) -> Result<(Self, Map<String, Value>), Reason> {
        let url = part.required_text("endpoint")?;
        Target::parse(&url)?;
        let endpoint = Self::Introspection {
            url,
            client_id: part.required_text("client_id")?,
            client_secret: part.text(CLIENT_SECRET)?,
        };
        Ok((endpoint, part.rest()))
    }

    /// Reads `review` of a cluster, for tokens for one of these audiences.
    pub(crate) fn review(
        mut part: Members,
        audiences: Vec<String>,
    ) -> Result<(Self, Map<String, Value>), Reason> {
        let cluster = Cluster::read(&mut part)?;
        let token = part.text(REVIEWER_TOKEN)?;
        let endpoint = Self::Review {
            cluster,
            token: token.ok_or_else(|| part.refuse("token", "is missing"))?,
            audiences,
        };
        Ok((endpoint, part.rest()))
    }

    /// Whom it asks, and as whom: what somebody else has answered, or was asked otherwise, is no answer,
    /// and that somebody else has failed is no silence.
    fn digest(&self, trust: &Trust) -> Digest {
        let (kind, trust, texts) = match self {
            Self::Introspection {
                url,
                client_id,
                client_secret,
            } => {
                let secret = client_secret.as_deref().unwrap_or_default();
                ("introspection", trust, [url.as_str(), client_id, secret])
            }
            Self::Review { cluster, token, .. } => {
                ("review", cluster.trust(), [cluster.url(), "", token])
            }
        };
        let audiences = match self {
            Self::Introspection { .. } => &[][..],
            Self::Review { audiences, .. } => audiences,
        };
        let named = [kind].into_iter().chain(texts);
        let named = named.chain(audiences.iter().map(String::as_str));
        let certificates = trust.certificates().iter().map(AsRef::as_ref);
        Digest::of_list(named.map(str::as_bytes).chain(certificates))
    }

    /// For how many seconds an answer is believed unless something else is said.
    pub(crate) fn age_usual(&self) -> i64 {
        match self {
            Self::Introspection { .. } => ANSWER_AGE_USUAL,
            Self::Review { .. } => REVIEW_AGE_USUAL,
        }
    }

    /// Whether it is asked about tokens that only it can read, by what becomes of that in an anchor.
    pub(crate) fn is_of_opaque(&self, asked: &Value) -> bool {
        let tokens = asked.get("tokens").and_then(Value::as_array);
        let named = |tokens: &Vec<Value>| tokens.iter().any(|one| one == "opaque");
        // As the anchor reads it: about these, where nothing is said.
        let is_named = tokens.is_none_or(|tokens| tokens.is_empty() || named(tokens));
        matches!(self, Self::Introspection { .. }) && is_named
    }

    /// Under which member of an anchor it stands what is asked.
    pub(crate) fn part(&self) -> &'static str {
        match self {
            Self::Introspection { .. } => "introspection",
            Self::Review { .. } => "review",
        }
    }
}

/// What this server has asked.
pub(crate) struct Asking {
    /// What was answered, or why there was no answer.
    known: Remembered<Asked, Result<Arc<Introspected>, String>>,
    failures: Remembered<(IssuerId, Digest), BackOff>,
    /// Why issuers have not answered when they were asked last.
    failing: Remembered<IssuerId, Failing>,
    flights: Flights<(TenantId, Asked), Option<Arc<Introspected>>>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    issuer: IssuerId,
    /// Whom.
    whom: Digest,
    token: Digest,
}

impl Asked {
    fn of(ask: &Ask, token: Digest) -> Self {
        Self {
            issuer: ask.id.clone(),
            whom: ask.endpoint.digest(&ask.trust),
            token,
        }
    }

    /// Who has answered or has not.
    fn of_whom(&self) -> (IssuerId, Digest) {
        (self.issuer.clone(), self.whom)
    }
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            known: Remembered::within(ANSWERS),
            failures: Remembered::within(FAILED),
            failing: Remembered::within(FAILED),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq)]
enum Silence {
    /// Nothing was asked, because too much was.
    Ours,
    /// There is none about this token, for this reason.
    OfToken(String),
    /// There will be none about another token either, for so many seconds if the issuer says so.
    OfIssuer(Option<i64>),
}

impl Silence {
    /// What strangers present must not make an issuer silent for all others: only what no token can
    /// cause does.
    fn of(reason: &Reason, rest: Option<i64>) -> Self {
        match reason {
            Reason::FetchBudget { .. } => Self::Ours,
            Reason::FetchStatus { status, .. } if *status == 429 || *status >= 500 => {
                Self::OfIssuer(rest)
            }
            Reason::FetchAddress { .. }
            | Reason::FetchPinMissed { .. }
            | Reason::FetchSlow { .. }
            | Reason::FetchTls { .. }
            | Reason::FetchUnreachable { .. }
            | Reason::FetchUnresolved { .. } => Self::OfIssuer(None),
            other => Self::OfToken(failing::in_words(other)),
        }
    }
}

impl Asking {
    /// Forgets what was asked for a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.known.forget_tenant(tenant);
        self.failures.forget_tenant(tenant);
        self.failing.forget_tenant(tenant);
    }

    /// Since when an issuer gives no answer, and why, if the last question went without one.
    pub(crate) fn failing(&self, tenant: &TenantId, id: &IssuerId, now: Time) -> Option<Value> {
        self.failing.of(tenant, id, now).map(|one| one.told())
    }

    /// Why there is no answer about a token, if it was asked for and none came.
    fn why(&self, tenant: &TenantId, ask: &Ask, token: Digest, now: Time) -> Option<String> {
        let asked = Asked::of(ask, token);
        match self.known.of(tenant, &asked, now).as_deref() {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(_)) => None,
            None => {
                let failing = self.failing.of(tenant, &ask.id, now)?;
                let failures = self.failures.of(tenant, &asked.of_whom(), now)?;
                failures.until(now).map(|_| failing.in_words())
            }
        }
    }

    /// Notes how the last question went. One that was not asked says nothing.
    fn note(&self, tenant: &TenantId, id: &IssuerId, refused: Option<&Reason>, now: Time) {
        match refused {
            None => self.failing.forget(tenant, id),
            Some(Reason::FetchBudget { .. }) => {}
            Some(reason) => {
                let known = self.failing.of(tenant, id, now);
                let failing = Failing::after(known.as_deref(), now, reason);
                let until = now.plus(FAILING_TOLD);
                self.failing
                    .keep(tenant, id.clone(), (failing, 1), until, now);
            }
        }
    }

    /// Keeps what came of asking.
    fn keep(
        &self,
        tenant: &TenantId,
        ask: &Ask,
        asked: Asked,
        answered: Result<&Arc<Introspected>, Silence>,
        now: Time,
    ) {
        let (answer, until) = match answered {
            Ok(answer) => {
                self.failures.forget(tenant, &asked.of_whom());
                (Ok(Arc::clone(answer)), answer.usable_until(ask.age_max))
            }
            Err(Silence::Ours) => return,
            Err(Silence::OfToken(why)) => (Err(why), now.plus(PAUSE)),
            Err(Silence::OfIssuer(rest)) => return self.failed(tenant, &asked, rest, now),
        };
        let bytes = answer
            .as_ref()
            .map_or_else(String::len, |answer| answer.size());
        self.known.keep(tenant, asked, (answer, bytes), until, now);
    }

    /// Leaves an issuer alone for a while.
    fn failed(&self, tenant: &TenantId, asked: &Asked, rest: Option<i64>, now: Time) {
        let whom = asked.of_whom();
        let known = self.failures.of(tenant, &whom, now);
        let mut failures = known.map_or_else(BackOff::default, |known| BackOff::clone(&known));
        // What was asked beside others that failed is no repetition.
        if failures.may_try(now) {
            failures.failed(SILENCE, now);
        }
        if let Some(rest) = rest {
            failures.rest_until(now.plus(rest.min(LONGEST_REST)));
        }
        let until = now.plus(FAILURES_KEPT);
        self.failures.keep(tenant, whom, (failures, 1), until, now);
    }

    /// What is known already: an answer, or that there is none.
    fn known(
        &self,
        tenant: &TenantId,
        ask: &Ask,
        asked: &Asked,
        now: Time,
    ) -> Option<Option<Arc<Introspected>>> {
        if let Some(known) = self.known.of(tenant, asked, now) {
            // Less may be wanted of its age than when it was kept.
            match known.as_ref() {
                Ok(answer) if now < answer.usable_until(ask.age_max) => {
                    return Some(Some(Arc::clone(answer)));
                }
                Ok(_) => {}
                Err(_) => return Some(None),
            }
        }
        let failures = self.failures.of(tenant, &asked.of_whom(), now)?;
        failures.until(now).map(|_| None)
    }
}

/// How an issuer is asked.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: IssuerId,
    pub(crate) issuer: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) trust: Trust,
    pub(crate) age_max: i64,
}

impl Plane {
    /// What issuers answer about a token for which a verdict wants them asked: nothing, if it wants
    /// none or none answers. It blocks.
    pub(crate) fn introspected(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        verdict: &Verdict,
        credential: &Credential,
    ) -> Result<Vec<Arc<Introspected>>, Refused> {
        let Verdict::Undetermined(needs) = verdict else {
            return Ok(Vec::new());
        };
        let (Credential::Jwt(token) | Credential::Opaque(token)) = credential else {
            return Ok(Vec::new());
        };
        let mut answers = Vec::new();
        for need in needs {
            let Need::Introspection { issuer, .. } = need else {
                continue;
            };
            for ask in self.introspections(tenant, issuer)? {
                answers.extend(self.answer(tenant, ask, token));
            }
        }
        Ok(answers)
    }

    /// Why an issuer that was asked about a credential has given no answer, if that is known.
    pub(crate) fn why_unanswered(
        &self,
        tenant: &Tenant,
        issuer: &str,
        credential: &Credential,
    ) -> Option<String> {
        let (Credential::Jwt(token) | Credential::Opaque(token)) = credential else {
            return None;
        };
        let token = Digest::of(token.as_bytes());
        let asks = self.introspections(tenant, issuer).ok()?;
        let mut whys = asks.iter();
        whys.find_map(|ask| self.asking.why(tenant.id(), ask, token, self.now()))
    }

    fn answer(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        ask: Ask,
        token: &str,
    ) -> Option<Arc<Introspected>> {
        let now = self.now();
        let digest = Digest::of(token.as_bytes());
        let about = Asked::of(&ask, digest);
        if let Some(known) = self.asking.known(tenant.id(), &ask, &about, now) {
            return known;
        }
        let key = (tenant.id().clone(), about.clone());
        let answered = self.asking.flights.wait(key, LONGEST_WAIT, || {
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            let token = Zeroizing::new(token.to_owned());
            async move {
                let answered = asked(&plane, &tenant, &ask, &token, digest).await;
                let (told, id) = (answered.as_ref().map_err(Silence::clone), tenant.id());
                plane.asking.keep(id, &ask, about, told, plane.now());
                answered.ok()
            }
        });
        answered.flatten()
    }
}

/// Asks an issuer, and leaves what went wrong in the log.
async fn asked(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    ask: &Ask,
    token: &str,
    digest: Digest,
) -> Result<Arc<Introspected>, Silence> {
    // Before it is asked: what it says is no newer than that.
    let at = plane.now();
    let mut sent = send(plane, tenant, ask, token).await;
    if let Ok(first) = sent {
        sent = match may_pass(&first) {
            true => of_both(first, send(plane, tenant, ask, token).await),
            false => Ok(first),
        };
    }
    let rest = sent.as_ref().ok().and_then(|sent| sent.retry_after(at));
    let read = sent.and_then(|sent| Ok(read(ask, token, digest, at, sent)?));
    match read {
        Ok(answer) => {
            plane.asking.note(tenant.id(), &ask.id, None, plane.now());
            Ok(Arc::new(answer))
        }
        Err(Refused::Reason(reason)) => {
            let (id, now) = (tenant.id(), plane.now());
            plane.asking.note(id, &ask.id, Some(&reason), now);
            plane.counters.refused(reason.code());
            tracing::warn!(
                tenant = %tenant.id(), issuer = ask.issuer, code = reason.code(),
                "an issuer has not said whether its token holds: {}", reason.sentence()
            );
            Err(Silence::of(&reason, rest))
        }
        Err(Refused::Fault(fault)) => {
            tracing::error!(
                tenant = %tenant.id(), issuer = ask.issuer, %fault, "an issuer cannot be asked"
            );
            Err(Silence::OfIssuer(None))
        }
    }
}

/// Whether it is worth asking again at once: one of several servers behind a name may have failed
/// (RFC 9110 15.6), and none says that it wants to be left alone.
fn may_pass(answer: &Fetched) -> bool {
    matches!(answer.status(), 500 | 502 | 503 | 504) && answer.header(RETRY_AFTER).is_none()
}

/// What counts of two answers: the second, unless nothing was asked because too much was. Then the
/// failure of the first is what is known of the issuer.
fn of_both<T>(first: T, second: Result<T, Refused>) -> Result<T, Refused> {
    match second {
        Err(Refused::Reason(reason)) if matches!(*reason, Reason::FetchBudget { .. }) => Ok(first),
        second => second,
    }
}

async fn send(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    ask: &Ask,
    token: &str,
) -> Result<Fetched, Refused> {
    let limits = Limits {
        body: ANSWER_BYTES,
        whole: LONGEST_WAIT,
        ..Limits::default()
    };
    let request = match &ask.endpoint {
        Endpoint::Introspection {
            url,
            client_id,
            client_secret,
        } => {
            // RFC 7662 2.1.
            let body = format!("token={}&token_type_hint=access_token", escaped(token));
            let form = "application/x-www-form-urlencoded";
            let mut request = Request::post(url, form, body.into_bytes())?
                .header(ACCEPT, "application/json")
                .trusting(ask.trust.clone())
                .within(limits);
            if let Some(sealed) = client_secret {
                let secret = opened(tenant, SecretOf::Introspection(&ask.id), sealed)?;
                // RFC 6749 2.3.1.
                let both = format!("{}:{}", escaped(client_id), escaped(&secret));
                let both = Zeroizing::new(both);
                let basic = format!("Basic {}", Base64::encode_string(both.as_bytes()));
                request = request.header(AUTHORIZATION, &Zeroizing::new(basic));
            }
            request
        }
        Endpoint::Review {
            cluster,
            token: sealed,
            audiences,
        } => {
            let bearer = opened(tenant, SecretOf::Review(&ask.id), sealed)?;
            cluster.request(&bearer, token, audiences, limits)?
        }
    };
    let fetching = plane.fetcher().ask(tenant.id(), ask.id.as_str(), &request);
    fetching.await
}

fn read(
    ask: &Ask,
    token: &str,
    digest: Digest,
    at: Time,
    sent: Fetched,
) -> Result<Introspected, Reason> {
    match &ask.endpoint {
        Endpoint::Introspection { .. } => {
            Introspected::read(&ask.issuer, digest, at, sent.when_ok()?.body())
        }
        Endpoint::Review { audiences, .. } => {
            let answer = token_review::when_made(sent)?;
            let about = (token, audiences.as_slice());
            Introspected::of_review(&ask.issuer, about, at, answer.body())
        }
    }
}

/// What an issuer is shown.
fn opened(tenant: &Tenant, owner: SecretOf<'_>, sealed: &str) -> Result<Zeroizing<String>, Fault> {
    let damaged = || Fault::Stored(format!("the secret of {owner} cannot be read"));
    let sealed = Sealed::from_text(sealed).ok_or_else(damaged)?;
    let secret = tenant.keys.sealing().open(owner, &sealed)?;
    let secret = std::str::from_utf8(&secret).map_err(|_| damaged())?;
    Ok(Zeroizing::new(secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_question_that_was_not_asked_hides_no_failure() {
        let refused = |reason: Reason| Err(Refused::from(reason));
        let spent = Reason::FetchBudget {
            detail: "32 at once".to_owned(),
        };
        assert_eq!(of_both("first", refused(spent)).unwrap(), "first");
        assert_eq!(of_both("first", Ok("second")).unwrap(), "second");
        let away = Reason::FetchUnreachable {
            host: "idp.test".to_owned(),
            detail: "refused".to_owned(),
        };
        assert!(of_both("first", refused(away)).is_err());
    }
}

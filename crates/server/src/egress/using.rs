//! One use of an API: who asks, whether it may, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::exchange::dpop::Proved;
use avouch_core::id::{Digest, SpiffeId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_store::{AttemptId, SingleUse, UseKind, Used as UsedUp};
use axum::http::header::{
    ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::document::plain_path;
use super::facts;
use super::keys::digest;
use super::places::Place;
use super::uses::{self, Outcome};
use super::webhook::Received;
use super::{Known, find};
use crate::caller::Caller;
use crate::fault::{Fault, Refused, unknown};
use crate::fetch::{Fetched, Limits, Request, Trust};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What one use may cost. APIs take longer than key sets, and answer more.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(20),
    whole: Duration::from_secs(28),
    body: 4 << 20,
    head: 32 << 10,
    redirects: 0,
};

/// The status by which an API refuses a key (RFC 9110 15.5.2).
const UNAUTHORIZED: u16 = 401;

/// What of an answer's head is passed back: what says how to read it, when to ask again, and by what
/// the API remembers it.
const PASSED_BACK: [HeaderName; 10] = [
    CONTENT_DISPOSITION,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
    LINK,
    RETRY_AFTER,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

/// What a workload asks of an API.
pub(crate) struct Asked {
    pub(crate) egress: String,
    pub(crate) method: &'static str,
    /// The path behind the address of the API, as it came, with its slash.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) shown: Shown,
}

/// By what whoever asks has shown who it is.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A token, and no key was used.
    Bearer,
    /// A certificate, whose key was used for the connection.
    Certificate,
    /// A token and a proof made with the key that it is bound to.
    Proof(Box<Proved>),
}

/// What came back.
pub(crate) struct Used {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// A use that may be made.
pub(crate) struct Use {
    plane: Arc<Plane>,
    tenant: Arc<Tenant>,
    known: Known,
    asked: Asked,
    id: SpiffeId,
    decision: String,
    place: Place,
}

/// Looks whether a use may be made.
///
/// # Errors
///
/// `issue.object_unknown`, also for whoever is of another tenant; `issue.egress_path`,
/// `issue.egress_not_permitted`, `issue.egress_bearer`, `issue.token_used` for a proof,
/// `issue.egress_rate_exceeded`, `issue.egress_busy`, or what failed on our side.
pub(crate) fn begin(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    caller: &Caller,
    asked: Asked,
    decision: String,
) -> Result<Use, Refused> {
    if caller.tenant != *tenant.id() {
        return Err(unknown("egress", &asked.egress).into());
    }
    let record = find(tenant, &asked.egress)?;
    let known = plane.egresses.known(tenant, &record)?;
    let place = admit(plane, tenant, caller, &known, &asked);
    let place = place.inspect_err(|_| {
        uses::count(tenant, record.id.as_str(), &caller.id, Outcome::Denied);
    })?;
    Ok(Use {
        plane: Arc::clone(plane),
        tenant: Arc::clone(tenant),
        known,
        id: caller.id.clone(),
        asked,
        decision,
        place,
    })
}

/// What costs nobody anything is looked at first; a proof is used up before anything is counted, so
/// that whoever has only seen one can use nothing up.
fn admit(
    plane: &Plane,
    tenant: &Tenant,
    caller: &Caller,
    known: &Known,
    asked: &Asked,
) -> Result<Place, Refused> {
    let (egress, id) = (&known.egress, &known.record.id);
    if plain_path(&asked.path).is_none() {
        return Err(Reason::IssueEgressPath {
            egress: id.to_string(),
        }
        .into());
    }
    let look_up = || facts::Known::of(plane, tenant, caller);
    let permitted = egress.permits(&caller.id, asked.method, &asked.path, look_up)?;
    let permitted = permitted.ok_or_else(|| Reason::IssueEgressNotPermitted {
        subject: caller.id.to_string(),
        egress: id.to_string(),
        method: asked.method.to_owned(),
        path: asked.path.chars().take(256).collect(),
    })?;
    match &asked.shown {
        Shown::Bearer if !egress.bearer => {
            let egress = id.to_string();
            return Err(Reason::IssueEgressBearer { egress }.into());
        }
        Shown::Bearer | Shown::Certificate => {}
        Shown::Proof(proved) => plane.use_proof(tenant, proved)?,
    }
    if let Some(most) = permitted.per_minute {
        let (counted, now) = ((id.clone(), permitted.rule, caller.id.clone()), plane.now());
        let rate = plane.egresses.rate(tenant.id(), counted, now);
        let (granted, seconds) = rate.take(most, 1, now);
        if granted == 0 {
            return Err(Reason::IssueEgressRate { most, seconds }.into());
        }
    }
    Ok(plane.egresses.places.take(tenant.id(), id)?)
}

fn use_once(
    plane: &Plane,
    tenant: &Tenant,
    what: &'static str,
    digest: Digest,
    until: Time,
) -> Result<(), Refused> {
    let mut attempt = [0; 16];
    plane.random.fill(&mut attempt)?;
    let uses = [SingleUse {
        kind: UseKind::Proof,
        digest,
        attempt: AttemptId::from_bytes(attempt),
        at: plane.now(),
        until,
    }];
    match plane.use_once(tenant, &uses)?.as_slice() {
        [UsedUp::First] => Ok(()),
        [UsedUp::Before { at }] => Err(Reason::IssueUsed { what, at: *at }.into()),
        _ => Err(Fault::Bug("a use has no answer".to_owned()).into()),
    }
}

/// A webhook as somebody has received it, who asks whether it is one.
pub(crate) struct Webhook<'a> {
    pub(crate) egress: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) shown: Shown,
}

/// Whether an API has sent a webhook, and when, if it says so. It is one once.
///
/// # Errors
///
/// `issue.object_unknown`, also for whoever is of another tenant and where none are checked;
/// `issue.webhook_not_permitted`, `issue.egress_bearer`, `issue.webhook_malformed`,
/// `issue.webhook_stale`, `issue.webhook_signature`, `issue.token_used`, or what failed on our side.
pub(crate) fn check_webhook(
    plane: &Plane,
    tenant: &Tenant,
    caller: &Caller,
    asked: Webhook<'_>,
) -> Result<Option<Time>, Refused> {
    let unknown = || unknown("webhook", asked.egress);
    if caller.tenant != *tenant.id() {
        return Err(unknown().into());
    }
    let record = find(tenant, asked.egress).map_err(|_| unknown())?;
    let known = plane.egresses.known(tenant, &record)?;
    let webhook = known.egress.webhook.as_ref().ok_or_else(unknown)?;
    let egress = || record.id.to_string();
    if !webhook.is_for(&caller.id) {
        return Err(Reason::IssueWebhookNotPermitted {
            egress: egress(),
            subject: caller.id.to_string(),
        }
        .into());
    }
    match &asked.shown {
        Shown::Bearer if !known.egress.bearer => {
            return Err(Reason::IssueEgressBearer { egress: egress() }.into());
        }
        Shown::Bearer | Shown::Certificate => {}
        Shown::Proof(proved) => plane.use_proof(tenant, proved)?,
    }
    let received = Received {
        api: record.id.as_str(),
        headers: asked.headers,
        body: asked.body,
        now: plane.now(),
    };
    let signed = received.check(webhook.scheme, webhook.tolerance, known.keys.webhook())?;
    use_once(plane, tenant, "webhook", signed.digest, signed.until)?;
    Ok(signed.made)
}

impl Use {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// `fetch.*`, `issue.egress_leak`, or what failed on our side.
    pub(crate) async fn made(self) -> Result<Used, Refused> {
        let used = self.asked_of_api().await;
        let outcome = match &used {
            Ok(used) => Outcome::of_status(used.status),
            Err(_) => Outcome::Failed,
        };
        uses::count(
            &self.tenant,
            self.known.record.id.as_str(),
            &self.id,
            outcome,
        );
        drop(self.place);
        used
    }

    async fn asked_of_api(&self) -> Result<Used, Refused> {
        let keys = Arc::clone(&self.known.keys);
        let until = Instant::now() + LIMITS.whole;
        let mut key = keys.first();
        let mut answer = self.ask(key, until).await?;
        if answer.status() == UNAUTHORIZED
            && let Some(next) = keys.after_refusal(key)
            && self.asked.method == Method::GET.as_str()
        {
            // What may have done something is not done again: who asked does that.
            key = next;
            answer = self.ask(key, until).await?;
        }
        tracing::info!(
            decision = self.decision, tenant = %self.tenant.id(), egress = self.asked.egress,
            subject = %self.id, method = self.asked.method, path = self.asked.path,
            key = digest(&self.tenant, key), status = answer.status(), "an API of others was used"
        );
        let headers = passed_back(&answer);
        let leaks = headers
            .iter()
            .any(|(_, value)| keys.are_in(value.as_bytes()))
            || keys.are_in(answer.body());
        if leaks {
            let egress = self.asked.egress.clone();
            tracing::error!(
                decision = self.decision,
                egress,
                "an API has answered with its key"
            );
            return Err(Reason::IssueEgressLeak { egress }.into());
        }
        Ok(Used {
            status: answer.status(),
            headers,
            body: answer.body().to_vec(),
        })
    }

    /// Both times together take no longer than one may.
    async fn ask(&self, key: &str, until: Instant) -> Result<Fetched, Refused> {
        let whole = until.saturating_duration_since(Instant::now());
        let request = self.request(key)?.within(Limits { whole, ..LIMITS });
        let fetcher = &self.plane.egresses.fetcher;
        let answered = fetcher.fetch(self.tenant.id(), &request).await;
        answered.map_err(|refused| self.without_what_is_secret(refused))
    }

    /// Where an API redirects to may hold its key, and what was asked may be private.
    fn without_what_is_secret(&self, refused: Refused) -> Refused {
        match refused {
            Refused::Reason(reason) if matches!(*reason, Reason::FetchRedirect { .. }) => {
                let url = self.known.egress.base.clone();
                let location = "(elsewhere)".to_owned();
                Reason::FetchRedirect { url, location }.into()
            }
            other => other,
        }
    }

    fn request(&self, key: &str) -> Result<Request, Refused> {
        let (egress, asked) = (&self.known.egress, &self.asked);
        let query = asked.query.as_ref();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{}{query}", egress.base, asked.path);
        let method = Method::from_bytes(asked.method.as_bytes());
        let method = method.map_err(|error| Fault::Bug(error.to_string()))?;
        let mut request = Request::get(&url)?.by(method).sending(asked.body.clone());
        for name in [ACCEPT, CONTENT_TYPE].iter().chain(&egress.passes) {
            for value in asked.headers.get_all(name) {
                request = request.field(name.clone(), value.clone());
            }
        }
        let value = egress.header_with(key);
        let value = value.ok_or_else(|| Fault::Stored("a key fits into no header".to_owned()))?;
        request = request.field(egress.header.clone(), value);
        Ok(match egress.authorities.as_slice() {
            [] => request,
            these => request.trusting(Trust::Only(these.to_vec())),
        })
    }
}

fn passed_back(answer: &Fetched) -> Vec<(HeaderName, HeaderValue)> {
    let mut passed = Vec::new();
    for name in PASSED_BACK {
        for value in answer.headers().get_all(&name) {
            passed.push((name.clone(), value.clone()));
        }
    }
    passed
}

//! One use of an API: who asks, whether it may, and what comes back.

use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use axum::http::header::{
    ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::document::plain_path;
use super::keys::digest;
use super::{Known, find};
use crate::caller::Caller;
use crate::fault::{Fault, Refused};
use crate::fetch::{Fetched, Limits, Request, Trust};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What one use may cost. APIs take longer than key sets, and answer more.
const LIMITS: Limits = Limits {
    connect: std::time::Duration::from_secs(5),
    first_byte: std::time::Duration::from_secs(20),
    whole: std::time::Duration::from_secs(28),
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
    /// Whether a token says who asks, and no key was used.
    pub(crate) is_bearer: bool,
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
}

/// Looks whether a use may be made.
///
/// # Errors
///
/// `issue.object_unknown`, also for whoever is of another tenant; `issue.egress_path`,
/// `issue.egress_not_permitted`, `issue.egress_bearer`, `issue.egress_rate_exceeded`, or what failed
/// on our side.
pub(crate) fn begin(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    caller: &Caller,
    asked: Asked,
    decision: String,
) -> Result<Use, Refused> {
    let unknown = || Reason::IssueObjectUnknown {
        object: "egress",
        name: asked.egress.chars().take(128).collect(),
    };
    if caller.tenant != *tenant.id() {
        return Err(unknown().into());
    }
    let record = find(tenant, &asked.egress)?;
    let known = plane.egresses.known(tenant, &record)?;
    if plain_path(&asked.path).is_none() {
        return Err(Reason::IssueEgressPath {
            egress: asked.egress.clone(),
        }
        .into());
    }
    let permitted = known.egress.permits(&caller.id, asked.method, &asked.path);
    let permitted = permitted.ok_or_else(|| Reason::IssueEgressNotPermitted {
        subject: caller.id.to_string(),
        egress: asked.egress.clone(),
        method: asked.method.to_owned(),
        path: asked.path.chars().take(256).collect(),
    })?;
    if asked.is_bearer && !known.egress.bearer {
        let egress = asked.egress.clone();
        return Err(Reason::IssueEgressBearer { egress }.into());
    }
    if let Some(most) = permitted.per_minute {
        let place = (
            tenant.id().clone(),
            record.id.clone(),
            permitted.rule,
            caller.id.clone(),
        );
        let (granted, seconds) = plane.egresses.rate(place).take(most, 1, plane.now());
        if granted == 0 {
            return Err(Reason::IssueEgressRate { most, seconds }.into());
        }
    }
    Ok(Use {
        plane: Arc::clone(plane),
        tenant: Arc::clone(tenant),
        known,
        id: caller.id.clone(),
        asked,
        decision,
    })
}

impl Use {
    /// Makes it.
    ///
    /// # Errors
    ///
    /// `fetch.*`, `issue.egress_leak`, or what failed on our side.
    pub(crate) async fn made(self) -> Result<Used, Refused> {
        let keys = Arc::clone(&self.known.keys);
        let mut key = keys.first();
        let mut answer = self.ask(key).await?;
        if answer.status() == UNAUTHORIZED
            && let Some(next) = keys.after_refusal(key)
            && self.asked.method == Method::GET.as_str()
        {
            // What may have done something is not done again: who asked does that.
            key = next;
            answer = self.ask(key).await?;
        }
        tracing::info!(
            decision = self.decision, tenant = %self.tenant.id(), egress = self.asked.egress,
            subject = %self.id, method = self.asked.method, path = self.asked.path,
            key = digest(key), status = answer.status(), "an API of others was used"
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

    async fn ask(&self, key: &str) -> Result<Fetched, Refused> {
        let request = self.request(key)?;
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
        request = request.field(egress.header.clone(), value).within(LIMITS);
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

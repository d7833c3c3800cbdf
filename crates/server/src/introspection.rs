//! Asking issuers about tokens that only they can read, or whether they stand by those that anyone
//! can (RFC 7662).
//!
//! An issuer is asked because someone has presented a token, so what strangers can cause is bounded:
//! each token is asked about once in a while, and each issuer so many times a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avouch_api::members::{Document, Members};
use avouch_core::credential::Credential;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::{ANSWER_BYTES, Introspected};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use avouch_store::keyring::Sealed;
use avouch_store::{AuthorityId, IssuerId};
use axum::http::header::{ACCEPT, AUTHORIZATION};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::fault::{Fault, Refused};
use crate::fetch::{Flights, Limits, Request, Target, Trust};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many wait for one answer; the next is decided without.
const MOST_WAITING: usize = 16;

/// How long a decision waits for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The most answers that are kept, of all tenants.
const MOST_KEPT: usize = 10_000;

/// How long an issuer is not asked after it has not answered, in seconds.
const PAUSE: i64 = 5;

/// Where an issuer is asked, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    url: String,
    client_id: String,
    /// Sealed, as text.
    client_secret: Option<String>,
}

impl Endpoint {
    /// Reads `introspection` of an issuer; what is left becomes of the anchor.
    pub(crate) fn read(mut part: Members) -> Result<(Self, Map<String, Value>), Reason> {
        let url = part.required_text("endpoint")?;
        Target::parse(&url)?;
        let endpoint = Self {
            url,
            client_id: part.required_text("client_id")?,
            client_secret: part.text(SEALED)?,
        };
        Ok((endpoint, part.rest()))
    }
}

/// Under which name the sealed secret of a client is stored.
const SEALED: &str = "client_secret_sealed";

/// What this server has asked.
pub(crate) struct Asking {
    known: Mutex<BTreeMap<Key, Arc<Introspected>>>,
    silent: Mutex<BTreeMap<(TenantId, IssuerId), Time>>,
    flights: Flights<Key, Option<Arc<Introspected>>>,
}

type Key = (TenantId, IssuerId, Digest);

impl Default for Asking {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            silent: Mutex::default(),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

impl Asking {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Introspected>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self, key: &Key, age_max: i64, now: Time) -> Option<Arc<Introspected>> {
        let known = self.known();
        let answer = known.get(key)?;
        (now < answer.usable_until(age_max)).then(|| Arc::clone(answer))
    }

    fn keep(&self, key: Key, answer: &Arc<Introspected>, age_max: i64, now: Time) {
        let mut known = self.known();
        if known.len() >= MOST_KEPT {
            known.retain(|_, answer| now < answer.usable_until(age_max));
        }
        if known.len() < MOST_KEPT {
            known.insert(key, Arc::clone(answer));
        }
    }

    fn is_silent(&self, issuer: &(TenantId, IssuerId), now: Time) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(issuer).is_some_and(|until| now < *until)
    }

    fn note(&self, issuer: (TenantId, IssuerId), now: Time, has_answered: bool) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        match has_answered {
            true => drop(silent.remove(&issuer)),
            false => drop(silent.insert(issuer, now.plus(PAUSE))),
        }
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
            let Need::Introspection { issuer } = need else {
                continue;
            };
            for ask in self.introspections(tenant, issuer)? {
                answers.extend(self.answer(tenant, ask, token));
            }
        }
        Ok(answers)
    }

    fn answer(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        ask: Ask,
        token: &str,
    ) -> Option<Arc<Introspected>> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let now = self.now();
        let digest = Digest::of(token.as_bytes());
        let issuer = (tenant.id().clone(), ask.id.clone());
        let key = (tenant.id().clone(), ask.id.clone(), digest);
        if let Some(known) = self.asking.usable(&key, ask.age_max, now) {
            return Some(known);
        }
        if self.asking.is_silent(&issuer, now) {
            return None;
        }
        let flight = self.asking.flights.share(key.clone(), || {
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            let token = Zeroizing::new(token.to_owned());
            async move {
                let answered = asked(&plane, &tenant, &ask, &token, digest).await;
                plane.asking.note(issuer, now, answered.is_some());
                if let Some(answer) = &answered {
                    plane.asking.keep(key, answer, ask.age_max, now);
                }
                answered
            }
        });
        let waited = async { tokio::time::timeout(LONGEST_WAIT, flight).await };
        runtime.block_on(waited).ok().flatten().flatten()
    }

    /// Takes the secret of a client out of what is wanted of an issuer and seals it. One that is not
    /// given anew stays, for the same client at the same address.
    pub(crate) fn with_sealed_secret(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        document: &str,
    ) -> Result<String, Refused> {
        let mut members = Members::read(Document::Request("issuer"), document)?;
        let mut issuer = members.take("introspection");
        let Some(Value::Object(wanted)) = &mut issuer else {
            return Ok(document.to_owned());
        };
        if wanted.contains_key(SEALED) {
            let detail = "is made by the server and cannot be given";
            return Err(members
                .refuse("introspection.client_secret_sealed", detail)
                .into());
        }
        let sealed = match wanted.remove("client_secret") {
            Some(Value::String(secret)) => {
                let secret = Zeroizing::new(secret);
                let sealing = tenant.keys.sealing();
                Some(sealing.seal(&sealed_as(id)?, secret.as_bytes())?.to_text())
            }
            Some(_) => {
                let detail = "must be a string";
                return Err(members.refuse("introspection.client_secret", detail).into());
            }
            None => self.kept_secret(tenant, id, wanted),
        };
        wanted.extend(sealed.map(|sealed| (SEALED.to_owned(), sealed.into())));
        let mut document = members.rest();
        document.extend(issuer.map(|issuer| ("introspection".to_owned(), issuer)));
        Ok(Value::Object(document).to_string())
    }

    fn kept_secret(
        &self,
        tenant: &Tenant,
        id: &IssuerId,
        wanted: &Map<String, Value>,
    ) -> Option<String> {
        let known = tenant.read(|snapshot| {
            let record = snapshot.issuers.get(id)?;
            serde_json::from_str::<Value>(&record.document).ok()
        })?;
        let known = known.get("introspection")?;
        let same = |name: &str| known.get(name) == wanted.get(name);
        let sealed = known.get(SEALED).and_then(Value::as_str);
        sealed
            .filter(|_| same("endpoint") && same("client_id"))
            .map(str::to_owned)
    }
}

/// What is wanted of an issuer, for administrators: without the secret of the client.
pub(crate) fn without_secret(mut document: Value) -> Value {
    let asked = document.get_mut("introspection");
    if let Some(asked) = asked.and_then(Value::as_object_mut) {
        asked.remove(SEALED);
    }
    document
}

/// Under which name the secret of a client is sealed; authorities are called after their keys.
fn sealed_as(id: &IssuerId) -> Result<AuthorityId, Fault> {
    let name = AuthorityId::parse(&format!("introspection.{id}"));
    name.ok_or_else(|| Fault::Bug("an issuer cannot be named".to_owned()))
}

/// Asks an issuer, and leaves what went wrong in the log.
async fn asked(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    ask: &Ask,
    token: &str,
    digest: Digest,
) -> Option<Arc<Introspected>> {
    match answered(plane, tenant, ask, token, digest).await {
        Ok(answer) => Some(Arc::new(answer)),
        Err(Refused::Reason(reason)) => {
            plane.counters.refused(reason.code());
            tracing::warn!(
                tenant = %tenant.id(), issuer = ask.issuer, code = reason.code(),
                "an issuer has not said whether its token holds: {}", reason.sentence()
            );
            None
        }
        Err(Refused::Fault(fault)) => {
            tracing::error!(
                tenant = %tenant.id(), issuer = ask.issuer, %fault, "an issuer cannot be asked"
            );
            None
        }
    }
}

async fn answered(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    ask: &Ask,
    token: &str,
    digest: Digest,
) -> Result<Introspected, Refused> {
    let limits = Limits {
        body: ANSWER_BYTES,
        whole: LONGEST_WAIT,
        ..Limits::default()
    };
    // RFC 7662 2.1.
    let body = format!("token={}&token_type_hint=access_token", escaped(token));
    let form = "application/x-www-form-urlencoded";
    let mut request = Request::post(&ask.endpoint.url, form, body.into_bytes())?
        .header(ACCEPT, "application/json")
        .trusting(ask.trust.clone())
        .within(limits);
    if let Some(sealed) = &ask.endpoint.client_secret {
        let damaged = || Fault::Stored(format!("the secret for {} cannot be read", ask.id));
        let sealed = Sealed::from_text(sealed).ok_or_else(damaged)?;
        let secret = tenant.keys.sealing().open(&sealed_as(&ask.id)?, &sealed)?;
        let secret = std::str::from_utf8(&secret).map_err(|_| damaged())?;
        // RFC 6749 2.3.1.
        let both = format!("{}:{}", escaped(&ask.endpoint.client_id), escaped(secret));
        let both = Zeroizing::new(both);
        let header = Zeroizing::new(format!("Basic {}", Base64::encode_string(both.as_bytes())));
        request = request.header(AUTHORIZATION, &header);
    }
    // Before it is asked: what it says is no newer than that.
    let at = plane.now();
    let answer = plane
        .fetcher()
        .ask(tenant.id(), &request)
        .await?
        .when_ok()?;
    Ok(Introspected::read(&ask.issuer, digest, at, answer.body())?)
}

/// As a value in a form (URL Standard 5.2), with nothing left that means something there.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

//! Asking issuers about tokens that only they can read, or whether they stand by those that anyone
//! can (RFC 7662); and clusters of Kubernetes about theirs, by TokenReview.
//!
//! An issuer is asked because someone has presented a token, so what strangers can cause is bounded:
//! each token is asked about once in a while, and each issuer so many times a second.

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
use axum::http::header::{ACCEPT, AUTHORIZATION};
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::fault::{Fault, Refused};
use crate::fetch::{Flights, Limits, Request, Target, Trust, escaped};
use crate::issuers::{CLIENT_SECRET, REVIEWER_TOKEN};
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

/// Of how many issuers of one tenant is remembered that they are silent.
const SILENT: Room = Room {
    entries: 1_024,
    bytes: usize::MAX,
};

/// How long an issuer is not asked after it has not answered, or about a token after it has not
/// answered about that one, in seconds.
const PAUSE: i64 = 5;

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

    /// Whom it asks, and as whom: what somebody else has answered, or was asked otherwise, is no answer.
    fn digest(&self, trust: &Trust) -> Digest {
        let (kind, trust, texts) = match self {
            Self::Introspection { url, client_id, .. } => {
                ("introspection", trust, [url.as_str(), client_id.as_str()])
            }
            Self::Review { cluster, .. } => ("review", cluster.trust(), [cluster.url(), ""]),
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
    /// Nothing, where there was no answer.
    known: Remembered<Asked, Option<Arc<Introspected>>>,
    silent: Remembered<IssuerId, ()>,
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
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            known: Remembered::within(ANSWERS),
            silent: Remembered::within(SILENT),
            flights: Flights::new(MOST_WAITING),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// Nothing was asked, because too much was.
    Ours,
    /// There is none about this token.
    OfToken,
    /// There will be none about another token either.
    OfIssuer,
}

impl Silence {
    /// What strangers present must not make an issuer silent for all others: only what no token can
    /// cause does.
    fn of(reason: &Reason) -> Self {
        match reason {
            Reason::FetchBudget { .. } => Self::Ours,
            Reason::FetchStatus { status, .. } if *status == 429 || *status >= 500 => {
                Self::OfIssuer
            }
            Reason::FetchAddress { .. }
            | Reason::FetchPinMissed { .. }
            | Reason::FetchSlow { .. }
            | Reason::FetchTls { .. }
            | Reason::FetchUnreachable { .. }
            | Reason::FetchUnresolved { .. } => Self::OfIssuer,
            _ => Self::OfToken,
        }
    }
}

impl Asking {
    /// Forgets what was asked for a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.known.forget_tenant(tenant);
        self.silent.forget_tenant(tenant);
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
            Ok(answer) => (Some(Arc::clone(answer)), answer.usable_until(ask.age_max)),
            Err(Silence::Ours) => return,
            Err(Silence::OfToken) => (None, now.plus(PAUSE)),
            Err(Silence::OfIssuer) => {
                let until = now.plus(PAUSE);
                return self
                    .silent
                    .keep(tenant, ask.id.clone(), ((), 1), until, now);
            }
        };
        let bytes = answer.as_ref().map_or(1, |answer| answer.size());
        self.known.keep(tenant, asked, (answer, bytes), until, now);
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
            let usable = |answer: &Arc<Introspected>| now < answer.usable_until(ask.age_max);
            if known.as_ref().as_ref().is_none_or(usable) {
                return Some(Option::clone(&known));
            }
        }
        self.silent.of(tenant, &ask.id, now).map(|_| None)
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
                let (told, id) = (answered.as_ref().map_err(|silence| *silence), tenant.id());
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
    match answered(plane, tenant, ask, token, digest).await {
        Ok(answer) => Ok(Arc::new(answer)),
        Err(Refused::Reason(reason)) => {
            plane.counters.refused(reason.code());
            tracing::warn!(
                tenant = %tenant.id(), issuer = ask.issuer, code = reason.code(),
                "an issuer has not said whether its token holds: {}", reason.sentence()
            );
            Err(Silence::of(&reason))
        }
        Err(Refused::Fault(fault)) => {
            tracing::error!(
                tenant = %tenant.id(), issuer = ask.issuer, %fault, "an issuer cannot be asked"
            );
            Err(Silence::OfIssuer)
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
    // Before it is asked: what it says is no newer than that.
    let at = plane.now();
    let (fetcher, id) = (plane.fetcher(), tenant.id());
    match &ask.endpoint {
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
            let answer = fetcher.ask(id, &request).await?.when_ok()?;
            Ok(Introspected::read(&ask.issuer, digest, at, answer.body())?)
        }
        Endpoint::Review {
            cluster,
            token: sealed,
            audiences,
        } => {
            let bearer = opened(tenant, SecretOf::Review(&ask.id), sealed)?;
            let request = cluster.request(&bearer, token, audiences, limits)?;
            let answer = token_review::when_made(fetcher.ask(id, &request).await?)?;
            let about = (token, audiences.as_slice());
            let read = Introspected::of_review(&ask.issuer, about, at, answer.body())?;
            Ok(read)
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

//! One request, read apart.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use avouch_api::members::{Document, MOST_VALUES, MOST_VALUES_OF_STRANGERS, Members};
use avouch_core::credential::Credential;
use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::view::View;
use axum::extract::RawPathParams;
use axum::http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Http;
use super::answer::Answer;
use super::routes::{Access, Route};
use crate::caller::Caller;
use crate::decisions::{Course, Place as Decided, Record, Shown};
use crate::exchange::request::as_name;
use crate::fault::{Fault, Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views::Known;

/// What a call has behind the question mark of which nothing is stored.
pub(super) const DRY_RUN: &str = "dry_run";

/// The one type of a form (RFC 6749 3.2, RFC 7662 2.1).
const FORM: &str = "application/x-www-form-urlencoded";

/// What a request shows, besides its address and what it sends.
pub(super) struct Presented {
    /// The header of this name; empty if it is no text.
    pub(super) authorization: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) content_type: Option<String>,
    /// All headers of this name; one that is no text is empty.
    pub(super) dpop: Vec<String>,
    pub(super) query: Option<String>,
    /// The path as it came, where a proof of a key is for it.
    pub(super) bound_path: Option<String>,
    /// All of it as it came, where it is passed on.
    pub(super) forwarded: Option<Forwarded>,
    /// Where the connection comes from.
    pub(super) address: Option<IpAddr>,
    /// The chain of certificates of the connection, in DER, the end entity first; its key is held
    /// by the caller.
    pub(super) certificates: Arc<Vec<Vec<u8>>>,
}

/// A request as it came, to be passed on.
#[derive(Default)]
pub(super) struct Forwarded {
    /// With its escapes.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Forwarded {
    /// What stands behind `/t/{tenant}/egress/{egress}`, from its slash.
    pub(super) fn rest(&self) -> String {
        let rest = self.path.splitn(6, '/').nth(5);
        format!("/{}", rest.unwrap_or_default())
    }
}

/// One request.
pub(super) struct Call {
    pub(super) http: Arc<Http>,
    /// What the request is called, in its answer and in the log.
    pub(super) id: String,
    pub(super) route: &'static Route,
    pub(super) body: Vec<u8>,
    /// The room that the body takes among those who send, until the work with it is done.
    pub(super) room: Option<OwnedSemaphorePermit>,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) dpop: Vec<String>,
    /// Where the connection comes from, if it is one.
    pub(super) address: Option<IpAddr>,
    authorization: Option<String>,
    certificates: Arc<Vec<Vec<u8>>>,
    bound_path: String,
    forwarded: Forwarded,
    names: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    caller: OnceLock<Caller>,
    /// When it came.
    pub(super) began: Instant,
}

/// Why there is no answer but a problem.
pub(super) enum Stop {
    /// It is refused, or it failed.
    Refused(Refused),
    /// It is refused as OAuth refuses (RFC 6749 5.2).
    OAuth(Box<super::oauth::Refusal>),
    /// Nobody has sent all of it in time.
    Slow,
    /// There is too much to do just now.
    Busy,
    /// The credential of the caller is missing or was not believed.
    Unauthenticated(Box<Reason>),
    /// The store does not answer.
    Unready(&'static str),
}

/// What is left to wait for when everything else is done, without a thread.
pub(super) struct Rest {
    work: Pin<Box<dyn Future<Output = Result<Answer, Stop>> + Send>>,
    /// Whether it waits for something of ours, and so takes a place among all requests.
    pub(super) keeps_place: bool,
}

impl Rest {
    pub(super) fn of(rest: impl Future<Output = Result<Answer, Stop>> + Send + 'static) -> Self {
        Self {
            work: Box::pin(rest),
            keeps_place: true,
        }
    }

    /// Waits for others, who may take long, in a place of another kind.
    pub(super) fn elsewhere(
        rest: impl Future<Output = Result<Answer, Stop>> + Send + 'static,
    ) -> Self {
        Self {
            keeps_place: false,
            ..Self::of(rest)
        }
    }

    pub(super) async fn done(self) -> Result<Answer, Stop> {
        self.work.await
    }
}

impl<T: Into<Refused>> From<T> for Stop {
    fn from(refused: T) -> Self {
        Self::Refused(refused.into())
    }
}

impl Stop {
    /// A word for it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(Refused::Reason(reason)) | Self::Unauthenticated(reason) => reason.code(),
            Self::OAuth(refusal) => refusal.reason.code(),
            Self::Refused(Refused::Fault(_)) => "failed",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Unready(_) => "unready",
        }
    }
}

impl Call {
    pub(super) fn of(
        http: Arc<Http>,
        id: String,
        route: &'static Route,
        names: &RawPathParams,
        presented: Presented,
    ) -> Result<Self, (String, Stop)> {
        // What is passed on is read where it goes.
        let asked = presented.query.as_deref().filter(|_| !route.forwards);
        let query = match query(route, asked) {
            Ok(query) => query,
            Err(reason) => return Err((id, reason.into())),
        };
        let names = names.iter();
        Ok(Self {
            http,
            id,
            route,
            body: Vec::new(),
            room: None,
            if_match: presented.if_match,
            if_none_match: presented.if_none_match,
            content_type: presented.content_type,
            dpop: presented.dpop,
            address: presented.address,
            authorization: presented.authorization,
            certificates: presented.certificates,
            bound_path: presented.bound_path.unwrap_or_default(),
            forwarded: presented.forwarded.unwrap_or_default(),
            names: names
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            query,
            caller: OnceLock::new(),
            began: Instant::now(),
        })
    }

    pub(super) fn plane(&self) -> &Arc<Plane> {
        &self.http.plane
    }

    /// What is decided now, at an address of a tenant.
    pub(super) fn decided(&self, request: &'static str) -> Decided {
        Decided {
            id: self.id.clone(),
            at: self.plane().now(),
            request,
            took: self.began.elapsed(),
        }
    }

    /// The request as it came.
    pub(super) fn forwarded(&self) -> &Forwarded {
        &self.forwarded
    }

    /// A part of the address by its name.
    pub(super) fn name(&self, name: &str) -> &str {
        self.names.get(name).map_or("", String::as_str)
    }

    /// What stands behind the question mark under a name.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Whether nothing of it is to be done.
    pub(super) fn is_dry_run(&self) -> bool {
        self.asked(DRY_RUN) == Some("true")
    }

    /// Who calls: by a JWT-SVID, with a proof where it is bound to a key, or by the X.509-SVID of its connection.
    pub(super) fn caller(&self) -> Result<Caller, Stop> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller.clone());
        }
        let certificate = self.certificates.first().map(Vec::as_slice);
        let found = match self.authorization.as_deref() {
            Some(authorization) => match self.bound_token()? {
                Some(token) => self.holder_of(token),
                None => self
                    .plane()
                    .identify_bearer(bearer(self.route, authorization)?, certificate),
            },
            None if self.certificates.is_empty() => return Err(missing(self.route)),
            None => self.plane().identify_client(self.certificates.to_vec()),
        };
        match found {
            Ok(caller) => Ok(self.caller.get_or_init(|| caller).clone()),
            Err(Refused::Reason(reason)) => Err(Stop::Unauthenticated(reason)),
            Err(Refused::Fault(fault)) => Err(fault.into()),
        }
    }

    /// What whoever calls has shown.
    fn shown_by_caller(&self) -> Option<Credential> {
        match &self.authorization {
            Some(authorization) => {
                let (_, token) = authorization.split_once(' ')?;
                Some(Credential::Jwt(token.trim().to_owned()))
            }
            None => Some(Credential::X509(self.certificates.to_vec())),
        }
    }

    /// Keeps that whoever calls was not believed, for the tenant of which they say they are.
    pub(super) fn keep_refused(&self, reason: &Reason) {
        let Some(credential) = self.shown_by_caller() else {
            return;
        };
        let Some(tenant) = self.plane().claimed_tenant(&credential) else {
            return;
        };
        let course = Course {
            shown: Some(Shown::of(&credential)),
            said: None,
        };
        let record = Record::refused(self.decided("manage"), course, reason);
        self.plane().keep_decision(&tenant, record);
    }

    /// Who calls by a token that is bound to a key, and a proof by that key for this very request.
    fn holder_of(&self, token: &str) -> Result<Caller, Refused> {
        let plane = self.plane();
        let address = format!("{}{}", plane.settings().public_url, self.bound_path);
        let (method, audience) = (self.route.method.name(), plane.server_id().to_string());
        let (caller, proved) =
            plane.identify_holder(token, &self.dpop, method, &address, audience)?;
        let gone = || Fault::Bug("a caller of no tenant".to_owned());
        let tenant = plane
            .tenant_named(caller.tenant.as_str())?
            .ok_or_else(gone)?;
        plane.use_proof(&tenant, &proved)?;
        Ok(caller)
    }

    /// What the caller shows, as it is.
    pub(super) fn bearer_token(&self) -> Result<&str, Stop> {
        let authorization = self.authorization.as_deref();
        bearer(
            self.route,
            authorization.ok_or_else(|| missing(self.route))?,
        )
    }

    /// The token of whoever shows one that is bound to a key (RFC 9449 7.1), not yet believed.
    pub(super) fn bound_token(&self) -> Result<Option<&str>, Stop> {
        let Some((scheme, token)) = self
            .authorization
            .as_deref()
            .and_then(|it| it.split_once(' '))
        else {
            return Ok(None);
        };
        Ok(scheme.eq_ignore_ascii_case("dpop").then(|| token.trim()))
    }

    /// Notes who calls, where that was found out otherwise.
    pub(super) fn is_by(&self, caller: Caller) -> Caller {
        self.caller.get_or_init(|| caller).clone()
    }

    /// Who calls, if it says so at all. A certificate may be shown by whoever shows it to everyone:
    /// it counts here if it is believed.
    pub(super) fn caller_if_any(&self) -> Result<Option<Caller>, Stop> {
        match (&self.authorization, self.caller()) {
            (None, Err(Stop::Unauthenticated(_))) => Ok(None),
            (_, caller) => caller.map(Some),
        }
    }

    /// Whether a header has a name and a secret (RFC 7617).
    pub(super) fn shows_basic(&self) -> bool {
        let scheme = self
            .authorization
            .as_deref()
            .and_then(|it| it.split(' ').next());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
    }

    /// Whether a header says who calls.
    pub(super) fn has_authorization(&self) -> bool {
        self.authorization.is_some()
    }

    /// The chain of certificates of the connection, in DER, the end entity first; its key is held
    /// by the caller. It is empty where there is none, and not yet believed.
    pub(super) fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Who calls, if that was found out.
    pub(super) fn known_caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    /// What was sent, as text.
    pub(super) fn text(&self, object: &'static str) -> Result<&str, Reason> {
        std::str::from_utf8(&self.body)
            .map_err(|_| Document::Request(object).refuse("it is not UTF-8"))
    }

    /// What was sent, as the text of a form.
    pub(super) fn form(&self, object: &'static str) -> Result<&str, Reason> {
        let named = self.content_type.as_deref().unwrap_or_default();
        let essence = named.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(FORM) {
            let detail = format!("its `Content-Type` must be `{FORM}`");
            return Err(Document::Request(object).refuse(detail));
        }
        self.text(object)
    }

    /// What was sent, as the members of an object.
    pub(super) fn members(&self, object: &'static str) -> Result<Members, Reason> {
        self.members_of(object, self.text(object)?)
    }

    /// As [`Call::members`]; nothing sent is an object without members.
    pub(super) fn members_if_any(&self, object: &'static str) -> Result<Members, Reason> {
        let text = self.text(object)?;
        let text = if text.trim().is_empty() { "{}" } else { text };
        self.members_of(object, text)
    }

    fn members_of(&self, object: &'static str, text: &str) -> Result<Members, Reason> {
        let most = match self.route.access {
            Access::Anyone(_) | Access::Beginner(_) | Access::Watcher(_) => {
                MOST_VALUES_OF_STRANGERS
            }
            Access::Administrator(_) | Access::Of(..) | Access::Known(..) => MOST_VALUES,
        };
        Members::read_at(Document::Request(object), "", text, most)
    }

    /// The tenant of the address, if it need not be read first.
    pub(super) fn open_tenant(&self) -> Option<Arc<Tenant>> {
        let id = TenantId::parse(self.name("tenant"))?;
        self.plane().opened(&id)
    }

    /// The tenant of an address that anyone may call.
    pub(super) fn any_tenant(&self) -> Result<Arc<Tenant>, Refused> {
        let name = self.name("tenant");
        let found = self.plane().tenant_named(name)?;
        found.ok_or_else(|| unknown("tenant", name).into())
    }

    /// What a tenant trusts now, and its exchange rules.
    pub(super) fn known(&self, tenant: &Arc<Tenant>) -> Result<Arc<Known>, Refused> {
        self.http.views.known(self.plane(), tenant)
    }

    /// What a tenant trusts now.
    pub(super) fn view(&self, tenant: &Arc<Tenant>) -> Result<Arc<View>, Refused> {
        Ok(Arc::clone(&self.known(tenant)?.view))
    }

    /// The trust domain in the address, if it is the tenant's own.
    pub(super) fn own_trust_domain(&self, tenant: &Tenant) -> Result<TrustDomain, Reason> {
        let name = self.name("trust_domain");
        let parsed = TrustDomain::parse(name).ok();
        let own =
            parsed.filter(|name| tenant.read(|snapshot| snapshot.trust_domains.contains_key(name)));
        own.ok_or_else(|| unknown("trust domain", name))
    }
}

/// What is wanted of whoever shows nothing.
fn missing(route: &Route) -> Stop {
    let (whose, wanted) = route.credential();
    Stop::Unauthenticated(Box::new(Reason::IssueCredentialMissing { whose, wanted }))
}

/// The token in a header. RFC 9110 11.1: the name of a scheme is compared without regard to case.
fn bearer<'a>(route: &Route, authorization: &'a str) -> Result<&'a str, Stop> {
    let missing = || missing(route);
    let (scheme, token) = authorization.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    Ok(token.trim())
}

/// Whether a call may be a dry run. One that cannot be is not carried out: who asks what would come of
/// something does not want it done.
fn check_dry_run(route: &Route, value: &str) -> Result<(), String> {
    if !["false", "true"].contains(&value) {
        return Err(format!("`{DRY_RUN}` must be `true` or `false`"));
    }
    if !route.may_rehearse {
        return Err(format!(
            "`{DRY_RUN}` is not known here: what is asked for can only be done, and was not"
        ));
    }
    Ok(())
}

/// What stands behind the question mark. What is not known, or stands twice, is refused.
fn query(route: &Route, query: Option<&str>) -> Result<BTreeMap<String, String>, Reason> {
    let refuse = |detail: String| Document::Request("query of the address").refuse(detail);
    let mut known = BTreeMap::new();
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(known);
    };
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name == DRY_RUN {
            check_dry_run(route, value).map_err(refuse)?;
        } else if !route.query.contains(&name) {
            let name = as_name(name);
            return Err(refuse(match route.query {
                [] => format!("the member {name} is not known here; this address takes none"),
                all => format!(
                    "the member {name} is not known here; these are: {}",
                    all.join(", ")
                ),
            }));
        }
        // All that is asked for are names and numbers, which need no escapes.
        if value.contains(['%', '+']) {
            return Err(refuse(format!("`{name}` has escapes, and needs none")));
        }
        if known.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(refuse(format!("`{name}` stands twice")));
        }
    }
    Ok(known)
}

//! What is issued, once it is settled.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::text::{pem_signing_request, to_pem};
use avouch_core::exchange::delegation;
use avouch_core::exchange::statement::{Ancestor, LINEAGE};
use avouch_core::exchange::{Given, Granted, IssuedKind};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::IdentityKind;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::profile::Lifetime;
use avouch_issuer::signing_request::SigningRequest;
use avouch_issuer::stages::{Draft, Prepared, record_one};
use avouch_issuer::token::{JwtRequest, More, TokenKind, WitRequest};
use avouch_issuer::x509_svid::X509Request;
use avouch_store::{AuthorityId, AuthorityState};
use serde::Serialize;
use serde_json::{Map, Value};

use super::request::{ACCESS_TOKEN, Grant, JWT_SVID, TokenRequest, WIT_SVID, X509_SVID};
use super::rules::Since;
use super::using::UsingLog;
use super::{Considered, Exchange, nonces};
use crate::blocking::blocking;
use crate::decisions::{Course, Gave, Said};
use crate::fault::{Fault, Refused, unknown};
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views::{Known, Views};

/// How long is waited to be as current as the store before anything is signed.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// What was issued.
pub(crate) struct Issued {
    /// What is answered.
    pub(crate) answer: TokenResponse,
    /// What the log is told.
    pub(crate) note: String,
    /// The nonce for the next proof, where one is asked for.
    pub(crate) nonce: Option<String>,
}

/// What is answered (RFC 8693 2.2.1), its members in the order of their names.
#[derive(Serialize)]
pub(crate) struct TokenResponse {
    access_token: String,
    expires_in: i64,
    issued_token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    token_type: &'static str,
}

/// What is settled but for its use, its record and its signature. Whoever waits for it holds no
/// thread meanwhile.
pub(crate) struct Pending {
    /// Uses and records, and then signs.
    pub(crate) issued: Pin<Box<dyn Future<Output = Result<Issued, Refused>> + Send>>,
    /// For what it is given.
    pub(crate) course: Course,
    /// What is given.
    pub(crate) gives: Gave,
}

impl Exchange<'_> {
    /// Prepares what was considered, so that only its use, its record and its signature are left.
    pub(super) fn issue(
        &self,
        request: &TokenRequest,
        considered: Considered<'_>,
    ) -> Result<Pending, Refused> {
        match considered.given.kind {
            IssuedKind::WitSvid => self.issue_wit(request, considered),
            IssuedKind::X509Svid => self.issue_x509(request, considered),
            IssuedKind::AccessToken | IssuedKind::JwtSvid => self.issue_jwt(request, considered),
        }
    }

    fn issue_jwt(
        &self,
        request: &TokenRequest,
        considered: Considered<'_>,
    ) -> Result<Pending, Refused> {
        let given = &considered.given;
        let profile = &self.plane.settings.jwt;
        let domain = given.id.trust_domain();
        let authority = self
            .tenant
            .held()
            .authorities()?
            .signing_token(TokenKind::Jwt, domain, self.now)
            .cloned()?;
        let wanted = JwtRequest {
            id: given.id.clone(),
            audiences: given.audiences.clone(),
            ttl: Some(time_to_live(&profile.lifetime, given.lifetime)?),
            issuer: Some(self.issuer.clone()),
        };
        let mut more = More {
            access_token: given.kind == IssuedKind::AccessToken,
            token_id: None,
            holder: considered.proved.holder.clone(),
            claims: claims(&considered),
        };
        if given.rule.tells_status() {
            let numbered = self.plane.number_token(self.tenant, domain)?;
            more.claims.insert("status".to_owned(), numbered.status);
            more.token_id = Some(numbered.token_id);
        }
        let random = &self.plane.random;
        let prepared = profile.prepare_with(&authority, wanted, more, self.now, random)?;
        self.pending(request, considered, prepared, |svid| {
            (svid.token, svid.expires)
        })
    }

    fn issue_wit(
        &self,
        request: &TokenRequest,
        considered: Considered<'_>,
    ) -> Result<Pending, Refused> {
        let given = &considered.given;
        let profile = &self.plane.settings.wit;
        let domain = given.id.trust_domain();
        let authority = self
            .tenant
            .held()
            .authorities()?
            .signing_token(TokenKind::Wit, domain, self.now)
            .cloned()?;
        let key = considered.proved.key.as_ref();
        let key = key.ok_or_else(|| Reason::IssueProofRequired {
            rule: given.rule.name().to_owned(),
        })?;
        let wanted = WitRequest {
            id: given.id.clone(),
            public_half: PublicHalf::of_point(key)?,
            ttl: Some(time_to_live(&profile.lifetime, given.lifetime)?),
        };
        let (more, random) = (claims(&considered), &self.plane.random);
        let prepared = profile.prepare_with(&authority, wanted, more, self.now, random)?;
        self.pending(request, considered, prepared, |svid| {
            (svid.token, svid.expires)
        })
    }

    fn issue_x509(
        &self,
        request: &TokenRequest,
        considered: Considered<'_>,
    ) -> Result<Pending, Refused> {
        let given = &considered.given;
        let text = request.certificate_request.as_deref().unwrap_or_default();
        let asked = SigningRequest::read(&pem_signing_request(text)?)?;
        let wanted = X509Request {
            id: given.id.clone(),
            public_half: asked.for_svid(&given.id, &[])?,
            ttl: Some(time_to_live(
                &self.plane.settings.x509.lifetime,
                given.lifetime,
            )?),
            dns_names: Vec::new(),
            mark: None,
        };
        let prepared = self.plane.prepare_x509(self.tenant, wanted, self.now)?;
        self.pending(request, considered, prepared, |svid| {
            let chain = svid.chain.iter().map(|der| to_pem("CERTIFICATE", der));
            (chain.collect(), svid.not_after)
        })
    }

    /// Nothing is signed before it is settled that the core would accept it, what was presented is
    /// used for good, and the intent is on record.
    fn pending<D>(
        &self,
        request: &TokenRequest,
        considered: Considered<'_>,
        prepared: Prepared<D>,
        told: impl FnOnce(D::Issued) -> (String, Time) + Send + 'static,
    ) -> Result<Pending, Refused>
    where
        D: Draft<Issued: Send> + Send + 'static,
    {
        let authority = prepared.intent().authority.clone();
        let linted = prepared.lint()?;
        // Before anything is used, so that who is to come again may.
        self.plane.admit_issuance(self.tenant)?;
        let response = Response::of(request, &considered, || {
            nonces::current(&self.tenant.keys, self.now)
        });
        let given = &considered.given;
        let (models, name) = (&given.models, considered.subject.identity.name());
        let news = self
            .plane
            .news(self.tenant, self.view, &given.audiences, models, name);
        let (uses, naming) = (considered.uses, considered.naming);
        let log = UsingLog::of(self, uses, considered.given.lineage, naming)?;
        let (plane, tenant) = (Arc::clone(self.plane), Arc::clone(self.tenant));
        let now = self.now;
        let by = (Arc::clone(self.known), Arc::clone(self.views));
        let gives = Gave {
            rule: considered.given.rule.name().to_owned(),
            spiffe_id: considered.given.id.to_string(),
        };
        let identity = Box::new(considered.subject.identity);
        let course = Course {
            said: Some(Said::Believed(identity, self.view.epoch())),
            ..self.course.take()
        };
        let issued = Box::pin(async move {
            // Before anything is used, so that it can be asked for again as it was.
            if let Err(refused) = check_still_given(&plane, &tenant, &log, &by).await {
                plane.give_back_issuance(&tenant);
                return Err(refused);
            }
            let recorded = match record_one(linted, &log).await {
                Ok(recorded) => recorded,
                Err(fault) => {
                    plane.give_back_issuance(&tenant);
                    let refused = log.refused().map(Refused::from);
                    return Err(refused.unwrap_or_else(|| fault.into()));
                }
            };
            check_not_ended(&plane, &tenant, &authority, log.lineage()).await?;
            check_still_given(&plane, &tenant, &log, &by).await?;
            let issued = if recorded.signs_at_once() {
                recorded.sign()?
            } else {
                let issued = blocking(move || Ok(recorded.sign()?)).await?;
                // A token elsewhere takes its time, in which other servers have answered.
                check_not_ended(&plane, &tenant, &authority, log.lineage()).await?;
                issued
            };
            // What was signed a moment too late is handed to nobody.
            check_still_given(&plane, &tenant, &log, &by).await?;
            plane.note_seen(news);
            let (credential, ends) = told(issued);
            Ok(response.with(credential, ends.since(now)))
        });
        Ok(Pending {
            issued,
            course,
            gives,
        })
    }
}

/// What ended while this was under way, on whichever server, is signed for no more. The intent is on
/// record before that is looked at, and an ending is before intents are looked through for what it
/// revokes, so one of the two sees the other.
async fn check_not_ended(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    authority: &str,
    lineage: &[Ancestor],
) -> Result<(), Refused> {
    if plane.is_one_of_several() {
        let (looking, of) = (Arc::clone(plane), Arc::clone(tenant));
        let looked =
            tokio::task::spawn_blocking(move || looking.be_current(&of, LONGEST_LOOK)).await;
        if !matches!(looked, Ok(true)) {
            plane.fit(tenant)?;
            let why = "what ended on other servers cannot be told".to_owned();
            return Err(Fault::Store(avouch_store::Fault::Busy(why)).into());
        }
    }
    plane.fit(tenant)?;
    if !plane.holds(tenant) {
        return Err(unknown("tenant", tenant.id().as_str()).into());
    }
    let held = tenant.held();
    let id = AuthorityId::parse(authority);
    let record = id.and_then(|id| held.snapshot.authorities.get(&id));
    if record.is_none_or(|record| record.state == AuthorityState::Revoked) {
        return Err(Reason::IssueAuthorityState {
            authority: authority.to_owned(),
            state: "not there",
            action: "sign",
        }
        .into());
    }
    let endings = Arc::clone(&held.endings);
    drop(held);
    Ok(endings.check_lineage(lineage)?)
}

/// What was taken back or edited while this was under way, on whichever server, is the ground of nothing: the
/// rule, or whoever has vouched. It is looked at only where something has changed.
async fn check_still_given(
    plane: &Arc<Plane>,
    tenant: &Arc<Tenant>,
    log: &UsingLog,
    (before, views): &(Arc<Known>, Arc<Views>),
) -> Result<(), Refused> {
    if changed_last(tenant) == before.since {
        return Ok(());
    }
    let (plane, tenant) = (Arc::clone(plane), Arc::clone(tenant));
    let (before, views) = (Arc::clone(before), Arc::clone(views));
    let (rule, lineage) = (log.rule().to_owned(), log.lineage().to_vec());
    blocking(move || {
        let now = views.known(&plane, &tenant)?;
        let since = Since {
            before: &before,
            now: &now,
        };
        let granted = Granted {
            rule: &rule,
            lineage: &lineage,
        };
        plane.check_still_given(&tenant, since, granted)
    })
    .await
}

/// When what a tenant trusts, and what it gives, changed last.
fn changed_last(tenant: &Tenant) -> (u64, u64) {
    let held = tenant.held();
    (held.trust_sequence.number(), held.rules_sequence.number())
}

/// What is answered beside what was issued.
struct Response {
    issued_type: String,
    token_type: &'static str,
    scope: Option<String>,
    note: String,
    nonce: Option<String>,
}

impl Response {
    fn of(
        request: &TokenRequest,
        considered: &Considered<'_>,
        nonce: impl FnOnce() -> String,
    ) -> Self {
        let given = &considered.given;
        let issued_type = match given.kind {
            IssuedKind::AccessToken => ACCESS_TOKEN,
            IssuedKind::JwtSvid => request.wanted_type.as_deref().unwrap_or(JWT_SVID),
            IssuedKind::WitSvid => WIT_SVID,
            IssuedKind::X509Svid => X509_SVID,
        };
        // The other grants answer with how a token is used (RFC 6749 5.1), and their clients know no more.
        let is_exchange = matches!(request.grant, Grant::Exchange { .. });
        let how_used = match considered.proved.key {
            Some(_) => "DPoP",
            None => "Bearer",
        };
        let token_type = match given.kind {
            IssuedKind::AccessToken => how_used,
            IssuedKind::JwtSvid if !is_exchange => how_used,
            // RFC 8693 2.2.1: what is no access token has no use that OAuth knows.
            IssuedKind::JwtSvid | IssuedKind::WitSvid | IssuedKind::X509Svid => "N_A",
        };
        Self {
            issued_type: issued_type.to_owned(),
            token_type,
            scope: (!given.scopes.is_empty()).then(|| given.scopes.join(" ")),
            note: note(considered),
            nonce: given.rule.asks_for_nonce().then(nonce),
        }
    }

    fn with(self, credential: String, expires: i64) -> Issued {
        Issued {
            answer: TokenResponse {
                access_token: credential,
                expires_in: expires,
                issued_token_type: self.issued_type,
                scope: self.scope,
                token_type: self.token_type,
            },
            note: self.note,
            nonce: self.nonce,
        }
    }
}

/// How long the profile lets it live, at most as long as was given.
fn time_to_live(profile: &Lifetime, given: i64) -> Result<u32, Reason> {
    let seconds = u32::try_from(given.max(0)).unwrap_or(u32::MAX);
    match profile.choose(Some(seconds)) {
        Err(Reason::IssueTimeToLive { least, .. }) if seconds < least => {
            Err(Reason::IssueSubjectEnds {
                left: given,
                least: i64::from(least),
            })
        }
        Err(Reason::IssueTimeToLive { most, .. }) => Ok(most),
        chosen => chosen,
    }
}

/// What a token says beside whose it is: who acts, how much it allows, and what it descends from.
fn claims(considered: &Considered<'_>) -> Map<String, Value> {
    let given = &considered.given;
    let mut claims = Map::new();
    if let Some(chain) = delegation::to_claim(&given.actors) {
        claims.insert("act".to_owned(), chain);
    }
    if let Some(named) = &given.may_act {
        let named = delegation::to_claim(std::slice::from_ref(named));
        claims.extend(named.map(|named| ("may_act".to_owned(), named)));
    }
    if given.kind.has_audience() && !given.scopes.is_empty() {
        claims.insert("scope".to_owned(), given.scopes.join(" ").into());
    }
    let lineage = given.lineage.iter().map(|ancestor| ancestor.to_claim());
    claims.insert(LINEAGE.to_owned(), lineage.collect());
    if given.kind == IssuedKind::AccessToken {
        // RFC 9068 2.2: it is required, so who asks without saying who they are is the subject.
        let client = match &considered.client {
            Some(client) => match client.identity.kind() {
                IdentityKind::Spiffe => client.identity.name(),
                _ => client
                    .identity
                    .facts()
                    .get("subject")
                    .map_or("", String::as_str),
            },
            None => given.id.as_str(),
        };
        claims.insert("client_id".to_owned(), client.into());
        signed_in(given, &mut claims);
    }
    claims
}

/// RFC 9068 2.2.1: how the subject signed in, as its issuer has said.
fn signed_in(given: &Given<'_>, claims: &mut Map<String, Value>) {
    let Some(said) = &given.signed_in else {
        return;
    };
    if let Some(acr) = &said.acr {
        claims.insert("acr".to_owned(), acr.as_str().into());
    }
    if !said.amr.is_empty() {
        let methods = said.amr.iter().map(String::as_str);
        claims.insert("amr".to_owned(), methods.collect());
    }
    if let Some(at) = said.at {
        claims.insert("auth_time".to_owned(), at.unix().into());
    }
}

/// Impersonation and delegation are told apart by whether someone acts (RFC 8693 1.1).
fn note(considered: &Considered<'_>) -> String {
    let given = &considered.given;
    let how = match given.actors.first() {
        Some(actor) => format!(", for which {actor} acts"),
        None => String::new(),
    };
    let capped = if given.is_capped { ", capped" } else { "" };
    format!(
        "{} became {} under the rule {}{how}{capped}",
        considered.subject.identity.name(),
        given.id,
        given.rule.name()
    )
}

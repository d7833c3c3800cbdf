//! Chains of OpenID Federation that do not come with their token: fetched from below, entity by
//! entity, up to a trust anchor (1.0, sections 9, 8.1 and 10.1).
//!
//! ```text
//! token ─► its issuer ─► configuration ─► authority_hints ─► configuration of each superior
//!          a host that the anchor allows                          │ federation_fetch_endpoint
//!                                   what it says of the one below ◄┘  … up to the anchor
//! ```
//!
//! Nothing of it is believed here: what was fetched is put beside the token, and the core decides as
//! if whoever sent the token had sent it. Only hosts that the anchor names are called, so many for
//! each entity, and each entity is looked up once in a while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use avouch_core::credential::Credential;
use avouch_core::id::TenantId;
use avouch_core::model::federation::FederationAnchor;
use avouch_core::question::Question;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use axum::http::header::ACCEPT;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tokio::time::Instant;

use crate::fault::Refused;
use crate::fetch::{Flights, Limits, Request, Target, Trust, certificates, escaped};
use crate::plane::Plane;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

/// Where an entity says what it is (section 9).
const CONFIGURATION: &str = "/.well-known/openid-federation";

/// How many documents are fetched for one chain: two for each superior, and the first.
const MOST_FETCHES: usize = 17;

/// How many superiors are above an entity at most, as the core reads chains.
const MOST_ABOVE: usize = 8;

/// How many hints of one entity are followed.
const MOST_HINTS: usize = 4;

/// The most bytes of a statement.
const STATEMENT_BYTES: usize = 16 << 10;

/// How long a decision waits for chains, however many federations are asked, and for one statement.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// For how many seconds a chain is kept at most.
const KEPT: i64 = 3_600;

/// After how many seconds an entity is looked up again, whose chain was no good.
const AGAIN: i64 = 60;

/// Of how many entities something is kept of one tenant.
const KNOWN: Room = Room {
    entries: 1_024,
    bytes: 16 << 20,
};

/// What this server knows of chains.
pub(crate) struct Chains {
    known: Remembered<Ends, Known>,
    flights: Flights<(TenantId, Ends), Arc<Vec<String>>>,
}

/// Between what a chain is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    /// The trust anchor by its name here: several may be of one federation, which call other hosts.
    anchor: String,
    /// The same as an entity, which may be another one from one day to the next.
    top: String,
    /// Whoever issues tokens.
    issuer: String,
}

impl Ends {
    fn bytes(&self) -> usize {
        self.anchor.len() + self.top.len() + self.issuer.len()
    }
}

/// What was found when an entity was looked up; nothing, where there was no chain.
struct Known {
    statements: Arc<Vec<String>>,
    at: Time,
}

impl Chains {
    /// Forgets the chains of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.known.forget_tenant(tenant);
    }
}

impl Default for Chains {
    fn default() -> Self {
        Self {
            known: Remembered::within(KNOWN),
            flights: Flights::new(4),
        }
    }
}

impl Chains {
    /// Keeps what was found for as long as all of it holds.
    fn keep(&self, tenant: &TenantId, ends: Ends, found: &Arc<Vec<String>>, now: Time) {
        let until = match found.is_empty() {
            true => now.plus(AGAIN),
            false => {
                let end_each = found.iter().filter_map(|one| end_of(one));
                // What is no good is not looked up again at once, however soon it ends.
                end_each
                    .fold(now.plus(KEPT), Time::min)
                    .max(now.plus(AGAIN))
            }
        };
        let known = Known {
            statements: Arc::clone(found),
            at: now,
        };
        let bytes = found.iter().map(String::len).sum::<usize>() + ends.bytes();
        self.known.keep(tenant, ends, (known, bytes), until, now);
    }
}

/// Within which bounds something is fetched for one chain.
#[derive(Clone)]
struct Bounds {
    /// What the anchor is called here.
    anchor: String,
    /// As which entity it is known in its federation.
    top: String,
    hosts: Vec<String>,
    trust: Trust,
}

impl Bounds {
    fn of(name: &str, federation: &FederationAnchor) -> Option<Self> {
        let fetch = federation.fetch()?;
        let trust = match &fetch.ca {
            None => Trust::System,
            Some(pem) => Trust::SystemAnd(certificates(pem).ok()?),
        };
        Some(Self {
            anchor: name.to_owned(),
            top: federation.entity_id().to_owned(),
            hosts: fetch.hosts.clone(),
            trust,
        })
    }

    fn ends(&self, issuer: &str) -> Ends {
        Ends {
            anchor: self.anchor.clone(),
            top: self.top.clone(),
            issuer: issuer.to_owned(),
        }
    }

    /// Whether an address is of a host that may be called: one of the list, or one below a name with
    /// a leading dot.
    fn allow(&self, target: &Target) -> bool {
        let (host, authority) = (target.host(), target.authority());
        let is_meant = |name: &String| match name.strip_prefix('.') {
            Some(_) => host.len() > name.len() && host.ends_with(name.as_str()),
            None => host == *name || authority == *name,
        };
        self.hosts.iter().any(is_meant)
    }
}

impl Plane {
    /// The statements that lead from the issuer of a token to a trust anchor, where a verdict lacks
    /// them and the anchor lets them be fetched. Those that come with the question were tried. It
    /// blocks.
    pub(crate) fn missing_chain(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        view: &View,
        question: &Question,
        verdict: &Verdict,
    ) -> Option<Vec<String>> {
        let tried = question.context.trust_chain.as_slice();
        let Credential::Jwt(token) = &question.credential else {
            return None;
        };
        let again = may_help(verdict);
        if !again && !refuses_chain(verdict) {
            return None;
        }
        let issuer = text_of(token, "iss")?;
        let target = Target::parse(&issuer).ok()?;
        let anchors = view.anchors().iter();
        let bounds =
            anchors.filter_map(|anchor| Bounds::of(&anchor.name, anchor.kind.as_federation()?));
        let mut allowed: Vec<Bounds> = bounds.filter(|bounds| bounds.allow(&target)).collect();
        let found_at = |bounds: &Bounds| {
            let known = self.known_chain(tenant, bounds, &issuer);
            known.map(|known| known.at)
        };
        // Where a chain is known nobody waits for others. The latest is the last of these: a chain that
        // has just come stands behind all that were tried before it.
        allowed.sort_by_cached_key(|bounds| {
            let at = found_at(bounds);
            (at.is_none(), at)
        });
        // Whoever is in several federations may be refused in one and not in the next.
        let is_of_tried = |bounds: &Bounds| {
            let known = self.known_chain(tenant, bounds, &issuer);
            known.is_some_and(|known| known.statements.as_slice() == tried)
        };
        let first = match allowed.iter().rposition(is_of_tried) {
            Some(last) if again => last,
            Some(last) => last + 1,
            None if again => 0,
            None => return None,
        };
        let end = Instant::now() + LONGEST_WAIT;
        let left = || end.saturating_duration_since(Instant::now());
        // A federation that does not answer hides none that does: it is gone on to the next.
        let mut rest = allowed.into_iter().skip(first);
        rest.find_map(|bounds| self.chain_within(tenant, bounds, (&issuer, tried), left()))
    }

    /// The chain that is known from an issuer to one anchor, if there is any.
    fn known_chain(&self, tenant: &Tenant, bounds: &Bounds, issuer: &str) -> Option<Arc<Known>> {
        let ends = bounds.ends(issuer);
        let known = self.chains.known.of(tenant.id(), &ends, self.now())?;
        (!known.statements.is_empty()).then_some(known)
    }

    /// What leads from an issuer to one anchor, if it is another chain than the one that was tried, and
    /// comes before so much time has passed.
    fn chain_within(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        bounds: Bounds,
        (issuer, tried): (&str, &[String]),
        left: Duration,
    ) -> Option<Vec<String>> {
        let now = self.now();
        let ends = bounds.ends(issuer);
        if let Some(known) = self.chains.known.of(tenant.id(), &ends, now) {
            if is_news(&known.statements, tried) {
                return Some(known.statements.to_vec());
            }
            if now.since(known.at) < AGAIN {
                return None;
            }
        }
        let key = (tenant.id().clone(), ends.clone());
        // What comes too late for this decision is there for the next.
        let found = self.chains.flights.wait(key, left, || {
            let (plane, tenant) = (Arc::clone(self), Arc::clone(tenant));
            async move {
                let mut resolving = Resolving::of(&plane, &tenant, bounds);
                let found = resolving.chain(&ends.issuer).await.unwrap_or_default();
                let found = Arc::new(found);
                plane.chains.keep(tenant.id(), ends, &found, plane.now());
                found
            }
        })?;
        is_news(&found, tried).then(|| found.to_vec())
    }
}

/// Whether there is a chain, and another than the one that was tried.
fn is_news(found: &[String], tried: &[String]) -> bool {
    !found.is_empty() && found != tried
}

/// Whether another chain could turn a refusal.
fn may_help(verdict: &Verdict) -> bool {
    let Verdict::Reject(refusal) = verdict else {
        return false;
    };
    let mut attempts = refusal.attempts().iter();
    attempts.any(|attempt| {
        matches!(
            attempt.reason(),
            Reason::ChainBroken { .. }
                | Reason::KeyUnknown { .. }
                | Reason::StatementExpired { .. }
                | Reason::StatementSignature { .. }
        )
    })
}

/// Whether it is the chain that was refused, and not the token.
fn refuses_chain(verdict: &Verdict) -> bool {
    let Verdict::Reject(refusal) = verdict else {
        return false;
    };
    matches!(
        refusal.reason(),
        Reason::ChainLoop { .. }
            | Reason::ChainName { .. }
            | Reason::ChainPathLength { .. }
            | Reason::EntityKeysMissing { .. }
            | Reason::EntityStatementMalformed { .. }
            | Reason::MetadataPolicyConflict { .. }
            | Reason::MetadataPolicyViolated { .. }
            | Reason::PathLength { .. }
            | Reason::StatementCritical { .. }
            | Reason::TokenSignatureInvalid { .. }
            | Reason::TrustMark { .. }
    )
}

/// One chain that is being fetched.
struct Resolving<'a> {
    plane: &'a Plane,
    tenant: &'a Tenant,
    bounds: Bounds,
    left: usize,
    seen: BTreeSet<String>,
}

impl<'a> Resolving<'a> {
    fn of(plane: &'a Plane, tenant: &'a Tenant, bounds: Bounds) -> Self {
        Self {
            plane,
            tenant,
            bounds,
            left: MOST_FETCHES,
            seen: BTreeSet::new(),
        }
    }

    /// The statements from an entity up to the anchor, its own first.
    async fn chain(&mut self, entity: &str) -> Option<Vec<String>> {
        let own = self.configuration(entity).await?;
        let mut chain = vec![own.clone()];
        self.seen.insert(entity.to_owned());
        // Depth first, with what is still to be tried beside what was found on the way.
        let mut open = vec![(entity.to_owned(), hints_of(&own))];
        while let Some((below, hints)) = open.last_mut() {
            let below = below.clone();
            let Some(above) = hints.pop() else {
                open.pop();
                // What led nowhere is left out again; the first is its own.
                if chain.len() > open.len().max(1) {
                    chain.pop();
                }
                continue;
            };
            if open.len() > MOST_ABOVE || !self.seen.insert(above.clone()) {
                continue;
            }
            let Some((configuration, statement)) = self.superior(&above, &below).await else {
                continue;
            };
            chain.push(statement);
            if above == self.bounds.top {
                // It may say that its key has changed.
                chain.push(configuration);
                return Some(chain);
            }
            open.push((above, hints_of(&configuration)));
        }
        None
    }

    /// What a superior says it is, and what it says of an entity.
    async fn superior(&mut self, above: &str, below: &str) -> Option<(String, String)> {
        let configuration = self.configuration(above).await?;
        let claims = claims_of(&configuration)?;
        let endpoint = claims
            .get("metadata")?
            .get("federation_entity")?
            .get("federation_fetch_endpoint")?
            .as_str()?;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{endpoint}{separator}sub={}", escaped(below));
        let statement = self.fetch(&url).await?;
        Some((configuration, statement))
    }

    async fn configuration(&mut self, entity: &str) -> Option<String> {
        let entity = entity.strip_suffix('/').unwrap_or(entity);
        self.fetch(&format!("{entity}{CONFIGURATION}")).await
    }

    async fn fetch(&mut self, url: &str) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        match self.fetched(url).await {
            Ok(statement) => Some(statement),
            Err(Refused::Reason(reason)) => {
                self.plane.counters.refused(reason.code());
                tracing::info!(
                    tenant = %self.tenant.id(), url, code = reason.code(),
                    "a statement of a federation was not fetched: {}", reason.sentence()
                );
                None
            }
            Err(Refused::Fault(fault)) => {
                tracing::error!(
                    tenant = %self.tenant.id(), url, %fault, "a statement cannot be fetched"
                );
                None
            }
        }
    }

    async fn fetched(&self, url: &str) -> Result<String, Refused> {
        let target = Target::parse(url)?;
        if !self.bounds.allow(&target) {
            return Err(Reason::FetchEntityElsewhere {
                url: url.chars().take(256).collect(),
                anchor: self.bounds.top.clone(),
                host: target.authority(),
            }
            .into());
        }
        let limits = Limits {
            body: STATEMENT_BYTES,
            whole: LONGEST_WAIT,
            ..Limits::default()
        };
        let request = Request::get(url)?
            .header(ACCEPT, "application/entity-statement+jwt")
            .trusting(self.bounds.trust.clone())
            .within(limits);
        let (fetcher, anchor) = (self.plane.fetcher(), &self.bounds.anchor);
        let fetching = fetcher.ask(self.tenant.id(), anchor, &request);
        let answer = fetching.await?.when_ok()?;
        Ok(String::from_utf8_lossy(answer.body()).trim().to_owned())
    }
}

/// The superiors that a configuration names, in turned order; nothing is believed of it here.
fn hints_of(configuration: &str) -> Vec<String> {
    let claims = claims_of(configuration).unwrap_or_default();
    let hints = claims.get("authority_hints").and_then(Value::as_array);
    let hints = hints.into_iter().flatten().filter_map(Value::as_str);
    let mut hints: Vec<String> = hints.take(MOST_HINTS).map(str::to_owned).collect();
    hints.reverse();
    hints
}

fn end_of(statement: &str) -> Option<Time> {
    let claims = claims_of(statement)?;
    claims.get("exp")?.as_i64().map(Time::from_unix)
}

fn text_of(token: &str, claim: &str) -> Option<String> {
    claims_of(token)?.get(claim)?.as_str().map(str::to_owned)
}

fn claims_of(token: &str) -> Option<Value> {
    let claims = token.split('.').nth(1)?;
    let claims = Base64UrlUnpadded::decode_vec(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

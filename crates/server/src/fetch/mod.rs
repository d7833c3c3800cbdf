//! Fetches from elsewhere; elsewhere is hostile until shown otherwise.
//!
//! ```text
//! address ─► budget of the tenant ─► names resolved ─► every address judged
//!                                                          │ the very one
//!            Fetched ◄─ HTTP/1.1, capped ◄─ TLS ◄─ socket ◄┘
//! ```
//!
//! Pins are compared with the verified path when TLS is spoken; see [`PinCheck`].
//!
//! Only `https`. A name is resolved once, and what is connected to is the address that was judged,
//! so a name that changes in between gains nothing. Redirects are not followed unless the caller
//! allows some, and then at the same host and port. Compressed answers are not asked for and not
//! taken, so the cap on bytes holds for what comes and for what is read. Proxies of the environment
//! are not looked at: they would connect to addresses that nobody has judged.
//!
//! What the other side did wrong is a refusal (`fetch.*`); only our own side fails.

mod address;
mod answer;
mod budget;
mod connection;
mod flight;
mod path;
mod request;
mod resolve;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, LOCATION, USER_AGENT,
};
use axum::http::{self, HeaderMap, HeaderValue, Method};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_stream::StreamExt;

pub use address::{Network, Permitted};
pub use answer::Fetched;
pub use connection::Look;
pub use flight::Flights;
pub use path::{PinCheck, VerifiedChain};
pub(crate) use request::escaped;
pub use request::{Limits, Request, Trust, certificates};
pub use resolve::{Resolve, SystemResolver};
pub use target::Target;

use budget::{Budgets, Place, Questions};
use connection::{Connection, Connector, too_slow};
use resolve::Lookups;

use crate::fault::{Fault, Refused};

/// The most fields in the head of an answer.
const MOST_FIELDS: usize = 100;

/// The least room that the HTTP library takes for a connection.
const LEAST_BUFFER: usize = 8_192;

/// How often whoever waits for a turn looks whether there is one.
const TURN: Duration = Duration::from_millis(250);

/// The turn of one thing that is due: it may be fetched, with what it takes to get there. Whatever else
/// of the tenant is due finds its place when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Place);

/// Fetches for all tenants, within the bounds of each.
pub struct Fetcher {
    connector: Connector,
    budgets: Budgets,
    /// What is due by schedule waits for its turn, and takes nothing from what someone causes.
    scheduled: Budgets,
    /// Signals are sent whoever of those who get them hangs, and take no place from keys that are fetched.
    sent: Budgets,
    /// What strangers cause by what they present is paid from a purse of its own.
    questions: Questions,
}

impl Fetcher {
    /// A fetcher that calls the public Internet, and what else is permitted.
    pub fn new(permitted: Permitted) -> Self {
        Self::resolving_with(permitted, Arc::new(SystemResolver))
    }

    /// As [`Fetcher::new`], for what workloads ask of others through us: more often, and apart from
    /// what is fetched for the tenant itself.
    pub fn for_workloads(permitted: Permitted) -> Self {
        Self {
            budgets: Budgets::of_uses(),
            ..Self::new(permitted)
        }
    }

    /// As [`Fetcher::new`], with names resolved by `resolver`.
    pub fn resolving_with(permitted: Permitted, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            connector: Connector::of(permitted, Lookups::of(resolver)),
            budgets: Budgets::of_fetches(),
            scheduled: Budgets::of_fetches(),
            sent: Budgets::of_fetches(),
            questions: Questions::default(),
        }
    }

    /// Forgets what was fetched for a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.budgets.forget_tenant(tenant);
        self.scheduled.forget_tenant(tenant);
        self.sent.forget_tenant(tenant);
        self.questions.forget_tenant(tenant);
    }

    /// Fetches for a tenant: an answer of any status, as a whole.
    ///
    /// # Errors
    ///
    /// `fetch.*`, or what failed on our side.
    pub async fn fetch(&self, tenant: &TenantId, request: &Request) -> Result<Fetched, Refused> {
        let place = self.budgets.take(tenant, Instant::now())?;
        self.fetch_at(&place, tenant, request).await
    }

    /// As [`Fetcher::fetch`], sending what a tenant tells others.
    pub(crate) async fn send(
        &self,
        tenant: &TenantId,
        request: &Request,
    ) -> Result<Fetched, Refused> {
        let place = self.sent.take(tenant, Instant::now())?;
        self.fetch_at(&place, tenant, request).await
    }

    /// Waits until something of the tenant that is due may be fetched. It has time, so that there being
    /// none is no refusal.
    pub(crate) async fn turn(&self, tenant: &TenantId) -> Turn {
        loop {
            match self.scheduled.take(tenant, Instant::now()) {
                Ok(place) => return Turn(place),
                Err(_) => tokio::time::sleep(TURN).await,
            }
        }
    }

    /// As [`Fetcher::fetch`], in a turn that was waited for, if there is one.
    pub(crate) async fn fetch_in(
        &self,
        turn: Option<&Turn>,
        tenant: &TenantId,
        request: &Request,
    ) -> Result<Fetched, Refused> {
        match turn {
            Some(turn) => self.fetch_at(&turn.0, tenant, request).await,
            None => self.fetch(tenant, request).await,
        }
    }

    /// As [`Fetcher::fetch`], asking `whom` about a token that someone has presented: whoever presents
    /// many uses up what there is for such questions, and nothing of what keys are fetched with, nor
    /// what is kept for others whom the tenant asks.
    ///
    /// # Errors
    ///
    /// As for fetches.
    pub async fn ask(
        &self,
        tenant: &TenantId,
        whom: &str,
        request: &Request,
    ) -> Result<Fetched, Refused> {
        let place = self.questions.take(tenant, whom, Instant::now())?;
        self.fetch_at(&place, tenant, request).await
    }

    async fn fetch_at(
        &self,
        place: &Place,
        tenant: &TenantId,
        request: &Request,
    ) -> Result<Fetched, Refused> {
        let allowed = request.limits.whole;
        let fetching = self.follow(request, place);
        let fetched = match tokio::time::timeout(allowed, fetching).await {
            Ok(fetched) => fetched,
            Err(_) => Err(too_slow(&request.target, "the whole answer", allowed).into()),
        };
        match &fetched {
            Ok(fetched) => tracing::debug!(
                %tenant, target = %request.target, status = fetched.status(), "fetched"
            ),
            Err(Refused::Reason(reason)) => tracing::info!(
                %tenant, host = %request.target.host(), code = reason.code(), "nothing was fetched"
            ),
            Err(Refused::Fault(fault)) => tracing::error!(%tenant, %fault, "fetching failed"),
        }
        fetched
    }

    /// What a server shows of itself to a tenant, on so many connections. Nothing is asked of it.
    ///
    /// # Errors
    ///
    /// `fetch.*` where it cannot be called at all, or what failed on our side.
    pub async fn look(
        &self,
        tenant: &TenantId,
        request: &Request,
        times: usize,
    ) -> Result<Vec<Look>, Refused> {
        let place = self.budgets.take(tenant, Instant::now())?;
        self.connector.look(request, &place, times).await
    }

    /// As [`Fetcher::look`], in a turn that was waited for, if there is one.
    pub(crate) async fn look_in(
        &self,
        turn: Option<&Turn>,
        tenant: &TenantId,
        request: &Request,
        times: usize,
    ) -> Result<Vec<Look>, Refused> {
        match turn {
            Some(turn) => self.connector.look(request, &turn.0, times).await,
            None => self.look(tenant, request, times).await,
        }
    }

    async fn follow(&self, request: &Request, place: &Place) -> Result<Fetched, Refused> {
        let mut target = request.target.clone();
        let mut left = match request.method {
            Method::GET => request.limits.redirects,
            // What was sent to one address must not be sent to another.
            _ => 0,
        };
        loop {
            let fetched = self.exchange(request, &target, place).await?;
            let is_redirect = matches!(fetched.status, 301 | 302 | 303 | 307 | 308);
            if !is_redirect {
                return Ok(fetched);
            }
            let location = fetched.header(LOCATION).unwrap_or_default();
            let next = target.follow(location).filter(|_| left > 0);
            target = next.ok_or_else(|| Reason::FetchRedirect {
                url: target.to_string(),
                location: location.chars().take(256).collect(),
            })?;
            left = left.saturating_sub(1);
        }
    }

    /// One request, one answer, one connection.
    async fn exchange(
        &self,
        request: &Request,
        target: &Target,
        place: &Place,
    ) -> Result<Fetched, Refused> {
        let Connection {
            stream,
            address,
            certificates,
            pinned,
        } = self.connector.connect(request, target, place).await?;
        let limits = request.limits;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MOST_FIELDS)
            .max_header_size(limits.head)
            .max_buf_size(limits.head.max(LEAST_BUFFER))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(target, &error))?;
        // It ends with this exchange, whatever the other side still wants to say.
        let mut connections = tokio::task::JoinSet::new();
        connections.spawn(connection);
        let sending = sender.send_request(message(request, target)?);
        let answer = match tokio::time::timeout(limits.first_byte, sending).await {
            Ok(answer) => answer.map_err(|error| match error.is_parse_too_large() {
                true => too_large(target, "head", limits.head),
                false => broken(target, &error),
            })?,
            Err(_) => return Err(too_slow(target, "the first byte", limits.first_byte).into()),
        };
        let (parts, body) = answer.into_parts();
        refuse_encoded(target, &parts.headers)?;
        refuse_announced(target, &parts.headers, limits.body)?;
        Ok(Fetched {
            target: target.clone(),
            address,
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: read(target, Body::new(body), limits.body).await?,
            certificates,
            pinned,
        })
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

fn message(request: &Request, target: &Target) -> Result<http::Request<Body>, Refused> {
    let bug = |error: http::Error| Fault::Bug(error.to_string());
    let mut message = http::Request::builder()
        .method(request.method.clone())
        .uri(target.path())
        .body(Body::from(request.body.clone()))
        .map_err(bug)?;
    let headers = message.headers_mut();
    for (name, value) in &request.headers {
        headers.append(name.clone(), value.clone());
    }
    let host = HeaderValue::from_str(&target.authority());
    headers.insert(HOST, host.map_err(|error| bug(error.into()))?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static("avouch"));
    Ok(message)
}

/// Asked for is `identity`; whatever else comes could grow without end when it is unpacked.
fn refuse_encoded(target: &Target, headers: &HeaderMap) -> Result<(), Reason> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let encoding = String::from_utf8_lossy(value.as_bytes());
        if !encoding.trim().eq_ignore_ascii_case("identity") {
            return Err(Reason::FetchEncoded {
                host: target.host(),
                encoding: encoding.chars().take(64).collect(),
            });
        }
    }
    Ok(())
}

fn refuse_announced(target: &Target, headers: &HeaderMap, most: usize) -> Result<(), Reason> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    match announced {
        Some(length) if length > most => Err(too_large(target, "body", most)),
        Some(_) | None => Ok(()),
    }
}

async fn read(target: &Target, body: Body, most: usize) -> Result<Vec<u8>, Reason> {
    let mut read = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| Reason::FetchBroken {
            host: target.host(),
            detail: error.to_string().chars().take(256).collect(),
        })?;
        if read.len() + part.len() > most {
            return Err(too_large(target, "body", most));
        }
        read.extend_from_slice(&part);
    }
    Ok(read)
}

fn too_large(target: &Target, part: &'static str, allowed: usize) -> Reason {
    Reason::FetchLarge {
        host: target.host(),
        part,
        allowed,
    }
}

fn broken(target: &Target, error: &hyper::Error) -> Reason {
    Reason::FetchBroken {
        host: target.host(),
        detail: error.to_string().chars().take(256).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_that_hang_take_no_place_of_what_is_fetched() {
        let fetcher = Fetcher::new(Permitted::default());
        let (tenant, now) = (TenantId::parse("one").unwrap(), Instant::now());
        let sending: Vec<Place> =
            std::iter::from_fn(|| fetcher.sent.take(&tenant, now).ok()).collect();
        assert_eq!(sending.len(), 8);
        assert!(fetcher.budgets.take(&tenant, now).is_ok());
    }
}

//! What came back.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use avouch_core::pin::Pinned;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use axum::http::header::{AGE, CACHE_CONTROL, LAST_MODIFIED, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName};
use rustls::pki_types::CertificateDer;

use super::target::Target;

/// An answer as a whole: no part of it is still on its way.
#[derive(Clone)]
pub struct Fetched {
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) pinned: Option<Pinned>,
}

impl Fetched {
    /// Where it came from in the end.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The very address that was called.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The status (RFC 9110 15).
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A field of the head that is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The fields of the head.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The certificates that the other side has shown, its own first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The pin over which it came, if pins were enforced.
    pub fn pinned(&self) -> Option<Pinned> {
        self.pinned
    }

    /// How long it may be used without asking again, if it says so (RFC 9111 5.2.2): nothing at all
    /// for `no-store` and `no-cache`.
    pub fn fresh_for(&self) -> Option<Duration> {
        let mut longest = None;
        for value in self.headers.get_all(CACHE_CONTROL) {
            for directive in value.to_str().ok()?.split(',') {
                let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" => return Some(Duration::ZERO),
                    "max-age" => {
                        let seconds = value.trim().trim_matches('"').parse().ok()?;
                        longest = Some(Duration::from_secs(seconds));
                    }
                    _ => {}
                }
            }
        }
        let age = Duration::from_secs(self.age().unsigned_abs());
        longest.map(|longest: Duration| longest.saturating_sub(age))
    }

    /// For how many seconds caches have kept it, if they say so (RFC 9111 5.1).
    pub fn age(&self) -> i64 {
        let age = self.header(AGE).and_then(|age| age.trim().parse().ok());
        i64::from(age.unwrap_or(0_u32))
    }

    /// When what was answered changed last, if that is said (RFC 9110 8.8.2).
    pub fn modified(&self) -> Option<Time> {
        Time::parse_http(self.header(LAST_MODIFIED)?.trim())
    }

    /// How many seconds from `now` on it asks to be left alone, if it does (RFC 9110 10.2.3).
    pub fn retry_after(&self, now: Time) -> Option<i64> {
        let said = self.header(RETRY_AFTER)?.trim();
        if let Ok(seconds) = said.parse::<u32>() {
            return Some(seconds.into());
        }
        Time::parse_http(said).map(|at| at.since(now).max(0))
    }

    /// This answer, if its status is 200.
    ///
    /// # Errors
    ///
    /// `fetch.status`.
    pub fn when_ok(self) -> Result<Self, Reason> {
        match self.status {
            200 => Ok(self),
            status => Err(Reason::FetchStatus {
                url: self.target.to_string(),
                status: u32::from(status),
            }),
        }
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("target", &self.target.to_string())
            .field("address", &self.address)
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

//! One thing to fetch, and within what bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use avouch_core::reason::Reason;
use axum::http::{HeaderName, HeaderValue, Method};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::path::PinCheck;
use super::target::Target;

/// What is asked for.
#[derive(Clone)]
pub struct Request {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
    pub(super) trust: Trust,
    pub(super) pins: Option<PinCheck>,
    pub(super) limits: Limits,
}

/// By what the other side must show who it is.
#[derive(Clone)]
pub enum Trust {
    /// By a certificate under the trust store of the operating system.
    System,
    /// By one under that store or under one of these.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// By one under one of these.
    Only(Vec<CertificateDer<'static>>),
    /// By what this finds good.
    Verifier(Arc<dyn ServerCertVerifier>),
}

impl Trust {
    /// The certificates that are named.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::System | Self::Verifier(_) => &[],
            Self::SystemAnd(named) | Self::Only(named) => named,
        }
    }
}

/// What one fetch may cost. Nothing here is a wish: what is over it ends the fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until there is a connection that has shown who it leads to: names, sockets and TLS.
    pub connect: Duration,
    /// From there until the head of the answer is here.
    pub first_byte: Duration,
    /// All of it, redirects included. Who sends one byte a second gets no further than this.
    pub whole: Duration,
    /// The body, in bytes as they come: what is compressed is not taken.
    pub body: usize,
    /// The head, in bytes.
    pub head: usize,
    /// How many redirects are followed, each to the same host and port.
    pub redirects: u32,
}

impl Default for Limits {
    /// Key sets of the largest issuers have 10 KiB; a bundle with a hundred certificates has 200.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(5),
            whole: Duration::from_secs(10),
            body: 256 << 10,
            head: 16 << 10,
            redirects: 0,
        }
    }
}

impl Request {
    /// Asks for what is at an address.
    ///
    /// # Errors
    ///
    /// `fetch.url_refused`.
    pub fn get(url: &str) -> Result<Self, Reason> {
        Ok(Self::of(Method::GET, Target::parse(url)?))
    }

    /// Sends something to an address. Its redirects are never followed.
    ///
    /// # Errors
    ///
    /// `fetch.url_refused`.
    pub fn post(url: &str, content_type: &'static str, body: Vec<u8>) -> Result<Self, Reason> {
        let mut request = Self::of(Method::POST, Target::parse(url)?);
        let header = HeaderValue::from_static(content_type);
        request
            .headers
            .push((axum::http::header::CONTENT_TYPE, header));
        request.body = body;
        Ok(request)
    }

    fn of(method: Method, target: Target) -> Self {
        Self {
            target,
            method,
            headers: Vec::new(),
            body: Vec::new(),
            trust: Trust::System,
            pins: None,
            limits: Limits::default(),
        }
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// By another method.
    #[must_use]
    pub fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With a field in its head. What no head can carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// With a field in its head, as it came.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a body.
    #[must_use]
    pub fn sending(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// By what the other side must show who it is.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Only over a path that is pinned, if any of the pins is enforced.
    #[must_use]
    pub fn pinned(mut self, pins: PinCheck) -> Self {
        self.pins = Some(pins);
        self
    }

    /// Within other limits.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl fmt::Debug for Request {
    /// Fields of the head and the body may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target.to_string())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::SystemAnd(_) => "SystemAnd",
            Self::Only(_) => "Only",
            Self::Verifier(_) => "Verifier",
        })
    }
}

/// The certificates of a PEM text.
///
/// # Errors
///
/// `input.pem_malformed` where something is wrong or there is none.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let refuse = |detail: String| Reason::PemMalformed { detail };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        found.push(certificate.map_err(|error| refuse(error.to_string()))?);
    }
    if found.is_empty() {
        return Err(refuse("it has no certificate".to_owned()));
    }
    Ok(found)
}

/// As a value behind the question mark of an address or in a form (RFC 3986 2.1, URL Standard 5.2),
/// with nothing left that means something there.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

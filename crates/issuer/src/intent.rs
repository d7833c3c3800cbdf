//! What is about to be signed, on record before it is.
//!
//! After a power failure there may be a signature that nobody recorded, unless what was going to be
//! signed is on record already. So nothing is signed before its intent is durable.

use std::pin::Pin;

use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;

use crate::fault::Fault;

/// Keeps intents. An implementation returns only when all of them are durable, or none.
pub trait IntentLog: Send + Sync {
    /// Records that all of `intents` are about to be signed.
    ///
    /// # Errors
    ///
    /// [`Fault::NotRecorded`]; then none of them is signed.
    fn record(&self, intents: &[&Intent]) -> Result<(), Fault>;
}

/// As [`IntentLog`], for who has no thread to wait on.
pub trait WaitingLog: Send + Sync {
    /// Records that all of `intents` are about to be signed; done when all of them are durable.
    ///
    /// # Errors
    ///
    /// [`Fault::NotRecorded`]; then none of them is signed.
    fn record(&self, intents: Vec<Intent>) -> Recording<'_>;
}

/// What becomes of intents that are being recorded.
pub struct Recording<'a>(Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>);

impl<'a> Recording<'a> {
    /// What this comes to.
    pub fn of(recording: impl Future<Output = Result<(), Fault>> + Send + 'a) -> Self {
        Self(Box::pin(recording))
    }

    pub(crate) async fn done(self) -> Result<(), Fault> {
        self.0.await
    }
}

/// What is about to be signed: public parts and a digest, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Whose it is.
    pub tenant: TenantId,
    /// The trust domain that will vouch.
    pub trust_domain: TrustDomain,
    /// What kind of credential.
    pub kind: CredentialKind,
    /// Who it is for; the ID of the trust domain for an authority.
    pub subject: SpiffeId,
    /// The serial number of a certificate in hexadecimal, the identifier of a token (`jti`), or the
    /// name of a revocation list.
    pub serial: String,
    /// The authority that will sign: a key identifier in hexadecimal, or a `kid`.
    pub authority: String,
    /// The first second in which it will be valid.
    pub not_before: Time,
    /// The last second for a certificate, the first second too late for a token.
    pub not_after: Time,
    /// The SHA-256 digest of the bytes that will be signed.
    pub digest: Digest,
}

/// The kinds of credentials that are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// A signing certificate.
    Authority,
    /// A certificate that is no X.509-SVID.
    Certificate,
    /// A security event.
    Event,
    /// A JWT-SVID.
    JwtSvid,
    /// A list of revoked certificates.
    RevocationList,
    /// A status list of tokens.
    StatusList,
    /// An answer about certificates (OCSP).
    StatusResponse,
    /// A WIT-SVID.
    WitSvid,
    /// An X.509-SVID.
    X509Svid,
}

impl CredentialKind {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Certificate => "certificate",
            Self::Event => "event",
            Self::JwtSvid => "jwt_svid",
            Self::RevocationList => "revocation_list",
            Self::StatusList => "status_list",
            Self::StatusResponse => "status_response",
            Self::WitSvid => "wit_svid",
            Self::X509Svid => "x509_svid",
        }
    }
}

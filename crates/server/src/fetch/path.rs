//! Verified paths, and pins on them.
//!
//! Whether a server is who it says is settled by rustls alone. Pins come after: they are compared
//! with the certificates of the paths that rustls-webpki has verified, so a certificate that is only
//! sent along proves nothing, and a server with two paths passes if one of them is pinned.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::id::Digest;
use avouch_core::pin::{Judged, Link, Pin, Pinned, ShownPath, judge};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use der::asn1::AnyRef;
use der::{Encode, Tag};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, Error as Unverified, KeyUsage, VerifiedPath};

/// The most paths of one server that are looked at. Two is what a cross-signed one has.
const MOST_PATHS: usize = 8;

/// A verified path with its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    /// The certificates below the trust anchor, the server's own first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The same by their digests, with that of the key of the anchor.
    pub shown: ShownPath,
}

/// All verified paths from what a server shows to one of the roots, as many as are looked at.
pub(super) fn verified(
    shown: &[CertificateDer<'_>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Vec<VerifiedChain> {
    let Some((own, more)) = shown.split_first() else {
        return Vec::new();
    };
    let Ok(end_entity) = EndEntityCert::try_from(own) else {
        return Vec::new();
    };
    let found = RefCell::new(Vec::new());
    // Refusing each path that is verified has the next one looked for.
    let collect = |path: &VerifiedPath<'_>| {
        let mut found = found.borrow_mut();
        let chain = chain_of(path);
        if found.len() < MOST_PATHS && !found.contains(&chain) {
            found.push(chain);
        }
        Err(Unverified::UnknownIssuer)
    };
    let none = end_entity.verify_for_usage(
        provider.signature_verification_algorithms.all,
        &roots.roots,
        more,
        now,
        KeyUsage::server_auth(),
        None,
        Some(&collect),
    );
    debug_assert!(none.is_err(), "every path was refused");
    drop(none);
    found.into_inner()
}

fn chain_of(path: &VerifiedPath<'_>) -> VerifiedChain {
    let own = path.end_entity().der().into_owned();
    let more = path.intermediate_certificates();
    let certificates: Vec<CertificateDer<'static>> = std::iter::once(own)
        .chain(more.map(|one| one.der().into_owned()))
        .collect();
    let links = certificates.iter().map(|one| Link::of(one)).collect();
    let anchor = public_key_info(path.anchor()).map(|info| Digest::of(&info));
    VerifiedChain {
        shown: ShownPath { links, anchor },
        certificates,
    }
}

/// The `SubjectPublicKeyInfo` of an anchor: what is kept of it is the content of that sequence.
fn public_key_info(anchor: &TrustAnchor<'_>) -> Option<Vec<u8>> {
    let content = AnyRef::new(Tag::Sequence, &anchor.subject_public_key_info);
    content.ok()?.to_der().ok()
}

/// Pins that are enforced when a connection is made.
#[derive(Clone, Debug)]
pub struct PinCheck {
    /// The pins.
    pub pins: Vec<Pin>,
    /// When they are judged.
    pub now: Time,
}

/// What came of the check on one connection.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Option<Judged>>);

impl Found {
    /// The pin that held, if one was asked for.
    pub(super) fn held(&self) -> Option<Pinned> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Judged::Held(pinned)) => Some(*pinned),
            Some(Judged::NotPinned | Judged::Missed { .. }) | None => None,
        }
    }

    /// Why none held, if that is why there is no connection.
    pub(super) fn missed(&self, host: &str) -> Option<Reason> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found.clone() {
            Some(Judged::Missed { expected, seen }) => Some(Reason::FetchPinMissed {
                host: host.to_owned(),
                expected,
                seen,
            }),
            Some(Judged::NotPinned | Judged::Held(_)) | None => None,
        }
    }
}

/// Believes what rustls believes, if one of the verified paths is pinned as well.
#[derive(Debug)]
pub(super) struct Pinning {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) check: PinCheck,
    pub(super) found: Arc<Found>,
}

impl Pinning {
    fn judge(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Judged {
        let paths = verified(shown, &self.roots, &self.provider, now);
        let mut missed: Option<(Vec<String>, Vec<String>)> = None;
        for path in &paths {
            match judge(&self.check.pins, &path.shown, self.check.now) {
                Judged::Missed { expected, seen } => {
                    let (_, all) = missed.get_or_insert((expected, Vec::new()));
                    all.extend(seen);
                }
                passed => return passed,
            }
        }
        let (expected, mut seen) = missed.unwrap_or_default();
        seen.dedup();
        Judged::Missed { expected, seen }
    }
}

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, stapled, now)?;
        let all = [std::slice::from_ref(end_entity), intermediates].concat();
        let judged = self.judge(&all, now);
        let is_missed = matches!(judged, Judged::Missed { .. });
        let mut found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        *found = Some(judged);
        match is_missed {
            true => Err(rustls::Error::General("no pin holds".to_owned())),
            false => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

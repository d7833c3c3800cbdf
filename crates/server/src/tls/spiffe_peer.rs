//! Whoever is called by SPIFFE ID: TLS under the core's decision on the X.509-SVID that it shows.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::clock::Clock;

/// Finds good who shows a valid X.509-SVID of exactly one SPIFFE ID under the bundle of its trust
/// domain. By which name it was called does not matter (SPIFFE Federation 5.2.2.2).
pub struct SpiffePeer {
    expected: SpiffeId,
    view: View,
    clock: Arc<dyn Clock>,
    algorithms: WebPkiSupportedAlgorithms,
    refused: Mutex<Option<Reason>>,
}

impl SpiffePeer {
    /// `bundle` is that of the trust domain of `expected`.
    pub fn new(expected: SpiffeId, bundle: Bundle, clock: Arc<dyn Clock>) -> Self {
        let tenant = TenantId::local();
        let epoch = bundle.digest();
        let name = bundle.trust_domain.to_string();
        let anchor = Anchor::bare(name, AnchorKind::TrustDomain(bundle), &tenant);
        Self {
            expected,
            view: View::new(tenant, vec![anchor], Vec::new(), Vec::new(), epoch),
            clock,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            refused: Mutex::default(),
        }
    }

    /// Why the last one was refused, if one was.
    pub fn refused(&self) -> Option<Reason> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }

    fn judge(&self, chain: Vec<Vec<u8>>) -> Result<(), Reason> {
        let question = Question {
            tenant: self.view.tenant().clone(),
            credential: Credential::X509(chain),
            profile: Profile::Spiffe,
            purpose: Purpose::Server,
            now: self.clock.now(),
            context: Context {
                expected: vec![ExpectedName::Spiffe(self.expected.clone())],
                ..Context::default()
            },
        };
        match decide(&question, &self.view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(_) => Ok(()),
            Verdict::Reject(refusal) => Err(refusal.reason().clone()),
            Verdict::Undetermined(_) => Err(Reason::CertificatesMissing {}),
        }
    }
}

impl fmt::Debug for SpiffePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpiffePeer")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for SpiffePeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        match self.judge(chain.map(|certificate| certificate.to_vec()).collect()) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(reason) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                *refused = Some(reason);
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

//! TLS to the server: rustls carries it, and who the server is, the core decides.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::Value;

use super::membership::Membership;
use super::now;

/// By which bundle the server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTrust {
    /// The trust domain of servers.
    pub trust_domain: TrustDomain,
    /// Its SPIFFE bundle, as JSON.
    pub bundle: String,
}

impl ServerTrust {
    /// Reads one anchor of a trust document, `{"trust_domain": …, "bundle": …}`, as the server
    /// writes it for its nodes.
    pub fn read(text: &str) -> Option<Self> {
        let anchor: Value = serde_json::from_str(text).ok()?;
        Some(Self {
            trust_domain: TrustDomain::parse(anchor.get("trust_domain")?.as_str()?).ok()?,
            bundle: anchor.get("bundle")?.to_string(),
        })
    }

    fn server_id(&self) -> Result<SpiffeId, Reason> {
        SpiffeId::parse(&format!("spiffe://{}/avouch/server", self.trust_domain))
    }

    fn view(&self) -> Result<View, Reason> {
        let epoch = Digest::of(self.bundle.as_bytes());
        let document = serde_json::from_str(&self.bundle).unwrap_or(Value::Null);
        let tenant = TenantId::local();
        let bundle = Bundle::read(self.trust_domain.as_str(), &document)?;
        let name = self.trust_domain.to_string();
        let anchor = Anchor::bare(name, AnchorKind::TrustDomain(bundle), &tenant);
        Ok(View::new(
            tenant,
            vec![anchor],
            Vec::new(),
            Vec::new(),
            epoch,
        ))
    }
}

/// Asks the core whether the server is the one that the bundle vouches for.
pub(super) struct ServerVerifier {
    trust: RwLock<ServerTrust>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(super) fn new(trust: ServerTrust) -> Self {
        Self {
            trust: RwLock::new(trust),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }

    /// What the server says about itself over a connection that was verified.
    pub(super) fn follow(&self, bundle: String) {
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        trust.bundle = bundle;
    }

    pub(super) fn trust(&self) -> ServerTrust {
        self.trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn judge(&self, chain: Vec<Vec<u8>>) -> Result<(), Reason> {
        let trust = self.trust();
        let view = trust.view()?;
        let question = Question {
            tenant: view.tenant().clone(),
            credential: Credential::X509(chain),
            profile: Profile::Spiffe,
            purpose: Purpose::Server,
            now: now(),
            context: Context {
                expected: vec![ExpectedName::Spiffe(trust.server_id()?)],
                ..Context::default()
            },
        };
        match decide(&question, &view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(_) => Ok(()),
            Verdict::Reject(refusal) => Err(refusal.reason().clone()),
            Verdict::Undetermined(_) => Err(Reason::CertificatesMissing {}),
        }
    }
}

/// TLS 1.3 as the member, or as no one yet.
pub(super) fn config(
    verifier: &Arc<ServerVerifier>,
    member: Option<&Membership>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(verifier) as _;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match member {
        Some(member) => {
            let chain = member.certificates.iter().cloned();
            let chain = chain.map(CertificateDer::from).collect();
            let own = CertifiedKey::new(chain, member.key.signing_key()?);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// What helps where the server is not believed. One that is of another time has another clock than we have.
fn fix_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotYetValid { .. } | Reason::Expired { .. } => {
            "Set the clocks of this machine and of the server right: one of them is wrong, unless the server \
             has been without a new certificate for long."
        }
        _ => {
            "If its root was replaced while this node was off, bring a fresh copy of the server's `server.json` \
             for `--server-trust`; else find out who answers at its address."
        }
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerVerifier")
    }
}

impl ServerCertVerifier for ServerVerifier {
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
                tracing::error!(
                    code = reason.code(),
                    sentence = reason.sentence(),
                    fix = fix_of(&reason),
                    "the server is not who it should be by what this node knows of it"
                );
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
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

#[cfg(test)]
mod tests {
    use avouch_core::time::Time;

    use super::*;

    #[test]
    fn a_server_of_another_time_is_a_matter_of_clocks_and_another_one_of_its_roots() {
        let (at, then) = (Time::from_unix(100), Time::from_unix(200));
        let early = Reason::NotYetValid {
            subject: "server".to_owned(),
            not_before: then,
            at,
            ahead: "100 seconds".to_owned(),
        };
        assert!(fix_of(&early).contains("clocks"));
        assert!(fix_of(&Reason::CertificatesMissing {}).contains("`server.json`"));
    }
}

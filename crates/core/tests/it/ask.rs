//! Asking the core about certificates, in a few lines.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::set_aside::Unusable;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use base64ct::{Base64, Encoding};

/// A question about a certificate, with its view.
pub(crate) struct Ask {
    pub(crate) question: Question,
    anchors: Vec<Vec<u8>>,
    bundles: Vec<Bundle>,
    crls: Vec<Vec<u8>>,
}

impl Ask {
    /// About DER certificates, the end entity first, at [`avouch_testkit::NOW`], under
    /// [`Profile::Rfc5280`] and for any purpose.
    pub(crate) fn about<T: AsRef<[u8]>>(chain: impl IntoIterator<Item = T>) -> Self {
        let chain = chain
            .into_iter()
            .map(|certificate| certificate.as_ref().to_vec())
            .collect();
        Self {
            question: Question {
                tenant: TenantId::local(),
                credential: Credential::X509(chain),
                profile: Profile::Rfc5280,
                purpose: Purpose::Any,
                now: Time::parse(avouch_testkit::NOW).unwrap(),
                context: Context::default(),
            },
            anchors: Vec::new(),
            bundles: Vec::new(),
            crls: Vec::new(),
        }
    }

    pub(crate) fn anchor(mut self, der: &[u8]) -> Self {
        self.anchors.push(der.to_vec());
        self
    }

    pub(crate) fn bundle(mut self, bundle: Bundle) -> Self {
        self.bundles.push(bundle);
        self
    }

    pub(crate) fn crl(mut self, der: &[u8]) -> Self {
        self.crls.push(der.to_vec());
        self
    }

    pub(crate) fn profile(mut self, profile: Profile) -> Self {
        self.question.profile = profile;
        self
    }

    pub(crate) fn purpose(mut self, purpose: Purpose) -> Self {
        self.question.purpose = purpose;
        self
    }

    pub(crate) fn at(mut self, now: Time) -> Self {
        self.question.now = now;
        self
    }

    pub(crate) fn expect(mut self, name: ExpectedName) -> Self {
        self.question.context.expected.push(name);
        self
    }

    pub(crate) fn require_revocation(mut self) -> Self {
        self.question.context.require_revocation = true;
        self
    }

    /// What is known when it is asked.
    pub(crate) fn view(&self) -> View {
        let certificates = self
            .anchors
            .iter()
            .map(|der| Certificate::parse(der).unwrap());
        let certificates = certificates.map(|one| AnchorKind::Certificate(Arc::new(one)));
        let bundles = self.bundles.iter().cloned().map(AnchorKind::TrustDomain);
        let anchors = certificates.chain(bundles).map(|kind| Anchor {
            name: "anchor".to_owned(),
            kind,
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        });
        let mut unusable = Vec::new();
        let mut crls = Vec::new();
        for der in &self.crls {
            let position = "revocation list".to_owned();
            match Crl::parse(der) {
                Ok(crl) => crls.push(crl),
                Err(detail) => unusable.push(Unusable {
                    what: position.clone(),
                    reason: Reason::CrlMalformed { position, detail },
                }),
            }
        }
        View::new(
            TenantId::local(),
            anchors.collect(),
            crls,
            unusable,
            Digest::of(b"a view of a test"),
        )
    }

    pub(crate) fn decide(&self) -> Verdict {
        let view = self.view();
        avouch_core::decide(&self.question, &view, &AwsLc, &mut Budget::default())
    }

    /// The code of the refusal, or `accept`.
    pub(crate) fn outcome(&self) -> String {
        outcome(&self.decide())
    }
}

/// The code of a refusal, `accept`, or `undetermined`.
pub(crate) fn outcome(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept(_) => "accept".to_owned(),
        Verdict::Reject(refusal) => refusal.reason().code().to_owned(),
        Verdict::Undetermined(_) => "undetermined".to_owned(),
    }
}

/// The DER of one PEM block.
pub(crate) fn from_pem(pem: &str) -> Vec<u8> {
    let body = pem
        .split("-----BEGIN")
        .nth(1)
        .and_then(|rest| rest.split_once("-----\n"))
        .and_then(|(_, body)| body.split_once("-----END"))
        .unwrap()
        .0;
    Base64::decode_vec(&body.replace(['\n', '\r'], "")).unwrap()
}

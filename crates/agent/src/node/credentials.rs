//! Who the node is, and who others are, to those who call it over TLS.

use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::SpiffeId;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use super::published::Published;
use super::{Node, now};
use crate::broker::{Credentials, OwnSvid};

impl Credentials for Node {
    fn own(&self) -> Option<OwnSvid> {
        let member = self.shared.link.member();
        Some(OwnSvid {
            chain: member.certificates.clone(),
            signing_key: member.key.signing_key().ok()?,
        })
    }

    fn identify(&self, chain: &[Vec<u8>]) -> Result<SpiffeId, Box<Reason>> {
        let view = self.view_for(chain)?;
        let question = Question {
            tenant: view.tenant().clone(),
            credential: Credential::X509(chain.to_vec()),
            profile: Profile::Spiffe,
            purpose: Purpose::Client,
            now: now(),
            context: Context::default(),
        };
        match decide(&question, &view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(sealed) => Ok(SpiffeId::parse(sealed.preview().name())?),
            Verdict::Reject(refusal) => Err(Box::new(refusal.reason().clone())),
            Verdict::Undetermined(_) => Err(Box::new(Reason::CertificatesMissing {})),
        }
    }
}

impl Node {
    /// What decides on a certificate: the bundle that the trust domain it names publishes itself,
    /// and never what another tenant says of that trust domain.
    fn view_for(&self, chain: &[Vec<u8>]) -> Result<View, Box<Reason>> {
        let first = chain.first();
        let first = first.ok_or_else(|| Box::new(Reason::CertificatesMissing {}))?;
        let leaf = Certificate::parse(first);
        let leaf = leaf.map_err(|detail| Box::new(Reason::Malformed { detail }))?;
        let mut ids = leaf.uris().filter_map(|uri| SpiffeId::parse(uri).ok());
        let unknown = |name: String| {
            Box::new(Reason::IssueObjectUnknown {
                object: "trust domain",
                name,
            })
        };
        let id = ids
            .next()
            .ok_or_else(|| unknown("of the certificate".to_owned()))?;
        let domain = id.trust_domain();
        let published = Published::of(&self.shared.holdings(), domain);
        let published = published.ok_or_else(|| unknown(domain.to_string()))?;
        Ok(published.view())
    }
}

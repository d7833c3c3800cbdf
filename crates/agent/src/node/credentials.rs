//! Who the node is, and who others are, to those who call it over TLS.

use std::collections::BTreeMap;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, SpiffeId, TrustDomain};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use super::holdings::Holdings;
use super::{Node, now};
use crate::broker::{Credentials, OwnSvid};
use crate::identities::X509Svid;

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
        view_of(&self.shared.holdings(), domain).ok_or_else(|| unknown(domain.to_string()))
    }
}

/// What decides on certificates of a trust domain: the bundle and the revocation lists that its own
/// tenant publishes.
fn view_of(holdings: &Holdings, domain: &TrustDomain) -> Option<View> {
    let (tenant, bundle) = holdings.published(domain)?;
    let anchor = Anchor {
        name: "SPIFFE bundle".to_owned(),
        kind: AnchorKind::TrustDomain(bundle.whole.clone()),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: tenant.clone(),
        source: None,
    };
    let lists = bundle.revocation_lists.iter();
    let lists = lists.filter_map(|der| Crl::parse(der).ok()).collect();
    let epoch = Digest::of(domain.as_str().as_bytes());
    Some(View::new(
        tenant.clone(),
        vec![anchor],
        lists,
        Vec::new(),
        epoch,
    ))
}

/// Who tells whether certificates are revoked, by the lists that are held now. Each trust domain is
/// looked up once: its lists may be long.
pub(super) struct RevokedBy<'a> {
    holdings: &'a Holdings,
    views: BTreeMap<TrustDomain, Option<View>>,
}

impl<'a> RevokedBy<'a> {
    pub(super) fn lists_of(holdings: &'a Holdings) -> Self {
        Self {
            holdings,
            views: BTreeMap::new(),
        }
    }

    /// Whether an SVID is believed nowhere any more, since a list of its trust domain names it or
    /// what is above it.
    pub(super) fn names(&mut self, svid: &X509Svid, now: Time) -> bool {
        let domain = svid.spiffe_id.trust_domain();
        let view = self.views.entry(domain.clone());
        let view = view.or_insert_with(|| {
            view_of(self.holdings, domain).filter(|view| !view.crls().is_empty())
        });
        let Some(view) = view else { return false };
        let chain = std::iter::once(&svid.certificate).chain(&svid.intermediates);
        let question = Question {
            tenant: view.tenant().clone(),
            credential: Credential::X509(chain.cloned().collect()),
            profile: Profile::Spiffe,
            purpose: Purpose::Any,
            now,
            context: Context::default(),
        };
        let verdict = decide(&question, view, &AwsLc, &mut Budget::default());
        matches!(verdict, Verdict::Reject(refusal)
            if matches!(refusal.reason(), Reason::CredentialRevoked { .. }))
    }
}

//! What the tenant of a trust domain publishes of it, by which its certificates are decided on, and which
//! of the SVIDs that are held are believed nowhere any more by that.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use super::holdings::{EntryKey, Holdings};
use crate::identities::X509Svid;

/// The bundle and the revocation lists of a trust domain, as its own tenant publishes them: what another
/// tenant says of it does not count.
pub(super) struct Published {
    tenant: TenantId,
    bundle: Bundle,
    /// As DER: they may be long, and are read where nobody waits.
    lists: Vec<Vec<u8>>,
}

impl Published {
    pub(super) fn of(holdings: &Holdings, domain: &TrustDomain) -> Option<Self> {
        let (tenant, held) = holdings.published(domain)?;
        Some(Self {
            tenant: tenant.clone(),
            bundle: held.whole.clone(),
            lists: held.revocation_lists.clone(),
        })
    }

    /// In which nothing else vouches for anyone.
    pub(super) fn view(self) -> View {
        let epoch = Digest::of(self.bundle.trust_domain.as_str().as_bytes());
        let anchor = Anchor {
            name: "SPIFFE bundle".to_owned(),
            kind: AnchorKind::TrustDomain(self.bundle),
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: self.tenant.clone(),
            source: None,
        };
        let lists = self.lists.iter();
        let lists = lists.filter_map(|der| Crl::parse(der).ok()).collect();
        View::new(self.tenant, vec![anchor], lists, Vec::new(), epoch)
    }
}

/// SVIDs that are held, and what is published of their trust domains.
pub(super) struct Looked {
    held: Vec<(EntryKey, Arc<X509Svid>)>,
    published: BTreeMap<TrustDomain, Published>,
}

impl Looked {
    pub(super) fn at(holdings: &Holdings, held: Vec<(EntryKey, Arc<X509Svid>)>) -> Self {
        let mut published = BTreeMap::new();
        for (_, svid) in &held {
            let domain = svid.spiffe_id.trust_domain();
            if !published.contains_key(domain)
                && let Some(found) = Published::of(holdings, domain)
                && !found.lists.is_empty()
            {
                published.insert(domain.clone(), found);
            }
        }
        Self { held, published }
    }

    /// Those that a list names, or names something above. It takes as long as there are SVIDs and entries
    /// of lists.
    pub(super) fn revoked(self, now: Time) -> Vec<EntryKey> {
        let views = self.published.into_iter();
        let views: BTreeMap<TrustDomain, View> = views
            .map(|(domain, published)| (domain, published.view()))
            .collect();
        let is_revoked = |svid: &X509Svid| {
            let view = views.get(svid.spiffe_id.trust_domain());
            view.is_some_and(|view| is_revoked(svid, view, now))
        };
        let held = self.held.into_iter();
        held.filter_map(|(key, svid)| is_revoked(&svid).then_some(key))
            .collect()
    }
}

fn is_revoked(svid: &X509Svid, view: &View, now: Time) -> bool {
    let chain = std::iter::once(&svid.certificate).chain(&svid.intermediates);
    // Hardly any number stands in a list, and only then it is worth its signatures to decide whose it is.
    let is_named = |der: &Vec<u8>| {
        let lists = view.crls();
        Certificate::parse(der)
            .is_ok_and(|certificate| lists.iter().any(|list| list.names(certificate.serial())))
    };
    if !chain.clone().any(is_named) {
        return false;
    }
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

//! Whose word counts for each trust domain that a workload may rely on.
//!
//! A workload of a shared node may have identities of several tenants, and each tenant says for
//! itself which trust domains it believes, and under which keys. Bundles are never mixed:
//!
//! 1. A trust domain is one tenant's in a deployment. Where the workload has an identity of that
//!    tenant, its own bundle counts, whatever the others say.
//! 2. Of a trust domain that is foreign to all of them, the first of them that names it says what it
//!    is, in the order of the identities: the tenant of the default identity before the others.
//!
//! So there is one bundle for each name, of one tenant, and a token is judged by that tenant's alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, StatusUse};
use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::view::View;

use super::holdings::{Entry, HeldBundle, Holdings};
use crate::identities::Tenants;

/// The bundles that a workload relies on, and whose each is.
pub(super) struct Relied<'a> {
    holdings: &'a Holdings,
    bundles: BTreeMap<&'a TrustDomain, (&'a TenantId, &'a HeldBundle)>,
}

impl<'a> Relied<'a> {
    /// What comes of entries, the default identity first.
    pub(super) fn by(holdings: &'a Holdings, entries: &[&'a Entry]) -> Self {
        let tenants: BTreeSet<&TenantId> = entries.iter().map(|entry| &entry.key.tenant).collect();
        let held = |tenant: &TenantId, name| holdings.of(tenant)?.bundles.get(name);
        let mut bundles = BTreeMap::new();
        for entry in entries {
            for name in domains_of(entry) {
                if bundles.contains_key(name) {
                    continue;
                }
                let own = tenants.iter().find_map(|tenant| {
                    let bundle = held(tenant, name).filter(|bundle| bundle.is_own)?;
                    Some((*tenant, bundle))
                });
                let said = || Some((&entry.key.tenant, held(&entry.key.tenant, name)?));
                if let Some(found) = own.or_else(said) {
                    bundles.insert(name, found);
                }
            }
        }
        Self { holdings, bundles }
    }

    /// Each trust domain and its bundle.
    pub(super) fn bundles(&self) -> impl Iterator<Item = (&'a TrustDomain, &'a HeldBundle)> {
        self.bundles
            .iter()
            .map(|(name, (_, bundle))| (*name, *bundle))
    }

    /// Whose word counts of each trust domain.
    pub(super) fn tenants(&self) -> Tenants {
        let bundles = self.bundles.iter();
        bundles
            .map(|(name, (tenant, _))| ((*name).clone(), (*tenant).clone()))
            .collect()
    }

    /// What a token is judged by that says it is of this trust domain: what the tenant whose word
    /// counts for it says. The first of them where none does, which refuses it.
    pub(super) fn view_for(&self, claimed: Option<&TrustDomain>) -> Option<View> {
        let tenant = match claimed.and_then(|name| self.bundles.get(name)) {
            Some((tenant, _)) => *tenant,
            None => self.bundles.values().next()?.0,
        };
        let of_tenant = self.bundles.iter().filter(|(_, (of, _))| *of == tenant);
        let (bundles, anchors): (Vec<Digest>, Vec<Anchor>) = of_tenant
            .map(|(_, (_, bundle))| (bundle.whole.digest(), anchor(tenant, bundle)))
            .unzip();
        let epoch = Digest::of_list(bundles.iter().map(|digest| digest.as_bytes().as_slice()));
        let view = View::new(tenant.clone(), anchors, Vec::new(), Vec::new(), epoch);
        let endings = &self.holdings.of(tenant)?.endings;
        Some(view.with_endings(Arc::clone(endings)))
    }
}

fn domains_of(entry: &Entry) -> impl Iterator<Item = &TrustDomain> {
    std::iter::once(entry.spiffe_id.trust_domain()).chain(&entry.federates_with)
}

fn anchor(tenant: &TenantId, bundle: &HeldBundle) -> Anchor {
    let kind = AnchorKind::TrustDomain(bundle.whole.clone());
    Anchor {
        // The server tells what has ended, and nothing is fetched here.
        constraints: Constraints {
            status_lists: StatusUse::Ignored,
            ..Constraints::default()
        },
        ..Anchor::bare("SPIFFE bundle", kind, tenant)
    }
}

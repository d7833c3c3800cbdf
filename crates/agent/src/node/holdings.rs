//! What the server says that the workloads of this node may hold.

use std::collections::{BTreeMap, BTreeSet};

use avouch_api::grpc::node::{self, Update};
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::identities::{Hint, JwtBundle};
use crate::nearest::NearMiss;
use crate::selector::Selector;

/// Entries and bundles of all tenants that the node serves.
#[derive(Default)]
pub(super) struct Holdings {
    tenants: BTreeMap<TenantId, Holding>,
    /// What takes the place of all that is held of a tenant once all of it has arrived: until then
    /// nobody loses an identity because it comes in a later part.
    arriving: BTreeMap<TenantId, Holding>,
}

/// What is held of one tenant.
#[derive(Default)]
pub(super) struct Holding {
    sequence: u64,
    entries: BTreeMap<String, Entry>,
    pub(super) bundles: BTreeMap<TrustDomain, HeldBundle>,
    distrusted: BTreeSet<String>,
}

/// A registration entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: EntryKey,
    pub(super) spiffe_id: SpiffeId,
    pub(super) federates_with: Vec<TrustDomain>,
    pub(super) hint: Option<Hint>,
    pub(super) created: i64,
    pub(super) revision: u64,
    /// None if one of them is of a kind that no attestor here tells: then it selects no one.
    selectors: Option<Vec<Selector>>,
}

/// The name of an entry among all tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    pub(super) tenant: TenantId,
    pub(super) id: String,
}

/// A bundle in the forms in which it is used.
#[derive(Clone, Debug)]
pub(super) struct HeldBundle {
    /// CA certificates as DER.
    pub(super) x509: Vec<Vec<u8>>,
    pub(super) jwt: JwtBundle,
    pub(super) wit: JwtBundle,
    pub(super) whole: Bundle,
    pub(super) revocation_lists: Vec<Vec<u8>>,
}

/// What an update comes to for those who hold something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// The tenant and the number of the change, if all of it has arrived.
    pub(super) whole: Option<(TenantId, u64)>,
}

impl Holdings {
    /// How far each tenant has been followed. Who asks begins anew: what had arrived in part is
    /// forgotten.
    pub(super) fn positions(&mut self) -> BTreeMap<String, u64> {
        self.arriving.clear();
        let tenants = self.tenants.iter();
        tenants
            .filter(|(_, holding)| holding.sequence > 0)
            .map(|(id, holding)| (id.to_string(), holding.sequence))
            .collect()
    }

    /// Takes in what a server said.
    pub(super) fn follow(&mut self, update: Update) -> Arrived {
        let Some(tenant) = TenantId::parse(&update.tenant) else {
            tracing::error!("the server names a tenant that cannot be");
            return Arrived::default();
        };
        if update.gone {
            self.tenants.remove(&tenant);
            self.arriving.remove(&tenant);
            return Arrived::default();
        }
        if update.anew {
            self.arriving.insert(tenant.clone(), Holding::default());
        }
        let holding = match self.arriving.get_mut(&tenant) {
            Some(arriving) => arriving,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
        for id in &update.removed {
            holding.entries.remove(id);
        }
        for told in update.entries {
            let id = told.id.clone();
            match Entry::read(&tenant, told) {
                Some(entry) => {
                    holding.entries.insert(id, entry);
                }
                None => tracing::error!(%tenant, entry = id, "an entry cannot be read"),
            }
        }
        if !update.bundles.is_empty() {
            holding.bundles = read_bundles(&update.bundles);
        }
        if let Some(distrust) = update.distrust {
            holding.distrusted = distrust.authorities.into_iter().collect();
        }
        if update.more {
            return Arrived::default();
        }
        holding.sequence = update.sequence;
        if let Some(arrived) = self.arriving.remove(&tenant) {
            self.tenants.insert(tenant.clone(), arrived);
        }
        Arrived {
            whole: Some((tenant, update.sequence)),
        }
    }

    /// The entries that select a workload with these facts, the oldest first: it is the default
    /// identity.
    pub(super) fn selecting(&self, held: &[Selector]) -> Vec<Entry> {
        let entries = self.tenants.values().flat_map(|one| one.entries.values());
        let mut selecting: Vec<Entry> = entries
            .filter(|entry| entry.selects(held))
            .cloned()
            .collect();
        selecting.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        selecting
    }

    /// The entries that do not select it, and what it lacks for each.
    pub(super) fn misses<'a>(
        &'a self,
        held: &'a [Selector],
    ) -> impl Iterator<Item = NearMiss> + 'a {
        let entries = self.tenants.values().flat_map(|one| one.entries.values());
        entries.filter_map(|entry| {
            let wanted = entry.selectors.as_deref()?;
            NearMiss::between(&entry.key.id, &entry.spiffe_id, wanted, held)
        })
    }

    pub(super) fn entry(&self, key: &EntryKey) -> Option<&Entry> {
        self.tenants.get(&key.tenant)?.entries.get(&key.id)
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Option<&Holding> {
        self.tenants.get(tenant)
    }

    /// Whether what an authority signed is to be replaced.
    pub(super) fn distrusts(&self, tenant: &TenantId, authority: &str) -> bool {
        let holding = self.tenants.get(tenant);
        holding.is_some_and(|holding| holding.distrusted.contains(authority))
    }
}

impl Entry {
    fn read(tenant: &TenantId, told: node::Entry) -> Option<Self> {
        let selectors = told.selectors.iter().map(|text| Selector::parse(text));
        let selectors = selectors.collect::<Result<Vec<_>, _>>();
        if let Err(error) = &selectors {
            tracing::warn!(%tenant, entry = told.id, %error, "an entry selects no one here");
        }
        let domains = told.federates_with.iter();
        Some(Self {
            key: EntryKey {
                tenant: tenant.clone(),
                id: told.id,
            },
            spiffe_id: SpiffeId::parse(&told.spiffe_id).ok()?,
            federates_with: domains
                .map(|name| TrustDomain::parse(name).ok())
                .collect::<Option<_>>()?,
            hint: Hint::parse(&told.hint),
            created: told.created,
            revision: told.revision,
            selectors: selectors.ok(),
        })
    }

    fn selects(&self, held: &[Selector]) -> bool {
        let wanted = self.selectors.as_deref().unwrap_or_default();
        !wanted.is_empty() && wanted.iter().all(|selector| held.contains(selector))
    }
}

fn read_bundles(bundles: &[node::Bundle]) -> BTreeMap<TrustDomain, HeldBundle> {
    let read = bundles.iter().filter_map(|bundle| {
        let name = TrustDomain::parse(&bundle.trust_domain).ok()?;
        let held = HeldBundle::read(bundle);
        if held.is_none() {
            tracing::error!(trust_domain = %name, "a bundle cannot be read");
        }
        Some((name, held?))
    });
    read.collect()
}

impl HeldBundle {
    fn read(told: &node::Bundle) -> Option<Self> {
        let document: Value = serde_json::from_str(&told.document).ok()?;
        let keys = document.get("keys")?.as_array()?.iter();
        let x509 = keys
            .filter(|key| key.get("use").and_then(Value::as_str) == Some("x509-svid"))
            .filter_map(|key| {
                let certificate = key.get("x5c")?.as_array()?.first()?.as_str()?;
                Base64::decode_vec(certificate).ok()
            });
        Some(Self {
            x509: x509.collect(),
            jwt: JwtBundle::from_spiffe_bundle(&told.document).ok()?,
            wit: JwtBundle::wit_from_spiffe_bundle(&told.document).ok()?,
            whole: Bundle::read(&told.trust_domain, &document).ok()?,
            revocation_lists: told.revocation_lists.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> node::Entry {
        node::Entry {
            id: id.to_owned(),
            spiffe_id: format!("spiffe://demo.avouch.test/{id}"),
            selectors: vec!["unix:uid:1000".to_owned()],
            ..node::Entry::default()
        }
    }

    fn update(entries: &[&str], sequence: u64) -> Update {
        Update {
            tenant: "demo".to_owned(),
            sequence,
            entries: entries.iter().map(|id| entry(id)).collect(),
            ..Update::default()
        }
    }

    fn selecting(holdings: &Holdings) -> Vec<String> {
        let held = [Selector::parse("unix:uid:1000").unwrap()];
        let selecting = holdings.selecting(&held).into_iter();
        selecting.map(|entry| entry.key.id).collect()
    }

    #[test]
    fn what_comes_in_parts_takes_its_place_as_a_whole() {
        let mut holdings = Holdings::default();
        holdings.follow(update(&["a", "b"], 1));
        let first = Update {
            anew: true,
            more: true,
            ..update(&["a"], 7)
        };
        assert_eq!(holdings.follow(first).whole, None);
        assert_eq!(selecting(&holdings), ["a", "b"]);
        let last = holdings.follow(update(&["c"], 7));
        assert_eq!(last.whole.map(|(_, sequence)| sequence), Some(7));
        assert_eq!(selecting(&holdings), ["a", "c"]);
    }

    #[test]
    fn a_connection_that_breaks_between_parts_leaves_what_was_held() {
        let mut holdings = Holdings::default();
        holdings.follow(update(&["a"], 3));
        let first = Update {
            anew: true,
            more: true,
            ..update(&[], 9)
        };
        holdings.follow(first);
        let positions = holdings.positions();
        assert_eq!(positions, BTreeMap::from([("demo".to_owned(), 3)]));
        holdings.follow(update(&["b"], 4));
        assert_eq!(selecting(&holdings), ["a", "b"]);
    }

    #[test]
    fn the_oldest_entry_is_the_default_and_one_of_an_unknown_fact_selects_no_one() {
        let mut holdings = Holdings::default();
        let mut newer = update(&["a", "b", "c"], 1);
        newer.entries[0].created = 20;
        newer.entries[1].created = 10;
        newer.entries[2].selectors = vec!["moon:phase:full".to_owned()];
        holdings.follow(newer);
        assert_eq!(selecting(&holdings), ["b", "a"]);
    }
}

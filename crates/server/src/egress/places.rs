//! Places among the uses that wait for an answer. They are not those of other requests: an API that
//! never answers holds nobody up but those who ask the same tenant's APIs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_store::EgressId;

/// How many uses may wait at once, each of which may hold an answer of 4 MiB.
const MOST: usize = 256;

/// How many of them may be of one tenant.
const MOST_OF_TENANT: usize = 64;

/// Of what a tenant leaves free it may have one of so many parts: of those whose APIs hang each takes
/// less than the one before, and it takes some twenty of them to leave nothing.
const PARTS: usize = 4;

/// Who waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_tenants: BTreeMap<TenantId, BTreeMap<EgressId, usize>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    tenant: TenantId,
    egress: EgressId,
}

impl Places {
    /// Takes a place. One API of a tenant has half of the tenant's at most: if it hangs, it leaves the
    /// others the rest.
    pub(super) fn take(&self, tenant: &TenantId, egress: &EgressId) -> Result<Place, Reason> {
        let mut taken = self.lock();
        let free = MOST.saturating_sub(taken.all);
        let apis = taken.of_tenants.get(tenant);
        let of_tenant: usize = apis.map_or(0, |apis| apis.values().sum());
        let of_api = apis.and_then(|apis| apis.get(egress)).copied();
        let most = MOST_OF_TENANT.min(free.div_ceil(PARTS));
        if of_tenant >= most || of_api.unwrap_or_default() >= most.div_ceil(2) {
            return Err(Reason::IssueEgressBusy {
                egress: egress.to_string(),
                waiting: u32::try_from(of_tenant).unwrap_or(u32::MAX),
            });
        }
        taken.all += 1;
        let apis = taken.of_tenants.entry(tenant.clone()).or_default();
        *apis.entry(egress.clone()).or_default() += 1;
        Ok(Place {
            places: self.clone(),
            tenant: tenant.clone(),
            egress: egress.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        let Some(apis) = taken.of_tenants.get_mut(&self.tenant) else {
            return;
        };
        if let Some(count) = apis.get_mut(&self.egress) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                apis.remove(&self.egress);
            }
        }
        if apis.is_empty() {
            taken.of_tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn api(name: &str) -> EgressId {
        EgressId::parse(name).unwrap()
    }

    fn all_of(places: &Places, whose: &str, apis: &[&str]) -> Vec<Place> {
        let mut held = Vec::new();
        for name in apis {
            while let Ok(place) = places.take(&tenant(whose), &api(name)) {
                held.push(place);
            }
        }
        held
    }

    #[test]
    fn an_api_that_hangs_leaves_its_tenant_the_other_half() {
        let places = Places::default();
        let held = all_of(&places, "one", &["hangs"]);
        assert!((20..=32).contains(&held.len()), "{}", held.len());
        let others = all_of(&places, "one", &["other"]);
        assert!(others.len() > 15, "{}", others.len());
        drop(held);
        assert!(places.take(&tenant("one"), &api("hangs")).is_ok());
    }

    #[test]
    fn many_who_take_all_they_can_leave_room_for_one_more() {
        let places = Places::default();
        let mut held = Vec::new();
        for number in 0..16 {
            let of_one = all_of(&places, &format!("t{number}"), &["a", "b", "c"]);
            assert!(!of_one.is_empty(), "{number} found no place");
            assert!(of_one.len() <= MOST_OF_TENANT);
            held.extend(of_one);
        }
        assert!(held.len() < MOST);
        held.clear();
        let taken = places.lock();
        assert_eq!((taken.all, taken.of_tenants.len()), (0, 0));
    }
}

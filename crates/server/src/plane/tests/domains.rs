//! Trust domains that are added to a tenant.

use std::sync::Arc;
use std::thread;

use avouch_core::anchor::AnchorKind;
use avouch_core::id::TrustDomain;
use avouch_store::QuotaRecord;
use avouch_store::sqlite::SqliteStore;
use serde_json::json;
use tempfile::TempDir;

use super::{add, id, server};
use crate::plane::Plane;
use crate::tenant::Tenant;

fn one(folder: &TempDir) -> (Arc<Plane>, Arc<Tenant>) {
    let store = SqliteStore::open(folder.path()).unwrap();
    let plane = server(Arc::new(store), folder.path());
    add(&plane, "one");
    let tenant = plane.tenant(&id("one")).unwrap().unwrap();
    (plane, tenant)
}

#[test]
fn what_a_tenant_said_of_a_trust_domain_counts_no_more_once_that_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, tenant) = one(&folder);
    add(&plane, "two");
    let two = plane.tenant(&id("two")).unwrap().unwrap();
    let foreign = plane.bundle(&two, &TrustDomain::parse("two.test").unwrap());
    let anchor = json!({"trust_domain": "later.test", "bundle": foreign.unwrap()});
    plane.put_anchor(&tenant, "before", &anchor).unwrap();
    // The digests of the keys that vouch for it in decisions of the tenant.
    let keys = || {
        let documents = plane.trust_of(&tenant).unwrap();
        let entries = documents.iter().flat_map(|document| document.entries());
        let bundles = entries.filter_map(|entry| match &entry.anchor.kind {
            AnchorKind::TrustDomain(bundle) if bundle.trust_domain.as_str() == "later.test" => {
                Some(bundle)
            }
            _ => None,
        });
        let roots = bundles.flat_map(|bundle| &bundle.x509_authorities);
        roots.map(|root| root.sha256()).collect::<Vec<_>>()
    };
    let said = keys();
    assert_eq!(said.len(), 1);
    let name = TrustDomain::parse("later.test").unwrap();
    plane.add_trust_domain(&tenant, &name).unwrap();
    let own = keys();
    assert_eq!(own.len(), 1);
    assert_ne!(own, said);
}

#[test]
fn of_many_who_add_trust_domains_at_once_none_goes_beyond_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, tenant) = one(&folder);
    let quota = QuotaRecord {
        trust_domains: Some(2),
        ..QuotaRecord::default()
    };
    plane.put_quota(&tenant, quota).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let (plane, tenant) = (&plane, &tenant);
            let name = TrustDomain::parse(&format!("n{number}.test")).unwrap();
            scope.spawn(move || drop(plane.add_trust_domain(tenant, &name)));
        }
    });
    let count = tenant.read(|snapshot| snapshot.trust_domains.len());
    assert_eq!(count, 2);
}

//! What a tenant and all below it may have together, where several of those add to it at once.

use std::sync::Barrier;
use std::thread;

use avouch_store::QuotaRecord;

use super::*;
use crate::entries::{EntryDraft, Existing};
use crate::quotas::Bounded;

const MOST: u32 = 40;

const TENANTS: [&str; 4] = ["one", "two", "three", "four"];

fn drafts(tenant: &str, count: usize) -> Vec<EntryDraft> {
    let draft = EntryDraft {
        spiffe_id: format!("spiffe://{tenant}.test/x"),
        selectors: vec!["unix:uid:7".to_owned()],
        ..EntryDraft::default()
    };
    vec![draft; count]
}

#[test]
fn siblings_that_write_at_once_on_two_servers_have_no_more_than_the_tenant_above_may() {
    let folder = tempfile::tempdir().unwrap();
    bounds_hold(&folder, || {
        Arc::new(SqliteStore::open(folder.path()).unwrap())
    });
}

#[test]
fn siblings_that_write_at_once_on_one_postgresql_have_no_more_than_the_tenant_above_may() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => return println!("skipped: quotas on one PostgreSQL: {why}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    bounds_hold(&folder, || {
        Arc::new(PostgresqlStore::connect(&address).unwrap())
    });
}

fn bounds_hold(folder: &TempDir, connect: impl Fn() -> Arc<dyn Store>) {
    let here = server(connect(), folder.path());
    for name in TENANTS {
        add(&here, name);
    }
    let top = here.root().unwrap();
    let domains = u32::try_from(TENANTS.len()).unwrap() + 1 + 3;
    let quota = QuotaRecord {
        entries: Some(MOST),
        trust_domains: Some(domains),
        ..QuotaRecord::default()
    };
    here.put_quota(&top, quota).unwrap();
    // One that knows of no tenant but by name, and one that has opened all of them.
    let there = server(connect(), folder.path());
    for name in TENANTS {
        here.tenant(&id(name)).unwrap().unwrap();
    }
    let begin = Barrier::new(2 * TENANTS.len());
    thread::scope(|scope| {
        for (number, plane) in [&here, &there].into_iter().enumerate() {
            for name in TENANTS {
                let begin = &begin;
                scope.spawn(move || {
                    let tenant = plane.tenant(&id(name)).unwrap().unwrap();
                    let domain = format!("{name}-{number}.test");
                    let domain = TrustDomain::parse(&domain).unwrap();
                    begin.wait();
                    for _ in 0..4 {
                        // Whoever meets the same tenant too often is told so, and has stored nothing.
                        drop(plane.store_entries(&tenant, drafts(name, 3), Existing::Refuse));
                    }
                    drop(plane.add_trust_domain(&tenant, &domain));
                });
            }
        }
    });
    let stored = |count: &dyn Fn(avouch_store::Snapshot) -> usize| -> usize {
        let store = connect();
        let all = TENANTS.into_iter().chain(["top"]);
        all.map(|name| count(store.load(&id(name)).unwrap())).sum()
    };
    let entries = || stored(&|snapshot| snapshot.entries.len());
    let most = usize::try_from(MOST).unwrap();
    assert!(entries() <= most, "{}", entries());
    let all = stored(&|snapshot| snapshot.trust_domains.len());
    assert!(all <= usize::try_from(domains).unwrap(), "{all}");
    // What is left can be had, on a server that has not heard of what the other has stored, and each element
    // is told for itself.
    let one = here.tenant(&id("one")).unwrap().unwrap();
    let answers = here.store_entries(&one, drafts("one", most), Existing::Refuse);
    let refused = answers.unwrap().into_iter().filter(Result::is_err).count();
    assert!(refused > 0);
    assert_eq!(entries(), most);
    assert!(here.check_room(&one, Bounded::Entries).is_err());
}

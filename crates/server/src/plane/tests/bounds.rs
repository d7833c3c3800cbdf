//! What a tenant and all below it may have together, where several of those add to it at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// What was stored; or it was refused because of a bound, or of others who were faster.
fn within<T>(outcome: Result<T, Refused>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(Refused::Reason(reason)) => {
            let code = reason.code();
            let is_in_order = ["issue.quota_exceeded", "issue.conflict"].contains(&code);
            assert!(is_in_order, "{}", reason.sentence());
            None
        }
        Err(Refused::Fault(fault)) => panic!("{fault}"),
    }
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
    let had = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (number, plane) in [&here, &there].into_iter().enumerate() {
            for name in TENANTS {
                let (begin, had) = (&begin, &had);
                scope.spawn(move || {
                    let tenant = plane.tenant(&id(name)).unwrap().unwrap();
                    let domain = format!("{name}-{number}.test");
                    let domain = TrustDomain::parse(&domain).unwrap();
                    begin.wait();
                    for _ in 0..4 {
                        // Whoever meets the same tenant too often is told so, and has stored nothing.
                        let all = plane.store_entries(&tenant, drafts(name, 3), Existing::Refuse);
                        let (stored, refused): (Vec<_>, Vec<_>) =
                            within(all).into_iter().flatten().partition(Result::is_ok);
                        refused.into_iter().for_each(|one| {
                            within(one.map_err(Refused::from));
                        });
                        had.fetch_add(stored.len(), Ordering::SeqCst);
                    }
                    within(plane.add_trust_domain(&tenant, &domain));
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
    let had = had.into_inner();
    assert!(had > 0 && entries() == had, "{had} were told to be stored");
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

#[test]
fn nodes_that_join_at_once_on_two_servers_are_no_more_than_the_tenant_above_may_have() {
    const NODES: u32 = 5;
    let folder = tempfile::tempdir().unwrap();
    let connect = || Arc::new(SqliteStore::open(folder.path()).unwrap());
    let here = server(connect(), folder.path());
    TENANTS.into_iter().for_each(|name| add(&here, name));
    let quota = QuotaRecord {
        nodes: Some(NODES),
        ..QuotaRecord::default()
    };
    here.put_quota(&here.root().unwrap(), quota).unwrap();
    let there = server(connect(), folder.path());
    let begin = Barrier::new(2 * TENANTS.len());
    let had = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (number, plane) in [&here, &there].into_iter().enumerate() {
            for name in TENANTS {
                let (begin, had) = (&begin, &had);
                scope.spawn(move || {
                    let tenant = plane.tenant(&id(name)).unwrap().unwrap();
                    let node = format!("n{number}");
                    let token = plane.new_join_token(&tenant, &node, 600).unwrap().token;
                    let request = avouch_testkit::key::Key::p256(&node).signing_request();
                    begin.wait();
                    if within(plane.join(&token, &request)).is_some() {
                        had.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        }
    });
    let store = connect();
    let nodes = TENANTS.map(|name| store.load(&id(name)).unwrap().nodes.len());
    let nodes: usize = nodes.into_iter().sum();
    assert_eq!(nodes, had.into_inner());
    assert_eq!(nodes, usize::try_from(NODES).unwrap());
}

//! Successors that wait for nodes, here and elsewhere, and numbers that are never given twice.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier};

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::keyring::RootKey;
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{
    AnchorId, AnchorRecord, AuthorityId, AuthorityKind, AuthorityState, Change, Object, Sequence,
    Store,
};
use avouch_testkit::key::Key;
use avouch_testkit::postgresql::Cluster;
use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Settings;
use crate::clock::Clock;
use crate::egress::{self, Given};
use crate::fault::Refused;
use crate::plane::{Founding, Plane};
use crate::readers::Published;
use crate::sharing::SILENCE;
use crate::tenant::Tenant;

const DAY: i64 = 86_400;

/// The stream on which a node follows.
const STREAM: u64 = 1;

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}

impl Hand {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn server(store: Arc<dyn Store>, folder: &Path, clock: &Arc<Hand>) -> Arc<Plane> {
    let folder = folder.to_owned();
    let founding = Founding {
        tenant: acme(),
        trust_domain: TrustDomain::parse("acme.test").unwrap(),
    };
    let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&folder, tenants)?);
    let clock: Arc<dyn Clock> = Arc::<Hand>::clone(clock);
    Plane::open(store, key, &founding, Settings::default(), clock).unwrap()
}

fn on_sqlite(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder.path()).unwrap())
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn node() -> SpiffeId {
    SpiffeId::parse("spiffe://acme.test/avouch/node/rack-1").unwrap()
}

fn anchor(plane: &Plane, name: &str) -> Sequence {
    let tenant = plane.tenant(&acme()).unwrap().unwrap();
    let put = Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(name).unwrap(),
        document: "{}".to_owned(),
    }));
    plane.apply(&tenant, &[put]).unwrap()
}

/// The authority that signs JWT-SVIDs.
fn signing(tenant: &Tenant) -> AuthorityId {
    let all = tenant.read(|snapshot| snapshot.authorities.clone());
    let signs = |state| state == AuthorityState::Active;
    let mut signing = all
        .into_values()
        .filter(|one| one.kind == AuthorityKind::Jwt && signs(one.state));
    let one = signing.next().unwrap();
    assert!(signing.next().is_none(), "two sign");
    one.id
}

/// The node at this server holds all that there is of the tenant.
fn node_is_up_to_date(plane: &Plane) {
    plane.follow_store().unwrap();
    let tenant = plane.tenant(&acme()).unwrap().unwrap();
    let sequence = tenant.read(|snapshot| snapshot.sequence).number();
    let presences = &plane.presences;
    presences.note(&node(), STREAM, &acme(), |progress| {
        progress.seen = sequence;
        progress.sent = sequence;
        progress.arrived = sequence;
    });
}

/// Something was sent to the node at this server, which it has not said to have.
fn node_is_sent_something(plane: &Plane) {
    let tenant = plane.tenant(&acme()).unwrap().unwrap();
    let sequence = tenant.read(|snapshot| snapshot.sequence).number();
    plane.presences.note(&node(), STREAM, &acme(), |progress| {
        progress.seen = sequence;
        progress.sent = sequence;
    });
}

#[test]
fn a_successor_signs_when_every_node_that_follows_knows_it_or_has_gone() {
    for leaves in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Hand::new();
        let plane = server(on_sqlite(&folder), folder.path(), &clock);
        let tenant = plane.tenant(&acme()).unwrap().unwrap();
        let first = signing(&tenant);
        plane.presences.enter(&node(), STREAM);
        node_is_up_to_date(&plane);

        clock.pass(16 * DAY);
        plane.tend_all().unwrap();
        node_is_sent_something(&plane);
        clock.pass(10 * DAY);
        for _ in 0..3 {
            plane.tend_all().unwrap();
            assert_eq!(
                signing(&tenant),
                first,
                "the node does not know another yet"
            );
        }
        if leaves {
            plane.presences.leave(&node(), STREAM);
        } else {
            node_is_up_to_date(&plane);
        }
        plane.tend_all().unwrap();
        assert_ne!(signing(&tenant), first, "nothing to wait for any more");
    }
}

#[test]
fn a_successor_waits_for_readers_that_come_back_and_no_longer_than_they_may_take() {
    for stays_away in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Hand::new();
        let plane = server(on_sqlite(&folder), folder.path(), &clock);
        let tenant = plane.tenant(&acme()).unwrap().unwrap();
        let first = signing(&tenant);
        let reads = || {
            let holds = tenant.held().bundle_sequence;
            let reader = Ipv4Addr::LOCALHOST.into();
            tenant
                .readers
                .note(Published::Keys, reader, holds, plane.now());
        };
        clock.pass(26 * DAY);
        reads();
        reads();
        for _ in 0..3 {
            plane.tend_all().unwrap();
            assert_eq!(signing(&tenant), first, "the reader does not know another");
        }
        if stays_away {
            clock.pass(600);
            plane.tend_all().unwrap();
            assert_eq!(signing(&tenant), first, "it may still come");
            clock.pass(1);
        } else {
            reads();
        }
        plane.tend_all().unwrap();
        assert_ne!(signing(&tenant), first, "nobody to wait for any more");
    }
}

#[test]
fn a_successor_waits_for_nodes_at_another_server_on_sqlite() {
    for falls_silent in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        waits_for_nodes_elsewhere(&folder, falls_silent, || on_sqlite(&folder));
    }
}

#[test]
fn a_successor_waits_for_nodes_at_another_server_on_postgresql() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: servers that share a PostgreSQL: {why}");
            return;
        }
    };
    for falls_silent in [false, true] {
        let address = cluster.new_database();
        let folder = tempfile::tempdir().unwrap();
        let connect =
            || -> Arc<dyn Store> { Arc::new(PostgresqlStore::connect(&address).unwrap()) };
        waits_for_nodes_elsewhere(&folder, falls_silent, connect);
    }
}

/// Of two servers on one store, one has a node that the other must wait for.
fn waits_for_nodes_elsewhere(
    folder: &TempDir,
    falls_silent: bool,
    open: impl Fn() -> Arc<dyn Store>,
) {
    let clock = Hand::new();
    let here = server(open(), folder.path(), &clock);
    let elsewhere = server(open(), folder.path(), &clock);
    let tenant = here.tenant(&acme()).unwrap().unwrap();
    let first = signing(&tenant);
    let report = || {
        elsewhere.follow_store().unwrap();
        here.follow_store().unwrap();
        elsewhere.report_followers().unwrap();
        here.report_followers().unwrap();
    };
    elsewhere.presences.enter(&node(), STREAM);
    node_is_up_to_date(&elsewhere);
    report();

    clock.pass(16 * DAY);
    here.tend_all().unwrap();
    report();
    node_is_sent_something(&elsewhere);
    clock.pass(10 * DAY);
    report();
    for _ in 0..3 {
        here.tend_all().unwrap();
        elsewhere.tend_all().unwrap();
        assert_eq!(
            signing(&tenant),
            first,
            "a node elsewhere does not know another"
        );
    }
    if falls_silent {
        clock.pass(SILENCE + 1);
    } else {
        node_is_up_to_date(&elsewhere);
        report();
    }
    here.tend_all().unwrap();
    assert_ne!(signing(&tenant), first, "nothing to wait for any more");
}

#[test]
fn it_is_told_what_the_nodes_of_all_servers_hold() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::new();
    let here = server(on_sqlite(&folder), folder.path(), &clock);
    let elsewhere = server(on_sqlite(&folder), folder.path(), &clock);
    elsewhere.presences.enter(&node(), STREAM);
    node_is_up_to_date(&elsewhere);
    elsewhere.report_followers().unwrap();
    here.report_followers().unwrap();
    here.follow_store().unwrap();
    let tenant = here.tenant(&acme()).unwrap().unwrap();
    let known = tenant.read(|snapshot| snapshot.sequence);
    let audience = here.audience(&tenant);
    let holding = audience.holding(Some(known));
    assert_eq!((audience.count(), holding.holding), (1, 1));
    assert!(holding.not_held_by.is_empty());

    let new = anchor(&here, "new");
    node_is_sent_something(&elsewhere);
    elsewhere.report_followers().unwrap();
    let audience = here.audience(&tenant);
    let holding = audience.holding(Some(new));
    assert_eq!((audience.count(), holding.holding), (1, 0));
    assert_eq!(holding.not_held_by, [&node()]);
    // Whoever is not heard of is waited for no longer, nor counted.
    clock.pass(SILENCE + 1);
    assert_eq!(here.audience(&tenant).count(), 0);
}

#[test]
fn of_all_who_bring_a_token_to_two_servers_one_joins_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    one_joins(&folder, || on_sqlite(&folder));
}

#[test]
fn of_all_who_bring_a_token_to_two_servers_one_joins_on_postgresql() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: two servers on one PostgreSQL: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    one_joins(&folder, || {
        Arc::new(PostgresqlStore::connect(&address).unwrap())
    });
}

/// Of many nodes that bring one token to two servers at once, each with a key of its own, one joins;
/// and both servers know which.
fn one_joins(folder: &TempDir, store: impl Fn() -> Arc<dyn Store>) {
    let clock = Hand::new();
    let first = server(store(), folder.path(), &clock);
    let servers = [first, server(store(), folder.path(), &clock)];
    let tenant = servers[0].tenant(&acme()).unwrap().unwrap();
    for round in 0..5 {
        let name = format!("rack-{round}");
        let token = servers[0]
            .new_join_token(&tenant, &name, 600)
            .unwrap()
            .token;
        servers[1].follow_store().unwrap();
        let begin = Barrier::new(8);
        let joined = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|number| {
                    let (server, token, begin) = (&servers[number % 2], &token, &begin);
                    let request = Key::p256(&format!("{round}-{number}")).signing_request();
                    scope.spawn(move || {
                        begin.wait();
                        server.join(token, &request)
                    })
                })
                .collect();
            let told = tries.into_iter().map(|one| one.join().unwrap());
            let joined = told.filter(|told| match told {
                Ok(_) => true,
                Err(Refused::Reason(reason)) => {
                    assert_eq!(reason.code(), "issue.join_token_used");
                    false
                }
                Err(fault) => panic!("{fault}"),
            });
            joined.count()
        });
        assert_eq!(joined, 1);
    }
    for server in servers {
        server.follow_store().unwrap();
        let tenant = server.tenant(&acme()).unwrap().unwrap();
        assert_eq!(tenant.read(|snapshot| snapshot.nodes.len()), 5);
    }
}

#[test]
fn keys_of_an_api_that_change_on_two_servers_are_not_lost_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    no_key_is_lost(&folder, || on_sqlite(&folder));
}

#[test]
fn keys_of_an_api_that_change_on_two_servers_are_not_lost_on_postgresql() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: keys of an API on one PostgreSQL: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    no_key_is_lost(&folder, || {
        Arc::new(PostgresqlStore::connect(&address).unwrap())
    });
}

/// Does something on two servers eight times at once, and counts how often it was done.
fn at_once(
    servers: &[Arc<Plane>; 2],
    refused: &str,
    work: impl Fn(&Plane, usize) -> Result<(), Refused> + Sync,
) -> usize {
    let begin = Barrier::new(8);
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|number| {
                let (server, begin, work) = (&servers[number % 2], &begin, &work);
                scope.spawn(move || {
                    begin.wait();
                    work(server, number)
                })
            })
            .collect();
        let told = tries.into_iter().map(|one| one.join().unwrap());
        let done = told.filter(|told| match told {
            Ok(()) => true,
            Err(Refused::Reason(reason)) => {
                assert_eq!(reason.code(), refused, "{}", reason.sentence());
                false
            }
            Err(fault) => panic!("{fault}"),
        });
        done.count()
    })
}

/// Of many who give an API the key that comes next, one does; of many who promote it, one does; and
/// rules that change meanwhile take no key with them.
fn no_key_is_lost(folder: &TempDir, store: impl Fn() -> Arc<dyn Store>) {
    let clock = Hand::new();
    let first = server(store(), folder.path(), &clock);
    let servers = [first, server(store(), folder.path(), &clock)];
    let of = |server: &Plane| server.tenant(&acme()).unwrap().unwrap();
    let key = |name: &str| Zeroizing::new(format!("rk_test_{name}"));
    let document = |most: usize| {
        json!({"url": "https://api.test", "rules": [{
            "ids": ["spiffe://acme.test/a"], "methods": ["GET"], "paths": ["/"], "per_minute": most,
        }]})
    };
    let put = |server: &Plane, most: usize, key| {
        let given = Given {
            key,
            ..Given::default()
        };
        server
            .put_egress(&of(server), "api", &document(most), given)
            .map(drop)
    };
    put(&servers[0], 1, Some(key("first"))).unwrap();
    servers[1].follow_store().unwrap();
    let keys = |server: &Plane| {
        server.follow_store().unwrap();
        let tenant = of(server);
        let record = egress::find(&tenant, "api").unwrap();
        server.keys_of_egress(&tenant, &record).unwrap()
    };
    for round in 0..3 {
        let before = keys(&servers[0]);
        let rotated = at_once(&servers, "issue.egress_key_waits", |server, number| {
            // Two change what stands beside the keys.
            if number < 2 {
                return put(server, round * 10 + number + 1, None);
            }
            let next = key(&format!("{round}_{number}"));
            server
                .rotate_egress(&of(server), "api", next, false)
                .map(drop)
        });
        assert_eq!(rotated, 2 + 1, "two puts and one rotation");
        let both = keys(&servers[0]);
        assert_eq!((both.len(), &both[..1]), (2, &before[..]));
        assert_eq!(keys(&servers[1]), both);
        let promoted = at_once(&servers, "issue.conflict", |server, _| {
            server.promote_egress(&of(server), "api").map(drop)
        });
        assert_eq!(promoted, 1);
        assert_eq!(keys(&servers[0]), both[1..]);
        assert_eq!(keys(&servers[1]), both[1..]);
    }
}

#[test]
fn what_a_node_holds_is_still_known_after_a_restart_and_nothing_is_told_twice() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::new();
    let held = anchor(&server(on_sqlite(&folder), folder.path(), &clock), "a");
    clock.pass(1);
    let plane = server(on_sqlite(&folder), folder.path(), &clock);
    let tenant = plane.tenant(&acme()).unwrap().unwrap();
    let changed = |after| tenant.held().changed_after(after).map(Iterator::count);
    assert_eq!(changed(held), Some(0));
    let next = anchor(&plane, "b");
    assert!(next > held);
    assert_eq!(changed(held), Some(1));
    assert_eq!(changed(next), Some(0));
    // A number that was never given says nothing of what its holder holds.
    assert_eq!(changed(Sequence::of(held.number() + 1)), None);
    assert_eq!(changed(Sequence::of(held.number() - 1)), None);
    assert_eq!(changed(Sequence::of(next.number() + 1)), None);
}

#[test]
fn a_number_of_a_time_that_is_gone_is_never_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::new();
    drop(server(on_sqlite(&folder), folder.path(), &clock));
    let backup = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), backup.path().join(file.file_name())).unwrap();
    }
    let plane = server(on_sqlite(&folder), folder.path(), &clock);
    let gone: Vec<Sequence> = (0..5).map(|n| anchor(&plane, &format!("a{n}"))).collect();
    drop(plane);

    clock.pass(1);
    let plane = server(on_sqlite(&backup), backup.path(), &clock);
    let tenant = plane.tenant(&acme()).unwrap().unwrap();
    for n in 0..10 {
        let given = anchor(&plane, &format!("b{n}"));
        assert!(!gone.contains(&given));
        for number in &gone {
            let changed = tenant.held().changed_after(*number).map(Iterator::count);
            assert_eq!(
                changed, None,
                "whoever holds {number} is told everything anew"
            );
        }
    }
}

/// Whoever works out what is due reads before it writes; what was tainted meanwhile must stay so.
#[test]
fn what_was_tainted_is_not_brought_back_by_what_is_due_at_the_same_moment() {
    for is_one_server in [true, false] {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let clock = Hand::new();
            let here = server(on_sqlite(&folder), folder.path(), &clock);
            let elsewhere = match is_one_server {
                true => Arc::clone(&here),
                false => server(on_sqlite(&folder), folder.path(), &clock),
            };
            let lost = signing(&here.tenant(&acme()).unwrap().unwrap());
            clock.pass(16 * DAY);
            here.tend_all().unwrap();
            clock.pass(10 * DAY);
            let both = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    // Its successor signs from now on, and it is retired.
                    here.tend_all().unwrap();
                });
                scope.spawn(|| {
                    let tenant = elsewhere.tenant(&acme()).unwrap().unwrap();
                    both.wait();
                    elsewhere.taint(&tenant, lost.as_str(), false).unwrap();
                });
            });
            for plane in [&here, &elsewhere] {
                plane.follow_store().unwrap();
                plane.tend_all().unwrap();
                let tenant = plane.tenant(&acme()).unwrap().unwrap();
                let state = tenant.read(|snapshot| snapshot.authorities[&lost].state);
                assert_eq!(state, AuthorityState::Tainted);
                assert_ne!(signing(&tenant), lost);
            }
        }
    }
}

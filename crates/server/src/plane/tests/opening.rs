//! Tenants are read when they are needed first, and then follow as if they had been there.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};
use avouch_issuer::x509_svid::X509Request;
use avouch_store::{AuthorityState, FederationRecord, Operator, Snapshot};

use super::*;
use crate::plane::Readings;
use crate::plane::known::Seen;

const OPERATOR: Operator = Operator::of_this_deployment();

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// A store with these tenants below the root.
fn with_tenants(folder: &TempDir, names: &[&str]) -> impl Fn() -> Arc<dyn Store> {
    let path = folder.path().to_owned();
    let connect = move || -> Arc<dyn Store> { Arc::new(SqliteStore::open(&path).unwrap()) };
    let plane = server(connect(), folder.path());
    for name in names {
        add(&plane, name);
    }
    connect
}

fn open_ones(plane: &Plane) -> Vec<String> {
    let open = plane.open_tenants();
    open.iter().map(|tenant| tenant.id().to_string()).collect()
}

fn held(plane: &Plane, name: &str) -> Snapshot {
    let tenant = plane.opened(&id(name)).unwrap();
    tenant.read(Clone::clone)
}

#[test]
fn what_nobody_asks_for_is_not_read_and_is_told_of_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one", "two", "three"]);
    let plane = server(connect(), folder.path());
    assert_eq!(open_ones(&plane), ["top"]);
    assert_eq!(plane.count_tenants(), 4);
    let listed = plane.listed(usize::MAX);
    let named = listed
        .iter()
        .map(|one| (one.id.as_str(), one.trust_domains.len()));
    let expected = [("one", 1), ("three", 1), ("top", 1), ("two", 1)];
    assert_eq!(named.collect::<Vec<_>>(), expected);
    assert_eq!(plane.count_entries(&id("one")).unwrap(), 0);
    plane.tend_all().unwrap();
    plane.follow_store().unwrap();
    assert_eq!(open_ones(&plane), ["top"]);

    // By its name, or by the trust domain that it has: one, and what is above it.
    let domain = TrustDomain::parse("two.test").unwrap();
    let two = plane.owner_of(&domain).unwrap().unwrap();
    assert_eq!(two.id(), &id("two"));
    assert_eq!(open_ones(&plane), ["top", "two"]);
    plane.bundle(&two, &domain).unwrap();
    assert!(plane.tenant(&id("nobody")).unwrap().is_none());
}

#[test]
fn whoever_needs_a_tenant_at_the_same_time_gets_the_same_one() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let plane = server(connect(), folder.path());
    let all = Barrier::new(8);
    let opened: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    all.wait();
                    plane.tenant(&id("one")).unwrap().unwrap()
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|one| Arc::ptr_eq(one, &opened[0])));
}

#[test]
fn a_tenant_that_is_opened_while_another_server_changes_it_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    misses_nothing(&folder, connect);
}

#[test]
fn a_tenant_that_is_opened_while_another_server_changes_it_misses_nothing_on_postgresql() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: a tenant opened on one PostgreSQL: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    let connect = || -> Arc<dyn Store> { Arc::new(PostgresqlStore::connect(&address).unwrap()) };
    add(&server(connect(), folder.path()), "one");
    misses_nothing(&folder, connect);
}

/// What happens while a tenant is opened.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Changed,
    /// The server that opens it is told of the change, once.
    Told,
    Read,
    TakenUp,
}

/// Every order in which a change is told after it was made, and what was read is taken up after that.
fn misses_nothing(folder: &TempDir, connect: impl Fn() -> Arc<dyn Store>) {
    use Happens::{Changed, Read, TakenUp, Told};
    let elsewhere = server(connect(), folder.path());
    let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
    for order in [
        [Changed, Told, Read, TakenUp],
        [Changed, Read, Told, TakenUp],
        [Changed, Read, TakenUp, Told],
        [Read, Changed, Told, TakenUp],
        [Read, Changed, TakenUp, Told],
        [Read, TakenUp, Changed, Told],
    ] {
        for change in [anchor("a"), Change::Remove(anchor("a").key())] {
            let here = server(connect(), folder.path());
            elsewhere.follow_store().unwrap();
            here.follow_store().unwrap();
            let known = here.known(&id("one")).unwrap();
            let anew = here.tenants().anew;
            let (mut head, mut read) = (None, None);
            for happens in order {
                match happens {
                    Changed => {
                        let changed = elsewhere.apply(&there, std::slice::from_ref(&change));
                        head = Some(changed.unwrap());
                    }
                    Told => here
                        .follow_heads([(id("one"), head.unwrap())].into())
                        .unwrap(),
                    Read => read = here.read(&known).unwrap(),
                    TakenUp => assert!(here.take_up(&known, read.as_ref().unwrap(), anew)),
                }
            }
            // And no other look comes after.
            let stored = connect().load(&id("one")).unwrap();
            assert_eq!(held(&here, "one"), stored, "{order:?}, {change:?}");
        }
    }
}

#[test]
fn what_was_seen_to_change_after_a_tenant_was_read_is_there_once_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let here = server(connect(), folder.path());
    let elsewhere = server(connect(), folder.path());
    let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
    let known = here.known(&id("one")).unwrap();
    let anew = here.tenants().anew;
    let read = here.read(&known).unwrap().unwrap();
    elsewhere.apply(&there, &[anchor("a")]).unwrap();
    // Whoever follows is told of this once, and it is not open yet.
    here.follow_store().unwrap();
    assert!(here.take_up(&known, &read, anew));
    assert_eq!(held(&here, "one"), connect().load(&id("one")).unwrap());
    assert!(has_anchor(&here, "one", "a"));
}

#[test]
fn a_tenant_that_is_removed_while_it_is_opened_is_gone_and_leaves_its_name_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    for round in 0..8 {
        let here = server(connect(), folder.path());
        let elsewhere = server(connect(), folder.path());
        let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
        elsewhere.apply(&there, &[anchor("of-the-former")]).unwrap();
        let at = there.read(|snapshot| snapshot.sequence);
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                let store = connect();
                store.remove_tenants(&OPERATOR, &[(id("one"), at)]).unwrap();
                elsewhere.follow_store().unwrap();
                add(&elsewhere, "one");
            });
            scope.spawn(|| {
                both.wait();
                // Whichever of the two it is.
                drop(here.tenant(&id("one")).unwrap());
            });
        });
        here.follow_store().unwrap();
        let one = here.tenant(&id("one")).unwrap().unwrap();
        assert!(here.holds(&one), "round {round}");
        assert!(!has_anchor(&here, "one", "of-the-former"), "round {round}");
        let domain = TrustDomain::parse("one.test").unwrap();
        // Its keys are those of the new one.
        here.jwks(&one).unwrap();
        here.bundle(&one, &domain).unwrap();
    }
}

#[test]
fn what_another_server_gives_a_tenant_is_found_though_nobody_has_opened_it() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let here = server(connect(), folder.path());
    let elsewhere = server(connect(), folder.path());
    let more = TrustDomain::parse("more.test").unwrap();
    let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
    elsewhere.add_trust_domain(&there, &more).unwrap();
    add(&elsewhere, "new");
    assert!(!here.is_owned(&more));
    here.follow_store().unwrap();
    assert_eq!(open_ones(&here), ["top"]);
    let owner = here.owner_of(&more).unwrap().unwrap();
    assert_eq!(owner.id(), &id("one"));
    here.tenant(&id("new")).unwrap().unwrap();
}

#[test]
fn authorities_follow_each_other_though_nobody_opens_their_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000)));
    let open = || -> Arc<dyn Store> { Arc::new(SqliteStore::open(folder.path()).unwrap()) };
    let start = || server_at(open(), folder.path(), Arc::<Hand>::clone(&clock));
    add(&start(), "one");
    let here = start();
    let states = || {
        let all = open().load(&id("one")).unwrap().authorities.into_values();
        let prepared = all.filter(|one| one.state == AuthorityState::Prepared);
        prepared.count()
    };
    here.tend_all().unwrap();
    let at = open().load(&id("one")).unwrap().sequence;
    here.tend_all().unwrap();
    // What is not due changes nothing, and is not looked at.
    assert_eq!(open().load(&id("one")).unwrap().sequence, at);
    assert_eq!(states(), 0);
    // By days, until keys have followed each other more than once.
    let mut prepared = 0;
    for _ in 0..75 {
        clock.0.fetch_add(86_400, Ordering::SeqCst);
        here.tend_all().unwrap();
        assert_eq!(open_ones(&here), ["top"]);
        prepared += states();
    }
    assert!(prepared > 0, "none was ever prepared");
    let one = here.tenant(&id("one")).unwrap().unwrap();
    let keys = here.jwks(&one).unwrap();
    assert!(!keys["keys"].as_array().unwrap().is_empty());
    one.read(|snapshot| {
        let all = snapshot.authorities.values();
        let active = all.filter(|one| one.state == AuthorityState::Active);
        assert_eq!(active.count(), 4);
        assert!(
            snapshot
                .authorities
                .values()
                .all(|one| one.not_after >= here.now())
        );
    });
}

/// What is due is no part of what somebody only asks for.
#[test]
fn a_tenant_that_is_opened_in_a_dry_run_has_what_is_due_done_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000)));
    let open = || -> Arc<dyn Store> { Arc::new(SqliteStore::open(folder.path()).unwrap()) };
    let start = || server_at(open(), folder.path(), Arc::<Hand>::clone(&clock));
    add(&start(), "one");
    let here = start();
    clock.0.fetch_add(16 * 86_400, Ordering::SeqCst);
    let opened = crate::dry_run::rehearsed(|| here.tenant(&id("one")));
    assert!(opened.unwrap().is_some());
    let stored = open().load(&id("one")).unwrap().authorities;
    let prepared = stored
        .values()
        .filter(|one| one.state == AuthorityState::Prepared);
    assert!(
        prepared.count() > 0,
        "a successor is due after half of a month"
    );
}

#[test]
fn a_tenant_that_asks_others_in_time_is_opened_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["asks", "quiet"]);
    let relation = FederationRecord {
        trust_domain: TrustDomain::parse("foreign.test").unwrap(),
        document: "{}".to_owned(),
        created: Time::from_unix(0),
        course: None,
    };
    let put = Change::Put(Object::Federation(relation));
    connect().apply(&id("asks"), &[put]).unwrap();
    let plane = server(connect(), folder.path());
    assert_eq!(open_ones(&plane), ["top"]);
    plane.tend_all().unwrap();
    assert_eq!(open_ones(&plane), ["asks", "top"]);
}

#[test]
fn a_look_that_is_over_takes_no_trust_domain_from_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let here = server(connect(), folder.path());
    let known = here.known(&id("one")).unwrap();
    let before = here.look_at(&known).unwrap().unwrap().names();
    // Meanwhile it is opened and changed.
    let one = here.tenant(&id("one")).unwrap().unwrap();
    let more = TrustDomain::parse("more.test").unwrap();
    here.add_trust_domain(&one, &more).unwrap();
    here.put_names(&known, &before);
    assert!(here.owner_of(&more).unwrap().is_some());

    // Where nobody opens it, of two looks the later counts.
    let there = server(connect(), folder.path());
    let known = there.known(&id("one")).unwrap();
    let now = there.look_at(&known).unwrap().unwrap().names();
    assert!(now.all.contains(&more));
    there.put_names(&known, &before);
    assert!(there.is_owned(&more));
}

#[test]
fn news_of_a_tenant_that_nobody_has_opened_stays_news_until_it_was_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let here = server(connect(), folder.path());
    let elsewhere = server(connect(), folder.path());
    here.follow_store().unwrap();
    let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
    let head = elsewhere.apply(&there, &[anchor("a")]).unwrap();
    let known = here.known(&id("one")).unwrap();
    for _ in 0..2 {
        // What was to come of it fails, or another looks at it for something else.
        assert!(matches!(known.saw(head), Seen::News));
        here.sketch(&known).unwrap();
    }
    here.follow_store().unwrap();
    assert!(matches!(known.saw(head), Seen::Nothing));
}

#[test]
fn what_is_known_of_a_tenant_is_never_that_of_another_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let here = server(connect(), folder.path());
    let elsewhere = server(connect(), folder.path());
    let former = here.known(&id("one")).unwrap();
    let there = elsewhere.tenant(&id("one")).unwrap().unwrap();
    let at = there.read(|snapshot| snapshot.sequence);
    let store = connect();
    store.remove_tenants(&OPERATOR, &[(id("one"), at)]).unwrap();
    elsewhere.follow_store().unwrap();
    add(&elsewhere, "one");
    former.saw(connect().load(&id("one")).unwrap().sequence);
    assert!(here.sketch(&former).is_err());
    let latter = here.known(&id("one")).unwrap();
    assert!(!Arc::ptr_eq(&former, &latter));
    assert_eq!(here.sketch(&latter).unwrap().trust_domains.len(), 1);
}

#[test]
fn whoever_serves_what_is_below_is_told_once_however_much_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["one", "two", "three"];
    let connect = with_tenants(&folder, &names);
    let here = server(connect(), folder.path());
    let elsewhere = server(connect(), folder.path());
    here.follow_store().unwrap();
    let top = here.root().unwrap();
    let before = *top.news.borrow();
    for name in names {
        let there = elsewhere.tenant(&id(name)).unwrap().unwrap();
        elsewhere.apply(&there, &[anchor("a")]).unwrap();
    }
    here.follow_store().unwrap();
    assert_eq!(*top.news.borrow() - before, 1);
    assert_eq!(open_ones(&here), ["top"]);
}

/// What a node of a tenant shows.
fn node_of(plane: &Plane, name: &str) -> Vec<Vec<u8>> {
    let tenant = plane.tenant(&id(name)).unwrap().unwrap();
    let key = SoftwareKey::generate(SigningKind::P256).unwrap();
    let request = X509Request {
        id: SpiffeId::parse(&format!("spiffe://{name}.test/node")).unwrap(),
        public_half: PublicHalf::clone(key.public_half()),
        ttl: None,
        dns_names: Vec::new(),
        mark: None,
    };
    plane.sign_x509(&tenant, request).unwrap().chain
}

#[test]
fn nodes_that_wait_for_one_tenant_take_one_place_and_those_of_another_are_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one", "two"]);
    let (one, two) = {
        let plane = server(connect(), folder.path());
        (node_of(&plane, "one"), node_of(&plane, "two"))
    };
    let here = server(connect(), folder.path());
    let readings = Readings::new(1, 5);
    let known = here.known(&id("one")).unwrap();
    let turn = known.turn();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| here.identify_in_handshake(one.clone(), &readings)))
            .collect();
        while readings.count() < 5 && waiting.iter().all(|one| !one.is_finished()) {
            std::thread::yield_now();
        }
        let full = Readings::new(1, 5);
        let other = TrustDomain::parse("one.test").unwrap();
        let place = full.begin(&other).unwrap();
        let refused = [
            // Another tenant, and one more than may wait.
            here.identify_in_handshake(two.clone(), &full).is_err(),
            here.identify_in_handshake(one.clone(), &readings).is_err(),
        ];
        drop(place);
        here.identify_in_handshake(two.clone(), &full).unwrap();
        drop(turn);
        for one in waiting {
            assert_eq!(one.join().unwrap().unwrap().tenant, id("one"));
        }
        assert_eq!(refused, [true, true]);
    });
    assert_eq!(readings.count(), 0);
}

#[test]
fn a_handshake_for_which_a_tenant_is_read_lets_others_go_on_and_they_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let connect = with_tenants(&folder, &["one"]);
    let chain = node_of(&server(connect(), folder.path()), "one");
    let here = server(connect(), folder.path());
    let none = Readings::new(0, 1);
    assert!(here.identify_in_handshake(chain.clone(), &none).is_err());
    assert_eq!(open_ones(&here), ["top"]);
    assert!(!here.are_open_below(&id("top")));

    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).build().unwrap();
    let known = here.known(&id("one")).unwrap();
    // As on a store that takes its time.
    let turn = known.turn();
    let has_begun = Arc::new(AtomicBool::new(false));
    let (plane, begun) = (Arc::clone(&here), Arc::clone(&has_begun));
    let again = chain.clone();
    let shaking = runtime.spawn(async move {
        begun.store(true, Ordering::SeqCst);
        plane.identify_in_handshake(again, &Readings::new(1, 1))
    });
    while !has_begun.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let (told, heard) = std::sync::mpsc::channel();
    runtime.spawn(async move { told.send(()).unwrap() });
    let others_go_on = heard.recv_timeout(LONG);
    drop(turn);
    let caller = runtime.block_on(shaking).unwrap().unwrap();
    assert_eq!(caller.tenant, id("one"));
    others_go_on.unwrap();
    // Once it is open nobody is kept out.
    here.identify_in_handshake(chain, &none).unwrap();
    assert!(here.are_open_below(&id("top")));
}

//! What is over goes, also of tenants that nobody has needed yet.

use std::sync::atomic::{AtomicI64, Ordering};

use avouch_core::id::SpiffeId;
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use avouch_store::{
    Entry, EntryExtras, EntryId, JoinTokenId, JoinTokenRecord, NodeId, Over, OverKind, QuotaRecord,
    Selector,
};

use super::*;
use crate::quotas::Bounded;

const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::SeqCst))
    }
}

fn entry(name: &str, expires: Option<i64>) -> Change {
    Change::Put(Object::Entry(Entry {
        id: EntryId::parse(name).unwrap(),
        spiffe_id: IdTemplate::parse(&format!("spiffe://one.test/{name}")).unwrap(),
        parent: None,
        selectors: [Selector::parse("unix:uid:7").unwrap()].into(),
        created: Time::from_unix(START),
        extras: EntryExtras {
            expires: expires.map(Time::from_unix),
            ..EntryExtras::default()
        }
        .into(),
    }))
}

fn token(name: &str, expires: i64) -> Change {
    Change::Put(Object::JoinToken(JoinTokenRecord {
        id: JoinTokenId::parse(name).unwrap(),
        node: NodeId::parse("n").unwrap(),
        spiffe_id: SpiffeId::parse("spiffe://one.test/n").unwrap(),
        created: Time::from_unix(START),
        expires: Time::from_unix(expires),
        used: None,
        used_for: None,
    }))
}

fn signal(kind: SignalKind, name: &str, ends: Option<i64>) -> Change {
    Change::Put(Object::Signal(SignalRecord {
        key: SignalKey {
            kind,
            id: SignalId::parse(name).unwrap(),
        },
        document: "{}".to_owned(),
        ends: ends.map(Time::from_unix),
        secret: None,
    }))
}

/// A deployment with a tenant `one`, and a server on it that nobody has asked for that.
struct Idle {
    folder: TempDir,
    clock: Arc<Hand>,
    here: Arc<Plane>,
}

impl Idle {
    fn with(changes: &[Change]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(START)));
        add(&Self::server(&folder, &clock), "one");
        Self::store_of(&folder).apply(&id("one"), changes).unwrap();
        let here = Self::server(&folder, &clock);
        Self {
            folder,
            clock,
            here,
        }
    }

    fn server(folder: &TempDir, clock: &Arc<Hand>) -> Arc<Plane> {
        let store = Arc::new(Self::store_of(folder));
        server_at(store, folder.path(), Arc::<Hand>::clone(clock))
    }

    fn store_of(folder: &TempDir) -> SqliteStore {
        SqliteStore::open(folder.path()).unwrap()
    }

    fn another(&self) -> Arc<Plane> {
        Self::server(&self.folder, &self.clock)
    }

    fn stored(&self) -> avouch_store::Snapshot {
        Self::store_of(&self.folder).load(&id("one")).unwrap()
    }

    fn pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn is_open_here(&self) -> bool {
        self.here.opened(&id("one")).is_some()
    }
}

#[test]
fn what_is_over_of_a_tenant_that_nobody_needs_is_gone_on_every_server_and_in_every_quota() {
    let mark = "b".repeat(64);
    let idle = Idle::with(&[
        entry("ends", Some(START + 60)),
        entry("stays", None),
        token("token", START + 60),
        signal(SignalKind::Ended, &mark, Some(START + 60)),
        signal(SignalKind::Notice, "notice", Some(START + 60)),
    ]);
    let here = &idle.here;
    let top = here.root().unwrap();
    let quota = QuotaRecord {
        entries: Some(2),
        ..QuotaRecord::default()
    };
    here.put_quota(&top, quota).unwrap();
    let there = idle.another();
    let room = |plane: &Plane| {
        let top = plane.root().unwrap();
        plane.check_room(&top, Bounded::Entries).is_ok()
    };
    here.remove_over().unwrap();
    assert!(!room(here) && !room(&there));

    idle.pass(60);
    here.remove_over().unwrap();
    assert!(room(here), "what is over takes no place");
    there.follow_store().unwrap();
    assert!(room(&there), "nor on a server that is told of it");
    let stored = idle.stored();
    assert!(stored.signals.is_empty());
    // Whoever tries a token again is told for a day that it is over.
    assert_eq!((stored.entries.len(), stored.join_tokens.len()), (1, 1));
    idle.pass(DAY);
    there.remove_over().unwrap();
    assert!(idle.stored().join_tokens.is_empty());
    assert!(!idle.is_open_here(), "and nobody has read all of it");
}

#[test]
fn what_another_server_removes_that_nobody_needs_there_is_gone_where_it_is_in_use() {
    let idle = Idle::with(&[entry("ends", Some(START + 60)), entry("stays", None)]);
    let there = idle.another();
    let one = there.tenant(&id("one")).unwrap().unwrap();
    idle.pass(60);
    idle.here.remove_over().unwrap();
    there.follow_store().unwrap();
    assert_eq!(one.read(Clone::clone), idle.stored());
    assert_eq!(one.read(|snapshot| snapshot.entries.len()), 1);
    assert!(!idle.is_open_here());
    // And the other way round: there is nothing left to do, for whomever.
    let at = idle.stored().sequence;
    for plane in [&there, &idle.here] {
        plane.remove_over().unwrap();
    }
    assert_eq!(idle.stored().sequence, at);
}

#[test]
fn two_servers_that_find_it_at_once_remove_it_with_one_change() {
    for _ in 0..5 {
        let idle = Idle::with(&[entry("ends", Some(START + 60)), entry("stays", None)]);
        let there = idle.another();
        there.tenant(&id("one")).unwrap().unwrap();
        idle.pass(60);
        let before = idle.stored().sequence;
        std::thread::scope(|scope| {
            for plane in [&there, &idle.here] {
                scope.spawn(|| plane.remove_over().unwrap());
            }
        });
        there.follow_store().unwrap();
        let held = there.opened(&id("one")).unwrap().read(Clone::clone);
        assert_eq!(held, idle.stored());
        assert_eq!(held.entries.len(), 1);
        assert_eq!(held.sequence.number(), before.number() + 1);
    }
}

#[test]
fn what_was_given_more_time_on_another_server_stays_where_that_is_not_heard_of_yet() {
    let folder = tempfile::tempdir().unwrap();
    what_was_given_more_time_stays(&folder, || Arc::new(Idle::store_of(&folder)));
}

#[test]
fn what_was_given_more_time_on_another_server_stays_on_postgresql_too() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => return println!("skipped: what is over on one PostgreSQL: {why}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    what_was_given_more_time_stays(&folder, || {
        Arc::new(PostgresqlStore::connect(&address).unwrap())
    });
}

fn what_was_given_more_time_stays(folder: &TempDir, connect: impl Fn() -> Arc<dyn Store>) {
    let clock = Arc::new(Hand(AtomicI64::new(START)));
    let here = server_at(connect(), folder.path(), Arc::<Hand>::clone(&clock));
    add(&here, "one");
    let one = here.tenant(&id("one")).unwrap().unwrap();
    let (until, later) = (START + 60, START + 60 + 2 * DAY);
    let first = [
        entry("longer", Some(until)),
        entry("ends", Some(until)),
        token("longer", until),
        token("ends", until),
    ];
    here.apply(&one, &first).unwrap();
    let longer = [entry("longer", Some(later)), token("longer", later)];
    connect().apply(&id("one"), &longer).unwrap();
    let held = |name: &str| one.read(|held| held.entries[&EntryId::parse(name).unwrap()].clone());
    let until = Some(Time::from_unix(until));
    assert_eq!(
        held("longer").extras.expires,
        until,
        "it has not heard of it"
    );
    clock.0.fetch_add(60 + DAY, Ordering::SeqCst);
    here.remove_over().unwrap();
    let stored = connect().load(&id("one")).unwrap();
    let entries: Vec<&str> = stored.entries.keys().map(|id| id.as_str()).collect();
    let tokens: Vec<&str> = stored.join_tokens.keys().map(|id| id.as_str()).collect();
    assert_eq!((entries, tokens), (vec!["longer"], vec!["longer"]));
    assert_eq!(one.read(Clone::clone), stored);
}

#[test]
fn much_that_is_over_goes_some_at_a_time() {
    let names = (0..12_000).map(|number| format!("e{number}"));
    let all: Vec<Change> = names.map(|name| entry(&name, Some(START + 60))).collect();
    let idle = Idle::with(&all);
    idle.here.tenant(&id("one")).unwrap().unwrap();
    let before = idle.stored().sequence.number();
    idle.pass(60);
    idle.here.remove_over().unwrap();
    let stored = idle.stored();
    assert_eq!(
        (stored.entries.len(), stored.sequence.number()),
        (0, before + 3)
    );
}

#[test]
fn whoever_is_told_of_what_ended_is_told_though_nobody_needed_the_tenant() {
    let idle = Idle::with(&[
        entry("ends", Some(START + 60)),
        signal(SignalKind::Receiver, "receiver", None),
    ]);
    idle.pass(60);
    idle.here.remove_over().unwrap();
    let stored = idle.stored();
    assert!(stored.entries.is_empty());
    assert_eq!(stored.signals_of(SignalKind::Notice).count(), 1);
}

#[test]
fn what_is_over_of_one_that_cannot_be_read_keeps_no_other_from_it() {
    let idle = Idle::with(&[entry("ends", Some(START + 60))]);
    add(&idle.here, "two");
    let unreadable = Change::Put(Object::Signal(unreadable()));
    let receives = signal(SignalKind::Receiver, "receiver", None);
    let notice = signal(SignalKind::Notice, "notice", Some(START + 60));
    let store = Idle::store_of(&idle.folder);
    store
        .apply(&id("two"), &[unreadable, receives, notice])
        .unwrap();
    let there = idle.another();
    idle.pass(60);
    there.remove_over().unwrap();
    assert!(idle.stored().entries.is_empty());
    assert_eq!(store.load(&id("two")).unwrap().signals.len(), 3);
}

#[test]
fn what_is_over_of_a_tenant_to_which_another_server_writes_all_the_time_goes() {
    let names = (0..6_000).map(|number| format!("e{number}"));
    let all: Vec<Change> = names.map(|name| entry(&name, Some(START + 60))).collect();
    let idle = Idle::with(&all);
    idle.here.tenant(&id("one")).unwrap().unwrap();
    idle.pass(60);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for name in ["first", "second"] {
            let (folder, is_over) = (&idle.folder, &is_over);
            scope.spawn(move || {
                let there = Idle::store_of(folder);
                while !is_over.load(Ordering::SeqCst) {
                    there.apply(&id("one"), &[anchor(name)]).unwrap();
                }
            });
        }
        let removed = idle.here.remove_over();
        is_over.store(true, Ordering::SeqCst);
        removed.unwrap();
    });
    assert!(idle.stored().entries.is_empty());
}

#[test]
fn what_the_store_finds_to_be_over_is_told_of_as_well_and_nothing_else_goes() {
    let idle = Idle::with(&[
        entry("ends", Some(START + 60)),
        entry("longer", Some(START + 60)),
        entry("stays", None),
        signal(SignalKind::Receiver, "receiver", None),
    ]);
    let one = idle.here.tenant(&id("one")).unwrap().unwrap();
    // That server has not heard of this.
    let longer = [entry("longer", Some(START + 3_600))];
    Idle::store_of(&idle.folder)
        .apply(&id("one"), &longer)
        .unwrap();
    idle.pass(60);
    let over = [Over {
        kind: OverKind::Entry,
        by: idle.here.now(),
    }];
    let remove = || idle.here.remove_over_by_the_store(&one, &over).unwrap();
    assert!(remove() > 0);
    assert_eq!(remove(), 0);
    let stored = idle.stored();
    let left: Vec<&str> = stored.entries.keys().map(|id| id.as_str()).collect();
    assert_eq!(left, ["longer", "stays"]);
    assert_eq!(stored.signals_of(SignalKind::Notice).count(), 1);
    assert_eq!(one.read(Clone::clone), stored);
}

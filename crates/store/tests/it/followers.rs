//! What servers on one database tell each other, on every engine.

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_store::{Followers, Report, Sequence, ServerId};

use crate::objects::*;
use crate::suite::Engine;

pub(crate) fn server(name: &str) -> ServerId {
    ServerId::parse(name).unwrap()
}

pub(crate) fn followers(name: &str, count: u64, least: u64) -> Followers {
    Followers {
        tenant: tenant(name),
        count,
        least: Sequence::of(least),
        slowest: SpiffeId::parse(&format!("spiffe://a.test/slowest/{count}")).unwrap(),
    }
}

pub(crate) fn report(name: &str, number: u64, at: i64, followers: &[Followers]) -> Report {
    Report {
        server: server(name),
        number,
        at: Time::from_unix(at),
        followers: followers.to_vec(),
    }
}

pub(crate) fn servers_know_how_far_followers_of_others_have_come(engine: &dyn Engine) {
    let (one, two) = (engine.open(), engine.open());
    add_tenant(&*one, "acme");
    add_tenant(&*one, "other");
    let tell = |report: &Report| one.report(&OPERATOR, report).unwrap();
    let heard = |by: &str, since: i64| {
        let since = Time::from_unix(since);
        two.followers(&tenant("acme"), &server(by), since).unwrap()
    };
    let first = [followers("acme", 3, 7), followers("other", 1, 9)];
    assert!(tell(&report("a", 1, 100, &first)));
    assert_eq!(heard("b", 100), [followers("acme", 3, 7)]);
    assert_eq!(heard("b", 101), [], "not heard of since");
    assert_eq!(heard("a", 100), [], "its own followers it knows");

    // What is not told again stays as it was, and the server is still there.
    assert!(tell(&report("a", 2, 200, &[])));
    assert_eq!(heard("b", 200), [followers("acme", 3, 7)]);
    assert!(tell(&report("b", 1, 200, &[followers("acme", 1, 8)])));
    let both = [followers("acme", 3, 7), followers("acme", 1, 8)];
    assert_eq!(heard("c", 200), both);
    assert!(tell(&report("a", 3, 201, &[followers("acme", 0, 0)])));
    assert_eq!(heard("c", 200), [followers("acme", 1, 8)]);
    // Who was not heard of for an hour is forgotten with its followers.
    assert!(tell(&report("a", 4, 200 + 3_601, &[])));
    assert_eq!(heard("c", 0), []);
}

pub(crate) fn a_server_learns_that_its_last_report_is_gone(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let tell = |number, at| {
        store
            .report(&OPERATOR, &report("a", number, at, &[]))
            .unwrap()
    };
    assert!(tell(1, 1));
    assert!(tell(2, 2));
    assert!(tell(2, 2), "its answer was lost");
    // As after the database was put back to where it knew report 2.
    assert!(!tell(4, 4));
    assert!(tell(5, 5));
    // As after it was put back to a time before the server was there.
    let unheard = report("new", 9, 9, &[]);
    assert!(!store.report(&OPERATOR, &unheard).unwrap());
    assert!(
        store
            .report(&OPERATOR, &report("new", 10, 10, &[]))
            .unwrap()
    );
}

pub(crate) fn numbers_are_raised_for_all_tenants_and_go_on_from_there(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    let last = store.apply(&tenant("acme"), &[anchor("x")]).unwrap();
    let before = store.raise(&OPERATOR, Sequence::of(1_000)).unwrap();
    assert_eq!(before[&tenant("acme")], last);
    assert_eq!(before[&tenant("other")], Sequence::START);
    let snapshot = store.load(&tenant("acme")).unwrap();
    assert_eq!(snapshot.sequence, Sequence::of(1_000));
    let feed = store.changes_after(&tenant("acme"), last).unwrap().unwrap();
    assert_eq!((feed.head, feed.changes.len()), (Sequence::of(1_000), 0));
    let next = store.apply(&tenant("acme"), &[anchor("y")]).unwrap();
    assert_eq!(next, Sequence::of(1_001));
    // Whoever holds a number that was left out holds what was never here.
    let changes = |after| store.changes_after(&tenant("acme"), Sequence::of(after));
    for left_out in [last.number() + 1, 999] {
        assert!(changes(left_out).unwrap().is_none(), "{left_out}");
    }
    assert_eq!(changes(1_000).unwrap().unwrap().changes.len(), 1);
    // Never lower.
    let before = store.raise(&OPERATOR, Sequence::of(1_000)).unwrap();
    assert_eq!(before[&tenant("acme")], next);
    assert_eq!(store.heads(&OPERATOR).unwrap()[&tenant("acme")], next);
}

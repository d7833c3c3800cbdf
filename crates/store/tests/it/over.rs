//! What ends by itself is found by its end, and removed as anything else is.

use std::collections::BTreeSet;
use std::sync::Barrier;

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_store::{
    Change, Entry, EntryExtras, Extras, JoinTokenId, JoinTokenRecord, Key, NodeId, Object, Over,
    OverKind, SignalId, SignalKey, SignalKind, SignalRecord, Store,
};

use crate::objects::*;
use crate::suite::Engine;

pub(crate) fn notice(id: &str, ends: Option<i64>) -> Change {
    Change::Put(Object::Signal(SignalRecord {
        key: SignalKey {
            kind: SignalKind::Notice,
            id: SignalId::parse(id).unwrap(),
        },
        // What looks like an end in a text is none.
        document: r#"{"ends":1,"x":"\"ends\":1,"}"#.to_owned(),
        ends: ends.map(Time::from_unix),
        secret: None,
    }))
}

pub(crate) fn notices_over(by: i64) -> [Over; 1] {
    [Over {
        kind: OverKind::Notice,
        by: Time::from_unix(by),
    }]
}

/// All that is over by then.
fn over(by: i64) -> Vec<Over> {
    let kinds = [
        OverKind::Entry,
        OverKind::JoinToken,
        OverKind::Ended,
        OverKind::Notice,
    ];
    let by = Time::from_unix(by);
    kinds.map(|kind| Over { kind, by }).into()
}

fn until(id: &str, expires: Option<i64>) -> Change {
    let entry = full_entry(id, "spiffe://a.test/x");
    let mut extras: EntryExtras = (*entry.extras).clone();
    extras.expires = expires.map(Time::from_unix);
    extras.purpose = Some(r#"","expires":1,"x":""#.to_owned());
    Change::Put(Object::Entry(Entry {
        extras: Extras::from(extras),
        ..entry
    }))
}

fn token(id: &str, expires: i64, used: Option<i64>) -> Change {
    Change::Put(Object::JoinToken(JoinTokenRecord {
        id: JoinTokenId::parse(id).unwrap(),
        node: NodeId::parse("n").unwrap(),
        spiffe_id: SpiffeId::parse("spiffe://a.test/n").unwrap(),
        created: Time::from_unix(0),
        expires: Time::from_unix(expires),
        used: used.map(Time::from_unix),
        used_for: None,
    }))
}

fn head(store: &dyn Store) -> avouch_store::Sequence {
    store.heads(&OPERATOR).unwrap()[&tenant("acme")]
}

fn held(store: &dyn Store, name: &str) -> Vec<String> {
    let snapshot = store.load(&tenant(name)).unwrap();
    let entries = snapshot.entries.keys().map(ToString::to_string);
    let tokens = snapshot.join_tokens.keys().map(ToString::to_string);
    let signals = snapshot.signals.keys().map(|key| key.id.to_string());
    entries.chain(tokens).chain(signals).collect()
}

pub(crate) fn what_is_over_is_removed_of_each_tenant_and_told_as_news(engine: &dyn Engine) {
    let store = engine.open();
    for name in ["acme", "other", "removed"] {
        add_tenant(&*store, name);
    }
    let ended = SignalKey {
        kind: SignalKind::Ended,
        id: SignalId::parse("s").unwrap(),
    };
    let state = SignalRecord {
        key: ended,
        document: "{}".to_owned(),
        ends: Some(Time::from_unix(10)),
        secret: None,
    };
    let put = [
        domain("a.test"),
        until("e-ends", Some(10)),
        until("e-later", Some(11)),
        until("e-never", None),
        until("e-last", Some(i64::MAX)),
        token("t-ends", 10, None),
        token("t-used", 1_000, Some(10)),
        token("t-later", 11, None),
        token("t-used-later", 5, Some(11)),
        notice("n-ends", Some(10)),
        notice("n-none", None),
        Change::Put(Object::Signal(state)),
    ];
    let at = store.apply(&tenant("acme"), &put).unwrap();
    let early = [domain("b.test"), notice("n", Some(9))];
    store.apply(&tenant("other"), &early).unwrap();
    let gone = store.apply(&tenant("removed"), &early[1..2]).unwrap();
    store
        .remove_tenants(&OPERATOR, &[(tenant("removed"), gone)])
        .unwrap();

    let with = |by| store.tenants_with_over(&OPERATOR, &over(by)).unwrap();
    assert_eq!(with(8), BTreeSet::new());
    assert_eq!(with(9), [tenant("other")].into());
    assert_eq!(with(10), [tenant("acme"), tenant("other")].into());
    assert_eq!(store.remove_over(&tenant("acme"), &over(9)).unwrap(), None);
    assert_eq!(
        store.remove_over(&tenant("removed"), &over(9)).unwrap(),
        None
    );

    let before = store.load(&tenant("acme")).unwrap();
    let removed = store.remove_over(&tenant("acme"), &over(10)).unwrap();
    assert!(removed > Some(at));
    assert_eq!(removed, Some(head(&*store)));
    assert_eq!(store.remove_over(&tenant("acme"), &over(10)).unwrap(), None);
    let left = [
        "e-last",
        "e-later",
        "e-never",
        "t-later",
        "t-used-later",
        "n-none",
    ];
    assert_eq!(held(&*store, "acme"), left);
    // Whoever follows sees the same.
    let mut followed = before;
    let feed = store.changes_after(&tenant("acme"), at).unwrap().unwrap();
    followed.follow(feed);
    assert_eq!(followed, store.load(&tenant("acme")).unwrap());
    // What was removed is in the way of nothing, and of no other tenant anything is gone.
    let domain = Key::TrustDomain(trust_domain("a.test"));
    assert!(
        store
            .apply(&tenant("acme"), &[Change::Remove(domain)])
            .is_err()
    );
    assert_eq!(held(&*store, "other"), ["n"]);
    let store = engine.open();
    assert_eq!(held(&*store, "acme"), left);
    // One that comes again ends when it says then.
    store
        .apply(&tenant("acme"), &[until("e-ends", Some(20))])
        .unwrap();
    assert_eq!(store.remove_over(&tenant("acme"), &over(10)).unwrap(), None);
}

pub(crate) fn what_is_given_more_time_while_it_is_removed_stays(engine: &dyn Engine) {
    let (here, there) = (engine.open(), engine.open());
    add_tenant(&*here, "acme");
    let acme = tenant("acme");
    here.apply(&acme, &[domain("a.test")]).unwrap();
    for round in 0..10 {
        here.apply(&acme, &[until("e", Some(10))]).unwrap();
        let both = Barrier::new(2);
        let (removed, longer) = std::thread::scope(|scope| {
            let removing = scope.spawn(|| {
                both.wait();
                here.remove_over(&acme, &over(10)).unwrap()
            });
            both.wait();
            let longer = there.apply(&acme, &[until("e", Some(11))]).unwrap();
            (removing.join().unwrap(), longer)
        });
        // Whichever was first: what was put last is there.
        assert!(removed.is_none_or(|removed| removed != longer), "{round}");
        assert_eq!(
            held(&*here, "acme"),
            ["e"],
            "{round}: {removed:?}, {longer:?}"
        );
    }
}

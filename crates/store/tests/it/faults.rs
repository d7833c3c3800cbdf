//! Every write × {failed, failed but persisted}: what is there afterwards, and what comes of
//! doing it again.

use std::collections::BTreeMap;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::{
    AuthorityRecord, BoundedKind, Change, Conflict, DecisionRow, Fault, Followers, IntentRow,
    Lifetime, Object, Sequence, Snapshot, Store, TenantRecord, Used, Within,
};
use avouch_testkit::postgresql::Cluster;

use crate::cut::{Cut, Wire};
use crate::decisions::{all, keep};
use crate::followers::{followers, report, server};
use crate::lifetimes::lifetime;
use crate::objects::*;
use crate::on_postgresql::or_skipped;
use crate::over::{notice, notices_over};

/// Something to write, which can be done again; the tenant is one that may be added.
type Write = fn(&dyn Store, &TenantRecord) -> Result<(), Fault>;

const WRITES: [(&str, Write); 21] = [
    ("check", |store, _| store.check(&OPERATOR)),
    ("add_tenant", |store, other| {
        store.add_tenant(&OPERATOR, other)
    }),
    ("apply: put", |store, _| {
        store.apply(&tenant("acme"), &[anchor("new")]).map(drop)
    }),
    ("apply: remove", |store, _| {
        store
            .apply(&tenant("acme"), &[without_entry("old")])
            .map(drop)
    }),
    ("apply_at", |store, _| {
        // As whoever makes a change anew that has met another.
        let (acme, change) = (tenant("acme"), [anchor("new")]);
        match store.apply_at(&acme, Sequence::START, &change) {
            Err(Fault::Conflict(Conflict::Moved { found, .. })) => {
                store.apply_at(&acme, found, &change).map(drop)
            }
            other => panic!("nothing had changed: {other:?}"),
        }
    }),
    ("record_intents", |store, _| {
        store.record_intents(&tenant("acme"), &[intent("new", 200)])
    }),
    ("use_and_record", |store, _| {
        let given = [descending_intent("given", 300)];
        let told = store.use_and_record(&tenant("acme"), &[used("new", 1)], &given)?;
        assert_eq!(told, [Used::First]);
        Ok(())
    }),
    ("use_record_and_apply", |store, _| {
        // As for a token that is used up with what it is given for.
        let (acme, change) = (tenant("acme"), [anchor("new")]);
        let (uses, given) = ([used("new", 1)], [intent("given", 300)]);
        let write = |at| {
            store
                .use_record_and_apply(&acme, &uses, &given, at, &change)
                .map(drop)
        };
        match write(Sequence::START) {
            Err(Fault::Conflict(Conflict::Moved { found, .. })) => write(found),
            other => panic!("nothing had changed: {other:?}"),
        }
    }),
    ("apply_within", |store, _| {
        // As for something of which there is room for a few.
        let (acme, change) = (tenant("acme"), [anchor("new")]);
        let within = [Within {
            top: acme.clone(),
            kind: BoundedKind::Entry,
            most: 1_000,
            added: 1,
            counted: BTreeMap::new(),
        }];
        let write = |at| {
            store
                .apply_within(&acme, &[], &[], at, &change, &within)
                .map(drop)
        };
        match write(Sequence::START) {
            Err(Fault::Conflict(Conflict::Moved { found, .. })) => write(found),
            other => panic!("nothing had changed: {other:?}"),
        }
    }),
    ("forget_uses", |store, _| {
        let before = Time::from_unix(100_000);
        store.forget_uses(&OPERATOR, before).map(drop)
    }),
    ("forget_removals", |store, _| {
        let all = Sequence::of(1_000);
        store.forget_removals(&tenant("acme"), all).map(drop)
    }),
    ("remove_over", |store, _| {
        store
            .remove_over(&tenant("acme"), &notices_over(5))
            .map(drop)
    }),
    ("forget_intents", |store, _| {
        let before = Time::from_unix(100_000);
        store.forget_intents(&tenant("acme"), before).map(drop)
    }),
    ("forget_answers", |store, _| {
        let before = Time::from_unix(100_000);
        store.forget_answers(&tenant("acme"), before).map(drop)
    }),
    ("keep_decisions", |store, _| keep(store, "acme", &[2], 1)),
    ("forget_decisions", |store, _| {
        let before = Time::from_unix(100_000);
        store.forget_decisions(&OPERATOR, before).map(drop)
    }),
    ("remove_tenants", |store, _| {
        let acme = tenant("acme");
        match store.remove_tenants(&OPERATOR, &[(acme.clone(), Sequence::START)]) {
            Err(Fault::Conflict(Conflict::Moved { found, .. })) => {
                store.remove_tenants(&OPERATOR, &[(acme, found)])
            }
            // It was removed, and the answer was lost.
            Err(Fault::Conflict(Conflict::UnknownTenant(_))) => Ok(()),
            other => other,
        }
    }),
    ("clear_removed", |store, _| {
        store.clear_removed(&OPERATOR).map(drop)
    }),
    ("raise", |store, _| {
        store.raise(&OPERATOR, Sequence::of(1_000)).map(drop)
    }),
    ("keep_lifetimes", |store, _| {
        store.keep_lifetimes(&OPERATOR, &[lifetime(3_600, 100)])
    }),
    ("report", |store, _| {
        let report = report("a", 1, 100, &[followers("acme", 3, 7)]);
        store.report(&OPERATOR, &report).map(drop)
    }),
];

#[test]
fn a_write_that_failed_is_whole_or_absent_and_may_be_done_again() {
    let name = "a_write_that_failed_is_whole_or_absent_and_may_be_done_again";
    let Some(cluster) = or_skipped(name, Cluster::shared()) else {
        return;
    };
    for (what, write) in WRITES {
        let undisturbed = {
            let store = prepared(&cluster.new_database());
            write(&store, &other_tenant(&store)).unwrap();
            contents(&store)
        };
        for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
            let address = cluster.new_database();
            drop(prepared(&address));
            let (wire, store) = through_a_wire(&cluster, &address);
            let before = contents(&store);
            let other = other_tenant(&store);
            wire.cut_next(cut);
            let fault = write(&store, &other).unwrap_err();
            assert!(
                wire.was_cut() && fault.retryable(),
                "{what}, {cut:?}: {fault:?}"
            );
            assert!(
                matches!(fault, Fault::Lost(_)),
                "{what}, {cut:?}: {fault:?}"
            );

            let found = contents(&store);
            let expected = match cut {
                Cut::BeforeCommit => &before,
                Cut::AfterCommit => &undisturbed,
            };
            assert_eq!(&found, expected, "{what}, {cut:?}");
            write(&store, &other).unwrap();
            assert_eq!(contents(&store), undisturbed, "{what}, {cut:?}, again");
        }
    }
}

#[test]
fn a_use_whose_answer_was_lost_is_of_whoever_tried_or_of_nobody() {
    let name = "a_use_whose_answer_was_lost_is_of_whoever_tried_or_of_nobody";
    let Some(cluster) = or_skipped(name, Cluster::shared()) else {
        return;
    };
    let acme = tenant("acme");
    for (cut, asks_again_first) in [
        (Cut::BeforeCommit, true),
        (Cut::BeforeCommit, false),
        (Cut::AfterCommit, true),
        (Cut::AfterCommit, false),
    ] {
        let address = cluster.new_database();
        drop(prepared(&address));
        let (wire, store) = through_a_wire(&cluster, &address);
        wire.cut_next(cut);
        let fault = store.use_once(&acme, &[used("a", 1)]).unwrap_err();
        assert!(
            wire.was_cut() && matches!(fault, Fault::Lost(_)),
            "{cut:?}: {fault:?}"
        );

        let attempts = if asks_again_first { [1, 2] } else { [2, 1] };
        let told = attempts.map(|attempt| {
            let told = store.use_once(&acme, &[used("a", attempt)]).unwrap();
            (attempt, told == [Used::First])
        });
        let expected = match (cut, asks_again_first) {
            // It was used, and never by another.
            (Cut::AfterCommit, _) | (_, true) => 1,
            (Cut::BeforeCommit, false) => 2,
        };
        for (attempt, is_first) in told {
            assert_eq!(is_first, attempt == expected, "{cut:?}: {told:?}");
        }
    }
}

#[test]
fn uses_that_were_forgotten_without_an_answer_are_forgotten() {
    let name = "uses_that_were_forgotten_without_an_answer_are_forgotten";
    let Some(cluster) = or_skipped(name, Cluster::shared()) else {
        return;
    };
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let address = cluster.new_database();
        drop(prepared(&address));
        let (wire, store) = through_a_wire(&cluster, &address);
        wire.cut_next(cut);
        let before = Time::from_unix(100_000);
        let fault = store.forget_uses(&OPERATOR, before).unwrap_err();
        assert!(wire.was_cut() && fault.retryable(), "{cut:?}: {fault:?}");
        if cut == Cut::BeforeCommit {
            let told = store.use_once(&tenant("acme"), &[used("old", 2)]);
            let at = used("old", 1).at;
            assert_eq!(told, Ok(vec![Used::Before { at }]), "it is still there");
        }
        store.forget_uses(&OPERATOR, before).unwrap();
        let told = store.use_once(&tenant("acme"), &[used("old", 3)]);
        assert_eq!(told, Ok(vec![Used::First]), "{cut:?}");
    }
}

/// A store on a wire that can be cut.
fn through_a_wire(cluster: &Cluster, address: &str) -> (Wire, PostgresqlStore) {
    let wire = Wire::to(cluster.folder());
    let through = address.replace(
        &cluster.folder().display().to_string(),
        &wire.host().display().to_string(),
    );
    let store = PostgresqlStore::connect(&through).unwrap();
    (wire, store)
}

/// A store with something to change.
fn prepared(address: &str) -> PostgresqlStore {
    let store = PostgresqlStore::connect(address).unwrap();
    add_tenant(&store, "acme");
    let x = |id| entry(id, "spiffe://a.test/old");
    let changes = [
        domain("a.test"),
        x("old"),
        x("gone"),
        notice("n5", Some(5)),
        notice("n6", Some(6)),
    ];
    store.apply(&tenant("acme"), &changes).unwrap();
    store
        .apply(&tenant("acme"), &[without_entry("gone")])
        .unwrap();
    store
        .record_intents(&tenant("acme"), &[intent("old", 100)])
        .unwrap();
    store.use_once(&tenant("acme"), &[used("old", 1)]).unwrap();
    keep(&store, "acme", &[1], 1).unwrap();
    remove_with_a_key_elsewhere(&store, "departed");
    store
}

/// A tenant comes and goes, and what it had is not cleared away yet.
fn remove_with_a_key_elsewhere(store: &dyn Store, name: &str) {
    let key = add_tenant(store, name);
    let in_token = AuthorityRecord {
        private_key: None,
        key_address: Some("pkcs11:id=%02".to_owned()),
        ..authority("k", "departed.test", &key, b"unused")
    };
    let changes = [
        domain("departed.test"),
        Change::Put(Object::Authority(in_token)),
    ];
    let at = store.apply(&tenant(name), &changes).unwrap();
    store
        .remove_tenants(&OPERATOR, &[(tenant(name), at)])
        .unwrap();
}

fn other_tenant(store: &dyn Store) -> TenantRecord {
    TenantRecord {
        id: tenant("other"),
        ..store.tenants(&OPERATOR).unwrap().remove(0)
    }
}

/// All that can be seen from outside, without the numbers of changes and the keys of tenants, which
/// are others in every database.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    is_raised: bool,
    forgets_removals: bool,
    tenants: Vec<String>,
    keys_of_removed: Vec<(TenantId, String)>,
    snapshot: Snapshot,
    intents: Vec<IntentRow>,
    lifetimes: Vec<Lifetime>,
    decisions: Vec<DecisionRow>,
    followers: Vec<Followers>,
}

fn contents(store: &dyn Store) -> Contents {
    let tenants = store.tenants(&OPERATOR).unwrap();
    let name = |record: TenantRecord| record.id.to_string();
    let mut snapshot = store.load(&tenant("acme")).unwrap();
    let is_raised = snapshot.sequence >= Sequence::of(1_000);
    snapshot.sequence = Sequence::START;
    let feed = store.changes_after(&tenant("acme"), Sequence::START);
    Contents {
        is_raised,
        forgets_removals: feed.unwrap().is_none(),
        tenants: tenants.into_iter().map(name).collect(),
        keys_of_removed: store.keys_of_removed(&OPERATOR).unwrap(),
        snapshot,
        intents: store
            .intents(&tenant("acme"), Time::from_unix(0), 100)
            .unwrap(),
        lifetimes: store.lifetimes(&OPERATOR).unwrap(),
        decisions: all(store, "acme"),
        followers: store
            .followers(&tenant("acme"), &server("nobody"), Time::from_unix(0))
            .unwrap(),
    }
}

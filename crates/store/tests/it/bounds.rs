//! Bounds that changes keep to.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::{
    BoundedKind, Change, Conflict, Fault, IntentId, Key, Sequence, Store, UseKind, Used, Within,
};

use crate::objects::*;
use crate::suite::{Engine, with_domain};

/// How often each adds something.
const ROUNDS: usize = 12;

fn within(top: &str, most: u32, added: usize) -> Within {
    Within {
        top: tenant(top),
        kind: BoundedKind::Entry,
        most,
        added,
        counted: BTreeMap::new(),
    }
}

pub(crate) fn a_change_that_there_is_no_room_for_is_not_made_and_uses_up_nothing(
    engine: &dyn Engine,
) {
    let store = engine.open();
    for name in ["one", "two"] {
        add_tenant(&*store, name);
    }
    let (one, two) = (tenant("one"), tenant("two"));
    let entries = ["a", "b", "c"].map(|name| entry(name, "spiffe://two.test/x"));
    store.apply(&two, &[domain("two.test")]).unwrap();
    store.apply(&two, &entries).unwrap();
    let at = store.load(&one).unwrap().sequence;
    let (uses, intents) = ([used("token", 1)], [intent("i1", 100)]);
    let add = |most| {
        let bounds = [within("root", most, 2), within("one", 2, 2)];
        store.apply_within(&one, &uses, &intents, at, &[anchor("x")], &bounds)
    };
    let full = Conflict::Full {
        kind: BoundedKind::Entry,
        most: 4,
    };
    assert_eq!(add(4), Err(full.into()));
    let name = IntentId::parse("i1").unwrap();
    let is_used = || store.used(&one, UseKind::Token, &uses[0].digest).unwrap();
    assert_eq!(store.load(&one).unwrap().sequence, at);
    assert_eq!(
        (is_used(), store.intent(&one, &name).unwrap()),
        (None, None)
    );
    // What another has of it counts, and there is room for just as much.
    let (used, sequence) = add(5).unwrap();
    assert_eq!(used, [Used::First]);
    assert!(sequence > at);
    assert_eq!(is_used(), Some(Time::from_unix(uses[0].at.unix())));
    assert!(store.intent(&one, &name).unwrap().is_some());
    assert_eq!(store.load(&one).unwrap().anchors.len(), 1);
}

pub(crate) fn what_is_rehearsed_conflicts_as_if_it_were_done_and_changes_nothing(
    engine: &dyn Engine,
) {
    let store = engine.open();
    for name in ["one", "two"] {
        add_tenant(&*store, name);
    }
    let (one, two) = (tenant("one"), tenant("two"));
    store.apply(&two, &[domain("two.test")]).unwrap();
    let before = (store.heads(&OPERATOR).unwrap(), store.load(&one).unwrap());
    let entries = ["a", "b"].map(|name| entry(name, "spiffe://one.test/x"));
    let changes = [vec![domain("one.test")], entries.to_vec()].concat();
    let at = before.1.sequence;
    let bounds = |most| [within("root", most, 2)];
    let rehearsed = store.rehearse(&one, at, &changes, &bounds(2));
    assert_eq!(rehearsed, Ok(()));
    let full = Conflict::Full {
        kind: BoundedKind::Entry,
        most: 1,
    };
    let rehearsed = store.rehearse(&one, at, &changes, &bounds(1));
    assert_eq!(rehearsed, Err(full.into()));
    let taken = store.rehearse(&one, at, &[domain("two.test")], &[]);
    assert_eq!(
        taken,
        Err(Conflict::TrustDomainTaken(trust_domain("two.test")).into())
    );
    let homeless = store.rehearse(&one, at, &entries, &[]);
    assert_eq!(homeless, store.apply(&one, &entries).map(drop));
    assert!(homeless.is_err());
    // A tenant, too: one that may be added, one that is there, and one below nothing.
    let mut tenants = store.tenants(&OPERATOR).unwrap().into_iter();
    let mut record = tenants.find(|record| record.id == one).unwrap();
    record.created = Time::from_unix(7);
    let taken = store.rehearse_tenant(&OPERATOR, &record);
    assert_eq!(taken, Err(Conflict::TenantTaken(one.clone()).into()));
    record.id = tenant("three");
    assert_eq!(store.rehearse_tenant(&OPERATOR, &record), Ok(()));
    record.parent = Some(tenant("none"));
    let below_nothing = store.rehearse_tenant(&OPERATOR, &record);
    assert_eq!(
        below_nothing,
        Err(Conflict::UnknownTenant(tenant("none")).into())
    );
    // Nothing of it is there, nor any number of it, also after a restart.
    drop(store);
    let store = engine.open();
    let after = (store.heads(&OPERATOR).unwrap(), store.load(&one).unwrap());
    assert_eq!(after, before);
    assert_eq!(store.tenants(&OPERATOR).unwrap().len(), 3);
    store.apply(&one, &changes).unwrap();
    assert_eq!(store.load(&one).unwrap().entries.len(), 2);
}

pub(crate) fn those_who_keep_to_bounds_and_a_server_that_starts_do_not_wait_for_ever(
    engine: &dyn Engine,
) {
    let stores = [engine.open(), engine.open()];
    // Before the tenant above by name, and after it.
    let names = ["a", "b", "y", "z"];
    for name in names {
        add_tenant(&*stores[0], name);
    }
    let begin = Barrier::new(stores.len() * names.len() + 1);
    thread::scope(|scope| {
        for store in &stores {
            for name in names {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    (0..ROUNDS).for_each(|_| add_one(&**store, &tenant(name)));
                });
            }
        }
        let starting = &stores[1];
        let begin = &begin;
        scope.spawn(move || {
            begin.wait();
            for _ in 0..4 * ROUNDS {
                starting.raise(&OPERATOR, Sequence::START).unwrap();
            }
        });
    });
}

/// Adds something, worked out anew where another was faster. Nothing else may keep it from that.
fn add_one(store: &dyn Store, id: &TenantId) {
    let bounds = [within(id.as_str(), 10, 1), within("root", 10, 1)];
    let mut at = Sequence::START;
    loop {
        match store.apply_within(id, &[], &[], at, &[anchor("x")], &bounds) {
            Ok(_) => return,
            Err(Fault::Conflict(Conflict::Moved { found, .. })) => at = found,
            Err(fault) => panic!("{id}: {fault}"),
        }
    }
}

pub(crate) fn a_tenant_has_one_quota_or_none(engine: &dyn Engine) {
    let store = with_domain(engine);
    let apply = |change| store.apply(&tenant("acme"), &[change]).unwrap();
    let held = || store.load(&tenant("acme")).unwrap().quota;
    apply(quota(1));
    apply(quota(2));
    assert_eq!(held().unwrap().entries, Some(2));
    apply(Change::Remove(Key::Quota));
    assert_eq!(held(), None);
}

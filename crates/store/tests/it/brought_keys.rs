//! Keys that were in their place before an authority signed with them.

use std::sync::Barrier;
use std::thread;

use avouch_core::id::TenantId;
use avouch_store::{AuthorityRecord, Change, Conflict, Fault, Key, Object, Store};

use crate::objects::*;
use crate::suite::Engine;

/// Tenants with a trust domain each, by the name of the tenant.
fn tenants(store: &dyn Store, names: &[&str]) -> Vec<(TenantId, AuthorityRecord)> {
    let made = names.iter().map(|name| {
        let key = add_tenant(store, name);
        let id = tenant(name);
        let own = format!("{name}.test");
        store.apply(&id, &[domain(&own)]).unwrap();
        let record = AuthorityRecord {
            private_key: None,
            key_address: Some("pkcs11:token=t;id=%07".to_owned()),
            key_is_brought: true,
            ..authority("k", &own, &key, b"unused")
        };
        (id, record)
    });
    made.collect()
}

fn put(record: &AuthorityRecord) -> [Change; 1] {
    [Change::Put(Object::Authority(record.clone()))]
}

pub(crate) fn a_key_that_was_brought_along_signs_for_one_authority_of_one_tenant(
    engine: &dyn Engine,
) {
    let store = engine.open();
    let made = tenants(&*store, &["acme", "other"]);
    let [(acme, first), (other, second)] = made.as_slice() else {
        panic!("two were made");
    };
    store.apply(acme, &put(first)).unwrap();
    store.apply(acme, &put(first)).unwrap();
    let taken = Fault::from(Conflict::KeyTaken(second.id.clone()));
    let before = store.load(other).unwrap();
    assert_eq!(store.apply(other, &put(second)), Err(taken.clone()));
    assert_eq!(store.load(other), Ok(before), "nothing of it is left");
    // Nor does another authority of the same tenant sign with it.
    let beside = AuthorityRecord {
        id: avouch_store::AuthorityId::parse("beside").unwrap(),
        ..first.clone()
    };
    assert!(store.apply(acme, &put(&beside)).is_err());
    // One with another key, and one whose key was made here, do not mind.
    let another = AuthorityRecord {
        public_key: vec![9],
        ..beside
    };
    store.apply(acme, &put(&another)).unwrap();
    let own = AuthorityRecord {
        key_is_brought: false,
        ..second.clone()
    };
    store.apply(other, &put(&own)).unwrap();
    assert_eq!(store.apply(other, &put(second)), Err(taken.clone()));
    drop(store);

    // It is free once its authority has no key any more, ...
    let store = engine.open();
    let without = AuthorityRecord {
        key_address: None,
        key_is_brought: false,
        ..first.clone()
    };
    store.apply(acme, &put(&without)).unwrap();
    store.apply(other, &put(second)).unwrap();
    assert!(store.apply(acme, &put(first)).is_err());
    // ... has gone, ...
    let gone = Change::Remove(Key::Authority(second.id.clone()));
    store.apply(other, &[gone]).unwrap();
    store.apply(acme, &put(first)).unwrap();
    assert_eq!(store.apply(other, &put(second)), Err(taken));
    // ... or its tenant has; and nobody is told to destroy it.
    let at = store.load(acme).unwrap().sequence;
    let removed = [(acme.clone(), at)];
    store.remove_tenants(&OPERATOR, &removed).unwrap();
    assert_eq!(store.keys_of_removed(&OPERATOR), Ok(Vec::new()));
    store.apply(other, &put(second)).unwrap();
}

pub(crate) fn a_key_that_was_made_here_is_brought_along_for_nobody(engine: &dyn Engine) {
    let store = engine.open();
    let made = tenants(&*store, &["acme", "other"]);
    let [(acme, first), (other, second)] = made.as_slice() else {
        panic!("two were made");
    };
    let in_token = AuthorityRecord {
        key_is_brought: false,
        ..second.clone()
    };
    let key = add_tenant(&*store, "third");
    let third = tenant("third");
    store.apply(&third, &[domain("third.test")]).unwrap();
    let sealed = authority("k", "third.test", &key, b"secret");
    let gone = |record: &AuthorityRecord| [Change::Remove(Key::Authority(record.id.clone()))];
    let taken = Fault::from(Conflict::KeyTaken(first.id.clone()));
    let before = store.load(acme).unwrap();
    for (tenant, own) in [(&third, &sealed), (other, &in_token)] {
        store.apply(tenant, &put(own)).unwrap();
        assert_eq!(store.apply(acme, &put(first)), Err(taken.clone()));
        store.apply(tenant, &gone(own)).unwrap();
    }
    assert_eq!(store.load(acme), Ok(before), "nothing of it is left");
    store.apply(other, &put(&in_token)).unwrap();
    // Nor for another authority of the same tenant.
    let beside = AuthorityRecord {
        id: avouch_store::AuthorityId::parse("beside").unwrap(),
        ..second.clone()
    };
    assert!(store.apply(other, &put(&beside)).is_err());
    // Its owner may take the place of its own, and then leave it.
    store.apply(other, &put(second)).unwrap();
    store.apply(other, &put(&in_token)).unwrap();
    assert!(store.apply(acme, &put(first)).is_err());
    let destroyed = AuthorityRecord {
        key_address: None,
        ..in_token.clone()
    };
    store.apply(other, &put(&destroyed)).unwrap();
    store.apply(acme, &put(first)).unwrap();
    // Whoever has it as a file cannot keep the authority from changing that signs with it.
    store.apply(&third, &put(&sealed)).unwrap();
    store.apply(acme, &put(first)).unwrap();
    store.apply(acme, &gone(first)).unwrap();
    assert_eq!(store.apply(acme, &put(first)), Err(taken));
    store.apply(&third, &gone(&sealed)).unwrap();
    store.apply(acme, &put(first)).unwrap();
}

pub(crate) fn of_two_tenants_that_bring_one_key_at_once_one_has_it(engine: &dyn Engine) {
    let store = engine.open();
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = tenants(&*store, &names);
    drop(store);
    let start = Barrier::new(made.len());
    let won = thread::scope(|scope| {
        let tries = made.iter().map(|(tenant, record)| {
            let (store, start) = (engine.open(), &start);
            scope.spawn(move || {
                start.wait();
                match store.apply(tenant, &put(record)) {
                    Ok(_) => 1,
                    Err(Fault::Conflict(Conflict::KeyTaken(_))) => 0,
                    Err(other) => panic!("{other}"),
                }
            })
        });
        let tries: Vec<_> = tries.collect();
        tries
            .into_iter()
            .map(|one| one.join().unwrap())
            .sum::<u32>()
    });
    assert_eq!(won, 1);
}

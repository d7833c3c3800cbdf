//! Tenants that are removed.

use std::sync::Barrier;
use std::thread;

use avouch_core::id::{Digest, TenantId};
use avouch_core::time::Time;
use avouch_store::keyring::SecretOf;
use avouch_store::{
    AuthorityId, Change, Conflict, Fault, Feed, IntentId, Object, Sequence, Snapshot, Store,
    TenantKind, TenantRecord, UseKind, Used,
};

use crate::objects::*;
use crate::suite::Engine;

fn at(store: &dyn Store, name: &str) -> (TenantId, Sequence) {
    let id = tenant(name);
    let sequence = store.load(&id).unwrap().sequence;
    (id, sequence)
}

fn is_there(store: &dyn Store, name: &str) -> bool {
    let records = store.tenants(&OPERATOR).unwrap();
    let is_listed = records.iter().any(|record| record.id == tenant(name));
    let heads = store.heads(&OPERATOR).unwrap();
    assert_eq!(heads.contains_key(&tenant(name)), is_listed);
    is_listed
}

/// Adds a tenant below another.
fn below(store: &dyn Store, parent: &str, name: &str, kind: TenantKind) -> Result<(), Fault> {
    let template = store.tenants(&OPERATOR).unwrap().remove(0);
    let record = TenantRecord {
        id: tenant(name),
        parent: Some(tenant(parent)),
        kind,
        ..template
    };
    store.add_tenant(&OPERATOR, &record)
}

fn owns_nothing(store: &dyn Store, id: &TenantId) {
    let unknown = Fault::from(Conflict::UnknownTenant(id.clone()));
    let begin = Time::from_unix(0);
    assert_eq!(store.load(id), Ok(Snapshot::default()));
    let feed = store.changes_after(id, Sequence::START);
    assert_eq!(feed, Ok(Some(Feed::default())));
    assert_eq!(store.intents(id, begin, 10), Ok(Vec::new()));
    let name = IntentId::parse("i1").unwrap();
    assert_eq!(store.intent(id, &name), Ok(None));
    assert_eq!(store.intents_called(id, "i", 10), Ok(Vec::new()));
    let one = used("t", 1);
    assert_eq!(store.used(id, UseKind::Token, &one.digest), Ok(None));
    assert_eq!(store.apply(id, &[anchor("x")]), Err(unknown.clone()));
    let recorded = store.record_intents(id, &[intent("i9", 100)]);
    assert_eq!(recorded, Err(unknown.clone()));
    assert_eq!(store.use_once(id, &[one]), Err(unknown));
}

pub(crate) fn a_tenant_that_was_removed_owns_nothing_and_gives_nothing_to_its_name(
    engine: &dyn Engine,
) {
    let store = engine.open();
    let key = add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    let acme = tenant("acme");
    let record = authority("k1", "a.test", &key, b"a private key");
    let sealed = record.private_key.clone().unwrap();
    let mut in_token = authority("k2", "a.test", &key, b"unused");
    in_token.private_key = None;
    in_token.key_address = Some("pkcs11:id=%02".to_owned());
    let changes = [
        domain("a.test"),
        Change::Put(Object::Authority(record)),
        Change::Put(Object::Authority(in_token)),
        entry("e", "spiffe://a.test/x"),
    ];
    store.apply(&acme, &changes).unwrap();
    store.record_intents(&acme, &[intent("i1", 100)]).unwrap();
    let first = store.use_once(&acme, &[used("t", 1)]).unwrap();
    assert_eq!(first, [Used::First]);

    let gone = at(&*store, "acme");
    let stale = (acme.clone(), Sequence::START);
    let moved = store.remove_tenants(&OPERATOR, &[stale]);
    assert!(
        matches!(moved, Err(Fault::Conflict(Conflict::Moved { .. }))),
        "{moved:?}"
    );
    assert!(is_there(&*store, "acme"));
    assert_eq!(store.keys_of_removed(&OPERATOR), Ok(Vec::new()));
    store
        .remove_tenants(&OPERATOR, std::slice::from_ref(&gone))
        .unwrap();
    // Whose answer was lost asks again.
    store
        .remove_tenants(&OPERATOR, std::slice::from_ref(&gone))
        .unwrap();
    drop(store);

    let store = engine.open();
    assert!(!is_there(&*store, "acme") && is_there(&*store, "other"));
    owns_nothing(&*store, &acme);
    let left = vec![(acme.clone(), "pkcs11:id=%02".to_owned())];
    assert_eq!(store.keys_of_removed(&OPERATOR), Ok(left));
    assert!(store.clear_removed(&OPERATOR).unwrap() > 0);
    while store.clear_removed(&OPERATOR).unwrap() > 0 {}
    owns_nothing(&*store, &acme);
    assert_eq!(store.keys_of_removed(&OPERATOR), Ok(Vec::new()));

    // Nobody else takes its names over.
    let taken = Fault::from(Conflict::TenantTaken(acme.clone()));
    let elsewhere = below(&*store, "other", "acme", TenantKind::Environment);
    assert_eq!(elsewhere, Err(taken));
    let claimed = store.apply(&tenant("other"), &[domain("a.test")]);
    let taken = Conflict::TrustDomainTaken(trust_domain("a.test"));
    assert_eq!(claimed, Err(taken.into()));

    let again = add_tenant(&*store, "acme");
    let (_, begins) = at(&*store, "acme");
    assert!(begins > gone.1, "numbers go on");
    let feed = store.changes_after(&acme, gone.1).unwrap().unwrap();
    assert!(feed.begins > gone.1 && feed.changes.is_empty(), "{feed:?}");
    let id = AuthorityId::parse("k1").unwrap();
    assert!(
        again.open(SecretOf::Authority(&id), &sealed).is_err(),
        "it has another key"
    );
    store.apply(&acme, &[domain("a.test")]).unwrap();
    let snapshot = store.load(&acme).unwrap();
    assert!(snapshot.entries.is_empty() && snapshot.authorities.is_empty());
    assert_eq!(store.intents(&acme, Time::from_unix(0), 10), Ok(Vec::new()));
    let mut other = intent("i1", 100);
    other.content = Digest::of(b"something else");
    store.record_intents(&acme, &[other]).unwrap();
    let first = store.use_once(&acme, &[used("t", 2)]).unwrap();
    assert_eq!(first, [Used::First]);
    // Nor is what is there now cleared away.
    assert_eq!(store.clear_removed(&OPERATOR), Ok(0));
    let removed = store.remove_tenants(&OPERATOR, &[gone]);
    assert!(removed.is_err(), "a late answer removes no other");
    assert!(is_there(&*store, "acme"));
}

pub(crate) fn what_is_meant_for_a_tenant_that_was_removed_is_not_for_another_of_its_name(
    engine: &dyn Engine,
) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let acme = tenant("acme");
    let held = store.apply(&acme, &[anchor("old")]).unwrap();
    store
        .remove_tenants(&OPERATOR, &[(acme.clone(), held)])
        .unwrap();
    add_tenant(&*store, "acme");
    let (_, begins) = at(&*store, "acme");
    let unknown = Fault::from(Conflict::UnknownTenant(acme.clone()));
    let changes = [anchor("x")];
    let (uses, intents) = ([used("t", 1)], [intent("i1", 100)]);
    assert_eq!(
        store.apply_held(&acme, held, &changes),
        Err(unknown.clone())
    );
    assert_eq!(store.apply_at(&acme, held, &changes), Err(unknown.clone()));
    let of_both = store.use_and_record_held(&acme, held, &uses, &intents);
    assert_eq!(of_both, Err(unknown.clone()));
    let of_one = store.use_and_record_held(&acme, held, &[], &intents);
    assert_eq!(of_one, Err(unknown.clone()));
    let with_change = store.use_record_and_apply(&acme, &uses, &intents, held, &changes);
    assert_eq!(with_change, Err(unknown.clone()));
    let (told, heard) = std::sync::mpsc::channel();
    let told = Box::new(move |outcome| told.send(outcome).unwrap());
    store.use_and_record_later(&acme, held, uses.to_vec(), intents.to_vec(), told);
    assert_eq!(heard.recv().unwrap(), Err(unknown));

    let snapshot = store.load(&acme).unwrap();
    assert_eq!((snapshot.sequence, snapshot.anchors.len()), (begins, 0));
    assert_eq!(store.intents(&acme, Time::from_unix(0), 10), Ok(Vec::new()));
    let told = store.use_and_record_held(&acme, begins, &uses, &intents);
    assert_eq!(told, Ok(vec![Used::First]));
    store.apply_held(&acme, begins, &changes).unwrap();
    // Whoever is behind holds the same one all the same.
    store.apply_held(&acme, begins, &[anchor("y")]).unwrap();
}

pub(crate) fn tenants_are_removed_together_or_not_at_all(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    below(&*store, "acme", "prod", TenantKind::Environment).unwrap();
    let (acme, prod) = (at(&*store, "acme"), at(&*store, "prod"));
    let alone = store.remove_tenants(&OPERATOR, std::slice::from_ref(&acme));
    let in_use = Conflict::TenantInUse(tenant("acme"));
    assert_eq!(alone, Err(in_use.into()));
    let nobody = (tenant("nobody"), Sequence::START);
    let with_none = [acme.clone(), prod.clone(), nobody];
    let unknown = Conflict::UnknownTenant(tenant("nobody"));
    let removed = store.remove_tenants(&OPERATOR, &with_none);
    assert_eq!(removed, Err(unknown.into()));
    assert!(is_there(&*store, "acme") && is_there(&*store, "prod"));
    store.remove_tenants(&OPERATOR, &[acme, prod]).unwrap();
    assert!(!is_there(&*store, "acme") && !is_there(&*store, "prod"));
    let orphan = below(&*store, "acme", "prod", TenantKind::Environment);
    let unknown = Conflict::UnknownTenant(tenant("acme"));
    assert_eq!(orphan, Err(unknown.into()));
}

pub(crate) fn nothing_is_added_below_a_tenant_that_is_removed_meanwhile(engine: &dyn Engine) {
    let (store, second) = (engine.open(), engine.open());
    for round in 0..20 {
        let (parent, child) = (format!("p{round}"), format!("c{round}"));
        add_tenant(&*store, &parent);
        let gone = at(&*store, &parent);
        let start = Barrier::new(2);
        let (added, removed) = thread::scope(|scope| {
            let adding = scope.spawn(|| {
                start.wait();
                below(&*second, &parent, &child, TenantKind::Environment)
            });
            start.wait();
            let removed = store.remove_tenants(&OPERATOR, &[gone]);
            (adding.join().unwrap(), removed)
        });
        assert!(
            added.is_ok() != removed.is_ok(),
            "{round}: {added:?}, {removed:?}"
        );
        assert_eq!(is_there(&*store, &parent), added.is_ok());
        assert_eq!(is_there(&*store, &child), added.is_ok());
    }
}

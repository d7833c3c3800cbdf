//! What is known of tenants of which nothing else is read.

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_store::{
    AdminId, AdminRecord, AnchorId, Appointed, Change, Counts, EntryId, Key, Object, Outline,
};

use crate::objects::*;
use crate::suite::Engine;

pub(crate) fn an_outline_says_of_a_tenant_what_is_in_it_and_nothing_of_another(
    engine: &dyn Engine,
) {
    let store = engine.open();
    let (acme, other) = (tenant("acme"), tenant("other"));
    let key = add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    assert_eq!(store.outline(&acme).unwrap(), Outline::default());
    assert_eq!(
        store.outline(&tenant("nobody")).unwrap(),
        Outline::default()
    );

    let authority = authority("a1", "a.test", &key, b"secret");
    let put = [
        domain("a.test"),
        domain("b.test"),
        Change::Put(Object::Authority(authority.clone())),
        anchor("an-anchor"),
    ];
    let appointed = Appointed {
        subject: SpiffeId::parse("spiffe://a.test/boss").unwrap(),
        role: Some("auditor".to_owned()),
    };
    let admin = AdminRecord {
        id: AdminId::parse("boss").unwrap(),
        subject: appointed.subject.clone(),
        role: "auditor".to_owned(),
        created: Time::from_unix(7),
    };
    let appoint = Change::Put(Object::Admin(admin));
    store.apply(&acme, &[appoint]).unwrap();
    let at = store.apply(&acme, &put).unwrap();
    assert_eq!(store.appointed(&acme).unwrap(), [appointed]);
    assert_eq!(store.appointed(&other).unwrap(), []);
    let outline = store.outline(&acme).unwrap();
    assert_eq!(outline.sequence, at);
    assert_eq!(outline.authorities, [authority]);
    assert!(outline.has(&trust_domain("a.test")) && outline.has(&trust_domain("b.test")));
    assert!(!outline.has_entries && !outline.works_by_itself);
    assert_eq!(store.outline(&other).unwrap(), Outline::default());
    assert_eq!(store.counts(&acme).unwrap(), Counts::default());

    let entries = [
        entry("e1", "spiffe://a.test/x"),
        entry("e2", "spiffe://a.test/y"),
    ];
    store.apply(&acme, &entries).unwrap();
    store.apply(&acme, &[without_domain("b.test")]).unwrap();
    let outline = store.outline(&acme).unwrap();
    assert!(outline.has_entries && !outline.has(&trust_domain("b.test")));
    assert_eq!(store.counts(&acme).unwrap().entries, 2);
    let one = Key::Entry(EntryId::parse("e1").unwrap());
    let Change::Put(stored) = entry("e1", "spiffe://a.test/x") else {
        panic!("nothing is put");
    };
    assert_eq!(
        store.object(&acme, &one).unwrap(),
        Some((outline.sequence, stored))
    );
    assert_eq!(store.object(&other, &one).unwrap(), None);
    assert_eq!(store.counts(&other).unwrap(), Counts::default());
    let gone = [without_entry("e1"), without_entry("e2")];
    store.apply(&acme, &gone).unwrap();
    assert!(!store.outline(&acme).unwrap().has_entries);
    assert_eq!(store.object(&acme, &one).unwrap(), None);
    assert_eq!(store.counts(&acme).unwrap(), Counts::default());
    let none = Change::Remove(Key::Anchor(AnchorId::parse("an-anchor").unwrap()));
    store.apply(&acme, &[none]).unwrap();
}

pub(crate) fn whose_a_trust_domain_is_is_known_as_long_as_it_is(engine: &dyn Engine) {
    let store = engine.open();
    let (acme, other) = (tenant("acme"), tenant("other"));
    add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    let owners = || store.trust_domains(&OPERATOR).unwrap();
    assert!(owners().is_empty());
    store
        .apply(&acme, &[domain("a.test"), domain("b.test")])
        .unwrap();
    let at = store.apply(&other, &[domain("c.test")]).unwrap();
    let expected = [("a.test", &acme), ("b.test", &acme), ("c.test", &other)];
    let expected = expected.map(|(name, owner)| (trust_domain(name), owner.clone()));
    assert_eq!(owners(), expected.into());
    store.apply(&acme, &[without_domain("b.test")]).unwrap();
    assert_eq!(store.tenant(&OPERATOR, &other).unwrap().unwrap().id, other);
    store
        .remove_tenants(&OPERATOR, &[(other.clone(), at)])
        .unwrap();
    assert_eq!(owners(), [(trust_domain("a.test"), acme)].into());
    assert_eq!(store.tenant(&OPERATOR, &other).unwrap(), None);
}

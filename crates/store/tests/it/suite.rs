//! What holds on every engine. Each case gets an empty store, and may close and open it again.

use std::sync::Barrier;
use std::thread;

use avouch_core::id::TenantId;
use avouch_core::time::Time;
use avouch_store::keyring::SecretOf;
use avouch_store::{
    Change, Conflict, Fault, Feed, Key, Object, Sequence, Snapshot, Store, TenantKind, TenantRecord,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

pub(crate) use crate::bounds::*;
pub(crate) use crate::brought_keys::*;
pub(crate) use crate::decisions::*;
pub(crate) use crate::followers::*;
pub(crate) use crate::lifetimes::*;
use crate::objects::*;
pub(crate) use crate::outlines::*;
pub(crate) use crate::over::*;
pub(crate) use crate::removals::*;
pub(crate) use crate::removed_tenants::*;
pub(crate) use crate::uses::*;

/// An engine with one database, which outlives the stores that are opened on it.
pub(crate) trait Engine {
    /// Opens the database, as another process would.
    fn open(&self) -> Box<dyn Store>;
}

/// Makes a test of every case for one engine. `$engine` is an expression of type
/// `Option<impl Engine>`, made anew for each case; `None` if the case cannot run here, which it has
/// said then.
macro_rules! on_every_case {
    ($make:expr) => {
        $crate::suite::on_cases! { $make;
            what_is_put_is_loaded_again_after_a_restart,
            an_object_put_again_replaces_the_one_before,
            what_is_removed_is_gone_and_may_be_removed_again,
            a_tenant_has_one_quota_or_none,
            the_last_change_of_an_object_in_one_call_counts,
            all_changes_of_a_call_are_made_or_none,
            sequences_go_up_by_one_with_each_call,
            a_call_without_changes_changes_nothing,
            only_one_of_two_who_saw_the_same_acts,
            the_feed_brings_a_snapshot_up_to_date,
            the_feed_puts_what_others_need_first_and_removes_it_last,
            any_calls_lead_to_the_same_snapshot_by_load_and_by_feed,
            a_tenant_that_does_not_exist_owns_nothing_and_gets_nothing,
            two_tenants_may_have_the_same_names_and_never_see_each_other,
            a_trust_domain_belongs_to_one_tenant_for_ever,
            an_object_outside_the_trust_domains_of_its_tenant_is_refused,
            a_trust_domain_in_use_is_not_removed,
            what_is_rehearsed_conflicts_as_if_it_were_done_and_changes_nothing,
            the_tree_of_tenants_is_kept_in_order,
            a_tenant_is_never_changed,
            a_tenant_that_was_removed_owns_nothing_and_gives_nothing_to_its_name,
            what_is_meant_for_a_tenant_that_was_removed_is_not_for_another_of_its_name,
            tenants_are_removed_together_or_not_at_all,
            nothing_is_added_below_a_tenant_that_is_removed_meanwhile,
            a_change_that_there_is_no_room_for_is_not_made_and_uses_up_nothing,
            those_who_keep_to_bounds_and_a_server_that_starts_do_not_wait_for_ever,
            a_private_key_comes_back_sealed_and_opens,
            a_key_that_was_brought_along_signs_for_one_authority_of_one_tenant,
            a_key_that_was_made_here_is_brought_along_for_nobody,
            of_two_tenants_that_bring_one_key_at_once_one_has_it,
            intents_are_recorded_once_and_told_in_order,
            an_intent_that_says_something_else_is_refused_with_all_beside_it,
            intents_are_forgotten_when_their_credentials_have_expired,
            answers_about_certificates_are_forgotten_apart,
            a_lifetime_is_known_until_all_that_may_live_as_long_has_ended,
            what_lives_is_counted_by_kind_and_trust_domain,
            writers_at_once_lose_nothing,
            a_reader_never_sees_part_of_a_call,
            ten_thousand_entries_go_in_one_call,
            what_was_used_stays_used_after_a_restart,
            whoever_asks_again_is_still_the_first,
            every_use_of_a_call_is_answered_in_its_place,
            of_a_thousand_at_once_one_is_the_first,
            uses_in_opposite_orders_never_hold_each_other_up,
            what_is_used_first_changes_what_is_applied_with_it,
            the_same_digest_of_another_tenant_or_kind_is_another_thing,
            a_use_is_forgotten_after_its_end_and_not_before,
            what_is_used_first_is_on_record_with_what_it_was_used_for,
            of_calls_at_once_only_the_wrong_one_is_refused,
            servers_know_how_far_followers_of_others_have_come,
            a_server_learns_that_its_last_report_is_gone,
            numbers_are_raised_for_all_tenants_and_go_on_from_there,
            what_was_removed_is_forgotten_and_whoever_missed_it_loads_anew,
            what_comes_and_goes_leaves_nothing_to_read,
            an_outline_says_of_a_tenant_what_is_in_it_and_nothing_of_another,
            whose_a_trust_domain_is_is_known_as_long_as_it_is,
            what_is_over_is_removed_of_each_tenant_and_told_as_news,
            what_is_given_more_time_while_it_is_removed_stays,
            decisions_are_kept_after_a_restart_and_told_latest_first,
            of_many_decisions_the_oldest_go_first,
            decisions_of_a_tenant_that_was_removed_are_nobodys,
        }
    };
}
macro_rules! on_cases {
    ($make:expr; $($case:ident,)*) => {$(
        #[test]
        fn $case() {
            if let Some(engine) = $make(stringify!($case)) {
                $crate::suite::$case(&engine);
            }
        }
    )*};
}
pub(crate) use {on_cases, on_every_case};

pub(crate) fn what_is_put_is_loaded_again_after_a_restart(engine: &dyn Engine) {
    let store = engine.open();
    let key = add_tenant(&*store, "acme");
    let root = authority("k1", "a.test", &key, b"secret");
    let without_key = avouch_store::AuthorityRecord {
        private_key: None,
        certificates: Vec::new(),
        key_address: Some("pkcs11:token=avouch;id=%01;type=private".to_owned()),
        key_is_brought: true,
        public_key: vec![2],
        used_for: avouch_store::AuthorityUse::Devices,
        revoked: vec![avouch_store::RevokedCertificate {
            serial: "40ff".to_owned(),
            at: Time::from_unix(7),
            reason: 1,
            not_after: Time::from_unix(9),
        }],
        revocation_list: Some(Box::new(avouch_store::RevocationListRecord {
            number: 3,
            this_update: Time::from_unix(7),
            next_update: Time::from_unix(8),
            der: vec![0x30, 0],
        })),
        ..authority("k2", "a.test", &key, b"")
    };
    let bare = bare_entry("e2", "spiffe://a.test");
    let sequence = store
        .apply(
            &tenant("acme"),
            &[
                entry("e1", "spiffe://a.test/x"),
                node("n1", "spiffe://a.test/node/n1"),
                join_token("t1", "spiffe://a.test/node/n2"),
                admin("p1", "spiffe://above.test/people/p1"),
                attestor("m1"),
                rule("r1"),
                federation("partner.test"),
                issuer("i1"),
                issuer_keys("i1"),
                issuer_pins("i1"),
                Change::Put(Object::Entry(bare.clone())),
                Change::Put(Object::Authority(root.clone())),
                Change::Put(Object::Authority(without_key.clone())),
                anchor("x1"),
                quota(7),
                domain("a.test"),
            ],
        )
        .unwrap();
    let tenants = store.tenants(&OPERATOR).unwrap();
    drop(store);

    let store = engine.open();
    let loaded = store.load(&tenant("acme")).unwrap();
    let mut expected = Snapshot::default();
    expected.change(domain("a.test"));
    expected.change(Change::Put(Object::Authority(root)));
    expected.change(Change::Put(Object::Authority(without_key)));
    expected.change(anchor("x1"));
    expected.change(quota(7));
    expected.change(entry("e1", "spiffe://a.test/x"));
    expected.change(node("n1", "spiffe://a.test/node/n1"));
    expected.change(join_token("t1", "spiffe://a.test/node/n2"));
    expected.change(admin("p1", "spiffe://above.test/people/p1"));
    expected.change(attestor("m1"));
    expected.change(rule("r1"));
    expected.change(federation("partner.test"));
    expected.change(issuer("i1"));
    expected.change(issuer_keys("i1"));
    expected.change(issuer_pins("i1"));
    expected.change(Change::Put(Object::Entry(bare)));
    expected.sequence = sequence;
    assert_eq!(loaded, expected);
    assert_eq!(store.tenants(&OPERATOR).unwrap(), tenants);
    assert_eq!(store.heads(&OPERATOR).unwrap()[&tenant("acme")], sequence);
}

pub(crate) fn an_object_put_again_replaces_the_one_before(engine: &dyn Engine) {
    let store = with_domain(engine);
    let mut changed = full_entry("e1", "spiffe://a.test/x");
    store
        .apply(
            &tenant("acme"),
            &[Change::Put(Object::Entry(changed.clone()))],
        )
        .unwrap();
    changed = bare_entry("e1", "spiffe://a.test/y");
    store
        .apply(
            &tenant("acme"),
            &[Change::Put(Object::Entry(changed.clone()))],
        )
        .unwrap();
    let snapshot = store.load(&tenant("acme")).unwrap();
    assert_eq!(
        snapshot.entries.into_values().collect::<Vec<_>>(),
        [changed.into()]
    );
}

pub(crate) fn what_is_removed_is_gone_and_may_be_removed_again(engine: &dyn Engine) {
    let store = with_domain(engine);
    store
        .apply(&tenant("acme"), &[entry("e1", "spiffe://a.test/x")])
        .unwrap();
    for _ in 0..2 {
        store
            .apply(&tenant("acme"), &[without_entry("e1")])
            .unwrap();
        assert!(store.load(&tenant("acme")).unwrap().entries.is_empty());
    }
    store
        .apply(&tenant("acme"), &[entry("e1", "spiffe://a.test/x")])
        .unwrap();
    assert_eq!(store.load(&tenant("acme")).unwrap().entries.len(), 1);
}

pub(crate) fn the_last_change_of_an_object_in_one_call_counts(engine: &dyn Engine) {
    let store = with_domain(engine);
    let put = || entry("e1", "spiffe://a.test/x");
    store
        .apply(&tenant("acme"), &[put(), without_entry("e1")])
        .unwrap();
    assert!(store.load(&tenant("acme")).unwrap().entries.is_empty());
    store
        .apply(&tenant("acme"), &[without_entry("e1"), put(), put()])
        .unwrap();
    assert_eq!(store.load(&tenant("acme")).unwrap().entries.len(), 1);
}

pub(crate) fn all_changes_of_a_call_are_made_or_none(engine: &dyn Engine) {
    let store = with_domain(engine);
    let before = store.load(&tenant("acme")).unwrap();
    let conflict = store
        .apply(
            &tenant("acme"),
            &[
                anchor("x1"),
                domain("c.test"),
                entry("e1", "spiffe://a.test/x"),
                entry("e2", "spiffe://elsewhere.test/x"),
            ],
        )
        .unwrap_err();
    let unknown = trust_domain("elsewhere.test");
    assert_eq!(conflict, Conflict::UnknownTrustDomain(unknown).into());
    assert!(!conflict.retryable());
    assert_eq!(store.load(&tenant("acme")).unwrap(), before);

    // The name that was claimed in vain is still free for others.
    add_tenant(&*store, "other");
    store.apply(&tenant("other"), &[domain("c.test")]).unwrap();
}

pub(crate) fn sequences_go_up_by_one_with_each_call(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    for expected in 1..=5 {
        let id = format!("x{expected}");
        let sequence = store
            .apply(&tenant("acme"), &[anchor(&id), anchor("same")])
            .unwrap();
        assert_eq!(sequence.number(), expected);
        assert_eq!(store.heads(&OPERATOR).unwrap()[&tenant("acme")], sequence);
    }
    let heads = store.heads(&OPERATOR).unwrap();
    assert_eq!(heads[&tenant("other")], Sequence::START);
    assert_eq!(heads.len(), 3);
}

pub(crate) fn a_call_without_changes_changes_nothing(engine: &dyn Engine) {
    let store = with_domain(engine);
    let before = store.load(&tenant("acme")).unwrap();
    assert_eq!(store.apply(&tenant("acme"), &[]), Ok(before.sequence));
    store.record_intents(&tenant("acme"), &[]).unwrap();
    assert_eq!(store.load(&tenant("acme")).unwrap(), before);
}

pub(crate) fn only_one_of_two_who_saw_the_same_acts(engine: &dyn Engine) {
    let first = with_domain(engine);
    let second = engine.open();
    let seen = first.load(&tenant("acme")).unwrap().sequence;
    assert_eq!(second.load(&tenant("acme")).unwrap().sequence, seen);

    let acted = first
        .apply_at(&tenant("acme"), seen, &[anchor("first")])
        .unwrap();
    let conflict = second
        .apply_at(&tenant("acme"), seen, &[anchor("second")])
        .unwrap_err();
    let expected = Conflict::Moved {
        expected: seen,
        found: acted,
    };
    assert_eq!(conflict, expected.into());
    second
        .apply_at(&tenant("acme"), acted, &[anchor("second")])
        .unwrap();
    assert_eq!(first.load(&tenant("acme")).unwrap().anchors.len(), 2);
}

pub(crate) fn the_feed_brings_a_snapshot_up_to_date(engine: &dyn Engine) {
    let store = with_domain(engine);
    let mut follower = store.load(&tenant("acme")).unwrap();
    let quiet = Feed {
        begins: Sequence::START,
        head: follower.sequence,
        changes: Vec::new(),
    };
    let feed = |after| {
        store
            .changes_after(&tenant("acme"), after)
            .unwrap()
            .unwrap()
    };
    assert_eq!(feed(follower.sequence), quiet);

    let x = |id| entry(id, "spiffe://a.test/x");
    store.apply(&tenant("acme"), &[x("e1"), x("e2")]).unwrap();
    store
        .apply(&tenant("acme"), &[without_entry("e1"), anchor("x1")])
        .unwrap();
    // Removing what is not there is a call of its own, but no change to follow.
    let head = store
        .apply(&tenant("acme"), &[without_entry("e1")])
        .unwrap();
    let news = feed(follower.sequence);
    assert_eq!(news.head, head);
    assert_eq!(news.changes.len(), 3, "each object once: {news:?}");
    assert!(news.changes.is_sorted_by_key(|(sequence, _)| *sequence));
    follower.follow(news);
    assert_eq!(follower, store.load(&tenant("acme")).unwrap());
    assert!(feed(head).changes.is_empty());
}

pub(crate) fn the_feed_puts_what_others_need_first_and_removes_it_last(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let apply = |changes: &[Change]| store.apply(&tenant("acme"), changes).unwrap();
    let put = apply(&[entry("e1", "spiffe://a.test/x"), domain("a.test")]);
    let feed = store
        .changes_after(&tenant("acme"), Sequence::START)
        .unwrap()
        .unwrap();
    let in_order = [domain("a.test"), entry("e1", "spiffe://a.test/x")];
    assert_eq!(feed.changes, in_order.map(|change| (put, change)));

    let removed = apply(&[without_domain("a.test"), without_entry("e1")]);
    let feed = store.changes_after(&tenant("acme"), put).unwrap().unwrap();
    let in_order = [without_entry("e1"), without_domain("a.test")];
    assert_eq!(feed.changes, in_order.map(|change| (removed, change)));
}

pub(crate) fn any_calls_lead_to_the_same_snapshot_by_load_and_by_feed(engine: &dyn Engine) {
    let store = engine.open();
    let name = (0..6_u8).prop_map(|number| format!("n{number}"));
    let change = (name, 0..4_u8).prop_map(|(name, what)| match what {
        0 => entry(&name, "spiffe://a.test/x"),
        1 => Change::Put(Object::Entry(bare_entry(&name, "spiffe://a.test/y"))),
        2 => without_entry(&name),
        _ => anchor(&name),
    });
    let call = prop::collection::vec(change, 0..5);
    let calls = prop::collection::vec((call, any::<bool>()), 0..8);
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let tenants = std::cell::Cell::new(0);
    let outcome = runner.run(&calls, |calls| {
        tenants.set(tenants.get() + 1);
        let name = format!("t{}", tenants.get());
        add_tenant(&*store, &name);
        let tenant = tenant(&name);
        let mut model = Snapshot::default();
        let mut follower = Snapshot::default();
        // A trust domain has one owner, so each tenant of this test writes into its own.
        let own = |change: Change| in_domain(change, &format!("{name}.test"));
        let first = (vec![domain(&format!("{name}.test"))], true);
        for (call, follow) in std::iter::once(first).chain(calls) {
            let call: Vec<Change> = call.into_iter().map(own).collect();
            model.sequence = store.apply(&tenant, &call).unwrap();
            call.into_iter().for_each(|change| model.change(change));
            if follow {
                let feed = store.changes_after(&tenant, follower.sequence).unwrap();
                follower.follow(feed.unwrap());
                prop_assert_eq!(&follower, &model);
            }
        }
        prop_assert_eq!(store.load(&tenant).unwrap(), model);
        Ok(())
    });
    outcome.unwrap();
}

pub(crate) fn a_tenant_that_does_not_exist_owns_nothing_and_gets_nothing(engine: &dyn Engine) {
    let store = with_domain(engine);
    let nobody = tenant("nobody");
    let unknown = Fault::from(Conflict::UnknownTenant(nobody.clone()));
    assert_eq!(store.load(&nobody), Ok(Snapshot::default()));
    assert_eq!(
        store.changes_after(&nobody, Sequence::START),
        Ok(Some(Feed::default()))
    );
    assert_eq!(
        store.intents(&nobody, Time::from_unix(0), 10),
        Ok(Vec::new())
    );
    assert_eq!(store.forget_intents(&nobody, Time::from_unix(0)), Ok(0));
    assert_eq!(store.apply(&nobody, &[]), Err(unknown.clone()));
    assert_eq!(store.apply(&nobody, &[anchor("x")]), Err(unknown.clone()));
    let at_start = store.apply_at(&nobody, Sequence::START, &[anchor("x")]);
    assert_eq!(at_start, Err(unknown.clone()));
    let recorded = store.record_intents(&nobody, &[intent("i1", 100)]);
    assert_eq!(recorded, Err(unknown.clone()));
    assert_eq!(store.use_once(&nobody, &[used("x", 1)]), Err(unknown));
}

pub(crate) fn two_tenants_may_have_the_same_names_and_never_see_each_other(engine: &dyn Engine) {
    let store = engine.open();
    for name in ["a", "b"] {
        add_tenant(&*store, name);
        let domain_name = format!("{name}.test");
        let id = format!("spiffe://{domain_name}/x");
        store
            .apply(
                &tenant(name),
                &[domain(&domain_name), entry("e", &id), anchor("x")],
            )
            .unwrap();
        let mut same_name = intent("i", 100);
        same_name.content = avouch_core::id::Digest::of(name.as_bytes());
        store.record_intents(&tenant(name), &[same_name]).unwrap();
    }
    let of_b = everything(&*store, &tenant("b"));
    store
        .apply(
            &tenant("a"),
            &[
                without_entry("e"),
                without_domain("a.test"),
                Change::Remove(Key::Anchor(avouch_store::AnchorId::parse("x").unwrap())),
                // What is another's is as if it was not there.
                without_domain("b.test"),
            ],
        )
        .unwrap();
    store
        .forget_intents(&tenant("a"), Time::from_unix(i64::MAX))
        .unwrap();
    assert_eq!(everything(&*store, &tenant("b")), of_b);
    assert_eq!(store.load(&tenant("a")).unwrap().entries.len(), 0);
    let into_b = store.apply(&tenant("a"), &[entry("e", "spiffe://b.test/x")]);
    let into_nowhere = store.apply(&tenant("a"), &[entry("e", "spiffe://c.test/x")]);
    let unknown = |name| Err(Conflict::UnknownTrustDomain(trust_domain(name)).into());
    assert_eq!(into_b, unknown("b.test"));
    assert_eq!(into_nowhere, unknown("c.test"));
}

pub(crate) fn a_trust_domain_belongs_to_one_tenant_for_ever(engine: &dyn Engine) {
    let store = with_domain(engine);
    add_tenant(&*store, "other");
    let taken = Fault::from(Conflict::TrustDomainTaken(trust_domain("a.test")));
    let takeover = || store.apply(&tenant("other"), &[domain("a.test")]);
    assert_eq!(takeover(), Err(taken.clone()));
    store
        .apply(&tenant("acme"), &[without_domain("a.test")])
        .unwrap();
    assert_eq!(takeover(), Err(taken));
    store.apply(&tenant("acme"), &[domain("a.test")]).unwrap();
    let snapshot = store.load(&tenant("acme")).unwrap();
    assert!(snapshot.trust_domains.contains_key(&trust_domain("a.test")));
}

pub(crate) fn an_object_outside_the_trust_domains_of_its_tenant_is_refused(engine: &dyn Engine) {
    let store = engine.open();
    let key = add_tenant(&*store, "acme");
    let outside = || Change::Put(Object::Authority(authority("k", "a.test", &key, b"s")));
    let unknown = Fault::from(Conflict::UnknownTrustDomain(trust_domain("a.test")));
    assert_eq!(
        store.apply(&tenant("acme"), &[outside()]),
        Err(unknown.clone())
    );
    let e = || entry("e", "spiffe://a.test/x");
    assert_eq!(store.apply(&tenant("acme"), &[e()]), Err(unknown.clone()));
    // The domain may come with it, in any order, but not go with it.
    store
        .apply(&tenant("acme"), &[outside(), e(), domain("a.test")])
        .unwrap();
    let going = [e(), without_domain("a.test")];
    assert_eq!(store.apply(&tenant("acme"), &going), Err(unknown));
}

pub(crate) fn a_trust_domain_in_use_is_not_removed(engine: &dyn Engine) {
    let store = with_domain(engine);
    store
        .apply(&tenant("acme"), &[entry("e", "spiffe://a.test/x")])
        .unwrap();
    let in_use = Conflict::TrustDomainInUse(trust_domain("a.test"));
    let remove = [without_domain("a.test")];
    assert_eq!(store.apply(&tenant("acme"), &remove), Err(in_use.into()));
    store
        .apply(
            &tenant("acme"),
            &[without_domain("a.test"), without_entry("e")],
        )
        .unwrap();
    assert!(
        store
            .load(&tenant("acme"))
            .unwrap()
            .trust_domains
            .is_empty()
    );
}

pub(crate) fn the_tree_of_tenants_is_kept_in_order(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let template = store.tenants(&OPERATOR).unwrap().remove(0);
    let add = |name: &str, parent: Option<&str>, kind| {
        let record = TenantRecord {
            id: tenant(name),
            parent: parent.map(tenant),
            kind,
            ..template.clone()
        };
        store.add_tenant(&OPERATOR, &record)
    };
    let misplaced = |name: &str, parent: Option<&str>| {
        Err(Fault::from(Conflict::Misplaced {
            tenant: tenant(name),
            parent: parent.map(tenant),
        }))
    };
    assert_eq!(add("prod", Some("acme"), TenantKind::Environment), Ok(()));
    assert_eq!(
        add("org", Some("acme"), TenantKind::Organisation),
        misplaced("org", Some("acme"))
    );
    assert_eq!(
        add("twin", Some("acme"), TenantKind::Tenant),
        misplaced("twin", Some("acme"))
    );
    assert_eq!(
        add("lost", None, TenantKind::Tenant),
        misplaced("lost", None)
    );
    assert_eq!(
        add("x", Some("nobody"), TenantKind::Tenant),
        Err(Conflict::UnknownTenant(tenant("nobody")).into())
    );
    let names: Vec<TenantId> = store
        .tenants(&OPERATOR)
        .unwrap()
        .into_iter()
        .map(|record| record.id)
        .collect();
    assert_eq!(names, ["acme", "prod", "root"].map(tenant));
}

pub(crate) fn a_tenant_is_never_changed(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let before = store.tenants(&OPERATOR).unwrap();
    store.add_tenant(&OPERATOR, &before[0]).unwrap();
    let moved = TenantRecord {
        kind: TenantKind::Environment,
        ..before[0].clone()
    };
    let taken = Conflict::TenantTaken(tenant("acme"));
    assert_eq!(store.add_tenant(&OPERATOR, &moved), Err(taken.into()));
    assert_eq!(store.tenants(&OPERATOR).unwrap(), before);
}

pub(crate) fn a_private_key_comes_back_sealed_and_opens(engine: &dyn Engine) {
    let store = engine.open();
    let key = add_tenant(&*store, "acme");
    let record = authority("k1", "a.test", &key, b"a private key");
    let id = record.id.clone();
    let changes = [domain("a.test"), Change::Put(Object::Authority(record))];
    store.apply(&tenant("acme"), &changes).unwrap();
    drop(store);

    let store = engine.open();
    let mut loaded = store.load(&tenant("acme")).unwrap().authorities;
    let sealed = loaded.remove(&id).unwrap().private_key.unwrap();
    let opened = key.open(SecretOf::Authority(&id), &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"a private key");
    let feed = store
        .changes_after(&tenant("acme"), Sequence::START)
        .unwrap()
        .unwrap();
    let shown = format!("{feed:?}");
    assert!(shown.contains("Sealed("), "{shown}");
    assert!(!shown.contains("a private key"));
}

pub(crate) fn intents_are_recorded_once_and_told_in_order(engine: &dyn Engine) {
    let store = with_domain(engine);
    let acme = tenant("acme");
    let [early, late, twin] = [intent("z", 100), intent("b", 200), intent("a", 200)];
    let mut of_a_token = intent("t", 300);
    of_a_token.kind = avouch_store::CredentialKind::Jwt;
    of_a_token.entry = None;
    let recorded = [late.clone(), of_a_token.clone(), early.clone()];
    store.record_intents(&acme, &recorded).unwrap();
    // Again, with one more: as after a fault whose outcome was not known.
    let again = [early.clone(), twin.clone(), late.clone(), twin.clone()];
    store.record_intents(&acme, &again).unwrap();
    drop(store);

    let store = engine.open();
    let told = |from, limit| store.intents(&acme, Time::from_unix(from), limit).unwrap();
    assert_eq!(
        told(0, 100),
        [early, twin.clone(), late.clone(), of_a_token.clone()]
    );
    assert_eq!(told(200, 2), [twin, late]);
    assert_eq!(told(201, 2), [of_a_token]);
    assert_eq!(told(301, 2), []);
}

pub(crate) fn an_intent_that_says_something_else_is_refused_with_all_beside_it(
    engine: &dyn Engine,
) {
    let store = with_domain(engine);
    let acme = tenant("acme");
    store.record_intents(&acme, &[intent("i1", 100)]).unwrap();
    let mut other = intent("i1", 100);
    other.content = avouch_core::id::Digest::of(b"something else");
    let taken = Fault::from(Conflict::IntentTaken(other.id.clone()));
    let beside = [intent("i0", 100), other.clone(), intent("i2", 100)];
    assert_eq!(store.record_intents(&acme, &beside), Err(taken));
    let within = [intent("i3", 100), {
        let mut twin = intent("i3", 100);
        twin.recorded = Time::from_unix(101);
        twin
    }];
    let taken = Fault::from(Conflict::IntentTaken(within[0].id.clone()));
    assert_eq!(store.record_intents(&acme, &within), Err(taken));
    let all = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(all, [intent("i1", 100)]);
}

pub(crate) fn intents_are_forgotten_when_their_credentials_have_expired(engine: &dyn Engine) {
    let store = with_domain(engine);
    let acme = tenant("acme");
    let intents = [intent("i1", 0), intent("i2", 1), intent("i3", 2)];
    store.record_intents(&acme, &intents).unwrap();
    // The second is valid through its last second.
    let forgotten = store.forget_intents(&acme, Time::from_unix(3601)).unwrap();
    assert_eq!(forgotten, 1);
    let left = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(left, intents[1..]);
}

pub(crate) fn writers_at_once_lose_nothing(engine: &dyn Engine) {
    const WRITERS: usize = 8;
    const CALLS: usize = 10;
    let store = with_domain(engine);
    let second = engine.open();
    let before = store.load(&tenant("acme")).unwrap().sequence;
    let start = Barrier::new(WRITERS);
    let mut sequences: Vec<Sequence> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = if writer % 2 == 0 { &store } else { &second };
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    (0..CALLS)
                        .map(|call| {
                            let own = entry(&format!("e{writer}-{call}"), "spiffe://a.test/x");
                            let shared = entry("shared", "spiffe://a.test/x");
                            let changes = [own, shared];
                            store.apply(&tenant("acme"), &changes).unwrap()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    sequences.sort_unstable();
    let numbers: Vec<u64> = sequences.into_iter().map(Sequence::number).collect();
    let last = before.number() + (WRITERS * CALLS) as u64;
    assert_eq!(numbers, (before.number() + 1..=last).collect::<Vec<_>>());
    let snapshot = store.load(&tenant("acme")).unwrap();
    assert_eq!(snapshot.entries.len(), WRITERS * CALLS + 1);
}

pub(crate) fn a_reader_never_sees_part_of_a_call(engine: &dyn Engine) {
    const CALLS: u64 = 30;
    let store = with_domain(engine);
    let acme = tenant("acme");
    let mut follower = store.load(&acme).unwrap();
    let end = follower.sequence.number() + CALLS;
    thread::scope(|scope| {
        scope.spawn(|| {
            for call in 0..CALLS {
                let id = format!("spiffe://a.test/{call}");
                store
                    .apply(&acme, &[entry("e1", &id), entry("e2", &id)])
                    .unwrap();
            }
        });
        while follower.sequence.number() < end {
            let feed = store
                .changes_after(&acme, follower.sequence)
                .unwrap()
                .unwrap();
            assert!(feed.head >= follower.sequence);
            follower.follow(feed);
            let loaded = store.load(&acme).unwrap();
            assert!(loaded.sequence >= follower.sequence);
            for snapshot in [&follower, &loaded] {
                let ids: Vec<_> = snapshot.entries.values().map(|e| &e.spiffe_id).collect();
                assert!(
                    ids.is_empty() || ids.len() == 2 && ids[0] == ids[1],
                    "{ids:?}"
                );
            }
        }
    });
    assert_eq!(follower, store.load(&acme).unwrap());
}

pub(crate) fn ten_thousand_entries_go_in_one_call(engine: &dyn Engine) {
    let store = with_domain(engine);
    let changes: Vec<Change> = (0..10_000)
        .map(|number| entry(&format!("e{number}"), "spiffe://a.test/x"))
        .collect();
    store.apply(&tenant("acme"), &changes).unwrap();
    assert_eq!(store.load(&tenant("acme")).unwrap().entries.len(), 10_000);
    let removals: Vec<Change> = (0..10_000)
        .map(|number| without_entry(&format!("e{number}")))
        .collect();
    store.apply(&tenant("acme"), &removals).unwrap();
    assert!(store.load(&tenant("acme")).unwrap().entries.is_empty());
}

/// A store with the tenant `acme`, which has the trust domain `a.test`.
pub(crate) fn with_domain(engine: &dyn Engine) -> Box<dyn Store> {
    let store = engine.open();
    add_tenant(&*store, "acme");
    store.apply(&tenant("acme"), &[domain("a.test")]).unwrap();
    store
}

fn in_domain(change: Change, name: &str) -> Change {
    match change {
        Change::Put(Object::Entry(mut entry)) => {
            let path = entry.spiffe_id.fixed().unwrap().path();
            let id = format!("spiffe://{name}{path}");
            entry.spiffe_id = avouch_core::template::IdTemplate::parse(&id).unwrap();
            Change::Put(Object::Entry(entry))
        }
        other => other,
    }
}

fn everything(
    store: &dyn Store,
    tenant: &TenantId,
) -> (Snapshot, Feed, Vec<avouch_store::IntentRow>) {
    (
        store.load(tenant).unwrap(),
        store
            .changes_after(tenant, Sequence::START)
            .unwrap()
            .unwrap(),
        store.intents(tenant, Time::from_unix(0), 100).unwrap(),
    )
}

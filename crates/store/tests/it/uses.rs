//! What may be used once, on every engine.

use std::sync::Barrier;
use std::thread;

use avouch_core::time::Time;
use avouch_store::{Conflict, Fault, IntentRow, Sequence, SingleUse, Store, UseKind, Used};

use crate::objects::*;
use crate::suite::Engine;

/// How a use is answered that was not the first, when the first was by the one of this number.
fn before(attempt: u16) -> Used {
    let at = used("", attempt).at;
    Used::Before { at }
}

fn with_tenant(engine: &dyn Engine) -> Box<dyn Store> {
    let store = engine.open();
    add_tenant(&*store, "acme");
    store
}

/// What one who uses one thing is told.
fn told(store: &dyn Store, one: SingleUse) -> Used {
    let told = store.use_once(&tenant("acme"), &[one]).unwrap();
    assert_eq!(told.len(), 1);
    told[0]
}

pub(crate) fn what_was_used_stays_used_after_a_restart(engine: &dyn Engine) {
    let store = with_tenant(engine);
    assert_eq!(told(&*store, used("a", 1)), Used::First);
    assert_eq!(told(&*store, used("a", 2)), before(1));
    drop(store);
    let store = engine.open();
    assert_eq!(told(&*store, used("a", 3)), before(1));
    assert_eq!(told(&*store, used("b", 3)), Used::First);
}

pub(crate) fn whoever_asks_again_is_still_the_first(engine: &dyn Engine) {
    let store = with_tenant(engine);
    assert_eq!(told(&*store, used("a", 1)), Used::First);
    drop(store);
    let store = engine.open();
    let later = SingleUse {
        at: Time::from_unix(1_500),
        ..used("a", 1)
    };
    assert_eq!(told(&*store, later), Used::First);
    // The first time is when it was used, however often it was asked again.
    assert_eq!(told(&*store, used("a", 2)), before(1));
}

pub(crate) fn every_use_of_a_call_is_answered_in_its_place(engine: &dyn Engine) {
    let store = with_tenant(engine);
    let acme = tenant("acme");
    assert_eq!(store.use_once(&acme, &[]), Ok(Vec::new()));
    store
        .use_once(&acme, &[used("b", 1), used("d", 2)])
        .unwrap();
    let call = [
        used("d", 3),
        used("c", 4),
        used("a", 5),
        used("c", 6),
        used("b", 1),
        used("a", 5),
    ];
    let expected = [
        before(2),
        Used::First,
        Used::First,
        before(4),
        Used::First,
        Used::First,
    ];
    assert_eq!(store.use_once(&acme, &call), Ok(expected.to_vec()));
    let many: Vec<SingleUse> = (0..3_000).map(|n| used(&format!("m{n}"), 7)).collect();
    let all = store.use_once(&acme, &many).unwrap();
    assert_eq!(all, vec![Used::First; 3_000]);
}

pub(crate) fn of_a_thousand_at_once_one_is_the_first(engine: &dyn Engine) {
    const ATTEMPTS: u16 = 1_000;
    let first_server = with_tenant(engine);
    let second_server = engine.open();
    let start = Barrier::new(usize::from(ATTEMPTS));
    let all: Vec<(u16, Used)> = thread::scope(|scope| {
        let attempts: Vec<_> = (0..ATTEMPTS)
            .map(|attempt| {
                let servers = [&first_server, &second_server];
                let (store, start) = (servers[usize::from(attempt % 2)], &start);
                scope.spawn(move || {
                    start.wait();
                    (attempt, told(&**store, used("the token", attempt)))
                })
            })
            .collect();
        attempts
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    let first: Vec<u16> = all
        .iter()
        .filter(|(_, told)| *told == Used::First)
        .map(|(attempt, _)| *attempt)
        .collect();
    let [winner] = first[..] else {
        panic!("{} were the first: {first:?}", first.len());
    };
    for (attempt, told) in all {
        assert!(attempt == winner || told == before(winner), "{attempt}");
    }
}

pub(crate) fn uses_in_opposite_orders_never_hold_each_other_up(engine: &dyn Engine) {
    let servers = [with_tenant(engine), engine.open()];
    let start = Barrier::new(2);
    let firsts: Vec<usize> = thread::scope(|scope| {
        let calls: Vec<_> = (0..2_u16)
            .map(|side| {
                let (store, start) = (&servers[usize::from(side)], &start);
                scope.spawn(move || {
                    start.wait();
                    let mut firsts = 0;
                    for round in 0..20 {
                        let mut call: Vec<SingleUse> = (0..50)
                            .map(|n| used(&format!("{round}-{n}"), side))
                            .collect();
                        if side == 1 {
                            call.reverse();
                        }
                        let told = store.use_once(&tenant("acme"), &call).unwrap();
                        firsts += told.iter().filter(|told| **told == Used::First).count();
                    }
                    firsts
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(firsts.iter().sum::<usize>(), 20 * 50);
}

pub(crate) fn the_same_digest_of_another_tenant_or_kind_is_another_thing(engine: &dyn Engine) {
    let store = with_tenant(engine);
    add_tenant(&*store, "other");
    let proof = SingleUse {
        kind: UseKind::Proof,
        ..used("a", 2)
    };
    assert_eq!(told(&*store, used("a", 1)), Used::First);
    assert_eq!(told(&*store, proof), Used::First);
    let of_other = store.use_once(&tenant("other"), &[used("a", 3)]);
    assert_eq!(of_other, Ok(vec![Used::First]));
}

pub(crate) fn a_use_is_forgotten_after_its_end_and_not_before(engine: &dyn Engine) {
    let store = with_tenant(engine);
    let longer = SingleUse {
        until: Time::from_unix(2_001),
        ..used("longer", 1)
    };
    let both = [used("a", 1), longer];
    store.use_once(&tenant("acme"), &both).unwrap();
    let forget = |before| {
        store
            .forget_uses(&OPERATOR, Time::from_unix(before))
            .unwrap()
    };
    assert_eq!(forget(2_000), 0);
    assert_eq!(told(&*store, used("a", 2)), before(1));
    assert_eq!(forget(2_001), 1);
    assert_eq!(forget(2_001), 0);
    assert_eq!(told(&*store, used("a", 2)), Used::First);
    assert_eq!(told(&*store, used("longer", 2)), before(1));
}

pub(crate) fn what_is_used_first_is_on_record_with_what_it_was_used_for(engine: &dyn Engine) {
    let store = with_tenant(engine);
    let acme = tenant("acme");
    let ids = |store: &dyn Store| -> Vec<String> {
        let all = store.intents(&acme, Time::from_unix(0), 100).unwrap();
        all.iter().map(|intent| intent.id.to_string()).collect()
    };
    let given = descending_intent("i1", 50);
    let told = store.use_and_record(&acme, &[used("a", 1)], std::slice::from_ref(&given));
    assert_eq!(told, Ok(vec![Used::First]));
    // Whoever comes second gets nothing, and nothing of it is on record.
    let both = [used("a", 2), used("b", 2)];
    let told = store.use_and_record(&acme, &both, &[descending_intent("i2", 51)]);
    assert_eq!(told, Ok(vec![before(1), Used::First]));
    assert_eq!(ids(&*store), ["i1"]);
    // Asked again after an answer was lost, it is settled as it was.
    let again = store.use_and_record(&acme, &[used("a", 1)], std::slice::from_ref(&given));
    assert_eq!(again, Ok(vec![Used::First]));
    drop(store);
    let store = engine.open();
    let stored = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(stored, [given], "with all that it descends from");
    let (id, found) = (&stored[0].id, stored.first().cloned());
    assert_eq!(store.intent(&acme, id), Ok(found));
    assert_eq!(store.intent(&tenant("other"), id), Ok(None));
    // An intent that cannot be recorded uses nothing.
    let taken = IntentRow {
        recorded: Time::from_unix(60),
        ..descending_intent("i1", 50)
    };
    let told = store.use_and_record(&acme, &[used("c", 3)], std::slice::from_ref(&taken));
    let expected = Fault::from(Conflict::IntentTaken(taken.id));
    assert_eq!(told, Err(expected));
    assert_eq!(told_first(&*store, "c"), Used::First);
}

fn told_first(store: &dyn Store, name: &str) -> Used {
    told(store, used(name, 9))
}

pub(crate) fn what_is_used_first_changes_what_is_applied_with_it(engine: &dyn Engine) {
    let store = with_tenant(engine);
    let acme = tenant("acme");
    let at = |store: &dyn Store| store.load(&acme).unwrap().sequence;
    let has = |store: &dyn Store, name: &str| {
        let held = store.load(&acme).unwrap();
        held.anchors.keys().any(|id| id.as_str() == name)
    };
    let start = at(&*store);
    let call = |attempt: u16, at: Sequence, name: &str| {
        let intents = [intent(&format!("i{attempt}"), 50)];
        let uses = [used("a", attempt)];
        store.use_record_and_apply(&acme, &uses, &intents, at, &[anchor(name)])
    };
    // Where something else has changed, nothing is used either.
    let moved = store.apply(&acme, &[anchor("else")]).unwrap();
    let (expected, found) = (start, moved);
    let conflict = Fault::from(Conflict::Moved { expected, found });
    assert_eq!(call(1, start, "first"), Err(conflict));
    assert_eq!(
        store.used(&acme, UseKind::Token, &used("a", 1).digest),
        Ok(None)
    );
    let told = call(2, moved, "second").unwrap();
    assert_eq!(told.0, [Used::First]);
    assert_eq!(told.1, at(&*store));
    assert!(told.1 > moved && has(&*store, "second"));
    let used_at = used("a", 2).at;
    let known = store.used(&acme, UseKind::Token, &used("a", 1).digest);
    assert_eq!(known, Ok(Some(used_at)));
    // Whoever comes second changes nothing, and nothing of it is on record.
    let told_second = call(3, told.1, "third").unwrap();
    assert_eq!(told_second, (vec![before(2)], told.1));
    assert!(!has(&*store, "third") && !has(&*store, "first"));
    let recorded = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(recorded.len(), 1);
    let of_other = store.used(&tenant("other"), UseKind::Token, &used("a", 1).digest);
    assert_eq!(of_other, Ok(None));
}

pub(crate) fn of_calls_at_once_only_the_wrong_one_is_refused(engine: &dyn Engine) {
    let store = with_tenant(engine);
    let acme = tenant("acme");
    store.record_intents(&acme, &[intent("taken", 1)]).unwrap();
    let start = Barrier::new(32);
    let refused: usize = thread::scope(|scope| {
        let calls: Vec<_> = (0..32_u16)
            .map(|number| {
                let (store, acme, start) = (&store, &acme, &start);
                scope.spawn(move || {
                    let wrong = number % 8 == 0;
                    let name = if wrong {
                        "taken".to_owned()
                    } else {
                        format!("i{number}")
                    };
                    start.wait();
                    let uses = [used(&name, number)];
                    let told = store.use_and_record(acme, &uses, &[intent(&name, 2)]);
                    assert_eq!(told.is_err(), wrong, "{number}: {told:?}");
                    usize::from(wrong)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert_eq!(refused, 4);
    let all = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(all.len(), 1 + 28);
}

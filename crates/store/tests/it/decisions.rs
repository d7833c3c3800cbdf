//! Decisions that are kept.

use avouch_core::time::Time;
use avouch_store::{Conflict, DecisionId, DecisionRow, Fault, Sequence, Store, WantedDecisions};

use crate::objects::*;
use crate::suite::Engine;

/// A decision whose number is its time.
pub(crate) fn decision(number: u32) -> DecisionRow {
    let is_refusal = number.is_multiple_of(2);
    DecisionRow {
        id: DecisionId::parse(&format!("0193{number:04}")).unwrap(),
        at: Time::from_unix(number.into()),
        verdict: if is_refusal { "reject" } else { "accept" }.to_owned(),
        code: is_refusal.then(|| "federation.expired".to_owned()),
        document: format!(r#"{{"number": {number}, "said": "ä\"\u0000"}}"#),
    }
}

pub(crate) fn keep(store: &dyn Store, name: &str, numbers: &[u32], most: u32) -> Result<(), Fault> {
    let decisions: Vec<DecisionRow> = numbers.iter().map(|number| decision(*number)).collect();
    store.keep_decisions(&tenant(name), Sequence::LATEST, &decisions, most)
}

fn kept(store: &dyn Store, name: &str, wanted: WantedDecisions) -> Vec<DecisionRow> {
    let limit = wanted.limit.max(1);
    let wanted = WantedDecisions { limit, ..wanted };
    store.decisions(&tenant(name), &wanted).unwrap()
}

pub(crate) fn all(store: &dyn Store, name: &str) -> Vec<DecisionRow> {
    let limit = 1_000;
    kept(
        store,
        name,
        WantedDecisions {
            limit,
            ..WantedDecisions::default()
        },
    )
}

fn of(numbers: &[u32]) -> Vec<DecisionRow> {
    numbers.iter().map(|number| decision(*number)).collect()
}

pub(crate) fn decisions_are_kept_after_a_restart_and_told_latest_first(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    keep(&*store, "acme", &[1, 3, 2], 100).unwrap();
    // Whose answer was lost writes them again.
    keep(&*store, "acme", &[2, 4], 100).unwrap();
    drop(store);
    let store = engine.open();
    assert_eq!(all(&*store, "acme"), of(&[4, 3, 2, 1]));
    let one = |name, number| store.decision(&tenant(name), &decision(number).id);
    assert_eq!(one("acme", 3), Ok(Some(decision(3))));
    assert_eq!(one("acme", 5), Ok(None));
    // Nothing of another tenant is seen, by whatever name.
    assert_eq!(one("other", 3), Ok(None));
    assert_eq!(all(&*store, "other"), []);

    let page = |before: Option<u32>, limit| {
        let before = before.map(|number| decision(number).id);
        kept(
            &*store,
            "acme",
            WantedDecisions {
                before,
                limit,
                ..WantedDecisions::default()
            },
        )
    };
    assert_eq!(page(None, 2), of(&[4, 3]));
    assert_eq!(page(Some(3), 2), of(&[2, 1]));
    let refused = WantedDecisions {
        verdict: Some("reject".to_owned()),
        code: Some("federation.expired".to_owned()),
        limit: 10,
        before: None,
    };
    assert_eq!(kept(&*store, "acme", refused.clone()), of(&[4, 2]));
    let code = Some("pki.expired".to_owned());
    assert_eq!(
        kept(&*store, "acme", WantedDecisions { code, ..refused }),
        []
    );
}

pub(crate) fn of_many_decisions_the_oldest_go_first(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    add_tenant(&*store, "other");
    keep(&*store, "other", &[1], 3).unwrap();
    for number in 1..=20 {
        keep(&*store, "acme", &[number], 3).unwrap();
    }
    assert_eq!(all(&*store, "acme"), of(&[20, 19, 18]));
    keep(&*store, "acme", &[21, 22, 23, 24], 3).unwrap();
    assert_eq!(all(&*store, "acme"), of(&[24, 23, 22]));
    assert_eq!(all(&*store, "other"), of(&[1]));

    let forget = |before| store.forget_decisions(&OPERATOR, Time::from_unix(before));
    assert_eq!(forget(24), Ok(3));
    assert_eq!(forget(24), Ok(0));
    assert_eq!(all(&*store, "acme"), of(&[24]));
    assert_eq!(all(&*store, "other"), []);
}

pub(crate) fn decisions_of_a_tenant_that_was_removed_are_nobodys(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    keep(&*store, "acme", &[1, 2], 100).unwrap();
    let acme = tenant("acme");
    let held = store.load(&acme).unwrap().sequence;
    store
        .remove_tenants(&OPERATOR, &[(acme.clone(), held)])
        .unwrap();
    let unknown = Fault::from(Conflict::UnknownTenant(acme.clone()));
    assert_eq!(keep(&*store, "acme", &[3], 100), Err(unknown.clone()));
    assert_eq!(store.decision(&acme, &decision(1).id), Ok(None));
    assert_eq!(all(&*store, "acme"), []);
    add_tenant(&*store, "acme");
    assert_eq!(all(&*store, "acme"), []);
    // What was decided by the one that was there before is not the other's.
    let late = store.keep_decisions(&acme, held, &[decision(3)], 100);
    assert_eq!(late, Err(unknown));
    assert_eq!(all(&*store, "acme"), []);

    let at = store.load(&acme).unwrap().sequence;
    keep(&*store, "acme", &[4], 100).unwrap();
    store.remove_tenants(&OPERATOR, &[(acme, at)]).unwrap();
    assert!(store.clear_removed(&OPERATOR).unwrap() > 0);
    while store.clear_removed(&OPERATOR).unwrap() > 0 {}
    assert_eq!(
        store.forget_decisions(&OPERATOR, Time::from_unix(100)),
        Ok(0)
    );
}

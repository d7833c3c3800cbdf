//! What is left of an object that was removed, on every engine.

use avouch_core::time::Time;
use avouch_store::{Change, CredentialKind, IntentRow, Sequence, Store};

use crate::objects::*;
use crate::suite::Engine;

/// The store with two entries, of which the first is removed: the numbers of both changes.
fn with_a_removal(store: &dyn Store) -> [Sequence; 2] {
    add_tenant(store, "acme");
    let x = |id| entry(id, "spiffe://a.test/x");
    let put = [domain("a.test"), x("e1"), x("e2")];
    let put = store.apply(&tenant("acme"), &put).unwrap();
    let removed = store.apply(&tenant("acme"), &[without_entry("e1")]);
    [put, removed.unwrap()]
}

pub(crate) fn what_was_removed_is_forgotten_and_whoever_missed_it_loads_anew(engine: &dyn Engine) {
    let store = engine.open();
    let acme = tenant("acme");
    let [put, removed] = with_a_removal(&*store);
    let feed = |after| store.changes_after(&acme, after).unwrap();
    // A removal after the number stays, and so does what is there, however early it was put.
    assert_eq!(store.forget_removals(&acme, put), Ok(0));
    assert_eq!(feed(put).unwrap().changes, [(removed, without_entry("e1"))]);
    let before = store.load(&acme).unwrap();
    assert_eq!(store.forget_removals(&acme, removed), Ok(1));
    assert_eq!(store.forget_removals(&acme, removed), Ok(0));
    assert_eq!(store.load(&acme).unwrap(), before);
    // Who was behind is told so, also by a store that is opened again, and never gets a part.
    let again = engine.open();
    for store in [&store, &again] {
        assert_eq!(store.changes_after(&acme, Sequence::START), Ok(None));
        assert_eq!(store.changes_after(&acme, put), Ok(None));
        let news = store.changes_after(&acme, removed).unwrap().unwrap();
        assert_eq!((news.head, news.changes.len()), (removed, 0));
    }
    // It may be put again, which is told as ever.
    let entry = entry("e1", "spiffe://a.test/x");
    let put = store.apply(&acme, std::slice::from_ref(&entry)).unwrap();
    assert_eq!(feed(removed).unwrap().changes, [(put, entry)]);
    // What others removed is theirs.
    add_tenant(&*store, "other");
    store.apply(&acme, &[without_entry("e2")]).unwrap();
    assert_eq!(
        store.forget_removals(&tenant("other"), Sequence::of(1_000)),
        Ok(0)
    );
}

pub(crate) fn what_comes_and_goes_leaves_nothing_to_read(engine: &dyn Engine) {
    let store = engine.open();
    let acme = tenant("acme");
    with_a_removal(&*store);
    let names: Vec<String> = (0..2_500).map(|number| format!("n{number}")).collect();
    let put = |name: &String| entry(name, "spiffe://a.test/x");
    let before = store.load(&acme).unwrap();
    store
        .apply(&acme, &names.iter().map(put).collect::<Vec<Change>>())
        .unwrap();
    let remove = |name: &String| without_entry(name);
    let gone = store.apply(&acme, &names.iter().map(remove).collect::<Vec<Change>>());
    let mut forgotten = 0;
    loop {
        match store.forget_removals(&acme, gone.clone().unwrap()).unwrap() {
            0 => break,
            some => forgotten += some,
        }
        // Between two parts it is known that some is missing.
        assert_eq!(store.changes_after(&acme, before.sequence), Ok(None));
    }
    assert_eq!(forgotten, 2_501);
    let left = store.changes_after(&acme, gone.unwrap()).unwrap().unwrap();
    assert_eq!(left.changes, []);
    assert_eq!(store.load(&acme).unwrap().entries, before.entries);
}

pub(crate) fn answers_about_certificates_are_forgotten_apart(engine: &dyn Engine) {
    let store = engine.open();
    add_tenant(&*store, "acme");
    let acme = tenant("acme");
    let answer = |name: &str, recorded| IntentRow {
        kind: CredentialKind::StatusResponse,
        ..intent(name, recorded)
    };
    let others = [intent("i1", 0), intent("ocsp-like", 0), intent("ocspx", 0)];
    let answers = [answer("ocsp-40", 0), answer("ocsp-41", 1)];
    store
        .record_intents(&acme, &[&others[..], &answers].concat())
        .unwrap();
    assert_eq!(
        store.forget_answers(&acme, Time::from_unix(3601)).unwrap(),
        1
    );
    let left = store.intents(&acme, Time::from_unix(0), 100).unwrap();
    assert_eq!(left, [&others[..], &answers[1..]].concat());
    assert_eq!(
        store.forget_answers(&acme, Time::from_unix(3601)).unwrap(),
        0
    );
    let nobody = tenant("nobody");
    assert_eq!(store.forget_answers(&nobody, Time::from_unix(3601)), Ok(0));
}

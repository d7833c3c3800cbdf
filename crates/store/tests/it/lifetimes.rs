//! How long what is signed may live, and how much of it does.

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use avouch_store::{CredentialKind, IntentRow, Lasting, Lifetime, LifetimeKind, Living};

use crate::objects::*;
use crate::suite::Engine;

pub(crate) fn lifetime(seconds: u32, last: i64) -> Lifetime {
    Lifetime {
        kind: LifetimeKind::Svid,
        seconds,
        last: Time::from_unix(last),
    }
}

pub(crate) fn a_lifetime_is_known_until_all_that_may_live_as_long_has_ended(engine: &dyn Engine) {
    let store = engine.open();
    assert_eq!(store.lifetimes(&OPERATOR), Ok(Vec::new()));
    let component = Lifetime {
        kind: LifetimeKind::Component,
        ..lifetime(3_600, 1_000)
    };
    let both = [component, lifetime(3_600, 1_000)];
    store.keep_lifetimes(&OPERATOR, &both).unwrap();
    drop(store);
    // Another server, where less is settled; and the first again, whose clock is behind.
    let store = engine.open();
    store
        .keep_lifetimes(&OPERATOR, &[lifetime(60, 2_000)])
        .unwrap();
    store
        .keep_lifetimes(&OPERATOR, &[lifetime(3_600, 500)])
        .unwrap();
    let all = vec![component, lifetime(60, 2_000), lifetime(3_600, 1_000)];
    assert_eq!(store.lifetimes(&OPERATOR), Ok(all));
    let late = 1_000_000;
    assert!(!component.counts_at(Time::from_unix(late)));
    store
        .keep_lifetimes(&OPERATOR, &[lifetime(60, late)])
        .unwrap();
    assert_eq!(store.lifetimes(&OPERATOR), Ok(vec![lifetime(60, late)]));
}

fn of(id: &str, kind: CredentialKind, subject: &str, recorded: i64, until: i64) -> IntentRow {
    IntentRow {
        kind,
        subject: SpiffeId::parse(subject).unwrap(),
        recorded: Time::from_unix(recorded),
        not_after: Time::from_unix(until),
        ..intent(id, recorded)
    }
}

pub(crate) fn what_lives_is_counted_by_kind_and_trust_domain(engine: &dyn Engine) {
    use CredentialKind::{Jwt, X509};
    let store = engine.open();
    for name in ["acme", "other"] {
        add_tenant(&*store, name);
    }
    let acme = tenant("acme");
    let rows = [
        of("1", X509, "spiffe://a.test/x", 100, 200),
        of("2", X509, "spiffe://a.test/zz", 110, 400),
        of("3", X509, "spiffe://a.test.b/x", 120, 300),
        of("4", Jwt, "spiffe://a.test/x", 130, 200),
        of("5", Jwt, "spiffe://a.tes/x", 90, 500),
    ];
    store.record_intents(&acme, &rows).unwrap();
    let count = |name: &str, from: i64, at: i64, trust_domain: Option<&str>| {
        let named = trust_domain.map(crate::objects::trust_domain);
        let lasting = Lasting {
            from: Time::from_unix(from),
            at: Time::from_unix(at),
            trust_domain: named.as_ref(),
        };
        let mut found = store.living(&tenant(name), lasting).unwrap();
        found.sort_by_key(|one| one.kind);
        found
    };
    let living = |kind, count, until| Living {
        kind,
        count,
        until: Time::from_unix(until),
    };
    assert_eq!(
        count("acme", 0, 200, None),
        [living(X509, 3, 400), living(Jwt, 2, 500)]
    );
    assert_eq!(
        count("acme", 0, 200, Some("a.test")),
        [living(X509, 2, 400), living(Jwt, 1, 200)]
    );
    assert_eq!(
        count("acme", 0, 201, Some("a.test")),
        [living(X509, 1, 400)]
    );
    assert_eq!(
        count("acme", 100, 201, None),
        [living(X509, 2, 400)],
        "what was recorded before is not looked at"
    );
    assert_eq!(count("acme", 0, 501, None), []);
    assert_eq!(count("other", 0, 0, None), []);
    assert_eq!(count("nobody", 0, 0, None), []);
}

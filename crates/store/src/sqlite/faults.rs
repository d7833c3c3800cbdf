//! Every write × {failed, failed but persisted}: what is there afterwards, and what comes of doing
//! it again. A write fails here because another process holds the file; it is persisted without an
//! answer when the process ends in between, which for the next one is as if someone else had done
//! it.

use std::collections::BTreeMap;

use avouch_core::id::{Digest, SpiffeId};
use rusqlite::types::Value;

use super::*;
use crate::keyring::WrappedKey;
use crate::{
    AnchorId, AnchorRecord, AttemptId, AuthorityId, BoundedKind, CredentialKind, IntentId, Key,
    Object, SignalId, SignalKey, SignalKind, SignalRecord, TenantKind, UseKind, Within,
};

const OPERATOR: Operator = Operator::of_this_deployment();

/// Something to write, which can be done again.
type Write = fn(&SqliteStore) -> Result<(), Fault>;

const WRITES: [(&str, Write); 22] = [
    ("check", |store| store.check(&OPERATOR)),
    ("add_tenant", |store| {
        store.add_tenant(&OPERATOR, &tenant("other", Some("acme")))
    }),
    ("apply: put", |store| {
        store.apply(&acme(), &[anchor("new")]).map(drop)
    }),
    ("apply: remove", |store| {
        let old = Key::Anchor(AnchorId::parse("old").unwrap());
        store.apply(&acme(), &[Change::Remove(old)]).map(drop)
    }),
    ("apply_at", |store| {
        let at = store.load(&acme())?.sequence;
        store.apply_at(&acme(), at, &[anchor("new")]).map(drop)
    }),
    ("record_intents", |store| {
        store.record_intents(&acme(), &[intent("new")])
    }),
    ("use_and_record", |store| {
        let told = store.use_and_record(&acme(), &[used("new")], &[intent("new")])?;
        assert_eq!(told, [Used::First]);
        Ok(())
    }),
    ("use_record_and_apply", |store| {
        let at = store.load(&acme())?.sequence;
        let (uses, intents) = ([used("new")], [intent("new")]);
        let changes = [anchor("new")];
        let (told, _) = store.use_record_and_apply(&acme(), &uses, &intents, at, &changes)?;
        assert_eq!(told, [Used::First]);
        Ok(())
    }),
    ("apply_within", |store| {
        let at = store.load(&acme())?.sequence;
        let within = [Within {
            top: acme(),
            kind: BoundedKind::Entry,
            most: 1_000,
            added: 1,
            counted: BTreeMap::new(),
        }];
        let changes = [anchor("new")];
        store
            .apply_within(&acme(), &[], &[], at, &changes, &within)
            .map(drop)
    }),
    ("forget_removals", |store| {
        store
            .forget_removals(&acme(), Sequence::of(1_000))
            .map(drop)
    }),
    ("remove_over", |store| {
        store.remove_over(&acme(), &[over(5)]).map(drop)
    }),
    ("forget_intents", |store| {
        let before = Time::from_unix(i64::MAX);
        store.forget_intents(&acme(), before).map(drop)
    }),
    ("forget_answers", |store| {
        let before = Time::from_unix(i64::MAX);
        store.forget_answers(&acme(), before).map(drop)
    }),
    ("use_once", |store| {
        let told = store.use_once(&acme(), &[used("new")])?;
        assert_eq!(told, [Used::First]);
        Ok(())
    }),
    ("forget_uses", |store| {
        let before = Time::from_unix(i64::MAX);
        store.forget_uses(&OPERATOR, before).map(drop)
    }),
    ("keep_decisions", |store| {
        // There is room for one, so the old goes with it.
        store.keep_decisions(&acme(), Sequence::LATEST, &[decision("0002")], 1)
    }),
    ("forget_decisions", |store| {
        let before = Time::from_unix(i64::MAX);
        store.forget_decisions(&OPERATOR, before).map(drop)
    }),
    ("remove_tenants", |store| {
        let at = match store.heads(&OPERATOR)?.get(&acme()) {
            Some(at) => *at,
            // It was removed, and the answer was lost.
            None => return Ok(()),
        };
        store.remove_tenants(&OPERATOR, &[(acme(), at)])
    }),
    ("clear_removed", |store| {
        store.clear_removed(&OPERATOR).map(drop)
    }),
    ("raise", |store| {
        store.raise(&OPERATOR, Sequence::of(1_000)).map(drop)
    }),
    ("keep_lifetimes", |store| {
        store.keep_lifetimes(&OPERATOR, &[lifetime(7)])
    }),
    ("report", |store| {
        let report = Report {
            server: ServerId::parse("a").unwrap(),
            number: 1,
            at: Time::from_unix(5),
            followers: vec![Followers {
                tenant: acme(),
                count: 1,
                least: Sequence::of(1),
                slowest: SpiffeId::parse("spiffe://a.test/n").unwrap(),
            }],
        };
        assert!(store.report(&OPERATOR, &report)?);
        Ok(())
    }),
];

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn tenant(name: &str, parent: Option<&str>) -> TenantRecord {
    TenantRecord {
        id: TenantId::parse(name).unwrap(),
        parent: parent.map(|name| TenantId::parse(name).unwrap()),
        kind: parent.map_or(TenantKind::Root, |_| TenantKind::Tenant),
        created: Time::from_unix(0),
        key: WrappedKey::from_stored(vec![1]),
    }
}

fn anchor(name: &str) -> Change {
    Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(name).unwrap(),
        document: "{}".to_owned(),
    }))
}

fn intent(name: &str) -> IntentRow {
    IntentRow {
        id: IntentId::parse(name).unwrap(),
        kind: CredentialKind::X509,
        authority: AuthorityId::parse("k").unwrap(),
        entry: None,
        node: None,
        subject: SpiffeId::parse("spiffe://a.test/x").unwrap(),
        content: Digest::of(name.as_bytes()),
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(10),
        recorded: Time::from_unix(0),
        lineage: Vec::new(),
        decision: None,
    }
}

fn decision(id: &str) -> DecisionRow {
    DecisionRow {
        id: DecisionId::parse(id).unwrap(),
        at: Time::from_unix(1),
        verdict: "reject".to_owned(),
        code: None,
        document: "{}".to_owned(),
    }
}

fn lifetime(seconds: u32) -> Lifetime {
    Lifetime {
        kind: crate::LifetimeKind::Svid,
        seconds,
        last: Time::from_unix(1),
    }
}

fn notice(ends: i64) -> Change {
    Change::Put(Object::Signal(SignalRecord {
        key: SignalKey {
            kind: SignalKind::Notice,
            id: SignalId::parse(&format!("until-{ends}")).unwrap(),
        },
        document: "{}".to_owned(),
        ends: Some(Time::from_unix(ends)),
        secret: None,
    }))
}

fn over(by: i64) -> Over {
    Over {
        kind: crate::OverKind::Notice,
        by: Time::from_unix(by),
    }
}

fn used(name: &str) -> SingleUse {
    SingleUse {
        kind: UseKind::Token,
        digest: Digest::of(name.as_bytes()),
        attempt: AttemptId::from_bytes([1; 16]),
        at: Time::from_unix(1),
        until: Time::from_unix(10),
    }
}

/// The same file as another process has it.
fn file(folder: &Path) -> DatabaseFile {
    DatabaseFile {
        path: folder.join(DATABASE_FILE),
        patience: Duration::from_millis(20),
    }
}

fn prepared(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open_file(file(folder)).unwrap();
    store.add_tenant(&OPERATOR, &tenant("acme", None)).unwrap();
    store
        .apply(
            &acme(),
            &[anchor("old"), anchor("gone"), notice(5), notice(6)],
        )
        .unwrap();
    let gone = Key::Anchor(AnchorId::parse("gone").unwrap());
    store.apply(&acme(), &[Change::Remove(gone)]).unwrap();
    store.record_intents(&acme(), &[intent("old")]).unwrap();
    store.use_once(&acme(), &[used("old")]).unwrap();
    store
        .keep_decisions(&acme(), Sequence::LATEST, &[decision("0001")], 1)
        .unwrap();
    // One that was removed and is not cleared away.
    let departed = tenant("departed", Some("acme"));
    store.add_tenant(&OPERATOR, &departed).unwrap();
    let at = store.apply(&departed.id, &[anchor("left")]).unwrap();
    store
        .remove_tenants(&OPERATOR, &[(departed.id, at)])
        .unwrap();
    store
}

/// All rows of all tables, without the numbers of changes.
fn contents(folder: &Path) -> Vec<Vec<Value>> {
    let connection = file(folder).connect().unwrap();
    let mut rows = Vec::new();
    for table in [
        "(SELECT id, parent, removed, forgotten > 0 FROM tenant)",
        "(SELECT kind, id, body FROM object)",
        "trust_domain",
        "intent",
        "single_use",
        "server",
        "follower",
        "brought_key",
        "lifetime",
        "decision",
    ] {
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = statement.column_count();
        let found = statement
            .query_map([], |row| {
                (0..columns).map(|column| row.get(column)).collect()
            })
            .unwrap();
        rows.extend(found.map(|row: rusqlite::Result<Vec<Value>>| row.unwrap()));
    }
    rows
}

#[test]
fn a_write_that_failed_is_absent_and_may_be_done_again() {
    for (what, write) in WRITES {
        let undisturbed = {
            let folder = tempfile::tempdir().unwrap();
            write(&prepared(folder.path())).unwrap();
            contents(folder.path())
        };
        let folder = tempfile::tempdir().unwrap();
        let store = prepared(folder.path());
        let before = contents(folder.path());
        let other = file(folder.path()).connect().unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let fault = write(&store).unwrap_err();
        assert!(matches!(fault, Fault::Busy(_)), "{what}: {fault:?}");
        assert!(fault.retryable(), "{what}");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(contents(folder.path()), before, "{what}");
        write(&store).unwrap();
        assert_eq!(contents(folder.path()), undisturbed, "{what}, again");
    }
}

#[test]
fn a_write_whose_answer_was_lost_may_be_done_again() {
    for (what, write) in WRITES {
        let folder = tempfile::tempdir().unwrap();
        write(&prepared(folder.path())).unwrap();
        let persisted = contents(folder.path());
        let next = SqliteStore::open_file(file(folder.path())).unwrap();
        write(&next).unwrap();
        assert_eq!(contents(folder.path()), persisted, "{what}");
    }
}

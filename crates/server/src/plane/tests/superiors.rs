//! What is damaged below a tenant keeps from it only whom that could be.

use avouch_core::template::IdTemplate;
use avouch_store::{RuleId, RuleRecord};
use serde_json::json;

use super::*;

const BOSS: &str = "spiffe://one.test/boss";
/// Stands in no other row.
const APPOINTED: i64 = 7_777_777_777;

fn admin(name: &str, subject: &str, role: &str) -> Change {
    Change::Put(Object::Admin(AdminRecord {
        id: AdminId::parse(name).unwrap(),
        subject: SpiffeId::parse(subject).unwrap(),
        role: role.to_owned(),
        created: Time::from_unix(APPOINTED),
    }))
}

fn caller(subject: &str) -> Caller {
    Caller {
        id: SpiffeId::parse(subject).unwrap(),
        tenant: id("one"),
        valid_until: Time::from_unix(i64::MAX),
        valid_from: None,
        mark: None,
        as_of: None,
        credential: None,
        kept_from_administering: None,
    }
}

/// Writes something else of the same length, all over the database.
fn replace(folder: &Path, what: &str, by: &str) {
    assert_eq!(what.len(), by.len());
    let path = folder.join(DATABASE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let mut found = 0;
    for at in 0..bytes.len() - what.len() {
        if bytes[at..].starts_with(what.as_bytes()) {
            bytes[at..at + by.len()].copy_from_slice(by.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "`{what}` is not found");
    std::fs::write(&path, bytes).unwrap();
}

fn here(folder: &TempDir) -> Arc<Plane> {
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    server(store, folder.path())
}

/// A tenant `one` with a registrar and an operator, and one below it with an administrator.
fn deployment() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plane = here(&folder);
    add(&plane, "one");
    add_below(&plane, CHILD, "one", TenantKind::Environment);
    drop(plane);
    let store = SqliteStore::open(folder.path()).unwrap();
    let own = [
        admin("chief", "spiffe://one.test/chief", "operator"),
        admin("registrar", "spiffe://one.test/registrar", "registrar"),
    ];
    store.apply(&id("one"), &own).unwrap();
    let below = admin("boss", BOSS, "administrator");
    store.apply(&id(CHILD), &[below]).unwrap();
    folder
}

/// Whether someone may be given an identity by whom.
fn may_give(plane: &Plane, by: &str, identity: &str) -> Result<bool, Fault> {
    let one = plane.tenant(&id("one")).unwrap().unwrap();
    let superiors = match plane.superiors(&caller(by), &one) {
        Ok(superiors) => superiors,
        Err(Refused::Fault(fault)) => return Err(fault),
        Err(Refused::Reason(reason)) => panic!("{reason:?}"),
    };
    let identity = IdTemplate::parse(identity).unwrap();
    Ok(superiors.check(&identity).is_ok())
}

#[test]
fn a_damaged_tenant_below_keeps_from_who_registers_only_whom_it_could_have_appointed() {
    let (registrar, chief) = ("spiffe://one.test/registrar", "spiffe://one.test/chief");
    let web = "spiffe://one.test/web";
    let folder = deployment();
    let role = "administrator";
    let (whole, torn) = (
        format!("{role}\",\"created\":{APPOINTED}}}"),
        format!("{role}\",\"created\":{APPOINTED}]"),
    );
    replace(folder.path(), &whole, &torn);
    for is_read in [false, true] {
        let plane = here(&folder);
        if is_read {
            assert!(
                plane
                    .tenant(&id(CHILD))
                    .is_err_and(|fault| fault.is_damage())
            );
        }
        assert!(may_give(&plane, registrar, web).unwrap());
        assert!(!may_give(&plane, registrar, BOSS).unwrap());
        assert!(!may_give(&plane, registrar, "spiffe://one.test/{unix.user}").unwrap());
        assert!(may_give(&plane, chief, BOSS).unwrap());
    }

    // Where nobody knows who it is, it could be anyone; who may all may that, too.
    let nobody = BOSS.replacen('s', "X", 1);
    replace(folder.path(), BOSS, &nobody);
    let plane = here(&folder);
    assert!(may_give(&plane, registrar, web).is_err_and(|fault| fault.is_damage()));
    assert!(may_give(&plane, chief, web).unwrap());
}

#[test]
fn a_tenant_below_that_another_server_has_removed_stops_nobody() {
    let folder = deployment();
    let (plane, there) = (here(&folder), here(&folder));
    let child = there.known(&id(CHILD)).unwrap();
    there
        .remove_tenant(&child, Some("child,child.test"))
        .unwrap();
    assert!(plane.known(&id(CHILD)).is_some(), "it has not heard of it");
    assert!(may_give(&plane, "spiffe://one.test/registrar", BOSS).unwrap());
}

#[test]
fn more_rules_than_are_followed_are_taken_to_lead_where_none_may() {
    let folder = deployment();
    let (registrar, web) = ("spiffe://one.test/registrar", "spiffe://one.test/web");
    // Each leads to the next, and the first to the administrator.
    let add = |from: usize, to: usize| {
        let mut rules = Vec::new();
        for number in from..to {
            let path = format!("/r{number:03}");
            let gives = match number.checked_sub(1) {
                None => BOSS.to_owned(),
                Some(next) => format!("spiffe://one.test/r{next:03}"),
            };
            rules.push((format!("r{number:03}"), path, gives));
        }
        let (path, gives) = ("/web".to_owned(), "spiffe://one.test/elsewhere".to_owned());
        rules.push(("z".to_owned(), path, gives));
        let rules = rules.into_iter().map(|(name, path, gives)| {
            let from = json!({"trust_domain": "one.test", "facts": {"spiffe.path": path}});
            Change::Put(Object::Rule(RuleRecord {
                id: RuleId::parse(&name).unwrap(),
                document: json!({"from": from, "gives": {"spiffe_id": gives}}).to_string(),
                created: Time::from_unix(APPOINTED),
            }))
        });
        let store = SqliteStore::open(folder.path()).unwrap();
        store.apply(&id("one"), &rules.collect::<Vec<_>>()).unwrap();
    };
    add(0, 50);
    let plane = here(&folder);
    assert!(!may_give(&plane, registrar, "spiffe://one.test/r049").unwrap());
    assert!(may_give(&plane, registrar, web).unwrap());
    drop(plane);
    add(50, 150);
    let plane = here(&folder);
    assert!(!may_give(&plane, registrar, "spiffe://one.test/r049").unwrap());
    assert!(!may_give(&plane, registrar, web).unwrap());
}

//! What is damaged of one tenant harms no other; (`bounds`) bounds hold for all who write at once;
//! (`opening`) what nobody needs is not read, and (`over`) goes when it is over all the same; (`seen`) a
//! node is not refused because of what is not heard of yet.

mod bounds;
mod domains;
mod opening;
mod over;
mod seen;
mod superiors;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_store::keyring::RootKey;
use avouch_store::postgresql::PostgresqlStore;
use avouch_store::sqlite::{DATABASE_FILE, SqliteStore};
use avouch_store::{
    AdminId, AdminRecord, AnchorId, AnchorRecord, Change, Key, Object, SignalId, SignalKey,
    SignalKind, SignalRecord, Store, TenantKind,
};
use avouch_testkit::postgresql::Cluster;
use tempfile::TempDir;

use super::{Founding, Plane};
use crate::Settings;
use crate::access::{Noun, Verb};
use crate::caller::Caller;
use crate::clock::{Clock, SystemClock};
use crate::fault::{Fault, Refused};
use crate::tenant::Tenant;

/// More than any of it takes.
const LONG: Duration = Duration::from_secs(20);

const DAMAGED: &str = "one";
/// A tenant below it.
const CHILD: &str = "child";
const OTHERS: [&str; 3] = ["another", "two", "zero"];

fn id(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn server(store: Arc<dyn Store>, folder: &Path) -> Arc<Plane> {
    server_at(store, folder, Arc::new(SystemClock))
}

fn server_at(store: Arc<dyn Store>, folder: &Path, clock: Arc<dyn Clock>) -> Arc<Plane> {
    let folder = folder.to_owned();
    let founding = Founding {
        tenant: id("top"),
        trust_domain: TrustDomain::parse("top.test").unwrap(),
    };
    let key = move |tenants: &[_]| Ok(RootKey::open_or_create(&folder, tenants)?);
    Plane::open(store, key, &founding, Settings::default(), clock).unwrap()
}

fn add(plane: &Plane, name: &str) {
    add_below(plane, name, "top", TenantKind::Tenant);
}

fn add_below(plane: &Plane, name: &str, parent: &str, kind: TenantKind) {
    let tenant = plane.add_tenant(&id(name), Some(&id(parent)), kind);
    let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
    plane.add_trust_domain(&tenant.unwrap(), &domain).unwrap();
}

fn anchor(name: &str) -> Change {
    Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(name).unwrap(),
        document: "{}".to_owned(),
    }))
}

fn has_anchor(plane: &Plane, tenant: &str, name: &str) -> bool {
    let name = AnchorId::parse(name).unwrap();
    let tenant = plane.tenant(&id(tenant)).unwrap().unwrap();
    tenant.read(|snapshot| snapshot.anchors.contains_key(&name))
}

/// What ended, in a form that no server can read.
fn unreadable() -> SignalRecord {
    SignalRecord {
        key: SignalKey {
            kind: SignalKind::Ended,
            id: SignalId::parse(&"a".repeat(64)).unwrap(),
        },
        document: "{".to_owned(),
        ends: None,
        secret: None,
    }
}

#[test]
fn a_tenant_that_cannot_be_followed_keeps_no_other_from_it() {
    let folder = tempfile::tempdir().unwrap();
    others_go_on(&folder, || {
        Arc::new(SqliteStore::open(folder.path()).unwrap())
    });
}

#[test]
fn a_tenant_that_cannot_be_followed_keeps_no_other_from_it_on_postgresql() {
    let cluster = match Cluster::shared() {
        Ok(cluster) => cluster,
        Err(why) => {
            println!("skipped: a damaged tenant on one PostgreSQL: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let address = cluster.new_database();
    others_go_on(&folder, || {
        Arc::new(PostgresqlStore::connect(&address).unwrap())
    });
}

fn others_go_on(folder: &TempDir, connect: impl Fn() -> Arc<dyn Store>) {
    let here = server(connect(), folder.path());
    for name in [DAMAGED].into_iter().chain(OTHERS) {
        add(&here, name);
    }
    add_below(&here, CHILD, DAMAGED, TenantKind::Environment);
    let elsewhere = server(connect(), folder.path());
    for plane in [&here, &elsewhere] {
        plane.report_followers().unwrap();
    }
    let tenant = |name| here.tenant(&id(name)).unwrap().unwrap();
    assert!(here.be_current(&tenant(DAMAGED), LONG));

    let store = connect();
    let record = unreadable();
    let mend = Change::Remove(Key::Signal(record.key.clone()));
    store
        .apply(&id(DAMAGED), &[Change::Put(Object::Signal(record))])
        .unwrap();
    for name in OTHERS {
        let other = elsewhere.tenant(&id(name)).unwrap().unwrap();
        elsewhere.apply(&other, &[anchor("a")]).unwrap();
        assert!(here.be_current(&tenant(name), LONG), "{name}");
        assert!(has_anchor(&here, name, "a"), "{name}");
    }
    // It alone cannot say that it is current, and whoever follows all is not told of a fault.
    assert!(!here.be_current(&tenant(DAMAGED), LONG));
    assert!(here.be_current(&here.root().unwrap(), LONG));
    here.follow_store().unwrap();
    assert_eq!(damaged_ones(&here), [DAMAGED]);
    for name in [DAMAGED, CHILD] {
        is_not_acted_for(&here, &tenant(name));
    }
    here.tend_all().unwrap();

    store.apply(&id(DAMAGED), &[mend, anchor("b")]).unwrap();
    assert!(here.be_current(&tenant(DAMAGED), LONG));
    assert!(has_anchor(&here, DAMAGED, "b"));
    assert!(damaged_ones(&here).is_empty());
    here.apply(&tenant(CHILD), &[anchor("b")]).unwrap();
    sign(&here, &tenant(CHILD)).unwrap();
}

fn damaged_ones(plane: &Plane) -> Vec<String> {
    let all = plane.all_known().into_iter();
    let damaged = all.filter(|known| known.is_damaged());
    damaged.map(|known| known.id().to_string()).collect()
}

fn sign(plane: &Plane, tenant: &Arc<Tenant>) -> Result<(), Refused> {
    let subject = SpiffeId::parse(&format!("spiffe://{}.test/web", tenant.id())).unwrap();
    let signed = plane.sign_jwt(tenant, subject, vec!["someone".to_owned()], None);
    signed.map(drop)
}

/// Nothing is given for the tenant and nothing of it changed, and what is there is told all the same.
fn is_not_acted_for(plane: &Plane, tenant: &Arc<Tenant>) {
    let is_refused =
        |refused: Refused| matches!(refused, Refused::Fault(fault) if fault.retryable());
    assert!(sign(plane, tenant).is_err_and(is_refused));
    let before = plane.store.heads(&super::OPERATOR).unwrap();
    assert!(
        plane
            .apply(tenant, &[anchor("c")])
            .is_err_and(|error| matches!(error, Refused::Fault(Fault::Behind(_))))
    );
    let new = plane.add_tenant(&id("new"), Some(tenant.id()), TenantKind::Environment);
    assert!(new.is_err_and(is_refused));
    assert_eq!(plane.store.heads(&super::OPERATOR).unwrap(), before);
    let caller = Caller {
        id: plane.operator_id().unwrap(),
        tenant: plane.root().unwrap().id().clone(),
        valid_until: plane.now().plus(60),
        valid_from: None,
        mark: None,
        as_of: None,
        credential: None,
        kept_from_administering: None,
    };
    let permitted = |verb| plane.permit(&caller, tenant.id().as_str(), verb, Noun::Entry);
    assert!(permitted(Verb::Write).is_err_and(is_refused));
    permitted(Verb::Read).unwrap();
    let domain = tenant.first_trust_domain().unwrap();
    plane.bundle(tenant, &domain).unwrap();
}

#[test]
fn a_server_that_is_alone_is_not_current_either_where_it_could_not_read_something() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> { Arc::new(SqliteStore::open(folder.path()).unwrap()) };
    let here = server(open(), folder.path());
    add(&here, DAMAGED);
    let tenant = here.tenant(&id(DAMAGED)).unwrap().unwrap();
    assert!(here.be_current(&tenant, LONG));
    let put = Change::Put(Object::Signal(unreadable()));
    open().apply(&id(DAMAGED), &[put]).unwrap();
    here.follow_store().unwrap();
    assert!(!here.is_one_of_several());
    assert!(!here.be_current(&tenant, LONG));
}

#[test]
fn what_cannot_be_read_is_told_once_and_read_again_less_and_less_often_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let here = server(store, folder.path());
    add(&here, DAMAGED);
    // As another server that has not opened it.
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let there = server(store, folder.path());
    let known = there.known(&id(DAMAGED)).unwrap();
    let (mut now, fault) = (there.now(), Fault::Stored("a row".to_owned()));
    for (wait, is_news) in [
        (5, true),
        (10, false),
        (20, false),
        (40, false),
        (60, false),
    ] {
        known.check_not_damaged(now).unwrap();
        assert_eq!(known.note_damage(&fault, now), is_news);
        assert!(known.check_not_damaged(now.plus(wait - 1)).is_err());
        now = now.plus(wait);
    }
    known.note_damage(&fault, now);
    assert!(known.check_not_damaged(now).is_err());
    let tenant = here.tenant(&id(DAMAGED)).unwrap().unwrap();
    here.apply(&tenant, &[anchor("a")]).unwrap();
    there.follow_store().unwrap();
    known.check_not_damaged(now).unwrap();
    assert!(there.tenant(&id(DAMAGED)).unwrap().is_some());
    assert!(!known.is_damaged());
}

#[test]
fn a_row_of_one_tenant_that_cannot_be_read_stops_no_start_and_no_other_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> { Arc::new(SqliteStore::open(folder.path()).unwrap()) };
    let plane = server(open(), folder.path());
    for name in [DAMAGED].into_iter().chain(OTHERS) {
        add(&plane, name);
    }
    add_below(&plane, CHILD, DAMAGED, TenantKind::Environment);
    let marked = anchor("the-one-that-is-damaged");
    let damaged = plane.tenant(&id(DAMAGED)).unwrap().unwrap();
    plane.apply(&damaged, &[marked]).unwrap();
    drop(damaged);
    // With the last who has it open, all of it is moved to the file.
    drop(plane);
    damage(folder.path(), b"the-one-that-is-damaged");

    let again = server(open(), folder.path());
    for name in OTHERS {
        let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
        let tenant = again.owner_of(&domain).unwrap().unwrap();
        again.bundle(&tenant, &domain).unwrap();
        again.apply(&tenant, &[anchor("a")]).unwrap();
    }
    again.follow_store().unwrap();
    add(&again, "new");
    // It answers with its own fault, and is not taken for one that is not there.
    assert!(
        again
            .tenant(&id(DAMAGED))
            .is_err_and(|error| error.is_damage())
    );
    let domain = TrustDomain::parse(&format!("{DAMAGED}.test")).unwrap();
    assert!(
        again
            .owner_of(&domain)
            .is_err_and(|error| error.is_damage())
    );
    // What is below it is not there without it: whose bounds hold for it cannot be read.
    assert!(
        again
            .tenant(&id(CHILD))
            .is_err_and(|error| error.is_damage())
    );
    assert_eq!(damaged_ones(&again), [DAMAGED]);
    let two = again.known(&id("two")).unwrap();
    again.remove_tenant(&two, Some("two,two.test")).unwrap();
    add(&again, "two");
    again.tend_all().unwrap();
    let mut listed = again.listed(usize::MAX).into_iter();
    let listed = listed.find(|one| one.id == id(DAMAGED)).unwrap();
    assert_eq!(listed.trust_domains, [domain]);
}

#[test]
fn who_administers_a_tenant_that_cannot_be_opened_is_one_who_administers() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> { Arc::new(SqliteStore::open(folder.path()).unwrap()) };
    add(&server(open(), folder.path()), DAMAGED);
    let boss = SpiffeId::parse("spiffe://top.test/boss").unwrap();
    let admin = AdminRecord {
        id: AdminId::parse("boss").unwrap(),
        subject: boss.clone(),
        role: "operator".to_owned(),
        created: Time::from_unix(0),
    };
    let changes = [Object::Admin(admin), Object::Signal(unreadable())].map(Change::Put);
    open().apply(&id(DAMAGED), &changes).unwrap();

    let plane = server(open(), folder.path());
    let root = plane.root().unwrap();
    let reached = plane.administrators_reached_from(&root).unwrap();
    assert!(reached.contains(&boss), "{reached:?}");
    assert!(plane.opened(&id(DAMAGED)).is_none());
    // Nor is it left out where all of it is needed.
    let all = plane.with_all_below(root.id());
    assert!(all.is_err_and(|error| error.is_damage()));
    let going = plane.going_with(&plane.known(root.id()).unwrap()).unwrap();
    let expected = "one,one.test,top,top.test,unread:one";
    assert_eq!(going.confirmation(), expected);
}

/// Makes the content of the row of this name something that never was one.
fn damage(folder: &Path, name: &[u8]) {
    let path = folder.join(DATABASE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let content = br#"{"document":"{}"}"#;
    let mut found = 0;
    for at in 0..bytes.len() - name.len() {
        let Some(after) = bytes[at..].strip_prefix(name) else {
            continue;
        };
        // The sequence stands between them, in up to eight bytes.
        let place = (0..=8).find(|gap| after[*gap..].starts_with(content));
        if let Some(gap) = place {
            bytes[at + name.len() + gap] = b'[';
            found += 1;
        }
    }
    assert!(found > 0, "the row is not found");
    std::fs::write(&path, bytes).unwrap();
}

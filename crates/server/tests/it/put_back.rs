//! A database that is put back to an earlier state beneath a server that runs.

use std::path::Path;
use std::sync::Arc;

use avouch_core::id::TenantId;
use avouch_server::entries::EntryDraft;
use avouch_server::tenant::Tenant;
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Operator, Sequence, Store};
use tempfile::TempDir;

use crate::world::World;

fn put_entry(world: &World, name: &str) {
    let draft = EntryDraft {
        id: Some(name.to_owned()),
        spiffe_id: format!("spiffe://one.test/{name}"),
        selectors: vec!["unix:uid:0".to_owned()],
        ..EntryDraft::default()
    };
    let put = world.plane.put_entries(&tenant(world), vec![draft]);
    put.unwrap().remove(0).unwrap();
}

fn tenant(world: &World) -> Arc<Tenant> {
    world
        .plane
        .tenant(&TenantId::parse("one").unwrap())
        .unwrap()
        .unwrap()
}

fn entries(world: &World) -> Vec<String> {
    tenant(world).read(|snapshot| snapshot.entries.keys().map(ToString::to_string).collect())
}

fn backup_of(folder: &Path) -> TempDir {
    let backup = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), backup.path().join(file.file_name())).unwrap();
    }
    backup
}

#[test]
fn a_server_holds_what_is_there_and_not_what_was() {
    let world = World::new();
    put_entry(&world, "before");
    let backup = backup_of(world.folder());
    put_entry(&world, "gone");
    let sequence = |world: &World| tenant(world).read(|snapshot| snapshot.sequence);
    let held = sequence(&world);
    world.put_store(Arc::new(SqliteStore::open(backup.path()).unwrap()));
    world.plane.follow_store().unwrap();
    assert_eq!(entries(&world), ["before"]);
    assert!(
        sequence(&world) > held,
        "numbers go on above those that are gone"
    );
    put_entry(&world, "after");
    assert_eq!(entries(&world), ["after", "before"]);
}

#[test]
fn a_change_that_meets_an_earlier_state_is_made_there() {
    let world = World::new();
    put_entry(&world, "before");
    let backup = backup_of(world.folder());
    put_entry(&world, "gone");
    put_entry(&world, "gone-too");
    world.put_store(Arc::new(SqliteStore::open(backup.path()).unwrap()));
    put_entry(&world, "after");
    assert_eq!(entries(&world), ["after", "before"]);
}

#[test]
fn a_server_notices_by_its_own_report_however_far_others_have_gone_on() {
    let world = World::new();
    put_entry(&world, "before");
    world.plane.report_followers().unwrap();
    let backup = backup_of(world.folder());
    world.plane.report_followers().unwrap();
    put_entry(&world, "gone");
    let store = Arc::new(SqliteStore::open(backup.path()).unwrap());
    // As another server that has changed more since than what is gone.
    for round in 0..10 {
        use avouch_store::{AnchorId, AnchorRecord, Change, Object};
        let put = Change::Put(Object::Anchor(AnchorRecord {
            id: AnchorId::parse(&format!("a{round}")).unwrap(),
            document: "{}".to_owned(),
        }));
        store.apply(tenant(&world).id(), &[put]).unwrap();
    }
    world.put_store(store);
    world.plane.report_followers().unwrap();
    assert_eq!(entries(&world), ["before"]);
}

#[test]
fn a_server_learns_of_it_from_another_that_has_noticed_first() {
    let world = World::new();
    put_entry(&world, "before");
    world.plane.report_followers().unwrap();
    let backup = backup_of(world.folder());
    put_entry(&world, "gone");
    let store = Arc::new(SqliteStore::open(backup.path()).unwrap());
    // As another server, or one that has just been started, whose numbers are now far beyond.
    let beyond = Sequence::of(1 << 60);
    store
        .raise(&Operator::of_this_deployment(), beyond)
        .unwrap();
    world.put_store(store);
    world.plane.report_followers().unwrap();
    world.plane.follow_store().unwrap();
    assert_eq!(entries(&world), ["before"]);
}

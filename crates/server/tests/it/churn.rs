//! Identities that come and go by the thousand leave nothing behind.

use avouch_core::time::Time;
use avouch_server::entries::EntryDraft;
use avouch_server::issuing::Wanted;
use avouch_store::{CredentialKind, Sequence, Store};
use avouch_testkit::key::Key;

use crate::refusals::{Deployment, draft};

const ROUNDS: usize = 10;
const A_ROUND: usize = 1_000;
const DAY: i64 = 86_400;

/// Whether it is about an authority, which outlives those whom it vouched for.
fn is_of_authority(kind: CredentialKind) -> bool {
    matches!(kind, CredentialKind::Authority | CredentialKind::LifeCycle)
}

/// Has a thousand identities: half end by themselves, and half are removed by whoever put them.
fn come_and_go(world: &Deployment, round: usize) {
    let (plane, tenant) = (&world.plane, world.tenant());
    let (_, node) = world.join(&format!("node-{round}"));
    let names: Vec<String> = (0..A_ROUND)
        .map(|number| format!("job-{round}-{number}"))
        .collect();
    let end = plane.now().plus(600);
    let drafts = names.iter().enumerate().map(|(number, name)| EntryDraft {
        expires: (number % 2 == 0).then_some(end),
        ..draft(name)
    });
    let put = plane.put_entries(tenant, drafts.collect()).unwrap();
    assert!(put.iter().all(Result::is_ok));
    let public_key = Key::p256("job").public_key_info();
    let wanted: Vec<Wanted> = names
        .iter()
        .map(|name| Wanted {
            entry: name.clone(),
            public_key: public_key.clone(),
            facts: Vec::new(),
        })
        .collect();
    for some in wanted.chunks(50) {
        let issued = plane.issue_x509(&node, "shop", some).unwrap();
        assert!(issued.iter().all(Result::is_ok));
    }
    let removed: Vec<String> = names.iter().skip(1).step_by(2).cloned().collect();
    let answers = plane.remove_entries(tenant, &removed).unwrap();
    assert_eq!(answers.len(), A_ROUND / 2);
    world.pass(601);
    plane.remove_over().unwrap();
    plane.evict(tenant, &format!("node-{round}")).unwrap();
}

#[test]
fn ten_thousand_identities_come_and_go_without_residue() {
    let world = Deployment::new();
    let (plane, tenant) = (&world.plane, world.tenant());
    let stored = |what: &str| {
        let mut snapshot = world.store().load(tenant.id()).unwrap();
        snapshot.sequence = Sequence::START;
        assert_eq!(snapshot.entries.len(), 0, "{what}");
        snapshot
    };
    let before = stored("at first");
    for round in 0..ROUNDS {
        come_and_go(&world, round);
    }
    let issued = || {
        let all = world
            .store()
            .intents(tenant.id(), Time::from_unix(0), 100_000);
        let all = all.unwrap().into_iter();
        let all = all.filter(|intent| !is_of_authority(intent.kind));
        all.map(|intent| (intent.kind, intent.not_after))
            .collect::<Vec<_>>()
    };
    assert!(issued().len() >= ROUNDS * A_ROUND, "all are on record");
    // What is on record ends with the time it is kept for, and what was removed with an hour.
    // Lists of revoked certificates are good for a week, and kept for one more.
    world.pass(15 * DAY);
    plane.forget_intents().unwrap();
    plane.forget_uses().unwrap();
    plane.remove_over().unwrap();
    let removals = plane.forget_removals(&plane.heads().unwrap()).unwrap();
    assert!(removals >= 10_000, "{removals} removals");
    assert_eq!(issued(), []);
    assert_eq!(stored("at last"), before);
    assert_eq!(plane.forget_removals(&plane.heads().unwrap()).unwrap(), 0);
    // Who followed all the way holds the same as who starts now.
    let held = tenant.read(Clone::clone);
    assert_eq!(held, world.store().load(tenant.id()).unwrap());
}

#[test]
fn a_server_that_missed_forgotten_removals_takes_up_everything_anew() {
    let world = Deployment::new();
    let put = |name: &str| world.put(draft(name)).unwrap();
    put("stays");
    put("goes");
    let behind = world.opened_again();
    let names = || {
        let tenant = behind.tenant_named("shop").unwrap().unwrap();
        tenant.read(|held| {
            held.entries
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(names(), ["goes", "stays"]);
    let (plane, tenant) = (&world.plane, world.tenant());
    plane.remove_entries(tenant, &["goes".to_owned()]).unwrap();
    plane.forget_removals(&plane.heads().unwrap()).unwrap();
    put("new");
    behind.follow_store().unwrap();
    assert_eq!(names(), ["new", "stays"]);
}

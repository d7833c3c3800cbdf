//! A node that was sent away stays away, whoever has its name by now.

use avouch_core::id::SpiffeId;
use avouch_server::Refused;
use avouch_server::caller::Caller;
use avouch_server::nodes::Admitted;
use avouch_testkit::key::Key;

use crate::refusals::Deployment;
use crate::world::signing_request;

const DETAIL: &str = "another has joined under its name since";

fn said(refused: Refused) -> String {
    match refused {
        Refused::Reason(reason) => reason.sentence(),
        Refused::Fault(fault) => panic!("{fault}"),
    }
}

/// Lets a node of this name join with a key; who calls.
fn join(world: &Deployment, key: &str) -> Caller {
    let token = world
        .plane
        .new_join_token(world.tenant(), "n1", 600)
        .unwrap();
    let request = signing_request(&Key::p256(key));
    let member = world.plane.join(&token.token, &request).unwrap();
    world.plane.identify_client(member.certificates).unwrap()
}

fn admitted(world: &Deployment, caller: &Caller) -> Result<Admitted, String> {
    world.plane.admit(caller).map_err(said)
}

/// Has a node renew its identity with a key; who it calls as then.
fn renew(world: &Deployment, node: &Admitted, key: &str) -> Result<Caller, String> {
    let request = signing_request(&Key::p256(key));
    let renewed = world.plane.renew(node, &request);
    let renewed = renewed.map_err(said)?;
    Ok(world.plane.identify_client(renewed.certificates).unwrap())
}

#[track_caller]
fn is_out(world: &Deployment, caller: &Caller) {
    let refused = admitted(world, caller).map(drop).unwrap_err();
    assert!(refused.contains(DETAIL), "{refused}");
}

#[test]
fn what_an_evicted_node_holds_is_worth_nothing_once_another_has_its_name() {
    let world = Deployment::new();
    let thief = join(&world, "stolen");
    let node = admitted(&world, &thief).unwrap();
    world.pass(60);
    // It has renewed in the very second in which it is evicted.
    let renewed = renew(&world, &node, "stolen too").unwrap();
    world.plane.evict(world.tenant(), "n1").unwrap();
    assert!(admitted(&world, &thief).is_err());
    assert!(renew(&world, &node, "again").is_err());
    let own = join(&world, "new machine");
    is_out(&world, &thief);
    is_out(&world, &renewed);
    let node = admitted(&world, &own).unwrap();
    let next = renew(&world, &node, "next").unwrap();
    admitted(&world, &next).unwrap();
    // Nor later, nor after a start.
    world.pass(600);
    is_out(&world, &renewed);
    let again = world.opened_again();
    assert!(again.admit(&renewed).is_err());
    assert!(again.admit(&own).is_ok());
}

#[test]
fn who_joins_with_a_token_takes_the_place_of_who_was_the_node() {
    let world = Deployment::new();
    let first = join(&world, "first");
    let before = admitted(&world, &first).unwrap();
    let second = join(&world, "second");
    is_out(&world, &first);
    admitted(&world, &second).unwrap();
    // What it asked for while it was one is not handed out any more.
    let refused = renew(&world, &before, "first again").unwrap_err();
    assert!(refused.contains("it was sent away"), "{refused}");
    // A ban is no matter of who has the name.
    world.plane.set_banned(world.tenant(), "n1", true).unwrap();
    let token = world
        .plane
        .new_join_token(world.tenant(), "n1", 600)
        .unwrap();
    let request = signing_request(&Key::p256("third"));
    let refused = said(world.plane.join(&token.token, &request).unwrap_err());
    assert!(refused.contains("it is banned"), "{refused}");
    world.plane.set_banned(world.tenant(), "n1", false).unwrap();
    admitted(&world, &second).unwrap();
    is_out(&world, &first);
    assert_eq!(
        second.id,
        SpiffeId::parse("spiffe://shop.test/avouch/node/n1").unwrap()
    );
}

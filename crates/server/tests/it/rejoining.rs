//! A node that was sent away stays away, whoever has its name by now.

use std::sync::Barrier;
use std::thread;

use avouch_api::grpc::node::{Evidence, Intention};
use avouch_core::id::{SpiffeId, TenantId};
use avouch_server::caller::Caller;
use avouch_server::nodes::{Admitted, Membership};
use avouch_server::{Plane, Refused};
use avouch_store::{Change, NodeId, NodeRecord, Object, Store};
use avouch_testkit::key::Key;

use crate::attesting::{Asked, code, machine, machines, x509pop};
use crate::refusals::Deployment;
use crate::world::signing_request;

const DETAIL: &str = "another has joined under its name since";

fn said(refused: Refused) -> String {
    match refused {
        Refused::Reason(reason) => reason.sentence(),
        Refused::Fault(fault) => panic!("{fault}"),
    }
}

/// A token for the node.
fn token(plane: &Plane) -> String {
    let tenant = plane.tenant_named("shop").unwrap().unwrap();
    let made = plane.new_join_token(&tenant, "n1", 600).unwrap();
    made.token.to_string()
}

/// Joins with a token and a key.
fn bring(plane: &Plane, token: &str, key: &str) -> Result<Membership, Refused> {
    plane.join(token, &signing_request(&Key::p256(key)))
}

/// Lets the node join with a key; who calls.
fn join(world: &Deployment, key: &str) -> Caller {
    let member = bring(&world.plane, &token(&world.plane), key).unwrap();
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

#[test]
fn of_many_who_join_at_once_with_a_token_each_one_is_the_node() {
    let world = Deployment::new();
    for _ in 0..4 {
        one_of_many_is_the_node(&world);
        world.plane.evict(world.tenant(), "n1").unwrap();
        world.pass(60);
    }
}

fn one_of_many_is_the_node(world: &Deployment) {
    let tokens: Vec<_> = (0..6)
        .map(|number| {
            let key = Key::p256(&format!("machine {number}"));
            (token(&world.plane), signing_request(&key))
        })
        .collect();
    let begin = Barrier::new(tokens.len());
    let tries: Vec<_> = thread::scope(|scope| {
        let tries: Vec<_> = tokens
            .iter()
            .map(|(token, request)| {
                scope.spawn(|| {
                    begin.wait();
                    world.plane.join(token, request)
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut admitted = Vec::new();
    let mut again = None;
    for (joined, (token, request)) in tries.into_iter().zip(&tokens) {
        match joined {
            Ok(member) => admitted.push(world.plane.identify_client(member.certificates).unwrap()),
            Err(refused) => {
                assert_eq!(code::<()>(Err(refused)), "issue.conflict");
                again = Some((token, request));
            }
        }
    }
    admitted.retain(|caller| world.plane.admit(caller).is_ok());
    assert_eq!(admitted.len(), 1);
    // The token of who was refused is good still.
    if let Some((token, request)) = again {
        let member = world.plane.join(token, request).unwrap();
        let last = world.plane.identify_client(member.certificates).unwrap();
        world.plane.admit(&last).unwrap();
        is_out(world, &admitted[0]);
    }
}

/// A node as former versions have stored it: made known in the second after it was given its certificate,
/// or later.
fn of_former_version(world: &Deployment) {
    restore(world, |record| NodeRecord {
        created: record.created.plus(20),
        mark: None,
        since: None,
        ..record
    });
}

/// Has the record of the node stored otherwise, as a server of another version does it.
fn restore(world: &Deployment, as_what: impl FnOnce(NodeRecord) -> NodeRecord) {
    let (tenant, id) = (
        TenantId::parse("shop").unwrap(),
        NodeId::parse("n1").unwrap(),
    );
    let record = world.store().load(&tenant).unwrap().nodes[&id].clone();
    let change = [Change::Put(Object::Node(as_what(record)))];
    world.store().apply(&tenant, &change).unwrap();
}

/// Who calls with what a server of a former version has issued: it has no mark.
fn unmarked(caller: &Caller) -> Caller {
    Caller {
        mark: None,
        ..caller.clone()
    }
}

#[test]
fn a_node_that_joined_under_a_former_version_stays_the_node_until_another_has_its_name() {
    let world = Deployment::new();
    let own = join(&world, "own");
    of_former_version(&world);
    let plane = world.opened_again();
    let node = plane.admit(&own).unwrap();
    let renewed = plane.renew(&node, &signing_request(&Key::p256("next")));
    let renewed = plane.identify_client(renewed.unwrap().certificates);
    let renewed = renewed.unwrap();
    plane.admit(&renewed).unwrap();
    world.pass(60);
    let other = bring(&plane, &token(&plane), "other").unwrap();
    let other = plane.identify_client(other.certificates).unwrap();
    plane.admit(&other).unwrap();
    for caller in [&own, &renewed] {
        let refused = said(plane.admit(caller).map(drop).unwrap_err());
        assert!(refused.contains(DETAIL), "{refused}");
    }
}

#[test]
fn of_those_who_have_a_name_within_one_second_the_last_is_the_node() {
    let world = Deployment::new();
    let mut gone = Vec::new();
    for round in 0..4 {
        let own = join(&world, &format!("machine {round}"));
        let node = admitted(&world, &own).unwrap();
        let renewed = renew(&world, &node, &format!("next {round}")).unwrap();
        gone.iter().for_each(|caller| is_out(&world, caller));
        admitted(&world, &renewed).unwrap();
        // Sent away, or followed at once by who joins with another token.
        if round % 2 == 0 {
            world.plane.evict(world.tenant(), "n1").unwrap();
            assert!(renew(&world, &node, "again").is_err());
        }
        gone.extend([own, renewed]);
    }
    let last = join(&world, "last");
    gone.iter().for_each(|caller| is_out(&world, caller));
    let again = world.opened_again();
    assert!(again.admit(&last).is_ok());
    assert!(gone.iter().all(|caller| again.admit(caller).is_err()));
}

#[test]
fn a_node_that_joined_by_a_clock_that_was_ahead_is_followed_at_once() {
    const AHEAD: i64 = 6 * 3_600;
    let world = Deployment::new();
    world.pass(AHEAD);
    let before = join(&world, "own");
    world.pass(-AHEAD);
    let after = join(&world, "again");
    admitted(&world, &after).unwrap();
    world.pass(AHEAD);
    assert!(admitted(&world, &before).is_err());
}

#[test]
fn who_renews_without_end_is_told_and_who_comes_after_it_is_not() {
    let world = Deployment::new();
    let own = join(&world, "own");
    let node = admitted(&world, &own).unwrap();
    let request = signing_request(&Key::p256("next"));
    let tries = 200;
    let refused: Vec<&str> = (0..tries)
        .filter_map(|_| world.plane.renew(&node, &request).err())
        .map(|refused| code::<()>(Err(refused)))
        .collect();
    assert_eq!(refused.len(), tries - 60);
    assert!(
        refused
            .iter()
            .all(|code| *code == "issue.node_renews_too_often")
    );
    world.pass(60);
    world.plane.renew(&node, &request).unwrap();
    assert!(world.plane.renew(&node, &request).is_err());
    // Whoever has taken a node has used up nothing of who has its name next.
    world.plane.evict(world.tenant(), "n1").unwrap();
    let next = join(&world, "new machine");
    let node = admitted(&world, &next).unwrap();
    renew(&world, &node, "new machine's next").unwrap();
}

#[test]
fn who_shows_itself_again_without_end_is_told() {
    let world = Deployment::new();
    let stored = world
        .plane
        .put_attestor(world.tenant(), "x509pop", &x509pop());
    stored.unwrap();
    let asked = Asked::new(Intention {
        tenant: "shop".to_owned(),
        attestor: "x509pop".to_owned(),
        method: "x509pop".to_owned(),
    });
    let (chain, key) = machine(&machines(), "web-1");
    let evidence = Evidence {
        signing_request: asked.request.clone(),
        shown: Some(asked.possession(&chain, &key)),
    };
    let attest = || {
        let (intention, challenge) = (&asked.intention, &asked.challenge);
        let attested = world
            .plane
            .attest(intention, challenge, &evidence, None, None);
        attested.map(|member| world.plane.identify_client(member.certificates).unwrap())
    };
    let first = attest().unwrap();
    for _ in 0..60 {
        world.plane.admit(&attest().unwrap()).unwrap();
    }
    // It is the same node all the time.
    world.plane.admit(&first).unwrap();
    assert_eq!(code(attest().map(drop)), "issue.node_renews_too_often");
    world.pass(60);
    world.plane.admit(&attest().unwrap()).unwrap();
}

#[test]
fn where_a_server_of_the_former_version_has_renewed_a_node_it_stays_the_node() {
    let world = Deployment::new();
    let first = join(&world, "first");
    world.pass(60);
    let second = join(&world, "second");
    let node = admitted(&world, &second).unwrap();
    world.pass(60);
    let renewed = renew(&world, &node, "second again").unwrap();
    // What the second was given on the former version, and the first before that.
    let (own, before) = (unmarked(&renewed), unmarked(&first));
    let node = admitted(&world, &own).unwrap();
    is_out(&world, &before);
    is_out(&world, &first);
    // With its next renewal it can be told by its mark again.
    let healed = renew(&world, &node, "healed").unwrap();
    assert_eq!((healed.mark, healed.mark.is_some()), (second.mark, true));
    admitted(&world, &healed).unwrap();
    // Where it cannot be told by the second, whoever has no mark is not it.
    restore(&world, |record| NodeRecord {
        since: None,
        ..record
    });
    let plane = world.opened_again();
    assert!(plane.admit(&own).is_err());
    plane.admit(&healed).unwrap();
}

#[test]
fn where_a_server_of_the_former_version_has_stored_a_node_who_had_its_name_stays_out() {
    let world = Deployment::new();
    let first = join(&world, "first");
    world.pass(60);
    let second = join(&world, "second");
    // It was banned and is not any more, for which that server has written all that it knows.
    restore(&world, |record| NodeRecord {
        mark: None,
        ..record
    });
    let plane = world.opened_again();
    plane.admit(&second).unwrap();
    for gone in [&first, &unmarked(&first)] {
        let refused = said(plane.admit(gone).map(drop).unwrap_err());
        assert!(refused.contains(DETAIL), "{refused}");
    }
}

#[test]
fn who_is_banned_where_it_is_not_heard_of_yet_is_who_has_the_name_by_now() {
    let world = Deployment::new();
    let first = join(&world, "first");
    let there = world.opened_again();
    let tenant = there.tenant_named("shop").unwrap().unwrap();
    there.admit(&first).unwrap();
    let second = join(&world, "second");
    // That server has heard of the first alone.
    there.set_banned(&tenant, "n1", true).unwrap();
    there.set_banned(&tenant, "n1", false).unwrap();
    world.plane.follow_store().unwrap();
    admitted(&world, &second).unwrap();
    is_out(&world, &first);
    // Nor does it come back that was evicted.
    world.plane.evict(world.tenant(), "n1").unwrap();
    let banned = there.set_banned(&tenant, "n1", true);
    assert_eq!(code(banned.map(drop)), "issue.object_unknown");
}

#[test]
fn whoever_has_copied_what_a_node_shows_keeps_it_neither_from_renewing_nor_from_showing_itself() {
    let world = Deployment::new();
    let own = join(&world, "own");
    let node = admitted(&world, &own).unwrap();
    let request = signing_request(&Key::p256("thief"));
    while world.plane.renew(&node, &request).is_ok() {}
    // The node has half of an hour.
    world.pass(1_800);
    let (next, node) = (
        signing_request(&Key::p256("next")),
        admitted(&world, &own).unwrap(),
    );
    let renewed = world.plane.renew(&node, &next).unwrap();
    let renewed = world.plane.identify_client(renewed.certificates).unwrap();
    let mut node = admitted(&world, &renewed).unwrap();
    for round in 0..6 {
        while world.plane.renew(&node, &request).is_ok() {}
        world.pass(1_800);
        let own = world.plane.renew(&node, &next);
        let own = own.unwrap_or_else(|refused| panic!("{round}: {}", said(refused)));
        let own = world.plane.identify_client(own.certificates).unwrap();
        node = admitted(&world, &own).unwrap();
    }
}

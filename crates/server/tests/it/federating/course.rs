//! How it goes with a relation, on record.

use std::sync::Arc;
use std::time::Duration;

use avouch_core::id::TrustDomain;
use avouch_server::fetch::Permitted;
use avouch_server::{Settings, federation};
use avouch_testkit::https::{pause, root};
use serde_json::json;

use super::{Endpoint, FOREIGN, RELATION, authority, bundle, put, refresh, web, with_web};
use crate::world::World;

#[test]
fn how_a_relation_goes_is_on_record_and_a_restart_asks_nobody_who_is_not_due() {
    let settings = || Settings {
        fetch: Permitted::read(["127.0.0.0/8", "localhost"]).unwrap(),
        federation_interval: 600,
        ..Settings::default()
    };
    let world = World::with(settings());
    let root = root("Web");
    let endpoint = Endpoint::web(&root);
    assert!(put(&world, &web(&endpoint, &root)).is_put());
    endpoint.publish(&bundle(4, &[&authority(FOREIGN, "B")]));
    assert_eq!(refresh(&world)["state"], "fetched");
    endpoint.tell(500, &[], "");
    let before = refresh(&world);
    assert_eq!(
        (&before["state"], &before["failures"]),
        (&json!("failing"), &json!(1))
    );

    let again = world.opened_again(settings());
    let tenant = again.tenant_named("one").unwrap().unwrap();
    let name = TrustDomain::parse(FOREIGN).unwrap();
    let course = again.federation(&tenant, &name).unwrap().course.unwrap();
    let told = |member: &str| before[member].as_str().unwrap().to_owned();
    assert_eq!(course.succeeded.unwrap().to_string(), told("last_success"));
    assert_eq!(course.next.to_string(), told("next_attempt"));
    assert_eq!(course.failure.unwrap().code, before["failure"]["code"]);
    // What was fetched last is believed on, with its number and its hint.
    let anchors = tenant.read(|snapshot| snapshot.anchors.len());
    assert_eq!(
        (anchors, &before["sequence"], &before["refresh_hint"]),
        (1, &json!(4), &json!(1))
    );
    world
        .runtime()
        .spawn(federation::follow(Arc::clone(&again)));
    pause(Duration::from_millis(1_300));
    assert_eq!(endpoint.asked(), 2, "it was asked although it was not due");
    // Another relation in its place is asked at once.
    assert_eq!(
        put(&world, &web(&endpoint, &root)).json()["state"],
        "waiting"
    );
}

#[test]
fn what_cannot_be_put_on_record_of_a_relation_is_held_until_it_can() {
    let (world, endpoint) = with_web();
    endpoint.publish(&bundle(4, &[&authority(FOREIGN, "B")]));
    assert_eq!(refresh(&world)["state"], "fetched");
    endpoint.tell(500, &[], "");
    let token = world.operator();
    world.store_away(true);
    let path = format!("{RELATION}/refresh");
    let failed = world.call(&token, "POST", &path, None).json();
    assert_eq!(
        (&failed["state"], &failed["failures"]),
        (&json!("failing"), &json!(1))
    );
    world.store_away(false);
    let failed = refresh(&world);
    assert_eq!(failed["failures"], 2, "{failed}");
    let name = TrustDomain::parse(FOREIGN).unwrap();
    let tenant = world.plane.tenant_named("one").unwrap().unwrap();
    let course = world.plane.federation(&tenant, &name).unwrap().course;
    assert_eq!(course.unwrap().failures, 2);
}

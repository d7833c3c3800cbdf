//! What requests expect to be there of what they change, and what is told of it (RFC 9110 8.8.3, 13.1).

use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use serde_json::json;

use crate::http::{Answer, request, send};
use crate::isolation::body;
use crate::world::World;

/// A call of the operator with a body that is in order.
fn call(world: &World, method: &str, path: &str, at: &str, condition: (&str, &str)) -> Answer {
    let bearer = format!("Bearer {}", world.operator());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        condition,
    ];
    let document = match path.rsplit('/').next() {
        Some("{service}") if method == "PUT" => {
            Some(json!({"audiences": ["a"], "models": ["pki"], "across": "refuse"}))
        }
        Some("{anchor}") if method == "PUT" => {
            Some(json!({"trust_domain": "partner.test", "bundle": {"keys": []}}))
        }
        Some("{issuer}") if method == "PUT" => Some(json!({
            "issuer": "https://ci.test", "audiences": ["a"],
            "jwks": jwks(&[jwk(&Key::p256("ci"), "k")]),
            "rules": [{"name": "x", "facts": {"subject": "x"}}],
        })),
        _ => body(method, path),
    };
    let document = document.map(|document| document.to_string());
    send(
        world.address,
        &request(method, at, &headers, document.as_deref()),
    )
}

fn refused(answer: &Answer, at: &str) {
    assert_eq!(answer.status, 412, "{at}: {}", answer.body);
    assert_eq!(answer.code(), "issue.precondition_failed");
}

#[test]
fn whatever_is_put_by_its_name_has_a_tag_and_is_put_only_where_what_is_expected_is_there() {
    let world = World::new();
    let mut count = 0;
    for (method, path) in avouch_server::http::addresses() {
        let is_one = path.starts_with("/v1/tenants/{tenant}/") && path.ends_with('}');
        if method != "PUT" || !is_one || path.ends_with("{pin}") {
            continue;
        }
        count += 1;
        let (above, _) = path.rsplit_once('/').unwrap();
        let at = format!("{above}/new").replace("{tenant}", "two");
        let put = |condition| call(&world, "PUT", path, &at, condition);
        // Nothing is there, so nothing matches, and something new may come.
        refused(&put(("if-match", "*")), &at);
        let made = put(("if-none-match", "*"));
        assert_eq!(made.status, 201, "{at}: {}", made.body);
        assert_eq!(made.header("location"), Some(at.as_str()));
        let tag = made.header("etag").unwrap().to_owned();
        let read = world.call(&world.operator(), "GET", &at, None);
        assert_eq!(read.header("etag"), Some(tag.as_str()), "{at}");

        refused(&put(("if-none-match", "*")), &at);
        refused(&put(("if-none-match", &tag)), &at);
        refused(&put(("if-match", "\"nonsense\"")), &at);
        let several = format!("\"x\", {tag}");
        let again = put(("if-match", &several));
        assert_eq!(again.status, 200, "{at}: {}", again.body);
        let tag = again.header("etag").unwrap().to_owned();
        let remove = |condition| call(&world, "DELETE", path, &at, condition);
        refused(&remove(("if-match", "\"nonsense\"")), &at);
        assert_eq!(remove(("if-match", &tag)).status, 204, "{at}");
        refused(&put(("if-match", &tag)), &at);
    }
    assert_eq!(count, 11);
}

#[test]
fn who_read_before_a_change_does_not_undo_it() {
    let world = World::new();
    let at = "/v1/tenants/two/quota";
    let read = world.call(&world.operator(), "GET", at, None);
    let tag = read.header("etag").unwrap().to_owned();
    let put = |condition| call(&world, "PUT", at, at, condition);
    let first = put(("if-match", &tag));
    // It is said to be new nowhere: who has said nothing has a quota without bounds.
    assert_eq!(first.status, 200, "{}", first.body);
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    refused(&put(("if-match", &tag)), at);
}

#[test]
fn no_change_is_made_as_if_nothing_had_been_expected() {
    let world = World::new();
    for (method, path) in avouch_server::http::addresses() {
        if method == "GET" || !path.starts_with("/v1/") {
            continue;
        }
        let at: Vec<&str> = path
            .split('/')
            .map(|part| match part {
                "{tenant}" => "two",
                part if part.starts_with('{') => "web",
                part => part,
            })
            .collect();
        let at = at.join("/");
        let answer = call(&world, method, path, &at, ("if-match", "\"nonsense\""));
        refused(&answer, &format!("{method} {at}"));
    }
}

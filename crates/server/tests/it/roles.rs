//! Who may do what, as a table that a person reads.

use avouch_core::id::SpiffeId;
use avouch_server::access::{Noun, Role, Verb};
use serde_json::json;

use crate::world::World;

/// Compared line by line; whoever changes a right changes it there too, and it is seen.
const TABLE: &str = include_str!("roles.txt");

#[test]
fn rights_are_as_the_table_says() {
    let mut table = format!("{:<18}", "");
    for noun in Noun::ALL {
        table.push_str(&format!("  {:<14}", noun.name()));
    }
    table = format!("{}\n", table.trim_end());
    for role in Role::ALL {
        let mut line = format!("{:<18}", role.name());
        for noun in Noun::ALL {
            let verbs = Verb::ALL.into_iter().filter(|verb| role.may(*verb, noun));
            let verbs: Vec<&str> = verbs.map(Verb::name).collect();
            line.push_str(&format!("  {:<14}", verbs.join(", ")));
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    assert_eq!(table, TABLE, "it is now:\n{table}");
}

/// A way to see, and a way to change, of each noun that has both at hand.
pub(crate) const CELLS: [(Noun, Verb, &str, &str); 12] = [
    (Noun::Admin, Verb::Read, "GET", "admins"),
    (Noun::Admin, Verb::Write, "DELETE", "admins/none"),
    (Noun::Anchor, Verb::Read, "GET", "anchors"),
    (Noun::Anchor, Verb::Write, "DELETE", "anchors/none"),
    (Noun::Authority, Verb::Read, "GET", "authorities"),
    (
        Noun::Authority,
        Verb::Write,
        "POST",
        "authorities/none/taint",
    ),
    (Noun::Entry, Verb::Read, "GET", "entries"),
    (Noun::Entry, Verb::Write, "DELETE", "entries/none"),
    (Noun::Federation, Verb::Read, "GET", "federations"),
    (Noun::Federation, Verb::Write, "DELETE", "federations/none"),
    (Noun::Node, Verb::Read, "GET", "nodes"),
    (Noun::Node, Verb::Write, "POST", "nodes/none/ban"),
];

#[test]
fn a_role_lets_its_holder_do_over_the_network_what_the_table_says() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    for role in Role::ALL {
        let name = role.name();
        let id = format!("spiffe://one.test/{name}");
        let subject = SpiffeId::parse(&id).unwrap();
        world.plane.put_admin(&one, name, subject, role).unwrap();
        let token = world.token(&id);
        for (noun, verb, method, path) in CELLS {
            let path = format!("/v1/tenants/one/{path}");
            let answer = world.call(&token, method, &path, None);
            if !role.may(verb, noun) {
                assert_eq!(
                    answer.status, 403,
                    "{name} {method} {path}: {}",
                    answer.body
                );
                assert_eq!(answer.code(), "issue.not_permitted");
            } else if verb == Verb::Read {
                assert_eq!(
                    answer.status, 200,
                    "{name} {method} {path}: {}",
                    answer.body
                );
            } else {
                // It may, and there is nothing of that name.
                assert_eq!(
                    answer.status, 404,
                    "{name} {method} {path}: {}",
                    answer.body
                );
            }
        }
    }
}

#[test]
fn nobody_gives_or_takes_more_than_they_have() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let own = "spiffe://one.test/boss";
    let subject = SpiffeId::parse(own).unwrap();
    world
        .plane
        .put_admin(&one, "boss", subject, Role::Administrator)
        .unwrap();
    let above = SpiffeId::parse("spiffe://one.test/above").unwrap();
    world
        .plane
        .put_admin(&one, "above", above, Role::Operator)
        .unwrap();
    let token = world.token(own);
    let put = |name: &str, subject: &str, role: &str| {
        let path = format!("/v1/tenants/one/admins/{name}");
        let body = json!({"subject": subject, "role": role});
        world.send(&token, "PUT", &path, &body)
    };
    assert_eq!(put("boss", own, "operator").code(), "issue.not_permitted");
    assert_eq!(put("above", own, "auditor").code(), "issue.not_permitted");
    assert!(put("new", own, "registrar").is_put());
    assert_eq!(put("new", own, "king").code(), "issue.object_malformed");
    // A name that is another's, or nobody's, cannot be given a role.
    for subject in ["spiffe://two.test/a", "spiffe://none.test/a"] {
        assert_eq!(
            put("new", subject, "auditor").code(),
            "issue.object_unknown"
        );
    }
    assert!(put("new", "spiffe://top.test/a", "auditor").is_put());
    let remove = |name: &str| {
        let path = format!("/v1/tenants/one/admins/{name}");
        world.call(&token, "DELETE", &path, None)
    };
    assert_eq!(remove("above").code(), "issue.not_permitted");
    assert_eq!(remove("new").status, 204);
}

#[test]
fn the_last_operator_of_the_deployment_stays() {
    let world = World::new();
    let token = world.operator();
    let path = "/v1/tenants/top/admins/operator";
    assert_eq!(
        world.call(&token, "DELETE", path, None).code(),
        "issue.conflict"
    );
    let less = json!({"subject": "spiffe://top.test/avouch/operator", "role": "auditor"});
    assert_eq!(
        world.send(&token, "PUT", path, &less).code(),
        "issue.conflict"
    );
    let second = json!({"subject": "spiffe://top.test/second", "role": "operator"});
    let other = "/v1/tenants/top/admins/second";
    assert!(world.send(&token, "PUT", other, &second).is_put());
    assert_eq!(world.call(&token, "DELETE", other, None).status, 204);
}

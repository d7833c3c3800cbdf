//! What another tenant has answers as what does not exist.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_server::access::Role;
use avouch_server::federation::{Profile, Relation};
use avouch_server::http::addresses;
use avouch_server::tenant::Tenant;
use serde_json::{Value, json};

use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::world::{Authority, pem};

use crate::world::{World, signing_request};

/// Who may do everything in the tenant `one`, and has no role elsewhere.
const ADMINISTRATOR: &str = "spiffe://one.test/administrator";

/// What is sent where something must be: in order, so that nothing but the tenant is wrong.
fn body(method: &str, path: &str) -> Option<Value> {
    let named = path.rsplit('/').next().unwrap_or_default();
    match (method, named) {
        ("POST", "entries") => {
            Some(json!({"spiffe_id": "spiffe://two.test/new", "selectors": ["unix:uid:1"]}))
        }
        ("PUT", "{entry}") => {
            Some(json!({"spiffe_id": "spiffe://two.test/web", "selectors": ["unix:uid:1"]}))
        }
        ("POST", "remove-entries") => Some(json!({"entries": ["web"]})),
        ("PUT", "quota") => Some(json!({"entries": 1})),
        ("POST", "trust-domains") => Some(json!({"name": "new.test"})),
        ("POST", "join-tokens") => Some(json!({"node": "new"})),
        ("POST", "certificates") => Some(json!({
            "signing_request": pem("CERTIFICATE REQUEST", &signing_request(&Key::p256("new"))),
            "spiffe_id": "spiffe://two.test/web",
        })),
        ("POST", "authorities") => Some(json!({"used_for": "devices"})),
        ("POST", "import") => Some(json!({"certificates": ""})),
        ("POST", "revoke-certificates") => Some(json!({"spiffe_id": "spiffe://two.test/web"})),
        ("POST", "why-not") => Some(json!({"selectors": ["unix:uid:0"]})),
        ("PUT", "{admin}") => Some(json!({"subject": "spiffe://two.test/web", "role": "auditor"})),
        ("PUT", "{rule}") | ("POST", "preview-rule") => Some(json!({
            "from": {"trust_domain": "two.test", "facts": {"spiffe.path": "/web"}},
            "gives": {"spiffe_id": "spiffe://two.test/ci", "audiences": ["a"]},
            "owner": "web", "reason": "a test",
        })),
        ("POST", "forget-name") => Some(json!({"name": "octo-org/shop"})),
        ("PUT", "{attestor}") => Some(attestor()),
        ("PUT", "{egress}") => Some(egress()),
        ("POST", "rotate") => Some(json!({"key": "a key of others"})),
        ("PUT", "{federation}") => {
            Some(json!({"url": "https://two.test/", "profile": "https_web"}))
        }
        ("PUT", "{issuer}") => Some(json!({
            "issuer": "https://two.test", "jwks": {"keys": []},
            "rules": [{"name": "web", "facts": {"subject": "web"}}],
        })),
        ("PUT", "{pin}") => Some(json!({"mode": "vestigial", "owner": "web", "reason": "a test"})),
        ("POST", "stage") => Some(json!({"all": true, "owner": "web", "reason": "a test"})),
        ("POST", "release") => Some(json!({"etag": "00"})),
        ("PUT", "{receiver}") => {
            Some(json!({"subject": "spiffe://two.test/web", "audience": "web"}))
        }
        ("PUT", "{signal}") => Some(json!({"issuer": "https://two.test"})),
        ("POST", "ended") => {
            Some(json!({"issuer": "https://two.test", "subject": "x", "reason": "a test"}))
        }
        ("POST", "quarantine") => Some(json!({"reason": "a test"})),
        ("PUT", "{anchor}") => Some(json!({"api_key": {"subject": "x"}})),
        _ => None,
    }
}

/// Puts an exchange rule and a stream of signals of the tenant `two`.
fn put_documents(world: &World) {
    for (kind, placeholder) in [
        ("receivers", "{receiver}"),
        ("egress", "{egress}"),
        ("rules", "{rule}"),
        ("signals", "{signal}"),
    ] {
        let path = format!("/v1/tenants/two/{kind}/web");
        let document = body("PUT", placeholder).unwrap();
        let put = world.send(&world.operator(), "PUT", &path, &document);
        assert_eq!(put.status, 200, "{}", put.body);
    }
}

fn egress() -> Value {
    let rule = json!({"ids": ["spiffe://two.test/web"], "methods": ["GET"], "paths": ["/"]});
    json!({"url": "https://api.test", "rules": [rule], "key": "a-key-of-others"})
}

fn attestor() -> Value {
    let root = Authority::root("machines").certificate;
    json!({"method": "x509pop", "trust": {"anchors": [{"x509": pem("CERTIFICATE", &root)}]}})
}

fn issuer_document() -> String {
    let keys = jwks(&[jwk(&Key::p256("web"), "k")]);
    let rules = json!([{"name": "web", "facts": {"subject": "web"}}]);
    json!({"issuer": "https://two.test", "jwks": keys, "rules": rules}).to_string()
}

/// The name of an authority is longer than that of none.
fn without_length(text: &str) -> String {
    let (before, after) = text.split_once("(\"content-length\", \"").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    format!("{before}{after}")
}

/// Has the tenant `two` a relation to the trust domain `web`.
fn relate(world: &World, two: &Arc<Tenant>) {
    let relation = Relation {
        url: "https://two.test/".to_owned(),
        profile: Profile::Web { roots: Vec::new() },
        owner: None,
        reason: None,
    };
    let name = TrustDomain::parse("web").unwrap();
    let relation = world.plane.put_federation(two, &name, &relation, None);
    relation.unwrap();
}

/// An address with the names of what the tenant `two` has.
fn filled(path: &str, pin: &str, authority: &str) -> String {
    const WEB: [&str; 11] = [
        "{entry}",
        "{admin}",
        "{anchor}",
        "{attestor}",
        "{egress}",
        "{federation}",
        "{issuer}",
        "{node}",
        "{receiver}",
        "{rule}",
        "{signal}",
    ];
    let named = |path: String, name: &&str| path.replace(name, "web");
    let path = WEB.iter().fold(path.to_owned(), named);
    path.replace("{pin}", pin)
        .replace("{authority}", authority)
        .replace("{trust_domain}", "two.test")
}

/// All addresses of what tenants have.
fn of_tenants() -> Vec<(&'static str, &'static str)> {
    // Every address of management names its tenant in the same place, but for the list of them.
    let of_tenant = |path: &str| path.starts_with("/v1/tenants/{tenant}");
    let mut others = addresses().filter(|(_, path)| path.starts_with("/v1/") && !of_tenant(path));
    assert!(others.all(|(_, path)| path == "/v1/tenants"));
    let of_tenants: Vec<_> = addresses().filter(|(_, path)| of_tenant(path)).collect();
    let named = |name: &str| {
        of_tenants
            .iter()
            .filter(|(_, path)| path.ends_with(name))
            .count()
    };
    for noun in [
        "{entry}",
        "{anchor}",
        "{node}",
        "{admin}",
        "{rule}",
        "{issuer}",
        "{federation}",
    ] {
        assert!(named(noun) >= 2, "{noun}");
    }
    of_tenants
}

#[test]
fn the_administrator_of_a_tenant_cannot_tell_another_from_none() {
    let world = World::new();
    let one = world.plane.tenant_named("one").unwrap();
    let subject = SpiffeId::parse(ADMINISTRATOR).unwrap();
    world
        .plane
        .put_admin(&one, "everything", subject, Role::Operator)
        .unwrap();
    let token = world.token(ADMINISTRATOR);
    world.token("spiffe://two.test/web");
    let two = world.plane.tenant_named("two").unwrap();
    let authority = two.read(|held| held.authorities.keys().next().unwrap().to_string());
    let node = world.plane.new_join_token(&two, "web", 60).unwrap();
    let request = signing_request(&Key::p256("web"));
    world.plane.join(&node.token, &request).unwrap();
    let admin = SpiffeId::parse("spiffe://two.test/web").unwrap();
    world
        .plane
        .put_admin(&two, "web", admin, Role::Operator)
        .unwrap();
    let api_key = json!({"trust_domain": "three.test", "bundle": {"keys": []}});
    let anchor = world.plane.put_anchor(&two, "web", &api_key);
    anchor.unwrap();
    put_documents(&world);
    world.plane.put_attestor(&two, "web", &attestor()).unwrap();
    relate(&world, &two);
    let issuer = issuer_document();
    world.plane.put_issuer(&two, "web", &issuer).unwrap();
    let pin = format!("sha256:{}", "00".repeat(32));
    let of_tenants = of_tenants();
    let count = of_tenants.len();
    let mut seen = 0;
    for (method, path) in of_tenants {
        let objects = filled(path, &pin, &authority);
        let body = body(method, path).map(|body| body.to_string());
        let ask = |tenant: &str| {
            let path = objects.replace("{tenant}", tenant);
            world.call(&token, method, &path, body.as_deref())
        };
        let (other, none) = (ask("two"), ask("zzz"));
        assert_eq!(other.status, 404, "{method} {path}: {}", other.body);
        assert_eq!(other.code(), "issue.object_unknown");
        let other = other.without_ids().replace("two", "zzz");
        assert_eq!(other, none.without_ids(), "{method} {path}");
        // Through the tenant of its own, nothing of another is found either.
        if path.matches('{').count() > 1 && method != "PUT" {
            let hide = |text: &str| {
                let text = text.replace("web", "wow").replace("two.test", "wow.test");
                text.replace(&authority, "none")
            };
            let own = objects.replace("{tenant}", "one");
            let foreign = world.call(&token, method, &own, None);
            let unknown = world.call(&token, method, &hide(&own), None);
            assert_eq!(foreign.status, 404, "{method} {path}");
            let foreign = hide(&foreign.without_ids());
            assert_eq!(
                without_length(&foreign),
                without_length(&unknown.without_ids()),
                "{method} {path}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, count, "each address was tried");
    let tenants = world.call(&token, "GET", "/v1/tenants", None);
    assert!(!tenants.body.contains("two"), "{}", tenants.body);
}

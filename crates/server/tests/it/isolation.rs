//! What another tenant has answers as what does not exist.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_server::access::Role;
use avouch_server::entries::EntryDraft;
use avouch_server::federation::{Profile, Relation};
use avouch_server::http::addresses;
use avouch_server::issuing::Wanted;
use avouch_server::nodes::Admitted;
use avouch_server::tenant::Tenant;
use avouch_store::TenantKind;
use serde_json::{Value, json};

use avouch_testkit::key::Key;
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::world::{Authority, pem};

use crate::world::{World, signing_request};

/// Who may do everything in the tenant `one`, and has no role elsewhere.
const ADMINISTRATOR: &str = "spiffe://one.test/administrator";

/// The name of a decision that nobody made.
const NONE: &str = "0193d6a0-0000-7000-8000-000000000000";

/// What is sent where something must be: in order, so that nothing but the tenant is wrong.
pub(crate) fn body(method: &str, path: &str) -> Option<Value> {
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
        assert!(put.is_put(), "{}", put.body);
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
fn filled(path: &str, pin: &str, authority: &str, decision: &str) -> String {
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
        .replace("{decision}", decision)
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
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let subject = SpiffeId::parse(ADMINISTRATOR).unwrap();
    world
        .plane
        .put_admin(&one, "everything", subject, Role::Operator)
        .unwrap();
    let token = world.token(ADMINISTRATOR);
    world.token("spiffe://two.test/web");
    let two = world.plane.tenant_named("two").unwrap().unwrap();
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
    // One that is kept, since it was refused.
    let question = json!({"credential": {"jwt": "x"}});
    let refused = world.send(&world.operator(), "POST", "/t/two/decide", &question);
    let decision = refused.decision();
    let there = format!("/v1/tenants/two/decisions/{decision}");
    let there = world.call(&world.operator(), "GET", &there, None);
    assert_eq!(there.status, 200, "{}", there.body);
    let issuer = issuer_document();
    world.plane.put_issuer(&two, "web", &issuer).unwrap();
    let pin = format!("sha256:{}", "00".repeat(32));
    let of_tenants = of_tenants();
    let count = of_tenants.len();
    let mut seen = 0;
    for (method, path) in of_tenants {
        let objects = filled(path, &pin, &authority, &decision);
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
                text.replace(&authority, "none").replace(&decision, NONE)
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

const TENANTS: usize = 200;
const TRIES: usize = 800;

/// One of two hundred tenants, each of which has the same under the same names, but for a word that
/// no other may ever read.
struct One {
    name: String,
    word: String,
    token: String,
    node: Admitted,
}

impl One {
    fn found(world: &World, number: usize) -> Self {
        let (name, word) = (format!("t{number:03}"), format!("word-of-{number:03}"));
        let id = TenantId::parse(&name).unwrap();
        let top = world.plane.root().unwrap();
        let tenant = world
            .plane
            .add_tenant(&id, Some(top.id()), TenantKind::Tenant);
        let tenant = tenant.unwrap();
        let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
        world.plane.add_trust_domain(&tenant, &domain).unwrap();
        let subject = format!("spiffe://{domain}/administrator");
        let token = world.token(&subject);
        let subject = SpiffeId::parse(&subject).unwrap();
        let role = Role::Operator;
        world
            .plane
            .put_admin(&tenant, "web", subject, role)
            .unwrap();
        let entry = EntryDraft {
            id: Some("web".to_owned()),
            spiffe_id: format!("spiffe://{domain}/web"),
            selectors: vec!["unix:uid:0".to_owned()],
            owner: Some(word.clone()),
            ..EntryDraft::default()
        };
        let put = world.plane.put_entries(&tenant, vec![entry]).unwrap();
        assert!(put.iter().all(Result::is_ok), "{put:?}");
        let anchor = json!({
            "trust_domain": "three.test", "bundle": {"keys": []}, "owner": word, "reason": "a test",
        });
        world.plane.put_anchor(&tenant, "web", &anchor).unwrap();
        let join = world.plane.new_join_token(&tenant, "web", 600).unwrap();
        let member = world
            .plane
            .join(&join.token, &signing_request(&Key::p256("web")));
        let caller = world.plane.identify_client(member.unwrap().certificates);
        let node = world.plane.admit(&caller.unwrap()).unwrap();
        Self {
            name,
            word,
            token,
            node,
        }
    }

    /// Calls an address of another tenant, or of none, as who administers this one.
    fn tries(&self, world: &World, of: &Self, method: &str, path: &str) {
        let body = body(method, path).map(|body| body.to_string());
        let pin = format!("sha256:{}", "00".repeat(32));
        let objects =
            filled(path, &pin, "none", NONE).replace("two.test", &format!("{}.test", of.name));
        let ask = |tenant: &str| {
            let path = objects.replace("{tenant}", tenant);
            world.call(&self.token, method, &path, body.as_deref())
        };
        let (other, none) = (ask(&of.name), ask("zzzz"));
        assert_eq!(other.status, 404, "{method} {path}: {}", other.body);
        let other = other.without_ids().replace(&of.name, "zzzz");
        let none = none.without_ids().replace(&of.name, "zzzz");
        assert_eq!(
            other, none,
            "{method} {path} of {} by {}",
            of.name, self.name
        );
    }

    /// Shows its credential to another tenant, who has no reason to believe it.
    fn shows(&self, world: &World, to: &Self) {
        let question = json!({
            "profile": "spiffe", "audience": [world.plane.server_id().to_string()],
            "credential": {"jwt": self.token},
        });
        let decide = format!("/t/{}/decide", to.name);
        let told = world.send(&to.token, "POST", &decide, &question).json();
        assert_eq!(told["verdict"], "reject", "{told}");
        assert_eq!(told["identity"], Value::Null);
        let own = format!("/t/{}/decide", self.name);
        let told = world.send(&self.token, "POST", &own, &question).json();
        assert_eq!(told["verdict"], "accept", "{told}");
        assert!(!told.to_string().contains(&to.word));
    }

    /// Asks as a node of this tenant for an identity of another.
    fn wants(&self, world: &World, of: &Self) {
        let wanted = || Wanted {
            entry: "web".to_owned(),
            public_key: Key::p256("web").public_key_info(),
            facts: Vec::new(),
        };
        let issue = |tenant: &str| world.plane.issue_x509(&self.node, tenant, &[wanted()]);
        let told = |tenant: &str| format!("{:?}", issue(tenant)).replace(tenant, "zzzz");
        let foreign = told(&of.name);
        assert!(!foreign.contains("chain"), "{foreign}");
        assert_eq!(foreign, told("zzzz"), "as of a tenant that is not there");
        let own = issue(&self.name).unwrap().into_iter().next().unwrap();
        assert!(own.is_ok(), "its own it gets: {own:?}");
    }

    /// Everything it can list of its own has its word, and no other's.
    fn looks_around(&self, world: &World) {
        let entries = format!("/v1/tenants/{}/entries", self.name);
        let listed = world.call(&self.token, "GET", &entries, None).body;
        assert!(listed.contains(&self.word), "{listed}");
        let tenants = world.call(&self.token, "GET", "/v1/tenants", None).body;
        for text in [listed, tenants] {
            let words = text.matches("word-of-").count();
            assert_eq!(words, text.matches(&self.word).count(), "{text}");
            let ids = text.matches(".test").count();
            let own = text.matches(&format!("{}.test", self.name)).count();
            assert_eq!(ids, own, "{text}");
        }
    }
}

#[test]
fn of_two_hundred_tenants_none_reads_or_becomes_another() {
    let world = World::new();
    let tenants: Vec<One> = (0..TENANTS)
        .map(|number| One::found(&world, number))
        .collect();
    let addresses = of_tenants();
    // The same pairs in every run: a step of a full-period generator (Knuth, 3.2.1.2).
    let mut state = 20_261_129_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for number in 0..TRIES {
        let by = next(TENANTS);
        let of = (by + 1 + next(TENANTS - 1)) % TENANTS;
        let (by, of) = (&tenants[by], &tenants[of]);
        let (method, path) = addresses[number % addresses.len()];
        by.tries(&world, of, method, path);
        match number % 10 {
            0 => by.shows(&world, of),
            1 => by.wants(&world, of),
            2 => by.looks_around(&world),
            _ => {}
        }
    }
}

//! Nobody becomes who may more than they may: whoever says who gets an identity could have it.

use std::sync::Arc;

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_issuer::key::PublicHalf;
use avouch_server::Settings;
use avouch_server::access::{Noun, Role, Verb};
use avouch_server::tenant::Tenant;
use avouch_store::TenantKind;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::extension;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::name::GeneralName;
use avouch_testkit::token::{jwk, jwks};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::world::World;

const BOSS: &str = "spiffe://one.test/boss";
const REGISTRAR: &str = "spiffe://one.test/registrar";
const CODE: &str = "issue.identity_administers";

fn one(world: &World) -> Arc<Tenant> {
    world.plane.tenant_named("one").unwrap().unwrap()
}

fn appoint(world: &World, tenant: &Arc<Tenant>, id: &str, role: Role) {
    let name = id.rsplit('/').next().unwrap();
    let subject = SpiffeId::parse(id).unwrap();
    world.plane.put_admin(tenant, name, subject, role).unwrap();
}

/// A tenant with an administrator, who is registered, and a registrar, whose token this is.
fn world() -> (World, String) {
    let world = World::with(Settings {
        public_url: "https://avouch.test".to_owned(),
        ..Settings::default()
    });
    appoint(&world, &one(&world), BOSS, Role::Administrator);
    appoint(&world, &one(&world), REGISTRAR, Role::Registrar);
    world.token(BOSS);
    let registrar = world.token(REGISTRAR);
    (world, registrar)
}

fn entry(id: &str) -> Value {
    json!({"spiffe_id": id, "selectors": ["unix:uid:1000"]})
}

fn create(world: &World, token: &str, entry: &Value) -> Answer {
    world.send(token, "POST", "/v1/tenants/one/entries", entry)
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, CODE),
        "{}",
        answer.body
    );
}

#[test]
fn who_registers_identities_cannot_give_itself_that_of_an_administrator() {
    let (world, registrar) = world();
    refused(&create(&world, &registrar, &entry(BOSS)));
    // What could become it is as good.
    for template in [
        "spiffe://one.test/{unix.user}",
        "spiffe://one.test/{node.name}",
        "spiffe://one.test/{node.sshpop.key_id}",
    ] {
        refused(&create(&world, &registrar, &entry(template)));
    }
    // Nor is the entry that is there changed for another workload, nor a key certified for it.
    let path = "/v1/tenants/one/entries/boss";
    refused(&world.send(&registrar, "PUT", path, &entry(BOSS)));
    refused(&world.send(
        &registrar,
        "PUT",
        "/v1/tenants/one/entries/new",
        &entry(BOSS),
    ));
    let request = json!({"spiffe_id": BOSS, "signing_request": pem(&Key::p256("mine"))});
    let certificates = "/v1/tenants/one/certificates";
    refused(&world.send(&registrar, "POST", certificates, &request));
    // Of a batch the others are registered.
    let batch = json!({"entries": [entry("spiffe://one.test/web"), entry(BOSS)]});
    let answers = create(&world, &registrar, &batch).json();
    assert!(answers["answers"][0]["entry"].is_object(), "{answers}");
    assert_eq!(answers["answers"][1]["problem"]["code"], CODE, "{answers}");
    let stored = one(&world).read(|snapshot| {
        let all = snapshot.entries.values();
        all.filter(|entry| entry.spiffe_id.as_str() == BOSS).count()
    });
    assert_eq!(stored, 1);
    // Others with its own rights, and whoever may as much, are no obstacle.
    assert_eq!(create(&world, &registrar, &entry(REGISTRAR)).status, 201);
    assert_eq!(
        create(
            &world,
            &registrar,
            &entry("spiffe://one.test/x/{unix.user}")
        )
        .status,
        201
    );
    let boss = world.token(BOSS);
    assert_eq!(create(&world, &boss, &entry(BOSS)).status, 201);
    let own = json!({"spiffe_id": BOSS, "signing_request": pem(&Key::p256("mine"))});
    assert_eq!(world.send(&boss, "POST", certificates, &own).status, 200);
}

#[test]
fn who_administers_a_tenant_below_is_not_registered_by_who_does_not() {
    let (world, registrar) = world();
    let (id, above) = (TenantId::parse("below").unwrap(), one(&world));
    let below = world
        .plane
        .add_tenant(&id, Some(above.id()), TenantKind::Environment);
    appoint(
        &world,
        &below.unwrap(),
        "spiffe://one.test/deputy",
        Role::Administrator,
    );
    refused(&create(
        &world,
        &registrar,
        &entry("spiffe://one.test/deputy"),
    ));
}

#[test]
fn an_administrator_does_not_make_itself_an_operator() {
    let (world, _) = world();
    let chief = "spiffe://one.test/chief";
    appoint(&world, &one(&world), chief, Role::Operator);
    let boss = world.token(BOSS);
    refused(&create(&world, &boss, &entry(chief)));
    let keys = jwks(&[jwk(&Key::rsa(RsaTestKey::A), "k1")]);
    let anchor = json!({
        "issuer": "https://ci.test", "jwks": keys, "audiences": ["avouch"],
        "rules": [{"name": "me", "facts": {"subject": "me"}}],
    });
    let put = world.send(&boss, "PUT", "/v1/tenants/one/anchors/ci", &anchor);
    assert!(put.is_put(), "{}", put.body);
    let rule = |id: &str| {
        json!({
            "from": {"anchor": "ci", "facts": {"subject": "me"}},
            "gives": {"spiffe_id": id, "audiences": ["spiffe://top.test/avouch/server"]},
            "owner": "me", "reason": "mine",
        })
    };
    let put = |rule: &Value| world.send(&boss, "PUT", "/v1/tenants/one/rules/r", rule);
    let as_chief = put(&rule(chief));
    refused(&as_chief);
    let harmless = put(&rule("spiffe://one.test/ci"));
    assert!(harmless.is_put(), "{}", harmless.body);
}

fn rule(from: &Value, id: &str) -> Value {
    json!({
        "from": from, "gives": {"spiffe_id": id, "audiences": ["spiffe://top.test/avouch/server"]},
        "owner": "me", "reason": "mine",
    })
}

#[track_caller]
fn put(world: &World, token: &str, what: &str, body: &Value) {
    let put = world.send(token, "PUT", &format!("/v1/tenants/one/{what}"), body);
    assert!(put.is_put(), "{what}: {}", put.body);
}

#[test]
fn who_registers_identities_gives_none_that_a_rule_exchanges_for_that_of_an_administrator() {
    let (world, registrar) = world();
    let operator = world.operator();
    let from = |path: &str| json!({"trust_domain": "one.test", "facts": {"spiffe.path": path}});
    let deployer = "spiffe://one.test/deployer";
    put(
        &world,
        &operator,
        "rules/deploys",
        &rule(&from("/deployer"), BOSS),
    );
    put(
        &world,
        &operator,
        "rules/builds",
        &rule(&from("/build/er"), deployer),
    );
    let harmless = rule(&from("/x"), "spiffe://one.test/y");
    put(&world, &operator, "rules/harmless", &harmless);
    for id in [
        deployer,
        "spiffe://one.test/{unix.user}",
        "spiffe://one.test/build/er",
        "spiffe://one.test/build/{unix.user}",
    ] {
        refused(&create(&world, &registrar, &entry(id)));
        let path = "/v1/tenants/one/entries/new";
        refused(&world.send(&registrar, "PUT", path, &entry(id)));
        let batch = json!({"entries": [entry("spiffe://one.test/web"), entry(id)]});
        let answers = create(&world, &registrar, &batch).json();
        assert_eq!(answers["answers"][1]["problem"]["code"], CODE, "{answers}");
    }
    for id in [
        "spiffe://one.test/x",
        "spiffe://one.test/build/er/x",
        REGISTRAR,
    ] {
        assert_eq!(create(&world, &registrar, &entry(id)).status, 201, "{id}");
    }
    world.token(deployer);
    let request = json!({"spiffe_id": deployer, "signing_request": pem(&Key::p256("mine"))});
    let certificates = "/v1/tenants/one/certificates";
    refused(&world.send(&registrar, "POST", certificates, &request));
    assert_eq!(
        world.send(&operator, "POST", certificates, &request).status,
        200
    );
    // Nor does who may less let someone else become them, step by step.
    appoint(
        &world,
        &one(&world),
        "spiffe://one.test/chief",
        Role::Operator,
    );
    let boss = world.token(BOSS);
    put(
        &world,
        &operator,
        "rules/leads",
        &rule(&from("/leader"), "spiffe://one.test/chief"),
    );
    let step = rule(&from("/x"), "spiffe://one.test/leader");
    refused(&world.send(&boss, "PUT", "/v1/tenants/one/rules/step", &step));
    put(&world, &boss, "rules/harmless", &harmless);
}

/// A tenant below another, with a trust domain of its name, that believes the one above.
fn below(world: &World, name: &str, above: &str) -> Arc<Tenant> {
    let (id, parent) = (
        TenantId::parse(name).unwrap(),
        TenantId::parse(above).unwrap(),
    );
    let tenant = world
        .plane
        .add_tenant(&id, Some(&parent), TenantKind::Environment)
        .unwrap();
    let domain = TrustDomain::parse(&format!("{name}.test")).unwrap();
    world.plane.add_trust_domain(&tenant, &domain).unwrap();
    believe(world, name, above);
    tenant
}

fn believe(world: &World, who: &str, whom: &str) {
    let owner = world.plane.tenant_named(whom).unwrap().unwrap();
    let domain = format!("{whom}.test");
    let bundle = TrustDomain::parse(&domain).unwrap();
    let bundle = world.plane.bundle(&owner, &bundle).unwrap();
    let anchor = json!({"trust_domain": domain, "bundle": bundle, "reason": "they deploy"});
    let path = format!("/v1/tenants/{who}/anchors/{whom}");
    let put = world.send(&world.operator(), "PUT", &path, &anchor);
    assert!(put.is_put(), "{}", put.body);
}

#[track_caller]
fn put_rule(world: &World, tenant: &str, name: &str, rule: &Value) {
    let path = format!("/v1/tenants/{tenant}/rules/{name}");
    let put = world.send(&world.operator(), "PUT", &path, rule);
    assert!(put.is_put(), "{}", put.body);
}

fn workload(trust_domain: &str, path: &str) -> Value {
    json!({"trust_domain": trust_domain, "facts": {"spiffe.path": path}})
}

#[test]
fn rules_of_tenants_below_and_above_lead_to_whom_they_give_too() {
    let (world, registrar) = world();
    let (sub, deep) = (below(&world, "sub", "one"), below(&world, "deep", "one"));
    believe(&world, "deep", "sub");
    appoint(&world, &sub, "spiffe://sub.test/chief", Role::Operator);
    appoint(
        &world,
        &deep,
        "spiffe://deep.test/lead",
        Role::Administrator,
    );
    // Two steps, of which each is a rule of another tenant.
    let step = rule(&workload("one.test", "/ci"), "spiffe://sub.test/step");
    put_rule(&world, "sub", "step", &step);
    let lead = rule(&workload("sub.test", "/step"), "spiffe://deep.test/lead");
    put_rule(&world, "deep", "lead", &lead);
    let answer = create(&world, &registrar, &entry("spiffe://one.test/ci"));
    refused(&answer);
    let told = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.contains("rule `step` of the tenant sub"), "{told}");
    // And one of a tenant above, of which no more is said.
    believe(&world, "top", "one");
    appoint(
        &world,
        &one(&world),
        "spiffe://top.test/deputy",
        Role::Administrator,
    );
    let deputy = rule(&workload("one.test", "/up"), "spiffe://top.test/deputy");
    put_rule(&world, "top", "hidden", &deputy);
    let answer = create(&world, &registrar, &entry("spiffe://one.test/up"));
    refused(&answer);
    let told = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.contains("in a tenant above"), "{told}");
    assert!(!told.contains("hidden"), "{told}");
    // Tokens of the tenant are as good as its certificates.
    let issuer = json!({
        "issuer": world.plane.issuer_of(one(&world).id()), "audiences": ["avouch"],
        "jwks": jwks(&[jwk(&Key::rsa(RsaTestKey::A), "k1")]),
        "rules": [{"name": "me", "facts": {"subject": "spiffe://one.test/token"}}],
    });
    let operator = world.operator();
    let path = "/v1/tenants/sub/anchors/tokens";
    let anchored = world.send(&operator, "PUT", path, &issuer);
    assert!(anchored.is_put(), "{}", anchored.body);
    let subject =
        |name: &str| json!({"anchor": name, "facts": {"subject": "spiffe://one.test/token"}});
    let tokens = rule(&subject("tokens"), "spiffe://sub.test/chief");
    put_rule(&world, "sub", "tokens", &tokens);
    refused(&create(
        &world,
        &registrar,
        &entry("spiffe://one.test/token"),
    ));
    for id in ["spiffe://one.test/other", "spiffe://one.test/step"] {
        assert_eq!(create(&world, &registrar, &entry(id)).status, 201, "{id}");
    }
    // An anchor is that of its own tenant, whatever another calls its own.
    let mut own = issuer.clone();
    own["issuer"] = json!("https://ci.test");
    let boss = world.token(BOSS);
    put(&world, &boss, "anchors/tokens", &own);
    refused(&world.send(&boss, "PUT", path, &own));
}

#[test]
fn who_may_act_for_someone_under_a_rule_is_had_as_whom_it_gives() {
    let (world, registrar) = world();
    believe(&world, "one", "two");
    let mut acting = rule(&workload("two.test", "/user"), BOSS);
    acting["actors"] = json!([workload("one.test", "/agent")]);
    put_rule(&world, "one", "acting", &acting);
    refused(&create(
        &world,
        &registrar,
        &entry("spiffe://one.test/agent"),
    ));
    let others = create(&world, &registrar, &entry("spiffe://one.test/user"));
    assert_eq!(others.status, 201, "{}", others.body);
}

#[test]
fn who_gives_a_role_is_told_what_gives_the_identity_already_that_someone_may_have_made_who_may_less()
 {
    let (world, registrar) = world();
    let lead = "spiffe://one.test/team/lead";
    let mut made = Vec::new();
    for id in [
        "spiffe://one.test/team/{unix.user}",
        "spiffe://one.test/x",
        "spiffe://one.test/y",
    ] {
        let created = create(&world, &registrar, &entry(id));
        assert_eq!(created.status, 201, "{}", created.body);
        made.push(created.json()["id"].as_str().unwrap().to_owned());
    }
    let rule = rule(&workload("one.test", "/x"), lead);
    put_rule(&world, "one", "leads", &rule);
    let given = |token: &str, tenant: &str, name: &str, role: &str| {
        let path = format!("/v1/tenants/{tenant}/admins/{name}");
        let answer = world.send(token, "PUT", &path, &json!({"subject": lead, "role": role}));
        assert!(answer.is_put(), "{}", answer.body);
        let answer = answer.json();
        let all = answer["given_already"].as_array().unwrap().clone();
        assert_eq!(answer["given_already_count"], all.len(), "{answer}");
        let names = all
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let operator = world.operator();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    // Whoever registers may give that role, too.
    assert_eq!(given(&operator, "one", "a", "registrar"), set(&[]));
    let entries = set(&[&made[0], &made[1]]);
    assert_eq!(given(&operator, "one", "a", "administrator"), entries);
    assert_eq!(
        given(&operator, "one", "a", "administrator"),
        set(&[]),
        "again"
    );
    // No administrator could make an operator, and they make the rules.
    let all = set(&[&made[0], &made[1], "leads"]);
    assert_eq!(given(&operator, "one", "a", "operator"), all);
    // Of what one may not see nothing is told.
    let sub = below(&world, "sub", "one");
    appoint(&world, &sub, "spiffe://sub.test/own", Role::Administrator);
    let own = world.token("spiffe://sub.test/own");
    assert_eq!(given(&own, "sub", "a", "administrator"), set(&[]));
    assert_eq!(given(&operator, "sub", "b", "administrator"), entries);
}

#[test]
fn an_administrator_gives_no_keys_to_whom_a_rule_lets_become_an_operator() {
    let (world, _) = world();
    let (chief, operator) = ("spiffe://one.test/chief", world.operator());
    appoint(&world, &one(&world), chief, Role::Operator);
    let boss = world.token(BOSS);
    let anchor = json!({
        "issuer": "https://ci.test", "jwks": jwks(&[jwk(&Key::rsa(RsaTestKey::A), "k1")]),
        "audiences": ["avouch"], "rules": [{"name": "me", "facts": {"subject": "me"}}],
    });
    let two = world.plane.tenant_named("two").unwrap().unwrap();
    let bundle = world
        .plane
        .bundle(&two, &TrustDomain::parse("two.test").unwrap())
        .unwrap();
    let foreign = json!({"trust_domain": "two.test", "bundle": bundle, "reason": "they deploy"});
    put(&world, &operator, "anchors/ci", &anchor);
    put(&world, &operator, "anchors/foreign", &foreign);
    let subjects = json!({"anchor": "ci", "facts": {"subject": "me"}});
    put(&world, &operator, "rules/ci", &rule(&subjects, chief));
    let theirs = json!({"trust_domain": "two.test", "facts": {"spiffe.path": "/ci"}});
    put(&world, &operator, "rules/two", &rule(&theirs, chief));
    let mut called = anchor.clone();
    called["name"] = json!("ci");
    let tried = |what: &str, body: &Value| {
        world.send(&boss, "PUT", &format!("/v1/tenants/one/{what}"), body)
    };
    for removed in [false, true] {
        for (what, body) in [
            ("anchors/ci", &anchor),
            ("anchors/other", &called),
            ("issuers/ci", &json!({"issuer": "https://ci.test"})),
            ("anchors/foreign", &foreign),
            ("anchors/again", &foreign),
            (
                "federations/two.test",
                &json!({"url": "https://two.test", "profile": "https_web"}),
            ),
        ] {
            refused(&tried(what, body));
        }
        // A rule that cannot be used now could be once there is an anchor of that name again.
        for what in ["anchors/ci", "anchors/foreign"] {
            let path = format!("/v1/tenants/one/{what}");
            let gone = world.send(&boss, "DELETE", &path, &json!(null));
            assert_eq!(gone.status == 204, !removed, "{}", gone.body);
        }
    }
    put(&world, &boss, "anchors/harmless", &anchor);
}

#[test]
fn who_manages_authorities_brings_none_by_which_it_could_be_an_administrator() {
    let (world, _) = world();
    let manager = "spiffe://one.test/manager";
    appoint(&world, &one(&world), manager, Role::AuthorityManager);
    let token = world.token(manager);
    let path = "/v1/tenants/one/trust-domains/one.test/import";
    for body in [
        json!({"certificates": "x", "private_key": "AAAA"}),
        json!({"certificates": "x", "key_address": "pkcs11:token=t;id=%01"}),
    ] {
        refused(&world.send(&token, "POST", path, &body));
    }
    let boss = world.send(
        &world.token(BOSS),
        "POST",
        path,
        &json!({"certificates": "x"}),
    );
    assert_eq!(boss.code(), "issue.upstream_key");
    // Where nobody of the trust domain administers more, there is nothing to become.
    let (other, id) = ("spiffe://two.test/manager", "two");
    let two = world.plane.tenant_named(id).unwrap().unwrap();
    appoint(&world, &two, other, Role::AuthorityManager);
    let path = "/v1/tenants/two/trust-domains/two.test/import";
    let taken = world.send(
        &world.token(other),
        "POST",
        path,
        &json!({"certificates": "x"}),
    );
    assert_eq!(taken.code(), "issue.upstream_key");
}

#[test]
fn who_manages_authorities_renews_an_intermediate_below_a_root_that_is_believed() {
    let (world, _) = world();
    let manager = "spiffe://one.test/manager";
    appoint(&world, &one(&world), manager, Role::AuthorityManager);
    let (token, operator) = (world.token(manager), world.operator());
    let (known, other) = (Root::of("corporate"), Root::of("of the manager"));
    // Only who may more brings the root along.
    refused(&brought(&world, &token, &known));
    let taken = brought(&world, &operator, &known);
    assert_eq!(taken.status, 200, "{}", taken.body);
    refused(&brought(&world, &token, &other));
    let renewed = brought(&world, &token, &known);
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    // Until someone says that its key may be in the wrong hands.
    for answer in [taken, renewed] {
        let id = answer.json()["authority"].as_str().unwrap().to_owned();
        let path = format!("/v1/tenants/one/authorities/{id}/taint");
        let tainted = world.send(&operator, "POST", &path, &json!({}));
        assert_eq!(tainted.status, 200, "{}", tainted.body);
    }
    refused(&brought(&world, &token, &known));
}

/// From when on and until when what is made elsewhere holds.
const HOLDS: (&str, &str) = ("2026-01-01T00:00:00Z", "2034-01-01T00:00:00Z");

/// A root that is made elsewhere.
pub(crate) struct Root {
    key: Key,
    certificate: Vec<u8>,
}

impl Root {
    pub(crate) fn of(name: &str) -> Self {
        let key = Key::p256(name);
        let forge = CertificateForge::authority("Corporate", &key).valid(HOLDS.0, HOLDS.1);
        Self {
            certificate: forge.self_sign(&key),
            key,
        }
    }
}

/// Asks for the certificate of an intermediate, has it signed by a root elsewhere, and brings it.
pub(crate) fn brought(world: &World, token: &str, root: &Root) -> Answer {
    brought_for(world, token, root, None)
}

/// The same, of a certificate that is for these purposes alone.
pub(crate) fn brought_for(
    world: &World,
    token: &str,
    root: &Root,
    purposes: Option<&[&str]>,
) -> Answer {
    let path = "/v1/tenants/one/trust-domains/one.test";
    let request = world.send(token, "POST", &format!("{path}/csr"), &json!({}));
    assert_eq!(request.status, 200, "{}", request.body);
    let request = request.json()["signing_request"]
        .as_str()
        .unwrap()
        .to_owned();
    let blocks = avouch_api::text::pem_blocks(&request).unwrap();
    let public = PublicHalf::from_signing_request(&blocks[0].decode().unwrap()).unwrap();
    let mut own = CertificateForge::authority("Intermediate", &root.key)
        .valid(HOLDS.0, HOLDS.1)
        .public_key_info(public.info().to_vec())
        .with(extension::subject_key_id(&public.identifier()))
        .names(&[GeneralName::uri("spiffe://one.test")]);
    if let Some(purposes) = purposes {
        own = own.with(extension::extended_key_usage(purposes));
    }
    let own = own.sign(&"Corporate".into(), &root.key);
    let chain = [&own, &root.certificate];
    let chain = chain.map(|der| avouch_api::text::to_pem("CERTIFICATE", der));
    let body = json!({ "certificates": chain.concat() });
    world.send(token, "POST", &format!("{path}/import"), &body)
}

#[test]
fn a_node_is_no_administrator_since_whoever_lets_nodes_join_says_who_it_is() {
    let (world, _) = world();
    let boss = world.token(BOSS);
    let path = "/v1/tenants/one/admins/node";
    let node = json!({"subject": "spiffe://one.test/avouch/node/n1", "role": "administrator"});
    assert_eq!(
        world.send(&boss, "PUT", path, &node).code(),
        "issue.id_reserved"
    );
    // Who runs the deployment is one, and stays it.
    let path = "/v1/tenants/top/admins/operator";
    let own = json!({"subject": "spiffe://top.test/avouch/operator", "role": "operator"});
    let put = world.send(&world.operator(), "PUT", path, &own);
    assert!(put.is_put(), "{}", put.body);
}

#[test]
fn a_role_that_a_node_was_given_once_counts_no_more() {
    let world = World::new();
    let tenant = one(&world);
    let token = world.plane.new_join_token(&tenant, "n1", 600).unwrap();
    let request = crate::world::signing_request(&Key::p256("n1"));
    let member = world.plane.join(&token.token, &request).unwrap();
    let caller = world.plane.identify_client(member.certificates).unwrap();
    let given = world
        .plane
        .put_admin(&tenant, "n1", caller.id.clone(), Role::Administrator);
    given.unwrap();
    assert_eq!(world.plane.roles(&caller, &tenant), []);
    let list = world.plane.permit(&caller, "one", Verb::Read, Noun::Node);
    assert!(list.is_err());
}

#[test]
fn what_is_below_the_intermediate_of_a_cluster_is_no_ones_spiffe_id() {
    let world = World::new();
    world.token("spiffe://one.test/web");
    let path = "/v1/tenants/one/trust-domains/one.test/authorities";
    let operator = world.operator();
    let added = world.send(&operator, "POST", path, &json!({"used_for": "cluster"}));
    assert_eq!(added.status, 200, "{}", added.body);
    let asked = |used_for: &str| {
        let body = json!({
            "spiffe_id": "spiffe://one.test/web", "used_for": used_for,
            "signing_request": pem(&Key::p256("mine")),
        });
        world.send(&operator, "POST", "/v1/tenants/one/certificates", &body)
    };
    let refused = asked("cluster");
    assert_eq!(refused.code(), "issue.body_malformed", "{}", refused.body);
    assert_eq!(asked("services").status, 200);
}

fn pem(key: &Key) -> String {
    avouch_api::text::to_pem("CERTIFICATE REQUEST", &crate::world::signing_request(key))
}

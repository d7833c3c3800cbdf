//! What is given for another key, to another tenant, and what becomes of all that descends from an
//! issuer that is believed no more.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use avouch_core::credential::x509::Certificate;
use avouch_core::id::hex;
use avouch_server::Settings;
use avouch_server::revocations::Which;
use avouch_testkit::key::Key;
use avouch_testkit::token::TokenForge;
use avouch_testkit::world::pem;

use super::proofs::{again, for_ourselves};
use super::{
    CLOUD, Cloud, OURSELVES, claims, exchange_form, form, part, public, refusal, rule, token,
};
use crate::http::{Answer, request, send};
use crate::world::World;

const WIT: &str = "urn:avouch:params:token-type:wit-svid";
const X509: &str = "urn:avouch:params:token-type:x509-svid";

impl Cloud {
    /// What the tenant decides on a credential.
    fn decision(&self, credential: &Value, audience: &[&str]) -> Value {
        let mut question = json!({"credential": credential, "profile": "spiffe"});
        if !audience.is_empty() {
            question["audience"] = json!(audience);
        }
        let answer = self.manage("POST", "/t/one/decide", &question);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// An X.509-SVID for this key, given for a workflow token.
    fn certificate(&self, key: &Key) -> String {
        let request = crate::world::signing_request(key);
        let request = pem("CERTIFICATE REQUEST", &request);
        let asked = [
            ("requested_token_type", X509),
            ("certificate_request", request.as_str()),
        ];
        token(&self.send(&exchange_form(&self.workflow(&json!({})), &asked), &[]))
    }

    /// Exchanges a certificate with a proof by this key.
    fn exchange_certificate(&self, certificate: &str, key: &Key) -> Answer {
        let proof = self.proof().header("jwk", public(key)).sign_nameless(key);
        let form = exchange_form(certificate, &[("subject_token_type", X509)]);
        self.send(&form, &[("dpop", &proof)])
    }
}

/// A rule that gives WIT-SVIDs, too.
fn with_wits() -> Value {
    let mut rule = rule();
    rule["gives"]["kinds"] = json!(["jwt-svid", "wit-svid"]);
    rule
}

#[test]
fn hostile_55_a_wit_svid_is_given_for_the_key_of_the_proof_and_worth_nothing_without_it() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &with_wits());
    cloud.rule("again", &again());
    let asked = [("requested_token_type", WIT)];
    let answer = cloud.exchange(&cloud.workflow(&json!({})), &asked);
    let wit = token(&answer);
    assert_eq!(answer.json()["issued_token_type"], WIT);
    assert_eq!(answer.json()["token_type"], "N_A");
    assert_eq!(part(&wit, 0)["typ"], "wit+jwt");
    let said = claims(&wit);
    assert_eq!(said["sub"], "spiffe://one.test/ci/74/deploy");
    assert!(
        !said.contains_key("aud") && !said.contains_key("scope"),
        "{said:?}"
    );
    let (key, holder) = (&said["cnf"]["jwk"], public(&cloud.holder));
    assert_eq!((&key["x"], &key["y"]), (&holder["x"], &holder["y"]));
    assert_eq!(said["lineage"][0]["anchor"], "github");
    // Whoever is shown it with a proof by that key believes it, and nobody else.
    let now = cloud.now();
    let proof = |by: &Key, jti: &str, audience: &str| {
        TokenForge::proof(&wit, audience)
            .claim("exp", json!(now + 60))
            .claim("jti", json!(jti))
            .sign_nameless(by)
    };
    let shown = |proof: Option<String>| {
        let credential = json!({"wit": {"token": wit, "proof": proof}});
        cloud.decision(&credential, &["https://db.test"])
    };
    let good = shown(Some(proof(&cloud.holder, "1", "https://db.test")));
    assert_eq!(good["verdict"], "accept", "{good}");
    let stolen = shown(Some(proof(&Key::p256("thief"), "2", "https://db.test")));
    assert_eq!(stolen["reason"]["code"], "federation.proof_invalid");
    let elsewhere = shown(Some(proof(&cloud.holder, "3", "https://other.test")));
    assert_eq!(elsewhere["reason"]["code"], "federation.audience_mismatch");
    let credential = json!({"jwt": wit});
    let bare = cloud.decision(&credential, &["https://db.test"]);
    assert_eq!(bare["reason"]["code"], "federation.proof_missing");
    // It is exchanged with its proof, and what comes of it remembers the first anchor.
    let more = proof(&cloud.holder, "4", OURSELVES);
    let more = [
        ("subject_token_type", WIT),
        ("subject_token_proof", more.as_str()),
    ];
    let second = claims(&token(&cloud.exchange(&wit, &more)));
    assert_eq!(second["sub"], "spiffe://one.test/db/writer");
    assert_eq!(second["lineage"][0]["anchor"], "github");
    assert_eq!(second["lineage"][1]["anchor"], "one.test");
}

#[test]
fn hostile_55_no_wit_svid_is_given_without_a_key_that_it_can_be_for() {
    let cloud = Cloud::new();
    let mut bearer = with_wits();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    let asked = [("requested_token_type", WIT)];
    let form = exchange_form(&cloud.workflow(&json!({})), &asked);
    assert_eq!(refusal(&cloud.send(&form, &[])).1, "issue.proof_required");
    for (key, expected) in [
        (Key::ed25519("e"), Some("issue.key_not_accepted")),
        (Key::p521("p"), Some("issue.key_not_accepted")),
        (Key::p384("p"), None),
    ] {
        let proof = cloud
            .proof()
            .header("jwk", public(&key))
            .sign_nameless(&key);
        let answer = cloud.send(&form, &[("dpop", &proof)]);
        match expected {
            Some(code) => assert_eq!(refusal(&answer).1, code),
            None => drop(token(&answer)),
        }
    }
    // A rule that does not say so gives none.
    cloud.rule("deploy", &rule());
    let refused = cloud.exchange(&cloud.workflow(&json!({})), &asked);
    assert_eq!(refusal(&refused).1, "issue.token_type_unsupported");
    // A rule that gives nothing else needs to name nobody for whom it would be.
    let mut alone = rule();
    alone["gives"]["kinds"] = json!(["wit-svid"]);
    alone["gives"].as_object_mut().unwrap().remove("audiences");
    cloud.rule("deploy", &alone);
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
}

#[test]
fn hostile_61_a_certificate_remembers_what_it_was_given_for() {
    let cloud = Cloud::new();
    cloud.rule("again", &again());
    let key = Key::p256("new");
    let first = cloud.certificate(&key);
    let second = claims(&token(&cloud.exchange_certificate(&first, &key)));
    let anchors: Vec<&str> = second["lineage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["anchor"].as_str().unwrap())
        .collect();
    assert_eq!(anchors, ["github", "one.test"]);
    // What was had once does not outlive itself by being exchanged.
    assert!(second["exp"].as_i64().unwrap() <= cloud.now() + 900);
    let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let refused = cloud.exchange_certificate(&first, &key);
    assert_eq!(refusal(&refused).1, "issue.lineage_broken");
    // Who proves nothing is told that, and not that a proof was wrong.
    let bare = cloud.send(&exchange_form(&first, &[("subject_token_type", X509)]), &[]);
    assert!(bare.body.contains("none was sent"), "{}", bare.body);
}

#[test]
fn hostile_61_certificates_that_descend_from_an_issuer_in_quarantine_are_revoked() {
    let cloud = Cloud::new();
    let (key, other) = (Key::p256("new"), Key::p256("other"));
    let (first, second) = (cloud.certificate(&key), cloud.certificate(&other));
    let unrelated = cloud.world.svid("spiffe://one.test/unrelated");
    let outcome = |chain: &str| {
        let blocks = chain.split("-----END CERTIFICATE-----");
        let blocks = blocks.filter_map(|block| block.split_once("-----BEGIN CERTIFICATE-----"));
        let chain: Vec<String> = blocks.map(|(_, block)| block.replace('\n', "")).collect();
        let verdict = cloud.decision(&json!({"x509": {"chain": chain}}), &[]);
        let code = verdict["reason"]["code"].as_str();
        code.unwrap_or("accept").to_owned()
    };
    let unrelated: String = unrelated
        .chain
        .iter()
        .map(|der| pem("CERTIFICATE", der))
        .collect();
    for chain in [&first, &second, &unrelated] {
        assert_eq!(outcome(chain), "accept");
    }
    let mut uploaded = cloud.github_anchor();
    uploaded["audiences"] = json!([OURSELVES]);
    let put = cloud.manage("PUT", "/v1/tenants/one/issuers/gh", &uploaded);
    assert!(put.status < 300, "{}", put.body);
    let cause = json!({"reason": "its key may be stolen"});
    let path = "/v1/tenants/one/issuers/gh/quarantine";
    let stopped = cloud.manage("POST", path, &cause);
    assert!(stopped.status < 300, "{}", stopped.body);
    assert_eq!(outcome(&first), "revocation.revoked");
    assert_eq!(outcome(&second), "revocation.revoked");
    assert_eq!(outcome(&unrelated), "accept");
}

/// An anchor or a key may be called like an issuer; what was given for its word was not given for that of
/// the issuer.
#[test]
fn what_descends_from_an_issuer_is_told_by_the_issuer_alone() {
    let cloud = Cloud::new();
    cloud.certificate(&Key::p256("one"));
    let plane = &cloud.world.plane;
    let tenant = plane.tenant_named("one").unwrap().unwrap();
    let revoked = |issuer: &str| {
        let which = Which::DescendedFromIssuer(issuer.to_owned());
        let revoked = plane.revoke_certificates(&tenant, &which, 1);
        revoked.map_or(0, |revoked| revoked.len())
    };
    for name in ["github", "k1"] {
        assert_eq!(revoked(name), 0, "{name}");
    }
    assert_eq!(revoked(super::GITHUB), 1);
}

#[test]
fn certificates_are_revoked_by_what_they_were_given_for() {
    let cloud = Cloud::new();
    let (one, two) = (Key::p256("one"), Key::p256("two"));
    let revoke = |from: &str| {
        let body = json!({"descended_from": from, "reason": "key_compromise"});
        cloud.manage("POST", "/v1/tenants/one/revoke-certificates", &body)
    };
    assert_eq!(revoke("github").status, 404);
    cloud.certificate(&one);
    cloud.certificate(&two);
    for name in ["nobody", "k2", "https://other.test"] {
        assert_eq!(revoke(name).code(), "issue.object_unknown", "{name}");
    }
    let listed = |answer: &Answer| answer.json()["revoked"].as_array().unwrap().len();
    for name in ["k1", "github", super::GITHUB] {
        let revoked = revoke(name);
        assert_eq!(revoked.status, 200, "{}", revoked.body);
        assert_eq!(listed(&revoked), 2, "{name}");
    }
    // Another tenant has none of them.
    let body = json!({"descended_from": "github"});
    let path = "/v1/tenants/two/revoke-certificates";
    assert_eq!(
        cloud.manage("POST", path, &body).code(),
        "issue.object_unknown"
    );
    let both = json!({"descended_from": "github", "serial": "ff"});
    let path = "/v1/tenants/one/revoke-certificates";
    assert_eq!(
        cloud.manage("POST", path, &both).code(),
        "issue.body_malformed"
    );
}

#[test]
fn a_credential_of_one_tenant_becomes_one_of_another_under_the_rules_of_that() {
    let settings = Settings {
        public_url: "https://avouch.test".to_owned(),
        ..Settings::default()
    };
    let cloud = Cloud::of(World::with(settings));
    let (here, there) = ("https://avouch.test/t/one", "https://avouch.test/t/two");
    let mut outward = for_ourselves();
    outward["gives"]["audiences"] = json!([there, CLOUD]);
    cloud.rule("deploy", &outward);
    let keys = cloud.world.get("/t/one/keys").json();
    let anchor = json!({"issuer": here, "jwks": keys, "owner": "two", "reason": "a partner"});
    let put = cloud.manage(
        "PUT",
        "/v1/tenants/two/anchors/one",
        &super::for_everyone(&anchor),
    );
    assert!(put.is_put(), "{}", put.body);
    let guests = json!({
        "from": {"anchor": "one", "facts": {"subject": "spiffe://one.test/ci/74/deploy"}},
        "gives": {"spiffe_id": "spiffe://two.test/guests/deploy", "audiences": ["https://db.test"]},
        "owner": "two", "reason": "deploys of a partner",
    });
    cloud.rule_of("two", "guests", &guests);
    let ask = |tenant: &str, form: &str, key: &Key| {
        let proof = cloud
            .proof()
            .claim(
                "htu",
                json!(format!("https://avouch.test/t/{tenant}/token")),
            )
            .header("jwk", public(key))
            .sign_nameless(key);
        cloud.send_to(tenant, form, &[("dpop", &proof)])
    };
    let outbound = |audience: &str| {
        let subject = cloud.workflow(&json!({"aud": here}));
        let form = exchange_form(&subject, &[("audience", audience)]);
        token(&ask("one", &form, &cloud.holder))
    };
    let at_two = |subject: &str, key: &Key| ask("two", &exchange_form(subject, &[]), key);
    let outbound_once = outbound(there);
    let guest = claims(&token(&at_two(&outbound_once, &cloud.holder)));
    assert_eq!(guest["sub"], "spiffe://two.test/guests/deploy");
    assert_eq!(guest["iss"], there);
    assert_eq!(guest["lineage"][0]["of"], here);
    assert_eq!(guest["lineage"][1]["anchor"], "one");
    // Once, by its holder, and what was meant for it.
    let refused = |subject: &str, key: &Key| refusal(&at_two(subject, key)).1;
    assert_eq!(refused(&outbound_once, &cloud.holder), "issue.token_used");
    let thief = Key::p256("thief");
    assert_eq!(
        refused(&outbound(there), &thief),
        "federation.proof_missing"
    );
    assert_eq!(
        refused(&outbound(CLOUD), &cloud.holder),
        "federation.audience_mismatch"
    );
    // Whom the rule does not name gets nothing, whatever the other tenant calls it.
    let mut other = outward.clone();
    other["gives"]["spiffe_id"] = json!("spiffe://one.test/ci/other");
    cloud.rule("deploy", &other);
    assert_eq!(
        refused(&outbound(there), &cloud.holder),
        "issue.exchange_not_admitted"
    );
    cloud.rule("deploy", &outward);
    let removed = cloud.manage("DELETE", "/v1/tenants/two/anchors/one", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    assert_eq!(
        refused(&outbound(there), &cloud.holder),
        "spiffe.trust_domain_unknown"
    );
}

/// Two tenants that believe what the other gives, and a workflow that comes in at the first of them.
struct ThereAndBack {
    cloud: Cloud,
    /// The rule of the second tenant for what the first gives.
    guests: Value,
}

const HERE: &str = "https://avouch.test/t/one";
const THERE: &str = "https://avouch.test/t/two";

impl ThereAndBack {
    /// The tenants know each other by this, as an anchor has it: by their keys or by their bundles.
    fn by(known: impl Fn(&World, &str) -> Value) -> Self {
        let settings = Settings {
            public_url: "https://avouch.test".to_owned(),
            ..Settings::default()
        };
        let cloud = Cloud::of(World::with(settings));
        let mut outward = for_ourselves();
        outward["gives"]["audiences"] = json!([THERE]);
        outward["gives"]["kinds"] = json!(["jwt-svid", "x509-svid", "wit-svid"]);
        outward["gives"]["lifetime"] = json!(120);
        outward["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
        cloud.rule("deploy", &outward);
        for (tenant, other) in [("one", "two"), ("two", "one")] {
            let path = format!("/v1/tenants/{tenant}/anchors/{other}");
            let anchor = super::for_everyone(&known(&cloud.world, other));
            let put = cloud.manage("PUT", &path, &anchor);
            assert!(put.is_put(), "{}", put.body);
        }
        let rule = |from: &str, subject: &str, gives: &str, audience: &str| {
            let id = format!("spiffe://{from}.test{subject}");
            let from = match known(&cloud.world, from).get("trust_domain") {
                Some(name) => {
                    json!({"trust_domain": name, "facts": {"spiffe.path": {"pattern": subject}}})
                }
                None => json!({"anchor": from, "facts": {"subject": id}}),
            };
            json!({
                "bearer": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
                "from": from,
                "gives": {"spiffe_id": gives, "audiences": [audience], "lifetime": 3600,
                          "outlives": true, "kinds": ["jwt-svid", "x509-svid"]},
                "owner": "a test", "reason": "a test",
            })
        };
        let guests = rule("one", "/ci/74/deploy", "spiffe://two.test/guest", HERE);
        cloud.rule_of("two", "guests", &guests);
        let back = rule("two", "/guest", "spiffe://one.test/back", CLOUD);
        cloud.rule_of("one", "back", &back);
        Self { cloud, guests }
    }

    fn ask(&self, tenant: &str, form: &str) -> Answer {
        self.cloud.send_to(tenant, form, &[])
    }

    /// What the first tenant gives the workflow.
    fn first(&self) -> String {
        let subject = self.cloud.workflow(&json!({"aud": HERE}));
        token(&self.ask("one", &exchange_form(&subject, &[])))
    }

    /// What the second gives for that.
    fn second(&self) -> String {
        token(&self.ask("two", &exchange_form(&self.first(), &[])))
    }

    /// What the first gives for that again.
    fn back(&self, guest: &str) -> Answer {
        self.ask("one", &exchange_form(guest, &[]))
    }

    fn bound(&self, at_most: &Value) {
        let mut anchor = self.cloud.github_anchor();
        anchor["grants_at_most"] = at_most.clone();
        self.cloud.anchor("github", &anchor);
    }
}

fn by_keys(world: &World, other: &str) -> Value {
    let keys = world.get(&format!("/t/{other}/keys")).json();
    json!({"issuer": format!("https://avouch.test/t/{other}"), "jwks": keys})
}

fn by_bundle(world: &World, other: &str) -> Value {
    let bundle = world.get(&format!("/t/{other}/bundle/{other}.test")).json();
    json!({"trust_domain": format!("{other}.test"), "bundle": bundle})
}

/// Whether the tenants know each other by keys or by bundles.
const WAYS: [fn(&World, &str) -> Value; 2] = [by_keys, by_bundle];

/// As a JWT-SVID it is believed by its bundle, whoever else is trusted with the same keys.
#[test]
fn a_jwt_svid_of_whom_is_trusted_twice_is_one_where_it_is_shown_as_one() {
    let world = ThereAndBack::by(by_bundle);
    let path = "/v1/tenants/two/anchors/one-by-keys";
    let anchor = super::for_everyone(&by_keys(&world.cloud.world, "one"));
    let put = world.cloud.manage("PUT", path, &anchor);
    assert!(put.is_put(), "{}", put.body);
    let shown_as = |token: &str, kind: &str| {
        let kind = [("subject_token_type", kind)];
        world.ask("two", &exchange_form(token, &kind))
    };
    let svid = "urn:avouch:params:token-type:jwt-svid";
    let given = claims(&token(&shown_as(&world.first(), svid)));
    assert_eq!(given["sub"], "spiffe://two.test/guest");
    // As any other token its issuer vouches for it, of whom no rule admits anyone.
    let other = shown_as(&world.first(), "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(refusal(&other).1, "issue.exchange_not_admitted");
    // By its issuer alone it is none.
    let path = "/v1/tenants/two/anchors/one";
    let removed = world.cloud.manage("DELETE", path, &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let refused = shown_as(&world.first(), svid);
    assert_eq!(refusal(&refused).1, "spiffe.trust_domain_unknown");
}

#[test]
fn a_way_through_another_tenant_and_back_leads_around_no_bound() {
    for way in WAYS {
        let world = ThereAndBack::by(way);
        let guest = world.second();
        let said = claims(&guest);
        assert_eq!(said["sub"], "spiffe://two.test/guest");
        let named = |place: usize, member: &str| said["lineage"][place][member].clone();
        assert_eq!(
            (named(0, "of"), named(0, "anchor")),
            (json!(HERE), json!("github"))
        );
        assert_eq!(
            (named(1, "of"), named(1, "anchor")),
            (Value::Null, json!("one"))
        );
        // What was exchanged before does not outlive itself by being exchanged elsewhere.
        assert!(
            said["exp"].as_i64().unwrap() <= world.cloud.now() + 120,
            "{said:?}"
        );

        let back = claims(&token(&world.back(&guest)));
        assert_eq!(back["sub"], "spiffe://one.test/back");
        let lineage = back["lineage"].as_array().unwrap();
        let anchors: Vec<&Value> = lineage.iter().map(|one| &one["anchor"]).collect();
        assert_eq!(anchors, ["github", "one", "two"]);
        let of: Vec<&Value> = lineage.iter().map(|one| &one["of"]).collect();
        assert_eq!(of, [&Value::Null, &json!(THERE), &Value::Null]);

        world.bound(&json!({"below": ["spiffe://one.test/ci"]}));
        let refused = world.back(&world.second());
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded");
        world.bound(&json!({"below": ["spiffe://one.test"], "audiences": [THERE]}));
        let refused = world.back(&world.second());
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded");

        // Nor does a thief of the issuer become an administrator by it.
        world.bound(&json!({"administers": false}));
        token(&world.back(&world.second()));
        let admin = json!({"subject": "spiffe://one.test/back", "role": "administrator"});
        let path = "/v1/tenants/one/admins/back";
        let put = world.cloud.manage("PUT", path, &admin);
        assert!(put.is_put(), "{}", put.body);
        let refused = world.back(&world.second());
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded");
    }
}

#[test]
fn nor_around_the_end_of_what_it_began_with() {
    for way in WAYS {
        let world = ThereAndBack::by(way);
        let decide = |token: &str| {
            let question = json!({"credential": {"jwt": token}, "audience": CLOUD});
            world
                .cloud
                .manage("POST", "/t/one/decide", &question)
                .json()
        };
        let (guest, other) = (world.second(), world.second());
        let back = token(&world.back(&other));
        assert_eq!(decide(&back)["verdict"], "accept");
        let ended = json!({"issuer": super::GITHUB, "reason": "a test",
            "subject": "repo:octo-org@65/octo-repo@74:environment:prod"});
        let put = world.cloud.manage("POST", "/v1/tenants/one/ended", &ended);
        assert!(put.status < 300, "{}", put.body);
        let refused = refusal(&world.back(&guest)).1;
        assert_eq!(refused, "revocation.subject_ended");
        assert_eq!(decide(&back)["reason"]["code"], "revocation.subject_ended");

        // Nor around the end of the anchor itself.
        let removed = world
            .cloud
            .manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
        assert_eq!(removed.status, 204, "{}", removed.body);
        let refused = refusal(&world.back(&guest)).1;
        assert!(
            ["issue.lineage_broken", "revocation.subject_ended"].contains(&refused.as_str()),
            "{refused}"
        );
    }
}

#[test]
fn a_certificate_of_another_tenant_remembers_too_what_it_was_given_for() {
    let world = ThereAndBack::by(by_bundle);
    let key = Key::p256("new");
    let request = pem("CERTIFICATE REQUEST", &crate::world::signing_request(&key));
    let asked = [
        ("requested_token_type", X509),
        ("certificate_request", request.as_str()),
    ];
    let subject = world.cloud.workflow(&json!({"aud": HERE}));
    let certificate = token(&world.ask("one", &exchange_form(&subject, &asked)));
    let htu = json!("https://avouch.test/t/two/token");
    let proof = world.cloud.proof().claim("htu", htu);
    let proof = proof.header("jwk", public(&key)).sign_nameless(&key);
    let form = exchange_form(&certificate, &[("subject_token_type", X509)]);
    let guest = token(&world.cloud.send_to("two", &form, &[("dpop", &proof)]));
    let said = claims(&guest);
    assert_eq!(said["lineage"][0]["of"], HERE);
    assert_eq!(said["lineage"][0]["anchor"], "github");
    assert_eq!(said["lineage"][1]["anchor"], "one");
}

/// A WIT-SVID names no issuer, so that what is given for one says of which trust domain it was.
#[test]
fn nor_does_a_certificate_for_a_wit_svid_lead_around_a_bound() {
    let world = ThereAndBack::by(by_bundle);
    let key = Key::p256("new");
    let request = pem("CERTIFICATE REQUEST", &crate::world::signing_request(&key));
    let proof = |tenant: &str, key: &Key| {
        let htu = json!(format!("https://avouch.test/t/{tenant}/token"));
        let proof = world.cloud.proof().claim("htu", htu);
        proof.header("jwk", public(key)).sign_nameless(key)
    };
    let send = |tenant: &str, form: &str, key: &Key| {
        let proof = proof(tenant, key);
        world.cloud.send_to(tenant, form, &[("dpop", &proof)])
    };
    let back = || {
        let subject = world.cloud.workflow(&json!({"aud": HERE}));
        let form = exchange_form(&subject, &[("requested_token_type", WIT)]);
        let wit = token(&send("one", &form, &world.cloud.holder));
        let now = world.cloud.now();
        let shown = TokenForge::proof(&wit, THERE)
            .claim("exp", json!(now + 60))
            .claim("jti", json!(format!("proof of {}", claims(&wit)["jti"])))
            .sign_nameless(&world.cloud.holder);
        let asked = [
            ("subject_token_type", WIT),
            ("subject_token_proof", shown.as_str()),
            ("requested_token_type", X509),
            ("certificate_request", request.as_str()),
        ];
        let form = exchange_form(&wit, &asked);
        let certificate = token(&send("two", &form, &world.cloud.holder));
        let form = exchange_form(&certificate, &[("subject_token_type", X509)]);
        send("one", &form, &key)
    };
    let said = claims(&token(&back()));
    assert_eq!(said["lineage"][0]["anchor"], "github", "{said:?}");
    assert_eq!(said["lineage"][0].get("of"), None, "{said:?}");
    world.bound(&json!({"below": ["spiffe://one.test/ci"]}));
    assert_eq!(refusal(&back()).1, "issue.bound_exceeded");
}

/// Whoever has stolen the key of a certificate has had tokens for it, too.
#[test]
fn what_was_exchanged_for_a_certificate_ends_when_that_is_revoked() {
    let cloud = Cloud::new();
    cloud.rule("again", &again());
    let given = |key: &Key| {
        let certificate = cloud.certificate(key);
        let (_, first) = certificate
            .split_once("-----BEGIN CERTIFICATE-----")
            .unwrap();
        let (first, _) = first.split_once("-----END CERTIFICATE-----").unwrap();
        let der = Base64::decode_vec(&first.replace('\n', "")).unwrap();
        let serial = hex(Certificate::parse(&der).unwrap().serial());
        (
            serial,
            token(&cloud.exchange_certificate(&certificate, key)),
        )
    };
    let is_active = |token: &str| {
        let bearer = format!("Bearer {}", cloud.world.operator());
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", bearer.as_str()),
        ];
        let body = form(&[("token", token)]);
        let asked = request("POST", "/t/one/introspect", &headers, Some(&body));
        send(cloud.world.address, &asked).json()["active"] == true
    };
    let (stolen, of_stolen) = given(&Key::p256("stolen"));
    let (_, of_other) = given(&Key::p256("other"));
    assert!(is_active(&of_stolen) && is_active(&of_other));
    let revoke = |which: &Value| {
        let answer = cloud.manage("POST", "/v1/tenants/one/revoke-certificates", which);
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    // Twice, as whoever has had no answer does.
    for _ in 0..2 {
        revoke(&json!({"serial": stolen, "reason": "key_compromise"}));
        assert!(!is_active(&of_stolen));
        assert!(is_active(&of_other));
    }
    revoke(&json!({"spiffe_id": "spiffe://one.test/ci/74/deploy"}));
    assert!(!is_active(&of_other));
}

/// Its issuer identifier changes with the address of the server, and what it is the issuer of does not.
#[test]
fn nor_does_another_address_of_the_server_lead_around_a_bound() {
    const MOVED: &str = "https://moved.test";
    for way in WAYS {
        let mut world = ThereAndBack::by(way);
        let mut guests = world.guests.clone();
        guests["gives"]["audiences"] = json!([format!("{MOVED}/t/one")]);
        world.cloud.rule_of("two", "guests", &guests);
        let (guest, bound) = (world.second(), world.second());
        let lineage = claims(&guest)["lineage"].clone();
        assert_eq!(lineage[0]["of"], HERE, "{lineage}");
        assert_eq!(lineage[0]["of_domain"], "one.test", "{lineage}");
        world.cloud.world.restart_with(Settings {
            public_url: MOVED.to_owned(),
            ..Settings::default()
        });
        let back = claims(&token(&world.back(&guest)));
        assert_eq!(back["lineage"][0]["anchor"], "github", "{back:?}");
        assert_eq!(back["lineage"][0].get("of"), None, "{back:?}");
        assert_eq!(back["lineage"][0].get("of_domain"), None, "{back:?}");
        world.bound(&json!({"below": ["spiffe://one.test/ci"]}));
        assert_eq!(refusal(&world.back(&bound)).1, "issue.bound_exceeded");
    }
}

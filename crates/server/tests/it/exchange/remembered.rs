//! What is had is remembered for what it is, by whichever way it comes back.

use avouch_server::Settings;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::https::VALID;
use avouch_testkit::key::Key;
use avouch_testkit::name::{GeneralName, Name};
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::bound::Secured;
use super::delegation::{BY_KEY, Service};
use super::narrowing::step;
use super::proofs::for_ourselves;
use super::{ACCESS_TOKEN, CLOUD, Cloud, JWT, OURSELVES, claims, form, refusal, sentence, token};
use crate::http::{Answer, request};
use crate::secured::HOST;
use crate::tls::{Caller, Identity, root};
use crate::world::World;

const X509: &str = "urn:avouch:params:token-type:x509-svid";
const WIT: &str = "urn:avouch:params:token-type:wit-svid";

/// An X.509-SVID for `key`, given for a workflow token.
fn certificate(cloud: &Cloud, key: &Key, more: &[(&str, &str)]) -> Identity {
    let request = crate::world::signing_request(key);
    let request = pem("CERTIFICATE REQUEST", &request);
    let mut all = vec![
        ("requested_token_type", X509),
        ("certificate_request", request.as_str()),
    ];
    all.extend_from_slice(more);
    let chain = token(&cloud.exchange(&cloud.workflow(&json!({})), &all));
    let blocks = avouch_api::text::pem_blocks(&chain).unwrap();
    Identity {
        chain: blocks.iter().map(|block| block.decode().unwrap()).collect(),
        key: key.clone(),
    }
}

fn leaf(id: &str, key: &Key) -> CertificateForge {
    CertificateForge::svid(id, key).valid(VALID.0, VALID.1)
}

fn anchors(claims: &serde_json::Map<String, Value>) -> Vec<String> {
    let lineage = claims["lineage"].as_array().unwrap().iter();
    let anchor = |one: &Value| one["anchor"].as_str().unwrap().to_owned();
    lineage.map(anchor).collect()
}

/// RFC 8705 2: a client is known by its certificate, and what that was given for counts as it does where the
/// certificate is exchanged.
#[test]
fn hostile_52_who_comes_by_a_connection_has_no_more_than_what_the_certificate_was_given_for() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let last = step(
        "/ci/74/deploy",
        "/last",
        &["access-token"],
        &["read", "deploy"],
    );
    cloud.rule("last", &last);
    let ask = form(&[("grant_type", "client_credentials")]);
    let wide = certificate(cloud, &Key::ed25519("wide"), &[]);
    let said = claims(&token(&secured.send_as(Some(&wide), &ask, &[])));
    assert_eq!(
        (&said["scope"], anchors(&said)),
        (
            &json!("read deploy"),
            vec!["github".to_owned(), "one.test".to_owned()]
        )
    );
    let narrow = certificate(cloud, &Key::ed25519("narrow"), &[("scope", "read")]);
    let said = claims(&token(&secured.send_as(Some(&narrow), &ask, &[])));
    assert_eq!(said["scope"], "read");
    let asked = form(&[("grant_type", "client_credentials"), ("scope", "deploy")]);
    let refused = secured.send_as(Some(&narrow), &asked, &[]);
    assert_eq!(refusal(&refused).1, "issue.scope_not_allowed");
    // Nor beyond a bound of who vouched first, nor after they are gone.
    let mut bounded = cloud.github_anchor();
    bounded["grants_at_most"] = json!({"below": ["spiffe://one.test/ci"]});
    cloud.anchor("github", &bounded);
    let refused = secured.send_as(Some(&wide), &ask, &[]);
    assert_eq!(refusal(&refused).1, "issue.bound_exceeded");
    let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let refused = secured.send_as(Some(&wide), &ask, &[]);
    assert_eq!(refusal(&refused).1, "issue.lineage_broken");
}

/// Certificates and workload identity tokens do not say how much they are for, and are for no more than a
/// token under the same rule.
#[test]
fn hostile_52_no_kind_of_credential_has_more_scopes_than_another_under_one_rule() {
    let cloud = Cloud::new();
    let mut first = for_ourselves();
    first["gives"]["kinds"] = json!(["jwt-svid", "x509-svid", "wit-svid"]);
    first["gives"]["scopes"] = json!(["read"]);
    cloud.rule("deploy", &first);
    let last = step(
        "/ci/74/deploy",
        "/last",
        &["access-token"],
        &["read", "deploy"],
    );
    cloud.rule("last", &last);
    let last = |subject: &str, more: &[(&str, &str)]| {
        let mut all = vec![("requested_token_type", ACCESS_TOKEN)];
        all.extend_from_slice(more);
        claims(&token(&cloud.exchange(subject, &all)))["scope"].clone()
    };
    let jwt = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    assert_eq!(last(&jwt, &[]), "read");
    let held = certificate(&cloud, &cloud.holder, &[]);
    let chain: String = held
        .chain
        .iter()
        .map(|der| pem("CERTIFICATE", der))
        .collect();
    assert_eq!(last(&chain, &[("subject_token_type", X509)]), "read");
    let wit = token(&cloud.exchange(
        &cloud.workflow(&json!({})),
        &[("requested_token_type", WIT)],
    ));
    let proof = TokenForge::proof(&wit, OURSELVES)
        .claim("exp", json!(cloud.now() + 60))
        .claim("jti", json!("w1"))
        .sign_nameless(&cloud.holder);
    let more = [
        ("subject_token_type", WIT),
        ("subject_token_proof", proof.as_str()),
    ];
    assert_eq!(last(&wit, &more), "read");
}

/// A service that acts for people, whose tokens are exchanged once more.
struct Twice(Service);

impl Twice {
    fn new() -> Self {
        let service = Service::new(&[]);
        let mut people = json!({
            "from": {"anchor": "people", "facts": {"claims.group": "staff"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/people/{subject}", "kinds": ["access-token"],
                "audiences": [OURSELVES], "scopes": ["read", "write"],
            },
            "actors": [{"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}}],
            "owner": "o", "reason": "r",
        });
        service.cloud.rule("people", &people);
        people["from"] =
            json!({"trust_domain": "one.test", "facts": {"spiffe.path": "/people/alice"}});
        people["gives"]["spiffe_id"] = json!("spiffe://one.test/last");
        people["gives"]["audiences"] = json!([CLOUD]);
        people.as_object_mut().unwrap().remove("actors");
        service.cloud.rule("last", &people);
        Self(service)
    }

    fn partner(&self, at_most: &Value) {
        let bundle = avouch_testkit::token::bundle(&self.0.service, &Key::p256("wit"));
        let anchor = json!({
            "trust_domain": "partner.test", "bundle": bundle, "grants_at_most": at_most,
        });
        self.0.cloud.anchor("partner", &anchor);
    }

    fn acted_for(&self) -> String {
        let (person, actor) = (self.0.person(&json!({})), self.0.actor("/svc/shop"));
        token(&self.0.for_person(&person, Some(&actor)))
    }

    fn last(&self, first: &str) -> Answer {
        let more = [
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        self.0.cloud.exchange_as_operator(first, &more)
    }
}

#[test]
fn hostile_53_who_acted_once_bounds_what_is_had_at_each_exchange_that_follows() {
    let twice = Twice::new();
    for at_most in [
        json!({"audiences": [OURSELVES]}),
        json!({"below": ["spiffe://one.test/people"]}),
    ] {
        twice.partner(&at_most);
        let refused = twice.last(&twice.acted_for());
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded", "{at_most}");
        assert!(
            sentence(&refused).contains("partner"),
            "{}",
            sentence(&refused)
        );
    }
    twice.partner(&json!({"audiences": [OURSELVES, CLOUD]}));
    let said = claims(&token(&twice.last(&twice.acted_for())));
    assert_eq!(said["sub"], "spiffe://one.test/last");
    assert_eq!(
        said["act"],
        json!({"sub": "spiffe://partner.test/svc/shop"})
    );
    // How much the actor may do itself says nothing of how much it may do for another.
    assert_eq!(said["scope"], "read write");
    // Nor does an administrator come of it where the actor's anchor gives none.
    let admin = json!({"subject": "spiffe://one.test/last", "role": "auditor"});
    let put = twice
        .0
        .cloud
        .manage("PUT", "/v1/tenants/one/admins/last", &admin);
    assert!(put.is_put(), "{}", put.body);
    twice.partner(&json!({"administers": false}));
    let refused = twice.last(&twice.acted_for());
    assert_eq!(refusal(&refused).1, "issue.bound_exceeded");
    assert!(
        sentence(&refused).contains("administers"),
        "{}",
        sentence(&refused)
    );
}

#[test]
fn hostile_53_and_61_what_an_actor_had_in_hand_ends_with_the_actor() {
    let twice = Twice::new();
    let cloud = &twice.0.cloud;
    let first = twice.acted_for();
    let ended = json!({
        "issuer": "spiffe://partner.test", "subject": "spiffe://partner.test/svc/shop",
        "reason": "stolen",
    });
    let answer = cloud.manage("POST", "/v1/tenants/one/ended", &ended);
    assert!(answer.status < 300, "{}", answer.body);
    assert_eq!(refusal(&twice.last(&first)).1, "revocation.subject_ended");
    // And with whoever vouches for it.
    let twice = Twice::new();
    let cloud = &twice.0.cloud;
    let first = twice.acted_for();
    let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/partner", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    assert_eq!(refusal(&twice.last(&first)).1, "issue.lineage_broken");
}

/// Whoever acted is in the lineage, too, and there is room for eight.
#[test]
fn eight_act_one_after_the_other_and_no_ninth() {
    let service = Twice::new().0;
    let again = json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": "/people/alice"}},
        "gives": {
            "spiffe_id": "spiffe://one.test/people/alice", "kinds": ["access-token"],
            "audiences": [OURSELVES],
        },
        "actors": [{"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}}],
        "owner": "o", "reason": "r",
    });
    service.cloud.rule("again", &again);
    let actor = |number: u8| service.actor(&format!("/svc/a{number}"));
    let person = service.person(&json!({}));
    let mut held = token(&service.for_person(&person, Some(&actor(1))));
    let further = |held: &str, number: u8| {
        let actor = actor(number);
        let more = [
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            ("actor_token", actor.as_str()),
            ("actor_token_type", JWT),
        ];
        service.cloud.exchange_as_operator(held, &more)
    };
    for number in 2..=8 {
        held = token(&further(&held, number));
        let said = claims(&held);
        assert_eq!(anchors(&said).len(), 2 * usize::from(number));
    }
    let refused = further(&held, 9);
    assert_eq!(refusal(&refused).1, "issue.delegation_refused");
}

#[test]
fn hostile_61_another_key_of_the_same_name_has_vouched_for_nothing() {
    let cloud = Cloud::new();
    let known = |secret: &str| {
        let sha256 = avouch_core::id::Digest::of(secret.as_bytes()).to_string();
        cloud.anchor(
            "old",
            &json!({"api_key": {"sha256": sha256, "subject": "old-system"}}),
        );
    };
    known("a key of many random characters");
    let gives = |from: &Value, to: &str| {
        json!({
            "from": from,
            "gives": {"spiffe_id": to, "kinds": ["access-token"], "audiences": [OURSELVES]},
            "owner": "o", "reason": "r",
        })
    };
    cloud.rule(
        "old",
        &gives(&json!({"anchor": "old"}), "spiffe://one.test/old"),
    );
    let of_own = json!({"trust_domain": "one.test", "facts": {"spiffe.path": "/old"}});
    cloud.rule("last", &gives(&of_own, "spiffe://one.test/last"));
    let as_key = [("subject_token_type", "urn:avouch:params:token-type:api-key")];
    let first = || token(&cloud.exchange("a key of many random characters", &as_key));
    let (one, two) = (first(), first());
    let again = [("subject_token_type", ACCESS_TOKEN)];
    token(&cloud.exchange(&one, &again));
    known("the key that came after it was stolen");
    assert_eq!(
        refusal(&cloud.exchange(&two, &again)).1,
        "issue.lineage_broken"
    );
    // So it is with a client, and with an issuer that has taken a key back.
    let (old, new) = (Key::p256("client"), Key::p256("client-new"));
    let client = |key: &Key, name: &str| {
        let from = json!({"client": "batch", "jwks": jwks(&[jwk(key, name)])});
        cloud.rule("batch", &gives(&from, "spiffe://one.test/old"));
    };
    client(&old, "c1");
    let now = cloud.now();
    let assertion = TokenForge::saying(json!({
        "iss": "batch", "sub": "batch", "aud": OURSELVES, "iat": now, "exp": now + 60, "jti": "a1",
    }));
    let assertion = assertion.sign(&old, "c1");
    let ask = form(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", BY_KEY),
        ("client_assertion", assertion.as_str()),
    ]);
    let proof = cloud.signed_proof();
    let first = token(&cloud.send(&ask, &[("dpop", &proof)]));
    // Also where it has the name of the other.
    client(&new, "c1");
    assert_eq!(
        refusal(&cloud.exchange(&first, &again)).1,
        "issue.lineage_broken"
    );
}

#[test]
fn hostile_18_what_descends_from_a_key_that_was_taken_back_is_exchanged_no_more() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    cloud.rule(
        "last",
        &step("/ci/74/deploy", "/last", &["jwt-svid"], &["read"]),
    );
    let first = || token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let (one, two, three) = (first(), first(), first());
    let with = |keys: &[Value]| {
        let mut anchor = cloud.github_anchor();
        anchor["jwks"] = jwks(keys);
        cloud.anchor("github", &anchor);
    };
    let (old, new) = (jwk(&cloud.issuer, "k1"), jwk(&Key::p256("next"), "k2"));
    with(&[new.clone(), old]);
    token(&cloud.exchange(&one, &[]));
    // Another key under its name is another; the same key under another name is not.
    with(&[jwk(&Key::p256("next"), "k1")]);
    assert_eq!(
        refusal(&cloud.exchange(&two, &[])).1,
        "issue.lineage_broken"
    );
    with(&[jwk(&cloud.issuer, "k3")]);
    token(&cloud.exchange(&two, &[]));
    with(&[new]);
    assert_eq!(
        refusal(&cloud.exchange(&three, &[])).1,
        "issue.lineage_broken"
    );
}

/// What it answers for itself says nothing of tokens that it has signed.
#[test]
fn hostile_18_an_issuer_that_is_asked_about_some_tokens_takes_its_keys_back_all_the_same() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    let again = step("/ci/74/deploy", "/last", &["jwt-svid"], &["read"]);
    cloud.rule("last", &again);
    let with = |key: &Key| {
        let mut anchor = cloud.github_anchor();
        anchor["jwks"] = jwks(&[jwk(key, "k1")]);
        anchor["introspection"] = json!({"tokens": ["opaque"]});
        cloud.anchor("github", &anchor);
    };
    with(&cloud.issuer);
    let first = || token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let (one, two) = (first(), first());
    token(&cloud.exchange(&one, &[]));
    with(&Key::p256("next"));
    assert_eq!(
        refusal(&cloud.exchange(&two, &[])).1,
        "issue.lineage_broken"
    );
}

/// So it is with an authority that a trust domain has taken out of its bundle.
#[test]
fn hostile_18_what_descends_from_an_authority_that_left_its_bundle_is_exchanged_no_more() {
    let twice = Twice::new();
    let (one, two) = (twice.acted_for(), twice.acted_for());
    token(&twice.last(&one));
    let bundle = avouch_testkit::token::bundle(&Key::p256("next"), &Key::p256("wit"));
    let anchor = json!({"trust_domain": "partner.test", "bundle": bundle});
    twice.0.cloud.anchor("partner", &anchor);
    assert_eq!(refusal(&twice.last(&two)).1, "issue.lineage_broken");
}

/// What a tenant gave would come back as if another had given it.
#[test]
fn hostile_52_a_tenant_does_not_trust_itself_under_another_name() {
    let settings = Settings {
        public_url: "https://avouch.test".to_owned(),
        ..Settings::default()
    };
    let cloud = Cloud::of(World::with(settings));
    let keys = cloud.world.get("/t/one/keys").json();
    let anchor = |tenant: &str| {
        let issuer = format!("https://avouch.test/t/{tenant}");
        super::for_everyone(&json!({"issuer": issuer, "jwks": keys}))
    };
    let of_itself = cloud.manage("PUT", "/v1/tenants/one/anchors/itself", &anchor("one"));
    assert_eq!(of_itself.code(), "issue.conflict", "{}", of_itself.body);
    let issuer = json!({
        "issuer": "https://avouch.test/t/one", "jwks": keys, "audiences": ["a"],
        "rules": [{"name": "r", "facts": {"subject": "spiffe://one.test/a"}}],
    });
    let of_itself = cloud.manage("PUT", "/v1/tenants/one/issuers/itself", &issuer);
    assert_eq!(of_itself.code(), "issue.conflict", "{}", of_itself.body);
    // Another tenant is somebody else.
    let of_two = cloud.manage("PUT", "/v1/tenants/one/anchors/two", &anchor("two"));
    assert!(of_two.is_put(), "{}", of_two.body);
}

fn introspect_as(secured: &Secured, shown: &Identity, ask: &str) -> Answer {
    let all = [("content-type", "application/x-www-form-urlencoded")];
    let bytes = request("POST", "/t/one/introspect", &all, Some(ask));
    let caller = Caller::believing(&root("Web")).showing(shown.clone());
    caller.send(secured.address, HOST, &bytes)
}

#[test]
fn a_workload_that_shows_its_certificate_asks_about_a_token_while_the_store_is_away() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let subject = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let own = cloud.world.svid("spiffe://one.test/gateway");
    let ask = form(&[("token", subject.as_str())]);
    for is_away in [false, true] {
        cloud.world.store_away(is_away);
        let answer = introspect_as(&secured, &own, &ask);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["active"], true, "{}", answer.body);
    }
}

/// Whoever has some certificate that the tenant trusts for something is not a workload of it.
#[test]
fn hostile_64_a_certificate_of_somebody_else_asks_nothing_about_our_tokens() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let partner = root("Partner");
    cloud.anchor(
        "partner-ca",
        &json!({"x509": pem("CERTIFICATE", &partner.certificate)}),
    );
    let subject = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let ask = form(&[("token", subject.as_str())]);
    let key = Key::ed25519("partner client");
    let shown = |forge: CertificateForge| {
        let shown = Identity {
            chain: vec![partner.issue(forge)],
            key: key.clone(),
        };
        introspect_as(&secured, &shown, &ask)
    };
    let plain = leaf("spiffe://x.test/a", &key).names(&[GeneralName::dns("client.partner.test")]);
    let borrowed = leaf("spiffe://one.test/admin", &key);
    let elsewhere = leaf("spiffe://x.test/a", &key);
    for forge in [plain, borrowed, elsewhere] {
        let refused = shown(forge);
        assert_eq!(refusal(&refused).1, "issue.client_not_authenticated");
    }
}

/// Nor does it act, or ask for itself, under the name of a workload of ours.
#[test]
fn hostile_53_a_certificate_of_somebody_else_acts_under_no_name_of_ours() {
    let secured = Secured::new();
    let cloud = &secured.cloud;
    let partner = root("Partner");
    cloud.anchor(
        "partner-ca",
        &json!({"x509": pem("CERTIFICATE", &partner.certificate)}),
    );
    let rule = json!({
        "from": {"anchor": "partner-ca", "facts": {"x509.subject": "CN=client"}},
        "gives": {
            "spiffe_id": "spiffe://one.test/guests/partner", "kinds": ["access-token"],
            "audiences": [CLOUD],
        },
        "owner": "o", "reason": "r",
    });
    cloud.rule("guests", &rule);
    let key = Key::ed25519("partner client");
    let ask = form(&[("grant_type", "client_credentials")]);
    let shown = |id: &str| {
        let forge = leaf(id, &key).subject(Name::common_name("client"));
        let shown = Identity {
            chain: vec![partner.issue(forge)],
            key: key.clone(),
        };
        secured.send_as(Some(&shown), &ask, &[])
    };
    let refused = shown("spiffe://one.test/admin");
    assert_eq!(refusal(&refused).1, "issue.client_not_authenticated");
    let own = claims(&token(&shown("spiffe://partner.test/client")));
    assert_eq!(own["client_id"], "spiffe://partner.test/client");
}

//! Who acts for whom, and clients with keys of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};

use super::{CLOUD, Cloud, JWT, OURSELVES, claims, exchange_form, form, refusal, sentence, token};

/// How many tokens of actors there have been: no two are one.
static ACTORS: AtomicU64 = AtomicU64::new(0);

pub(super) const PEOPLE: &str = "https://login.test";
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const BY_SVID: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
pub(super) const BY_KEY: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A cloud in which a service acts for people.
pub(super) struct Service {
    pub(super) cloud: Cloud,
    pub(super) people: Key,
    pub(super) service: Key,
}

impl Service {
    pub(super) fn new(more: &[(&str, Value)]) -> Self {
        let this = Self {
            cloud: Cloud::new(),
            people: Key::p256("people"),
            service: Key::p256("service"),
        };
        let cloud = &this.cloud;
        cloud.anchor(
            "people",
            &json!({"issuer": PEOPLE, "jwks": jwks(&[jwk(&this.people, "p")])}),
        );
        cloud.anchor(
            "partner",
            &json!({
                "trust_domain": "partner.test",
                "bundle": avouch_testkit::token::bundle(&this.service, &Key::p256("wit")),
            }),
        );
        let mut rule = json!({
            "from": {"anchor": "people", "facts": {"claims.group": "staff"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/people/{subject}", "kinds": ["access-token"],
                "audiences": [CLOUD], "scopes": ["read", "write"],
            },
            "actors": [{"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}}],
            "owner": "o", "reason": "r",
        });
        for (name, value) in more {
            rule[*name] = value.clone();
        }
        cloud.rule("people", &rule);
        this
    }

    pub(super) fn person(&self, more: &Value) -> String {
        let now = self.cloud.now();
        let mut claims = json!({
            "iss": PEOPLE, "sub": "alice", "aud": OURSELVES, "iat": now, "exp": now + 300,
            "jti": format!("p{}", self.cloud.number()), "group": "staff",
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        TokenForge::saying(claims).sign(&self.people, "p")
    }

    pub(super) fn actor(&self, name: &str) -> String {
        self.actor_for(name, &json!([OURSELVES]), 300)
    }

    fn actor_for(&self, name: &str, audience: &Value, seconds: i64) -> String {
        let now = self.cloud.now();
        self.actor_saying(name, &json!({"aud": audience, "exp": now + seconds}))
    }

    /// The token of a workload of the partner, which says this besides.
    pub(super) fn actor_saying(&self, name: &str, more: &Value) -> String {
        let bundle = avouch_testkit::token::bundle(&self.service, &Key::p256("wit"));
        let keys = bundle["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["use"] == "jwt-svid").unwrap();
        let now = self.cloud.now();
        let forge = TokenForge::jwt_svid(&format!("spiffe://partner.test{name}"), OURSELVES)
            .claim("aud", json!([OURSELVES]))
            .claim(
                "jti",
                json!(ACTORS.fetch_add(1, Ordering::Relaxed).to_string()),
            )
            .claim("iat", json!(now))
            .claim("exp", json!(now + 300));
        let more = more.as_object().unwrap().iter();
        let forge = more.fold(forge, |forge, (name, said)| forge.claim(name, said.clone()));
        forge.sign(&self.service, key["kid"].as_str().unwrap())
    }

    /// A workload identity token of an actor, and the key that its proofs are made with.
    fn proving_actor(&self, name: &str) -> (String, Key) {
        let (wit, holder) = (Key::p256("wit"), Key::p256("wit-holder"));
        let bundle = avouch_testkit::token::bundle(&self.service, &wit);
        let keys = bundle["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["use"] == "wit-svid").unwrap();
        let now = self.cloud.now();
        let svid = TokenForge::wit_svid(&format!("spiffe://partner.test{name}"), &holder)
            .claim("iat", json!(now))
            .claim("exp", json!(now + 300))
            .sign(&wit, key["kid"].as_str().unwrap());
        (svid, holder)
    }

    pub(super) fn for_person(&self, person: &str, actor: Option<&str>) -> crate::http::Answer {
        let mut more = Vec::new();
        if let Some(actor) = actor {
            more.extend([("actor_token", actor), ("actor_token_type", JWT)]);
        }
        self.cloud.exchange_as_operator(person, &more)
    }
}

#[test]
fn hostile_53_who_acts_is_shown_apart_from_who_it_is_done_for() {
    let service = Service::new(&[]);
    let alone = claims(&token(
        &service.for_person(&service.person(&json!({})), None),
    ));
    assert!(!alone.contains_key("act"), "impersonation has no actor");
    let actor = service.actor("/svc/shop");
    let both = claims(&token(
        &service.for_person(&service.person(&json!({})), Some(&actor)),
    ));
    assert_eq!(both["sub"], "spiffe://one.test/people/alice");
    assert_eq!(
        both["act"],
        json!({"sub": "spiffe://partner.test/svc/shop"})
    );
    // Whoever acted before stays in the chain.
    let chained = json!({"act": {"sub": "first", "iss": PEOPLE}});
    let used = service.for_person(&service.person(&chained), Some(&actor));
    assert_eq!(
        refusal(&used).1,
        "issue.token_used",
        "the actor's token, too, is used once"
    );
    assert!(
        sentence(&used).contains("actor_token"),
        "{}",
        sentence(&used)
    );
    let (chained, actor) = (service.person(&chained), service.actor("/svc/shop"));
    let chain = claims(&token(&service.for_person(&chained, Some(&actor))));
    assert_eq!(
        chain["act"],
        json!({"sub": "spiffe://partner.test/svc/shop", "act": {"iss": PEOPLE, "sub": "first"}})
    );
}

#[test]
fn hostile_53_nobody_acts_whom_neither_rule_nor_token_lets() {
    let service = Service::new(&[]);
    let refused = |person: &Value, actor: &str| {
        let answer = service.for_person(&service.person(person), Some(actor));
        (refusal(&answer).1, sentence(&answer))
    };
    let (code, told) = refused(&json!({}), &service.actor("/other"));
    assert_eq!(code, "issue.actor_not_allowed");
    assert!(told.contains("spiffe.path"), "{told}");
    let may = json!({"may_act": {"sub": "spiffe://partner.test/svc/else"}});
    assert_eq!(
        refused(&may, &service.actor("/svc/shop")).0,
        "issue.actor_not_allowed"
    );
    let may = json!({"may_act": {"sub": "spiffe://partner.test/svc/shop"}});
    let answer = service.for_person(&service.person(&may), Some(&service.actor("/svc/shop")));
    token(&answer);
    // A chain that turns back, or that is no chain.
    let looped = json!({"act": {"sub": "spiffe://partner.test/svc/shop"}});
    assert_eq!(
        refused(&looped, &service.actor("/svc/shop")).0,
        "issue.delegation_refused"
    );
    assert_eq!(
        refused(&json!({"act": "x"}), &service.actor("/svc/shop")).0,
        "issue.delegation_refused"
    );
    let forged = service.actor("/svc/shop");
    let forged = format!("{}AAAA", &forged[..forged.len() - 4]);
    let answer = service.for_person(&service.person(&json!({})), Some(&forged));
    assert_eq!(refusal(&answer).1, "federation.signature_invalid");
    // A rule that names nobody.
    let workflow = service.cloud.workflow(&json!({}));
    let actor = service.actor("/svc/shop");
    let answer = service.for_person(&workflow, Some(&actor));
    assert_eq!(refusal(&answer).1, "issue.actor_not_allowed");
}

#[test]
fn hostile_53_what_an_actor_shows_is_for_this_issuer_alone_and_bounds_what_is_given() {
    let service = Service::new(&[]);
    let through = |actor: &str| service.for_person(&service.person(&json!({})), Some(actor));
    let both = json!([OURSELVES, "https://other.test"]);
    let refused = through(&service.actor_for("/svc/shop", &both, 300));
    assert_eq!(refusal(&refused).1, "issue.actor_not_allowed");
    let told = sentence(&refused);
    assert!(told.contains("not for this issuer alone"), "{told}");
    let answer = through(&service.actor_for("/svc/shop", &json!(OURSELVES), 100));
    token(&answer);
    let expires = answer.json()["expires_in"].as_i64().unwrap();
    assert!(expires <= 100, "{expires}");
}

#[test]
fn whoever_acts_is_bounded_by_whoever_vouches_for_them() {
    let service = Service::new(&[]);
    let bound = |at_most: Value| {
        let bundle = avouch_testkit::token::bundle(&service.service, &Key::p256("wit"));
        let anchor = json!({
            "trust_domain": "partner.test", "bundle": bundle, "grants_at_most": at_most,
        });
        service.cloud.anchor("partner", &anchor);
    };
    let acting = || {
        let actor = service.actor("/svc/shop");
        service.for_person(&service.person(&json!({})), Some(&actor))
    };
    bound(json!({
        "scopes": ["read", "write"], "below": ["spiffe://one.test/people"], "audiences": [CLOUD],
        "claims": {"spiffe.path": {"pattern": "/svc/*"}},
    }));
    token(&acting());
    for (at_most, code) in [
        (json!({"scopes": ["read"]}), "issue.bound_exceeded"),
        (
            json!({"below": ["spiffe://one.test/ci"]}),
            "issue.bound_exceeded",
        ),
        (json!({"kinds": ["jwt-svid"]}), "issue.bound_exceeded"),
        (
            json!({"audiences": ["https://other.test"]}),
            "issue.bound_exceeded",
        ),
        (json!({"lifetime": 1}), "issue.bound_exceeded"),
        (
            json!({"claims": {"spiffe.path": "/svc/other"}}),
            "policy.claim_beyond_bound",
        ),
    ] {
        bound(at_most.clone());
        assert_eq!(refusal(&acting()).1, code, "{at_most}");
        // Nobody acts here, so nobody's bounds but those of the subject hold.
        token(&service.for_person(&service.person(&json!({})), None));
    }
}

#[test]
fn whoever_acts_makes_nobody_sign_in_more_surely_than_those_who_vouch_for_them_may_say() {
    let asked = json!({"multi_factor": true});
    let service = Service::new(&[("assurance", asked.clone())]);
    let bound = |at_most: Value| {
        let bundle = avouch_testkit::token::bundle(&service.service, &Key::p256("wit"));
        let anchor = json!({
            "trust_domain": "partner.test", "bundle": bundle, "grants_at_most": at_most,
        });
        service.cloud.anchor("partner", &anchor);
    };
    let person = || service.person(&json!({"amr": ["pwd", "otp"], "acr": "high"}));
    let acting = || service.for_person(&person(), Some(&service.actor("/svc/shop")));
    bound(json!({"assurance": "multi_factor"}));
    assert_eq!(claims(&token(&acting()))["acr"], "high");
    for most in ["single_factor", "none"] {
        bound(json!({"assurance": most}));
        let refused = acting();
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded", "{most}");
        let told = sentence(&refused);
        assert!(told.contains("partner") && told.contains(most), "{told}");
        // Nobody acts here.
        token(&service.for_person(&person(), None));
    }
    // Less is given where the rule says what, and the new token says no more of it than may be said.
    let less = json!({"multi_factor": true, "otherwise": {"scopes": ["read"]}});
    let service = Service::new(&[("assurance", less)]);
    let bundle = avouch_testkit::token::bundle(&service.service, &Key::p256("wit"));
    let none = json!({"assurance": "none"});
    let anchor = json!({
        "trust_domain": "partner.test", "bundle": bundle, "grants_at_most": none,
    });
    service.cloud.anchor("partner", &anchor);
    let person = service.person(&json!({"amr": ["pwd", "otp"], "acr": "high"}));
    let given = service.for_person(&person, Some(&service.actor("/svc/shop")));
    let said = claims(&token(&given));
    assert_eq!(said["scope"], "read", "{said:?}");
    assert!(
        !said.contains_key("acr") && !said.contains_key("amr"),
        "{said:?}"
    );
}

#[test]
fn hostile_55_a_proof_of_an_actor_is_good_once() {
    let service = Service::new(&[]);
    let (svid, holder) = service.proving_actor("/svc/shop");
    let now = service.cloud.now();
    let proof = |jti: &str| {
        TokenForge::proof(&svid, OURSELVES)
            .claim("exp", json!(now + 60))
            .claim("jti", json!(jti))
            .sign_nameless(&holder)
    };
    let through = |proof: &str| {
        let more = [
            ("actor_token", svid.as_str()),
            ("actor_token_type", "urn:avouch:params:token-type:wit-svid"),
            ("actor_token_proof", proof),
        ];
        let person = service.person(&json!({}));
        service.cloud.exchange_as_operator(&person, &more)
    };
    let once = proof("1");
    token(&through(&once));
    assert_eq!(refusal(&through(&once)).1, "issue.token_used");
    // The token itself may be shown again by whoever proves it anew.
    token(&through(&proof("2")));
}

#[test]
fn hostile_53_a_certificate_is_not_given_where_someone_acts() {
    let gives = json!({
        "spiffe_id": "spiffe://one.test/people/{subject}", "kinds": ["access-token", "x509-svid"],
        "audiences": [CLOUD], "scopes": ["read"], "outlives": true,
    });
    let service = Service::new(&[("gives", gives)]);
    let request = crate::world::signing_request(&Key::p256("new"));
    let request = avouch_testkit::world::pem("CERTIFICATE REQUEST", &request);
    let ask = |person: &Value, actor: Option<&str>| {
        let mut more = vec![
            (
                "requested_token_type",
                "urn:avouch:params:token-type:x509-svid",
            ),
            ("certificate_request", request.as_str()),
        ];
        if let Some(actor) = actor {
            more.extend([("actor_token", actor), ("actor_token_type", JWT)]);
        }
        let person = service.person(person);
        service.cloud.exchange_as_operator(&person, &more)
    };
    let actor = service.actor("/svc/shop");
    let refused = ask(&json!({}), Some(&actor));
    assert_eq!(refusal(&refused).1, "issue.delegation_refused");
    // Nor does a certificate say who alone may act, so anyone might with it.
    for said in [
        json!({"act": {"sub": "first"}}),
        json!({"may_act": {"sub": "first"}}),
    ] {
        let refused = ask(&said, None);
        assert_eq!(refusal(&refused).1, "issue.delegation_refused", "{said}");
    }
    token(&ask(&json!({}), None));
}

#[test]
fn hostile_49_what_showed_who_a_client_is_is_not_exchanged_too() {
    let service = Service::new(&[]);
    let cloud = &service.cloud;
    cloud.rule("shops", &json!({
        "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}},
        "gives": {
            "spiffe_id": "spiffe://one.test/shop", "kinds": ["access-token"], "audiences": [CLOUD],
        },
        "owner": "o", "reason": "r",
    }));
    let as_client = |svid: &str| {
        let body = form(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", BY_SVID),
            ("client_assertion", svid),
        ]);
        cloud.send(&body, &[("dpop", &cloud.signed_proof())])
    };
    let first = service.actor("/svc/first");
    token(&as_client(&first));
    assert_eq!(refusal(&cloud.exchange(&first, &[])).1, "issue.token_used");
    let second = service.actor("/svc/second");
    token(&cloud.exchange(&second, &[]));
    assert_eq!(refusal(&as_client(&second)).1, "issue.token_used");
    // In one request it may be both.
    let third = service.actor("/svc/third");
    let both = [
        ("client_assertion_type", BY_SVID),
        ("client_assertion", third.as_str()),
    ];
    token(&cloud.exchange(&third, &both));
}

/// A client with a key of its own, and the rule that admits it.
pub(super) fn client(cloud: &Cloud, key: &Key) {
    cloud.rule("batch", &json!({
        "from": {"client": "batch", "jwks": jwks(&[jwk(key, "c1")])},
        "gives": {
            "spiffe_id": "spiffe://one.test/batch", "kinds": ["access-token"], "audiences": [CLOUD],
        },
        "owner": "o", "reason": "r",
    }));
}

pub(super) fn assertion(cloud: &Cloud, changed: &Value) -> TokenForge {
    let now = cloud.now();
    let mut claims = json!({
        "iss": "batch", "sub": "batch", "aud": OURSELVES, "iat": now, "exp": now + 60,
        "jti": format!("c{}", cloud.number()),
    });
    claims
        .as_object_mut()
        .unwrap()
        .extend(changed.as_object().unwrap().clone());
    TokenForge::saying(claims)
}

/// RFC 6749 5.1: what these grants answer says how a token is used. Only an exchange knows `N_A` (RFC 8693
/// 2.2.1), and clients of OAuth throw away what they do not know.
#[test]
fn a_jwt_svid_of_another_grant_than_an_exchange_is_told_how_it_is_used() {
    let cloud = Cloud::new();
    let key = Key::p256("client");
    cloud.rule(
        "batch",
        &json!({
            "from": {"client": "batch", "jwks": jwks(&[jwk(&key, "c1")])},
            "gives": {"spiffe_id": "spiffe://one.test/batch", "audiences": [CLOUD]},
            "bearer": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
            "owner": "o", "reason": "r",
        }),
    );
    let by_client = |proofs: &[(&str, &str)]| {
        let shown = assertion(&cloud, &json!({})).sign(&key, "c1");
        let body = form(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", BY_KEY),
            ("client_assertion", shown.as_str()),
        ]);
        cloud.send(&body, proofs).json()["token_type"].clone()
    };
    let proof = cloud.signed_proof();
    assert_eq!(by_client(&[("dpop", &proof)]), "DPoP");
    assert_eq!(by_client(&[]), "Bearer");
    cloud.rule("deploy", &super::rule());
    let workflow = cloud.workflow(&json!({}));
    let body = form(&[("grant_type", ASSERTION), ("assertion", &workflow)]);
    let given = cloud.send(&body, &[("dpop", &cloud.signed_proof())]).json();
    assert_eq!(given["token_type"], "DPoP", "{given}");
    let exchanged = cloud.exchange(&cloud.workflow(&json!({})), &[]).json();
    assert_eq!(exchanged["token_type"], "N_A", "{exchanged}");
}

#[test]
fn hostile_30_a_client_shows_who_it_is_to_this_issuer_alone() {
    let cloud = Cloud::new();
    let key = Key::p256("client");
    client(&cloud, &key);
    let ask = |assertion: &str, more: &[(&str, &str)]| {
        let own = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", BY_KEY),
            ("client_assertion", assertion),
        ];
        let proof = cloud.signed_proof();
        cloud.send(&form(&[&own, more].concat()), &[("dpop", &proof)])
    };
    let good = assertion(&cloud, &json!({})).sign(&key, "c1");
    let given = ask(&good, &[("client_id", "batch")]);
    assert_eq!(given.json()["token_type"], "DPoP");
    // How long it may say who it is, is not how long what it has is good.
    assert_eq!(given.json()["expires_in"], 900);
    let access = claims(&token(&given));
    assert_eq!(
        (access["sub"].as_str(), access["client_id"].as_str()),
        (Some("spiffe://one.test/batch"), Some("batch"))
    );
    assert_eq!(refusal(&ask(&good, &[])).1, "issue.token_used");
    let now = cloud.now();
    // RFC 7523 3 (6): it need not say when it was made.
    let unborn = |exp: i64| {
        let whole = assertion(&cloud, &json!({"exp": exp}));
        ask(&whole.without("iat").sign(&key, "c1"), &[])
    };
    token(&unborn(now + 60));
    assert_eq!(refusal(&unborn(now + 7_200)).0, "invalid_client");
    for (what, changed) in [
        (
            "the token endpoint",
            json!({"aud": format!("{OURSELVES}/token")}),
        ),
        ("another server", json!({"aud": "https://other.test"})),
        ("two", json!({"aud": [OURSELVES, "https://other.test"]})),
        ("someone else's name", json!({"sub": "other"})),
        ("another client", json!({"iss": "other", "sub": "other"})),
        ("long", json!({"exp": now + 7_200})),
        ("expired", json!({"iat": now - 60, "exp": now - 1})),
    ] {
        let refused = ask(&assertion(&cloud, &changed).sign(&key, "c1"), &[]);
        assert_eq!(
            refusal(&refused),
            (
                "invalid_client".into(),
                "issue.client_not_authenticated".into()
            ),
            "{what}"
        );
        assert_eq!(refused.status, 401);
    }
    let forged = assertion(&cloud, &json!({})).sign(&Key::p256("thief"), "c1");
    assert_eq!(refusal(&ask(&forged, &[])).0, "invalid_client");
    let other = assertion(&cloud, &json!({})).sign(&key, "c1");
    assert_eq!(
        refusal(&ask(&other, &[("client_id", "other")])).0,
        "invalid_client"
    );
}

#[test]
fn hostile_29_and_30_an_assertion_is_a_grant_for_this_issuer_alone() {
    let service = Service::new(&[]);
    let ask = |assertion: &str| {
        let proof = service.cloud.signed_proof();
        let body = form(&[("grant_type", ASSERTION), ("assertion", assertion)]);
        service.cloud.send(&body, &[("dpop", &proof)])
    };
    let good = service.person(&json!({}));
    token(&ask(&good));
    assert_eq!(
        refusal(&ask(&good)),
        ("invalid_grant".into(), "issue.token_used".into())
    );
    for audience in [
        json!("https://login.test"),
        json!("some-other-client"),
        json!(format!("{OURSELVES}/token")),
        json!([OURSELVES, "https://other.test"]),
        json!(format!("{OURSELVES}/")),
    ] {
        let refused = ask(&service.person(&json!({"aud": audience.clone()})));
        assert_eq!(refusal(&refused).0, "invalid_grant", "{audience}");
    }
}

#[test]
fn a_workload_exchanges_its_svid_and_an_api_key_is_exchanged_by_its_own_rule() {
    let cloud = Cloud::new();
    cloud.rule(
        "workloads",
        &json!({
            "from": {"trust_domain": "one.test", "facts": {"spiffe.path": "/web"}},
            "gives": {"spiffe_id": "spiffe://one.test/db/reader", "audiences": ["https://db.test"]},
            "subject_audiences": [cloud.world.plane.server_id().to_string()],
            "owner": "o", "reason": "r",
        }),
    );
    let svid = cloud.world.token("spiffe://one.test/web");
    let as_svid = [(
        "subject_token_type",
        "urn:avouch:params:token-type:jwt-svid",
    )];
    assert_eq!(
        claims(&token(&cloud.exchange(&svid, &as_svid)))["sub"],
        "spiffe://one.test/db/reader"
    );
    let other = cloud.world.token("spiffe://one.test/other");
    assert_eq!(
        refusal(&cloud.exchange(&other, &as_svid)).1,
        "issue.exchange_not_admitted"
    );

    let sha256 = avouch_core::id::Digest::of(b"a key of many random characters").to_string();
    cloud.anchor(
        "old",
        &json!({"api_key": {"sha256": sha256, "subject": "old-system"}}),
    );
    cloud.rule(
        "old",
        &json!({
            "from": {"anchor": "old"},
            "gives": {"spiffe_id": "spiffe://one.test/old", "audiences": [CLOUD]},
            "owner": "o", "reason": "r",
        }),
    );
    let as_key = [("subject_token_type", "urn:avouch:params:token-type:api-key")];
    let answer = cloud.exchange("a key of many random characters", &as_key);
    assert_eq!(claims(&token(&answer))["sub"], "spiffe://one.test/old");
    assert_eq!(
        refusal(&cloud.exchange("another key", &as_key)).1,
        "federation.api_key_unknown"
    );
    let form = exchange_form("a key of many random characters", &[]);
    assert_eq!(cloud.send(&form, &[]).status, 400);
}

#[test]
fn no_identity_is_made_of_what_is_no_segment_and_nothing_is_decided_without_keys() {
    let service = Service::new(&[]);
    let answer = service.for_person(&service.person(&json!({"sub": "a/../b"})), None);
    assert_eq!(refusal(&answer).1, "issue.template_unfit");
    let cloud = &service.cloud;
    cloud.anchor("unknown", &json!({"issuer": "https://keyless.test"}));
    let now = cloud.now();
    let keyless = TokenForge::saying(json!({
        "iss": "https://keyless.test", "sub": "x", "aud": OURSELVES, "iat": now, "exp": now + 60,
    }));
    let answer = cloud.exchange(&keyless.sign(&service.people, "p"), &[]);
    let body = answer.json();
    assert_eq!(body["error"], "temporarily_unavailable", "{body}");
    assert_eq!(body["code"], "issue.undecided");
    let later = (answer.status, answer.header("retry-after"));
    assert_eq!(later, (503, Some("30")));
}

#[test]
fn hostile_53_who_may_act_is_carried_on_and_still_asked_for_at_the_next_exchange() {
    let gives = json!({
        "spiffe_id": "spiffe://one.test/people/{subject}", "kinds": ["jwt-svid"],
        "audiences": [OURSELVES],
    });
    let service = Service::new(&[("gives", gives)]);
    service.cloud.rule("again", &json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/people/*"}}},
        "gives": {
            "spiffe_id": "spiffe://one.test/orders", "kinds": ["access-token"], "audiences": [CLOUD],
        },
        "actors": [{"trust_domain": "partner.test", "facts": {"spiffe.path": {"pattern": "/svc/*"}}}],
        "owner": "o", "reason": "r",
    }));
    let named = json!({"sub": "spiffe://partner.test/svc/shop"});
    let first = |claims: &Value| token(&service.for_person(&service.person(claims), None));
    let restricted = || {
        let first = first(&json!({"may_act": named}));
        assert_eq!(claims(&first)["may_act"], named);
        first
    };
    let through = |subject: &str, actor: &str| {
        let actor = service.actor(actor);
        service.for_person(subject, Some(&actor))
    };
    // The rule would let it, and the person has not.
    let refused = through(&restricted(), "/svc/else");
    assert_eq!(refusal(&refused).1, "issue.actor_not_allowed");
    let second = claims(&token(&through(&restricted(), "/svc/shop")));
    assert_eq!(second["act"], named);
    assert_eq!(second["may_act"], named);
    // The near miss: where nobody was named, the rule decides.
    let open = claims(&token(&through(&first(&json!({})), "/svc/else")));
    assert!(!open.contains_key("may_act"));
}

#[test]
fn hostile_30_a_workload_shows_who_it_is_as_a_client_to_this_issuer_alone() {
    let service = Service::new(&[]);
    let cloud = &service.cloud;
    cloud.rule("shops", &json!({
        "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": "/svc/shop"}},
        "gives": {
            "spiffe_id": "spiffe://one.test/shop", "kinds": ["access-token"], "audiences": [CLOUD],
        },
        "owner": "o", "reason": "r",
    }));
    let ask = |kind: &str, assertion: &str, more: &[(&str, &str)]| {
        let own = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", kind),
            ("client_assertion", assertion),
        ];
        let proof = cloud.signed_proof();
        cloud.send(&form(&[&own, more].concat()), &[("dpop", &proof)])
    };
    let svid = |audience: &Value, seconds: i64| service.actor_for("/svc/shop", audience, seconds);
    let good = || svid(&json!([OURSELVES]), 300);
    let own = [("client_id", "spiffe://partner.test/svc/shop")];
    let access = claims(&token(&ask(BY_SVID, &good(), &own)));
    assert_eq!(access["client_id"], "spiffe://partner.test/svc/shop");
    token(&ask(BY_SVID, &svid(&json!(OURSELVES), 290), &[]));
    let denied = (
        "invalid_client".into(),
        "issue.client_not_authenticated".into(),
    );
    let endpoint = json!([format!("{OURSELVES}/token")]);
    let both = json!([OURSELVES, "https://other.test"]);
    let forged = svid(&json!([OURSELVES]), 280);
    let forged = format!("{}AAAA", &forged[..forged.len() - 4]);
    for (what, assertion) in [
        ("the token endpoint", svid(&endpoint, 270)),
        ("others, too", svid(&both, 260)),
        ("expired", svid(&json!([OURSELVES]), -1)),
        ("forged", forged),
        ("no token", "x".to_owned()),
    ] {
        let refused = ask(BY_SVID, &assertion, &[]);
        assert_eq!(refusal(&refused), denied, "{what}");
        assert_eq!(refused.status, 401);
    }
    let other = [("client_id", "spiffe://partner.test/svc/else")];
    assert_eq!(
        refusal(&ask(BY_SVID, &svid(&json!(OURSELVES), 250), &other)),
        denied
    );
    // It is no assertion of a client with keys of its own, and the other way round.
    assert_eq!(
        refusal(&ask(BY_KEY, &svid(&json!(OURSELVES), 240), &[])),
        denied
    );
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    let refused = ask(saml, &svid(&json!(OURSELVES), 230), &[]);
    assert_eq!(refusal(&refused).1, "issue.token_type_unsupported");
    // Another workload of the same trust domain is someone else.
    let else_ = service.actor_for("/svc/else", &json!(OURSELVES), 220);
    assert_eq!(
        refusal(&ask(BY_SVID, &else_, &[])).1,
        "issue.exchange_not_admitted"
    );
}

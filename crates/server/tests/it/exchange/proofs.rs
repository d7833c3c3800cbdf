//! Proofs of possession: what they must be, and what is bound by them.

use serde_json::{Value, json};

use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{TokenForge, jwk, jwks};

use super::{
    ACCESS_TOKEN, Cloud, ID_TOKEN, JWT, OURSELVES, claims, exchange_form, form, public, refusal,
    rule, thumbprint, token,
};

impl Cloud {
    fn with_proof(&self, proof: &str) -> crate::http::Answer {
        let subject = self.workflow(&json!({}));
        self.send(&exchange_form(&subject, &[]), &[("dpop", proof)])
    }

    fn proof_saying(&self, changed: &[(&str, Value)]) -> String {
        let mut forge = self.proof();
        for (name, value) in changed {
            forge = if value.is_null() {
                forge.without(name)
            } else {
                forge.claim(name, value.clone())
            };
        }
        forge.sign_nameless(&self.holder)
    }
}

#[test]
fn nothing_is_given_to_bearers_unless_a_rule_says_so_for_a_time() {
    let cloud = Cloud::new();
    let bare = || cloud.send(&exchange_form(&cloud.workflow(&json!({})), &[]), &[]);
    let refused = bare();
    assert_eq!(
        refusal(&refused),
        ("invalid_request".into(), "issue.proof_required".into())
    );
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("DPoP")
    );
    // How the rule is called is its tenant's affair; what is missing is whoever asks's.
    let told = refused.json();
    assert!(!refused.body.contains("deploy"), "{told}");
    assert!(told["hint"].to_string().contains("DPoP proof"), "{told}");
    let mut bearer = rule();
    bearer["bearer"] = json!({"reason": "an old client", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    assert!(!claims(&token(&bare())).contains_key("cnf"));
    bearer["bearer"]["expires"] = json!("2020-01-01T00:00:00Z");
    cloud.rule("deploy", &bearer);
    assert_eq!(refusal(&bare()).1, "issue.proof_required");
}

/// Proofs whose claims are wrong.
fn proofs_of_something_else(cloud: &Cloud) -> Vec<(&'static str, String)> {
    let now = cloud.now();
    vec![
        ("htm", cloud.proof_saying(&[("htm", json!("GET"))])),
        (
            "htm in another case",
            cloud.proof_saying(&[("htm", json!("post"))]),
        ),
        ("no htm", cloud.proof_saying(&[("htm", Value::Null)])),
        (
            "htu of another tenant",
            cloud.proof_saying(&[("htu", json!("http://127.0.0.1:8080/t/two/token"))]),
        ),
        (
            "htu of another host",
            cloud.proof_saying(&[("htu", json!("http://evil.test/t/one/token"))]),
        ),
        ("no htu", cloud.proof_saying(&[("htu", Value::Null)])),
        ("too old", cloud.proof_saying(&[("iat", json!(now - 120))])),
        ("too new", cloud.proof_saying(&[("iat", json!(now + 120))])),
        (
            "iat as a text",
            cloud.proof_saying(&[("iat", json!(now.to_string()))]),
        ),
        ("no iat", cloud.proof_saying(&[("iat", Value::Null)])),
        ("no jti", cloud.proof_saying(&[("jti", Value::Null)])),
        (
            "a long jti",
            cloud.proof_saying(&[("jti", json!("x".repeat(300)))]),
        ),
    ]
}

/// Proofs that are signed wrongly, or not at all.
fn proofs_of_nothing(cloud: &Cloud) -> Vec<(&'static str, String)> {
    let now = cloud.now();
    vec![
        (
            "an end that is past",
            cloud.proof_saying(&[("exp", json!(now))]),
        ),
        (
            "a beginning to come",
            cloud.proof_saying(&[("nbf", json!(now + 120))]),
        ),
        (
            "an end that is none",
            cloud.proof_saying(&[("exp", json!("x"))]),
        ),
        (
            "another type",
            cloud
                .proof()
                .header("typ", json!("JWT"))
                .sign_nameless(&cloud.holder),
        ),
        (
            "no type",
            cloud.proof().untyped().sign_nameless(&cloud.holder),
        ),
        (
            "another key",
            cloud.proof().sign_nameless(&Key::p256("thief")),
        ),
        ("no signature", cloud.proof().with_signature("none", b"")),
        (
            "a shared secret",
            cloud.proof().with_signature("HS256", b"0123456789"),
        ),
        (
            "no key",
            TokenForge::saying(json!({
                "jti": "a", "htm": "POST", "htu": format!("{OURSELVES}/token"), "iat": now,
            }))
            .header("typ", json!("dpop+jwt"))
            .sign_nameless(&cloud.holder),
        ),
        (
            "a key elsewhere",
            cloud
                .proof()
                .header("jku", json!("https://evil.test"))
                .sign_nameless(&cloud.holder),
        ),
        (
            "two",
            format!("{}, {}", cloud.signed_proof(), cloud.signed_proof()),
        ),
        ("nonsense", "x".to_owned()),
    ]
}

#[test]
fn hostile_54_a_proof_is_for_this_request_of_this_moment() {
    let cloud = Cloud::new();
    let all = [proofs_of_something_else(&cloud), proofs_of_nothing(&cloud)].concat();
    for (what, proof) in all {
        let refused = cloud.with_proof(&proof);
        assert_eq!(
            refusal(&refused),
            ("invalid_dpop_proof".into(), "issue.proof_invalid".into()),
            "{what}: {}",
            refused.body
        );
    }
    let mut secret = public(&cloud.holder);
    secret["d"] = json!("AAAA");
    let leaking = cloud
        .proof()
        .header("jwk", secret)
        .sign_nameless(&cloud.holder);
    let refused = cloud.with_proof(&leaking);
    assert!(refused.body.contains("private key"), "{}", refused.body);
}

#[test]
fn hostile_54_a_proof_is_good_once_and_near_misses_are_good() {
    let cloud = Cloud::new();
    let typed = |name: &str| {
        let proof = cloud.proof().header("typ", json!(name));
        proof.sign_nameless(&cloud.holder)
    };
    // Near misses: a little early or late, and an address that is spelt otherwise.
    for near in [
        cloud.proof_saying(&[("iat", json!(cloud.now() - 30))]),
        cloud.proof_saying(&[("iat", json!(cloud.now() + 30))]),
        cloud.proof_saying(&[("htu", json!("HTTP://127.0.0.1:8080/t/one/token?x=1"))]),
        cloud.proof_saying(&[
            ("exp", json!(cloud.now() + 1)),
            ("nbf", json!(cloud.now() + 30)),
        ]),
        typed("DPoP+JWT"),
        typed("application/dpop+jwt"),
    ] {
        token(&cloud.with_proof(&near));
    }
    let once = cloud.signed_proof();
    token(&cloud.with_proof(&once));
    assert_eq!(refusal(&cloud.with_proof(&once)).1, "issue.token_used");
    let two = [
        ("dpop", cloud.signed_proof()),
        ("dpop", cloud.signed_proof()),
    ];
    let two: Vec<(&str, &str)> = two
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = cloud.send(&exchange_form(&cloud.workflow(&json!({})), &[]), &two);
    assert_eq!(refusal(&answer).0, "invalid_dpop_proof");
}

#[test]
fn proofs_of_every_kind_of_key_are_taken() {
    let cloud = Cloud::new();
    for key in [Key::p384("p"), Key::ed25519("e"), Key::rsa(RsaTestKey::A)] {
        let proof = cloud
            .proof()
            .header("jwk", public(&key))
            .sign_nameless(&key);
        token(&cloud.with_proof(&proof));
    }
}

/// A rule under which what was had may be exchanged once more.
pub(super) fn again() -> Value {
    json!({
        "from": {"trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/ci/*/deploy"}}},
        "gives": {
            "spiffe_id": "spiffe://one.test/db/writer", "kinds": ["jwt-svid"],
            "audiences": ["https://db.test"], "lifetime": 900, "outlives": true,
        },
        "owner": "o", "reason": "r",
    })
}

pub(super) fn for_ourselves() -> Value {
    let mut rule = rule();
    rule["gives"]["audiences"] = json!([OURSELVES]);
    rule
}

#[test]
fn hostile_54_a_bound_token_is_nothing_without_its_key() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    cloud.rule("again", &again());
    let bound = || token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    // As a bearer, and with the key of another.
    let refused = cloud.send(&exchange_form(&bound(), &[]), &[]);
    assert_eq!(refusal(&refused).1, "federation.proof_missing");
    let thief = Key::p256("thief");
    let proof = cloud
        .proof()
        .header("jwk", public(&thief))
        .sign_nameless(&thief);
    let refused = cloud.send(&exchange_form(&bound(), &[]), &[("dpop", &proof)]);
    assert_eq!(refusal(&refused).1, "federation.proof_missing");
    // With its own: bound to the same key, with the whole lineage, and for no longer.
    let first = bound();
    let second = claims(&token(&cloud.exchange(&first, &[])));
    assert_eq!(second["sub"], "spiffe://one.test/db/writer");
    assert_eq!(second["cnf"]["jkt"], thumbprint(&cloud.holder));
    let anchors: Vec<&str> = second["lineage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["anchor"].as_str().unwrap())
        .collect();
    assert_eq!(anchors, ["github", "one.test"]);
    assert!(second["exp"].as_i64() <= claims(&first)["exp"].as_i64());
}

#[test]
fn hostile_61_what_descends_from_an_anchor_dies_with_it() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    cloud.rule("again", &again());
    let first = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let removed = cloud.manage("DELETE", "/v1/tenants/one/anchors/github", &json!({}));
    assert_eq!(removed.status, 204, "{}", removed.body);
    let refused = cloud.exchange_as_operator(&first, &[]);
    assert_eq!(refusal(&refused).1, "issue.lineage_broken");
    assert!(refused.body.contains("github"));
}

#[test]
fn hostile_61_an_anchor_of_the_same_name_is_not_the_one_that_vouched() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    cloud.rule("again", &again());
    let first = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let second = token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    // The issuer is put into quarantine, and with it every anchor that trusts it.
    let mut uploaded = cloud.github_anchor();
    uploaded["audiences"] = json!([OURSELVES]);
    let put = cloud.manage("PUT", "/v1/tenants/one/issuers/gh", &uploaded);
    assert!(put.status < 300, "{}", put.body);
    let cause = json!({"reason": "its key may be stolen"});
    let path = "/v1/tenants/one/issuers/gh/quarantine";
    let stopped = cloud.manage("POST", path, &cause);
    assert!(stopped.status < 300, "{}", stopped.body);
    let refused = cloud.exchange_as_operator(&first, &[]);
    assert_eq!(refusal(&refused).1, "federation.issuer_quarantined");
    // It stays there without its issuer, until somebody lets it go.
    let remove = || {
        let removed = cloud.manage("DELETE", "/v1/tenants/one/issuers/gh", &json!({}));
        assert!(removed.status < 300, "{}", removed.body);
    };
    remove();
    let refused = cloud.exchange_as_operator(&first, &[]);
    assert_eq!(refusal(&refused).1, "federation.issuer_quarantined");
    let put = cloud.manage("PUT", "/v1/tenants/one/issuers/gh", &uploaded);
    assert!(put.is_put(), "{}", put.body);
    let shown = cloud.manage("GET", "/v1/tenants/one/issuers/gh", &json!({}));
    let seen = json!({"etag": shown.json()["etag"]});
    let released = cloud.manage("POST", "/v1/tenants/one/issuers/gh/release", &seen);
    assert!(released.status < 300, "{}", released.body);
    remove();
    token(&cloud.exchange(&first, &[]));
    // Another issuer under its name has vouched for nothing.
    let keys = jwks(&[jwk(&cloud.issuer, "k1")]);
    cloud.anchor(
        "github",
        &json!({"issuer": "https://login.test", "jwks": keys}),
    );
    let refused = cloud.exchange_as_operator(&second, &[]);
    assert_eq!(refusal(&refused).1, "issue.lineage_broken");
    assert!(refused.body.contains("github"));
}

#[test]
fn hostile_51_and_6_a_token_is_what_its_type_says_or_nothing() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &for_ourselves());
    cloud.rule("again", &again());
    let asked = [("requested_token_type", ACCESS_TOKEN)];
    let access = || token(&cloud.exchange(&cloud.workflow(&json!({})), &asked));
    // An access token is no identity token, and the other way round.
    let refused = cloud.exchange(&access(), &[]);
    assert_eq!(refusal(&refused).1, "federation.type_unexpected");
    let as_access = [("subject_token_type", ACCESS_TOKEN)];
    let refused = cloud.exchange(&cloud.workflow(&json!({})), &as_access);
    assert_eq!(refusal(&refused).1, "federation.type_unexpected");
    token(&cloud.exchange(&access(), &as_access));
    for (typ, code) in [
        ("secevent+jwt", "federation.type_unexpected"),
        ("logout+jwt", "federation.type_unexpected"),
        ("dpop+jwt", "federation.type_unexpected"),
        ("wit+jwt", "federation.proof_missing"),
        ("oauth-id-jag+jwt", "federation.type_unexpected"),
    ] {
        let lying = cloud
            .workflow_forge(&json!({}))
            .header("typ", json!(typ))
            .sign(&cloud.issuer, "k1");
        let told = refusal(&cloud.exchange(&lying, &[]));
        assert_eq!(told, ("invalid_request".into(), code.into()), "{typ}");
    }
    let as_svid = [(
        "subject_token_type",
        "urn:avouch:params:token-type:jwt-svid",
    )];
    let refused = cloud.exchange(&cloud.workflow(&json!({})), &as_svid);
    assert_eq!(refusal(&refused).1, "issue.token_type_false");
}

/// Logout tokens, and events of issuers that give them no type of their own, are signed with the key
/// and have the subject and the audience of ID tokens.
#[test]
fn hostile_51_and_59_what_tells_of_an_event_is_nobodys_credential() {
    let cloud = Cloud::new();
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let telling = || cloud.workflow(&json!({ "events": logout }));
    let refused = |told: (String, String)| {
        assert_eq!(told.1, "federation.type_unexpected");
        told.0
    };
    for of_type in [JWT, ID_TOKEN] {
        let answer = cloud.exchange(&telling(), &[("subject_token_type", of_type)]);
        assert_eq!(refused(refusal(&answer)), "invalid_request");
    }
    let bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let proof = cloud.signed_proof();
    let as_grant = form(&[("grant_type", bearer), ("assertion", &telling())]);
    let answer = cloud.send(&as_grant, &[("dpop", &proof)]);
    assert_eq!(refused(refusal(&answer)), "invalid_grant");
    let question = json!({
        "profile": "spiffe", "audience": [OURSELVES], "credential": {"jwt": telling()},
    });
    let verdict = cloud.manage("POST", "/t/one/decide", &question).json();
    assert_eq!(verdict["reason"]["code"], "federation.type_unexpected");
    token(&cloud.exchange(
        &cloud.workflow(&json!({})),
        &[("subject_token_type", ID_TOKEN)],
    ));
}

/// Where both have the type `JWT` or none, what an access token says gives it away.
#[test]
fn hostile_51_an_access_token_without_a_type_is_no_id_token() {
    let cloud = Cloud::new();
    let as_id = [("subject_token_type", ID_TOKEN)];
    for said in [
        json!({"scope": "read"}),
        json!({"scp": ["read"]}),
        json!({"client_id": "c"}),
        json!({"typ": "Bearer"}),
        json!({"token_use": "access"}),
    ] {
        let answer = cloud.exchange(&cloud.workflow(&said), &as_id);
        assert_eq!(refusal(&answer).1, "issue.token_type_false", "{said}");
        // By the name that fits every JWT it is taken for what it says.
        token(&cloud.exchange(&cloud.workflow(&said), &[]));
    }
    for said in [
        json!({"typ": "ID"}),
        json!({"token_use": "id"}),
        json!({"azp": "c"}),
    ] {
        token(&cloud.exchange(&cloud.workflow(&said), &as_id));
    }
}

#[test]
fn hostile_55_a_workload_identity_token_needs_its_proof() {
    let cloud = Cloud::new();
    let (jwt, wit, holder) = (Key::p256("jwt"), Key::p256("wit"), Key::p256("wit-holder"));
    let partner = "spiffe://partner.test/api";
    cloud.anchor(
        "partner",
        &json!({
            "trust_domain": "partner.test", "bundle": avouch_testkit::token::bundle(&jwt, &wit),
        }),
    );
    cloud.rule("partner", &json!({
        "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": "/api"}},
        "gives": {"spiffe_id": "spiffe://one.test/partner/api", "audiences": ["https://cloud.test"]},
        "owner": "o", "reason": "r",
    }));
    let now = cloud.now();
    let kid = avouch_testkit::token::bundle(&jwt, &wit)["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["use"] == "wit-svid")
        .unwrap()["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    let svid = TokenForge::wit_svid(partner, &holder)
        .claim("iat", json!(now))
        .claim("exp", json!(now + 300))
        .sign(&wit, &kid);
    let proof = |audience: &str, jti: &str, of: &str| {
        TokenForge::proof(of, audience)
            .claim("exp", json!(now + 60))
            .claim("jti", json!(jti))
            .sign_nameless(&holder)
    };
    let wit_type = (
        "subject_token_type",
        "urn:avouch:params:token-type:wit-svid",
    );
    let with = |proof: &str| cloud.exchange(&svid, &[wit_type, ("subject_token_proof", proof)]);
    assert_eq!(
        refusal(&cloud.exchange(&svid, &[wit_type])).1,
        "federation.proof_missing"
    );
    assert_eq!(
        refusal(&cloud.exchange(&svid, &[])).1,
        "federation.proof_missing"
    );
    let elsewhere = proof("https://other.test", "1", &svid);
    assert_eq!(refusal(&with(&elsewhere)).1, "federation.audience_mismatch");
    let of_another = proof(OURSELVES, "2", "another");
    assert_eq!(refusal(&with(&of_another)).1, "federation.proof_invalid");
    let good = proof(OURSELVES, "3", &svid);
    token(&with(&good));
    assert_eq!(refusal(&with(&good)).1, "issue.token_used");
    // What was shown to somebody else is nothing here, also where a rule takes what others were shown.
    let theirs = "https://theirs.test";
    cloud.rule("theirs", &json!({
        "from": {"trust_domain": "partner.test", "facts": {"spiffe.path": "/other"}},
        "gives": {"spiffe_id": "spiffe://one.test/partner/other", "audiences": ["https://cloud.test"]},
        "subject_audiences": [theirs], "owner": "o", "reason": "r",
    }));
    let shown_to_them = proof(theirs, "4", &svid);
    assert_eq!(
        refusal(&with(&shown_to_them)).1,
        "issue.exchange_not_admitted"
    );
}

#[test]
fn hostile_54_a_proof_answers_a_nonce_where_a_rule_asks_for_one() {
    let cloud = Cloud::new();
    let mut asking = rule();
    asking["dpop_nonce"] = json!(true);
    cloud.rule("deploy", &asking);
    let subject = cloud.workflow(&json!({}));
    let with = |nonce: Value| {
        let proof = cloud.proof_saying(&[("nonce", nonce)]);
        cloud.send(&exchange_form(&subject, &[]), &[("dpop", &proof)])
    };
    let challenge = |answer: &crate::http::Answer| {
        let expected = ("use_dpop_nonce".into(), "issue.nonce_required".into());
        assert_eq!(refusal(answer), expected, "{answer:?}");
        answer.header("dpop-nonce").unwrap().to_owned()
    };
    let nonce = challenge(&with(Value::Null));
    for wrong in [
        json!("made-up"),
        json!(format!("{nonce}A")),
        json!(nonce.to_lowercase()),
    ] {
        assert_eq!(challenge(&with(wrong)), nonce);
    }
    for malformed in [json!(7), json!("")] {
        assert_eq!(refusal(&with(malformed)).0, "invalid_dpop_proof");
    }
    // That of another tenant is none here.
    let mut of_two = rule();
    of_two["gives"]["spiffe_id"] = json!("spiffe://two.test/ci");
    of_two["dpop_nonce"] = json!(true);
    let put = cloud.manage(
        "PUT",
        "/v1/tenants/two/anchors/github",
        &cloud.github_anchor(),
    );
    assert!(put.is_put(), "{}", put.body);
    cloud.rule_of("two", "deploy", &of_two);
    let there = "http://127.0.0.1:8080/t/two";
    let proof = cloud.proof_saying(&[("htu", json!(format!("{there}/token")))]);
    let subject_of_two = cloud.workflow(&json!({"aud": there}));
    let form = exchange_form(&subject_of_two, &[]);
    let other = challenge(&cloud.send_to("two", &form, &[("dpop", &proof)]));
    assert_ne!(other, nonce);
    challenge(&with(json!(other)));
    // Nothing of all that has used the token, and the right one is answered with the next.
    let answer = with(json!(nonce));
    token(&answer);
    assert!(answer.header("dpop-nonce").is_some(), "{answer:?}");
    // Where no rule asks, none is offered, and one that is there must be right all the same.
    cloud.rule("deploy", &rule());
    let plain = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    token(&plain);
    assert_eq!(plain.header("dpop-nonce"), None);
    let stale = cloud.proof_saying(&[("nonce", json!("stale"))]);
    challenge(&cloud.with_proof(&stale));
    // Whoever shows a certificate of the connection, or sends a signing request, proves it anew anyway.
    let mut bearer = asking.clone();
    bearer["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &bearer);
    token(&cloud.send(&exchange_form(&cloud.workflow(&json!({})), &[]), &[]));
}

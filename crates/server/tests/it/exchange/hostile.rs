//! Hostile tokens at the token endpoint, by their numbers: each is refused over HTTP for what is wrong
//! with it, and its nearest honest neighbour is exchanged.

use std::net::TcpListener;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use avouch_testkit::key::{Key, RsaTestKey, Scheme};
use avouch_testkit::token::{TokenForge, encode, jwk, jwks};

use super::{
    CLOUD, Cloud, GITHUB, OURSELVES, exchange_form, for_everyone, refusal, rule, sentence, token,
};

impl Cloud {
    /// The code with which a token is refused.
    fn refuses(&self, token: &str) -> String {
        refusal(&self.exchange(token, &[])).1
    }

    /// A good token, changed and signed by its issuer.
    fn signed(&self, change: impl FnOnce(TokenForge) -> TokenForge) -> String {
        change(self.workflow_forge(&json!({}))).sign(&self.issuer, "k1")
    }

    /// A good token whose header says this, with this signature.
    fn with_header(&self, header: &Value, signature: &[u8]) -> String {
        let forge = self.workflow_forge(&json!({}));
        forge
            .raw_header(&header.to_string())
            .with_signature("", signature)
    }

    /// Trusts an issuer for its subject `job`, who gets an identity of this name.
    fn trusting(&self, name: &str, anchor: &Value) {
        self.anchor(name, anchor);
        self.rule(
            name,
            &json!({
                "from": {"anchor": name, "facts": {"subject": "job"}},
                "gives": {"spiffe_id": format!("spiffe://one.test/{name}"), "audiences": [CLOUD]},
                "owner": "o", "reason": "r",
            }),
        );
    }

    /// A token of another issuer for its subject `job`.
    fn job(&self, issuer: &str) -> TokenForge {
        let now = self.now();
        TokenForge::saying(json!({
            "iss": issuer, "sub": "job", "aud": OURSELVES, "iat": now, "exp": now + 300,
            "jti": format!("job-{}", self.number()),
        }))
    }

    /// That what is wrong with it, and nothing else, was in the way.
    fn takes(&self, token_text: &str) {
        token(&self.exchange(token_text, &[]));
    }
}

#[test]
fn hostile_01_and_02_what_is_not_signed_or_signed_with_a_shared_secret_is_not_exchanged() {
    let cloud = Cloud::new();
    for algorithm in ["none", "None", "nOnE", "HS256", "HS512"] {
        let header = json!({"alg": algorithm, "kid": "k1"});
        for signature in [&b""[..], &[7; 32]] {
            let code = cloud.refuses(&cloud.with_header(&header, signature));
            assert_eq!(code, "federation.algorithm_forbidden", "{algorithm}");
        }
    }
    let unsigned = cloud.with_header(&json!({"alg": "ES256", "kid": "k1"}), b"");
    assert_eq!(cloud.refuses(&unsigned), "federation.signature_invalid");
    let nameless = cloud.with_header(&json!({"kid": "k1"}), b"x");
    assert_eq!(cloud.refuses(&nameless), "input.header_malformed");
    cloud.takes(&cloud.signed(|forge| forge));
}

#[test]
fn hostile_03_and_04_a_key_is_used_for_what_it_is_for_or_not_at_all() {
    let cloud = Cloud::new();
    let rsa = Key::rsa(RsaTestKey::A);
    let mut open_key = jwk(&rsa, "r1");
    open_key.as_object_mut().unwrap().remove("alg");
    let narrow = json!({
        "issuer": "https://narrow.test", "jwks": jwks(&[open_key]), "algorithms": ["RS256"],
    });
    cloud.trusting("narrow", &narrow);
    let job = |algorithm: &str| {
        let forge = cloud.job("https://narrow.test").header("kid", json!("r1"));
        forge.sign_as(&rsa, algorithm)
    };
    assert_eq!(
        cloud.refuses(&job("PS256")),
        "federation.algorithm_not_allowed"
    );
    cloud.takes(&job("RS256"));
    let mut sealing = jwk(&Key::p256("enc"), "e1");
    sealing["use"] = json!("enc");
    // A set that has no key to check with is not saved at all.
    let beside = jwk(&Key::p256("beside"), "s1");
    let other = json!({"issuer": "https://enc.test", "jwks": jwks(&[sealing, beside])});
    cloud.trusting("sealing", &other);
    let sealed = cloud.job("https://enc.test").sign(&Key::p256("enc"), "e1");
    assert_eq!(cloud.refuses(&sealed), "federation.key_not_for_signing");
    for (algorithm, length) in [("ES384", 96), ("RS256", 256), ("EdDSA", 64)] {
        let header = json!({"alg": algorithm, "kid": "k1"});
        let code = cloud.refuses(&cloud.with_header(&header, &vec![1; length]));
        assert_eq!(code, "federation.key_algorithm_mismatch", "{algorithm}");
    }
    // r = s = 0, and a right signature that is written as certificates have it.
    let zeros = cloud.with_header(&json!({"alg": "ES256", "kid": "k1"}), &[0; 64]);
    assert_eq!(cloud.refuses(&zeros), "federation.signature_invalid");
    let good = cloud.signed(|forge| forge);
    let (message, _) = good.rsplit_once('.').unwrap();
    let der = cloud.issuer.sign(Scheme::EcdsaSha256, message.as_bytes());
    let other = format!("{message}.{}", encode(&der));
    assert_eq!(cloud.refuses(&other), "federation.signature_invalid");
    // What was refused is not used: the same content, signed as it should be.
    cloud.takes(&good);
}

#[test]
fn hostile_04_an_issuer_whose_keys_can_be_broken_is_not_taken() {
    let cloud = Cloud::new();
    let put = |n: &[u8], e: &str| {
        let key = json!({"kty": "RSA", "kid": "w", "n": encode(n), "e": e});
        let saved = |keys: &[Value]| {
            let anchor = json!({"issuer": "https://weak.test", "jwks": jwks(keys)});
            let path = "/v1/tenants/one/anchors/weak";
            cloud.manage("PUT", path, &for_everyone(&anchor))
        };
        assert_eq!(
            saved(std::slice::from_ref(&key)).code(),
            "input.jwks_malformed"
        );
        saved(&[key, jwk(&Key::p256("beside"), "s1")])
    };
    // A modulus of 1,024 bits, an exponent of one: the set is there, and the key counts for nothing.
    for (modulus, exponent) in [(vec![0xa5; 128], "AQAB"), (vec![0xa5; 256], "AQ")] {
        let answer = put(&modulus, exponent);
        assert!(answer.status < 300, "{}", answer.body);
        let forge = cloud.job("https://weak.test").header("kid", json!("w"));
        let broken = forge.with_signature("RS256", &[1; 128]);
        assert_eq!(cloud.refuses(&broken), "federation.key_weak");
    }
    let off_the_curve = json!({
        "kty": "EC", "crv": "P-256", "kid": "o", "x": encode(&[1; 32]), "y": encode(&[1; 32]),
    });
    let keys = jwks(&[off_the_curve, jwk(&Key::p256("beside"), "s1")]);
    let anchor = json!({"issuer": "https://off.test", "jwks": keys});
    cloud.anchor("off", &anchor);
    let forge = cloud.job("https://off.test").header("kid", json!("o"));
    let broken = forge.with_signature("ES256", &[1; 64]);
    assert_eq!(cloud.refuses(&broken), "input.jwk_malformed");
    let key = Key::p256("strong");
    let strong = json!({"issuer": "https://weak.test", "jwks": jwks(&[jwk(&key, "s")])});
    cloud.trusting("weak", &strong);
    cloud.takes(&cloud.job("https://weak.test").sign(&key, "s"));
}

#[test]
fn hostile_05_06_and_07_a_header_is_understood_and_read_in_one_way() {
    let cloud = Cloud::new();
    for critical in [json!(["http://a.test/x"]), json!(["b64"])] {
        let header = json!({"alg": "ES256", "kid": "k1", "crit": critical, "b64": false});
        let code = cloud.refuses(&cloud.with_header(&header, &[1; 64]));
        assert_eq!(code, "federation.critical_header_unsupported");
    }
    for critical in [json!([]), json!(["a", "a"]), json!("b64")] {
        let header = json!({"alg": "ES256", "kid": "k1", "crit": critical});
        let code = cloud.refuses(&cloud.with_header(&header, &[1; 64]));
        assert_eq!(code, "input.header_malformed");
    }
    for typ in [
        "at+jwt",
        "secevent+jwt",
        "logout+jwt",
        "dpop+jwt",
        "oauth-id-jag+jwt",
    ] {
        let other = cloud.signed(|forge| forge.header("typ", json!(typ)));
        assert_eq!(cloud.refuses(&other), "federation.type_unexpected", "{typ}");
    }
    let claims = cloud.workflow_forge(&json!({})).claims_text();
    let open = claims.trim_end_matches('}');
    for twice in [
        format!("{open},\"sub\":\"repo:octo-org@65/octo-repo@74:environment:prod\"}}"),
        format!("{open},\"repository_id\":\"99\"}}"),
        format!("{open},\"new\":1,\"n\\u0065w\":2}}"),
    ] {
        let twice = cloud.signed(|forge| forge.raw_claims(&twice));
        assert_eq!(cloud.refuses(&twice), "input.json_duplicate_member");
    }
    // What need not be understood is passed over, and another name is another member.
    let near = cloud.signed(|forge| {
        forge
            .header("x5t", json!("eHh4"))
            .claim("Repository_id", json!("99"))
    });
    cloud.takes(&near);
}

#[test]
fn hostile_08_and_09_a_claim_is_of_its_type_and_there() {
    let cloud = Cloud::new();
    let now = cloud.now();
    for (claim, value) in [
        ("exp", json!((now + 300).to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(true)),
        ("nbf", json!(now.to_string())),
        ("aud", json!(7)),
        ("aud", json!([])),
        ("aud", json!({"a": OURSELVES})),
        ("iss", json!([GITHUB, "https://evil.test"])),
        ("sub", json!(7)),
        ("jti", json!(7)),
    ] {
        let mistyped = cloud.signed(|forge| forge.claim(claim, value.clone()));
        let code = cloud.refuses(&mistyped);
        assert_eq!(code, "federation.claim_mistyped", "{claim} {value}");
    }
    for claim in ["aud", "iss", "exp", "sub", "iat"] {
        let missing = cloud.signed(|forge| forge.without(claim));
        assert_eq!(
            cloud.refuses(&missing),
            "federation.claim_missing",
            "{claim}"
        );
    }
    cloud.takes(&cloud.signed(|forge| forge.without("nbf").without("jti")));
    cloud.takes(&cloud.signed(|forge| forge.claim("aud", json!([OURSELVES]))));
}

#[test]
fn hostile_10_a_second_spelling_of_a_token_is_not_a_second_token() {
    let cloud = Cloud::new();
    let good = cloud.signed(|forge| forge);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1);
    let loose = signature.strip_suffix(last).unwrap();
    for respelt in [
        format!("{good}="),
        format!("{message}.{loose}{}", next.unwrap()),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{message} .{signature}"),
    ] {
        let code = cloud.refuses(&respelt);
        assert_eq!(code, "input.base64url_not_canonical", "{respelt:?}");
    }
    cloud.takes(&good);
    assert_eq!(cloud.refuses(&good), "issue.token_used");
}

/// The order of P-256 (FIPS 186-4 D.1.2.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature of ECDSA for the same content: (r, n - s) holds where (r, s) does.
fn with_the_other_signature(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let mut borrow = 0;
    for place in (0..32).rev() {
        let difference = i16::from(ORDER[place]) - i16::from(signature[32 + place]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{message}.{}", encode(&signature))
}

/// What was signed is what is used, with a number and without.
#[test]
fn hostile_10_and_49_the_other_signature_of_a_token_is_not_another_token() {
    let cloud = Cloud::new();
    for claims in [json!({}), json!({"jti": null})] {
        let first = cloud.workflow(&claims);
        let other = with_the_other_signature(&first);
        assert_ne!(first, other);
        cloud.takes(&first);
        assert_eq!(cloud.refuses(&other), "issue.token_used", "{claims}");
        // It is a signature like any other: shown first, it is the one that counts.
        let mut again = claims.clone();
        again["run_id"] = json!("2");
        let second = cloud.workflow(&again);
        cloud.takes(&with_the_other_signature(&second));
        assert_eq!(cloud.refuses(&second), "issue.token_used", "{claims}");
    }
}

#[test]
fn hostile_11_and_12_what_is_no_token_costs_nothing() {
    let cloud = Cloud::new();
    let good = cloud.signed(|forge| forge);
    let (without_signature, _) = good.rsplit_once('.').unwrap();
    for (text, code) in [
        (without_signature.to_owned(), "input.token_not_compact"),
        (format!("{good}.x"), "input.token_not_compact"),
        (format!("{good}.x.y"), "input.token_encrypted"),
        (".".repeat(10_000), "input.token_not_compact"),
        (".".repeat(60_000), "limit.input_size"),
        (
            r#"{"payload":"e30","signatures":[]}"#.to_owned(),
            "input.token_not_compact",
        ),
        (
            cloud.signed(|forge| forge.header("cty", json!("JWT"))),
            "federation.header_unexpected",
        ),
        (
            cloud.signed(|forge| forge.header("zip", json!("DEF"))),
            "federation.header_unexpected",
        ),
        (
            cloud.signed(|forge| forge.claim("filler", json!("x".repeat(20_000)))),
            "limit.input_size",
        ),
        (
            cloud.signed(|forge| {
                let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
                forge.claim("deep", deep)
            }),
            "limit.json_depth",
        ),
    ] {
        let told = cloud.refuses(&text);
        assert_eq!(told, code, "{}", text.get(..60).unwrap_or_default());
    }
    // Nobody sends a megabyte here.
    let huge = cloud.send(&exchange_form(&"a".repeat(1 << 20), &[]), &[]);
    assert_eq!(huge.status, 413);
    cloud.takes(&cloud.signed(|forge| forge.claim("filler", json!("x".repeat(4_000)))));
}

#[test]
fn hostile_13_text_that_deceives_a_reader_names_nobody() {
    let cloud = Cloud::new();
    for text in ["prod\u{0}", "prod\n", "\u{202e}dorp", "pr\u{200b}od"] {
        let deceiving = cloud.workflow(&json!({
            "environment": text, "sub": format!("repo:octo-org@65/octo-repo@74:environment:{text}"),
        }));
        let code = cloud.refuses(&deceiving);
        assert_eq!(code, "input.unsafe_text", "{text:?}");
    }
    // A letter that looks the same is another.
    let alike = cloud.workflow(&json!({
        "environment": "pr\u{43e}d", "sub": "repo:octo-org@65/octo-repo@74:environment:pr\u{43e}d",
    }));
    assert_eq!(cloud.refuses(&alike), "issue.exchange_not_admitted");
    cloud.takes(&cloud.workflow(&json!({"workflow": "d\u{e9}ploiement"})));
}

#[test]
fn hostile_14_a_token_that_brings_its_own_key_is_refused_and_nobody_is_asked() {
    let cloud = Cloud::new();
    let attacker = Key::p256("attacker");
    // Whoever would fetch the key would come here.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/keys", trap.local_addr().unwrap());
    for (member, value) in [
        ("jwk", jwk(&attacker, "k1")),
        ("jku", json!(elsewhere)),
        ("x5u", json!(elsewhere)),
        ("x5c", json!(["MIIB"])),
    ] {
        let forge = cloud.workflow_forge(&json!({})).header(member, value);
        for signed in [forge.sign(&attacker, "k1"), forge.sign(&cloud.issuer, "k1")] {
            let code = cloud.refuses(&signed);
            assert_eq!(code, "federation.key_from_token", "{member}");
        }
    }
    let visit = trap.accept().map_err(|error| error.kind());
    assert_eq!(
        visit.unwrap_err(),
        std::io::ErrorKind::WouldBlock,
        "the server asked where the token told it to"
    );
    cloud.takes(&cloud.signed(|forge| forge.header("x5t#S256", json!(encode(&[1; 32])))));
}

#[test]
fn hostile_15_a_key_is_found_by_its_exact_name_or_not_at_all() {
    let cloud = Cloud::new();
    let signed = |kid: &str| cloud.workflow_forge(&json!({})).sign(&cloud.issuer, kid);
    for kid in ["../../dev/null", "' OR 1=1 --", "K1", "k1 ", "\u{212a}1"] {
        assert_eq!(
            cloud.refuses(&signed(kid)),
            "federation.key_unknown",
            "{kid}"
        );
    }
    let long = signed(&"k".repeat(40_000));
    assert_eq!(cloud.refuses(&long), "limit.input_size");
    assert_eq!(cloud.refuses(&signed("")), "input.header_malformed");
    // Two keys of one name are no key set.
    let (one, two) = (jwk(&cloud.issuer, "k1"), jwk(&Key::p256("other"), "k1"));
    let anchor = json!({"issuer": "https://twice.test", "jwks": jwks(&[one, two])});
    let refused = cloud.manage("PUT", "/v1/tenants/one/anchors/twice", &anchor);
    assert_eq!(refused.code(), "federation.key_duplicate");
    // The same name at two issuers means two keys.
    let other = Key::p256("other");
    let same = json!({"issuer": "https://same.test", "jwks": jwks(&[jwk(&other, "k1")])});
    cloud.trusting("same", &same);
    let job = |key: &Key| cloud.job("https://same.test").sign(key, "k1");
    assert_eq!(
        cloud.refuses(&job(&cloud.issuer)),
        "federation.signature_invalid"
    );
    cloud.takes(&job(&other));
    cloud.takes(&signed("k1"));
}

#[test]
fn hostile_16_a_key_speaks_for_its_own_issuer_and_tenant_only() {
    let cloud = Cloud::new();
    let (consumer, enterprise) = (Key::p256("consumer"), Key::p256("enterprise"));
    for (name, key) in [("consumer", &consumer), ("enterprise", &enterprise)] {
        let issuer = format!("https://{name}.test");
        let anchor = json!({"issuer": issuer, "jwks": jwks(&[jwk(key, name)])});
        cloud.trusting(name, &anchor);
    }
    let job = |issuer: &str, key: &Key, kid: &str| cloud.job(issuer).sign(key, kid);
    let crossed = job("https://enterprise.test", &consumer, "consumer");
    assert_eq!(cloud.refuses(&crossed), "federation.key_unknown");
    let renamed = job("https://enterprise.test", &consumer, "enterprise");
    assert_eq!(cloud.refuses(&renamed), "federation.signature_invalid");
    cloud.takes(&job("https://enterprise.test", &enterprise, "enterprise"));
    // Another tenant has keys of its own for the same issuer; those of this one are nothing there.
    let theirs = Key::p256("theirs");
    let anchor = json!({
        "issuer": "https://enterprise.test", "jwks": jwks(&[jwk(&theirs, "enterprise")]),
    });
    let path = "/v1/tenants/two/anchors/enterprise";
    let put = cloud.manage("PUT", path, &for_everyone(&anchor));
    assert!(put.is_put(), "{}", put.body);
    let there = "http://127.0.0.1:8080/t/two";
    cloud.rule_of(
        "two",
        "enterprise",
        &json!({
            "from": {"anchor": "enterprise", "facts": {"subject": "job"}},
            "gives": {"spiffe_id": "spiffe://two.test/job", "audiences": [CLOUD]},
            "bearer": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
            "owner": "o", "reason": "r",
        }),
    );
    let at_two = |key: &Key| {
        let forge = cloud.job("https://enterprise.test");
        let token = forge.claim("aud", json!(there)).sign(key, "enterprise");
        cloud.send_to("two", &exchange_form(&token, &[]), &[])
    };
    assert_eq!(
        refusal(&at_two(&enterprise)).1,
        "federation.signature_invalid"
    );
    token(&at_two(&theirs));
}

#[test]
fn hostile_17_what_one_token_proved_proves_nothing_for_another() {
    let cloud = Cloud::new();
    let (one, two) = (Key::p256("one"), Key::p256("two"));
    for (name, key) in [("a", &one), ("b", &two)] {
        let issuer = format!("https://host.test/{name}");
        let anchor = json!({"issuer": issuer, "jwks": jwks(&[jwk(key, "k")])});
        cloud.trusting(name, &anchor);
    }
    let first = cloud.job("https://host.test/a").sign(&one, "k");
    cloud.takes(&first);
    // The same name of a key and algorithm on the same host, of another issuer.
    let other = cloud.job("https://host.test/b").sign(&one, "k");
    assert_eq!(cloud.refuses(&other), "federation.signature_invalid");
    // The claims of one token under the signature of another that held a moment ago.
    let admin = cloud
        .job("https://host.test/a")
        .claim("sub", json!("admin"));
    let admin = admin.sign(&one, "k");
    let (claims, _) = admin.rsplit_once('.').unwrap();
    let (_, signature) = first.rsplit_once('.').unwrap();
    let pasted = format!("{claims}.{signature}");
    assert_eq!(cloud.refuses(&pasted), "federation.signature_invalid");
    cloud.takes(&cloud.job("https://host.test/b").sign(&two, "k"));
}

#[test]
fn hostile_18_a_key_that_was_replaced_exchanges_nothing_any_more() {
    let cloud = Cloud::new();
    let before = cloud.workflow(&json!({}));
    let new = Key::p256("new");
    let keys = |key: &Key, kid: &str| {
        let mut anchor = cloud.github_anchor();
        anchor["jwks"] = jwks(&[jwk(key, kid)]);
        cloud.anchor("github", &anchor);
    };
    keys(&new, "k2");
    assert_eq!(cloud.refuses(&before), "federation.key_unknown");
    // Other material under the old name is not the old key.
    keys(&new, "k1");
    assert_eq!(cloud.refuses(&before), "federation.signature_invalid");
    cloud.takes(&cloud.workflow_forge(&json!({})).sign(&new, "k1"));
    keys(&cloud.issuer, "k1");
    cloud.takes(&before);
}

#[test]
fn hostile_28_a_token_for_another_service_is_exchanged_by_nobody_else() {
    let cloud = Cloud::new();
    // What a workflow says is its audience is the choice of whoever wrote it.
    for audience in [
        json!("https://github.com/octo-org"),
        json!("https://other.test"),
        json!(format!("{OURSELVES}/")),
        json!(format!("{OURSELVES}/token")),
        json!("http://127.0.0.1:8080/t/two"),
    ] {
        let other = cloud.workflow(&json!({"aud": audience.clone()}));
        let code = cloud.refuses(&other);
        assert_eq!(code, "federation.audience_mismatch", "{audience}");
    }
    // Whoever else it is for may have kept it.
    let both = cloud.workflow(&json!({"aud": [OURSELVES, "https://other.test"]}));
    assert_eq!(cloud.refuses(&both), "issue.exchange_not_admitted");
    // Where an issuer names its clients, a token that another client was given is not taken.
    let people = Key::p256("people");
    let anchor = json!({
        "issuer": "https://login.test", "jwks": jwks(&[jwk(&people, "p")]),
        "authorized_parties": ["ours"],
    });
    cloud.trusting("login", &anchor);
    let given_to = |client: &str| {
        let forge = cloud.job("https://login.test");
        forge.claim("azp", json!(client)).sign(&people, "p")
    };
    assert_eq!(
        cloud.refuses(&given_to("theirs")),
        "federation.authorized_party_mismatch"
    );
    cloud.takes(&given_to("ours"));
    cloud.takes(&cloud.workflow(&json!({"aud": [OURSELVES]})));
}

#[test]
fn hostile_64_a_stranger_learns_no_more_than_a_code() {
    let cloud = Cloud::new();
    let secrets = ["deploy", "74", "prod", "github.repository_id", "octo-org"];
    let differing = [
        cloud.workflow(&json!({
            "repository_id": "99", "repository": "octo-org/other",
            "sub": "repo:octo-org@65/other@99:environment:prod",
        })),
        cloud.workflow(&json!({
            "environment": "dev", "sub": "repo:octo-org@65/octo-repo@74:environment:dev",
        })),
        cloud.workflow(&json!({"event_name": "pull_request_target"})),
    ];
    let mut told = Vec::new();
    // All but the number of the decision.
    let told_to = |answer: &crate::http::Answer| {
        let mut body = answer.json();
        for varies in ["decision", "instance"] {
            body.as_object_mut().unwrap().remove(varies);
        }
        body.to_string()
    };
    for token in &differing {
        let body = told_to(&cloud.exchange(token, &[]));
        for secret in secrets {
            assert!(!body.contains(secret), "{secret}: {body}");
        }
        told.push(body);
    }
    // Whichever condition was not met, a stranger is told the same.
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");
    // Whether a rule of another name or for another fact is there changes nothing either.
    let mut other = rule();
    other["from"]["facts"]["github.environment"] = json!("dev");
    other["from"]["facts"]["github.event_name"] = json!("schedule");
    cloud.rule("nightly", &other);
    assert_eq!(told_to(&cloud.exchange(&differing[1], &[])), told[0]);
    // The near miss: whoever may read the rules is told what differs.
    let owner = cloud.exchange_as_operator(&differing[0], &[]);
    assert!(sentence(&owner).contains("expected 74, seen 99"));
    // So does a credential of another tenant learn nothing.
    let stranger = cloud.world.token("spiffe://two.test/curious");
    let bearer = format!("Bearer {stranger}");
    let headers = [("authorization", bearer.as_str())];
    let answer = cloud.send(&exchange_form(&differing[0], &[]), &headers);
    assert!(!told_to(&answer).contains("74"), "{}", answer.body);
}

//! Every vendor of whom there is a preset, served over real TLS: its token is believed, and that of
//! someone else is not.

use avouch_core::policy::presets::Preset;
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::vendors::{Vendor, vendors};
use serde_json::{Value, json};

use crate::exchange::refusal;
use crate::registry::{AUDIENCE, Registry, document, with};

/// A vendor on loopback, trusted by its pins.
struct Served {
    issuer: IssuerServer,
    key: Key,
    vendor: Vendor,
}

impl Served {
    fn start(vendor: Vendor) -> Self {
        let issuer = IssuerServer::named(vendor.issuer);
        let key = if vendor.es256 {
            Key::p256(vendor.issuer)
        } else {
            Key::rsa(RsaTestKey::A)
        };
        issuer.publish(&[(&key, "k-1")]);
        Self {
            issuer,
            key,
            vendor,
        }
    }

    fn settings(&self, facts: Option<&Value>) -> Value {
        let mut more = json!({"jwks_url": self.issuer.server().url("/jwks")});
        if !self.vendor.known_by_name {
            more["preset"] = json!(self.vendor.preset);
        }
        if let Some(facts) = facts {
            more["rules"] = json!([{"name": "ours", "facts": facts}]);
        }
        let mut wanted = with(document(&self.issuer), more);
        if facts.is_none() {
            wanted.as_object_mut().unwrap().remove("rules");
        }
        wanted
    }

    fn token(&self, now: i64, claims: &Value) -> String {
        let forge = self.issuer.token(now, claims).claim("aud", json!(AUDIENCE));
        forge.sign(&self.key, "k-1")
    }
}

#[test]
fn there_is_a_simulator_of_every_preset() {
    let served: Vec<&str> = vendors().iter().map(|vendor| vendor.preset).collect();
    for preset in Preset::ALL {
        assert!(served.contains(&preset.name()), "{}", preset.name());
    }
    for vendor in vendors() {
        let known = Preset::of_issuer(vendor.issuer).map(Preset::name);
        let expected = vendor.known_by_name.then_some(vendor.preset);
        assert_eq!(known, expected, "{}", vendor.issuer);
    }
}

#[test]
fn hostile_37_to_41_a_token_of_each_vendor_is_believed_and_that_of_another_is_not() {
    for (number, vendor) in vendors().into_iter().enumerate() {
        let registry = Registry::new();
        let served = Served::start(vendor);
        let name = format!("v{number}");
        let put = registry.put(&name, &served.settings(Some(&served.vendor.pins)));
        let told = put.json();
        assert_eq!(
            told["state"], "ok",
            "{}: {}",
            served.vendor.issuer, put.body
        );
        assert_eq!(told["preset"], served.vendor.preset, "{}", put.body);
        let now = registry.now();
        let own = served.token(now, &served.vendor.claims);
        assert_eq!(registry.decide(&own), "accept", "{}", served.vendor.issuer);
        let others = served.token(now, &served.vendor.claims_of_another());
        let code = registry.decide(&others);
        let expected = match served.vendor.preset {
            // The tenant of Entra is in the name of its issuer.
            "entra" => "federation.subject_not_of_issuer",
            _ => "policy.rule_not_matched",
        };
        assert_eq!(code, expected, "{}", served.vendor.issuer);
        // The near miss: another token of the same one, which says something more.
        let mut more = served.vendor.claims.clone();
        more["jti"] = json!("another");
        more["unheard_of"] = json!("x");
        let another = served.token(now - 1, &more);
        let code = registry.decide(&another);
        assert_eq!(code, "accept", "{}", served.vendor.issuer);
    }
}

#[test]
fn hostile_37_an_issuer_of_many_customers_is_not_trusted_without_a_pin() {
    for vendor in vendors() {
        let Some(everyone) = Preset::shared_with(vendor.issuer) else {
            continue;
        };
        let registry = Registry::new();
        let served = Served::start(vendor);
        let refused = registry.put("all", &served.settings(None));
        assert_eq!(
            refused.code(),
            "policy.shared_issuer_unpinned",
            "{}: {}",
            served.vendor.issuer,
            refused.body
        );
        assert!(refused.body.contains(everyone), "{}", refused.body);
    }
}

#[test]
fn a_token_without_the_claim_that_pins_its_customer_is_refused() {
    const UNMATCHED: &str = "policy.rule_not_matched";
    const OTHERWISE: &str = "federation.subject_not_of_issuer";
    for (preset, claim, code) in [
        ("github", "repository_id", OTHERWISE),
        ("gitlab", "project_id", UNMATCHED),
        ("buildkite", "organization_id", UNMATCHED),
        ("circleci", "oidc.circleci.com/project-id", UNMATCHED),
        ("hcp-terraform", "terraform_organization_id", UNMATCHED),
        ("bitbucket", "workspaceUuid", UNMATCHED),
        ("kubernetes", "kubernetes.io", OTHERWISE),
        ("aws", "https://sts.amazonaws.com/", UNMATCHED),
        ("entra", "oid", UNMATCHED),
        ("okta", "uid", UNMATCHED),
        ("dex", "federated_claims", UNMATCHED),
    ] {
        let registry = Registry::new();
        let all = vendors();
        let vendor = all.into_iter().find(|vendor| vendor.preset == preset);
        let served = Served::start(vendor.unwrap());
        let put = registry.put("v", &served.settings(Some(&served.vendor.pins)));
        assert!(put.is_put(), "{}", put.body);
        let token = served.token(registry.now(), &served.vendor.claims_without(claim));
        assert_eq!(registry.decide(&token), code, "{preset}");
        let whole = served.token(registry.now(), &served.vendor.claims);
        assert_eq!(registry.decide(&whole), "accept", "{preset}");
    }
}

#[test]
fn identity_aware_proxy_is_believed_by_what_it_signs_and_not_by_what_stands_beside() {
    let registry = Registry::new();
    let vendor = vendors()
        .into_iter()
        .find(|vendor| vendor.preset == "google-iap");
    let served = Served::start(vendor.unwrap());
    let pins = served.vendor.pins.clone();
    assert_eq!(
        registry.put("iap", &served.settings(Some(&pins))).json()["state"],
        "ok"
    );
    let claims = served.vendor.claims.clone();
    let assertion = served.token(registry.now(), &claims);
    assert_eq!(registry.decide(&assertion), "accept");
    // What the proxy adds without a signature is no credential: neither as what it is, nor as a token.
    let name = "accounts.google.com:mia@example.com";
    let headers = [
        ("x-goog-authenticated-user-email", name),
        (
            "x-goog-authenticated-user-id",
            "accounts.google.com:110169484474386276334",
        ),
    ];
    let asked = registry.as_stranger("GET", "/v1/tenants", &headers, None);
    assert_eq!(
        (asked.status, asked.code().as_str()),
        (401, "issue.credential_missing")
    );
    let form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
    let typed = [
        headers[0],
        headers[1],
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let asked = registry.as_stranger("POST", "/t/one/token", &typed, Some(form));
    assert_eq!(refusal(&asked).1, "issue.body_malformed");
    assert_eq!(registry.decide(name), "input.token_not_compact");
    let unsigned = format!("{}.", assertion.rsplit_once('.').unwrap().0);
    assert_eq!(registry.decide(&unsigned), "federation.signature_invalid");
    // The same words with a key of RSA that the issuer publishes are not the assertion.
    let rsa = Key::rsa(RsaTestKey::B);
    served
        .issuer
        .publish(&[(&served.key, "k-1"), (&rsa, "k-rsa")]);
    registry.call("POST", "/v1/tenants/one/issuers/iap/refresh", None);
    let otherwise = served
        .issuer
        .token(registry.now(), &claims)
        .claim("aud", json!(AUDIENCE));
    let code = registry.decide(&otherwise.sign(&rsa, "k-rsa"));
    assert_eq!(code, "federation.algorithm_not_allowed");
    assert_eq!(registry.decide(&assertion), "accept");
}

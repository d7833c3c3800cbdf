//! What may be had at most through an issuer, whatever the rules say.

use serde_json::{Value, json};

use super::{CLOUD, Cloud, JWT, OURSELVES, claims, exchange_form, refusal, rule, sentence, token};

/// Trusts the issuer of workflows within these bounds.
fn bound(cloud: &Cloud, at_most: &Value) {
    let mut anchor = cloud.github_anchor();
    anchor["grants_at_most"] = at_most.clone();
    cloud.anchor("github", &anchor);
}

fn saved(cloud: &Cloud, rule: &Value) -> (u16, String, String) {
    let put = cloud.manage("PUT", "/v1/tenants/one/rules/deploy", rule);
    let body = put.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (put.status, text("code"), text("detail"))
}

/// A rule with one member of what it gives changed.
fn giving(member: &str, value: Value) -> Value {
    let mut rule = rule();
    rule["gives"][member] = value;
    rule
}

fn widest() -> Value {
    json!({
        "lifetime": 900, "below": ["spiffe://one.test/ci"],
        "kinds": ["jwt-svid", "access-token", "x509-svid"], "audiences": [CLOUD],
        "scopes": ["read", "deploy"], "administers": false,
        "claims": {"github.environment": ["prod", "test"], "github.repository_owner_id": "65"},
        "assurance": "single_factor",
    })
}

#[test]
fn a_rule_beyond_a_bound_of_its_issuer_is_not_saved_and_the_bound_is_named() {
    let cloud = Cloud::new();
    bound(&cloud, &widest());
    assert_eq!(saved(&cloud, &rule()).0, 200);
    let mfa = |more: Value| {
        let mut rule = rule();
        rule["assurance"] = json!({"amr": ["mfa"]});
        rule["assurance"]
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        rule
    };
    let mut elsewhere = rule();
    elsewhere["from"]["facts"]["github.environment"] = json!("staging");
    for (wanted, name) in [
        (giving("lifetime", json!(901)), "lifetime"),
        (
            giving("spiffe_id", json!("spiffe://one.test/admin")),
            "below",
        ),
        (
            giving("spiffe_id", json!("spiffe://one.test/ci-evil/a")),
            "below",
        ),
        (giving("kinds", json!(["wit-svid"])), "kinds"),
        (
            giving("audiences", json!([CLOUD, "https://bank.test"])),
            "audiences",
        ),
        (giving("scopes", json!(["admin"])), "scopes"),
        (elsewhere, "claims"),
    ] {
        let (status, code, said) = saved(&cloud, &wanted);
        assert_eq!((status, &*code), (400, "issue.bound_exceeded"), "{name}");
        assert!(said.contains(&format!("(`{name}`)")), "{said}");
    }
    // GitHub never says how someone signed in, so the rule says what they get otherwise; for the bound
    // that is no excuse it needs.
    let capped = mfa(json!({"otherwise": {"lifetime": 60, "scopes": ["read"]}}));
    assert_eq!(saved(&cloud, &capped).0, 200);
    let shown = cloud
        .manage("GET", "/v1/tenants/one/rules", &json!({}))
        .json();
    assert_eq!(shown["rules"][0]["name"], "deploy");
}

#[test]
fn what_was_saved_before_a_bound_gives_nothing_beyond_it_from_then_on() {
    let cloud = Cloud::new();
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    for (at_most, name) in [
        (json!({"lifetime": 899}), "lifetime"),
        (json!({"below": ["spiffe://one.test/other"]}), "below"),
        (json!({"below": ["spiffe://dev.one.test"]}), "below"),
        (json!({"kinds": ["x509-svid"]}), "kinds"),
        (json!({"audiences": ["https://other.test"]}), "audiences"),
        (json!({"scopes": ["read"]}), "scopes"),
    ] {
        bound(&cloud, &at_most);
        let refused = cloud.exchange_as_operator(&cloud.workflow(&json!({})), &[]);
        assert_eq!(refusal(&refused).1, "issue.bound_exceeded", "{name}");
        let said = sentence(&refused);
        assert!(said.contains(&format!("(`{name}`)")), "{said}");
        // Whoever presents it learns nothing of the bound.
        let anyone = cloud.exchange(&cloud.workflow(&json!({})), &[]);
        assert!(
            !sentence(&anyone).contains("github"),
            "{}",
            sentence(&anyone)
        );
    }
    bound(
        &cloud,
        &json!({"lifetime": 900, "below": ["spiffe://one.test"]}),
    );
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
}

#[test]
fn an_issuer_that_says_what_it_may_not_is_not_believed_here_and_nowhere() {
    let cloud = Cloud::new();
    bound(
        &cloud,
        &json!({"claims": {"github.repository_owner_id": "65"}}),
    );
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    // The rule of the anchor admits the owner 66, and the bound does not.
    let other = json!({
        "repository_owner_id": "66", "sub": "repo:octo-org@66/octo-repo@74:environment:prod",
    });
    let refused = cloud.exchange(&cloud.workflow(&other), &[]);
    assert_eq!(refusal(&refused).1, "policy.claim_beyond_bound");
    let question = json!({"credential": {"jwt": cloud.workflow(&other)}, "audience": [OURSELVES]});
    let decided = cloud.manage("POST", "/t/one/decide", &question).json();
    assert_eq!(
        decided["reason"]["code"], "policy.claim_beyond_bound",
        "{decided}"
    );
    let question = json!({
        "credential": {"jwt": cloud.workflow(&json!({}))}, "audience": [OURSELVES],
    });
    let decided = cloud.manage("POST", "/t/one/decide", &question).json();
    assert_eq!(decided["verdict"], "accept", "{decided}");
}

#[test]
fn what_was_had_within_a_bound_is_not_exchanged_again_beyond_it() {
    let cloud = Cloud::new();
    bound(&cloud, &json!({"below": ["spiffe://one.test/ci"]}));
    let second = |id: &str| {
        let rule = json!({
            "from": {"trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/ci/**"}}},
            "gives": {"spiffe_id": id, "kinds": ["jwt-svid"], "audiences": [CLOUD, OURSELVES]},
            "owner": "the platform team", "reason": "a second step",
        });
        cloud.rule("second", &rule);
    };
    let mut first = rule();
    first["gives"]["audiences"] = json!([OURSELVES]);
    cloud.rule("deploy", &first);
    let had = || token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let again = |token: &str| {
        let proof = cloud.signed_proof();
        let more = [("subject_token_type", JWT), ("audience", CLOUD)];
        cloud.send(&exchange_form(token, &more), &[("dpop", &proof)])
    };
    // The rule itself is of the tenant's own trust domain, which is not bounded.
    second("spiffe://one.test/admin");
    assert_eq!(refusal(&again(&had())).1, "issue.bound_exceeded");
    second("spiffe://one.test/ci/second");
    let said = claims(&token(&again(&had())));
    assert_eq!(said["sub"], "spiffe://one.test/ci/second");
}

#[test]
fn through_an_issuer_that_may_not_administer_nobody_becomes_an_administrator() {
    let cloud = Cloud::new();
    let ops = json!({"subject": "spiffe://one.test/ci/74/deploy", "role": "auditor"});
    bound(&cloud, &json!({"administers": false}));
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let put = cloud.manage("PUT", "/v1/tenants/one/admins/ops", &ops);
    assert!(put.is_put(), "{}", put.body);
    // Appointed since, and by a rule that was saved before.
    let refused = cloud.exchange_as_operator(&cloud.workflow(&json!({})), &[]);
    assert_eq!(refusal(&refused).1, "issue.bound_exceeded");
    assert!(
        sentence(&refused).contains("administers"),
        "{}",
        sentence(&refused)
    );
    assert_eq!(saved(&cloud, &rule()).1, "issue.bound_exceeded");
    // Where the fact that stands in the identity cannot be that of the administrator, it is saved.
    let mut other = rule();
    other["from"]["facts"]["github.repository_id"] = json!("75");
    assert_eq!(saved(&cloud, &other).0, 200);
    bound(&cloud, &json!({"administers": true}));
    assert_eq!(saved(&cloud, &rule()).0, 200);
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
}

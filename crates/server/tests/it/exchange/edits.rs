//! Rules that are edited while someone exchanges: an answer is by one rule or the other.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{Cloud, claims, exchange_form, refusal, rule, token};

/// What one edition of the rule gives.
fn edition(name: &str, scope: &str, lifetime: i64) -> Value {
    let mut rule = rule();
    rule["gives"]["spiffe_id"] = json!(format!("spiffe://one.test/{name}"));
    rule["gives"]["scopes"] = json!([scope]);
    rule["gives"]["lifetime"] = json!(lifetime);
    rule["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    rule
}

/// The identity, the scope and the lifetime that were given.
fn given(cloud: &Cloud) -> (String, String, i64) {
    if_given(cloud).unwrap()
}

/// The same, unless the rule was edited meanwhile.
fn if_given(cloud: &Cloud) -> Option<(String, String, i64)> {
    let form = exchange_form(&cloud.workflow(&json!({})), &[]);
    let answer = cloud.send(&form, &[]);
    if answer.status != 200 {
        assert_eq!(refusal(&answer).1, "issue.exchange_not_admitted");
        return None;
    }
    let said = claims(&token(&answer));
    let body = answer.json();
    Some((
        said["sub"].as_str().unwrap().to_owned(),
        body["scope"].as_str().unwrap().to_owned(),
        body["expires_in"].as_i64().unwrap(),
    ))
}

#[test]
fn hostile_63_of_an_edited_rule_nobody_gets_half_of_one_and_half_of_the_other() {
    let cloud = Cloud::new();
    let editions = [
        edition("narrow", "read", 300),
        edition("wide", "deploy", 900),
    ];
    let of = |name: &str, scope: &str, lifetime| {
        (
            format!("spiffe://one.test/{name}"),
            scope.to_owned(),
            lifetime,
        )
    };
    let whole = [of("narrow", "read", 300), of("wide", "deploy", 900)];
    cloud.rule("deploy", &editions[0]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = [0; 2];
                    while !is_over.load(Ordering::SeqCst) {
                        let Some(found) = if_given(&cloud) else {
                            continue;
                        };
                        let place = whole.iter().position(|one| *one == found);
                        seen[place.unwrap_or_else(|| panic!("half of each: {found:?}"))] += 1;
                    }
                    seen
                })
            })
            .collect();
        for round in 0..20 {
            cloud.rule("deploy", &editions[(round + 1) % 2]);
            // What is answered after an edit was answered is by that edition.
            assert_eq!(given(&cloud), whole[(round + 1) % 2], "round {round}");
        }
        is_over.store(true, Ordering::SeqCst);
        let seen = asking.into_iter().map(|one| one.join().unwrap());
        let seen = seen.fold([0, 0], |all, one| [all[0] + one[0], all[1] + one[1]]);
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    });
    // An edit that is refused changes nothing, half of it neither.
    let mut broken = editions[1].clone();
    broken["from"]["facts"]["github.repositry"] = json!("x");
    let put = cloud.manage("PUT", "/v1/tenants/one/rules/deploy", &broken);
    assert_eq!(put.code(), "policy.rule_invalid");
    assert_eq!(given(&cloud), whole[0]);
    let gone = cloud.manage("DELETE", "/v1/tenants/one/rules/deploy", &Value::Null);
    assert_eq!(gone.status, 204, "{}", gone.body);
    let form = exchange_form(&cloud.workflow(&json!({})), &[]);
    let refused = cloud.send(&form, &[]);
    assert_eq!(refusal(&refused).1, "issue.exchange_not_admitted");
}

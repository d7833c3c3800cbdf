//! Names that come to mean something else (hostile 38 and 39): held to ids from the first use on.

use avouch_core::id::{Digest, TenantId};
use avouch_store::sqlite::SqliteStore;
use avouch_store::{Change, NameId, NameRecord, Object, Store};
use serde_json::{Value, json};

use super::{Cloud, refusal, rule, sentence, token};

/// The rule of the whole owner: names of repositories are free in it.
fn of_the_owner() -> Value {
    let mut rule = rule();
    rule["from"]["facts"] = json!({
        "github.repository_owner_id": "65", "github.environment": "prod",
    });
    rule
}

fn drift(cloud: &Cloud) -> Value {
    let told = cloud.manage("GET", "/v1/tenants/one/drift", &Value::Null);
    assert_eq!(told.status, 200, "{}", told.body);
    told.json()
}

fn repository(name: &str, id: &str) -> Value {
    json!({
        "sub": format!("repo:octo-org@65/{name}@{id}:environment:prod"),
        "repository": format!("octo-org/{name}"), "repository_id": id,
    })
}

fn metric(cloud: &Cloud, kind: &str) -> String {
    let metrics = cloud.manage("GET", "/metrics", &Value::Null).body;
    let head = format!("avouch_name_drift_total{{kind=\"{kind}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&head));
    line.unwrap_or("none").to_owned()
}

#[test]
fn hostile_38_a_name_is_held_to_the_id_that_it_had_first() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    let told = drift(&cloud);
    assert_eq!(told["drift"], json!([]));
    let names = told["names"].as_array().unwrap();
    let held = names
        .iter()
        .find(|name| name["fact"] == "github.repository");
    let held = held.unwrap();
    assert_eq!(
        (&held["name"], &held["id"]),
        (&json!("octo-org/shop"), &json!("74"))
    );
    assert_eq!(held["rule"], "deploy");
    assert!(!held["decision"].as_str().unwrap().is_empty());
    // Deleted, and made anew under its name.
    let refused = cloud.exchange_as_operator(&cloud.workflow(&repository("shop", "99")), &[]);
    assert_eq!(refusal(&refused).1, "issue.name_resurrected");
    assert!(
        sentence(&refused).contains("octo-org/shop was 74"),
        "{}",
        sentence(&refused)
    );
    let told = drift(&cloud);
    assert_eq!(told["drift"][0]["kind"], "resurrected");
    assert!(
        told["drift"][0]["change"]
            .as_str()
            .unwrap()
            .contains("avouch rule forget")
    );
    assert_eq!(metric(&cloud, "resurrected"), "1");
    // Told once, however often it is tried, and nothing of it to a stranger.
    let again = cloud.exchange(&cloud.workflow(&repository("shop", "99")), &[]);
    let expected = ("invalid_request".into(), "issue.name_resurrected".into());
    assert_eq!(refusal(&again), expected);
    assert_eq!(
        sentence(&again),
        "The name of the subject was someone else's when it was first used here."
    );
    let mut told = again.json();
    // Random, so they may have any digits.
    for number in ["decision", "instance"] {
        told.as_object_mut().unwrap().remove(number).unwrap();
    }
    assert!(!told.to_string().contains("74"), "{told}");
    assert_eq!(drift(&cloud)["drift"].as_array().unwrap().len(), 1);
    // The near miss: the one that has had the name, and another with a name of its own.
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    token(&cloud.exchange(&cloud.workflow(&repository("other", "99")), &[]));
}

/// To GitHub a name is the same in large letters, so whoever takes it over chooses them.
#[test]
fn hostile_35_a_name_in_other_letters_is_held_to_the_same_id() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    let refused = cloud.exchange(&cloud.workflow(&repository("Shop", "99")), &[]);
    assert_eq!(refusal(&refused).1, "issue.name_resurrected");
    assert_eq!(metric(&cloud, "resurrected"), "1");
    // The one that has it may write it otherwise, which is no other name.
    token(&cloud.exchange(&cloud.workflow(&repository("SHOP", "74")), &[]));
    assert_eq!(metric(&cloud, "renamed"), "0");
    let path = "/v1/tenants/one/rules/deploy/forget-name";
    let forgotten = cloud.manage("POST", path, &json!({"name": "octo-org/Shop"}));
    assert_eq!(forgotten.status, 204, "{}", forgotten.body);
    token(&cloud.exchange(&cloud.workflow(&repository("Shop", "99")), &[]));
}

#[test]
fn a_name_that_is_forgotten_is_held_anew() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    cloud.exchange(&cloud.workflow(&repository("shop", "99")), &[]);
    let path = "/v1/tenants/one/rules/deploy/forget-name";
    let forgotten = cloud.manage("POST", path, &json!({"name": "octo-org/shop"}));
    assert_eq!(forgotten.status, 204, "{}", forgotten.body);
    assert_eq!(drift(&cloud)["drift"], json!([]));
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "99")), &[]));
    let other = cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]);
    assert_eq!(refusal(&other).1, "issue.name_resurrected");
    let unknown = cloud.manage("POST", path, &json!({"name": "nobody"}));
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "issue.object_unknown")
    );
    assert_eq!(cloud.manage("POST", path, &json!({"nam": "x"})).status, 400);
    // With the rule goes what it held.
    let removed = cloud.manage("DELETE", "/v1/tenants/one/rules/deploy", &Value::Null);
    assert_eq!(removed.status, 204);
    assert_eq!(drift(&cloud)["names"], json!([]));
}

#[test]
fn hostile_39_a_repository_that_was_renamed_is_told_with_the_change_to_make() {
    let cloud = Cloud::new();
    let mut named = rule();
    named["from"]["facts"]["github.repository"] = json!("octo-org/octo-repo");
    cloud.rule("deploy", &named);
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let renamed = repository("new-repo", "74");
    let refused = cloud.exchange(&cloud.workflow(&renamed), &[]);
    assert_eq!(refusal(&refused).1, "issue.exchange_not_admitted");
    let told = drift(&cloud);
    assert_eq!(told["drift"][0]["kind"], "renamed", "{told}");
    let change = told["drift"][0]["change"].as_str().unwrap();
    assert!(
        change.contains("`github.repository: octo-org/new-repo`"),
        "{change}"
    );
    assert!(change.contains("github.repository_id: \"74\""), "{change}");
    assert_eq!(metric(&cloud, "renamed"), "1");
    // The change that is told is enough.
    named["from"]["facts"]["github.repository"] = json!("octo-org/new-repo");
    cloud.rule("deploy", &named);
    token(&cloud.exchange(&cloud.workflow(&renamed), &[]));
    // Someone else altogether is no drift.
    cloud.exchange(&cloud.workflow(&repository("new-repo", "75")), &[]);
    let kinds: Vec<Value> = drift(&cloud)["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].clone())
        .collect();
    assert!(kinds.iter().all(|kind| kind == "renamed"), "{kinds:?}");
}

#[test]
fn a_new_name_under_a_rule_by_id_is_admitted_and_told() {
    let cloud = Cloud::new();
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
    let moved = json!({
        "sub": "repo:new-org@66/octo-repo@74:environment:prod", "repository": "new-org/octo-repo",
        "repository_owner": "new-org", "repository_owner_id": "66",
    });
    token(&cloud.exchange(&cloud.workflow(&moved), &[]));
    let told = drift(&cloud);
    let one = &told["drift"][0];
    assert_eq!(one["kind"], "renamed", "{told}");
    assert_eq!(
        (&one["was"], &one["is"]),
        (&json!("octo-org/octo-repo"), &json!("new-org/octo-repo"))
    );
    // The rule asks for no name, so there is none to change in it.
    assert_eq!(one["admitted"], true, "{one}");
    let change = one["change"].as_str().unwrap();
    assert!(change.starts_with("nothing in the rule deploy"), "{change}");
}

#[test]
fn hostile_39_the_new_form_of_a_subject_is_told_with_the_change_to_make() {
    let cloud = Cloud::new();
    let mut old = rule();
    old["from"]["facts"]["subject"] = json!("repo:octo-org/octo-repo:environment:prod");
    cloud.rule("deploy", &old);
    let before = json!({"sub": "repo:octo-org/octo-repo:environment:prod"});
    token(&cloud.exchange(&cloud.workflow(&before), &[]));
    let refused = cloud.exchange(&cloud.workflow(&json!({})), &[]);
    assert_eq!(refusal(&refused).1, "issue.exchange_not_admitted");
    let told = drift(&cloud);
    assert_eq!(told["drift"][0]["kind"], "subject_form", "{told}");
    let change = told["drift"][0]["change"].as_str().unwrap().to_owned();
    let both = "`subject: [\"repo:octo-org/octo-repo:environment:prod\", \
                \"repo:octo-org@65/octo-repo@74:environment:prod\"]`";
    assert!(change.contains(both), "{change}");
    old["from"]["facts"]["subject"] = json!([
        "repo:octo-org/octo-repo:environment:prod",
        "repo:octo-org@65/octo-repo@74:environment:prod",
    ]);
    cloud.rule("deploy", &old);
    token(&cloud.exchange(&cloud.workflow(&json!({})), &[]));
}

#[test]
fn hostile_38_the_form_that_was_announced_first_is_refused() {
    let cloud = Cloud::new();
    for subject in [
        "repo:octo-org-65/octo-repo-74:environment:prod",
        "repo:octo-org@65/octo-repo:environment:prod",
        "repo:octo-org/octo-repo@74:environment:prod",
        "repo:octo-org@/octo-repo@:environment:prod",
    ] {
        let answer = cloud.exchange_as_operator(&cloud.workflow(&json!({"sub": subject})), &[]);
        assert_eq!(
            refusal(&answer).1,
            "federation.subject_not_of_issuer",
            "{subject}"
        );
    }
    // An organization may be called like that; then its claims say so, and it is not the one meant.
    let named = json!({
        "sub": "repo:octo-org-65/octo-repo-74:environment:prod",
        "repository": "octo-org-65/octo-repo-74", "repository_id": "99",
        "repository_owner": "octo-org-65", "repository_owner_id": "66",
    });
    let answer = cloud.exchange(&cloud.workflow(&named), &[]);
    assert_eq!(refusal(&answer).1, "issue.exchange_not_admitted");
}

#[test]
fn what_is_only_tried_holds_no_name() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    let trial = json!({"subject_token": cloud.workflow(&repository("shop", "74"))});
    let told = cloud.manage("POST", "/v1/tenants/one/try-exchange", &trial);
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(drift(&cloud)["names"], json!([]));
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "99")), &[]));
    let trial = json!({"subject_token": cloud.workflow(&repository("shop", "74"))});
    let told = cloud.manage("POST", "/v1/tenants/one/try-exchange", &trial);
    assert!(
        told.body.contains("issue.name_resurrected"),
        "{}",
        told.body
    );
}

#[test]
fn of_many_who_use_a_name_first_at_once_one_id_holds_it() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    let tokens: Vec<(String, String)> = (0..16)
        .map(|number| {
            let id = (100 + number).to_string();
            let token = cloud.workflow(&repository("contested", &id));
            (token, cloud.signed_proof())
        })
        .collect();
    let answers: Vec<bool> = std::thread::scope(|scope| {
        let exchanges: Vec<_> = tokens
            .iter()
            .map(|(token, proof)| {
                let cloud = &cloud;
                scope.spawn(move || {
                    let form = super::exchange_form(token, &[]);
                    cloud.send(&form, &[("dpop", proof)]).status == 200
                })
            })
            .collect();
        exchanges
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    assert_eq!(
        answers.iter().filter(|given| **given).count(),
        1,
        "{answers:?}"
    );
    let told = drift(&cloud);
    let of_name = |name: &&Value| name["name"] == "octo-org/contested";
    assert_eq!(
        told["names"]
            .as_array()
            .unwrap()
            .iter()
            .filter(of_name)
            .count(),
        1
    );
}

#[test]
fn hostile_49_a_token_that_was_used_holds_no_name() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    let of_before = cloud.workflow(&repository("shop", "74"));
    token(&cloud.exchange(&of_before, &[]));
    let path = "/v1/tenants/one/rules/deploy/forget-name";
    for name in ["octo-org/shop", "octo-org"] {
        let forgotten = cloud.manage("POST", path, &json!({ "name": name }));
        assert_eq!(forgotten.status, 204, "{}", forgotten.body);
    }
    // Whoever has found it cannot have the name held to the id of before.
    assert_eq!(
        refusal(&cloud.exchange(&of_before, &[])).1,
        "issue.token_used"
    );
    assert_eq!(drift(&cloud)["names"], json!([]));
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "99")), &[]));
}

#[test]
fn hostile_38_whoever_renames_what_is_theirs_again_and_again_fills_only_what_is_theirs() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    let renamed = |number: u32| cloud.workflow(&repository(&format!("r-{number}"), "74"));
    for number in 0..32 {
        token(&cloud.exchange(&renamed(number), &[]));
    }
    let refused = cloud.exchange(&renamed(32), &[]);
    assert_eq!(refusal(&refused).1, "issue.names_exceeded");
    // Nothing was used up, and what is held is held on.
    token(&cloud.exchange(&renamed(31), &[]));
    let taken = cloud.exchange(&cloud.workflow(&repository("r-0", "99")), &[]);
    assert_eq!(refusal(&taken).1, "issue.name_resurrected");
    // Near misses: someone else, and the same one where the rule goes by the id.
    token(&cloud.exchange(&cloud.workflow(&repository("other", "99")), &[]));
    cloud.rule("deploy", &rule());
    token(&cloud.exchange(&renamed(33), &[]));
}

#[test]
fn hostile_38_a_rule_whose_names_are_all_there_may_be_admits_those_that_it_knows() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &of_the_owner());
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    // As another server would have held them.
    let names = (0..10_000).map(|number| {
        let id = Digest::of(format!("filling-{number}").as_bytes());
        let document = json!({
            "rule": "deploy", "fact": "github.repository", "name": format!("octo-org/f-{number}"),
            "id_fact": "github.repository_id", "id": number.to_string(),
        });
        Change::Put(Object::Name(NameRecord {
            id: NameId::of_digest("name-", &id),
            document: document.to_string(),
        }))
    });
    let store = SqliteStore::open(cloud.world.folder()).unwrap();
    let one = TenantId::parse("one").unwrap();
    store.apply(&one, &names.collect::<Vec<_>>()).unwrap();
    cloud.world.plane.follow_store().unwrap();
    let new = cloud.workflow(&repository("new", "7400"));
    let refused = cloud.exchange_as_operator(&new, &[]);
    assert_eq!(refusal(&refused).1, "issue.names_exceeded");
    assert!(
        sentence(&refused).contains("the rule deploy"),
        "{}",
        sentence(&refused)
    );
    token(&cloud.exchange(&cloud.workflow(&repository("shop", "74")), &[]));
    // Another rule has its own, and the token was not used up.
    cloud.rule("other", &of_the_owner());
    let removed = cloud.manage("DELETE", "/v1/tenants/one/rules/deploy", &Value::Null);
    assert_eq!(removed.status, 204);
    token(&cloud.exchange(&new, &[]));
}

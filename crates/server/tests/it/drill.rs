//! The drill on a hostile issuer, and then the hostile issuer itself: what its thief gets is what was
//! predicted, what a quarantine stops is all of it, and who was said to be able to act can.

use std::collections::BTreeSet;

use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::saml::metadata;
use avouch_testkit::token::{jwk, jwks};
use avouch_testkit::world::Authority;
use serde_json::{Value, json};

use crate::exchange::{OURSELVES, claims};
use crate::registry::{AUDIENCE, Registry, document, trusted, with};

fn rule(from: Value, id: &str, audiences: &[&str]) -> Value {
    json!({
        "from": from,
        "gives": {"spiffe_id": id, "kinds": ["jwt-svid"], "audiences": audiences, "lifetime": 300},
        "subject_audiences": [AUDIENCE, OURSELVES],
        "bearer": {"reason": "no key at hand", "expires": "2027-12-01T00:00:00Z"},
        "owner": "the platform team", "reason": "jobs",
    })
}

fn put(registry: &Registry, kind: &str, name: &str, document: &Value) {
    let path = format!("/v1/tenants/one/{kind}/{name}");
    let put = registry.call("PUT", &path, Some(document));
    assert!(put.is_put(), "{}", put.body);
}

/// A tenant with an issuer that two rules admit from, a rule for what these give, and people who
/// administer.
fn house() -> (Registry, IssuerServer, Key) {
    let registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let jobs = json!({"anchor": "ci", "facts": {"claims.team": ["red", "blue"]}});
    put(
        &registry,
        "rules",
        "jobs",
        &rule(jobs, "spiffe://one.test/ci/{claims.team}", &[OURSELVES]),
    );
    let second = json!({
        "trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/ci/*"}},
    });
    put(
        &registry,
        "rules",
        "second",
        &rule(
            second,
            "spiffe://one.test/deployed",
            &["https://cloud.test"],
        ),
    );
    let unreached = json!({
        "trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": "/batch/**"}},
    });
    put(
        &registry,
        "rules",
        "unreached",
        &rule(
            unreached,
            "spiffe://one.test/other",
            &["https://cloud.test"],
        ),
    );
    (registry, issuer, key)
}

fn drill(registry: &Registry) -> Value {
    let answer = registry.call("GET", "/v1/tenants/one/issuers/ci/drill", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn texts(list: &Value, member: &str) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one[member].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_thief_of_an_issuer_gets_what_was_predicted_and_after_quarantine_nothing() {
    let (registry, issuer, key) = house();
    let told = drill(&registry);
    let gets = &told["thief"]["gets"];
    assert_eq!(
        texts(gets, "rule"),
        BTreeSet::from(["jobs".into(), "second".into()])
    );
    assert_eq!(told["thief"]["administers"], json!([]));
    // For whom that is, each once: the same as the ranking says, and of those that follow.
    assert_eq!(
        told["relying_parties"],
        json!([OURSELVES, "https://cloud.test"])
    );
    for one in gets.as_array().unwrap() {
        let own = match one["rule"] == "jobs" {
            true => OURSELVES,
            false => "https://cloud.test",
        };
        assert_eq!(one["relying_parties"], json!([own]));
    }
    assert_eq!(told["passed"], true, "{told}");
    let predicted = texts(gets, "becomes");

    // The thief signs whatever may be of use, many times.
    let mut had = BTreeSet::new();
    let mut kept = Vec::new();
    let mut refused = 0;
    for (number, (subject, team)) in [
        ("job-7", "red"),
        ("job-7", "blue"),
        ("admin", "red"),
        ("root", "admin"),
        ("operator", "ops"),
        ("spiffe://one.test/deployed", "red"),
        ("job-7", "../admin"),
        ("job-7", "red/../../deployed"),
        ("job-7", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let said = json!({
            "sub": subject, "team": team, "aud": AUDIENCE, "jti": format!("stolen-{number}"),
            "groups": ["admins"], "role": "operator",
        });
        let stolen = issuer.token(registry.now(), &said).sign(&key, "k-a");
        let answer = registry.exchange(&stolen);
        if answer.status != 200 {
            refused += 1;
            continue;
        }
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        had.insert(claims(&token)["sub"].as_str().unwrap().to_owned());
        let again = registry.exchange(&token);
        if again.status == 200 {
            let token = again.json()["access_token"].as_str().unwrap().to_owned();
            had.insert(claims(&token)["sub"].as_str().unwrap().to_owned());
        }
        kept.push(stolen);
    }
    assert!(refused >= 4, "{refused}");
    let is_predicted = |id: &String| {
        predicted.iter().any(|one| match one.split_once('{') {
            Some((head, _)) => id
                .strip_prefix(head)
                .is_some_and(|rest| !rest.contains('/')),
            None => one == id,
        })
    };
    assert!(had.iter().all(is_predicted), "{had:?} of {predicted:?}");
    // And all of what was predicted is had: the prediction is no wider than it must be.
    assert_eq!(had.len(), 3, "{had:?}");

    quarantine_stops_all_of_it(&registry, &issuer, &key, &kept);
    // Whoever was said to be able to act without it does: they look at it, and release it.
    let break_glass = &told["break_glass"][0];
    assert_eq!(break_glass["name"], "operator", "{told}");
    assert_eq!(registry.release("ci").status, 200);
    let after = red(&registry, &issuer, &key, 3);
    assert_eq!(registry.exchange(&after).status, 200);
}

/// A token that the rule admits, of this number.
fn red(registry: &Registry, issuer: &IssuerServer, key: &Key, number: u32) -> String {
    let said = json!({
        "sub": "job-7", "team": "red", "aud": AUDIENCE, "jti": format!("later-{number}"),
    });
    issuer.token(registry.now(), &said).sign(key, "k-a")
}

fn quarantine_stops_all_of_it(
    registry: &Registry,
    issuer: &IssuerServer,
    key: &Key,
    kept: &[String],
) {
    let token = |number: u32| red(registry, issuer, key, number);
    let live = registry.exchange(&token(0)).json()["access_token"].clone();
    let cause = json!({"reason": "its keys are stolen"});
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    assert_eq!(registry.call("POST", path, Some(&cause)).status, 200);
    for stolen in kept.iter().chain(&[token(1), token(2)]) {
        assert_eq!(registry.exchange(stolen).status, 400);
        assert_eq!(registry.decide(stolen), "federation.issuer_quarantined");
    }
    // Nor is anything had for what was given before.
    assert_eq!(registry.exchange(live.as_str().unwrap()).status, 400);
}

#[test]
fn an_issuer_through_which_one_becomes_an_administrator_fails_the_drill_until_it_is_bounded() {
    let (registry, issuer, key) = house();
    let red = json!({"subject": "spiffe://one.test/ci/red", "role": "administrator"});
    put(&registry, "admins", "red", &red);
    let told = drill(&registry);
    assert_eq!(told["passed"], false);
    let administers = &told["thief"]["administers"][0];
    assert_eq!(administers["subject"], "spiffe://one.test/ci/red", "{told}");
    assert_eq!(administers["rule"], "jobs");
    let who = told["administrators"].as_array().unwrap();
    let red = who.iter().find(|one| one["name"] == "red").unwrap();
    assert_eq!(red["independent"], false, "{red}");
    assert!(
        told["findings"][0]
            .as_str()
            .unwrap()
            .contains("administers")
    );

    let bounded = with(
        document(&issuer),
        json!({"grants_at_most": {"administers": false, "lifetime": 600}}),
    );
    assert!(registry.put("ci", &bounded).is_put());
    let told = drill(&registry);
    assert_eq!(told["passed"], true, "{told}");
    let bound = &told["thief"]["believed_through"][0];
    assert_eq!(bound["grants_at_most"]["administers"], false);
    assert!(
        bound["unbounded"]
            .as_array()
            .unwrap()
            .contains(&json!("below"))
    );
    // It holds for real: red is no more to be had, and blue is.
    let token = |team: &str| {
        let said = json!({"sub": "job-7", "team": team, "aud": AUDIENCE, "jti": team});
        issuer.token(registry.now(), &said).sign(&key, "k-a")
    };
    let refused = registry.exchange(&token("red")).json();
    assert_eq!(refused["code"], "issue.bound_exceeded", "{refused}");
    assert_eq!(registry.exchange(&token("blue")).status, 200);
    // What is told of the issuer names the bound, and the three panels.
    let shown = registry.show("ci");
    assert_eq!(shown["grants_at_most"]["lifetime"], 600);
    assert!(rested(&shown["panels"]), "{shown}");
    assert_eq!(
        shown["panels"],
        json!({
            "revoke": [
                QUARANTINE,
                "tokens that were given before are believed elsewhere for 300 s at most",
                "a key that it withdraws is refused at the next look, after 3600 s at most, and if it \
                 cannot be reached after 86400 s more",
                SILENT,
            ],
            "mfa": [
                "whether its tokens say how someone signed in is not known",
                "0 of 1 exchange rule asks how someone signed in",
            ],
            "audit": [
                "nobody answers for it: name an `owner`",
                "the trust in it does not end by itself: name `expires`",
                shown["panels"]["audit"][2],
            ],
        })
    );
}

/// What was counted stands in the panel, too.
fn rested(panels: &Value) -> bool {
    let said = panels["audit"][2].as_str().unwrap();
    said.ends_with("acceptances since 2027-01-15 rested on it")
}

const QUARANTINE: &str = "`avouch issuer quarantine` stops every decision, exchange and second exchange \
    at once, and revokes the certificates that were given";
const SILENT: &str = "it tells of no subject that ended: a subject that is closed there is believed here \
    until its token expires";

#[test]
fn an_identity_provider_of_saml_is_drilled_and_answered_for_as_any_issuer() {
    let (registry, _, _) = house();
    let certificate = Authority::root("idp").certificate;
    let provider = "https://idp.example.com/saml";
    let document = json!({
        "saml": {"metadata": metadata(provider, &[&certificate], None)}, "audiences": [AUDIENCE],
        "rules": [{"name": "people", "facts": {"claims.group": "staff"}}],
        "owner": "the people team", "reason": "people sign in",
        "expires": "2030-01-01T00:00:00Z",
    });
    assert!(registry.put("staff", &document).is_put());
    let panels = |registry: &Registry| registry.show("staff")["panels"].clone();
    assert_eq!(
        panels(&registry),
        json!({
            "revoke": [QUARANTINE, SILENT],
            "mfa": [
                "whether its tokens say how someone signed in is not known",
                "no exchange rule admits through it",
            ],
            "audit": [
                "the people team answers for it: people sign in",
                "the trust in it ends on 2030-01-01T00:00:00Z",
                "no decision has rested on it that was counted",
            ],
        })
    );
    let people = json!({"anchor": "staff", "facts": {"claims.group": "staff"}});
    put(
        &registry,
        "rules",
        "people",
        &rule(people, "spiffe://one.test/people/boss", &[OURSELVES]),
    );
    let boss = json!({"subject": "spiffe://one.test/people/boss", "role": "administrator"});
    put(&registry, "admins", "boss", &boss);
    let answer = registry.call("GET", "/v1/tenants/one/issuers/staff/drill", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.json();
    assert_eq!(told["issuer"], provider);
    assert_eq!(told["thief"]["believed_through"][0]["anchor"], "staff");
    assert_eq!(
        texts(&told["thief"]["gets"], "rule"),
        BTreeSet::from(["people".into()])
    );
    assert_eq!(told["thief"]["administers"][0]["name"], "boss");
    assert_eq!(told["quarantine"]["stops"], json!(["people"]));
    assert_eq!(told["passed"], false, "{told}");
    let revoke = &panels(&registry)["revoke"];
    assert_eq!(
        revoke[1],
        "tokens that were given before are believed elsewhere for 300 s at most"
    );
    // Of the other issuer nothing of this is told.
    assert_eq!(drill(&registry)["passed"], true);
}

#[test]
fn tenants_that_believe_this_one_are_looked_at_for_whoever_sees_them() {
    let (registry, _, _) = house();
    let domain = json!({"name": "two.test"});
    registry.call("POST", "/v1/tenants/two/trust-domains", Some(&domain));
    let bundle = registry.call("GET", "/t/one/bundle", None).json();
    let neighbour = json!({"trust_domain": "one.test", "bundle": bundle});
    let send = |method: &str, path: &str, body: Option<&Value>| {
        let sent = registry.call(method, &format!("/v1/tenants/two/{path}"), body);
        assert!(sent.status < 300, "{}", sent.body);
    };
    let visitors = |pattern: &str| {
        let from = json!({
            "trust_domain": "one.test", "facts": {"spiffe.path": {"pattern": pattern}},
        });
        let mut rule = rule(from, "spiffe://two.test/visitor", &["https://cloud.test"]);
        rule["subject_audiences"] = json!(["https://two.example.com"]);
        rule
    };
    send("PUT", "anchors/neighbour", Some(&neighbour));
    send("PUT", "rules/visitors", Some(&visitors("/ci/*")));
    send("PUT", "rules/others", Some(&visitors("/batch/*")));
    let visitor = json!({"subject": "spiffe://two.test/visitor", "role": "administrator"});
    send("PUT", "admins/visitor", Some(&visitor));
    let told = drill(&registry);
    let elsewhere = &told["thief"]["gets_elsewhere"];
    assert_eq!(
        texts(elsewhere, "rule"),
        BTreeSet::from(["visitors".into()]),
        "{told}"
    );
    assert_eq!(elsewhere[0]["tenant"], "two");
    assert_eq!(elsewhere[0]["step"], 2);
    assert_eq!(told["thief"]["administers"][0]["tenant"], "two", "{told}");
    assert_eq!(told["passed"], false);
    // Whoever does not see that tenant is told what they would be told if it were not there.
    let one = registry.plane.tenant_named("one").unwrap().unwrap();
    let sees_own = |tenant: &avouch_core::id::TenantId| Ok(tenant.as_str() != "two");
    let blind = registry.plane.drill_issuer(&one, "ci", &sees_own).unwrap();
    assert_eq!(blind["thief"]["gets_elsewhere"], json!([]));
    assert_eq!(blind["passed"], true, "{blind}");
    // Who does not believe that trust domain any more admits nobody from it.
    send("DELETE", "anchors/neighbour", None);
    let told = drill(&registry);
    assert_eq!(told["thief"]["gets_elsewhere"], json!([]), "{told}");
    assert_eq!(told["passed"], true);
}

#[test]
fn a_way_in_through_another_issuer_is_open_only_while_that_one_is_believed() {
    let (registry, _, _) = house();
    let sign_on = json!({
        "issuer": "https://login.example.com", "audiences": [AUDIENCE],
        "jwks": jwks(&[jwk(&Key::p256("login"), "k")]),
        "rules": [{"name": "people", "facts": {"claims.group": "staff"}}],
    });
    assert!(registry.put("login", &sign_on).is_put());
    let people = json!({"anchor": "login", "facts": {"claims.group": "staff"}});
    put(
        &registry,
        "rules",
        "people",
        &rule(people, "spiffe://one.test/people/boss", &[OURSELVES]),
    );
    let boss = json!({"subject": "spiffe://one.test/people/boss", "role": "operator"});
    put(&registry, "admins", "boss", &boss);
    let may_act = |registry: &Registry| texts(&drill(registry)["break_glass"], "name");
    let with_boss = BTreeSet::from(["boss".into(), "operator".into()]);
    assert_eq!(may_act(&registry), with_boss);
    let cause = json!({"reason": "a test"});
    let path = "/v1/tenants/one/issuers/login/quarantine";
    assert_eq!(registry.call("POST", path, Some(&cause)).status, 200);
    assert_eq!(may_act(&registry), BTreeSet::from(["operator".into()]));
    assert_eq!(registry.release("login").status, 200);
    assert_eq!(may_act(&registry), with_boss);
}

#[test]
fn who_administers_a_tenant_above_is_told_to_no_one_who_does_not_see_it() {
    let (registry, _, _) = house();
    let one = registry.plane.tenant_named("one").unwrap().unwrap();
    let told = registry
        .plane
        .drill_issuer(&one, "ci", &|_| Ok(false))
        .unwrap();
    let administrators = told["administrators"].as_array().unwrap();
    let operator = administrators.iter().find(|one| one["may_act"] == true);
    let operator = operator.unwrap();
    assert_eq!(operator["independent"], true, "{told}");
    for member in ["tenant", "name", "subject", "role"] {
        assert!(operator[member].is_null(), "{told}");
    }
    assert_eq!(operator["ways"], json!([]), "{told}");
    assert_eq!(told["passed"], true, "{told}");
}

#[test]
fn someone_with_a_registration_entry_is_a_way_in_that_no_issuer_closes() {
    let (registry, _, _) = house();
    for (name, id) in [
        ("by-entry", "spiffe://one.test/people/alice"),
        ("by-rule", "spiffe://one.test/ci/blue"),
    ] {
        put(
            &registry,
            "admins",
            name,
            &json!({"subject": id, "role": "operator"}),
        );
    }
    let entry = json!({
        "spiffe_id": "spiffe://one.test/people/alice", "selectors": ["unix:uid:1000"],
    });
    let made = registry.call("POST", "/v1/tenants/one/entries", Some(&entry));
    assert!(made.status < 300, "{}", made.body);
    let told = drill(&registry);
    let names = texts(&told["break_glass"], "name");
    assert_eq!(
        names,
        BTreeSet::from(["by-entry".into(), "operator".into()]),
        "{told}"
    );
    assert_eq!(told["passed"], false, "{told}");
    let missing = registry.call("GET", "/v1/tenants/one/issuers/nobody/drill", None);
    assert_eq!(missing.status, 404);
}

#[test]
fn issuers_are_ranked_by_what_rests_on_them_and_the_count_survives_a_restart() {
    let (registry, issuer, key) = house();
    let ranking = |registry: &Registry| {
        registry
            .call("GET", "/v1/tenants/one/reliance", None)
            .json()
    };
    let empty = ranking(&registry);
    assert_eq!(
        (&empty["decisions"], &empty["since"]),
        (&json!(0), &Value::Null)
    );
    let token = |registry: &Registry, number: u32| {
        let said = json!({
            "sub": "job-7", "team": "red", "aud": AUDIENCE, "jti": format!("job-{number}"),
        });
        issuer.token(registry.now(), &said).sign(&key, "k-a")
    };
    for number in 0..3 {
        let answer = registry.exchange(&token(&registry, number));
        let given = answer.json()["access_token"].as_str().unwrap().to_owned();
        if number == 0 {
            // One decision of the four is about the tenant's own.
            assert_eq!(registry.exchange(&given).status, 200);
        }
    }
    let told = ranking(&registry);
    let first = &told["issuers"][0];
    assert_eq!(first["name"], issuer.issuer());
    assert_eq!(told["decisions"], 4, "{told}");
    assert_eq!(
        (&first["decisions"], &first["share"]),
        (&json!(3), &json!(75.0))
    );
    assert_eq!(first["rules"], 1);
    assert_eq!(first["relying_parties"], json!([OURSELVES]));
    assert_eq!(first["depends"], 50.0, "{told}");
    // A token that is used up is believed all the same; it is given nothing.
    assert_eq!(registry.exchange(&token(&registry, 0)).status, 400);
    registry.plane.store_tallies().unwrap();
    let registry = registry.restarted();
    let again = ranking(&registry);
    assert_eq!(again["issuers"][0]["decisions"], json!(4), "{again}");
    assert_eq!(again["since"], told["since"]);
    // Counted on from there.
    registry.exchange(&token(&registry, 9));
    assert_eq!(ranking(&registry)["issuers"][0]["decisions"], 5);
}

/// Nobody is told to rely on an issuer of which nothing is believed.
#[test]
fn an_issuer_in_quarantine_takes_the_place_of_no_key() {
    let (registry, issuer, _) = house();
    let sha256 = avouch_testkit::token::digest("a key");
    let key = json!({"api_key": {"sha256": sha256, "subject": "batch"}});
    put(&registry, "anchors", "batch", &key);
    let replaceable_by = || {
        let told = registry
            .call("GET", "/v1/tenants/one/reliance", None)
            .json();
        let mut told = told["issuers"].as_array().unwrap().clone().into_iter();
        let of_key = told.find(|one| one["kind"] == "api_key").unwrap();
        of_key["replaceable_by"].clone()
    };
    assert_eq!(replaceable_by(), json!([issuer.issuer()]));
    let cause = json!({"reason": "its key may be stolen"});
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    assert!(registry.call("POST", path, Some(&cause)).status < 300);
    assert_eq!(replaceable_by(), json!([]));
}

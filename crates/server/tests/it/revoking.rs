//! Ending a token by whoever has it in hand (RFC 7009).

use avouch_testkit::key::Key;
use serde_json::{Value, json};

use crate::away::Cut;
use crate::exchange::{
    ACCESS_TOKEN, Cloud, OURSELVES, claims, exchange_form, form, public, refusal, rule,
    token as issued,
};
use crate::http::{Answer, request, send};
use crate::registry::{Registry, token as signed, trusted};
use crate::signals::{chained, cloud, someone, workflow};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const BY_SVID: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const ANOTHERS: &str = "issue.token_of_another";

fn post(cloud: &Cloud, path: &str, parameters: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
    let headers = [&[FORM], more].concat();
    let body = form(parameters);
    let sent = request("POST", path, &headers, Some(&body));
    send(cloud.world.address, &sent)
}

fn revoke(cloud: &Cloud, token: &str, more: &[(&str, &str)]) -> Answer {
    post(cloud, "/t/one/revoke", &[("token", token)], more)
}

fn is_active(cloud: &Cloud, token: &str) -> bool {
    let bearer = format!("Bearer {}", cloud.world.operator());
    let asked = [("authorization", bearer.as_str())];
    let answer = post(cloud, "/t/one/introspect", &[("token", token)], &asked);
    answer.json()["active"].as_bool().unwrap()
}

/// What is given for a workflow, and what is given for that.
fn twice(cloud: &Cloud, changed: &Value) -> (String, String) {
    let given = cloud.send(&exchange_form(&workflow(cloud, 20, changed), &[]), &[]);
    let first = issued(&given);
    let second = issued(&cloud.send(&exchange_form(&first, &[]), &[]));
    (first, second)
}

#[test]
fn whoever_has_a_token_in_hand_ends_it_and_all_that_was_exchanged_for_it() {
    let cloud = chained();
    let (first, second) = twice(&cloud, &json!({}));
    let (other, its) = twice(&cloud, &someone("other"));
    for token in [&first, &second, &other, &its] {
        assert!(is_active(&cloud, token));
    }
    let answer = revoke(&cloud, &first, &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!is_active(&cloud, &first) && !is_active(&cloud, &second));
    // What is another's is as it was, and what descends is ended alone.
    assert!(is_active(&cloud, &other) && is_active(&cloud, &its));
    assert_eq!(revoke(&cloud, &its, &[]).status, 200);
    assert!(is_active(&cloud, &other) && !is_active(&cloud, &its));
    // Nothing is told of what is no token, is another's, or ended before.
    let foreign = workflow(&cloud, 20, &json!({}));
    let mut bent = other.clone();
    bent.replace_range(bent.len() - 2.., "AA");
    for token in ["x", "a.b.c", &foreign, &bent, &first] {
        assert_eq!(revoke(&cloud, token, &[]).status, 200, "{token:.40}");
    }
    let elsewhere = post(&cloud, "/t/two/revoke", &[("token", &other)], &[]);
    assert_eq!(elsewhere.status, 200, "{}", elsewhere.body);
    assert!(is_active(&cloud, &other));
    let stream = json!({"issuer": "https://idp.test", "jwks": {"keys": []}});
    let name = "/v1/tenants/one/signals/_holders_";
    let named = cloud.manage("PUT", name, &stream);
    assert_eq!(named.status, 400, "{}", named.body);
    assert!(named.body.contains("_holders_"), "{}", named.body);
    let nothing = post(&cloud, "/t/one/revoke", &[], &[]);
    assert_eq!(refusal(&nothing).0, "invalid_request");
    let plain = request(
        "POST",
        "/t/one/revoke",
        &[("content-type", "text/plain")],
        Some("token=x"),
    );
    let plain = send(cloud.world.address, &plain);
    assert_eq!(refusal(&plain).0, "invalid_request");
    assert!(
        plain.body.contains("The revocation request that was sent"),
        "{}",
        plain.body
    );
    let told = cloud.manage("GET", "/v1/tenants/one/ended", &json!({}));
    let ended = told.json()["ended"].as_array().unwrap().clone();
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert_eq!(ended[0]["event"], "token-revoked");
    assert_eq!(ended[0]["by"], "whoever had it in hand");
    let path = "/t/one/.well-known/openid-configuration";
    let discovery = cloud.world.get(path).json();
    let address = format!("{OURSELVES}/revoke");
    assert_eq!(discovery["revocation_endpoint"], address);
}

#[test]
fn whoever_ends_a_token_again_at_once_has_nothing_looked_through() {
    let cloud = chained();
    let (first, second) = twice(&cloud, &json!({}));
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    // What was issued is in the store, which would have to be asked; so would be to end it anew.
    cloud.world.pass(30);
    cloud.world.store_away(true);
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    assert_eq!(revoke(&cloud, &second, &[]).status, 200);
    cloud.world.store_away(false);
    let (third, _) = twice(&cloud, &someone("other"));
    cloud.world.store_away(true);
    assert_eq!(revoke(&cloud, &third, &[]).status, 503);
    cloud.world.store_away(false);
    // After a minute it is looked through again.
    cloud.world.pass(61);
    assert_eq!(revoke(&cloud, &second, &[]).status, 200);
    cloud.world.cut_next(Cut::BeforeLookingThrough);
    assert_eq!(revoke(&cloud, &first, &[]).status, 503);
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    cloud.world.cut_next(Cut::BeforeLookingThrough);
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    // And whenever someone asks for it who may end what they like.
    let bearer = format!("Bearer {}", cloud.world.operator());
    let administers = [("authorization", bearer.as_str())];
    assert_eq!(revoke(&cloud, &first, &administers).status, 503);
    assert_eq!(revoke(&cloud, &first, &administers).status, 200);
    cloud.world.cut_next(Cut::BeforeLookingThrough);
    assert_eq!(revoke(&cloud, &first, &administers).status, 503);
}

#[test]
fn whoever_was_not_answered_has_all_looked_through_once_more() {
    let cloud = chained();
    let (first, _) = twice(&cloud, &json!({}));
    cloud.world.cut_next(Cut::BeforeLookingThrough);
    assert_eq!(revoke(&cloud, &first, &[]).status, 503);
    // It has ended, and what descends from it may have not.
    assert!(!is_active(&cloud, &first));
    cloud.world.store_away(true);
    assert_eq!(revoke(&cloud, &first, &[]).status, 503);
    cloud.world.store_away(false);
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    cloud.world.store_away(true);
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
}

#[test]
fn a_token_that_is_bound_to_a_key_is_ended_by_whoever_has_that() {
    let cloud = chained();
    let subject = workflow(&cloud, 20, &json!({}));
    let shown = cloud.signed_proof();
    let bound = issued(&cloud.send(&exchange_form(&subject, &[]), &[("dpop", &shown)]));
    let proof = |key: &Key, address: &str| {
        cloud
            .proof()
            .claim("htu", json!(format!("{OURSELVES}/{address}")))
            .header("jwk", public(key))
            .sign_nameless(key)
    };
    assert_eq!(refusal(&revoke(&cloud, &bound, &[])).1, ANOTHERS);
    let thief = proof(&Key::p256("thief"), "revoke");
    let refused = refusal(&revoke(&cloud, &bound, &[("dpop", &thief)]));
    assert_eq!(
        (refused.0.as_str(), refused.1.as_str()),
        ("invalid_grant", ANOTHERS)
    );
    let elsewhere = proof(&cloud.holder, "token");
    let refused = refusal(&revoke(&cloud, &bound, &[("dpop", &elsewhere)]));
    assert_eq!(refused.1, "issue.proof_invalid");
    assert!(is_active(&cloud, &bound));
    let good = proof(&cloud.holder, "revoke");
    // Whoever shows nothing that could be ended has nothing written, whatever they prove.
    for token in ["x", &workflow(&cloud, 20, &json!({})), "x"] {
        let nothing = revoke(&cloud, token, &[("dpop", &good)]);
        assert_eq!(nothing.status, 200, "{}", nothing.body);
    }
    assert_eq!(revoke(&cloud, &bound, &[("dpop", &good)]).status, 200);
    assert!(!is_active(&cloud, &bound));
    let again = refusal(&revoke(&cloud, &bound, &[("dpop", &good)]));
    assert_eq!(
        (again.0.as_str(), again.1.as_str()),
        ("invalid_dpop_proof", "issue.token_used")
    );
    // What was ended is looked through once more for whoever was not answered.
    let anew = proof(&cloud.holder, "revoke");
    assert_eq!(revoke(&cloud, &bound, &[("dpop", &anew)]).status, 200);
    // Whoever administers the tenant may end any.
    let shown = cloud.signed_proof();
    let subject = workflow(&cloud, 20, &json!({}));
    let bound = issued(&cloud.send(&exchange_form(&subject, &[]), &[("dpop", &shown)]));
    let bearer = format!("Bearer {}", cloud.world.operator());
    let asked = revoke(&cloud, &bound, &[("authorization", &bearer)]);
    assert_eq!(asked.status, 200, "{}", asked.body);
    assert!(!is_active(&cloud, &bound));
}

/// RFC 7009 2.2.1: nobody takes for ended what is not.
#[test]
fn what_is_given_here_and_not_ended_here_is_refused_as_such() {
    let cloud = chained();
    let mut wider = rule();
    wider["gives"]["kinds"] = json!(["jwt-svid", "x509-svid", "wit-svid"]);
    cloud.rule("deploy", &wider);
    let request = crate::world::signing_request(&Key::p256("svid"));
    let request = avouch_testkit::world::pem("CERTIFICATE REQUEST", &request);
    let kind = |name: &str| format!("urn:avouch:params:token-type:{name}");
    let (wit, x509) = (kind("wit-svid"), kind("x509-svid"));
    let bearer = format!("Bearer {}", cloud.world.operator());
    for (more, command) in [
        (
            vec![("requested_token_type", wit.as_str())],
            "avouch signal end",
        ),
        (
            vec![
                ("requested_token_type", x509.as_str()),
                ("certificate_request", request.as_str()),
            ],
            "avouch authority revoke-certificates",
        ),
    ] {
        let given = issued(&cloud.exchange(&workflow(&cloud, 20, &json!({})), &more));
        for shown in [vec![], vec![("authorization", bearer.as_str())]] {
            let refused = revoke(&cloud, &given, &shown);
            assert_eq!(refused.status, 400, "{}", refused.body);
            let (error, code) = refusal(&refused);
            assert_eq!(error, "unsupported_token_type");
            assert_eq!(code, "issue.revocation_unsupported");
            assert!(refused.body.contains(command), "{}", refused.body);
        }
    }
}

#[test]
fn a_token_that_was_given_to_a_client_is_ended_by_that_client() {
    let cloud = chained();
    let svid = |id: &str| {
        let tenant = id.split(['/', '.']).nth(2).unwrap();
        cloud.world.token(id);
        let entry = id.rsplit('/').next().unwrap();
        let plane = &cloud.world.plane;
        let audience = vec![OURSELVES.to_owned()];
        let issued = plane.issue_jwt(cloud.world.node(), tenant, entry, &[], audience);
        issued.unwrap().token
    };
    let by = |assertion: &str| {
        [
            ("client_assertion_type", BY_SVID.to_owned()),
            ("client_assertion", assertion.to_owned()),
        ]
    };
    let asking = by(&svid("spiffe://one.test/api"));
    let mut more: Vec<(&str, &str)> = asking
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    more.push(("requested_token_type", ACCESS_TOKEN));
    let subject = workflow(&cloud, 20, &json!({}));
    let access = issued(&cloud.send(&exchange_form(&subject, &more), &[]));
    assert_eq!(claims(&access)["client_id"], "spiffe://one.test/api");
    assert_eq!(refusal(&revoke(&cloud, &access, &[])).1, ANOTHERS);
    let revoke_as = |assertion: &str| {
        let asking = by(assertion);
        let mut parameters = vec![("token", access.as_str())];
        parameters.extend(asking.iter().map(|(name, value)| (*name, &**value)));
        post(&cloud, "/t/one/revoke", &parameters, &[])
    };
    // Somebody of another tenant is nobody here, and another workload is another.
    let of_two = refusal(&revoke_as(&svid("spiffe://two.test/api")));
    assert_eq!(of_two.1, "issue.client_not_authenticated");
    let gateway = refusal(&revoke_as(&svid("spiffe://one.test/gateway")));
    assert_eq!(gateway.1, ANOTHERS);
    assert!(is_active(&cloud, &access));
    let assertion = svid("spiffe://one.test/api");
    assert_eq!(revoke_as(&assertion).status, 200);
    assert!(!is_active(&cloud, &access));
    assert_eq!(refusal(&revoke_as(&assertion)).1, "issue.token_used");
}

#[test]
fn what_a_holder_ended_is_remembered_for_as_long_as_anything_could_descend_from_it() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    registry.exchanges_jobs_of("ci");
    let given = registry.exchange(&signed(&registry, &issuer, &key, "k-a"));
    let body = form(&[("token", issued(&given).as_str())]);
    let asked = registry.as_stranger("POST", "/t/one/revoke", &[FORM], Some(&body));
    assert_eq!(asked.status, 200, "{}", asked.body);
    let ended = |registry: &Registry| {
        registry.plane.forget_endings().unwrap();
        let told = registry.call("GET", "/v1/tenants/one/ended", None).json();
        told["ended"].as_array().unwrap().len()
    };
    let days = |registry: &mut Registry, count: usize| {
        for _ in 0..count {
            registry.pass(86_400);
            registry.plane.tend_all().unwrap();
        }
    };
    days(&mut registry, 39);
    assert_eq!(ended(&registry), 1);
    days(&mut registry, 2);
    assert_eq!(ended(&registry), 0);
}

/// Whoever keeps the answer finds each of what ended in the list.
#[test]
fn what_the_tenant_issued_ends_in_each_of_its_trust_domains_and_all_marks_are_told() {
    let cloud = cloud();
    let second = json!({"name": "another-one.test"});
    let added = cloud.manage("POST", "/v1/tenants/one/trust-domains", &second);
    assert_eq!(added.status, 201, "{}", added.body);
    let mut given = rule();
    given["gives"]["spiffe_id"] = json!("spiffe://one.test/deploy");
    given["bearer"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule("deploy", &given);
    let subject = workflow(&cloud, 20, &json!({}));
    let token = issued(&cloud.send(&exchange_form(&subject, &[]), &[]));
    let id = claims(&token)["jti"].clone();
    let end = json!({"issuer": OURSELVES, "token": id, "reason": "a test"});
    let answer = cloud.manage("POST", "/v1/tenants/one/ended", &end).json();
    let told = cloud
        .manage("GET", "/v1/tenants/one/ended", &json!({}))
        .json();
    let ended = told["ended"].as_array().unwrap().iter();
    let mut ended: Vec<&Value> = ended.map(|one| &one["mark"]).collect();
    let mut marks: Vec<&Value> = answer["marks"].as_array().unwrap().iter().collect();
    ended.sort_by_key(|mark| mark.to_string());
    marks.sort_by_key(|mark| mark.to_string());
    assert_eq!((marks.len(), &marks), (2, &ended), "{answer} {told}");
    assert!(!is_active(&cloud, &token));
    // Of one subject there is one trust domain, whichever was first.
    let end =
        json!({"issuer": OURSELVES, "subject": "spiffe://one.test/deploy", "reason": "a test"});
    let answer = cloud.manage("POST", "/v1/tenants/one/ended", &end).json();
    assert_eq!(answer["marks"], json!([answer["mark"]]), "{answer}");
}

#[test]
fn what_is_ended_while_its_issuer_is_in_quarantine_stays_ended_after_a_release() {
    let cloud = chained();
    let (first, second) = twice(&cloud, &json!({}));
    let (other, _) = twice(&cloud, &someone("other"));
    let mut uploaded = cloud.github_anchor();
    uploaded["audiences"] = json!([OURSELVES]);
    let issuer = "/v1/tenants/one/issuers/gh";
    let put = cloud.manage("PUT", issuer, &uploaded);
    assert!(put.status < 300, "{}", put.body);
    let cause = json!({"reason": "its key may be stolen"});
    let stopped = cloud.manage("POST", &format!("{issuer}/quarantine"), &cause);
    assert!(stopped.status < 300, "{}", stopped.body);
    assert!(!is_active(&cloud, &first) && !is_active(&cloud, &other));
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    // Asked once more, as by whoever was not answered.
    assert_eq!(revoke(&cloud, &first, &[]).status, 200);
    let shown = cloud.manage("GET", issuer, &json!({})).json();
    let looked_at = json!({ "etag": shown["etag"] });
    let released = cloud.manage("POST", &format!("{issuer}/release"), &looked_at);
    assert!(released.status < 300, "{}", released.body);
    assert!(is_active(&cloud, &other));
    assert!(!is_active(&cloud, &first) && !is_active(&cloud, &second));
}

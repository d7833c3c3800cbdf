//! What an event ends, and what it does not.

use std::sync::atomic::{AtomicU32, Ordering};

use avouch_testkit::key::Key;
use avouch_testkit::world::pem;
use serde_json::{Value, json};

use super::{
    CAEP, REVOKED, RISC, SUBJECT, cloud, decided, event, exchange, exchanged, shown, someone,
    subject, told, word_of, workflow,
};
use crate::exchange::{GITHUB, claims, exchange_form, refusal, token};
use crate::world::signing_request;

#[test]
fn a_revoked_session_ends_what_was_exchanged_and_nothing_of_anyone_else() {
    let cloud = cloud();
    let other = someone("other");
    let (ours, theirs) = (
        exchanged(&cloud, 20, &json!({})),
        exchanged(&cloud, 20, &other),
    );
    let unused = workflow(&cloud, 20, &json!({}));
    assert_eq!(decided(&cloud, &ours), "accept");
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 10));
    assert_eq!(decided(&cloud, &ours), "revocation.subject_ended");
    assert_eq!(decided(&cloud, &theirs), "accept");
    assert_eq!(
        refusal(&exchange(&cloud, &unused)).1,
        "revocation.subject_ended"
    );
    // Who has signed in anew goes on.
    let anew = exchanged(&cloud, 5, &json!({}));
    assert_eq!(decided(&cloud, &anew), "accept");
    assert_eq!(decided(&cloud, &ours), "revocation.subject_ended");
}

#[test]
fn a_session_is_as_old_as_its_sign_in_however_new_its_token_is() {
    let cloud = cloud();
    let old = json!({"auth_time": cloud.now() - 60});
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 30));
    let refreshed = workflow(&cloud, 0, &old);
    assert_eq!(
        refusal(&exchange(&cloud, &refreshed)).1,
        "revocation.subject_ended"
    );
    let anew = json!({"auth_time": cloud.now() - 20});
    assert_eq!(exchange(&cloud, &workflow(&cloud, 0, &anew)).status, 200);
    // So it is with a fraction of a second, and where a sign-in would come after its token.
    #[expect(clippy::cast_precision_loss, reason = "it is a time of this century")]
    let fraction = (cloud.now() - 60) as f64 + 0.5;
    for (issued, said) in [(0, json!(fraction)), (40, json!(cloud.now() - 20))] {
        let refreshed = workflow(&cloud, issued, &json!({ "auth_time": said }));
        assert_eq!(
            refusal(&exchange(&cloud, &refreshed)).1,
            "revocation.subject_ended",
            "{said}"
        );
    }
}

#[test]
fn one_session_one_token_or_an_address_ends_alone() {
    let cloud = cloud();
    let of = |session: &str| json!({"sid": session, "email": "Anna@Example.test"});
    let (first, second) = (
        exchanged(&cloud, 20, &of("s-1")),
        exchanged(&cloud, 20, &of("s-2")),
    );
    let named = json!({"format": "complex",
        "user": subject(SUBJECT), "session": {"format": "opaque", "id": "s-1"}});
    told(&cloud, &event(&cloud, REVOKED, &named, 10));
    assert_eq!(decided(&cloud, &first), "revocation.subject_ended");
    assert_eq!(decided(&cloud, &second), "accept");
    let third = workflow(&cloud, 20, &json!({"jti": "job-special"}));
    let given = token(&exchange(&cloud, &third));
    let one = json!({"format": "jwt_id", "iss": GITHUB, "jti": "job-special"});
    told(&cloud, &event(&cloud, REVOKED, &one, 10));
    assert_eq!(decided(&cloud, &given), "revocation.subject_ended");
    assert_eq!(decided(&cloud, &second), "accept");
    let address = json!({"format": "email", "email": "anna@example.TEST"});
    told(
        &cloud,
        &event(
            &cloud,
            &format!("{RISC}/credential-compromise"),
            &address,
            10,
        ),
    );
    assert_eq!(decided(&cloud, &second), "revocation.subject_ended");
}

#[test]
fn a_closed_account_stays_closed_until_it_is_opened() {
    let cloud = cloud();
    told(
        &cloud,
        &event(
            &cloud,
            &format!("{RISC}/account-disabled"),
            &subject(SUBJECT),
            10,
        ),
    );
    let later = workflow(&cloud, 0, &json!({}));
    assert_eq!(
        refusal(&exchange(&cloud, &later)).1,
        "revocation.subject_ended"
    );
    told(
        &cloud,
        &event(
            &cloud,
            &format!("{RISC}/account-enabled"),
            &subject(SUBJECT),
            5,
        ),
    );
    assert_eq!(exchange(&cloud, &later).status, 200);
}

#[test]
fn each_event_does_what_its_name_says() {
    let cloud = cloud();
    let number = AtomicU32::new(0);
    let ends = |name: &str, said: Value| {
        let who = someone(&format!("a-{}", number.fetch_add(1, Ordering::Relaxed)));
        let given = exchanged(&cloud, 20, &who);
        let mut said = said;
        said["event_timestamp"] = json!(cloud.now() - 10);
        let event = event(&cloud, name, &subject(who["sub"].as_str().unwrap()), 10);
        told(&cloud, &event.claim("events", json!({ name: said })));
        decided(&cloud, &given) != "accept"
    };
    for (name, said) in [
        (
            "credential-change",
            json!({"change_type": "revoke", "credential_type": "fido2-roaming"}),
        ),
        ("credential-change", json!({"change_type": "update"})),
        (
            "assurance-level-change",
            json!({"change_direction": "decrease", "current_level": "nist-aal1"}),
        ),
        ("token-claims-change", json!({"claims": {"role": "none"}})),
        (
            "device-compliance-change",
            json!({"current_status": "not-compliant"}),
        ),
        (
            "risk-level-change",
            json!({"current_level": "HIGH", "principal": "USER"}),
        ),
    ] {
        assert!(
            ends(&format!("{CAEP}/{name}"), said.clone()),
            "{name} {said}"
        );
    }
    for (name, said) in [
        ("credential-change", json!({"change_type": "create"})),
        (
            "assurance-level-change",
            json!({"change_direction": "increase"}),
        ),
        (
            "device-compliance-change",
            json!({"current_status": "compliant"}),
        ),
        ("risk-level-change", json!({"current_level": "LOW"})),
        ("session-established", json!({})),
    ] {
        assert!(
            !ends(&format!("{CAEP}/{name}"), said.clone()),
            "{name} {said}"
        );
    }
    for name in [
        "account-credential-change-required",
        "account-purged",
        "identifier-recycled",
        "sessions-revoked",
    ] {
        assert!(ends(&format!("{RISC}/{name}"), json!({})), "{name}");
    }
    for name in ["opt-out-initiated", "recovery-activated"] {
        assert!(!ends(&format!("{RISC}/{name}"), json!({})), "{name}");
    }
    // What nobody knows is acknowledged and noted, and does nothing.
    assert!(!ends(
        "https://example.test/events/session-revoked",
        json!({})
    ));
    let stream = shown(&cloud, "github");
    assert_eq!(
        stream["events"][0]["event"],
        "https://example.test/events/session-revoked"
    );
    assert_eq!(stream["events"][0]["outcome"], "noted");
}

#[test]
fn a_certificate_that_was_exchanged_is_put_on_the_list_of_its_authority() {
    let cloud = cloud();
    let svid = |subject: &str, name: &str| {
        let request = pem("CERTIFICATE REQUEST", &signing_request(&Key::p256(name)));
        let form = exchange_form(
            subject,
            &[
                (
                    "requested_token_type",
                    "urn:avouch:params:token-type:x509-svid",
                ),
                ("certificate_request", &request),
            ],
        );
        token(&cloud.send(&form, &[]))
    };
    let form_of = |chain: &str| {
        let question = json!({"profile": "spiffe", "purpose": "client",
            "credential": {"x509": {"chain": [chain]}}});
        word_of(&cloud.manage("POST", "/t/one/decide", &question))
    };
    let before = svid(&workflow(&cloud, 20, &json!({})), "before");
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 10));
    let after = svid(&workflow(&cloud, 5, &json!({})), "after");
    assert_eq!(form_of(&before), "revocation.revoked");
    assert_eq!(form_of(&after), "accept");
}

#[test]
fn what_descends_from_what_ended_ends_in_every_generation() {
    let cloud = cloud();
    let asked = cloud.now();
    let first = exchanged(&cloud, 20, &json!({}));
    let lineage = claims(&first)["lineage"].clone();
    assert!(
        lineage[0]["marks"].as_array().unwrap().len() >= 2,
        "{lineage}"
    );
    let born = lineage[0]["born"].as_i64().unwrap();
    assert!((asked..=cloud.now()).contains(&(born + 20)), "{lineage}");
    // No name of the subject stands in it, only digests.
    assert!(!lineage.to_string().contains("octo"), "{lineage}");
}

#[test]
fn an_administrator_ends_what_is_named_and_sees_it() {
    let cloud = cloud();
    let given = exchanged(&cloud, 20, &json!({}));
    let end = |body: &Value| cloud.manage("POST", "/v1/tenants/one/ended", body);
    let named = json!({"issuer": GITHUB, "subject": SUBJECT, "reason": "left the company"});
    let answer = end(&named);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["changed"], true);
    assert_eq!(decided(&cloud, &given), "revocation.subject_ended");
    let ended = cloud
        .manage("GET", "/v1/tenants/one/ended", &json!({}))
        .json();
    assert_eq!(ended["ended"][0]["name"], SUBJECT, "{ended}");
    assert_eq!(ended["ended"][0]["event"], "left the company");
    for wrong in [
        json!({"issuer": GITHUB, "reason": "x"}),
        json!({"issuer": GITHUB, "subject": "a", "session": "b", "reason": "x"}),
        json!({"issuer": GITHUB, "subject": "a", "turn": "gone", "reason": "x"}),
        json!({"issuer": GITHUB, "subject": "", "reason": "x"}),
    ] {
        assert_eq!(end(&wrong).status, 400, "{wrong}");
    }
}

/// A certificate begins some seconds before it is given, for clocks that are behind; not before what ended.
#[test]
fn a_certificate_that_is_given_after_its_subject_ended_holds_at_once() {
    let cloud = cloud();
    let id = "spiffe://one.test/again";
    let said = |identity: &crate::tls::Identity| {
        let blocks = identity.chain.iter().map(|der| pem("CERTIFICATE", der));
        let question = json!({"profile": "spiffe",
            "credential": {"x509": {"chain": [blocks.collect::<String>()]}}});
        word_of(&cloud.manage("POST", "/t/one/decide", &question))
    };
    let before = cloud.world.svid(id);
    assert_eq!(said(&before), "accept");
    let named =
        json!({"issuer": "spiffe://one.test", "subject": id, "reason": "its node was lost"});
    let ended = cloud.manage("POST", "/v1/tenants/one/ended", &named);
    assert_eq!(ended.status, 200, "{}", ended.body);
    // What is given in the same second cannot be told from what ended.
    let over = cloud.now();
    while cloud.now() == over {
        std::thread::yield_now();
    }
    let after = cloud.world.svid_of("again", id);
    assert_eq!(said(&after), "accept");
    assert_eq!(said(&before), "revocation.subject_ended");
}

#[test]
fn what_ended_for_one_tenant_has_not_ended_for_another() {
    let cloud = cloud();
    cloud.rule_of(
        "two",
        "own",
        &json!({
            "from": {"trust_domain": "two.test", "facts": {"spiffe.path": "/web"}},
            "gives": {"spiffe_id": "spiffe://two.test/ci", "audiences": ["a"]},
            "owner": "web", "reason": "a test",
        }),
    );
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 0));
    let two = cloud
        .manage("GET", "/v1/tenants/two/ended", &json!({}))
        .json();
    assert_eq!(two["ended"], json!([]));
    let sent = event(&cloud, REVOKED, &subject(SUBJECT), 0).sign(&cloud.issuer, "k1");
    let headers = [("content-type", "application/secevent+jwt")];
    let request = crate::http::request("POST", "/t/two/events", &headers, Some(&sent));
    let answer = crate::http::send(cloud.world.address, &request);
    assert_eq!(answer.json()["err"], "invalid_issuer");
}

#[test]
fn what_someone_answered_for_is_an_orphan_once_their_account_is_closed() {
    let cloud = cloud();
    let entries = "/v1/tenants/one/entries";
    for (id, owner) in [("hers", SUBJECT), ("his", "someone else"), ("nobodys", "")] {
        let mut entry = json!({
            "id": id, "spiffe_id": format!("spiffe://one.test/{id}"), "selectors": ["unix:uid:1"],
        });
        if !owner.is_empty() {
            entry["owner"] = json!(owner);
        }
        let made = cloud.manage("POST", entries, &entry);
        assert!(made.status < 300, "{}", made.body);
    }
    // She answers for a rule by which others come in, too.
    let rules = "/v1/tenants/one/rules";
    let listed = cloud.manage("GET", rules, &json!({})).json();
    let mut rule = listed["rules"][0]["rule"].clone();
    rule["owner"] = json!(SUBJECT);
    let name = listed["rules"][0]["name"].as_str().unwrap();
    let kept = cloud.manage("PUT", &format!("{rules}/{name}"), &rule);
    assert!(kept.is_put(), "{}", kept.body);
    let orphaned = || cloud.manage("GET", entries, &json!({})).json()["orphaned"].clone();
    let audited = || {
        let audit = "/v1/tenants/one/audit/zero-trust";
        let list = cloud.manage("GET", audit, &json!({})).json();
        let findings = list["findings"].as_array().unwrap().iter();
        let places = findings.filter(|one| one["code"] == "orphaned");
        let places: Vec<Value> = places.map(|one| one["place"].clone()).collect();
        let lines = list["lines"].as_array().unwrap().iter();
        let mut lines = lines.filter(|line| line["id"] == "identity-record");
        let by = lines.next().unwrap()["by"].as_array().unwrap().clone();
        assert!(places.iter().all(|place| by.contains(place)), "{list}");
        json!(places)
    };
    assert_eq!(orphaned(), json!([]));
    assert_eq!(audited(), json!([]));
    // A session that ended leaves nobody without an owner.
    told(&cloud, &event(&cloud, REVOKED, &subject(SUBJECT), 30));
    assert_eq!(orphaned(), json!([]));
    let disabled = format!("{RISC}/account-disabled");
    told(&cloud, &event(&cloud, &disabled, &subject(SUBJECT), 20));
    let found = orphaned();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        (&found[0]["entry"], &found[0]["issuer"]),
        (&json!("hers"), &json!(GITHUB))
    );
    assert_eq!(audited(), json!(["entry hers", format!("rule {name}")]));
    // Opened again, someone answers for it again; purged, nobody ever will.
    let enabled = format!("{RISC}/account-enabled");
    told(&cloud, &event(&cloud, &enabled, &subject(SUBJECT), 10));
    assert_eq!(orphaned(), json!([]));
    assert_eq!(audited(), json!([]));
    let purged = format!("{RISC}/account-purged");
    told(&cloud, &event(&cloud, &purged, &subject(SUBJECT), 5));
    assert_eq!(orphaned()[0]["owner"], SUBJECT);
}

/// Whoever has a token of the tenant in hand finds in it that the tenant is its issuer.
#[test]
fn what_the_tenant_gave_ends_by_the_issuer_that_it_names() {
    let cloud = cloud();
    let end = |body: &Value| cloud.manage("POST", "/v1/tenants/one/ended", body);
    let other = exchanged(&cloud, 20, &someone("other"));
    for kind in ["token", "subject"] {
        let given = exchanged(&cloud, 20, &json!({}));
        assert_eq!(decided(&cloud, &given), "accept");
        let said = claims(&given);
        let claim = if kind == "token" { "jti" } else { "sub" };
        let named = json!({"issuer": said["iss"], kind: said[claim], "reason": "a test"});
        let answer = end(&named);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            decided(&cloud, &given),
            "revocation.subject_ended",
            "{kind}"
        );
        let is_subject = kind == "subject";
        assert_eq!(decided(&cloud, &other) == "accept", !is_subject, "{kind}");
    }
    let elsewhere = json!({
        "issuer": claims(&other)["iss"], "subject": "spiffe://one.test.evil.test/a", "reason": "a test",
    });
    assert_eq!(end(&elsewhere).code(), "issue.object_malformed");
}

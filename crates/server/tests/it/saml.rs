//! SAML assertions whose signatures `xmlsec1` checks, in a process of its own.

use avouch_api::TrustDocument;
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::saml::{XmlFound, XmlToVerify};
use avouch_core::crypto::AwsLc;
use avouch_core::id::TenantId;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_server::xml_signatures::{Share, decide, find_out};
use avouch_testkit::key::Key;
use avouch_testkit::saml::{metadata, response, xmlsec1};
use avouch_testkit::saml_hostile::{
    AUDIENCE, ISSUER, RECIPIENT, anchor, forge, good, hostile, key, near_misses,
    near_misses_in_other_words,
};
use avouch_testkit::token::NOW_SECONDS;
use avouch_testkit::world::{Authority, pem};
use serde_json::{Value, json};

use crate::exchange::for_everyone;
use crate::registry::{Registry, with};
use crate::world::World;

/// The code of a refusal, `accept`, or `undetermined`.
fn outcome(document: &str, anchor: &Value) -> String {
    let tenant = TenantId::local();
    let trust = json!({"anchors": [anchor]}).to_string();
    let trust = TrustDocument::read(trust.as_bytes(), &tenant, "a test").unwrap();
    let view = TrustDocument::view(tenant.clone(), vec![trust]);
    let mut question = Question {
        tenant,
        credential: Credential::Saml(document.to_owned()),
        profile: Profile::Private,
        purpose: Purpose::Any,
        now: Time::from_unix(NOW_SECONDS),
        context: Context {
            audiences: vec![AUDIENCE.to_owned()],
            recipients: vec![RECIPIENT.to_owned()],
            ..Context::default()
        },
    };
    match decide(&mut question, &view, &AwsLc, &Budget::default()).unwrap() {
        Verdict::Accept(_) => "accept".to_owned(),
        Verdict::Reject(refusal) => refusal.reason().code().to_owned(),
        Verdict::Undetermined(_) => "undetermined".to_owned(),
    }
}

#[test]
fn hostile_58_each_is_refused_for_its_own_reason_with_the_real_program() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    for (name, document, code) in hostile() {
        assert_eq!(outcome(&document, &anchor()), code, "{name}");
    }
}

#[test]
fn hostile_58_what_only_looks_like_it_is_believed_with_the_real_program() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let mut all = near_misses();
    all.extend(near_misses_in_other_words());
    for (name, document) in all {
        assert_eq!(outcome(&document, &anchor()), "accept", "{name}");
    }
    // A key of another kind, and the second of two.
    let elliptic = Key::p256("idp");
    let authorities = [
        Authority::root_with("Old", key(), |forge| forge),
        Authority::root_with("New", elliptic.clone(), |forge| forge),
    ];
    let certificates = authorities.map(|one| pem("CERTIFICATE", &one.certificate));
    let mut anchor = anchor();
    anchor["saml"]["certificates"] = json!(certificates);
    let document = response(&forge().sign(&elliptic));
    assert_eq!(outcome(&document, &anchor), "accept");
    assert_eq!(outcome(&good(), &anchor), "accept");
}

/// The most that is let through is worked out within the time that the other process has.
#[test]
fn hostile_58_the_most_prefixes_for_the_most_elements_are_worked_out() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let transform = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">";
    let prefixes: Vec<String> = (0..16).map(|n| format!("q{n}")).collect();
    let kept = format!(
        "{transform}<ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" \
         PrefixList=\"{}\"/>",
        prefixes.join(" ")
    );
    let spaces = |level: usize| -> String {
        let declared = (0..16).map(|n| format!(" xmlns:q{n}=\"urn:{level}:{n}\""));
        declared.collect()
    };
    let (open, close): (String, String) = (
        (0..14)
            .map(|level| format!("<a{}>", spaces(level)))
            .collect(),
        "</a>".repeat(14),
    );
    let advice = format!(
        "<saml:Advice>{open}{}{close}</saml:Advice></saml:Assertion>",
        "<b/>".repeat(9_000)
    );
    let document = good()
        .replacen(transform, &kept, 1)
        .replacen("</saml:Assertion>", &advice, 1);
    let code = outcome(&document, &anchor());
    assert_eq!(code, "federation.saml_signature_invalid");
}

#[test]
fn a_document_that_the_program_cannot_use_is_not_held() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let info = key().public_key_info();
    for document in [
        "",
        "<a>",
        "<a/>",
        "\0",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/'><a/>",
    ] {
        let wanted = XmlToVerify {
            document: document.to_owned(),
            key: info.clone(),
        };
        assert!(
            find_out(&wanted, Share::Whole).unwrap() == XmlFound::NotHeld,
            "{document:?}"
        );
    }
    let wanted = XmlToVerify {
        document: "<a/>".to_owned(),
        key: b"no key".to_vec(),
    };
    assert!(find_out(&wanted, Share::Whole).unwrap() == XmlFound::NotHeld);
}

#[test]
fn a_response_is_decided_over_http_for_whoever_may_see_why() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let world = World::new();
    let operator = world.operator();
    let put = world.send(
        &operator,
        "PUT",
        "/v1/tenants/one/anchors/staff",
        &for_everyone(&anchor()),
    );
    assert!(put.is_put(), "{}", put.body);
    let mut question = json!({
        "at": avouch_testkit::NOW, "credential": {"saml": good()},
        "audience": AUDIENCE, "recipient": RECIPIENT,
    });
    let answer = world
        .send(&operator, "POST", "/t/one/decide", &question)
        .json();
    assert_eq!(answer["verdict"], "accept", "{answer}");
    assert_eq!(answer["path"][0]["how"], "saml");
    // Who asks cannot say themselves what was found out.
    question["xml_signatures"] = json!([]);
    let answer = world
        .send(&operator, "POST", "/t/one/decide", &question)
        .json();
    assert_eq!(answer["reason"]["code"], "input.malformed", "{answer}");
    // No other tenant knows the identity provider.
    question.as_object_mut().unwrap().remove("xml_signatures");
    let answer = world
        .send(&operator, "POST", "/t/two/decide", &question)
        .json();
    assert_ne!(answer["verdict"], "accept", "{answer}");
}

#[test]
fn an_identity_provider_is_an_issuer_by_its_metadata_and_is_put_into_quarantine_like_any() {
    let registry = Registry::new();
    let certificate = Authority::root("idp").certificate;
    let metadata = |until: Option<&str>| metadata(ISSUER, &[&certificate], until);
    let document = json!({
        "saml": {"metadata": metadata(None)}, "audiences": [AUDIENCE], "recipients": [RECIPIENT],
        "owner": "the people team", "reason": "people sign in",
    });
    let ends =
        json!({"reason": "until it is known who is meant", "expires": "2100-01-01T00:00:00Z"});
    let document = with(document, json!({ "override": ends }));
    let put = registry.put("staff", &document);
    assert!(put.is_put(), "{}", put.body);
    let told = put.json();
    assert_eq!(
        (&told["issuer"], &told["state"]),
        (&json!(ISSUER), &json!("ok"))
    );
    assert_eq!(
        told["admits"][0],
        format!("everyone for whom {ISSUER} signs")
    );
    let listed = registry.call("GET", "/v1/tenants/one/issuers", None).json();
    assert_eq!(listed["issuers"][0]["name"], "staff");
    // The same provider as an anchor, too: one issuer has one quarantine.
    let bare = json!({"saml": {"metadata": metadata(None)}, "audiences": [AUDIENCE]});
    let anchor = with(bare, json!({ "unpinned": ends }));
    let anchored = registry.call("PUT", "/v1/tenants/one/anchors/other", Some(&anchor));
    assert!(anchored.is_put(), "{}", anchored.body);
    let reliance = registry
        .call("GET", "/v1/tenants/one/issuers/staff/reliance", None)
        .json();
    assert_eq!(reliance["stops"].as_array().unwrap().len(), 2, "{reliance}");
    let cause = json!({"reason": "its key was seen elsewhere"});
    let path = "/v1/tenants/one/issuers/staff/quarantine";
    assert_eq!(registry.call("POST", path, Some(&cause)).status, 200);
    assert_eq!(registry.show("staff")["state"], "quarantined");
    let question = json!({"credential": {"saml": good()}, "audience": [AUDIENCE]});
    let verdict = registry
        .call("POST", "/t/one/decide", Some(&question))
        .json();
    assert_eq!(
        verdict["reason"]["code"], "federation.issuer_quarantined",
        "{verdict}"
    );
    let attempts = verdict["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{verdict}");
    assert!(
        attempts
            .iter()
            .all(|one| one["reason"]["code"] == "federation.issuer_quarantined")
    );
    assert_eq!(registry.release("staff").status, 200);
    assert_eq!(registry.show("staff")["state"], "ok");
    // What is none is not stored, and what ended is told.
    for wrong in [
        json!({"saml": {"metadata": "<a/>"}}),
        json!({"saml": {}}),
        json!({"saml": {"metadata": metadata(None)}, "jwks_url": "https://idp.test/"}),
    ] {
        let put = registry.put("wrong", &wrong);
        assert!((400..500).contains(&put.status), "{wrong}: {}", put.body);
    }
    let mut ended = document;
    ended["saml"]["metadata"] = metadata(Some("2026-01-01T00:00:00Z")).into();
    let warnings = registry.put("staff", &ended).json()["warnings"].to_string();
    assert!(warnings.contains("ended on 2026-01-01"), "{warnings}");
    // A cache is for whoever reads it by themselves: it ends nothing here.
    let cached = metadata(None).replacen(" entityID=", " cacheDuration=\"PT6H\" entityID=", 1);
    ended["saml"]["metadata"] = cached.into();
    let warnings = registry.put("staff", &ended).json()["warnings"].to_string();
    assert!(
        warnings.contains("read anew after PT6H") && !warnings.contains("ended on"),
        "{warnings}"
    );
}

#[test]
fn an_identity_provider_is_not_trusted_for_everyone_without_a_reason_and_an_end() {
    let registry = Registry::new();
    let certificate = Authority::root("idp").certificate;
    let bare = json!({
        "saml": {"metadata": metadata(ISSUER, &[&certificate], None)}, "audiences": [AUDIENCE],
    });
    let anchor = |document: &Value| {
        let path = "/v1/tenants/one/anchors/other";
        registry.call("PUT", path, Some(document))
    };
    let ruled = |facts: Value| {
        let rules = json!({"rules": [{"name": "r", "facts": facts}]});
        with(bare.clone(), rules)
    };
    let everyone = ruled(json!({"subject": {"pattern": "*"}}));
    for document in [&bare, &everyone] {
        for refused in [registry.put("staff", document), anchor(document)] {
            assert_eq!(
                refused.code(),
                "issue.trust_unconditional",
                "{}",
                refused.body
            );
        }
    }
    let told = registry.put("staff", &bare).body;
    assert!(
        told.contains(&format!("everyone for whom {ISSUER} signs")),
        "{told}"
    );
    let some = ruled(json!({"claims.group": "staff"}));
    assert!(registry.put("staff", &some).is_put());
    assert!(anchor(&some).is_put());
}

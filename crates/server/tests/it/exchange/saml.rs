//! An assertion of SAML in (RFC 8693 3, `saml2`), a credential out.

use avouch_core::time::Time;
use avouch_testkit::saml::{ID, SamlForge, response, xmlsec1};
use avouch_testkit::saml_hostile::{ISSUER, SUBJECT, anchor, key};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::json;

use super::{CLOUD, Cloud, OURSELVES, claims, refusal, token};

const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";

/// An assertion as of now for the token endpoint of the tenant `one`.
fn assertion(cloud: &Cloud, id: &str) -> SamlForge {
    let at = |seconds: i64| Time::from_unix(cloud.now() + seconds).to_string();
    SamlForge::new(ISSUER, SUBJECT, OURSELVES, &format!("{OURSELVES}/token"))
        .with(ID, id)
        .with("2024-06-01T00:05:00Z", &at(300))
        .with("2024-06-01T00:00:00Z", &at(0))
        .with("2024-05-31T23:59:00Z", &at(-60))
        .with("2024-05-31T23:50:00Z", &at(-600))
}

/// What the tests of this file trust.
fn trusting() -> Cloud {
    let cloud = Cloud::new();
    let mut staff = anchor();
    staff["audiences"] = json!([OURSELVES]);
    staff["recipients"] = json!([format!("{OURSELVES}/token")]);
    cloud.anchor("staff", &staff);
    cloud
}

fn encoded(document: &str) -> String {
    Base64UrlUnpadded::encode_string(document.as_bytes())
}

#[test]
fn hostile_58_an_assertion_is_exchanged_once_and_only_where_it_is_for() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let cloud = trusting();
    let rule = json!({
        "from": {"anchor": "staff", "facts": {"claims.department": "ops"}},
        "assurance": {"acr": ["https://refeds.org/profile/mfa"], "max_age": 3600},
        "gives": {
            "spiffe_id": "spiffe://one.test/staff/{claims.department}",
            "audiences": [CLOUD], "lifetime": 120,
        },
        "owner": "the platform team", "reason": "operators sign in",
    });
    cloud.rule("staff", &rule);
    let of_saml = [("subject_token_type", SAML2)];
    let good = response(&assertion(&cloud, "_1").sign(&key()));
    let answer = cloud.exchange(&encoded(&good), &of_saml);
    let said = claims(&token(&answer));
    assert_eq!(said["sub"], "spiffe://one.test/staff/ops");
    assert_eq!(said["lineage"][0]["iss"], ISSUER);

    let again = refusal(&cloud.exchange(&encoded(&good), &of_saml));
    assert_eq!(again.1, "issue.token_used");
    // The same assertion in another envelope is the same assertion.
    let bare = assertion(&cloud, "_1").sign(&key());
    let again = refusal(&cloud.exchange(&encoded(&bare), &of_saml));
    assert_eq!(again.1, "issue.token_used");

    let elsewhere = assertion(&cloud, "_2")
        .with("/token", "/other")
        .sign(&key());
    let evil = assertion(&cloud, "_3").with(SUBJECT, "admin").unsigned();
    let wrapped = response(&format!("{evil}{}", assertion(&cloud, "_4").sign(&key())));
    let old = assertion(&cloud, "_5")
        .with("SessionIndex=\"s1\"", "SessionIndex=\"s2\"")
        .with(
            &Time::from_unix(cloud.now() - 600).to_string(),
            &Time::from_unix(cloud.now() - 7_200).to_string(),
        );
    let weak = assertion(&cloud, "_6").with(
        "https://refeds.org/profile/mfa",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
    );
    for (name, document, code) in [
        ("elsewhere", elsewhere, "federation.saml_recipient_mismatch"),
        ("wrapped", wrapped, "federation.saml_assertion_count"),
        (
            "signed in long ago",
            old.sign(&key()),
            "issue.assurance_insufficient",
        ),
        (
            "a password",
            weak.sign(&key()),
            "issue.assurance_insufficient",
        ),
        ("no SAML", "<a/>".to_owned(), "input.saml_malformed"),
    ] {
        let refused = refusal(&cloud.exchange(&encoded(&document), &of_saml));
        assert_eq!(refused.1, code, "{name}");
    }
}

/// SAML Core 2.5.1.6: whoever has signed it says whether others may be told something on its word.
#[test]
fn nothing_is_given_on_the_word_of_an_assertion_that_does_not_allow_it() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let cloud = trusting();
    cloud.rule(
        "staff",
        &json!({
            "from": {"anchor": "staff", "facts": {"claims.department": "ops"}},
            "gives": {
                "spiffe_id": "spiffe://one.test/staff/{claims.department}", "kinds": ["jwt-svid", "x509-svid"],
                "audiences": [CLOUD], "lifetime": 120,
            },
            "owner": "the platform team", "reason": "operators sign in",
        }),
    );
    let request = avouch_testkit::world::pem(
        "CERTIFICATE REQUEST",
        &crate::world::signing_request(&cloud.holder),
    );
    let certificate = [
        (
            "requested_token_type",
            "urn:avouch:params:token-type:x509-svid",
        ),
        ("certificate_request", request.as_str()),
    ];
    let named = |audience: &str| {
        format!(
            "<saml:ProxyRestriction><saml:Audience>{audience}</saml:Audience></saml:ProxyRestriction>"
        )
    };
    let counted =
        |count: u32| format!("<saml:ProxyRestriction Count=\"{count}\"></saml:ProxyRestriction>");
    let restricted = "issue.proxy_restricted";
    let cases = [
        (counted(0), &[][..], restricted),
        (counted(1), &[], restricted),
        (named("https://other.test"), &[], restricted),
        (named(CLOUD), &certificate, restricted),
        (named(CLOUD), &[], ""),
        (String::new(), &certificate, ""),
    ];
    for (number, (restriction, more, code)) in cases.into_iter().enumerate() {
        let conditions = format!("{restriction}</saml:Conditions>");
        let forge =
            assertion(&cloud, &format!("_p{number}")).with("</saml:Conditions>", &conditions);
        let document = encoded(&response(&forge.sign(&key())));
        let of_saml = [("subject_token_type", SAML2)];
        let asked: Vec<(&str, &str)> = of_saml.iter().chain(more).copied().collect();
        let answer = cloud.exchange(&document, &asked);
        if code.is_empty() {
            token(&answer);
        } else {
            assert_eq!(refusal(&answer).1, code, "{restriction}");
        }
    }
}

/// Nor through what is given: whom an assertion names alone is named by all that descends from it.
#[test]
fn nor_is_it_at_a_further_exchange() {
    if let Err(why) = xmlsec1() {
        return println!("skipped: SAML with xmlsec1: {why}");
    }
    let cloud = trusting();
    let rule = |from: serde_json::Value, gives: &str, audiences: &[&str]| {
        json!({
            "from": from,
            "gives": {
                "spiffe_id": gives, "kinds": ["jwt-svid"], "audiences": audiences, "lifetime": 120,
            },
            "owner": "the platform team", "reason": "operators sign in",
        })
    };
    let of_staff = json!({"anchor": "staff", "facts": {"claims.department": "ops"}});
    cloud.rule(
        "staff",
        &rule(of_staff, "spiffe://one.test/staff", &[OURSELVES]),
    );
    let again = json!({"trust_domain": "one.test", "facts": {"spiffe.path": "/staff"}});
    cloud.rule("again", &rule(again, "spiffe://one.test/db", &[CLOUD]));
    for (number, named, code) in [
        (1, vec![OURSELVES], "issue.proxy_restricted"),
        (2, vec![OURSELVES, CLOUD], ""),
    ] {
        let audiences = named.iter();
        let audiences: String = audiences
            .map(|one| format!("<saml:Audience>{one}</saml:Audience>"))
            .collect();
        let conditions =
            format!("<saml:ProxyRestriction>{audiences}</saml:ProxyRestriction></saml:Conditions>");
        let forge =
            assertion(&cloud, &format!("_d{number}")).with("</saml:Conditions>", &conditions);
        let document = encoded(&response(&forge.sign(&key())));
        let first = token(&cloud.exchange(&document, &[("subject_token_type", SAML2)]));
        assert_eq!(claims(&first)["lineage"][0]["audiences"], json!(named));
        let second = cloud.exchange(&first, &[]);
        if code.is_empty() {
            assert_eq!(claims(&token(&second))["sub"], "spiffe://one.test/db");
        } else {
            assert_eq!(refusal(&second).1, code);
        }
    }
}

//! The other well-known issuers: what their tokens show, and what they cannot.

use avouch_core::verdict::IdentityKind;
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::token_ask::{AUDIENCE, Ask, issuer_key};

fn asked(token: &TokenForge, key: &Key, issuer: &str, more: &Value) -> Ask {
    let mut anchor = json!({"issuer": issuer, "jwks": jwks(&[jwk(key, "key-1")])});
    for (member, value) in more.as_object().unwrap() {
        anchor[member] = value.clone();
    }
    Ask::jwt(token.sign(key, "key-1")).trust(&anchor)
}

#[test]
fn sign_in_with_google_is_bound_to_a_domain_and_a_verified_address() {
    let google = "https://accounts.google.com";
    let token = TokenForge::oidc(google, "1234567890", AUDIENCE)
        .claim("hd", "example.com".into())
        .claim("email", "a@example.com".into())
        .claim("email_verified", true.into())
        .claim("azp", AUDIENCE.into());
    let rules = |facts: Value| json!({"rules": [{"facts": facts}]});
    let by_domain = rules(json!({"google.hosted_domain": "example.com"}));
    let key = issuer_key();
    asked(&token, &key, google, &by_domain).is_accepted();
    asked(
        &token.clone().claim("hd", "evil.com".into()),
        &key,
        google,
        &by_domain,
    )
    .is_refused("policy.rule_not_matched");
    // A personal account has no domain.
    asked(&token.clone().without("hd"), &key, google, &by_domain)
        .is_refused("policy.rule_not_matched");
    let unverified = token.clone().claim("email_verified", false.into());
    let by_address =
        rules(json!({"google.hosted_domain": "example.com", "google.email": "a@example.com"}));
    asked(&unverified, &key, google, &by_address).is_refused("policy.rule_not_matched");
    asked(&token, &key, google, &by_address).is_accepted();
    // The one second spelling that Google documents.
    asked(
        &token.claim("iss", "accounts.google.com".into()),
        &key,
        google,
        &by_domain,
    )
    .is_accepted();
}

#[test]
fn identity_aware_proxy_is_believed_by_its_signed_assertion_only() {
    let iap = "https://cloud.google.com/iap";
    let backend = "/projects/123/global/backendServices/456";
    let token = TokenForge::oidc(iap, "accounts.google.com:1234567890", backend)
        .claim("email", "a@example.com".into())
        .claim("hd", "example.com".into());
    let bound = json!({"audiences": [backend]});
    let question = asked(&token, &issuer_key(), iap, &bound).audiences(&[]);
    question.is_accepted();
    assert_eq!(question.identity().facts()["iap.email"], "a@example.com");
    // The same words, signed in another way, are not the assertion.
    asked(&token, &Key::rsa(RsaTestKey::A), iap, &bound)
        .audiences(&[])
        .is_refused("federation.algorithm_not_allowed");
    let elsewhere = token.claim("aud", "/projects/123/global/backendServices/789".into());
    asked(&elsewhere, &issuer_key(), iap, &bound)
        .audiences(&[])
        .is_refused("federation.audience_mismatch");
    let forged = "eyJhbGciOiJub25lIn0.e30.";
    Ask::jwt(forged)
        .trust(&json!({"issuer": iap, "jwks": jwks(&[jwk(&issuer_key(), "key-1")])}))
        .is_refused("federation.algorithm_forbidden");
}

#[test]
fn a_token_of_entra_is_of_the_tenant_in_the_name_of_its_issuer() {
    let issuer = "https://login.microsoftonline.com/8f7e6d5c-0000-4000-8000-000000000001/v2.0";
    let token = |tenant: &str| {
        TokenForge::oidc(issuer, "pairwise", AUDIENCE)
            .claim("tid", tenant.into())
            .claim("oid", "00000000-aaaa".into())
    };
    let rules = json!({"rules": [{"facts": {"entra.object_id": "00000000-aaaa"}}]});
    let key = Key::rsa(RsaTestKey::A);
    asked(
        &token("8f7e6d5c-0000-4000-8000-000000000001"),
        &key,
        issuer,
        &rules,
    )
    .is_accepted();
    asked(
        &token("8f7e6d5c-0000-4000-8000-000000000002"),
        &key,
        issuer,
        &rules,
    )
    .is_refused("federation.subject_not_of_issuer");
}

#[test]
fn a_token_of_circleci_is_of_the_organization_in_the_name_of_its_issuer() {
    let issuer = "https://oidc.circleci.com/org/org-1";
    let token = |organization: &str, project: &str| {
        TokenForge::oidc(
            issuer,
            &format!("org/{organization}/project/{project}/user/u-1"),
            AUDIENCE,
        )
        .claim("oidc.circleci.com/project-id", "project-1".into())
        .claim("oidc.circleci.com/ssh-rerun", false.into())
    };
    let rules = json!({"rules": [{"facts":
        {"circleci.project_id": "project-1", "circleci.ssh_rerun": "false"}}]});
    let key = issuer_key();
    asked(&token("org-1", "project-1"), &key, issuer, &rules).is_accepted();
    asked(&token("org-2", "project-1"), &key, issuer, &rules)
        .is_refused("federation.subject_not_of_issuer");
    asked(&token("org-1", "project-2"), &key, issuer, &rules)
        .is_refused("federation.subject_not_of_issuer");
}

#[test]
fn a_server_of_githubs_for_one_enterprise_needs_no_pin() {
    for issuer in [
        "https://ghes.example.com/_services/token",
        "https://token.actions.octo.ghe.com",
        "https://token.actions.githubusercontent.com/avocado-corp",
    ] {
        let token = TokenForge::oidc(issuer, "repo:o/r:ref:refs/heads/main", AUDIENCE)
            .claim("repository", "o/r".into())
            .claim("ref", "refs/heads/main".into());
        let question = asked(&token, &issuer_key(), issuer, &json!({}));
        let identity = question.identity();
        assert_eq!(identity.kind(), IdentityKind::Token);
        assert_eq!(
            identity.name(),
            format!("{issuer}#repo:o/r:ref:refs/heads/main")
        );
        assert_eq!(identity.facts()["github.repository"], "o/r");
    }
}

#[test]
fn a_refusal_by_rule_says_what_is_near_and_what_the_fix_would_admit() {
    let issuer = "https://gitlab.example.com";
    let token = TokenForge::oidc(issuer, "project_path:g/p:ref:dev", AUDIENCE)
        .claim("project_path", "g/p".into())
        .claim("project_id", "20".into())
        .claim("ref", "dev".into());
    let more = json!({"preset": "gitlab", "rules": [
        {"name": "other", "facts": {"gitlab.project_id": "21", "gitlab.ref": "main"}},
        {"name": "deploy", "facts": {"gitlab.project_id": "20", "gitlab.ref": "main"}},
    ]});
    let question = asked(&token, &issuer_key(), issuer, &more);
    let reason = question.reason();
    assert_eq!(
        reason.sentence(),
        "https://gitlab.example.com really issued this token, but no rule admits it; the closest, \
         deploy, differs in gitlab.ref (expected main, seen dev)."
    );
    assert_eq!(
        avouch_core::explain::also_admitted(&reason, &question.question).as_deref(),
        Some(
            "every token with gitlab.project_id = 20 and gitlab.ref = dev, whatever its \
             gitlab.project_path"
        )
    );
}

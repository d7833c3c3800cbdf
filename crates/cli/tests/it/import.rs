//! What other systems trust, read from files.

use serde_json::{Value, json};

use crate::run::Folder;

const GITHUB: &str = "token.actions.githubusercontent.com";

fn policy(subject: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{GITHUB}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"},
                "StringLike": {format!("{GITHUB}:sub"): subject},
            },
        }],
    })
    .to_string()
}

#[test]
fn a_wildcard_is_shown_with_whom_it_lets_in() {
    let folder = Folder::new("import_wildcard");
    folder.file("trust.json", policy("repo:octo-org*:environment:prod"));
    insta::assert_snapshot!(folder.both(&["import", "aws-trust-policy", "trust.json"]));
}

#[test]
fn what_is_tight_is_clean() {
    let folder = Folder::new("import_clean");
    folder.file(
        "trust.json",
        policy("repo:octo-org@65/octo-repo@74:environment:prod"),
    );
    let ran = folder.run(&["import", "aws-trust-policy", "trust.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.ends_with("nothing is found\n"), "{ran:?}");
}

#[test]
fn claims_and_tokens_are_held_against_a_configuration() {
    let folder = Folder::new("import_claims");
    let claims = json!({
        "iss": format!("https://{GITHUB}"), "aud": "sts.amazonaws.com",
        "sub": "repo:mallory/octo-repo:environment:prod",
    });
    // The bytes of the claims in base64url, between a header and a signature that nobody looks at.
    let payload = "eyJzdWIiOiJyZXBvOm9jdG8tb3JnL3g6ZW52aXJvbm1lbnQ6cHJvZCIsImF1ZCI6InN0cy5hbWF6b25hd3MuY29tIn0";
    folder
        .file("trust.json", policy("repo:octo-org*:environment:prod"))
        .file("claims.json", claims.to_string())
        .file("token.jwt", format!("e30.{payload}.c2ln\n"))
        .file("broken.jwt", "no token");
    let run = |option: &str, file: &str| {
        folder.run(&[
            "import",
            "aws-trust-policy",
            "trust.json",
            option,
            file,
            "-o",
            "json",
        ])
    };
    let refused = run("--claims", "claims.json");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!(
        refused.json()["traces"][0]["steps"][1]["held"],
        "does not hold"
    );
    let admitted = run("--token", "token.jwt");
    assert_eq!(admitted.code, 0, "{admitted:?}");
    assert_eq!(run("--token", "broken.jwt").code, 3);
    insta::assert_snapshot!(
        folder
            .run(&[
                "import",
                "aws-trust-policy",
                "trust.json",
                "--claims",
                "claims.json"
            ])
            .told()
    );
}

#[test]
fn the_same_is_written_for_avouch_and_what_is_left_is_said() {
    let folder = Folder::new("import_rules");
    folder
        .file(
            "trust.json",
            policy("repo:octo-org/octo-repo:environment:prod"),
        )
        .file("claims.json", r#"{"repository_id": "74"}"#);
    let arguments = ["import", "aws-trust-policy", "trust.json", "--as-rules"];
    let without = folder.run(&arguments);
    assert_eq!(without.code, 11, "{without:?}");
    assert!(
        without.out.starts_with("# not carried over: "),
        "{without:?}"
    );
    let whole = folder.run(&[&arguments[..], &["--claims", "claims.json", "-o", "json"]].concat());
    assert_eq!(whole.code, 0, "{whole:?}");
    let carried = &whole.json()["carried"][0];
    assert_eq!(
        carried["rule"]["from"]["facts"]["github.repository_id"],
        "74"
    );
    // What is written can be read again as a trust document.
    folder.file("trust.yaml", carried["trust_document"].to_string());
    let listed = folder.run(&["anchor", "list", "--trust", "trust.yaml"]);
    assert_eq!(listed.code, 0, "{listed:?}");
}

#[test]
fn findings_are_written_as_sarif_and_nothing_else_is() {
    let folder = Folder::new("import_sarif");
    folder.file("trust.json", policy("repo:octo-org*:environment:prod"));
    let ran = folder.run(&["import", "aws-trust-policy", "trust.json", "-o", "sarif"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let log = ran.json();
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .any(|one| one["ruleId"] == "wildcard-subject")
    );
    let rules = log["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .unwrap();
    let known = |id: &Value| rules.iter().any(|rule| rule["id"] == *id);
    assert!(results.iter().all(|one| known(&one["ruleId"])));
    assert_eq!(folder.run(&["model", "show", "-o", "sarif"]).code, 2);
}

#[test]
fn yaml_of_kubernetes_and_json_of_google_are_read() {
    let folder = Folder::new("import_others");
    folder
        .file(
            "authentication.yaml",
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
             - issuer:\n    url: https://token.actions.githubusercontent.com\n    audiences: [k8s]\n\
             \x20 claimMappings:\n    username: {claim: sub, prefix: 'github:'}\n",
        )
        .file(
            "provider.json",
            json!({
                "name": "projects/1/locations/global/workloadIdentityPools/ci/providers/main",
                "attributeMapping": {"google.subject": "assertion.sub"},
                "attributeCondition": "assertion.repository_owner == 'octo-org'",
                "oidc": {"issuerUri": format!("https://{GITHUB}")},
            })
            .to_string(),
        )
        .file("broken.yaml", "jwt: [");
    let run = |what: &str, file: &str| folder.run(&["import", what, file, "-o", "json"]);
    let cluster = run("kubernetes-authentication", "authentication.yaml");
    assert_eq!(cluster.code, 14, "{cluster:?}");
    assert_eq!(cluster.json()["severity"], "critical");
    let google = run("gcp-wif", "provider.json");
    assert_eq!(google.code, 14, "{google:?}");
    assert!(
        google.json()["admits"][0]["population"]
            .as_str()
            .unwrap()
            .starts_with(
                "every repository on github.com with assertion.repository_owner == 'octo-org'"
            )
    );
    assert_eq!(run("kubernetes-authentication", "broken.yaml").code, 3);
    assert_eq!(run("gcp-wif", "missing.json").code, 1);
}

#[test]
fn every_code_is_explained_where_a_user_looks() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/how-to/import-trust.md"
    ))
    .unwrap();
    for code in avouch_audit::Code::ALL {
        let row = format!("| `{}` | {} |", code.name(), code.severity().name());
        assert!(text.contains(&row), "{row}");
    }
}

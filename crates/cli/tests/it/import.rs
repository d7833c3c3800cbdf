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
    let broken = run("--token", "broken.jwt");
    assert_eq!(broken.code, 3);
    let broken = broken.json()["reason"]["sentence"].to_string();
    assert!(broken.contains("The token cannot be read"), "{broken}");
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
    let without = folder.run(&["import", "aws-trust-policy", "trust.json"]);
    assert_eq!((ran.code, without.code), (14, 14), "{ran:?}");
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

/// Kinds 32, 33 and 62 of hostile input come in files: nothing over the network reads what other systems trust.
fn looked_at(folder: &Folder, kind: &str, document: &Value) -> (i32, String) {
    folder.file("document.json", document.to_string());
    let ran = folder.run(&["import", kind, "document.json", "-o", "json"]);
    (ran.code, format!("{}{}", ran.out, ran.err))
}

fn provider(condition: &str) -> Value {
    json!({
        "name": "projects/1/locations/global/workloadIdentityPools/ci/providers/main", "state": "ACTIVE",
        "attributeMapping": {"google.subject": "assertion.sub"}, "attributeCondition": condition,
        "oidc": {"issuerUri": format!("https://{GITHUB}"), "allowedAudiences": ["https://ci.example.com"]},
    })
}

fn authentication(rules: &Value) -> Value {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": format!("https://{GITHUB}"), "audiences": ["kubernetes"]},
            "claimValidationRules": rules,
            "claimMappings": {"username": {"claim": "sub", "prefix": "github:"}},
        }],
    })
}

#[test]
fn hostile_32_and_33_wildcards_and_guards_that_pass_in_files_are_found_by_the_command() {
    let folder = Folder::new("import_hostile");
    let role = |conditions: Value| {
        let mut role: Value = serde_json::from_str(&policy("x")).unwrap();
        role["Statement"][0]["Condition"] = conditions;
        role
    };
    let subject = format!("{GITHUB}:sub");
    let audience = json!({format!("{GITHUB}:aud"): "sts.amazonaws.com"});
    let expression = |text: &str| authentication(&json!([{ "expression": text }]));
    for (kind, document, code) in [
        // 32: what only begins alike, what is anywhere, and what crosses a divider.
        (
            "aws-trust-policy",
            role(json!({"StringEquals": audience, "StringLike": {&subject: "repo:octo-org*"}})),
            "wildcard-subject",
        ),
        (
            "aws-trust-policy",
            role(json!({"StringEquals": audience, "StringLike": {&subject: "*octo-repo*"}})),
            "wildcard-subject",
        ),
        (
            "gcp-wif",
            provider("assertion.repository.startsWith('octo-org')"),
            "wildcard-subject",
        ),
        (
            "gcp-wif",
            provider("assertion.sub.contains('octo-org/octo-repo')"),
            "wildcard-subject",
        ),
        (
            "kubernetes-authentication",
            expression("claims.repository.startsWith('octo-org')"),
            "wildcard-subject",
        ),
        // 33: what passes where nothing is there, and what is not anchored.
        (
            "aws-trust-policy",
            role(
                json!({"StringEquals": audience, "ForAllValues:StringLike": {&subject: "repo:octo-org/octo-repo:*"}}),
            ),
            "vacuous-condition",
        ),
        (
            "gcp-wif",
            provider("assertion.sub.matches('repo:octo-org/octo-repo')"),
            "unanchored-regex",
        ),
        (
            "kubernetes-authentication",
            expression("!has(claims.environment) || claims.environment == 'prod'"),
            "vacuous-condition",
        ),
        (
            "kubernetes-authentication",
            expression("claims.repository.matches('octo-org/octo-repo')"),
            "unanchored-regex",
        ),
    ] {
        let (ended, said) = looked_at(&folder, kind, &document);
        assert!(said.contains(code), "{code}: {document} {said}");
        assert!((11..=14).contains(&ended), "{ended}: {said}");
    }
}

#[test]
fn what_names_someone_for_good_is_a_near_miss_of_hostile_32_and_33() {
    let folder = Folder::new("import_near_misses");
    for (kind, document) in [
        (
            "gcp-wif",
            provider(
                "assertion.repository_id == '74' && assertion.event_name == 'push' && assertion.ref == 'refs/heads/main'",
            ),
        ),
        (
            "kubernetes-authentication",
            authentication(&json!([
                {"claim": "repository_id", "requiredValue": "74"}, {"claim": "environment", "requiredValue": "prod"},
            ])),
        ),
    ] {
        let (ended, said) = looked_at(&folder, kind, &document);
        assert_eq!(ended, 0, "{said}");
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is tried"
)]
fn hostile_62_expressions_in_files_that_cost_too_much_are_found_or_refused_and_end() {
    let folder = Folder::new("import_bombs");
    let begun = std::time::Instant::now();
    let nested = |depth: usize| {
        let mut text = "true".to_owned();
        for level in 0..depth {
            text = format!("claims.groups.all(g{level}, {text})");
        }
        text
    };
    let both = |text: &str| {
        [
            ("gcp-wif", provider(&text.replace("claims.", "assertion."))),
            (
                "kubernetes-authentication",
                authentication(&json!([{ "expression": text }])),
            ),
        ]
    };
    // Loops within loops run within a bound, and are told.
    for (kind, document) in both(&nested(6)) {
        let (ended, said) = looked_at(&folder, kind, &document);
        assert!(said.contains("cel-cost"), "{kind}: {said}");
        assert!((11..=14).contains(&ended), "{ended}: {said}");
    }
    // What is too deep, too long, no expression, or a regular expression that grows is no document.
    let deep = format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000));
    let long = format!("claims.sub == '{}'", "x".repeat(100_000));
    for text in [
        nested(400),
        deep,
        long,
        "claims.sub ==".to_owned(),
        "claims.sub.matches('(((a{1000}){1000}){1000})')".to_owned(),
    ] {
        for (kind, document) in both(&text) {
            let (ended, said) = looked_at(&folder, kind, &document);
            assert!(ended != 0 && ended < 100, "{kind} {ended}: {said:.300}");
            assert!(!said.contains("panicked"), "{kind}: {said:.300}");
        }
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

/// A regular expression that RE2 reads and this does not says neither yes nor no.
#[test]
fn what_is_not_evaluated_here_leaves_open_who_is_admitted() {
    let folder = Folder::new("import_open");
    let provider = json!({
        "name": "projects/1/locations/global/workloadIdentityPools/ci/providers/main",
        "attributeMapping": {"google.subject": "assertion.sub"},
        "attributeCondition": "assertion.sub.matches('^o\\\\Cto$')",
        "oidc": {"issuerUri": "https://idp.example.com", "allowedAudiences": ["a"]},
    });
    let claims = json!({"iss": "https://idp.example.com", "aud": "a", "sub": "octo"});
    folder
        .file("provider.json", provider.to_string())
        .file("claims.json", claims.to_string());
    let arguments = [
        "import",
        "gcp-wif",
        "provider.json",
        "--claims",
        "claims.json",
    ];
    let told = folder.run(&arguments);
    assert_eq!(told.code, 4, "{told:?}");
    assert!(told.out.starts_with("not known"), "{told:?}");
    let told = folder.run(&[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(told.json()["admitted"], Value::Null, "{told:?}");
}

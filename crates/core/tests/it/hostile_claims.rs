//! Hostile tokens 31 to 36, 40 and 42 to 47: what claims mean, and what a rule over them admits.

use avouch_core::reason::Reason;
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::token_ask::{AUDIENCE, Ask, good, issuer, issuer_key, read_anchor};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// A GitHub Actions token of `octo-org/octo-repo`, branch `main`.
fn github() -> TokenForge {
    let main = "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main";
    TokenForge::oidc(
        GITHUB,
        "repo:octo-org/octo-repo:ref:refs/heads/main",
        AUDIENCE,
    )
    .claim("repository", "octo-org/octo-repo".into())
    .claim("repository_id", "74".into())
    .claim("repository_owner", "octo-org".into())
    .claim("repository_owner_id", "65".into())
    .claim("repository_visibility", "private".into())
    .claim("ref", "refs/heads/main".into())
    .claim("ref_type", "branch".into())
    .claim("event_name", "push".into())
    .claim("job_workflow_ref", main.into())
    .claim("job_workflow_sha", "1".repeat(40).into())
    .claim("runner_environment", "github-hosted".into())
}

/// A question about a token of an issuer trusted by one rule.
fn ruled(token: &TokenForge, issuer: &str, facts: Value) -> Ask {
    with_anchor(
        token,
        issuer,
        json!({"rules": [{"name": "rule", "facts": facts}]}),
    )
}

fn with_anchor(token: &TokenForge, issuer: &str, more: Value) -> Ask {
    let mut anchor = json!({"issuer": issuer, "jwks": jwks(&[jwk(&issuer_key(), "key-1")])});
    for (member, value) in more.as_object().unwrap() {
        anchor[member] = value.clone();
    }
    Ask::jwt(token.sign(&issuer_key(), "key-1")).trust(&anchor)
}

/// As `ruled`, with the repository pinned.
fn pinned(token: &TokenForge, mut facts: Value) -> Ask {
    facts["github.repository_id"] = json!("74");
    ruled(token, GITHUB, facts)
}

#[test]
fn hostile_33_numbers_of_owner_and_repository_may_be_numbers() {
    let subject = "repo:octo-org@65/octo-repo@74:ref:refs/heads/main";
    let token = |owner: Value, repository: Value| {
        let token = github()
            .claim("sub", subject.into())
            .claim("repository_owner_id", owner)
            .claim("repository_id", repository);
        pinned(&token, json!({"subject": subject}))
    };
    token(json!("65"), json!("74")).is_accepted();
    token(json!(65), json!(74)).is_accepted();
    let disagrees = "federation.subject_not_of_issuer";
    token(json!(66), json!(74)).is_refused(disagrees);
    token(json!(65), json!(75)).is_refused(disagrees);
    // What is no number of anything is told as what it is, and not as missing.
    for other in [json!(65.5), json!(null), json!([65])] {
        let asked = token(other.clone(), json!(74));
        asked.is_refused(disagrees);
        let sentence = asked.reason().sentence();
        assert!(
            !sentence.contains("there is no claim"),
            "{other}: {sentence}"
        );
    }
}

#[test]
fn hostile_31_a_claim_that_its_holder_may_change_names_no_one() {
    for claim in [
        "preferred_username",
        "name",
        "upn",
        "unique_name",
        "nickname",
    ] {
        let facts = json!({format!("claims.{claim}"): "admin"});
        let mut anchor = issuer();
        anchor["rules"] = json!([{"facts": facts}]);
        assert_eq!(
            read_anchor(&anchor).unwrap_err().code(),
            "policy.rule_invalid",
            "{claim}"
        );
    }
    let by_email = |verified: Value| {
        let token = good()
            .claim("email", "a@example.com".into())
            .claim("email_verified", verified);
        ruled(
            &token,
            crate::token_ask::ISSUER,
            json!({"claims.email": "a@example.com"}),
        )
    };
    by_email(json!(false)).is_refused("policy.rule_not_matched");
    by_email(json!("true")).is_refused("policy.rule_not_matched");
    by_email(json!(true)).is_accepted();
}

#[test]
fn hostile_33_a_list_is_asked_for_what_it_has_and_for_nothing_else() {
    let of = |groups: Value| good().claim("groups", groups);
    let by = |groups: Value, matcher: Value| {
        let facts = json!({ "claims.groups": matcher });
        ruled(&of(groups), crate::token_ask::ISSUER, facts)
    };
    let has = || json!({"has": "admins"});
    for groups in [json!(["users", "admins"]), json!(["admins", "admins"])] {
        by(groups, has()).is_accepted();
    }
    by(json!(["ops"]), json!({"has": ["admins", "ops"]})).is_accepted();
    let each = || json!({"has_all": ["admins", "ops"]});
    by(json!(["ops", "users", "admins"]), each()).is_accepted();
    for groups in [
        json!(["ops"]),
        json!(["admins", "Ops"]),
        json!("admins"),
        json!([]),
    ] {
        by(groups, each()).is_refused("policy.rule_not_matched");
    }
    by(json!("admins"), json!("admins")).is_accepted();
    let many = |number: usize| json!(vec!["admins"; number]);
    by(many(256), has()).is_accepted();
    for groups in [
        json!("admins"),
        json!(["Admins"]),
        json!(["admins "]),
        json!(["the/admins"]),
        json!(["users,admins"]),
        json!([["admins"]]),
        json!(["admins", ["users"]]),
        json!(["admins", 1]),
        json!({"admins": true}),
        json!([]),
        json!(null),
        many(257),
    ] {
        by(groups, has()).is_refused("policy.rule_not_matched");
    }
    for matcher in [json!("admins"), json!(["admins"]), json!({"pattern": "*"})] {
        by(json!(["admins"]), matcher).is_refused("policy.rule_not_matched");
    }
    let refused = |matcher: Value| {
        let mut anchor = issuer();
        anchor["rules"] = json!([{"facts": {"claims.groups": matcher}}]);
        read_anchor(&anchor).unwrap_err().code()
    };
    for matcher in [
        json!({"has": "admin*"}),
        json!({"has": []}),
        json!({"has": {"pattern": "**"}}),
        json!({"has": "a", "pattern": "a"}),
    ] {
        assert_eq!(refused(matcher), "policy.rule_invalid");
    }
}

#[test]
fn hostile_32_a_wildcard_never_crosses_a_segment() {
    let of = |repository: &str| {
        github()
            .claim(
                "sub",
                format!("repo:{repository}:ref:refs/heads/main").into(),
            )
            .claim("repository", repository.into())
    };
    let by = |repository: &str, pattern: &str| {
        pinned(
            &of(repository),
            json!({"github.repository": {"pattern": pattern}}),
        )
    };
    by("octo-org-evil/octo-repo", "octo-org/*").is_refused("policy.rule_not_matched");
    by("octo-org/octo-repo-evil", "octo-org/octo-repo").is_refused("policy.rule_not_matched");
    by("octo-org/octo-repo", "octo-org/*").is_accepted();
    let by_subject = |pattern: &str| pinned(&github(), json!({"subject": {"pattern": pattern}}));
    by_subject("repo:octo-org/*").is_refused("policy.rule_not_matched");
    by_subject("repo:octo-org/**").is_accepted();
    // What other systems take for wildcards is refused instead of never matching.
    for facts in [
        json!({"subject": "repo:octo-org/*"}),
        json!({"subject": "repo:octo-org*"}),
        json!({"github.repository": {"pattern": "octo-org/octo-*"}}),
    ] {
        let mut facts = facts;
        facts["github.repository_id"] = json!("74");
        let anchor = json!({"issuer": GITHUB, "rules": [{"facts": facts}]});
        assert_eq!(
            read_anchor(&anchor).unwrap_err().code(),
            "policy.rule_invalid"
        );
    }
}

#[test]
fn hostile_32_an_issuer_of_everyone_needs_a_rule_that_names_someone() {
    let mut anchor = json!({"issuer": GITHUB, "jwks": jwks(&[jwk(&issuer_key(), "key-1")])});
    let reason = read_anchor(&anchor).unwrap_err();
    let Reason::SharedIssuerUnpinned { population, .. } = &reason else {
        panic!("{reason:?}");
    };
    assert_eq!(population, "every repository on github.com");
    anchor["rules"] = json!([{"name": "main", "facts": {"github.ref": "refs/heads/main"}}]);
    let reason = read_anchor(&anchor).unwrap_err();
    assert_eq!(
        reason.sentence(),
        "Trusting https://token.actions.githubusercontent.com by the rule main admits every \
         repository on github.com with github.ref = refs/heads/main, since the issuer is shared by \
         all its customers."
    );
    for (issuer, preset, pin) in [
        ("https://gitlab.com", "gitlab", "gitlab.project_id"),
        (
            "https://agent.buildkite.com",
            "buildkite",
            "buildkite.organization_id",
        ),
        (
            "https://app.terraform.io",
            "hcp-terraform",
            "hcp_terraform.organization_id",
        ),
        (
            "https://accounts.google.com",
            "google",
            "google.hosted_domain",
        ),
    ] {
        let anchor =
            |facts: Value| json!({"issuer": issuer, "preset": preset, "rules": [{"facts": facts}]});
        assert!(read_anchor(&anchor(json!({pin: "1"}))).is_ok(), "{issuer}");
        let reason = read_anchor(&anchor(json!({"claims.other": "1"}))).unwrap_err();
        assert_eq!(reason.code(), "policy.shared_issuer_unpinned", "{issuer}");
    }
    // The issuer of one enterprise is its own.
    let own = json!({"issuer": "https://token.actions.githubusercontent.com/avocado-corp"});
    assert!(read_anchor(&own).is_ok());
}

#[test]
fn hostile_33_an_absent_fact_never_matches() {
    let by_environment =
        |token: &TokenForge| pinned(token, json!({"github.environment": ["prod", "stage"]}));
    let reason = by_environment(&github()).reason();
    let Reason::RuleNotMatched { differs, .. } = &reason else {
        panic!("{reason:?}");
    };
    assert_eq!(
        differs.as_slice(),
        ["github.environment (expected prod or stage, but the token has none)"]
    );
    by_environment(&github().claim("environment", "".into())).is_refused("policy.rule_not_matched");
    by_environment(&github().claim("environment", json!(["prod"])))
        .is_refused("policy.rule_not_matched");
    by_environment(&github().claim("environment", "prod".into())).is_accepted();
}

#[test]
fn hostile_34_a_name_that_holds_the_divider_is_not_read_as_two_parts() {
    let sneaky = "prod:ref:refs/heads/main";
    let of = |subject: &str, environment: &str| {
        github()
            .claim(
                "sub",
                format!("repo:octo-org/octo-repo:environment:{subject}").into(),
            )
            .claim("environment", environment.into())
    };
    let by = |token: &TokenForge| pinned(token, json!({"github.environment": "prod"}));
    let plain = "prod:ref:refs/heads/main";
    let encoded = "prod%3Aref%3Arefs/heads/main";
    let twice = "prod%253Aref%253Arefs/heads/main";
    // Raw or encoded twice, the subject does not say what the claims say.
    by(&of(plain, sneaky)).is_refused("federation.subject_not_of_issuer");
    by(&of(twice, sneaky)).is_refused("federation.subject_not_of_issuer");
    // Encoded once it does, and is another environment.
    by(&of(encoded, sneaky)).is_refused("policy.rule_not_matched");
    pinned(&of(encoded, sneaky), json!({"github.environment": sneaky})).is_accepted();
    // An organization may have put environment and ref into the subject: then both must agree.
    by(&of(plain, "prod")).is_accepted();
    by(&of("prod:ref:refs/heads/dev", "prod")).is_refused("federation.subject_not_of_issuer");
}

#[test]
fn hostile_35_names_are_compared_with_regard_to_case() {
    let token = github()
        .claim("sub", "repo:Octo-Org/Octo-Repo:ref:refs/heads/main".into())
        .claim("repository", "octo-org/octo-repo".into());
    // GitHub may spell one name two ways, and a rule means the one it spells.
    pinned(&token, json!({"github.repository": "octo-org/octo-repo"})).is_accepted();
    pinned(&token, json!({"github.repository": "Octo-Org/Octo-Repo"}))
        .is_refused("policy.rule_not_matched");
    pinned(&token, json!({"github.ref": "refs/heads/Main"})).is_refused("policy.rule_not_matched");
}

#[test]
fn hostile_36_a_rule_for_one_form_of_subject_admits_no_other() {
    let with_subject = |subject: &str| github().claim("sub", subject.into());
    let forms = [
        "repo:octo-org/octo-repo:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo@74:ref:refs/heads/main",
        "repository_owner:octo-org:repository_visibility:private",
        "repository_id:74",
        "job_workflow_ref:octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    ];
    for asked in forms {
        for seen in forms {
            let question = pinned(&with_subject(seen), json!({"subject": asked}));
            if asked == seen {
                question.is_accepted();
            } else {
                question.is_refused("policy.rule_not_matched");
            }
        }
    }
}

#[test]
fn hostile_36_a_subject_that_says_otherwise_than_the_claims_is_refused() {
    for subject in [
        "repo:octo-org/other:ref:refs/heads/main",
        "repo:octo-org/octo-repo:ref:refs/heads/dev",
        "repo:octo-org/octo-repo:ref:refs/heads/main-2",
        "repo:octo-org/octo-repo:pull_request",
        "repo:octo-org/octo-repo:environment:prod",
        "repo:octo-org/octo-repo/x:ref:refs/heads/main",
        "repo:octo-org@66/octo-repo@74:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo@75:ref:refs/heads/main",
        "repo:octo-org@65/octo-repo:ref:refs/heads/main",
        "repo:octo-org@/octo-repo@74:ref:refs/heads/main",
        "repo:octo-org-65/octo-repo-74:ref:refs/heads/main",
        "repository_id:75",
        "unknown_claim:x",
        "anything",
    ] {
        pinned(&github().claim("sub", subject.into()), json!({}))
            .is_refused("federation.subject_not_of_issuer");
    }
    let pull = github()
        .claim("sub", "repo:octo-org/octo-repo:pull_request".into())
        .claim("event_name", "pull_request".into());
    pinned(&pull, json!({})).is_accepted();
}

#[test]
fn hostile_38_a_name_taken_again_is_another_repository() {
    // Same names, another owner and repository behind them.
    let resurrected = github()
        .claim("repository_id", "9074".into())
        .claim("repository_owner_id", "9065".into());
    pinned(&resurrected, json!({})).is_refused("policy.rule_not_matched");
    pinned(&github(), json!({})).is_accepted();
    // Names that look like the first form of immutable subjects are names.
    let lookalike = github()
        .claim("repository", "octo-org-65/octo-repo-74".into())
        .claim("repository_owner", "octo-org-65".into())
        .claim(
            "sub",
            "repo:octo-org-65/octo-repo-74:ref:refs/heads/main".into(),
        )
        .claim("repository_id", "1".into());
    pinned(&lookalike, json!({})).is_refused("policy.rule_not_matched");
}

const KUBERNETES: &str = "https://kubernetes.default.svc.cluster.local";

/// A projected service account token.
fn kubernetes(uid: &str) -> TokenForge {
    TokenForge::oidc(KUBERNETES, "system:serviceaccount:payments:api", AUDIENCE).claim(
        "kubernetes.io",
        json!({"namespace": "payments", "serviceaccount": {"name": "api", "uid": uid},
            "pod": {"name": "api-0", "uid": "0d8b260e"}, "node": {"name": "worker-1", "uid": "517eb86e"},
            "warnafter": 1_717_203_607}),
    )
}

#[test]
fn hostile_40_an_issuer_that_thousands_of_clusters_share_is_told_by_its_keys() {
    let (mine, other) = (Key::p256("my cluster"), Key::p256("another cluster"));
    let anchor = json!({"issuer": KUBERNETES, "jwks": jwks(&[jwk(&mine, "key-1")]),
        "rules": [{"facts": {"k8s.namespace": "payments", "k8s.service_account": "api"}}]});
    let asked = |key: &Key| Ask::jwt(kubernetes("e6a8680e").sign(key, "key-1")).trust(&anchor);
    asked(&other).is_refused("federation.signature_invalid");
    asked(&mine).is_accepted();
}

#[test]
fn hostile_40_a_service_account_made_again_is_told_by_its_uid() {
    let by_uid = |uid: &str| {
        ruled(
            &kubernetes(uid),
            KUBERNETES,
            json!({"k8s.service_account_uid": "e6a8680e"}),
        )
    };
    by_uid("ffffffff").is_refused("policy.rule_not_matched");
    by_uid("e6a8680e").is_accepted();
    // The subject is not believed against the claims.
    let token =
        kubernetes("e6a8680e").claim("sub", "system:serviceaccount:kube-system:admin".into());
    ruled(
        &token,
        KUBERNETES,
        json!({"k8s.service_account_uid": "e6a8680e"}),
    )
    .is_refused("federation.subject_not_of_issuer");
}

#[test]
fn hostile_42_an_event_that_runs_the_code_of_others_is_told_by_its_name() {
    let from = |event: &str| {
        let token = github().claim("event_name", event.into());
        pinned(
            &token,
            json!({"github.ref": "refs/heads/main", "github.event_name": "push"}),
        )
    };
    // Both run on the base branch, so a rule on the branch alone would let them pass.
    from("pull_request_target").is_refused("policy.rule_not_matched");
    from("workflow_run").is_refused("policy.rule_not_matched");
    from("push").is_accepted();
}

#[test]
fn hostile_43_what_an_attacker_may_choose_is_told_apart_from_what_he_may_not() {
    let rule = json!({"github.ref": "refs/heads/main", "github.runner_environment": "github-hosted",
        "github.repository_visibility": ["private", "internal"]});
    let asked =
        |claim: &str, value: &str| pinned(&github().claim(claim, value.into()), rule.clone());
    let tag = github()
        .claim("ref", "refs/tags/main".into())
        .claim("ref_type", "tag".into())
        .claim("sub", "repo:octo-org/octo-repo:ref:refs/tags/main".into());
    pinned(&tag, rule.clone()).is_refused("policy.rule_not_matched");
    asked("runner_environment", "self-hosted").is_refused("policy.rule_not_matched");
    asked("repository_visibility", "public").is_refused("policy.rule_not_matched");
    asked("head_ref", "refs/heads/main").is_accepted();
}

#[test]
fn hostile_44_a_workflow_of_ours_called_by_others_is_not_ours() {
    let workflow = "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main";
    // The workflow alone is no pin: anyone may call it.
    let anchor =
        json!({"issuer": GITHUB, "rules": [{"facts": {"github.job_workflow_ref": workflow}}]});
    assert_eq!(
        read_anchor(&anchor).unwrap_err().code(),
        "policy.shared_issuer_unpinned"
    );
    let theirs = github()
        .claim("repository", "evil/repo".into())
        .claim("repository_id", "666".into())
        .claim("sub", "repo:evil/repo:ref:refs/heads/main".into());
    pinned(&theirs, json!({"github.job_workflow_ref": workflow}))
        .is_refused("policy.rule_not_matched");
    pinned(&github(), json!({"github.job_workflow_ref": workflow})).is_accepted();
    // A ref can be moved; a commit cannot.
    let moved = github().claim("job_workflow_sha", "2".repeat(40).into());
    pinned(&moved, json!({"github.job_workflow_sha": "1".repeat(40)}))
        .is_refused("policy.rule_not_matched");
}

/// A GitLab CI token of a server of one's own.
fn gitlab() -> TokenForge {
    TokenForge::oidc(
        "https://gitlab.example.com",
        "project_path:my-group/my-project:ref_type:branch:ref:main",
        AUDIENCE,
    )
    .claim("project_id", "20".into())
    .claim("project_path", "my-group/my-project".into())
    .claim("namespace_id", "72".into())
    .claim("ref", "main".into())
    .claim("ref_type", "branch".into())
    .claim("ref_protected", "true".into())
    .claim("pipeline_source", "push".into())
    .claim("runner_id", 1.into())
    .claim(
        "ci_config_ref_uri",
        "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main".into(),
    )
}

#[test]
fn hostile_45_an_unprotected_branch_or_a_foreign_pipeline_is_told_by_its_claims() {
    let rule = json!({"gitlab.project_id": "20", "gitlab.ref_protected": "true",
        "gitlab.pipeline_source": "push", "gitlab.runner_id": "1",
        "gitlab.ci_config_ref_uri":
            "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main"});
    let asked = |token: &TokenForge| {
        with_anchor(
            token,
            "https://gitlab.example.com",
            json!({"preset": "gitlab", "rules": [{"facts": rule}]}),
        )
    };
    for (claim, value) in [
        ("ref_protected", "false"),
        ("pipeline_source", "merge_request_event"),
        (
            "ci_config_ref_uri",
            "gitlab.example.com/evil/project//.gitlab-ci.yml@refs/heads/main",
        ),
    ] {
        asked(&gitlab().claim(claim, value.into())).is_refused("policy.rule_not_matched");
    }
    asked(&gitlab().claim("ref", "dev".into())).is_refused("federation.subject_not_of_issuer");
    asked(&gitlab().claim(
        "sub",
        "project_path:my-group/other:ref_type:branch:ref:main".into(),
    ))
    .is_refused("federation.subject_not_of_issuer");
    asked(&gitlab()).is_accepted();
    // Someone who signs in with GitLab has no project, and no rule on projects admits them.
    let person = TokenForge::oidc("https://gitlab.example.com", "12345", AUDIENCE);
    asked(&person).is_refused("policy.rule_not_matched");
    // GitLab writes its booleans as texts; a rule with a boolean would never match, and says so.
    let anchor = json!({"issuer": "https://gitlab.example.com", "preset": "gitlab",
        "rules": [{"facts": {"gitlab.ref_protected": true}}]});
    assert_eq!(
        read_anchor(&anchor).unwrap_err().code(),
        "policy.rule_invalid"
    );
}

#[test]
fn hostile_46_a_list_written_as_one_text_is_compared_as_a_whole() {
    let token = |regions: &str| github().claim("repo_property_regions", regions.into());
    let asked = |seen: &str, wanted: &str| {
        pinned(
            &token(seen),
            json!({"github.repo_property_regions": wanted}),
        )
    };
    asked("us-east-1,eu-west-10", "eu-west-1").is_refused("policy.rule_not_matched");
    asked("us-east-1,eu-west-1", "eu-west-1").is_refused("policy.rule_not_matched");
    asked("us-east-1,eu-west-1", "us-east-1,eu-west-1").is_accepted();
    asked("eu-west-1", "eu-west-1").is_accepted();
}

#[test]
fn hostile_47_a_plan_is_no_apply_and_a_step_no_other_step() {
    let terraform = |phase: &str, claimed: &str| {
        let subject = format!("organization:acme:project:p:workspace:w:run_phase:{phase}");
        let token = TokenForge::oidc("https://app.terraform.io", &subject, AUDIENCE)
            .claim("terraform_run_phase", claimed.into())
            .claim("terraform_organization_id", "org-1".into())
            .claim("terraform_organization_name", "acme".into())
            .claim("terraform_workspace_name", "w".into());
        let facts =
            json!({"hcp_terraform.organization_id": "org-1", "hcp_terraform.run_phase": "apply"});
        ruled(&token, "https://app.terraform.io", facts)
    };
    terraform("plan", "plan").is_refused("policy.rule_not_matched");
    terraform("plan", "apply").is_refused("federation.subject_not_of_issuer");
    terraform("apply", "apply").is_accepted();

    let buildkite = |subject: &str| {
        let token = TokenForge::oidc("https://agent.buildkite.com", subject, AUDIENCE)
            .claim("organization_id", "0184990a".into())
            .claim("organization_slug", "acme-inc".into())
            .claim("pipeline_slug", "deploy".into())
            .claim("build_branch", "main".into())
            .claim(
                "build_commit",
                "9f3182061f1e2cca4702c368cbc039b7dc9d4485".into(),
            )
            .claim("step_key", "build".into());
        let facts = json!({"buildkite.organization_id": "0184990a", "buildkite.step": "build"});
        ruled(&token, "https://agent.buildkite.com", facts)
    };
    let commit = "commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485";
    let good =
        format!("organization:acme-inc:pipeline:deploy:ref:refs/heads/main:{commit}:step:build");
    buildkite(&good).is_accepted();
    for (from, to) in [
        ("step:build", "step:deploy"),
        ("step:build", "step:build-evil"),
        ("acme-inc", "evil"),
        ("heads/main", "heads/dev"),
        ("heads/main", "tags/main"),
    ] {
        buildkite(&good.replace(from, to)).is_refused("federation.subject_not_of_issuer");
    }
}

//! Hostile tokens 31 to 36 and 40 to 47 at the token endpoint: what claims mean, and whom a rule over
//! them admits. Each is really signed by its issuer; beside each stands its nearest honest neighbour.

use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use serde_json::{Value, json};

use super::{CLOUD, Cloud, OURSELVES, refusal, rule, token};

const NOT_ADMITTED: &str = "issue.exchange_not_admitted";
const OTHERWISE: &str = "federation.subject_not_of_issuer";

/// The rule of the workflow, for these facts of the repository 74 and no others.
fn ruled(facts: &Value) -> Value {
    let mut rule = rule();
    rule["from"]["facts"] = facts.clone();
    rule["from"]["facts"]["github.repository_id"] = json!("74");
    rule
}

impl Cloud {
    /// The code with which a workflow that says this is refused.
    fn turns_away(&self, claims: &Value) -> String {
        refusal(&self.exchange(&self.workflow(claims), &[])).1
    }

    fn lets_in(&self, claims: &Value) {
        token(&self.exchange(&self.workflow(claims), &[]));
    }

    /// The code with which a rule is refused that asks for these facts.
    fn refuses_rule(&self, rule: &Value) -> String {
        let put = self.manage("PUT", "/v1/tenants/one/rules/wide", rule);
        assert_eq!(put.status, 400, "{}", put.body);
        put.code()
    }
}

/// One more issuer that a cloud trusts, widely, and a rule that admits few of its subjects.
struct Issuer<'a> {
    cloud: &'a Cloud,
    name: &'a str,
    issuer: &'a str,
    key: Key,
}

impl<'a> Issuer<'a> {
    fn trusted(cloud: &'a Cloud, (name, issuer): (&'a str, &'a str), more: &Value) -> Self {
        let this = Self {
            cloud,
            name,
            issuer,
            key: Key::p256(name),
        };
        this.trust(&this.key, more);
        this
    }

    fn trust(&self, key: &Key, more: &Value) {
        let mut anchor = json!({"issuer": self.issuer, "jwks": jwks(&[jwk(key, "k")])});
        for (member, value) in more.as_object().unwrap() {
            anchor[member] = value.clone();
        }
        self.cloud.anchor(self.name, &anchor);
    }

    fn admits(&self, facts: &Value) {
        self.cloud.rule(self.name, &self.rule(facts));
    }

    fn rule(&self, facts: &Value) -> Value {
        json!({
            "from": {"anchor": self.name, "facts": facts},
            "gives": {"spiffe_id": "spiffe://one.test/other", "audiences": [CLOUD]},
            "owner": "o", "reason": "r",
        })
    }

    fn token(&self, claims: &Value) -> TokenForge {
        let now = self.cloud.now();
        let mut all = json!({
            "iss": self.issuer, "aud": OURSELVES, "iat": now, "exp": now + 300,
            "jti": format!("{}-{}", self.name, self.cloud.number()),
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        TokenForge::saying(all)
    }

    fn turns_away(&self, claims: &Value) -> String {
        let token = self.token(claims).sign(&self.key, "k");
        refusal(&self.cloud.exchange(&token, &[])).1
    }

    fn lets_in(&self, claims: &Value) {
        let signed = self.token(claims).sign(&self.key, "k");
        token(&self.cloud.exchange(&signed, &[]));
    }
}

/// Claims with another value for some.
fn but(claims: &Value, changed: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn hostile_31_a_claim_that_its_holder_may_change_gives_nothing() {
    let cloud = Cloud::new();
    let people = Issuer::trusted(&cloud, ("people", "https://login.test"), &json!({}));
    for claim in [
        "preferred_username",
        "name",
        "upn",
        "unique_name",
        "nickname",
    ] {
        let facts = json!({format!("claims.{claim}"): "admin"});
        let code = cloud.refuses_rule(&people.rule(&facts));
        assert_eq!(code, "policy.rule_invalid", "{claim}");
    }
    // A mail passes to the next as well.
    let mut rule = people.rule(&json!({"claims.email": "a@example.com"}));
    assert_eq!(cloud.refuses_rule(&rule), "issue.trust_mutable");
    rule["unpinned"] = json!({"reason": "a test", "expires": "2100-01-01T00:00:00Z"});
    cloud.rule(people.name, &rule);
    let who = json!({"sub": "7", "email": "a@example.com", "email_verified": true});
    for unverified in [json!(false), json!("true"), json!(1)] {
        let claims = but(&who, &json!({ "email_verified": unverified }));
        assert_eq!(people.turns_away(&claims), NOT_ADMITTED, "{claims}");
    }
    people.lets_in(&who);
}

#[test]
fn hostile_33_a_group_is_exchanged_for_what_the_list_has() {
    let cloud = Cloud::new();
    for okta in [
        Issuer::trusted(&cloud, ("people", "https://login.test"), &json!({})),
        Issuer::trusted(&cloud, ("okta", "https://acme.okta.com"), &json!({})),
    ] {
        okta.admits(&json!({"claims.groups": {"has": "admins"}}));
        let of = |groups: Value| json!({"sub": "00u1", "groups": groups});
        okta.lets_in(&of(json!(["users", "admins"])));
        okta.lets_in(&of(json!(["admins", "admins"])));
        for groups in [
            json!("admins"),
            json!(["Admins"]),
            json!([["admins"]]),
            json!(["admins", null]),
            json!(vec!["admins"; 1_000]),
            json!([]),
        ] {
            assert_eq!(
                okta.turns_away(&of(groups.clone())),
                NOT_ADMITTED,
                "{groups}"
            );
        }
        // Nobody is named after a list: which of its values it would be is nobody's guess.
        let mut rule = okta.rule(&json!({"claims.groups": {"has": "admins"}}));
        rule["gives"]["spiffe_id"] = json!("spiffe://one.test/{claims.groups}");
        assert_eq!(cloud.refuses_rule(&rule), "policy.rule_invalid");
        rule["from"]["facts"] = json!({"subject": "00u1"});
        cloud.rule(okta.name, &rule);
        let list = okta.turns_away(&of(json!(["admins"])));
        assert_eq!(list, "issue.template_unfit");
        okta.lets_in(&of(json!("admins")));
    }
}

#[test]
fn an_exchange_rule_sees_each_claim_that_it_asks_for_also_where_its_issuer_asks_for_none() {
    let cloud = Cloud::new();
    for (name, issuer) in [
        ("people", "https://login.test"),
        ("okta", "https://acme.okta.com"),
    ] {
        let okta = Issuer::trusted(&cloud, (name, issuer), &json!({}));
        okta.admits(&json!({
            "claims.teams": {"has_all": ["payments", "oncall"]}, "claims.site": "berlin",
        }));
        let of = |teams: Value| json!({"sub": "00u1", "site": "berlin", "teams": teams});
        let both = json!(["oncall", "payments", "staff"]);
        okta.lets_in(&of(both.clone()));
        for teams in [
            json!(["payments"]),
            json!("payments"),
            json!(["payments", "oncall", 7]),
            json!(vec!["oncall"; 300]),
            json!(null),
        ] {
            assert_eq!(okta.turns_away(&of(teams.clone())), NOT_ADMITTED, "{teams}");
        }
        let elsewhere = but(&of(both), &json!({"site": "paris"}));
        assert_eq!(okta.turns_away(&elsewhere), NOT_ADMITTED);
    }
    // What one rule asks for keeps nobody out whom another admits.
    let okta = Issuer::trusted(
        &cloud,
        ("acme", "https://acme.auth0.com"),
        &json!({"preset": "auth0"}),
    );
    okta.admits(&json!({"subject": "auth0|1"}));
    let mut rule = okta.rule(&json!({"claims.title": "chief"}));
    rule["gives"]["spiffe_id"] = json!("spiffe://one.test/chief");
    cloud.rule("chief", &rule);
    okta.lets_in(&json!({"sub": "auth0|1", "title": "a\u{202e}b"}));
}

#[test]
fn hostile_34_a_name_that_holds_the_divider_is_not_read_as_two_parts() {
    let cloud = Cloud::new();
    cloud.rule("deploy", &ruled(&json!({"github.environment": "prod"})));
    let sneaky = "prod:ref:refs/heads/main";
    let of = |subject: &str, environment: &str| {
        let subject = format!("repo:octo-org@65/octo-repo@74:environment:{subject}");
        json!({"sub": subject, "environment": environment})
    };
    let encoded = "prod%3Aref%3Arefs/heads/main";
    assert_eq!(cloud.turns_away(&of(sneaky, sneaky)), OTHERWISE);
    let twice = encoded.replace('%', "%25");
    assert_eq!(cloud.turns_away(&of(&twice, sneaky)), OTHERWISE);
    assert_eq!(cloud.turns_away(&of(encoded, sneaky)), NOT_ADMITTED);
    cloud.lets_in(&of("prod", "prod"));
    cloud.rule("deploy", &ruled(&json!({ "github.environment": sneaky })));
    cloud.lets_in(&of(encoded, sneaky));
    assert_eq!(cloud.turns_away(&of("prod", "prod")), NOT_ADMITTED);
}

#[test]
fn hostile_35_names_are_compared_with_regard_to_case() {
    let cloud = Cloud::new();
    // GitHub may spell one name two ways, and a rule means the one it spells.
    let spelt = json!({"sub": "repo:Octo-Org/Octo-Repo:environment:prod"});
    cloud.rule(
        "deploy",
        &ruled(&json!({"github.repository": "Octo-Org/Octo-Repo"})),
    );
    assert_eq!(cloud.turns_away(&spelt), NOT_ADMITTED);
    cloud.rule(
        "deploy",
        &ruled(
            &json!({"github.repository": "octo-org/octo-repo", "github.ref": "refs/heads/Main"}),
        ),
    );
    assert_eq!(cloud.turns_away(&spelt), NOT_ADMITTED);
    cloud.rule(
        "deploy",
        &ruled(
            &json!({"github.repository": "octo-org/octo-repo", "github.ref": "refs/heads/main"}),
        ),
    );
    cloud.lets_in(&spelt);
}

#[test]
fn hostile_36_a_rule_for_one_form_of_subject_admits_no_other() {
    let cloud = Cloud::new();
    let forms = [
        "repo:octo-org/octo-repo:environment:prod",
        "repo:octo-org@65/octo-repo@74:environment:prod",
        "repository_owner:octo-org:repository_visibility:private",
        "repository_id:74",
        "job_workflow_ref:octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
    ];
    let said = |subject: &str| json!({"sub": subject, "repository_visibility": "private"});
    for asked in forms {
        cloud.rule("deploy", &ruled(&json!({ "subject": asked })));
        for seen in forms {
            if asked == seen {
                cloud.lets_in(&said(seen));
            } else {
                assert_eq!(
                    cloud.turns_away(&said(seen)),
                    NOT_ADMITTED,
                    "{asked} {seen}"
                );
            }
        }
    }
    for subject in [
        "repo:octo-org/other:environment:prod",
        "repo:octo-org/octo-repo:environment:dev",
        "repo:octo-org/octo-repo:pull_request",
        "repo:octo-org@66/octo-repo@74:environment:prod",
        "repo:octo-org@65/octo-repo@75:environment:prod",
        "repo:octo-org@65/octo-repo:environment:prod",
        "repository_id:75",
        "anything",
    ] {
        assert_eq!(cloud.turns_away(&said(subject)), OTHERWISE, "{subject}");
    }
}

const KUBERNETES: &str = "https://kubernetes.default.svc.cluster.local";

/// What the token of the service account `api` says.
fn account(uid: &str) -> Value {
    json!({
        "sub": "system:serviceaccount:shop:api",
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "api", "uid": uid}},
    })
}

#[test]
fn hostile_40_a_cluster_that_was_built_anew_is_another_until_someone_says_so() {
    let cloud = Cloud::new();
    let cluster = Issuer::trusted(&cloud, ("cluster", KUBERNETES), &json!({}));
    cluster.admits(&json!({"k8s.namespace": "shop", "k8s.service_account": "api"}));
    cluster.lets_in(&account("e6a8680e"));
    // The same address, the same names, and keys that were made anew.
    let rebuilt = Key::p256("rebuilt");
    let anew = |kid: &str| {
        let token = cluster.token(&account("11111111")).sign(&rebuilt, kid);
        cloud.exchange(&token, &[])
    };
    assert_eq!(refusal(&anew("k")).1, "federation.signature_invalid");
    assert_eq!(refusal(&anew("k2")).1, "federation.key_unknown");
    let before = cluster.token(&account("e6a8680e")).sign(&cluster.key, "k");
    cluster.trust(&rebuilt, &json!({}));
    token(&anew("k"));
    let code = refusal(&cloud.exchange(&before, &[])).1;
    assert_eq!(code, "federation.signature_invalid");
    // Whoever pins the account itself trusts none that was made anew under its name.
    cluster.admits(&json!({"k8s.service_account_uid": "e6a8680e"}));
    assert_eq!(refusal(&anew("k")).1, NOT_ADMITTED);
    let own = cluster.token(&account("e6a8680e")).sign(&rebuilt, "k");
    token(&cloud.exchange(&own, &[]));
    let lying = but(
        &account("e6a8680e"),
        &json!({"sub": "system:serviceaccount:kube-system:admin"}),
    );
    let lying = cluster.token(&lying).sign(&rebuilt, "k");
    assert_eq!(refusal(&cloud.exchange(&lying, &[])).1, OTHERWISE);
}

#[test]
fn hostile_41_old_tokens_of_secrets_and_tokens_of_a_year_are_not_exchanged() {
    let cloud = Cloud::new();
    let cluster = Issuer::trusted(&cloud, ("cluster", KUBERNETES), &json!({}));
    cluster.admits(&json!({"k8s.namespace": "shop", "k8s.service_account": "api"}));
    let legacy = TokenForge::saying(json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:api",
        "kubernetes.io/serviceaccount/namespace": "shop",
        "kubernetes.io/serviceaccount/secret.name": "api-token-x",
    }));
    let code = refusal(&cloud.exchange(&legacy.sign(&cluster.key, "k"), &[])).1;
    assert_eq!(code, "federation.legacy_kubernetes_token");
    let renamed = but(
        &account("u"),
        &json!({"kubernetes.io/serviceaccount/secret.name": "api-token-x"}),
    );
    assert_eq!(
        cluster.turns_away(&renamed),
        "federation.legacy_kubernetes_token"
    );
    let year = 31_536_000;
    let of_a_year = but(&account("u"), &json!({"exp": cloud.now() + year}));
    assert_eq!(
        cluster.turns_away(&of_a_year),
        "federation.lifetime_excessive"
    );
    cluster.trust(&cluster.key, &json!({ "max_lifetime": year + 60 }));
    cluster.lets_in(&of_a_year);
}

#[test]
fn hostile_42_an_event_that_runs_the_code_of_others_is_told_by_its_name() {
    let cloud = Cloud::new();
    cloud.rule(
        "deploy",
        &ruled(&json!({"github.ref": "refs/heads/main", "github.event_name": "push"})),
    );
    // They run on the base branch, so a rule on the branch alone would let them pass.
    for event in ["pull_request_target", "workflow_run", "schedule", "Push"] {
        let code = cloud.turns_away(&json!({ "event_name": event }));
        assert_eq!(code, NOT_ADMITTED, "{event}");
    }
    let pull = json!({
        "sub": "repo:octo-org@65/octo-repo@74:pull_request", "event_name": "pull_request",
        "ref": "refs/pull/7/merge", "environment": null,
    });
    assert_eq!(cloud.turns_away(&pull), NOT_ADMITTED);
    assert_eq!(cloud.turns_away(&json!({"event_name": null})), NOT_ADMITTED);
    cloud.lets_in(&json!({"event_name": "push"}));
}

#[test]
fn hostile_43_what_an_attacker_may_choose_is_told_apart_from_what_he_may_not() {
    let cloud = Cloud::new();
    cloud.rule(
        "deploy",
        &ruled(&json!({
            "github.ref": "refs/heads/main", "github.runner_environment": "github-hosted",
            "github.repository_visibility": ["private", "internal"],
        })),
    );
    let private = json!({"repository_visibility": "private"});
    for changed in [
        json!({"ref": "refs/tags/main", "ref_type": "tag"}),
        json!({"runner_environment": "self-hosted"}),
        json!({"repository_visibility": "public"}),
        json!({"repository_visibility": null}),
        json!({"ref": "refs/heads/evil", "head_ref": "refs/heads/main"}),
    ] {
        let code = cloud.turns_away(&but(&private, &changed));
        assert_eq!(code, NOT_ADMITTED, "{changed}");
    }
    cloud.lets_in(&but(
        &private,
        &json!({"head_ref": "main", "actor": "some[bot]"}),
    ));
}

#[test]
fn hostile_44_a_workflow_of_ours_called_by_others_is_not_ours() {
    let cloud = Cloud::new();
    let workflow = "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main";
    // The workflow alone is no pin: anyone may call it.
    let mut alone = rule();
    alone["from"]["facts"] = json!({ "github.job_workflow_ref": workflow });
    assert_eq!(cloud.refuses_rule(&alone), "policy.shared_issuer_unpinned");
    let commit = "1".repeat(40);
    cloud.rule(
        "deploy",
        &ruled(&json!({
            "github.job_workflow_ref": workflow, "github.job_workflow_sha": commit,
        })),
    );
    let ours = json!({ "job_workflow_sha": commit });
    let theirs = json!({
        "sub": "repo:mallory@66/x@666:environment:prod", "repository": "mallory/x",
        "repository_id": "666", "repository_owner": "mallory", "repository_owner_id": "66",
    });
    assert_eq!(cloud.turns_away(&but(&ours, &theirs)), NOT_ADMITTED);
    let elsewhere = workflow.replace("main", "dev");
    let branch = json!({ "job_workflow_ref": elsewhere });
    assert_eq!(cloud.turns_away(&but(&ours, &branch)), NOT_ADMITTED);
    // A ref can be moved; a commit cannot.
    let moved = json!({"job_workflow_sha": "2".repeat(40)});
    assert_eq!(cloud.turns_away(&moved), NOT_ADMITTED);
    cloud.lets_in(&ours);
}

#[test]
fn hostile_45_an_unprotected_branch_or_a_foreign_pipeline_is_told_by_its_claims() {
    let cloud = Cloud::new();
    let gitlab = Issuer::trusted(
        &cloud,
        ("gitlab", "https://gitlab.example.com"),
        &json!({
            "preset": "gitlab",
            "rules": [{"name": "ours", "facts": {"gitlab.namespace_id": "72"}}],
        }),
    );
    let file = "gitlab.example.com/my-group/my-project//.gitlab-ci.yml@refs/heads/main";
    gitlab.admits(&json!({
        "gitlab.project_id": "20", "gitlab.ref_protected": "true",
        "gitlab.pipeline_source": "push", "gitlab.ci_config_ref_uri": file,
    }));
    let job = json!({
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
        "project_id": "20", "project_path": "my-group/my-project", "namespace_id": "72",
        "ref": "main", "ref_type": "branch", "ref_protected": "true", "pipeline_source": "push",
        "runner_id": 1, "ci_config_ref_uri": file,
    });
    for (changed, code) in [
        (json!({"ref_protected": "false"}), NOT_ADMITTED),
        (
            json!({"pipeline_source": "merge_request_event"}),
            NOT_ADMITTED,
        ),
        (
            json!({"ci_config_ref_uri": file.replace("my-project", "evil")}),
            NOT_ADMITTED,
        ),
        (json!({"namespace_id": "73"}), "policy.rule_not_matched"),
        (json!({"ref": "dev"}), OTHERWISE),
        (
            json!({"sub": "project_path:my-group/other:ref_type:branch:ref:main"}),
            OTHERWISE,
        ),
    ] {
        assert_eq!(gitlab.turns_away(&but(&job, &changed)), code, "{changed}");
    }
    gitlab.lets_in(&job);
    // GitLab writes its booleans as texts; a rule with a boolean would never match, and says so.
    let mistyped = gitlab.rule(&json!({"gitlab.project_id": "20", "gitlab.ref_protected": true}));
    assert_eq!(cloud.refuses_rule(&mistyped), "policy.rule_invalid");
}

#[test]
fn hostile_46_a_list_written_as_one_text_is_compared_as_a_whole() {
    let cloud = Cloud::new();
    let wants = |regions: &str| {
        cloud.rule(
            "deploy",
            &ruled(&json!({ "github.repo_property_regions": regions })),
        );
    };
    let of = |regions: &str| json!({ "repo_property_regions": regions });
    wants("eu-west-1");
    for other in [
        "us-east-1,eu-west-10",
        "us-east-1,eu-west-1",
        "eu-west-1,",
        "eu-west-10",
    ] {
        assert_eq!(cloud.turns_away(&of(other)), NOT_ADMITTED, "{other}");
    }
    cloud.lets_in(&of("eu-west-1"));
    wants("us-east-1,eu-west-1");
    cloud.lets_in(&of("us-east-1,eu-west-1"));
}

#[test]
fn hostile_47_a_plan_is_no_apply_and_a_step_no_other_step() {
    let cloud = Cloud::new();
    let pinned = |fact: &str, id: &str| json!({"rules": [{"name": "ours", "facts": {fact: id}}]});
    let terraform = Issuer::trusted(
        &cloud,
        ("terraform", "https://app.terraform.io"),
        &pinned("hcp_terraform.organization_id", "org-1"),
    );
    terraform.admits(&json!({
        "hcp_terraform.organization_id": "org-1", "hcp_terraform.run_phase": "apply",
    }));
    let run = |phase: &str, claimed: &str| {
        json!({
            "sub": format!("organization:acme:project:p:workspace:w:run_phase:{phase}"),
            "terraform_run_phase": claimed, "terraform_organization_id": "org-1",
            "terraform_organization_name": "acme", "terraform_workspace_name": "w",
        })
    };
    assert_eq!(terraform.turns_away(&run("plan", "plan")), NOT_ADMITTED);
    assert_eq!(terraform.turns_away(&run("plan", "apply")), OTHERWISE);
    assert_eq!(terraform.turns_away(&run("apply", "plan")), OTHERWISE);
    terraform.lets_in(&run("apply", "apply"));

    let buildkite = Issuer::trusted(
        &cloud,
        ("buildkite", "https://agent.buildkite.com"),
        &pinned("buildkite.organization_id", "0184990a"),
    );
    buildkite.admits(&json!({
        "buildkite.organization_id": "0184990a", "buildkite.step": "build",
    }));
    let commit = "9f3182061f1e2cca4702c368cbc039b7dc9d4485";
    let good = format!(
        "organization:acme-inc:pipeline:deploy:ref:refs/heads/main:commit:{commit}:step:build"
    );
    let step = |subject: &str, key: &str| {
        json!({
            "sub": subject, "organization_id": "0184990a", "organization_slug": "acme-inc",
            "pipeline_slug": "deploy", "build_branch": "main", "build_commit": commit,
            "step_key": key,
        })
    };
    for (from, to) in [
        ("step:build", "step:deploy"),
        ("step:build", "step:build-evil"),
        ("acme-inc", "evil"),
        ("heads/main", "heads/dev"),
        ("heads/main", "tags/main"),
    ] {
        let other = step(&good.replace(from, to), "build");
        assert_eq!(buildkite.turns_away(&other), OTHERWISE, "{to}");
    }
    let other = step(&good.replace("step:build", "step:deploy"), "deploy");
    assert_eq!(buildkite.turns_away(&other), NOT_ADMITTED);
    buildkite.lets_in(&step(&good, "build"));
}

/// Pipelines and workspaces are made anew under their names by whoever may make any in the organization.
#[test]
fn hostile_38_a_name_below_an_organization_is_held_to_its_id() {
    let cloud = Cloud::new();
    let buildkite = Issuer::trusted(
        &cloud,
        ("buildkite", "https://agent.buildkite.com"),
        &json!({"rules": [{"name": "ours", "facts": {"buildkite.organization_id": ["o-1", "o-2"]}}]}),
    );
    buildkite.admits(&json!({
        "buildkite.organization_id": ["o-1", "o-2"], "buildkite.pipeline": "deploy",
    }));
    let pipeline = |organization: &str, id: &str| {
        json!({
            "sub": "organization:acme:pipeline:deploy:ref:refs/heads/main:commit:c:step:s",
            "organization_slug": "acme", "organization_id": organization, "pipeline_slug": "deploy",
            "pipeline_id": id, "build_branch": "main", "build_commit": "c", "step_key": "s",
        })
    };
    buildkite.lets_in(&pipeline("o-1", "p-1"));
    let anew = buildkite.turns_away(&pipeline("o-1", "p-2"));
    assert_eq!(anew, "issue.name_resurrected");
    buildkite.lets_in(&pipeline("o-1", "p-1"));
    // The near miss: another organization has a pipeline of the same name.
    let mut other = pipeline("o-2", "p-3");
    other["organization_slug"] = json!("other");
    other["sub"] = json!("organization:other:pipeline:deploy:ref:refs/heads/main:commit:c:step:s");
    buildkite.lets_in(&other);

    let terraform = Issuer::trusted(
        &cloud,
        ("terraform", "https://app.terraform.io"),
        &json!({"rules": [{"name": "ours", "facts": {"hcp_terraform.organization_id": "org-1"}}]}),
    );
    terraform.admits(&json!({
        "hcp_terraform.organization_id": "org-1", "hcp_terraform.workspace": "w",
    }));
    let run = |project: &str, workspace: &str| {
        json!({
            "sub": "organization:acme:project:p:workspace:w:run_phase:apply",
            "terraform_run_phase": "apply", "terraform_organization_id": "org-1",
            "terraform_organization_name": "acme", "terraform_project_name": "p",
            "terraform_project_id": project, "terraform_workspace_name": "w",
            "terraform_workspace_id": workspace,
        })
    };
    terraform.lets_in(&run("prj-1", "ws-1"));
    for anew in [run("prj-1", "ws-2"), run("prj-2", "ws-1")] {
        assert_eq!(terraform.turns_away(&anew), "issue.name_resurrected");
    }
    terraform.lets_in(&run("prj-1", "ws-1"));
}

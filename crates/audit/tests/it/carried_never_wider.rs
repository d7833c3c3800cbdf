//! Whoever a rule admits that was carried over, the configuration admits that it comes from: tried
//! with made-up policies and every job that could come.

use std::collections::BTreeSet;

use avouch_audit::{Admission, System, carried};
use avouch_core::policy::matcher::Matcher;
use avouch_core::policy::presets::Preset;
use avouch_core::policy::rules::Rule;
use serde_json::{Map, Value, json};

use crate::carried::statement;

pub(crate) const GITHUB: &str = "token.actions.githubusercontent.com";
const CLUSTER: &str = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE";
const POLICIES: usize = 800;

/// Numbers that are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(crate) fn some<'a>(&mut self, of: &[&'a str]) -> Vec<&'a str> {
        let count = 1 + self.below(2);
        (0..count).map(|_| self.one(of)).collect()
    }
}

/// A token, and the same with each other subject that it may have.
pub(crate) type Token = (Map<String, Value>, Vec<Map<String, Value>>);

/// Every job of some repositories, in each form that GitHub writes subjects in.
pub(crate) fn jobs() -> Vec<Token> {
    let mut jobs = Vec::new();
    for (repository, id) in [
        ("octo-org/octo-repo", "74"),
        ("octo-org/other", "75"),
        ("evil/octo-repo", "666"),
    ] {
        for branch in [
            "refs/heads/main",
            "refs/heads/dev",
            "refs/heads/release/1",
            "refs/tags/v1",
        ] {
            for environment in [None, Some("prod"), Some("dev"), Some("eu/prod")] {
                for event in ["push", "pull_request"] {
                    for audience in ["sts.amazonaws.com", "other"] {
                        let (owner, name) = repository.split_once('/').unwrap();
                        let owner_id = if owner == "evil" { "666" } else { "65" };
                        let context = match (environment, event) {
                            (Some(environment), _) => format!("environment:{environment}"),
                            (None, "pull_request") => "pull_request".to_owned(),
                            (None, _) => format!("ref:{branch}"),
                        };
                        let mut claims = json!({
                            "iss": format!("https://{GITHUB}"), "aud": audience, "actor": "mia",
                            "repository": repository, "repository_id": id, "ref": branch,
                            "repository_owner": owner, "repository_owner_id": owner_id,
                            "event_name": event,
                        });
                        // Some write a flag as it is, and some as a text.
                        let flags = [json!(true), json!("true")];
                        claims["flag"] = flags[usize::from(branch.len() % 2 == 0)].clone();
                        for (claim, lists) in [("groups", groups()), ("amr", methods())] {
                            if let Some(list) = &lists[jobs.len() / 3 % lists.len()] {
                                claims[claim] = list.clone();
                            }
                        }
                        if let Some(environment) = environment {
                            claims["environment"] = json!(environment);
                        }
                        let with = |subject: String| {
                            let mut claims = claims.as_object().unwrap().clone();
                            claims.insert("sub".to_owned(), json!(subject));
                            claims
                        };
                        let forms: Vec<_> = [
                            format!("repo:{repository}:{context}"),
                            format!("repo:{owner}@{owner_id}/{name}@{id}:{context}"),
                            format!("repo:{repository}:actor:mia"),
                        ]
                        .map(with)
                        .to_vec();
                        let any: Vec<_> = forms
                            .iter()
                            .flat_map(|form| flags.iter().map(move |flag| (form, flag)))
                            .map(|(form, flag)| {
                                let mut form = form.clone();
                                form.insert("flag".to_owned(), flag.clone());
                                form
                            })
                            .collect();
                        jobs.extend(forms.into_iter().map(|form| (form, any.clone())));
                    }
                }
            }
        }
    }
    jobs
}

/// What may stand where a list of groups should.
fn groups() -> Vec<Option<Value>> {
    let mut all = vec![None];
    all.extend(
        [
            json!(["admins"]),
            json!(["admins", "oncall"]),
            json!("admins"),
            json!(["oncall", "adm*"]),
            json!(["admins", 7]),
            json!([]),
            json!(["admin"]),
            json!({"admins": true}),
            json!(["staff", "oncall", "admins"]),
            json!(["staff"]),
        ]
        .map(Some),
    );
    all
}

fn methods() -> Vec<Option<Value>> {
    let said = [
        json!(["mfa"]),
        json!(["pwd", "mfa"]),
        json!("mfa"),
        json!(["pwd"]),
    ];
    said.map(Some).into_iter().chain([None]).collect()
}

fn pods() -> Vec<Token> {
    let mut pods = Vec::new();
    for namespace in ["payments", "payments-evil", "default"] {
        for account in ["api", "api-evil", "default"] {
            let claims = json!({
                "iss": format!("https://{CLUSTER}"), "aud": "sts.amazonaws.com",
                "sub": format!("system:serviceaccount:{namespace}:{account}"),
                "kubernetes.io": {
                    "namespace": namespace,
                    "serviceaccount": {"name": account, "uid": format!("uid-{namespace}-{account}")},
                },
            });
            let claims = claims.as_object().unwrap().clone();
            pods.push((claims, Vec::new()));
        }
    }
    pods
}

/// Texts that policies ask of each claim: whole, with wildcards, and almost.
pub(crate) fn texts_of(claim: &str) -> &'static [&'static str] {
    match claim {
        "repository_id" => &["74", "74", "75", "7*", "*"],
        "repository" => &[
            "octo-org/octo-repo",
            "octo-org/*",
            "octo-org*",
            "*/octo-repo",
            "*",
        ],
        "ref" => &[
            "refs/heads/main",
            "refs/heads/*",
            "refs/heads/release/*",
            "refs/*/main",
            "refs/heads/",
            "*",
            "r?fs/heads/main",
        ],
        "environment" => &["prod", "pro*", "*", "eu/*", "eu/prod"],
        "event_name" => &["push", "pull_request", "pu*", "*"],
        "actor" => &["mia", "m*", "*", "${*}"],
        "sub" => &[
            "repo:octo-org/octo-repo:*",
            "repo:octo-org/octo-repo:ref:refs/heads/main",
            "repo:octo-org/octo-repo:ref:refs/heads/*",
            "repo:octo-org/octo-repo:ref:*",
            "repo:octo-org/octo-repo:environment:prod",
            "repo:octo-org/octo-repo:environment:*",
            "repo:octo-org/octo-repo:environment:p*",
            "repo:octo-org/octo-repo:environment:eu/*",
            "repo:octo-org/octo-repo:pull_request",
            "repo:octo-org/octo-repo:actor:mia",
            "repo:octo-org/octo-repo:*/main",
            "repo:octo-org/octo-repo*",
            "repo:octo-org/*",
            "repo:octo-org/*:environment:prod",
            "repo:octo-org/*:ref:refs/heads/main",
            "repo:octo-org*",
            "repo:octo-org@65/octo-repo@74:*",
            "repo:octo-org@65/octo-repo@74:environment:prod",
            "repo:octo-org@65/*",
            "repo:*/octo-repo:environment:prod",
            "repo:*:environment:prod",
            "repo:octo-org/octo?repo:environment:prod",
            "repo:octo-org/${*}/*",
            "repo:*",
            "*",
        ],
        _ => panic!("{claim}"),
    }
}

pub(crate) const CLAIMS: [&str; 8] = [
    "sub",
    "sub",
    "repository_id",
    "repository",
    "ref",
    "environment",
    "event_name",
    "actor",
];

pub(crate) fn aws(dice: &mut Dice) -> Value {
    let mut conditions = json!({});
    for _ in 0..=dice.below(3) {
        let operator = dice.one(&[
            "StringEquals",
            "StringLike",
            "StringLike",
            "ForAllValues:StringLike",
            "StringEqualsIfExists",
        ]);
        let claim = dice.one(&CLAIMS);
        conditions[operator][format!("{GITHUB}:{claim}")] = json!(dice.some(texts_of(claim)));
    }
    if dice.below(4) > 0 {
        let audience = dice.one(&["sts.amazonaws.com", "sts.amazonaws.com", "sts.*"]);
        conditions["StringLike"][format!("{GITHUB}:aud")] = json!(audience);
    }
    statement(GITHUB, &conditions)
}

fn aws_of_a_cluster(dice: &mut Dice) -> Value {
    let subject = dice.some(&[
        "system:serviceaccount:payments:api",
        "system:serviceaccount:payments:*",
        "system:serviceaccount:payments*",
        "system:serviceaccount:*:api",
        "system:serviceaccount:*:ap?",
        "system:serviceaccount:*",
        "*:api",
    ]);
    let operator = dice.one(&["StringEquals", "StringLike", "StringLike"]);
    let audience = json!({format!("{CLUSTER}:aud"): "sts.amazonaws.com"});
    let mut conditions = json!({"StringEquals": audience});
    conditions[operator][format!("{CLUSTER}:sub")] = json!(subject);
    statement(CLUSTER, &conditions)
}

pub(crate) fn part(dice: &mut Dice) -> String {
    let claim = dice.one(&CLAIMS);
    let text = dice.one(texts_of(claim));
    match dice.below(8) {
        0..=2 => format!("assertion.{claim} == '{text}'"),
        3 => format!(
            "assertion.{claim} in ['{text}', '{}']",
            dice.one(texts_of(claim))
        ),
        4 => format!(
            "assertion.{claim}.startsWith('{}')",
            text.trim_end_matches('*')
        ),
        5 => format!("attribute.repository == '{text}'"),
        6 => match dice.below(4) {
            0 => format!("attribute.env == '{}'", dice.one(&["prod", "dev"])),
            1 => format!(
                "assertion.aud == '{}'",
                dice.one(&["sts.amazonaws.com", "other"])
            ),
            2 => format!(
                "assertion.flag == {}",
                dice.one(&["true", "'true'", "1", "'1'"])
            ),
            _ => format!("assertion.repository_id == {}", dice.one(&["74", "'74'"])),
        },
        _ => format!("assertion.{claim} != '{text}'"),
    }
}

fn conjunction(dice: &mut Dice) -> String {
    let count = 1 + dice.below(3);
    let mut parts: Vec<String> = (0..count).map(|_| part(dice)).collect();
    if dice.below(4) == 0 {
        parts.push(format!("({} || {})", part(dice), part(dice)));
    }
    parts.join(" && ")
}

pub(crate) fn google(dice: &mut Dice) -> Value {
    let condition = match dice.below(6) {
        0 => format!("({}) || ({})", conjunction(dice), conjunction(dice)),
        _ => conjunction(dice),
    };
    let mut mapping = json!({
        "google.subject": "assertion.sub",
        "attribute.repository": "assertion.repository",
        "attribute.env": "assertion.sub.extract('environment:{env}')",
    });
    if dice.below(4) == 0 {
        mapping["attribute.environment"] = json!("assertion.environment");
    }
    if dice.below(4) == 0 {
        mapping["attribute.more"] = json!(dice.one(&[
            "assertion.ref.split('/')[3]",
            "string(int(assertion.repository_id) / (int(assertion.repository_id) - 74))",
            "'x' + assertion.actor.lowerAscii()",
            "has(assertion.environment) ? assertion.environment : 'none'",
            "assertion.sub.split(':')[1]",
        ]));
    }
    let audiences = [&["sts.amazonaws.com"][..], &["sts.amazonaws.com", "other"]];
    json!({
        "name": "p", "attributeMapping": mapping, "attributeCondition": condition,
        "oidc": {"issuerUri": format!("https://{GITHUB}"), "allowedAudiences": audiences[dice.below(2)]},
    })
}

pub(crate) fn kubernetes(dice: &mut Dice) -> Value {
    let mut rules = Vec::new();
    for _ in 0..=dice.below(3) {
        rules.push(if dice.below(4) == 0 {
            json!({"expression": part(dice).replace("assertion.", "claims.").replace("attribute.", "claims.")})
        } else {
            match dice.below(8) {
                0 => json!({"claim": "flag", "requiredValue": dice.one(&["true", "1"])}),
                1 => json!({"claim": "aud", "requiredValue": dice.one(&["sts.amazonaws.com", "other"])}),
                _ => {
                    let claim = dice.one(&CLAIMS);
                    json!({"claim": claim, "requiredValue": dice.one(texts_of(claim))})
                }
            }
        });
    }
    // The API server takes one rule on each claim.
    let mut seen = BTreeSet::new();
    rules.retain(|rule: &Value| {
        let claim = rule["claim"].as_str();
        claim.is_none_or(|claim| seen.insert(claim.to_owned()))
    });
    let username = match dice.below(8) {
        0 => json!({"expression": dice.one(&[
            "claims.ref.split('/')[3]", "'g:' + claims.sub", "claims.sub.extract('environment:{env}')",
            "has(claims.environment) ? claims.environment : claims.actor",
        ])}),
        1 => json!({"claim": "environment", "prefix": "github:"}),
        2 => json!({"claim": "flag", "prefix": "github:"}),
        _ => json!({"claim": "sub", "prefix": "github:"}),
    };
    let audiences = [&["sts.amazonaws.com"][..], &["sts.amazonaws.com", "other"]];
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": format!("https://{GITHUB}"), "audiences": audiences[dice.below(2)],
                "audienceMatchPolicy": "MatchAny"},
            "claimValidationRules": rules,
            "claimMappings": {"username": username},
        }],
    })
}

/// As a policy of AWS, with conditions on a list beside.
fn aws_of_lists(dice: &mut Dice) -> Value {
    let mut conditions = json!({"StringEquals": {
        format!("{GITHUB}:repository_id"): "74", format!("{GITHUB}:aud"): "sts.amazonaws.com",
    }});
    for _ in 0..=dice.below(2) {
        let operator = dice.one(&[
            "ForAnyValue:StringEquals",
            "ForAnyValue:StringEquals",
            "ForAnyValue:StringLike",
            "ForAnyValue:StringEqualsIfExists",
            "ForAnyValue:StringEqualsIgnoreCase",
            "ForAnyValue:StringNotEquals",
            "ForAllValues:StringEquals",
            "StringEquals",
            "StringLike",
        ]);
        let values = dice.some(&["mfa", "pwd", "mf?", "m*", "MFA"]);
        conditions[operator][format!("{GITHUB}:amr")] = json!(values);
    }
    statement(GITHUB, &conditions)
}

/// A condition on a list: most are carried over, and what is near to them is not.
fn part_of_a_list(dice: &mut Dice, root: &str) -> String {
    let (one, other) = (
        dice.one(&["admins", "oncall", "adm*"]),
        dice.one(&["admins", "oncall", "staff"]),
    );
    let groups = format!("{root}.groups");
    match dice.below(16) {
        0..=2 => format!("'{one}' in {groups}"),
        3 => format!("'{one}' in {groups} || '{other}' in {groups}"),
        4 => format!("{groups}.exists(g, g == '{one}')"),
        5 => format!("{groups}.exists(g, g == '{one}' || '{other}' == g)"),
        6 => format!("{groups}.exists(g, g in ['{one}', '{other}'])"),
        7 => format!("'{other}' in (has({groups}) ? {groups} : [])"),
        8 => format!("has({groups}) && '{other}' in {groups}"),
        9 => format!("{groups}.all(g, g == '{one}')"),
        10 => format!("{groups}.exists_one(g, g == '{other}')"),
        11 => format!("{groups}.exists(g, g.startsWith('{other}'))"),
        12 => format!("!('{other}' in {groups})"),
        13 => format!("{groups} == ['{other}']"),
        14 => format!("'{one}' in {groups} || {groups} == '{other}'"),
        _ => format!("'{other}' in (has({root}.actor) ? {groups} : ['{other}'])"),
    }
}

fn parts_of_lists(dice: &mut Dice, root: &str) -> String {
    let mut parts = vec![format!("{root}.repository_id == '74'")];
    parts.extend((0..=dice.below(2)).map(|_| format!("({})", part_of_a_list(dice, root))));
    parts.join(" && ")
}

fn google_of_lists(dice: &mut Dice) -> Value {
    let mut provider = google(dice);
    provider["attributeCondition"] = json!(parts_of_lists(dice, "assertion"));
    let mapping = json!({"google.subject": "assertion.sub"});
    provider["attributeMapping"] = mapping;
    match dice.below(6) {
        0 | 1 => provider["attributeMapping"]["google.groups"] = json!("assertion.groups"),
        2 => provider["attributeMapping"]["attribute.groups"] = json!("assertion.groups"),
        _ => {}
    }
    provider
}

fn kubernetes_of_lists(dice: &mut Dice) -> Value {
    let mut configuration = kubernetes(dice);
    let rule = json!({"expression": parts_of_lists(dice, "claims")});
    configuration["jwt"][0]["claimValidationRules"] = json!([rule]);
    let mut mappings = json!({"username": {"claim": "sub", "prefix": ""}});
    match dice.below(6) {
        0 => mappings["groups"] = json!({"claim": "groups", "prefix": ""}),
        1 => mappings["groups"] = json!({"expression": "claims.groups"}),
        2 => mappings["uid"] = json!({"claim": "groups"}),
        _ => {}
    }
    configuration["jwt"][0]["claimMappings"] = mappings;
    configuration
}

/// What a rule sees of a claim that is a list, if it is one of texts.
fn list<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<Vec<&'a str>> {
    let claim = claims.get(name.strip_prefix("claims.")?)?;
    claim.as_array()?.iter().map(Value::as_str).collect()
}

fn is_met(
    preset: Option<Preset>,
    claims: &Map<String, Value>,
    name: &str,
    matcher: &Matcher,
) -> bool {
    let has = |text: &String| {
        let list = list(claims, name);
        list.is_some_and(|list| list.contains(&text.as_str()))
    };
    match matcher {
        Matcher::Has(texts) => texts.iter().any(has),
        Matcher::HasAll(texts) => texts.iter().all(has),
        Matcher::AnyOf(_) | Matcher::Pattern(_) => {
            fact(preset, claims, name).is_some_and(|text| matcher.matches(text))
        }
    }
}

/// What a rule sees of claims.
fn fact<'a>(preset: Option<Preset>, claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let find = |path: &[&str]| preset.and_then(|preset| preset.fact_of_claim(path)) == Some(name);
    if name == "subject" {
        return claims.get("sub").and_then(Value::as_str);
    }
    let nested: [&[&str]; 3] = [
        &["kubernetes.io", "namespace"],
        &["kubernetes.io", "serviceaccount", "name"],
        &["kubernetes.io", "serviceaccount", "uid"],
    ];
    if let Some(path) = nested.into_iter().find(|path| find(path)) {
        let (first, rest) = path.split_first()?;
        return rest
            .iter()
            .try_fold(claims.get(*first)?, |value, member| value.get(member))?
            .as_str();
    }
    let named = claims.iter().find(|(claim, _)| find(&[claim.as_str()]));
    let plain = || claims.get_key_value(name.strip_prefix("claims.")?);
    match named.or_else(plain)?.1 {
        Value::String(text) => Some(text),
        Value::Bool(true) => Some("true"),
        _ => None,
    }
}

/// How many jobs came in under the rule; none if there is no rule.
fn check(admission: &Admission, jobs: &[Token], document: &Value) -> Option<usize> {
    let token = &jobs[0].0;
    let carried = carried(admission, Some(token));
    let draft = carried.draft?;
    let preset = Preset::of_issuer(admission.issuer());
    let facts = &draft.rule["from"]["facts"];
    let rule = Rule::read(&json!({"name": "r", "facts": facts}), 1, preset).unwrap();
    let audiences = draft.rule["subject_audiences"].as_array().unwrap();
    let is_of_any_form = carried
        .left
        .iter()
        .any(|left| left.contains("another form"));
    let mut admitted = 0;
    for (claims, forms) in jobs {
        let comes_in = (audiences.is_empty() || audiences.contains(&claims["aud"]))
            && rule
                .conditions()
                .iter()
                .all(|(name, matcher)| is_met(preset, claims, name, matcher));
        if !comes_in {
            continue;
        }
        admitted += 1;
        let is_meant = admission.trace(claims).admitted
            || is_of_any_form && forms.iter().any(|form| admission.trace(form).admitted);
        assert!(
            is_meant,
            "{document:#}\nbecame {facts:#}\nwhich admits {claims:?}\nand left {:?}",
            carried.left
        );
    }
    Some(admitted)
}

fn check_all(system: System, seed: u64, jobs: &[Token], policy: fn(&mut Dice) -> Value) {
    let mut dice = Dice(seed);
    let (mut rules, mut useful) = (0, 0);
    for _ in 0..POLICIES {
        let document = policy(&mut dice);
        let configuration = system.read(&document).unwrap();
        if let Some(admitted) = check(&configuration.admissions[0], jobs, &document) {
            rules += 1;
            useful += usize::from(admitted > 0);
        }
    }
    // What is refused altogether proves nothing.
    assert!(rules > POLICIES / 20, "only {rules} rules");
    assert!(useful > POLICIES / 50, "only {useful} rules admit anyone");
}

#[test]
fn a_rule_never_admits_more_than_the_policy_of_aws() {
    check_all(System::Aws, 0x9e37_79b9_7f4a_7c15, &jobs(), aws);
    check_all(
        System::Aws,
        0x2545_f491_4f6c_dd1d,
        &pods(),
        aws_of_a_cluster,
    );
}

#[test]
fn a_rule_never_admits_more_than_the_provider_of_google_cloud() {
    check_all(System::Gcp, 0xd1b5_4a32_d192_ed03, &jobs(), google);
}

#[test]
fn a_rule_never_admits_more_than_the_configuration_of_kubernetes() {
    check_all(
        System::Kubernetes,
        0x94d0_49bb_1331_11eb,
        &jobs(),
        kubernetes,
    );
}

#[test]
fn a_rule_over_lists_never_admits_more_than_what_it_was_carried_over_from() {
    check_all(System::Aws, 0x1ce4_e5b9_bf58_476d, &jobs(), aws_of_lists);
    check_all(System::Gcp, 0x94d0_49bb_1331_11eb, &jobs(), google_of_lists);
    check_all(
        System::Kubernetes,
        0xbf58_476d_1ce4_e5b9,
        &jobs(),
        kubernetes_of_lists,
    );
}

//! What is found agrees with what evaluation admits: where nobody is said to come in, nobody does, and
//! where everyone does, that is said. Tried with made-up configurations, negations and denials among
//! them, and every job that could come.

use avouch_audit::{Code, Finding, System, judge};
use serde_json::{Value, json};

use crate::carried_never_wider::{
    CLAIMS, Dice, GITHUB, Token, aws, google, jobs, kubernetes, part, texts_of,
};

const CONFIGURATIONS: usize = 120;

/// A policy of AWS with negations and denials.
fn negating_aws(dice: &mut Dice) -> Value {
    const OPERATORS: [&str; 9] = [
        "StringEquals",
        "StringLike",
        "StringNotEquals",
        "StringNotLike",
        "StringNotLike",
        "StringEqualsIfExists",
        "StringNotLikeIfExists",
        "ForAllValues:StringNotLike",
        "ForAnyValue:StringNotEquals",
    ];
    let mut policy = aws(dice);
    let conditions = |dice: &mut Dice, most: usize| {
        let mut conditions = json!({});
        for _ in 0..=dice.below(most) {
            let operator = dice.one(&OPERATORS);
            let claim = dice.one(&CLAIMS);
            conditions[operator][format!("{GITHUB}:{claim}")] = json!(dice.some(texts_of(claim)));
        }
        if dice.below(8) == 0 {
            let claim = dice.one(&CLAIMS);
            conditions["Null"] = json!({format!("{GITHUB}:{claim}"): dice.one(&["true", "false"])});
        }
        conditions
    };
    if dice.below(4) > 0 {
        policy["Statement"][0]["Condition"] = conditions(dice, 2);
    }
    for _ in 0..dice.below(3) {
        let mut deny = policy["Statement"][0].clone();
        deny["Effect"] = json!("Deny");
        deny["Condition"] = conditions(dice, 2);
        policy["Statement"].as_array_mut().unwrap().push(deny);
    }
    policy
}

/// A condition that says no as often as yes.
fn negating(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => format!("!({})", part(dice)),
        1 => format!("!({} && {})", part(dice), part(dice)),
        2 => format!("!({} || {})", part(dice), part(dice)),
        3 => format!("({} ? {} : {})", part(dice), part(dice), part(dice)),
        4 => format!(
            "(!has(assertion.environment) || assertion.environment != '{}')",
            dice.one(texts_of("environment"))
        ),
        _ => part(dice),
    }
}

fn negations(dice: &mut Dice) -> String {
    let parts: Vec<String> = (0..=dice.below(3)).map(|_| negating(dice)).collect();
    let whole = parts.join(" && ");
    match dice.below(8) {
        0 => format!("{whole} || true"),
        _ => whole,
    }
}

fn negating_google(dice: &mut Dice) -> Value {
    let mut provider = google(dice);
    provider["attributeCondition"] = json!(negations(dice));
    provider
}

fn negating_kubernetes(dice: &mut Dice) -> Value {
    let mut configuration = kubernetes(dice);
    let rule = negations(dice)
        .replace("assertion.", "claims.")
        .replace("attribute.", "claims.");
    configuration["jwt"][0]["claimValidationRules"] = json!([{"expression": rule}]);
    configuration
}

fn has(findings: &[Finding], code: Code) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

/// Holds what is found against every job; how many configurations admit someone, and of which of
/// those nothing is known.
fn check(
    system: System,
    seed: u64,
    jobs: &[Token],
    make: fn(&mut Dice) -> Value,
) -> (usize, Vec<Value>) {
    let mut dice = Dice(seed);
    let (mut admitting, mut unknown) = (0, Vec::new());
    for _ in 0..CONFIGURATIONS {
        let document = make(&mut dice);
        let configuration = system.read(&document).unwrap();
        let findings = judge(&configuration);
        let admission = &configuration.admissions[0];
        let admitted = jobs
            .iter()
            .filter(|(claims, _)| admission.trace(claims).admitted);
        let admitted: Vec<_> = admitted.map(|(claims, _)| claims).collect();
        let Some(one) = admitted.first() else {
            continue;
        };
        admitting += 1;
        if has(&findings, Code::PopulationNotKnown) {
            unknown.push(document.clone());
        }
        assert!(
            !has(&findings, Code::NothingAdmitted),
            "{document:#}\nadmits {one:?}\nand was found to admit nobody: {findings:?}"
        );
        if admitted.len() == jobs.len() {
            assert!(
                has(&findings, Code::IssuerOnlyTrust),
                "{document:#}\nadmits everyone: {findings:?}"
            );
        }
    }
    (admitting, unknown)
}

fn check_all(system: System, seeds: [u64; 2], makes: [fn(&mut Dice) -> Value; 2]) {
    let jobs = jobs();
    for (seed, make) in seeds.into_iter().zip(makes) {
        let (admitting, unknown) = check(system, seed, &jobs, make);
        // What admits nobody proves nothing, and nor does a lint that knows nothing.
        assert!(
            admitting > CONFIGURATIONS / 10,
            "only {admitting} admit someone"
        );
        assert!(
            unknown.len() <= admitting / 10,
            "of {admitting} not known: {unknown:#?}"
        );
    }
}

#[test]
fn policies_of_aws_that_are_said_to_admit_nobody_do_not() {
    check_all(
        System::Aws,
        [0x9e37_79b9_7f4a_7c15, 0x2545_f491_4f6c_dd1d],
        [aws, negating_aws],
    );
}

#[test]
fn providers_of_google_cloud_that_are_said_to_admit_nobody_do_not() {
    check_all(
        System::Gcp,
        [0xd1b5_4a32_d192_ed03, 0x1ce4_e5b9_bf58_476d],
        [google, negating_google],
    );
}

#[test]
fn configurations_of_kubernetes_that_are_said_to_admit_nobody_do_not() {
    check_all(
        System::Kubernetes,
        [0x94d0_49bb_1331_11eb, 0xbf58_476d_1ce4_e5b9],
        [kubernetes, negating_kubernetes],
    );
}

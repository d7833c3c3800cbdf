//! The same tokens for us and for libraries of other people, thousands of them, good and bad: `jose`
//! in JavaScript, `joserfc` in Python and `go-jose` in Go. What none of them believes we do not
//! believe, and where we believe less there is a reason.

mod chance;
mod tokens;

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};

use avouch_testkit::NOW;
use avouch_testkit::token::NOW_SECONDS;
use serde_json::{Value, json};

use self::tokens::{AUDIENCE, Case, ISSUER, cases, key_set};
use super::{Missing, go, node, python, scratch};
use crate::run::Folder;

/// All that any of the keys may sign with, and nothing with a shared secret.
const ALGORITHMS: [&str; 6] = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"];

/// As many seconds as we let clocks differ.
const LEEWAY: i64 = 60;

/// Classes of tokens of which we refuse some that another library believes, and why.
const STRICTER: &[(&str, &str)] = &[
    (
        "RSA signs with what its key is not for",
        "the key says `alg`, and is for nothing else (RFC 7517 4.4)",
    ),
    (
        "kid is that of a key for encryption",
        "`use` is `enc` (RFC 7517 4.2)",
    ),
    (
        "the header brings a key beside a good signature",
        "a token does not say which key it is checked with; one that tries is refused (RFC 8725 3.10)",
    ),
    (
        "the header says where the key is",
        "the same, and nobody is to be called because of a token (RFC 8725 3.10)",
    ),
    (
        "the header brings a certificate",
        "the same (RFC 7515 4.1.6, RFC 8725 3.10)",
    ),
    (
        "crit names what is registered",
        "names of the standard must not stand in it (RFC 7515 4.1.11)",
    ),
    (
        "crit is an empty list",
        "it must not be empty (RFC 7515 4.1.11)",
    ),
    (
        "crit is no list",
        "it must be a list of names (RFC 7515 4.1.11)",
    ),
    (
        "b64 is false",
        "what is signed would be something else, and a JWT must not have it (RFC 7797 7)",
    ),
    (
        "b64 is true, and crit names it",
        "no extension is known here, so none may be critical (RFC 7515 4.1.11, RFC 7797 7)",
    ),
    (
        "zip is there",
        "it is for encryption (RFC 7516 4.1.3); what is packed is not opened",
    ),
    (
        "typ is that of another token",
        "a token that says what it is is nothing else (RFC 8725 3.11, RFC 9068 4)",
    ),
    (
        "typ is JOSE",
        "it is a JWT that was asked for (RFC 8725 3.11)",
    ),
    ("typ is no text", "it is a media type (RFC 7515 4.1.9)"),
    (
        "a member of the header stands twice",
        "names are unique; two readers would see two headers (RFC 7515 4)",
    ),
    (
        "padding",
        "base64url has none here (RFC 7515 2); one token has one spelling",
    ),
    (
        "bits that are not zero behind the signature",
        "one token has one spelling, on which using it once rests (RFC 4648 3.5)",
    ),
    ("space around it", "the same (RFC 7515 3.1)"),
    ("space in it", "the same (RFC 7515 2, RFC 4648 3.3)"),
    (
        "longer than 16 KiB",
        "our bound: what is not believed yet must not cost much",
    ),
    (
        "a byte order mark before the claims",
        "JSON has none (RFC 8259 8.1)",
    ),
    (
        "claims nested deeply",
        "our bound: what is not believed yet must not cost much",
    ),
    (
        "a registered claim stands twice, the same",
        "names are unique (RFC 7519 4)",
    ),
    (
        "a registered claim stands twice, the first one wrong",
        "two readers would see two issuers (RFC 7519 4)",
    ),
    (
        "another claim stands twice",
        "names are unique (RFC 7519 4)",
    ),
    (
        "aud is a list with more than texts",
        "it is a list of texts (RFC 7519 4.1.3)",
    ),
    ("sub is empty", "it names nobody (RFC 7519 4.1.2)"),
    ("sub is no text", "it is a text (RFC 7519 4.1.2)"),
    (
        "sub has characters that cannot be seen",
        "what cannot be read cannot be judged: logs and rules would be fooled; a rule of our own",
    ),
    (
        "exp is no moment",
        "nobody can say when that is (RFC 7519 2, NumericDate)",
    ),
    (
        "exp is past by less than the leeway",
        "a token is not believed after its end; leeway may be given and need not be (RFC 7519 4.1.4)",
    ),
    ("exp is past by the leeway", "the same (RFC 7519 4.1.4)"),
    (
        "exp is in a hundred years",
        "a token of an issuer lives for a day at most unless its anchor says otherwise",
    ),
    ("nbf is no number", "it is a number (RFC 7519 4.1.5)"),
    (
        "iat is in the future",
        "what has not been issued yet is not believed, as OpenID Connect lets us (Core 3.1.3.7)",
    ),
    (
        "it lives longer than a day",
        "a token of an issuer lives for a day at most unless its anchor says otherwise",
    ),
];

/// Classes of tokens of which we believe some that another library refuses, and why.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "good: other members of the header",
        "what is not known is passed over unless it is critical (RFC 7515 4); joserfc wants it announced",
    ),
    (
        "no kid",
        "it is optional (RFC 7515 4.1.4): the one key of that algorithm is meant; joserfc and go-jose choose \
         by name alone",
    ),
];

#[test]
fn we_believe_no_token_that_others_refuse_and_each_that_we_refuse_alone_has_its_reason() {
    let others = match others() {
        Ok(others) => others,
        Err(why) => return println!("skipped: jose, joserfc, go-jose: {why}"),
    };
    let cases = cases();
    let ours = ours(&cases);
    let theirs: Vec<(&str, Vec<bool>)> = others
        .into_iter()
        .map(|(name, command)| (name, decided(name, command, &cases)))
        .collect();
    for (index, case) in cases.iter().enumerate() {
        let is_alone = ours[index] && theirs.iter().all(|(_, accepted)| !accepted[index]);
        assert!(
            !is_alone,
            "{}: nobody else believes {}",
            case.class, case.token
        );
    }
    let rows = rows(&cases, &ours, &theirs);
    let stricter = rows.iter().filter(|row| row.refused_alone > 0);
    let otherwise = rows.iter().filter(|row| row.refused_elsewhere > 0);
    let mut table = format!("{} tokens\n{}", cases.len(), head(&theirs));
    for row in &rows {
        writeln!(table, "{}", row.line).unwrap();
    }
    let mut explained = |title: &str, found: Vec<&Row>, reasons: &[(&str, &str)]| {
        writeln!(table, "\n{title}").unwrap();
        for row in found {
            let why = reasons.iter().find(|(class, _)| *class == row.class);
            let why = why.map_or("NO REASON", |(_, why)| why);
            writeln!(table, "{}: {why}", row.class).unwrap();
        }
    };
    explained(
        "Refused by us, and believed elsewhere",
        stricter.collect(),
        STRICTER,
    );
    explained(
        "Believed by us, and refused elsewhere",
        otherwise.collect(),
        OTHERWISE,
    );
    insta::assert_snapshot!(table);
    assert!(!table.contains("NO REASON"), "{table}");
}

/// What came of the tokens of a class.
struct Row {
    class: &'static str,
    line: String,
    /// How many another library believes and we do not.
    refused_alone: usize,
    /// How many we believe and another library does not.
    refused_elsewhere: usize,
}

fn head(theirs: &[(&str, Vec<bool>)]) -> String {
    let names: String = theirs
        .iter()
        .map(|(name, _)| format!("{name:>9}"))
        .collect();
    format!(
        "{:<56}{:>7}{:>7}{names}\n",
        "accepted of each class by", "tokens", "us"
    )
}

fn rows(cases: &[Case], ours: &[bool], theirs: &[(&str, Vec<bool>)]) -> Vec<Row> {
    let mut classes: Vec<&'static str> = cases.iter().map(|case| case.class).collect();
    classes.dedup();
    let row = |class: &&'static str| {
        let of_class: Vec<usize> = (0..cases.len())
            .filter(|index| cases[*index].class == *class)
            .collect();
        let count = |accepted: &[bool]| of_class.iter().filter(|one| accepted[**one]).count();
        let counts: String = theirs
            .iter()
            .map(|(_, accepted)| format!("{:>9}", count(accepted)))
            .collect();
        let line = format!("{class:<56}{:>7}{:>7}{counts}", of_class.len(), count(ours));
        let any = |of_us: bool| {
            let differs = |one: &&usize| {
                ours[**one] == of_us && theirs.iter().any(|(_, accepted)| accepted[**one] != of_us)
            };
            of_class.iter().filter(differs).count()
        };
        Row {
            class,
            line,
            refused_alone: any(false),
            refused_elsewhere: any(true),
        }
    };
    classes.iter().map(row).collect()
}

/// The others, each as a program that decides on a token a line.
fn others() -> Result<[(&'static str, Command); 3], Missing> {
    Ok([
        ("jose", node("verify-jose.mjs")?),
        ("joserfc", python("verify_joserfc.py")?),
        ("go-jose", Command::new(go("jose", ".")?)),
    ])
}

/// What one of the others believes of the tokens.
fn decided(name: &str, mut command: Command, cases: &[Case]) -> Vec<bool> {
    let log = scratch(&format!("jose-{name}.log"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let trusted = json!({
        "algorithms": ALGORITHMS, "issuer": ISSUER, "audience": AUDIENCE, "jwks": key_set(),
        "now": NOW_SECONDS, "leeway": LEEWAY,
    });
    let mut lines = format!("{trusted}\n");
    for case in cases {
        writeln!(lines, "{}", Value::from(case.token.as_str())).unwrap();
    }
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    assert!(output.status.success(), "{name}: {}", said());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<bool> = answers.lines().map(|line| line == "\"accept\"").collect();
    assert_eq!(answers.len(), cases.len(), "{name}: {}", said());
    answers
}

/// What we believe of them.
fn ours(cases: &[Case]) -> Vec<bool> {
    let folder = Folder::new("outside-jose");
    let anchor = json!({
        "name": "issuer", "issuer": ISSUER, "jwks": key_set(), "algorithms": ALGORITHMS,
        "audiences": [AUDIENCE],
    });
    folder.file("trust.json", json!({"anchors": [anchor]}).to_string());
    let mut lines = String::new();
    for (index, case) in cases.iter().enumerate() {
        let question = json!({
            "id": index.to_string(), "at": NOW, "audience": [AUDIENCE],
            "credential": {"jwt": case.token},
        });
        writeln!(lines, "{question}").unwrap();
    }
    folder.file("questions.jsonl", lines);
    let ran = folder.run(&[
        "verify",
        "--batch",
        "questions.jsonl",
        "--trust",
        "trust.json",
    ]);
    assert!(ran.code == 0 || ran.code == 3, "{}", ran.err);
    let verdicts = ran.lines();
    assert_eq!(verdicts.len(), cases.len());
    verdicts
        .iter()
        .map(|verdict| verdict["verdict"] == "accept")
        .collect()
}

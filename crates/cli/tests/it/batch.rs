//! A question a line in, a verdict a line out.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;

use avouch_testkit::key::Key;
use avouch_testkit::question::QuestionForge;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, hash, jwk, jwks};
use avouch_testkit::world::Authority;
use serde_json::{Value, json};

use crate::run::{Folder, Ran};

fn question(id: &str) -> Value {
    let root = Authority::root("Root");
    let leaf = root.server("a.example");
    QuestionForge::x509(&[&leaf])
        .anchor(&root.certificate)
        .expect("dns", "a.example")
        .profile("private")
        .set("id", json!(id))
        .to_json()
}

fn with(mut question: Value, member: &str, value: Value) -> Value {
    question[member] = value;
    question
}

fn undetermined() -> Value {
    json!({"id": "undetermined", "credential": {"jwt": "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"}})
}

fn lines(questions: &[Value]) -> String {
    questions
        .iter()
        .map(|question| format!("{question}\n"))
        .collect()
}

fn words(ran: &Ran) -> Vec<String> {
    let word = |verdict: &Value| verdict["verdict"].as_str().unwrap_or_default().to_owned();
    ran.lines().iter().map(word).collect()
}

#[test]
fn verdicts_come_in_the_order_of_the_questions_whatever_the_number_of_workers() {
    let folder = Folder::new("batch_order");
    let cheap = |id: usize| json!({"id": id.to_string(), "credential": {"jwt": "x"}});
    let questions: Vec<Value> = (0..2_000)
        .map(|id| match id % 50 {
            0 => question(&id.to_string()),
            _ => cheap(id),
        })
        .collect();
    folder.file("questions.jsonl", lines(&questions));
    for jobs in ["1", "2", "7"] {
        let ran = folder.run(&["verify", "--batch", "questions.jsonl", "--jobs", jobs]);
        assert_eq!(ran.code, 3);
        let ids: Vec<String> = ran
            .lines()
            .iter()
            .map(|verdict| verdict["id"].as_str().unwrap_or_default().to_owned())
            .collect();
        let expected: Vec<String> = (0..2_000).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected);
    }
}

#[test]
fn the_exit_code_tells_the_worst_verdict() {
    let folder = Folder::new("batch_exit");
    let accepted = question("accepted");
    let rejected = with(question("rejected"), "expect", json!({"dns": "b.example"}));
    let all = folder.run_with(
        &["verify", "--batch", "-"],
        lines(std::slice::from_ref(&accepted)),
    );
    assert_eq!((all.code, words(&all)), (0, vec!["accept".to_owned()]));
    let one = folder.run_with(&["verify", "--batch", "-"], lines(&[accepted, rejected]));
    assert_eq!(one.code, 3);
    assert_eq!(words(&one), ["accept", "reject"]);
    let none = folder.run_with(&["verify", "--batch", "-"], "");
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert_eq!(folder.run(&["verify", "--batch", "nowhere"]).code, 1);
    assert_eq!(folder.run(&["verify", "--batch", "."]).code, 1);
}

#[test]
fn a_line_that_cannot_be_read_is_answered_and_the_rest_goes_on() {
    let folder = Folder::new("batch_bad_lines");
    let mut input = b"not json\n\xff\xfe\n\n   \n".to_vec();
    for bad in [
        json!("eyJhbGciOiJFUzI1NiJ9.secret.secret"),
        json!([1]),
        json!({}),
        json!({"id": 5, "credential": {"jwt": "x"}}),
        json!({"id": "unknown", "credential": {"jwt": "x"}, "audiance": "vault"}),
        json!({"id": "null", "credential": {"jwt": "x"}, "audience": null}),
        json!({"id": "empty", "credential": {"jwt": "x"}, "audience": []}),
        json!({"id": "expect", "credential": {"jwt": "x"}, "expect": {}}),
        json!({"id": "spiffe", "credential": {"jwt": "x"}, "expect": {"spiffe": "Bad Domain"}}),
        json!({"id": "ip", "credential": {"jwt": "x"}, "expect": {"ip": "300.1.1.1"}}),
        json!({"id": "at", "credential": {"jwt": "x"}, "at": "yesterday"}),
        json!({"id": "profile", "credential": {"jwt": "x"}, "profile": "strict"}),
        json!({"id": "limits", "credential": {"jwt": "x"}, "limits": {"max_path_length": -1}}),
        json!({"id": "kind", "credential": {"cookie": "x"}}),
        json!({"id": "two", "credential": {"jwt": "x", "api_key": "y"}}),
        json!({"id": "chain", "credential": {"x509": {"chain": ["%%%"]}}}),
        json!({"id": "chain_type", "credential": {"x509": {"chain": [5]}}}),
    ] {
        input.extend(format!("{bad}\n").bytes());
    }
    input.extend(b"{\"id\": \"twice\", \"id\": \"twice\", \"credential\": {\"jwt\": \"x\"}}\n");
    input.extend(b"{\"id\": \"trust\", \"credential\": {\"jwt\": \"x\"}, \"trust\": 5}\n");
    input.extend(question("last").to_string().bytes());
    let ran = folder.run_with(&["verify", "--batch", "-"], &input);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    assert!(
        !ran.out.contains("secret"),
        "a value is repeated: {}",
        ran.out
    );
    let told: Vec<String> = ran
        .lines()
        .iter()
        .map(|verdict| {
            let id = verdict["id"].as_str().unwrap_or("-");
            let sentence = verdict["reason"]["sentence"].as_str().unwrap_or("accepted");
            format!("{id}: {sentence}")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_line_that_is_too_long_is_refused_and_skipped() {
    let folder = Folder::new("batch_long_line");
    let input = [
        lines(&[question("before")]),
        "x".repeat(20 << 20) + "\n",
        lines(&[question("after")]),
        // The last line may lack its line break.
        question("last").to_string(),
    ]
    .concat();
    let ran = folder.run_with(&["verify", "--batch", "-"], input);
    assert_eq!(words(&ran), ["accept", "reject", "accept", "accept"]);
    assert_eq!(ran.lines()[1]["reason"]["code"], "limit.input_size");
}

#[test]
fn trust_given_once_serves_every_question_that_brings_none() {
    let folder = Folder::new("batch_trust");
    let root = Authority::root("Root");
    folder.certificates("root.pem", &[&root.certificate]);
    let bare = {
        let mut bare = question("bare");
        bare.as_object_mut().unwrap().remove("trust");
        bare
    };
    let own = with(question("own"), "trust", json!({"anchors": []}));
    let input = lines(&[bare, own]);
    let given = folder.run_with(&["verify", "--batch", "-", "--trust", "root.pem"], &input);
    assert_eq!(words(&given), ["accept", "reject"]);
    let nothing = folder.run_with(&["verify", "--batch", "-"], &input);
    assert_eq!(words(&nothing), ["reject", "reject"]);
}

#[test]
fn a_question_may_tighten_limits_and_never_loosen_them() {
    let folder = Folder::new("batch_limits");
    let limited = |id: &str, limits: Value| with(question(id), "limits", limits);
    let ran = folder.run_with(
        &["verify", "--batch", "-"],
        lines(&[
            limited("loose", json!({"signature_work": 4_000_000_000_u32})),
            limited("tight", json!({"signature_work": 1})),
        ]),
    );
    assert_eq!(words(&ran), ["accept", "reject"]);
    assert_eq!(ran.lines()[1]["reason"]["code"], "limit.signature_work");
    assert_eq!(ran.lines()[1]["reason"]["evidence"]["allowed"], 1);
}

#[test]
fn whoever_asks_one_question_and_waits_gets_its_verdict() {
    let folder = Folder::new("batch_dialogue");
    let mut child = folder
        .command(&["verify", "--batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for id in ["first", "second"] {
        stdin.write_all(lines(&[question(id)]).as_bytes()).unwrap();
        let mut verdict = String::new();
        stdout.read_line(&mut verdict).unwrap();
        let verdict: Value = serde_json::from_str(&verdict).unwrap();
        assert_eq!(
            (&verdict["id"], &verdict["verdict"]),
            (&json!(id), &json!("accept"))
        );
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_who_leaves_ends_the_run_without_a_word() {
    let folder = Folder::new("batch_closed_pipe");
    let mut child = folder
        .command(&["verify", "--batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let line = lines(&[undetermined()]);
        while stdin.write_all(line.as_bytes()).is_ok() {}
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut verdict = String::new();
    stdout.read_line(&mut verdict).unwrap();
    drop(stdout);
    let ran = Ran::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
}

/// The most memory a process has used, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_the_same_over_a_hundred_thousand_lines() {
    const LINES: usize = 100_000;
    let folder = Folder::new("batch_memory");
    let mut child = folder
        .command(&["verify", "--batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (go_on, may_end) = std::sync::mpsc::channel::<()>();
    let writer = thread::spawn(move || {
        for number in 0..LINES {
            // A trust document of its own for each line, so that keeping views would show.
            let line = format!(
                "{{\"id\":\"{number}\",\"credential\":{{\"jwt\":\"x\"}},\
                 \"trust\":{{\"anchors\":[{{\"name\":\"{number}\",\"pin\":\"{}\"}}]}}}}\n",
                "x".repeat(200)
            );
            stdin.write_all(line.as_bytes()).unwrap();
        }
        let _ = may_end.recv();
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut early = 0;
    let mut verdict = String::new();
    for number in 0..LINES {
        verdict.clear();
        stdout.read_line(&mut verdict).unwrap();
        assert!(
            verdict.starts_with(&format!("{{\"id\":\"{number}\"")),
            "{verdict}"
        );
        if number == LINES / 20 {
            early = peak_memory(child.id());
        }
    }
    let late = peak_memory(child.id());
    go_on.send(()).unwrap();
    writer.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    // 4 MiB are nothing beside 100,000 lines, which are 40 MiB to read and 100 to write.
    assert!(late < early + 4096, "{early} KiB grew to {late} KiB");
}

#[test]
fn a_byte_order_mark_is_no_part_of_what_is_read() {
    let folder = Folder::new("batch_marked");
    folder.file(
        "questions.jsonl",
        format!("\u{feff}{}", lines(&[question("1")])),
    );
    let ran = folder.run(&["verify", "--batch", "questions.jsonl"]);
    assert_eq!((ran.code, words(&ran)), (0, vec!["accept".to_owned()]));
    // Neither is it the first byte of something that is shorter than a mark.
    folder.file("short.jsonl", "{}");
    assert_eq!(folder.run(&["verify", "--batch", "short.jsonl"]).code, 3);
}

const ISSUER: &str = "https://issuer.example.com";
const ORDERS: &str = "https://cloud.test/orders";

/// The public key alone.
fn public(key: &Key) -> Value {
    let mut public = jwk(key, "x");
    for member in ["kid", "use"] {
        public.as_object_mut().unwrap().remove(member);
    }
    public
}

/// The thumbprint of a key (RFC 7638).
fn thumbprint(key: &Key) -> String {
    let of = public(key);
    hash(&format!(
        r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#,
        of["x"], of["y"]
    ))
}

/// A proof by a key for a request with a token.
fn proof(token: &str, key: &Key, claim: &str, value: Value) -> String {
    TokenForge::saying(json!({
        "htm": "GET", "htu": ORDERS, "iat": NOW_SECONDS, "jti": "1", "ath": hash(token),
    }))
    .header("typ", json!("dpop+jwt"))
    .header("jwk", public(key))
    .claim(claim, value)
    .sign_nameless(key)
}

/// A question about a token of [`ISSUER`] that came with a proof.
fn asked(token: &str, proof: Option<String>) -> Value {
    let mut credential = json!({"jwt": token});
    if let Some(proof) = proof {
        credential["dpop"] = json!({"proof": proof, "method": "GET", "url": ORDERS});
    }
    json!({
        "credential": credential, "audience": ["vault"],
        "trust": {"anchors": [{
            "issuer": ISSUER, "jwks": jwks(&[jwk(&Key::p256("issuer"), "k")]),
            "rules": [{"name": "jobs", "facts": {"subject": "job-7"}}],
        }]},
    })
}

/// A token that is bound to a key is worth nothing without a proof by it, offline as on a server.
#[test]
fn a_proof_that_comes_with_a_token_is_looked_at() {
    let (issuer, holder) = (Key::p256("issuer"), Key::p256("holder"));
    let unbound = TokenForge::oidc(ISSUER, "job-7", "vault");
    let bound = unbound
        .clone()
        .claim("cnf", json!({"jkt": thumbprint(&holder)}))
        .sign(&issuer, "k");
    let unbound = unbound.sign(&issuer, "k");
    let good = |token: &str, key: &Key| Some(proof(token, key, "jti", json!("1")));
    let wrong = |claim: &str, value: Value| Some(proof(&bound, &holder, claim, value));
    let (invalid, missing) = ("issue.proof_invalid", "federation.proof_missing");
    let cases = [
        (asked(&bound, good(&bound, &holder)), "accept"),
        (asked(&bound, None), missing),
        (asked(&bound, good(&bound, &Key::p256("other"))), missing),
        (asked(&bound, wrong("htm", json!("POST"))), invalid),
        (
            asked(&bound, wrong("iat", json!(NOW_SECONDS - 61))),
            invalid,
        ),
        (asked(&bound, good(&unbound, &holder)), invalid),
        (asked(&unbound, good(&unbound, &holder)), invalid),
        (asked(&unbound, None), "accept"),
    ];
    let folder = Folder::new("batch_proofs");
    let questions: Vec<Value> = cases.iter().map(|(asked, _)| asked.clone()).collect();
    let ran = folder.run_with(
        &["verify", "--batch", "-", "--at", avouch_testkit::NOW],
        lines(&questions),
    );
    let told: Vec<String> = ran
        .lines()
        .iter()
        .map(|told| match told["verdict"].as_str() {
            Some("reject") => told["reason"]["code"].as_str().unwrap().to_owned(),
            other => other.unwrap_or_default().to_owned(),
        })
        .collect();
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(told, expected, "{ran:?}");
    // That it is used once is for whoever asks to see to.
    let effect = &ran.lines()[0]["effects"][0]["consume_nonce"];
    assert_eq!(effect["scope"], "DPoP proof", "{ran:?}");
    assert_eq!(ran.lines()[7]["effects"], json!([]));
}

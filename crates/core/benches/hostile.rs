//! How long the most expensive inputs take that anyone can think of:
//! `cargo bench -p avouch-core --bench hostile`, or only those whose name has a word:
//! `cargo bench -p avouch-core --bench hostile -- policies`.
//!
//! Each must end within [`LIMIT`], whatever its verdict. Time is that of the processor in this
//! thread, not of the wall; the graphs are the ones whose spending `tests/it/hostile_graphs.rs`
//! counts.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::hint::black_box;
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Spent};
use avouch_core::credential::Credential;
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::IssuerAnchor;
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::crl::{CrlForge, Entry};
use avouch_testkit::graphs::{self, Graph};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use avouch_testkit::world::Authority;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// What none may take, in milliseconds.
const LIMIT: f64 = 50.0;

/// How often each is run.
const RUNS: usize = 20;

fn main() {
    // `cargo test --benches` runs this too, and wants to know only whether it starts.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted =
        |title: &str| wanted.is_empty() || wanted.iter().any(|part| title.contains(part));
    let runs = if quick { 1 } else { RUNS };
    println!("milliseconds of processor time; {runs} runs each; limit {LIMIT} ms");
    println!("{:>8} {:>8} {:>8}", "least", "median", "most");
    let mut over = 0;
    for (title, case) in cases() {
        if is_wanted(title) && (!quick || title.contains("extensions")) {
            over += usize::from(!run(title, &*case(), runs));
        }
    }
    println!("{over} over the limit");
}

/// What is timed; gives the outcome and what was spent.
type Case = Box<dyn Fn() -> (String, Spent)>;

/// Runs one and prints what it took; whether that was within the limit.
fn run(title: &str, case: &dyn Fn() -> (String, Spent), runs: usize) -> bool {
    let (outcome, spent) = case();
    let mut seen: Vec<f64> = (0..runs)
        .map(|_| {
            let start = processor_time();
            black_box(case());
            processor_time() - start
        })
        .collect();
    seen.sort_by(f64::total_cmp);
    let (least, median, most) = (seen[0], seen[seen.len() / 2], seen[seen.len() - 1]);
    let within = most <= LIMIT;
    let verdict = if within { "" } else { " OVER" };
    println!("{least:>8.2} {median:>8.2} {most:>8.2}{verdict}  {title}: {outcome}, {spent:?}");
    within
}

/// Milliseconds that this thread has run.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

#[expect(
    clippy::type_complexity,
    reason = "made one at a time, since each is large"
)]
#[expect(clippy::too_many_lines, reason = "one entry for each case")]
fn cases() -> Vec<(&'static str, Box<dyn Fn() -> Case>)> {
    fn graph(make: impl Fn() -> Graph + 'static) -> Box<dyn Fn() -> Case> {
        Box::new(move || decision(&make(), Profile::Rfc5280))
    }
    fn web(make: impl Fn() -> Graph + 'static) -> Box<dyn Fn() -> Case> {
        Box::new(move || decision(&make(), Profile::WebPki))
    }
    vec![
        (
            "20 authorities that all certify each other",
            graph(|| graphs::all_certify_each_other(20)),
        ),
        (
            "50 authorities that all certify each other",
            graph(|| graphs::all_certify_each_other(50)),
        ),
        (
            "20 of them next to an anchor",
            graph(|| graphs::all_certify_each_other_next_to_an_anchor(20)),
        ),
        (
            "3,000 look-alike issuers",
            graph(|| graphs::look_alikes(3_000)),
        ),
        (
            "3,000 look-alikes before the one that signed",
            graph(|| graphs::look_alikes_before_the_one_that_signed(3_000)),
        ),
        (
            "3,000 names of one key",
            graph(|| graphs::one_key_with_many_names(3_000)),
        ),
        (
            "2,000 issuers below the greatest depth",
            graph(|| graphs::a_pile_below_the_greatest_depth(16, 2_000)),
        ),
        ("a chain of 4,000", graph(|| graphs::a_long_chain(4_000))),
        (
            "4,001 certificates",
            graph(|| graphs::empty_certificates(4_001)),
        ),
        ("1,000 self-issued", graph(|| graphs::self_issued(1_000))),
        (
            "10,000 name constraints, 1,000 names",
            graph(|| graphs::name_constraints(10_000, 1_000)),
        ),
        (
            "10,000 name constraints, 1 name",
            graph(|| graphs::name_constraints(10_000, 1)),
        ),
        (
            "10,000 name constraints, 10 names",
            graph(|| graphs::name_constraints(10_000, 10)),
        ),
        (
            "200 whole paths through 10,000 name constraints",
            graph(|| graphs::whole_paths_through_a_long_certificate(200, 10_000)),
        ),
        (
            "10,000 anchors of one name",
            graph(|| graphs::anchors_of_one_name(10_000)),
        ),
        (
            "an expired end entity on 900 paths",
            graph(|| graphs::an_expired_end_entity(30)),
        ),
        (
            "an RSA key of 16,384 bits",
            graph(|| graphs::an_rsa_key(16_384)),
        ),
        (
            "500 RSA keys of 8,192 bits",
            graph(|| graphs::rsa_keys(500, 8_192)),
        ),
        (
            "1,000 P-256 keys",
            graph(|| graphs::keys_of_one_kind(1_000, Key::p256)),
        ),
        (
            "200 P-384 keys",
            graph(|| graphs::keys_of_one_kind(200, Key::p384)),
        ),
        (
            "200 P-521 keys",
            graph(|| graphs::keys_of_one_kind(200, Key::p521)),
        ),
        (
            "200 ML-DSA-87 keys",
            graph(|| graphs::keys_of_one_kind(200, Key::ml_dsa_87)),
        ),
        ("20,000 extensions", graph(|| graphs::extensions(20_000))),
        ("85,000 extensions", graph(|| graphs::extensions(85_000))),
        (
            "12 levels of 60 policies mapped to each other",
            graph(|| graphs::policies_that_multiply(12, 60)),
        ),
        (
            "1,900 mappings that do not count",
            graph(|| graphs::mappings_that_do_not_count(1_900)),
        ),
        (
            "1 MB of leaf below 2,000 look-alikes",
            graph(|| graphs::a_long_leaf_below_look_alikes(1 << 20, 2_000)),
        ),
        (
            "6 keys of one name of 30 KB that all certify each other",
            graph(|| graphs::long_names(6, 30_000)),
        ),
        (
            "20 keys of one name of 2 KB that all certify each other",
            graph(|| graphs::long_names(20, 2_000)),
        ),
        (
            "dead ends of 400 KB",
            graph(|| graphs::long_dead_ends(14, 200_000)),
        ),
        (
            "dead ends of 4 KB",
            graph(|| graphs::long_dead_ends(14, 1_600)),
        ),
        (
            "490 names and 490 constraints of 1.8 KB",
            graph(|| graphs::long_names_and_constraints(490, 1_800)),
        ),
        (
            "10,000 common names, 100,000 names",
            web(|| graphs::common_names(10_000, 100_000)),
        ),
        (
            "1 common name, 80,000 others",
            web(|| graphs::many_names(80_000)),
        ),
        (
            "1 common name, 150,000 others",
            web(|| graphs::many_names(150_000)),
        ),
        ("150,000 names", graph(|| graphs::many_names(150_000))),
        (
            "a subject of 500,000 characters",
            graph(|| graphs::a_subject_outside_ascii(500_000)),
        ),
        (
            "900 paths, 3,000 signers of their list",
            Box::new(|| signers_of_a_list(900, 3_000)),
        ),
        (
            "a key set of 100 RSA keys of 8,192 bits, read",
            Box::new(long_keys),
        ),
        (
            "a token, 100 keys of its issuer",
            Box::new(|| token_of_an_issuer_of_many_keys(100)),
        ),
        (
            "a token of the last of 10,000 issuers",
            Box::new(|| token_among(10_000, "https://issuer-9999.example.com")),
        ),
        (
            "a token of none of 10,000 issuers",
            Box::new(|| token_among(10_000, "https://issuer.example.com")),
        ),
        (
            "a token of 15 KB, 1,000 issuers of one name",
            Box::new(|| token_of_issuers_of_one_name(1_000)),
        ),
        ("a list of 100,000 entries, read", Box::new(list_read)),
        ("a list of 100,000 entries, asked", Box::new(list_asked)),
    ]
}

fn outcome(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept(_) => "accept".to_owned(),
        Verdict::Reject(refusal) => refusal.reason().code().to_owned(),
        Verdict::Undetermined(_) => "undetermined".to_owned(),
    }
}

fn decided(question: Question, view: View) -> Case {
    Box::new(move || {
        let mut budget = Budget::default();
        let verdict = decide(&question, &view, &AwsLc, &mut budget);
        (outcome(&verdict), budget.spent())
    })
}

fn question(credential: Credential, profile: Profile) -> Question {
    let is_web = profile == Profile::WebPki;
    Question {
        tenant: TenantId::local(),
        credential,
        profile,
        purpose: Purpose::Server,
        now: Time::parse(avouch_testkit::NOW).expect("a time"),
        context: Context {
            expected: if is_web {
                vec![ExpectedName::Dns("0.com".to_owned())]
            } else {
                Vec::new()
            },
            ..Context::default()
        },
    }
}

fn anchor(kind: AnchorKind) -> Anchor {
    Anchor {
        name: "anchor".to_owned(),
        kind,
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    }
}

fn view(anchors: Vec<Anchor>, lists: Vec<Crl>) -> View {
    let epoch = Digest::of(b"a view of a benchmark");
    View::new(TenantId::local(), anchors, lists, Vec::new(), epoch)
}

fn certificates(ders: &[Vec<u8>]) -> Vec<Anchor> {
    ders.iter()
        .map(|der| {
            let certificate = Certificate::parse(der).expect("it can be read");
            anchor(AnchorKind::Certificate(Arc::new(certificate)))
        })
        .collect()
}

fn decision(graph: &Graph, profile: Profile) -> Case {
    let question = question(Credential::X509(graph.chain.clone()), profile);
    decided(question, view(certificates(&graph.anchors), Vec::new()))
}

/// RSA keys of the greatest length, as JSON Web Keys.
fn long_keys() -> Case {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let keys: Vec<Value> = (0..100_u8)
        .map(|number| {
            let mut modulus = vec![0xa5; 1024];
            modulus[1] = number;
            modulus[1023] |= 1;
            json!({"kty": "RSA", "kid": format!("{number}"), "use": "sig", "alg": "RS256",
                "e": "AQAB", "n": Base64UrlUnpadded::encode_string(&modulus)})
        })
        .collect();
    let set = json!({ "keys": keys });
    Box::new(move || {
        let read = KeySet::read("https://issuer.example.com", &set);
        (
            read.map_or_else(
                |reason| reason.code().to_owned(),
                |set| format!("{} keys", set.keys().len()),
            ),
            Spent::default(),
        )
    })
}

const AUDIENCE: &str = "vault";

fn token_question(token: String) -> Question {
    let mut question = question(Credential::Jwt(token), Profile::Private);
    question.context.audiences = vec![AUDIENCE.to_owned()];
    question
}

fn issuer(name: &str, keys: &Value) -> Anchor {
    let members = json!({"issuer": name, "jwks": keys});
    let members = members.as_object().expect("an object");
    anchor(AnchorKind::Issuer(
        IssuerAnchor::read(members).expect("an issuer"),
    ))
}

fn token_of_an_issuer_of_many_keys(count: usize) -> Case {
    let keys: Vec<Value> = (0..count)
        .map(|number| {
            let name = format!("key {number}");
            jwk(&Key::p256(&name), &name)
        })
        .collect();
    let name = "https://issuer.example.com";
    let token = TokenForge::oidc(name, "someone", AUDIENCE);
    let token = token.sign(&Key::p256("key 0"), "key 0");
    let anchors = vec![issuer(name, &json!({ "keys": keys }))];
    decided(token_question(token), view(anchors, Vec::new()))
}

fn token_among(count: usize, name: &str) -> Case {
    let key = Key::p256("issuer");
    let keys = jwks(&[jwk(&key, "k")]);
    let anchors = (0..count)
        .map(|number| issuer(&format!("https://issuer-{number}.example.com"), &keys))
        .collect();
    let token = TokenForge::oidc(name, "someone", AUDIENCE).sign(&key, "k");
    decided(token_question(token), view(anchors, Vec::new()))
}

fn token_of_issuers_of_one_name(count: usize) -> Case {
    let name = "https://issuer.example.com";
    let anchors = (0..count)
        .map(|number| {
            let key = Key::p256(&format!("issuer {number}"));
            issuer(name, &jwks(&[jwk(&key, "k")]))
        })
        .collect();
    let token = TokenForge::oidc(name, "someone", AUDIENCE)
        .claim("padding", Value::String("a".repeat(11_000)))
        .sign(&Key::p256("no one"), "k");
    decided(token_question(token), view(anchors, Vec::new()))
}

fn long_list() -> Vec<u8> {
    let mut forge = CrlForge::complete();
    for number in 0..100_000_u32 {
        let mut serial = vec![0x40; 16];
        serial[4..8].copy_from_slice(&number.to_be_bytes());
        forge = forge.revoke(Entry::new(&serial, "2024-05-30T00:00:00Z").reason(1));
    }
    Authority::root("Root").crl(forge)
}

fn list_read() -> Case {
    let der = long_list();
    Box::new(move || {
        let list = Crl::parse(&der).expect("it can be read");
        (format!("{} entries", list.len()), Spent::default())
    })
}

fn list_asked() -> Case {
    let root = Authority::root("Root");
    let list = Crl::parse(&long_list()).expect("it can be read");
    let question = question(
        Credential::X509(vec![root.server("a.example")]),
        Profile::Rfc5280,
    );
    decided(
        question,
        view(certificates(&[root.certificate]), vec![list]),
    )
}

fn signers_of_a_list(paths: u64, signers: usize) -> Case {
    let (graph, list) = graphs::list_signers(paths, signers);
    let list = Crl::parse(&list).expect("it can be read");
    let question = question(Credential::X509(graph.chain.clone()), Profile::Rfc5280);
    decided(question, view(certificates(&graph.anchors), vec![list]))
}

//! x509-limbo through `verify --batch`: every case as expected, and for the reason that has been
//! reviewed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use crate::run::Folder;

/// Where the suites are when `AVOUCH_VECTORS` does not say otherwise.
const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");

fn suite() -> Option<PathBuf> {
    let folder = std::env::var_os("AVOUCH_VECTORS").map_or_else(|| DEFAULT.into(), PathBuf::from);
    let path = folder.join("x509-limbo.json.gz");
    path.is_file().then_some(path)
}

fn testcases(path: &Path) -> Vec<Value> {
    let suite: Value = serde_json::from_reader(GzDecoder::new(File::open(path).unwrap())).unwrap();
    suite["testcases"].as_array().unwrap().clone()
}

/// The question that a case asks. The suite asks contradictory things of its `rfc5280::` and its
/// other groups in three pairs of cases; the profile decides.
fn question(case: &Value) -> Value {
    let id = case["id"].as_str().unwrap();
    let profile = if id.starts_with("rfc5280::") {
        "rfc5280"
    } else {
        "webpki"
    };
    let chain: Vec<&Value> = std::iter::once(&case["peer_certificate"])
        .chain(case["untrusted_intermediates"].as_array().unwrap())
        .collect();
    let anchors: Vec<Value> = case["trusted_certs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|certificate| json!({"x509": certificate}))
        .collect();
    let mut question = json!({
        "id": id,
        "profile": profile,
        "purpose": case["validation_kind"].as_str().unwrap().to_lowercase(),
        "credential": {"x509": {"chain": chain}},
        "trust": {"anchors": anchors, "crls": case["crls"]},
    });
    if let Some(time) = case["validation_time"].as_str() {
        question["at"] = json!(time);
    }
    if let Some(length) = case["max_chain_depth"].as_u64() {
        question["limits"] = json!({"max_path_length": length});
    }
    let mut expected = Map::new();
    let names = case["expected_peer_names"].as_array().unwrap().iter();
    for name in names.chain(Some(&case["expected_peer_name"]).filter(|name| name.is_object())) {
        let kind = match name["kind"].as_str().unwrap() {
            "DNS" => "dns",
            "IP" => "ip",
            "RFC822" => "email",
            other => panic!("{id} expects a name of the kind {other}"),
        };
        let names = expected.entry(kind).or_insert_with(|| json!([]));
        names.as_array_mut().unwrap().push(name["value"].clone());
    }
    if !expected.is_empty() {
        question["expect"] = Value::from(expected);
    }
    question
}

#[test]
fn x509_limbo_is_decided_as_expected_and_for_the_reviewed_reasons() {
    let Some(path) = suite() else {
        println!("skipped: x509-limbo: there is no x509-limbo.json.gz in AVOUCH_VECTORS");
        return;
    };
    let cases = testcases(&path);
    let questions: String = cases
        .iter()
        .map(|case| format!("{}\n", question(case)))
        .collect();
    let ran = Folder::new("limbo").run_with(&["verify", "--batch", "-"], questions);
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    let verdicts = ran.lines();
    assert_eq!(verdicts.len(), cases.len());

    let mut reasons = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let id = case["id"].as_str().unwrap();
        assert_eq!(verdict["id"], id);
        let expected = match case["expected_result"].as_str().unwrap() {
            "SUCCESS" => "accept",
            "FAILURE" => "reject",
            other => panic!("{id} expects {other}"),
        };
        if verdict["verdict"] != expected {
            wrong.push(format!(
                "{id}: {} instead of {expected}",
                verdict["verdict"]
            ));
        }
        if expected == "reject" {
            reasons.insert(id.to_owned(), verdict["reason"]["code"].clone());
        }
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "{} of {}",
        cases.len() - wrong.len(),
        cases.len()
    );
    compare_reasons(&reasons);
}

/// Compares with the reviewed list. With `AVOUCH_BLESS=1` writes it instead, to be reviewed.
fn compare_reasons(reasons: &BTreeMap<String, Value>) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/x509-limbo-reasons.json");
    let found = serde_json::to_string_pretty(reasons).unwrap() + "\n";
    if std::env::var_os("AVOUCH_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &found).unwrap();
    }
    let reviewed: BTreeMap<String, Value> =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let differing: Vec<String> = reasons
        .iter()
        .filter(|(id, code)| reviewed.get(*id) != Some(*code))
        .map(|(id, code)| format!("{id}: {code}, reviewed was {:?}", reviewed.get(id)))
        .collect();
    assert_eq!(differing, Vec::<String>::new());
}

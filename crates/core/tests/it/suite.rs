//! Public suites of vectors: where they are, and how their results are compared.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Where the suites are when `AVOUCH_VECTORS` does not say otherwise.
const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");

/// The suite in the file `name`; `None`, and a line that says so, where there is none.
pub(crate) fn read(suite: &str, name: &str) -> Option<Value> {
    let folder = std::env::var_os("AVOUCH_VECTORS").map_or_else(|| DEFAULT.into(), PathBuf::from);
    let path = folder.join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: {suite}: there is no {name} in AVOUCH_VECTORS");
        return None;
    };
    Some(parse(&bytes))
}

/// Reads JSON, compressed or not.
pub(crate) fn parse(bytes: &[u8]) -> Value {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return serde_json::from_slice(bytes).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The text of a member.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

/// The texts of a member.
pub(crate) fn texts<'a>(value: &'a Value, member: &str) -> Vec<&'a str> {
    let list = value[member].as_array().unwrap();
    list.iter().map(|item| item.as_str().unwrap()).collect()
}

/// What came of each case that did not come out as it should.
#[derive(Debug, Default)]
pub(crate) struct Deviations(BTreeMap<String, String>);

impl Deviations {
    pub(crate) fn add(&mut self, case: &str, what: String) {
        self.0.insert(case.to_owned(), what);
    }

    /// Fails unless the cases that deviate are exactly the known ones, each with its reason: an
    /// unexpected success fails too, so that the list can only shrink.
    pub(crate) fn must_be(&self, known: &[(&str, &str)]) {
        let unexpected: Vec<String> = self
            .0
            .iter()
            .filter(|(case, _)| known.iter().all(|(known, _)| known != case))
            .map(|(case, what)| format!("{case}: {what}"))
            .collect();
        assert!(
            unexpected.is_empty(),
            "{} cases deviate:\n{}",
            unexpected.len(),
            unexpected.join("\n")
        );
        for (case, why) in known {
            assert!(
                self.0.contains_key(*case),
                "{case} deviates no more ({why})"
            );
        }
    }
}

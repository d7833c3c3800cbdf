//! The core has no clock, no randomness, no network, no disk, no environment and no threads.

use std::collections::BTreeSet;

use crate::workspace::Workspace;

/// What a pure crate does not name, and why.
const IMPURE: [(&str, &str); 13] = [
    ("HashMap", "its order changes from run to run"),
    ("HashSet", "its order changes from run to run"),
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    ("Timestamp::now", "a clock"),
    ("async fn", "the core does not wait"),
    ("aws_lc_rs::rand", "randomness"),
    ("std::env", "the environment"),
    ("std::fs", "the disk"),
    ("std::net::Tcp", "the network"),
    ("std::net::Udp", "the network"),
    ("std::process", "other programs"),
    ("std::thread", "threads"),
];

pub(crate) fn findings(workspace: &Workspace) -> Vec<String> {
    let paths = workspace.files("crates/core/src", &[".rs"]);
    let texts: Vec<String> = paths.iter().map(|path| workspace.read(path)).collect();
    let of_tests: BTreeSet<String> = std::iter::zip(&paths, &texts)
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in std::iter::zip(&paths, &texts) {
        if of_tests.contains(path) {
            continue;
        }
        for (number, line) in without_tests(text) {
            for (name, why) in IMPURE {
                if line.contains(name) {
                    findings.push(format!("{path}:{number}: `{name}`: {why}"));
                }
            }
        }
    }
    findings
}

/// The files of modules that a file declares for tests only.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
    let below = match path.strip_suffix(".rs") {
        Some(own) if !path.ends_with("/mod.rs") && !path.ends_with("/lib.rs") => own,
        _ => folder,
    };
    let mut files = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.by_ref().any(|line| line == ATTRIBUTE) {
        let mut line = lines.next().unwrap_or_default();
        let named = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"));
        if let Some(name) = named {
            files.push(format!("{folder}/{name}"));
            line = lines.next().unwrap_or_default();
        }
        let module = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        if let Some(name) = module {
            files.push(format!("{below}/{name}.rs"));
            files.push(format!("{below}/{name}/mod.rs"));
        }
    }
    files
}

/// The lines of code with their numbers, without comments and without the tests, which stand at
/// the end of a file.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let begins_tests = |index: usize| {
        lines[index].trim() == ATTRIBUTE && lines[index + 1..].first() == Some(&"mod tests {")
    };
    (0..lines.len())
        .take_while(|index| !begins_tests(*index))
        .filter(|index| !lines[*index].trim_start().starts_with("//"))
        .map(|index| (index + 1, lines[index]))
        .collect()
}

/// What stands above everything that only tests are built from.
const ATTRIBUTE: &str = "#[cfg(test)]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_not_looked_at() {
        let text = "use a;\n// std::fs\nlet b;\n#[cfg(test)]\nmod tests {\n}";
        assert_eq!(without_tests(text), [(1, "use a;"), (3, "let b;")]);
    }

    #[test]
    fn a_module_for_tests_only_may_stand_in_a_file_of_its_own() {
        let text = "mod a;\n#[cfg(test)]\nmod vectors;\nmod b;";
        let files = ["core/jose/vectors.rs", "core/jose/vectors/mod.rs"];
        assert_eq!(test_files("core/jose/mod.rs", text), files);
        assert_eq!(test_files("core/jose.rs", text), files);
        let text = "#[cfg(test)]\n#[path = \"vectors.rs\"]\nmod vectors;";
        assert!(test_files("core/jose/jws.rs", text).contains(&files[0].to_owned()));
    }
}

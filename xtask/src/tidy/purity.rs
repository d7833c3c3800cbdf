//! The core has no clock, no randomness, no network, no disk, no environment and no threads.

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
    let mut findings = Vec::new();
    for path in workspace.files("crates/core/src", &[".rs"]) {
        if path.ends_with("/tests.rs") {
            continue;
        }
        for (number, line) in without_tests(&workspace.read(&path)) {
            for (name, why) in IMPURE {
                if line.contains(name) {
                    findings.push(format!("{path}:{number}: `{name}`: {why}"));
                }
            }
        }
    }
    findings
}

/// The lines of code with their numbers, without comments and without the tests, which stand at
/// the end of a file.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_tests_are_not_looked_at() {
        let text = "use a;\n// std::fs\nlet b;\n#[cfg(test)]\nmod tests {}";
        assert_eq!(without_tests(text), [(1, "use a;"), (3, "let b;")]);
    }
}

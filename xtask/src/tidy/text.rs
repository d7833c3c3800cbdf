//! What is written: how long files are, which words stand in them, where links lead.

use crate::workspace::Workspace;

/// A longer file asks to be split by meaning.
const LONGEST_FILE: usize = 800;

/// Tables, one row after another: in two files there would be two of them.
const TABLES: [&str; 1] = ["crates/core/src/reason/catalogue.rs"];

/// Words that say something was left undone, belong to one machine, or have a better word; each
/// is put together here so that this file does not hold it.
const UNWANTED: [(&[&str], &str); 9] = [
    (&["to", "do!("], "unfinished"),
    (
        &["FIX", "ME"],
        "unfinished; say what is weaker in SECURITY.md",
    ),
    (&["XX", "X "], "unfinished"),
    (&["TO", "DO:"], "unfinished; give it the number of an issue"),
    (&["black", "list"], "say `revocation` or `forbid`"),
    (&["white", "list"], "say `allow` or `permit`"),
    (&["/ro", "ot/"], "a path of one machine"),
    (&["/ho", "me/"], "a path of one machine"),
    (&["/Us", "ers/"], "a path of one machine"),
];

pub(crate) fn long_files(workspace: &Workspace) -> Vec<String> {
    let files = workspace.files(".", &[".rs"]).into_iter();
    files
        .filter(|path| !is_generated(path) && !TABLES.contains(&path.as_str()))
        .filter_map(|path| {
            let lines = workspace.read(&path).lines().count();
            (lines > LONGEST_FILE).then(|| format!("{path} has {lines} lines"))
        })
        .collect()
}

/// Whether `cargo xtask protocols` writes it.
fn is_generated(path: &str) -> bool {
    path.starts_with("crates/api/src/grpc/") && !path.ends_with("/mod.rs")
}

pub(crate) fn unwanted_words(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for path in workspace.files(".", &[".rs", ".md", ".toml", "/run"]) {
        let text = workspace.read(&path);
        for (index, line) in text.lines().enumerate() {
            for (parts, why) in UNWANTED {
                let word = parts.concat();
                if line.contains(&word) {
                    findings.push(format!("{path}:{}: `{word}`: {why}", index + 1));
                }
            }
        }
    }
    findings
}

/// Links between our documents that lead to no file.
pub(crate) fn dead_links(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for path in workspace.files(".", &[".md"]) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in links(&workspace.read(&path)) {
            if !workspace.path(folder).join(&target).exists() {
                findings.push(format!("{path} links to {target}, which is not there"));
            }
        }
    }
    findings
}

/// The targets of Markdown links to files, without what follows `#`.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '\n']).next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter_map(|target| target.split('#').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_files_are_followed() {
        let text = "[a](docs/a.md#part) [b](https://example.com) [c](#here) [d](LICENSE)";
        assert_eq!(links(text), ["docs/a.md", "LICENSE"]);
    }
}

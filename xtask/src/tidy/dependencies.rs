//! Which crate may know which, and what comes from outside.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::{cargo, output};
use crate::workspace::Workspace;

/// All that the core may be built from; whatever can reach a network, a disk or a clock by itself
/// stays out.
const OF_THE_CORE: [&str; 16] = [
    "aws-lc-rs",
    "base64",
    "base64ct",
    "const-oid",
    "der",
    "jiff",
    "miniz_oxide",
    "num-bigint",
    "psl",
    "roxmltree",
    "rustls-pki-types",
    "rustls-webpki",
    "serde",
    "serde_json",
    "ssh-key",
    "tpm2-protocol",
];

/// Which of our crates each of our crates may know outside its tests. Whoever is not named may not
/// exist.
const DIRECTION: [(&str, &[&str]); 10] = [
    (
        "avouch",
        &[
            "avouch-agent",
            "avouch-api",
            "avouch-audit",
            "avouch-core",
            "avouch-server",
            "avouch-store",
        ],
    ),
    ("avouch-agent", &["avouch-api", "avouch-core"]),
    ("avouch-api", &["avouch-core"]),
    ("avouch-audit", &["avouch-core"]),
    ("avouch-core", &[]),
    ("avouch-issuer", &["avouch-core"]),
    (
        "avouch-server",
        &["avouch-api", "avouch-core", "avouch-issuer", "avouch-store"],
    ),
    ("avouch-store", &["avouch-core"]),
    ("avouch-testkit", &[]),
    (
        "xtask",
        &[
            "avouch",
            "avouch-api",
            "avouch-audit",
            "avouch-core",
            "avouch-server",
            "avouch-testkit",
        ],
    ),
];

/// The one place that packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What cargo knows about all packages.
pub(crate) struct Packages(Vec<Package>);

struct Package {
    name: String,
    licence: Option<String>,
    /// `None` for our own.
    source: Option<String>,
    /// What is built in.
    dependencies: Vec<String>,
    /// That, and what only tests are built from.
    all_dependencies: Vec<String>,
    /// How sources call it, if it is a library.
    library: Option<String>,
    manifest: PathBuf,
}

impl Packages {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self, String> {
        let arguments = ["metadata", "--format-version", "1", "--locked"];
        let text = output(&mut cargo(workspace, &arguments))?;
        let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        Ok(Self(packages.map(Package::from_json).collect()))
    }

    /// Our crates that know one they should not.
    pub(crate) fn wrong_direction(&self) -> Vec<String> {
        let ours: BTreeSet<&str> = self.ours().map(|package| package.name.as_str()).collect();
        let mut findings = Vec::new();
        for package in self.ours() {
            let known = DIRECTION.iter().find(|(name, _)| *name == package.name);
            let Some((name, allowed)) = known else {
                findings.push(format!("{} has no place in the order yet", package.name));
                continue;
            };
            for dependency in &package.dependencies {
                let is_ours = ours.contains(dependency.as_str());
                let of_the_core = OF_THE_CORE.contains(&dependency.as_str());
                if is_ours && !allowed.contains(&dependency.as_str()) {
                    findings.push(format!("{name} must not know {dependency}"));
                }
                if *name == "avouch-core" && !is_ours && !of_the_core {
                    findings.push(format!("the core must not be built from {dependency}"));
                }
            }
        }
        findings
    }

    /// Dependencies that no source file of their crate names.
    pub(crate) fn unused(&self, workspace: &Workspace) -> Vec<String> {
        let mut findings = Vec::new();
        for package in self.ours() {
            let sources: String = workspace
                .files(&package.folder(workspace), &[".rs"])
                .iter()
                .map(|path| workspace.read(path))
                .collect();
            for dependency in &package.all_dependencies {
                let library = self.library(dependency);
                if !sources.contains(&format!("{library}::")) {
                    findings.push(format!("{} does not use {dependency}", package.name));
                }
            }
        }
        findings
    }

    /// The name by which sources call a package.
    fn library(&self, name: &str) -> String {
        let package = self.0.iter().find(|package| package.name == name);
        let library = package.and_then(|package| package.library.clone());
        library.unwrap_or_else(|| name.replace('-', "_"))
    }

    /// Packages from outside whose licence is not in `deny.toml`.
    pub(crate) fn licences(&self, workspace: &Workspace) -> Vec<String> {
        let allowed = allowed_licences(&workspace.read("deny.toml"));
        let foreign = self.0.iter().filter(|package| package.source.is_some());
        foreign
            .filter_map(|package| {
                let licence = package.licence.as_deref().unwrap_or("no licence");
                let fine = is_allowed(licence, &allowed);
                (!fine).then(|| format!("{}: {licence}", package.name))
            })
            .collect()
    }

    /// Packages that do not come from the one registry.
    pub(crate) fn sources(&self) -> Vec<String> {
        let sources = self.0.iter().filter_map(|package| {
            let source = package.source.as_deref()?;
            (source != REGISTRY).then(|| format!("{} comes from {source}", package.name))
        });
        sources.collect()
    }

    fn ours(&self) -> impl Iterator<Item = &Package> {
        self.0.iter().filter(|package| package.source.is_none())
    }
}

impl Package {
    fn from_json(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let dependencies = || json["dependencies"].as_array().into_iter().flatten();
        let targets = json["targets"].as_array().into_iter().flatten();
        let is_library = |target: &&Value| {
            let kinds = target["kind"].as_array().into_iter().flatten();
            kinds
                .filter_map(Value::as_str)
                .any(|kind| kind.contains("lib"))
        };
        let mut library = targets.filter(is_library);
        Self {
            name: text(&json["name"]).unwrap_or_default(),
            licence: text(&json["license"]),
            source: text(&json["source"]),
            // `kind` is null for what is built in, "dev" and "build" otherwise.
            dependencies: dependencies()
                .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                .filter_map(|dependency| text(&dependency["name"]))
                .collect(),
            all_dependencies: dependencies()
                .filter_map(|dependency| text(&dependency["name"]))
                .collect(),
            library: library.next().and_then(|target| text(&target["name"])),
            manifest: text(&json["manifest_path"]).unwrap_or_default().into(),
        }
    }

    /// Its folder, from the root of the project.
    fn folder(&self, workspace: &Workspace) -> String {
        let folder = self.manifest.parent();
        let relative = folder.and_then(|folder| folder.strip_prefix(workspace.root()).ok());
        relative
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Dependencies of the workspace that `docs/dependencies.md` does not explain, and explanations of
/// what is not there.
pub(crate) fn unexplained(workspace: &Workspace) -> Vec<String> {
    let used = workspace_dependencies(&workspace.read("Cargo.toml"));
    let explained = explained_names(&workspace.read("docs/dependencies.md"));
    let missing = used
        .difference(&explained)
        .map(|name| format!("{name} is not explained in docs/dependencies.md"));
    let stale = explained
        .difference(&used)
        .map(|name| format!("docs/dependencies.md explains {name}, which is not used"));
    missing.chain(stale).collect()
}

/// The packages from outside in the table `[workspace.dependencies]`.
fn workspace_dependencies(manifest: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("path = "))
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The names in the first column of the tables of the document: "| `name` | why |".
fn explained_names(document: &str) -> BTreeSet<String> {
    document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The texts in the list `allow` of the licences.
fn allowed_licences(deny: &str) -> BTreeSet<String> {
    deny.lines()
        .skip_while(|line| *line != "allow = [")
        .skip(1)
        .take_while(|line| *line != "]")
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with allowed licences only. `AND` binds closer than `OR`
/// (SPDX 2.3 D.4); parentheses group, and `/` is how old packages write `OR`. An exception after
/// `WITH` only widens what a licence permits.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut met = licence(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= licence(words, allowed);
    }
    met
}

fn licence(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let met = match words.next() {
        Some("(") => {
            let met = any_of(words, allowed);
            words.next_if_eq(&")");
            met
        }
        Some(name) => allowed.contains(name),
        None => false,
    };
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_met_by_one_alternative_and_by_all_parts() {
        let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0", false),
            ("ISC AND (GPL-3.0 OR MIT)", true),
            ("ISC AND GPL-3.0", false),
            ("GPL-3.0 OR ISC AND MIT", true),
            ("MIT WITH LLVM-exception", true),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn our_own_crates_need_no_explanation() {
        let manifest = "[workspace.dependencies]\navouch-core = { path = \"a\" }\n# why\nserde = \
                        \"1\"\n\n[profile.dev]\ndebug = 1\n";
        assert_eq!(
            workspace_dependencies(manifest),
            BTreeSet::from(["serde".to_owned()])
        );
    }
}

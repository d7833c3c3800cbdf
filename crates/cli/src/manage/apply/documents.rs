//! Files of objects: YAML or JSON, several documents in each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_api::members::{Document, Members};
use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use serde_json::{Map, Value, json};

use super::super::{LONGEST_FILE, segment};
use super::kind::{Kind, SECRETS};
use crate::fault::Fault;
use crate::input::{self, Stop};

const DOCUMENT: Document = Document::Request("document");

/// The endings of files that are read in a folder.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Where an object stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: String,
    /// The first line of its document, counted from one.
    line: usize,
    /// Counted from one, and so is the element of a list.
    document: usize,
    element: Option<usize>,
    text: Arc<str>,
}

impl Place {
    /// The line of the member that a sentence names, or else the first.
    fn line_of(&self, sentence: &str) -> usize {
        if self.element.is_some() {
            return self.line;
        }
        let quoted = sentence.split('`').skip(1).step_by(2);
        let names = quoted.filter_map(|path| path.rsplit('.').next());
        let names = names.filter_map(|name| name.split('[').next());
        let mut lines = names.filter_map(|name| {
            let is_member = |line: &str| {
                let mut parts = line.match_indices(name);
                parts.any(|(start, _)| {
                    let (before, rest) = line.split_at(start);
                    let rest = rest.get(name.len()..).unwrap_or_default();
                    let is_whole = before.is_empty() || before.ends_with([' ', '"', '{', ',']);
                    is_whole && rest.trim_start_matches('"').starts_with(':')
                })
            };
            // The last: one of the same name may stand above its `spec`.
            let lines: Vec<&str> = self.text.lines().collect();
            lines.into_iter().rposition(is_member)
        });
        self.line.saturating_add(lines.next().unwrap_or_default())
    }

    /// In words, at the line that a sentence is about.
    pub(super) fn at(&self, sentence: &str) -> String {
        let line = self.line_of(sentence);
        let Self { file, document, .. } = self;
        match self.element {
            Some(element) => format!("{file}:{line} (document {document}, element {element})"),
            None => format!("{file}:{line} (document {document})"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(""))
    }
}

/// Which object it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) kind: Kind,
    /// Whose it is; of a tenant, its own name.
    pub(super) tenant: String,
    pub(super) name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        match self.kind {
            Kind::Tenant => write!(f, "tenant {}", self.name),
            Kind::Quota => write!(f, "quota of {}", self.tenant),
            _ => write!(f, "{kind} {} of {}", self.name, self.tenant),
        }
    }
}

/// An object as a file wants it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: Name,
    pub(super) spec: Map<String, Value>,
    pub(super) place: Place,
}

/// What is wrong, where, and what to do.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) place: String,
    pub(super) about: Option<Name>,
    pub(super) code: String,
    pub(super) sentence: String,
    pub(super) hint: String,
}

impl Problem {
    /// Of a document or of what documents say together.
    pub(super) fn of(place: &Place, about: Option<&Name>, reason: &Reason) -> Self {
        const HINT: &str = "Correct it as docs/how-to/apply.md shows; nothing was done.";
        Self::told(place, about, reason.code(), &reason.sentence(), HINT)
    }

    /// A refusal of a server.
    pub(super) fn told(
        place: &Place,
        about: Option<&Name>,
        code: &str,
        sentence: &str,
        hint: &str,
    ) -> Self {
        Self {
            place: place.at(sentence),
            about: about.cloned(),
            code: code.to_owned(),
            sentence: sentence.to_owned(),
            hint: hint.to_owned(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "place": self.place,
            "code": self.code,
            "detail": self.sentence,
            "hint": self.hint,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = avouch_core::reason::printable;
        let (place, sentence) = (&self.place, printable(&self.sentence));
        let (code, hint) = (printable(&self.code), printable(&self.hint));
        match &self.about {
            Some(about) => write!(f, "{place}: {about}: {sentence} ({code})\n  fix: {hint}"),
            None => write!(f, "{place}: {sentence} ({code})\n  fix: {hint}"),
        }
    }
}

/// All objects of files and folders, or all that is wrong with them. `tenant` is whose they are
/// where a document does not say.
pub(super) fn read(
    paths: &[PathBuf],
    tenant: &TenantId,
) -> Result<Result<Vec<Wanted>, Vec<Problem>>, Fault> {
    let mut reading = Reading {
        folder: PathBuf::new(),
        tenant: Some(tenant.as_str()).filter(|name| *name != TenantId::LOCAL),
        places: BTreeMap::new(),
        wanted: Vec::new(),
        problems: Vec::new(),
    };
    for file in files(paths)? {
        reading.file(&file)?;
    }
    Ok(match reading.problems.is_empty() {
        true => Ok(reading.wanted),
        false => Err(reading.problems),
    })
}

/// The files that are named, and those of folders by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let mut files = Vec::new();
    for path in paths {
        if input::is_stdin(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let fault = |why| Fault::Read {
            what: input::name_of(path),
            why,
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(fault)? {
            let file = entry.map_err(fault)?.path();
            let ending = file.extension().and_then(|ending| ending.to_str());
            if file.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(Fault::Usage(format!(
                "{}: no file in it ends in .yaml, .yml or .json",
                input::name_of(path)
            )));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

struct Reading<'a> {
    /// Where the file is that is read now: what it names is looked for there.
    folder: PathBuf,
    tenant: Option<&'a str>,
    /// Where each object stands, so that none stands twice.
    places: BTreeMap<Name, Place>,
    wanted: Vec<Wanted>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Fault> {
        let file = input::name_of(path);
        self.folder = match path.parent() {
            Some(folder) if !input::is_stdin(path) => folder.to_owned(),
            Some(_) | None => PathBuf::new(),
        };
        let whole = |text: &str| Place {
            file: file.clone(),
            line: 1,
            document: 1,
            element: None,
            text: text.into(),
        };
        let bytes = match input::read(path, "file", LONGEST_FILE) {
            Ok(bytes) => bytes,
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Refused { reason, .. }) => {
                self.problems.push(Problem::of(&whole(""), None, &reason));
                return Ok(());
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            let reason = DOCUMENT.refuse("it is not UTF-8");
            self.problems.push(Problem::of(&whole(""), None, &reason));
            return Ok(());
        };
        for (number, (line, text)) in (1..).zip(documents(&text)) {
            let place = Place {
                line,
                document: number,
                ..whole(&text)
            };
            self.document(&place);
        }
        Ok(())
    }

    fn document(&mut self, place: &Place) {
        let read = avouch_api::read_value(&place.text).or_else(|_| {
            // Once more, with the lines above it, so that it names the line of the file.
            let above = "\n".repeat(place.line.saturating_sub(1));
            avouch_api::read_value(&format!("{above}{}", place.text))
        });
        match read {
            Ok(Value::Null) => {}
            Ok(Value::Array(list)) => {
                for (number, element) in (1..).zip(list) {
                    let place = Place {
                        element: Some(number),
                        ..place.clone()
                    };
                    self.object(place, element);
                }
            }
            Ok(object) => self.object(place.clone(), object),
            Err(avouch_api::NotAValue(why)) => {
                let reason = DOCUMENT.refuse(why);
                self.problems.push(Problem::of(place, None, &reason));
            }
        }
    }

    fn object(&mut self, place: Place, value: Value) {
        let (name, spec) = match self.parts(value) {
            Ok(parts) => parts,
            Err(reason) => {
                self.problems.push(Problem::of(&place, None, &reason));
                return;
            }
        };
        match self.places.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(place.clone());
                self.wanted.push(Wanted { name, spec, place });
            }
            Entry::Occupied(occupied) => {
                let there = occupied.get();
                let reason = DOCUMENT.refuse(format!("the same object stands at {there} already"));
                self.problems
                    .push(Problem::of(&place, Some(&name), &reason));
            }
        }
    }

    fn parts(&self, value: Value) -> Result<(Name, Map<String, Value>), Reason> {
        let kinds = Kind::ALL.map(|kind| (kind.name(), kind));
        let mut members = Members::of(DOCUMENT, "", value)?;
        let kind = members.choice("kind", &kinds)?;
        let kind = kind.ok_or_else(|| {
            let names = Kind::ALL.map(|kind| format!("`{}`", kind.name()));
            members.refuse("kind", &format!("is missing; it is {}", names.join(", ")))
        })?;
        let tenant = members.text("tenant")?;
        let name = members.text("name")?;
        let spec = members.members("spec")?;
        let refuse = |name: &str, detail: &str| members.refuse(name, detail);
        let missing = |name: &str| refuse(name, "is missing");
        let own = || {
            let tenant = tenant.clone().or_else(|| self.tenant.map(str::to_owned));
            tenant.ok_or_else(|| refuse("tenant", "is missing, and --tenant names none"))
        };
        let (tenant, name) = match (kind, name) {
            (Kind::Tenant, Some(_)) if tenant.is_some() => {
                let detail = "is not said of a tenant; the one above it is `parent` in its `spec`";
                return Err(refuse("tenant", detail));
            }
            (Kind::Tenant, Some(name)) => (name.clone(), name),
            (Kind::Quota, Some(_)) => {
                return Err(refuse("name", "is not said of a quota; a tenant has one"));
            }
            (Kind::Quota, None) => (own()?, String::new()),
            (_, Some(name)) => (own()?, name),
            (_, None) => return Err(missing("name")),
        };
        if segment(&tenant).is_err() {
            return Err(refuse("tenant", NO_NAME));
        }
        let is_named = match kind {
            Kind::Quota => true,
            Kind::Pin => is_pin(&name),
            _ => segment(&name).is_ok(),
        };
        if !is_named {
            let of_pins = "is no issuer, a slash and a pin, as `ci/sha256:…`";
            let detail = if kind == Kind::Pin { of_pins } else { NO_NAME };
            return Err(refuse("name", detail));
        }
        if spec.is_none() && kind != Kind::Tenant && kind != Kind::TrustDomain {
            return Err(missing("spec"));
        }
        members.finish()?;
        let spec = spec.map(|spec| match kind {
            Kind::Egress => self.with_files_of_secrets(spec),
            _ => of_kind(kind, spec),
        });
        let spec = spec.transpose()?;
        Ok((Name { kind, tenant, name }, spec.unwrap_or_default()))
    }
}

impl Reading<'_> {
    /// The members of an egress: its secrets stand in files of their own, which must be there.
    fn with_files_of_secrets(&self, mut spec: Members) -> Result<Map<String, Value>, Reason> {
        let mut named = Map::new();
        for secret in SECRETS {
            if spec.take(secret.sent).is_some() {
                let detail = format!(
                    "does not stand in files; name its file in `{}`",
                    secret.of_files
                );
                return Err(spec.refuse(secret.sent, &detail));
            }
            let whole = |spec: &Members, file: Value| {
                let file = file.as_str().map(|file| self.folder.join(file));
                let file = file.filter(|file| file.is_file());
                let file = file.ok_or_else(|| spec.refuse(secret.of_files, "names no file"))?;
                Ok(Value::from(file.to_string_lossy().into_owned()))
            };
            let files = match spec.take(secret.of_files) {
                None => continue,
                Some(Value::Array(files)) => {
                    let files = files.into_iter().map(|file| whole(&spec, file));
                    Value::Array(files.collect::<Result<_, Reason>>()?)
                }
                Some(file) => whole(&spec, file)?,
            };
            named.insert(secret.of_files.to_owned(), files);
        }
        let mut members = spec.rest();
        members.extend(named);
        Ok(members)
    }
}

const NO_NAME: &str = "is no name: names are of letters, digits, `.`, `_` and `-`";

/// The name of an issuer, a slash and what is pinned, which needs no escapes in an address.
fn is_pin(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    name.split_once('/').is_some_and(|(issuer, pin)| {
        segment(issuer).is_ok() && !pin.is_empty() && pin.bytes().all(fits)
    })
}

/// The members of a `spec`, all of which are known.
fn of_kind(kind: Kind, mut spec: Members) -> Result<Map<String, Value>, Reason> {
    let Some(known) = kind.members() else {
        return Ok(spec.rest());
    };
    let mut taken = Map::new();
    for name in known {
        // `null` says that nothing is said.
        if let Some(value) = spec.take(name).filter(|value| !value.is_null()) {
            taken.insert((*name).to_owned(), value);
        }
    }
    spec.finish()?;
    Ok(taken)
}

/// The documents of a file, each with the line where it begins. YAML 1.2.2 9.1.2: three hyphens at
/// the start of a line always begin a document, also within a text.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut current = (1, String::new());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let marker = line.strip_prefix("---");
        let rest = marker.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        match rest {
            Some(rest) => {
                if all.is_empty() && has_only_directives(&current.1) {
                    current.1.clear();
                }
                let begun = (number, format!("   {rest}"));
                all.push(std::mem::replace(&mut current, begun));
            }
            None => current.1.push_str(line),
        }
    }
    all.push(current);
    all.retain(|(_, text)| !is_empty(text));
    all
}

/// Whether what stands above the first marker is about the file and no document: YAML 1.2.2 6.8, such
/// as `%YAML 1.2`.
fn has_only_directives(text: &str) -> bool {
    let mut lines = text.lines();
    lines.all(|line| line.starts_with('%') || is_empty(line))
}

fn is_empty(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_apart_by_their_markers_and_know_their_lines() {
        let text =
            "# about\n---\na: 1\n--- {b: 2}\n---\n\n---\nc: |\n  ----\n  -----BEGIN X-----\n";
        let documents = documents(text);
        let lines: Vec<usize> = documents.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 7]);
        let (_, last) = documents.last().unwrap();
        assert!(last.contains("----") && last.contains("BEGIN"));
    }

    #[test]
    fn directives_above_the_first_marker_are_no_document() {
        let lines = |text: &str| {
            let documents = documents(text).into_iter();
            documents.map(|(line, _)| line).collect::<Vec<usize>>()
        };
        assert_eq!(lines("# about\n%YAML 1.2\n---\na: 1\n"), [3]);
        assert_eq!(lines("%YAML 1.2\na: 1\n---\nb: 2\n"), [1, 3]);
        assert_eq!(lines("a: 1\n---\n%b\n---\nc: 3\n"), [1, 2, 4]);
    }

    #[test]
    fn a_line_is_that_of_the_member_a_sentence_names() {
        let place = Place {
            file: "shop.yaml".to_owned(),
            line: 10,
            document: 2,
            element: None,
            text: "kind: entry\nspec:\n  selectors:\n  - \"dns_names\": x\n".into(),
        };
        assert_eq!(place.line_of("`spec.selectors[0]` is wrong"), 12);
        assert_eq!(place.line_of("`x` and `dns_names`: no"), 13);
        assert_eq!(place.line_of("nothing"), 10);
    }
}

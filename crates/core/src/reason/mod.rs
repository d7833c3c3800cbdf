//! Why a credential was not believed.
//!
//! A refusal is data, never an error value that bubbles up: a stable code, one sentence, typed
//! evidence, the smallest fix and the text of the standard it rests on. All of them come from the
//! one table in [`catalogue`], which also makes `docs/reasons.md`.

mod catalogue;
mod evidence;

pub use catalogue::{CATALOGUE, Reason};
pub(crate) use evidence::is_unsafe_to_print;
pub use evidence::{Evidence, printable, printable_sentence};

use crate::words::of_one;

/// What a kind of refusal is about; the part of its code before the dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The bytes are not what they claim to be.
    Input,
    /// A federated issuer, its keys or its tokens.
    Federation,
    /// Something that had to be fetched from elsewhere.
    Fetch,
    /// A request for a credential, which is answered with this instead of one.
    Issue,
    /// The work allowed for one decision ran out.
    Limit,
    /// A certificate or the path above it.
    Pki,
    /// A rule of the relying party.
    Policy,
    /// A withdrawn credential, or a status that cannot be told.
    Revocation,
    /// An identity of the SPIFFE standards.
    Spiffe,
    /// A key or certificate of SSH, or the proof of its holder.
    Ssh,
}

/// One row of the catalogue: what is the same for every refusal with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `family.snake_case`; never reused, never given another meaning.
    pub code: &'static str,
    /// What it is about.
    pub family: Family,
    /// One sentence; `{name}` stands for a piece of evidence.
    pub sentence: &'static str,
    /// The smallest fix; `{name}` stands for a piece of evidence.
    pub hint: &'static str,
    /// The standard and section it rests on.
    pub spec: &'static str,
    /// The names of its evidence.
    pub evidence: &'static [&'static str],
}

/// Which part of a path a refusal of the whole path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The anchor at its end.
    Anchor,
    /// The credential at its beginning.
    EndEntity,
    /// The statement with this subject.
    Subject(String),
}

impl Reason {
    /// Which part of a path it is about.
    pub(crate) fn about(&self) -> About {
        let subject = self
            .evidence()
            .into_iter()
            .find_map(|(name, value)| match value {
                Evidence::Text(subject) if name == "subject" => Some(subject),
                _ => None,
            });
        match (subject, self.family()) {
            (Some(subject), _) => About::Subject(subject),
            (None, Family::Policy) => About::Anchor,
            (None, _) => About::EndEntity,
        }
    }

    /// The same where what was read was sent as an object of its own and stands in no trust document.
    #[must_use]
    pub fn of_sent(self, object: &'static str) -> Self {
        match self {
            Self::TrustDocumentMalformed { detail, .. } => {
                Self::IssueBodyMalformed { object, detail }
            }
            other => other,
        }
    }

    /// The stable code, `family.snake_case`.
    pub fn code(&self) -> &'static str {
        self.entry().code
    }

    /// The part of the code before the dot.
    pub fn family(&self) -> Family {
        self.entry().family
    }

    /// One sentence with this refusal's own evidence in it.
    pub fn sentence(&self) -> String {
        fill(self.entry().sentence, &self.evidence())
    }

    /// The smallest fix, with this refusal's own evidence in it.
    pub fn hint(&self) -> String {
        fill(self.entry().hint, &self.evidence())
    }

    /// The standard and section it rests on.
    pub fn spec(&self) -> &'static str {
        self.entry().spec
    }
}

/// Puts evidence in the place of its `{name}`, and says `1 second` where it is one. Evidence is made safe to print first, so a hostile
/// certificate cannot write on the reader's terminal.
fn fill(template: &str, evidence: &[(&'static str, Evidence)]) -> String {
    let mut filled = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            continue;
        };
        rest = after;
        match evidence.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => {
                filled.push_str(&value.to_string());
                if *value == Evidence::Number(1)
                    && let Some((noun, after)) = of_one(rest)
                {
                    filled.push(' ');
                    filled.push_str(noun);
                    rest = after;
                }
            }
            None => filled.push_str(name),
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_its_family_and_a_snake_case_name_and_stands_once() {
        let mut seen = BTreeSet::new();
        for entry in CATALOGUE {
            let (family, name) = entry.code.split_once('.').unwrap();
            assert_eq!(
                format!("{:?}", entry.family).to_lowercase(),
                family,
                "{}",
                entry.code
            );
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            );
            assert!(seen.insert(entry.code), "{} stands twice", entry.code);
        }
    }

    #[test]
    fn every_placeholder_names_a_piece_of_evidence() {
        for entry in CATALOGUE {
            for text in [entry.sentence, entry.hint] {
                for piece in text.split('{').skip(1) {
                    let name = piece.split('}').next().unwrap();
                    assert!(
                        entry.evidence.contains(&name),
                        "{}: no evidence {name}",
                        entry.code
                    );
                }
            }
        }
    }

    #[test]
    fn sentences_are_sentences() {
        for entry in CATALOGUE {
            for text in [entry.sentence, entry.hint] {
                let first = text.chars().next().unwrap();
                assert!(
                    first.is_uppercase() || first == '{' || first == '`',
                    "{}: {text}",
                    entry.code
                );
                assert!(text.ends_with('.'), "{}: {text}", entry.code);
            }
        }
    }

    #[test]
    fn one_of_something_is_told_as_one() {
        let held = |nodes, readers| {
            let authority = "a".to_owned();
            let reason = Reason::IssueAuthorityNotHeld {
                authority,
                nodes,
                readers,
            };
            reason.sentence()
        };
        assert!(
            held(1, 2).contains(": 1 node and 2 readers of"),
            "{}",
            held(1, 2)
        );
        assert!(
            held(0, 1).contains(": 0 nodes and 1 reader of"),
            "{}",
            held(0, 1)
        );
        // A text is what it is.
        let reason = Reason::CertificateMalformed {
            position: "1".to_owned(),
            detail: "1".to_owned(),
        };
        assert!(reason.sentence().starts_with("The 1 cannot"));
    }

    #[test]
    fn evidence_cannot_write_on_the_terminal() {
        let reason = Reason::IssuerUnknown {
            issuer: "https://a\u{1b}[2J\u{202e}".to_owned(),
            known: Vec::new(),
        };
        assert!(!reason.sentence().contains('\u{1b}'));
        assert!(!reason.sentence().contains('\u{202e}'));
    }
}

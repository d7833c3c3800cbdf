//! The worked examples of `conformance/reasons/`: for each code a question, the verdict on it and
//! what a person is shown.

use std::fs;

use avouch_api::{Answer, Asked, Outcome, TrustDocument};
use avouch_cli::recognise;
use avouch_cli::render::{self, Detail, Style};
use avouch_core::credential::saml::{XmlFound, XmlSignature};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::TenantId;
use avouch_core::reason::{CATALOGUE, Entry, Family, Reason};
use avouch_core::time::Time;
use avouch_core::verdict::{Need, Verdict};
use avouch_testkit::fixtures::{self, Presented};

use crate::workspace::Workspace;

pub(crate) const FOLDER: &str = "conformance/reasons";

/// The question, or the file where no question could be made of it.
pub(crate) const PRESENTED: [&str; 2] = ["question.json", "credential.txt"];

/// The verdict, and what a person is shown.
pub(crate) const SHOWN: [&str; 2] = ["verdict.json", "human.txt"];

/// The rows that have an example here: those that a question is answered with. A reason not to issue
/// or to fetch answers a request instead, and the tests of `crates/issuer` and `crates/server` give
/// each of them one.
pub(crate) fn decided() -> impl Iterator<Item = &'static Entry> {
    CATALOGUE
        .iter()
        .filter(|entry| !matches!(entry.family, Family::Fetch | Family::Issue))
}

/// What every decision of an example is called, so that it reads the same each time.
const DECISION: &str = "00000000-0000-7000-8000-000000000000";

/// Where the files are that a newcomer tries first.
const EXAMPLE: &str = "docs/example";

/// Writes the examples that are missing, and the one of `blessed` anew. One that is there is never
/// changed otherwise: what it shows may be wrong now.
pub(crate) fn write(workspace: &Workspace, blessed: Option<&str>) -> Result<(), String> {
    write_example_files(workspace)?;
    let mut wrong = Vec::new();
    for fixture in fixtures::all() {
        let folder = workspace.path(&format!("{FOLDER}/{}", fixture.code));
        if folder.exists() && blessed != Some(fixture.code) {
            continue;
        }
        let presented = fixture.presented();
        let shown = match show(fixture.code, &presented) {
            Ok(shown) => shown,
            Err(why) => {
                wrong.push(format!("{}: {why}", fixture.code));
                continue;
            }
        };
        if shown.code.as_deref() != Some(fixture.code) {
            wrong.push(format!(
                "{} is not the answer:\n{}",
                fixture.code, shown.human
            ));
            continue;
        }
        let (name, text) = file_of(&presented);
        let write = |name: &str, text: &str| fs::write(folder.join(name), text);
        fs::create_dir_all(&folder)
            .and_then(|()| write(name, &text))
            .and_then(|()| write("verdict.json", &shown.verdict))
            .and_then(|()| write("human.txt", &shown.human))
            .map_err(|error| format!("{} cannot be written: {error}", folder.display()))?;
        println!("{FOLDER}/{} written", fixture.code);
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

fn write_example_files(workspace: &Workspace) -> Result<(), String> {
    let folder = workspace.path(EXAMPLE);
    for file in fixtures::example_files() {
        let path = folder.join(file.name);
        if path.exists() {
            continue;
        }
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, file.text))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

/// The name and the text of the file that holds what is presented.
fn file_of(presented: &Presented) -> (&'static str, String) {
    match presented {
        Presented::Question(question) => (PRESENTED[0], format!("{question:#}\n")),
        Presented::File(text) => (PRESENTED[1], text.clone()),
    }
}

/// What comes of an example.
struct Shown {
    /// The code of the reason, if it was refused.
    code: Option<String>,
    verdict: String,
    human: String,
}

/// Asks as `avouch verify` does, and shows the answer as `avouch explain` does. An error means that
/// the example is wrong, not its credential.
fn show(id: &str, presented: &Presented) -> Result<Shown, String> {
    match presented {
        Presented::Question(question) => show_question(&question.to_string()),
        Presented::File(text) => match recognise::recognise(text.as_bytes()) {
            Err(reason) => Ok(unreadable(Some(id), "credential.txt", &reason)),
            Ok(_) => Err("the file was recognised".to_owned()),
        },
    }
}

fn show_question(question: &str) -> Result<Shown, String> {
    let asked = match Asked::read(question) {
        Ok(asked) => asked,
        Err(refused) => {
            let id = refused.id.as_deref();
            return Ok(unreadable(id, "the question", &refused.reason));
        }
    };
    let tenant = TenantId::local();
    let id = asked.id().map(str::to_owned);
    let trust = asked.trust().ok_or("it brings no trust document")?;
    let document = match TrustDocument::read(trust.as_bytes(), &tenant, "the question") {
        Ok(document) => document,
        Err(reason) => return Ok(unreadable(id.as_deref(), "the trust document", &reason)),
    };
    let view = TrustDocument::view(tenant.clone(), vec![document]);
    let budget = asked.budget();
    let never = Time::from_unix(i64::MIN);
    let mut question = asked.into_question(tenant, never);
    if question.now == never {
        return Err("it does not say when it is asked".to_owned());
    }
    let mut verdict = decide(&question, &view, &AwsLc, &mut budget.clone());
    if let Verdict::Undetermined(needs) = &verdict {
        let facts: Vec<XmlSignature> = needs.iter().filter_map(xml_signature).collect();
        question.context.xml_signatures = facts;
        verdict = decide(&question, &view, &AwsLc, &mut budget.clone());
    }
    Ok(shown(&Answer {
        id: id.as_deref(),
        decision: DECISION,
        outcome: Outcome::Decided {
            question: &question,
            view: &view,
            verdict: &verdict,
        },
    }))
}

/// What a signature in XML covers, told by a stand-in for `xmlsec1`: what it says is believed for
/// nothing, so an example need not wait for that program.
fn xml_signature(need: &Need) -> Option<XmlSignature> {
    let Need::XmlSignature(wanted) = need else {
        return None;
    };
    let found = match avouch_testkit::saml::stand_in(&wanted.document) {
        Some((signed_info, content)) => XmlFound::Held {
            signed_info,
            content,
        },
        None => XmlFound::NotHeld,
    };
    Some(XmlSignature {
        of: wanted.digest(),
        found,
    })
}

fn unreadable(id: Option<&str>, place: &str, reason: &Reason) -> Shown {
    shown(&Answer {
        id,
        decision: DECISION,
        outcome: Outcome::Unreadable { place, reason },
    })
}

fn shown(answer: &Answer<'_>) -> Shown {
    Shown {
        code: answer.reason().map(|reason| reason.code().to_owned()),
        verdict: format!("{}\n", answer.to_pretty()),
        human: render::answer(answer, Detail::Full, Style::new(false)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use avouch_testkit::fixtures::Fixture;
    use serde_json::Value;

    use super::*;

    fn stored(code: &str, name: &str) -> Option<String> {
        let path = Workspace::find().path(&format!("{FOLDER}/{code}/{name}"));
        fs::read_to_string(path).ok()
    }

    /// What is presented, as it is stored and not as the testkit would make it.
    fn stored_presented(code: &str) -> Option<Presented> {
        let question = stored(code, PRESENTED[0])
            .and_then(|text| serde_json::from_str::<Value>(&text).ok())
            .map(Presented::Question);
        question.or_else(|| stored(code, PRESENTED[1]).map(Presented::File))
    }

    fn each_code(check: impl Fn(&str) -> Result<(), String>) {
        let wrong: Vec<String> = decided()
            .filter_map(|entry| Some(format!("{}: {}", entry.code, check(entry.code).err()?)))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_code_has_an_example_with_that_code_and_no_code_has_two() {
        let made: Vec<&str> = fixtures::all().iter().map(|fixture| fixture.code).collect();
        let distinct: BTreeSet<&str> = made.iter().copied().collect();
        assert_eq!(made.len(), distinct.len());
        each_code(|code| {
            let verdict = stored(code, "verdict.json").ok_or("there is no verdict.json")?;
            let verdict: Value = serde_json::from_str(&verdict).map_err(|e| e.to_string())?;
            match verdict["reason"]["code"].as_str() {
                Some(seen) if seen == code => Ok(()),
                seen => Err(format!("its verdict has the code {seen:?}")),
            }
        });
    }

    #[test]
    fn every_example_is_answered_as_it_was_byte_for_byte() {
        each_code(|code| {
            let presented = stored_presented(code).ok_or("there is no example")?;
            let shown = show(code, &presented)?;
            let unchanged = stored(code, "verdict.json").as_ref() == Some(&shown.verdict)
                && stored(code, "human.txt").as_ref() == Some(&shown.human);
            if unchanged {
                return Ok(());
            }
            let human = shown.human;
            Err(format!(
                "it is answered differently; if that is right, \
                 `cargo xtask fixtures --bless {code}` stores this:\n{human}"
            ))
        });
    }

    #[test]
    fn the_testkit_still_makes_every_example() {
        let made = fixtures::all();
        each_code(|code| {
            let of_code = |fixture: &&Fixture| fixture.code == code;
            let fixture = made.iter().find(of_code).ok_or("the testkit makes none")?;
            let (name, text) = file_of(&fixture.presented());
            if stored(code, name) == Some(text) {
                Ok(())
            } else {
                Err(format!("{name} is not what the testkit makes"))
            }
        });
    }

    #[test]
    fn the_files_that_a_newcomer_tries_first_are_what_the_testkit_makes() {
        for file in fixtures::example_files() {
            let path = Workspace::find().path(&format!("{EXAMPLE}/{}", file.name));
            assert_eq!(
                fs::read_to_string(path).ok(),
                Some(file.text),
                "{}",
                file.name
            );
        }
    }

    #[test]
    fn no_answer_shows_a_secret() {
        each_code(|code| {
            let presented = stored_presented(code).ok_or("there is no example")?;
            let Presented::Question(question) = presented else {
                return Ok(());
            };
            let shown = show(code, &Presented::Question(question.clone()))?;
            for secret in secrets(&question["credential"]) {
                if shown.verdict.contains(&secret) || shown.human.contains(&secret) {
                    return Err(format!("the answer shows {secret}"));
                }
            }
            Ok(())
        });
    }

    /// What an attacker could use: signatures of tokens, API keys, private keys.
    fn secrets(credential: &Value) -> Vec<String> {
        let mut secrets = Vec::new();
        let wit = &credential["wit"];
        for token in [&credential["jwt"], &wit["token"], &wit["proof"]] {
            let signature = token.as_str().and_then(|token| token.rsplit('.').next());
            secrets.extend(signature.map(str::to_owned));
        }
        secrets.extend(credential["api_key"].as_str().map(str::to_owned));
        let chain = credential["x509"]["chain"].as_array().into_iter().flatten();
        for pem in chain.filter_map(Value::as_str) {
            let body = pem.lines().filter(|line| !line.starts_with('-'));
            if pem.contains("PRIVATE KEY") {
                secrets.extend(body.map(str::to_owned));
            }
        }
        // The shortest would stand in any text by chance.
        secrets.retain(|secret| secret.len() >= 8);
        secrets
    }
}

//! `verify` and `explain`: one credential, one verdict.

use std::path::{Path, PathBuf};

use avouch_api::{Answer, Outcome, profile_for, purpose_for};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::question::{Context, ExpectedName, InitialPolicies, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_server::xml_signatures;
use serde_json::Value;

use crate::arguments::{Common, ExplainArguments, FlowForm, Format, QuestionArguments};
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::manage::arguments::Remote;
use crate::render::{Detail, Flow, Graph};
use crate::{clock, credential, manage, output, render, trust};

/// Decides on the credential in these files and tells the verdict in short.
pub fn verify(
    files: &[PathBuf],
    arguments: &QuestionArguments,
    remote: &Remote,
    common: &Common,
) -> Result<Exit, Fault> {
    let asking = Asking {
        files,
        arguments,
        remote,
        common,
        flow: None,
    };
    asking.answer(Detail::Short)
}

/// Decides on the credential in these files and tells the verdict in full.
pub fn explain(arguments: &ExplainArguments, common: &Common) -> Result<Exit, Fault> {
    let files = arguments.credentials.as_slice();
    let ids = files.iter().filter_map(|file| decision_named(file));
    if let Some(id) = ids.into_iter().next() {
        return explain_decision(id, arguments, common);
    }
    let asking = Asking {
        files,
        arguments: &arguments.question,
        remote: &arguments.remote,
        common,
        flow: arguments.flow,
    };
    asking.answer(Detail::Full)
}

/// The id of a decision, if that is what was named and no file.
fn decision_named(file: &Path) -> Option<&str> {
    let text = file.to_str().filter(|text| clock::is_decision_id(text));
    text.filter(|_| !file.exists())
}

/// Draws the verdict of a decision that a server has kept.
fn explain_decision(
    id: &str,
    arguments: &ExplainArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let question = &arguments.question;
    if arguments.credentials.len() > 1 || !question.trust.is_empty() || !question.crl.is_empty() {
        return Err(Fault::Usage(format!(
            "{id} is the id of a decision, which was made by what was trusted then: name it alone"
        )));
    }
    let record = manage::decision_kept(&arguments.remote, id, common)?;
    let verdict = record.get("verdict").cloned().unwrap_or_default();
    let exit = manage::exit_of_verdict(&verdict);
    if let Some(form) = arguments.flow {
        let claims = record
            .pointer("/credential/claims")
            .and_then(Value::as_object);
        let flow = claims.and_then(|claims| Flow::of_claims(&verdict, claims));
        if let Some(flow) = flow {
            draw(&flow, form, common)?;
            return Ok(exit);
        }
    }
    match picture(common.output, || verdict.clone()) {
        Some(picture) => output::data(&picture)?,
        None => output::formatted(
            common.output,
            || manage::drawn_record(&record),
            || serde_json::to_string_pretty(&verdict).unwrap_or_default(),
        )?,
    }
    Ok(exit)
}

fn draw(flow: &Flow, form: FlowForm, common: &Common) -> Result<(), Fault> {
    output::formatted(
        common.output,
        || match form {
            FlowForm::Svg => flow.to_svg(),
            FlowForm::Text => flow.to_text(),
        },
        || serde_json::to_string_pretty(&flow.to_json()).unwrap_or_default(),
    )
}

/// How a run ends for an answer.
pub fn exit_of(answer: &Answer<'_>) -> Exit {
    match answer.verdict() {
        Some(Verdict::Accept(_)) => Exit::Accepted,
        Some(Verdict::Reject(_)) | None => Exit::Rejected,
        Some(Verdict::Undetermined(_)) => Exit::Undetermined,
    }
}

/// Tells that the input could not be read, so that nothing was decided.
pub fn tell_unreadable(place: &str, reason: &Reason, common: &Common) -> Result<Exit, Fault> {
    let answer = Answer {
        id: None,
        decision: &clock::decision_id(),
        outcome: Outcome::Unreadable { place, reason },
    };
    tell(&answer, common, Detail::Short)
}

fn tell(answer: &Answer<'_>, common: &Common, detail: Detail) -> Result<Exit, Fault> {
    let told = || serde_json::from_str(&answer.to_line()).unwrap_or_default();
    match picture(common.output, told) {
        Some(picture) => output::data(&picture)?,
        None => output::formatted(
            common.output,
            || render::answer(answer, detail, output::style()),
            || answer.to_pretty(),
        )?,
    }
    Ok(exit_of(answer))
}

/// Who vouches for whom in a verdict, if that is to be drawn.
fn picture(format: Format, verdict: impl FnOnce() -> Value) -> Option<String> {
    match format {
        Format::Dot => Some(Graph::of(&verdict()).to_dot()),
        Format::Svg => Some(Graph::of(&verdict()).to_svg()),
        _ => None,
    }
}

/// What the arguments ask.
struct Asking<'a> {
    files: &'a [PathBuf],
    arguments: &'a QuestionArguments,
    remote: &'a Remote,
    common: &'a Common,
    /// What is drawn instead, if it can be.
    flow: Option<FlowForm>,
}

impl Asking<'_> {
    fn answer(&self, detail: Detail) -> Result<Exit, Fault> {
        self.check_stdin()?;
        if self.is_for_server() {
            return self.ask_server(detail);
        }
        match self.prepare() {
            Ok((mut question, view)) => {
                let budget = Budget::default();
                let verdict = xml_signatures::decide_alone(&mut question, &view, &AwsLc, &budget)?;
                let answer = Answer {
                    id: None,
                    decision: &clock::decision_id(),
                    outcome: Outcome::Decided {
                        question: &question,
                        view: &view,
                        verdict: &verdict,
                    },
                };
                let told = serde_json::from_str(&answer.to_line()).unwrap_or_default();
                match self.drawn(&told, &question.credential)? {
                    true => Ok(exit_of(&answer)),
                    false => tell(&answer, self.common, detail),
                }
            }
            Err(Stop::Refused { place, reason }) => tell_unreadable(&place, &reason, self.common),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// What is trusted is given, or is what a tenant of a server trusts.
    fn is_for_server(&self) -> bool {
        let brings_trust = !self.arguments.trust.is_empty() || !self.arguments.crl.is_empty();
        self.remote.server.is_some() && !brings_trust
    }

    fn ask_server(&self, detail: Detail) -> Result<Exit, Fault> {
        let question = match self.credential() {
            Ok(credential) => self.question(credential),
            Err(Stop::Refused { place, reason }) => {
                return tell_unreadable(&place, &reason, self.common);
            }
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        let asked = avouch_api::question_to_json(&question, self.arguments.at);
        let is_drawn = self.flow.is_some() || self.common.output.is_picture();
        if !is_drawn {
            return manage::decide(self.remote, &asked, detail, self.common);
        }
        let (verdict, exit) = manage::decided(self.remote, &asked, self.common)?;
        if let Some(picture) = picture(self.common.output, || verdict.clone()) {
            output::data(&picture)?;
        } else if !self.drawn(&verdict, &question.credential)? {
            manage::tell_decided(&verdict, detail, self.common)?;
        }
        Ok(exit)
    }

    /// Draws the flow, if one is wanted and there is one; whether it has.
    fn drawn(&self, verdict: &Value, credential: &Credential) -> Result<bool, Fault> {
        let Some(form) = self.flow else {
            return Ok(false);
        };
        let (Credential::Jwt(token) | Credential::Wit { token, .. }) = credential else {
            return Err(Fault::Usage("`--flow` is drawn of tokens".to_owned()));
        };
        let Some(flow) = Flow::of(verdict, token) else {
            return Ok(false);
        };
        draw(&flow, form, self.common)?;
        Ok(true)
    }

    fn prepare(&self) -> Result<(Question, View), Stop> {
        let arguments = self.arguments;
        let credential = self.credential()?;
        let view = trust::view(&self.common.tenant, &arguments.trust, &arguments.crl)?;
        Ok((self.question(credential), view))
    }

    fn credential(&self) -> Result<Credential, Stop> {
        let QuestionArguments {
            intermediates,
            proof,
            ..
        } = self.arguments;
        credential::from_files(self.files, intermediates, proof.as_deref())
    }

    fn question(&self, credential: Credential) -> Question {
        let arguments = self.arguments;
        let mut expected: Vec<ExpectedName> = arguments
            .dns
            .iter()
            .map(|name| avouch_api::expected_name(name))
            .collect();
        expected.extend(arguments.ip.iter().copied().map(ExpectedName::Ip));
        expected.extend(arguments.email.iter().cloned().map(ExpectedName::Email));
        expected.extend(arguments.spiffe.iter().cloned());
        let profile = arguments.profile.unwrap_or_else(|| profile_for(&expected));
        Question {
            tenant: self.common.tenant.clone(),
            credential,
            profile,
            purpose: arguments.purpose.unwrap_or_else(|| purpose_for(profile)),
            now: arguments.at.unwrap_or_else(clock::now),
            context: Context {
                expected,
                audiences: arguments.audience.clone(),
                nonce: arguments.nonce.clone(),
                recipients: arguments.recipient.clone(),
                in_response_to: arguments.in_response_to.clone(),
                max_path_length: arguments.max_path_length,
                require_revocation: arguments.require_revocation,
                policies: InitialPolicies {
                    accepted: arguments.policy.clone(),
                    require_explicit: !arguments.policy.is_empty(),
                    ..InitialPolicies::default()
                },
                ..Context::default()
            },
        }
    }

    /// Standard input can be read once.
    fn check_stdin(&self) -> Result<(), Fault> {
        let arguments = self.arguments;
        let files: [&[PathBuf]; 5] = [
            self.files,
            &arguments.trust,
            &arguments.crl,
            &arguments.intermediates,
            arguments.proof.as_slice(),
        ];
        let named = files
            .into_iter()
            .flatten()
            .filter(|path| input::is_stdin(path))
            .count();
        if named > 1 {
            return Err(Fault::Usage(
                "`-` is named more than once, and standard input can be read only once".to_owned(),
            ));
        }
        Ok(())
    }
}

//! `verify` and `explain`: one credential, one verdict.

use std::path::{Path, PathBuf};

use avouch_api::{Answer, Outcome, profile_for, purpose_for};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::question::{Context, ExpectedName, InitialPolicies, Question};
use avouch_core::reason::Reason;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use crate::arguments::{Common, QuestionArguments};
use crate::fault::{Exit, Fault};
use crate::input::{self, CREDENTIAL_BYTES, Stop};
use crate::recognise::{Recognised, recognise};
use crate::render::Detail;
use crate::{clock, output, render, trust};

/// Decides on what the arguments name and tells the verdict in short.
pub fn verify(arguments: &QuestionArguments, common: &Common) -> Result<Exit, Fault> {
    answer(arguments, common, Detail::Short)
}

/// Decides on what the arguments name and tells the verdict in full.
pub fn explain(arguments: &QuestionArguments, common: &Common) -> Result<Exit, Fault> {
    answer(arguments, common, Detail::Full)
}

/// How a run ends for an answer.
pub fn exit_of(answer: &Answer<'_>) -> Exit {
    match answer.outcome {
        Outcome::Decided(Verdict::Accept(_)) => Exit::Accepted,
        Outcome::Decided(Verdict::Reject(_)) | Outcome::Unreadable { .. } => Exit::Rejected,
        Outcome::Decided(Verdict::Undetermined(_)) => Exit::Undetermined,
    }
}

fn answer(arguments: &QuestionArguments, common: &Common, detail: Detail) -> Result<Exit, Fault> {
    check_stdin(arguments)?;
    match prepare(arguments, common) {
        Ok((question, view)) => {
            let decision = clock::decision_id();
            let verdict = decide(&question, &view, &AwsLc, &mut Budget::default());
            let answer = Answer {
                id: None,
                decision: &decision,
                at: Some(question.now),
                view: Some(&view),
                outcome: Outcome::Decided(&verdict),
            };
            tell(&answer, common, detail)
        }
        Err(Stop::Refused { place, reason }) => tell_unreadable(&place, &reason, common),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Tells that the input could not be read, so that nothing was decided.
pub fn tell_unreadable(place: &str, reason: &Reason, common: &Common) -> Result<Exit, Fault> {
    let answer = Answer {
        id: None,
        decision: &clock::decision_id(),
        at: None,
        view: None,
        outcome: Outcome::Unreadable { place, reason },
    };
    tell(&answer, common, Detail::Short)
}

fn tell(answer: &Answer<'_>, common: &Common, detail: Detail) -> Result<Exit, Fault> {
    output::formatted(
        common.output,
        || render::answer(answer, detail, output::style()),
        || answer.to_pretty(),
    )?;
    Ok(exit_of(answer))
}

fn prepare(arguments: &QuestionArguments, common: &Common) -> Result<(Question, View), Stop> {
    let credential = credential(arguments)?;
    let view = trust::view(&common.tenant, &arguments.trust, &arguments.crl)?;
    Ok((question(arguments, common, credential), view))
}

fn question(arguments: &QuestionArguments, common: &Common, credential: Credential) -> Question {
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
        tenant: common.tenant.clone(),
        credential,
        profile,
        purpose: arguments.purpose.unwrap_or_else(|| purpose_for(profile)),
        now: arguments.at.unwrap_or_else(clock::now),
        context: Context {
            expected,
            audiences: arguments.audience.clone(),
            nonce: arguments.nonce.clone(),
            max_path_length: arguments.max_path_length,
            require_revocation: arguments.require_revocation,
            policies: InitialPolicies {
                accepted: arguments.policy.clone(),
                require_explicit: !arguments.policy.is_empty(),
                ..InitialPolicies::default()
            },
        },
    }
}

/// Reads what was presented. Several files make one chain.
fn credential(arguments: &QuestionArguments) -> Result<Credential, Stop> {
    let mut files = Vec::with_capacity(arguments.credentials.len());
    for path in &arguments.credentials {
        files.push(read_credential(path)?);
    }
    if let [_, _, ..] = files.as_slice() {
        return chain_of_files(files, arguments);
    }
    let Some(file) = files.pop() else {
        return Err(usage("no credential was named".to_owned()));
    };
    if !matches!(file, Recognised::Token { .. }) {
        no_proof(arguments)?;
    }
    match file {
        Recognised::ApiKey(key) => Ok(Credential::ApiKey(key)),
        Recognised::Certificates(chain) => with_intermediates(chain, arguments),
        Recognised::Other(kind) => Ok(Credential::Unsupported(kind.to_owned())),
        Recognised::Token { text, is_wit } => token(text, is_wit, arguments),
    }
}

fn chain_of_files(
    files: Vec<Recognised>,
    arguments: &QuestionArguments,
) -> Result<Credential, Stop> {
    no_proof(arguments)?;
    let mut chains = Vec::with_capacity(files.len());
    for (file, path) in files.into_iter().zip(&arguments.credentials) {
        let Recognised::Certificates(chain) = file else {
            return Err(usage(format!(
                "several files make one chain of certificates, and {} is not one",
                input::name_of(path)
            )));
        };
        chains.push(chain);
    }
    // Files may come in any order: the end entity is the first that is no CA. Within a file the
    // order is the holder's, as in TLS.
    let end_entity = chains.iter().position(|chain| !begins_with_ca(chain));
    chains.swap(0, end_entity.unwrap_or(0));
    with_intermediates(chains.into_iter().flatten().collect(), arguments)
}

fn begins_with_ca(chain: &[Vec<u8>]) -> bool {
    let first = chain.first().map(|der| Certificate::parse(der));
    matches!(first, Some(Ok(certificate)) if certificate.is_ca())
}

fn with_intermediates(
    mut chain: Vec<Vec<u8>>,
    arguments: &QuestionArguments,
) -> Result<Credential, Stop> {
    for path in &arguments.intermediates {
        match read_credential(path)? {
            Recognised::Certificates(certificates) => chain.extend(certificates),
            Recognised::ApiKey(_) | Recognised::Other(_) | Recognised::Token { .. } => {
                return Err(usage(format!(
                    "{} holds no certificates, so none that could be intermediates",
                    input::name_of(path)
                )));
            }
        }
    }
    Ok(Credential::X509(chain))
}

fn token(text: String, is_wit: bool, arguments: &QuestionArguments) -> Result<Credential, Stop> {
    let proof = arguments.proof.as_deref().map(read_proof).transpose()?;
    if is_wit || proof.is_some() {
        return Ok(Credential::Wit { token: text, proof });
    }
    Ok(Credential::Jwt(text))
}

fn read_proof(path: &Path) -> Result<String, Stop> {
    match read_credential(path)? {
        Recognised::Token { text, .. } => Ok(text),
        _ => Err(usage(format!(
            "{} holds no proof of possession, which is a compact token",
            input::name_of(path)
        ))),
    }
}

fn no_proof(arguments: &QuestionArguments) -> Result<(), Stop> {
    match &arguments.proof {
        Some(_) => Err(usage("`--proof` goes with a token".to_owned())),
        None => Ok(()),
    }
}

/// Standard input can be read once.
fn check_stdin(arguments: &QuestionArguments) -> Result<(), Fault> {
    let files: [&[PathBuf]; 5] = [
        &arguments.credentials,
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

fn read_credential(path: &Path) -> Result<Recognised, Stop> {
    let bytes = input::read(path, "credential", CREDENTIAL_BYTES)?;
    recognise(&bytes).map_err(|reason| Stop::refused(path, reason))
}

fn usage(message: String) -> Stop {
    Stop::Fault(Fault::Usage(message))
}

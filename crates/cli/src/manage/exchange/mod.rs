//! `token`: what is had for a credential of someone else's.

pub mod arguments;
mod endpoint;
mod ssh;
mod workflow;
mod written;

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::arguments::{
    ExchangeArguments, JWT, SAML2, SSH, TokenArguments, TokenCommand, X509_SVID,
};
use self::endpoint::{Answer, Endpoint, is_undetermined};
use super::client::Client;
use super::holder::Holder;
use super::table::Column;
use super::{named, path, pretty, refused_file, segment, tell_one, unreadable};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault, Refusal};
use crate::input::{self, Stop};
use crate::output;

/// RFC 8693 2.1.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The longest token that is read, four times what a server takes.
const LONGEST_TOKEN: usize = 64 << 10;

const TRIAL: [Column; 8] = [
    ("RULE", "rule"),
    ("SPIFFE ID", "spiffe_id"),
    ("KIND", "kind"),
    ("AUDIENCES", "audiences"),
    ("SCOPES", "scopes"),
    ("SECONDS", "lifetime"),
    ("FACTS", "facts"),
    ("LISTS", "lists"),
];

/// `token`.
pub fn token(arguments: &TokenArguments, common: &Common) -> Result<Exit, Fault> {
    match &arguments.command {
        TokenCommand::Exchange(exchange) if exchange.is_trial => try_out(exchange, common),
        TokenCommand::Exchange(exchange) => exchanged(exchange, common),
    }
}

fn exchanged(arguments: &ExchangeArguments, common: &Common) -> Result<Exit, Fault> {
    let endpoint = endpoint(arguments, common)?;
    let (subject, subject_type) = subject(arguments, &endpoint)?;
    let wanted = wanted(arguments);
    let is_certificate = wanted == Some(X509_SVID);
    let holder = match (&arguments.key, &arguments.out) {
        (Some(key), _) => Some(Holder::of(key)?),
        (None, Some(_)) if is_certificate => Some(Holder::new()?),
        (None, None) if is_certificate => {
            return Err(Fault::Usage(
                "a certificate is given for a key: name its file with --key, or with --out the \
                 folder for both"
                    .to_owned(),
            ));
        }
        (None, _) => None,
    };
    if let Some(folder) = &arguments.out {
        // What is exchanged is used up: whether there is a place for the rest is found out before.
        written::make_folder(folder)?;
    }
    let request = match (&holder, is_certificate) {
        (Some(holder), true) => Some(holder.signing_request()?),
        _ => None,
    };
    let proof = match proved(arguments, &endpoint, &subject)? {
        Ok(proof) => proof,
        Err(refusal) => return refused(&refusal, common),
    };
    let actor = read_if_any(arguments.actor_token.as_deref())?;
    let scope = arguments.scope.join(" ");
    let mut form = vec![
        ("grant_type", EXCHANGE),
        ("subject_token", subject.as_str()),
        ("subject_token_type", subject_type),
    ];
    let actor_type = actor
        .as_ref()
        .map(|actor| type_of(arguments.actor_token_type.as_deref(), actor));
    let optional = [
        ("subject_issuer", arguments.subject_issuer.as_deref()),
        (
            "subject_token_proof",
            proof.text.as_deref().map(String::as_str),
        ),
        ("subject_token_challenge", proof.challenge.as_deref()),
        ("actor_token", actor.as_deref().map(String::as_str)),
        ("actor_token_type", actor_type),
        ("requested_token_type", wanted),
        ("certificate_request", request.as_deref()),
        (
            "scope",
            Some(scope.as_str()).filter(|scope| !scope.is_empty()),
        ),
    ];
    form.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    form.extend(
        arguments
            .audience
            .iter()
            .map(|one| ("audience", one.as_str())),
    );
    match endpoint.ask(&form, holder.as_ref())? {
        Answer::Given(given) => written::tell(
            &given,
            arguments.out.as_deref(),
            holder.as_ref(),
            &endpoint,
            common,
        ),
        Answer::Refused(refusal) => refused(&refusal, common),
    }
}

/// Asks what would be given. The token is not used up.
fn try_out(arguments: &ExchangeArguments, common: &Common) -> Result<Exit, Fault> {
    let (subject, subject_type) = subject(arguments, &endpoint(arguments, common)?)?;
    let scope = arguments.scope.join(" ");
    let trial = super::said([
        ("subject_token", Some(json!(subject.as_str()))),
        ("subject_token_type", Some(json!(subject_type))),
        (
            "subject_issuer",
            arguments.subject_issuer.as_ref().map(|one| json!(one)),
        ),
        (
            "requested_token_type",
            wanted(arguments).map(|one| json!(one)),
        ),
        (
            "audience",
            Some(json!(arguments.audience)).filter(|_| !arguments.audience.is_empty()),
        ),
        ("scope", Some(json!(scope)).filter(|_| !scope.is_empty())),
    ]);
    let client = Client::open(&arguments.remote())?;
    let answer = client.post(&path(common, "try-exchange")?, &trial)?;
    let Some(problem) = answer.get("problem") else {
        return tell_one(common, &answer, &TRIAL);
    };
    match common.output {
        Format::Human => Err(problem_of(problem)),
        _ => {
            output::data(&pretty(&answer))?;
            Ok(Exit::Rejected)
        }
    }
}

fn endpoint(arguments: &ExchangeArguments, common: &Common) -> Result<Endpoint, Fault> {
    let tenant = segment(named(common)?)?;
    Endpoint::of(&arguments.remote(), tenant, arguments.issuer.as_deref())
}

/// What is exchanged, as it is sent, and what it is.
fn subject<'a>(
    arguments: &'a ExchangeArguments,
    endpoint: &Endpoint,
) -> Result<(Zeroizing<String>, &'a str), Fault> {
    let subject = match (&arguments.subject_token, &arguments.ssh_key) {
        (_, Some(key)) => {
            let presented = ssh::presented(key, arguments.ssh_certificate.as_deref())?;
            return Ok((presented, SSH));
        }
        (Some(file), None) => read(file)?,
        (None, None) => workflow::token(&arguments.remote(), endpoint.issuer())?,
    };
    let subject_type = type_of(arguments.subject_token_type.as_deref(), &subject);
    // RFC 8693 3: XML is sent in base64url, in which it may be already.
    if subject_type == SAML2 && subject.starts_with('<') {
        let encoded = Base64UrlUnpadded::encode_string(subject.as_bytes());
        return Ok((Zeroizing::new(encoded), subject_type));
    }
    Ok((subject, subject_type))
}

/// A proof of possession, if there is one, and the challenge that it answers.
struct Proof {
    text: Option<Zeroizing<String>>,
    challenge: Option<String>,
}

/// The proof that goes with what is exchanged, or the refusal of who was asked for a challenge.
fn proved(
    arguments: &ExchangeArguments,
    endpoint: &Endpoint,
    subject: &str,
) -> Result<Result<Proof, Value>, Fault> {
    let Some(key) = &arguments.ssh_key else {
        return Ok(Ok(Proof {
            text: read_if_any(arguments.subject_token_proof.as_deref())?,
            challenge: None,
        }));
    };
    let challenge = match endpoint.challenge(subject)? {
        Ok(challenge) => challenge,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let text = ssh::prove(key, endpoint.issuer(), &challenge)?;
    Ok(Ok(Proof {
        text: Some(Zeroizing::new(text)),
        challenge: Some(challenge),
    }))
}

/// What is asked for. Who names a folder and nothing else wants what is kept in folders.
fn wanted(arguments: &ExchangeArguments) -> Option<&str> {
    match (&arguments.requested_token_type, &arguments.out) {
        (Some(wanted), _) => Some(wanted),
        (None, Some(_)) => Some(X509_SVID),
        (None, None) => None,
    }
}

fn type_of<'a>(said: Option<&'a str>, token: &str) -> &'a str {
    match said {
        Some(said) => said,
        None if token.starts_with("-----BEGIN CERTIFICATE-----") => X509_SVID,
        None if token.starts_with('<') => SAML2,
        None => JWT,
    }
}

fn refused(refusal: &Value, common: &Common) -> Result<Exit, Fault> {
    let exit = match is_undetermined(refusal) {
        true => Exit::Undetermined,
        false => Exit::Rejected,
    };
    match common.output {
        Format::Human => drop(output::report(&problem_of(refusal), Format::Human)),
        _ => output::data(&pretty(refusal))?,
    }
    Ok(exit)
}

/// A refusal for a person. The number under which the log of the tenant says more goes with it.
fn problem_of(problem: &Value) -> Fault {
    let text = |member: &str| {
        let text = problem.get(member).and_then(Value::as_str);
        text.map(avouch_core::reason::printable)
    };
    let hint = text("hint").unwrap_or_default();
    let refusal = Refusal {
        code: text("code").or_else(|| text("error")).unwrap_or_default(),
        sentence: text("detail")
            .or_else(|| text("error_description"))
            .unwrap_or_else(|| "It is refused, and nothing is said of why.".to_owned()),
        hint: match text("decision") {
            Some(decision) => format!("{hint}\n  decision: {decision}"),
            None => hint,
        },
        answer: Some(problem.clone()),
    };
    refusal.into()
}

fn read_if_any(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, Fault> {
    file.map(read).transpose()
}

/// A token of a file, without what stands around it.
fn read(file: &Path) -> Result<Zeroizing<String>, Fault> {
    let refuse = |why: &str| unreadable(file, why, "Name a file in which the token is.");
    let bytes = match input::read(file, "token", LONGEST_TOKEN) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(Stop::Fault(fault)) => return Err(fault),
        Err(Stop::Refused { reason, .. }) => return Err(refused_file(file, &reason)),
    };
    let text = str::from_utf8(&bytes).map_err(|_| refuse("it is not UTF-8"))?;
    match text.trim() {
        "" => Err(refuse("it is empty")),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

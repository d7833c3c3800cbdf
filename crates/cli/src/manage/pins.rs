//! `pin`: what issuers must show, and what is about to break it.

use avouch_core::pin::Pinned;
use serde_json::{Map, Value, json};

use super::arguments::{
    PinArguments, PinCommand, PinImportArguments, PinMode, PinPutArguments, PinSaid,
    PinStageArguments,
};
use super::aws_command::Provider;
use super::client::Client;
use super::table::{Column, table};
use super::{gravest, list_of, path, pretty, read, said, segment, tell_one, tell_removed};
use crate::arguments::Common;
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::output;

/// The longest command line that is read, in bytes.
const LONGEST_COMMAND: usize = 64 << 10;

const PIN: [Column; 7] = [
    ("ISSUER", "name"),
    ("PIN", "pin"),
    ("PLACE", "place"),
    ("MODE", "mode"),
    ("STATE", "state"),
    ("OWNER", "owner"),
    ("EXPIRES", "expires"),
];

/// One alone.
const ONE: [Column; 10] = [
    ("ISSUER", "name"),
    ("PIN", "pin"),
    ("NAMES", "means"),
    ("PLACE", "place"),
    ("MODE", "mode"),
    ("STATE", "state"),
    ("CONSULTED", "consulted"),
    ("OWNER", "owner"),
    ("REASON", "reason"),
    ("EXPIRES", "expires"),
];

const MEANS: [Column; 2] = [("PIN", "pin"), ("NAMES", "means")];

const CONSULTED: [Column; 2] = [("PIN", "pin"), ("CONSULTED", "consulted")];

const WARNING: [Column; 4] = [
    ("MIND", "kind"),
    ("HOW MUCH", "severity"),
    ("WHY", "sentence"),
    ("FIX", "fix"),
];

const SHOWN: [Column; 6] = [
    ("HOST", "host"),
    ("CERTIFICATE", "subject"),
    ("SHA-1", "sha1"),
    ("SHA-256", "sha256"),
    ("ENDS", "not_after"),
    ("HELD BY", "held_by"),
];

/// The thumbprints that GitHub has had people pin, and since when.
const OF_GITHUB: [(&str, &str); 3] = [
    (
        "a031c46782e6e6c662c2c87c76da9aa62ccabd8e",
        "GitHub's until January 2022",
    ),
    (
        "6938fd4d98bab03faadb97b34396831e3780aea1",
        "GitHub's since January 2022",
    ),
    (
        "1c58a3a8518e8759bf075b76b750d4f2df264fcd",
        "GitHub's second since June 2023",
    ),
];

/// `pin`.
pub fn pin(arguments: &PinArguments, common: &Common) -> Result<Exit, Fault> {
    if let PinCommand::Import(import) = &arguments.command {
        return imported(arguments, import, common);
    }
    let client = Client::open(&arguments.remote)?;
    match &arguments.command {
        PinCommand::Check { issuer } => {
            let answer = client.post(&format!("{}/check", of(common, issuer)?), &json!({}))?;
            tell(common, &answer)?;
            Ok(highest(&answer))
        }
        PinCommand::List { issuer: None } => {
            let answer = client.get(&path(common, "pins")?)?;
            output::formatted(common.output, || drawn(&answer), || pretty(&answer))?;
            Ok(Exit::Accepted)
        }
        PinCommand::List {
            issuer: Some(issuer),
        } => tell(common, &client.get(&of(common, issuer)?)?),
        PinCommand::Put(put) => {
            let address = at(common, &put.issuer, put.pin)?;
            tell(common, &client.put(&address, &wanted(put))?)
        }
        PinCommand::Show { issuer, pin } => {
            let answer = client.get(&at(common, issuer, *pin)?)?;
            tell_one(common, &answer, &ONE)
        }
        PinCommand::Remove { issuer, pin } => {
            client.delete(&at(common, issuer, *pin)?)?;
            tell_removed(common, &pin.to_string())
        }
        PinCommand::Stage(stage) => {
            let address = format!("{}/stage", of(common, &stage.issuer)?);
            tell(common, &client.post(&address, &staging(stage))?)
        }
        PinCommand::Import(_) => Ok(Exit::Usage),
    }
}

fn of(common: &Common, issuer: &str) -> Result<String, Fault> {
    path(common, &format!("issuers/{}/pins", segment(issuer)?))
}

/// The name of a pin is of characters that stand in an address as they are.
fn at(common: &Common, issuer: &str, pin: Pinned) -> Result<String, Fault> {
    Ok(format!("{}/{pin}", of(common, issuer)?))
}

fn wanted(put: &PinPutArguments) -> Value {
    let auto_stage = put.auto_stage.then_some(json!(true));
    with_said(
        said([
            ("mode", Some(json!(put.mode.name()))),
            ("place", put.place.map(|place| json!(place.name()))),
            ("host", put.host.as_ref().map(|host| json!(host))),
            ("auto_stage", auto_stage),
        ]),
        &put.said,
    )
}

fn staging(stage: &PinStageArguments) -> Value {
    let pins: Vec<String> = stage.pins.iter().map(ToString::to_string).collect();
    with_said(
        said([
            ("pins", (!stage.all).then(|| json!(pins))),
            ("all", stage.all.then_some(json!(true))),
        ]),
        &stage.said,
    )
}

fn with_said(mut object: Value, by: &PinSaid) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert("owner".to_owned(), json!(by.owner));
        members.insert("reason".to_owned(), json!(by.reason));
        if let Some(expires) = by.expires {
            members.insert("expires".to_owned(), json!(expires.to_string()));
        }
    }
    object
}

/// `pin import`: the issuer first, because pins are its.
fn imported(
    arguments: &PinArguments,
    import: &PinImportArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let from = &import.aws_command;
    let refuse = |why: String| Fault::Usage(format!("{}: {why}", input::name_of(from)));
    let bytes = match input::read(from, "command line", LONGEST_COMMAND) {
        Ok(bytes) => bytes,
        Err(Stop::Fault(fault)) => return Err(fault),
        Err(Stop::Refused { reason, .. }) => return Err(refuse(reason.sentence())),
    };
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".to_owned()))?;
    let provider = Provider::read(&text).map_err(refuse)?;
    let document = document(&provider, import)?;
    let pins = pins(&provider, import);
    if import.dry_run {
        let plan = json!({
            "issuer": document,
            "pins": pins.iter().map(|(pin, wanted)| json!({
                "pin": pin.to_string(), "wanted": wanted, "means": meaning(&provider, *pin, import.mode),
            })).collect::<Vec<_>>(),
            "passed_over": provider.passed_over,
            "mind": remarks(&document),
        });
        output::data(&pretty(&plan))?;
        return Ok(Exit::Accepted);
    }
    for remark in remarks(&document) {
        output::note(&remark);
    }
    let client = Client::open(&arguments.remote)?;
    let issuer = path(common, &format!("issuers/{}", segment(&import.issuer)?))?;
    client.put(&issuer, &document)?;
    for (pin, wanted) in &pins {
        client.put(&at(common, &import.issuer, *pin)?, wanted)?;
    }
    tell(common, &client.get(&of(common, &import.issuer)?)?)
}

/// The issuer as the command line makes it, with what it does not say.
fn document(provider: &Provider, import: &PinImportArguments) -> Result<Value, Fault> {
    let mut document = match &import.file {
        None => Map::new(),
        Some(file) => match read(file)? {
            Value::Object(members) => members,
            _ => {
                let name = input::name_of(file);
                return Err(Fault::Usage(format!("{name}: it is no object")));
            }
        },
    };
    let mut own = vec![
        ("issuer", json!(provider.url)),
        ("owner", json!(import.said.owner)),
        ("reason", json!(import.said.reason)),
    ];
    if !provider.clients.is_empty() {
        own.push(("audiences", json!(provider.clients)));
    }
    for (name, value) in own {
        if document.insert(name.to_owned(), value).is_some() {
            return Err(Fault::Usage(format!(
                "`{name}` is in the command line already, and stands in --file too"
            )));
        }
    }
    Ok(Value::Object(document))
}

fn pins(provider: &Provider, import: &PinImportArguments) -> Vec<(Pinned, Value)> {
    let named = provider.thumbprints.iter();
    let pinned = named.filter_map(|thumbprint| Pinned::parse(thumbprint));
    let wanted = json!({"mode": import.mode.name(), "place": "top"});
    pinned
        .map(|pinned| (pinned, with_said(wanted.clone(), &import.said)))
        .collect()
}

fn meaning(provider: &Provider, pin: Pinned, mode: PinMode) -> String {
    let name = pin.to_string();
    let known = OF_GITHUB
        .iter()
        .find(|(thumbprint, _)| name.ends_with(thumbprint))
        .map_or(String::new(), |(_, when)| format!("{when}: "));
    let ignored = match provider.url.as_str() {
        "https://token.actions.githubusercontent.com" => {
            "AWS has validated GitHub by its own library of CAs since 6 July 2023 and ignores it"
        }
        _ => "AWS consults it only where no CA of its library has signed",
    };
    let here = match mode {
        PinMode::Enforced => "here it is consulted",
        PinMode::Vestigial => "here it is present but not consulted",
    };
    format!(
        "{known}the SHA-1 digest of the top intermediate CA that signed the TLS certificate of the \
         server, not of that certificate, and of no key that signs tokens; {ignored}; {here}"
    )
}

fn remarks(document: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    if document.get("rules").is_none() {
        remarks.push(
            "the command line says nothing of whom it lets in: that stands in the trust policy of \
             each role; without `rules` in --file, an issuer that many share is refused"
                .to_owned(),
        );
    }
    if document.get("audiences").is_none() {
        remarks.push("no client id is named, so a token for anyone is admitted".to_owned());
    }
    remarks
}

fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    output::formatted(common.output, || drawn(answer), || pretty(answer))?;
    Ok(Exit::Accepted)
}

fn drawn(answer: &Value) -> String {
    let issuer = answer.get("name").cloned();
    let pins: Vec<Value> = list_of(answer, "pins")
        .iter()
        .cloned()
        .map(|mut pin| {
            if let (Some(members), Some(name)) = (pin.as_object_mut(), &issuer) {
                members.insert("name".to_owned(), name.clone());
            }
            pin
        })
        .collect();
    let mut parts = vec![table(&PIN, &pins)];
    if !pins.is_empty() {
        parts.push(table(&MEANS, &pins));
        parts.push(table(&CONSULTED, &pins));
    }
    let warnings = list_of(answer, "warnings");
    if !warnings.is_empty() {
        parts.push(table(&WARNING, warnings));
    }
    let shown = shown(answer);
    if !shown.is_empty() {
        parts.push(table(&SHOWN, &shown));
    }
    let unseen = list_of(answer, "not_seen");
    if !unseen.is_empty() {
        parts.push(table(
            &[("NOT SEEN", "host"), ("CODE", "code"), ("WHY", "sentence")],
            unseen,
        ));
    }
    parts.join("\n")
}

/// The certificates that were shown, a row each.
fn shown(answer: &Value) -> Vec<Value> {
    let paths = list_of(answer, "shown").iter();
    paths
        .flat_map(|path| {
            let certificates = list_of(path, "certificates").iter().cloned();
            certificates.map(|mut certificate| {
                if let Some(members) = certificate.as_object_mut() {
                    for name in ["host", "held_by"] {
                        let value = path.get(name).cloned().unwrap_or_default();
                        members.insert(name.to_owned(), value);
                    }
                }
                certificate
            })
        })
        .collect()
}

/// How much what is to be looked at matters.
fn highest(answer: &Value) -> Exit {
    gravest(list_of(answer, "warnings").iter())
}

//! `avouch federation`.

use serde_json::{Value, json};

use super::arguments::{FederationArguments, FederationCommand, FederationMembers};
use super::client::Client;
use super::table::Column;
use super::{path, pretty, read, said, segment, tell_list, tell_removed};
use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault};
use crate::input;
use crate::output;

const FEDERATION: [Column; 7] = [
    ("TRUST DOMAIN", "trust_domain"),
    ("PROFILE", "profile"),
    ("STATE", "state"),
    ("SEQUENCE", "sequence"),
    ("LAST SUCCESS", "last_success"),
    ("NEXT", "next_attempt"),
    ("NODES HOLD IT", "nodes_holding"),
];

/// `federation`.
pub fn federation(arguments: &FederationArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("federations/{}", segment(name)?));
    match &arguments.command {
        FederationCommand::Delete { trust_domain } => {
            client.delete(&at(trust_domain)?)?;
            tell_removed(common, trust_domain)
        }
        FederationCommand::List => {
            let answer = client.get(&path(common, "federations")?)?;
            tell_list(common, &answer, "federations", &FEDERATION)
        }
        FederationCommand::Put {
            trust_domain,
            members,
        } => {
            let sent = sent(members)?;
            tell(common, &client.put(&at(trust_domain)?, &sent)?)
        }
        FederationCommand::Refresh { trust_domain } => {
            let refresh = format!("{}/refresh", at(trust_domain)?);
            let answer = client.post(&refresh, &json!({}))?;
            tell(common, &answer)?;
            Ok(match answer.get("failure") {
                Some(_) => Exit::Rejected,
                None => Exit::Accepted,
            })
        }
        FederationCommand::Show { trust_domain } => tell(common, &client.get(&at(trust_domain)?)?),
    }
}

fn sent(members: &FederationMembers) -> Result<Value, Fault> {
    let mut roots = Vec::new();
    for file in &members.root {
        let text = std::fs::read_to_string(file).map_err(|why| Fault::Read {
            what: input::name_of(file),
            why,
        })?;
        roots.push(text);
    }
    let bundle = match &members.bundle {
        Some(file) => Some(read(file)?),
        None => None,
    };
    // Whoever names the ID of an endpoint means the profile that has one.
    let profile = members.profile.as_deref();
    let profile = profile.unwrap_or(match members.endpoint_id {
        Some(_) => "https_spiffe",
        None => "https_web",
    });
    Ok(said([
        ("url", Some(json!(members.url))),
        ("profile", Some(json!(profile))),
        (
            "endpoint_spiffe_id",
            members.endpoint_id.as_ref().map(|id| json!(id.as_str())),
        ),
        ("roots", (!roots.is_empty()).then(|| json!(roots))),
        ("bundle", bundle),
        ("owner", members.owner.as_ref().map(|owner| json!(owner))),
        ("reason", members.reason.as_ref().map(|why| json!(why))),
    ]))
}

/// One relation, and why there is no newer bundle if that is so.
fn tell(common: &Common, answer: &Value) -> Result<Exit, Fault> {
    const ONE: [Column; 14] = [
        ("TRUST DOMAIN", "trust_domain"),
        ("URL", "url"),
        ("PROFILE", "profile"),
        ("ENDPOINT", "endpoint_spiffe_id"),
        ("OWNER", "owner"),
        ("REASON", "reason"),
        ("ANCHOR", "anchor"),
        ("STATE", "state"),
        ("SEQUENCE", "sequence"),
        ("LAST SUCCESS", "last_success"),
        ("NEXT", "next_attempt"),
        ("NODES", "nodes_connected"),
        ("HOLD IT", "nodes_holding"),
        ("FAILURES", "failures"),
    ];
    if common.output == Format::Json {
        output::data(&pretty(answer))?;
        return Ok(Exit::Accepted);
    }
    let mut drawn = super::table::members(&ONE, answer);
    if let Some(failure) = answer.get("failure") {
        let text = |name: &str| {
            let text = failure.get(name).and_then(Value::as_str);
            avouch_core::reason::printable(text.unwrap_or_default())
        };
        let (code, detail, hint) = (text("code"), text("detail"), text("hint"));
        drawn.push_str(&format!("\n{detail} ({code})\n  fix: {hint}\n"));
    }
    output::data(&drawn)?;
    Ok(Exit::Accepted)
}

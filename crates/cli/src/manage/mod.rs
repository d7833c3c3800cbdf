//! Commands that ask a server: tenants and everything they have.

mod anchors;
pub mod apply;
pub mod arguments;
pub mod audit;
mod aws_command;
mod bootstrap;
mod bound;
mod client;
mod cluster;
mod deciding;
mod decisions;
mod drill;
mod egress;
mod entries;
pub mod exchange;
mod federation;
mod holder;
mod issued;
mod issuers;
mod log;
mod nodes;
mod pins;
mod rules;
pub(crate) mod secured;
mod services;
mod sign_csr;
mod signals;
mod table;
mod upstream;

use std::path::Path;

use avouch_agent::Selector;
use avouch_core::id::TenantId;
use avouch_core::reason::{Reason, printable};
use serde_json::{Map, Value, json};

use crate::arguments::{Common, Format};
use crate::fault::{Exit, Fault, Refusal};
use crate::input::{self, Stop};
use crate::output;
pub use anchors::{delete_anchor, import_anchor, list_anchors, put_anchor, show_anchor};
use arguments::{
    AdminArguments, AdminCommand, AuthorityArguments, AuthorityCommand, Removal, TenantArguments,
    TenantCommand, TrustDomainArguments, TrustDomainCommand, WhyNotArguments,
};
pub use bootstrap::cluster;
use client::Client;
pub(crate) use deciding::{decide, decided, tell_decided};
pub use decisions::{DecisionArguments, decision};
pub(crate) use decisions::{decision_kept, drawn as drawn_record, exit_of as exit_of_verdict};
pub use drill::drill;
pub use egress::{EgressArguments, egress};
pub use entries::entry;
pub use exchange::token;
pub use federation::federation;
pub use issuers::issuer;
pub use nodes::node;
pub use pins::pin;
pub use rules::rule;
pub use services::{ServiceArguments, service};
pub use signals::{ReceiverArguments, SignalArguments, receiver, signal};
use table::{Column, members, table};

/// The longest file that is sent.
const LONGEST_FILE: usize = 64 << 20;

const TENANT: [Column; 6] = [
    ("NAME", "name"),
    ("KIND", "kind"),
    ("PARENT", "parent"),
    ("TRUST DOMAINS", "trust_domains"),
    ("ROLES", "roles"),
    ("CREATED", "created"),
];

const QUOTA: [Column; 8] = [
    ("ENTRIES", "entries_used"),
    ("AT MOST", "entries"),
    ("NODES", "nodes_used"),
    ("AT MOST", "nodes"),
    ("TRUST DOMAINS", "trust_domains_used"),
    ("AT MOST", "trust_domains"),
    ("ISSUED A MINUTE AT MOST", "issuances_per_minute"),
    ("WORKLOADS", "workloads"),
];

/// `tenant`.
pub fn tenant(arguments: &TenantArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    match &arguments.command {
        TenantCommand::List => {
            let answer = client.get("/v1/tenants")?;
            tell_list(common, &answer, "tenants", &TENANT)
        }
        TenantCommand::Show { name } => {
            let name = match name {
                Some(name) => name.as_str(),
                None => named(common)?,
            };
            let answer = client.get(&format!("/v1/tenants/{}", segment(name)?))?;
            tell_one(common, &answer, &TENANT)
        }
        TenantCommand::Quota {
            name,
            entries,
            nodes,
            trust_domains,
            issuances_per_minute,
            workloads,
        } => {
            let name = match name {
                Some(name) => name.as_str(),
                None => named(common)?,
            };
            let path = format!("/v1/tenants/{}/quota", segment(name)?);
            let mut answer = client.get(&path)?;
            let asked = [
                ("entries", entries),
                ("nodes", nodes),
                ("trust_domains", trust_domains),
                ("issuances_per_minute", issuances_per_minute),
            ];
            if !workloads.is_empty() || asked.iter().any(|(_, bound)| bound.is_some()) {
                let quota = asked.map(|(name, bound)| match bound {
                    Some(bound) => (name, bound.0.map(|most| json!(most))),
                    None => (name, answer.get(name).cloned()),
                });
                let of = match workloads.as_slice() {
                    [] => answer.get("workloads").cloned(),
                    [none] if none == "none" => None,
                    some => Some(json!(some)),
                };
                let [entries, nodes, domains, issuances] = quota;
                let quota = said([entries, nodes, domains, issuances, ("workloads", of)]);
                answer = client.put(&path, &quota)?;
            }
            tell_one(common, &answer, &QUOTA)
        }
        TenantCommand::Delete { name, removal } => {
            let path = format!("/v1/tenants/{}", segment(name)?);
            remove(&client, &path, removal, common)
        }
        TenantCommand::Create {
            name,
            parent,
            kind,
            trust_domain,
        } => {
            let new = said([
                ("name", Some(json!(name))),
                ("parent", parent.as_ref().map(|one| json!(one))),
                ("kind", kind.as_ref().map(|one| json!(one))),
                ("trust_domain", trust_domain.as_ref().map(|one| json!(one))),
            ]);
            let answer = client.post("/v1/tenants", &new)?;
            tell_one(common, &answer, &TENANT)
        }
    }
}

/// Removes what is at an address, or tells what would go with it.
fn remove(client: &Client, path: &str, removal: &Removal, common: &Common) -> Result<Exit, Fault> {
    const GOES: [Column; 4] = [
        ("GOES", "what"),
        ("NAME", "name"),
        ("COUNT", "count"),
        ("LIVES UNTIL", "until"),
    ];
    let answer = if removal.dry_run {
        client.get(&format!("{path}/removal"))?
    } else {
        let confirmed = removal.confirm.as_deref();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-,:".contains(&byte);
        let query = match confirmed {
            Some(names) if names.bytes().all(fits) => format!("?confirm={names}"),
            Some(_) => {
                let usage = "--confirm is names with commas between, and nothing else";
                return Err(Fault::Usage(usage.to_owned()));
            }
            None => String::new(),
        };
        client.delete(&format!("{path}{query}"))?
    };
    tell_list(common, &answer, "goes", &GOES)
}

const TRUST_DOMAIN: [Column; 2] = [("NAME", "name"), ("CREATED", "created")];

/// `trust-domain`.
pub fn trust_domain(arguments: &TrustDomainArguments, common: &Common) -> Result<Exit, Fault> {
    let path = path(common, "trust-domains")?;
    let client = Client::open(&arguments.remote)?;
    match &arguments.command {
        TrustDomainCommand::List => {
            let answer = client.get(&path)?;
            tell_list(common, &answer, "trust_domains", &TRUST_DOMAIN)
        }
        TrustDomainCommand::Show { name } => {
            let answer = client.get(&format!("{path}/{}", segment(name)?))?;
            tell_one(common, &answer, &TRUST_DOMAIN)
        }
        TrustDomainCommand::Delete { name, removal } => {
            let path = format!("{path}/{}", segment(name)?);
            remove(&client, &path, removal, common)
        }
        TrustDomainCommand::Create { name } => {
            let answer = client.post(&path, &json!({ "name": name }))?;
            tell_one(common, &answer, &TRUST_DOMAIN)
        }
    }
}

const REVOKED: [Column; 4] = [
    ("SERIAL", "serial"),
    ("SPIFFE ID", "spiffe_id"),
    ("AUTHORITY", "authority"),
    ("WOULD END", "not_after"),
];

const AUTHORITY: [Column; 12] = [
    ("AUTHORITY", "id"),
    ("TRUST DOMAIN", "trust_domain"),
    ("KIND", "kind"),
    ("ROLE", "role"),
    ("USED FOR", "used_for"),
    ("STATE", "state"),
    ("KEY", "key_origin"),
    ("UNTIL", "not_after"),
    ("NODES", "nodes_connected"),
    ("KNOW IT", "nodes_holding"),
    ("READERS", "readers_known"),
    ("HAVE READ IT", "readers_holding"),
];

/// `authority`.
pub fn authority(arguments: &AuthorityArguments, common: &Common) -> Result<Exit, Fault> {
    let nothing = json!({});
    // All ask a server but `replay`, which is told of none.
    let client = || Client::open(&arguments.remote);
    let how = |anyway: bool| json!({ "anyway": anyway });
    let at = |what: &str, name: &str, step: &str| -> Result<String, Fault> {
        let name = segment(name)?;
        path(common, &format!("{what}/{name}/{step}"))
    };
    let answer = match &arguments.command {
        AuthorityCommand::List => client()?.get(&path(common, "authorities")?)?,
        AuthorityCommand::Show { authority } => {
            return show_authority(&client()?, authority, common);
        }
        AuthorityCommand::Prepare { trust_domain } => {
            client()?.post(&at("trust-domains", trust_domain, "prepare")?, &nothing)?
        }
        AuthorityCommand::Activate { authority, anyway } => {
            client()?.post(&at("authorities", authority, "activate")?, &how(*anyway))?
        }
        AuthorityCommand::Add(new) => {
            let address = at("trust-domains", &new.trust_domain, "authorities")?;
            client()?.post(&address, &new.members())?
        }
        AuthorityCommand::Csr { trust_domain } => {
            let address = at("trust-domains", trust_domain, "csr")?;
            return upstream::tell_request(common, &client()?.post(&address, &nothing)?);
        }
        AuthorityCommand::Import {
            trust_domain,
            certificates,
            key,
            key_address,
        } => {
            let address = at("trust-domains", trust_domain, "import")?;
            let (key, held) = (key.as_deref(), key_address.as_deref());
            return upstream::import(&client()?, &address, certificates, key, held, common);
        }
        AuthorityCommand::BootstrapToken(token) => {
            return cluster::token(&client()?, token, common);
        }
        AuthorityCommand::Sign(sign) => return cluster::sign(&client()?, sign, common),
        AuthorityCommand::Replace {
            trust_domain,
            wait,
            anyway,
        } => {
            let address = at("trust-domains", trust_domain, "replace")?;
            upstream::replace(&client()?, &address, trust_domain, *anyway, *wait, common)?
        }
        AuthorityCommand::Revoke { authority, anyway } => {
            client()?.post(&at("authorities", authority, "revoke")?, &how(*anyway))?
        }
        AuthorityCommand::Issued(asked) => return issued::issued(&client()?, asked, common),
        AuthorityCommand::Log => return log::log(&client()?, common),
        AuthorityCommand::Replay(replay) => return log::replay(replay, common),
        AuthorityCommand::SignCsr(sign) => return sign_csr::sign_csr(&client()?, sign, common),
        AuthorityCommand::RevokeCertificates {
            serial,
            spiffe_id,
            descended_from,
            reason,
        } => {
            let name = |name: &Option<String>| name.as_deref().map(Value::from);
            let which = said([
                ("serial", name(serial)),
                ("spiffe_id", name(spiffe_id)),
                ("descended_from", name(descended_from)),
                ("reason", Some(json!(reason))),
            ]);
            return revoke_certificates(&client()?, &which, common);
        }
        AuthorityCommand::Taint { authority, anyway } => {
            client()?.post(&at("authorities", authority, "taint")?, &how(*anyway))?
        }
    };
    upstream::tell(common, &answer, &AUTHORITY)
}

fn show_authority(client: &Client, name: &str, common: &Common) -> Result<Exit, Fault> {
    let address = path(common, &format!("authorities/{}", segment(name)?))?;
    tell_one(common, &client.get(&address)?, &AUTHORITY)
}

fn revoke_certificates(client: &Client, which: &Value, common: &Common) -> Result<Exit, Fault> {
    let answer = client.post(&path(common, "revoke-certificates")?, which)?;
    tell_list(common, &answer, "revoked", &REVOKED)
}

const ADMIN: [Column; 4] = [
    ("NAME", "name"),
    ("SUBJECT", "subject"),
    ("ROLE", "role"),
    ("SINCE", "created"),
];

/// `admin`.
pub fn admin(arguments: &AdminArguments, common: &Common) -> Result<Exit, Fault> {
    let client = Client::open(&arguments.remote)?;
    let at = |name: &str| path(common, &format!("admins/{}", segment(name)?));
    match &arguments.command {
        AdminCommand::List => {
            let answer = client.get(&path(common, "admins")?)?;
            tell_list(common, &answer, "admins", &ADMIN)
        }
        AdminCommand::Show { name } => tell_one(common, &client.get(&at(name)?)?, &ADMIN),
        AdminCommand::Put {
            name,
            subject,
            role,
        } => {
            let new = json!({ "subject": subject, "role": role });
            let answer = client.put(&at(name)?, &new)?;
            note_given_already(&answer);
            tell_one(common, &answer, &ADMIN)
        }
        AdminCommand::Delete { name } => {
            client.delete(&at(name)?)?;
            tell_removed(common, name)
        }
    }
}

/// Says who could have been given the identity before it got its role.
fn note_given_already(answer: &Value) {
    let givers = list_of(answer, "given_already");
    for giver in givers {
        let text =
            |name: &str| printable(giver.get(name).and_then(Value::as_str).unwrap_or_default());
        output::note(&format!(
            "the {} {} of the tenant {} gives {} already, and may have been made by someone who could not \
             give this role: look at it",
            text("what"),
            text("name"),
            text("tenant"),
            text("gives"),
        ));
    }
    let all = answer.get("given_already_count").and_then(Value::as_u64);
    let told = u64::try_from(givers.len()).unwrap_or(u64::MAX);
    match all.and_then(|all| all.checked_sub(told)) {
        None | Some(0) => {}
        Some(more) => output::note(&format!("and {more} more")),
    }
}

/// `why-not`.
pub fn why_not(arguments: &WhyNotArguments, common: &Common) -> Result<Exit, Fault> {
    const NEARLY: [Column; 9] = [
        ("ENTRY", "entry"),
        ("SPIFFE ID", "spiffe_id"),
        ("MATCHES", "matches"),
        ("MISSING", "missing"),
        ("NODE LACKS", "node_missing"),
        ("UNFILLED", "unfilled"),
        ("FOR NODE", "for_node"),
        ("ENDED", "ended"),
        ("BARRED", "barred"),
    ];
    let workload = said([
        ("selectors", Some(json!(arguments.selector))),
        (
            "node",
            arguments.node.as_ref().map(|node| json!(node.as_str())),
        ),
    ]);
    let path = path(common, "why-not")?;
    let answer = Client::open(&arguments.remote)?.post(&path, &workload)?;
    let matching = list_of(&answer, "matching");
    let depending = list_of(&answer, "depends_on_node");
    if let (Some(_), Some(node)) = (answer.get("node_unknown"), &arguments.node) {
        output::warn(&format!(
            "there is no node `{node}`, so nothing was attested of it; `avouch node list` shows those that there are"
        ));
    }
    let exit = match (matching, depending) {
        ([], []) => Exit::Rejected,
        ([], _) => Exit::Undetermined,
        _ => Exit::Accepted,
    };
    if common.output == Format::Json {
        output::data(&pretty(&answer))?;
        return Ok(exit);
    }
    let marked = |list: &[Value], matches: &str| -> Vec<Value> {
        let mut list = list.to_vec();
        for one in &mut list {
            if let Some(members) = one.as_object_mut() {
                members.insert("matches".to_owned(), matches.into());
            }
        }
        list
    };
    let mut rows = marked(matching, "yes");
    rows.extend(marked(depending, "by node"));
    rows.extend(marked(list_of(&answer, "nearly"), "no"));
    for row in &mut rows {
        if let Some(Value::Array(missing)) = row.get_mut("missing") {
            for one in missing {
                *one = in_place_of(one, &arguments.selector).into();
            }
        }
    }
    output::data(&table(&NEARLY, &rows))?;
    Ok(exit)
}

/// A selector that a workload has not, with what is wrong with it if no workload can have it, and
/// otherwise with what the workload has in its place.
fn in_place_of(missing: &Value, held: &[String]) -> String {
    let missing = missing.as_str().unwrap_or_default();
    let wanted = match Selector::parse(missing) {
        Ok(wanted) => wanted,
        Err(mistyped) => return format!("{missing}, mistyped: {}", mistyped.detail()),
    };
    let held = held.iter().filter_map(|one| Selector::parse(one).ok());
    let held = held.filter(|one| one.kind() == wanted.kind());
    let held: Vec<String> = held.map(|one| one.to_string()).collect();
    match held.is_empty() {
        true => missing.to_owned(),
        false => format!("{missing} where it has {}", held.join(" and ")),
    }
}

/// The address of what a tenant has.
fn path(common: &Common, what: &str) -> Result<String, Fault> {
    Ok(format!("/v1/tenants/{}/{what}", named(common)?))
}

/// The tenant, which must be named: nobody should change one by chance.
fn named(common: &Common) -> Result<&str, Fault> {
    match common.tenant.as_str() {
        TenantId::LOCAL => Err(Fault::Usage(
            "which tenant? name it with --tenant or AVOUCH_TENANT; `avouch tenant list` shows them"
                .to_owned(),
        )),
        name => Ok(name),
    }
}

/// A name as a part of an address. All names are of characters that need no escapes.
fn segment(name: &str) -> Result<&str, Fault> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name == "." || name == ".." || !name.bytes().all(fits) {
        return Err(Fault::Usage(format!(
            "`{}` is no name: names are of letters, digits, `.`, `_` and `-`",
            printable(name)
        )));
    }
    Ok(name)
}

/// An object of those members that are there.
fn said<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<String, Value>>())
}

/// Reads a file of JSON or YAML. What stands in it is refused like what a server refuses of it, and is
/// no mistake in the arguments.
fn read(path: &Path) -> Result<Value, Fault> {
    value(path, &text(path)?)
}

/// What stands in a file, as text.
fn text(path: &Path) -> Result<String, Fault> {
    let bytes = match input::read(path, "file", LONGEST_FILE) {
        Ok(bytes) => bytes,
        Err(Stop::Fault(fault)) => return Err(fault),
        Err(Stop::Refused { reason, .. }) => return Err(refused_file(path, &reason)),
    };
    String::from_utf8(bytes).map_err(|_| unreadable(path, "it is not UTF-8", OBJECT))
}

/// What is to be in a file.
const OBJECT: &str = "Write one object in YAML or JSON.";

/// The JSON or YAML of a file.
fn value(path: &Path, text: &str) -> Result<Value, Fault> {
    avouch_api::read_value(text)
        .map_err(|avouch_api::NotAValue(why)| unreadable(path, &why, OBJECT))
}

/// What stands in a file cannot be read, as a server says it.
fn unreadable(path: &Path, why: &str, hint: &str) -> Fault {
    let refusal = Refusal {
        code: "issue.body_malformed".to_owned(),
        sentence: format!("{}: {why}", input::name_of(path)),
        hint: hint.to_owned(),
        answer: None,
    };
    refusal.into()
}

/// What is wrong with the content of a file.
fn refused_file(path: &Path, reason: &Reason) -> Fault {
    let refusal = Refusal {
        sentence: format!("{}: {}", input::name_of(path), reason.sentence()),
        ..Refusal::of(reason)
    };
    refusal.into()
}

/// How a run ends that found these: as the gravest of them.
fn gravest<'a>(findings: impl Iterator<Item = &'a Value>) -> Exit {
    let severities: Vec<&str> = findings
        .filter_map(|finding| finding.get("severity")?.as_str())
        .collect();
    let ranked = [
        ("high", Exit::FindingHigh),
        ("medium", Exit::FindingMedium),
        ("low", Exit::FindingLow),
        ("info", Exit::FindingInfo),
    ];
    let found = ranked
        .into_iter()
        .find(|(severity, _)| severities.contains(severity));
    found.map_or(Exit::Accepted, |(_, exit)| exit)
}

fn list_of<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let list = answer.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn tell_list(
    common: &Common,
    answer: &Value,
    name: &str,
    columns: &[Column],
) -> Result<Exit, Fault> {
    output::formatted(
        common.output,
        || table(columns, list_of(answer, name)),
        || pretty(answer),
    )?;
    Ok(Exit::Accepted)
}

fn tell_one(common: &Common, answer: &Value, columns: &[Column]) -> Result<Exit, Fault> {
    output::formatted(
        common.output,
        || members(columns, answer),
        || pretty(answer),
    )?;
    Ok(Exit::Accepted)
}

fn tell_removed(common: &Common, name: &str) -> Result<Exit, Fault> {
    output::formatted(
        common.output,
        || name.to_owned(),
        || pretty(&json!({ "removed": name })),
    )?;
    Ok(Exit::Accepted)
}

fn tell_json(answer: &Value) -> Result<Exit, Fault> {
    output::data(&pretty(answer))?;
    Ok(Exit::Accepted)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

//! What a server has now, in the shape of files.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::client::Client;
use super::super::{list_of, segment};
use super::documents::Name;
use super::kind::Kind;
use crate::fault::Fault;

/// How many registration entries are asked for at once.
const PAGE: usize = 1_000;

/// How many registration entries are asked for one by one, before all are.
const MOST_SINGLY: usize = 200;

/// The anchors that federation relations keep for themselves begin like this.
const OF_FEDERATION: &str = "federation-";

/// The objects of one kind of a tenant by name.
type Objects = BTreeMap<String, Map<String, Value>>;

/// All objects of a kind.
pub(super) fn all(client: &Client, kind: Kind, tenant: &str) -> Result<Objects, Fault> {
    let path = format!("/v1/tenants/{}", segment(tenant)?);
    let under = format!("{path}/{}", kind.plural());
    let list = |list: &str, named: &str| -> Result<Vec<(String, Value)>, Fault> {
        let answer = client.get(&under)?;
        let named = list_of(&answer, list)
            .iter()
            .map(|one| (text(one, named), one.clone()));
        Ok(named.collect())
    };
    let document = |listed: Vec<(String, Value)>, member: &str| -> Objects {
        let named = listed.into_iter();
        named
            .map(|(name, one)| (name, object(one.get(member))))
            .collect()
    };
    Ok(match kind {
        Kind::Tenant => {
            let answer = client.get(&path)?;
            let spec = only(&answer, &["kind", "parent"]);
            Objects::from([(tenant.to_owned(), spec)])
        }
        Kind::Quota => {
            let answer = client.get(&under)?;
            let spec = only(&answer, kind.members().unwrap_or_default());
            match spec.is_empty() {
                true => Objects::new(),
                false => Objects::from([(String::new(), spec)]),
            }
        }
        Kind::TrustDomain | Kind::Admin => {
            let listed = list(&kind.plural().replace('-', "_"), "name")?.into_iter();
            let known = kind.members().unwrap_or_default();
            listed
                .map(|(name, one)| (name, only(&one, known)))
                .collect()
        }
        Kind::Anchor => {
            let mut listed = list("anchors", "name")?;
            listed.retain(|(name, _)| !name.starts_with(OF_FEDERATION));
            document(listed, "anchor")
        }
        Kind::Attestor => document(list("attestors", "name")?, "attestor"),
        Kind::Egress => document(list("egress", "name")?, "egress"),
        Kind::Service => document(list("services", "name")?, "document"),
        Kind::Signal => document(list("signals", "name")?, "document"),
        Kind::Receiver => document(list("receivers", "name")?, "document"),
        Kind::Pin => {
            let known = kind.members().unwrap_or_default();
            let listed = list("pins", "name")?.into_iter();
            listed
                .map(|(issuer, one)| (format!("{issuer}/{}", text(&one, "pin")), only(&one, known)))
                .collect()
        }
        Kind::Rule => document(list("rules", "name")?, "rule"),
        Kind::Federation => federations(client, &path, list("federations", "trust_domain")?)?,
        Kind::Issuer => {
            let mut issuers = Objects::new();
            for (name, _) in list("issuers", "name")? {
                let told = client.get(&format!("{under}/{}", segment(&name)?))?;
                issuers.insert(name, object(told.get("document")));
            }
            issuers
        }
        Kind::Entry => entries(client, &under)?,
    })
}

/// The objects of a kind that have one of these names, and perhaps more.
pub(super) fn named(
    client: &Client,
    kind: Kind,
    tenant: &str,
    names: &[&Name],
) -> Result<Objects, Fault> {
    if kind != Kind::Entry || names.len() > MOST_SINGLY {
        return all(client, kind, tenant);
    }
    let mut there = Objects::new();
    for name in names {
        match client.get(&one(name)?) {
            Ok(entry) => {
                let spec = only(&entry, kind.members().unwrap_or_default());
                there.insert(name.name.clone(), spec);
            }
            Err(fault) if is_unknown(&fault) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(there)
}

/// The address of all objects that are like this one.
pub(super) fn under(name: &Name) -> Result<String, Fault> {
    let tenant = segment(&name.tenant)?;
    Ok(format!("/v1/tenants/{tenant}/{}", name.kind.plural()))
}

/// The address of one object.
pub(super) fn one(name: &Name) -> Result<String, Fault> {
    match (name.kind, name.name.split_once('/')) {
        (Kind::Pin, Some((issuer, pin))) => {
            let tenant = segment(&name.tenant)?;
            let issuer = segment(issuer)?;
            Ok(format!("/v1/tenants/{tenant}/issuers/{issuer}/pins/{pin}"))
        }
        _ => Ok(format!("{}/{}", under(name)?, segment(&name.name)?)),
    }
}

/// Whether a server says that there is no such thing.
pub(super) fn is_unknown(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(why) if why.code == "issue.object_unknown")
}

/// The bundle that a relation has now goes with it: without one, an endpoint that shows an X.509-SVID
/// of its own trust domain could not be believed the first time.
fn federations(
    client: &Client,
    path: &str,
    listed: Vec<(String, Value)>,
) -> Result<Objects, Fault> {
    if listed.is_empty() {
        return Ok(Objects::new());
    }
    let anchors = client.get(&format!("{path}/anchors"))?;
    let bundle = |relation: &Value| {
        let name = relation.get("anchor")?;
        let mut anchors = list_of(&anchors, "anchors").iter();
        let anchor = anchors.find(|anchor| anchor.get("name") == Some(name))?;
        anchor.get("anchor")?.get("bundle").cloned()
    };
    let known = Kind::Federation.members().unwrap_or_default();
    let named = listed.into_iter().map(|(name, relation)| {
        let mut spec = only(&relation, known);
        if let Some(bundle) = bundle(&relation) {
            spec.insert("bundle".to_owned(), bundle);
        }
        (name, spec)
    });
    Ok(named.collect())
}

fn entries(client: &Client, under: &str) -> Result<Objects, Fault> {
    let known = Kind::Entry.members().unwrap_or_default();
    let mut entries = Objects::new();
    let mut after = String::new();
    loop {
        let page = client.get(&format!("{under}?limit={PAGE}{after}"))?;
        let listed = list_of(&page, "entries").iter();
        entries.extend(listed.map(|entry| (text(entry, "id"), only(entry, known))));
        let Some(next) = page.get("next").and_then(Value::as_str) else {
            return Ok(entries);
        };
        after = format!("&after={}", segment(next)?);
    }
}

fn only(value: &Value, known: &[&str]) -> Map<String, Value> {
    let mut object = object(Some(value));
    object.retain(|name, value| known.contains(&name.as_str()) && !value.is_null());
    object
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

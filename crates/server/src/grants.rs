//! What a registration entry gives: its identity, or the one that facts make of it.
//!
//! A node sends the facts of a workload; the identity is made of them here. So a node that is in the
//! wrong hands can choose among what its entries can ever become ([`bounds`]) and nothing else, and
//! facts of the node itself are those that were told when it was attested, whatever it says now.

use std::collections::BTreeSet;
use std::ops::Bound;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::template::{IdTemplate, Malformed, NameTemplate, Place, Unfilled, Whose};
use avouch_core::time::Time;
use avouch_issuer::profile::check_dns_name;
use avouch_store::{Entry, EntryId, NodeId, Selector, Snapshot};

use crate::nodes::Admitted;
use crate::plane::RESERVED;
use crate::tenant::Tenant;

/// The most facts of one workload that are looked at.
const MOST_FACTS: usize = 256;

/// What an entry gives one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) id: SpiffeId,
    pub(crate) dns_names: Vec<String>,
    pub(crate) x509_ttl: Option<u32>,
    pub(crate) jwt_ttl: Option<u32>,
    /// When it ends, if it does: nothing that is given by it is to outlive that.
    pub(crate) ends: Option<Time>,
}

impl Granted {
    /// For how many seconds more, if it ends.
    pub(crate) fn left(&self, now: Time) -> Option<i64> {
        self.ends.map(|end| end.since(now))
    }

    /// What `entry` gives a workload with these facts on a node with those.
    ///
    /// # Errors
    ///
    /// `issue.entry_unfilled` for a place that cannot be filled, `issue.id_reserved`,
    /// `issue.dns_name_invalid`.
    pub(crate) fn of(entry: &Entry, node: &[String], facts: &[String]) -> Result<Self, Reason> {
        let extras = &entry.extras;
        let granted = |id, dns_names| Self {
            id,
            dns_names,
            x509_ttl: extras.x509_ttl,
            jwt_ttl: extras.jwt_ttl,
            ends: extras.expires,
        };
        if let (Some(id), false) = (entry.spiffe_id.fixed(), has_places(&extras.dns_names)) {
            return Ok(granted(id.clone(), extras.dns_names.clone()));
        }
        let unfilled = |place: &str, why: &str| Reason::IssueEntryUnfilled {
            entry: entry.id.to_string(),
            place: place.to_owned(),
            why: why.to_owned(),
        };
        let refuse = |one: Unfilled| unfilled(one.place(), one.why());
        if facts.len() > MOST_FACTS {
            return Err(unfilled("its workload", "has too many facts"));
        }
        // The entry may have changed since the node looked at it. Where the facts of the node are all that is
        // asked for, the node is told what the entry gives, and sends none of its workloads.
        let is_sent = !kinds(entry).is_empty();
        let mut selectors = entry.selectors.iter().filter(|_| is_sent);
        let lacks = selectors.find(|one| !facts.iter().any(|fact| fact == one.as_str()));
        if let Some(selector) = lacks {
            return Err(unfilled(selector.as_str(), "was not attested"));
        }
        let id = entry.spiffe_id.fill(Whose::Node, node).map_err(refuse)?;
        let id = id.fill(Whose::Workload, facts).map_err(refuse)?;
        let id = id.fixed().cloned();
        let id = id.ok_or_else(|| unfilled("its identity", "is still open"))?;
        check_reserved(&id)?;
        let mut dns_names = Vec::with_capacity(extras.dns_names.len());
        for text in &extras.dns_names {
            let name = NameTemplate::parse(text).map_err(|_| unfilled(text, "is no DNS name"))?;
            let name = name.fill(node, facts).map_err(refuse)?;
            check_dns_name(&name)?;
            dns_names.push(name);
        }
        Ok(granted(id, dns_names))
    }
}

/// The kinds of facts of a workload that an entry needs to be sent: none if it has no places.
pub(crate) fn kinds(entry: &Entry) -> Vec<String> {
    let of_workload = |place: &&Place| place.whose() == Whose::Workload;
    let mut kinds: Vec<String> = Vec::new();
    kinds.extend(
        entry
            .spiffe_id
            .places()
            .filter(of_workload)
            .map(kind_of_place),
    );
    for name in entry
        .extras
        .dns_names
        .iter()
        .filter(|name| name.contains('{'))
    {
        if let Ok(name) = NameTemplate::parse(name) {
            kinds.extend(name.places().filter(of_workload).map(kind_of_place));
        }
    }
    kinds.sort();
    kinds.dedup();
    kinds
}

fn kind_of_place(place: &Place) -> String {
    place.kind().to_owned()
}

fn has_places(dns_names: &[String]) -> bool {
    dns_names.iter().any(|name| name.contains('{'))
}

/// An identity that the tenant may register, or one with places.
pub(crate) fn check_identity(snapshot: &Snapshot, text: &str) -> Result<IdTemplate, Reason> {
    let identity = IdTemplate::parse(text).map_err(|what| malformed("spiffe_id", what))?;
    if !snapshot.trust_domains.contains_key(identity.trust_domain()) {
        let own = snapshot.trust_domains.keys().map(|name| name.as_str());
        let own: Vec<&str> = own.take(5).collect();
        return Err(Reason::IssueIdOutside {
            id: identity.to_string(),
            trust_domain: own.join(", "),
        });
    }
    if let Some(id) = identity.fixed()
        && id.path().is_empty()
    {
        return Err(Reason::LeafIdWithoutPath { id: id.to_string() });
    }
    if identity.first_segment() == Some(RESERVED) {
        return Err(Reason::IssueIdReserved {
            id: identity.to_string(),
        });
    }
    Ok(identity)
}

/// A DNS name, or one with places.
pub(crate) fn check_name(text: &str) -> Result<(), Reason> {
    if !text.contains(['{', '}']) {
        return check_dns_name(text);
    }
    let name = NameTemplate::parse(text).map_err(|what| malformed("dns_names", what))?;
    check_dns_name(&name.probe())
}

fn check_reserved(id: &SpiffeId) -> Result<(), Reason> {
    if id.segments().next() == Some(RESERVED) {
        return Err(Reason::IssueIdReserved { id: id.to_string() });
    }
    Ok(())
}

fn malformed(member: &str, what: Malformed) -> Reason {
    match what {
        Malformed::Id(reason) => *reason,
        Malformed::Template(detail) => Reason::IssueObjectMalformed {
            object: "registration entry",
            member: member.to_owned(),
            detail,
        },
    }
}

/// What was attested of a node, and its name.
pub(crate) fn node_facts(node: &Admitted) -> Vec<String> {
    texts_of_node(&node.id, &node.facts)
}

/// What is known of a node, and its name, as texts.
pub(crate) fn texts_of_node(node: &SpiffeId, known: &BTreeSet<Selector>) -> Vec<String> {
    let mut texts: Vec<String> = known.iter().map(ToString::to_string).collect();
    texts.extend(node.segments().last().map(|name| format!("name:{name}")));
    texts
}

/// What was attested of a node of this tenant; `None` if it has none of this identity.
fn facts_of(tenant: &Tenant, node: &SpiffeId) -> Option<BTreeSet<Selector>> {
    let name = NodeId::parse(node.segments().last()?)?;
    tenant.read(|snapshot| {
        let record = snapshot.nodes.get(&name)?;
        (record.spiffe_id == *node).then(|| record.facts.iter().cloned().collect())
    })
}

/// Which identities are asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Those that this node could ever get; any node if none.
    pub(crate) node: Option<SpiffeId>,
    /// Whether this is one of them; all if none.
    pub(crate) could: Option<SpiffeId>,
    /// After which entry.
    pub(crate) after: Option<EntryId>,
    pub(crate) limit: usize,
}

/// All that one entry can ever give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryBound {
    pub(crate) entry: EntryId,
    /// The identity, with what the node and the selectors of the entry say already filled in.
    pub(crate) identity: IdTemplate,
    pub(crate) for_node: Option<SpiffeId>,
    pub(crate) ends: Option<Time>,
}

/// All that entries of a tenant can ever give a node, by the names of the entries; and whether there
/// are more. No workload, and no agent that lies, gets anything outside of it without a change of
/// the entries. The tenants above and below have entries of their own.
pub(crate) fn bounds(tenant: &Tenant, asked: &Asked) -> (Vec<EntryBound>, bool) {
    // Of a node of another tenant nothing is told here, so its facts could be any.
    let node = asked.node.as_ref();
    let facts = node.and_then(|node| facts_of(tenant, node));
    let node = node.zip(facts.as_ref()).map(|(node, known)| Known {
        facts: known,
        texts: texts_of_node(node, known),
    });
    tenant.read(|snapshot| {
        let after = match &asked.after {
            Some(after) => Bound::Excluded(after.clone()),
            None => Bound::Unbounded,
        };
        let entries = snapshot.entries.range((after, Bound::Unbounded));
        let bounds = entries.filter_map(|(_, entry)| bound(entry, asked, node.as_ref()));
        let mut bounds: Vec<EntryBound> = bounds.take(asked.limit.saturating_add(1)).collect();
        let has_more = bounds.len() > asked.limit;
        bounds.truncate(asked.limit);
        (bounds, has_more)
    })
}

/// A node of the tenant.
struct Known<'a> {
    facts: &'a BTreeSet<Selector>,
    texts: Vec<String>,
}

fn bound(entry: &Entry, asked: &Asked, known: Option<&Known<'_>>) -> Option<EntryBound> {
    let parent = entry.parent.as_ref();
    if let (Some(node), Some(parent)) = (&asked.node, parent)
        && node != parent
    {
        return None;
    }
    let identity = match known {
        Some(node) => {
            let mut wanted = entry.extras.node_selectors.iter();
            if !wanted.all(|one| node.facts.contains(one)) {
                return None;
            }
            // A place that this node does not fill is one that is never filled on it.
            entry.spiffe_id.fill(Whose::Node, &node.texts).ok()?
        }
        None => entry.spiffe_id.clone(),
    };
    let selectors: Vec<&str> = entry.selectors.iter().map(|one| one.as_str()).collect();
    let identity = identity.narrowed(Whose::Workload, &selectors);
    if let Some(could) = &asked.could
        && !(identity.admits(could) && check_reserved(could).is_ok())
    {
        return None;
    }
    Some(EntryBound {
        entry: entry.id.clone(),
        identity,
        for_node: parent.cloned(),
        ends: entry.extras.expires,
    })
}

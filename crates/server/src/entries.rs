//! Registration entries: checked when they are written, not when a workload waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::id::{SpiffeId, TrustDomain, hex};
use avouch_core::reason::{Reason, printable};
use avouch_core::template::Whose;
use avouch_core::time::Time;
use avouch_issuer::random::Random;
use avouch_store::{Change, Entry, EntryExtras, EntryId, Extras, Object, Selector, Snapshot};

use crate::dry_run;
use crate::fault::{Refused, misnamed, unknown};
use crate::grants::{check_identity, check_name};
use crate::issuing::Answers;
use crate::plane::{Plane, RESERVED};
use crate::quotas::{Bounded, Workloads};
use crate::tenant::Tenant;

/// The longest hint in bytes (SPIFFE Workload API 5.2.1).
const MOST_HINT_BYTES: usize = 1_024;

/// The most elements of one list of an entry: more would be a table of its own.
const MOST_ELEMENTS: usize = 256;

/// A registration entry as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryDraft {
    /// Its name; a new one if none.
    pub id: Option<String>,
    /// The identity, or one with places for facts of the workload, such as
    /// `spiffe://example.org/ns/{k8s.ns}`.
    pub spiffe_id: String,
    /// The node whose workloads it is for; every node if none.
    pub parent: Option<String>,
    /// All that must have been attested of a node; nothing if empty.
    pub node_selectors: Vec<String>,
    /// All that must be attested of a workload: at least one, unless the identity has places.
    pub selectors: Vec<String>,
    /// DNS names to put in X.509-SVIDs, with places too.
    pub dns_names: Vec<String>,
    /// Trust domains whose bundles the workload gets as well.
    pub federates_with: Vec<String>,
    /// What tells several identities of one workload apart.
    pub hint: String,
    /// How long X.509- and WIT-SVIDs are valid, in seconds.
    pub x509_ttl: Option<u32>,
    /// How long JWT-SVIDs are valid, in seconds.
    pub jwt_ttl: Option<u32>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Until when.
    pub expires: Option<Time>,
}

/// What bounds the entries of a tenant from above.
struct Bounds {
    /// The trust domains of nodes that may serve it.
    nodes_of: BTreeSet<TrustDomain>,
    workloads: Workloads,
}

/// What becomes of an entry whose name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The one that is there stays, and the new one is refused.
    Refuse,
    /// The new one takes its place.
    Replace,
}

impl Plane {
    /// Stores entries: those that are in order, with one commit. An entry of the same name is
    /// replaced.
    ///
    /// # Errors
    ///
    /// What failed on our side; what is wrong with an element is its own answer.
    pub fn put_entries(
        &self,
        tenant: &Arc<Tenant>,
        drafts: Vec<EntryDraft>,
    ) -> Result<Answers<Entry>, Refused> {
        self.store_entries(tenant, drafts, Existing::Replace)
    }

    /// Stores entries: those that are in order, with one commit.
    ///
    /// # Errors
    ///
    /// What failed on our side; what is wrong with an element is its own answer.
    pub fn store_entries(
        &self,
        tenant: &Arc<Tenant>,
        drafts: Vec<EntryDraft>,
        existing: Existing,
    ) -> Result<Answers<Entry>, Refused> {
        // New names are not taken; only who chose one may meet another who chose it too.
        let may_meet =
            existing == Existing::Refuse && drafts.iter().any(|draft| draft.id.is_some());
        // What there is room for is counted, so nothing else may change meanwhile.
        let may_meet = may_meet || self.room(tenant, Bounded::Entries)?.is_some();
        let worked_out = || self.worked_out(tenant, &drafts, existing);
        if !may_meet {
            let (answers, changes) = worked_out()?;
            if changes.is_empty() {
                return Ok(answers);
            }
            // Someone may have set a bound just now.
            if self.bounds_of(tenant, &changes).is_empty() {
                return match self.apply(tenant, &changes) {
                    // Each has its own answer, also where none is stored.
                    Err(refused) if !dry_run::has_ended_well(&refused) => Err(refused),
                    Ok(_) | Err(_) => Ok(answers),
                };
            }
        }
        self.settle_entries(tenant, worked_out)
    }

    /// Puts an entry if what has its name meets what is asked of it: nothing else is stored in between.
    ///
    /// # Errors
    ///
    /// `issue.precondition_failed`, or what failed on our side; what is wrong with the entry is its answer.
    pub fn put_entry_if(
        &self,
        tenant: &Arc<Tenant>,
        draft: &EntryDraft,
        meets: impl Fn(Option<&Entry>) -> bool,
    ) -> Result<Answers<Entry>, Refused> {
        let name = draft.id.as_deref().unwrap_or_default();
        self.settle_entries(tenant, || {
            let id = EntryId::parse(name);
            let is_met = tenant.read(|snapshot| {
                let there = id.as_ref().and_then(|id| snapshot.entries.get(id));
                let there = there.map(AsRef::as_ref);
                meets(there)
            });
            match is_met {
                true => self.worked_out(tenant, std::slice::from_ref(draft), Existing::Replace),
                false => Err(Reason::IssuePreconditionFailed {
                    object: "registration entry",
                    name: printable(name),
                }
                .into()),
            }
        })
    }

    /// The answer for each, and the changes of those that are in order.
    fn worked_out(
        &self,
        tenant: &Arc<Tenant>,
        drafts: &[EntryDraft],
        existing: Existing,
    ) -> Result<(Answers<Entry>, Vec<Change>), Refused> {
        let answers = self.check_all(tenant, drafts, existing)?;
        let accepted = answers.iter().flatten().cloned();
        let put = accepted.map(|entry| Change::Put(Object::Entry(entry)));
        let changes = put.collect();
        Ok((answers, changes))
    }

    /// Stores entries that may meet others. Those who store something on this server have their turns, so only
    /// another one can be faster.
    fn settle_entries(
        &self,
        tenant: &Arc<Tenant>,
        mut worked_out: impl FnMut() -> Result<(Answers<Entry>, Vec<Change>), Refused>,
    ) -> Result<Answers<Entry>, Refused> {
        let mut told = None;
        let settled = self.settle(tenant, || {
            let (answers, changes) = worked_out()?;
            told = Some(answers.clone());
            Ok((answers, changes))
        });
        match settled {
            // Each has its own answer, also where none is stored.
            Err(refused) if dry_run::has_ended_well(&refused) => told.ok_or(refused),
            // Others have taken the room meanwhile, on another server: now it is seen how much, and each element
            // is told for itself.
            Err(refused) if refused.is_quota() => {
                self.follow_store()?;
                self.settle(tenant, worked_out)
            }
            settled => settled,
        }
    }

    fn check_all(
        &self,
        tenant: &Arc<Tenant>,
        drafts: &[EntryDraft],
        existing: Existing,
    ) -> Result<Answers<Entry>, Refused> {
        let now = self.now();
        let mut room = self.room(tenant, Bounded::Entries)?;
        let bounds = Bounds {
            nodes_of: self.domains_of_nodes(tenant),
            workloads: self.workloads_of(tenant),
        };
        let mut seen = BTreeSet::new();
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let name = match &draft.id {
                Some(id) => EntryId::parse(id).ok_or_else(|| misnamed("registration entry", "id")),
                None => Ok(self.new_entry_id()?),
            };
            let answer = tenant.read(|snapshot| {
                let name = name?;
                let taken = snapshot.entries.contains_key(&name);
                if existing == Existing::Refuse && (taken || seen.contains(&name)) {
                    return Err(Reason::IssueConflict {
                        detail: format!("there is a registration entry `{name}` already"),
                    });
                }
                let is_new = !taken && !seen.contains(&name);
                let entry = self.checked(snapshot, &bounds, name, draft.clone(), now)?;
                if let Some(room) = room.as_mut().filter(|_| is_new) {
                    room.take()?;
                }
                seen.insert(entry.id.clone());
                Ok(entry)
            });
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Removes entries, with one commit.
    ///
    /// # Errors
    ///
    /// What failed on our side; a name that is not there is its own answer.
    pub fn remove_entries(
        &self,
        tenant: &Arc<Tenant>,
        names: &[String],
    ) -> Result<Answers<EntryId>, Refused> {
        let found = names.iter().map(|name| {
            let id = EntryId::parse(name);
            let there = id.filter(|id| tenant.read(|snapshot| snapshot.entries.contains_key(id)));
            there.ok_or_else(|| unknown("registration entry", name))
        });
        let answers: Answers<EntryId> = found.collect();
        let removed: Vec<EntryId> = answers.iter().flatten().cloned().collect();
        if removed.is_empty() {
            return Ok(answers);
        }
        match self.remove_registrations(tenant, &removed) {
            Err(refused) if !dry_run::has_ended_well(&refused) => Err(refused),
            Ok(()) | Err(_) => Ok(answers),
        }
    }

    fn new_entry_id(&self) -> Result<EntryId, Refused> {
        let mut bytes = [0_u8; 10];
        self.random.fill(&mut bytes)?;
        EntryId::parse(&hex(&bytes))
            .ok_or_else(|| crate::Fault::Bug("a new name is no name".to_owned()).into())
    }

    /// The trust domains of nodes that may serve a tenant: its own, and those of the tenants above.
    fn domains_of_nodes(&self, tenant: &Arc<Tenant>) -> BTreeSet<TrustDomain> {
        let own = |tenant: Arc<Tenant>| {
            tenant.read(|snapshot| snapshot.trust_domains.keys().cloned().collect::<Vec<_>>())
        };
        self.with_all_above(tenant).flat_map(own).collect()
    }

    fn checked(
        &self,
        snapshot: &Snapshot,
        bounds: &Bounds,
        id: EntryId,
        draft: EntryDraft,
        now: Time,
    ) -> Result<Entry, Reason> {
        let spiffe_id = check_identity(snapshot, &draft.spiffe_id)?;
        let parent = draft.parent.as_deref();
        let parent = parent
            .map(|node| check_node(&bounds.nodes_of, node))
            .transpose()?;
        check_count("dns_names", draft.dns_names.len())?;
        check_count("federates_with", draft.federates_with.len())?;
        // A place of a workload's fact is a condition, too: who does not have it gets nothing.
        let is_conditional = spiffe_id.places().any(|one| one.whose() == Whose::Workload);
        if draft.selectors.is_empty() && !is_conditional {
            let detail = "none is given, so no workload would ever get this identity";
            return Err(malformed("selectors", detail));
        }
        const ENTRY: &str = "registration entry";
        let node_selectors = read_selectors(ENTRY, "node_selectors", &draft.node_selectors)?;
        let selectors = read_selectors(ENTRY, "selectors", &draft.selectors)?;
        if !bounds.workloads.admit(&selectors) {
            let named = bounds.workloads.named();
            let detail = format!("who administers a tenant above lets this one ask for {named}");
            return Err(malformed("selectors", &detail));
        }
        for name in &draft.dns_names {
            check_name(name)?;
        }
        let domains = draft.federates_with.iter();
        let federates_with = domains
            .map(|name| TrustDomain::parse(name))
            .collect::<Result<Vec<_>, _>>()?;
        // It is the time of both, and is judged now for both.
        self.settings.x509.lifetime.choose(draft.x509_ttl)?;
        self.settings.wit.lifetime.choose(draft.x509_ttl)?;
        self.settings.jwt.lifetime.choose(draft.jwt_ttl)?;
        check_words("hint", &draft.hint, MOST_HINT_BYTES)?;
        for (member, words) in [("owner", &draft.owner), ("purpose", &draft.purpose)] {
            check_words(member, words.as_deref().unwrap_or_default(), 1_024)?;
        }
        if draft.expires.is_some_and(|expires| expires <= now) {
            return Err(malformed("expires", "it lies in the past"));
        }
        let there = snapshot.entries.get(&id);
        // What was given for what it asked for before was not given for what it asks for now.
        let asks_since = there.and_then(|there| {
            let is_same = there.spiffe_id == spiffe_id
                && there.parent == parent
                && *there.selectors == *selectors
                && there.extras.node_selectors == node_selectors;
            if is_same {
                there.extras.asks_since
            } else {
                Some(now)
            }
        });
        Ok(Entry {
            created: there.map_or(now, |there| there.created),
            id,
            spiffe_id,
            parent,
            selectors: selectors.into(),
            extras: Extras::from(EntryExtras {
                node_selectors,
                dns_names: draft.dns_names,
                federates_with,
                hint: draft.hint,
                x509_ttl: draft.x509_ttl,
                jwt_ttl: draft.jwt_ttl,
                owner: draft.owner,
                purpose: draft.purpose,
                expires: draft.expires,
                asks_since,
            }),
        })
    }
}

/// A node that may serve the tenant. It need not have joined yet; but one of another tenant, or what
/// is no name of a node, would never serve the entry, and nobody would notice.
fn check_node(nodes_of: &BTreeSet<TrustDomain>, text: &str) -> Result<SpiffeId, Reason> {
    let id = SpiffeId::parse(text)?;
    let segments: Vec<&str> = id.segments().collect();
    let is_node = matches!(segments.as_slice(), [RESERVED, "node", _]);
    if is_node && nodes_of.contains(id.trust_domain()) {
        return Ok(id);
    }
    let text: String = text.chars().take(256).collect();
    let detail = format!(
        "`{text}` is no node of this tenant or one above it, which `avouch node list` shows as \
         `spiffe://<trust domain>/{RESERVED}/node/<name>`"
    );
    Err(malformed("parent", &detail))
}

pub(crate) fn read_selectors(
    object: &'static str,
    member: &str,
    texts: &[String],
) -> Result<Vec<Selector>, Reason> {
    if texts.len() > MOST_ELEMENTS {
        return Err(too_many(object, member, texts.len()));
    }
    let selectors = texts.iter().map(|text| {
        Selector::parse(text).ok_or_else(|| {
            let text: String = text.escape_debug().take(128).collect();
            let detail = "is not a type, a colon and a value, as `unix:uid:1000`";
            Reason::IssueObjectMalformed {
                object,
                member: member.to_owned(),
                detail: format!("`{text}` {detail}"),
            }
        })
    });
    selectors.collect()
}

fn check_count(member: &str, count: usize) -> Result<(), Reason> {
    if count <= MOST_ELEMENTS {
        return Ok(());
    }
    Err(too_many("registration entry", member, count))
}

fn too_many(object: &'static str, member: &str, count: usize) -> Reason {
    Reason::IssueObjectMalformed {
        object,
        member: member.to_owned(),
        detail: format!("{count} are given, and at most {MOST_ELEMENTS} are taken"),
    }
}

fn check_words(member: &str, words: &str, most: usize) -> Result<(), Reason> {
    if words.len() > most {
        return Err(malformed(
            member,
            &format!("it is longer than {most} bytes"),
        ));
    }
    if words.chars().any(char::is_control) {
        return Err(malformed(member, "it has control characters"));
    }
    Ok(())
}

fn malformed(member: &str, detail: &str) -> Reason {
    Reason::IssueObjectMalformed {
        object: "registration entry",
        member: member.to_owned(),
        detail: detail.to_owned(),
    }
}

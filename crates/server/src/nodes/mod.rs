//! Nodes: how they join, who they are, and what each of them holds already.

pub(crate) mod attestation;
mod presences;
mod renewals;
pub(crate) mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::BACKDATE;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::random::Mark;
use avouch_issuer::signing_request::SigningRequest;
use avouch_issuer::x509_svid::X509Request;
use avouch_store::{Change, Entry, Key, NodeId, NodeRecord, Object, Selector};

use crate::caller::Caller;
use crate::fault::{Fault, Refused, unknown};
use crate::plane::{KnownTenant, Plane, RESERVED};
use crate::reach::Reach;
use crate::tenant::Tenant;

pub(crate) use attestation::{Known, RefusedNode, RefusedNodes, ToldOfRefused};
pub use attestation::{Opened, Sealing};
pub(crate) use presences::Presences;
pub(crate) use renewals::Renewals;
use renewals::{Asking, Half, How};
pub use tokens::JoinToken;

/// How often a node is banned anew because something else of its tenant has changed meanwhile.
const MOST_ATTEMPTS: usize = 8;

/// A node that is known and not banned.
#[derive(Clone)]
pub struct Admitted {
    /// Its tenant: it serves that one and all below it.
    pub(crate) tenant: Arc<Tenant>,
    /// Who it is.
    pub(crate) id: SpiffeId,
    /// What was attested of it when it joined.
    pub(crate) facts: Arc<BTreeSet<Selector>>,
    /// Which of all that had or get its name it is.
    which: Which,
    /// What it has shown.
    shown: Option<Half>,
}

/// By what one of those that have the same name, one after the other, is told from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Which {
    /// One that joined under a former version has none, and a server of that version forgets it with the
    /// next thing that it stores of the node.
    mark: Option<Mark>,
    /// From when on what was issued under its name is its own: where there is no mark to tell it by, and
    /// for servers of former versions on the same store. The first versions had no such bound.
    since: Option<Time>,
}

impl Which {
    fn of(record: &NodeRecord) -> Self {
        Self {
            mark: record.mark.map(Mark::from_number),
            since: record.since,
        }
    }

    /// Who joins now, in the place of whoever has the name: from the next second, since what was issued in
    /// this one may be of that one.
    fn joining(mark: Mark, now: Time) -> Self {
        Self {
            mark: Some(mark),
            since: Some(now.plus(1)),
        }
    }

    /// Who has shown now that it is this one: it stays who it is. What it lacks since it joined, or was
    /// stored, under a former version, it gets.
    fn rejoining(
        self,
        mark: impl FnOnce() -> Result<Mark, Fault>,
        now: Time,
    ) -> Result<Self, Fault> {
        let mark = match self.mark {
            Some(mark) => mark,
            None => mark()?,
        };
        Ok(Self {
            since: self.since.or(Self::joining(mark, now).since),
            mark: Some(mark),
        })
    }

    /// Whether it is the one that calls, by its certificate.
    fn is(self, caller: &Caller) -> bool {
        if let (Some(own), Some(shown)) = (self.mark, caller.mark) {
            return own == shown;
        }
        // Whoever had the name before has a certificate of it, too. What a server of a former version has
        // issued is told from that by the second, as those do it.
        let issued = caller.valid_from.map(|from| from.plus(BACKDATE));
        match self.since {
            Some(since) => issued.is_some_and(|issued| issued >= since),
            None => self.mark.is_none(),
        }
    }

    /// When a certificate of it is issued at the earliest: not before it joined, also where the clock of
    /// this server is behind. One that has a mark need not wait for where a clock was far ahead.
    fn issued_at(self, now: Time) -> Time {
        match self.since {
            Some(since) if self.mark.is_some() && since > now.plus(BACKDATE) => now,
            Some(since) => now.max(since),
            None => now,
        }
    }
}

impl Admitted {
    /// Who it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Whether an entry is for its workloads.
    pub(crate) fn serves(&self, entry: &Entry) -> bool {
        Reach::of(Some(entry)).includes(&self.id)
            && entry
                .extras
                .node_selectors
                .iter()
                .all(|one| self.facts.contains(one))
    }
}

/// The identity that a node gets.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Who it is.
    pub id: SpiffeId,
    /// Its X.509-SVID and the intermediates above it, as DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Plane {
    /// The next X.509-SVID of a node.
    ///
    /// # Errors
    ///
    /// Those of a signing request, `issue.tpm_node_key_kept`, `issue.node_renews_too_often`,
    /// `issue.node_not_admitted` if it has just been sent away, or what failed on our side.
    pub fn renew(&self, node: &Admitted, signing_request: &[u8]) -> Result<Membership, Refused> {
        let public_half = SigningRequest::read(signing_request)?.for_svid(&node.id, &[])?;
        // A key in a TPM is why the node is believed, so no other one takes its place unseen.
        if attestation::leaves_its_key(&node.facts, public_half.info()) {
            let node = node.id.to_string();
            return Err(Reason::IssueTpmNodeKeyKept { node }.into());
        }
        let asking = Asking {
            node: node.id.clone(),
            which: node.which,
            how: How::Renews,
        };
        self.admit_renewal(&node.tenant, asking, node.shown.as_ref())?;
        let renewed = self.sign_node(&node.tenant, &node.id, public_half, node.which)?;
        // It may have been sent away while this was signed, and another have taken its name: that is who
        // is asked about from now on.
        match known(&node.tenant, &node.id) {
            Some(record) if record.banned.is_none() && Which::of(&record) == node.which => {
                Ok(renewed)
            }
            Some(_) | None => Err(Reason::IssueNodeNotAdmitted {
                node: node.id.to_string(),
                detail: "it was sent away",
            }
            .into()),
        }
    }

    /// The node that calls, if it may.
    ///
    /// # Errors
    ///
    /// `issue.node_not_admitted`, or what failed on our side.
    pub fn admit(&self, caller: &Caller) -> Result<Admitted, Refused> {
        let refuse = |detail| Reason::IssueNodeNotAdmitted {
            node: caller.id.to_string(),
            detail,
        };
        if caller.valid_until <= self.now() {
            return Err(refuse("the X.509-SVID it called with has expired").into());
        }
        let tenant = self.tenant(&caller.tenant)?;
        let tenant = tenant.ok_or_else(|| refuse("it is not known here"))?;
        let found = known(&tenant, &caller.id);
        let record = found.ok_or_else(|| refuse("it is not known here"))?;
        if record.banned.is_some() {
            return Err(refuse("it is banned").into());
        }
        let which = Which::of(&record);
        if !which.is(caller) {
            return Err(refuse("another has joined under its name since").into());
        }
        self.fit(&tenant)?;
        Ok(Admitted {
            tenant,
            id: caller.id.clone(),
            facts: Arc::new(record.facts.into_iter().collect()),
            which,
            shown: Half::of(caller),
        })
    }

    /// What was attested of a node that serves a tenant; `None` if there is none of this identity.
    pub(crate) fn facts_of(
        &self,
        tenant: &Arc<Tenant>,
        node: &SpiffeId,
    ) -> Option<BTreeSet<Selector>> {
        let facts = |tenant: Arc<Tenant>| {
            tenant.read(|snapshot| {
                let name = NodeId::parse(node.segments().last()?)?;
                let record = snapshot.nodes.get(&name)?;
                (record.spiffe_id == *node).then(|| record.facts.iter().cloned().collect())
            })
        };
        let mut above = self.with_all_above(tenant);
        above.find_map(facts)
    }

    /// Bans a node, or lets it come back.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn set_banned(
        &self,
        tenant: &Arc<Tenant>,
        node: &str,
        banned: bool,
    ) -> Result<NodeRecord, Refused> {
        // Who has joined under its name meanwhile, or that it was evicted, is not undone.
        self.settle(tenant, || {
            let mut record = find(tenant, node)?;
            if record.banned.is_some() == banned {
                return Ok((record, Vec::new()));
            }
            record.banned = banned.then(|| self.now());
            let put = vec![Change::Put(Object::Node(record.clone()))];
            Ok((record, put))
        })
    }

    /// Bans a node of a tenant of which something else may not be readable here: then nothing but the
    /// record of the node is read, and it is stored if nothing has changed meanwhile.
    pub(crate) fn ban(&self, known: &Arc<KnownTenant>, node: &str) -> Result<NodeRecord, Refused> {
        match self.open_known(known) {
            Ok(Some(tenant)) if self.fit(&tenant).is_ok() => {
                return self.set_banned(&tenant, node, true);
            }
            Ok(_) => {}
            Err(fault) if fault.is_damage() => {}
            Err(fault) => return Err(fault.into()),
        }
        let unknown = || unknown("node", node);
        let id = NodeId::parse(node).ok_or_else(unknown)?;
        let mut last = None;
        for _ in 0..MOST_ATTEMPTS {
            let found = self.stored_object(known, &Key::Node(id.clone()))?;
            let Some((at, Object::Node(mut record))) = found else {
                return Err(unknown().into());
            };
            if record.banned.is_some() {
                return Ok(record);
            }
            record.banned = Some(self.now());
            let put = [Change::Put(Object::Node(record.clone()))];
            match self.apply_unread(known, at, &put) {
                Ok(()) => return Ok(record),
                Err(refused) if refused.is_conflict() => last = Some(refused),
                Err(refused) => return Err(refused),
            }
        }
        Err(last.unwrap_or_else(|| unknown().into()))
    }

    /// Forgets a node: it gets nothing until it joins again.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn evict(&self, tenant: &Arc<Tenant>, node: &str) -> Result<(), Refused> {
        let record = find(tenant, node)?;
        self.apply(tenant, &[Change::Remove(Key::Node(record.id))])?;
        Ok(())
    }

    fn sign_node(
        &self,
        tenant: &Arc<Tenant>,
        id: &SpiffeId,
        public_half: PublicHalf,
        which: Which,
    ) -> Result<Membership, Refused> {
        let request = X509Request {
            id: id.clone(),
            public_half,
            ttl: Some(self.settings.node_ttl),
            dns_names: Vec::new(),
            mark: which.mark,
        };
        let svid = self.sign_x509_at(tenant, request, which.issued_at(self.now()))?;
        Ok(Membership {
            id: svid.id,
            certificates: svid.chain,
        })
    }
}

/// The ID of a node of this name, in the first trust domain of its tenant.
fn node_id(tenant: &Tenant, node: &NodeId) -> Result<SpiffeId, Reason> {
    let domain = tenant
        .first_trust_domain()
        .ok_or_else(|| Reason::IssueConflict {
            detail: format!(
                "the tenant `{0}` has no trust domain yet that a node could be of; make one first: `avouch \
                 trust-domain create NAME --tenant {0}`",
                tenant.id()
            ),
        })?;
    // The ID is checked as any other, so a node of the name `..` is refused here.
    SpiffeId::parse(&format!("spiffe://{domain}/{RESERVED}/node/{node}"))
}

/// The node of a tenant that has this identity.
fn known(tenant: &Tenant, id: &SpiffeId) -> Option<NodeRecord> {
    let name = NodeId::parse(id.segments().last()?)?;
    let found = tenant.read(|snapshot| snapshot.nodes.get(&name).cloned());
    found.filter(|record| record.spiffe_id == *id)
}

/// What is told who joins when another was faster.
fn meanwhile(node: &SpiffeId) -> Reason {
    let detail = format!("`{node}` has joined or was evicted meanwhile");
    Reason::IssueConflict { detail }
}

/// A node of a tenant by what may be its name.
pub(crate) fn find(tenant: &Tenant, node: &str) -> Result<NodeRecord, Reason> {
    let found = NodeId::parse(node);
    let found = found.and_then(|id| tenant.read(|snapshot| snapshot.nodes.get(&id).cloned()));
    found.ok_or_else(|| unknown("node", node))
}

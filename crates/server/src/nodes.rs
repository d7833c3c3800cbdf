//! Nodes: how they join, who they are, and what each of them holds already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_core::id::{Digest, SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::random::Random;
use avouch_issuer::x509_svid::X509Request;
use avouch_store::{
    Change, Entry, JoinTokenId, JoinTokenRecord, NodeId, NodeRecord, Object, Sequence,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::fault::{Fault, Refused};
use crate::plane::{Plane, RESERVED};
use crate::tenant::Tenant;

/// How often a join is tried anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 16;

/// Random bytes of a join token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// A node that is known and not banned.
#[derive(Clone)]
pub struct Admitted {
    /// Its tenant: it serves that one and all below it.
    pub(crate) tenant: Arc<Tenant>,
    /// Who it is.
    pub(crate) id: SpiffeId,
}

impl Admitted {
    /// Who it is.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Whether an entry is for its workloads.
    pub(crate) fn serves(&self, entry: &Entry) -> bool {
        entry
            .parent
            .as_ref()
            .is_none_or(|parent| *parent == self.id)
    }
}

/// A join token as it is shown, once.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// What the agent is given.
    pub token: Zeroizing<String>,
    /// Who it will be.
    pub spiffe_id: SpiffeId,
    /// Until when it can be used.
    pub expires: Time,
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
    /// Makes a token with which one node of this name may join once, within `ttl` seconds.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed` for what is no name, `issue.object_unknown` for a tenant without a
    /// trust domain, or what failed on our side.
    pub fn new_join_token(
        &self,
        tenant: &Arc<Tenant>,
        node: &str,
        ttl: u32,
    ) -> Result<JoinToken, Refused> {
        let node = NodeId::parse(node).ok_or_else(|| Reason::IssueObjectMalformed {
            object: "join token",
            member: "node".to_owned(),
            detail: "a name is 1 to 128 letters, digits, `.`, `_` and `-`".to_owned(),
        })?;
        let domain = tenant.read(|snapshot| snapshot.trust_domains.keys().next().cloned());
        let domain = domain.ok_or_else(|| Reason::IssueObjectUnknown {
            object: "trust domain",
            name: format!("of {}", tenant.id()),
        })?;
        // The ID is checked as any other, so a node of the name `..` is refused here.
        let spiffe_id = SpiffeId::parse(&format!("spiffe://{domain}/{RESERVED}/node/{node}"))?;
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        self.random.fill(bytes.as_mut_slice())?;
        let secret = Base64UrlUnpadded::encode_string(bytes.as_slice());
        let token = Zeroizing::new(format!("{}.{secret}", tenant.id()));
        let now = self.now();
        let record = JoinTokenRecord {
            id: token_id(&token)?,
            node,
            spiffe_id: spiffe_id.clone(),
            created: now,
            expires: now.plus(i64::from(ttl)),
            used: None,
        };
        let expires = record.expires;
        self.apply(tenant, &[Change::Put(Object::JoinToken(record))])?;
        Ok(JoinToken {
            token,
            spiffe_id,
            expires,
        })
    }

    /// Lets the node join that a token was made for. The token is used up with the same change that
    /// makes the node known, so of two who try at once one joins.
    ///
    /// # Errors
    ///
    /// `issue.join_token_unknown`, `issue.join_token_used`, `issue.join_token_expired`, those of a
    /// signing request, or what failed on our side.
    pub fn join(&self, token: &str, signing_request: &[u8]) -> Result<Membership, Refused> {
        let public_half = PublicHalf::from_signing_request(signing_request)?;
        let unknown = || Refused::from(Reason::IssueJoinTokenUnknown {});
        let tenant = token.split_once('.').map(|(tenant, _)| tenant);
        let tenant = tenant.and_then(|name| self.tenant_named(name));
        let tenant = tenant.ok_or_else(unknown)?;
        let id = token_id(token)?;
        let mut conflict = unknown();
        for _ in 0..MOST_ATTEMPTS {
            let now = self.now();
            let (at, record) = tenant.read(|snapshot| {
                let record = snapshot.join_tokens.get(&id).cloned();
                (snapshot.sequence, record)
            });
            let record = record.ok_or_else(unknown)?;
            check_usable(&record, now)?;
            // Signed before the token is used up, so that a failure of ours does not cost it; handed
            // out only after.
            let membership = self.sign_node(&tenant, &record.spiffe_id, public_half.clone())?;
            let node = NodeRecord {
                id: record.node.clone(),
                spiffe_id: record.spiffe_id.clone(),
                attested_by: "join_token".to_owned(),
                facts: Vec::new(),
                created: now,
                banned: None,
            };
            let used = JoinTokenRecord {
                used: Some(now),
                ..record
            };
            let changes = [
                Change::Put(Object::JoinToken(used)),
                Change::Put(Object::Node(node)),
            ];
            match self.apply_at(&tenant, at, &changes) {
                Ok(_) => return Ok(membership),
                Err(reason @ Refused::Reason(_)) => conflict = reason,
                Err(fault) => return Err(fault),
            }
        }
        Err(conflict)
    }

    /// The next X.509-SVID of a node.
    ///
    /// # Errors
    ///
    /// Those of a signing request, or what failed on our side.
    pub fn renew(&self, node: &Admitted, signing_request: &[u8]) -> Result<Membership, Refused> {
        let public_half = PublicHalf::from_signing_request(signing_request)?;
        self.sign_node(&node.tenant, &node.id, public_half)
    }

    /// The node that calls, if it may.
    ///
    /// # Errors
    ///
    /// `issue.node_not_admitted`.
    pub fn admit(&self, caller: &Caller) -> Result<Admitted, Refused> {
        let refuse = |detail| Reason::IssueNodeNotAdmitted {
            node: caller.id.to_string(),
            detail,
        };
        if caller.valid_until <= self.now() {
            return Err(refuse("the X.509-SVID it called with has expired").into());
        }
        let tenant = self.tenant(&caller.tenant);
        let tenant = tenant.ok_or_else(|| refuse("it is not known here"))?;
        let banned = tenant.read(|snapshot| {
            let name = NodeId::parse(caller.id.segments().last()?)?;
            let node = snapshot.nodes.get(&name)?;
            (node.spiffe_id == caller.id).then_some(node.banned.is_some())
        });
        match banned {
            Some(false) => Ok(Admitted {
                tenant,
                id: caller.id.clone(),
            }),
            Some(true) => Err(refuse("it is banned").into()),
            None => Err(refuse("it is not known here").into()),
        }
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
        let found = NodeId::parse(node)
            .and_then(|id| tenant.read(|snapshot| snapshot.nodes.get(&id).cloned()));
        let mut record = found.ok_or_else(|| Reason::IssueObjectUnknown {
            object: "node",
            name: node.chars().take(128).collect(),
        })?;
        if record.banned.is_some() != banned {
            record.banned = banned.then(|| self.now());
            self.apply(tenant, &[Change::Put(Object::Node(record.clone()))])?;
        }
        Ok(record)
    }

    fn sign_node(
        &self,
        tenant: &Arc<Tenant>,
        id: &SpiffeId,
        public_half: PublicHalf,
    ) -> Result<Membership, Refused> {
        let request = X509Request {
            id: id.clone(),
            public_half,
            ttl: Some(self.settings.node_ttl),
            dns_names: Vec::new(),
        };
        let svid = self.sign_x509(tenant, request)?;
        Ok(Membership {
            id: svid.id,
            certificates: svid.chain,
        })
    }

    /// Which nodes that follow a tenant now do not hold all of it up to `sequence`.
    pub(crate) fn behind(&self, tenant: &Tenant, sequence: Sequence) -> Vec<SpiffeId> {
        self.presences.behind(tenant.id(), sequence)
    }
}

/// Which nodes follow now, and what of each tenant they hold.
#[derive(Default)]
pub(crate) struct Presences(Mutex<BTreeMap<(SpiffeId, u64), BTreeMap<TenantId, Progress>>>);

/// How far a node has followed a tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The last number for which something was sent.
    pub(crate) sent: u64,
    /// Up to which number there was nothing more to send.
    pub(crate) seen: u64,
    /// The last number that has arrived.
    pub(crate) arrived: u64,
}

impl Progress {
    /// Up to which number the node holds all that concerns it.
    fn holds(self) -> u64 {
        if self.arrived >= self.sent {
            self.seen.max(self.arrived)
        } else {
            self.arrived
        }
    }
}

impl Presences {
    pub(crate) fn enter(&self, node: &SpiffeId, stream: u64) {
        self.lock().entry((node.clone(), stream)).or_default();
    }

    pub(crate) fn leave(&self, node: &SpiffeId, stream: u64) {
        self.lock().remove(&(node.clone(), stream));
    }

    pub(crate) fn note(
        &self,
        node: &SpiffeId,
        stream: u64,
        tenant: &TenantId,
        note: impl FnOnce(&mut Progress),
    ) {
        if let Some(held) = self.lock().get_mut(&(node.clone(), stream)) {
            note(held.entry(tenant.clone()).or_default());
        }
    }

    /// How many nodes follow now.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The nodes that follow a tenant now, and up to which number they hold it.
    pub(crate) fn of(&self, tenant: &TenantId) -> BTreeMap<SpiffeId, u64> {
        let all = self.lock();
        let of_tenant = all.iter().filter_map(|((node, _), held)| {
            let progress = held.get(tenant)?;
            Some((node.clone(), progress.holds()))
        });
        of_tenant.collect()
    }

    fn behind(&self, tenant: &TenantId, sequence: Sequence) -> Vec<SpiffeId> {
        let of_tenant = self.of(tenant).into_iter();
        of_tenant
            .filter(|(_, holds)| *holds < sequence.number())
            .map(|(node, _)| node)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SpiffeId, u64), BTreeMap<TenantId, Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_usable(record: &JoinTokenRecord, now: Time) -> Result<(), Reason> {
    if let Some(used) = record.used {
        return Err(Reason::IssueJoinTokenUsed { used });
    }
    if record.expires <= now {
        return Err(Reason::IssueJoinTokenExpired {
            expires: record.expires,
            at: now,
        });
    }
    Ok(())
}

fn token_id(token: &str) -> Result<JoinTokenId, Fault> {
    let digest = Digest::of(token.as_bytes()).to_string();
    JoinTokenId::parse(&digest).ok_or_else(|| Fault::Bug("a digest is no name".to_owned()))
}

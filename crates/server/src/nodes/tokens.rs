//! Join tokens: each lets one node join, once.

use std::sync::Arc;

use avouch_core::id::{Digest, SpiffeId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::random::Random;
use avouch_store::{Change, JoinTokenId, JoinTokenRecord, Key, NodeId, NodeRecord, Object};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::{MOST_ATTEMPTS, Membership, node_id};
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::quotas::Bounded;
use crate::tenant::Tenant;

/// Random bytes of a join token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// How long a token that was used or has expired is remembered, in seconds: a day, in which whoever
/// tries it again is told which of the two it is, and not that there is none.
const REMEMBERED: i64 = 86_400;

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
        let spiffe_id = node_id(tenant, &node)?;
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
            match tenant.read(|snapshot| snapshot.nodes.get(&record.node).cloned()) {
                Some(there) => check_not_banned(&there)?,
                None => self.check_room(&tenant, Bounded::Nodes)?,
            }
            // Signed before the token is used up, so that a failure of ours does not cost it; handed
            // out only after.
            let membership = self.sign_node(&tenant, &record.spiffe_id, public_half.clone())?;
            let node = NodeRecord {
                id: record.node.clone(),
                spiffe_id: record.spiffe_id.clone(),
                attested_by: "join_token".to_owned(),
                attestor: None,
                facts: Vec::new(),
                created: now,
                attested: now,
                evidence_made: None,
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
}

impl Plane {
    /// Forgets join tokens that nobody can use any more, a while after they could not.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_join_tokens(&self) -> Result<(), Refused> {
        let before = self.now().plus(-REMEMBERED);
        for tenant in self.all_tenants() {
            let old: Vec<Change> = tenant.read(|snapshot| {
                let tokens = snapshot.join_tokens.values();
                let old = tokens.filter(|token| token.used.unwrap_or(token.expires) < before);
                old.map(|token| Change::Remove(Key::JoinToken(token.id.clone())))
                    .collect()
            });
            if !old.is_empty() {
                self.apply(&tenant, &old)?;
            }
        }
        Ok(())
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

/// A token is no pardon: whoever lifts a ban says so.
fn check_not_banned(there: &NodeRecord) -> Result<(), Reason> {
    match there.banned {
        Some(_) => Err(Reason::IssueNodeNotAdmitted {
            node: there.spiffe_id.to_string(),
            detail: "it is banned",
        }),
        None => Ok(()),
    }
}

fn token_id(token: &str) -> Result<JoinTokenId, Fault> {
    let digest = Digest::of(token.as_bytes()).to_string();
    JoinTokenId::parse(&digest).ok_or_else(|| Fault::Bug("a digest is no name".to_owned()))
}

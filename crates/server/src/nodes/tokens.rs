//! Tokens that are made for one node and can be used once: join tokens, and the bootstrap tokens of
//! kubelets, which are kept with them.
//!
//! What is given for a join token is signed before the token is used up and handed out only after, so
//! whatever fails in between, the token is good and nothing was given. A bootstrap token is used up in
//! the commit that puts its certificate on record.

use std::sync::Arc;

use avouch_core::id::{Digest, SpiffeId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::key::PublicHalf;
use avouch_issuer::random::{Mark, Random};
use avouch_issuer::signing_request::SigningRequest;
use avouch_store::{Change, JoinTokenId, JoinTokenRecord, NodeId, NodeRecord, Object};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::{Membership, Which, meanwhile, node_id};
use crate::fault::{Fault, Refused, misnamed};
use crate::plane::Plane;
use crate::quotas::Bounded;
use crate::tenant::Tenant;

/// Random bytes of a join token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// How long a token that was used or has expired is remembered, in seconds: a day, in which whoever
/// tries it again is told which of the two it is, and not that there is none.
pub(crate) const REMEMBERED: i64 = 86_400;

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
        let node = node_named(node, "join token")?;
        let spiffe_id = node_id(tenant, &node)?;
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        self.random.fill(bytes.as_mut_slice())?;
        let secret = Base64UrlUnpadded::encode_string(bytes.as_slice());
        let token = Zeroizing::new(format!("{}.{secret}", tenant.id()));
        let expires = self.keep_token(tenant, token_id(&token)?, node, &spiffe_id, ttl)?;
        Ok(JoinToken {
            token,
            spiffe_id,
            expires,
        })
    }

    /// Remembers a token of a node for `ttl` seconds, and says until when.
    pub(crate) fn keep_token(
        &self,
        tenant: &Arc<Tenant>,
        id: JoinTokenId,
        node: NodeId,
        spiffe_id: &SpiffeId,
        ttl: u32,
    ) -> Result<Time, Refused> {
        let now = self.now();
        let record = JoinTokenRecord {
            id,
            node,
            spiffe_id: spiffe_id.clone(),
            created: now,
            expires: now.plus(i64::from(ttl)),
            used: None,
            used_for: None,
        };
        let expires = record.expires;
        self.apply(tenant, &[Change::Put(Object::JoinToken(record))])?;
        Ok(expires)
    }

    /// Lets the node join that a token was made for. The token is used up with the same change that
    /// makes the node known, so of two who try at once one joins, also with a token each. Whoever was the
    /// node until now is sent away with that.
    ///
    /// # Errors
    ///
    /// `issue.join_token_unknown`, `issue.join_token_used`, `issue.join_token_expired`, `issue.conflict`
    /// if another has joined meanwhile, those of a signing request, or what failed on our side.
    pub fn join(&self, token: &str, signing_request: &[u8]) -> Result<Membership, Refused> {
        let request = SigningRequest::read(signing_request)?;
        let unknown = || Refused::from(Reason::IssueJoinTokenUnknown {});
        let tenant = token.split_once('.').map(|(tenant, _)| tenant);
        let tenant = tenant.map(|name| self.tenant_named(name)).transpose()?;
        let tenant = tenant.flatten().ok_or_else(unknown)?;
        let id = token_id(token)?;
        let check = || -> Result<(JoinTokenRecord, Option<NodeRecord>), Refused> {
            let record = kept(&tenant, &id).ok_or_else(unknown)?;
            match standing(&record, self.now()) {
                Standing::Good => {}
                Standing::Used(used) => return Err(Reason::IssueJoinTokenUsed { used }.into()),
                Standing::Expired(expires, at) => {
                    return Err(Reason::IssueJoinTokenExpired { expires, at }.into());
                }
            }
            let there = tenant.read(|snapshot| snapshot.nodes.get(&record.node).cloned());
            match &there {
                Some(there) => check_not_banned(there)?,
                None => self.check_room(&tenant, Bounded::Nodes)?,
            }
            Ok((record, there))
        };
        let (record, before) = check()?;
        let before = before.as_ref().map(Which::of);
        let joining = Which::joining(Mark::new(&self.random)?, self.now());
        let public_half = request.for_svid(&record.spiffe_id, &[])?;
        let key = public_half.clone();
        let membership = self.sign_node(&tenant, &record.spiffe_id, key, joining)?;
        self.settle(&tenant, || {
            let (record, there) = check()?;
            let now = self.now();
            // What was signed is for who takes the place of who was there then. The token stays good.
            if there.as_ref().map(Which::of) != before {
                return Err(meanwhile(&record.spiffe_id).into());
            }
            let node = NodeRecord {
                id: record.node.clone(),
                spiffe_id: record.spiffe_id.clone(),
                attested_by: "join_token".to_owned(),
                attestor: None,
                facts: Vec::new(),
                created: now,
                mark: joining.mark.map(Mark::number),
                since: joining.since,
                attested: now,
                evidence_made: None,
                banned: None,
            };
            let changes = vec![
                used_up(record, &public_half, now),
                Change::Put(Object::Node(node)),
            ];
            Ok(((), changes))
        })?;
        Ok(membership)
    }
}

/// The name of a node that a token is to be made for.
pub(crate) fn node_named(name: &str, object: &'static str) -> Result<NodeId, Reason> {
    NodeId::parse(name).ok_or_else(|| misnamed(object, "node"))
}

/// A token, as it is remembered now.
pub(crate) fn kept(tenant: &Tenant, id: &JoinTokenId) -> Option<JoinTokenRecord> {
    tenant.read(|snapshot| snapshot.join_tokens.get(id).cloned())
}

/// What a token is good for.
pub(crate) enum Standing {
    /// It can be used.
    Good,
    /// It was used then.
    Used(Time),
    /// It ended then, and it is later now: from the very second on that it ends with.
    Expired(Time, Time),
}

/// What a token is good for now.
pub(crate) fn standing(record: &JoinTokenRecord, now: Time) -> Standing {
    match record.used {
        Some(used) => Standing::Used(used),
        None if record.expires <= now => Standing::Expired(record.expires, now),
        None => Standing::Good,
    }
}

/// A token that was used for a key.
pub(crate) fn used_up(record: JoinTokenRecord, key: &PublicHalf, now: Time) -> Change {
    Change::Put(Object::JoinToken(JoinTokenRecord {
        used: Some(now),
        used_for: Some(Digest::of(key.info())),
        ..record
    }))
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

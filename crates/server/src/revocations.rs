//! Certificates that are believed no more before their end: revoked, put on the list of their
//! authority, and the list told to everyone.
//!
//! ```text
//! serial number or SPIFFE ID ─► intents ─► records of the authorities ─► new lists, signed
//!                                                                    └─► store ─► agents, verifiers
//! ```
//!
//! The revocation and the list that tells of it are one change, so neither is ever seen alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::exchange::statement::descends_from;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::revocation_list::{RevocationList, Revoked};
use avouch_issuer::stages::issue_one;
use avouch_store::{
    AuthorityId, AuthorityRecord, AuthorityState, AuthorityUse, CredentialKind, EntryId, IntentId,
    IntentRow, LifetimeKind, RevocationListRecord, RevokedCertificate, Sequence,
};

use crate::authority_record::{Opened, list_due_from, open, signs_lists, with_revoked};
use crate::fault::{Fault, Refused, unknown};
use crate::issuing::StoreLog;
use crate::keeper::Draft;
use crate::plane::{OPERATOR, Plane, RESERVED};
use crate::tenant::{Held, Tenant};

/// `keyCompromise`: whoever has the key of an issuer has had credentials given for whatever it wrote.
const KEY_COMPROMISE: u8 = 1;

/// How often a revocation is tried anew because something else has changed meanwhile.
const MOST_ATTEMPTS: usize = 16;

/// How many intents are asked for at a time.
const INTENTS: u32 = 10_000;

/// Which certificates are to be revoked.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one with this serial number, in hexadecimal.
    Serial(String),
    /// All that were issued for this identity.
    Identity(SpiffeId),
    /// All that were given in exchange for what descends from this: an anchor, an issuer or a key by
    /// its name, or a token by the digest in its lineage.
    Descended(String),
    /// All that were given in exchange for what this issuer has said, and for nothing that is called like
    /// it.
    DescendedFromIssuer(String),
}

/// A certificate that was revoked.
#[derive(Clone, Debug)]
pub struct RevokedNow {
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub subject: SpiffeId,
    /// The authority whose list names it.
    pub authority: AuthorityId,
    /// When it would have ended.
    pub not_after: Time,
}

impl Plane {
    /// Revokes certificates that have not ended yet. What was revoked before is harmless.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown` where there is none, or what failed on our side.
    pub fn revoke_certificates(
        &self,
        tenant: &Arc<Tenant>,
        which: &Which,
        reason: u8,
    ) -> Result<Vec<RevokedNow>, Refused> {
        let issued = self.issued(tenant, which)?;
        let revoked = self.revoke_until_stored(tenant, &issued, reason)?;
        match revoked.is_empty() {
            true => Err(none_to_revoke(which)),
            false => Ok(revoked),
        }
    }

    /// Revokes certificates because an administrator says so, and ends all that was exchanged for one of them:
    /// whoever has stolen its key has had that, too. Done again it does what is missing.
    ///
    /// # Errors
    ///
    /// As of [`Plane::revoke_certificates`]; `issue.endings_exceeded`.
    pub(crate) fn take_certificates_back(
        &self,
        tenant: &Arc<Tenant>,
        which: &Which,
        reason: u8,
        by: &str,
    ) -> Result<Vec<RevokedNow>, Refused> {
        let revoked = self.revoke_certificates(tenant, which, reason)?;
        let certificates = revoked
            .iter()
            .map(|one| (&one.subject, one.serial.as_str()));
        self.end_certificates(tenant, &certificates.collect::<Vec<_>>(), by)?;
        Ok(revoked)
    }

    /// Revokes certificates of which the intents are known, worked out anew for as long as something
    /// else changes meanwhile.
    pub(crate) fn revoke_until_stored(
        &self,
        tenant: &Arc<Tenant>,
        issued: &[IntentRow],
        reason: u8,
    ) -> Result<Vec<RevokedNow>, Refused> {
        let detail = "the tenant changes too fast".to_owned();
        let mut conflict = Refused::from(Reason::IssueConflict { detail });
        for _ in 0..MOST_ATTEMPTS {
            let at = tenant.read(|snapshot| snapshot.sequence);
            let revoked = self.revoke_issued(tenant, at, issued, reason);
            match revoked {
                Ok(revoked) => return Ok(revoked),
                Err(refused) if refused.is_conflict() => conflict = refused,
                Err(other) => return Err(other),
            }
        }
        Err(conflict)
    }

    /// Revokes what was given in exchange for tokens of an issuer, which is believed no more. What
    /// fails here is told in the log and leaves the issuer disbelieved.
    pub(crate) fn revoke_descended(&self, tenant: &Arc<Tenant>, issuer: &str) {
        let which = Which::DescendedFromIssuer(issuer.to_owned());
        match self.revoke_certificates(tenant, &which, KEY_COMPROMISE) {
            Ok(revoked) => tracing::warn!(
                tenant = %tenant.id(), issuer, count = revoked.len(),
                "certificates that descend from an issuer in quarantine were revoked"
            ),
            // There were none.
            Err(Refused::Reason(reason)) if reason.code() == "issue.object_unknown" => {}
            Err(Refused::Reason(reason)) => tracing::error!(
                tenant = %tenant.id(), issuer, code = reason.code(),
                "what descends from an issuer in quarantine was not revoked: {}", reason.sentence()
            ),
            Err(Refused::Fault(error)) => tracing::error!(
                tenant = %tenant.id(), issuer, %error,
                "what descends from an issuer in quarantine was not revoked"
            ),
        }
    }

    fn revoke_issued(
        &self,
        tenant: &Arc<Tenant>,
        at: Sequence,
        issued: &[IntentRow],
        reason: u8,
    ) -> Result<Vec<RevokedNow>, Refused> {
        let mut by_authority: BTreeMap<&AuthorityId, Vec<&IntentRow>> = BTreeMap::new();
        for intent in issued {
            by_authority
                .entry(&intent.authority)
                .or_default()
                .push(intent);
        }
        let mut revoked = Vec::new();
        let mut drafts: BTreeMap<TrustDomain, Draft<'_>> = BTreeMap::new();
        for (authority, intents) in by_authority {
            let found = tenant.read(|snapshot| snapshot.authorities.get(authority).cloned());
            // What a revoked authority signed is believed no more anyway.
            let Some(record) = found.filter(|one| one.state != AuthorityState::Revoked) else {
                continue;
            };
            let draft = drafts
                .entry(record.trust_domain.clone())
                .or_insert_with_key(|name| Draft::of(self, tenant, name.clone()));
            let named = intents.iter().map(|intent| RevokedCertificate {
                serial: intent.id.to_string(),
                at: draft.now,
                reason,
                not_after: intent.not_after,
            });
            let record = with_revoked(record, named);
            draft.put(record);
            revoked.extend(intents.iter().map(|intent| RevokedNow {
                serial: intent.id.to_string(),
                subject: intent.subject.clone(),
                authority: intent.authority.clone(),
                not_after: intent.not_after,
            }));
        }
        let mut changes = Vec::new();
        for mut draft in drafts.into_values() {
            draft.sign_changed_lists()?;
            changes.extend(draft.take_changes());
        }
        if !changes.is_empty() {
            self.apply_at(tenant, at, &changes)?;
        }
        Ok(revoked)
    }

    /// How many credentials of these authorities have not ended, and nothing that was issued later by
    /// another has taken their place. What is issued to a node for an entry takes the place of what
    /// was before, since the node renews what it holds; a token is for whom it is given to, who may
    /// hold it until it ends, and so is what nobody renews through a node.
    pub(crate) fn not_replaced(
        &self,
        tenant: &Tenant,
        authorities: &[&AuthorityId],
    ) -> Result<usize, Refused> {
        let issued = self.live(tenant, |intent| match intent.kind {
            CredentialKind::X509
            | CredentialKind::Jwt
            | CredentialKind::Wit
            | CredentialKind::Certificate => true,
            CredentialKind::Authority
            | CredentialKind::RevocationList
            | CredentialKind::StatusList
            | CredentialKind::StatusResponse
            | CredentialKind::Revocation
            | CredentialKind::LifeCycle
            | CredentialKind::Event => false,
        })?;
        let is_of_them = |intent: &IntentRow| authorities.contains(&&intent.authority);
        let mut newest: BTreeMap<Holder<'_>, &IntentRow> = BTreeMap::new();
        for intent in &issued {
            let known = newest.entry(Holder::of(intent)).or_insert(intent);
            if intent.recorded > known.recorded
                || (intent.recorded == known.recorded && !is_of_them(intent))
            {
                *known = intent;
            }
        }
        Ok(newest.values().filter(|intent| is_of_them(intent)).count())
    }

    /// The intents of the certificates that are meant and have not ended yet.
    fn issued(&self, tenant: &Tenant, which: &Which) -> Result<Vec<IntentRow>, Refused> {
        self.issued_for(tenant, |intent| match which {
            Which::Serial(serial) => intent.id.as_str() == serial,
            Which::Identity(id) => intent.subject == *id,
            Which::Descended(from) => descends(intent, from),
            Which::DescendedFromIssuer(issuer) => descends_from(&intent.lineage, issuer),
        })
    }

    /// The intents of certificates that have not ended yet, those of which this holds.
    pub(crate) fn issued_for(
        &self,
        tenant: &Tenant,
        is_meant: impl Fn(&IntentRow) -> bool,
    ) -> Result<Vec<IntentRow>, Refused> {
        self.live(tenant, |intent| {
            let kinds = [CredentialKind::X509, CredentialKind::Certificate];
            kinds.contains(&intent.kind) && is_meant(intent)
        })
    }

    /// The intents of what has not ended yet, those of which this holds.
    pub(crate) fn live(
        &self,
        tenant: &Tenant,
        is_meant: impl Fn(&IntentRow) -> bool,
    ) -> Result<Vec<IntentRow>, Refused> {
        self.live_at(tenant, self.now(), is_meant)
    }

    /// The intents of what had not ended at a time, those of which this holds.
    pub(crate) fn live_at(
        &self,
        tenant: &Tenant,
        now: Time,
        is_meant: impl Fn(&IntentRow) -> bool,
    ) -> Result<Vec<IntentRow>, Refused> {
        let mut found: BTreeMap<String, IntentRow> = BTreeMap::new();
        let mut from = self.earliest_living(tenant, now)?;
        let mut limit = INTENTS;
        loop {
            let page = self.store.intents(tenant.id(), from, limit)?;
            let is_last = page.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let reached = page.last().map_or(from, |last| last.recorded);
            let meant = page
                .into_iter()
                .filter(|intent| is_meant(intent) && intent.not_after >= now);
            found.extend(meant.map(|intent| (intent.id.to_string(), intent)));
            if is_last {
                return Ok(found.into_values().collect());
            }
            // More than a page of one second is asked for again as a whole.
            if reached == from {
                limit = limit.saturating_mul(2);
            }
            from = reached;
        }
    }

    /// When the first was recorded, at the earliest, that had not ended at a time: as long before as
    /// anything may have lived, also where less is settled by now.
    pub(crate) fn earliest_living(&self, tenant: &Tenant, at: Time) -> Result<Time, Fault> {
        let is_cluster = tenant.read(|snapshot| {
            let mut records = snapshot.authorities.values();
            records.any(|record| record.used_for == AuthorityUse::Cluster)
        });
        self.earliest_of(is_cluster, at)
    }

    /// Likewise of a tenant that has certificates of components, or not.
    pub(crate) fn earliest_of(&self, is_cluster: bool, at: Time) -> Result<Time, Fault> {
        let noted = self.store.lifetimes(&OPERATOR)?;
        let all = noted.into_iter().chain(self.settings.lifetimes(at));
        // Where there is no cluster, no certificate of a component lives longer than an SVID.
        let counted = all.filter(|one| {
            one.counts_at(at)
                && match one.kind {
                    LifetimeKind::Svid => true,
                    LifetimeKind::Component => is_cluster,
                }
        });
        let longest = counted.map(|one| one.seconds).max().unwrap_or_default();
        Ok(at.plus(-i64::from(longest)))
    }

    /// Notes for all servers on the store, and for those to come, how long what is signed here may live.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn keep_lifetimes(&self) -> Result<(), Fault> {
        let own = self.settings.lifetimes(self.now());
        Ok(self.store.keep_lifetimes(&OPERATOR, &own)?)
    }

    /// The revocation list of an authority of the tenant, as DER, and by when the next one is there.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, also where the authority has no list, or what failed on our side.
    pub fn revocation_list(
        &self,
        tenant: &Tenant,
        authority: &str,
    ) -> Result<Box<RevocationListRecord>, Refused> {
        let found = AuthorityId::parse(authority).and_then(|id| {
            tenant.read(|snapshot| {
                let record = snapshot.authorities.get(&id)?;
                let is_published = record.state != AuthorityState::Revoked;
                record.revocation_list.clone().filter(|_| is_published)
            })
        });
        let list = found.ok_or_else(|| unknown("revocation list of the authority", authority))?;
        // None is signed for a tenant that is not acted for, and the last one ends.
        if list.next_update < self.now() {
            self.fit(tenant)?;
        }
        Ok(list)
    }
}

impl Held {
    /// The lists of a trust domain that count at `now`. One that has ended is left out: whoever has
    /// a list of an authority refuses what no current list clears, and the certificates that it
    /// named have ended before it.
    pub(crate) fn revocation_lists<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        now: Time,
    ) -> impl Iterator<Item = &'a [u8]> {
        let records = self.snapshot.authorities.values();
        let published = records.filter(move |record| {
            record.trust_domain == *trust_domain
                && record.state != AuthorityState::Revoked
                && now <= record.not_after
        });
        let lists = published.filter_map(|record| record.revocation_list.as_ref());
        lists
            .filter(move |list| now <= list.next_update)
            .map(|list| list.der.as_slice())
    }
}

impl Draft<'_> {
    /// Signs the list of each authority whose list is missing or is half as old as it may be.
    pub(crate) fn sign_due_lists(&mut self) -> Result<(), Refused> {
        let now = self.now;
        self.sign_lists(|record| list_due_from(record, now).is_none_or(|from| now >= from))
    }

    /// Signs the list of each authority that has revoked something its list does not tell.
    pub(crate) fn sign_changed_lists(&mut self) -> Result<(), Refused> {
        let changed: BTreeSet<AuthorityId> = self.changed_records();
        self.sign_lists(|record| changed.contains(&record.id))
    }

    fn sign_lists(&mut self, is_due: impl Fn(&AuthorityRecord) -> bool) -> Result<(), Refused> {
        let due: Vec<AuthorityRecord> = self
            .records
            .values()
            .filter(|record| is_due(record) && signs_lists(record, self.now))
            .cloned()
            .collect();
        for record in due {
            let opened = open(self.tenant.id(), &self.tenant.keys, &record)?;
            let Some(Opened::X509(authority)) = opened else {
                continue;
            };
            // Whoever checks a certificate after its end refuses it for that.
            let revoked: Vec<RevokedCertificate> = record
                .revoked
                .iter()
                .filter(|one| one.not_after >= self.now)
                .cloned()
                .collect();
            let last = record
                .revocation_list
                .as_ref()
                .map_or(0, |list| list.number);
            let prepared = authority.prepare_revocation_list(
                revoked.iter().map(told).collect(),
                last.saturating_add(1),
                self.plane.settings.revocation_list_ttl,
                self.now,
                &self.plane.random,
            )?;
            let list = issue_one(prepared, &StoreLog::of(self.plane, self.tenant))?;
            self.put(AuthorityRecord {
                revoked,
                revocation_list: Some(stored(list)),
                ..record
            });
        }
        Ok(())
    }
}

/// Who holds a credential, as far as another takes its place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Holder<'a> {
    /// A node, for an entry: the workloads of one entry on one node are renewed together.
    Node {
        kind: CredentialKind,
        subject: &'a SpiffeId,
        node: &'a SpiffeId,
        entry: Option<&'a EntryId>,
    },
    /// Who has this identity, which is one process, or a file that servers renew: a node, a server, the
    /// operator.
    Itself(&'a SpiffeId),
    /// Whoever it was given to.
    Bearer(&'a IntentId),
}

impl<'a> Holder<'a> {
    fn of(intent: &'a IntentRow) -> Self {
        let is_reserved = || intent.subject.segments().next() == Some(RESERVED);
        match (intent.kind, &intent.node) {
            (CredentialKind::X509 | CredentialKind::Wit, Some(node)) => Self::Node {
                kind: intent.kind,
                subject: &intent.subject,
                node,
                entry: intent.entry.as_ref(),
            },
            (CredentialKind::X509 | CredentialKind::Jwt, None) if is_reserved() => {
                Self::Itself(&intent.subject)
            }
            _ => Self::Bearer(&intent.id),
        }
    }
}

/// Whether a credential descends from what has this name. How another tenant calls its anchors says nothing
/// here.
fn descends(intent: &IntentRow, from: &str) -> bool {
    intent.lineage.iter().any(|ancestor| {
        let names = [&ancestor.issuer, &ancestor.key];
        let is_named = names.into_iter().any(|name| name == from);
        let is_anchor = ancestor.of.is_none() && ancestor.anchor == from;
        is_named || is_anchor || ancestor.digest.to_string() == from
    })
}

fn told(revoked: &RevokedCertificate) -> Revoked {
    Revoked {
        serial: revoked.serial.clone(),
        at: revoked.at,
        reason: revoked.reason,
    }
}

fn stored(list: RevocationList) -> Box<RevocationListRecord> {
    Box::new(RevocationListRecord {
        number: list.number,
        this_update: list.this_update,
        next_update: list.next_update,
        der: list.der,
    })
}

fn none_to_revoke(which: &Which) -> Refused {
    let reason = match which {
        Which::Serial(serial) => unknown(
            "certificate that has not ended, with the serial number",
            serial,
        ),
        Which::Identity(id) => unknown("certificate that has not ended, of", &id.to_string()),
        Which::Descended(from) | Which::DescendedFromIssuer(from) => {
            unknown("certificate that has not ended, and descends from", from)
        }
    };
    reason.into()
}

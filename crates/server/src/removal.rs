//! Tenants and trust domains that go, with all that is theirs.
//!
//! ```text
//! what goes is told ─► whoever lets it go names it ─► one commit ─► every server forgets it
//!                                                                     └─► nodes are told that it is gone
//! ```
//!
//! The key of a tenant goes in that commit, and with it all that it sealed. Rows that are of no use to
//! anyone any more are cleared away after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use avouch_core::id::{TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::words::counted;
use avouch_store::{
    Change, Conflict, CredentialKind, Fault as StoreFault, Key, Lasting, RuleRecord, Sequence,
    Snapshot,
};
use serde_json::{Value, json};

use crate::access::{Noun, Verb};
use crate::caller::Caller;
use crate::fault::{Fault, Refused, unknown};
use crate::plane::{KnownTenant, OPERATOR, Plane};
use crate::tenant::Tenant;

/// How often it is worked out anew what goes because something has changed meanwhile.
const MOST_ATTEMPTS: usize = 16;

/// All that goes.
#[derive(Debug, Default)]
pub(crate) struct Going {
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) trust_domains: Vec<TrustDomain>,
    /// How many of what else, in words.
    pub(crate) objects: BTreeMap<&'static str, usize>,
    /// What was issued and has not ended, by its kind: believed by whoever knows the authority only.
    pub(crate) living: BTreeMap<&'static str, Living>,
    /// The tenants of which something cannot be read, so that not all that goes is known.
    pub(crate) damaged: Vec<Damaged>,
}

/// A tenant that goes and of which something cannot be read.
#[derive(Debug)]
pub(crate) struct Damaged {
    tenant: TenantId,
    why: String,
}

impl Damaged {
    pub(crate) fn to_json(&self) -> Value {
        let what = format!("unread of the tenant {}: {}", self.tenant, self.why);
        json!({ "what": what, "name": LEFT })
    }
}

/// What is left of one that is removed unread.
const LEFT: &str = "keys in a PKCS #11 token may stay there";

/// What of a tenant is read to tell what goes.
enum Read {
    Whole(Arc<Tenant>),
    Damaged(Fault),
    Gone,
}

/// Credentials of one kind.
#[derive(Debug)]
pub(crate) struct Living {
    pub(crate) count: u64,
    /// When the last of them ends.
    pub(crate) until: Time,
}

/// Authorities are made with a trust domain, so they are nothing that anyone would miss alone.
const AUTHORITIES: &str = "authorities";

impl Going {
    /// What names all of it.
    pub(crate) fn confirmation(&self) -> String {
        self.names().into_iter().collect::<Vec<_>>().join(",")
    }

    fn names(&self) -> BTreeSet<String> {
        let tenants = self.tenants.iter().map(ToString::to_string);
        let domains = self.trust_domains.iter().map(ToString::to_string);
        let damaged = self.damaged.iter();
        // A name of nothing else has a colon.
        let damaged = damaged.map(|one| format!("unread:{}", one.tenant));
        tenants.chain(domains).chain(damaged).collect()
    }

    /// Refuses what nobody has confirmed. Where nothing is that someone uses, nobody needs to.
    fn check(&self, what: &str, confirmed: Option<&str>) -> Result<(), Reason> {
        let named: BTreeSet<String> = confirmed
            .into_iter()
            .flat_map(|names| names.split(','))
            .map(|name| name.trim().to_owned())
            .collect();
        let is_used = self.tenants.len() > 1
            || !self.damaged.is_empty()
            || !self.living.is_empty()
            || self.objects.keys().any(|name| *name != AUTHORITIES);
        let is_confirmed = match confirmed {
            Some(_) => named == self.names(),
            None => !is_used,
        };
        if is_confirmed {
            return Ok(());
        }
        Err(Reason::IssueRemovalUnconfirmed {
            what: what.to_owned(),
            goes: self.to_string(),
            confirm: self.confirmation(),
        })
    }

    fn count(&mut self, name: &'static str, count: usize) {
        if count > 0 {
            *self.objects.entry(name).or_default() += count;
        }
    }

    fn count_of_tenant(&mut self, snapshot: &Snapshot) {
        self.count("administrators", snapshot.admins.len());
        self.count("anchors", snapshot.anchors.len());
        self.count("APIs of others", snapshot.egresses.len());
        self.count("attestors", snapshot.attestors.len());
        self.count(AUTHORITIES, snapshot.authorities.len());
        self.count("exchange rules", snapshot.rules.len());
        self.count("federations", snapshot.federations.len());
        self.count("issuers", snapshot.issuers.len());
        self.count("join tokens", snapshot.join_tokens.len());
        self.count("nodes", snapshot.nodes.len());
        self.count("registration entries", snapshot.entries.len());
        let domains = snapshot.trust_domains.keys().cloned();
        self.trust_domains.extend(domains);
    }

    fn count_of_domain(&mut self, changes: &[Change]) {
        for change in changes {
            let name = match change.key() {
                Key::Authority(_) => AUTHORITIES,
                Key::Entry(_) => "registration entries",
                Key::JoinToken(_) => "join tokens",
                Key::Node(_) => "nodes",
                Key::Rule(_) => "exchange rules",
                _ => continue,
            };
            self.count(name, 1);
        }
    }

    fn add_living(&mut self, living: &[avouch_store::Living]) {
        for one in living {
            let of_kind = self.living.entry(in_words(one.kind)).or_insert(Living {
                count: 0,
                until: one.until,
            });
            of_kind.count += one.count;
            of_kind.until = of_kind.until.max(one.until);
        }
    }
}

/// What several credentials of a kind are called.
fn in_words(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::X509 => "X509-SVIDs",
        CredentialKind::Jwt => "JWT-SVIDs",
        CredentialKind::Wit => "WIT-SVIDs",
        CredentialKind::Authority => "certificates of authorities",
        CredentialKind::Certificate => "other certificates",
        CredentialKind::RevocationList => "revocation lists",
        CredentialKind::Event => "security events",
        CredentialKind::StatusList => "status lists",
        CredentialKind::StatusResponse => "answers about certificates",
        CredentialKind::Revocation | CredentialKind::LifeCycle => "decisions on record",
    }
}

/// What one of several is called.
fn one_of(several: &'static str) -> &'static str {
    match several {
        "APIs of others" => "API of others",
        "JWT-SVIDs" => "JWT-SVID",
        "WIT-SVIDs" => "WIT-SVID",
        "X509-SVIDs" => "X509-SVID",
        "administrators" => "administrator",
        "anchors" => "anchor",
        "answers about certificates" => "answer about a certificate",
        "attestors" => "attestor",
        AUTHORITIES => "authority",
        "certificates of authorities" => "certificate of an authority",
        "decisions on record" => "decision on record",
        "exchange rules" => "exchange rule",
        "federations" => "federation",
        "issuers" => "issuer",
        "join tokens" => "join token",
        "nodes" => "node",
        "other certificates" => "other certificate",
        "registration entries" => "registration entry",
        "revocation lists" => "revocation list",
        "security events" => "security event",
        "status lists" => "status list",
        other => other,
    }
}

impl fmt::Display for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.tenants.iter().map(|name| format!("the tenant {name}")));
        let domains = self.trust_domains.iter();
        parts.extend(domains.map(|name| format!("the trust domain {name}")));
        let objects = self.objects.iter();
        parts.extend(objects.map(|(name, count)| counted(count, one_of(name), name)));
        parts.extend(self.living.iter().map(|(kind, living)| {
            let Living { count, until } = living;
            let one = format!("{} that lives", one_of(kind));
            let told = counted(count, &one, &format!("{kind} that live"));
            format!("{told} until {until}")
        }));
        parts.extend(self.damaged.iter().map(|one| {
            let Damaged { tenant, why } = one;
            format!("what cannot be read of the tenant {tenant} ({LEFT}; {why})")
        }));
        f.write_str(&parts.join(", "))
    }
}

impl Plane {
    /// Whether `caller` may remove a tenant: who may change tenants where it stands.
    ///
    /// # Errors
    ///
    /// `issue.not_permitted`.
    pub(crate) fn permit_removal(
        &self,
        caller: &Caller,
        tenant: &KnownTenant,
    ) -> Result<(), Refused> {
        // Above the root there is nobody, and it stays anyway.
        let Some(above) = tenant.parent().and_then(|parent| self.known(parent)) else {
            return Ok(());
        };
        let roles = self.sound_roles(caller, &above)?;
        if roles.iter().any(|role| role.may(Verb::Write, Noun::Tenant)) {
            return Ok(());
        }
        Err(Reason::IssueNotPermitted {
            subject: caller.id.to_string(),
            verb: "end",
            noun: "existence",
        }
        .into())
    }

    /// All that would go with a tenant.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn going_with(&self, tenant: &KnownTenant) -> Result<Going, Refused> {
        Ok(self.going(tenant)?.0)
    }

    /// Removes a tenant and all below it, if whoever asks has named what goes.
    ///
    /// # Errors
    ///
    /// `issue.removal_unconfirmed`, or what failed on our side.
    pub(crate) fn remove_tenant(
        &self,
        tenant: &KnownTenant,
        confirmed: Option<&str>,
    ) -> Result<Going, Refused> {
        if tenant.parent().is_none() {
            let detail = "the root tenant is the deployment itself".to_owned();
            return Err(Reason::IssueConflict { detail }.into());
        }
        for _ in 0..MOST_ATTEMPTS {
            let (going, at) = self.going(tenant)?;
            going.check(&format!("tenant {}", tenant.id()), confirmed)?;
            let removed = self.store.remove_tenants(&OPERATOR, &at);
            match removed {
                Err(StoreFault::Conflict(Conflict::Moved { .. } | Conflict::TenantInUse(_))) => {
                    self.follow_store()?;
                    continue;
                }
                // It may be gone by now; then that is seen.
                Err(fault) => {
                    drop(self.forget_gone());
                    return Err(fault.into());
                }
                Ok(()) => {}
            }
            tracing::warn!(tenant = %tenant.id(), %going, "a tenant was removed");
            // It is gone whatever comes of the rest, which is gone on with later.
            if let Err(error) = self.forget_gone().and_then(|()| self.clear_removed()) {
                tracing::error!(%error, "what a removed tenant owned could not be cleared away");
            }
            return Ok(going);
        }
        let detail = "the tenant changes too fast".to_owned();
        Err(Reason::IssueConflict { detail }.into())
    }

    /// Clears away what nobody owns any more.
    ///
    /// # Errors
    ///
    /// What failed on our side; then it is gone on with later.
    pub fn clear_removed(&self) -> Result<u64, Fault> {
        self.destroy_keys_of_removed()?;
        let mut all = 0;
        loop {
            let cleared = self.store.clear_removed(&OPERATOR)?;
            all += cleared;
            if cleared == 0 {
                return Ok(all);
            }
        }
    }

    /// Destroys the keys of tenants that were removed which are kept elsewhere, as long as it is known
    /// where. One that cannot be is told in the log.
    ///
    /// # Errors
    ///
    /// What failed on our side; then they are looked for again later.
    pub(crate) fn destroy_keys_of_removed(&self) -> Result<(), Fault> {
        for (tenant, address) in self.store.keys_of_removed(&OPERATOR)? {
            if let Err(error) = self.settings.keys.destroy(&address) {
                tracing::error!(%tenant, %address, %error, "a key that nothing uses is left");
            }
        }
        Ok(())
    }

    /// All that would go with a trust domain.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn going_with_domain(
        &self,
        tenant: &Tenant,
        name: &TrustDomain,
    ) -> Result<Going, Refused> {
        let mut going = Going::default();
        going.add_living(&self.living(tenant, Some(name))?);
        let changes = tenant.read(|snapshot| without(snapshot, name))?;
        going.count_of_domain(&changes);
        going.trust_domains.push(name.clone());
        Ok(going)
    }

    /// Removes a trust domain of a tenant and all that is in it, if whoever asks has named it.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.removal_unconfirmed`, or what failed on our side.
    pub(crate) fn remove_trust_domain(
        &self,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
        confirmed: Option<&str>,
    ) -> Result<Going, Refused> {
        if self.server_id().trust_domain() == name {
            let detail = "servers and operators of the deployment are in this trust domain";
            let detail = detail.to_owned();
            return Err(Reason::IssueConflict { detail }.into());
        }
        let living = self.living(tenant, Some(name))?;
        let (going, addresses) = self.settle(tenant, || {
            let (changes, addresses) = tenant.read(|snapshot| {
                let records = snapshot.authorities.values();
                let own = records.filter(|record| record.trust_domain == *name);
                let addresses: Vec<String> = own
                    .filter_map(|one| Some(one.own_key_address()?.to_owned()))
                    .collect();
                without(snapshot, name).map(|changes| (changes, addresses))
            })?;
            let mut going = Going::default();
            going.add_living(&living);
            going.count_of_domain(&changes);
            going.trust_domains.push(name.clone());
            going.check(&format!("trust domain {name}"), confirmed)?;
            Ok(((going, addresses), changes))
        })?;
        for address in addresses {
            destroy(tenant, &address);
        }
        tracing::warn!(tenant = %tenant.id(), %going, "a trust domain was removed");
        Ok(going)
    }

    /// All that goes with a tenant, and the number of the last change of each that goes. One of which
    /// something cannot be read is told as far as it can be without reading it.
    fn going(&self, tenant: &KnownTenant) -> Result<(Going, Vec<(TenantId, Sequence)>), Refused> {
        let (mut going, mut at) = (Going::default(), Vec::new());
        for known in self.known_below(tenant.id()) {
            match self.read_to_remove(&known)? {
                Read::Gone => {}
                Read::Whole(one) => {
                    let living = self.living(&one, None)?;
                    going.add_living(&living);
                    going.tenants.push(one.id().clone());
                    one.read(|snapshot| {
                        going.count_of_tenant(snapshot);
                        at.push((one.id().clone(), snapshot.sequence));
                    });
                }
                Read::Damaged(fault) => at.extend(self.count_damaged(&mut going, &known, &fault)?),
            }
        }
        if going.tenants.is_empty() {
            return Err(Conflict::UnknownTenant(tenant.id().clone()).into());
        }
        Ok((going, at))
    }

    fn read_to_remove(&self, known: &Arc<KnownTenant>) -> Result<Read, Fault> {
        match self.open_known(known) {
            Ok(Some(tenant)) if !tenant.is_behind() => return Ok(Read::Whole(tenant)),
            Ok(None) => return Ok(Read::Gone),
            Ok(Some(_)) => {}
            Err(fault) if fault.is_damage() => {}
            Err(fault) => return Err(fault),
        }
        // It may be one above it that cannot be read, which is no matter here.
        match self.read(known) {
            Ok(Some(tenant)) => Ok(Read::Whole(tenant)),
            Ok(None) => Ok(Read::Gone),
            Err(fault) if fault.is_damage() => Ok(Read::Damaged(fault)),
            Err(fault) => Err(fault),
        }
    }

    /// Adds what is known of a tenant without reading what it owns, and the number of its last change;
    /// nothing if it is gone.
    fn count_damaged(
        &self,
        going: &mut Going,
        known: &KnownTenant,
        fault: &Fault,
    ) -> Result<Option<(TenantId, Sequence)>, Fault> {
        let id = known.id();
        let Some(head) = self.store.heads(&OPERATOR)?.get(id).copied() else {
            return Ok(None);
        };
        let counts = self.store.counts(id)?;
        going.count("nodes", counts.nodes);
        going.count("registration entries", counts.entries);
        let at = self.now();
        let from = self.earliest_of(true, at)?;
        // Of what cannot be read it is not known how much lives.
        match self.living_of(id, from, at, None) {
            Ok(living) => going.add_living(&living),
            Err(fault) if fault.is_damage() => {}
            Err(fault) => return Err(fault),
        }
        going.trust_domains.extend(self.domains_owned(id));
        going.tenants.push(id.clone());
        going.damaged.push(Damaged {
            tenant: id.clone(),
            why: fault.to_string(),
        });
        Ok(Some((id.clone(), head)))
    }

    /// How much was issued to someone and has not ended.
    fn living(
        &self,
        tenant: &Tenant,
        trust_domain: Option<&TrustDomain>,
    ) -> Result<Vec<avouch_store::Living>, Fault> {
        let at = self.now();
        let from = self.earliest_living(tenant, at)?;
        self.living_of(tenant.id(), from, at, trust_domain)
    }

    fn living_of(
        &self,
        tenant: &TenantId,
        from: Time,
        at: Time,
        trust_domain: Option<&TrustDomain>,
    ) -> Result<Vec<avouch_store::Living>, Fault> {
        let lasting = Lasting {
            from,
            at,
            trust_domain,
        };
        let mut living = self.store.living(tenant, lasting)?;
        living.retain(|one| match one.kind {
            CredentialKind::X509
            | CredentialKind::Jwt
            | CredentialKind::Wit
            | CredentialKind::Certificate => true,
            CredentialKind::Authority
            | CredentialKind::RevocationList
            | CredentialKind::Event
            | CredentialKind::Revocation
            | CredentialKind::LifeCycle
            | CredentialKind::StatusList
            | CredentialKind::StatusResponse => false,
        });
        Ok(living)
    }

    /// Forgets the tenants that the store does not have any more, and holds those that it has: also in
    /// the place of another that had the same name.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn forget_gone(&self) -> Result<(), Fault> {
        // In this order: what is added meanwhile is not taken for gone.
        let held = self.all_known();
        let records = self.store.tenants(&OPERATOR)?;
        let there: BTreeMap<&TenantId, _> =
            records.iter().map(|record| (&record.id, record)).collect();
        let is_gone = |tenant: &&Arc<KnownTenant>| {
            let record = there.get(tenant.id());
            !record.is_some_and(|record| tenant.is(record))
        };
        let gone: Vec<&Arc<KnownTenant>> = held.iter().filter(is_gone).collect();
        for tenant in &gone {
            self.take_out(tenant);
            let id = tenant.id();
            self.asking.forget_tenant(id);
            self.attestors.forget_tenant(id);
            self.chains.forget_tenant(id);
            self.egresses.forget_tenant(id);
            self.federations.forget_tenant(id);
            self.fetcher().forget_tenant(id);
            self.following.forget_tenant(id);
            self.presences.forget_tenant(id);
            self.publishing.forget_tenant(id);
            self.receiving.forget_tenant(id);
            self.status_answers.forget_tenant(id);
            self.refreshing.forget_tenant(id);
            self.looked_through.forget_tenant(id);
            self.refused_nodes.forget_tenant(id);
            self.sending.forget_tenant(id);
            self.service_uses.forget_tenant(id);
            self.status_lists.forget_tenant(id);
        }
        let known = self.know_new_tenants();
        // Also those that follow it, which are admitted no more.
        for known in gone {
            match known.opened() {
                Some(tenant) => self.tell_everyone(&tenant),
                None => self.tell_above([known.as_ref()]),
            }
        }
        known
    }
}

/// The removals of a trust domain and of all that is in it.
fn without(snapshot: &Snapshot, name: &TrustDomain) -> Result<Vec<Change>, Reason> {
    if !snapshot.trust_domains.contains_key(name) {
        return Err(unknown("trust domain", name.as_str()));
    }
    let mut keys = vec![Key::TrustDomain(name.clone())];
    let authorities = snapshot.authorities.values();
    let authorities = authorities.filter(|record| record.trust_domain == *name);
    keys.extend(authorities.map(|record| Key::Authority(record.id.clone())));
    let entries = snapshot.entries.values();
    let entries = entries.filter(|entry| entry.spiffe_id.trust_domain() == name);
    keys.extend(entries.map(|entry| Key::Entry(entry.id.clone())));
    let nodes = snapshot.nodes.values();
    let nodes = nodes.filter(|node| node.spiffe_id.trust_domain() == name);
    keys.extend(nodes.map(|node| Key::Node(node.id.clone())));
    let tokens = snapshot.join_tokens.values();
    let tokens = tokens.filter(|token| token.spiffe_id.trust_domain() == name);
    keys.extend(tokens.map(|token| Key::JoinToken(token.id.clone())));
    let rules = snapshot.rules.values().filter(|rule| gives(rule, name));
    keys.extend(rules.map(|rule| Key::Rule(rule.id.clone())));
    Ok(keys.into_iter().map(Change::Remove).collect())
}

/// Whether an exchange rule gives identities of a trust domain.
fn gives(rule: &RuleRecord, name: &TrustDomain) -> bool {
    let document: Value = serde_json::from_str(&rule.document).unwrap_or_default();
    let id = document.pointer("/gives/spiffe_id").and_then(Value::as_str);
    let rest = id.and_then(|id| id.strip_prefix("spiffe://"));
    rest.is_some_and(|rest| rest.split('/').next() == Some(name.as_str()))
}

/// Destroys a key that is kept elsewhere, and that nothing names any more.
fn destroy(tenant: &Tenant, address: &str) {
    if let Err(error) = tenant.keys.destroy(address) {
        tracing::error!(tenant = %tenant.id(), %error, "a key that nothing uses is left");
    }
}

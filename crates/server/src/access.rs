//! Who may do what: roles, scoped to a tenant and all below it.
//!
//! The whole of it is one table, [`Role::may`]; `tests/it/roles.txt` is that table as a person
//! reads it, compared line by line.

use std::sync::Arc;

use avouch_core::exchange::at_most;
use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_store::Conflict;

use crate::caller::Caller;
use crate::fault::{Fault, Refused, unknown};
use crate::plane::{KnownTenant, Plane, RESERVED};
use crate::tenant::Tenant;

/// What a role may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noun {
    /// Administrators of the tenant.
    Admin,
    /// What the tenant trusts beside its own trust domains.
    Anchor,
    /// Authorities.
    Authority,
    /// What was decided on credentials that others have shown.
    Decision,
    /// APIs of others and their keys.
    Egress,
    /// Registration entries.
    Entry,
    /// Relations to foreign trust domains.
    Federation,
    /// Issuers of tokens and their keys.
    Issuer,
    /// Nodes and join tokens.
    Node,
    /// Exchange rules.
    Rule,
    /// Streams of events, what ended, and who is told of it.
    Signal,
    /// The tenant and those below it.
    Tenant,
    /// Trust domains.
    TrustDomain,
}

impl Noun {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Admin,
        Self::Anchor,
        Self::Authority,
        Self::Decision,
        Self::Egress,
        Self::Entry,
        Self::Federation,
        Self::Issuer,
        Self::Node,
        Self::Rule,
        Self::Signal,
        Self::Tenant,
        Self::TrustDomain,
    ];

    /// In words, more than one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "administrators",
            Self::Anchor => "anchors",
            Self::Authority => "authorities",
            Self::Decision => "decisions",
            Self::Egress => "egress",
            Self::Entry => "entries",
            Self::Federation => "federations",
            Self::Issuer => "issuers",
            Self::Node => "nodes",
            Self::Rule => "rules",
            Self::Signal => "signals",
            Self::Tenant => "tenants",
            Self::TrustDomain => "trust domains",
        }
    }
}

/// What may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// See it.
    Read,
    /// Make it, change it, remove it.
    Write,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "change",
        }
    }
}

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything but to add tenants and trust domains.
    Administrator,
    /// See everything, change nothing.
    Auditor,
    /// Replace authorities.
    AuthorityManager,
    /// Let nodes join, and ban them.
    NodeManager,
    /// Everything that anyone may.
    Operator,
    /// Say which workloads get which identities.
    Registrar,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Administrator,
        Self::Auditor,
        Self::AuthorityManager,
        Self::NodeManager,
        Self::Operator,
        Self::Registrar,
    ];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::AuthorityManager => "authority-manager",
            Self::NodeManager => "node-manager",
            Self::Operator => "operator",
            Self::Registrar => "registrar",
        }
    }

    /// Whether it lets its holder do this.
    pub fn may(self, verb: Verb, noun: Noun) -> bool {
        match (self, verb, noun) {
            // What was decided was decided.
            (_, Verb::Write, Noun::Decision) => false,
            (Self::Operator, Verb::Read | Verb::Write, _) => true,
            (
                Self::Administrator
                | Self::Auditor
                | Self::AuthorityManager
                | Self::NodeManager
                | Self::Registrar,
                Verb::Read,
                _,
            ) => true,
            (Self::Administrator, Verb::Write, noun) => {
                !matches!(noun, Noun::Tenant | Noun::TrustDomain)
            }
            (Self::AuthorityManager, Verb::Write, noun) => noun == Noun::Authority,
            (Self::NodeManager, Verb::Write, noun) => noun == Noun::Node,
            (Self::Registrar, Verb::Write, noun) => noun == Noun::Entry,
            (Self::Auditor, Verb::Write, _) => false,
        }
    }
}

/// Something that a role lets its holder do, and none of these others theirs.
pub(crate) fn beyond(role: Role, others: &[Role]) -> Option<(Verb, Noun)> {
    let mut all = Noun::ALL
        .into_iter()
        .flat_map(|noun| Verb::ALL.map(|verb| (verb, noun)));
    all.find(|(verb, noun)| {
        role.may(*verb, *noun) && !others.iter().any(|other| other.may(*verb, *noun))
    })
}

impl Plane {
    /// The tenant, if `caller` may do this there.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown` for who has no role there, as if there were no such tenant;
    /// `issue.not_permitted` for who has another one; `issue.bound_exceeded` for who has one and may not
    /// have it through the anchor that has vouched for them.
    pub fn permit(
        &self,
        caller: &Caller,
        tenant: &str,
        verb: Verb,
        noun: Noun,
    ) -> Result<Arc<Tenant>, Refused> {
        let unknown = || match self.check_store_for(tenant) {
            Ok(()) => Refused::from(unknown("tenant", tenant)),
            Err(fault) => fault.into(),
        };
        let found = match self.tenant_named(tenant) {
            Ok(found) => found.ok_or_else(unknown)?,
            // Who has no role there learns nothing of what is damaged, either.
            Err(fault) if fault.is_damage() => {
                let known = TenantId::parse(tenant).and_then(|id| self.known(&id));
                let (roles, _) = self.roles_in(caller, &known.ok_or_else(unknown)?)?;
                return Err(match roles.is_empty() {
                    true => unknown(),
                    false => fault.into(),
                });
            }
            Err(fault) => return Err(fault.into()),
        };
        let roles = self.roles(caller, &found);
        if roles.is_empty() {
            self.check_kept(caller, &found)?;
            return Err(unknown());
        }
        if roles.iter().any(|role| role.may(verb, noun)) {
            if verb == Verb::Write {
                self.check_acted_for(caller, &found)?;
            }
            return Ok(found);
        }
        Err(Reason::IssueNotPermitted {
            subject: caller.id.to_string(),
            verb: verb.name(),
            noun: noun.name(),
        }
        .into())
    }

    /// The tenant, if `caller` may do this in it, by what can be read of it and of those above it: a role
    /// of one of which something cannot be read does not count, since it may have been taken away.
    ///
    /// # Errors
    ///
    /// As [`Plane::permit`].
    pub(crate) fn permit_known(
        &self,
        caller: &Caller,
        tenant: &str,
        verb: Verb,
        noun: Noun,
    ) -> Result<Arc<KnownTenant>, Refused> {
        let known = TenantId::parse(tenant).and_then(|id| self.known(&id));
        let known = match (self.permit(caller, tenant, verb, noun), known) {
            (Err(Refused::Fault(fault)), Some(known)) if fault.is_damage() => known,
            (Err(refused), _) => return Err(refused),
            (Ok(found), _) => {
                let gone = || Conflict::UnknownTenant(found.id().clone());
                return Ok(self.known(found.id()).ok_or_else(gone)?);
            }
        };
        if let Some(own) = self.opened(&caller.tenant) {
            self.fit(&own)?;
        }
        match self
            .sound_roles(caller, &known)?
            .iter()
            .any(|role| role.may(verb, noun))
        {
            true => Ok(known),
            false => Err(Fault::Behind(known.id().clone()).into()),
        }
    }

    /// What `caller` is in a tenant, by what can be read of it and of those above it.
    pub(crate) fn sound_roles(
        &self,
        caller: &Caller,
        known: &Arc<KnownTenant>,
    ) -> Result<Vec<Role>, Fault> {
        let mut roles = Vec::new();
        if !self.may_have_roles(caller)? {
            return Ok(roles);
        }
        let mut at = Some(Arc::clone(known));
        while let Some(known) = at {
            if !known.is_damaged() {
                let mut own = Vec::new();
                let looked = self.each_admin(&known, &mut |admin| {
                    if admin.subject == caller.id {
                        own.extend(Role::parse(&admin.role));
                    }
                });
                match looked {
                    Ok(()) => roles.append(&mut own),
                    Err(fault) if fault.is_damage() => {}
                    Err(fault) => return Err(fault),
                }
            }
            at = known.parent().and_then(|parent| self.known(parent));
        }
        Ok(roles)
    }

    /// Fails while the store is away, whether or not there is such a tenant: one that is there and not
    /// open would be told from one that is not.
    fn check_store_for(&self, tenant: &str) -> Result<(), Fault> {
        let asked = TenantId::parse(tenant).map(|id| self.stored_tenant(&id));
        match asked {
            Some(Err(fault)) if !fault.is_damage() => Err(fault),
            Some(_) | None => Ok(()),
        }
    }

    /// Who changes something has a role still, and is who it says still, as far as that can be read.
    fn check_acted_for(&self, caller: &Caller, tenant: &Tenant) -> Result<(), Refused> {
        self.fit(tenant)?;
        match self.opened(&caller.tenant) {
            Some(own) => self.fit(&own),
            None => Ok(()),
        }
    }

    /// Whether a role counts that whoever calls was given: not for who has come to be who they are through
    /// an anchor through which nobody may.
    pub(crate) fn may_have_roles(&self, caller: &Caller) -> Result<bool, Fault> {
        Ok(caller.kept_from_administering.is_none() && self.can_have_roles(&caller.id)?)
    }

    /// Why a role of whoever calls does not count, if they have one.
    fn check_kept(&self, caller: &Caller, tenant: &Arc<Tenant>) -> Result<(), Reason> {
        let Some(anchor) = &caller.kept_from_administering else {
            return Ok(());
        };
        let otherwise = Caller {
            kept_from_administering: None,
            ..caller.clone()
        };
        match self.roles(&otherwise, tenant).is_empty() {
            true => Ok(()),
            false => Err(at_most::administers(anchor, &caller.id)),
        }
    }

    /// Whether a role counts that is given to this identity: those of nodes and servers have none,
    /// whatever was given to them once, since whoever lets a node join says who it is.
    pub(crate) fn can_have_roles(&self, id: &SpiffeId) -> Result<bool, Fault> {
        Ok(id.segments().next() != Some(RESERVED) || *id == self.operator_id()?)
    }

    /// What `caller` is in a tenant: the roles it has there and in all above.
    pub fn roles(&self, caller: &Caller, tenant: &Arc<Tenant>) -> Vec<Role> {
        let mut roles = Vec::new();
        if !self.may_have_roles(caller).unwrap_or_default() {
            return roles;
        }
        for tenant in self.with_all_above(tenant) {
            tenant.read(|snapshot| {
                let admins = snapshot.admins.values();
                let own = admins.filter(|admin| admin.subject == caller.id);
                // A role that this program does not know gives nothing.
                roles.extend(own.filter_map(|admin| Role::parse(&admin.role)));
            });
        }
        roles
    }
}

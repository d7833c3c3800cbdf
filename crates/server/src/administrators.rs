//! Administrators: who has which role in a tenant.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::exchange::ExchangeRule;
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::template::IdTemplate;
use avouch_store::{AdminId, AdminRecord, Change, Key, Object, Snapshot, TenantKind};

use crate::access::{Role, Verb, beyond};
use crate::caller::Caller;
use crate::fault::{Fault, Refused, misnamed, unknown};
use crate::given_already::Giver;
use crate::plane::{KnownTenant, Plane, RESERVED};
use crate::tenant::Tenant;
use crate::ways::Way;

/// Those who administer a tenant, or one below it, and may more there than someone else.
#[derive(Default)]
pub(crate) struct Superiors {
    subject: String,
    all: Vec<Superior>,
    /// The rules of the tenant, and of those below it and above it, by which they could be had.
    ways: Vec<Way>,
}

struct Superior {
    id: SpiffeId,
    role: String,
    tenant: String,
}

impl Superiors {
    /// Refuses an identity that is one of theirs, or could become it, also in exchange.
    pub(crate) fn check(&self, identity: &IdTemplate) -> Result<(), Reason> {
        self.check_none(|id| identity.admits(id))?;
        self.check_no_way(|way| way.admits(identity))
    }

    /// Refuses a rule that gives one of theirs, or what another exchanges for it.
    pub(crate) fn check_rule(&self, rule: &ExchangeRule) -> Result<(), Reason> {
        self.check_none(|id| rule.trust_domain() == id.trust_domain() && rule.could_give(id))?;
        self.check_no_way(|way| way.is_reached_by(rule))
    }

    /// Refuses a key above a trust domain in which one of theirs lies, or what is exchanged for it.
    pub(crate) fn check_root(&self, trust_domain: &TrustDomain) -> Result<(), Reason> {
        self.check_none(|id| id.trust_domain() == trust_domain)?;
        self.check_no_way(|way| way.is_from(trust_domain))
    }

    /// Refuses keys of a trust domain of elsewhere of which something is exchanged for one of theirs.
    pub(crate) fn check_bundle(&self, trust_domain: &TrustDomain) -> Result<(), Reason> {
        self.check_no_way(|way| way.is_from_elsewhere(trust_domain))
    }

    /// Refuses an anchor of a name under which something is exchanged for one of theirs.
    pub(crate) fn check_anchor(&self, name: &str) -> Result<(), Reason> {
        self.check_no_way(|way| way.is_through(name))
    }

    fn check_none(&self, could_be: impl Fn(&SpiffeId) -> bool) -> Result<(), Reason> {
        match self.all.iter().find(|one| could_be(&one.id)) {
            None => Ok(()),
            Some(one) => Err(self.refuse(one.id.to_string(), one)),
        }
    }

    fn check_no_way(&self, leads: impl Fn(&Way) -> bool) -> Result<(), Reason> {
        let way = self.ways.iter().find(|way| leads(way));
        match way.and_then(|way| Some((way, self.all.get(way.to())?))) {
            None => Ok(()),
            Some((way, one)) => {
                let id = format!("{}, had in exchange {},", one.id, way.told());
                Err(self.refuse(id, one))
            }
        }
    }

    fn refuse(&self, id: String, one: &Superior) -> Reason {
        Reason::IssueIdentityAdministers {
            id,
            role: one.role.clone(),
            tenant: one.tenant.clone(),
            subject: self.subject.clone(),
        }
    }
}

impl Plane {
    /// Those who may more in a tenant or below it than `caller`. Who says who gets an identity could be
    /// whoever has it, so nobody says it of one of these.
    ///
    /// # Errors
    ///
    /// Who someone is that has a role in one of the tenants cannot be read, or the store is away: then
    /// nobody knows who it is not.
    pub(crate) fn superiors(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
    ) -> Result<Superiors, Refused> {
        let mut superiors = Superiors {
            subject: caller.id.to_string(),
            ..Superiors::default()
        };
        let here = self.roles(caller, tenant);
        // Nobody may more here or below, and that is most often who asks.
        if here.contains(&Role::Operator) {
            return Ok(superiors);
        }
        for known in self.known_below(tenant.id()) {
            let mut found = Vec::new();
            self.each_appointed(&known, &mut |id, role| {
                found.push((id.clone(), role.map(ToOwned::to_owned)));
            })?;
            if found.is_empty() {
                continue;
            }
            let own = self.roles_down_to(caller, &known, tenant.id(), &here)?;
            for (id, role) in found {
                // A role that this program does not know, or cannot read, may be anything.
                let parsed = role.as_deref().and_then(Role::parse);
                if beyond(parsed.unwrap_or(Role::Operator), &own).is_some() {
                    superiors.all.push(Superior {
                        id,
                        role: role.unwrap_or_else(|| "that cannot be read".to_owned()),
                        tenant: known.id().to_string(),
                    });
                }
            }
        }
        let ids: Vec<&SpiffeId> = superiors.all.iter().map(|one| &one.id).collect();
        superiors.ways = self.ways_of_becoming(tenant, &ids)?;
        Ok(superiors)
    }

    /// What `caller` is in a tenant below another, where it is `here`. What is damaged gives it nothing.
    fn roles_down_to(
        &self,
        caller: &Caller,
        known: &Arc<KnownTenant>,
        top: &TenantId,
        here: &[Role],
    ) -> Result<Vec<Role>, Fault> {
        let mut roles = here.to_vec();
        let mut at = Some(Arc::clone(known));
        while let Some(known) = at.filter(|known| known.id() != top) {
            let mut own = Vec::new();
            let is_sound = self.each_appointed(&known, &mut |id, role| {
                if *id == caller.id {
                    own.extend(role.and_then(Role::parse));
                }
            })?;
            if is_sound {
                roles.append(&mut own);
            }
            at = known.parent().and_then(|parent| self.known(parent));
        }
        Ok(roles)
    }

    /// Gives someone a role on behalf of `caller`, who can give no more than it has, and tells who could
    /// have given that identity to themselves before. Where they have the role already, that was told.
    ///
    /// # Errors
    ///
    /// `issue.object_malformed`, `issue.object_unknown` for a trust domain that is neither the
    /// tenant's nor of one above, `issue.id_reserved`, `issue.not_permitted`, `issue.conflict` where the
    /// last operator would go, or what failed on our side.
    pub(crate) fn appoint(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
        name: &str,
        subject: SpiffeId,
        role: &str,
    ) -> Result<(AdminRecord, Vec<Giver>), Refused> {
        let id = AdminId::parse(name).ok_or_else(|| misnamed("administrator", "name"))?;
        let role = Role::parse(role).ok_or_else(|| {
            let all: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
            malformed("role", &format!("must be one of {}", all.join(", ")))
        })?;
        self.check_gives(caller, tenant, role)?;
        self.check_home(tenant, subject.trust_domain())?;
        // Whoever lets nodes join says who these are.
        if subject.segments().next() == Some(RESERVED) && subject != self.operator_id()? {
            let id = subject.to_string();
            return Err(Reason::IssueIdReserved { id }.into());
        }
        let record = AdminRecord {
            id,
            subject,
            role: role.name().to_owned(),
            created: self.now(),
        };
        let is_same = tenant.read(|snapshot| {
            let before = snapshot.admins.get(&record.id);
            before.is_some_and(|one| one.subject == record.subject && one.role == record.role)
        });
        let givers = match is_same {
            true => Vec::new(),
            false => self.given_already(caller, tenant, &record.subject, role)?,
        };
        self.change_admins(caller, tenant, &record.id, Some(&record))?;
        Ok((record, givers))
    }

    /// Takes a role away on behalf of `caller`.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.not_permitted` for a role that may more than the caller's
    /// own, `issue.conflict` for the last operator of the deployment, or what failed on our side.
    pub fn dismiss(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
        name: &str,
    ) -> Result<(), Refused> {
        let id = AdminId::parse(name);
        let there = id.filter(|id| tenant.read(|snapshot| snapshot.admins.contains_key(id)));
        let id = there.ok_or_else(|| unknown("administrator", name))?;
        self.change_admins(caller, tenant, &id, None)
    }

    fn change_admins(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
        id: &AdminId,
        next: Option<&AdminRecord>,
    ) -> Result<(), Refused> {
        let change = match next {
            Some(record) => Change::Put(Object::Admin(record.clone())),
            None => Change::Remove(Key::Admin(id.clone())),
        };
        self.settle(tenant, || {
            let (before, is_last) = tenant.read(|snapshot| {
                let before = snapshot.admins.get(id);
                let before = before.and_then(|record| Role::parse(&record.role));
                (before, is_last_operator(snapshot, id))
            });
            if let Some(before) = before {
                self.check_gives(caller, tenant, before)?;
            }
            let stays = next.is_some_and(|record| record.role == Role::Operator.name());
            if tenant.kind() == TenantKind::Root && is_last && !stays {
                return Err(Reason::IssueConflict {
                    detail: format!("`{id}` is the last operator of the deployment"),
                }
                .into());
            }
            Ok(((), vec![change.clone()]))
        })
    }

    /// The identities that have a role in a tenant or below it: all that one of its trust domains can
    /// administer, since a role is given to names of the tenant itself or of one above. It opens none.
    ///
    /// # Errors
    ///
    /// Who administers one of them cannot be read: then nobody knows who does not.
    pub(crate) fn administrators_reached_from(
        &self,
        tenant: &Tenant,
    ) -> Result<BTreeSet<SpiffeId>, Fault> {
        let mut reached = BTreeSet::new();
        for known in self.known_below(tenant.id()) {
            self.each_admin(&known, &mut |admin| {
                reached.insert(admin.subject.clone());
            })?;
        }
        Ok(reached)
    }

    /// Who could give a role that may more than its own would have it, too.
    fn check_gives(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
        role: Role,
    ) -> Result<(), Refused> {
        match beyond(role, &self.roles(caller, tenant)) {
            None => Ok(()),
            Some((verb, noun)) => Err(Reason::IssueNotPermitted {
                subject: caller.id.to_string(),
                verb: match verb {
                    Verb::Read => "give a role that may read",
                    Verb::Write => "give a role that may change",
                },
                noun: noun.name(),
            }
            .into()),
        }
    }

    /// Whoever comes to own a trust domain says who is who in it. So a name that belongs to nobody
    /// yet, or to someone beside, is not given a role.
    fn check_home(&self, tenant: &Arc<Tenant>, trust_domain: &TrustDomain) -> Result<(), Refused> {
        let owns = |tenant: Arc<Tenant>| {
            tenant.read(|snapshot| snapshot.trust_domains.contains_key(trust_domain))
        };
        if self.with_all_above(tenant).any(owns) {
            return Ok(());
        }
        Err(unknown("trust domain", trust_domain.as_str()).into())
    }
}

fn is_last_operator(snapshot: &Snapshot, id: &AdminId) -> bool {
    let operators = snapshot.admins.values();
    let mut operators = operators.filter(|record| record.role == Role::Operator.name());
    matches!((operators.next(), operators.next()), (Some(only), None) if only.id == *id)
}

fn malformed(member: &str, detail: &str) -> Reason {
    Reason::IssueObjectMalformed {
        object: "administrator",
        member: member.to_owned(),
        detail: detail.to_owned(),
    }
}

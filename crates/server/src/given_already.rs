//! Who has an identity already when it is given a role: an entry or a rule that was nobody's concern before
//! may give it to someone who could not give the role.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::id::{SpiffeId, TenantId};

use crate::access::{Noun, Role, Verb, beyond};
use crate::caller::Caller;
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::ways::Way;

/// An entry or a rule by which someone comes to have an identity.
pub(crate) struct Giver {
    /// What it is.
    pub(crate) what: &'static str,
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    /// Whom it gives.
    pub(crate) gives: String,
}

impl Plane {
    /// The entries and rules by which someone comes to have an identity that gets a role, or one that is
    /// exchanged for it, as far as `caller` may see them: those that somebody can have made who may less
    /// than the role does. Whoever of these made one would be refused from now on.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn given_already(
        &self,
        caller: &Caller,
        tenant: &Arc<Tenant>,
        subject: &SpiffeId,
        role: Role,
    ) -> Result<Vec<Giver>, Refused> {
        // What gives an identity belongs to whom its trust domain belongs to, and that is whose rules count.
        let home = self.known_owner(subject.trust_domain());
        let home = home.map(|home| self.open_if_sound(home.id()));
        let Some(home) = home.transpose()?.flatten() else {
            return Ok(Vec::new());
        };
        let ways = self.ways_of_becoming(&home, &[subject])?;
        let mut owners = BTreeSet::from([home.id().clone()]);
        for way in &ways {
            owners.insert(way.tenant().clone());
            let domains = way.trust_domains();
            let all = domains.filter_map(|domain| self.known_owner(domain));
            owners.extend(all.map(|known| known.id().clone()));
        }
        let mut givers = Vec::new();
        for owner in owners {
            let Some(owner) = self.open_if_sound(&owner)? else {
                continue;
            };
            let may_see = |noun| {
                let roles = self.roles(caller, &owner);
                roles.iter().any(|role| role.may(Verb::Read, noun))
            };
            if may_see(Noun::Entry) && self.is_made_by_less(&owner, Noun::Entry, tenant, role) {
                givers.extend(entries(&owner, subject, &ways));
            }
            if may_see(Noun::Rule) && self.is_made_by_less(&owner, Noun::Rule, tenant, role) {
                let own = ways.iter().filter(|way| way.tenant() == owner.id());
                givers.extend(own.map(|way| Giver {
                    what: "rule",
                    tenant: owner.id().clone(),
                    name: way.rule().to_owned(),
                    gives: way.gives().to_owned(),
                }));
            }
        }
        Ok(givers)
    }

    /// Opens a tenant; what is damaged gives nothing to anyone until it can be read.
    fn open_if_sound(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>, Fault> {
        match self.tenant(id) {
            Err(fault) if fault.is_damage() => Ok(None),
            opened => opened,
        }
    }

    /// Whether somebody can have made such things in `owner` who could not give a role in `tenant`.
    fn is_made_by_less(
        &self,
        owner: &Arc<Tenant>,
        noun: Noun,
        tenant: &Arc<Tenant>,
        role: Role,
    ) -> bool {
        let roles_in = |tenant: &Arc<Tenant>| -> Vec<(SpiffeId, Role)> {
            let all = self.with_all_above(tenant).flat_map(|tenant| {
                tenant.read(|snapshot| {
                    let all = snapshot.admins.values();
                    all.map(|one| (one.subject.clone(), one.role.clone()))
                        .collect::<Vec<_>>()
                })
            });
            all.filter_map(|(subject, role)| Some((subject, Role::parse(&role)?)))
                .collect()
        };
        let here = roles_in(tenant);
        let makers = roles_in(owner);
        let mut makers = makers.iter().filter(|(_, own)| own.may(Verb::Write, noun));
        makers.any(|(maker, _)| {
            let own = here.iter().filter(|(subject, _)| subject == maker);
            beyond(role, &own.map(|(_, role)| *role).collect::<Vec<_>>()).is_some()
        })
    }
}

fn entries(owner: &Tenant, subject: &SpiffeId, ways: &[Way]) -> Vec<Giver> {
    owner.read(|snapshot| {
        let all = snapshot.entries.values().filter(|entry| {
            let id = &entry.spiffe_id;
            id.admits(subject) || ways.iter().any(|way| way.admits(id))
        });
        let givers = all.map(|entry| Giver {
            what: "entry",
            tenant: owner.id().clone(),
            name: entry.id.to_string(),
            gives: entry.spiffe_id.as_str().to_owned(),
        });
        givers.collect()
    })
}

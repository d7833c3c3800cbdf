//! All tenants of the deployment behind one door, those that are used in memory.

mod changing;
mod following;
mod forgetting;
mod known;
mod opening;
mod readings;
mod rehearsing;
mod sketch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_issuer::random::SystemRandom;
use avouch_store::keyring::RootKey;
use avouch_store::{
    AdminId, AdminRecord, Change, Conflict, Object, Operator, Sequence, Store, TenantKind,
    TenantRecord, TrustDomainRecord, Upstream,
};

use crate::access::Role;
use crate::certificate_status::StatusAnswers;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::currency::Currency;
use crate::decisions::Decisions;
use crate::egress::Egresses;
use crate::fault::{Fault, Refused, misnamed};
use crate::federation::States;
use crate::fetch::Fetcher;
use crate::introspection::Asking;
use crate::issuers::Refreshing;
use crate::nodes::{Known, Presences, RefusedNodes, ToldOfRefused};
use crate::quotas::Bounded;
use crate::services::ServiceUses;
use crate::settings::Settings;
use crate::sharing::{self, Sharing};
use crate::signals::{self, Attempts, LookedThrough, Receiving};
use crate::status::{Publishing, StatusLists};
use crate::tenant::Tenant;
use crate::trust_chains::Chains;
use crate::turned_away::TurnedAway;
use crate::views::Views;
use following::LookedAgain;
pub(crate) use known::KnownTenant;
pub(crate) use readings::Readings;
pub(crate) use sketch::Life;
pub use sketch::Listed;

/// Where the deployment sees all of its tenants, and nowhere else.
pub(crate) const OPERATOR: Operator = Operator::of_this_deployment();

/// The head of paths that are kept for nodes, servers and operators of Avouch itself.
pub const RESERVED: &str = "avouch";

/// All tenants of the deployment.
pub struct Plane {
    pub(crate) store: Arc<dyn Store>,
    root_key: RootKey,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: SystemRandom,
    tenants: RwLock<Tenants>,
    server_id: SpiffeId,
    pub(crate) presences: Presences,
    pub(crate) attestors: Known,
    pub(crate) refused_nodes: RefusedNodes,
    pub(crate) told_of_refused: ToldOfRefused,
    pub(crate) turned_away: TurnedAway,
    pub(crate) sharing: Sharing,
    pub(crate) counters: Counters,
    pub(crate) federations: States,
    fetcher: Fetcher,
    pub(crate) egresses: Egresses,
    pub(crate) refreshing: Refreshing,
    pub(crate) receiving: Receiving,
    pub(crate) following: Attempts,
    pub(crate) sending: Attempts,
    pub(crate) currency: Currency,
    /// From when on those who followed before the start have had the time to come back.
    pub(crate) settled: Time,
    /// Chains of federations.
    pub(crate) chains: Chains,
    /// What issuers were asked.
    pub(crate) asking: Asking,
    /// The status lists of others.
    pub(crate) status_lists: StatusLists,
    /// Those of its own.
    pub(crate) publishing: Publishing,
    /// What was answered about certificates.
    pub(crate) status_answers: StatusAnswers,
    pub(crate) service_uses: ServiceUses,
    pub(crate) decisions: Decisions,
    pub(crate) looked_through: LookedThrough,
    looked_again: LookedAgain,
    /// What tenants know.
    pub(crate) views: Arc<Views>,
}

#[derive(Default)]
struct Tenants {
    by_id: BTreeMap<TenantId, Arc<KnownTenant>>,
    by_domain: BTreeMap<TrustDomain, TenantId>,
    /// Counts those that were removed.
    taken_out: u64,
    /// Counts how often the store was put back to an earlier state.
    anew: u64,
}

/// From which number to which the last change of a tenant was raised; the same if it was not.
#[derive(Clone, Copy)]
struct Raised {
    from: Sequence,
    to: Sequence,
}

/// What a deployment begins with: its root tenant, from whose trust domain servers and operators
/// are.
#[derive(Clone, Debug)]
pub struct Founding {
    /// The name of the root tenant.
    pub tenant: TenantId,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
}

impl Plane {
    /// Opens a deployment, or founds it if the store has no tenants. `root_key` is asked for with
    /// the tenants that are there, so that it can refuse to be made anew beside them.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn open(
        store: Arc<dyn Store>,
        root_key: impl FnOnce(&[TenantRecord]) -> Result<RootKey, Fault>,
        founding: &Founding,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Refused> {
        let records = store.tenants(&OPERATOR)?;
        let root_key = root_key(&records)?;
        let settling = match records.is_empty() {
            true => 0,
            false => i64::from(settings.bundle_refresh_hint),
        };
        let mut plane = Self {
            settled: clock.now().plus(settling),
            fetcher: Fetcher::new(settings.fetch.clone()),
            egresses: Egresses::calling(settings.fetch.clone()),
            refreshing: Refreshing::default(),
            receiving: Receiving::default(),
            following: signals::following(),
            sending: signals::sending(),
            currency: Currency::default(),
            asking: Asking::default(),
            chains: Chains::default(),
            status_lists: StatusLists::default(),
            publishing: Publishing::default(),
            status_answers: StatusAnswers::default(),
            service_uses: ServiceUses::default(),
            decisions: Decisions::default(),
            looked_through: LookedThrough::default(),
            looked_again: LookedAgain::default(),
            views: Arc::default(),
            store,
            root_key,
            settings,
            clock,
            random: SystemRandom,
            tenants: RwLock::default(),
            server_id: server_id(&founding.trust_domain)?,
            presences: Presences::default(),
            attestors: Known::default(),
            refused_nodes: RefusedNodes::default(),
            told_of_refused: ToldOfRefused::default(),
            turned_away: TurnedAway::default(),
            sharing: Sharing::new(&SystemRandom)?,
            counters: Counters::default(),
            federations: States::default(),
        };
        plane.keep_lifetimes()?;
        let raised = plane.take_fresh_numbers()?;
        let is_founded = !records.is_empty();
        for record in records {
            let raised = raised.get(&record.id).copied();
            plane.know(record, raised);
        }
        plane.tenants_mut().by_domain = plane.store.trust_domains(&OPERATOR)?;
        if !is_founded {
            plane.add_tenant(&founding.tenant, None, TenantKind::Root)?;
        }
        // Not only when it was founded just now: a process may have ended in between.
        let root = plane.root()?;
        if root.read(|snapshot| snapshot.trust_domains.is_empty()) {
            plane.add_trust_domain(&root, &founding.trust_domain)?;
        }
        let first = root.first_trust_domain();
        let first = first.ok_or_else(|| Fault::Bug("the root has no trust domain".to_owned()))?;
        plane.server_id = server_id(&first)?;
        plane.tend(&root)?;
        let operator = plane.operator_id()?;
        plane.put_admin(&root, "operator", operator, Role::Operator)?;
        Ok(Arc::new(plane))
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// What the operator has chosen.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What fetches from elsewhere.
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Who this server is to nodes, and the audience of tokens for it.
    pub fn server_id(&self) -> &SpiffeId {
        &self.server_id
    }

    /// Who runs the deployment from its own machine.
    pub fn operator_id(&self) -> Result<SpiffeId, Fault> {
        reserved(self.server_id.trust_domain(), "operator")
    }

    /// The tenant above all others.
    pub fn root(&self) -> Result<Arc<Tenant>, Fault> {
        let mut known = self.all_known().into_iter();
        let root = known.find(|known| known.kind() == TenantKind::Root);
        let root = root
            .map(|root| self.open_known(&root))
            .transpose()?
            .flatten();
        root.ok_or_else(|| Fault::Stored("there is no root tenant".to_owned()))
    }

    /// How many tenants have their authorities opened.
    pub fn tenants_that_sign(&self) -> usize {
        let all = self.open_tenants();
        all.iter().filter(|one| one.held().is_open()).count()
    }

    /// The tenant and all above it, up to the root.
    pub(crate) fn with_all_above(&self, tenant: &Arc<Tenant>) -> impl Iterator<Item = Arc<Tenant>> {
        // None is opened before all above it are.
        let above = |tenant: &Arc<Tenant>| self.opened(tenant.parent()?);
        std::iter::successors(Some(Arc::clone(tenant)), above)
    }

    /// Adds a tenant.
    ///
    /// # Errors
    ///
    /// `issue.conflict`, or what failed on our side.
    pub fn add_tenant(
        &self,
        id: &TenantId,
        parent: Option<&TenantId>,
        kind: TenantKind,
    ) -> Result<Arc<Tenant>, Refused> {
        let (_, key) = self.root_key.new_tenant_key(id)?;
        let record = TenantRecord {
            id: id.clone(),
            parent: parent.cloned(),
            kind,
            created: self.now(),
            key,
        };
        // Before anything is stored: below one that cannot be read nothing is made.
        if let Some(parent) = parent
            && let Some(parent) = self.tenant(parent)?
        {
            self.fit(&parent)?;
        }
        self.rehearse_tenant_if_asked(&record)?;
        // Keys of one that had its name are found by what is left of that one.
        self.destroy_keys_of_removed()?;
        self.store.add_tenant(&OPERATOR, &record)?;
        // Another server may have removed one of this name that is held here still.
        if self.known(id).is_some() {
            self.forget_gone()?;
        }
        let known = self.know(record, None);
        let tenant = self.open_known(&known)?;
        tenant.ok_or_else(|| Conflict::UnknownTenant(id.clone()).into())
    }

    /// Gives a tenant a trust domain with all its authorities. Again is harmless.
    ///
    /// # Errors
    ///
    /// `issue.conflict` where it belongs to someone else, or what failed on our side.
    pub fn add_trust_domain(
        &self,
        tenant: &Arc<Tenant>,
        trust_domain: &TrustDomain,
    ) -> Result<(), Refused> {
        let is_there = tenant.read(|snapshot| snapshot.trust_domains.contains_key(trust_domain));
        if !is_there {
            self.settle(tenant, || self.with_trust_domain(tenant, trust_domain))?;
        }
        crate::dry_run::stop()?;
        self.tend(tenant)
    }

    /// What gives a tenant a trust domain, if there is room for one more.
    fn with_trust_domain(
        &self,
        tenant: &Arc<Tenant>,
        name: &TrustDomain,
    ) -> Result<((), Vec<Change>), Refused> {
        if tenant.read(|snapshot| snapshot.trust_domains.contains_key(name)) {
            return Ok(((), Vec::new()));
        }
        self.check_room(tenant, Bounded::TrustDomains)?;
        // Later than the others, also within a second: the first is told by it.
        let last = tenant.read(|snapshot| {
            let domains = snapshot.trust_domains.values();
            domains.map(|domain| domain.created.plus(1)).max()
        });
        let now = self.now();
        let record = TrustDomainRecord {
            name: name.clone(),
            created: last.map_or(now, |last| now.max(last)),
            upstream: Upstream::Own,
        };
        Ok(((), vec![Change::Put(Object::TrustDomain(record))]))
    }

    /// Gives someone a role in a tenant and all below it, in the place of who had this name.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn put_admin(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        subject: SpiffeId,
        role: Role,
    ) -> Result<AdminRecord, Refused> {
        let id = AdminId::parse(name).ok_or_else(|| misnamed("administrator", "name"))?;
        let there = tenant.read(|snapshot| snapshot.admins.get(&id).cloned());
        if let Some(there) = there
            && there.subject == subject
            && there.role == role.name()
        {
            return Ok(there);
        }
        let record = AdminRecord {
            id,
            subject,
            role: role.name().to_owned(),
            created: self.now(),
        };
        self.apply(tenant, &[Change::Put(Object::Admin(record.clone()))])?;
        Ok(record)
    }

    /// Whether the store answers. What is answered from memory does not depend on it.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn check_store(&self) -> Result<(), Fault> {
        Ok(self.store.check(&OPERATOR)?)
    }

    /// A tenant as the store has it now.
    pub(crate) fn stored_tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>, Fault> {
        Ok(self.store.tenant(&OPERATOR, id)?)
    }

    /// The number of the last change of every tenant, as stored.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn heads(&self) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        Ok(self.store.heads(&OPERATOR)?)
    }

    /// Lets numbers of changes go on above all that were ever given.
    fn take_fresh_numbers(&self) -> Result<BTreeMap<TenantId, Raised>, Fault> {
        let to = sharing::fresh_numbers(self.now());
        let before = self.store.raise(&OPERATOR, to)?.into_iter();
        let raised = before.map(|(id, from)| {
            let to = to.max(from);
            (id, Raised { from, to })
        });
        Ok(raised.collect())
    }

    fn tenants(&self) -> RwLockReadGuard<'_, Tenants> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants_mut(&self) -> RwLockWriteGuard<'_, Tenants> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane")
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// An identity of Avouch itself in a trust domain.
pub(crate) fn reserved(trust_domain: &TrustDomain, path: &str) -> Result<SpiffeId, Fault> {
    let id = format!("spiffe://{trust_domain}/{RESERVED}/{path}");
    SpiffeId::parse(&id).map_err(|reason| Fault::Bug(reason.sentence()))
}

fn server_id(trust_domain: &TrustDomain) -> Result<SpiffeId, Fault> {
    reserved(trust_domain, "server")
}

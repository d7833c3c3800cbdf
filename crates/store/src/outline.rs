//! What is known of a tenant before anything that it owns is read.

use avouch_core::id::{SpiffeId, TrustDomain};

use crate::change::{Change, Object, Sequence};
use crate::record::{AdminRecord, AuthorityRecord, TrustDomainRecord};

/// The little of a tenant by which a server finds it, says who may know of it, and knows when there
/// is something to do for it. It is read where everything else need not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The number of the last change in it.
    pub sequence: Sequence,
    /// Its trust domains, by name.
    pub trust_domains: Vec<TrustDomainRecord>,
    /// Its administrators, by name.
    pub admins: Vec<AdminRecord>,
    /// Its authorities, by name.
    pub authorities: Vec<AuthorityRecord>,
    /// Whether it has registration entries.
    pub has_entries: bool,
    /// Whether it owns something that asks or tells others in time, without being asked itself:
    /// relations, issuers, streams of signals and those who receive them.
    pub works_by_itself: bool,
}

/// Someone who was given a role, as far as that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appointed {
    /// Who.
    pub subject: SpiffeId,
    /// Which role, unless that cannot be read.
    pub role: Option<String>,
}

/// How many objects a tenant owns of those that there may be many of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Registration entries.
    pub entries: usize,
    /// Nodes.
    pub nodes: usize,
}

/// The kinds of objects that an outline names each of.
pub(crate) const OUTLINED: [&str; 3] = ["admin", "authority", "trust_domain"];

impl Outline {
    /// Nothing, after the change of this number.
    pub(crate) fn at(sequence: Sequence) -> Self {
        Self {
            sequence,
            ..Self::default()
        }
    }

    /// Whether a trust domain is the tenant's.
    pub fn has(&self, trust_domain: &TrustDomain) -> bool {
        let mut names = self.trust_domains.iter().map(|domain| &domain.name);
        names.any(|name| name == trust_domain)
    }

    /// Adds an object of one of the kinds that it names.
    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::Put(Object::Admin(admin)) => self.admins.push(admin),
            Change::Put(Object::Authority(authority)) => self.authorities.push(authority),
            Change::Put(Object::TrustDomain(domain)) => self.trust_domains.push(domain),
            Change::Put(_) | Change::Remove(_) => {}
        }
    }
}

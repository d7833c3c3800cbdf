//! What a tenant trusts beside its own trust domains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::anchor::{AnchorKind, PublicStore};
use avouch_core::id::{Digest, TrustDomain};
use avouch_core::reason::Reason;
use avouch_store::{AnchorId, AnchorRecord, Change, Key, Object};
use serde_json::{Value, json};

use crate::administrators::Superiors;
use crate::fault::{Refused, misnamed, unknown};
use crate::federation;
use crate::issuers::saving;
use crate::plane::Plane;
use crate::tenant::Tenant;
use crate::views;

/// An anchor, and what a reader of the list must know that does not stand in it.
#[derive(Clone, Debug)]
pub(crate) struct AnchorTold {
    /// The anchor as it was given.
    pub(crate) record: AnchorRecord,
    /// The public store that it is, with how many members that has.
    pub(crate) store: Option<(PublicStore, usize)>,
    /// The public stores that have its key too, by their names: who trusts it as their own trusts
    /// what anyone may have a certificate of.
    pub(crate) also_in: Vec<String>,
}

impl Plane {
    /// What the tenant trusts beside its own trust domains, in the order of the names.
    pub(crate) fn anchors(tenant: &Arc<Tenant>) -> Vec<AnchorTold> {
        let records: Vec<AnchorRecord> =
            tenant.read(|snapshot| snapshot.anchors.values().cloned().collect());
        let mut told = Vec::with_capacity(records.len());
        let mut public: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for record in records {
            let Certificates { store, keys } = certificates(&record, tenant).unwrap_or_default();
            if store.is_some() {
                for key in &keys {
                    let names = public.entry(*key).or_default();
                    names.push(record.id.as_str().to_owned());
                }
            }
            told.push((record, store, keys));
        }
        let told = told.into_iter().map(|(record, store, keys)| {
            let is_own = store.is_none();
            let found = keys.iter().filter(|_| is_own);
            let found = found.filter_map(|key| public.get(key)).flatten();
            AnchorTold {
                also_in: found
                    .cloned()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                store,
                record,
            }
        });
        told.collect()
    }

    /// Stores an anchor, one element of `trust.anchors` of a question, in the place of what had its
    /// name. It is read first, as it will be when something is decided.
    ///
    /// # Errors
    ///
    /// Why it cannot be read; `issue.object_malformed`; `issue.trust_unconditional` and
    /// `issue.trust_mutable`, unless it says `unpinned`; `issue.conflict` for a bundle of a trust
    /// domain of the tenant itself, which has one already; or what failed on our side.
    pub fn put_anchor(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &Value,
    ) -> Result<AnchorRecord, Refused> {
        let id = AnchorId::parse(name).ok_or_else(|| misnamed("anchor", "name"))?;
        if federation::keeps(&id) {
            return Err(kept(&id).into());
        }
        let read = views::read_sent("anchor", document.clone(), tenant)?;
        for entry in read.entries() {
            if let AnchorKind::TrustDomain(bundle) = &entry.anchor.kind
                && tenant.read(|held| held.trust_domains.contains_key(&bundle.trust_domain))
            {
                return Err(Reason::IssueConflict {
                    detail: format!(
                        "`{}` is a trust domain of the tenant itself, whose keys are made here",
                        bundle.trust_domain
                    ),
                }
                .into());
            }
            saving::check(&entry.anchor.kind)?;
            saving::check_usable("anchor", &entry.anchor, self.now())?;
            self.check_not_itself(tenant, &entry.anchor.kind)?;
            if let AnchorKind::TrustDomain(bundle) = &entry.anchor.kind {
                check_not_federated(tenant, &bundle.trust_domain)?;
            }
        }
        let record = AnchorRecord {
            id,
            document: document.to_string(),
        };
        self.apply(tenant, &[Change::Put(Object::Anchor(record.clone()))])?;
        Ok(record)
    }

    /// That an anchor vouches for nobody who has the identity of one of `superiors` in exchange.
    ///
    /// # Errors
    ///
    /// `issue.identity_administers`, or why it cannot be read.
    pub(crate) fn check_vouches_for_no(
        superiors: &Superiors,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &Value,
    ) -> Result<(), Refused> {
        superiors.check_anchor(name)?;
        let read = views::read_sent("anchor", document.clone(), tenant)?;
        for entry in read.entries() {
            superiors.check_anchor(&entry.anchor.name)?;
            if let AnchorKind::TrustDomain(bundle) = &entry.anchor.kind {
                superiors.check_bundle(&bundle.trust_domain)?;
            }
        }
        Ok(())
    }

    /// That a tenant does not trust itself by another name: what it gave would come back as if another had
    /// given it, and what has ended of its own would hold.
    ///
    /// # Errors
    ///
    /// `issue.conflict`.
    pub(crate) fn check_not_itself(
        &self,
        tenant: &Tenant,
        kind: &AnchorKind,
    ) -> Result<(), Reason> {
        let own = self.issuer_of(tenant.id());
        match kind.issuer_name() == Some(own.as_str()) {
            false => Ok(()),
            true => Err(Reason::IssueConflict {
                detail: format!(
                    "`{own}` is the tenant itself, whose tokens are known by its trust domains"
                ),
            }),
        }
    }

    /// Trusts an anchor no more.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub fn remove_anchor(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = AnchorId::parse(name);
        let there = id.filter(|id| tenant.read(|snapshot| snapshot.anchors.contains_key(id)));
        let id = there.ok_or_else(|| unknown("anchor", name))?;
        if federation::keeps(&id) {
            return Err(kept(&id).into());
        }
        self.apply(tenant, &[Change::Remove(Key::Anchor(id))])?;
        Ok(())
    }
}

/// What an anchor of certificates has.
#[derive(Default)]
struct Certificates {
    /// The public store that it is, with how many members that has.
    store: Option<(PublicStore, usize)>,
    keys: BTreeSet<Digest>,
}

fn certificates(record: &AnchorRecord, tenant: &Tenant) -> Option<Certificates> {
    let document: Value = serde_json::from_str(&record.document).ok()?;
    document.get("x509")?;
    let text = json!({ "anchors": [document] }).to_string();
    let read = views::read(&text, tenant, "the anchor").ok()?;
    let members = read.entries().iter().map(|entry| &entry.anchor);
    let keys = members.clone().filter_map(|anchor| match &anchor.kind {
        AnchorKind::Certificate(certificate) => Some(Digest::of(certificate.public_key_info())),
        AnchorKind::ApiKey(_)
        | AnchorKind::Federation(_)
        | AnchorKind::Issuer(_)
        | AnchorKind::Saml(_)
        | AnchorKind::Ssh(_)
        | AnchorKind::TrustDomain(_) => None,
    });
    let keys = keys.collect();
    // All members of one document are of one store.
    let store = members.clone().next()?.stewardship.public_store.clone();
    Some(Certificates {
        store: store.map(|store| (store, members.count())),
        keys,
    })
}

/// Bundles of one trust domain are never merged.
fn check_not_federated(tenant: &Tenant, trust_domain: &TrustDomain) -> Result<(), Reason> {
    let is_federated = tenant.read(|snapshot| snapshot.federations.contains_key(trust_domain));
    if !is_federated {
        return Ok(());
    }
    Err(Reason::IssueConflict {
        detail: format!("the bundle of `{trust_domain}` is kept by a federation relation"),
    })
}

fn kept(id: &AnchorId) -> Reason {
    Reason::IssueConflict {
        detail: format!("the anchor `{id}` is kept by a federation relation; change that"),
    }
}

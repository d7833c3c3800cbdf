//! What is known when a question is asked: an immutable snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::anchor::{Anchor, AnchorKind};
use crate::credential::jose::bundle::Bundle;
use crate::credential::jose::status_list::StatusList;
use crate::credential::x509::{Certificate, Crl, DistinguishedName};
use crate::ended::{Begun, Endings};
use crate::exchange::statement::{Ancestor, descends_from, read_lineage};
use crate::id::{Digest, TenantId, TrustDomain};
use crate::model::federation::claims::CLOCK_LEEWAY;
use crate::model::federation::{FederationAnchor, Introspected, IssuerAnchor, SamlAnchor};
use crate::reason::Reason;
use crate::service::Service;
use crate::set_aside::SetAside;
use crate::time::Time;

/// Everything that a decision may rest on, fixed. Its epoch is a digest of its content, so that a
/// stored decision names exactly what was known.
#[derive(Clone, Debug)]
pub struct View {
    tenant: TenantId,
    /// Shared by the views that differ in the rest only, which are made for one question each.
    trusted: Arc<Trusted>,
    /// The anchors that are in quarantine, which are few.
    quarantined: Vec<Arc<Anchor>>,
    endings: Arc<Endings>,
    /// The status lists of tokens by their address, the newest first.
    status_lists: BTreeMap<String, Vec<Arc<StatusList>>>,
    /// What issuers answered about tokens.
    introspected: Vec<Arc<Introspected>>,
    services: Arc<[Service]>,
    /// Certificates that may be brought, and are read already.
    read: Arc<[Arc<Certificate>]>,
    epoch: Digest,
}

/// What is trusted, as it was read, and where of it what is found.
#[derive(Debug)]
struct Trusted {
    anchors: Vec<Arc<Anchor>>,
    certificates: BTreeMap<CanonicalName, SameName>,
    crls: Vec<Arc<Crl>>,
    crls_by_issuer: BTreeMap<CanonicalName, Vec<Arc<Crl>>>,
    /// The issuers of tokens, by each name that their tokens may carry.
    issuers: BTreeMap<String, Vec<Arc<Anchor>>>,
    trust_domains: BTreeMap<TrustDomain, Vec<Arc<Anchor>>>,
    set_aside: SetAside,
}

/// The canonical form of a distinguished name.
type CanonicalName = Vec<u8>;

/// A certificate at which a path may end.
#[derive(Clone, Debug)]
pub(crate) struct AnchorCertificate {
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) certificate: Arc<Certificate>,
    /// The trust domain whose bundle it comes from; it may vouch for no other.
    pub(crate) trust_domain: Option<TrustDomain>,
}

/// The anchor certificates with one subject, found by their key identifier: after many key
/// changes, or with many tenants' CAs of one name, looking at each would cost a signature each.
#[derive(Clone, Debug, Default)]
struct SameName {
    all: Vec<AnchorCertificate>,
    by_key_id: BTreeMap<Vec<u8>, Vec<usize>>,
    without_key_id: Vec<usize>,
}

impl View {
    /// A view of `tenant`. `epoch` is the digest of the document the rest was read from.
    pub fn new(
        tenant: TenantId,
        anchors: Vec<Anchor>,
        crls: Vec<Crl>,
        set_aside: impl Into<SetAside>,
        epoch: Digest,
    ) -> Self {
        let anchors: Vec<Arc<Anchor>> = anchors.into_iter().map(Arc::new).collect();
        let crls: Vec<Arc<Crl>> = crls.into_iter().map(Arc::new).collect();
        Self {
            tenant,
            quarantined: quarantined(&anchors),
            trusted: Arc::new(Trusted {
                certificates: index(&anchors),
                issuers: index_issuers(&anchors),
                trust_domains: index_trust_domains(&anchors),
                anchors,
                crls_by_issuer: index_by_issuer(&crls),
                crls,
                set_aside: set_aside.into(),
            }),
            endings: Arc::default(),
            status_lists: BTreeMap::new(),
            introspected: Vec::new(),
            services: Arc::default(),
            read: Arc::default(),
            epoch,
        }
    }

    /// The same view with these status lists of tokens, too.
    #[must_use]
    pub fn with_status_lists(mut self, lists: &[Arc<StatusList>]) -> Self {
        if lists.is_empty() {
            return self;
        }
        let digests: Vec<Digest> = std::iter::once(self.epoch)
            .chain(lists.iter().map(|list| list.digest()))
            .collect();
        self.epoch = Digest::of_list(digests.iter().map(|digest| digest.as_bytes().as_slice()));
        for list in lists {
            let same = self.status_lists.entry(list.uri().to_owned()).or_default();
            same.push(Arc::clone(list));
            same.sort_by_key(|list| std::cmp::Reverse(list.issued_at()));
        }
        self
    }

    /// The same view when this ended, too.
    #[must_use]
    pub fn with_endings(self, endings: Arc<Endings>) -> Self {
        let endings = match self.endings.is_empty() {
            true => endings,
            // Few stand in the document; what is known besides may be much.
            false => {
                let mut all = Endings::clone(&endings);
                for (mark, ending) in self.endings.iter() {
                    let both = match endings.of(mark) {
                        Some(known) => known.joined(ending),
                        None => ending.clone(),
                    };
                    all.put(mark, both);
                }
                Arc::new(all)
            }
        };
        let epoch = match endings.digest() {
            Some(digest) => {
                let parts = [self.epoch, digest];
                Digest::of_list(parts.iter().map(|part| part.as_bytes().as_slice()))
            }
            None => self.epoch,
        };
        Self {
            endings,
            epoch,
            ..self
        }
    }

    /// The same view as if nobody were in quarantine: what was given for their word may hold again later.
    /// Nothing is believed by it that rests on one of them directly.
    #[must_use]
    pub fn past_quarantines(mut self) -> Self {
        if self.quarantined.is_empty() {
            return self;
        }
        self.quarantined.clear();
        let parts = [self.epoch.as_bytes().as_slice(), b"past quarantines"];
        self.epoch = Digest::of_list(parts);
        self
    }

    /// That a token descends from nobody who is in quarantine: what was given for the word of an issuer that
    /// may have been a thief's holds no longer than that word. That it may say of itself from whom it
    /// descends does not matter here: it only ever costs it something.
    ///
    /// # Errors
    ///
    /// `federation.issuer_quarantined`.
    fn check_descent(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        if self.quarantined.is_empty() {
            return Ok(());
        }
        self.check_unquarantined(&read_lineage(claims))
    }

    fn check_unquarantined(&self, lineage: &[Ancestor]) -> Result<(), Reason> {
        let mut anchors = self.quarantined.iter();
        let reason = anchors.find_map(|anchor| {
            let name = anchor.kind.issuer_name()?;
            descends_from(lineage, name).then(|| anchor.kind.quarantine())?
        });
        reason.map_or(Ok(()), Err)
    }

    /// That what something descends from still holds: none of it is of anyone who is in quarantine, and none
    /// has ended. Of a token that is decided on in this view that is asked anyway; whoever knows what
    /// something descends from in another way asks here.
    ///
    /// # Errors
    ///
    /// `federation.issuer_quarantined`, `revocation.subject_ended`.
    pub fn check_lineage(&self, lineage: &[Ancestor]) -> Result<(), Reason> {
        self.check_unquarantined(lineage)?;
        self.endings.check_lineage(lineage)
    }

    /// The anchor through which nobody may be had who administers, if something descends from one. Whether
    /// the key is still there that vouched does not matter: what was had by one that was taken back since
    /// is bound no less. Where the anchor is gone, any other of the same issuer binds.
    pub fn keeps_from_administering(&self, lineage: &[Ancestor]) -> Option<&Anchor> {
        let own = lineage.iter().filter(|ancestor| ancestor.of.is_none());
        own.flat_map(|ancestor| self.anchors_of(ancestor))
            .find(|anchor| !anchor.constraints.grants_at_most.lets_administer())
    }

    fn anchors_of(&self, ancestor: &Ancestor) -> Vec<&Anchor> {
        let chosen = |is_meant: &dyn Fn(&Anchor) -> bool| -> Vec<&Anchor> {
            let anchors = self.anchors().iter().map(AsRef::as_ref);
            anchors.filter(|anchor| is_meant(anchor)).collect()
        };
        let named = chosen(&|anchor| anchor.name == ancestor.anchor);
        match named.is_empty() {
            false => named,
            true => chosen(&|anchor| anchor.kind.issuer_name() == Some(&ancestor.issuer)),
        }
    }

    /// Whether anything at all could be said against a credential for what it descends from, beside what has
    /// ended.
    pub fn looks_at_descent(&self) -> bool {
        let bounds = |anchor: &Arc<Anchor>| !anchor.constraints.grants_at_most.lets_administer();
        !self.quarantined.is_empty() || self.anchors().iter().any(bounds)
    }

    /// That what a credential rests on still holds: nobody from whom it descends is in quarantine, and
    /// neither its subject nor anything that it descends from has ended since. Every model of what issuers
    /// say asks this, and nothing less.
    ///
    /// # Errors
    ///
    /// `federation.issuer_quarantined`, `revocation.subject_ended`.
    pub(crate) fn check_not_ended(&self, begun: &Begun<'_>, now: Time) -> Result<(), Reason> {
        if let Begun::Token { claims, .. } = begun {
            self.check_descent(claims.all)?;
        }
        if self.endings.is_empty() {
            return Ok(());
        }
        let birth = begun.birth().unless_after(now.plus(CLOCK_LEEWAY));
        match begun {
            Begun::Token { issuer, claims, .. } => self.endings.check_token(&birth, issuer, claims),
            Begun::Assertion(assertion) => self.endings.check(&birth, &assertion.subject.name),
        }
    }

    /// The same view with what issuers answered about tokens, too.
    #[must_use]
    pub fn with_introspected(mut self, answers: &[Arc<Introspected>]) -> Self {
        if answers.is_empty() {
            return self;
        }
        let digests: Vec<Digest> = std::iter::once(self.epoch)
            .chain(answers.iter().map(|answer| answer.digest()))
            .collect();
        self.epoch = Digest::of_list(digests.iter().map(|digest| digest.as_bytes().as_slice()));
        self.introspected.extend(answers.iter().cloned());
        self
    }

    /// The same view with the boundaries of these services, which stand in the text of which `epoch` is
    /// the digest.
    #[must_use]
    pub fn with_services(self, services: Vec<Service>) -> Self {
        let services = services.into();
        Self { services, ..self }
    }

    /// The services whose boundaries hold.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The same view, in which these intermediates are read already: whoever brings one of them
    /// spares reading it again. They are believed no more for that, so the epoch stays what it is.
    #[must_use]
    pub fn with_read(self, intermediates: Vec<Arc<Certificate>>) -> Self {
        Self {
            read: intermediates.into(),
            ..self
        }
    }

    /// The certificate of exactly these bytes, if it is read already.
    pub(crate) fn already_read(&self, der: &[u8]) -> Option<&Arc<Certificate>> {
        self.read.iter().find(|one| one.der() == der)
    }

    /// What issuers answered about the token with this digest.
    pub(crate) fn introspected(&self, token: &Digest) -> impl Iterator<Item = &Introspected> {
        let answers = self.introspected.iter().map(Arc::as_ref);
        answers.filter(move |answer| answer.token() == *token)
    }

    /// Whose view it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The anchors, in the order of their document.
    pub fn anchors(&self) -> &[Arc<Anchor>] {
        &self.trusted.anchors
    }

    /// Whether there is any certificate at which a path may end.
    pub(crate) fn has_certificates(&self) -> bool {
        !self.trusted.certificates.is_empty()
    }

    /// Whether any of them is an anchor of its own, not of the bundle of a trust domain.
    pub(crate) fn has_certificates_of_any_name(&self) -> bool {
        self.trusted
            .anchors
            .iter()
            .any(|anchor| matches!(anchor.kind, AnchorKind::Certificate(_)))
    }

    /// The bundles of trust domains.
    pub(crate) fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        let anchors = self.trusted.anchors.iter();
        anchors.filter_map(|anchor| anchor.kind.as_trust_domain())
    }

    /// The issuers of tokens that are called `name`, in the order of their document.
    pub(crate) fn issuers_named(
        &self,
        name: &str,
    ) -> impl Iterator<Item = (&Arc<Anchor>, &IssuerAnchor)> {
        let named = self.trusted.issuers.get(name);
        let named = named.map_or(&[][..], Vec::as_slice);
        named
            .iter()
            .filter_map(|anchor| Some((anchor, anchor.kind.as_issuer()?)))
    }

    /// The trust anchors of federations, in the order of their document.
    fn federations(&self) -> impl Iterator<Item = (&Arc<Anchor>, &FederationAnchor)> {
        let anchors = self.trusted.anchors.iter();
        anchors.filter_map(|anchor| Some((anchor, anchor.kind.as_federation()?)))
    }

    /// Those that are called `name`.
    pub(crate) fn federations_named(
        &self,
        name: &str,
    ) -> impl Iterator<Item = (&Arc<Anchor>, &FederationAnchor)> {
        let is_named = move |federation: &FederationAnchor| federation.entity_id() == name;
        self.federations()
            .filter(move |(_, federation)| is_named(federation))
    }

    /// Whether there is any.
    pub(crate) fn has_federations(&self) -> bool {
        self.federations().next().is_some()
    }

    /// The identity providers of SAML that are called `name`, in the order of their document.
    pub(crate) fn providers_named(
        &self,
        name: &str,
    ) -> impl Iterator<Item = (&Arc<Anchor>, &SamlAnchor)> {
        let anchors = self.trusted.anchors.iter();
        let providers = anchors.filter_map(|anchor| Some((anchor, anchor.kind.as_saml()?)));
        providers.filter(move |(_, provider)| provider.entity_id() == name)
    }

    /// The bundles of one trust domain, in the order of their document.
    pub(crate) fn bundles_of(
        &self,
        trust_domain: &TrustDomain,
    ) -> impl Iterator<Item = (&Arc<Anchor>, &Bundle)> {
        let named = self.trusted.trust_domains.get(trust_domain);
        let named = named.map_or(&[][..], Vec::as_slice);
        named
            .iter()
            .filter_map(|anchor| Some((anchor, anchor.kind.as_trust_domain()?)))
    }

    /// The anchor certificates with this subject, those whose key identifier is `key_id` first.
    /// Where some have it, few of the others are returned: a CA that names the wrong key is rare.
    pub(crate) fn certificates_named(
        &self,
        subject: &DistinguishedName,
        key_id: Option<&[u8]>,
    ) -> Vec<&AnchorCertificate> {
        const OTHERS: usize = 64;
        let Some(same) = self.trusted.certificates.get(subject.canonical()) else {
            return Vec::new();
        };
        let Some(fitting) = key_id.and_then(|id| same.by_key_id.get(id)) else {
            return same.all.iter().collect();
        };
        // Places are handed out in order, so each list of them is sorted.
        let others = (0..same.all.len())
            .filter(|index| fitting.binary_search(index).is_err())
            .take(OTHERS);
        let order = fitting
            .iter()
            .copied()
            .chain(same.without_key_id.iter().copied().take(OTHERS));
        let mut found: Vec<usize> = order.collect();
        for other in others {
            if !found.contains(&other) {
                found.push(other);
            }
        }
        found
            .into_iter()
            .filter_map(|index| same.all.get(index))
            .collect()
    }

    /// The revocation lists.
    pub fn crls(&self) -> &[Arc<Crl>] {
        &self.trusted.crls
    }

    /// The revocation lists that name `issuer` as theirs, in the order of their document.
    pub(crate) fn crls_of(&self, issuer: &DistinguishedName) -> &[Arc<Crl>] {
        self.trusted
            .crls_by_issuer
            .get(issuer.canonical())
            .map_or(&[], Vec::as_slice)
    }

    /// The status lists at an address, the newest first.
    pub(crate) fn status_lists_at(&self, uri: &str) -> &[Arc<StatusList>] {
        self.status_lists.get(uri).map_or(&[], Vec::as_slice)
    }

    /// What ended before its time.
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// What could not be read.
    pub fn set_aside(&self) -> &SetAside {
        &self.trusted.set_aside
    }

    /// The digest of its content.
    pub fn epoch(&self) -> Digest {
        self.epoch
    }
}

fn quarantined(anchors: &[Arc<Anchor>]) -> Vec<Arc<Anchor>> {
    let anchors = anchors.iter();
    let quarantined = anchors.filter(|anchor| anchor.kind.quarantine().is_some());
    quarantined.cloned().collect()
}

fn index_issuers(anchors: &[Arc<Anchor>]) -> BTreeMap<String, Vec<Arc<Anchor>>> {
    let mut index: BTreeMap<String, Vec<Arc<Anchor>>> = BTreeMap::new();
    for anchor in anchors {
        let names = anchor.kind.as_issuer().map(IssuerAnchor::names);
        for name in names.into_iter().flatten() {
            let same = index.entry(name.to_owned()).or_default();
            same.push(Arc::clone(anchor));
        }
    }
    index
}

fn index_trust_domains(anchors: &[Arc<Anchor>]) -> BTreeMap<TrustDomain, Vec<Arc<Anchor>>> {
    let mut index: BTreeMap<TrustDomain, Vec<Arc<Anchor>>> = BTreeMap::new();
    for anchor in anchors {
        if let Some(bundle) = anchor.kind.as_trust_domain() {
            let same = index.entry(bundle.trust_domain.clone()).or_default();
            same.push(Arc::clone(anchor));
        }
    }
    index
}

fn index_by_issuer(crls: &[Arc<Crl>]) -> BTreeMap<CanonicalName, Vec<Arc<Crl>>> {
    let mut index: BTreeMap<CanonicalName, Vec<Arc<Crl>>> = BTreeMap::new();
    for crl in crls {
        let issuer = crl.issuer().canonical().to_vec();
        index.entry(issuer).or_default().push(Arc::clone(crl));
    }
    index
}

fn index(anchors: &[Arc<Anchor>]) -> BTreeMap<CanonicalName, SameName> {
    let mut index: BTreeMap<CanonicalName, SameName> = BTreeMap::new();
    for anchor in anchors {
        let (certificates, trust_domain) = match &anchor.kind {
            AnchorKind::Certificate(certificate) => (std::slice::from_ref(certificate), None),
            AnchorKind::TrustDomain(bundle) => (
                bundle.x509_authorities.as_slice(),
                Some(&bundle.trust_domain),
            ),
            AnchorKind::ApiKey(_)
            | AnchorKind::Federation(_)
            | AnchorKind::Issuer(_)
            | AnchorKind::Saml(_)
            | AnchorKind::Ssh(_) => continue,
        };
        for certificate in certificates {
            let same = index
                .entry(certificate.subject().canonical().to_vec())
                .or_default();
            let place = same.all.len();
            match &certificate.extensions().subject_key_id {
                Some(id) => same
                    .by_key_id
                    .entry(id.value.clone())
                    .or_default()
                    .push(place),
                None => same.without_key_id.push(place),
            }
            same.all.push(AnchorCertificate {
                anchor: Arc::clone(anchor),
                certificate: Arc::clone(certificate),
                trust_domain: trust_domain.cloned(),
            });
        }
    }
    index
}

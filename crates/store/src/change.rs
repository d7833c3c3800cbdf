//! What changes, in which order, and what it adds up to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use avouch_core::id::TrustDomain;

use crate::fault::Fault;
use crate::names::{
    AdminId, AnchorId, AttestorId, AuthorityId, EgressId, EntryId, IssuerId, JoinTokenId, NameId,
    NodeId, RuleId, ServiceId, TallyId,
};
use crate::record::{
    AdminRecord, AnchorRecord, AttestorRecord, AuthorityRecord, EgressRecord, Entry,
    FederationRecord, IssuerKeysRecord, IssuerPinsRecord, IssuerRecord, JoinTokenRecord,
    NameRecord, NodeRecord, QuotaRecord, RuleRecord, ServiceRecord, TallyRecord, TrustDomainRecord,
};
use crate::shared::Shared;
use crate::signal::{SignalKey, SignalKind, SignalRecord};

/// One change to what a tenant owns. Doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is as given from now on, whether it was there before or not.
    Put(Object),
    /// The object is gone, whether it was there before or not.
    Remove(Key),
}

impl Change {
    /// Which object changes.
    pub fn key(&self) -> Key {
        match self {
            Self::Put(object) => object.key(),
            Self::Remove(key) => key.clone(),
        }
    }
}

/// An object of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A trust domain.
    TrustDomain(TrustDomainRecord),
    /// An authority.
    Authority(AuthorityRecord),
    /// An anchor.
    Anchor(AnchorRecord),
    /// A federation relation.
    Federation(FederationRecord),
    /// A registration entry.
    Entry(Entry),
    /// A node.
    Node(NodeRecord),
    /// A join token.
    JoinToken(JoinTokenRecord),
    /// An administrator.
    Admin(AdminRecord),
    /// An attestor of nodes.
    Attestor(AttestorRecord),
    /// An API of others.
    Egress(EgressRecord),
    /// An exchange rule.
    Rule(RuleRecord),
    /// An issuer of tokens.
    Issuer(IssuerRecord),
    /// What is known of its keys.
    IssuerKeys(IssuerKeysRecord),
    /// What is pinned of it.
    IssuerPins(IssuerPinsRecord),
    /// What is known of a name of someone else's.
    Name(NameRecord),
    /// How many decisions rested on whom.
    Tally(TallyRecord),
    /// What the tenant may have and do.
    Quota(QuotaRecord),
    /// Something that is kept of signals.
    Signal(SignalRecord),
    /// A service and its boundary.
    Service(ServiceRecord),
}

impl Object {
    /// Its kind and name.
    pub fn key(&self) -> Key {
        match self {
            Self::TrustDomain(trust_domain) => Key::TrustDomain(trust_domain.name.clone()),
            Self::Authority(authority) => Key::Authority(authority.id.clone()),
            Self::Anchor(anchor) => Key::Anchor(anchor.id.clone()),
            Self::Federation(relation) => Key::Federation(relation.trust_domain.clone()),
            Self::Entry(entry) => Key::Entry(entry.id.clone()),
            Self::Node(node) => Key::Node(node.id.clone()),
            Self::JoinToken(token) => Key::JoinToken(token.id.clone()),
            Self::Admin(admin) => Key::Admin(admin.id.clone()),
            Self::Attestor(attestor) => Key::Attestor(attestor.id.clone()),
            Self::Egress(egress) => Key::Egress(egress.id.clone()),
            Self::Rule(rule) => Key::Rule(rule.id.clone()),
            Self::Issuer(issuer) => Key::Issuer(issuer.id.clone()),
            Self::IssuerKeys(keys) => Key::IssuerKeys(keys.id.clone()),
            Self::IssuerPins(pins) => Key::IssuerPins(pins.id.clone()),
            Self::Name(name) => Key::Name(name.id.clone()),
            Self::Tally(tally) => Key::Tally(tally.id.clone()),
            Self::Quota(_) => Key::Quota,
            Self::Signal(signal) => Key::Signal(signal.key.clone()),
            Self::Service(service) => Key::Service(service.id.clone()),
        }
    }

    /// The trust domain of the tenant without which it cannot be.
    pub(crate) fn needs(&self) -> Option<&TrustDomain> {
        match self {
            // An administrator may come from a tenant above.
            Self::TrustDomain(_)
            | Self::Anchor(_)
            | Self::Admin(_)
            | Self::Attestor(_)
            | Self::Egress(_)
            | Self::Federation(_)
            | Self::Name(_)
            | Self::Tally(_)
            | Self::Quota(_)
            | Self::Rule(_)
            | Self::Issuer(_)
            | Self::IssuerKeys(_)
            | Self::IssuerPins(_)
            | Self::Service(_)
            | Self::Signal(_) => None,
            Self::Authority(authority) => Some(&authority.trust_domain),
            Self::Entry(entry) => Some(entry.spiffe_id.trust_domain()),
            Self::Node(node) => Some(node.spiffe_id.trust_domain()),
            Self::JoinToken(token) => Some(token.spiffe_id.trust_domain()),
        }
    }
}

/// The kind and name of an object. In this order objects can be put: what others need is first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A trust domain.
    TrustDomain(TrustDomain),
    /// An authority.
    Authority(AuthorityId),
    /// An anchor.
    Anchor(AnchorId),
    /// The relation to a foreign trust domain.
    Federation(TrustDomain),
    /// A registration entry.
    Entry(EntryId),
    /// A node.
    Node(NodeId),
    /// A join token.
    JoinToken(JoinTokenId),
    /// An administrator.
    Admin(AdminId),
    /// An attestor of nodes.
    Attestor(AttestorId),
    /// An API of others.
    Egress(EgressId),
    /// An exchange rule.
    Rule(RuleId),
    /// An issuer of tokens.
    Issuer(IssuerId),
    /// What is known of its keys.
    IssuerKeys(IssuerId),
    /// What is pinned of it.
    IssuerPins(IssuerId),
    /// What is known of a name of someone else's.
    Name(NameId),
    /// How many decisions rested on whom.
    Tally(TallyId),
    /// What the tenant may have and do.
    Quota,
    /// Something that is kept of signals.
    Signal(SignalKey),
    /// A service and its boundary.
    Service(ServiceId),
}

/// How often a tenant has changed: the number of the last change, 0 before the first. All changes
/// of one call have one number, and a higher number is never visible before a lower one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first change.
    pub const START: Self = Self(0);

    /// After every change: who has seen this holds whatever is there.
    pub const LATEST: Self = Self(u64::MAX);

    /// The change of this number, as someone says to have seen it.
    pub fn of(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// SQL has no unsigned numbers.
    pub(crate) fn from_stored(number: i64) -> Result<Self, Fault> {
        u64::try_from(number)
            .map(Self)
            .map_err(|_| Fault::Corrupt(format!("{number} is not the number of a change")))
    }

    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Up to where it goes; ask for what is after this next.
    pub head: Sequence,
    /// The number with which the tenant began, if one of its name was here before: what was seen
    /// before that is of another.
    pub begins: Sequence,
    /// The last change of every object that has changed, each with its number, in the order of the
    /// numbers and never part of a call without the rest. What was changed more than once is here
    /// once.
    pub changes: Vec<(Sequence, Change)>,
}

/// All that a tenant owns at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the last change in it.
    pub sequence: Sequence,
    /// Trust domains by name.
    pub trust_domains: BTreeMap<TrustDomain, TrustDomainRecord>,
    /// Authorities by name.
    pub authorities: BTreeMap<AuthorityId, AuthorityRecord>,
    /// Anchors by name.
    pub anchors: BTreeMap<AnchorId, AnchorRecord>,
    /// Federation relations by their trust domain.
    pub federations: BTreeMap<TrustDomain, FederationRecord>,
    /// Registration entries by name.
    pub entries: BTreeMap<EntryId, Arc<Entry>>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// Join tokens by name.
    pub join_tokens: BTreeMap<JoinTokenId, JoinTokenRecord>,
    /// Administrators by name.
    pub admins: BTreeMap<AdminId, AdminRecord>,
    /// Attestors of nodes by name.
    pub attestors: BTreeMap<AttestorId, AttestorRecord>,
    /// APIs of others by name.
    pub egresses: BTreeMap<EgressId, EgressRecord>,
    /// Services by name.
    pub services: BTreeMap<ServiceId, ServiceRecord>,
    /// Exchange rules by name.
    pub rules: BTreeMap<RuleId, RuleRecord>,
    /// Issuers of tokens by name.
    pub issuers: BTreeMap<IssuerId, IssuerRecord>,
    /// What is known of the keys of issuers, by their names.
    pub issuer_keys: BTreeMap<IssuerId, IssuerKeysRecord>,
    /// What is pinned of issuers, by their names.
    pub issuer_pins: BTreeMap<IssuerId, IssuerPinsRecord>,
    /// What is known of names of others, by the names of what is known.
    pub names: BTreeMap<NameId, NameRecord>,
    /// How many decisions rested on whom, by day.
    pub tallies: BTreeMap<TallyId, TallyRecord>,
    /// What the tenant may have and do, if anyone has said.
    pub quota: Option<QuotaRecord>,
    /// What is kept of signals, by kind and name.
    pub signals: BTreeMap<SignalKey, SignalRecord>,
    shared: Shared,
}

impl Snapshot {
    /// Nothing, after the change of this number.
    pub(crate) fn at(sequence: Sequence) -> Self {
        Self {
            sequence,
            ..Self::default()
        }
    }

    /// What is kept of signals of one kind, by name. What there is of other kinds costs nothing.
    pub fn signals_of(&self, kind: SignalKind) -> impl Iterator<Item = &SignalRecord> {
        let first = SignalKey::first_of(kind);
        let from = self.signals.range(first..).map(|(_, record)| record);
        from.take_while(move |record| record.key.kind == kind)
    }

    /// Brings it up to the head of a feed that was asked for with its own sequence.
    pub fn follow(&mut self, feed: Feed) {
        for (_, change) in feed.changes {
            self.change(change);
        }
        self.sequence = self.sequence.max(feed.head);
    }

    /// Makes one change.
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Put(object) => self.put(object),
            Change::Remove(key) => self.remove(&key),
        }
    }

    fn put(&mut self, object: Object) {
        match object {
            Object::TrustDomain(record) => {
                self.trust_domains.insert(record.name.clone(), record);
            }
            Object::Authority(record) => {
                self.authorities.insert(record.id.clone(), record);
            }
            Object::Anchor(record) => {
                self.anchors.insert(record.id.clone(), record);
            }
            Object::Federation(relation) => {
                self.federations
                    .insert(relation.trust_domain.clone(), relation);
            }
            Object::Entry(entry) => {
                let entry = self.shared.entry(entry);
                self.entries.insert(entry.id.clone(), Arc::new(entry));
            }
            Object::Node(node) => {
                self.nodes.insert(node.id.clone(), node);
            }
            Object::JoinToken(token) => {
                self.join_tokens.insert(token.id.clone(), token);
            }
            Object::Admin(admin) => {
                self.admins.insert(admin.id.clone(), admin);
            }
            Object::Name(name) => {
                self.names.insert(name.id.clone(), name);
            }
            Object::Tally(tally) => {
                self.tallies.insert(tally.id.clone(), tally);
            }
            Object::Quota(quota) => self.quota = Some(quota),
            Object::Signal(signal) => {
                self.signals.insert(signal.key.clone(), signal);
            }
            Object::Rule(rule) => {
                self.rules.insert(rule.id.clone(), rule);
            }
            Object::Issuer(issuer) => {
                self.issuers.insert(issuer.id.clone(), issuer);
            }
            Object::IssuerKeys(keys) => {
                self.issuer_keys.insert(keys.id.clone(), keys);
            }
            Object::IssuerPins(pins) => {
                self.issuer_pins.insert(pins.id.clone(), pins);
            }
            Object::Attestor(attestor) => {
                self.attestors.insert(attestor.id.clone(), attestor);
            }
            Object::Egress(egress) => {
                self.egresses.insert(egress.id.clone(), egress);
            }
            Object::Service(service) => {
                self.services.insert(service.id.clone(), service);
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::TrustDomain(name) => {
                self.trust_domains.remove(name);
            }
            Key::Authority(id) => {
                self.authorities.remove(id);
            }
            Key::Anchor(id) => {
                self.anchors.remove(id);
            }
            Key::Federation(name) => {
                self.federations.remove(name);
            }
            Key::Entry(id) => {
                self.entries.remove(id);
            }
            Key::Node(id) => {
                self.nodes.remove(id);
            }
            Key::JoinToken(id) => {
                self.join_tokens.remove(id);
            }
            Key::Admin(id) => {
                self.admins.remove(id);
            }
            Key::Name(id) => {
                self.names.remove(id);
            }
            Key::Tally(id) => {
                self.tallies.remove(id);
            }
            Key::Quota => self.quota = None,
            Key::Signal(key) => {
                self.signals.remove(key);
            }
            Key::Rule(id) => {
                self.rules.remove(id);
            }
            Key::Issuer(id) => {
                self.issuers.remove(id);
            }
            Key::IssuerKeys(id) => {
                self.issuer_keys.remove(id);
            }
            Key::IssuerPins(id) => {
                self.issuer_pins.remove(id);
            }
            Key::Attestor(id) => {
                self.attestors.remove(id);
            }
            Key::Egress(id) => {
                self.egresses.remove(id);
            }
            Key::Service(id) => {
                self.services.remove(id);
            }
        }
    }
}

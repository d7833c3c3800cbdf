//! Rules by which whoever says who someone is could have an identity that may more: who is admitted by
//! one is as good as whom it gives.
//!
//! ```text
//! someone who may more ◄─ the rules that give them ◄─ whom these admit ◄─ the rules that give those ◄─ …
//! ```
//!
//! They are looked for from their end: only a tenant whose trust domain is met is looked at, if it is the
//! tenant itself, below it or above it. What a tenant beside gives is for whoever trusts that tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_core::exchange::ExchangeRule;
use avouch_core::exchange::rule::{Source, client_anchor};
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::policy::facts::SUBJECT;
use avouch_core::policy::matcher::Matcher;
use avouch_core::policy::pattern::Pattern;
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use avouch_store::RuleRecord;
use serde_json::{Map, Value};

use crate::fault::{Fault, Refused};
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;
use crate::views;
use crate::views::rules_of;

/// How often a rule is held against one to which it may lead. What is left then is taken to lead there.
/// Tests come to it sooner.
const MOST_STEPS: usize = if cfg!(test) { 1 << 13 } else { 1 << 20 };

/// A rule that leads to someone, itself or through others.
pub(crate) struct Way {
    rule: String,
    tenant: TenantId,
    whose: Whose,
    to: usize,
    gives: String,
    admits: Arc<[Asked]>,
    /// The names of the anchors of the clients that it admits.
    clients: Vec<String>,
}

/// Whose a rule is, seen from the tenant for which it was looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Below,
    Above,
}

/// What stands in a rule, whether it can be used or not.
struct Written {
    /// Whom it admits, and who may act for them: whoever has a token of one gets what it gives, too.
    admits: Vec<Asked>,
    gives: Option<Shape>,
    /// As it is written.
    text: String,
}

/// Who is asked for.
#[derive(Default)]
struct Asked {
    anchor: Option<String>,
    trust_domain: Option<TrustDomain>,
    /// What the path is asked to be, if it is asked for something that is understood.
    path: Option<Matcher>,
    /// Likewise the subject.
    subject: Option<Matcher>,
    /// The trust domains of the tenant of which the anchor takes tokens, if it is of one of this deployment.
    tokens_of: BTreeSet<TrustDomain>,
}

/// What an identity with places may become.
struct Shape {
    trust_domain: TrustDomain,
    path: Pattern,
}

impl Shape {
    fn of(text: &str) -> Option<Self> {
        let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let segments = path.split('/').map(|one| match one.starts_with('{') {
            true => "*",
            false => one,
        });
        let path = segments.fold(String::new(), |path, one| path + "/" + one);
        Some(Self {
            trust_domain: TrustDomain::parse(trust_domain).ok()?,
            path: Pattern::parse(&path).ok()?,
        })
    }

    fn admits(&self, id: &SpiffeId) -> bool {
        self.trust_domain == *id.trust_domain() && self.path.matches(id.path())
    }
}

impl Written {
    fn read(document: &Map<String, Value>) -> Self {
        let actors = document.get("actors").and_then(Value::as_array);
        let from = document.get("from").into_iter();
        let admits = from.chain(actors.into_iter().flatten());
        let gives = document
            .get("gives")
            .and_then(|gives| gives.get("spiffe_id")?.as_str());
        Self {
            admits: admits.map(Asked::read).collect(),
            gives: gives.and_then(Shape::of),
            text: gives.unwrap_or_default().to_owned(),
        }
    }
}

impl Asked {
    fn read(from: &Value) -> Self {
        let text = |name: &str| from.get(name)?.as_str();
        let fact = |name: &str| from.get("facts")?.get(name).and_then(matcher);
        Self {
            anchor: text("anchor").map(ToOwned::to_owned),
            trust_domain: text("trust_domain").and_then(|name| TrustDomain::parse(name).ok()),
            path: fact("spiffe.path"),
            subject: fact(SUBJECT),
            tokens_of: BTreeSet::new(),
        }
    }

    fn could_admit(&self, shape: &Shape) -> bool {
        let is_asked_for = |path: &Matcher| path.overlaps(&Matcher::Pattern(shape.path.clone()));
        if self.trust_domain.as_ref() == Some(&shape.trust_domain) {
            return self.path.as_ref().is_none_or(is_asked_for);
        }
        let is_named = |text: &String| SpiffeId::parse(text).is_ok_and(|id| shape.admits(&id));
        self.tokens_of.contains(&shape.trust_domain)
            && match &self.subject {
                Some(Matcher::AnyOf(subjects)) => subjects.iter().any(is_named),
                Some(Matcher::Has(_) | Matcher::HasAll(_) | Matcher::Pattern(_)) | None => true,
            }
    }

    fn is_of(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain.as_ref() == Some(trust_domain) || self.tokens_of.contains(trust_domain)
    }
}

/// What a fact must be; nothing where that is not understood, so that it may be anything.
fn matcher(value: &Value) -> Option<Matcher> {
    match value {
        Value::String(text) => Some(Matcher::exactly(text.as_str())),
        Value::Array(all) => {
            let texts = all.iter().map(|one| one.as_str().map(ToOwned::to_owned));
            Some(Matcher::AnyOf(texts.collect::<Option<BTreeSet<_>>>()?))
        }
        Value::Object(members) => {
            let pattern = members.get("pattern")?.as_str()?;
            Some(Matcher::Pattern(Pattern::parse(pattern).ok()?))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

impl Way {
    /// Its rule, as it is told to whoever asked. What a tenant above has is not theirs to see.
    pub(crate) fn told(&self) -> String {
        let Self { rule, tenant, .. } = self;
        match self.whose {
            Whose::Own => format!("under the rule `{rule}`"),
            Whose::Below => format!("under the rule `{rule}` of the tenant {tenant}"),
            Whose::Above => "in a tenant above".to_owned(),
        }
    }

    /// Its name.
    pub(crate) fn rule(&self) -> &str {
        &self.rule
    }

    /// The tenant whose rule it is.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whom it gives, as it is written.
    pub(crate) fn gives(&self) -> &str {
        &self.gives
    }

    /// The trust domains from which it admits.
    pub(crate) fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        let all = self.admits.iter();
        all.flat_map(|asked| asked.trust_domain.iter().chain(&asked.tokens_of))
    }

    /// To which of those it leads that it was looked for.
    pub(crate) fn to(&self) -> usize {
        self.to
    }

    /// Whether an identity that this could become is admitted.
    pub(crate) fn admits(&self, identity: &IdTemplate) -> bool {
        self.could_admit(identity.as_str(), identity.trust_domain())
    }

    /// Whether some are admitted whom a rule gives.
    pub(crate) fn is_reached_by(&self, rule: &ExchangeRule) -> bool {
        self.could_admit(&rule.gives_ids(), rule.trust_domain())
    }

    fn could_admit(&self, identity: &str, trust_domain: &TrustDomain) -> bool {
        match Shape::of(identity) {
            Some(shape) => self.admits.iter().any(|asked| asked.could_admit(&shape)),
            None => self.is_from(trust_domain),
        }
    }

    /// Whether some of a trust domain of the deployment are admitted.
    pub(crate) fn is_from(&self, trust_domain: &TrustDomain) -> bool {
        self.admits.iter().any(|asked| asked.is_of(trust_domain))
    }

    /// Whether some of a trust domain are admitted by the keys that the tenant knows of it. Those that
    /// another tenant knows are its own.
    pub(crate) fn is_from_elsewhere(&self, trust_domain: &TrustDomain) -> bool {
        let mut admits = self.admits.iter();
        self.whose == Whose::Own
            && admits.any(|asked| asked.trust_domain.as_ref() == Some(trust_domain))
    }

    /// Whether some are admitted for whom an anchor of the tenant of this name vouches. Elsewhere the name
    /// is that of another anchor.
    pub(crate) fn is_through(&self, anchor: &str) -> bool {
        let mut admits = self.admits.iter();
        self.whose == Whose::Own
            && (self.clients.iter().any(|client| client == anchor)
                || admits.any(|asked| asked.anchor.as_deref() == Some(anchor)))
    }
}

/// To what a rule may lead.
enum Goal {
    Id(SpiffeId),
    Way(Arc<[Asked]>),
}

impl Goal {
    /// The trust domains in which whoever gets there lies.
    fn trust_domains(&self) -> BTreeSet<TrustDomain> {
        match self {
            Self::Id(id) => BTreeSet::from([id.trust_domain().clone()]),
            Self::Way(admits) => {
                let named = admits.iter().filter_map(|asked| asked.trust_domain.clone());
                let tokens = admits.iter().flat_map(|asked| asked.tokens_of.clone());
                named.chain(tokens).collect()
            }
        }
    }

    fn could_be_of(&self, gives: &Shape) -> bool {
        match self {
            Self::Id(id) => gives.admits(id),
            Self::Way(admits) => admits.iter().any(|asked| asked.could_admit(gives)),
        }
    }

    /// Likewise of a rule that can be used, of which more is known.
    fn is_given_by(&self, rule: &ExchangeRule) -> bool {
        match self {
            Self::Id(id) => rule.could_give(id),
            Self::Way(_) => true,
        }
    }
}

/// The rules of a tenant that are not known to lead anywhere.
struct Realm {
    tenant: Arc<Tenant>,
    whose: Whose,
    waiting: Vec<(String, Written)>,
    known: Option<Known>,
}

/// What a tenant trusts, which need not be read where no rule could lead anywhere.
#[derive(Default)]
struct Known {
    usable: Vec<ExchangeRule>,
    /// The trust domains of other tenants of the deployment, by the anchors that take tokens of them.
    tokens_of: BTreeMap<String, BTreeSet<TrustDomain>>,
}

struct Search<'a> {
    plane: &'a Plane,
    top: &'a Arc<Tenant>,
    above: BTreeSet<TenantId>,
    realms: BTreeMap<TenantId, Realm>,
    ways: Vec<Way>,
    steps: usize,
    now: Time,
}

impl Plane {
    /// The rules that lead to one of these: of a tenant, of those below it, and of those above it.
    ///
    /// # Errors
    ///
    /// What the tenant trusts cannot be read: then nobody knows whom its rules admit.
    pub(crate) fn ways_of_becoming(
        &self,
        tenant: &Arc<Tenant>,
        ids: &[&SpiffeId],
    ) -> Result<Vec<Way>, Refused> {
        let above = self.with_all_above(tenant).skip(1);
        let mut search = Search {
            plane: self,
            top: tenant,
            above: above.map(|one| one.id().clone()).collect(),
            realms: BTreeMap::new(),
            ways: Vec::new(),
            steps: 0,
            now: self.now(),
        };
        for (to, id) in ids.iter().enumerate() {
            search.gather(&Goal::Id((*id).clone()), to)?;
        }
        let mut looked_at = 0;
        while let Some(way) = search.ways.get(looked_at) {
            looked_at += 1;
            let (goal, to) = (Goal::Way(Arc::clone(&way.admits)), way.to);
            search.gather(&goal, to)?;
        }
        Ok(search.ways)
    }

    /// What a tenant trusts.
    fn known_to(&self, tenant: &Arc<Tenant>, now: Time) -> Result<Known, Refused> {
        let view = views::view(tenant, self.trust_of(tenant)?);
        let all = self.issuer_of(tenant.id());
        let all = all.strip_suffix(tenant.id().as_str()).unwrap_or(&all);
        let mut tokens_of = BTreeMap::new();
        for anchor in view.anchors() {
            let issuer = anchor.kind.issuer_name();
            let issuer = issuer.and_then(|name| TenantId::parse(name.strip_prefix(all)?));
            if let Some(issuer) = issuer {
                let domains = self.domains_owned(&issuer).into_iter().collect();
                tokens_of.insert(anchor.name.clone(), domains);
            }
        }
        Ok(Known {
            usable: rules_of(tenant, &view, now).usable,
            tokens_of,
        })
    }
}

impl Search<'_> {
    /// Adds the rules that lead to a goal, and so to one of those that were looked for.
    fn gather(&mut self, goal: &Goal, to: usize) -> Result<(), Refused> {
        let mut owners = BTreeSet::new();
        for trust_domain in goal.trust_domains() {
            owners.extend(self.open(&trust_domain)?);
        }
        let (plane, now) = (self.plane, self.now);
        for owner in owners {
            let Some(realm) = self.realms.get_mut(&owner) else {
                continue;
            };
            for (name, written) in std::mem::take(&mut realm.waiting) {
                self.steps += 1;
                let is_left = self.steps > MOST_STEPS;
                let could_be = |gives: &Shape| goal.could_be_of(gives);
                if !is_left && !written.gives.as_ref().is_some_and(could_be) {
                    realm.waiting.push((name, written));
                    continue;
                }
                let known = realm.known(plane, now)?;
                let rule = known.usable.iter().find(|rule| rule.name() == name);
                if rule.is_some_and(|rule| rule.has_ended(now)) {
                    continue;
                }
                if !is_left && rule.is_some_and(|rule| !goal.is_given_by(rule)) {
                    realm.waiting.push((name, written));
                    continue;
                }
                let (clients, admits) = (rule.map(clients).unwrap_or_default(), written.admits);
                let admits = admits.into_iter().map(|asked| known.with_tokens(asked));
                let admits = admits.collect();
                self.ways.push(Way {
                    rule: name,
                    tenant: owner.clone(),
                    whose: realm.whose,
                    to,
                    gives: written.text,
                    admits,
                    clients,
                });
            }
        }
        Ok(())
    }

    /// Whose a trust domain is, if it is one that is looked at. What of another tenant than the first cannot
    /// be read gives nothing to anyone until it can be.
    fn open(&mut self, trust_domain: &TrustDomain) -> Result<Option<TenantId>, Fault> {
        let Some(owner) = self.plane.known_owner(trust_domain) else {
            return Ok(None);
        };
        let Some(whose) = self.whose(&owner) else {
            return Ok(None);
        };
        if self.realms.contains_key(owner.id()) {
            return Ok(Some(owner.id().clone()));
        }
        let tenant = match whose {
            Whose::Own => Some(Arc::clone(self.top)),
            Whose::Below | Whose::Above => match self.plane.open_known(&owner) {
                Ok(tenant) => tenant,
                Err(fault) if fault.is_damage() => {
                    tracing::error!(tenant = %owner.id(), error = %fault, "its rules cannot be read");
                    None
                }
                Err(fault) => return Err(fault),
            },
        };
        let Some(tenant) = tenant else {
            return Ok(None);
        };
        let realm = Realm::of(tenant, whose);
        self.realms.insert(owner.id().clone(), realm);
        Ok(Some(owner.id().clone()))
    }

    fn whose(&self, owner: &KnownTenant) -> Option<Whose> {
        let (id, top) = (owner.id(), self.top.id());
        if id == top {
            return Some(Whose::Own);
        }
        if self.above.contains(id) {
            return Some(Whose::Above);
        }
        self.plane.is_below(id, top).then_some(Whose::Below)
    }
}

impl Realm {
    fn of(tenant: Arc<Tenant>, whose: Whose) -> Self {
        let records: Vec<RuleRecord> =
            tenant.read(|snapshot| snapshot.rules.values().cloned().collect());
        let written = records.into_iter().map(|record| {
            // What cannot be read is never used.
            let document = serde_json::from_str(&record.document).unwrap_or_default();
            (record.id.to_string(), Written::read(&document))
        });
        Self {
            waiting: written.collect(),
            tenant,
            whose,
            known: None,
        }
    }

    /// What the tenant trusts. Where that cannot be read of another, what stands in its rules is all that
    /// is known of them.
    fn known(&mut self, plane: &Plane, now: Time) -> Result<&Known, Refused> {
        let known = match self.known.take() {
            Some(known) => known,
            None => match plane.known_to(&self.tenant, now) {
                Ok(known) => known,
                Err(Refused::Fault(fault)) if self.whose == Whose::Own || !fault.is_damage() => {
                    return Err(fault.into());
                }
                Err(Refused::Reason(reason)) if self.whose == Whose::Own => {
                    return Err(Refused::Reason(reason));
                }
                Err(_) => Known::default(),
            },
        };
        Ok(self.known.insert(known))
    }
}

impl Known {
    fn with_tokens(&self, asked: Asked) -> Asked {
        let anchor = asked.anchor.as_ref();
        let tokens_of = anchor.and_then(|anchor| self.tokens_of.get(anchor));
        Asked {
            tokens_of: tokens_of.cloned().unwrap_or_default(),
            ..asked
        }
    }
}

/// The names of the anchors of the clients that a rule admits.
fn clients(rule: &ExchangeRule) -> Vec<String> {
    let admits = std::iter::once(rule.admits()).chain(rule.actors());
    let clients = admits.filter_map(|admits| match admits.source() {
        Source::Client { id, .. } => Some(client_anchor(id)),
        Source::Anchor(_) | Source::TrustDomain(_) => None,
    });
    clients.collect()
}

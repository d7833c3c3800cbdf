//! What the server says that the workloads of this node may hold.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use avouch_api::grpc::node::{self, Update};
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::ended::{Ending, Endings, Mark, Standing};
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::template::{IdTemplate, Unfilled, Whose};
use avouch_core::time::Time;
use serde_json::Value;

use crate::identities::{Hint, JwtBundle};
use crate::nearest::NearMiss;
use crate::selector::Selector;

/// Entries and bundles of all tenants that the node serves.
#[derive(Default)]
pub(super) struct Holdings {
    tenants: BTreeMap<TenantId, Holding>,
    /// What takes the place of all that is held of a tenant once all of it has arrived: until then
    /// nobody loses an identity because it comes in a later part.
    arriving: BTreeMap<TenantId, Holding>,
}

/// What is held of one tenant.
#[derive(Default)]
pub(super) struct Holding {
    sequence: u64,
    entries: BTreeMap<String, Registered>,
    pub(super) bundles: BTreeMap<TrustDomain, HeldBundle>,
    distrusted: BTreeSet<String>,
    /// What ended before its time.
    pub(super) endings: Arc<Endings>,
    /// What the change has that arrives.
    among: Among,
}

/// A registration entry, as the server told it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registered {
    identity: IdTemplate,
    /// What the facts begin with that fill its places, those of its DNS names too.
    kinds: Vec<String>,
    federates_with: Vec<TrustDomain>,
    hint: Option<Hint>,
    created: i64,
    revision: u64,
    /// None if one of them is of a kind that no attestor here tells: then it selects no one.
    selectors: Option<Vec<Selector>>,
}

/// What a registration entry gives one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: EntryKey,
    pub(super) spiffe_id: SpiffeId,
    pub(super) federates_with: Vec<TrustDomain>,
    pub(super) hint: Option<Hint>,
    pub(super) created: i64,
    pub(super) revision: u64,
}

impl Entry {
    /// Whether a workload could not tell what it is given by the one from what it is by the other.
    fn gives_as(&self, other: &Self) -> bool {
        self.revision == other.revision
            && self.spiffe_id == other.spiffe_id
            && self.key.tenant == other.key.tenant
            && self.hint == other.hint
            && self.federates_with == other.federates_with
    }
}

/// The name of an entry among all tenants, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryKey {
    pub(super) tenant: TenantId,
    pub(super) id: String,
    /// The facts of the workload that the entry asks for, if it has places for facts: workloads
    /// with other ones get another identity from it. None where all get the same.
    pub(super) facts: Vec<String>,
}

/// A bundle in the forms in which it is used.
#[derive(Clone, Debug)]
pub(super) struct HeldBundle {
    /// CA certificates as DER.
    pub(super) x509: Vec<Vec<u8>>,
    pub(super) jwt: JwtBundle,
    pub(super) wit: JwtBundle,
    pub(super) whole: Bundle,
    pub(super) revocation_lists: Vec<Vec<u8>>,
    /// Whether the tenant that it is held of publishes it.
    pub(super) is_own: bool,
}

/// What an update comes to for those who hold something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// The tenant and the number of the change, if all of it has arrived.
    pub(super) whole: Option<(TenantId, u64)>,
    /// What is among it, whichever part had it.
    pub(super) among: Among,
}

/// What a change has, beside entries, that what is held is to be looked at for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Among {
    /// Which authorities are not to be trusted any more.
    pub(super) distrust: bool,
    /// Bundles, and with them the lists of what is revoked.
    pub(super) bundles: bool,
}

impl Holdings {
    /// How far each tenant has been followed. Who asks begins anew: what had arrived in part is
    /// forgotten.
    pub(super) fn positions(&mut self) -> BTreeMap<String, u64> {
        self.arriving.clear();
        let tenants = self.tenants.iter();
        tenants
            .filter(|(_, holding)| holding.sequence > 0)
            .map(|(id, holding)| (id.to_string(), holding.sequence))
            .collect()
    }

    /// Takes in what a server said.
    pub(super) fn follow(&mut self, update: Update) -> Arrived {
        let Some(tenant) = TenantId::parse(&update.tenant) else {
            tracing::error!("the server names a tenant that cannot be");
            return Arrived::default();
        };
        if update.gone {
            self.tenants.remove(&tenant);
            self.arriving.remove(&tenant);
            return Arrived::default();
        }
        if update.anew {
            self.arriving.insert(tenant.clone(), Holding::default());
        }
        let holding = match self.arriving.get_mut(&tenant) {
            Some(arriving) => arriving,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
        for id in &update.removed {
            holding.entries.remove(id);
        }
        for told in update.entries {
            let id = told.id.clone();
            match Registered::read(&tenant, told) {
                Some(entry) => {
                    holding.entries.insert(id, entry);
                }
                None => tracing::error!(%tenant, entry = id, "an entry cannot be read"),
            }
        }
        // The first come with what is distrusted, and there may be none any more; those without it
        // had no room there.
        if update.distrust.is_some() {
            holding.bundles.clear();
            holding.among.bundles = true;
        }
        holding.bundles.extend(read_bundles(&update.bundles));
        holding.among.distrust |= update.distrust.is_some();
        if !update.ended.is_empty() {
            follow_ended(Arc::make_mut(&mut holding.endings), update.ended);
        }
        if let Some(distrust) = update.distrust {
            holding.distrusted = distrust.authorities.into_iter().collect();
        }
        if update.more {
            return Arrived::default();
        }
        holding.sequence = update.sequence;
        let among = std::mem::take(&mut holding.among);
        if let Some(arrived) = self.arriving.remove(&tenant) {
            self.tenants.insert(tenant.clone(), arrived);
        }
        Arrived {
            whole: Some((tenant, update.sequence)),
            among,
        }
    }

    /// What the entries give that select a workload with these facts, the oldest first: it is the
    /// default identity. What several give alike is given once, by the oldest of them.
    pub(super) fn selecting(&self, held: &[Selector]) -> Vec<Entry> {
        let facts = Facts::of(held);
        let entries = self
            .registered()
            .filter(|(_, _, registered)| registered.selects(held));
        let mut selecting: Vec<Entry> = entries
            .filter_map(|(tenant, id, registered)| registered.give(tenant, id, facts.texts()).ok())
            .collect();
        selecting.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let mut given: Vec<Entry> = Vec::with_capacity(selecting.len());
        for entry in selecting {
            if !given.iter().any(|before| before.gives_as(&entry)) {
                given.push(entry);
            }
        }
        given
    }

    /// The entries that do not select it, and what it lacks for each.
    pub(super) fn misses<'a>(
        &'a self,
        held: &'a [Selector],
    ) -> impl Iterator<Item = NearMiss> + 'a {
        let facts = Facts::of(held);
        self.registered()
            .filter_map(move |(tenant, id, registered)| {
                let wanted = registered.selectors.as_deref()?;
                let identity = &registered.identity;
                let given = registered.give(tenant, id, facts.texts());
                NearMiss::between_with_places(id, identity, wanted, held, given.err())
            })
    }

    fn registered(&self) -> impl Iterator<Item = (&TenantId, &str, &Registered)> {
        self.tenants.iter().flat_map(|(tenant, holding)| {
            let entries = holding.entries.iter();
            entries.map(move |(id, registered)| (tenant, id.as_str(), registered))
        })
    }

    /// What an entry gives now for whom it was looked up before; `None` if it is not there any more
    /// or gives that workload something else.
    pub(super) fn entry(&self, key: &EntryKey) -> Option<Entry> {
        let registered = self.tenants.get(&key.tenant)?.entries.get(&key.id)?;
        let selectors = registered.selectors.iter().flatten();
        let is_selected = key.facts.is_empty()
            || selectors
                .into_iter()
                .all(|one| key.facts.contains(&one.to_string()));
        let entry = registered.give(&key.tenant, &key.id, &key.facts).ok()?;
        (is_selected && entry.key == *key).then_some(entry)
    }

    /// Whether an entry still gives what it gave.
    pub(super) fn has(&self, key: &EntryKey) -> bool {
        if key.facts.is_empty() {
            let entries = self
                .tenants
                .get(&key.tenant)
                .map(|holding| &holding.entries);
            return entries
                .and_then(|entries| entries.get(&key.id))
                .is_some_and(|registered| registered.kinds.is_empty());
        }
        self.entry(key).is_some()
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Option<&Holding> {
        self.tenants.get(tenant)
    }

    /// The bundle of a trust domain as its own tenant publishes it.
    pub(super) fn published(&self, name: &TrustDomain) -> Option<(&TenantId, &HeldBundle)> {
        self.tenants.iter().find_map(|(tenant, holding)| {
            let bundle = holding.bundles.get(name).filter(|bundle| bundle.is_own)?;
            Some((tenant, bundle))
        })
    }

    /// Whether what was issued for an entry is believed nowhere any more, and what is issued now would
    /// be: whoever has it ended, or that one token, before this second. What is closed is not asked
    /// for anew, since nothing of it is believed however new.
    pub(super) fn has_ended(
        &self,
        entry: &EntryKey,
        spiffe_id: &SpiffeId,
        (token, born): (Option<&str>, Time),
        now: Time,
    ) -> bool {
        let Some(endings) = self.endings(&entry.tenant) else {
            return false;
        };
        let issuer = format!("spiffe://{}", spiffe_id.trust_domain());
        let subject = Mark::subject(&issuer, spiffe_id.as_str());
        let token = token.map(|id| Mark::token(&issuer, id));
        let found = [Some(subject), token].into_iter().flatten();
        let mut found = found.filter_map(|mark| endings.of(mark));
        found.any(|ending| !ending.is_closed() && ending.before < now && ending.ends(Some(born)))
    }

    /// What ended in a tenant, if anything did.
    pub(super) fn endings(&self, tenant: &TenantId) -> Option<&Endings> {
        let endings = &self.tenants.get(tenant)?.endings;
        (!endings.is_empty()).then_some(&**endings)
    }

    /// Whether what an authority signed is to be replaced.
    pub(super) fn distrusts(&self, tenant: &TenantId, authority: &str) -> bool {
        let holding = self.tenants.get(tenant);
        holding.is_some_and(|holding| holding.distrusted.contains(authority))
    }

    /// Whether a token for an entry is to be replaced that this key signed: it is distrusted, or it is
    /// not published any more, as after the server's database was put back to a time before the key.
    pub(super) fn distrusts_signer(&self, entry: &EntryKey, key: &str) -> bool {
        let has = |keys: &KeySet| keys.keys().iter().any(|one| one.id() == Some(key));
        let is_unpublished = |entry: Entry| {
            let published = self.published(entry.spiffe_id.trust_domain());
            published.is_some_and(|(_, held)| {
                !has(held.whole.jwt_authorities()) && !has(held.whole.wit_authorities())
            })
        };
        self.distrusts(&entry.tenant, key) || self.entry(entry).is_some_and(is_unpublished)
    }
}

fn follow_ended(endings: &mut Endings, told: Vec<node::Ended>) {
    for one in told {
        let Ok(mark) = <[u8; 32]>::try_from(one.mark.as_slice()) else {
            tracing::error!("the server names something that ended by no digest");
            continue;
        };
        let mark = Mark::from_digest(Digest::from_bytes(mark));
        if one.gone {
            endings.remove(mark);
            continue;
        }
        let standing = Standing {
            at: Time::from_unix(one.standing),
            is_closed: one.closed,
        };
        let before = Time::from_unix(one.before);
        let ending = Ending::standing(before, standing, one.event, one.by);
        endings.put(mark, ending);
    }
}

/// The facts of a workload as texts, made when they are first asked for: few entries have places.
struct Facts<'a> {
    held: &'a [Selector],
    texts: OnceCell<Vec<String>>,
}

impl<'a> Facts<'a> {
    fn of(held: &'a [Selector]) -> Self {
        Self {
            held,
            texts: OnceCell::new(),
        }
    }

    fn texts(&self) -> &[String] {
        self.texts
            .get_or_init(|| self.held.iter().map(Selector::to_string).collect())
    }
}

impl Registered {
    fn read(tenant: &TenantId, told: node::Entry) -> Option<Self> {
        let selectors = told.selectors.iter().map(|text| Selector::parse(text));
        let selectors = selectors.collect::<Result<Vec<_>, _>>();
        if let Err(error) = &selectors {
            tracing::warn!(%tenant, entry = told.id, %error, "an entry selects no one here");
        }
        let domains = told.federates_with.iter();
        Some(Self {
            identity: IdTemplate::parse(&told.spiffe_id).ok()?,
            kinds: told.kinds,
            federates_with: domains
                .map(|name| TrustDomain::parse(name).ok())
                .collect::<Option<_>>()?,
            hint: Hint::parse(&told.hint),
            created: told.created,
            revision: told.revision,
            selectors: selectors.ok(),
        })
    }

    /// Whether a workload has all that is asked for. What a place asks for is seen when it is
    /// filled.
    fn selects(&self, held: &[Selector]) -> bool {
        let has_places = !self.kinds.is_empty();
        self.selectors.as_deref().is_some_and(|wanted| {
            (has_places || !wanted.is_empty())
                && wanted.iter().all(|selector| held.contains(selector))
        })
    }

    /// What it gives a workload with these facts.
    fn give(&self, tenant: &TenantId, id: &str, facts: &[String]) -> Result<Entry, Unfilled> {
        let filled = match self.identity.fixed() {
            Some(id) => id.clone(),
            None => {
                let filled = self.identity.fill(Whose::Workload, facts)?;
                let id = filled.fixed().cloned();
                id.ok_or_else(|| Unfilled::of_identity("is still open"))?
            }
        };
        Ok(Entry {
            key: EntryKey {
                tenant: tenant.clone(),
                id: id.to_owned(),
                facts: self.needed(facts),
            },
            spiffe_id: filled,
            federates_with: self.federates_with.clone(),
            hint: self.hint.clone(),
            created: self.created,
            revision: self.revision,
        })
    }

    /// Those of the facts that the server needs to see.
    fn needed(&self, facts: &[String]) -> Vec<String> {
        if self.kinds.is_empty() {
            return Vec::new();
        }
        let is_of_kind = |fact: &str| {
            let mut kinds = self.kinds.iter();
            kinds.any(|kind| {
                let rest = fact.strip_prefix(kind.as_str());
                rest.is_some_and(|rest| rest.starts_with(':'))
            })
        };
        let mut needed: Vec<String> = facts
            .iter()
            .filter(|fact| is_of_kind(fact))
            .cloned()
            .collect();
        let selectors = self.selectors.iter().flatten();
        needed.extend(selectors.map(Selector::to_string));
        needed.sort();
        needed.dedup();
        needed
    }
}

fn read_bundles(bundles: &[node::Bundle]) -> BTreeMap<TrustDomain, HeldBundle> {
    let read = bundles.iter().filter_map(|bundle| {
        let name = TrustDomain::parse(&bundle.trust_domain).ok()?;
        let held = HeldBundle::read(bundle);
        if held.is_none() {
            tracing::error!(trust_domain = %name, "a bundle cannot be read");
        }
        Some((name, held?))
    });
    read.collect()
}

impl HeldBundle {
    fn read(told: &node::Bundle) -> Option<Self> {
        let document: Value = serde_json::from_str(&told.document).ok()?;
        let whole = Bundle::read(&told.trust_domain, &document).ok()?;
        let name = &whole.trust_domain;
        if !whole.passed_over().is_empty() {
            let left_out = whole.passed_over().join("; ");
            tracing::warn!(trust_domain = %name, left_out, "not all of a bundle can be used");
        }
        // What the core could not read is nothing to a workload either, whose library may refuse all
        // bundles for it (SPIFFE Trust Domain and Bundle 4.2: what cannot be used is ignored).
        let x509 = whole.x509_authorities.iter();
        Some(Self {
            x509: x509.map(|certificate| certificate.der().to_vec()).collect(),
            jwt: JwtBundle::from_spiffe_bundle(name, &told.document).ok()?,
            wit: JwtBundle::wit_from_spiffe_bundle(name, &told.document).ok()?,
            whole,
            revocation_lists: told.revocation_lists.clone(),
            is_own: told.own,
        })
    }
}

#[cfg(test)]
mod tests {
    use avouch_testkit::key::Key;
    use avouch_testkit::token::jwk;
    use avouch_testkit::world::Authority;
    use base64ct::{Base64, Encoding};
    use serde_json::json;

    use super::*;

    fn entry(id: &str) -> node::Entry {
        node::Entry {
            id: id.to_owned(),
            spiffe_id: format!("spiffe://demo.avouch.test/{id}"),
            selectors: vec!["unix:uid:1000".to_owned()],
            ..node::Entry::default()
        }
    }

    fn update(entries: &[&str], sequence: u64) -> Update {
        Update {
            tenant: "demo".to_owned(),
            sequence,
            entries: entries.iter().map(|id| entry(id)).collect(),
            ..Update::default()
        }
    }

    fn selecting(holdings: &Holdings) -> Vec<String> {
        let held = [Selector::parse("unix:uid:1000").unwrap()];
        let selecting = holdings.selecting(&held).into_iter();
        selecting.map(|entry| entry.key.id).collect()
    }

    #[test]
    fn what_comes_in_parts_takes_its_place_as_a_whole() {
        let mut holdings = Holdings::default();
        holdings.follow(update(&["a", "b"], 1));
        let first = Update {
            anew: true,
            more: true,
            ..update(&["a"], 7)
        };
        assert_eq!(holdings.follow(first).whole, None);
        assert_eq!(selecting(&holdings), ["a", "b"]);
        let last = holdings.follow(update(&["c"], 7));
        assert_eq!(last.among, Among::default());
        assert_eq!(last.whole.map(|(_, sequence)| sequence), Some(7));
        assert_eq!(selecting(&holdings), ["a", "c"]);
    }

    #[test]
    fn what_the_first_part_has_is_told_with_the_last() {
        let mut holdings = Holdings::default();
        for anew in [true, false] {
            let first = Update {
                anew,
                more: true,
                bundles: vec![node::Bundle::default()],
                distrust: Some(node::Distrust::default()),
                ..update(&["a"], 7)
            };
            assert_eq!(holdings.follow(first), Arrived::default());
            let whole = holdings.follow(update(&["b"], 7)).among;
            assert!(whole.bundles && whole.distrust);
            // It is told once.
            let next = holdings.follow(update(&["c"], 8)).among;
            assert_eq!(next, Among::default());
        }
    }

    #[test]
    fn bundles_that_have_no_room_in_one_message_come_in_several() {
        let bundle = |name: &str| node::Bundle {
            trust_domain: name.to_owned(),
            document: r#"{"keys": []}"#.to_owned(),
            own: true,
            ..node::Bundle::default()
        };
        let mut holdings = Holdings::default();
        for round in 1..=2 {
            let first = Update {
                anew: true,
                more: true,
                bundles: vec![bundle(&format!("first{round}.test"))],
                distrust: Some(node::Distrust::default()),
                ..update(&[], round)
            };
            let second = Update {
                bundles: vec![bundle(&format!("second{round}.test"))],
                ..update(&[], round)
            };
            holdings.follow(first);
            assert!(holdings.follow(second).among.bundles);
        }
        let demo = holdings.of(&TenantId::parse("demo").unwrap()).unwrap();
        let names: Vec<&str> = demo.bundles.keys().map(TrustDomain::as_str).collect();
        assert_eq!(names, ["first2.test", "second2.test"]);
    }

    #[test]
    fn a_connection_that_breaks_between_parts_leaves_what_was_held() {
        let mut holdings = Holdings::default();
        holdings.follow(update(&["a"], 3));
        let first = Update {
            anew: true,
            more: true,
            ..update(&[], 9)
        };
        holdings.follow(first);
        let positions = holdings.positions();
        assert_eq!(positions, BTreeMap::from([("demo".to_owned(), 3)]));
        holdings.follow(update(&["b"], 4));
        assert_eq!(selecting(&holdings), ["a", "b"]);
    }

    #[test]
    fn of_a_tenant_that_goes_while_it_arrives_nothing_is_left() {
        let mut holdings = Holdings::default();
        let first = Update {
            anew: true,
            more: true,
            ..update(&["a"], 9)
        };
        holdings.follow(first);
        let gone = Update {
            gone: true,
            ..update(&[], 0)
        };
        assert_eq!(holdings.follow(gone), Arrived::default());
        // One of its name that is made anew has nothing of it.
        holdings.follow(update(&["b"], 1));
        assert_eq!(selecting(&holdings), ["b"]);
    }

    #[test]
    fn the_bundle_of_the_last_trust_domain_goes_with_it() {
        let mut holdings = Holdings::default();
        let with_bundle = Update {
            bundles: vec![node::Bundle {
                trust_domain: "demo.avouch.test".to_owned(),
                document: r#"{"keys": []}"#.to_owned(),
                own: true,
                ..node::Bundle::default()
            }],
            distrust: Some(node::Distrust::default()),
            ..update(&[], 1)
        };
        holdings.follow(with_bundle);
        let name = TrustDomain::parse("demo.avouch.test").unwrap();
        assert!(holdings.published(&name).is_some());
        // What says nothing of bundles leaves them.
        holdings.follow(update(&["a"], 2));
        assert!(holdings.published(&name).is_some());
        let with_none = Update {
            distrust: Some(node::Distrust::default()),
            ..update(&[], 3)
        };
        holdings.follow(with_none);
        assert!(holdings.published(&name).is_none());
    }

    #[test]
    fn the_oldest_entry_is_the_default_and_one_of_an_unknown_fact_selects_no_one() {
        let mut holdings = Holdings::default();
        let mut newer = update(&["a", "b", "c"], 1);
        newer.entries[0].created = 20;
        newer.entries[1].created = 10;
        newer.entries[2].selectors = vec!["moon:phase:full".to_owned()];
        holdings.follow(newer);
        assert_eq!(selecting(&holdings), ["b", "a"]);
    }

    #[test]
    fn what_two_entries_give_alike_is_given_once_as_long_as_one_of_them_is_there() {
        let mut holdings = Holdings::default();
        let mut told = update(&["a", "b", "hint", "names", "other"], 1);
        for (place, entry) in told.entries.iter_mut().enumerate() {
            entry.spiffe_id = "spiffe://demo.avouch.test/web".to_owned();
            entry.created = 10 - i64::try_from(place).unwrap();
            entry.revision = 7;
        }
        told.entries[2].hint = "internal".to_owned();
        // As for other DNS names, or another life.
        told.entries[3].revision = 8;
        told.entries[4].federates_with = vec!["partner.test".to_owned()];
        holdings.follow(told);
        assert_eq!(selecting(&holdings), ["other", "names", "hint", "b"]);
        let removed = Update {
            removed: vec!["b".to_owned()],
            ..update(&[], 2)
        };
        holdings.follow(removed);
        assert_eq!(selecting(&holdings), ["other", "names", "hint", "a"]);
    }

    fn templated(selectors: &[&str]) -> Update {
        let mut told = update(&["user"], 1);
        told.entries[0].spiffe_id = "spiffe://demo.avouch.test/user/{unix.user}".to_owned();
        told.entries[0].selectors = selectors.iter().map(|one| (*one).to_owned()).collect();
        told.entries[0].kinds = vec!["unix:user".to_owned()];
        told
    }

    fn held(texts: &[&str]) -> Vec<Selector> {
        let held = texts.iter().map(|text| Selector::parse(text).unwrap());
        held.collect()
    }

    #[test]
    fn an_entry_with_a_place_gives_each_workload_an_identity_of_its_own() {
        let mut holdings = Holdings::default();
        holdings.follow(templated(&["unix:gid:7"]));
        let given = |user: &str| {
            let user = format!("unix:user:{user}");
            let held = held(&["unix:gid:7", "unix:uid:1", &user]);
            holdings.selecting(&held).pop().unwrap()
        };
        let (anna, otto) = (given("anna"), given("otto"));
        assert_eq!(
            anna.spiffe_id.as_str(),
            "spiffe://demo.avouch.test/user/anna"
        );
        assert_eq!(anna.key.facts, ["unix:gid:7", "unix:user:anna"]);
        assert_ne!(anna.key, otto.key);
        assert_eq!(holdings.entry(&anna.key), Some(anna.clone()));
        assert!(holdings.has(&otto.key));

        // It asks for something else now, which is not known of whom it was given to.
        holdings.follow(templated(&["unix:gid:8"]));
        assert_eq!(holdings.entry(&anna.key), None);
        assert!(!holdings.has(&anna.key));
    }

    #[test]
    fn a_place_that_stays_open_gives_nothing_and_says_so() {
        let mut holdings = Holdings::default();
        holdings.follow(templated(&[]));
        for (held, why) in [
            (held(&["unix:uid:1"]), "unix.user has no value"),
            (
                held(&["unix:user:a", "unix:user:b"]),
                "unix.user has several values",
            ),
            (
                held(&["unix:user:a@b"]),
                "unix.user is `a@b`, which is not one segment of a SPIFFE ID",
            ),
        ] {
            assert_eq!(holdings.selecting(&held), []);
            let miss = holdings.misses(&held).next().unwrap().to_string();
            assert!(miss.ends_with(why), "{miss}");
        }
    }

    #[test]
    fn b_05_what_the_core_cannot_read_of_a_bundle_is_not_passed_on() {
        let root = Authority::root("partner");
        let x509 = |der: &[u8]| {
            let x5c = [Base64::encode_string(der)];
            json!({"use": "x509-svid", "kty": "EC", "x5c": x5c})
        };
        let mut jwt = jwk(&Key::p256("partner"), "good");
        jwt["use"] = "jwt-svid".into();
        let mut bad = jwk(&Key::p256("partner"), "bad");
        bad["use"] = "jwt-svid".into();
        bad["x"] = "AA".into();
        let told = node::Bundle {
            trust_domain: "partner.test".to_owned(),
            document: json!({"keys": [x509(b"A"), x509(&root.certificate), bad, jwt]}).to_string(),
            ..node::Bundle::default()
        };
        let held = HeldBundle::read(&told).unwrap();
        assert_eq!(held.x509, [root.certificate]);
        let keys: Value = serde_json::from_str(held.jwt.as_json()).unwrap();
        assert_eq!(keys, json!({"keys": [jwt]}));
    }
}

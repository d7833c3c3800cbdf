//! Nodes that were not let in, for the tenant whose nodes they would be. Who was refused learned a
//! code and the id of the decision.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use avouch_core::id::{Digest, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use serde_json::json;

use crate::decisions::{Course, Place, Record, Shown};
use crate::plane::Plane;
use crate::shares::{Counts, Network};

/// How many are remembered of each tenant.
const MOST: usize = 100;

/// How many are told in the log within a minute of each tenant, and how many of one address in all:
/// whoever calls is nobody yet, and a line costs it nothing.
const MOST_TOLD: u32 = 600;
const MOST_TOLD_EACH: usize = 30;

/// A node that was not let in.
#[derive(Clone, Debug)]
pub(crate) struct RefusedNode {
    /// Under which id it was told so.
    pub(crate) decision: String,
    /// When.
    pub(crate) at: Time,
    /// How long after it had called.
    pub(crate) took: Duration,
    /// From where it called.
    pub(crate) address: Option<SocketAddr>,
    /// How it meant to show who it is.
    pub(crate) method: String,
    /// By which attestor; none for a join token.
    pub(crate) attestor: Option<String>,
    /// What names that which it has shown, without telling it.
    pub(crate) shown: Option<Digest>,
    /// Why not.
    pub(crate) reason: Reason,
}

/// The last of each tenant, and, under no tenant, of those that named none that is there. Anyone makes up
/// as many of these as they like, so they take no place of any other.
#[derive(Default)]
pub(crate) struct RefusedNodes(Mutex<BTreeMap<Option<TenantId>, VecDeque<RefusedNode>>>);

impl RefusedNodes {
    /// Forgets those of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&Some(tenant.clone()));
    }

    fn note(&self, tenant: Option<TenantId>, refused: RefusedNode) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(tenant).or_default();
        own.push_back(refused);
        if own.len() > MOST
            && let Some(place) = oldest_of_most(own)
        {
            own.remove(place);
        }
    }

    /// The last of a tenant, the newest first; with those that named no tenant, if it is the root.
    pub(crate) fn of(&self, tenant: &TenantId, is_root: bool) -> Vec<RefusedNode> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(&Some(tenant.clone())).into_iter().flatten();
        let nameless = all.get(&None).filter(|_| is_root).into_iter().flatten();
        let mut found: Vec<RefusedNode> = nameless.chain(own).cloned().collect();
        found.reverse();
        // Those of a second stay in their order.
        found.sort_by_key(|one| std::cmp::Reverse(one.at));
        found
    }
}

/// Where the oldest stands of the site that has most of them: whoever fills the list takes the place of
/// nobody but itself.
fn oldest_of_most(all: &VecDeque<RefusedNode>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one.site()).or_insert(0_usize) += 1;
    }
    let most = counts.values().copied().max()?;
    all.iter()
        .position(|one| counts.get(&one.site()) == Some(&most))
}

impl RefusedNode {
    fn network(&self) -> Option<Network> {
        self.address.map(|address| Network::of(address.ip()))
    }

    fn site(&self) -> Option<Network> {
        self.network().map(Network::site)
    }
}

/// Of what the log tells, each with lines of its own: who makes up tenants keeps none of a tenant out of
/// it that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// Nodes that would be of this tenant.
    Of(TenantId),
    /// Those that named none that is there.
    OfNone,
    /// Callers whose certificate is not believed.
    Unbelieved,
}

impl Whose {
    /// Of nodes that would be of this tenant, which is there.
    fn of(tenant: Option<&TenantId>) -> Self {
        tenant.cloned().map_or(Self::OfNone, Self::Of)
    }
}

/// How many were told in the log in a minute.
#[derive(Default)]
pub(crate) struct ToldOfRefused(Mutex<Told>);

#[derive(Default)]
struct Told {
    minute: i64,
    of: BTreeMap<Whose, u32>,
    by: Counts,
    untold: u64,
}

/// Whether the log tells of one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Telling {
    is_told: bool,
    /// How many were not, in the minutes before.
    untold_before: u64,
}

impl ToldOfRefused {
    fn one_more(&self, whose: Whose, network: Option<Network>, now: Time) -> Telling {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut untold_before = 0;
        let minute = now.unix().div_euclid(60);
        if minute != told.minute {
            untold_before = told.untold;
            *told = Told {
                minute,
                ..Told::default()
            };
        }
        let of_them = told.of.get(&whose).copied().unwrap_or_default();
        let is_told = of_them < MOST_TOLD && told.by.has_room(network, MOST_TOLD_EACH);
        if is_told {
            told.of.insert(whose, of_them + 1);
            told.by.add(network);
        } else {
            told.untold += 1;
        }
        Telling {
            is_told,
            untold_before,
        }
    }
}

impl Plane {
    /// Whether the log tells of one more caller from there whose certificate is not believed.
    pub(crate) fn tells_of_unbelieved(&self, network: Option<Network>) -> bool {
        self.tells_of(Whose::Unbelieved, network)
    }

    /// Whether the log tells of one more. Of those that it does not, it tells how many there were.
    fn tells_of(&self, whose: Whose, network: Option<Network>) -> bool {
        let now = self.now();
        let telling = self.told_of_refused.one_more(whose, network, now);
        if telling.untold_before > 0 {
            let untold = telling.untold_before;
            tracing::warn!(untold, "more nodes were refused than are told one by one");
        }
        telling.is_told
    }

    /// Says in the log why a node was not let in, and remembers it for the tenant that it named; for
    /// the root, apart from its own, if there is none.
    pub(crate) fn note_refused(&self, tenant: &str, refused: RefusedNode) {
        let named = TenantId::parse(tenant).filter(|id| self.known(id).is_some());
        let whose = Whose::of(named.as_ref());
        if self.tells_of(whose, refused.network()) {
            tell(tenant, &refused);
        }
        self.counters.refused(refused.reason.code());
        if let Some(id) = &named {
            self.keep_refused(id, &refused);
        }
        self.refused_nodes.note(named, refused);
    }

    /// Keeps it among the decisions of the tenant, in the room that all of them have. Of one that cannot be
    /// read, nobody reads decisions.
    fn keep_refused(&self, id: &TenantId, refused: &RefusedNode) {
        let Ok(Some(tenant)) = self.tenant(id) else {
            return;
        };
        let place = Place {
            id: refused.decision.clone(),
            at: refused.at,
            request: "join",
            took: refused.took,
        };
        let shown = refused.shown;
        let course = Course {
            shown: shown.map(|digest| Shown::named(&refused.method, digest)),
            said: None,
        };
        let asked = json!({
            "method": refused.method,
            "attestor": refused.attestor,
            "address": refused.address.map(|address| address.to_string()),
        });
        let record = Record::refused(place, course, &refused.reason).with_asked(&asked);
        self.keep_decision(&tenant, record);
    }
}

fn tell(tenant: &str, refused: &RefusedNode) {
    tracing::warn!(
        decision = refused.decision,
        tenant,
        method = refused.method,
        attestor = refused.attestor,
        address = refused.address.map(|address| address.to_string()),
        code = refused.reason.code(),
        sentence = refused.reason.sentence(),
        fix = refused.reason.hint(),
        "a node was not let in"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, at: i64) -> RefusedNode {
        RefusedNode {
            decision: name.to_owned(),
            at: Time::from_unix(at),
            took: Duration::ZERO,
            address: None,
            method: "join_token".to_owned(),
            attestor: None,
            shown: None,
            reason: Reason::IssueObjectUnknown {
                object: "tenant",
                name: "x".to_owned(),
            },
        }
    }

    fn refused_from(address: &str, name: &str, at: i64) -> RefusedNode {
        RefusedNode {
            address: Some(SocketAddr::new(address.parse().unwrap(), 1)),
            ..refused(name, at)
        }
    }

    #[test]
    fn whoever_is_refused_often_takes_no_place_of_others_in_the_same_tenant() {
        let all = RefusedNodes::default();
        let tenant = TenantId::parse("one").unwrap();
        let note = |refused| all.note(Some(tenant.clone()), refused);
        note(refused_from("192.0.2.1", "genuine", 1));
        for at in 2..1_000 {
            note(refused_from("192.0.2.66", "hostile", at));
        }
        let found = all.of(&tenant, false);
        assert_eq!(found.len(), MOST);
        assert_eq!(found.last().unwrap().decision, "genuine");
        // Its own last ones are those that are kept.
        assert_eq!(found.first().unwrap().at, Time::from_unix(999));
    }

    #[test]
    fn the_log_tells_of_so_many_and_then_how_many_more_there_were() {
        let told = ToldOfRefused::default();
        let one_more = |network, at| told.one_more(Whose::OfNone, network, Time::from_unix(at));
        let hostile = refused_from("192.0.2.66", "hostile", 0).network();
        let flood = (0..1_000).filter(|_| one_more(hostile, 0).is_told);
        assert_eq!(flood.count(), MOST_TOLD_EACH);
        let genuine = refused_from("192.0.2.1", "genuine", 0).network();
        assert!(one_more(genuine, 59).is_told);
        let untold = one_more(genuine, 60).untold_before;
        assert_eq!(untold, 1_000 - u64::try_from(MOST_TOLD_EACH).unwrap());
        let told = addresses().filter(|network| one_more(*network, 61).is_told);
        assert_eq!(told.count(), MOST_TOLD as usize - 1);
    }

    /// A thousand, each of a network of its own.
    fn addresses() -> impl Iterator<Item = Option<Network>> {
        (0..1_000).map(|number| Some(Network::of(std::net::Ipv4Addr::from_bits(number).into())))
    }

    #[test]
    fn who_makes_up_tenants_or_is_not_believed_keeps_no_tenant_out_of_the_log() {
        let told = ToldOfRefused::default();
        let one_more = |whose: &Whose, network| {
            let telling = told.one_more(whose.clone(), network, Time::from_unix(1));
            telling.is_told
        };
        let tenants = ["one", "two"].map(|name| Whose::of(TenantId::parse(name).as_ref()));
        for flooded in [Whose::of(None), Whose::Unbelieved, tenants[0].clone()] {
            let flood = addresses().filter(|network| one_more(&flooded, *network));
            assert_eq!(flood.count(), MOST_TOLD as usize, "{flooded:?}");
        }
        let genuine = refused_from("198.51.100.1", "genuine", 0).network();
        assert!(one_more(&tenants[1], genuine));
        assert!(!one_more(&tenants[0], genuine));
    }

    #[test]
    fn whoever_has_many_networks_takes_no_place_of_others_and_few_lines() {
        let all = RefusedNodes::default();
        let told = ToldOfRefused::default();
        let tenant = TenantId::parse("one").unwrap();
        all.note(
            Some(tenant.clone()),
            refused_from("2001:db8::1", "genuine", 1),
        );
        all.note(
            Some(tenant.clone()),
            refused_from("2001:db8::1", "genuine", 1),
        );
        let mut lines = 0;
        for at in 2..1_000 {
            let hostile = refused_from(&format!("2001:db8:1:{at:x}::1"), "hostile", at);
            let whose = Whose::Of(tenant.clone());
            let telling = told.one_more(whose, hostile.network(), Time::from_unix(1));
            lines += usize::from(telling.is_told);
            all.note(Some(tenant.clone()), hostile);
        }
        let found = all.of(&tenant, false);
        let genuine = found.iter().filter(|one| one.decision == "genuine");
        assert_eq!((found.len(), genuine.count()), (MOST, 2));
        assert_eq!(lines, 2 * MOST_TOLD_EACH);
    }

    #[test]
    fn nodes_of_tenants_that_are_made_up_take_no_place_of_others() {
        let all = RefusedNodes::default();
        let (root, other) = (
            TenantId::parse("root").unwrap(),
            TenantId::parse("other").unwrap(),
        );
        all.note(Some(root.clone()), refused("genuine", 1));
        all.note(Some(other.clone()), refused("its own", 1));
        for at in 0..1_000 {
            all.note(None, refused("made up", at));
        }
        let told = |of: &TenantId, is_root| {
            let found = all.of(of, is_root).into_iter();
            found.map(|one| one.decision).collect::<Vec<String>>()
        };
        let of_root = told(&root, true);
        assert_eq!(of_root.len(), MOST + 1);
        assert_eq!(of_root.first().unwrap(), "made up");
        assert_eq!(of_root.last().unwrap(), "genuine");
        assert_eq!(told(&other, false), ["its own"]);
        all.forget_tenant(&other);
        assert!(told(&other, false).is_empty());
    }
}

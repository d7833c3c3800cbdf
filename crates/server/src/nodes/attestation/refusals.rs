//! Nodes that were not let in, for the tenant whose nodes they would be. Who was refused learned a
//! code and the id of the decision.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use crate::plane::Plane;

/// How many are remembered of each tenant; the log has all.
const MOST: usize = 100;

/// A node that was not let in.
#[derive(Clone, Debug)]
pub(crate) struct RefusedNode {
    /// Under which id it was told so.
    pub(crate) decision: String,
    /// When.
    pub(crate) at: Time,
    /// From where it called.
    pub(crate) address: Option<SocketAddr>,
    /// How it meant to show who it is.
    pub(crate) method: String,
    /// By which attestor; none for a join token.
    pub(crate) attestor: Option<String>,
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
        if own.len() > MOST {
            own.pop_front();
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

impl Plane {
    /// Says in the log why a node was not let in, and remembers it for the tenant that it named; for
    /// the root, apart from its own, if there is none.
    pub(crate) fn note_refused(&self, tenant: &str, refused: RefusedNode) {
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
        self.counters.refused(refused.reason.code());
        let named = TenantId::parse(tenant).filter(|id| self.known(id).is_some());
        self.refused_nodes.note(named, refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_tenants_that_are_made_up_take_no_place_of_others() {
        let all = RefusedNodes::default();
        let refused = |name: &str, at: i64| RefusedNode {
            decision: name.to_owned(),
            at: Time::from_unix(at),
            address: None,
            method: "join_token".to_owned(),
            attestor: None,
            reason: Reason::IssueObjectUnknown {
                object: "tenant",
                name: "x".to_owned(),
            },
        };
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

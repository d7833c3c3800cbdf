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

/// The last of each tenant.
#[derive(Default)]
pub(crate) struct RefusedNodes(Mutex<BTreeMap<TenantId, VecDeque<RefusedNode>>>);

impl RefusedNodes {
    /// Forgets those of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(tenant);
    }

    /// The last of a tenant, the newest first.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<RefusedNode> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(tenant).into_iter().flatten();
        own.rev().cloned().collect()
    }
}

impl Plane {
    /// Says in the log why a node was not let in, and remembers it for the tenant that it named; for
    /// the root, if there is none.
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
        let Some(tenant) = named.or_else(|| Some(self.root().ok()?.id().clone())) else {
            return;
        };
        let all = &self.refused_nodes.0;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(tenant).or_default();
        own.push_back(refused);
        if own.len() > MOST {
            own.pop_front();
        }
    }
}

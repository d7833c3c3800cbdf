//! One node that follows: told of everything at first, then of every change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::node::{FollowRequest, Update};
use avouch_core::id::TenantId;
use tokio::sync::{Notify, mpsc, watch};
use tonic::{Status, Streaming};

use super::Session;
use super::updates::{Position, updates};
use crate::nodes::Admitted;
use crate::plane::{KnownTenant, Plane};
use crate::tenant::Tenant;

/// How long a node that nothing concerns is left alone. Then it moves on to the last change, so that
/// it is not told everything once what it had seen last is forgotten.
const LONGEST_QUIET: Duration = Duration::from_secs(10);

/// One stream.
pub(super) struct Following {
    pub(super) plane: Arc<Plane>,
    /// Tells it apart from another stream of the same node.
    pub(super) number: u64,
    pub(super) node: Admitted,
    pub(super) session: Arc<Session>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// How far a node has been told.
struct Told {
    positions: BTreeMap<TenantId, Position>,
    /// How many tenants had been removed when it was told last which of them are no more.
    taken_out: Option<u64>,
    /// Of which tenants it cannot be told, and that is in the log.
    failing: BTreeSet<TenantId>,
}

impl Told {
    /// As a node says that it was, before.
    fn claimed(first: &FollowRequest) -> Self {
        let held = first.held.iter();
        let positions = held.filter_map(|(name, sequence)| {
            Some((TenantId::parse(name)?, Position::claimed(*sequence)))
        });
        Self {
            positions: positions.collect(),
            taken_out: None,
            failing: BTreeSet::new(),
        }
    }
}

impl Following {
    /// Sends until the node leaves, is not admitted any more, or the server stops.
    pub(super) async fn run(
        mut self,
        mut asked: Streaming<FollowRequest>,
        sent: mpsc::Sender<Result<Update, Status>>,
    ) {
        let Ok(Some(first)) = asked.message().await else {
            return;
        };
        let id = self.node.id().clone();
        let wakes = self.plane.presences.enter(&id, self.number);
        let end = self.follow(first, &mut asked, &sent, &wakes).await;
        self.plane.presences.leave(&id, self.number);
        if let Some(status) = end {
            // Whoever has gone needs not be told.
            drop(sent.send(Err(status)).await);
        }
    }

    async fn follow(
        &mut self,
        first: FollowRequest,
        asked: &mut Streaming<FollowRequest>,
        sent: &mpsc::Sender<Result<Update, Status>>,
        wakes: &Notify,
    ) -> Option<Status> {
        let mut news = self.node.tenant.news.subscribe();
        let mut stopping = self.stopping.clone();
        let mut told = Told::claimed(&first);
        self.arrived(&first);
        let mut is_current = false;
        loop {
            // Before looking, so that what changes meanwhile is looked at again.
            news.mark_unchanged();
            match self.session.admitted(&self.plane).await {
                Ok(node) => {
                    // Other facts select other entries, so it is told everything anew.
                    if node.facts != self.node.facts {
                        let positions = told.positions.values_mut();
                        positions.for_each(|position| *position = Position::default());
                    }
                    self.node = node;
                }
                Err(status) => {
                    // What serves it may be gone itself; nobody else would tell its workloads.
                    if !self.plane.holds(&self.node.tenant) {
                        tell_gone(sent, told.positions.into_keys()).await;
                    }
                    return Some(status);
                }
            }
            if let Err(end) = self.tell(sent, &mut told).await {
                return end;
            }
            if !is_current {
                is_current = true;
                let current = Update {
                    current: true,
                    ..Update::default()
                };
                if sent.send(Ok(current)).await.is_err() {
                    return None;
                }
            }
            // What arrives is only noted, so it is read until there is something to send.
            loop {
                tokio::select! {
                    changed = news.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Some(Status::unavailable("the server stops")),
                    },
                    () = wakes.notified() => break,
                    () = tokio::time::sleep(LONGEST_QUIET) => break,
                    message = asked.message() => match message {
                        Ok(Some(message)) => self.arrived(&message),
                        Ok(None) | Err(_) => return None,
                    },
                    () = sent.closed() => return None,
                    _ = stopping.wait_for(|stopping| *stopping) => {
                        return Some(Status::unavailable("the server stops"));
                    }
                }
            }
        }
    }

    /// Tells the node what has changed of all that it serves; an error ends the stream, with what the
    /// node is told if it is still there.
    async fn tell(
        &self,
        sent: &mpsc::Sender<Result<Update, Status>>,
        told: &mut Told,
    ) -> Result<(), Option<Status>> {
        // Before looking, likewise.
        let taken_out = self.plane.taken_out();
        let known = self.plane.known_below(self.node.tenant.id());
        if told.taken_out != Some(taken_out) {
            told.taken_out = Some(taken_out);
            let is_there = |id: &TenantId| known.binary_search_by(|one| one.id().cmp(id)).is_ok();
            let gone: Vec<TenantId> = told
                .positions
                .keys()
                .filter(|id| !is_there(id))
                .cloned()
                .collect();
            told.positions.retain(|id, _| is_there(id));
            if !tell_gone(sent, gone.into_iter()).await {
                return Err(None);
            }
        }
        let held = told.positions.keys().cloned().collect();
        for tenant in self.served(known, held).await {
            let position = told.positions.entry(tenant.id().clone()).or_default();
            let due = match updates(&self.plane, &self.node, &tenant, position) {
                Ok(due) => {
                    told.failing.remove(tenant.id());
                    due
                }
                // What is damaged of one tenant is no matter of the others. It is looked at again.
                Err(fault) => {
                    if told.failing.insert(tenant.id().clone()) {
                        let node = self.node.id();
                        tracing::error!(tenant = %tenant.id(), %node, %fault, "a node cannot be told");
                    }
                    continue;
                }
            };
            let (is_news, number) = (!due.is_empty(), position.number());
            self.plane
                .presences
                .note(self.node.id(), self.number, tenant.id(), |progress| {
                    progress.seen = number;
                    if is_news {
                        progress.sent = number;
                    }
                });
            for update in due {
                if sent.send(Ok(update)).await.is_err() {
                    return Err(None);
                }
            }
        }
        Ok(())
    }

    /// The tenants that the node is told of: all that are open, and those not yet open of which it
    /// holds something or may have something to do for.
    async fn served(
        &self,
        known: Vec<Arc<KnownTenant>>,
        held: BTreeSet<TenantId>,
    ) -> Vec<Arc<Tenant>> {
        let open: Option<Vec<_>> = known.iter().map(|known| known.opened()).collect();
        if let Some(open) = open {
            return open;
        }
        let plane = Arc::clone(&self.plane);
        let opened = move || plane.open_for_nodes(known, &held);
        tokio::task::spawn_blocking(opened)
            .await
            .unwrap_or_default()
    }

    fn arrived(&self, message: &FollowRequest) {
        for (name, sequence) in &message.held {
            if let Some(id) = TenantId::parse(name) {
                let presences = &self.plane.presences;
                presences.arrived(self.node.id(), self.number, &id, *sequence);
            }
        }
    }
}

/// Tells a node that it holds nothing of these tenants any more. Whether it is still there.
async fn tell_gone(
    sent: &mpsc::Sender<Result<Update, Status>>,
    tenants: impl Iterator<Item = TenantId>,
) -> bool {
    for tenant in tenants {
        let update = Update {
            tenant: tenant.to_string(),
            gone: true,
            ..Update::default()
        };
        if sent.send(Ok(update)).await.is_err() {
            return false;
        }
    }
    true
}

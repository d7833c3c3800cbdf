//! Follows the server, again and again, for as long as the node is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use avouch_api::grpc::node::{FollowRequest, Update};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::kinds::{Wit, X509};
use super::link::{in_time, innermost};
use super::{Absence, Shared, link, svids};

/// How long to wait before the second attempt; twice as long before each after that.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn follow(shared: Weak<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match once(&shared).await {
            // There is another connection: it takes over at once.
            Ok(()) => pause = FIRST_PAUSE,
            Err(status) => {
                let absence = match status.code() {
                    _ if shared.link.is_over() => Absence::Over,
                    Code::PermissionDenied => Absence::Refused,
                    _ => Absence::Away,
                };
                shared.note_absence(absence, &innermost(&status));
                drop(shared);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Follows over one connection until there is another one, or until it breaks.
async fn once(shared: &Arc<Shared>) -> Result<(), Status> {
    let mut connections = shared.link.connections();
    connections.mark_unchanged();
    let (asked, asking) = mpsc::channel(16);
    let held = shared.holdings_mut().positions();
    drop(asked.send(FollowRequest { held }).await);
    let mut client = shared.link.client();
    let followed = in_time(client.follow(ReceiverStream::new(asking))).await?;
    let mut updates: Streaming<Update> = followed.into_inner();
    shared.note_back();
    loop {
        let update = tokio::select! {
            update = updates.message() => update?,
            changed = connections.changed() => {
                return changed.map_err(|_| Status::unavailable("the node stops"));
            }
        };
        let Some(update) = update else {
            return Err(Status::unavailable("the server has ended the stream"));
        };
        if update.current {
            shared.complete.send_replace(true);
            continue;
        }
        let is_gone = update.gone;
        let arrived = shared.holdings_mut().follow(update);
        if is_gone {
            shared.tell();
            continue;
        }
        let Some((tenant, sequence)) = arrived.whole else {
            continue;
        };
        if arrived.among.distrust || arrived.among.bundles {
            shared.tokens.forget_distrusted(&shared.holdings());
            // What is not to be trusted any more is replaced before the change is said to have
            // arrived, so that the server knows when nobody holds it.
            svids::replace_distrusted::<X509>(shared).await;
            svids::replace_distrusted::<Wit>(shared).await;
            // So is what the node shows of itself. If it fails, who keeps it says so and tries again.
            drop(link::renew_if_due(shared).await);
        }
        if arrived.among.bundles {
            svids::replace_disbelieved(shared, &tenant).await;
        }
        shared.tell();
        let held = BTreeMap::from([(tenant.to_string(), sequence)]);
        drop(asked.send(FollowRequest { held }).await);
    }
}

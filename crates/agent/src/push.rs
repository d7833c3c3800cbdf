//! One open stream, from its first message to its end.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::attest::Attested;
use crate::caller::{Caller, Callers, denied};
use crate::identities::NotIssued;
use crate::profile::Profile;

/// What one stream sends, to whom and until when.
pub(crate) struct Push<E, M> {
    pub(crate) caller: Caller,
    pub(crate) callers: Callers,
    pub(crate) attested: Attested,
    pub(crate) profile: Profile<E, M>,
    pub(crate) entitlement: watch::Receiver<Arc<Result<E, NotIssued>>>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl<E, M> Push<E, M> {
    /// Sends the whole state at once, and again whenever the part of it that the profile shows has
    /// changed (SPIFFE Workload API 4), until the workload loses its identities, hangs up or ends,
    /// or the agent stops.
    pub(crate) async fn run(mut self, messages: mpsc::Sender<Result<M, Status>>) {
        let mut sent: Option<Arc<Result<E, NotIssued>>> = None;
        loop {
            // A process that ended left its connection to a child, which is someone else.
            if self.caller.peer.has_ended() {
                return;
            }
            let now = Arc::clone(&self.entitlement.borrow_and_update());
            let message = match now.as_ref() {
                Ok(entitled) if self.is_news(entitled, sent.as_deref()) => self
                    .still(sent.is_none())
                    .await
                    .map(|()| (self.profile.render)(entitled)),
                Ok(_) => {
                    if let Err(end) = self.change(&messages).await {
                        return end.tell(&messages).await;
                    }
                    continue;
                }
                Err(why) => Err(denied(&self.attested, self.profile.method, why)),
            };
            let is_last = message.is_err();
            if messages.send(message).await.is_err() || is_last {
                return;
            }
            sent = Some(now);
        }
    }

    fn is_news(&self, now: &E, sent: Option<&Result<E, NotIssued>>) -> bool {
        match sent {
            Some(Ok(sent)) => (self.profile.differ)(sent, now),
            Some(Err(_)) | None => true,
        }
    }

    /// Whether what comes now is for who asked. Who gets its first message was attested just before.
    async fn still(&self, is_first: bool) -> Result<(), Status> {
        match is_first {
            true => Ok(()),
            false => self.callers.still(&self.caller, &self.attested).await,
        }
    }

    /// Waits until there may be something new to send, or no one to send it to.
    async fn change(&mut self, messages: &mpsc::Sender<Result<M, Status>>) -> Result<(), End> {
        tokio::select! {
            changed = self.entitlement.changed() => changed.map_err(|_| End::Stopped),
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(End::Stopped),
            () = self.caller.peer.end() => Err(End::Left),
            () = messages.closed() => Err(End::Left),
        }
    }
}

/// Why there is nothing more to send.
enum End {
    /// The agent stops; the workload does well to come back.
    Stopped,
    /// The workload is not there any more.
    Left,
}

impl End {
    async fn tell<M>(self, messages: &mpsc::Sender<Result<M, Status>>) {
        match self {
            Self::Stopped => {
                let status = Status::unavailable("the agent stops");
                // Whoever has gone needs not be told.
                drop(messages.send(Err(status)).await);
            }
            Self::Left => {}
        }
    }
}

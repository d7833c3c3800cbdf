//! The Secret Discovery Service of Envoy, as it is asked over a connection whose peer is known.

use std::pin::Pin;
use std::sync::Arc;

use avouch_api::grpc::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use avouch_api::grpc::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use prost_types::Any;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::attest::Attested;
use crate::caller::{Caller, Callers, caller, denied, in_time, joined, repeated};
use crate::identities::{Entitled, Entitlement, Identities};
use crate::quiet::Quiet;
use crate::secrets::{Checks, NoSecrets, SECRET_TYPE, Wanted, names, secrets};

/// The implementation of the service, for all connections.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) callers: Callers,
    /// Becomes `true` when the agent stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
    type StreamSecretsStream =
        Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let caller = caller(&request)?.clone();
        let attested = self.callers.attested(&caller).await?;
        let conversation = Conversation {
            caller,
            callers: self.callers.clone(),
            entitlement: in_time(self.identities.subscribe(attested.selectors())).await?,
            attested,
            stopping: self.stopping.clone(),
            requests: request.into_inner(),
            checks: Checks::Roots,
            wanted: None,
            sent: None,
        };
        // Room for one: a slow reader finds the newest state, and not all that were between.
        let (responses, stream) = mpsc::channel(1);
        tokio::spawn(conversation.run(responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn fetch_secrets(
        &self,
        request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        let attested = self.callers.attested(caller(&request)?).await?;
        let asked = request.into_inner();
        require_secrets(&asked.type_url)?;
        let entitlement = in_time(self.identities.subscribe(attested.selectors())).await?;
        let entitlement = Arc::clone(&entitlement.borrow());
        let entitled = entitlement.as_ref().as_ref();
        let entitled = entitled.map_err(|why| denied(&attested, "FetchSecrets", why))?;
        let checks = Checks::of(asked.node.as_ref());
        let wanted = Wanted::of(asked.resource_names);
        Ok(Response::new(DiscoveryResponse {
            resources: found(&attested, entitled, &wanted, checks)?,
            type_url: SECRET_TYPE.to_owned(),
            ..DiscoveryResponse::default()
        }))
    }
}

/// One open stream, from its first request to its end.
struct Conversation {
    caller: Caller,
    callers: Callers,
    attested: Attested,
    entitlement: watch::Receiver<Arc<Entitlement>>,
    stopping: watch::Receiver<bool>,
    requests: Streaming<DiscoveryRequest>,
    checks: Checks,
    /// `None` until the first request.
    wanted: Option<Wanted>,
    sent: Option<Sent>,
}

/// The last response.
struct Sent {
    /// Both its version and what the answer to it names it by.
    number: u64,
    resources: Vec<Any>,
    wanted: Wanted,
    is_answered: bool,
}

/// Nobody is there any more.
struct Left;

impl Conversation {
    async fn run(mut self, responses: mpsc::Sender<Result<DiscoveryResponse, Status>>) {
        while let Ok(turn) = self.wait(&responses).await {
            let response = match turn.and_then(|()| self.response()) {
                // Also before the first: a proxy may take its time to say what it wants.
                Ok(Some(response)) => {
                    let still = self.callers.still(&self.caller, &self.attested).await;
                    still.map(|()| response)
                }
                Ok(None) => continue,
                Err(end) => Err(end),
            };
            let is_last = response.is_err();
            if responses.send(response).await.is_err() || is_last {
                return;
            }
        }
    }

    /// Waits until there may be something to say, or a reason to say no more.
    async fn wait(
        &mut self,
        responses: &mpsc::Sender<Result<DiscoveryResponse, Status>>,
    ) -> Result<Result<(), Status>, Left> {
        let stops = || Ok(Err(Status::unavailable("the agent stops")));
        let request = tokio::select! {
            request = self.requests.message() => match request {
                Ok(Some(request)) => Some(request),
                Ok(None) | Err(_) => return Err(Left),
            },
            changed = self.entitlement.changed() => match changed {
                Ok(()) => None,
                Err(_) => return stops(),
            },
            _ = self.stopping.wait_for(|stopping| *stopping) => return stops(),
            () = self.caller.peer.end() => return Err(Left),
            () = responses.closed() => return Err(Left),
        };
        // A process that ended left its connection to a child, which is someone else.
        if self.caller.peer.has_ended() {
            return Err(Left);
        }
        Ok(request.map_or(Ok(()), |request| self.read(request)))
    }

    /// Takes in what the proxy wants, and what it says to what it was sent.
    fn read(&mut self, request: DiscoveryRequest) -> Result<(), Status> {
        require_secrets(&request.type_url)?;
        let Some(sent) = &mut self.sent else {
            if self.wanted.is_none() {
                // Later requests need not say who asks.
                self.checks = Checks::of(request.node.as_ref());
            }
            self.wanted = Some(Wanted::of(request.resource_names));
            return Ok(());
        };
        let process = self.attested.process();
        if request.response_nonce != sent.number.to_string() {
            // It was sent before the last response arrived; what that makes of it comes yet.
            tracing::debug!(
                process,
                "an answer to a response that is not the last is passed over"
            );
            return Ok(());
        }
        match request.error_detail {
            // Said once for each response, however often the proxy says it.
            Some(error) if !sent.is_answered => {
                // A process may open as many streams as it likes, and refuse the first of each.
                if let Some(left_out) = NOT_TAKEN.admit(self.attested.user(), Instant::now()) {
                    tracing::warn!(
                        process,
                        secrets = repeated(&request.resource_names),
                        version = sent.number,
                        version_in_use = repeated(&[request.version_info]),
                        error = repeated(&[error.message]),
                        left_out,
                        "a proxy does not take the secrets that it was sent"
                    );
                }
            }
            Some(_) => {}
            None => tracing::debug!(process, version = sent.number, "a proxy took its secrets"),
        }
        sent.is_answered = true;
        // A proxy that named something and now names nothing is in want of nothing; one that never
        // named anything still wants all.
        let wanted = Wanted::of(request.resource_names);
        self.wanted = match (&sent.wanted, wanted) {
            (Wanted::Named(_), Wanted::All) => Some(Wanted::Named(Default::default())),
            (_, wanted) => Some(wanted),
        };
        Ok(())
    }

    /// What to say now, if it is news.
    fn response(&mut self) -> Result<Option<DiscoveryResponse>, Status> {
        let now = Arc::clone(&self.entitlement.borrow_and_update());
        let entitled = now.as_ref().as_ref();
        let entitled = entitled.map_err(|why| denied(&self.attested, "StreamSecrets", why))?;
        let Some(wanted) = &self.wanted else {
            return Ok(None);
        };
        let resources = found(&self.attested, entitled, wanted, self.checks)?;
        if resources.is_empty() {
            // Who wants nothing forgets what it had: it is news once it is wanted again. The number
            // stays that of the last response, which is what the proxy answers to.
            if let Some(sent) = &mut self.sent {
                sent.resources.clear();
                sent.wanted = wanted.clone();
            }
            return Ok(None);
        }
        let is_old = |sent: &Sent| sent.resources == resources && sent.wanted == *wanted;
        if self.sent.as_ref().is_some_and(is_old) {
            return Ok(None);
        }
        let number = self.sent.as_ref().map_or(0, |sent| sent.number) + 1;
        self.sent = Some(Sent {
            number,
            resources: resources.clone(),
            wanted: wanted.clone(),
            is_answered: false,
        });
        Ok(Some(DiscoveryResponse {
            version_info: number.to_string(),
            resources,
            type_url: SECRET_TYPE.to_owned(),
            nonce: number.to_string(),
        }))
    }
}

/// Proxies that ask again and again may not fill the log with it.
static UNKNOWN: Quiet = Quiet::new();
static NOT_TAKEN: Quiet = Quiet::new();

/// The secrets that were asked for. Whoever asks for one that is not there is told no more than
/// that, in words that are known from other agents; who runs the agent reads what there is.
fn found(
    attested: &Attested,
    entitled: &Entitled,
    wanted: &Wanted,
    checks: Checks,
) -> Result<Vec<Any>, Status> {
    secrets(entitled, wanted, checks).map_err(|why| match why {
        NoSecrets::Unknown(unknown) => {
            let unknown = repeated(&unknown);
            if let Some(left_out) = UNKNOWN.admit(attested.user(), Instant::now()) {
                tracing::warn!(
                    process = attested.process(),
                    selectors = joined(attested.selectors()),
                    unknown,
                    there_are = joined(&names(entitled)),
                    left_out,
                    "a proxy asks for secrets that its workload does not have"
                );
            }
            Status::invalid_argument(format!(
                "workload is not authorized for the requested identities [{unknown}]"
            ))
        }
        NoSecrets::Unwritable(error) => {
            tracing::error!(process = attested.process(), %error, "a secret cannot be written");
            Status::internal("a secret cannot be written")
        }
    })
}

fn require_secrets(type_url: &str) -> Result<(), Status> {
    // Some clients leave out what the method says already.
    if matches!(type_url, "" | SECRET_TYPE) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "only {SECRET_TYPE} is served here"
    )))
}

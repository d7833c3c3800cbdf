//! The Broker API, as brokers call it.

use std::pin::Pin;
use std::sync::Arc;

use avouch_api::grpc::broker::api_server::Api;
use avouch_api::grpc::broker::{
    FetchJwtsvidRequest, FetchJwtsvidResponse, Jwtsvid, SubscribeToJwtBundlesRequest,
    SubscribeToJwtBundlesResponse, SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse,
    SubscribeToX509svidRequest, SubscribeToX509svidResponse, WorkloadReference, X509svid,
};
use avouch_api::grpc::workload;
use avouch_core::id::SpiffeId;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::access::Brokers;
use super::listener::Connection;
use super::reference::{Reference, Workload, not_entitled, not_found};
use crate::caller::{Callers, in_time, joined, not_heard, refused, unavailable};
use crate::identities::{Entitled, Entitlement, Identities, NotIssued};
use crate::kubelet::Kubelet;
use crate::profile::{self, Profile};
use crate::quiet::Quiet;

/// The stream of one kind of message.
type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// A broker that asks again and again in vain may not fill the log with it.
static COMPLAINTS: Quiet = Quiet::new();

/// The implementation of the service, for all connections.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) identities: Arc<dyn Identities>,
    pub(super) callers: Callers,
    pub(super) brokers: Arc<Brokers>,
    pub(super) kubelet: Option<Arc<Kubelet>>,
    /// Becomes `true` when the agent stops.
    pub(super) stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Api for Service {
    type SubscribeToX509SVIDStream = Messages<SubscribeToX509svidResponse>;
    type SubscribeToX509BundlesStream = Messages<SubscribeToX509BundlesResponse>;
    type SubscribeToJWTBundlesStream = Messages<SubscribeToJwtBundlesResponse>;

    async fn subscribe_to_x509svid(
        &self,
        request: Request<SubscribeToX509svidRequest>,
    ) -> Result<Response<Self::SubscribeToX509SVIDStream>, Status> {
        let asked = self
            .asked(&request, request.get_ref().reference.as_ref())
            .await?;
        let shown = profile::X509_SVIDS;
        self.stream(asked, shown, |message| SubscribeToX509svidResponse {
            svids: message.svids.into_iter().map(x509_svid).collect(),
            crl: message.crl,
            federated_bundles: message.federated_bundles,
        })
        .await
    }

    async fn subscribe_to_x509_bundles(
        &self,
        request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Self::SubscribeToX509BundlesStream>, Status> {
        let asked = self
            .asked(&request, request.get_ref().reference.as_ref())
            .await?;
        let shown = profile::X509_BUNDLES;
        self.stream(asked, shown, |message| SubscribeToX509BundlesResponse {
            crl: message.crl,
            bundles: message.bundles,
        })
        .await
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<FetchJwtsvidRequest>,
    ) -> Result<Response<FetchJwtsvidResponse>, Status> {
        let message = request.get_ref();
        if message.audience.is_empty() || message.audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted = match message.spiffe_id.as_str() {
            "" => None,
            id => Some(SpiffeId::parse(id).map_err(|reason| {
                Status::invalid_argument(format!("{}: {}", reason.code(), reason.sentence()))
            })?),
        };
        let asked = self.asked(&request, message.reference.as_ref()).await?;
        let made = self.identities.jwt_svids(
            &asked.workload.selectors,
            &message.audience,
            wanted.as_ref(),
        );
        let svids = in_time(made)
            .await?
            .map_err(|why| asked.in_vain("FetchJWTSVID", &why))?;
        if asked.workload.has_ended() {
            return Err(not_found());
        }
        let svids = profile::jwt_svids(svids).svids.into_iter();
        Ok(Response::new(FetchJwtsvidResponse {
            svids: svids.map(jwt_svid).collect(),
        }))
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Self::SubscribeToJWTBundlesStream>, Status> {
        let asked = self
            .asked(&request, request.get_ref().reference.as_ref())
            .await?;
        let shown = profile::JWT_BUNDLES;
        self.stream(asked, shown, |message| SubscribeToJwtBundlesResponse {
            bundles: message.bundles,
        })
        .await
    }
}

/// Who asks for whom.
struct Asked {
    broker: SpiffeId,
    connection: Connection,
    reference: Reference,
    workload: Workload,
}

impl Service {
    /// Who asks, and for whom, if it may.
    async fn asked<R>(
        &self,
        request: &Request<R>,
        reference: Option<&WorkloadReference>,
    ) -> Result<Asked, Status> {
        let missing = || Status::internal("the connection does not tell who called");
        let connection = request
            .extensions()
            .get::<Connection>()
            .ok_or_else(missing)?;
        let broker = request.extensions().get::<SpiffeId>().ok_or_else(missing)?;
        let reference = Reference::read(reference)?;
        self.brokers
            .may_name(broker, reference.kind(), connection)?;
        let workload = reference
            .resolve(&self.callers, self.kubelet.as_ref())
            .await?;
        Ok(Asked {
            broker: broker.clone(),
            connection: connection.clone(),
            reference,
            workload,
        })
    }

    /// All that `shown` makes of what the workload holds, now and whenever it changes.
    async fn stream<S: 'static, M: Send + 'static>(
        &self,
        asked: Asked,
        shown: Profile<Entitled, S>,
        render: fn(S) -> M,
    ) -> Result<Response<Messages<M>>, Status> {
        let subscribed = in_time(self.identities.subscribe(&asked.workload.selectors)).await?;
        let brokered = Brokered {
            asked,
            brokers: Arc::clone(&self.brokers),
            callers: self.callers.clone(),
            shown,
            render,
            entitlement: subscribed,
            stopping: self.stopping.clone(),
        };
        // Room for one: a slow reader finds the newest state, and not all that were between.
        let (messages, stream) = mpsc::channel(1);
        tokio::spawn(brokered.run(messages));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

impl Asked {
    /// Tells the operator why a workload has nothing for its broker, and the broker only that.
    fn in_vain(&self, method: &str, why: &NotIssued) -> Status {
        let selectors = joined(&self.workload.selectors);
        let (broker, reference) = (&self.broker, &self.reference);
        COMPLAINTS.tell(|left_out| {
            tracing::warn!(
                %broker, ?reference, method, selectors, left_out, %why,
                "no identity for a broker"
            );
        });
        match why {
            NotIssued::NoEntry { .. } | NotIssued::OtherIdentity { .. } => not_entitled(),
            NotIssued::Refused { code, sentence } => refused(code, sentence),
            NotIssued::NotHeard { why } => not_heard(why),
            NotIssued::Unavailable { .. } => unavailable(),
        }
    }
}

/// One open stream.
struct Brokered<S, M> {
    asked: Asked,
    brokers: Arc<Brokers>,
    callers: Callers,
    shown: Profile<Entitled, S>,
    render: fn(S) -> M,
    entitlement: watch::Receiver<Arc<Entitlement>>,
    stopping: watch::Receiver<bool>,
}

impl<S, M> Brokered<S, M> {
    /// Sends the whole state at once, and again whenever the part of it that is shown has changed
    /// (SPIFFE Broker API 4.4), until the workload ends or loses its identities.
    async fn run(mut self, messages: mpsc::Sender<Result<M, Status>>) {
        let mut sent: Option<Arc<Entitlement>> = None;
        loop {
            let now = Arc::clone(&self.entitlement.borrow_and_update());
            let message = match self.state(&now) {
                Ok(entitled) if self.is_news(entitled, sent.as_deref()) => self
                    .still(sent.is_none())
                    .await
                    .map(|()| (self.render)((self.shown.render)(entitled))),
                Ok(_) => match self.change(&messages).await {
                    Ok(()) => continue,
                    Err(Some(status)) => Err(status),
                    Err(None) => return,
                },
                Err(status) => Err(status),
            };
            let is_last = message.is_err();
            if messages.send(message).await.is_err() || is_last {
                return;
            }
            sent = Some(now);
        }
    }

    /// What the workload holds, if it is there and its broker is still one.
    fn state<'a>(&self, now: &'a Entitlement) -> Result<&'a Entitled, Status> {
        self.brokers.broker(&self.asked.connection)?;
        if self.asked.workload.has_ended() {
            return Err(not_found());
        }
        now.as_ref()
            .map_err(|why| self.asked.in_vain(self.shown.method, why))
    }

    /// Whether what comes now is of who was named. Of the first message it was found out just before.
    async fn still(&self, is_first: bool) -> Result<(), Status> {
        match is_first {
            true => Ok(()),
            false => self.asked.workload.still(&self.callers).await,
        }
    }

    fn is_news(&self, now: &Entitled, sent: Option<&Entitlement>) -> bool {
        match sent {
            Some(Ok(sent)) => (self.shown.differ)(sent, now),
            Some(Err(_)) | None => true,
        }
    }

    /// Waits until there may be something new to send; how the stream ends, or that nobody is there.
    async fn change(
        &mut self,
        messages: &mpsc::Sender<Result<M, Status>>,
    ) -> Result<(), Option<Status>> {
        let stops = || Err(Some(Status::unavailable("the agent stops")));
        tokio::select! {
            changed = self.entitlement.changed() => changed.or_else(|_| stops()),
            _ = self.stopping.wait_for(|stopping| *stopping) => stops(),
            () = self.asked.workload.end() => Err(Some(not_found())),
            () = messages.closed() => Err(None),
        }
    }
}

fn x509_svid(svid: workload::X509svid) -> X509svid {
    X509svid {
        spiffe_id: svid.spiffe_id,
        x509_svid: svid.x509_svid,
        x509_svid_key: svid.x509_svid_key,
        bundle: svid.bundle,
        hint: svid.hint,
    }
}

fn jwt_svid(svid: workload::Jwtsvid) -> Jwtsvid {
    Jwtsvid {
        spiffe_id: svid.spiffe_id,
        svid: svid.svid,
        hint: svid.hint,
    }
}

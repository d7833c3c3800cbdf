//! The SPIFFE Workload API, as it is asked over a connection whose peer is known.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use avouch_api::grpc::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, WitsvidRequest,
    WitsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::attest::{Attested, attest};
use crate::executable::Executables;
use crate::identities::{Identities, NotIssued, Pending, Token};
use crate::peer::Peer;
use crate::profile::{self, Profile};
use crate::push::Push;

/// How long the kernel and the system's database of users may take to tell who calls. Both answer
/// in microseconds unless a file system or a directory service hangs.
const LONGEST_ATTESTATION: Duration = Duration::from_secs(5);

/// How long an identity may take to be issued or checked; clients wait some 30 seconds and more.
const LONGEST_ANSWER: Duration = Duration::from_secs(20);

/// The stream of one kind of message.
type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// The implementation of the service, for all connections.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) executables: Arc<Executables>,
    /// Becomes `true` when the agent stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What each request knows of the connection that it came over.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Arc<Peer>,
    /// Attestations of one connection wait for each other, so that one workload cannot keep all
    /// threads busy.
    pub(crate) turn: Arc<Mutex<()>>,
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Workload {
    type FetchX509SVIDStream = Messages<X509svidResponse>;
    type FetchX509BundlesStream = Messages<X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<JwtBundlesResponse>;
    type FetchWITSVIDStream = Messages<WitsvidResponse>;
    type FetchWITBundlesStream = Messages<WitBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.stream(&request, profile::X509_SVIDS).await
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.stream(&request, profile::X509_BUNDLES).await
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        let asked = request.get_ref();
        if asked.audience.is_empty() || asked.audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted = match asked.spiffe_id.as_str() {
            "" => None,
            id => Some(SpiffeId::parse(id).map_err(|reason| refusal(&reason))?),
        };
        let caller = self.attested(&request).await?;
        let selectors = caller.selectors();
        let made = self
            .identities
            .jwt_svids(selectors, &asked.audience, wanted.as_ref());
        let svids = in_time(made)
            .await?
            .map_err(|why| denied(&caller, "FetchJWTSVID", &why))?;
        Ok(Response::new(profile::jwt_svids(svids)))
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.stream(&request, profile::JWT_BUNDLES).await
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let asked = request.get_ref();
        if asked.audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if asked.svid.is_empty() {
            return Err(Status::invalid_argument("svid must be specified"));
        }
        let caller = self.attested(&request).await?;
        let selectors = caller.selectors();
        let subscribed = in_time(self.identities.subscribe(selectors)).await?;
        let entitlement = Arc::clone(&subscribed.borrow());
        if let Err(why) = entitlement.as_ref() {
            return Err(denied(&caller, "ValidateJWTSVID", why));
        }
        let token = Token::new(asked.svid.as_str());
        let checked = self
            .identities
            .validate_jwt(selectors, &asked.audience, &token);
        let valid = in_time(checked).await?.map_err(|reason| refusal(&reason))?;
        Ok(Response::new(profile::valid_jwt(valid)))
    }

    async fn fetch_witsvid(
        &self,
        _: Request<WitsvidRequest>,
    ) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        Err(Status::unimplemented("the WIT profile is not served"))
    }

    async fn fetch_wit_bundles(
        &self,
        _: Request<WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        Err(Status::unimplemented("the WIT profile is not served"))
    }
}

impl Workload {
    /// Who asks. Found anew for each request, since a process may run another program by now.
    async fn attested<M>(&self, request: &Request<M>) -> Result<Attested, Status> {
        let caller = caller(request)?;
        let turn = caller.turn.clone().lock_owned().await;
        let executables = Arc::clone(&self.executables);
        let peer = Arc::clone(&caller.peer);
        let attesting = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, even if nobody waits for it any more.
            let _turn = turn;
            attest(&peer, &executables)
        });
        let attested = tokio::time::timeout(LONGEST_ATTESTATION, attesting)
            .await
            .map_err(|_| Status::unavailable("it takes too long to tell who calls"))?
            .map_err(|_| Status::internal("it could not be told who calls"))?;
        attested.map_err(|why| {
            let peer = &caller.peer;
            tracing::warn!(
                process = peer.process(), user = peer.user(), group = peer.group(), %why,
                "a workload could not be attested"
            );
            no_identity()
        })
    }

    /// All that `profile` makes of what the caller holds, now and whenever it changes.
    async fn stream<R, M: Send + 'static>(
        &self,
        request: &Request<R>,
        profile: Profile<M>,
    ) -> Result<Response<Messages<M>>, Status> {
        let attested = self.attested(request).await?;
        let push = Push {
            peer: Arc::clone(&caller(request)?.peer),
            entitlement: in_time(self.identities.subscribe(attested.selectors())).await?,
            attested,
            profile,
            stopping: self.stopping.clone(),
        };
        // Room for one: a slow reader finds the newest state, and not all that were between.
        let (messages, stream) = mpsc::channel(1);
        tokio::spawn(push.run(messages));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// The connection that a request came over.
fn caller<M>(request: &Request<M>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>();
    caller.ok_or_else(|| Status::internal("the connection does not tell who called"))
}

async fn in_time<T>(answer: Pending<'_, T>) -> Result<T, Status> {
    let answered = tokio::time::timeout(LONGEST_ANSWER, answer).await;
    answered.map_err(|_| Status::unavailable("it takes too long"))
}

/// Tells the operator all about a denial, and the workload only that there was one: it may not
/// learn which entries there are.
pub(crate) fn denied(attested: &Attested, method: &str, why: &NotIssued) -> Status {
    let selectors = joined(attested.selectors());
    let absent = joined(attested.absent());
    let process = attested.process();
    match why {
        NotIssued::NoEntry { .. } | NotIssued::OtherIdentity { .. } => {
            tracing::warn!(process, method, selectors, absent, %why, "no identity issued");
            no_identity()
        }
        NotIssued::Unavailable { .. } => {
            tracing::error!(process, method, selectors, absent, %why, "no identity issued");
            Status::unavailable("no identity can be issued now")
        }
    }
}

/// SPIFFE Workload API 5.3 and 6.3: to whoever is not entitled. These words are known from other
/// agents, and people search for them.
fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}

/// What was asked is at fault, and may be told to who asked it.
fn refusal(reason: &Reason) -> Status {
    Status::invalid_argument(format!("{}: {}", reason.code(), reason.sentence()))
}

fn joined<T: ToString>(facts: &[T]) -> String {
    let facts: Vec<String> = facts.iter().map(T::to_string).collect();
    facts.join(", ")
}

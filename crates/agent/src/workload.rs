//! The SPIFFE Workload API, as it is asked over a connection whose peer is known.

use std::pin::Pin;
use std::sync::Arc;

use avouch_api::grpc::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use avouch_api::grpc::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, WitsvidRequest,
    WitsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::attest::Attested;
use crate::caller::{Caller, Callers, caller, denied, in_time};
use crate::identities::{Entitled, Identities, NotIssued, Token, WitEntitled};
use crate::profile::{self, Profile};
use crate::push::Push;

/// The stream of one kind of message.
type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// The implementation of the service, for all connections.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) callers: Callers,
    /// Becomes `true` when the agent stops.
    pub(crate) stopping: watch::Receiver<bool>,
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
        let attested = self.callers.attested(caller(&request)?).await?;
        let selectors = attested.selectors();
        let made = self
            .identities
            .jwt_svids(selectors, &asked.audience, wanted.as_ref());
        let svids = in_time(made)
            .await?
            .map_err(|why| denied(&attested, "FetchJWTSVID", &why))?;
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
        let attested = self.callers.attested(caller(&request)?).await?;
        let selectors = attested.selectors();
        let subscribed = in_time(self.identities.subscribe(selectors)).await?;
        let entitlement = Arc::clone(&subscribed.borrow());
        if let Err(why) = entitlement.as_ref() {
            return Err(denied(&attested, "ValidateJWTSVID", why));
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
        request: Request<WitsvidRequest>,
    ) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        let wanted = match request.get_ref().spiffe_id.as_str() {
            "" => None,
            id => Some(SpiffeId::parse(id).map_err(|reason| refusal(&reason))?),
        };
        self.wit_stream(&request, wanted.as_ref(), profile::WIT_SVIDS)
            .await
    }

    async fn fetch_wit_bundles(
        &self,
        request: Request<WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        self.wit_stream(&request, None, profile::WIT_BUNDLES).await
    }
}

impl Workload {
    /// All that `profile` makes of what the caller holds, now and whenever it changes.
    async fn stream<R, M: Send + 'static>(
        &self,
        request: &Request<R>,
        profile: Profile<Entitled, M>,
    ) -> Result<Response<Messages<M>>, Status> {
        let caller = caller(request)?;
        let attested = self.callers.attested(caller).await?;
        let entitlement = in_time(self.identities.subscribe(attested.selectors())).await?;
        Ok(self.pushed(caller, attested, profile, entitlement))
    }

    /// The same for what it holds of the WIT profile.
    async fn wit_stream<R, M: Send + 'static>(
        &self,
        request: &Request<R>,
        wanted: Option<&SpiffeId>,
        profile: Profile<WitEntitled, M>,
    ) -> Result<Response<Messages<M>>, Status> {
        let caller = caller(request)?;
        let attested = self.callers.attested(caller).await?;
        let subscribed = self.identities.subscribe_wit(attested.selectors(), wanted);
        let subscribed =
            subscribed.ok_or_else(|| Status::unimplemented("the WIT profile is not served"))?;
        let entitlement = in_time(subscribed).await?;
        Ok(self.pushed(caller, attested, profile, entitlement))
    }

    fn pushed<E: Send + Sync + 'static, M: Send + 'static>(
        &self,
        caller: &Caller,
        attested: Attested,
        profile: Profile<E, M>,
        entitlement: watch::Receiver<Arc<Result<E, NotIssued>>>,
    ) -> Response<Messages<M>> {
        let push = Push {
            caller: caller.clone(),
            callers: self.callers.clone(),
            entitlement,
            attested,
            profile,
            stopping: self.stopping.clone(),
        };
        // Room for one: a slow reader finds the newest state, and not all that were between.
        let (messages, stream) = mpsc::channel(1);
        tokio::spawn(push.run(messages));
        Response::new(Box::pin(ReceiverStream::new(stream)))
    }
}

/// What was asked is at fault, and may be told to who asked it.
fn refusal(reason: &Reason) -> Status {
    Status::invalid_argument(format!("{}: {}", reason.code(), reason.sentence()))
}

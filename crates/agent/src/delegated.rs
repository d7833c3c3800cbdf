//! The Delegated Identity API of SPIRE: identities of workloads for those who act on their behalf.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use avouch_api::grpc::spire::api::agent::delegatedidentity::v1::delegated_identity_server::DelegatedIdentity;
use avouch_api::grpc::spire::api::agent::delegatedidentity::v1::{
    FetchJwtsviDsRequest, FetchJwtsviDsResponse, SubscribeToJwtBundlesRequest,
    SubscribeToJwtBundlesResponse, SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse,
    SubscribeToX509sviDsRequest, SubscribeToX509sviDsResponse, X509svidWithKey,
};
use avouch_api::grpc::spire::api::types;
use avouch_core::credential::x509::Certificate;
use avouch_core::id::{SpiffeId, TrustDomain};
use base64ct::{Base64UrlUnpadded, Encoding};
use prost::Message;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::attest::Attested;
use crate::caller::{
    Caller, Callers, caller, denied, in_time, joined, no_identity, not_heard, refused, repeated,
    unavailable,
};
use crate::identities::{Entitled, Entitlement, Hint, Identities, JwtSvid, NotIssued, X509Svid};
use crate::message::{LONGEST, fitting};
use crate::peer::{Peer, Unidentified};
use crate::quiet::Quiet;
use crate::selector::Selector;

/// The stream of one kind of message.
type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Whoever asks again and again in vain may not fill the log with it.
static COMPLAINTS: Quiet = Quiet::new();

/// The implementation of the service, for all connections.
#[derive(Clone)]
pub(crate) struct Delegated {
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) callers: Callers,
    /// Who may call.
    pub(crate) delegates: Arc<BTreeSet<SpiffeId>>,
    /// Becomes `true` when the agent stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl DelegatedIdentity for Delegated {
    type SubscribeToX509SVIDsStream = Messages<SubscribeToX509sviDsResponse>;
    type SubscribeToX509BundlesStream = Messages<SubscribeToX509BundlesResponse>;
    type SubscribeToJWTBundlesStream = Messages<SubscribeToJwtBundlesResponse>;

    async fn subscribe_to_x509svi_ds(
        &self,
        request: Request<SubscribeToX509sviDsRequest>,
    ) -> Result<Response<Self::SubscribeToX509SVIDsStream>, Status> {
        let delegate = self.delegate(&request).await?;
        let asked = request.get_ref();
        let workload = self.workload(&delegate, &asked.selectors, asked.pid);
        let workload = workload.await?;
        self.svids(delegate, workload).await
    }

    async fn subscribe_to_x509_bundles(
        &self,
        request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Self::SubscribeToX509BundlesStream>, Status> {
        let delegate = self.delegate(&request).await?;
        Ok(self.relay(delegate, "SubscribeToX509Bundles", |entitled| {
            let roots = entitled.x509_roots();
            SubscribeToX509BundlesResponse {
                ca_certificates: roots
                    .map(|(name, bundle)| (id_of(name), bundle.concat()))
                    .collect(),
            }
        }))
    }

    async fn fetch_jwtsvi_ds(
        &self,
        request: Request<FetchJwtsviDsRequest>,
    ) -> Result<Response<FetchJwtsviDsResponse>, Status> {
        let delegate = self.delegate(&request).await?;
        let asked = request.get_ref();
        let workload = self.workload(&delegate, &asked.selectors, asked.pid);
        let workload = workload.await?;
        self.tokens(&delegate, &workload, &asked.audience).await
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Self::SubscribeToJWTBundlesStream>, Status> {
        let delegate = self.delegate(&request).await?;
        Ok(self.relay(delegate, "SubscribeToJWTBundles", |entitled| {
            let bundles = entitled.jwt_bundles().iter();
            SubscribeToJwtBundlesResponse {
                bundles: bundles
                    .map(|(name, bundle)| (id_of(name), bundle.as_json().as_bytes().to_vec()))
                    .collect(),
            }
        }))
    }
}

/// A caller that may act on behalf of others, as long as it may.
struct Delegate {
    caller: Caller,
    attested: Attested,
    entitlement: watch::Receiver<Arc<Entitlement>>,
    delegates: Arc<BTreeSet<SpiffeId>>,
}

/// Whom a delegate asks for.
struct Workload {
    selectors: Vec<Selector>,
    /// Its process, where the delegate named one, and what was told of it.
    process: Option<(Caller, Attested)>,
}

impl Delegated {
    /// Who asks, if it may.
    async fn delegate<M>(&self, request: &Request<M>) -> Result<Delegate, Status> {
        let caller = caller(request)?.clone();
        let attested = self.callers.attested(&caller).await?;
        let entitlement = in_time(self.identities.subscribe(attested.selectors())).await?;
        let delegate = Delegate {
            caller,
            attested,
            entitlement,
            delegates: Arc::clone(&self.delegates),
        };
        delegate.may_ask()?;
        Ok(delegate)
    }

    /// The workload with these facts, or whose process has this number now; it is then found out
    /// about like any caller.
    async fn workload(
        &self,
        delegate: &Delegate,
        told: &[types::Selector],
        process: i32,
    ) -> Result<Workload, Status> {
        let number = match (told, process) {
            ([], 0) => {
                return Err(Status::invalid_argument(
                    "selectors or pid must be specified",
                ));
            }
            (told, 0) => {
                let selectors = selectors(told)?;
                return Ok(Workload {
                    selectors,
                    process: None,
                });
            }
            ([], process) => u32::try_from(process)
                .map_err(|_| Status::invalid_argument("pid must be positive"))?,
            _ => {
                return Err(Status::invalid_argument(
                    "selectors and pid exclude each other",
                ));
            }
        };
        let peer = Peer::numbered(number).map_err(|why| match why {
            Unidentified::Ended | Unidentified::Invisible => has_ended(),
            Unidentified::Kernel(error) => {
                tracing::error!(process = number, %error, "a process cannot be held");
                Status::internal("the process cannot be held")
            }
        })?;
        let caller = Caller {
            peer: Arc::new(peer),
            turn: Arc::clone(&delegate.caller.turn),
        };
        let attested = self.callers.attested(&caller).await?;
        Ok(Workload {
            selectors: attested.selectors().to_vec(),
            process: Some((caller, attested)),
        })
    }

    /// The X.509-SVIDs of a workload, now and whenever they change.
    async fn svids(
        &self,
        delegate: Delegate,
        workload: Workload,
    ) -> Result<Response<Messages<SubscribeToX509sviDsResponse>>, Status> {
        let relay = Relay {
            delegate,
            shown: in_time(self.identities.subscribe(&workload.selectors)).await?,
            workload: Some(workload),
            method: "SubscribeToX509SVIDs",
            render: x509_svids,
            callers: self.callers.clone(),
            stopping: self.stopping.clone(),
        };
        Ok(relay.start())
    }

    /// What a delegate itself holds, now and whenever it changes.
    fn relay<M: PartialEq + Default + Send + Sync + Clone + 'static>(
        &self,
        delegate: Delegate,
        method: &'static str,
        render: fn(&Entitled) -> M,
    ) -> Response<Messages<M>> {
        let relay = Relay {
            shown: delegate.entitlement.clone(),
            delegate,
            workload: None,
            method,
            render,
            callers: self.callers.clone(),
            stopping: self.stopping.clone(),
        };
        relay.start()
    }

    async fn tokens(
        &self,
        delegate: &Delegate,
        workload: &Workload,
        audiences: &[String],
    ) -> Result<Response<FetchJwtsviDsResponse>, Status> {
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let made = self
            .identities
            .jwt_svids(&workload.selectors, audiences, None);
        let svids = in_time(made)
            .await?
            .map_err(|why| delegate.in_vain(workload, "FetchJWTSVIDs", &why))?;
        if workload.has_ended() {
            return Err(has_ended());
        }
        let shown = svids.iter().map(|svid| (&svid.tenant, jwt_svid(svid)));
        Ok(Response::new(FetchJwtsviDsResponse {
            svids: fitting(shown.collect(), LONGEST),
        }))
    }
}

impl Delegate {
    /// Whether it is one of those who may ask, by what it holds at this moment.
    fn may_ask(&self) -> Result<(), Status> {
        let entitlement = Arc::clone(&self.entitlement.borrow());
        let entitled = entitlement.as_ref().as_ref();
        let entitled =
            entitled.map_err(|why| denied(&self.attested, "a method of delegates", why))?;
        let ids = || entitled.x509_svids().iter().map(|svid| &svid.spiffe_id);
        if ids().any(|id| self.delegates.contains(id)) {
            return Ok(());
        }
        if let Some(left_out) = COMPLAINTS.admit(self.attested.user(), Instant::now()) {
            tracing::warn!(
                process = self.attested.process(),
                selectors = joined(self.attested.selectors()),
                identities = joined(&ids().collect::<Vec<_>>()),
                delegates = joined(&self.delegates.iter().collect::<Vec<_>>()),
                left_out,
                "a workload that is not a delegate asks for the identities of others"
            );
        }
        // These words are known from other agents, and people search for them.
        Err(Status::permission_denied(
            "caller not configured as an authorized delegate",
        ))
    }

    /// Tells the operator why a workload has nothing for its delegate, and the delegate only that.
    fn in_vain(&self, workload: &Workload, method: &str, why: &NotIssued) -> Status {
        let process = self.attested.process();
        let selectors = joined(&workload.selectors);
        if let Some(left_out) = COMPLAINTS.admit(self.attested.user(), Instant::now()) {
            tracing::warn!(process, method, selectors, left_out, %why, "no identity for a delegate");
        }
        match why {
            NotIssued::NoEntry { .. } | NotIssued::OtherIdentity { .. } => no_identity(),
            NotIssued::Refused { code, sentence } => refused(code, sentence),
            NotIssued::NotHeard { why } => not_heard(why),
            NotIssued::Unavailable { .. } => unavailable(),
        }
    }
}

impl Workload {
    fn has_ended(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|(caller, _)| caller.peer.has_ended())
    }

    /// Returns when its process ends, if it is known by one.
    async fn end(&self) {
        match &self.process {
            Some((caller, _)) => caller.peer.end().await,
            None => std::future::pending().await,
        }
    }
}

/// One open stream.
struct Relay<M> {
    delegate: Delegate,
    /// Whose state is shown, unless it is that of the delegate.
    workload: Option<Workload>,
    shown: watch::Receiver<Arc<Entitlement>>,
    method: &'static str,
    render: fn(&Entitled) -> M,
    callers: Callers,
    stopping: watch::Receiver<bool>,
}

/// Nobody is there any more.
struct Left;

impl<M: PartialEq + Default + Clone + Send + Sync + 'static> Relay<M> {
    fn start(self) -> Response<Messages<M>> {
        // Room for one: a slow reader finds the newest state, and not all that were between.
        let (messages, stream) = mpsc::channel(1);
        tokio::spawn(self.run(messages));
        Response::new(Box::pin(ReceiverStream::new(stream)))
    }

    /// Sends the whole state at once, and again whenever it has changed. A workload without
    /// identity is no end: it may get one while its delegate waits.
    async fn run(mut self, messages: mpsc::Sender<Result<M, Status>>) {
        let mut sent = None;
        loop {
            // A process that ended left its connection to a child, which is someone else.
            if self.delegate.caller.peer.has_ended() {
                return;
            }
            let message = match self.state() {
                Ok(message) if sent.as_ref() == Some(&message) => {
                    match self.change(&messages).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(end)) => Err(end),
                        Err(Left) => return,
                    }
                }
                // Of the first message both were found out about just before.
                Ok(message) if sent.is_some() => self.still().await.map(|()| message),
                state => state,
            };
            sent = message.as_ref().ok().cloned();
            if messages.send(message).await.is_err() || sent.is_none() {
                return;
            }
        }
    }

    /// Whether the delegate, and the workload where it is known by its process, are who they were.
    async fn still(&self) -> Result<(), Status> {
        let delegate = &self.delegate;
        let callers = &self.callers;
        callers.still(&delegate.caller, &delegate.attested).await?;
        let workload = self.workload.as_ref();
        match workload.and_then(|workload| workload.process.as_ref()) {
            Some((caller, attested)) => callers.still(caller, attested).await,
            None => Ok(()),
        }
    }

    fn state(&mut self) -> Result<M, Status> {
        self.delegate.may_ask()?;
        if self.workload.as_ref().is_some_and(Workload::has_ended) {
            return Err(has_ended());
        }
        let now = Arc::clone(&self.shown.borrow_and_update());
        match (now.as_ref(), &self.workload) {
            (Ok(entitled), _) => Ok((self.render)(entitled)),
            (Err(why), Some(workload)) => {
                let status = self.delegate.in_vain(workload, self.method, why);
                match why {
                    NotIssued::NoEntry { .. } | NotIssued::OtherIdentity { .. } => Ok(M::default()),
                    NotIssued::NotHeard { .. }
                    | NotIssued::Refused { .. }
                    | NotIssued::Unavailable { .. } => Err(status),
                }
            }
            (Err(why), None) => Err(denied(&self.delegate.attested, self.method, why)),
        }
    }

    /// Waits until there may be something new to send, or no one to send it to.
    async fn change(
        &mut self,
        messages: &mpsc::Sender<Result<M, Status>>,
    ) -> Result<Result<(), Status>, Left> {
        let stops = || Ok(Err(Status::unavailable("the agent stops")));
        let workload_ends = async {
            match &self.workload {
                Some(workload) => workload.end().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.shown.changed() => changed.map_or_else(|_| stops(), |()| Ok(Ok(()))),
            changed = self.delegate.entitlement.changed() => {
                changed.map_or_else(|_| stops(), |()| Ok(Ok(())))
            }
            _ = self.stopping.wait_for(|stopping| *stopping) => stops(),
            () = workload_ends => Ok(Err(has_ended())),
            () = self.delegate.caller.peer.end() => Err(Left),
            () = messages.closed() => Err(Left),
        }
    }
}

fn has_ended() -> Status {
    Status::not_found("there is no such process")
}

/// The facts that a delegate says of a workload.
fn selectors(told: &[types::Selector]) -> Result<Vec<Selector>, Status> {
    let selectors = told.iter().map(|selector| {
        let text = format!("{}:{}", selector.r#type, selector.value);
        Selector::parse(&text).map_err(|malformed| {
            let malformed = repeated(&[malformed.to_string()]);
            Status::invalid_argument(format!("could not parse provided selectors: {malformed}"))
        })
    });
    // Sorted and without doubles, as those of a caller are.
    let selectors: BTreeSet<Selector> = selectors.collect::<Result<_, _>>()?;
    Ok(selectors.into_iter().collect())
}

fn x509_svids(entitled: &Entitled) -> SubscribeToX509sviDsResponse {
    let svids = entitled.x509_svids();
    let is_own = |name: &TrustDomain| {
        let mut svids = svids.iter();
        svids.any(|svid| svid.spiffe_id.trust_domain() == name)
    };
    let foreign = entitled.x509_bundles().keys().filter(|name| !is_own(name));
    let mut response = SubscribeToX509sviDsResponse {
        x509_svids: Vec::new(),
        federates_with: foreign.map(id_of).collect(),
    };
    let room = LONGEST.saturating_sub(response.encoded_len());
    let shown = svids.iter().map(|svid| {
        let tenant = entitled.tenant_of(svid.spiffe_id.trust_domain());
        (tenant, x509_svid(svid))
    });
    response.x509_svids = fitting(shown.collect(), room);
    response
}

fn x509_svid(svid: &X509Svid) -> X509svidWithKey {
    let chain = std::iter::once(&svid.certificate).chain(&svid.intermediates);
    let expires_at = Certificate::parse(&svid.certificate).map(|read| read.not_after().unix());
    X509svidWithKey {
        x509_svid: Some(types::X509svid {
            cert_chain: chain.cloned().collect(),
            id: Some(parts(&svid.spiffe_id)),
            // One that cannot be read is of no use to anyone.
            expires_at: expires_at.unwrap_or_default(),
            hint: text(svid.hint.as_ref()),
        }),
        x509_svid_key: svid.private_key.expose().to_vec(),
    }
}

fn jwt_svid(svid: &JwtSvid) -> types::Jwtsvid {
    let claims = claims(svid.token.expose());
    let moment = |name| claims.get(name).and_then(Value::as_i64).unwrap_or_default();
    types::Jwtsvid {
        token: svid.token.expose().to_owned(),
        id: Some(parts(&svid.spiffe_id)),
        expires_at: moment("exp"),
        issued_at: moment("iat"),
        hint: text(svid.hint.as_ref()),
    }
}

/// What a token says; whoever made it answers for that.
fn claims(token: &str) -> BTreeMap<String, Value> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = Base64UrlUnpadded::decode_vec(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn parts(id: &SpiffeId) -> types::Spiffeid {
    types::Spiffeid {
        trust_domain: id.trust_domain().to_string(),
        path: id.path().to_owned(),
    }
}

fn id_of(trust_domain: &TrustDomain) -> String {
    format!("spiffe://{trust_domain}")
}

fn text(hint: Option<&Hint>) -> String {
    hint.map(|hint| hint.as_str().to_owned())
        .unwrap_or_default()
}

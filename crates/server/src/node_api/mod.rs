//! What agents call: `avouch.node.v1` over mutual TLS.

mod attesting;
mod following;
mod listener;
mod parts;
mod updates;

use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avouch_api::grpc::node::node_server::{Node, NodeServer};
use avouch_api::grpc::node::{
    AttestReply, AttestRequest, FollowRequest, IssueJwtRequest, IssueJwtResponse, IssueJwtsRequest,
    IssueJwtsResponse, IssueWitRequest, IssueWitResponse, IssueX509Request, IssueX509Response,
    JoinRequest, KeyForEntry, Membership, Refusal, RenewRequest, Update, WitAnswer, X509Answer,
};
use avouch_core::explain;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::token::TokenSvid;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::caller::{Caller, State};
use crate::fault::{Fault, Refused};
use crate::issuing::{Wanted, WantedToken};
use crate::nodes::Admitted;
use crate::plane::Plane;
use crate::shares::Network;
use crate::tls::ServerIdentity;
use crate::traces;
use attesting::Room;
use following::Following;
use listener::Peer;

/// The most elements of one batch.
const MOST_ITEMS: usize = 500;

/// The longest request in bytes: the largest batch with RSA keys, and room.
const LONGEST_REQUEST: usize = 1 << 20;

/// How many updates wait for a slow node; then it is told less often, and more at once.
const WAITING_UPDATES: usize = 4;

/// Serves nodes on a listener until `stopping` becomes true.
///
/// # Errors
///
/// When serving ends by itself.
pub async fn serve(
    listener: TcpListener,
    identity: Arc<ServerIdentity>,
    plane: Arc<Plane>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let config = Arc::new(crate::tls::for_nodes(identity)?);
    let incoming = listener::accept(listener, config, Arc::clone(&plane));
    let service = NodeService {
        plane,
        stopping: stopping.clone(),
        streams: Arc::default(),
        room: Arc::default(),
    };
    let service = NodeServer::new(service).max_decoding_message_size(LONGEST_REQUEST);
    let served = Server::builder()
        .trace_fn(traces::of_grpc)
        .max_concurrent_streams(MOST_CALLS)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async move {
            // The sender lives as long as the server; its end is an end too.
            drop(stopping.wait_for(|stopping| *stopping).await);
        })
        .await;
    served.map_err(|error| Fault::Serving {
        what: "the address for nodes",
        why: error.to_string(),
    })
}

#[derive(Clone)]
struct NodeService {
    plane: Arc<Plane>,
    stopping: watch::Receiver<bool>,
    streams: Arc<AtomicU64>,
    room: Arc<Room>,
}

#[tonic::async_trait]
impl Node for NodeService {
    type AttestStream = Pin<Box<dyn Stream<Item = Result<AttestReply, Status>> + Send>>;
    type FollowStream = Pin<Box<dyn Stream<Item = Result<Update, Status>> + Send>>;

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Membership>, Status> {
        let address = address(&request);
        let membership = self.join_with_token(request.into_inner(), address).await?;
        tracing::info!(node = membership.spiffe_id, "a node has joined");
        Ok(Response::new(membership))
    }

    async fn attest(
        &self,
        request: Request<Streaming<AttestRequest>>,
    ) -> Result<Response<Self::AttestStream>, Status> {
        let address = address(&request);
        let replies = self.begin_attesting(request.into_inner(), address)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Membership>, Status> {
        let node = self.admitted(&request).await?;
        let asked = request.into_inner();
        let renewed = self.work(move |plane| {
            let renewed = plane.renew(&node, &asked.signing_request)?;
            membership(plane, renewed)
        });
        Ok(Response::new(renewed.await?))
    }

    async fn follow(
        &self,
        request: Request<Streaming<FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let node = self.admitted(&request).await?;
        let session = Arc::clone(&peer(&request)?.session);
        let (updates, stream) = mpsc::channel(WAITING_UPDATES);
        let following = Following {
            plane: Arc::clone(&self.plane),
            number: self.streams.fetch_add(1, Ordering::Relaxed),
            node,
            session,
            stopping: self.stopping.clone(),
        };
        tokio::spawn(following.run(request.into_inner(), updates));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn issue_x509(
        &self,
        request: Request<IssueX509Request>,
    ) -> Result<Response<IssueX509Response>, Status> {
        let node = self.admitted(&request).await?;
        let asked = request.into_inner();
        let wanted = wanted(asked.items)?;
        let issued = self
            .work(move |plane| plane.issue_x509(&node, &asked.tenant, &wanted))
            .await?;
        let answers = issued.into_iter().map(|answer| match answer {
            Ok(svid) => X509Answer {
                certificates: svid.chain,
                refusal: None,
            },
            Err(reason) => X509Answer {
                certificates: Vec::new(),
                refusal: Some(refusal(&reason)),
            },
        });
        let answers = answers.collect();
        Ok(Response::new(IssueX509Response { answers }))
    }

    async fn issue_jwt(
        &self,
        request: Request<IssueJwtRequest>,
    ) -> Result<Response<IssueJwtResponse>, Status> {
        let node = self.admitted(&request).await?;
        let asked = request.into_inner();
        let issued = self
            .try_work(move |plane| {
                let IssueJwtRequest {
                    tenant,
                    entry,
                    audiences,
                    facts,
                } = asked;
                plane.issue_jwt(&node, &tenant, &entry, &facts, audiences)
            })
            .await?;
        Ok(Response::new(jwt_answer(issued.map_err(|reason| *reason))))
    }

    async fn issue_jwts(
        &self,
        request: Request<IssueJwtsRequest>,
    ) -> Result<Response<IssueJwtsResponse>, Status> {
        let node = self.admitted(&request).await?;
        let asked = request.into_inner();
        check_count(asked.items.len())?;
        let wanted = asked.items.into_iter().map(|item| WantedToken {
            entry: item.entry,
            audiences: item.audiences,
            facts: item.facts,
        });
        let wanted = wanted.collect();
        let issued = self
            .work(move |plane| plane.issue_jwts(&node, &asked.tenant, wanted))
            .await?;
        let answers = issued.into_iter().map(jwt_answer).collect();
        Ok(Response::new(IssueJwtsResponse { answers }))
    }

    async fn issue_wit(
        &self,
        request: Request<IssueWitRequest>,
    ) -> Result<Response<IssueWitResponse>, Status> {
        let node = self.admitted(&request).await?;
        let asked = request.into_inner();
        let wanted = wanted(asked.items)?;
        let issued = self
            .work(move |plane| plane.issue_wit(&node, &asked.tenant, &wanted))
            .await?;
        let answers = issued.into_iter().map(|answer| match answer {
            Ok(svid) => WitAnswer {
                token: svid.token,
                issued: svid.issued.unix(),
                expires: svid.expires.unix(),
                refusal: None,
            },
            Err(reason) => WitAnswer {
                refusal: Some(refusal(&reason)),
                ..WitAnswer::default()
            },
        });
        let answers = answers.collect();
        Ok(Response::new(IssueWitResponse { answers }))
    }
}

impl NodeService {
    /// Does what blocks on a thread that may; a refusal ends the call.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plane) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        let done = self.try_work(work).await?;
        done.map_err(|reason| refused(&reason))
    }

    /// Does what blocks on a thread that may; a refusal is an answer.
    async fn try_work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Plane) -> Result<T, Refused> + Send + 'static,
    ) -> Result<Result<T, Box<Reason>>, Status> {
        let plane = Arc::clone(&self.plane);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&plane))).await;
        match done {
            Ok(Ok(done)) => Ok(Ok(done)),
            Ok(Err(Refused::Reason(reason))) => Ok(Err(reason)),
            Ok(Err(Refused::Fault(fault))) => Err(failed(&fault)),
            Err(_) => Err(Status::internal("the server failed; please report it")),
        }
    }

    async fn admitted<T>(&self, request: &Request<T>) -> Result<Admitted, Status> {
        let peer = peer(request)?;
        let admitted = peer.session.admitted(&self.plane).await;
        match &admitted {
            Ok(_) => peer.stranger.is_known_now(),
            Err(status) => {
                if let Code::PermissionDenied | Code::Unauthenticated = status.code() {
                    peer.stranger.is_refused_now();
                }
            }
        }
        admitted
    }
}

/// For how many seconds a connection stays refused that was, so that whoever shows what nobody believes
/// does not have it looked at with each call.
const REFUSED_FOR: i64 = 5;

/// Likewise where another had just asked the store whether something was not heard of yet.
const REFUSED_UNSEEN_FOR: i64 = 1;

/// How many calls of one connection are carried out at once.
const MOST_CALLS: u32 = 100;

/// What is known of a connection.
pub(crate) struct Session {
    chain: Vec<Vec<u8>>,
    network: Option<Network>,
    /// Who calls, as that was found out last.
    known: Mutex<Option<Known>>,
}

/// What was found out of who calls.
#[derive(Clone)]
enum Known {
    Caller(Caller),
    /// It was not believed, and is not from then until then.
    Refused(Box<Reason>, Range<Time>),
}

impl Session {
    pub(crate) fn new(chain: Vec<Vec<u8>>) -> Self {
        Self {
            chain,
            network: None,
            known: Mutex::new(None),
        }
    }

    /// The same, called from there.
    fn calling_from(self, address: Option<SocketAddr>) -> Self {
        let network = address.map(|address| Network::of(address.ip()));
        Self { network, ..self }
    }

    /// The node that calls; on a thread that may wait where its tenant is to be read first.
    async fn admitted(self: &Arc<Self>, plane: &Arc<Plane>) -> Result<Admitted, Status> {
        match self.at_hand(plane) {
            Some(Ok(admitted)) => return Ok(admitted),
            Some(Err(refused)) if !plane.may_look_again() => return Err(refused),
            Some(Err(_)) | None => {}
        }
        let (session, plane) = (Arc::clone(self), Arc::clone(plane));
        let admitted = tokio::task::spawn_blocking(move || session.admitted_or_seen(&plane)).await;
        admitted.unwrap_or_else(|_| Err(Status::internal("the server failed; please report it")))
    }

    /// What is said if who calls is known, and open, or refused still. While another call finds that out,
    /// nothing is.
    fn at_hand(&self, plane: &Plane) -> Option<Result<Admitted, Status>> {
        if self.chain.is_empty() {
            return Some(self.admitted_now(plane));
        }
        let caller = {
            let known = self.known.try_lock().ok()?;
            match known.as_ref()? {
                Known::Refused(reason, when) if when.contains(&plane.now()) => {
                    return Some(Err(unbelieved(Refused::Reason(reason.clone()))));
                }
                Known::Refused(..) => return None,
                Known::Caller(caller) if is_so_still(plane, caller) => caller.clone(),
                Known::Caller(caller) => {
                    plane.opened(&caller.tenant)?;
                    drop(known);
                    return Some(self.admitted_now(plane));
                }
            }
        };
        Some(plane.admit(&caller).map_err(|refused| status(&refused)))
    }

    /// The node that calls. What another server has let in may not be heard of here yet, so before a node
    /// is refused the store is asked, at most once a second for all of them.
    pub(crate) fn admitted_or_seen(&self, plane: &Plane) -> Result<Admitted, Status> {
        // What is found then is what whoever runs the server is told.
        let first = self.admitted_noting(plane, !plane.may_look_again());
        let refused = match first {
            Err(refused) if refused.code() == Code::PermissionDenied => refused,
            other => return other,
        };
        if !plane.look_again() {
            return Err(refused);
        }
        self.known_mut()
            .take_if(|known| matches!(known, Known::Refused(..)));
        let admitted = self.admitted_now(plane);
        if let Some(Known::Refused(_, when)) = self.known_mut().as_mut() {
            when.end = when.start.plus(REFUSED_FOR);
        }
        admitted
    }

    fn known_mut(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that calls. Its certificates are looked at again only if the authorities have
    /// changed, or something has ended.
    fn admitted_now(&self, plane: &Plane) -> Result<Admitted, Status> {
        self.admitted_noting(plane, true)
    }

    fn admitted_noting(&self, plane: &Plane, is_noted: bool) -> Result<Admitted, Status> {
        if self.chain.is_empty() {
            return Err(Status::unauthenticated("a node calls with its X.509-SVID"));
        }
        let caller = self.caller(plane, is_noted).map_err(unbelieved)?;
        plane.admit(&caller).map_err(|refused| status(&refused))
    }

    fn caller(&self, plane: &Plane, is_noted: bool) -> Result<Caller, Refused> {
        let mut known = self.known_mut();
        let now = plane.now();
        match known.as_ref() {
            Some(Known::Caller(caller)) if is_so_still(plane, caller) => return Ok(caller.clone()),
            Some(Known::Refused(reason, when)) if when.contains(&now) => {
                return Err(Refused::Reason(reason.clone()));
            }
            Some(Known::Caller(_) | Known::Refused(..)) | None => {}
        }
        let found = plane.identify_client(self.chain.clone());
        match &found {
            Ok(caller) => *known = Some(Known::Caller(caller.clone())),
            Err(Refused::Reason(reason)) => {
                if is_noted && plane.tells_of_unbelieved(self.network) {
                    note_unbelieved(reason);
                }
                let until = now.plus(REFUSED_UNSEEN_FOR);
                *known = Some(Known::Refused(reason.clone(), now..until));
            }
            Err(Refused::Fault(_)) => {}
        }
        found
    }
}

/// Whether nothing has changed that who calls was told by.
fn is_so_still(plane: &Plane, caller: &Caller) -> bool {
    let tenant = plane.opened(&caller.tenant);
    let state = tenant.map(|tenant| {
        let held = tenant.held();
        State::of(&held)
    });
    state.is_some() && state == caller.as_of
}

/// What is said to whom nobody believes: its identity was taken back, or has ended; or it never had one
/// here, and learns no more.
fn unbelieved(refused: Refused) -> Status {
    match refused {
        Refused::Reason(reason) => Status::permission_denied(told_to_anyone(&reason)),
        Refused::Fault(fault) => failed(&fault),
    }
}

/// Says to whoever runs the server what the node is not told.
fn note_unbelieved(reason: &Reason) {
    tracing::warn!(
        code = reason.code(),
        sentence = reason.sentence(),
        fix = reason.hint(),
        "the certificate of a node was refused"
    );
}

fn peer<T>(request: &Request<T>) -> Result<&Peer, Status> {
    let peer = request.extensions().get::<Peer>();
    peer.ok_or_else(|| Status::internal("the connection does not tell who called"))
}

/// From where a caller calls.
fn address<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Peer>()?.address
}

fn membership(plane: &Plane, membership: crate::nodes::Membership) -> Result<Membership, Refused> {
    let root = plane.root()?;
    let bundle = plane.bundle(&root, plane.server_id().trust_domain())?;
    Ok(Membership {
        spiffe_id: membership.id.to_string(),
        certificates: membership.certificates,
        server_bundle: bundle.to_string(),
    })
}

fn jwt_answer(issued: Result<TokenSvid, Reason>) -> IssueJwtResponse {
    match issued {
        Ok(svid) => IssueJwtResponse {
            token: svid.token,
            issued: svid.issued.unix(),
            expires: svid.expires.unix(),
            refusal: None,
        },
        Err(reason) => IssueJwtResponse {
            refusal: Some(refusal(&reason)),
            ..IssueJwtResponse::default()
        },
    }
}

fn check_count(items: usize) -> Result<(), Status> {
    if items <= MOST_ITEMS {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{items} items are asked for, and at most {MOST_ITEMS} are taken at once"
    )))
}

fn wanted(items: Vec<KeyForEntry>) -> Result<Vec<Wanted>, Status> {
    check_count(items.len())?;
    let wanted = items.into_iter().map(|item| Wanted {
        entry: item.entry,
        public_key: item.public_key,
        facts: item.facts,
    });
    Ok(wanted.collect())
}

fn refusal(reason: &Reason) -> Refusal {
    Refusal {
        code: reason.code().to_owned(),
        sentence: reason.sentence(),
        hint: reason.hint(),
    }
}

fn status(refused: &Refused) -> Status {
    match refused {
        Refused::Reason(reason) => self::refused(reason),
        Refused::Fault(fault) => failed(fault),
    }
}

fn refused(reason: &Reason) -> Status {
    let message = told(reason);
    match reason {
        Reason::IssueObjectUnknown { .. } => Status::not_found(message),
        Reason::IssueNodeNotAdmitted { .. } | Reason::IssueNotPermitted { .. } => {
            Status::permission_denied(message)
        }
        Reason::IssueQuota { .. } | Reason::IssueRate { .. } | Reason::IssueNodeRenewals { .. } => {
            Status::resource_exhausted(message)
        }
        _ => Status::invalid_argument(message),
    }
}

/// What whoever has shown a certificate that is not believed is told: what was decided, and what to do
/// about it if it was a node. What the tenant trusts is no matter of whoever may have found its key.
fn told_to_anyone(reason: &Reason) -> String {
    let told = explain::of_reason_for_peer(reason);
    format!(
        "{}: {} What this node has shown itself with is not believed: it has ended, was taken \
         back, is of an authority that is gone, or was never good here. Whoever runs the server sees why in its log; the node \
         can join again, with a new join token or by what it shows",
        told.code, told.sentence
    )
}

fn told(reason: &Reason) -> String {
    format!("{}: {} {}", reason.code(), reason.sentence(), reason.hint())
}

fn failed(fault: &Fault) -> Status {
    tracing::error!(%fault, "a call of a node failed");
    if fault.retryable() {
        Status::unavailable("the server cannot do this now")
    } else {
        Status::internal("the server failed; its log says why")
    }
}

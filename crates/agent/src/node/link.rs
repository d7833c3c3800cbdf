//! The way to the server, as the member that this node is.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use avouch_api::attestation::statement;
use avouch_api::grpc::node::attest_reply::Step as Reply;
use avouch_api::grpc::node::attest_request::Step;
use avouch_api::grpc::node::node_client::NodeClient;
use avouch_api::grpc::node::{
    self, AttestReply, AttestRequest, Intention, JoinRequest, RenewRequest,
};
use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::service_fn;
use zeroize::Zeroizing;

use super::evidence::{Attesting, EvidenceFault, Preparation};
use super::holdings::Holdings;
use super::key::{KeyFault, MemberKey, NodeKey};
use super::membership::Membership;
use super::tls::{self, ServerVerifier};
use super::{Shared, now};

pub use super::tls::ServerTrust;

/// How long the server may take to answer.
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// The largest message of a server: what a node is told at first comes in parts of a thousand
/// entries.
const LARGEST_MESSAGE: usize = 16 << 20;

/// How long to wait before the node's own SVID is looked at again.
const TICK: Duration = Duration::from_secs(1);

/// How long to wait at most before the next attempt to renew it.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The same where the server refuses the node, of which it keeps a record each time.
const LONGEST_PAUSE_REFUSED: Duration = Duration::from_secs(300);

/// How many seconds a node that begins and finds no place waits each time before it knocks again: two minutes in
/// all.
const JOIN_PAUSES: [u64; 10] = [1, 2, 4, 8, 15, 15, 15, 20, 20, 20];

/// What a node needs to join.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The host and port of the server's address for nodes.
    pub server: String,
    /// By which bundle the server is known.
    pub trust: ServerTrust,
    /// Where the node's own identity is kept.
    pub folder: PathBuf,
    /// A join token; needed if no identity is kept, or one that has expired.
    pub token: Option<Zeroizing<String>>,
    /// What the node shows instead of a token.
    pub attesting: Option<Attesting>,
    /// The server, if it is in this process.
    pub beside: Option<Beside>,
}

/// A server in the process of the node. It gives a join token whenever one is needed, as after a sleep of
/// the machine that was longer than the identity of the node. And it has the same clock: an identity of
/// the future, from when that was ahead, is believed by nobody; elsewhere it is our clock that may be wrong.
#[derive(Clone)]
pub struct Beside {
    /// Makes a join token, or says why not. It may block.
    pub new_token: Arc<dyn Fn() -> Result<Zeroizing<String>, String> + Send + Sync>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

/// Why there is no way to the server.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// What is kept cannot be read or written.
    #[error("the identity of the node in {}: {source}", folder.display())]
    Kept {
        /// In which folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is neither an identity nor a token.
    #[error(
        "no identity of this node is kept in {}, or it has expired, so it has to join: give it a token, which `avouch node token` makes, or have it show who it is with `--attest`",
        .0.display()
    )]
    NoToken(PathBuf),
    /// The server in this process gives no token.
    #[error("the server gives this node no join token: {0}")]
    NotGiven(String),
    /// The identity has ended while the agent ran, and there is nothing else to show.
    #[error(
        "the identity of this node ended at {0}, so it has to join again: start the agent with a new token, which `avouch node token` makes"
    )]
    Over(Time),
    /// There is nothing to show.
    #[error("what the node would show to join: {0}")]
    Evidence(#[from] EvidenceFault),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The address is none.
    #[error("`{0}` is not a host and a port, such as 127.0.0.1:8081")]
    Address(String),
    /// The server refuses.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server has too much to do at the moment.
    #[error("the server asks to be called again later: {0}")]
    Busy(String),
    /// What answers speaks no TLS.
    #[error(
        "what answers at {0} speaks no TLS, so it is not the server's address for nodes: it may be that for commands and verifiers, which has another port"
    )]
    NotForNodes(String),
    /// The server does not answer.
    #[error("the server at {server} does not answer: {why}")]
    Away {
        /// Its address.
        server: String,
        /// What was seen.
        why: String,
    },
    /// The server answers what cannot be used.
    #[error("the server answers what cannot be used: {0}")]
    Unusable(&'static str),
    /// TLS cannot be spoken.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The agent stops.
    #[error("the agent stops")]
    Stopped,
}

/// The way to the server.
pub(super) struct Link {
    joining: Joining,
    verifier: Arc<ServerVerifier>,
    member: RwLock<Arc<Membership>>,
    /// The connection as the present member; another one after each renewal.
    channel: watch::Sender<Channel>,
    /// One renews at a time, so that the server knows the node as what it is.
    renewing: tokio::sync::Mutex<()>,
    /// Whether the present membership is in its file.
    is_written: AtomicBool,
    /// The folder, which no other agent takes meanwhile.
    _held: Option<File>,
}

impl Link {
    pub(super) async fn open(joining: Joining) -> Result<Self, LinkFault> {
        let kept = |source| LinkFault::Kept {
            folder: joining.folder.clone(),
            source,
        };
        let verifier = Arc::new(ServerVerifier::new(joining.trust.clone()));
        let is_of_use =
            |member: &Membership| !(joining.beside.is_some() && member.is_of_the_future());
        let held = Membership::hold(&joining.folder).map_err(kept)?;
        let member = Membership::read(&joining.folder).map_err(kept)?;
        let member = match member.filter(is_of_use) {
            Some(member) => member,
            None => {
                // So that those who were turned away together do not come back together.
                let apart = Duration::from_millis(u64::from(std::process::id() % 500));
                let pause = |pause| tokio::time::sleep(pause + apart);
                let member = in_turn(|| join(&joining, &verifier), pause).await?;
                member.write(&joining.folder).map_err(kept)?;
                member
            }
        };
        let config = tls::config(&verifier, Some(&member))?;
        let channel = connect(&joining.server, config, Some(member.not_after()))?;
        Ok(Self {
            // A token is used up, and not kept.
            joining: Joining {
                token: None,
                ..joining
            },
            verifier,
            member: RwLock::new(Arc::new(member)),
            channel: watch::Sender::new(channel),
            renewing: tokio::sync::Mutex::default(),
            is_written: AtomicBool::new(true),
            _held: held,
        })
    }

    pub(super) fn id(&self) -> SpiffeId {
        self.member().id.clone()
    }

    /// The server, as the member that the node is now.
    pub(super) fn client(&self) -> NodeClient<Channel> {
        client(self.channel.borrow().clone())
    }

    /// Tells when there is another connection to be used.
    pub(super) fn connections(&self) -> watch::Receiver<Channel> {
        self.channel.subscribe()
    }

    pub(super) fn member(&self) -> Arc<Membership> {
        let member = self.member.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&member)
    }

    /// Whether what the node shows has ended.
    pub(super) fn is_over(&self) -> bool {
        self.member().not_after() <= now()
    }

    /// Whether the node can show who it is as often as needed.
    fn may_attest(&self) -> bool {
        self.joining.attesting.is_some()
    }

    async fn renew(&self, is_refused: bool) -> Result<(), LinkFault> {
        let is_over = self.is_over();
        let member = match is_over || is_refused {
            true if self.may_attest() || (is_over && self.joining.beside.is_some()) => {
                join(&self.joining, &self.verifier).await?
            }
            _ if is_over => return Err(LinkFault::Over(self.member().not_after())),
            _ => self.next().await?,
        };
        self.verifier.follow(member.server_bundle.clone());
        let config = tls::config(&self.verifier, Some(&member))?;
        let channel = connect(&self.joining.server, config, Some(member.not_after()))?;
        *self.member.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(member);
        self.is_written.store(false, Ordering::Relaxed);
        self.channel.send_replace(channel);
        Ok(())
    }

    /// Writes the present membership to its file, unless it is there. Until then the node goes on with it
    /// from memory: what it was renewed from ends before the disk may have room again.
    fn write(&self) -> Result<(), LinkFault> {
        if self.is_written.load(Ordering::Relaxed) {
            return Ok(());
        }
        let folder = &self.joining.folder;
        let written = self.member().write(folder);
        written.map_err(|source| LinkFault::Kept {
            folder: folder.clone(),
            source,
        })?;
        self.is_written.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The membership that follows the present one.
    async fn next(&self) -> Result<Membership, LinkFault> {
        let member = self.member();
        let (key, signing_request) = off_the_threads(move || {
            let key = member.key.next()?;
            let signing_request = key.signing_request()?;
            Ok::<_, KeyFault>((key, signing_request))
        })
        .await??;
        let request = RenewRequest { signing_request };
        let answer = in_time(self.client().renew(request)).await;
        let answer = answer.map_err(|status| fault(&self.joining.server, &status))?;
        member_of(key, answer.into_inner())
    }
}

/// Renews the node's own SVID when its time has come, for as long as the node is there. A node that
/// the server has forgotten joins again if it can show who it is.
pub(super) async fn keep(shared: Weak<Shared>) {
    let mut told = None;
    let mut pause = TICK;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match renew_if_due(&shared).await {
            Ok(()) => (told, pause) = (None, TICK),
            Err(error) => {
                let kind = std::mem::discriminant(&error);
                if told != Some(kind) {
                    let until = shared.link.member().not_after();
                    match error {
                        LinkFault::Kept { .. } => tracing::warn!(
                            %error,
                            %until,
                            "the node could not write its own identity, which it goes on with; it tries again"
                        ),
                        _ => tracing::warn!(
                            %error,
                            %until,
                            "the node could not renew its own identity"
                        ),
                    }
                }
                told = Some(kind);
                pause = match error {
                    // The next one is not to come late for it.
                    LinkFault::Kept { .. } => TICK,
                    LinkFault::Refused(_) => (pause * 2).min(LONGEST_PAUSE_REFUSED),
                    _ => (pause * 2).min(LONGEST_PAUSE),
                };
            }
        }
    }
}

/// Renews the node's own SVID if half of its life is over, if what signed it is not to be trusted any
/// more, or if the server has forgotten the node and it can show who it is; and writes it where that is
/// still to be done.
pub(super) async fn renew_if_due(shared: &Shared) -> Result<(), LinkFault> {
    let _renewing = shared.link.renewing.lock().await;
    let is_refused = shared.is_refused() && shared.link.may_attest();
    let member = shared.link.member();
    let is_due = member.validity.renew_at <= now() || is_distrusted(&member, &shared.holdings());
    if is_refused || is_due {
        shared.link.renew(is_refused).await?;
    }
    if is_refused {
        shared.note_back();
    }
    shared.link.write()
}

/// Whether the tenant of the node says that nothing is to be left of what signed its SVID. Of what is
/// above that one it does not count: a successor may be below it, too.
fn is_distrusted(member: &Membership, holdings: &Holdings) -> bool {
    let published = holdings.published(member.id.trust_domain());
    let authority = member.authority.as_deref();
    published
        .zip(authority)
        .is_some_and(|((tenant, _), authority)| holdings.distrusts(tenant, authority))
}

/// The answer, or a status when there is none in time.
pub(super) async fn in_time<T, E: From<Status>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let answered = tokio::time::timeout(LONGEST_CALL, answer).await;
    answered.map_err(|_| Status::deadline_exceeded("the server takes too long"))?
}

fn client(channel: Channel) -> NodeClient<Channel> {
    NodeClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE)
}

/// Joins, and comes again for a while where the server has no place at the moment: of many nodes that
/// begin at once, all come to be let in. Nothing was used up then.
async fn in_turn<M>(
    mut join: impl AsyncFnMut() -> Result<M, LinkFault>,
    mut pause: impl AsyncFnMut(Duration),
) -> Result<M, LinkFault> {
    let mut pauses = JOIN_PAUSES.iter();
    loop {
        let joined = join().await;
        let (Err(LinkFault::Busy(why)), Some(seconds)) = (&joined, pauses.next()) else {
            return joined;
        };
        tracing::warn!(why, "the node is not let in yet, and tries again");
        pause(Duration::from_secs(*seconds)).await;
    }
}

async fn join(joining: &Joining, verifier: &Arc<ServerVerifier>) -> Result<Membership, LinkFault> {
    let channel = connect(&joining.server, tls::config(verifier, None)?, None)?;
    let client = client(channel);
    if let Some(attesting) = &joining.attesting {
        let evidence = attesting.evidence.clone();
        let made = off_the_threads(move || {
            let mut preparation = evidence.prepare()?;
            let (key, signing_request) = preparation.key_and_request()?;
            Ok::<_, LinkFault>((preparation, key, signing_request))
        });
        let (preparation, key, signing_request) = made.await??;
        let attested = attest(client, joining, attesting, preparation, signing_request);
        let attested = in_time(attested).await;
        return member_of(key, attested.map_err(|stop| stop.fault(&joining.server))?);
    }
    let key = NodeKey::generate()?;
    let token = match (&joining.token, joining.beside.clone()) {
        (Some(token), _) => token.clone(),
        (None, Some(beside)) => off_the_threads(move || (beside.new_token)())
            .await?
            .map_err(LinkFault::NotGiven)?,
        (None, None) => return Err(LinkFault::NoToken(joining.folder.clone())),
    };
    let request = JoinRequest {
        join_token: token.as_str().to_owned(),
        signing_request: key.signing_request()?,
    };
    let mut client = client;
    let answer = in_time(client.join(request)).await;
    let answer = answer.map_err(|status| fault(&joining.server, &status))?;
    member_of(MemberKey::Kept(key), answer.into_inner())
}

/// Does what may wait for a device where nothing else waits for it.
async fn off_the_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LinkFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| LinkFault::Stopped)
}

/// Says what it will show, is sent a challenge, and shows it.
async fn attest(
    mut client: NodeClient<Channel>,
    joining: &Joining,
    attesting: &Attesting,
    mut preparation: Preparation,
    signing_request: Vec<u8>,
) -> Result<node::Membership, Stop> {
    let intention = Intention {
        tenant: attesting.tenant.clone(),
        attestor: attesting.attestor.clone(),
        method: attesting.evidence.method().to_owned(),
    };
    let (steps, asked) = mpsc::channel(2);
    send(&steps, Step::Intention(intention.clone())).await;
    let answer = client.attest(ReceiverStream::new(asked)).await?;
    let mut replies = answer.into_inner();
    let Some(Reply::Challenge(challenge)) = next_reply(&mut replies).await? else {
        return Err(LinkFault::Unusable("it sends no challenge").into());
    };
    let server = joining.trust.trust_domain.as_str();
    let statement = statement(server, &intention, &challenge, &signing_request);
    let (shown, mut preparation) =
        off_the_threads(move || (preparation.shown(&statement), preparation)).await?;
    let evidence = node::Evidence {
        shown: Some(shown.map_err(LinkFault::from)?),
        signing_request,
    };
    send(&steps, Step::Evidence(evidence)).await;
    let mut reply = next_reply(&mut replies).await?;
    if let Some(Reply::Sealed(sealed)) = reply {
        let opened = off_the_threads(move || preparation.open(&sealed)).await?;
        let opened = opened.map_err(LinkFault::from)?;
        send(&steps, Step::Opened(opened)).await;
        reply = next_reply(&mut replies).await?;
    }
    match reply {
        Some(Reply::Membership(membership)) => Ok(membership),
        Some(Reply::Challenge(_) | Reply::Sealed(_)) | None => {
            Err(LinkFault::Unusable("it sends no membership").into())
        }
    }
}

/// Why a node was not attested: the server said so, or something here is not as it should be.
enum Stop {
    Status(Status),
    Fault(LinkFault),
}

impl Stop {
    fn fault(self, server: &str) -> LinkFault {
        match self {
            Self::Status(status) => fault(server, &status),
            Self::Fault(fault) => fault,
        }
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<LinkFault> for Stop {
    fn from(fault: LinkFault) -> Self {
        Self::Fault(fault)
    }
}

/// A server that has gone is seen by what it does not answer.
async fn send(steps: &mpsc::Sender<AttestRequest>, step: Step) {
    drop(steps.send(AttestRequest { step: Some(step) }).await);
}

async fn next_reply(replies: &mut Streaming<AttestReply>) -> Result<Option<Reply>, Status> {
    Ok(replies.message().await?.and_then(|reply| reply.step))
}

fn member_of(key: MemberKey, answer: node::Membership) -> Result<Membership, LinkFault> {
    let member = Membership::of(
        key,
        &answer.spiffe_id,
        answer.certificates,
        answer.server_bundle,
    );
    member.ok_or(LinkFault::Unusable("it is no X.509-SVID"))
}

fn fault(server: &str, status: &Status) -> LinkFault {
    if speaks_no_tls(status) {
        return LinkFault::NotForNodes(server.to_owned());
    }
    match status.code() {
        // What the transport found has a source; this is the server's own word.
        Code::Unavailable if status.source().is_none() => {
            LinkFault::Busy(status.message().to_owned())
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => {
            LinkFault::Away {
                server: server.to_owned(),
                why: innermost(status),
            }
        }
        _ => LinkFault::Refused(status.message().to_owned()),
    }
}

/// Whether what answers is no message of TLS.
fn speaks_no_tls(status: &Status) -> bool {
    let mut error: Option<&(dyn Error + 'static)> = status.source();
    while let Some(one) = error {
        // An error of the system does not name as its source what it holds.
        let held = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = held.and_then(|held| held.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::InvalidMessage(_))) {
            return true;
        }
        error = one.source();
    }
    false
}

/// What is at the bottom of it: the layers above say no more than that something failed.
pub(super) fn innermost(status: &Status) -> String {
    let mut error: &dyn Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    if std::ptr::addr_eq(error, status) {
        return status.message().to_owned();
    }
    error.to_string()
}

/// A connection that is made when it is used, and again when it breaks. Once what the node would
/// show has ended, the server is not called in vain.
fn connect(
    server: &str,
    config: ClientConfig,
    shown_until: Option<Time>,
) -> Result<Channel, LinkFault> {
    let address = || LinkFault::Address(server.to_owned());
    let (host, _) = server.rsplit_once(':').ok_or_else(address)?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| address())?;
    let endpoint = Endpoint::from_shared(format!("http://{server}")).map_err(|_| address())?;
    let endpoint = endpoint
        .connect_timeout(LONGEST_CALL)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    let connector = TlsConnector::from(Arc::new(config));
    let server = server.to_owned();
    let connector = service_fn(move |_| {
        let (connector, name, server) = (connector.clone(), name.clone(), server.clone());
        async move {
            if let Some(until) = shown_until.filter(|until| *until <= now()) {
                return Err(io::Error::other(LinkFault::Over(until)));
            }
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(name, stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of joining where the server answers one after the other, and how long was waited.
    async fn joined(
        answers: impl IntoIterator<Item = Result<&'static str, Status>>,
    ) -> (Result<&'static str, LinkFault>, Vec<u64>) {
        let mut answers = answers.into_iter();
        let mut waited = Vec::new();
        let join = async || {
            let answer = answers.next().expect("it is not asked so often");
            answer.map_err(|status| fault("server.test:8081", &status))
        };
        let joined = in_turn(join, async |pause| waited.push(pause.as_secs())).await;
        (joined, waited)
    }

    #[tokio::test]
    async fn two_agents_are_not_one_node() {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("agent");
        let trust = r#"{"trust_domain": "top.test", "bundle": {"keys": []}}"#;
        let open = || {
            Link::open(Joining {
                server: "127.0.0.1:1".to_owned(),
                trust: ServerTrust::read(trust).unwrap(),
                folder: folder.clone(),
                token: None,
                attesting: None,
                beside: None,
            })
        };
        let other = Membership::hold(&folder).unwrap();
        let Err(LinkFault::Kept { source, .. }) = open().await else {
            panic!("it is another's folder");
        };
        assert_eq!(source.kind(), io::ErrorKind::ResourceBusy);
        drop(other);
        let freed = open().await;
        assert!(matches!(freed, Err(LinkFault::NoToken(_))));
    }

    fn busy() -> Result<&'static str, Status> {
        Err(Status::unavailable("all places are taken"))
    }

    #[tokio::test]
    async fn a_node_that_is_turned_away_once_is_admitted_when_it_comes_again() {
        let (member, waited) = joined([busy(), Ok("member")]).await;
        assert_eq!((member.unwrap(), waited), ("member", vec![1]));
        let (member, waited) = joined([busy(), busy(), busy(), Ok("member")]).await;
        assert_eq!((member.unwrap(), waited), ("member", vec![1, 2, 4]));
    }

    #[tokio::test]
    async fn a_node_that_never_finds_a_place_says_so_after_two_minutes() {
        let (never, waited) = joined(std::iter::repeat_with(busy)).await;
        let never = never.unwrap_err();
        assert!(matches!(never, LinkFault::Busy(_)), "{never}");
        assert_eq!(
            never.to_string(),
            "the server asks to be called again later: all places are taken"
        );
        assert_eq!(waited, JOIN_PAUSES);
        assert_eq!(waited.iter().sum::<u64>(), 120);
    }

    #[tokio::test]
    async fn only_a_server_that_has_no_place_is_asked_again() {
        let (refused, waited) = joined([Err(Status::permission_denied("banned"))]).await;
        assert!(matches!(refused, Err(LinkFault::Refused(_))));
        assert!(waited.is_empty());
        // A server that is not there speaks through the transport, which has a source.
        let absent = Status::from_error(Box::new(io::Error::other("connection refused")));
        let (away, waited) = joined([Err(absent)]).await;
        assert!(matches!(away, Err(LinkFault::Away { .. })));
        assert!(waited.is_empty());
        // One that has found a place may still be refused.
        let turned_away_first = [busy(), Err(Status::permission_denied("banned"))];
        let (refused, waited) = joined(turned_away_first).await;
        assert!(matches!(refused, Err(LinkFault::Refused(_))));
        assert_eq!(waited, [1]);
    }
}

//! One node that joins, or is refused: who calls has shown nothing yet, so it learns a code and the
//! id of a decision, and is given little time and little work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use avouch_api::grpc::node::attest_reply::Step as Reply;
use avouch_api::grpc::node::attest_request::Step;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{
    AttestReply, AttestRequest, Evidence, Intention, JoinRequest, Membership,
};
use avouch_core::explain;
use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::{NodeService, failed, membership};
use crate::fault::Refused;
use crate::fetch::Fetched;
use crate::nodes::attestation::LONGEST_SIGNING_REQUEST;
use crate::nodes::{Opened, RefusedNode, Sealing};
use crate::plane::Plane;
use crate::shares::{Share, Shares};
use crate::turned_away::Crowd;

/// How long a node may take to say what it means to show, which it knows before it calls.
const LONGEST_BEGINNING: Duration = Duration::from_secs(2);

/// How many may be about to say so at once, and how many of one address.
const MOST_BEGINNING: usize = 4_096;
const MOST_BEGINNING_EACH: usize = 256;

/// How long a node may take for each step that follows.
const LONGEST_STEP: Duration = Duration::from_secs(10);

/// The longest join token, in bytes: the name of a tenant and 43 characters.
const LONGEST_JOIN_TOKEN: usize = 256;

/// How many nodes may be on their way at once: each holds a task and a buffer. Whoever calls from one
/// address has few of these places, so that it takes many to keep others out; nodes that share an
/// address come one after the other.
const MOST_ON_THEIR_WAY: usize = 512;
const MOST_ON_THEIR_WAY_EACH: usize = 16;

/// How many are looked at at once, so that whoever has an identity is not kept waiting by those who
/// have none.
const MOST_LOOKED_AT: usize = 2;

/// What is left for nodes that have no identity yet.
pub(super) struct Room {
    beginning: Arc<Shares>,
    on_their_way: Arc<Shares>,
    looked_at: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            beginning: Shares::of(MOST_BEGINNING, MOST_BEGINNING_EACH),
            on_their_way: Shares::of(MOST_ON_THEIR_WAY, MOST_ON_THEIR_WAY_EACH),
            looked_at: Arc::new(Semaphore::new(MOST_LOOKED_AT)),
        }
    }
}

/// Who asks to be let in, and how.
#[derive(Clone)]
struct Asking {
    tenant: String,
    attestor: Option<String>,
    method: String,
    address: Option<SocketAddr>,
    began: Instant,
    /// What names that which it has shown, if it has.
    shown: Option<Digest>,
}

impl NodeService {
    /// Lets a node join with a token.
    pub(super) async fn join_with_token(
        &self,
        asked: JoinRequest,
        address: Option<SocketAddr>,
    ) -> Result<Membership, Status> {
        if asked.join_token.len() > LONGEST_JOIN_TOKEN
            || asked.signing_request.len() > LONGEST_SIGNING_REQUEST
        {
            return Err(Status::invalid_argument("no node needs so much to join"));
        }
        let _place = self.place(&self.room.on_their_way, address)?;
        let asking = Asking {
            tenant: asked.join_token.split('.').next().unwrap_or("").to_owned(),
            attestor: None,
            method: "join_token".to_owned(),
            address,
            began: Instant::now(),
            shown: Some(digest_of("join_token", [&asked.join_token])),
        };
        self.look(asking, move |plane| {
            let joined = plane.join(&asked.join_token, &asked.signing_request)?;
            membership(plane, joined)
        })
        .await
    }

    /// Begins a call in which a node shows who it is.
    pub(super) fn begin_attesting(
        &self,
        asked: Streaming<AttestRequest>,
        address: Option<SocketAddr>,
    ) -> Result<mpsc::Receiver<Result<AttestReply, Status>>, Status> {
        let beginning = self.place(&self.room.beginning, address)?;
        let (replies, stream) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            let end = service.converse(asked, beginning, address, &replies).await;
            // Whoever has gone needs not be told.
            drop(
                replies
                    .send(end.map(|member| reply(Reply::Membership(member))))
                    .await,
            );
        });
        Ok(stream)
    }

    async fn converse(
        &self,
        mut asked: Streaming<AttestRequest>,
        beginning: Share,
        address: Option<SocketAddr>,
        replies: &mpsc::Sender<Result<AttestReply, Status>>,
    ) -> Result<Membership, Status> {
        let intention = match step(&mut asked, LONGEST_BEGINNING).await? {
            Some(Step::Intention(intention)) => intention,
            Some(Step::Evidence(_) | Step::Opened(_)) | None => return Err(out_of_order()),
        };
        drop(beginning);
        let _place = self.place(&self.room.on_their_way, address)?;
        let asking = Asking::of(&intention, address);
        let meant = intention.clone();
        let challenge = self.look(asking.clone(), move |plane| {
            plane.check_intention(&meant)?;
            Ok(plane.challenge()?)
        });
        let challenge = challenge.await?;
        let sent = replies.send(Ok(reply(Reply::Challenge(challenge.to_vec()))));
        if sent.await.is_err() {
            return Err(Status::cancelled("the node has gone"));
        }
        let evidence = match step(&mut asked, LONGEST_STEP).await? {
            Some(Step::Evidence(evidence)) => evidence,
            Some(Step::Intention(_) | Step::Opened(_)) | None => return Err(out_of_order()),
        };
        let asking = asking.showing(&evidence);
        let (meant, shown) = (intention.clone(), evidence.clone());
        let sealing = self.look(asking.clone(), move |plane| {
            plane.sealing_for(&meant, &shown)
        });
        let opened = match sealing.await? {
            Some(sealing) => Some(
                self.have_opened(asking.clone(), sealing, &mut asked, replies)
                    .await?,
            ),
            None => None,
        };
        let answer = self
            .ask_elsewhere(asking.clone(), &intention, &evidence)
            .await?;
        let method = intention.method.clone();
        let joined = self.look(asking, move |plane| {
            let (answer, opened) = (answer.as_ref(), opened.as_ref());
            let joined = plane.attest(&intention, &challenge, &evidence, answer, opened)?;
            membership(plane, joined)
        });
        let joined = joined.await?;
        tracing::info!(node = joined.spiffe_id, method, "a node was attested");
        Ok(joined)
    }

    /// Sends a node what only its TPM can open, and takes what was in it.
    async fn have_opened(
        &self,
        asking: Asking,
        sealing: Sealing,
        asked: &mut Streaming<AttestRequest>,
        replies: &mpsc::Sender<Result<AttestReply, Status>>,
    ) -> Result<Opened, Status> {
        let sent = replies.send(Ok(reply(Reply::Sealed(sealing.sealed().clone()))));
        if sent.await.is_err() {
            return Err(Status::cancelled("the node has gone"));
        }
        let opened = match step(asked, LONGEST_STEP).await? {
            Some(Step::Opened(opened)) => sealing.open(&opened),
            // A TPM that cannot open it has nothing to send.
            Some(Step::Intention(_) | Step::Evidence(_)) | None => sealing.open(&[]),
        };
        match opened {
            Ok(opened) => Ok(opened),
            Err(reason) => Err(self.refuse(asking, reason).await),
        }
    }

    /// What is answered to the question that has to be asked first, if there is one.
    async fn ask_elsewhere(
        &self,
        asking: Asking,
        intention: &Intention,
        evidence: &Evidence,
    ) -> Result<Option<Fetched>, Status> {
        let (meant, shown) = (intention.clone(), evidence.clone());
        let question = self.look(asking.clone(), move |plane| {
            plane.question_about(&meant, &shown)
        });
        let Some((tenant, question)) = question.await? else {
            return Ok(None);
        };
        let answered = self.plane.fetcher().fetch(&tenant, &question).await;
        match answered {
            Ok(answer) => Ok(Some(answer)),
            Err(Refused::Reason(reason)) => Err(self.refuse(asking, *reason).await),
            Err(Refused::Fault(fault)) => Err(failed(&fault)),
        }
    }

    /// Does what blocks, for few at once. A refusal is noted for the tenant, and told as a code.
    async fn look<T: Send + 'static>(
        &self,
        asking: Asking,
        work: impl FnOnce(&Plane) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        let place = Arc::clone(&self.room.looked_at).acquire_owned().await;
        let place = place.map_err(|_| Status::unavailable("the server stops"))?;
        let work = move |plane: &Plane| {
            // Held to the end of the work, even if nobody waits for it any more.
            let _place = place;
            work(plane)
        };
        match self.try_work(work).await? {
            Ok(done) => Ok(done),
            Err(reason) => Err(self.refuse(asking, *reason).await),
        }
    }

    /// A place among those who want to join, until it is dropped.
    fn place(&self, shares: &Arc<Shares>, address: Option<SocketAddr>) -> Result<Share, Status> {
        let place = shares.take(address.as_ref().map(SocketAddr::ip));
        place.ok_or_else(|| {
            self.plane.turn_away(Crowd::Joining, address);
            Status::unavailable(
                "too many want to join at once, or too many of this address; try again",
            )
        })
    }

    /// What is told whoever is refused; why, is noted for the tenant under the same id.
    async fn refuse(&self, asking: Asking, reason: Reason) -> Status {
        let decision = uuid::Uuid::now_v7().to_string();
        let told = explain::of_reason_for_peer(&reason);
        let status = Status::permission_denied(format!(
            "{}: {} Whoever runs the server is told why by `avouch node refused`, under {decision}",
            told.code, told.sentence
        ));
        let tenant = asking.tenant;
        let refused = RefusedNode {
            decision,
            at: self.plane.now(),
            took: asking.began.elapsed(),
            address: asking.address,
            method: asking.method,
            attestor: asking.attestor,
            shown: asking.shown,
            reason,
        };
        // The tenant may have to be read for it. Whoever is refused is so in any case.
        let noting = self.try_work(move |plane| {
            plane.note_refused(&tenant, refused);
            Ok(())
        });
        drop(noting.await);
        status
    }
}

impl Asking {
    fn of(intention: &Intention, address: Option<SocketAddr>) -> Self {
        let short = |text: &str| text.chars().take(64).collect::<String>();
        Self {
            tenant: short(&intention.tenant),
            attestor: Some(short(&intention.attestor)),
            method: short(&intention.method),
            address,
            began: Instant::now(),
            shown: None,
        }
    }

    /// The same, once it has shown something.
    fn showing(self, evidence: &Evidence) -> Self {
        let shown = evidence.shown.as_ref().map(|shown| match shown {
            Shown::X509pop(shown) => digest_of(&self.method, &shown.certificates),
            Shown::Sshpop(shown) => digest_of(&self.method, [&shown.certificate]),
            Shown::K8sPsat(token) => digest_of(&self.method, [token]),
            Shown::Tpm(shown) => digest_of(&self.method, [&shown.endorsement_key]),
        });
        Self { shown, ..self }
    }
}

/// What names what a node has shown by a method, without telling it.
fn digest_of<T: AsRef<[u8]>>(method: &str, shown: impl IntoIterator<Item = T>) -> Digest {
    let shown: Vec<T> = shown.into_iter().collect();
    let parts = shown.iter().map(AsRef::as_ref);
    Digest::of_list(std::iter::once(method.as_bytes()).chain(parts))
}

async fn step(
    asked: &mut Streaming<AttestRequest>,
    longest: Duration,
) -> Result<Option<Step>, Status> {
    let message = tokio::time::timeout(longest, asked.message()).await;
    let message = message.map_err(|_| Status::deadline_exceeded("the node takes too long"))?;
    Ok(message?.and_then(|message| message.step))
}

fn reply(step: Reply) -> AttestReply {
    AttestReply { step: Some(step) }
}

fn out_of_order() -> Status {
    Status::invalid_argument("a node says what it will show, and shows it when it is asked")
}

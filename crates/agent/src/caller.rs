//! Who calls, and what it is told when it gets nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::attest::{Attested, NotAttested, attest};
use crate::endpoint::Limits;
use crate::executable::Executables;
use crate::identities::{NotIssued, Pending};
use crate::kubelet::Kubelet;
use crate::peer::Peer;
use crate::quiet::Quiet;

/// How long the kernel and the system's database of users may take to tell who calls. Both answer
/// in microseconds unless a file system or a directory service hangs.
const LONGEST_ATTESTATION: Duration = Duration::from_secs(5);

/// How long an identity may take to be issued or checked; clients wait some 30 seconds and more.
const LONGEST_ANSWER: Duration = Duration::from_secs(20);

/// What each request knows of the connection that it came over.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Arc<Peer>,
    /// Attestations of one connection wait for each other, so that one workload cannot keep all
    /// threads busy.
    pub(crate) turn: Arc<Mutex<()>>,
}

/// Tells who callers are.
#[derive(Clone)]
pub(crate) struct Callers {
    executables: Arc<Executables>,
    kubelet: Option<Arc<Kubelet>>,
}

impl Callers {
    pub(crate) fn new(limits: Limits, kubelet: Option<Arc<Kubelet>>) -> Self {
        Self {
            executables: Arc::new(Executables::new(limits.executable_bytes)),
            kubelet,
        }
    }

    /// Who asks. Found anew for each request, since a process may run another program by now.
    pub(crate) async fn attested(&self, caller: &Caller) -> Result<Attested, Status> {
        let mut attested = self.by_the_kernel(caller).await?;
        let Some(kubelet) = &self.kubelet else {
            return Ok(attested);
        };
        let Some((pod, container)) = attested.pod() else {
            return Ok(attested);
        };
        let told = kubelet.told(pod, container).await;
        attested.add(told);
        // The kubelet took its time, and meanwhile the process may have left what it was in.
        if caller.peer.has_ended() {
            return Err(not_attested(&caller.peer, &NotAttested::Ended));
        }
        Ok(attested)
    }

    /// Whether whoever was attested is still who it was. To be asked before each message of a stream
    /// that comes later: a process may become another user, run another program or be put into another
    /// unit, and keeps its open connections. What the kubelet says is not asked for again, as it may be
    /// away.
    ///
    /// A stream that ends so is `Unavailable`: who is someone else now asks again, and is told what
    /// that one may hold.
    pub(crate) async fn still(&self, caller: &Caller, attested: &Attested) -> Result<(), Status> {
        let now = self.by_the_kernel(caller).await?;
        if attested.is_still(&now) {
            return Ok(());
        }
        if let Some(left_out) = NOT_ATTESTED.admit(caller.peer.user(), Instant::now()) {
            tracing::warn!(
                process = attested.process(),
                then = joined(attested.selectors()),
                now = joined(now.selectors()),
                left_out,
                "a stream ends, as its workload is not who it was"
            );
        }
        Err(Status::unavailable(
            "the workload is not who it was when it asked; it may ask again",
        ))
    }

    async fn by_the_kernel(&self, caller: &Caller) -> Result<Attested, Status> {
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
        attested.map_err(|why| not_attested(&caller.peer, &why))
    }
}

/// Whoever connects as one user and asks as another can do so all the time.
static NOT_ATTESTED: Quiet = Quiet::new();

fn not_attested(peer: &Peer, why: &NotAttested) -> Status {
    if let Some(left_out) = NOT_ATTESTED.admit(peer.user(), Instant::now()) {
        tracing::warn!(
            process = peer.process(), user = peer.user(), group = peer.group(), left_out, %why,
            "a workload could not be attested"
        );
    }
    no_identity()
}

/// The connection that a request came over.
pub(crate) fn caller<M>(request: &Request<M>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>();
    caller.ok_or_else(|| Status::internal("the connection does not tell who called"))
}

pub(crate) async fn in_time<T>(answer: Pending<'_, T>) -> Result<T, Status> {
    let answered = tokio::time::timeout(LONGEST_ANSWER, answer).await;
    answered.map_err(|_| Status::unavailable("it takes too long"))
}

/// Tells the operator all about a denial, and the workload only that there was one: it may not
/// learn which entries there are.
pub(crate) fn denied(attested: &Attested, method: &str, why: &NotIssued) -> Status {
    let selectors = joined(attested.selectors());
    let absent = joined(attested.absent());
    let process = attested.process();
    let is_fault_of_ours = matches!(
        why,
        NotIssued::NotHeard { .. } | NotIssued::Unavailable { .. }
    );
    if let Some(left_out) = DENIALS.admit(attested.user(), Instant::now()) {
        match is_fault_of_ours {
            false => {
                tracing::warn!(process, method, selectors, absent, left_out, %why, "no identity issued");
            }
            true => {
                tracing::error!(process, method, selectors, absent, left_out, %why, "no identity issued");
            }
        }
    }
    match why {
        NotIssued::NoEntry { .. } | NotIssued::OtherIdentity { .. } => no_identity(),
        NotIssued::Refused { code, sentence } => refused(code, sentence),
        NotIssued::NotHeard { why } => not_heard(why),
        NotIssued::Unavailable { .. } => unavailable(),
    }
}

/// To whoever asks a node that knows nothing yet: what keeps it lies with the node, and says nothing of
/// anyone's entries.
pub(crate) fn not_heard(why: &str) -> Status {
    let why: String = why.chars().take(MOST_REPEATED).collect();
    Status::unavailable(format!("no identity can be issued now: {why}"))
}

/// To whoever asks for what cannot be, and may know why: it is about nothing but the request.
pub(crate) fn refused(code: &str, sentence: &str) -> Status {
    let sentence: String = sentence.chars().take(MOST_REPEATED).collect();
    Status::invalid_argument(format!("{code}: {sentence}"))
}

/// To whoever is entitled to what cannot be had at the moment.
pub(crate) fn unavailable() -> Status {
    Status::unavailable("no identity can be issued now")
}

/// A workload that gets nothing asks again and again, and each time is worth a line to whoever looks
/// for the reason; thousands are not.
static DENIALS: Quiet = Quiet::new();

/// SPIFFE Workload API 5.3 and 6.3: to whoever is not entitled. These words are known from other
/// agents, and people search for them.
pub(crate) fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}

/// How much of what a caller says is repeated: as much as a person reads in a line of a log, and
/// less than the headers of a response may hold.
const MOST_REPEATED: usize = 1024;

/// What a caller said, so that it stays on its line of the log and is not too long for it.
pub(crate) fn repeated(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    let whole = quoted.join(" ");
    match whole.char_indices().nth(MOST_REPEATED) {
        None => whole,
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
    }
}

/// A list for a line of the log.
pub(crate) fn joined<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_said_stays_on_its_line() {
        let said = ["a\nb".to_owned(), "\u{1b}[2J".to_owned()];
        assert_eq!(repeated(&said), r#""a\nb" "\u{1b}[2J""#);
        let long = repeated(&["é".repeat(5000)]);
        assert_eq!(long.chars().count(), MOST_REPEATED + 1);
        assert!(long.ends_with('…'));
    }
}

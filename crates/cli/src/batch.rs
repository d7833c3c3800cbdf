//! `verify --batch`: a question a line in, a verdict a line out, in the same order.
//!
//! ```text
//! reader ──► lines ──► workers ──► verdicts
//!    └─────► their places, in order ──► writer
//! ```
//!
//! The reader hands each portion of lines to whichever worker is free and its place in the order
//! to the writer, who waits for the places one after another. Both queues are short, so memory
//! stays the same however long the file is and whoever is slowest sets the pace.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use avouch_api::{Answer, Asked, Outcome, TrustDocument};
use avouch_core::crypto::{AwsLc, Remembering};
use avouch_core::id::{Digest, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_server::xml_signatures;

use crate::arguments::{Common, VerifyArguments};
use crate::fault::{Exit, Fault};
use crate::input::{self, Stop};
use crate::{clock, trust, verify};

/// The longest line: 16 MiB, four times what the core reads of one credential. Longer ones are
/// answered with a refusal and skipped.
const LINE_BYTES: usize = 16 << 20;

/// Lines are handed over in portions, so that handing over costs little beside deciding; short
/// enough that a small file keeps more than one worker busy.
const PORTION_BYTES: usize = 64 << 10;

/// Where a question that cannot be read is said to have been refused.
const THE_QUESTION: &str = "the question";

/// Where a proof that came with a token is said to have been refused.
const THE_PROOF: &str = "the DPoP proof";

/// Views that are kept: a batch asks about a few trust documents, mostly one.
const VIEWS_KEPT: usize = 64;

/// Signatures that are remembered to hold, twice over: issuers recur, end entities seldom do.
const SIGNATURES_KEPT: usize = 32 << 10;

/// Answers every question of a file, or of standard input for `-`.
pub fn run(path: &Path, arguments: &VerifyArguments, common: &Common) -> Result<Exit, Fault> {
    let question = &arguments.question;
    if question
        .trust
        .iter()
        .chain(&question.crl)
        .any(|trust| input::is_stdin(trust))
        && input::is_stdin(path)
    {
        return Err(Fault::Usage(
            "standard input cannot be both the questions and what is trusted".to_owned(),
        ));
    }
    let given = match trust::view(&common.tenant, &question.trust, &question.crl) {
        Ok(view) => Ok(Arc::new(view)),
        Err(Stop::Refused { reason, .. }) => Err(*reason),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let questions = input::open(path).map_err(|why| input::fault_of(path, why))?;
    let workers = arguments.jobs.map_or_else(cores, usize::from);
    let desk = Desk {
        tenant: &common.tenant,
        at: question.at,
        given,
        views: Mutex::new(Views::default()),
        verifier: Remembering::new(AwsLc, SIGNATURES_KEPT),
    };
    let fault_of = |why| input::fault_of(path, why);
    pipeline(questions, workers, &desk, &fault_of)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Lines on their way to a worker, and where their verdicts go.
struct Portion {
    lines: Vec<u8>,
    place: SyncSender<Decided>,
}

/// The verdicts of one portion, a line each, and the worst of them.
struct Decided {
    text: String,
    worst: Exit,
}

fn pipeline(
    questions: Box<dyn Read + Send>,
    workers: usize,
    desk: &Desk<'_>,
    fault_of: &(dyn Fn(io::Error) -> Fault + Sync),
) -> Result<Exit, Fault> {
    // Two portions for each worker keep it busy while another is written.
    let (portions, waiting) = sync_channel::<Portion>(workers);
    let (places, order) = sync_channel::<Receiver<Decided>>(2 * workers);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(questions, &portions, &places));
        for _ in 0..workers {
            scope.spawn(|| work(&waiting, desk));
        }
        let written = write(&order);
        // Tells the reader, and it the workers, to stop when the writer did.
        drop(order);
        let read = reader.join().map_err(|_| Fault::Worker)?;
        let exit = written?;
        read.map_err(fault_of)?;
        Ok(exit)
    })
}

/// Reads lines and hands them out until there are none, or no one takes them.
fn read(
    questions: impl Read,
    portions: &SyncSender<Portion>,
    places: &SyncSender<Receiver<Decided>>,
) -> io::Result<()> {
    let mut questions = BufReader::with_capacity(PORTION_BYTES, questions);
    loop {
        let lines = portion(&mut questions)?;
        if lines.is_empty() {
            return Ok(());
        }
        let (place, verdicts) = sync_channel(1);
        if places.send(verdicts).is_err() || portions.send(Portion { lines, place }).is_err() {
            return Ok(());
        }
    }
}

/// The next whole lines that are there, none at the end. Nothing is waited for once there is a
/// line, so that whoever asks one question and waits for its verdict gets it.
fn portion(questions: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    loop {
        let read = questions.fill_buf()?;
        let end = read.iter().rposition(|byte| *byte == b'\n');
        let taken = end.map_or(read.len(), |end| end + 1);
        lines.extend_from_slice(read.get(..taken).unwrap_or(read));
        questions.consume(taken);
        if taken == 0 || end.is_some() {
            return Ok(lines);
        }
        if lines.len() > LINE_BYTES {
            questions.skip_until(b'\n')?;
            return Ok(lines);
        }
    }
}

/// Decides portion after portion until there are none.
fn work(waiting: &Mutex<Receiver<Portion>>, desk: &Desk<'_>) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Portion { lines, place }) = next else {
            return;
        };
        // Whoever waited may have left, because the output was closed: then nothing is lost.
        let _ = place.send(desk.decide_all(&lines));
    }
}

/// Writes the verdicts in order, and tells the worst of them.
fn write(order: &Receiver<Receiver<Decided>>) -> Result<Exit, Fault> {
    let mut output = io::stdout().lock();
    let mut worst = Exit::Accepted;
    while let Ok(place) = order.recv() {
        let decided = place.recv().map_err(|_| Fault::Worker)?;
        output
            .write_all(decided.text.as_bytes())
            .map_err(Fault::Write)?;
        worst = worse(worst, decided.worst);
    }
    output.flush().map_err(Fault::Write)?;
    Ok(worst)
}

/// A rejection outweighs what is undetermined, which outweighs an acceptance.
fn worse(one: Exit, other: Exit) -> Exit {
    let weight = |exit| match exit {
        Exit::Rejected => 2,
        Exit::Undetermined => 1,
        _ => 0,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}

/// What every worker shares.
struct Desk<'a> {
    tenant: &'a TenantId,
    at: Option<Time>,
    given: Result<Arc<View>, Reason>,
    views: Mutex<Views>,
    verifier: Remembering<AwsLc>,
}

impl Desk<'_> {
    /// Answers every line. Empty ones are skipped, as readers of JSON Lines do.
    fn decide_all(&self, lines: &[u8]) -> Decided {
        let mut decided = Decided {
            text: String::new(),
            worst: Exit::Accepted,
        };
        for line in lines.split(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let exit = self.decide(line, &mut decided.text);
            decided.worst = worse(decided.worst, exit);
        }
        decided
    }

    fn decide(&self, line: &[u8], text: &mut String) -> Exit {
        if line.len() > LINE_BYTES {
            let reason = Reason::InputSize {
                part: "question",
                size: line.len(),
                allowed: LINE_BYTES,
            };
            return refuse(None, THE_QUESTION, &reason, text);
        }
        let Ok(line) = std::str::from_utf8(line) else {
            let detail = "it is not UTF-8".to_owned();
            return refuse(None, THE_QUESTION, &Reason::Malformed { detail }, text);
        };
        let asked = match Asked::read(line) {
            Ok(asked) => asked,
            Err(unreadable) => {
                let id = unreadable.id.as_deref();
                return refuse(id, THE_QUESTION, &unreadable.reason, text);
            }
        };
        let view = match asked.trust() {
            Some(trust) => self.view(trust),
            None => self.given.clone(),
        };
        let id = asked.id().map(str::to_owned);
        let view = match view {
            Ok(view) => view,
            Err(reason) => return refuse(id.as_deref(), "the trust document", &reason, text),
        };
        let budget = asked.budget();
        let now = self.at.unwrap_or_else(clock::now);
        let shown = asked.dpop().cloned();
        let mut question = asked.into_question(self.tenant.clone(), now);
        // As a server does, but that nothing here remembers whether it was used before: whoever asks is
        // handed out what to keep.
        let proved = shown.map(|one| one.prove(&mut question, &self.verifier, &mut budget.clone()));
        let proved = match proved.transpose() {
            Ok(proved) => proved,
            Err(reason) => return refuse(id.as_deref(), THE_PROOF, &reason, text),
        };
        let verdict = xml_signatures::decide_alone(&mut question, &view, &self.verifier, &budget);
        // What cannot be found out stays undetermined: one line has no exit of its own.
        let verdict = verdict.unwrap_or_else(|_| {
            avouch_core::decide(&question, &view, &self.verifier, &mut budget.clone())
        });
        let verdict = match (verdict, proved) {
            (Verdict::Accept(sealed), Some(proved)) => {
                Verdict::Accept(sealed.and_effect(proved.effect()))
            }
            (verdict, _) => verdict,
        };
        write_answer(
            &Answer {
                id: id.as_deref(),
                decision: &clock::decision_id(),
                outcome: Outcome::Decided {
                    question: &question,
                    view: &view,
                    verdict: &verdict,
                },
            },
            text,
        )
    }

    /// The view of a trust document, read once for as long as it is kept.
    fn view(&self, trust: &str) -> Result<Arc<View>, Reason> {
        let digest = Digest::of(trust.as_bytes());
        // A panic elsewhere cannot leave the list half-written, so it stays usable.
        let kept = self
            .views
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest);
        if let Some(view) = kept {
            return view;
        }
        let view = TrustDocument::read_json(trust, self.tenant, "the question")
            .map(|document| Arc::new(TrustDocument::view(self.tenant.clone(), vec![document])));
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.keep(digest, view.clone());
        view
    }
}

fn refuse(id: Option<&str>, place: &str, reason: &Reason, text: &mut String) -> Exit {
    write_answer(
        &Answer {
            id,
            decision: &clock::decision_id(),
            outcome: Outcome::Unreadable { place, reason },
        },
        text,
    )
}

fn write_answer(answer: &Answer<'_>, text: &mut String) -> Exit {
    text.push_str(&answer.to_line());
    text.push('\n');
    verify::exit_of(answer)
}

/// The views used last, the latest at the end.
#[derive(Default)]
struct Views(Vec<(Digest, Result<Arc<View>, Reason>)>);

impl Views {
    fn get(&mut self, digest: Digest) -> Option<Result<Arc<View>, Reason>> {
        let index = self.0.iter().position(|(kept, _)| *kept == digest)?;
        let found = self.0.remove(index);
        let view = found.1.clone();
        self.0.push(found);
        Some(view)
    }

    fn keep(&mut self, digest: Digest, view: Result<Arc<View>, Reason>) {
        if self.0.len() >= VIEWS_KEPT {
            drop(self.0.remove(0));
        }
        self.0.push((digest, view));
    }
}

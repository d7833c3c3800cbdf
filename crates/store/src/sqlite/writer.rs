//! The one thread that writes.
//!
//! It takes all calls that wait, carries them out in one transaction, commits once, and only then
//! answers them all. A call that fails is undone alone; when the commit fails, every call in it has
//! failed.
//!
//! Hardly any call fails, and being able to go back to where one began costs a copy of every page
//! that it writes. So they are carried out without that at first; if one fails then, all are undone
//! and carried out again, each inside a savepoint of its own.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use crate::fault::Fault;

/// The most calls in one commit, so that the first of them does not wait for long.
const MOST_AT_ONCE: usize = 256;

/// From how many calls in one commit on more are on their way: then the next commit waits for them.
const SEVERAL: usize = 4;

/// How long it waits. Each commit flushes the disk and writes the pages that all calls share once, so
/// twice as many calls in it cost little more.
const GATHERING: Duration = Duration::from_millis(2);

pub(super) struct Writer {
    /// Taken on drop, which ends the thread.
    calls: Option<Sender<Box<dyn Call>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, Fault> {
        let (calls, waiting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&connection, &waiting))
            .map_err(|error| Fault::Busy(format!("no thread for the writer: {error}")))?;
        Ok(Self {
            calls: Some(calls),
            thread: Some(thread),
        })
    }

    /// Carries `work` out and returns when it is durable.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.write_later(work, move |outcome| {
            // This fails only if the caller is gone, and a caller waits.
            drop(answer.send(outcome));
        });
        answered.recv().map_err(|_| stopped())?
    }

    /// Carries `work` out and undoes it again, whatever else is in the same commit.
    pub(super) fn rehearse<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        self.write(move |connection| {
            say(connection, "SAVEPOINT rehearsal")?;
            // Where it fails the call is undone as any other.
            work(connection)?;
            say(connection, "ROLLBACK TO rehearsal")?;
            Ok(say(connection, "RELEASE rehearsal")?)
        })
    }

    /// Carries `work` out, and tells what came of it when that is durable.
    pub(super) fn write_later<T: Send + 'static>(
        &self,
        work: impl Fn(&Connection) -> Result<T, Fault> + Send + 'static,
        told: impl FnOnce(Result<T, Fault>) + Send + 'static,
    ) {
        let call: Box<dyn Call> = Box::new(Work {
            work,
            outcome: None,
            told,
        });
        let unsent = match &self.calls {
            Some(calls) => calls.send(call).err().map(|unsent| unsent.0),
            None => Some(call),
        };
        if let Some(call) = unsent {
            call.answer(Err(stopped()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and its callers were told.
            drop(thread.join());
        }
    }
}

/// Something to write, and someone who waits for it.
trait Call: Send {
    /// Carries it out inside the open transaction. What fails may leave half of itself there.
    fn attempt(&mut self, connection: &Connection) -> Result<(), Fault>;

    /// Tells whoever waits what came of it, once the transaction is over.
    fn answer(self: Box<Self>, committed: Result<(), Fault>);
}

fn stopped() -> Fault {
    Fault::Bug("the writer has stopped".to_owned())
}

struct Work<T, F, A> {
    work: F,
    outcome: Option<Result<T, Fault>>,
    told: A,
}

impl<T, F, A> Call for Work<T, F, A>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, Fault> + Send,
    A: FnOnce(Result<T, Fault>) + Send,
{
    fn attempt(&mut self, connection: &Connection) -> Result<(), Fault> {
        let outcome = (self.work)(connection);
        let attempted = outcome.as_ref().map(drop).map_err(Clone::clone);
        self.outcome = Some(outcome);
        attempted
    }

    fn answer(self: Box<Self>, committed: Result<(), Fault>) {
        let Self { outcome, told, .. } = *self;
        let skipped = || Err(Fault::Bug("a call was not carried out".to_owned()));
        told(committed.and_then(|()| outcome.unwrap_or_else(skipped)));
    }
}

/// A statement that is read once, although it is said with every call.
fn say(connection: &Connection, statement: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

fn serve(connection: &Connection, waiting: &Receiver<Box<dyn Call>>) {
    let mut together = 0;
    while let Ok(first) = waiting.recv() {
        if together >= SEVERAL {
            gather();
        }
        let mut calls = vec![first];
        calls.extend(waiting.try_iter().take(MOST_AT_ONCE - 1));
        together = calls.len();
        let committed = commit_together(connection, &mut calls);
        for call in calls {
            call.answer(committed.clone());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "to be woken by each call that is awaited would cost what it saves"
)]
fn gather() {
    thread::sleep(GATHERING);
}

fn commit_together(connection: &Connection, calls: &mut [Box<dyn Call>]) -> Result<(), Fault> {
    say(connection, "BEGIN IMMEDIATE")?;
    let mut attempted = calls
        .iter_mut()
        .map(|call| attempt(connection, call.as_mut()));
    let Some(fault) = attempted.find_map(Result::err) else {
        return commit(connection);
    };
    // A full or failing disk has undone it already.
    if !connection.is_autocommit() {
        say(connection, "ROLLBACK")?;
    }
    match calls {
        [_] => Err(fault),
        several => commit_apart(connection, several),
    }
}

/// Carries out each of the calls so that it alone is undone if it fails, and commits once.
fn commit_apart(connection: &Connection, calls: &mut [Box<dyn Call>]) -> Result<(), Fault> {
    say(connection, "BEGIN IMMEDIATE")?;
    for call in calls {
        let attempted = in_savepoint(connection, call.as_mut());
        if connection.is_autocommit() {
            return Err(attempted.err().unwrap_or_else(undone));
        }
    }
    commit(connection)
}

fn attempt(connection: &Connection, call: &mut dyn Call) -> Result<(), Fault> {
    call.attempt(connection)?;
    if connection.is_autocommit() {
        return Err(undone());
    }
    Ok(())
}

/// A full or failing disk makes SQLite undo the whole transaction at once; what came next would be
/// committed alone, before it is complete.
fn undone() -> Fault {
    Fault::Disk("the transaction was undone".to_owned())
}

fn in_savepoint(connection: &Connection, call: &mut dyn Call) -> Result<(), Fault> {
    say(connection, "SAVEPOINT one_call")?;
    let attempted = call.attempt(connection);
    let undone = match &attempted {
        Ok(()) => Ok(()),
        Err(_) => say(connection, "ROLLBACK TO one_call"),
    };
    let ended = undone.and_then(|()| say(connection, "RELEASE one_call"));
    if ended.is_err() {
        // Half of a call must not be committed with the others: undo them all, which they see.
        drop(connection.execute_batch("ROLLBACK"));
    }
    attempted
}

fn commit(connection: &Connection) -> Result<(), Fault> {
    say(connection, "COMMIT").map_err(|error| {
        if !connection.is_autocommit() {
            // If this fails too, the next BEGIN will, and say so.
            drop(connection.execute_batch("ROLLBACK"));
        }
        Fault::from(error)
    })
}

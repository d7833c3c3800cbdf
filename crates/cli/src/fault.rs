//! What can go wrong that is no refusal, and how a run ends.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use avouch_agent::command::{CommandFault, Ending};
use avouch_agent::node::LinkFault;
use avouch_core::id::SpiffeId;
use avouch_core::reason::Reason;
use serde_json::{Value, json};

/// Our side failed: the answer is not known.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A directory stands where a file should.
    #[error("{} is a directory; name the files in it", .0.display())]
    Directory(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {what}: {why}")]
    Read {
        /// Its name.
        what: String,
        /// What the system said.
        why: io::Error,
    },
    /// The system has no store of trusted certificates that could be read.
    #[error("the system's trust store cannot be read: {0}")]
    SystemStore(String),
    /// A thread could not be started or ended in a panic.
    #[error("a worker ended early; this is a bug, please report it")]
    Worker,
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Write(io::Error),
    /// The arguments do not go together.
    #[error("{0}")]
    Usage(String),
    /// No agent serves the socket.
    #[error(
        "no agent serves {address}: {why}; start one with `avouch up`, or name its socket with --socket"
    )]
    NoAgent {
        /// Which socket.
        address: String,
        /// What the system said.
        why: String,
    },
    /// No server answers.
    #[error(
        "no server answers at {server}: {why}; start one with `avouch up`, or name another with --server"
    )]
    NoServer {
        /// Which server.
        server: String,
        /// What the system said.
        why: String,
    },
    /// Something answers, at an address that is for something else.
    #[error("{server} answers, and is not to be called so: {why}")]
    OtherAddress {
        /// Which server.
        server: String,
        /// What it is.
        why: String,
    },
    /// No registration entry is for this process.
    #[error(
        "no identity issued: no registration entry selects this process; the log of the agent names those that come near"
    )]
    NoIdentity,
    /// No registration entry makes this process who it asked to be.
    #[error(
        "no identity issued: no registration entry makes this process {0}; `avouch fetch x509` shows who it is, and the log of the agent names the entries that come near"
    )]
    NotThis(SpiffeId),
    /// A server answers, and is not believed to be the one.
    #[error(
        "{server} answers, and is not believed to be the server: {why}; name the authorities of its certificate with --ca, or call it by a name that stands in there"
    )]
    NotBelieved {
        /// Which server.
        server: String,
        /// What is wrong with what it shows.
        why: String,
    },
    /// A folder or a file in it cannot be used.
    #[error("{}: {why}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What runs has ended, or could not start.
    #[error("{0}")]
    Run(String),
    /// The server refuses.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The server failed.
    #[error(transparent)]
    Server(#[from] avouch_server::Fault),
    /// The node failed.
    #[error(transparent)]
    Node(#[from] LinkFault),
    /// The agent could not run.
    #[error(transparent)]
    Agent(#[from] CommandFault),
    /// The socket of workloads failed.
    #[error(transparent)]
    Workloads(#[from] avouch_agent::Fault),
}

impl From<avouch_server::Refused> for Fault {
    fn from(refused: avouch_server::Refused) -> Self {
        match refused {
            avouch_server::Refused::Fault(fault) => Self::Server(fault),
            avouch_server::Refused::Reason(reason) => Refusal::of(&reason).into(),
        }
    }
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence} ({code})\n  fix: {hint}")]
pub struct Refusal {
    /// The code of the reason.
    pub code: String,
    /// What is wrong.
    pub sentence: String,
    /// The smallest fix.
    pub hint: String,
    /// The answer of the server as it came, if it is one that refuses.
    pub answer: Option<Value>,
}

impl Refusal {
    /// That of a reason which was found here.
    pub fn of(reason: &Reason) -> Self {
        Self {
            code: reason.code().to_owned(),
            sentence: reason.sentence(),
            hint: reason.hint(),
            answer: None,
        }
    }

    /// As `-o json` tells it: in the form in which servers do (RFC 9457).
    pub fn to_json(&self) -> Value {
        let told = || json!({ "code": self.code, "detail": self.sentence, "hint": self.hint });
        self.answer.clone().unwrap_or_else(told)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Fault {
    /// Whether it is that nobody reads on: the reader of a pipe has left, which needs no words.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(why) if why.kind() == io::ErrorKind::BrokenPipe)
    }

    /// How the run ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NoIdentity
            | Self::NotThis(_)
            | Self::Node(LinkFault::Refused(_))
            | Self::Refused(_) => Exit::Rejected,
            Self::Agent(fault) => match fault.ending() {
                Ending::Fault => Exit::Fault,
                Ending::Refused => Exit::Rejected,
                Ending::Usage => Exit::Usage,
            },
            Self::Directory(_)
            | Self::Folder { .. }
            | Self::NoAgent { .. }
            | Self::NoServer { .. }
            | Self::Node(_)
            | Self::NotBelieved { .. }
            | Self::OtherAddress { .. }
            | Self::Run(_)
            | Self::Server(_)
            | Self::Workloads(_)
            | Self::Read { .. }
            | Self::SystemStore(_)
            | Self::Worker
            | Self::Write(_) => Exit::Fault,
        }
    }
}

/// How a run ends; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Accepted, done, clean.
    Accepted,
    /// Our side failed.
    Fault,
    /// The highest finding is grave.
    FindingHigh,
    /// The highest finding is worth knowing.
    FindingInfo,
    /// The highest finding is small.
    FindingLow,
    /// The highest finding is of some weight.
    FindingMedium,
    /// Rejected.
    Rejected,
    /// Undetermined.
    Undetermined,
    /// The arguments do not go together.
    Usage,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Undetermined => 4,
            Self::FindingInfo => 11,
            Self::FindingLow => 12,
            Self::FindingMedium => 13,
            Self::FindingHigh => 14,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

//! A node that serves its workloads what a server says they may hold.
//!
//! ```text
//! server ── Follow ──► Holdings    entries and bundles, as deltas
//!                         │ selects by what was attested
//! server ◄── Issue… ─── Svids      keys are made here and never leave but to their workload
//!                         │
//!                     Entitlement ──► Workload API, SDS
//! ```
//!
//! What is held is served on when the server is away, until it expires. An SVID is renewed when
//! half of its life is over, at a moment that differs from node to node and from SVID to SVID, and
//! at once when its entry has changed or its authority is not to be trusted any more.

mod asking;
mod credentials;
mod evidence;
mod follow;
mod holdings;
mod key;
mod kinds;
mod link;
mod membership;
mod published;
mod relied;
mod serving;
mod svids;
mod tls;
mod tokens;
mod tpm;
mod validity;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use avouch_core::id::SpiffeId;
use avouch_core::time::Time;
use tokio::sync::watch;

use holdings::Holdings;
use kinds::{Wit, X509};
use link::Link;
use svids::Svids;
use tokens::Tokens;

pub use evidence::{Attesting, Evidence, EvidenceFault, Preparation};
pub use key::{KeyFault, MemberKey, NodeKey};
pub use link::{Beside, Joining, LinkFault, ServerTrust};
pub use tpm::TpmKey;

/// A node: it follows one server, and knows what each of its workloads may hold.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    holdings: RwLock<Holdings>,
    x509: Svids<X509>,
    wit: Svids<Wit>,
    tokens: Tokens,
    /// Counts the changes of anything that a workload may hold.
    news: watch::Sender<u64>,
    /// Whether all that the server had to say at first has arrived.
    complete: watch::Sender<bool>,
    /// Why nothing is heard of the server, so that it is said once.
    absence: watch::Sender<Option<Noted>>,
    /// Whether the agent stops, so that nobody minds any more that the server is away.
    stops: AtomicBool,
}

impl Node {
    /// Joins the deployment, or takes up the membership that is kept in the folder, and begins to
    /// follow. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the node may not join, or when what it keeps cannot be read or written.
    pub async fn join(joining: Joining) -> Result<Self, LinkFault> {
        let link = Link::open(joining).await?;
        let node = Self {
            shared: Arc::new(Shared {
                link,
                holdings: RwLock::default(),
                x509: Svids::default(),
                wit: Svids::default(),
                tokens: Tokens::default(),
                news: watch::Sender::new(0),
                complete: watch::Sender::new(false),
                absence: watch::Sender::new(None),
                stops: AtomicBool::new(false),
            }),
        };
        tokio::spawn(follow::follow(Arc::downgrade(&node.shared)));
        tokio::spawn(svids::keep::<X509>(Arc::downgrade(&node.shared)));
        tokio::spawn(svids::keep::<Wit>(Arc::downgrade(&node.shared)));
        tokio::spawn(link::keep(Arc::downgrade(&node.shared)));
        Ok(node)
    }

    /// Who it is.
    pub fn id(&self) -> SpiffeId {
        self.shared.link.id()
    }

    /// Says that the agent stops: where the server of the same program stops with it, that one is no
    /// longer heard of is nothing that someone should look at.
    pub fn stops(&self) {
        self.shared.stops.store(true, Ordering::Relaxed);
    }

    /// Becomes `true` when all that the server had to say at first has arrived.
    pub fn complete(&self) -> watch::Receiver<bool> {
        self.shared.complete.subscribe()
    }
}

impl Shared {
    fn holdings(&self) -> RwLockReadGuard<'_, Holdings> {
        self.holdings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn holdings_mut(&self) -> RwLockWriteGuard<'_, Holdings> {
        self.holdings
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for a change.
    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Says once why nothing is heard of the server, and once that it is back.
    fn note_absence(&self, absence: Absence, why: &str) {
        if self.stops.load(Ordering::Relaxed) {
            return;
        }
        let noted = Noted {
            absence,
            why: why.to_owned(),
        };
        let before = self.absence.send_replace(Some(noted));
        if before.is_some_and(|before| before.absence == absence) {
            return;
        }
        let until = self.x509.first_to_expire();
        let until = until.map_or_else(|| "nothing is held".to_owned(), |time| time.to_string());
        match absence {
            Absence::Away => tracing::warn!(
                why,
                until,
                "the server is away; what is held is served until it expires"
            ),
            Absence::Refused => tracing::warn!(
                why,
                until,
                "the server refuses this node; what is held is served until it expires"
            ),
            Absence::Over => tracing::error!(
                why,
                until,
                "the identity of this node has ended, so it must join again; what is held is served \
                 until it expires"
            ),
        }
    }

    fn note_back(&self) {
        if self.absence.send_replace(None).is_some() {
            tracing::info!("the server is back");
        }
    }

    /// Whether the server is there and wants nothing of this node.
    fn is_refused(&self) -> bool {
        let noted = self.absence.borrow();
        noted
            .as_ref()
            .is_some_and(|noted| noted.absence == Absence::Refused)
    }

    /// Why nothing is heard of the server, as workloads may know it.
    fn why_absent(&self) -> Option<String> {
        let noted = self.absence.borrow();
        let noted = noted.as_ref()?;
        Some(match noted.absence {
            Absence::Away => format!("the server of this node is away ({})", noted.why),
            Absence::Refused => format!("the server refuses this node ({})", noted.why),
            Absence::Over => {
                "the identity of this node has ended, so it must join again".to_owned()
            }
        })
    }
}

/// Why nothing is heard of the server, and what was seen.
#[derive(Debug)]
struct Noted {
    absence: Absence,
    why: String,
}

/// Why nothing is heard of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// It does not answer.
    Away,
    /// It answers, and does not know the node, or has banned it.
    Refused,
    /// What the node would show has ended.
    Over,
}

/// Now, by the clock of the machine, in whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate that reads the clock"
)]
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}

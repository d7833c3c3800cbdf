//! SVIDs with keys that are held for workloads: issued when first asked for, renewed ever after.
//!
//! X.509-SVIDs and WIT-SVIDs live alike; what differs is a [`Kind`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use avouch_api::grpc::node::{KeyForEntry, Refusal};
use avouch_core::id::TenantId;
use avouch_core::time::Time;
use tonic::Status;

use super::holdings::{Entry, EntryKey, Holdings};
use super::key::NodeKey;
use super::kinds::X509;
use super::link::{in_time, innermost};
use super::published::Looked;
use super::validity::Validity;
use super::{Shared, now};

/// How often it is looked whether something is to be renewed.
const TICK: Duration = Duration::from_millis(500);

/// How many SVIDs are asked for at once.
const BATCH: usize = 50;

/// How long an SVID is renewed after its last workload has left, in seconds: a workload that
/// restarts finds it here, even if the server is away.
const KEPT_UNUSED: i64 = 3_600;

/// How long to wait before something that could not be renewed is asked for again.
const RETRY: i64 = 5;

/// What is issued for a key that was made here.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    /// What a workload is given.
    type Svid: Send + Sync;

    /// What a server answers for one key.
    type Answer: Send;

    /// How it is called in the log.
    const NAME: &'static str;

    /// Those that the node holds.
    fn all(shared: &Shared) -> &Svids<Self>;

    /// Asks the server.
    fn ask(
        shared: &Shared,
        tenant: String,
        items: Vec<KeyForEntry>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Status>> + Send;

    /// Why there is none.
    fn refusal(answer: &Self::Answer) -> Option<&Refusal>;

    /// Whether what an authority signed for an entry is to be replaced.
    fn is_distrusted(holdings: &Holdings, entry: &EntryKey, authority: &str) -> bool;

    /// What the server gave, unless it is something else than was asked for.
    fn take(entry: &Entry, key: &NodeKey, answer: Self::Answer) -> Option<Issued<Self>>;
}

/// What the server gave.
pub(super) struct Issued<K: Kind> {
    pub(super) svid: K::Svid,
    /// The authority that signed it, as it is named where it is distrusted.
    pub(super) authority: String,
    /// Its name where it is told what ended (`jti`), if it has one there.
    pub(super) token_id: Option<String>,
    /// From when on it counts as had.
    pub(super) born: Time,
    pub(super) validity: Validity,
}

/// All SVIDs of a kind that are held.
pub(super) struct Svids<K: Kind> {
    held: Mutex<BTreeMap<EntryKey, Held<K>>>,
    /// One asks at a time, so that nothing is asked for twice.
    asking: tokio::sync::Mutex<()>,
}

struct Held<K: Kind> {
    svid: Arc<K::Svid>,
    /// Of the entry that it was issued for.
    revision: u64,
    authority: String,
    token_id: Option<String>,
    born: Time,
    validity: Validity,
    retry_at: Option<Time>,
    /// When it was last given to someone.
    used: Time,
}

impl<K: Kind> Default for Svids<K> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }
}

impl<K: Kind> Svids<K> {
    /// The SVID for an entry as it is now, if a good one is held.
    pub(super) fn of(&self, entry: &Entry, now: Time) -> Option<Arc<K::Svid>> {
        let mut held = self.lock();
        let found = held.get_mut(&entry.key)?;
        if found.revision != entry.revision || found.validity.not_after < now {
            return None;
        }
        found.used = now;
        Some(Arc::clone(&found.svid))
    }

    /// When the first of them expires.
    pub(super) fn first_to_expire(&self) -> Option<Time> {
        let held = self.lock();
        held.values().map(|held| held.validity.not_after).min()
    }

    /// Those of entries of a tenant.
    fn of_tenant(&self, tenant: &TenantId) -> Vec<(EntryKey, Arc<K::Svid>)> {
        let held = self.lock();
        let of_tenant = held.iter().filter(|(key, _)| key.tenant == *tenant);
        of_tenant
            .map(|(key, held)| (key.clone(), Arc::clone(&held.svid)))
            .collect()
    }

    /// The entries, as they are now, of those that are `meant`.
    fn entries_of(
        &self,
        holdings: &Holdings,
        meant: impl Fn(&EntryKey, &Held<K>) -> bool,
    ) -> Vec<Entry> {
        let held = self.lock();
        let meant = held.iter().filter(|(key, held)| meant(key, held));
        meant.filter_map(|(key, _)| holdings.entry(key)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EntryKey, Held<K>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has an SVID issued for each of these entries that has none.
///
/// # Errors
///
/// What failed or was refused first, without secrets; what was issued is held all the same.
pub(super) async fn ensure<K: Kind>(shared: &Shared, entries: &[Entry]) -> Result<(), String> {
    if missing::<K>(shared, entries).is_empty() {
        return Ok(());
    }
    let _asking = K::all(shared).asking.lock().await;
    // Whoever asked before may have asked for these.
    issue::<K>(shared, missing::<K>(shared, entries)).await
}

fn missing<K: Kind>(shared: &Shared, entries: &[Entry]) -> Vec<Entry> {
    let now = now();
    let missing = entries
        .iter()
        .filter(|entry| K::all(shared).of(entry, now).is_none());
    missing.cloned().collect()
}

/// Has SVIDs issued for these entries, whatever is held.
async fn issue<K: Kind>(shared: &Shared, entries: Vec<Entry>) -> Result<(), String> {
    let mut by_tenant: BTreeMap<TenantId, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        let of_tenant = by_tenant.entry(entry.key.tenant.clone()).or_default();
        of_tenant.push(entry);
    }
    let mut first = Ok(());
    for (tenant, entries) in by_tenant {
        for batch in entries.chunks(BATCH) {
            let issued = issue_batch::<K>(shared, &tenant, batch).await;
            first = first.and(issued);
        }
    }
    first
}

async fn issue_batch<K: Kind>(
    shared: &Shared,
    tenant: &TenantId,
    batch: &[Entry],
) -> Result<(), String> {
    let mut keys = Vec::with_capacity(batch.len());
    for _ in batch {
        keys.push(NodeKey::generate().map_err(|fault| fault.to_string())?);
    }
    let items = batch.iter().zip(&keys).map(|(entry, key)| KeyForEntry {
        entry: entry.key.id.clone(),
        public_key: key.public_key().to_vec(),
        facts: entry.key.facts.clone(),
    });
    let answered = in_time(K::ask(shared, tenant.to_string(), items.collect())).await;
    let answers = answered.map_err(|status| innermost(&status))?;
    if answers.len() != batch.len() {
        return Err("the server gave another number of answers than was asked for".to_owned());
    }
    let mut first = Ok(());
    for ((entry, key), answer) in batch.iter().zip(keys).zip(answers) {
        if let Some(refusal) = K::refusal(&answer) {
            let why = format!("{}: {} {}", refusal.code, refusal.sentence, refusal.hint);
            let id = &entry.key.id;
            tracing::warn!(kind = K::NAME, entry = id, why, "an SVID was refused");
            first = first.and(Err(why));
            continue;
        }
        match K::take(entry, &key, answer) {
            Some(issued) => {
                let held = Held::<K>::of(entry, issued);
                K::all(shared).lock().insert(entry.key.clone(), held);
            }
            None => first = first.and(Err(format!("the server gave what is no {}", K::NAME))),
        }
    }
    first
}

impl<K: Kind> Held<K> {
    fn of(entry: &Entry, issued: Issued<K>) -> Self {
        Self {
            svid: Arc::new(issued.svid),
            revision: entry.revision,
            authority: issued.authority,
            token_id: issued.token_id,
            born: issued.born,
            validity: issued.validity,
            retry_at: None,
            used: now(),
        }
    }

    /// Whether another is needed: half of its life is over, or it is believed nowhere any more.
    fn is_due(&self, key: &EntryKey, holdings: &Holdings, now: Time) -> bool {
        if self.validity.renew_at <= now {
            return true;
        }
        // Hardly ever has anything ended.
        if holdings.endings(&key.tenant).is_none() {
            return false;
        }
        let named = (self.token_id.as_deref(), self.born);
        let entry = holdings.entry(key);
        entry.is_some_and(|entry| holdings.has_ended(key, &entry.spiffe_id, named, now))
    }
}

/// Replaces at once what an authority signed that is not to be trusted any more.
pub(super) async fn replace_distrusted<K: Kind>(shared: &Shared) {
    // What is being issued at this moment is looked at too, once it is held.
    let _asking = K::all(shared).asking.lock().await;
    let due = {
        let holdings = shared.holdings();
        K::all(shared).entries_of(&holdings, |key, held| {
            K::is_distrusted(&holdings, key, &held.authority)
        })
    };
    replace::<K>(
        shared,
        due,
        "SVIDs of an authority that is not to be trusted",
    )
    .await;
}

/// Replaces at once what nobody believes by the bundles and the revocation lists that are held now.
pub(super) async fn replace_disbelieved(shared: &Shared, tenant: &TenantId) {
    // As above.
    let _asking = X509::all(shared).asking.lock().await;
    let held = X509::all(shared).of_tenant(tenant);
    let looked = Looked::at(&shared.holdings(), held);
    let now = now();
    // Lists may be long, and workloads are not to wait for them.
    let disbelieved = tokio::task::spawn_blocking(move || looked.disbelieved(now)).await;
    let disbelieved = disbelieved.unwrap_or_else(|error| {
        tracing::error!(%error, "what is believed no more could not be told");
        Vec::new()
    });
    let due = {
        let holdings = shared.holdings();
        let due = disbelieved.iter().filter_map(|key| holdings.entry(key));
        due.collect()
    };
    replace::<X509>(shared, due, "SVIDs that nobody believes any more").await;
}

/// To be called by who alone asks.
async fn replace<K: Kind>(shared: &Shared, due: Vec<Entry>, what: &str) {
    if due.is_empty() {
        return;
    }
    match issue::<K>(shared, due.clone()).await {
        Ok(()) => tracing::info!(svids = due.len(), "{what} were replaced"),
        Err(why) => {
            tracing::error!(why, "{what} could not be replaced yet");
            renew_now::<K>(shared, &due);
        }
    }
}

fn renew_now<K: Kind>(shared: &Shared, entries: &[Entry]) {
    let mut held = K::all(shared).lock();
    for entry in entries {
        if let Some(held) = held.get_mut(&entry.key) {
            held.validity.renew_at = Time::from_unix(0);
        }
    }
}

/// Renews what is due and forgets what nobody needs, for as long as the node is there.
pub(super) async fn keep<K: Kind>(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let due = due::<K>(&shared);
        if due.is_empty() {
            continue;
        }
        let asking = K::all(&shared).asking.lock().await;
        let renewed = issue::<K>(&shared, due.clone()).await;
        drop(asking);
        if let Err(why) = renewed {
            tracing::debug!(why, "some SVIDs were not renewed");
            put_off::<K>(&shared, &due);
        }
        shared.tell();
    }
}

/// What is to be renewed now. What has no entry any more, or was not used for long, is forgotten.
fn due<K: Kind>(shared: &Shared) -> Vec<Entry> {
    let now = now();
    let holdings = shared.holdings();
    let mut held = K::all(shared).lock();
    held.retain(|key, held| {
        let is_used = now.since(held.used) < KEPT_UNUSED;
        holdings.has(key) && is_used
    });
    let due = held.iter().filter(|(key, held)| {
        let may_ask = held.retry_at.is_none_or(|retry_at| retry_at <= now);
        may_ask && held.is_due(key, &holdings, now)
    });
    due.filter_map(|(key, _)| holdings.entry(key)).collect()
}

fn put_off<K: Kind>(shared: &Shared, entries: &[Entry]) {
    let now = now();
    let holdings = shared.holdings();
    let mut held = K::all(shared).lock();
    for entry in entries {
        if let Some(held) = held.get_mut(&entry.key)
            && held.is_due(&entry.key, &holdings, now)
        {
            held.retry_at = Some(now.plus(RETRY));
        }
    }
}

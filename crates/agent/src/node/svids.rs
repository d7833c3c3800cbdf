//! X.509-SVIDs that are held for workloads: issued when first asked for, renewed ever after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use avouch_api::grpc::node::{IssueX509Request, KeyForEntry};
use avouch_core::credential::x509::Certificate;
use avouch_core::id::TenantId;
use avouch_core::time::Time;
use zeroize::Zeroizing;

use super::holdings::{Entry, EntryKey};
use super::key::NodeKey;
use super::link::{in_time, innermost};
use super::validity::Validity;
use super::{Shared, now};
use crate::identities::{PrivateKey, X509Svid};

/// How often it is looked whether something is to be renewed.
const TICK: Duration = Duration::from_millis(500);

/// How many SVIDs are asked for at once.
const BATCH: usize = 50;

/// How long an SVID is renewed after its last workload has left, in seconds: a workload that restarts finds it
/// here, even if the server is away.
const KEPT_UNUSED: i64 = 3_600;

/// How long to wait before something that could not be renewed is asked for again.
const RETRY: i64 = 5;

/// All X.509-SVIDs that are held.
#[derive(Default)]
pub(super) struct Svids {
    held: Mutex<BTreeMap<EntryKey, Held>>,
    /// One asks at a time, so that nothing is asked for twice.
    asking: tokio::sync::Mutex<()>,
}

struct Held {
    svid: Arc<X509Svid>,
    /// Of the entry that it was issued for.
    revision: u64,
    /// The key identifier of the authority that signed it, in hexadecimal.
    authority: String,
    validity: Validity,
    retry_at: Option<Time>,
    /// When it was last given to someone.
    used: Time,
}

impl Svids {
    /// The SVID for an entry as it is now, if a good one is held.
    pub(super) fn of(&self, entry: &Entry, now: Time) -> Option<Arc<X509Svid>> {
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EntryKey, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has an SVID issued for each of these entries that has none.
///
/// # Errors
///
/// What failed or was refused first, without secrets; what was issued is held all the same.
pub(super) async fn ensure(shared: &Shared, entries: &[Entry]) -> Result<(), String> {
    if missing(shared, entries).is_empty() {
        return Ok(());
    }
    let _asking = shared.svids.asking.lock().await;
    // Whoever asked before may have asked for these.
    issue(shared, missing(shared, entries)).await
}

fn missing(shared: &Shared, entries: &[Entry]) -> Vec<Entry> {
    let now = now();
    let missing = entries
        .iter()
        .filter(|entry| shared.svids.of(entry, now).is_none());
    missing.cloned().collect()
}

/// Has SVIDs issued for these entries, whatever is held.
async fn issue(shared: &Shared, entries: Vec<Entry>) -> Result<(), String> {
    let mut by_tenant: BTreeMap<TenantId, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        let of_tenant = by_tenant.entry(entry.key.tenant.clone()).or_default();
        of_tenant.push(entry);
    }
    let mut first = Ok(());
    for (tenant, entries) in by_tenant {
        for batch in entries.chunks(BATCH) {
            let issued = issue_batch(shared, &tenant, batch).await;
            first = first.and(issued);
        }
    }
    first
}

async fn issue_batch(shared: &Shared, tenant: &TenantId, batch: &[Entry]) -> Result<(), String> {
    let mut keys = Vec::with_capacity(batch.len());
    for _ in batch {
        keys.push(NodeKey::generate().map_err(|fault| fault.to_string())?);
    }
    let items = batch.iter().zip(&keys).map(|(entry, key)| KeyForEntry {
        entry: entry.key.id.clone(),
        public_key: key.public_key().to_vec(),
    });
    let request = IssueX509Request {
        tenant: tenant.to_string(),
        items: items.collect(),
    };
    let mut client = shared.link.client();
    let answer = in_time(client.issue_x509(request)).await;
    let answers = answer
        .map_err(|status| innermost(&status))?
        .into_inner()
        .answers;
    if answers.len() != batch.len() {
        return Err("the server gave another number of answers than was asked for".to_owned());
    }
    let mut first = Ok(());
    for ((entry, key), answer) in batch.iter().zip(keys).zip(answers) {
        if let Some(refusal) = answer.refusal {
            let why = format!("{}: {} {}", refusal.code, refusal.sentence, refusal.hint);
            tracing::warn!(entry = entry.key.id, why, "an X.509-SVID was refused");
            first = first.and(Err(why));
            continue;
        }
        match Held::of(entry, &key, answer.certificates) {
            Some(held) => {
                shared.svids.lock().insert(entry.key.clone(), held);
            }
            None => first = first.and(Err("the server gave what is no X.509-SVID".to_owned())),
        }
    }
    first
}

impl Held {
    fn of(entry: &Entry, key: &NodeKey, certificates: Vec<Vec<u8>>) -> Option<Self> {
        let mut certificates = certificates.into_iter();
        let own = certificates.next()?;
        let parsed = Certificate::parse(&own).ok()?;
        let is_ours = parsed.public_key_info() == key.public_key()
            && parsed.uris().any(|uri| uri == entry.spiffe_id.as_str());
        let authority = parsed.authority_key_id()?;
        is_ours.then(|| Self {
            validity: Validity::of(&parsed, now(), parsed.serial()),
            authority: authority.iter().map(|byte| format!("{byte:02x}")).collect(),
            svid: Arc::new(X509Svid {
                spiffe_id: entry.spiffe_id.clone(),
                certificate: own,
                intermediates: certificates.collect(),
                private_key: PrivateKey::from_pkcs8(Zeroizing::new(key.pkcs8().to_vec())),
                hint: entry.hint.clone(),
            }),
            revision: entry.revision,
            retry_at: None,
            used: now(),
        })
    }
}

/// Replaces at once what an authority signed that is not to be trusted any more.
pub(super) async fn replace_distrusted(shared: &Shared) {
    let due: Vec<Entry> = {
        let holdings = shared.holdings();
        let held = shared.svids.lock();
        let distrusted = held
            .iter()
            .filter(|(key, held)| holdings.distrusts(&key.tenant, &held.authority));
        distrusted
            .filter_map(|(key, _)| holdings.entry(key).cloned())
            .collect()
    };
    if due.is_empty() {
        return;
    }
    let _asking = shared.svids.asking.lock().await;
    match issue(shared, due.clone()).await {
        Ok(()) => tracing::info!(
            svids = due.len(),
            "SVIDs of a tainted authority were replaced"
        ),
        Err(why) => {
            tracing::error!(
                why,
                "SVIDs of a tainted authority could not be replaced yet"
            );
            renew_now(shared, &due);
        }
    }
}

fn renew_now(shared: &Shared, entries: &[Entry]) {
    let mut held = shared.svids.lock();
    for entry in entries {
        if let Some(held) = held.get_mut(&entry.key) {
            held.validity.renew_at = Time::from_unix(0);
        }
    }
}

/// Renews what is due and forgets what nobody needs, for as long as the node is there.
pub(super) async fn keep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let due = due(&shared);
        if due.is_empty() {
            continue;
        }
        let asking = shared.svids.asking.lock().await;
        let renewed = issue(&shared, due.clone()).await;
        drop(asking);
        if let Err(why) = renewed {
            tracing::debug!(why, "some SVIDs were not renewed");
            put_off(&shared, &due);
        }
        shared.tell();
    }
}

/// What is to be renewed now. What has no entry any more, or was not used for long, is forgotten.
fn due(shared: &Shared) -> Vec<Entry> {
    let now = now();
    let holdings = shared.holdings();
    let mut held = shared.svids.lock();
    held.retain(|key, held| {
        let is_used = Arc::strong_count(&held.svid) > 1 || now.since(held.used) < KEPT_UNUSED;
        holdings.entry(key).is_some() && is_used
    });
    let due = held.iter().filter(|(_, held)| {
        let may_ask = held.retry_at.is_none_or(|retry_at| retry_at <= now);
        held.validity.renew_at <= now && may_ask
    });
    due.filter_map(|(key, _)| holdings.entry(key).cloned())
        .collect()
}

fn put_off(shared: &Shared, entries: &[Entry]) {
    let now = now();
    let mut held = shared.svids.lock();
    for entry in entries {
        if let Some(held) = held.get_mut(&entry.key)
            && held.validity.renew_at <= now
        {
            held.retry_at = Some(now.plus(RETRY));
        }
    }
}

//! APIs of others that know no identities, only a key: the tenant keeps the key, and lends its use.
//!
//! ```text
//! workload ── SVID ──► rule: who, which method, which path, how often
//!                        │ the key is put in here
//!                        └──► the one host, over TLS ──► answer, without the key
//! ```
//!
//! Nobody gets the key back: not who administers the tenant, not who may use it. It is sent to the
//! host it was given for and to no other, so a new address or header asks for the key again.

mod document;
mod facts;
mod keys;
mod places;
pub(crate) mod uses;
mod using;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{Change, EgressId, EgressRecord, Key, Object};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::fault::{Fault, Refused, unknown};
use crate::fetch::{Fetcher, Permitted};
use crate::plane::Plane;
use crate::quotas::Rate;
use crate::remembered::{Remembered, Room};
use crate::tenant::Tenant;

use document::Egress;
use keys::Keys;
use places::Places;

pub(crate) use using::{Asked, Shown, Webhook, begin, check_webhook};

/// The longest document in bytes.
const LONGEST: usize = 256 << 10;

/// The most secrets of webhooks: one, and what comes before and after it.
const MOST_SECRETS: usize = 3;

/// How many identities of one tenant are counted at once.
const COUNTED: Room = Room {
    entries: 20_000,
    bytes: 0,
};

/// For how many seconds a count says something: then a bound per minute is whole again.
const COUNTED_FOR: i64 = 60;

/// Who is counted for what: by the number of a rule.
type Counted = (EgressId, usize, SpiffeId);

/// What is known of APIs of others, and how often each identity has used them.
pub(crate) struct Egresses {
    read: Mutex<BTreeMap<(TenantId, EgressId), Known>>,
    counted: Remembered<Counted, Rate>,
    places: Places,
    fetcher: Fetcher,
}

/// An API as it was read, and whether it has refused the key it was given for now.
#[derive(Clone)]
pub(crate) struct Known {
    record: EgressRecord,
    egress: Arc<Egress>,
    keys: Arc<Keys>,
}

impl Egresses {
    /// Forgets the APIs of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|(of, _), _| of != tenant);
        self.counted.forget_tenant(tenant);
    }

    pub(crate) fn calling(permitted: Permitted) -> Self {
        Self {
            read: Mutex::default(),
            counted: Remembered::within(COUNTED),
            places: Places::default(),
            fetcher: Fetcher::for_workloads(permitted),
        }
    }

    fn known(&self, tenant: &Tenant, record: &EgressRecord) -> Result<Known, Fault> {
        let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (tenant.id().clone(), record.id.clone());
        if let Some(known) = all.get(&place)
            && known.record == *record
        {
            return Ok(known.clone());
        }
        let egress = Egress::read(&record.document);
        let egress = egress.map_err(|reason| Fault::Stored(reason.sentence()))?;
        let keys = Keys::open(tenant, record)?;
        // Where the keys are the same, the API refuses the same one as before.
        let keys = match all.get(&place) {
            Some(known) if known.keys.are(&keys) => Arc::clone(&known.keys),
            Some(_) | None => Arc::new(keys),
        };
        let known = Known {
            record: record.clone(),
            egress: Arc::new(egress),
            keys,
        };
        all.insert(place, known.clone());
        Ok(known)
    }

    /// Drops the keys of an API that is gone.
    fn forget(&self, tenant: &Tenant, id: &EgressId) {
        let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(tenant.id().clone(), id.clone()));
    }

    /// How often an identity may use a rule, and has.
    fn rate(&self, tenant: &TenantId, counted: Counted, now: Time) -> Arc<Rate> {
        let until = now.plus(COUNTED_FOR);
        self.counted.held(tenant, counted, until, now)
    }
}

impl Plane {
    /// Lets workloads use an API of others. `key` stays as it is if nobody gives another one, and
    /// the API is where it was; so do the secrets of its webhooks.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, `issue.object_malformed`, or what failed on our side.
    pub(crate) fn put_egress(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        document: &Value,
        given: Given,
    ) -> Result<EgressRecord, Refused> {
        let id = EgressId::parse(name);
        let id =
            id.ok_or_else(|| malformed("name", "is no name of letters, digits, `.`, `_` and `-`"))?;
        let text = document.to_string();
        if text.len() > LONGEST {
            return Err(malformed("rules", "are too long together").into());
        }
        let egress = Egress::read(&text)?;
        self.settle(tenant, || {
            let before = tenant.read(|snapshot| snapshot.egresses.get(&id).cloned());
            let before = before.map(|before| self.egresses.known(tenant, &before));
            let before = before.transpose()?;
            let secrets = before.as_ref().map(|known| known.keys.webhook().to_vec());
            let secrets = webhook_secrets(&egress, &given, secrets.unwrap_or_default())?;
            let keys = match (&given.key, before) {
                (Some(key), _) => {
                    check_key(&egress, key)?;
                    Keys::of(key.clone())
                }
                (None, Some(known)) => {
                    // Whoever may say where the key goes could send it to themselves.
                    if !goes_the_same_way(&known.egress, &egress) {
                        let detail = "must be given again where the address, the authority or the header is another";
                        return Err(malformed("key", detail).into());
                    }
                    known.keys.as_ref().clone()
                }
                (None, None) => return Err(malformed("key", "is missing").into()),
            };
            let keys = keys.checking_with(secrets);
            kept(tenant, id.clone(), text.clone(), &keys)
        })
    }

    /// Gives an API the key that comes after the one it has. Both are good until
    /// [`Plane::promote_egress`]; the later one is used once the API refuses the earlier. One that
    /// waits already is in the way, because another server may have found that it alone is good;
    /// `is_forced` has the new one take its place all the same.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.object_malformed`, `issue.egress_key_waits`, or what failed on
    /// our side.
    pub(crate) fn rotate_egress(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        key: Zeroizing<String>,
        is_forced: bool,
    ) -> Result<EgressRecord, Refused> {
        self.settle(tenant, || {
            let record = find(tenant, name)?;
            let known = self.egresses.known(tenant, &record)?;
            check_key(&known.egress, &key)?;
            if known.keys.has_next() && !is_forced {
                let egress = record.id.to_string();
                return Err(Reason::IssueEgressKeyWaits { egress }.into());
            }
            let keys = known.keys.followed_by(key.clone());
            kept(tenant, record.id, record.document, &keys)
        })
    }

    /// Forgets the earlier of two keys.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, `issue.conflict` if there is no later one, or what failed on our side.
    pub(crate) fn promote_egress(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
    ) -> Result<EgressRecord, Refused> {
        self.settle(tenant, || {
            let record = find(tenant, name)?;
            let known = self.egresses.known(tenant, &record)?;
            let keys = known.keys.promoted().ok_or_else(|| Reason::IssueConflict {
                detail: "there is no key that comes next".to_owned(),
            })?;
            kept(tenant, record.id, record.document, &keys)
        })
    }

    /// Lets nobody use an API any more, and forgets its keys.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown`, or what failed on our side.
    pub(crate) fn remove_egress(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let record = find(tenant, name)?;
        self.apply(tenant, &[Change::Remove(Key::Egress(record.id.clone()))])?;
        self.egresses.forget(tenant, &record.id);
        Ok(())
    }

    /// The digests of the keys of an API, the one that is used now first: enough to tell them apart.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn keys_of_egress(
        &self,
        tenant: &Arc<Tenant>,
        record: &EgressRecord,
    ) -> Result<Vec<String>, Fault> {
        Ok(self.egresses.known(tenant, record)?.keys.digests(tenant))
    }

    /// The digests of the secrets of its webhooks.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn webhook_secrets_of_egress(
        &self,
        tenant: &Arc<Tenant>,
        record: &EgressRecord,
    ) -> Result<Vec<String>, Fault> {
        let known = self.egresses.known(tenant, record)?;
        let secrets = known.keys.webhook().iter();
        Ok(secrets.map(|secret| keys::digest(tenant, secret)).collect())
    }
}

/// What is given with the document of an API, and kept under seal.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) key: Option<Zeroizing<String>>,
    pub(crate) webhook_secrets: Option<Vec<Zeroizing<String>>>,
}

/// The secrets of webhooks as they are from now on; none where none are checked.
fn webhook_secrets(
    egress: &Egress,
    given: &Given,
    before: Vec<Zeroizing<String>>,
) -> Result<Vec<Zeroizing<String>>, Reason> {
    const NAME: &str = "webhook_secrets";
    let secrets = match (&egress.webhook, &given.webhook_secrets) {
        (None, Some(_)) => return Err(malformed(NAME, "go with a member `webhook`")),
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(secrets)) => secrets.clone(),
        (Some(_), None) => before,
    };
    if secrets.is_empty() || secrets.len() > MOST_SECRETS {
        return Err(malformed(NAME, "must be one to three"));
    }
    if !secrets.iter().all(|secret| is_key(secret)) {
        return Err(malformed(NAME, "must be 8 to 4096 visible characters each"));
    }
    Ok(secrets)
}

/// What is to be stored of an API.
fn kept(
    tenant: &Tenant,
    id: EgressId,
    document: String,
    keys: &Keys,
) -> Result<(EgressRecord, Vec<Change>), Refused> {
    let record = EgressRecord {
        secret: keys.sealed(tenant, &id)?,
        id,
        document,
    };
    let put = Change::Put(Object::Egress(record.clone()));
    Ok((record, vec![put]))
}

/// An API of a tenant by what may be its name.
pub(crate) fn find(tenant: &Tenant, name: &str) -> Result<EgressRecord, Reason> {
    let id = EgressId::parse(name);
    let found = id.and_then(|id| tenant.read(|snapshot| snapshot.egresses.get(&id).cloned()));
    found.ok_or_else(|| unknown("egress", name))
}

/// Whether a key would be sent to the same place in the same way.
fn goes_the_same_way(one: &Egress, other: &Egress) -> bool {
    one.base == other.base
        && one.header == other.header
        && one.authorities == other.authorities
        && one.header_with("") == other.header_with("")
}

fn check_key(egress: &Egress, key: &str) -> Result<(), Reason> {
    if is_key(key) && egress.header_with(key).is_some() {
        return Ok(());
    }
    Err(malformed("key", "must be 8 to 4096 visible characters"))
}

fn is_key(key: &str) -> bool {
    (8..=4096).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn malformed(member: &str, detail: &str) -> Reason {
    Reason::IssueObjectMalformed {
        object: "egress",
        member: member.to_owned(),
        detail: detail.to_owned(),
    }
}

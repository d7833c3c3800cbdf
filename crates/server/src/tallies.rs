//! How often each who vouches was relied on, and each API of others used: by day, so that a tenant
//! sees on whom it depends and who depends on it.
//!
//! Counted in memory, where a decision costs nothing but a look-up, and added each minute to what is
//! stored, on whichever server: a write rests on the state that was looked at. What was counted since
//! then is lost when a server is killed, and told so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_store::{Change, Key, Object, Sequence, TallyId, TallyRecord};
use serde_json::{Map, Value, json};

use crate::egress::uses;
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// How many days are kept.
pub(crate) const DAYS: i64 = 30;

/// The seconds of a day.
const DAY: i64 = 86_400;

/// How often static credentials are looked at where something changes all the time, in seconds.
const LOOK_EVERY: i64 = 600;

/// The most names of one kind that are counted in a day, beside those of anchors, of which there are
/// only so many; what is over that is counted as one.
const MOST_NAMES: usize = 2_000;

/// What is counted where there is no room for another name.
const OTHERS: &str = "(others) done (others)";

/// What was counted and is not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    counts: Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>,
    /// When its static credentials were looked at last, and as they were after which change.
    noted: Mutex<Option<(Sequence, Time)>>,
}

impl Tallies {
    /// Counts an acceptance.
    pub(crate) fn count(&self, verdict: &Verdict) {
        let Verdict::Accept(sealed) = verdict else {
            return;
        };
        self.count_anchor(&sealed.preview().anchor().anchor);
    }

    /// Counts an acceptance that rested on this anchor.
    pub(crate) fn count_anchor(&self, anchor: &Anchor) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = counts.entry(anchor.kind.name()).or_default();
        let name = voucher(anchor);
        match of_kind.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(of_kind.insert(name.to_owned(), 1)),
        }
    }

    /// Counts something else than an acceptance, whose names may be many.
    pub(crate) fn count_named(&self, kind: &'static str, name: String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = counts.entry(kind).or_default();
        let has_room = of_kind.len() < MOST_NAMES || of_kind.contains_key(&name);
        let name = if has_room { name } else { OTHERS.to_owned() };
        *of_kind.entry(name).or_default() += 1;
    }

    /// Whether the static credentials of the tenant are noted as they were after a change, or were so
    /// lately that another look says little: what is counted moves the number each minute.
    pub(crate) fn is_noted(&self, at: Sequence, now: Time) -> bool {
        let noted = *self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|(last, when)| last == at || (0..LOOK_EVERY).contains(&now.since(when)))
    }

    pub(crate) fn note(&self, at: Sequence, now: Time) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = Some((at, now));
    }

    /// What was counted of a kind by day, with what is not stored yet.
    pub(crate) fn days(
        &self,
        tenant: &Tenant,
        kind: &str,
        today: Time,
    ) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut days: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for record in stored_days(tenant) {
            let document = read(&record.document);
            let Some(names) = document.get(kind).and_then(Value::as_object) else {
                continue;
            };
            let counts = names
                .iter()
                .map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default()));
            days.insert(record.id.as_str().to_owned(), counts.collect());
        }
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = counts.get(kind) {
            let today = days.entry(day_of(today)).or_default();
            for (name, count) in names {
                *today.entry(name.clone()).or_default() += count;
            }
        }
        days
    }

    fn take(&self) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, taken: BTreeMap<&'static str, BTreeMap<String, u64>>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, names) in taken {
            let of_kind = counts.entry(kind).or_default();
            for (name, count) in names {
                *of_kind.entry(name).or_default() += count;
            }
        }
    }

    fn add_to(&self, total: &mut BTreeMap<(String, String), u64>) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, names) in counts.iter().filter(|(kind, _)| is_of_vouchers(kind)) {
            for (name, count) in names {
                let key = ((*kind).to_owned(), name.clone());
                *total.entry(key).or_default() += count;
            }
        }
    }
}

/// Who vouches, as they are called: an issuer, a provider, a trust domain, or the name of the anchor.
pub(crate) fn voucher(anchor: &Anchor) -> &str {
    match &anchor.kind {
        AnchorKind::Federation(federation) => federation.entity_id(),
        AnchorKind::Issuer(issuer) => issuer.issuer(),
        AnchorKind::Saml(provider) => provider.entity_id(),
        AnchorKind::TrustDomain(bundle) => bundle.trust_domain.as_str(),
        AnchorKind::ApiKey(_) | AnchorKind::Certificate(_) | AnchorKind::Ssh(_) => &anchor.name,
    }
}

/// What was counted in a while.
pub(crate) struct Tallied {
    /// How many decisions rested on whom, by kind and name.
    pub(crate) by_voucher: BTreeMap<(String, String), u64>,
    /// The first day on which something was counted, if anything was.
    pub(crate) since: Option<String>,
}

impl Plane {
    /// What was counted in the days that are kept, and what is not stored yet.
    pub(crate) fn tallied(&self, tenant: &Tenant) -> Tallied {
        let oldest = day_of(self.now().plus(-(DAYS - 1) * DAY));
        let mut by_voucher = BTreeMap::new();
        let mut since = None;
        let days = stored_days(tenant).into_iter();
        for record in days.filter(|record| record.id.as_str() >= oldest.as_str()) {
            since.get_or_insert_with(|| record.id.as_str().to_owned());
            let document = read(&record.document).into_iter();
            for (kind, names) in document.filter(|(kind, _)| is_of_vouchers(kind)) {
                for (name, count) in names.as_object().into_iter().flatten() {
                    let key = (kind.clone(), name.clone());
                    *by_voucher.entry(key).or_default() += count.as_u64().unwrap_or_default();
                }
            }
        }
        tenant.tallies.add_to(&mut by_voucher);
        if since.is_none() && !by_voucher.is_empty() {
            since = Some(day_of(self.now()));
        }
        Tallied { by_voucher, since }
    }

    /// Adds what was counted to what is stored, and forgets days that are over for long.
    ///
    /// # Errors
    ///
    /// What failed on our side; then it is counted on, and added with the next. One tenant's failure
    /// keeps no other's from being stored.
    pub fn store_tallies(&self) -> Result<(), Refused> {
        let mut done = Ok(());
        let tenants = self.open_tenants();
        for tenant in &tenants {
            let taken = tenant.tallies.take();
            if taken.is_empty() {
                continue;
            }
            if let Err(failed) = self.add_tally(tenant, &taken) {
                tenant.tallies.put_back(taken);
                done = Err(failed);
            }
        }
        // It takes longer, and nobody's counts wait for it.
        for tenant in &tenants {
            if let Err(failed) = self.note_secrets(tenant) {
                done = Err(failed);
            }
        }
        done
    }

    fn add_tally(
        &self,
        tenant: &Arc<Tenant>,
        counted: &BTreeMap<&'static str, BTreeMap<String, u64>>,
    ) -> Result<(), Refused> {
        let now = self.now();
        let (today, oldest) = (day_of(now), day_of(now.plus(-(DAYS - 1) * DAY)));
        let id = TallyId::parse(&today);
        let id = id.ok_or_else(|| Fault::Bug(format!("{today} is no name of a day")))?;
        self.settle(tenant, || {
            let (mut document, gone) = tenant.read(|snapshot| {
                let record = snapshot.tallies.get(&id);
                let document = record.map(|record| read(&record.document));
                let days = snapshot.tallies.keys();
                let gone = days.filter(|day| day.as_str() < oldest.as_str());
                let gone: Vec<TallyId> = gone.cloned().collect();
                (document.unwrap_or_default(), gone)
            });
            for (kind, names) in counted {
                let of_kind = document.entry(*kind).or_insert_with(|| json!({}));
                for (name, count) in names {
                    add(of_kind, is_of_vouchers(kind), name, *count);
                }
            }
            let record = TallyRecord {
                id: id.clone(),
                document: Value::Object(document).to_string(),
            };
            let mut changes = vec![Change::Put(Object::Tally(record))];
            changes.extend(gone.into_iter().map(|day| Change::Remove(Key::Tally(day))));
            Ok(((), changes))
        })
    }
}

/// The days as they are stored, the first first: nobody waits for the tenant while they are read.
fn stored_days(tenant: &Tenant) -> Vec<TallyRecord> {
    tenant.read(|snapshot| {
        let records = snapshot.tallies.values();
        let days = records.filter(|record| is_day(record.id.as_str()));
        days.cloned().collect()
    })
}

/// Whether what is counted under a kind are acceptances.
fn is_of_vouchers(kind: &str) -> bool {
    kind != uses::KIND
}

fn add(of_kind: &mut Value, is_unbounded: bool, name: &str, count: u64) {
    let Some(of_kind) = of_kind.as_object_mut() else {
        return;
    };
    let has_room = is_unbounded || of_kind.len() < MOST_NAMES || of_kind.contains_key(name);
    let name = if has_room { name } else { OTHERS };
    let before = of_kind
        .get(name)
        .and_then(Value::as_u64)
        .unwrap_or_default();
    of_kind.insert(name.to_owned(), before.saturating_add(count).into());
}

/// A tally that cannot be read counts nothing.
fn read(document: &str) -> Map<String, Value> {
    match serde_json::from_str(document) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The name of a day: `2026-11-29`. Names of days are in the order of the days.
fn day_of(time: Time) -> String {
    time.to_string().chars().take(10).collect()
}

/// Whether this is the name of a day: beside days there is one record more, of static credentials.
fn is_day(name: &str) -> bool {
    name.len() == day_of(Time::from_unix(0)).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_credentials_are_looked_at_when_something_has_changed_and_not_each_minute() {
        let at = Time::from_unix;
        let tallies = Tallies::default();
        let [one, two] = [1, 2].map(Sequence::of);
        assert!(!tallies.is_noted(one, at(0)));
        tallies.note(one, at(0));
        assert!(tallies.is_noted(one, at(100_000)));
        assert!(tallies.is_noted(two, at(LOOK_EVERY - 1)));
        assert!(!tallies.is_noted(two, at(LOOK_EVERY)));
        // A clock that was set back keeps nobody from looking.
        assert!(!tallies.is_noted(two, at(-1)));
    }
}

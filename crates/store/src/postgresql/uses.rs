//! What may be used once, in PostgreSQL. The key of the table makes one of many the first, on
//! whichever server they are: who comes second waits until the first has committed, or takes its
//! place if that fails.
//!
//! Each use alone would cost a commit, so those that wait are written together ([`Gathered`]), and
//! with them the intents of what they are used for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::{mem, slice};

use avouch_core::id::{Digest, TenantId};
use avouch_core::time::Time;

use super::session::Session;
use super::statements::{head, record_intents};
use crate::change::Sequence;
use crate::fault::{Conflict, Fault};
use crate::intent::IntentRow;
use crate::single_use::{SingleUse, UseKind, Used};
use crate::store::MOST_FORGOTTEN;

/// The most uses and intents in one transaction, so that the first of them does not wait for long.
const MOST_AT_ONCE: usize = 1_024;

/// Calls that wait to be carried out together.
#[derive(Default)]
pub(super) struct Gathered(Mutex<Vec<Waiting>>);

/// A call and who waits for its answer.
pub(super) struct Waiting {
    pub(super) tenant: TenantId,
    /// The number of the last change of the tenant that the caller holds.
    pub(super) held: Sequence,
    pub(super) uses: Vec<SingleUse>,
    /// What is recorded if all of it is used for the first time.
    pub(super) intents: Vec<IntentRow>,
    pub(super) told: Box<dyn FnOnce(Result<Vec<Used>, Fault>) + Send>,
}

impl Gathered {
    /// Puts a call beside those that wait.
    pub(super) fn add(&self, call: Waiting) {
        self.lock().push(call);
    }

    /// Tells all that wait that nobody will carry them out.
    pub(super) fn give_up(&self, fault: &Fault) {
        let calls = mem::take(&mut *self.lock());
        for call in calls {
            (call.told)(Err(fault.clone()));
        }
    }

    /// Carries out what waits in one transaction, and then answers it. Another connection may have
    /// done so before; then there is nothing to do.
    pub(super) fn carry_out(&self, session: &mut Session) {
        loop {
            let calls = self.take();
            if calls.is_empty() {
                return;
            }
            let outcomes: Outcomes = match together(session, &calls) {
                // Whose conflict it is shows when each is carried out alone.
                Err(Fault::Conflict(_)) => calls
                    .iter()
                    .map(|call| {
                        let mut alone = together(session, slice::from_ref(call))?;
                        alone.pop().unwrap_or_else(|| Ok(Vec::new()))
                    })
                    .collect(),
                Ok(outcomes) => outcomes,
                Err(fault) => calls.iter().map(|_| Err(fault.clone())).collect(),
            };
            for (call, outcome) in calls.into_iter().zip(outcomes) {
                (call.told)(outcome);
            }
        }
    }

    /// Those who wait longest, as many as may go together; one call is never taken apart.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let mut size = 0;
        let fits = waiting.iter().take_while(|call| {
            let is_first = size == 0;
            size += (call.uses.len() + call.intents.len()).max(1);
            is_first || size <= MOST_AT_ONCE
        });
        let count = fits.count();
        let later = waiting.split_off(count);
        mem::replace(&mut waiting, later)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        // The list is whole at any moment, whoever panicked while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of each of several calls.
type Outcomes = Vec<Result<Vec<Used>, Fault>>;

fn together(session: &mut Session, calls: &[Waiting]) -> Result<Outcomes, Fault> {
    session.write(|session| use_and_record_all(session, calls))
}

fn use_and_record_all(session: &mut Session, calls: &[Waiting]) -> Result<Outcomes, Fault> {
    let outcomes = use_all(session, calls)?;
    let used = calls.iter().zip(&outcomes);
    let recorded = used.filter(|(_, told)| told.as_deref().is_ok_and(Used::are_first));
    let mut intents: BTreeMap<&TenantId, Vec<IntentRow>> = BTreeMap::new();
    for (call, _) in recorded {
        let of_tenant = intents.entry(&call.tenant).or_default();
        of_tenant.extend_from_slice(&call.intents);
    }
    for (tenant, mut intents) in intents {
        intents.sort_by(|one, other| one.id.cmp(&other.id));
        record_intents(session, tenant, &intents)?;
    }
    Ok(outcomes)
}

/// Uses and records for one call, in a transaction that is open.
pub(super) fn use_and_record(session: &mut Session, call: &Waiting) -> Result<Vec<Used>, Fault> {
    let mut outcomes = use_and_record_all(session, slice::from_ref(call))?;
    outcomes.pop().unwrap_or_else(|| Ok(Vec::new()))
}

type Known = BTreeMap<String, Sequence>;

/// Where a thing stands in the table.
type Place<'a> = (&'a str, &'a str, &'a [u8]);

fn place<'a>(tenant: &'a TenantId, one: &'a SingleUse) -> Place<'a> {
    let digest = one.digest.as_bytes().as_slice();
    (tenant.as_str(), one.kind.name(), digest)
}

/// What each call is told. A conflict of one is no matter of the others.
fn use_all(session: &mut Session, calls: &[Waiting]) -> Result<Outcomes, Fault> {
    let known = known_tenants(session, calls)?;
    let mut uses: Vec<(Place<'_>, &SingleUse)> = calls
        .iter()
        .filter(|call| is_known(&known, call))
        .flat_map(|call| call.uses.iter().map(|one| (place(&call.tenant, one), one)))
        .collect();
    // Two transactions that want the same things take them in the same order, so they never wait
    // for each other. The order is stable: of two uses of one thing, who asked first is the first.
    uses.sort_by_key(|(place, _)| *place);
    let inserted = match uses.as_slice() {
        [] => 0,
        uses => insert(session, uses)?,
    };
    let is_everyone_first = usize::try_from(inserted).ok() == Some(uses.len());
    let before = if is_everyone_first {
        BTreeMap::new()
    } else {
        find(session, &uses)?
    };
    let told = |call: &Waiting| {
        if !is_known(&known, call) {
            return Err(Conflict::UnknownTenant(call.tenant.clone()).into());
        }
        let each = call.uses.iter().map(|one| {
            if is_everyone_first {
                return Ok(Used::First);
            }
            let (tenant, kind, digest) = place(&call.tenant, one);
            let stored = before.get(&(tenant.to_owned(), kind.to_owned(), digest.to_vec()));
            // It was in the way a moment ago, and has been forgotten since: it had expired.
            let (first, at) = stored
                .ok_or_else(|| Fault::Busy("what was used before is being forgotten".to_owned()))?;
            Ok(Used::told(one.attempt, first, *at))
        });
        each.collect()
    };
    Ok(calls.iter().map(told).collect())
}

/// With which number each of the tenants began that are there.
fn known_tenants(session: &mut Session, calls: &[Waiting]) -> Result<Known, Fault> {
    let wanted: BTreeSet<&str> = calls.iter().map(|call| call.tenant.as_str()).collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let rows = session.query(
        // Whoever removes one waits until this is over.
        "SELECT id, begins FROM tenant WHERE id = ANY($1) AND NOT removed
         ORDER BY id COLLATE \"C\" FOR KEY SHARE",
        &[&wanted],
    )?;
    let known = rows.iter().map(|row| {
        let begins = Sequence::from_stored(row.try_get("begins")?)?;
        Ok((row.try_get("id")?, begins))
    });
    known.collect()
}

/// Whether the tenant is there that is meant, and not another that has its name.
fn is_known(known: &Known, call: &Waiting) -> bool {
    let begins = known.get(call.tenant.as_str());
    begins.is_some_and(|begins| *begins <= call.held)
}

fn insert(session: &mut Session, uses: &[(Place<'_>, &SingleUse)]) -> Result<u64, Fault> {
    let (tenants, kinds, digests) = columns(uses);
    let attempts: Vec<&[u8]> = uses.iter().map(|(_, one)| one.attempt.bytes()).collect();
    let used: Vec<i64> = uses.iter().map(|(_, one)| one.at.unix()).collect();
    let until: Vec<i64> = uses.iter().map(|(_, one)| one.until.unix()).collect();
    session.execute(
        "INSERT INTO single_use (tenant, kind, digest, attempt, used, until)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[],
                              $6::bigint[])
         ON CONFLICT (tenant, kind, digest) DO NOTHING",
        &[&tenants, &kinds, &digests, &attempts, &used, &until],
    )
}

type Columns<'a> = (Vec<&'a str>, Vec<&'a str>, Vec<&'a [u8]>);

fn columns<'a>(uses: &[(Place<'a>, &SingleUse)]) -> Columns<'a> {
    let tenants = uses.iter().map(|((tenant, _, _), _)| *tenant).collect();
    let kinds = uses.iter().map(|((_, kind, _), _)| *kind).collect();
    let digests = uses.iter().map(|((_, _, digest), _)| *digest).collect();
    (tenants, kinds, digests)
}

/// Who used each of these things first, and when.
type Firsts = BTreeMap<(String, String, Vec<u8>), (Vec<u8>, Time)>;

fn find(session: &mut Session, uses: &[(Place<'_>, &SingleUse)]) -> Result<Firsts, Fault> {
    let (tenants, kinds, digests) = columns(uses);
    let rows = session.query(
        "SELECT single_use.tenant, single_use.kind, single_use.digest, attempt, used
         FROM unnest($1::text[], $2::text[], $3::bytea[]) AS wanted (tenant, kind, digest)
         JOIN single_use USING (tenant, kind, digest)",
        &[&tenants, &kinds, &digests],
    )?;
    rows.iter()
        .map(|row| {
            let place = (
                row.try_get("tenant")?,
                row.try_get("kind")?,
                row.try_get("digest")?,
            );
            let at = Time::from_unix(row.try_get("used")?);
            Ok((place, (row.try_get("attempt")?, at)))
        })
        .collect()
}

pub(super) fn used(
    session: &mut Session,
    tenant: &TenantId,
    kind: UseKind,
    digest: &Digest,
) -> Result<Option<Time>, Fault> {
    if head(session, tenant)?.is_none() {
        return Ok(None);
    }
    let digest = digest.as_bytes().as_slice();
    let rows = session.query(
        "SELECT used FROM single_use WHERE tenant = $1 AND kind = $2 AND digest = $3",
        &[&tenant.as_str(), &kind.name(), &digest],
    )?;
    let used = rows.first().map(|row| row.try_get("used")).transpose()?;
    Ok(used.map(Time::from_unix))
}

/// Several servers may forget at once; each takes what the others leave.
pub(super) fn forget_uses(session: &mut Session, before: Time) -> Result<u64, Fault> {
    session.execute(
        "DELETE FROM single_use WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM single_use WHERE until < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        &[&before.unix(), &MOST_FORGOTTEN],
    )
}

//! Forgetting what nobody can need any more, so that what comes and goes leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::TenantId;
use avouch_core::reason::Reason;
use avouch_store::{Change, Key, Over, OverKind, Sequence, SignalKind, Snapshot};

use super::{KnownTenant, OPERATOR, Plane};
use crate::fault::{Fault, Refused};
use crate::nodes::tokens::REMEMBERED as TOKENS_REMEMBERED;
use crate::signals;
use crate::tenant::Tenant;

/// How much longer than its end a use is remembered, in seconds: so far apart may the clocks of
/// servers be that share a store (docs/how-to/exchange.md), or one that jumps.
const USES_MARGIN: i64 = 3_600;

/// How long answers about certificates stay on record after their end, in seconds: whoever asks has
/// them signed, and nothing is looked for among them.
const ANSWERS_KEPT: i64 = 3_600;

/// How much of what is over of one tenant is removed at once. All that wait for the tenant wait for that.
const MOST_REMOVED: usize = 5_000;

impl Plane {
    /// Forgets what was used once and would not be accepted any more.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_uses(&self) -> Result<u64, Fault> {
        let before = self.now().plus(-USES_MARGIN);
        let mut all = 0;
        loop {
            let forgotten = self.store.forget_uses(&OPERATOR, before)?;
            all += forgotten;
            if forgotten == 0 {
                return Ok(all);
            }
        }
    }

    /// Forgets the intents of credentials that ended longer ago than the deployment keeps them, and
    /// those of answers about certificates soon. What has not ended stays, so whatever can be revoked
    /// can be found; lists of revoked certificates are kept by themselves.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_intents(&self) -> Result<u64, Fault> {
        let kept = i64::from(self.settings.intents_kept);
        let before = self.now().plus(-kept);
        let of_answers = self.now().plus(-kept.min(ANSWERS_KEPT));
        let mut all = 0_u64;
        for tenant in self.all_known() {
            loop {
                let answers = self.store.forget_answers(tenant.id(), of_answers)?;
                let others = self.store.forget_intents(tenant.id(), before)?;
                if answers == 0 && others == 0 {
                    break;
                }
                all = all.saturating_add(answers).saturating_add(others);
            }
        }
        Ok(all)
    }

    /// Removes what is over of all tenants, whether anyone has needed them or not: entries, join tokens
    /// that nobody can use any more, a while after they could not, endings that end nothing, and what
    /// was to be told of long ago. Whoever counts what there is counts none of it from then on, on any
    /// server. A tenant for which it fails does not keep the others from it.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub fn remove_over(&self) -> Result<(), Refused> {
        let now = self.now();
        let before = |kind| match kind {
            OverKind::JoinToken => now.plus(-TOKENS_REMEMBERED),
            OverKind::Entry | OverKind::Ended | OverKind::Notice => now,
        };
        let kinds = [
            OverKind::Entry,
            OverKind::JoinToken,
            OverKind::Ended,
            OverKind::Notice,
        ];
        let over = kinds.map(|kind| Over {
            kind,
            by: before(kind),
        });
        let mut first = Ok(());
        for id in self.store.tenants_with_over(&OPERATOR, &over)? {
            if let Err(error) = self.remove_over_of(&id, &over) {
                tracing::error!(tenant = %id, %error, "what is over could not be removed");
                first = first.and(Err(error));
            }
        }
        first
    }

    fn remove_over_of(&self, id: &TenantId, over: &[Over]) -> Result<(), Refused> {
        let Some(known) = self.known(id) else {
            // It is heard of soon.
            return Ok(());
        };
        // Whoever is told of what goes is told by a tenant that is open.
        let tenant = match known.opened() {
            Some(tenant) => Some(tenant),
            None => match self.open_if_it_works(&known) {
                // That is told already, and is tried again.
                Err(fault) if fault.is_damage() => return Ok(()),
                tenant => tenant?,
            },
        };
        if let Some(tenant) = tenant {
            return self.remove_over_of_open(&tenant, over);
        }
        while let Some(head) = self.store.remove_over(id, over)? {
            tracing::info!(tenant = %id, "what is over was removed of a tenant that is not in use");
            self.follow_heads(BTreeMap::from([(id.clone(), head)]))?;
        }
        Ok(())
    }

    /// Some at a time, each time by what is over then: what was given more time meanwhile, by whichever
    /// server, stays.
    fn remove_over_of_open(&self, tenant: &Arc<Tenant>, over: &[Over]) -> Result<(), Refused> {
        loop {
            if self.fit(tenant).is_err() {
                return Ok(());
            }
            let gone = self.settle(tenant, || {
                let gone = tenant.read(|snapshot| over_in(snapshot, over, MOST_REMOVED));
                Ok((gone.len(), gone))
            });
            let gone = match gone {
                // Another server stores something of it all the time.
                Err(Refused::Reason(reason)) if matches!(*reason, Reason::IssueConflict { .. }) => {
                    self.remove_over_by_the_store(tenant, over)?
                }
                gone => gone?,
            };
            if gone == 0 {
                return Ok(());
            }
            tracing::info!(tenant = %tenant.id(), objects = gone, "what is over was removed");
        }
    }

    /// As the store finds it while everyone else waits. Whoever is to be told of what has gone is told with
    /// the next change, and not if this server ends in between. How much was gone here.
    pub(super) fn remove_over_by_the_store(
        &self,
        tenant: &Arc<Tenant>,
        over: &[Over],
    ) -> Result<usize, Refused> {
        let known = tenant.read(|snapshot| over_in(snapshot, over, usize::MAX));
        let mut notices = Vec::new();
        for one in &known {
            let with = signals::with_notices(self, tenant, std::slice::from_ref(one))?;
            notices.extend(with.iter().skip(1).map(|notice| (one, notice.clone())));
        }
        let Some(head) = self.store.remove_over(tenant.id(), over)? else {
            return Ok(0);
        };
        self.follow_heads(BTreeMap::from([(tenant.id().clone(), head)]))?;
        let left = tenant.read(|snapshot| over_in(snapshot, over, usize::MAX));
        let told: Vec<Change> = notices
            .into_iter()
            .filter(|(one, _)| is_gone(tenant, one))
            .map(|(_, notice)| notice)
            .collect();
        if !told.is_empty() {
            self.apply(tenant, &told)?;
        }
        Ok(known.len().saturating_sub(left.len()).max(1))
    }

    /// Opens a tenant if it does something without being asked itself.
    fn open_if_it_works(&self, known: &Arc<KnownTenant>) -> Result<Option<Arc<Tenant>>, Fault> {
        match self.sketch(known)?.works_by_itself {
            true => self.open_known(known),
            false => Ok(None),
        }
    }

    /// Forgets what was removed by the changes that these are the numbers of, or earlier, so that
    /// what comes and goes leaves nothing behind. A server that has not followed so far takes up
    /// everything anew.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn forget_removals(&self, heads: &BTreeMap<TenantId, Sequence>) -> Result<u64, Fault> {
        let mut all = 0_u64;
        for (tenant, head) in heads {
            loop {
                let forgotten = self.store.forget_removals(tenant, *head)?;
                if forgotten == 0 {
                    break;
                }
                all = all.saturating_add(forgotten);
            }
        }
        Ok(all)
    }
}

/// Whether an entry that was to go has gone.
fn is_gone(tenant: &Tenant, change: &Change) -> bool {
    match change {
        Change::Remove(Key::Entry(id)) => {
            tenant.read(|snapshot| !snapshot.entries.contains_key(id))
        }
        Change::Remove(_) | Change::Put(_) => false,
    }
}

/// What is over of all that a tenant owns, at most so much.
fn over_in(snapshot: &Snapshot, over: &[Over], most: usize) -> Vec<Change> {
    let mut keys = Vec::new();
    for Over { kind, by } in over {
        let signals = |kind: SignalKind| {
            let over = snapshot.signals_of(kind);
            let over = over.filter(|record| record.ends.is_some_and(|end| end <= *by));
            over.take(most)
                .map(|record| Key::Signal(record.key.clone()))
        };
        match kind {
            OverKind::Entry => {
                let all = snapshot.entries.values();
                let over = all.filter(|entry| entry.extras.expires.is_some_and(|end| end <= *by));
                keys.extend(over.take(most).map(|entry| Key::Entry(entry.id.clone())));
            }
            OverKind::JoinToken => {
                let all = snapshot.join_tokens.values();
                let over = all.filter(|token| token.used.unwrap_or(token.expires) <= *by);
                keys.extend(
                    over.take(most)
                        .map(|token| Key::JoinToken(token.id.clone())),
                );
            }
            OverKind::Ended => keys.extend(signals(SignalKind::Ended)),
            OverKind::Notice => keys.extend(signals(SignalKind::Notice)),
        }
    }
    let some = keys.into_iter().take(most);
    some.map(Change::Remove).collect()
}

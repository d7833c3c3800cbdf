//! Forgetting what nobody can need any more, so that what comes and goes leaves nothing behind.

use std::collections::BTreeMap;

use avouch_core::id::TenantId;
use avouch_store::Sequence;

use super::{OPERATOR, Plane};
use crate::fault::Fault;

/// How much longer than its end a use is remembered, in seconds: so far apart may the clocks of
/// servers be that share a store.
const USES_MARGIN: i64 = 300;

/// How long answers about certificates stay on record after their end, in seconds: whoever asks has
/// them signed, and nothing is looked for among them.
const ANSWERS_KEPT: i64 = 3_600;

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

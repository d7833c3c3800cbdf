//! What every engine promises.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::time::Time;

use crate::change::{Change, Feed, Key, Object, Sequence, Snapshot};
use crate::decision::{DecisionRow, WantedDecisions};
use crate::fault::Fault;
use crate::follower::{Followers, Report};
use crate::intent::IntentRow;
use crate::lifetime::{Lasting, Lifetime, Living};
use crate::names::{DecisionId, IntentId, ServerId};
use crate::outline::{Appointed, Counts, Outline};
use crate::over::Over;
use crate::single_use::{SingleUse, UseKind, Used};
use crate::tenant::TenantRecord;
use crate::within::Within;

/// The most that one call forgets, so that others do not wait for it for long.
pub(crate) const MOST_FORGOTTEN: i64 = 10_000;

/// How long a server is remembered that does not report any more, in seconds.
pub(crate) const SERVER_FORGOTTEN_AFTER: i64 = 3_600;

/// Remembers what tenants own.
///
/// - **All or nothing.** A call that changes something changes all it was asked to, or nothing.
/// - **Durable.** When it returns `Ok`, the change survives the death of this process at once, and
///   the loss of power as far as the disk keeps its promises.
/// - **In order.** The changes of a tenant are numbered; whoever sees one has seen all before.
/// - **Again is harmless.** After a fault for which [`Fault::retryable`] holds, the call may have
///   been carried out or not; repeating it does no harm and settles it.
/// - **The same one.** A tenant may be removed, and another made that has its name. Whoever names the
///   number of the last change that it has seen of a tenant changes that one, or nothing: where the
///   tenant of that name began later, a call conflicts as if there were none.
/// - **Apart.** A call for one tenant neither reads nor changes anything of another, and a tenant
///   that does not exist owns nothing: it loads as empty and has no changes.
///
/// Every call blocks.
///
/// # Errors
///
/// Every call that returns a `Result` fails alike: with [`Fault::Conflict`] where it says that it
/// conflicts, which is the fault of who asked; with any other [`Fault`] where the engine fails.
#[expect(
    clippy::missing_errors_doc,
    reason = "all calls fail alike, which stands above once"
)]
pub trait Store: Send + Sync {
    /// That it can be changed: something is written as it is, which takes the way to the disk that
    /// every change takes.
    fn check(&self, operator: &Operator) -> Result<(), Fault>;

    /// Adds a tenant to the tree.
    ///
    /// Conflicts when the tenant above it is missing or not of an earlier kind, and when the name
    /// is taken by a tenant that differs in anything.
    fn add_tenant(&self, operator: &Operator, tenant: &TenantRecord) -> Result<(), Fault>;

    /// Removes tenants with all that they own, those that have not changed since the number beside
    /// their name: all of them or none. Their keys are gone with that, and so is all that these
    /// sealed. A tenant of such a name may be added again below the same one as before, and has
    /// nothing of the one that was there; its trust domains stay its own name's for ever.
    ///
    /// Conflicts when one does not exist or has changed, and when another is left below one of them.
    fn remove_tenants(
        &self,
        operator: &Operator,
        tenants: &[(TenantId, Sequence)],
    ) -> Result<(), Fault>;

    /// Where keys are kept elsewhere that tenants had which were removed, until that is cleared away.
    fn keys_of_removed(&self, operator: &Operator) -> Result<Vec<(TenantId, String)>, Fault>;

    /// Clears away what tenants owned that were removed: some thousands of rows at a time. Returns
    /// how many, which is 0 when nothing is left. Nobody sees any of it anyway.
    fn clear_removed(&self, operator: &Operator) -> Result<u64, Fault>;

    /// All tenants, by name.
    fn tenants(&self, operator: &Operator) -> Result<Vec<TenantRecord>, Fault>;

    /// The tenant of this name.
    fn tenant(&self, operator: &Operator, id: &TenantId) -> Result<Option<TenantRecord>, Fault>;

    /// Whose each trust domain is.
    fn trust_domains(&self, operator: &Operator) -> Result<BTreeMap<TrustDomain, TenantId>, Fault>;

    /// The number of the last change of every tenant: whose feed has something new.
    fn heads(&self, operator: &Operator) -> Result<BTreeMap<TenantId, Sequence>, Fault>;

    /// Blocks until something has changed, on whichever server, and says which tenants have and the
    /// numbers of their last changes; returns after `at_most` in any case, and may return for no
    /// reason. What happened before the first call is for [`Store::heads`] to tell, and so is now
    /// and then what a notice that got lost would have told.
    ///
    /// An engine that cannot tell waits, and returns the numbers of all.
    #[expect(
        clippy::disallowed_methods,
        reason = "nobody would tell, so there is nothing to wait for but time"
    )]
    fn wait_for_change(
        &self,
        operator: &Operator,
        at_most: Duration,
    ) -> Result<BTreeMap<TenantId, Sequence>, Fault> {
        thread::sleep(at_most);
        self.heads(operator)
    }

    /// Lets the numbers of all tenants go on from `floor`, unless they are beyond it, and returns
    /// what they were. Nothing else changes; [`Store::changes_after`] knows those that were left out.
    fn raise(
        &self,
        operator: &Operator,
        floor: Sequence,
    ) -> Result<BTreeMap<TenantId, Sequence>, Fault>;

    /// Tells other servers on the same database that this one is there and how far its followers
    /// have come. Returns whether the report before is there: if not, the database was put back to
    /// an earlier state, or the server was forgotten, and nothing of what it told before is known.
    fn report(&self, operator: &Operator, report: &Report) -> Result<bool, Fault>;

    /// How far those who follow a tenant have come at each server but this one, if it has reported
    /// at `since` or later.
    fn followers(
        &self,
        tenant: &TenantId,
        besides: &ServerId,
        since: Time,
    ) -> Result<Vec<Followers>, Fault>;

    /// Makes all changes, in their order, and returns their number. No changes have the number of
    /// the last.
    ///
    /// Conflicts when the tenant does not exist, when a trust domain belongs to another tenant,
    /// when an object needs a trust domain that the tenant does not have, and when a trust domain
    /// that objects still need is removed.
    fn apply_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault>;

    /// As [`Store::apply_held`], to whichever tenant has the name now.
    fn apply(&self, tenant: &TenantId, changes: &[Change]) -> Result<Sequence, Fault> {
        self.apply_held(tenant, Sequence::LATEST, changes)
    }

    /// Like [`Store::apply_held`], if nothing has changed since `at`, so that of several servers that
    /// saw the same and decided the same one acts.
    ///
    /// Conflicts also when something has changed since.
    fn apply_at(
        &self,
        tenant: &TenantId,
        at: Sequence,
        changes: &[Change],
    ) -> Result<Sequence, Fault>;

    /// What is to be known of a tenant of which nothing else is read.
    fn outline(&self, tenant: &TenantId) -> Result<Outline, Fault>;

    /// Who has a role in a tenant, whatever of the rest of it can be read. It fails where of someone not
    /// even that can be read who it is.
    fn appointed(&self, tenant: &TenantId) -> Result<Vec<Appointed>, Fault>;

    /// One object, and the number of the last change of the tenant, whatever of the others can be read.
    fn object(&self, tenant: &TenantId, key: &Key) -> Result<Option<(Sequence, Object)>, Fault>;

    /// How much the tenant owns.
    fn counts(&self, tenant: &TenantId) -> Result<Counts, Fault>;

    /// All that the tenant owns.
    fn load(&self, tenant: &TenantId) -> Result<Snapshot, Fault>;

    /// What has changed after `after`; `None` if that cannot be told, so that whoever holds what was
    /// there then has to load everything anew: removals since are forgotten, or the number is one of
    /// those that were left out when numbers were raised last, so it is of a database that is gone.
    fn changes_after(&self, tenant: &TenantId, after: Sequence) -> Result<Option<Feed>, Fault>;

    /// Forgets what was removed by the change `up_to` or earlier, some thousands at a time, and
    /// returns how many. What is there is not touched.
    fn forget_removals(&self, tenant: &TenantId, up_to: Sequence) -> Result<u64, Fault>;

    /// Which tenants own something that is over, without reading any of it.
    fn tenants_with_over(
        &self,
        operator: &Operator,
        over: &[Over],
    ) -> Result<BTreeSet<TenantId>, Fault>;

    /// Removes what is over, some thousands of each kind in one change, and returns the number of that;
    /// `None` if there is nothing more, nor if there is no such tenant. It is news as any removal is. What
    /// has been given more time meanwhile stays, and so does what says no end that can be read.
    fn remove_over(&self, tenant: &TenantId, over: &[Over]) -> Result<Option<Sequence>, Fault>;

    /// Writes down what is about to be signed. The same intent again is no conflict.
    ///
    /// Conflicts when the tenant does not exist, and when an intent of that name says something
    /// else: a serial number is used once.
    fn record_intents(&self, tenant: &TenantId, intents: &[IntentRow]) -> Result<(), Fault> {
        self.use_and_record(tenant, &[], intents).map(drop)
    }

    /// The intents made at `from` or later, at most `limit`, the earliest first.
    fn intents(&self, tenant: &TenantId, from: Time, limit: u32) -> Result<Vec<IntentRow>, Fault>;

    /// The intent of this name.
    fn intent(&self, tenant: &TenantId, id: &IntentId) -> Result<Option<IntentRow>, Fault>;

    /// The intents whose names begin like this, at most `limit`, by name.
    fn intents_called(
        &self,
        tenant: &TenantId,
        beginning: &str,
        limit: u32,
    ) -> Result<Vec<IntentRow>, Fault>;

    /// How much of each kind has not ended, without reading any of it.
    fn living(&self, tenant: &TenantId, lasting: Lasting<'_>) -> Result<Vec<Living>, Fault>;

    /// Notes how long what is signed may live, before any of it is and now and then after. Forgets those
    /// that count no more.
    fn keep_lifetimes(&self, operator: &Operator, lifetimes: &[Lifetime]) -> Result<(), Fault>;

    /// The lifetimes that were noted on whichever server, and may still count.
    fn lifetimes(&self, operator: &Operator) -> Result<Vec<Lifetime>, Fault>;

    /// Forgets intents for credentials that were no longer valid at `before`: some thousands at a
    /// time, the earliest first. Returns how many, which is 0 when none is left.
    fn forget_intents(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault>;

    /// As [`Store::forget_intents`], of answers about certificates alone ([`CredentialKind::StatusResponse`]),
    /// which whoever asks has signed.
    ///
    /// [`CredentialKind::StatusResponse`]: crate::CredentialKind::StatusResponse
    fn forget_answers(&self, tenant: &TenantId, before: Time) -> Result<u64, Fault>;

    /// When something of this tenant was used, if it was and that is not forgotten. Nothing changes.
    fn used(
        &self,
        tenant: &TenantId,
        kind: UseKind,
        digest: &Digest,
    ) -> Result<Option<Time>, Fault>;

    /// Uses what may be used once, and says of each, in its place, whether this was the first time.
    ///
    /// Of all who ever use the same thing of a tenant exactly one is told [`Used::First`], however
    /// many try at once, on however many servers, before and after any restart; when it is told,
    /// that is durable. Within one call whoever stands first is. All of a call are used or, after a
    /// fault, perhaps none; asking again as the same attempt settles it and is no second use.
    ///
    /// Calls that come at the same time share a commit, so callers need not gather uses themselves.
    ///
    /// Conflicts when the tenant does not exist.
    fn use_once(&self, tenant: &TenantId, uses: &[SingleUse]) -> Result<Vec<Used>, Fault> {
        self.use_and_record(tenant, uses, &[])
    }

    /// As [`Store::use_once`]; and if all of it was used for the first time, as
    /// [`Store::record_intents`], durable together: whatever is used up is on record with what it is
    /// used up for.
    ///
    /// Conflicts as both.
    fn use_and_record_held(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: &[SingleUse],
        intents: &[IntentRow],
    ) -> Result<Vec<Used>, Fault>;

    /// As [`Store::use_and_record_held`], of whichever tenant has the name now.
    fn use_and_record(
        &self,
        tenant: &TenantId,
        uses: &[SingleUse],
        intents: &[IntentRow],
    ) -> Result<Vec<Used>, Fault> {
        self.use_and_record_held(tenant, Sequence::LATEST, uses, intents)
    }

    /// As [`Store::use_and_record_held`], for who has no thread to wait on: `told` is called once it is
    /// settled, and must not wait for anything itself.
    ///
    /// An engine that cannot do so lets its caller wait.
    fn use_and_record_later(
        &self,
        tenant: &TenantId,
        held: Sequence,
        uses: Vec<SingleUse>,
        intents: Vec<IntentRow>,
        told: Box<dyn FnOnce(Result<Vec<Used>, Fault>) + Send>,
    ) {
        told(self.use_and_record_held(tenant, held, &uses, &intents));
    }

    /// As [`Store::use_and_record`]; and if all of it was used for the first time, as
    /// [`Store::apply_at`], durable together: nothing that was used before changes anything. Returns
    /// the number of the last change, too.
    ///
    /// Conflicts as both; then nothing is used.
    fn use_record_and_apply(
        &self,
        tenant: &TenantId,
        uses: &[SingleUse],
        intents: &[IntentRow],
        at: Sequence,
        changes: &[Change],
    ) -> Result<(Vec<Used>, Sequence), Fault> {
        self.apply_within(tenant, uses, intents, at, changes, &[])
    }

    /// As [`Store::use_record_and_apply`], keeping to bounds, those of tenants above first. Of several that
    /// keep to one bound, on whichever servers, never so many are carried out that it is passed.
    ///
    /// Conflicts also when there would be more than a bound lets.
    fn apply_within(
        &self,
        tenant: &TenantId,
        uses: &[SingleUse],
        intents: &[IntentRow],
        at: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(Vec<Used>, Sequence), Fault>;

    /// Does all that [`Store::add_tenant`] does but the commit: it conflicts as that would, and nothing is
    /// changed.
    fn rehearse_tenant(&self, operator: &Operator, tenant: &TenantRecord) -> Result<(), Fault>;

    /// Does all that [`Store::apply_held`] does, keeping to bounds as [`Store::apply_within`], but the
    /// commit: it conflicts as that would, and nothing is changed.
    fn rehearse(
        &self,
        tenant: &TenantId,
        held: Sequence,
        changes: &[Change],
        within: &[Within],
    ) -> Result<(), Fault>;

    /// Forgets, for all tenants, uses that were to be remembered until a time before `before`: some
    /// thousands at a time. Returns how many, which is 0 when none is left.
    fn forget_uses(&self, operator: &Operator, before: Time) -> Result<u64, Fault>;

    /// Keeps decisions of a tenant, and of all that it has the latest `most`: the oldest go first. The
    /// same decision again is kept once.
    ///
    /// Conflicts when the tenant does not exist.
    fn keep_decisions(
        &self,
        tenant: &TenantId,
        held: Sequence,
        decisions: &[DecisionRow],
        most: u32,
    ) -> Result<(), Fault>;

    /// The decision of this name.
    fn decision(&self, tenant: &TenantId, id: &DecisionId) -> Result<Option<DecisionRow>, Fault>;

    /// The decisions that are wanted, the latest first.
    fn decisions(
        &self,
        tenant: &TenantId,
        wanted: &WantedDecisions,
    ) -> Result<Vec<DecisionRow>, Fault>;

    /// Forgets, for all tenants, decisions that were made before `before`: some thousands at a time.
    /// Returns how many, which is 0 when none is left.
    fn forget_decisions(&self, operator: &Operator, before: Time) -> Result<u64, Fault>;
}

/// The right to see and change which tenants there are. Only who runs the deployment makes one, in
/// one place that a reader can find; everything else is asked for with the name of a tenant.
#[derive(Debug)]
pub struct Operator(());

impl Operator {
    /// The operator of this deployment.
    pub const fn of_this_deployment() -> Self {
        Self(())
    }
}

//! Whose turn it is: few checks run at once, and none of those who share a server takes all of them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avouch_core::id::TenantId;

use crate::fault::Fault;

/// How many checks run at once, how many more may wait, and how long one waits for its turn.
const ALL: Counts = Counts {
    running: 4,
    waiting: 16,
};
const PATIENCE: Duration = Duration::from_secs(3);

/// The most of these that are of one tenant: anyone may send a tenant XML that takes long, and the
/// others go on meanwhile.
const OF_ONE: Counts = Counts {
    running: ALL.running / 2,
    waiting: ALL.waiting / 2,
};

/// For whom a check is.
#[derive(Clone, Copy, Debug)]
pub enum Share<'a> {
    /// For a tenant, one of several that must not be in each other's way.
    Of(&'a TenantId),
    /// For the only one there is.
    Whole,
}

/// The checks of this process.
pub(super) struct Queue {
    counts: Mutex<Everyone>,
    changed: Condvar,
}

/// How many run, and how many wait for their turn.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counts {
    running: usize,
    waiting: usize,
}

struct Everyone {
    all: Counts,
    tenants: BTreeMap<TenantId, Counts>,
}

/// One of the few checks that run at once.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    share: Share<'a>,
}

impl Queue {
    pub(super) const fn new() -> Self {
        let all = Counts {
            running: 0,
            waiting: 0,
        };
        Self {
            counts: Mutex::new(Everyone {
                all,
                tenants: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits until it is the turn of one more check, if there is room to wait.
    pub(super) fn take<'a>(&'a self, share: Share<'a>) -> Result<Turn<'a>, Fault> {
        let full = || Fault::XmlSignatures {
            why: "too many are waiting".to_owned(),
            again: true,
        };
        let mut counts = self.counts();
        // Each that waits holds a thread that others need.
        if !counts.fits(share, |counts, most| counts.waiting < most.waiting) {
            return Err(full());
        }
        counts.change(share, |counts| counts.waiting += 1);
        let may_run =
            |counts: &Everyone| counts.fits(share, |now, most| now.running < most.running);
        let waited = self
            .changed
            .wait_timeout_while(counts, PATIENCE, |counts| !may_run(counts));
        let (mut counts, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        counts.change(share, |counts| counts.waiting -= 1);
        if waited.timed_out() {
            return Err(full());
        }
        counts.change(share, |counts| counts.running += 1);
        Ok(Turn { queue: self, share })
    }

    fn counts(&self) -> MutexGuard<'_, Everyone> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Everyone {
    /// Whether there is room among all, and in the share.
    fn fits(&self, share: Share<'_>, has_room: impl Fn(Counts, Counts) -> bool) -> bool {
        let of_tenant = match share {
            Share::Of(tenant) => self.tenants.get(tenant).copied().unwrap_or_default(),
            Share::Whole => Counts::default(),
        };
        has_room(self.all, ALL) && has_room(of_tenant, OF_ONE)
    }

    /// Changes what is counted of all and of a tenant, who is forgotten when nothing is left.
    fn change(&mut self, share: Share<'_>, change: impl Fn(&mut Counts)) {
        change(&mut self.all);
        let Share::Of(tenant) = share else {
            return;
        };
        let counts = self.tenants.entry(tenant.clone()).or_default();
        change(counts);
        if *counts == Counts::default() {
            self.tenants.remove(tenant);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue
            .counts()
            .change(self.share, |counts| counts.running -= 1);
        // All of them: whoever was told alone might be of a tenant that has its share.
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ScopedJoinHandle;
    use std::time::Instant;

    use avouch_api::TrustDocument;
    use avouch_core::budget::Budget;
    use avouch_core::credential::Credential;
    use avouch_core::crypto::AwsLc;
    use avouch_core::question::{Context, Profile, Purpose, Question};
    use avouch_core::time::Time;
    use avouch_core::verdict::{Need, Verdict};
    use avouch_core::view::View;
    use avouch_testkit::saml::{ID, response};
    use avouch_testkit::saml_hostile::{AUDIENCE, RECIPIENT, anchor, forge, good, key};
    use avouch_testkit::token::NOW_SECONDS;
    use serde_json::json;

    use super::super::{QUEUE, REFUSED, decide};
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    /// Until as many wait as there are, or one does not any more.
    fn wait_for(queue: &Queue, waiting: &[ScopedJoinHandle<'_, bool>]) {
        let all_wait = || queue.counts().all.waiting >= waiting.len();
        while !all_wait() && !waiting.iter().any(ScopedJoinHandle::is_finished) {
            std::thread::yield_now();
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "that nobody has waited shows by time"
    )]
    fn who_would_be_one_too_many_to_wait_is_told_at_once() {
        let queue = Queue::new();
        let running: Vec<Turn<'_>> = (0..ALL.running)
            .map(|_| queue.take(Share::Whole).unwrap())
            .collect();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..ALL.waiting)
                .map(|_| scope.spawn(|| queue.take(Share::Whole).is_ok()))
                .collect();
            let begun = Instant::now();
            wait_for(&queue, &waiting);
            let refused = queue.take(Share::Whole).err();
            assert!(refused.is_some_and(|fault| fault.retryable()));
            assert!(begun.elapsed() < PATIENCE, "it has waited");
            // Near miss: those that wait get their turn.
            drop(running);
            assert!(waiting.into_iter().all(|one| one.join().unwrap()));
        });
        assert_eq!(queue.counts().all, Counts::default());
    }

    #[test]
    fn who_may_run_is_told_also_where_one_has_waited_longer_that_may_not() {
        let queue = Queue::new();
        let (one, two) = (tenant("one"), tenant("two"));
        let run = |tenant| {
            let running = (0..OF_ONE.running).map(|_| queue.take(Share::Of(tenant)).unwrap());
            running.collect::<Vec<Turn<'_>>>()
        };
        let (of_one, mut of_two) = (run(&one), run(&two));
        std::thread::scope(|scope| {
            let mut waiting = Vec::new();
            for tenant in [&one, &two] {
                waiting.push(scope.spawn(|| queue.take(Share::Of(tenant)).is_ok()));
                wait_for(&queue, &waiting);
            }
            // All run that may at once, and of `one` as many as may.
            drop(of_two.pop());
            assert!(waiting.pop().unwrap().join().unwrap(), "it was not told");
            drop(of_one);
            assert!(waiting.pop().unwrap().join().unwrap());
        });
    }

    /// An assertion that is shown to a tenant.
    fn shown(tenant: &TenantId, document: String) -> (Question, View) {
        let trust = json!({"anchors": [anchor()]}).to_string();
        let trust = TrustDocument::read(trust.as_bytes(), tenant, "a test").unwrap();
        let view = TrustDocument::view(tenant.clone(), vec![trust]);
        let question = Question {
            tenant: tenant.clone(),
            credential: Credential::Saml(document),
            profile: Profile::Private,
            purpose: Purpose::Any,
            now: Time::from_unix(NOW_SECONDS),
            context: Context {
                audiences: vec![AUDIENCE.to_owned()],
                recipients: vec![RECIPIENT.to_owned()],
                ..Context::default()
            },
        };
        (question, view)
    }

    /// Nobody looks again at what was found not to be signed.
    #[test]
    fn what_is_known_not_to_be_signed_is_refused_without_a_turn() {
        let document = forge().with(ID, "_refused_before").sign(&key());
        let (mut question, view) = shown(&tenant("three"), response(&document));
        let verdict = avouch_core::decide(&question, &view, &AwsLc, &mut Budget::default());
        let Verdict::Undetermined(needs) = verdict else {
            panic!("it takes looking at: {verdict:?}");
        };
        let [Need::XmlSignature(wanted)] = needs.as_slice() else {
            panic!("there is one signature: {needs:?}");
        };
        REFUSED.note(wanted.digest());
        let verdict = decide(&mut question, &view, &AwsLc, &Budget::default());
        let Ok(Verdict::Reject(refusal)) = verdict else {
            panic!("it was looked at: {verdict:?}");
        };
        assert_eq!(refusal.reason().code(), "federation.saml_signature_invalid");
    }

    /// Whether there is no room to find out about an assertion that is shown to a tenant.
    fn is_turned_away(tenant: &TenantId) -> bool {
        let (mut question, view) = shown(tenant, good());
        // Where the program is not installed, that is found out after its turn.
        let decided = decide(&mut question, &view, &AwsLc, &Budget::default());
        decided.is_err_and(|fault| fault.to_string().contains("too many are waiting"))
    }

    #[test]
    fn what_is_shown_to_a_tenant_is_found_out_in_its_share_and_in_no_other() {
        let (one, two) = (tenant("one"), tenant("two"));
        let running: Vec<Turn<'_>> = (0..OF_ONE.running)
            .map(|_| QUEUE.take(Share::Of(&one)).unwrap())
            .collect();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..OF_ONE.waiting)
                .map(|_| scope.spawn(|| QUEUE.take(Share::Of(&one)).is_ok()))
                .collect();
            wait_for(&QUEUE, &waiting);
            assert!(is_turned_away(&one), "it was found out beside its share");
            assert!(!is_turned_away(&two), "another tenant has no turn");
            drop(running);
            assert!(waiting.into_iter().all(|one| one.join().unwrap()));
        });
    }

    #[test]
    fn a_tenant_that_takes_all_it_can_leaves_turns_to_the_others() {
        let queue = Queue::new();
        let (one, two) = (tenant("one"), tenant("two"));
        let running: Vec<Turn<'_>> = (0..OF_ONE.running)
            .map(|_| queue.take(Share::Of(&one)).unwrap())
            .collect();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..OF_ONE.waiting)
                .map(|_| scope.spawn(|| queue.take(Share::Of(&one)).is_ok()))
                .collect();
            wait_for(&queue, &waiting);
            assert!(queue.take(Share::Of(&one)).is_err(), "it has more");
            let other = queue.take(Share::Of(&two));
            assert!(other.is_ok(), "another tenant has no turn");
            drop(running);
            assert!(waiting.into_iter().all(|one| one.join().unwrap()));
        });
        assert_eq!(queue.counts().all, Counts::default());
        assert!(queue.counts().tenants.is_empty(), "it is remembered");
    }
}

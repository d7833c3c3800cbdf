//! How it goes with each relation: on record with the relation, so that it is known after a start and
//! on every server, and in memory only while that cannot be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use avouch_core::id::{Digest, TenantId, TrustDomain};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_store::{FederationCourse, FederationFailure, FederationRecord};

use crate::fault::Refused;

/// How many bundles of one tenant are fetched at once.
const MOST_OF_A_TENANT: usize = 4;

/// How many of all tenants.
const MOST_OF_ALL: usize = 64;

/// Which relations are being asked, and what could not be stored of them.
#[derive(Default)]
pub(crate) struct States(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    asked: BTreeSet<(TenantId, TrustDomain)>,
    unstored: BTreeMap<(TenantId, TrustDomain), FederationCourse>,
    /// When it was looked first what is due.
    started: Option<Time>,
}

/// The words for how it goes.
pub(super) const WORDS: [&str; 3] = ["failing", "fetched", "waiting"];

/// One word for it, of [`WORDS`].
pub(crate) fn word(course: Option<&FederationCourse>) -> &'static str {
    match course.map(|course| (&course.failure, course.succeeded)) {
        Some((Some(_), _)) => "failing",
        Some((None, Some(_))) => "fetched",
        Some((None, None)) | None => "waiting",
    }
}

/// What helps where an endpoint shows a certificate below a root that nobody has told of.
const REPLACED: &str = "If all keys of the trust domain were replaced at once, get its bundle another way and put it in \
                        place (`avouch federation put --bundle`); else find out who answers at that address.";

pub(super) fn failure_of(refused: &Refused) -> FederationFailure {
    let (code, sentence, hint) = match refused {
        // Only a peer that is known by its X.509-SVID is looked for in the bundle.
        Refused::Reason(reason) if matches!(**reason, Reason::IssuerNotFound { .. }) => {
            (reason.code(), reason.sentence(), REPLACED.to_owned())
        }
        Refused::Reason(reason) => (reason.code(), reason.sentence(), reason.hint()),
        Refused::Fault(_) => (
            "server.failed",
            "The server failed.".to_owned(),
            "The log of the server says why.".to_owned(),
        ),
    };
    FederationFailure {
        code: code.to_owned(),
        sentence,
        hint,
    }
}

/// What comes of `before` when it was asked at `now`.
pub(super) fn after(
    before: Option<&FederationCourse>,
    now: Time,
    next: Time,
    failure: Option<FederationFailure>,
) -> FederationCourse {
    let failures = before.map_or(0, |before| before.failures);
    FederationCourse {
        tried: now,
        succeeded: match failure {
            None => Some(now),
            Some(_) => before.and_then(|before| before.succeeded),
        },
        next,
        failures: match failure {
            None => 0,
            Some(_) => failures.saturating_add(1),
        },
        failure,
    }
}

impl States {
    /// Forgets the relations of a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        self.lock().unstored.retain(|(of, _), _| of != tenant);
    }

    /// How it goes with a relation.
    pub(crate) fn of(
        &self,
        tenant: &TenantId,
        record: &FederationRecord,
    ) -> Option<FederationCourse> {
        let key = (tenant.clone(), record.trust_domain.clone());
        let unstored = self.lock().unstored.get(&key).cloned();
        unstored.or_else(|| record.course.clone())
    }

    /// Those of a tenant that are due, which count as being asked from now on. What fell due while
    /// no server was there is asked within `spread` seconds of the start, and not all at once.
    pub(super) fn take_due(
        &self,
        tenant: &TenantId,
        records: &[FederationRecord],
        now: Time,
        spread: u32,
    ) -> Vec<TrustDomain> {
        let mut inner = self.lock();
        let started = *inner.started.get_or_insert(now);
        let of_tenant = inner.asked.iter().filter(|(of, _)| of == tenant).count();
        let free = MOST_OF_A_TENANT
            .saturating_sub(of_tenant)
            .min(MOST_OF_ALL.saturating_sub(inner.asked.len()));
        let mut due = Vec::new();
        for record in records {
            if due.len() >= free {
                break;
            }
            let key = (tenant.clone(), record.trust_domain.clone());
            let course = inner.unstored.get(&key).or(record.course.as_ref());
            let at = course.map(|course| due_at(course.next, started, &key, spread));
            if at.is_none_or(|at| at <= now) && inner.asked.insert(key) {
                due.push(record.trust_domain.clone());
            }
        }
        due
    }

    /// It is not being asked any more.
    pub(super) fn done(&self, tenant: &TenantId, name: &TrustDomain) {
        self.lock().asked.remove(&(tenant.clone(), name.clone()));
    }

    /// What could not be stored.
    pub(super) fn hold(&self, tenant: &TenantId, name: &TrustDomain, course: FederationCourse) {
        let key = (tenant.clone(), name.clone());
        self.lock().unstored.insert(key, course);
    }

    /// What is stored is how it goes.
    pub(super) fn forget(&self, tenant: &TenantId, name: &TrustDomain) {
        let key = (tenant.clone(), name.clone());
        self.lock().unstored.remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a relation is asked that was to be asked at `next`: each overdue one at a moment of its own.
fn due_at(next: Time, started: Time, key: &(TenantId, TrustDomain), spread: u32) -> Time {
    if next >= started || spread == 0 {
        return next;
    }
    let digest = Digest::of_list([key.0.as_str().as_bytes(), key.1.as_str().as_bytes()]);
    let [first, second, ..] = *digest.as_bytes();
    let moment = u32::from(u16::from_be_bytes([first, second])) % spread;
    started.plus(i64::from(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, next: Option<i64>) -> FederationRecord {
        FederationRecord {
            trust_domain: TrustDomain::parse(name).unwrap(),
            document: String::new(),
            created: Time::from_unix(0),
            course: next.map(|next| FederationCourse {
                tried: Time::from_unix(0),
                succeeded: Some(Time::from_unix(0)),
                next: Time::from_unix(next),
                failures: 0,
                failure: None,
            }),
        }
    }

    #[test]
    fn what_fell_due_while_no_server_was_there_is_not_asked_all_at_once() {
        let states = States::default();
        let tenants: Vec<TenantId> = (0..300)
            .map(|number| TenantId::parse(&format!("t{number}")).unwrap())
            .collect();
        let records = [record("a.test", Some(10)), record("b.test", Some(20))];
        let mut by_second = Vec::new();
        for second in 0..60 {
            let now = Time::from_unix(1_000 + second);
            let mut asked = 0;
            for tenant in &tenants {
                for name in states.take_due(tenant, &records, now, 60) {
                    asked += 1;
                    // It is answered, and due again much later.
                    states.hold(tenant, &name, after(None, now, now.plus(300), None));
                    states.done(tenant, &name);
                }
            }
            by_second.push(asked);
        }
        assert_eq!(by_second.iter().sum::<usize>(), 600);
        assert!(by_second.iter().all(|asked| *asked < 60), "{by_second:?}");
    }

    #[test]
    fn what_is_new_is_asked_at_once_and_what_is_not_due_is_left_alone() {
        let states = States::default();
        let tenant = TenantId::parse("t").unwrap();
        let records = [record("new.test", None), record("later.test", Some(2_000))];
        let due = |now| states.take_due(&tenant, &records, Time::from_unix(now), 60);
        assert_eq!(due(1_000), [TrustDomain::parse("new.test").unwrap()]);
        // It is being asked.
        assert!(due(1_999).is_empty());
        assert_eq!(due(2_000), [TrustDomain::parse("later.test").unwrap()]);
    }

    #[test]
    fn no_more_are_asked_at_once_than_may_be() {
        let states = States::default();
        let records: Vec<FederationRecord> = (0..10)
            .map(|number| record(&format!("n{number}.test"), None))
            .collect();
        let asked = (0..40).map(|number| {
            let tenant = TenantId::parse(&format!("t{number}")).unwrap();
            states
                .take_due(&tenant, &records, Time::from_unix(0), 60)
                .len()
        });
        let asked: Vec<usize> = asked.collect();
        assert_eq!(asked.iter().max(), Some(&MOST_OF_A_TENANT));
        assert_eq!(asked.iter().sum::<usize>(), MOST_OF_ALL);
    }

    #[test]
    fn a_failure_leaves_the_last_success_on_record() {
        let good = after(None, Time::from_unix(5), Time::from_unix(65), None);
        let failure = FederationFailure {
            code: "fetch.unreachable".to_owned(),
            sentence: String::new(),
            hint: String::new(),
        };
        let bad = after(
            Some(&good),
            Time::from_unix(65),
            Time::from_unix(125),
            Some(failure),
        );
        assert_eq!((bad.succeeded, bad.failures), (Some(Time::from_unix(5)), 1));
        assert_eq!(
            (word(Some(&good)), word(Some(&bad)), word(None)),
            ("fetched", "failing", "waiting")
        );
        let again = after(Some(&bad), Time::from_unix(125), Time::from_unix(185), None);
        assert_eq!((again.failures, word(Some(&again))), (0, "fetched"));
    }
}

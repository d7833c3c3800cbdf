//! When something is due for the authorities of a tenant that nobody has opened.

use avouch_core::time::Time;
use avouch_issuer::life_cycle::{LifeCycle, State, Step, due, due_from};
use avouch_store::{AuthorityRecord, AuthorityState, AuthorityUse, TrustDomainRecord, Upstream};

use super::Group;
use crate::authority_record::life_of;
use crate::authority_record::{list_due_from, signs_lists};

/// From when on something is due for these authorities of these trust domains: perhaps earlier than
/// anything is, and never later.
pub(crate) fn wakes_at(
    domains: &[TrustDomainRecord],
    records: &[AuthorityRecord],
    now: Time,
) -> Time {
    let mut first: Option<Time> = None;
    for domain in domains {
        let own: Vec<&AuthorityRecord> = records
            .iter()
            .filter(|record| record.trust_domain == domain.name)
            .collect();
        let moment = wakes_for(domain.upstream, &own, now);
        first = Some(first.map_or(moment, |first| first.min(moment)));
    }
    // What has no trust domain has no authorities.
    first.unwrap_or(Time::from_unix(i64::MAX))
}

fn wakes_for(upstream: Upstream, own: &[&AuthorityRecord], now: Time) -> Time {
    let further = AuthorityUse::ALL.map(Group::Intermediate);
    let further = further
        .into_iter()
        .filter(|group| !Group::ALL.contains(group) && own.iter().any(|record| group.has(record)));
    let further: Vec<Group> = further.collect();
    let mut moments = Vec::new();
    for group in Group::ALL.iter().chain(&further) {
        let lives = own.iter().filter(|record| group.has(record));
        let lives: Result<Vec<LifeCycle>, _> = lives.map(|record| life_of(record)).collect();
        let Ok(lives) = lives else {
            return now;
        };
        // Where its root is elsewhere, none is made here in the place of what is not there.
        let is_elsewhere = !group.has_own_successors(upstream) && further.is_empty();
        let has_successor = lives.iter().any(|life| life.state() == State::Prepared);
        let waits_for_none = is_elsewhere
            && !has_successor
            && due(&lives, now)
                .iter()
                .all(|step| matches!(step, Step::Prepare));
        if waits_for_none {
            moments.extend(lives.iter().map(|life| life.not_after().plus(1)));
        } else {
            moments.push(due_from(&lives, now));
        }
    }
    for record in own {
        match record.state {
            AuthorityState::Requested => moments.push(record.not_after.plus(1)),
            AuthorityState::Revoked if record.key_address.is_some() => return now,
            AuthorityState::Revoked
            | AuthorityState::Prepared
            | AuthorityState::Active
            | AuthorityState::Retired
            | AuthorityState::Tainted => {}
        }
        if record.not_before > now {
            moments.push(record.not_before);
        }
        if signs_lists(record, now) {
            moments.push(list_due_from(record, now).unwrap_or(now));
        }
    }
    if upstream != Upstream::Elsewhere && has_moved(own) {
        return now;
    }
    moments.into_iter().min().unwrap_or(now).max(now)
}

/// Whether the root that signs now is not that of the intermediate that does.
fn has_moved(own: &[&AuthorityRecord]) -> bool {
    let signing = |group: Group| {
        let all = own.iter().filter(|record| group.has(record));
        let active = all.filter(|record| record.state == AuthorityState::Active);
        active.max_by_key(|record| record.not_after)
    };
    let root = signing(Group::Root);
    let below = signing(Group::Intermediate(AuthorityUse::Services));
    root.zip(below)
        .is_some_and(|(root, below)| below.certificates.last() != root.certificates.first())
}

#[cfg(test)]
mod tests {
    use avouch_core::id::TrustDomain;
    use avouch_store::{AuthorityId, AuthorityKind, AuthorityRole, RevocationListRecord};

    use super::*;

    fn record(group: Group, state: AuthorityState, life: (i64, i64)) -> AuthorityRecord {
        let (kind, role) = match group {
            Group::Root => (AuthorityKind::X509, AuthorityRole::Root),
            Group::Intermediate(_) => (AuthorityKind::X509, AuthorityRole::Intermediate),
            Group::Jwt => (AuthorityKind::Jwt, AuthorityRole::Root),
            Group::Wit => (AuthorityKind::Wit, AuthorityRole::Root),
        };
        AuthorityRecord {
            id: AuthorityId::parse("one").unwrap(),
            trust_domain: TrustDomain::parse("one.test").unwrap(),
            kind,
            role,
            state,
            since: Time::from_unix(0),
            not_before: Time::from_unix(life.0),
            not_after: Time::from_unix(life.1),
            public_key: Vec::new(),
            certificates: Vec::new(),
            private_key: None,
            key_address: None,
            key_is_brought: false,
            used_for: AuthorityUse::Services,
            revoked: Vec::new(),
            revocation_list: None,
        }
    }

    #[test]
    fn a_list_is_due_at_half_its_life_and_at_once_if_it_is_of_the_future() {
        let mut one = record(Group::Root, AuthorityState::Active, (0, 1_000));
        assert_eq!(list_due_from(&one, Time::from_unix(5)), None);
        one.revocation_list = Some(Box::new(RevocationListRecord {
            number: 1,
            this_update: Time::from_unix(100),
            next_update: Time::from_unix(200),
            der: Vec::new(),
        }));
        for (now, due) in [(99, 99), (100, 150), (180, 150)] {
            let from = list_due_from(&one, Time::from_unix(now));
            assert_eq!(from, Some(Time::from_unix(due)), "{now}");
        }
    }

    /// What is done for one group, as [`super::super::Draft::work`] does it, whoever knows of it.
    fn has_work(group: Group, upstream: Upstream, own: &[&AuthorityRecord], now: Time) -> bool {
        let of_group = own.iter().filter(|record| group.has(record));
        let lives: Vec<LifeCycle> = of_group.map(|record| life_of(record).unwrap()).collect();
        let mut steps = due(&lives, now);
        if !group.has_own_successors(upstream) {
            steps.retain(|step| !matches!(step, Step::Prepare));
        }
        !steps.is_empty()
    }

    #[test]
    fn nothing_is_done_before_a_tenant_wakes_wherever_its_root_is() {
        let states = [
            AuthorityState::Active,
            AuthorityState::Prepared,
            AuthorityState::Retired,
            AuthorityState::Revoked,
            AuthorityState::Tainted,
        ];
        let all = states.map(Some).into_iter().chain([None]);
        let pairs = all
            .clone()
            .flat_map(|one| all.clone().map(move |two| (one, two)));
        let services = Group::Intermediate(AuthorityUse::Services);
        let last: Vec<AuthorityRecord> = Group::ALL
            .iter()
            .map(|group| record(*group, AuthorityState::Active, (0, 100_000)))
            .collect();
        for (first, second) in pairs {
            for upstream in [Upstream::Own, Upstream::Elsewhere] {
                for group in [Group::Root, services] {
                    let first = first.map(|state| record(group, state, (0, 60)));
                    let second = second.map(|state| record(group, state, (20, 110)));
                    let others = last.iter().filter(|record| !group.has(record));
                    let own: Vec<&AuthorityRecord> = others.chain(&first).chain(&second).collect();
                    for now in 0..130 {
                        let from = wakes_for(upstream, &own, Time::from_unix(now)).unix();
                        for at in now..from.min(200) {
                            let at = Time::from_unix(at);
                            for group in Group::ALL {
                                assert!(
                                    !has_work(group, upstream, &own, at),
                                    "{upstream:?} {own:?} at {at}, told at {now} to wake at {from}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

//! What is due, round by round, until nothing is; and whom a successor waits for.

use avouch_core::reason::Reason;
use avouch_issuer::life_cycle::{LifeCycle, SKEW, State, Step, due};
use avouch_store::{AuthorityId, AuthorityRecord, AuthorityState, AuthorityUse, Upstream};

use super::{Draft, Group};
use crate::authority_record::{in_state, life_of};
use crate::fault::{Fault, Refused};

/// How often what is due is asked for one group of authorities; three rounds make a new one sign.
const MOST_ROUNDS: usize = 8;

impl Draft<'_> {
    /// Works out all that is due.
    pub(crate) fn work(&mut self) -> Result<(), Refused> {
        for group in self.groups() {
            for _ in 0..MOST_ROUNDS {
                if !self.round(group)? {
                    break;
                }
            }
        }
        let ended = self.records.values().filter(|record| {
            record.state == AuthorityState::Requested && record.not_after < self.now
        });
        for id in ended.map(|record| record.id.clone()).collect::<Vec<_>>() {
            self.forget(Some(&id));
        }
        self.destroy_keys();
        self.sign_due_lists()
    }

    /// The groups that the trust domain has: those that each has, and those for further uses of
    /// which there is an authority.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups = Group::ALL.to_vec();
        for used_for in AuthorityUse::ALL {
            let group = Group::Intermediate(used_for);
            if !groups.contains(&group) && self.records.values().any(|record| group.has(record)) {
                groups.push(group);
            }
        }
        groups
    }

    /// Destroys the keys of revoked authorities that are kept elsewhere, and forgets those that were
    /// brought along. What fails is tried again.
    fn destroy_keys(&mut self) {
        let revoked = self.records.values().filter(|record| {
            record.state == AuthorityState::Revoked && record.key_address.is_some()
        });
        for record in revoked.cloned().collect::<Vec<_>>() {
            let own = record.own_key_address();
            match own.map_or(Ok(()), |address| self.tenant.keys.destroy(address)) {
                Ok(()) => self.put(AuthorityRecord {
                    key_address: None,
                    key_is_brought: false,
                    ..record
                }),
                Err(error) => tracing::error!(
                    tenant = %self.tenant.id(), authority = %record.id, %error,
                    "the key of a revoked authority could not be destroyed; it is tried again"
                ),
            }
        }
    }

    /// Does what is due for one group; whether there was anything to do.
    fn round(&mut self, group: Group) -> Result<bool, Refused> {
        let waits = self.ways_back_that_wait(group);
        let of_group = self.records.values().filter(|record| group.has(record));
        let of_group = of_group.filter(|record| !waits.contains(&record.id));
        let ids: Vec<AuthorityId> = of_group.map(|record| record.id.clone()).collect();
        let lives = ids
            .iter()
            .filter_map(|id| self.records.get(id))
            .map(life_of)
            .collect::<Result<Vec<LifeCycle>, Fault>>()?;
        let mut steps = self.allowed(group, &ids, due(&lives, self.now))?;
        if !self.makes_successors(group) {
            steps.retain(|step| !matches!(step, Step::Prepare));
        }
        if group == Group::Intermediate(AuthorityUse::Services) && steps.is_empty() {
            steps = self.after_a_new_root(&ids)?;
        }
        for step in &steps {
            match step {
                Step::Activate(place) => {
                    self.step(ids.get(*place), LifeCycle::activate)?;
                    self.note_way_back(group, ids.get(*place));
                }
                Step::Retire(place) => self.step(ids.get(*place), LifeCycle::retire)?,
                Step::Forget(place) => self.forget(ids.get(*place)),
                Step::Prepare => self.prepare(group)?,
            }
        }
        Ok(!steps.is_empty())
    }

    /// What is prepared below our own root while one from elsewhere signs: it takes over where someone says
    /// so, or where nothing else signs.
    fn ways_back_that_wait(&self, group: Group) -> Vec<AuthorityId> {
        if group != Group::SERVICES
            || self.upstream != Upstream::Elsewhere
            || !self.has(group, State::Active)
        {
            return Vec::new();
        }
        let prepared = self.records.values().filter(|record| {
            group.has(record)
                && record.state == AuthorityState::Prepared
                && self.now <= record.not_after
                && self.ends_at_own_root(record)
        });
        prepared.map(|record| record.id.clone()).collect()
    }

    /// Notes that what signs now ends at our own root again.
    fn note_way_back(&mut self, group: Group, id: Option<&AuthorityId>) {
        let record = id.and_then(|id| self.records.get(id));
        let is_back = record.is_some_and(|record| self.ends_at_own_root(record));
        if group == Group::SERVICES && is_back && self.upstream == Upstream::Elsewhere {
            self.set_own_upstream();
        }
    }

    /// Whether one can be made below our own root where what signs now is from elsewhere.
    pub(super) fn has_way_back(&self, group: Group) -> bool {
        group == Group::SERVICES && self.has(Group::Root, State::Active)
    }

    /// Whether the next of a group is made here.
    pub(crate) fn makes_successors(&self, group: Group) -> bool {
        group.has_own_successors(self.upstream) || self.is_needed_below(group)
    }

    /// Whether intermediates that are always ours need a root of ours.
    fn is_needed_below(&self, group: Group) -> bool {
        group == Group::Root
            && self.records.values().any(|record| {
                matches!(Group::of(record), Some(Group::Intermediate(used)) if used != AuthorityUse::Services)
            })
    }

    /// What is due where the root that signs now is not that of the intermediate that does: another
    /// intermediate, below that root.
    fn after_a_new_root(&self, ids: &[AuthorityId]) -> Result<Vec<Step>, Refused> {
        let group = Group::Intermediate(AuthorityUse::Services);
        if self.upstream == Upstream::Elsewhere || !self.has(group, State::Active) {
            return Ok(Vec::new());
        }
        let root = self.signing_root()?;
        let place = |state: AuthorityState, is_below: bool| {
            ids.iter().position(|id| {
                self.records.get(id).is_some_and(|record| {
                    let ends_there = record
                        .certificates
                        .last()
                        .is_some_and(|last| last == root.certificate().der());
                    record.state == state && ends_there == is_below
                })
            })
        };
        let Some(active) = place(AuthorityState::Active, false) else {
            return Ok(Vec::new());
        };
        Ok(match place(AuthorityState::Prepared, true) {
            None => vec![Step::Prepare],
            Some(successor) => {
                let steps = vec![Step::Activate(successor), Step::Retire(active)];
                self.allowed(group, ids, steps)?
            }
        })
    }

    /// Leaves out the handing over to a successor that someone has not heard of yet: they would be
    /// given what they could not check. Where none signs there is nothing to wait for.
    fn allowed(
        &self,
        group: Group,
        ids: &[AuthorityId],
        steps: Vec<Step>,
    ) -> Result<Vec<Step>, Fault> {
        let successor = steps.iter().find_map(|step| match step {
            Step::Activate(place) => ids.get(*place),
            Step::Forget(_) | Step::Prepare | Step::Retire(_) => None,
        });
        let Some(successor) = successor else {
            return Ok(steps);
        };
        if !self.has(group, State::Active) {
            return Ok(steps);
        }
        // Who read and followed before this start is not known until they have come back.
        if !self.plane.is_settling() && self.is_known(successor)? {
            return Ok(steps);
        }
        let keeps = |step: &Step| matches!(step, Step::Forget(_) | Step::Prepare);
        Ok(steps.into_iter().filter(keeps).collect())
    }

    /// Whether everyone who should has heard of an authority: the nodes, and those who read what is
    /// published as they are asked to.
    fn is_known(&self, successor: &AuthorityId) -> Result<bool, Fault> {
        let published = self.tenant.held().published.get(successor).copied();
        let (Some(published), Some(record)) = (published, self.records.get(successor)) else {
            // It was prepared a moment ago; it is published when this is stored.
            return Ok(false);
        };
        let nodes = self.plane.behind(self.tenant, published)?.len();
        let plane = self.plane;
        let readers = plane.readers_to_wait_for(self.tenant, record, published);
        if nodes + readers == 0 {
            return Ok(true);
        }
        tracing::warn!(
            tenant = %self.tenant.id(), authority = %successor, nodes, readers,
            "a successor waits for those who do not know it yet"
        );
        Ok(false)
    }

    pub(crate) fn has(&self, group: Group, state: State) -> bool {
        let mut of_group = self.records.values().filter(|record| group.has(record));
        of_group.any(|record| {
            let lasts = record.not_before <= self.now.plus(SKEW) && self.now <= record.not_after;
            record.state.name() == state.name() && lasts
        })
    }

    fn step(
        &mut self,
        id: Option<&AuthorityId>,
        step: fn(LifeCycle, &str) -> Result<LifeCycle, Reason>,
    ) -> Result<(), Refused> {
        let Some(record) = id.and_then(|id| self.records.get(id)) else {
            return Ok(());
        };
        let life = step(life_of(record)?, record.id.as_str())?;
        let record = in_state(record, life.state(), self.now)?;
        self.put(record);
        Ok(())
    }
}

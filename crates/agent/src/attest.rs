//! What the kernel says of a workload.

use std::collections::BTreeSet;
use std::fmt;

use nix::unistd::{Gid, Group, Uid, User};

use crate::cgroup::Groups;
use crate::executable::{Executable, Executables};
use crate::kubelet::Told;
use crate::peer::{Peer, effective};
use crate::selector::{self, Selector};

/// A workload and all that could be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    process: u32,
    /// What the kernel says of it.
    by_kernel: Vec<Selector>,
    /// All facts, sorted.
    selectors: Vec<Selector>,
    absent: Vec<Absent>,
}

/// A fact that could not be told. It matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// What it would have been about, such as `unix:path`.
    pub kind: &'static str,
    /// Why it is not known.
    pub why: String,
}

/// Why nothing is said of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttested {
    /// It has ended, so what was read may be about another.
    #[error("the process has ended")]
    Ended,
    /// It speaks through a connection that it opened as someone else.
    #[error(
        "the process connected as user {then}, group {then_group} and is now user {now}, group {now_group}"
    )]
    Changed {
        /// The user that connected.
        then: u32,
        /// The group that connected.
        then_group: u32,
        /// The user it is now.
        now: u32,
        /// The group it is now.
        now_group: u32,
    },
    /// What the kernel shows of the process cannot be read.
    #[error("the status of the process cannot be read: {0}")]
    Unreadable(String),
}

/// Asks the kernel who `peer` is. Blocks on files and on the system's database of users.
///
/// # Errors
///
/// When the process has ended, has become another user since it connected, or cannot be seen.
pub fn attest(peer: &Peer, executables: &Executables) -> Result<Attested, NotAttested> {
    let mut found = Found::default();
    let same_user = same_user(peer);
    found.user(peer.user());
    found.group(peer.group());
    found.groups(Groups::of(peer.process()));
    found.executable(executables.of(peer.process()));
    // Last of all: only now is it certain that all of this was about this process.
    if peer.has_ended() {
        return Err(NotAttested::Ended);
    }
    same_user?;
    let selectors: Vec<Selector> = found.selectors.into_iter().collect();
    Ok(Attested {
        process: peer.process(),
        by_kernel: selectors.clone(),
        selectors,
        absent: found.absent,
    })
}

impl Attested {
    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// The number of its effective user.
    pub(crate) fn user(&self) -> u32 {
        let mut users = self.selectors.iter();
        let user = users.find_map(|one| match one {
            Selector::UnixUid(user) => Some(*user),
            _ => None,
        });
        // The kernel tells it of every process.
        user.unwrap_or(u32::MAX)
    }

    /// Whether the kernel said the same of it as it says of `now`.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        (self.process, &self.by_kernel) == (now.process, &now.by_kernel)
    }

    /// Adds what was told by someone else than the kernel.
    pub(crate) fn add(&mut self, told: Told) {
        self.selectors.extend(told.selectors);
        self.selectors.sort();
        self.selectors.dedup();
        self.absent.extend(told.absent);
    }

    /// Its pod and its container, if it is in one.
    pub(crate) fn pod(&self) -> Option<(&str, &str)> {
        let pod = self.selectors.iter().find_map(|one| match one {
            Selector::PodUid(uid) => Some(uid.as_str()),
            _ => None,
        });
        let container = self.selectors.iter().find_map(|one| match one {
            Selector::ContainerId(id) => Some(id.as_str()),
            _ => None,
        });
        pod.zip(container)
    }

    /// The facts, sorted.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The facts that could not be told, and why.
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.why)
    }
}

#[derive(Default)]
struct Found {
    selectors: BTreeSet<Selector>,
    absent: Vec<Absent>,
}

impl Found {
    fn user(&mut self, number: u32) {
        self.selectors.insert(Selector::UnixUid(number));
        let name = User::from_uid(Uid::from_raw(number)).map(|user| user.map(|user| user.name));
        match named(name) {
            Ok(name) => drop(self.selectors.insert(Selector::UnixUser(name))),
            Err(why) => self.lack("unix:user", why),
        }
    }

    fn group(&mut self, number: u32) {
        self.selectors.insert(Selector::UnixGid(number));
        let name =
            Group::from_gid(Gid::from_raw(number)).map(|group| group.map(|group| group.name));
        match named(name) {
            Ok(name) => drop(self.selectors.insert(Selector::UnixGroup(name))),
            Err(why) => self.lack("unix:group", why),
        }
    }

    fn groups(&mut self, groups: Groups) {
        self.fact("container:id", groups.container.map(Selector::ContainerId));
        self.fact("k8s:pod-uid", groups.pod.map(Selector::PodUid));
        self.fact("systemd:unit", groups.unit.map(Selector::SystemdUnit));
        let user_unit = groups.user_unit;
        let user_unit = user_unit.map(|(user, unit)| Selector::SystemdUserUnit(user, unit));
        self.fact("systemd:user-unit", user_unit);
    }

    fn fact(&mut self, kind: &'static str, found: Result<Selector, String>) {
        match found {
            Ok(selector) => drop(self.selectors.insert(selector)),
            Err(why) => self.lack(kind, why),
        }
    }

    fn executable(&mut self, executable: Result<Executable, String>) {
        let executable = match executable {
            Ok(executable) => executable,
            Err(why) => {
                self.lack("unix:path", why.clone());
                return self.lack("unix:sha256", why);
            }
        };
        self.selectors.insert(Selector::UnixPath(executable.path));
        match executable.digest {
            Ok(digest) => drop(self.selectors.insert(Selector::UnixSha256(digest))),
            Err(why) => self.lack("unix:sha256", why),
        }
    }

    fn lack(&mut self, kind: &'static str, why: String) {
        self.absent.push(Absent { kind, why });
    }
}

fn named(found: nix::Result<Option<String>>) -> Result<String, String> {
    let name = found
        .map_err(|error| format!("the system's database does not answer: {error}"))?
        .ok_or_else(|| "the system's database has no name for the number".to_owned())?;
    selector::name(&name).ok_or_else(|| "the name cannot be written as one word".to_owned())
}

/// A process may connect as root and then become someone lesser, or hand its connection to a
/// program that is: it is served only as long as it is who it was.
fn same_user(peer: &Peer) -> Result<(), NotAttested> {
    let (now, now_group) = effective(peer.process()).map_err(NotAttested::Unreadable)?;
    if (now, now_group) == (peer.user(), peer.group()) {
        return Ok(());
    }
    Err(NotAttested::Changed {
        then: peer.user(),
        then_group: peer.group(),
        now,
        now_group,
    })
}

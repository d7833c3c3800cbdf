//! What the kernel says of a workload.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::{fmt, fs};

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
    /// What stays for as long as the process is who it was.
    lasting: Lasting,
    /// All facts, sorted.
    selectors: Vec<Selector>,
    absent: Vec<Absent>,
}

/// What only changes when a process becomes someone else: another user, another group, moved to another
/// unit or container, or running another program. A name that the system's database does not tell at the
/// moment is none of it, nor is the path of a program whose file was replaced by a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lasting {
    facts: Vec<Selector>,
    /// The file that it runs, by its device and its number there.
    program: Option<(u64, u64)>,
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
    let program = program(peer.process());
    // Last of all: only now is it certain that all of this was about this process.
    if peer.has_ended() {
        return Err(NotAttested::Ended);
    }
    same_user?;
    let selectors: Vec<Selector> = found.selectors.into_iter().collect();
    Ok(Attested {
        process: peer.process(),
        lasting: Lasting {
            facts: selectors.iter().filter(|one| lasts(one)).cloned().collect(),
            program,
        },
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

    /// Whether it is still who it was, as the kernel tells now: the same process of the same user and
    /// group, in the same unit and container, running the same file, also where that was replaced since.
    pub fn is_still(&self, now: &Self) -> bool {
        (self.process, &self.lasting) == (now.process, &now.lasting)
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

fn lasts(fact: &Selector) -> bool {
    match fact {
        Selector::ContainerId(_)
        | Selector::PodUid(_)
        | Selector::SystemdUnit(_)
        | Selector::SystemdUserUnit(..)
        | Selector::UnixGid(_)
        | Selector::UnixUid(_) => true,
        Selector::Pod(..)
        | Selector::UnixGroup(_)
        | Selector::UnixPath(_)
        | Selector::UnixSha256(_)
        | Selector::UnixUser(_) => false,
    }
}

/// The file that a process runs, also if it stands nowhere any more.
fn program(process: u32) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((file.dev(), file.ino()))
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

#[cfg(test)]
mod tests {
    use avouch_core::id::Digest;

    use super::*;
    use crate::selector::PodFact;

    fn told(process: u32, selectors: Vec<Selector>, inode: u64) -> Attested {
        Attested {
            process,
            lasting: Lasting {
                facts: selectors.iter().filter(|one| lasts(one)).cloned().collect(),
                program: Some((1, inode)),
            },
            selectors,
            absent: Vec::new(),
        }
    }

    #[test]
    fn only_a_fact_that_the_process_itself_changes_makes_it_someone_else() {
        let a = || "a".to_owned();
        let before = told(7, Vec::new(), 5);
        for (fact, lasts) in [
            (Selector::ContainerId(a()), true),
            (Selector::PodUid(a()), true),
            (Selector::SystemdUnit(a()), true),
            (Selector::SystemdUserUnit(1000, a()), true),
            (Selector::UnixGid(1000), true),
            (Selector::UnixUid(1000), true),
            // Told by who may be away, or of a file that may have been replaced.
            (Selector::Pod(PodFact::Name, a()), false),
            (Selector::UnixGroup(a()), false),
            (Selector::UnixPath(a()), false),
            (Selector::UnixSha256(Digest::of(b"a")), false),
            (Selector::UnixUser(a()), false),
        ] {
            let now = told(7, vec![fact], 5);
            assert_eq!(before.is_still(&now), !lasts, "{now:?}");
        }
        assert!(!before.is_still(&told(8, Vec::new(), 5)));
    }

    #[test]
    fn who_becomes_someone_else_or_runs_another_program_is_not_who_it_was() {
        let attested = |user: u32, unit: &str, inode: u64, name: Option<&str>| {
            let mut selectors = vec![
                Selector::SystemdUnit(unit.to_owned()),
                Selector::UnixUid(user),
            ];
            selectors.extend(name.map(|name| Selector::UnixUser(name.to_owned())));
            told(7, selectors, inode)
        };
        let before = attested(1000, "web.service", 5, Some("web"));
        // Where the system's database does not answer at the moment.
        assert!(before.is_still(&attested(1000, "web.service", 5, None)));
        assert!(!before.is_still(&attested(1001, "web.service", 5, Some("web"))));
        assert!(!before.is_still(&attested(1000, "shop.service", 5, Some("web"))));
        assert!(!before.is_still(&attested(1000, "web.service", 6, Some("web"))));
    }
}

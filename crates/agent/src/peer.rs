//! The process at the other end of a socket, held so that it cannot be taken for another.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// The process that opened a connection, as the kernel recorded it at that moment.
///
/// A process number alone is a promise of nothing: when the process ends, the number is given to
/// another. So the process is held by a pidfd, which the kernel made of the very process that
/// connected (`SO_PEERPIDFD`, Linux 6.5). An older kernel has none; there the time at which the
/// process started, read when the connection is accepted, stands in for it, and a process that
/// connects and ends before that moment may be taken for the next with its number.
#[derive(Debug)]
pub struct Peer {
    process: u32,
    user: u32,
    group: u32,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    Pidfd(AsyncFd<OwnedFd>),
    /// In clock ticks since the machine started.
    StartedAt(u64),
}

/// Why it cannot be told who connected.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// It ended before it could be held.
    #[error("the process that connected has ended")]
    Ended,
    /// It is in another process namespace, which this one cannot see into.
    #[error("the process that connected is not visible from here")]
    Invisible,
    /// The kernel did not answer.
    #[error("the kernel does not tell who connected: {0}")]
    Kernel(#[from] io::Error),
}

impl Peer {
    /// Who opened `connection`. To be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the process has ended or is not visible, or when the kernel does not answer.
    pub fn of(connection: &UnixStream) -> Result<Self, Unidentified> {
        let credentials =
            getsockopt(connection, sockopt::PeerCredentials).map_err(io::Error::from)?;
        let process = u32::try_from(credentials.pid()).unwrap_or_default();
        if process == 0 {
            return Err(Unidentified::Invisible);
        }
        let hold = match getsockopt(connection, sockopt::PeerPidfd) {
            Ok(pidfd) => Hold::Pidfd(watched(pidfd)?),
            Err(Errno::ENOPROTOOPT) => {
                Hold::StartedAt(started_at(process).ok_or(Unidentified::Ended)?)
            }
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENODATA) => return Err(Unidentified::Ended),
            Err(error) => return Err(Unidentified::Kernel(error.into())),
        };
        Ok(Self {
            process,
            user: credentials.uid(),
            group: credentials.gid(),
            hold,
        })
    }

    /// The process with this number, as it is now. Whoever names it answers for the number being
    /// that of the process it means; from here on it is held.
    ///
    /// # Errors
    ///
    /// When there is none, or when the kernel does not answer.
    pub(crate) fn numbered(process: u32) -> Result<Self, Unidentified> {
        let number = i32::try_from(process).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(number.ok_or(Unidentified::Ended)?, PidfdFlags::NONBLOCK);
        let pidfd = pidfd.map_err(|error| match error {
            // The number of a thread is called invalid, or unknown.
            rustix::io::Errno::SRCH | rustix::io::Errno::INVAL | rustix::io::Errno::NOENT => {
                Unidentified::Ended
            }
            error => Unidentified::Kernel(error.into()),
        })?;
        let hold = Hold::Pidfd(watched(pidfd)?);
        let (user, group) = effective(process).map_err(|_| Unidentified::Invisible)?;
        let peer = Self {
            process,
            user,
            group,
            hold,
        };
        if peer.has_ended() {
            return Err(Unidentified::Ended);
        }
        Ok(peer)
    }

    /// Its number, as this process sees it.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Its effective user when it connected.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Its effective group when it connected.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Whether it has ended. As long as it has not, its number is its own: whatever was read under
    /// that number before this says `false` was about this process.
    pub fn has_ended(&self) -> bool {
        match &self.hold {
            Hold::Pidfd(pidfd) => {
                let mut watched = [PollFd::new(pidfd.get_ref().as_fd(), PollFlags::POLLIN)];
                // A pidfd becomes readable when its process ends. No answer counts as the end.
                !matches!(poll(&mut watched, PollTimeout::ZERO), Ok(0))
            }
            Hold::StartedAt(start) => started_at(self.process) != Some(*start),
        }
    }

    /// Returns when it ends; never on a kernel that has no pidfd for it.
    pub async fn end(&self) {
        match &self.hold {
            // An error means that it cannot be watched any more, so it is not served any more.
            Hold::Pidfd(pidfd) => drop(pidfd.readable().await),
            Hold::StartedAt(_) => std::future::pending().await,
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe`, as some types close their descriptor early; an `OwnedFd` does not"
)]
fn watched(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

/// The effective user and group of a process now.
pub(crate) fn effective(process: u32) -> Result<(u32, u32), String> {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.map_err(|error| error.to_string())?;
    let number =
        |field| effective_in(&status, field).ok_or_else(|| format!("it has no field `{field}`"));
    Ok((number("Uid:")?, number("Gid:")?))
}

/// The second of the four numbers (real, effective, saved, file system) of a line of
/// `proc_pid_status(5)`.
fn effective_in(status: &str, field: &str) -> Option<u32> {
    let numbers = status.lines().find_map(|line| line.strip_prefix(field))?;
    numbers.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// When a process started, in clock ticks since the machine did (`proc_pid_stat(5)`, field 22).
fn started_at(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    start_in(&stat)
}

fn start_in(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_found_behind_any_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_in(&format!("7 (cat) {fields}")), Some(4711));
        assert_eq!(start_in(&format!("7 (a) b) c) {fields}")), Some(4711));
        assert_eq!(start_in("7 (cat) S"), None);
        assert_eq!(start_in(""), None);
    }

    #[test]
    fn the_effective_user_is_the_second_number_of_its_line() {
        let status = "Name:\tUid:\t9\nUid:\t1000\t0\t1000\t1000\nGid:\t5\t6\t7\t8\n";
        assert_eq!(effective_in(status, "Uid:"), Some(0));
        assert_eq!(effective_in(status, "Gid:"), Some(6));
        assert_eq!(effective_in("Uid:\t1000\n", "Uid:"), None);
        assert_eq!(effective_in("", "Uid:"), None);
    }

    #[tokio::test]
    async fn a_process_is_known_by_its_number_as_long_as_it_runs() {
        let peer = Peer::numbered(std::process::id()).unwrap();
        assert_eq!(peer.user(), nix::unistd::geteuid().as_raw());
        assert_eq!(peer.group(), nix::unistd::getegid().as_raw());
        assert!(!peer.has_ended());
        for nobody in [0, u32::MAX, i32::MAX.unsigned_abs()] {
            let ended = Peer::numbered(nobody).unwrap_err();
            assert!(matches!(ended, Unidentified::Ended), "{nobody}: {ended}");
        }
    }

    #[test]
    fn a_process_that_runs_has_a_start_and_one_that_does_not_has_none() {
        assert!(started_at(std::process::id()).is_some());
        assert_eq!(started_at(u32::MAX), None);
    }

    #[tokio::test]
    async fn a_peer_is_known_by_what_the_kernel_says_of_it() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(&here).unwrap();
        assert_eq!(peer.process(), std::process::id());
        assert_eq!(peer.user(), nix::unistd::geteuid().as_raw());
        assert_eq!(peer.group(), nix::unistd::getegid().as_raw());
        assert!(!peer.has_ended());
    }

    #[tokio::test]
    async fn without_a_pidfd_a_process_is_told_from_the_next_by_its_start() {
        let process = std::process::id();
        let with_start = |start| Peer {
            process,
            user: 0,
            group: 0,
            hold: Hold::StartedAt(start),
        };
        let start = started_at(process).unwrap();
        assert!(!with_start(start).has_ended());
        assert!(with_start(start + 1).has_ended());
    }
}

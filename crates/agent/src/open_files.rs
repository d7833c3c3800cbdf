//! How many files this process may have open: each connection of a workload takes two of them, its
//! socket and the descriptor that holds its process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this are soon used up by connections, and it is worth telling whoever runs the program.
const FEW: u64 = 4096;

/// Raises the limit to the highest that whoever started this process permits. The lower one that a
/// process usually begins with is there for programs that wait by `select(2)`, which can count no
/// further; this one waits by `epoll(7)`. To be called once, at the start, after the log.
///
/// The limit that holds from now on is logged, and where it cannot be raised, the former one stays.
pub fn raise_limit() {
    let former = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: former.maximum,
        maximum: former.maximum,
    };
    if former.current != former.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the number of files that may be open cannot be raised");
    }
    let files = limit();
    if files < FEW {
        tracing::warn!(
            files,
            "few files may be open at once, so few connections too; raise the limit of the service \
             (LimitNOFILE, ulimit -n)"
        );
    } else {
        tracing::info!(files, "so many files may be open at once");
    }
}

/// How many files this process may have open at once.
pub(crate) fn limit() -> u64 {
    // No limit is as good as the highest number.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_highest_that_is_permitted() {
        let highest = getrlimit(Resource::Nofile).maximum;
        // Lower than it is, and higher than what the other tests of this process need meanwhile.
        let lower = Rlimit {
            current: Some(1024),
            maximum: highest,
        };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_eq!(limit(), 1024);
        raise_limit();
        assert_eq!(limit(), highest.unwrap_or(u64::MAX));
    }
}

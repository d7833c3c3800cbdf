//! The file that a process runs.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use avouch_core::id::Digest;
use aws_lc_rs::digest;

use crate::selector;

/// Finds the executables of processes, and remembers the digests of files that did not change.
#[derive(Debug)]
pub struct Executables {
    largest: u64,
    known: Mutex<BTreeMap<Version, Digest>>,
}

/// One content of one file. The kernel sets the time of change itself, so it cannot be turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// An executable that is the same file for the workload and for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    pub(crate) path: String,
    pub(crate) digest: Result<Digest, String>,
}

impl Executables {
    /// How many digests are remembered; more than a machine runs programs, and 100 KB at most.
    const MOST_REMEMBERED: usize = 1024;

    /// 512 MiB: the largest programs of today, and about a second of hashing.
    pub(crate) const LARGEST: u64 = 512 << 20;

    /// Two changes of a file that are closer than this may bear the same time: file systems stamp
    /// by the tick or, at the coarsest, by two seconds.
    const SETTLED: Duration = Duration::from_secs(3);

    /// Reads files of up to `largest` bytes; of a larger one the digest is not told.
    pub fn new(largest: u64) -> Self {
        Self {
            largest,
            known: Mutex::default(),
        }
    }

    /// The executable of a process, or why it is not told.
    ///
    /// A process can make a file system of its own, with any file at any path and any content each
    /// time it is read. So an executable counts only if the agent finds the same file at that path
    /// in its own file system. The executables of containers are thereby not told.
    pub(crate) fn of(&self, process: u32) -> Result<Executable, String> {
        let link = format!("/proc/{process}/exe");
        let cannot =
            |what: &str, error: &io::Error| format!("the executable cannot be {what}: {error}");
        let path = fs::read_link(&link).map_err(|error| cannot("told", &error))?;
        let path = path
            .to_str()
            .and_then(selector::path)
            .ok_or("the path of the executable cannot be written as a selector")?;
        let file = File::open(&link).map_err(|error| cannot("opened", &error))?;
        let version = version(&file).map_err(|error| cannot("examined", &error))?;
        let seen_from_here = fs::metadata(&path)
            .is_ok_and(|here| (here.dev(), here.ino()) == (version.device, version.inode));
        if !seen_from_here {
            return Err("the executable is another file, or none, as seen from the agent".into());
        }
        Ok(Executable {
            path,
            digest: self.digest(file, version),
        })
    }

    fn digest(&self, file: File, version: Version) -> Result<Digest, String> {
        if let Some(digest) = self.recall(version) {
            return Ok(digest);
        }
        if version.size > self.largest {
            return Err(format!(
                "the executable has {} bytes, and more than {} are not read",
                version.size, self.largest
            ));
        }
        let digest = hash(&file, self.largest)
            .map_err(|error| format!("the executable cannot be read: {error}"))?;
        if self::version(&file).ok() != Some(version) {
            return Err("the executable changed while it was read".to_owned());
        }
        if has_settled(version) {
            self.remember(version, digest);
        }
        Ok(digest)
    }

    fn recall(&self, version: Version) -> Option<Digest> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        known.get(&version).copied()
    }

    fn remember(&self, version: Version, digest: Digest) {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.len() >= Self::MOST_REMEMBERED {
            known.clear();
        }
        known.insert(version, digest);
    }
}

impl Default for Executables {
    /// Files of up to 512 MiB.
    fn default() -> Self {
        Self::new(Self::LARGEST)
    }
}

fn version(file: &File) -> io::Result<Version> {
    let metadata: Metadata = file.metadata()?;
    Ok(Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Whether another change of the file would bear another time than this one.
fn has_settled(version: Version) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of change was given by the same clock; nothing is decided by it but what to remember"
    )]
    let now = SystemTime::now();
    let changed = u64::try_from(version.changed.0).unwrap_or(u64::MAX);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(changed))
        .and_then(|changed| changed.checked_add(Executables::SETTLED))
        .is_some_and(|settled| settled < now)
}

fn hash(file: &File, largest: u64) -> io::Result<Digest> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut reader = file.take(largest);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        match buffer.get(..count) {
            None | Some([]) => break,
            Some(bytes) => context.update(bytes),
        }
    }
    let bytes = context.finish();
    let bytes = bytes.as_ref().try_into().map_err(io::Error::other)?;
    Ok(Digest::from_bytes(bytes))
}

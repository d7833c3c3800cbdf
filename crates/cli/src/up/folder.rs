//! The folder of a deployment: who may read what in it, and that only one process uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use serde_json::Value;

use super::LOCAL_NODE;
use crate::clock;
use crate::fault::Fault;

/// Others may pass through, to the socket of workloads, and see nothing of what is in it.
const MODE: u32 = 0o711;

/// The file that keeps the name of the local node where the store is shared.
const NAME_FILE: &str = "node-name";

/// A folder that this process has to itself.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl Folder {
    /// Makes the folder if it is missing, and takes it for this process. One that was there is let be as
    /// it is: who may read and pass through it is for whoever made it to say.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let fault = |error: io::Error| Fault::Folder {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let is_made = make(path).map_err(fault)?;
        let path = fs::canonicalize(path).map_err(fault)?;
        if !is_made && keeps_others_out(&path).map_err(fault)? {
            tracing::warn!(
                folder = %path.display(),
                "others may not pass through this folder, so workloads of other users do not reach what \
                 is in it: let them (`chmod o+x`), or have the socket elsewhere (`--socket`)"
            );
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path,
                _lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(Fault::Folder {
                path,
                why: "another `avouch up` uses it; stop that one, or choose another folder with --data"
                    .to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the agent keeps its own identity.
    pub(super) fn agent(&self) -> PathBuf {
        self.path.join("agent")
    }

    /// The name of the local node. Where other servers have the same store each has a node of its own,
    /// which would take the place of any other of its name: so it is named by chance, and its name kept.
    /// A node that has a name already keeps that one.
    pub(super) fn node_name(&self, is_alone: bool) -> Result<String, Fault> {
        if is_alone {
            return Ok(LOCAL_NODE.to_owned());
        }
        let kept = fs::read_to_string(self.path.join(NAME_FILE)).ok();
        let kept = kept.map(|name| name.trim().to_owned());
        if let Some(name) = kept.filter(|name| !name.is_empty()).or(self.joined_as()) {
            return Ok(name);
        }
        let name = format!("{LOCAL_NODE}-{}", clock::unique());
        self.write_public(NAME_FILE, &name)?;
        Ok(name)
    }

    /// The name under which the agent joined last, if it did.
    fn joined_as(&self) -> Option<String> {
        let kept = fs::read(self.agent().join("node.json")).ok()?;
        let kept: Value = serde_json::from_slice(&kept).ok()?;
        let id = SpiffeId::parse(kept.get("spiffe_id")?.as_str()?).ok()?;
        id.segments().last().map(str::to_owned)
    }

    /// Where workloads call, unless they are told otherwise.
    pub(super) fn socket(&self, chosen: Option<&Path>) -> PathBuf {
        match chosen {
            Some(chosen) => std::path::absolute(chosen).unwrap_or_else(|_| chosen.to_owned()),
            None => self.path.join("agent.sock"),
        }
    }

    /// Writes a file that everyone may read, if it is not as it should be.
    pub(super) fn write_public(&self, name: &str, text: &str) -> Result<(), Fault> {
        let is_same = fs::read_to_string(self.path.join(name)).is_ok_and(|there| there == text);
        if is_same {
            return Ok(());
        }
        self.write(name, text, 0o644)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<(), Fault> {
        self.write(name, text, 0o600)
    }

    /// The file is whole, or as it was, at any moment.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), Fault> {
        let write = || {
            let new = self.path.join(format!("{name}.new"));
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true).mode(mode);
            let mut file = options.open(&new)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(name))
        };
        write().map_err(|error| Fault::Folder {
            path: self.path.join(name),
            why: error.to_string(),
        })
    }
}

/// Makes a folder if it is missing, and those above it; whether it was.
fn make(path: &Path) -> io::Result<bool> {
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(MODE).create(above)?;
    }
    match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => {
            // The kernel takes the user's mask off what is made.
            fs::set_permissions(path, Permissions::from_mode(MODE))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn keeps_others_out(folder: &Path) -> io::Result<bool> {
    const MAY_PASS: u32 = 0o001;
    Ok(fs::metadata(folder)?.permissions().mode() & MAY_PASS == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_that_was_there_keeps_its_mode_and_one_that_is_made_lets_others_pass_through() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o1777, 0o700, 0o755] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            drop(Folder::open(folder.path()).unwrap());
            assert_eq!(mode_of(folder.path()), mode);
        }
        let made = folder.path().join("above").join("data");
        let opened = Folder::open(&made).unwrap();
        assert_eq!(mode_of(&made), MODE);
        assert!(Folder::open(&made).is_err(), "two have it at once");
        drop(opened);
        drop(Folder::open(&made).unwrap());
        assert_eq!(mode_of(&made), MODE);
    }
}

//! The folder of a deployment: who may read what in it, and that only one process uses it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avouch_core::id::SpiffeId;
use avouch_store::sqlite::DATABASE_FILE;
use serde_json::Value;

use super::LOCAL_NODE;
use crate::clock;
use crate::fault::Fault;

/// Others may pass through, to the socket of workloads, and see nothing of what is in it.
const MODE: u32 = 0o711;

/// The file by which agents on other machines know the server; there since a plane was started here.
pub(super) const SERVER_FILE: &str = "server.json";

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
        make(path).map_err(fault)?;
        let path = fs::canonicalize(path).map_err(fault)?;
        if others_may_write(&path).map_err(fault)? {
            tracing::warn!(
                folder = %path.display(),
                "others may write in this folder, and so put files of theirs in the place of those of the \
                 server: let them not (`chmod go-w`)"
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

    /// That the database of the plane that was started here before is here, where none is named elsewhere:
    /// in its place an empty one would be made, with other keys.
    pub(super) fn check_database(&self, is_elsewhere: bool) -> Result<(), Fault> {
        let has = |name: &str| self.path.join(name).exists();
        if is_elsewhere || has(DATABASE_FILE) || !has(SERVER_FILE) {
            return Ok(());
        }
        Err(Fault::Folder {
            path: self.path.clone(),
            why: format!(
                "a plane was started here whose database is not in it: say where that is with --store, as then. \
                 To begin anew, choose another folder with --data, or remove `{SERVER_FILE}` in this one"
            ),
        })
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

    /// Warns if workloads of other users do not reach the socket because it lies in here.
    pub(super) fn warn_of_unreached(&self, socket: &Path) {
        if self.keeps_others_from(socket) {
            tracing::warn!(
                folder = %self.path.display(),
                "others may not pass through this folder, so workloads of other users do not reach the \
                 socket in it: let them (`chmod o+x`), or have the socket elsewhere (`--socket`)"
            );
        }
    }

    fn keeps_others_from(&self, socket: &Path) -> bool {
        const MAY_PASS: u32 = 0o001;
        let above = socket.parent().map(fs::canonicalize);
        let lies_here = above.is_some_and(|above| above.is_ok_and(|it| it.starts_with(&self.path)));
        lies_here && mode_of(&self.path).is_ok_and(|mode| mode & MAY_PASS == 0)
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
            // What is left of an earlier attempt may have other permissions, or be a link that someone
            // else has put there.
            drop(fs::remove_file(&new));
            let mut options = OpenOptions::new();
            let mut file = options.create_new(true).write(true).mode(mode).open(&new)?;
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

/// Makes a folder if it is missing, and those above it.
fn make(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(MODE).create(above)?;
    }
    match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => {
            // The kernel takes the user's mask off what is made.
            fs::set_permissions(path, Permissions::from_mode(MODE))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn others_may_write(folder: &Path) -> io::Result<bool> {
    const MAY_WRITE: u32 = 0o022;
    Ok(mode_of(folder)? & MAY_WRITE != 0)
}

fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_that_was_there_keeps_its_mode_and_one_that_is_made_lets_others_pass_through() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o1777, 0o700, 0o755] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            drop(Folder::open(folder.path()).unwrap());
            assert_eq!(mode_of(folder.path()).unwrap(), mode);
        }
        let made = folder.path().join("above").join("data");
        let opened = Folder::open(&made).unwrap();
        assert_eq!(mode_of(&made).unwrap(), MODE);
        assert!(Folder::open(&made).is_err(), "two have it at once");
        drop(opened);
        drop(Folder::open(&made).unwrap());
        assert_eq!(mode_of(&made).unwrap(), MODE);
    }

    #[test]
    fn no_second_database_is_begun_where_that_of_the_plane_is_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.check_database(false).unwrap();
        folder.write_public(SERVER_FILE, "{}").unwrap();
        folder.check_database(true).unwrap();
        let refused = folder.check_database(false).unwrap_err().to_string();
        assert!(refused.contains("--store"), "{refused}");
        fs::write(place.path().join(DATABASE_FILE), "").unwrap();
        folder.check_database(false).unwrap();
    }

    #[test]
    fn links_that_others_have_put_there_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (data, theirs) = (place.path().join("data"), place.path().join("theirs"));
        let folder = Folder::open(&data).unwrap();
        fs::write(&theirs, "theirs").unwrap();
        symlink(&theirs, data.join("operator.jwt.new")).unwrap();
        folder.write_secret("operator.jwt", "secret").unwrap();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
        let written = data.join("operator.jwt");
        assert!(!written.is_symlink());
        assert_eq!(fs::read_to_string(&written).unwrap(), "secret");
        assert_eq!(mode_of(&written).unwrap(), 0o600);
    }

    #[test]
    fn others_are_kept_from_a_socket_only_where_it_lies_in_a_folder_that_they_may_not_pass() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let folder = Folder::open(&data).unwrap();
        let (own, elsewhere) = (folder.socket(None), place.path().join("agent.sock"));
        assert!(!folder.keeps_others_from(&own));
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        assert!(folder.keeps_others_from(&own));
        assert!(!folder.keeps_others_from(&elsewhere));
    }

    #[test]
    fn a_folder_in_which_others_may_write_is_told_from_one_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, may) in [
            (0o1777, true),
            (0o775, true),
            (0o755, false),
            (0o700, false),
        ] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(others_may_write(folder.path()).unwrap(), may, "{mode:o}");
        }
    }
}

//! A socket that comes back when something removes it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Fault, make_way};

/// How often it is looked whether the socket is still where clients look for it. Cleaners of temporary
/// folders come once a day; a few seconds are nothing to that.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);

/// Accepts connections at a path, and makes the socket anew where it was removed: nobody could connect
/// to it any more, and no client would know why.
#[derive(Debug)]
pub(crate) struct Lasting {
    path: PathBuf,
    permissions: u32,
    listener: UnixListener,
    place: Place,
    looked_at: Interval,
    /// Why the socket cannot be made anew, as it was told last: the log tells it once.
    failure: Option<String>,
}

impl Lasting {
    /// Opens the socket at an absolute path, with these permissions. To be called within a Tokio
    /// runtime.
    pub(super) fn open(path: &Path, permissions: u32) -> Result<Self, Fault> {
        let (listener, file) = bind(path, permissions)?;
        let mut looked_at = interval(LOOKED_AT_EVERY);
        looked_at.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            path: path.to_owned(),
            permissions,
            listener,
            place: Place {
                path: path.to_owned(),
                file: Arc::new(Mutex::new(file)),
            },
            looked_at,
            failure: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, to be cleared when it is not served any more.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// The next connection. Given up while it waits, it has lost none.
    pub(crate) async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return accepted.map(|(stream, _)| stream),
                _ = self.looked_at.tick() => self.make_anew_if_removed(),
            }
        }
    }

    fn make_anew_if_removed(&mut self) {
        let is_removed = fs::symlink_metadata(&self.path)
            .is_err_and(|error| error.kind() == ErrorKind::NotFound);
        // What someone else has put there is theirs.
        if !is_removed {
            return;
        }
        let path = self.path.display();
        match bind(&self.path, self.permissions) {
            Ok((listener, file)) => {
                tracing::warn!(%path, "the socket was removed by someone, and is made anew");
                self.listener = listener;
                self.place.moves_to(file);
                self.failure = None;
            }
            Err(fault) => {
                let why = fault.to_string();
                if self.failure.as_ref() != Some(&why) {
                    tracing::error!(%path, why, "the socket was removed, and cannot be made anew");
                }
                self.failure = Some(why);
            }
        }
    }
}

/// Where a socket is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    file: Arc<Mutex<FileId>>,
}

impl Place {
    fn moves_to(&self, file: FileId) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Removes the socket, if it is still ours.
    pub(crate) fn clear(self) {
        let file = *self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = FileId::of(&self.path).and_then(|there| match there == file {
            true => fs::remove_file(&self.path),
            false => Ok(()),
        });
        if let Err(error) = removed {
            tracing::debug!(path = %self.path.display(), %error, "the socket was not removed");
        }
    }
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

fn bind(path: &Path, permissions: u32) -> Result<(UnixListener, FileId), Fault> {
    let fault = |what| {
        let path = path.to_owned();
        move |source| Fault::Io { what, path, source }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault("put into a folder"))?;
    }
    make_way(path)?;
    let listener = UnixListener::bind(path).map_err(fault("opened"))?;
    fs::set_permissions(path, Permissions::from_mode(permissions))
        .map_err(fault("opened to those who may call"))?;
    let file = FileId::of(path).map_err(fault("examined"))?;
    Ok((listener, file))
}

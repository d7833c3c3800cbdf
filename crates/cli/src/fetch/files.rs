//! Files that other programs read again and again.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// Writes a file, and its folder if there is none. It is whole, or as it was, at any moment: a
/// program that reads it again finds either.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), Fault> {
    Staged::write(path, text, mode)?.put()
}

/// A file that is written beside the one whose place it takes; it is gone if it never does.
pub(super) struct Staged {
    new: PathBuf,
    path: PathBuf,
}

impl Staged {
    pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<Self, Fault> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let staged = Self {
            new: new.into(),
            path: path.to_owned(),
        };
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // What is left of an earlier attempt may have other permissions.
            drop(fs::remove_file(&staged.new));
            let mut options = OpenOptions::new();
            let options = options.create_new(true).write(true).mode(mode);
            let mut file = options.open(&staged.new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|why| staged.fault(&why))?;
        Ok(staged)
    }

    pub(super) fn put(self) -> Result<(), Fault> {
        fs::rename(&self.new, &self.path).map_err(|why| self.fault(&why))
    }

    fn fault(&self, why: &io::Error) -> Fault {
        Fault::Folder {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once it has taken its place there is none.
        drop(fs::remove_file(&self.new));
    }
}

/// Removes what was written for identities that there are no more, one after the other up to the first
/// of which nothing is left. The last file of each is what tells that: it goes last.
pub(super) fn remove_files<const N: usize>(
    former: impl Iterator<Item = [PathBuf; N]>,
) -> Result<(), Fault> {
    for files in former {
        if !files.last().is_some_and(|last| last.exists()) {
            break;
        }
        for path in files {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let why = error.to_string();
                    return Err(Fault::Folder { path, why });
                }
            }
        }
    }
    Ok(())
}

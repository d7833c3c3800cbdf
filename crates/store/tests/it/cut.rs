//! A wire to PostgreSQL that breaks at the worst moment: just before a commit arrives, or just
//! after it was carried out and before anyone is told.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

/// When the wire breaks next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server commits, and its answer is lost. Whoever waits for it learns of the loss when the
    /// server has ended the connection, and so all that it had begun.
    AfterCommit,
}

/// Passes everything on between a socket of its own and that of a cluster.
pub(crate) struct Wire {
    folder: TempDir,
    next: Arc<Mutex<Option<Cut>>>,
}

impl Wire {
    pub(crate) fn to(server: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let next = Arc::new(Mutex::new(None));
        let listener = UnixListener::bind(socket(folder.path())).unwrap();
        let (server, cut) = (socket(server), Arc::clone(&next));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&server) else {
                    continue;
                };
                let (to_client, from_server) = (client.try_clone(), server.try_clone());
                let (cut, answers) = (Arc::clone(&cut), Answers::default());
                let heard = answers.clone();
                thread::spawn(move || pass_commits_on(client, server, &cut, &answers));
                thread::spawn(move || heard.pass_on(from_server.unwrap(), to_client.unwrap()));
            }
        });
        Self { folder, next }
    }

    /// The folder of its socket, which stands for the host in an address.
    pub(crate) fn host(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn cut_next(&self, cut: Cut) {
        *self.next.lock().unwrap() = Some(cut);
    }

    /// Whether the wire broke as it was told to.
    pub(crate) fn was_cut(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join(".s.PGSQL.5432")
}

fn pass_commits_on(
    mut client: UnixStream,
    mut server: UnixStream,
    cut: &Mutex<Option<Cut>>,
    answers: &Answers,
) {
    let mut buffer = [0; 1 << 16];
    while let Ok(length) = client.read(&mut buffer) {
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        // With the end of the message, since transactions begin by naming READ COMMITTED.
        let commits = bytes.windows(7).any(|word| word == b"COMMIT\0");
        let now = if commits {
            cut.lock().unwrap().take()
        } else {
            None
        };
        match now {
            None => {
                if server.write_all(bytes).is_err() {
                    break;
                }
            }
            Some(Cut::BeforeCommit) => break,
            Some(Cut::AfterCommit) => {
                answers.lose();
                server.write_all(bytes).unwrap();
                // The server ends its work before it looks for the next message, which is the end.
                server.shutdown(Shutdown::Write).unwrap();
                return;
            }
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

/// What a server says to one client, which may be lost from some moment on.
#[derive(Clone, Default)]
struct Answers {
    are_lost: Arc<AtomicBool>,
}

impl Answers {
    fn lose(&self) {
        self.are_lost.store(true, Ordering::SeqCst);
    }

    /// Passes on what is not lost, and the end, which is when the server has nothing under way.
    fn pass_on(&self, mut server: UnixStream, mut client: UnixStream) {
        let mut buffer = [0; 1 << 16];
        while let Ok(length) = server.read(&mut buffer) {
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            if !self.are_lost.load(Ordering::SeqCst) && client.write_all(bytes).is_err() {
                break;
            }
        }
        drop(client.shutdown(Shutdown::Both));
    }
}

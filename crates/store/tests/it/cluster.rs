//! A PostgreSQL of our own, in a folder of its own, gone after the last test that uses it.

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::{TempDir, tempdir_in};

/// PostgreSQL refuses to run as root; this user owns nothing.
const USER: &str = "nobody";

pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    /// As whom the programs run, if not as ourselves.
    user: Option<&'static str>,
    databases: AtomicUsize,
}

impl Cluster {
    /// The cluster that all tests of this process share, started by the first; or why there is
    /// none.
    pub(crate) fn shared() -> Result<Arc<Self>, String> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Ok(cluster);
        }
        let cluster = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&cluster);
        Ok(cluster)
    }

    /// A cluster for one test that will not treat it well; or why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        let programs = programs().ok_or("PostgreSQL is not installed")?;
        let folder = tempdir_in(memory()).map_err(|error| error.to_string())?;
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0);
        let cluster = Self {
            folder,
            programs,
            user: is_root.then_some(USER),
            databases: AtomicUsize::new(0),
        };
        if is_root {
            let (user, group) = (id("-u")?, id("-g")?);
            chown(cluster.folder.path(), Some(user), Some(group)).map_err(|e| e.to_string())?;
        }
        cluster.run(
            "initdb",
            &[
                "--no-sync",
                "--auth=trust",
                "--username=avouch",
                "--encoding=UTF8",
                "-D",
            ],
        )?;
        cluster.up()?;
        Ok(cluster)
    }

    /// Starts the server, as after a crash.
    pub(crate) fn up(&self) -> Result<(), String> {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=200",
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        let log = log.to_string_lossy();
        self.run(
            "pg_ctl",
            &[
                "start", "--wait", "--silent", "-l", &log, "-o", &options, "-D",
            ],
        )
    }

    /// Stops the server at once, as a crash of the machine would, but for what the kernel holds.
    pub(crate) fn crash(&self) -> Result<(), String> {
        self.run("pg_ctl", &["stop", "--silent", "--mode=immediate", "-D"])
    }

    /// The address of a new, empty database.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client =
            postgres::Client::connect(&self.address("postgres"), postgres::NoTls).unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        self.address(&name)
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("host={folder} user=avouch dbname={database}")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs one of its programs; the last argument is the folder of the data.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let program = self.programs.join(program);
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), "--clear-groups", "--"]);
                command.arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let done = command
            .args(arguments)
            .arg(self.data())
            .current_dir(self.folder.path())
            .output();
        succeeded(&program, done)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.crash());
    }
}

/// A folder in memory where there is one. Processes die in these tests and the kernel does not, so
/// nothing is proved by waiting for a disk.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

/// The newest version that is installed where Debian puts them, or what is in the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .flatten()
        .filter_map(|version| {
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
    };
    newest.map(|(_, programs)| programs).or_else(in_path)
}

fn id(which: &str) -> Result<u32, String> {
    let done = Command::new("id").args([which, USER]).output();
    let text = done.map_err(|error| error.to_string())?.stdout;
    let text = String::from_utf8_lossy(&text);
    text.trim()
        .parse()
        .map_err(|_| format!("there is no user `{USER}`"))
}

fn succeeded(program: &Path, done: io::Result<Output>) -> Result<(), String> {
    let program = program.display();
    let done = done.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!(
        "{program} failed: {}",
        said.trim().replace('\n', " ")
    ))
}

//! A real PostgreSQL of one's own, in a folder of its own, gone after the last test that uses it.

use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::{TempDir, tempdir_in};

use crate::certificate::CertificateForge;
use crate::key::{Key, RsaTestKey};
use crate::outside;
use crate::world::{Authority, pem};

/// PostgreSQL refuses to run as root; this user owns nothing.
const USER: &str = "nobody";

/// A server of databases.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    /// As whom the programs run, if not as ourselves.
    user: Option<&'static str>,
    databases: AtomicUsize,
    /// The port of this machine on which it speaks TLS.
    port: Option<u16>,
}

impl Cluster {
    /// The cluster that all tests of this process share, started by the first; or why there is
    /// none.
    pub fn shared() -> Result<Arc<Self>, String> {
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
    pub fn start() -> Result<Self, String> {
        Self::start_on(None)
    }

    /// A cluster that speaks TLS on a port of this machine as `localhost`, under a root of
    /// [`Cluster::roots`].
    pub fn start_with_tls() -> Result<Self, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        Self::start_on(Some(free.map_err(|error| error.to_string())?.port()))
    }

    fn start_on(port: Option<u16>) -> Result<Self, String> {
        let programs = outside::debian("postgresql", programs)?;
        let folder = tempdir_in(memory()).map_err(|error| error.to_string())?;
        let is_root = fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0);
        let cluster = Self {
            folder,
            programs,
            user: is_root.then_some(USER),
            databases: AtomicUsize::new(0),
            port,
        };
        cluster.give_away(cluster.folder.path())?;
        cluster.write_certificates().map_err(|e| e.to_string())?;
        cluster.give_away(&cluster.file("server.key"))?;
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
    pub fn up(&self) -> Result<(), String> {
        let folder = self.folder.path().display();
        let mut options = format!(
            "-c unix_socket_directories={folder} -c max_connections=200 -c listen_addresses="
        );
        if let Some(port) = self.port {
            options.push_str(&format!(
                "127.0.0.1 -p {port} -c ssl=on -c ssl_cert_file={folder}/server.crt \
                 -c ssl_key_file={folder}/server.key"
            ));
        }
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
    pub fn crash(&self) -> Result<(), String> {
        self.run("pg_ctl", &["stop", "--silent", "--mode=immediate", "-D"])
    }

    /// The address of a new, empty database.
    pub fn new_database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(self.programs.join("psql"));
        let created = command
            .args(["--quiet", "--no-psqlrc", "-c"])
            .arg(format!("CREATE DATABASE {name}"))
            .arg(self.address("postgres"))
            .output();
        succeeded(Path::new("psql"), created).unwrap();
        self.address(&name)
    }

    /// `psql` on a database, which tells bare rows and stops at the first mistake.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        let bare = ["--quiet", "--no-psqlrc", "--tuples-only", "--no-align"];
        command.args(bare).args(["--set=ON_ERROR_STOP=1", database]);
        command
    }

    /// The address of a database over TLS, with these options.
    pub fn over_tls(&self, database: &str, options: &str) -> String {
        let name = database.rsplit('=').next().unwrap_or_default();
        let port = self.port.unwrap_or_default();
        format!("postgres://avouch@localhost:{port}/{name}?{options}")
    }

    /// The file of the root under which it speaks TLS.
    pub fn roots(&self) -> PathBuf {
        self.file("roots.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn give_away(&self, path: &Path) -> Result<(), String> {
        if self.user.is_none() {
            return Ok(());
        }
        let (user, group) = (id("-u")?, id("-g")?);
        chown(path, Some(user), Some(group)).map_err(|error| error.to_string())
    }

    fn write_certificates(&self) -> io::Result<()> {
        let root = Authority::root_with("Database Root", Key::p256("database root"), |forge| forge);
        let key = Key::rsa(RsaTestKey::B);
        let server = CertificateForge::server_with("localhost", &key)
            .valid("2024-01-01T00:00:00Z", "2033-12-31T00:00:00Z");
        fs::write(self.roots(), pem("CERTIFICATE", &root.certificate))?;
        let server = pem("CERTIFICATE", &root.issue(server));
        fs::write(self.file("server.crt"), server)?;
        let private = pem("PRIVATE KEY", key.private());
        fs::write(self.file("server.key"), private)?;
        fs::set_permissions(self.file("server.key"), Permissions::from_mode(0o600))
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        let port = self.port.unwrap_or(5432);
        format!("host={folder} port={port} user=avouch dbname={database}")
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
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
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

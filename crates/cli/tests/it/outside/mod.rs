//! Programs of other people, unchanged, from their registries: how they are had, how tests speak to
//! them, and what each of them makes of us.
//!
//! Those that are scripted speak one language: a JSON object a line, in both directions. Where one
//! cannot be had the test prints `skipped: NAME: WHY` and does not count.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

mod clients;
mod clusters;
pub(crate) mod house;
mod issuers;
mod jose;
mod parties;
mod tokens;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use avouch_testkit::outside;
pub(crate) use avouch_testkit::outside::{Missing, succeed};
use serde_json::Value;

/// How long a program may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// As long as a program may take that takes minutes.
const HEAVY_PATIENCE: Duration = Duration::from_secs(600);

/// Whether what takes minutes to build is wanted.
fn heavy() -> Result<(), Missing> {
    match std::env::var("AVOUCH_HEAVY").as_deref() {
        Ok("1") => Ok(()),
        _ => Err("it takes minutes; AVOUCH_HEAVY=1 has it run".to_owned()),
    }
}

/// A program that answers what it is asked.
pub(crate) struct Talker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Talker {
    /// Starts it; what it says beside its answers goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut talker = Self {
            input: child.stdin.take(),
            child,
            lines,
            log: log.to_owned(),
            ready: Value::Null,
        };
        talker.ready = talker.hear(HEAVY_PATIENCE);
        talker
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, what: &Value) -> Value {
        let mut input = self.input.as_ref().unwrap();
        writeln!(input, "{what}").unwrap();
        let answer = self.hear(PATIENCE);
        assert!(answer.get("failed").is_none(), "{what}: {answer:#}");
        answer
    }

    /// A token that it makes.
    pub(crate) fn token(&mut self, what: &Value) -> String {
        self.ask(what)["token"].as_str().unwrap().to_owned()
    }

    fn hear(&self, patience: Duration) -> Value {
        let heard = self.lines.recv_timeout(patience);
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        let line = heard.unwrap_or_else(|error| panic!("{error}: {}", said()));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}: {}", said()))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // It ends when nobody asks any more, and ends what it started.
        drop(self.input.take());
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A script for Node, beside its packages, which need a network the first time.
pub(crate) fn node(script: &str) -> Result<Command, Missing> {
    static FOLDER: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let (from, folder) = (sources("node"), scratch("packages-node"));
        fs::create_dir_all(&folder).unwrap();
        let read = |path: PathBuf| fs::read(path).ok();
        let lock = "package-lock.json";
        let is_new = read(from.join(lock)) != read(folder.join("installed"));
        for entry in fs::read_dir(&from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        if is_new {
            let mut install = Command::new("npm");
            install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
            succeed(install.current_dir(&folder))?;
            fs::copy(from.join(lock), folder.join("installed")).unwrap();
        }
        Ok(folder)
    });
    let mut command = Command::new("node");
    command.arg(folder.clone()?.join(script));
    Ok(command)
}

/// A script for Python, in an environment with its packages, which need a network the first time.
pub(crate) fn python(script: &str) -> Result<Command, Missing> {
    let folder = sources("python");
    let list = folder.join("requirements.txt");
    let modules = "authlib, httpx, joserfc, oidc_provider_mock, requests";
    let python = outside::python(&scratch("packages-python"), modules, &list)?;
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(folder.join(script));
    Ok(command)
}

/// A package of Go, built with the modules that a folder of the sources names, which need a network
/// the first time.
pub(crate) fn go(name: &str, package: &str) -> Result<PathBuf, Missing> {
    let folder = sources("go").join(name);
    built(name, &folder, |program| {
        outside::go_program(&folder, package, program)
    })
}

/// A program that is built once for each set of versions that a folder names.
pub(crate) fn built(
    name: &str,
    folder: &Path,
    build: impl FnOnce(&Path) -> Result<(), Missing>,
) -> Result<PathBuf, Missing> {
    // Two tests that need the same program build it one after the other.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = scratch(&format!("program-{name}"));
    let versions = scratch(&format!("program-{name}.sum"));
    let wanted = fs::read(folder.join("go.sum")).unwrap();
    if program.exists() && fs::read(&versions).is_ok_and(|built| built == wanted) {
        return Ok(program);
    }
    build(&program)?;
    fs::write(&versions, wanted).unwrap();
    Ok(program)
}

/// The sources of a module of Go, which need a network the first time.
pub(crate) fn module(module: &str, version: &str) -> Result<PathBuf, Missing> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("go.mod"), "module scratch\n").unwrap();
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json"]);
    download.arg(format!("{module}@{version}"));
    let said = succeed(download.current_dir(folder.path()))?;
    let said: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
    let folder = said["Dir"].as_str().ok_or("go does not say where it is")?;
    Ok(PathBuf::from(folder))
}

/// Waits for something that happens elsewhere.
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_for(PATIENCE, what, holds);
}

fn until_for(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < patience, "never: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn sources(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside");
    tests.join(name)
}

pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

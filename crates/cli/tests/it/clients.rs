//! Workloads in three languages, each with the SPIFFE library of that language, speak mutual TLS
//! with each other while a real server changes the keys of their trust domain, and `spiffe-helper`
//! keeps its files. Where a client cannot be had, the test says so and does not count.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use avouch_testkit::outside::{self, Missing, succeed};
use tempfile::TempDir;

use crate::plane::Plane;

const OURS: &str = "demo.avouch.test";

/// How long a step may take to reach everyone.
const PATIENCE: Duration = Duration::from_secs(60);

/// The peers call each other for this long between two steps.
const BETWEEN: Duration = Duration::from_secs(2);

#[test]
fn clients_in_three_languages_believe_each_other_through_every_change_of_keys() {
    let programs = match programs() {
        Ok(programs) => programs,
        Err(why) => return println!("skipped: peers in three languages: {why}"),
    };
    let plane = Plane::start("clients-peers", &[]);
    // Keys are not revoked while tokens that they signed live, unless someone insists.
    let brief = [
        "entry",
        "update",
        "current-user",
        "--jwt-ttl",
        "30",
        "--tenant",
        "demo",
    ];
    let updated = plane.run(&brief);
    assert_eq!(updated.code, 0, "{}", updated.err);
    let logs = tempfile::tempdir().unwrap();
    let mut peers: Vec<Peer> = programs
        .into_iter()
        .map(|(name, program)| Peer::start(name, program, &plane, &logs))
        .collect();
    let addresses: Vec<String> = peers.iter_mut().map(Peer::address).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        let others = addresses.iter().enumerate();
        for (_, address) in others.filter(|(other, _)| *other != number) {
            peer.call(address);
        }
    }
    std::thread::sleep(BETWEEN);
    change_keys(&plane);
    // Each serves on until all have stopped calling.
    let done: Vec<Done> = peers.iter_mut().map(Peer::stop).collect();
    for (peer, done) in peers.iter().zip(done) {
        let name = peer.name;
        let said = || fs::read_to_string(&peer.log).unwrap();
        assert_eq!(done.failures, 0, "{name}: {done:?}: {}", said());
        assert!(done.calls >= 20, "{name}: {done:?}");
        assert!(done.tokens >= 10, "{name}: {done:?}");
        // All of one user, they share an identity: the one before, and the one after.
        assert!(done.certificates >= 2, "{name}: {done:?}");
        assert!(done.authorities >= 2, "{name}: {done:?}");
    }
}

#[test]
fn spiffe_helper_keeps_files_that_openssl_verifies_through_a_change_of_keys() {
    let sources = outside_of_agent().join("helper");
    let program = scratch().join("spiffe-helper");
    let package = "github.com/spiffe/spiffe-helper/cmd/spiffe-helper";
    if let Err(why) = outside::go_program(&sources, package, &program) {
        return println!("skipped: spiffe-helper: {why}");
    }
    let plane = Plane::start("clients-helper", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let config = format!(
        "agent_address = \"{}\"\ncert_dir = \"{}\"\nsvid_file_name = \"svid.pem\"\n\
         svid_key_file_name = \"key.pem\"\nsvid_bundle_file_name = \"bundle.pem\"\n",
        plane.socket().display(),
        folder.path().display(),
    );
    fs::write(file("helper.conf"), config).unwrap();
    let mut helper = Command::new(program);
    helper.arg("-config").arg(file("helper.conf"));
    let log = fs::File::create(file("log")).unwrap();
    helper
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let _helper = Running(helper.spawn().unwrap());
    let said = || fs::read_to_string(file("log")).unwrap_or_default();
    let verified = || {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-x509_strict", "-CAfile"]);
        verify.arg(file("bundle.pem")).arg("-untrusted");
        succeed(verify.arg(file("svid.pem")).arg(file("svid.pem"))).is_ok()
    };
    until("it writes files that verify", verified, said);
    let bundle = fs::read(file("bundle.pem")).unwrap();
    let svid = fs::read(file("svid.pem")).unwrap();
    change_keys(&plane);
    let is_new = |name: &str, old: &[u8]| fs::read(file(name)).is_ok_and(|now| now != old);
    until(
        "the files of the new keys verify, and the old root is not among them",
        || {
            let one_root = fs::read_to_string(file("bundle.pem"))
                .is_ok_and(|text| text.matches("BEGIN CERTIFICATE").count() == 1);
            is_new("bundle.pem", &bundle) && is_new("svid.pem", &svid) && one_root && verified()
        },
        said,
    );
}

/// What an administrator does when a key may be in the wrong hands, step by step.
fn change_keys(plane: &Plane) {
    let authority = |arguments: &[&str]| {
        let command = [&["authority"], arguments, &["--tenant", "demo"]].concat();
        plane.run(&command)
    };
    let in_state = |state: &str| -> Vec<String> {
        let listed = authority(&["list", "-o", "json"]).json();
        let all = listed["authorities"].as_array().unwrap().iter();
        all.filter(|one| one["state"] == state)
            .filter(|one| one["role"] != "intermediate")
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let prepared = authority(&["prepare", OURS]);
    assert_eq!(prepared.code, 0, "{}", prepared.err);
    std::thread::sleep(BETWEEN);
    let old = in_state("active");
    assert!(!old.is_empty());
    for id in &old {
        let tainted = authority(&["taint", id]);
        assert_eq!(tainted.code, 0, "{}", tainted.err);
    }
    std::thread::sleep(BETWEEN);
    for id in &old {
        let log = || plane.log();
        let revoked = || authority(&["revoke", id]).code == 0;
        until("what was tainted can be revoked", revoked, log);
    }
    std::thread::sleep(BETWEEN);
}

/// The peers that there are, and how each is started.
fn programs() -> Result<Vec<(&'static str, Command)>, Missing> {
    let sources = outside_of_agent();
    let go = scratch().join("peer");
    outside::go_program(&sources.join("go"), ".", &go)?;
    let mut in_go = Command::new(go);
    in_go.arg("peer");
    let classes = outside::java(&sources.join("java"), &scratch().join("java-peer"))?;
    let mut in_java = Command::new("java");
    in_java.arg("-cp").arg(classes).arg("Peer");
    let python = sources.join("python");
    let environment = scratch().join("python-peer");
    let interpreter = outside::python(&environment, "spiffetls", &python.join("peer.txt"))?;
    let mut in_python = Command::new(interpreter);
    in_python.arg(python.join("peer.py"));
    Ok(vec![
        ("go-spiffe", in_go),
        ("java-spiffe", in_java),
        ("py-spiffe", in_python),
    ])
}

fn outside_of_agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/outside")
}

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn until(what: &str, holds: impl Fn() -> bool, said: impl Fn() -> String) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}: {}", said());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A workload that serves, and calls others until it is told to end.
struct Peer {
    name: &'static str,
    _process: Running,
    tells: ChildStdin,
    hears: BufReader<ChildStdout>,
    /// What it says of failures.
    log: PathBuf,
}

impl Peer {
    fn start(name: &'static str, mut program: Command, plane: &Plane, logs: &TempDir) -> Self {
        let log = logs.path().join(name);
        let socket = format!("unix://{}", plane.socket().display());
        program.env("SPIFFE_ENDPOINT_SOCKET", socket);
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        program.stderr(fs::File::create(&log).unwrap());
        let mut process = Running(program.spawn().unwrap());
        Self {
            name,
            tells: process.0.stdin.take().unwrap(),
            hears: BufReader::new(process.0.stdout.take().unwrap()),
            _process: process,
            log,
        }
    }

    /// Where it serves, which it says first.
    fn address(&mut self) -> String {
        let line = self.line();
        let address = line.strip_prefix("listening ");
        let log = fs::read_to_string(&self.log).unwrap();
        let address = address.unwrap_or_else(|| panic!("{}: {line:?}: {log}", self.name));
        address.to_owned()
    }

    fn call(&mut self, address: &str) {
        writeln!(self.tells, "{address}").unwrap();
        self.tells.flush().unwrap();
    }

    /// Has it call nobody any more, and gives what it says it has done.
    fn stop(&mut self) -> Done {
        self.call("stop");
        let line = self.line();
        Done::read(&line).unwrap_or_else(|| panic!("{}: {line:?}", self.name))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.hears.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

/// What a peer has done, and of what it saw of others.
#[derive(Debug)]
struct Done {
    calls: usize,
    tokens: usize,
    failures: usize,
    certificates: usize,
    authorities: usize,
}

impl Done {
    /// Reads `calls 1, tokens 2, failures 0, certificates 3, authorities 4`.
    fn read(line: &str) -> Option<Self> {
        let number = |name: &str| {
            let mut parts = line.trim().split(", ");
            let part = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix(' '));
            part?.parse().ok()
        };
        Some(Self {
            calls: number("calls")?,
            tokens: number("tokens")?,
            failures: number("failures")?,
            certificates: number("certificates")?,
            authorities: number("authorities")?,
        })
    }
}

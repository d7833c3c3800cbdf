//! The how-to of mutual TLS with programs of other people: nginx and Python, as it is written down
//! in `docs/how-to/mutual-tls.md`. Where they cannot be had, the test says so and does not count.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use avouch_testkit::outside::{debian, in_path};
use avouch_testkit::world::{Authority, pem};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::outside::free_port;
use crate::plane::Plane;

const PROXY: u32 = 33;
const SERVICE: u32 = 34;

#[test]
fn nginx_and_python_speak_mutual_tls_by_identities_of_ours() {
    let programs = [
        ("nginx", "nginx-light"),
        ("python3", "python3"),
        ("curl", "curl"),
    ];
    if let Err(why) = needed(&programs) {
        return println!("skipped: {why}");
    }
    let plane = Plane::start("mutual-tls", &[]);
    let place = Place::of_both(&plane);

    let (front, behind) = (free_port(), free_port());
    let configuration = fs::read_to_string(examples().join("nginx.conf")).unwrap();
    let configuration = configuration
        .replace("127.0.0.1:9443", &format!("127.0.0.1:{front}"))
        .replace("127.0.0.1:9444", &format!("127.0.0.1:{behind}"));
    fs::write(place.of("proxy").join("nginx.conf"), configuration).unwrap();
    let _service = Running::service(&place, behind, Stdio::null());
    let _proxy = Running::start(
        Command::new("nginx")
            .arg("-p")
            .arg(place.of("proxy"))
            .args(["-c", "nginx.conf"])
            .uid(PROXY)
            .gid(PROXY),
        front,
    );

    let hello = place.curl("proxy.demo.avouch.test", front, Some("proxy"));
    assert_eq!(hello, "hello spiffe://demo.avouch.test/proxy\n");
    let of_service = place.curl("proxy.demo.avouch.test", front, Some("service"));
    assert_eq!(of_service, "hello spiffe://demo.avouch.test/proxy\n");
    let nobody = place.curl("proxy.demo.avouch.test", front, None);
    assert!(
        nobody.contains("No required SSL certificate was sent"),
        "{nobody}"
    );
    let itself = place.curl("service.demo.avouch.test", behind, Some("service"));
    assert_eq!(itself, "not spiffe://demo.avouch.test/service\n");
}

#[test]
fn a_root_that_has_gone_is_believed_by_the_service_no_more_once_it_was_told() {
    if let Err(why) = needed(&[("python3", "python3"), ("curl", "curl")]) {
        return println!("skipped: {why}");
    }
    let plane = Plane::start("mutual-tls-reload", &[]);
    let place = Place::of_both(&plane);
    let behind = free_port();
    let log = place.of("service").join("log");
    let errors = Stdio::from(fs::File::create(&log).unwrap());
    let service = Running::service(&place, behind, errors);
    let ask = || place.curl("service.demo.avouch.test", behind, Some("proxy"));
    let is_hello = |answer: &String| answer == "hello spiffe://demo.avouch.test/proxy\n";
    let hello = ask();
    assert!(is_hello(&hello), "{hello}");

    let bundle = place.of("service").join("bundle.pem");
    let own = fs::read(&bundle).unwrap();
    let other = pem("CERTIFICATE", &Authority::root("another").certificate);
    fs::write(&bundle, other).unwrap();
    service.hang_up();
    // Whether the alert arrives before the connection is gone, is not certain.
    until(ask, |answer| answer.starts_with("curl: "));
    fs::write(&bundle, own).unwrap();
    service.hang_up();
    until(ask, is_hello);
    // Files that cannot be read change nothing.
    fs::write(place.of("service").join("svid.pem"), "").unwrap();
    service.hang_up();
    let told = || fs::read_to_string(&log).unwrap();
    until(told, |told| told.contains("the former files are used on"));
    let hello = ask();
    assert!(is_hello(&hello), "{hello}");
}

/// Whether these programs are here, each from its package, and other users can be had.
fn needed(programs: &[(&str, &str)]) -> Result<(), String> {
    for (program, package) in programs {
        debian(package, || in_path(program)).map_err(|why| format!("{program}: {why}"))?;
    }
    match Uid::effective().is_root() {
        true => Ok(()),
        false => Err("other users: only root can become one".to_owned()),
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/example/mutual-tls")
}

/// Looks again until it is so.
fn until(look: impl Fn() -> String, is_so: impl Fn(&String) -> bool) {
    let started = Instant::now();
    let mut seen = look();
    while !is_so(&seen) {
        assert!(started.elapsed() < Duration::from_secs(20), "{seen}");
        std::thread::sleep(Duration::from_millis(50));
        seen = look();
    }
}

fn register(plane: &Plane, name: &str, user: u32) {
    let id = format!("spiffe://demo.avouch.test/{name}");
    let selector = format!("unix:uid:{user}");
    let host = format!("{name}.demo.avouch.test");
    let created = plane.run(&[
        "entry",
        "create",
        "--tenant",
        "demo",
        "--id",
        name,
        "--spiffe-id",
        &id,
        "--selector",
        &selector,
        "--dns",
        &host,
    ]);
    assert_eq!(created.code, 0, "{}{}", created.out, created.err);
}

/// Where each program has its files, and the programs that other users run.
struct Place {
    folder: PathBuf,
    socket: PathBuf,
}

impl Place {
    /// With the files of the proxy and of the service.
    fn of_both(plane: &Plane) -> Self {
        let place = Self::new(plane);
        for (name, user) in [("proxy", PROXY), ("service", SERVICE)] {
            register(plane, name, user);
            place.fetch(name, user);
        }
        place
    }

    fn new(plane: &Plane) -> Self {
        let socket = plane.socket();
        let folder = socket.parent().unwrap().to_owned();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        // A copy that every user may run, wherever this was built.
        fs::copy(env!("CARGO_BIN_EXE_avouch"), folder.join("avouch")).unwrap();
        Self { folder, socket }
    }

    fn of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn fetch(&self, name: &str, user: u32) {
        let own = self.of(name);
        fs::create_dir_all(&own).unwrap();
        chown(&own, Some(user), Some(user)).unwrap();
        let fetched = Command::new(self.folder.join("avouch"))
            .args(["fetch", "x509", "--socket"])
            .arg(&self.socket)
            .arg("--write")
            .arg(&own)
            .current_dir("/")
            .env_clear()
            .uid(user)
            .gid(user)
            .output()
            .unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
    }

    /// What a host answers to the caller of this name, or to nobody in particular.
    fn curl(&self, host: &str, port: u16, caller: Option<&str>) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(self.of("proxy").join("bundle.pem"))
            .args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
        if let Some(caller) = caller {
            curl.arg("--cert").arg(self.of(caller).join("svid.pem"));
            curl.arg("--key").arg(self.of(caller).join("key.pem"));
        }
        let answer = curl
            .arg(format!("https://{host}:{port}/"))
            .output()
            .unwrap();
        String::from_utf8_lossy(&[answer.stdout, answer.stderr].concat()).into_owned()
    }
}

/// A program that serves a port.
struct Running(Child);

impl Running {
    /// The service of the example, which says what is wrong in `errors`.
    fn service(place: &Place, port: u16, errors: Stdio) -> Self {
        let folder = place.of("service");
        let program = folder.join("service.py");
        fs::copy(examples().join("service.py"), &program).unwrap();
        let mut command = Command::new("python3");
        command.arg(program).arg(folder).arg(port.to_string());
        command.arg("spiffe://demo.avouch.test/proxy");
        Self::start_telling(command.uid(SERVICE).gid(SERVICE), port, errors)
    }

    fn start(command: &mut Command, port: u16) -> Self {
        Self::start_telling(command, port, Stdio::null())
    }

    fn start_telling(command: &mut Command, port: u16, errors: Stdio) -> Self {
        // What it leaves behind must not hold on to what whoever runs the tests reads.
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        let running = Self(quiet.spawn().unwrap());
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "nothing serves the port"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }

    fn hang_up(&self) {
        let process = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        kill(process, Signal::SIGHUP).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked, not killed: a killed nginx leaves its workers behind.
        let process = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        // It may have ended by itself.
        let _ = kill(process, Signal::SIGTERM);
        drop(self.0.wait());
    }
}

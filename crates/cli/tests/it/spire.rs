//! Federation with a real SPIRE, in both directions, by both profiles, through a change of keys on
//! either side. The workloads are programs that know go-spiffe and nothing of either server.
//!
//! SPIRE is built from its Go module, without the plugins of clouds and of other programs, whose
//! modules take most of the time to fetch and to build. `AVOUCH_SPIRE` may name a folder where
//! `spire-server`, `spire-agent` and `peer` are already.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use avouch_testkit::outside::succeed;
use nix::unistd::Uid;
use serde_json::Value;
use tempfile::TempDir;

use crate::outside::free_port;
use crate::plane::Plane;
use crate::run::Ran;
use crate::secured::{root, write};

/// The version of SPIRE.
const VERSION: &str = "v1.15.3";

/// The plugins that stay.
const PLUGINS: [&str; 6] = [
    "disk",
    "jointoken",
    "memory",
    "spireplugin",
    "unix",
    "x509pop",
];

const OURS: &str = "demo.avouch.test";
const THEIRS: &str = "spire.test";

/// How long anything may take to reach the other side.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an endpoint is known, on both sides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Spiffe,
    Web,
}

#[test]
fn spire_and_avouch_believe_each_other_by_https_spiffe() {
    if let Err(why) = federate(Profile::Spiffe) {
        println!("skipped: SPIRE: {why}");
    }
}

#[test]
fn spire_and_avouch_believe_each_other_by_https_web() {
    if let Err(why) = federate(Profile::Web) {
        println!("skipped: SPIRE: {why}");
    }
}

/// Fails if SPIRE cannot be had here, with the reason.
fn federate(profile: Profile) -> Result<(), String> {
    let world = World::start(programs()?, profile);
    world.believe_spire();
    world.be_believed_by_spire();
    let both = |when: &str| {
        world.handshake(&world.avouch, &world.spire, when);
        world.handshake(&world.spire, &world.avouch, when);
    };
    both("at first");

    // SPIRE prepares, activates, taints and revokes.
    let old = world.authority("active");
    world.spire(&["localauthority", "x509", "prepare"]);
    world.until("the prepared CA is here", || {
        world.relation()["keys"]["x509"] == 2
    });
    let new = world.authority("prepared");
    let id = |id: &str| ["-authorityID".to_owned(), id.to_owned()];
    let step = |step: &str, authority: &str| {
        let [flag, id] = id(authority);
        world.spire(&["localauthority", "x509", step, &flag, &id]);
    };
    step("activate", &new);
    both("after SPIRE has activated");
    let before = world.svid_of_spire();
    step("taint", &old);
    both("after SPIRE has tainted");
    // SPIRE does not know who has what; whoever revokes earlier locks its agents out.
    world.until("SPIRE has issued anew", || {
        world
            .log("agent.log")
            .contains("Successfully rotated agent SVID")
            && world.svid_of_spire() != before
    });
    step("revoke", &old);
    world.until("the revoked CA is gone", || {
        world.relation()["keys"]["x509"] == 1
    });
    both("after SPIRE has revoked");

    // Avouch prepares, taints and revokes.
    world.authorities(&["prepare", OURS]);
    world.refresh_spire();
    for root in world.roots("active") {
        world.authorities(&["taint", &root]);
    }
    both("after Avouch has tainted");
    world.refresh_spire();
    for root in world.roots("tainted") {
        world.until("the tainted root can be revoked", || {
            let revoke = ["authority", "revoke", &root, "--tenant", "demo"];
            world.run(&revoke).code == 0
        });
    }
    world.refresh_spire();
    both("after Avouch has revoked");
    assert_eq!(world.relation()["state"], "fetched");

    // Whoever ends the relation believes nobody there any more.
    let delete = ["federation", "delete", THEIRS, "--tenant", "demo"];
    assert_eq!(world.run(&delete).code, 0);
    world.until("SPIRE is not believed", || {
        world.call(&world.avouch, &world.spire).is_err()
    });
    Ok(())
}

/// What is built.
struct Programs {
    server: PathBuf,
    agent: PathBuf,
    peer: PathBuf,
}

/// Builds once; two tests at once wait for each other.
fn programs() -> Result<&'static Programs, String> {
    static PROGRAMS: OnceLock<Result<Programs, String>> = OnceLock::new();
    if !Uid::effective().is_root() {
        return Err("its agent finds a user by number, which the test expects to be root's".into());
    }
    let built = PROGRAMS.get_or_init(build);
    built.as_ref().map_err(Clone::clone)
}

fn build() -> Result<Programs, String> {
    let scratch = match std::env::var_os("AVOUCH_SPIRE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spire-{VERSION}")),
    };
    let of = |name: &str| scratch.join(name);
    let programs = Programs {
        server: of("spire-server"),
        agent: of("spire-agent"),
        peer: of("peer"),
    };
    if [&programs.server, &programs.agent, &programs.peer]
        .iter()
        .all(|program| program.exists())
    {
        return Ok(programs);
    }
    let tree = of("tree");
    drop(fs::remove_dir_all(&tree));
    fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    copy(&module(&scratch)?, &tree);
    for side in ["server", "agent"] {
        trim(&tree.join("pkg").join(side).join("catalog"));
    }
    fs::create_dir_all(tree.join("cmd/peer")).unwrap();
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside/spire/main.go");
    fs::copy(peer, tree.join("cmd/peer/main.go")).unwrap();
    for (package, program) in [
        ("./cmd/spire-server", &programs.server),
        ("./cmd/spire-agent", &programs.agent),
        ("./cmd/peer", &programs.peer),
    ] {
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(program).arg(package);
        succeed(build.current_dir(&tree))?;
    }
    drop(fs::remove_dir_all(&tree));
    Ok(programs)
}

/// The folder of the sources, which needs a network the first time.
fn module(scratch: &Path) -> Result<PathBuf, String> {
    fs::write(scratch.join("go.mod"), "module scratch\n").unwrap();
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json"]);
    download.arg(format!("github.com/spiffe/spire@{VERSION}"));
    let said = succeed(download.current_dir(scratch))?;
    let said: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
    let folder = said["Dir"].as_str().ok_or("go does not say where it is")?;
    Ok(PathBuf::from(folder))
}

/// The cache of Go is not to be written to.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// Leaves out the plugins that are not wanted: the line that lists each, and the one that imports
/// it.
fn trim(catalog: &Path) {
    for entry in fs::read_dir(catalog).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "catalog.go" || name.ends_with("_test.go") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let listed = |line: &str| {
            let name = line.trim().strip_suffix(".BuiltIn(),")?;
            (!PLUGINS.contains(&name)).then(|| name.to_owned())
        };
        let unwanted: Vec<String> = text.lines().filter_map(listed).collect();
        let imports = |line: &str| {
            let line = line.trim();
            unwanted.iter().any(|name| {
                line.ends_with(&format!("/{name}\"")) || line.starts_with(&format!("{name} \""))
            })
        };
        let left = text
            .lines()
            .filter(|line| listed(line).is_none() && !imports(line));
        fs::write(&path, left.collect::<Vec<&str>>().join("\n") + "\n").unwrap();
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

/// A side: the socket of its workloads, and its trust domain.
struct Side {
    socket: String,
    trust_domain: &'static str,
}

/// A SPIRE server with its agent, and a plane.
struct World {
    profile: Profile,
    programs: &'static Programs,
    folder: TempDir,
    plane: Plane,
    /// Where the plane shows X.509-SVIDs, and where SPIRE has its bundle.
    ports: [u16; 2],
    avouch: Side,
    spire: Side,
    _running: Vec<Running>,
}

impl World {
    fn start(programs: &'static Programs, profile: Profile) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, ca] = write(folder.path(), &root(), "localhost");
        let name = match profile {
            Profile::Spiffe => "spire_by_spiffe",
            Profile::Web => "spire_by_web",
        };
        let plane = Plane::start(
            name,
            &[
                "--tls-cert",
                &certificate,
                "--tls-key",
                &key,
                "--spiffe-listen",
                &format!("{OURS}=127.0.0.1:0"),
                "--allow-fetch",
                "127.0.0.0/8",
                "--allow-fetch",
                "localhost",
                "--federation-interval",
                "1",
                "--bundle-refresh",
                "1",
            ],
        );
        let mut shown = plane.greeting.lines();
        let shown = shown.find_map(|line| line.trim().strip_prefix("SPIFFE "));
        let port = |address: &str| address.rsplit(':').next().unwrap().trim().parse().unwrap();
        let own: u16 = port(shown.unwrap());
        let ports = [own, free_port()];
        let api = free_port();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let shows = match profile {
            Profile::Spiffe => "profile \"https_spiffe\" {}".to_owned(),
            Profile::Web => format!(
                "profile \"https_web\" {{ serving_cert_file {{ cert_file_path = \"{certificate}\" \
                 key_file_path = \"{key}\" file_sync_interval = \"1h\" }} }}"
            ),
        };
        let server = server_configuration(folder.path(), [api, ports[1]], &shows);
        fs::write(at("server.conf"), server).unwrap();
        let log = |name: &str| fs::File::create(at(name)).unwrap();
        let mut command = Command::new(&programs.server);
        command.args(["run", "-config", &at("server.conf")]);
        // Its client of https_web believes what Go believes.
        command.env("SSL_CERT_FILE", &ca).stdin(Stdio::null());
        command.stdout(log("server.log")).stderr(log("server.err"));
        let running = vec![Running(command.spawn().unwrap())];
        let avouch = Side {
            socket: format!("unix://{}", plane.socket().display()),
            trust_domain: OURS,
        };
        let spire = Side {
            socket: format!("unix://{}", at("agent.sock")),
            trust_domain: THEIRS,
        };
        let mut world = Self {
            profile,
            programs,
            folder,
            plane,
            ports,
            avouch,
            spire,
            _running: running,
        };
        world.start_agent(api);
        world
    }

    fn start_agent(&mut self, api: u16) {
        let node = format!("spiffe://{THEIRS}/node");
        self.until("SPIRE serves", || {
            self.try_spire(&["bundle", "show"]).is_ok()
        });
        let token = self.spire(&["token", "generate", "-spiffeID", &node, "-output", "json"]);
        let token: Value = serde_json::from_str(&token).unwrap();
        fs::write(self.at("boot.pem"), self.spire(&["bundle", "show"])).unwrap();
        let agent = format!(
            r#"agent {{
                data_dir = "{data}"
                server_address = "127.0.0.1"
                server_port = "{api}"
                socket_path = "{socket}"
                trust_bundle_path = "{boot}"
                trust_domain = "{THEIRS}"
            }}
            plugins {{
                NodeAttestor "join_token" {{ plugin_data {{}} }}
                KeyManager "memory" {{ plugin_data {{}} }}
                WorkloadAttestor "unix" {{ plugin_data {{}} }}
            }}"#,
            data = self.at("agent"),
            socket = self.at("agent.sock"),
            boot = self.at("boot.pem"),
        );
        fs::create_dir_all(self.at("agent")).unwrap();
        fs::write(self.at("agent.conf"), agent).unwrap();
        let log = fs::File::create(self.at("agent.log")).unwrap();
        let mut command = Command::new(&self.programs.agent);
        command.args(["run", "-config", &self.at("agent.conf")]);
        command.args(["-joinToken", token["value"].as_str().unwrap()]);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self._running.push(Running(command.spawn().unwrap()));
    }

    /// Has Avouch fetch the bundle of SPIRE, and its workload get it.
    fn believe_spire(&self) {
        let [_, theirs] = self.ports;
        fs::write(
            self.at("spire.json"),
            self.spire(&["bundle", "show", "-format", "spiffe"]),
        )
        .unwrap();
        let url = format!("https://localhost:{theirs}/");
        let mut put = vec![
            "federation",
            "put",
            THEIRS,
            "--tenant",
            "demo",
            "--url",
            &url,
        ];
        let (bundle, ca) = (self.at("spire.json"), self.at("ca.pem"));
        put.extend(match self.profile {
            Profile::Spiffe => [
                "--endpoint-id",
                "spiffe://spire.test/spire/server",
                "--bundle",
                &bundle,
            ],
            Profile::Web => ["--profile", "https_web", "--root", &ca],
        });
        let put = self.run(&put);
        assert_eq!(put.code, 0, "{}", put.err);
        self.until("Avouch has the bundle", || {
            self.relation()["state"] == "fetched"
        });
        let update = ["entry", "update", "current-user", "--tenant", "demo"];
        let update = self.run(&[&update[..], &["--federates-with", THEIRS]].concat());
        assert_eq!(update.code, 0, "{}", update.err);
    }

    /// And the other way about.
    fn be_believed_by_spire(&self) {
        let [own, _] = self.ports;
        let ours = match self.profile {
            Profile::Spiffe => format!("https://localhost:{own}/t/demo/bundle/{OURS}"),
            Profile::Web => format!("{}/t/demo/bundle/{OURS}", self.http()),
        };
        let bundle = self.at("ours.json");
        fs::write(&bundle, self.own_bundle()).unwrap();
        let mut create = vec![
            "federation",
            "create",
            "-trustDomain",
            OURS,
            "-bundleEndpointURL",
            &ours,
        ];
        let id = format!("spiffe://{OURS}/avouch/server");
        match self.profile {
            Profile::Spiffe => create.extend([
                "-bundleEndpointProfile",
                "https_spiffe",
                "-endpointSpiffeID",
                &id,
                "-trustDomainBundlePath",
                &bundle,
                "-trustDomainBundleFormat",
                "spiffe",
            ]),
            Profile::Web => create.extend(["-bundleEndpointProfile", "https_web"]),
        }
        self.spire(&create);
        self.refresh_spire();

        let node = format!("spiffe://{THEIRS}/node");
        let web = format!("spiffe://{THEIRS}/web");
        let with = format!("spiffe://{OURS}");
        self.spire(&[
            "entry",
            "create",
            "-parentID",
            &node,
            "-spiffeID",
            &web,
            "-selector",
            "unix:uid:0",
            "-federatesWith",
            &with,
        ]);
    }

    /// The bundle of our trust domain as anyone gets it.
    fn own_bundle(&self) -> String {
        let url = format!("{}/t/demo/bundle/{OURS}", self.http());
        let mut fetch = Command::new("curl");
        fetch.args(["--silent", "--fail", "--cacert", &self.at("ca.pem"), &url]);
        let output = fetch.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What our relation says of itself.
    fn relation(&self) -> Value {
        let show = [
            "federation",
            "show",
            THEIRS,
            "--tenant",
            "demo",
            "-o",
            "json",
        ];
        self.run(&show).json()
    }

    /// Changes authorities of ours.
    fn authorities(&self, change: &[&str]) {
        let command = [&["authority"], change, &["--tenant", "demo"]].concat();
        let ran = self.run(&command);
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.err);
    }

    /// The roots of ours in a state.
    fn roots(&self, state: &str) -> Vec<String> {
        let list = ["authority", "list", "--tenant", "demo", "-o", "json"];
        let listed = self.run(&list).json();
        let all = listed["authorities"].as_array().unwrap().iter();
        let roots = all
            .filter(|one| one["state"] == state && one["kind"] == "x509" && one["role"] == "root");
        roots
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The authority of SPIRE in a state.
    fn authority(&self, state: &str) -> String {
        let shown = self.spire(&["localauthority", "x509", "show", "-output", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown[state]["authority_id"].as_str().unwrap().to_owned()
    }

    /// SPIRE asks once a minute by itself.
    fn refresh_spire(&self) {
        self.spire(&["federation", "refresh", "-id", OURS]);
        let own: Value = serde_json::from_str(&self.own_bundle()).unwrap();
        let roots = |bundle: &Value| {
            let keys = bundle["keys"].as_array().unwrap().iter();
            let roots = keys.filter(|key| key["use"] == "x509-svid");
            let mut roots: Vec<String> = roots.map(|key| key["x5c"].to_string()).collect();
            roots.sort();
            roots
        };
        self.until("SPIRE has the bundle", || {
            let list = ["bundle", "list", "-id", OURS, "-format", "spiffe"];
            let held = self.try_spire(&list).ok();
            let held = held.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            held.is_some_and(|held| roots(&held) == roots(&own))
        });
    }

    /// A workload of `server` is called by one of `client`, and each believes the other.
    fn handshake(&self, client: &Side, server: &Side, when: &str) {
        let since = Instant::now();
        loop {
            match self.call(client, server) {
                Ok(said) => {
                    assert!(said.contains(client.trust_domain), "{when}: {said}");
                    return;
                }
                Err(why) if since.elapsed() > PATIENCE => panic!("{when}: {why}{}", self.logs()),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn call(&self, client: &Side, server: &Side) -> Result<String, String> {
        let mut serve = Command::new(&self.programs.peer);
        serve.args(["serve", &server.socket, "127.0.0.1:0", client.trust_domain]);
        serve
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut serving = Running(serve.spawn().unwrap());
        let mut address = String::new();
        let output = serving.0.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut address).unwrap();
        let mut call = Command::new(&self.programs.peer);
        call.args(["call", &client.socket, address.trim(), server.trust_domain]);
        let called = call.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(called.stdout).unwrap();
        match called.status.success() && !said.is_empty() {
            true => Ok(said),
            false => Err(String::from_utf8(called.stderr).unwrap()),
        }
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < PATIENCE, "never: {what}{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A command of ours; what manages speaks to the server over TLS.
    fn run(&self, command: &[&str]) -> Ran {
        if command.first() == Some(&"fetch") {
            return self.plane.run(command);
        }
        let (http, ca) = (self.http(), self.at("ca.pem"));
        let over_tls = ["--server", http.as_str(), "--ca", ca.as_str()];
        self.plane.folder.run(&[command, &over_tls].concat())
    }

    fn http(&self) -> String {
        let http = self.plane.http();
        let port = http.rsplit(':').next().unwrap();
        format!("https://localhost:{port}")
    }

    fn spire(&self, command: &[&str]) -> String {
        let said = self.try_spire(command);
        said.unwrap_or_else(|why| panic!("{command:?}: {why}{}", self.logs()))
    }

    fn try_spire(&self, command: &[&str]) -> Result<String, String> {
        // The socket follows the verb, and what is the verb's comes after.
        let verbs = command
            .iter()
            .take_while(|word| !word.starts_with('-'))
            .count();
        let (verbs, flags) = command.split_at(verbs);
        let socket = ["-socketPath".to_owned(), self.at("api.sock")];
        let mut spire = Command::new(&self.programs.server);
        let output = spire.args(verbs).args(socket).args(flags).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// What the workload of SPIRE has now.
    fn svid_of_spire(&self) -> String {
        let folder = self.at("fetched");
        fs::create_dir_all(&folder).unwrap();
        let mut fetch = Command::new(&self.programs.agent);
        fetch.args(["api", "fetch", "x509", "-write", &folder]);
        let fetched = fetch.args(["-socketPath", &self.at("agent.sock")]).output();
        let fetched = fetched.unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
        fs::read_to_string(format!("{folder}/svid.0.pem")).unwrap()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The ends of all logs, for whoever reads why the test failed.
    fn logs(&self) -> String {
        let mut all = format!("\n--- avouch\n{}", self.plane.log());
        for name in ["server.log", "server.err", "agent.log"] {
            let log = self.log(name);
            let end: Vec<&str> = log.lines().rev().take(15).collect();
            all += &format!("\n--- {name}, last first\n{}", end.join("\n"));
        }
        all
    }
}

/// What SPIRE is told: where its API and its bundle are, and how the latter is shown.
fn server_configuration(folder: &Path, [api, port]: [u16; 2], shows: &str) -> String {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    format!(
        r#"server {{
                bind_address = "127.0.0.1"
                bind_port = "{api}"
                socket_path = "{socket}"
                trust_domain = "{THEIRS}"
                data_dir = "{data}"
                federation {{
                    bundle_endpoint {{
                        address = "127.0.0.1"
                        port = {port}
                        refresh_hint = "1s"
                        {shows}
                    }}
                }}
            }}
            plugins {{
                DataStore "sql" {{ plugin_data {{
                    database_type = "sqlite3"
                    connection_string = "{database}"
                }} }}
                NodeAttestor "join_token" {{ plugin_data {{}} }}
                KeyManager "memory" {{ plugin_data {{}} }}
            }}"#,
        socket = at("api.sock"),
        data = at(""),
        database = at("spire.sqlite3"),
    )
}

//! Nodes that join by what they show, as processes of their own, over real sockets.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::https::{HttpsServer, Shown, root};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::swtpm::TpmMaker;
use avouch_testkit::token::TokenForge;
use avouch_testkit::world::{Authority, pem};
use serde_json::json;

use crate::plane::Plane;
use crate::run::Ran;
use crate::serving_on::wait;

/// An agent that runs until it is dropped.
pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: String,
    /// The first line that it writes.
    pub(crate) greeting: String,
    _sockets: tempfile::TempDir,
}

impl Agent {
    /// Starts one that must come up.
    pub(crate) fn start(plane: &Plane, name: &str, more: &[&str]) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let socket = sockets.path().join("agent.sock");
        let socket = socket.to_str().unwrap().to_owned();
        let log = plane.folder.path().join(format!("{name}.log"));
        let mut command = command(plane, name, &socket, more);
        command.stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().transpose().unwrap();
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(first.is_some(), "the agent did not come up: {log}");
        Self {
            child,
            greeting: first.unwrap_or_default(),
            socket,
            _sockets: sockets,
        }
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn send(&self, signal: nix::sys::signal::Signal) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // It stays a process until it is waited for, so its number is nobody else's.
        nix::sys::signal::kill(process, signal).unwrap();
    }

    /// What a workload of this user gets from it.
    pub(crate) fn fetch(&self, plane: &Plane) -> Ran {
        let arguments = ["fetch", "x509", "-o", "json", "--socket", &self.socket];
        plane.folder.run(&arguments)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(plane: &Plane, name: &str, socket: &str, more: &[&str]) -> std::process::Command {
    let mut lines = plane.greeting.lines();
    let server = lines.find_map(|line| line.trim().strip_prefix("nodes"));
    let server = server.expect(&plane.greeting).trim();
    let data = format!("{name}-data");
    let arguments = [
        &[
            "agent",
            "run",
            "--server",
            server,
            "--server-trust",
            "avouch-data/server.json",
            "--agent-data",
            &data,
            "--socket",
            socket,
        ],
        more,
    ];
    plane.folder.command(&arguments.concat())
}

/// Runs one that must not come up.
pub(crate) fn refused(plane: &Plane, name: &str, more: &[&str]) -> Ran {
    let sockets = tempfile::tempdir().unwrap();
    let socket = sockets.path().join("agent.sock");
    let output = command(plane, name, socket.to_str().unwrap(), more).output();
    Ran::of(output.unwrap())
}

/// Registers an identity for this user on nodes of which this was attested.
pub(crate) fn entry(plane: &Plane, name: &str, node_selector: &str) {
    let uid = format!("unix:uid:{}", nix::unistd::getuid());
    let id = format!("spiffe://demo.avouch.test/{name}");
    let made = plane.run(&[
        "entry",
        "create",
        "--id",
        name,
        "--spiffe-id",
        &id,
        "--selector",
        &uid,
        "--node-selector",
        node_selector,
        "--tenant",
        "demo",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
}

pub(crate) fn attestor(plane: &Plane, name: &str, document: &serde_json::Value) {
    plane.folder.file("attestor.json", document.to_string());
    let put = [
        "node",
        "attestor",
        "put",
        name,
        "-f",
        "attestor.json",
        "--tenant",
        "demo",
    ];
    let put = plane.run(&put);
    assert_eq!(put.code, 0, "{}", put.err);
}

/// The node whose name begins like this.
pub(crate) fn node(plane: &Plane, beginning: &str) -> serde_json::Value {
    let list = plane.run(&["node", "list", "--tenant", "demo", "-o", "json"]);
    let list = list.json();
    let nodes = list["nodes"].as_array().unwrap();
    let found = nodes
        .iter()
        .find(|node| node["name"].as_str().unwrap().starts_with(beginning));
    found.unwrap_or_else(|| panic!("{list}")).clone()
}

/// What a refused node was told, and what the operator is.
pub(crate) fn assert_refused(plane: &Plane, ran: &Ran, code: &str, sentence: &str) {
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(code), "{}", ran.err);
    assert!(!ran.err.contains(sentence), "{}", ran.err);
    let decision = ran.err.split("under ").nth(1).unwrap();
    let decision: String = decision.chars().take(36).collect();
    let why = plane.run(&["node", "refused", &decision, "--tenant", "demo"]);
    assert!(why.out.contains(sentence), "{}{}", why.out, why.err);
    assert!(plane.log().contains(&decision), "it is not in the log");
}

fn certify(plane: &Plane, authority: &Authority, name: &str) {
    let key = Key::rsa(RsaTestKey::A);
    let forge = CertificateForge::server_with(name, &key);
    let leaf = authority.issue(forge.valid("2020-01-01T00:00:00Z", "2045-01-01T00:00:00Z"));
    plane.folder.certificates(&format!("{name}.pem"), &[&leaf]);
    let key = pem("PRIVATE KEY", key.private());
    plane.folder.file(&format!("{name}.key"), key);
}

#[test]
fn a_machine_joins_with_its_certificate_and_serves_what_is_for_such_machines() {
    let plane = Plane::start("node-x509pop", &[]);
    let root = Authority::root("machines");
    let trusted = pem("CERTIFICATE", &root.certificate);
    let document = json!({"method": "x509pop", "trust": {"anchors": [{"x509": trusted}]}});
    attestor(&plane, "x509pop", &document);
    entry(&plane, "on-web-1", "x509pop:subject:cn:web-1");
    entry(&plane, "on-db-1", "x509pop:subject:cn:db-1");
    certify(&plane, &root, "web-1");
    certify(&plane, &Authority::root("strangers"), "stranger");
    let with = |name: &str| {
        let files = [format!("{name}.pem"), format!("{name}.key")];
        let by = ["--attest", "x509pop", "--attest-tenant", "demo"];
        let by = by.map(str::to_owned).to_vec();
        let [certificate, key] = files;
        [
            by,
            vec!["--cert".to_owned(), certificate, "--key".to_owned(), key],
        ]
        .concat()
    };
    let arguments = with("web-1");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let agent = Agent::start(&plane, "web-1", &arguments);
    let fetched = agent.fetch(&plane);
    assert!(fetched.out.contains("/on-web-1"), "{fetched:?}");
    assert!(!fetched.out.contains("/on-db-1"), "{fetched:?}");
    let shown = node(&plane, "x509pop-");
    assert_eq!(shown["attested_by"], "x509pop");
    let facts = shown["facts"].as_array().unwrap();
    assert!(facts.contains(&json!("x509pop:subject:cn:web-1")));
    let human = plane.run(&[
        "node",
        "show",
        shown["name"].as_str().unwrap(),
        "--tenant",
        "demo",
    ]);
    assert!(human.out.contains("x509pop:subject:cn:web-1"), "{human:?}");

    let arguments = with("stranger");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let stranger = refused(&plane, "stranger", &arguments);
    assert_refused(&plane, &stranger, "pki.", "CN=strangers");
    assert!(!Path::new("stranger-data").join("node.json").exists());
    let mut nowhere = with("web-1");
    nowhere.extend(["--attestor".to_owned(), "none".to_owned()]);
    let nowhere: Vec<&str> = nowhere.iter().map(String::as_str).collect();
    let nowhere = refused(&plane, "nowhere", &nowhere);
    assert_refused(
        &plane,
        &nowhere,
        "issue.attestor_unknown",
        "has no attestor",
    );
    // A token that is none is told no more.
    let token = refused(&plane, "token", &["--join-token", "demo.none"]);
    assert_refused(
        &plane,
        &token,
        "issue.join_token_unknown",
        "one of this server's",
    );
    // Nor is one that names no tenant, of which the root is told.
    let token = refused(&plane, "nobody", &["--join-token", "garbage"]);
    let decision = token.err.split("under ").nth(1).unwrap();
    let decision: String = decision.chars().take(36).collect();
    let why = plane.run(&["node", "refused", &decision, "--tenant", "root"]);
    assert!(why.out.contains("one of this server's"), "{}", why.err);
}

#[test]
fn a_machine_that_was_forgotten_joins_again_and_one_that_was_banned_does_not() {
    let plane = Plane::start("node-forgotten", &[]);
    let root = Authority::root("machines");
    let trusted = pem("CERTIFICATE", &root.certificate);
    let document = json!({"method": "x509pop", "trust": {"anchors": [{"x509": trusted}]}});
    attestor(&plane, "x509pop", &document);
    entry(&plane, "on-web-1", "x509pop:subject:cn:web-1");
    certify(&plane, &root, "web-1");
    let by = ["--attest", "x509pop", "--attest-tenant", "demo"];
    let with = ["--cert", "web-1.pem", "--key", "web-1.key"];
    let agent = Agent::start(&plane, "web-1", &[by, with].concat());
    let shown = node(&plane, "x509pop-");
    let name = shown["name"].as_str().unwrap();
    let ask = |verb: &str| plane.run(&["node", verb, name, "--tenant", "demo"]);
    assert_eq!(ask("evict").code, 0);
    let is_connected = |line: &str| line.starts_with("connected") && line.ends_with("yes");
    wait(|| ask("show").out.lines().any(is_connected));
    wait(|| agent.fetch(&plane).out.contains("/on-web-1"));
    assert_eq!(ask("ban").code, 0);
    let log = || std::fs::read_to_string(plane.folder.path().join("web-1.log")).unwrap();
    wait(|| log().contains("it is banned"));
    assert!(log().contains("the server refuses this node"), "{}", log());
    assert!(!log().contains("the server is away"), "{}", log());
    wait(|| log().contains("could not renew"));
    assert!(ask("show").out.contains("banned"), "{}", ask("show").out);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a limit on how long is waited")]
fn the_agent_of_a_node_that_was_sent_away_says_so_when_it_starts_again() {
    let plane = Plane::start("node-sent-away", &[]);
    let start = |name: &str| {
        let token = plane.run(&["node", "token", name, "-o", "json", "--tenant", "demo"]);
        let token = token.json()["token"].as_str().unwrap().to_owned();
        drop(Agent::start(&plane, name, &["--join-token", &token]));
    };
    let done = |arguments: &[&str]| {
        let ran = plane.run(&[arguments, &["--tenant", "demo"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
    };
    for name in ["ended", "banned", "evicted", "followed"] {
        start(name);
    }
    let subject = "spiffe://demo.avouch.test/avouch/node/ended";
    let end = ["signal", "end", "--issuer", "spiffe://demo.avouch.test"];
    done(
        &[
            &end,
            ["--subject", subject, "--reason", "stolen"].as_slice(),
        ]
        .concat(),
    );
    done(&["node", "ban", "banned"]);
    done(&["node", "evict", "evicted"]);
    // Another joins under its name, with what it keeps elsewhere.
    let token = plane.run(&[
        "node", "token", "followed", "-o", "json", "--tenant", "demo",
    ]);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let _other = Agent::start(&plane, "other", &["--join-token", &token]);
    let told = [
        ("ended", "revocation.subject_ended"),
        ("banned", "it is banned"),
        ("evicted", "it is not known here"),
        ("followed", "another has joined under its name since"),
    ];
    for (name, why) in told {
        let agent = Agent::start(&plane, name, &[]);
        // Whoever asks it for an identity learns at once what is wrong with the node.
        for what in [&["x509"][..], &["jwt", "--audience", "a"], &["bundle"]] {
            let command = [&["fetch"], what, &["--socket", &agent.socket]].concat();
            let started = Instant::now();
            let fetched = plane.folder.run(&command);
            assert_eq!(fetched.code, 1, "{name}: {}", fetched.out);
            assert!(fetched.err.contains("refuses this node"), "{}", fetched.err);
            assert!(fetched.err.contains(why), "{name}: {}", fetched.err);
            assert!(
                started.elapsed() < Duration::from_secs(8),
                "{}",
                fetched.err
            );
        }
        let log = || std::fs::read_to_string(plane.folder.path().join(format!("{name}.log")));
        wait(|| log().unwrap().contains("the server refuses this node"));
        let log = log().unwrap();
        assert!(log.contains(why), "{name}: {log}");
        assert!(!log.contains("the server is away"), "{name}: {log}");
    }
}

#[test]
fn a_machine_joins_by_its_tpm_and_its_key_stays_in_there() {
    let made = TpmMaker::new().and_then(|maker| Ok((maker.tpm()?, maker)));
    let (tpm, maker) = match made {
        Ok(made) => made,
        Err(why) => return println!("skipped: TPMs: {why}"),
    };
    let plane = Plane::start("node-tpm", &[]);
    let document = json!({
        "method": "tpm",
        "trust": {"anchors": [{"x509": maker.authority()}]},
        "pcrs": [7],
    });
    attestor(&plane, "tpm", &document);
    entry(&plane, "in-tpm", "key_storage:tpm");
    entry(&plane, "elsewhere", "key_storage:file");
    let socket = tpm.socket().display().to_string();
    let by = [
        "--attest",
        "tpm",
        "--attest-tenant",
        "demo",
        "--tpm",
        &socket,
    ];
    let fetched = Agent::start(&plane, "machine", &by).fetch(&plane);
    assert!(fetched.out.contains("/in-tpm"), "{fetched:?}");
    assert!(!fetched.out.contains("/elsewhere"), "{fetched:?}");
    let shown = node(&plane, "tpm-");
    assert_eq!(shown["attested_by"], "tpm");
    let facts = shown["facts"].as_array().unwrap();
    let zero = "00".repeat(32);
    assert!(
        facts.contains(&json!(format!("tpm:pcr:7:{zero}"))),
        "{shown}"
    );
    // Nothing that was kept is a key.
    let kept = plane.folder.path().join("machine-data/node.json");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert!(!kept.contains("private_key"), "{kept}");
    // It is the same member when it starts again, without being asked what it can show.
    let again = Agent::start(&plane, "machine", &[]);
    assert!(again.fetch(&plane).out.contains("/in-tpm"));
    drop(again);

    let strange = TpmMaker::new().unwrap().tpm().unwrap();
    let socket = strange.socket().display().to_string();
    let by = [
        "--attest",
        "tpm",
        "--attest-tenant",
        "demo",
        "--tpm",
        &socket,
    ];
    let stranger = refused(&plane, "stranger", &by);
    assert_refused(&plane, &stranger, "pki.", "swtpm-localca");
    let by = [
        "--attest",
        "tpm",
        "--attest-tenant",
        "demo",
        "--tpm",
        "/nowhere",
    ];
    let nowhere = refused(&plane, "nowhere", &by);
    assert!(nowhere.err.contains("/nowhere"), "{nowhere:?}");
}

#[test]
fn a_host_of_ssh_joins_with_its_certificate() {
    let is_there = std::process::Command::new("ssh-keygen").arg("-?").output();
    if is_there.is_err() {
        println!("skipped: hosts of SSH: `ssh-keygen` is not installed");
        return;
    }
    let plane = Plane::start("node-sshpop", &[]);
    let keygen = |arguments: &[&str]| {
        let mut command = std::process::Command::new("ssh-keygen");
        let command = command.args(arguments).current_dir(plane.folder.path());
        assert!(command.output().unwrap().status.success(), "{arguments:?}");
    };
    for (kind, name) in [("ed25519", "ca"), ("ed25519", "one"), ("ecdsa", "two")] {
        drop(std::fs::remove_file(plane.folder.path().join(name)));
        keygen(&["-q", "-t", kind, "-N", "", "-f", name]);
    }
    let authority = std::fs::read_to_string(plane.folder.path().join("ca.pub")).unwrap();
    let document = json!({"method": "sshpop", "authorities": [authority]});
    attestor(&plane, "sshpop", &document);
    entry(&plane, "on-hosts", "sshpop:principal:one.example.com");
    for name in ["one", "two"] {
        let principal = format!("{name}.example.com");
        let public = format!("{name}.pub");
        keygen(&[
            "-q", "-s", "ca", "-h", "-I", name, "-n", &principal, &public,
        ]);
        let certificate = format!("{name}-cert.pub");
        let by = ["--attest", "sshpop", "--attest-tenant", "demo"];
        let with = ["--cert", &certificate, "--key", name];
        let agent = Agent::start(&plane, name, &[&by[..], &with].concat());
        let served = agent.fetch(&plane).out.contains("/on-hosts");
        assert_eq!(served, name == "one");
    }
}

#[test]
fn an_agent_in_a_pod_joins_when_its_cluster_vouches_for_its_token() {
    let authority = root("cluster");
    let shown = Shown::under(&authority, &["localhost"]);
    let review = json!({"status": {
        "authenticated": true,
        "user": {
            "username": "system:serviceaccount:avouch:agent",
            "extra": {"authentication.kubernetes.io/node-uid": ["5e0f5b0a"]},
        },
        "audiences": ["avouch"],
    }});
    let fields = [("content-type", "application/json")];
    let cluster = HttpsServer::always(&shown, 201, &fields, &review.to_string());
    let plane = Plane::start("node-k8s-psat", &["--allow-fetch", "127.0.0.0/8"]);
    let document = json!({
        "method": "k8s_psat", "cluster": "prod", "audiences": ["avouch"],
        "review": {
            "server": cluster.url(""),
            "ca": pem("CERTIFICATE", &authority.certificate),
            "token": "of the reviewer",
        },
        "service_accounts": ["avouch/agent"],
    });
    attestor(&plane, "prod", &document);
    entry(&plane, "in-prod", "k8s_psat:cluster:prod");
    let token = TokenForge::saying(json!({"iat": 1_700_000_000})).sign(&Key::p256("c"), "sa");
    plane.folder.file("token", &token);
    let by = ["--attest", "k8s-psat", "--attest-tenant", "demo"];
    let with = ["--attestor", "prod", "--token-path", "token"];
    let by = [&by[..], &with].concat();
    let agent = Agent::start(&plane, "pod", &by);
    let fetched = agent.fetch(&plane);
    assert!(fetched.out.contains("/in-prod"), "{fetched:?}");
    assert_eq!(node(&plane, "prod-")["name"], "prod-5e0f5b0a");
    // Whoever has read the token comes too late.
    let thief = refused(&plane, "thief", &by);
    assert_refused(&plane, &thief, "issue.node_joined_already", "shown before");
    assert!(!plane.log().contains(&token), "a token is in the log");
    // Banned, it gets nothing new, and cannot come back with a newer token.
    let ban = plane.run(&["node", "ban", "prod-5e0f5b0a", "--tenant", "demo"]);
    assert_eq!(ban.code, 0, "{}", ban.err);
    let token = TokenForge::saying(json!({"iat": 1_700_000_001})).sign(&Key::p256("c"), "sa");
    plane.folder.file("token", &token);
    let banned = refused(&plane, "banned", &by);
    assert_refused(&plane, &banned, "issue.node_not_admitted", "it is banned");
}

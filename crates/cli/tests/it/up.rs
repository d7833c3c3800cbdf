//! `avouch up` and `avouch fetch`: the whole, as a newcomer meets it.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for what happens in another process, and no longer than it may take"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::Value;

use crate::plane::Plane;
use crate::run::Ran;

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_newcomer_gets_an_identity_at_once_that_others_believe() {
    let plane = Plane::start("up-newcomer", &[]);
    assert!(
        plane.greeting.contains("SPIFFE_ENDPOINT_SOCKET=unix:///"),
        "{}",
        plane.greeting
    );
    let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    assert!(
        fetched.out.starts_with("spiffe://demo.avouch.test/user/"),
        "{}",
        fetched.out
    );

    let verified = plane.run(&[
        "verify",
        "svid/svid.pem",
        "--trust",
        "svid/bundle.pem",
        "--spiffe",
        "demo.avouch.test",
    ]);
    assert_eq!(verified.code, 0, "{}", verified.out);
    let foreign = plane.run(&[
        "verify",
        "svid/svid.pem",
        "--trust",
        "svid/bundle.pem",
        "--spiffe",
        "other.avouch.test",
    ]);
    assert_eq!(foreign.code, 3, "{}", foreign.out);

    let openssl = Command::new("openssl")
        .args([
            "verify",
            "-CAfile",
            "bundle.pem",
            "-untrusted",
            "svid.pem",
            "svid.pem",
        ])
        .current_dir(plane.folder.path().join("svid"))
        .output();
    match openssl {
        Ok(verified) => assert!(verified.status.success(), "{verified:?}"),
        Err(why) => println!("skipped: openssl: {why}"),
    }
}

#[test]
fn a_token_is_believed_for_its_audience_and_for_no_other() {
    let plane = Plane::start("up-token", &[]);
    let token = plane.run(&["fetch", "jwt", "--audience", "vault"]);
    let bundles = json(&plane.run(&["fetch", "bundle", "-o", "json"]));
    let keys = &bundles["bundles"]["spiffe://demo.avouch.test"]["jwt"];
    let trust =
        serde_json::json!({"anchors": [{"trust_domain": "demo.avouch.test", "bundle": keys}]});
    plane.folder.file("trust.json", trust.to_string());
    plane.folder.file("token", &token.out);
    let verify = |audience| {
        plane
            .run(&[
                "verify",
                "token",
                "--trust",
                "trust.json",
                "--audience",
                audience,
            ])
            .code
    };
    assert_eq!((verify("vault"), verify("database")), (0, 3));
}

#[test]
fn a19_a_wit_comes_with_the_key_it_names() {
    let plane = Plane::start("up-wit", &[]);
    let fetched = json(&plane.run(&["fetch", "wit", "--write", "wit", "-o", "json"]));
    let token = fetched["svids"][0]["svid"].as_str().unwrap();
    let part = |number: usize| -> Value {
        let part = token.split('.').nth(number).unwrap();
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
    };
    assert_eq!(part(0)["typ"], "wit+jwt");
    assert!(part(0)["kid"].is_string());
    assert_eq!(part(1)["sub"], fetched["svids"][0]["spiffe_id"]);
    assert!(part(1).get("aud").is_none());
    let key = fs::read_to_string(plane.folder.path().join("wit/wit.jwk")).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    let named = &part(1)["cnf"]["jwk"];
    assert_eq!((&named["x"], &named["y"]), (&key["x"], &key["y"]));
    assert!(key["d"].is_string() && named.get("d").is_none());

    let own = plane.run(&[
        "fetch",
        "wit",
        "--spiffe-id",
        "spiffe://demo.avouch.test/not-me",
    ]);
    assert_eq!(own.code, 3, "{}", own.err);
}

#[test]
fn a20_each_key_of_a_wit_bundle_has_a_name_and_tokens_name_one_of_them() {
    let plane = Plane::start("up-wit-bundle", &[]);
    let bundles = json(&plane.run(&["fetch", "bundle", "-o", "json"]));
    let keys = &bundles["bundles"]["spiffe://demo.avouch.test"]["wit"]["keys"];
    let names: Vec<&str> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap())
        .collect();
    let fetched = json(&plane.run(&["fetch", "wit", "-o", "json"]));
    let token = fetched["svids"][0]["svid"].as_str().unwrap();
    let head = Base64UrlUnpadded::decode_vec(token.split('.').next().unwrap()).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    assert!(names.contains(&head["kid"].as_str().unwrap()), "{names:?}");
}

#[test]
fn secrets_are_for_their_owner_alone() {
    let plane = Plane::start("up-secrets", &[]);
    plane.run(&["fetch", "x509", "--write", "svid"]);
    for (name, mode) in [
        ("avouch-data", 0o711),
        ("avouch-data/root.key", 0o600),
        ("avouch-data/operator.jwt", 0o600),
        ("avouch-data/avouch.sqlite3", 0o600),
        ("avouch-data/agent/node.json", 0o600),
        ("avouch-data/server.json", 0o644),
        ("svid/key.pem", 0o600),
    ] {
        let metadata = fs::metadata(plane.folder.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    let log = plane.log();
    for secret in ["root.key", "operator.jwt"] {
        let secret = fs::read_to_string(plane.folder.path().join("avouch-data").join(secret));
        assert!(!log.contains(secret.unwrap().trim()));
    }
}

#[test]
fn everything_is_found_again_after_it_was_stopped_and_after_it_was_killed() {
    let bundle =
        |plane: &Plane| json(&plane.run(&["fetch", "bundle", "-o", "json"]))["bundles"].clone();
    let plane = Plane::start("up-again", &[]);
    let before = bundle(&plane);
    let plane = plane.again(Signal::SIGKILL, &[]);
    assert_eq!(bundle(&plane), before);
    let mut plane = plane.again(Signal::SIGINT, &[]);
    assert_eq!(bundle(&plane), before);
    assert_eq!(plane.signal(Signal::SIGTERM), Some(0), "{}", plane.log());
    assert!(!plane.socket().exists());
}

#[test]
fn a_program_reads_where_everything_is_and_the_commands_find_the_server_by_its_folder() {
    let plane = Plane::start(
        "up-json",
        &[
            "--broker-socket",
            "broker.sock",
            "--broker",
            "spiffe://demo.avouch.test/broker=pid",
        ],
    );
    assert!(plane.folder.path().join("broker.sock").exists());
    // Not at its usual address, and not named: its folder says where it is.
    let listed = plane.folder.run(&["tenant", "list", "-o", "json"]);
    let names: Vec<String> = json(&listed)["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| tenant["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["demo", "root"]);
    // An entry that sorts before that of the user changes nothing about who the user is.
    let user = plane
        .greeting
        .lines()
        .find(|line| line.starts_with("Your own processes"));
    let user = user.unwrap().to_owned();
    let created = plane.run(&[
        "entry",
        "create",
        "--id",
        "a-first",
        "--spiffe-id",
        "spiffe://demo.avouch.test/first",
        "--selector",
        "unix:uid:4242",
        "--tenant",
        "demo",
    ]);
    assert_eq!(created.code, 0, "{}", created.err);
    let mut plane = plane.again(Signal::SIGTERM, &[]);
    assert!(plane.greeting.contains(&user), "{}", plane.greeting);

    plane.signal(Signal::SIGTERM);
    let any = "127.0.0.1:0";
    let mut child = plane
        .folder
        .command(&["up", "-o", "json", "--listen", any, "--grpc-listen", any])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let there = fs::read_to_string(plane.folder.path().join("avouch-data/address")).unwrap();
    assert_eq!(said["http"], there);
    assert!(
        said["workloads"].as_str().unwrap().starts_with("unix:///"),
        "{line}"
    );
    assert_eq!(said["tenants"][0]["name"], "demo");
    assert!(
        user.contains(said["own_identity"].as_str().unwrap()),
        "{line}"
    );
}

#[test]
fn a_server_decides_by_what_its_tenant_trusts_and_tells_strangers_a_code() {
    let plane = Plane::start("up-decides", &[]);
    let http = plane.http();
    let fetched = plane.run(&["fetch", "jwt", "--audience", "vault", "-o", "json"]);
    let token = json(&fetched)["svids"][0]["svid"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(plane.folder.path().join("token.jwt"), token).unwrap();
    let asked = |audience: &str, more: &[&str]| {
        let command = [
            "verify",
            "token.jwt",
            "--server",
            &http,
            "--tenant",
            "demo",
            "--audience",
            audience,
        ];
        plane.folder.run(&[&command, more].concat())
    };
    let accepted = asked("vault", &[]);
    assert_eq!(accepted.code, 0, "{}{}", accepted.out, accepted.err);
    assert!(
        accepted
            .out
            .starts_with("accepted: spiffe://demo.avouch.test/user/")
    );
    assert!(
        accepted
            .out
            .contains("anchored in the bundle of demo.avouch.test"),
        "{}",
        accepted.out
    );
    let refused = asked("other", &[]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused
            .out
            .contains("rejected[federation.audience_mismatch]"),
        "{}",
        refused.out
    );
    assert!(refused.out.contains("= fix: "), "{}", refused.out);
    assert!(refused.out.contains("= spec: "), "{}", refused.out);

    // Whoever is nobody to the tenant learns the verdict and a code.
    let stranger = asked("other", &["--data", "nowhere", "-o", "json"]);
    assert_eq!(stranger.code, 3, "{}", stranger.err);
    let said: Value = serde_json::from_str(&stranger.out).unwrap();
    assert_eq!(said["reason"]["code"], "federation.audience_mismatch");
    assert!(said.get("attempts").is_none(), "{said}");
    let stranger = asked("other", &["--data", "nowhere"]);
    assert!(
        stranger
            .out
            .contains("rejected[federation.audience_mismatch]"),
        "{}",
        stranger.out
    );
    let stranger = asked("vault", &["--data", "nowhere"]);
    assert_eq!(stranger.code, 0, "{}", stranger.err);
}

#[test]
fn a_server_is_asked_where_it_is_named_and_nothing_else_is_trusted() {
    let plane = Plane::start("up-asked", &[]);
    let http = plane.http();
    // A certificate, with everything that was tried; what is given to be trusted decides here.
    assert_eq!(plane.run(&["fetch", "x509", "--write", "svid"]).code, 0);
    let explained = plane.folder.run(&[
        "explain",
        "svid/svid.pem",
        "--server",
        &http,
        "--tenant",
        "demo",
        "--spiffe",
        "b.test",
    ]);
    assert_eq!(explained.code, 3, "{}{}", explained.out, explained.err);
    assert!(explained.out.contains("✗ "), "{}", explained.out);
    let local = plane.folder.run(&[
        "verify",
        "svid/svid.pem",
        "--server",
        "http://127.0.0.1:1",
        "--trust",
        "svid/bundle.pem",
        "--spiffe",
        "demo.avouch.test",
    ]);
    assert_eq!(local.code, 0, "{}{}", local.out, local.err);
    // It is not guessed whose trust is meant.
    let whose = plane
        .folder
        .run(&["verify", "svid/svid.pem", "--server", &http]);
    assert_eq!(whose.code, 2, "{}", whose.out);
    let batch = plane
        .folder
        .run(&["verify", "--batch", "-", "--server", &http]);
    assert_eq!(batch.code, 2, "{}", batch.err);
}

#[test]
fn a_taken_address_and_a_taken_folder_are_said_in_one_line() {
    let plane = Plane::start("up-taken", &[]);
    let http = plane
        .greeting
        .lines()
        .find_map(|line| line.trim().strip_prefix("HTTP"));
    let address = http.unwrap().trim().strip_prefix("http://").unwrap();
    let taken = plane.run(&["up", "--listen", address, "--data", "elsewhere"]);
    assert_eq!((taken.code, taken.out.as_str()), (1, ""));
    assert!(
        taken.err.contains("choose another with --listen"),
        "{}",
        taken.err
    );
    assert_eq!(taken.err.lines().count(), 1, "{}", taken.err);
    assert!(!plane.folder.path().join("elsewhere").exists());

    let any = "127.0.0.1:0";
    let taken = plane.run(&["up", "--listen", any, "--grpc-listen", any]);
    assert_eq!((taken.code, taken.out.as_str()), (1, ""));
    assert!(
        taken.err.contains("another `avouch up` uses it"),
        "{}",
        taken.err
    );
}

#[test]
fn an_identity_is_renewed_before_it_ends() {
    let plane = Plane::start("up-renewal", &["--x509-ttl", "10"]);
    let svid =
        || json(&plane.run(&["fetch", "x509", "-o", "json"]))["svids"][0]["x509_svid"].clone();
    let first = svid();
    let started = Instant::now();
    while svid() == first {
        assert!(
            started.elapsed() < Duration::from_secs(9),
            "it was not renewed"
        );
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// As a machine that sleeps for longer than the identity of the node lasts.
#[test]
fn a_plane_that_has_slept_through_the_end_of_its_node_goes_on_by_itself() {
    let plane = Plane::start("up-asleep", &["--x509-ttl", "10"]);
    assert_eq!(plane.run(&["fetch", "x509"]).code, 0);
    plane.send(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(12));
    plane.send(Signal::SIGCONT);
    let woken = Instant::now();
    loop {
        let fetched = plane.run(&["fetch", "x509"]);
        if fetched.code == 0 {
            break;
        }
        assert!(woken.elapsed() < Duration::from_secs(60), "{fetched:?}");
    }
}

#[test]
fn who_has_no_entry_is_told_so_and_the_log_says_what_was_missing() {
    if !Uid::effective().is_root() {
        return println!("skipped: another user: only root can become one");
    }
    let plane = Plane::start("up-nobody", &[]);
    let program = env!("CARGO_BIN_EXE_avouch");
    // A copy that every user may run, wherever this was built.
    let own = plane.socket().with_file_name("avouch");
    fs::copy(program, &own).unwrap();
    let folder = own.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let denied = Command::new(&own)
        .args(["fetch", "x509", "--socket"])
        .arg(plane.socket())
        .uid(65_534)
        .gid(65_534)
        .current_dir("/")
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(denied.status.code(), Some(3), "{denied:?}");
    assert!(
        String::from_utf8_lossy(&denied.stderr).contains("no identity issued"),
        "{denied:?}"
    );
    let log = plane.log();
    let line = log
        .lines()
        .find(|line| line.contains("no identity issued"))
        .unwrap();
    assert!(
        line.contains("asks for unix:uid:0 where the workload has unix:uid:65534"),
        "{line}"
    );
}

#[test]
fn without_an_agent_the_message_says_how_to_start_one() {
    let folder = crate::run::Folder::new("fetch-nowhere");
    let ran = folder.run(&["fetch", "x509"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("start one with `avouch up`"),
        "{}",
        ran.err
    );
}

#[test]
fn what_a_workload_names_wrongly_is_said_at_once_and_is_no_fault_of_the_agent() {
    let plane = Plane::start("up-audiences", &[]);
    let names: Vec<String> = (0..9).map(|number| format!("audience-{number}")).collect();
    let mut command = vec!["fetch", "jwt"];
    for name in &names {
        command.extend(["--audience", name]);
    }
    let refused = plane.run(&command);
    assert_eq!(refused.code, 2, "{}", refused.err);
    let why = "issue.audience_invalid";
    assert!(refused.err.contains(why), "{}", refused.err);
    assert!(
        refused.err.contains("9 are named, and 8 are allowed"),
        "{}",
        refused.err
    );
    let long = "x".repeat(2_049);
    let refused = plane.run(&["fetch", "jwt", "--audience", &long]);
    assert!(refused.err.contains(why), "{}", refused.err);
    let other = "spiffe://demo.avouch.test/other";
    let fetched = plane.run(&["fetch", "x509", "--spiffe-id", other]);
    assert_eq!((fetched.code, fetched.out.as_str()), (3, ""), "{fetched:?}");
    assert!(fetched.err.contains(other), "{fetched:?}");
    let svids = json(&plane.run(&["fetch", "x509", "-o", "json"]))["svids"].clone();
    let own = svids[0]["spiffe_id"].as_str().unwrap();
    let fetched = plane.run(&["fetch", "x509", "--spiffe-id", own, "-o", "json"]);
    assert_eq!(json(&fetched)["svids"][0]["spiffe_id"], own);
    let log = plane.log();
    assert_eq!(log.matches("no identity issued").count(), 2, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn whoever_stops_both_is_not_told_that_the_server_is_away() {
    let mut plane = Plane::start("up-stopped", &[]);
    assert_eq!(plane.signal(Signal::SIGINT), Some(0));
    let log = plane.log();
    assert!(log.contains("stopping"), "{log}");
    assert!(!log.contains("the server is away"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}

/// As by a terminal that is closed, or a connection that ends.
#[test]
fn a_closed_terminal_drains_as_a_request_to_stop_does() {
    let mut plane = Plane::start("up-hangup", &[]);
    assert_eq!(plane.signal(Signal::SIGHUP), Some(0), "{}", plane.log());
    let log = plane.log();
    assert!(log.contains("stopping"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
    assert!(!plane.socket().exists());
}

#[test]
fn who_was_started_to_outlive_the_terminal_does() {
    let plane = Plane::start_to_outlive_the_terminal("up-nohup");
    plane.send(Signal::SIGHUP);
    assert_eq!(plane.run(&["fetch", "x509"]).code, 0, "{}", plane.log());
    assert!(!plane.log().contains("stopping"), "{}", plane.log());
}

/// As by a program that clears out a folder for temporary files.
#[test]
fn a_socket_that_was_removed_is_made_anew() {
    let plane = Plane::start("up-removed", &[]);
    fs::remove_file(plane.socket()).unwrap();
    let removed = Instant::now();
    while plane.run(&["fetch", "x509"]).code != 0 {
        assert!(
            removed.elapsed() < Duration::from_secs(30),
            "{}",
            plane.log()
        );
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(plane.log().contains("is made anew"), "{}", plane.log());
}

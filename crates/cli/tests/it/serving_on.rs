//! Nodes whose server is away, or that are away themselves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use avouch_core::credential::x509::Certificate;
use avouch_core::id::hex;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::nodes::Agent;
use crate::plane::Plane;
use crate::run::Ran;

const DOMAIN: &str = "demo.avouch.test";

pub(crate) fn manage(plane: &Plane, arguments: &[&str]) -> Ran {
    plane.run(&[arguments, &["--tenant", "demo"]].concat())
}

/// An agent that has joined with a token.
pub(crate) fn agent(plane: &Plane, name: &str) -> Agent {
    let token = manage(plane, &["node", "token", name, "-o", "json"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    Agent::start(plane, name, &["--join-token", &token])
}

pub(crate) fn svids(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.json()["svids"].clone()
}

#[test]
fn an_agent_serves_what_it_holds_while_the_server_is_away_and_says_until_when() {
    let mut plane = Plane::start("serving-on", &[]);
    let agent = agent(&plane, "far");
    let before = svids(&agent.fetch(&plane));
    plane.signal(Signal::SIGKILL);
    let log = || std::fs::read_to_string(plane.folder.path().join("far.log")).unwrap();
    wait(|| log().contains("what is held is served until it expires"));
    let told = log();
    let line = told.lines().find(|line| line.contains("is away")).unwrap();
    assert!(line.contains("\"until\":\"20"), "{line}");
    // For whoever asks now, and as often as they ask.
    for _ in 0..3 {
        assert_eq!(svids(&agent.fetch(&plane)), before);
    }
}

#[test]
fn a_node_whose_identity_ends_while_the_server_is_away_says_that_it_must_join_again() {
    let mut plane = Plane::start("ended-node", &["--x509-ttl", "10"]);
    let agent = agent(&plane, "late");
    let agent_log = plane.folder.path().join("late.log");
    let log = || std::fs::read_to_string(&agent_log).unwrap();
    svids(&agent.fetch(&plane));
    plane.signal(Signal::SIGKILL);
    wait(|| log().contains("the identity of this node has ended"));
    wait(|| log().contains("start the agent with a new token"));
    // Once, however often someone asks meanwhile.
    for _ in 0..3 {
        assert_ne!(agent.fetch(&plane).code, 0);
    }
    let said = log().matches("so it must join again").count();
    assert_eq!(said, 1, "{}", log());
}

#[test]
fn files_of_identities_that_a_workload_has_no_more_are_removed() {
    let plane = Plane::start("former-files", &[]);
    let uid = format!("unix:uid:{}", nix::unistd::getuid());
    let id = format!("spiffe://{DOMAIN}/second");
    let more = ["--spiffe-id", &id, "--selector", &uid];
    let made = manage(
        &plane,
        &[&["entry", "create", "--id", "second"], &more[..]].concat(),
    );
    assert_eq!(made.code, 0, "{}", made.err);
    let count = || {
        let fetched = plane.run(&["fetch", "x509", "-o", "json", "--write", "svid"]);
        svids(&fetched).as_array().unwrap().len()
    };
    wait(|| count() == 2);
    let is_there = |name: &str| plane.folder.path().join("svid").join(name).exists();
    let former = ["svid.1.pem", "key.1.pem", "bundle.1.pem"];
    assert!(former.into_iter().all(is_there));
    assert_eq!(manage(&plane, &["entry", "delete", "second"]).code, 0);
    wait(|| count() == 1);
    assert!(!former.into_iter().any(is_there));
    assert!(is_there("svid.pem") && is_there("key.pem"));
    // Who asks to be someone else learns that, and not that it is nobody.
    let other = plane.run(&["fetch", "jwt", "--audience", "a", "--spiffe-id", &id]);
    assert_eq!(other.code, 3, "{}", other.out);
    let told = format!("no registration entry makes this process {id}");
    assert!(other.err.contains(&told), "{}", other.err);
}

/// The sockets of a process, by their numbers.
fn sockets(process: u32) -> BTreeSet<String> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let names = links.filter_map(|link| {
        let name = link.to_str()?.strip_prefix("socket:[")?;
        Some(name.strip_suffix(']')?.to_owned())
    });
    names.collect()
}

#[test]
fn e01_e03_e08_an_agent_listens_on_a_socket_of_this_machine_alone_and_says_where() {
    let plane = Plane::start("endpoint", &[]);
    let agent = agent(&plane, "alone");
    let own = sockets(agent.process());
    // E-03: of TCP it listens nowhere (proc(5): the state 0A, and the number of the socket).
    for table in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(
                words[3] != "0A" || !own.contains(words[9]),
                "it listens: {line}"
            );
        }
    }
    // E-01: it listens on a socket of this machine, at the path it says (flags of a listener).
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    let listening = table.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(3) == Some(&"00010000") && own.contains(words[6])
    });
    let listening: Vec<&str> = listening.collect();
    assert!(
        listening.len() == 1 && listening[0].ends_with(&agent.socket),
        "{listening:?}"
    );
    // E-08: as a URI with an absolute path and no authority, which any client takes as it stands.
    let (name, address) = agent.greeting.split_once('=').unwrap();
    assert_eq!(name, "SPIFFE_ENDPOINT_SOCKET");
    assert_eq!(address, format!("unix://{}", agent.socket));
    let fetch = |address: &str| plane.folder.run(&["fetch", "x509", "--socket", address]);
    assert_eq!(fetch(address).code, 0);
    for wrong in [
        "unix://host/agent.sock",
        "tcp://localhost:8081",
        "unix:agent.sock",
    ] {
        assert_ne!(fetch(wrong).code, 0, "{wrong}");
    }
}

#[test]
fn an_authority_that_a_connected_node_does_not_hold_is_not_activated() {
    let plane = Plane::start("not-held", &[]);
    let agent = agent(&plane, "asleep");
    svids(&agent.fetch(&plane));
    agent.send(Signal::SIGSTOP);
    let prepared = manage(&plane, &["authority", "prepare", DOMAIN]);
    assert_eq!(prepared.code, 0, "{}", prepared.err);
    let list = manage(&plane, &["authority", "list", "-o", "json"]).json();
    let is_next = |one: &&Value| {
        one["state"] == "prepared" && one["kind"] == "x509" && one["role"] == "intermediate"
    };
    let next = list["authorities"].as_array().unwrap().iter().find(is_next);
    let next = next.unwrap_or_else(|| panic!("{list}"))["id"]
        .as_str()
        .unwrap();
    let activate = || manage(&plane, &["authority", "activate", next]);
    let refused = activate();
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(
        refused.err.contains("issue.authority_not_held"),
        "{}",
        refused.err
    );
    agent.send(Signal::SIGCONT);
    wait(|| activate().code == 0);
    assert_eq!(activate().code, 3, "it signs already");
}

#[test]
fn an_entry_with_places_gives_each_user_an_identity_of_its_own() {
    let plane = Plane::start("places", &[]);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap()
        .name;
    let mine = format!("spiffe://{DOMAIN}/user/{user}");
    let made = manage(
        &plane,
        &[
            "entry",
            "create",
            "--id",
            "users",
            "--spiffe-id",
            &format!("spiffe://{DOMAIN}/user/{{unix.user}}"),
        ],
    );
    assert_eq!(made.code, 0, "{}", made.err);
    let fetched = || plane.run(&["fetch", "x509", "-o", "json"]);
    wait(|| fetched().out.contains(&mine));
    let could = manage(&plane, &["entry", "bounds", "--could", &mine]);
    assert!(could.out.contains("users"), "{}", could.out);
    let never = manage(
        &plane,
        &[
            "entry",
            "bounds",
            "--could",
            &format!("spiffe://{DOMAIN}/admin"),
        ],
    );
    assert_eq!(never.code, 3, "{}", never.out);
    let unfit = manage(&plane, &["why-not", "--selector", "unix:user:two words"]);
    assert_eq!(unfit.code, 3, "{}", unfit.out);
    assert!(unfit.out.contains("unix.user"), "{}", unfit.out);
    // What nobody attests, nobody gets.
    assert!(!fetched().out.contains("{unix.user}"));
}

#[test]
fn certificates_say_where_their_list_is_when_the_server_has_an_address() {
    let url = ["--public-url", "http://avouch.example.com/"];
    let plane = Plane::start("list-address", &url);
    let fetched = plane.run(&["fetch", "x509", "--write", "svid"]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let list = manage(&plane, &["authority", "list", "-o", "json"]).json();
    let signs = |one: &&Value| {
        one["state"] == "active" && one["kind"] == "x509" && one["role"] == "intermediate"
    };
    let authority = list["authorities"].as_array().unwrap().iter().find(signs);
    let id = authority.unwrap()["id"].as_str().unwrap().to_owned();
    let points = |plane: &Plane| {
        let text = std::process::Command::new("openssl")
            .args([
                "x509",
                "-in",
                "svid/svid.pem",
                "-noout",
                "-ext",
                "crlDistributionPoints",
            ])
            .current_dir(plane.folder.path())
            .output();
        text.map(|text| String::from_utf8_lossy(&text.stdout).into_owned())
    };
    let Ok(text) = points(&plane) else {
        println!("skipped: the address of lists: there is no openssl here");
        return;
    };
    let expected = format!("URI:http://avouch.example.com/t/demo/crl/{id}\n");
    assert!(text.contains(&expected), "{text}");
    // Where nobody said how the server is reached, nothing is promised.
    let silent = Plane::start("list-no-address", &[]);
    assert_eq!(silent.run(&["fetch", "x509", "--write", "svid"]).code, 0);
    assert!(!points(&silent).unwrap().contains("URI"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "a limit on how long something may take to come about"
)]
pub(crate) fn wait(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it does not come about"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who ended has to sign in anew, and a workload does that by its agent, which knows what ended.
#[test]
fn an_svid_that_a_revocation_list_names_is_replaced_by_the_agent_at_once() {
    let plane = Plane::start("revoked-svids", &[]);
    let fetched = || {
        let fetched = plane.run(&["fetch", "x509", "-o", "json", "--write", "held"]);
        let svid = svids(&fetched)[0].clone();
        let pem = std::fs::read_to_string(plane.folder.path().join("held/svid.pem")).unwrap();
        (svid["spiffe_id"].as_str().unwrap().to_owned(), pem)
    };
    let serial_of = |pem: &str| {
        let lines = pem.lines().skip(1);
        let own = lines.take_while(|line| !line.starts_with("-----"));
        let der = Base64::decode_vec(&own.collect::<String>()).unwrap();
        hex(Certificate::parse(&der).unwrap().serial())
    };
    let (id, first) = fetched();
    let serial = serial_of(&first);
    for which in [["--serial", &serial], ["--spiffe-id", &id]] {
        let (_, before) = fetched();
        let revoke = ["authority", "revoke-certificates", "--reason", "superseded"];
        let revoked = manage(&plane, &[&revoke[..], &which].concat());
        assert_eq!(revoked.code, 0, "{}", revoked.err);
        wait(|| fetched().1 != before);
        // What took its place is not revoked, and stays.
        let (_, after) = fetched();
        for (pem, code) in [(&before, 3), (&after, 0)] {
            std::fs::write(plane.folder.path().join("shown.pem"), pem).unwrap();
            let asked = ["verify", "shown.pem", "--server", &plane.http()];
            let told = manage(&plane, &asked);
            assert_eq!(told.code, code, "{}{}", told.out, told.err);
        }
        assert_eq!(fetched().1, after);
    }
}

#[test]
fn whoever_ended_gets_new_identities_from_the_agent_at_once() {
    let plane = Plane::start("ended-svids", &[]);
    let svid = || {
        let fetched = plane.run(&["fetch", "x509", "-o", "json", "--write", "ended"]);
        assert_eq!(fetched.code, 0, "{}", fetched.err);
        std::fs::read(plane.folder.path().join("ended/svid.pem")).unwrap()
    };
    let fetched = || {
        let fetched = plane.run(&["fetch", "jwt", "--audience", "api", "-o", "json"]);
        svids(&fetched)[0].clone()
    };
    let token = || fetched()["svid"].as_str().unwrap().to_owned();
    let http = plane.http();
    let is_believed = |text: &[u8], more: &[&str]| {
        std::fs::write(plane.folder.path().join("shown"), text).unwrap();
        let asked = ["verify", "shown", "--server", &http, "--tenant", "demo"];
        let told = plane.run(&[&asked[..], more].concat());
        assert!([0, 3].contains(&told.code), "{}{}", told.out, told.err);
        told.code == 0
    };
    let for_api = ["--audience", "api"];

    let (svid_before, token_before) = (svid(), token());
    assert_eq!(token(), token_before);
    let claims = token_before.split('.').nth(1).unwrap();
    let claims = Base64UrlUnpadded::decode_vec(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let end = |more: &[&str]| {
        let of = [
            "--issuer",
            &format!("spiffe://{DOMAIN}"),
            "--reason",
            "lost",
        ];
        let ended = manage(&plane, &[&["signal", "end"], &of[..], more].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
    };
    end(&["--token", claims["jti"].as_str().unwrap()]);
    wait(|| token() != token_before);
    let token_between = token();
    assert!(is_believed(token_between.as_bytes(), &for_api));
    assert!(!is_believed(token_before.as_bytes(), &for_api));
    assert_eq!(svid(), svid_before);

    let id = claims["sub"].as_str().unwrap();
    end(&["--subject", id]);
    wait(|| svid() != svid_before && token() != token_between);
    assert!(is_believed(&svid(), &[]));
    assert!(is_believed(token().as_bytes(), &for_api));
    assert!(!is_believed(&svid_before, &[]));
    assert!(!is_believed(token_between.as_bytes(), &for_api));

    // Nothing of who is closed is believed, however new, so nothing new is asked for.
    let (svid_before, token_before) = (svid(), token());
    end(&["--subject", id, "--close"]);
    // Each time two processes are started, so this takes as long as the agent takes to look a few times.
    for _ in 0..30 {
        assert_eq!(
            (svid(), token()),
            (svid_before.clone(), token_before.clone())
        );
    }
}

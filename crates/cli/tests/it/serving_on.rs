//! Nodes whose server is away, or that are away themselves.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::nodes::Agent;
use crate::plane::Plane;
use crate::run::Ran;

const DOMAIN: &str = "demo.avouch.test";

fn manage(plane: &Plane, arguments: &[&str]) -> Ran {
    plane.run(&[arguments, &["--tenant", "demo"]].concat())
}

/// An agent that has joined with a token.
fn agent(plane: &Plane, name: &str) -> Agent {
    let token = manage(plane, &["node", "token", name, "-o", "json"]);
    assert_eq!(token.code, 0, "{}", token.err);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    Agent::start(plane, name, &["--join-token", &token])
}

fn svids(ran: &Ran) -> Value {
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
fn wait(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it does not come about"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

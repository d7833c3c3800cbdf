//! A disk that is really full: a small one of its own, in a namespace of mounts.

#![expect(
    clippy::disallowed_methods,
    reason = "the credential is there in a moment"
)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::run::{Folder, Ran};

/// A plane whose data lies on a disk of a few megabytes.
struct Cramped {
    folder: Folder,
    child: Child,
    http: String,
}

impl Cramped {
    /// None where no user may mount anything.
    fn start(name: &str) -> Option<Self> {
        let folder = Folder::new(name);
        std::fs::create_dir(folder.path().join("avouch-data")).unwrap();
        let mount = "mount -t tmpfs -o size=6m,mode=700 tmpfs avouch-data";
        let may = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .status();
        if !may.is_ok_and(|status| status.success()) {
            return None;
        }
        let program = env!("CARGO_BIN_EXE_avouch");
        let any = "127.0.0.1:0";
        let run =
            format!("{mount} && exec {program} server run --listen {any} --grpc-listen {any}");
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &run])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut http = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(address) = line.trim().strip_prefix("HTTP") {
                address.trim().clone_into(&mut http);
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        assert!(!http.is_empty(), "it did not start");
        let started = Self {
            folder,
            child,
            http,
        };
        for _ in 0..400 {
            if Path::new(&format!("{}/operator.jwt", started.data())).exists() {
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("there is no credential");
    }

    /// Where its data is, as it is seen from here.
    fn data(&self) -> String {
        let root = format!("/proc/{}/root", self.child.id());
        format!("{root}{}/avouch-data", self.folder.path().display())
    }

    /// The whole answer to what is sent with the credential that lies on that disk.
    fn post(&self, path: &str, body: &str) -> String {
        let token = std::fs::read_to_string(format!("{}/operator.jwt", self.data())).unwrap();
        let (token, length) = (token.trim(), body.len());
        let mut stream = TcpStream::connect(self.http.trim_start_matches("http://")).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A command with that credential.
    fn run(&self, command: &[&str]) -> Ran {
        let data = self.data();
        let more = ["--server", &self.http, "--data", &data];
        self.folder.run(&[command, &more].concat())
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_full_disk_is_a_fault_with_a_code_and_what_is_held_is_served_on() {
    let Some(plane) = Cramped::start("full-disk") else {
        println!("skipped: full disk: no user may mount a disk of their own here");
        return;
    };
    let tenant = ["tenant", "create", "shop", "--trust-domain", "shop.test"];
    let made = plane.run(&tenant);
    assert_eq!(made.code, 0, "{}", made.err);
    let (mut stored, mut stored_one) = (0, 0);
    let refused = loop {
        let entries: Vec<String> = (0..200)
            .map(|number| {
                let purpose = "x".repeat(1_000);
                format!(
                    "  - {{id: e{stored}-{number}, spiffe_id: \"spiffe://shop.test/e\", \
                     selectors: [\"unix:uid:1\"], purpose: {purpose}}}\n"
                )
            })
            .collect();
        plane
            .folder
            .file("entries.yaml", format!("entries:\n{}", entries.concat()));
        let create = ["entry", "create", "-f", "entries.yaml", "--tenant", "shop"];
        let ran = plane.run(&create);
        if ran.code != 0 {
            break ran;
        }
        stored += 1;
        assert!(stored < 200, "the disk is never full");
    };
    // The fault is ours, and says what to do; nothing of where the database is.
    assert_eq!(refused.code, 1, "{refused:?}");
    let purpose = "x".repeat(1_000);
    let entry = format!(
        r#"{{"spiffe_id": "spiffe://shop.test/e", "selectors": ["unix:uid:1"], "purpose": "{purpose}"}}"#
    );
    let mut answer = plane.post("/v1/tenants/shop/entries", &entry);
    // A small one may still find a place.
    for _ in 0..2_000 {
        if !answer.starts_with("HTTP/1.1 201") {
            break;
        }
        stored_one += 1;
        answer = plane.post("/v1/tenants/shop/entries", &entry);
    }
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains(r#""code":"server.unavailable""#),
        "{answer}"
    );
    assert!(answer.contains("retry-after: "), "{answer}");
    assert!(!answer.contains("avouch-data"), "{answer}");
    let log = std::fs::read_to_string(plane.folder.path().join("log")).unwrap();
    assert!(log.contains("the disk of the database is full"), "{log}");
    // What was acknowledged is all there, and is told from memory.
    let listed = plane.run(&["entry", "list", "--tenant", "shop", "-o", "json"]);
    let listed = listed.json()["entries"].as_array().unwrap().len();
    assert_eq!(listed, stored * 200 + stored_one);
    let again = plane.run(&["tenant", "list"]);
    assert!(
        again.code == 0 && again.out.contains("shop.test"),
        "{}",
        again.err
    );
}

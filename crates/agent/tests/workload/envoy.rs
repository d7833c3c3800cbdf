//! Envoy itself, from its registry, unchanged: it speaks mutual TLS with itself, with what the
//! agent gives it. Where it cannot be had, the test says so and does not count.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use avouch_agent::X509Svid;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::outside::{python_with, sources};
use crate::world::{DATABASE, FOREIGN, WEB, World, entitled, root, svid, svid_with_key};

/// As long as Envoy takes to start on a busy machine, and room.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn envoy_speaks_mutual_tls_follows_a_change_and_outlives_what_it_cannot_use() {
    let python = match python_with("envoy", "envoy.txt") {
        Ok(python) => python,
        Err(why) => return println!("skipped: envoy: {why}"),
    };
    let world = World::start().await;
    let folder = world.folder.path();
    let configuration = fs::read_to_string(sources("envoy.yaml")).unwrap();
    let configuration = configuration.replace("FOLDER", folder.to_str().unwrap());
    let file = folder.join("envoy.yaml");
    fs::write(&file, configuration).unwrap();
    let log = fs::File::create(folder.join("envoy.log")).unwrap();
    let _envoy = Command::new(python.with_file_name("envoy"))
        .args(["--use-dynamic-base-id", "--concurrency", "1"])
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    answers(folder, "200", Some(WEB)).await;
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    answers(folder, "200", Some(DATABASE)).await;

    // A key that is another's: Envoy refuses it, and goes on with what it had.
    let mixed_up = X509Svid {
        private_key: svid(WEB, None).private_key,
        ..svid_with_key(DATABASE, None, "the next key")
    };
    world.office.change(Ok(entitled(vec![mixed_up])));
    eventually(folder, "it rejects the key", || async {
        let statistics = get(&folder.join("admin.sock"), "/stats?filter=update_rejected").await;
        statistics
            .lines()
            .any(|line| line == "sds.default.update_rejected: 1")
    })
    .await;
    answers(folder, "200", Some(DATABASE)).await;
    let renewed = svid_with_key(WEB, None, "the key after that");
    world.office.change(Ok(entitled(vec![renewed])));
    answers(folder, "200", Some(WEB)).await;

    // A certificate for an identity of the one trust domain that the other issued.
    let key = Key::p256(DATABASE);
    let validity = ("2024-01-01T00:00:00Z", "2049-01-01T00:00:00Z");
    let forge = CertificateForge::svid(DATABASE, &key).valid(validity.0, validity.1);
    let forged = X509Svid {
        certificate: root(FOREIGN).issue(forge),
        intermediates: Vec::new(),
        ..svid(DATABASE, None)
    };
    world.office.change(Ok(entitled(vec![forged])));
    answers(folder, "503", None).await;
}

/// Waits until Envoy answers with this status, and says that this peer came.
async fn answers(folder: &Path, status: &str, peer: Option<&str>) {
    let what = format!("it answers {status} to {peer:?}");
    eventually(folder, &what, || async {
        let answer = get(&folder.join("client.sock"), "/").await;
        let header = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-peer: "));
        answer.starts_with(&format!("HTTP/1.1 {status} ")) && header == peer
    })
    .await;
}

/// Waits until `done` is true; else shows what Envoy said.
async fn eventually<F: Future<Output = bool>>(folder: &Path, what: &str, done: impl Fn() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        let last = get(&folder.join("client.sock"), "/").await;
        let log = fs::read_to_string(folder.join("envoy.log")).unwrap_or_default();
        panic!("{what}; it answered {last:?} and said {log}");
    }
}

/// What a server on a socket answers; nothing if nobody serves it yet.
async fn get(socket: &Path, path: &str) -> String {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    asked.await.unwrap_or_default()
}

//! As clients of other people see it, in other languages: go-spiffe, java-spiffe, py-spiffe and
//! spiffe-helper, from their registries, unchanged. Where they cannot be had, the test says so and does not count.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use avouch_testkit::outside::{self, Missing, succeed};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::world::{
    DATABASE, WEB, World, entitled, eventually, svid, web_beside_a_hostile_partner,
};

/// A client has this long from its start to its end.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn go_spiffe_gets_its_identity_speaks_mutual_tls_and_follows_a_change() {
    let program = match go_workload() {
        Ok(program) => program,
        Err(why) => return println!("skipped: go-spiffe: {why}"),
    };
    let lines = run(Command::new(program)).await;
    assert_eq!(
        lines,
        [
            &format!("x509 {WEB}"),
            "mutual TLS hello",
            &format!("jwt {WEB}"),
            &format!("checked here {WEB}"),
            &format!("checked there {WEB}"),
            "ready",
            &format!("changed {DATABASE}"),
            "mutual TLS hello",
        ]
    );
}

#[tokio::test]
async fn py_spiffe_gets_its_identity_and_follows_a_change() {
    let python = match python_with("spiffe", "requirements.txt") {
        Ok(python) => python,
        Err(why) => return println!("skipped: py-spiffe: {why}"),
    };
    let mut command = Command::new(python);
    command.arg(sources("python").join("workload.py"));
    let lines = run(command).await;
    assert_eq!(
        lines,
        [
            &format!("x509 {WEB}"),
            &format!("jwt {WEB}"),
            &format!("checked here {WEB}"),
            &format!("checked there {WEB}"),
            "ready",
            &format!("changed {DATABASE}"),
        ]
    );
}

#[tokio::test]
async fn java_spiffe_gets_its_identity_and_follows_a_change() {
    let classes = match outside::java(&sources("java"), &scratch().join("java")) {
        Ok(classes) => classes,
        Err(why) => return println!("skipped: java-spiffe: {why}"),
    };
    let mut command = Command::new("java");
    command.arg("-cp").arg(classes).arg("Workload");
    // It complains of what its libraries do not find.
    command.stderr(Stdio::null());
    let lines = run(command).await;
    assert_eq!(
        lines,
        [
            &format!("x509 {WEB}"),
            &format!("jwt {WEB}"),
            &format!("checked here {WEB}"),
            "ready",
            &format!("changed {DATABASE}"),
        ]
    );
}

/// `spiffe-helper` keeps files for programs that read files; OpenSSL says whether they fit together.
#[tokio::test]
async fn spiffe_helper_writes_files_that_openssl_verifies_and_renews_them() {
    let package = "github.com/spiffe/spiffe-helper/cmd/spiffe-helper";
    let program = match go_program("helper", package) {
        Ok(program) => program,
        Err(why) => return println!("skipped: spiffe-helper: {why}"),
    };
    let world = World::start().await;
    let folder = world.folder.path();
    let file = |name: &str| folder.join(name);
    let config = format!(
        "agent_address = \"{}\"\ncert_dir = \"{}\"\nsvid_file_name = \"svid.pem\"\n\
         svid_key_file_name = \"key.pem\"\nsvid_bundle_file_name = \"bundle.pem\"\n\
         jwt_bundle_file_name = \"jwks.json\"\n\
         jwt_svids = [{{jwt_audience = \"db\", jwt_svid_file_name = \"token\"}}]\n",
        world.socket.display(),
        folder.display(),
    );
    std::fs::write(file("helper.conf"), config).unwrap();
    let mut child = Command::new(program)
        .arg("-config")
        .arg(file("helper.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let names = ["svid.pem", "key.pem", "bundle.pem", "jwks.json", "token"];
    let all_there = || names.iter().all(|name| file(name).exists());
    eventually("it writes every file", all_there).await;
    let verified = || {
        let mut verify = std::process::Command::new("openssl");
        verify.args(["verify", "-x509_strict", "-CAfile"]);
        verify.arg(file("bundle.pem")).arg("-untrusted");
        succeed(verify.arg(file("svid.pem")).arg(file("svid.pem")))
    };
    let shown = async || {
        let mut show = Command::new("openssl");
        show.args(["x509", "-noout", "-ext", "subjectAltName", "-in"]);
        let output = show.arg(file("svid.pem")).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    if let Err(why) = verified() {
        panic!("OpenSSL does not verify what was written: {why}");
    }
    assert!(shown().await.contains(&format!("URI:{WEB}")));
    let before = std::fs::read(file("svid.pem")).unwrap();
    world
        .office
        .change(Ok(entitled(vec![svid(DATABASE, None)])));
    let is_renewed = || std::fs::read(file("svid.pem")).is_ok_and(|now| now != before);
    eventually("it writes the next one", is_renewed).await;
    eventually("all of it is written", || {
        std::fs::read(file("svid.pem")).is_ok_and(|now| now.ends_with(b"-----\n"))
    })
    .await;
    assert!(shown().await.contains(&format!("URI:{DATABASE}")));
    verified().unwrap();
    child.kill().await.unwrap();
}

/// The Secret Discovery Service, by a client made from Envoy's own protocol files.
#[tokio::test]
async fn a_client_of_the_public_protocol_of_envoy_gets_its_secrets_and_follows_a_change() {
    let program = match go_program("sds", ".") {
        Ok(program) => program,
        Err(why) => return println!("skipped: go-control-plane: {why}"),
    };
    let world = World::start().await;
    let mut command = Command::new(program);
    command.arg(&world.address);
    let lines = run_in(&world, command).await;
    let expected = [
        &format!("fetched {WEB}"),
        &format!("streamed {WEB}"),
        "ready",
        &format!("changed {DATABASE}"),
    ];
    assert_eq!(lines, expected);
}

/// Runs a client to its end, beside a partner that would keep it from its identity; what it holds changes when it says that it is ready. Gives what it
/// wrote, line by line.
async fn run(command: Command) -> Vec<String> {
    let world = World::start_with(Ok(web_beside_a_hostile_partner())).await;
    run_in(&world, command).await
}

async fn run_in(world: &World, mut command: Command) -> Vec<String> {
    let mut child = command
        .env("SPIFFE_ENDPOINT_SOCKET", &world.address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let finished = tokio::time::timeout(PATIENCE, async {
        let mut lines = Vec::new();
        while let Some(line) = output.next_line().await.unwrap() {
            if line == "ready" {
                world
                    .office
                    .change(Ok(entitled(vec![svid(DATABASE, None)])));
            }
            lines.push(line);
        }
        (lines, child.wait().await.unwrap())
    });
    let (lines, status) = finished.await.expect("a client ends");
    assert!(status.success(), "{status}: {lines:?}");
    lines
}

pub(crate) fn go_workload() -> Result<PathBuf, Missing> {
    go_program("go", ".")
}

pub(crate) fn go_program(name: &str, package: &str) -> Result<PathBuf, Missing> {
    let program = scratch().join(format!("{name}-workload"));
    outside::go_program(&sources(name), package, &program)?;
    Ok(program)
}

pub(crate) fn python_with(module: &str, list: &str) -> Result<PathBuf, Missing> {
    let environment = scratch().join(format!("python-{module}"));
    outside::python(&environment, module, &sources("python").join(list))
}

pub(crate) fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/outside")
        .join(name)
}

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

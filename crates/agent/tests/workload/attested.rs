//! Who calls, told by the kernel.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use avouch_agent::{Endpoint, Executables, Fault, Limits, NotAttested, Peer, Selector, attest};
use avouch_api::grpc::workload::X509svidRequest;
use avouch_core::id::Digest;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::world::{HEADER, PATIENCE, WEB, World, client, entitled, svid_with_key, web};

/// A user who owns nothing, on every Linux.
const NOBODY: u32 = 65534;

/// A program whose executable is `executable`, which is these tests, and which does nothing but
/// what `e07_...` does.
pub(crate) fn workload(executable: &Path, address: &str) -> Command {
    let mut command = Command::new(executable);
    command
        .args(["--exact", "--nocapture"])
        .arg("attested::e07_a_workload_finds_the_endpoint_by_its_environment")
        .env("SPIFFE_ENDPOINT_SOCKET", address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Fetches its identity like any workload. Other tests run this one in a process of its own, with
/// an endpoint of theirs, and read what it was answered.
#[tokio::test]
async fn e07_a_workload_finds_the_endpoint_by_its_environment() {
    let own = World::start().await;
    let given = std::env::var("SPIFFE_ENDPOINT_SOCKET");
    let address = given.as_ref().unwrap_or(&own.address);
    let mut client = client(address, &[HEADER]).await;
    let answer = async {
        let mut stream = client
            .fetch_x509svid(X509svidRequest {})
            .await?
            .into_inner();
        stream.message().await
    };
    let answer = answer
        .await
        .map(|message| message.unwrap().svids.remove(0).spiffe_id);
    match (&answer, given.is_ok()) {
        (Ok(spiffe_id), _) => println!("answer: {spiffe_id}"),
        (Err(status), true) => println!("answer: {:?}", status.code()),
        (Err(status), false) => panic!("its own endpoint knows it: {status}"),
    }
}

pub(crate) fn answer(output: &std::process::Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, answer) = text.split_once("answer: ")?;
    answer.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn a_workload_is_known_by_its_user_its_group_and_its_executable() {
    let world = World::start().await;
    let executable = std::env::current_exe().unwrap().canonicalize().unwrap();
    let ran = workload(&executable, &world.address);
    let output = tokio::process::Command::from(ran).output().await.unwrap();
    assert_eq!(answer(&output).as_deref(), Some(WEB));

    let user = nix::unistd::geteuid();
    let group = nix::unistd::getegid();
    let mut expected = vec![
        Selector::UnixGid(group.as_raw()),
        Selector::UnixPath(executable.to_str().unwrap().to_owned()),
        Selector::UnixSha256(Digest::of(&fs::read(&executable).unwrap())),
        Selector::UnixUid(user.as_raw()),
    ];
    if let Ok(Some(user)) = nix::unistd::User::from_uid(user) {
        expected.push(Selector::UnixUser(user.name));
    }
    if let Ok(Some(group)) = nix::unistd::Group::from_gid(group) {
        expected.push(Selector::UnixGroup(group.name));
    }
    expected.sort();
    // Where the tests run, in a unit or in a container, is not theirs to say.
    let mut seen = world.office.seen();
    seen.retain(|selector| selector.kind().starts_with("unix:"));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_workload_of_another_user_is_denied() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: a workload of another user: only root can start one");
        return;
    }
    let world = World::start().await;
    let executable = world.folder.path().join("workload");
    fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let mut ran = workload(&executable, &world.address);
    // Its own world has a folder of its own there.
    ran.uid(NOBODY).gid(NOBODY).current_dir("/tmp");
    let output = tokio::process::Command::from(ran).output().await.unwrap();
    assert_eq!(answer(&output).as_deref(), Some("PermissionDenied"));
    let seen = world.office.seen();
    assert!(seen.contains(&Selector::UnixUid(NOBODY)), "{seen:?}");
    assert!(seen.contains(&Selector::UnixGid(NOBODY)), "{seen:?}");
    let path = executable.canonicalize().unwrap();
    let path = Selector::UnixPath(path.to_str().unwrap().to_owned());
    assert!(seen.contains(&path), "{seen:?}");
}

/// A process that has connected to a socket where nobody answers, who the kernel says it is, and
/// the connection.
async fn connected(executable: &Path) -> (Child, Peer, UnixStream) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let address = format!("unix://{}", socket.display());
    let child = workload(executable, &address).spawn().unwrap();
    let (stream, _) = tokio::time::timeout(PATIENCE, listener.accept())
        .await
        .expect("it connects")
        .unwrap();
    let peer = Peer::of(&stream).unwrap();
    assert_eq!(peer.process(), child.id());
    (child, peer, stream)
}

#[tokio::test]
async fn nothing_is_said_of_a_process_that_has_ended() {
    let executable = std::env::current_exe().unwrap();
    let (mut child, peer, _stream) = connected(&executable).await;
    assert!(!peer.has_ended());
    assert!(attest(&peer, &Executables::default()).is_ok());

    child.kill().unwrap();
    // Not waited for: its number cannot be given to another yet, and it is an end all the same.
    let ended = tokio::time::timeout(PATIENCE, peer.end()).await;
    assert!(ended.is_ok(), "its end is noticed");
    assert!(peer.has_ended());
    assert_eq!(
        attest(&peer, &Executables::default()),
        Err(NotAttested::Ended)
    );
    child.wait().unwrap();
    assert_eq!(
        attest(&peer, &Executables::default()),
        Err(NotAttested::Ended)
    );
}

#[tokio::test]
async fn an_executable_that_was_replaced_is_not_taken_for_what_stands_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let executable = folder.path().canonicalize().unwrap().join("workload");
    fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let (mut child, peer, _stream) = connected(&executable).await;
    let executables = Executables::default();
    let told = |selectors: &[Selector]| {
        let kinds: Vec<&str> = selectors.iter().map(Selector::kind).collect();
        (kinds.contains(&"unix:path"), kinds.contains(&"unix:sha256"))
    };
    let before = attest(&peer, &executables).unwrap();
    assert_eq!(told(before.selectors()), (true, true));

    let inode = fs::metadata(&executable).unwrap().ino();
    let other = folder.path().join("other");
    fs::copy("/proc/self/exe", &other).unwrap();
    fs::rename(&other, &executable).unwrap();
    assert_ne!(fs::metadata(&executable).unwrap().ino(), inode);
    let after = attest(&peer, &executables).unwrap();
    assert_eq!(told(after.selectors()), (false, false));
    // It runs on as what it was, and its streams go on; whoever runs another file is someone else.
    assert!(before.is_still(&after));
    let absent: Vec<&str> = after.absent().iter().map(|absent| absent.kind).collect();
    assert!(
        absent.ends_with(&["unix:path", "unix:sha256"]),
        "{absent:?}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A control group such as runtimes make for a container, which is removed again.
pub(crate) struct ControlGroup {
    folder: PathBuf,
    /// What had to be made for it to be in, the innermost first.
    made: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes it at a path below the top.
    pub(crate) fn make(path: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let unified = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let place = fields.nth(1)?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(place))
        });
        let mut folder = unified.ok_or(io::ErrorKind::NotFound)?;
        let mut made = Vec::new();
        for name in path.split('/') {
            folder.push(name);
            match fs::create_dir(&folder) {
                Ok(()) => made.insert(0, folder.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { folder, made })
    }

    /// Where the numbers of its processes are written.
    pub(crate) fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in &self.made {
            // Another test may use it, too.
            fs::remove_dir(folder).ok();
        }
    }
}

#[tokio::test]
async fn a_process_that_was_put_into_a_container_is_known_by_it() {
    let id = Digest::of(b"a container of the tests").to_string();
    let executable = std::env::current_exe().unwrap();
    let (mut child, peer, _stream) = connected(&executable).await;
    let group = ControlGroup::make(&format!("docker/{id}")).and_then(|group| {
        fs::write(group.processes(), child.id().to_string())?;
        Ok(group)
    });
    let attested = attest(&peer, &Executables::default()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    match group {
        Err(error) => println!("skipped: a control group of the kernel: {error}"),
        Ok(_) => {
            let selectors = attested.selectors();
            let container = Selector::parse(&format!("container:id:{id}")).unwrap();
            assert!(selectors.contains(&container), "{attested:?}");
            let kinds: Vec<&str> = selectors.iter().map(Selector::kind).collect();
            assert!(!kinds.contains(&"systemd:unit"), "{kinds:?}");
        }
    }
}

#[tokio::test]
async fn a_larger_executable_than_is_read_has_a_path_and_no_digest() {
    let (here, _there) = UnixStream::pair().unwrap();
    let attested = attest(&Peer::of(&here).unwrap(), &Executables::new(1000)).unwrap();
    let kinds: Vec<&str> = attested.selectors().iter().map(Selector::kind).collect();
    assert!(kinds.contains(&"unix:path"));
    assert!(!kinds.contains(&"unix:sha256"));
    let why = &attested.absent().last().unwrap().why;
    assert!(why.contains("more than 1000 are not read"), "{why}");
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_one_that_is_served_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new folder/agent.sock");
    let first = Endpoint::bind(&path, Limits::default()).unwrap();
    let taken = Endpoint::bind(&path, Limits::default()).unwrap_err();
    assert!(matches!(taken, Fault::Taken(_)), "{taken}");
    assert!(taken.retryable());
    // As after `kill -9`: the socket stays, and nobody serves it.
    drop(first);
    assert!(path.exists());
    Endpoint::bind(&path, Limits::default()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o777);
}

#[tokio::test]
async fn what_is_not_a_socket_is_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diary.txt");
    fs::write(&path, "dear diary").unwrap();
    let fault = Endpoint::bind(&path, Limits::default()).unwrap_err();
    assert!(matches!(fault, Fault::NotASocket(_)), "{fault}");
    assert!(!fault.retryable());
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear diary");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_socket_is_refused_by_what_is_wrong_with_it() {
    let relative = Endpoint::bind(Path::new("agent.sock"), Limits::default());
    assert!(
        matches!(relative, Err(Fault::NotAbsolute(_))),
        "{relative:?}"
    );
    let long = format!("/tmp/{}", "x".repeat(103));
    let long = Endpoint::bind(Path::new(&long), Limits::default());
    assert!(matches!(long, Err(Fault::TooLong(_))), "{long:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below = Endpoint::bind(&file.join("agent.sock"), Limits::default());
    assert!(matches!(below, Err(Fault::Io { .. })), "{below:?}");
}

/// Opens a stream as root and becomes someone else. Another test runs this one in a process of its own,
/// with an endpoint of its own, and reads what it was answered.
#[tokio::test]
async fn a_workload_that_becomes_another_user_is_told_so() {
    let Ok(address) = std::env::var("SPIFFE_ENDPOINT_SOCKET") else {
        return;
    };
    let mut client = client(&address, &[HEADER]).await;
    let stream = client.fetch_x509svid(X509svidRequest {}).await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    println!("opened");
    io::stdin().read_line(&mut String::new()).unwrap();
    nix::unistd::setuid(NOBODY.into()).unwrap();
    println!("changed");
    match stream.message().await {
        Ok(message) => println!("answer: {}", message.unwrap().svids.remove(0).spiffe_id),
        Err(status) => println!("answer: {:?}", status.code()),
    }
}

#[tokio::test]
async fn a_stream_is_not_renewed_for_who_is_not_any_more_who_opened_it() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: a workload that becomes another user: only root can become one");
        return;
    }
    let world = World::start().await;
    let executable = std::env::current_exe().unwrap();
    let mut ran = Command::new(executable);
    ran.args(["--exact", "--nocapture"])
        .arg("attested::a_workload_that_becomes_another_user_is_told_so")
        .env("SPIFFE_ENDPOINT_SOCKET", &world.address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut ran = tokio::process::Command::from(ran).spawn().unwrap();
    let (mut input, output) = (ran.stdin.take().unwrap(), ran.stdout.take().unwrap());
    let mut lines = BufReader::new(output).lines();
    let mut said = async |wanted: &str| {
        let line = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it goes on");
                if line.contains(wanted) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, line).await.unwrap()
    };
    said("opened").await;
    input.write_all(b"\n").await.unwrap();
    said("changed").await;
    let renewed = svid_with_key(WEB, None, "the next key");
    world.office.change(Ok(entitled(vec![renewed])));
    assert!(said("answer: ").await.ends_with("answer: PermissionDenied"));
}

/// A user who has as many connections as it may.
#[tokio::test]
async fn a_connection_beyond_what_its_user_may_have_is_closed() -> io::Result<()> {
    let limits = Limits {
        connections_per_user: 16,
        ..Limits::default()
    };
    let world = World::start_within(Ok(web()), None, limits).await;
    let mut held = Vec::new();
    for _ in 0..limits.connections_per_user {
        held.push(UnixStream::connect(&world.socket).await?);
    }
    let one_more = UnixStream::connect(&world.socket).await?;
    let closed = tokio::time::timeout(PATIENCE, async {
        loop {
            one_more.readable().await?;
            match one_more.try_read(&mut [0; 1024]) {
                Ok(0) => return Ok(true),
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok::<_, io::Error>(true),
            }
        }
    });
    assert!(
        closed.await.expect("it does not hang")?,
        "it is not answered"
    );
    drop(held);
    Ok(())
}

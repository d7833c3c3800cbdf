//! Workloads in pods, with a mock of a kubelet over TLS: it answers what the Kubernetes API writes,
//! and is no kubelet. Containers are control groups of the kernel of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use avouch_agent::{Kubelet, KubeletAccess, Selector};
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::Key;
use avouch_testkit::world::pem;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::attested::{ControlGroup, answer, workload};
use crate::world::{FOREIGN, FROM, OWN, UNTIL, WEB, World, root, web};

const TOKEN: &str = "a token of a service account";

/// Answers `/pods` to whoever shows the token.
pub(crate) struct MockKubelet {
    folder: tempfile::TempDir,
    address: String,
    /// What is answered, in this order; the last again and again.
    pub(crate) answers: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl MockKubelet {
    pub(crate) async fn start(answers: Vec<Value>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        for name in [OWN, FOREIGN] {
            let authority = pem("CERTIFICATE", &root(name).certificate);
            fs::write(folder.path().join(name), authority).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mock = Self {
            folder,
            address: format!("https://localhost:{port}"),
            answers: Arc::new(Mutex::new(answers)),
            asked: Arc::default(),
        };
        tokio::spawn(serve(
            listener,
            Arc::clone(&mock.answers),
            Arc::clone(&mock.asked),
        ));
        mock
    }

    pub(crate) fn access(&self) -> KubeletAccess {
        KubeletAccess {
            address: self.address.clone(),
            token: Some(self.folder.path().join("token")),
            authorities: Some(self.folder.path().join(OWN)),
            is_unchecked: false,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, answers: Arc<Mutex<Vec<Value>>>, asked: Arc<AtomicUsize>) {
    let key = Key::p256("kubelet");
    let forge = CertificateForge::server_with("localhost", &key).valid(FROM, UNTIL);
    let chain = vec![CertificateDer::from(root(OWN).issue(forge))];
    let key = PrivatePkcs8KeyDer::from(crate::world::pkcs8(&key));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = acceptor.accept(stream).await else {
            continue;
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        let is_allowed = head.contains(&format!("uthorization: Bearer {TOKEN}\r\n"));
        let (status, body) = match head.starts_with("GET /pods ") && is_allowed {
            true => {
                let mut answers = answers.lock().unwrap();
                let answer = answers[0].to_string();
                if answers.len() > 1 {
                    answers.remove(0);
                }
                ("200 OK", answer)
            }
            false => ("401 Unauthorized", "Unauthorized".to_owned()),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream.shutdown().await);
    }
}

/// A pod of this number with one container, as the Kubernetes API writes it.
pub(crate) fn pod(uid: &str, container: Option<&str>) -> Value {
    let statuses = container.map(|id| {
        json!([{
            "name": "main", "ready": true, "restartCount": 0, "state": {"running": {}},
            "image": "registry.test/web:1", "imageID": "registry.test/web@sha256:ab",
            "containerID": format!("containerd://{id}"),
        }])
    });
    json!({
        "metadata": {
            "name": "web-7c9f-abcde", "namespace": "shop", "uid": uid,
            "labels": {"app.kubernetes.io/name": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "web-7c9f", "uid": "r", "controller": true}],
        },
        "spec": {"serviceAccountName": "front", "nodeName": "worker-1", "containers": []},
        "status": {"phase": "Running", "containerStatuses": statuses},
    })
}

pub(crate) fn list(pods: &[Value]) -> Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
}

/// A container of a pod, made for one test.
struct Container {
    pod: String,
    id: String,
    group: ControlGroup,
}

impl Container {
    fn make(name: &str) -> std::io::Result<Self> {
        let digest = avouch_core::id::Digest::of(name.as_bytes()).to_string();
        let pod = format!("{}-1111-2222-3333-444444444444", &digest[..8]);
        let path = format!("kubepods/besteffort/pod{pod}/{digest}");
        Ok(Self {
            pod,
            group: ControlGroup::make(&path)?,
            id: digest,
        })
    }

    /// Starts a workload in it that fetches its identity.
    async fn run(&self, address: &str) -> Output {
        let executable = std::env::current_exe().unwrap();
        let inside = workload(&executable, address);
        let processes: PathBuf = self.group.processes();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("echo $$ > \"$0\"; exec \"$@\"")
            .arg(processes)
            .arg(inside.get_program())
            .args(inside.get_args())
            .env("SPIFFE_ENDPOINT_SOCKET", address)
            .process_group(0);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }
}

async fn world(access: KubeletAccess) -> World {
    let kubelet = Kubelet::new(access).unwrap();
    World::start_on_a_node(Ok(web()), Some(Arc::new(kubelet))).await
}

fn seen(world: &World) -> BTreeSet<String> {
    world
        .office
        .seen()
        .iter()
        .map(Selector::to_string)
        .collect()
}

#[tokio::test]
async fn a_workload_in_a_pod_is_known_by_what_the_kubelet_says_of_it() {
    let container = match Container::make("known by the kubelet") {
        Ok(container) => container,
        Err(error) => return println!("skipped: a control group of the kernel: {error}"),
    };
    let mock = MockKubelet::start(vec![list(&[
        pod("00000000-1111-2222-3333-444444444444", Some("other")),
        pod(&container.pod, Some(&container.id)),
    ])])
    .await;
    let world = world(mock.access()).await;
    let output = container.run(&world.address).await;
    assert_eq!(answer(&output).as_deref(), Some(WEB));
    let seen = seen(&world);
    for selector in [
        "k8s:ns:shop",
        "k8s:sa:front",
        "k8s:pod-name:web-7c9f-abcde",
        "k8s:pod-label:app.kubernetes.io/name:web",
        "k8s:pod-owner:ReplicaSet:web-7c9f",
        "k8s:node-name:worker-1",
        "k8s:container-name:main",
        "k8s:container-image:registry.test/web:1",
        "k8s:container-image:registry.test/web@sha256:ab",
        &format!("k8s:pod-uid:{}", container.pod),
    ] {
        assert!(seen.contains(selector), "{selector}: {seen:?}");
    }
    // The list is kept for a moment.
    container.run(&world.address).await;
    assert_eq!(mock.asked(), 1);
}

#[tokio::test]
async fn a_container_that_has_just_started_is_waited_for_and_the_kubelet_is_asked_once_at_a_time() {
    let container = match Container::make("just started") {
        Ok(container) => container,
        Err(error) => return println!("skipped: a control group of the kernel: {error}"),
    };
    let mock = MockKubelet::start(vec![
        list(&[]),
        list(&[pod(&container.pod, None)]),
        list(&[pod(&container.pod, Some(&container.id))]),
    ])
    .await;
    let world = world(mock.access()).await;
    let runs = (0..5).map(|_| container.run(&world.address));
    for output in futures_of(runs).await {
        assert_eq!(answer(&output).as_deref(), Some(WEB));
    }
    assert!(seen(&world).contains("k8s:container-name:main"));
    assert!(mock.asked() <= 6, "asked {} times", mock.asked());
}

async fn futures_of<F: Future<Output = Output>>(runs: impl Iterator<Item = F>) -> Vec<Output> {
    let runs: Vec<_> = runs.map(Box::pin).collect();
    let mut outputs = Vec::new();
    let mut running = runs;
    // All are polled until the last has ended; the first poll starts each of them.
    std::future::poll_fn(|context| {
        running.retain_mut(|run| match run.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        match running.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    outputs
}

#[tokio::test]
async fn of_a_kubelet_that_cannot_be_believed_or_does_not_answer_nothing_is_told() {
    let container = match Container::make("not believed") {
        Ok(container) => container,
        Err(error) => return println!("skipped: a control group of the kernel: {error}"),
    };
    let mock = MockKubelet::start(vec![list(&[pod(&container.pod, Some(&container.id))])]).await;
    let other_authority = KubeletAccess {
        authorities: Some(mock.folder.path().join(FOREIGN)),
        ..mock.access()
    };
    let other_token = KubeletAccess {
        token: Some(mock.folder.path().join(OWN)),
        ..mock.access()
    };
    let away = KubeletAccess {
        address: "http://127.0.0.1:1".to_owned(),
        ..mock.access()
    };
    for access in [other_authority, other_token, away] {
        let world = world(access.clone()).await;
        let output = container.run(&world.address).await;
        // Its user is known all the same.
        assert_eq!(answer(&output).as_deref(), Some(WEB));
        let seen = seen(&world);
        let of_pod: Vec<&String> = seen.iter().filter(|one| one.starts_with("k8s:")).collect();
        assert_eq!(
            of_pod,
            [&format!("k8s:pod-uid:{}", container.pod)],
            "{access:?}"
        );
    }
}

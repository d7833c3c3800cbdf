//! What the kubelet of this node says of the pods on it.
//!
//! The control groups of a process tell its container and its pod by their numbers, which root put
//! there. The kubelet, which made the pod, tells the rest: whose service account it is, in which
//! namespace, under which labels. Its list is kept for a moment, and asked for again at once when a
//! process turns up in a pod or a container that is not on it: containers start before the list says
//! so. However many ask, the kubelet is asked once at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use crate::attest::Absent;
use crate::cgroup::pod_uid;
use crate::selector::{PodFact, Selector};

/// How long the list is good for pods that are on it: labels can change.
const FRESH: Duration = Duration::from_secs(5);

/// How long a list is good when the kubelet does not answer: who a pod is never changes, and
/// labels seldom.
const STALE: Duration = Duration::from_secs(60);

/// How long a workload waits until the kubelet knows its container.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How long to wait before the kubelet is asked again for what it does not know yet.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one answer may take.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// The largest list in bytes: a node runs some hundred pods of 10 to 100 KB each.
const LARGEST_LIST: u64 = 64 << 20;

/// The most pods that are looked at: a node runs some hundred, and each takes more memory than text.
const MOST_PODS: usize = 4_096;

/// How the kubelet is asked.
#[derive(Clone, Debug, Default)]
pub struct KubeletAccess {
    /// Its address, such as `https://127.0.0.1:10250`, or of its read-only port.
    pub address: String,
    /// A file with a bearer token, read for each question.
    pub token: Option<PathBuf>,
    /// A file with the authorities (PEM) that may have signed its certificate.
    pub authorities: Option<PathBuf>,
    /// Whether its certificate is not looked at.
    pub is_unchecked: bool,
}

/// Why the kubelet cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum KubeletFault {
    /// The address is none.
    #[error("`{0}` is no address of a kubelet, such as https://127.0.0.1:10250")]
    Address(String),
    /// What it says would come unprotected over a network.
    #[error("{0} is not on this machine; use https")]
    Unprotected(String),
    /// Nothing says whose certificate to believe.
    #[error(
        "name the file with the authority of the kubelet's certificate, or say that it is not to be checked"
    )]
    NoAuthorities,
    /// The file with the authorities.
    #[error("{}: {why}", path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The kubelet of this node.
#[derive(Debug)]
pub struct Kubelet {
    agent: Agent,
    address: String,
    token: Option<PathBuf>,
    /// Held while the kubelet is asked, so that it is asked once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    pods: Arc<BTreeMap<String, Pod>>,
    /// When that was asked for.
    asked: Option<Instant>,
}

/// A pod as someone names it: by its namespace and its name, by its number, or by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPod {
    pub(crate) key: Option<(String, String)>,
    pub(crate) uid: Option<String>,
}

/// What it says of a container and its pod.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) absent: Vec<Absent>,
}

impl Kubelet {
    /// Makes ready to ask; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the address is none, or when its answers could come from anyone.
    pub fn new(access: KubeletAccess) -> Result<Self, KubeletFault> {
        let address = access.address.trim_end_matches('/').to_owned();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(LONGEST_ANSWER));
        if is_secure(&address)? {
            config = config.tls_config(tls(&access)?);
        }
        Ok(Self {
            agent: config.build().into(),
            address,
            token: access.token,
            known: Mutex::default(),
        })
    }

    /// What is to be said of a container, which the kernel says is of this pod.
    pub(crate) async fn told(self: &Arc<Self>, pod: &str, container: &str) -> Told {
        let called = Instant::now();
        let deadline = called + LONGEST_WAIT;
        let mut since = called.checked_sub(FRESH).unwrap_or(called);
        loop {
            let pods = match timeout_at(deadline, self.pods(since)).await {
                Ok(Ok(pods)) => pods,
                Ok(Err(why)) => return Told::nothing(&why),
                Err(_) => return Told::nothing("the kubelet takes too long"),
            };
            let found = pods.get(pod);
            let told = found.map(|found| found.told(container));
            let now = Instant::now();
            match told {
                Some(told) if told.absent.is_empty() || now + PAUSE >= deadline => return told,
                None if now + PAUSE >= deadline => {
                    return Told::nothing("the kubelet knows no such pod");
                }
                _ => {}
            }
            // What was asked for before the workload called may be older than its container.
            if since < called {
                since = called;
                continue;
            }
            sleep_until(now + PAUSE).await;
            since = Instant::now();
        }
    }

    /// The number and the facts of a pod that someone names, if there is such a pod on this node now.
    pub(crate) async fn named(
        self: &Arc<Self>,
        named: &NamedPod,
    ) -> Result<Option<(String, Vec<Selector>)>, String> {
        let now = Instant::now();
        self.named_since(named, now.checked_sub(PAUSE).unwrap_or(now))
            .await
    }

    /// Returns when there is no such pod any more.
    pub(crate) async fn gone(self: &Arc<Self>, named: &NamedPod) {
        loop {
            let last = Instant::now();
            sleep_until(last + FRESH).await;
            // A kubelet that does not answer says nothing about the pod.
            if let Ok(None) = self.named_since(named, last).await {
                return;
            }
        }
    }

    async fn named_since(
        self: &Arc<Self>,
        named: &NamedPod,
        since: Instant,
    ) -> Result<Option<(String, Vec<Selector>)>, String> {
        let pods = self.pods(since).await?;
        let is_named = |uid: &str, pod: &Pod| {
            let uid_fits = named.uid.as_ref().is_none_or(|named| named == uid);
            uid_fits && named.key.as_ref().is_none_or(|key| *key == pod.key)
        };
        let found = pods.iter().find(|(uid, pod)| is_named(uid, pod));
        Ok(found.map(|(uid, pod)| {
            let mut facts = pod.facts.clone();
            facts.extend(pod_uid(uid).map(Selector::PodUid));
            facts.sort();
            (uid.clone(), facts)
        }))
    }

    /// The pods by their numbers, as they were at `since` or later.
    async fn pods(self: &Arc<Self>, since: Instant) -> Result<Arc<BTreeMap<String, Pod>>, String> {
        let mut known = self.known.lock().await;
        if known.asked.is_some_and(|asked| asked >= since) {
            return Ok(Arc::clone(&known.pods));
        }
        let asked = Instant::now();
        let kubelet = Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || kubelet.ask()).await;
        match answered.map_err(|_| "the kubelet could not be asked".to_owned())? {
            Ok(pods) => {
                *known = Known {
                    pods: Arc::new(pods),
                    asked: Some(asked),
                };
            }
            Err(why) => {
                tracing::warn!(kubelet = self.address, why, "the kubelet does not answer");
                let is_usable = known.asked.is_some_and(|then| then + STALE > asked);
                if !is_usable {
                    return Err(format!("the kubelet does not answer: {why}"));
                }
            }
        }
        Ok(Arc::clone(&known.pods))
    }

    fn ask(&self) -> Result<BTreeMap<String, Pod>, String> {
        let mut request = self.agent.get(format!("{}/pods", self.address));
        if let Some(path) = &self.token {
            let token = fs::read_to_string(path).map(Zeroizing::new);
            let token = token.map_err(|error| format!("{}: {error}", path.display()))?;
            let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
            request = request.header("authorization", bearer.as_str());
        }
        let mut answer = request.call().map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers with the status {}", answer.status()));
        }
        let body = answer.body_mut().with_config().limit(LARGEST_LIST);
        let list: PodList = serde_json::from_reader(body.reader())
            .map_err(|error| format!("its list of pods cannot be read: {error}"))?;
        Ok(list.items.0)
    }
}

/// Whether it is an address of HTTPS. Any other must be on this machine.
fn is_secure(address: &str) -> Result<bool, KubeletFault> {
    let malformed = || KubeletFault::Address(address.to_owned());
    let uri: Uri = address.parse().map_err(|_| malformed())?;
    let is_bare = uri.path().len() <= 1 && uri.query().is_none();
    let authority = uri.authority().filter(|one| !one.as_str().contains('@'));
    let host = authority.filter(|_| is_bare).ok_or_else(malformed)?.host();
    let number = host.trim_matches(['[', ']']).parse();
    let is_here = host == "localhost" || number.is_ok_and(|one: IpAddr| one.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(true),
        Some("http") if is_here => Ok(false),
        Some("http") => Err(KubeletFault::Unprotected(address.to_owned())),
        _ => Err(malformed()),
    }
}

fn tls(access: &KubeletAccess) -> Result<TlsConfig, KubeletFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if access.is_unchecked {
        return Ok(config.disable_verification(true).build());
    }
    let path = access.authorities.as_ref();
    let path = path.ok_or(KubeletFault::NoAuthorities)?;
    let fault = |why: String| KubeletFault::Authorities {
        path: path.clone(),
        why,
    };
    let text = fs::read(path).map_err(|error| fault(error.to_string()))?;
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|error| fault(error.to_string()))? {
            PemItem::Certificate(certificate) => roots.push(certificate),
            _ => {
                return Err(fault(
                    "it holds something else than certificates".to_owned(),
                ));
            }
        }
    }
    if roots.is_empty() {
        return Err(fault("it holds no certificate".to_owned()));
    }
    Ok(config.root_certs(RootCerts::from(roots)).build())
}

impl Told {
    fn nothing(why: &str) -> Self {
        let absent = |kind| Absent {
            kind,
            why: why.to_owned(),
        };
        Self {
            selectors: Vec::new(),
            absent: vec![absent("k8s:ns"), absent("k8s:container-name")],
        }
    }
}

/// A pod, as far as workloads are known by it.
#[derive(Debug)]
struct Pod {
    /// Its namespace and its name.
    key: (String, String),
    facts: Vec<Selector>,
    /// By their numbers.
    containers: BTreeMap<String, Vec<Selector>>,
}

impl Pod {
    fn of(item: Item) -> Option<(String, Self)> {
        let metadata = item.metadata;
        let mut facts = Vec::new();
        let mut fact = |kind, value: &str| facts.extend(Selector::of_pod(kind, value));
        fact(PodFact::Namespace, &metadata.namespace);
        fact(PodFact::ServiceAccount, &item.spec.service_account_name);
        fact(PodFact::Name, &metadata.name);
        fact(PodFact::NodeName, &item.spec.node_name);
        for (key, value) in metadata.labels.unwrap_or_default() {
            fact(PodFact::Label, &format!("{key}:{value}"));
        }
        for owner in metadata.owner_references.unwrap_or_default() {
            fact(PodFact::Owner, &format!("{}:{}", owner.kind, owner.name));
        }
        let status = item.status;
        let containers = [
            status.container_statuses,
            status.init_container_statuses,
            status.ephemeral_container_statuses,
        ];
        let containers = containers.into_iter().flatten().flatten();
        // A pod from a file has the digest of the file in its control groups. Whoever makes a pod
        // chooses its annotations, but the kubelet writes over them where it has the pod from.
        let annotations = metadata.annotations.unwrap_or_default();
        let said = |name: &str| annotations.get(name).cloned();
        let source = said("kubernetes.io/config.source");
        let of_file = match source.as_deref() {
            Some("file" | "http") => said("kubernetes.io/config.hash"),
            Some(_) | None => None,
        };
        let number = of_file.unwrap_or(metadata.uid);
        let pod = Self {
            key: (metadata.namespace, metadata.name),
            facts,
            containers: containers.filter_map(Container::facts).collect(),
        };
        (!number.is_empty()).then_some((number, pod))
    }

    fn told(&self, container: &str) -> Told {
        let mut selectors = self.facts.clone();
        let absent = match self.containers.get(container) {
            Some(facts) => {
                selectors.extend(facts.iter().cloned());
                Vec::new()
            }
            None => vec![Absent {
                kind: "k8s:container-name",
                why: "the kubelet does not know the container yet".to_owned(),
            }],
        };
        Told { selectors, absent }
    }
}

/// `v1.PodList` of Kubernetes, as far as it is looked at.
#[derive(Deserialize)]
struct PodList {
    #[serde(default)]
    items: Pods,
}

/// Pods by their numbers. Each is made as it is read, so that a long list takes no more memory than what is
/// known of its pods.
#[derive(Default)]
struct Pods(BTreeMap<String, Pod>);

impl<'de> Deserialize<'de> for Pods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PodsVisitor)
    }
}

struct PodsVisitor;

impl<'de> Visitor<'de> for PodsVisitor {
    type Value = Pods;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pods")
    }

    /// What Go writes for a list of nothing.
    fn visit_unit<E>(self) -> Result<Pods, E> {
        Ok(Pods::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pods, A::Error> {
        let (mut pods, mut count) = (BTreeMap::new(), 0_usize);
        while let Some(item) = items.next_element::<Item>()? {
            count += 1;
            if count > MOST_PODS {
                return Err(A::Error::custom("it names more pods than a node can run"));
            }
            let Some((number, pod)) = Pod::of(item) else {
                continue;
            };
            // Which of the two a process is in, nobody could tell.
            if pods.insert(number, pod).is_some() {
                return Err(A::Error::custom("two of its pods have one number"));
            }
        }
        Ok(Pods(pods))
    }
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    service_account_name: String,
    #[serde(default)]
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    container_statuses: Option<Vec<Container>>,
    init_container_statuses: Option<Vec<Container>>,
    ephemeral_container_statuses: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default, rename = "imageID")]
    image_id: String,
    #[serde(default, rename = "containerID")]
    id: String,
}

impl Container {
    /// Its number without the runtime before it, and what is known of it; `None` until it runs.
    fn facts(self) -> Option<(String, Vec<Selector>)> {
        let (_, number) = self.id.split_once("://")?;
        let image_id = self.image_id.strip_prefix("docker-pullable://");
        let image_id = image_id.unwrap_or(&self.image_id);
        let mut facts = Vec::new();
        facts.extend(Selector::of_pod(PodFact::ContainerName, &self.name));
        facts.extend(Selector::of_pod(PodFact::ContainerImage, &self.image));
        if image_id != self.image {
            facts.extend(Selector::of_pod(PodFact::ContainerImage, image_id));
        }
        Some((number.to_owned(), facts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(text: &str) -> BTreeMap<String, Pod> {
        read(text).unwrap()
    }

    fn read(text: &str) -> Result<BTreeMap<String, Pod>, String> {
        let list: Result<PodList, _> = serde_json::from_str(text);
        list.map(|list| list.items.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_kubelet_that_says_what_none_would_is_believed_in_nothing() {
        let pod = |name: &str| {
            format!(r#"{{"metadata": {{"name": "{name}", "uid": "{name}"}}, "spec": {{}}}}"#)
        };
        let list = |items: &[String]| format!(r#"{{"items": [{}]}}"#, items.join(","));
        let most: Vec<String> = (0..MOST_PODS).map(|one| pod(&one.to_string())).collect();
        assert_eq!(read(&list(&most)).unwrap().len(), MOST_PODS);
        let deep = format!("{{\"items\": [{{\"x\": {}", "[".repeat(1 << 20));
        let cases = [
            (list(&[most, vec![pod("more")]].concat()), "more pods"),
            (list(&[pod("a"), pod("a")]), "one number"),
            (list(&vec!["{}".to_owned(); 3]), "missing field"),
            (
                r#"{"items": [], "items": []}"#.to_owned(),
                "duplicate field",
            ),
            (r#"{"items": {"a": 1}}"#.to_owned(), "a list of pods"),
            ("[[".repeat(1 << 20), ""),
            (deep, ""),
        ];
        for (text, why) in cases {
            let told = read(&text).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        assert!(read(r#"{"items": null}"#).unwrap().is_empty());
        assert!(read("{}").unwrap().is_empty());
    }

    fn texts(selectors: &[Selector]) -> Vec<String> {
        selectors.iter().map(Selector::to_string).collect()
    }

    #[test]
    fn a_container_is_told_with_its_pod_and_not_with_another() {
        let pods = pods(
            r#"{"kind": "PodList", "items": [{
                "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1",
                    "labels": {"app.kubernetes.io/name": "web", "empty": ""},
                    "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "r"}]},
                "spec": {"serviceAccountName": "front", "nodeName": "n1", "containers": []},
                "status": {"containerStatuses": [
                    {"name": "main", "image": "r/web:1", "imageID": "r/web@sha256:aa",
                     "containerID": "containerd://c1"},
                    {"name": "waiting", "image": "r/x:1", "imageID": "", "containerID": ""}],
                  "initContainerStatuses": [
                    {"name": "first", "image": "r/i:1", "imageID": "r/i:1",
                     "containerID": "cri-o://c0"}]}}]}"#,
        );
        let told = pods["u1"].told("c1");
        assert_eq!(
            texts(&told.selectors),
            [
                "k8s:ns:shop",
                "k8s:sa:front",
                "k8s:pod-name:web-1",
                "k8s:node-name:n1",
                "k8s:pod-label:app.kubernetes.io/name:web",
                "k8s:pod-label:empty:",
                "k8s:pod-owner:ReplicaSet:web",
                "k8s:container-name:main",
                "k8s:container-image:r/web:1",
                "k8s:container-image:r/web@sha256:aa",
            ]
        );
        assert!(told.absent.is_empty());
        let init = texts(&pods["u1"].told("c0").selectors);
        assert!(init.contains(&"k8s:container-name:first".to_owned()));
        let unknown = pods["u1"].told("of-another-pod");
        assert_eq!(unknown.selectors.len(), 7);
        assert_eq!(unknown.absent.len(), 1);
    }

    #[test]
    fn a_pod_from_a_file_is_known_by_the_digest_of_the_file() {
        let pods = pods(
            r#"{"items": [{"metadata": {"name": "etcd", "namespace": "kube-system", "uid": "x",
                "annotations": {"kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef",
                    "kubernetes.io/config.source": "file"}},
                "spec": {}}]}"#,
        );
        assert!(pods.contains_key("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn a_pod_of_the_cluster_does_not_take_the_place_of_another_by_an_annotation() {
        let pods = pods(
            r#"{"items": [
                {"metadata": {"name": "victim", "namespace": "good", "uid": "u1"}, "spec": {}},
                {"metadata": {"name": "thief", "namespace": "evil", "uid": "u2",
                    "annotations": {"kubernetes.io/config.hash": "u1",
                        "kubernetes.io/config.source": "api"}}, "spec": {}}]}"#,
        );
        assert_eq!(pods["u1"].key.0, "good");
        assert_eq!(pods["u2"].key.0, "evil");
    }

    #[test]
    fn a_value_that_would_not_stay_on_its_line_is_no_fact() {
        let pods = pods(
            r#"{"items": [{"metadata": {"name": "a\nb", "namespace": "", "uid": "u"},
                "spec": {"serviceAccountName": "ok"}}]}"#,
        );
        assert_eq!(texts(&pods["u"].told("c").selectors), ["k8s:sa:ok"]);
    }

    #[test]
    fn a_kubelet_whose_answers_could_be_anyones_is_not_asked() {
        let access = |address: &str| KubeletAccess {
            address: address.to_owned(),
            ..KubeletAccess::default()
        };
        let fault = |address| Kubelet::new(access(address)).unwrap_err();
        assert!(Kubelet::new(access("http://127.0.0.1:10255")).is_ok());
        let remote = fault("http://10.0.0.1:10255");
        assert!(matches!(remote, KubeletFault::Unprotected(_)), "{remote}");
        let unchecked = fault("https://127.0.0.1:10250");
        assert!(matches!(unchecked, KubeletFault::NoAuthorities));
        for address in [
            "",
            "127.0.0.1:10250",
            "https://a/pods",
            "ftp://a",
            "https://u@a",
        ] {
            assert!(
                matches!(fault(address), KubeletFault::Address(_)),
                "{address}"
            );
        }
        let explicit = KubeletAccess {
            is_unchecked: true,
            ..access("https://127.0.0.1:10250")
        };
        assert!(Kubelet::new(explicit).is_ok());
    }
}

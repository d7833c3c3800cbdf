//! What a kubelet says of its pods. It may say what it likes, so no more is kept of it than a node could run.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Told;
use crate::attest::Absent;
use crate::selector::{PodFact, Selector};

/// The most pods that are looked at: a node runs some hundred, and each takes more memory than text.
const MOST_PODS: usize = 4_096;

/// The most labels, owners or containers of one pod of a kind.
const MOST_PARTS: usize = 1_024;

/// The most facts that are kept of all pods.
const MOST_FACTS: usize = 32 * MOST_PODS;

/// The pods of a list, by their numbers.
///
/// # Errors
///
/// It is no list of pods, or says what no kubelet would.
pub(super) fn read(text: impl Read) -> Result<BTreeMap<String, Pod>, serde_json::Error> {
    let list: PodList = serde_json::from_reader(text)?;
    Ok(list.items.0)
}

/// A pod, as far as workloads are known by it.
#[derive(Debug)]
pub(super) struct Pod {
    /// Its namespace and its name.
    pub(super) key: (String, String),
    pub(super) facts: Vec<Selector>,
    /// By their numbers.
    containers: BTreeMap<String, Vec<Selector>>,
}

impl Pod {
    /// A pod with its number, if it has one.
    ///
    /// # Errors
    ///
    /// Nobody could tell two of its containers apart.
    fn of(item: Item) -> Result<Option<(String, Self)>, &'static str> {
        let metadata = item.metadata;
        let mut facts = Vec::new();
        let mut fact = |kind, value: &str| facts.extend(Selector::of_pod(kind, value));
        fact(PodFact::Namespace, &metadata.namespace);
        fact(PodFact::ServiceAccount, &item.spec.service_account_name);
        fact(PodFact::Name, &metadata.name);
        fact(PodFact::NodeName, &item.spec.node_name);
        for (key, value) in metadata.labels.unwrap_or_default().0 {
            fact(PodFact::Label, &format!("{key}:{value}"));
        }
        for owner in metadata.owner_references.unwrap_or_default().0 {
            fact(PodFact::Owner, &format!("{}:{}", owner.kind, owner.name));
        }
        let status = item.status;
        let containers = [
            status.container_statuses,
            status.init_container_statuses,
            status.ephemeral_container_statuses,
        ];
        let listed = containers.into_iter().flatten().flat_map(|list| list.0);
        let mut containers = BTreeMap::new();
        for (container, facts) in listed.filter_map(Container::facts) {
            if containers.insert(container, facts).is_some() {
                return Err("two containers of a pod have one number");
            }
        }
        // A pod from a file has the digest of the file in its control groups. Whoever makes a pod
        // chooses its annotations, but the kubelet writes over them where it has the pod from.
        let annotations = metadata.annotations.unwrap_or_default();
        let of_file = match annotations.source.as_deref() {
            Some("file" | "http") => annotations.hash,
            Some(_) | None => None,
        };
        let number = of_file.unwrap_or(metadata.uid);
        let pod = Self {
            key: (metadata.namespace, metadata.name),
            facts,
            containers,
        };
        Ok((!number.is_empty()).then_some((number, pod)))
    }

    /// How many facts are kept of it.
    fn size(&self) -> usize {
        let containers = self.containers.values().map(|facts| 1 + facts.len());
        self.facts.len() + containers.sum::<usize>()
    }

    pub(super) fn told(&self, container: &str) -> Told {
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
        let (mut pods, mut count, mut facts) = (BTreeMap::new(), 0_usize, 0_usize);
        while let Some(item) = items.next_element::<Item>()? {
            count += 1;
            if count > MOST_PODS {
                return Err(A::Error::custom("it names more pods than a node can run"));
            }
            let Some((number, pod)) = Pod::of(item).map_err(A::Error::custom)? else {
                continue;
            };
            facts += pod.size();
            if facts > MOST_FACTS {
                return Err(A::Error::custom("it says more of its pods than is kept"));
            }
            // Which of the two a process is in, nobody could tell.
            if pods.insert(number, pod).is_some() {
                return Err(A::Error::custom("two of its pods have one number"));
            }
        }
        Ok(Pods(pods))
    }
}

/// A list of some of a pod's parts.
struct Parts<T>(Vec<T>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PartsVisitor(PhantomData))
    }
}

struct PartsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PartsVisitor<T> {
    type Value = Parts<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Parts<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(part) = parts.next_element()? {
            if all.len() == MOST_PARTS {
                return Err(A::Error::custom(TOO_MANY_PARTS));
            }
            all.push(part);
        }
        Ok(Parts(all))
    }
}

const TOO_MANY_PARTS: &str = "a pod has more parts than any could";

/// The labels of a pod.
#[derive(Default)]
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut labels: A) -> Result<Labels, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((key, value)) = labels.next_entry::<String, String>()? {
            if all.len() == MOST_PARTS {
                return Err(A::Error::custom(TOO_MANY_PARTS));
            }
            if all.insert(key, value).is_some() {
                return Err(A::Error::custom("two labels of a pod have one name"));
            }
        }
        Ok(Labels(all))
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
    labels: Option<Labels>,
    annotations: Option<Annotations>,
    owner_references: Option<Parts<Owner>>,
}

/// Those that the kubelet writes; of others nothing is kept.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.source")]
    source: Option<String>,
    #[serde(rename = "kubernetes.io/config.hash")]
    hash: Option<String>,
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
    container_statuses: Option<Parts<Container>>,
    init_container_statuses: Option<Parts<Container>>,
    ephemeral_container_statuses: Option<Parts<Container>>,
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
        read(text.as_bytes()).unwrap()
    }

    fn list(items: &[String]) -> String {
        format!(r#"{{"items": [{}]}}"#, items.join(","))
    }

    /// A pod with labels, of which a number and a name are all that is said.
    fn pod(uid: &str, labels: usize) -> String {
        let labels = (0..labels).map(|one| format!(r#""{one}": "x""#));
        let labels = labels.collect::<Vec<_>>().join(",");
        format!(r#"{{"metadata": {{"uid": "{uid}", "labels": {{{labels}}}}}, "spec": {{}}}}"#)
    }

    /// A list of one pod.
    fn of(metadata: &str, containers: &[String]) -> String {
        let metadata = format!(r#""metadata": {{"uid": "a", {metadata}}}"#);
        let containers = containers.join(",");
        let status = format!(r#""status": {{"containerStatuses": [{containers}]}}"#);
        list(&[format!(r#"{{{metadata}, "spec": {{}}, {status}}}"#)])
    }

    fn container(number: impl fmt::Display) -> String {
        format!(r#"{{"containerID": "cri://{number}"}}"#)
    }

    #[track_caller]
    fn refused(cases: &[(String, &str)]) {
        for (text, why) in cases {
            let told = read(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(why), "`{why}`: {told}");
        }
    }

    #[test]
    fn a_kubelet_that_names_more_than_a_node_runs_is_believed_in_nothing() {
        let few = |labels: usize| move |one: usize| pod(&one.to_string(), labels);
        let most: Vec<String> = (0..MOST_PODS).map(few(1)).collect();
        assert_eq!(pods(&list(&most)).len(), MOST_PODS);
        let more = [most, vec![pod("more", 0)]].concat();
        // Each of which would be taken alone.
        let large: Vec<String> = (0..MOST_PODS).map(few(40)).collect();
        assert_eq!(pods(&list(&large[..MOST_PODS / 2])).len(), MOST_PODS / 2);
        let running: Vec<String> = (0..MOST_PARTS).map(container).collect();
        let known = pods(&of(r#""name": "a""#, &running));
        assert_eq!(known["a"].containers.len(), MOST_PARTS);
        let running = [running, vec![container("more")]].concat();
        // Also of those that do not run.
        let waiting = vec!["{}".to_owned(); MOST_PARTS + 1];
        let owners = vec![r#"{"kind": "", "name": ""}"#; MOST_PARTS + 1].join(",");
        let parts = "more parts";
        refused(&[
            (list(&more), "more pods"),
            (list(&vec!["{}".to_owned(); MOST_PODS]), "missing field"),
            (list(&large), "than is kept"),
            (list(&[pod("a", MOST_PARTS + 1)]), parts),
            (of(r#""name": "a""#, &running), parts),
            (of(r#""name": "a""#, &waiting), parts),
            (of(&format!(r#""ownerReferences": [{owners}]"#), &[]), parts),
        ]);
    }

    #[test]
    fn a_kubelet_that_says_one_thing_twice_or_no_list_of_pods_is_believed_in_nothing() {
        let twice = "duplicate field";
        let source = r#""kubernetes.io/config.source": "file""#;
        let sources = format!(r#""annotations": {{{source}, {source}}}"#);
        refused(&[
            (list(&[pod("a", 0), pod("a", 0)]), "two of its pods"),
            (
                of(r#""name": "a""#, &[container(1), container(1)]),
                "two containers",
            ),
            (of(r#""labels": {"a": "b", "a": "c"}"#, &[]), "two labels"),
            (of(r#""uid": "b""#, &[]), twice),
            (of(&sources, &[]), twice),
            (r#"{"items": [], "items": []}"#.to_owned(), twice),
            (r#"{"items": {"a": 1}}"#.to_owned(), "a list of pods"),
            ("[[".repeat(1 << 20), ""),
            (
                format!("{{\"items\": [{{\"x\": {}", "[".repeat(1 << 20)),
                "",
            ),
        ]);
        assert!(pods(r#"{"items": null}"#).is_empty());
        assert!(pods("{}").is_empty());
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
}

//! What the kubelet of this node says of the pods on it.
//!
//! The control groups of a process tell its container and its pod by their numbers, which root put
//! there. The kubelet, which made the pod, tells the rest: whose service account it is, in which
//! namespace, under which labels. Its list is kept for a moment, and asked for again at once when a
//! process turns up in a pod or a container that is not on it: containers start before the list says
//! so. However many ask, the kubelet is asked once at a time.

mod pods;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use self::pods::Pod;
use crate::attest::Absent;
use crate::cgroup::pod_uid;
use crate::selector::Selector;

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
        pods::read(body.reader())
            .map_err(|error| format!("its list of pods cannot be read: {error}"))
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

#[cfg(test)]
mod tests {
    use super::*;

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

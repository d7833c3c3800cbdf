//! The workload that a broker names: looked up here, whatever the broker says of it.

use std::sync::Arc;

use avouch_api::grpc::broker::{
    KubernetesObjectReference, WorkloadPidReference, WorkloadReference,
};
use avouch_api::grpc::google::rpc::{DetailedStatus, ErrorInfo};
use prost::Message;
use prost_types::Any;
use tokio::sync::Mutex;
use tonic::{Code, Status};

use super::access::ReferenceKind;
use crate::attest::Attested;
use crate::caller::{Caller, Callers, repeated};
use crate::cgroup::pod_uid;
use crate::kubelet::{Kubelet, NamedPod};
use crate::peer::{Peer, Unidentified};
use crate::selector::Selector;

const PROCESS: &str = "spiffe.broker.WorkloadPIDReference";
const OBJECT: &str = "spiffe.broker.KubernetesObjectReference";

/// The domain of the reasons of the standard.
const DOMAIN: &str = "spiffe.io";

/// Whom a broker names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// A process, by its number.
    Process(u32),
    /// A pod.
    Pod(NamedPod),
}

impl Reference {
    /// Reads the one reference of a request (SPIFFE Broker API 3.1).
    pub(super) fn read(reference: Option<&WorkloadReference>) -> Result<Self, Status> {
        let any = reference.and_then(|one| one.reference.as_ref());
        let any = any.ok_or_else(|| invalid("the request has no reference to a workload"))?;
        // What is before the last slash says where the type may be described.
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        match name {
            PROCESS => Self::process(any),
            OBJECT => Self::object(any),
            _ => {
                let name = repeated(&[name.to_owned()]);
                Err(invalid(&format!(
                    "references of the type {name} are not known here"
                )))
            }
        }
    }

    fn process(any: &Any) -> Result<Self, Status> {
        let read = WorkloadPidReference::decode(any.value.as_slice());
        let pid = read
            .map_err(|_| invalid("the reference cannot be read"))?
            .pid;
        match u32::try_from(pid) {
            Ok(pid) if pid > 0 => Ok(Self::Process(pid)),
            _ => Err(invalid("pid must be positive")),
        }
    }

    fn object(any: &Any) -> Result<Self, Status> {
        let read = KubernetesObjectReference::decode(any.value.as_slice());
        let read = read.map_err(|_| invalid("the reference cannot be read"))?;
        let kind = read.r#type.unwrap_or_default();
        match (kind.plural.as_str(), kind.group.as_str()) {
            ("pods", "core") => {}
            ("", _) | (_, "") => {
                return Err(invalid("the type must have a plural name and a group"));
            }
            _ => {
                return Err(invalid(
                    "of the objects of Kubernetes, `pods` of the group `core` are known here",
                ));
            }
        }
        let key = match read.key {
            None => None,
            Some(key) if key.namespace.is_empty() || key.name.is_empty() => {
                return Err(invalid("the key of a pod has a namespace and a name"));
            }
            Some(key) => Some((key.namespace, key.name)),
        };
        let uid = match read.uid.as_str() {
            "" => None,
            uid => Some(pod_uid(uid).ok_or_else(|| invalid("uid is not the UID of a pod"))?),
        };
        if key.is_none() && uid.is_none() {
            return Err(invalid("key or uid must be specified"));
        }
        Ok(Self::Pod(NamedPod { key, uid }))
    }

    pub(super) fn kind(&self) -> ReferenceKind {
        match self {
            Self::Process(_) => ReferenceKind::Process,
            Self::Pod(_) => ReferenceKind::Pod,
        }
    }

    /// Finds out about it.
    pub(super) async fn resolve(
        &self,
        callers: &Callers,
        kubelet: Option<&Arc<Kubelet>>,
    ) -> Result<Workload, Status> {
        match self {
            Self::Process(number) => {
                let peer = Peer::numbered(*number).map_err(|why| match why {
                    Unidentified::Ended | Unidentified::Invisible => not_found(),
                    Unidentified::Kernel(error) => {
                        tracing::error!(process = number, %error, "a process cannot be held");
                        Status::unavailable("the process cannot be held now")
                    }
                })?;
                let caller = Caller {
                    peer: Arc::new(peer),
                    turn: Arc::new(Mutex::new(())),
                };
                let attested = callers.attested(&caller).await.map_err(|status| {
                    // Whoever cannot be attested has ended, or is no one.
                    match status.code() {
                        Code::PermissionDenied => not_found(),
                        _ => status,
                    }
                })?;
                Ok(Workload {
                    selectors: attested.selectors().to_vec(),
                    life: Life::Process(Box::new((caller, attested))),
                })
            }
            Self::Pod(named) => {
                let kubelet = kubelet
                    .ok_or_else(|| invalid("pods are not known here: the agent asks no kubelet"))?;
                let found = kubelet.named(named).await.map_err(|why| {
                    tracing::error!(why, "a pod cannot be looked up");
                    Status::unavailable("pods cannot be looked up now")
                })?;
                let (uid, selectors) = found.ok_or_else(not_found)?;
                // Whatever bears the name later is another pod.
                let named = NamedPod {
                    uid: Some(uid),
                    ..named.clone()
                };
                Ok(Workload {
                    selectors,
                    life: Life::Pod(Arc::clone(kubelet), named),
                })
            }
        }
    }
}

/// A workload that was found.
pub(super) struct Workload {
    pub(super) selectors: Vec<Selector>,
    life: Life,
}

enum Life {
    Process(Box<(Caller, Attested)>),
    Pod(Arc<Kubelet>, NamedPod),
}

impl Workload {
    pub(super) fn has_ended(&self) -> bool {
        match &self.life {
            Life::Process(process) => process.0.peer.has_ended(),
            Life::Pod(..) => false,
        }
    }

    /// Whether it is still who it was, as [`Callers::still`] finds out. A pod is known by its UID.
    pub(super) async fn still(&self, callers: &Callers) -> Result<(), Status> {
        match &self.life {
            Life::Process(process) => callers.still(&process.0, &process.1).await,
            Life::Pod(..) => Ok(()),
        }
    }

    /// Returns when it ends.
    pub(super) async fn end(&self) {
        match &self.life {
            Life::Process(process) => process.0.peer.end().await,
            Life::Pod(kubelet, named) => kubelet.gone(named).await,
        }
    }
}

/// SPIFFE Broker API 4.8.
pub(super) fn invalid(why: &str) -> Status {
    detailed(Code::InvalidArgument, why, "WORKLOAD_REFERENCE_INVALID")
}

/// SPIFFE Broker API 4.8.
pub(super) fn not_found() -> Status {
    let why = "there is no such workload";
    detailed(Code::NotFound, why, "WORKLOAD_NOT_FOUND")
}

/// SPIFFE Broker API 4.8.
pub(super) fn not_entitled() -> Status {
    let why = "no identity issued";
    detailed(Code::PermissionDenied, why, "WORKLOAD_NOT_ENTITLED")
}

fn detailed(code: Code, message: &str, reason: &str) -> Status {
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: DOMAIN.to_owned(),
        ..ErrorInfo::default()
    };
    let status = DetailedStatus {
        code: code.into(),
        message: message.to_owned(),
        details: vec![Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        }],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

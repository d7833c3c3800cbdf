//! Facts about a workload that registration entries select by.

use std::fmt;

use avouch_api::WORKLOAD_FACTS;
use avouch_core::id::Digest;

use crate::cgroup;

/// One fact about a workload, written `unix:uid:1000`.
///
/// Only facts that an attestor can tell exist, so that a mistyped one is found when it is written
/// and not when a workload waits for its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// `container:id`: the container that it is in, by the 64 digits of its runtime.
    ContainerId(String),
    /// `k8s:ns` and the like: what the kubelet says of the pod that its container is of, and of the
    /// container.
    Pod(PodFact, String),
    /// `k8s:pod-uid`: the pod that its container is of.
    PodUid(String),
    /// `systemd:unit`: the unit of the system's manager that it is in.
    SystemdUnit(String),
    /// `systemd:user-unit`: the unit of the manager of the user with this number. That user can
    /// make it look like any other of its own, and no one else can.
    SystemdUserUnit(u32, String),
    /// `unix:gid`: the number of its effective group.
    UnixGid(u32),
    /// `unix:group`: the name of its effective group.
    UnixGroup(String),
    /// `unix:path`: where its executable is, for the agent as for the workload.
    UnixPath(String),
    /// `unix:sha256`: the digest of its executable.
    UnixSha256(Digest),
    /// `unix:uid`: the number of its effective user.
    UnixUid(u32),
    /// `unix:user`: the name of its effective user.
    UnixUser(String),
}

/// What the kubelet says of a pod or of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodFact {
    /// `k8s:container-image`: the image of the container, by the name it was asked for and by its
    /// digest.
    ContainerImage,
    /// `k8s:container-name`: the name of the container in its pod.
    ContainerName,
    /// `k8s:node-name`: the node, as the cluster calls it.
    NodeName,
    /// `k8s:ns`: the namespace.
    Namespace,
    /// `k8s:pod-label`: a label, as a key, a colon and a value.
    Label,
    /// `k8s:pod-name`: the name of the pod.
    Name,
    /// `k8s:pod-owner`: who made the pod, as a kind, a colon and a name.
    Owner,
    /// `k8s:sa`: the service account.
    ServiceAccount,
}

impl PodFact {
    const ALL: [Self; 8] = [
        Self::ContainerImage,
        Self::ContainerName,
        Self::NodeName,
        Self::Namespace,
        Self::Label,
        Self::Name,
        Self::Owner,
        Self::ServiceAccount,
    ];

    fn kind(self) -> &'static str {
        match self {
            Self::ContainerImage => "k8s:container-image",
            Self::ContainerName => "k8s:container-name",
            Self::NodeName => "k8s:node-name",
            Self::Namespace => "k8s:ns",
            Self::Label => "k8s:pod-label",
            Self::Name => "k8s:pod-name",
            Self::Owner => "k8s:pod-owner",
            Self::ServiceAccount => "k8s:sa",
        }
    }

    /// Whether its value is a name, a colon and more.
    fn is_pair(self) -> bool {
        matches!(self, Self::Label | Self::Owner)
    }
}

/// A text that is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no selector: {detail}")]
pub struct SelectorMalformed {
    text: String,
    detail: &'static str,
}

impl SelectorMalformed {
    /// What is wrong with it.
    pub fn detail(&self) -> &'static str {
        self.detail
    }
}

impl Selector {
    /// The kinds there are.
    pub const KINDS: [&'static str; 18] = WORKLOAD_FACTS;

    /// Reads `unix:uid:1000` and the like, in the one form that [`fmt::Display`] writes.
    ///
    /// # Errors
    ///
    /// A kind that no attestor tells, or a value that no workload could ever have.
    pub fn parse(text: &str) -> Result<Self, SelectorMalformed> {
        let refuse = |detail| {
            Err(SelectorMalformed {
                text: text.escape_debug().to_string(),
                detail,
            })
        };
        let Some((kind, value)) = text
            .match_indices(':')
            .nth(1)
            .and_then(|(colon, _)| Some((text.get(..colon)?, text.get(colon + 1..)?)))
        else {
            return refuse("it is not of the form `unix:uid:1000`");
        };
        let selector = match kind {
            "container:id" => {
                cgroup::container_id(value).map(|id| Self::ContainerId(id.to_owned()))
            }
            "k8s:pod-uid" => cgroup::pod_uid(value).map(Self::PodUid),
            "systemd:unit" => unit(value).map(Self::SystemdUnit),
            "systemd:user-unit" => user_unit(value),
            "unix:gid" => number(value).map(Self::UnixGid),
            "unix:group" => name(value).map(Self::UnixGroup),
            "unix:path" => path(value).map(Self::UnixPath),
            "unix:sha256" => Digest::from_hex(value).map(Self::UnixSha256),
            "unix:uid" => number(value).map(Self::UnixUid),
            "unix:user" => name(value).map(Self::UnixUser),
            kind => match PodFact::ALL.into_iter().find(|fact| fact.kind() == kind) {
                Some(fact) => Self::of_pod(fact, value),
                None => {
                    return refuse(
                        "known are container:id, k8s:container-image, k8s:container-name, \
                         k8s:node-name, k8s:ns, k8s:pod-label, k8s:pod-name, k8s:pod-owner, \
                         k8s:pod-uid, k8s:sa, systemd:unit, systemd:user-unit, unix:gid, \
                         unix:group, unix:path, unix:sha256, unix:uid and unix:user",
                    );
                }
            },
        };
        match selector {
            Some(selector) => Ok(selector),
            None => refuse(match kind {
                "container:id" => "its value is not 64 hexadecimal digits",
                "k8s:pod-label" => "its value is not of the form `key:value`",
                "k8s:pod-owner" => "its value is not of the form `ReplicaSet:name`",
                "k8s:pod-uid" => "its value is not the UID of a pod",
                "systemd:unit" => {
                    "its value is not the name of a mount, scope, service, socket or swap"
                }
                "systemd:user-unit" => "its value is not of the form `1000/app.service`",
                "unix:gid" | "unix:uid" => "its value is not a number from 0 to 4294967294",
                "unix:path" => "its value is not an absolute path without `.`, `..` or `//`",
                "unix:sha256" => "its value is not 64 hexadecimal digits",
                _ => "its value is not a name",
            }),
        }
    }

    /// A fact that the kubelet tells, if its value can be written on a line.
    pub(crate) fn of_pod(fact: PodFact, value: &str) -> Option<Self> {
        let (name, _) = match fact.is_pair() {
            true => value.split_once(':')?,
            false => (value, ""),
        };
        let printable = !value.chars().any(|c| c.is_control() || c.is_whitespace());
        (printable && !name.is_empty()).then(|| Self::Pod(fact, value.to_owned()))
    }

    /// What it is about, such as `unix:uid`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ContainerId(_) => "container:id",
            Self::Pod(fact, _) => fact.kind(),
            Self::PodUid(_) => "k8s:pod-uid",
            Self::SystemdUnit(_) => "systemd:unit",
            Self::SystemdUserUnit(..) => "systemd:user-unit",
            Self::UnixGid(_) => "unix:gid",
            Self::UnixGroup(_) => "unix:group",
            Self::UnixPath(_) => "unix:path",
            Self::UnixSha256(_) => "unix:sha256",
            Self::UnixUid(_) => "unix:uid",
            Self::UnixUser(_) => "unix:user",
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        match self {
            Self::UnixGid(number) | Self::UnixUid(number) => number.fmt(f),
            Self::ContainerId(text)
            | Self::Pod(_, text)
            | Self::PodUid(text)
            | Self::SystemdUnit(text)
            | Self::UnixGroup(text)
            | Self::UnixPath(text)
            | Self::UnixUser(text) => text.fmt(f),
            Self::SystemdUserUnit(user, unit) => write!(f, "{user}/{unit}"),
            Self::UnixSha256(digest) => digest.fmt(f),
        }
    }
}

/// A user or a group by number; the highest means "none" to the kernel.
fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    let number = text.parse().ok().filter(|number| *number != u32::MAX)?;
    canonical.then_some(number)
}

/// The name of a unit that can hold processes.
fn unit(text: &str) -> Option<String> {
    cgroup::is_unit(text).then(|| text.to_owned())
}

/// A unit of a user: the number of the user, a slash and the name of the unit.
fn user_unit(text: &str) -> Option<Selector> {
    let (user, name) = text.split_once('/')?;
    Some(Selector::SystemdUserUnit(number(user)?, unit(name)?))
}

/// The name of a user or a group: whatever the system's own database may hold, as long as it can
/// be printed and stays on its line.
pub(crate) fn name(text: &str) -> Option<String> {
    let printable = !text.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    printable.then(|| text.to_owned())
}

/// A path as the kernel writes it.
pub(crate) fn path(text: &str) -> Option<String> {
    let segments = text.strip_prefix('/')?;
    let canonical = segments
        .split('/')
        .all(|segment| !matches!(segment, "" | "." | ".."));
    let printable = !text.chars().any(char::is_control);
    (canonical && printable).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_back_from_what_it_is_written_as() {
        let digest = "ab".repeat(32);
        let texts = [
            format!("container:id:{digest}"),
            "k8s:container-image:registry:5000/web@sha256:ab".to_owned(),
            "k8s:container-name:main".to_owned(),
            "k8s:node-name:worker-1.example.com".to_owned(),
            "k8s:ns:payments".to_owned(),
            "k8s:pod-label:app.kubernetes.io/name:".to_owned(),
            "k8s:pod-name:web-7c9f".to_owned(),
            "k8s:pod-owner:ReplicaSet:web".to_owned(),
            "k8s:pod-uid:11111111-2222-3333-4444-555555555555".to_owned(),
            "k8s:sa:api-server".to_owned(),
            "systemd:unit:getty@tty1.service".to_owned(),
            "systemd:user-unit:1000/app-gnome\\x2dterminal.scope".to_owned(),
            "unix:gid:0".to_owned(),
            "unix:group:www-data".to_owned(),
            "unix:path:/usr/bin/with space:and colon".to_owned(),
            format!("unix:sha256:{digest}"),
            "unix:uid:1000".to_owned(),
            "unix:user:alice@example.org".to_owned(),
        ];
        for (text, kind) in texts.iter().zip(Selector::KINDS) {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.to_string(), *text);
            assert_eq!(selector.kind(), kind);
        }
    }

    #[test]
    fn a_selector_that_no_workload_could_have_is_refused() {
        for text in [
            "",
            "unix",
            "unix:uid",
            "uid:1000",
            "unix:uid:",
            "unix:uid:-1",
            "unix:uid:+1",
            "unix:uid:01",
            "unix:uid:alice",
            "unix:uid:4294967295",
            "unix:gid:4294967296",
            "unix:udi:1000",
            "UNIX:uid:1000",
            "unix:user:",
            "unix:user:two words",
            "unix:group:a\nb",
            "unix:path:",
            "unix:path:relative",
            "unix:path:/a//b",
            "unix:path:/a/../b",
            "unix:path:/a/",
            "unix:sha256:00",
            "docker:image_id:1",
            "container:id:",
            "container:id:0123456789ab",
            "k8s:ns:",
            "k8s:ns:two words",
            "k8s:namespace:payments",
            "k8s:pod-label:app",
            "k8s:pod-label::web",
            "k8s:pod-owner:web",
            "k8s:pod-uid:1",
            "k8s:pod-uid:11111111_2222_3333_4444_555555555555",
            "systemd:unit:nginx",
            "systemd:unit:nginx.timer",
            "systemd:unit:system.slice",
            "systemd:unit:a/b.service",
            "systemd:unit:two words.service",
            "systemd:user-unit:app.service",
            "systemd:user-unit:alice/app.service",
            "systemd:user-unit:01000/app.service",
            "systemd:user-unit:1000/",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_selector_is_said_without_writing_on_the_terminal() {
        let error = Selector::parse("unix:user:\u{1b}[2J").unwrap_err();
        assert_eq!(
            error.to_string(),
            r"`unix:user:\u{1b}[2J` is no selector: its value is not a name"
        );
    }
}

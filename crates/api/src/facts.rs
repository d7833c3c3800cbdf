//! The facts about workloads that agents tell, by which registration entries select.

/// Their kinds, sorted: what stands before the value of a selector, as in `unix:uid:1000`.
pub const WORKLOAD_FACTS: [&str; 18] = [
    "container:id",
    "k8s:container-image",
    "k8s:container-name",
    "k8s:node-name",
    "k8s:ns",
    "k8s:pod-label",
    "k8s:pod-name",
    "k8s:pod-owner",
    "k8s:pod-uid",
    "k8s:sa",
    "systemd:unit",
    "systemd:user-unit",
    "unix:gid",
    "unix:group",
    "unix:path",
    "unix:sha256",
    "unix:uid",
    "unix:user",
];

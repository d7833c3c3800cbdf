//! A token that Kubernetes projects into the pod of the agent.

use std::path::Path;

use avouch_api::grpc::node::evidence::Shown;

use super::{EvidenceFault, read, unusable};

pub(super) fn shown(token: &Path) -> Result<Shown, EvidenceFault> {
    let bytes = read(token)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable(token, "it is no token"))?;
    Ok(Shown::K8sPsat(text.trim().to_owned()))
}

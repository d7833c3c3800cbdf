//! What is known when a question is asked: an immutable snapshot.

use std::sync::Arc;

use crate::anchor::Anchor;
use crate::credential::x509::Crl;
use crate::id::{Digest, TenantId};
use crate::reason::Reason;

/// Everything that a decision may rest on, fixed. Its epoch is a digest of its content, so that a
/// stored decision names exactly what was known.
#[derive(Clone, Debug)]
pub struct View {
    tenant: TenantId,
    anchors: Vec<Arc<Anchor>>,
    crls: Vec<Arc<Crl>>,
    unusable: Vec<Unusable>,
    epoch: Digest,
}

/// A piece of configuration that could not be read; it stays visible in every refusal that it may
/// have caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which piece.
    pub what: String,
    /// Why it could not be read.
    pub reason: Reason,
}

impl View {
    /// A view of `tenant`. `epoch` is the digest of the document the rest was read from.
    pub fn new(
        tenant: TenantId,
        anchors: Vec<Anchor>,
        crls: Vec<Crl>,
        unusable: Vec<Unusable>,
        epoch: Digest,
    ) -> Self {
        Self {
            tenant,
            anchors: anchors.into_iter().map(Arc::new).collect(),
            crls: crls.into_iter().map(Arc::new).collect(),
            unusable,
            epoch,
        }
    }

    /// Whose view it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The anchors, in the order of their document.
    pub fn anchors(&self) -> &[Arc<Anchor>] {
        &self.anchors
    }

    /// The revocation lists.
    pub fn crls(&self) -> &[Arc<Crl>] {
        &self.crls
    }

    /// What could not be read.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// The digest of its content.
    pub fn epoch(&self) -> Digest {
        self.epoch
    }
}

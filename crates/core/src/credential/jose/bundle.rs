//! SPIFFE bundles.

use std::sync::Arc;

use crate::credential::x509::Certificate;
use crate::id::TrustDomain;

/// The keys that may speak for a SPIFFE trust domain, by the kind of SVID they sign.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The trust domain; a bundle is never used for another.
    pub trust_domain: TrustDomain,
    /// The X.509 authorities.
    pub x509_authorities: Vec<Arc<Certificate>>,
}

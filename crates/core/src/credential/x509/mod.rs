//! X.509 certificates and revocation lists, read but not believed.
//!
//! ASN.1 is read by the `der` crate; the structures here say what of it is kept. What makes a
//! certificate unreadable is its outer shape. An extension that cannot be read is kept as a
//! finding, because a broken certificate that no path needs must not refuse a good one.

mod algorithm;
mod certificate;
mod crl;
mod der_read;
mod distribution_point;
mod extensions;
mod general_name;
pub(crate) mod host;
mod name;
mod request;
mod signed;
mod signed_statuses;
mod status_request;

pub(crate) use algorithm::oid_name;
pub use algorithm::{KeyProblem, SignatureAlgorithm};
pub use certificate::Certificate;
pub use crl::{Crl, Revocation, RevocationReason};
pub use distribution_point::{DistributionPoint, IssuingDistributionPoint, PointName, ReasonFlags};
pub use extensions::{
    AuthorityKeyId, BasicConstraints, Critical, ExtendedKeyUsage, Extensions, KeyUsage,
    NameConstraints, PolicyConstraints, Subtree,
};
pub(crate) use extensions::{CLIENT_AUTH, SERVER_AUTH};
pub use general_name::{GeneralName, IpSubtree};
pub use name::DistinguishedName;
pub use request::{CertificationRequest, read_public_key};
pub use signed_statuses::{SaidStatus, SignedStatus, SignedStatuses};
pub use status_request::{CertificateId, IssuerHash, StatusRequest};

//! The protocols that are spoken over gRPC: messages, clients and servers.
//!
//! They are made by `cargo xtask protocols` from the files in `crates/api/proto/`. What is written
//! by hand is here, and is only about what must not be shown.

/// The SPIFFE Workload API.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
pub mod workload;

/// What an agent and a server say to each other.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
#[path = "avouch.node.v1.rs"]
pub mod node;

/// The Secret Discovery Service of Envoy, in modules that are called like its packages.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
pub mod envoy {
    pub mod config {
        pub mod core {
            pub mod v3 {
                include!("envoy.config.core.v3.rs");
            }
        }
    }
    pub mod extensions {
        pub mod transport_sockets {
            pub mod tls {
                pub mod v3 {
                    include!("envoy.extensions.transport_sockets.tls.v3.rs");
                }
            }
        }
    }
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                include!("envoy.service.discovery.v3.rs");
            }
        }
        pub mod secret {
            pub mod v3 {
                include!("envoy.service.secret.v3.rs");
            }
        }
    }
    pub mod r#type {
        pub mod v3 {
            include!("envoy.r#type.v3.rs");
        }
    }
}

/// What the protocols of others take from Google's.
#[expect(missing_docs, reason = "the code is generated")]
pub mod google {
    pub mod rpc {
        include!("google.rpc.rs");
    }
}

/// The SPIFFE Broker API.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
#[path = "spiffe.broker.rs"]
pub mod broker;

/// The protocols of SPIRE, in modules that are called like its packages.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
pub mod spire {
    pub mod api {
        pub mod agent {
            pub mod delegatedidentity {
                pub mod v1 {
                    include!("spire.api.agent.delegatedidentity.v1.rs");
                }
            }
        }
        pub mod types {
            include!("spire.api.types.rs");
        }
    }
}

use std::fmt;

use envoy::config::core::v3::DataSource;
use envoy::service::discovery::v3::DiscoveryResponse;
use spire::api::agent::delegatedidentity::v1::X509svidWithKey;
use workload::{Jwtsvid, ValidateJwtsvidRequest, Witsvid, X509svid};

/// The SPIFFE Workload API as a `google.protobuf.FileDescriptorSet`, for server reflection.
pub const WORKLOAD_DESCRIPTORS: &[u8] = include_bytes!("workload.descriptors.bin");

/// The SPIFFE Broker API as a `google.protobuf.FileDescriptorSet`, for server reflection.
pub const BROKER_DESCRIPTORS: &[u8] = include_bytes!("broker.descriptors.bin");

/// The metadata that each request to a SPIFFE Broker Endpoint carries with the value `true` (SPIFFE
/// Broker Endpoint 3).
pub const BROKER_HEADER: &str = "broker.spiffe.io";

/// The metadata that each request to a SPIFFE Workload Endpoint carries with the value `true`, so
/// that nobody can be made to send one unawares (SPIFFE Workload Endpoint 3).
pub const WORKLOAD_HEADER: &str = "workload.spiffe.io";

/// Shows everything but the private key.
impl fmt::Debug for X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid")
            .field("spiffe_id", &self.spiffe_id)
            .field("x509_svid", &self.x509_svid)
            .field("bundle", &self.bundle)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for ValidateJwtsvidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateJwtsvidRequest")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token and its key.
impl fmt::Debug for Witsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witsvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Shows nothing: what one method shows is a token.
impl fmt::Debug for node::Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for node::JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for node::IssueJwtResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueJwtResponse")
            .field("expires", &self.expires)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for node::WitAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WitAnswer")
            .field("expires", &self.expires)
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Shows nothing: it may be a private key.
impl fmt::Debug for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSource").finish_non_exhaustive()
    }
}

/// Shows everything but the resources, which may be private keys.
impl fmt::Debug for DiscoveryResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryResponse")
            .field("version_info", &self.version_info)
            .field("type_url", &self.type_url)
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the private key.
impl fmt::Debug for broker::X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid")
            .field("spiffe_id", &self.spiffe_id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for broker::Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the private key.
impl fmt::Debug for X509svidWithKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svidWithKey")
            .field("x509_svid", &self.x509_svid)
            .finish_non_exhaustive()
    }
}

/// Shows everything but the token.
impl fmt::Debug for spire::api::types::Jwtsvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwtsvid")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .field("issued_at", &self.issued_at)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::envoy::config::core::v3::data_source::Specifier;

    #[test]
    fn keys_and_tokens_are_not_shown() {
        let secret = || "secret".to_owned();
        let x509 = X509svid {
            x509_svid_key: b"secret".to_vec(),
            ..X509svid::default()
        };
        let jwt = Jwtsvid {
            svid: secret(),
            ..Jwtsvid::default()
        };
        let asked = ValidateJwtsvidRequest {
            svid: secret(),
            ..ValidateJwtsvidRequest::default()
        };
        let wit = Witsvid {
            wit_svid: secret(),
            wit_svid_key: secret(),
            ..Witsvid::default()
        };
        let of_envoy = DataSource {
            specifier: Some(Specifier::InlineBytes(b"secret".to_vec())),
        };
        let response = DiscoveryResponse {
            resources: vec![prost_types::Any {
                type_url: String::new(),
                value: b"secret".to_vec(),
            }],
            ..DiscoveryResponse::default()
        };
        let delegated = X509svidWithKey {
            x509_svid_key: b"secret".to_vec(),
            ..X509svidWithKey::default()
        };
        let delegated_jwt = spire::api::types::Jwtsvid {
            token: secret(),
            ..spire::api::types::Jwtsvid::default()
        };
        let brokered = broker::X509svid {
            x509_svid_key: b"secret".to_vec(),
            ..broker::X509svid::default()
        };
        let brokered_jwt = broker::Jwtsvid {
            svid: secret(),
            ..broker::Jwtsvid::default()
        };
        let shown = format!(
            "{brokered:?} {brokered_jwt:?} {x509:?} {jwt:?} {asked:?} {wit:?} {of_envoy:?} {response:?} {delegated:?} \
             {delegated_jwt:?}"
        );
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!shown.contains("115, 101"), "{shown}");
    }
}

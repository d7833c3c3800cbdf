//! The protocols that are spoken over gRPC: messages, clients and servers.
//!
//! They are made by `cargo xtask protocols` from the files in `crates/api/proto/`. What is written
//! by hand is here, and is only about what must not be shown.

/// The SPIFFE Workload API.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
pub mod workload;

/// What an agent and a server say to each other.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "the code is generated"
)]
#[path = "avouch.node.v1.rs"]
pub mod node;

use std::fmt;

use workload::{Jwtsvid, ValidateJwtsvidRequest, Witsvid, X509svid};

/// The SPIFFE Workload API as a `google.protobuf.FileDescriptorSet`, for server reflection.
pub const WORKLOAD_DESCRIPTORS: &[u8] = include_bytes!("workload.descriptors.bin");

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

#[cfg(test)]
mod tests {
    use super::*;

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
        let shown = format!("{x509:?} {jwt:?} {asked:?} {wit:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!shown.contains("115, 101"), "{shown}");
    }
}

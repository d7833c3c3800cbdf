//! JSON Object Signing: compact JWS, JSON Web Keys, SPIFFE bundles.
//!
//! Asymmetric signatures only. What a lenient reader would pass over is a refusal here, each with
//! its code.

pub mod algorithm;
pub(crate) mod base64url;
pub mod bundle;
pub(crate) mod entity;
pub mod json;
pub mod jwk;
pub(crate) mod jws;
pub(in crate::credential) mod rsa;
pub mod status_list;

//! JSON Object Signing: compact JWS, JSON Web Keys, SPIFFE bundles.

pub mod bundle;

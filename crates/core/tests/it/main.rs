//! The core as a whole: questions in, verdicts out. One binary, so that there is one to link.

#![expect(
    clippy::print_stdout,
    reason = "a suite that cannot run says so in a line that `cargo xtask test` counts"
)]

mod api_keys;
mod ask;
mod cached;
mod each_check;
mod hostile_claims;
mod hostile_graphs;
mod hostile_issuers;
mod hostile_time;
mod hostile_tokens;
mod introspection;
mod kubernetes;
mod not_ended;
mod pki_bettertls;
mod pki_limbo;
mod pki_ml_dsa;
mod pki_pkits;
mod pki_policies;
mod pki_revocation;
mod pki_second_opinion;
mod presets;
mod properties;
mod saml;
mod small_world;
mod spiffe_bundle;
mod spiffe_id;
mod spiffe_jwt_svid;
mod spiffe_wit_svid;
mod spiffe_x509_svid;
mod ssh;
mod status_lists;
mod suite;
mod token_ask;
mod token_properties;
mod trust_chains;

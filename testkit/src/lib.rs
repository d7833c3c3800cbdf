//! Worlds in a few lines, for tests: keys, certificates, revocation lists and questions, good or
//! wrong in any way one asks for.
//!
//! The clock is frozen at [`NOW`], and a key is derived from its name, so a world made twice is
//! the same byte for byte as long as it signs with Ed25519 or RSA PKCS#1. ECDSA, ML-DSA and RSA PSS
//! signatures are random.
//!
//! Nothing here may be used outside tests: every key can be derived by anyone, and the functions
//! panic on nonsense. Nothing here uses the core either, so the core is never checked against
//! itself.
//!
//! ```
//! use avouch_testkit::certificate::CertificateForge;
//! use avouch_testkit::question::QuestionForge;
//! use avouch_testkit::world::Authority;
//!
//! let root = Authority::root("Example Root");
//! let issuing = root.intermediate("Example Issuing CA");
//! let leaf = issuing.server("db.example.com");
//! let question = QuestionForge::x509(&[&leaf, &issuing.certificate])
//!     .anchor(&root.certificate)
//!     .expect("dns", "db.example.com");
//!
//! let expired = issuing.issue(
//!     CertificateForge::server("old.example.com").valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"),
//! );
//! assert_ne!(leaf, expired);
//! assert!(question.to_json().is_object());
//! ```

pub mod asn1;
pub mod certificate;
pub mod chain;
pub mod crl;
pub mod extension;
pub mod federation;
pub mod fixtures;
pub mod graphs;
pub mod https;
pub mod issuer;
pub mod key;
pub mod moment;
pub mod name;
pub mod outside;
pub mod payments;
pub mod postgresql;
pub mod question;
pub mod saml;
pub mod saml_hostile;
pub mod softhsm;
pub mod ssh;
pub mod status_list;
pub mod swtpm;
pub mod token;
pub mod transmitter;
pub mod vendors;
pub mod world;

/// The time at which every world is looked at, unless a test says otherwise.
pub const NOW: &str = "2024-06-01T00:00:00Z";

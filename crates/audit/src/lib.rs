//! What other systems trust, read and judged.
//!
//! Trust in one's workloads is mostly written down elsewhere: in trust policies of AWS roles, in
//! workload identity pools of Google Cloud, in the authentication configuration of Kubernetes. This
//! crate reads these, evaluates them as their systems do, and reports whom they admit though they
//! should not, each time with a witness: claims that are admitted, found by evaluating them.
//!
//! Nothing here decides anything in Avouch. Its rules have no expressions and no wildcards inside
//! names, because those cannot be compared; here they must be read as they were written.

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod aws;
mod carry;
pub mod cel;
pub mod configuration;
pub mod finding;
pub mod gcp;
mod glob;
mod judge;
pub mod kubernetes;
mod language;
mod members;
mod sample;
pub mod trace;
mod wish;

pub use carry::{Carried, Draft, carried};
pub use configuration::{Admission, Configuration, System};
pub use finding::{Code, Finding, Severity, Witness};
pub use judge::judge;

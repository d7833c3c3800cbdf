//! What is found in configurations of other systems, each time with claims that prove it.

mod aws;
mod carried;
mod carried_never_wider;
mod cel;
mod gcp;
mod kubernetes;
mod lint_agrees;
mod look;
mod negations;

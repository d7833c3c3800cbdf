//! What is found in configurations of other systems, each time with claims that prove it.

mod aws;
mod carried;
mod cel;
mod gcp;
mod kubernetes;
mod look;

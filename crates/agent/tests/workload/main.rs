//! The Workload API over real sockets, clause by clause (`a..` of the SPIFFE Workload API, `e..` of
//! the SPIFFE Workload Endpoint), and as clients of other people see it.

mod attested;
mod clauses;
mod delegated;
mod envoy;
mod jwt;
mod kubelet;
mod outside;
mod secrets;
mod spiffe_crate;
mod streams;
mod world;

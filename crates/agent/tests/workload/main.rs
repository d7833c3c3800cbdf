//! The Workload API over real sockets, clause by clause (`a..` of the SPIFFE Workload API, `e..` of
//! the SPIFFE Workload Endpoint, `k..` of the SPIFFE Broker Endpoint and API), and as clients of other people see it.

mod attested;
mod broker;
mod clauses;
mod delegated;
mod envoy;
mod jwt;
mod kubelet;
mod outside;
mod program;
mod secrets;
mod spiffe_crate;
mod streams;
mod world;

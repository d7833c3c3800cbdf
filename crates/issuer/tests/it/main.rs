//! What is issued, to whom it is refused, and what others make of it.

mod authorities;
mod bundles;
mod keys;
mod others;
mod refusals;
mod revocation_lists;
mod signing_requests;
mod stages;
mod status_responses;
mod svids;
mod upstream;
mod world;

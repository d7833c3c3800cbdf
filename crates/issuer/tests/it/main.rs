//! What is issued, to whom it is refused, and what others make of it.

mod authorities;
mod bundles;
mod others;
mod refusals;
mod stages;
mod svids;
mod world;

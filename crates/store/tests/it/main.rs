//! The store as a server uses it: one suite for every engine.

mod bounds;
mod brought_keys;
mod cut;
mod decisions;
mod faults;
mod followers;
mod kill;
mod lifetimes;
mod objects;
mod on_postgresql;
mod on_sqlite;
mod outlines;
mod over;
mod over_tls;
mod removals;
mod removed_tenants;
mod suite;
mod uses;

//! The store as a server uses it: one suite for every engine.

mod objects;
mod on_sqlite;
mod suite;

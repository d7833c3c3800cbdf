//! The server as those see it who call it over the network.

mod attesting;
mod attesting_misuse;
mod attesting_review;
mod attesting_ssh;
mod attesting_tpm;
mod authorities;
mod away;
mod cluster;
mod dynamic;
mod federating;
mod fetching;
mod http;
mod isolation;
mod issuers;
mod keeping;
mod managing;
mod node_calls;
mod pins;
mod public;
mod put_back;
mod quarantine;
mod quotas;
mod refusals;
mod registry;
mod roles;
mod rules;
mod saml;
mod secured;
mod signals;
mod tls;
mod vendors;
mod world;

mod exchange;

//! The program as its users run it: real files, a real process, a scrubbed environment.

mod anchors;
mod apply;
mod authorities;
mod batch;
mod clients;
mod cluster;
mod documents;
mod exchanged;
mod import;
mod killed;
mod limbo;
mod manage;
mod mistakes;
mod mutual_tls;
mod nodes;
mod outside;
mod plane;
mod run;
mod secured;
mod spire;
mod token_exchange;
mod tokens;
mod up;
mod upstream;
mod verdicts;
mod workflow;

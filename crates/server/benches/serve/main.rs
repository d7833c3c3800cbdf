//! A server under load, as those see it who call it: SVIDs over mutual TLS, each with its intent on
//! disk; tokens exchanged, each used once; entries written in batches; the start with many entries and
//! with many tenants; how long a change takes to arrive, with one node and with thousands, and how long
//! an event that ends something; a drill.
//!
//! `cargo bench -p avouch-server`, or one of them: `cargo bench -p avouch-server -- issue`, and of that
//! one the rows whose names have something in them: `… -- issue only=JWT`. Who calls the server under
//! load is a process of its own, so that it is not counted.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod agent;
mod agent_memory;
mod agents;
mod client;
mod deployment;
mod entries;
mod exchange;
mod exchanger;
mod issue;
mod issuer_faults;
mod measure;
mod opening;
mod rekey;
mod signals;
mod signatures;
mod stream;
mod tenants;
mod verifier;

use std::path::Path;

/// The one of `avouch`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What there is to measure.
const PARTS: [(&str, fn()); 12] = [
    ("issue", issue::run),
    ("exchange", exchange::run),
    ("entries", entries::write),
    ("start", entries::start),
    ("push", entries::push),
    ("stream", stream::run),
    ("rekey", rekey::run),
    ("signals", signals::run),
    ("tenants", tenants::run),
    ("agents", agents::run),
    ("agent-memory", agent_memory::run),
    ("issuer-faults", issuer_faults::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let words = arguments.iter().map(String::as_str);
    let words: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
    let (only, words): (Vec<&str>, Vec<&str>) = words
        .into_iter()
        .partition(|word| word.starts_with("only="));
    measure::only(only.iter().filter_map(|word| word.strip_prefix("only=")));
    match words.as_slice() {
        ["client"] => return client::run(),
        ["exchanger", address] => return exchanger::run(address),
        ["open", folder, used] => return opening::run(Path::new(folder), used.parse().unwrap()),
        ["tokens", file] => return exchange::write_tokens(Path::new(file)),
        _ => {}
    }
    for (name, run) in PARTS {
        if words.is_empty() || words.contains(&name) {
            run();
        }
    }
}
